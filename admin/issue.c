/* SPDX-License-Identifier: Apache-2.0
 *
 * issue: a link is signed with --key, appended to --parent where given, and written out: as the
 * packet's text, or with --credential together with the holder's private key. The packet is judged
 * by the server's own rules before anything is written. */
#include "admin/admin.h"

#define LIST_MAX            64
#define TTL_DEFAULT_SECONDS (INT64_C(30) * 86400)

struct issue_args {
    const char *key, *parent, *to, *ttl, *delegate, *sub, *aud, *out, *endpoint, *ca, *pin, *server;
    const char *grants[LIST_MAX], *limits[LIST_MAX];
    uint32_t    has_key, has_parent, has_to, has_ttl, has_delegate, has_sub, has_aud, has_out,
        has_endpoint, has_ca, has_pin, has_server;
    uint32_t grant_count, limit_count, credential, json;
};

static int parse_args(int argc, char **argv, struct issue_args *a)
{
#define ONE(flag, place)                                                                           \
    {                                                                                              \
        .name = (flag), .has_value = true, .values = &a->place, .max = 1, .count = &a->has_##place \
    }
    const struct cli_option options[] = {
        ONE("--key", key),
        ONE("--parent", parent),
        ONE("--to", to),
        ONE("--ttl", ttl),
        ONE("--delegate", delegate),
        ONE("--sub", sub),
        ONE("--aud", aud),
        ONE("--out", out),
        ONE("--endpoint", endpoint),
        ONE("--ca", ca),
        ONE("--pin", pin),
        ONE("--server", server),
        {.name = "--grant",
         .has_value = true,
         .repeats = true,
         .values = a->grants,
         .max = LIST_MAX,
         .count = &a->grant_count},
        {.name = "--limit",
         .has_value = true,
         .repeats = true,
         .values = a->limits,
         .max = LIST_MAX,
         .count = &a->limit_count},
        {.name = "--credential", .count = &a->credential},
        {.name = "--json", .count = &a->json},
    };
#undef ONE
    struct cli_words words;
    int              status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count > 0)
        return cli_fail(CLI_USAGE, "'%s' is not expected; see --help", words.items[0]);
    if (a->key == NULL) return cli_fail(CLI_USAGE, "say which key signs: --key FILE");
    if (a->to == NULL) return cli_fail(CLI_USAGE, "say who gets it: --to JWK-FILE");
    if (a->grant_count == 0)
        return cli_fail(CLI_USAGE, "grant something: --grant 'BUCKET[:PREFIX]=OP,OP'");
    if (a->credential > 0 && a->out == NULL)
        return cli_fail(CLI_USAGE, "--credential needs --out FILE");
    if ((a->endpoint != NULL || a->ca != NULL || a->pin != NULL || a->server != NULL) &&
        a->credential == 0)
        return cli_fail(CLI_USAGE, "--endpoint, --ca, --pin and --server go with --credential");
    return CLI_DONE;
}

static int read_limit(const char *text, struct wfl_limits *limits)
{
    static const char *const names[] = {"max_object_bytes", "requests_per_second",
                                        "bytes_per_second"};
    uint64_t                *places[] = {&limits->max_object_bytes, &limits->requests_per_second,
                                         &limits->bytes_per_second};
    wfl_slice                rest = wfl_slice_str(text), name;

    if (wfl_slice_split(&rest, '=', &name)) {
        for (size_t i = 0; i < WFL_COUNT(names); i++) {
            if (!wfl_slice_eq(name, wfl_slice_str(names[i]))) continue;
            if (!wfl_slice_to_u64(rest, INT64_MAX, places[i]) || *places[i] == 0) break;
            return CLI_DONE;
        }
    }
    return cli_fail(CLI_USAGE, "--limit %s is not NAME=N with a known name and N of at least 1",
                    text);
}

