/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory: limits hold to the byte, products and sums do not wrap, and whichever allocation is
 * refused, nothing leaks and what was there stays. */
#include "test.h"

#include <stdalign.h>

static void products_that_wrap_are_refused(void **state)
{
    struct counted c;
    wfl_arena      arena;
    uint8_t       *p;

    (void)state;
    counted_init(&c, 0);
    wfl_arena_init(&arena, &c.alloc, SIZE_MAX);
    assert_null(wfl_alloc_zero(&c.alloc, SIZE_MAX / 8 + 1, 8));
    assert_null(wfl_alloc_zero(&c.alloc, SIZE_MAX, SIZE_MAX));
    assert_null(wfl_arena_zero(&arena, SIZE_MAX / 8 + 1, 8));
    assert_null(wfl_arena_get(&arena, SIZE_MAX));
    assert_null(wfl_arena_get(&arena, SIZE_MAX - 16)); /* a block's head would wrap it */
    assert_null(wfl_arena_cstr(&arena, wfl_slice_of("", SIZE_MAX)));
    assert_int_equal(c.calls, 0);
    p = wfl_alloc_zero(&c.alloc, 3, 7);
    for (int i = 0; i < 21; i++)
        assert_int_equal(p[i], 0);
    wfl_alloc_free(&c.alloc, p);
    wfl_alloc_free(&c.alloc, NULL);
    wfl_arena_fini(&arena);
    assert_int_equal(c.live, 0);
}

static void asking_for_nothing_gives_something(void **state)
{
    void *p = wfl_alloc_get(&wfl_alloc_libc, 0), *q;

    (void)state;
    assert_non_null(p);
    q = wfl_alloc_resize(&wfl_alloc_libc, p, 0);
    assert_non_null(q);
    wfl_alloc_free(&wfl_alloc_libc, q);
}

/* ---- buffers */

static void a_buffer_takes_its_maximum_and_not_a_byte_more(void **state)
{
    static const size_t maxima[] = {0, 1, 2, 255, 256, 257, 511, 512, 513, 1000, 5000};

    (void)state;
    for (size_t m = 0; m < WFL_COUNT(maxima); m++) {
        wfl_buf b;

        wfl_buf_init(&b, &wfl_alloc_libc, maxima[m]);
        for (size_t i = 0; i < maxima[m]; i++)
            wfl_buf_add_u8(&b, (uint8_t)i);
        assert_true(wfl_buf_ok(&b));
        assert_int_equal(b.len, maxima[m]);
        assert_true(b.cap <= maxima[m]);
        wfl_buf_add_u8(&b, 1);
        assert_false(wfl_buf_ok(&b));
        assert_int_equal(b.len, maxima[m]);
        for (size_t i = 0; i < maxima[m]; i++)
            assert_int_equal(b.data[i], (uint8_t)i);
        wfl_buf_fini(&b);
        assert_true(wfl_buf_ok(&b)); /* as new */
        wfl_buf_fini(&b);
    }
}

static void a_failed_buffer_stays_failed(void **state)
{
    wfl_buf b;

    (void)state;
    wfl_buf_init(&b, &wfl_alloc_libc, 10);
    wfl_buf_add_str(&b, "12345678901");
    assert_false(wfl_buf_ok(&b));
    assert_int_equal(b.len, 0);
    wfl_buf_add_u8(&b, 'x'); /* would have room, but something before it is missing */
    wfl_buf_add_str(&b, "y");
    wfl_buf_printf(&b, "%d", 1);
    assert_null(wfl_buf_reserve(&b, 1));
    assert_int_equal(b.len, 0);
    assert_false(wfl_buf_ok(&b));
    wfl_buf_fini(&b);
}

static void sizes_that_wrap_fail_a_buffer(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, 101};

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        wfl_buf b;

        wfl_buf_init(&b, &wfl_alloc_libc, 100);
        wfl_buf_add_u8(&b, 'a');
        assert_null(wfl_buf_reserve(&b, sizes[i]));
        assert_false(wfl_buf_ok(&b));
        assert_int_equal(b.len, 1);
        wfl_buf_fini(&b);
    }
}

static void empty_appends_change_nothing(void **state)
{
    wfl_buf b = {0};

    (void)state;
    wfl_buf_fini(&b); /* the zero value */
    wfl_buf_init(&b, &wfl_alloc_libc, 0);
    wfl_buf_add(&b, (wfl_slice){0});
    wfl_buf_add_str(&b, "");
    wfl_buf_add_str(&b, NULL);
    assert_true(wfl_buf_ok(&b));
    assert_int_equal(wfl_buf_slice(&b).len, 0);
    assert_non_null(wfl_buf_reserve(&b, 0));
    wfl_buf_fini(&b);
}

