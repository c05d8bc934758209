/* SPDX-License-Identifier: Apache-2.0
 *
 * Large content on its way in. Each chunk is hashed, looked for in the bucket, and written where it
 * is not there; a page of chunks is synced and committed as it fills, and the rest goes into the
 * commit that names the content. The first page that is committed comes with a trash record, which
 * the naming commit removes: a content that is never named, because its sender went away or the
 * machine did, is thus taken back by the collector like any other that lost its owner. The manifest
 * is active until then, so the collector waits.
 *
 * A chunk that is there is looked at before an upload rests on it; one that is damaged is written
 * anew, and the commit puts it in the place of the old one.
 *
 * Blobs are synced before any commit that names them, buffered ones too: another upload may rest on
 * the chunk with a durable commit. */
#include <assert.h>

#include "store/chunks.h"

struct entry { /* of the page that fills */
    struct wfl_record_chunk chunk;
    struct wfl_blob_place   place;
    bool                    placed; /* written, and neither kept nor abandoned yet */
    bool                    kept;   /* by the commit under way: a blob, once that is stored */
    bool                    leased;
    bool                    heals; /* what is in the bucket is damaged: the place takes its place */
};

struct wfl_ingest {
    struct wfl_store *store;
    uint32_t          id; /* the bucket's */
    uint64_t          flow;
    wfl_ulid          manifest;
    struct wfl_hasher whole;
    uint64_t          hashed; /* bytes of it; another thread's than what follows */
    uint64_t          size;
    uint32_t          pages; /* committed */
    struct entry      page[WFL_MANIFEST_PAGE_CHUNKS];
    uint32_t          count;
    bool              short_chunk; /* the last one has come */
    bool              sealed, failed;
    bool              named; /* by a commit that is stored */
};

static wfl_hash hash_of(const struct entry *e)
{
    wfl_hash hash;

    memcpy(hash.bytes, e->chunk.hash, sizeof hash.bytes);
    return hash;
}

wfl_code wfl_ingest_new(struct wfl_store *s, wfl_slice bucket, struct wfl_ingest **out,
                        wfl_error *err)
{
    struct wfl_ingest *c;
    struct bucket_view b;
    wfl_code           rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc != WFL_OK) return rc;
    c = wfl_alloc_zero(s->alloc, 1, sizeof *c);
    if (c == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for an upload");
    c->store = s;
    c->id = b.id;
    c->flow = wfl_flow_of(bucket);
    wfl_random_fill(s->random, c->manifest.bytes, sizeof c->manifest.bytes);
    wfl_hasher_init(&c->whole);
    rc = wfl_active_enter(s, &c->manifest);
    if (rc != WFL_OK) {
        wfl_alloc_free(s->alloc, c);
        return wfl_fail(err, rc, "no memory for an upload");
    }
    *out = c;
    return WFL_OK;
}

/* ---- one chunk */

/* The same content earlier in this page: it will be there by the time this entry is counted. */
static bool in_page(const struct wfl_ingest *c, const struct entry *e)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (memcmp(c->page[i].chunk.hash, e->chunk.hash, WFL_HASH_LEN) == 0) return true;
    return false;
}

/* An upload does not rest on what cannot be read: it writes it anew, which heals all that have it.
 */
static wfl_code look_at_blob(struct wfl_ingest *c, struct entry *e, wfl_slice name, wfl_error *err)
{
    struct wfl_blob blob = {0};
    wfl_code        rc = wfl_engine_blob_open(c->store->engine, name, false, &blob, err);

    e->heals = rc == WFL_CORRUPT_OBJECT || rc == WFL_NOT_FOUND || rc == WFL_IO ||
               (rc == WFL_OK && blob.len != e->chunk.len);
    wfl_blob_close(&blob);
    return e->heals ? WFL_OK : rc;
}

