/* SPDX-License-Identifier: Apache-2.0
 *
 * The chunked transfer coding (RFC 9112 section 7.1), read strictly: CRLF and nothing else ends a
 * line, extensions are bounded, a size has at most 16 hex digits and fits 63 bits, so that no sum
 * of it wraps. Space before an extension must be forgiven (BWS, RFC 9110 section 5.6.3), anywhere
 * else it is not. Lenient readings of chunk framing are where two servers come to disagree about
 * where a request ends. */
#include "net/net_private.h"

#define TRAILER_BYTES_MAX 8192

void chunked_init(struct chunked *c, size_t ext_max)
{
    *c = (struct chunked){.state = CHUNK_SIZE, .ext_max = ext_max};
}

static int hex_value(uint8_t b)
{
    if (b >= '0' && b <= '9') return b - '0';
    if (b >= 'a' && b <= 'f') return b - 'a' + 10;
    if (b >= 'A' && b <= 'F') return b - 'A' + 10;
    return -1;
}

static bool size_byte(struct chunked *c, uint8_t b)
{
    int digit = hex_value(b);

    if (digit >= 0) {
        if (++c->digits > 16 || c->left >> 60 != 0) return false;
        c->left = c->left << 4 | (uint64_t)digit;
        return c->left <= INT64_MAX;
    }
    if (c->digits == 0) return false;
    c->ext_len = 0;
    if (b == '\r') {
        c->state = CHUNK_SIZE_LF;
    } else if (b == ';') {
        c->state = CHUNK_EXT;
    } else if (b == ' ' || b == '\t') {
        c->state = CHUNK_BWS;
    } else {
        return false;
    }
    return true;
}

/* Between size and ';'. */
static bool bws_byte(struct chunked *c, uint8_t b)
{
    if (++c->ext_len > c->ext_max) return false;
    if (b == ';') c->state = CHUNK_EXT;
    return b == ';' || b == ' ' || b == '\t';
}

static bool ext_byte(struct chunked *c, uint8_t b)
{
    if (b == '\r') {
        c->state = CHUNK_SIZE_LF;
        return true;
    }
    if (++c->ext_len > c->ext_max) return false;
    return b == '\t' || (b >= 0x20 && b != 0x7F);
}

static bool trailer_byte(struct chunked *c, uint8_t b)
{
    if (++c->trailer_len > TRAILER_BYTES_MAX) return false;
    switch (c->state) {
    case CHUNK_TRAILER: /* at the start of a line */
        if (b == '\r') {
            c->state = CHUNK_END_LF;
            return true;
        }
        c->state = CHUNK_TRAILER_LINE;
        return b > 0x20 && b < 0x7F && b != ':'; /* a name, not a continuation */
    case CHUNK_TRAILER_LINE:
        if (b == '\r') {
            c->state = CHUNK_TRAILER_LF;
            return true;
        }
        return b == '\t' || (b >= 0x20 && b != 0x7F);
    default: /* CHUNK_TRAILER_LF */
        c->state = CHUNK_TRAILER;
        return b == '\n';
    }
}

/* One byte of framing. */
static bool frame_byte(struct chunked *c, uint8_t b)
{
    switch (c->state) {
    case CHUNK_SIZE:
        return size_byte(c, b);
    case CHUNK_BWS:
        return bws_byte(c, b);
    case CHUNK_EXT:
        return ext_byte(c, b);
    case CHUNK_SIZE_LF:
        c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
        c->digits = 0;
        return b == '\n';
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r';
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        return b == '\n';
    case CHUNK_END_LF:
        if (b == '\n') c->state = CHUNK_DONE; /* what is broken has no end */
        return b == '\n';
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_LINE:
    case CHUNK_TRAILER_LF:
        return trailer_byte(c, b);
    case CHUNK_DATA:
    case CHUNK_DONE:
        break;
    }
    return false;
}

bool chunked_decode(struct chunked *c, wfl_slice *in, uint8_t *out, size_t cap, size_t *out_len)
{
    wfl_slice piece;

    *out_len = 0;
    while (in->len > 0 && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            size_t n = in->len;

            if (n > c->left) n = (size_t)c->left;
            if (n > cap - *out_len) n = cap - *out_len;
            if (n == 0) return true; /* no room */
            if (!wfl_slice_take(in, n, &piece)) return false;
            if (out != NULL) memcpy(out + *out_len, piece.data, n);
            *out_len += n;
            c->left -= n;
            if (c->left == 0) c->state = CHUNK_DATA_CR;
        } else {
            if (!wfl_slice_take(in, 1, &piece) || !frame_byte(c, piece.data[0])) return false;
        }
    }
    return true;
}
