/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose turn it is on a reactor: flows by time, whatever they have waiting. */
#include "net/net_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 1000 };
#define US INT64_C(1000)

struct bench_turns {
    struct turns turns;
    struct turn  waiting[MOST];
    uint64_t     flow_of[MOST];
    size_t       count;
};

static struct bench_turns *fresh(void)
{
    static struct bench_turns b;

    memset(&b, 0, sizeof b);
    turns_init(&b.turns, 1);
    return &b;
}

static size_t push(struct bench_turns *b, uint64_t flow)
{
    b->flow_of[b->count] = flow;
    turns_push(&b->turns, &b->waiting[b->count], flow);
    return b->count++;
}

/* Whose turn it was; it took so long. SIZE_MAX: nobody's. */
static size_t take(struct bench_turns *b, int64_t ns)
{
    struct turn_lane *lane;
    struct turn      *turn = turns_pop(&b->turns, &lane);

    if (turn == NULL) return SIZE_MAX;
    turns_charge(lane, ns);
    return (size_t)(turn - b->waiting);
}

static void one_flow_keeps_its_order(void **state)
{
    struct bench_turns *b = fresh();

    (void)state;
    assert_int_equal(take(b, 1), SIZE_MAX);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(push(b, 7), i);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(take(b, 70 * US), i);
    assert_int_equal(take(b, 1), SIZE_MAX);
}

static void who_waits_does_not_wait_twice(void **state)
{
    struct bench_turns *b = fresh();
    size_t              at = push(b, 1);

    (void)state;
    turns_push(&b->turns, &b->waiting[at], 1);
    turns_push(&b->turns, &b->waiting[at], 2);
    assert_int_equal(take(b, US), at);
    assert_int_equal(take(b, US), SIZE_MAX);
}

static void a_crowd_does_not_go_first(void **state)
{
    struct bench_turns *b = fresh();
    size_t              quiet, before = 0;

    (void)state;
    for (int i = 0; i < 500; i++)
        push(b, 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(b->flow_of[take(b, 60 * US)], 1);
    quiet = push(b, 2);
    while (take(b, 60 * US) != quiet)
        before++;
    assert_true(before <= 2); /* a quantum, and the turn that passed it */
}

/* Short turns and long ones: each flow has the same time. */
static void turns_are_by_time(void **state)
{
    static const int64_t cost[3] = {0, 10 * US, 150 * US};
    struct bench_turns  *b = fresh();
    int64_t              used[3] = {0};

    (void)state;
    for (int i = 0; i < 900; i++)
        push(b, 1);
    for (int i = 0; i < 100; i++)
        push(b, 2);
    while (used[1] + used[2] < 10000 * US) {
        struct turn_lane *lane;
        struct turn      *turn = turns_pop(&b->turns, &lane);
        uint64_t          flow = b->flow_of[turn - b->waiting];

        turns_charge(lane, cost[flow]);
        used[flow] += cost[flow];
    }
    assert_in_range(used[1], 4500 * US, 5500 * US);
}

/* Nobody saves up while it has nothing to do, and what is owed stays owed. */
static void idle_time_is_not_saved(void **state)
{
    struct bench_turns *b = fresh();
    size_t              others = 0;

    (void)state;
    push(b, 1);
    take(b, US);
    for (int i = 0; i < 100; i++) { /* comes and goes: each time a little is left over */
        push(b, 1);
        take(b, US);
    }
    for (int i = 0; i < 100; i++) {
        push(b, 1);
        push(b, 2);
    }
    for (int i = 0; i < 20; i++)
        others += b->flow_of[take(b, 50 * US)] == 2;
    assert_in_range(others, 8, 12);
    b = fresh();
    push(b, 1);
    take(b, 10000 * US);
    for (int i = 0; i < 100; i++) {
        push(b, 1);
        push(b, 2);
    }
    for (int i = 0; i < 90; i++)
        assert_int_equal(b->flow_of[take(b, 100 * US)], 2);
}

static void who_leaves_is_not_met(void **state)
{
    struct bench_turns *b = fresh();

    (void)state;
    for (int i = 0; i < 9; i++)
        push(b, (uint64_t)i % 3);
    turns_remove(&b->turns, &b->waiting[0]); /* the first, one in the middle, the last */
    turns_remove(&b->turns, &b->waiting[4]);
    turns_remove(&b->turns, &b->waiting[8]);
    turns_remove(&b->turns, &b->waiting[8]);
    turns_remove(&b->turns, &b->waiting[1]); /* and all that its flow had */
    turns_remove(&b->turns, &b->waiting[7]);
    for (int i = 0; i < 4; i++)
        assert_true(b->flow_of[take(b, US)] != 1);
    assert_int_equal(take(b, US), SIZE_MAX);
    push(b, 1);
    assert_int_equal(take(b, US), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flow_keeps_its_order),
        cmocka_unit_test(who_waits_does_not_wait_twice),
        cmocka_unit_test(a_crowd_does_not_go_first),
        cmocka_unit_test(turns_are_by_time),
        cmocka_unit_test(idle_time_is_not_saved),
        cmocka_unit_test(who_leaves_is_not_met),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
