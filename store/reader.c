/* SPDX-License-Identifier: Apache-2.0
 *
 * Large content on its way out: from an offset to a chunk by arithmetic, one page of the manifest
 * in memory, one chunk open at a time. The get that the reader was made from keeps the manifest
 * active, so what is deleted meanwhile stays readable to the end. Bytes come from the engine
 * verified; that a chunk is missing, or has another length than its manifest says, is
 * CORRUPT_OBJECT too. */
#include <assert.h>

#include "store/reader.h"

struct wfl_reader {
    struct wfl_store *store;
    uint32_t          id; /* the bucket's */
    bool              always;
    uint64_t          at, end; /* what is still to be read of the whole */

    bool           in_parts;
    wfl_ulid       manifest; /* of the object */
    struct wfl_pin parts;    /* its list, where it is one of parts */
    uint32_t       part_count, part;

    wfl_ulid             extent;                 /* the manifest that is being read */
    uint64_t             extent_at, extent_size; /* where it begins in the whole */
    bool                 page_loaded;
    uint32_t             page_number;
    struct manifest_page page;
};

wfl_code wfl_reader_new(const struct wfl_get *get, uint64_t first, uint64_t count,
                        bool verify_always, struct wfl_reader **out, wfl_error *err)
{
    struct wfl_store  *s = get->own.store;
    struct wfl_reader *r = wfl_alloc_zero(s->alloc, 1, sizeof *r);

    assert(get->large && get->own.active);
    assert(count <= get->object.size && first <= get->object.size - count);
    if (r == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to read an object");
    r->store = s;
    r->id = get->own.id;
    r->always = verify_always;
    r->at = first;
    r->end = first + count;
    r->manifest = r->extent = get->own.manifest;
    r->in_parts = get->own.in_parts;
    r->extent_size = r->in_parts ? 0 : get->object.size;
    *out = r;
    return WFL_OK;
}

wfl_code wfl_reader_over(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest, uint64_t size,
                         struct wfl_reader **out, wfl_error *err)
{
    struct wfl_reader *r = wfl_alloc_zero(s->alloc, 1, sizeof *r);

    if (r == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to read an object");
    r->store = s;
    r->id = id;
    r->end = r->extent_size = size;
    r->manifest = r->extent = *manifest;
    *out = r;
    return WFL_OK;
}

static wfl_code missing(wfl_error *err, wfl_code rc, const char *what)
{
    if (rc != WFL_NOT_FOUND) return rc;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "%s is missing", what);
}

static wfl_code load_parts(struct wfl_reader *r, wfl_error *err)
{
    uint8_t  key[WFL_MANIFEST_KEY_LEN];
    wfl_code rc =
        wfl_engine_read(r->store->engine, WFL_SPACE_MANIFESTS,
                        wfl_key_manifest(r->id, &r->manifest, WFL_PAGE_PARTS, key), &r->parts, err);

    if (rc != WFL_OK) return missing(err, rc, "the list of parts");
    const char *wrong =
        wfl_record_parts_read(r->parts.value.data, r->parts.value.len, &r->part_count);
    return wrong == NULL ? WFL_OK
                         : wfl_fail(err, WFL_CORRUPT_OBJECT, "the list of parts: %s", wrong);
}

/* The manifest that holds `at`. Parts come in order, and reading only goes forward. */
static wfl_code find_extent(struct wfl_reader *r, wfl_error *err)
{
    struct wfl_record_extent extent;
    wfl_code                 rc = WFL_OK;

    if (!r->in_parts) return WFL_OK;
    if (r->parts.release == NULL && r->part_count == 0) rc = load_parts(r, err);
    if (rc != WFL_OK) return rc;
    while (r->at - r->extent_at >= r->extent_size) {
        if (r->part == r->part_count)
            return wfl_fail(err, WFL_CORRUPT_OBJECT, "the parts end before the object does");
        r->extent_at += r->extent_size;
        wfl_record_parts_at(r->parts.value.data, r->part++, &extent);
        memcpy(r->extent.bytes, extent.manifest, sizeof r->extent.bytes);
        r->extent_size = extent.size;
        r->page_loaded = false;
    }
    return WFL_OK;
}

static wfl_code find_chunk(struct wfl_reader *r, const struct wfl_record_chunk **out, uint32_t *at,
                           wfl_error *err)
{
    uint64_t within = r->at - r->extent_at, rest;
    uint32_t page = (uint32_t)(within / MANIFEST_PAGE_BYTES);
    uint32_t index = (uint32_t)(within % MANIFEST_PAGE_BYTES / WFL_CHUNK_BYTES);

    if (!r->page_loaded || r->page_number != page) {
        wfl_code rc = wfl_manifest_read_page(r->store, r->id, &r->extent, page, &r->page, err);

        if (rc != WFL_OK) return missing(err, rc, "a page of the manifest");
        r->page_loaded = true;
        r->page_number = page;
    }
    if (index >= r->page.count)
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "the manifest ends before the object does");
    *out = &r->page.chunks[index];
    *at = (uint32_t)(within % WFL_CHUNK_BYTES);
    rest = r->extent_size - (within - *at);
    if ((*out)->len != (rest < WFL_CHUNK_BYTES ? rest : WFL_CHUNK_BYTES))
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "the manifest's chunks are not the object's size");
    return WFL_OK;
}

wfl_code wfl_reader_next(struct wfl_reader *r, struct wfl_piece *out, wfl_error *err)
{
    const struct wfl_record_chunk *chunk = NULL;
    wfl_hash                       hash;
    uint8_t                        name[WFL_CHUNK_KEY_LEN];
    uint32_t                       at = 0;
    wfl_code                       rc;

    *out = (struct wfl_piece){0};
    if (r->at == r->end) return WFL_OK;
    rc = find_extent(r, err);
    if (rc == WFL_OK) rc = find_chunk(r, &chunk, &at, err);
    if (rc != WFL_OK) return rc;
    memcpy(hash.bytes, chunk->hash, sizeof hash.bytes);
    rc = wfl_engine_blob_open(r->store->engine, wfl_key_chunk(r->id, &hash, name), r->always,
                              &out->blob, err);
    if (rc != WFL_OK) return missing(err, rc, "a chunk");
    if (out->blob.len != chunk->len) {
        wfl_blob_close(&out->blob);
        return wfl_fail(err, WFL_CORRUPT_OBJECT,
                        "a chunk has another length than its manifest says");
    }
    out->at = at;
    out->len = chunk->len - at;
    if (out->len > r->end - r->at) out->len = (uint32_t)(r->end - r->at);
    r->at += out->len;
    return WFL_OK;
}

void wfl_reader_free(struct wfl_reader *r)
{
    if (r == NULL) return;
    wfl_pin_release(&r->parts);
    wfl_alloc_free(r->store->alloc, r);
}
