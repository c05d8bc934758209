/* SPDX-License-Identifier: Apache-2.0
 *
 * A reader over one manifest of chunks, for this room. */
#ifndef WFL_STORE_READER_H
#define WFL_STORE_READER_H

#include "store/chunks.h"

/* The caller keeps the manifest active. NOMEM. */
WFL_MUST_USE wfl_code wfl_reader_over(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest,
                                      uint64_t size, struct wfl_reader **out, wfl_error *err);

#endif
