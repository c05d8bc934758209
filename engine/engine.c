/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.h's functions, handed to the engine behind them. */
#include "engine/engine_private.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define WFL_SPACE_NAME(name, text) text,
const char *const wfl_space_names[WFL_SPACE_COUNT] = {WFL_SPACES(WFL_SPACE_NAME)};
#undef WFL_SPACE_NAME

void wfl_pin_release(struct wfl_pin *pin)
{
    if (pin->release != NULL) pin->release(pin);
    *pin = (struct wfl_pin){0};
}

wfl_code wfl_engine_get(struct wfl_engine *e, struct wfl_engine_get *get)
{
    get->rc = WFL_PENDING;
    get->pin = (struct wfl_pin){0};
    get->own.engine = e;
    return e->ops->get(e, get);
}

wfl_code wfl_engine_range(struct wfl_engine *e, struct wfl_engine_range *range)
{
    range->rc = WFL_PENDING;
    range->pairs = NULL;
    range->count = 0;
    range->more = false;
    range->own.engine = e;
    range->own.memory = NULL;
    return e->ops->range(e, range);
}

wfl_code wfl_engine_work(struct wfl_engine *e, struct wfl_engine_work *work)
{
    return e->ops->work(e, work);
}

wfl_code wfl_engine_commit(struct wfl_engine *e, struct wfl_commit *c)
{
    c->rc = WFL_PENDING;
    c->own.next = NULL;
    return e->ops->commit(e, c);
}

void wfl_engine_set_hooks(struct wfl_engine *e, const struct wfl_group_hooks *hooks)
{
    e->ops->set_hooks(e, hooks);
}

void wfl_engine_stats(struct wfl_engine *e, struct wfl_engine_stats *out)
{
    memset(out, 0, sizeof *out);
    e->ops->stats(e, out);
}

wfl_code wfl_engine_checkpoint(struct wfl_engine *e, const char *path, wfl_error *err)
{
    return e->ops->checkpoint(e, path, err);
}

void wfl_engine_stop(struct wfl_engine *e)
{
    if (e != NULL) e->ops->stop(e);
}

void wfl_engine_close(struct wfl_engine *e)
{
    if (e != NULL) e->ops->close(e);
}

wfl_code wfl_txn_get(struct wfl_txn *t, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                     wfl_error *err)
{
    *pin = (struct wfl_pin){0};
    return t->ops->get(t, space, key, pin, err);
}

wfl_code wfl_txn_put(struct wfl_txn *t, enum wfl_space space, wfl_slice key, const wfl_slice *parts,
                     size_t part_count, wfl_error *err)
{
    return t->ops->put(t, space, key, parts, part_count, err);
}

wfl_code wfl_txn_delete(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_error *err)
{
    return t->ops->remove(t, space, key, err);
}

/* ---- blobs */

wfl_code wfl_engine_read(struct wfl_engine *e, enum wfl_space space, wfl_slice key,
                         struct wfl_pin *pin, wfl_error *err)
{
    *pin = (struct wfl_pin){0};
    return e->ops->read(e, space, key, pin, err);
}

wfl_code wfl_engine_blob_write(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                               const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err)
{
    assert(name.len > 0 && name.len <= WFL_BLOB_NAME_MAX);
    assert(content.len > 0 && content.len <= WFL_BLOB_BYTES_MAX);
    return e->ops->blob_write(e, name, content, hash, out, err);
}

wfl_code wfl_engine_blob_sync(struct wfl_engine *e, const struct wfl_blob_place *places,
                              size_t count, wfl_error *err)
{
    return e->ops->blob_sync(e, places, count, err);
}

void wfl_engine_blob_abandon(struct wfl_engine *e, const struct wfl_blob_place *place)
{
    e->ops->blob_abandon(e, place);
}

wfl_code wfl_engine_blob_open(struct wfl_engine *e, wfl_slice name, bool always,
                              struct wfl_blob *out, wfl_error *err)
{
    *out = (struct wfl_blob){.fd = -1};
    return e->ops->blob_open(e, name, always, out, err);
}

void wfl_blob_close(struct wfl_blob *blob)
{
    struct wfl_blob_handle *handle = blob->handle;

    *blob = (struct wfl_blob){0};
    if (handle != NULL) handle->close(handle);
}

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

const uint8_t *wfl_blob_map(const struct wfl_blob *blob, uint32_t at, uint32_t n)
{
    uint64_t from = blob->offset + at, before = from % page_bytes();
    uint8_t *map;

    assert(n > 0 && n <= blob->len && at <= blob->len - n);
    map = mmap(NULL, before + n, PROT_READ, MAP_SHARED, blob->fd, (off_t)(from - before));
    return map == MAP_FAILED ? NULL : map + before;
}

void wfl_blob_unmap(const uint8_t *map, uint32_t at, uint32_t n)
{
    uintptr_t from = (uintptr_t)map, before = from % page_bytes();

    (void)at;
    if (munmap((void *)(from - before), before + n) != 0) assert(false);
}

wfl_code wfl_blob_copy(const struct wfl_blob *blob, uint32_t at, uint32_t n, uint8_t *out,
                       wfl_error *err)
{
    assert(n <= blob->len && at <= blob->len - n);
    while (n > 0) {
        ssize_t got = pread(blob->fd, out, n, (off_t)(blob->offset + at));

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return wfl_fail_errno(err, "read of a blob");
        if (got == 0) return wfl_fail(err, WFL_IO, "read of a blob: its file is too short");
        at += (uint32_t)got;
        n -= (uint32_t)got;
        out += got;
    }
    return WFL_OK;
}

wfl_code wfl_engine_blob_walk(struct wfl_engine *e, struct wfl_blob_walk *walk, wfl_error *err)
{
    return e->ops->blob_walk(e, walk, err);
}

wfl_code wfl_engine_blob_recount(struct wfl_engine *e, wfl_error *err)
{
    return e->ops->blob_recount(e, err);
}

wfl_code wfl_txn_blob_keep(struct wfl_txn *t, wfl_slice name, const struct wfl_blob_place *place,
                           wfl_error *err)
{
    assert(name.len > 0 && name.len <= WFL_BLOB_NAME_MAX);
    return t->ops->blob_keep(t, name, place, err);
}

wfl_code wfl_txn_blob_drop(struct wfl_txn *t, wfl_slice name, wfl_error *err)
{
    return t->ops->blob_drop(t, name, err);
}
