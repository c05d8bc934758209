/* SPDX-License-Identifier: Apache-2.0
 *
 * libwfldb: a client of wflDB. The one header that users include; it needs nothing else of ours.
 *
 * A handle holds one connection and one credential; it may move between threads but is used by one
 * at a time. Every call is a signed request and waits for its answer. Strings that come in are NUL-
 * terminated UTF-8, keys as they are (not percent-encoded). What comes out in a result is the
 * library's until the result's free function.
 *
 * Failure: calls return 0 or -1; then `err` says what happened. status 0: no answer came
 * (connection, time-out, verification), else the server refused with that status and code. */
#ifndef WFLDB_H
#define WFLDB_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wfldb wfldb;

typedef struct wfldb_error {
    int  status;         /* HTTP status, 0: there is no answer */
    char code[48];       /* "key_not_found"; of the library: "connection", "credential", "memory",
                          * "certificate" (of the server: not trusted, or not the pinned one),
                          * "corrupt" (content differs from its hash), "answer" (not understood),
                          * "request" (a header or key that cannot be sent), "sink" (it gave up, or
                          * a file cannot be written), "source" (the same for what is sent),
                          * "server" (not the one whose identity the credential names),
                          * "changed" (another object took the key's place meanwhile), "stopped"
                          * (the caller's progress function said so) */
    char detail[320];    /* for people */
    char request_id[32]; /* in the server's log too; "" without an answer */
    char version[32];    /* of a failed precondition: the current version; else "" */
} wfldb_error;

typedef struct wfldb_options {
    const char *endpoint;   /* "http://127.0.0.1:7410"; NULL: the credential's, else this */
    const char *credential; /* text of a credential file (JWK with "packet") */
    size_t      credential_len;
    /* Of an https:// endpoint, whose certificate is always verified; NULL: the credential's. */
    const char *ca;         /* file of the authorities' certificates, in PEM; none: the system's */
    const char *pin;        /* "sha256//..." of the public key in it (";" between several) */
    int         http2;      /* 1: HTTP/2 with prior knowledge; https:// agrees on it by itself */
    long        timeout_ms; /* of one request; 0: none, but a silence of 60 s is the end of it */
    /* A session spares server and client the signature of each request, but opening one costs about
     * five of them. So many requests are made before: 0: 8, which suits most. */
    unsigned session_after;
    /* A call that got no answer, or 408, 429 or 503, is made again, a write up to 8 times within 20
     * s of pauses (more where the server asks for it), a read twice. A write is the same one each
     * time: the server does it once. 1: each call is made once. */
    int no_retry;
} wfldb_options;

#define WFLDB_SESSION_NEVER 0xFFFFFFFFu

wfldb      *wfldb_open(const wfldb_options *options, wfldb_error *err); /* NULL: err says why */
void        wfldb_close(wfldb *db);                                     /* NULL is accepted */
const char *wfldb_endpoint(const wfldb *db); /* as it is used; lives as long as the handle */

typedef struct wfldb_pair {
    const char *name;
    const char *value;
} wfldb_pair;

/* ---- objects */

typedef struct wfldb_put_options { /* zero value: none */
    const char       *content_type;
    const wfldb_pair *meta;
    size_t            meta_count;
    const wfldb_pair *tags;
    size_t            tag_count;
    const char       *if_match;      /* a version, or "*" */
    int               if_none_match; /* 1: create only */
    int               buffered;      /* 1: acknowledged before it is on stable storage */
} wfldb_put_options;

typedef struct wfldb_object { /* of an answer; zero value is free to free */
    char        version[32];
    char        blake3[65];
    uint64_t    size;
    char       *content_type;
    char       *last_modified;
    wfldb_pair *meta;
    size_t      meta_count;
    wfldb_pair *tags;
    size_t      tag_count;
    int         created; /* of a put */
} wfldb_object;
void wfldb_object_free(wfldb_object *o);

/* Stores `len` bytes. Sent with their BLAKE3, so the server stores these bytes or nothing. */
int wfldb_put(wfldb *db, const char *bucket, const char *key, const void *data, size_t len,
              const wfldb_put_options *options, wfldb_object *out, wfldb_error *err);
/* Hands the content to `sink` as it arrives (0: go on, else the call fails). -1 with code "corrupt"
 * where the whole does not have the hash that the server names: then what sink got is worthless. */
int wfldb_get(wfldb *db, const char *bucket, const char *key,
              int (*sink)(void *ctx, const void *data, size_t len), void *ctx, wfldb_object *out,
              wfldb_error *err);
