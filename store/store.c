/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing, and what the committer does once a group: it writes the counters of the
 * buckets that the group touched and the last version into the group's own batch (seal), and shows
 * them to readers when the batch is stored (settled). So counters on disk always fit the objects
 * beside them, and cost one small record a bucket and group, not one an object.
 *
 * Failure: a group that is not stored leaves counters and buckets as they were before it. Versions
 * that it was given are not given again: a version means one thing for ever. */
#include <stdlib.h>

#include "store/chunks.h"

#define UPLOAD_TTL_SECONDS (7u * 24 * 3600)

wfl_code wfl_store_next_version(struct wfl_store *s, wfl_ulid *out, wfl_error *err)
{
    uint8_t  random[10] = {0};
    uint64_t now_ms = wfl_clock_unix_ms(s->clock);

    /* Drawn once a millisecond: within one the next version is the last plus one anyway. */
    if (now_ms > wfl_ulid_ms(&s->versions.last)) wfl_random_fill(s->random, random, sizeof random);
    return wfl_ulid_next(&s->versions, now_ms, random, out, err);
}

wfl_code wfl_store_write_counters(struct wfl_txn *t, const struct bucket *b, wfl_error *err)
{
    struct wfl_record_counters record = {.objects = b->group.objects, .bytes = b->group.bytes};
    uint8_t                    key[WFL_COUNTERS_KEY_LEN], space[WFL_RECORD_SMALL_MAX];

    memcpy(record.version, b->group.version.bytes, sizeof record.version);
    memcpy(record.floor, b->group.floor.bytes, sizeof record.floor);
    memcpy(record.changes_floor, b->group.changes_floor.bytes, sizeof record.changes_floor);
    wfl_slice bytes = wfl_slice_of(space, wfl_record_counters_write(&record, space));
    return wfl_txn_put(t, WFL_SPACE_META, wfl_key_counters(b->id, key), &bytes, 1, err);
}

wfl_code wfl_store_write_last(struct wfl_txn *t, const struct wfl_store *s, wfl_error *err)
{
    struct wfl_record_store record = {.format = s->format, .bucket_id = s->last_bucket_id};
    uint8_t                 space[WFL_RECORD_SMALL_MAX];

    memcpy(record.version, s->versions.last.bytes, sizeof record.version);
    wfl_slice bytes = wfl_slice_of(space, wfl_record_store_write(&record, space));
    return wfl_txn_put(t, WFL_SPACE_META, WFL_S(WFL_STORE_KEY), &bytes, 1, err);
}

static wfl_code seal(void *ctx, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_store *s = ctx;
    wfl_code          rc;

    if (s->touched == NULL) return WFL_OK;
    for (struct bucket *b = s->touched; b != NULL; b = b->next) {
        if (!b->stands) continue; /* deleted: its counters went with it */
        rc = wfl_store_write_counters(t, b, err);
        if (rc != WFL_OK) return wfl_wrap(err, "counters");
    }
    rc = wfl_store_write_last(t, s, err);
    return rc == WFL_OK ? rc : wfl_wrap(err, "last version");
}

