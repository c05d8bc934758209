/* SPDX-License-Identifier: Apache-2.0
 *
 * What the bytes mean: buckets, objects, listings, on any engine. Answers follow the engine's rule:
 * the final code at once, or WFL_PENDING and then `done` exactly once, on a thread of the engine.
 * An operation struct is the caller's, stays in place until it has its answer, and is then finished
 * with its *_fini, which releases what it pinned. Slices put into an operation must live as long.
 * store trusts its caller to have authorised; it judges existence, preconditions and limits. */
#ifndef WFL_STORE_STORE_H
#define WFL_STORE_STORE_H

#include "engine/engine.h"

struct wfl_store;

#define WFL_OBJECT_BYTES_MAX (5ull << 40)
#define WFL_INLINE_BYTES_MAX 1024 /* up to here content lives in the object's header record */
#define WFL_VALUE_BYTES_MAX  (64u << 10) /* up to here in one record; larger ones are in chunks */
#define WFL_CHUNK_BYTES      (1u << 20)

struct wfl_store_config {
    struct wfl_engine       *engine; /* outlives the store */
    const struct wfl_clock  *clock;
    const struct wfl_random *random;
    const struct wfl_alloc  *alloc;
    bool collects; /* a thread of its own takes back what nobody names any more; else the caller
                    * gives it turns (wfl_store_collect) */
    uint32_t upload_ttl_seconds; /* an upload untouched for so long is removed; 0: 7 days */
};
/* Loads the buckets. CORRUPT_OBJECT names the record that fails its schema. May block. */
WFL_MUST_USE wfl_code wfl_store_open(const struct wfl_store_config *config, struct wfl_store **out,
                                     wfl_error *err);
void wfl_store_close(struct wfl_store *s); /* no operation under way; NULL accepted */

/* ---- exactly once (protocol, Signed requests: Replay)
 *
 * A write may carry a nonce. Its outcome is then committed with it, and the same write with the
 * same nonce gets that outcome and is not executed. A refusal that depends on what is stored is an
 * outcome too. Judged on the committer, so two that race are told apart exactly. */

struct wfl_outcome { /* what was answered; which fields mean something is the operation's affair */
    wfl_ulid  version;
    bool      created;
    uint64_t  size;
    wfl_hash  blake3;
    wfl_slice rest; /* what an operation has besides, in its own form */
};

struct wfl_once {
    wfl_slice client, nonce; /* together the name under which it is remembered; live until fini */
    uint8_t   operation[32]; /* hash of what is asked for: another one is NONCE_REUSED */
    int64_t   keep_ms;       /* remembered until then (Unix ms) where this is the first */
    int64_t   valid_ms;      /* and no shorter than this, which may be a repetition */
    bool      known_only;    /* not known, it is REPLAYED: too old to say that it is the first */

    /* With the operation's answer */
    bool               replayed; /* it was not executed: the answer is the first execution's */
    struct wfl_outcome outcome;

    struct {
        const struct wfl_alloc *alloc;
        void                   *memory; /* of outcome.rest */
        bool                    judged; /* by the committer: the nonce was not known */
        bool                    longer; /* known, and to be remembered longer */
        wfl_code                code;   /* then, of the outcome */
    } own;
};
void wfl_once_fini(struct wfl_once *once); /* once no operation carries it; accepts zero */
/* The committer has judged it: what was answered is, where it is to be, remembered. */
static inline bool wfl_once_is_settled(const struct wfl_once *once)
{
    return once->replayed || once->own.judged;
}
/* Refusals that are outcomes: those that another state of the store would not have made. */
bool wfl_once_remembers(wfl_code refusal);

struct wfl_once_commit {      /* the store's, inside operations: a commit that may carry a nonce */
    struct wfl_commit commit; /* the first member */
    struct wfl_store *store;
    struct wfl_once  *once;
    wfl_code (*apply)(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err);
};

/* A write that is refused before it was committed, or that is asked about before its body is
 * received. `code` is what it gets where its nonce is not known, and is remembered where
 * wfl_once_remembers says so. */
struct wfl_refusal {
    struct wfl_once *once;
    wfl_code         code; /* not OK */
    void (*done)(struct wfl_refusal *op);
    void     *arg;
    wfl_code  rc;  /* `code`; where once->replayed the first outcome's; NONCE_REUSED; commits' */
    wfl_error err; /* in: of `code` */
    struct {
        struct wfl_once_commit commit;
    } own;
};
WFL_MUST_USE wfl_code wfl_store_refuse(struct wfl_store *s, struct wfl_refusal *op);

/* ---- buckets */

struct wfl_bucket_settings { /* -1 where not set, but versions: 0 */
    int64_t versions;
    int64_t retain_seconds;
    int64_t quota_bytes;
    int64_t quota_objects;
    int64_t max_object_bytes;
    int64_t requests_per_second;
    int64_t bytes_per_second;
    int64_t expire_seconds;
    int64_t change_retain_seconds;
    bool    public_read;
};
/* Empty text is the default. INVALID_JSON, INVALID_SETTING (unknown member, wrong type, out of
 * range, or a setting that this release does not carry out yet, refused rather than ignored). */
