/* SPDX-License-Identifier: Apache-2.0
 *
 * Returns the room of dropped blobs. One thread of low priority, woken by drops, looks for sealed
 * segments in which no place is pinned. One without live bytes is removed. One below half live is
 * rewritten: what the index still has in it is verified and copied to the active segment, synced,
 * and a commit then moves those entries that still are where they were; so it comes to be without
 * live bytes. The least live goes first: it returns the most for the least. Each end of a process
 * seals a segment that may be small; where more than a few have gathered the smallest is moved too.
 *
 * In which order, and why a crash at any point neither loses a byte nor leaks a file beyond the
 * next open: a copy is synced before the commit that names it, so the index always names what is
 * there. A commit that moves need not be durable, as both places are good until the old file goes;
 * a copy that a crash leaves unnamed is cleared by the next open. Removal begins with a durable
 * commit that deletes the segment's row, and checks again on the committer thread that nothing is
 * live or pinned. It is behind all drops and moves in the log, so they are durable with it. Only
 * then the file loses its name: before, a crash might bring back a row that names a missing file;
 * after, it leaves a file without a row, and the next open deletes that.
 *
 * Failure: a record that fails its check is counted and stays where it is, and its segment is left
 * alone until the next open. Lack of room ends a round, which is tried again some seconds later;
 * what was copied is abandoned. A read-only engine rewrites nothing.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#define BATCH_RECORDS 64
#define BATCH_BYTES   (8u << 20)
#define SCAN_NS       1000000000  /* from one look that found nothing to the next, at least */
#define RETRY_NS      10000000000 /* after lack of room */
#define NICE          10
#define SMALL_PART    8 /* of a whole segment: what is below is small */
#define SMALL_MAX     8 /* small segments that are left as they are */

struct move {
    uint8_t               name[WFL_BLOB_NAME_MAX];
    uint32_t              name_len;
    struct wfl_blob_place from, to;
    bool                  moved;
};

/* A commit of the rewriter's: moves, or segments whose rows change. */
struct batch {
    struct wfl_commit commit;
    bool              done; /* under the rewriter's lock */
    size_t            count;
    struct move       moves[BATCH_RECORDS];
    struct segment   *segments[BATCH_RECORDS];
    bool              removable[BATCH_RECORDS];
};

struct rewriter {
    struct local  *local;
    pthread_t      thread;
    bool           started;
    wfl_mutex      lock;
    pthread_cond_t wake;    /* the thread waits */
    pthread_cond_t settled; /* others wait for the thread */
    bool           stopping, poked, busy;
    uint32_t       paused, hurried;
    int64_t        not_before_ns; /* monotonic; does not bind while hurried */
    int64_t        retry_ns;      /* 0: nothing to try again */

    /* the thread's own */
    struct segment     *source; /* being rewritten, or NULL */
    struct segment_walk walk;
    struct batch        batch;
};

static int64_t now_ns(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system);
}

/* ---- commits of its own */

static void batch_done(struct wfl_commit *c)
{
    struct rewriter *w = c->arg;

    wfl_mutex_lock(&w->lock);
    w->batch.done = true;
    pthread_cond_broadcast(&w->wake);
    wfl_mutex_unlock(&w->lock);
}

static wfl_code run_commit(struct rewriter *w, enum wfl_durability durability,
                           wfl_code (*apply)(struct wfl_commit *c, struct wfl_txn *t,
                                             wfl_error *err))
{
    struct batch *b = &w->batch;
    wfl_code      rc;

    b->done = false;
    b->commit = (struct wfl_commit){.durability = durability,
                                    .bytes = b->count * 256,
                                    .apply = apply,
                                    .done = batch_done,
                                    .arg = w};
    rc = wfl_engine_commit(&w->local->base, &b->commit);
    if (rc != WFL_PENDING) return rc;
    wfl_mutex_lock(&w->lock);
    while (!b->done)
        wfl_mutex_wait(&w->lock, &w->wake);
    wfl_mutex_unlock(&w->lock);
    return b->commit.rc;
}

static struct local *local_of_txn(struct wfl_txn *t)
{
    struct local_txn *txn = (struct local_txn *)(void *)t;

    txn->wrote = true;
    return txn->local;
}

/* ---- rows that do not yet say that their segment is sealed */

static wfl_code apply_seals(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct rewriter *w = c->arg;
    wfl_code         rc = WFL_OK;

    for (size_t i = 0; i < w->batch.count && rc == WFL_OK; i++)
        rc = wfl_blob_txn_seal(local_of_txn(t), w->batch.segments[i], err);
    return rc;
}

static bool wants_seal(const struct segment *s)
{
    return !s->active && !s->seal_noted && s->kept_end > 0;
}

