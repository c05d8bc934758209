/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch on the committer. Everything is judged against the state before the batch: first the
 * buckets, then all conditions, then what each op needs to find, then sizes. What copies take from
 * the state before is secured next, contents of their own and shares of manifests, since a later
 * step may take the source away; then the ops are written, in their order. Quotas are judged last,
 * on the counters as the batch leaves them: the whole effect, exactly.
 *
 * A failure anywhere leaves nothing: the engine undoes what was written, the counters are put back.
 * Versions that were drawn are not used again. */
#include <assert.h>
#include <inttypes.h>

#include "store/batch.h"

static wfl_code blame(struct batch_run *run, uint32_t i, wfl_error *err)
{
    run->batch->failed[0] = i;
    run->batch->failed_count = 1;
    return wfl_wrap(err, "op %" PRIu32, i);
}

/* ---- what is there */

static wfl_code find_bucket(struct batch_run *run, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &run->batch->ops[i];
    struct step               *step = &run->steps[i];

    step->b = wfl_buckets_find(run->store, op->bucket);
    if (step->b == NULL ||
        (step->put.large != NULL && wfl_ingest_bucket(step->put.large) != step->b->id)) {
        step->b = NULL;
        (void)wfl_fail_no_bucket(err, op->bucket);
        return blame(run, i, err);
    }
    step->before = step->b->group;
    return WFL_OK;
}

static wfl_code judge_conditions(struct batch_run *run, struct wfl_txn *t, wfl_error *err)
{
    const struct wfl_condition none = {.kind = WFL_COND_NONE};
    struct wfl_batch          *batch = run->batch;
    wfl_error                  first = {0}, why;

    for (uint32_t i = 0; i < batch->count; i++) {
        struct wfl_batch_op *op = &batch->ops[i];
        struct step         *step = &run->steps[i];
        wfl_code rc = wfl_judge_current(run->store, t, step->b, op->key, &step->current, err);

        if (rc != WFL_OK) return blame(run, i, err);
        if (wfl_judge_conditions(&step->current, &op->condition, &none, &why) == WFL_OK) continue;
        if (batch->failed_count == 0)
            wfl_fail(&first, WFL_PRECONDITION_FAILED, "op %" PRIu32 ": %s", i, why.message);
        batch->failed[batch->failed_count++] = i;
    }
    if (batch->failed_count == 0) return WFL_OK;
    *err = first;
    return err->code;
}

/* ---- sources of copies */

static wfl_code no_version(const struct wfl_batch_op *op, wfl_error *err)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(&op->from_version, text);
    return wfl_fail(err, WFL_VERSION_NOT_FOUND, "key %.*s has no version %s", WFL_FMT(op->from),
                    text);
}

static wfl_code load_older(struct wfl_txn *t, const struct wfl_batch_op *op, struct step *step,
                           wfl_error *err)
{
    uint8_t  space[WFL_HISTORY_KEY_MAX];
    wfl_code rc = wfl_txn_get(t, WFL_SPACE_HISTORY,
                              wfl_key_history(step->b->id, op->from, &op->from_version, space),
                              &step->source.pin, err);

    if (rc == WFL_NOT_FOUND) return no_version(op, err); /* gone since it was looked for */
    if (rc != WFL_OK) return rc;
    rc = wfl_record_load(step->source.pin.value, op->from, &step->source.record, err);
    if (rc != WFL_OK) return rc;
    step->source.size = step->source.record.size;
    step->source.version = op->from_version;
    return WFL_OK;
}

static wfl_code load_source(struct batch_run *run, struct wfl_txn *t, const struct wfl_batch_op *op,
                            struct step *step, wfl_error *err)
{
    wfl_code rc;

    if (op->has_from_version && !step->visible) return no_version(op, err);
    rc = wfl_judge_current(run->store, t, step->b, op->from, &step->source, err);
    if (rc != WFL_OK) return rc;
    if (!op->has_from_version)
        return step->source.exists ? WFL_OK : wfl_fail_no_key(err, op->bucket, op->from);
    if (step->source.exists && wfl_ulid_cmp(&step->source.version, &op->from_version) == 0)
        return WFL_OK;
    wfl_current_fini(&step->source);
    return load_older(t, op, step, err);
}

/* ---- what each op needs */

static wfl_code judge_size(const struct batch_run *run, const struct step *step, uint64_t size,
                           wfl_error *err)
{
    int64_t of_bucket = step->b->settings.max_object_bytes;

    if (of_bucket >= 0 && size > (uint64_t)of_bucket)
        return wfl_fail(err, WFL_OBJECT_TOO_LARGE,
                        "the bucket takes objects of up to %" PRId64 " bytes", of_bucket);
    if (run->batch->object_bytes_max > 0 && size > run->batch->object_bytes_max)
        return wfl_fail(err, WFL_OBJECT_TOO_LARGE, "the object is larger than %" PRIu64 " bytes",
                        run->batch->object_bytes_max);
    return WFL_OK;
}

