/* SPDX-License-Identifier: Apache-2.0
 *
 * Scan cursors. An input is a cursor's text, or, begun with '!', the bytes that a cursor encodes
 * without their check, which is made here. What is accepted is written back to the same text. */
#include "fuzz.h"

#include "store/internal.h"

static void try_text(wfl_slice text)
{
    uint8_t          *scratch = malloc(WFL_CURSOR_TEXT_MAX);
    char             *again = malloc(WFL_CURSOR_TEXT_MAX);
    struct wfl_cursor cursor;
    size_t            len;

    if (scratch == NULL || again == NULL) abort();
    if (wfl_cursor_parse(text, scratch, &cursor)) {
        assert(cursor.last.len >= 1 && cursor.last.len <= WFL_KEY_MAX);
        assert(cursor.last.data >= scratch &&
               cursor.last.data + cursor.last.len <= scratch + WFL_CURSOR_TEXT_MAX);
        len = wfl_cursor_write(&cursor, again);
        assert(wfl_slice_eq(wfl_slice_of(again, len), text));
    }
    free(again);
    free(scratch);
}

static void try_bytes(wfl_slice bytes)
{
    uint8_t *all = malloc(bytes.len + 4);
    char    *text = malloc(WFL_B64U_LEN(bytes.len + 4) + 1);
    wfl_hash check = wfl_hash_of(bytes);

    if (all == NULL || text == NULL) abort();
    if (bytes.len > 0) memcpy(all, bytes.data, bytes.len);
    memcpy(all + bytes.len, check.bytes, 4);
    wfl_b64u_encode(wfl_slice_of(all, bytes.len + 4), text);
    try_text(wfl_slice_str(text));
    free(text);
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0 && data[0] == '!') {
        try_bytes(wfl_slice_of(data + 1, size - 1));
    } else {
        try_text(wfl_slice_of(data, size));
    }
    return 0;
}