WFL_MUST_USE wfl_code wfl_settings_parse(wfl_slice json, struct wfl_bucket_settings *out,
                                         wfl_error *err);
/* JSON Merge Patch (RFC 7396) of `settings`: null takes a member back to its default. The same
 * errors; `settings` is untouched on failure. */
WFL_MUST_USE wfl_code wfl_settings_patch(wfl_slice json, struct wfl_bucket_settings *settings,
                                         wfl_error *err);
void wfl_settings_write(const struct wfl_bucket_settings *s, wfl_json *out); /* one object */

struct wfl_bucket_info {
    wfl_slice                  name;
    struct wfl_bucket_settings settings;
    uint64_t                   objects; /* live */
    uint64_t                   bytes;   /* of their contents */
    wfl_ulid version; /* of the last commit; the creation's where there is none yet */
    wfl_ulid floor;   /* reads of the past are exact from here on */
};
/* Any thread, from memory. BUCKET_NOT_FOUND, NOMEM. `name` of the result lies in `arena`. */
WFL_MUST_USE wfl_code wfl_store_bucket_info(struct wfl_store *s, wfl_slice name, wfl_arena *arena,
                                            struct wfl_bucket_info *out, wfl_error *err);
/* Names in order, those for which `wanted` says so, copied into `arena`. NOMEM. `wanted` is asked
 * up to twice a name, answers the same each time, and calls nothing of the store. */
WFL_MUST_USE wfl_code wfl_store_bucket_list(struct wfl_store *s,
                                            bool (*wanted)(void *ctx, wfl_slice name), void *ctx,
                                            wfl_arena *arena, wfl_slice **out, uint32_t *count,
                                            wfl_error *err);

/* The flow (engine.h) that reads and work on a bucket belong to, and so take turns with others'.
 * Work on none, or on one that does not exist, is its client's (a thumbprint; empty: nobody's). Any
 * thread, from memory. */
uint64_t wfl_store_flow(struct wfl_store *s, wfl_slice bucket, wfl_slice client);

struct wfl_bucket_rates {
    uint32_t id;                                    /* of the bucket */
    uint64_t requests_per_second, bytes_per_second; /* UINT64_MAX: not limited */
};
/* Any thread, from memory; where no bucket of all has one it costs a comparison. False: there is no
 * such bucket, or its rates are not limited. */
bool wfl_store_bucket_rates(struct wfl_store *s, wfl_slice name, struct wfl_bucket_rates *out);

struct wfl_bucket_op {                   /* create, patch and delete */
    wfl_slice                  name;     /* valid */
    struct wfl_bucket_settings settings; /* create */
    wfl_slice                  patch;    /* patch: a JSON Merge Patch of the settings */
    enum wfl_durability        durability;
    struct wfl_once           *once; /* or NULL */
    void (*done)(struct wfl_bucket_op *op);
    void                  *arg;
    wfl_code               rc;
    wfl_error              err;
    wfl_ulid               version; /* create: of the creation; patch: the last */
    struct wfl_bucket_info info; /* create and patch: as the commit left it; `name` is this one's */
    struct {
        struct wfl_once_commit commit;
        struct wfl_store      *store;
    } own;
};
/* BUCKET_EXISTS, QUOTA_EXCEEDED (a store holds 100,000 buckets), NOMEM, and what commits may say
 * (OVERLOADED, READ_ONLY, DISK_FULL, ...). */
WFL_MUST_USE wfl_code wfl_store_bucket_create(struct wfl_store *s, struct wfl_bucket_op *op);
/* BUCKET_NOT_FOUND, BUCKET_NOT_EMPTY. */
WFL_MUST_USE wfl_code wfl_store_bucket_delete(struct wfl_store *s, struct wfl_bucket_op *op);

/* BUCKET_NOT_FOUND, INVALID_JSON, INVALID_SETTING. Judged and applied on the committer, so two
 * patches of different members both hold. */
WFL_MUST_USE wfl_code wfl_store_bucket_patch(struct wfl_store *s, struct wfl_bucket_op *op);

/* ---- objects */

struct wfl_name_value {
    wfl_slice name;
    wfl_slice value;
};

enum wfl_condition_kind { /* stored with uploads: numbers never change */
                          WFL_COND_NONE,
                          WFL_COND_EXISTS,  /* If-Match: * */
                          WFL_COND_ABSENT,  /* If-None-Match: * */
                          WFL_COND_ANY_OF,  /* If-Match: a list of versions */
                          WFL_COND_NONE_OF, /* If-None-Match: a list of versions */
                          WFL_COND_NEVER,   /* If-Match with nothing that could be a version of ours
                                             */
};
struct wfl_condition {
    enum wfl_condition_kind kind;
    const wfl_ulid         *versions;
    uint32_t                version_count;
};

