/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranked mutexes. Each thread remembers the ranks that it holds; a step that does not rise aborts
 * at the place of the mistake instead of hanging some day in production. */
#include "core/lock.h"

#include <assert.h>
#include <stdlib.h>

#define HELD_MAX 16

static _Thread_local struct {
    unsigned           count;
    enum wfl_lock_rank ranks[HELD_MAX];
} held;

static void push(enum wfl_lock_rank rank)
{
    assert(held.count < HELD_MAX);
    assert(held.count == 0 || held.ranks[held.count - 1] < rank);
    held.ranks[held.count++] = rank;
}

static void pop(enum wfl_lock_rank rank)
{
    assert(held.count > 0 && held.ranks[held.count - 1] == rank);
    held.count--;
}

void wfl_mutex_init(wfl_mutex *m, enum wfl_lock_rank rank)
{
    if (pthread_mutex_init(&m->os, NULL) != 0) abort(); /* Linux: cannot fail for a default mutex */
    m->rank = rank;
}

void wfl_mutex_fini(wfl_mutex *m)
{
    pthread_mutex_destroy(&m->os);
}

void wfl_mutex_lock(wfl_mutex *m)
{
    push(m->rank);
    if (pthread_mutex_lock(&m->os) != 0) abort();
}

void wfl_mutex_unlock(wfl_mutex *m)
{
    pop(m->rank); /* first: to unlock what is not held is undefined */
    if (pthread_mutex_unlock(&m->os) != 0) abort();
}

void wfl_mutex_wait(wfl_mutex *m, pthread_cond_t *c)
{
    assert(held.count > 0 && held.ranks[held.count - 1] == m->rank);
    if (pthread_cond_wait(c, &m->os) != 0) abort();
}
