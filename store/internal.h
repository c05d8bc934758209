/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 *
 * Threads: struct wfl_store's committer part belongs to the committer; the table of buckets is
 * written by it alone and read by all under `table_lock`; published counters are under
 * `counters_lock`. */
#ifndef WFL_STORE_INTERNAL_H
#define WFL_STORE_INTERNAL_H

#include "schema/records.h"
#include "store/store.h"

/* ---- exactly once (once.c, outcome.c) */

#define WFL_ONCE_KEY_LEN  32
#define WFL_ONCE_HEAD_MAX 512 /* of a row, all but the rest */
#define WFL_ONCE_REST_MAX (64u << 10)

struct once_row {
    uint64_t           expires_ms;
    uint8_t            operation[32];
    wfl_code           code;
    wfl_slice          message; /* of a refusal */
    struct wfl_outcome outcome;
};
/* Pure. All but the rest into `out`, which has WFL_ONCE_HEAD_MAX bytes; its length. */
size_t wfl_once_row_write(const struct once_row *row, uint8_t *out);
/* Pure. The slices point into `value`. NULL, or what is wrong with it. */
const char *wfl_once_row_read(wfl_slice value, struct once_row *out);
wfl_slice   wfl_key_once(wfl_slice client, wfl_slice nonce, uint8_t out[WFL_ONCE_KEY_LEN]);

/* Sets commit.apply and submits: WFL_PENDING, or refused at once with the text in commit.err. */
WFL_MUST_USE wfl_code wfl_once_submit(struct wfl_once_commit *c);
/* Committer, in an apply that will succeed, before it changes state of its own: the outcome is
 * written with it. `once` NULL: nothing to do. */
WFL_MUST_USE wfl_code wfl_once_keep(struct wfl_once *once, struct wfl_txn *t,
                                    const struct wfl_outcome *outcome, wfl_error *err);
/* Committer. Room of `n` bytes for the outcome's rest, until fini. NULL: no memory. */
uint8_t *wfl_once_room(struct wfl_store *s, struct wfl_once *once, size_t n);

/* Of creation and patch, whose answer is op->info (bucket_once.c). */
WFL_MUST_USE wfl_code wfl_bucket_keep(struct wfl_bucket_op *op, struct wfl_txn *t, wfl_error *err);
WFL_MUST_USE wfl_code wfl_bucket_take_outcome(struct wfl_bucket_op *op);

/* ---- keys (keys.c): layouts in the spaces, all with a big-endian bucket id in front */

#define WFL_ID_LEN           4
#define WFL_OBJECT_KEY_MAX   (WFL_ID_LEN + WFL_KEY_MAX)
#define WFL_VALUE_KEY_LEN    (WFL_ID_LEN + 16)
#define WFL_COUNTERS_PREFIX  "counters/"
#define WFL_COUNTERS_KEY_LEN (sizeof WFL_COUNTERS_PREFIX - 1 + WFL_ID_LEN)
#define WFL_GONE_PREFIX      "gone/"
#define WFL_GONE_KEY_MAX     (sizeof WFL_GONE_PREFIX - 1 + WFL_BUCKET_NAME_MAX)
#define WFL_STORE_KEY        "store"
#define WFL_CHUNK_KEY_LEN    (WFL_ID_LEN + WFL_HASH_LEN)
#define WFL_MANIFEST_KEY_LEN (WFL_ID_LEN + 16 + 4)
#define WFL_UPLOAD_KEY_MAX   (1 + WFL_ID_LEN + WFL_HASH_LEN)
#define WFL_PAGE_PARTS       UINT32_MAX       /* the page number of a list of manifests */
#define WFL_PAGE_OWNERS      (UINT32_MAX - 1) /* ... of the count of its owners; absent: one */
#define WFL_HISTORY_KEY_MAX  (WFL_ID_LEN + WFL_KEY_MAX + 1 + 16)
#define WFL_TAG_KEY_MAX      (WFL_ID_LEN + 64 + 1 + 256 + 1 + WFL_KEY_MAX)
#define WFL_CHANGE_KEY_LEN   (WFL_ID_LEN + 16)
#define WFL_DUE_KEY_MAX      (8 + 1 + WFL_ID_LEN + WFL_KEY_MAX)

