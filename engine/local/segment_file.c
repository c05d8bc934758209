/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of segments and their files. Whoever works with a segment holds a reference or a pin;
 * while there is one its file stays open, and so its bytes stay readable though the file may lose
 * its name meanwhile. Files that nobody uses stay open too, up to a bound, the least recently used
 * is closed first.
 *
 * Failure: a file that cannot be opened is an error of that call alone. A reader who has looked a
 * segment up while it is being removed finds it open already (rewrite.c opens it before it takes it
 * out of the table), or does not find it and looks the name up again.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void wfl_segment_file_name(uint64_t id, char out[SEGMENT_FILE_NAME])
{
    snprintf(out, SEGMENT_FILE_NAME, "%016" PRIx64 ".seg", id);
}

bool wfl_segment_file_id(const char *text, uint64_t *id)
{
    char again[SEGMENT_FILE_NAME];

    *id = strtoull(text, NULL, 16);
    wfl_segment_file_name(*id, again);
    return strcmp(text, again) == 0;
}

/* ---- a segment */

static void close_handle(struct wfl_blob_handle *handle)
{
    wfl_segment_put((struct segment *)(void *)handle);
}

struct segment *wfl_segment_new(struct local *l, uint64_t id)
{
    struct segment *s = wfl_alloc_zero(l->alloc, 1, sizeof *s);

    if (s == NULL) return NULL;
    s->handle.close = close_handle;
    s->local = l;
    s->name.id = id;
    s->fd = -1;
    wfl_mutex_init(&s->sync_lock, WFL_RANK_SEGMENTS);
    pthread_cond_init(&s->sync_wake, NULL);
    return s;
}

void wfl_segment_free(struct segment *s)
{
    if (s == NULL) return;
    assert(s->refs == 0);
    if (s->fd >= 0) close(s->fd);
    wfl_alloc_free(s->local->alloc, (void *)s->verified);
    pthread_cond_destroy(&s->sync_wake);
    wfl_mutex_fini(&s->sync_lock);
    wfl_alloc_free(s->local->alloc, s);
}

/* ---- the table */

