/* SPDX-License-Identifier: Apache-2.0
 *
 * What is left of this process when somebody else has taken it over: the files that it needs, and
 * the system calls that serving takes. Both only ever get less, and hold for every thread. */
#ifndef WFL_SERVER_SANDBOX_H
#define WFL_SERVER_SANDBOX_H

#include "core/core.h"

#define WFL_SANDBOX_READABLE_MAX 72

struct wfl_sandbox_files {
    const char *writable;                           /* a folder: everything below it */
    const char *readable[WFL_SANDBOX_READABLE_MAX]; /* files that may be read again later, and
                                                     * whatever lies beside them: who renews a
                                                     * file puts another one in its place */
    uint32_t    readable_count;
    const char *appendable; /* a file that is opened, or made, to be written to; NULL: none */
};

enum wfl_sandbox_state {
    WFL_SANDBOX_OFF,     /* the settings say so */
    WFL_SANDBOX_MISSING, /* this kernel has none: known, logged, and served without */
    WFL_SANDBOX_ON,
};

/* Landlock: no file but these, and no connection to anywhere. To be called before there is a second
 * thread, since it holds for the calling one and those that it makes. No new privileges from here
 * on. IO: a path that cannot be opened, or a kernel that has it and refuses. */
WFL_MUST_USE wfl_code wfl_sandbox_files(const struct wfl_sandbox_files *files,
                                        enum wfl_sandbox_state *state, wfl_error *err);
/* seccomp, for all threads at once: no new sockets, no programs, no memory that can be executed.
 * What is not on the list is answered as if the kernel had no such call, so that libraries take the
 * way they have for older ones; what nobody but an intruder calls (execve, ptrace, ...) ends the
 * process. IO, NOMEM. */
WFL_MUST_USE wfl_code wfl_sandbox_calls(enum wfl_sandbox_state *state, wfl_error *err);

#endif
