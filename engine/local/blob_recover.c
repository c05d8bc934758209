/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments at start, at the end, and in a copy. They lie in the folder `segments` of the engine's
 * path, beside RocksDB's files, which leaves names that it does not know alone.
 *
 * At start each row is given its file. What a crash can have left is cleared: a file without a row
 * holds nothing that was ever kept, or was emptied and lost its row before its name (rewrite.c),
 * and is deleted; in a segment that was not sealed the records that no name points to are punched
 * out, and what was preallocated behind the last one is cut off. So the time is that of the
 * segments that were active at the end, however many there are in all.
 *
 * Failure: a file that a row with live bytes names must be there and long enough, or else the open
 * fails and says which: blobs that were acknowledged would be missing.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_BYTES_DEFAULT (256u << 20)
#define SEGMENT_BYTES_MIN     (4u << 20)
#define RESERVE_DEFAULT       (64u << 20)
#define REWRITE_DEFAULT       (64u << 20)

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value == 0 ? fallback : value;
}

void wfl_segments_init(struct local *l, const struct wfl_local_config *config)
{
    struct segments *g = &l->segments;
    uint64_t         bytes = or_default(config->segment_bytes, SEGMENT_BYTES_DEFAULT);

    assert(bytes >= SEGMENT_BYTES_MIN && bytes < UINT32_MAX);
    g->folder = -1;
    g->segment_bytes = (uint32_t)(bytes / SEGMENT_BLOCK * SEGMENT_BLOCK);
    g->reserve_bytes = or_default(config->reserve_bytes, RESERVE_DEFAULT);
    /* Rewriting a segment takes up to half of one before it returns anything. */
    if (g->reserve_bytes < bytes / 8 * 5) g->reserve_bytes = bytes / 8 * 5;
    g->rewrite_bytes_per_second = or_default(config->rewrite_bytes_per_second, REWRITE_DEFAULT);
    g->next_id = 1;
    wfl_mutex_init(&g->roll_lock, WFL_RANK_ROLL);
    wfl_mutex_init(&g->lock, WFL_RANK_SEGMENTS);
}

wfl_code wfl_segments_open_folder(struct local *l, const char *path, int *out, wfl_error *err)
{
    size_t   cap = strlen(path) + sizeof "/segments";
    char    *text = wfl_alloc_get(l->alloc, cap);
    wfl_code rc;

    if (text == NULL) return wfl_fail(err, WFL_NOMEM, "segments: out of memory");
    snprintf(text, cap, "%s/segments", path);
    rc = wfl_local_make_folder(l, text, err);
    if (rc == WFL_OK) {
        *out = open(text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*out < 0) rc = wfl_fail_errno(err, text);
    }
    wfl_alloc_free(l->alloc, text);
    return rc;
}

/* ---- rows and their files */

static uint32_t up_to_block(uint32_t n)
{
    return (n + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
}

static wfl_code take_row(struct local *l, const struct segment_row *row, wfl_error *err)
{
    struct segment *s = wfl_segment_new(l, row->name.id);
    wfl_code        rc;

    if (s == NULL) return wfl_fail(err, WFL_NOMEM, "segments: out of memory");
    s->name = row->name;
    s->live = row->live;
    s->kept_end = row->kept_end;
    s->tail = up_to_block(row->kept_end > row->tail ? row->kept_end : row->tail);
    s->cap = s->tail;
    s->seal_noted = row->sealed;
    rc = wfl_segments_add(l, s, err);
    if (rc != WFL_OK) {
        wfl_segment_free(s);
        return rc;
    }
    if (row->name.id >= l->segments.next_id) l->segments.next_id = row->name.id + 1;
    return WFL_OK;
}

static wfl_code take_rows(struct local *l, wfl_error *err)
{
    rocksdb_iterator_t *it =
        rocksdb_create_iterator_cf(l->db, l->read_disk, l->families[FAMILY_BLOB_SEGMENTS]);
    char    *text = NULL;
    wfl_code rc = WFL_OK;

    for (rocksdb_iter_seek_to_first(it); rc == WFL_OK && rocksdb_iter_valid(it);
         rocksdb_iter_next(it)) {
        struct segment_row row;
        size_t             key_len = 0, len = 0;
        const char *key = rocksdb_iter_key(it, &key_len), *data = rocksdb_iter_value(it, &len);

        if (wfl_segment_row_decode(wfl_slice_of(key, key_len), wfl_slice_of(data, len), &row)) {
            rc = take_row(l, &row, err);
        } else {
            rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "segments: a row cannot be read");
        }
    }
    rocksdb_iter_get_error(it, &text);
    if (text != NULL && rc == WFL_OK) {
        rc = wfl_local_fail(text, "segments", err);
    } else if (text != NULL) {
        rocksdb_free(text);
    }
    rocksdb_iter_destroy(it);
    return rc;
}

