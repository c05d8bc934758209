/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing blobs. Room in the active segment is given away by moving its tail, under a lock that is
 * held for that alone; header and content then go to the file outside of any lock, so as many
 * threads write as there are. Whoever finds the segment full makes the next one. A sync waits for
 * one fdatasync of each segment, which all share who wait at the same time.
 *
 * Each record begins at a block of its own: a write that power cuts off can only hurt itself, not
 * an acknowledged neighbour in the same block.
 *
 * Failure: lack of room is DISK_FULL for that write alone, and nothing is pinned. Any other failed
 * write, and a failed fdatasync, ends writing for good. A process that dies leaves records that no
 * row names; blob_recover.c gives their room back.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROOM_CHECK_NS    100000000
#define WRITE_BACK_BYTES (256u << 10) /* from here on the disk is told to begin at once */

/* ---- the reserve */

/* Two who find it due at once both ask: harmless. */
bool wfl_room_is_short(struct local *l)
{
    struct segments *g = &l->segments;
    int64_t          now = wfl_clock_mono_ns(&wfl_clock_system), last = g->room_checked_ns;
    struct statvfs   fs;

    /* Looked at often enough that what is written meanwhile is a small part of the reserve. */
    if (last != 0 && now - last < ROOM_CHECK_NS && g->room_written < g->reserve_bytes / 16)
        return g->room_short;
    g->room_checked_ns = now;
    g->room_written = 0;
    if (fstatvfs(g->folder, &fs) == 0)
        g->room_short = (uint64_t)fs.f_bavail * fs.f_frsize < g->reserve_bytes;
    return g->room_short;
}

/* ---- room in a segment */

/* Pins it. False: there is no room (or no segment). */
static bool take_room(struct segments *g, uint32_t extent, struct segment **out, uint32_t *offset)
{
    struct segment *s;
    bool            fits;

    wfl_mutex_lock(&g->lock);
    s = g->active;
    fits = s != NULL && extent <= s->cap - s->tail;
    if (fits) {
        *out = s;
        *offset = s->tail;
        s->tail += extent;
        s->pins++;
        g->pending++;
    }
    wfl_mutex_unlock(&g->lock);
    return fits;
}

/* Its file ends where its records do. Those under way lie before that. */
static void retire(struct local *l, struct segment *s)
{
    int failed;

    if (s == NULL) return;
    failed = ftruncate(s->fd, s->tail);
    (void)failed; /* then the room stays taken until the segment is rewritten, no more */
    wfl_segment_put(s);
    wfl_rewriter_wake(l);
}

static wfl_code roll_locked(struct local *l, wfl_error *err)
{
    struct segments *g = &l->segments;
    struct segment  *s = wfl_segment_new(l, g->next_id), *before;
    wfl_code         rc;

    if (s == NULL) return wfl_fail(err, WFL_NOMEM, "segments: out of memory");
    rc = wfl_segment_create(l, s, err);
    /* Before the table has it: the rewriter removes what holds nothing and is not active. */
    s->active = true;
    if (rc == WFL_OK) {
        rc = wfl_segments_add(l, s, err);
        if (rc != WFL_OK) {
            char name[SEGMENT_FILE_NAME];

            wfl_segment_file_name(s->name.id, name);
            unlinkat(g->folder, name, 0);
        }
    }
    if (rc != WFL_OK) {
        wfl_segment_free(s);
        return rc;
    }
    wfl_mutex_lock(&g->lock);
    before = g->active;
    if (before != NULL) {
        before->active = false;
        before->refs++; /* retire()'s */
    }
    g->active = s;
    g->open_count++;
    g->next_id++;
    wfl_mutex_unlock(&g->lock);
    retire(l, before);
    return WFL_OK;
}

static wfl_code reserve(struct local *l, uint32_t extent, struct segment **out, uint32_t *offset,
                        wfl_error *err)
{
    struct segments *g = &l->segments;
    wfl_code         rc = WFL_OK;

    while (rc == WFL_OK && !take_room(g, extent, out, offset)) {
        wfl_mutex_lock(&g->roll_lock);
        if (take_room(g, extent, out, offset)) { /* another thread was first */
            wfl_mutex_unlock(&g->roll_lock);
            break;
        }
        rc = roll_locked(l, err);
        wfl_mutex_unlock(&g->roll_lock);
    }
    return rc;
}

/* ---- write */

static wfl_code write_all(int fd, struct iovec *parts, int count, uint64_t at, wfl_error *err)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return wfl_fail_errno(err, "write");
        at += (uint64_t)n;
        for (; count > 0 && (size_t)n >= parts->iov_len; parts++, count--)
            n -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return WFL_OK;
}

/* By errno. Never DISK_FULL: what the disk holds is not known now, whatever the reason. */
static wfl_code sync_failed(struct local *l, const struct segment *s, const char *call,
                            wfl_error *err)
{
    wfl_fail_errno(err, call);
    err->code = WFL_IO;
    wfl_wrap(err, "segment %016" PRIx64, s->name.id);
    wfl_local_become_read_only(l, err);
    return WFL_IO;
}

/* Starts what the fdatasync would otherwise begin with. With company it is waited for: what the
 * disk has to do already, another's commit would wait for. Who has waited has been told of a
 * failure, and the fdatasync that comes later is not told again: so it is as bad here as there. */
