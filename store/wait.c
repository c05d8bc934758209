/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for the engine, on threads that may: while a store opens, in the worker pool, in the
 * collector. A thread of the pool may wait for the committer, which waits for nobody. */
#include "store/chunks.h"

struct waiter {
    pthread_mutex_t lock; /* not ranked: it is never held together with another */
    pthread_cond_t  wake;
    bool            done;
};
#define WAITER_INIT                                                                                \
    {                                                                                              \
        .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER                        \
    }

static void waiter_wake(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static void waiter_wait(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

struct waited_commit {
    struct wfl_once_commit commit; /* the first member */
    struct waiter          waiter;
};

static void commit_done(struct wfl_commit *c)
{
    waiter_wake(&((struct waited_commit *)(void *)c)->waiter);
}

wfl_code wfl_wait_commit(struct wfl_store *s, const struct wait_commit *what, wfl_error *err)
{
    struct waited_commit w = {.commit = {.commit = {.durability = what->durability,
                                                    .bytes = what->bytes,
                                                    .flow = what->flow,
                                                    .grows = what->grows,
                                                    .done = commit_done,
                                                    .arg = what->arg},
                                         .store = s,
                                         .once = what->once,
                                         .apply = what->apply},
                              .waiter = WAITER_INIT};

    if (wfl_once_submit(&w.commit) == WFL_PENDING) waiter_wait(&w.waiter);
    if (w.commit.commit.rc != WFL_OK) *err = w.commit.commit.err;
    return w.commit.commit.rc;
}

wfl_code wfl_wait_range(struct wfl_store *s, struct wfl_engine_range *range, wfl_error *err)
{
    wfl_code rc = wfl_engine_range_now(s->engine, range);

    if (rc != WFL_OK) *err = range->err;
    return rc;
}
