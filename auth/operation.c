/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request asks for, apart from who asks, when and how it is signed: method, canonical path
 * and query, and the signed headers, which have the content's hash among them. Two requests of a
 * client that agree in this and in the nonce are one operation, sent twice. The authority is left
 * out: a client may find the server under another name when it tries again. */
#include "auth/auth_private.h"

static bool is_left_out(unsigned line, wfl_slice text)
{
    enum { AUTHORITY = 4, CREDENTIAL = 5 };

    return line == AUTHORITY || line == CREDENTIAL ||
           (line > CREDENTIAL && (wfl_slice_starts_with(text, WFL_S("x-wfldb-timestamp:")) ||
                                  wfl_slice_starts_with(text, WFL_S("x-wfldb-nonce:"))));
}

void auth_operation_hash(wfl_slice method, wfl_slice canonical_text, uint8_t out[32])
{
    struct wfl_hasher h;
    wfl_slice         line;
    wfl_hash          hash;

    if (wfl_slice_eq(method, WFL_S("GET")) || wfl_slice_eq(method, WFL_S("HEAD"))) return;
    wfl_hasher_init(&h);
    for (unsigned i = 0; canonical_text.len > 0; i++) {
        const uint8_t *start = canonical_text.data;
        bool           more = wfl_slice_split(&canonical_text, '\n', &line);

        if (!is_left_out(i, line)) wfl_hasher_add(&h, wfl_slice_of(start, line.len + more));
    }
    hash = wfl_hasher_result(&h);
    memcpy(out, hash.bytes, sizeof hash.bytes);
}
