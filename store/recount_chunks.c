/* SPDX-License-Identifier: Apache-2.0
 *
 * Chunks of a bucket against the pages that name them, and zeros against their markers. A pass
 * takes as many rows of CHUNKS as its table holds, which come in the order of their hashes, and
 * goes over all pages of the bucket for what lies between the first and the last of them. */
#include "store/recount.h"

#include <inttypes.h>

struct counted {
    uint8_t  hash[WFL_HASH_LEN];
    uint64_t count, named; /* as stored, as recounted */
    uint32_t len;
    bool     marked, damaged;
};

struct pass {
    struct recount      *r;
    struct recount_table table;                                   /* of struct counted */
    uint8_t              first[WFL_HASH_LEN], last[WFL_HASH_LEN]; /* of the pass, inclusive */
};

static const char *hex_of(const uint8_t hash[WFL_HASH_LEN])
{
    static _Thread_local char hex[2 * WFL_HASH_LEN + 1];

    wfl_hex_encode(wfl_slice_of(hash, WFL_HASH_LEN), hex);
    return hex;
}

static bool within(const struct pass *p, const uint8_t hash[WFL_HASH_LEN])
{
    return memcmp(hash, p->first, WFL_HASH_LEN) >= 0 && memcmp(hash, p->last, WFL_HASH_LEN) <= 0;
}

static int hash_order(const void *hash, const void *row)
{
    return memcmp(hash, ((const struct counted *)row)->hash, WFL_HASH_LEN);
}

static struct counted *find(const struct pass *p, const uint8_t hash[WFL_HASH_LEN])
{
    return wfl_recount_find(&p->table, hash, hash_order);
}

static wfl_code take_chunk(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct pass           *p = ctx;
    struct wfl_record_refs refs = {0};
    wfl_code               rc = wfl_recount_room(p->r, &p->table, err);

    if (rc != WFL_OK) return rc;
    if (pair->key.len != WFL_CHUNK_KEY_LEN) {
        wfl_recount_tell(p->r, "a chunk has a key of %zu bytes", pair->key.len);
        return WFL_OK;
    }
    struct counted *c = wfl_recount_row(&p->table, p->table.count++);
    *c = (struct counted){0};
    memcpy(c->hash, pair->key.data + WFL_ID_LEN, sizeof c->hash);
    const char *wrong = wfl_record_refs_read(pair->value.data, pair->value.len, &refs);
    c->damaged = wrong != NULL;
    if (c->damaged) wfl_recount_tell(p->r, "chunk %s: %s", hex_of(c->hash), wrong);
    c->count = refs.count;
    c->len = refs.len;
    p->r->chunk_rows++;
    return WFL_OK;
}

static wfl_code take_page(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    static _Thread_local struct manifest_page page;
    struct pass                              *p = ctx;
    wfl_slice                                 key = pair->key;

    (void)err;
    if (key.len != WFL_MANIFEST_KEY_LEN || /* told of with the manifests, as is damage */
        memcmp(key.data + key.len - 4, "\xFF\xFF\xFF\xFE", 4) >= 0 || /* owners, parts */
        wfl_record_page_read(pair->value.data, pair->value.len, page.chunks, &page.count) != NULL)
        return WFL_OK;
    for (uint32_t i = 0; i < page.count; i++) {
        const struct wfl_record_chunk *chunk = &page.chunks[i];
        if (!within(p, chunk->hash)) continue;
        struct counted *c = find(p, chunk->hash);
        if (c == NULL) {
            wfl_recount_tell(p->r, "chunk %s: a manifest names it, and it is not there",
                             hex_of(chunk->hash));
            continue;
        }
        c->named++;
        if (!c->damaged && c->len != chunk->len)
            wfl_recount_tell(p->r, "chunk %s: it has %" PRIu32 " bytes, a manifest says %" PRIu32,
                             hex_of(chunk->hash), c->len, chunk->len);
    }
    return WFL_OK;
}

