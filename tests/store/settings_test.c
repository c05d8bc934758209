/* SPDX-License-Identifier: Apache-2.0
 *
 * Bucket settings: what is accepted, what is refused and how. */
#include "fixture.h"

#include <stdlib.h>

#include <jansson.h>

static void only_what_is_carried_out_is_accepted(void **state)
{
    static const struct {
        const char *json;
        wfl_code    code;
        const char *written; /* on OK */
    } cases[] = {
        {"", WFL_OK, "{\"versions\":0}"},
        {"{}", WFL_OK, "{\"versions\":0}"},
        {" {\"versions\":0} ", WFL_OK, "{\"versions\":0}"},
        {"{\"public_read\":false}", WFL_OK, "{\"versions\":0}"},
        {"{\"quota_bytes\":0}", WFL_OK, "{\"versions\":0,\"quota_bytes\":0}"},
        {"{\"max_object_bytes\":5,\"quota_objects\":9007199254740992}", WFL_OK,
         "{\"versions\":0,\"quota_objects\":9007199254740992,\"max_object_bytes\":5}"},
        {"{\"quota_objects\":9007199254740993}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":-1}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":1.0}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":\"1\"}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":null}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":true}", WFL_INVALID_SETTING, NULL},
        {"{\"versions\":1}", WFL_OK, "{\"versions\":1}"},
        {"{\"versions\":-1}", WFL_OK, "{\"versions\":-1}"},
        {"{\"versions\":-2}", WFL_INVALID_SETTING, NULL},
        {"{\"public_read\":true}", WFL_OK, "{\"versions\":0,\"public_read\":true}"},
        {"{\"public_read\":0}", WFL_INVALID_SETTING, NULL},
        {"{\"retain_seconds\":60}", WFL_OK, "{\"versions\":0,\"retain_seconds\":60}"},
        {"{\"requests_per_second\":60}", WFL_OK, "{\"versions\":0,\"requests_per_second\":60}"},
        {"{\"requests_per_second\":0}", WFL_INVALID_SETTING, NULL},
        {"{\"bytes_per_second\":60}", WFL_OK, "{\"versions\":0,\"bytes_per_second\":60}"},
        {"{\"bytes_per_second\":0}", WFL_INVALID_SETTING, NULL},
        {"{\"expire_seconds\":60}", WFL_OK, "{\"versions\":0,\"expire_seconds\":60}"},
        {"{\"quota\":60}", WFL_INVALID_SETTING, NULL},
        {"{\"quota_bytes\":1,\"quota_bytes\":2}", WFL_INVALID_JSON, NULL},
        {"{\"quota_bytes\":99999999999999999999}", WFL_INVALID_JSON, NULL},
        {"[]", WFL_INVALID_JSON, NULL},
        {"null", WFL_INVALID_JSON, NULL},
        {"5", WFL_INVALID_JSON, NULL},
        {"{", WFL_INVALID_JSON, NULL},
        {"{} {}", WFL_INVALID_JSON, NULL},
        {"{\"a\\u0000b\":1}", WFL_INVALID_JSON, NULL},
        {" ", WFL_INVALID_JSON, NULL},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_bucket_settings s;
        wfl_error                  err = {0};
        wfl_code                   rc = wfl_settings_parse(wfl_slice_str(cases[i].json), &s, &err);
        if (rc != cases[i].code) fail_msg("%s: %s", cases[i].json, wfl_code_name(rc));
        if (rc != WFL_OK) {
            assert_int_equal(err.code, rc);
            continue;
        }
        wfl_buf  out;
        wfl_json json;
        wfl_buf_init(&out, &wfl_alloc_libc, 4096);
        wfl_json_init(&json, &out);
        wfl_settings_write(&s, &json);
        if (!wfl_slice_eq(wfl_buf_slice(&out), wfl_slice_str(cases[i].written)))
            fail_msg("%s: wrote %.*s", cases[i].json, WFL_FMT(wfl_buf_slice(&out)));
        wfl_buf_fini(&out);
    }
}

static void a_refusal_says_which_setting(void **state)
{
    struct wfl_bucket_settings s;
    wfl_error                  err = {0};

    (void)state;
    assert_code(wfl_settings_parse(WFL_S("{\"bytes_per_second\":0}"), &s, &err),
                WFL_INVALID_SETTING);
    assert_string_equal(err.message, "bytes_per_second must be from 1 to 9007199254740992");
}

static void what_is_stored_is_written_too(void **state)
{
    struct wfl_bucket_settings s = {.versions = 0,
                                    .retain_seconds = -1,
                                    .quota_bytes = -1,
                                    .quota_objects = -1,
                                    .max_object_bytes = -1,
                                    .requests_per_second = -1,
                                    .bytes_per_second = -1,
                                    .expire_seconds = 5,
                                    .change_retain_seconds = -1,
                                    .public_read = true};
    wfl_buf                    out;
    wfl_json                   json;

    (void)state;
    wfl_buf_init(&out, &wfl_alloc_libc, 4096);
    wfl_json_init(&json, &out);
    wfl_settings_write(&s, &json);
    assert_true(wfl_slice_eq(wfl_buf_slice(&out),
                             WFL_S("{\"versions\":0,\"expire_seconds\":5,\"public_read\":true}")));
    wfl_buf_fini(&out);
}

static void too_long_a_text_is_refused_unread(void **state)
{
    struct wfl_bucket_settings s;
    wfl_error                  err = {0};

    (void)state;
    assert_code(wfl_settings_parse(bytes_of_len(64 * 1024 + 1, ' '), &s, &err), WFL_INVALID_JSON);
}

static size_t refuse_in;

static void *refusing_malloc(size_t n)
{
    if (refuse_in > 0 && --refuse_in == 0) return NULL;
    return malloc(n);
}

/* A token cut short for lack of memory reads as bad syntax in jansson: an error all the same. */
static void no_memory_is_an_error(void **state)
{
    struct wfl_bucket_settings s;
    wfl_error                  err = {0};
    wfl_code                   rc;
    size_t                     k = 0, nomem = 0;

    (void)state;
    json_set_alloc_funcs(refusing_malloc, free);
    do {
        refuse_in = ++k;
        rc = wfl_settings_parse(WFL_S("{\"quota_bytes\":5,\"quota_objects\":6}"), &s, &err);
        assert_true(rc == WFL_OK || rc == WFL_NOMEM || rc == WFL_INVALID_JSON);
        nomem += rc == WFL_NOMEM;
    } while (rc != WFL_OK);
    json_set_alloc_funcs(malloc, free);
    assert_true(nomem > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_carried_out_is_accepted),
        cmocka_unit_test(a_refusal_says_which_setting),
        cmocka_unit_test(what_is_stored_is_written_too),
        cmocka_unit_test(too_long_a_text_is_refused_unread),
        cmocka_unit_test(no_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
