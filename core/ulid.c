/* SPDX-License-Identifier: Apache-2.0
 *
 * 128 bits as 26 Crockford base-32 characters: the first holds 3 bits, the others 5 each. Order of
 * bytes, of text and of commits are one. */
#include "core/ulid.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void wfl_ulid_format(const wfl_ulid *u, char out[WFL_ULID_TEXT_LEN + 1])
{
    /* Bit i of the text's 130 bits is bit i - 2 of the 128; the first two are zero. */
    unsigned pending = 0, bits = 2;
    size_t   at = 0;

    for (size_t i = 0; i < sizeof u->bytes; i++) {
        pending = (pending << 8) | u->bytes[i];
        bits += 8;
        while (bits >= 5) {
            bits -= 5;
            out[at++] = alphabet[(pending >> bits) & 31];
        }
    }
    out[at] = '\0';
}

static int digit_of(uint8_t c)
{
    const char *p = c == '\0' ? NULL : strchr(alphabet, c);

    return p == NULL ? -1 : (int)(p - alphabet);
}

bool wfl_ulid_parse(wfl_slice text, wfl_ulid *out)
{
    wfl_ulid u;
    unsigned pending = 0, bits = 0;
    size_t   at = 0;

    if (text.len != WFL_ULID_TEXT_LEN || text.data[0] > '7') return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i]);

        if (digit < 0) return false;
        pending = (pending << 5) | (unsigned)digit;
        bits += i == 0 ? 3 : 5;
        if (bits >= 8) {
            bits -= 8;
            u.bytes[at++] = (uint8_t)(pending >> bits);
        }
    }
    *out = u;
    return true;
}

uint64_t wfl_ulid_ms(const wfl_ulid *u)
{
    uint64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = (ms << 8) | u->bytes[i];
    return ms;
}

static void set_ms(wfl_ulid *u, uint64_t ms)
{
    for (int i = 5; i >= 0; i--) {
        u->bytes[i] = (uint8_t)ms;
        ms >>= 8;
    }
}

wfl_ulid wfl_ulid_from_ms(uint64_t ms, bool largest)
{
    wfl_ulid u;

    memset(u.bytes, largest ? 0xFF : 0, sizeof u.bytes);
    set_ms(&u, ms);
    return u;
}

wfl_code wfl_ulid_next(struct wfl_ulid_source *s, uint64_t now_ms, const uint8_t random[10],
                       wfl_ulid *out, wfl_error *err)
{
    wfl_ulid next = s->last;

    if (now_ms >> 48 != 0) return wfl_fail(err, WFL_INTERNAL, "the clock is past the end of ULIDs");
    if (now_ms > wfl_ulid_ms(&s->last)) {
        set_ms(&next, now_ms);
        memcpy(next.bytes + 6, random, 10);
    } else { /* same millisecond, or the clock stepped back: the last one plus one, carry included
              */
        int i = (int)sizeof next.bytes - 1;

        while (i >= 0 && ++next.bytes[i] == 0)
            i--;
        if (i < 0) return wfl_fail(err, WFL_INTERNAL, "no ULID is left after the last one");
    }
    s->last = next;
    *out = next;
    return WFL_OK;
}
