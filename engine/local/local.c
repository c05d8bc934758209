/* SPDX-License-Identifier: Apache-2.0
 *
 * The local engine: RocksDB in a folder. A get asks what is in memory and answers on the caller's
 * thread; what needs the disk goes to the pool. Ranges always go to the pool, because an iterator
 * may read at any step. Writes are committer.c's.
 *
 * Failure: a folder in use, damaged or unreadable fails the open with a text that says which;
 * damage found later is CORRUPT_OBJECT for that read; a failed write ends writing (see engine.h).
 */
#include "engine/local/local_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

wfl_code wfl_local_fail(char *text, const char *step, wfl_error *err)
{
    wfl_code code = WFL_IO;

    if (strstr(text, "No space left") != NULL || strstr(text, "NoSpace") != NULL) {
        code = WFL_DISK_FULL;
    } else if (strncmp(text, "Corruption", 10) == 0) {
        code = WFL_CORRUPT_OBJECT;
    }
    wfl_fail(err, code, "%s: %s", step, text);
    rocksdb_free(text);
    return code;
}

static const char *const family_names[FAMILY_COUNT] = {"blob_index", "blob_segments"};

static struct local *local_of(struct wfl_engine *e)
{
    return (struct local *)(void *)e; /* base is the first member */
}

/* ---- get */

static void release_pinned(struct wfl_pin *pin)
{
    rocksdb_pinnableslice_destroy(pin->handle);
}

/* WFL_PENDING: not in memory. */
static wfl_code get_with(struct local *l, const rocksdb_readoptions_t *options,
                         struct wfl_engine_get *get)
{
    char                    *text = NULL;
    rocksdb_pinnableslice_t *slice = rocksdb_get_pinned_cf(
        l->db, options, l->spaces[get->space], (const char *)get->key.data, get->key.len, &text);
    size_t      len;
    const char *data;

    if (text != NULL) {
        if (strncmp(text, "Result incomplete", 17) == 0) {
            rocksdb_free(text);
            return WFL_PENDING;
        }
        return wfl_local_fail(text, "read", &get->err);
    }
    if (slice == NULL) return wfl_fail(&get->err, WFL_NOT_FOUND, "no such record");
    data = rocksdb_pinnableslice_value(slice, &len);
    if (len == 0 && options == l->read_memory) {
        /* RocksDB says so too of a table that is not in its table cache (its issue 8453). */
        rocksdb_pinnableslice_destroy(slice);
        return WFL_PENDING;
    }
    get->pin = (struct wfl_pin){
        .value = wfl_slice_of(data, len), .release = release_pinned, .handle = slice};
    return WFL_OK;
}

static uint64_t get_in_pool(struct wfl_job *job)
{
    struct wfl_engine_get *get =
        (struct wfl_engine_get *)(void *)((char *)job - offsetof(struct wfl_engine_get, own.job));

    struct local *l = local_of(get->own.engine);
    uint64_t      bytes;

    get->rc = get_with(l, l->read_disk, get);
    bytes = get->pin.value.len;
    get->done(get);
    return bytes;
}

static wfl_code local_get(struct wfl_engine *e, struct wfl_engine_get *get)
{
    struct local *l = local_of(e);
    wfl_code      rc = get_with(l, l->read_memory, get);

    if (rc == WFL_PENDING) {
        get->own.job = (struct wfl_job){.flow = get->flow, .run = get_in_pool};
        rc = wfl_pool_submit(l->pool, &get->own.job);
        if (rc == WFL_PENDING) return rc; /* `get` may be gone already */
        wfl_fail(&get->err, rc, "read queue is full or closed");
    }
    get->rc = rc;
    return rc;
}

static wfl_code local_read(struct wfl_engine *e, enum wfl_space space, wfl_slice key,
                           struct wfl_pin *pin, wfl_error *err)
{
    struct local         *l = local_of(e);
    struct wfl_engine_get get = {.space = space, .key = key};
    wfl_code              rc = get_with(l, l->read_disk, &get);

    *pin = get.pin;
    if (rc != WFL_OK) *err = get.err;
    return rc;
}

/* ---- range */

static void it_seek(void *at, wfl_slice key)
{
    rocksdb_iter_seek(at, (const char *)key.data, key.len);
}

static void it_seek_last(void *at, wfl_slice key)
{
    if (key.len == 0) {
        rocksdb_iter_seek_to_last(at);
    } else {
        rocksdb_iter_seek_for_prev(at, (const char *)key.data, key.len);
    }
}

static void it_step(void *at, bool back)
{
    if (back) {
        rocksdb_iter_prev(at);
    } else {
        rocksdb_iter_next(at);
    }
}

static bool it_valid(void *at)
{
    return rocksdb_iter_valid(at) != 0;
}

