/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoding and decoding of segments, over bytes alone. Every length is checked against what is
 * there before it is used; whatever is not exactly as we write it is refused. */
#include "engine/local/segment_format.h"

#include <assert.h>

#define VERSION       1u
#define CHECKSUM_LEN  8
#define SEGMENT_MAGIC "wflSEG01"
#define RECORD_MAGIC  "wflR"

static void put_le(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static bool all_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != 0) return false;
    }
    return true;
}

/* ---- the file's header */

#define SEGMENT_CHECKED (SEGMENT_HEADER_LEN - CHECKSUM_LEN)

void wfl_segment_encode(const struct segment_name *name, uint8_t out[SEGMENT_HEADER_LEN])
{
    wfl_hash hash;

    memset(out, 0, SEGMENT_HEADER_LEN);
    memcpy(out, SEGMENT_MAGIC, 8);
    put_le(out + 8, VERSION, 4);
    put_le(out + 16, name->id, 8);
    memcpy(out + 24, name->salt, SEGMENT_SALT);
    hash = wfl_hash_of(wfl_slice_of(out, SEGMENT_CHECKED));
    memcpy(out + SEGMENT_CHECKED, hash.bytes, CHECKSUM_LEN);
}

bool wfl_segment_decode(wfl_slice bytes, struct segment_name *out)
{
    wfl_hash hash;

    if (bytes.len < SEGMENT_HEADER_LEN || memcmp(bytes.data, SEGMENT_MAGIC, 8) != 0 ||
        get_le(bytes.data + 8, 4) != VERSION || !all_zero(bytes.data + 12, 4)) {
        return false;
    }
    hash = wfl_hash_of(wfl_slice_of(bytes.data, SEGMENT_CHECKED));
    if (memcmp(bytes.data + SEGMENT_CHECKED, hash.bytes, CHECKSUM_LEN) != 0) return false;
    out->id = get_le(bytes.data + 16, 8);
    memcpy(out->salt, bytes.data + 24, SEGMENT_SALT);
    return true;
}

/* ---- a record's header */

#define RECORD_CHECKED (RECORD_HEADER_LEN - CHECKSUM_LEN)

static wfl_hash record_checksum(const struct segment_name *name, uint32_t offset,
                                const uint8_t *header)
{
    struct wfl_hasher hasher;
    uint8_t           place[12];

    put_le(place, name->id, 8);
    put_le(place + 8, offset, 4);
    wfl_hasher_init(&hasher);
    wfl_hasher_add(&hasher, wfl_slice_of(name->salt, SEGMENT_SALT));
    wfl_hasher_add(&hasher, wfl_slice_of(place, sizeof place));
    wfl_hasher_add(&hasher, wfl_slice_of(header, RECORD_CHECKED));
    return wfl_hasher_result(&hasher);
}

void wfl_blob_record_encode(const struct segment_name *name, const struct segment_record *record,
                            uint8_t out[RECORD_HEADER_LEN])
{
    wfl_hash checksum;

    assert(record->name_len > 0 && record->name_len <= WFL_BLOB_NAME_MAX);
    memset(out, 0, RECORD_HEADER_LEN);
    memcpy(out, RECORD_MAGIC, 4);
    put_le(out + 4, VERSION, 2);
    put_le(out + 6, record->name_len, 2);
    put_le(out + 8, record->len, 4);
    memcpy(out + 16, record->hash.bytes, WFL_HASH_LEN);
    memcpy(out + 48, record->name, record->name_len);
    checksum = record_checksum(name, record->offset, out);
    memcpy(out + RECORD_CHECKED, checksum.bytes, CHECKSUM_LEN);
}

bool wfl_blob_record_decode(const struct segment_name *name, uint32_t offset, wfl_slice bytes,
                            struct segment_record *out)
{
    uint64_t len, name_len;
    wfl_hash checksum;

    if (bytes.len < RECORD_HEADER_LEN || memcmp(bytes.data, RECORD_MAGIC, 4) != 0 ||
        get_le(bytes.data + 4, 2) != VERSION) {
        return false;
    }
    name_len = get_le(bytes.data + 6, 2);
    len = get_le(bytes.data + 8, 4);
    if (name_len == 0 || name_len > WFL_BLOB_NAME_MAX || len == 0 || len > WFL_BLOB_BYTES_MAX ||
        !all_zero(bytes.data + 12, 4) ||
        !all_zero(bytes.data + 48 + name_len, RECORD_CHECKED - 48 - name_len)) {
        return false;
    }
    checksum = record_checksum(name, offset, bytes.data);
    if (memcmp(bytes.data + RECORD_CHECKED, checksum.bytes, CHECKSUM_LEN) != 0) return false;
    *out = (struct segment_record){
        .offset = offset, .len = (uint32_t)len, .name_len = (uint32_t)name_len};
    memcpy(out->name, bytes.data + 48, name_len);
    memcpy(out->hash.bytes, bytes.data + 16, WFL_HASH_LEN);
    return true;
}

/* ---- the walk */

void wfl_segment_walk_init(struct segment_walk *w, const struct segment_name *name)
{
    *w = (struct segment_walk){.name = *name, .at = SEGMENT_BLOCK};
}

/* Blocks begin at multiples of their size; an `at` past the end ends the walk. */
static uint32_t skip_hole(const struct segment_walk *w)
{
    uint32_t to = w->skip == NULL ? w->at : w->skip(w->ctx, w->at);

    to -= to % SEGMENT_BLOCK;
    return to > w->at ? to : w->at;
}

bool wfl_segment_walk_next(struct segment_walk *w, struct segment_record *out)
{
    uint8_t header[RECORD_HEADER_LEN];

    while (w->at < w->end) {
        wfl_slice bytes = {.data = header};

        w->at = skip_hole(w);
        if (w->at >= w->end) return false;
        bytes.len = w->read(w->ctx, w->at, header, sizeof header);
        if (w->end - w->at >= RECORD_HEADER_LEN &&
            wfl_blob_record_decode(&w->name, w->at, bytes, out) &&
            out->len <= w->end - w->at - RECORD_HEADER_LEN) {
            uint32_t extent = wfl_blob_record_extent(out->len);

            w->at = extent > w->end - w->at ? w->end : w->at + extent;
            return true;
        }
        w->at = SEGMENT_BLOCK > w->end - w->at ? w->end : w->at + SEGMENT_BLOCK;
    }
    return false;
}
