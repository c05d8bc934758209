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
                          * "corrupt" (content differs from its hash), "answer" (not understood),
                          * "request" (a header or key that cannot be sent), "sink" (it gave up, or
                          * a file cannot be written), "source" (the same for what is sent),
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
    int         http2;      /* 1: HTTP/2 with prior knowledge */
    long        timeout_ms; /* of one request; 0: none, but a silence of 60 s is the end of it */
} wfldb_options;

wfldb *wfldb_open(const wfldb_options *options, wfldb_error *err); /* NULL: err says why */
void   wfldb_close(wfldb *db);                                     /* NULL is accepted */

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
/* if_match: NULL, a version, or "*". */
int wfldb_delete(wfldb *db, const char *bucket, const char *key, const char *if_match,
                 wfldb_error *err);

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
    void *progress_ctx;
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

/* ---- listings */

typedef struct wfldb_scan_options { /* zero value: from the start, 100 a page */
    const char *prefix, *after, *end, *delimiter, *cursor;
    int         limit;
    int         reverse;
} wfldb_scan_options;

typedef struct wfldb_item {
    const char *key, *version, *blake3, *content_type, *modified;
    uint64_t    size;
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

/* ---- buckets: documents are JSON texts, freed with free() */

int wfldb_bucket_create(wfldb *db, const char *bucket, const char *settings_json, char **document,
                        wfldb_error *err);
int wfldb_bucket_info(wfldb *db, const char *bucket, char **document, wfldb_error *err);
int wfldb_bucket_delete(wfldb *db, const char *bucket, wfldb_error *err);
int wfldb_bucket_list(wfldb *db, char **document, wfldb_error *err);

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
