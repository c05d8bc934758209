/* SPDX-License-Identifier: Apache-2.0
 *
 * ULIDs: one text for each, one order in bytes and text, and a source that only ever rises. */
#include "test.h"

static const uint8_t zeros[10], ones[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

static void text_and_bytes_are_told_by_hand(void **state)
{
    static const struct {
        const char *text;
        wfl_ulid    bytes;
    } cases[] = {
        {"00000000000000000000000000", {{0}}},
        {"00000000000000000000000001", {{[15] = 1}}},
        {"0000000000000000000000000Z", {{[15] = 31}}},
        {"00000000000000000000000010", {{[15] = 32}}},
        {"7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
         {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}}},
        {"40000000000000000000000000", {{0x80}}},
        {"7ZZZZZZZZZ0000000000000000", {{255, 255, 255, 255, 255, 255}}},
        /* 1469918176385 ms */
        {"01ARYZ6S410000000000000000", {{0x01, 0x56, 0x3D, 0xF3, 0x64, 0x81}}},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        char     text[WFL_ULID_TEXT_LEN + 1];
        wfl_ulid u;

        wfl_ulid_format(&cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
        assert_true(wfl_ulid_parse(wfl_slice_str(cases[i].text), &u));
        assert_int_equal(wfl_ulid_cmp(&u, &cases[i].bytes), 0);
    }
    wfl_ulid known;
    assert_true(wfl_ulid_parse(WFL_S("01ARYZ6S410000000000000000"), &known));
    assert_true(wfl_ulid_ms(&known) == 1469918176385);
}

static void any_other_text_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "0000000000000000000000000",   /* 25 */
        "000000000000000000000000000", /* 27 */
        "80000000000000000000000000",  /* 129 bits */
        "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "01aryz6s410000000000000000", /* lower case */
        "0000000000000000000000000I", /* letters that Crockford leaves out */
        "0000000000000000000000000L",
        "0000000000000000000000000O",
        "0000000000000000000000000U",
        "0000000000000000000000000i",
        "0000000000000000000000000-",
        "0000000000000000000000000 ",
        " 0000000000000000000000000",
        "/0000000000000000000000000", /* before 0 */
        "0000000000000\xc3\x9f"
        "00000000000",
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_ulid u = {{7}};

        if (wfl_ulid_parse(wfl_slice_str(cases[i]), &u)) fail_msg("'%s'", cases[i]);
        assert_int_equal(u.bytes[0], 7); /* untouched */
    }
    wfl_ulid u;
    assert_false(wfl_ulid_parse(wfl_slice_of("0000000000000\0"
                                             "000000000000",
                                             26),
                                &u));
    assert_false(wfl_ulid_parse((wfl_slice){0}, &u));
}

static void exactly_the_alphabet_is_read_at_every_place(void **state)
{
    (void)state;
    for (size_t at = 0; at < WFL_ULID_TEXT_LEN; at++) {
        unsigned accepted = 0;

        for (int c = 0; c < 256; c++) {
            char     text[] = "00000000000000000000000000", back[WFL_ULID_TEXT_LEN + 1];
            wfl_ulid u;

            text[at] = (char)c;
            if (!wfl_ulid_parse(wfl_slice_of(text, WFL_ULID_TEXT_LEN), &u)) continue;
            wfl_ulid_format(&u, back);
            assert_string_equal(back, text);
            accepted++;
        }
        assert_int_equal(accepted, at == 0 ? 8 : 32);
    }
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static void texts_come_back_and_order_as_bytes_do(void **state)
{
    struct prng rng = prng_from_env();
    wfl_ulid    last = {{0}};
    char        last_text[WFL_ULID_TEXT_LEN + 1];

    (void)state;
    wfl_ulid_format(&last, last_text);
    for (int round = 0; round < 20000; round++) {
        char     text[WFL_ULID_TEXT_LEN + 1];
        wfl_ulid u, back;

        for (size_t i = 0; i < sizeof u.bytes; i++) /* often equal at the front */
            u.bytes[i] = prng_below(&rng, 3) == 0 ? (uint8_t)prng_next(&rng) : last.bytes[i];
        wfl_ulid_format(&u, text);
        assert_true(wfl_ulid_parse(wfl_slice_str(text), &back));
        assert_memory_equal(back.bytes, u.bytes, sizeof u.bytes);
        assert_int_equal(sign(strcmp(text, last_text)), sign(wfl_ulid_cmp(&u, &last)));
        assert_in_range(text[0], '0', '7');
        last = u;
        memcpy(last_text, text, sizeof text);
    }
}

static void a_millisecond_has_a_smallest_and_a_largest(void **state)
{
    static const uint64_t times[] = {0, 1, 1764000000000, (UINT64_C(1) << 48) - 1};

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(times); i++) {
        wfl_ulid low = wfl_ulid_from_ms(times[i], false), high = wfl_ulid_from_ms(times[i], true);

        assert_true(wfl_ulid_ms(&low) == times[i] && wfl_ulid_ms(&high) == times[i]);
        assert_memory_equal(low.bytes + 6, zeros, 10);
        assert_memory_equal(high.bytes + 6, ones, 10);
    }
    wfl_ulid zero = wfl_ulid_from_ms(0, false), some = wfl_ulid_from_ms(0, true);
    assert_true(wfl_ulid_is_zero(&zero));
    assert_false(wfl_ulid_is_zero(&some));
}

