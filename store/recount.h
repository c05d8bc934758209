/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the recount share: recount.c goes over buckets, objects, uploads and blobs,
 * recount_owners.c over manifests and who names them, recount_chunks.c over chunks and how often
 * they are named, recount_versions.c over history, tags, changes and the contents in rows. */
#ifndef WFL_STORE_RECOUNT_H
#define WFL_STORE_RECOUNT_H

#include "store/chunks.h"

struct recount {
    struct wfl_store         *store;
    const struct wfl_recount *how;
    const struct bucket     **buckets; /* by id, NULL behind the last */
    size_t                    at;      /* in them; ids are gone over in order */
    uint64_t                  differences;
    uint32_t                  id;       /* of the bucket under way */
    char                      name[96]; /* for lines: "bucket photos", "former bucket 7" */
    uint64_t                  chunk_rows;
};

/* One line, behind the bucket's name. */
WFL_PRINTF(2, 3) void wfl_recount_tell(struct recount *r, const char *format, ...);

/* All rows of [from, to) in order; stops at the first code that is not OK. The row's slices live
 * until `row` returns. */
WFL_MUST_USE wfl_code wfl_recount_rows(struct recount *r, enum wfl_space space, wfl_slice from,
                                       wfl_slice to,
                                       wfl_code (*row)(void *ctx, const struct wfl_pair *pair,
                                                       wfl_error *err),
                                       void *ctx, wfl_error *err);
/* All rows whose key begins with `prefix`, of at most WFL_UPLOAD_KEY_MAX bytes. */
WFL_MUST_USE wfl_code wfl_recount_prefix(struct recount *r, enum wfl_space space, wfl_slice prefix,
                                         wfl_code (*row)(void *ctx, const struct wfl_pair *pair,
                                                         wfl_error *err),
                                         void *ctx, wfl_error *err);

/* Of the bucket under way. */
WFL_MUST_USE wfl_code wfl_recount_owners(struct recount *r, wfl_error *err);
WFL_MUST_USE wfl_code wfl_recount_chunks(struct recount *r, wfl_error *err);
WFL_MUST_USE wfl_code wfl_recount_versions(struct recount *r, const struct bucket *b,
                                           wfl_error *err);

/* A table of what a pass looks at: sorted by what its rows begin with, of bounded size
 * (recount_table.c). Zero but for `what` and `row_bytes` it is empty; `rows` is to be freed. */
#define RECOUNT_ROWS_MAX (1u << 20)
struct recount_table {
    const char *what; /* of the failure's line: "chunks" */
    size_t      row_bytes;
    void       *rows;
    uint32_t    count, cap;
    bool        full; /* there are more behind */
};
/* For one more row. A full table ends the walk: `full` tells it from a failure (NOMEM). */
WFL_MUST_USE wfl_code wfl_recount_room(struct recount *r, struct recount_table *t, wfl_error *err);
void                 *wfl_recount_row(const struct recount_table *t, uint32_t i);
/* NULL: not there. */
void *wfl_recount_find(const struct recount_table *t, const void *key,
                       int (*order)(const void *key, const void *row));

#endif
