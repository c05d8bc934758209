/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions that are open. Requests find one in a bucket of a table, behind one of some locks, and
 * hold a reference while they last. Opening and letting go take the table's own lock, which counts
 * and hands out places. A session counts until its last request has ended, because until then its
 * memory is in use. Full is refused; only what has expired makes room.
 *
 * What is secret lies in slabs of guarded memory (one pair of guard pages for 64 sessions), is
 * wiped when a session ends, and the slabs stay for the next. */
#include "auth/auth_private.h"

#include <sodium.h>

#define BUCKETS        4096
#define LOCKS          64
#define CLIENT_BUCKETS 1024
#define SLAB_SESSIONS  64
#define SWEEP_SECONDS  10 /* at the latest, as long as anybody comes by */

struct session_client {
    struct session_client *next;
    wfl_thumb              thumb;
    uint32_t               count;
};

struct slab {
    struct slab           *next;
    struct session_secret *places;
};

struct session_table {
    const struct wfl_alloc *alloc;
    uint32_t                per_client_max, max;
    uint8_t                 key[crypto_shorthash_siphashx24_KEYBYTES];
    _Atomic int64_t         swept_sec;

    wfl_mutex              lock; /* of what is below */
    _Atomic uint32_t       count;
    struct slab           *slabs;
    struct session_secret *free; /* linked through the places */
    struct session_client *clients[CLIENT_BUCKETS];

    wfl_mutex       locks[LOCKS]; /* of the buckets, by number */
    struct session *buckets[BUCKETS];
};

wfl_code session_table_new(uint32_t per_client_max, uint32_t max, const struct wfl_random *random,
                           const struct wfl_alloc *alloc, struct session_table **out,
                           wfl_error *err)
{
    struct session_table *t = wfl_alloc_zero(alloc, 1, sizeof *t);

    if (t == NULL) return wfl_fail(err, WFL_NOMEM, "sessions: out of memory");
    t->alloc = alloc;
    t->per_client_max = per_client_max;
    t->max = max;
    wfl_random_fill(random, t->key, sizeof t->key);
    wfl_mutex_init(&t->lock, WFL_RANK_AUTH);
    for (int i = 0; i < LOCKS; i++)
        wfl_mutex_init(&t->locks[i], WFL_RANK_AUTH);
    *out = t;
    return WFL_OK;
}

static uint64_t hash_of(const struct session_table *t, const void *data, size_t len)
{
    uint8_t  digest[crypto_shorthash_siphashx24_BYTES];
    uint64_t hash;

    crypto_shorthash_siphashx24(digest, data, len, t->key);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}

uint64_t session_table_count(struct session_table *t)
{
    return t->count;
}

/* ---- places and clients */

static bool add_slab_locked(struct session_table *t)
{
    struct slab *slab = wfl_alloc_zero(t->alloc, 1, sizeof *slab);

    if (slab == NULL) return false;
    slab->places = sodium_allocarray(SLAB_SESSIONS, sizeof *slab->places);
    if (slab->places == NULL) {
        wfl_alloc_free(t->alloc, slab);
        return false;
    }
    sodium_memzero(slab->places, SLAB_SESSIONS * sizeof *slab->places);
    for (int i = 0; i < SLAB_SESSIONS; i++) {
        slab->places[i].next_free = t->free;
        t->free = &slab->places[i];
    }
    slab->next = t->slabs;
    t->slabs = slab;
    return true;
}

static struct session_secret *take_place_locked(struct session_table *t)
{
    struct session_secret *place;

    if (t->free == NULL && !add_slab_locked(t)) return NULL;
    place = t->free;
    t->free = place->next_free;
    place->next_free = NULL;
    return place;
}

static void return_place_locked(struct session_table *t, struct session_secret *place)
{
    sodium_memzero(place, sizeof *place);
    place->next_free = t->free;
    t->free = place;
}

static struct session_client **client_place(struct session_table *t, const wfl_thumb *thumb)
{
    struct session_client **at =
        &t->clients[hash_of(t, thumb->text, WFL_THUMB_LEN) % CLIENT_BUCKETS];

    while (*at != NULL && memcmp((*at)->thumb.text, thumb->text, WFL_THUMB_LEN) != 0)
        at = &(*at)->next;
    return at;
}

/* The client's entry, with one session more. NULL: no memory. */
static struct session_client *count_client_locked(struct session_table *t, const wfl_thumb *thumb)
{
    struct session_client **at = client_place(t, thumb);

    if (*at == NULL) {
        *at = wfl_alloc_zero(t->alloc, 1, sizeof **at);
        if (*at == NULL) return NULL;
        (*at)->thumb = *thumb;
    }
    (*at)->count++;
    return *at;
}

