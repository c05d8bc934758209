/* SPDX-License-Identifier: Apache-2.0
 *
 * The change stream as the store gives it: every commit once, in order, from any position that is
 * kept; and who is told when there is more. */
#include "fixture.h"

#include <stdio.h>

#define SECOND   INT64_C(1000000000)
#define NO_LIMIT WFL_CHANGES_LIMIT_MAX

static wfl_code read_page(struct fixture *f, struct wfl_changes *page)
{
    wfl_error err;

    if (page->bucket.len == 0) page->bucket = WFL_S("photos");
    if (page->limit == 0) page->limit = NO_LIMIT;
    if (page->bytes_max == 0) page->bytes_max = SIZE_MAX;
    return wfl_store_changes(f->store, page, &err);
}

static struct wfl_changes page_after(struct fixture *f, const wfl_ulid *after)
{
    struct wfl_changes page = {.from = after == NULL ? WFL_CHANGES_OLDEST : WFL_CHANGES_AFTER};

    if (after != NULL) page.after = *after;
    assert_code(read_page(f, &page), WFL_OK);
    return page;
}

static wfl_code code_after(struct fixture *f, const wfl_ulid *after)
{
    struct wfl_changes page = {.from = WFL_CHANGES_AFTER, .after = *after};
    wfl_code           rc = read_page(f, &page);

    wfl_changes_fini(&page);
    return rc;
}

static wfl_ulid put_version(struct fixture *f, const char *key)
{
    wfl_ulid version;

    f->now_ns += 1000000;
    assert_code(put_as(f, "photos", key, wfl_slice_str(key), &version), WFL_OK);
    return version;
}

static void assert_key(const struct wfl_change *c, const char *key)
{
    if (!wfl_slice_eq(c->key, wfl_slice_str(key)))
        fail_msg("key %.*s is not %s", WFL_FMT(c->key), key);
}

static void assert_same(const wfl_ulid *a, const wfl_ulid *b)
{
    assert_memory_equal(a->bytes, b->bytes, sizeof a->bytes);
}

/* ---- what a change says */

static void each_change_says_what_happened_and_by_whom(void **state)
{
    static const struct wfl_name_value tags[] = {{WFL_LIT("colour"), WFL_LIT("red")},
                                                 {WFL_LIT("year"), WFL_LIT("2026")}};
    struct fixture                    *f = *state;
    wfl_ulid                           jti = wfl_ulid_from_ms(77, true);
    struct wfl_put                     p = {.bucket = WFL_S("photos"),
                                            .key = WFL_S("a"),
                                            .content = WFL_S("hello"),
                                            .blake3 = wfl_hash_of(WFL_S("hello")),
                                            .content_type = WFL_S("text/plain"),
                                            .tags = tags,
                                            .tag_count = 2,
                                            .by = WFL_S("somebody"),
                                            .jti = jti};
    struct wfl_delete  d = {.bucket = WFL_S("photos"), .key = WFL_S("a"), .by = WFL_S("another")};
    struct wfl_changes page;

    assert_code(put_op(f, &p), WFL_OK);
    assert_code(delete_op(f, &d), WFL_OK);
    page = page_after(f, NULL);
    assert_int_equal(page.count, 2);
    assert_true(page.ended);
    assert_same(&page.changes[0].version, &p.version);
    assert_int_equal(page.changes[0].kind, WFL_CHANGED_PUT);
    assert_key(&page.changes[0], "a");
    assert_int_equal(page.changes[0].size, 5);
    assert_memory_equal(page.changes[0].blake3.bytes, p.blake3.bytes, WFL_HASH_LEN);
    assert_true(wfl_slice_eq(page.changes[0].by, WFL_S("somebody")));
    assert_same(&page.changes[0].jti, &jti);
    assert_int_equal(page.changes[0].tag_count, 2);
    assert_true(wfl_slice_eq(page.changes[0].tags[1].value, WFL_S("2026")));
    assert_same(&page.changes[1].version, &d.version);
    assert_int_equal(page.changes[1].kind, WFL_CHANGED_DELETE);
    assert_true(wfl_slice_eq(page.changes[1].by, WFL_S("another")));
    assert_true(wfl_ulid_is_zero(&page.changes[1].jti));
    assert_same(&page.next, &d.version);
    wfl_changes_fini(&page);
    wfl_put_fini(&p);
}

