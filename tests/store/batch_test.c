/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches: all or nothing, judged against the state before, copies that share content, and nothing
 * left of one that fails, whichever allocation or call of the engine it was. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/chunks.h"

#define LARGE (2u * WFL_CHUNK_BYTES + 5)

/* ---- ops */

static struct wfl_batch_op put_of(const char *key, wfl_slice content)
{
    return (struct wfl_batch_op){.kind = WFL_BATCH_PUT,
                                 .bucket = WFL_S("photos"),
                                 .key = wfl_slice_str(key),
                                 .content = content,
                                 .content_type = WFL_S("text/plain")};
}

static struct wfl_batch_op delete_of(const char *key)
{
    return (struct wfl_batch_op){
        .kind = WFL_BATCH_DELETE, .bucket = WFL_S("photos"), .key = wfl_slice_str(key)};
}

static struct wfl_batch_op copy_of(const char *from, const char *key)
{
    return (struct wfl_batch_op){.kind = WFL_BATCH_COPY,
                                 .bucket = WFL_S("photos"),
                                 .key = wfl_slice_str(key),
                                 .from = wfl_slice_str(from)};
}

static struct wfl_batch_op copy_of_version(const char *from, const wfl_ulid *version,
                                           const char *key)
{
    struct wfl_batch_op op = copy_of(from, key);

    op.has_from_version = true;
    op.from_version = *version;
    return op;
}

static struct wfl_batch_op check_of(const char *key, enum wfl_condition_kind kind)
{
    return (struct wfl_batch_op){.kind = WFL_BATCH_CHECK,
                                 .bucket = WFL_S("photos"),
                                 .key = wfl_slice_str(key),
                                 .condition = {.kind = kind}};
}

static struct wfl_batch_op in(const char *bucket, struct wfl_batch_op op)
{
    op.bucket = wfl_slice_str(bucket);
    return op;
}

static struct wfl_batch_op when(enum wfl_condition_kind kind, struct wfl_batch_op op)
{
    op.condition.kind = kind;
    return op;
}

static wfl_code run(struct fixture *f, struct wfl_batch_op *ops, uint32_t count)
{
    struct wfl_batch batch = {.ops = ops, .count = count, .by = WFL_S("somebody")};
    wfl_error        err = {0};
    wfl_code         rc = wfl_store_batch(f->store, &batch, &err);

    if (rc != WFL_OK) {
        assert_int_equal(err.code, rc);
        assert_true(err.message[0] != '\0');
    }
    wfl_batch_fini(&batch);
    return rc;
}

#define OPS(...)    ((struct wfl_batch_op[]){__VA_ARGS__})
#define RUN(f, ...) run(f, OPS(__VA_ARGS__), sizeof(OPS(__VA_ARGS__)) / sizeof(struct wfl_batch_op))

/* ---- nothing has changed */

static void assert_unchanged(struct fixture *f, const wfl_hash *before)
{
    wfl_hash now = all_rows(f);

    assert_memory_equal(now.bytes, before->bytes, sizeof now.bytes);
    assert_pending(f, 0);
}

/* Counters that a failed batch has left wrong in memory would show with the next commit. */
static void assert_counted(struct fixture *f, const char *bucket)
{
    struct wfl_bucket_info before = info(f, bucket), after;

    assert_code(put(f, bucket, "probe", WFL_S("12345")), WFL_OK);
    after = info(f, bucket);
    assert_int_equal(after.objects, before.objects + 1);
    assert_int_equal(after.bytes, before.bytes + 5);
    assert_code(delete_key(f, bucket, "probe"), WFL_OK);
    after = info(f, bucket);
    assert_int_equal(after.objects, before.objects);
    assert_int_equal(after.bytes, before.bytes);
}

static struct wfl_object look_at(struct fixture *f, const char *key, struct wfl_get *op)
{
    *op = (struct wfl_get){.bucket = WFL_S("photos"), .key = wfl_slice_str(key), .head_only = true};
    assert_code(get_op(f, op), WFL_OK);
    return op->object;
}

/* ---- what a batch does */

