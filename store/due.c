/* SPDX-License-Identifier: Apache-2.0
 *
 * What time brings: objects that expire, versions that are no longer kept, changes that are out of
 * time, the rest of a deleted bucket, a bucket whose settings have changed, revocations of links
 * that have ended. Each waits in DUE under the time at which it is due, written in the commit that
 * caused it; the collector goes over what is due by now. A row is a hint: what it is about is
 * judged anew by the settings of the moment, in the commit that acts, so one that has been
 * overtaken does nothing. Readers do not wait for any of this: they do not see what is out of time.
 *
 * Commits are small (ROWS_A_COMMIT), and one at a time. */
#include "store/history.h"

#define ROWS_A_TURN   256
#define ROWS_A_COMMIT 256
#define CHANGES_PAUSE 60000 /* ms between two looks at one bucket's changes */

struct due {
    struct wfl_store *store;
    wfl_slice         row; /* key of DUE; empty: it is done at once, without one */
    uint64_t          due_ms;
    uint8_t           kind;
    uint32_t          id;
    wfl_slice         key;
    bool              again; /* there is more: the row stays */
};

struct bucket *wfl_bucket_of_id(struct wfl_store *s, struct wfl_txn *t, uint32_t id)
{
    struct wfl_record_bucket record;
    struct wfl_pin           pin = {0};
    struct bucket           *b = NULL;
    uint8_t                  key[WFL_ID_LEN];
    wfl_error                err;

    if (wfl_txn_get(t, WFL_SPACE_BUCKETS, wfl_key_bucket(id, key), &pin, &err) != WFL_OK)
        return NULL;
    if (wfl_record_bucket_read(pin.value.data, pin.value.len, &record) == NULL)
        b = wfl_buckets_find(s, wfl_from_record(record.name));
    wfl_pin_release(&pin);
    return b != NULL && b->id == id ? b : NULL;
}

static wfl_code commit(struct due *d,
                       wfl_code (*apply)(struct wfl_commit *, struct wfl_txn *, wfl_error *),
                       void *arg, wfl_error *err)
{
    return wfl_wait_commit(
        d->store,
        &(struct wait_commit){
            .apply = apply, .arg = arg, .bytes = 64u << 10, .durability = WFL_BUFFERED},
        err);
}

static wfl_code drop_row(struct due *d, struct wfl_txn *t, wfl_error *err)
{
    if (d->again || d->row.len == 0) return WFL_OK;
    return wfl_txn_delete(t, WFL_SPACE_DUE, d->row, err);
}

static wfl_code drop_row_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    return drop_row(c->arg, t, err);
}

/* ---- an object that expires: as if it were deleted, by nobody */

static wfl_code expire_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct due    *d = c->arg;
    struct bucket *b = wfl_bucket_of_id(d->store, t, d->id);
    struct current current = {0};
    wfl_ulid       version, nobody = {{0}};
    wfl_code       rc = drop_row(d, t, err);

    if (rc == WFL_OK && b != NULL) rc = wfl_judge_current(d->store, t, b, d->key, &current, err);
    if (rc == WFL_OK && current.stored && !current.exists) {
        rc = wfl_store_next_version(d->store, &version, err);
        if (rc == WFL_OK)
            rc = wfl_write_delete(d->store, t, b, d->key, &current, &version, (wfl_slice){0},
                                  nobody, err);
    }
    wfl_current_fini(&current);
    return rc;
}

/* ---- versions that are no longer kept */

struct pruning {
    struct due *due;
    wfl_ulid    gone[ROWS_A_COMMIT];
    wfl_ulid    by[ROWS_A_COMMIT]; /* the version that took its place */
    uint32_t    count;
    uint64_t    next_ms; /* when time takes the next one; UINT64_MAX: none */
};

static wfl_code prune_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct pruning *p = c->arg;
    struct due     *d = p->due;
    struct bucket  *b = wfl_bucket_of_id(d->store, t, d->id);
    wfl_code        rc = drop_row(d, t, err);

    for (uint32_t i = 0; rc == WFL_OK && i < p->count; i++) {
        rc = wfl_history_remove(d->store, t, d->id, d->key, &p->gone[i], err);
        if (rc == WFL_NOT_FOUND) rc = WFL_OK; /* erased meanwhile */
    }
    /* Settings of the past have planned for themselves, and erasing has put others side by side. */
    if (rc == WFL_OK && b != NULL && !d->again && p->next_ms != UINT64_MAX)
        rc = wfl_write_due(d->store, t, p->next_ms, WFL_DUE_HISTORY, d->id, d->key, err);
    if (rc != WFL_OK || b == NULL) return rc;
    for (uint32_t i = 0; i < p->count; i++)
        if (wfl_ulid_cmp(&p->by[i], &b->group.floor) > 0) b->group.floor = p->by[i];
    if (p->count > 0) wfl_buckets_touch(d->store, b);
    return WFL_OK;
}

