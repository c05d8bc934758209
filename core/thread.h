/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads: how they begin, and how the system is to treat them. */
#ifndef WFL_CORE_THREAD_H
#define WFL_CORE_THREAD_H

#include "core/core.h"

#include <pthread.h>

/* Starts one that takes no signals: those are for the program's main thread. */
WFL_MUST_USE bool wfl_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

/* Of the calling thread, at its beginning: the name by which top and gdb show it (at most 15
 * bytes), and its niceness. That it could not be had is no failure. */
void wfl_thread_introduce(const char *name, int niceness);

/* The calling thread does a little at a time for somebody who waits: where the processors are busy
 * it asks for short slices of them, and so gets its turn soon, though no larger share (Linux from
 * 6.12 on; before, nothing changes). */
void wfl_thread_be_prompt(void);

#endif
