/* SPDX-License-Identifier: Apache-2.0
 *
 * The patience of an HTTP/2 connection: which frames wear it out, what gives it back, and that it
 * does not depend on where the bytes were cut. */
#include "net/net_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND 1000000000LL

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static size_t write_frame(uint8_t *out, uint8_t type, uint8_t flags, size_t len)
{
    const uint8_t head[HTTP2_FRAME_HEAD] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 1};

    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 0xA5, len);
    return sizeof head + len;
}

static void start(struct http2_calm *calm)
{
    http2_calm_start(calm, 0);
    http2_calm_input(calm, wfl_slice_of(preface, sizeof preface - 1));
}

/* How many of the frame are taken before it is over; `most` where it is not. */
static unsigned taken(uint8_t type, uint8_t flags, size_t len, size_t content, unsigned most)
{
    static uint8_t    bytes[HTTP2_FRAME_HEAD + (1u << 16)];
    struct http2_calm calm;
    size_t            n = write_frame(bytes, type, flags, len);

    start(&calm);
    for (unsigned i = 0; i < most; i++) {
        http2_calm_input(&calm, wfl_slice_of(bytes, n));
        http2_calm_data(&calm, content);
        if (http2_calm_is_over(&calm, 0)) return i;
    }
    return most;
}

static void frames_cost_what_they_bring_nothing_for(void **state)
{
    static const struct {
        const char *name;
        uint8_t     type, flags;
        size_t      len, content;
        unsigned    taken; /* 100000: without end */
    } cases[] = {
        {"a ping", NGHTTP2_PING, 0, 8, 0, 10000},
        {"its acknowledgement", NGHTTP2_PING, NGHTTP2_FLAG_ACK, 8, 0, 10000},
        {"settings", NGHTTP2_SETTINGS, 0, 6, 0, 476},
        {"settings' acknowledgement", NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, 0, 10000},
        {"a window", NGHTTP2_WINDOW_UPDATE, 0, 4, 0, 10000},
        {"a priority", NGHTTP2_PRIORITY, 0, 5, 0, 10000},
        {"a reset", NGHTTP2_RST_STREAM, 0, 4, 0, 500},
        {"an unknown kind", 0xBB, 0xFF, 70, 0, 10000},
        {"empty data", NGHTTP2_DATA, 0, 0, 0, 10000},
        {"padding", NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 200, 0, 10000},
        {"the end of data", NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 0, 0, 100000},
        {"data of one byte", NGHTTP2_DATA, 0, 1, 1, 100000},
        {"much data", NGHTTP2_DATA, 0, 16384, 16384, 100000},
        {"a head", NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 40, 0, 100000},
        {"a head's rest", NGHTTP2_CONTINUATION, 0, 40, 0, 100000},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        unsigned n = taken(cases[i].type, cases[i].flags, cases[i].len, cases[i].content, 100000);

        if (n != cases[i].taken) fail_msg("%s: %u, not %u", cases[i].name, n, cases[i].taken);
    }
}

static void wear_out(struct http2_calm *calm)
{
    start(calm);
    for (int i = 0; i < 500; i++)
        http2_calm_broken_stream(calm);
    assert_false(http2_calm_is_over(calm, 0));
    http2_calm_broken_stream(calm);
}

static void what_is_useful_gives_patience_back(void **state)
{
    struct http2_calm calm;

    (void)state;
    wear_out(&calm);
    assert_true(http2_calm_is_over(&calm, 0));
    wear_out(&calm);
    assert_false(http2_calm_is_over(&calm, SECOND)); /* time */
    wear_out(&calm);
    http2_calm_sent(&calm, 19 * 1024);
    assert_true(http2_calm_is_over(&calm, 0));
    http2_calm_sent(&calm, 1024); /* content of answers */
    assert_false(http2_calm_is_over(&calm, 0));
    wear_out(&calm);
    for (int i = 0; i < 3; i++)
        http2_calm_answered(&calm);
    assert_false(http2_calm_is_over(&calm, 0));
}

static void patience_does_not_grow_beyond_its_bound(void **state)
{
    struct http2_calm calm;

    (void)state;
    start(&calm);
    http2_calm_sent(&calm, (size_t)1 << 40);
    assert_false(http2_calm_is_over(&calm, 3600 * SECOND));
    for (int i = 0; i < 501; i++)
        http2_calm_broken_stream(&calm);
    assert_true(http2_calm_is_over(&calm, 3600 * SECOND));
}

static void a_clock_that_stands_or_steps_back_gives_nothing(void **state)
{
    struct http2_calm calm;

    (void)state;
    wear_out(&calm);
    assert_true(http2_calm_is_over(&calm, -SECOND));
}

static void no_cut_changes_the_count(void **state)
{
    static uint8_t    bytes[4096];
    struct http2_calm whole, cut;
    size_t            n = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        n += write_frame(bytes + n, (uint8_t)(i % 12), (uint8_t)(i * 7), i % 13);
    start(&whole);
    http2_calm_input(&whole, wfl_slice_of(bytes, n));
    for (size_t step = 1; step < 40; step++) {
        http2_calm_start(&cut, 0);
        for (size_t at = 0; at < sizeof preface - 1; at += 5)
            http2_calm_input(&cut, wfl_slice_of(preface + at, at + 5 < sizeof preface - 1
                                                                  ? 5
                                                                  : sizeof preface - 1 - at));
        for (size_t at = 0; at < n; at += step)
            http2_calm_input(&cut, wfl_slice_of(bytes + at, step < n - at ? step : n - at));
        assert_int_equal(cut.patience, whole.patience);
        assert_int_equal(cut.payload_left, whole.payload_left);
        assert_int_equal(cut.head_len, whole.head_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_cost_what_they_bring_nothing_for),
        cmocka_unit_test(what_is_useful_gives_patience_back),
        cmocka_unit_test(patience_does_not_grow_beyond_its_bound),
        cmocka_unit_test(a_clock_that_stands_or_steps_back_gives_nothing),
        cmocka_unit_test(no_cut_changes_the_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