/* What is due, behind the time in a key of DUE. */
#define WFL_DUE_EXPIRE  'x' /* bucket id, key: its object may have expired */
#define WFL_DUE_HISTORY 'h' /* bucket id, key: it may have more versions than are kept */
#define WFL_DUE_BUCKET  'b' /* bucket id: its settings have changed */
#define WFL_DUE_GONE    'd' /* bucket id: it was deleted, and what is left of it goes */
#define WFL_DUE_CHANGES 'c' /* bucket id: changes may be out of time */
#define WFL_DUE_REVOKED 'r' /* no bucket; key of REVOCATIONS: the link has ended long ago */

/* What a key of UPLOADS begins with, and what is behind it and the bucket id. */
#define WFL_UPLOAD_GIVEN 'u' /* upload: what was said at its start */
#define WFL_UPLOAD_STATE 's' /* upload */
#define WFL_UPLOAD_PART  'p' /* upload, part number (2 bytes) */
#define WFL_UPLOAD_TRASH 't' /* manifest whose references are to be taken back */
#define WFL_UPLOAD_ZERO  'z' /* hash of a chunk whose count is zero and that may be leased */

wfl_slice wfl_key_bucket(uint32_t id, uint8_t out[WFL_ID_LEN]);
wfl_slice wfl_key_object(uint32_t id, wfl_slice key, uint8_t out[WFL_OBJECT_KEY_MAX]);
wfl_slice wfl_key_value(uint32_t id, const wfl_ulid *version, uint8_t out[WFL_VALUE_KEY_LEN]);
wfl_slice wfl_key_counters(uint32_t id, uint8_t out[WFL_COUNTERS_KEY_LEN]);
/* Of a name whose bucket was deleted. */
wfl_slice wfl_key_gone(wfl_slice name, uint8_t out[WFL_GONE_KEY_MAX]);
/* Of CHUNKS, and the blob's name. */
wfl_slice wfl_key_chunk(uint32_t id, const wfl_hash *hash, uint8_t out[WFL_CHUNK_KEY_LEN]);
wfl_slice wfl_key_manifest(uint32_t id, const wfl_ulid *manifest, uint32_t page,
                           uint8_t out[WFL_MANIFEST_KEY_LEN]);
/* `tag`: of an upload or manifest. */
wfl_slice wfl_key_upload(uint8_t tag, uint32_t id, const wfl_ulid *what,
                         uint8_t out[WFL_UPLOAD_KEY_MAX]);
wfl_slice wfl_key_part(uint32_t id, const wfl_ulid *upload, uint32_t part,
                       uint8_t out[WFL_UPLOAD_KEY_MAX]);
wfl_slice wfl_key_zero(uint32_t id, const wfl_hash *hash, uint8_t out[WFL_UPLOAD_KEY_MAX]);
/* The older versions of a key, newest first; without `version` what all of them begin with. */
wfl_slice wfl_key_history(uint32_t id, wfl_slice key, const wfl_ulid *version,
                          uint8_t out[WFL_HISTORY_KEY_MAX]);
/* Key and version from a key of HISTORY. False: it is none. */
WFL_MUST_USE bool wfl_key_read_history(wfl_slice engine_key, wfl_slice *key, wfl_ulid *version);
/* What the tag's rows begin with; `key` empty: all of them. */
wfl_slice wfl_key_tag(uint32_t id, wfl_slice name, wfl_slice value, wfl_slice key,
                      uint8_t out[WFL_TAG_KEY_MAX]);
wfl_slice wfl_key_change(uint32_t id, const wfl_ulid *version, uint8_t out[WFL_CHANGE_KEY_LEN]);
wfl_slice wfl_key_due(uint64_t due_ms, uint8_t kind, uint32_t id, wfl_slice key,
                      uint8_t out[WFL_DUE_KEY_MAX]);
WFL_MUST_USE bool wfl_key_read_due(wfl_slice engine_key, uint64_t *due_ms, uint8_t *kind,
                                   uint32_t *id, wfl_slice *key);