/* When time takes a version that is kept now, and not current. */
static uint64_t end_ms(const struct wfl_bucket_settings *set, const struct line_entry *e,
                       const wfl_ulid *newer)
{
    uint64_t end = UINT64_MAX, expires;

    if (set->retain_seconds >= 0 && !wfl_ulid_is_zero(newer))
        end = wfl_ulid_ms(newer) + 1000 * (uint64_t)set->retain_seconds;
    if (set->expire_seconds < 0 || e->record.storage == WFL_RECORD_TOMBSTONE) return end;
    expires = wfl_ulid_ms(&e->version) + 1000 * (uint64_t)set->expire_seconds;
    return expires < end ? expires : end;
}

/* A tombstone that nothing lies below says nothing: it goes too. */
static wfl_code choose_gone(struct pruning *p, const struct bucket_view *b, wfl_error *err)
{
    struct line_entry entry = {0};
    struct line       line;
    wfl_ulid          newer = {{0}};
    uint32_t          idle = 0; /* tombstones since the last object that is kept */
    wfl_ulid          tombstones[ROWS_A_COMMIT];
    wfl_code          rc = line_open(&line, p->due->store, b, p->due->key, err);

    if (rc != WFL_OK) return rc;
    while (p->count + idle < ROWS_A_COMMIT && (rc = line_next(&line, &entry, err)) == WFL_OK) {
        if (!entry.current && !entry.visible) {
            p->gone[p->count] = entry.version;
            p->by[p->count++] = wfl_ulid_is_zero(&newer) ? entry.version : newer;
        } else if (!entry.current) {
            uint64_t end = end_ms(&b->settings, &entry, &newer);

            if (end < p->next_ms) p->next_ms = end;
            if (entry.record.storage == WFL_RECORD_TOMBSTONE)
                tombstones[idle++] = entry.version;
            else
                idle = 0;
        }
        newer = entry.version;
    }
    p->due->again = rc == WFL_OK && p->count > 0; /* the list is full */
    line_close(&line);
    if (p->due->row.len == 0) idle = 0; /* before an erasure, of which it may be the one */
    for (uint32_t i = 0; rc == WFL_NOT_FOUND && i < idle; i++) {
        p->gone[p->count] = tombstones[i];
        p->by[p->count++] = tombstones[i];
    }
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

/* ---- settings and names, from outside of the committer */

static wfl_code view_of(struct wfl_store *s, uint32_t id, struct bucket_view *out, wfl_error *err)
{
    uint8_t name[WFL_BUCKET_NAME_MAX];
    size_t  len = wfl_buckets_name_of(s, id, name);

    if (len == 0) return WFL_NOT_FOUND;
    wfl_code rc = wfl_buckets_look_up(s, wfl_slice_of(name, len), out, err);
    if (rc == WFL_BUCKET_NOT_FOUND || (rc == WFL_OK && out->id != id)) return WFL_NOT_FOUND;
    return rc;
}

static wfl_code run_history(struct due *d, wfl_error *err)
{
    struct pruning    *p = wfl_alloc_zero(d->store->alloc, 1, sizeof *p);
    struct bucket_view b;
    wfl_code           rc;

    if (p == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to prune a history");
    p->due = d;
    do {
        p->count = 0;
        p->next_ms = UINT64_MAX;
        d->again = false;
        rc = view_of(d->store, d->id, &b, err);
        if (rc == WFL_OK) rc = choose_gone(p, &b, err);
        if (rc == WFL_NOT_FOUND) rc = WFL_OK; /* the bucket went */
        if (rc == WFL_OK) rc = commit(d, prune_apply, p, err);
    } while (rc == WFL_OK && d->again);
    wfl_alloc_free(d->store->alloc, p);
    return rc;
}

wfl_code wfl_history_prune(struct wfl_store *s, uint32_t id, wfl_slice key, wfl_error *err)
{
    return run_history(&(struct due){.store = s, .id = id, .key = key}, err);
}

/* An object that is out of time, and what is so of its key's history: the versions before it were
 * put with a time of their own, which no other row tells. */
static wfl_code run_expire(struct due *d, wfl_error *err)
{
    struct bucket_view b;
    wfl_code           rc = view_of(d->store, d->id, &b, err);
    bool               has_history = rc == WFL_OK && b.settings.versions != 0;

    if (rc != WFL_OK && rc != WFL_NOT_FOUND) return rc;
    d->again = has_history; /* the row goes with the last step */
    rc = commit(d, expire_apply, d, err);
    return rc == WFL_OK && has_history ? run_history(d, err) : rc;
}

/* ---- rows of a bucket, some at a time */

struct sweep {
    struct due        *due;
    wfl_slice          rows[ROWS_A_COMMIT]; /* keys, in `memory` */
    uint32_t           count;
    wfl_arena          memory;
    struct bucket_view b;
    enum wfl_space     space;
    uint64_t           now_ms;
    wfl_ulid           last; /* of changes: the greatest that goes */
};

/* The keys of `space` behind `from`, up to ROWS_A_COMMIT of the bucket. `from` moves on. */
static wfl_code fill_sweep(struct sweep *w, wfl_slice *from, wfl_error *err)
{
    struct wfl_engine_range range = {
        .space = w->space, .from = *from, .flow = w->due->id, .limit = ROWS_A_COMMIT};
    uint8_t  to[WFL_ID_LEN];
    wfl_code rc;

    (void)wfl_key_bucket(w->due->id, to);
    range.to = wfl_slice_of(to, wfl_key_after_prefix(to, sizeof to));
    wfl_arena_reset(&w->memory);
    w->count = 0;
    rc = wfl_wait_range(w->due->store, &range, err);
    for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++) {
        if (!wfl_arena_copy(&w->memory, range.pairs[i].key, &w->rows[w->count++]))
            rc = wfl_fail(err, WFL_NOMEM, "no memory to go over a bucket");
    }
    w->due->again = range.more;
    wfl_engine_range_free(&range);
    if (rc == WFL_OK && w->count > 0) {
        wfl_slice last = w->rows[w->count - 1];
        uint8_t  *behind = wfl_arena_get(&w->memory, last.len + 1);

        if (behind == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to go over a bucket");
        memcpy(behind, last.data, last.len);
        behind[last.len] = 0;
        *from = wfl_slice_of(behind, last.len + 1);
    }
    return rc;
}

/* Every row of the space that is the bucket's, through `apply`. */
static wfl_code sweep_space(struct sweep *w, enum wfl_space space,
                            wfl_code (*apply)(struct wfl_commit *, struct wfl_txn *, wfl_error *),
                            wfl_error *err)
{
    uint8_t   space_of_id[WFL_ID_LEN], kept[WFL_TAG_KEY_MAX + 1];
    wfl_slice from = wfl_key_bucket(w->due->id, space_of_id);
    wfl_code  rc;

    w->space = space;
    do {
        rc = fill_sweep(w, &from, err);
        if (rc == WFL_OK && w->count > 0) {
            bool again = w->due->again;

            memcpy(kept, from.data, from.len); /* the memory is used again */
            from = wfl_slice_of(kept, from.len);
            w->due->again = true; /* the DUE row goes with the last step alone */
            rc = commit(w->due, apply, w, err);
            w->due->again = again;
        }
    } while (rc == WFL_OK && w->due->again);
    return rc;
}

/* ---- the rest of a deleted bucket */

static wfl_code gone_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct sweep *w = c->arg;
    wfl_code      rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < w->count; i++) {
        wfl_slice key;
        wfl_ulid  version;

        if (w->space == WFL_SPACE_HISTORY && wfl_key_read_history(w->rows[i], &key, &version))
            rc = wfl_history_remove(w->due->store, t, w->due->id, key, &version, err);
        else
            rc = wfl_txn_delete(t, w->space, w->rows[i], err);
        if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    }
    return rc;
}

