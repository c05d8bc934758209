/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line's own grammar: options and words, times, grants. */
#include "client/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARGS_MAX 20

static const struct {
    const char *name;
    const char *args[ARGS_MAX + 1];
    int         status;
    const char *words; /* joined by '|' */
    const char *one;   /* the value of --one */
    const char *many;  /* the values of --many, joined by '|' */
    uint32_t    flags; /* how often --flag or -f was given */
} parse_cases[] = {
    {"nothing", {NULL}, CLI_DONE, "", NULL, "", 0},
    {"words", {"a", "b", NULL}, CLI_DONE, "a|b", NULL, "", 0},
    {"around words", {"-f", "a", "--one", "x", "b"}, CLI_DONE, "a|b", "x", "", 1},
    {"inline value", {"--one=x=y"}, CLI_DONE, "", "x=y", "", 0},
    {"empty value", {"--one="}, CLI_DONE, "", "", "", 0},
    {"a value like an option", {"--one", "--flag"}, CLI_DONE, "", "--flag", "", 0},
    {"a value like the end", {"--one", "--", "a"}, CLI_DONE, "a", "--", "", 0},
    {"repeats", {"--many", "1", "--many=2", "-m", "3"}, CLI_DONE, "", NULL, "1|2|3", 0},
    {"too often", {"-m", "1", "-m", "2", "-m", "3", "-m", "4"}, CLI_USAGE, "", NULL, "", 0},
    {"twice", {"--one", "1", "--one", "2"}, CLI_USAGE, "", NULL, "", 0},
    {"flag twice", {"--flag", "-f"}, CLI_USAGE, "", NULL, "", 0},
    {"no value", {"--one"}, CLI_USAGE, "", NULL, "", 0},
    {"flag with a value", {"--flag=1"}, CLI_USAGE, "", NULL, "", 0},
    {"unknown", {"--fly"}, CLI_USAGE, "", NULL, "", 0},
    {"a beginning is no name", {"--fla"}, CLI_USAGE, "", NULL, "", 0},
    {"dash is a word", {"-", "--one", "-"}, CLI_DONE, "-", "-", "", 0},
    {"behind the end all are words", {"--", "-f", "--", "-"}, CLI_DONE, "-f|--|-", NULL, "", 0},
    {"empty word", {"", "a"}, CLI_DONE, "|a", NULL, "", 0},
    {"too many words",
     {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17"},
     CLI_USAGE,
     "",
     NULL,
     "",
     0},
};

static void join(char *out, size_t cap, const char *const *items, uint32_t count)
{
    size_t len = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, cap - len, "%s%s", i == 0 ? "" : "|", items[i]);
}

static void options_and_words_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(parse_cases); i++) {
        const char             *one = NULL, *many[3];
        uint32_t                has_one = 0, many_count = 0, flags = 0;
        const struct cli_option options[] = {
            {.name = "--one", .has_value = true, .values = &one, .max = 1, .count = &has_one},
            {.name = "--many",
             .also = "-m",
             .has_value = true,
             .repeats = true,
             .values = many,
             .max = 3,
             .count = &many_count},
            {.name = "--flag", .also = "-f", .count = &flags},
        };
        struct cli_words words;
        char            *args[ARGS_MAX], text[256];
        int              argc = 0;

        for (; parse_cases[i].args[argc] != NULL; argc++)
            args[argc] = (char *)(uintptr_t)parse_cases[i].args[argc];
        print_message("%s\n", parse_cases[i].name);
        assert_int_equal(cli_parse(argc, args, options, WFL_COUNT(options), &words),
                         parse_cases[i].status);
        if (parse_cases[i].status != CLI_DONE) continue;
        join(text, sizeof text, words.items, words.count);
        assert_string_equal(text, parse_cases[i].words);
        join(text, sizeof text, many, many_count);
        assert_string_equal(text, parse_cases[i].many);
        assert_int_equal(flags, parse_cases[i].flags);
        assert_int_equal(has_one, parse_cases[i].one != NULL);
        if (has_one > 0) assert_string_equal(one, parse_cases[i].one);
    }
}

