/* SPDX-License-Identifier: Apache-2.0
 *
 * Creating, patching and deleting buckets. All are commits like any other: judged against the table
 * as the group has left it so far, written in the group's batch, seen by readers when it is stored.
 * A bucket that was deleted and created again has a new id, so nothing of the old one can come
 * back.
 *
 * Fails with BUCKET_EXISTS, BUCKET_NOT_FOUND, BUCKET_NOT_EMPTY, QUOTA_EXCEEDED (WFL_BUCKETS_MAX),
 * NOMEM, and what the engine says; then nothing has changed. */
#include <assert.h>

#include "store/write.h"

static struct wfl_record_settings to_record(const struct wfl_bucket_settings *s)
{
    return (struct wfl_record_settings){.versions = s->versions,
                                        .retain_seconds = s->retain_seconds,
                                        .quota_bytes = s->quota_bytes,
                                        .quota_objects = s->quota_objects,
                                        .max_object_bytes = s->max_object_bytes,
                                        .requests_per_second = s->requests_per_second,
                                        .bytes_per_second = s->bytes_per_second,
                                        .expire_seconds = s->expire_seconds,
                                        .change_retain_seconds = s->change_retain_seconds,
                                        .public_read = s->public_read};
}

static wfl_code write_bucket(struct wfl_txn *t, const struct bucket *b, wfl_error *err)
{
    struct wfl_record_bucket record = {.id = b->id,
                                       .name = wfl_to_record(wfl_bucket_name(b)),
                                       .settings = to_record(&b->settings)};
    uint8_t                  key[WFL_ID_LEN], space[WFL_RECORD_SMALL_MAX];

    memcpy(record.created, b->created.bytes, sizeof record.created);
    wfl_slice bytes = wfl_slice_of(space, wfl_record_bucket_write(&record, space));
    return wfl_txn_put(t, WFL_SPACE_BUCKETS, wfl_key_bucket(b->id, key), &bytes, 1, err);
}

/* ---- what a bucket of the same name leaves behind
 *
 * Versions are handed out to all buckets alike, so a position in the old bucket is one in the new
 * bucket too. The changes in between went with the old one: its last version stays behind under its
 * name, and is the floor of the next of that name. One small row a name, until it is used again. */

static wfl_code leave_floor(struct wfl_txn *t, const struct bucket *b, wfl_error *err)
{
    bool            changed = wfl_ulid_cmp(&b->group.version, &b->created) > 0;
    const wfl_ulid *floor = changed ? &b->group.version : &b->group.changes_floor;
    uint8_t         key[WFL_GONE_KEY_MAX];
    wfl_slice       value = wfl_slice_of(floor->bytes, sizeof floor->bytes);

    if (wfl_ulid_is_zero(floor)) return WFL_OK;
    return wfl_txn_put(t, WFL_SPACE_META, wfl_key_gone(wfl_bucket_name(b), key), &value, 1, err);
}

static wfl_code take_floor(struct wfl_txn *t, struct bucket *b, wfl_error *err)
{
    uint8_t        space[WFL_GONE_KEY_MAX];
    wfl_slice      key = wfl_key_gone(wfl_bucket_name(b), space);
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_META, key, &pin, err);

    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    bool whole = pin.value.len == sizeof b->group.floor.bytes;
    if (whole) memcpy(b->group.floor.bytes, pin.value.data, sizeof b->group.floor.bytes);
    b->group.changes_floor = b->group.floor;
    wfl_pin_release(&pin);
    if (!whole) return wfl_fail(err, WFL_CORRUPT_OBJECT, "the record of a deleted bucket");
    return wfl_txn_delete(t, WFL_SPACE_META, key, err);
}

