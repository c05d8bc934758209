/* SPDX-License-Identifier: Apache-2.0
 *
 * Which nonces were used. Of each nonce a keyed 64-bit hash is kept until its request's timestamp
 * leaves the window; the key is drawn at start, so nobody can choose nonces that collide. A
 * client's hashes lie in 64 small tables: making one larger, or rid of what has expired, touches a
 * few thousand entries and never holds a reactor. Full is refused: a live nonce is never forgotten
 * to make room, an expired one always is, also where its client never comes back. Where the clock
 * steps back to before what was forgotten, requests of that time are refused.
 *
 * A write's nonce is here for as long as a read's, so that neither can pass for the other. For how
 * long it is remembered besides is the store's affair; here the new ones are counted, by slices of
 * that time, so that a client cannot fill the disk with them. */
#include "auth/auth_private.h"

#include <sodium.h>

#define SHARDS        64
#define TABLES        64
#define BUCKETS       64 /* of clients in a shard */
#define SLOTS_MIN     16
#define CLIENT_CHARGE 128 /* what a client's own memory counts in nonces */
#define SWEEPS_MAX    8   /* shards that one call clears where all places are taken */

#define SLICES 16 /* of the time for which writes are remembered */

struct slot {
    uint64_t hash; /* 0: empty; the lowest bit is the kind's: KIND_WRITE may come again */
    int64_t  expires_sec;
};
#define KIND_READ  UINT64_C(0)
#define KIND_WRITE UINT64_C(1)
#define KIND_BITS  UINT64_C(1)

struct table {
    struct slot *slots;
    uint32_t     cap; /* a power of two, or 0 */
    uint32_t     used;
    int64_t      oldest_sec; /* no slot expires before it */
};

struct client {
    struct client *next;
    uint8_t        id[16];      /* keyed hash of the thumbprint */
    int64_t        expires_sec; /* of its latest nonce */
    uint64_t       used;
    int64_t        slice;          /* of time, the latest that is counted */
    uint32_t       writes[SLICES]; /* new ones, by slice */
    struct table   tables[TABLES];
};

struct shard {
    wfl_mutex      lock;
    int64_t        swept_sec;
    struct client *buckets[BUCKETS];
};

struct replay {
    const struct wfl_alloc *alloc;
    uint8_t                 key[crypto_shorthash_siphashx24_KEYBYTES];
    uint64_t                per_client_max, max;
    _Atomic uint64_t        used, clients;
    _Atomic uint32_t        sweep;         /* the shard where clearing goes on */
    _Atomic int64_t         forgotten_sec; /* the latest expiry of a nonce that is gone */
    struct shard            shards[SHARDS];
};

wfl_code replay_new(uint32_t per_client_max, uint64_t max, const struct wfl_random *random,
                    const struct wfl_alloc *alloc, struct replay **out, wfl_error *err)
{
    struct replay *r = wfl_alloc_zero(alloc, 1, sizeof *r);

    if (r == NULL) return wfl_fail(err, WFL_NOMEM, "nonces: out of memory");
    r->alloc = alloc;
    r->per_client_max = per_client_max;
    r->max = max;
    wfl_random_fill(random, r->key, sizeof r->key);
    for (int i = 0; i < SHARDS; i++)
        wfl_mutex_init(&r->shards[i].lock, WFL_RANK_AUTH);
    *out = r;
    return WFL_OK;
}

/* ---- what is forgotten */

/* What expired may come back into the window where the clock steps back, and then nobody knows
 * whether it was used. While the clock runs forward this is always behind the window. */
static void note_forgotten(struct replay *r, const struct slot *slot)
{
    int64_t before = r->forgotten_sec;

    if (slot->hash == 0) return;
    while (slot->expires_sec > before &&
           !atomic_compare_exchange_weak(&r->forgotten_sec, &before, slot->expires_sec)) {}
}

static void free_client(struct replay *r, struct client *c)
{
    for (int i = 0; i < TABLES; i++) {
        for (uint32_t k = 0; k < c->tables[i].cap; k++)
            note_forgotten(r, &c->tables[i].slots[k]);
        wfl_alloc_free(r->alloc, c->tables[i].slots);
    }
    r->used -= c->used + CLIENT_CHARGE;
    r->clients--;
    wfl_alloc_free(r->alloc, c);
}