/* ---- the source */

static void the_source_rises_however_the_clock_goes(void **state)
{
    struct prng            rng = prng_from_env();
    struct wfl_ulid_source source = {{{0}}};
    uint64_t               now = 1764000000000, highest = 0;
    wfl_ulid               last = {{0}};

    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t   random[10];
        wfl_ulid  u;
        wfl_error err;

        for (size_t i = 0; i < sizeof random; i++)
            random[i] = prng_below(&rng, 4) == 0 ? (uint8_t)prng_next(&rng) : 255;
        now += prng_below(&rng, 3); /* mostly the same millisecond */
        if (prng_below(&rng, 50) == 0) now -= prng_below(&rng, 100000);
        if (now > highest) highest = now;
        assert_int_equal(wfl_ulid_next(&source, now, random, &u, &err), WFL_OK);
        assert_true(wfl_ulid_cmp(&u, &last) > 0);
        assert_true(wfl_ulid_ms(&u) >= now);
        assert_true(wfl_ulid_ms(&u) <= highest + 20000); /* a carry at the most each */
        last = u;
    }
}

static wfl_ulid next(struct wfl_ulid_source *source, uint64_t now_ms, const uint8_t random[10])
{
    wfl_ulid  u;
    wfl_error err;

    assert_int_equal(wfl_ulid_next(source, now_ms, random, &u, &err), WFL_OK);
    return u;
}

static void a_new_millisecond_takes_fresh_randomness(void **state)
{
    struct wfl_ulid_source source = {{{0}}};
    wfl_ulid               u = next(&source, 1000, ones);

    (void)state;
    assert_true(wfl_ulid_ms(&u) == 1000);
    assert_memory_equal(u.bytes + 6, ones, 10);
    u = next(&source, 1001, zeros);
    assert_true(wfl_ulid_ms(&u) == 1001);
    assert_memory_equal(u.bytes + 6, zeros, 10);
}

static void a_clock_that_steps_back_only_counts_up(void **state)
{
    struct wfl_ulid_source source = {{{0}}};
    wfl_ulid               u = next(&source, 5000, zeros);

    (void)state;
    for (unsigned i = 1; i <= 300; i++) {
        u = next(&source, 5000 - i, ones);
        assert_true(wfl_ulid_ms(&u) == 5000);
        assert_int_equal(u.bytes[14] * 256 + u.bytes[15], i);
    }
}

static void a_full_millisecond_flows_into_the_next(void **state)
{
    struct wfl_ulid_source source = {{{0}}};
    wfl_ulid               u = next(&source, 0xFF, ones);

    (void)state;
    u = next(&source, 0xFF, ones);
    assert_true(wfl_ulid_ms(&u) == 0x100);
    assert_memory_equal(u.bytes + 6, zeros, 10);
    u = next(&source, 0x100, ones); /* the clock catches up: still one more than the last */
    assert_true(wfl_ulid_ms(&u) == 0x100);
    assert_int_equal(u.bytes[15], 1);
}

static void the_end_of_ulids_is_an_error_and_changes_nothing(void **state)
{
    struct wfl_ulid_source source = {wfl_ulid_from_ms((UINT64_C(1) << 48) - 1, true)};
    struct wfl_ulid_source before = source;
    wfl_ulid               u = {{3}};
    wfl_error              err;

    (void)state;
    assert_int_equal(wfl_ulid_next(&source, 5, ones, &u, &err), WFL_INTERNAL);
    assert_int_equal(wfl_ulid_next(&source, UINT64_C(1) << 48, ones, &u, &err), WFL_INTERNAL);
    assert_int_equal(wfl_ulid_next(&source, UINT64_MAX, ones, &u, &err), WFL_INTERNAL);
    assert_int_equal(wfl_ulid_cmp(&source.last, &before.last), 0);
    assert_int_equal(u.bytes[0], 3);
}

static void the_first_of_all_is_not_none(void **state)
{
    struct wfl_ulid_source source = {{{0}}};
    wfl_ulid               u = next(&source, 0, zeros);

    (void)state;
    assert_false(wfl_ulid_is_zero(&u)); /* zero stands for "none" */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_bytes_are_told_by_hand),
        cmocka_unit_test(any_other_text_is_refused),
        cmocka_unit_test(exactly_the_alphabet_is_read_at_every_place),
        cmocka_unit_test(texts_come_back_and_order_as_bytes_do),
        cmocka_unit_test(a_millisecond_has_a_smallest_and_a_largest),
        cmocka_unit_test(the_source_rises_however_the_clock_goes),
        cmocka_unit_test(a_new_millisecond_takes_fresh_randomness),
        cmocka_unit_test(a_clock_that_steps_back_only_counts_up),
        cmocka_unit_test(a_full_millisecond_flows_into_the_next),
        cmocka_unit_test(the_end_of_ulids_is_an_error_and_changes_nothing),
        cmocka_unit_test(the_first_of_all_is_not_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
