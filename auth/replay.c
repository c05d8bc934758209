/* SPDX-License-Identifier: Apache-2.0
 *
 * Which nonces were used. Of each nonce a keyed 64-bit hash is kept until its request's timestamp
 * leaves the window; the key is drawn at start, so nobody can choose nonces that collide. A
 * client's hashes lie in 64 small tables: making one larger, or rid of what has expired, touches a
 * few thousand entries and never holds a reactor. Full is refused: a live nonce is never forgotten
 * to make room. */
#include "auth/auth_private.h"

#include <sodium.h>

#define SHARDS        64
#define TABLES        64
#define BUCKETS       64 /* of clients in a shard */
#define SLOTS_MIN     16
#define CLIENT_CHARGE 128 /* what a client's own memory counts in nonces */

struct slot {
    uint64_t hash; /* 0: empty */
    int64_t  expires_sec;
};

struct table {
    struct slot *slots;
    uint32_t     cap; /* a power of two, or 0 */
    uint32_t     used;
};

struct client {
    struct client *next;
    uint8_t        id[16];      /* keyed hash of the thumbprint */
    int64_t        expires_sec; /* of its latest nonce */
    uint64_t       used;
    struct table   tables[TABLES];
};

struct shard {
    wfl_mutex      lock;
    struct client *buckets[BUCKETS];
};

struct replay {
    const struct wfl_alloc *alloc;
    uint8_t                 key[crypto_shorthash_siphashx24_KEYBYTES];
    uint64_t                per_client_max, max;
    _Atomic uint64_t        used, clients;
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

static void free_client(struct replay *r, struct client *c)
{
    for (int i = 0; i < TABLES; i++)
        wfl_alloc_free(r->alloc, c->tables[i].slots);
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

    while (t->slots[i].hash != 0 && t->slots[i].hash != hash)
        i = (i + 1) & (t->cap - 1);
    return &t->slots[i];
}

/* Only what is live moves into a table with room. False: no memory, the old one stays. */
static bool rebuild(struct replay *r, struct client *c, struct table *t, int64_t now_sec)
{
    struct table bigger = {.cap = SLOTS_MIN};
    uint32_t     live = 0;

    for (uint32_t i = 0; i < t->cap; i++)
        live += t->slots[i].hash != 0 && t->slots[i].expires_sec >= now_sec;
    while (bigger.cap < live * 2 + 2)
        bigger.cap *= 2;
    bigger.slots = wfl_alloc_zero(r->alloc, bigger.cap, sizeof *bigger.slots);
    if (bigger.slots == NULL) return false;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (t->slots[i].hash == 0 || t->slots[i].expires_sec < now_sec) continue;
        *find_slot(&bigger, t->slots[i].hash) = t->slots[i];
        bigger.used++;
    }
    c->used -= t->used - bigger.used;
    r->used -= t->used - bigger.used;
    wfl_alloc_free(r->alloc, t->slots);
    *t = bigger;
    return true;
}

static bool needs_room(const struct replay *r, const struct client *c, const struct table *t)
{
    return t->used + 1 > t->cap / 4 * 3 || c->used >= r->per_client_max || r->used >= r->max;
}

static wfl_code spend_locked(struct replay *r, struct client *c, uint64_t hash, int64_t now_sec,
                             int64_t expires_sec, wfl_error *err)
{
    struct table *t = &c->tables[hash % TABLES];
    struct slot  *slot;

    if (t->cap > 0) {
        slot = find_slot(t, hash);
        if (slot->hash == hash && slot->expires_sec >= now_sec) {
            return wfl_fail(err, WFL_REPLAYED, "this nonce was used before");
        }
        if (slot->hash == hash) { /* an expired one, used anew */
            slot->expires_sec = expires_sec;
            return WFL_OK;
        }
    }
    if (needs_room(r, c, t)) {
        if (!rebuild(r, c, t, now_sec)) return wfl_fail(err, WFL_NOMEM, "nonces: out of memory");
        if (c->used >= r->per_client_max || r->used >= r->max) {
            return wfl_fail(err, WFL_RATE_LIMITED,
                            "more requests in the time window than nonces are remembered");
        }
    }
    *find_slot(t, hash) = (struct slot){hash, expires_sec};
    t->used++;
    c->used++;
    r->used++;
    if (expires_sec > c->expires_sec) c->expires_sec = expires_sec;
    return WFL_OK;
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

wfl_code replay_spend(struct replay *r, wfl_slice client, wfl_slice nonce, int64_t now_sec,
                      int64_t expires_sec, wfl_error *err)
{
    uint8_t        id[crypto_shorthash_siphashx24_BYTES], digest[crypto_shorthash_siphashx24_BYTES];
    uint64_t       hash;
    struct shard  *s;
    struct client *c, **bucket;
    wfl_code       rc = WFL_OK;

    crypto_shorthash_siphashx24(id, client.data, client.len, r->key);
    crypto_shorthash_siphashx24(digest, nonce.data, nonce.len, r->key);
    memcpy(&hash, digest, sizeof hash);
    if (hash == 0) hash = 1;
    s = &r->shards[id[0] % SHARDS];
    bucket = &s->buckets[id[1] % BUCKETS];
    wfl_mutex_lock(&s->lock);
    c = find_client_locked(r, bucket, id, now_sec);
    if (c == NULL) rc = make_client_locked(r, bucket, id, &c, err);
    if (rc == WFL_OK) rc = spend_locked(r, c, hash, now_sec, expires_sec, err);
    wfl_mutex_unlock(&s->lock);
    return rc;
}

void replay_stats(struct replay *r, struct wfl_auth_stats *out)
{
    out->clients = r->clients;
    out->nonces = r->used - r->clients * CLIENT_CHARGE;
}
