/* SPDX-License-Identifier: Apache-2.0
 *
 * Putting an object. The caller's thread encodes the record, all but the version; the committer
 * judges, patches the version in and hands record and content to the batch, which is the only copy
 * made of the content. Up to WFL_INLINE_BYTES_MAX content lies in the record, so that small objects
 * cost one row and one read; up to WFL_VALUE_BYTES_MAX it goes to VALUES under the version; more is
 * in chunks already, and the batch names their manifest. An overwritten version's content is taken
 * away, or left to the collector, in the same batch.
 *
 * Fails with what struct wfl_put says; then nothing of it is stored. */
#include <assert.h>

#include "store/write.h"

static wfl_code write_object(struct wfl_put *op, struct wfl_txn *t, struct bucket *b,
                             const struct current *current, wfl_error *err)
{
    struct new_version new = {.record = wfl_buf_slice(&op->own.header),
                              .size = op->size,
                              .blake3 = op->blake3,
                              .storage = (enum wfl_record_storage)op->own.storage,
                              .content = op->content,
                              .tags = op->tags,
                              .tag_count = op->tag_count,
                              .by = op->by,
                              .jti = op->jti};
    wfl_code rc = wfl_store_next_version(op->own.store, &new.version, err);

    if (rc == WFL_OK && op->large != NULL) rc = wfl_ingest_commit(op->large, t, err);
    if (rc == WFL_OK)
        rc = wfl_once_keep(op->once, t,
                           &(struct wfl_outcome){.version = new.version,
                                                 .created = !current->exists,
                                                 .size = op->size,
                                                 .blake3 = op->blake3},
                           err);
    if (rc != WFL_OK) return rc;
    wfl_record_object_set_version(op->own.header.data, op->own.header.len, new.version.bytes);
    rc = wfl_write_put(op->own.store, t, b, op->key, current, &new, err);
    if (rc != WFL_OK) return rc;
    op->version = new.version;
    op->created = !current->exists;
    return WFL_OK;
}

wfl_code wfl_put_apply(struct wfl_put *op, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_store *s = op->own.store;
    struct bucket    *b = wfl_buckets_find(s, op->bucket);
    struct current    current;
    wfl_code          rc;

    if (b == NULL) return wfl_fail_no_bucket(err, op->bucket);
    if (op->large != NULL && wfl_ingest_bucket(op->large) != b->id)
        return wfl_fail_no_bucket(err, op->bucket); /* another one has its name now */
    rc = wfl_judge_current(s, t, b, op->key, &current, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_judge_conditions(&current, &op->match, &op->none_match, err);
    if (rc != WFL_OK)
        op->version = current.exists ? current.version : (wfl_ulid){0};
    else
        rc = wfl_judge_limits(b, &current, op->size, err);
    if (rc == WFL_OK) rc = write_object(op, t, b, &current, err);
    if (rc == WFL_PRECONDITION_FAILED && op->once != NULL)
        op->once->outcome = (struct wfl_outcome){.version = op->version};
    wfl_current_fini(&current);
    return rc;
}

static wfl_code apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    return wfl_put_apply(c->arg, t, err);
}

void wfl_put_take_outcome(struct wfl_put *op)
{
    const struct wfl_outcome *outcome = &op->once->outcome;

    op->version = outcome->version;
    op->created = outcome->created;
    op->size = outcome->size;
    op->blake3 = outcome->blake3;
}

static void put_done(struct wfl_commit *c)
{
    struct wfl_put *op = c->arg;

    op->rc = c->rc;
    op->err = c->err;
    if (op->once != NULL && op->once->replayed) /* what was brought along now, nobody names */
        wfl_put_take_outcome(op);
    else if (op->rc == WFL_OK && op->large != NULL)
        wfl_ingest_settled(op->large);
    if (op->rc != WFL_OK && op->rc != WFL_PRECONDITION_FAILED) op->version = (wfl_ulid){0};
    if (op->rc != WFL_OK) op->created = false;
    op->done(op);
}

wfl_code wfl_put_prepare(struct wfl_store *s, struct wfl_put *op, wfl_error *err)
{
    assert(op->key.len > 0 && op->key.len <= WFL_KEY_MAX);
    op->version = (wfl_ulid){0};
    op->created = false;
    op->own.store = s;
    wfl_buf_init(&op->own.header, s->alloc, SIZE_MAX / 2); /* one reservation of a known bound */
    if (op->size > WFL_OBJECT_BYTES_MAX)
        return wfl_fail(err, WFL_OBJECT_TOO_LARGE, "an object has 5 TiB at the most");
    return wfl_record_encode(op, &op->own.header, err);
}

void wfl_put_choose_storage(struct wfl_put *op)
{
    if (op->large != NULL) {
        op->own.storage = WFL_RECORD_CHUNKS;
        op->own.manifest = *wfl_ingest_manifest(op->large);
        return;
    }
    assert(op->content.len <= WFL_VALUE_BYTES_MAX);
    op->size = op->content.len;
    op->own.storage =
        op->content.len <= WFL_INLINE_BYTES_MAX ? WFL_RECORD_INLINE : WFL_RECORD_VALUES;
}

wfl_code wfl_store_put(struct wfl_store *s, struct wfl_put *op)
{
    wfl_put_choose_storage(op);
    op->rc = wfl_put_prepare(s, op, &op->err);
    if (op->rc != WFL_OK) return op->rc;
    op->own.commit =
        (struct wfl_once_commit){.commit = {.durability = op->durability,
                                            .flow = wfl_flow_of(op->bucket),
                                            .bytes = op->own.header.len + op->content.len +
                                                     op->key.len + WFL_RECORD_SMALL_MAX,
                                            .grows = true,
                                            .done = put_done,
                                            .arg = op},
                                 .store = s,
                                 .once = op->once,
                                 .apply = apply};
    op->rc = WFL_PENDING;
    wfl_code rc = wfl_once_submit(&op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    op->err = op->own.commit.commit.err;
    return op->rc = rc;
}

void wfl_put_fini(struct wfl_put *op)
{
    if (op->own.store == NULL) return;
    wfl_buf_fini(&op->own.header);
    op->own.store = NULL;
}
