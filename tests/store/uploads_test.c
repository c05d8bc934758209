/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads: parts in any order and again, objects made of exactly the parts that are
 * named, refusals that leave the upload as it was, and nothing left of what ends in another way. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/chunks.h"

#define MIB WFL_CHUNK_BYTES

static wfl_slice key_of(const char *key)
{
    return wfl_slice_str(key);
}

/* ---- parts */

static uint32_t list(struct fixture *f, const char *key, const wfl_ulid *upload,
                     struct wfl_part out[8])
{
    struct wfl_part *parts = NULL;
    uint32_t         count = 0;
    wfl_error        err;

    assert_code(
        wfl_upload_list_parts(f->store, WFL_S("photos"), key_of(key), upload, &parts, &count, &err),
        WFL_OK);
    for (uint32_t i = 0; i < count && i < 8; i++)
        out[i] = parts[i];
    wfl_upload_free_parts(f->store, parts);
    return count;
}

static void parts_are_listed_in_order_whatever_order_they_came_in(void **state)
{
    static const uint32_t numbers[] = {7, 10000, 1, 256, 255, 2};
    static const uint32_t sorted[] = {1, 2, 7, 255, 256, 10000};
    struct fixture       *f = *state;
    struct wfl_part       parts[8];
    wfl_ulid              upload = begin_upload(f, "k", NULL);

    assert_int_equal(list(f, "k", &upload, parts), 0);
    for (size_t i = 0; i < WFL_COUNT(numbers); i++)
        (void)put_part(f, "k", &upload, numbers[i], large_of(numbers[i], 1));
    assert_int_equal(list(f, "k", &upload, parts), WFL_COUNT(sorted));
    for (size_t i = 0; i < WFL_COUNT(sorted); i++) {
        wfl_hash hash = wfl_hash_of(large_of(sorted[i], 1));
        assert_int_equal(parts[i].number, sorted[i]);
        assert_int_equal(parts[i].size, sorted[i]);
        assert_memory_equal(parts[i].blake3.bytes, hash.bytes, sizeof hash.bytes);
    }
    assert_recounts(f);
}

static void a_part_put_again_takes_the_place_of_the_first(void **state)
{
    struct fixture *f = *state;
    struct wfl_part parts[8], last;
    wfl_ulid        upload = begin_upload(f, "k", NULL);

    (void)put_part(f, "k", &upload, 1, large_of(2 * MIB, 1));
    (void)put_part(f, "k", &upload, 1, large_of(2 * MIB, 1)); /* the same */
    last = put_part(f, "k", &upload, 1, large_of(MIB + 1, 2));
    assert_int_equal(list(f, "k", &upload, parts), 1);
    assert_int_equal(parts[0].size, MIB + 1);
    assert_recounts(f);
    assert_false(collect(f));
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 2);
    assert_code(complete(f, "k", &upload, &last, 1, NULL), WFL_OK);
    assert_content(f, "photos", "k", large_of(MIB + 1, 2));
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
    assert_recounts(f);
}

static void nobody_gets_at_an_upload_by_another_name(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL), other = upload;
    struct wfl_part part = put_part(f, "k", &upload, 1, large_of(10, 1)), *parts;
    uint32_t        count;
    wfl_error       err;
    wfl_code        want = WFL_UPLOAD_NOT_FOUND;

    other.bytes[15] ^= 1;
    assert_code(create(f, "other", ""), WFL_OK);
    for (int i = 0; i < 3; i++) {
        wfl_slice       bucket = i == 2 ? WFL_S("other") : WFL_S("photos");
        const char     *key = i == 1 ? "k2" : "k";
        const wfl_ulid *id = i == 0 ? &other : &upload;

        assert_code(wfl_upload_check(f->store, bucket, key_of(key), id, &err), want);
        assert_code(wfl_upload_list_parts(f->store, bucket, key_of(key), id, &parts, &count, &err),
                    want);
        assert_code(wfl_upload_abort(f->store, bucket, key_of(key), id, NULL, &err), want);
        if (i < 2) {
            struct wfl_part again = part;
            assert_code(try_part(f, key, id, &again, large_of(10, 1)), want);
            assert_code(complete(f, key, id, &part, 1, NULL), want);
        }
    }
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &upload, &err), WFL_OK);
    assert_code(wfl_upload_check(f->store, WFL_S("nowhere"), key_of("k"), &upload, &err),
                WFL_BUCKET_NOT_FOUND);
    assert_code(complete(f, "k", &upload, &part, 1, NULL), WFL_OK);
    assert_code(complete(f, "k", &upload, &part, 1, NULL), want); /* it has ended */
}