struct wfl_object { /* a version as read; slices live until the operation's fini */
    wfl_ulid                     version;
    uint64_t                     size;
    wfl_hash                     blake3;
    wfl_slice                    content_type;
    const struct wfl_name_value *meta; /* by name */
    uint32_t                     meta_count;
    const struct wfl_name_value *tags; /* by name */
    uint32_t                     tag_count;
};

struct wfl_put {
    wfl_slice          bucket, key; /* valid */
    wfl_slice          content;     /* up to WFL_VALUE_BYTES_MAX; stays until done */
    struct wfl_ingest *large; /* or this, sealed, with `size` and `blake3` as it said; the caller
                               * frees it after the answer */
    uint64_t                     size;   /* of `large`; else the store sets it */
    wfl_hash                     blake3; /* of the content, computed by the caller */
    wfl_slice                    content_type;
    const struct wfl_name_value *meta; /* sorted by name, no name twice */
    uint32_t                     meta_count;
    const struct wfl_name_value *tags;
    uint32_t                     tag_count;
    struct wfl_condition         match, none_match; /* both must hold */
    wfl_slice                    by;  /* thumbprint of the client, kept in the record */
    wfl_ulid                     jti; /* of its last link */
    enum wfl_durability          durability;
    struct wfl_once             *once; /* or NULL */
    void (*done)(struct wfl_put *op);
    void    *arg;
    wfl_code rc; /* NONCE_REUSED, BUCKET_NOT_FOUND, PRECONDITION_FAILED, OBJECT_TOO_LARGE,
                    QUOTA_EXCEEDED, commits' */
    wfl_error err;
    wfl_ulid  version; /* OK: the new one; PRECONDITION_FAILED: the current one, zero where none */
    bool      created; /* the key had no live object */
    struct {
        struct wfl_once_commit commit;
        struct wfl_store      *store;
        wfl_buf                header;
        int                    storage; /* enum wfl_record_storage */
        wfl_ulid               manifest;
    } own;
};
/* Any thread. Encodes here, judges on the committer. */
WFL_MUST_USE wfl_code wfl_store_put(struct wfl_store *s, struct wfl_put *op);
void                  wfl_put_fini(struct wfl_put *op);

struct wfl_delete {
    wfl_slice            bucket, key;
    struct wfl_condition match, none_match;
    wfl_slice            by;  /* thumbprint of the client */
    wfl_ulid             jti; /* of its last link */
    enum wfl_durability  durability;
    struct wfl_once     *once; /* or NULL */
    void (*done)(struct wfl_delete *op);
    void     *arg;
    wfl_code  rc; /* NONCE_REUSED, BUCKET_NOT_FOUND, KEY_NOT_FOUND, PRECONDITION_FAILED, commits' */
    wfl_error err;
    wfl_ulid  version; /* OK: of the tombstone; PRECONDITION_FAILED: the current one */
    struct {
        struct wfl_once_commit commit;
        struct wfl_store      *store;
    } own;
};
WFL_MUST_USE wfl_code wfl_store_delete(struct wfl_store *s, struct wfl_delete *op);

/* ---- large content on its way in
 *
 * A content is begun, given chunk by chunk, sealed, and then named: by a put, or as a part of an
 * upload. Chunks that the bucket has already are not written again. Pages of chunks are committed
 * as they fill, so memory stays bounded whatever the size; what is not named in the end, after a
 * crash too, is taken back. */
struct wfl_ingest;

/* Any thread, does not block. BUCKET_NOT_FOUND, NOMEM. */
WFL_MUST_USE wfl_code wfl_ingest_new(struct wfl_store *s, wfl_slice bucket, struct wfl_ingest **out,
                                     wfl_error *err);
/* The flow that its work belongs to. */
uint32_t wfl_ingest_bucket(const struct wfl_ingest *c);
/* Blocks. The next bytes: WFL_CHUNK_BYTES, or fewer (at least 1) once, as the last. DISK_FULL, IO,
 * NOMEM, and what commits may say. One call at a time; after a failure only free. */
WFL_MUST_USE wfl_code wfl_ingest_add(struct wfl_ingest *c, wfl_slice bytes, wfl_error *err);
/* The two halves of an add, for who has two threads for it: each is given all bytes, in order and
 * cut in the same way, one call at a time, but one of either may run beside one of the other. A
 * content that is one chunk need not be hashed: the chunk's hash is its own. */
void wfl_ingest_hash(struct wfl_ingest *c, wfl_slice bytes); /* into the hash of the whole */
WFL_MUST_USE wfl_code wfl_ingest_add_chunk(struct wfl_ingest *c, wfl_slice bytes, wfl_error *err);
/* Blocks until all that was added is on stable storage; nothing can be added any more. */
WFL_MUST_USE wfl_code wfl_ingest_seal(struct wfl_ingest *c, uint64_t *size, wfl_hash *blake3,
                                      wfl_error *err);
/* Any thread, does not block; no call on it under way. What nobody names goes. NULL is accepted. */
void wfl_ingest_free(struct wfl_ingest *c);

