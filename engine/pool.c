/* SPDX-License-Identifier: Apache-2.0
 *
 * A pool of threads whose queue is fair: each flow (a bucket) has a queue of its own, and the flows
 * that have work are served in turn by bytes (deficit round robin, RFC 8290's inner scheduler). A
 * flow with a thousand megabyte jobs thus delays another flow's small one by a quantum, not by all.
 * A job is charged what it was thought to weigh when it begins and the difference when it ends.
 * While there is company (several flows at work lately) a flow has a bounded number of computing
 * jobs under way, and who ran one rests half as long as that took: else hashing takes every
 * processor, and each step of a small request waits for one. Places for flows are allocated once:
 * as many as jobs may wait, so a submit never allocates, and a flow without work has none.
 *
 * Failure: a full queue is OVERLOADED, told at once. A flow may hold no more places than it leaves
 * free, so one alone fills half of the queue and every other still finds room. */
#include "engine/engine_private.h"

#include <assert.h>
#include <time.h>

#define QUANTUM_BYTES   (256u << 10)
#define WORKER_NICENESS 5
#define REST_NS_MAX     5000000     /* work that waited for a disk is not rested from for long */
#define JOB_COST_MIN    4096        /* a job that moves no bytes still takes a turn */
#define JOB_COST_MAX    (64u << 20) /* no estimate buys more than this many turns of waiting */

struct flow {
    struct flow    *next_active; /* ring of flows with work, or the free list */
    struct flow    *next_hash;
    uint64_t        id;
    int64_t         deficit; /* bytes it may still have in this turn; debts are below zero */
    uint32_t        waiting; /* jobs */
    uint32_t        running, computing;
    bool            parked; /* has jobs, and computes as much as it may: not in the ring */
    struct wfl_job *head, *tail;
};

struct wfl_pool {
    const struct wfl_alloc   *alloc;
    wfl_mutex                 lock;
    pthread_cond_t            wake;
    pthread_t                *threads;
    uint32_t                  thread_count;
    uint32_t                  queue_max, queued;
    const struct wfl_company *company;
    uint32_t                  computing_max;
    struct flow              *flows, *free;
    struct flow             **buckets; /* hash by flow id */
    uint32_t                  bucket_mask;
    struct flow              *active_head, *active_tail;
    bool                      stopping;
};

static uint32_t hash_of(const struct wfl_pool *p, uint64_t id)
{
    return (uint32_t)((id * 0x9E3779B97F4A7C15u) >> 32) & p->bucket_mask;
}

static struct flow *find_locked(struct wfl_pool *p, uint64_t id)
{
    struct flow *f = p->buckets[hash_of(p, id)];

    while (f != NULL && f->id != id)
        f = f->next_hash;
    return f;
}

static struct flow *make_locked(struct wfl_pool *p, uint64_t id)
{
    struct flow **bucket = &p->buckets[hash_of(p, id)], *f = p->free;

    assert(f != NULL); /* as many as jobs may wait or run */
    p->free = f->next_active;
    *f = (struct flow){.id = id, .next_hash = *bucket};
    *bucket = f;
    return f;
}

static void forget_locked(struct wfl_pool *p, struct flow *f)
{
    struct flow **at = &p->buckets[hash_of(p, f->id)];

    while (*at != f)
        at = &(*at)->next_hash;
    *at = f->next_hash;
    f->next_active = p->free;
    p->free = f;
}

static void append_active_locked(struct wfl_pool *p, struct flow *f)
{
    f->next_active = NULL;
    if (p->active_tail != NULL) {
        p->active_tail->next_active = f;
    } else {
        p->active_head = f;
    }
    p->active_tail = f;
}

static struct flow *pop_active_locked(struct wfl_pool *p)
{
    struct flow *f = p->active_head;

    p->active_head = f->next_active;
    if (p->active_head == NULL) p->active_tail = NULL;
    return f;
}

static int64_t charge_of(uint64_t bytes)
{
    return bytes < JOB_COST_MIN   ? JOB_COST_MIN
           : bytes > JOB_COST_MAX ? JOB_COST_MAX
                                  : (int64_t)bytes;
}

static bool has_company(const struct wfl_pool *p)
{
    return p->company != NULL &&
           wfl_company_is_here(p->company, wfl_clock_mono_ns(&wfl_clock_system));
}

/* NULL: none may be begun now. */
static struct wfl_job *next_job_locked(struct wfl_pool *p)
{
    while (p->active_head != NULL) {
        struct flow    *f = p->active_head;
        struct wfl_job *job = f->head;

        if (job->computes && f->computing >= p->computing_max && has_company(p)) {
            pop_active_locked(p);
            f->parked = true; /* until one of those that run ends */
            continue;
        }
        if (f->deficit < charge_of(job->cost)) { /* its turn is over: to the end of the ring */
            f->deficit += QUANTUM_BYTES;
            append_active_locked(p, pop_active_locked(p));
            continue;
        }
        f->deficit -= charge_of(job->cost);
        f->head = job->next;
        f->waiting--;
        f->running++;
        f->computing += job->computes;
        p->queued--;
        if (f->head == NULL) pop_active_locked(p);
        return job;
    }
    return NULL;
}

/* What the job weighed is known now. A flow without work is forgotten, debts too. True: it may have
 * work for another thread. */
static bool settle_locked(struct wfl_pool *p, uint64_t flow, bool computed, int64_t difference)
{
    struct flow *f = find_locked(p, flow);
    bool         more = f->parked;

    f->deficit -= difference;
    f->running--;
    f->computing -= computed;
    if (f->parked) {
        f->parked = false;
        append_active_locked(p, f);
    } else if (f->head == NULL && f->running == 0) {
        forget_locked(p, f);
    }
    return more;
}