/* ---- objects */

static void an_object_is_its_parts_one_behind_the_other(void **state)
{
    static const struct {
        size_t sizes[5];
        size_t count;
    } cases[] = {
        {{2 * MIB}, 1},
        {{2 * MIB + 1, 1}, 2},
        {{MIB, MIB, MIB}, 3},
        {{MIB + 7, 0}, 2},
        {{3 * MIB - 1, MIB + 1, 5}, 3},
        {{MIB, 2 * MIB + 3, MIB, MIB + 9, 99}, 5},
        {{70000}, 1},
        {{MIB - 1}, 1},
    };
    static uint8_t  whole[16 * MIB];
    struct fixture *f = *state;
    uint64_t        rng = test_seed();

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_ulid             upload = begin_upload(f, "k", NULL);
        struct wfl_part      parts[5];
        struct wfl_completed done;
        struct wfl_get       get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
        size_t               len = 0;

        for (size_t p = 0; p < cases[i].count; p++) {
            wfl_slice content = large_of(cases[i].sizes[p], (uint8_t)(i * 8 + p));
            memcpy(whole + len, content.data, content.len);
            len += content.len;
            parts[p] = put_part(f, "k", &upload, (uint32_t)(p * p + 1), content);
        }
        assert_code(complete(f, "k", &upload, parts, (uint32_t)cases[i].count, &done), WFL_OK);
        wfl_hash hash = wfl_hash_of(wfl_slice_of(whole, len));
        assert_int_equal(done.created, i == 0);
        assert_int_equal(done.size, len);
        assert_memory_equal(done.blake3.bytes, hash.bytes, sizeof hash.bytes);
        assert_false(collect(f));
        assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
        if (i % 4 == 1) fixture_reopen(f);
        assert_code(get_op(f, &get), WFL_OK);
        assert_int_equal(wfl_ulid_cmp(&get.object.version, &done.version), 0);
        assert_memory_equal(get.object.blake3.bytes, hash.bytes, sizeof hash.bytes);
        assert_reads(&get, 0, wfl_slice_of(whole, len));
        for (int round = 0; round < 40; round++) {
            size_t first = (size_t)(next_random(&rng) % len);
            size_t count = (size_t)(next_random(&rng) % (len - first + 1));
            if (round % 2 == 0) count %= 3;
            assert_reads(&get, first, wfl_slice_of(whole + first, count));
        }
        wfl_get_fini(&get);
        assert_recounts(f);
    }
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void a_small_object_lies_in_its_record(void **state)
{
    static const size_t sizes[] = {0, 1, 1024, 1025, WFL_VALUE_BYTES_MAX, WFL_VALUE_BYTES_MAX + 1};
    struct fixture     *f = *state;

    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        wfl_ulid             upload = begin_upload(f, "k", NULL);
        struct wfl_part      part = put_part(f, "k", &upload, 3, large_of(sizes[i], 1));
        struct wfl_get       get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
        struct wfl_completed done;

        (void)put_part(f, "k", &upload, 4, large_of(sizes[i], 1)); /* is not wanted */
        assert_code(complete(f, "k", &upload, &part, 1, &done), WFL_OK);
        assert_memory_equal(done.blake3.bytes, part.blake3.bytes, sizeof part.blake3.bytes);
        assert_int_equal(done.size, sizes[i]);
        assert_code(get_op(f, &get), WFL_OK);
        assert_int_equal(get.large, sizes[i] > WFL_VALUE_BYTES_MAX);
        wfl_get_fini(&get);
        assert_content(f, "photos", "k", large_of(sizes[i], 1));
        assert_false(collect(f));
        assert_int_equal(rows(f, WFL_SPACE_CHUNKS), sizes[i] > WFL_VALUE_BYTES_MAX);
        assert_recounts(f);
    }
}

