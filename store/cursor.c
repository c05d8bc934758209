/* SPDX-License-Identifier: Apache-2.0
 *
 * Cursors of listings: b64u of
 *
 *     version 1 | at 16 | question 16 | folded 1 | last key or prefix 1..1024 | check 4
 *
 * `check` is the beginning of the BLAKE3 of what stands before it: not a secret, it tells a damaged
 * cursor from a whole one. A cursor that someone makes up can do no harm: it is only ever a further
 * bound of a range that the question itself bounds. Anything but the exact form is refused. */
#include <assert.h>

#include "store/internal.h"

enum {
    CURSOR_VERSION = 1,
    AT_OFFSET = 1,
    QUESTION_OFFSET = AT_OFFSET + 16,
    FOLDED_OFFSET = QUESTION_OFFSET + 16,
    LAST_OFFSET = FOLDED_OFFSET + 1,
    CHECK_LEN = 4,
    CURSOR_MAX = LAST_OFFSET + WFL_KEY_MAX + CHECK_LEN,
};
_Static_assert(WFL_B64U_LEN(CURSOR_MAX) < WFL_CURSOR_TEXT_MAX, "a cursor and its NUL fit");

static void add_part(struct wfl_hasher *h, wfl_slice part)
{
    uint8_t len[4]; /* in front of each part, so that no two questions join to the same bytes */

    for (int i = 0; i < 4; i++)
        len[i] = (uint8_t)(part.len >> (8 * i));
    wfl_hasher_add(h, wfl_slice_of(len, sizeof len));
    wfl_hasher_add(h, part);
}

void wfl_cursor_question(const struct wfl_scan *op, uint32_t bucket_id, uint8_t out[16])
{
    struct wfl_hasher h;
    uint8_t           id[WFL_ID_LEN];
    uint8_t           reverse = op->reverse;

    wfl_hasher_init(&h);
    add_part(&h, wfl_key_bucket(bucket_id, id));
    add_part(&h, op->prefix);
    add_part(&h, op->after);
    add_part(&h, op->end);
    add_part(&h, op->delimiter);
    add_part(&h, wfl_slice_of(&reverse, 1));
    add_part(&h, wfl_slice_of(op->moment.bytes, sizeof op->moment.bytes));
    wfl_hash hash = wfl_hasher_result(&h);
    memcpy(out, hash.bytes, 16);
}

void wfl_cursor_question_of(const wfl_slice *parts, size_t count, uint8_t out[16])
{
    struct wfl_hasher h;

    wfl_hasher_init(&h);
    for (size_t i = 0; i < count; i++)
        add_part(&h, parts[i]);
    wfl_hash hash = wfl_hasher_result(&h);
    memcpy(out, hash.bytes, 16);
}

size_t wfl_cursor_write(const struct wfl_cursor *cursor, char out[WFL_CURSOR_TEXT_MAX])
{
    uint8_t bytes[CURSOR_MAX];
    size_t  len = LAST_OFFSET + cursor->last.len;

    assert(cursor->last.len > 0 && cursor->last.len <= WFL_KEY_MAX);
    bytes[0] = CURSOR_VERSION;
    memcpy(bytes + AT_OFFSET, cursor->at.bytes, 16);
    memcpy(bytes + QUESTION_OFFSET, cursor->question, 16);
    bytes[FOLDED_OFFSET] = cursor->folded;
    memcpy(bytes + LAST_OFFSET, cursor->last.data, cursor->last.len);
    wfl_hash check = wfl_hash_of(wfl_slice_of(bytes, len));
    memcpy(bytes + len, check.bytes, CHECK_LEN);
    wfl_b64u_encode(wfl_slice_of(bytes, len + CHECK_LEN), out);
    return WFL_B64U_LEN(len + CHECK_LEN);
}

bool wfl_cursor_parse(wfl_slice text, uint8_t scratch[WFL_CURSOR_TEXT_MAX], struct wfl_cursor *out)
{
    size_t len;

    if (text.len > WFL_B64U_LEN(CURSOR_MAX)) return false;
    if (!wfl_b64u_decode(text, scratch, WFL_CURSOR_TEXT_MAX, &len)) return false;
    if (len < LAST_OFFSET + 1 + CHECK_LEN || scratch[0] != CURSOR_VERSION) return false;
    len -= CHECK_LEN;
    wfl_hash check = wfl_hash_of(wfl_slice_of(scratch, len));
    if (memcmp(check.bytes, scratch + len, CHECK_LEN) != 0) return false;
    if (scratch[FOLDED_OFFSET] > 1) return false;

    memcpy(out->at.bytes, scratch + AT_OFFSET, 16);
    memcpy(out->question, scratch + QUESTION_OFFSET, 16);
    out->folded = scratch[FOLDED_OFFSET] == 1;
    out->last = wfl_slice_of(scratch + LAST_OFFSET, len - LAST_OFFSET);
    return true;
}
