/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects and conditions, on every engine. */
#include "fixture.h"

static wfl_ulid version_of(struct fixture *f, const char *key)
{
    struct wfl_get op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key), .head_only = true};

    assert_code(get_op(f, &op), WFL_OK);
    wfl_ulid version = op.object.version;
    wfl_get_fini(&op);
    return version;
}

static void what_was_put_is_read_back_whole(void **state)
{
    static const size_t                sizes[] = {0,
                                                  1,
                                                  1023,
                                                  WFL_INLINE_BYTES_MAX,
                                                  WFL_INLINE_BYTES_MAX + 1,
                                                  4096,
                                                  65535,
                                                  WFL_VALUE_BYTES_MAX};
    static const struct wfl_name_value meta[] = {{WFL_LIT("camera"), WFL_LIT("pinhole")},
                                                 {WFL_LIT("note"), WFL_LIT("")}};
    static const struct wfl_name_value tags[] = {{WFL_LIT("year"), WFL_LIT("2026")}};
    struct fixture                    *f = *state;

    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        wfl_slice      content = bytes_of_len(sizes[i], (uint8_t)i);
        struct wfl_put op = {.bucket = WFL_S("photos"),
                             .key = WFL_S("a/b.jpg"),
                             .content = content,
                             .blake3 = wfl_hash_of(content),
                             .content_type = WFL_S("image/jpeg"),
                             .meta = meta,
                             .meta_count = 2,
                             .tags = tags,
                             .tag_count = 1,
                             .by = WFL_S("thumb"),
                             .jti = {{1}}};
        assert_code(put_op(f, &op), WFL_OK);
        assert_int_equal(op.created, i == 0);
        wfl_ulid version = op.version;
        wfl_hash hash = op.blake3;
        wfl_put_fini(&op);

        for (int head = 0; head < 2; head++) {
            struct wfl_get get = {
                .bucket = WFL_S("photos"), .key = WFL_S("a/b.jpg"), .head_only = head == 1};
            assert_code(get_op(f, &get), WFL_OK);
            assert_int_equal(wfl_ulid_cmp(&get.object.version, &version), 0);
            assert_int_equal(get.object.size, sizes[i]);
            assert_memory_equal(get.object.blake3.bytes, hash.bytes, sizeof hash.bytes);
            assert_true(wfl_slice_eq(get.object.content_type, WFL_S("image/jpeg")));
            assert_int_equal(get.object.meta_count, 2);
            assert_true(wfl_slice_eq(get.object.meta[0].name, meta[0].name));
            assert_true(wfl_slice_eq(get.object.meta[0].value, meta[0].value));
            assert_true(wfl_slice_eq(get.object.meta[1].value, meta[1].value));
            assert_int_equal(get.object.tag_count, 1);
            assert_true(wfl_slice_eq(get.object.tags[0].value, tags[0].value));
            if (head == 0)
                assert_true(wfl_slice_eq(get.content, content));
            else
                assert_int_equal(get.content.len, 0);
            wfl_get_fini(&get);
            wfl_get_fini(&get); /* finishing twice is harmless */
        }
        assert_int_equal(info(f, "photos").bytes, sizes[i]);
        assert_int_equal(info(f, "photos").objects, 1);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), sizes[i] > WFL_INLINE_BYTES_MAX);
    }
    assert_code(delete_key(f, "photos", "a/b.jpg"), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_VALUES), 0);
    assert_int_equal(rows(f, WFL_SPACE_OBJECTS), 0);
    assert_int_equal(info(f, "photos").bytes, 0);
}

static void what_does_not_exist_says_what(void **state)
{
    struct fixture *f = *state;
    struct wfl_get  get = {.bucket = WFL_S("nowhere"), .key = WFL_S("k")};

    assert_code(put(f, "nowhere", "k", WFL_S("v")), WFL_BUCKET_NOT_FOUND);
    assert_code(delete_key(f, "nowhere", "k"), WFL_BUCKET_NOT_FOUND);
    assert_code(get_op(f, &get), WFL_BUCKET_NOT_FOUND);
    assert_string_equal(get.err.message, "there is no bucket nowhere");
    wfl_get_fini(&get);
    assert_no_key(f, "photos", "k");
    assert_code(delete_key(f, "photos", "k"), WFL_KEY_NOT_FOUND);
    assert_int_equal(info(f, "photos").objects, 0);
}

static void keys_of_one_bucket_are_not_those_of_another(void **state)
{
    struct fixture *f = *state;

    assert_code(create(f, "other", ""), WFL_OK);
    assert_code(put(f, "photos", "k", WFL_S("one")), WFL_OK);
    assert_code(put(f, "other", "k", WFL_S("two")), WFL_OK);
    assert_content(f, "photos", "k", WFL_S("one"));
    assert_content(f, "other", "k", WFL_S("two"));
    assert_code(delete_key(f, "other", "k"), WFL_OK);
    assert_content(f, "photos", "k", WFL_S("one"));
}