static bool is_empty(const struct segment *s)
{
    return !s->active && s->pins == 0 && s->live == 0;
}

static size_t choose(struct rewriter *w, bool (*wanted)(const struct segment *s))
{
    struct segments *g = &w->local->segments;
    struct batch    *b = &w->batch;

    b->count = 0;
    wfl_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->count && b->count < BATCH_RECORDS; i++) {
        if (wanted(g->list[i]) && !g->list[i]->left_alone) b->segments[b->count++] = g->list[i];
    }
    wfl_mutex_unlock(&g->lock);
    return b->count;
}

static bool note_seals(struct rewriter *w)
{
    return choose(w, wants_seal) > 0 && run_commit(w, WFL_BUFFERED, apply_seals) == WFL_OK;
}

/* ---- removal */

static wfl_code apply_removals(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct rewriter *w = c->arg;
    struct local    *l = local_of_txn(t);

    (void)err;
    for (size_t i = 0; i < w->batch.count; i++) {
        struct segment *s = w->batch.segments[i];

        /* A keep of this group, which live does not have yet, still has its pin. */
        wfl_mutex_lock(&l->segments.lock);
        w->batch.removable[i] = is_empty(s);
        wfl_mutex_unlock(&l->segments.lock);
        if (w->batch.removable[i]) wfl_blob_txn_remove(l, s);
    }
    return WFL_OK;
}

/* The file is held open first: who has found the segment in the table meanwhile reads on. */
static void remove_file(struct local *l, struct segment *s)
{
    char            name[SEGMENT_FILE_NAME];
    wfl_error       err;
    struct segment *held;

    assert(s != NULL);
    held = wfl_segment_get(l, s->name.id, &err);
    s->left_alone = held == NULL; /* the next open finds it without a row */
    if (held == NULL) return;
    wfl_mutex_lock(&l->segments.lock);
    wfl_segments_take_out_locked(l, s);
    wfl_mutex_unlock(&l->segments.lock);
    wfl_segment_file_name(s->name.id, name);
    unlinkat(l->segments.folder, name, 0);
    wfl_segment_put(held);
}

static bool remove_empty(struct rewriter *w)
{
    bool any = false;

    if (choose(w, is_empty) == 0) return false;
    if (run_commit(w, WFL_DURABLE, apply_removals) != WFL_OK) return false;
    for (size_t i = 0; i < w->batch.count; i++) {
        if (!w->batch.removable[i]) continue;
        if (w->source == w->batch.segments[i]) w->source = NULL;
        remove_file(w->local, w->batch.segments[i]);
        any = true;
    }
    wfl_segments_free_gone(w->local);
    return any;
}

/* ---- moving what lives */

static uint32_t data_bytes(const struct segment *s)
{
    return s->tail - SEGMENT_BLOCK;
}

static bool is_worth_it(const struct segment *s)
{
    return !s->active && s->pins == 0 && !s->left_alone && s->live > 0 &&
           s->live < data_bytes(s) / 2;
}

static bool is_small(const struct local *l, const struct segment *s)
{
    return !s->active && s->pins == 0 && !s->left_alone && s->live > 0 &&
           data_bytes(s) < l->segments.segment_bytes / SMALL_PART;
}

static struct segment *least_live(struct local *l)
{
    struct segments *g = &l->segments;
    struct segment  *best = NULL, *smallest = NULL;
    size_t           small = 0;

    wfl_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->count; i++) {
        struct segment *s = g->list[i];

        if (is_small(l, s)) {
            small++;
            if (smallest == NULL || s->live < smallest->live) smallest = s;
        }
        if (is_worth_it(s) &&
            (best == NULL || s->live * data_bytes(best) < best->live * data_bytes(s))) {
            best = s;
        }
    }
    wfl_mutex_unlock(&g->lock);
    return best == NULL && small > SMALL_MAX ? smallest : best;
}

static wfl_code apply_moves(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct rewriter *w = c->arg;
    wfl_code         rc = WFL_OK;

    for (size_t i = 0; i < w->batch.count && rc == WFL_OK; i++) {
        struct move *m = &w->batch.moves[i];

        rc = wfl_blob_txn_move(local_of_txn(t), wfl_slice_of(m->name, m->name_len), &m->from,
                               &m->to, &m->moved, err);
    }
    return rc;
}

