/* SPDX-License-Identifier: Apache-2.0
 *
 * As much of a client's HTTP/2 as asking for files takes: heads without compression, windows that
 * are never the limit, and a count of the bytes of DATA. */
#ifndef WFL_BENCH_HTTP2_H
#define WFL_BENCH_HTTP2_H

#include "bench/requests.h"

/* What a connection begins with: preface, settings, a window of 2 GiB. */
extern const wfl_slice http2_hello;

/* One HEADERS frame. */
void http2_write_get(wfl_buf *out, uint32_t stream, const char *authority, const char *path,
                     const struct wfl_auth_header *headers, size_t count);

#define HTTP2_HEAD_LEN     9
#define HTTP2_MESSAGES_MAX 64

struct http2_answers { /* of one connection, one at a time; begins with zero */
    uint8_t  head[HTTP2_HEAD_LEN];
    uint32_t head_len;
    uint32_t payload_left; /* of the frame whose head is complete */
    bool     status_due;   /* the next byte is the block's first: the status */
    uint64_t data;         /* bytes of the answer so far */
    bool     ended;
    uint8_t  reply[HTTP2_MESSAGES_MAX]; /* to be sent: acknowledgements and windows */
    size_t   reply_len;
};
/* All of `in` is taken. False: what came is not an answer 200 to a get; `*why` says what. */
WFL_MUST_USE bool http2_feed(struct http2_answers *a, wfl_slice in, const char **why);
/* Ready for the next answer: the window is given back. */
void http2_next(struct http2_answers *a);

#endif
