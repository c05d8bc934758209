/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes wrong with large contents and uploads, one thing at a time: every allocation of the
 * store refused, every call of the engine failed, power cut behind every commit. Nothing leaks, no
 * half state can be seen, a recount finds nothing, and what failed can be tried again. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/chunks.h"

#define MIB WFL_CHUNK_BYTES

/* Content of three small "chunks" would be no content: the sizes are real, and few. */
static const uint8_t aba[] = {1, 2, 1}, ac[] = {1, 3};

static wfl_ulid        upload;
static struct wfl_part parts[2];

static wfl_code try_put(struct fixture *f)
{
    return put(f, "photos", "k", chunks_of(3 * MIB, aba, 3));
}
static wfl_code try_put_shared(struct fixture *f)
{
    return put(f, "photos", "k2", chunks_of(2 * MIB, ac, 2));
}
static wfl_code try_read(struct fixture *f)
{
    struct wfl_get     get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece = {.len = 1};
    wfl_error          err;
    uint64_t           sum = 0;
    wfl_code           rc = get_op(f, &get);

    if (rc == WFL_OK) rc = wfl_reader_new(&get, MIB - 1, MIB + 2, true, &reader, &err);
    while (rc == WFL_OK && piece.len > 0) {
        rc = wfl_reader_next(reader, &piece, &err);
        sum += piece.len;
        wfl_blob_close(&piece.blob);
    }
    if (rc == WFL_OK) assert_int_equal(sum, MIB + 2);
    wfl_reader_free(reader);
    wfl_get_fini(&get);
    return rc;
}
static wfl_code try_start(struct fixture *f)
{
    static const struct wfl_name_value meta[] = {{WFL_LIT("m"), WFL_LIT("1")}};
    struct wfl_put                     given = {
                            .bucket = WFL_S("photos"), .key = WFL_S("up"), .meta = meta, .meta_count = 1};
    wfl_error err;

    return wfl_upload_start(f->store, &given, &upload, &err);
}
static wfl_code try_part_1(struct fixture *f)
{
    parts[0].number = 1;
    return try_part(f, "up", &upload, &parts[0], chunks_of(2 * MIB, ac, 2));
}
static wfl_code try_part_again(struct fixture *f)
{
    return try_part(f, "up", &upload, &parts[0], chunks_of(2 * MIB, aba + 1, 2));
}
static wfl_code try_part_9(struct fixture *f)
{
    parts[1].number = 9;
    return try_part(f, "up", &upload, &parts[1], chunks_of(10, aba, 1));
}
static wfl_code try_list(struct fixture *f)
{
    struct wfl_part        *list = NULL;
    struct wfl_upload_info *uploads;
    uint32_t                count = 0;
    wfl_arena               arena;
    wfl_error               err;
    wfl_code                rc =
        wfl_upload_list_parts(f->store, WFL_S("photos"), WFL_S("up"), &upload, &list, &count, &err);

    if (rc == WFL_OK) assert_int_equal(count, 2);
    wfl_upload_free_parts(f->store, list);
    if (rc != WFL_OK) return rc;
    wfl_arena_init(&arena, &f->alloc, 1u << 20);
    rc = wfl_upload_list(f->store, WFL_S("photos"), &arena, &uploads, &count, &err);
    if (rc == WFL_OK) assert_int_equal(count, 1);
    wfl_arena_fini(&arena);
    return rc;
}
static wfl_code try_complete(struct fixture *f)
{
    return complete(f, "up", &upload, parts, 2, NULL);
}
static wfl_code try_complete_small(struct fixture *f)
{
    return complete(f, "up", &upload, parts + 1, 1, NULL);
}
static wfl_code try_abort(struct fixture *f)
{
    wfl_error err;

    return wfl_upload_abort(f->store, WFL_S("photos"), WFL_S("up"), &upload, NULL, &err);
}
static wfl_code try_delete(struct fixture *f)
{
    return delete_key(f, "photos", "k");
}
static wfl_code try_delete_other(struct fixture *f)
{
    return delete_key(f, "photos", "k2");
}
static wfl_code try_delete_up(struct fixture *f)
{
    return delete_key(f, "photos", "up");
}
static wfl_code try_collect(struct fixture *f)
{
    wfl_error err;
    bool      left = false;
    wfl_code  rc = wfl_store_collect(f->store, &left, &err);

    /* Without memory to look, a manifest is passed by, which is told. */
    return rc == WFL_OK && left ? WFL_NOMEM : rc;
}

static const struct step {
    const char *name;
    wfl_code (*run)(struct fixture *f);
    size_t objects, chunks, uploads; /* rows after it */
} steps[] = {
    {"put", try_put, 1, 2, 0},
    {"read", try_read, 1, 2, 0},
    {"put of shared chunks", try_put_shared, 2, 3, 0},
    {"start", try_start, 2, 3, 2},
    {"part", try_part_1, 2, 3, 3},
    {"another part", try_part_9, 2, 4, 4},
    {"part again", try_part_again, 2, 4, 5},
    {"list", try_list, 2, 4, 5},
    {"collect", try_collect, 2, 4, 4},
    {"complete", try_complete, 3, 4, 0},
    {"overwrite", try_put, 3, 4, 1},
    {"delete shared", try_delete_other, 2, 4, 2},
    {"collect", try_collect, 2, 3, 0},
    {"delete the object of parts", try_delete_up, 1, 3, 1},
    {"collect the parts", try_collect, 1, 2, 0},
    {"start again", try_start, 1, 2, 2},
    {"a part", try_part_1, 1, 3, 3},
    {"a small part", try_part_9, 1, 4, 4},
    {"complete with the small one", try_complete_small, 2, 4, 2},
    {"collect", try_collect, 2, 2, 0},
    {"start to abort", try_start, 2, 2, 2},
    {"part to abort", try_part_1, 2, 3, 3},
    {"abort", try_abort, 2, 3, 1},
    {"delete", try_delete, 1, 3, 2},
    {"collect all", try_collect, 1, 0, 0},
};

