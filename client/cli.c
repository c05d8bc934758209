/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli.h. Nothing here prints a secret: credential errors name the file, never its content. */
#include "client/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

static const char *program = "wfldb";

void cli_set_program(const char *name)
{
    program = name;
}

/* Whatever a server or a file says: one line, and nothing that a terminal obeys (C0, DEL, C1). */
static void keep_on_one_line(unsigned char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text == 0x7F) *text = ' ';
        if (text[0] == 0xC2 && text[1] >= 0x80 && text[1] < 0xA0) text[0] = text[1] = ' ';
    }
}

int(cli_fail)(int code, const char *format, ...)
{
    char    text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    keep_on_one_line((unsigned char *)text);
    fprintf(stderr, "%s: %s\n", program, text);
    return code;
}

int cli_finish(int status)
{
    bool failed_before = ferror(stdout) != 0, failed = fflush(stdout) != 0;

    if (status != CLI_DONE || (!failed && !failed_before)) return status;
    return cli_fail(CLI_FAILED, "standard output: %s", failed ? strerror(errno) : "write failed");
}

int cli_print_help(const char *text)
{
    if (fputs(text, stdout) < 0)
        return cli_fail(CLI_FAILED, "standard output: %s", strerror(errno));
    return cli_finish(CLI_DONE);
}

/* ---- options */

static const struct cli_option *find_option(const struct cli_option *options, size_t count,
                                            wfl_slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (wfl_slice_eq(name, wfl_slice_str(options[i].name))) return &options[i];
        if (options[i].also != NULL && wfl_slice_eq(name, wfl_slice_str(options[i].also)))
            return &options[i];
    }
    return NULL;
}

static int take_option(const struct cli_option *o, const char *value)
{
    if (*o->count > 0 && !o->repeats) return cli_fail(CLI_USAGE, "%s is given twice", o->name);
    if (o->has_value) {
        if (*o->count == o->max)
            return cli_fail(CLI_USAGE, "%s is given more than %u times", o->name, o->max);
        o->values[*o->count] = value;
    }
    (*o->count)++;
    return CLI_DONE;
}

int cli_parse(int argc, char **argv, const struct cli_option *options, size_t option_count,
              struct cli_words *words)
{
    bool only_words = false;
    int  rc = CLI_DONE;

    words->count = 0;
    for (int i = 0; i < argc && rc == CLI_DONE; i++) {
        wfl_slice                rest = wfl_slice_str(argv[i]), name;
        const struct cli_option *o;
        bool                     inline_value;

        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (words->count == CLI_WORDS_MAX) return cli_fail(CLI_USAGE, "too many words");
            words->items[words->count++] = argv[i];
            continue;
        }
        inline_value = wfl_slice_split(&rest, '=', &name);
        o = find_option(options, option_count, name);
        if (o == NULL) return cli_fail(CLI_USAGE, "%s is no option here; see --help", argv[i]);
        if (!o->has_value && inline_value) return cli_fail(CLI_USAGE, "%s takes no value", o->name);
        if (inline_value) {
            rc = take_option(o, (const char *)rest.data);
        } else if (!o->has_value || (o->fits != NULL && (i + 1 == argc || !o->fits(argv[i + 1])))) {
            rc = take_option(o, NULL);
        } else {
            if (++i == argc) return cli_fail(CLI_USAGE, "%s needs a value", o->name);
            rc = take_option(o, argv[i]);
        }
    }
    return rc;
}

