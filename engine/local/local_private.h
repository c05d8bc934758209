/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of the local engine: RocksDB, its options, the committer's queue. */
#ifndef WFL_ENGINE_LOCAL_PRIVATE_H
#define WFL_ENGINE_LOCAL_PRIVATE_H

#include "engine/engine_private.h"
#include "engine/local/segments.h"

#include <rocksdb/c.h>

/* Families of RocksDB that engine.h does not tell of (blob_index.c) */
enum local_family { FAMILY_BLOB_INDEX, FAMILY_BLOB_SEGMENTS, FAMILY_COUNT };

/* queue.c: who holds the lock of the engine calls these. */
#define COMMIT_LANES_LOG2 8

struct commit_lane {
    struct commit_lane *next; /* of those that have something */
    struct wfl_commit  *head, *tail;
    uint64_t            count, bytes;
    int64_t             deficit; /* bytes that it may still have in this turn */
    uint64_t            group;   /* in which its turn was last over */
};

struct commit_queue {
    struct commit_lane  lanes[1 << COMMIT_LANES_LOG2];
    struct commit_lane *active, *active_tail;
    uint64_t            count, bytes;
    uint64_t            count_max, bytes_max;
    uint64_t            group; /* that is or was taken */
    uint64_t            salt;
};
/* False: its flow has as much as it may. */
WFL_MUST_USE bool wfl_commit_queue_push(struct commit_queue *q, struct wfl_commit *c);
/* Those whose turn it is, linked by own.next: at least one where there is any, and no more bytes
 * than that. With `company` the group is bounded by turns though only one flow may wait. NULL: none
 * wait. */
struct wfl_commit *wfl_commit_queue_take(struct commit_queue *q, uint64_t bytes_max, bool company);

struct local {
    struct wfl_engine       base;
    const struct wfl_alloc *alloc;
    const struct wfl_clock *clock;
    struct wfl_pool        *pool;

    rocksdb_t                      *db;
    rocksdb_options_t              *options; /* of the database */
    rocksdb_options_t              *space_options[WFL_SPACE_COUNT];
    rocksdb_column_family_handle_t *spaces[WFL_SPACE_COUNT];
    rocksdb_options_t              *family_options;
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    rocksdb_cache_t                *cache;
    rocksdb_compactionfilter_t     *expired_filter; /* of NONCES */
    rocksdb_readoptions_t          *read_memory;    /* what is in memory only */
    rocksdb_readoptions_t          *read_disk;
    rocksdb_writeoptions_t         *write_synced;
    rocksdb_writeoptions_t         *write_buffered;

    struct wfl_company company; /* among those who write */

    /* the committer's queue */
    wfl_mutex           lock;
    pthread_cond_t      wake;
    struct commit_queue queue;
    uint64_t            group_bytes_max;
    bool                stopping;
    bool                in_group;  /* the committer may call the hooks */
    pthread_cond_t      group_end; /* it does not any more */
    pthread_t           committer;
    bool                committer_started;

    /* the committer's own */
    struct wfl_group_hooks   hooks;
    struct wfl_group_hooks   group_hooks; /* committer: as they were when the group was taken */
    rocksdb_writebatch_wi_t *batch;
    bool                     unsynced; /* the log holds buffered writes behind its last fsync */

    _Atomic bool     read_only_claimed; /* by who writes the reason */
    _Atomic bool     read_only;
    char             read_only_reason[160]; /* written before read_only, once */
    _Atomic uint64_t commits, groups, syncs;

    struct segments segments;
};

struct local_txn {
    struct wfl_txn base;
    struct local  *local;
    bool           wrote; /* since the last savepoint */
};

/* Code and text for an error string of RocksDB, which is freed. `step` names what was tried. */
wfl_code wfl_local_fail(char *text, const char *step, wfl_error *err);

/* Creates the folder where it is missing, and makes its name as durable as what will be in it. */
WFL_MUST_USE wfl_code wfl_local_make_folder(const struct local *l, const char *path,
                                            wfl_error *err);
/* Any thread. For good; the first reason stays. */
void wfl_local_become_read_only(struct local *l, const wfl_error *err);

/* committer.c */
WFL_MUST_USE wfl_code wfl_local_committer_start(struct local *l, wfl_error *err);
void                  wfl_local_committer_stop(struct local *l); /* after all that is queued */
wfl_code              wfl_local_commit(struct wfl_engine *e, struct wfl_commit *c);

/* options.c: RocksDB's settings, all in one place */
void wfl_local_options_new(struct local *l, const struct wfl_local_config *config);
void wfl_local_options_free(struct local *l);

static inline bool wfl_local_has_company(const struct local *l)
{
    return wfl_company_is_here(&l->company, wfl_clock_mono_ns(&wfl_clock_system));
}

#endif