static wfl_code create_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_bucket_op *op = c->arg;
    struct wfl_store     *s = op->own.store;
    wfl_ulid              version;
    wfl_code              rc;

    if (wfl_buckets_find(s, op->name) != NULL)
        return wfl_fail(err, WFL_BUCKET_EXISTS, "there is a bucket %.*s already",
                        WFL_FMT(op->name));
    if (s->last_bucket_id == UINT32_MAX)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "all ids of buckets are used up");
    rc = wfl_buckets_reserve(s, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_store_next_version(s, &version, err);
    if (rc != WFL_OK) return rc;

    struct bucket *b = wfl_alloc_zero(s->alloc, 1, sizeof *b);
    if (b == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a bucket");
    b->id = s->last_bucket_id + 1;
    b->settings = b->shown = op->settings;
    b->created = version;
    b->group.version = version;
    b->name_len = op->name.len;
    memcpy(b->name, op->name.data, op->name.len);
    op->info =
        (struct wfl_bucket_info){.name = op->name, .settings = op->settings, .version = version};
    rc = write_bucket(t, b, err);
    if (rc == WFL_OK) rc = take_floor(t, b, err);
    if (rc == WFL_OK) rc = wfl_bucket_keep(op, t, err);
    if (rc == WFL_OK) /* from now on its changes are looked at now and then */
        rc = wfl_write_due(s, t, wfl_ulid_ms(&version) + 1000, WFL_DUE_CHANGES, b->id,
                           (wfl_slice){0}, err);
    if (rc != WFL_OK) {
        wfl_alloc_free(s->alloc, b);
        return rc;
    }

    s->last_bucket_id = b->id;
    b->stands = true;
    wfl_buckets_insert(s, b);
    wfl_buckets_touch(s, b);
    op->version = version;
    return WFL_OK;
}

static wfl_code delete_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_bucket_op *op = c->arg;
    struct wfl_store     *s = op->own.store;
    uint8_t               id_key[WFL_ID_LEN], counters_key[WFL_COUNTERS_KEY_LEN];
    struct bucket        *b = wfl_buckets_find(s, op->name);
    wfl_code              rc;

    if (b == NULL) return wfl_fail_no_bucket(err, op->name);
    if (b->group.objects > 0)
        return wfl_fail(err, WFL_BUCKET_NOT_EMPTY, "bucket %.*s holds objects", WFL_FMT(op->name));
    rc = wfl_txn_delete(t, WFL_SPACE_BUCKETS, wfl_key_bucket(b->id, id_key), err);
    if (rc != WFL_OK) return rc;
    rc = wfl_txn_delete(t, WFL_SPACE_META, wfl_key_counters(b->id, counters_key), err);
    if (rc == WFL_OK) rc = leave_floor(t, b, err);
    if (rc == WFL_OK)
        rc = wfl_write_due(s, t, wfl_clock_unix_ms(s->clock), WFL_DUE_GONE, b->id, (wfl_slice){0},
                           err);
    if (rc == WFL_OK) rc = wfl_once_keep(op->once, t, &(struct wfl_outcome){0}, err);
    if (rc != WFL_OK) return rc;
    s->trashed = true; /* the collector has something to do */

    b->stands = false;
    wfl_buckets_touch(s, b);
    return WFL_OK;
}

static wfl_code patch_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_bucket_op      *op = c->arg;
    struct wfl_store          *s = op->own.store;
    struct bucket             *b = wfl_buckets_find(s, op->name);
    struct wfl_bucket_settings before;
    wfl_code                   rc;

    if (b == NULL) return wfl_fail_no_bucket(err, op->name);
    before = b->settings;
    rc = wfl_settings_patch(op->patch, &b->settings, err);
    if (rc == WFL_OK) rc = write_bucket(t, b, err);
    if (rc == WFL_OK) /* what they bound now has to be looked at */
        rc = wfl_write_due(s, t, wfl_clock_unix_ms(s->clock), WFL_DUE_BUCKET, b->id, (wfl_slice){0},
                           err);
    op->info = (struct wfl_bucket_info){.name = op->name,
                                        .settings = b->settings,
                                        .objects = b->group.objects,
                                        .bytes = b->group.bytes,
                                        .version = b->group.version,
                                        .floor = b->group.floor};
    if (rc == WFL_OK) rc = wfl_bucket_keep(op, t, err);
    if (rc != WFL_OK) {
        b->settings = before;
        return rc;
    }
    b->has_rest |= wfl_keeps_history(&before) && !wfl_keeps_history(&b->settings);
    b->patched = true;
    op->version = op->info.version;
    wfl_buckets_touch(s, b);
    s->trashed = true; /* the collector has something to do */
    return WFL_OK;
}

static void bucket_done(struct wfl_commit *c)
{
    struct wfl_bucket_op *op = c->arg;

    op->rc = c->rc;
    op->err = c->err;
    if (op->rc == WFL_OK && op->once != NULL && op->once->replayed)
        op->rc = wfl_bucket_take_outcome(op);
    op->done(op);
}

static wfl_code submit(struct wfl_store *s, struct wfl_bucket_op *op,
                       wfl_code (*apply)(struct wfl_commit *, struct wfl_txn *, wfl_error *))
{
    assert(op->name.len > 0 && op->name.len <= WFL_BUCKET_NAME_MAX);
    op->rc = WFL_PENDING;
    op->version = (wfl_ulid){0};
    op->own.store = s;
    op->own.commit = (struct wfl_once_commit){
        .commit = {.durability = op->durability,
                   .flow = wfl_flow_of(op->name),
                   .bytes = UINT64_C(2) * WFL_RECORD_SMALL_MAX + op->patch.len,
                   .done = bucket_done,
                   .arg = op},
        .store = s,
        .once = op->once,
        .apply = apply};
    wfl_code rc = wfl_once_submit(&op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    op->err = op->own.commit.commit.err;
    return op->rc = rc;
}

wfl_code wfl_store_bucket_create(struct wfl_store *s, struct wfl_bucket_op *op)
{
    return submit(s, op, create_apply);
}

wfl_code wfl_store_bucket_delete(struct wfl_store *s, struct wfl_bucket_op *op)
{
    return submit(s, op, delete_apply);
}

wfl_code wfl_store_bucket_patch(struct wfl_store *s, struct wfl_bucket_op *op)
{
    return submit(s, op, patch_apply);
}
