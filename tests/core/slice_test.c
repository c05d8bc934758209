/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices: cutting, comparing, numbers. */
#include "test.h"

static void take_accepts_only_what_is_there(void **state)
{
    static const struct {
        const char *name;
        size_t      len, n;
        bool        ok;
    } cases[] = {
        {"nothing from nothing", 0, 0, true}, {"nothing from some", 4, 0, true},
        {"exactly all", 4, 4, true},          {"one too many", 4, 5, false},
        {"one from nothing", 0, 1, false},    {"wraps", 4, SIZE_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        const uint8_t *data = cases[i].len == 0 ? NULL : (const uint8_t *)"wfl!";
        wfl_slice      in = {data, cases[i].len}, out = {(const uint8_t *)"?", 1};

        if (wfl_slice_take(&in, cases[i].n, &out) != cases[i].ok) fail_msg("%s", cases[i].name);
        assert_int_equal(in.len, cases[i].ok ? cases[i].len - cases[i].n : cases[i].len);
        assert_int_equal(out.len, cases[i].ok ? cases[i].n : 1);
    }
}

static void any_cut_keeps_every_byte(void **state)
{
    struct prng rng = prng_from_env();
    uint8_t     place[300];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        wfl_slice all = prng_bytes(&rng, place, sizeof place), rest = all, head = {0};
        size_t    n = prng_below(&rng, sizeof place + 10);

        assert_int_equal(wfl_slice_take(&rest, n, &head), n <= all.len);
        assert_int_equal(head.len + rest.len, all.len);
        if (head.len > 0) assert_ptr_equal(head.data + head.len, rest.data);
    }
}

static void split_stops_at_the_first_separator(void **state)
{
    static const struct {
        const char *in, *out, *rest;
        bool        found;
    } cases[] = {
        {"", "", "", false},   {"a", "a", "", false}, {"/", "", "", true},
        {"a/", "a", "", true}, {"/a", "", "a", true}, {"a/b/c", "a", "b/c", true},
        {"//", "", "/", true},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_slice in = wfl_slice_str(cases[i].in), out = WFL_S("?");

        if (wfl_slice_split(&in, '/', &out) != cases[i].found) fail_msg("'%s'", cases[i].in);
        assert_text_equal(out, cases[i].out);
        assert_text_equal(in, cases[i].rest);
    }
    wfl_slice none = {0}, out;
    assert_false(wfl_slice_split(&none, '/', &out));
    assert_int_equal(out.len, 0);
}

