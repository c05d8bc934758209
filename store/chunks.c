/* SPDX-License-Identifier: Apache-2.0
 *
 * How often each chunk is named. The count changes in the commit that names, or ceases to; the blob
 * comes with the first reference and goes with the last. A chunk whose last reference goes while an
 * upload holds a lease on it stays with a count of zero, and a marker beside it, so that a crash
 * cannot leave it behind unseen. Fails with what the engine says, and CORRUPT_OBJECT where a record
 * fails its schema. */
#include "store/chunks.h"

static wfl_code read_refs(struct wfl_txn *t, wfl_slice key, struct wfl_record_refs *out,
                          wfl_error *err)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_CHUNKS, key, &pin, err);

    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_refs_read(pin.value.data, pin.value.len, out);
    wfl_pin_release(&pin);
    return wrong == NULL ? WFL_OK
                         : wfl_fail(err, WFL_CORRUPT_OBJECT, "count of a chunk: %s", wrong);
}

static wfl_code write_refs(struct wfl_txn *t, wfl_slice key, const struct wfl_record_refs *refs,
                           wfl_error *err)
{
    uint8_t   space[WFL_RECORD_SMALL_MAX];
    wfl_slice bytes = wfl_slice_of(space, wfl_record_refs_write(refs, space));

    return wfl_txn_put(t, WFL_SPACE_CHUNKS, key, &bytes, 1, err);
}

static wfl_code remove_marker(struct wfl_txn *t, uint32_t id, const wfl_hash *hash, wfl_error *err)
{
    uint8_t key[WFL_UPLOAD_KEY_MAX];

    return wfl_txn_delete(t, WFL_SPACE_UPLOADS, wfl_key_zero(id, hash, key), err);
}

static wfl_code put_marker(struct wfl_txn *t, uint32_t id, const wfl_hash *hash, wfl_error *err)
{
    static const uint8_t zero = 0;
    uint8_t              key[WFL_UPLOAD_KEY_MAX];
    wfl_slice            value = wfl_slice_of(&zero, 1);

    return wfl_txn_put(t, WFL_SPACE_UPLOADS, wfl_key_zero(id, hash, key), &value, 1, err);
}

/* A blob that is missing is no failure, as in wfl_chunk_unref. */
static wfl_code drop_blob(struct wfl_txn *t, wfl_slice key, wfl_error *err)
{
    wfl_code rc = wfl_txn_blob_drop(t, key, err);

    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

static wfl_code drop_chunk(struct wfl_txn *t, wfl_slice key, wfl_error *err)
{
    wfl_code rc = wfl_txn_delete(t, WFL_SPACE_CHUNKS, key, err);

    return rc == WFL_OK ? drop_blob(t, key, err) : rc;
}

/* The blob of a chunk that is counted already. */
static wfl_code replace_blob(struct wfl_txn *t, wfl_slice key, const struct wfl_blob_place *place,
                             bool *kept, wfl_error *err)
{
    wfl_code rc = drop_blob(t, key, err);

    if (rc == WFL_OK) rc = wfl_txn_blob_keep(t, key, place, err);
    *kept = rc == WFL_OK;
    return rc;
}

wfl_code wfl_chunk_ref(struct wfl_txn *t, uint32_t id, const wfl_hash *hash,
                       const struct wfl_blob_place *place, uint32_t len, bool heals, bool *kept,
                       wfl_error *err)
{
    struct wfl_record_refs refs = {.len = len};
    uint8_t                space[WFL_CHUNK_KEY_LEN];
    wfl_slice              key = wfl_key_chunk(id, hash, space);
    wfl_code               rc = read_refs(t, key, &refs, err);

    *kept = false;
    if (rc == WFL_NOT_FOUND) {
        if (place == NULL)
            return wfl_fail(err, WFL_INTERNAL, "a chunk that was leased is not there");
        rc = wfl_txn_blob_keep(t, key, place, err);
        *kept = rc == WFL_OK;
    } else {
        if (rc == WFL_OK && refs.count == 0) rc = remove_marker(t, id, hash, err);
        if (rc == WFL_OK && heals) rc = replace_blob(t, key, place, kept, err);
    }
    if (rc != WFL_OK) return rc;
    refs.count++;
    refs.len = len;
    return write_refs(t, key, &refs, err);
}

wfl_code wfl_chunk_unref(struct wfl_store *s, struct wfl_txn *t, uint32_t id, const wfl_hash *hash,
                         wfl_error *err)
{
    struct wfl_record_refs refs;
    uint8_t                space[WFL_CHUNK_KEY_LEN];
    wfl_slice              key = wfl_key_chunk(id, hash, space);
    wfl_code               rc = read_refs(t, key, &refs, err);
    bool                   held = false;

    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    if (refs.count > 1) {
        refs.count--;
        return write_refs(t, key, &refs, err);
    }
    rc = wfl_lease_drop(s, id, hash, &held, err);
    if (rc != WFL_OK) return rc;
    if (!held) return drop_chunk(t, key, err);
    refs.count = 0;
    rc = write_refs(t, key, &refs, err);
    if (rc == WFL_OK) rc = put_marker(t, id, hash, err);
    /* The lease may be given back before the marker is stored: then this wakes the collector. */
    s->trashed |= rc == WFL_OK;
    return rc;
}

wfl_code wfl_chunk_drop_zero(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                             const wfl_hash *hash, bool *held, wfl_error *err)
{
    struct wfl_record_refs refs;
    uint8_t                space[WFL_CHUNK_KEY_LEN];
    wfl_slice              key = wfl_key_chunk(id, hash, space);
    wfl_code               rc = read_refs(t, key, &refs, err);

    *held = false;
    if (rc != WFL_OK && rc != WFL_NOT_FOUND) return rc;
    if (rc == WFL_OK && refs.count == 0) {
        rc = wfl_lease_drop(s, id, hash, held, err);
        if (rc != WFL_OK || *held) return rc; /* it stays, and so does its marker */
        rc = drop_chunk(t, key, err);
        if (rc != WFL_OK) return rc;
    }
    return remove_marker(t, id, hash, err);
}
