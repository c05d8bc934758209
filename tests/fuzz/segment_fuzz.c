/* SPDX-License-Identifier: Apache-2.0
 *
 * Segments of blobs. An input is a segment's file, or, begun with '!', a list of (block, length,
 * bytes) that says what lies at the begin of which block of one, with the checksums made here. A
 * walk ends, goes forward, and finds only what would be written again as it is. */
#include "fuzz.h"

#include "engine/local/segment_format.h"

#define IMAGE_BLOCKS 32

static size_t read_image(void *ctx, uint32_t at, uint8_t *out, size_t n)
{
    wfl_slice *image = ctx;
    size_t     left = at < image->len ? image->len - at : 0;

    n = n < left ? n : left;
    if (n > 0) memcpy(out, image->data + at, n);
    return n;
}

static void walk_image(const struct segment_name *name, wfl_slice image)
{
    struct segment_walk   walk;
    struct segment_record record;
    uint8_t               again[RECORD_HEADER_LEN];
    uint32_t              behind = SEGMENT_BLOCK;

    wfl_segment_walk_init(&walk, name);
    walk.end = (uint32_t)image.len;
    walk.read = read_image;
    walk.ctx = &image;
    while (wfl_segment_walk_next(&walk, &record)) {
        assert(record.offset >= behind && record.offset % SEGMENT_BLOCK == 0);
        assert(record.offset <= image.len - RECORD_HEADER_LEN);
        assert(record.len <= image.len - record.offset - RECORD_HEADER_LEN);
        behind = record.offset + wfl_blob_record_extent(record.len);
        wfl_blob_record_encode(name, &record, again);
        assert(memcmp(again, image.data + record.offset, sizeof again) == 0);
    }
}

/* As wfl_blob_record_encode makes it, written down a second time. */
static void stamp(const struct segment_name *name, uint32_t offset, uint8_t *header)
{
    struct wfl_hasher hasher;
    uint8_t           place[12] = {0};
    wfl_hash          hash;

    for (size_t i = 0; i < 8; i++)
        place[i] = (uint8_t)(name->id >> (8 * i));
    for (size_t i = 0; i < 4; i++)
        place[8 + i] = (uint8_t)(offset >> (8 * i));
    wfl_hasher_init(&hasher);
    wfl_hasher_add(&hasher, wfl_slice_of(name->salt, sizeof name->salt));
    wfl_hasher_add(&hasher, wfl_slice_of(place, sizeof place));
    wfl_hasher_add(&hasher, wfl_slice_of(header, RECORD_HEADER_LEN - 8));
    hash = wfl_hasher_result(&hasher);
    memcpy(header + RECORD_HEADER_LEN - 8, hash.bytes, 8);
}

static void try_list(wfl_slice in)
{
    static const struct segment_name name = {.id = 5, .salt = "fifteen letters"};
    uint8_t                         *image = calloc(IMAGE_BLOCKS, SEGMENT_BLOCK);
    wfl_slice                        head, bytes;
    uint32_t                         len = IMAGE_BLOCKS * SEGMENT_BLOCK;

    if (image == NULL) abort();
    while (wfl_slice_take(&in, 2, &head) && wfl_slice_take(&in, head.data[1], &bytes)) {
        uint32_t offset = head.data[0] % IMAGE_BLOCKS * SEGMENT_BLOCK;

        if (bytes.len > 0) memcpy(image + offset, bytes.data, bytes.len);
        stamp(&name, offset, image + offset);
    }
    if (in.len > 0) len -= in.data[0] * 16u; /* cut off */
    walk_image(&name, wfl_slice_of(image, len));
    free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_name name = {.id = 1}, found;
    uint8_t             again[SEGMENT_HEADER_LEN];

    if (size > 0 && data[0] == '!') {
        try_list(wfl_slice_of(data + 1, size - 1));
        return 0;
    }
    if (wfl_segment_decode(wfl_slice_of(data, size), &found)) {
        wfl_segment_encode(&found, again);
        assert(memcmp(again, data, sizeof again) == 0);
        name = found;
    }
    if (size <= UINT32_MAX) walk_image(&name, wfl_slice_of(data, size));
    return 0;
}