static void what_was_given_at_the_start_is_the_objects(void **state)
{
    static const struct wfl_name_value meta[] = {{WFL_LIT("m"), WFL_LIT("1")},
                                                 {WFL_LIT("n"), WFL_LIT("")}};
    static const struct wfl_name_value tags[] = {{WFL_LIT("t"), WFL_LIT("2")}};
    struct fixture                    *f = *state;
    struct wfl_put                     given = {.content_type = WFL_S("image/jpeg"),
                                                .meta = meta,
                                                .meta_count = 2,
                                                .tags = tags,
                                                .tag_count = 1,
                                                .by = WFL_S("someone")};
    struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("k"), .head_only = true};

    wfl_ulid        upload = begin_upload(f, "k", &given);
    struct wfl_part parts[2] = {put_part(f, "k", &upload, 1, large_of(MIB, 1)),
                                put_part(f, "k", &upload, 2, large_of(1, 1))};
    fixture_reopen(f);
    if (f->kind == ON_MEMORY) { /* parts were buffered: a power cut took them */
        parts[0] = put_part(f, "k", &upload, 1, large_of(MIB, 1));
        parts[1] = put_part(f, "k", &upload, 2, large_of(1, 1));
    }
    assert_code(complete(f, "k", &upload, parts, 2, NULL), WFL_OK);
    assert_code(get_op(f, &get), WFL_OK);
    assert_true(wfl_slice_eq(get.object.content_type, WFL_S("image/jpeg")));
    assert_int_equal(get.object.meta_count, 2);
    assert_true(wfl_slice_eq(get.object.meta[0].value, WFL_S("1")));
    assert_int_equal(get.object.tag_count, 1);
    assert_true(wfl_slice_eq(get.object.tags[0].name, WFL_S("t")));
    wfl_get_fini(&get);
}

/* ---- refusals leave the upload as it was */

static void wrong_lists_are_refused(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL);
    struct wfl_part a = put_part(f, "k", &upload, 1, large_of(MIB, 1));
    struct wfl_part b = put_part(f, "k", &upload, 2, large_of(MIB - 1, 2));
    struct wfl_part c = put_part(f, "k", &upload, 3, large_of(MIB, 3));
    struct wfl_part missing = c, foreign = c;
    missing.number = 4;
    foreign.blake3 = b.blake3;
    const struct {
        const char     *name;
        struct wfl_part parts[3];
        uint32_t        count;
    } cases[] = {
        {"none", {a}, 0},
        {"one that was not received", {a, missing}, 2},
        {"another hash", {a, foreign}, 2},
        {"descending", {c, a}, 2},
        {"twice", {a, a}, 2},
        {"too small and not the last", {a, b, c}, 3},
        {"too small and the first", {b, c}, 2},
    };

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_code rc = complete(f, "k", &upload, cases[i].parts, cases[i].count, NULL);
        if (rc != WFL_INVALID_PART) fail_msg("%s: %s", cases[i].name, wfl_code_name(rc));
        assert_recounts(f);
    }
    assert_no_key(f, "photos", "k");
    assert_code(complete(f, "k", &upload, (struct wfl_part[]){a, b}, 2, NULL), WFL_OK);
    assert_false(collect(f));
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 2);
    assert_recounts(f);
}

