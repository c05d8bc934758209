/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered records with atomic commits, and immutable blobs. An engine knows spaces of byte keys and
 * byte values and nothing of what they mean. local/ keeps records in RocksDB and blobs in segment
 * files, memory/ both in trees that a test owns.
 *
 * Every call that may wait follows one rule: it returns the final code at once, or WFL_PENDING, and
 * then calls `done` exactly once on a thread of the engine. The operation struct is the caller's
 * and must stay where it is until then. A `done` must not block.
 *
 * Failure: a failed write or fsync makes the engine read-only for good (WFL_READ_ONLY;
 * WFL_DISK_FULL for lack of room, which ends by itself when there is room again): after a failed
 * fsync nobody knows what the disk holds, and retrying would lose data silently. */
#ifndef WFL_ENGINE_ENGINE_H
#define WFL_ENGINE_ENGINE_H

#include "core/core.h"

/* name on disk; numbers never change. Keys order by unsigned bytes in each. */
#define WFL_SPACES(X)                                                                              \
    X(META, "meta")       /* counters of the store itself */                                       \
    X(BUCKETS, "buckets") /* a record a bucket */                                                  \
    X(OBJECTS, "objects") /* header of each current version */                                     \
    X(VALUES, "values")   /* contents too large for the header; RocksDB's value log */             \
    X(HISTORY, "history") /* headers of older versions */                                          \
    X(CHUNKS, "chunks")   /* places and reference counts of chunks */                              \
    X(TAGS, "tags")       /* index of tags */                                                      \
    X(CHANGES, "changes") /* the change stream */                                                  \
    X(UPLOADS, "uploads") /* multipart uploads in progress */                                      \
    X(NONCES, "nonces")   /* outcomes of writes, until they expire: see below */                   \
    X(REVOCATIONS, "revocations")                                                                  \
    X(MANIFESTS, "manifests") /* which chunks a large content is made of */                        \
    X(DUE, "due")             /* what is to be done, by the time at which it is */

/* A value of NONCES begins with the time at which it expires, WFL_EXPIRES_LEN bytes, big-endian,
 * Unix milliseconds. From then on the engine may drop it at any time, or never: who reads judges
 * for himself. */
#define WFL_EXPIRES_LEN 8

#define WFL_SPACE_ENUM(name, text) WFL_SPACE_##name,
enum wfl_space { WFL_SPACES(WFL_SPACE_ENUM) WFL_SPACE_COUNT };
#undef WFL_SPACE_ENUM

struct wfl_engine; /* opaque; both kinds begin with a table of the functions below */

/* A piece of work in the fair pool; the engine's, inside the operations below. */
struct wfl_job {
    struct wfl_job *next;
    uint64_t        flow;
    uint64_t        cost;     /* bytes that it is thought to weigh */
    bool            computes; /* needs a processor, where others mostly wait for a disk */
    /* Says how many bytes it was in the end: the flow pays the difference. May free the job. */
    uint64_t (*run)(struct wfl_job *job);
};

/* A value that stays in place until released: a block of the cache, a memtable entry, a copy. */
struct wfl_pin {
    wfl_slice value;
    void (*release)(struct wfl_pin *pin); /* NULL: nothing to release */
    void *handle;
};
/* Any thread. Accepts the zero value; leaves it. */
void wfl_pin_release(struct wfl_pin *pin);

/* ---- reading */

struct wfl_engine_get {
    enum wfl_space space;
    wfl_slice      key;  /* must live until done */
    uint64_t       flow; /* fair queueing: work of one flow waits behind its own only (bucket id) */
    void (*done)(struct wfl_engine_get *get);
    void *arg; /* the caller's */

    wfl_code rc; /* OK, NOT_FOUND, CORRUPT_OBJECT, IO, NOMEM, CLOSED, OVERLOADED (queue full) */
    struct wfl_pin pin; /* on OK; the caller releases it */
    wfl_error      err;

    struct { /* the engine's */
        struct wfl_job     job;
        struct wfl_engine *engine;
    } own;
};
/* Any thread. Looks in memory only (block cache, memtable) and answers from there at once; else
 * WFL_PENDING and a pool thread reads the disk. Sets get->rc either way. */
WFL_MUST_USE wfl_code wfl_engine_get(struct wfl_engine *e, struct wfl_engine_get *get);

