/* SPDX-License-Identifier: Apache-2.0
 *
 * keygen and public. A key file is created with mode 0600 and never replaces another. */
#include "admin/admin.h"

#include <stdlib.h>

#define TEXT_MAX (64u << 10)

int admin_read_public(const char *path, wfl_public_key *out)
{
    struct wfl_secret text = {0};
    wfl_error         err = {0};
    wfl_code          rc = wfl_key_read_file(path, false, &text, &err);

    if (rc == WFL_OK) rc = wfl_key_parse_public(wfl_slice_of(text.data, text.len), out, &err);
    wfl_secret_free(&text);
    if (rc == WFL_OK) return CLI_DONE;
    return cli_fail(rc == WFL_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "key %s: %s", path,
                    err.message);
}

int admin_read_packet(const char *path, wfl_arena *arena, wfl_slice *out)
{
    struct wfl_secret   text = {0};
    struct wfl_key_pair pair = {0};
    wfl_slice           all;
    wfl_error           err = {0};
    wfl_code            rc = wfl_key_read_file(path, false, &text, &err);

    if (rc != WFL_OK) {
        return cli_fail(rc == WFL_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "packet %s: %s", path,
                        err.message);
    }
    all = wfl_slice_of(text.data, text.len);
    while (all.len > 0 && all.data[all.len - 1] <= ' ')
        all.len--;
    if (all.len > 0 && all.data[0] == '{') {
        rc = wfl_key_parse_private(all, arena, &pair, out, NULL, &err);
        wfl_key_pair_free(&pair);
        if (rc == WFL_OK && out->len == 0)
            rc = wfl_fail(&err, WFL_INVALID_REQUEST, "a key file without a packet");
    } else if (!wfl_arena_copy(arena, all, out)) {
        rc = wfl_fail(&err, WFL_NOMEM, "out of memory");
    }
    wfl_secret_free(&text);
    return rc == WFL_OK ? CLI_DONE : cli_fail(CLI_FAILED, "packet %s: %s", path, err.message);
}

static void print_made(const struct wfl_key_pair *pair, const char *path, bool as_json)
{
    wfl_thumb thumb = wfl_key_thumb(&pair->pub);
    wfl_buf   text;
    wfl_json  json;

    if (!as_json) {
        puts(thumb.text);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "thumbprint");
    wfl_json_cstr(&json, thumb.text);
    wfl_json_key(&json, "file");
    wfl_json_cstr(&json, path);
    wfl_json_key(&json, "jwk");
    wfl_key_write_jwk(&pair->pub, &json);
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

int admin_keygen(int argc, char **argv)
{
    const char             *path = NULL;
    uint32_t                has_path = 0, as_json = 0;
    const struct cli_option options[] = {
        {.name = "--out", .has_value = true, .values = &path, .max = 1, .count = &has_path},
        {.name = "--json", .count = &as_json},
    };
    struct wfl_key_pair pair = {0};
    struct wfl_secret   text = {0};
    struct cli_words    words;
    wfl_thumb           thumb;
    char                own[64];
    wfl_error           err = {0};
    wfl_code            rc;
    int                 status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count > 0)
        return cli_fail(CLI_USAGE, "keygen takes no words; name the file with --out FILE");
    rc = wfl_key_generate(&wfl_random_system, &pair, &err);
    if (rc == WFL_OK) rc = wfl_key_write_private(&pair, (wfl_slice){0}, NULL, &text, &err);
    if (rc == WFL_OK) {
        thumb = wfl_key_thumb(&pair.pub);
        /* Without --out: named by its thumbprint, which may begin with a dash. */
        snprintf(own, sizeof own, "key-%s.json", thumb.text);
        if (path == NULL) path = own;
        rc = wfl_key_write_file(path, wfl_slice_of(text.data, text.len), &err);
    }
    if (rc == WFL_OK) print_made(&pair, path, as_json > 0);
    wfl_secret_free(&text);
    wfl_key_pair_free(&pair);
    return rc == WFL_OK ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.message);
}

int admin_public(int argc, char **argv)
{
    uint32_t                as_json = 0; /* it is JSON either way */
    const struct cli_option options[] = {{.name = "--json", .count = &as_json}};
    struct cli_words        words;
    wfl_public_key          key;
    wfl_buf                 text;
    wfl_json                json;
    int                     status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count != 1) return cli_fail(CLI_USAGE, "public takes one key file");
    status = admin_read_public(words.items[0], &key);
    if (status != CLI_DONE) return status;
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_MAX);
    wfl_json_init(&json, &text);
    wfl_key_write_jwk(&key, &json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
    return CLI_DONE;
}
