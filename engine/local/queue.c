/* SPDX-License-Identifier: Apache-2.0
 *
 * Commits that wait for the committer. Each flow (a bucket) has a lane, and the lanes that have
 * something are served in turn by bytes (deficit round robin, as in pool.c), so a bucket with a
 * thousand writes waiting delays another's by a quantum and not by all. Within a lane the order is
 * that of their coming. Lanes are a fixed number, and flows are spread over them by a hash that is
 * another one in each process: two may share one, but nobody can choose whom to share with. Nothing
 * is allocated, and a commit costs the same however many wait.
 *
 * All of a group are told together, when it is stored. So where several flows wait, a group ends
 * when each has had its turn: who has one small write does not wait for all that another has. Nor
 * should it wait for a long group that began before it came, so turns bound the groups of one flow
 * too, for a while after others were met. Who has been alone for long is not bounded by them.
 *
 * Failure: a lane may hold no more than it leaves free, in commits and in bytes. So one bucket
 * alone fills half of the queue and is told OVERLOADED, and every other still finds room. */
#include "engine/local/local_private.h"

#define QUANTUM_BYTES INT64_C(65536)
#define COST_MIN      INT64_C(4096) /* what a commit costs beside its bytes */

static struct commit_lane *lane_of(struct commit_queue *q, uint64_t flow)
{
    return &q->lanes[((flow ^ q->salt) * 0x9E3779B97F4A7C15u) >> (64 - COMMIT_LANES_LOG2)];
}

static int64_t cost_of(const struct wfl_commit *c)
{
    return COST_MIN + (int64_t)c->bytes;
}

static void activate(struct commit_queue *q, struct commit_lane *lane)
{
    lane->next = NULL;
    if (q->active_tail != NULL)
        q->active_tail->next = lane;
    else
        q->active = lane;
    q->active_tail = lane;
}

static void deactivate_first(struct commit_queue *q)
{
    q->active = q->active->next;
    if (q->active == NULL) q->active_tail = NULL;
}

bool wfl_commit_queue_push(struct commit_queue *q, struct wfl_commit *c)
{
    struct commit_lane *lane = lane_of(q, c->flow);

    if (lane->count >= q->count_max - q->count || lane->bytes > q->bytes_max - q->bytes)
        return false;
    c->own.next = NULL;
    if (lane->tail != NULL) {
        lane->tail->own.next = c;
    } else {
        lane->head = c;
        lane->deficit = QUANTUM_BYTES;
        activate(q, lane);
    }
    lane->tail = c;
    lane->count++;
    lane->bytes += c->bytes;
    q->count++;
    q->bytes += c->bytes;
    return true;
}

static struct wfl_commit *take_from(struct commit_queue *q, struct commit_lane *lane)
{
    struct wfl_commit *c = lane->head;

    lane->deficit -= cost_of(c);
    lane->head = c->own.next;
    lane->count--;
    lane->bytes -= c->bytes;
    q->count--;
    q->bytes -= c->bytes;
    if (lane->head == NULL) {
        lane->tail = NULL;
        deactivate_first(q);
    }
    c->own.next = NULL;
    return c;
}

/* It has had its turn in this group, and so has everyone else: the ring has come round. */
static bool is_round(const struct commit_queue *q, const struct commit_lane *lane, bool several)
{
    return lane->group == q->group && (several || lane->next != NULL);
}

static void end_turn(struct commit_queue *q, struct commit_lane *lane)
{
    lane->deficit += QUANTUM_BYTES;
    lane->group = q->group;
    deactivate_first(q);
    activate(q, lane);
}

struct wfl_commit *wfl_commit_queue_take(struct commit_queue *q, uint64_t bytes_max, bool company)
{
    struct wfl_commit        *first = NULL, *last = NULL;
    const struct commit_lane *served = NULL;
    uint64_t                  bytes = 0;
    bool                      several = company;

    q->group++;
    while (q->active != NULL) {
        struct commit_lane *lane = q->active;

        if (first != NULL && is_round(q, lane, several)) break;
        if (lane->deficit < cost_of(lane->head)) {
            end_turn(q, lane);
            continue;
        }
        if (first != NULL && bytes + lane->head->bytes > bytes_max) break;
        several |= served != NULL && served != lane;
        served = lane;
        struct wfl_commit *c = take_from(q, lane);
        bytes += c->bytes;
        if (last == NULL)
            first = c;
        else
            last->own.next = c;
        last = c;
    }
    return first;
}