/* One pair of a page. A folded pair stands for all keys that begin with `key`; its value is empty.
 */
struct wfl_pair {
    wfl_slice key;
    wfl_slice value;
    bool      folded;
};

struct wfl_engine_range {
    enum wfl_space space;
    wfl_slice      from; /* inclusive lower bound, whatever the direction */
    wfl_slice      to;   /* exclusive upper bound; empty: end of the space */
    bool           reverse;
    uint32_t       limit;       /* pairs, folded ones included; at least 1 */
    size_t         bytes_max;   /* stop after the pair that passes this; 0: 16 MiB */
    size_t         fold_offset; /* with fold_delimiter: bytes of each key that are not looked at */
    wfl_slice      fold_delimiter; /* 1 to 4 bytes; empty: no folding. Of all keys that agree up to
                                    * and including the first delimiter at or after fold_offset one
                                    * folded pair is given, and they are passed by one seek */
    uint64_t flow;
    void (*done)(struct wfl_engine_range *range);
    void *arg;

    wfl_code         rc;    /* OK, CORRUPT_OBJECT, IO, NOMEM, CLOSED, OVERLOADED */
    struct wfl_pair *pairs; /* on OK, in the order asked for; until wfl_engine_range_free */
    uint32_t         count;
    bool             more; /* a further pair exists in the range (a folded group counts as one) */
    wfl_error        err;

    struct {
        struct wfl_job     job;
        struct wfl_engine *engine;
        void              *memory;
    } own;
};
/* Any thread. One consistent view per page. Cost: one seek and one step a pair. Always WFL_PENDING
 * in local (an iterator may touch the disk); memory/ may answer at once. */
WFL_MUST_USE wfl_code wfl_engine_range(struct wfl_engine *e, struct wfl_engine_range *range);
/* The same, for threads that may block: never PENDING, `done` is not called. */
WFL_MUST_USE wfl_code wfl_engine_range_now(struct wfl_engine *e, struct wfl_engine_range *range);
void                  wfl_engine_range_free(struct wfl_engine_range *range); /* accepts zero */

/* ---- views: the whole of an engine as it is at one moment, walked by threads that may block
 *
 * A view keeps what it shows from being reclaimed: it is for one answer, not for keeping. */

struct wfl_view;
struct wfl_iter; /* of one thread at a time */

WFL_MUST_USE wfl_code wfl_view_open(struct wfl_engine *e, struct wfl_view **out, wfl_error *err);
void                  wfl_view_close(struct wfl_view *v); /* its iterators first; NULL accepted */
/* Over the keys below `to` (exclusive; empty: all), which must live as long. NOMEM. */
WFL_MUST_USE wfl_code wfl_view_iter(struct wfl_view *v, enum wfl_space space, wfl_slice to,
                                    struct wfl_iter **out, wfl_error *err);
void                  wfl_iter_close(struct wfl_iter *it);                    /* NULL is accepted */
void                  wfl_iter_seek(struct wfl_iter *it, wfl_slice key);      /* the first >= */
void                  wfl_iter_seek_last(struct wfl_iter *it, wfl_slice key); /* the last <= */
void                  wfl_iter_step(struct wfl_iter *it, bool back);
bool                  wfl_iter_valid(struct wfl_iter *it);
/* Only where valid; both live until the next move. */
wfl_slice wfl_iter_key(struct wfl_iter *it);
wfl_slice wfl_iter_value(struct wfl_iter *it);
/* Why it is not valid: OK at an end, else CORRUPT_OBJECT, IO. */
WFL_MUST_USE wfl_code wfl_iter_status(struct wfl_iter *it, wfl_error *err);

/* A bounded piece of other work (hashing a large body) on the same fair pool. */
struct wfl_engine_work {
    uint64_t flow;
    uint64_t bytes;    /* what it weighs in the fair queue */
    bool     computes; /* needs a processor for long; where several flows are at work, none has all
                        * processors for such work */
    void (*run)(struct wfl_engine_work *work);
    void *arg;
    struct {
        struct wfl_job job;
    } own;
};
/* Any thread. PENDING (run will be called), OVERLOADED or CLOSED (it will not). */
WFL_MUST_USE wfl_code wfl_engine_work(struct wfl_engine *e, struct wfl_engine_work *work);

/* Blocks until the record is read: for threads that may, such as those that run work. OK,
 * NOT_FOUND, CORRUPT_OBJECT, IO, NOMEM. The caller releases the pin. */
