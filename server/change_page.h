/* SPDX-License-Identifier: Apache-2.0
 *
 * A page of changes and its text: each row is put into JSON once, where the page is read, and then
 * copied to whoever wants it, in one of three shapes. */
#ifndef WFL_SERVER_CHANGE_PAGE_H
#define WFL_SERVER_CHANGE_PAGE_H

#include "store/store.h"

enum change_format {
    CHANGE_PAGE,   /* {"changes":[...],"next":"..."} */
    CHANGE_EVENTS, /* text/event-stream */
    CHANGE_LINES,  /* application/x-ndjson */
};

struct change_page {         /* zero holds nothing */
    struct wfl_changes read; /* the question, set by the caller; then its rows */
    wfl_code           rc;   /* of the reading */
    wfl_error          err;
    wfl_buf            text; /* the rows' JSON, one behind the other */
    size_t            *ends; /* where each of them ends in it */
};
/* Blocks. Sets rc. */
void change_page_load(struct wfl_store *s, struct change_page *p);
void change_page_fini(struct change_page *p);

struct change_wanted {
    wfl_slice prefix;
    wfl_ulid  after; /* rows up to this one are left out */
    uint32_t  limit;
};
bool change_page_wants(const struct change_wanted *w, const struct wfl_change *c);
/* The position to go on from behind its first `i` rows; `i` is 1 at the least where there are any.
 */
wfl_ulid change_page_next(const struct change_page *p, const struct change_wanted *w, uint32_t i);
/* Rows of the page that are wanted. */
uint32_t change_page_count(const struct change_page *p, const struct change_wanted *w);
/* Their text behind what `out` has. `*last`: of them, untouched where there is none. `*next`: the
 * position to go on from. */
uint32_t change_page_write(const struct change_page *p, const struct change_wanted *w,
                           enum change_format format, wfl_buf *out, wfl_ulid *last, wfl_ulid *next);

#endif