void replay_free(struct replay *r)
{
    if (r == NULL) return;
    for (int i = 0; i < SHARDS; i++) {
        for (int b = 0; b < BUCKETS; b++) {
            while (r->shards[i].buckets[b] != NULL) {
                struct client *c = r->shards[i].buckets[b];

                r->shards[i].buckets[b] = c->next;
                free_client(r, c);
            }
        }
        wfl_mutex_fini(&r->shards[i].lock);
    }
    sodium_memzero(r->key, sizeof r->key);
    wfl_alloc_free(r->alloc, r);
}

/* ---- a table */

static struct slot *find_slot(const struct table *t, uint64_t hash)
{
    uint32_t i = (uint32_t)(hash >> 16) & (t->cap - 1);

    while (t->slots[i].hash != 0 && (t->slots[i].hash ^ hash) > KIND_BITS)
        i = (i + 1) & (t->cap - 1);
    return &t->slots[i];
}

static uint32_t count_live(const struct table *t, int64_t now_sec)
{
    uint32_t live = 0;

    for (uint32_t i = 0; i < t->cap; i++)
        live += t->slots[i].hash != 0 && t->slots[i].expires_sec >= now_sec;
    return live;
}

static void insert(struct table *t, struct slot slot)
{
    *find_slot(t, slot.hash) = slot;
    t->used++;
    if (slot.expires_sec < t->oldest_sec) t->oldest_sec = slot.expires_sec;
}

/* Only what is live moves into a table with room for `more`. False: no memory, the old one stays.
 */
static bool rebuild(struct replay *r, struct client *c, struct table *t, uint32_t more,
                    int64_t now_sec)
{
    struct table fresh = {.oldest_sec = INT64_MAX};
    uint32_t     need = count_live(t, now_sec) + more;

    if (need > 0) {
        fresh.cap = SLOTS_MIN;
        while (fresh.cap < need * 2)
            fresh.cap *= 2;
        fresh.slots = wfl_alloc_zero(r->alloc, fresh.cap, sizeof *fresh.slots);
        if (fresh.slots == NULL) return false;
    }
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slots[i].hash != 0 && t->slots[i].expires_sec >= now_sec) {
            insert(&fresh, t->slots[i]);
        } else {
            note_forgotten(r, &t->slots[i]);
        }
    }
    c->used -= t->used - fresh.used;
    r->used -= t->used - fresh.used;
    wfl_alloc_free(r->alloc, t->slots);
    *t = fresh;
    return true;
}

static bool is_full(const struct replay *r, const struct client *c)
{
    return c->used >= r->per_client_max || r->used >= r->max;
}

/* No room for one client more. */
static bool is_nearly_full(const struct replay *r)
{
    return r->used + CLIENT_CHARGE >= r->max;
}

/* One table's expired nonces. */
static void forget_expired(struct replay *r, struct client *c, struct table *t, int64_t now_sec)
{
    /* Without memory for the live ones all stay: the next table may have none. */
    if (t->used > 0 && t->oldest_sec < now_sec) (void)!rebuild(r, c, t, 0, now_sec);
}

static void make_room(struct replay *r, struct client *c, int64_t now_sec)
{
    for (int i = 0; i < TABLES && is_full(r, c); i++)
        forget_expired(r, c, &c->tables[i], now_sec);
}

/* ---- writes, counted */

/* Slices that have gone by become empty. A clock that steps back counts into the latest. */
static void advance_slices(struct client *c, int64_t slice)
{
    if (slice - c->slice >= SLICES) memset(c->writes, 0, sizeof c->writes);
    for (int64_t i = c->slice + 1; i <= slice && slice - c->slice < SLICES; i++)
        c->writes[i % SLICES] = 0;
    if (slice > c->slice) c->slice = slice;
}