/* Id and what follows it, from a key that one of the three above has made; false: it is none. */
WFL_MUST_USE bool wfl_key_read_upload(wfl_slice key, uint32_t *id, wfl_slice *rest);
/* An object's key from its engine key, which wfl_key_object has made. */
wfl_slice wfl_key_of_object(wfl_slice engine_key);
/* The id that is all of a key of BUCKETS; false: it is no such key. */
WFL_MUST_USE bool wfl_key_read_bucket(wfl_slice key, uint32_t *id);
/* The smallest key above all that begin with the `len` bytes of `key`, made in place. Returns its
 * length; 0: there is none, the range is open. */
size_t wfl_key_after_prefix(uint8_t *key, size_t len);

/* ---- records (record.c) */

/* Verify a stored object record, which must stay in place as long as `out` is used. */
WFL_MUST_USE wfl_code wfl_record_load(wfl_slice record, wfl_slice key,
                                      struct wfl_record_object *out, wfl_error *err);
/* The record as callers see it. `pairs` has room for meta.count + tags.count. Either may be left
 * out. */
void wfl_record_show(const struct wfl_record_object *record, bool with_meta, bool with_tags,
                     struct wfl_name_value *pairs, struct wfl_object *out);
/* Encode what a put carries, its version still zero. NOMEM. */
WFL_MUST_USE wfl_code wfl_record_encode(const struct wfl_put *put, wfl_buf *out, wfl_error *err);

static inline wfl_slice wfl_from_record(struct wfl_record_bytes bytes)
{
    return wfl_slice_of(bytes.data, bytes.len);
}
static inline struct wfl_record_bytes wfl_to_record(wfl_slice slice)
{
    return (struct wfl_record_bytes){.data = slice.data, .len = slice.len};
}

/* ---- buckets (buckets.c) */

#define WFL_BUCKETS_MAX 100000 /* a store holds them all in memory, in one sorted table */

struct counters {
    uint64_t objects; /* that are stored, the expired ones included until they are removed */
    uint64_t bytes;
    wfl_ulid version;
    wfl_ulid floor;         /* reads of the past are exact from here on */
    wfl_ulid changes_floor; /* changes up to and including this one are gone */
};

/* Within a group a bucket may be there for the committer and not yet for readers, or the other way
 * round; when the group is settled the two agree again, or the bucket goes. */
struct bucket {
    uint32_t                   id;
    struct wfl_bucket_settings settings; /* as the group leaves them; committer */
    struct wfl_bucket_settings shown;    /* to readers: as stored; under table_lock */
    wfl_ulid                   created;
    bool                       visible;   /* to readers; under table_lock */
    bool                       stands;    /* in the group's state; committer */
    bool                       rated;     /* counted in the store's `rated`; committer */
    bool                       patched;   /* settings changed by this group; committer */
    bool                       touched;   /* by this group; committer */
    bool                       has_rest;  /* of a history that is not kept any more; committer */
    struct counters            group;     /* as the group leaves them; committer */
    struct counters            published; /* as stored; under counters_lock */
    struct bucket             *next;      /* of the touched ones; committer */
    size_t                     name_len;
    uint8_t                    name[WFL_BUCKET_NAME_MAX];
};

struct wfl_store {
    struct wfl_engine       *engine;
    const struct wfl_clock  *clock;
    const struct wfl_random *random;
    const struct wfl_alloc  *alloc;

    pthread_rwlock_t table_lock; /* a leaf: nothing is called while it is held */
    struct bucket  **table;      /* by name; of equal names the newest first, only that may stand */
    _Atomic uint32_t rated;      /* visible buckets whose rates are limited */
    size_t           table_count;
    size_t           table_cap;

    wfl_mutex counters_lock;

    /* the committer's */
    struct wfl_ulid_source versions;
    uint32_t               last_bucket_id;
    uint32_t               format;  /* of what is stored */
    struct bucket         *touched; /* by this group */
    bool                   trashed; /* this group left something for the collector */

    wfl_mutex          watch_lock;
    struct wfl_watch **watches; /* by bucket id, hashed */
    uint32_t           watch_count;

