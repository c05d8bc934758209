/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose turn it is on a reactor. Connections with something to do wait in lanes by flow (what the
 * server said last that the connection works for, mostly a bucket), and the lanes that have some
 * take turns by time (deficit round robin): so a flow with a thousand busy connections delays
 * another's request by a quantum and one turn, not by a thousand. What a turn costs is known when
 * it is over; who took more than its quantum sits out until the others had as much.
 *
 * Lanes are a fixed number, and flows are spread over them by a hash that is another one in each
 * process: two may share one, but nobody can choose whom to share with. Nothing is allocated, and a
 * turn costs the same however many wait. */
#include "net/net_private.h"

#define QUANTUM_NS INT64_C(100000)

void turns_init(struct turns *t, uint64_t salt)
{
    *t = (struct turns){.salt = salt};
}

static struct turn_lane *lane_of(struct turns *t, uint64_t flow)
{
    return &t->lanes[((flow ^ t->salt) * 0x9E3779B97F4A7C15u) >> (64 - TURN_LANES_LOG2)];
}

static void activate(struct turns *t, struct turn_lane *lane)
{
    lane->next = NULL;
    if (t->active_tail != NULL) {
        t->active_tail->next = lane;
    } else {
        t->active = lane;
    }
    t->active_tail = lane;
}

static void deactivate_first(struct turns *t)
{
    t->active = t->active->next;
    if (t->active == NULL) t->active_tail = NULL;
}

static void deactivate(struct turns *t, const struct turn_lane *lane)
{
    struct turn_lane **at = &t->active, *before = NULL;

    while (*at != lane) {
        before = *at;
        at = &before->next;
    }
    *at = lane->next;
    if (t->active_tail == lane) t->active_tail = before;
}

void turns_push(struct turns *t, struct turn *turn, uint64_t flow)
{
    struct turn_lane *lane;

    if (turn->lane != NULL) return;
    lane = lane_of(t, flow);
    turn->lane = lane;
    turn->next = NULL;
    turn->prev = lane->tail;
    if (lane->tail != NULL) {
        lane->tail->next = turn;
    } else {
        lane->head = turn;
        if (lane->deficit_ns > 0) lane->deficit_ns = 0; /* no saving up while there is no work */
        lane->deficit_ns += QUANTUM_NS;
        activate(t, lane);
    }
    lane->tail = turn;
}

static void unlink_turn(struct turn *turn)
{
    struct turn_lane *lane = turn->lane;

    *(turn->prev == NULL ? &lane->head : &turn->prev->next) = turn->next;
    *(turn->next == NULL ? &lane->tail : &turn->next->prev) = turn->prev;
    turn->lane = NULL;
}

void turns_remove(struct turns *t, struct turn *turn)
{
    struct turn_lane *lane = turn->lane;

    if (lane == NULL) return;
    unlink_turn(turn);
    if (lane->head == NULL) deactivate(t, lane);
}

struct turn *turns_pop(struct turns *t, struct turn_lane **lane)
{
    struct turn *turn;

    if (t->active == NULL) return NULL;
    while (t->active->deficit_ns <= 0) { /* its turn is over: to the end of the ring */
        struct turn_lane *first = t->active;

        first->deficit_ns += QUANTUM_NS;
        deactivate_first(t);
        activate(t, first);
    }
    *lane = t->active;
    turn = t->active->head;
    unlink_turn(turn);
    if ((*lane)->head == NULL) deactivate_first(t);
    return turn;
}

void turns_charge(struct turn_lane *lane, int64_t ns)
{
    if (ns > TURN_CHARGE_MAX_NS) ns = TURN_CHARGE_MAX_NS;
    if (ns > 0) lane->deficit_ns -= ns;
}
