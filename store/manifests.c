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