struct wfl_get {
    wfl_slice bucket, key;
    bool      head_only; /* content is not fetched */
    void (*done)(struct wfl_get *op);
    void     *arg;
    wfl_code  rc; /* BUCKET_NOT_FOUND, KEY_NOT_FOUND, CORRUPT_OBJECT, OVERLOADED, IO, NOMEM */
    wfl_error err;
    struct wfl_object object;
    wfl_slice         content; /* pinned until fini; empty where it is large */
    bool              large;   /* content is read by a wfl_reader, before the op's fini */
    struct {
        struct wfl_store     *store;
        struct wfl_engine_get get;
        struct wfl_pin        header, value;
        uint8_t               engine_key[4 + WFL_KEY_MAX];
        uint8_t               value_key[20];
        void                 *pairs;
        uint32_t              id; /* the bucket's */
        int64_t               expire_seconds;
        wfl_ulid              manifest; /* of large content, active until fini */
        bool                  active;
        bool                  in_parts; /* the manifest lists manifests */
        unsigned              attempts; /* reads of the record */
        bool                  in_value; /* the read under way is the content's */
    } own;
};
WFL_MUST_USE wfl_code wfl_store_get(struct wfl_store *s, struct wfl_get *op);
void                  wfl_get_fini(struct wfl_get *op);

/* ---- older versions (protocol, Data model); these block */

enum wfl_as_of {
    WFL_AS_OF_VERSION, /* that version and no other */
    WFL_AS_OF_MOMENT,  /* what was current then: the newest version that is not greater */
};
/* As wfl_store_get, but `done` is not called. And VERSION_NOT_FOUND; CURSOR_EXPIRED: the moment
 * lies before what is kept. wfl_get_fini in any case. */
WFL_MUST_USE wfl_code wfl_store_get_as_of(struct wfl_store *s, struct wfl_get *op,
                                          enum wfl_as_of kind, const wfl_ulid *when);

struct wfl_version {
    wfl_ulid version;
    bool     tombstone;
    uint64_t size;
    wfl_hash blake3;
};
#define WFL_VERSIONS_LISTED_MAX 10000
/* Those that are kept, newest first, at most WFL_VERSIONS_LISTED_MAX, into `arena`. KEY_NOT_FOUND,
 * BUCKET_NOT_FOUND, CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_store_versions(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                         wfl_arena *arena, struct wfl_version **out,
                                         uint32_t *count, wfl_error *err);

struct wfl_erase {
    wfl_slice           bucket, key;
    wfl_ulid            version; /* which goes for good */
    wfl_slice           by;
    wfl_ulid            jti;
    enum wfl_durability durability;
    struct wfl_once    *once;    /* or NULL */
    wfl_ulid            erasure; /* OK: the version of the erasing itself */
};
/* VERSION_NOT_FOUND, BUCKET_NOT_FOUND, OVERLOADED, what commits may say. */
WFL_MUST_USE wfl_code wfl_store_erase(struct wfl_store *s, struct wfl_erase *op, wfl_error *err);

/* ---- batches (protocol, Batches) */

#define WFL_BATCH_OPS_MAX 1000
#define WFL_PAIRS_MAX                                                                              \
    100 /* metadata and tags of an object together: an answer has room for them                    \
         */

enum wfl_batch_kind { WFL_BATCH_PUT, WFL_BATCH_DELETE, WFL_BATCH_COPY, WFL_BATCH_CHECK };

struct wfl_batch_op { /* slices live until wfl_store_batch has returned */
    enum wfl_batch_kind  kind;
    wfl_slice            bucket, key; /* valid */
    struct wfl_condition condition;   /* on `key` */

    wfl_slice content; /* put: of any size */
    wfl_slice content_type;

    wfl_slice from; /* copy: a key of the same bucket */
    bool      has_from_version;
    wfl_ulid  from_version;
    bool      has_meta, has_tags; /* copy: given here, in place of the source's */

    const struct wfl_name_value *meta; /* put, copy: sorted by name, no name twice */
    uint32_t                     meta_count;
    const struct wfl_name_value *tags;
    uint32_t                     tag_count;

    wfl_ulid version; /* OK: the new one, of a delete the tombstone's; check: zero */
};

struct wfl_batch {
    struct wfl_batch_op *ops;
    uint32_t             count; /* 1 to WFL_BATCH_OPS_MAX */
    wfl_slice            by;
    wfl_ulid             jti;
    uint64_t             object_bytes_max; /* what an object may hold, copies too; 0: no limit */
    enum wfl_durability  durability;
    struct wfl_once     *once; /* or NULL */
    uint32_t
            *failed; /* not OK: indices of the ops that are at fault, ascending, where any one is */
    uint32_t failed_count;
    struct {
        struct wfl_store *store;
    } own;
};
/* Blocks. All of it in one commit, or nothing. All is judged against the state before the batch, a
 * copy's source included: PRECONDITION_FAILED (`failed` has every op whose condition does not
 * hold), then, of the first op at fault, KEY_NOT_FOUND (delete, copy's source), VERSION_NOT_FOUND
 * (copy), OBJECT_TOO_LARGE, INVALID_BATCH (more than WFL_PAIRS_MAX after a copy). QUOTA_EXCEEDED
 * is judged of the whole. BUCKET_NOT_FOUND, INVALID_BATCH (a key is written twice), what commits
 * may say. A copy moves no content above WFL_VALUE_BYTES_MAX. wfl_batch_fini in any case. */
