/* SPDX-License-Identifier: Apache-2.0
 *
 * The collector: takes back what nobody names any more. One turn goes over
 *   uploads that nobody has touched for a week, which are aborted,
 *   manifests without an owner: the references of one page are taken back and the page's record is
 *   deleted in one commit, so a crash between two pages costs nothing,
 *   chunks left with a count of zero because they were leased.
 * What is in use is passed by; whoever leaves it wakes the collector again. Its commits are small
 * and it waits for each, so it shares the committer like one client that writes one thing at a
 * time. The walks see pages of rows that may be old by the time a row's turn comes: each kind of
 * row is read or judged anew when nobody can change it any more.
 *
 * Failure: a turn that fails (no memory, no room for the log) is tried again after a while. What is
 * damaged is passed by, and stays for the scrub to tell. */
#include <errno.h>
#include <time.h>

#include "store/history.h"

#define NICENESS        5 /* what nobody waits for goes behind requests */
#define ROWS_A_TURN     256
#define RETRY_SECONDS   1
#define REGULAR_SECONDS 3600 /* for uploads, whose end nobody announces */

struct collector {
    pthread_mutex_t lock; /* not ranked: held alone */
    pthread_cond_t  wake;
    pthread_t       thread;
    bool            stopping, wanted;
    bool            uploads_wanted; /* at the next turn they are gone over too */
    int64_t         uploads_due;    /* seconds of the monotonic clock; the thread's own */
};

/* A turn may be long; who closes the store does not wait for its end. */
static wfl_code check_stopping(struct wfl_store *s, wfl_error *err)
{
    struct collector *c = s->collector;
    bool              stopping;

    if (c == NULL) return WFL_OK;
    pthread_mutex_lock(&c->lock);
    stopping = c->stopping;
    pthread_mutex_unlock(&c->lock);
    return stopping ? wfl_fail(err, WFL_CLOSED, "the store is closing") : WFL_OK;
}

/* ---- one manifest */

struct page_drop {
    struct wfl_store    *store;
    uint32_t             id;
    const wfl_ulid      *manifest;
    uint32_t             number;
    bool                 there; /* else the manifest has ended: its trash record goes */
    struct manifest_page page;
};

static wfl_code page_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct page_drop *p = c->arg;
    uint8_t           key[WFL_MANIFEST_KEY_LEN], trash[WFL_UPLOAD_KEY_MAX];

    if (!p->there)
        return wfl_txn_delete(t, WFL_SPACE_UPLOADS,
                              wfl_key_upload(WFL_UPLOAD_TRASH, p->id, p->manifest, trash), err);
    for (uint32_t i = 0; i < p->page.count; i++) {
        wfl_hash hash;
        memcpy(hash.bytes, p->page.chunks[i].hash, sizeof hash.bytes);
        wfl_code rc = wfl_chunk_unref(p->store, t, p->id, &hash, err);
        if (rc != WFL_OK) return rc;
    }
    return wfl_txn_delete(t, WFL_SPACE_MANIFESTS,
                          wfl_key_manifest(p->id, p->manifest, p->number, key), err);
}

/* The last page first: whichever are left after a crash are those below, without a gap. */
static wfl_code find_last_page(struct wfl_store *s, struct page_drop *p, wfl_error *err)
{
    uint8_t                 from[WFL_MANIFEST_KEY_LEN], to[WFL_MANIFEST_KEY_LEN];
    struct wfl_engine_range range = {.space = WFL_SPACE_MANIFESTS, .reverse = true, .limit = 1};
    wfl_code                rc;

    range.from = wfl_key_manifest(p->id, p->manifest, 0, from);
    range.to = wfl_key_manifest(p->id, p->manifest, WFL_PAGE_OWNERS, to);
    range.flow = p->id;
    rc = wfl_wait_range(s, &range, err);
    p->there = rc == WFL_OK && range.count > 0;
    if (p->there) {
        const uint8_t *number = range.pairs[0].key.data + WFL_MANIFEST_KEY_LEN - 4;
        p->number = (uint32_t)number[0] << 24 | (uint32_t)number[1] << 16 |
                    (uint32_t)number[2] << 8 | number[3];
    }
    wfl_engine_range_free(&range);
    return rc;
}

