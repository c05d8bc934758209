/* SPDX-License-Identifier: Apache-2.0
 *
 * Which objects have a chunk. Nothing leads from a chunk to its objects (that would cost every
 * write), so all manifests of the bucket are read: the price of a question that is asked only when
 * a chunk is damaged. Objects that come or go meanwhile may be left out or named. Fails with what
 * reading may say; a manifest that cannot be read concerns its object too. */
#include "store/chunks.h"

#define OBJECTS_A_PAGE 1000

struct search {
    struct wfl_store           *store;
    const struct wfl_concerned *what;
    wfl_slice                   bucket; /* name */
    struct manifest_page        page;
};

static bool is_wanted(const struct search *s, const struct wfl_record_chunk *chunk)
{
    for (uint32_t i = 0; i < s->what->count; i++)
        if (memcmp(s->what->hashes[i].bytes, chunk->hash, WFL_HASH_LEN) == 0) return true;
    return false;
}

static wfl_code search_manifest(struct search *s, const wfl_ulid *manifest, uint64_t size,
                                bool *found, wfl_error *err)
{
    uint64_t pages = (size + MANIFEST_PAGE_BYTES - 1) / MANIFEST_PAGE_BYTES;

    for (uint32_t number = 0; number < pages && !*found; number++) {
        wfl_code rc =
            wfl_manifest_read_page(s->store, s->what->bucket_id, manifest, number, &s->page, err);

        if (rc == WFL_OK && *s->what->stop) rc = wfl_fail(err, WFL_CLOSED, "stopped");
        if (rc != WFL_OK) return rc;
        for (uint32_t i = 0; i < s->page.count && !*found; i++)
            *found = is_wanted(s, &s->page.chunks[i]);
    }
    return WFL_OK;
}

static wfl_code search_parts(struct search *s, const wfl_ulid *manifest, bool *found,
                             wfl_error *err)
{
    uint8_t        key[WFL_MANIFEST_KEY_LEN];
    struct wfl_pin pin = {0};
    uint32_t       count = 0;
    wfl_code       rc = wfl_engine_read(
              s->store->engine, WFL_SPACE_MANIFESTS,
              wfl_key_manifest(s->what->bucket_id, manifest, WFL_PAGE_PARTS, key), &pin, err);

    if (rc != WFL_OK) return rc;
    if (wfl_record_parts_read(pin.value.data, pin.value.len, &count) != NULL)
        rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "a list of parts fails its schema");
    for (uint32_t i = 0; rc == WFL_OK && i < count && !*found; i++) {
        struct wfl_record_extent extent;
        wfl_ulid                 part;

        wfl_record_parts_at(pin.value.data, i, &extent);
        memcpy(part.bytes, extent.manifest, sizeof part.bytes);
        rc = search_manifest(s, &part, extent.size, found, err);
    }
    wfl_pin_release(&pin);
    return rc;
}

static wfl_code search_object(struct search *s, const struct wfl_pair *pair, wfl_error *err)
{
    struct wfl_record_object record;
    wfl_slice                key = wfl_key_of_object(pair->key);
    wfl_ulid                 manifest, version;
    bool                     found = false;
    wfl_code                 rc = WFL_OK;

    if (wfl_record_load(pair->value, key, &record, err) != WFL_OK) return WFL_OK;
    memcpy(manifest.bytes, record.manifest, sizeof manifest.bytes);
    memcpy(version.bytes, record.version, sizeof version.bytes);
    if (record.storage == WFL_RECORD_CHUNKS)
        rc = search_manifest(s, &manifest, record.size, &found, err);
    else if (record.storage == WFL_RECORD_PARTS)
        rc = search_parts(s, &manifest, &found, err);
    found |= rc == WFL_NOT_FOUND || rc == WFL_CORRUPT_OBJECT;
    if (found) s->what->report(s->what->ctx, s->bucket, key, &version);
    return found ? WFL_OK : rc;
}

static wfl_code search_bucket(struct search *s, wfl_error *err)
{
    uint32_t                id = s->what->bucket_id;
    uint8_t                 from[WFL_OBJECT_KEY_MAX + 1], to[WFL_ID_LEN];
    struct wfl_engine_range range = {
        .space = WFL_SPACE_OBJECTS, .flow = id, .limit = OBJECTS_A_PAGE};
    wfl_code rc;

    (void)wfl_key_bucket(id, to);
    range.to = wfl_slice_of(to, wfl_key_after_prefix(to, sizeof to));
    range.from = wfl_key_bucket(id, from);
    do {
        rc = wfl_wait_range(s->store, &range, err);
        if (rc == WFL_OK && *s->what->stop) rc = wfl_fail(err, WFL_CLOSED, "stopped");
        for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++)
            rc = search_object(s, &range.pairs[i], err);
        if (rc == WFL_OK && range.more) { /* go on behind the last */
            wfl_slice last = range.pairs[range.count - 1].key;
            memcpy(from, last.data, last.len);
            from[last.len] = 0;
            range.from = wfl_slice_of(from, last.len + 1);
        }
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more);
    return rc;
}

wfl_code wfl_store_concerned(struct wfl_store *store, const struct wfl_concerned *what,
                             wfl_error *err)
{
    struct wfl_record_bucket record;
    uint8_t                  key[WFL_ID_LEN];
    struct wfl_pin           pin = {0};
    struct search           *s = wfl_alloc_zero(store->alloc, 1, sizeof *s);
    wfl_code                 rc;

    if (s == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to search a bucket");
    s->store = store;
    s->what = what;
    rc = wfl_engine_read(store->engine, WFL_SPACE_BUCKETS, wfl_key_bucket(what->bucket_id, key),
                         &pin, err);
    if (rc == WFL_NOT_FOUND) {
        rc = WFL_OK; /* deleted: no object is concerned */
    } else if (rc == WFL_OK) {
        const char *wrong = wfl_record_bucket_read(pin.value.data, pin.value.len, &record);
        s->bucket = wrong == NULL ? wfl_from_record(record.name) : (wfl_slice){0};
        rc = search_bucket(s, err);
    }
    wfl_pin_release(&pin);
    wfl_alloc_free(store->alloc, s);
    return rc;
}

bool wfl_store_chunk_name(wfl_slice name, uint32_t *bucket_id, wfl_hash *hash)
{
    wfl_slice id;

    if (name.len != WFL_CHUNK_KEY_LEN || !wfl_slice_take(&name, WFL_ID_LEN, &id)) return false;
    memcpy(hash->bytes, name.data, WFL_HASH_LEN);
    return wfl_key_read_bucket(id, bucket_id);
}
