/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON writer: what it writes is JSON, read back by an independent reader to the same values.
 */
#include "test.h"

#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static wfl_buf  buffer;
static wfl_json json;

static int set_up(void **state)
{
    (void)state;
    wfl_buf_init(&buffer, &wfl_alloc_libc, 1u << 20);
    wfl_json_init(&json, &buffer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wfl_buf_fini(&buffer);
    return 0;
}

static void commas_and_colons_fall_into_place(void **state)
{
    (void)state;
    wfl_json_object(&json);
    wfl_json_key(&json, "a");
    wfl_json_array(&json);
    wfl_json_u64(&json, 1);
    wfl_json_array(&json);
    wfl_json_end(&json);
    wfl_json_object(&json);
    wfl_json_end(&json);
    wfl_json_null(&json);
    wfl_json_bool(&json, true);
    wfl_json_bool(&json, false);
    wfl_json_end(&json);
    wfl_json_key(&json, "b");
    wfl_json_object(&json);
    wfl_json_key_slice(&json, WFL_S("c"));
    wfl_json_cstr(&json, "d");
    wfl_json_key(&json, "");
    wfl_json_i64(&json, -1);
    wfl_json_end(&json);
    wfl_json_key(&json, "e");
    wfl_json_str(&json, (wfl_slice){0});
    wfl_json_end(&json);
    assert_text_equal(wfl_buf_slice(&buffer),
                      "{\"a\":[1,[],{},null,true,false],\"b\":{\"c\":\"d\",\"\":-1},\"e\":\"\"}");
}

static void a_lone_value_is_a_text_too(void **state)
{
    (void)state;
    wfl_json_cstr(&json, "x");
    assert_text_equal(wfl_buf_slice(&buffer), "\"x\"");
}

static void numbers_are_written_whole(void **state)
{
    (void)state;
    wfl_json_array(&json);
    wfl_json_u64(&json, 0);
    wfl_json_u64(&json, UINT64_MAX);
    wfl_json_i64(&json, INT64_MIN);
    wfl_json_i64(&json, INT64_MAX);
    wfl_json_end(&json);
    assert_text_equal(wfl_buf_slice(&buffer),
                      "[0,18446744073709551615,-9223372036854775808,9223372036854775807]");
}

static void what_must_be_escaped_is(void **state)
{
    (void)state;
    for (int c = 0; c < 0x80; c++) {
        uint8_t bytes[3] = {'a', (uint8_t)c, 'z'};
        char    expected[16];

        snprintf(expected, sizeof expected, "\"a%cz\"", c);
        if (c < 0x20) snprintf(expected, sizeof expected, "\"a\\u%04xz\"", c);
        if (c == '"' || c == '\\') snprintf(expected, sizeof expected, "\"a\\%cz\"", c);
        if (c == '\n') snprintf(expected, sizeof expected, "\"a\\nz\"");
        if (c == '\r') snprintf(expected, sizeof expected, "\"a\\rz\"");
        if (c == '\t') snprintf(expected, sizeof expected, "\"a\\tz\"");
        buffer.len = 0;
        wfl_json_init(&json, &buffer);
        wfl_json_str(&json, wfl_slice_of(bytes, 3));
        assert_text_equal(wfl_buf_slice(&buffer), expected);
    }
}

static void bytes_that_are_no_utf8_become_replacements(void **state)
{
    static const char *const cases[][2] = {
        {"\xc3\xa4", "\"\xc3\xa4\""},
        {"\xf0\x9f\x94\x91", "\"\xf0\x9f\x94\x91\""},
        {"\xff", "\"\xEF\xBF\xBD\""},
        {"a\xc3", "\"a\xEF\xBF\xBD\""},
        {"\xc3\"", "\"\xEF\xBF\xBD\\\"\""}, /* the quote after it is not swallowed */
        {"\xe2\x82", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xc0\xaf", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xed\xa0\x80z", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\""},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        buffer.len = 0;
        wfl_json_init(&json, &buffer);
        wfl_json_cstr(&json, cases[i][0]);
        assert_text_equal(wfl_buf_slice(&buffer), cases[i][1]);
    }
}

/* Random bytes, half of the rounds made mostly of what needs care. */
static void any_bytes_are_read_back_by_another_reader(void **state)
{
    static const char special[] = "\"\\\n\r\t/\x01\x1f\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\x91\xff";
    struct prng       rng = prng_from_env();

    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint8_t      place[64];
        wfl_slice    bytes = prng_bytes(&rng, place, sizeof place), back;
        json_error_t error;

        for (size_t i = 0; i < bytes.len && round % 2 == 0; i++)
            place[i] = (uint8_t)special[place[i] % (sizeof special - 1)];
        buffer.len = 0;
        wfl_json_init(&json, &buffer);
        wfl_json_array(&json);
        wfl_json_str(&json, bytes);
        wfl_json_end(&json);
        json_t *read = json_loadb((const char *)buffer.data, buffer.len, JSON_ALLOW_NUL, &error);
        if (read == NULL) fail_msg("%s", error.text);
        json_t *text = json_array_get(read, 0);
        back = wfl_slice_of(json_string_value(text), json_string_length(text));
        if (wfl_utf8_valid(bytes)) assert_true(wfl_slice_eq(back, bytes));
        json_decref(read);
    }
}

