/* SPDX-License-Identifier: Apache-2.0
 *
 * What goes wrong, one thing at a time: every allocation of the store refused, every call of the
 * engine failed, records damaged, and writers between the steps of a reader. Nothing leaks (the
 * fixture counts), the answer says what happened, and the state is the one before or the one after.
 */
#include "fixture.h"

#include <stdio.h>

#include "store/internal.h"

static const struct wfl_name_value meta[] = {{WFL_LIT("m"), WFL_LIT("1")}};

/* ---- sweeps: the operations, each as a step that can be tried again */

static wfl_code try_create(struct fixture *f)
{
    return create(f, "other", "");
}
static wfl_code try_delete_bucket(struct fixture *f)
{
    return delete_bucket(f, "other");
}
static wfl_code try_put(struct fixture *f)
{
    struct wfl_put op = {.bucket = WFL_S("photos"),
                         .key = WFL_S("k"),
                         .content = bytes_of_len(2000, 2),
                         .meta = meta,
                         .meta_count = 1};
    wfl_code       rc = put_op(f, &op);

    wfl_put_fini(&op);
    return rc;
}
static wfl_code try_put_small(struct fixture *f)
{
    return put(f, "photos", "small", WFL_S("x"));
}
static wfl_code try_get(struct fixture *f)
{
    struct wfl_get op = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
    wfl_code       rc = get_op(f, &op);

    if (rc == WFL_OK) {
        assert_true(wfl_slice_eq(op.content, bytes_of_len(2000, 2)));
        assert_int_equal(op.object.meta_count, 1);
    }
    wfl_get_fini(&op);
    return rc;
}
static wfl_code try_scan(struct fixture *f)
{
    struct wfl_scan op = {
        .bucket = WFL_S("photos"), .limit = 1, .with_meta = true, .with_value = true};
    wfl_code rc = scan_op(f, &op);

    if (rc == WFL_OK) {
        assert_int_equal(op.item_count, 1);
        assert_true(wfl_slice_eq(op.items[0].value, bytes_of_len(2000, 2)));
        assert_true(op.next.len > 0);
    } else {
        assert_int_equal(op.item_count + op.next.len, 0);
    }
    wfl_scan_fini(&op);
    return rc;
}
static wfl_code try_delete(struct fixture *f)
{
    return delete_key(f, "photos", "k");
}
static wfl_code try_open(struct fixture *f)
{
    wfl_error err = {0};

    fixture_close_store(f);
    wfl_code rc = fixture_try_open_store(f, &err);
    if (rc != WFL_OK) assert_int_equal(err.code, rc);
    return rc;
}

static const struct {
    const char *name;
    wfl_code (*run)(struct fixture *f);
    size_t objects, values; /* rows after it */
} steps[] = {
    {"create", try_create, 0, 0},
    {"delete bucket", try_delete_bucket, 0, 0},
    {"put", try_put, 1, 1},
    {"get", try_get, 1, 1},
    {"put small", try_put_small, 2, 1},
    {"scan", try_scan, 2, 1},
    {"open", try_open, 2, 1},
    {"overwrite", try_put, 2, 1},
    {"delete", try_delete, 1, 0},
};

/* The counters that readers see are those of the rows. */
static void assert_counted(struct fixture *f)
{
    if (f->store == NULL) return;
    struct wfl_bucket_info photos = info(f, "photos");
    assert_int_equal(photos.objects, rows(f, WFL_SPACE_OBJECTS));
    assert_int_equal(photos.bytes,
                     rows(f, WFL_SPACE_VALUES) * 2000 + photos.objects - rows(f, WFL_SPACE_VALUES));
}

static void any_refused_allocation_is_an_error_that_can_be_tried_again(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(steps); i++) {
        wfl_code rc;
        uint64_t k = 0;
        do {
            f->refuse = f->allocs + ++k;
            rc = steps[i].run(f);
            f->refuse = 0;
            if (rc != WFL_OK && rc != WFL_NOMEM)
                fail_msg("%s: %s", steps[i].name, wfl_code_name(rc));
            if (rc != WFL_OK) assert_counted(f);
        } while (rc != WFL_OK);
        assert_int_equal(rows(f, WFL_SPACE_OBJECTS), steps[i].objects);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), steps[i].values);
        assert_counted(f);
    }
}

