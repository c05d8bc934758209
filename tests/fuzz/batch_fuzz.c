/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents of batches. The first byte says whether the ops name their buckets. What is accepted
 * keeps every promise that the store relies on: names that are valid, pairs in order and within
 * their limits, one condition at the most of one version, no key written twice. */
#include "fuzz.h"

#include <stdlib.h>

#include "server/batch_json.h"

static void check_pairs(const struct wfl_name_value *pairs, uint32_t count, uint32_t max)
{
    assert(count <= max);
    for (uint32_t i = 0; i < count; i++) {
        assert(wfl_name_meta_valid(pairs[i].name) && wfl_name_meta_value_valid(pairs[i].value));
        assert(i == 0 || wfl_slice_cmp(pairs[i - 1].name, pairs[i].name) < 0);
    }
}

static void check_op(const struct wfl_batch_op *op, wfl_slice json)
{
    wfl_error err;
    wfl_code  rc = wfl_name_check_key(op->key, &err);

    assert(rc == WFL_OK && wfl_name_bucket_valid(op->bucket));
    check_pairs(op->meta, op->meta_count, WFL_PAIRS_MAX);
    check_pairs(op->tags, op->tag_count, WFL_TAGS_MAX);
    assert(op->meta_count + op->tag_count <= WFL_PAIRS_MAX);
    assert(op->content.len <= json.len);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct batch_doc doc;
    wfl_error        err = {0};
    wfl_slice        json, bucket = WFL_S("photos");
    wfl_code         rc;

    if (size == 0) return 0;
    json = wfl_slice_of(data + 1, size - 1);
    if (data[0] == '*') bucket = (wfl_slice){0};
    rc = batch_doc_parse(json, bucket, &doc, &err);
    if (rc == WFL_OK) {
        uint32_t *order = malloc(doc.count * sizeof *order);

        assert(order != NULL && doc.count > 0 && doc.count <= WFL_BATCH_OPS_MAX);
        for (uint32_t i = 0; i < doc.count; i++)
            check_op(&doc.ops[i], json);
        assert(wfl_batch_find_repeat(doc.ops, doc.count, order) == doc.count);
        free(order);
    } else {
        assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_BATCH || rc == WFL_BATCH_TOO_LARGE ||
               rc == WFL_INVALID_BUCKET || rc == WFL_INVALID_KEY || rc == WFL_RESERVED_KEY);
        assert(rc == err.code && err.message[0] != '\0');
    }
    batch_doc_free(&doc);
    batch_doc_free(&doc); /* again is no error */
    return 0;
}
