/* SPDX-License-Identifier: Apache-2.0
 *
 * Mutexes with a rank: a thread takes them in rising rank only, so no two can wait for each other.
 * Builds without NDEBUG abort at the first step down; the check costs a thread-local compare. */
#ifndef WFL_CORE_LOCK_H
#define WFL_CORE_LOCK_H

#include <pthread.h>

enum wfl_lock_rank { /* outermost first */
                     WFL_RANK_SERVER = 10,
                     WFL_RANK_AUTH = 20,
                     WFL_RANK_STORE = 30,
                     WFL_RANK_ENGINE = 40,
                     WFL_RANK_ROLL = 42,     /* who makes the next segment file */
                     WFL_RANK_SEGMENTS = 44, /* the table of segments; never held over I/O */
                     WFL_RANK_REWRITE = 46,  /* what the rewriter is to do */
                     WFL_RANK_POOL = 50,
                     WFL_RANK_NET =
                         60, /* the queue into a reactor: taken by whoever finishes something */
                     WFL_RANK_LOG = 70,
};

typedef struct wfl_mutex {
    pthread_mutex_t    os;
    enum wfl_lock_rank rank;
} wfl_mutex;

void wfl_mutex_init(wfl_mutex *m, enum wfl_lock_rank rank);
void wfl_mutex_fini(wfl_mutex *m);
void wfl_mutex_lock(wfl_mutex *m);
void wfl_mutex_unlock(wfl_mutex *m);
/* Waits on `c` with `m` held, as pthread_cond_wait. */
void wfl_mutex_wait(wfl_mutex *m, pthread_cond_t *c);

#endif