static void an_erase_says_which_version_went(void **state)
{
    struct fixture    *f = *state;
    wfl_error          err;
    wfl_ulid           version = put_version(f, "a");
    struct wfl_erase   op = {.bucket = WFL_S("photos"), .key = WFL_S("a"), .version = version};
    struct wfl_changes page;

    assert_code(wfl_store_erase(f->store, &op, &err), WFL_OK);
    page = page_after(f, &version);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.changes[0].kind, WFL_CHANGED_ERASE);
    assert_key(&page.changes[0], "a");
    assert_same(&page.changes[0].erased, &version);
    assert_same(&page.changes[0].version, &op.erasure);
    wfl_changes_fini(&page);
}

/* ---- pages */

#define MANY 300

static void put_many(struct fixture *f, wfl_ulid versions[MANY])
{
    char key[16];

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "%c/%03u", i % 3 == 0 ? 'a' : 'b', i);
        versions[i] = put_version(f, key);
    }
}

static void pages_of_any_size_are_the_whole_once(void **state)
{
    static const struct {
        uint32_t limit;
        size_t   bytes_max;
    } cases[] = {{1, SIZE_MAX},    {7, SIZE_MAX}, {100, SIZE_MAX},
                 {1000, SIZE_MAX}, {1000, 1},     {1000, 500}};
    struct fixture *f = *state;
    wfl_ulid        versions[MANY];

    put_many(f, versions);
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_changes page = {.from = WFL_CHANGES_OLDEST};
        uint32_t           seen = 0;

        do {
            page.limit = cases[i].limit;
            page.bytes_max = cases[i].bytes_max;
            assert_code(read_page(f, &page), WFL_OK);
            assert_true(page.count > 0 && page.count <= cases[i].limit);
            for (uint32_t k = 0; k < page.count; k++)
                assert_same(&page.changes[k].version, &versions[seen++]);
            assert_same(&page.next, &versions[seen - 1]);
            wfl_changes_fini(&page);
            page.from = WFL_CHANGES_AFTER;
            page.after = page.next;
        } while (!page.ended);
        assert_int_equal(seen, MANY);
    }
}

static void any_position_goes_on_behind_it(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        versions[MANY], zero = {{0}}, between;

    put_many(f, versions);
    for (unsigned i = 0; i < MANY; i++) {
        struct wfl_changes page = page_after(f, &versions[i]);

        assert_int_equal(page.count, MANY - 1 - i);
        if (page.count > 0) assert_same(&page.changes[0].version, &versions[i + 1]);
        assert_same(&page.next, &versions[MANY - 1]);
        wfl_changes_fini(&page);
    }
    struct wfl_changes page = page_after(f, &zero);
    assert_int_equal(page.count, MANY);
    wfl_changes_fini(&page);

    between = wfl_ulid_from_ms(wfl_ulid_ms(&versions[9]), true); /* no commit has it */
    page = page_after(f, &between);
    assert_same(&page.changes[0].version, &versions[10]);
    wfl_changes_fini(&page);
}

static void a_position_ahead_of_all_commits_stays(void **state)
{
    struct fixture    *f = *state;
    wfl_ulid           ahead = wfl_ulid_from_ms(UINT64_C(1) << 47, true);
    struct wfl_changes page;

    put_version(f, "a");
    page = page_after(f, &ahead);
    assert_int_equal(page.count, 0);
    assert_same(&page.next, &ahead);
    wfl_changes_fini(&page);
}