static wfl_code collect_chunks(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest,
                               wfl_error *err)
{
    struct page_drop *p = wfl_alloc_zero(s->alloc, 1, sizeof *p);
    wfl_code          rc;

    if (p == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to collect");
    *p = (struct page_drop){.store = s, .id = id, .manifest = manifest};
    rc = find_last_page(s, p, err);
    while (rc == WFL_OK) {
        bool last = !p->there;

        if (p->there) rc = wfl_manifest_read_page(s, id, manifest, p->number, &p->page, err);
        if (rc == WFL_NOT_FOUND) { /* damage, which must not keep the pages below for ever */
            p->page.count = 0;
            rc = WFL_OK;
        }
        if (rc == WFL_OK) rc = check_stopping(s, err);
        if (rc == WFL_OK)
            rc = wfl_wait_commit(s,
                                 &(struct wait_commit){.apply = page_apply,
                                                       .arg = p,
                                                       .bytes = WFL_RECORD_PAGE_MAX * 2,
                                                       .durability = WFL_BUFFERED},
                                 err);
        if (last) break;
        p->there = p->number-- > 0;
    }
    wfl_alloc_free(s->alloc, p);
    return rc;
}

/* ---- a manifest of manifests: each becomes trash of its own */

struct parts_drop {
    struct wfl_store *store;
    uint32_t          id;
    const wfl_ulid   *manifest;
    wfl_slice         list;
    uint32_t          count;
};

static wfl_code parts_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct parts_drop *p = c->arg;
    uint8_t            key[WFL_MANIFEST_KEY_LEN], trash[WFL_UPLOAD_KEY_MAX];
    wfl_code           rc;

    for (uint32_t i = 0; i < p->count; i++) {
        struct wfl_record_extent extent;
        wfl_ulid                 manifest;

        wfl_record_parts_at(p->list.data, i, &extent);
        memcpy(manifest.bytes, extent.manifest, sizeof manifest.bytes);
        rc = wfl_manifest_to_trash(p->store, t, p->id, &manifest, WFL_RECORD_CHUNKS, err);
        if (rc != WFL_OK) return rc;
    }
    rc = wfl_txn_delete(t, WFL_SPACE_MANIFESTS,
                        wfl_key_manifest(p->id, p->manifest, WFL_PAGE_PARTS, key), err);
    if (rc != WFL_OK) return rc;
    return wfl_txn_delete(t, WFL_SPACE_UPLOADS,
                          wfl_key_upload(WFL_UPLOAD_TRASH, p->id, p->manifest, trash), err);
}

static wfl_code collect_parts(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest,
                              wfl_error *err)
{
    struct parts_drop p = {.store = s, .id = id, .manifest = manifest};
    uint8_t           key[WFL_MANIFEST_KEY_LEN];
    struct wfl_pin    pin = {0};
    wfl_code          rc = wfl_engine_read(s->engine, WFL_SPACE_MANIFESTS,
                                           wfl_key_manifest(id, manifest, WFL_PAGE_PARTS, key), &pin, err);

    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_parts_read(pin.value.data, pin.value.len, &p.count);
    p.list = pin.value;
    rc = wrong != NULL ? wfl_fail(err, WFL_CORRUPT_OBJECT, "the list of parts: %s", wrong)
                       : wfl_wait_commit(s,
                                         &(struct wait_commit){.apply = parts_apply,
                                                               .arg = &p,
                                                               .bytes = pin.value.len * 4 + 1024,
                                                               .durability = WFL_BUFFERED},
                                         err);
    wfl_pin_release(&pin);
    return rc;
}

/* ---- rows, by their kind */

struct turn {
    struct wfl_store *store;
    bool              left;    /* something is in use, or has to be tried again */
    bool              changed; /* new trash came to be: the turn goes round again */
};

/* Is it trash still? The walk's page may be old: an upload that was under way then may have named
 * the manifest since. None can any more, now that the collector is at it. NOT_FOUND. */
static wfl_code read_trash(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest,
                           enum wfl_record_storage *storage, wfl_error *err)
{
    uint8_t        key[WFL_UPLOAD_KEY_MAX];
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_engine_read(s->engine, WFL_SPACE_UPLOADS,
                                        wfl_key_upload(WFL_UPLOAD_TRASH, id, manifest, key), &pin, err);

    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_trash_read(pin.value.data, pin.value.len, storage);
    wfl_pin_release(&pin);
    return wrong == NULL ? WFL_OK : wfl_fail(err, WFL_CORRUPT_OBJECT, "record of trash: %s", wrong);
}

static wfl_code collect_manifest(struct turn *turn, uint32_t id, wfl_slice rest, wfl_slice value,
                                 wfl_error *err)
{
    enum wfl_record_storage storage = WFL_RECORD_CHUNKS;
    wfl_ulid                manifest;
    wfl_code                rc;

    (void)value;
    if (rest.len != sizeof manifest.bytes) return WFL_OK;
    memcpy(manifest.bytes, rest.data, sizeof manifest.bytes);
    if (!wfl_active_collect(turn->store, &manifest)) {
        turn->left = true;
        return WFL_OK;
    }
    rc = read_trash(turn->store, id, &manifest, &storage, err);
    if (rc == WFL_OK)
        rc = storage == WFL_RECORD_CHUNKS ? collect_chunks(turn->store, id, &manifest, err)
                                          : collect_parts(turn->store, id, &manifest, err);
    turn->changed |= rc == WFL_OK && storage == WFL_RECORD_PARTS;
    wfl_active_collected(turn->store, &manifest);
    return rc;
}

