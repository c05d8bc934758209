/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of a connection's end and its reactor, for targets that drive one protocol without
 * either: included once in each program, it defines them. */
#ifndef WFL_TESTS_FUZZ_NO_REACTOR_H
#define WFL_TESTS_FUZZ_NO_REACTOR_H

#include "net/net_private.h"

void conn_close_after_flush(struct conn *c)
{
    if (c->state == CONN_OPEN) c->state = CONN_FLUSHING;
}

wfl_ulid reactor_next_id(struct reactor *r)
{
    (void)r;
    return (wfl_ulid){{1}};
}

void reactor_queue(struct reactor *r, struct conn *c)
{
    (void)r, (void)c; /* the one connection is always pumped */
}

void reactor_ring(struct reactor *r)
{
    (void)r; /* nobody posts */
}

#endif