static void times_are_at_least_a_second_and_do_not_wrap(void **state)
{
    static const struct {
        const char *text;
        int64_t     seconds; /* 0: refused */
    } cases[] = {
        {"1", 1},
        {"90", 90},
        {"90s", 90},
        {"5m", 300},
        {"12h", 43200},
        {"30d", 2592000},
        {"007", 7},
        {"4000000000", 4000000000},
        {"46296d", 4e9},
        {"4000000001", 0},
        {"46297d", 0},
        {"18446744073709551615d", 0},
        {"213503982334601d", 0},
        {"0", 0},
        {"0d", 0},
        {"", 0},
        {"d", 0},
        {"-1d", 0},
        {"+1d", 0},
        {" 1d", 0},
        {"1d ", 0},
        {"1w", 0},
        {"1.5h", 0},
        {"1dd", 0},
        {"0x10", 0},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        int64_t got = 0;
        bool    ok = cli_parse_seconds(cases[i].text, &got);

        if (ok != (cases[i].seconds != 0)) fail_msg("'%s' is taken: %d", cases[i].text, ok);
        if (ok && got > cases[i].seconds) fail_msg("'%s' is %lld", cases[i].text, (long long)got);
        if (ok && got < cases[i].seconds - 86400)
            fail_msg("'%s' is %lld", cases[i].text, (long long)got);
        if (ok && cases[i].seconds < 3999999999) assert_int_equal(got, cases[i].seconds);
    }
}

static void grants_are_cut_at_the_first_colon_and_the_last_equals_sign(void **state)
{
    static const struct {
        const char *text, *bucket, *prefix; /* bucket NULL: refused */
        unsigned    ops;
    } cases[] = {
        {"photos=get", "photos", "", WFL_OP_GET},
        {"photos:=get", "photos", "", WFL_OP_GET},
        {"photos:2026/=get,put", "photos", "2026/", WFL_OP_GET | WFL_OP_PUT},
        {"a-b.c:x:y=z=delete, watch", "a-b.c", "x:y=z", WFL_OP_DELETE | WFL_OP_WATCH},
        {"logs*=scan", "logs*", "", WFL_OP_SCAN},
        {"*=manage,admin", "*", "", WFL_OP_MANAGE | WFL_OP_ADMIN},
        {"photos:\xC3\xBC=get", "photos", "\xC3\xBC", WFL_OP_GET},
        {"", NULL, NULL, 0},
        {"photos", NULL, NULL, 0},
        {"photos=", NULL, NULL, 0},
        {"photos=get,", NULL, NULL, 0},
        {"photos=,get", NULL, NULL, 0},
        {"photos=get,get", NULL, NULL, 0},
        {"photos=GET", NULL, NULL, 0},
        {"photos=*", NULL, NULL, 0},
        {"=get", NULL, NULL, 0},
        {":x=get", NULL, NULL, 0},
        {"Photos=get", NULL, NULL, 0},
        {"ph*os=get", NULL, NULL, 0},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_grant grant;
        bool             ok = cli_parse_grant(cases[i].text, &grant);

        if (ok != (cases[i].bucket != NULL)) fail_msg("'%s' is taken: %d", cases[i].text, ok);
        if (!ok) continue;
        assert_true(wfl_slice_eq(grant.bucket, wfl_slice_str(cases[i].bucket)));
        assert_true(wfl_slice_eq(grant.prefix, wfl_slice_str(cases[i].prefix)));
        assert_int_equal(grant.ops, cases[i].ops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_are_told_apart),
        cmocka_unit_test(times_are_at_least_a_second_and_do_not_wrap),
        cmocka_unit_test(grants_are_cut_at_the_first_colon_and_the_last_equals_sign),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