static void nesting_goes_to_its_limit(void **state)
{
    (void)state;
    for (int i = 0; i < WFL_JSON_DEPTH_MAX - 1; i++) {
        if (i % 2 == 0) {
            wfl_json_array(&json);
        } else {
            wfl_json_object(&json);
            wfl_json_key(&json, "k");
        }
    }
    wfl_json_u64(&json, 1);
    for (int i = 0; i < WFL_JSON_DEPTH_MAX - 1; i++)
        wfl_json_end(&json);
    json_error_t error;
    json_t      *read = json_loadb((const char *)buffer.data, buffer.len, 0, &error);
    assert_non_null(read);
    json_decref(read);
}

/* ---- misuse is ours, and aborts */

static void too_deep(void)
{
    for (int i = 0; i < WFL_JSON_DEPTH_MAX; i++)
        wfl_json_array(&json);
}

static void value_without_key(void)
{
    wfl_json_object(&json);
    wfl_json_u64(&json, 1);
}

static void key_in_an_array(void)
{
    wfl_json_array(&json);
    wfl_json_key(&json, "k");
}

static void key_outside(void)
{
    wfl_json_key(&json, "k");
}

static void key_after_key(void)
{
    wfl_json_object(&json);
    wfl_json_key(&json, "k");
    wfl_json_key(&json, "l");
}

static void end_after_key(void)
{
    wfl_json_object(&json);
    wfl_json_key(&json, "k");
    wfl_json_end(&json);
}

static void end_outside(void)
{
    wfl_json_end(&json);
}

static void second_value_outside(void)
{
    wfl_json_u64(&json, 1);
    wfl_json_u64(&json, 2);
}

static void misuse_aborts(void **state)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"too deep", too_deep},
        {"value without key", value_without_key},
        {"key in an array", key_in_an_array},
        {"key outside", key_outside},
        {"key after key", key_after_key},
        {"end after key", end_after_key},
        {"end outside", end_outside},
        {"second value outside", second_value_outside},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        pid_t child = fork();
        int   status;

        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
            cases[i].run();
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) fail_msg("%s", cases[i].name);
    }
}

static void running_out_of_room_shows_in_the_buffer(void **state)
{
    (void)state;
    for (size_t max = 0; max < 20; max++) {
        wfl_buf  small;
        wfl_json out;

        wfl_buf_init(&small, &wfl_alloc_libc, max);
        wfl_json_init(&out, &small);
        wfl_json_object(&out);
        wfl_json_key(&out, "key");
        wfl_json_cstr(&out, "a\nvalue");
        wfl_json_end(&out);
        assert_int_equal(wfl_buf_ok(&small), max >= 18);
        wfl_buf_fini(&small);
    }
}

int main(void)
{
#define JSON_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        JSON_TEST(commas_and_colons_fall_into_place),
        JSON_TEST(a_lone_value_is_a_text_too),
        JSON_TEST(numbers_are_written_whole),
        JSON_TEST(what_must_be_escaped_is),
        JSON_TEST(bytes_that_are_no_utf8_become_replacements),
        JSON_TEST(any_bytes_are_read_back_by_another_reader),
        JSON_TEST(nesting_goes_to_its_limit),
        JSON_TEST(misuse_aborts),
        JSON_TEST(running_out_of_room_shows_in_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