int wfldb_head(wfldb *db, const char *bucket, const char *key, wfldb_object *out, wfldb_error *err);
/* if_match: NULL, a version, or "*". Older versions stay as long as the bucket keeps them. */
int wfldb_delete(wfldb *db, const char *bucket, const char *key, const char *if_match,
                 wfldb_error *err);

/* ---- older versions: a version is a ULID, and with it a moment of its bucket */

/* Which content of a key: one version, or what was current at a moment. NULL, or neither: the
 * current one. Both at once the server refuses (400). */
typedef struct wfldb_as_of {
    const char *version; /* "version_not_found" (404) where it is not kept any more */
    const char *at;      /* a version of any key of the bucket, or "2026-11-24T10:00:00Z";
                          * "cursor_expired" (410) where it is older than what is kept */
} wfldb_as_of;
int wfldb_get_as_of(wfldb *db, const char *bucket, const char *key, const wfldb_as_of *as_of,
                    int (*sink)(void *ctx, const void *data, size_t len), void *ctx,
                    wfldb_object *out, wfldb_error *err);
int wfldb_head_as_of(wfldb *db, const char *bucket, const char *key, const wfldb_as_of *as_of,
                     wfldb_object *out, wfldb_error *err);

typedef struct wfldb_version { /* a plain value */
    char     version[32];
    int      deleted; /* 1: a tombstone; then size is 0 and blake3 "" */
    uint64_t size;    /* bytes */
    char     blake3[65];
    char     modified[40]; /* "2026-11-24T10:00:00.123Z" */
} wfldb_version;
/* Newest first, tombstones included. *out is the caller's to free(), NULL on failure. */
int wfldb_versions(wfldb *db, const char *bucket, const char *key, wfldb_version **out,
                   size_t *count, wfldb_error *err);
/* Erase one version for good: nothing brings it back. Of the current one, the key has no object
 * afterwards. */
int wfldb_erase(wfldb *db, const char *bucket, const char *key, const char *version,
                wfldb_error *err);

/* ---- batches: all or nothing, at once and durable together */

enum wfldb_op_kind { WFLDB_PUT, WFLDB_DELETE, WFLDB_COPY, WFLDB_CHECK };
typedef struct wfldb_op { /* zero value of what a kind does not need */
    enum wfldb_op_kind kind;
    const char        *bucket; /* where the batch goes across buckets; else NULL */
    const char        *key;
    const char        *if_match;      /* a version, or "*" */
    int                if_none_match; /* 1: only where the key has no object */
    const void        *data;          /* of a put */
    size_t             data_len;
    const char        *content_type;        /* of a put; NULL: application/octet-stream */
    const char        *from, *from_version; /* of a copy; from_version NULL: the current one */
    const wfldb_pair  *meta, *tags; /* of a put or a copy; NULL in a copy: those of `from` */
    size_t             meta_count, tag_count;
} wfldb_op;
#define WFLDB_OPS_MAX 1000

typedef struct wfldb_op_result {
    char version[32]; /* that the op made; "" of a check */
    int  failed;      /* 1: this op's condition did not hold */
} wfldb_op_result;

/* bucket: of all ops; NULL: each names its own. Together at most 16 MiB as JSON, contents in
 * base64. buffered: as with a put. results: NULL, or place for `count`; set on success and where
 * conditions fail ("precondition_failed", 412), which is when nothing at all was done. */
int wfldb_batch(wfldb *db, const char *bucket, const wfldb_op *ops, size_t count, int buffered,
                wfldb_op_result *results, wfldb_error *err);
/* The same as a JSON text (protocol, Batches). *document: the answer, freed with free(). failed,
 * failed_count: the ops whose conditions did not hold, by index from 0; place for WFLDB_OPS_MAX. */
int wfldb_batch_json(wfldb *db, const char *bucket, const char *json, size_t json_len, int buffered,
                     char **document, uint32_t *failed, size_t *failed_count, wfldb_error *err);

typedef struct wfldb_copy_options {  /* zero value: none */
    const char       *from_version;  /* NULL: the current one */
    const char       *if_match;      /* of the target: a version, or "*" */
    int               if_none_match; /* 1: only where the target has no object */
    int               buffered;
    const wfldb_pair *meta, *tags; /* NULL: those of the source */
    size_t            meta_count, tag_count;
} wfldb_copy_options;
/* Within a bucket: no content moves, whatever its size. version: NULL, or place for the copy's. */
int wfldb_copy(wfldb *db, const char *bucket, const char *from, const char *to,
               const wfldb_copy_options *options, char version[32], wfldb_error *err);
