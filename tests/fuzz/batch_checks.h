/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold of a batch that was accepted, in whichever encoding it came: every promise that
 * the store relies on. */
#ifndef WFL_TESTS_FUZZ_BATCH_CHECKS_H
#define WFL_TESTS_FUZZ_BATCH_CHECKS_H

#include "fuzz.h"

#include "server/batch_json.h"

static inline void check_pairs(const struct wfl_name_value *pairs, uint32_t count, uint32_t max)
{
    assert(count <= max);
    for (uint32_t i = 0; i < count; i++) {
        assert(wfl_name_meta_valid(pairs[i].name) && wfl_name_meta_value_valid(pairs[i].value));
        assert(i == 0 || wfl_slice_cmp(pairs[i - 1].name, pairs[i].name) < 0);
    }
}

static inline void check_op(const struct wfl_batch_op *op, wfl_slice body)
{
    wfl_error err;
    wfl_code  rc = wfl_name_check_key(op->key, &err);

    assert(rc == WFL_OK && wfl_name_bucket_valid(op->bucket));
    check_pairs(op->meta, op->meta_count, WFL_PAIRS_MAX);
    check_pairs(op->tags, op->tag_count, WFL_TAGS_MAX);
    assert(op->meta_count + op->tag_count <= WFL_PAIRS_MAX);
    assert(op->content.len <= body.len);
    assert(op->condition.version_count == (op->condition.kind == WFL_COND_ANY_OF));
    if (op->kind == WFL_BATCH_COPY) {
        rc = wfl_name_check_key(op->from, &err);
        assert(rc == WFL_OK && op->content.len == 0);
    } else {
        assert(op->from.len == 0 && !op->has_from_version);
    }
    if (op->kind == WFL_BATCH_PUT) assert(op->content_type.len > 0);
    if (op->kind == WFL_BATCH_CHECK) assert(op->condition.kind != WFL_COND_NONE);
}

static inline void check_batch(struct batch_doc *doc, wfl_slice body)
{
    uint32_t *order = malloc(doc->count * sizeof *order);

    assert(order != NULL && doc->count > 0 && doc->count <= WFL_BATCH_OPS_MAX);
    for (uint32_t i = 0; i < doc->count; i++)
        check_op(&doc->ops[i], body);
    assert(wfl_batch_find_repeat(doc->ops, doc->count, order) == doc->count);
    free(order);
}

#endif
