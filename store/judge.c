/* SPDX-License-Identifier: Apache-2.0
 *
 * What puts and deletes judge on the committer, against the state as the group has left it so far:
 * exactly, since nobody else writes. Pure but for the transaction. A current record that fails its
 * schema stops the change with CORRUPT_OBJECT: the counters could not be kept right without it. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/chunks.h"

wfl_code wfl_judge_current(struct wfl_txn *t, wfl_slice engine_key, struct current *out,
                           wfl_error *err)
{
    struct wfl_record_object record;
    struct wfl_pin           pin = {0};
    wfl_code                 rc = wfl_txn_get(t, WFL_SPACE_OBJECTS, engine_key, &pin, err);

    *out = (struct current){0};
    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    rc = wfl_record_load(pin.value, wfl_key_of_object(engine_key), &record, err);
    if (rc == WFL_OK) {
        out->exists = true;
        out->size = record.size;
        out->storage = record.storage;
        memcpy(out->manifest.bytes, record.manifest, sizeof out->manifest.bytes);
        memcpy(out->version.bytes, record.version, sizeof out->version.bytes);
    }
    wfl_pin_release(&pin);
    return rc;
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
    uint64_t                          before = current->exists ? current->size : 0;

    if (set->max_object_bytes >= 0 && size > (uint64_t)set->max_object_bytes)
        return wfl_fail(err, WFL_OBJECT_TOO_LARGE,
                        "the bucket takes objects of up to %" PRId64 " bytes",
                        set->max_object_bytes);
    if (set->quota_objects >= 0 && !current->exists &&
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

wfl_code wfl_judge_drop_content(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                                const struct current *current, wfl_error *err)
{
    uint8_t key[WFL_VALUE_KEY_LEN];

    if (!current->exists) return WFL_OK;
    switch (current->storage) {
    case WFL_RECORD_INLINE:
        return WFL_OK;
    case WFL_RECORD_VALUES:
        return wfl_txn_delete(t, WFL_SPACE_VALUES, wfl_key_value(id, &current->version, key), err);
    case WFL_RECORD_CHUNKS:
    case WFL_RECORD_PARTS:
        return wfl_manifest_to_trash(s, t, id, &current->manifest, current->storage, err);
    }
    abort(); /* a storage that the schema does not have */
}