static void the_whole_is_what_was_declared_or_nothing(void **state)
{
    struct fixture        *f = *state;
    struct wfl_completion *c = NULL;
    struct wfl_completed   out;
    wfl_error              err;

    for (uint32_t count = 1; count <= 2; count++) {
        wfl_ulid        upload = begin_upload(f, "k", NULL);
        struct wfl_part parts[2] = {put_part(f, "k", &upload, 1, large_of(MIB, 1)),
                                    put_part(f, "k", &upload, 2, large_of(9, 1))};
        wfl_hash        wrong = wfl_hash_of(WFL_S("x")), right;

        right = wfl_hash_of(large_of(MIB, 1));
        if (count == 2) {
            static uint8_t whole[MIB + 9];
            memcpy(whole, large_of(MIB, 1).data, MIB);
            memcpy(whole + MIB, large_of(9, 1).data, 9);
            right = wfl_hash_of(wfl_slice_of(whole, sizeof whole));
        }
        for (int i = 0; i < 2; i++) {
            bool ended = false;
            assert_code(wfl_completion_new(f->store, WFL_S("photos"), key_of("k"), &upload, parts,
                                           count, i == 0 ? &wrong : &right, &c, &err),
                        WFL_OK);
            while (!ended)
                assert_code(wfl_completion_step(c, &ended, &err), WFL_OK);
            assert_code(wfl_completion_commit(c, NULL, &out, &err),
                        i == 0 ? WFL_CONTENT_MISMATCH : WFL_OK);
            wfl_completion_free(c);
            if (i == 0) assert_no_key(f, "photos", "k");
        }
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
    }
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void conditions_and_limits_are_judged_at_completion(void **state)
{
    struct fixture      *f = *state;
    wfl_ulid             version, wrong = {{1}};
    struct wfl_completed out;
    struct wfl_put       absent = {.none_match = {.kind = WFL_COND_ABSENT}};
    struct wfl_put       exactly = {.match = {WFL_COND_ANY_OF, &version, 1}};
    struct wfl_put       other = {.match = {WFL_COND_ANY_OF, &wrong, 1}};

    wfl_ulid        upload = begin_upload(f, "k", &absent); /* holds now, and not later */
    struct wfl_part part = put_part(f, "k", &upload, 1, large_of(MIB, 1));
    assert_code(put_as(f, "photos", "k", WFL_S("first"), &version), WFL_OK);
    assert_code(complete(f, "k", &upload, &part, 1, &out), WFL_PRECONDITION_FAILED);
    assert_int_equal(wfl_ulid_cmp(&out.version, &version), 0);
    assert_content(f, "photos", "k", WFL_S("first"));
    assert_recounts(f);
    assert_code(delete_key(f, "photos", "k"), WFL_OK); /* now it holds: the upload is still there */
    assert_code(complete(f, "k", &upload, &part, 1, &out), WFL_OK);
    assert_true(out.created);
    version = out.version;
    upload = begin_upload(f, "k", &other);
    part = put_part(f, "k", &upload, 1, large_of(MIB, 2));
    assert_code(complete(f, "k", &upload, &part, 1, &out), WFL_PRECONDITION_FAILED);
    upload = begin_upload(f, "k", &exactly);
    version = (wfl_ulid){{0}}; /* the upload has its own copy */
    part = put_part(f, "k", &upload, 1, large_of(MIB, 2));
    assert_code(complete(f, "k", &upload, &part, 1, &out), WFL_OK);
    assert_false(out.created);
    assert_content(f, "photos", "k", large_of(MIB, 2));
    assert_recounts(f);
}

static void a_full_bucket_takes_no_upload(void **state)
{
    struct fixture *f = *state;

    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(create(f, "photos", "{\"quota_bytes\":2000000,\"max_object_bytes\":3000000}"),
                WFL_OK);
    wfl_ulid        upload = begin_upload(f, "k", NULL);
    struct wfl_part parts[3] = {put_part(f, "k", &upload, 1, large_of(MIB, 1)),
                                put_part(f, "k", &upload, 2, large_of(MIB, 1)),
                                put_part(f, "k", &upload, 3, large_of(MIB, 1))};
    assert_code(complete(f, "k", &upload, parts, 3, NULL), WFL_OBJECT_TOO_LARGE);
    assert_code(complete(f, "k", &upload, parts, 2, NULL), WFL_QUOTA_EXCEEDED);
    assert_recounts(f);
    assert_code(complete(f, "k", &upload, parts, 1, NULL), WFL_OK);
    assert_int_equal(info(f, "photos").bytes, MIB);
    assert_false(collect(f));
    assert_int_equal(references(f, 2, large_of(MIB, 1)), 1);
    assert_recounts(f);
}

static void a_part_put_while_the_upload_is_completed_stops_it(void **state)
{
    struct fixture        *f = *state;
    wfl_ulid               upload = begin_upload(f, "k", NULL);
    struct wfl_part        parts[2] = {put_part(f, "k", &upload, 1, large_of(2 * MIB, 1)),
                                       put_part(f, "k", &upload, 2, large_of(2 * MIB, 2))};
    struct wfl_completion *c = NULL;
    struct wfl_completed   out;
    bool                   ended = false;
    wfl_error              err;

    assert_code(wfl_completion_new(f->store, WFL_S("photos"), key_of("k"), &upload, parts, 2, NULL,
                                   &c, &err),
                WFL_OK);
    parts[0] = put_part(f, "k", &upload, 1, large_of(MIB, 3));
    assert_true(collect(f)); /* what the completion reads stays */
    while (!ended)
        assert_code(wfl_completion_step(c, &ended, &err), WFL_OK);
    assert_code(wfl_completion_commit(c, NULL, &out, &err), WFL_INVALID_PART);
    wfl_completion_free(c);
    assert_false(collect(f));
    assert_recounts(f);
    assert_code(complete(f, "k", &upload, parts, 2, NULL), WFL_OK);
    assert_int_equal(info(f, "photos").bytes, 3 * MIB);
    assert_recounts(f);
}

static wfl_ulid overtaken;

static void replace_part_and_collect(struct fixture *f, size_t n)
{
    if (n != 3) return; /* which of two parts are used */
    f->on_alloc = NULL;
    (void)put_part(f, "k", &overtaken, 1, large_of(MIB, 9));
    assert_false(collect(f));
}

/* The part is read, and gone before it is held. */
static void a_part_that_is_collected_before_it_is_held_is_not_damage(void **state)
{
    struct fixture *f = *state;

    overtaken = begin_upload(f, "k", NULL);
    struct wfl_part parts[2] = {put_part(f, "k", &overtaken, 1, large_of(2 * MIB, 1)),
                                put_part(f, "k", &overtaken, 2, large_of(2 * MIB, 2))};
    f->on_alloc = replace_part_and_collect;
    assert_code(complete(f, "k", &overtaken, parts, 2, NULL), WFL_INVALID_PART);
    assert_null(f->on_alloc);
    assert_recounts(f);
}

/* ---- ends */

static void an_aborted_upload_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL);
    wfl_error       err;

    (void)put_part(f, "k", &upload, 1, large_of(3 * MIB, 1));
    (void)put_part(f, "k", &upload, 2, large_of(0, 1));
    (void)put_part(f, "k", &upload, 9, large_of(70000, 2));
    assert_code(wfl_upload_abort(f->store, WFL_S("photos"), key_of("k"), &upload, NULL, &err),
                WFL_OK);
    assert_recounts(f);
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &upload, &err),
                WFL_UPLOAD_NOT_FOUND);
    struct wfl_part late = {.number = 1};
    assert_code(try_part(f, "k", &upload, &late, large_of(MIB, 5)), WFL_UPLOAD_NOT_FOUND);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static const int64_t week_ns = INT64_C(7) * 24 * 3600 * 1000000000;