/* After so much computing, with company. Where the processors are short the work took longer, and
 * so does the rest: it leaves them room exactly when there is none. */
static void rest_after(int64_t worked_ns)
{
    struct timespec pause = {.tv_nsec = worked_ns / 2 > REST_NS_MAX ? REST_NS_MAX : worked_ns / 2};

    nanosleep(&pause, NULL);
}

static void *worker_run(void *arg)
{
    struct wfl_pool *p = arg;

    /* This thread's: where processors are short, requests that only need a moment of a reactor, and
     * commits, go before hashing. */
    wfl_thread_introduce("wfl-pool", WORKER_NICENESS);
    wfl_mutex_lock(&p->lock);
    for (;;) {
        struct wfl_job *job = next_job_locked(p);

        if (job == NULL && p->stopping && p->queued == 0) break;
        if (job == NULL) {
            wfl_mutex_wait(&p->lock, &p->wake);
            continue;
        }
        uint64_t flow = job->flow;
        int64_t  charged = charge_of(job->cost);
        bool     computes = job->computes;

        wfl_mutex_unlock(&p->lock);
        int64_t began = wfl_clock_mono_ns(&wfl_clock_system);
        int64_t weight = charge_of(job->run(job)); /* the job may be gone */
        if (computes && has_company(p)) rest_after(wfl_clock_mono_ns(&wfl_clock_system) - began);
        wfl_mutex_lock(&p->lock);
        if (settle_locked(p, flow, computes, weight - charged)) pthread_cond_signal(&p->wake);
    }
    pthread_cond_broadcast(&p->wake); /* it was the last one: the others need not wait for it */
    wfl_mutex_unlock(&p->lock);
    return NULL;
}

wfl_code wfl_pool_submit(struct wfl_pool *p, struct wfl_job *job)
{
    struct flow *f;
    wfl_code     rc = WFL_PENDING;

    wfl_mutex_lock(&p->lock);
    f = find_locked(p, job->flow);
    if (p->stopping) {
        rc = WFL_CLOSED;
    } else if ((f == NULL ? 0 : f->waiting) >= p->queue_max - p->queued) {
        rc = WFL_OVERLOADED;
    } else {
        if (f == NULL) f = make_locked(p, job->flow);
        job->next = NULL;
        if (f->head == NULL) {
            f->head = job;
            append_active_locked(p, f); /* parked it is not: then it has a head */
        } else {
            f->tail->next = job;
        }
        f->tail = job;
        f->waiting++;
        p->queued++;
    }
    wfl_mutex_unlock(&p->lock);
    if (rc == WFL_PENDING) pthread_cond_signal(&p->wake);
    return rc;
}

uint64_t wfl_pool_queued(struct wfl_pool *p)
{
    uint64_t n;

    wfl_mutex_lock(&p->lock);
    n = p->queued;
    wfl_mutex_unlock(&p->lock);
    return n;
}

static wfl_code allocate(struct wfl_pool *p, uint32_t threads, uint32_t queue_max, wfl_error *err)
{
    uint32_t buckets = 64;

    while (buckets < queue_max && buckets < 1u << 16)
        buckets *= 2;
    p->bucket_mask = buckets - 1;
    p->queue_max = queue_max;
    p->flows = wfl_alloc_zero(p->alloc, (size_t)queue_max + threads, sizeof *p->flows);
    p->buckets = wfl_alloc_zero(p->alloc, buckets, sizeof(struct flow *));
    p->threads = wfl_alloc_zero(p->alloc, threads, sizeof *p->threads);
    if (p->flows == NULL || p->buckets == NULL || p->threads == NULL) {
        return wfl_fail(err, WFL_NOMEM, "worker pool: out of memory");
    }
    for (uint32_t i = 0; i < queue_max + threads; i++) {
        p->flows[i].next_active = p->free;
        p->free = &p->flows[i];
    }
    return WFL_OK;
}

wfl_code wfl_pool_new(uint32_t threads, uint32_t queue_max, const struct wfl_company *company,
                      uint32_t computing_max, const struct wfl_alloc *alloc, struct wfl_pool **out,
                      wfl_error *err)
{
    struct wfl_pool *p = wfl_alloc_zero(alloc, 1, sizeof *p);
    wfl_code         rc;

    if (p == NULL) return wfl_fail(err, WFL_NOMEM, "worker pool: out of memory");
    p->alloc = alloc;
    p->company = company;
    p->computing_max = computing_max;
    wfl_mutex_init(&p->lock, WFL_RANK_POOL);
    pthread_cond_init(&p->wake, NULL);
    rc = allocate(p, threads, queue_max, err);
    while (rc == WFL_OK && p->thread_count < threads) {
        if (!wfl_thread_start(&p->threads[p->thread_count], worker_run, p)) {
            rc = wfl_fail(err, WFL_IO, "worker pool: no thread could be started");
        } else {
            p->thread_count++;
        }
    }
    if (rc != WFL_OK) {
        wfl_pool_free(p);
        return rc;
    }
    *out = p;
    return WFL_OK;
}

void wfl_pool_stop(struct wfl_pool *p)
{
    wfl_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_broadcast(&p->wake);
    wfl_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->thread_count; i++)
        pthread_join(p->threads[i], NULL);
    p->thread_count = 0;
}

void wfl_pool_free(struct wfl_pool *p)
{
    if (p == NULL) return;
    wfl_pool_stop(p);
    wfl_alloc_free(p->alloc, p->flows);
    wfl_alloc_free(p->alloc, p->buckets);
    wfl_alloc_free(p->alloc, p->threads);
    pthread_cond_destroy(&p->wake);
    wfl_mutex_fini(&p->lock);
    wfl_alloc_free(p->alloc, p);
}
