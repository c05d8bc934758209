/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers that say who asks and what is sent, each at most once, and what is declared of a
 * body. Nothing here is believed yet. */
#include "auth/auth_private.h"

wfl_code auth_find_headers(const struct wfl_auth_request *r, struct found *f, wfl_error *err)
{
    static const wfl_slice names[H_COUNT] = {
        [H_AUTHORIZATION] = WFL_LIT("authorization"),
        [H_TIMESTAMP] = WFL_LIT("x-wfldb-timestamp"),
        [H_NONCE] = WFL_LIT("x-wfldb-nonce"),
        [H_BLAKE3] = WFL_LIT("x-wfldb-content-blake3"),
        [H_SHA256] = WFL_LIT("x-wfldb-content-sha256"),
        [H_SIGNATURE] = WFL_LIT("x-wfldb-signature"),
    };

    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < r->header_count; i++) {
        for (int h = 0; h < H_COUNT; h++) {
            if (!wfl_slice_eq_nocase(r->headers[i].name, names[h])) continue;
            if (f->given[h]) {
                return wfl_fail(err, WFL_DUPLICATE_HEADER, "header %.*s is sent twice",
                                WFL_FMT(names[h]));
            }
            f->given[h] = true;
            f->value[h] = wfl_slice_trim(r->headers[i].value);
        }
    }
    return WFL_OK;
}

wfl_code auth_read_content(const struct wfl_auth_request *r, const struct found *f,
                           struct wfl_identity *out, wfl_error *err)
{
    wfl_slice value = f->given[H_BLAKE3] ? f->value[H_BLAKE3] : f->value[H_SHA256];

    out->content = WFL_CONTENT_NONE;
    if (f->given[H_BLAKE3] && f->given[H_SHA256]) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "X-WflDB-Content-BLAKE3 and -SHA256 are given both");
    }
    if (!f->given[H_BLAKE3] && !f->given[H_SHA256]) {
        if (!r->has_body) return WFL_OK;
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "a body needs X-WflDB-Content-BLAKE3 or X-WflDB-Content-SHA256");
    }
    if (wfl_slice_eq(value, WFL_S("unsigned"))) {
        out->content = WFL_CONTENT_UNSIGNED;
        return WFL_OK;
    }
    if (!wfl_hex_decode(value, out->content_hash, sizeof out->content_hash)) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "a content hash is 64 lower-case hex digits, or unsigned");
    }
    out->content = f->given[H_BLAKE3] ? WFL_CONTENT_BLAKE3 : WFL_CONTENT_SHA256;
    return WFL_OK;
}