static void any_failed_call_of_the_engine_is_an_error_that_can_be_tried_again(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(steps); i++) {
        wfl_code rc;
        uint64_t k = 0;
        do {
            wfl_memory_fail(f->engine, ++k, WFL_DISK_FULL);
            rc = steps[i].run(f);
            wfl_memory_fail(f->engine, 0, WFL_OK);
            if (rc != WFL_OK && rc != WFL_DISK_FULL)
                fail_msg("%s: %s", steps[i].name, wfl_code_name(rc));
            assert_counted(f);
        } while (rc != WFL_OK);
        if (k < 2) fail_msg("%s: no call failed", steps[i].name);
        assert_int_equal(rows(f, WFL_SPACE_OBJECTS), steps[i].objects);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), steps[i].values);
    }
}

static void a_failed_write_ends_writing_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_code        rc;
    uint64_t        k = 0;

    assert_code(put(f, "photos", "old", WFL_S("kept")), WFL_OK);
    do { /* the last call of a put is the group's write, which makes the engine read-only */
        wfl_memory_fail(f->engine, ++k, WFL_IO);
        rc = put(f, "photos", "new", WFL_S("lost"));
        wfl_memory_fail(f->engine, 0, WFL_OK);
        assert_code(rc, WFL_IO);
        assert_int_equal(info(f, "photos").objects, 1);
    } while (put(f, "photos", "old", WFL_S("kept")) == WFL_OK);
    assert_code(put(f, "photos", "old", WFL_S("x")), WFL_READ_ONLY);
    assert_code(delete_key(f, "photos", "old"), WFL_READ_ONLY);
    assert_code(create(f, "other", ""), WFL_READ_ONLY);
    assert_content(f, "photos", "old", WFL_S("kept"));
    assert_no_key(f, "photos", "new");
    fixture_reopen(f);
    assert_content(f, "photos", "old", WFL_S("kept"));
    assert_code(put(f, "photos", "new", WFL_S("again")), WFL_OK);
}

static bool all(void *ctx, wfl_slice name)
{
    (void)ctx, (void)name;
    return true;
}

static void names_need_memory_too(void **state)
{
    struct fixture        *f = *state;
    struct wfl_bucket_info out;
    wfl_slice             *names;
    uint32_t               count;
    wfl_error              err;

    for (size_t max = 0; max < 64; max++) { /* an arena that is full at any byte */
        wfl_arena arena;
        wfl_arena_init(&arena, &f->alloc, max);
        wfl_code rc = wfl_store_bucket_info(f->store, WFL_S("photos"), &arena, &out, &err);
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
        wfl_arena_fini(&arena);
        wfl_arena_init(&arena, &f->alloc, max);
        rc = wfl_store_bucket_list(f->store, all, NULL, &arena, &names, &count, &err);
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
        wfl_arena_fini(&arena);
    }
    wfl_arena arena;
    wfl_arena_init(&arena, &f->alloc, 4096);
    assert_code(wfl_store_bucket_info(f->store, WFL_S("nowhere"), &arena, &out, &err),
                WFL_BUCKET_NOT_FOUND);
    wfl_arena_fini(&arena);
}

/* ---- damage */

static wfl_slice object_key(const char *key)
{
    static uint8_t space[WFL_OBJECT_KEY_MAX];

    return wfl_key_object(1, wfl_slice_str(key), space); /* photos is the first bucket */
}

static wfl_slice value_key_of(struct fixture *f, const char *key)
{
    static uint8_t space[WFL_VALUE_KEY_LEN];
    struct wfl_get op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key), .head_only = true};

    assert_code(get_op(f, &op), WFL_OK);
    wfl_slice value_key = wfl_key_value(1, &op.object.version, space);
    wfl_get_fini(&op);
    return value_key;
}

static wfl_code get_code(struct fixture *f, const char *key)
{
    struct wfl_get op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};
    wfl_code       rc = get_op(f, &op);

    wfl_get_fini(&op);
    return rc;
}

