/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of codes against the one in docs/protocol.md, and what messages are made of. */
#include "test.h"

#include <errno.h>

#define CODES_MAX 128

/* ---- the protocol's table: rows "| 408, 431 | `request_timeout`, `header_too_large` |" */

struct listed {
    char name[64];
    int  status[2]; /* what its row allows; the second is 0 where there is one */
};

static size_t read_row(const char *row, struct listed *out)
{
    int         status[2] = {0}, depth = 0;
    size_t      count = 0;
    const char *at = strchr(row + 1, '|');

    if (at == NULL || sscanf(row, "| %d, %d |", &status[0], &status[1]) < 1) return 0;
    for (; *at != '\0'; at++) {
        size_t len = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");

        depth += (*at == '(') - (*at == ')');
        if (*at != '`' || len == 0 || at[len + 1] != '`' || depth > 0) continue;
        assert_in_range(len, 1, sizeof out->name - 1);
        snprintf(out[count].name, sizeof out->name, "%.*s", (int)len, at + 1);
        memcpy(out[count++].status, status, sizeof status);
        at += len + 1;
    }
    /* Two codes for two statuses: one each. */
    for (size_t i = 0; i < count && count == 2 && status[1] != 0; i++) {
        out[i].status[0] = status[i];
        out[i].status[1] = 0;
    }
    return count;
}

static size_t read_table(struct listed *out)
{
    char   path[1024], line[2048];
    FILE  *f;
    bool   inside = false;
    size_t count = 0;

    snprintf(path, sizeof path, "%s/docs/protocol.md", getenv("WFL_SOURCE_ROOT"));
    f = fopen(path, "r");
    if (f == NULL) fail_msg("%s", path);
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "### 2.2 ", 8) == 0) {
            inside = true;
        } else if (line[0] == '#') {
            inside = false;
        } else if (inside && line[0] == '|') {
            assert_true(count + 32 < CODES_MAX);
            count += read_row(line, out + count);
        }
    }
    fclose(f);
    return count;
}

static void every_code_of_the_protocol_has_its_status_and_a_title(void **state)
{
    struct listed listed[CODES_MAX];
    size_t        count = read_table(listed);

    (void)state;
    assert_true(count > 50);
    for (size_t i = 0; i < count; i++) {
        int code = 0;

        while (code < WFL_CODE_COUNT && strcmp(wfl_code_name((wfl_code)code), listed[i].name) != 0)
            code++;
        if (code == WFL_CODE_COUNT) fail_msg("%s is not in the table", listed[i].name);
        for (; code < WFL_CODE_COUNT; code++) {
            int http = wfl_code_http((wfl_code)code);

            if (strcmp(wfl_code_name((wfl_code)code), listed[i].name) != 0) continue;
            if (http != listed[i].status[0] && http != listed[i].status[1])
                fail_msg("%s is %d", listed[i].name, http);
            assert_true(strlen(wfl_code_title((wfl_code)code)) > 5);
        }
    }
}

static void the_protocol_knows_every_name_that_can_leave(void **state)
{
    struct listed listed[CODES_MAX];
    size_t        count = read_table(listed);

    (void)state;
    for (int code = WFL_OK + 1; code < WFL_CODE_COUNT; code++) {
        size_t i = 0;

        while (i < count && strcmp(wfl_code_name((wfl_code)code), listed[i].name) != 0)
            i++;
        if (i == count) fail_msg("%s", wfl_code_name((wfl_code)code));
    }
    assert_int_equal(wfl_code_http(WFL_CORRUPT_OBJECT), 500); /* said in words there */
    assert_int_equal(wfl_code_http(WFL_INTERNAL), 500);
    assert_int_equal(wfl_code_http(WFL_OVERLOADED), 503);
    assert_int_equal(wfl_code_http(WFL_NOT_READY), 503);
    assert_int_equal(wfl_code_http(WFL_READ_ONLY), 503);
    assert_int_equal(wfl_code_http(WFL_OK), 200);
}

static void a_number_that_is_no_code_is_internal(void **state)
{
    (void)state;
    assert_string_equal(wfl_code_name(WFL_CODE_COUNT), "internal");
    assert_int_equal(wfl_code_http((wfl_code)9999), 500);
    assert_int_equal(wfl_code_http((wfl_code)-1), 500);
}

/* ---- messages */

static void messages_are_printable_whatever_they_quote(void **state)
{
    wfl_error err;

    (void)state;
    assert_int_equal(wfl_fail(&err, WFL_INVALID_KEY, "key '%s'", "a\n\x1b[31m\x7f\xc3\xa4z"),
                     WFL_INVALID_KEY);
    assert_int_equal(err.code, WFL_INVALID_KEY);
    assert_string_equal(err.message, "key 'a??[31m???z'");
    assert_int_equal(wfl_wrap(&err, "line\t%d", 2), WFL_INVALID_KEY);
    assert_string_equal(err.message, "line?2: key 'a??[31m???z'");
}

static void long_messages_are_cut_and_stay_texts(void **state)
{
    wfl_error err;
    char      text[600];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    wfl_fail(&err, WFL_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    wfl_wrap(&err, "step");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "step: xx", 8);
    wfl_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(wfl_wrap(&err, "again"), WFL_IO);
    assert_memory_equal(err.message, "again: again: ", 14);
}

static void the_systems_errors_become_ours(void **state)
{
    static const struct {
        int      number;
        wfl_code code;
    } cases[] = {{ENOSPC, WFL_DISK_FULL}, {EDQUOT, WFL_DISK_FULL}, {ENOMEM, WFL_NOMEM},
                 {EIO, WFL_IO},           {ENOENT, WFL_IO},        {0, WFL_IO},
                 {99999, WFL_IO}};
    wfl_error err;

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        errno = cases[i].number;
        assert_int_equal(wfl_fail_errno(&err, "open"), cases[i].code);
        assert_memory_equal(err.message, "open: ", 6);
        assert_true(strlen(err.message) > 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_of_the_protocol_has_its_status_and_a_title),
        cmocka_unit_test(the_protocol_knows_every_name_that_can_leave),
        cmocka_unit_test(a_number_that_is_no_code_is_internal),
        cmocka_unit_test(messages_are_printable_whatever_they_quote),
        cmocka_unit_test(long_messages_are_cut_and_stay_texts),
        cmocka_unit_test(the_systems_errors_become_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
