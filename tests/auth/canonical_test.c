/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical text at its edges: every spelling of a target is one text, what could be read in two
 * ways is refused, and running out of room is never a shorter text. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

static const char HEX[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct text {
    wfl_arena arena;
    wfl_buf   buf;
    wfl_error err;
};

static wfl_code write_to(struct text *t, const struct wfl_auth_request *r, size_t max)
{
    wfl_arena_init(&t->arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(&t->buf, &wfl_alloc_libc, max);
    return wfl_canonical_write(r, HEX, &t->arena, &t->buf, &t->err);
}

static void text_fini(struct text *t)
{
    wfl_buf_fini(&t->buf);
    wfl_arena_fini(&t->arena);
}

/* The line of that number, from 0. */
static wfl_slice line_of(const struct text *t, int number)
{
    wfl_slice rest = wfl_buf_slice(&t->buf), line = {0};

    while (number-- >= 0)
        wfl_slice_split(&rest, '\n', &line);
    return line;
}

static void a_target_has_one_spelling(void **state)
{
    static const struct {
        const char *path, *query, *canonical_path, *canonical_query;
    } cases[] = {
        {"/v1/b/a", "", "/v1/b/a", ""},
        {"/v1/b/%61", "", "/v1/b/a", ""},
        {"/v1/b/%7e~", "", "/v1/b/~~", ""},
        {"/v1/b/%c3%a4", "", "/v1/b/%C3%A4", ""},
        {"/v1/b/a+b", "", "/v1/b/a%2Bb", ""},
        {"/v1/b/a b", "", "/v1/b/a%20b", ""},
        {"/v1/b/%2561", "", "/v1/b/%2561", ""}, /* decoded once */
        {"/v1/b/%252F", "", "/v1/b/%252F", ""},
        {"/v1//b///", "", "/v1//b///", ""},
        {"/v1/b/..", "", "/v1/b/..", ""}, /* not resolved: no key, but one text */
        {"/v1/b/%00", "", "/v1/b/%00", ""},
        {"", "", "", ""},
        {"/", "a=1&b=2", "/", "a=1&b=2"},
        {"/", "b=2&a=1", "/", "a=1&b=2"},
        {"/", "a=2&a=1", "/", "a=1&a=2"},
        {"/", "a", "/", "a="},
        {"/", "a=", "/", "a="},
        {"/", "=a", "/", "=a"},
        {"/", "=", "/", "="},
        {"/", "&", "/", "=&="},
        {"/", "a&&b", "/", "=&a=&b="},
        {"/", "a=b=c", "/", "a=b%3Dc"},
        {"/", "a=%3d%26", "/", "a=%3D%26"},
        {"/", "a=+", "/", "a=%2B"},
        {"/", "a=%20", "/", "a=%20"},
        {"/", "%61=1&a%3D=2", "/", "a=1&a%3D=2"},
        {"/", "a-=1&a=2", "/", "a=2&a-=1"}, /* by name, not by the text as a whole */
        {"/", "wfl-signature=x&a=1", "/", "a=1"},
        {"/", "wfl%2Dsignature=x", "/", ""},
        {"/", "wfl-signature", "/", ""},
        {"/", "WFL-signature=x", "/", "WFL-signature=x"},
        {"/", "a=?/", "/", "a=%3F%2F"},
    };
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_auth_request r = {.method = WFL_S("GET"),
                                     .path = wfl_slice_str(cases[i].path),
                                     .query = wfl_slice_str(cases[i].query),
                                     .authority = WFL_S("Example.Invalid:1")};
        struct text             t;

        assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
        if (!wfl_slice_eq(line_of(&t, 2), wfl_slice_str(cases[i].canonical_path)) ||
            !wfl_slice_eq(line_of(&t, 3), wfl_slice_str(cases[i].canonical_query))) {
            fail_msg("%s?%s:\n%.*s", cases[i].path, cases[i].query, WFL_FMT(wfl_buf_slice(&t.buf)));
        }
        assert_true(wfl_slice_eq(line_of(&t, 4), WFL_S("example.invalid:1")));
        assert_true(wfl_slice_eq(line_of(&t, 5), wfl_slice_str(HEX)));
        assert_int_equal(t.buf.data[t.buf.len - 1], '\n');
        text_fini(&t);
    }
}

static void what_has_two_readings_is_refused(void **state)
{
    static const struct {
        const char *path, *query;
        wfl_code    code;
    } cases[] = {
        {"/v1/b/%", "", WFL_INVALID_REQUEST},
        {"/v1/b/%1", "", WFL_INVALID_REQUEST},
        {"/v1/b/%g0", "", WFL_INVALID_REQUEST},
        {"/v1/b/%0g", "", WFL_INVALID_REQUEST},
        {"/v1/b/%%41", "", WFL_INVALID_REQUEST},
        {"/v1/b/%2F", "", WFL_INVALID_KEY},
        {"/v1/b/%2fa", "", WFL_INVALID_KEY},
        {"/v1/b/a%2f", "", WFL_INVALID_KEY},
        {"/%2f", "", WFL_INVALID_KEY},
        {"/", "%", WFL_INVALID_REQUEST},
        {"/", "a=%zz", WFL_INVALID_REQUEST},
        {"/", "%f=1", WFL_INVALID_REQUEST},
        {"/", "wfl-signature=%", WFL_INVALID_REQUEST},
    };
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_auth_request r = {.method = WFL_S("GET"),
                                     .path = wfl_slice_str(cases[i].path),
                                     .query = wfl_slice_str(cases[i].query)};
        struct text             t;

        if (write_to(&t, &r, 1u << 20) != cases[i].code)
            fail_msg("%s?%s: %s", cases[i].path, cases[i].query, wfl_code_name(t.err.code));
        text_fini(&t);
    }
}

