/* SPDX-License-Identifier: Apache-2.0
 *
 * credential: a key file and the packet that was issued to it become the one file that clients use.
 * Whoever got a packet for a key of their own needs it: the issuer never had the private half. */
#include "admin/admin.h"

/* The packet must be this key's, or every request would be refused later. */
static wfl_code check_holder(wfl_slice text, const wfl_public_key *key, wfl_error *err)
{
    struct wfl_packet *packet = NULL;
    wfl_code           rc = wfl_packet_parse(text, &wfl_alloc_libc, &packet, err);

    if (rc == WFL_OK && memcmp(wfl_packet_last(packet)->holder.bytes, key->bytes, WFL_KEY_LEN) != 0)
        rc = wfl_fail(err, WFL_INVALID_REQUEST, "the packet was issued to another key");
    wfl_packet_unref(packet);
    return rc;
}

int admin_write_credential(const char *key_path, wfl_slice packet,
                           const struct wfl_key_server *server, const char *path)
{
    struct wfl_secret   key_text = {0}, text = {0};
    struct wfl_key_pair holder = {0};
    wfl_arena           arena;
    wfl_error           err = {.code = WFL_OK};
    wfl_code            rc;
    bool                missing;

    wfl_arena_init(&arena, &wfl_alloc_libc, 128u << 10);
    rc = wfl_key_read_file(key_path, true, &key_text, &err);
    missing = rc == WFL_NOT_FOUND;
    if (rc == WFL_OK) {
        rc = wfl_key_parse_private(wfl_slice_of(key_text.data, key_text.len), &arena, &holder, NULL,
                                   NULL, &err);
    }
    if (rc != WFL_OK) wfl_wrap(&err, "key %s", key_path);
    if (rc == WFL_OK) rc = check_holder(packet, &holder.pub, &err);
    if (rc == WFL_OK) rc = wfl_key_write_private(&holder, packet, server, &text, &err);
    if (rc == WFL_OK) rc = wfl_key_write_file(path, wfl_slice_of(text.data, text.len), &err);
    wfl_secret_free(&key_text);
    wfl_secret_free(&text);
    wfl_key_pair_free(&holder);
    wfl_arena_fini(&arena);
    if (rc == WFL_OK) return CLI_DONE;
    return cli_fail(missing ? CLI_NOT_FOUND : CLI_FAILED, "credential: %s", err.message);
}

int admin_read_identity(const char *path, struct wfl_key_server *out)
{
    if (path == NULL) return CLI_DONE;
    out->has_identity = true;
    return admin_read_public(path, &out->identity);
}

int admin_credential(int argc, char **argv)
{
    struct wfl_key_server server = {0};
    const char           *out = NULL, *endpoint = NULL, *ca = NULL, *pin = NULL, *identity = NULL;
    uint32_t has_out = 0, has_endpoint = 0, has_ca = 0, has_pin = 0, has_identity = 0, as_json = 0;
    const struct cli_option options[] = {
        {.name = "--out", .has_value = true, .values = &out, .max = 1, .count = &has_out},
        {.name = "--endpoint",
         .has_value = true,
         .values = &endpoint,
         .max = 1,
         .count = &has_endpoint},
        {.name = "--ca", .has_value = true, .values = &ca, .max = 1, .count = &has_ca},
        {.name = "--pin", .has_value = true, .values = &pin, .max = 1, .count = &has_pin},
        {.name = "--server",
         .has_value = true,
         .values = &identity,
         .max = 1,
         .count = &has_identity},
        {.name = "--json", .count = &as_json},
    };
    struct cli_words words;
    wfl_arena        arena;
    wfl_slice        packet = {0};
    int              status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count != 2 || out == NULL) {
        return cli_fail(CLI_USAGE,
                        "use it so: wfldb-admin credential KEY-FILE PACKET-FILE --out FILE");
    }
    wfl_arena_init(&arena, &wfl_alloc_libc, 128u << 10);
    status = admin_read_packet(words.items[1], &arena, &packet);
    server.endpoint = wfl_slice_str(endpoint);
    server.ca = wfl_slice_str(ca);
    server.pin = wfl_slice_str(pin);
    if (status == CLI_DONE) status = admin_read_identity(identity, &server);
    if (status == CLI_DONE) status = admin_write_credential(words.items[0], packet, &server, out);
    wfl_arena_fini(&arena);
    if (status == CLI_DONE && as_json > 0) puts("{}");
    return status;
}
