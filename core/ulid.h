/* SPDX-License-Identifier: Apache-2.0
 *
 * ULIDs: 48 bits of milliseconds, 80 bits of randomness, sortable as bytes and as text. */
#ifndef WFL_CORE_ULID_H
#define WFL_CORE_ULID_H

#include "core/error.h"

#define WFL_ULID_TEXT_LEN 26

typedef struct wfl_ulid { /* big-endian, so memcmp is the order; all zero is "none" */
    uint8_t bytes[16];
} wfl_ulid;

static inline int wfl_ulid_cmp(const wfl_ulid *a, const wfl_ulid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline bool wfl_ulid_is_zero(const wfl_ulid *u)
{
    static const wfl_ulid zero;
    return wfl_ulid_cmp(u, &zero) == 0;
}

/* 26 upper-case characters and a NUL. */
void wfl_ulid_format(const wfl_ulid *u, char out[WFL_ULID_TEXT_LEN + 1]);
/* Exactly 26 upper-case Crockford characters, the first 0-7; else false, `out` untouched. */
WFL_MUST_USE bool wfl_ulid_parse(wfl_slice text, wfl_ulid *out);
uint64_t          wfl_ulid_ms(const wfl_ulid *u); /* Unix milliseconds */
/* The smallest ULID of a millisecond; for "as of this time" use the largest. */
wfl_ulid wfl_ulid_from_ms(uint64_t ms, bool largest);

/* A monotonic source: every ULID is greater than the one before, also when the clock steps back
 * (then the last one plus one). One thread. Zero value ready to use; set `last` to go on from a
 * stored position. */
struct wfl_ulid_source {
    wfl_ulid last;
};
/* `random`: 10 fresh random bytes. WFL_INTERNAL only past the end of ULID time (year 10889). */
WFL_MUST_USE wfl_code wfl_ulid_next(struct wfl_ulid_source *s, uint64_t now_ms,
                                    const uint8_t random[10], wfl_ulid *out, wfl_error *err);

#endif
