/* SPDX-License-Identifier: Apache-2.0
 *
 * wfldb: options and credential in, one command, exit code out. */
#include "client/commands.h"

#include <stdlib.h>
#include <sys/prctl.h>

static const char help_text[] =
    "Usage: wfldb [OPTIONS] COMMAND ...\n"
    "\n"
    "  put FILE|- BUCKET/KEY         store a file or standard input; below BUCKET or "
    "BUCKET/FOLDER/\n"
    "                                a file keeps its name\n"
    "      --content-type TYPE  --meta NAME=VALUE...  --tag NAME=VALUE...\n"
    "      --if-none-match           only where the key has no object\n"
    "      --if-match VERSION        only in place of that version\n"
    "      --buffered                acknowledged before it is on stable storage\n"
    "  get BUCKET/KEY [FILE|-]       fetch into a file (default: the key's last part)\n"
    "  cat BUCKET/KEY                fetch to standard output\n"
    "  ls [-l] [-r] [BUCKET[/PREFIX]]  buckets, or keys by '/' (-r: all below)\n"
    "  rm BUCKET/KEY [--if-match VERSION]\n"
    "  stat BUCKET[/KEY]             what is known of an object or a bucket\n"
    "  mb BUCKET   rb BUCKET         make, remove a bucket\n"
    "\n"
    "  --credential FILE   else $WFLDB_CREDENTIAL, else ~/.config/wfldb/credential.json\n"
    "  --endpoint URL      else $WFLDB_ENDPOINT, else the credential's, else "
    "http://127.0.0.1:7410\n"
    "  --http2             HTTP/2 with prior knowledge\n"
    "  --json              print JSON\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused by the server, 4 not found.\n";

enum allowed { /* options that some commands take; those of all are not here */
               LONGER = 1,
               RECURSIVE = 2,
               CONTENT_TYPE = 4,
               IF_MATCH = 8,
               IF_NONE_MATCH = 16,
               BUFFERED = 32,
               META = 64,
               TAG = 128,
               PUT_ALL = CONTENT_TYPE | IF_MATCH | IF_NONE_MATCH | BUFFERED | META | TAG,
};

struct global {
    const char *credential, *endpoint;
    uint32_t    has_credential, has_endpoint, http2, json, help, version;
    uint32_t    longer, recursive, if_none_match, buffered, has_type, has_match;
};

static int parse(int argc, char **argv, struct global *g, struct command *c)
{
    const struct cli_option options[] = {
        {.name = "--credential",
         .has_value = true,
         .values = &g->credential,
         .max = 1,
         .count = &g->has_credential},
        {.name = "--endpoint",
         .has_value = true,
         .values = &g->endpoint,
         .max = 1,
         .count = &g->has_endpoint},
        {.name = "--http2", .count = &g->http2},
        {.name = "--json", .count = &g->json},
        {.name = "--help", .also = "-h", .count = &g->help},
        {.name = "--version", .count = &g->version},
        {.name = "-l", .also = "--long", .count = &g->longer},
        {.name = "-r", .also = "--recursive", .count = &g->recursive},
        {.name = "--content-type",
         .has_value = true,
         .values = &c->content_type,
         .max = 1,
         .count = &g->has_type},
        {.name = "--if-match",
         .has_value = true,
         .values = &c->if_match,
         .max = 1,
         .count = &g->has_match},
        {.name = "--if-none-match", .count = &g->if_none_match},
        {.name = "--buffered", .count = &g->buffered},
        {.name = "--meta",
         .has_value = true,
         .repeats = true,
         .values = c->meta,
         .max = COMMAND_PAIRS_MAX,
         .count = &c->meta_count},
        {.name = "--tag",
         .has_value = true,
         .repeats = true,
         .values = c->tags,
         .max = COMMAND_PAIRS_MAX,
         .count = &c->tag_count},
    };
    int status = cli_parse(argc, argv, options, WFL_COUNT(options), &c->words);

    c->json = g->json > 0;
    c->longer = g->longer > 0;
    c->recursive = g->recursive > 0;
    c->if_none_match = g->if_none_match > 0;
    c->buffered = g->buffered > 0;
    return status;
}