static wfl_code run_gone(struct sweep *w, wfl_error *err)
{
    wfl_code rc = sweep_space(w, WFL_SPACE_HISTORY, gone_apply, err);

    if (rc == WFL_OK) rc = sweep_space(w, WFL_SPACE_CHANGES, gone_apply, err);
    if (rc == WFL_OK) rc = sweep_space(w, WFL_SPACE_TAGS, gone_apply, err);
    w->due->again = false;
    return rc == WFL_OK ? commit(w->due, drop_row_apply, w->due, err) : rc;
}

/* ---- a bucket whose settings have changed: what they bound now is planned anew */

/* A look at once, and one when the version runs out. */
static wfl_code plan_history(const struct sweep *w, struct wfl_txn *t, wfl_slice key,
                             const wfl_ulid *version, wfl_error *err)
{
    int64_t  seconds = w->b.settings.expire_seconds;
    wfl_code rc = wfl_write_due(w->due->store, t, w->now_ms, WFL_DUE_HISTORY, w->due->id, key, err);

    if (rc != WFL_OK || seconds < 0) return rc;
    return wfl_write_due(w->due->store, t, wfl_ulid_ms(version) + 1000 * (uint64_t)seconds,
                         WFL_DUE_HISTORY, w->due->id, key, err);
}

