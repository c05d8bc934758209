/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers in FlatBuffers. Each is encoded at once into memory that is bounded beforehand; where
 * that is more than an answer may have, or is not there, the answer is a problem, as with JSON. */
#include "server/wire.h"

#include "schema/wire.h"
#include "server/accept.h"

#define ANSWER_BYTES_MAX (64u << 20)

bool wire_wanted(const struct request *r)
{
    static const wfl_slice types[] = {WFL_LIT("application/json"), WFL_LIT(WIRE_TYPE)};

    return accept_choose(request_head(r), types, WFL_COUNT(types)) == 1;
}

bool wire_sent(const struct request *r)
{
    return accept_sent(request_head(r), WFL_S(WIRE_TYPE));
}

/* ---- from here to there */

static struct wfl_record_bytes bytes_of(wfl_slice s)
{
    return (struct wfl_record_bytes){.data = s.data, .len = s.len};
}

static void pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                    struct wfl_record_bytes *value)
{
    const struct wfl_name_value *pairs = ctx;

    *name = bytes_of(pairs[i].name);
    *value = bytes_of(pairs[i].value);
}

static struct wfl_record_pairs pairs_of(const struct wfl_name_value *pairs, uint32_t count)
{
    return (struct wfl_record_pairs){.count = count, .ctx = pairs, .at = pair_at};
}

static void encode(const struct wfl_wire_message *message, wfl_buf *out)
{
    size_t   bound = wfl_wire_bound(message);
    uint8_t *space;

    wfl_buf_init(out, &wfl_alloc_libc, ANSWER_BYTES_MAX);
    space = wfl_buf_reserve(out, bound);
    if (space != NULL) out->len = wfl_wire_write(message, space, bound);
}

static void answer(struct request *r, int status, const struct wfl_wire_message *message)
{
    struct answer a = {0};
    wfl_buf       out;

    encode(message, &out);
    answer_wire(r, &a, status, &out);
}

static void name_at(const void *ctx, uint32_t i, void *row)
{
    const wfl_slice *names = ctx;

    *(struct wfl_record_bytes *)row = bytes_of(names[i]);
}

static struct wfl_wire_rows rows_of(const void *list, uint32_t count,
                                    void (*at)(const void *ctx, uint32_t i, void *row))
{
    return (struct wfl_wire_rows){.count = count, .ctx = list, .at = at};
}

/* ---- buckets */

void wire_answer_buckets(struct request *r, const wfl_slice *names, uint32_t count)
{
    answer(r, 200,
           &(struct wfl_wire_message){.kind = WFL_WIRE_BUCKETS,
                                      .rows = rows_of(names, count, name_at)});
}

static struct wfl_record_settings settings_of(const struct wfl_bucket_settings *s)
{
    return (struct wfl_record_settings){.versions = s->versions,
                                        .retain_seconds = s->retain_seconds,
                                        .quota_bytes = s->quota_bytes,
                                        .quota_objects = s->quota_objects,
                                        .max_object_bytes = s->max_object_bytes,
                                        .requests_per_second = s->requests_per_second,
                                        .bytes_per_second = s->bytes_per_second,
                                        .expire_seconds = s->expire_seconds,
                                        .public_read = s->public_read,
                                        .change_retain_seconds = s->change_retain_seconds};
}

void wire_answer_bucket(struct request *r, int status, const struct wfl_bucket_info *info)
{
    struct wfl_wire_message message = {.kind = WFL_WIRE_BUCKET,
                                       .bucket = {.name = bytes_of(info->name),
                                                  .settings = settings_of(&info->settings),
                                                  .objects = info->objects,
                                                  .bytes = info->bytes}};

    memcpy(message.bucket.version, info->version.bytes, sizeof message.bucket.version);
    answer(r, status, &message);
}

/* ---- pages of scan and query */

static void item_at(const void *ctx, uint32_t i, void *row)
{
    const struct listing_page  *page = ctx;
    const struct wfl_scan_item *item = &page->items[i];
    const struct wfl_object    *object = &item->object;
    struct wfl_wire_item       *out = row;

    *out = (struct wfl_wire_item){.key = bytes_of(item->key),
                                  .size = object->size,
                                  .content_type = bytes_of(object->content_type),
                                  .modified_ms = wfl_ulid_ms(&object->version),
                                  .has_meta = page->include.meta,
                                  .has_tags = page->include.tags,
                                  .has_value = item->has_value,
                                  .value = bytes_of(item->value)};
    memcpy(out->version, object->version.bytes, sizeof out->version);
    memcpy(out->blake3, object->blake3.bytes, sizeof out->blake3);
    if (out->has_meta) out->meta = pairs_of(object->meta, object->meta_count);
    if (out->has_tags) out->tags = pairs_of(object->tags, object->tag_count);
}