static void all_kinds_happen_together(void **state)
{
    struct fixture     *f = *state;
    struct wfl_batch_op ops[7];
    wfl_ulid            last = {0};

    assert_code(put(f, "photos", "c", WFL_S("gone")), WFL_OK);
    assert_code(put(f, "photos", "e", bytes_of_len(3000, 1)), WFL_OK);
    ops[0] = put_of("a", WFL_S("small"));
    ops[1] = put_of("b", large_of(LARGE, 1));
    ops[2] = delete_of("c");
    ops[3] = copy_of("e", "f");
    ops[4] = check_of("nothing", WFL_COND_ABSENT);
    ops[5] = put_of("e", WFL_S("new"));
    ops[6] = copy_of("c", "g"); /* from before the batch */
    assert_code(run(f, ops, 7), WFL_OK);
    for (size_t i = 0; i < 7; i++) {
        if (i == 4) {
            assert_true(wfl_ulid_is_zero(&ops[i].version));
            continue;
        }
        assert_true(wfl_ulid_cmp(&last, &ops[i].version) < 0);
        last = ops[i].version;
    }
    assert_content(f, "photos", "a", WFL_S("small"));
    assert_content(f, "photos", "b", large_of(LARGE, 1));
    assert_no_key(f, "photos", "c");
    assert_content(f, "photos", "f", bytes_of_len(3000, 1));
    assert_content(f, "photos", "e", WFL_S("new"));
    assert_content(f, "photos", "g", WFL_S("gone"));
    struct wfl_bucket_info now = info(f, "photos");
    assert_int_equal(now.objects, 5);
    assert_int_equal(now.bytes, 5 + LARGE + 3000 + 3 + 4);
    assert_int_equal(wfl_ulid_cmp(&now.version, &last), 0);
    assert_int_equal(rows(f, WFL_SPACE_CHANGES), 2 + 6);
    assert_recounts(f);
    fixture_reopen(f);
    assert_content(f, "photos", "b", large_of(LARGE, 1));
    assert_recounts(f);
}

static void a_copy_has_what_its_source_has_or_what_is_given(void **state)
{
    static const struct wfl_name_value old[] = {{WFL_LIT("a"), WFL_LIT("1")},
                                                {WFL_LIT("b"), WFL_LIT("2")}};
    static const struct wfl_name_value new[] = {{WFL_LIT("c"), WFL_LIT("3")}};
    struct fixture *f = *state;

    for (int given = 0; given < 4; given++) {
        struct wfl_batch_op op = copy_of("from", "to"), source = put_of("from", WFL_S("x"));
        struct wfl_object   seen;
        struct wfl_get      get;

        source.meta = source.tags = old;
        source.meta_count = source.tag_count = 2;
        op.has_meta = (given & 1) != 0;
        op.has_tags = (given & 2) != 0;
        op.meta = op.tags = new;
        op.meta_count = op.has_meta;
        op.tag_count = op.has_tags;
        assert_code(RUN(f, source), WFL_OK);
        assert_code(run(f, &op, 1), WFL_OK);
        seen = look_at(f, "to", &get);
        assert_true(wfl_slice_eq(seen.content_type, WFL_S("text/plain")));
        assert_int_equal(wfl_ulid_cmp(&seen.version, &op.version), 0);
        assert_int_equal(seen.meta_count, op.has_meta ? 1 : 2);
        assert_int_equal(seen.tag_count, op.has_tags ? 1 : 2);
        assert_true(wfl_slice_eq(seen.meta[0].name, op.has_meta ? WFL_S("c") : WFL_S("a")));
        assert_true(wfl_slice_eq(seen.tags[0].name, op.has_tags ? WFL_S("c") : WFL_S("a")));
        assert_int_equal(rows(f, WFL_SPACE_TAGS), 2 + seen.tag_count);
        wfl_get_fini(&get);
    }
}

static void pairs_that_no_answer_could_carry_are_refused(void **state)
{
    struct fixture       *f = *state;
    struct wfl_name_value pairs[WFL_PAIRS_MAX];
    char                  names[WFL_PAIRS_MAX][8];
    struct wfl_batch_op   source = put_of("from", WFL_S("x")), op = copy_of("from", "to");

    for (size_t i = 0; i < WFL_PAIRS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "n%03zu", i);
        pairs[i] = (struct wfl_name_value){wfl_slice_str(names[i]), WFL_S("v")};
    }
    source.meta = pairs;
    source.meta_count = 90;
    assert_code(RUN(f, source), WFL_OK);
    op.has_tags = true;
    op.tags = pairs;
    op.tag_count = 11;
    assert_code(run(f, &op, 1), WFL_INVALID_BATCH);
    op.tag_count = 10;
    assert_code(run(f, &op, 1), WFL_OK);
}

/* ---- shared content */