bool cli_parse_seconds(const char *text, int64_t *out)
{
    static const struct {
        char     unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    wfl_slice digits = wfl_slice_str(text);
    uint64_t  factor = 1, value;

    for (size_t i = 0; i < WFL_COUNT(units) && digits.len > 1; i++) {
        if (digits.data[digits.len - 1] != (uint8_t)units[i].unit) continue;
        factor = units[i].seconds;
        digits.len--;
        break;
    }
    if (!wfl_slice_to_u64(digits, 4000000000u / factor, &value) || value == 0) return false;
    *out = (int64_t)(value * factor);
    return true;
}

bool cli_parse_grant(const char *text, struct wfl_grant *out)
{
    wfl_slice all = wfl_slice_str(text), place, ops, op;
    bool      more = true;
    size_t    at = all.len;

    while (at > 0 && all.data[at - 1] != '=')
        at--;
    if (at == 0) return false;
    place = wfl_slice_of(all.data, at - 1);
    ops = wfl_slice_of(all.data + at, all.len - at);
    *out = (struct wfl_grant){0};
    wfl_slice_split(&place, ':', &out->bucket);
    out->prefix = place;
    if (!wfl_name_bucket_pattern_valid(out->bucket)) return false;
    while (more) {
        unsigned bit;

        more = wfl_slice_split(&ops, ',', &op);
        bit = wfl_op_parse(wfl_slice_trim(op));
        if (bit == 0 || (out->ops & bit) != 0) return false;
        out->ops |= bit;
    }
    return true;
}

/* ---- files */

int cli_load_credential(const char *path, struct cli_credential *out)
{
    struct wfl_secret text = {0};
    char              home_path[4096];
    const char       *home = getenv("HOME");
    wfl_error         err = {0};
    wfl_code          rc;

    memset(out, 0, sizeof *out);
    wfl_arena_init(&out->arena, &wfl_alloc_libc, 128u << 10);
    if (path == NULL) path = getenv("WFLDB_CREDENTIAL");
    if (path == NULL || *path == '\0') {
        snprintf(home_path, sizeof home_path, "%s/.config/wfldb/credential.json",
                 home == NULL ? "" : home);
        path = home_path;
    }
    rc = wfl_key_read_file(path, true, &text, &err);
    if (rc == WFL_OK) {
        rc = wfl_key_parse_private(wfl_slice_of(text.data, text.len), &out->arena, &out->key,
                                   &out->packet, &out->server, &err);
    }
    wfl_secret_free(&text);
    if (rc == WFL_OK && out->packet.len == 0)
        rc = wfl_fail(&err, WFL_INVALID_REQUEST, "it holds a key but no packet");
    if (rc == WFL_OK) return CLI_DONE;
    return cli_fail(CLI_USAGE,
                    "credential %s: %s; name one with --credential FILE or WFLDB_CREDENTIAL", path,
                    err.message);
}

void cli_credential_fini(struct cli_credential *c)
{
    wfl_key_pair_free(&c->key);
    wfl_arena_fini(&c->arena);
}

int cli_read_all(const char *path, size_t max, uint8_t **out, size_t *len)
{
    bool    standard = strcmp(path, "-") == 0;
    FILE   *f = standard ? stdin : fopen(path, "re");
    wfl_buf text;
    size_t  n = 1;

    if (f == NULL) return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
    wfl_buf_init(&text, &wfl_alloc_libc, max + 1);
    while (n > 0 && text.len <= max) {
        size_t   want = max + 1 - text.len < 65536 ? max + 1 - text.len : 65536;
        uint8_t *at = wfl_buf_reserve(&text, want);

        if (at == NULL) break;
        n = fread(at, 1, want, f);
        text.len += n;
    }
    bool failed = ferror(f) != 0;
    int  why = errno;
    if (!standard) fclose(f);
    if (failed || !wfl_buf_ok(&text) || text.len > max) {
        bool large = text.len > max;

        wfl_buf_fini(&text);
        if (large) return cli_fail(CLI_FAILED, "%s is larger than %zu bytes", path, max);
        return cli_fail(CLI_FAILED, "%s: %s", path, failed ? strerror(why) : "out of memory");
    }
    *out = text.data;
    *len = text.len;
    return CLI_DONE;
}

void cli_print_json(wfl_buf *text)
{
    wfl_buf_add_u8(text, '\n');
    if (wfl_buf_ok(text)) fwrite(text->data, 1, text->len, stdout);
}
