/* SPDX-License-Identifier: Apache-2.0
 *
 * Buckets: creating, deleting, listing; what a group and what a restart make of them. */
#include "fixture.h"

#include <stdio.h>

#include "store/internal.h"

static bool all(void *ctx, wfl_slice name)
{
    (void)ctx, (void)name;
    return true;
}

static bool starting_with(void *ctx, wfl_slice name)
{
    return wfl_slice_starts_with(name, wfl_slice_str(ctx));
}

/* Names joined by spaces. */
static const char *list(struct fixture *f, bool (*wanted)(void *ctx, wfl_slice name), void *ctx)
{
    static char text[256];
    wfl_arena   arena;
    wfl_slice  *names;
    uint32_t    count;
    wfl_error   err;
    size_t      len = 0;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    assert_code(wfl_store_bucket_list(f->store, wanted, ctx, &arena, &names, &count, &err), WFL_OK);
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", i > 0 ? " " : "",
                                WFL_FMT(names[i]));
    wfl_arena_fini(&arena);
    return text;
}

static void names_are_listed_in_order_to_those_who_may(void **state)
{
    struct fixture *f = *state;

    assert_code(create(f, "zoo", ""), WFL_OK);
    assert_code(create(f, "archive", ""), WFL_OK);
    assert_code(create(f, "photos-old", ""), WFL_OK);
    assert_string_equal(list(f, all, NULL), "archive photos photos-old zoo");
    assert_string_equal(list(f, starting_with, "photos"), "photos photos-old");
    assert_string_equal(list(f, starting_with, "none"), "");
    fixture_reopen(f);
    assert_string_equal(list(f, all, NULL), "archive photos photos-old zoo");
}

static void a_name_is_taken_once(void **state)
{
    struct fixture *f = *state;

    assert_code(create(f, "photos", ""), WFL_BUCKET_EXISTS);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_BUCKET_NOT_FOUND);
    assert_string_equal(list(f, all, NULL), "");
    assert_code(create(f, "photos", ""), WFL_OK);
    assert_code(create(f, "photos", ""), WFL_BUCKET_EXISTS);
}

static void a_bucket_with_objects_stays(void **state)
{
    struct fixture *f = *state;

    assert_code(put(f, "photos", "k", WFL_S("v")), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_BUCKET_NOT_EMPTY);
    assert_content(f, "photos", "k", WFL_S("v"));
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_BUCKETS), 0);
    /* The store's own record stays, and the end of the changes that the name has had. */
    assert_int_equal(rows(f, WFL_SPACE_META), 2);
}

static void a_new_bucket_of_an_old_name_has_a_new_id(void **state)
{
    struct fixture    *f = *state;
    struct bucket_view before, after;
    wfl_error          err;

    assert_code(wfl_buckets_look_up(f->store, WFL_S("photos"), &before, &err), WFL_OK);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    fixture_reopen(f); /* the id is not forgotten either */
    assert_code(create(f, "photos", ""), WFL_OK);
    assert_code(wfl_buckets_look_up(f->store, WFL_S("photos"), &after, &err), WFL_OK);
    assert_true(after.id > before.id);
}

static void settings_are_kept(void **state)
{
    struct fixture *f = *state;

    assert_code(
        create(f, "tight", "{\"quota_bytes\":10,\"quota_objects\":2,\"max_object_bytes\":8}"),
        WFL_OK);
    for (int i = 0; i < 2; i++) {
        struct wfl_bucket_info tight = info(f, "tight"), photos = info(f, "photos");
        assert_int_equal(tight.settings.quota_bytes, 10);
        assert_int_equal(tight.settings.quota_objects, 2);
        assert_int_equal(tight.settings.max_object_bytes, 8);
        assert_int_equal(tight.settings.expire_seconds, -1);
        assert_int_equal(photos.settings.quota_bytes, -1);
        assert_false(photos.settings.public_read);
        fixture_reopen(f);
    }
}

