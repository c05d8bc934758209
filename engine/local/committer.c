/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread that writes. It takes all commits that are waiting, lets each judge and write into
 * one batch, seals the batch, writes it to the log with one fsync, and tells everyone; the next
 * group gathers meanwhile. So there are no locks on records and nothing to retry, order is the
 * order of the batch, and under load an fsync is shared by as many as wait for it.
 *
 * Failure: a commit whose apply fails loses only its own writes (savepoint). A group whose write
 * fails is not stored, all its members are told, and the engine takes no more writes: after a
 * failed fsync nobody knows what the disk holds. Lack of room is the exception, it ends by itself.
 */
#include "engine/local/local_private.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define YIELDS_MAX 4

static struct local_txn *txn_of(struct wfl_txn *t)
{
    return (struct local_txn *)(void *)t;
}

static void release_copy(struct wfl_pin *pin)
{
    rocksdb_free(pin->handle);
}

static wfl_code txn_get(struct wfl_txn *t, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                        wfl_error *err)
{
    struct local *l = txn_of(t)->local;
    char         *text = NULL;
    size_t        len = 0;
    char         *value = rocksdb_writebatch_wi_get_from_batch_and_db_cf(
                l->batch, l->db, l->read_disk, l->spaces[space], (const char *)key.data, key.len, &len,
                &text);

    if (text != NULL) return wfl_local_fail(text, "read for commit", err);
    if (value == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such record");
    *pin = (struct wfl_pin){
        .value = wfl_slice_of(value, len), .release = release_copy, .handle = value};
    return WFL_OK;
}

#define PARTS_MAX 8 /* more are rare, and joined first */

static wfl_code put_joined(struct local *l, enum wfl_space space, wfl_slice key,
                           const wfl_slice *parts, size_t part_count, wfl_error *err)
{
    wfl_buf  joined;
    wfl_code rc = WFL_OK;

    wfl_buf_init(&joined, l->alloc, SIZE_MAX / 2);
    for (size_t i = 0; i < part_count; i++)
        wfl_buf_add(&joined, parts[i]);
    if (wfl_buf_ok(&joined)) {
        rocksdb_writebatch_wi_put_cf(l->batch, l->spaces[space], (const char *)key.data, key.len,
                                     (const char *)joined.data, joined.len);
    } else {
        rc = wfl_fail(err, WFL_NOMEM, "a record of %zu parts: out of memory", part_count);
    }
    wfl_buf_fini(&joined);
    return rc;
}

static wfl_code txn_put(struct wfl_txn *t, enum wfl_space space, wfl_slice key,
                        const wfl_slice *parts, size_t part_count, wfl_error *err)
{
    struct local *l = txn_of(t)->local;
    const char   *key_data = (const char *)key.data, *data[PARTS_MAX];
    size_t        lens[PARTS_MAX];

    txn_of(t)->wrote = true;
    if (part_count > PARTS_MAX) return put_joined(l, space, key, parts, part_count, err);
    for (size_t i = 0; i < part_count; i++) {
        data[i] = (const char *)parts[i].data;
        lens[i] = parts[i].len;
    }
    rocksdb_writebatch_wi_putv_cf(l->batch, l->spaces[space], 1, &key_data, &key.len,
                                  (int)part_count, data, lens);
    return WFL_OK;
}

static wfl_code txn_remove(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_error *err)
{
    struct local *l = txn_of(t)->local;

    (void)err;
    rocksdb_writebatch_wi_delete_cf(l->batch, l->spaces[space], (const char *)key.data, key.len);
    txn_of(t)->wrote = true;
    return WFL_OK;
}

static wfl_code txn_blob_keep(struct wfl_txn *t, wfl_slice name, const struct wfl_blob_place *place,
                              wfl_error *err)
{
    txn_of(t)->wrote = true;
    return wfl_blob_txn_keep(txn_of(t)->local, name, place, err);
}

static wfl_code txn_blob_drop(struct wfl_txn *t, wfl_slice name, wfl_error *err)
{
    txn_of(t)->wrote = true;
    return wfl_blob_txn_drop(txn_of(t)->local, name, err);
}

static const struct wfl_txn_ops txn_ops = {.get = txn_get,
                                           .put = txn_put,
                                           .remove = txn_remove,
                                           .blob_keep = txn_blob_keep,
                                           .blob_drop = txn_blob_drop};

/* ---- the queue */

wfl_code wfl_local_commit(struct wfl_engine *e, struct wfl_commit *c)
{
    struct local *l = (struct local *)(void *)e;
    wfl_code      rc = WFL_PENDING;
    bool          wake = false;

    wfl_company_note(&l->company, c->flow, wfl_clock_mono_ns(&wfl_clock_system));
    if (l->read_only) {
        c->rc =
            wfl_fail(&c->err, WFL_READ_ONLY, "the store takes no writes: %s", l->read_only_reason);
        return c->rc;
    }
    wfl_mutex_lock(&l->lock);
    if (l->stopping) {
        rc = wfl_fail(&c->err, WFL_CLOSED, "the store is closing");
    } else if (!wfl_commit_queue_push(&l->queue, c)) {
        rc = wfl_fail(&c->err, WFL_OVERLOADED, "too many writes are waiting");
    } else {
        wake = l->queue.count == 1;
    }
    wfl_mutex_unlock(&l->lock);
    if (rc != WFL_PENDING) c->rc = rc; /* else it may be done and gone */
    /* Not under the lock: the committer may run at once in this thread's place. It is there as long
     * as callers are. */
    if (wake) pthread_cond_signal(&l->wake);
    return rc;
}

/* Where the processors are busy the next group would take the few commits that were ready by now,
 * and leave those that a reactor is about to bring to a group and an fsync of their own. So they
 * are let go first, as long as they bring more. Where a processor is free this comes back at once.
 */
static void let_others_bring_more(struct local *l)
{
    uint64_t before = 0, now = 0;

    if (wfl_local_has_company(l)) return; /* groups are to be short then */
    for (int i = 0; i <= YIELDS_MAX; i++) {
        wfl_mutex_lock(&l->lock);
        now = l->queue.count;
        wfl_mutex_unlock(&l->lock);
        if (now == before || i == YIELDS_MAX) return;
        before = now;
        sched_yield();
    }
}

/* What is waiting, up to a group's bounds; NULL: stopping and nothing left. */
static struct wfl_commit *take_group(struct local *l)
{
    struct wfl_commit *first;

    wfl_mutex_lock(&l->lock);
    while (l->queue.count == 0 && !l->stopping)
        wfl_mutex_wait(&l->lock, &l->wake);
    first = wfl_commit_queue_take(&l->queue, l->group_bytes_max, wfl_local_has_company(l));
    /* The rewriter commits from the open on: one group must not see them come. */
    l->group_hooks = l->hooks;
    l->in_group = first != NULL;
    wfl_mutex_unlock(&l->lock);
    return first;
}

/* ---- a group */

void wfl_local_become_read_only(struct local *l, const wfl_error *err)
{
    if (atomic_exchange(&l->read_only_claimed, true)) return;
    memcpy(l->read_only_reason, err->message, sizeof l->read_only_reason - 1);
    l->read_only = true;
}

struct group_sum {
    uint64_t applied; /* commits that want their writes kept */
    bool     noted;   /* a refused one wants something kept all the same */
    bool     sync;
    bool     wrote;
};

/* What was written since the last savepoint. */
static void undo(struct local *l, struct local_txn *txn, size_t mark)
{
    char *text = NULL;

    if (!txn->wrote) return;
    rocksdb_writebatch_wi_rollback_to_save_point(l->batch, &text);
    if (text != NULL) abort(); /* a savepoint was just set: cannot be */
    wfl_blob_group_undo(l, mark);
}

static void note_refusal(struct local *l, struct local_txn *txn, struct wfl_commit *c,
                         struct group_sum *sum)
{
    size_t    mark = l->segments.change_count;
    wfl_error err = {.code = WFL_OK};
    wfl_code  rc;

    if (c->refused == NULL) return;
    rocksdb_writebatch_wi_set_save_point(l->batch);
    txn->wrote = false;
    rc = c->refused(c, &txn->base, &err);
    if (rc == WFL_OK) {
        c->own.noted = txn->wrote;
        sum->noted |= txn->wrote;
        sum->wrote |= txn->wrote;
        return;
    }
    undo(l, txn, mark);
    c->rc = rc;
    c->err = err;
}

static struct group_sum apply_all(struct local *l, struct local_txn *txn, struct wfl_commit *first)
{
    struct group_sum sum = {0};

    for (struct wfl_commit *c = first; c != NULL; c = c->own.next) {
        size_t mark = l->segments.change_count;

        c->own.noted = false;
        if (l->read_only) {
            c->rc = wfl_fail(&c->err, WFL_READ_ONLY, "the store takes no writes: %s",
                             l->read_only_reason);
            continue;
        }
        if (c->grows && wfl_room_is_short(l)) {
            c->rc = wfl_fail(&c->err, WFL_DISK_FULL, "less room than the reserve");
            continue;
        }
        rocksdb_writebatch_wi_set_save_point(l->batch);
        txn->wrote = false;
        c->rc = c->apply(c, &txn->base, &c->err);
        if (c->rc == WFL_OK) {
            sum.applied++;
            sum.wrote |= txn->wrote;
            sum.sync |= c->durability == WFL_DURABLE;
        } else {
            undo(l, txn, mark);
            note_refusal(l, txn, c, &sum);
        }
    }
    return sum;
}

static wfl_code write_failed(struct local *l, char *text, wfl_error *err)
{
    wfl_code rc = wfl_local_fail(text, "write of a group", err);

    if (rc != WFL_DISK_FULL) wfl_local_become_read_only(l, err);
    return rc;
}

static wfl_code write_group(struct local *l, struct local_txn *txn, const struct group_sum *sum,
                            wfl_error *err)
{
    char    *text = NULL;
    wfl_code rc = WFL_OK;

    if (l->group_hooks.seal != NULL) rc = l->group_hooks.seal(l->group_hooks.ctx, &txn->base, err);
    if (rc != WFL_OK) return rc;
    wfl_blob_group_fold(l);
    rocksdb_write_writebatch_wi(l->db, sum->sync ? l->write_synced : l->write_buffered, l->batch,
                                &text);
    if (text != NULL) return write_failed(l, text, err);
    l->unsynced = !sum->sync;
    l->groups++;
    l->syncs += sum->sync;
    return WFL_OK;
}

/* A durable commit that had nothing to write may rest on buffered ones that it has seen (the answer
 * to a repeated request): then those must be on the disk before it is acknowledged. */
static wfl_code sync_earlier(struct local *l, wfl_error *err)
{
    char *text = NULL;

    rocksdb_flush_wal(l->db, 1, &text);
    if (text != NULL) return write_failed(l, text, err);
    l->unsynced = false;
    l->syncs++;
    return WFL_OK;
}

static void run_group(struct local *l, struct wfl_commit *first)
{
    struct local_txn txn = {.base = {.ops = &txn_ops}, .local = l};
    wfl_error        err = {.code = WFL_OK};
    struct group_sum sum;
    wfl_code         rc = WFL_OK;

    rocksdb_writebatch_wi_clear(l->batch);
    sum = apply_all(l, &txn, first);
    if (sum.applied > 0 || sum.noted) {
        if (sum.wrote) {
            rc = write_group(l, &txn, &sum, &err);
        } else if (sum.sync && l->unsynced) {
            rc = sync_earlier(l, &err);
        }
        if (rc == WFL_OK) l->commits += sum.applied;
        wfl_blob_group_settle(l, rc == WFL_OK);
        if (l->group_hooks.settled != NULL) l->group_hooks.settled(l->group_hooks.ctx, rc);
    }
    for (struct wfl_commit *c = first, *next; c != NULL; c = next) {
        next = c->own.next; /* done may free c */
        if ((c->rc == WFL_OK || c->own.noted) && rc != WFL_OK) {
            c->rc = rc;
            c->err = err;
        }
        c->done(c);
    }
    wfl_mutex_lock(&l->lock);
    l->in_group = false;
    pthread_cond_broadcast(&l->group_end);
    wfl_mutex_unlock(&l->lock);
}

static void *committer_run(void *arg)
{
    struct local      *l = arg;
    struct wfl_commit *first;

    wfl_thread_introduce("wfl-commit", 0);
    wfl_thread_be_prompt();
    while ((first = take_group(l)) != NULL) {
        run_group(l, first);
        let_others_bring_more(l);
    }
    return NULL;
}

wfl_code wfl_local_committer_start(struct local *l, wfl_error *err)
{
    l->batch = rocksdb_writebatch_wi_create(1u << 20, 1);
    if (!wfl_thread_start(&l->committer, committer_run, l)) {
        return wfl_fail(err, WFL_IO, "committer: no thread could be started");
    }
    l->committer_started = true;
    return WFL_OK;
}

void wfl_local_committer_stop(struct local *l)
{
    if (l->committer_started) {
        wfl_mutex_lock(&l->lock);
        l->stopping = true;
        pthread_cond_signal(&l->wake);
        wfl_mutex_unlock(&l->lock);
        pthread_join(l->committer, NULL);
        l->committer_started = false;
    }
    if (l->batch != NULL) rocksdb_writebatch_wi_destroy(l->batch);
    l->batch = NULL;
}