WFL_MUST_USE wfl_code wfl_store_batch(struct wfl_store *s, struct wfl_batch *batch, wfl_error *err);
/* Where `once` has got an earlier answer in another way than by wfl_store_batch (which has been
 * called): `rc` is that answer's code. That, or NONCE_REUSED. */
WFL_MUST_USE wfl_code wfl_batch_take_outcome(struct wfl_batch *batch, wfl_code rc, wfl_error *err);
void                  wfl_batch_fini(struct wfl_batch *batch); /* accepts zero */
/* An op that writes a key that another one writes too; `count`: there is none. `order` has room for
 * `count`, and is used up. */
uint32_t wfl_batch_find_repeat(const struct wfl_batch_op *ops, uint32_t count, uint32_t *order);

/* ---- large content on its way out */

struct wfl_piece { /* bytes of one chunk, verified */
    struct wfl_blob blob;
    uint32_t        at, len; /* within the blob */
};
/* The flow that reading it belongs to. */
static inline uint64_t wfl_get_flow(const struct wfl_get *get)
{
    return get->own.id;
}

struct wfl_reader; /* lives no longer than the get it was made from */

/* Any thread, does not block. [first, first + count) lies within the object. NOMEM. */
WFL_MUST_USE wfl_code wfl_reader_new(const struct wfl_get *get, uint64_t first, uint64_t count,
                                     bool verify_always, struct wfl_reader **out, wfl_error *err);
/* Blocks. The next piece, which the caller closes (wfl_blob_close); `len` 0: the end.
 * CORRUPT_OBJECT where a chunk fails its hash or is missing, IO, NOMEM. One call at a time. */
WFL_MUST_USE wfl_code wfl_reader_next(struct wfl_reader *r, struct wfl_piece *out, wfl_error *err);
void                  wfl_reader_free(struct wfl_reader *r); /* NULL is accepted */

/* ---- multipart uploads (protocol, Large objects)
 *
 * These block: they are for threads that run work. `upload` is the ULID that start has given; one
 * of another bucket or key is UPLOAD_NOT_FOUND. */

#define WFL_PARTS_MAX      10000
#define WFL_PART_BYTES_MIN (1u << 20) /* of all parts but the last */

/* Put's bucket, key, type, pairs, conditions, by, jti and once; the conditions are judged at
 * completion. */
WFL_MUST_USE wfl_code wfl_upload_start(struct wfl_store *s, const struct wfl_put *given,
                                       wfl_ulid *upload, wfl_error *err);
/* Is there such an upload? Before a part's content is received. UPLOAD_NOT_FOUND. */
WFL_MUST_USE wfl_code wfl_upload_check(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                       const wfl_ulid *upload, wfl_error *err);
struct wfl_part {
    uint32_t number; /* 1 to WFL_PARTS_MAX */
    uint64_t size;
    wfl_hash blake3;
};
/* The content becomes the part, in place of one that had its number. It is the caller's to free.
 * Where the answer is an earlier one, `part` becomes what that said. */
WFL_MUST_USE wfl_code wfl_upload_put_part(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                          const wfl_ulid *upload, struct wfl_part *part,
                                          struct wfl_ingest  *content,
                                          enum wfl_durability durability, struct wfl_once *once,
                                          wfl_error *err);
/* All parts received, ascending, from the libc allocator of the store. */
WFL_MUST_USE wfl_code wfl_upload_list_parts(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                            const wfl_ulid *upload, struct wfl_part **out,
                                            uint32_t *count, wfl_error *err);
void                  wfl_upload_free_parts(struct wfl_store *s, struct wfl_part *parts);
WFL_MUST_USE wfl_code wfl_upload_abort(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                       const wfl_ulid *upload, struct wfl_once *once,
                                       wfl_error *err);

/* Completion reads all content once, to hash the whole: step by step, so that the thread can be
 * shared. */
struct wfl_completion;
/* `parts` (number and blake3; copied) in ascending order. `whole`: the declared hash, NULL: none.
 * INVALID_PART: not ascending, not received, another hash, too small; UPLOAD_NOT_FOUND. */
WFL_MUST_USE wfl_code wfl_completion_new(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                                         const wfl_ulid *upload, const struct wfl_part *parts,
                                         uint32_t count, const wfl_hash *whole,
                                         struct wfl_completion **out, wfl_error *err);