#define H(name, value)                                                                             \
    {                                                                                              \
        WFL_LIT(name), WFL_LIT(value)                                                              \
    }

static void headers_are_those_that_count(void **state)
{
    const struct wfl_auth_header headers[] = {
        H("X-WflDB-Signature", "no"), H("Host", "no"),           H("authorization", "no"),
        H("x-wfldb-z", "\t v \t"),    H("X-WFLDB-", "bare"),     H("Range", "bytes=0-1"),
        H("if-none-MATCH", "*"),      H("x-wfldb", "no"),        H("If-Range", "r"),
        H("Content-Length", "5"),     H("Content-Type", "a  b"), H("x-wfldb-Empty", ""),
        H("if-modified-since", "no"), H("If-Match", "\"x\""),    H("x-wfldb-signature2", "s"),
    };
    struct wfl_auth_request r = {.method = WFL_S("PUT"),
                                 .path = WFL_S("/"),
                                 .headers = headers,
                                 .header_count = WFL_COUNT(headers)};
    struct text             t;

    (void)state;
    assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
    wfl_slice text = wfl_buf_slice(&t.buf), line;
    for (int i = 0; i < 6; i++)
        wfl_slice_split(&text, '\n', &line);
    static const char expected[] =
        "content-type:a  b\nif-match:\"x\"\nif-none-match:*\nif-range:r\n"
        "range:bytes=0-1\nx-wfldb-:bare\nx-wfldb-empty:\n"
        "x-wfldb-signature2:s\nx-wfldb-z:v\n";
    if (!wfl_slice_eq(text, wfl_slice_str(expected))) fail_msg("%.*s", WFL_FMT(text));
    text_fini(&t);
}

static void a_counted_header_twice_is_refused_in_any_case(void **state)
{
    static const char *const names[] = {"content-type", "if-match",      "if-none-match",
                                        "if-range",     "range",         "x-wfldb-nonce",
                                        "x-wfldb-",     "x-wfldb-meta-a"};
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(names); i++) {
        char upper[32];

        for (size_t c = 0; c <= strlen(names[i]); c++)
            upper[c] =
                (char)(names[i][c] >= 'a' && names[i][c] <= 'z' ? names[i][c] - 32 : names[i][c]);
        struct wfl_auth_header  headers[] = {{wfl_slice_str(names[i]), WFL_S("1")},
                                             H("range2", ""),
                                             {wfl_slice_str(upper), WFL_S("1")}};
        struct wfl_auth_request r = {.path = WFL_S("/"), .headers = headers, .header_count = 3};
        struct text             t;

        if (write_to(&t, &r, 1u << 20) != WFL_DUPLICATE_HEADER) fail_msg("%s", names[i]);
        text_fini(&t);
        headers[2].name = WFL_S("other");
        assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
        text_fini(&t);
    }
}

/* A buffer that is too small, by whatever much, is an error: a text with a hole would be signed. */
static void no_room_is_never_a_shorter_text(void **state)
{
    const struct wfl_auth_header headers[] = {H("x-wfldb-a", "1"), H("content-type", "t")};
    struct wfl_auth_request      r = {.method = WFL_S("GET"),
                                      .path = WFL_S("/v1/bucket/a%20key/with parts/and-plain-ones"),
                                      .query = WFL_S("b=2&a=%20"),
                                      .authority = WFL_S("localhost:7410"),
                                      .headers = headers,
                                      .header_count = 2};
    struct text                  t;

    (void)state;
    assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
    size_t full = t.buf.len;
    text_fini(&t);
    for (size_t max = 0; max < full; max++) {
        if (write_to(&t, &r, max) != WFL_NOMEM) fail_msg("room for %zu of %zu bytes", max, full);
        text_fini(&t);
    }
    assert_code(write_to(&t, &r, full), WFL_OK);
    text_fini(&t);
}