static void an_upload_untouched_for_a_week_goes(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL), other = begin_upload(f, "k2", NULL);
    wfl_error       err;

    (void)put_part(f, "k", &upload, 1, large_of(MIB, 1));
    f->now_ns += week_ns - 1000000;
    (void)put_part(f, "k2", &other, 1, large_of(MIB, 2));
    assert_false(collect(f));
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &upload, &err), WFL_OK);
    f->now_ns += 1000000;
    assert_false(collect(f));
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &upload, &err),
                WFL_UPLOAD_NOT_FOUND);
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k2"), &other, &err), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 1);
    assert_recounts(f);
    f->now_ns += week_ns;
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void touch_late(struct fixture *f, size_t n)
{
    (void)n;
    f->on_alloc = NULL;
    (void)put_part(f, "late", &overtaken, 1, large_of(MIB, 9));
}

/* The collector has read that its time is out, and is at another one. */
static void an_upload_that_is_touched_in_the_last_moment_stays(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        first = begin_upload(f, "k", NULL);
    wfl_error       err;

    overtaken = begin_upload(f, "late", NULL);
    (void)put_part(f, "k", &first, 1, large_of(MIB, 1));
    f->now_ns += 2 * week_ns;
    f->on_alloc = touch_late; /* at the first one's parts */
    assert_false(collect(f));
    assert_null(f->on_alloc);
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &first, &err),
                WFL_UPLOAD_NOT_FOUND);
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("late"), &overtaken, &err),
                WFL_OK);
    assert_recounts(f);
}

