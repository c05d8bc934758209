/* SPDX-License-Identifier: Apache-2.0
 *
 * Of one bucket: the history's rows against their keys; contents in rows against the versions that
 * have them; the index of tags against the objects; the stream of changes against its order and the
 * objects. Each look-up is by key; what lies in an index and should not is searched for only where
 * the numbers differ. A deleted bucket may have rows left that the collector has yet to take. */
#include "store/recount.h"

#include "store/write.h"

#include <inttypes.h>

struct versions {
    struct recount      *r;
    const struct bucket *b; /* NULL: it was deleted */
    uint64_t             values, value_rows;
    uint64_t             tags, tag_rows;
    wfl_ulid             last; /* change */
};

static const char *text_of(const uint8_t ulid[16])
{
    static _Thread_local char text[WFL_ULID_TEXT_LEN + 1];
    wfl_ulid                  copy;

    memcpy(copy.bytes, ulid, sizeof copy.bytes);
    wfl_ulid_format(&copy, text);
    return text;
}

static wfl_code is_there(struct recount *r, enum wfl_space space, wfl_slice key, bool *there,
                         wfl_error *err)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_engine_read(r->store->engine, space, key, &pin, err);

    *there = rc == WFL_OK;
    wfl_pin_release(&pin);
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

/* ---- contents in rows */

static wfl_code check_value(struct versions *v, wfl_slice key,
                            const struct wfl_record_object *record, wfl_error *err)
{
    uint8_t  space[WFL_VALUE_KEY_LEN];
    wfl_ulid version;
    bool     there = true;
    wfl_code rc;

    if (record->storage != WFL_RECORD_VALUES) return WFL_OK;
    v->values++;
    memcpy(version.bytes, record->version, sizeof version.bytes);
    rc = is_there(v->r, WFL_SPACE_VALUES, wfl_key_value(v->r->id, &version, space), &there, err);
    if (rc == WFL_OK && !there)
        wfl_recount_tell(v->r, "key %.*s: the content of version %s is missing", WFL_FMT(key),
                         text_of(record->version));
    return rc;
}

static wfl_code count_value(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions *v = ctx;

    (void)pair, (void)err;
    v->value_rows++;
    return WFL_OK;
}

/* ---- history */

static wfl_code check_history(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions         *v = ctx;
    struct wfl_record_object record;
    wfl_slice                key;
    wfl_ulid                 version;

    if (!wfl_key_read_history(pair->key, &key, &version)) {
        wfl_recount_tell(v->r, "a key of the history is malformed");
        return WFL_OK;
    }
    if (wfl_record_load(pair->value, key, &record, err) != WFL_OK) {
        wfl_recount_tell(v->r, "history: %s", err->message);
        return WFL_OK;
    }
    if (memcmp(record.version, version.bytes, sizeof record.version) != 0)
        wfl_recount_tell(v->r, "key %.*s: a row of its history is of another version than its key",
                         WFL_FMT(key));
    return check_value(v, key, &record, err);
}

/* ---- objects: their tags and their changes */

static wfl_code check_tags(struct versions *v, wfl_slice key,
                           const struct wfl_record_object *record, wfl_error *err)
{
    uint8_t  space[WFL_TAG_KEY_MAX];
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < record->tags.count; i++) {
        struct wfl_record_bytes name, value;
        bool                    there = true;

        record->tags.at(record->tags.ctx, i, &name, &value);
        v->tags++;
        rc = is_there(
            v->r, WFL_SPACE_TAGS,
            wfl_key_tag(v->r->id, wfl_from_record(name), wfl_from_record(value), key, space),
            &there, err);
        if (rc == WFL_OK && !there)
            wfl_recount_tell(v->r, "key %.*s: tag %.*s is not in the index", WFL_FMT(key),
                             WFL_FMT(wfl_from_record(name)));
    }
    return rc;
}

/* The change that made it, where changes are kept so far back and it was made since they are. */
static wfl_code check_change_of(struct versions *v, wfl_slice key,
                                const struct wfl_record_object *record, wfl_error *err)
{
    struct wfl_record_change change;
    uint8_t                  space[WFL_CHANGE_KEY_LEN];
    struct wfl_pin           pin = {0};
    wfl_ulid                 version;
    const char              *wrong;
    wfl_code                 rc;

    memcpy(version.bytes, record->version, sizeof version.bytes);
    if (v->b == NULL || wfl_ulid_cmp(&version, &v->b->published.changes_floor) <= 0) return WFL_OK;
    rc = wfl_engine_read(v->r->store->engine, WFL_SPACE_CHANGES,
                         wfl_key_change(v->r->id, &version, space), &pin, err);
    if (rc == WFL_NOT_FOUND) {
        wfl_recount_tell(v->r, "key %.*s: the change that made it is missing", WFL_FMT(key));
        return WFL_OK;
    }
    if (rc != WFL_OK) return rc;
    wrong = wfl_record_change_read(pin.value.data, pin.value.len, &change);
    if (wrong == NULL && (change.op != WFL_CHANGE_PUT || change.size != record->size ||
                          !wfl_slice_eq(wfl_from_record(change.key), key)))
        wfl_recount_tell(v->r, "key %.*s: the change that made it says something else",
                         WFL_FMT(key));
    wfl_pin_release(&pin);
    return WFL_OK;
}

