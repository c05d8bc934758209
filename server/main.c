/* SPDX-License-Identifier: Apache-2.0
 *
 * wfldb-server: settings in, serve until SIGTERM or SIGINT, finish what is under way, exit 0.
 * Exit codes: 0 done, 1 could not start, 2 used wrongly. */
#include "server/server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_USAGE = 2 };

/* As many files as the system lets us have: connections are bounded by a setting, not by surprise.
 */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Blocked in every thread, taken by sigwait in the first: no handler runs between two instructions
 * of anything. */
static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void wait_for_end(const sigset_t *set, struct wfl_server *server, struct wfl_log *log,
                         int argc, char **argv)
{
    for (;;) {
        int number = 0;

        if (sigwait(set, &number) != 0) continue;
        if (number != SIGHUP) {
            wfl_log_text(log, WFL_LOG_INFO, "stopping", "signal %d", number);
            return;
        }
        wfl_log_text(log, WFL_LOG_INFO, "reload", "reading what may change while serving");
        wfl_server_reload(server, argc, argv, environ);
    }
}

static int serve(const struct wfl_config *config, int argc, char **argv)
{
    static struct wfl_server server;
    struct wfl_log          *log = NULL;
    wfl_error                err = {0};
    sigset_t                 signals;
    wfl_code                 rc;

    block_signals(&signals);
    rc = wfl_auth_init(&err);
    if (rc != WFL_OK) {
        fprintf(stderr, "wfldb-server: %s\n", err.message);
        return EXIT_FAILURE;
    }
    rc = wfl_server_prepare(config, &server, &err);
    if (rc == WFL_OK) rc = wfl_log_new(STDERR_FILENO, &wfl_clock_system, &log, &err);
    if (rc == WFL_OK) rc = wfl_server_start(&server, log, &err);
    if (rc == WFL_OK) wait_for_end(&signals, &server, log, argc, argv);
    wfl_server_stop(&server);
    if (rc == WFL_OK) wfl_log_text(log, WFL_LOG_INFO, "stopped", "all requests finished");
    wfl_log_free(log);
    if (rc != WFL_OK) fprintf(stderr, "wfldb-server: %s\n", err.message);
    return rc == WFL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct wfl_config config;
    wfl_error         err = {0};
    int               status = EXIT_SUCCESS;

    wfl_auth_guard_process();
    umask(077);
    raise_file_limit();
    switch (wfl_config_load(argc, argv, environ, &config, &err)) {
    case WFL_CONFIG_SERVE:
        status = serve(&config, argc, argv);
        break;
    case WFL_CONFIG_HELP:
    case WFL_CONFIG_VERSION:
        break;
    case WFL_CONFIG_USAGE:
        fprintf(stderr, "wfldb-server: %s\n", err.message);
        status = EXIT_USAGE;
        break;
    }
    wfl_config_fini(&config);
    return status;
}
