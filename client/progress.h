/* SPDX-License-Identifier: Apache-2.0
 *
 * How far long work is, on one line of a terminal. */
#ifndef WFL_CLIENT_PROGRESS_H
#define WFL_CLIENT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_UNKNOWN UINT64_MAX

struct progress {
    bool     wanted;
    int64_t  began_ms, drawn_ms; /* drawn_ms 0: not yet */
    uint64_t first, last;        /* bytes done at the first look and at the last */
    bool     looked;
    double   rate;  /* bytes a second, smoothed */
    unsigned width; /* columns that the line has now */
};

/* `wanted`: draw, where stderr is a terminal. */
void progress_begin(struct progress *p, bool wanted);
/* Draws at most ten times a second, and nothing at all of work that is done in a moment. */
void progress_show(struct progress *p, uint64_t done, uint64_t total);
/* Takes the line away. */
void progress_end(struct progress *p);

#endif