static void a_prefix_filters_and_the_position_moves_on(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        versions[MANY];

    put_many(f, versions);
    struct wfl_changes page = {.from = WFL_CHANGES_OLDEST, .prefix = WFL_S("a/")};
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, MANY / 3);
    for (uint32_t i = 0; i < page.count; i++)
        assert_same(&page.changes[i].version, &versions[3 * i]);
    assert_same(&page.next, &versions[MANY - 1]); /* which is no row of it */
    wfl_changes_fini(&page);

    page = (struct wfl_changes){.from = WFL_CHANGES_OLDEST, .prefix = WFL_S("c")};
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, 0);
    assert_true(page.ended);
    assert_same(&page.next, &versions[MANY - 1]);
    wfl_changes_fini(&page);
}

static void a_page_looks_at_a_bounded_number_of_rows(void **state)
{
    struct fixture    *f = *state;
    struct wfl_changes page = {.from = WFL_CHANGES_OLDEST, .prefix = WFL_S("z")};
    wfl_ulid           last;
    unsigned           pages = 0;

    for (unsigned i = 0; i < WFL_CHANGES_WALKED_MAX; i++)
        put_version(f, "a");
    last = put_version(f, "zebra");
    do {
        assert_code(read_page(f, &page), WFL_OK);
        assert_int_equal(page.count, pages);
        pages++;
        assert_int_equal(page.ended, pages == 2);
        page.from = WFL_CHANGES_AFTER;
        page.after = page.next;
        wfl_changes_fini(&page);
    } while (!page.ended);
    assert_same(&page.next, &last);
}

static void the_end_is_behind_what_is_there(void **state)
{
    struct fixture    *f = *state;
    struct wfl_changes page = {.from = WFL_CHANGES_END};
    wfl_ulid           version;

    put_version(f, "a");
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, 0);
    wfl_changes_fini(&page);
    version = put_version(f, "b");
    page = page_after(f, &page.next);
    assert_int_equal(page.count, 1);
    assert_same(&page.changes[0].version, &version);
    wfl_changes_fini(&page);
}

/* ---- what is no longer kept */

static void patched(struct wfl_bucket_op *op)
{
    assert_code(op->rc, WFL_OK);
}

static void patch(struct fixture *f, const char *text) /* memory engine: done when it returns */
{
    struct wfl_bucket_op op = {
        .name = WFL_S("photos"), .patch = wfl_slice_str(text), .done = patched};

    (void)!wfl_store_bucket_patch(f->store, &op);
    assert_code(op.rc, WFL_OK);
}