static wfl_code take_marker(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct pass *p = ctx;

    (void)err;
    if (pair->key.len != 1 + WFL_ID_LEN + WFL_HASH_LEN) {
        if (!p->table.full) /* once: in the last pass */
            wfl_recount_tell(p->r, "a marker of a chunk has a key of %zu bytes", pair->key.len);
        return WFL_OK;
    }
    const uint8_t *hash = pair->key.data + 1 + WFL_ID_LEN;
    if (!within(p, hash)) return WFL_OK;
    struct counted *c = find(p, hash);
    if (c == NULL)
        wfl_recount_tell(p->r, "chunk %s: it is marked, and it is not there", hex_of(hash));
    else
        c->marked = true;
    return WFL_OK;
}

static void compare(struct pass *p)
{
    for (uint32_t i = 0; i < p->table.count; i++) {
        const struct counted *c = wfl_recount_row(&p->table, i);

        if (c->damaged) continue;
        if (c->count != c->named)
            wfl_recount_tell(p->r,
                             "chunk %s: %" PRIu64 " references are counted, %" PRIu64 " are there",
                             hex_of(c->hash), c->count, c->named);
        if (c->count == 0 && !c->marked)
            wfl_recount_tell(p->r, "chunk %s: its count is zero, and it is not marked",
                             hex_of(c->hash));
        if (c->count > 0 && c->marked)
            wfl_recount_tell(p->r, "chunk %s: it is marked, and its count is not zero",
                             hex_of(c->hash));
    }
}

static wfl_code fill(struct pass *p, wfl_error *err)
{
    uint8_t  from[WFL_CHUNK_KEY_LEN], to[WFL_ID_LEN];
    wfl_hash first;
    wfl_code rc;

    memcpy(first.bytes, p->first, sizeof first.bytes);
    p->table.count = 0;
    p->table.full = false;
    (void)wfl_key_bucket(p->r->id, to);
    rc =
        wfl_recount_rows(p->r, WFL_SPACE_CHUNKS, wfl_key_chunk(p->r->id, &first, from),
                         wfl_slice_of(to, wfl_key_after_prefix(to, sizeof to)), take_chunk, p, err);
    if (rc != WFL_OK && !p->table.full) return rc;
    if (p->table.full)
        memcpy(p->last, wfl_recount_row(&p->table, p->table.count - 1), sizeof p->last);
    else
        memset(p->last, 0xFF, sizeof p->last);
    return WFL_OK;
}

static wfl_code run(struct pass *p, wfl_error *err)
{
    static const wfl_hash none = {{0}};
    uint8_t               id[WFL_ID_LEN], key[WFL_UPLOAD_KEY_MAX];
    wfl_slice markers = wfl_slice_of(wfl_key_zero(p->r->id, &none, key).data, 1 + WFL_ID_LEN);
    wfl_code  rc;

    do {
        rc = fill(p, err);
        if (rc == WFL_OK)
            rc = wfl_recount_prefix(p->r, WFL_SPACE_MANIFESTS, wfl_key_bucket(p->r->id, id),
                                    take_page, p, err);
        if (rc == WFL_OK)
            rc = wfl_recount_prefix(p->r, WFL_SPACE_UPLOADS, markers, take_marker, p, err);
        if (rc != WFL_OK) return rc;
        compare(p);
        memcpy(p->first, p->last, sizeof p->first);
        for (size_t i = WFL_HASH_LEN; i > 0 && ++p->first[i - 1] == 0; i--) {}
    } while (p->table.full);
    return WFL_OK;
}

wfl_code wfl_recount_chunks(struct recount *r, wfl_error *err)
{
    struct pass p = {.r = r, .table = {.what = "chunks", .row_bytes = sizeof(struct counted)}};
    wfl_code    rc = run(&p, err);

    wfl_alloc_free(r->store->alloc, p.table.rows);
    return rc;
}
