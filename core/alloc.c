/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocation, growing buffers and arenas. Running out is always an answer, never an abort: NULL, or
 * a buffer that says so at the end. */
#include "core/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BLOCK_MIN 8192
#define ARENA_KEEP_MAX  (64u << 10) /* bytes that a reset keeps for the next request */
#define BUF_CAP_MIN     256

static void *libc_resize(void *ctx, void *old, size_t n)
{
    (void)ctx;
    if (n == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, n);
}

const struct wfl_alloc wfl_alloc_libc = {.resize = libc_resize};

void *wfl_alloc_get(const struct wfl_alloc *a, size_t n)
{
    return a->resize(a->ctx, NULL, n == 0 ? 1 : n);
}

void *wfl_alloc_zero(const struct wfl_alloc *a, size_t count, size_t size)
{
    size_t n;
    void  *p;

    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    p = wfl_alloc_get(a, n);
    if (p != NULL) memset(p, 0, n);
    return p;
}

void *wfl_alloc_resize(const struct wfl_alloc *a, void *old, size_t n)
{
    return a->resize(a->ctx, old, n == 0 ? 1 : n);
}

void wfl_alloc_free(const struct wfl_alloc *a, void *p)
{
    if (p != NULL) a->resize(a->ctx, p, 0);
}

/* ---- buffers */

void wfl_buf_init(wfl_buf *b, const struct wfl_alloc *a, size_t max)
{
    *b = (wfl_buf){.max = max, .alloc = a};
}

void wfl_buf_fini(wfl_buf *b)
{
    if (b->alloc != NULL) wfl_alloc_free(b->alloc, b->data);
    *b = (wfl_buf){.max = b->max, .alloc = b->alloc};
}

uint8_t *wfl_buf_reserve(wfl_buf *b, size_t n)
{
    size_t   cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap;
    uint8_t *bigger;

    if (b->failed || n > b->max || b->len > b->max - n) {
        b->failed = true;
        return NULL;
    }
    if (b->cap - b->len >= n && b->data != NULL) return b->data + b->len;
    while (cap < b->len + n)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max) cap = b->max;
    bigger = wfl_alloc_resize(b->alloc, b->data, cap);
    if (bigger == NULL) {
        b->failed = true;
        return NULL;
    }
    b->data = bigger;
    b->cap = cap;
    return b->data + b->len;
}

void wfl_buf_add(wfl_buf *b, wfl_slice bytes)
{
    uint8_t *at;

    if (bytes.len == 0) return;
    at = wfl_buf_reserve(b, bytes.len);
    if (at == NULL) return;
    memcpy(at, bytes.data, bytes.len);
    b->len += bytes.len;
}

void wfl_buf_add_u8(wfl_buf *b, uint8_t byte)
{
    uint8_t *at = wfl_buf_reserve(b, 1);

    if (at == NULL) return;
    *at = byte;
    b->len++;
}

void wfl_buf_add_str(wfl_buf *b, const char *text)
{
    wfl_buf_add(b, wfl_slice_str(text));
}

void wfl_buf_printf(wfl_buf *b, const char *format, ...)
{
    char    small[512];
    va_list args;
    int     n;

    va_start(args, format);
    n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        wfl_buf_add(b, wfl_slice_of(small, (size_t)n));
        return;
    }
    uint8_t *at = wfl_buf_reserve(b, (size_t)n + 1);
    if (at == NULL) return;
    va_start(args, format);
    vsnprintf((char *)at, (size_t)n + 1, format, args);
    va_end(args);
    b->len += (size_t)n;
}

/* ---- arenas */

struct wfl_arena_block {
    struct wfl_arena_block *next;
    size_t                  size; /* of data */
    _Alignas(max_align_t) uint8_t data[];
};

void wfl_arena_init(wfl_arena *a, const struct wfl_alloc *alloc, size_t max)
{
    *a = (wfl_arena){.max = max, .alloc = alloc};
}

static void free_blocks(wfl_arena *a, struct wfl_arena_block *b)
{
    while (b != NULL) {
        struct wfl_arena_block *next = b->next;

        a->used -= b->size;
        wfl_alloc_free(a->alloc, b);
        b = next;
    }
}

void wfl_arena_fini(wfl_arena *a)
{
    free_blocks(a, a->blocks);
    a->blocks = NULL;
    a->at = NULL;
    a->left = 0;
}

void wfl_arena_reset(wfl_arena *a)
{
    if (a->blocks == NULL) return;
    if (a->blocks->size > ARENA_KEEP_MAX) {
        wfl_arena_fini(a);
        return;
    }
    free_blocks(a, a->blocks->next);
    a->blocks->next = NULL;
    a->at = a->blocks->data;
    a->left = a->blocks->size;
}

static bool add_block(wfl_arena *a, size_t n)
{
    size_t                  size = n < ARENA_BLOCK_MIN ? ARENA_BLOCK_MIN : n;
    struct wfl_arena_block *b;

    if (n > a->max || a->used > a->max - n) return false;
    if (size > a->max - a->used) size = n;
    if (size > SIZE_MAX - sizeof *b) return false;
    b = wfl_alloc_get(a->alloc, sizeof *b + size);
    if (b == NULL) return false;
    b->next = a->blocks;
    b->size = size;
    a->blocks = b;
    a->used += size;
    a->at = b->data;
    a->left = size;
    return true;
}

void *wfl_arena_get(wfl_arena *a, size_t n)
{
    const size_t align = _Alignof(max_align_t);
    void        *p;

    if (n > SIZE_MAX - align) return NULL;
    n = (n + align - 1) & ~(align - 1);
    if (n == 0) n = align;
    if (n > a->left && !add_block(a, n)) return NULL;
    p = a->at;
    a->at += n;
    a->left -= n;
    return p;
}

void *wfl_arena_zero(wfl_arena *a, size_t count, size_t size)
{
    size_t n;
    void  *p;

    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    p = wfl_arena_get(a, n);
    if (p != NULL) memset(p, 0, n);
    return p;
}

bool wfl_arena_copy(wfl_arena *a, wfl_slice bytes, wfl_slice *out)
{
    uint8_t *p;

    if (bytes.len == 0) {
        *out = (wfl_slice){0};
        return true;
    }
    p = wfl_arena_get(a, bytes.len);
    if (p == NULL) return false;
    memcpy(p, bytes.data, bytes.len);
    *out = wfl_slice_of(p, bytes.len);
    return true;
}

char *wfl_arena_cstr(wfl_arena *a, wfl_slice bytes)
{
    char *p;

    if (bytes.len == SIZE_MAX) return NULL;
    p = wfl_arena_get(a, bytes.len + 1);
    if (p == NULL) return NULL;
    if (bytes.len > 0) memcpy(p, bytes.data, bytes.len);
    p[bytes.len] = '\0';
    return p;
}
