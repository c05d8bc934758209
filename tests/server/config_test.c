/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings: which layer holds, and that whatever is wrong stops the start with a line that helps.
 */
#include "server/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static enum wfl_config_outcome load(char **argv, char **env, struct wfl_config *c, wfl_error *err)
{
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    return wfl_config_load(argc, argv, env, c, err);
}

static char *write_file(const char *text)
{
    char  *path = strdup("/tmp/wfl-config-XXXXXX");
    int    fd = mkstemp(path);
    size_t len = strlen(text);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
    return path;
}

static void flags_hold_over_environment_over_file(void **state)
{
    char *path = write_file(
        "# ours\nstreams_max = 10\nidle_timeout_seconds = 20 # s\r\nheader_count_max=30\n");
    char *argv[] = {"wfldb-server", "--config", path,    "--data",         "d",
                    "--root",       "r",        "--set", "streams_max=11", NULL};
    char *env[] = {"WFLDB_STREAMS_MAX=12", "WFLDB_IDLE_TIMEOUT_SECONDS=21", "WFLDB_CREDENTIAL=x",
                   "HOME=/", NULL};
    struct wfl_config c;
    wfl_error         err;

    (void)state;
    assert_int_equal(load(argv, env, &c, &err), WFL_CONFIG_SERVE);
    assert_int_equal(c.streams_max, 11);
    assert_int_equal(c.idle_timeout_seconds, 21);
    assert_int_equal(c.header_count_max, 30);
    assert_int_equal(c.connections_max, 10000);
    assert_string_equal(c.listen[0], "127.0.0.1:7410");
    assert_string_equal(c.ops_listen, "127.0.0.1:7411");
    wfl_config_fini(&c);
    unlink(path);
    free(path);
}

static void a_stronger_layer_replaces_lists(void **state)
{
    char             *argv[] = {"wfldb-server",     "--data",  "d",      "--listen", "127.0.0.1:1",
                                "--listen",         "[::1]:2", "--root", "a,b.json", "--set",
                                "audience=prod-eu", NULL};
    char             *env[] = {"WFLDB_LISTEN=127.0.0.1:9,127.0.0.1:10", "WFLDB_ROOT=x, y", NULL};
    struct wfl_config c;
    wfl_error         err;

    (void)state;
    assert_int_equal(load(argv, env, &c, &err), WFL_CONFIG_SERVE);
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.listen[1], "[::1]:2");
    assert_int_equal(c.root_count, 1);
    assert_string_equal(c.roots[0], "a,b.json");
    assert_string_equal(c.audience, "prod-eu");
    wfl_config_fini(&c);
    argv[3] = NULL;
    assert_int_equal(load(argv, env, &c, &err), WFL_CONFIG_SERVE);
    assert_int_equal(c.listen_count, 2);
    assert_int_equal(c.root_count, 2);
    assert_string_equal(c.roots[1], "y");
    wfl_config_fini(&c);
}

static void what_is_wrong_stops_the_start(void **state)
{
    static const struct {
        const char *name;
        char       *args[4];
        char       *env;
        const char *says;
    } cases[] = {
        {"unknown flag", {"--nonsense"}, NULL, "--nonsense"},
        {"word", {"serve"}, NULL, "serve"},
        {"lacks value", {"--listen"}, NULL, "--listen"},
        {"unknown setting", {"--set", "nonsense=1"}, NULL, "nonsense"},
        {"no equals", {"--set", "streams_max"}, NULL, "NAME=VALUE"},
        {"below", {"--set", "streams_max=0"}, NULL, "from 1"},
        {"above", {"--set", "streams_max=99999999"}, NULL, "to 4096"},
        {"negative", {"--set", "streams_max=-1"}, NULL, "-1"},
        {"wraps",
         {"--set", "block_cache_bytes=99999999999999999999999"},
         NULL,
         "block_cache_bytes"},
        {"typo in the environment", {NULL}, "WFLDB_STREAMSMAX=1", "streamsmax"},
        {"TLS without a certificate", {"--tls-listen", "[::1]:1"}, NULL, "--tls-cert"},
        {"a certificate without TLS", {"--tls-cert", "c"}, NULL, "--tls-listen"},
        {"TLS in the environment", {NULL}, "WFLDB_TLS_LISTEN=[::1]:1", "--tls-key"},
        {"nowhere", {"--listen", "none"}, NULL, "--listen"},
        {"no such file", {"--config", "/nonexistent/wfldb.conf"}, NULL, "/nonexistent/wfldb.conf"},
    };

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        char             *argv[] = {"wfldb-server",   "--data",         "d", "--root", "r",
                                    cases[i].args[0], cases[i].args[1], NULL};
        char             *env[] = {cases[i].env, NULL};
        struct wfl_config c;
        wfl_error         err = {0};

        if (load(argv, env, &c, &err) != WFL_CONFIG_USAGE) fail_msg("%s: accepted", cases[i].name);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: says %s", cases[i].name, err.message);
        wfl_config_fini(&c);
    }
}

static void tls_has_a_certificate_and_may_be_all(void **state)
{
    char             *argv[] = {"wfldb-server",
                                "--data",
                                "d",
                                "--root",
                                "r",
                                "--tls-cert",
                                "c",
                                "--listen",
                                "none",
                                "--tls-listen",
                                "h:1",
                                "--set",
                                "tls_key=k",
                                "--tls-listen",
                                "h:2",
                                NULL};
    char             *env[] = {"WFLDB_TLS_LISTEN=h:9", "WFLDB_TLS_CERT=x", NULL};
    struct wfl_config c;
    wfl_error         err;

    (void)state;
    assert_int_equal(load(argv, env, &c, &err), WFL_CONFIG_SERVE);
    assert_int_equal(c.listen_count, 0);
    assert_int_equal(c.tls_listen_count, 2);
    assert_string_equal(c.tls_listen[1], "h:2");
    assert_string_equal(c.tls_cert, "c");
    assert_string_equal(c.tls_key, "k");
    wfl_config_fini(&c);
}

static void data_and_a_root_are_needed(void **state)
{
    char             *no_data[] = {"wfldb-server", "--root", "r", NULL};
    char             *no_root[] = {"wfldb-server", "--data", "d", NULL};
    char             *env[] = {NULL};
    struct wfl_config c;
    wfl_error         err;

    (void)state;
    assert_int_equal(load(no_data, env, &c, &err), WFL_CONFIG_USAGE);
    assert_non_null(strstr(err.message, "--data"));
    wfl_config_fini(&c);
    assert_int_equal(load(no_root, env, &c, &err), WFL_CONFIG_USAGE);
    assert_non_null(strstr(err.message, "--root"));
    wfl_config_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_hold_over_environment_over_file),
        cmocka_unit_test(a_stronger_layer_replaces_lists),
        cmocka_unit_test(what_is_wrong_stops_the_start),
        cmocka_unit_test(tls_has_a_certificate_and_may_be_all),
        cmocka_unit_test(data_and_a_root_are_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
