/* SPDX-License-Identifier: Apache-2.0
 *
 * A rate is kept as one moment: when everything that was taken so far would have been given out, at
 * that rate, without a break (the generic cell rate algorithm, a token bucket without tokens). What
 * lies in the past is forgotten: idle time is worth a second's burst and no more. Bytes are counted
 * after they were moved, so that moment can lie further ahead than a burst: a debt, during which
 * transfers wait and no request begins.
 *
 * An id whose moments have passed is the same as one that was never seen, so its place is given
 * back as soon as somebody comes by, and the table is as large as what is busy. If that is more
 * than it may be, ids that are not in it are refused: a limit that is in use is never forgotten to
 * make room. */
#include "server/throttle.h"

#include <stdatomic.h>

#define SECOND_NS INT64_C(1000000000)
#define BURST_NS  SECOND_NS       /* of requests at once, and of bytes ahead of their rate */
#define ADMIT_NS  (2 * SECOND_NS) /* a transfer that keeps its burst leaves requests room */
#define FURTHEST  (INT64_C(365) * 24 * 3600 * SECOND_NS) /* no debt is longer */
#define RETRY_NS  SECOND_NS                              /* where there is no place */
#define SHARDS    64
#define HEADS     256

struct entry {
    struct entry *next;
    uint8_t       id[LIMIT_ID_LEN];
    int64_t       requests_ns, bytes_ns; /* all that was taken is given out then */
};

struct shard {
    wfl_mutex     lock;
    int64_t       swept_ns;
    struct entry *heads[HEADS];
};

struct throttle {
    const struct wfl_alloc *alloc;
    uint32_t                max;
    _Atomic uint64_t        count;
    struct shard            shards[SHARDS];
};

wfl_code throttle_new(uint32_t max, const struct wfl_alloc *alloc, struct throttle **out,
                      wfl_error *err)
{
    struct throttle *l = wfl_alloc_zero(alloc, 1, sizeof *l);

    if (l == NULL) return wfl_fail(err, WFL_NOMEM, "limits: out of memory");
    l->alloc = alloc;
    l->max = max;
    for (size_t i = 0; i < SHARDS; i++) {
        wfl_mutex_init(&l->shards[i].lock, WFL_RANK_SERVER);
        l->shards[i].swept_ns = INT64_MIN;
    }
    *out = l;
    return WFL_OK;
}

void throttle_free(struct throttle *l)
{
    if (l == NULL) return;
    for (size_t i = 0; i < SHARDS; i++) {
        for (size_t h = 0; h < HEADS; h++) {
            while (l->shards[i].heads[h] != NULL) {
                struct entry *e = l->shards[i].heads[h];

                l->shards[i].heads[h] = e->next;
                wfl_alloc_free(l->alloc, e);
            }
        }
        wfl_mutex_fini(&l->shards[i].lock);
    }
    wfl_alloc_free(l->alloc, l);
}

uint64_t throttle_count(const struct throttle *l)
{
    return l->count;
}

/* ---- entries */

static bool is_idle(const struct entry *e, int64_t now_ns)
{
    return e->requests_ns <= now_ns && e->bytes_ns <= now_ns;
}

/* The id's entry; on the way, those that are idle go. */
static struct entry *find_locked(struct throttle *l, struct entry **at, const uint8_t *id,
                                 int64_t now_ns)
{
    struct entry *found = NULL;

    while (*at != NULL) {
        struct entry *e = *at;

        if (memcmp(e->id, id, LIMIT_ID_LEN) == 0) {
            found = e;
        } else if (is_idle(e, now_ns)) {
            *at = e->next;
            wfl_alloc_free(l->alloc, e);
            l->count--;
            continue;
        }
        at = &e->next;
    }
    return found;
}

/* At most once a second for a shard: a table that is full of busy ids costs no more than that. */
static void sweep_locked(struct throttle *l, struct shard *s, int64_t now_ns)
{
    static const uint8_t nobody[LIMIT_ID_LEN] = {0};

    if (s->swept_ns != INT64_MIN && now_ns - s->swept_ns < SECOND_NS) return;
    s->swept_ns = now_ns;
    for (size_t h = 0; h < HEADS; h++)
        find_locked(l, &s->heads[h], nobody, now_ns);
}

