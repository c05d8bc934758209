/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of micro share: how long one takes, and how it is said. */
#ifndef WFL_BENCH_MICRO_H
#define WFL_BENCH_MICRO_H

#include "core/core.h"

#define MICRO_ROUNDS 5

/* A piece of work done `n` times over. */
typedef void (*micro_fn)(void *ctx, uint64_t n);

_Noreturn void micro_die(const char *step, const char *why);
/* Median of MICRO_ROUNDS, each of at least 0.1 s, in nanoseconds apiece. Prints a line. */
double micro_time(const char *name, micro_fn run, void *ctx);
double micro_median(double *values, size_t count);

void micro_auth(void);
/* `folder` exists and is empty; what is left in it is the caller's to remove. */
void micro_engine(const char *folder);

#endif