static void copies_share_content_and_the_last_deletion_returns_it(void **state)
{
    struct fixture *f = *state;
    wfl_slice       content = large_of(LARGE, 3);
    size_t          pages;

    assert_code(put(f, "photos", "one", content), WFL_OK);
    assert_int_equal(blobs(f), 3);
    pages = rows(f, WFL_SPACE_MANIFESTS);
    assert_code(RUN(f, copy_of("one", "two"), copy_of("one", "three")), WFL_OK);
    assert_int_equal(blobs(f), 3);
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), pages + 1); /* the count of owners */
    assert_int_equal(info(f, "photos").bytes, 3 * (uint64_t)LARGE);
    assert_recounts(f);

    assert_code(delete_key(f, "photos", "one"), WFL_OK);
    assert_false(collect(f));
    assert_content(f, "photos", "two", content);
    assert_code(RUN(f, delete_of("two"), copy_of("two", "four")), WFL_OK);
    assert_false(collect(f));
    assert_content(f, "photos", "three", content);
    assert_code(put(f, "photos", "three", WFL_S("other")), WFL_OK);
    assert_false(collect(f));
    assert_content(f, "photos", "four", content);
    assert_recounts(f);
    assert_code(RUN(f, delete_of("four")), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
    assert_recounts(f);
}

static void a_rename_of_the_only_owner_leaves_nothing_to_collect(void **state)
{
    struct fixture *f = *state;
    wfl_slice       content = large_of(LARGE, 4);

    assert_code(put(f, "photos", "a", content), WFL_OK);
    assert_code(RUN(f, delete_of("a"), copy_of("a", "b")), WFL_OK);
    assert_code(RUN(f, copy_of("b", "c"), delete_of("b")), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 1); /* and one owner again */
    assert_false(collect(f));
    assert_content(f, "photos", "c", content);
    assert_code(RUN(f, copy_of("c", "c")), WFL_OK); /* onto itself */
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
    assert_false(collect(f));
    assert_content(f, "photos", "c", content);
    assert_recounts(f);
}

static void two_keys_can_be_swapped(void **state)
{
    static const size_t sizes[] = {0, 10, WFL_INLINE_BYTES_MAX + 1, WFL_VALUE_BYTES_MAX, LARGE};
    struct fixture     *f = *state;

    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        for (size_t k = 0; k < WFL_COUNT(sizes); k++) {
            assert_code(put(f, "photos", "a", large_of(sizes[i], 1)), WFL_OK);
            assert_code(put(f, "photos", "b", large_of(sizes[k], 2)), WFL_OK);
            assert_code(RUN(f, copy_of("a", "b"), copy_of("b", "a")), WFL_OK);
            assert_content(f, "photos", "a", large_of(sizes[k], 2));
            assert_content(f, "photos", "b", large_of(sizes[i], 1));
            (void)collect(f);
        }
    }
    assert_recounts(f);
    assert_code(RUN(f, delete_of("a"), delete_of("b")), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
    assert_int_equal(rows(f, WFL_SPACE_VALUES), 0);
}