    struct lease_table      *leases;
    struct active_table     *actives;
    struct revocation_table *revocations;
    struct collector        *collector; /* NULL: its turns are the caller's */
    uint64_t                 upload_ttl_ms;
    _Atomic uint64_t         next_due_ms; /* as the collector's last turn saw it */
};

static inline wfl_slice wfl_bucket_name(const struct bucket *b)
{
    return wfl_slice_of(b->name, b->name_len);
}

void wfl_buckets_fini(struct wfl_store *s);
/* What is shown of the bucket may have changed. Committer. */
void wfl_buckets_note_rates(struct wfl_store *s, struct bucket *b);
/* Room for one more, so that wfl_buckets_insert cannot fail. Committer, or before any reader. */
WFL_MUST_USE wfl_code wfl_buckets_reserve(struct wfl_store *s, wfl_error *err);
void                  wfl_buckets_insert(struct wfl_store *s, struct bucket *b);
/* Take out and free those that are neither visible nor stand. Committer. */
void wfl_buckets_sweep(struct wfl_store *s);
/* The bucket of the group's state. Committer. NULL: none. */
struct bucket *wfl_buckets_find(struct wfl_store *s, wfl_slice name);
/* Any thread: what a reader has to know of a bucket. BUCKET_NOT_FOUND. */
struct bucket_view {
    uint32_t                   id;
    struct wfl_bucket_settings settings;
    wfl_ulid                   version; /* of its last commit */
    wfl_ulid                   floor;
    wfl_ulid                   changes_floor;
};
WFL_MUST_USE wfl_code wfl_buckets_look_up(struct wfl_store *s, wfl_slice name,
                                          struct bucket_view *out, wfl_error *err);
/* Committer: by id, of the group's state. NULL: none. A walk over all: for what is rare. */
struct bucket *wfl_buckets_by_id(struct wfl_store *s, uint32_t id);
/* Any thread: the name of a visible bucket into `out`; its length, 0: none. A walk over all. */
size_t   wfl_buckets_name_of(struct wfl_store *s, uint32_t id, uint8_t out[WFL_BUCKET_NAME_MAX]);
void     wfl_buckets_touch(struct wfl_store *s, struct bucket *b); /* committer */
wfl_code wfl_fail_no_bucket(wfl_error *err, wfl_slice name);       /* BUCKET_NOT_FOUND */
wfl_code wfl_fail_no_key(wfl_error *err, wfl_slice bucket, wfl_slice key);

/* Of the commits of a bucket, by its name: from the name alone, before it is known to be there. */
static inline uint64_t wfl_flow_of(wfl_slice bucket)
{
    uint64_t hash = 0xCBF29CE484222325u; /* FNV-1a */

    for (size_t i = 0; i < bucket.len; i++)
        hash = (hash ^ bucket.data[i]) * 0x100000001B3u;
    return hash;
}

/* The next version of all. Committer. */
WFL_MUST_USE wfl_code wfl_store_next_version(struct wfl_store *s, wfl_ulid *out, wfl_error *err);

/* ---- loading (load.c) */

/* Read buckets, counters and the last version. May block; before any other call. */
WFL_MUST_USE wfl_code wfl_store_load(struct wfl_store *s, wfl_error *err);

/* Bring what an earlier release has written to this one's format. May block; once loaded and with
 * the hooks in place, before any other call. What loading, ranges and commits say. */
WFL_MUST_USE wfl_code wfl_store_upgrade(struct wfl_store *s, wfl_error *err);
WFL_MUST_USE wfl_code wfl_store_write_counters(struct wfl_txn *t, const struct bucket *b,
                                               wfl_error *err); /* committer */
/* The store's own record, with its format and last version. Committer. */
WFL_MUST_USE wfl_code wfl_store_write_last(struct wfl_txn *t, const struct wfl_store *s,
                                           wfl_error *err);

/* ---- what puts and deletes judge (judge.c); committer */

struct current {
    bool                     stored; /* there is a record */
    bool                     exists; /* and it has not expired: a live object */
    wfl_ulid                 version;
    uint64_t                 size;
    enum wfl_record_storage  storage;
    wfl_ulid                 manifest; /* of content in chunks */
    struct wfl_record_object record;   /* points into the pin */
    struct wfl_pin           pin;
};
WFL_MUST_USE wfl_code wfl_judge_current(struct wfl_store *s, struct wfl_txn *t,
                                        const struct bucket *b, wfl_slice key, struct current *out,
                                        wfl_error *err);
