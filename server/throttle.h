/* SPDX-License-Identifier: Apache-2.0
 *
 * Rates: requests and bytes a second, of whatever has an id. Knows neither packets nor buckets nor
 * what time it is. */
#ifndef WFL_SERVER_THROTTLE_H
#define WFL_SERVER_THROTTLE_H

#include "core/core.h"

#define LIMIT_ID_LEN 16
#define LIMIT_NONE   UINT64_MAX

struct limit {                                      /* a plain value */
    uint8_t  id[LIMIT_ID_LEN];                      /* those with one id share what it gives */
    uint64_t requests_per_second, bytes_per_second; /* at least 1; LIMIT_NONE: not limited */
};

struct throttle;
/* `max`: ids remembered at a time. Any thread, all calls. */
WFL_MUST_USE wfl_code throttle_new(uint32_t max, const struct wfl_alloc *alloc,
                                   struct throttle **out, wfl_error *err);
void                  throttle_free(struct throttle *l); /* NULL is accepted */

/* A request that all of `list` bound. 0: it may begin, and is counted. Else so many ns have to pass
 * first, and nothing was counted. Refused are: more than a second's requests at once; any while the
 * bytes that were moved are more than ADMIT_NS ahead of their rate; and, where as many ids are busy
 * as are remembered, those of another one. */
int64_t throttle_admit(struct throttle *l, const struct limit *list, size_t count, int64_t now_ns);
/* Bytes were moved. Returns how many ns to wait before more are: what is moved may be a second
 * ahead of the rate. With 0 bytes it only asks. */
int64_t throttle_move(struct throttle *l, const struct limit *list, size_t count, uint64_t bytes,
                      int64_t now_ns);
/* Ids remembered. */
uint64_t throttle_count(const struct throttle *l);

#endif
