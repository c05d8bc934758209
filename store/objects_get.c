/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading an object: its record, then its content unless that lies in the record. Either step may
 * have to wait for the disk; a step that answers from memory leads straight to the next. Everything
 * handed out points into pinned engine memory.
 *
 * Between the two steps a writer may replace the version, which takes its content's row away. Then
 * the record is read again: it has a newer version, or is gone. A record that names the same
 * version again while its content is missing is damage; an object replaced faster than it can be
 * read ATTEMPTS_MAX times in a row answers OVERLOADED.
 *
 * Large content is held by its manifest, and then the record is read once more: only if it still
 * names the manifest has the collector not been there before the hold. */
#include <assert.h>

#include "store/chunks.h"

#define ATTEMPTS_MAX 8

static wfl_code start_header(struct wfl_get *op)
{
    op->own.in_value = false;
    op->own.attempts++;
    op->own.get.space = WFL_SPACE_OBJECTS;
    op->own.get.key = wfl_slice_of(op->own.engine_key, WFL_ID_LEN + op->key.len);
    return wfl_engine_get(op->own.store->engine, &op->own.get);
}

static wfl_code start_value(struct wfl_get *op)
{
    op->own.in_value = true;
    op->own.get.space = WFL_SPACE_VALUES;
    op->own.get.key = wfl_slice_of(op->own.value_key, sizeof op->own.value_key);
    return wfl_engine_get(op->own.store->engine, &op->own.get);
}

static void let_go(struct wfl_get *op)
{
    if (op->own.active) wfl_active_leave(op->own.store, &op->own.manifest);
    op->own.active = false;
}

static void drop_header(struct wfl_get *op)
{
    op->large = false;
    wfl_alloc_free(op->own.store->alloc, op->own.pairs);
    op->own.pairs = NULL;
    wfl_pin_release(&op->own.header);
    op->object = (struct wfl_object){0};
}

static wfl_code show(struct wfl_get *op, const struct wfl_record_object *record)
{
    struct wfl_name_value *pairs = NULL;
    size_t                 count = (size_t)record->meta.count + record->tags.count;

    if (count > 0) {
        pairs = wfl_alloc_zero(op->own.store->alloc, count, sizeof *pairs);
        if (pairs == NULL) return wfl_fail(&op->err, WFL_NOMEM, "no memory for metadata");
        op->own.pairs = pairs;
    }
    wfl_record_show(record, true, true, pairs, &op->object);
    return WFL_OK;
}

/* Large content stays from when its manifest is held, and a record read after that names it.
 * `*again` asks for that reading. */
static wfl_code hold_large(struct wfl_get *op, const struct wfl_record_object *record, bool *again)
{
    wfl_ulid manifest;
    wfl_code rc;

    memcpy(manifest.bytes, record->manifest, sizeof manifest.bytes);
    if (op->object.size > WFL_OBJECT_BYTES_MAX)
        return wfl_fail(&op->err, WFL_CORRUPT_OBJECT, "key %.*s: a size that no object has",
                        WFL_FMT(op->key));
    op->own.in_parts = record->storage == WFL_RECORD_PARTS;
    if (op->own.active && wfl_ulid_cmp(&op->own.manifest, &manifest) == 0) {
        op->large = true;
        return WFL_OK;
    }
    let_go(op);
    *again = true;
    rc = wfl_active_enter(op->own.store, &manifest);
    if (rc == WFL_NOMEM) return wfl_fail(&op->err, rc, "no memory to read an object");
    op->own.active = rc == WFL_OK; /* else the collector is at it: the record has changed */
    op->own.manifest = manifest;
    return WFL_OK;
}

static bool out_of_time(const struct wfl_get *op)
{
    const struct wfl_bucket_settings set = {.expire_seconds = op->own.expire_seconds};

    return wfl_expired(&set, &op->object.version, wfl_clock_unix_ms(op->own.store->clock));
}

enum next { DONE, READ_VALUE, READ_AGAIN };

/* The object as its record says, and what is wanted besides. */
static wfl_code take_header(struct wfl_get *op, enum next *next)
{
    struct wfl_record_object record;
    wfl_ulid                 before = op->object.version; /* zero at the first attempt */
    bool                     again = false;
    wfl_code                 rc;

    drop_header(op);
    op->own.header = op->own.get.pin;
    rc = wfl_record_load(op->own.header.value, op->key, &record, &op->err);
    if (rc == WFL_OK) rc = show(op, &record);
    if (rc == WFL_OK && out_of_time(op)) return wfl_fail_no_key(&op->err, op->bucket, op->key);
    if (rc != WFL_OK || op->head_only) return rc;
    if (record.storage == WFL_RECORD_CHUNKS || record.storage == WFL_RECORD_PARTS) {
        rc = hold_large(op, &record, &again);
        if (again) *next = READ_AGAIN;
        return rc;
    }
    let_go(op);
    if (record.storage == WFL_RECORD_INLINE) {
        op->content = wfl_from_record(record.value);
        return WFL_OK;
    }
    if (wfl_ulid_cmp(&before, &op->object.version) == 0)
        return wfl_fail(&op->err, WFL_CORRUPT_OBJECT, "key %.*s: its content is missing",
                        WFL_FMT(op->key));
    (void)wfl_key_value(op->own.id, &op->object.version, op->own.value_key);
    *next = READ_VALUE;
    return WFL_OK;
}