static void a_new_bucket_has_the_version_of_its_creation(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        photos = info(f, "photos").version;

    assert_false(wfl_ulid_is_zero(&photos));
    assert_code(create(f, "later", ""), WFL_OK);
    wfl_ulid later = info(f, "later").version;
    assert_true(wfl_ulid_cmp(&later, &photos) > 0);
    fixture_reopen(f);
    wfl_ulid again = info(f, "later").version;
    assert_int_equal(wfl_ulid_cmp(&again, &later), 0);
}

static void many_buckets_are_all_there_after_a_restart(void **state)
{
    enum { MANY = 2500 }; /* more than a page of loading */
    struct fixture *f = *state;

    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "bucket-%d", (i * 7919) % MANY);
        assert_code(create(f, name, ""), WFL_OK);
    }
    fixture_reopen(f);
    assert_int_equal(f->store->table_count, MANY + 1);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "bucket-%d", i);
        assert_int_equal(info(f, name).objects, 0);
    }
}

static void a_full_store_refuses_another_bucket(void **state)
{
    struct fixture *f = *state;

    f->store->last_bucket_id = UINT32_MAX;
    assert_code(create(f, "one-more", ""), WFL_QUOTA_EXCEEDED);
    f->store->last_bucket_id = 1;
    for (size_t i = 0; f->store->table_count < WFL_BUCKETS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "b-%zu", i);
        assert_code(create(f, name, ""), WFL_OK);
    }
    assert_code(create(f, "one-more", ""), WFL_QUOTA_EXCEEDED);
    assert_code(delete_bucket(f, "b-7"), WFL_OK);
    assert_code(create(f, "one-more", ""), WFL_OK);
}

/* ---- within one group: only a pending engine makes groups of more than one commit at will */

struct step {
    const char *name;
    bool        deleting;
    wfl_code    want;
};

static void bucket_done(struct wfl_bucket_op *op)
{
    *(int *)op->arg += 1;
}

static void start(struct fixture *f, struct wfl_bucket_op *op, const struct step *step, int *done)
{
    *op =
        (struct wfl_bucket_op){.name = wfl_slice_str(step->name), .done = bucket_done, .arg = done};
    assert_code(wfl_settings_parse(WFL_S(""), &op->settings, &op->err), WFL_OK);
    assert_code(step->deleting ? wfl_store_bucket_delete(f->store, op)
                               : wfl_store_bucket_create(f->store, op),
                WFL_PENDING);
}

static void run_group(struct fixture *f, const struct step *steps, size_t count)
{
    struct wfl_bucket_op ops[8];
    int                  done = 0;

    assert_true(count <= WFL_COUNT(ops));
    for (size_t i = 0; i < count; i++)
        start(f, &ops[i], &steps[i], &done);
    (void)wfl_memory_run(f->engine);
    assert_int_equal(done, count);
    for (size_t i = 0; i < count; i++)
        if (ops[i].rc != steps[i].want) fail_msg("step %zu: %s", i, wfl_code_name(ops[i].rc));
}

static void a_group_judges_by_what_it_did_itself(void **state)
{
    struct fixture *f = *state;

    run_group(f,
              (const struct step[]){{"new", false, WFL_OK},
                                    {"new", false, WFL_BUCKET_EXISTS},
                                    {"new", true, WFL_OK},
                                    {"new", true, WFL_BUCKET_NOT_FOUND},
                                    {"photos", true, WFL_OK},
                                    {"photos", false, WFL_OK},
                                    {"photos", true, WFL_OK},
                                    {"photos", false, WFL_OK}},
              8);
    assert_string_equal(list(f, all, NULL), "photos");
    assert_int_equal(f->store->table_count, 1);
    fixture_reopen(f);
    assert_string_equal(list(f, all, NULL), "photos");
    run_group(f, (const struct step[]){{"photos", true, WFL_OK}, {"other", false, WFL_OK}}, 2);
    assert_string_equal(list(f, all, NULL), "other");
}

