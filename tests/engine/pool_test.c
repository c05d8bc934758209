/* SPDX-License-Identifier: Apache-2.0
 *
 * The fair pool alone. One thread, held at a first job while the queue is filled: then the order in
 * which jobs run is the order in which they were chosen. */
#include "harness.h"

#include "engine/engine_private.h"

#include <stdlib.h>

#define JOBS_MAX 256

struct pool_bench {
    struct wfl_pool *pool;
    pthread_mutex_t  lock;
    pthread_cond_t   wake;
    bool             holding, released;
    uint64_t         order[JOBS_MAX]; /* flows, as they ran */
    size_t           count;
};
struct test_job {
    struct wfl_job     job;
    struct pool_bench *bench;
    uint64_t           weight; /* what it turns out to be */
};

static uint64_t run_noting(struct wfl_job *job)
{
    struct test_job   *t = (struct test_job *)(void *)job;
    struct pool_bench *b = t->bench;

    pthread_mutex_lock(&b->lock);
    b->order[b->count++] = job->flow;
    pthread_mutex_unlock(&b->lock);
    return t->weight;
}

static uint64_t run_holding(struct wfl_job *job)
{
    struct pool_bench *b = ((struct test_job *)(void *)job)->bench;

    pthread_mutex_lock(&b->lock);
    b->holding = true;
    pthread_cond_broadcast(&b->wake);
    while (!b->released)
        pthread_cond_wait(&b->wake, &b->lock);
    pthread_mutex_unlock(&b->lock);
    return 0;
}

static struct test_job holder;

static void start(struct pool_bench *b, uint32_t queue_max)
{
    wfl_error err;

    *b = (struct pool_bench){0};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    assert_int_equal(wfl_pool_new(1, queue_max, NULL, 1, &wfl_alloc_libc, &b->pool, &err), WFL_OK);
    holder = (struct test_job){.job = {.flow = 999, .run = run_holding}, .bench = b};
    assert_int_equal(wfl_pool_submit(b->pool, &holder.job), WFL_PENDING);
    pthread_mutex_lock(&b->lock);
    while (!b->holding)
        pthread_cond_wait(&b->wake, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void finish(struct pool_bench *b)
{
    pthread_mutex_lock(&b->lock);
    b->released = true;
    pthread_cond_broadcast(&b->wake);
    pthread_mutex_unlock(&b->lock);
    wfl_pool_free(b->pool); /* after all that is queued */
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
}

static wfl_code submit(struct pool_bench *b, struct test_job *job, uint64_t flow, uint64_t cost,
                       uint64_t weight)
{
    *job = (struct test_job){
        .job = {.flow = flow, .cost = cost, .run = run_noting}, .bench = b, .weight = weight};
    return wfl_pool_submit(b->pool, &job->job);
}

static size_t place_of(const struct pool_bench *b, uint64_t flow)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->order[i] == flow) return i;
    }
    return SIZE_MAX;
}

static void a_small_flow_does_not_wait_behind_a_large_one(void **state)
{
    static struct test_job jobs[101];
    struct pool_bench      b;

    (void)state;
    start(&b, JOBS_MAX);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(submit(&b, &jobs[i], 1, 1u << 20, 1u << 20), WFL_PENDING);
    assert_int_equal(submit(&b, &jobs[100], 2, 4096, 4096), WFL_PENDING);
    assert_int_equal(wfl_pool_queued(b.pool), 101);
    finish(&b);
    assert_int_equal(b.count, 101);
    assert_true(place_of(&b, 2) < 2);
}

/* Of two flows with work each gets as many bytes, whatever the sizes of its jobs. */
static void flows_share_by_bytes(void **state)
{
    static struct test_job jobs[120];
    struct pool_bench      b;
    size_t                 large = 0;

    (void)state;
    start(&b, JOBS_MAX);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(submit(&b, &jobs[i], 1, 256u << 10, 256u << 10), WFL_PENDING);
    for (size_t i = 20; i < 120; i++)
        assert_int_equal(submit(&b, &jobs[i], 2, 64u << 10, 64u << 10), WFL_PENDING);
    finish(&b);
    for (size_t i = 0; i < 50; i++)
        large += b.order[i] == 1;
    assert_in_range(large, 9, 11); /* one large one for four small ones */
}

/* A flow whose jobs turn out heavier than they looked pays afterwards. */
static void a_job_is_charged_what_it_weighed(void **state)
{
    static struct test_job jobs[80];
    struct pool_bench      b;
    size_t                 liar = 0;

    (void)state;
    start(&b, JOBS_MAX);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(submit(&b, &jobs[i], 1, 4096, 1u << 20), WFL_PENDING);
    for (size_t i = 40; i < 80; i++)
        assert_int_equal(submit(&b, &jobs[i], 2, 256u << 10, 256u << 10), WFL_PENDING);
    finish(&b);
    for (size_t i = 0; i < 40; i++)
        liar += b.order[i] == 1;
    assert_in_range(liar, 6, 10);
}

static void one_flow_leaves_room_for_others(void **state)
{
    static struct test_job jobs[64];
    struct pool_bench      b;
    size_t                 taken = 0;

    (void)state;
    start(&b, 16);
    while (submit(&b, &jobs[taken], 1, 0, 0) == WFL_PENDING)
        taken++;
    assert_int_equal(taken, 8);
    for (uint64_t flow = 2; flow < 6; flow++)
        assert_int_equal(submit(&b, &jobs[taken++], flow, 0, 0), WFL_PENDING);
    assert_int_equal(submit(&b, &jobs[63], 1, 0, 0), WFL_OVERLOADED);
    for (uint64_t flow = 6; flow < 10; flow++)
        assert_int_equal(submit(&b, &jobs[taken++], flow, 0, 0), WFL_PENDING);
    assert_int_equal(submit(&b, &jobs[63], 10, 0, 0), WFL_OVERLOADED);
    assert_int_equal(wfl_pool_queued(b.pool), 16);
    finish(&b);
    assert_int_equal(b.count, 16);
}

