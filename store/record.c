/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the records of schema/ and the objects of store.h. Encoding needs one piece of memory,
 * whose bound is known, and can fail only for the lack of it; loading fails where the bytes do not
 * verify, which is CORRUPT_OBJECT and names the key. */
#include "store/internal.h"

_Static_assert(sizeof(wfl_ulid) == 16 && sizeof(wfl_hash) == 32, "as in the schema");

wfl_code wfl_record_load(wfl_slice record, wfl_slice key, struct wfl_record_object *out,
                         wfl_error *err)
{
    const char *wrong = wfl_record_object_read(record.data, record.len, out);

    if (wrong == NULL) return WFL_OK;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of key %.*s: %s", WFL_FMT(key), wrong);
}

static void show_pairs(const struct wfl_record_pairs *from, struct wfl_name_value *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct wfl_record_bytes name, value;
        from->at(from->ctx, i, &name, &value);
        to[i] =
            (struct wfl_name_value){.name = wfl_from_record(name), .value = wfl_from_record(value)};
    }
}

void wfl_record_show(const struct wfl_record_object *record, bool with_meta, bool with_tags,
                     struct wfl_name_value *pairs, struct wfl_object *out)
{
    *out = (struct wfl_object){.size = record->size,
                               .content_type = wfl_from_record(record->content_type)};
    memcpy(out->version.bytes, record->version, sizeof out->version.bytes);
    memcpy(out->blake3.bytes, record->blake3, sizeof out->blake3.bytes);
    if (with_meta && record->meta.count > 0) {
        show_pairs(&record->meta, pairs);
        out->meta = pairs;
        out->meta_count = record->meta.count;
        pairs += record->meta.count;
    }
    if (with_tags && record->tags.count > 0) {
        show_pairs(&record->tags, pairs);
        out->tags = pairs;
        out->tag_count = record->tags.count;
    }
}

static void pair_of_put(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                        struct wfl_record_bytes *value)
{
    const struct wfl_name_value *pairs = ctx;

    *name = wfl_to_record(pairs[i].name);
    *value = wfl_to_record(pairs[i].value);
}

wfl_code wfl_record_encode(const struct wfl_put *put, wfl_buf *out, wfl_error *err)
{
    struct wfl_record_object record = {
        .size = put->size,
        .content_type = wfl_to_record(put->content_type),
        .by = wfl_to_record(put->by),
        .storage = put->own.storage,
        .meta = {.count = put->meta_count, .ctx = put->meta, .at = pair_of_put},
        .tags = {.count = put->tag_count, .ctx = put->tags, .at = pair_of_put},
    };

    memcpy(record.blake3, put->blake3.bytes, sizeof record.blake3);
    memcpy(record.jti, put->jti.bytes, sizeof record.jti);
    memcpy(record.manifest, put->own.manifest.bytes, sizeof record.manifest);
    if (put->own.storage == WFL_RECORD_INLINE) record.value = wfl_to_record(put->content);

    size_t   bound = wfl_record_object_bound(&record);
    uint8_t *space = wfl_buf_reserve(out, bound);
    if (space == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the object's record");
    out->len += wfl_record_object_write(&record, space, bound);
    return WFL_OK;
}
