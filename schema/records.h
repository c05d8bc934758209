/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored records (wfldb.fbs) for C: encode into memory of the caller's, or verify and read in
 * place. Nothing here allocates, throws or keeps state; every call is safe on any thread.
 *
 * Reading returns NULL, or a static text that says what is wrong with the record; `out` is then
 * unspecified. Slices of a record that was read point into it and live as long as its bytes.
 *
 * Plain types on purpose: the other side of this header is C++, which core's headers are not for.
 */
#ifndef WFL_SCHEMA_RECORDS_H
#define WFL_SCHEMA_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WFL_RECORD_FORMAT 2 /* StoreRecord.format of this release */

struct wfl_record_bytes {
    const uint8_t *data;
    size_t         len;
};

/* `count` names with values, asked for one by one: the writer's own array, or a vector in a record.
 */
struct wfl_record_pairs {
    uint32_t    count;
    const void *ctx;
    void (*at)(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
               struct wfl_record_bytes *value);
};

enum wfl_record_storage {
    WFL_RECORD_INLINE = 0,
    WFL_RECORD_VALUES = 1,
    WFL_RECORD_CHUNKS = 2,
    WFL_RECORD_PARTS = 3,
    WFL_RECORD_TOMBSTONE = 4,
};

struct wfl_record_object {
    uint8_t                 version[16];
    uint64_t                size;
    uint8_t                 blake3[32];
    struct wfl_record_bytes content_type;
    struct wfl_record_bytes by;
    uint8_t                 jti[16]; /* all zero: none */
    enum wfl_record_storage storage;
    struct wfl_record_bytes value;        /* with WFL_RECORD_INLINE: `size` bytes */
    uint8_t                 manifest[16]; /* with WFL_RECORD_CHUNKS, WFL_RECORD_PARTS */
    struct wfl_record_pairs meta;
    struct wfl_record_pairs tags;
};

/* Bytes of memory that encoding `in` may need. Never wraps for contents within the protocol's
 * limits; SIZE_MAX where it would. */
size_t wfl_record_object_bound(const struct wfl_record_object *in);
/* Encode into `space` of at least the bound, whatever its alignment; the record then begins at
 * `space`. Returns its length, 0 only where `cap` is below the bound. */
size_t wfl_record_object_write(const struct wfl_record_object *in, uint8_t *space, size_t cap);
/* Put the version into a record that wfl_record_object_write has made. */
void        wfl_record_object_set_version(uint8_t *record, size_t len, const uint8_t version[16]);
const char *wfl_record_object_read(const uint8_t *record, size_t len,
                                   struct wfl_record_object *out);

struct wfl_record_settings { /* as wfldb.fbs, BucketSettings */
    int64_t versions;
    int64_t retain_seconds;
    int64_t quota_bytes;
    int64_t quota_objects;
    int64_t max_object_bytes;
    int64_t requests_per_second;
    int64_t bytes_per_second;
    int64_t expire_seconds;
    bool    public_read;
    int64_t change_retain_seconds;
};

struct wfl_record_bucket {
    uint32_t                   id;
    struct wfl_record_bytes    name; /* at most 63 bytes */
    struct wfl_record_settings settings;
    uint8_t                    created[16];
};

struct wfl_record_counters {
    uint64_t objects;
    uint64_t bytes;
    uint8_t  version[16];
    uint8_t  floor[16];
    uint8_t  changes_floor[16];
};

struct wfl_record_store {
    uint32_t format;
    uint8_t  version[16];
    uint32_t bucket_id;
};

