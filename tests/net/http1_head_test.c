/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 heads, from bytes to a request or a refusal, and that it does not matter where the bytes
 * were cut. */
#include "net/net_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD_MAX 1024

static const struct http1_limits limits = {
    .header_bytes_max = 512, .target_bytes_max = 64, .header_count_max = 8};

struct parsed {
    wfl_code           rc;
    size_t             head_len; /* 0: refused before its end, or not complete */
    wfl_arena          arena;
    struct wfl_request request;
    struct http1_head  framing;
    wfl_error          err;
};

static void parse(const char *text, size_t len, const struct http1_limits *l, struct parsed *p)
{
    size_t    scanned = 0;
    wfl_slice head;

    memset(p, 0, sizeof *p);
    wfl_arena_init(&p->arena, &wfl_alloc_libc, 64u << 10);
    p->rc = http1_find_head(wfl_slice_of(text, len), &scanned, l, &p->head_len, &p->err);
    if (p->rc != WFL_OK || p->head_len == 0) return;
    assert_true(wfl_arena_copy(&p->arena, wfl_slice_of(text, p->head_len), &head));
    p->rc = http1_parse_head((uint8_t *)(uintptr_t)head.data, head.len, l, &p->arena, &p->request,
                             &p->framing, &p->err);
}

static void release(struct parsed *p)
{
    wfl_arena_fini(&p->arena);
}

static bool is(wfl_slice s, const char *text)
{
    return wfl_slice_eq(s, wfl_slice_str(text));
}

/* ---- what is served */

#define H "Host: example.test\r\n"

static const struct {
    const char *text, *method, *target, *path, *query, *authority;
    bool        has_body, length_known, chunked, keep_alive, http10, expects;
    uint64_t    length;
    uint32_t    headers;
} good[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", "GET", "/", "/", "", "example.test", false, true, false, true,
     false, false, 0, 1},
    {"GET /a/b?c=d?e HTTP/1.1\r\n" H "\r\n", "GET", "/a/b?c=d?e", "/a/b", "c=d?e", "example.test",
     false, true, false, true, false, false, 0, 1},
    {"GET /? HTTP/1.1\r\n" H "\r\n", "GET", "/?", "/", "", "example.test", false, true, false, true,
     false, false, 0, 1},
    {"GET http://example.test/a HTTP/1.1\r\n" H "\r\n", "GET", "/a", "/a", "", "example.test",
     false, true, false, true, false, false, 0, 1},
    {"GET HTTP://EXAMPLE.test/ HTTP/1.1\r\n" H "\r\n", "GET", "/", "/", "", "example.test", false,
     true, false, true, false, false, 0, 1},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS", "*", "*", "", "example.test", false, true, false,
     true, false, false, 0, 1},
    {"GET / HTTP/1.1\r\nhOsT:\t example.test:80 \t\r\n\r\n", "GET", "/", "/", "", "example.test:80",
     false, true, false, true, false, false, 0, 1},
    {"GET / HTTP/1.1\r\nHost: [::1]:7410\r\n\r\n", "GET", "/", "/", "", "[::1]:7410", false, true,
     false, true, false, false, 0, 1},
    {"PUT /k HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", "PUT", "/k", "/k", "", "example.test",
     true, true, false, true, false, false, 5, 2},
    {"PUT /k HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "PUT", "/k", "/k", "", "example.test",
     false, true, false, true, false, false, 0, 2},
    {"PUT /k HTTP/1.1\r\n" H "Content-Length: 9223372036854775807\r\n\r\n", "PUT", "/k", "/k", "",
     "example.test", true, true, false, true, false, false, INT64_MAX, 2},
    {"PUT /k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "PUT", "/k", "/k", "",
     "example.test", true, false, true, true, false, false, 0, 2},
    {"PUT /k HTTP/1.1\r\n" H "Transfer-Encoding:CHUNKED \r\n\r\n", "PUT", "/k", "/k", "",
     "example.test", true, false, true, true, false, false, 0, 2},
    {"PUT /k HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", "PUT", "/k", "/k",
     "", "example.test", true, true, false, true, false, true, 5, 3},
    {"GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", "GET", "/", "/", "", "example.test",
     false, true, false, true, false, false, 0, 2}, /* without a body there is nothing to expect */
    {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "GET", "/", "/", "", "example.test", false,
     true, false, false, false, false, 0, 2},
    {"GET / HTTP/1.1\r\n" H "Connection: a, CLOSE ,b\r\n\r\n", "GET", "/", "/", "", "example.test",
     false, true, false, false, false, false, 0, 2},
    {"GET / HTTP/1.1\r\n" H "Connection: keep-alive\r\nConnection: close\r\n\r\n", "GET", "/", "/",
     "", "example.test", false, true, false, false, false, false, 0, 3},
    {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "/", "", "", false, true, false, false, true, false, 0,
     0},
    {"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", "GET", "/", "/", "", "example.test",
     false, true, false, true, true, false, 0, 2},
    {"GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", "GET", "/", "/", "",
     "example.test", false, true, false, true, false, false, 0, 3}, /* politely ignored */
    {"GET / HTTP/1.1\r\n" H "A:\r\nB: \xC3\xA4\r\nC: d\te\r\n\r\n", "GET", "/", "/", "",
     "example.test", false, true, false, true, false, false, 0, 4},
};