/* Of the object that it is to become. */
uint64_t wfl_completion_size(const struct wfl_completion *c);
/* About 64 MiB further. `*ended`: all is hashed. */
WFL_MUST_USE wfl_code wfl_completion_step(struct wfl_completion *c, bool *ended, wfl_error *err);
struct wfl_completed {
    wfl_ulid version; /* PRECONDITION_FAILED: the current one, zero where none */
    uint64_t size;
    wfl_hash blake3;
    bool     created;
};
/* The object comes to be. CONTENT_MISMATCH (`whole`), PRECONDITION_FAILED, OBJECT_TOO_LARGE,
 * QUOTA_EXCEEDED, UPLOAD_NOT_FOUND, INVALID_PART (a part was replaced meanwhile). */
WFL_MUST_USE wfl_code wfl_completion_commit(struct wfl_completion *c, struct wfl_once *once,
                                            struct wfl_completed *out, wfl_error *err);
void                  wfl_completion_free(struct wfl_completion *c); /* NULL is accepted */

struct wfl_upload_info {
    wfl_ulid  upload; /* its time is when it was started */
    wfl_slice key;
    uint64_t  bytes; /* received */
};
#define WFL_UPLOADS_LISTED_MAX 10000
/* Those of a bucket in the order of their starts, at most WFL_UPLOADS_LISTED_MAX, into `arena`.
 * BUCKET_NOT_FOUND, NOMEM. */
WFL_MUST_USE wfl_code wfl_upload_list(struct wfl_store *s, wfl_slice bucket, wfl_arena *arena,
                                      struct wfl_upload_info **out, uint32_t *count,
                                      wfl_error *err);

/* ---- the change stream (protocol, Changes) */

#define WFL_CHANGES_LIMIT_MAX  1000
#define WFL_CHANGES_WALKED_MAX 10000 /* rows that one page looks at */

enum wfl_change_kind { WFL_CHANGED_PUT, WFL_CHANGED_DELETE, WFL_CHANGED_ERASE };

struct wfl_change { /* slices live until the page's fini */
    wfl_ulid                     version;
    enum wfl_change_kind         kind;
    wfl_slice                    key;
    uint64_t                     size;   /* of a put */
    wfl_hash                     blake3; /* of a put */
    wfl_slice                    by;     /* empty: nobody, it expired */
    wfl_ulid                     jti;    /* zero: none */
    wfl_ulid                     erased; /* of an erase: the version that went */
    const struct wfl_name_value *tags;   /* of a put; by name */
    uint32_t                     tag_count;
};

enum wfl_changes_from {
    WFL_CHANGES_OLDEST, /* that is kept */
    WFL_CHANGES_AFTER,  /* the position `after` */
    WFL_CHANGES_END,    /* nothing of what is there */
};

struct wfl_changes { /* a page */
    wfl_slice             bucket;
    uint32_t              bucket_id; /* zero: whichever bucket has the name; set on OK */
    wfl_slice             prefix;    /* of keys; empty: all */
    enum wfl_changes_from from;
    wfl_ulid              after;
    uint32_t              limit;     /* 1..WFL_CHANGES_LIMIT_MAX */
    size_t                bytes_max; /* the page ends with the record that passes it */
    /* on OK */
    struct wfl_change *changes; /* in the order of commits */
    uint32_t           count;
    wfl_ulid           next;  /* the position to go on from: behind all that was looked at */
    bool               ended; /* there was no more */
    struct {
        wfl_arena arena;
    } own;
};
/* Blocks. One consistent look at the bucket; a page may hold less than `limit` and not be the last.
 * CURSOR_EXPIRED: a change behind `after` is no longer kept. BUCKET_NOT_FOUND, also where the name
 * is another bucket's by now; CORRUPT_OBJECT, IO, NOMEM. wfl_changes_fini in any case. */
WFL_MUST_USE wfl_code wfl_store_changes(struct wfl_store *s, struct wfl_changes *page,
                                        wfl_error *err);
void                  wfl_changes_fini(struct wfl_changes *page);

/* Told when a bucket has new commits, or goes. Register, then read: what is not in the page read
 * after that calls `wake`. It is called once, and again only after wfl_watch_again. */
struct wfl_watch {
    uint32_t bucket_id;
    /* Committer thread, with a lock of the store held: must not block, nor call the store. The
     * changes can be read by then. */
    void (*wake)(struct wfl_watch *watch);
    void *arg;
    struct {
        struct wfl_watch *next, *prev;
        bool              woken;
    } own;
};
/* Any thread, from memory. BUCKET_NOT_FOUND. */
WFL_MUST_USE wfl_code wfl_store_bucket_id(struct wfl_store *s, wfl_slice bucket, uint32_t *id,
                                          wfl_error *err);
/* Any thread. Stays in place until it is unwatched. */
void wfl_store_watch(struct wfl_store *s, struct wfl_watch *watch);
/* Before what has come is read. */
void wfl_watch_again(struct wfl_store *s, struct wfl_watch *watch);
/* No call is under way when it returns, and none comes. True: `wake` has been called since the
 * beginning or the last wfl_watch_again. */
bool wfl_store_unwatch(struct wfl_store *s, struct wfl_watch *watch);

