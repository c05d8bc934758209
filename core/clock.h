/* SPDX-License-Identifier: Apache-2.0
 *
 * Time and randomness, passed in so that a test can hold both. */
#ifndef WFL_CORE_CLOCK_H
#define WFL_CORE_CLOCK_H

#include "core/alloc.h"

/* Any thread. */
struct wfl_clock {
    int64_t (*unix_ns)(void *ctx); /* wall clock, may step */
    int64_t (*mono_ns)(void *ctx); /* never steps back */
    void *ctx;
};
extern const struct wfl_clock wfl_clock_system;

static inline int64_t wfl_clock_unix_ns(const struct wfl_clock *c)
{
    return c->unix_ns(c->ctx);
}
static inline uint64_t wfl_clock_unix_ms(const struct wfl_clock *c)
{
    return (uint64_t)(c->unix_ns(c->ctx) / 1000000);
}
static inline int64_t wfl_clock_mono_ns(const struct wfl_clock *c)
{
    return c->mono_ns(c->ctx);
}

/* Any thread. Fills all of `out`; the system source aborts where the kernel has no randomness,
 * because nothing after that could be trusted. */
struct wfl_random {
    void (*fill)(void *ctx, uint8_t *out, size_t n);
    void *ctx;
};
extern const struct wfl_random wfl_random_system;

static inline void wfl_random_fill(const struct wfl_random *r, uint8_t *out, size_t n)
{
    r->fill(r->ctx, out, n);
}

/* RFC 3339 in UTC ("Z", upper-case), whole seconds or 1 to 9 decimals, years 1970 to 9999.
 * Unix nanoseconds would wrap in 2262, hence seconds and nanoseconds apart. */
typedef struct wfl_time {
    int64_t sec;  /* Unix seconds */
    int32_t nsec; /* 0..999999999 */
} wfl_time;
WFL_MUST_USE bool wfl_time_parse(wfl_slice text, wfl_time *out);
/* "2026-11-24T10:00:00.123Z" and a NUL; out takes WFL_TIME_TEXT bytes. */
#define WFL_TIME_TEXT 32
void wfl_time_format_ms(uint64_t unix_ms, char out[WFL_TIME_TEXT]);
/* IMF-fixdate of RFC 9110: "Tue, 24 Nov 2026 10:00:00 GMT" and a NUL. */
void wfl_time_format_http(int64_t unix_sec, char out[WFL_TIME_TEXT]);

#endif
