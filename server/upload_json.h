/* SPDX-License-Identifier: Apache-2.0
 *
 * What completes a multipart upload: {"parts":[{"part":1,"blake3":"..."},...],"blake3":"..."}. */
#ifndef WFL_SERVER_UPLOAD_JSON_H
#define WFL_SERVER_UPLOAD_JSON_H

#include "store/store.h"

#define WFL_COMPLETION_BYTES_MAX (2u << 20) /* 10,000 parts are about 1 MiB */

struct completion_list {
    struct wfl_part *parts; /* in the arena; number and blake3 are set */
    uint32_t         count;
    bool             has_whole;
    wfl_hash         whole;
};
/* INVALID_JSON: another shape; INVALID_PART: a number out of range, more than WFL_PARTS_MAX; NOMEM.
 */
WFL_MUST_USE wfl_code completion_list_parse(wfl_slice json, wfl_arena *arena,
                                            struct completion_list *out, wfl_error *err);

#endif
