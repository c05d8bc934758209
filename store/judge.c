/* SPDX-License-Identifier: Apache-2.0
 *
 * What puts and deletes judge on the committer, against the state as the group has left it so far:
 * exactly, since nobody else writes. Pure but for the transaction. A current record that fails its
 * schema stops the change with CORRUPT_OBJECT: the counters could not be kept right without it. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/chunks.h"

bool wfl_expired(const struct wfl_bucket_settings *set, const wfl_ulid *version, uint64_t now_ms)
{
    return set->expire_seconds >= 0 &&
           wfl_ulid_ms(version) + 1000 * (uint64_t)set->expire_seconds <= now_ms;
}

wfl_code wfl_judge_current(struct wfl_store *s, struct wfl_txn *t, const struct bucket *b,
                           wfl_slice key, struct current *out, wfl_error *err)
{
    uint8_t  space[WFL_OBJECT_KEY_MAX];
    wfl_code rc;

    *out = (struct current){0};
    rc = wfl_txn_get(t, WFL_SPACE_OBJECTS, wfl_key_object(b->id, key, space), &out->pin, err);
    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    rc = wfl_record_load(out->pin.value, key, &out->record, err);
    if (rc != WFL_OK) {
        wfl_current_fini(out);
        return rc;
    }
    out->stored = true;
    out->size = out->record.size;
    out->storage = out->record.storage;
    memcpy(out->manifest.bytes, out->record.manifest, sizeof out->manifest.bytes);
    memcpy(out->version.bytes, out->record.version, sizeof out->version.bytes);
    out->exists = !wfl_expired(&b->settings, &out->version, wfl_clock_unix_ms(s->clock));
    return WFL_OK;
}

void wfl_current_fini(struct current *c)
{
    wfl_pin_release(&c->pin);
    *c = (struct current){0};
}

static bool is_one_of(const struct current *current, const struct wfl_condition *condition)
{
    for (uint32_t i = 0; i < condition->version_count; i++)
        if (wfl_ulid_cmp(&current->version, &condition->versions[i]) == 0) return current->exists;
    return false;
}

static bool holds(const struct current *current, const struct wfl_condition *condition)
{
    switch (condition->kind) {
    case WFL_COND_NONE:
        return true;
    case WFL_COND_EXISTS:
        return current->exists;
    case WFL_COND_ABSENT:
        return !current->exists;
    case WFL_COND_ANY_OF:
        return is_one_of(current, condition);
    case WFL_COND_NONE_OF:
        return !is_one_of(current, condition);
    case WFL_COND_NEVER:
        return false;
    }
    abort(); /* a kind that the enum does not have */
}

wfl_code wfl_judge_conditions(const struct current *current, const struct wfl_condition *match,
                              const struct wfl_condition *none_match, wfl_error *err)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    if (holds(current, match) && holds(current, none_match)) return WFL_OK;
    if (!current->exists)
        return wfl_fail(err, WFL_PRECONDITION_FAILED, "there is no current version");
    wfl_ulid_format(&current->version, text);
    return wfl_fail(err, WFL_PRECONDITION_FAILED, "the current version is %s", text);
}

wfl_code wfl_judge_limits(const struct bucket *b, const struct current *current, uint64_t size,
                          wfl_error *err)
{
    const struct wfl_bucket_settings *set = &b->settings;
    uint64_t                          before = current->stored ? current->size : 0;

    if (set->max_object_bytes >= 0 && size > (uint64_t)set->max_object_bytes)
        return wfl_fail(err, WFL_OBJECT_TOO_LARGE,
                        "the bucket takes objects of up to %" PRId64 " bytes",
                        set->max_object_bytes);
    if (set->quota_objects >= 0 && !current->stored &&
        b->group.objects >= (uint64_t)set->quota_objects)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the bucket holds %" PRId64 " objects at the most",
                        set->quota_objects);
    /* What does not grow the bucket is never over its quota. */
    if (set->quota_bytes >= 0 && size > before &&
        b->group.bytes - before + size > (uint64_t)set->quota_bytes)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the bucket holds %" PRId64 " bytes at the most",
                        set->quota_bytes);
    return WFL_OK;
}

wfl_code wfl_drop_content(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                          const struct wfl_record_object *record, wfl_error *err)
{
    wfl_ulid version, manifest;
    uint8_t  key[WFL_VALUE_KEY_LEN];

    memcpy(version.bytes, record->version, sizeof version.bytes);
    memcpy(manifest.bytes, record->manifest, sizeof manifest.bytes);
    switch (record->storage) {
    case WFL_RECORD_INLINE:
    case WFL_RECORD_TOMBSTONE:
        return WFL_OK;
    case WFL_RECORD_VALUES:
        return wfl_txn_delete(t, WFL_SPACE_VALUES, wfl_key_value(id, &version, key), err);
    case WFL_RECORD_CHUNKS:
    case WFL_RECORD_PARTS:
        return wfl_manifest_release(s, t, id, &manifest, record->storage, err);
    }
    abort(); /* a storage that the schema does not have */
}