/* ---- revocations (protocol, Revocation)
 *
 * Rows of their own, read when the store opens and kept in memory: a look-up never waits for a
 * disk. An entry counts from the moment at which it is stored, which is before its `done`. */

#define WFL_REVOCATIONS_MAX           200000
#define WFL_REVOCATIONS_OF_LINKS_MAX  100000 /* of them: an administrator always finds room */
#define WFL_REVOCATIONS_BY_SIGNER_MAX 10000  /* links that one key has taken back */
#define WFL_REVOCATION_LIST_MAX       1000
#define WFL_KID_LEN                   43 /* characters of a thumbprint */
#define WFL_REASON_MAX                256

enum wfl_revocation_kind {
    WFL_REVOKED_JTI,  /* every link with this jti */
    WFL_REVOKED_KID,  /* every link that this key has signed or holds */
    WFL_REVOKED_LINK, /* the links with this jti that this key has signed */
};
struct wfl_revocation { /* a plain value; texts end with a NUL */
    enum wfl_revocation_kind kind;
    wfl_ulid                 jti; /* zero for a kid */
    char                     kid[WFL_KID_LEN + 1];
    char                     by[WFL_KID_LEN + 1];
    char                     reason[WFL_REASON_MAX + 1];
    uint64_t                 at_ms;      /* Unix time; set by the store */
    uint64_t                 expires_ms; /* of a link: its own end */
};

struct wfl_revoke {
    struct wfl_revocation what; /* on OK as stored: where it was there already, as it was then */
    void (*done)(struct wfl_revoke *op);
    void     *arg;
    wfl_code  rc; /* QUOTA_EXCEEDED (a maximum above), NOMEM, what commits may say */
    wfl_error err;
    bool      created;
    struct {
        struct wfl_commit commit;
        struct wfl_store *store;
        struct revoked   *entry;
        bool              counted;
    } own;
};
/* Any thread. Always durable. A second time is OK and changes nothing. */
WFL_MUST_USE wfl_code wfl_store_revoke(struct wfl_store *s, struct wfl_revoke *op);
/* Any thread, from memory, does not block. Is a link with this jti, signed by `kid` for `holder`
 * (thumbprints), revoked in any way? */
bool wfl_store_revoked(struct wfl_store *s, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder);
/* Any thread. Grows with each entry, after it counts: what was looked up under the same number, not
 * revoked, is not revoked now. Never zero. */
uint64_t wfl_store_revocation_epoch(const struct wfl_store *s);
/* How many there are. Any thread. */
uint64_t wfl_store_revocation_count(const struct wfl_store *s);
/* Blocks. At most `limit` of them, in an order of their own, behind `after` (the last of the page
 * before; NULL: from the first). `*more`: there are others. CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_store_revocations(struct wfl_store *s, const struct wfl_revocation *after,
                                            uint32_t limit, struct wfl_revocation *out,
                                            uint32_t *count, bool *more, wfl_error *err);

/* ---- taking back */

/* One turn of the collector: uploads that are out of time, manifests without an owner, chunks that
 * nobody counts. Blocks; one caller at a time; not with `collects`. `*left`: some of it could not
 * be taken yet because it is in use. */
WFL_MUST_USE wfl_code wfl_store_collect(struct wfl_store *s, bool *left, wfl_error *err);

/* ---- which objects a damaged chunk concerns */

/* What a blob's name says. False: it is none of this store's. */
WFL_MUST_USE bool wfl_store_chunk_name(wfl_slice name, uint32_t *bucket_id, wfl_hash *hash);

struct wfl_concerned {
    uint32_t        bucket_id;
    const wfl_hash *hashes; /* of the chunks, few */
    uint32_t        count;
    /* Of each object that has one of them, in the order of keys. The slices live for the call. */
    void (*report)(void *ctx, wfl_slice bucket, wfl_slice key, const wfl_ulid *version);
    void               *ctx;
    const _Atomic bool *stop; /* looked at now and then: true ends the search with CLOSED */
};
/* Blocks, and reads all manifests of the bucket. IO, NOMEM, CLOSED. */
WFL_MUST_USE wfl_code wfl_store_concerned(struct wfl_store *s, const struct wfl_concerned *what,
                                          wfl_error *err);

/* ---- recounting */

struct wfl_recount {
    void (*report)(void *arg, const char *line); /* each difference as one line; NULL: none */
    void    *arg;
    uint32_t rows_max; /* of a pass, at about 64 bytes each; 0: 1 Mi. More passes, less memory */
};
/* Blocks, and reads every blob. Nothing may write meanwhile, so not with `collects`. Do counters
 * equal objects, chunks' counts the manifests that name them, has each manifest an owner, each
 * chunk a blob and each blob a chunk? Damaged rows are differences. OK: it was done; else IO,
 * NOMEM, CLOSED. */
WFL_MUST_USE wfl_code wfl_store_recount(struct wfl_store *s, const struct wfl_recount *how,
                                        uint64_t *differences, wfl_error *err);

/* ---- scan (protocol, Scan) */