static void versions_rise_when_the_clock_steps_back(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        last = info(f, "photos").version, next;

    for (int i = 0; i < 100; i++) {
        f->now_ns += i % 3 == 0 ? -INT64_C(3600000000000) : 1000000;
        assert_code(put_as(f, "photos", i % 2 == 0 ? "even" : "odd", WFL_S("v"), &next), WFL_OK);
        assert_true(wfl_ulid_cmp(&next, &last) > 0);
        last = info(f, "photos").version;
        assert_int_equal(wfl_ulid_cmp(&next, &last), 0);
    }
}

static void versions_never_fall_back_after_a_restart(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        before, after;

    assert_code(create(f, "other", ""), WFL_OK);
    assert_code(put_as(f, "other", "k", WFL_S("v"), &before), WFL_OK);
    struct wfl_delete op = {.bucket = WFL_S("other"), .key = WFL_S("k")};
    assert_code(delete_op(f, &op), WFL_OK);
    assert_true(wfl_ulid_cmp(&op.version, &before) > 0);
    before = op.version;
    assert_code(delete_bucket(f, "other"), WFL_OK);
    f->now_ns -= INT64_C(3600000000000);
    fixture_reopen(f);
    assert_code(put_as(f, "photos", "k", WFL_S("v"), &after), WFL_OK);
    assert_true(wfl_ulid_cmp(&after, &before) > 0);
}

struct condition_case {
    const char             *name;
    bool                    there; /* a current version exists */
    enum wfl_condition_kind match, none_match;
    bool                    current_listed;
    wfl_code                put, remove;
};

static const struct condition_case condition_cases[] = {
    {"create only, nothing there", false, WFL_COND_NONE, WFL_COND_ABSENT, false, WFL_OK,
     WFL_KEY_NOT_FOUND},
    {"create only, something there", true, WFL_COND_NONE, WFL_COND_ABSENT, false,
     WFL_PRECONDITION_FAILED, WFL_PRECONDITION_FAILED},
    {"must exist and does", true, WFL_COND_EXISTS, WFL_COND_NONE, false, WFL_OK, WFL_OK},
    {"must exist and does not", false, WFL_COND_EXISTS, WFL_COND_NONE, false,
     WFL_PRECONDITION_FAILED, WFL_PRECONDITION_FAILED},
    {"the current version", true, WFL_COND_ANY_OF, WFL_COND_NONE, true, WFL_OK, WFL_OK},
    {"another version", true, WFL_COND_ANY_OF, WFL_COND_NONE, false, WFL_PRECONDITION_FAILED,
     WFL_PRECONDITION_FAILED},
    {"a version of nothing", false, WFL_COND_ANY_OF, WFL_COND_NONE, true, WFL_PRECONDITION_FAILED,
     WFL_PRECONDITION_FAILED},
    {"none of, and it is", true, WFL_COND_NONE, WFL_COND_NONE_OF, true, WFL_PRECONDITION_FAILED,
     WFL_PRECONDITION_FAILED},
    {"none of, and it is not", true, WFL_COND_NONE, WFL_COND_NONE_OF, false, WFL_OK, WFL_OK},
    {"none of nothing", false, WFL_COND_NONE, WFL_COND_NONE_OF, true, WFL_OK, WFL_KEY_NOT_FOUND},
    {"never", true, WFL_COND_NEVER, WFL_COND_NONE, false, WFL_PRECONDITION_FAILED,
     WFL_PRECONDITION_FAILED},
    {"both hold", true, WFL_COND_EXISTS, WFL_COND_NONE_OF, false, WFL_OK, WFL_OK},
    {"one of both fails", true, WFL_COND_EXISTS, WFL_COND_ABSENT, false, WFL_PRECONDITION_FAILED,
     WFL_PRECONDITION_FAILED},
};

static void check_condition(struct fixture *f, const struct condition_case *c, bool removing)
{
    wfl_ulid current = {{0}}, listed[2] = {{{0x01}}, {{0x02}}};

    if (c->there) {
        assert_code(put(f, "photos", "k", WFL_S("old")), WFL_OK);
        current = version_of(f, "k");
    }
    if (c->current_listed) listed[1] = current;
    struct wfl_condition match = {c->match, listed, 2}, none_match = {c->none_match, listed, 2};
    wfl_code             want = removing ? c->remove : c->put, got;
    wfl_ulid             version;
    if (removing) {
        struct wfl_delete op = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
        op.match = match;
        op.none_match = none_match;
        got = delete_op(f, &op);
        version = op.version;
    } else {
        struct wfl_put op = {.bucket = WFL_S("photos"), .key = WFL_S("k"), .content = WFL_S("new")};
        op.match = match;
        op.none_match = none_match;
        got = put_op(f, &op);
        version = op.version;
        if (got == WFL_OK && op.created == c->there) fail_msg("%s: created", c->name);
        wfl_put_fini(&op);
    }
    if (got != want) fail_msg("%s: got %s", c->name, wfl_code_name(got));
    if (got == WFL_OK) {
        if (wfl_ulid_cmp(&version, &current) <= 0) fail_msg("%s: version", c->name);
    } else if (got == WFL_PRECONDITION_FAILED) {
        if (wfl_ulid_cmp(&version, &current) != 0) fail_msg("%s: not the current", c->name);
        if (c->there) assert_content(f, "photos", "k", WFL_S("old"));
    } else if (!wfl_ulid_is_zero(&version)) {
        fail_msg("%s: a version of nothing", c->name);
    }
    (void)delete_key(f, "photos", "k");
}