WFL_MUST_USE wfl_code wfl_engine_read(struct wfl_engine *e, enum wfl_space space, wfl_slice key,
                                      struct wfl_pin *pin, wfl_error *err);

/* ---- blobs: immutable pieces of content, apart from the records
 *
 * A blob's way: written (known to nobody), made durable by a sync, kept under its name by a commit,
 * read by that name, dropped by another commit. The engine alone knows where a blob lies and may
 * move it. Every place that a write has given ends in exactly one of two: a keep in a commit that
 * was applied and stored, or an abandon. Until then its room is not touched. What a crash leaves
 * between write and keep is reclaimed at the next open.
 *
 * Calls of this part may block, but where they say otherwise: they are for threads that run work.
 */

#define WFL_BLOB_BYTES_MAX (1u << 20)
#define WFL_BLOB_NAME_MAX  64

struct wfl_blob_place { /* the engine's; a plain value */
    uint64_t segment;
    uint32_t offset;
    uint32_t len; /* bytes of content */
};

/* `content`: 1 to WFL_BLOB_BYTES_MAX bytes, `hash` its BLAKE3. A name stands for one content for
 * ever; writing it twice is legal (two places, of which the loser is abandoned). Any number of
 * threads at once. OK, DISK_FULL, IO, NOMEM, READ_ONLY, CLOSED. */
WFL_MUST_USE wfl_code wfl_engine_blob_write(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                                            const wfl_hash *hash, struct wfl_blob_place *out,
                                            wfl_error *err);
/* These places are on stable storage when it returns OK. Those who wait at the same time share one
 * fdatasync a segment. A failure is for good (READ_ONLY), as with any fsync. */
WFL_MUST_USE wfl_code wfl_engine_blob_sync(struct wfl_engine           *e,
                                           const struct wfl_blob_place *places, size_t count,
                                           wfl_error *err);
/* Any thread, does not block: nobody will keep this one. */
void wfl_engine_blob_abandon(struct wfl_engine *e, const struct wfl_blob_place *place);

struct wfl_blob { /* one that is open: its bytes stay where they are until it is closed, whatever
                   * is dropped or moved meanwhile */
    int      fd;
    uint64_t offset; /* of the content's first byte in fd */
    uint32_t len;
    void    *handle; /* the engine's */
};
/* OK: the content has been verified against its hash (at its first reading since the engine was
 * opened; each time with `always`), and lies in the page cache now. NOT_FOUND, CORRUPT_OBJECT
 * (name, length or content are not what was written), IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_engine_blob_open(struct wfl_engine *e, wfl_slice name, bool always,
                                           struct wfl_blob *out, wfl_error *err);
/* Any thread, does not block. Accepts zero, leaves it. */
void wfl_blob_close(struct wfl_blob *blob);
/* The bytes [at, at + n) of it in memory, read-only, until wfl_blob_unmap. NULL: no memory.
 * Touching them may read the disk. */
const uint8_t *wfl_blob_map(const struct wfl_blob *blob, uint32_t at, uint32_t n);
void           wfl_blob_unmap(const uint8_t *map, uint32_t at, uint32_t n); /* at, n as mapped */
/* Copy the bytes [at, at + n) out. OK, IO. */
WFL_MUST_USE wfl_code wfl_blob_copy(const struct wfl_blob *blob, uint32_t at, uint32_t n,
                                    uint8_t *out, wfl_error *err);

/* One step of a walk over every kept blob, in no particular order, that reads and verifies each.
 * Begins with a zero state; `at` moves on. Blobs kept or moved during the walk may be left out or
 * come twice; those that stay come once. */
struct wfl_blob_walk {
    uint8_t  at[WFL_BLOB_NAME_MAX]; /* the name to go on behind */
    uint32_t at_len;
    bool     ended;
    /* of the last step */
    uint8_t   name[WFL_BLOB_NAME_MAX];
    uint32_t  name_len;
    uint32_t  len;
    wfl_code  verdict; /* OK, CORRUPT_OBJECT, IO: of this blob */
    wfl_error why;
};
/* OK: a blob was looked at, or `ended`. Else the walk itself failed (IO, CORRUPT_OBJECT of the
 * index, CLOSED). */