static void a_position_is_expired_when_a_change_behind_it_is_gone(void **state)
{
    struct fixture    *f = *state;
    wfl_ulid           zero = {{0}}, a, b, c;
    struct wfl_changes page;

    assert_code(create(f, "short", "{\"change_retain_seconds\":10}"), WFL_OK);
    assert_code(put_as(f, "short", "a", WFL_S("1"), &a), WFL_OK);
    f->now_ns += 6 * SECOND;
    assert_code(put_as(f, "short", "b", WFL_S("1"), &b), WFL_OK);
    f->now_ns += 6 * SECOND; /* `a` is out of time, by the clock and then in fact */
    for (int removed = 0; removed < 2; removed++) {
        struct wfl_changes at = {
            .bucket = WFL_S("short"), .from = WFL_CHANGES_AFTER, .after = zero};

        assert_code(read_page(f, &at), WFL_CURSOR_EXPIRED);
        wfl_changes_fini(&at);
        at = (struct wfl_changes){.bucket = WFL_S("short"), .from = WFL_CHANGES_AFTER, .after = a};
        assert_code(read_page(f, &at), WFL_OK); /* nothing behind it was lost */
        assert_int_equal(at.count, 1);
        wfl_changes_fini(&at);
        page = (struct wfl_changes){.bucket = WFL_S("short"), .from = WFL_CHANGES_OLDEST};
        assert_code(read_page(f, &page), WFL_OK);
        assert_int_equal(page.count, 1);
        assert_same(&page.changes[0].version, &b);
        wfl_changes_fini(&page);
        assert_int_equal(rows(f, WFL_SPACE_CHANGES), 2 - removed);
        if (!removed) (void)collect(f);
    }
    f->now_ns += 3600 * SECOND; /* all of it is out of time */
    (void)collect(f);
    assert_int_equal(rows(f, WFL_SPACE_CHANGES), 0);
    page = (struct wfl_changes){.bucket = WFL_S("short"), .from = WFL_CHANGES_AFTER, .after = b};
    assert_code(read_page(f, &page), WFL_OK);
    assert_same(&page.next, &b);
    wfl_changes_fini(&page);
    page = (struct wfl_changes){.bucket = WFL_S("short"), .from = WFL_CHANGES_OLDEST};
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, 0);
    assert_same(&page.next, &b);
    wfl_changes_fini(&page);
    assert_code(put_as(f, "short", "c", WFL_S("1"), &c), WFL_OK);
    page = (struct wfl_changes){.bucket = WFL_S("short"), .from = WFL_CHANGES_AFTER, .after = b};
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, 1);
    assert_same(&page.changes[0].version, &c);
    wfl_changes_fini(&page);
}

static void the_floor_outlives_a_restart(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        zero = {{0}}, a, b;

    patch(f, "{\"change_retain_seconds\":10}");
    a = put_version(f, "a");
    b = put_version(f, "b");
    f->now_ns += 3600 * SECOND;
    (void)collect(f);
    assert_int_equal(rows(f, WFL_SPACE_CHANGES), 0);
    for (int i = 0; i < 2; i++) {
        assert_code(code_after(f, &zero), WFL_CURSOR_EXPIRED);
        assert_code(code_after(f, &a), WFL_CURSOR_EXPIRED);
        assert_code(code_after(f, &b), WFL_OK);
        fixture_reopen(f);
    }
}

static void by_default_changes_are_kept_for_seven_days(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        zero = {{0}};

    put_version(f, "a");
    f->now_ns += 7 * 24 * 3600 * SECOND - SECOND;
    assert_code(code_after(f, &zero), WFL_OK);
    f->now_ns += SECOND;
    assert_code(code_after(f, &zero), WFL_CURSOR_EXPIRED);
}

/* ---- which bucket */

