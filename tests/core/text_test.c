/* SPDX-License-Identifier: Apache-2.0
 *
 * Codecs: each text has one reading, each reading one text, and everything else is refused. */
#include "test.h"

/* ---- hex */

static void hex_is_lower_case_and_whole(void **state)
{
    static const struct {
        const char *text;
        size_t      n;
        bool        ok;
    } cases[] = {
        {"", 0, true},      {"00", 1, true},   {"0aff", 2, true}, {"0aff", 1, false},
        {"0aff", 3, false}, {"0af", 1, false}, {"0af", 2, false}, {"0A", 1, false},
        {"fF", 1, false},   {"0g", 1, false},  {" 0", 1, false},  {"0x", 1, false},
        {"0/", 1, false},   {"0:", 1, false},  {"0`", 1, false},  {"", 1, false},
        {"0", 0, false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint8_t out[4] = {9, 9, 9, 9};

        if (wfl_hex_decode(wfl_slice_str(cases[i].text), out, cases[i].n) != cases[i].ok)
            fail_msg("'%s' as %zu bytes", cases[i].text, cases[i].n);
        assert_int_equal(out[cases[i].ok ? cases[i].n : 0], 9); /* nothing more, or nothing */
    }
}

static void hex_comes_back(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 5000; round++) {
        uint8_t   place[64], back[64];
        char      text[2 * sizeof place + 1];
        wfl_slice bytes = prng_bytes(&rng, place, sizeof place);

        wfl_hex_encode(bytes, text);
        assert_int_equal(strlen(text), 2 * bytes.len);
        assert_true(wfl_hex_decode(wfl_slice_str(text), back, bytes.len));
        assert_true(wfl_slice_eq(bytes, wfl_slice_of(back, bytes.len)));
    }
}

/* ---- base64url */

static void base64url_knows_the_rfcs_vectors(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xbf", "-_-_"},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        char    text[16];
        uint8_t out[16];
        size_t  len;

        wfl_b64u_encode(wfl_slice_str(cases[i][0]), text);
        assert_string_equal(text, cases[i][1]);
        assert_int_equal(strlen(text), WFL_B64U_LEN(strlen(cases[i][0])));
        assert_true(wfl_b64u_decode(wfl_slice_str(cases[i][1]), out, sizeof out, &len));
        assert_text_equal(wfl_slice_of(out, len), cases[i][0]);
    }
}

static void base64url_refuses_every_other_spelling(void **state)
{
    static const char *const cases[] = {
        "Zg==", "Zg=",     "Zm8=",  "Zm9v=",  "=",      "====",     /* padding */
        "Zh",   "Zv",      "Zm9",   "Zm-",    "Zm9vYh",             /* non-zero trailing bits */
        "Z",    "Zm9vY",                                            /* impossible lengths */
        "+/+/", "Zm+v",    "Zm/v",                                  /* the other alphabet */
        "Zm 9", " Zm9v",   "Zm9v ", "Zm\n9v", "Zm9v\n", "Zm9v\r\n", /* white space */
        "Zm.v", "Zm9\xc3", "Zm@v",  "Zm[v",   "Zm`v",   "Zm{v",     "Zm:v",
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint8_t out[16];
        size_t  len;

        if (wfl_b64u_decode(wfl_slice_str(cases[i]), out, sizeof out, &len))
            fail_msg("'%s'", cases[i]);
    }
    uint8_t out[16];
    size_t  len;
    assert_false(wfl_b64u_decode(wfl_slice_of("Zm\0v", 4), out, sizeof out, &len));
}

static void base64url_needs_its_room_and_not_a_byte_more(void **state)
{
    (void)state;
    for (size_t n = 0; n < 20; n++) {
        uint8_t bytes[20], out[20];
        char    text[32];
        size_t  len;

        memset(bytes, 0xA5, sizeof bytes);
        memset(out, 9, sizeof out);
        wfl_b64u_encode(wfl_slice_of(bytes, n), text);
        assert_true(wfl_b64u_decode(wfl_slice_str(text), out, n, &len));
        assert_int_equal(len, n);
        if (n > 0) assert_false(wfl_b64u_decode(wfl_slice_str(text), out, n - 1, &len));
        for (size_t i = n; i < sizeof out; i++)
            assert_int_equal(out[i], 9);
    }
}

