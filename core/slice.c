/* SPDX-License-Identifier: Apache-2.0
 *
 * The few slice functions that are more than a comparison. None can fail but by saying no. */
#include "core/slice.h"

bool wfl_slice_split(wfl_slice *in, uint8_t sep, wfl_slice *out)
{
    const uint8_t *at = in->len == 0 ? NULL : memchr(in->data, sep, in->len);

    if (at == NULL) {
        *out = *in;
        *in = (wfl_slice){0};
        return false;
    }
    *out = wfl_slice_of(in->data, (size_t)(at - in->data));
    *in = wfl_slice_of(at + 1, in->len - out->len - 1);
    return true;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

wfl_slice wfl_slice_trim(wfl_slice s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

bool wfl_slice_eq_nocase(wfl_slice a, wfl_slice b)
{
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    }
    return true;
}

bool wfl_slice_to_u64(wfl_slice s, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)s.data[i] - '0';

        if (digit > 9) return false;
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    if (value > max) return false;
    *out = value;
    return true;
}
