/* SPDX-License-Identifier: Apache-2.0
 *
 * See write.h. A version that gives way goes to the history where the bucket keeps any, with its
 * content where it is; else its content is dropped, and the bucket's floor rises: from then on the
 * past before this commit cannot be told exactly. Index and stream change in the same transaction,
 * so they are never ahead of the objects nor behind. */
#include <assert.h>

#include "store/write.h"

void wfl_pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                 struct wfl_record_bytes *value)
{
    const struct wfl_name_value *pairs = ctx;

    *name = wfl_to_record(pairs[i].name);
    *value = wfl_to_record(pairs[i].value);
}

wfl_code wfl_write_due(struct wfl_store *s, struct wfl_txn *t, uint64_t due_ms, uint8_t kind,
                       uint32_t id, wfl_slice key, wfl_error *err)
{
    static const uint8_t one = 1;
    uint8_t              space[WFL_DUE_KEY_MAX];
    wfl_slice            value = wfl_slice_of(&one, 1);

    if (due_ms < s->next_due_ms) s->trashed = true;
    return wfl_txn_put(t, WFL_SPACE_DUE, wfl_key_due(due_ms, kind, id, key, space), &value, 1, err);
}

/* ---- the index of tags */

static bool has_pair(const struct wfl_record_pairs *pairs, struct wfl_record_bytes name,
                     struct wfl_record_bytes value)
{
    for (uint32_t i = 0; i < pairs->count; i++) {
        struct wfl_record_bytes n, v;

        pairs->at(pairs->ctx, i, &n, &v);
        if (wfl_slice_eq(wfl_from_record(n), wfl_from_record(name)))
            return wfl_slice_eq(wfl_from_record(v), wfl_from_record(value));
    }
    return false;
}

static wfl_code change_tag(struct wfl_txn *t, uint32_t id, wfl_slice key,
                           struct wfl_record_bytes name, struct wfl_record_bytes value, bool add,
                           wfl_error *err)
{
    static const uint8_t one = 1;
    uint8_t              space[WFL_TAG_KEY_MAX];
    wfl_slice row = wfl_key_tag(id, wfl_from_record(name), wfl_from_record(value), key, space);
    wfl_slice mark = wfl_slice_of(&one, 1);

    return add ? wfl_txn_put(t, WFL_SPACE_TAGS, row, &mark, 1, err)
               : wfl_txn_delete(t, WFL_SPACE_TAGS, row, err);
}

wfl_code wfl_tags_replace(struct wfl_txn *t, uint32_t id, wfl_slice key,
                          const struct wfl_record_pairs *before,
                          const struct wfl_record_pairs *after, wfl_error *err)
{
    struct wfl_record_bytes name, value;
    wfl_code                rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < before->count; i++) {
        before->at(before->ctx, i, &name, &value);
        if (!has_pair(after, name, value)) rc = change_tag(t, id, key, name, value, false, err);
    }
    for (uint32_t i = 0; rc == WFL_OK && i < after->count; i++) {
        after->at(after->ctx, i, &name, &value);
        if (!has_pair(before, name, value)) rc = change_tag(t, id, key, name, value, true, err);
    }
    return rc;
}

/* ---- the change stream */