static wfl_code check_object(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions         *v = ctx;
    struct wfl_record_object record;
    wfl_slice                key;
    wfl_code                 rc;

    if (pair->key.len <= WFL_ID_LEN) return WFL_OK; /* told of with the objects, as is damage */
    key = wfl_key_of_object(pair->key);
    if (wfl_record_load(pair->value, key, &record, err) != WFL_OK) return WFL_OK;
    rc = check_value(v, key, &record, err);
    if (rc == WFL_OK) rc = check_tags(v, key, &record, err);
    return rc == WFL_OK ? check_change_of(v, key, &record, err) : rc;
}

/* ---- the index, from its own side */

static wfl_code count_tag(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions *v = ctx;

    (void)pair, (void)err;
    v->tag_rows++;
    return WFL_OK;
}

/* The key behind the two zeros of a row; empty: it has none. */
static wfl_slice key_of_tag(wfl_slice row, wfl_slice *name, wfl_slice *value)
{
    wfl_slice rest;

    if (row.len <= WFL_ID_LEN) return (wfl_slice){0};
    rest = wfl_slice_of(row.data + WFL_ID_LEN, row.len - WFL_ID_LEN);
    if (!wfl_slice_split(&rest, 0, name) || !wfl_slice_split(&rest, 0, value))
        return (wfl_slice){0};
    return rest;
}

static bool has_tag(const struct wfl_record_object *record, wfl_slice name, wfl_slice value)
{
    for (uint32_t i = 0; i < record->tags.count; i++) {
        struct wfl_record_bytes n, v;

        record->tags.at(record->tags.ctx, i, &n, &v);
        if (wfl_slice_eq(wfl_from_record(n), name) && wfl_slice_eq(wfl_from_record(v), value))
            return true;
    }
    return false;
}

static wfl_code check_tag(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions         *v = ctx;
    struct wfl_record_object record;
    struct wfl_pin           pin = {0};
    wfl_slice                name, value, key = key_of_tag(pair->key, &name, &value);
    uint8_t                  space[WFL_OBJECT_KEY_MAX];
    bool                     fits = false;
    wfl_code                 rc;

    if (key.len == 0 || key.len > WFL_KEY_MAX) {
        wfl_recount_tell(v->r, "a row of the tags is malformed");
        return WFL_OK;
    }
    rc = wfl_engine_read(v->r->store->engine, WFL_SPACE_OBJECTS,
                         wfl_key_object(v->r->id, key, space), &pin, err);
    if (rc == WFL_OK && wfl_record_load(pin.value, key, &record, err) == WFL_OK)
        fits = has_tag(&record, name, value);
    wfl_pin_release(&pin);
    if (rc != WFL_OK && rc != WFL_NOT_FOUND) return rc;
    if (!fits)
        wfl_recount_tell(v->r, "the index has tag %.*s of key %.*s, which has it not",
                         WFL_FMT(name), WFL_FMT(key));
    return WFL_OK;
}

/* ---- the stream */

static wfl_code check_change(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct versions         *v = ctx;
    struct wfl_record_change change;
    const char              *wrong;

    (void)err;
    if (pair->key.len != WFL_CHANGE_KEY_LEN) {
        wfl_recount_tell(v->r, "a change has a key of %zu bytes", pair->key.len);
        return WFL_OK;
    }
    memcpy(v->last.bytes, pair->key.data + WFL_ID_LEN, sizeof v->last.bytes);
    wrong = wfl_record_change_read(pair->value.data, pair->value.len, &change);
    if (wrong != NULL) wfl_recount_tell(v->r, "change %s: %s", text_of(v->last.bytes), wrong);
    if (v->b != NULL && wfl_ulid_cmp(&v->last, &v->b->published.changes_floor) <= 0)
        wfl_recount_tell(v->r, "change %s: it lies below what is kept", text_of(v->last.bytes));
    return WFL_OK;
}

wfl_code wfl_recount_versions(struct recount *r, const struct bucket *b, wfl_error *err)
{
    struct versions v = {.r = r, .b = b};
    uint8_t         id[WFL_ID_LEN];
    wfl_slice       bucket = wfl_key_bucket(r->id, id);
    wfl_code        rc = wfl_recount_prefix(r, WFL_SPACE_HISTORY, bucket, check_history, &v, err);

    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_OBJECTS, bucket, check_object, &v, err);
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_VALUES, bucket, count_value, &v, err);
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_TAGS, bucket, count_tag, &v, err);
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_CHANGES, bucket, check_change, &v, err);
    if (rc != WFL_OK || b == NULL) return rc;
    if (v.values != v.value_rows)
        wfl_recount_tell(r, "%" PRIu64 " versions have a content in a row, %" PRIu64 " are there",
                         v.values, v.value_rows);
    if (wfl_ulid_cmp(&v.last, &b->published.version) > 0)
        wfl_recount_tell(r, "change %s: it is above the bucket's last version",
                         text_of(v.last.bytes));
    if (v.tags == v.tag_rows) return WFL_OK;
    wfl_recount_tell(r, "%" PRIu64 " tags of objects, %" PRIu64 " are in the index", v.tags,
                     v.tag_rows);
    return wfl_recount_prefix(r, WFL_SPACE_TAGS, bucket, check_tag, &v, err);
}