static void a_bucket_made_anew_is_another_one(void **state)
{
    struct fixture    *f = *state;
    struct wfl_changes page = {.from = WFL_CHANGES_OLDEST, .bucket = WFL_S("nowhere")};
    uint32_t           id;

    assert_code(read_page(f, &page), WFL_BUCKET_NOT_FOUND);
    wfl_changes_fini(&page);
    put_version(f, "a");
    page = page_after(f, NULL);
    id = page.bucket_id;
    wfl_changes_fini(&page);
    assert_code(delete_key(f, "photos", "a"), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(create(f, "photos", ""), WFL_OK);
    page = (struct wfl_changes){.from = WFL_CHANGES_OLDEST, .bucket_id = id};
    assert_code(read_page(f, &page), WFL_BUCKET_NOT_FOUND);
    wfl_changes_fini(&page);
    page = page_after(f, NULL);
    assert_int_equal(page.count, 0);
    assert_int_not_equal(page.bucket_id, id);
    wfl_changes_fini(&page);
}

/* The old one's changes are gone: whoever had not seen all of them must be told. */
static void positions_in_a_bucket_made_anew(void **state)
{
    struct fixture    *f = *state;
    wfl_ulid           first = put_version(f, "a"), last, next;
    struct wfl_changes page;

    assert_code(delete_key(f, "photos", "a"), WFL_OK);
    page = page_after(f, &first);
    assert_int_equal(page.count, 1);
    last = page.next;
    wfl_changes_fini(&page);
    for (int i = 0; i < 2; i++) { /* again, without a change in between */
        assert_code(delete_bucket(f, "photos"), WFL_OK);
        fixture_reopen(f);
        assert_code(create(f, "photos", ""), WFL_OK);
        assert_code(code_after(f, &first), WFL_CURSOR_EXPIRED);
        assert_code(code_after(f, &last), WFL_OK);
    }
    next = put_version(f, "b");
    fixture_reopen(f);
    assert_code(code_after(f, &first), WFL_CURSOR_EXPIRED);
    page = page_after(f, &last);
    assert_int_equal(page.count, 1);
    assert_same(&page.changes[0].version, &next);
    wfl_changes_fini(&page);
    page = page_after(f, NULL);
    assert_int_equal(page.count, 1);
    wfl_changes_fini(&page);
}

static void buckets_do_not_see_each_other(void **state)
{
    struct fixture    *f = *state;
    struct wfl_changes page = {.bucket = WFL_S("other"), .from = WFL_CHANGES_OLDEST};

    assert_code(create(f, "other", ""), WFL_OK);
    put_version(f, "a");
    assert_code(put(f, "other", "x", WFL_S("1")), WFL_OK);
    put_version(f, "b");
    assert_code(read_page(f, &page), WFL_OK);
    assert_int_equal(page.count, 1);
    assert_key(&page.changes[0], "x");
    wfl_changes_fini(&page);
}

/* ---- damage and scarcity */

static void a_damaged_row_is_not_stepped_over(void **state)
{
    struct fixture    *f = *state;
    wfl_ulid           a = put_version(f, "a");
    struct wfl_changes page = {.from = WFL_CHANGES_OLDEST};
    uint8_t            key[20] = {0};

    put_version(f, "b");
    key[3] = 1;
    memcpy(key + 4, a.bytes, sizeof a.bytes);
    poke(f, WFL_SPACE_CHANGES, wfl_slice_of(key, sizeof key), WFL_S("no record"));
    assert_code(read_page(f, &page), WFL_CORRUPT_OBJECT);
    wfl_changes_fini(&page);
}

static void each_allocation_may_be_refused(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        versions[MANY];
    wfl_code        rc = WFL_NOMEM;

    put_many(f, versions);
    for (uint64_t k = 1; rc == WFL_NOMEM; k++) {
        struct wfl_changes page = {.from = WFL_CHANGES_OLDEST};

        f->allocs = 0;
        f->refuse = k;
        rc = read_page(f, &page);
        f->refuse = 0;
        if (rc == WFL_OK) {
            assert_int_equal(page.count, MANY);
            assert_true(k > 2);
        } else {
            assert_code(rc, WFL_NOMEM);
        }
        wfl_changes_fini(&page);
    }
}

/* ---- who is told */

struct told {
    struct wfl_watch watch; /* the first member */
    unsigned         calls;
};

static void count_call(struct wfl_watch *watch)
{
    ((struct told *)(void *)watch)->calls++;
}

static struct told watch_of(struct fixture *f, const char *bucket)
{
    struct told told = {.watch = {.wake = count_call}};
    wfl_error   err;

    assert_code(wfl_store_bucket_id(f->store, wfl_slice_str(bucket), &told.watch.bucket_id, &err),
                WFL_OK);
    return told;
}

static void a_watch_is_called_once_until_its_owner_looks(void **state)
{
    struct fixture *f = *state;
    struct told     told = watch_of(f, "photos"), other;

    assert_code(create(f, "other", ""), WFL_OK);
    other = watch_of(f, "other");
    wfl_store_watch(f->store, &told.watch);
    wfl_store_watch(f->store, &other.watch);
    put_version(f, "a");
    put_version(f, "b");
    assert_int_equal(told.calls, 1);
    wfl_watch_again(f->store, &told.watch);
    assert_int_equal(told.calls, 1);
    assert_code(delete_key(f, "photos", "a"), WFL_OK);
    assert_int_equal(told.calls, 2);
    assert_true(wfl_store_unwatch(f->store, &told.watch));
    assert_int_equal(other.calls, 0);
    put_version(f, "c");
    assert_int_equal(told.calls, 2);
    assert_false(wfl_store_unwatch(f->store, &other.watch));
}

static void a_bucket_that_goes_is_told(void **state)
{
    struct fixture *f = *state;
    struct told     told = watch_of(f, "photos");

    wfl_store_watch(f->store, &told.watch);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_int_equal(told.calls, 1);
    assert_true(wfl_store_unwatch(f->store, &told.watch));
}

static void what_was_not_stored_is_not_told(void **state)
{
    struct fixture *f = *state;
    struct told     told = watch_of(f, "photos");

    wfl_store_watch(f->store, &told.watch);
    assert_code(delete_key(f, "photos", "nothing"), WFL_KEY_NOT_FOUND);
    assert_int_equal(told.calls, 0);
    wfl_memory_fail(f->engine, 1, WFL_NOMEM);
    assert_code(put(f, "photos", "a", WFL_S("1")), WFL_NOMEM);
    assert_int_equal(told.calls, 0);
    assert_false(wfl_store_unwatch(f->store, &told.watch));
}

static void many_watches_of_one_slot_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct told     told[8], stranger = watch_of(f, "photos");
    unsigned        gone[] = {3, 0, 7};

    stranger.watch.bucket_id += 1024; /* hashed to the same slot */
    wfl_store_watch(f->store, &stranger.watch);
    for (size_t i = 0; i < WFL_COUNT(told); i++) {
        told[i] = watch_of(f, "photos");
        wfl_store_watch(f->store, &told[i].watch);
    }
    for (size_t i = 0; i < WFL_COUNT(gone); i++)
        assert_false(wfl_store_unwatch(f->store, &told[gone[i]].watch));
    put_version(f, "a");
    for (unsigned i = 0; i < WFL_COUNT(told); i++) {
        bool left = i == 3 || i == 0 || i == 7;

        assert_int_equal(told[i].calls, left ? 0 : 1);
        if (!left) assert_true(wfl_store_unwatch(f->store, &told[i].watch));
    }
    assert_false(wfl_store_unwatch(f->store, &stranger.watch));
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
        .name = #test " (" #engine ")", .test_func = test, .setup_func = fixture_setup_##engine,   \
        .teardown_func = fixture_teardown                                                          \
    }
