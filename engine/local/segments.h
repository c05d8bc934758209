/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs of the local engine: what segment_file.c, blob_write.c, blob_read.c, blob_index.c,
 * blob_recover.c and rewrite.c share.
 *
 * A segment's life: active (takes records) -> sealed (takes no more) -> removed. One is active at a
 * time; it is made by whoever finds the one before full. While a place in it is pinned (written,
 * neither kept nor abandoned) or its file has readers it stays. */
#ifndef WFL_ENGINE_LOCAL_SEGMENTS_H
#define WFL_ENGINE_LOCAL_SEGMENTS_H

#include "engine/engine_private.h"
#include "engine/local/segment_format.h"

#include <rocksdb/c.h>

struct local;

struct segment {
    struct wfl_blob_handle handle; /* first: wfl_blob.handle of every open blob in it */
    struct local          *local;
    struct segment_name    name;
    uint32_t               cap; /* its records end here at the latest */

    /* under segments.lock */
    int             fd;   /* -1: not open */
    uint32_t        refs; /* open blobs and calls under way: the file stays open */
    uint32_t        pins; /* places neither kept nor abandoned: the file stays open too */
    uint32_t        tail; /* room is given away up to here */
    bool            active, removed;
    struct segment *newer, *older; /* by last use, of those whose file is open and not in use */
    bool            idle;          /* in that list */

    _Atomic uint64_t *_Atomic verified; /* a bit a block: a record begins there that was verified
                                         * since the open */

    /* the committer's; live and kept_end are read by others for figures and decisions that the
     * committer makes again */
    _Atomic uint64_t live;     /* extents of what is kept */
    _Atomic uint32_t kept_end; /* of the last record that was ever kept */
    int64_t          live_change;
    uint32_t         kept_end_change;
    bool             touched; /* by the group under way */
    bool             seal_change;
    _Atomic bool     seal_noted; /* its stored row says that it is sealed */

    wfl_mutex        sync_lock;
    pthread_cond_t   sync_wake;
    _Atomic uint64_t written; /* records whose pwrite has ended */
    uint64_t         synced;  /* of them, surely on the disk */
    bool             syncing;

    bool     missing;    /* at the open: its file, and it had nothing live */
    bool     left_alone; /* the rewriter's: something in it is damaged */
    uint64_t recounted;  /* wfl_engine_blob_recount's */
};

struct blob_change { /* of the group under way; the committer's */
    struct segment *segment;
    int64_t         live;     /* what it changes */
    uint32_t        kept_end; /* 0: not a keep */
    bool            unpin;    /* a keep: the place's pin ends with the group */
};

struct rewriter; /* rewrite.c */

struct segments {
    int      folder; /* fd */
    uint32_t segment_bytes;
    uint64_t reserve_bytes;
    uint64_t rewrite_bytes_per_second;
    uint32_t open_max;

    wfl_mutex        roll_lock; /* held while the next segment is made */
    wfl_mutex        lock;      /* of all below and of what segment says */
    struct segment **list;      /* by id */
    size_t           count, cap;
    struct segment  *active; /* or NULL */
    uint64_t         next_id;
    uint32_t         open_count;
    struct segment  *idle_newest, *idle_oldest;
    struct segment  *gone;       /* removed and not used any more: to be closed */
    uint8_t         *scratch[8]; /* buffers of one record each that nobody uses */
    uint32_t         scratch_count;

    /* the committer's */
    struct blob_change *changes;
    size_t              change_count, change_cap;

    _Atomic bool     closing;
    _Atomic int64_t  room_checked_ns; /* 0: not yet */
    _Atomic uint64_t room_written;    /* bytes since then */
    _Atomic bool     room_short;
    _Atomic uint64_t corrupt, rewritten, pending;

    struct rewriter *rewriter;
};

/* ---- segment_file.c: the files and their table */

