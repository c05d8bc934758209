/* SPDX-License-Identifier: Apache-2.0
 *
 * A nonce is good once within its window, whoever else sends what; the memory is bounded, and what
 * is in it makes place when it has expired and never before. */
#include "fixture.h"

#include <pthread.h>
#include <stdio.h>

static struct replay *memory_of(struct fixture *f, uint32_t per_client_max, uint64_t max)
{
    struct replay *r = NULL;

    assert_code(replay_new(per_client_max, max, &f->random, &f->alloc, &r, &f->err), WFL_OK);
    return r;
}

static wfl_code spend(struct fixture *f, struct replay *r, unsigned client, unsigned nonce,
                      int64_t now_sec, int64_t expires_sec)
{
    char name[44], text[33];

    snprintf(name, sizeof name, "client-%036u", client);
    snprintf(text, sizeof text, "nonce-%026u", nonce);
    return replay_spend(r, wfl_slice_str(name), wfl_slice_str(text), now_sec, expires_sec, &f->err);
}

static struct wfl_auth_stats stats_of(struct replay *r)
{
    struct wfl_auth_stats stats = {0};

    replay_stats(r, &stats);
    return stats;
}

static void a_nonce_is_good_once_in_its_window(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 100, 10000);

    assert_code(spend(f, r, 1, 1, 1000, 1060), WFL_OK);
    assert_code(spend(f, r, 1, 1, 1000, 1060), WFL_REPLAYED);
    assert_code(spend(f, r, 1, 1, 1060, 1120), WFL_REPLAYED); /* its last second */
    assert_code(spend(f, r, 1, 1, 1061, 1121), WFL_OK);
    assert_code(spend(f, r, 1, 1, 1121, 1181), WFL_REPLAYED);
    replay_free(r);
}

/* Forward by an hour, everything expires and is forgotten, and back again. */
static void a_clock_that_steps_back_brings_no_nonce_back(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 100, 10000);

    for (unsigned i = 0; i < 50; i++)
        assert_code(spend(f, r, 1, i, 1000 + i, 1061 + i), WFL_OK);
    for (unsigned i = 0; i < 200; i++) /* more than there is room for: what expired goes */
        assert_code(spend(f, r, i % 2, 1000 + i, 4600 + i, 4661 + i), WFL_OK);
    for (unsigned i = 0; i < 50; i++)
        assert_int_not_equal(spend(f, r, 1, i, 1010, 1061 + i), WFL_OK);
    assert_code(spend(f, r, 7, 1, 1010, 1071), WFL_TIMESTAMP_SKEW);
    assert_code(spend(f, r, 7, 1, 4800, 4861), WFL_OK); /* and goes on when it is later again */
    replay_free(r);
}

/* What came while the clock was ahead and is not forgotten yet stays known, and nothing else is
 * refused: a clock that was set right again does not lock anybody out. */
static void after_a_step_back_the_present_is_let_in(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 100, 10000);

    assert_code(spend(f, r, 1, 1, 1000, 1061), WFL_OK);
    assert_code(spend(f, r, 1, 2, 90000, 90061), WFL_OK); /* a day ahead */
    assert_code(spend(f, r, 1, 1, 1001, 1061), WFL_REPLAYED);
    assert_code(spend(f, r, 1, 3, 1001, 1062), WFL_OK);
    replay_free(r);
}

static void clients_do_not_share_nonces(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 100, 1u << 20);

    for (unsigned c = 0; c < 1000; c++)
        assert_code(spend(f, r, c, 7, 1000, 1060), WFL_OK);
    for (unsigned c = 0; c < 1000; c++)
        assert_code(spend(f, r, c, 7, 1001, 1061), WFL_REPLAYED);
    assert_int_equal(stats_of(r).clients, 1000);
    assert_int_equal(stats_of(r).nonces, 1000);
    replay_free(r);
}

static void an_expired_nonce_used_anew_outlives_visits_of_others(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 100, 1u << 23);

    assert_code(spend(f, r, 0, 1, 1000, 1060), WFL_OK);
    assert_code(spend(f, r, 0, 1, 2000, 2060), WFL_OK);
    for (unsigned c = 1; c < 20000; c++) /* every place where clients are kept gets a visit */
        (void)!spend(f, r, c, 1, 2001, 2061);
    assert_code(spend(f, r, 0, 1, 2002, 2062), WFL_REPLAYED);
    replay_free(r);
}

static void a_full_memory_refuses_and_forgets_nothing(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 50, 10000);

    for (unsigned n = 0; n < 50; n++)
        assert_code(spend(f, r, 1, n, 1000, 1060), WFL_OK);
    for (unsigned n = 50; n < 500; n++)
        assert_code(spend(f, r, 1, n, 1001, 1061), WFL_RATE_LIMITED);
    for (unsigned n = 0; n < 50; n++)
        assert_code(spend(f, r, 1, n, 1060, 1120), WFL_REPLAYED);
    assert_code(spend(f, r, 2, 1, 1060, 1120), WFL_OK); /* others are not concerned */
    replay_free(r);
}

/* With few places a client has most of its tables empty: room is found wherever it is. */
static void what_expired_makes_room_for_its_client(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 16, 10000);

    for (unsigned round = 0; round < 50; round++) {
        int64_t now = 1000 + round * 100;

        for (unsigned n = 0; n < 16; n++)
            assert_code(spend(f, r, 1, round * 100 + n, now, now + 60), WFL_OK);
        assert_code(spend(f, r, 1, round * 100 + 16, now, now + 60), WFL_RATE_LIMITED);
    }
    assert_int_equal(stats_of(r).nonces, 16);
    replay_free(r);
}

