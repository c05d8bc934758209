/* SPDX-License-Identifier: Apache-2.0
 *
 * The committer's queue by itself: whose turn it is, and how much of it one flow may have. */
#include "harness.h"

#include <stdlib.h>

#include "engine/local/local_private.h"

#define MOST 64

struct bench_queue {
    struct commit_queue queue;
    struct wfl_commit   commits[4096];
    size_t              count;
};

static int setup(void **state)
{
    struct bench_queue *b = calloc(1, sizeof *b);

    if (b == NULL) return -1;
    b->queue.count_max = 4096;
    b->queue.bytes_max = UINT64_C(1) << 30;
    b->queue.salt = 1;
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static struct wfl_commit *push(struct bench_queue *b, uint64_t flow, uint64_t bytes)
{
    struct wfl_commit *c = &b->commits[b->count];

    *c = (struct wfl_commit){.flow = flow, .bytes = bytes};
    if (!wfl_commit_queue_push(&b->queue, c)) return NULL;
    b->count++;
    return c;
}

/* How many of the flow are among the first `n` of the group. */
static size_t among(const struct wfl_commit *group, size_t n, uint64_t flow)
{
    size_t found = 0;

    for (; group != NULL && n > 0; group = group->own.next, n--)
        found += group->flow == flow;
    return found;
}

static size_t length(const struct wfl_commit *group)
{
    size_t n = 0;

    for (; group != NULL; group = group->own.next)
        n++;
    return n;
}

static void nothing_is_taken_of_nothing(void **state)
{
    struct bench_queue *b = *state;

    assert_null(wfl_commit_queue_take(&b->queue, 1000, false));
    assert_non_null(push(b, 1, 10));
    assert_int_equal(length(wfl_commit_queue_take(&b->queue, 0, false)),
                     1); /* one, whatever it weighs */
    assert_null(wfl_commit_queue_take(&b->queue, 1000, false));
    assert_int_equal(b->queue.count + b->queue.bytes, 0);
}

static void a_flow_keeps_its_order(void **state)
{
    struct bench_queue *b = *state;
    struct wfl_commit  *last[3] = {NULL};

    for (int i = 0; i < 300; i++)
        assert_non_null(push(b, (uint64_t)(i * i) % 3, (uint64_t)(i % 7) * 50000));
    for (struct wfl_commit *group;
         (group = wfl_commit_queue_take(&b->queue, 1u << 20, false)) != NULL;) {
        for (struct wfl_commit *c = group; c != NULL; c = c->own.next) {
            assert_true(last[c->flow] < c); /* they came in the order of their places */
            last[c->flow] = c;
        }
    }
    assert_int_equal(b->queue.count + b->queue.bytes, 0);
}

/* A thousand of one, then one of another: it is in the first group, near its head. */
static void a_crowd_does_not_go_first(void **state)
{
    struct bench_queue *b = *state;
    struct wfl_commit  *group;

    for (int i = 0; i < 1000; i++)
        assert_non_null(push(b, 1, 60000));
    assert_non_null(push(b, 2, 100));
    group = wfl_commit_queue_take(&b->queue, 1u << 20, false);
    assert_true(length(group) < 20);
    assert_int_equal(among(group, 6, 2), 1);
}

/* All of a group are told together: a small write does not wait for all that another flow has, and
 * who is alone is not held up by turns. */
static void a_group_ends_when_each_has_had_its_turn(void **state)
{
    struct bench_queue *b = *state;
    struct wfl_commit  *group;

    for (int i = 0; i < 200; i++)
        assert_non_null(push(b, 1, 1000));
    assert_int_equal(length(wfl_commit_queue_take(&b->queue, 16u << 20, false)), 200);
    for (int round = 0; round < 2; round++) { /* before the crowd, and behind it */
        if (round == 0) assert_non_null(push(b, 2, 100));
        for (int i = 0; i < 200; i++)
            assert_non_null(push(b, 1, 1000));
        if (round == 1) assert_non_null(push(b, 2, 100));
        group = wfl_commit_queue_take(&b->queue, 16u << 20, false);
        assert_true(length(group) < 40);
        assert_int_equal(among(group, 40, 2), 1);
        while (wfl_commit_queue_take(&b->queue, 16u << 20, false) != NULL) {}
    }
    for (uint64_t flow = 1; flow < 4; flow++) /* each more than a turn is worth: some are taken */
        assert_non_null(push(b, flow, 1u << 20));
    for (size_t taken = 0; taken < 3;) {
        size_t more = length(wfl_commit_queue_take(&b->queue, 16u << 20, false));

        assert_true(more > 0);
        taken += more;
    }
}

/* Somebody else was there a moment ago: who comes next finds a short group under way. */
static void with_company_turns_bound_a_lone_flow_too(void **state)
{
    struct bench_queue *b = *state;

    for (int i = 0; i < 200; i++)
        assert_non_null(push(b, 1, 1000));
    assert_in_range(length(wfl_commit_queue_take(&b->queue, 16u << 20, true)), 5, 20);
    assert_in_range(length(wfl_commit_queue_take(&b->queue, 16u << 20, true)), 5, 20);
    assert_true(length(wfl_commit_queue_take(&b->queue, 16u << 20, false)) > 150);
    assert_non_null(push(b, 1, 8u << 20)); /* more than a turn is worth, and taken all the same */
    assert_int_equal(length(wfl_commit_queue_take(&b->queue, 16u << 20, true)), 1);
}

static void company_is_two_flows_and_lasts_a_while(void **state)
{
    const int64_t      second = INT64_C(1000000000);
    struct wfl_company company = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        wfl_company_note(&company, 1, second + i);
    wfl_company_note(&company, 0, second + 4); /* the system's own work */
    assert_false(wfl_company_is_here(&company, second + 4));
    wfl_company_note(&company, 2, second + 5);
    assert_true(wfl_company_is_here(&company, second + 5));
    assert_true(wfl_company_is_here(&company, 2 * second));
    assert_false(wfl_company_is_here(&company, 2 * second + 5));
    wfl_company_note(&company, 2, 3 * second);
    assert_false(wfl_company_is_here(&company, 3 * second));
    wfl_company_note(&company, 1, 4 * second);
    assert_true(wfl_company_is_here(&company, 4 * second));
}

/* Not by number but by bytes: who writes much in one has as much as who writes it in many. */
static void turns_are_by_bytes(void **state)
{
    struct bench_queue *b = *state;
    struct wfl_commit  *group;
    uint64_t            bytes[3] = {0};

    for (int i = 0; i < 40; i++)
        assert_non_null(push(b, 1, 1u << 20));
    for (int i = 0; i < 1000; i++)
        assert_non_null(push(b, 2, 40000));
    while (bytes[1] + bytes[2] < 24u << 20) {
        group = wfl_commit_queue_take(&b->queue, 24u << 20, false);
        for (struct wfl_commit *c = group; c != NULL; c = c->own.next)
            bytes[c->flow] += c->bytes;
    }
    assert_true(bytes[1] > 10u << 20 && bytes[2] > 9u << 20);
}

static void one_flow_leaves_as_much_as_it_has(void **state)
{
    struct bench_queue *b = *state;
    size_t              mine = 0, others = 0;

    b->queue.count_max = MOST;
    while (push(b, 1, 10) != NULL)
        mine++;
    assert_int_equal(mine, MOST / 2);
    while (push(b, 2, 10) != NULL)
        others++;
    assert_int_equal(others, MOST / 4);
    for (uint64_t flow = 3; flow < 8; flow++)
        assert_int_equal(push(b, flow, 10) != NULL, b->queue.count < MOST);
    assert_null(push(b, 1, 10));
    (void)wfl_commit_queue_take(&b->queue, UINT64_MAX, false);
    assert_non_null(push(b, 1, 10)); /* and again, when there is room */
}

static void nor_of_the_bytes_more(void **state)
{
    struct bench_queue *b = *state;

    b->queue.bytes_max = 1000;
    assert_non_null(push(b, 1, 600)); /* the one that passes the bound still goes in */
    assert_null(push(b, 1, 1));
    assert_non_null(push(b, 2, 10));
    assert_non_null(push(b, 2, 300));
    assert_null(push(b, 2, 300));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_is_taken_of_nothing),
        T(a_flow_keeps_its_order),
        T(a_crowd_does_not_go_first),
        T(turns_are_by_bytes),
        T(a_group_ends_when_each_has_had_its_turn),
        T(with_company_turns_bound_a_lone_flow_too),
        T(company_is_two_flows_and_lasts_a_while),
        T(one_flow_leaves_as_much_as_it_has),
        T(nor_of_the_bytes_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
