/* SPDX-License-Identifier: Apache-2.0
 *
 * A store of format 1 becomes one of this format while it opens: its tags are indexed, its floors
 * rise. Whatever fails on the way, a later opening finishes it. */
#include "fixture.h"

#include "store/chunks.h"

#include <stdio.h>
#include <stdlib.h>

#define OBJECTS 300 /* more than a commit takes */

static void put_tagged(struct fixture *f, const char *bucket, int i)
{
    char                  key[16], value[16];
    struct wfl_name_value tags[2];
    struct wfl_put        op = {.bucket = wfl_slice_str(bucket),
                                .content = WFL_S("content"),
                                .blake3 = wfl_hash_of(WFL_S("content")),
                                .content_type = WFL_S("a/b"),
                                .tags = tags,
                                .tag_count = i % 3 == 0 ? 0 : 2};

    snprintf(key, sizeof key, "%03d", i);
    snprintf(value, sizeof value, "%d", i % 5);
    tags[0] = (struct wfl_name_value){WFL_S("all"), WFL_S("yes")};
    tags[1] = (struct wfl_name_value){WFL_S("fifth"), wfl_slice_str(value)};
    op.key = wfl_slice_str(key);
    assert_int_equal(put_op(f, &op), WFL_OK);
    wfl_put_fini(&op);
}

static void change(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_slice value,
                   wfl_error *err)
{
    assert_int_equal(value.len > 0 ? wfl_txn_put(t, space, key, &value, 1, err)
                                   : wfl_txn_delete(t, space, key, err),
                     WFL_OK);
}

static void empty_space(struct fixture *f, struct wfl_txn *t, enum wfl_space space, wfl_error *err)
{
    struct wfl_engine_range range = {.space = space, .limit = 10 * OBJECTS};

    assert_int_equal(wfl_engine_range_now(f->engine, &range), WFL_OK);
    assert_false(range.more);
    for (uint32_t i = 0; i < range.count; i++)
        change(t, space, range.pairs[i].key, (wfl_slice){0}, err);
    wfl_engine_range_free(&range);
}

static void lower_floors(struct fixture *f, struct wfl_txn *t, wfl_error *err)
{
    for (size_t i = 0; i < f->store->table_count; i++) {
        struct bucket *b = f->store->table[i];

        memset(&b->group.floor, 0, sizeof b->group.floor);
        memset(&b->group.changes_floor, 0, sizeof b->group.changes_floor);
        assert_int_equal(wfl_store_write_counters(t, b, err), WFL_OK);
    }
}

/* What the release before would have left. */
static wfl_code take_back(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct fixture *f = c->arg;

    empty_space(f, t, WFL_SPACE_TAGS, err);
    empty_space(f, t, WFL_SPACE_CHANGES, err);
    lower_floors(f, t, err);
    f->store->format = 1;
    return wfl_store_write_last(t, f->store, err);
}

static void make_old(struct fixture *f)
{
    wfl_error err;

    assert_int_equal(create(f, "others", ""), WFL_OK);
    for (int i = 0; i < OBJECTS; i++)
        put_tagged(f, i % 4 == 0 ? "others" : "photos", i);
    assert_int_equal(
        wfl_wait_commit(f->store, &(struct wait_commit){.apply = take_back, .arg = f}, &err),
        WFL_OK);
}

static uint32_t count_tagged(struct fixture *f, const char *bucket, const char *name,
                             const char *value)
{
    struct wfl_tag_query op = {.bucket = wfl_slice_str(bucket),
                               .tags = {{wfl_slice_str(name), wfl_slice_str(value), false}},
                               .tag_count = 1,
                               .limit = 1000};
    bool                 ended = false;
    uint32_t             count;

    assert_int_equal(wfl_tag_query_begin(f->store, &op), WFL_OK);
    while (!ended)
        assert_int_equal(wfl_tag_query_step(&op, &ended), WFL_OK);
    count = op.item_count;
    wfl_tag_query_fini(&op);
    return count;
}

static void assert_is_new(struct fixture *f)
{
    static const char *const buckets[] = {"photos", "others"};
    wfl_ulid                 zero = {{0}};
    uint64_t                 differences = 1;
    wfl_error                err;

    assert_int_equal(f->store->format, WFL_RECORD_FORMAT);
    for (size_t b = 0; b < WFL_COUNT(buckets); b++) {
        uint32_t tagged = 0, fourth = 0;

        for (int i = 0; i < OBJECTS; i++) {
            if ((i % 4 == 0) != (b == 1) || i % 3 == 0) continue;
            tagged++;
            fourth += i % 5 == 4;
        }
        assert_int_equal(count_tagged(f, buckets[b], "all", "yes"), tagged);
        assert_int_equal(count_tagged(f, buckets[b], "fifth", "4"), fourth);
        struct wfl_changes page = {.bucket = wfl_slice_str(buckets[b]),
                                   .from = WFL_CHANGES_AFTER,
                                   .after = zero,
                                   .limit = 9};
        assert_int_equal(wfl_store_changes(f->store, &page, &err), WFL_CURSOR_EXPIRED);
        wfl_changes_fini(&page);
        struct wfl_bucket_info shown = info(f, buckets[b]);
        assert_memory_equal(&shown.floor, &shown.version, sizeof(wfl_ulid));
    }
    assert_int_equal(wfl_store_recount(f->store, &(struct wfl_recount){0}, &differences, &err),
                     WFL_OK);
    assert_int_equal(differences, 0);
}

static void a_store_of_format_1_is_upgraded_once(void **state)
{
    struct fixture *f = *state;

    make_old(f);
    assert_int_equal(count_tagged(f, "photos", "all", "yes"), 0);
    fixture_reopen(f);
    assert_is_new(f);
    fixture_reopen(f);
    assert_is_new(f);
}

static void an_upgrade_that_ends_anywhere_is_finished_later(void **state)
{
    struct fixture *f = *state;
    wfl_code        rc = WFL_NOMEM;
    wfl_error       err;

    make_old(f);
    fixture_close_store(f);
    for (uint64_t k = 1; rc != WFL_OK; k++) {
        f->refuse = f->allocs + k;
        rc = fixture_try_open_store(f, &err);
        f->refuse = 0;
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
    }
    assert_is_new(f);
}

static void a_damaged_object_stops_an_upgrade(void **state)
{
    struct fixture *f = *state;
    uint8_t         key[WFL_OBJECT_KEY_MAX];
    wfl_error       err;

    make_old(f);
    poke(f, WFL_SPACE_OBJECTS, wfl_key_object(1, WFL_S("zzz"), key), WFL_S("no record"));
    fixture_close_store(f);
    assert_int_equal(fixture_try_open_store(f, &err), WFL_CORRUPT_OBJECT);
    assert_non_null(strstr(err.message, "upgrading from format 1"));
}

#define ON(test, setup) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(a_store_of_format_1_is_upgraded_once, fixture_setup_memory),
        ON(a_store_of_format_1_is_upgraded_once, fixture_setup_local),
        ON(an_upgrade_that_ends_anywhere_is_finished_later, fixture_setup_memory),
        ON(a_damaged_object_stops_an_upgrade, fixture_setup_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
