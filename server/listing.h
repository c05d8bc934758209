/* SPDX-License-Identifier: Apache-2.0
 *
 * What scan and query have in common: parameters that mean the same in both, and pages that look
 * the same. */
#ifndef WFL_SERVER_LISTING_H
#define WFL_SERVER_LISTING_H

#include "server/target.h"

#define LISTING_LIMIT_DEFAULT 100
#define LISTING_BYTES_MAX     (64u << 20) /* of a page's JSON */

struct listing_include {
    bool meta, tags, value;
};

/* INVALID_QUERY, each. A parameter that is not given is legal. */
WFL_MUST_USE wfl_code listing_check_key_bytes(const struct wfl_param *p, wfl_error *err);
WFL_MUST_USE wfl_code listing_read_limit(const struct wfl_param *p, uint32_t *out, wfl_error *err);
WFL_MUST_USE wfl_code listing_read_cursor(const struct wfl_param *p, wfl_slice *out,
                                          wfl_error *err);
WFL_MUST_USE wfl_code listing_read_include(const struct wfl_param *p, struct listing_include *out,
                                           wfl_error *err);

/* A page: `text` is begun and gets the items; whatever comes between; the end with its cursor
 * (empty: none). */
void listing_begin(wfl_json *json, wfl_buf *text, const struct wfl_scan_item *items, uint32_t count,
                   struct listing_include include);
void listing_end(wfl_json *json, const wfl_ulid *at, wfl_slice next);

#endif