/* Around the size from which printf writes into the buffer itself. */
static void printed_text_is_whole_at_every_length(void **state)
{
    (void)state;
    for (int len = 500; len < 530; len++) {
        wfl_buf b;

        wfl_buf_init(&b, &wfl_alloc_libc, 1000);
        wfl_buf_add_str(&b, "<");
        wfl_buf_printf(&b, "%*d", len, 7);
        wfl_buf_add_str(&b, ">");
        assert_true(wfl_buf_ok(&b));
        assert_int_equal(b.len, len + 2);
        assert_int_equal(b.data[len], '7');
        assert_int_equal(b.data[len + 1], '>');
        wfl_buf_fini(&b);
        wfl_buf_init(&b, &wfl_alloc_libc, (size_t)len - 1);
        wfl_buf_printf(&b, "%*d", len, 7);
        assert_false(wfl_buf_ok(&b));
        assert_int_equal(b.len, 0);
        wfl_buf_fini(&b);
        wfl_buf_init(&b, &wfl_alloc_libc, (size_t)len + (len >= 512)); /* a NUL's place */
        wfl_buf_printf(&b, "%*d", len, 7);
        assert_true(wfl_buf_ok(&b));
        assert_int_equal(b.len, len);
        wfl_buf_fini(&b);
    }
}

static void what_is_appended_is_there_in_order(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 300; round++) {
        uint8_t all[4096], piece[300];
        size_t  len = 0, max = prng_below(&rng, sizeof all);
        wfl_buf b;

        wfl_buf_init(&b, &wfl_alloc_libc, max);
        for (;;) {
            wfl_slice bytes = prng_bytes(&rng, piece, sizeof piece);

            wfl_buf_add(&b, bytes);
            if (bytes.len > max - len) break;
            memcpy(all + len, piece, bytes.len);
            len += bytes.len;
            assert_true(wfl_buf_ok(&b));
        }
        assert_false(wfl_buf_ok(&b));
        assert_true(wfl_slice_eq(wfl_buf_slice(&b), wfl_slice_of(all, len)));
        wfl_buf_fini(&b);
    }
}

/* Refuse allocation k for every k: what was in the buffer stays, nothing leaks. */
static void a_refused_allocation_fails_the_buffer_alone(void **state)
{
    bool done = false;

    (void)state;
    for (unsigned k = 1; !done; k++) {
        struct counted c;
        wfl_buf        b;

        counted_init(&c, k);
        wfl_buf_init(&b, &c.alloc, 1u << 20);
        for (int i = 0; i < 10000 && wfl_buf_ok(&b); i++)
            wfl_buf_printf(&b, "%05d", i);
        done = wfl_buf_ok(&b);
        assert_int_equal(b.len % 5, 0);
        if (done) assert_int_equal(b.len, 50000);
        for (size_t i = 0; i < b.len / 5; i++) {
            char expected[8];

            snprintf(expected, sizeof expected, "%05zu", i);
            assert_memory_equal(b.data + 5 * i, expected, 5);
        }
        wfl_buf_fini(&b);
        assert_int_equal(c.live, 0);
    }
}

/* ---- arenas */

static void what_an_arena_gives_is_aligned_apart_and_zero_where_asked(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 100; round++) {
        uint8_t  *got[64];
        size_t    len[64];
        wfl_arena a;

        wfl_arena_init(&a, &wfl_alloc_libc, 4u << 20);
        for (size_t i = 0; i < WFL_COUNT(got); i++) {
            len[i] = prng_below(&rng, i % 8 == 0 ? 20000 : 200);
            got[i] = i % 2 == 0 ? wfl_arena_get(&a, len[i]) : wfl_arena_zero(&a, len[i], 1);
            assert_non_null(got[i]);
            assert_int_equal((uintptr_t)got[i] % alignof(max_align_t), 0);
            for (size_t n = 0; i % 2 == 1 && n < len[i]; n++)
                assert_int_equal(got[i][n], 0);
            if (len[i] > 0) memset(got[i], (int)i, len[i]);
        }
        for (size_t i = 0; i < WFL_COUNT(got); i++) {
            for (size_t n = 0; n < len[i]; n++)
                assert_int_equal(got[i][n], i);
        }
        wfl_arena_fini(&a);
    }
}

static void an_arena_never_takes_more_than_its_maximum(void **state)
{
    struct prng rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 500; round++) {
        size_t         max = prng_below(&rng, 40000);
        struct counted c;
        wfl_arena      a;

        counted_init(&c, 0);
        wfl_arena_init(&a, &c.alloc, max);
        for (int i = 0; i < 50; i++) {
            void *p = wfl_arena_get(&a, prng_below(&rng, 10000));

            assert_true(a.used <= max);
            if (p == NULL) assert_true(a.left < 10000 && max - a.used < 10000);
        }
        wfl_arena_fini(&a);
        assert_int_equal(a.used, 0);
        assert_int_equal(c.live, 0);
    }
}

