/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment file: a header of one block, then records, each beginning at a block.
 *
 *     file    "wflSEG01", version u32, 0 u32, id u64, salt [16], checksum [8]; zeros up to 4096
 *     record  "wflR", version u16, name length u16, content length u32, 0 u32, BLAKE3 of the
 *             content [32], name [64], 0 [8], checksum [8]; then the content
 *
 * Numbers are little-endian. The checksum of a record is the begin of a BLAKE3 over the segment's
 * salt and id, the record's offset, and the header. So a header that holds is one that we wrote at
 * this place of this file: contents come from strangers, who do not know the salt and cannot put
 * something into them that a walk would take for a record. */
#ifndef WFL_ENGINE_LOCAL_SEGMENT_FORMAT_H
#define WFL_ENGINE_LOCAL_SEGMENT_FORMAT_H

#include "engine/engine.h"

#define SEGMENT_BLOCK      4096u
#define SEGMENT_SALT       16
#define SEGMENT_HEADER_LEN 48  /* of the file */
#define RECORD_HEADER_LEN  128 /* of a record */

struct segment_name { /* what tells a segment from every other */
    uint64_t id;
    uint8_t  salt[SEGMENT_SALT];
};

struct segment_record {
    uint32_t offset; /* of its header in the file */
    uint32_t len;    /* of its content */
    uint32_t name_len;
    uint8_t  name[WFL_BLOB_NAME_MAX];
    wfl_hash hash;
};

/* Bytes of the file that a content of `len` bytes takes, with header, up to the next block. */
static inline uint32_t wfl_blob_record_extent(uint32_t len)
{
    return (RECORD_HEADER_LEN + len + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;
}

void wfl_segment_encode(const struct segment_name *name, uint8_t out[SEGMENT_HEADER_LEN]);
/* False: these bytes are no header of ours. */
WFL_MUST_USE bool wfl_segment_decode(wfl_slice bytes, struct segment_name *out);

void wfl_blob_record_encode(const struct segment_name *name, const struct segment_record *record,
                            uint8_t out[RECORD_HEADER_LEN]);
/* False: there is no record of this segment at `offset`. `bytes` are those at the offset. */
WFL_MUST_USE bool wfl_blob_record_decode(const struct segment_name *name, uint32_t offset,
                                         wfl_slice bytes, struct segment_record *out);

/* All records of a segment, in order. Where a header does not hold (a write that was cut off, or
 * damage) the walk goes on at the next block. */
struct segment_walk {
    struct segment_name name;
    uint32_t            at;  /* the next block to look at */
    uint32_t            end; /* of the file */
    /* Copies up to n bytes from `at`, returns how many. */
    size_t (*read)(void *ctx, uint32_t at, uint8_t *out, size_t n);
    /* The first offset at or behind `at` that is no hole; NULL: there are no holes. */
    uint32_t (*skip)(void *ctx, uint32_t at);
    void *ctx;
};
void              wfl_segment_walk_init(struct segment_walk *w, const struct segment_name *name);
WFL_MUST_USE bool wfl_segment_walk_next(struct segment_walk *w, struct segment_record *out);

#endif