static void it_read(void *at, wfl_slice *key, wfl_slice *value)
{
    size_t      len;
    const char *data = rocksdb_iter_key(at, &len);

    *key = wfl_slice_of(data, len);
    data = rocksdb_iter_value(at, &len);
    *value = wfl_slice_of(data, len);
}

static wfl_code it_status(void *at, wfl_error *err)
{
    char *text = NULL;

    rocksdb_iter_get_error(at, &text);
    return text == NULL ? WFL_OK : wfl_local_fail(text, "listing", err);
}

static const struct wfl_cursor_ops iterator_ops = {
    .seek = it_seek,
    .seek_last = it_seek_last,
    .step = it_step,
    .valid = it_valid,
    .read = it_read,
    .status = it_status,
};

/* Bytes that the page holds. */
static uint64_t fill_range(struct local *l, struct wfl_engine_range *range)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    rocksdb_iterator_t    *it;
    uint64_t               bytes = 0;

    /* Bounds keep RocksDB from reading what lies behind: deleted neighbours of another bucket. */
    if (range->from.len > 0) {
        rocksdb_readoptions_set_iterate_lower_bound(options, (const char *)range->from.data,
                                                    range->from.len);
    }
    if (range->to.len > 0) {
        rocksdb_readoptions_set_iterate_upper_bound(options, (const char *)range->to.data,
                                                    range->to.len);
    }
    it = rocksdb_create_iterator_cf(l->db, options, l->spaces[range->space]);
    range->rc = wfl_page_fill(range, &iterator_ops, it, l->alloc);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(options);
    for (uint32_t i = 0; i < range->count; i++)
        bytes += range->pairs[i].key.len + range->pairs[i].value.len;
    return bytes;
}

static uint64_t range_in_pool(struct wfl_job *job)
{
    struct wfl_engine_range *range =
        (struct wfl_engine_range *)(void *)((char *)job -
                                            offsetof(struct wfl_engine_range, own.job));
    uint64_t bytes = fill_range(local_of(range->own.engine), range);

    range->done(range);
    return bytes;
}

static wfl_code local_range_now(struct wfl_engine *e, struct wfl_engine_range *range)
{
    fill_range(local_of(e), range);
    return range->rc;
}

static wfl_code local_range(struct wfl_engine *e, struct wfl_engine_range *range)
{
    wfl_code rc;

    range->own.job = (struct wfl_job){
        .flow = range->flow, .cost = (uint64_t)range->limit * 256, .run = range_in_pool};
    rc = wfl_pool_submit(local_of(e)->pool, &range->own.job);
    if (rc == WFL_PENDING) return rc;
    range->rc = wfl_fail(&range->err, rc, "read queue is full or closed");
    return rc;
}

/* ---- views */

struct local_view {
    struct wfl_view           base;
    const rocksdb_snapshot_t *snapshot;
};

struct local_iter {
    struct wfl_iter         base;
    rocksdb_readoptions_t  *options;
    rocksdb_iterator_t     *it;
    const struct wfl_alloc *alloc;
};

static wfl_code local_view_open(struct wfl_engine *e, struct wfl_view **out, wfl_error *err)
{
    struct local      *l = local_of(e);
    struct local_view *v = wfl_alloc_zero(l->alloc, 1, sizeof *v);

    if (v == NULL) return wfl_fail(err, WFL_NOMEM, "view: out of memory");
    v->base.engine = e;
    v->snapshot = rocksdb_create_snapshot(l->db);
    *out = &v->base;
    return WFL_OK;
}

static void local_view_close(struct wfl_view *view)
{
    struct local_view *v = (struct local_view *)(void *)view;
    struct local      *l = local_of(view->engine);

    rocksdb_release_snapshot(l->db, v->snapshot);
    wfl_alloc_free(l->alloc, v);
}

static void local_iter_close(struct wfl_iter *it)
{
    struct local_iter *i = (struct local_iter *)(void *)it;

    rocksdb_iter_destroy(i->it);
    rocksdb_readoptions_destroy(i->options);
    wfl_alloc_free(i->alloc, i);
}

static wfl_code local_iter_open(struct wfl_view *view, enum wfl_space space, wfl_slice to,
                                struct wfl_iter **out, wfl_error *err)
{
    struct local_view *v = (struct local_view *)(void *)view;
    struct local      *l = local_of(view->engine);
    struct local_iter *i = wfl_alloc_zero(l->alloc, 1, sizeof *i);

    if (i == NULL) return wfl_fail(err, WFL_NOMEM, "iterator: out of memory");
    i->alloc = l->alloc;
    i->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(i->options, v->snapshot);
    if (to.len > 0)
        rocksdb_readoptions_set_iterate_upper_bound(i->options, (const char *)to.data, to.len);
    i->it = rocksdb_create_iterator_cf(l->db, i->options, l->spaces[space]);
    i->base = (struct wfl_iter){.ops = &iterator_ops, .at = i->it, .close = local_iter_close};
    *out = &i->base;
    return WFL_OK;
}

