/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: any number of changes that happen together or not at all. Here, on a thread that may
 * block, everything is made ready that needs no judgement: records encoded, large contents brought
 * into chunks, older versions looked for. Then one commit judges and writes (batch_apply.c). What
 * was ingested for a batch that is refused is taken back like any content that nobody names.
 *
 * A source's version is looked for here because only here the history can be walked: a copy may
 * take what could be read when it was asked for, though it has left the history's bounds since;
 * what has been removed since is VERSION_NOT_FOUND. */
#include <assert.h>
#include <stdlib.h>

#include "store/batch.h"

/* ---- keys that are written twice */

static int by_place(const void *a, const void *b, void *ctx)
{
    const struct wfl_batch_op *ops = ctx;
    uint32_t                   i = *(const uint32_t *)a, k = *(const uint32_t *)b;
    int                        order = wfl_slice_cmp(ops[i].bucket, ops[k].bucket);

    if (order == 0) order = wfl_slice_cmp(ops[i].key, ops[k].key);
    /* Of one key the checks come last, so that two that write it are neighbours. */
    if (order == 0) order = (ops[i].kind == WFL_BATCH_CHECK) - (ops[k].kind == WFL_BATCH_CHECK);
    return order != 0 ? order : (i > k) - (i < k);
}

uint32_t wfl_batch_find_repeat(const struct wfl_batch_op *ops, uint32_t count, uint32_t *order)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    qsort_r(order, count, sizeof *order, by_place, (void *)(uintptr_t)ops);
    for (uint32_t i = 1; i < count; i++) {
        const struct wfl_batch_op *a = &ops[order[i - 1]], *b = &ops[order[i]];

        if (b->kind != WFL_BATCH_CHECK && wfl_slice_eq(a->key, b->key) &&
            wfl_slice_eq(a->bucket, b->bucket))
            return order[i];
    }
    return count;
}

/* ---- making ready */

static wfl_code ingest(struct wfl_store *s, struct wfl_put *put, wfl_slice content, wfl_error *err)
{
    wfl_code rc = wfl_ingest_new(s, put->bucket, &put->large, err);

    while (rc == WFL_OK && content.len > 0) {
        wfl_slice chunk = content;

        if (chunk.len > WFL_CHUNK_BYTES) chunk.len = WFL_CHUNK_BYTES;
        content = wfl_slice_of(content.data + chunk.len, content.len - chunk.len);
        rc = wfl_ingest_add(put->large, chunk, err);
    }
    return rc;
}

static wfl_code begin_put(struct batch_run *run, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &run->batch->ops[i];
    struct wfl_put            *put = &run->steps[i].put;

    *put = (struct wfl_put){.bucket = op->bucket,
                            .key = op->key,
                            .content_type = op->content_type,
                            .meta = op->meta,
                            .meta_count = op->meta_count,
                            .tags = op->tags,
                            .tag_count = op->tag_count,
                            .by = run->batch->by,
                            .jti = run->batch->jti};
    if (op->content.len > WFL_VALUE_BYTES_MAX) return ingest(run->store, put, op->content, err);
    put->content = op->content;
    put->blake3 = wfl_hash_of(op->content);
    return WFL_OK;
}

/* All chunks are written by now, so the first one that is sealed syncs for the others too. */
static wfl_code end_put(struct batch_run *run, uint32_t i, wfl_error *err)
{
    struct wfl_put *put = &run->steps[i].put;
    wfl_code        rc = WFL_OK;

    if (put->large != NULL) rc = wfl_ingest_seal(put->large, &put->size, &put->blake3, err);
    if (rc != WFL_OK) return rc;
    wfl_put_choose_storage(put);
    return wfl_put_prepare(run->store, put, err);
}

static wfl_code begin_copy(struct batch_run *run, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &run->batch->ops[i];
    struct bucket_view         b;
    wfl_code                   rc;

    if (!op->has_from_version) return WFL_OK;
    rc = wfl_buckets_look_up(run->store, op->bucket, &b, err);
    if (rc == WFL_OK)
        rc = wfl_history_shows(run->store, &b, op->from, &op->from_version, &run->steps[i].visible,
                               err);
    return rc;
}

static wfl_code prepare(struct batch_run *run, wfl_error *err)
{
    const struct wfl_batch *batch = run->batch;
    wfl_code                rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < batch->count; i++) {
        assert(batch->ops[i].key.len > 0 && batch->ops[i].key.len <= WFL_KEY_MAX);
        if (batch->ops[i].kind == WFL_BATCH_PUT) rc = begin_put(run, i, err);
        if (batch->ops[i].kind == WFL_BATCH_COPY) rc = begin_copy(run, i, err);
    }
    for (uint32_t i = 0; rc == WFL_OK && i < batch->count; i++)
        if (batch->ops[i].kind == WFL_BATCH_PUT) rc = end_put(run, i, err);
    return rc;
}