static wfl_code check_file(struct local *l, struct segment *s, wfl_error *err)
{
    char        name[SEGMENT_FILE_NAME];
    struct stat st;

    wfl_segment_file_name(s->name.id, name);
    if (fstatat(l->segments.folder, name, &st, 0) != 0) {
        if (errno != ENOENT) return wfl_fail_errno(err, name);
        s->missing = s->live == 0; /* nothing is missed */
        if (s->missing) return WFL_OK;
        return wfl_fail(err, WFL_CORRUPT_OBJECT,
                        "segment %s: its file is missing, with %" PRIu64 " live bytes", name,
                        s->live);
    }
    if (s->live > 0 && (uint64_t)st.st_size < s->kept_end) {
        return wfl_fail(err, WFL_CORRUPT_OBJECT,
                        "segment %s: its file has %" PRIu64 " bytes, of %" PRIu32, name,
                        (uint64_t)st.st_size, s->kept_end);
    }
    return WFL_OK;
}

/* ---- files without a row */

/* Of ours: its header says so, or nothing was written into it yet. */
static bool is_leftover(const struct local *l, const char *name, uint64_t id)
{
    static const uint8_t zeros[SEGMENT_HEADER_LEN];
    uint8_t              header[SEGMENT_HEADER_LEN] = {0};
    struct segment_name  found;
    int                  fd = openat(l->segments.folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t              n;

    if (fd < 0) return false;
    n = pread(fd, header, sizeof header, 0);
    close(fd);
    if (n < 0) return false;
    if (memcmp(header, zeros, sizeof zeros) == 0) return true;
    return wfl_segment_decode(wfl_slice_of(header, (size_t)n), &found) && found.id == id;
}

static wfl_code delete_leftovers(struct local *l, wfl_error *err)
{
    struct segments *g = &l->segments;
    int              fd = dup(g->folder);
    DIR             *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent   *entry;
    uint64_t         id;

    if (dir == NULL) {
        wfl_fail_errno(err, "segments: listing");
        if (fd >= 0) close(fd);
        return err->code;
    }
    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (!wfl_segment_file_id(entry->d_name, &id)) continue;
        if (wfl_segment_find(l, id) != NULL) continue;
        if (id >= g->next_id && id < UINT64_MAX) g->next_id = id + 1;
        if (is_leftover(l, entry->d_name, id)) unlinkat(g->folder, entry->d_name, 0);
    }
    closedir(dir);
    return WFL_OK;
}

/* ---- segments that were not sealed */

static size_t read_for_walk(void *ctx, uint32_t at, uint8_t *out, size_t n)
{
    wfl_error err;
    size_t    got = 0;

    return wfl_segment_read(ctx, at, out, n, &got, &err) == WFL_OK ? got : 0;
}

static uint32_t skip_for_walk(void *ctx, uint32_t at)
{
    const struct segment *s = ctx;
    off_t                 to = lseek(s->fd, at, SEEK_DATA);

    if (to < 0 && errno == ENXIO) return UINT32_MAX; /* all the rest is a hole */
    return to < 0 || to > UINT32_MAX ? at : (uint32_t)to;
}

wfl_code wfl_segment_walk_file(struct segment *s, struct segment_walk *walk, wfl_error *err)
{
    struct stat st;

    if (fstat(s->fd, &st) != 0) return wfl_fail_errno(err, "segment: size");
    wfl_segment_walk_init(walk, &s->name);
    walk->end = st.st_size > UINT32_MAX ? UINT32_MAX : (uint32_t)st.st_size;
    walk->read = read_for_walk;
    walk->skip = skip_for_walk;
    walk->ctx = s;
    return WFL_OK;
}

static wfl_code is_named(struct local *l, const struct segment *s,
                         const struct segment_record *record, bool *named, wfl_error *err)
{
    struct wfl_blob_place place;
    wfl_code rc = wfl_blob_find(l, wfl_slice_of(record->name, record->name_len), &place, err);

    *named = rc == WFL_OK && place.segment == s->name.id && place.offset == record->offset;
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

/* Where punching does not work the room comes back when the segment is rewritten. */
static void punch(const struct segment *s, const struct segment_record *record)
{
    if (fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, record->offset,
                  wfl_blob_record_extent(record->len)) != 0) {
        return;
    }
}

static wfl_code clear_unnamed(struct local *l, struct segment *s, wfl_error *err)
{
    struct segment_walk   walk;
    struct segment_record record;
    uint32_t              end = up_to_block(s->kept_end);
    bool                  named = false;
    wfl_code              rc = wfl_segment_walk_file(s, &walk, err);

    if (end < SEGMENT_BLOCK) end = SEGMENT_BLOCK;
    while (rc == WFL_OK && wfl_segment_walk_next(&walk, &record)) {
        rc = is_named(l, s, &record, &named, err);
        if (rc == WFL_OK && !named && record.offset < end) punch(s, &record);
    }
    if (rc != WFL_OK) return rc;
    if (ftruncate(s->fd, end) != 0) return wfl_fail_errno(err, "segment: cut");
    s->tail = s->cap = end;
    return WFL_OK;
}

