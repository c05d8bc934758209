/* SPDX-License-Identifier: Apache-2.0
 *
 * What a revocation is asked for with, from bytes to values. Pure. */
#ifndef WFL_SERVER_REVOCATION_JSON_H
#define WFL_SERVER_REVOCATION_JSON_H

#include "store/store.h"

#define WFL_REVOCATION_BYTES_MAX (16u << 10)

struct revocation_body {
    struct wfl_revocation what; /* kind, reason; of a jti or kid that too */
    wfl_slice             link; /* of a link: the JWT, in the arena */
};
/* {"jti":...}, {"kid":...} or {"link":...}, one of them, each with or without a "reason".
 * INVALID_JSON: it is no JSON, or has a member twice; INVALID_REQUEST: anything else; NOMEM. */
WFL_MUST_USE wfl_code revocation_body_parse(wfl_slice json, wfl_arena *arena,
                                            struct revocation_body *out, wfl_error *err);

/* An entry's place in the listing as text, and back. False: it is none. */
#define WFL_REVOCATION_PLACE_TEXT 72
void revocation_place_write(const struct wfl_revocation *r, char out[WFL_REVOCATION_PLACE_TEXT]);
WFL_MUST_USE bool revocation_place_parse(wfl_slice text, struct wfl_revocation *out);

/* One entry, one object. */
void revocation_write(const struct wfl_revocation *r, wfl_json *out);

#endif