static wfl_code take_value(struct wfl_get *op)
{
    op->own.value = op->own.get.pin;
    if (op->own.value.value.len != op->object.size)
        return wfl_fail(&op->err, WFL_CORRUPT_OBJECT, "key %.*s: content of %zu bytes, not %llu",
                        WFL_FMT(op->key), op->own.value.value.len,
                        (unsigned long long)op->object.size);
    op->content = op->own.value.value;
    return WFL_OK;
}

/* Go on from the engine's answer `rc` to the read under way, as far as memory leads. */
static wfl_code run(struct wfl_get *op, wfl_code rc)
{
    while (rc != WFL_PENDING) {
        enum next next = DONE;

        if (rc == WFL_NOT_FOUND && !op->own.in_value)
            return wfl_fail_no_key(&op->err, op->bucket, op->key);
        if (rc == WFL_NOT_FOUND) { /* replaced or deleted since the record was read */
            next = READ_AGAIN;
        } else if (rc != WFL_OK) {
            op->err = op->own.get.err;
            return rc;
        } else if (op->own.in_value) {
            return take_value(op);
        } else {
            rc = take_header(op, &next);
            if (rc != WFL_OK || next == DONE) return rc;
        }
        if (next == READ_AGAIN && op->own.attempts == ATTEMPTS_MAX)
            return wfl_fail(&op->err, WFL_OVERLOADED,
                            "the object is replaced faster than it is read");
        rc = next == READ_VALUE ? start_value(op) : start_header(op);
    }
    return rc;
}

static void step_done(struct wfl_engine_get *get)
{
    struct wfl_get *op = get->arg;
    wfl_code        rc = run(op, get->rc);

    if (rc == WFL_PENDING) return; /* it may be done and gone */
    op->rc = rc;
    op->done(op);
}

void wfl_get_begin(struct wfl_store *s, struct wfl_get *op)
{
    assert(op->key.len > 0 && op->key.len <= WFL_KEY_MAX);
    op->rc = WFL_PENDING;
    op->object = (struct wfl_object){0};
    op->content = (wfl_slice){0};
    op->large = false;
    op->own.active = false;
    op->own.store = s;
    op->own.header = op->own.value = (struct wfl_pin){0};
    op->own.pairs = NULL;
    op->own.attempts = 0;
}

static wfl_code show_content(struct wfl_get *op, const struct wfl_record_object *record)
{
    bool     again = false;
    wfl_code rc;

    if (op->head_only) return WFL_OK;
    if (record->storage == WFL_RECORD_INLINE) {
        op->content = wfl_from_record(record->value);
        return WFL_OK;
    }
    if (record->storage != WFL_RECORD_VALUES) {
        rc = hold_large(op, record, &again);
        return again && rc == WFL_OK ? WFL_NOT_FOUND : rc; /* held now: the record is read again */
    }
    rc = wfl_engine_read(op->own.store->engine, WFL_SPACE_VALUES,
                         wfl_key_value(op->own.id, &op->object.version, op->own.value_key),
                         &op->own.get.pin, &op->err);
    return rc == WFL_OK ? take_value(op) : rc;
}

wfl_code wfl_get_show(struct wfl_get *op, const wfl_ulid *version)
{
    struct wfl_record_object record;
    wfl_code                 rc = wfl_record_load(op->own.header.value, op->key, &record, &op->err);

    if (rc == WFL_OK && memcmp(record.version, version->bytes, sizeof version->bytes) != 0)
        rc = WFL_NOT_FOUND;
    if (rc == WFL_OK) rc = show(op, &record);
    if (rc == WFL_OK) rc = show_content(op, &record);
    if (rc == WFL_NOT_FOUND) drop_header(op);
    return rc;
}

wfl_code wfl_store_get(struct wfl_store *s, struct wfl_get *op)
{
    struct bucket_view b;
    wfl_code           rc;

    wfl_get_begin(s, op);
    rc = wfl_buckets_look_up(s, op->bucket, &b, &op->err);
    if (rc != WFL_OK) return op->rc = rc;
    (void)wfl_key_object(b.id, op->key, op->own.engine_key);
    op->own.id = b.id;
    op->own.expire_seconds = b.settings.expire_seconds;
    op->own.get = (struct wfl_engine_get){.flow = b.id, .done = step_done, .arg = op};
    rc = run(op, start_header(op));
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    return op->rc = rc;
}

void wfl_get_fini(struct wfl_get *op)
{
    if (op->own.store == NULL) return;
    let_go(op);
    drop_header(op);
    wfl_pin_release(&op->own.value);
    op->content = (wfl_slice){0};
    op->own.store = NULL;
}