/* Counters and buckets become what the group made of them, or what they were before it. */
static void settled(void *ctx, wfl_code rc)
{
    struct wfl_store *s = ctx;
    bool              changed = false, gone = false;

    wfl_mutex_lock(&s->counters_lock);
    for (struct bucket *b = s->touched; b != NULL; b = b->next) {
        if (rc == WFL_OK)
            b->published = b->group;
        else
            b->group = b->published;
        changed |= b->visible != b->stands || b->patched;
        gone |= !b->visible && !b->stands; /* created and deleted by the same group */
    }
    wfl_mutex_unlock(&s->counters_lock);
    if (rc == WFL_OK) wfl_watches_wake(s);

    if (changed) pthread_rwlock_wrlock(&s->table_lock);
    for (struct bucket *b = s->touched, *next; b != NULL; b = next) {
        next = b->next;
        b->next = NULL;
        b->touched = false;
        if (b->patched && rc == WFL_OK) b->shown = b->settings;
        if (b->patched && rc != WFL_OK) b->settings = b->shown;
        b->patched = false;
        if (b->visible != b->stands && rc == WFL_OK)
            b->visible = b->stands;
        else
            b->stands = b->visible;
        wfl_buckets_note_rates(s, b);
        gone |= !b->visible;
    }
    s->touched = NULL;
    if (changed) pthread_rwlock_unlock(&s->table_lock);
    if (gone) wfl_buckets_sweep(s);
    wfl_leases_settled(s);
    if (s->trashed && rc == WFL_OK) wfl_collector_wake(s);
    if (gone && rc == WFL_OK) wfl_collector_wake_for_uploads(s);
    s->trashed = false;
}

static wfl_code init_locks(struct wfl_store *s, wfl_error *err)
{
    pthread_rwlockattr_t attr;
    int                  failed = pthread_rwlockattr_init(&attr);

    if (failed == 0) {
        (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
        failed = pthread_rwlock_init(&s->table_lock, &attr);
        pthread_rwlockattr_destroy(&attr);
    }
    if (failed != 0) return wfl_fail(err, WFL_NOMEM, "no lock for the table of buckets");
    wfl_mutex_init(&s->counters_lock, WFL_RANK_STORE);
    wfl_mutex_init(&s->watch_lock, WFL_RANK_STORE);
    return WFL_OK;
}

wfl_code wfl_store_open(const struct wfl_store_config *config, struct wfl_store **out,
                        wfl_error *err)
{
    struct wfl_store *s = wfl_alloc_zero(config->alloc, 1, sizeof *s);
    wfl_code          rc;

    if (s == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the store");
    s->engine = config->engine;
    s->clock = config->clock;
    s->random = config->random;
    s->alloc = config->alloc;
    s->upload_ttl_ms = 1000ull * (config->upload_ttl_seconds == 0 ? UPLOAD_TTL_SECONDS
                                                                  : config->upload_ttl_seconds);
    s->next_due_ms = UINT64_MAX;
    rc = init_locks(s, err);
    if (rc != WFL_OK) {
        wfl_alloc_free(s->alloc, s);
        return rc;
    }
    rc = wfl_watches_init(s, err);
    if (rc == WFL_OK) rc = wfl_leases_init(s, err);
    if (rc == WFL_OK) rc = wfl_actives_init(s, err);
    if (rc == WFL_OK) rc = wfl_store_load(s, err);
    if (rc == WFL_OK) rc = wfl_revocations_load(s, err);
    if (rc != WFL_OK) {
        wfl_store_close(s);
        return wfl_wrap(err, "loading the store");
    }
    wfl_engine_set_hooks(s->engine,
                         &(struct wfl_group_hooks){.seal = seal, .settled = settled, .ctx = s});
    rc = wfl_store_upgrade(s, err);
    if (rc == WFL_OK && config->collects) rc = wfl_collector_start(s, err);
    if (rc != WFL_OK) {
        wfl_store_close(s);
        return rc;
    }
    *out = s;
    return WFL_OK;
}

void wfl_store_close(struct wfl_store *s)
{
    if (s == NULL) return;
    wfl_collector_stop(s);
    /* The engine outlives the store: it must not call into memory that is gone. */
    wfl_engine_set_hooks(s->engine, &(struct wfl_group_hooks){0});
    wfl_buckets_fini(s);
    wfl_leases_fini(s);
    wfl_actives_fini(s);
    wfl_watches_fini(s);
    wfl_revocations_fini(s);
    wfl_mutex_fini(&s->watch_lock);
    wfl_mutex_fini(&s->counters_lock);
    pthread_rwlock_destroy(&s->table_lock);
    wfl_alloc_free(s->alloc, s);
}