/* Copy and delete in one batch: nobody ever sees both or neither. from_version must be NULL. */
int wfldb_move(wfldb *db, const char *bucket, const char *from, const char *to,
               const wfldb_copy_options *options, char version[32], wfldb_error *err);

/* ---- content of any size, in pieces that the caller makes or takes */

/* Bytes of a content from `offset` on, at most `cap` (never 0), into `data`; *len 0: it ends there.
 * 0, or -1: it cannot; the call then fails with "source". Asked from 0 upwards, and from 0 again
 * where the request has to be sent again (a source that cannot go back returns -1 then). */
typedef int (*wfldb_source)(void *ctx, uint64_t offset, void *data, size_t cap, size_t *len);
#define WFLDB_LENGTH_UNKNOWN UINT64_MAX

/* One PUT, streamed: a few hundred KiB of memory, whatever `len`. blake3: 64 hex of the content,
 * where it is known beforehand: then the server stores these bytes or nothing. NULL: sent as
 * `unsigned`; what the server has stored is compared with what the source gave, "corrupt" where
 * they differ. */
int wfldb_put_stream(wfldb *db, const char *bucket, const char *key, wfldb_source source, void *ctx,
                     uint64_t len, const char *blake3, const wfldb_put_options *options,
                     wfldb_object *out, wfldb_error *err);

/* Bytes `first` up to `first + count` of an object, fewer where it ends; `count` is at least 1.
 * if_match: NULL, or the version that it must be ("precondition_failed", 412). out->size and
 * out->blake3 are the whole object's; a part cannot be verified against them. */
int wfldb_get_range(wfldb *db, const char *bucket, const char *key, const char *if_match,
                    uint64_t first, uint64_t                                    count,
                    int (*sink)(void *ctx, const void *data, size_t len), void *ctx,
                    wfldb_object *out, wfldb_error *err);

/* An upload in parts: started, each part put (in any order, from several handles at once, again
 * where it failed), then completed or aborted. Parts are numbered from 1; each but the last has at
 * least 1 MiB. What `options` say holds for the object; its preconditions are judged at the end. */
typedef struct wfldb_part {
    uint32_t number; /* 1 to WFLDB_PARTS_MAX */
    uint64_t size;   /* bytes */
    char     blake3[65];
} wfldb_part;
#define WFLDB_PARTS_MAX 10000

typedef struct wfldb_upload { /* which one: a plain value */
    char id[32];
} wfldb_upload;

int wfldb_upload_start(wfldb *db, const char *bucket, const char *key,
                       const wfldb_put_options *options, wfldb_upload *out, wfldb_error *err);
/* As wfldb_put_stream; number, size and (where it is known) blake3 come in with `part`, blake3 goes
 * out in it. size may be WFLDB_LENGTH_UNKNOWN. */
int wfldb_upload_part(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                      wfldb_source source, void *ctx, wfldb_part *part, wfldb_error *err);
/* What the server has, ascending; *out is the caller's to free(), NULL where there is none. */
int wfldb_upload_parts(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                       wfldb_part **out, size_t *count, wfldb_error *err);
/* Ascending parts. blake3: of the whole, or NULL; given, the server compares before it commits. */
int wfldb_upload_complete(wfldb *db, const char *bucket, const char *key,
                          const wfldb_upload *upload, const wfldb_part *parts, size_t count,
                          const char *blake3, wfldb_object *out, wfldb_error *err);
int wfldb_upload_abort(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                       wfldb_error *err);

/* ---- files and pipes: in parts, in parallel, again after failures, on from where it stopped */

typedef struct wfldb_transfer_options { /* zero value: the defaults, without progress and resuming
                                         */
    uint64_t part_bytes;   /* of each part, and then content above it goes in parts. 0: parts of
                            * 16 MiB for content above 64 MiB. At least 1 MiB; grown so that
                            * WFLDB_PARTS_MAX of them are enough */
    unsigned parallel;     /* parts at once, each on a connection and a thread of its own while the
                            * call lasts; 1 to 16, 0: 4 */
    int no_multipart;      /* 1: one PUT, one GET */
    int no_retry;          /* 1: a part that failed is not tried again. Else up to 8 times, with
                            * pauses from 0.2 to 5 s, on lost connections, time-outs, 408, 429, 503 */
    const char *state_dir; /* where an interrupted transfer notes how far it came, so that the same
                            * call goes on there; made where missing, 0700. NULL: it does not */
    /* Called in the caller's thread about ten times a second: bytes done, of how many (UINT64_MAX:
     * not known). Not 0: stop, the call fails with "stopped". NULL: none. */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
    void       *progress_ctx;
    wfldb_as_of as_of; /* of a get; neither: the current one */
} wfldb_transfer_options;