static void limits_hold(void **state)
{
    static char             query[2000];
    struct wfl_auth_header *headers = calloc(1025, sizeof *headers);
    struct wfl_auth_request r = {.path = WFL_S("/"), .headers = headers, .header_count = 1025};
    struct text             t;

    (void)state;
    for (int i = 0; i < 1025; i++)
        headers[i].name = WFL_S("accept");
    assert_code(write_to(&t, &r, 1u << 20), WFL_HEADER_TOO_LARGE);
    text_fini(&t);
    r.header_count = 1024;
    assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
    text_fini(&t);
    memset(query, '&', 255); /* 256 pieces */
    r.query = wfl_slice_of(query, 255);
    assert_code(write_to(&t, &r, 1u << 20), WFL_OK);
    text_fini(&t);
    query[255] = '&';
    r.query = wfl_slice_of(query, 256);
    assert_code(write_to(&t, &r, 1u << 20), WFL_INVALID_QUERY);
    text_fini(&t);
    free(headers);
}

static void refused_memory_is_an_error(void **state)
{
    struct fixture              *f = *state;
    const struct wfl_auth_header headers[] = {H("x-wfldb-a", "1")};
    struct wfl_key_pair          key = key_of(1);
    struct wfl_signed_headers    out;
    struct wfl_auth_request      r = {.method = WFL_S("GET"),
                                      .path = WFL_S("/v1/b/k"),
                                      .query = WFL_S("b=2&a=1"),
                                      .headers = headers,
                                      .header_count = 1};
    struct text                  full;
    wfl_code                     rc;
    uint64_t                     k = 0;

    assert_code(write_to(&full, &r, 1u << 20), WFL_OK);
    do {
        wfl_arena arena;
        wfl_buf   buf;

        f->refuse = f->allocs + ++k;
        wfl_arena_init(&arena, &f->alloc, 1u << 20);
        wfl_buf_init(&buf, &f->alloc, 1u << 20);
        rc = wfl_canonical_write(&r, HEX, &arena, &buf, &f->err);
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
        if (rc == WFL_OK) assert_int_equal(buf.len, full.buf.len); /* no hole in it */
        wfl_buf_fini(&buf);
        wfl_arena_fini(&arena);
    } while (rc != WFL_OK);
    text_fini(&full);
    assert_in_range(k, 3, 20);
    for (size_t max = 0;; max += 16) { /* arenas that have no more room */
        wfl_arena arena;

        wfl_arena_init(&arena, &wfl_alloc_libc, max);
        rc = wfl_auth_sign(&key, HEX, &r, f->now_ns, &f->random, &arena, &out, &f->err);
        wfl_arena_fini(&arena);
        if (rc == WFL_OK) break;
        assert_code(rc, WFL_NOMEM);
    }
    wfl_key_pair_free(&key);
}

static void signing_refuses_what_a_server_would(void **state)
{
    struct fixture           *f = *state;
    struct wfl_key_pair       key = key_of(1);
    struct wfl_signed_headers out;
    struct wfl_auth_request   r = {.method = WFL_S("GET"), .path = WFL_S("/v1/b/a%2Fb")};
    wfl_arena                 arena;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    assert_code(wfl_auth_sign(&key, HEX, &r, f->now_ns, &f->random, &arena, &out, &f->err),
                WFL_INVALID_KEY);
    r.path = WFL_S("/v1/b/a");
    assert_code(wfl_auth_sign(&key, HEX, &r, f->now_ns + 7, &f->random, &arena, &out, &f->err),
                WFL_OK);
    assert_string_equal(out.timestamp, "2025-11-24T16:00:00.000000007Z");
    assert_int_equal(strlen(out.nonce), 32);
    assert_int_equal(strlen(out.signature), 86);
    wfl_arena_fini(&arena);
    wfl_key_pair_free(&key);
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(a_target_has_one_spelling),
        case_of(what_has_two_readings_is_refused),
        case_of(headers_are_those_that_count),
        case_of(a_counted_header_twice_is_refused_in_any_case),
        case_of(no_room_is_never_a_shorter_text),
        case_of(limits_hold),
        case_of(refused_memory_is_an_error),
        case_of(signing_refuses_what_a_server_would),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
