/* SPDX-License-Identifier: Apache-2.0
 *
 * Strict codecs. Each decoder accepts exactly what its encoder can have written, so that two texts
 * never mean the same bytes: signatures and names depend on it. */
#include "core/text.h"

static const char hex_digits[] = "0123456789abcdef";

void wfl_hex_encode(wfl_slice bytes, char *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        *out++ = hex_digits[bytes.data[i] >> 4];
        *out++ = hex_digits[bytes.data[i] & 15];
    }
    *out = '\0';
}

static int hex_value(uint8_t c, bool upper_too)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (upper_too && c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool wfl_hex_decode(wfl_slice text, uint8_t *out, size_t n)
{
    if (text.len / 2 != n || text.len % 2 != 0) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (hex_value(text.data[i], false) < 0) return false;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)((unsigned)hex_value(text.data[2 * i], false) << 4 |
                           (unsigned)hex_value(text.data[2 * i + 1], false));
    }
    return true;
}

/* ---- base64, both alphabets */

static const char b64u_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encode_base64(wfl_slice bytes, const char *digits, char *out)
{
    size_t i = 0;

    for (; i + 3 <= bytes.len; i += 3) {
        uint32_t v =
            (uint32_t)bytes.data[i] << 16 | (uint32_t)bytes.data[i + 1] << 8 | bytes.data[i + 2];

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = digits[v >> 6 & 63];
        *out++ = digits[v & 63];
    }
    if (bytes.len - i == 1) {
        *out++ = digits[bytes.data[i] >> 2];
        *out++ = digits[(bytes.data[i] & 3) << 4];
    } else if (bytes.len - i == 2) {
        *out++ = digits[bytes.data[i] >> 2];
        *out++ = digits[(bytes.data[i] & 3) << 4 | bytes.data[i + 1] >> 4];
        *out++ = digits[(bytes.data[i + 1] & 15) << 2];
    }
    return out;
}

void wfl_b64u_encode(wfl_slice bytes, char *out)
{
    *encode_base64(bytes, b64u_digits, out) = '\0';
}

void wfl_b64_encode(wfl_slice bytes, char *out)
{
    char *at = encode_base64(bytes, b64_digits, out);

    while ((at - out) % 4 != 0)
        *at++ = '=';
    *at = '\0';
}

static int base64_value(uint8_t c, bool url)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == (url ? '-' : '+')) return 62;
    if (c == (url ? '_' : '/')) return 63;
    return -1;
}

/* Without padding; refuses impossible lengths and non-zero trailing bits. */
static bool decode_base64(wfl_slice text, bool url, uint8_t *out, size_t cap, size_t *out_len)
{
    size_t   rest = text.len % 4, need = text.len / 4 * 3 + (rest == 0 ? 0 : rest - 1), at = 0;
    uint32_t pending = 0;
    unsigned bits = 0;

    if (rest == 1 || need > cap) return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = base64_value(text.data[i], url);

        if (value < 0) return false;
        pending = pending << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[at++] = (uint8_t)(pending >> bits);
        }
    }
    if ((pending & ((1u << bits) - 1)) != 0) return false;
    *out_len = at;
    return true;
}

bool wfl_b64u_decode(wfl_slice text, uint8_t *out, size_t cap, size_t *out_len)
{
    return decode_base64(text, true, out, cap, out_len);
}

bool wfl_b64_decode(wfl_slice text, uint8_t *out, size_t cap, size_t *out_len)
{
    if (text.len % 4 != 0) return false;
    for (int i = 0; i < 2 && text.len > 0 && text.data[text.len - 1] == '='; i++)
        text.len--;
    return decode_base64(text, false, out, cap, out_len);
}

/* ---- percent-coding */

bool wfl_percent_decode(wfl_slice text, uint8_t *out, size_t *out_len)
{
    size_t at = 0;

    for (size_t i = 0; i < text.len; i++) {
        int high, low;

        if (text.data[i] != '%') {
            out[at++] = text.data[i];
            continue;
        }
        if (text.len - i < 3) return false;
        high = hex_value(text.data[i + 1], true);
        low = hex_value(text.data[i + 2], true);
        if (high < 0 || low < 0) return false;
        out[at++] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
        i += 2;
    }
    *out_len = at;
    return true;
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void wfl_percent_encode(wfl_slice bytes, wfl_buf *out)
{
    static const char upper[] = "0123456789ABCDEF";
    uint8_t          *at;
    size_t            n = 0;

    if (bytes.len == 0 || out->failed) return;
    at = bytes.len > SIZE_MAX / 3 ? NULL : wfl_buf_reserve(out, bytes.len * 3);
    if (at == NULL) { /* the worst case has no room, the real one may have */
        for (size_t i = 0; i < bytes.len; i++)
            n += is_unreserved(bytes.data[i]) ? 1 : 3;
        out->failed = false; /* it was not before: see above */
        at = wfl_buf_reserve(out, n);
        if (at == NULL) return;
        n = 0;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];

        if (is_unreserved(c)) {
            at[n++] = c;
        } else {
            at[n++] = '%';
            at[n++] = (uint8_t)upper[c >> 4];
            at[n++] = (uint8_t)upper[c & 15];
        }
    }
    out->len += n;
}

/* ---- UTF-8 */

static bool is_continuation(uint8_t c)
{
    return (c & 0xC0) == 0x80;
}

size_t wfl_utf8_first(wfl_slice s)
{
    const uint8_t *p = s.data;

    if (s.len == 0) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF) return s.len >= 2 && is_continuation(p[1]) ? 2 : 0;
    if ((p[0] & 0xF0) == 0xE0) {
        if (s.len < 3 || !is_continuation(p[1]) || !is_continuation(p[2])) return 0;
        if (p[0] == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
        if (p[0] == 0xED && p[1] > 0x9F) return 0; /* surrogates */
        return 3;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        if (s.len < 4 || !is_continuation(p[1]) || !is_continuation(p[2]) ||
            !is_continuation(p[3])) {
            return 0;
        }
        if (p[0] == 0xF0 && p[1] < 0x90) return 0; /* overlong */
        if (p[0] == 0xF4 && p[1] > 0x8F) return 0; /* above U+10FFFF */
        return 4;
    }
    return 0;
}

bool wfl_utf8_valid(wfl_slice s)
{
    while (s.len > 0) {
        size_t n = wfl_utf8_first(s);

        if (n == 0) return false;
        s.data += n;
        s.len -= n;
    }
    return true;
}
