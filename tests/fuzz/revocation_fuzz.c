/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a revocation, and the place in the listing that a cursor says. What is accepted names
 * exactly one thing, in the one way in which it can be written; nothing else is. */
#include "fuzz.h"

#include "server/revocation_json.h"

static void check_place(wfl_slice text)
{
    struct wfl_revocation r;
    char                  again[WFL_REVOCATION_PLACE_TEXT];

    if (!revocation_place_parse(text, &r)) return;
    revocation_place_write(&r, again);
    assert(wfl_slice_eq(text, wfl_slice_str(again)));
}

static void check_body(wfl_slice json)
{
    struct revocation_body body;
    wfl_arena              arena;
    wfl_error              err = {0};
    wfl_code               rc;

    wfl_arena_init(&arena, &wfl_alloc_libc, 64u << 10);
    rc = revocation_body_parse(json, &arena, &body, &err);
    if (rc != WFL_OK) {
        assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_REQUEST);
        assert(rc == err.code && err.message[0] != '\0');
    } else {
        assert((body.what.kid[0] != '\0') == (body.what.kind == WFL_REVOKED_KID));
        assert((body.link.len > 0) == (body.what.kind == WFL_REVOKED_LINK));
        assert(strlen(body.what.reason) <= WFL_REASON_MAX);
        if (body.what.kind != WFL_REVOKED_LINK) {
            char place[WFL_REVOCATION_PLACE_TEXT];

            revocation_place_write(&body.what, place);
            check_place(wfl_slice_str(place));
        }
    }
    wfl_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_body(wfl_slice_of(data, size));
    check_place(wfl_slice_of(data, size));
    return 0;
}