static void contents_made_of_parts_are_shared_too(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        upload = begin_upload(f, "whole", NULL);
    struct wfl_part parts[2];

    parts[0] = put_part(f, "whole", &upload, 1, large_of(WFL_CHUNK_BYTES, 5));
    parts[1] = put_part(f, "whole", &upload, 2, WFL_S("the end"));
    assert_code(complete(f, "whole", &upload, parts, 2, NULL), WFL_OK);
    assert_code(RUN(f, copy_of("whole", "again"), delete_of("whole")), WFL_OK);
    assert_false(collect(f));
    assert_int_equal(info(f, "photos").bytes, WFL_CHUNK_BYTES + 7);
    struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("again")};
    assert_code(get_op(f, &get), WFL_OK);
    assert_reads(&get, 0, large_of(WFL_CHUNK_BYTES, 5));
    assert_reads(&get, WFL_CHUNK_BYTES, WFL_S("the end"));
    wfl_get_fini(&get);
    assert_recounts(f);
    assert_code(RUN(f, delete_of("again")), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void told(void *arg, const char *line)
{
    *(bool *)arg |= strstr(line, "3 owners are counted, 2 name it") != NULL;
}

static void a_count_of_owners_that_is_wrong_is_told(void **state)
{
    struct fixture        *f = *state;
    struct wfl_record_refs owners = {.count = 3};
    struct wfl_get         get;
    uint8_t                key[WFL_MANIFEST_KEY_LEN], space[WFL_RECORD_SMALL_MAX];
    bool                   found = false;
    struct wfl_recount     how = {.report = told, .arg = &found};
    uint64_t               differences = 0;
    wfl_error              err;

    assert_code(put(f, "photos", "a", large_of(LARGE, 1)), WFL_OK);
    assert_code(RUN(f, copy_of("a", "b")), WFL_OK);
    get = (struct wfl_get){.bucket = WFL_S("photos"), .key = WFL_S("a")};
    assert_code(get_op(f, &get), WFL_OK);
    poke(f, WFL_SPACE_MANIFESTS,
         wfl_key_manifest(get.own.id, &get.own.manifest, WFL_PAGE_OWNERS, key),
         wfl_slice_of(space, wfl_record_refs_write(&owners, space)));
    wfl_get_fini(&get);
    assert_code(wfl_store_recount(f->store, &how, &differences, &err), WFL_OK);
    assert_int_equal(differences, 1);
    assert_true(found);
}

static void equal_contents_of_one_batch_are_stored_once(void **state)
{
    struct fixture *f = *state;
    wfl_slice       content = large_of(LARGE, 6);

    assert_code(RUN(f, put_of("a", content), put_of("b", content), put_of("c", content)), WFL_OK);
    assert_int_equal(blobs(f), 3);
    assert_pending(f, 0);
    assert_code(RUN(f, delete_of("a"), delete_of("b")), WFL_OK);
    assert_false(collect(f));
    assert_content(f, "photos", "c", content);
    assert_recounts(f);
}

/* ---- versions */

static void a_copy_takes_an_older_version_as_long_as_it_can_be_read(void **state)
{
    static const size_t sizes[] = {10, 3000, LARGE};
    struct fixture     *f = *state;

    assert_code(create(f, "kept", "{\"versions\":1}"), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        wfl_ulid v[3];

        for (uint8_t k = 0; k < 3; k++)
            assert_code(put_as(f, "kept", "k", large_of(sizes[i], k), &v[k]), WFL_OK);
        assert_code(RUN(f, in("kept", copy_of_version("k", &v[0], "to"))), WFL_VERSION_NOT_FOUND);
        assert_code(RUN(f, in("kept", copy_of_version("k", &v[1], "to")),
                        in("kept", copy_of_version("k", &v[2], "same"))),
                    WFL_OK);
        assert_content(f, "kept", "to", large_of(sizes[i], 1));
        assert_content(f, "kept", "same", large_of(sizes[i], 2));
        assert_code(RUN(f, in("kept", copy_of_version("k", &v[1], "k"))), WFL_OK); /* back to it */
        assert_content(f, "kept", "k", large_of(sizes[i], 1));
        struct wfl_delete gone = {.bucket = WFL_S("kept"), .key = WFL_S("k")};
        assert_code(delete_op(f, &gone), WFL_OK);
        assert_code(RUN(f, in("kept", copy_of_version("k", &gone.version, "to"))),
                    WFL_VERSION_NOT_FOUND);
        assert_code(RUN(f, in("kept", copy_of("k", "to"))), WFL_KEY_NOT_FOUND);
        (void)collect(f);
        assert_content(f, "kept", "to", large_of(sizes[i], 1));
        assert_recounts(f);
    }
}

static void what_has_expired_is_not_there(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        version;

    assert_code(create(f, "brief", "{\"expire_seconds\":10}"), WFL_OK);
    assert_code(put_as(f, "brief", "k", WFL_S("x"), &version), WFL_OK);
    assert_code(RUN(f, in("brief", copy_of("k", "alive"))), WFL_OK);
    f->now_ns += INT64_C(11) * 1000000000;
    assert_code(RUN(f, in("brief", copy_of("k", "to"))), WFL_KEY_NOT_FOUND);
    assert_code(RUN(f, in("brief", copy_of_version("k", &version, "to"))), WFL_VERSION_NOT_FOUND);
    assert_code(RUN(f, in("brief", delete_of("k"))), WFL_KEY_NOT_FOUND);
    assert_code(RUN(f, in("brief", check_of("k", WFL_COND_EXISTS))), WFL_PRECONDITION_FAILED);
    assert_code(RUN(f, in("brief", when(WFL_COND_ABSENT, put_of("k", WFL_S("y"))))), WFL_OK);
    assert_content(f, "brief", "k", WFL_S("y"));
    assert_recounts(f);
}

/* ---- refusals */

static void a_batch_that_is_refused_changes_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        never = {{1}};
    wfl_hash        before;

    assert_code(create(f, "other",
                       "{\"quota_objects\":2,\"quota_bytes\":20,"
                       "\"max_object_bytes\":15}"),
                WFL_OK);
    assert_code(put(f, "photos", "a", WFL_S("a")), WFL_OK);
    assert_code(put(f, "photos", "l", large_of(LARGE, 7)), WFL_OK);
    assert_code(put(f, "other", "x", WFL_S("0123456789")), WFL_OK);
    struct wfl_batch_op good[] = {put_of("n", large_of(LARGE, 8)), copy_of("l", "m"),
                                  delete_of("a"), in("other", put_of("x", WFL_S("1")))};
    struct {
        struct wfl_batch_op bad;
        wfl_code            rc;
    } cases[] = {
        {check_of("a", WFL_COND_ABSENT), WFL_PRECONDITION_FAILED},
        {when(WFL_COND_EXISTS, put_of("none", WFL_S(""))), WFL_PRECONDITION_FAILED},
        {delete_of("none"), WFL_KEY_NOT_FOUND},
        {copy_of("none", "k"), WFL_KEY_NOT_FOUND},
        {copy_of_version("a", &never, "k"), WFL_VERSION_NOT_FOUND},
        {put_of("a", WFL_S("twice")), WFL_INVALID_BATCH},
        {in("missing", put_of("k", WFL_S("x"))), WFL_BUCKET_NOT_FOUND},
        {in("missing", delete_of("k")), WFL_BUCKET_NOT_FOUND},
        {in("missing", put_of("k", large_of(LARGE, 8))), WFL_BUCKET_NOT_FOUND},
        {in("other", put_of("y", bytes_of_len(16, 1))), WFL_OBJECT_TOO_LARGE},
        {in("other", copy_of("none", "y")), WFL_KEY_NOT_FOUND},
    };
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        for (size_t at = 0; at < 2; at++) { /* first and last */
            struct wfl_batch_op ops[5];

            memcpy(ops + (at == 0), good, sizeof good);
            ops[at == 0 ? 0 : 4] = cases[i].bad;
            before = all_rows(f);
            assert_code(run(f, ops, 5), cases[i].rc);
            assert_unchanged(f, &before);
        }
    }
    /* Over the quota at the very end, when all is written. */
    before = all_rows(f);
    assert_code(RUN(f, good[0], good[1], good[2], in("other", put_of("y", bytes_of_len(11, 1)))),
                WFL_QUOTA_EXCEEDED);
    assert_unchanged(f, &before);
    assert_code(RUN(f, good[0], good[1], good[2], in("other", put_of("y", WFL_S(""))),
                    in("other", put_of("z", WFL_S("")))),
                WFL_QUOTA_EXCEEDED);
    assert_unchanged(f, &before);
    assert_counted(f, "photos");
    assert_counted(f, "other");
    assert_code(run(f, good, 4), WFL_OK);
    assert_recounts(f);
}

