/* SPDX-License-Identifier: Apache-2.0
 *
 * Deleting an object: record and content go in one batch, the counters fall, and the deletion has a
 * version of its own. Conditions come before existence, as RFC 9110 has it for If-Match on a
 * resource without a representation. Fails with what struct wfl_delete says; then nothing has
 * changed. */
#include <assert.h>

#include "store/write.h"

static wfl_code judge_and_write(struct wfl_delete *op, struct wfl_txn *t, struct bucket *b,
                                const struct current *current, wfl_error *err)
{
    wfl_ulid version;
    wfl_code rc = wfl_judge_conditions(current, &op->match, &op->none_match, err);

    if (rc != WFL_OK) {
        op->version = current->exists ? current->version : (wfl_ulid){0};
        return rc;
    }
    if (!current->exists) return wfl_fail_no_key(err, op->bucket, op->key);
    rc = wfl_store_next_version(op->own.store, &version, err);
    if (rc == WFL_OK)
        rc = wfl_once_keep(op->once, t, &(struct wfl_outcome){.version = version}, err);
    if (rc == WFL_OK)
        rc =
            wfl_write_delete(op->own.store, t, b, op->key, current, &version, op->by, op->jti, err);
    if (rc == WFL_OK) op->version = version;
    return rc;
}

static wfl_code delete_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_delete *op = c->arg;
    struct bucket     *b = wfl_buckets_find(op->own.store, op->bucket);
    struct current     current;
    wfl_code           rc;

    if (b == NULL) return wfl_fail_no_bucket(err, op->bucket);
    rc = wfl_judge_current(op->own.store, t, b, op->key, &current, err);
    if (rc == WFL_OK) rc = judge_and_write(op, t, b, &current, err);
    if (rc == WFL_PRECONDITION_FAILED && op->once != NULL)
        op->once->outcome = (struct wfl_outcome){.version = op->version};
    wfl_current_fini(&current);
    return rc;
}

static void delete_done(struct wfl_commit *c)
{
    struct wfl_delete *op = c->arg;

    op->rc = c->rc;
    op->err = c->err;
    if (op->once != NULL && op->once->replayed) op->version = op->once->outcome.version;
    if (op->rc != WFL_OK && op->rc != WFL_PRECONDITION_FAILED) op->version = (wfl_ulid){0};
    op->done(op);
}

wfl_code wfl_store_delete(struct wfl_store *s, struct wfl_delete *op)
{
    assert(op->key.len > 0 && op->key.len <= WFL_KEY_MAX);
    op->rc = WFL_PENDING;
    op->version = (wfl_ulid){0};
    op->own.store = s;
    op->own.commit =
        (struct wfl_once_commit){.commit = {.durability = op->durability,
                                            .flow = wfl_flow_of(op->bucket),
                                            .bytes = op->key.len + WFL_RECORD_SMALL_MAX,
                                            .done = delete_done,
                                            .arg = op},
                                 .store = s,
                                 .once = op->once,
                                 .apply = delete_apply};
    wfl_code rc = wfl_once_submit(&op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    op->err = op->own.commit.commit.err;
    return op->rc = rc;
}
