/* SPDX-License-Identifier: Apache-2.0
 *
 * The records of large content and of uploads: first byte which of them, the rest its bytes.
 * Reading keeps within them whatever they are; what is accepted is written and read back the same,
 * and within the bound. */
#include "fuzz.h"

#include "schema/records.h"

static void check_page(wfl_slice in)
{
    static struct wfl_record_chunk chunks[WFL_MANIFEST_PAGE_CHUNKS], back[WFL_MANIFEST_PAGE_CHUNKS];
    static uint8_t                 space[WFL_RECORD_PAGE_MAX];
    uint32_t                       count, back_count;

    if (wfl_record_page_read(in.data, in.len, chunks, &count) != NULL) return;
    assert(count > 0 && count <= WFL_MANIFEST_PAGE_CHUNKS);
    size_t len = wfl_record_page_write(chunks, count, space);
    assert(wfl_record_page_read(space, len, back, &back_count) == NULL && back_count == count);
    assert(memcmp(chunks, back, count * sizeof *chunks) == 0);
}

static void check_parts(wfl_slice in)
{
    static struct wfl_record_extent extents[WFL_MANIFEST_PARTS_MAX];
    static uint8_t                  space[WFL_RECORD_PARTS_MAX];
    struct wfl_record_extent        back;
    uint32_t                        count, back_count;

    if (wfl_record_parts_read(in.data, in.len, &count) != NULL) return;
    assert(count <= WFL_MANIFEST_PARTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        wfl_record_parts_at(in.data, i, &extents[i]);
    size_t len = wfl_record_parts_write(extents, count, space, 512 + count * sizeof *extents);
    assert(wfl_record_parts_read(space, len, &back_count) == NULL && back_count == count);
    for (uint32_t i = 0; i < count; i++) {
        wfl_record_parts_at(space, i, &back);
        assert(memcmp(&back, &extents[i], sizeof back) == 0);
    }
}

static bool same(struct wfl_record_bytes a, struct wfl_record_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void compare_pairs(const struct wfl_record_pairs *a, const struct wfl_record_pairs *b)
{
    assert(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        struct wfl_record_bytes name[2], value[2];

        a->at(a->ctx, i, &name[0], &value[0]);
        b->at(b->ctx, i, &name[1], &value[1]);
        assert(same(name[0], name[1]) && same(value[0], value[1]));
    }
}

static void compare_conditions(const struct wfl_record_condition *a,
                               const struct wfl_record_condition *b)
{
    if (a->kind == 0) { /* versions of no condition mean nothing */
        assert(b->kind == 0);
        return;
    }
    assert(a->kind == b->kind && a->version_count == b->version_count);
    assert(a->version_count == 0 || memcmp(a->versions, b->versions, 16u * a->version_count) == 0);
}

static void check_upload(wfl_slice in)
{
    struct wfl_record_upload record, back;

    if (wfl_record_upload_read(in.data, in.len, &record) != NULL) return;
    /* A damaged record may name the same bytes many times. */
    size_t bound = wfl_record_upload_bound(&record);
    if (bound > 4u << 20) return;
    uint8_t *space = malloc(bound);
    if (space == NULL) abort();
    size_t len = wfl_record_upload_write(&record, space, bound);
    assert(len > 0 && len <= bound);
    assert(wfl_record_upload_read(space, len, &back) == NULL);
    assert(same(record.key, back.key) && same(record.content_type, back.content_type));
    assert(same(record.by, back.by) && memcmp(record.jti, back.jti, sizeof back.jti) == 0);
    compare_pairs(&record.meta, &back.meta);
    compare_pairs(&record.tags, &back.tags);
    compare_conditions(&record.match, &back.match);
    compare_conditions(&record.none_match, &back.none_match);
    free(space);
}

static void check_state(wfl_slice in)
{
    struct wfl_record_upload_state record, back;
    uint8_t                        space[WFL_RECORD_SMALL_MAX];

    if (wfl_record_upload_state_read(in.data, in.len, &record) != NULL) return;
    size_t len = wfl_record_upload_state_write(&record, space);
    assert(wfl_record_upload_state_read(space, len, &back) == NULL);
    assert(record.bytes == back.bytes && record.parts == back.parts);
    assert(record.generation == back.generation && record.touched_ms == back.touched_ms);
}

static void check_part(wfl_slice in)
{
    struct wfl_record_part record, back;
    uint8_t                space[WFL_RECORD_SMALL_MAX];

    if (wfl_record_part_read(in.data, in.len, &record) != NULL) return;
    size_t len = wfl_record_part_write(&record, space);
    assert(wfl_record_part_read(space, len, &back) == NULL);
    assert(memcmp(record.manifest, back.manifest, 16) == 0 && record.size == back.size);
    assert(memcmp(record.blake3, back.blake3, 32) == 0);
}

static void check_refs(wfl_slice in)
{
    struct wfl_record_refs record, back;
    uint8_t                space[WFL_RECORD_SMALL_MAX];

    if (wfl_record_refs_read(in.data, in.len, &record) != NULL) return;
    size_t len = wfl_record_refs_write(&record, space);
    assert(wfl_record_refs_read(space, len, &back) == NULL);
    assert(record.count == back.count && record.len == back.len);
}

static void check_trash(wfl_slice in)
{
    enum wfl_record_storage storage, back;
    uint8_t                 space[WFL_RECORD_SMALL_MAX];

    if (wfl_record_trash_read(in.data, in.len, &storage) != NULL) return;
    assert(storage == WFL_RECORD_CHUNKS || storage == WFL_RECORD_PARTS);
    size_t len = wfl_record_trash_write(storage, space);
    assert(wfl_record_trash_read(space, len, &back) == NULL && back == storage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(wfl_slice in) = {
        check_page, check_parts, check_upload, check_state, check_part, check_refs, check_trash};
    wfl_slice in = wfl_slice_of(data, size), which;

    if (!wfl_slice_take(&in, 1, &which)) return 0;
    /* In memory of its own, so that a step beyond is seen. */
    uint8_t *copy = malloc(in.len + 1);
    if (copy == NULL) abort();
    if (in.len > 0) memcpy(copy, in.data, in.len);
    checks[which.data[0] % WFL_COUNT(checks)](wfl_slice_of(copy, in.len));
    free(copy);
    return 0;
}