/* OK: copied, or no longer named here (then nothing was added to the batch). */
static wfl_code copy_record(struct rewriter *w, const struct segment_record *record,
                            uint8_t *scratch, wfl_error *err)
{
    struct local *l = w->local;
    struct move  *m = &w->batch.moves[w->batch.count];
    wfl_slice     name = wfl_slice_of(record->name, record->name_len);
    wfl_hash      hash;
    wfl_code      rc = wfl_blob_find(l, name, &m->from, err);

    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    if (m->from.segment != w->source->name.id || m->from.offset != record->offset) return WFL_OK;
    rc = wfl_blob_verify(w->source, name, &m->from, scratch, &hash, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_blob_write_record(l, name, wfl_slice_of(scratch + RECORD_HEADER_LEN, m->from.len),
                               &hash, &m->to, err);
    if (rc != WFL_OK) return rc;
    memcpy(m->name, record->name, record->name_len);
    m->name_len = record->name_len;
    m->moved = false;
    w->batch.count++;
    return WFL_OK;
}

static wfl_code copy_batch(struct rewriter *w, uint8_t *scratch, bool *ended, wfl_error *err)
{
    struct segment_record record;
    uint64_t              bytes = 0;
    wfl_code              rc = WFL_OK;

    w->batch.count = 0;
    while (rc == WFL_OK && w->batch.count < BATCH_RECORDS && bytes < BATCH_BYTES) {
        size_t before = w->batch.count;

        *ended = !wfl_segment_walk_next(&w->walk, &record);
        if (*ended) return WFL_OK;
        rc = copy_record(w, &record, scratch, err);
        if (w->batch.count > before) bytes += wfl_blob_record_extent(record.len);
    }
    return rc;
}

static wfl_code move_batch(struct rewriter *w, uint64_t *bytes, wfl_error *err)
{
    struct local         *l = w->local;
    struct wfl_blob_place places[BATCH_RECORDS];
    wfl_code              rc;

    for (size_t i = 0; i < w->batch.count; i++)
        places[i] = w->batch.moves[i].to;
    rc = wfl_local_blob_sync(&l->base, places, w->batch.count, err);
    if (rc == WFL_OK) rc = run_commit(w, WFL_BUFFERED, apply_moves);
    for (size_t i = 0; i < w->batch.count; i++) {
        struct move *m = &w->batch.moves[i];

        *bytes += wfl_blob_record_extent(m->to.len);
        if (rc == WFL_OK && m->moved) {
            l->segments.rewritten += wfl_blob_record_extent(m->to.len);
        } else {
            wfl_local_blob_abandon(&l->base, &m->to);
        }
    }
    return rc;
}

static void pace(struct rewriter *w, uint64_t bytes)
{
    int64_t now = now_ns();

    wfl_mutex_lock(&w->lock);
    if (w->not_before_ns < now) w->not_before_ns = now;
    w->not_before_ns += (int64_t)((double)bytes * 1000000000.0 /
                                  (double)w->local->segments.rewrite_bytes_per_second);
    wfl_mutex_unlock(&w->lock);
}

static void try_again_later(struct rewriter *w)
{
    wfl_mutex_lock(&w->lock);
    w->retry_ns = now_ns() + RETRY_NS;
    wfl_mutex_unlock(&w->lock);
}

/* One batch of the held source. False: nothing more is to be done with it for now. */
static bool rewrite_batch(struct rewriter *w)
{
    uint8_t  *scratch = wfl_scratch_get(w->local);
    wfl_error err = {.code = WFL_NOMEM};
    uint64_t  bytes = 0;
    bool      ended = false;
    wfl_code  rc = scratch == NULL ? WFL_NOMEM : copy_batch(w, scratch, &ended, &err),
             moved = WFL_OK;

    if (scratch != NULL && w->batch.count > 0) moved = move_batch(w, &bytes, &err);
    wfl_scratch_put(w->local, scratch);
    pace(w, bytes);
    if (rc == WFL_CORRUPT_OBJECT || rc == WFL_IO) {
        w->source->left_alone = true;
        return false;
    }
    if (rc != WFL_OK || moved != WFL_OK) {
        try_again_later(w);
        return false;
    }
    /* What lives and was not met has a damaged header. */
    if (ended && w->source->live > 0) w->source->left_alone = true;
    return !ended;
}

static bool rewrite_some(struct rewriter *w)
{
    struct segment *held;
    wfl_error       err;
    bool            more;

    if (w->source == NULL) {
        w->source = least_live(w->local);
        w->walk.at = 0;
    }
    if (w->source == NULL) return false;
    held = wfl_segment_get(w->local, w->source->name.id, &err);
    if (held == NULL) {
        w->source->left_alone = true;
        w->source = NULL;
        return true;
    }
    if (w->walk.at == 0 && wfl_segment_walk_file(held, &w->walk, &err) != WFL_OK)
        held->left_alone = true;
    more = !held->left_alone && rewrite_batch(w);
    wfl_segment_put(held);
    if (!more) w->source = NULL;
    return more || held->live == 0 || held->left_alone;
}

/* ---- the thread */

/* One bounded piece of work. False: there was none. */
static bool step(struct rewriter *w)
{
    wfl_segments_free_gone(w->local);
    if (w->local->read_only) return false;
    return note_seals(w) || remove_empty(w) || rewrite_some(w);
}

/* Monotonic time from which on there is something to do; INT64_MAX: not until someone says so. */
static int64_t due_locked(const struct rewriter *w)
{
    int64_t due = INT64_MAX;

    if (w->paused > 0) return INT64_MAX;
    if (w->poked) due = w->hurried > 0 ? 0 : w->not_before_ns;
    if (w->retry_ns != 0 && w->retry_ns < due) due = w->retry_ns;
    return due;
}

static void wait_locked(struct rewriter *w, int64_t due)
{
    struct timespec until = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};

    if (due == INT64_MAX) {
        wfl_mutex_wait(&w->lock, &w->wake);
    } else {
        pthread_cond_timedwait(&w->wake, &w->lock.os, &until);
    }
}