/* ---- the commit */

/* About what it will write: of a source as it is now, whose row is copied where it has one. */
static wfl_code weigh_copy(struct batch_run *run, const struct wfl_batch_op *op, uint64_t *weight,
                           wfl_error *err)
{
    struct wfl_record_object record;
    struct bucket_view       b;
    uint8_t                  space[WFL_OBJECT_KEY_MAX];
    struct wfl_pin           pin = {0};
    wfl_code                 rc = wfl_buckets_look_up(run->store, op->bucket, &b, err);

    if (rc == WFL_OK && op->has_from_version) *weight += WFL_VALUE_BYTES_MAX;
    if (rc != WFL_OK || op->has_from_version) return rc;
    rc = wfl_engine_read(run->store->engine, WFL_SPACE_OBJECTS,
                         wfl_key_object(b.id, op->from, space), &pin, err);
    if (rc == WFL_NOT_FOUND) return WFL_OK; /* judged later */
    if (rc == WFL_OK) rc = wfl_record_load(pin.value, op->from, &record, err);
    if (rc == WFL_OK) *weight += pin.value.len;
    if (rc == WFL_OK && record.storage == WFL_RECORD_VALUES) *weight += record.size;
    wfl_pin_release(&pin);
    return rc;
}

static wfl_code weigh(struct batch_run *run, uint64_t *weight, bool *grows, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++) {
        const struct wfl_batch_op *op = &run->batch->ops[i];
        const struct wfl_put      *put = &run->steps[i].put;

        *grows |= op->kind == WFL_BATCH_PUT || op->kind == WFL_BATCH_COPY;
        *weight += op->key.len + WFL_RECORD_SMALL_MAX;
        if (op->kind == WFL_BATCH_PUT) *weight += put->own.header.len + put->content.len;
        if (put->large != NULL) *weight += WFL_RECORD_PAGE_MAX;
        if (op->kind == WFL_BATCH_COPY) rc = weigh_copy(run, op, weight, err);
    }
    return rc;
}

/* One that goes across buckets is nobody's. */
static uint64_t flow_of(const struct wfl_batch *batch)
{
    for (uint32_t i = 1; i < batch->count; i++)
        if (!wfl_slice_eq(batch->ops[i].bucket, batch->ops[0].bucket)) return 0;
    return wfl_flow_of(batch->ops[0].bucket);
}

static wfl_code commit(struct batch_run *run, wfl_error *err)
{
    struct wait_commit what = {.apply = wfl_batch_apply,
                               .arg = run,
                               .durability = run->batch->durability,
                               .flow = flow_of(run->batch),
                               .once = run->batch->once};
    wfl_code           rc = weigh(run, &what.bytes, &what.grows, err);

    if (rc == WFL_OK) rc = wfl_wait_commit(run->store, &what, err);
    if (run->batch->once != NULL && run->batch->once->replayed)
        return wfl_batch_take_outcome(run->batch, rc, err);
    for (uint32_t i = 0; rc == WFL_OK && i < run->batch->count; i++) {
        if (run->steps[i].put.large != NULL) wfl_ingest_settled(run->steps[i].put.large);
        run->batch->ops[i].version = run->steps[i].version;
    }
    return rc;
}

static void release(struct batch_run *run)
{
    for (uint32_t i = 0; i < run->batch->count; i++) {
        wfl_ingest_free(run->steps[i].put.large);
        wfl_put_fini(&run->steps[i].put);
    }
    wfl_alloc_free(run->store->alloc, run->steps);
}

wfl_code wfl_store_batch(struct wfl_store *s, struct wfl_batch *batch, wfl_error *err)
{
    struct batch_run run = {.store = s, .batch = batch};
    wfl_code         rc;

    assert(batch->count > 0 && batch->count <= WFL_BATCH_OPS_MAX);
    batch->failed_count = 0;
    batch->own.store = s;
    batch->failed = wfl_alloc_zero(s->alloc, batch->count, sizeof *batch->failed);
    run.steps = wfl_alloc_zero(s->alloc, batch->count, sizeof *run.steps);
    if (batch->failed == NULL || run.steps == NULL) {
        wfl_alloc_free(s->alloc, run.steps);
        return wfl_fail(err, WFL_NOMEM, "no memory for a batch");
    }
    if (wfl_batch_find_repeat(batch->ops, batch->count, batch->failed) < batch->count)
        rc = wfl_fail(err, WFL_INVALID_BATCH, "a key is written twice");
    else
        rc = prepare(&run, err);
    if (rc == WFL_OK) rc = commit(&run, err);
    release(&run);
    return rc;
}

void wfl_batch_fini(struct wfl_batch *batch)
{
    if (batch->own.store == NULL) return;
    wfl_alloc_free(batch->own.store->alloc, batch->failed);
    batch->failed = NULL;
    batch->failed_count = 0;
    batch->own.store = NULL;
}
