/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the tag query share: query.c walks the index, query_page.c knows the question
 * and what a page is. */
#ifndef WFL_STORE_QUERY_H
#define WFL_STORE_QUERY_H

#include "store/internal.h"

struct query_tag {
    struct wfl_tag_wanted wanted;
    struct wfl_iter      *it;
    size_t                head_len;                  /* of `from`: what comes before the keys */
    size_t                from_len;                  /* of a beginning: where its rows begin */
    uint8_t               from[WFL_TAG_KEY_MAX + 1]; /* and the row that is sought */
    size_t                to_len;
    uint8_t               to[WFL_TAG_KEY_MAX + 1]; /* exclusive */
    bool                  placed;                  /* `it` is somewhere */
};

struct query_key {
    size_t  len;
    uint8_t bytes[WFL_KEY_MAX + 1]; /* one more for the 0 behind an excluded bound */
};

enum query_phase { QUERY_OPENING, QUERY_RACING, QUERY_GATHERING, QUERY_TAKING, QUERY_ENDED };

struct query {
    struct wfl_store          *store;
    struct wfl_tag_query      *op;
    uint32_t                   id;
    struct wfl_bucket_settings settings;
    uint64_t                   now_ms;
    wfl_arena                  arena;
    struct wfl_cursor          here;                         /* `last` empty: at the beginning */
    uint8_t                    scratch[WFL_CURSOR_TEXT_MAX]; /* holds the cursor's `last` */
    struct query_key           start;                        /* no key below is wanted */
    struct query_tag           tags[WFL_QUERY_TAGS_MAX];     /* equalities first, by name in each */
    uint32_t                   count, equal_count;

    /* the moment */
    struct wfl_view *view;
    struct wfl_iter *objects, *values;
    uint8_t          to[WFL_ID_LEN]; /* where the bucket ends in both */
    size_t           to_len;

    /* the walk */
    enum query_phase   phase;
    uint32_t           round_rows;
    uint32_t           turn;   /* the equality that is to move */
    uint32_t           agreed; /* equalities in a row that are at `target` */
    struct query_key   target; /* the smallest key that can still be common to them */
    struct query_tag  *driver; /* whose keys are gathered */
    struct query_key **heap;   /* of the smallest keys found, the largest on top */
    uint32_t           heap_count;

    /* the page */
    uint64_t record_bytes, value_bytes;
    bool     more; /* an object has been found that the page has no room for */
};

static inline wfl_slice query_key_slice(const struct query_key *k)
{
    return wfl_slice_of(k->bytes, k->len);
}
static inline void query_key_set(struct query_key *k, wfl_slice key)
{
    if (key.len > 0) memcpy(k->bytes, key.data, key.len);
    k->len = key.len;
}

/* What the question says, in `q`, and the cursor. INVALID_QUERY. */
WFL_MUST_USE wfl_code query_prepare(struct query *q, wfl_ulid now);
/* View and iterators; the empty page. NOMEM. */
WFL_MUST_USE wfl_code query_open(struct query *q);
void                  query_close(struct query *q); /* lets go of them */
/* Its record in this moment; `*wanted`: it is alive and has all tags. CORRUPT_OBJECT where the
 * index names a key that has no object. Slices live until the next look. */
WFL_MUST_USE wfl_code query_look(struct query *q, wfl_slice key, bool *wanted);
/* What was looked at last goes into the page, or `more` is set. */
WFL_MUST_USE wfl_code query_take(struct query *q, wfl_slice key);
void                  query_forget_page(struct query *q);
/* Cursor and answer. NOMEM. */
WFL_MUST_USE wfl_code query_finish_page(struct query *q);

#endif
