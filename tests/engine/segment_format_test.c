/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a segment, without a file. */
#include "harness.h"

#include "engine/local/segment_format.h"

#include <stdlib.h>

static const struct segment_name here = {.id = 7, .salt = "0123456789abcde"};

static struct segment_record record_at(uint32_t offset, uint32_t len)
{
    struct segment_record record = {.offset = offset, .len = len, .name_len = 5};

    memcpy(record.name, "a\0b\xff-", 5);
    memset(record.hash.bytes, 0x5a, sizeof record.hash.bytes);
    return record;
}

static void a_header_that_is_changed_anywhere_is_refused(void **state)
{
    struct segment_record record = record_at(8192, 1000), back;
    struct segment_name   name, other = here;
    uint8_t               bytes[RECORD_HEADER_LEN], file[SEGMENT_HEADER_LEN];

    (void)state;
    wfl_blob_record_encode(&here, &record, bytes);
    assert_true(wfl_blob_record_decode(&here, 8192, wfl_slice_of(bytes, sizeof bytes), &back));
    assert_memory_equal(&record, &back, sizeof back);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (wfl_blob_record_decode(&here, 8192, wfl_slice_of(bytes, sizeof bytes), &back))
            fail_msg("bit %zu of a record", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < sizeof bytes; len++)
        assert_false(wfl_blob_record_decode(&here, 8192, wfl_slice_of(bytes, len), &back));
    /* It is of this place in this segment and of no other. */
    assert_false(wfl_blob_record_decode(&here, 4096, wfl_slice_of(bytes, sizeof bytes), &back));
    other.id++;
    assert_false(wfl_blob_record_decode(&other, 8192, wfl_slice_of(bytes, sizeof bytes), &back));
    other = here;
    other.salt[15] ^= 1;
    assert_false(wfl_blob_record_decode(&other, 8192, wfl_slice_of(bytes, sizeof bytes), &back));

    wfl_segment_encode(&here, file);
    assert_true(wfl_segment_decode(wfl_slice_of(file, sizeof file), &name));
    assert_memory_equal(&here, &name, sizeof name);
    for (size_t bit = 0; bit < 8 * sizeof file; bit++) {
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (wfl_segment_decode(wfl_slice_of(file, sizeof file), &name))
            fail_msg("bit %zu of a file", bit);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void an_extent_is_whole_blocks(void **state)
{
    static const struct {
        uint32_t len, extent;
    } cases[] = {
        {1, 4096}, {3968, 4096}, {3969, 8192}, {8064, 8192}, {1u << 20, (1u << 20) + 4096}};

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++)
        assert_int_equal(wfl_blob_record_extent(cases[i].len), cases[i].extent);
}

/* ---- walks */

#define IMAGE_BYTES (64u << 10)

static size_t read_image(void *ctx, uint32_t at, uint8_t *out, size_t n)
{
    wfl_slice *image = ctx;
    size_t     left = at < image->len ? image->len - at : 0;

    n = n < left ? n : left;
    memcpy(out, image->data + at, n);
    return n;
}

/* The offsets that a walk finds, as blocks, in bits. */
static uint32_t walk_image(const uint8_t *image, uint32_t len)
{
    wfl_slice             bytes = wfl_slice_of(image, len);
    struct segment_walk   walk;
    struct segment_record record;
    uint32_t              found = 0;

    wfl_segment_walk_init(&walk, &here);
    walk.end = len;
    walk.read = read_image;
    walk.ctx = &bytes;
    while (wfl_segment_walk_next(&walk, &record))
        found |= 1u << record.offset / SEGMENT_BLOCK;
    return found;
}

static void add_record(uint8_t *image, uint32_t block, uint32_t len)
{
    struct segment_record record = record_at(block * SEGMENT_BLOCK, len);

    wfl_blob_record_encode(&here, &record, image + record.offset);
    memset(image + record.offset + RECORD_HEADER_LEN, 0xee, len);
}

static void a_walk_goes_on_behind_what_does_not_hold(void **state)
{
    uint8_t *image = calloc(1, IMAGE_BYTES);

    (void)state;
    assert_non_null(image);
    add_record(image, 1, 100);
    add_record(image, 2, 9000); /* blocks 2 to 4 */
    add_record(image, 6, 3968);
    add_record(image, 7, 1);
    assert_int_equal(walk_image(image, IMAGE_BYTES), 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7);
    image[2 * SEGMENT_BLOCK + 20] ^= 1;
    assert_int_equal(walk_image(image, IMAGE_BYTES), 1 << 1 | 1 << 6 | 1 << 7);
    /* A record that would end behind the file is none; nor is half a header. */
    assert_int_equal(walk_image(image, 7 * SEGMENT_BLOCK + 100), 1 << 1 | 1 << 6);
    assert_int_equal(walk_image(image, 7 * SEGMENT_BLOCK + 129), 1 << 1 | 1 << 6 | 1 << 7);
    assert_int_equal(walk_image(image, 7 * SEGMENT_BLOCK - 1), 1 << 1);
    assert_int_equal(walk_image(image, 100), 0);
    free(image);
}

/* A content that is an image of a record, where a record could be: of a segment that somebody else
 * made, or copied from another place of this one. */
static void a_content_is_not_taken_for_a_record(void **state)
{
    uint8_t              *image = calloc(1, IMAGE_BYTES);
    struct segment_name   stranger = {.id = here.id};
    struct segment_record fake = record_at(3 * SEGMENT_BLOCK, 50000);

    (void)state;
    assert_non_null(image);
    add_record(image, 1, 20000); /* blocks 1 to 5 */
    wfl_blob_record_encode(&stranger, &fake, image + 3 * SEGMENT_BLOCK);
    memcpy(image + 4 * SEGMENT_BLOCK, image + SEGMENT_BLOCK, RECORD_HEADER_LEN);
    add_record(image, 6, 10);
    image[SEGMENT_BLOCK] ^= 1; /* so that the walk looks into the content */
    assert_int_equal(walk_image(image, IMAGE_BYTES), 1 << 6);
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_that_is_changed_anywhere_is_refused),
        cmocka_unit_test(an_extent_is_whole_blocks),
        cmocka_unit_test(a_walk_goes_on_behind_what_does_not_hold),
        cmocka_unit_test(a_content_is_not_taken_for_a_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