static void conditions_hold_on_puts_and_deletes(void **state)
{
    for (size_t i = 0; i < WFL_COUNT(condition_cases); i++) {
        check_condition(*state, &condition_cases[i], false);
        check_condition(*state, &condition_cases[i], true);
    }
}

static void limits_are_judged_exactly(void **state)
{
    struct fixture *f = *state;

    assert_code(
        create(f, "tight", "{\"quota_bytes\":10,\"quota_objects\":2,\"max_object_bytes\":8}"),
        WFL_OK);
    assert_code(put(f, "tight", "a", bytes_of_len(9, 0)), WFL_OBJECT_TOO_LARGE);
    assert_code(put(f, "tight", "a", bytes_of_len(8, 0)), WFL_OK);
    assert_code(put(f, "tight", "b", bytes_of_len(3, 0)), WFL_QUOTA_EXCEEDED);
    assert_code(put(f, "tight", "b", bytes_of_len(2, 0)), WFL_OK);
    assert_code(put(f, "tight", "c", bytes_of_len(0, 0)), WFL_QUOTA_EXCEEDED);
    assert_code(put(f, "tight", "b", bytes_of_len(3, 0)), WFL_QUOTA_EXCEEDED);
    assert_code(put(f, "tight", "b", bytes_of_len(2, 1)), WFL_OK); /* as large as before */
    assert_code(put(f, "tight", "a", bytes_of_len(1, 0)), WFL_OK);
    assert_code(put(f, "tight", "b", bytes_of_len(8, 0)), WFL_OK);
    assert_int_equal(info(f, "tight").bytes, 9);
    assert_code(delete_key(f, "tight", "a"), WFL_OK);
    assert_code(put(f, "tight", "c", bytes_of_len(2, 0)), WFL_OK);
    assert_int_equal(info(f, "tight").objects, 2);
    assert_int_equal(info(f, "tight").bytes, 10);
}

static void a_restart_keeps_objects_and_counters(void **state)
{
    struct fixture        *f = *state;
    struct wfl_bucket_info before;

    assert_code(put(f, "photos", "small", WFL_S("x")), WFL_OK);
    assert_code(put(f, "photos", "large", bytes_of_len(5000, 3)), WFL_OK);
    assert_code(put(f, "photos", "gone", WFL_S("y")), WFL_OK);
    assert_code(delete_key(f, "photos", "gone"), WFL_OK);
    before = info(f, "photos");
    fixture_reopen(f);
    struct wfl_bucket_info after = info(f, "photos");
    assert_int_equal(wfl_ulid_cmp(&after.version, &before.version), 0);
    assert_int_equal(after.settings.quota_bytes, -1);
    assert_int_equal(after.objects, 2);
    assert_int_equal(after.bytes, 5001);
    assert_content(f, "photos", "small", WFL_S("x"));
    assert_content(f, "photos", "large", bytes_of_len(5000, 3));
    assert_no_key(f, "photos", "gone");
}

static void the_longest_key_is_a_key(void **state)
{
    struct fixture *f = *state;
    char            key[WFL_KEY_MAX + 1];

    memset(key, 'k', WFL_KEY_MAX);
    key[WFL_KEY_MAX] = '\0';
    assert_code(put(f, "photos", key, bytes_of_len(2000, 1)), WFL_OK);
    assert_content(f, "photos", key, bytes_of_len(2000, 1));
    assert_code(delete_key(f, "photos", key), WFL_OK);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_ALL(test) ON(memory, test), ON(pending, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(what_was_put_is_read_back_whole),
        ON_ALL(what_does_not_exist_says_what),
        ON_ALL(keys_of_one_bucket_are_not_those_of_another),
        ON_ALL(versions_rise_when_the_clock_steps_back),
        ON_ALL(versions_never_fall_back_after_a_restart),
        ON_ALL(conditions_hold_on_puts_and_deletes),
        ON_ALL(limits_are_judged_exactly),
        ON_ALL(a_restart_keeps_objects_and_counters),
        ON_ALL(the_longest_key_is_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
