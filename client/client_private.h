/* SPDX-License-Identifier: Apache-2.0
 *
 * A signed call over libcurl: what objects.c, listings.c and buckets.c are made of. */
#ifndef WFL_CLIENT_PRIVATE_H
#define WFL_CLIENT_PRIVATE_H

#include "auth/auth.h"
#include "client/wfldb.h"

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
    const char            *bad_header; /* a name or value that no header can carry */

    int (*sink)(void *ctx, const void *data,
                size_t len); /* of a good answer's body; NULL: into text */
    void *ctx;

    /* the answer */
    int               status;
    wfl_buf           head; /* "name: value\n", names in lower case */
    wfl_buf           text;
    struct wfl_hasher hasher; /* of the body, while it goes to the sink */
    uint64_t          received;
    bool              sink_refused;
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
/* Sign and send; once more where the clocks differ. 0: a status of 2xx; nothing else is a yes. */
int call_send(struct call *c);
/* The first header of that name; empty: none. Points into c->head. */
wfl_slice call_answer_header(const struct call *c, const char *name);
int       call_fail(struct call *c, const char *code, const char *detail);
/* The text as a C string for the caller to free; -1: out of memory. */
int call_take_text(struct call *c, char **out);

#endif
