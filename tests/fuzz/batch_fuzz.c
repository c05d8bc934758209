/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents of batches. The first byte says whether the ops name their buckets. What is accepted
 * keeps every promise that the store relies on: names that are valid, pairs in order and within
 * their limits, one condition at the most of one version, no key written twice. */
#include "batch_checks.h"

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
        check_batch(&doc, json);
    } else {
        assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_BATCH || rc == WFL_BATCH_TOO_LARGE ||
               rc == WFL_INVALID_BUCKET || rc == WFL_INVALID_KEY || rc == WFL_RESERVED_KEY);
        assert(rc == err.code && err.message[0] != '\0');
    }
    batch_doc_free(&doc);
    batch_doc_free(&doc); /* again is no error */
    return 0;
}