WFL_MUST_USE wfl_code wfl_engine_blob_walk(struct wfl_engine *e, struct wfl_blob_walk *walk,
                                           wfl_error *err);
/* Does what the engine keeps count of (live bytes of each segment) equal a full recount? Nothing
 * may write meanwhile. OK, CORRUPT_OBJECT with the first difference, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_engine_blob_recount(struct wfl_engine *e, wfl_error *err);

/* ---- writing: one committer, groups, one fsync a group */

enum wfl_durability { WFL_DURABLE, WFL_BUFFERED };

struct wfl_txn; /* what the group has written so far, over the stored state; committer only */

/* Committer thread. State as the group left it up to here. OK, NOT_FOUND, CORRUPT_OBJECT, IO,
 * NOMEM. */
WFL_MUST_USE wfl_code wfl_txn_get(struct wfl_txn *t, enum wfl_space space, wfl_slice key,
                                  struct wfl_pin *pin, wfl_error *err);
/* Committer thread. The value is the parts joined; bytes are copied before it returns. NOMEM. */
WFL_MUST_USE wfl_code wfl_txn_put(struct wfl_txn *t, enum wfl_space space, wfl_slice key,
                                  const wfl_slice *parts, size_t part_count, wfl_error *err);
WFL_MUST_USE wfl_code wfl_txn_delete(struct wfl_txn *t, enum wfl_space space, wfl_slice key,
                                     wfl_error *err);

/* Committer thread. From this commit on `name` is the blob at `place`, which must be synced; a name
 * that is there already is our mistake (assert). */
WFL_MUST_USE wfl_code wfl_txn_blob_keep(struct wfl_txn *t, wfl_slice name,
                                        const struct wfl_blob_place *place, wfl_error *err);
/* Committer thread. NOT_FOUND where there is none. Its room is used again in time. */
WFL_MUST_USE wfl_code wfl_txn_blob_drop(struct wfl_txn *t, wfl_slice name, wfl_error *err);

struct wfl_commit {
    enum wfl_durability durability;
    uint64_t            bytes; /* about what it will write: bounds queue and group */
    uint64_t            flow;  /* whose it is; those of one keep their order, and take turns with
                                * others (0: the system's) */
    bool grows; /* refused with DISK_FULL while room is short; what frees room never is */
    /* Committer thread, once, unless the commit is refused before its turn (then `done` has the
     * code and apply never ran). Judge, then write through `t`. Any code but OK undoes what this
     * commit wrote and is what `done` gets. Must not touch state of its own before its last call
     * that can fail. */
    wfl_code (*apply)(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err);
    /* NULL, or: committer thread, after an apply that failed, when its writes are undone. What this
     * one writes is kept with the group although the commit stays refused, and waits for no fsync.
     * Where it fails, its code is what `done` gets. */
    wfl_code (*refused)(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err);
    /* Committer thread, once: OK means applied and, for WFL_DURABLE, on stable storage; and visible
     * to every read that begins from now on. */
    void (*done)(struct wfl_commit *c);
    void *arg;

    wfl_code  rc;
    wfl_error err;
    struct {
        struct wfl_commit *next;
        bool               noted; /* refused, and it wrote something about that */
    } own;
};
/* Any thread. WFL_PENDING, or refused at once: OVERLOADED (queue full), READ_ONLY, CLOSED. */
WFL_MUST_USE wfl_code wfl_engine_commit(struct wfl_engine *e, struct wfl_commit *c);

/* Calls around each group, on the committer thread, for state that is written once a group
 * (counters). Set once, before the first commit. */
struct wfl_group_hooks {
    /* After the last apply, before the write; not where the group has written nothing. A failure
     * fails the whole group. */
    wfl_code (*seal)(void *ctx, struct wfl_txn *t, wfl_error *err);
    /* After the write, before the commits' done; not where every commit was refused and wrote
     * nothing about it. `rc` other
     * than OK: nothing of the group is stored, and the ctx must fall back to what it had. */
    void (*settled)(void *ctx, wfl_code rc);
    void *ctx;
};
/* When it returns those before are not called any more. Never from a hook or a commit's calls. */
void wfl_engine_set_hooks(struct wfl_engine *e, const struct wfl_group_hooks *hooks);

/* ---- the whole */