#define SEGMENT_FILE_NAME 21 /* "0123456789abcdef.seg" and NUL */
void wfl_segment_file_name(uint64_t id, char out[SEGMENT_FILE_NAME]);
/* False: not the name of a segment file. */
WFL_MUST_USE bool wfl_segment_file_id(const char *text, uint64_t *id);

/* A segment that is in no table yet, without a file. NULL: no memory. */
WFL_MUST_USE struct segment *wfl_segment_new(struct local *l, uint64_t id);
void                         wfl_segment_free(struct segment *s); /* closes the file */
/* Adds one whose id is above all others. NOMEM. */
WFL_MUST_USE wfl_code wfl_segments_add(struct local *l, struct segment *s, wfl_error *err);
/* The file at `s`'s name, made anew with its header; a smaller `cap` where room is short. */
WFL_MUST_USE wfl_code wfl_segment_create(struct local *l, struct segment *s, wfl_error *err);

/* A reference, with its file open, or NULL: there is no such segment (any more), and err OK; or the
 * file cannot be opened and err says why. */
WFL_MUST_USE struct segment *wfl_segment_get(struct local *l, uint64_t id, wfl_error *err);
void                         wfl_segment_put(struct segment *s);
/* Without reference or file; for those who know that it stays. NULL: none. */
struct segment *wfl_segment_find(struct local *l, uint64_t id);
/* With segments.lock held: out of the table. A reference is held, its file is open. */
void wfl_segments_take_out_locked(struct local *l, struct segment *s);
void wfl_segments_free_gone(struct local *l);
/* One pin less. Does not block. */
void wfl_segment_unpin(struct segment *s);
/* All n bytes, or what the file has. IO. */
WFL_MUST_USE wfl_code wfl_segment_read(const struct segment *s, uint64_t at, uint8_t *out, size_t n,
                                       size_t *got, wfl_error *err);

/* A buffer for the largest record, or NULL. */
WFL_MUST_USE uint8_t *wfl_scratch_get(struct local *l);
void                  wfl_scratch_put(struct local *l, uint8_t *scratch);
#define SCRATCH_BYTES (WFL_BLOB_BYTES_MAX + SEGMENT_BLOCK)

/* ---- blob_write.c */

wfl_code wfl_local_blob_write(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                              const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err);
wfl_code wfl_local_blob_sync(struct wfl_engine *e, const struct wfl_blob_place *places,
                             size_t count, wfl_error *err);
void     wfl_local_blob_abandon(struct wfl_engine *e, const struct wfl_blob_place *place);
/* As wfl_local_blob_write, but the reserve may be used up. */
WFL_MUST_USE wfl_code wfl_blob_write_record(struct local *l, wfl_slice name, wfl_slice content,
                                            const wfl_hash *hash, struct wfl_blob_place *out,
                                            wfl_error *err);
/* Is less room left than the reserve? Asks the system now and then. */
bool wfl_room_is_short(struct local *l);

/* ---- blob_read.c */

wfl_code wfl_local_blob_open(struct wfl_engine *e, wfl_slice name, bool always,
                             struct wfl_blob *out, wfl_error *err);
wfl_code wfl_local_blob_walk(struct wfl_engine *e, struct wfl_blob_walk *walk, wfl_error *err);
/* Reads the record at `place` into `scratch` and checks it. OK, CORRUPT_OBJECT, IO. */
WFL_MUST_USE wfl_code wfl_blob_verify(struct segment *s, wfl_slice name,
                                      const struct wfl_blob_place *place, uint8_t *scratch,
                                      wfl_hash *hash, wfl_error *err);

/* ---- blob_index.c: names to places, and what is live */

/* Any thread. OK, NOT_FOUND, CORRUPT_OBJECT, IO. */
WFL_MUST_USE wfl_code wfl_blob_find(struct local *l, wfl_slice name, struct wfl_blob_place *out,
                                    wfl_error *err);