#define ON_BOTH(test) ON(memory, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(each_change_says_what_happened_and_by_whom),
        ON_BOTH(an_erase_says_which_version_went),
        ON_BOTH(pages_of_any_size_are_the_whole_once),
        ON_BOTH(any_position_goes_on_behind_it),
        ON(memory, a_position_ahead_of_all_commits_stays),
        ON_BOTH(a_prefix_filters_and_the_position_moves_on),
        ON(memory, a_page_looks_at_a_bounded_number_of_rows),
        ON(memory, the_end_is_behind_what_is_there),
        ON(memory, a_position_is_expired_when_a_change_behind_it_is_gone),
        ON(memory, the_floor_outlives_a_restart),
        ON(memory, by_default_changes_are_kept_for_seven_days),
        ON_BOTH(a_bucket_made_anew_is_another_one),
        ON_BOTH(positions_in_a_bucket_made_anew),
        ON_BOTH(buckets_do_not_see_each_other),
        ON(memory, a_damaged_row_is_not_stepped_over),
        ON(memory, each_allocation_may_be_refused),
        ON_BOTH(a_watch_is_called_once_until_its_owner_looks),
        ON(memory, a_bucket_that_goes_is_told),
        ON(memory, what_was_not_stored_is_not_told),
        ON(memory, many_watches_of_one_slot_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