/* ---- work, figures, copies */

static uint64_t work_in_pool(struct wfl_job *job)
{
    struct wfl_engine_work *work =
        (struct wfl_engine_work *)(void *)((char *)job - offsetof(struct wfl_engine_work, own.job));

    uint64_t bytes = work->bytes;

    work->run(work);
    return bytes;
}

static wfl_code local_work(struct wfl_engine *e, struct wfl_engine_work *work)
{
    work->own.job = (struct wfl_job){
        .flow = work->flow, .cost = work->bytes, .computes = work->computes, .run = work_in_pool};
    return wfl_pool_submit(local_of(e)->pool, &work->own.job);
}

static void local_set_hooks(struct wfl_engine *e, const struct wfl_group_hooks *hooks)
{
    struct local *l = local_of(e);

    wfl_mutex_lock(&l->lock); /* under which the committer takes them, a group at a time */
    l->hooks = *hooks;
    while (l->in_group) /* with those before; only a moment, and never on the committer itself */
        wfl_mutex_wait(&l->lock, &l->group_end);
    wfl_mutex_unlock(&l->lock);
}

static void local_stats(struct wfl_engine *e, struct wfl_engine_stats *out)
{
    struct local *l = local_of(e);
    uint64_t      tables = 0;

    out->read_only = l->read_only;
    if (out->read_only)
        memcpy(out->read_only_reason, l->read_only_reason, sizeof out->read_only_reason);
    out->commits = l->commits;
    out->groups = l->groups;
    out->syncs = l->syncs;
    wfl_mutex_lock(&l->lock);
    out->queued = l->queue.count;
    wfl_mutex_unlock(&l->lock);
    out->pool_queued = wfl_pool_queued(l->pool);
    wfl_segments_stats(l, out);
    out->memory_bytes = rocksdb_cache_get_usage(l->cache);
    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        if (rocksdb_property_int_cf(l->db, l->spaces[i], "rocksdb.cur-size-all-mem-tables",
                                    &tables) == 0) {
            out->memory_bytes += tables;
        }
    }
}

static wfl_code checkpoint_records(struct local *l, const char *path, wfl_error *err)
{
    char                 *text = NULL;
    rocksdb_checkpoint_t *point = rocksdb_checkpoint_object_create(l->db, &text);

    if (text != NULL) return wfl_local_fail(text, "checkpoint", err);
    rocksdb_checkpoint_create(point, path, 0, &text);
    rocksdb_checkpoint_object_destroy(point);
    return text == NULL ? WFL_OK : wfl_local_fail(text, "checkpoint", err);
}

static wfl_code local_checkpoint(struct wfl_engine *e, const char *path, wfl_error *err)
{
    return wfl_segments_checkpoint(local_of(e), path, checkpoint_records, err);
}

/* ---- open and close */

static void local_stop(struct wfl_engine *e)
{
    struct local *l = local_of(e);

    l->segments.closing = true;
    wfl_rewriter_stop(l); /* before the committer, which carries its commits out */
    wfl_local_committer_stop(l);
    if (l->pool != NULL) wfl_pool_stop(l->pool);
}

static void local_close(struct wfl_engine *e)
{
    struct local *l = local_of(e);

    local_stop(e);
    wfl_pool_free(l->pool);
    wfl_segments_close(l);
    if (l->db != NULL && l->unsynced && !l->read_only) {
        char *text = NULL;

        rocksdb_flush_wal(l->db, 1, &text);
        rocksdb_free(text); /* of buffered writes only, which promise nothing */
    }
    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        if (l->spaces[i] != NULL) rocksdb_column_family_handle_destroy(l->spaces[i]);
    }
    for (int i = 0; i < FAMILY_COUNT; i++) {
        if (l->families[i] != NULL) rocksdb_column_family_handle_destroy(l->families[i]);
    }
    if (l->db != NULL) rocksdb_close(l->db);
    wfl_local_options_free(l);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->group_end);
    wfl_mutex_fini(&l->lock);
    wfl_alloc_free(l->alloc, l);
}

static const struct wfl_engine_ops local_ops = {
    .get = local_get,
    .range = local_range,
    .range_now = local_range_now,
    .view_open = local_view_open,
    .view_close = local_view_close,
    .iter_open = local_iter_open,
    .work = local_work,
    .read = local_read,
    .blob_write = wfl_local_blob_write,
    .blob_sync = wfl_local_blob_sync,
    .blob_abandon = wfl_local_blob_abandon,
    .blob_open = wfl_local_blob_open,
    .blob_walk = wfl_local_blob_walk,
    .blob_recount = wfl_local_blob_recount,
    .commit = wfl_local_commit,
    .set_hooks = local_set_hooks,
    .stats = local_stats,
    .checkpoint = local_checkpoint,
    .stop = local_stop,
    .close = local_close,
};