struct zero_drop {
    struct wfl_store *store;
    uint32_t          id;
    wfl_hash          hash;
    bool              held;
};

static wfl_code zero_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct zero_drop *z = c->arg;

    return wfl_chunk_drop_zero(z->store, t, z->id, &z->hash, &z->held, err);
}

static wfl_code collect_zero(struct turn *turn, uint32_t id, wfl_slice rest, wfl_slice value,
                             wfl_error *err)
{
    struct zero_drop z = {.store = turn->store, .id = id};

    (void)value;
    if (rest.len != WFL_HASH_LEN) return WFL_OK;
    memcpy(z.hash.bytes, rest.data, sizeof z.hash.bytes);
    wfl_code rc = wfl_wait_commit(turn->store,
                                  &(struct wait_commit){.apply = zero_apply,
                                                        .arg = &z,
                                                        .bytes = WFL_RECORD_SMALL_MAX,
                                                        .durability = WFL_BUFFERED},
                                  err);
    turn->left |= rc == WFL_OK && z.held;
    return rc;
}

/* A bucket that is deleted takes its uploads along. */
static wfl_code bucket_is_there(struct wfl_store *s, uint32_t id, bool *there, wfl_error *err)
{
    uint8_t        key[WFL_ID_LEN];
    struct wfl_pin pin = {0};
    wfl_code rc = wfl_engine_read(s->engine, WFL_SPACE_BUCKETS, wfl_key_bucket(id, key), &pin, err);

    wfl_pin_release(&pin);
    *there = rc == WFL_OK;
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

static wfl_code collect_upload(struct turn *turn, uint32_t id, wfl_slice rest, wfl_slice value,
                               wfl_error *err)
{
    struct wfl_record_upload_state state;
    struct wfl_store              *s = turn->store;
    uint64_t                       now_ms = wfl_clock_unix_ms(s->clock);
    uint64_t limit_ms = now_ms > s->upload_ttl_ms ? now_ms - s->upload_ttl_ms : 0;
    wfl_ulid upload;
    bool     there = false;
    wfl_code rc;

    if (rest.len != sizeof upload.bytes ||
        wfl_record_upload_state_read(value.data, value.len, &state) != NULL)
        return WFL_OK;
    memcpy(upload.bytes, rest.data, sizeof upload.bytes);
    rc = bucket_is_there(s, id, &there, err);
    if (rc != WFL_OK || (there && state.touched_ms > limit_ms)) return rc;
    return wfl_upload_remove(s, id, &upload, there ? limit_ms : UINT64_MAX, err);
}

/* Go on behind `last`. A key longer than any of ours is damage: all that begin as it does are
 * passed by. */
static wfl_slice behind(wfl_slice last, uint8_t from[WFL_UPLOAD_KEY_MAX + 1])
{
    size_t len = last.len < WFL_UPLOAD_KEY_MAX ? last.len : WFL_UPLOAD_KEY_MAX;

    memcpy(from, last.data, len);
    if (last.len > WFL_UPLOAD_KEY_MAX) return wfl_slice_of(from, wfl_key_after_prefix(from, len));
    from[len] = 0;
    return wfl_slice_of(from, len + 1);
}

/* It went while the walk came to it, or is damaged. */
static bool is_passed_by(wfl_code rc)
{
    return rc == WFL_CORRUPT_OBJECT || rc == WFL_NOT_FOUND || rc == WFL_UPLOAD_NOT_FOUND;
}

/* All rows of UPLOADS that begin with `tag`, a page at a time. Rows that come to be behind the
 * page's end during the walk are met too. What fails ends the turn, but what is damaged. */
static wfl_code walk(struct turn *turn, uint8_t tag,
                     wfl_code (*collect)(struct turn *turn, uint32_t id, wfl_slice rest,
                                         wfl_slice value, wfl_error *err),
                     wfl_error *err)
{
    uint8_t                 from[WFL_UPLOAD_KEY_MAX + 1] = {tag}, to[1] = {(uint8_t)(tag + 1)};
    struct wfl_engine_range range = {.space = WFL_SPACE_UPLOADS, .limit = ROWS_A_TURN};
    wfl_code                rc;
    wfl_error               why;

    range.from = wfl_slice_of(from, 1);
    range.to = wfl_slice_of(to, 1);
    do {
        rc = wfl_wait_range(turn->store, &range, err);
        for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++) {
            uint32_t  id;
            wfl_slice rest;

            if (!wfl_key_read_upload(range.pairs[i].key, &id, &rest)) continue;
            wfl_code row = check_stopping(turn->store, &why);
            if (row == WFL_OK) row = collect(turn, id, rest, range.pairs[i].value, &why);
            if (row == WFL_OK || is_passed_by(row)) continue;
            turn->left = true;
            rc = wfl_fail(err, row, "collecting: %s", why.message);
        }
        if (rc == WFL_OK && range.more) range.from = behind(range.pairs[range.count - 1].key, from);
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more);
    return rc;
}