/* Rows of files that are missing and not missed. */
static wfl_code delete_missing(struct local *l, wfl_error *err)
{
    struct segments *g = &l->segments;
    uint8_t          key[SEGMENT_ROW_KEY];
    char            *text = NULL;

    for (size_t i = g->count; i > 0; i--) {
        struct segment *s = g->list[i - 1];

        if (!s->missing) continue;
        wfl_segment_row_key(s->name.id, key);
        rocksdb_delete_cf(l->db, l->write_buffered, l->families[FAMILY_BLOB_SEGMENTS],
                          (const char *)key, sizeof key, &text);
        if (text != NULL) return wfl_local_fail(text, "segments: a row", err);
        wfl_mutex_lock(&g->lock);
        wfl_segments_take_out_locked(l, s);
        wfl_mutex_unlock(&g->lock);
        wfl_segment_free(s);
    }
    return WFL_OK;
}

static wfl_code put_sealed_row(struct local *l, struct segment *s, wfl_error *err)
{
    struct segment_row row = {
        .name = s->name, .live = s->live, .kept_end = s->kept_end, .tail = s->tail, .sealed = true};
    uint8_t key[SEGMENT_ROW_KEY], value[SEGMENT_ROW_LEN];
    char   *text = NULL;

    wfl_segment_row_key(s->name.id, key);
    wfl_segment_row_encode(&row, value);
    /* Not synced: what is lost is done again. */
    rocksdb_put_cf(l->db, l->write_buffered, l->families[FAMILY_BLOB_SEGMENTS], (const char *)key,
                   sizeof key, (const char *)value, sizeof value, &text);
    if (text != NULL) return wfl_local_fail(text, "segments: a row", err);
    s->seal_noted = true;
    return WFL_OK;
}

static wfl_code recover(struct local *l, struct segment *s, wfl_error *err)
{
    struct segment *held;
    wfl_code        rc;

    if (s->seal_noted) return WFL_OK;
    held = wfl_segment_get(l, s->name.id, err);
    if (held == NULL) return err->code;
    rc = clear_unnamed(l, s, err);
    wfl_segment_put(s);
    return rc == WFL_OK ? put_sealed_row(l, s, err) : rc;
}

wfl_code wfl_segments_open(struct local *l, const char *path, wfl_error *err)
{
    struct segments *g = &l->segments;
    wfl_code         rc = wfl_segments_open_folder(l, path, &g->folder, err);

    if (rc == WFL_OK) rc = take_rows(l, err);
    for (size_t i = 0; rc == WFL_OK && i < g->count; i++)
        rc = check_file(l, g->list[i], err);
    if (rc == WFL_OK) rc = delete_missing(l, err);
    if (rc == WFL_OK) rc = delete_leftovers(l, err);
    for (size_t i = 0; rc == WFL_OK && i < g->count; i++)
        rc = recover(l, g->list[i], err);
    return rc;
}

/* ---- the end */

static void seal_last(struct local *l)
{
    struct segments *g = &l->segments;
    wfl_error        err;

    for (size_t i = 0; i < g->count; i++) {
        struct segment *s = g->list[i];
        char            name[SEGMENT_FILE_NAME];

        if (s->seal_noted) continue;
        if (s->kept_end == 0) {
            wfl_segment_file_name(s->name.id, name);
            unlinkat(g->folder, name, 0);
        } else if (!s->active || ftruncate(s->fd, s->tail) == 0) {
            if (put_sealed_row(l, s, &err) != WFL_OK) return; /* the next open does it */
        }
    }
}

void wfl_segments_close(struct local *l)
{
    struct segments *g = &l->segments;

    if (g->folder >= 0 && l->db != NULL && !l->read_only) seal_last(l);
    wfl_rewriter_free(l);
    wfl_segments_free_gone(l);
    for (size_t i = 0; i < g->count; i++)
        wfl_segment_free(g->list[i]);
    for (uint32_t i = 0; i < g->scratch_count; i++)
        wfl_alloc_free(l->alloc, g->scratch[i]);
    wfl_alloc_free(l->alloc, g->list);
    wfl_alloc_free(l->alloc, g->changes);
    if (g->folder >= 0) close(g->folder);
    wfl_mutex_fini(&g->lock);
    wfl_mutex_fini(&g->roll_lock);
}

void wfl_segments_stats(struct local *l, struct wfl_engine_stats *out)
{
    struct segments *g = &l->segments;

    wfl_mutex_lock(&g->lock);
    out->segments = g->count;
    for (size_t i = 0; i < g->count; i++) {
        out->segment_bytes += g->list[i]->active ? g->list[i]->cap : g->list[i]->tail;
        out->live_bytes += g->list[i]->live;
    }
    wfl_mutex_unlock(&g->lock);
    out->rewritten_bytes = g->rewritten;
    out->blobs_corrupt = g->corrupt;
    out->blobs_pending = g->pending;
}
