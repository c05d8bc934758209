/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch's document, from bytes to the store's ops. */
#ifndef WFL_SERVER_BATCH_JSON_H
#define WFL_SERVER_BATCH_JSON_H

#include "store/store.h"

#define WFL_BATCH_BYTES_MAX (16u << 20)

struct batch_doc {
    struct wfl_batch_op *ops; /* everything that they point to lives until batch_doc_free */
    uint32_t             count;
    void                *json;
    wfl_arena            arena;
};
/* `bucket`: of every op; empty: each names its own. INVALID_JSON (no JSON at all), INVALID_BATCH
 * (not of a batch's form, a key written twice), BATCH_TOO_LARGE (more ops, or more of anything,
 * than a batch may have), INVALID_BUCKET, INVALID_KEY, RESERVED_KEY, NOMEM. Blocks for as long as
 * the text is long. batch_doc_free in any case; `out` stays where it is until then. */
WFL_MUST_USE wfl_code batch_doc_parse(wfl_slice json, wfl_slice bucket, struct batch_doc *out,
                                      wfl_error *err);
void                  batch_doc_free(struct batch_doc *doc); /* accepts zero */

#endif
