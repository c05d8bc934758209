/* SPDX-License-Identifier: Apache-2.0 */
#include "core/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROMPT_SLICE_NS 100000 /* the shortest that the system gives */

/* As the kernel reads it (linux/sched/types.h); the C library has no call for it. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t  nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

bool wfl_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, before;
    bool     ok;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void wfl_thread_introduce(const char *name, int niceness)
{
    (void)prctl(PR_SET_NAME, (unsigned long)(uintptr_t)name, 0, 0, 0);
    if (niceness != 0) (void)setpriority(PRIO_PROCESS, 0, niceness); /* 0: this thread */
}

void wfl_thread_be_prompt(void)
{
    struct sched_attributes wanted = {.size = sizeof wanted,
                                      .policy = SCHED_OTHER,
                                      .nice = getpriority(PRIO_PROCESS, 0),
                                      .runtime_ns = PROMPT_SLICE_NS};

    if (sched_getscheduler(0) != SCHED_OTHER) return; /* somebody knows better */
    (void)syscall(SYS_sched_setattr, 0, &wanted, 0);
}
