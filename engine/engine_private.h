/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two engines share: the table behind engine.h, the fair pool, and the filling of pages.
 */
#ifndef WFL_ENGINE_PRIVATE_H
#define WFL_ENGINE_PRIVATE_H

#include "engine/engine.h"

#include <stdatomic.h>

struct wfl_engine_ops {
    wfl_code (*get)(struct wfl_engine *e, struct wfl_engine_get *get);
    wfl_code (*range)(struct wfl_engine *e, struct wfl_engine_range *range);
    wfl_code (*range_now)(struct wfl_engine *e, struct wfl_engine_range *range);
    wfl_code (*view_open)(struct wfl_engine *e, struct wfl_view **out, wfl_error *err);
    void (*view_close)(struct wfl_view *v);
    wfl_code (*iter_open)(struct wfl_view *v, enum wfl_space space, wfl_slice to,
                          struct wfl_iter **out, wfl_error *err);
    wfl_code (*work)(struct wfl_engine *e, struct wfl_engine_work *work);
    wfl_code (*read)(struct wfl_engine *e, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                     wfl_error *err);
    wfl_code (*blob_write)(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                           const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err);
    wfl_code (*blob_sync)(struct wfl_engine *e, const struct wfl_blob_place *places, size_t count,
                          wfl_error *err);
    void (*blob_abandon)(struct wfl_engine *e, const struct wfl_blob_place *place);
    wfl_code (*blob_open)(struct wfl_engine *e, wfl_slice name, bool always, struct wfl_blob *out,
                          wfl_error *err);
    wfl_code (*blob_walk)(struct wfl_engine *e, struct wfl_blob_walk *walk, wfl_error *err);
    wfl_code (*blob_recount)(struct wfl_engine *e, wfl_error *err);
    wfl_code (*commit)(struct wfl_engine *e, struct wfl_commit *c);
    void (*set_hooks)(struct wfl_engine *e, const struct wfl_group_hooks *hooks);
    void (*stats)(struct wfl_engine *e, struct wfl_engine_stats *out);
    wfl_code (*checkpoint)(struct wfl_engine *e, const char *path, wfl_error *err);
    void (*stop)(struct wfl_engine *e);
    void (*close)(struct wfl_engine *e);
};

struct wfl_engine { /* first member of each engine */
    const struct wfl_engine_ops *ops;
};

struct wfl_view { /* first member of each engine's */
    struct wfl_engine *engine;
};

struct wfl_cursor_ops;
struct wfl_iter { /* first member of each engine's */
    const struct wfl_cursor_ops *ops;
    void                        *at; /* what ops take */
    wfl_slice                    to;
    void (*close)(struct wfl_iter *it);
};

struct wfl_txn_ops {
    wfl_code (*get)(struct wfl_txn *t, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                    wfl_error *err);
    wfl_code (*put)(struct wfl_txn *t, enum wfl_space space, wfl_slice key, const wfl_slice *parts,
                    size_t part_count, wfl_error *err);
    wfl_code (*remove)(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_error *err);
    wfl_code (*blob_keep)(struct wfl_txn *t, wfl_slice name, const struct wfl_blob_place *place,
                          wfl_error *err);
    wfl_code (*blob_drop)(struct wfl_txn *t, wfl_slice name, wfl_error *err);
};

struct wfl_txn { /* first member of each engine's */
    const struct wfl_txn_ops *ops;
};

struct wfl_blob_handle { /* what wfl_blob.handle points to */
    void (*close)(struct wfl_blob_handle *handle);
};

extern const char *const wfl_space_names[WFL_SPACE_COUNT];

/* ---- company (company.c): have several flows been at work within the last second?
 *
 * Who is alone may have all there is. Who is not gives way: a small request that comes from another
 * flow should not find that a long piece of work has just begun everywhere. */

struct wfl_company { /* all zero at first */
    _Atomic uint64_t flow;
    _Atomic int64_t  until_ns;
};
/* Any thread. Flow 0 is the system's, and nobody's company. Times are monotonic. */
void wfl_company_note(struct wfl_company *c, uint64_t flow, int64_t now_ns);
bool wfl_company_is_here(const struct wfl_company *c, int64_t now_ns);

/* ---- the fair pool (pool.c) */

struct wfl_pool;

/* `queue_max` jobs at the most wait. While there is company (NULL: never) a flow has no more than
 * `computing_max` jobs that compute under way, and rests after each. NOMEM, IO (no thread). */
WFL_MUST_USE wfl_code wfl_pool_new(uint32_t threads, uint32_t queue_max,
                                   const struct wfl_company *company, uint32_t computing_max,
                                   const struct wfl_alloc *alloc, struct wfl_pool **out,
                                   wfl_error *err);
/* Runs what is queued and ends the threads; a submit from now on is CLOSED. Again is no error. */
void wfl_pool_stop(struct wfl_pool *p);
/* Stops it too. NULL is accepted. */
void wfl_pool_free(struct wfl_pool *p);
/* Any thread. PENDING, OVERLOADED or CLOSED. Sets nothing in the job but its links. */
WFL_MUST_USE wfl_code wfl_pool_submit(struct wfl_pool *p, struct wfl_job *job);
uint64_t              wfl_pool_queued(struct wfl_pool *p);

/* ---- pages (page.c) */

/* A position among ordered pairs. Key and value live until the next step. */
struct wfl_cursor_ops {
    void (*seek)(void *at, wfl_slice key);      /* first key >= */
    void (*seek_last)(void *at, wfl_slice key); /* last key <=; an empty key: the very last */
    void (*step)(void *at, bool back);
    bool (*valid)(void *at);
    void (*read)(void *at, wfl_slice *key, wfl_slice *value); /* only where valid */
    wfl_code (*status)(void *at, wfl_error *err);             /* OK, or why it is not valid */
};
/* Fill range->pairs by walking `at`. Returns the code for range->rc. */
WFL_MUST_USE wfl_code wfl_page_fill(struct wfl_engine_range     *range,
                                    const struct wfl_cursor_ops *ops, void *at,
                                    const struct wfl_alloc *alloc);

#endif
