/* SPDX-License-Identifier: Apache-2.0
 *
 * Times as text: what RFC 3339 in UTC is and what it is not, every day of eight thousand years, and
 * what is written is read back. */
#include "test.h"

#include <time.h>

static void times_are_read_as_they_are_meant(void **state)
{
    static const struct {
        const char *text;
        int64_t     sec;
        int32_t     nsec;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"1970-01-01T00:00:00.000000001Z", 0, 1},
        {"1970-12-31T23:59:59Z", 31535999, 0},
        {"2000-02-29T12:00:00Z", 951825600, 0}, /* a leap year by 400 */
        {"2000-03-01T00:00:00Z", 951868800, 0},
        {"2024-02-29T00:00:00Z", 1709164800, 0},
        {"2026-11-24T10:00:00Z", 1795514400, 0},
        {"2026-11-24T10:00:00.1Z", 1795514400, 100000000},
        {"2026-11-24T10:00:00.12Z", 1795514400, 120000000},
        {"2026-11-24T10:00:00.123Z", 1795514400, 123000000},
        {"2026-11-24T10:00:00.1234Z", 1795514400, 123400000},
        {"2026-11-24T10:00:00.12345Z", 1795514400, 123450000},
        {"2026-11-24T10:00:00.123456Z", 1795514400, 123456000},
        {"2026-11-24T10:00:00.1234567Z", 1795514400, 123456700},
        {"2026-11-24T10:00:00.12345678Z", 1795514400, 123456780},
        {"2026-11-24T10:00:00.123456789Z", 1795514400, 123456789},
        {"2026-11-24T10:00:00.999999999Z", 1795514400, 999999999},
        {"2026-11-24T10:00:00.000000000Z", 1795514400, 0},
        {"2038-01-19T03:14:08Z", INT64_C(2147483648), 0},
        {"2400-02-29T23:59:59Z", INT64_C(13574649599), 0},
        {"9999-12-31T23:59:59.999999999Z", INT64_C(253402300799), 999999999},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_time t;

        if (!wfl_time_parse(wfl_slice_str(cases[i].text), &t)) fail_msg("%s", cases[i].text);
        if (t.sec != cases[i].sec || t.nsec != cases[i].nsec)
            fail_msg("%s: %lld.%09d", cases[i].text, (long long)t.sec, t.nsec);
    }
}

static void any_other_text_is_no_time(void **state)
{
    static const char *const cases[] = {
        "",
        "Z",
        "2026-11-24",
        "2026-11-24T10:00Z",
        "2026-11-24T10:00:00",
        "2026-11-24 10:00:00Z",
        "2026-11-24t10:00:00Z", /* one spelling only: upper case */
        "2026-11-24T10:00:00z",
        "2026-11-24T10:00:00+00:00", /* UTC is written Z */
        "2026-11-24T10:00:00-00:00",
        "2026-11-24T10:00:00+01:00",
        "2026-11-24T10:00:00ZZ",
        "2026-11-24T10:00:00Z ",
        " 2026-11-24T10:00:00Z",
        "2026-11-24T10:00:00.Z",
        "2026-11-24T10:00:00.1234567890Z", /* ten decimals */
        "2026-11-24T10:00:00,5Z",
        "2026-11-24T10:00:00.5",
        "2026-11-24T10:00:00.-5Z",
        "2026-11-24T10:00:60Z", /* no leap seconds: Unix time has none */
        "2016-12-31T23:59:60Z",
        "2026-11-24T10:60:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T1:00:00Z",
        "2026-11-24T10:0:00Z",
        "2026-1-24T10:00:00Z",
        "2026-11-4T10:00:00Z",
        "26-11-24T10:00:00Z",
        "02026-11-24T10:00:00Z",
        "2026-00-24T10:00:00Z",
        "2026-13-24T10:00:00Z",
        "2026-11-00T10:00:00Z",
        "2026-11-31T10:00:00Z",
        "2026-01-32T10:00:00Z",
        "2026-02-29T10:00:00Z", /* no leap year */
        "2100-02-29T10:00:00Z", /* by 100, not by 400 */
        "2024-02-30T10:00:00Z",
        "1969-12-31T23:59:59Z", /* before Unix time */
        "0000-01-01T00:00:00Z",
        "+026-11-24T10:00:00Z",
        "-026-11-24T10:00:00Z",
        "2026-+1-24T10:00:00Z",
        "2026/11/24T10:00:00Z",
        "2026-W48-2T10:00:00Z",
        "1795514400",
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_time t = {-5, -5};

        if (wfl_time_parse(wfl_slice_str(cases[i]), &t)) fail_msg("'%s'", cases[i]);
        assert_true(t.sec == -5 && t.nsec == -5);
    }
    wfl_time t;
    assert_false(wfl_time_parse((wfl_slice){0}, &t));
    assert_false(wfl_time_parse(wfl_slice_of("2026-11-24T10:00:00Z\0", 21), &t));
}

