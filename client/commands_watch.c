/* SPDX-License-Identifier: Apache-2.0
 *
 * watch: a line for each change, out at once, until Ctrl-C, which is its good end. The library
 * makes lost connections again; the first time it has to, that is said. */
#include "client/commands.h"

#include <stdlib.h>

struct watching {
    const struct command *c;
    bool                  told;   /* that the connection is lost */
    bool                  failed; /* standard output does not take it */
};

static int on_change(void *ctx, const wfldb_change *change)
{
    struct watching *w = ctx;

    if (w->c->json) {
        puts(change->json);
    } else {
        printf("%s  %-6s  ", change->version, change->op);
        if (strcmp(change->op, "put") == 0)
            printf("%12llu  ", (unsigned long long)change->size);
        else
            printf("%12s  ", "-");
        puts(change->key);
    }
    w->failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    return w->failed || command_is_interrupted();
}

static int on_tick(void *ctx, const char *position, const wfldb_error *why)
{
    struct watching *w = ctx;

    (void)position;
    if (why == NULL) {
        w->told = false;
    } else if (!w->told && !w->c->quiet) {
        w->told = true;
        (void)cli_fail(CLI_FAILED, "%s; trying again", why->detail);
    }
    return command_is_interrupted();
}

int command_watch(struct command *c)
{
    struct watching             w = {.c = c};
    const wfldb_changes_options options = {
        .prefix = c->prefix, .after = c->after, .tick = on_tick, .tick_ctx = &w};
    wfldb_error err;
    int         status = command_check_bucket(c->words.items[0]);

    if (status != CLI_DONE) return status;
    command_take_signals();
    (void)wfldb_watch(c->db, c->words.items[0], &options, on_change, &w, &err);
    if (w.failed) return cli_fail(CLI_FAILED, "standard output cannot be written");
    if (strcmp(err.code, "stopped") == 0) return CLI_DONE;
    return command_failed(&err, c->words.items[0]);
}
