/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 9113 and 7541, by hand: a client that decompressed heads and kept windows would cost more
 * than what it measures. Anything that is not expected ends the run. */
#include "bench/http2.h"

enum frame {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8
};

#define END_STREAM   0x1
#define ACK          0x1
#define END_HEADERS  0x4
#define STATUS_200   0x88 /* indexed: both nghttp2 and nginx write it so */
#define TABLE_RESIZE 0x20

const wfl_slice http2_hello = WFL_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                      /* SETTINGS: INITIAL_WINDOW_SIZE 2^31-1 */
                                      "\x00\x00\x06\x04\x00\x00\x00\x00\x00"
                                      "\x00\x04\x7f\xff\xff\xff"
                                      /* WINDOW_UPDATE of the connection: 65535 less than that */
                                      "\x00\x00\x04\x08\x00\x00\x00\x00\x00"
                                      "\x7f\xff\x00\x00");

/* ---- requests */

/* RFC 7541 section 5.1, with a prefix of 7 bits: lengths of strings without Huffman's code. */
static void add_string(wfl_buf *out, wfl_slice text)
{
    size_t n = text.len;

    if (n < 127) {
        wfl_buf_add_u8(out, (uint8_t)n);
    } else {
        wfl_buf_add_u8(out, 127);
        for (n -= 127; n >= 128; n /= 128)
            wfl_buf_add_u8(out, (uint8_t)(n % 128 + 128));
        wfl_buf_add_u8(out, (uint8_t)n);
    }
    wfl_buf_add(out, text);
}

static void add_literal(wfl_buf *out, wfl_slice name, wfl_slice value)
{
    wfl_buf_add_u8(out, 0);
    add_string(out, name);
    add_string(out, value);
}

static void put_head(uint8_t at[HTTP2_HEAD_LEN], size_t len, enum frame type, uint8_t flags,
                     uint32_t stream)
{
    const uint8_t head[HTTP2_HEAD_LEN] = {(uint8_t)(len >> 16),
                                          (uint8_t)(len >> 8),
                                          (uint8_t)len,
                                          (uint8_t)type,
                                          flags,
                                          (uint8_t)(stream >> 24),
                                          (uint8_t)(stream >> 16),
                                          (uint8_t)(stream >> 8),
                                          (uint8_t)stream};

    memcpy(at, head, sizeof head);
}

void http2_write_get(wfl_buf *out, uint32_t stream, const char *authority, const char *path,
                     const struct wfl_auth_header *headers, size_t count)
{
    static const uint8_t place[HTTP2_HEAD_LEN] = {0};
    size_t               began = out->len;

    wfl_buf_add(out, wfl_slice_of(place, sizeof place));
    add_literal(out, WFL_S(":method"), WFL_S("GET"));
    add_literal(out, WFL_S(":scheme"), WFL_S("http"));
    add_literal(out, WFL_S(":path"), wfl_slice_str(path));
    add_literal(out, WFL_S(":authority"), wfl_slice_str(authority));
    for (size_t i = 0; i < count; i++)
        add_literal(out, headers[i].name, headers[i].value);
    if (!wfl_buf_ok(out)) return;
    put_head(out->data + began, out->len - began - sizeof place, HEADERS, END_STREAM | END_HEADERS,
             stream);
}

/* ---- answers */

static void reply(struct http2_answers *a, enum frame type, uint8_t flags, wfl_slice payload)
{
    uint8_t *at = a->reply + a->reply_len;

    if (a->reply_len + HTTP2_HEAD_LEN + payload.len > sizeof a->reply) return;
    put_head(at, payload.len, type, flags, 0);
    if (payload.len > 0) memcpy(at + HTTP2_HEAD_LEN, payload.data, payload.len);
    a->reply_len += HTTP2_HEAD_LEN + payload.len;
}

static bool begin_frame(struct http2_answers *a, const char **why)
{
    enum frame type = a->head[3];
    uint8_t    flags = a->head[4];

    a->payload_left = (uint32_t)a->head[0] << 16 | (uint32_t)a->head[1] << 8 | a->head[2];
    a->status_due = type == HEADERS;
    if (type == SETTINGS && (flags & ACK) == 0) reply(a, SETTINGS, ACK, (wfl_slice){0});
    if (type == DATA) a->data += a->payload_left;
    *why = type == RST_STREAM ? "the stream was reset"
           : type == GOAWAY   ? "the connection was ended"
           : type == PING     ? "a ping"
                              : NULL;
    return *why == NULL;
}

static void end_frame(struct http2_answers *a)
{
    enum frame type = a->head[3];

    a->head_len = 0;
    a->ended |= (type == DATA || type == HEADERS) && (a->head[4] & END_STREAM) != 0;
}

bool http2_feed(struct http2_answers *a, wfl_slice in, const char **why)
{
    wfl_slice piece;

    while (in.len > 0) {
        size_t want = a->head_len < HTTP2_HEAD_LEN ? HTTP2_HEAD_LEN - a->head_len : a->payload_left;

        if (!wfl_slice_take(&in, want < in.len ? want : in.len, &piece)) return false;
        if (a->head_len < HTTP2_HEAD_LEN) {
            memcpy(a->head + a->head_len, piece.data, piece.len);
            a->head_len += (uint32_t)piece.len;
            if (a->head_len < HTTP2_HEAD_LEN) return true;
            if (!begin_frame(a, why)) return false;
        } else {
            for (size_t i = 0; a->status_due && i < piece.len; i++) {
                if ((piece.data[i] & 0xe0) == TABLE_RESIZE) continue;
                a->status_due = false;
                if (piece.data[i] == STATUS_200) break;
                *why = "a status that is not 200";
                return false;
            }
            a->payload_left -= (uint32_t)piece.len;
        }
        if (a->head_len == HTTP2_HEAD_LEN && a->payload_left == 0) end_frame(a);
    }
    return true;
}

void http2_next(struct http2_answers *a)
{
    const uint8_t window[] = {(uint8_t)(a->data >> 24), (uint8_t)(a->data >> 16),
                              (uint8_t)(a->data >> 8), (uint8_t)a->data};

    if (a->data > 0) reply(a, WINDOW_UPDATE, 0, wfl_slice_of(window, sizeof window));
    a->data = 0;
    a->ended = false;
}
