/* SPDX-License-Identifier: Apache-2.0
 *
 * Leases on chunks. An upload that finds one of its chunks in the bucket does not write it again;
 * it takes a lease, and may then count on the chunk until its own commit has named it. Whoever
 * takes the chunk's last reference away meanwhile leaves it with a count of zero. The other way
 * round, a chunk that the committer is about to drop can not be leased: readers still see its
 * record until the group is stored, so the table remembers what is being dropped until then.
 *
 * Entries exist only while a lease is held or a group is under way: memory is bounded by the pages
 * of the uploads under way. Fails only for memory. */
#include <assert.h>

#include "store/chunks.h"

#define TABLE_SLOTS 1024

struct lease {
    struct lease *next, *next_dropping;
    uint8_t       name[WFL_CHUNK_KEY_LEN];
    uint32_t      held;
    bool          dropping; /* by the group under way */
    bool          zero;     /* left with a count of zero because it was held */
};

struct lease_table {
    wfl_mutex     lock;
    struct lease *slots[TABLE_SLOTS];
    struct lease *dropping;
};

static struct lease_table *table_of(struct wfl_store *s)
{
    return s->leases;
}

static struct lease **find_locked(struct lease_table *t, const uint8_t name[WFL_CHUNK_KEY_LEN])
{
    /* The hash's own first bytes are as random as any. */
    unsigned       slot = (name[WFL_ID_LEN] | name[WFL_ID_LEN + 1] << 8) % TABLE_SLOTS;
    struct lease **at = &t->slots[slot];

    while (*at != NULL && memcmp((*at)->name, name, WFL_CHUNK_KEY_LEN) != 0)
        at = &(*at)->next;
    return at;
}

static struct lease *make_locked(struct wfl_store *s, struct lease **at,
                                 const uint8_t name[WFL_CHUNK_KEY_LEN])
{
    if (*at != NULL) return *at;
    *at = wfl_alloc_zero(s->alloc, 1, sizeof **at);
    if (*at != NULL) memcpy((*at)->name, name, WFL_CHUNK_KEY_LEN);
    return *at;
}

static void free_unused_locked(struct wfl_store *s, struct lease **at)
{
    struct lease *l = *at;

    if (l == NULL || l->held > 0 || l->dropping) return;
    *at = l->next;
    wfl_alloc_free(s->alloc, l);
}

enum lease_answer wfl_lease_take(struct wfl_store *s, uint32_t id, const wfl_hash *hash)
{
    struct lease_table *t = table_of(s);
    uint8_t             name[WFL_CHUNK_KEY_LEN];
    enum lease_answer   answer = LEASE_HELD;

    (void)wfl_key_chunk(id, hash, name);
    wfl_mutex_lock(&t->lock);
    struct lease *l = make_locked(s, find_locked(t, name), name);
    if (l == NULL)
        answer = LEASE_NOMEM;
    else if (l->dropping)
        answer = LEASE_REFUSED;
    else
        l->held++;
    wfl_mutex_unlock(&t->lock);
    return answer;
}

void wfl_lease_give(struct wfl_store *s, uint32_t id, const wfl_hash *hash)
{
    struct lease_table *t = table_of(s);
    uint8_t             name[WFL_CHUNK_KEY_LEN];
    bool                zero;

    (void)wfl_key_chunk(id, hash, name);
    wfl_mutex_lock(&t->lock);
    struct lease **at = find_locked(t, name);
    assert(*at != NULL && (*at)->held > 0);
    (*at)->held--;
    zero = (*at)->zero && (*at)->held == 0;
    free_unused_locked(s, at);
    wfl_mutex_unlock(&t->lock);
    if (zero) wfl_collector_wake(s);
}

wfl_code wfl_lease_drop(struct wfl_store *s, uint32_t id, const wfl_hash *hash, bool *held,
                        wfl_error *err)
{
    struct lease_table *t = table_of(s);
    uint8_t             name[WFL_CHUNK_KEY_LEN];

    (void)wfl_key_chunk(id, hash, name);
    wfl_mutex_lock(&t->lock);
    struct lease *l = make_locked(s, find_locked(t, name), name);
    if (l != NULL) {
        *held = l->held > 0;
        l->zero |= *held;
        if (!*held && !l->dropping) {
            l->dropping = true;
            l->next_dropping = t->dropping;
            t->dropping = l;
        }
    }
    wfl_mutex_unlock(&t->lock);
    if (l == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to drop a chunk");
    return WFL_OK;
}

void wfl_leases_settled(struct wfl_store *s)
{
    struct lease_table *t = table_of(s);

    wfl_mutex_lock(&t->lock);
    for (struct lease *l = t->dropping, *next; l != NULL; l = next) {
        next = l->next_dropping;
        l->dropping = false;
        free_unused_locked(s, find_locked(t, l->name));
    }
    t->dropping = NULL;
    wfl_mutex_unlock(&t->lock);
}

wfl_code wfl_leases_init(struct wfl_store *s, wfl_error *err)
{
    s->leases = wfl_alloc_zero(s->alloc, 1, sizeof *s->leases);
    if (s->leases == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the store");
    wfl_mutex_init(&s->leases->lock, WFL_RANK_STORE);
    return WFL_OK;
}

void wfl_leases_fini(struct wfl_store *s)
{
    if (s->leases == NULL) return;
    for (size_t i = 0; i < TABLE_SLOTS; i++) {
        for (struct lease *l = s->leases->slots[i], *next; l != NULL; l = next) {
            next = l->next;
            wfl_alloc_free(s->alloc, l);
        }
    }
    wfl_mutex_fini(&s->leases->lock);
    wfl_alloc_free(s->alloc, s->leases);
}
