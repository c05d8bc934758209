/* SPDX-License-Identifier: Apache-2.0
 *
 * Rates with a clock in the test's hand: what passes in a time is the rate's worth and a second's
 * burst, whatever shares it and however it is asked; what is idle takes no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/throttle.h"

#define MS     INT64_C(1000000)
#define SECOND (1000 * MS)

static int64_t  live; /* allocations */
static uint64_t allocs, refuse;

static void *resize(void *ctx, void *old, size_t n)
{
    (void)ctx;
    if (n == 0) {
        live -= old != NULL;
        return wfl_alloc_libc.resize(wfl_alloc_libc.ctx, old, 0);
    }
    if (++allocs == refuse) return NULL;
    live += old == NULL;
    return wfl_alloc_libc.resize(wfl_alloc_libc.ctx, old, n);
}
static const struct wfl_alloc alloc = {.resize = resize};

static int open_throttle(void **state)
{
    struct throttle *l;
    wfl_error        err;

    live = 0;
    if (throttle_new(100, &alloc, &l, &err) != WFL_OK) return -1;
    *state = l;
    return 0;
}

static int close_throttle(void **state)
{
    throttle_free(*state);
    return live == 0 ? 0 : -1;
}

static struct limit limit_of(uint8_t id, uint64_t requests, uint64_t bytes)
{
    return (struct limit){
        .id = {id, id}, .requests_per_second = requests, .bytes_per_second = bytes};
}

/* How many of `n` attempts, `step` apart, are admitted. */
static unsigned admitted(struct throttle *l, const struct limit *list, size_t count, unsigned n,
                         int64_t begin, int64_t step)
{
    unsigned got = 0;

    for (unsigned i = 0; i < n; i++)
        got += throttle_admit(l, list, count, begin + i * step) == 0;
    return got;
}

static void a_second_at_once_then_the_rate(void **state)
{
    struct throttle      *l = *state;
    static const uint64_t rates[] = {1, 2, 7, 50, 1000};

    for (uint8_t i = 0; i < WFL_COUNT(rates); i++) {
        struct limit limit = limit_of((uint8_t)(i + 1), rates[i], LIMIT_NONE);

        assert_int_equal(admitted(l, &limit, 1, 2000, 0, 0), rates[i]);
        /* Ten seconds, asked far more often than that. */
        assert_in_range(admitted(l, &limit, 1, 10000, 1, MS), 10 * rates[i] - 1, 10 * rates[i] + 1);
        /* Idle time is worth one burst. */
        assert_int_equal(admitted(l, &limit, 1, 2000, 3600 * SECOND, 0), rates[i]);
    }
}

static void what_is_said_to_wait_is_what_it_takes(void **state)
{
    struct throttle *l = *state;
    struct limit     limit = limit_of(1, 3, LIMIT_NONE);
    int64_t          now = 5 * SECOND, wait;

    for (int i = 0; i < 20; i++) {
        while ((wait = throttle_admit(l, &limit, 1, now)) == 0) {}
        assert_true(throttle_admit(l, &limit, 1, now + wait - 1) > 0);
        now += wait;
        assert_int_equal(throttle_admit(l, &limit, 1, now), 0);
    }
}

static void of_several_the_smallest_holds_and_a_refusal_costs_nothing(void **state)
{
    struct throttle *l = *state;
    struct limit     both[] = {limit_of(1, 100, LIMIT_NONE), limit_of(2, 5, LIMIT_NONE)};

    assert_int_equal(admitted(l, both, 2, 50, 0, 0), 5);
    assert_int_equal(admitted(l, both, 1, 200, 0, 0), 95); /* the 45 refused took nothing */
}

static void those_with_one_id_share_it(void **state)
{
    struct throttle *l = *state;
    struct limit     parent = limit_of(1, 10, LIMIT_NONE);
    struct limit     child1[] = {parent, limit_of(2, 8, LIMIT_NONE)};
    struct limit     child2[] = {parent, limit_of(3, 8, LIMIT_NONE)};

    assert_int_equal(admitted(l, child1, 2, 20, 0, 0), 8);
    assert_int_equal(admitted(l, child2, 2, 20, 0, 0), 2);
    assert_int_equal(admitted(l, &parent, 1, 20, 0, 0), 0);
}