static void all_conditions_that_fail_are_told(void **state)
{
    struct fixture     *f = *state;
    struct wfl_batch_op ops[] = {check_of("a", WFL_COND_EXISTS), check_of("a", WFL_COND_ABSENT),
                                 when(WFL_COND_EXISTS, put_of("none", WFL_S(""))),
                                 delete_of("none-either"), check_of("b", WFL_COND_EXISTS)};
    struct wfl_batch    batch = {.ops = ops, .count = 5};
    wfl_error           err;

    assert_code(put(f, "photos", "a", WFL_S("a")), WFL_OK);
    assert_code(wfl_store_batch(f->store, &batch, &err), WFL_PRECONDITION_FAILED);
    assert_int_equal(err.code, WFL_PRECONDITION_FAILED);
    assert_int_equal(batch.failed_count, 3);
    assert_int_equal(batch.failed[0], 1);
    assert_int_equal(batch.failed[1], 2);
    assert_int_equal(batch.failed[2], 4);
    wfl_batch_fini(&batch);
    wfl_batch_fini(&batch); /* again is no error */

    struct wfl_batch second = {.ops = OPS(ops[0], delete_of("none")), .count = 2};
    assert_code(wfl_store_batch(f->store, &second, &err), WFL_KEY_NOT_FOUND);
    assert_int_equal(second.failed_count, 1);
    assert_int_equal(second.failed[0], 1);
    wfl_batch_fini(&second);
}

static void one_version_can_be_named(void **state)
{
    struct fixture     *f = *state;
    struct wfl_batch_op op = put_of("k", WFL_S("new"));
    wfl_ulid            first, second;

    assert_code(put_as(f, "photos", "k", WFL_S("1"), &first), WFL_OK);
    assert_code(put_as(f, "photos", "k", WFL_S("2"), &second), WFL_OK);
    op.condition = (struct wfl_condition){WFL_COND_ANY_OF, &first, 1};
    assert_code(run(f, &op, 1), WFL_PRECONDITION_FAILED);
    op.condition.versions = &second;
    assert_code(run(f, &op, 1), WFL_OK);
    assert_code(run(f, &op, 1), WFL_PRECONDITION_FAILED);
}

