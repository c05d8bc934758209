/* SPDX-License-Identifier: Apache-2.0
 *
 * Where memory comes from, the three shapes in which modules hold it, and their limits.
 * Allocators are passed in, so that a test can refuse the k-th allocation. */
#ifndef WFL_CORE_ALLOC_H
#define WFL_CORE_ALLOC_H

#include "core/slice.h"

/* Any thread, as far as `ctx` allows it. `resize` has realloc's contract, n == 0 frees. */
struct wfl_alloc {
    void *(*resize)(void *ctx, void *old, size_t n);
    void *ctx;
};

extern const struct wfl_alloc wfl_alloc_libc;

/* Uninitialised bytes, or NULL. */
WFL_MUST_USE void *wfl_alloc_get(const struct wfl_alloc *a, size_t n);
/* `count` x `size` zeroed bytes, or NULL; refuses a product that wraps. */
WFL_MUST_USE void *wfl_alloc_zero(const struct wfl_alloc *a, size_t count, size_t size);
/* realloc; NULL leaves `old` as it was. */
WFL_MUST_USE void *wfl_alloc_resize(const struct wfl_alloc *a, void *old, size_t n);
void               wfl_alloc_free(const struct wfl_alloc *a, void *p); /* NULL is accepted */

/* A growing byte buffer with a maximum. Appends past the maximum, or without memory, set `failed`
 * and change nothing; check once at the end with wfl_buf_ok. */
typedef struct wfl_buf {
    uint8_t                *data;
    size_t                  len; /* bytes used */
    size_t                  cap; /* bytes available */
    size_t                  max; /* cap never passes this */
    const struct wfl_alloc *alloc;
    bool                    failed;
} wfl_buf;

void wfl_buf_init(wfl_buf *b, const struct wfl_alloc *a, size_t max);
void wfl_buf_fini(wfl_buf *b);
/* Room for `n` more bytes behind len, or NULL with `failed` set. The caller adds to len itself. */
uint8_t *wfl_buf_reserve(wfl_buf *b, size_t n);
void     wfl_buf_add(wfl_buf *b, wfl_slice bytes);
void     wfl_buf_add_u8(wfl_buf *b, uint8_t byte);
void     wfl_buf_add_str(wfl_buf *b, const char *text);
/* A text of 512 bytes or more needs room for a NUL behind it, which is then not counted. */
WFL_PRINTF(2, 3) void wfl_buf_printf(wfl_buf *b, const char *format, ...);

static inline bool wfl_buf_ok(const wfl_buf *b)
{
    return !b->failed;
}

static inline wfl_slice wfl_buf_slice(const wfl_buf *b)
{
    return wfl_slice_of(b->data, b->len);
}

/* A bump allocator with a limit: born with a request, freed whole. Not thread-safe. */
struct wfl_arena_block;
typedef struct wfl_arena {
    struct wfl_arena_block *blocks; /* newest first */
    uint8_t                *at;
    size_t                  left; /* bytes behind `at` */
    size_t                  used; /* bytes taken from the allocator */
    size_t                  max;
    const struct wfl_alloc *alloc;
} wfl_arena;

void wfl_arena_init(wfl_arena *a, const struct wfl_alloc *alloc, size_t max);
void wfl_arena_fini(wfl_arena *a);
/* Keep the newest block for the next request if it is small (64 KiB), free the others: one large
 * request must not cost memory for ever. */
void wfl_arena_reset(wfl_arena *a);
/* Uninitialised, aligned for any type; NULL past the limit or without memory. n == 0 is legal. */
WFL_MUST_USE void *wfl_arena_get(wfl_arena *a, size_t n);
WFL_MUST_USE void *wfl_arena_zero(wfl_arena *a, size_t count, size_t size);
/* Copies; false: no room, `out` untouched. */
WFL_MUST_USE bool wfl_arena_copy(wfl_arena *a, wfl_slice bytes, wfl_slice *out);
/* Copy with a NUL behind it, or NULL. The slice must hold no NUL of its own if it matters. */
WFL_MUST_USE char *wfl_arena_cstr(wfl_arena *a, wfl_slice bytes);

#endif
