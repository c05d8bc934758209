/* SPDX-License-Identifier: Apache-2.0
 *
 * Public JWKs, key files and credential files. What is accepted is written and read back the same;
 * whatever has a private half that is accepted has a public one that is. */
#include "fuzz.h"

#include "auth/auth.h"

static void start_once(void)
{
    static bool started;
    wfl_error   err;

    if (!started && wfl_auth_init(&err) != WFL_OK) abort();
    started = true;
}

static void check_public(const wfl_public_key *key)
{
    wfl_public_key back;
    wfl_buf        text;
    wfl_json       json;
    wfl_error      err;
    wfl_code       rc;

    assert(wfl_key_usable(key));
    wfl_buf_init(&text, &wfl_alloc_libc, 4096);
    wfl_json_init(&json, &text);
    wfl_key_write_jwk(key, &json);
    rc = wfl_key_parse_public(wfl_buf_slice(&text), &back, &err);
    assert(rc == WFL_OK && memcmp(back.bytes, key->bytes, WFL_KEY_LEN) == 0);
    wfl_buf_fini(&text);
}

static void check_signs(const struct wfl_key_pair *pair)
{
    uint8_t signature[WFL_SIGNATURE_LEN];

    wfl_key_sign(pair, WFL_S("text"), signature);
    assert(wfl_key_verify(&pair->pub, WFL_S("text"), signature));
}

static void check_written(const struct wfl_key_pair *pair, wfl_slice packet,
                          const struct wfl_key_server *server)
{
    struct wfl_secret     text = {0};
    struct wfl_key_pair   back = {0};
    wfl_slice             packet_back;
    struct wfl_key_server server_back;
    wfl_arena             arena;
    wfl_error             err;
    wfl_code              rc = wfl_key_write_private(pair, packet, server, &text, &err);

    /* JSON writes a byte as up to six; a file has its limit. */
    if (rc != WFL_OK) {
        assert(packet.len + server->endpoint.len + server->ca.len + server->pin.len > 8192);
        return;
    }
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    rc = wfl_key_parse_private(wfl_slice_of(text.data, text.len), &arena, &back, &packet_back,
                               &server_back, &err);
    assert(rc == WFL_OK && memcmp(back.pub.bytes, pair->pub.bytes, WFL_KEY_LEN) == 0);
    assert(wfl_slice_eq(packet, packet_back) &&
           wfl_slice_eq(server->endpoint, server_back.endpoint) &&
           wfl_slice_eq(server->ca, server_back.ca) && wfl_slice_eq(server->pin, server_back.pin));
    assert(server->has_identity == server_back.has_identity);
    assert(memcmp(&server->identity, &server_back.identity, sizeof server->identity) == 0);
    wfl_key_pair_free(&back);
    wfl_arena_fini(&arena);
    wfl_secret_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_slice             text = wfl_slice_of(data, size), packet;
    struct wfl_key_server server;
    wfl_public_key        key;
    struct wfl_key_pair   pair = {0};
    wfl_arena             arena;
    wfl_error             err = {0};
    wfl_code              public_rc, private_rc;

    start_once();
    public_rc = wfl_key_parse_public(text, &key, &err);
    assert(public_rc == WFL_OK || public_rc == WFL_INVALID_REQUEST);
    if (public_rc == WFL_OK) check_public(&key);
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    private_rc = wfl_key_parse_private(text, &arena, &pair, &packet, &server, &err);
    assert(private_rc == WFL_OK || private_rc == WFL_INVALID_REQUEST);
    if (private_rc == WFL_OK) {
        assert(public_rc == WFL_OK && memcmp(key.bytes, pair.pub.bytes, WFL_KEY_LEN) == 0);
        check_signs(&pair);
        check_written(&pair, packet, &server);
    } else {
        assert(pair.secret.data == NULL);
    }
    wfl_key_pair_free(&pair);
    wfl_arena_fini(&arena);
    return 0;
}
