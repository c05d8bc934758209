/* SPDX-License-Identifier: Apache-2.0
 *
 * What every change of a key does, whoever makes it: the record, its content, what becomes of the
 * version before it, the tags' index, the change stream, what is due later, the counters. All of it
 * goes into one transaction. Counters change last, when nothing can fail any more. */
#ifndef WFL_STORE_WRITE_H
#define WFL_STORE_WRITE_H

#include "store/chunks.h"

struct new_version {
    wfl_ulid                     version;
    wfl_slice                    record; /* encoded, with the version in it */
    uint64_t                     size;
    wfl_hash                     blake3;
    enum wfl_record_storage      storage;
    wfl_slice                    content; /* of VALUES */
    const struct wfl_name_value *tags;
    uint32_t                     tag_count;
    wfl_slice                    by;
    wfl_ulid                     jti;
};

/* Committer. `current` is what wfl_judge_current found of the key. */
WFL_MUST_USE wfl_code wfl_write_put(struct wfl_store *s, struct wfl_txn *t, struct bucket *b,
                                    wfl_slice key, const struct current      *current,
                                    const struct new_version *new, wfl_error *err);
/* Committer. The current version, which is stored, gives way to a tombstone. */
WFL_MUST_USE wfl_code wfl_write_delete(struct wfl_store *s, struct wfl_txn *t, struct bucket *b,
                                       wfl_slice key, const struct current *current,
                                       const wfl_ulid *version, wfl_slice by, wfl_ulid jti,
                                       wfl_error *err);
/* Committer. Something is due then; wakes the collector where that is sooner than it knows. */
WFL_MUST_USE wfl_code wfl_write_due(struct wfl_store *s, struct wfl_txn *t, uint64_t due_ms,
                                    uint8_t kind, uint32_t id, wfl_slice key, wfl_error *err);

/* ---- parts of it, for who changes a key in another way */

WFL_MUST_USE wfl_code wfl_tags_replace(struct wfl_txn *t, uint32_t id, wfl_slice key,
                                       const struct wfl_record_pairs *before,
                                       const struct wfl_record_pairs *after, wfl_error *err);
WFL_MUST_USE wfl_code wfl_change_write(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                       const wfl_ulid                 *version,
                                       const struct wfl_record_change *change, wfl_error *err);
void                  wfl_pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                                  struct wfl_record_bytes *value); /* of an array of wfl_name_value */

#endif
