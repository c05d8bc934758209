/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets whose chain has been verified, by the hash of their text: four places a set, the oldest
 * of a full set gives way. Only what verified gets in, so a flood of random packets takes no place.
 */
#include "auth/auth_private.h"

#define WAYS  4
#define LOCKS 16

struct packet_set {
    const struct wfl_packet *ways[WAYS];
    unsigned                 next; /* to give way */
};

struct packet_cache {
    const struct wfl_alloc *alloc;
    wfl_mutex               locks[LOCKS];
    struct packet_set      *sets;
    uint32_t                set_count;
    _Atomic uint64_t        cached, hits, misses;
};

wfl_code packet_cache_new(uint32_t max, const struct wfl_alloc *alloc, struct packet_cache **out,
                          wfl_error *err)
{
    struct packet_cache *c = wfl_alloc_zero(alloc, 1, sizeof *c);

    if (c == NULL) return wfl_fail(err, WFL_NOMEM, "packet cache: out of memory");
    c->alloc = alloc;
    c->set_count = max / WAYS == 0 ? 1 : max / WAYS;
    c->sets = wfl_alloc_zero(alloc, c->set_count, sizeof *c->sets);
    if (c->sets == NULL) {
        wfl_alloc_free(alloc, c);
        return wfl_fail(err, WFL_NOMEM, "packet cache: out of memory");
    }
    for (int i = 0; i < LOCKS; i++)
        wfl_mutex_init(&c->locks[i], WFL_RANK_AUTH);
    *out = c;
    return WFL_OK;
}

void packet_cache_free(struct packet_cache *c)
{
    if (c == NULL) return;
    for (uint32_t i = 0; i < c->set_count; i++) {
        for (int w = 0; w < WAYS; w++)
            wfl_packet_unref(c->sets[i].ways[w]);
    }
    for (int i = 0; i < LOCKS; i++)
        wfl_mutex_fini(&c->locks[i]);
    wfl_alloc_free(c->alloc, c->sets);
    wfl_alloc_free(c->alloc, c);
}

static uint32_t set_of(const struct packet_cache *c, const uint8_t sha256[32])
{
    uint64_t v;

    memcpy(&v, sha256, sizeof v);
    return (uint32_t)(v % c->set_count);
}

const struct wfl_packet *packet_cache_find(struct packet_cache *c, const uint8_t sha256[32])
{
    uint32_t                 i = set_of(c, sha256);
    const struct wfl_packet *found = NULL;

    wfl_mutex_lock(&c->locks[i % LOCKS]);
    for (int w = 0; w < WAYS && found == NULL; w++) {
        const struct wfl_packet *p = c->sets[i].ways[w];

        if (p != NULL && memcmp(p->text_sha256, sha256, 32) == 0) found = p;
    }
    if (found != NULL) wfl_packet_ref(found);
    wfl_mutex_unlock(&c->locks[i % LOCKS]);
    if (found != NULL) {
        c->hits++;
    } else {
        c->misses++;
    }
    return found;
}

void packet_cache_add(struct packet_cache *c, const struct wfl_packet *p)
{
    uint32_t                 i = set_of(c, p->text_sha256);
    struct packet_set       *set = &c->sets[i];
    const struct wfl_packet *old = NULL;
    bool                     there = false;

    wfl_mutex_lock(&c->locks[i % LOCKS]);
    for (int w = 0; w < WAYS; w++) { /* another thread may have been first */
        there |= set->ways[w] != NULL && memcmp(set->ways[w]->text_sha256, p->text_sha256, 32) == 0;
    }
    if (!there) {
        old = set->ways[set->next];
        set->ways[set->next] = p;
        set->next = (set->next + 1) % WAYS;
        wfl_packet_ref(p);
        if (old == NULL) c->cached++;
    }
    wfl_mutex_unlock(&c->locks[i % LOCKS]);
    wfl_packet_unref(old);
}

void packet_cache_stats(struct packet_cache *c, struct wfl_auth_stats *out)
{
    out->packets_cached = c->cached;
    out->packet_hits = c->hits;
    out->packet_misses = c->misses;
}