/* Is it in the bucket? Then this upload holds a lease on it. */
static wfl_code look_for(struct wfl_ingest *c, struct entry *e, wfl_error *err)
{
    wfl_hash       hash = hash_of(e);
    uint8_t        space[WFL_CHUNK_KEY_LEN];
    wfl_slice      name = wfl_key_chunk(c->id, &hash, space);
    struct wfl_pin pin = {0};
    wfl_code       rc;

    switch (wfl_lease_take(c->store, c->id, &hash)) {
    case LEASE_REFUSED:
        return WFL_OK;
    case LEASE_NOMEM:
        return wfl_fail(err, WFL_NOMEM, "no memory for a chunk");
    case LEASE_HELD:
        break;
    }
    rc = wfl_engine_read(c->store->engine, WFL_SPACE_CHUNKS, name, &pin, err);
    wfl_pin_release(&pin);
    if (rc == WFL_OK) rc = look_at_blob(c, e, name, err);
    e->leased = rc == WFL_OK;
    if (!e->leased) wfl_lease_give(c->store, c->id, &hash);
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

static wfl_code write_chunk(struct wfl_ingest *c, struct entry *e, wfl_slice bytes, wfl_error *err)
{
    wfl_hash hash = hash_of(e);
    uint8_t  space[WFL_CHUNK_KEY_LEN];
    wfl_code rc = wfl_engine_blob_write(c->store->engine, wfl_key_chunk(c->id, &hash, space), bytes,
                                        &hash, &e->place, err);

    e->placed = rc == WFL_OK;
    return rc;
}

/* ---- a page */

/* Leases, and places that did not become blobs. */
static void let_go(struct wfl_ingest *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct entry *e = &c->page[i];
        wfl_hash      hash = hash_of(e);

        if (e->leased) wfl_lease_give(c->store, c->id, &hash);
        if (e->placed) wfl_engine_blob_abandon(c->store->engine, &e->place);
    }
    c->count = 0;
}

/* The commit that named the page's chunks is stored. */
static void page_stored(struct wfl_ingest *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        if (c->page[i].kept) c->page[i].placed = false;
    let_go(c);
}

static wfl_code sync_page(struct wfl_ingest *c, wfl_error *err)
{
    struct wfl_blob_place places[WFL_MANIFEST_PAGE_CHUNKS];
    size_t                count = 0;

    for (uint32_t i = 0; i < c->count; i++)
        if (c->page[i].placed) places[count++] = c->page[i].place;
    return count == 0 ? WFL_OK : wfl_engine_blob_sync(c->store->engine, places, count, err);
}

/* References and the page's record. */
static wfl_code write_page(struct wfl_ingest *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_record_chunk chunks[WFL_MANIFEST_PAGE_CHUNKS];
    uint8_t                 key[WFL_MANIFEST_KEY_LEN], space[WFL_RECORD_PAGE_MAX];

    if (c->count == 0) return WFL_OK;
    for (uint32_t i = 0; i < c->count; i++) {
        struct entry *e = &c->page[i];
        wfl_hash      hash = hash_of(e);
        wfl_code rc = wfl_chunk_ref(t, c->id, &hash, e->placed ? &e->place : NULL, e->chunk.len,
                                    e->heals, &e->kept, err);

        if (rc != WFL_OK) return rc;
        chunks[i] = e->chunk;
    }
    wfl_slice bytes = wfl_slice_of(space, wfl_record_page_write(chunks, c->count, space));
    return wfl_txn_put(t, WFL_SPACE_MANIFESTS, wfl_key_manifest(c->id, &c->manifest, c->pages, key),
                       &bytes, 1, err);
}

static wfl_code page_apply(struct wfl_commit *commit, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_ingest *c = commit->arg;
    wfl_code           rc = write_page(c, t, err);

    if (rc != WFL_OK || c->pages > 0) return rc;
    return wfl_manifest_to_trash(c->store, t, c->id, &c->manifest, WFL_RECORD_CHUNKS, err);
}

static wfl_code commit_page(struct wfl_ingest *c, wfl_error *err)
{
    wfl_code rc = sync_page(c, err);

    if (rc == WFL_OK)
        rc = wfl_wait_commit(c->store,
                             &(struct wait_commit){.apply = page_apply,
                                                   .arg = c,
                                                   .bytes = 4 * WFL_RECORD_PAGE_MAX,
                                                   .flow = c->flow,
                                                   .durability = WFL_BUFFERED,
                                                   .grows = true},
                             err);
    if (rc != WFL_OK) return rc;
    page_stored(c);
    c->pages++;
    return WFL_OK;
}