/* Store what `fd` gives, from where it stands to its end; the position of a regular file is left
 * alone. A regular file is sent with its hash, parts with theirs. From a pipe one part a connection
 * is kept for repeating it: in memory, above 64 MiB in an unlinked file of $TMPDIR. A content that
 * changes while it is sent fails with "source".
 * path: the name of the regular file, for going on with an interrupted upload; NULL: none. An
 * upload that failed and will not be gone on with is aborted. `transfer` may be NULL. */
int wfldb_put_fd(wfldb *db, const char *bucket, const char *key, int fd, const char *path,
                 const wfldb_put_options *options, const wfldb_transfer_options *transfer,
                 wfldb_object *out, wfldb_error *err);

/* Write an object to `fd`, in order. A lost connection is picked up where it broke off, as long as
 * the object is the same. As with wfldb_get the hash is known at the end only. */
int wfldb_get_fd(wfldb *db, const char *bucket, const char *key, int fd,
                 const wfldb_transfer_options *transfer, wfldb_object *out, wfldb_error *err);

/* Into the file `path`, which gets `mode`: written beside it, compared with its hash, on the disk,
 * and only then renamed. An object that is replaced meanwhile is fetched anew, three times at most.
 * On failure `path` is as before; what has come of a large object stays beside it
 * (PATH.XXXXXX.part) where the next call can go on from there. */
int wfldb_get_file(wfldb *db, const char *bucket, const char *key, const char *path, unsigned mode,
                   const wfldb_transfer_options *transfer, wfldb_object *out, wfldb_error *err);

/* From one bucket into another, or the same: a download and an upload that streams through here, on
 * two connections and with a thread while it lasts. The copy has the hash of the source, or there
 * is none. source: NULL, or what was copied; its version is what a delete of it should ask for. Of
 * `transfer` only no_retry and progress count; it may be NULL, and so may `options`. */
int wfldb_copy_across(wfldb *db, const char *from_bucket, const char *from, const char *to_bucket,
                      const char *to, const wfldb_copy_options *options,
                      const wfldb_transfer_options *transfer, wfldb_object *source,
                      wfldb_object *out, wfldb_error *err);

/* ---- listings */

typedef struct wfldb_scan_options { /* zero value: from the start, 100 a page */
    const char *prefix, *after, *end, *delimiter, *cursor;
    int         limit;
    int         reverse;
    const char *at;      /* as it was at a version, or an RFC 3339 time */
    const char *include; /* any of "meta,tags,value" */
} wfldb_scan_options;

typedef struct wfldb_item {
    const char       *key, *version, *blake3, *content_type, *modified;
    uint64_t          size;
    const wfldb_pair *meta, *tags; /* where included */
    size_t            meta_count, tag_count;
    const void       *value; /* the content, where included and at most 64 KiB; else NULL */
    size_t            value_len;
} wfldb_item;

typedef struct wfldb_page {
    wfldb_item  *items;
    size_t       item_count;
    const char **prefixes;
    size_t       prefix_count;
    const char  *at;
    const char  *cursor; /* NULL on the last page */
    void        *own;
} wfldb_page;
int  wfldb_scan(wfldb *db, const char *bucket, const wfldb_scan_options *options, wfldb_page *out,
                wfldb_error *err);
void wfldb_page_free(wfldb_page *p);

typedef struct wfldb_query_options { /* zero value: 100 a page */
    const char *prefix, *cursor, *include;
    int         limit;
} wfldb_query_options;
/* Live objects that have all of `tags` (1 to 8), by key; a value that ends in "*" matches by
 * beginning. A page as of a scan. */
int wfldb_query(wfldb *db, const char *bucket, const wfldb_pair *tags, size_t tag_count,
                const wfldb_query_options *options, wfldb_page *out, wfldb_error *err);

/* ---- buckets: documents are JSON texts, freed with free() */

int wfldb_bucket_create(wfldb *db, const char *bucket, const char *settings_json, char **document,
                        wfldb_error *err);
int wfldb_bucket_info(wfldb *db, const char *bucket, char **document, wfldb_error *err);
int wfldb_bucket_delete(wfldb *db, const char *bucket, wfldb_error *err);
int wfldb_bucket_list(wfldb *db, char **document, wfldb_error *err);
/* patch_json: settings to change, null for back to the default (JSON Merge Patch). */
int wfldb_bucket_patch(wfldb *db, const char *bucket, const char *patch_json, char **document,
                       wfldb_error *err);

/* ---- changes: every commit of a bucket, in order, none left out and none twice */