/* Of all texts of two and three characters exactly those are read that are written. */
static void short_base64url_has_one_text_for_each_value(void **state)
{
    size_t two = 0, three = 0;

    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            uint8_t text[3] = {(uint8_t)a, (uint8_t)b, 'A'}, out[4];
            char    back[8];
            size_t  len;

            if (wfl_b64u_decode(wfl_slice_of(text, 2), out, sizeof out, &len)) {
                wfl_b64u_encode(wfl_slice_of(out, len), back);
                assert_memory_equal(back, text, 2);
                two++;
            }
            three += wfl_b64u_decode(wfl_slice_of(text, 3), out, sizeof out, &len);
        }
    }
    assert_int_equal(two, 256);
    assert_int_equal(three, 64 * 64);
}

static void base64_of_both_alphabets_comes_back(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 5000; round++) {
        uint8_t   place[100], back[100];
        char      text[WFL_B64_LEN(sizeof place) + 1];
        wfl_slice bytes = prng_bytes(&rng, place, sizeof place);
        size_t    len;

        wfl_b64u_encode(bytes, text);
        assert_int_equal(strlen(text), WFL_B64U_LEN(bytes.len));
        assert_true(wfl_b64u_decode(wfl_slice_str(text), back, sizeof back, &len));
        assert_true(wfl_slice_eq(bytes, wfl_slice_of(back, len)));
        wfl_b64_encode(bytes, text);
        assert_int_equal(strlen(text), WFL_B64_LEN(bytes.len));
        assert_true(wfl_b64_decode(wfl_slice_str(text), back, sizeof back, &len));
        assert_true(wfl_slice_eq(bytes, wfl_slice_of(back, len)));
    }
}

static void base64_wants_its_padding(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } cases[] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"+/+/", "\xfb\xff\xbf"},
        {"Zg", NULL},
        {"Zg=", NULL},
        {"Zm8", NULL},
        {"=", NULL},
        {"==", NULL},
        {"====", NULL},
        {"Z===", NULL},
        {"Zg===", NULL},
        {"Zh==", NULL},
        {"Zm9=", NULL},
        {"Zm9v====", NULL},
        {"Zg==Zg==", NULL},
        {"-_-_", NULL},
        {"Z=g=", NULL},
        {"Zg= ", NULL},
        {"Zm9v\n", NULL},
        {"Zm\n9", NULL},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint8_t out[16];
        size_t  len;
        bool    ok = wfl_b64_decode(wfl_slice_str(cases[i].text), out, sizeof out, &len);

        if (ok != (cases[i].bytes != NULL)) fail_msg("'%s'", cases[i].text);
        if (ok) assert_text_equal(wfl_slice_of(out, len), cases[i].bytes);
    }
}

/* ---- percent-coding */

static void escapes_are_decoded_once(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: refused */
    } cases[] = {
        {"", ""},         {"abc", "abc"},         {"a%20b", "a b"},
        {"%41%42", "AB"}, {"%c3%A4", "\xc3\xa4"}, {"a+b", "a+b"},
        {"%2B", "+"},     {"%252F", "%2F"},       {"%2f", "/"},
        {"%7e", "~"},     {"\xff", "\xff"},       {"%", NULL},
        {"%4", NULL},     {"a%", NULL},           {"a%4", NULL},
        {"%%41", NULL},   {"%4%31", NULL},        {"%g0", NULL},
        {"%0g", NULL},    {"% 0", NULL},          {"%-1", NULL},
        {"%0x", NULL},    {"%u0041", NULL},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint8_t out[32];
        size_t  len;
        bool    ok = wfl_percent_decode(wfl_slice_str(cases[i].text), out, &len);

        if (ok != (cases[i].bytes != NULL)) fail_msg("'%s'", cases[i].text);
        if (ok) assert_text_equal(wfl_slice_of(out, len), cases[i].bytes);
    }
    uint8_t out[4];
    size_t  len;
    assert_true(wfl_percent_decode(WFL_S("%00"), out, &len));
    assert_true(len == 1 && out[0] == 0);
}