static wfl_code plan_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct sweep            *w = c->arg;
    struct wfl_record_object record;
    wfl_code                 rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < w->count; i++) {
        struct wfl_pin pin = {0};
        wfl_slice      key;
        wfl_ulid       version;

        if (w->space == WFL_SPACE_HISTORY) {
            if (wfl_key_read_history(w->rows[i], &key, &version))
                rc = plan_history(w, t, key, &version, err);
            continue;
        }
        rc = wfl_txn_get(t, WFL_SPACE_OBJECTS, w->rows[i], &pin, err);
        key = wfl_key_of_object(w->rows[i]);
        if (rc == WFL_OK && wfl_record_load(pin.value, key, &record, err) == WFL_OK) {
            memcpy(version.bytes, record.version, sizeof version.bytes);
            rc =
                wfl_write_due(w->due->store, t,
                              wfl_ulid_ms(&version) + 1000 * (uint64_t)w->b.settings.expire_seconds,
                              WFL_DUE_EXPIRE, w->due->id, key, err);
        }
        wfl_pin_release(&pin);
        if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    }
    return rc;
}

static wfl_code planned_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct sweep  *w = c->arg;
    struct bucket *b = wfl_bucket_of_id(w->due->store, t, w->due->id);

    if (b != NULL) b->has_rest = false; /* every key of it is planned, or gone */
    return drop_row(w->due, t, err);
}

static wfl_code run_bucket(struct sweep *w, wfl_error *err)
{
    wfl_code rc = view_of(w->due->store, w->due->id, &w->b, err);

    if (rc == WFL_OK && w->b.settings.expire_seconds >= 0)
        rc = sweep_space(w, WFL_SPACE_OBJECTS, plan_apply, err);
    if (rc == WFL_OK) rc = sweep_space(w, WFL_SPACE_HISTORY, plan_apply, err);
    w->due->again = false;
    if (rc != WFL_OK && rc != WFL_NOT_FOUND) return rc;
    return commit(w->due, planned_apply, w, err);
}

/* ---- changes that are out of time */

static wfl_code changes_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct sweep  *w = c->arg;
    struct bucket *b = wfl_bucket_of_id(w->due->store, t, w->due->id);
    wfl_code       rc = WFL_OK;

    if (b == NULL) return WFL_OK; /* its rest goes in another way */
    for (uint32_t i = 0; rc == WFL_OK && i < w->count; i++)
        rc = wfl_txn_delete(t, WFL_SPACE_CHANGES, w->rows[i], err);
    if (rc != WFL_OK || w->count == 0) return rc;
    memcpy(b->group.changes_floor.bytes, w->rows[w->count - 1].data + WFL_ID_LEN, 16);
    wfl_buckets_touch(w->due->store, b);
    return WFL_OK;
}

/* The row is written again for the time of the next look. */
static wfl_code changes_end_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct sweep  *w = c->arg;
    struct bucket *b = wfl_bucket_of_id(w->due->store, t, w->due->id);
    wfl_code       rc = wfl_txn_delete(t, WFL_SPACE_DUE, w->due->row, err);

    if (rc != WFL_OK || b == NULL) return rc;
    uint64_t kept = wfl_changes_kept_ms(&b->settings);
    uint64_t pause = kept < CHANGES_PAUSE ? (kept < 1000 ? 1000 : kept) : CHANGES_PAUSE;
    return wfl_write_due(w->due->store, t, w->now_ms + pause, WFL_DUE_CHANGES, w->due->id,
                         (wfl_slice){0}, err);
}