static void discount_client_locked(struct session_table *t, struct session_client *c)
{
    struct session_client **at;

    if (--c->count > 0) return;
    at = client_place(t, &c->thumb);
    *at = c->next;
    wfl_alloc_free(t->alloc, c);
}

static wfl_code judge_locked(struct session_table *t, const wfl_thumb *client, wfl_error *err)
{
    const struct session_client *c = *client_place(t, client);

    if (c != NULL && c->count >= t->per_client_max)
        return wfl_fail(err, WFL_RATE_LIMITED, "the client has %u sessions open, as many as may be",
                        t->per_client_max);
    if (t->count >= t->max)
        return wfl_fail(err, WFL_RATE_LIMITED, "as many sessions are open as may be");
    return WFL_OK;
}

static wfl_code fill_locked(struct session_table *t, const wfl_thumb *client, struct session *s,
                            wfl_error *err)
{
    wfl_code rc = judge_locked(t, client, err);

    if (rc != WFL_OK) return rc;
    s->secret = take_place_locked(t);
    s->client = s->secret == NULL ? NULL : count_client_locked(t, client);
    if (s->client == NULL) {
        if (s->secret != NULL) return_place_locked(t, s->secret);
        return wfl_fail(err, WFL_NOMEM, "sessions: out of memory");
    }
    t->count++;
    return WFL_OK;
}

static void end(struct session *s)
{
    struct session_table *t = s->table;

    wfl_mutex_lock(&t->lock);
    return_place_locked(t, s->secret);
    discount_client_locked(t, s->client);
    t->count--;
    wfl_mutex_unlock(&t->lock);
    wfl_packet_unref(s->packet);
    wfl_mutex_fini(&s->lock);
    wfl_alloc_free(t->alloc, s);
}

void session_unref(struct session *s)
{
    if (s != NULL && --s->refs == 0) end(s);
}

/* ---- the buckets */

static uint64_t bucket_of(const struct session_table *t, const wfl_ulid *id)
{
    return hash_of(t, id->bytes, sizeof id->bytes) % BUCKETS;
}

/* Those of a bucket that have expired, taken out. */
static struct session *cut_expired_locked(struct session **at, int64_t now_sec)
{
    struct session *expired = NULL;

    while (*at != NULL) {
        struct session *s = *at;

        if (s->expires_sec > now_sec) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->next = expired;
        expired = s;
    }
    return expired;
}

static void let_go(struct session *list)
{
    while (list != NULL) {
        struct session *s = list;

        list = s->next;
        session_unref(s);
    }
}

/* Once in `every_sec`, whoever comes first. A few thousand buckets: some tens of microseconds. */
static void sweep(struct session_table *t, int64_t now_sec, int64_t every_sec)
{
    int64_t last = t->swept_sec;

    if (now_sec >= last && now_sec - last < every_sec) return;
    if (!atomic_compare_exchange_strong(&t->swept_sec, &last, now_sec)) return;
    for (uint64_t b = 0; b < BUCKETS; b++) {
        struct session *expired;

        wfl_mutex_lock(&t->locks[b % LOCKS]);
        expired = cut_expired_locked(&t->buckets[b], now_sec);
        wfl_mutex_unlock(&t->locks[b % LOCKS]);
        let_go(expired);
    }
}

wfl_code session_make(struct session_table *t, const wfl_thumb *client, int64_t now_sec,
                      struct session **out, wfl_error *err)
{
    struct session *s = wfl_alloc_zero(t->alloc, 1, sizeof *s);
    wfl_code        rc = WFL_OK;

    if (s == NULL) return wfl_fail(err, WFL_NOMEM, "sessions: out of memory");
    s->table = t;
    s->refs = 1;
    for (int attempt = 0; attempt < 2; attempt++) {
        sweep(t, now_sec, attempt == 0 ? SWEEP_SECONDS : 1);
        wfl_mutex_lock(&t->lock);
        rc = fill_locked(t, client, s, err);
        wfl_mutex_unlock(&t->lock);
        if (rc != WFL_RATE_LIMITED) break;
    }
    if (rc != WFL_OK) {
        wfl_alloc_free(t->alloc, s);
        return rc;
    }
    wfl_mutex_init(&s->lock, WFL_RANK_AUTH);
    *out = s;
    return WFL_OK;
}

void session_publish(struct session *s)
{
    struct session_table *t = s->table;
    uint64_t              b = bucket_of(t, &s->id);

    wfl_mutex_lock(&t->locks[b % LOCKS]);
    s->next = t->buckets[b];
    t->buckets[b] = s;
    wfl_mutex_unlock(&t->locks[b % LOCKS]);
}