static wfl_code write_back(struct local *l, struct segment *s, const struct segment_record *record,
                           wfl_error *err)
{
    unsigned flags = SYNC_FILE_RANGE_WRITE;

    if (wfl_local_has_company(l)) flags |= SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(s->fd, record->offset, wfl_blob_record_extent(record->len), flags) == 0 ||
        errno == ENOSYS || errno == EINVAL) { /* it is only a hint then */
        return WFL_OK;
    }
    return sync_failed(l, s, "sync_file_range", err);
}

static wfl_code write_record(struct local *l, struct segment *s, uint32_t offset, wfl_slice name,
                             wfl_slice content, const wfl_hash *hash, wfl_error *err)
{
    struct segment_record record = {
        .offset = offset, .len = (uint32_t)content.len, .name_len = (uint32_t)name.len};
    uint8_t      header[RECORD_HEADER_LEN];
    struct iovec parts[] = {{header, sizeof header},
                            {(void *)(uintptr_t)content.data, content.len}};
    wfl_code     rc;

    record.hash = *hash;
    memcpy(record.name, name.data, name.len);
    wfl_blob_record_encode(&s->name, &record, header);
    rc = write_all(s->fd, parts, WFL_COUNT(parts), offset, err);
    if (rc != WFL_OK) {
        wfl_wrap(err, "segment %016" PRIx64, s->name.id);
        if (rc != WFL_DISK_FULL) wfl_local_become_read_only(l, err);
        return rc;
    }
    s->written++;
    return content.len < WRITE_BACK_BYTES ? WFL_OK : write_back(l, s, &record, err);
}

wfl_code wfl_blob_write_record(struct local *l, wfl_slice name, wfl_slice content,
                               const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err)
{
    uint32_t        extent = wfl_blob_record_extent((uint32_t)content.len), offset = 0;
    struct segment *s = NULL;
    wfl_code        rc;

    if (l->segments.closing) return wfl_fail(err, WFL_CLOSED, "the store is closing");
    if (l->read_only) {
        return wfl_fail(err, WFL_READ_ONLY, "the store takes no writes: %s", l->read_only_reason);
    }
    rc = reserve(l, extent, &s, &offset, err);
    if (rc != WFL_OK) return rc;
    rc = write_record(l, s, offset, name, content, hash, err);
    if (rc != WFL_OK) {
        wfl_segment_unpin(s);
        return rc;
    }
    l->segments.room_written += extent;
    *out = (struct wfl_blob_place){
        .segment = s->name.id, .offset = offset, .len = (uint32_t)content.len};
    return WFL_OK;
}

wfl_code wfl_local_blob_write(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                              const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err)
{
    struct local *l = (struct local *)(void *)e;

    if (wfl_room_is_short(l)) return wfl_fail(err, WFL_DISK_FULL, "less room than the reserve");
    return wfl_blob_write_record(l, name, content, hash, out, err);
}

void wfl_local_blob_abandon(struct wfl_engine *e, const struct wfl_blob_place *place)
{
    struct local   *l = (struct local *)(void *)e;
    struct segment *s = wfl_segment_find(l, place->segment);

    assert(s != NULL); /* its pin keeps it in the table */
    wfl_segment_unpin(s);
    wfl_rewriter_wake(l);
}

/* ---- sync */

/* All records of `s` whose write has ended when this begins. */
static wfl_code sync_segment(struct local *l, struct segment *s, wfl_error *err)
{
    uint64_t want = s->written, target;
    wfl_code rc = WFL_OK;

    wfl_mutex_lock(&s->sync_lock);
    while (rc == WFL_OK && s->synced < want) {
        if (l->read_only) {
            rc = wfl_fail(err, WFL_READ_ONLY, "the store takes no writes: %s", l->read_only_reason);
        } else if (s->syncing) {
            wfl_mutex_wait(&s->sync_lock, &s->sync_wake);
        } else {
            s->syncing = true;
            target = s->written;
            wfl_mutex_unlock(&s->sync_lock);
            if (fdatasync(s->fd) != 0) rc = sync_failed(l, s, "fdatasync", err);
            wfl_mutex_lock(&s->sync_lock);
            s->syncing = false;
            if (rc == WFL_OK) s->synced = target;
            pthread_cond_broadcast(&s->sync_wake);
        }
    }
    wfl_mutex_unlock(&s->sync_lock);
    return rc;
}

wfl_code wfl_local_blob_sync(struct wfl_engine *e, const struct wfl_blob_place *places,
                             size_t count, wfl_error *err)
{
    enum { SEEN = 4 }; /* places of one object lie in one or two segments, mostly */

    struct local *l = (struct local *)(void *)e;
    uint64_t      seen[SEEN] = {0}; /* ids begin at 1 */

    for (size_t i = 0; i < count; i++) {
        struct segment *s;
        bool            again = false;
        wfl_code        rc;

        for (size_t k = 0; k < SEEN; k++)
            again |= seen[k] == places[i].segment;
        if (again) continue;
        seen[i % SEEN] = places[i].segment;
        s = wfl_segment_find(l, places[i].segment);
        assert(s != NULL && s->fd >= 0); /* pinned */
        rc = sync_segment(l, s, err);
        if (rc != WFL_OK) return rc;
    }
    return l->read_only
               ? wfl_fail(err, WFL_READ_ONLY, "the store takes no writes: %s", l->read_only_reason)
               : WFL_OK;
}