/* These are bounded: memory of WFL_RECORD_SMALL_MAX bytes is always enough. */
#define WFL_RECORD_SMALL_MAX 512
size_t      wfl_record_bucket_write(const struct wfl_record_bucket *in,
                                    uint8_t                         space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_bucket_read(const uint8_t *record, size_t len,
                                   struct wfl_record_bucket *out);
size_t      wfl_record_counters_write(const struct wfl_record_counters *in,
                                      uint8_t                           space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_counters_read(const uint8_t *record, size_t len,
                                     struct wfl_record_counters *out);
size_t      wfl_record_store_write(const struct wfl_record_store *in,
                                   uint8_t                        space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_store_read(const uint8_t *record, size_t len, struct wfl_record_store *out);

struct wfl_record_revocation {
    uint64_t                at_ms;
    struct wfl_record_bytes by;     /* at most 43 bytes */
    struct wfl_record_bytes reason; /* at most 256 bytes */
    uint64_t                expires_ms;
};
size_t      wfl_record_revocation_write(const struct wfl_record_revocation *in,
                                        uint8_t                             space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_revocation_read(const uint8_t *record, size_t len,
                                       struct wfl_record_revocation *out);

/* ---- changes */

enum wfl_record_change_op { WFL_CHANGE_PUT = 0, WFL_CHANGE_DELETE = 1, WFL_CHANGE_ERASE = 2 };

struct wfl_record_change {
    enum wfl_record_change_op op;
    struct wfl_record_bytes   key;
    uint64_t                  size;
    uint8_t                   blake3[32];
    struct wfl_record_bytes   by;
    uint8_t                   jti[16];    /* all zero: none */
    uint8_t                   erased[16]; /* of an erase */
    struct wfl_record_pairs   tags;
};
size_t      wfl_record_change_bound(const struct wfl_record_change *in);
size_t      wfl_record_change_write(const struct wfl_record_change *in, uint8_t *space, size_t cap);
const char *wfl_record_change_read(const uint8_t *record, size_t len,
                                   struct wfl_record_change *out);

/* ---- content in chunks */

#define WFL_MANIFEST_PAGE_CHUNKS 256
#define WFL_MANIFEST_PARTS_MAX   10000

struct wfl_record_chunk { /* as the schema lays it out, little-endian */
    uint8_t  hash[32];
    uint32_t len;
};
struct wfl_record_extent {
    uint8_t  manifest[16];
    uint64_t size;
};

#define WFL_RECORD_PAGE_MAX  (512 + WFL_MANIFEST_PAGE_CHUNKS * sizeof(struct wfl_record_chunk))
#define WFL_RECORD_PARTS_MAX (512 + WFL_MANIFEST_PARTS_MAX * sizeof(struct wfl_record_extent))
/* At most WFL_MANIFEST_PAGE_CHUNKS and at least one. */
size_t wfl_record_page_write(const struct wfl_record_chunk *chunks, uint32_t count,
                             uint8_t space[WFL_RECORD_PAGE_MAX]);
/* Copies; a page of no chunks, of too many, or with one of a wrong length is damaged. */
const char *wfl_record_page_read(const uint8_t *record, size_t len,
                                 struct wfl_record_chunk out[WFL_MANIFEST_PAGE_CHUNKS],
                                 uint32_t               *count);
/* `cap` at least 512 + count * sizeof *extents. */
size_t wfl_record_parts_write(const struct wfl_record_extent *extents, uint32_t count,
                              uint8_t *space, size_t cap);
/* Number of extents, and each by its index. */
const char *wfl_record_parts_read(const uint8_t *record, size_t len, uint32_t *count);
void        wfl_record_parts_at(const uint8_t *record, uint32_t i, struct wfl_record_extent *out);

struct wfl_record_refs { /* ChunkRecord */
    uint64_t count;
    uint32_t len;
};
size_t wfl_record_refs_write(const struct wfl_record_refs *in, uint8_t space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_refs_read(const uint8_t *record, size_t len, struct wfl_record_refs *out);

/* Chunks or Parts. */
size_t wfl_record_trash_write(enum wfl_record_storage storage, uint8_t space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_trash_read(const uint8_t *record, size_t len,
                                  enum wfl_record_storage *storage);

/* ---- multipart uploads */

struct wfl_record_condition {
    uint8_t        kind;
    const uint8_t *versions; /* 16 bytes each */
    uint32_t       version_count;
};
struct wfl_record_upload {
    struct wfl_record_bytes     key;
    struct wfl_record_bytes     content_type;
    struct wfl_record_bytes     by;
    uint8_t                     jti[16];
    struct wfl_record_pairs     meta;
    struct wfl_record_pairs     tags;
    struct wfl_record_condition match, none_match;
};
size_t      wfl_record_upload_bound(const struct wfl_record_upload *in);
size_t      wfl_record_upload_write(const struct wfl_record_upload *in, uint8_t *space, size_t cap);
const char *wfl_record_upload_read(const uint8_t *record, size_t len,
                                   struct wfl_record_upload *out);

struct wfl_record_upload_state {
    uint64_t bytes;
    uint32_t parts;
    uint64_t generation;
    uint64_t touched_ms;
};
size_t      wfl_record_upload_state_write(const struct wfl_record_upload_state *in,
                                          uint8_t space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_upload_state_read(const uint8_t *record, size_t len,
                                         struct wfl_record_upload_state *out);

struct wfl_record_part {
    uint8_t  manifest[16];
    uint64_t size;
    uint8_t  blake3[32];
};
size_t wfl_record_part_write(const struct wfl_record_part *in, uint8_t space[WFL_RECORD_SMALL_MAX]);
const char *wfl_record_part_read(const uint8_t *record, size_t len, struct wfl_record_part *out);

#ifdef __cplusplus
}
#endif
#endif