static wfl_code count_write(struct client *c, int64_t now_sec, const struct replay_writes *writes,
                            wfl_error *err)
{
    /* One more than would fit exactly: the slice under way is not over. */
    int64_t  slice_sec = writes->retention_sec / (SLICES - 1) + 1;
    uint64_t sum = 0;

    advance_slices(c, now_sec / slice_sec);
    for (int i = 0; i < SLICES; i++)
        sum += c->writes[i];
    if (sum >= writes->max)
        return wfl_fail(err, WFL_RATE_LIMITED, "more writes in %u s than are remembered",
                        writes->retention_sec);
    c->writes[c->slice % SLICES]++;
    return WFL_OK;
}

struct use {                          /* of a nonce */
    uint64_t                    hash; /* with its kind */
    int64_t                     now_sec, expires_sec;
    const struct replay_writes *writes; /* NULL: a read */
    bool                        counted_only;
};

static wfl_code spend_locked(struct replay *r, struct client *c, const struct use *use,
                             wfl_error *err)
{
    int64_t       now_sec = use->now_sec;
    struct table *t = &c->tables[(use->hash >> 1) % TABLES];
    struct slot  *slot = t->cap > 0 ? find_slot(t, use->hash) : NULL;
    struct slot   fresh = {use->hash, use->expires_sec};
    bool          found = slot != NULL && slot->hash != 0;

    if (use->counted_only && use->writes != NULL) return count_write(c, now_sec, use->writes, err);
    if (found && slot->expires_sec >= now_sec) {
        if (use->writes == NULL || slot->hash != use->hash)
            return wfl_fail(err, WFL_REPLAYED, "this nonce was used before");
        if (slot->expires_sec < use->expires_sec) slot->expires_sec = use->expires_sec;
        return WFL_OK;
    }
    if (use->expires_sec <= r->forgotten_sec) {
        return wfl_fail(err, WFL_TIMESTAMP_SKEW,
                        "the server's clock stepped back to before what it remembers");
    }
    if (use->writes != NULL && count_write(c, now_sec, use->writes, err) != WFL_OK)
        return err->code;
    if (found) { /* an expired one, used anew */
        note_forgotten(r, slot);
        *slot = fresh;
    } else {
        if (is_full(r, c)) make_room(r, c, now_sec);
        if (is_full(r, c)) {
            return wfl_fail(err, WFL_RATE_LIMITED,
                            "more requests in the time window than nonces are remembered");
        }
        if (t->used + 1 > t->cap / 4 * 3 && !rebuild(r, c, t, 1, now_sec))
            return wfl_fail(err, WFL_NOMEM, "nonces: out of memory");
        insert(t, fresh);
        c->used++;
        r->used++;
    }
    return WFL_OK;
}

/* Until when the client's memory is of use. */
static void prolong(struct client *c, const struct use *use)
{
    int64_t until = use->expires_sec;

    if (use->writes != NULL && until < use->now_sec + use->writes->retention_sec)
        until = use->now_sec + use->writes->retention_sec;
    if (until > c->expires_sec) c->expires_sec = until;
}

/* ---- clients */

/* The client in its bucket; on the way, those with nothing live are let go. NULL: none there. */
static struct client *find_client_locked(struct replay *r, struct client **bucket,
                                         const uint8_t id[16], int64_t now_sec)
{
    struct client *found = NULL;

    while (*bucket != NULL) {
        struct client *c = *bucket;

        if (memcmp(c->id, id, sizeof c->id) == 0) {
            found = c;
        } else if (c->expires_sec < now_sec) {
            *bucket = c->next;
            free_client(r, c);
            continue;
        }
        bucket = &c->next;
    }
    return found;
}

static wfl_code make_client_locked(struct replay *r, struct client **bucket, const uint8_t id[16],
                                   struct client **out, wfl_error *err)
{
    struct client *c;

    if (r->used + CLIENT_CHARGE > r->max && r->clients > 0) {
        return wfl_fail(err, WFL_RATE_LIMITED, "more clients than nonces are remembered for");
    }
    c = wfl_alloc_zero(r->alloc, 1, sizeof *c);
    if (c == NULL) return wfl_fail(err, WFL_NOMEM, "nonces: out of memory");
    memcpy(c->id, id, sizeof c->id);
    c->next = *bucket;
    *bucket = c;
    r->clients++;
    r->used += CLIENT_CHARGE;
    *out = c;
    return WFL_OK;
}