static void a_key_is_written_once_in_a_bucket(void **state)
{
    static const struct wfl_batch_op none = {.bucket = WFL_LIT("photos")};
    struct wfl_batch_op              ops[] = {none, none, none, none};
    uint32_t                         order[4];
    static const struct {
        const char *name, *keys; /* a letter an op */
        const char *kinds;       /* p, d, f (copy), c (check) */
        uint32_t    repeat;
    } cases[] = {
        {"all different", "abcd", "pppp", 4},
        {"neighbours", "aabc", "pppp", 1},
        {"first and last", "abca", "pdfd", 3},
        {"a check and a put", "aabc", "cppp", 4},
        {"checks", "aaaa", "cccc", 4},
        {"checks around a put", "aaab", "cpcp", 4},
        {"two puts around a check", "aaab", "pcpp", 2},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        for (size_t k = 0; k < 4; k++) {
            ops[k].key = wfl_slice_of(&cases[i].keys[k], 1);
            ops[k].kind = (enum wfl_batch_kind)(strchr("pdfc", cases[i].kinds[k]) - "pdfc");
        }
        if (wfl_batch_find_repeat(ops, 4, order) != cases[i].repeat) fail_msg("%s", cases[i].name);
    }
    ops[0].kind = ops[1].kind = WFL_BATCH_PUT;
    ops[0].key = ops[1].key = WFL_S("a");
    ops[0].bucket = WFL_S("other");
    assert_int_equal(wfl_batch_find_repeat(ops, 2, order), 2);
}

static void what_a_packet_may_store_holds_for_puts_and_copies(void **state)
{
    struct fixture     *f = *state;
    struct wfl_batch_op ops[] = {put_of("k", bytes_of_len(100, 1)), copy_of("source", "to")};
    wfl_error           err;

    assert_code(put(f, "photos", "source", bytes_of_len(100, 2)), WFL_OK);
    for (size_t i = 0; i < 2; i++) {
        struct wfl_batch batch = {.ops = &ops[i], .count = 1, .object_bytes_max = 99};

        assert_code(wfl_store_batch(f->store, &batch, &err), WFL_OBJECT_TOO_LARGE);
        wfl_batch_fini(&batch);
        batch.object_bytes_max = 100;
        assert_code(wfl_store_batch(f->store, &batch, &err), WFL_OK);
        wfl_batch_fini(&batch);
    }
}

static void settings_done(struct wfl_bucket_op *op)
{
    waiter_wake(op->arg);
}

static void patch(struct fixture *f, const char *bucket, const char *text)
{
    struct waiter        w;
    struct wfl_bucket_op op = {.name = wfl_slice_str(bucket),
                               .patch = wfl_slice_str(text),
                               .done = settings_done,
                               .arg = &w};

    waiter_init(&w);
    if (wfl_store_bucket_patch(f->store, &op) == WFL_PENDING) waiter_wait(f, &w);
    assert_code(op.rc, WFL_OK);
}

static void quotas_see_the_whole_effect(void **state)
{
    struct fixture *f = *state;

    patch(f, "photos", "{\"quota_objects\":3,\"quota_bytes\":30}");
    for (const char *key = "a\0b\0c\0"; *key != '\0'; key += 2)
        assert_code(put(f, "photos", key, bytes_of_len(10, 1)), WFL_OK);
    assert_code(RUN(f, put_of("d", WFL_S(""))), WFL_QUOTA_EXCEEDED);
    assert_code(RUN(f, copy_of("a", "d")), WFL_QUOTA_EXCEEDED);
    assert_code(RUN(f, put_of("a", bytes_of_len(11, 1))), WFL_QUOTA_EXCEEDED);
    assert_code(RUN(f, put_of("d", WFL_S("")), put_of("e", WFL_S("")), delete_of("a")),
                WFL_QUOTA_EXCEEDED);
    /* Over it in between, not in the end. */
    assert_code(RUN(f, put_of("d", bytes_of_len(10, 1)), put_of("b", bytes_of_len(20, 1)),
                    delete_of("a"), delete_of("c")),
                WFL_OK);
    /* What does not grow is never over. */
    patch(f, "photos", "{\"quota_objects\":1,\"quota_bytes\":5}");
    assert_code(RUN(f, delete_of("d"), copy_of("d", "e")), WFL_OK);
    assert_code(RUN(f, put_of("e", bytes_of_len(9, 1)), put_of("b", bytes_of_len(21, 1))), WFL_OK);
    assert_code(RUN(f, put_of("e", bytes_of_len(10, 1))), WFL_QUOTA_EXCEEDED);
    assert_recounts(f);
}

/* ---- one thing at a time goes wrong */

static void fill_for_sweep(struct fixture *f)
{
    assert_code(create(f, "other", "{\"versions\":-1}"), WFL_OK);
    assert_code(put(f, "photos", "inline", WFL_S("i")), WFL_OK);
    assert_code(put(f, "photos", "value", bytes_of_len(3000, 1)), WFL_OK);
    assert_code(put(f, "photos", "large", large_of(LARGE, 1)), WFL_OK);
    assert_code(put(f, "photos", "old", large_of(WFL_CHUNK_BYTES, 9)), WFL_OK);
    assert_code(put(f, "other", "k", WFL_S("1")), WFL_OK);
}

