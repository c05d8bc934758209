/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranked mutexes: rising works, any other order aborts where the mistake is. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static wfl_mutex store, engine, another_engine;

static void rising_and_falling_in_order_works(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        wfl_mutex_lock(&store);
        wfl_mutex_lock(&engine);
        wfl_mutex_unlock(&engine);
        wfl_mutex_lock(&another_engine);
        wfl_mutex_unlock(&another_engine);
        wfl_mutex_unlock(&store);
        wfl_mutex_lock(&engine);
        wfl_mutex_unlock(&engine);
    }
}

static void falls(void)
{
    wfl_mutex_lock(&engine);
    wfl_mutex_lock(&store);
}

static void stays_level(void)
{
    wfl_mutex_lock(&engine);
    wfl_mutex_lock(&another_engine);
}

static void takes_twice(void)
{
    wfl_mutex_lock(&engine);
    wfl_mutex_lock(&engine);
}

static void leaves_out_of_order(void)
{
    wfl_mutex_lock(&store);
    wfl_mutex_lock(&engine);
    wfl_mutex_unlock(&store);
}

static void leaves_what_it_does_not_hold(void)
{
    wfl_mutex_lock(&store);
    wfl_mutex_unlock(&store);
    wfl_mutex_unlock(&store);
}

static void waits_without_holding(void)
{
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

    wfl_mutex_wait(&engine, &cond);
}

static void any_other_order_aborts(void **state)
{
    static void (*const cases[])(void) = {
        falls,
        stays_level,
        takes_twice,
        leaves_out_of_order,
        leaves_what_it_does_not_hold,
        waits_without_holding,
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        pid_t child = fork();
        int   status;

        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
            cases[i]();
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) fail_msg("case %zu", i);
    }
}

/* ---- many threads, and one that waits */

#define THREADS 4
#define ROUNDS  5000

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned       sum, finished;

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        wfl_mutex_lock(&store);
        sum++;
        wfl_mutex_unlock(&store);
    }
    wfl_mutex_lock(&store);
    finished++;
    pthread_cond_signal(&changed);
    wfl_mutex_unlock(&store);
    return NULL;
}

static void waiting_gives_the_lock_away_and_takes_it_back(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    wfl_mutex_lock(&store);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    while (finished < THREADS)
        wfl_mutex_wait(&store, &changed);
    assert_int_equal(sum, THREADS * ROUNDS);
    wfl_mutex_lock(&engine); /* still held, still in order */
    wfl_mutex_unlock(&engine);
    wfl_mutex_unlock(&store);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rising_and_falling_in_order_works),
        cmocka_unit_test(any_other_order_aborts),
        cmocka_unit_test(waiting_gives_the_lock_away_and_takes_it_back),
    };

    wfl_mutex_init(&store, WFL_RANK_STORE);
    wfl_mutex_init(&engine, WFL_RANK_ENGINE);
    wfl_mutex_init(&another_engine, WFL_RANK_ENGINE);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wfl_mutex_fini(&store);
    wfl_mutex_fini(&engine);
    wfl_mutex_fini(&another_engine);
    return failed;
}