/* RocksDB wants its "default" column family too; it stays empty. */
static wfl_code open_database(struct local *l, const char *path, wfl_error *err)
{
    enum { COUNT = 1 + WFL_SPACE_COUNT + FAMILY_COUNT };

    const char                     *names[COUNT] = {"default"};
    const rocksdb_options_t        *options[COUNT] = {l->options};
    rocksdb_column_family_handle_t *handles[COUNT] = {NULL};
    char                           *text = NULL;

    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        names[i + 1] = wfl_space_names[i];
        options[i + 1] = l->space_options[i];
    }
    for (int i = 0; i < FAMILY_COUNT; i++) {
        names[1 + WFL_SPACE_COUNT + i] = family_names[i];
        options[1 + WFL_SPACE_COUNT + i] = l->family_options;
    }
    l->db = rocksdb_open_column_families(l->options, path, COUNT, names, options, handles, &text);
    if (text != NULL) {
        /* Whole phrases: "lock" alone is in "block checksum mismatch" too. */
        bool locked = strstr(text, "While lock file") != NULL ||
                      strstr(text, "lock hold by current process") != NULL;

        wfl_local_fail(text, "open", err);
        return locked ? wfl_fail(err, WFL_IO, "%s is in use by another process", path)
                      : wfl_wrap(err, "%s", path);
    }
    rocksdb_column_family_handle_destroy(handles[0]);
    memcpy(l->spaces, handles + 1, sizeof l->spaces);
    memcpy(l->families, handles + 1 + WFL_SPACE_COUNT, sizeof l->families);
    return WFL_OK;
}

wfl_code wfl_local_make_folder(const struct local *l, const char *path, wfl_error *err)
{
    size_t   len = strlen(path);
    char    *parent;
    int      fd;
    wfl_code rc;

    if (mkdir(path, 0700) != 0) { return errno == EEXIST ? WFL_OK : wfl_fail_errno(err, path); }
    parent = wfl_alloc_get(l->alloc, len + sizeof "/..");
    if (parent == NULL) return wfl_fail(err, WFL_NOMEM, "engine: out of memory");
    memcpy(parent, path, len);
    memcpy(parent + len, "/..", sizeof "/..");
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = fd < 0 || fsync(fd) != 0 ? wfl_fail_errno(err, parent) : WFL_OK;
    if (fd >= 0) close(fd);
    wfl_alloc_free(l->alloc, parent);
    return rc;
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

/* The other half is for reactors and the committer. */
static uint32_t half_of_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 4 ? 1 : (uint32_t)(n / 2);
}

wfl_code wfl_engine_open_local(const struct wfl_local_config *config, struct wfl_engine **out,
                               wfl_error *err)
{
    struct local *l = wfl_alloc_zero(config->alloc, 1, sizeof *l);
    wfl_code      rc;

    if (l == NULL) return wfl_fail(err, WFL_NOMEM, "engine: out of memory");
    l->base.ops = &local_ops;
    l->alloc = config->alloc;
    l->clock = config->clock == NULL ? &wfl_clock_system : config->clock;
    l->queue.count_max = or_default(config->commit_queue_max, 16384);
    l->queue.bytes_max =
        config->commit_queue_bytes_max == 0 ? 64u << 20 : config->commit_queue_bytes_max;
    wfl_random_fill(&wfl_random_system, (uint8_t *)&l->queue.salt, sizeof l->queue.salt);
    l->group_bytes_max = config->group_bytes_max == 0 ? 16u << 20 : config->group_bytes_max;
    wfl_mutex_init(&l->lock, WFL_RANK_ENGINE);
    pthread_cond_init(&l->wake, NULL);
    pthread_cond_init(&l->group_end, NULL);
    wfl_segments_init(l, config);
    rc = wfl_local_make_folder(l, config->path, err);
    if (rc == WFL_OK) {
        wfl_local_options_new(l, config);
        rc = open_database(l, config->path, err);
    }
    if (rc == WFL_OK) {
        rc = wfl_pool_new(or_default(config->pool_threads, 4),
                          or_default(config->pool_queue_max, 4096), &l->company,
                          half_of_processors(), l->alloc, &l->pool, err);
    }
    if (rc == WFL_OK) rc = wfl_segments_open(l, config->path, err);
    if (rc == WFL_OK) rc = wfl_local_committer_start(l, err);
    if (rc == WFL_OK) rc = wfl_rewriter_start(l, err);
    if (rc != WFL_OK) {
        local_close(&l->base);
        return rc;
    }
    *out = &l->base;
    return WFL_OK;
}