struct wfl_engine_stats {
    bool     read_only; /* and read_only_reason says why, "" otherwise */
    char     read_only_reason[160];
    uint64_t commits;         /* acknowledged */
    uint64_t groups;          /* writes to the log; commits / groups is the group size */
    uint64_t syncs;           /* fsyncs of the log */
    uint64_t queued;          /* commits waiting */
    uint64_t pool_queued;     /* reads and work waiting */
    uint64_t memory_bytes;    /* block cache + memtables + pinned */
    uint64_t segments;        /* files of blobs */
    uint64_t segment_bytes;   /* on disk */
    uint64_t live_bytes;      /* of them in blobs that are kept */
    uint64_t rewritten_bytes; /* moved since the start, to return room */
    uint64_t blobs_corrupt;   /* found since the start */
    uint64_t blobs_pending;   /* places that are neither kept nor abandoned yet */
};
void wfl_engine_stats(struct wfl_engine *e, struct wfl_engine_stats *out);

/* A consistent copy of the records at `path`, which must not exist. Blocks; not for a reactor. */
WFL_MUST_USE wfl_code wfl_engine_checkpoint(struct wfl_engine *e, const char *path, wfl_error *err);

/* Finishes what is queued; all `done`s have run when it returns, and what stands above the engine
 * can be taken down. Reads from memory still answer, all else is CLOSED from now on. NULL is
 * accepted, and again is no error. */
void wfl_engine_stop(struct wfl_engine *e);
/* Stops, closes and frees. No call may be under way or come later. NULL is accepted. */
void wfl_engine_close(struct wfl_engine *e);

/* ---- local: RocksDB in `path` (created where missing) */

struct wfl_local_config {
    const char *path;
    uint64_t    block_cache_bytes;      /* 0: 256 MiB */
    uint64_t    write_buffer_bytes;     /* memtables of all spaces together; 0: 128 MiB */
    uint32_t    pool_threads;           /* 0: 4 */
    uint32_t    pool_queue_max;         /* 0: 4096 jobs */
    uint64_t    commit_queue_bytes_max; /* 0: 64 MiB; a flow alone has half */
    uint32_t    commit_queue_max;       /* 0: 16384 commits; the same */
    uint64_t    group_bytes_max;        /* 0: 16 MiB */
    uint64_t    segment_bytes; /* of a file of blobs; 0: 256 MiB; at least 4 MiB, below 4 GiB */
    /* of the disk, kept for what frees room; 0: 64 MiB; never less than 5/8 of a segment, or a full
     * disk could not be rewritten */
    uint64_t                reserve_bytes;
    uint64_t                rewrite_bytes_per_second; /* of segments below half live; 0: 64 MiB */
    const struct wfl_clock *clock; /* by which records expire; NULL: the system's */
    const struct wfl_alloc *alloc;
};
/* WFL_IO, WFL_CORRUPT_OBJECT (the store says what is damaged), WFL_NOMEM; another process using
 * `path` is WFL_IO with a text that says so. */
WFL_MUST_USE wfl_code wfl_engine_open_local(const struct wfl_local_config *config,
                                            struct wfl_engine **out, wfl_error *err);

/* For tests: returns the room of dropped blobs without pacing itself, and comes back when there is
 * nothing more to return. */
void wfl_local_rewrite(struct wfl_engine *e);

/* ---- memory: for tests. Everything happens in the caller's thread, in call order. */

struct wfl_memory_config {
    const struct wfl_alloc *alloc;
    bool pend; /* gets and ranges return PENDING and complete in wfl_memory_run, as if from disk;
                * commits too, grouped: one wfl_memory_run is one group */
};
WFL_MUST_USE wfl_code wfl_engine_open_memory(const struct wfl_memory_config *config,
                                             struct wfl_engine **out, wfl_error *err);
/* Complete what is pending, in order; returns how many. */
size_t wfl_memory_run(struct wfl_engine *e);
/* The k-th (from 1) engine call from now on fails with `rc` (get, range, txn_get, txn_put,
 * txn_delete, group write, each counts); 0 disarms. A failed group write behaves as local's: `rc`
 * WFL_IO makes it read-only. */
void wfl_memory_fail(struct wfl_engine *e, uint64_t k, wfl_code rc);
/* Power cut: a new engine with what durable commits of `e` have left. `e` stays open. */
WFL_MUST_USE wfl_code wfl_memory_crash(struct wfl_engine *e, struct wfl_engine **out,
                                       wfl_error *err);

#endif