static void pieces_joined_again_are_the_whole(void **state)
{
    struct prng rng = prng_from_env();
    uint8_t     place[64], again[64];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        wfl_slice all = prng_bytes(&rng, place, sizeof place), rest, piece;
        size_t    at = 0;
        bool      more = true;

        for (size_t i = 0; i < all.len; i++)
            place[i] = (uint8_t)('a' + place[i] % 3);
        rest = all;
        while (more) {
            more = wfl_slice_split(&rest, 'b', &piece);
            if (piece.len > 0) memcpy(again + at, piece.data, piece.len);
            at += piece.len;
            if (more) again[at++] = 'b';
        }
        assert_true(wfl_slice_eq(wfl_slice_of(again, at), all));
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void order_is_of_unsigned_bytes(void **state)
{
    static const struct {
        wfl_slice a, b;
        int       order;
    } cases[] = {
        {WFL_LIT(""), WFL_LIT(""), 0},          {WFL_LIT(""), WFL_LIT("a"), -1},
        {WFL_LIT("a"), WFL_LIT("ab"), -1},      {WFL_LIT("b"), WFL_LIT("ab"), 1},
        {WFL_LIT("\x7f"), WFL_LIT("\x80"), -1}, {WFL_LIT("a\0b"), WFL_LIT("a\0c"), -1},
        {WFL_LIT("\xff"), WFL_LIT("a"), 1},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        assert_int_equal(sign(wfl_slice_cmp(cases[i].a, cases[i].b)), cases[i].order);
        assert_int_equal(sign(wfl_slice_cmp(cases[i].b, cases[i].a)), -cases[i].order);
        assert_int_equal(wfl_slice_eq(cases[i].a, cases[i].b), cases[i].order == 0);
    }
}

static void prefixes_and_cases_compare_as_they_should(void **state)
{
    (void)state;
    assert_true(wfl_slice_starts_with(WFL_S("abc"), WFL_S("")));
    assert_true(wfl_slice_starts_with(WFL_S("abc"), WFL_S("abc")));
    assert_false(wfl_slice_starts_with(WFL_S("abc"), WFL_S("abcd")));
    assert_false(wfl_slice_starts_with(WFL_S("abc"), WFL_S("b")));
    assert_true(wfl_slice_starts_with((wfl_slice){0}, (wfl_slice){0}));
    assert_true(wfl_slice_eq_nocase(WFL_S("Content-Type"), WFL_S("cONTENT-tYPE")));
    assert_false(wfl_slice_eq_nocase(WFL_S("@"), WFL_S("`"))); /* 0x20 apart, no letters */
    assert_false(wfl_slice_eq_nocase(WFL_S("["), WFL_S("{")));
    assert_false(wfl_slice_eq_nocase(WFL_S("a"), WFL_S("ab")));
}

static void trim_takes_spaces_and_tabs_only(void **state)
{
    static const char *const cases[][2] = {
        {"", ""}, {" ", ""}, {" \t \t", ""}, {" a b\t", "a b"}, {"\na\r", "\na\r"}, {"a", "a"},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++)
        assert_text_equal(wfl_slice_trim(wfl_slice_str(cases[i][0])), cases[i][1]);
}

static void numbers_are_digits_within_their_maximum(void **state)
{
    static const struct {
        const char *text;
        uint64_t    max;
        bool        ok;
        uint64_t    value;
    } cases[] = {
        {"0", 0, true, 0},
        {"1", 0, false, 0},
        {"007", 7, true, 7},
        {"18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, false, 0},
        {"18446744073709551625", UINT64_MAX, false, 0}, /* wraps in the addition */
        {"28446744073709551615", UINT64_MAX, false, 0},
        {"99999999999999999999999999", UINT64_MAX, false, 0},
        {"00000000000000000000000000000001", 1, true, 1},
        {"1000", 1000, true, 1000},
        {"1001", 1000, false, 0},
        {"", UINT64_MAX, false, 0},
        {"+1", UINT64_MAX, false, 0},
        {"-1", UINT64_MAX, false, 0},
        {" 1", UINT64_MAX, false, 0},
        {"1 ", UINT64_MAX, false, 0},
        {"1a", UINT64_MAX, false, 0},
        {"/", UINT64_MAX, false, 0}, /* the neighbours of the digits */
        {":", UINT64_MAX, false, 0},
        {"\xb1", UINT64_MAX, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint64_t value = 77;

        if (wfl_slice_to_u64(wfl_slice_str(cases[i].text), cases[i].max, &value) != cases[i].ok)
            fail_msg("'%s'", cases[i].text);
        assert_true(value == (cases[i].ok ? cases[i].value : 77));
    }
}

static int precision_of(int precision, const char *text)
{
    return text == NULL ? -1 : precision;
}

/* printf takes a negative precision for none, and reads on to a NUL that slices do not have. */
static void no_length_makes_a_negative_precision(void **state)
{
    static const size_t lengths[] = {0, 1, INT_MAX, (size_t)INT_MAX + 1, UINT32_MAX, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(lengths); i++) {
        wfl_slice s = wfl_slice_of("x", lengths[i]);

        assert_int_equal(precision_of(WFL_FMT(s)), lengths[i] < INT_MAX ? lengths[i] : INT_MAX);
    }
    assert_int_equal(precision_of(WFL_FMT((wfl_slice){0})), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(take_accepts_only_what_is_there),
        cmocka_unit_test(any_cut_keeps_every_byte),
        cmocka_unit_test(split_stops_at_the_first_separator),
        cmocka_unit_test(pieces_joined_again_are_the_whole),
        cmocka_unit_test(order_is_of_unsigned_bytes),
        cmocka_unit_test(prefixes_and_cases_compare_as_they_should),
        cmocka_unit_test(trim_takes_spaces_and_tabs_only),
        cmocka_unit_test(numbers_are_digits_within_their_maximum),
        cmocka_unit_test(no_length_makes_a_negative_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