static void heads_become_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(good); i++) {
        struct parsed p;

        parse(good[i].text, strlen(good[i].text), &limits, &p);
        if (p.rc != WFL_OK) fail_msg("%s: %s", good[i].text, p.err.message);
        if (p.head_len != strlen(good[i].text) || !is(p.request.method, good[i].method) ||
            !is(p.request.target, good[i].target) || !is(p.request.path, good[i].path) ||
            !is(p.request.query, good[i].query) || !is(p.request.authority, good[i].authority) ||
            p.request.has_body != good[i].has_body || p.request.http_major != 1 ||
            p.request.length_known != good[i].length_known || p.request.length != good[i].length ||
            p.framing.chunked != good[i].chunked || p.framing.keep_alive != good[i].keep_alive ||
            p.framing.http10 != good[i].http10 || p.request.expects_continue != good[i].expects ||
            p.request.header_count != good[i].headers) {
            fail_msg("%s is read as something else", good[i].text);
        }
        release(&p);
    }
}

static void names_become_lower_case_and_values_lose_their_space(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHOST: a\r\nX-MiXeD:  b c\t\r\nx-empty: \r\n\r\n";
    struct parsed     p;

    (void)state;
    parse(text, sizeof text - 1, &limits, &p);
    assert_int_equal(p.rc, WFL_OK);
    assert_int_equal(p.request.header_count, 3);
    assert_true(is(p.request.headers[0].name, "host") && is(p.request.headers[0].value, "a"));
    assert_true(is(p.request.headers[1].name, "x-mixed") && is(p.request.headers[1].value, "b c"));
    assert_true(is(p.request.headers[2].name, "x-empty") && is(p.request.headers[2].value, ""));
    assert_non_null(wfl_request_header(&p.request, WFL_S("x-mixed")));
    assert_null(wfl_request_header(&p.request, WFL_S("X-Mixed")));
    release(&p);
}

/* ---- what is refused */