static void *rewriter_run(void *arg)
{
    struct rewriter *w = arg;
    bool             worked;

    wfl_thread_introduce("wfl-rewrite", NICE);
    wfl_mutex_lock(&w->lock);
    while (!w->stopping) {
        int64_t due = due_locked(w);

        if (due > now_ns()) {
            wait_locked(w, due);
            continue;
        }
        w->poked = false;
        w->retry_ns = 0;
        w->busy = true;
        wfl_mutex_unlock(&w->lock);
        worked = step(w);
        wfl_mutex_lock(&w->lock);
        w->busy = false;
        if (worked) {
            w->poked = true;
        } else if (w->not_before_ns < now_ns() + SCAN_NS) {
            w->not_before_ns = now_ns() + SCAN_NS;
        }
        pthread_cond_broadcast(&w->settled);
    }
    pthread_cond_broadcast(&w->settled);
    wfl_mutex_unlock(&w->lock);
    return NULL;
}

wfl_code wfl_rewriter_start(struct local *l, wfl_error *err)
{
    struct rewriter   *w = wfl_alloc_zero(l->alloc, 1, sizeof *w);
    pthread_condattr_t monotonic;

    if (w == NULL) return wfl_fail(err, WFL_NOMEM, "rewriter: out of memory");
    w->local = l;
    w->poked = true; /* what the last run left */
    wfl_mutex_init(&w->lock, WFL_RANK_REWRITE);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &monotonic);
    pthread_cond_init(&w->settled, NULL);
    pthread_condattr_destroy(&monotonic);
    l->segments.rewriter = w;
    w->started = wfl_thread_start(&w->thread, rewriter_run, w);
    return w->started ? WFL_OK : wfl_fail(err, WFL_IO, "rewriter: no thread could be started");
}

void wfl_rewriter_stop(struct local *l)
{
    struct rewriter *w = l->segments.rewriter;

    if (w == NULL || !w->started) return;
    wfl_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->wake);
    wfl_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    w->started = false;
}

void wfl_rewriter_free(struct local *l)
{
    struct rewriter *w = l->segments.rewriter;

    if (w == NULL) return;
    assert(!w->started);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->settled);
    wfl_mutex_fini(&w->lock);
    wfl_alloc_free(l->alloc, w);
    l->segments.rewriter = NULL;
}

void wfl_rewriter_wake(struct local *l)
{
    struct rewriter *w = l->segments.rewriter;

    if (w == NULL) return;
    wfl_mutex_lock(&w->lock);
    if (!w->poked) pthread_cond_broadcast(&w->wake);
    w->poked = true;
    wfl_mutex_unlock(&w->lock);
}

void wfl_rewriter_pause(struct local *l)
{
    struct rewriter *w = l->segments.rewriter;

    wfl_mutex_lock(&w->lock);
    w->paused++;
    while (w->busy)
        wfl_mutex_wait(&w->lock, &w->settled);
    wfl_mutex_unlock(&w->lock);
}

void wfl_rewriter_resume(struct local *l)
{
    struct rewriter *w = l->segments.rewriter;

    wfl_mutex_lock(&w->lock);
    w->paused--;
    pthread_cond_broadcast(&w->wake);
    wfl_mutex_unlock(&w->lock);
}

void wfl_local_rewrite(struct wfl_engine *e)
{
    struct rewriter *w = ((struct local *)(void *)e)->segments.rewriter;

    wfl_mutex_lock(&w->lock);
    w->hurried++;
    w->poked = true;
    pthread_cond_broadcast(&w->wake);
    while ((w->poked || w->busy) && !w->stopping)
        wfl_mutex_wait(&w->lock, &w->settled);
    w->hurried--;
    wfl_mutex_unlock(&w->lock);
}