static void bytes_flow_at_their_rate(void **state)
{
    struct throttle *l = *state;
    struct limit     limit = limit_of(1, LIMIT_NONE, 10 << 20);
    int64_t          now = 0, moved = 0;

    while (moved < INT64_C(1) << 30) { /* pieces of 1 MiB, each when it may */
        now += throttle_move(l, &limit, 1, 1 << 20, now);
        moved += 1 << 20;
        assert_int_equal(throttle_admit(l, &limit, 1, now), 0); /* requests go on beside it */
    }
    assert_in_range(now, 101 * SECOND, 102 * SECOND); /* 102.4 s, and a second's burst */
}

static void a_debt_refuses_until_it_is_paid(void **state)
{
    struct throttle *l = *state;
    struct limit     limit = limit_of(1, LIMIT_NONE, 1000);

    assert_int_equal(throttle_admit(l, &limit, 1, 0), 0);
    assert_int_equal(throttle_move(l, &limit, 1, 10000, 0), 9 * SECOND);
    assert_int_equal(throttle_move(l, &limit, 1, 0, SECOND), 8 * SECOND);
    assert_int_equal(throttle_admit(l, &limit, 1, SECOND), 7 * SECOND);
    assert_int_equal(throttle_admit(l, &limit, 1, 8 * SECOND), 0);
    /* No debt is for ever. */
    limit = limit_of(2, LIMIT_NONE, 1);
    throttle_move(l, &limit, 1, UINT64_MAX, 0);
    assert_in_range(throttle_admit(l, &limit, 1, 0), 300 * 86400 * SECOND, 366 * 86400 * SECOND);
}

static void a_rate_that_changes_holds_at_once(void **state)
{
    struct throttle *l = *state;
    struct limit     slow = limit_of(1, 1, LIMIT_NONE), fast = limit_of(1, 100, LIMIT_NONE);

    assert_int_equal(admitted(l, &slow, 1, 10, 0, 0), 1);
    assert_int_equal(throttle_admit(l, &slow, 1, 500 * MS), 500 * MS);
    assert_in_range(admitted(l, &fast, 1, 100, 500 * MS, 0), 49, 51);
}

static void idle_ones_go_and_busy_ones_stay(void **state)
{
    struct throttle *l = *state;
    struct limit     limit;

    for (uint8_t i = 1; i <= 100; i++) {
        limit = limit_of(i, 1, LIMIT_NONE);
        assert_int_equal(throttle_admit(l, &limit, 1, 0), 0);
    }
    limit = limit_of(200, 1, LIMIT_NONE);
    assert_true(throttle_admit(l, &limit, 1, 0) > 0); /* no place, and none is made */
    assert_int_equal(throttle_count(l), 100);
    limit = limit_of(1, 1, LIMIT_NONE);
    assert_true(throttle_admit(l, &limit, 1, 0) > 0); /* still in force */
    for (int i = 0; i < 64; i++) {                    /* a sweep is of one shard */
        limit = (struct limit){
            .id = {(uint8_t)i, 255}, .requests_per_second = 1, .bytes_per_second = LIMIT_NONE};
        (void)throttle_admit(l, &limit, 1, 10 * SECOND);
    }
    assert_in_range(throttle_count(l), 1, 100);
    limit = limit_of(201, 1, LIMIT_NONE);
    assert_int_equal(throttle_admit(l, &limit, 1, 20 * SECOND), 0);
}

static void without_memory_it_is_refused(void **state)
{
    struct throttle *l = *state;
    struct limit     limit = limit_of(1, 1, 1);

    refuse = allocs + 1;
    assert_true(throttle_admit(l, &limit, 1, 0) > 0);
    refuse = 0;
    assert_int_equal(throttle_admit(l, &limit, 1, 0), 0);
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, open_throttle, close_throttle)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(a_second_at_once_then_the_rate),
        case_of(what_is_said_to_wait_is_what_it_takes),
        case_of(of_several_the_smallest_holds_and_a_refusal_costs_nothing),
        case_of(those_with_one_id_share_it),
        case_of(bytes_flow_at_their_rate),
        case_of(a_debt_refuses_until_it_is_paid),
        case_of(a_rate_that_changes_holds_at_once),
        case_of(idle_ones_go_and_busy_ones_stay),
        case_of(without_memory_it_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