static const struct {
    const char *text;
    wfl_code    rc;
} bad[] = {
    {"GET / HTTP/1.1\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A: b\r\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A: \x7F\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n A: b\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "A(: b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H "\xC3\xA4: b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\n" H H "\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET  / HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.1 \r\n" H "\r\n", WFL_INVALID_REQUEST},
    {" GET / HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET /\xC3\xA4 HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET /#a HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET a HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET * HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET http://other.test/ HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET http://example.test HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET http://example.test?a HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET https://example.test/ HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET http:/// HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"CONNECT example.test:80 HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET /\r\n\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/1.2\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET / HTTP/2.0\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"GET / http/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"G(T / HTTP/1.1\r\n" H "\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 1,1\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 00000000000000000001\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;a\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", WFL_INVALID_REQUEST},
    {"PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: tea\r\n\r\n", WFL_INVALID_HEADER},
};

static void what_two_servers_could_read_differently_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(bad); i++) {
        struct parsed p;

        parse(bad[i].text, strlen(bad[i].text), &limits, &p);
        if (p.rc != bad[i].rc) fail_msg("%s: %d %s", bad[i].text, p.rc, p.err.message);
        release(&p);
    }
}

static void every_byte_that_is_none_of_a_head_is_refused_wherever_it_stands(void **state)
{
    static const char text[] = "GET /abc HTTP/1.1\r\nHost: a\r\nName: value\r\n\r\n";

    (void)state;
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (int b = 0; b < 0x20; b++) {
            char          copy[sizeof text];
            struct parsed p;

            if (b == '\t' || text[at] == b) continue;
            memcpy(copy, text, sizeof text);
            copy[at] = (char)b;
            parse(copy, sizeof text - 1, &limits, &p);
            /* A CR or LF in the last four bytes may only make it longer. */
            if (p.rc == WFL_OK && p.head_len > 0)
                fail_msg("byte 0x%02x at %zu makes a request", b, at);
            release(&p);
        }
    }
}

/* ---- cuts */

static void no_cut_changes_what_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(good); i++) {
        size_t len = strlen(good[i].text), scanned = 0, head_len = 0;

        for (size_t at = 1; at <= len; at++) { /* byte by byte, with what was scanned kept */
            wfl_error err;

            assert_int_equal(
                http1_find_head(wfl_slice_of(good[i].text, at), &scanned, &limits, &head_len, &err),
                WFL_OK);
            if ((head_len > 0) != (at == len)) fail_msg("%s: found at %zu", good[i].text, at);
        }
        assert_int_equal(head_len, len);
        for (size_t at = 1; at < len; at++) { /* in two pieces */
            wfl_error err;

            scanned = 0;
            assert_int_equal(
                http1_find_head(wfl_slice_of(good[i].text, at), &scanned, &limits, &head_len, &err),
                WFL_OK);
            assert_int_equal(head_len, 0);
            assert_int_equal(http1_find_head(wfl_slice_of(good[i].text, len), &scanned, &limits,
                                             &head_len, &err),
                             WFL_OK);
            assert_int_equal(head_len, len);
        }
    }
}

static void no_cut_lets_a_broken_head_through(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(bad); i++) {
        size_t    len = strlen(bad[i].text), scanned = 0, head_len = 0, at = 0;
        wfl_error err;
        wfl_code  rc = WFL_OK;

        while (rc == WFL_OK && head_len == 0 && at < len) {
            rc = http1_find_head(wfl_slice_of(bad[i].text, ++at), &scanned, &limits, &head_len,
                                 &err);
        }
        if (rc == WFL_OK) {
            struct parsed p;

            parse(bad[i].text, at, &limits, &p);
            rc = p.rc;
            release(&p);
        }
        if (rc != bad[i].rc) fail_msg("%s, byte by byte: %d", bad[i].text, rc);
    }
}

static void what_follows_a_head_is_not_looked_at(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\0\1\n\r\n\r\n";
    struct parsed     p;

    (void)state;
    parse(text, sizeof text - 1, &limits, &p);
    assert_int_equal(p.rc, WFL_OK);
    assert_int_equal(p.head_len, 27);
    release(&p);
}

/* ---- limits */

/* "GET / HTTP/1.1", Host, and one header that fills it up to `len` bytes. */
static size_t head_of_length(char out[HEAD_MAX], size_t len)
{
    int n = snprintf(out, HEAD_MAX, "GET / HTTP/1.1\r\nHost: a\r\nFill: ");

    assert_true(n > 0 && (size_t)n + 4 <= len && len < HEAD_MAX);
    memset(out + n, 'x', len - (size_t)n - 4);
    memcpy(out + len - 4, "\r\n\r\n", 4);
    return len;
}

