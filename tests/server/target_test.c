/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request is aimed at, its parameters, conditions and ranges: pure functions over bytes. */
#include "server/target.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void make_arena(wfl_arena *arena)
{
    wfl_arena_init(arena, &wfl_alloc_libc, 1u << 20);
}

static void paths_are_taken_apart(void **state)
{
    static const struct {
        const char          *method, *path;
        wfl_code             rc;
        enum wfl_target_kind kind;
        const char          *bucket, *key;
    } cases[] = {
        {"GET", "/v1/", WFL_OK, WFL_TARGET_BUCKETS, "", ""},
        {"GET", "/v1/photos", WFL_OK, WFL_TARGET_BUCKET, "photos", ""},
        {"GET", "/v1/photos/a/b", WFL_OK, WFL_TARGET_OBJECT, "photos", "a/b"},
        {"GET", "/v1/photos//a//", WFL_OK, WFL_TARGET_OBJECT, "photos", "/a//"},
        {"GET", "/v1/photos/a%20b+c", WFL_OK, WFL_TARGET_OBJECT, "photos", "a b+c"},
        {"GET", "/v1/ph%6ftos/a", WFL_OK, WFL_TARGET_OBJECT, "photos", "a"},
        {"GET", "/v1/photos/scan", WFL_OK, WFL_TARGET_SCAN, "photos", "scan"},
        {"POST", "/v1/photos/scan", WFL_OK, WFL_TARGET_SCAN, "photos", "scan"},
        {"PUT", "/v1/photos/scan", WFL_RESERVED_KEY, 0, "", ""},
        {"DELETE", "/v1/photos/batch", WFL_RESERVED_KEY, 0, "", ""},
        {"POST", "/v1/photos/batch", WFL_OK, WFL_TARGET_BATCH, "photos", "batch"},
        {"GET", "/v1/photos/batch", WFL_OK, WFL_TARGET_BATCH, "photos", "batch"},
        {"POST", "/v1/-/batch", WFL_OK, WFL_TARGET_BATCH, "", ""},
        {"POST", "/v1/-/batch/", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/v1/photos/scan/x", WFL_OK, WFL_TARGET_OBJECT, "photos", "scan/x"},
        {"GET", "/v1/-/server", WFL_OK, WFL_TARGET_SERVER, "-", ""},
        {"GET", "/v1/-/session", WFL_OK, WFL_TARGET_SESSION, "-", ""},
        {"GET", "/v1/-/session/", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/v1/-", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/v1", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/v2/photos", WFL_NOT_FOUND, 0, "", ""},
        {"GET", "/v1/Photos", WFL_INVALID_BUCKET, 0, "", ""},
        {"GET", "/v1/ab", WFL_INVALID_BUCKET, 0, "", ""},
        {"GET", "/v1/a..b", WFL_INVALID_BUCKET, 0, "", ""},
        {"GET", "/v1//a", WFL_INVALID_BUCKET, 0, "", ""},
        {"GET", "/v1/photos/", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/a/../b", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/%2e%2e", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/a%2Fb", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/a%2fb", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/%00", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/%FF", WFL_INVALID_KEY, 0, "", ""},
        {"GET", "/v1/photos/%C3%A9", WFL_OK, WFL_TARGET_OBJECT, "photos", "\xC3\xA9"},
        {"GET", "/v1/photos/%zz", WFL_INVALID_REQUEST, 0, "", ""},
        {"GET", "/v1/photos/%4", WFL_INVALID_REQUEST, 0, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_request r = {.method = wfl_slice_str(cases[i].method),
                                .path = wfl_slice_str(cases[i].path)};
        struct wfl_target  t;
        wfl_error          err;
        wfl_arena          arena;

        make_arena(&arena);
        wfl_code rc = wfl_target_parse(&r, &arena, &t, &err);
        if (rc != cases[i].rc)
            fail_msg("%s %s: %s", cases[i].method, cases[i].path, wfl_code_name(rc));
        if (rc == WFL_OK && t.kind != cases[i].kind) fail_msg("%s: kind %d", cases[i].path, t.kind);
        if (rc == WFL_OK && (!wfl_slice_eq(t.bucket, wfl_slice_str(cases[i].bucket)) ||
                             !wfl_slice_eq(t.key, wfl_slice_str(cases[i].key)))) {
            fail_msg("%s: %.*s | %.*s", cases[i].path, WFL_FMT(t.bucket), WFL_FMT(t.key));
        }
        wfl_arena_fini(&arena);
    }
}

static void keys_have_a_longest(void **state)
{
    char               path[2048] = "/v1/photos/";
    size_t             head = strlen(path);
    struct wfl_request r = {.method = WFL_S("GET")};
    struct wfl_target  t;
    wfl_error          err;
    wfl_arena          arena;

    (void)state;
    make_arena(&arena);
    memset(path + head, 'k', WFL_KEY_MAX + 1);
    r.path = wfl_slice_of(path, head + WFL_KEY_MAX);
    assert_int_equal(wfl_target_parse(&r, &arena, &t, &err), WFL_OK);
    r.path.len++;
    assert_int_equal(wfl_target_parse(&r, &arena, &t, &err), WFL_INVALID_KEY);
    wfl_arena_fini(&arena);
}

static void queries_know_their_parameters(void **state)
{
    static const struct {
        const char *query;
        wfl_code    rc;
        const char *a, *b;
    } cases[] = {
        {"", WFL_OK, NULL, NULL},
        {"a=1", WFL_OK, "1", NULL},
        {"a=1&b=2", WFL_OK, "1", "2"},
        {"b=%20+&a", WFL_OK, "", " +"},
        {"a=x=y", WFL_OK, "x=y", NULL},
        {"%61=1", WFL_OK, "1", NULL},
        {"a=1&a=1", WFL_INVALID_QUERY, NULL, NULL},
        {"A=1", WFL_INVALID_QUERY, NULL, NULL},
        {"c=1", WFL_INVALID_QUERY, NULL, NULL},
        {"&", WFL_INVALID_QUERY, NULL, NULL},
        {"a=1&", WFL_INVALID_QUERY, NULL, NULL},
        {"=1", WFL_INVALID_QUERY, NULL, NULL},
        {"a=%", WFL_INVALID_REQUEST, NULL, NULL},
        {"%g1=", WFL_INVALID_REQUEST, NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_param p[] = {{.name = "a"}, {.name = "b"}};
        wfl_error        err;
        wfl_arena        arena;

        make_arena(&arena);
        wfl_code rc = wfl_query_parse(wfl_slice_str(cases[i].query), p, 2, &arena, &err);
        if (rc != cases[i].rc) fail_msg("'%s': %s", cases[i].query, wfl_code_name(rc));
        if (rc == WFL_OK) {
            assert_int_equal(p[0].given, cases[i].a != NULL);
            assert_int_equal(p[1].given, cases[i].b != NULL);
            assert_true(wfl_slice_eq(p[0].value, wfl_slice_str(cases[i].a)));
            assert_true(wfl_slice_eq(p[1].value, wfl_slice_str(cases[i].b)));
        }
        wfl_arena_fini(&arena);
    }
}

#define V1 "01JDFJ7Z7Q2S4T6V8X0A2C4E6G"
#define V2 "01JDFJ7Z7Q2S4T6V8X0A2C4E6H"

static void conditions_hold_as_rfc_9110_says(void **state)
{
    static const struct {
        const char *name, *value;
        bool        none_match;
        wfl_code    rc;
        bool        with_v1, with_nothing;
    } cases[] = {
        {"If-Match *", "*", false, WFL_OK, true, false},
        {"If-None-Match *", "*", true, WFL_OK, false, true},
        {"same", "\"" V1 "\"", false, WFL_OK, true, false},
        {"other", "\"" V2 "\"", false, WFL_OK, false, false},
        {"in a list", "\"" V2 "\", \"" V1 "\"", false, WFL_OK, true, false},
        {"empty elements", ",, \"" V1 "\" ,", false, WFL_OK, true, false},
        {"weak never matches strongly", "W/\"" V1 "\"", false, WFL_OK, false, false},
        {"weak matches weakly", "W/\"" V1 "\"", true, WFL_OK, false, true},
        {"not ours", "\"abc\"", false, WFL_OK, false, false},
        {"not ours, none-match", "\"abc\"", true, WFL_OK, true, true},
        {"none of", "\"" V2 "\"", true, WFL_OK, true, true},
        {"this one", "\"" V1 "\"", true, WFL_OK, false, true},
        {"no quotes", V1, false, WFL_INVALID_HEADER, false, false},
        {"open quote", "\"" V1, false, WFL_INVALID_HEADER, false, false},
        {"empty", "", false, WFL_INVALID_HEADER, false, false},
        {"only commas", ",,", true, WFL_INVALID_HEADER, false, false},
        {"two stars", "*, *", false, WFL_INVALID_HEADER, false, false},
        {"no comma", "\"" V1 "\" \"" V2 "\"", false, WFL_INVALID_HEADER, false, false},
        {"space inside", "\"a b\"", false, WFL_INVALID_HEADER, false, false},
    };
    wfl_ulid v1;

    (void)state;
    assert_true(wfl_ulid_parse(WFL_S(V1), &v1));
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_condition c;
        wfl_error            err;
        wfl_arena            arena;

        make_arena(&arena);
        wfl_code rc = wfl_condition_parse(wfl_slice_str(cases[i].value), cases[i].none_match,
                                          &arena, &c, &err);
        if (rc != cases[i].rc) fail_msg("%s: %s", cases[i].name, wfl_code_name(rc));
        if (rc == WFL_OK && (wfl_condition_holds(&c, &v1) != cases[i].with_v1 ||
                             wfl_condition_holds(&c, NULL) != cases[i].with_nothing)) {
            fail_msg("%s: wrong verdict", cases[i].name);
        }
        wfl_arena_fini(&arena);
    }
}

static void ranges_are_cut_from_the_size(void **state)
{
    static const struct {
        const char            *value;
        uint64_t               size;
        enum wfl_range_outcome outcome;
        uint64_t               first, count;
    } cases[] = {
        {"bytes=0-0", 10, WFL_RANGE_PART, 0, 1},
        {"bytes=2-5", 10, WFL_RANGE_PART, 2, 4},
        {"bytes=2-", 10, WFL_RANGE_PART, 2, 8},
        {"bytes=2-99", 10, WFL_RANGE_PART, 2, 8},
        {"bytes=9-18446744073709551615", 10, WFL_RANGE_PART, 9, 1},
        {"bytes=-3", 10, WFL_RANGE_PART, 7, 3},
        {"bytes=-99", 10, WFL_RANGE_PART, 0, 10},
        {"Bytes=1-2", 10, WFL_RANGE_PART, 1, 2},
        {"bytes=10-", 10, WFL_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-0", 10, WFL_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=0-", 0, WFL_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=-1", 0, WFL_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=5-2", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=0-1,3-4", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=-", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=a-b", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=1-2x", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes=99999999999999999999-", 10, WFL_RANGE_UNSATISFIABLE, 0, 0},
        {"bytes=3-99999999999999999999", 10, WFL_RANGE_PART, 3, 7},
        {"bytes=-99999999999999999999", 10, WFL_RANGE_PART, 0, 10},
        {"bytes=3-9999999999999999999x", 10, WFL_RANGE_WHOLE, 0, 0},
        {"items=0-1", 10, WFL_RANGE_WHOLE, 0, 0},
        {"bytes 0-1", 10, WFL_RANGE_WHOLE, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_range       r = {0};
        enum wfl_range_outcome outcome =
            wfl_range_parse(wfl_slice_str(cases[i].value), cases[i].size, &r);

        if (outcome != cases[i].outcome) fail_msg("%s: outcome %d", cases[i].value, outcome);
        if (outcome == WFL_RANGE_PART && (r.first != cases[i].first || r.count != cases[i].count)) {
            fail_msg("%s: %llu+%llu", cases[i].value, (unsigned long long)r.first,
                     (unsigned long long)r.count);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_taken_apart),
        cmocka_unit_test(keys_have_a_longest),
        cmocka_unit_test(queries_know_their_parameters),
        cmocka_unit_test(conditions_hold_as_rfc_9110_says),
        cmocka_unit_test(ranges_are_cut_from_the_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
