/* SPDX-License-Identifier: Apache-2.0
 *
 * Names, rule by rule as docs/protocol.md, Data model, has them. */
#include "test.h"

static wfl_slice repeat(const char *piece, size_t count)
{
    static uint8_t place[4096];
    size_t         len = strlen(piece);

    assert_true(len * count <= sizeof place);
    for (size_t i = 0; i < count; i++)
        memcpy(place + i * len, piece, len);
    return wfl_slice_of(place, len * count);
}

static void bucket_names_follow_their_pattern(void **state)
{
    static const struct {
        const char *name;
        bool        ok;
    } cases[] = {
        {"abc", true},
        {"a-b", true},
        {"a.b", true},
        {"0.9", true},
        {"a-.b", true},
        {"a--b", true},
        {"photos-2026.eu", true},
        {"", false},
        {"a", false},
        {"ab", false},
        {"-", false},
        {"-ab", false},
        {".ab", false},
        {"ab-", false},
        {"ab.", false},
        {"a..b", false},
        {"...", false},
        {"Abc", false},
        {"aBc", false},
        {"a_b", false},
        {"a b", false},
        {"a/b", false},
        {"abc\n", false},
        {"a\x7f"
         "b",
         false},
        {"a\xc3\xa4", false},
        {"a`b", false},
        {"a{b", false},
        {"a:b", false},
        {"a*", false},
        {"ab*", false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        if (wfl_name_bucket_valid(wfl_slice_str(cases[i].name)) != cases[i].ok)
            fail_msg("'%s'", cases[i].name);
    }
    assert_true(wfl_name_bucket_valid(repeat("a", 63)));
    assert_false(wfl_name_bucket_valid(repeat("a", 64)));
    assert_false(wfl_name_bucket_valid(wfl_slice_of("a\0c", 3)));
    assert_false(wfl_name_bucket_valid((wfl_slice){0}));
}

static void bucket_patterns_are_names_or_beginnings_with_a_star(void **state)
{
    static const struct {
        const char *pattern;
        bool        ok;
    } cases[] = {
        {"abc", true},  {"*", true},    {"a*", true},   {"a.*", true},    {"a-*", true},
        {"abc*", true}, {"", false},    {"**", false},  {"a**", false},   {"*a", false},
        {"a*b", false}, {"ab", false},  {".*", false},  {"-*", false},    {"a..*", false},
        {"A*", false},  {"a_*", false}, {"a *", false}, {"\xff*", false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        if (wfl_name_bucket_pattern_valid(wfl_slice_str(cases[i].pattern)) != cases[i].ok)
            fail_msg("'%s'", cases[i].pattern);
    }
    char longest[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa*"; /* 64 a */
    assert_int_equal(strlen(longest), 65);
    assert_false(wfl_name_bucket_pattern_valid(wfl_slice_str(longest)));
    assert_true(wfl_name_bucket_pattern_valid(wfl_slice_str(longest + 1)));
    assert_false(wfl_name_bucket_pattern_valid((wfl_slice){0}));
}

/* ---- keys */

static void keys_keep_every_rule(void **state)
{
    static const struct {
        const char *key;
        wfl_code    code;
    } cases[] = {
        {"a", WFL_OK},
        {" ", WFL_OK},
        {"~", WFL_OK},
        {"2026/a.jpg", WFL_OK},
        {"/", WFL_OK}, /* empty segments and trailing slashes are legal */
        {"//", WFL_OK},
        {"a//b/", WFL_OK},
        {"/a", WFL_OK},
        {"...", WFL_OK},
        {".a", WFL_OK},
        {"a.", WFL_OK},
        {"..a", WFL_OK},
        {"a..", WFL_OK},
        {"a/.../b", WFL_OK},
        {"a%2Fb", WFL_OK}, /* decoded once: these are a percent sign and letters */
        {"%2e%2e", WFL_OK},
        {"\xc3\xa4", WFL_OK},
        {"\xc2\x80", WFL_OK}, /* U+0080: no byte below 0x20 */
        {"\xf4\x8f\xbf\xbf", WFL_OK},
        {"", WFL_INVALID_KEY},
        {".", WFL_INVALID_KEY},
        {"..", WFL_INVALID_KEY},
        {"./a", WFL_INVALID_KEY},
        {"a/.", WFL_INVALID_KEY},
        {"a/./b", WFL_INVALID_KEY},
        {"../a", WFL_INVALID_KEY},
        {"a/..", WFL_INVALID_KEY},
        {"a/../b", WFL_INVALID_KEY},
        {"/..", WFL_INVALID_KEY},
        {"../", WFL_INVALID_KEY},
        {"a\x01", WFL_INVALID_KEY},
        {"a\x1f", WFL_INVALID_KEY},
        {"a\n", WFL_INVALID_KEY},
        {"a\x7f", WFL_INVALID_KEY},
        {"a\xff", WFL_INVALID_KEY},
        {"scan", WFL_RESERVED_KEY},
        {"batch", WFL_RESERVED_KEY},
        {"changes", WFL_RESERVED_KEY},
        {"query", WFL_RESERVED_KEY},
        {"scan/x", WFL_OK}, /* the exact key only */
        {"scan/", WFL_OK},
        {"/scan", WFL_OK},
        {"Scan", WFL_OK},
        {"scan ", WFL_OK},
        {"scans", WFL_OK},
        {"sca", WFL_OK},
        {"a/query", WFL_OK},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_error err = {.message = "untouched"};
        wfl_code  code = wfl_name_check_key(wfl_slice_str(cases[i].key), &err);

        if (code != cases[i].code) fail_msg("'%s': %s", cases[i].key, wfl_code_name(code));
        assert_int_equal(strcmp(err.message, "untouched") == 0, code == WFL_OK);
    }
}

static void keys_have_at_most_1024_bytes(void **state)
{
    wfl_error err;

    (void)state;
    assert_int_equal(wfl_name_check_key(repeat("k", 1024), &err), WFL_OK);
    assert_int_equal(wfl_name_check_key(repeat("k", 1025), &err), WFL_INVALID_KEY);
    assert_int_equal(wfl_name_check_key(repeat("\xc3\xa4", 512), &err), WFL_OK); /* bytes count */
    assert_int_equal(wfl_name_check_key(repeat("\xc3\xa4", 513), &err), WFL_INVALID_KEY);
    assert_int_equal(wfl_name_check_key(repeat("/", 1024), &err), WFL_OK);
    assert_int_equal(wfl_name_check_key(wfl_slice_of("a\0b", 3), &err), WFL_INVALID_KEY);
}

static void any_single_byte_key_is_judged_by_its_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t   byte = (uint8_t)c;
        wfl_error err;
        bool      legal = c >= 0x20 && c < 0x7F && c != '.';

        if ((wfl_name_check_key(wfl_slice_of(&byte, 1), &err) == WFL_OK) != legal)
            fail_msg("byte %02x", c);
    }
}

/* ---- metadata */

static void metadata_names_follow_their_pattern(void **state)
{
    static const struct {
        const char *name;
        bool        ok;
    } cases[] = {
        {"a", true},    {"0", true},    {"a-b", true},  {"a-", true},        {"0-9", true},
        {"", false},    {"-", false},   {"-a", false},  {"A", false},        {"a.b", false},
        {"a_b", false}, {"a b", false}, {"a\n", false}, {"\xc3\xa4", false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        if (wfl_name_meta_valid(wfl_slice_str(cases[i].name)) != cases[i].ok)
            fail_msg("'%s'", cases[i].name);
    }
    assert_true(wfl_name_meta_valid(repeat("a", 64)));
    assert_false(wfl_name_meta_valid(repeat("a", 65)));
}

static void metadata_values_are_visible_ascii_and_space(void **state)
{
    (void)state;
    assert_true(wfl_name_meta_value_valid((wfl_slice){0}));
    for (int c = 0; c < 256; c++) {
        uint8_t bytes[3] = {'a', (uint8_t)c, 'z'};

        assert_int_equal(wfl_name_meta_value_valid(wfl_slice_of(bytes, 3)), c >= 0x20 && c <= 0x7E);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket_names_follow_their_pattern),
        cmocka_unit_test(bucket_patterns_are_names_or_beginnings_with_a_star),
        cmocka_unit_test(keys_keep_every_rule),
        cmocka_unit_test(keys_have_at_most_1024_bytes),
        cmocka_unit_test(any_single_byte_key_is_judged_by_its_byte),
        cmocka_unit_test(metadata_names_follow_their_pattern),
        cmocka_unit_test(metadata_values_are_visible_ascii_and_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
