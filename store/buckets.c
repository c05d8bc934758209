/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of buckets: sorted by name, all in memory, so that naming a bucket costs a request no
 * record. The committer alone changes it; readers hold the lock for a binary search. The lock
 * prefers writers, or a steady stream of readers could keep the committer out.
 *
 * A name may be in the table more than once while a group deletes and creates it; the newest comes
 * first and is the only one that may stand. Fails only for memory and for WFL_BUCKETS_MAX. */
#include <assert.h>

#include "store/internal.h"

#define TABLE_CAP_MIN 16

/* The first place whose name is not below `name`. */
static size_t lower_bound(const struct wfl_store *s, wfl_slice name)
{
    size_t from = 0, to = s->table_count;

    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (wfl_slice_cmp(wfl_bucket_name(s->table[mid]), name) < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static bool named(const struct wfl_store *s, size_t i, wfl_slice name)
{
    return i < s->table_count && wfl_slice_eq(wfl_bucket_name(s->table[i]), name);
}

static struct bucket *find_visible_locked(const struct wfl_store *s, wfl_slice name)
{
    for (size_t i = lower_bound(s, name); named(s, i, name); i++)
        if (s->table[i]->visible) return s->table[i];
    return NULL;
}

struct bucket *wfl_buckets_find(struct wfl_store *s, wfl_slice name)
{
    size_t i = lower_bound(s, name);

    return named(s, i, name) && s->table[i]->stands ? s->table[i] : NULL;
}

wfl_code wfl_buckets_reserve(struct wfl_store *s, wfl_error *err)
{
    if (s->table_count < s->table_cap) return WFL_OK;
    if (s->table_count >= WFL_BUCKETS_MAX)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the store holds %d buckets, its most",
                        WFL_BUCKETS_MAX);
    size_t cap = s->table_cap == 0 ? TABLE_CAP_MIN : s->table_cap * 2;
    if (cap > WFL_BUCKETS_MAX) cap = WFL_BUCKETS_MAX;

    pthread_rwlock_wrlock(&s->table_lock);
    struct bucket **table = wfl_alloc_resize(s->alloc, s->table, cap * sizeof(struct bucket *));
    if (table != NULL) {
        s->table = table;
        s->table_cap = cap;
    }
    pthread_rwlock_unlock(&s->table_lock);
    if (table == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the table of buckets");
    return WFL_OK;
}

void wfl_buckets_insert(struct wfl_store *s, struct bucket *b)
{
    assert(s->table_count < s->table_cap);
    pthread_rwlock_wrlock(&s->table_lock);
    size_t at = lower_bound(s, wfl_bucket_name(b));
    memmove(s->table + at + 1, s->table + at, (s->table_count - at) * sizeof(struct bucket *));
    s->table[at] = b;
    s->table_count++;
    pthread_rwlock_unlock(&s->table_lock);
}

void wfl_buckets_sweep(struct wfl_store *s)
{
    size_t kept = 0;

    pthread_rwlock_wrlock(&s->table_lock);
    for (size_t i = 0; i < s->table_count; i++) {
        struct bucket *b = s->table[i];
        if (b->visible || b->stands)
            s->table[kept++] = b;
        else
            wfl_alloc_free(s->alloc, b);
    }
    s->table_count = kept;
    pthread_rwlock_unlock(&s->table_lock);
}

void wfl_buckets_fini(struct wfl_store *s)
{
    for (size_t i = 0; i < s->table_count; i++)
        wfl_alloc_free(s->alloc, s->table[i]);
    wfl_alloc_free(s->alloc, s->table);
}

void wfl_buckets_touch(struct wfl_store *s, struct bucket *b)
{
    if (b->touched) return;
    b->touched = true;
    b->next = s->touched;
    s->touched = b;
}

/* ---- readers */

wfl_code wfl_fail_no_bucket(wfl_error *err, wfl_slice name)
{
    return wfl_fail(err, WFL_BUCKET_NOT_FOUND, "there is no bucket %.*s", WFL_FMT(name));
}

wfl_code wfl_fail_no_key(wfl_error *err, wfl_slice bucket, wfl_slice key)
{
    return wfl_fail(err, WFL_KEY_NOT_FOUND, "bucket %.*s has no key %.*s", WFL_FMT(bucket),
                    WFL_FMT(key));
}

static struct counters published(struct wfl_store *s, const struct bucket *b)
{
    wfl_mutex_lock(&s->counters_lock);
    struct counters counters = b->published;
    wfl_mutex_unlock(&s->counters_lock);
    return counters;
}

wfl_code wfl_buckets_look_up(struct wfl_store *s, wfl_slice name, struct bucket_view *out,
                             wfl_error *err)
{
    pthread_rwlock_rdlock(&s->table_lock);
    struct bucket *b = find_visible_locked(s, name);
    if (b != NULL) {
        struct counters counters = published(s, b);

        *out = (struct bucket_view){.id = b->id,
                                    .settings = b->shown,
                                    .version = counters.version,
                                    .floor = counters.floor,
                                    .changes_floor = counters.changes_floor};
    }
    pthread_rwlock_unlock(&s->table_lock);
    return b != NULL ? WFL_OK : wfl_fail_no_bucket(err, name);
}

void wfl_buckets_note_rates(struct wfl_store *s, struct bucket *b)
{
    bool rated = b->visible && (b->shown.requests_per_second > 0 || b->shown.bytes_per_second > 0);

    if (rated == b->rated) return;
    b->rated = rated;
    if (rated)
        s->rated++;
    else
        s->rated--;
}

uint64_t wfl_store_flow(struct wfl_store *s, wfl_slice bucket, wfl_slice client)
{
    struct bucket *b;
    uint64_t       flow = 0;
    wfl_hash       hash;

    pthread_rwlock_rdlock(&s->table_lock);
    b = find_visible_locked(s, bucket);
    if (b != NULL) flow = b->id;
    pthread_rwlock_unlock(&s->table_lock);
    if (flow != 0 || client.len == 0) return flow;
    hash = wfl_hash_of(client);
    memcpy(&flow, hash.bytes, sizeof flow);
    return flow | UINT64_C(1) << 63; /* no bucket's */
}

static uint64_t rate_of(int64_t setting)
{
    return setting > 0 ? (uint64_t)setting : UINT64_MAX;
}

bool wfl_store_bucket_rates(struct wfl_store *s, wfl_slice name, struct wfl_bucket_rates *out)
{
    struct bucket *b;

    if (s->rated == 0) return false;
    pthread_rwlock_rdlock(&s->table_lock);
    b = find_visible_locked(s, name);
    if (b != NULL)
        *out =
            (struct wfl_bucket_rates){.id = b->id,
                                      .requests_per_second = rate_of(b->shown.requests_per_second),
                                      .bytes_per_second = rate_of(b->shown.bytes_per_second)};
    pthread_rwlock_unlock(&s->table_lock);
    return b != NULL &&
           (out->requests_per_second != UINT64_MAX || out->bytes_per_second != UINT64_MAX);
}

struct bucket *wfl_buckets_by_id(struct wfl_store *s, uint32_t id)
{
    for (size_t i = 0; i < s->table_count; i++)
        if (s->table[i]->id == id && s->table[i]->stands) return s->table[i];
    return NULL;
}

size_t wfl_buckets_name_of(struct wfl_store *s, uint32_t id, uint8_t out[WFL_BUCKET_NAME_MAX])
{
    size_t len = 0;

    pthread_rwlock_rdlock(&s->table_lock);
    for (size_t i = 0; i < s->table_count && len == 0; i++) {
        if (s->table[i]->id != id || !s->table[i]->visible) continue;
        len = s->table[i]->name_len;
        memcpy(out, s->table[i]->name, len);
    }
    pthread_rwlock_unlock(&s->table_lock);
    return len;
}

wfl_code wfl_store_bucket_info(struct wfl_store *s, wfl_slice name, wfl_arena *arena,
                               struct wfl_bucket_info *out, wfl_error *err)
{
    struct wfl_bucket_info info = {0};

    if (!wfl_arena_copy(arena, name, &info.name))
        return wfl_fail(err, WFL_NOMEM, "no memory for a bucket's name");
    pthread_rwlock_rdlock(&s->table_lock);
    struct bucket *b = find_visible_locked(s, name);
    if (b != NULL) {
        struct counters counters = published(s, b);
        info.settings = b->shown;
        info.objects = counters.objects;
        info.bytes = counters.bytes;
        info.version = counters.version;
        info.floor = counters.floor;
    }
    pthread_rwlock_unlock(&s->table_lock);
    if (b == NULL) return wfl_fail_no_bucket(err, name);
    *out = info;
    return WFL_OK;
}

static bool listed(const struct bucket *b, bool (*wanted)(void *ctx, wfl_slice name), void *ctx)
{
    return b->visible && wanted(ctx, wfl_bucket_name(b));
}

wfl_code wfl_store_bucket_list(struct wfl_store *s, bool (*wanted)(void *ctx, wfl_slice name),
                               void *ctx, wfl_arena *arena, wfl_slice **out, uint32_t *count,
                               wfl_error *err)
{
    wfl_slice *names = NULL;
    uint32_t   most = 0, got = 0;
    bool       room = true;

    pthread_rwlock_rdlock(&s->table_lock);
    for (size_t i = 0; i < s->table_count; i++)
        most += listed(s->table[i], wanted, ctx);
    if (most > 0) {
        names = wfl_arena_zero(arena, most, sizeof *names);
        room = names != NULL;
    }
    for (size_t i = 0; room && i < s->table_count && got < most; i++) {
        if (!listed(s->table[i], wanted, ctx)) continue;
        room = wfl_arena_copy(arena, wfl_bucket_name(s->table[i]), &names[got]);
        got += room;
    }
    pthread_rwlock_unlock(&s->table_lock);
    if (!room) return wfl_fail(err, WFL_NOMEM, "no memory for the names of buckets");
    *out = names;
    *count = got;
    return WFL_OK;
}
