/* SPDX-License-Identifier: Apache-2.0
 *
 * Content in chunks, as the files of this room see it. Large content is cut into chunks of 1 MiB,
 * named by bucket and hash, stored once a bucket and counted. A *manifest* lists the chunks of one
 * content in pages; whoever names a manifest (an object, a part of an upload) owns the references
 * of its entries. A manifest that loses its owner becomes *trash* in the same commit, and the
 * collector takes its references back, a page a commit: so no commit grows with an object.
 *
 * Three things keep a chunk or manifest in place though its last owner is gone:
 *   leases   of an upload that found a chunk already there and will name it soon
 *   actives  manifests that are being written or read at this moment
 *   pins     of the engine, for places that are written and not yet named */
#ifndef WFL_STORE_CHUNKS_H
#define WFL_STORE_CHUNKS_H

#include "store/internal.h"

/* ---- leases (leases.c): any thread, but for those that say so */

enum lease_answer { LEASE_HELD, LEASE_REFUSED /* being dropped: write it anew */, LEASE_NOMEM };

WFL_MUST_USE wfl_code wfl_leases_init(struct wfl_store *s, wfl_error *err);
enum lease_answer     wfl_lease_take(struct wfl_store *s, uint32_t id, const wfl_hash *hash);
void                  wfl_lease_give(struct wfl_store *s, uint32_t id, const wfl_hash *hash);
/* Committer: the chunk's last reference goes. True in `*held`: somebody holds a lease, it must stay
 * with a count of zero. Else nobody can take one until the group is settled. NOMEM. */
WFL_MUST_USE wfl_code wfl_lease_drop(struct wfl_store *s, uint32_t id, const wfl_hash *hash,
                                     bool *held, wfl_error *err);
void                  wfl_leases_settled(struct wfl_store *s); /* committer */
void                  wfl_leases_fini(struct wfl_store *s);

/* ---- actives (actives.c): any thread */

WFL_MUST_USE wfl_code wfl_actives_init(struct wfl_store *s, wfl_error *err);
/* OK; NOT_FOUND: the collector is at it; NOMEM. */
WFL_MUST_USE wfl_code wfl_active_enter(struct wfl_store *s, const wfl_ulid *manifest);
void                  wfl_active_leave(struct wfl_store *s, const wfl_ulid *manifest);
/* The collector's: false while somebody is in. */
WFL_MUST_USE bool wfl_active_collect(struct wfl_store *s, const wfl_ulid *manifest);
void              wfl_active_collected(struct wfl_store *s, const wfl_ulid *manifest);
void              wfl_actives_fini(struct wfl_store *s);

/* ---- references (chunks.c): committer */

/* One more reference. `place`: where its content was written, NULL where a lease is held instead.
 * With `heals` it takes the place of a blob that is there and damaged. `*kept` is set where the
 * place is the blob's from now on. */
WFL_MUST_USE wfl_code wfl_chunk_ref(struct wfl_txn *t, uint32_t id, const wfl_hash *hash,
                                    const struct wfl_blob_place *place, uint32_t len, bool heals,
                                    bool *kept, wfl_error *err);
/* One less. A chunk that is not there is no failure: what was damaged once must not stop the
 * collector for ever; a recount tells of it. */
WFL_MUST_USE wfl_code wfl_chunk_unref(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                      const wfl_hash *hash, wfl_error *err);
/* The marker's chunk goes, if its count is still zero and nobody holds a lease: `*held` else. */
WFL_MUST_USE wfl_code wfl_chunk_drop_zero(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                          const wfl_hash *hash, bool *held, wfl_error *err);

/* ---- manifests (manifests.c) */

struct manifest_page {
    struct wfl_record_chunk chunks[WFL_MANIFEST_PAGE_CHUNKS];
    uint32_t                count;
};
#define MANIFEST_PAGE_BYTES ((uint64_t)WFL_MANIFEST_PAGE_CHUNKS * WFL_CHUNK_BYTES)

/* Blocks. NOT_FOUND, CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_manifest_read_page(struct wfl_store *s, uint32_t id,
                                             const wfl_ulid *manifest, uint32_t page,
                                             struct manifest_page *out, wfl_error *err);
/* Committer: one owner more (a copy), one owner less; with the last it becomes trash. */
WFL_MUST_USE wfl_code wfl_manifest_share(struct wfl_txn *t, uint32_t id, const wfl_ulid *manifest,
                                         wfl_error *err);
WFL_MUST_USE wfl_code wfl_manifest_release(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                           const wfl_ulid         *manifest,
                                           enum wfl_record_storage storage, wfl_error *err);
/* Committer: the manifest has no owner any more (or, while it is written, none yet). */
WFL_MUST_USE wfl_code wfl_manifest_to_trash(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                            const wfl_ulid         *manifest,
                                            enum wfl_record_storage storage, wfl_error *err);

/* ---- content on its way in (ingest.c) */

const wfl_ulid *wfl_ingest_manifest(const struct wfl_ingest *c);
/* Committer. Into the transaction what is left: the last page, and that the manifest has an owner
 * now. */
WFL_MUST_USE wfl_code wfl_ingest_commit(struct wfl_ingest *c, struct wfl_txn *t, wfl_error *err);
/* Once that commit is stored. */
void wfl_ingest_settled(struct wfl_ingest *c);

/* ---- waiting (wait.c): for threads that may block */

/* A commit from beginning to end. `arg` is what apply finds in c->arg. */
struct wait_commit {
    wfl_code (*apply)(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err);
    void               *arg;
    uint64_t            bytes;
    uint64_t            flow; /* 0: the store's own */
    enum wfl_durability durability;
    bool                grows;
    struct wfl_once    *once; /* or NULL */
};
WFL_MUST_USE wfl_code wfl_wait_commit(struct wfl_store *s, const struct wait_commit *what,
                                      wfl_error *err);
/* One page of a range; the caller frees it. */
WFL_MUST_USE wfl_code wfl_wait_range(struct wfl_store *s, struct wfl_engine_range *range,
                                     wfl_error *err);

/* ---- uploads (uploads.c) */

/* Everything of it goes, unless it was touched after `touched_max_ms`. UPLOAD_NOT_FOUND. Blocks. */
WFL_MUST_USE wfl_code wfl_upload_remove(struct wfl_store *s, uint32_t id, const wfl_ulid *upload,
                                        uint64_t touched_max_ms, wfl_error *err);

/* ---- the collector (collect.c) */

/* Something is there for it. Any thread. */
void wfl_collector_wake(struct wfl_store *s);
/* A bucket with its uploads may have gone. */
void                  wfl_collector_wake_for_uploads(struct wfl_store *s);
WFL_MUST_USE wfl_code wfl_collector_start(struct wfl_store *s, wfl_error *err);
void                  wfl_collector_stop(struct wfl_store *s);

#endif