/* An answer must have room for what is kept of the source and what is given here. */
static wfl_code judge_pairs(const struct wfl_batch_op *op, const struct step *step, wfl_error *err)
{
    uint64_t meta = op->has_meta ? op->meta_count : step->source.record.meta.count;
    uint64_t tags = op->has_tags ? op->tag_count : step->source.record.tags.count;

    if (meta + tags <= WFL_PAIRS_MAX) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BATCH, "an object has at most %d metadata and tags together",
                    WFL_PAIRS_MAX);
}

static wfl_code judge_op(struct batch_run *run, struct wfl_txn *t, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &run->batch->ops[i];
    struct step               *step = &run->steps[i];
    wfl_code                   rc = WFL_OK;

    switch (op->kind) {
    case WFL_BATCH_CHECK:
        break;
    case WFL_BATCH_PUT:
        rc = judge_size(run, step, step->put.size, err);
        break;
    case WFL_BATCH_DELETE:
        if (!step->current.exists) rc = wfl_fail_no_key(err, op->bucket, op->key);
        break;
    case WFL_BATCH_COPY:
        rc = load_source(run, t, op, step, err);
        if (rc == WFL_OK) rc = judge_size(run, step, step->source.size, err);
        if (rc == WFL_OK) rc = judge_pairs(op, step, err);
        break;
    }
    return rc == WFL_OK ? rc : blame(run, i, err);
}

static wfl_code judge(struct batch_run *run, struct wfl_txn *t, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++)
        rc = find_bucket(run, i, err);
    if (rc == WFL_OK) rc = judge_conditions(run, t, err);
    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++)
        rc = judge_op(run, t, i, err);
    return rc;
}

/* ---- contents */

static wfl_code copy_value(struct wfl_txn *t, const struct step *step, wfl_error *err)
{
    uint8_t        space[WFL_VALUE_KEY_LEN];
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_VALUES,
                                    wfl_key_value(step->b->id, &step->source.version, space), &pin, err);

    if (rc == WFL_NOT_FOUND)
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "the content of a copy's source is missing");
    if (rc == WFL_OK)
        rc = wfl_txn_put(t, WFL_SPACE_VALUES, wfl_key_value(step->b->id, &step->version, space),
                         &pin.value, 1, err);
    wfl_pin_release(&pin);
    return rc;
}

static wfl_code copy_content(struct wfl_txn *t, const struct step *step, wfl_error *err)
{
    wfl_ulid manifest;

    memcpy(manifest.bytes, step->source.record.manifest, sizeof manifest.bytes);
    switch (step->source.record.storage) {
    case WFL_RECORD_INLINE:
        return WFL_OK; /* in the record */
    case WFL_RECORD_VALUES:
        return copy_value(t, step, err);
    case WFL_RECORD_CHUNKS:
    case WFL_RECORD_PARTS:
        return wfl_manifest_share(t, step->b->id, &manifest, err);
    case WFL_RECORD_TOMBSTONE:
        break; /* never visible */
    }
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "a copy's source is no content");
}

static wfl_code secure(struct batch_run *run, struct wfl_txn *t, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++) {
        struct step *step = &run->steps[i];

        if (run->batch->ops[i].kind == WFL_BATCH_CHECK) continue;
        rc = wfl_store_next_version(run->store, &step->version, err);
        if (rc == WFL_OK && run->batch->ops[i].kind == WFL_BATCH_COPY)
            rc = copy_content(t, step, err);
        if (rc == WFL_OK && step->put.large != NULL)
            rc = wfl_ingest_commit(step->put.large, t, err);
    }
    return rc;
}

/* ---- writing */

static wfl_code write_put(struct batch_run *run, struct wfl_txn *t, const struct wfl_batch_op *op,
                          struct step *step, wfl_error *err)
{
    struct wfl_put *put = &step->put;
    struct new_version new = {.version = step->version,
                              .record = wfl_buf_slice(&put->own.header),
                              .size = put->size,
                              .blake3 = put->blake3,
                              .storage = (enum wfl_record_storage)put->own.storage,
                              .content = put->content,
                              .tags = put->tags,
                              .tag_count = put->tag_count,
                              .by = put->by,
                              .jti = put->jti};

    wfl_record_object_set_version(put->own.header.data, put->own.header.len, step->version.bytes);
    return wfl_write_put(run->store, t, step->b, op->key, &step->current, &new, err);
}

