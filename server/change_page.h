/* SPDX-License-Identifier: Apache-2.0
 *
 * A page of changes and its text: each row is put into JSON once, where the page is read, and then
 * copied to whoever wants it, in one of its shapes. */
#ifndef WFL_SERVER_CHANGE_PAGE_H
#define WFL_SERVER_CHANGE_PAGE_H

#include "store/store.h"

enum change_format {
    CHANGE_PAGE,   /* {"changes":[...],"next":"..."} */
    CHANGE_WIRE,   /* the same in FlatBuffers */
    CHANGE_EVENTS, /* text/event-stream */
    CHANGE_LINES,  /* application/x-ndjson */
};
static inline bool change_format_is_page(enum change_format format)
{
    return format == CHANGE_PAGE || format == CHANGE_WIRE;
}

struct change_page {              /* zero holds nothing */
    bool               rows_only; /* no text is needed: it is all for CHANGE_WIRE */
    struct wfl_changes read;      /* the question, set by the caller; then its rows */
    wfl_code           rc;        /* of the reading */
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
/* Rows of the page that are wanted. */
uint32_t change_page_count(const struct change_page *p, const struct change_wanted *w);
/* Their text behind what `out` has (CHANGE_WIRE: nothing). `*last`: of them, untouched where there
 * is none. `*next`: the position to go on from. */
uint32_t change_page_write(const struct change_page *p, const struct change_wanted *w,
                           enum change_format format, wfl_buf *out, wfl_ulid *last, wfl_ulid *next);
/* A page without rows. */
void change_page_write_empty(const wfl_ulid *next, enum change_format format, wfl_buf *out);

#endif
