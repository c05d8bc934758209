/* SPDX-License-Identifier: Apache-2.0
 *
 * wfldb: options and credential in, one command, exit code out. */
#include "client/commands.h"

#include <stdlib.h>

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
    "    put and get, above 64 MiB in parts; the same command goes on with an interrupted one:\n"
    "      --parallel N              parts at once, 1 to 16 (4)\n"
    "      --part-size SIZE          such as 64M; then content above it goes in parts (16M)\n"
    "      --no-multipart            in one piece\n"
    "      --no-resume               from the start, and leave nothing to go on with\n"
    "      --quiet                   no progress bar; cat too\n"
    "  ls [-l] [-r] [BUCKET[/PREFIX]]  buckets, or keys by '/' (-r: all below)\n"
    "      --at TIME|VERSION         as it was then\n"
    "  rm BUCKET/KEY [--if-match VERSION]\n"
    "  stat BUCKET[/KEY]             what is known of an object or a bucket\n"
    "  mb BUCKET   rb BUCKET         make, remove a bucket\n"
    "  settings BUCKET [NAME=VALUE...]  show or change them; NAME=null: the default again\n"
    "                                (an addition: the protocol names no such command)\n"
    "\n"
    "  versions BUCKET/KEY           all that are kept, newest first, deletions included\n"
    "  get, cat, stat ... --version VERSION | --at TIME|VERSION   an older content\n"
    "  rm BUCKET/KEY --version VERSION   erase that version for good\n"
    "  cp BUCKET/KEY BUCKET/KEY      copy; in one bucket no content moves, from one into another\n"
    "                                it is a download and an upload through this machine\n"
    "  mv BUCKET/KEY BUCKET/KEY      rename, at once; into another bucket: copy as cp does, then\n"
    "                                remove the source if nobody has changed it meanwhile\n"
    "      --version VERSION         (cp) an older content\n"
    "      --if-none-match  --if-match VERSION   of the target\n"
    "      --meta NAME=VALUE...  --tag NAME=VALUE...   instead of the source's\n"
    "      --buffered  --quiet\n"
    "  batch FILE|- [BUCKET]         many changes or none, as JSON: "
    "{\"ops\":[{\"op\":\"put\",...},...]};\n"
    "                                without BUCKET each op names its \"bucket\"\n"
    "  query BUCKET tag.NAME=VALUE...   objects that have all these tags; VALUE* by beginning\n"
    "      --prefix PREFIX  -l  --include meta,tags,value   (value: with --json)\n"
    "  watch BUCKET                  every change, from the oldest kept on, until Ctrl-C\n"
    "      --prefix PREFIX  --after VERSION|now  --quiet\n"
    "\n"
    "  share BUCKET/KEY              a URL: whoever has it can read the object, or with --put "
    "store "
    "it\n"
    "      --ttl TIME                for so long: 1h, up to 7d\n"
    "      --version VERSION | --at TIME|VERSION   an older content\n"
    "      --put                     and behind it, a line each, the headers that go with it;\n"
    "          --content-type TYPE  --meta NAME=VALUE...  --tag NAME=VALUE...  --if-none-match\n"
    "          --if-match VERSION  --buffered   are among them\n"
    "  session --bucket BUCKET | --system   open a session and print, for a shell to eval, a key\n"
    "                                that signs for that bucket (or system paths) and nothing "
    "else\n"
    "      --ttl TIME                for so long: 1h, up to 24h\n"
    "\n"
    "  --credential FILE   else $WFLDB_CREDENTIAL, else ~/.config/wfldb/credential.json\n"
    "  --endpoint URL      else $WFLDB_ENDPOINT, else the credential's, else "
    "http://127.0.0.1:7410\n"
    "  --ca FILE           of an https:// server: the certificates of those who may vouch for it,\n"
    "                      else $WFLDB_CA, else the credential's, else the system's\n"
    "  --pin sha256//...   besides, the hash of the public key in its certificate; else "
    "$WFLDB_PIN,\n"
    "                      else the credential's\n"
    "  --http2             HTTP/2 with prior knowledge, to an http:// server; with https:// it is\n"
    "                      agreed on\n"
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
               PARTS = 256, /* --parallel, --part-size, --no-multipart, --no-resume */
               QUIET = 512,
               GET_ALL = PARTS | QUIET,
               VERSION = 1024,
               AT = 2048,
               PREFIX = 4096,
               AFTER = 8192,
               INCLUDE = 16384,
               TTL = 32768,
               SCOPE = 65536, /* --bucket, --system */
               SHARE_PUT = 131072,
               AS_OF = VERSION | AT,
               COPY = IF_MATCH | IF_NONE_MATCH | BUFFERED | META | TAG | QUIET,
               SHARE = TTL | SHARE_PUT | CONTENT_TYPE | IF_MATCH | IF_NONE_MATCH | BUFFERED | META |
                       TAG | QUIET | AS_OF,
               PUT_ALL = CONTENT_TYPE | IF_MATCH | IF_NONE_MATCH | BUFFERED | META | TAG | GET_ALL,
};