/* Clients that stay away must not hold what others need, whether they are idle or nearly so. */
static void what_expired_makes_room_for_others(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 1000, 3000);
    unsigned        filled = 0, c, n = 0;

    for (c = 0; c < 4; c++) {
        for (n = 0; n < 1000; n++, filled++) {
            /* One nonce of each lives on: the client itself cannot be let go of. */
            if (spend(f, r, c, n, 1000, n == 0 ? 9000 : 1060) != WFL_OK) break;
        }
    }
    assert_in_range(filled, 2000, 3000);
    assert_code(spend(f, r, 77, 1, 1060, 1120), WFL_RATE_LIMITED);
    unsigned tries = 0;
    while (spend(f, r, 77, 2, 1061, 1121) != WFL_OK)
        assert_true(++tries < 64);
    for (n = 3; n < 500; n++)
        assert_code(spend(f, r, 77, n, 1061, 1121), WFL_OK);
    for (c = 0; c < 3; c++)
        assert_code(spend(f, r, c, 0, 1061, 9000), WFL_REPLAYED);
    replay_free(r);
}

static void idle_clients_are_let_go_of(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 1000, 2000);
    unsigned        c = 0;

    while (spend(f, r, c, 1, 1000, 1060) == WFL_OK)
        c++;
    assert_in_range(c, 10, 16); /* a client's own memory counts */
    assert_int_equal(stats_of(r).clients, c);
    unsigned tries = 0;
    while (spend(f, r, 100, 1, 1061, 1121) != WFL_OK)
        assert_true(++tries < 64);
    for (unsigned i = 101; i < 105; i++) {
        while (spend(f, r, i, 1, 1061, 1121) != WFL_OK)
            assert_true(++tries < 128);
    }
    assert_in_range(stats_of(r).clients, 5, 16);
    replay_free(r);
}

/* Against a plain list: what was spent and has not expired is refused, all else is taken. */
static void it_remembers_as_a_plain_list_does(void **state)
{
    enum { NONCES = 200, CLIENTS = 3 };
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 1000, 100000);
    static int64_t  model[CLIENTS][NONCES];
    int64_t         now = 1000;
    uint8_t         draw[3];

    memset(model, 0, sizeof model);
    for (int step = 0; step < 50000; step++) {
        wfl_random_fill(&f->random, draw, sizeof draw);
        unsigned c = draw[0] % CLIENTS, n = draw[1] % NONCES;
        bool     live = model[c][n] >= now;

        assert_code(spend(f, r, c, n, now, now + 1 + draw[2] % 60), live ? WFL_REPLAYED : WFL_OK);
        if (!live) model[c][n] = now + 1 + draw[2] % 60;
        if (step % 16 == 0) now++;
    }
    replay_free(r);
}

static void refused_memory_is_an_error_and_spends_nothing(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = NULL;
    wfl_code        rc;
    uint64_t        k = 0;

    do {
        f->refuse = f->allocs + ++k;
        rc = replay_new(1000, 10000, &f->random, &f->alloc, &r, &f->err);
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
    } while (rc != WFL_OK);
    assert_int_equal(k, 2);
    for (unsigned n = 0; n < 500; n++) { /* enough for tables to be made larger */
        for (k = 1;; k++) {
            f->refuse = f->allocs + k;
            rc = spend(f, r, 1, n, 1000, 1060);
            f->refuse = 0;
            if (rc == WFL_OK) break;
            assert_code(rc, WFL_NOMEM);
            assert_int_equal(stats_of(r).nonces, n);
        }
        assert_code(spend(f, r, 1, n, 1000, 1060), WFL_REPLAYED);
    }
    /* Making room without memory is no room, and loses nothing. */
    for (unsigned n = 500; n < 1000; n++)
        assert_code(spend(f, r, 1, n, 1000, n % 2 ? 1060 : 5000), WFL_OK);
    f->refuse = f->allocs + 1;
    assert_code(spend(f, r, 1, 1000, 1061, 1121), WFL_OK); /* found in the next table */
    f->refuse = 0;
    for (unsigned n = 500; n < 1000; n += 2)
        assert_code(spend(f, r, 1, n, 1061, 1121), WFL_REPLAYED);
    replay_free(r);
}

/* ---- threads */

struct racer {
    struct replay *memory;
    unsigned       won, nonces;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    wfl_error     err;

    for (unsigned n = 0; n < racer->nonces; n++) {
        char text[33];

        snprintf(text, sizeof text, "nonce-%026u", n);
        racer->won += replay_spend(racer->memory, WFL_S("the-client"), wfl_slice_str(text), 1000,
                                   1060, &err) == WFL_OK;
    }
    return NULL;
}

static void of_racing_requests_one_wins(void **state)
{
    struct fixture *f = *state;
    struct replay  *r = memory_of(f, 10000, 100000);
    struct racer    racers[4];
    pthread_t       threads[4];
    unsigned        won = 0;

    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){.memory = r, .nonces = 5000};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        won += racers[i].won;
    }
    assert_int_equal(won, 5000);
    replay_free(r);
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(a_nonce_is_good_once_in_its_window),
        case_of(a_clock_that_steps_back_brings_no_nonce_back),
        case_of(after_a_step_back_the_present_is_let_in),
        case_of(clients_do_not_share_nonces),
        case_of(an_expired_nonce_used_anew_outlives_visits_of_others),
        case_of(a_full_memory_refuses_and_forgets_nothing),
        case_of(what_expired_makes_room_for_its_client),
        case_of(what_expired_makes_room_for_others),
        case_of(idle_clients_are_let_go_of),
        case_of(it_remembers_as_a_plain_list_does),
        case_of(refused_memory_is_an_error_and_spends_nothing),
        case_of(of_racing_requests_one_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
