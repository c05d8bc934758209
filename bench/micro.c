/* SPDX-License-Identifier: Apache-2.0
 *
 * Small measurements, one subject each, for finding out where time goes: build/bench/micro, or with
 * one of `auth`, `engine` behind it. Figures of one machine and one moment: compare within one run.
 */
#include "bench/micro.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUND_NS 100000000

void micro_die(const char *step, const char *why)
{
    fprintf(stderr, "micro: %s: %s\n", step, why);
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double micro_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

static int64_t took_ns(micro_fn run, void *ctx, uint64_t n)
{
    int64_t began = wfl_clock_mono_ns(&wfl_clock_system);

    run(ctx, n);
    return wfl_clock_mono_ns(&wfl_clock_system) - began;
}

double micro_time(const char *name, micro_fn run, void *ctx)
{
    double   each[MICRO_ROUNDS], median;
    uint64_t n = 1;

    while (took_ns(run, ctx, n) < ROUND_NS)
        n *= 2;
    for (int i = 0; i < MICRO_ROUNDS; i++)
        each[i] = (double)took_ns(run, ctx, n) / (double)n;
    median = micro_median(each, MICRO_ROUNDS);
    printf("%-58s %10.2f us\n", name, median / 1000);
    return median;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

int main(int argc, char **argv)
{
    char        folder[] = "bench-micro-XXXXXX"; /* here, not in /tmp, which may lie in memory */
    const char *what = argc > 1 ? argv[1] : "all";

    if (argc > 2 ||
        (strcmp(what, "all") != 0 && strcmp(what, "auth") != 0 && strcmp(what, "engine") != 0)) {
        fputs("Usage: micro [auth|engine]\n", stderr);
        return 2;
    }
    if (strcmp(what, "engine") != 0) micro_auth();
    if (strcmp(what, "auth") != 0) {
        if (mkdtemp(folder) == NULL) micro_die("folder", "cannot be made here");
        micro_engine(folder);
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    return 0;
}