static void small_wishes_are_met_to_the_end_of_the_maximum(void **state)
{
    const size_t step = alignof(max_align_t);
    wfl_arena    a;
    size_t       got = 0;

    (void)state;
    wfl_arena_init(&a, &wfl_alloc_libc, 100 * step);
    while (wfl_arena_get(&a, 1) != NULL)
        got++;
    assert_int_equal(got, 100);
    assert_null(wfl_arena_get(&a, 0));
    wfl_arena_fini(&a);
}

static void a_reset_arena_starts_over_and_keeps_little(void **state)
{
    struct counted c;
    wfl_arena      a;

    (void)state;
    counted_init(&c, 0);
    wfl_arena_init(&a, &c.alloc, 1u << 20);
    wfl_arena_reset(&a); /* nothing yet */
    for (int i = 0; i < 20; i++)
        assert_non_null(wfl_arena_get(&a, 5000));
    wfl_arena_reset(&a);
    assert_int_equal(c.live, 1);
    unsigned calls = c.calls;
    assert_non_null(wfl_arena_get(&a, 5000));
    assert_int_equal(c.calls, calls); /* from the block that was kept */
    assert_non_null(wfl_arena_get(&a, 900000));
    wfl_arena_reset(&a); /* one request's large block is not kept for all that follow */
    assert_true(a.used <= 64u << 10);
    assert_non_null(wfl_arena_get(&a, 900000));
    wfl_arena_fini(&a);
    assert_int_equal(c.live, 0);
    wfl_arena_fini(&a); /* the emptied value too */
}

static void copies_are_copies(void **state)
{
    uint8_t   bytes[3] = {1, 0, 3};
    wfl_slice out = WFL_S("untouched");
    wfl_arena a;
    char     *text;

    (void)state;
    wfl_arena_init(&a, &wfl_alloc_libc, 64);
    assert_true(wfl_arena_copy(&a, wfl_slice_of(bytes, 3), &out));
    text = wfl_arena_cstr(&a, wfl_slice_of(bytes, 3));
    bytes[0] = 9;
    assert_true(out.data != bytes && out.data[0] == 1 && out.data[2] == 3);
    assert_true(text[0] == 1 && text[2] == 3 && text[3] == '\0');
    assert_true(wfl_arena_copy(&a, (wfl_slice){0}, &out));
    assert_int_equal(out.len, 0);
    text = wfl_arena_cstr(&a, (wfl_slice){0});
    assert_string_equal(text, "");
    out = WFL_S("untouched");
    assert_false(wfl_arena_copy(&a, wfl_slice_of(text, 100), &out));
    assert_text_equal(out, "untouched");
    assert_null(wfl_arena_cstr(&a, wfl_slice_of(text, 64)));
    wfl_arena_fini(&a);
}

static void a_refused_allocation_leaves_an_arena_usable(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 6; k++) {
        struct counted c;
        wfl_arena      a;
        unsigned       refused = 0;

        counted_init(&c, k);
        wfl_arena_init(&a, &c.alloc, 1u << 20);
        for (int i = 0; i < 40; i++)
            refused += wfl_arena_get(&a, 1000) == NULL;
        assert_int_equal(refused, k <= 5 ? 1 : 0); /* 8 to a block, so 5 blocks */
        wfl_arena_fini(&a);
        assert_int_equal(c.live, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_wrap_are_refused),
        cmocka_unit_test(asking_for_nothing_gives_something),
        cmocka_unit_test(a_buffer_takes_its_maximum_and_not_a_byte_more),
        cmocka_unit_test(a_failed_buffer_stays_failed),
        cmocka_unit_test(sizes_that_wrap_fail_a_buffer),
        cmocka_unit_test(empty_appends_change_nothing),
        cmocka_unit_test(printed_text_is_whole_at_every_length),
        cmocka_unit_test(what_is_appended_is_there_in_order),
        cmocka_unit_test(a_refused_allocation_fails_the_buffer_alone),
        cmocka_unit_test(what_an_arena_gives_is_aligned_apart_and_zero_where_asked),
        cmocka_unit_test(an_arena_never_takes_more_than_its_maximum),
        cmocka_unit_test(small_wishes_are_met_to_the_end_of_the_maximum),
        cmocka_unit_test(a_reset_arena_starts_over_and_keeps_little),
        cmocka_unit_test(copies_are_copies),
        cmocka_unit_test(a_refused_allocation_leaves_an_arena_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