wfl_code wfl_change_write(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                          const wfl_ulid *version, const struct wfl_record_change *change,
                          wfl_error *err)
{
    size_t   bound = wfl_record_change_bound(change);
    uint8_t  key[WFL_CHANGE_KEY_LEN];
    wfl_buf  buf;
    uint8_t *space;
    wfl_code rc;

    wfl_buf_init(&buf, s->alloc, SIZE_MAX / 2);
    space = wfl_buf_reserve(&buf, bound);
    if (space == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a change");
    wfl_slice bytes = wfl_slice_of(space, wfl_record_change_write(change, space, bound));
    rc = wfl_txn_put(t, WFL_SPACE_CHANGES, wfl_key_change(id, version, key), &bytes, 1, err);
    wfl_buf_fini(&buf);
    return rc;
}

/* ---- the version before */

static wfl_code put_history(struct wfl_txn *t, uint32_t id, wfl_slice key, const wfl_ulid *version,
                            wfl_slice record, wfl_error *err)
{
    uint8_t space[WFL_HISTORY_KEY_MAX];

    return wfl_txn_put(t, WFL_SPACE_HISTORY, wfl_key_history(id, key, version, space), &record, 1,
                       err);
}

/* When the history of this key has to be looked at: soon where a number of versions is kept, when
 * the one that gives way has been kept long enough where time bounds them. */
static wfl_code plan_pruning(struct wfl_store *s, struct wfl_txn *t, const struct bucket *b,
                             wfl_slice key, wfl_error *err)
{
    uint64_t now_ms = wfl_clock_unix_ms(s->clock);
    wfl_code rc = WFL_OK;

    if (b->settings.versions > 0 || !wfl_keeps_history(&b->settings))
        rc = wfl_write_due(s, t, now_ms, WFL_DUE_HISTORY, b->id, key, err);
    if (rc == WFL_OK && b->settings.retain_seconds > 0)
        rc = wfl_write_due(s, t, now_ms + 1000 * (uint64_t)b->settings.retain_seconds,
                           WFL_DUE_HISTORY, b->id, key, err);
    return rc;
}

/* `*lost`: the version is gone, not kept. Where versions of another time are still there it goes
 * with them, in their order: a line of versions has no gaps, should they be kept again. */
static wfl_code retire(struct wfl_store *s, struct wfl_txn *t, const struct bucket *b,
                       wfl_slice key, const struct current *current, bool *lost, wfl_error *err)
{
    wfl_code rc;

    *lost = false;
    if (!current->stored) return WFL_OK;
    if (!(wfl_keeps_history(&b->settings) || b->has_rest) || !current->exists) {
        *lost = true;
        return wfl_drop_content(s, t, b->id, &current->record, err);
    }
    rc = put_history(t, b->id, key, &current->version, current->pin.value, err);
    return rc == WFL_OK ? plan_pruning(s, t, b, key, err) : rc;
}

/* ---- changes of a key */

static wfl_code write_content(struct wfl_txn *t, uint32_t id, const struct new_version *new,
                              wfl_error *err)
{
    uint8_t key[WFL_VALUE_KEY_LEN];

    if (new->storage != WFL_RECORD_VALUES) return WFL_OK;
    return wfl_txn_put(t, WFL_SPACE_VALUES, wfl_key_value(id, &new->version, key), &new->content, 1,
                       err);
}

static wfl_code plan_expiry(struct wfl_store *s, struct wfl_txn *t, const struct bucket *b,
                            wfl_slice key, const wfl_ulid *version, wfl_error *err)
{
    if (b->settings.expire_seconds < 0) return WFL_OK;
    return wfl_write_due(s, t, wfl_ulid_ms(version) + 1000 * (uint64_t)b->settings.expire_seconds,
                         WFL_DUE_EXPIRE, b->id, key, err);
}

wfl_code wfl_write_put(struct wfl_store *s, struct wfl_txn *t, struct bucket *b, wfl_slice key,
                       const struct current *current, const struct new_version *new, wfl_error *err)
{
    const struct wfl_record_pairs none = {0};
    const struct wfl_record_pairs tags = {
        .count = new->tag_count, .ctx = new->tags, .at = wfl_pair_at};
    struct wfl_record_change change = {.op = WFL_CHANGE_PUT,
                                       .key = wfl_to_record(key),
                                       .size = new->size,
                                       .by = wfl_to_record(new->by),
                                       .tags = tags};
    uint8_t                  space[WFL_OBJECT_KEY_MAX];
    bool                     lost;
    wfl_code                 rc;

    memcpy(change.blake3, new->blake3.bytes, sizeof change.blake3);
    memcpy(change.jti, new->jti.bytes, sizeof change.jti);
    rc = retire(s, t, b, key, current, &lost, err);
    if (rc == WFL_OK)
        rc = wfl_txn_put(t, WFL_SPACE_OBJECTS, wfl_key_object(b->id, key, space), &new->record, 1,
                         err);
    if (rc == WFL_OK) rc = write_content(t, b->id, new, err);
    if (rc == WFL_OK)
        rc = wfl_tags_replace(t, b->id, key, current->stored ? &current->record.tags : &none, &tags,
                              err);
    if (rc == WFL_OK) rc = plan_expiry(s, t, b, key, &new->version, err);
    if (rc == WFL_OK) rc = wfl_change_write(s, t, b->id, &new->version, &change, err);
    if (rc != WFL_OK) return rc;

    b->group.objects += !current->stored;
    b->group.bytes += new->size - (current->stored ? current->size : 0);
    b->group.version = new->version;
    if (lost) b->group.floor = new->version;
    wfl_buckets_touch(s, b);
    return WFL_OK;
}

static wfl_code write_tombstone(struct wfl_txn *t, uint32_t id, wfl_slice key,
                                const wfl_ulid *version, wfl_slice by, wfl_ulid jti, wfl_error *err)
{
    struct wfl_record_object tombstone = {.storage = WFL_RECORD_TOMBSTONE, .by = wfl_to_record(by)};
    uint8_t                  space[1024];

    memcpy(tombstone.version, version->bytes, sizeof tombstone.version);
    memcpy(tombstone.jti, jti.bytes, sizeof tombstone.jti);
    size_t len = wfl_record_object_write(&tombstone, space, sizeof space);
    assert(len > 0);
    return put_history(t, id, key, version, wfl_slice_of(space, len), err);
}

wfl_code wfl_write_delete(struct wfl_store *s, struct wfl_txn *t, struct bucket *b, wfl_slice key,
                          const struct current *current, const wfl_ulid *version, wfl_slice by,
                          wfl_ulid jti, wfl_error *err)
{
    const struct wfl_record_pairs none = {0};
    struct wfl_record_change      change = {
             .op = WFL_CHANGE_DELETE, .key = wfl_to_record(key), .by = wfl_to_record(by)};
    uint8_t  space[WFL_OBJECT_KEY_MAX];
    bool     lost;
    wfl_code rc;

    assert(current->stored);
    memcpy(change.jti, jti.bytes, sizeof change.jti);
    rc = retire(s, t, b, key, current, &lost, err);
    if (rc == WFL_OK && !lost) rc = write_tombstone(t, b->id, key, version, by, jti, err);
    if (rc == WFL_OK)
        rc = wfl_txn_delete(t, WFL_SPACE_OBJECTS, wfl_key_object(b->id, key, space), err);
    if (rc == WFL_OK) rc = wfl_tags_replace(t, b->id, key, &current->record.tags, &none, err);
    if (rc == WFL_OK) rc = wfl_change_write(s, t, b->id, version, &change, err);
    if (rc != WFL_OK) return rc;

    assert(b->group.objects > 0 && b->group.bytes >= current->size);
    b->group.objects--;
    b->group.bytes -= current->size;
    b->group.version = *version;
    if (lost) b->group.floor = *version;
    wfl_buckets_touch(s, b);
    return WFL_OK;
}
