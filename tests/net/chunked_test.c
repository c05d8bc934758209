/* SPDX-License-Identifier: Apache-2.0
 *
 * The chunked coding: what decodes to what, what is refused, and that neither depends on where the
 * bytes were cut or on how much room there was. */
#include "net/net_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define EXT_MAX 16
#define OUT_CAP 256

struct result {
    bool   ok;   /* nothing was refused */
    bool   done; /* the body has ended */
    size_t out_len, used;
    char   out[OUT_CAP];
};

/* Feed `text` in pieces of `step` bytes, the first of `first`; take at most `room` bytes a call. */
static struct result decode(const char *text, size_t len, size_t first, size_t step, size_t room)
{
    struct result  r = {.ok = true};
    struct chunked c;
    size_t         at = 0;

    chunked_init(&c, EXT_MAX);
    while (r.ok && c.state != CHUNK_DONE && at < len) {
        size_t    n = r.used == 0 && at == 0 && first > 0 ? first : step, before;
        wfl_slice in = wfl_slice_of(text + at, n < len - at ? n : len - at);

        before = in.len;
        while (r.ok && in.len > 0 && c.state != CHUNK_DONE) {
            size_t left = sizeof r.out - r.out_len, out_len = 0, had = in.len;

            r.ok = chunked_decode(&c, &in, (uint8_t *)r.out + r.out_len, left < room ? left : room,
                                  &out_len);
            r.out_len += out_len;
            if (r.ok && out_len == 0 && in.len == had) fail_msg("no progress in \"%s\"", text);
        }
        at += before - in.len;
    }
    r.used = at;
    r.done = c.state == CHUNK_DONE;
    return r;
}

static const struct {
    const char *name, *text;
    bool        ok, done;
    const char *out;
    size_t      rest; /* bytes behind the end that belong to the next request */
} cases[] = {
    {"nothing", "0\r\n\r\n", true, true, "", 0},
    {"one chunk", "5\r\nhello\r\n0\r\n\r\n", true, true, "hello", 0},
    {"two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", true, true, "hello", 0},
    {"hex in both cases", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", true, true,
     "01234567890123456789", 0},
    {"leading zeros", "0000000000000001\r\na\r\n000\r\n\r\n", true, true, "a", 0},
    {"an extension", "1;a=b\r\nx\r\n0;c\r\n\r\n", true, true, "x", 0},
    {"a quoted extension", "1;a=\"b;\tc\"\r\nx\r\n0\r\n\r\n", true, true, "x", 0},
    {"an extension as long as may be", "1;0123456789abcdef\r\nx\r\n0\r\n\r\n", true, true, "x", 0},
    {"space before an extension", "1 \t;a\r\nx\r\n0 ;b\r\n\r\n", true, true, "x", 0},
    {"CRLF inside data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", true, true, "\r\n\r\n", 0},
    {"trailers", "1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n", true, true, "x", 0},
    {"a next request", "1\r\nx\r\n0\r\n\r\nGET /", true, true, "x", 5},
    {"not ended", "5\r\nhel", true, false, "hel", 0},
    {"not ended behind the last chunk", "0\r\n", true, false, "", 0},
    {"the largest size", "7fffffffffffffff\r\na", true, false, "a", 0},

    {"a size of 64 bits", "8000000000000000\r\n", false, false, "", 0},
    {"a size of 2^64 - 1", "ffffffffffffffff\r\n", false, false, "", 0},
    {"17 digits", "00000000000000001\r\n", false, false, "", 0},
    {"no size", "\r\n", false, false, "", 0},
    {"an extension and no size", ";a\r\n", false, false, "", 0},
    {"space before the size", " 1\r\n", false, false, "", 0},
    {"space behind the size", "1 \r\nx\r\n", false, false, "", 0},
    {"two sizes", "1 1\r\nx\r\n", false, false, "", 0},
    {"no hex", "g\r\n", false, false, "", 0},
    {"a sign", "+1\r\n", false, false, "", 0},
    {"0x", "0x1\r\n", false, false, "", 0},
    {"LF behind a size", "1\nx\r\n0\r\n\r\n", false, false, "", 0},
    {"CR and no LF behind a size", "1\rx", false, false, "", 0},
    {"LF behind data", "1\r\nx\n", false, false, "x", 0},
    {"CR and no LF behind data", "1\r\nx\rx", false, false, "x", 0},
    {"more data than said", "1\r\nxy\r\n", false, false, "x", 0},
    {"an extension too long", "1;0123456789abcdefg\r\nx\r\n", false, false, "", 0},
    {"space without end", "1                                 ;a\r\n", false, false, "", 0},
    {"LF in an extension", "1;a\nb\r\n", false, false, "", 0},
    {"DEL in an extension", "1;a\x7f\r\n", false, false, "", 0},
    {"LF ends the trailers", "0\r\n\n", false, false, "", 0},
    {"LF ends a trailer", "0\r\nA: b\n\r\n", false, false, "", 0},
    {"a trailer without a name", "0\r\n: b\r\n\r\n", false, false, "", 0},
    {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", false, false, "", 0},
    {"a control in a trailer", "0\r\nA: \x01\r\n\r\n", false, false, "", 0},
    {"CR and no LF at the end", "0\r\n\rx", false, false, "", 0},
};

static void check(size_t i, size_t first, size_t step, size_t room)
{
    size_t        len = strlen(cases[i].text);
    struct result r = decode(cases[i].text, len, first, step, room);

    if (r.ok != cases[i].ok || r.done != cases[i].done || r.out_len != strlen(cases[i].out) ||
        memcmp(r.out, cases[i].out, r.out_len) != 0 || (r.ok && len - r.used != cases[i].rest)) {
        fail_msg("%s: first %zu, step %zu, room %zu: ok %d, done %d, \"%.*s\", used %zu of %zu",
                 cases[i].name, first, step, room, r.ok, r.done, (int)r.out_len, r.out, r.used,
                 len);
    }
}

static void bodies_are_decoded_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++)
        check(i, 0, SIZE_MAX, OUT_CAP);
}