/* Everything of the link that comes from words. */
static int fill_issue(const struct issue_args *a, struct wfl_grant *grants, struct wfl_issue *issue)
{
    int64_t  ttl = TTL_DEFAULT_SECONDS, now = wfl_clock_unix_ns(&wfl_clock_system) / 1000000000;
    uint64_t delegate = 0;
    int      status = CLI_DONE;

    for (uint32_t i = 0; i < a->grant_count; i++) {
        if (!cli_parse_grant(a->grants[i], &grants[i])) {
            return cli_fail(CLI_USAGE,
                            "--grant %s is not BUCKET[:PREFIX]=OP,OP; see --help for the ops",
                            a->grants[i]);
        }
    }
    issue->limits = (struct wfl_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    for (uint32_t i = 0; i < a->limit_count && status == CLI_DONE; i++)
        status = read_limit(a->limits[i], &issue->limits);
    if (status != CLI_DONE) return status;
    if (a->ttl != NULL && !cli_parse_seconds(a->ttl, &ttl)) {
        return cli_fail(CLI_USAGE, "--ttl %s is no time like 30d, 12h, 5m or 90s", a->ttl);
    }
    if (a->delegate != NULL &&
        !wfl_slice_to_u64(wfl_slice_str(a->delegate), WFL_PACKET_DELEGATE_MAX, &delegate)) {
        return cli_fail(CLI_USAGE, "--delegate takes 0 to 4");
    }
    issue->sub = wfl_slice_str(a->sub);
    issue->aud = wfl_slice_str(a->aud);
    issue->iat = now;
    issue->exp = now + ttl;
    issue->delegate = (unsigned)delegate;
    issue->grants = grants;
    issue->grant_count = a->grant_count;
    return CLI_DONE;
}

/* Never in place of another file: that could be the key which a typing mistake names. */
static int write_plain(const char *path, wfl_slice text)
{
    wfl_buf   line;
    wfl_error err = {.code = WFL_OK};
    wfl_code  rc;

    wfl_buf_init(&line, &wfl_alloc_libc, WFL_PACKET_BYTES_MAX + 1);
    wfl_buf_add(&line, text);
    wfl_buf_add_u8(&line, '\n');
    rc = wfl_buf_ok(&line) ? wfl_key_write_file(path, wfl_buf_slice(&line), &err)
                           : wfl_fail(&err, WFL_NOMEM, "out of memory");
    wfl_buf_fini(&line);
    return rc == WFL_OK ? CLI_DONE : cli_fail(CLI_FAILED, "%s", err.message);
}

static void print_issued(const struct wfl_issue *issue, wfl_slice packet, const char *out)
{
    char     jti[WFL_ULID_TEXT_LEN + 1];
    wfl_buf  text;
    wfl_json json;

    wfl_ulid_format(&issue->jti, jti);
    wfl_buf_init(&text, &wfl_alloc_libc, 64u << 10);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "jti");
    wfl_json_cstr(&json, jti);
    wfl_json_key(&json, "holder");
    wfl_json_cstr(&json, wfl_key_thumb(&issue->holder).text);
    wfl_json_key(&json, "exp");
    wfl_json_i64(&json, issue->exp);
    wfl_json_key(&json, "packet");
    wfl_json_str(&json, packet);
    if (out != NULL) {
        wfl_json_key(&json, "file");
        wfl_json_cstr(&json, out);
    }
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

static int deliver(const struct issue_args *a, const struct wfl_issue *issue, wfl_slice packet)
{
    struct wfl_key_server server = {.endpoint = wfl_slice_str(a->endpoint),
                                    .ca = wfl_slice_str(a->ca),
                                    .pin = wfl_slice_str(a->pin)};
    int                   status = admin_read_identity(a->server, &server);

    if (status != CLI_DONE) return status;
    if (a->credential > 0) {
        status = admin_write_credential(a->to, packet, &server, a->out);
    } else if (a->out != NULL) {
        status = write_plain(a->out, packet);
    }
    if (status != CLI_DONE) return status;
    if (a->json > 0) {
        print_issued(issue, packet, a->out);
    } else if (a->out == NULL) {
        printf("%.*s\n", WFL_FMT(packet));
    }
    return CLI_DONE;
}

static int sign_and_deliver(const struct issue_args *a, struct wfl_issue issue, wfl_arena *arena)
{
    struct wfl_secret      text = {0};
    struct wfl_key_pair    signer = {0};
    uint8_t                random[10];
    struct wfl_ulid_source source = {0};
    wfl_buf                packet;
    wfl_error              err = {0};
    wfl_code               rc = wfl_key_read_file(a->key, true, &text, &err);
    int                    status;

    if (rc == WFL_OK) {
        rc = wfl_key_parse_private(wfl_slice_of(text.data, text.len), arena, &signer, NULL, NULL,
                                   &err);
    }
    wfl_secret_free(&text);
    if (rc != WFL_OK) {
        return cli_fail(rc == WFL_NOT_FOUND ? CLI_NOT_FOUND : CLI_FAILED, "key %s: %s", a->key,
                        err.message);
    }
    wfl_random_fill(&wfl_random_system, random, sizeof random);
    rc = wfl_ulid_next(&source, wfl_clock_unix_ms(&wfl_clock_system), random, &issue.jti, &err);
    issue.signer = &signer;
    wfl_buf_init(&packet, &wfl_alloc_libc, WFL_PACKET_BYTES_MAX);
    if (rc == WFL_OK) rc = wfl_packet_issue(&issue, &wfl_alloc_libc, &packet, &err);
    status = rc == WFL_OK ? deliver(a, &issue, wfl_buf_slice(&packet))
                          : cli_fail(CLI_FAILED, "not issued: %s", err.message);
    wfl_buf_fini(&packet);
    wfl_key_pair_free(&signer);
    return status;
}

int admin_issue(int argc, char **argv)
{
    struct issue_args a = {0};
    struct wfl_grant  grants[LIST_MAX];
    struct wfl_issue  issue = {0};
    wfl_arena         arena;
    int               status = parse_args(argc, argv, &a);

    if (status == CLI_DONE) status = fill_issue(&a, grants, &issue);
    if (status == CLI_DONE) status = admin_read_public(a.to, &issue.holder);
    if (status != CLI_DONE) return status;
    wfl_arena_init(&arena, &wfl_alloc_libc, 256u << 10);
    if (a.parent != NULL) status = admin_read_packet(a.parent, &arena, &issue.parent);
    if (status == CLI_DONE) status = sign_and_deliver(&a, issue, &arena);
    wfl_arena_fini(&arena);
    return status;
}
