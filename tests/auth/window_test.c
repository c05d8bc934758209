/* SPDX-License-Identifier: Apache-2.0
 *
 * The window of a session's counters: its edges, and any order against a set. */
#include "fixture.h"

#include <stdlib.h>

static void the_window_has_its_edges(void **state)
{
    static const struct {
        const char *name;
        uint64_t    first[3]; /* spent before; 0: none */
        uint64_t    counter;
        bool        fresh;
    } cases[] = {
        {"zero is none", {0}, 0, false},
        {"the first", {0}, 1, true},
        {"the first again", {1}, 1, false},
        {"the one before", {2}, 1, true},
        {"4095 back is in it", {4096}, 1, true},
        {"4096 back is below", {4097}, 1, false},
        {"4097 back is below", {4098}, 1, false},
        {"4095 back, used", {1, 4096}, 1, false},
        {"one ahead", {5}, 6, true},
        {"4095 ahead", {5}, 4100, true},
        {"4096 ahead", {5}, 4101, true},
        {"used, far ahead, below", {5, 9000}, 5, false},
        {"same bit of the ring, one round on", {5, 8197}, 8196, true},
        {"a round and one on", {5, 4101}, 7, true},
        {"the last", {1}, WFL_SESSION_COUNTER_MAX, true},
        {"the last again", {WFL_SESSION_COUNTER_MAX}, WFL_SESSION_COUNTER_MAX, false},
        {"before the last", {WFL_SESSION_COUNTER_MAX}, WFL_SESSION_COUNTER_MAX - 1, true},
        {"4095 before the last", {WFL_SESSION_COUNTER_MAX}, WFL_SESSION_COUNTER_MAX - 4095, true},
        {"4096 before the last", {WFL_SESSION_COUNTER_MAX}, WFL_SESSION_COUNTER_MAX - 4096, false},
        {"behind the last", {1}, WFL_SESSION_COUNTER_MAX + 1, false},
        {"the largest", {1}, UINT64_MAX, false},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct counter_window w = {0}, before;

        for (size_t k = 0; k < WFL_COUNT(cases[i].first) && cases[i].first[k] != 0; k++)
            assert_true(counter_window_spend(&w, cases[i].first[k]));
        before = w;
        if (counter_window_spend(&w, cases[i].counter) != cases[i].fresh)
            fail_msg("%s", cases[i].name);
        if (!cases[i].fresh && memcmp(&before, &w, sizeof w) != 0)
            fail_msg("%s: a refusal changed it", cases[i].name);
    }
}

static void a_write_may_come_again(void **state)
{
    struct counter_window w = {0}, before;

    (void)state;
    assert_int_equal(counter_window_claim(&w, 0), COUNTER_READ); /* no counter at all */
    assert_int_equal(counter_window_claim(&w, WFL_SESSION_COUNTER_MAX + 1), COUNTER_READ);
    assert_int_equal(counter_window_claim(&w, 1), COUNTER_FRESH);
    assert_int_equal(counter_window_claim(&w, 1), COUNTER_WRITTEN);
    assert_false(counter_window_spend(&w, 1));
    assert_true(counter_window_spend(&w, 2));
    assert_int_equal(counter_window_claim(&w, 2), COUNTER_READ);
    before = w;
    assert_int_equal(counter_window_claim(&w, 3), COUNTER_FRESH);
    counter_window_return(&w, 3);
    before.highest = w.highest;
    assert_memory_equal(&before, &w, sizeof w);
    assert_int_equal(counter_window_claim(&w, 1 + COUNTER_WINDOW), COUNTER_FRESH);
    assert_int_equal(counter_window_claim(&w, 1), COUNTER_BELOW);
    assert_true(counter_window_spend(&w, 8193)); /* one round of the ring: the same bit as of 1 */
    assert_int_equal(counter_window_claim(&w, 8193), COUNTER_READ);
}

/* Against the plainest model: a set of what was used. */
static void any_order_is_as_a_set_would_have_it(void **state)
{
    enum { SPACE = 40000, ROUNDS = 60 };
    struct fixture *f = *state;
    uint8_t        *used = calloc(SPACE + 1, 1);

    for (int round = 0; round < ROUNDS; round++) {
        struct counter_window w = {0};
        uint64_t              highest = 0, reach = 1;

        memset(used, 0, SPACE + 1);
        for (int i = 0; i < 5000; i++) {
            uint32_t draw;
            uint64_t counter;
            bool     fresh;

            wfl_random_fill(&f->random, (uint8_t *)&draw, sizeof draw);
            if (draw % 97 == 0) reach = 1u << (draw >> 8) % 14;
            counter = highest + (draw >> 12) % (reach + 1);
            if (draw % 3 == 0)
                counter = highest > (draw >> 12) % 5000 ? highest - (draw >> 12) % 5000 : 1;
            if (counter == 0 || counter > SPACE) continue;
            fresh = !used[counter] && (counter > highest || highest - counter < 4096);
            if (counter_window_spend(&w, counter) != fresh)
                fail_msg("round %d, highest %llu, counter %llu", round, (unsigned long long)highest,
                         (unsigned long long)counter);
            if (fresh) used[counter] = 1;
            if (counter > highest) highest = counter;
        }
    }
    free(used);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_window_has_its_edges),
        T(a_write_may_come_again),
        T(any_order_is_as_a_set_would_have_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
