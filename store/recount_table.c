/* SPDX-License-Identifier: Apache-2.0
 *
 * See recount.h. Rows are added in the order of their keys, so finding is a binary search. */
#include "store/recount.h"

#include <stdlib.h>

wfl_code wfl_recount_room(struct recount *r, struct recount_table *t, wfl_error *err)
{
    uint32_t most = r->how->rows_max != 0 ? r->how->rows_max : RECOUNT_ROWS_MAX;
    uint32_t wider = t->cap == 0 ? 64 : t->cap * 2;
    void    *rows;

    if (t->count < t->cap) return WFL_OK;
    t->full = t->count == most;
    if (t->full) return wfl_fail(err, WFL_CLOSED, "the table is full");
    if (wider > most) wider = most;
    rows = wfl_alloc_resize(r->store->alloc, t->rows, wider * t->row_bytes);
    if (rows == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to count by %s", t->what);
    t->rows = rows;
    t->cap = wider;
    return WFL_OK;
}

void *wfl_recount_row(const struct recount_table *t, uint32_t i)
{
    return (uint8_t *)t->rows + i * t->row_bytes;
}

void *wfl_recount_find(const struct recount_table *t, const void *key,
                       int (*order)(const void *key, const void *row))
{
    return t->count == 0 ? NULL : bsearch(key, t->rows, t->count, t->row_bytes, order);
}