struct global {
    struct cli_server server;
    uint32_t has_credential, has_endpoint, has_ca, has_pin, http2, json, help, has_version, has_at;
    uint32_t longer, recursive, if_none_match, buffered, has_type, has_match;
    uint32_t has_parallel, has_part_size, no_multipart, no_resume, quiet;
    uint32_t has_prefix, has_after, has_include;
    uint32_t has_bucket, has_ttl, system, put;
};

#define FLAG(option, short_form, given)                                                            \
    {                                                                                              \
        .name = (option), .also = (short_form), .count = &(given)                                  \
    }
#define ONE(option, value, given)                                                                  \
    {                                                                                              \
        .name = (option), .has_value = true, .values = &(value), .max = 1, .count = &(given)       \
    }
#define MANY(option, list, given)                                                                  \
    {                                                                                              \
        .name = (option), .has_value = true, .repeats = true, .values = (list),                    \
        .max = COMMAND_PAIRS_MAX, .count = &(given)                                                \
    }

/* `--version` alone is the program's, before something like one it is an object's. */
static bool looks_like_version(const char *word)
{
    size_t len = strlen(word);

    return len == WFL_ULID_TEXT_LEN &&
           strspn(word, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == len;
}

static bool is_version(const char *word)
{
    wfl_ulid ulid;

    return word != NULL && wfl_ulid_parse(wfl_slice_str(word), &ulid);
}

static int parse(int argc, char **argv, struct global *g, struct command *c)
{
    const struct cli_option options[] = {
        ONE("--credential", g->server.credential, g->has_credential),
        ONE("--endpoint", g->server.endpoint, g->has_endpoint),
        ONE("--ca", g->server.ca, g->has_ca),
        ONE("--pin", g->server.pin, g->has_pin),
        FLAG("--http2", NULL, g->http2),
        FLAG("--json", NULL, g->json),
        FLAG("--help", "-h", g->help),
        {.name = "--version",
         .has_value = true,
         .values = &c->as_of.version,
         .max = 1,
         .count = &g->has_version,
         .fits = looks_like_version},
        ONE("--at", c->as_of.at, g->has_at),
        FLAG("-l", "--long", g->longer),
        FLAG("-r", "--recursive", g->recursive),
        ONE("--content-type", c->content_type, g->has_type),
        ONE("--if-match", c->if_match, g->has_match),
        FLAG("--if-none-match", NULL, g->if_none_match),
        FLAG("--buffered", NULL, g->buffered),
        ONE("--parallel", c->parallel, g->has_parallel),
        ONE("--part-size", c->part_size, g->has_part_size),
        FLAG("--no-multipart", NULL, g->no_multipart),
        FLAG("--no-resume", NULL, g->no_resume),
        FLAG("--quiet", "-q", g->quiet),
        ONE("--prefix", c->prefix, g->has_prefix),
        ONE("--after", c->after, g->has_after),
        ONE("--include", c->include, g->has_include),
        ONE("--bucket", c->bucket, g->has_bucket),
        ONE("--ttl", c->ttl, g->has_ttl),
        FLAG("--system", NULL, g->system),
        FLAG("--put", NULL, g->put),
        MANY("--meta", c->meta, c->meta_count),
        MANY("--tag", c->tags, c->tag_count),
    };
    int status = cli_parse(argc, argv, options, WFL_COUNT(options), &c->words);

    g->server.http2 = g->http2 > 0;
    c->json = g->json > 0;
    c->longer = g->longer > 0;
    c->recursive = g->recursive > 0;
    c->if_none_match = g->if_none_match > 0;
    c->buffered = g->buffered > 0;
    c->no_multipart = g->no_multipart > 0;
    c->no_resume = g->no_resume > 0;
    c->quiet = g->quiet > 0;
    c->system = g->system > 0;
    c->put = g->put > 0;
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
        {PARTS, g->has_parallel, "--parallel"},
        {PARTS, g->has_part_size, "--part-size"},
        {PARTS, g->no_multipart, "--no-multipart"},
        {PARTS, g->no_resume, "--no-resume"},
        {QUIET, g->quiet, "--quiet"},
        {VERSION, g->has_version, "--version"},
        {AT, g->has_at, "--at"},
        {PREFIX, g->has_prefix, "--prefix"},
        {AFTER, g->has_after, "--after"},
        {INCLUDE, g->has_include, "--include"},
        {TTL, g->has_ttl, "--ttl"},
        {SCOPE, g->has_bucket, "--bucket"},
        {SCOPE, g->system, "--system"},
        {SHARE_PUT, g->put, "--put"},
    };

    for (size_t i = 0; i < WFL_COUNT(options); i++) {
        if (options[i].count > 0 && (allowed & options[i].bit) == 0) {
            return cli_fail(CLI_USAGE, "%s is no option of %s; see wfldb --help", options[i].name,
                            name);
        }
    }
    if (g->has_version > 0 && !is_version(c->as_of.version))
        return cli_fail(CLI_USAGE, "--version takes a version: 26 characters, as wfldb versions "
                                   "lists them");
    if (g->has_version > 0 && g->has_at > 0)
        return cli_fail(CLI_USAGE, "--version or --at, not both");
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
        {"get", GET_ALL | AS_OF, 1, 2, command_get, "get BUCKET/KEY [FILE|-]"},
        {"cat", QUIET | AS_OF, 1, 1, command_cat, "cat BUCKET/KEY"},
        {"ls", LONGER | RECURSIVE | AT, 0, 1, command_ls, "ls [-l] [-r] [BUCKET[/PREFIX]]"},
        {"rm", IF_MATCH | VERSION, 1, 1, command_rm, "rm BUCKET/KEY"},
        {"stat", AS_OF, 1, 1, command_stat, "stat BUCKET[/KEY]"},
        {"versions", 0, 1, 1, command_versions, "versions BUCKET/KEY"},
        {"cp", COPY | VERSION, 2, 2, command_cp, "cp BUCKET/KEY BUCKET/KEY"},
        {"mv", COPY, 2, 2, command_mv, "mv BUCKET/KEY BUCKET/KEY"},
        {"batch", BUFFERED, 1, 2, command_batch, "batch FILE|- [BUCKET]"},
        {"query", PREFIX | LONGER | INCLUDE, 2, CLI_WORDS_MAX, command_query,
         "query BUCKET tag.NAME=VALUE..."},
        {"watch", PREFIX | AFTER | QUIET, 1, 1, command_watch, "watch BUCKET"},
        {"share", SHARE, 1, 1, command_share, "share BUCKET/KEY [--ttl TIME] [--put]"},
        {"session", SCOPE | TTL, 0, 0, command_session, "session --bucket BUCKET | --system"},
        {"mb", 0, 1, 1, command_mb, "mb BUCKET"},
        {"rb", 0, 1, 1, command_rb, "rb BUCKET"},
        {"settings", 0, 1, CLI_WORDS_MAX, command_settings, "settings BUCKET [NAME=VALUE...]"},
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
        if (status == CLI_DONE) status = cli_open(&g->server, &c->db);
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

    wfl_auth_guard_process();
    cli_set_program("wfldb");
    if (wfl_auth_init(&err) != WFL_OK) return cli_fail(CLI_FAILED, "%s", err.message);
    status = parse(argc - 1, argv + 1, &g, &command);
    if (status != CLI_DONE) return status;
    if (g.help > 0) { return cli_print_help(help_text); }
    if (g.has_version > 0 && command.words.count == 0 && command.as_of.version == NULL) {
        puts("wfldb " WFL_VERSION);
        return cli_finish(CLI_DONE);
    }
    if (command.words.count == 0) return cli_fail(CLI_USAGE, "name a command; see wfldb --help");
    return cli_finish(run(&g, &command));
}
