/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_private.h"

#define COMPANY_NS INT64_C(1000000000)

/* Two threads at once may each miss the other: the next ones will not. */
void wfl_company_note(struct wfl_company *c, uint64_t flow, int64_t now_ns)
{
    uint64_t before;

    if (flow == 0) return;
    before = atomic_load_explicit(&c->flow, memory_order_relaxed);
    if (before == flow) return;
    atomic_store_explicit(&c->flow, flow, memory_order_relaxed);
    if (before != 0) atomic_store_explicit(&c->until_ns, now_ns + COMPANY_NS, memory_order_relaxed);
}

bool wfl_company_is_here(const struct wfl_company *c, int64_t now_ns)
{
    return now_ns < atomic_load_explicit(&c->until_ns, memory_order_relaxed);
}
