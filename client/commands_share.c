/* SPDX-License-Identifier: Apache-2.0
 *
 * session and share: what is printed is made to be handed on, and is as good as a credential. */
#include "client/commands.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX (64u << 10)
#define TTL_DEFAULT    3600

static int read_ttl(const struct command *c, int64_t max, int64_t *out)
{
    *out = TTL_DEFAULT;
    if (c->ttl == NULL || (cli_parse_seconds(c->ttl, out) && *out <= max)) return CLI_DONE;
    return cli_fail(CLI_USAGE, "--ttl %s is no time like 1h, 15m or 90s, up to %" PRId64 " hours",
                    c->ttl, max / 3600);
}

static void json_text(wfl_json *json, const char *name, const char *value)
{
    wfl_json_key(json, name);
    wfl_json_cstr(json, value);
}

/* ---- session */

static void print_session(const struct command *c, const wfldb_session *s)
{
    wfl_buf  text;
    wfl_json json;

    if (!c->json) {
        /* None of these can have a character that a shell reads otherwise, but the endpoint. */
        printf("WFLDB_ENDPOINT='%s'\nWFLDB_SESSION=%s\nWFLDB_SCOPE=%s\nWFLDB_MAC_KEY=%s\n"
               "WFLDB_EXPIRES=%" PRId64 "\n",
               wfldb_endpoint(c->db), s->session, s->scope, s->mac_key, s->expires);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    json_text(&json, "endpoint", wfldb_endpoint(c->db));
    json_text(&json, "session", s->session);
    json_text(&json, "scope", s->scope);
    json_text(&json, "mac_key", s->mac_key);
    wfl_json_key(&json, "expires");
    wfl_json_i64(&json, s->expires);
    wfl_json_end(&json);
    cli_print_json(&text);
    if (text.data != NULL) sodium_memzero(text.data, text.len);
    wfl_buf_fini(&text);
}

int command_session(struct command *c)
{
    wfldb_session session;
    wfldb_error   err;
    int64_t       ttl;
    int           status = read_ttl(c, WFL_SESSION_TTL_MAX, &ttl);

    if (status != CLI_DONE) return status;
    if ((c->bucket != NULL) == c->system)
        return cli_fail(CLI_USAGE, "say what the key is for: --bucket BUCKET, or --system");
    if (c->bucket != NULL) status = command_check_bucket(c->bucket);
    if (status != CLI_DONE) return status;
    if (strchr(wfldb_endpoint(c->db), '\'') != NULL)
        return cli_fail(CLI_USAGE, "an endpoint with a quote in it cannot be printed for a shell");
    if (wfldb_session_open(c->db, c->bucket, (long)ttl, &session, &err) != 0)
        return command_failed(&err, "session");
    print_session(c, &session);
    sodium_memzero(&session, sizeof session);
    return CLI_DONE;
}

/* ---- share */

static void print_shared_json(const struct command *c, const wfldb_shared *s, const char *expires)
{
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    json_text(&json, "method", c->put ? "PUT" : "GET");
    json_text(&json, "url", s->url);
    command_write_pairs(&json, "headers", s->headers, s->header_count);
    json_text(&json, "expires", expires);
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

/* The URL alone on the first line; what the uploader has to send with it behind. */
static void print_shared(const struct command *c, const wfldb_shared *s)
{
    char expires[WFL_TIME_TEXT];

    wfl_time_format_ms((uint64_t)s->expires * 1000, expires);
    if (c->json) {
        print_shared_json(c, s, expires);
    } else {
        puts(s->url);
        for (size_t i = 0; i < s->header_count; i++)
            printf("%s: %s\n", s->headers[i].name, s->headers[i].value);
    }
    if (s->packet_ends_first && !c->quiet)
        (void)cli_fail(CLI_DONE, "the credential's packet ends at %s, and the URL with it",
                       expires);
}

static int share(struct command *c, const char *bucket, const char *key, int64_t ttl,
                 const wfldb_pair *meta, const wfldb_pair *tags)
{
    const wfldb_share_options options = {.ttl_s = (long)ttl,
                                         .put = c->put,
                                         .as_of = c->as_of,
                                         .put_options = {.content_type = c->content_type,
                                                         .meta = meta,
                                                         .meta_count = c->meta_count,
                                                         .tags = tags,
                                                         .tag_count = c->tag_count,
                                                         .if_match = c->if_match,
                                                         .if_none_match = c->if_none_match,
                                                         .buffered = c->buffered}};
    wfldb_shared              shared;
    wfldb_error               err;

    if (wfldb_share(c->db, bucket, key, &options, &shared, &err) != 0)
        return command_failed(&err, c->words.items[0]);
    print_shared(c, &shared);
    wfldb_shared_free(&shared);
    return CLI_DONE;
}

static int share_with_pairs(struct command *c, const char *bucket, const char *key, int64_t ttl)
{
    wfldb_pair meta[COMMAND_PAIRS_MAX], tags[COMMAND_PAIRS_MAX];
    int        status = command_make_pairs(c->meta, c->meta_count, meta, "--meta");

    if (status != CLI_DONE) return status;
    status = command_make_pairs(c->tags, c->tag_count, tags, "--tag");
    if (status == CLI_DONE) {
        status = share(c, bucket, key, ttl, meta, tags);
        command_free_pairs(tags, c->tag_count);
    }
    command_free_pairs(meta, c->meta_count);
    return status;
}

int command_share(struct command *c)
{
    bool of_put = c->content_type != NULL || c->meta_count > 0 || c->tag_count > 0 ||
                  c->if_match != NULL || c->if_none_match || c->buffered;
    bool        of_get = c->as_of.version != NULL || c->as_of.at != NULL;
    char       *bucket;
    const char *key;
    int64_t     ttl;
    int         status = read_ttl(c, WFL_PRESIGN_SECONDS_MAX, &ttl);

    if (status != CLI_DONE) return status;
    if (c->put ? of_get : of_put) {
        return cli_fail(CLI_USAGE, c->put ? "--version and --at are for reading, not for --put"
                                          : "what is to be stored with it goes with --put");
    }
    status = command_split(c->words.items[0], true, &bucket, &key);
    if (status != CLI_DONE) return status;
    status = share_with_pairs(c, bucket, key, ttl);
    free(bucket);
    return status;
}
