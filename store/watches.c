/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is told of a bucket's commits. A list for each slot of a table by bucket id, under one lock
 * that the committer takes once a group; without watches that is all it costs. A watch is called
 * once and then lies quiet until its owner looks, however many commits come meanwhile.
 *
 * Nothing is lost between the two: the committer wakes after its group can be read, and the owner
 * registers (or asks to be told again) before it reads; the lock orders the one against the other.
 */
#include <assert.h>

#include "store/internal.h"

#define SLOTS 1024

wfl_code wfl_watches_init(struct wfl_store *s, wfl_error *err)
{
    s->watches = wfl_alloc_zero(s->alloc, SLOTS, sizeof(struct wfl_watch *));
    return s->watches != NULL ? WFL_OK : wfl_fail(err, WFL_NOMEM, "no memory for watches");
}

void wfl_watches_fini(struct wfl_store *s)
{
    assert(s->watch_count == 0);
    wfl_alloc_free(s->alloc, s->watches);
}

void wfl_watches_wake(struct wfl_store *s)
{
    wfl_mutex_lock(&s->watch_lock);
    for (struct bucket *b = s->watch_count > 0 ? s->touched : NULL; b != NULL; b = b->next) {
        for (struct wfl_watch *w = s->watches[b->id % SLOTS]; w != NULL; w = w->own.next) {
            if (w->bucket_id != b->id || w->own.woken) continue;
            w->own.woken = true;
            w->wake(w);
        }
    }
    wfl_mutex_unlock(&s->watch_lock);
}

void wfl_store_watch(struct wfl_store *s, struct wfl_watch *watch)
{
    struct wfl_watch **slot = &s->watches[watch->bucket_id % SLOTS];

    watch->own.prev = NULL;
    watch->own.woken = false;
    wfl_mutex_lock(&s->watch_lock);
    watch->own.next = *slot;
    if (*slot != NULL) (*slot)->own.prev = watch;
    *slot = watch;
    s->watch_count++;
    wfl_mutex_unlock(&s->watch_lock);
}

void wfl_watch_again(struct wfl_store *s, struct wfl_watch *watch)
{
    wfl_mutex_lock(&s->watch_lock);
    watch->own.woken = false;
    wfl_mutex_unlock(&s->watch_lock);
}

bool wfl_store_unwatch(struct wfl_store *s, struct wfl_watch *watch)
{
    bool woken;

    wfl_mutex_lock(&s->watch_lock);
    assert(s->watch_count > 0);
    s->watch_count--;
    if (watch->own.prev != NULL)
        watch->own.prev->own.next = watch->own.next;
    else
        s->watches[watch->bucket_id % SLOTS] = watch->own.next;
    if (watch->own.next != NULL) watch->own.next->own.prev = watch->own.prev;
    woken = watch->own.woken;
    wfl_mutex_unlock(&s->watch_lock);
    return woken;
}

wfl_code wfl_store_bucket_id(struct wfl_store *s, wfl_slice bucket, uint32_t *id, wfl_error *err)
{
    struct bucket_view b;
    wfl_code           rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc == WFL_OK) *id = b.id;
    return rc;
}
