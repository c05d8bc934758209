/* SPDX-License-Identifier: Apache-2.0
 *
 * revoke: ends key packets at a running server. By jti or key it needs `admin`; an issuer takes
 * back what it has signed by showing it: the last link of a packet is the one that its file is
 * about. */
#include "admin/admin.h"
#include "client/cli_open.h"

#include <jansson.h>
#include <stdlib.h>

#define LINK_BYTES_MAX (64u << 10)

struct question {
    struct cli_server server;
    const char       *jti, *kid, *path, *reason;
    uint32_t has_credential, has_endpoint, has_ca, has_pin, has_jti, has_kid, has_path, has_reason,
        as_json;
};

/* NULL in *out where none is asked for. */
static int read_link(const struct question *q, wfl_arena *arena, const char **out)
{
    wfl_slice packet, link;
    bool      more = true;
    int       status;

    *out = NULL;
    if (q->path == NULL) return CLI_DONE;
    status = admin_read_packet(q->path, arena, &packet);
    if (status != CLI_DONE) return status;
    while (more)
        more = wfl_slice_split(&packet, '~', &link);
    *out = wfl_arena_cstr(arena, link);
    return *out != NULL ? CLI_DONE : cli_fail(CLI_FAILED, "revoke: out of memory");
}

static const char *text_of(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));

    return text == NULL ? "" : text;
}

static int print_entry(const char *document, bool as_json)
{
    json_t *root = json_loads(document, JSON_REJECT_DUPLICATES, NULL);
    bool    key = json_object_get(root, "kid") != NULL;

    if (root == NULL) return cli_fail(CLI_FAILED, "the server's answer is not understood");
    if (as_json)
        puts(document);
    else
        printf("revoked %s %s at %s\n", key ? "key" : "link", text_of(root, key ? "kid" : "jti"),
               text_of(root, "at"));
    json_decref(root);
    return CLI_DONE;
}

static int ask(const struct question *q, const char *link)
{
    wfldb      *db = NULL;
    char       *document = NULL;
    wfldb_error err;
    int         status = cli_open(&q->server, &db);

    if (status != CLI_DONE) return status;
    if (wfldb_revoke(db, q->jti, q->kid, link, q->reason, &document, &err) != 0)
        status = cli_call_failed(&err, "revoke");
    else
        status = print_entry(document, q->as_json > 0);
    free(document);
    wfldb_close(db);
    return status;
}

#define TEXT(option, place, times)                                                                 \
    {                                                                                              \
        .name = (option), .has_value = true, .values = &(place), .max = 1, .count = &(times)       \
    }

int admin_revoke(int argc, char **argv)
{
    struct question         q = {0};
    struct cli_words        words = {0};
    const struct cli_option options[] = {
        TEXT("--credential", q.server.credential, q.has_credential),
        TEXT("--endpoint", q.server.endpoint, q.has_endpoint),
        TEXT("--ca", q.server.ca, q.has_ca),
        TEXT("--pin", q.server.pin, q.has_pin),
        TEXT("--jti", q.jti, q.has_jti),
        TEXT("--kid", q.kid, q.has_kid),
        TEXT("--link", q.path, q.has_path),
        TEXT("--reason", q.reason, q.has_reason),
        {.name = "--json", .count = &q.as_json},
    };
    const char *link;
    wfl_arena   arena;
    int         status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count > 0 || (q.jti != NULL) + (q.kid != NULL) + (q.path != NULL) != 1)
        return cli_fail(CLI_USAGE, "use it so: wfldb-admin revoke (--jti ULID | --kid THUMBPRINT | "
                                   "--link FILE) [--reason TEXT]");
    wfl_arena_init(&arena, &wfl_alloc_libc, LINK_BYTES_MAX);
    status = read_link(&q, &arena, &link);
    if (status == CLI_DONE) status = ask(&q, link);
    wfl_arena_fini(&arena);
    return status;
}
