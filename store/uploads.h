/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of multipart uploads share: uploads.c starts, lists and removes them and takes
 * parts, completion.c makes an object of one. */
#ifndef WFL_STORE_UPLOADS_H
#define WFL_STORE_UPLOADS_H

#include "store/chunks.h"

/* Committer: the record given at the start, pinned. UPLOAD_NOT_FOUND where there is none, or it is
 * another key's; CORRUPT_OBJECT. */
WFL_MUST_USE wfl_code wfl_upload_find(struct wfl_txn *t, uint32_t id, wfl_slice key,
                                      const wfl_ulid *upload, struct wfl_pin *pin,
                                      struct wfl_record_upload *out, wfl_error *err);
WFL_MUST_USE wfl_code wfl_upload_find_state(struct wfl_txn *t, uint32_t id, const wfl_ulid *upload,
                                            struct wfl_record_upload_state *out, wfl_error *err);

/* Blocks. It is another one once a part was put. UPLOAD_NOT_FOUND. */
WFL_MUST_USE wfl_code wfl_upload_read_generation(struct wfl_store *s, uint32_t id,
                                                 const wfl_ulid *upload, uint64_t *out,
                                                 wfl_error *err);

struct upload_part {
    uint32_t               number;
    struct wfl_record_part record;
};
/* Blocks. All parts received, ascending, in one piece of memory of the store's allocator. */
WFL_MUST_USE wfl_code wfl_upload_load_parts(struct wfl_store *s, uint32_t id,
                                            const wfl_ulid *upload, struct upload_part **out,
                                            uint32_t *count, wfl_error *err);
/* Blocks. As wfl_upload_find, outside of a commit. */
WFL_MUST_USE wfl_code wfl_upload_read(struct wfl_store *s, uint32_t id, wfl_slice key,
                                      const wfl_ulid *upload, struct wfl_pin *pin,
                                      struct wfl_record_upload *out, wfl_error *err);
/* Committer: its two records and those of the parts go; the parts' contents are not touched. */
WFL_MUST_USE wfl_code wfl_upload_delete_rows(struct wfl_txn *t, uint32_t id, const wfl_ulid *upload,
                                             const struct upload_part *parts, uint32_t count,
                                             wfl_error *err);
wfl_code              wfl_fail_no_upload(wfl_error *err, const wfl_ulid *upload);

#endif