/* Uploads are many and say nothing most of the time: they are gone over regularly, and not each
 * time that an object lost its content. */
static wfl_code take_turn(struct wfl_store *s, bool uploads, bool *left, wfl_error *err)
{
    struct turn turn = {.store = s};
    uint64_t    next_ms = UINT64_MAX;
    wfl_code    rc = wfl_due_run(s, &next_ms, err); /* first: it leaves trash */

    if (rc == WFL_OK && uploads) rc = walk(&turn, WFL_UPLOAD_STATE, collect_upload, err);
    while (rc == WFL_OK) {
        turn = (struct turn){.store = s};
        rc = walk(&turn, WFL_UPLOAD_TRASH, collect_manifest, err);
        if (rc == WFL_OK) rc = walk(&turn, WFL_UPLOAD_ZERO, collect_zero, err);
        if (!turn.changed) break;
    }
    *left = turn.left;
    s->next_due_ms = next_ms;
    return rc;
}

wfl_code wfl_store_collect(struct wfl_store *s, bool *left, wfl_error *err)
{
    return take_turn(s, true, left, err);
}

/* ---- the thread */

static void wake(struct wfl_store *s, bool uploads)
{
    struct collector *c = s->collector;

    if (c == NULL) return;
    pthread_mutex_lock(&c->lock);
    c->wanted = true;
    c->uploads_wanted |= uploads;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

void wfl_collector_wake(struct wfl_store *s)
{
    wake(s, false);
}

void wfl_collector_wake_for_uploads(struct wfl_store *s)
{
    wake(s, true);
}

static int64_t now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* Until woken, or the monotonic clock says `until`. False: it is to end. `*uploads` is set where
 * they are wanted, else left. */
static bool wait_for_work(struct collector *c, int64_t until, bool *uploads)
{
    struct timespec at = {.tv_sec = until};
    bool            go_on;

    pthread_mutex_lock(&c->lock);
    while (!c->wanted && !c->stopping)
        if (pthread_cond_timedwait(&c->wake, &c->lock, &at) == ETIMEDOUT) break;
    c->wanted = false;
    *uploads |= c->uploads_wanted;
    c->uploads_wanted = false;
    go_on = !c->stopping;
    pthread_mutex_unlock(&c->lock);
    return go_on;
}

/* When something is due, `latest` at the latest, by the monotonic clock. */
static int64_t until_due(struct wfl_store *s, int64_t latest)
{
    uint64_t now_ms = wfl_clock_unix_ms(s->clock), next_ms = s->next_due_ms;
    int64_t  now = now_seconds(), at;

    if (next_ms <= now_ms) return now;
    if ((next_ms - now_ms) / 1000 >= REGULAR_SECONDS) return latest;
    at = now + (int64_t)((next_ms - now_ms) / 1000) + 1;
    return at < latest ? at : latest;
}

static void *collector_run(void *arg)
{
    struct wfl_store *s = arg;
    struct collector *c = s->collector;
    uint64_t          regular = s->upload_ttl_ms / 2000 + 1;
    int64_t           until;
    bool              uploads = true;

    wfl_thread_introduce("wfl-collect", NICENESS);
    if (regular > REGULAR_SECONDS) regular = REGULAR_SECONDS;
    do {
        wfl_error err;
        bool      left;

        uploads |= now_seconds() >= c->uploads_due;
        if (uploads) c->uploads_due = now_seconds() + (int64_t)regular;
        if (take_turn(s, uploads, &left, &err) == WFL_OK) {
            uploads = false;
            until = until_due(s, c->uploads_due);
        } else {
            until = now_seconds() + RETRY_SECONDS;
        }
    } while (wait_for_work(c, until, &uploads));
    return NULL;
}

wfl_code wfl_collector_start(struct wfl_store *s, wfl_error *err)
{
    struct collector  *c = wfl_alloc_zero(s->alloc, 1, sizeof *c);
    pthread_condattr_t attr;

    if (c == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the collector");
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    s->collector = c;
    if (wfl_thread_start(&s->collector->thread, collector_run, s)) return WFL_OK;
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    wfl_alloc_free(s->alloc, c);
    s->collector = NULL;
    return wfl_fail(err, WFL_IO, "the collector's thread could not be started");
}

void wfl_collector_stop(struct wfl_store *s)
{
    struct collector *c = s->collector;

    if (c == NULL) return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    s->collector = NULL;
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    wfl_alloc_free(s->alloc, c);
}