void                  wfl_current_fini(struct current *c); /* accepts zero */
static inline bool    wfl_keeps_history(const struct wfl_bucket_settings *set)
{
    return set->versions != 0 && set->retain_seconds != 0;
}
/* Out of time by the bucket's expire_seconds. */
bool wfl_expired(const struct wfl_bucket_settings *set, const wfl_ulid *version, uint64_t now_ms);
/* OK or PRECONDITION_FAILED. */
WFL_MUST_USE wfl_code wfl_judge_conditions(const struct current       *current,
                                           const struct wfl_condition *match,
                                           const struct wfl_condition *none_match, wfl_error *err);
/* OK, OBJECT_TOO_LARGE, QUOTA_EXCEEDED: may `current` be replaced by `size` bytes? */
WFL_MUST_USE wfl_code wfl_judge_limits(const struct bucket *b, const struct current *current,
                                       uint64_t size, wfl_error *err);
/* Take a version's content away, where it is not in the record: its row, or its chunks in time. */
WFL_MUST_USE wfl_code wfl_drop_content(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                       const struct wfl_record_object *record, wfl_error *err);

/* ---- puts, for who makes an object in another way (objects_put.c) */

/* Set own.storage, own.manifest and, of content that is given whole, the size. */
void wfl_put_choose_storage(struct wfl_put *op);
/* Encode: own.storage and own.manifest are set. OBJECT_TOO_LARGE, NOMEM. wfl_put_fini in any case.
 */
WFL_MUST_USE wfl_code wfl_put_prepare(struct wfl_store *s, struct wfl_put *op, wfl_error *err);
/* The answer is the first execution's. */
void wfl_put_take_outcome(struct wfl_put *op);
/* Committer: judge and write. */
WFL_MUST_USE wfl_code wfl_put_apply(struct wfl_put *op, struct wfl_txn *t, wfl_error *err);

/* ---- gets, for who finds the record in another way (objects_get.c) */

void wfl_get_begin(struct wfl_store *s, struct wfl_get *op);
/* Blocks. What own.header holds, which must be `version`, as the answer; own.id is set. NOT_FOUND:
 * it is another one, or its content has moved on. */
WFL_MUST_USE wfl_code wfl_get_show(struct wfl_get *op, const wfl_ulid *version);

/* ---- watches (watches.c) */

WFL_MUST_USE wfl_code wfl_watches_init(struct wfl_store *s, wfl_error *err);
void                  wfl_watches_fini(struct wfl_store *s);
/* Committer: the touched buckets have changed, and readers see it. */
void wfl_watches_wake(struct wfl_store *s);

/* ---- revocations (revocations.c) */

/* Reads all of them. May block. CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_revocations_load(struct wfl_store *s, wfl_error *err);
void                  wfl_revocations_fini(struct wfl_store *s);
/* Blocks. The link of the row has ended: both rows go, if it is long enough ago. */
WFL_MUST_USE wfl_code wfl_revocations_forget(struct wfl_store *s, wfl_slice row, wfl_slice due_row,
                                             wfl_error *err);

/* How long changes are kept by these settings, in ms (changes.c). */
uint64_t wfl_changes_kept_ms(const struct wfl_bucket_settings *set);

/* ---- cursors (cursor.c) */

/* The hash of everything that shapes a listing, cut to what a cursor carries. */
void wfl_cursor_question(const struct wfl_scan *op, uint32_t bucket_id, uint8_t out[16]);
/* The same for another kind of listing, whose name is the first part. */
void wfl_cursor_question_of(const wfl_slice *parts, size_t count, uint8_t out[16]);
/* Text into `out` of WFL_CURSOR_TEXT_MAX bytes; its length. `last` is at most WFL_KEY_MAX. */
size_t wfl_cursor_write(const struct wfl_cursor *cursor, char out[WFL_CURSOR_TEXT_MAX]);

#endif