static wfl_code write_record(struct batch_run *run, struct wfl_txn *t,
                             const struct wfl_batch_op *op, struct step *step,
                             const struct wfl_record_object *record, struct new_version *new,
                             wfl_error                      *err)
{
    size_t   bound = wfl_record_object_bound(record);
    wfl_buf  buf;
    uint8_t *space;
    wfl_code rc;

    wfl_buf_init(&buf, run->store->alloc, SIZE_MAX / 2);
    space = wfl_buf_reserve(&buf, bound);
    if (space == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a copy's record");
    new->record = wfl_slice_of(space, wfl_record_object_write(record, space, bound));
    rc = wfl_write_put(run->store, t, step->b, op->key, &step->current, new, err);
    wfl_buf_fini(&buf);
    return rc;
}

static wfl_code write_copy(struct batch_run *run, struct wfl_txn *t, const struct wfl_batch_op *op,
                           struct step *step, wfl_error *err)
{
    struct wfl_name_value    tags[WFL_PAIRS_MAX];
    struct wfl_record_object record = step->source.record;
    struct new_version new = {.version = step->version,
                              .size = record.size,
                              .storage = WFL_RECORD_INLINE, /* nothing is left to be written */
                              .tags = tags,
                              .by = run->batch->by,
                              .jti = run->batch->jti};

    memcpy(record.version, step->version.bytes, sizeof record.version);
    memcpy(record.jti, run->batch->jti.bytes, sizeof record.jti);
    memcpy(new.blake3.bytes, record.blake3, sizeof new.blake3.bytes);
    record.by = wfl_to_record(run->batch->by);
    if (op->has_meta)
        record.meta =
            (struct wfl_record_pairs){.count = op->meta_count, .ctx = op->meta, .at = wfl_pair_at};
    if (op->has_tags)
        record.tags =
            (struct wfl_record_pairs){.count = op->tag_count, .ctx = op->tags, .at = wfl_pair_at};
    assert(record.tags.count <= WFL_PAIRS_MAX); /* judged */
    new.tag_count = record.tags.count;
    for (uint32_t i = 0; i < new.tag_count; i++) {
        struct wfl_record_bytes name, value;

        record.tags.at(record.tags.ctx, i, &name, &value);
        tags[i] = (struct wfl_name_value){wfl_from_record(name), wfl_from_record(value)};
    }
    return write_record(run, t, op, step, &record, &new, err);
}

static wfl_code write_op(struct batch_run *run, struct wfl_txn *t, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &run->batch->ops[i];
    struct step               *step = &run->steps[i];

    switch (op->kind) {
    case WFL_BATCH_CHECK:
        return WFL_OK;
    case WFL_BATCH_PUT:
        return write_put(run, t, op, step, err);
    case WFL_BATCH_DELETE:
        return wfl_write_delete(run->store, t, step->b, op->key, &step->current, &step->version,
                                run->batch->by, run->batch->jti, err);
    case WFL_BATCH_COPY:
        return write_copy(run, t, op, step, err);
    }
    return wfl_fail(err, WFL_INTERNAL, "an op of no kind");
}

/* What does not grow the bucket is never over its quota. */
static wfl_code judge_quotas(const struct batch_run *run, wfl_error *err)
{
    for (uint32_t i = 0; i < run->batch->count; i++) {
        const struct bucket              *b = run->steps[i].b;
        const struct counters            *before = &run->steps[i].before;
        const struct wfl_bucket_settings *set = &b->settings;

        if (set->quota_objects >= 0 && b->group.objects > before->objects &&
            b->group.objects > (uint64_t)set->quota_objects)
            return wfl_fail(err, WFL_QUOTA_EXCEEDED,
                            "bucket %.*s holds %" PRId64 " objects at the most",
                            WFL_FMT(wfl_bucket_name(b)), set->quota_objects);
        if (set->quota_bytes >= 0 && b->group.bytes > before->bytes &&
            b->group.bytes > (uint64_t)set->quota_bytes)
            return wfl_fail(err, WFL_QUOTA_EXCEEDED,
                            "bucket %.*s holds %" PRId64 " bytes at the most",
                            WFL_FMT(wfl_bucket_name(b)), set->quota_bytes);
    }
    return WFL_OK;
}

static wfl_code write_all(struct batch_run *run, struct wfl_txn *t, wfl_error *err)
{
    wfl_code rc = secure(run, t, err);

    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++)
        rc = write_op(run, t, i, err);
    if (rc == WFL_OK) rc = judge_quotas(run, err);
    if (rc == WFL_OK) rc = wfl_batch_keep(run, t, err);
    if (rc == WFL_OK) return rc;
    for (uint32_t i = 0; i < run->batch->count; i++)
        run->steps[i].b->group = run->steps[i].before;
    return rc;
}

wfl_code wfl_batch_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct batch_run *run = c->arg;
    wfl_code          rc = judge(run, t, err);

    if (rc == WFL_OK) rc = write_all(run, t, err);
    if (wfl_once_remembers(rc)) rc = wfl_batch_note(run, err);
    for (uint32_t i = 0; i < run->batch->count; i++) {
        wfl_current_fini(&run->steps[i].current);
        wfl_current_fini(&run->steps[i].source);
    }
    return rc;
}