/* NULL: there is no place. */
static struct entry *take_locked(struct throttle *l, struct shard *s, const uint8_t *id,
                                 int64_t now_ns)
{
    struct entry **head = &s->heads[id[1] % HEADS], *e = find_locked(l, head, id, now_ns);

    if (e != NULL) return e;
    if (l->count >= l->max) sweep_locked(l, s, now_ns);
    if (l->count >= l->max) return NULL;
    e = wfl_alloc_zero(l->alloc, 1, sizeof *e);
    if (e == NULL) return NULL;
    memcpy(e->id, id, LIMIT_ID_LEN);
    e->requests_ns = e->bytes_ns = now_ns;
    e->next = *head;
    *head = e;
    l->count++;
    return e;
}

static struct shard *shard_of(struct throttle *l, const uint8_t *id)
{
    return &l->shards[id[0] % SHARDS];
}

/* ---- rates */

static int64_t cost_of(uint64_t amount, uint64_t per_second)
{
    /* No overflow: a piece that is moved at once has at most 64 MiB; the rest is for others. */
    uint64_t whole = amount / per_second, rest = amount % per_second;

    if (whole >= (uint64_t)(FURTHEST / SECOND_NS)) return FURTHEST;
    if (rest > UINT64_MAX / (uint64_t)SECOND_NS) return (int64_t)(whole + 1) * SECOND_NS;
    return (int64_t)whole * SECOND_NS + (int64_t)(rest * (uint64_t)SECOND_NS / per_second);
}

static void charge(int64_t *moment, int64_t cost, int64_t now_ns)
{
    if (*moment < now_ns) *moment = now_ns;
    *moment += cost;
    if (*moment > now_ns + FURTHEST) *moment = now_ns + FURTHEST;
}

static int64_t positive(int64_t ns)
{
    return ns > 0 ? ns : 0;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- requests */

static int64_t admit_one(struct throttle *l, const struct limit *limit, int64_t now_ns)
{
    struct shard *s = shard_of(l, limit->id);
    struct entry *e;
    int64_t       wait = RETRY_NS, cost;

    wfl_mutex_lock(&s->lock);
    e = take_locked(l, s, limit->id, now_ns);
    if (e != NULL) {
        wait =
            limit->bytes_per_second == LIMIT_NONE ? 0 : positive(e->bytes_ns - now_ns - ADMIT_NS);
        if (limit->requests_per_second != LIMIT_NONE) {
            cost = cost_of(1, limit->requests_per_second);
            wait = larger(wait, positive(e->requests_ns + cost - now_ns - BURST_NS));
            if (wait == 0) charge(&e->requests_ns, cost, now_ns);
        }
    }
    wfl_mutex_unlock(&s->lock);
    return wait;
}

static void give_back(struct throttle *l, const struct limit *limit, int64_t now_ns)
{
    struct shard *s = shard_of(l, limit->id);
    struct entry *e;

    if (limit->requests_per_second == LIMIT_NONE) return;
    wfl_mutex_lock(&s->lock);
    e = find_locked(l, &s->heads[limit->id[1] % HEADS], limit->id, now_ns);
    if (e != NULL) e->requests_ns -= cost_of(1, limit->requests_per_second);
    wfl_mutex_unlock(&s->lock);
}

int64_t throttle_admit(struct throttle *l, const struct limit *list, size_t count, int64_t now_ns)
{
    for (size_t i = 0; i < count; i++) {
        int64_t wait = admit_one(l, &list[i], now_ns);

        if (wait == 0) continue;
        while (i-- > 0)
            give_back(l, &list[i], now_ns);
        return wait;
    }
    return 0;
}

/* ---- bytes */

int64_t throttle_move(struct throttle *l, const struct limit *list, size_t count, uint64_t bytes,
                      int64_t now_ns)
{
    int64_t wait = 0;

    for (size_t i = 0; i < count; i++) {
        struct shard *s = shard_of(l, list[i].id);
        struct entry *e;

        if (list[i].bytes_per_second == LIMIT_NONE) continue;
        wfl_mutex_lock(&s->lock);
        e = bytes > 0 ? take_locked(l, s, list[i].id, now_ns)
                      : find_locked(l, &s->heads[list[i].id[1] % HEADS], list[i].id, now_ns);
        if (e != NULL && bytes > 0)
            charge(&e->bytes_ns, cost_of(bytes, list[i].bytes_per_second), now_ns);
        if (e != NULL)
            wait = larger(wait, positive(e->bytes_ns - now_ns - BURST_NS));
        else if (bytes > 0)
            wait = larger(wait, RETRY_NS);
        wfl_mutex_unlock(&s->lock);
    }
    return wait;
}
