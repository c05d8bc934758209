/* SPDX-License-Identifier: Apache-2.0
 *
 * Cursors as text: what is written is read back, anything else is refused. */
#include "fixture.h"

#include "store/internal.h"

static size_t write_one(size_t key_len, bool folded, char text[WFL_CURSOR_TEXT_MAX])
{
    struct wfl_cursor cursor = {.at = {{9, 8, 7}}, .question = {1, 2, 3}, .folded = folded};

    cursor.last = bytes_of_len(key_len, 'a');
    return wfl_cursor_write(&cursor, text);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    for (size_t len = 1; len <= WFL_KEY_MAX; len += 31) {
        char              text[WFL_CURSOR_TEXT_MAX];
        uint8_t           scratch[WFL_CURSOR_TEXT_MAX];
        struct wfl_cursor back;
        size_t            text_len = write_one(len, len % 2 == 0, text);

        assert_true(wfl_cursor_parse(wfl_slice_of(text, text_len), scratch, &back));
        assert_int_equal(back.at.bytes[2], 7);
        assert_int_equal(back.question[1], 2);
        assert_int_equal(back.folded, len % 2 == 0);
        assert_true(wfl_slice_eq(back.last, bytes_of_len(len, 'a')));
    }
}

static void any_changed_bit_is_refused(void **state)
{
    char   text[WFL_CURSOR_TEXT_MAX];
    size_t len = write_one(20, true, text);

    (void)state;
    for (size_t i = 0; i < len * 8; i++) {
        char              damaged[WFL_CURSOR_TEXT_MAX];
        uint8_t           scratch[WFL_CURSOR_TEXT_MAX];
        struct wfl_cursor back;
        memcpy(damaged, text, len);
        damaged[i / 8] = (char)(damaged[i / 8] ^ (1 << (i % 8)));
        if (wfl_cursor_parse(wfl_slice_of(damaged, len), scratch, &back)) fail_msg("bit %zu", i);
    }
}

static void any_other_length_is_refused(void **state)
{
    char              text[WFL_CURSOR_TEXT_MAX + 1];
    uint8_t           scratch[WFL_CURSOR_TEXT_MAX];
    struct wfl_cursor back;
    size_t            len = write_one(20, false, text);

    (void)state;
    for (size_t i = 0; i < len; i++)
        assert_false(wfl_cursor_parse(wfl_slice_of(text, i), scratch, &back));
    memset(text + len, 'A', sizeof text - len);
    for (size_t i = len + 1; i <= sizeof text; i++)
        assert_false(wfl_cursor_parse(wfl_slice_of(text, i), scratch, &back));
}

/* Whole by its check, but of no form of ours. */
static void other_versions_and_flags_are_refused(void **state)
{
    static const struct {
        size_t  offset;
        uint8_t byte;
        bool    ok;
    } cases[] = {{0, 1, true}, {0, 0, false}, {0, 2, false}, {33, 1, true}, {33, 2, false}};

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint8_t           bytes[64] = {1}, scratch[WFL_CURSOR_TEXT_MAX];
        char              text[WFL_CURSOR_TEXT_MAX];
        struct wfl_cursor back;
        bytes[cases[i].offset] = cases[i].byte;
        wfl_hash check = wfl_hash_of(wfl_slice_of(bytes, 40));
        memcpy(bytes + 40, check.bytes, 4);
        wfl_b64u_encode(wfl_slice_of(bytes, 44), text);
        assert_int_equal(wfl_cursor_parse(wfl_slice_str(text), scratch, &back), cases[i].ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(any_changed_bit_is_refused),
        cmocka_unit_test(any_other_length_is_refused),
        cmocka_unit_test(other_versions_and_flags_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
