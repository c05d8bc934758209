/* SPDX-License-Identifier: Apache-2.0
 *
 * Which rates bind a request. Each link of its packet that has limits has one of its own, shared by
 * all that was delegated under it: handing on does not multiply what was given. A bucket's rates
 * bind everybody, readers without a credential too, but not operations on the bucket itself, or its
 * owner could not raise them again.
 *
 * The list is made anew each time, from memory: a setting that is changed holds at once, also for a
 * transfer under way. Where neither packet nor any bucket is limited that costs a few comparisons.
 *
 * Bodies are counted in both directions when they have moved. A large one waits then, with its
 * socket not read or nothing more sent, so that it goes at the rate; a small one becomes a debt. */
#include "server/server.h"
#include "server/throttle.h"

#define SECOND_NS     INT64_C(1000000000)
#define PAUSE_MAX_NS  SECOND_NS /* then it looks again: the rate may be another one by now */
#define RETRY_MAX_SEC INT64_C(604800)

struct rates {
    struct limit list[WFL_PACKET_LINKS_MAX + 1];
    size_t       count;
};

static int64_t now_ns(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system);
}

static struct limit limit_of_bucket(const struct wfl_bucket_rates *rates)
{
    struct limit limit = {.requests_per_second = rates->requests_per_second,
                          .bytes_per_second = rates->bytes_per_second};
    wfl_hash     hash = wfl_hash_of(wfl_slice_of(&rates->id, sizeof rates->id));

    memcpy(limit.id, hash.bytes, sizeof limit.id); /* spread as the links' are */
    return limit;
}

static void add_links(const struct wfl_packet *p, struct rates *out)
{
    if (p == NULL ||
        (p->limits.requests_per_second == LIMIT_NONE && p->limits.bytes_per_second == LIMIT_NONE))
        return;
    for (uint32_t i = 0; i < p->link_count; i++) {
        const struct wfl_link *link = &p->links[i];
        struct limit          *limit = &out->list[out->count];

        if (link->limits.requests_per_second == LIMIT_NONE &&
            link->limits.bytes_per_second == LIMIT_NONE)
            continue;
        memcpy(limit->id, link->id, sizeof limit->id);
        limit->requests_per_second = link->limits.requests_per_second;
        limit->bytes_per_second = link->limits.bytes_per_second;
        out->count++;
    }
}

static void find_rates(struct request *r, struct rates *out)
{
    struct wfl_bucket_rates bucket;

    out->count = 0;
    add_links(r->who.packet, out);
    if (!r->manages && r->target.bucket.len > 0 &&
        wfl_store_bucket_rates(r->server->store, r->target.bucket, &bucket))
        out->list[out->count++] = limit_of_bucket(&bucket);
}

/* ---- requests */

static wfl_code admit(struct request *r, const struct limit *list, size_t count, wfl_error *err)
{
    int64_t wait = count == 0 ? 0 : throttle_admit(r->server->throttle, list, count, now_ns());
    int64_t seconds = (wait + SECOND_NS - 1) / SECOND_NS;

    if (wait == 0) return WFL_OK;
    r->retry_after = (uint32_t)(seconds > RETRY_MAX_SEC ? RETRY_MAX_SEC : seconds);
    r->server->rate_limited++;
    return wfl_fail(err, WFL_RATE_LIMITED,
                    "more than the key packet or the bucket allows a second");
}

wfl_code rates_admit(struct request *r, wfl_error *err)
{
    struct rates rates;

    find_rates(r, &rates);
    return admit(r, rates.list, rates.count, err);
}

/* ---- a batch across buckets: a request to each, and to each the contents that are for it */

struct shares {
    struct limit *list; /* the packet's links, then buckets */
    uint64_t     *bytes;
    uint32_t     *ids;
    size_t        links, count;
};

static size_t share_of(struct shares *s, const struct wfl_bucket_rates *bucket)
{
    size_t i = s->links;

    while (i < s->count && s->ids[i] != bucket->id)
        i++;
    if (i == s->count) {
        s->list[i] = limit_of_bucket(bucket);
        s->ids[i] = bucket->id;
        s->bytes[i] = 0;
        s->count++;
    }
    return i;
}

wfl_code rates_admit_batch(struct request *r, const struct wfl_batch_op *ops, uint32_t count,
                           wfl_error *err)
{
    struct wfl_bucket_rates bucket;
    struct rates            own;
    struct shares           s;
    wfl_arena              *arena = request_arena(r);
    wfl_code                rc;

    find_rates(r, &own);
    s = (struct shares){.list = wfl_arena_get(arena, (own.count + count) * sizeof *s.list),
                        .bytes = wfl_arena_get(arena, (own.count + count) * sizeof *s.bytes),
                        .ids = wfl_arena_get(arena, (own.count + count) * sizeof *s.ids),
                        .links = own.count,
                        .count = own.count};
    if (s.list == NULL || s.bytes == NULL || s.ids == NULL)
        return wfl_fail(err, WFL_NOMEM, "a batch: out of memory");
    memcpy(s.list, own.list, own.count * sizeof *s.list);
    for (uint32_t i = 0; i < count; i++)
        if (wfl_store_bucket_rates(r->server->store, ops[i].bucket, &bucket))
            s.bytes[share_of(&s, &bucket)] += ops[i].content.len;
    rc = admit(r, s.list, s.count, err);
    for (size_t i = s.links; rc == WFL_OK && i < s.count; i++)
        (void)throttle_move(r->server->throttle, &s.list[i], 1, s.bytes[i], now_ns());
    return rc;
}

/* ---- bytes */

void rates_moved(struct request *r, uint64_t bytes)
{
    struct rates rates;

    if (bytes == 0 || (r->who.packet == NULL && !r->anonymous)) return;
    find_rates(r, &rates);
    if (rates.count > 0)
        (void)throttle_move(r->server->throttle, rates.list, rates.count, bytes, now_ns());
}

bool rates_bound_bytes(struct request *r)
{
    struct rates rates;

    find_rates(r, &rates);
    for (size_t i = 0; i < rates.count; i++)
        if (rates.list[i].bytes_per_second != LIMIT_NONE) return true;
    return false;
}

bool rates_pause(struct request *r)
{
    struct rates rates;
    int64_t      now = now_ns(), wait = 0;

    find_rates(r, &rates);
    if (rates.count > 0) wait = throttle_move(r->server->throttle, rates.list, rates.count, 0, now);
    if (wait == 0 || r->server->stopping) return false;
    wfl_exchange_set_timer(r->x, now + (wait > PAUSE_MAX_NS ? PAUSE_MAX_NS : wait));
    return true;
}
