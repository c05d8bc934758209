/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests in use: written by an upload, or read by an answer under way. The collector passes them
 * by and comes back when they are left, so a download that has begun ends well though its object is
 * deleted meanwhile. A manifest that the collector is at can not be entered: the reader looks for
 * the object again. Fails only for memory. */
#include <assert.h>

#include "store/chunks.h"

#define TABLE_SLOTS 256

struct active {
    struct active *next;
    wfl_ulid       manifest;
    uint32_t       users;
    bool           collecting;
    bool           passed_by; /* the collector wants to come back */
};

struct active_table {
    wfl_mutex      lock;
    struct active *slots[TABLE_SLOTS];
};

static struct active **find_locked(struct active_table *t, const wfl_ulid *manifest)
{
    struct active **at = &t->slots[manifest->bytes[15] % TABLE_SLOTS]; /* the most random byte */

    while (*at != NULL && wfl_ulid_cmp(&(*at)->manifest, manifest) != 0)
        at = &(*at)->next;
    return at;
}

static struct active *make_locked(struct wfl_store *s, struct active **at, const wfl_ulid *manifest)
{
    if (*at != NULL) return *at;
    *at = wfl_alloc_zero(s->alloc, 1, sizeof **at);
    if (*at != NULL) (*at)->manifest = *manifest;
    return *at;
}

static void remove_locked(struct wfl_store *s, struct active **at)
{
    struct active *a = *at;

    *at = a->next;
    wfl_alloc_free(s->alloc, a);
}

wfl_code wfl_active_enter(struct wfl_store *s, const wfl_ulid *manifest)
{
    struct active_table *t = s->actives;
    wfl_code             rc = WFL_OK;

    wfl_mutex_lock(&t->lock);
    struct active *a = make_locked(s, find_locked(t, manifest), manifest);
    if (a == NULL)
        rc = WFL_NOMEM;
    else if (a->collecting)
        rc = WFL_NOT_FOUND;
    else
        a->users++;
    wfl_mutex_unlock(&t->lock);
    return rc;
}

void wfl_active_leave(struct wfl_store *s, const wfl_ulid *manifest)
{
    struct active_table *t = s->actives;
    bool                 wake = false;

    wfl_mutex_lock(&t->lock);
    struct active **at = find_locked(t, manifest);
    assert(*at != NULL && (*at)->users > 0 && !(*at)->collecting);
    if (--(*at)->users == 0) {
        wake = (*at)->passed_by;
        remove_locked(s, at);
    }
    wfl_mutex_unlock(&t->lock);
    if (wake) wfl_collector_wake(s);
}

bool wfl_active_collect(struct wfl_store *s, const wfl_ulid *manifest)
{
    struct active_table *t = s->actives;
    bool                 mine = false;

    wfl_mutex_lock(&t->lock);
    struct active *a = make_locked(s, find_locked(t, manifest), manifest);
    if (a != NULL) { /* without memory it waits for another turn */
        mine = a->users == 0;
        a->collecting = mine;
        a->passed_by = !mine;
    }
    wfl_mutex_unlock(&t->lock);
    return mine;
}

void wfl_active_collected(struct wfl_store *s, const wfl_ulid *manifest)
{
    struct active_table *t = s->actives;

    wfl_mutex_lock(&t->lock);
    struct active **at = find_locked(t, manifest);
    assert(*at != NULL && (*at)->collecting);
    remove_locked(s, at);
    wfl_mutex_unlock(&t->lock);
}

wfl_code wfl_actives_init(struct wfl_store *s, wfl_error *err)
{
    s->actives = wfl_alloc_zero(s->alloc, 1, sizeof *s->actives);
    if (s->actives == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the store");
    wfl_mutex_init(&s->actives->lock, WFL_RANK_STORE);
    return WFL_OK;
}

void wfl_actives_fini(struct wfl_store *s)
{
    if (s->actives == NULL) return;
    for (size_t i = 0; i < TABLE_SLOTS; i++)
        while (s->actives->slots[i] != NULL)
            remove_locked(s, &s->actives->slots[i]);
    wfl_mutex_fini(&s->actives->lock);
    wfl_alloc_free(s->alloc, s->actives);
}