static void uploads_go_with_their_bucket(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL);
    struct wfl_part part = put_part(f, "k", &upload, 1, large_of(MIB, 1));
    wfl_error       err;

    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(wfl_upload_check(f->store, WFL_S("photos"), key_of("k"), &upload, &err),
                WFL_BUCKET_NOT_FOUND);
    assert_code(create(f, "photos", ""), WFL_OK);
    assert_code(complete(f, "k", &upload, &part, 1, NULL), WFL_UPLOAD_NOT_FOUND);
    assert_recounts(f);
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* The bucket goes between the steps of a completion, and of a part. */
static void a_bucket_made_anew_gets_nothing_of_the_old_one(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "k", NULL);
    struct wfl_part part = put_part(f, "k", &upload, 1, large_of(MIB, 1)), next = {.number = 2};
    struct wfl_completion *c = NULL;
    struct wfl_completed   out;
    struct wfl_ingest     *content = NULL;
    bool                   ended;
    wfl_error              err;

    assert_code(wfl_completion_new(f->store, WFL_S("photos"), key_of("k"), &upload, &part, 1, NULL,
                                   &c, &err),
                WFL_OK);
    assert_code(wfl_completion_step(c, &ended, &err), WFL_OK);
    assert_code(ingest(f, "photos", large_of(MIB, 2), &content), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(create(f, "photos", ""), WFL_OK);
    assert_code(wfl_completion_commit(c, NULL, &out, &err), WFL_BUCKET_NOT_FOUND);
    wfl_completion_free(c);
    assert_code(wfl_upload_put_part(f->store, WFL_S("photos"), key_of("k"), &upload, &next, content,
                                    WFL_DURABLE, NULL, &err),
                WFL_BUCKET_NOT_FOUND);
    wfl_ingest_free(content);
    assert_false(collect(f));
    assert_nothing_large(f);
    assert_recounts(f);
}

/* ---- many */

static void ten_thousand_parts_are_an_upload_like_any(void **state)
{
    struct fixture  *f = *state;
    wfl_ulid         upload = begin_upload(f, "k", NULL);
    struct wfl_part *parts = NULL, chosen[3];
    uint32_t         count;
    wfl_error        err;

    for (uint32_t i = WFL_PARTS_MAX; i >= 1; i--)
        (void)put_part(f, "k", &upload, i, large_of(i % 5000 == 1 ? MIB : 10, 1));
    assert_code(wfl_upload_list_parts(f->store, WFL_S("photos"), key_of("k"), &upload, &parts,
                                      &count, &err),
                WFL_OK);
    assert_int_equal(count, WFL_PARTS_MAX);
    assert_code(complete(f, "k", &upload, parts, count, NULL), WFL_INVALID_PART);
    chosen[0] = parts[0];
    chosen[1] = parts[5000];
    chosen[2] = parts[9999];
    assert_int_equal(chosen[2].number, WFL_PARTS_MAX);
    wfl_upload_free_parts(f->store, parts);
    assert_int_equal(references(f, 1, large_of(10, 1)), WFL_PARTS_MAX - 2);
    assert_code(complete(f, "k", &upload, chosen, 3, NULL), WFL_OK);
    assert_int_equal(info(f, "photos").bytes, 2 * MIB + 10);
    assert_recounts(f);
    assert_false(collect(f));
    assert_int_equal(references(f, 1, large_of(10, 1)), 1);
    assert_recounts(f);
}

static uint32_t list_uploads(struct fixture *f, const char *bucket, struct wfl_upload_info **out,
                             wfl_arena *arena)
{
    uint32_t  count = 0;
    wfl_error err;

    wfl_arena_init(arena, &wfl_alloc_libc, 64u << 20);
    assert_code(wfl_upload_list(f->store, wfl_slice_str(bucket), arena, out, &count, &err), WFL_OK);
    return count;
}

