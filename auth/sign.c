/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's side of a signed request: timestamp, nonce and signature for headers that are given,
 * under a key and packet, or under the key of a session's scope. */
#include "auth/auth_private.h"

#include <sodium.h>
#include <stdio.h>

#define CANONICAL_MAX (256u << 10)

static void write_timestamp(int64_t now_ns, char out[WFL_TIME_TEXT])
{
    char whole[WFL_TIME_TEXT];

    /* Nine decimals: a server that has just started refuses what is dated before its start. */
    wfl_time_format_ms((uint64_t)(now_ns / 1000000), whole);
    snprintf(out, WFL_TIME_TEXT, "%.19s.%09dZ", whole, (int)(now_ns % 1000000000));
}

/* The canonical text with timestamp and nonce, which are set in `out`. */
static wfl_code write_text(const struct wfl_auth_request *r, const char *credential_sha256_hex,
                           const struct wfl_signed_headers *out, wfl_arena *arena, wfl_buf *text,
                           wfl_error *err)
{
    struct wfl_auth_request full = *r;
    struct wfl_auth_header *headers = wfl_arena_get(arena, (r->header_count + 2) * sizeof *headers);

    if (headers == NULL) return wfl_fail(err, WFL_NOMEM, "signing: out of memory");
    if (r->header_count > 0) memcpy(headers, r->headers, r->header_count * sizeof *headers);
    headers[r->header_count] =
        (struct wfl_auth_header){WFL_S("x-wfldb-timestamp"), wfl_slice_str(out->timestamp)};
    headers[r->header_count + 1] =
        (struct wfl_auth_header){WFL_S("x-wfldb-nonce"), wfl_slice_str(out->nonce)};
    full.headers = headers;
    full.header_count = r->header_count + 2;
    return wfl_canonical_write(&full, credential_sha256_hex, arena, text, err);
}

wfl_code wfl_auth_sign_again(const struct wfl_key_pair *key, const char *packet_sha256_hex,
                             const struct wfl_auth_request *r, int64_t now_ns, const char *nonce,
                             wfl_arena *arena, struct wfl_signed_headers *out, wfl_error *err)
{
    uint8_t  signature[WFL_SIGNATURE_LEN];
    wfl_buf  text;
    wfl_code rc;

    write_timestamp(now_ns, out->timestamp);
    snprintf(out->nonce, sizeof out->nonce, "%s", nonce);
    wfl_buf_init(&text, &wfl_alloc_libc, CANONICAL_MAX);
    rc = write_text(r, packet_sha256_hex, out, arena, &text, err);
    if (rc == WFL_OK) {
        wfl_key_sign(key, wfl_buf_slice(&text), signature);
        wfl_b64u_encode(wfl_slice_of(signature, sizeof signature), out->signature);
    }
    wfl_buf_fini(&text);
    return rc;
}

wfl_code wfl_auth_sign(const struct wfl_key_pair *key, const char *packet_sha256_hex,
                       const struct wfl_auth_request *r, int64_t now_ns,
                       const struct wfl_random *random, wfl_arena *arena,
                       struct wfl_signed_headers *out, wfl_error *err)
{
    uint8_t bytes[16];
    char    nonce[2 * sizeof bytes + 1];

    wfl_random_fill(random, bytes, sizeof bytes);
    wfl_hex_encode(wfl_slice_of(bytes, sizeof bytes), nonce);
    return wfl_auth_sign_again(key, packet_sha256_hex, r, now_ns, nonce, arena, out, err);
}

wfl_code wfl_session_sign(const struct wfl_secret *key, const char *session, wfl_slice scope,
                          const struct wfl_auth_request *r, int64_t now_ns, uint64_t counter,
                          wfl_arena *arena, struct wfl_signed_headers *out, wfl_error *err)
{
    struct hmac_sha256_ctx ctx;
    char                   mac_key[65], hex[65];
    uint8_t                mac[32];
    wfl_buf                text;
    wfl_code               rc;

    write_timestamp(now_ns, out->timestamp);
    snprintf(out->nonce, sizeof out->nonce, "%llu", (unsigned long long)counter);
    wfl_auth_sha256_hex(wfl_slice_str(session), hex);
    wfl_buf_init(&text, &wfl_alloc_libc, CANONICAL_MAX);
    rc = write_text(r, hex, out, arena, &text, err);
    if (rc == WFL_OK) {
        session_mac_key(key->data, scope, mac_key);
        hmac_sha256_set_key(&ctx, 64, (const uint8_t *)mac_key);
        hmac_sha256_update(&ctx, text.len, text.data);
        hmac_sha256_digest(&ctx, sizeof mac, mac);
        wfl_hex_encode(wfl_slice_of(mac, sizeof mac), out->signature);
        sodium_memzero(&ctx, sizeof ctx);
        sodium_memzero(mac_key, sizeof mac_key);
    }
    wfl_buf_fini(&text);
    return rc;
}
