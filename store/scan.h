/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the listing share: scan.c walks the steps, scan_page.c knows what a page is. */
#ifndef WFL_STORE_SCAN_H
#define WFL_STORE_SCAN_H

#include "store/internal.h"

enum scan_step {
    SCAN_RANGE,  /* a page of records */
    SCAN_VALUE,  /* the content of one item */
    SCAN_HEADER, /* the record of one item again: its content was gone */
};

struct scan_slot {            /* beside each item */
    uint32_t       pair;      /* the pair it came from */
    bool           in_values; /* its content is a row of VALUES */
    bool           gone;      /* deleted since the page was read */
    struct wfl_pin header;    /* of the record, where it was read again */
    struct wfl_pin value;
};

struct scan_key {
    uint8_t data[WFL_OBJECT_KEY_MAX + 1]; /* one more for the 0 behind an excluded bound */
    size_t  len;
};

struct scan {
    struct wfl_store          *store;
    struct wfl_scan           *op;
    uint32_t                   id;
    struct wfl_bucket_settings settings;
    uint64_t                   now_ms;
    wfl_arena                  arena;
    struct wfl_cursor          here; /* how far the listing is; `last` empty: at its beginning */
    uint8_t                    scratch[WFL_CURSOR_TEXT_MAX]; /* holds the cursor's `last` */
    struct scan_key            from;                         /* inclusive */
    struct scan_key            to;                           /* exclusive; empty: the space's end */
    struct wfl_engine_range    range;
    struct wfl_engine_get      get;
    struct wfl_engine_work     work;   /* of a listing of the past */
    wfl_ulid                   moment; /* ... and of which */
    uint8_t                    value_key[WFL_VALUE_KEY_LEN];
    enum scan_step             step;
    struct scan_slot          *slots;
    uint32_t                   slot_count; /* stays when items are cut off: all may hold pins */
    uint32_t                   at;         /* the item whose content is due */
    unsigned                   attempts;   /* at it */
    unsigned                   rounds;     /* pages whose keys all went while it was read */
    uint64_t                   value_bytes;
    bool                       cut; /* the page ends at item `at`: enough content */
};

/* INVALID_QUERY where a member is out of its range, or the cursor is not of this question. Sets
 * `here`, `from` and `to`. */
WFL_MUST_USE wfl_code scan_prepare(struct scan *s, wfl_ulid now);
/* Bounds of what is left after `here`. False: nothing can be. */
bool scan_set_bounds(struct scan *s);
/* Items and prefixes from the range's pairs. */
WFL_MUST_USE wfl_code scan_take_page(struct scan *s);
/* The item `at` from a record; the record's bytes stay pinned. */
WFL_MUST_USE wfl_code scan_take_record(struct scan *s, wfl_slice record, wfl_slice key);
/* One more content is in the page, of item `at`; may cut it there. */
void scan_count_value(struct scan *s, size_t len);
/* Take out what is gone or cut off, and say where to go on. `*again`: the page came out empty and
 * the next one is to be read in its place. */
WFL_MUST_USE wfl_code scan_finish_page(struct scan *s, bool *again);
WFL_MUST_USE wfl_code scan_write_cursor(struct scan *s);
/* A page as of a moment (scan_at.c). Blocks. */
WFL_MUST_USE wfl_code scan_at_moment(struct scan *s, const wfl_ulid *moment);
/* Release what the page pinned. */
void scan_drop_page(struct scan *s);

#endif
