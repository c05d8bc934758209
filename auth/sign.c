/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's side of a signed request: timestamp, nonce and signature for headers that are given.
 */
#include "auth/auth_private.h"

#include <sodium.h>
#include <stdio.h>

static void write_timestamp(int64_t now_ns, char out[WFL_TIME_TEXT])
{
    char whole[WFL_TIME_TEXT];

    /* Nine decimals: a server that has just started refuses what is dated before its start. */
    wfl_time_format_ms((uint64_t)(now_ns / 1000000), whole);
    snprintf(out, WFL_TIME_TEXT, "%.19s.%09dZ", whole, (int)(now_ns % 1000000000));
}

wfl_code wfl_auth_sign(const struct wfl_key_pair *key, const char *packet_sha256_hex,
                       const struct wfl_auth_request *r, int64_t now_ns,
                       const struct wfl_random *random, wfl_arena *arena,
                       struct wfl_signed_headers *out, wfl_error *err)
{
    struct wfl_auth_request full = *r;
    struct wfl_auth_header *headers = wfl_arena_get(arena, (r->header_count + 2) * sizeof *headers);
    uint8_t                 nonce[16], signature[WFL_SIGNATURE_LEN];
    wfl_buf                 text;
    wfl_code                rc;

    if (headers == NULL) return wfl_fail(err, WFL_NOMEM, "signing: out of memory");
    write_timestamp(now_ns, out->timestamp);
    wfl_random_fill(random, nonce, sizeof nonce);
    wfl_hex_encode(wfl_slice_of(nonce, sizeof nonce), out->nonce);
    if (r->header_count > 0) memcpy(headers, r->headers, r->header_count * sizeof *headers);
    headers[r->header_count] =
        (struct wfl_auth_header){WFL_S("x-wfldb-timestamp"), wfl_slice_str(out->timestamp)};
    headers[r->header_count + 1] =
        (struct wfl_auth_header){WFL_S("x-wfldb-nonce"), wfl_slice_str(out->nonce)};
    full.headers = headers;
    full.header_count = r->header_count + 2;
    wfl_buf_init(&text, &wfl_alloc_libc, 256u << 10);
    rc = wfl_canonical_write(&full, packet_sha256_hex, arena, &text, err);
    if (rc == WFL_OK) {
        wfl_key_sign(key, wfl_buf_slice(&text), signature);
        wfl_b64u_encode(wfl_slice_of(signature, sizeof signature), out->signature);
    }
    wfl_buf_fini(&text);
    return rc;
}
