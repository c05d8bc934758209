/* SPDX-License-Identifier: Apache-2.0
 *
 * The versions of one key, newest first, as a reader may see them. */
#ifndef WFL_STORE_HISTORY_H
#define WFL_STORE_HISTORY_H

#include "store/write.h"

struct line_entry {
    wfl_ulid                 version;
    bool                     current;
    bool                     visible; /* kept by the bucket's settings at this moment */
    struct wfl_record_object record;  /* points into the line, until the next step */
};

struct line { /* of one key; blocks */
    struct wfl_store         *store;
    const struct bucket_view *b;
    wfl_slice                 key;
    uint64_t                  now_ms;
    struct wfl_view          *view;
    struct wfl_iter          *it;        /* over the history */
    struct wfl_iter          *object_it; /* at the current record, where there is one */
    uint8_t                   object[WFL_OBJECT_KEY_MAX + 1];
    uint8_t                   from[WFL_HISTORY_KEY_MAX], to[WFL_HISTORY_KEY_MAX];
    bool                      begun;
    bool                      stepped; /* the iterator stands at what was given last */
    uint64_t                  puts;    /* that are not current, so far */
    wfl_ulid                  newer;   /* the version before this one in the line; zero: none */
    wfl_ulid                  current; /* as stored; zero: none */
};
WFL_MUST_USE wfl_code line_open(struct line *l, struct wfl_store *s, const struct bucket_view *b,
                                wfl_slice key, wfl_error *err);
void                  line_close(struct line *l); /* accepts zero */
/* The next one, visible or not. NOT_FOUND: there are no more. */
WFL_MUST_USE wfl_code line_next(struct line *l, struct line_entry *out, wfl_error *err);
/* Can that version be read, not being a tombstone? */
WFL_MUST_USE wfl_code wfl_history_shows(struct wfl_store *s, const struct bucket_view *b,
                                        wfl_slice key, const wfl_ulid *version, bool *shows,
                                        wfl_error *err);
/* Committer: a version that is not current goes, content and all. Another may have been quicker. */
WFL_MUST_USE wfl_code wfl_history_remove(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                         wfl_slice key, const wfl_ulid *version, wfl_error *err);
/* From where on the past of a bucket is exact, as the view has it: what has been taken away from it
 * has raised the floor in the same commit. BUCKET_NOT_FOUND, CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_view_floor(struct wfl_view *view, uint32_t id, wfl_ulid *out,
                                     wfl_error *err);
/* What is not kept any more of the key's line goes now. Blocks. */
WFL_MUST_USE wfl_code wfl_history_prune(struct wfl_store *s, uint32_t id, wfl_slice key,
                                        wfl_error *err);
/* The bucket of the group's state that has the id. Committer. NULL: none. */
struct bucket *wfl_bucket_of_id(struct wfl_store *s, struct wfl_txn *t, uint32_t id);

/* One round over what is due by now (due.c). `*next_ms`: when there is something again. Blocks. */
WFL_MUST_USE wfl_code wfl_due_run(struct wfl_store *s, uint64_t *next_ms, wfl_error *err);

#endif