static void assert_state(struct fixture *f, const struct step *step)
{
    if (rows(f, WFL_SPACE_OBJECTS) != step->objects || rows(f, WFL_SPACE_CHUNKS) != step->chunks ||
        rows(f, WFL_SPACE_UPLOADS) != step->uploads)
        fail_msg("%s: %zu objects, %zu chunks, %zu rows of uploads", step->name,
                 rows(f, WFL_SPACE_OBJECTS), rows(f, WFL_SPACE_CHUNKS), rows(f, WFL_SPACE_UPLOADS));
}

/* A failed step may have left something for the collector only where it is the collector. */
static void assert_sound(struct fixture *f)
{
    assert_pending(f, 0);
    assert_recounts(f);
}

static void any_refused_allocation_is_an_error_that_can_be_tried_again(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(steps); i++) {
        uint64_t k = 0, made;
        wfl_code rc;

        do {
            made = f->allocs;
            f->refuse = f->allocs + ++k;
            rc = steps[i].run(f);
            f->refuse = 0;
            if (rc != WFL_OK && rc != WFL_NOMEM)
                fail_msg("%s: %s", steps[i].name, wfl_code_name(rc));
            if (rc != WFL_OK) assert_sound(f);
        } while (rc != WFL_OK || f->allocs - made >= k); /* an attempt that got by is none */
        assert_state(f, &steps[i]);
        assert_sound(f);
    }
    assert_nothing_large(f);
}

static void any_failed_call_of_the_engine_is_an_error_that_can_be_tried_again(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(steps); i++) {
        uint64_t k = 0;
        wfl_code rc;

        do {
            wfl_memory_fail(f->engine, ++k, WFL_DISK_FULL);
            rc = steps[i].run(f);
            wfl_memory_fail(f->engine, 0, WFL_OK);
            if (rc != WFL_OK && rc != WFL_DISK_FULL)
                fail_msg("%s: %s", steps[i].name, wfl_code_name(rc));
            if (rc != WFL_OK) assert_sound(f);
        } while (rc != WFL_OK);
        if (k < 2) fail_msg("%s: no call failed", steps[i].name);
        assert_state(f, &steps[i]);
        assert_sound(f);
    }
    assert_nothing_large(f);
}

/* Power is cut after a step, and in one, at each call that fails: what is left is sound, and goes.
 */
static void a_power_cut_at_any_call_leaves_a_sound_store(void **state)
{
    struct fixture *f = *state;

    for (size_t last = 0; last < WFL_COUNT(steps); last++) {
        for (uint64_t k = 1;; k += 3) {
            wfl_code rc = WFL_OK;

            for (size_t i = 0; i < last; i++)
                assert_code(steps[i].run(f), WFL_OK);
            wfl_memory_fail(f->engine, k, WFL_IO);
            rc = steps[last].run(f);
            wfl_memory_fail(f->engine, 0, WFL_OK);
            fixture_reopen(f);
            assert_recounts(f);
            assert_false(collect(f));
            assert_recounts(f);
            assert_pending(f, 0);
            for (const char *const *key = (const char *const[]){"k", "k2", "up", NULL};
                 *key != NULL; key++) {
                wfl_code gone = delete_key(f, "photos", *key);
                assert_true(gone == WFL_OK || gone == WFL_KEY_NOT_FOUND);
            }
            f->now_ns += INT64_C(8) * 24 * 3600 * 1000000000; /* uploads are out of time */
            assert_false(collect(f));
            assert_nothing_large(f);
            if (rc == WFL_OK) break;
        }
    }
}

/* Of a content of more than one page: every call about the page's commit, and some between. */
static void a_page_that_fails_leaves_nothing(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;
    uint64_t           fine = 0;
    wfl_code           rc = WFL_OK;

    for (uint64_t k = 1; fine < 2; k += k < 400 ? 97 : k < 560 ? 13 : 211) {
        wfl_memory_fail(f->engine, k, WFL_DISK_FULL);
        content = NULL;
        rc = ingest_long(f, "photos", 258, MIB, &content);
        wfl_memory_fail(f->engine, 0, WFL_OK);
        assert_true(rc == WFL_OK || rc == WFL_DISK_FULL);
        fine += rc == WFL_OK;
        wfl_ingest_free(content);
        assert_pending(f, 0);
        assert_recounts(f);
        assert_false(collect(f));
        assert_nothing_large(f);
    }
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(memory, any_refused_allocation_is_an_error_that_can_be_tried_again),
        ON(memory, any_failed_call_of_the_engine_is_an_error_that_can_be_tried_again),
        ON(memory, a_power_cut_at_any_call_leaves_a_sound_store),
        ON(memory, a_page_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