static wfl_code sweep_batch(struct fixture *f, const wfl_ulid *older)
{
    static const struct wfl_name_value tags[] = {{WFL_LIT("t"), WFL_LIT("1")}};
    struct wfl_batch_op                tagged = copy_of("value", "copy of value");

    tagged.tags = tags;
    tagged.tag_count = 1;
    tagged.has_tags = true;
    return RUN(f, put_of("small", WFL_S("s")), put_of("row", bytes_of_len(2000, 2)),
               put_of("chunks", large_of(LARGE, 2)), copy_of("inline", "copy of inline"), tagged,
               copy_of("large", "copy of large"), delete_of("large"), put_of("old", WFL_S("new")),
               check_of("none", WFL_COND_ABSENT), in("other", put_of("k", WFL_S("3"))),
               in("other", copy_of_version("k", older, "again")));
}

static void assert_swept(struct fixture *f)
{
    assert_content(f, "photos", "small", WFL_S("s"));
    assert_content(f, "photos", "row", bytes_of_len(2000, 2));
    assert_content(f, "photos", "chunks", large_of(LARGE, 2));
    assert_content(f, "photos", "copy of inline", WFL_S("i"));
    assert_content(f, "photos", "copy of value", bytes_of_len(3000, 1));
    assert_content(f, "photos", "copy of large", large_of(LARGE, 1));
    assert_no_key(f, "photos", "large");
    assert_content(f, "other", "again", WFL_S("1"));
    (void)collect(f);
    assert_recounts(f);
}

static void any_refused_allocation_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        older;
    wfl_hash        before;
    uint64_t        k = 0;
    wfl_code        rc;

    fill_for_sweep(f);
    older = info(f, "other").version;
    assert_code(put(f, "other", "k", WFL_S("2")), WFL_OK);
    do {
        before = all_rows(f);
        f->refuse = f->allocs + ++k;
        rc = sweep_batch(f, &older);
        f->refuse = 0;
        if (rc == WFL_OK) break;
        assert_code(rc, WFL_NOMEM);
        assert_unchanged(f, &before);
        assert_counted(f, "photos");
        assert_counted(f, "other");
    } while (rc != WFL_OK);
    assert_true(k > 20);
    assert_swept(f);
}

static void any_failed_call_of_the_engine_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        older;
    wfl_hash        before;
    uint64_t        k = 0;
    wfl_code        rc;

    fill_for_sweep(f);
    older = info(f, "other").version;
    assert_code(put(f, "other", "k", WFL_S("2")), WFL_OK);
    for (;;) {
        before = all_rows(f);
        wfl_memory_fail(f->engine, ++k, WFL_DISK_FULL);
        rc = sweep_batch(f, &older);
        wfl_memory_fail(f->engine, 0, WFL_OK);
        if (rc == WFL_OK) break;
        assert_code(rc, WFL_DISK_FULL);
        assert_unchanged(f, &before);
        assert_counted(f, "photos");
        assert_counted(f, "other");
    }
    assert_true(k > 40);
    assert_swept(f);
}

/* ---- random work against a model */

#define KEYS 12

struct model { /* of one bucket: what each key holds, by the seed of its content; -1: nothing */
    int    seed[KEYS];
    size_t size[KEYS];
};

static const size_t model_sizes[] = {0, 100, 2000, WFL_VALUE_BYTES_MAX + 1, WFL_CHUNK_BYTES + 3};

/* Draws a batch; `after` gets the state that it must lead to. True: it can be done. */
static bool draw_batch(uint64_t *rng, const struct model before[2], struct model after[2],
                       struct wfl_batch_op *ops, uint32_t *count, char names[][8],
                       uint8_t *contents[])
{
    static const char *buckets[] = {"photos", "other"};
    bool               used[2][KEYS] = {{false}}, fine = true;

    memcpy(after, before, 2 * sizeof *after);
    *count = 1 + (uint32_t)(next_random(rng) % 8);
    for (uint32_t i = 0; i < *count; i++) {
        unsigned b = (unsigned)(next_random(rng) % 2), kind = (unsigned)(next_random(rng) % 8);
        size_t   key = next_random(rng) % KEYS, from = next_random(rng) % KEYS;

        while (used[b][key])
            key = (key + 1) % KEYS;
        used[b][key] = true;
        contents[i] = NULL;
        if (kind < 3) {
            size_t  size = model_sizes[next_random(rng) % WFL_COUNT(model_sizes)];
            uint8_t seed = (uint8_t)(next_random(rng) % 200);

            contents[i] = malloc(size + 1);
            assert_non_null(contents[i]);
            if (size > 0) memcpy(contents[i], large_of(size, seed).data, size);
            ops[i] = put_of(names[key], wfl_slice_of(contents[i], size));
            after[b].seed[key] = seed;
            after[b].size[key] = size;
        } else if (kind < 5) {
            ops[i] = delete_of(names[key]);
            fine &= before[b].seed[key] >= 0;
            after[b].seed[key] = -1;
        } else if (kind < 7) {
            ops[i] = copy_of(names[from], names[key]);
            fine &= before[b].seed[from] >= 0;
            after[b].seed[key] = before[b].seed[from];
            after[b].size[key] = before[b].size[from];
        } else {
            ops[i] = check_of(names[key], WFL_COND_EXISTS);
            fine &= before[b].seed[key] >= 0;
        }
        ops[i] = in(buckets[b], ops[i]);
    }
    return fine;
}

