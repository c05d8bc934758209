/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the wire (wfldb.fbs, Message) for C: encode into memory of the caller's, or verify
 * and read in place. Nothing here allocates, throws or keeps state; every call is safe on any
 * thread.
 *
 * Plain types on purpose: the other side of this header is C++, which core's headers are not for.
 */
#ifndef WFL_SCHEMA_WIRE_H
#define WFL_SCHEMA_WIRE_H

#include "schema/records.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- writing
 *
 * Rows are asked for one by one, each into a struct that is zero. They are asked for more than
 * once, and answer the same each time. */
struct wfl_wire_rows {
    uint32_t    count;
    const void *ctx;
    void (*at)(const void *ctx, uint32_t i, void *row);
};

struct wfl_wire_item {
    struct wfl_record_bytes key;
    uint8_t                 version[16];
    uint64_t                size;
    uint8_t                 blake3[32];
    struct wfl_record_bytes content_type;
    uint64_t                modified_ms;
    bool                    has_meta, has_tags, has_value;
    struct wfl_record_pairs meta, tags;
    struct wfl_record_bytes value;
};

enum wfl_wire_change_kind { WFL_WIRE_PUT, WFL_WIRE_DELETE, WFL_WIRE_ERASE };

struct wfl_wire_version {
    uint8_t                   version[16];
    enum wfl_wire_change_kind kind;
    uint64_t                  size;       /* of a put */
    uint8_t                   blake3[32]; /* of a put */
    uint64_t                  modified_ms;
};

struct wfl_wire_upload {
    uint8_t                 upload[16];
    struct wfl_record_bytes key;
    uint64_t                started_ms;
    uint64_t                bytes;
};

struct wfl_wire_part {
    uint32_t number;
    uint64_t size;
    uint8_t  blake3[32];
};

struct wfl_wire_result {
    bool                    has_bucket, has_version;
    struct wfl_record_bytes bucket;
    struct wfl_record_bytes key;
    uint8_t                 version[16];
};

struct wfl_wire_change {
    uint8_t                   version[16];
    enum wfl_wire_change_kind kind;
    struct wfl_record_bytes   key;
    uint64_t                  size;       /* of a put */
    uint8_t                   blake3[32]; /* of a put */
    struct wfl_record_bytes   by;         /* empty: nobody */
    uint8_t                   jti[16];    /* zero: none */
    uint8_t                   erased[16]; /* of an erase */
    struct wfl_record_pairs   tags;       /* of a put */
};

enum wfl_wire_kind {
    WFL_WIRE_BUCKETS,  /* rows: wfl_record_bytes */
    WFL_WIRE_BUCKET,   /* `bucket` */
    WFL_WIRE_LISTING,  /* rows: wfl_wire_item; prefixes, `at`, cursor */
    WFL_WIRE_VERSIONS, /* rows: wfl_wire_version */
    WFL_WIRE_UPLOADS,  /* rows: wfl_wire_upload */
    WFL_WIRE_PARTS,    /* rows: wfl_wire_part */
    WFL_WIRE_RESULTS,  /* rows: wfl_wire_result */
    WFL_WIRE_CHANGES,  /* rows: wfl_wire_change; `at`: from where to go on */
};

struct wfl_wire_bucket {
    struct wfl_record_bytes    name;
    struct wfl_record_settings settings; /* those not set are left out, as from JSON */
    uint64_t                   objects, bytes;
    uint8_t                    version[16];
};

struct wfl_wire_message {
    enum wfl_wire_kind      kind;
    struct wfl_wire_rows    rows;
    bool                    has_prefixes;
    struct wfl_wire_rows    prefixes; /* wfl_record_bytes */
    uint8_t                 at[16];
    struct wfl_record_bytes cursor; /* empty: none */
    struct wfl_wire_bucket  bucket;
};

/* Bytes of memory that encoding `in` may need; SIZE_MAX where it would pass what a message may
 * have. */
size_t wfl_wire_bound(const struct wfl_wire_message *in);
/* Encode into `space` of at least the bound, whatever its alignment; the message then begins at
 * `space`. Returns its length, 0 only where `cap` is below the bound. */
size_t wfl_wire_write(const struct wfl_wire_message *in, uint8_t *space, size_t cap);

/* ---- reading
 *
 * False: not such a message, or it fails verification. What was read points into it. Absent
 * members have `data` NULL; there may be others that this release does not know (`unknown`). */

enum wfl_wire_batch_kind { /* as wfldb.fbs, BatchKind; anything else may come too */
                           WFL_WIRE_BATCH_NONE,
                           WFL_WIRE_BATCH_PUT,
                           WFL_WIRE_BATCH_DELETE,
                           WFL_WIRE_BATCH_COPY,
                           WFL_WIRE_BATCH_CHECK,
};
enum wfl_wire_condition { /* as wfldb.fbs, BatchCondition; anything else may come too */
                          WFL_WIRE_IF_ANY,
                          WFL_WIRE_IF_EXISTS,
                          WFL_WIRE_IF_ABSENT,
                          WFL_WIRE_IF_VERSION,
};

struct wfl_wire_batch_op {
    unsigned                kind;      /* enum wfl_wire_batch_kind */
    unsigned                condition; /* enum wfl_wire_condition */
    struct wfl_record_bytes bucket, key, value, content_type, from;
    const uint8_t          *condition_version, *from_version; /* 16 bytes; NULL: absent */
    bool                    has_meta, has_tags;
    struct wfl_record_pairs meta, tags;
    bool                    unknown;
};

struct wfl_wire_batch { /* valid as long as the bytes that were read */
    uint32_t    count;
    bool        unknown;
    const void *ops;
};
bool wfl_wire_batch_read(const uint8_t *message, size_t len, struct wfl_wire_batch *out);
void wfl_wire_batch_at(const struct wfl_wire_batch *batch, uint32_t i,
                       struct wfl_wire_batch_op *out);

#define WFL_WIRE_SETTINGS 9 /* that are numbers */
struct wfl_wire_settings {
    struct {
        const char *name;
        bool        given;
        int64_t     value;
    } numbers[WFL_WIRE_SETTINGS];
    bool        has_public_read, public_read;
    uint32_t    unset_count;
    const void *unset;
    bool        unknown;
};
bool wfl_wire_settings_read(const uint8_t *message, size_t len, struct wfl_wire_settings *out);
struct wfl_record_bytes wfl_wire_unset_at(const struct wfl_wire_settings *settings, uint32_t i);

#ifdef __cplusplus
}
#endif
#endif
