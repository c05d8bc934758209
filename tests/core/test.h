/* SPDX-License-Identifier: Apache-2.0
 *
 * What core's tests share: cmocka, a seeded generator for property rounds, and an allocator that
 * counts and refuses. */
#ifndef WFL_TESTS_CORE_TEST_H
#define WFL_TESTS_CORE_TEST_H

#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- randomness that can be had again (splitmix64) */

struct prng {
    uint64_t state;
};

/* A fresh seed, or WFL_SEED's; printed, so that a failure can be replayed. */
static inline struct prng prng_from_env(void)
{
    const char *given = getenv("WFL_SEED");
    struct prng p;

    wfl_random_fill(&wfl_random_system, (uint8_t *)&p.state, sizeof p.state);
    if (given != NULL) p.state = strtoull(given, NULL, 10);
    printf("# WFL_SEED=%llu\n", (unsigned long long)p.state);
    return p;
}

static inline uint64_t prng_next(struct prng *p)
{
    uint64_t z = p->state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline size_t prng_below(struct prng *p, size_t n)
{
    return (size_t)(prng_next(p) % n);
}

/* Up to `cap` random bytes in `place`. */
static inline wfl_slice prng_bytes(struct prng *p, uint8_t *place, size_t cap)
{
    size_t n = prng_below(p, cap + 1);

    for (size_t i = 0; i < n; i++)
        place[i] = (uint8_t)prng_next(p);
    return wfl_slice_of(place, n);
}

/* ---- memory that can be refused */

struct counted { /* `alloc` comes first: pass &c.alloc */
    struct wfl_alloc alloc;
    unsigned         calls, live; /* asked for memory; blocks not freed yet */
    unsigned         refuse_at;   /* the call, from 1, that gets none; 0: never */
};

static inline void *counted_resize(void *ctx, void *old, size_t n)
{
    struct counted *c = ctx;
    void           *got;

    if (n == 0) {
        free(old);
        c->live--;
        return NULL;
    }
    if (++c->calls == c->refuse_at) return NULL;
    got = realloc(old, n);
    if (old == NULL && got != NULL) c->live++;
    return got;
}

/* `c` must stay where it is. */
static inline void counted_init(struct counted *c, unsigned refuse_at)
{
    *c = (struct counted){.alloc = {counted_resize, c}, .refuse_at = refuse_at};
}

#define assert_text_equal(slice, text)                                                             \
    do {                                                                                           \
        wfl_slice got_ = (slice), want_ = wfl_slice_str(text);                                     \
        if (!wfl_slice_eq(got_, want_))                                                            \
            fail_msg("got '%.*s', expected '%s'", WFL_FMT(got_), (const char *)want_.data);        \
    } while (0)

#endif