static void assert_model(struct fixture *f, const char *bucket, const struct model *m,
                         char names[][8])
{
    struct wfl_bucket_info now = info(f, bucket);
    uint64_t               objects = 0, bytes = 0;

    for (size_t k = 0; k < KEYS; k++) {
        if (m->seed[k] < 0) {
            assert_no_key(f, bucket, names[k]);
            continue;
        }
        assert_content(f, bucket, names[k], large_of(m->size[k], (uint8_t)m->seed[k]));
        objects++;
        bytes += m->size[k];
    }
    assert_int_equal(now.objects, objects);
    assert_int_equal(now.bytes, bytes);
}

static void random_batches_do_what_a_model_does(void **state)
{
    struct fixture     *f = *state;
    uint64_t            rng = test_seed();
    struct model        now[2], after[2];
    struct wfl_batch_op ops[8];
    uint8_t            *contents[8];
    char                names[KEYS][8];
    uint32_t            count;
    int                 rounds = f->kind == ON_LOCAL ? 50 : 400;

    for (size_t k = 0; k < KEYS; k++) {
        snprintf(names[k], sizeof names[k], "k%zu", k);
        now[0].seed[k] = now[1].seed[k] = -1;
    }
    assert_code(create(f, "other", "{\"versions\":2}"), WFL_OK);
    for (int i = 0; i < rounds; i++) {
        bool     fine = draw_batch(&rng, now, after, ops, &count, names, contents);
        wfl_code rc = run(f, ops, count);

        f->now_ns += 1000000;
        if (fine) {
            assert_code(rc, WFL_OK);
            memcpy(now, after, sizeof now);
        } else if (rc != WFL_KEY_NOT_FOUND) {
            assert_code(rc, WFL_PRECONDITION_FAILED);
        }
        for (uint32_t k = 0; k < count; k++)
            free(contents[k]);
        if (i % 10 == 0) (void)collect(f);
        if (i % 25 != 24) continue;
        assert_model(f, "photos", &now[0], names);
        assert_model(f, "other", &now[1], names);
        assert_recounts(f);
        if (i % 50 == 49) fixture_reopen(f);
    }
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(memory, all_kinds_happen_together),
        ON(local, all_kinds_happen_together),
        ON(memory, a_copy_has_what_its_source_has_or_what_is_given),
        ON(memory, pairs_that_no_answer_could_carry_are_refused),
        ON(memory, copies_share_content_and_the_last_deletion_returns_it),
        ON(local, copies_share_content_and_the_last_deletion_returns_it),
        ON(memory, a_rename_of_the_only_owner_leaves_nothing_to_collect),
        ON(local, a_rename_of_the_only_owner_leaves_nothing_to_collect),
        ON(memory, two_keys_can_be_swapped),
        ON(memory, contents_made_of_parts_are_shared_too),
        ON(local, contents_made_of_parts_are_shared_too),
        ON(memory, a_count_of_owners_that_is_wrong_is_told),
        ON(memory, equal_contents_of_one_batch_are_stored_once),
        ON(local, equal_contents_of_one_batch_are_stored_once),
        ON(memory, a_copy_takes_an_older_version_as_long_as_it_can_be_read),
        ON(local, a_copy_takes_an_older_version_as_long_as_it_can_be_read),
        ON(memory, what_has_expired_is_not_there),
        ON(memory, a_batch_that_is_refused_changes_nothing),
        ON(local, a_batch_that_is_refused_changes_nothing),
        ON(memory, all_conditions_that_fail_are_told),
        ON(memory, one_version_can_be_named),
        ON(memory, a_key_is_written_once_in_a_bucket),
        ON(memory, what_a_packet_may_store_holds_for_puts_and_copies),
        ON(memory, quotas_see_the_whole_effect),
        ON(memory, any_refused_allocation_leaves_nothing),
        ON(memory, any_failed_call_of_the_engine_leaves_nothing),
        ON(memory, random_batches_do_what_a_model_does),
        ON(local, random_batches_do_what_a_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