static void no_cut_of_a_time_is_a_time(void **state)
{
    static const char text[] = "2026-11-24T10:00:00.123456789Z";
    wfl_time          t;

    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++)
        assert_false(wfl_time_parse(wfl_slice_of(text, n), &t));
}

/* Every day from 1970 to 9999, in order: each is 86400 s after the one before. */
static void every_day_follows_the_one_before(void **state)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t               expected = 0;

    (void)state;
    for (unsigned year = 1970; year <= 9999; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (unsigned month = 1; month <= 12; month++) {
            unsigned last = days[month - 1] + (month == 2 && leap);

            for (unsigned day = 1; day <= last + 1; day++) {
                char     text[48];
                wfl_time t;

                snprintf(text, sizeof text, "%04u-%02u-%02uT00:00:00Z", year, month, day);
                if (wfl_time_parse(wfl_slice_str(text), &t) != (day <= last)) fail_msg("%s", text);
                if (day > last) continue;
                if (t.sec != expected) fail_msg("%s", text);
                expected += 86400;
            }
        }
    }
}

static void what_is_written_is_read_back(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint64_t ms = prng_next(&rng) % UINT64_C(253402300800000);
        char     text[WFL_TIME_TEXT];
        wfl_time t;

        wfl_time_format_ms(ms, text);
        assert_int_equal(strlen(text), 24);
        assert_true(wfl_time_parse(wfl_slice_str(text), &t));
        assert_true((uint64_t)t.sec * 1000 + (uint64_t)t.nsec / 1000000 == ms);
    }
}

static void formatting_knows_every_ulids_millisecond(void **state)
{
    char text[WFL_TIME_TEXT];

    (void)state;
    wfl_time_format_ms(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    wfl_time_format_ms(1795514400123, text);
    assert_string_equal(text, "2026-11-24T10:00:00.123Z");
    wfl_time_format_ms((UINT64_C(1) << 48) - 1, text); /* the last one: a year of five digits */
    assert_string_equal(text, "10889-08-02T05:31:50.655Z");
    wfl_time_format_ms(UINT64_MAX, text);
    assert_true(strlen(text) < WFL_TIME_TEXT);
}

static void http_dates_are_imf_fixdates(void **state)
{
    static const struct {
        int64_t     sec;
        const char *text;
    } cases[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, /* the example of RFC 9110 */
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {1795514400, "Tue, 24 Nov 2026 10:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        char text[WFL_TIME_TEXT];

        wfl_time_format_http(cases[i].sec, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void the_systems_clocks_and_randomness_answer(void **state)
{
    const struct wfl_clock *c = &wfl_clock_system;
    int64_t                 before = wfl_clock_mono_ns(c), year_2020 = 1577836800;
    uint8_t                 a[64] = {0}, b[64] = {0};

    (void)state;
    assert_true(wfl_clock_mono_ns(c) >= before);
    assert_true(wfl_clock_unix_ns(c) / 1000000000 > year_2020);
    assert_true(wfl_clock_unix_ms(c) / 1000 > (uint64_t)year_2020);
    wfl_random_fill(&wfl_random_system, a, sizeof a);
    wfl_random_fill(&wfl_random_system, b, sizeof b);
    assert_true(memcmp(a, b, sizeof a) != 0);
    wfl_random_fill(&wfl_random_system, a, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read_as_they_are_meant),
        cmocka_unit_test(any_other_text_is_no_time),
        cmocka_unit_test(no_cut_of_a_time_is_a_time),
        cmocka_unit_test(every_day_follows_the_one_before),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(formatting_knows_every_ulids_millisecond),
        cmocka_unit_test(http_dates_are_imf_fixdates),
        cmocka_unit_test(the_systems_clocks_and_randomness_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