static void no_cut_changes_what_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        for (size_t first = 1; first < strlen(cases[i].text); first++) /* in two pieces */
            check(i, first, SIZE_MAX, OUT_CAP);
        for (size_t step = 1; step < 8; step++) /* and in many, also with little room */
            for (size_t room = 1; room < 8; room++)
                check(i, 0, step, room);
    }
}

static void without_a_place_bytes_are_counted_and_dropped(void **state)
{
    struct chunked c;
    wfl_slice      in = WFL_S("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    size_t         n = 0;

    (void)state;
    chunked_init(&c, EXT_MAX);
    assert_true(chunked_decode(&c, &in, NULL, SIZE_MAX, &n));
    assert_int_equal(n, 11);
    assert_int_equal(c.state, CHUNK_DONE);
    assert_int_equal(in.len, 0);
}

static void a_full_place_stops_the_data_and_not_the_framing(void **state)
{
    struct chunked c;
    wfl_slice      in = WFL_S("5\r\nhello\r\n0\r\n\r\n");
    uint8_t        out[5];
    size_t         n = 0;

    (void)state;
    chunked_init(&c, EXT_MAX);
    assert_true(chunked_decode(&c, &in, out, 3, &n));
    assert_int_equal(n, 3);
    assert_int_equal(in.len, 9); /* "lo" and what follows */
    assert_true(chunked_decode(&c, &in, out + 3, 2, &n));
    assert_int_equal(n, 2);
    assert_int_equal(c.state, CHUNK_DONE); /* no room is needed to see the end */
    assert_memory_equal(out, "hello", 5);
}

static void trailers_are_bounded(void **state)
{
    struct chunked c;
    wfl_slice      in = WFL_S("0\r\n");
    size_t         n = 0, lines = 0;

    (void)state;
    chunked_init(&c, EXT_MAX);
    assert_true(chunked_decode(&c, &in, NULL, SIZE_MAX, &n));
    do {
        in = WFL_S("Name: value\r\n");
    } while (chunked_decode(&c, &in, NULL, SIZE_MAX, &n) && ++lines < 10000);
    assert_in_range(lines, 100, 1000);
}

static void extensions_are_bounded_in_each_chunk_by_itself(void **state)
{
    struct chunked c;
    size_t         n = 0;

    (void)state;
    chunked_init(&c, EXT_MAX);
    for (int i = 0; i < 100; i++) {
        wfl_slice in = WFL_S("1;0123456789\r\nx\r\n");

        assert_true(chunked_decode(&c, &in, NULL, SIZE_MAX, &n));
        assert_int_equal(n, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_decoded_or_refused),
        cmocka_unit_test(no_cut_changes_what_is_read),
        cmocka_unit_test(without_a_place_bytes_are_counted_and_dropped),
        cmocka_unit_test(a_full_place_stops_the_data_and_not_the_framing),
        cmocka_unit_test(trailers_are_bounded),
        cmocka_unit_test(extensions_are_bounded_in_each_chunk_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