/* What expired is let go of only where its client comes by; in a shard whose clients stay away it
 * would take places for ever. Once a second for a shard, so a full memory costs no more than that.
 */
static void sweep_shard(struct replay *r, struct shard *s, int64_t now_sec)
{
    static const uint8_t nobody[sizeof((struct client *)0)->id] = {0};

    wfl_mutex_lock(&s->lock);
    for (int b = 0; b < BUCKETS && s->swept_sec != now_sec; b++) {
        find_client_locked(r, &s->buckets[b], nobody, now_sec);
        for (struct client *c = s->buckets[b]; c != NULL; c = c->next) {
            for (int i = 0; i < TABLES && is_nearly_full(r); i++)
                forget_expired(r, c, &c->tables[i], now_sec);
        }
    }
    if (is_nearly_full(r)) { /* else it may hold more, and is the next one again */
        s->swept_sec = now_sec;
        r->sweep++;
    }
    wfl_mutex_unlock(&s->lock);
}

static void sweep(struct replay *r, int64_t now_sec)
{
    for (int i = 0; i < SWEEPS_MAX && is_nearly_full(r); i++)
        sweep_shard(r, &r->shards[r->sweep % SHARDS], now_sec);
}

static wfl_code spend(struct replay *r, wfl_slice client, wfl_slice nonce, struct use *use,
                      wfl_error *err)
{
    uint8_t        id[crypto_shorthash_siphashx24_BYTES], digest[crypto_shorthash_siphashx24_BYTES];
    struct shard  *s;
    struct client *c, **bucket;
    wfl_code       rc = WFL_OK;

    crypto_shorthash_siphashx24(id, client.data, client.len, r->key);
    crypto_shorthash_siphashx24(digest, nonce.data, nonce.len, r->key);
    memcpy(&use->hash, digest, sizeof use->hash);
    if (use->hash <= KIND_BITS) use->hash = KIND_BITS + 1; /* zero is an empty slot's */
    use->hash = (use->hash & ~KIND_BITS) | (use->writes == NULL ? KIND_READ : KIND_WRITE);
    if (is_nearly_full(r)) sweep(r, use->now_sec);
    s = &r->shards[id[0] % SHARDS];
    bucket = &s->buckets[id[1] % BUCKETS];
    wfl_mutex_lock(&s->lock);
    c = find_client_locked(r, bucket, id, use->now_sec);
    if (c == NULL) rc = make_client_locked(r, bucket, id, &c, err);
    if (rc == WFL_OK) rc = spend_locked(r, c, use, err);
    if (rc == WFL_OK) prolong(c, use);
    wfl_mutex_unlock(&s->lock);
    return rc;
}

wfl_code replay_spend(struct replay *r, wfl_slice client, wfl_slice nonce, int64_t now_sec,
                      int64_t expires_sec, wfl_error *err)
{
    struct use use = {.now_sec = now_sec, .expires_sec = expires_sec};

    return spend(r, client, nonce, &use, err);
}

wfl_code replay_claim(struct replay *r, wfl_slice client, wfl_slice nonce, int64_t now_sec,
                      int64_t expires_sec, const struct replay_writes *writes, wfl_error *err)
{
    struct use use = {.now_sec = now_sec, .expires_sec = expires_sec, .writes = writes};

    return spend(r, client, nonce, &use, err);
}

wfl_code replay_count(struct replay *r, wfl_slice client, int64_t now_sec,
                      const struct replay_writes *writes, wfl_error *err)
{
    struct use use = {
        .now_sec = now_sec, .expires_sec = now_sec, .writes = writes, .counted_only = true};

    return spend(r, client, (wfl_slice){0}, &use, err);
}

void replay_stats(struct replay *r, struct wfl_auth_stats *out)
{
    out->clients = r->clients;
    out->nonces = r->used - r->clients * CLIENT_CHARGE;
}
