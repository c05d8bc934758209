/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments beside a checkpoint of the records. First the records are copied, then the files: each
 * file has then at least what the copied rows name, for a blob is on the disk before its row is,
 * and nothing is removed meanwhile.
 *
 * A segment whose sealed state was stored before the copy of the records is linked: both engines
 * only read it from then on. The others are copied, for the copy's first open cuts and punches
 * them.
 *
 * Failure: a copy that is not complete is an error and stays where it is; its open would fail with
 * the name of what is missing. */
#include "engine/local/local_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static wfl_code copy_bytes(const struct segment *s, int to, uint32_t end, uint8_t *scratch,
                           wfl_error *err)
{
    for (uint32_t at = 0; at < end;) {
        uint32_t want = end - at < SCRATCH_BYTES ? end - at : SCRATCH_BYTES;
        size_t   got = 0;
        wfl_code rc = wfl_segment_read(s, at, scratch, want, &got, err);

        if (rc != WFL_OK) return rc;
        if (got == 0) break;
        if (pwrite(to, scratch, got, at) != (ssize_t)got) return wfl_fail_errno(err, "copy");
        at += (uint32_t)got;
    }
    return fsync(to) == 0 ? WFL_OK : wfl_fail_errno(err, "copy");
}

static wfl_code copy_file(struct local *l, const struct segment *s, int folder, const char *name,
                          wfl_error *err)
{
    int      to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint8_t *scratch = wfl_scratch_get(l);
    uint32_t end = s->seal_noted ? s->tail : s->kept_end;
    wfl_code rc;

    if (to < 0) {
        rc = wfl_fail_errno(err, "copy");
    } else if (scratch == NULL) {
        rc = wfl_fail(err, WFL_NOMEM, "copy: out of memory");
    } else {
        rc = copy_bytes(s, to, end, scratch, err);
    }
    wfl_scratch_put(l, scratch);
    if (to >= 0) close(to);
    return rc;
}

struct wanted {
    uint64_t id;
    bool     sealed; /* its stored row said so before the records were copied */
};

static size_t list_segments(struct local *l, struct wanted *list, size_t cap)
{
    struct segments *g = &l->segments;
    size_t           count;

    wfl_mutex_lock(&g->lock);
    count = g->count;
    for (size_t i = 0; i < count && i < cap; i++) {
        list[i] = (struct wanted){.id = g->list[i]->name.id, .sealed = g->list[i]->seal_noted};
    }
    wfl_mutex_unlock(&g->lock);
    return count;
}

/* NULL: no memory. */
static struct wanted *new_list(struct local *l, size_t *count)
{
    struct wanted *list = NULL;
    size_t         cap = 0;

    for (;;) { /* until all fit: more may be made meanwhile */
        *count = list_segments(l, list, cap);
        if (list != NULL && *count <= cap) return list;
        wfl_alloc_free(l->alloc, list);
        cap = *count + 16;
        list = wfl_alloc_zero(l->alloc, cap, sizeof *list);
        if (list == NULL) return NULL;
    }
}

static bool was_sealed(const struct wanted *before, size_t count, uint64_t id)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (before[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && before[low].id == id && before[low].sealed;
}

static wfl_code add_segment(struct local *l, uint64_t id, bool link_it, int folder, wfl_error *err)
{
    char            name[SEGMENT_FILE_NAME];
    struct segment *s;
    wfl_code        rc;

    wfl_segment_file_name(id, name);
    if (link_it && linkat(l->segments.folder, name, folder, name, 0) == 0) return WFL_OK;
    s = wfl_segment_get(l, id, err); /* another file system, or too many links: a copy */
    if (s == NULL) return err->code;
    rc = s->kept_end == 0 ? WFL_OK : copy_file(l, s, folder, name, err);
    wfl_segment_put(s);
    return rc == WFL_OK ? rc : wfl_wrap(err, "segment %s", name);
}

static wfl_code add_segments(struct local *l, const char *path, const struct wanted *before,
                             size_t before_count, wfl_error *err)
{
    size_t         count = 0;
    struct wanted *now = new_list(l, &count);
    int            folder = -1;
    wfl_code       rc;

    if (now == NULL) return wfl_fail(err, WFL_NOMEM, "copy: out of memory");
    rc = wfl_segments_open_folder(l, path, &folder, err);
    for (size_t i = 0; rc == WFL_OK && i < count; i++)
        rc = add_segment(l, now[i].id, was_sealed(before, before_count, now[i].id), folder, err);
    if (rc == WFL_OK && fsync(folder) != 0) rc = wfl_fail_errno(err, "copy: fsync of folder");
    if (folder >= 0) close(folder);
    wfl_alloc_free(l->alloc, now);
    return rc;
}

wfl_code wfl_segments_checkpoint(struct local *l, const char *path,
                                 wfl_code (*records)(struct local *l, const char *path,
                                                     wfl_error *err),
                                 wfl_error *err)
{
    size_t         count = 0;
    struct wanted *before;
    wfl_code       rc;

    wfl_rewriter_pause(l);
    before = new_list(l, &count);
    rc = before == NULL ? wfl_fail(err, WFL_NOMEM, "copy: out of memory") : records(l, path, err);
    if (rc == WFL_OK) rc = add_segments(l, path, before, count, err);
    wfl_alloc_free(l->alloc, before);
    wfl_rewriter_resume(l);
    return rc == WFL_OK ? rc : wfl_wrap(err, "checkpoint");
}