void wire_write_listing(const struct listing_page *page, wfl_buf *out)
{
    struct wfl_wire_message message = {
        .kind = WFL_WIRE_LISTING,
        .rows = rows_of(page, page->count, item_at),
        .has_prefixes = page->has_prefixes,
        .prefixes = rows_of(page->prefixes, page->prefix_count, name_at),
        .cursor = bytes_of(page->next),
    };

    memcpy(message.at, page->at.bytes, sizeof message.at);
    encode(&message, out);
}

/* ---- pages of changes */

static void change_at(const void *ctx, uint32_t i, void *row)
{
    static const enum wfl_wire_change_kind kinds[] = {[WFL_CHANGED_PUT] = WFL_WIRE_PUT,
                                                      [WFL_CHANGED_DELETE] = WFL_WIRE_DELETE,
                                                      [WFL_CHANGED_ERASE] = WFL_WIRE_ERASE};
    const struct wfl_change               *change = (const struct wfl_change *)ctx + i;
    struct wfl_wire_change                *out = row;

    *out = (struct wfl_wire_change){.kind = kinds[change->kind],
                                    .key = bytes_of(change->key),
                                    .size = change->size,
                                    .by = bytes_of(change->by),
                                    .tags = pairs_of(change->tags, change->tag_count)};
    memcpy(out->version, change->version.bytes, sizeof out->version);
    memcpy(out->blake3, change->blake3.bytes, sizeof out->blake3);
    memcpy(out->jti, change->jti.bytes, sizeof out->jti);
    memcpy(out->erased, change->erased.bytes, sizeof out->erased);
}

void wire_write_changes(const struct wfl_change *changes, uint32_t count, const wfl_ulid *next,
                        wfl_buf *out)
{
    struct wfl_wire_message message = {.kind = WFL_WIRE_CHANGES,
                                       .rows = rows_of(changes, count, change_at)};

    memcpy(message.at, next->bytes, sizeof message.at);
    encode(&message, out);
}

/* ---- the rest */

static void version_at(const void *ctx, uint32_t i, void *row)
{
    const struct wfl_version *version = (const struct wfl_version *)ctx + i;
    struct wfl_wire_version  *out = row;

    out->kind = version->tombstone ? WFL_WIRE_DELETE : WFL_WIRE_PUT;
    out->size = version->size;
    out->modified_ms = wfl_ulid_ms(&version->version);
    memcpy(out->version, version->version.bytes, sizeof out->version);
    memcpy(out->blake3, version->blake3.bytes, sizeof out->blake3);
}

void wire_answer_versions(struct request *r, const struct wfl_version *versions, uint32_t count)
{
    answer(r, 200,
           &(struct wfl_wire_message){.kind = WFL_WIRE_VERSIONS,
                                      .rows = rows_of(versions, count, version_at)});
}

static void upload_at(const void *ctx, uint32_t i, void *row)
{
    const struct wfl_upload_info *upload = (const struct wfl_upload_info *)ctx + i;
    struct wfl_wire_upload       *out = row;

    out->key = bytes_of(upload->key);
    out->started_ms = wfl_ulid_ms(&upload->upload);
    out->bytes = upload->bytes;
    memcpy(out->upload, upload->upload.bytes, sizeof out->upload);
}

void wire_answer_uploads(struct request *r, const struct wfl_upload_info *uploads, uint32_t count)
{
    answer(r, 200,
           &(struct wfl_wire_message){.kind = WFL_WIRE_UPLOADS,
                                      .rows = rows_of(uploads, count, upload_at)});
}

static void part_at(const void *ctx, uint32_t i, void *row)
{
    const struct wfl_part *part = (const struct wfl_part *)ctx + i;
    struct wfl_wire_part  *out = row;

    out->number = part->number;
    out->size = part->size;
    memcpy(out->blake3, part->blake3.bytes, sizeof out->blake3);
}

void wire_answer_parts(struct request *r, const struct wfl_part *parts, uint32_t count)
{
    answer(
        r, 200,
        &(struct wfl_wire_message){.kind = WFL_WIRE_PARTS, .rows = rows_of(parts, count, part_at)});
}

struct results {
    const struct wfl_batch *batch;
    bool                    name_buckets;
};

static void result_at(const void *ctx, uint32_t i, void *row)
{
    const struct results      *results = ctx;
    const struct wfl_batch_op *op = &results->batch->ops[i];
    struct wfl_wire_result    *out = row;

    out->has_bucket = results->name_buckets;
    out->has_version = op->kind != WFL_BATCH_CHECK; /* which makes none */
    if (out->has_bucket) out->bucket = bytes_of(op->bucket);
    out->key = bytes_of(op->key);
    memcpy(out->version, op->version.bytes, sizeof out->version);
}

void wire_answer_results(struct request *r, const struct wfl_batch *batch)
{
    struct results results = {batch, r->target.bucket.len == 0};

    answer(r, 200,
           &(struct wfl_wire_message){.kind = WFL_WIRE_RESULTS,
                                      .rows = rows_of(&results, batch->count, result_at)});
}
