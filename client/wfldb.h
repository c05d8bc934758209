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
                          * "request" (a header or key that cannot be sent), "sink" (it gave up) */
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

#ifdef __cplusplus
}
#endif

#endif