static void exactly_the_unreserved_are_not_escaped(void **state)
{
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        char    expected[4] = {(char)c};
        wfl_buf out;

        if (memchr(kept, c, sizeof kept - 1) == NULL)
            snprintf(expected, sizeof expected, "%%%02X", c);
        wfl_buf_init(&out, &wfl_alloc_libc, 8);
        wfl_percent_encode(wfl_slice_of(&byte, 1), &out);
        assert_text_equal(wfl_buf_slice(&out), expected);
        wfl_buf_fini(&out);
    }
}

static void percent_coding_comes_back(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 5000; round++) {
        uint8_t   place[100], back[300];
        wfl_slice bytes = prng_bytes(&rng, place, sizeof place);
        wfl_buf   text;
        size_t    len;

        wfl_buf_init(&text, &wfl_alloc_libc, 300);
        wfl_percent_encode(bytes, &text);
        assert_true(wfl_buf_ok(&text));
        assert_true(wfl_percent_decode(wfl_buf_slice(&text), back, &len));
        assert_true(wfl_slice_eq(bytes, wfl_slice_of(back, len)));
        wfl_buf_fini(&text);
    }
}

/* The bound of three for one is a wish only: what fits in fact is written. */
static void encoding_fits_where_its_result_fits(void **state)
{
    wfl_buf out;

    (void)state;
    wfl_buf_init(&out, &wfl_alloc_libc, 5);
    wfl_percent_encode(WFL_S("a/c"), &out);
    assert_true(wfl_buf_ok(&out));
    assert_text_equal(wfl_buf_slice(&out), "a%2Fc");
    wfl_percent_encode(WFL_S("d"), &out);
    assert_false(wfl_buf_ok(&out));
    assert_text_equal(wfl_buf_slice(&out), "a%2Fc");
    wfl_buf_fini(&out);
}

/* What is missing before it must not be forgotten: a signature would cover another text. */
static void encoding_does_not_heal_a_failed_buffer(void **state)
{
    wfl_buf out;

    (void)state;
    wfl_buf_init(&out, &wfl_alloc_libc, 8);
    wfl_buf_add_str(&out, "more than eight bytes");
    assert_false(wfl_buf_ok(&out));
    wfl_percent_encode(WFL_S("a"), &out);
    assert_false(wfl_buf_ok(&out));
    wfl_percent_encode(WFL_S("abcdef"), &out);
    assert_false(wfl_buf_ok(&out));
    assert_int_equal(out.len, 0);
    wfl_buf_fini(&out);
}

static void encoding_without_memory_fails_the_buffer(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 3; k++) {
        struct counted c;
        wfl_buf        out;

        counted_init(&c, k);
        wfl_buf_init(&out, &c.alloc, 10000);
        for (int i = 0; i < 100; i++)
            wfl_percent_encode(WFL_S("0123456789"), &out);
        if (wfl_buf_ok(&out)) assert_int_equal(out.len, 1000); /* a smaller wish was met */
        if (!wfl_buf_ok(&out)) assert_int_equal(out.len % 10, 0);
        wfl_buf_fini(&out);
        assert_int_equal(c.live, 0);
    }
}

/* ---- UTF-8 */