struct session *session_find(struct session_table *t, const wfl_ulid *id, int64_t now_sec)
{
    uint64_t        b = bucket_of(t, id);
    struct session *s;

    sweep(t, now_sec, SWEEP_SECONDS);
    wfl_mutex_lock(&t->locks[b % LOCKS]);
    s = t->buckets[b];
    while (s != NULL && wfl_ulid_cmp(&s->id, id) != 0)
        s = s->next;
    if (s != NULL && s->expires_sec <= now_sec) s = NULL;
    if (s != NULL) s->refs++;
    wfl_mutex_unlock(&t->locks[b % LOCKS]);
    return s;
}

void session_table_free(struct session_table *t)
{
    if (t == NULL) return;
    for (uint64_t b = 0; b < BUCKETS; b++) {
        struct session *all = t->buckets[b];

        t->buckets[b] = NULL;
        let_go(all);
    }
    while (t->slabs != NULL) {
        struct slab *slab = t->slabs;

        t->slabs = slab->next;
        sodium_free(slab->places);
        wfl_alloc_free(t->alloc, slab);
    }
    wfl_mutex_fini(&t->lock);
    for (int i = 0; i < LOCKS; i++)
        wfl_mutex_fini(&t->locks[i]);
    sodium_memzero(t->key, sizeof t->key);
    wfl_alloc_free(t->alloc, t);
}

/* ---- MACs */

static int find_scope_locked(const struct session *s, wfl_slice scope)
{
    for (int i = 0; i < SESSION_SCOPES; i++) {
        if (wfl_slice_eq(scope, wfl_slice_of(s->scopes[i], s->scope_lens[i]))) return i;
    }
    return -1;
}

/* The prepared state of a scope's key. False: it was not ready and is made anew. */
static bool prepare_mac(struct session *s, wfl_slice scope, struct hmac_sha256_ctx *out)
{
    char key[65];
    int  at;

    wfl_mutex_lock(&s->lock);
    at = find_scope_locked(s, scope);
    if (at >= 0) *out = s->secret->macs[at];
    wfl_mutex_unlock(&s->lock);
    if (at >= 0) return true;
    session_mac_key(s->secret->prk, scope, key);
    hmac_sha256_set_key(out, 64, (const uint8_t *)key);
    sodium_memzero(key, sizeof key);
    return false;
}

/* The one whose turn it is gives way. */
static void keep_mac(struct session *s, wfl_slice scope, const struct hmac_sha256_ctx *ctx)
{
    wfl_mutex_lock(&s->lock);
    if (find_scope_locked(s, scope) < 0) {
        uint32_t at = s->scope_turn++ % SESSION_SCOPES;

        s->secret->macs[at] = *ctx;
        memcpy(s->scopes[at], scope.data, scope.len);
        s->scope_lens[at] = (uint8_t)scope.len;
    }
    wfl_mutex_unlock(&s->lock);
}

bool session_mac_is(struct session *s, wfl_slice scope, wfl_slice text, const uint8_t mac[32])
{
    struct hmac_sha256_ctx ctx;
    uint8_t                right[32];
    bool                   ready, same;

    if (scope.len == 0 || scope.len > WFL_SESSION_SCOPE_MAX) return false; /* no bucket's name */
    ready = prepare_mac(s, scope, &ctx);
    hmac_sha256_update(&ctx, text.len, text.data);
    hmac_sha256_digest(&ctx, sizeof right, right); /* leaves the key as it was prepared */
    same = sodium_memcmp(mac, right, sizeof right) == 0;
    /* Only then: strangers who know a session's name must not change what is kept. */
    if (same && !ready) keep_mac(s, scope, &ctx);
    sodium_memzero(&ctx, sizeof ctx);
    sodium_memzero(right, sizeof right);
    return same;
}

bool session_spend(struct session *s, uint64_t counter)
{
    bool fresh;

    wfl_mutex_lock(&s->lock);
    fresh = counter_window_spend(&s->window, counter);
    wfl_mutex_unlock(&s->lock);
    return fresh;
}

enum counter_use session_claim(struct session *s, uint64_t counter)
{
    enum counter_use use;

    wfl_mutex_lock(&s->lock);
    use = counter_window_claim(&s->window, counter);
    wfl_mutex_unlock(&s->lock);
    return use;
}

void session_return(struct session *s, uint64_t counter)
{
    wfl_mutex_lock(&s->lock);
    counter_window_return(&s->window, counter);
    wfl_mutex_unlock(&s->lock);
}