static wfl_code scan_code(struct fixture *f)
{
    struct wfl_scan op = {.bucket = WFL_S("photos"), .limit = 10, .with_value = true};
    wfl_code        rc = scan_op(f, &op);

    wfl_scan_fini(&op);
    return rc;
}

static void a_record_that_fails_its_schema_is_corrupt(void **state)
{
    struct fixture *f = *state;

    poke(f, WFL_SPACE_OBJECTS, object_key("k"), WFL_S("rubbish"));
    assert_code(get_code(f, "k"), WFL_CORRUPT_OBJECT);
    assert_code(scan_code(f), WFL_CORRUPT_OBJECT);
    assert_code(put(f, "photos", "k", WFL_S("v")), WFL_CORRUPT_OBJECT);
    assert_code(delete_key(f, "photos", "k"), WFL_CORRUPT_OBJECT);
}

static void a_content_of_another_length_or_none_is_corrupt(void **state)
{
    struct fixture *f = *state;

    assert_code(put(f, "photos", "k", bytes_of_len(3000, 1)), WFL_OK);
    poke(f, WFL_SPACE_VALUES, value_key_of(f, "k"), WFL_S("short"));
    assert_code(get_code(f, "k"), WFL_CORRUPT_OBJECT);
    assert_code(scan_code(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_VALUES, value_key_of(f, "k"), (wfl_slice){0});
    assert_code(get_code(f, "k"), WFL_CORRUPT_OBJECT);
    assert_code(scan_code(f), WFL_CORRUPT_OBJECT);
}

static wfl_code open_again(struct fixture *f)
{
    wfl_code rc = try_open(f);

    if (rc == WFL_OK) return rc;
    assert_null(f->store);
    return rc;
}

static wfl_slice bucket_record(uint32_t id, const char *name)
{
    static uint8_t           space[WFL_RECORD_SMALL_MAX];
    struct wfl_record_bucket record = {.id = id, .name = wfl_to_record(wfl_slice_str(name))};

    return wfl_slice_of(space, wfl_record_bucket_write(&record, space));
}

static void a_store_whose_records_contradict_does_not_open(void **state)
{
    static const uint8_t       id1[4] = {0, 0, 0, 1}, id2[4] = {0, 0, 0, 2}, id9[4] = {0, 0, 0, 9};
    struct fixture            *f = *state;
    uint8_t                    counters_key[WFL_COUNTERS_KEY_LEN], space[WFL_RECORD_SMALL_MAX];
    struct wfl_record_store    newer = {.format = WFL_RECORD_FORMAT + 1};
    struct wfl_record_store    fine = {.format = WFL_RECORD_FORMAT, .version = {1}, .bucket_id = 2};
    struct wfl_record_counters late = {.version = {2}}, in_time = {.version = {1}};
    wfl_slice                  buckets = wfl_slice_of(id1, 4);

    wfl_key_counters(1, counters_key);
    wfl_slice counters = wfl_slice_of(counters_key, sizeof counters_key);

    poke(f, WFL_SPACE_META, WFL_S(WFL_STORE_KEY), WFL_S("rubbish"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_META, WFL_S(WFL_STORE_KEY),
         wfl_slice_of(space, wfl_record_store_write(&newer, space)));
    assert_code(open_again(f), WFL_IO);
    poke(f, WFL_SPACE_META, WFL_S(WFL_STORE_KEY),
         wfl_slice_of(space, wfl_record_store_write(&fine, space)));
    poke(f, WFL_SPACE_META, counters, wfl_slice_of(space, wfl_record_counters_write(&late, space)));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_META, counters, WFL_S("rubbish"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_META, counters, (wfl_slice){0});
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_META, counters,
         wfl_slice_of(space, wfl_record_counters_write(&in_time, space)));
    assert_code(open_again(f), WFL_OK);

    poke(f, WFL_SPACE_BUCKETS, buckets, WFL_S("rubbish"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, buckets, bucket_record(2, "photos")); /* under the key of 1 */
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, buckets, bucket_record(1, "Not A Name"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, buckets, bucket_record(1, "photos"));
    poke(f, WFL_SPACE_BUCKETS, wfl_slice_of(id2, 4), bucket_record(2, "photos"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, wfl_slice_of(id2, 4), (wfl_slice){0});
    poke(f, WFL_SPACE_BUCKETS, wfl_slice_of(id9, 4), bucket_record(9, "future"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, wfl_slice_of(id9, 4), (wfl_slice){0});
    poke(f, WFL_SPACE_BUCKETS, WFL_S("longer than an id"), bucket_record(1, "photos"));
    assert_code(open_again(f), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_BUCKETS, WFL_S("longer than an id"), (wfl_slice){0});
    assert_code(open_again(f), WFL_OK);
}

/* ---- writers between a reader's steps: the pending engine answers when told to */

static void count_put(struct wfl_put *op)
{
    ++*(int *)op->arg;
}
static void count_delete(struct wfl_delete *op)
{
    ++*(int *)op->arg;
}
static void count_get(struct wfl_get *op)
{
    ++*(int *)op->arg;
}
static void count_scan(struct wfl_scan *op)
{
    ++*(int *)op->arg;
}

/* Queue a put behind what is pending: it is committed at the end of the next run. */
static void queue_put(struct fixture *f, struct wfl_put *op, int *done, wfl_slice content)
{
    *op = (struct wfl_put){.bucket = WFL_S("photos"),
                           .key = WFL_S("k"),
                           .content = content,
                           .done = count_put,
                           .arg = done};
    assert_code(wfl_store_put(f->store, op), WFL_PENDING);
}

static void a_reader_overtaken_by_a_writer_gets_the_newer_version(void **state)
{
    struct fixture *f = *state;
    int             got = 0, wrote = 0;
    struct wfl_get  get = {
         .bucket = WFL_S("photos"), .key = WFL_S("k"), .done = count_get, .arg = &got};
    struct wfl_put put_op_;

    for (size_t size = 0; size < 6000; size += 2000) { /* in the record, in VALUES */
        assert_code(put(f, "photos", "k", bytes_of_len(5000, 1)), WFL_OK);
        got = 0;
        assert_code(wfl_store_get(f->store, &get), WFL_PENDING);
        queue_put(f, &put_op_, &wrote, bytes_of_len(size, 2));
        while (got == 0)
            assert_true(wfl_memory_run(f->engine) > 0);
        assert_code(get.rc, WFL_OK);
        assert_int_equal(wfl_ulid_cmp(&get.object.version, &put_op_.version), 0);
        assert_true(wfl_slice_eq(get.content, bytes_of_len(size, 2)));
        wfl_get_fini(&get);
        wfl_put_fini(&put_op_);
    }
}

static void a_reader_overtaken_by_a_delete_finds_no_key(void **state)
{
    struct fixture *f = *state;
    int             got = 0, wrote = 0;
    struct wfl_get  get = {
         .bucket = WFL_S("photos"), .key = WFL_S("k"), .done = count_get, .arg = &got};
    struct wfl_delete op = {
        .bucket = WFL_S("photos"), .key = WFL_S("k"), .done = count_delete, .arg = &wrote};

    assert_code(put(f, "photos", "k", bytes_of_len(5000, 1)), WFL_OK);
    assert_code(wfl_store_get(f->store, &get), WFL_PENDING);
    assert_code(wfl_store_delete(f->store, &op), WFL_PENDING);
    while (got == 0)
        assert_true(wfl_memory_run(f->engine) > 0);
    assert_code(get.rc, WFL_KEY_NOT_FOUND);
    wfl_get_fini(&get);
}

static void a_reader_always_overtaken_gives_up(void **state)
{
    struct fixture *f = *state;
    int             got = 0, wrote = 0;
    struct wfl_get  get = {
         .bucket = WFL_S("photos"), .key = WFL_S("k"), .done = count_get, .arg = &got};

    assert_code(put(f, "photos", "k", bytes_of_len(5000, 1)), WFL_OK);
    assert_code(wfl_store_get(f->store, &get), WFL_PENDING);
    for (int i = 0; got == 0 && i < 100; i++) {
        struct wfl_put op;
        queue_put(f, &op, &wrote, bytes_of_len(5000, (uint8_t)i));
        (void)wfl_memory_run(f->engine);
        wfl_put_fini(&op);
    }
    assert_code(get.rc, WFL_OVERLOADED);
    wfl_get_fini(&get);
    assert_code(get_code(f, "k"), WFL_OK);
}

static void a_listing_overtaken_by_writers_shows_what_is_there(void **state)
{
    struct fixture   *f = *state;
    int               scanned = 0, wrote = 0;
    struct wfl_put    replace;
    struct wfl_scan   scan = {.bucket = WFL_S("photos"),
                              .limit = 3,
                              .with_value = true,
                              .with_meta = true,
                              .done = count_scan,
                              .arg = &scanned};
    struct wfl_delete remove = {
        .bucket = WFL_S("photos"), .key = WFL_S("b"), .done = count_delete, .arg = &wrote};

    assert_code(put(f, "photos", "a", bytes_of_len(3000, 1)), WFL_OK);
    assert_code(put(f, "photos", "b", bytes_of_len(3000, 1)), WFL_OK);
    assert_code(put(f, "photos", "k", bytes_of_len(3000, 1)), WFL_OK);
    assert_code(put(f, "photos", "l", bytes_of_len(3000, 1)), WFL_OK);
    assert_code(wfl_store_scan(f->store, &scan), WFL_PENDING);
    assert_code(wfl_store_delete(f->store, &remove), WFL_PENDING);
    queue_put(f, &replace, &wrote, bytes_of_len(4000, 9));
    while (scanned == 0)
        assert_true(wfl_memory_run(f->engine) > 0);
    assert_code(scan.rc, WFL_OK);
    assert_int_equal(scan.item_count, 2);
    assert_true(wfl_slice_eq(scan.items[0].key, WFL_S("a")));
    assert_true(wfl_slice_eq(scan.items[1].key, WFL_S("k")));
    assert_true(wfl_slice_eq(scan.items[1].value, bytes_of_len(4000, 9)));
    assert_int_equal(wfl_ulid_cmp(&scan.items[1].object.version, &replace.version), 0);
    assert_true(scan.next.len > 0);
    wfl_scan_fini(&scan);
    wfl_put_fini(&replace);
}

static void a_listing_always_overtaken_gives_up(void **state)
{
    struct fixture *f = *state;
    int             scanned = 0, wrote = 0;
    struct wfl_scan scan = {.bucket = WFL_S("photos"),
                            .limit = 3,
                            .with_value = true,
                            .done = count_scan,
                            .arg = &scanned};

    assert_code(put(f, "photos", "k", bytes_of_len(5000, 1)), WFL_OK);
    assert_code(wfl_store_scan(f->store, &scan), WFL_PENDING);
    for (int i = 0; scanned == 0 && i < 100; i++) {
        struct wfl_put op;
        queue_put(f, &op, &wrote, bytes_of_len(5000, (uint8_t)i));
        (void)wfl_memory_run(f->engine);
        wfl_put_fini(&op);
    }
    assert_code(scan.rc, WFL_OVERLOADED);
    assert_int_equal(scan.item_count, 0);
    wfl_scan_fini(&scan);
}

/* Every key of the first page goes between its reading and that of its contents. */
static void a_page_that_vanishes_is_followed_by_the_next(void **state)
{
    struct fixture    *f = *state;
    int                scanned = 0, wrote = 0;
    struct wfl_delete  remove[2];
    static const char *keys[] = {"a", "b"};
    struct wfl_scan    scan = {.bucket = WFL_S("photos"),
                               .limit = 2,
                               .with_value = true,
                               .done = count_scan,
                               .arg = &scanned};

    for (int i = 0; i < 2; i++)
        assert_code(put(f, "photos", keys[i], bytes_of_len(3000, 1)), WFL_OK);
    assert_code(put(f, "photos", "c", bytes_of_len(3000, 7)), WFL_OK);
    assert_code(wfl_store_scan(f->store, &scan), WFL_PENDING);
    for (int i = 0; i < 2; i++) {
        remove[i] = (struct wfl_delete){.bucket = WFL_S("photos"),
                                        .key = wfl_slice_str(keys[i]),
                                        .done = count_delete,
                                        .arg = &wrote};
        assert_code(wfl_store_delete(f->store, &remove[i]), WFL_PENDING);
    }
    while (scanned == 0)
        assert_true(wfl_memory_run(f->engine) > 0);
    assert_code(scan.rc, WFL_OK);
    assert_int_equal(scan.item_count, 1);
    assert_true(wfl_slice_eq(scan.items[0].key, WFL_S("c")));
    assert_true(wfl_slice_eq(scan.items[0].value, bytes_of_len(3000, 7)));
    assert_int_equal(scan.next.len, 0);
    wfl_scan_fini(&scan);
}

/* Of many writers with the same condition in one group exactly one wins. */
static void one_of_many_racing_creators_wins(void **state)
{
    enum { MANY = 20 };
    struct fixture *f = *state;
    struct wfl_put  ops[MANY];
    int             done = 0, won = -1;

    for (int i = 0; i < MANY; i++) {
        ops[i] = (struct wfl_put){.bucket = WFL_S("photos"),
                                  .key = WFL_S("k"),
                                  .content = bytes_of_len(1, 1),
                                  .none_match = {.kind = WFL_COND_ABSENT},
                                  .done = count_put,
                                  .arg = &done};
        assert_code(wfl_store_put(f->store, &ops[i]), WFL_PENDING);
    }
    (void)wfl_memory_run(f->engine);
    assert_int_equal(done, MANY);
    for (int i = 0; i < MANY; i++)
        if (ops[i].rc == WFL_OK) {
            assert_int_equal(won, -1);
            won = i;
        }
    assert_int_not_equal(won, -1);
    for (int i = 0; i < MANY; i++) {
        if (i != won) {
            assert_code(ops[i].rc, WFL_PRECONDITION_FAILED);
            assert_int_equal(wfl_ulid_cmp(&ops[i].version, &ops[won].version), 0);
            assert_false(ops[i].created);
        }
        wfl_put_fini(&ops[i]);
    }
    assert_int_equal(info(f, "photos").objects, 1);
}

static void readers_see_counters_when_the_group_is_stored(void **state)
{
    struct fixture *f = *state;
    struct wfl_put  op;
    int             wrote = 0;

    queue_put(f, &op, &wrote, WFL_S("12345"));
    assert_int_equal(info(f, "photos").objects, 0);
    wfl_memory_fail(f->engine, 3, WFL_DISK_FULL); /* its read, its row, then the counters fail */
    (void)wfl_memory_run(f->engine);
    wfl_memory_fail(f->engine, 0, WFL_OK);
    assert_code(op.rc, WFL_DISK_FULL);
    assert_true(wfl_ulid_is_zero(&op.version));
    assert_false(op.created);
    wfl_put_fini(&op);
    assert_int_equal(info(f, "photos").objects, 0);
    assert_no_key(f, "photos", "k");
    assert_code(put(f, "photos", "k", WFL_S("12345")), WFL_OK);
    assert_int_equal(info(f, "photos").bytes, 5);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(memory, any_refused_allocation_is_an_error_that_can_be_tried_again),
        ON(pending, any_refused_allocation_is_an_error_that_can_be_tried_again),
        ON(memory, any_failed_call_of_the_engine_is_an_error_that_can_be_tried_again),
        ON(memory, a_failed_write_ends_writing_and_loses_nothing),
        ON(memory, names_need_memory_too),
        ON(memory, a_record_that_fails_its_schema_is_corrupt),
        ON(pending, a_record_that_fails_its_schema_is_corrupt),
        ON(memory, a_content_of_another_length_or_none_is_corrupt),
        ON(pending, a_content_of_another_length_or_none_is_corrupt),
        ON(local, a_content_of_another_length_or_none_is_corrupt),
        ON(memory, a_store_whose_records_contradict_does_not_open),
        ON(pending, a_reader_overtaken_by_a_writer_gets_the_newer_version),
        ON(pending, a_reader_overtaken_by_a_delete_finds_no_key),
        ON(pending, a_reader_always_overtaken_gives_up),
        ON(pending, a_listing_overtaken_by_writers_shows_what_is_there),
        ON(pending, a_listing_always_overtaken_gives_up),
        ON(pending, a_page_that_vanishes_is_followed_by_the_next),
        ON(pending, one_of_many_racing_creators_wins),
        ON(pending, readers_see_counters_when_the_group_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