static void utf8_is_what_rfc_3629_says(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t      first; /* length of the first character, 0: not well-formed */
    } cases[] = {
        {"ASCII", "a", 1},
        {"U+007F", "\x7f", 1},
        {"U+0080", "\xc2\x80", 2},
        {"U+07FF", "\xdf\xbf", 2},
        {"U+0800", "\xe0\xa0\x80", 3},
        {"U+D7FF", "\xed\x9f\xbf", 3},
        {"U+E000", "\xee\x80\x80", 3},
        {"U+FFFF", "\xef\xbf\xbf", 3},
        {"U+10000", "\xf0\x90\x80\x80", 4},
        {"U+10FFFF", "\xf4\x8f\xbf\xbf", 4},
        {"a continuation alone", "\x80", 0},
        {"the last continuation alone", "\xbf", 0},
        {"overlong /, two bytes", "\xc0\xaf", 0},
        {"overlong U+007F", "\xc1\xbf", 0},
        {"overlong /, three bytes", "\xe0\x80\xaf", 0},
        {"overlong U+07FF", "\xe0\x9f\xbf", 0},
        {"overlong /, four bytes", "\xf0\x80\x80\xaf", 0},
        {"overlong U+FFFF", "\xf0\x8f\xbf\xbf", 0},
        {"overlong NUL", "\xc0\x80", 0},
        {"the first surrogate", "\xed\xa0\x80", 0},
        {"the last surrogate", "\xed\xbf\xbf", 0},
        {"a pair of surrogates", "\xed\xa0\xbd\xed\xb4\x91", 0},
        {"U+110000", "\xf4\x90\x80\x80", 0},
        {"beyond", "\xf5\x80\x80\x80", 0},
        {"five bytes", "\xf8\x88\x80\x80\x80", 0},
        {"six bytes", "\xfc\x84\x80\x80\x80\x80", 0},
        {"FE", "\xfe", 0},
        {"FF", "\xff", 0},
        {"cut after one of two", "\xc3", 0},
        {"cut after one of three", "\xe2", 0},
        {"cut after two of three", "\xe2\x82", 0},
        {"cut after one of four", "\xf0", 0},
        {"cut after two of four", "\xf0\x9f", 0},
        {"cut after three of four", "\xf0\x9f\x94", 0},
        {"ASCII in place of the second",
         "\xc3"
         "a",
         0},
        {"ASCII in place of the third",
         "\xe2\x82"
         "a",
         0},
        {"ASCII in place of the fourth",
         "\xf0\x9f\x94"
         "a",
         0},
        {"a beginning in place of the second", "\xc3\xc3", 0},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_slice s = wfl_slice_str(cases[i].bytes);
        uint8_t   within[16] = {'x'};

        if (wfl_utf8_first(s) != cases[i].first) fail_msg("%s", cases[i].name);
        if (wfl_utf8_valid(s) != (cases[i].first != 0)) fail_msg("%s", cases[i].name);
        memcpy(within + 1, s.data, s.len);
        within[s.len + 1] = 'y';
        assert_int_equal(wfl_utf8_valid(wfl_slice_of(within, s.len + 2)), cases[i].first != 0);
    }
    assert_true(wfl_utf8_valid((wfl_slice){0}));
    assert_int_equal(wfl_utf8_first((wfl_slice){0}), 0);
    assert_int_equal(wfl_utf8_first(wfl_slice_of("\0", 1)), 1);
}

/* Written from the definition: encode every code point, and nothing else is valid. */
static size_t encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 63));
        out[2] = (uint8_t)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 63));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 63));
    out[3] = (uint8_t)(0x80 | (c & 63));
    return 4;
}

static void every_code_point_but_the_surrogates_is_valid(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x1FFFFF; c++) {
        uint8_t bytes[4];
        size_t  n = encode(c, bytes);
        bool    ok = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);

        if (wfl_utf8_first(wfl_slice_of(bytes, n)) != (ok ? n : 0)) fail_msg("U+%04X", c);
    }
}

static void all_pairs_and_triples_of_bytes_are_counted(void **state)
{
    size_t two = 0, three = 0;

    (void)state;
    for (unsigned n = 0; n < 1u << 24; n++) {
        uint8_t bytes[3] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

        three += wfl_utf8_first(wfl_slice_of(bytes, 3)) == 3;
        two += bytes[2] == 0 && wfl_utf8_first(wfl_slice_of(bytes, 2)) == 2;
    }
    assert_int_equal(two, 0x800 - 0x80);
    assert_int_equal(three, 0x10000 - 0x800 - 0x800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_lower_case_and_whole),
        cmocka_unit_test(hex_comes_back),
        cmocka_unit_test(base64url_knows_the_rfcs_vectors),
        cmocka_unit_test(base64url_refuses_every_other_spelling),
        cmocka_unit_test(base64url_needs_its_room_and_not_a_byte_more),
        cmocka_unit_test(short_base64url_has_one_text_for_each_value),
        cmocka_unit_test(base64_of_both_alphabets_comes_back),
        cmocka_unit_test(base64_wants_its_padding),
        cmocka_unit_test(escapes_are_decoded_once),
        cmocka_unit_test(exactly_the_unreserved_are_not_escaped),
        cmocka_unit_test(percent_coding_comes_back),
        cmocka_unit_test(encoding_fits_where_its_result_fits),
        cmocka_unit_test(encoding_does_not_heal_a_failed_buffer),
        cmocka_unit_test(encoding_without_memory_fails_the_buffer),
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(every_code_point_but_the_surrogates_is_valid),
        cmocka_unit_test(all_pairs_and_triples_of_bytes_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