#define WFL_SCAN_LIMIT_MAX       1000
#define WFL_SCAN_VALUE_BYTES_MAX (64 << 10) /* larger contents are not included */
#define WFL_SCAN_PAGE_VALUE_BYTES_MAX                                                              \
    (8u << 20) /* the page ends after the value that passes it                                     \
                */

struct wfl_scan_item {
    wfl_slice         key;
    struct wfl_object object;
    bool              has_value;
    wfl_slice         value;
};

struct wfl_scan {
    wfl_slice bucket;
    wfl_slice prefix, after, end; /* key bytes; empty: absent */
    uint32_t  limit;              /* 1..WFL_SCAN_LIMIT_MAX, items and prefixes together */
    wfl_slice delimiter;          /* one UTF-8 character; empty: absent */
    bool      reverse; /* descending; both bounds stay exclusive and turn with the direction: keys
                        * after > k > end, where `after` is the place to go on below and `end` the
                        * one to stop above. Ascending: after < k < end */
    bool      with_meta, with_tags, with_value;
    wfl_ulid  moment; /* as it was then; zero: now. CURSOR_EXPIRED: before what is kept */
    wfl_slice cursor; /* text from an earlier page of the same question; empty: the first page */
    void (*done)(struct wfl_scan *op);
    void *arg;
    wfl_code
        rc; /* BUCKET_NOT_FOUND, INVALID_QUERY (cursor), CORRUPT_OBJECT, OVERLOADED, IO, NOMEM */
    wfl_error             err;
    struct wfl_scan_item *items;
    uint32_t              item_count;
    wfl_slice            *prefixes;
    uint32_t              prefix_count;
    wfl_ulid              at;
    wfl_slice             next; /* cursor text; empty on the last page */
    struct {
        void *state;
    } own;
};
WFL_MUST_USE wfl_code wfl_store_scan(struct wfl_store *s, struct wfl_scan *op);
void                  wfl_scan_fini(struct wfl_scan *op);

/* A client's `after` inside a folded group: the group is listed if a key of it lies beyond `after`.
 * A content that a writer replaced since its record was read: the item becomes the newer version,
 * or goes with its key. A page may hold less than `limit` and still have a `next`. */

/* ---- query (protocol, Tags)
 *
 * Live objects that have all the tags wanted, in the order of keys, as one moment of the store has
 * them. Cost of a page: see query.c; that of the rarest tag's matches at the most, times the number
 * of tags. */

#define WFL_QUERY_TAGS_MAX 8

struct wfl_tag_wanted {
    wfl_slice name;
    wfl_slice value;     /* as a whole, or its beginning; then it may be empty */
    bool      beginning; /* any value that begins so */
};

struct wfl_tag_query {
    wfl_slice             bucket;
    struct wfl_tag_wanted tags[WFL_QUERY_TAGS_MAX]; /* in any order */
    uint32_t              tag_count;
    wfl_slice             prefix; /* of keys; empty: absent */
    uint32_t              limit;  /* 1..WFL_SCAN_LIMIT_MAX */
    bool                  with_meta, with_tags, with_value;
    wfl_slice             cursor; /* text from an earlier page of the same question */
    wfl_error             err;
    struct wfl_scan_item *items; /* until fini */
    uint32_t              item_count;
    wfl_ulid              at;
    wfl_slice             next; /* cursor text; empty on the last page */
    struct {
        void *state;
    } own;
};
/* Pure. INVALID_QUERY: a member out of its range, a name or value that no tag can have, a name
 * twice. */
WFL_MUST_USE wfl_code wfl_tag_query_check(const struct wfl_tag_query *op, wfl_error *err);
/* Any thread, does not block. BUCKET_NOT_FOUND, INVALID_QUERY (the cursor too), NOMEM. Slices of
 * the question must live until fini, which is due in any case. */
WFL_MUST_USE wfl_code wfl_tag_query_begin(struct wfl_store *s, struct wfl_tag_query *op);
/* The flow that its work belongs to. Once begun. */
uint64_t wfl_tag_query_flow(const struct wfl_tag_query *op);
/* Blocks. A bounded piece of the work, so that a thread can be shared. `*ended`: the page is made.
 * After a failure only fini. CORRUPT_OBJECT, IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_tag_query_step(struct wfl_tag_query *op, bool *ended);
void                  wfl_tag_query_fini(struct wfl_tag_query *op); /* accepts zero */

/* Decode a cursor's text; a parser of hostile input, hence public to its fuzz target. False: not
 * one of ours for the question whose hash is given. */
struct wfl_cursor {
    wfl_ulid  at;
    uint8_t   question[16]; /* hash of everything that shapes the listing */
    bool      folded;       /* `last` is a prefix, all of which is done */
    wfl_slice last;         /* key bytes, inside `scratch` */
};
#define WFL_CURSOR_TEXT_MAX 2048
WFL_MUST_USE bool wfl_cursor_parse(wfl_slice text, uint8_t scratch[WFL_CURSOR_TEXT_MAX],
                                   struct wfl_cursor *out);

#endif