/* Table and disk agree: no bucket is half there. */
static void assert_whole(struct fixture *f)
{
    assert_int_equal(rows(f, WFL_SPACE_BUCKETS), f->store->table_count);
    size_t left = list(f, all, NULL)[0] == '\0'; /* by photos, the only one that has had changes */
    assert_int_equal(rows(f, WFL_SPACE_META) - left, f->store->table_count + 1);
    for (size_t i = 0; i < f->store->table_count; i++) {
        assert_true(f->store->table[i]->visible);
        assert_true(f->store->table[i]->stands);
    }
}

static void a_failed_group_changes_nothing(void **state)
{
    static const struct step steps[] = {{"photos", true, WFL_OK},
                                        {"photos", false, WFL_OK},
                                        {"new", false, WFL_OK},
                                        {"new", true, WFL_OK}};
    struct fixture          *f = *state;
    bool                     failed;
    uint64_t                 k = 0;

    do {
        struct wfl_bucket_op ops[WFL_COUNT(steps)];
        int                  done = 0;
        failed = false;
        for (size_t i = 0; i < WFL_COUNT(steps); i++)
            start(f, &ops[i], &steps[i], &done);
        wfl_memory_fail(f->engine, ++k, WFL_NOMEM);
        (void)wfl_memory_run(f->engine);
        wfl_memory_fail(f->engine, 0, WFL_OK);
        assert_int_equal(done, WFL_COUNT(steps));
        for (size_t i = 0; i < WFL_COUNT(steps); i++)
            failed |= ops[i].rc == WFL_NOMEM;

        assert_whole(f);
        (void)delete_bucket(f, "new");
        (void)create(f, "photos", "");
        assert_string_equal(list(f, all, NULL), "photos");
        assert_code(put(f, "photos", "k", WFL_S("v")), WFL_OK);
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        fixture_reopen(f);
        assert_string_equal(list(f, all, NULL), "photos");
        assert_whole(f);
    } while (failed);
    assert_true(k > 6);
}

static void work_belongs_to_its_bucket_else_to_its_client(void **state)
{
    struct fixture *f = *state;
    wfl_slice       none = {0}, one = WFL_S("one"), two = WFL_S("two");

    assert_code(create(f, "other", ""), WFL_OK);
    uint64_t photos = wfl_store_flow(f->store, WFL_S("photos"), one);
    uint64_t other = wfl_store_flow(f->store, WFL_S("other"), one);
    assert_true(photos != 0 && other != 0 && photos != other);
    assert_int_equal(wfl_store_flow(f->store, WFL_S("photos"), two), photos);
    /* Names that are not there are not lines of their own: nobody gets more turns by making them
     * up. */
    uint64_t client = wfl_store_flow(f->store, WFL_S("never-made"), one);
    assert_int_equal(wfl_store_flow(f->store, WFL_S("nor-this"), one), client);
    assert_int_equal(wfl_store_flow(f->store, none, one), client);
    assert_true(wfl_store_flow(f->store, none, two) != client);
    assert_true(client > UINT32_MAX); /* no bucket's */
    assert_int_equal(wfl_store_flow(f->store, WFL_S("never-made"), none), 0);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_ALL(test) ON(memory, test), ON(pending, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(names_are_listed_in_order_to_those_who_may),
        ON_ALL(a_name_is_taken_once),
        ON_ALL(a_bucket_with_objects_stays),
        ON_ALL(a_new_bucket_of_an_old_name_has_a_new_id),
        ON_ALL(settings_are_kept),
        ON(memory, work_belongs_to_its_bucket_else_to_its_client),
        ON_ALL(a_new_bucket_has_the_version_of_its_creation),
        ON_ALL(many_buckets_are_all_there_after_a_restart),
        ON(memory, a_full_store_refuses_another_bucket),
        ON(pending, a_group_judges_by_what_it_did_itself),
        ON(pending, a_failed_group_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