static int open_handle(const struct global *g, struct command *c)
{
    struct cli_credential credential;
    struct wfl_secret     text = {0};
    const char           *endpoint = g->endpoint;
    wfldb_error           why;
    wfl_error             err = {0};
    int                   status = cli_load_credential(g->credential, &credential);

    if (status == CLI_DONE && wfl_key_write_private(&credential.key, credential.packet,
                                                    credential.endpoint, &text, &err) != WFL_OK) {
        status = cli_fail(CLI_FAILED, "%s", err.message);
    }
    if (endpoint == NULL) endpoint = getenv("WFLDB_ENDPOINT");
    if (endpoint != NULL && *endpoint == '\0') endpoint = NULL;
    if (status == CLI_DONE) {
        c->db = wfldb_open(&(wfldb_options){.endpoint = endpoint,
                                            .credential = (const char *)text.data,
                                            .credential_len = text.len,
                                            .http2 = g->http2 > 0},
                           &why);
        if (c->db == NULL) status = cli_fail(CLI_USAGE, "%s", why.detail);
    }
    wfl_secret_free(&text);
    cli_credential_fini(&credential);
    return status;
}

/* An option that would be ignored is a mistake: `rm -r` must not remove one key and say "done". */
static int check_options(const struct global *g, const struct command *c, const char *name,
                         unsigned allowed)
{
    const struct {
        enum allowed bit;
        uint32_t     count;
        const char  *name;
    } options[] = {
        {LONGER, g->longer, "-l"},
        {RECURSIVE, g->recursive, "-r"},
        {CONTENT_TYPE, g->has_type, "--content-type"},
        {IF_MATCH, g->has_match, "--if-match"},
        {IF_NONE_MATCH, g->if_none_match, "--if-none-match"},
        {BUFFERED, g->buffered, "--buffered"},
        {META, c->meta_count, "--meta"},
        {TAG, c->tag_count, "--tag"},
    };

    for (size_t i = 0; i < WFL_COUNT(options); i++) {
        if (options[i].count > 0 && (allowed & options[i].bit) == 0) {
            return cli_fail(CLI_USAGE, "%s is no option of %s; see wfldb --help", options[i].name,
                            name);
        }
    }
    return CLI_DONE;
}

static int run(const struct global *g, struct command *c)
{
    static const struct {
        const char *name;
        unsigned    allowed;
        uint32_t    min, max; /* words behind it */
        int (*run)(struct command *c);
        const char *usage;
    } commands[] = {
        {"put", PUT_ALL, 2, 2, command_put, "put FILE|- BUCKET/KEY"},
        {"get", 0, 1, 2, command_get, "get BUCKET/KEY [FILE|-]"},
        {"cat", 0, 1, 1, command_cat, "cat BUCKET/KEY"},
        {"ls", LONGER | RECURSIVE, 0, 1, command_ls, "ls [-l] [-r] [BUCKET[/PREFIX]]"},
        {"rm", IF_MATCH, 1, 1, command_rm, "rm BUCKET/KEY"},
        {"stat", 0, 1, 1, command_stat, "stat BUCKET[/KEY]"},
        {"mb", 0, 1, 1, command_mb, "mb BUCKET"},
        {"rb", 0, 1, 1, command_rb, "rb BUCKET"},
    };
    const char *name = c->words.items[0];
    int         status;

    for (size_t i = 0; i < WFL_COUNT(commands); i++) {
        if (strcmp(name, commands[i].name) != 0) continue;
        c->words.count--;
        memmove(c->words.items, c->words.items + 1, c->words.count * sizeof c->words.items[0]);
        if (c->words.count < commands[i].min || c->words.count > commands[i].max) {
            return cli_fail(CLI_USAGE, "use it so: wfldb %s", commands[i].usage);
        }
        status = check_options(g, c, name, commands[i].allowed);
        if (status == CLI_DONE) status = open_handle(g, c);
        if (status == CLI_DONE) status = commands[i].run(c);
        wfldb_close(c->db);
        return status;
    }
    return cli_fail(CLI_USAGE, "'%s' is no command; see wfldb --help", name);
}

int main(int argc, char **argv)
{
    static struct command command;
    struct global         g = {0};
    wfl_error             err = {.code = WFL_OK};
    int                   status;

    (void)prctl(PR_SET_DUMPABLE, 0);
    cli_set_program("wfldb");
    if (wfl_auth_init(&err) != WFL_OK) return cli_fail(CLI_FAILED, "%s", err.message);
    status = parse(argc - 1, argv + 1, &g, &command);
    if (status != CLI_DONE) return status;
    if (g.help > 0) {
        fputs(help_text, stdout);
        return cli_finish(CLI_DONE);
    }
    if (g.version > 0) {
        puts("wfldb " WFL_VERSION);
        return cli_finish(CLI_DONE);
    }
    if (command.words.count == 0) return cli_fail(CLI_USAGE, "name a command; see wfldb --help");
    return cli_finish(run(&g, &command));
}