static void an_absurd_estimate_does_not_stop_the_pool(void **state)
{
    static struct test_job jobs[2];
    struct pool_bench      b;

    (void)state;
    start(&b, 16);
    assert_int_equal(submit(&b, &jobs[0], 1, UINT64_MAX, UINT64_MAX), WFL_PENDING);
    assert_int_equal(submit(&b, &jobs[1], 1, UINT64_MAX, 0), WFL_PENDING);
    finish(&b);
    assert_int_equal(b.count, 2);
}

/* ---- many threads, for the thread sanitizer and for lost jobs */

struct crowd {
    struct wfl_pool *pool;
    _Atomic uint64_t ran, taken;
};
struct crowd_job {
    struct wfl_job job;
    struct crowd  *crowd;
};

static uint64_t run_counting(struct wfl_job *job)
{
    struct crowd_job *c = (struct crowd_job *)(void *)job;

    c->crowd->ran++;
    free(c);
    return 100000;
}

static void *submit_many(void *arg)
{
    struct crowd *crowd = arg;

    for (uint64_t i = 0; i < 2000; i++) {
        struct crowd_job *c = malloc(sizeof *c);

        if (c == NULL) abort();
        *c = (struct crowd_job){.job = {.flow = i % 7, .cost = i * 64, .run = run_counting},
                                .crowd = crowd};
        if (wfl_pool_submit(crowd->pool, &c->job) == WFL_PENDING) {
            crowd->taken++;
        } else {
            free(c);
        }
    }
    return NULL;
}

static void every_job_taken_runs_once(void **state)
{
    struct crowd crowd = {0};
    pthread_t    threads[4];
    wfl_error    err;

    (void)state;
    assert_int_equal(wfl_pool_new(3, 64, NULL, 1, &wfl_alloc_libc, &crowd.pool, &err), WFL_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &crowd), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wfl_pool_free(crowd.pool);
    assert_int_equal(crowd.ran, crowd.taken);
    assert_true(crowd.taken > 0);
}

struct wicket {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    unsigned        inside[3], ended; /* by flow */
    bool            open;
};
struct wicket_job {
    struct wfl_job job;
    struct wicket *gate;
};

static uint64_t run_inside(struct wfl_job *job)
{
    struct wicket *g = ((struct wicket_job *)(void *)job)->gate;

    pthread_mutex_lock(&g->lock);
    g->inside[job->flow]++;
    pthread_cond_broadcast(&g->wake);
    while (!g->open)
        pthread_cond_wait(&g->wake, &g->lock);
    g->inside[job->flow]--;
    g->ended++;
    pthread_cond_broadcast(&g->wake);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

/* Four threads. Of one flow's computing jobs two run at a time while there is company, and the
 * other threads are there for others, and for its own jobs that do not compute. */
static void with_company_no_flow_computes_everywhere(void **state)
{
    enum { JOBS = 12 };

    struct wfl_company company = {.until_ns = INT64_MAX};
    struct wicket      g = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct wicket_job  jobs[JOBS], small;
    struct wfl_pool   *pool;
    wfl_error          err;

    (void)state;
    assert_int_equal(wfl_pool_new(4, 64, &company, 2, &wfl_alloc_libc, &pool, &err), WFL_OK);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct wicket_job){.job = {.flow = 1, .computes = true, .run = run_inside},
                                      .gate = &g};
        assert_int_equal(wfl_pool_submit(pool, &jobs[i].job), WFL_PENDING);
    }
    small =
        (struct wicket_job){.job = {.flow = 2, .computes = true, .run = run_inside}, .gate = &g};
    assert_int_equal(wfl_pool_submit(pool, &small.job), WFL_PENDING);
    pthread_mutex_lock(&g.lock);
    while (g.inside[2] == 0 || g.inside[1] < 2)
        pthread_cond_wait(&g.wake, &g.lock);
    pthread_mutex_unlock(&g.lock);
    assert_int_equal(wfl_pool_queued(pool), JOBS - 2); /* one thread has nothing to do */
    pthread_mutex_lock(&g.lock);
    assert_int_equal(g.inside[1], 2);
    g.open = true;
    pthread_cond_broadcast(&g.wake);
    while (g.ended < JOBS + 1) /* those that were held back are begun as others end */
        pthread_cond_wait(&g.wake, &g.lock);
    g.open = false;
    pthread_mutex_unlock(&g.lock);

    company.until_ns = 0; /* alone again: all threads */
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(wfl_pool_submit(pool, &jobs[i].job), WFL_PENDING);
    pthread_mutex_lock(&g.lock);
    while (g.inside[1] < 4)
        pthread_cond_wait(&g.wake, &g.lock);
    g.open = true;
    pthread_cond_broadcast(&g.wake);
    pthread_mutex_unlock(&g.lock);
    company.until_ns = INT64_MAX; /* and the end comes while some are held back */
    wfl_pool_free(pool);
    assert_int_equal(g.ended, 2 * JOBS + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_flow_does_not_wait_behind_a_large_one),
        cmocka_unit_test(flows_share_by_bytes),
        cmocka_unit_test(a_job_is_charged_what_it_weighed),
        cmocka_unit_test(one_flow_leaves_room_for_others),
        cmocka_unit_test(an_absurd_estimate_does_not_stop_the_pool),
        cmocka_unit_test(every_job_taken_runs_once),
        cmocka_unit_test(with_company_no_flow_computes_everywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