static void the_header_block_may_be_as_large_as_its_limit(void **state)
{
    static const struct {
        size_t   len;
        wfl_code rc;
    } cases[] = {{511, WFL_OK}, {512, WFL_OK}, {513, WFL_HEADER_TOO_LARGE}};
    char text[HEAD_MAX];

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct parsed p;
        size_t        len = head_of_length(text, cases[i].len), scanned = 0, head_len = 0;
        wfl_error     err;
        wfl_code      rc = WFL_OK;

        parse(text, len, &limits, &p);
        assert_int_equal(p.rc, cases[i].rc);
        release(&p);
        for (size_t at = 1; at <= len && rc == WFL_OK; at++) /* the same, byte by byte */
            rc = http1_find_head(wfl_slice_of(text, at), &scanned, &limits, &head_len, &err);
        assert_int_equal(rc, cases[i].rc);
    }
}

static void a_head_without_end_is_refused_at_the_limit(void **state)
{
    char      text[HEAD_MAX];
    size_t    len = head_of_length(text, 600), scanned = 0, head_len = 0, at = 0;
    wfl_error err;
    wfl_code  rc = WFL_OK;

    (void)state;
    while (rc == WFL_OK && at < len - 4)
        rc = http1_find_head(wfl_slice_of(text, ++at), &scanned, &limits, &head_len, &err);
    assert_int_equal(rc, WFL_HEADER_TOO_LARGE);
    assert_int_equal(at, limits.header_bytes_max);
}

static void headers_and_targets_are_counted(void **state)
{
    static const struct {
        unsigned headers, target; /* headers besides Host; bytes of the target */
        wfl_code rc;
    } cases[] = {
        {7, 1, WFL_OK},  {8, 1, WFL_HEADER_TOO_LARGE},  {20, 1, WFL_HEADER_TOO_LARGE},
        {0, 64, WFL_OK}, {0, 65, WFL_HEADER_TOO_LARGE},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        char          text[HEAD_MAX] = "GET /", *at = text + 5;
        struct parsed p;

        for (unsigned n = 1; n < cases[i].target; n++)
            *at++ = 'a';
        at += sprintf(at, " HTTP/1.1\r\nHost: a\r\n");
        for (unsigned n = 0; n < cases[i].headers; n++)
            at += sprintf(at, "A%u: b\r\n", n);
        at += sprintf(at, "\r\n");
        parse(text, (size_t)(at - text), &limits, &p);
        if (p.rc != cases[i].rc) fail_msg("case %zu: %d", i, p.rc);
        release(&p);
    }
}

static void without_memory_a_head_is_refused_and_not_half_read(void **state)
{
    char               head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    wfl_arena          arena;
    struct wfl_request r = {0};
    struct http1_head  framing = {0};
    wfl_error          err;

    (void)state;
    wfl_arena_init(&arena, &wfl_alloc_libc, 0);
    assert_int_equal(
        http1_parse_head((uint8_t *)head, sizeof head - 1, &limits, &arena, &r, &framing, &err),
        WFL_NOMEM);
    wfl_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_become_requests),
        cmocka_unit_test(names_become_lower_case_and_values_lose_their_space),
        cmocka_unit_test(what_two_servers_could_read_differently_is_refused),
        cmocka_unit_test(every_byte_that_is_none_of_a_head_is_refused_wherever_it_stands),
        cmocka_unit_test(no_cut_changes_what_is_found),
        cmocka_unit_test(no_cut_lets_a_broken_head_through),
        cmocka_unit_test(what_follows_a_head_is_not_looked_at),
        cmocka_unit_test(the_header_block_may_be_as_large_as_its_limit),
        cmocka_unit_test(a_head_without_end_is_refused_at_the_limit),
        cmocka_unit_test(headers_and_targets_are_counted),
        cmocka_unit_test(without_memory_a_head_is_refused_and_not_half_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
