/* SPDX-License-Identifier: Apache-2.0
 *
 * What scan and query have in common: parameters that mean the same in both, and pages that look
 * the same. */
#ifndef WFL_SERVER_LISTING_H
#define WFL_SERVER_LISTING_H

#include "server/server.h"
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

struct listing_page {
    const struct wfl_scan_item *items;
    uint32_t                    count;
    struct listing_include      include;
    bool                        has_prefixes;
    const wfl_slice            *prefixes;
    uint32_t                    prefix_count;
    wfl_ulid                    at;
    wfl_slice                   next; /* cursor; empty: it is the last */
};
/* Begins `out`. Any thread. */
void listing_write_json(const struct listing_page *page, wfl_buf *out);
/* Any thread. Writes the page into the text of the request, in the encoding that it wants. */
void listing_write(struct request *r, const struct listing_page *page);
void listing_answer(struct request *r); /* with what has been written */

#endif
