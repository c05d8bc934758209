/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: pages read, and ownerless ones noted for the collector. Pages hold a fixed number of
 * chunks of a fixed size, so the page and the chunk of any offset are computed, not searched. */
#include "store/chunks.h"

wfl_code wfl_manifest_read_page(struct wfl_store *s, uint32_t id, const wfl_ulid *manifest,
                                uint32_t page, struct manifest_page *out, wfl_error *err)
{
    uint8_t        space[WFL_MANIFEST_KEY_LEN];
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_engine_read(s->engine, WFL_SPACE_MANIFESTS,
                                        wfl_key_manifest(id, manifest, page, space), &pin, err);

    if (rc != WFL_OK) return rc;
    const char *wrong =
        wfl_record_page_read(pin.value.data, pin.value.len, out->chunks, &out->count);
    wfl_pin_release(&pin);
    if (wrong == NULL) return WFL_OK;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "page %lu of a manifest: %s", (unsigned long)page,
                    wrong);
}

wfl_code wfl_manifest_to_trash(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                               const wfl_ulid *manifest, enum wfl_record_storage storage,
                               wfl_error *err)
{
    uint8_t   key[WFL_UPLOAD_KEY_MAX], space[WFL_RECORD_SMALL_MAX];
    wfl_slice bytes = wfl_slice_of(space, wfl_record_trash_write(storage, space));
    wfl_code  rc = wfl_txn_put(t, WFL_SPACE_UPLOADS,
                               wfl_key_upload(WFL_UPLOAD_TRASH, id, manifest, key), &bytes, 1, err);

    if (rc == WFL_OK) s->trashed = true;
    return rc;
}

/* ---- owners: a copy makes one more of them and moves nothing */

static wfl_code read_owners(struct wfl_txn *t, wfl_slice key, struct wfl_record_refs *out,
                            wfl_error *err)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_MANIFESTS, key, &pin, err);

    *out = (struct wfl_record_refs){.count = 1};
    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_refs_read(pin.value.data, pin.value.len, out);
    wfl_pin_release(&pin);
    return wrong == NULL ? WFL_OK
                         : wfl_fail(err, WFL_CORRUPT_OBJECT, "owners of a manifest: %s", wrong);
}

static wfl_code write_owners(struct wfl_txn *t, wfl_slice key, const struct wfl_record_refs *owners,
                             wfl_error *err)
{
    uint8_t   space[WFL_RECORD_SMALL_MAX];
    wfl_slice bytes = wfl_slice_of(space, wfl_record_refs_write(owners, space));

    if (owners->count == 1) return wfl_txn_delete(t, WFL_SPACE_MANIFESTS, key, err);
    return wfl_txn_put(t, WFL_SPACE_MANIFESTS, key, &bytes, 1, err);
}

wfl_code wfl_manifest_share(struct wfl_txn *t, uint32_t id, const wfl_ulid *manifest,
                            wfl_error *err)
{
    struct wfl_record_refs owners;
    uint8_t                space[WFL_MANIFEST_KEY_LEN];
    wfl_slice              key = wfl_key_manifest(id, manifest, WFL_PAGE_OWNERS, space);
    wfl_code               rc = read_owners(t, key, &owners, err);

    if (rc != WFL_OK) return rc;
    owners.count++;
    return write_owners(t, key, &owners, err);
}

wfl_code wfl_manifest_release(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                              const wfl_ulid *manifest, enum wfl_record_storage storage,
                              wfl_error *err)
{
    struct wfl_record_refs owners;
    uint8_t                space[WFL_MANIFEST_KEY_LEN];
    wfl_slice              key = wfl_key_manifest(id, manifest, WFL_PAGE_OWNERS, space);
    wfl_code               rc = read_owners(t, key, &owners, err);

    if (rc != WFL_OK) return rc;
    if (owners.count == 1) return wfl_manifest_to_trash(s, t, id, manifest, storage, err);
    owners.count--;
    return write_owners(t, key, &owners, err);
}