/* ---- the way in */

static wfl_code add(struct wfl_ingest *c, wfl_slice bytes, wfl_error *err)
{
    struct entry *e;
    wfl_hash      hash = wfl_hash_of(bytes);
    wfl_code      rc = WFL_OK;

    if (c->count == WFL_MANIFEST_PAGE_CHUNKS) rc = commit_page(c, err);
    if (rc != WFL_OK) return rc;
    e = &c->page[c->count];
    *e = (struct entry){.chunk = {.len = (uint32_t)bytes.len}};
    memcpy(e->chunk.hash, hash.bytes, sizeof e->chunk.hash);
    if (!in_page(c, e)) {
        rc = look_for(c, e, err);
        if (rc == WFL_OK && (!e->leased || e->heals)) rc = write_chunk(c, e, bytes, err);
    }
    if (rc != WFL_OK && e->leased) wfl_lease_give(c->store, c->id, &hash);
    if (rc != WFL_OK) return rc;
    c->count++;
    c->size += bytes.len;
    return WFL_OK;
}

void wfl_ingest_hash(struct wfl_ingest *c, wfl_slice bytes)
{
    wfl_hasher_add(&c->whole, bytes);
    c->hashed += bytes.len;
}

wfl_code wfl_ingest_add_chunk(struct wfl_ingest *c, wfl_slice bytes, wfl_error *err)
{
    assert(!c->sealed && !c->failed && !c->short_chunk);
    assert(bytes.len > 0 && bytes.len <= WFL_CHUNK_BYTES);
    c->short_chunk = bytes.len < WFL_CHUNK_BYTES;
    wfl_code rc = add(c, bytes, err);
    c->failed = rc != WFL_OK;
    return rc;
}

wfl_code wfl_ingest_add(struct wfl_ingest *c, wfl_slice bytes, wfl_error *err)
{
    wfl_ingest_hash(c, bytes);
    return wfl_ingest_add_chunk(c, bytes, err);
}

/* Then the chunk's hash is that of the whole. */
static bool is_one_chunk(const struct wfl_ingest *c)
{
    return c->pages == 0 && c->count == 1;
}

wfl_code wfl_ingest_seal(struct wfl_ingest *c, uint64_t *size, wfl_hash *blake3, wfl_error *err)
{
    assert(!c->sealed && !c->failed && (c->hashed == c->size || is_one_chunk(c)));
    wfl_code rc = sync_page(c, err);
    c->failed = rc != WFL_OK;
    if (rc != WFL_OK) return rc;
    c->sealed = true;
    *size = c->size;
    *blake3 = is_one_chunk(c) ? hash_of(&c->page[0]) : wfl_hasher_result(&c->whole);
    return WFL_OK;
}

/* ---- its name */

uint32_t wfl_ingest_bucket(const struct wfl_ingest *c)
{
    return c->id;
}

const wfl_ulid *wfl_ingest_manifest(const struct wfl_ingest *c)
{
    return &c->manifest;
}

wfl_code wfl_ingest_commit(struct wfl_ingest *c, struct wfl_txn *t, wfl_error *err)
{
    uint8_t  key[WFL_UPLOAD_KEY_MAX];
    wfl_code rc;

    assert(c->sealed && !c->named);
    rc = write_page(c, t, err);
    if (rc != WFL_OK || c->pages == 0) return rc;
    return wfl_txn_delete(t, WFL_SPACE_UPLOADS,
                          wfl_key_upload(WFL_UPLOAD_TRASH, c->id, &c->manifest, key), err);
}

void wfl_ingest_settled(struct wfl_ingest *c)
{
    page_stored(c);
    c->named = true;
}

void wfl_ingest_free(struct wfl_ingest *c)
{
    if (c == NULL) return;
    let_go(c);
    wfl_active_leave(c->store, &c->manifest);
    if (!c->named && c->pages > 0) wfl_collector_wake(c->store);
    wfl_alloc_free(c->store->alloc, c);
}