static void uploads_are_listed_in_the_order_of_their_starts(void **state)
{
    enum { MANY = 2500 };
    static char             long_text[8000];
    struct wfl_name_value   meta[] = {{WFL_LIT("m"), {0}}};
    struct fixture         *f = *state;
    struct wfl_upload_info *uploads = NULL;
    struct wfl_put          given = {.meta = meta, .meta_count = 1, .durability = WFL_BUFFERED};
    wfl_arena               arena;
    char                    key[16];

    memset(long_text, 'x', sizeof long_text); /* records of more than a page's bytes together */
    meta[0].value = wfl_slice_of(long_text, sizeof long_text);
    assert_code(create(f, "other", ""), WFL_OK);
    assert_int_equal(list_uploads(f, "photos", &uploads, &arena), 0);
    wfl_arena_fini(&arena);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", MANY - i);
        wfl_ulid upload = begin_upload(f, key, &given);
        if (i % 1000 == 3) (void)put_part(f, key, &upload, 1, large_of(10, 1));
    }
    assert_int_equal(list_uploads(f, "photos", &uploads, &arena), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "k%d", MANY - i);
        assert_true(wfl_slice_eq(uploads[i].key, wfl_slice_str(key)));
        assert_int_equal(uploads[i].bytes, i % 1000 == 3 ? 10 : 0);
        if (i > 0) assert_true(wfl_ulid_cmp(&uploads[i - 1].upload, &uploads[i].upload) < 0);
    }
    wfl_arena_fini(&arena);
    assert_int_equal(list_uploads(f, "other", &uploads, &arena), 0);
    wfl_arena_fini(&arena);
    f->now_ns += week_ns;
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* ---- damage */

static wfl_slice upload_key(uint8_t tag, const wfl_ulid *what)
{
    static uint8_t key[WFL_UPLOAD_KEY_MAX];

    return wfl_key_upload(tag, 1, what, key);
}

static void damaged_records_are_corrupt(void **state)
{
    struct fixture          *f = *state;
    struct wfl_upload_info  *uploads = NULL;
    struct wfl_part         *parts = NULL;
    struct wfl_record_upload odd = {.key = wfl_to_record(WFL_S("k")), .match = {.kind = 200}};
    uint8_t                  space[1024], key[WFL_UPLOAD_KEY_MAX];
    wfl_arena                arena;
    uint32_t                 count;
    wfl_error                err;
    wfl_code                 want = WFL_CORRUPT_OBJECT;

    for (int i = 0; i < 4; i++) {
        wfl_ulid        upload = begin_upload(f, "k", NULL);
        struct wfl_part part = put_part(f, "k", &upload, 1, large_of(MIB, 1)), again = part;

        if (i == 0) poke(f, WFL_SPACE_UPLOADS, upload_key('u', &upload), WFL_S("rubbish"));
        if (i == 1) poke(f, WFL_SPACE_UPLOADS, upload_key('s', &upload), WFL_S("rubbish"));
        if (i == 2) poke(f, WFL_SPACE_UPLOADS, wfl_key_part(1, &upload, 1, key), WFL_S("rubbish"));
        if (i == 3)
            poke(f, WFL_SPACE_UPLOADS, upload_key('u', &upload),
                 wfl_slice_of(space, wfl_record_upload_write(&odd, space, sizeof space)));
        assert_code(try_part(f, "k", &upload, &again, large_of(MIB, 1)), want);
        assert_code(complete(f, "k", &upload, &part, 1, NULL), want);
        assert_code(wfl_upload_abort(f->store, WFL_S("photos"), key_of("k"), &upload, NULL, &err),
                    want);
        if (i != 1)
            assert_code(wfl_upload_list_parts(f->store, WFL_S("photos"), key_of("k"), &upload,
                                              &parts, &count, &err),
                        want);
        wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
        wfl_code rc = wfl_upload_list(f->store, WFL_S("photos"), &arena, &uploads, &count, &err);
        if (rc != WFL_OK) assert_code(rc, want);
        wfl_arena_fini(&arena);
        assert_no_key(f, "photos", "k");
        assert_pending(f, 0);
    }
    f->now_ns += 2 * week_ns;
    (void)collect(f); /* ends */
}

