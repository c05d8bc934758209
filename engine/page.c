/* SPDX-License-Identifier: Apache-2.0
 *
 * One page of a range, the same for every engine: walk, copy keys and values into one block, and
 * where keys are folded seek past the group instead of walking it. Bytes and pairs are gathered in
 * two buffers; pointers are made at the end, when nothing moves any more. A page whose memory is
 * refused is NOMEM and holds nothing. */
#include "engine/engine_private.h"

#define PAGE_BYTES_DEFAULT (16u << 20)
#define PAGE_MEMORY_MAX    (256u << 20)

struct page { /* what range->own.memory points to */
    const struct wfl_alloc *alloc;
    wfl_buf                 bytes; /* keys and values, one behind the other */
    wfl_buf                 pairs; /* struct wfl_pair; data holds offsets until page_finish */
};

struct walk {
    struct wfl_engine_range     *range;
    const struct wfl_cursor_ops *ops;
    void                        *at;
    struct page                 *page;
    wfl_buf                      target; /* a seek's key */
};

static bool in_range(const struct wfl_engine_range *r, wfl_slice key)
{
    return wfl_slice_cmp(key, r->from) >= 0 && (r->to.len == 0 || wfl_slice_cmp(key, r->to) < 0);
}

/* Length of the folded part of `key`, 0: not folded. */
static size_t fold_length(const struct wfl_engine_range *r, wfl_slice key)
{
    const uint8_t *hit;

    if (r->fold_delimiter.len == 0 || key.len <= r->fold_offset) return 0;
    hit = memmem(key.data + r->fold_offset, key.len - r->fold_offset, r->fold_delimiter.data,
                 r->fold_delimiter.len);
    return hit == NULL ? 0 : (size_t)(hit - key.data) + r->fold_delimiter.len;
}

static void add_pair(struct page *p, wfl_slice key, wfl_slice value, bool folded)
{
    struct wfl_pair pair = {
        .key = {.data = (const uint8_t *)(uintptr_t)p->bytes.len, .len = key.len},
        .value = {.data = (const uint8_t *)(uintptr_t)(p->bytes.len + key.len), .len = value.len},
        .folded = folded,
    };

    wfl_buf_add(&p->bytes, key);
    wfl_buf_add(&p->bytes, value);
    wfl_buf_add(&p->pairs, wfl_slice_of(&pair, sizeof pair));
}

/* The smallest key above all that begin with `prefix`. False: there is none. */
static bool successor(wfl_slice prefix, wfl_buf *out)
{
    out->len = 0;
    wfl_buf_add(out, prefix);
    if (!wfl_buf_ok(out)) return false;
    while (out->len > 0 && out->data[out->len - 1] == 0xFF)
        out->len--;
    if (out->len == 0) return false;
    out->data[out->len - 1]++;
    return true;
}

/* Past all keys that begin with the folded prefix. False: the space ends there. */
static bool pass_group(struct walk *w, wfl_slice prefix)
{
    wfl_slice key, value;

    if (!w->range->reverse) {
        if (!successor(prefix, &w->target)) return false;
        w->ops->seek(w->at, wfl_buf_slice(&w->target));
        return true;
    }
    w->target.len = 0;
    wfl_buf_add(&w->target, prefix);
    if (!wfl_buf_ok(&w->target)) return false;
    w->ops->seek_last(w->at, wfl_buf_slice(&w->target));
    if (w->ops->valid(w->at)) {
        w->ops->read(w->at, &key, &value);
        if (wfl_slice_eq(key, wfl_buf_slice(&w->target))) w->ops->step(w->at, true);
    }
    return true;
}

static void first(struct walk *w)
{
    struct wfl_engine_range *r = w->range;
    wfl_slice                key, value;

    if (!r->reverse) {
        w->ops->seek(w->at, r->from);
        return;
    }
    w->ops->seek_last(w->at, r->to);
    if (r->to.len > 0 && w->ops->valid(w->at)) {
        w->ops->read(w->at, &key, &value);
        if (wfl_slice_eq(key, r->to)) w->ops->step(w->at, true);
    }
}

static void walk_all(struct walk *w)
{
    struct wfl_engine_range *r = w->range;
    struct page             *p = w->page;
    size_t                   bytes_max = r->bytes_max == 0 ? PAGE_BYTES_DEFAULT : r->bytes_max;
    bool                     go_on = true;

    for (first(w); go_on && w->ops->valid(w->at);) {
        wfl_slice key, value;
        size_t    folded;

        w->ops->read(w->at, &key, &value);
        if (!in_range(r, key)) return;
        if (r->count == r->limit || p->bytes.len > bytes_max) {
            r->more = true;
            return;
        }
        folded = fold_length(r, key);
        if (folded > 0) {
            key.len = folded;
            add_pair(p, key, (wfl_slice){0}, true);
            go_on = pass_group(w, key);
        } else {
            add_pair(p, key, value, false);
            w->ops->step(w->at, r->reverse);
        }
        r->count++;
        if (!wfl_buf_ok(&p->bytes) || !wfl_buf_ok(&p->pairs)) return;
    }
}

/* Offsets become pointers. */
static void page_finish(struct page *p, struct wfl_engine_range *r)
{
    r->pairs = (struct wfl_pair *)(void *)p->pairs.data;
    for (uint32_t i = 0; i < r->count; i++) {
        struct wfl_pair *pair = &r->pairs[i];

        pair->key.data = pair->key.len == 0 ? NULL : p->bytes.data + (uintptr_t)pair->key.data;
        pair->value.data =
            pair->value.len == 0 ? NULL : p->bytes.data + (uintptr_t)pair->value.data;
    }
    r->own.memory = p;
}

static void page_free(struct page *p)
{
    wfl_buf_fini(&p->bytes);
    wfl_buf_fini(&p->pairs);
    wfl_alloc_free(p->alloc, p);
}

wfl_code wfl_page_fill(struct wfl_engine_range *range, const struct wfl_cursor_ops *ops, void *at,
                       const struct wfl_alloc *alloc)
{
    struct walk w = {.range = range, .ops = ops, .at = at};
    wfl_code    rc;

    w.page = wfl_alloc_zero(alloc, 1, sizeof *w.page);
    if (w.page == NULL) return wfl_fail(&range->err, WFL_NOMEM, "page: out of memory");
    w.page->alloc = alloc;
    wfl_buf_init(&w.page->bytes, alloc, PAGE_MEMORY_MAX);
    wfl_buf_init(&w.page->pairs, alloc, PAGE_MEMORY_MAX);
    wfl_buf_init(&w.target, alloc, 64u << 10);
    range->count = 0;
    range->more = false;
    walk_all(&w);
    rc = ops->status(at, &range->err);
    if (rc == WFL_OK &&
        (!wfl_buf_ok(&w.page->bytes) || !wfl_buf_ok(&w.page->pairs) || !wfl_buf_ok(&w.target))) {
        rc = wfl_fail(&range->err, WFL_NOMEM, "page: out of memory");
    }
    wfl_buf_fini(&w.target);
    if (rc == WFL_OK) {
        page_finish(w.page, range);
    } else {
        range->count = 0;
        range->more = false;
        page_free(w.page);
    }
    return rc;
}

void wfl_engine_range_free(struct wfl_engine_range *range)
{
    if (range->own.memory != NULL) page_free(range->own.memory);
    range->own.memory = NULL;
    range->pairs = NULL;
    range->count = 0;
}