static wfl_code run_changes(struct sweep *w, wfl_error *err)
{
    uint8_t   id_key[WFL_ID_LEN];
    wfl_slice from = wfl_key_bucket(w->due->id, id_key);
    wfl_code  rc = view_of(w->due->store, w->due->id, &w->b, err);

    w->space = WFL_SPACE_CHANGES;
    while (rc == WFL_OK) {
        uint64_t kept = wfl_changes_kept_ms(&w->b.settings);

        rc = fill_sweep(w, &from, err);
        if (rc != WFL_OK) return rc;
        while (w->count > 0) { /* only those that are out of time; they come first */
            wfl_ulid version;

            memcpy(version.bytes, w->rows[w->count - 1].data + WFL_ID_LEN, sizeof version.bytes);
            if (wfl_ulid_ms(&version) + kept <= w->now_ms) break;
            w->count--;
            w->due->again = false;
        }
        if (w->count > 0) rc = commit(w->due, changes_apply, w, err);
        from = wfl_key_bucket(w->due->id, id_key);
        if (!w->due->again) break;
    }
    w->due->again = false;
    if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    return rc == WFL_OK ? commit(w->due, changes_end_apply, w, err) : rc;
}

/* ---- one row, and all that are due */

static wfl_code run_sweep(struct due *d, wfl_error *err)
{
    struct sweep *w = wfl_alloc_zero(d->store->alloc, 1, sizeof *w);
    wfl_code      rc;

    if (w == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to go over a bucket");
    w->due = d;
    w->now_ms = wfl_clock_unix_ms(d->store->clock);
    wfl_arena_init(&w->memory, d->store->alloc, 8u << 20);
    rc = d->kind == WFL_DUE_GONE     ? run_gone(w, err)
         : d->kind == WFL_DUE_BUCKET ? run_bucket(w, err)
                                     : run_changes(w, err);
    wfl_arena_fini(&w->memory);
    wfl_alloc_free(d->store->alloc, w);
    return rc;
}

static wfl_code run_row(struct due *d, wfl_error *err)
{
    switch (d->kind) {
    case WFL_DUE_EXPIRE:
        return run_expire(d, err);
    case WFL_DUE_HISTORY:
        return run_history(d, err);
    case WFL_DUE_GONE:
    case WFL_DUE_BUCKET:
    case WFL_DUE_CHANGES:
        return run_sweep(d, err);
    case WFL_DUE_REVOKED:
        return wfl_revocations_forget(d->store, d->key, d->row, err);
    default:
        return commit(d, drop_row_apply, d, err); /* no release has written it */
    }
}

wfl_code wfl_due_run(struct wfl_store *s, uint64_t *next_ms, wfl_error *err)
{
    struct wfl_engine_range range = {.space = WFL_SPACE_DUE, .limit = ROWS_A_TURN};
    uint64_t                now_ms = wfl_clock_unix_ms(s->clock);
    uint8_t                 to[WFL_DUE_KEY_MAX];
    wfl_code                rc;
    bool                    more;

    *next_ms = UINT64_MAX;
    range.to = wfl_slice_of(wfl_key_due(now_ms + 1, 0, 0, (wfl_slice){0}, to).data, 8);
    do {
        rc = wfl_wait_range(s, &range, err);
        more = range.more;
        for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++) {
            struct due d = {.store = s, .row = range.pairs[i].key};

            rc = wfl_key_read_due(d.row, &d.due_ms, &d.kind, &d.id, &d.key)
                     ? run_row(&d, err)
                     : commit(&d, drop_row_apply, &d, err);
            d.again =
                false; /* what is damaged is told by reads and recounts, and must not stop others */
            if (rc == WFL_CORRUPT_OBJECT) rc = commit(&d, drop_row_apply, &d, err);
        }
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && more);
    if (rc != WFL_OK) return rc;
    range = (struct wfl_engine_range){.space = WFL_SPACE_DUE, .limit = 1};
    rc = wfl_wait_range(s, &range, err);
    if (rc == WFL_OK && range.count > 0) {
        struct due d;

        if (wfl_key_read_due(range.pairs[0].key, &d.due_ms, &d.kind, &d.id, &d.key))
            *next_ms = d.due_ms;
    }
    wfl_engine_range_free(&range);
    return rc;
}