static void damaged_lists_of_parts_are_corrupt(void **state)
{
    struct fixture          *f = *state;
    struct wfl_record_extent extents[3] = {0};
    uint8_t                  key[WFL_MANIFEST_KEY_LEN], space[1024];

    for (int i = 0; i < 6; i++) {
        wfl_ulid           upload = begin_upload(f, "k", NULL);
        struct wfl_part    parts[2] = {put_part(f, "k", &upload, 1, large_of(MIB + 100, 1)),
                                       put_part(f, "k", &upload, 2, large_of(MIB, 2))};
        struct wfl_get     get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
        struct wfl_reader *reader = NULL;
        struct wfl_piece   piece = {.len = 1};
        struct wfl_pin     pin = {0};
        wfl_slice          bad = WFL_S("rubbish");
        uint32_t           count = 2;
        wfl_error          err;
        wfl_code           rc = WFL_OK;

        assert_code(complete(f, "k", &upload, parts, 2, NULL), WFL_OK);
        wfl_slice row = wfl_key_manifest(1, &upload, WFL_PAGE_PARTS, key);
        assert_code(wfl_engine_read(f->engine, WFL_SPACE_MANIFESTS, row, &pin, &err), WFL_OK);
        for (uint32_t p = 0; p < 2; p++)
            wfl_record_parts_at(pin.value.data, p, &extents[p]);
        wfl_pin_release(&pin);
        if (i == 1)
            extents[0].size -= 100; /* a boundary moved: bytes of the first would be left out */
        if (i == 2) extents[0].size += 100;
        if (i == 3) count = 1;
        if (i == 4) extents[0].manifest[3] ^= 1;
        if (i < 5)
            bad = wfl_slice_of(space, wfl_record_parts_write(extents, count, space, sizeof space));
        poke(f, WFL_SPACE_MANIFESTS, row, bad);
        assert_code(get_op(f, &get), WFL_OK);
        assert_code(wfl_reader_new(&get, 0, get.object.size, false, &reader, &err), WFL_OK);
        while (rc == WFL_OK && piece.len > 0) {
            rc = wfl_reader_next(reader, &piece, &err);
            wfl_blob_close(&piece.blob);
        }
        if (rc != (i == 0 ? WFL_OK : WFL_CORRUPT_OBJECT)) fail_msg("%d: %s", i, wfl_code_name(rc));
        wfl_reader_free(reader);
        wfl_get_fini(&get);
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        (void)collect(f);
    }
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_BOTH(test) ON(memory, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(parts_are_listed_in_order_whatever_order_they_came_in),
        ON_BOTH(a_part_put_again_takes_the_place_of_the_first),
        ON(memory, nobody_gets_at_an_upload_by_another_name),
        ON_BOTH(an_object_is_its_parts_one_behind_the_other),
        ON_BOTH(a_small_object_lies_in_its_record),
        ON_BOTH(what_was_given_at_the_start_is_the_objects),
        ON(memory, wrong_lists_are_refused),
        ON(memory, the_whole_is_what_was_declared_or_nothing),
        ON_BOTH(conditions_and_limits_are_judged_at_completion),
        ON(memory, a_full_bucket_takes_no_upload),
        ON_BOTH(a_part_put_while_the_upload_is_completed_stops_it),
        ON(memory, a_part_that_is_collected_before_it_is_held_is_not_damage),
        ON_BOTH(an_aborted_upload_leaves_nothing),
        ON_BOTH(an_upload_untouched_for_a_week_goes),
        ON(memory, an_upload_that_is_touched_in_the_last_moment_stays),
        ON_BOTH(uploads_go_with_their_bucket),
        ON_BOTH(a_bucket_made_anew_gets_nothing_of_the_old_one),
        ON_BOTH(ten_thousand_parts_are_an_upload_like_any),
        ON(memory, uploads_are_listed_in_the_order_of_their_starts),
        ON(memory, damaged_records_are_corrupt),
        ON(memory, damaged_lists_of_parts_are_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