static size_t position_locked(const struct segments *g, uint64_t id)
{
    size_t low = 0, high = g->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (g->list[middle]->name.id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct segment *find_locked(const struct segments *g, uint64_t id)
{
    size_t at = position_locked(g, id);

    return at < g->count && g->list[at]->name.id == id ? g->list[at] : NULL;
}

struct segment *wfl_segment_find(struct local *l, uint64_t id)
{
    struct segment *s;

    wfl_mutex_lock(&l->segments.lock);
    s = find_locked(&l->segments, id);
    wfl_mutex_unlock(&l->segments.lock);
    return s;
}

wfl_code wfl_segments_add(struct local *l, struct segment *s, wfl_error *err)
{
    struct segments *g = &l->segments;
    wfl_code         rc = WFL_OK;

    wfl_mutex_lock(&g->lock);
    if (g->count == g->cap) {
        size_t           cap = g->cap == 0 ? 64 : g->cap * 2;
        struct segment **list = wfl_alloc_resize(l->alloc, g->list, cap * sizeof(void *));

        if (list != NULL) {
            g->list = list;
            g->cap = cap;
        } else {
            rc = wfl_fail(err, WFL_NOMEM, "segments: out of memory");
        }
    }
    if (rc == WFL_OK) {
        assert(g->count == 0 || g->list[g->count - 1]->name.id < s->name.id);
        g->list[g->count++] = s;
    }
    wfl_mutex_unlock(&g->lock);
    return rc;
}

void wfl_segments_take_out_locked(struct local *l, struct segment *s)
{
    struct segments *g = &l->segments;
    size_t           at = position_locked(g, s->name.id);

    assert(at < g->count && g->list[at] == s);
    g->count--;
    memmove(&g->list[at], &g->list[at + 1], (g->count - at) * sizeof(void *));
    s->removed = true;
}

/* ---- open files: those in use, and idle ones in order of their last use */

static void idle_remove_locked(struct segments *g, struct segment *s)
{
    if (!s->idle) return;
    *(s->newer == NULL ? &g->idle_newest : &s->newer->older) = s->older;
    *(s->older == NULL ? &g->idle_oldest : &s->older->newer) = s->newer;
    s->newer = s->older = NULL;
    s->idle = false;
}

/* Files to close once the lock is free: one that is not needed, one past the bound. */
struct closing {
    int  fds[2];
    int  count;
    bool gone; /* there is one for the rewriter */
};

static void close_now(struct local *l, const struct closing *c)
{
    for (int i = 0; i < c->count; i++)
        close(c->fds[i]);
    if (c->gone) wfl_rewriter_wake(l);
}

static void trim_locked(struct segments *g, struct closing *c)
{
    struct segment *oldest = g->idle_oldest;

    if (g->open_count <= g->open_max || oldest == NULL) return;
    idle_remove_locked(g, oldest);
    c->fds[c->count++] = oldest->fd;
    oldest->fd = -1;
    g->open_count--;
}

/* Nobody uses it now: idle. If it was removed its last close returns its room, which takes a while,
 * and whoever lets go of it may be a thread that must not wait: the rewriter does it. */
static void rest_locked(struct segments *g, struct segment *s, struct closing *c)
{
    if (s->refs > 0 || s->pins > 0 || s->active || s->fd < 0) return;
    if (s->removed) {
        s->older = g->gone;
        g->gone = s;
        c->gone = true;
        g->open_count--;
        return;
    }
    assert(!s->idle);
    s->older = g->idle_newest;
    s->newer = NULL;
    *(g->idle_newest == NULL ? &g->idle_oldest : &g->idle_newest->newer) = s;
    g->idle_newest = s;
    s->idle = true;
    trim_locked(g, c);
}

static int open_file(const struct local *l, const struct segment *s)
{
    char name[SEGMENT_FILE_NAME];

    wfl_segment_file_name(s->name.id, name);
    return openat(l->segments.folder, name, O_RDWR | O_CLOEXEC);
}

/* With a reference held. Others may open it at the same time: one file is kept. */
static wfl_code ensure_open(struct local *l, struct segment *s, wfl_error *err)
{
    struct segments *g = &l->segments;
    struct closing   c = {.count = 0};
    int              fd = open_file(l, s), number = errno;
    bool             open;

    wfl_mutex_lock(&g->lock);
    if (s->fd < 0 && fd >= 0) {
        s->fd = fd;
        g->open_count++;
        trim_locked(g, &c);
    } else if (fd >= 0) {
        c.fds[c.count++] = fd;
    }
    open = s->fd >= 0;
    wfl_mutex_unlock(&g->lock);
    close_now(l, &c);
    if (open) return WFL_OK;
    errno = number;
    wfl_fail_errno(err, "open");
    return wfl_wrap(err, "segment %016" PRIx64, s->name.id);
}

struct segment *wfl_segment_get(struct local *l, uint64_t id, wfl_error *err)
{
    struct segments *g = &l->segments;
    struct segment  *s;
    bool             open = false;

    err->code = WFL_OK;
    wfl_mutex_lock(&g->lock);
    s = find_locked(g, id);
    if (s != NULL) {
        idle_remove_locked(g, s);
        s->refs++;
        open = s->fd >= 0;
    }
    wfl_mutex_unlock(&g->lock);
    if (s == NULL || open || ensure_open(l, s, err) == WFL_OK) return s;
    wfl_segment_put(s);
    return NULL;
}

void wfl_segment_put(struct segment *s)
{
    struct local    *l = s->local; /* s may be gone once the lock is free */
    struct segments *g = &l->segments;
    struct closing   c = {.count = 0};

    wfl_mutex_lock(&g->lock);
    assert(s->refs > 0);
    s->refs--;
    rest_locked(g, s, &c);
    wfl_mutex_unlock(&g->lock);
    close_now(l, &c);
}

void wfl_segment_unpin(struct segment *s)
{
    struct local    *l = s->local;
    struct segments *g = &l->segments;
    struct closing   c = {.count = 0};

    wfl_mutex_lock(&g->lock);
    assert(s->pins > 0); /* each place is kept or abandoned once */
    s->pins--;
    g->pending--;
    rest_locked(g, s, &c);
    wfl_mutex_unlock(&g->lock);
    close_now(l, &c);
}

void wfl_segments_free_gone(struct local *l)
{
    struct segments *g = &l->segments;
    struct segment  *s, *next;

    wfl_mutex_lock(&g->lock);
    s = g->gone;
    g->gone = NULL;
    wfl_mutex_unlock(&g->lock);
    for (; s != NULL; s = next) {
        next = s->older;
        wfl_segment_free(s);
    }
}

/* ---- bytes */

wfl_code wfl_segment_read(const struct segment *s, uint64_t at, uint8_t *out, size_t n, size_t *got,
                          wfl_error *err)
{
    *got = 0;
    while (*got < n) {
        ssize_t piece = pread(s->fd, out + *got, n - *got, (off_t)(at + *got));

        if (piece < 0 && errno == EINTR) continue;
        if (piece < 0) {
            wfl_fail_errno(err, "read");
            return wfl_wrap(err, "segment %016" PRIx64, s->name.id);
        }
        if (piece == 0) break;
        *got += (size_t)piece;
    }
    return WFL_OK;
}

/* Preallocates, so that writes find their room laid out in one piece and lack of room is noticed
 * here. Where there is not enough for a whole one a smaller one is made. */
static wfl_code allocate(struct segment *s, wfl_error *err)
{
    const uint32_t least = SEGMENT_BLOCK + wfl_blob_record_extent(WFL_BLOB_BYTES_MAX);

    for (;;) {
        if (fallocate(s->fd, 0, 0, s->cap) == 0) return WFL_OK;
        if (errno == EINTR) continue;
        if (errno == EOPNOTSUPP || errno == ENOSYS) return WFL_OK;
        if ((errno != ENOSPC && errno != EDQUOT) || s->cap / 2 < least)
            return wfl_fail_errno(err, "allocate");
        s->cap = s->cap / 2 / SEGMENT_BLOCK * SEGMENT_BLOCK;
        if (ftruncate(s->fd, 0) != 0) return wfl_fail_errno(err, "allocate");
    }
}

wfl_code wfl_segment_create(struct local *l, struct segment *s, wfl_error *err)
{
    char     name[SEGMENT_FILE_NAME];
    uint8_t  header[SEGMENT_HEADER_LEN];
    wfl_code rc;

    wfl_segment_file_name(s->name.id, name);
    wfl_random_fill(&wfl_random_system, s->name.salt, sizeof s->name.salt);
    s->cap = l->segments.segment_bytes;
    s->tail = SEGMENT_BLOCK;
    s->fd = openat(l->segments.folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        wfl_fail_errno(err, "create");
        return wfl_wrap(err, "segment %s", name);
    }
    wfl_segment_encode(&s->name, header);
    rc = allocate(s, err);
    if (rc == WFL_OK && pwrite(s->fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        rc = wfl_fail_errno(err, "write of the header");
    /* Its name is as durable as what is kept in it will be. */
    if (rc == WFL_OK && fsync(l->segments.folder) != 0) rc = wfl_fail_errno(err, "fsync of folder");
    if (rc == WFL_OK) return rc;
    unlinkat(l->segments.folder, name, 0);
    return wfl_wrap(err, "segment %s", name);
}

/* ---- buffers */

uint8_t *wfl_scratch_get(struct local *l)
{
    struct segments *g = &l->segments;
    uint8_t         *scratch = NULL;

    wfl_mutex_lock(&g->lock);
    if (g->scratch_count > 0) scratch = g->scratch[--g->scratch_count];
    wfl_mutex_unlock(&g->lock);
    return scratch != NULL ? scratch : wfl_alloc_get(l->alloc, SCRATCH_BYTES);
}

void wfl_scratch_put(struct local *l, uint8_t *scratch)
{
    struct segments *g = &l->segments;

    if (scratch == NULL) return;
    wfl_mutex_lock(&g->lock);
    if (g->scratch_count < WFL_COUNT(g->scratch)) {
        g->scratch[g->scratch_count++] = scratch;
        scratch = NULL;
    }
    wfl_mutex_unlock(&g->lock);
    wfl_alloc_free(l->alloc, scratch);
}
