/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests made ahead of the measurement, so that the loop that measures does nothing but send,
 * receive and read the clock, whoever it speaks to. */
#ifndef WFL_BENCH_REQUESTS_H
#define WFL_BENCH_REQUESTS_H

#include "auth/auth.h"

enum peer { PEER_WFLDB, PEER_HTTP, PEER_REDIS }; /* PEER_HTTP: no credentials, as nginx wants it */

struct plan {
    enum peer   peer;
    bool        put;        /* else get */
    bool        in_order;   /* key and content i for request i, else both at random */
    bool        http2;      /* get only; `head` is a frame, and request i has stream 2 i + 1 */
    const char *authority;  /* "127.0.0.1:7410" */
    const char *bucket;     /* the first segment of every path */
    const char *credential; /* file; PEER_WFLDB only */
    const char *session;    /* file: an open session and, in hex, its key; NULL: each request is
                             * signed with the credential's key */
    uint32_t first_key;
    uint32_t keys;  /* different ones, from there on */
    uint32_t count; /* requests */
    uint32_t object_bytes;
    uint32_t contents; /* different ones; with put all are held in memory */
    uint64_t seed;
};

struct request { /* head, content and tail go out as one message */
    wfl_slice head, content, tail;
};

struct requests {
    struct request *items;
    uint32_t        count;
    double          sign_us; /* what making one took, on the average */
    uint8_t        *contents;
    wfl_buf         text; /* all heads */
};
#define CONTENT_BYTES_MAX (2ull << 30) /* of all different contents together */

/* NOMEM, or what reading the credential fails with. Accepts zero on the way out. */
WFL_MUST_USE wfl_code requests_make(const struct plan *plan, struct requests *out, wfl_error *err);
void                  requests_free(struct requests *r);

#endif
