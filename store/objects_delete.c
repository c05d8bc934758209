/* SPDX-License-Identifier: Apache-2.0
 *
 * Deleting an object: record and content go in one batch, the counters fall, and the deletion has a
 * version of its own. Conditions come before existence, as RFC 9110 has it for If-Match on a
 * resource without a representation. Fails with what struct wfl_delete says; then nothing has
 * changed. */
#include <assert.h>

#include "store/internal.h"

static wfl_code delete_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_delete *op = c->arg;
    struct wfl_store  *s = op->own.store;
    struct bucket     *b = wfl_buckets_find(s, op->bucket);
    uint8_t            space[WFL_OBJECT_KEY_MAX];
    struct current     current;
    wfl_ulid           version;
    wfl_code           rc;

    if (b == NULL) return wfl_fail_no_bucket(err, op->bucket);
    wfl_slice engine_key = wfl_key_object(b->id, op->key, space);
    rc = wfl_judge_current(t, engine_key, &current, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_judge_conditions(&current, &op->match, &op->none_match, err);
    if (rc != WFL_OK) {
        op->version = current.version;
        return rc;
    }
    if (!current.exists) return wfl_fail_no_key(err, op->bucket, op->key);
    rc = wfl_store_next_version(s, &version, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_txn_delete(t, WFL_SPACE_OBJECTS, engine_key, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_judge_drop_content(s, t, b->id, &current, err);
    if (rc != WFL_OK) return rc;

    assert(b->group.objects > 0 && b->group.bytes >= current.size);
    b->group.objects--;
    b->group.bytes -= current.size;
    b->group.version = version;
    wfl_buckets_touch(s, b);
    op->version = version;
    return WFL_OK;
}

static void delete_done(struct wfl_commit *c)
{
    struct wfl_delete *op = c->arg;

    op->rc = c->rc;
    op->err = c->err;
    if (op->rc != WFL_OK && op->rc != WFL_PRECONDITION_FAILED) op->version = (wfl_ulid){0};
    op->done(op);
}

wfl_code wfl_store_delete(struct wfl_store *s, struct wfl_delete *op)
{
    assert(op->key.len > 0 && op->key.len <= WFL_KEY_MAX);
    op->rc = WFL_PENDING;
    op->version = (wfl_ulid){0};
    op->own.store = s;
    op->own.commit = (struct wfl_commit){.durability = op->durability,
                                         .bytes = op->key.len + WFL_RECORD_SMALL_MAX,
                                         .apply = delete_apply,
                                         .done = delete_done,
                                         .arg = op};
    wfl_code rc = wfl_engine_commit(s->engine, &op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    op->err = op->own.commit.err;
    return op->rc = rc;
}
