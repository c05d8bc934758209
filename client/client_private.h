/* SPDX-License-Identifier: Apache-2.0
 *
 * A signed call over libcurl: what objects.c, listings.c, upload.c and the transfers are made of.
 */
#ifndef WFL_CLIENT_PRIVATE_H
#define WFL_CLIENT_PRIVATE_H

#include "auth/auth.h"
#include "client/trust.h"
#include "client/wfldb.h"

#include <curl/curl.h>

struct call_session; /* session.c */

struct wfldb {
    CURL                *curl;
    struct wfl_key_pair  key;
    char                 packet_hash[65];
    char                *authorization; /* "Bearer <packet>" */
    char                *endpoint;      /* without a slash at the end */
    char                *authority;
    bool                 has_identity; /* that must have signed a session */
    wfl_public_key       identity;
    struct call_session *session;         /* shared with clones */
    int64_t              clock_offset_ns; /* the server's minus ours */
    bool                 http2;           /* with prior knowledge; over TLS it is agreed on */
    struct trust         trust;
    long                 timeout_ms;
    unsigned             retry_after_s; /* of the last answer */
    bool                 reached;       /* some answer has come */
    bool                 no_retry;
};

#define CALL_HEADERS_MAX 110
#define CALL_TEXT_MAX    (64u << 20) /* of a JSON answer */

struct call {
    wfldb      *db;
    const char *method;
    const char *bucket; /* NULL: /v1/ */
    const char *key;    /* NULL: the bucket's own path */
    wfl_buf     query;  /* encoded, without '?' */

    struct wfl_auth_header headers[CALL_HEADERS_MAX];
    uint32_t               header_count;
    const void            *body;
    size_t                 body_len;
    bool                   has_body;
    wfldb_source           source; /* the body, where it is streamed; else NULL */
    void                  *source_ctx;
    uint64_t               source_len;      /* or WFLDB_LENGTH_UNKNOWN */
    bool                   hash_sent;       /* where the hash is not known beforehand */
    long                   timeout_ms;      /* of this one; 0: the handle's */
    bool                   patient;         /* no byte for minutes is no failure */
    bool                   endless;         /* nor is it that it does not end */
    bool                   single;          /* not sent again: its caller does that, or nobody */
    bool                   outside_session; /* sign with the key, whatever there is */
    char                   session[WFL_ULID_TEXT_LEN + 1]; /* it was signed in; "": with the key */
    char                   nonce[65]; /* of a write: what it is remembered by; "": not signed yet */
    const char            *bad_header; /* a name or value that no header can carry */

    int (*sink)(void *ctx, const void *data,
                size_t len); /* of a good answer's body; NULL: into text */
    void *ctx;

    /* Now and then while it is under way: bytes sent or received. Not 0: stop. */
    int (*watch)(void *ctx, uint64_t moved);
    void *watch_ctx;

    /* the answer */
    int               status;
    wfl_buf           head; /* "name: value\n", names in lower case */
    wfl_buf           text;
    struct wfl_hasher hasher;      /* of the body, while it goes to the sink */
    struct wfl_hasher sent_hasher; /* of what the source gave */
    uint64_t          received, sent;
    bool              sink_refused, source_failed, stopped;
    bool              is_write; /* the server remembers it by its nonce */
    CURLcode          failed;   /* where no answer came ... */
    bool              was_sent; /* ... to at least a part of the request */
    wfl_arena         arena;
    wfldb_error      *err;
};

void call_init(struct call *c, wfldb *db, const char *method, const char *bucket, const char *key,
               wfldb_error *err);
void call_fini(struct call *c);
/* Both strings must live until the call is made. What would break out of its line is not sent: the
 * call then fails with "request". */
void call_header(struct call *c, const char *name, wfl_slice value);
void call_param(struct call *c, const char *name, const char *value); /* NULL value: left out */
/* Sign and send; once more where the clocks differ, and again after failures that pass (retry.c).
 * 0: a status of 2xx; nothing else is a yes. */
