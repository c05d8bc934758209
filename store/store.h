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

#define WFL_OBJECT_BYTES_MAX (1 << 20) /* larger ones need chunks */
#define WFL_INLINE_BYTES_MAX 1024      /* up to here content lives in the object's header record */

struct wfl_store_config {
    struct wfl_engine       *engine; /* outlives the store */
    const struct wfl_clock  *clock;
    const struct wfl_random *random;
    const struct wfl_alloc  *alloc;
};
/* Loads the buckets. CORRUPT_OBJECT names the record that fails its schema. May block. */
WFL_MUST_USE wfl_code wfl_store_open(const struct wfl_store_config *config, struct wfl_store **out,
                                     wfl_error *err);
void wfl_store_close(struct wfl_store *s); /* no operation under way; NULL accepted */

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
    bool    public_read;
};
/* Empty text is the default. INVALID_JSON, INVALID_SETTING (unknown member, wrong type, out of
 * range, or a setting that this release does not carry out yet, refused rather than ignored). */
WFL_MUST_USE wfl_code wfl_settings_parse(wfl_slice json, struct wfl_bucket_settings *out,
                                         wfl_error *err);
void wfl_settings_write(const struct wfl_bucket_settings *s, wfl_json *out); /* one object */

struct wfl_bucket_info {
    wfl_slice                  name;
    struct wfl_bucket_settings settings;
    uint64_t                   objects; /* live */
    uint64_t                   bytes;   /* of their contents */
    wfl_ulid version; /* of the last commit; the creation's where there is none yet */
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

struct wfl_bucket_op {                   /* create and delete */
    wfl_slice                  name;     /* valid */
    struct wfl_bucket_settings settings; /* create */
    enum wfl_durability        durability;
    void (*done)(struct wfl_bucket_op *op);
    void     *arg;
    wfl_code  rc;
    wfl_error err;
    wfl_ulid  version; /* create: of the creation */
    struct {
        struct wfl_commit commit;
        struct wfl_store *store;
        bool              deleting;
    } own;
};
/* BUCKET_EXISTS, QUOTA_EXCEEDED (a store holds 100,000 buckets), NOMEM, and what commits may say
 * (OVERLOADED, READ_ONLY, DISK_FULL, ...). */
WFL_MUST_USE wfl_code wfl_store_bucket_create(struct wfl_store *s, struct wfl_bucket_op *op);
/* BUCKET_NOT_FOUND, BUCKET_NOT_EMPTY. */
WFL_MUST_USE wfl_code wfl_store_bucket_delete(struct wfl_store *s, struct wfl_bucket_op *op);

/* ---- objects */

struct wfl_name_value {
    wfl_slice name;
    wfl_slice value;
};

enum wfl_condition_kind {
    WFL_COND_NONE,
    WFL_COND_EXISTS,  /* If-Match: * */
    WFL_COND_ABSENT,  /* If-None-Match: * */
    WFL_COND_ANY_OF,  /* If-Match: a list of versions */
    WFL_COND_NONE_OF, /* If-None-Match: a list of versions */
    WFL_COND_NEVER,   /* If-Match with nothing that could be a version of ours */
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
    wfl_slice                    bucket, key; /* valid */
    wfl_slice                    content;
    wfl_hash                     blake3; /* of content, computed by the caller */
    wfl_slice                    content_type;
    const struct wfl_name_value *meta; /* sorted by name, no name twice */
    uint32_t                     meta_count;
    const struct wfl_name_value *tags;
    uint32_t                     tag_count;
    struct wfl_condition         match, none_match; /* both must hold */
    wfl_slice                    by;  /* thumbprint of the client, kept in the record */
    wfl_ulid                     jti; /* of its last link */
    enum wfl_durability          durability;
    void (*done)(struct wfl_put *op);
    void *arg;
    wfl_code
        rc; /* BUCKET_NOT_FOUND, PRECONDITION_FAILED, OBJECT_TOO_LARGE, QUOTA_EXCEEDED, commits' */
    wfl_error err;
    wfl_ulid  version; /* OK: the new one; PRECONDITION_FAILED: the current one, zero where none */
    bool      created; /* the key had no live object */
    struct {
        struct wfl_commit commit;
        struct wfl_store *store;
        wfl_buf           header;
    } own;
};
/* Any thread. Encodes here, judges on the committer. */
WFL_MUST_USE wfl_code wfl_store_put(struct wfl_store *s, struct wfl_put *op);
void                  wfl_put_fini(struct wfl_put *op);

struct wfl_delete {
    wfl_slice            bucket, key;
    struct wfl_condition match, none_match;
    enum wfl_durability  durability;
    void (*done)(struct wfl_delete *op);
    void     *arg;
    wfl_code  rc; /* BUCKET_NOT_FOUND, KEY_NOT_FOUND, PRECONDITION_FAILED, commits' */
    wfl_error err;
    wfl_ulid  version; /* OK: of the tombstone; PRECONDITION_FAILED: the current one */
    struct {
        struct wfl_commit commit;
        struct wfl_store *store;
    } own;
};
WFL_MUST_USE wfl_code wfl_store_delete(struct wfl_store *s, struct wfl_delete *op);

struct wfl_get {
    wfl_slice bucket, key;
    bool      head_only; /* content is not fetched */
    void (*done)(struct wfl_get *op);
    void     *arg;
    wfl_code  rc; /* BUCKET_NOT_FOUND, KEY_NOT_FOUND, CORRUPT_OBJECT, OVERLOADED, IO, NOMEM */
    wfl_error err;
    struct wfl_object object;
    wfl_slice         content; /* pinned until fini */
    struct {
        struct wfl_store     *store;
        struct wfl_engine_get get;
        struct wfl_pin        header, value;
        uint8_t               engine_key[4 + WFL_KEY_MAX];
        uint8_t               value_key[20];
        void                 *pairs;
        uint32_t              id;       /* the bucket's */
        unsigned              attempts; /* reads of the record */
        bool                  in_value; /* the read under way is the content's */
    } own;
};
WFL_MUST_USE wfl_code wfl_store_get(struct wfl_store *s, struct wfl_get *op);
void                  wfl_get_fini(struct wfl_get *op);

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