/* False: damaged. */
WFL_MUST_USE bool wfl_blob_place_decode(wfl_slice bytes, struct wfl_blob_place *out);
wfl_code          wfl_local_blob_recount(struct wfl_engine *e, wfl_error *err);

/* Committer thread. */
WFL_MUST_USE wfl_code wfl_blob_txn_keep(struct local *l, wfl_slice name,
                                        const struct wfl_blob_place *place, wfl_error *err);
WFL_MUST_USE wfl_code wfl_blob_txn_drop(struct local *l, wfl_slice name, wfl_error *err);
/* Puts `name`, if it still is at `from`, to `to`. */
WFL_MUST_USE wfl_code wfl_blob_txn_move(struct local *l, wfl_slice name,
                                        const struct wfl_blob_place *from,
                                        const struct wfl_blob_place *to, bool *moved,
                                        wfl_error *err);
WFL_MUST_USE wfl_code wfl_blob_txn_seal(struct local *l, struct segment *s, wfl_error *err);
/* The row goes; the segment must be one that can be removed. */
void wfl_blob_txn_remove(struct local *l, const struct segment *s);
/* Around a commit and a group: what a failed commit changed is undone (`mark`: change_count at its
 * begin), rows are written into the batch before the group is, and then it is stored or not. */
void wfl_blob_group_undo(struct local *l, size_t mark);
void wfl_blob_group_fold(struct local *l);
void wfl_blob_group_settle(struct local *l, bool stored);

/* A row of blob_segments. */
struct segment_row {
    struct segment_name name;
    uint64_t            live;
    uint32_t            kept_end, tail;
    bool                sealed;
};
#define SEGMENT_ROW_KEY 8
#define SEGMENT_ROW_LEN 36
void wfl_segment_row_key(uint64_t id, uint8_t out[SEGMENT_ROW_KEY]);
void wfl_segment_row_encode(const struct segment_row *row, uint8_t out[SEGMENT_ROW_LEN]);
WFL_MUST_USE bool wfl_segment_row_decode(wfl_slice key, wfl_slice value, struct segment_row *out);

/* ---- rewrite.c */

WFL_MUST_USE wfl_code wfl_rewriter_start(struct local *l, wfl_error *err);
void                  wfl_rewriter_stop(struct local *l); /* again is no error */
void                  wfl_rewriter_free(struct local *l); /* and again */
/* Any thread: there may be something to do. Does not block. */
void wfl_rewriter_wake(struct local *l);
/* Between these it moves and removes nothing. They nest. */
void wfl_rewriter_pause(struct local *l);
void wfl_rewriter_resume(struct local *l);

/* ---- blob_recover.c: start and end */

void wfl_segments_init(struct local *l, const struct wfl_local_config *config);
/* The records are open, nothing runs yet. IO, CORRUPT_OBJECT, NOMEM. */
WFL_MUST_USE wfl_code wfl_segments_open(struct local *l, const char *path, wfl_error *err);
/* Nothing runs any more. Seals the active segment; accepts what was never opened. */
void wfl_segments_close(struct local *l);
/* The folder of segments in `path`, made where it is missing. */
WFL_MUST_USE wfl_code wfl_segments_open_folder(struct local *l, const char *path, int *out,
                                               wfl_error *err);
/* A walk over the file of `s`, which must be held. */
WFL_MUST_USE wfl_code wfl_segment_walk_file(struct segment *s, struct segment_walk *walk,
                                            wfl_error *err);
void                  wfl_segments_stats(struct local *l, struct wfl_engine_stats *out);

/* ---- blob_checkpoint.c */

/* Beside a checkpoint of the records, which is made by `records`. */
WFL_MUST_USE wfl_code wfl_segments_checkpoint(struct local *l, const char *path,
                                              wfl_code (*records)(struct local *l, const char *path,
                                                                  wfl_error *err),
                                              wfl_error *err);

#endif
