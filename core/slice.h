/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed bytes with their length: what every parser takes and every record is made of.
 * A slice owns nothing; whoever hands one out says how long the bytes live. */
#ifndef WFL_CORE_SLICE_H
#define WFL_CORE_SLICE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WFL_MUST_USE           __attribute__((warn_unused_result))
#define WFL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define WFL_COUNT(array)       (sizeof(array) / sizeof((array)[0]))

typedef struct wfl_slice { /* borrowed, read-only, not NUL-terminated */
    const uint8_t *data;   /* NULL only when len is 0 */
    size_t         len;    /* bytes */
} wfl_slice;

/* A slice of a string literal, usable as an initialiser of statics too. */
#define WFL_LIT(literal)                                                                           \
    {                                                                                              \
        (const uint8_t *)("" literal), sizeof(literal) - 1                                         \
    }
#define WFL_S(literal) ((wfl_slice)WFL_LIT(literal))
/* printf arguments for "%.*s". Cuts at INT_MAX: a precision that is negative means none. */
#define WFL_FMT(s)                                                                                 \
    (int)((s).len < INT_MAX ? (s).len : INT_MAX), (s).len > 0 ? (const char *)(s).data : ""

static inline wfl_slice wfl_slice_of(const void *data, size_t len)
{
    return (wfl_slice){.data = data, .len = len};
}

/* The bytes of a C string without its NUL; NULL gives the empty slice. */
static inline wfl_slice wfl_slice_str(const char *text)
{
    return (wfl_slice){.data = (const uint8_t *)text, .len = text == NULL ? 0 : strlen(text)};
}

static inline bool wfl_slice_eq(wfl_slice a, wfl_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Unsigned byte order, the order of keys: <0, 0, >0. A prefix comes before what it begins. */
static inline int wfl_slice_cmp(wfl_slice a, wfl_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    order = n == 0 ? 0 : memcmp(a.data, b.data, n);

    if (order != 0) return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool wfl_slice_starts_with(wfl_slice s, wfl_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* Cut the first `n` bytes off `in`. False leaves both untouched; `n` may be hostile. */
static inline bool wfl_slice_take(wfl_slice *in, size_t n, wfl_slice *out)
{
    if (n > in->len) return false; /* never `off + n > len`: that sum can wrap */
    *out = (wfl_slice){.data = in->data, .len = n};
    if (n > 0) in->data += n; /* NULL + 0 is undefined in C17 */
    in->len -= n;
    return true;
}

/* Cut `in` at the first `sep`: `out` gets what is before it, `in` keeps what is after. False where
 * there is no `sep`: then `out` gets all and `in` becomes empty. */
bool wfl_slice_split(wfl_slice *in, uint8_t sep, wfl_slice *out);

/* Without leading and trailing spaces and tabs. */
wfl_slice wfl_slice_trim(wfl_slice s);

/* ASCII letters compare without case; for HTTP's tokens, never for keys. */
bool wfl_slice_eq_nocase(wfl_slice a, wfl_slice b);

/* A decimal without sign, leading zeros allowed, at most `max`. False: empty, other characters, or
 * larger; `*out` is then untouched. */
WFL_MUST_USE bool wfl_slice_to_u64(wfl_slice s, uint64_t max, uint64_t *out);

#endif