int call_send(struct call *c);
/* The first header of that name; empty: none. Points into c->head. */
wfl_slice call_answer_header(const struct call *c, const char *name);
int       call_fail(struct call *c, const char *code, const char *detail);
/* Seconds of the last answer's Retry-After; 0: none. */
unsigned    call_retry_after(const wfldb *db);
const char *call_packet(const wfldb *db);
int64_t     call_now_ns(const wfldb *db); /* by the server's clock, as far as it is known */
/* /v1/{bucket}/{key}, encoded. */
void call_write_path(const struct call *c, wfl_buf *out);
/* The query of a presigned URL for what the call would send. */
WFL_MUST_USE wfl_code call_presign(struct call *c, wfl_slice path, uint32_t seconds, wfl_buf *query,
                                   wfl_error *err);
/* What cannot be signed or sent; err->code OK: it is too large. */
int call_fail_unsent(struct call *c, const wfl_error *err);
/* A second handle for another thread, with a connection of its own. It borrows what it knows from
 * `db`, which must outlive it. NULL: out of memory. */
wfldb *call_clone(const wfldb *db);
void   call_clone_free(wfldb *clone); /* NULL is accepted */
/* The text as a C string for the caller to free; -1: out of memory. */
int call_take_text(struct call *c, char **out);
/* The same of an answer that must be a JSON object. */
int call_take_document(struct call *c, char **out);
/* A body of JSON with its hash; `hex` must live as long as the call. */
void call_json_body(struct call *c, const char *json, size_t len, char hex[65]);
/* For strings that go into a JSON text, which can carry nothing else. NULL is valid. */
bool call_is_utf8(const char *text);

/* ---- retry.c */

/* `attempt` failed as c->err says. True: that may pass, and the pause before the next is over. */
bool call_wait_retry(struct call *c, unsigned attempt);

/* ---- session.c: the handle's session, any thread */

/* after: as in wfldb_options. NULL: out of memory. */
struct call_session *call_session_new(unsigned after);
void                 call_session_free(struct call_session *s);
/* Before a call: open one where it is due. -1: the server is not the one that is known. */
int call_session_prepare(struct call *c);
/* Sign in the session, with c->session set. False: there is none, or none for this request. */
bool call_session_sign(struct call *c, const struct wfl_auth_request *r,
                       struct wfl_signed_headers *out, wfl_code *rc, wfl_error *err);
/* The server does not know the call's session any more. */
void call_session_lost(struct call *c);

/* ---- objects.c: headers from and to values */

void object_add_put_options(struct call *c, const wfldb_put_options *o);
/* All of them but the content type. */
void object_add_put_others(struct call *c, const wfldb_put_options *o);
void object_condition(struct call *c, const char *name, const char *version);
void object_as_of(struct call *c, const wfldb_as_of *as_of); /* NULL: the current one */
int  object_read(struct call *c, wfldb_object *out);
/* As wfldb_get_range; `c` is initialised, its sink and watch are set. out->size is what came. */
int object_get_range(struct call *c, const char *if_match, uint64_t first, uint64_t count,
                     wfldb_object *out);
/* "bytes 0-4/9" of a 206. False: it is none. */
bool object_content_range(const struct call *c, uint64_t *first, uint64_t *last, uint64_t *size);

/* ---- upload.c: as in wfldb.h, watched */

struct watch {
    int (*watch)(void *ctx, uint64_t moved);
    void *ctx;
    bool  single; /* as of a call */
};
int upload_put_stream(wfldb *db, const char *bucket, const char *key, wfldb_source source,
                      void *ctx, uint64_t len, const char *blake3, const wfldb_put_options *options,
                      const struct watch *watch, wfldb_object *out, wfldb_error *err);
int upload_put_part(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                    wfldb_source source, void *ctx, const struct watch *watch, wfldb_part *part,
                    wfldb_error *err);
int upload_complete(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                    const wfldb_part *parts, size_t count, const char *blake3,
                    const struct watch *watch, wfldb_object *out, wfldb_error *err);
/* After a failure: nobody waits long for it, and its own failure is nobody's. */
void upload_give_up(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload);

#endif