typedef struct wfldb_change { /* "" and 0 of what it does not have */
    const char *version;      /* its position, too */
    const char *op;           /* "put", "delete", "erase" */
    const char *key, *blake3;
    uint64_t    size;
    const char *by, *jti; /* who: a client's thumbprint, and the packet */
    const char *erased;   /* the version that an erase took */
    const char *json;     /* all of it, on one line */
} wfldb_change;

typedef struct wfldb_changes_options { /* zero value: from the oldest kept, 100 a page */
    const char *prefix;
    const char *after; /* a position; "now": from here on; "cursor_expired" (410) where it is older
                        * than what is kept */
    int limit;         /* of a page */
    int wait_s;        /* up to 60: a page waits so long for a change */
    /* Of a watch, about once a second and before each wait: where it stands ("" : not known yet).
     * Not 0: stop, the call fails with "stopped". NULL: none. Position and error live as long as
     * the call; `why`: the connection is lost, it will be tried again; NULL: it stands. */
    int (*tick)(void *ctx, const char *position, const wfldb_error *why);
    void *tick_ctx;
} wfldb_changes_options;

typedef struct wfldb_change_page {
    wfldb_change *items;
    size_t        count;
    char          next[32]; /* where the next page begins: its `after` */
    void         *own;
} wfldb_change_page;
int  wfldb_changes(wfldb *db, const char *bucket, const wfldb_changes_options *options,
                   wfldb_change_page *out, wfldb_error *err);
void wfldb_change_page_free(wfldb_change_page *p);

/* Follow the changes: hands each to `change`, whose strings live as long as that call (0: go on;
 * else this one fails with "stopped"). Once it has stood, a lost connection is made again, for
 * ever, with pauses of up to 5 s, and goes on behind the last change. Returns only on failure. */
int wfldb_watch(wfldb *db, const char *bucket, const wfldb_changes_options *options,
                int (*change)(void *ctx, const wfldb_change *c), void *ctx, wfldb_error *err);

/* ---- revocations (protocol, Revocation) */

/* Exactly one of the three: a jti or the thumbprint of a key, for clients that hold `admin`; or a
 * link (one JWT) that the handle's own key has signed. `reason` may be NULL. Done twice it is no
 * error. `document`: the entry, for the caller to free. */
int wfldb_revoke(wfldb *db, const char *jti, const char *kid, const char *link, const char *reason,
                 char **document, wfldb_error *err);

/* ---- handing on a part of what this credential may do */

typedef struct wfldb_session { /* secret: whoever has it signs with it */
    char    session[32];
    char    scope[64];   /* the bucket, or "-" */
    char    mac_key[65]; /* signs requests to that bucket and no others */
    int64_t expires;     /* Unix seconds */
} wfldb_session;
/* Open a session (protocol, Sessions) for others to use: counters begin with 1. bucket NULL: for
 * system paths, /v1/ and batches across buckets among them. ttl_s: 1 to 86400. A pinned server must
 * have signed it ("server" where it is another one). */
int wfldb_session_open(wfldb *db, const char *bucket, long ttl_s, wfldb_session *out,
                       wfldb_error *err);

typedef struct wfldb_share_options { /* zero value: read the object, for an hour */
    long              ttl_s;         /* up to 604800; 0: 3600 */
    int               put;           /* 1: store it */
    wfldb_put_options put_options;   /* of a put: bound, the uploader must send all of them */
    wfldb_as_of       as_of;         /* of a read */
} wfldb_share_options;
typedef struct wfldb_shared { /* zero value is free to free */
    char       *url;
    wfldb_pair *headers; /* that go with it, exactly these */
    size_t      header_count;
    int64_t     expires;           /* Unix seconds */
    int         packet_ends_first; /* 1: that is the credential's end, earlier than asked for */
} wfldb_shared;
/* A presigned URL, made without asking the server: whoever has it may use it, again and again. */
int  wfldb_share(wfldb *db, const char *bucket, const char *key, const wfldb_share_options *options,
                 wfldb_shared *out, wfldb_error *err);
void wfldb_shared_free(wfldb_shared *s);

/* ---- the server's scrub, which verifies every chunk; for clients that hold `admin`. Documents are
 * JSON texts, freed with free(); NULL: not wanted. */

/* bytes_per_second 0: the server's default. One that runs goes on with the new rate. */
int wfldb_scrub_start(wfldb *db, uint64_t bytes_per_second, char **document, wfldb_error *err);
int wfldb_scrub_status(wfldb *db, char **document, wfldb_error *err);
int wfldb_scrub_stop(wfldb *db, char **document, wfldb_error *err);

#ifdef __cplusplus
}
#endif

#endif
