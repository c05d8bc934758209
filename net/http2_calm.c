/* SPDX-License-Identifier: Apache-2.0
 *
 * How much a peer may ask of an HTTP/2 connection and give nothing for it (RFC 9113 section 10.5).
 * A connection has patience, as a token bucket. A frame that carries no content takes some of it,
 * and so does a stream that is broken off by either side: the peer may make us reset it (by a
 * window of 0, say) as well as reset it itself. Content and answered requests give patience back,
 * so that a busy client, which opens windows all the time, never runs out. Who does is told
 * ENHANCE_YOUR_CALM and closed. nghttp2 has bounds of its own, on acknowledgements that wait,
 * entries of SETTINGS and CONTINUATION frames; this one is over what it takes without end. */
#include "net/net_private.h"

#include <assert.h>

#define PREFACE_BYTES       24
#define PATIENCE_MAX        10000 /* tokens */
#define PATIENCE_A_SECOND   1000
#define FRAME_COST          1
#define SETTINGS_COST       20 /* may touch every stream; is answered */
#define BROKEN_STREAM_COST  20 /* its request may have been carried out for nothing */
#define ANSWER_GIVES        8
#define GIVES_A_TOKEN_BYTES 1024

void http2_calm_start(struct http2_calm *calm, int64_t now_ns)
{
    *calm = (struct http2_calm){
        .patience = PATIENCE_MAX, .since_ns = now_ns, .payload_left = PREFACE_BYTES};
}

static void give(struct http2_calm *calm, int64_t tokens)
{
    calm->patience += tokens;
    if (calm->patience > PATIENCE_MAX) calm->patience = PATIENCE_MAX;
}

static void refill(struct http2_calm *calm, int64_t now_ns)
{
    int64_t tokens = (now_ns - calm->since_ns) / (1000000000 / PATIENCE_A_SECOND);

    if (tokens <= 0) return;
    calm->since_ns += tokens * (1000000000 / PATIENCE_A_SECOND);
    give(calm, tokens);
}

/* Of a frame's header: length 3, type 1, flags 1, stream 4 (RFC 9113 section 4.1). */
static void take_frame(struct http2_calm *calm, uint8_t type, uint8_t flags)
{
    switch (type) {
    case NGHTTP2_HEADERS: /* a request, or the end of one: streams are what is counted */
    case NGHTTP2_CONTINUATION:
        return;
    case NGHTTP2_DATA:
        if (flags & NGHTTP2_FLAG_END_STREAM) return;
        break; /* given back when something is in it */
    case NGHTTP2_RST_STREAM:
        http2_calm_broken_stream(calm);
        return;
    case NGHTTP2_SETTINGS:
        if (!(flags & NGHTTP2_FLAG_ACK)) calm->patience -= SETTINGS_COST;
        break;
    default:
        break;
    }
    calm->patience -= FRAME_COST;
}

/* nghttp2 does not tell of all that it ignores, so the frames are counted here. */
void http2_calm_input(struct http2_calm *calm, wfl_slice bytes)
{
    wfl_slice part;

    while (bytes.len > 0) {
        size_t want =
            calm->payload_left > 0 ? calm->payload_left : HTTP2_FRAME_HEAD - calm->head_len;
        bool taken = wfl_slice_take(&bytes, want < bytes.len ? want : bytes.len, &part);

        assert(taken);
        if (calm->payload_left > 0) {
            calm->payload_left -= part.len;
            continue;
        }
        memcpy(calm->head + calm->head_len, part.data, part.len);
        calm->head_len += part.len;
        if (calm->head_len < HTTP2_FRAME_HEAD) continue;
        calm->head_len = 0;
        calm->payload_left =
            (size_t)calm->head[0] << 16 | (size_t)calm->head[1] << 8 | calm->head[2];
        take_frame(calm, calm->head[3], calm->head[4]);
    }
}

void http2_calm_data(struct http2_calm *calm, size_t len)
{
    if (len == 0) return;
    calm->given_bytes += len;
    give(calm, FRAME_COST);
}

void http2_calm_sent(struct http2_calm *calm, size_t len)
{
    calm->given_bytes += len;
}

void http2_calm_answered(struct http2_calm *calm)
{
    give(calm, ANSWER_GIVES);
}

void http2_calm_broken_stream(struct http2_calm *calm)
{
    calm->patience -= BROKEN_STREAM_COST;
}

bool http2_calm_is_over(struct http2_calm *calm, int64_t now_ns)
{
    refill(calm, now_ns);
    give(calm, (int64_t)(calm->given_bytes / GIVES_A_TOKEN_BYTES));
    calm->given_bytes %= GIVES_A_TOKEN_BYTES;
    return calm->patience < 0;
}
