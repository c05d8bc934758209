/* SPDX-License-Identifier: Apache-2.0
 *
 * Object headers of a request, judged and put into the store's terms. */
#ifndef WFL_SERVER_HEADERS_H
#define WFL_SERVER_HEADERS_H

#include "net/net.h"
#include "store/store.h"

/* Content-Type, X-WflDB-Meta-*, X-WflDB-Tag-* into a put; pairs are sorted and lie in `arena`.
 * INVALID_HEADER, NOMEM. */
WFL_MUST_USE wfl_code headers_read_object(const struct wfl_request *head, wfl_arena *arena,
                                          struct wfl_put *put, wfl_error *err);
/* If-Match and If-None-Match; kind NONE where absent. INVALID_HEADER, NOMEM. */
WFL_MUST_USE wfl_code headers_read_conditions(const struct wfl_request *head, wfl_arena *arena,
                                              struct wfl_condition *match,
                                              struct wfl_condition *none_match, wfl_error *err);

/* One pair of metadata or tags, and a content type, from wherever they come. INVALID_HEADER. */
WFL_MUST_USE wfl_code headers_check_pair(wfl_slice name, wfl_slice value, bool tag, wfl_error *err);
WFL_MUST_USE wfl_code headers_check_content_type(wfl_slice value, wfl_error *err);

#endif
