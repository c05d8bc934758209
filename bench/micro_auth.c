/* SPDX-License-Identifier: Apache-2.0
 *
 * What deciding about a request costs, whole and in parts, and what a remembered nonce weighs. */
#include "auth/auth_private.h"
#include "bench/micro.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES 4096
#define NONCES     1000000
#define REFUSED    1000

struct subject {
    struct wfl_key_pair       root, client;
    wfl_buf                   packet;
    struct wfl_packet        *parsed;
    struct wfl_auth          *auth;
    struct wfl_auth_header    headers[6];
    struct wfl_auth_request   request;
    struct wfl_signed_headers made;
    char                      bearer[WFL_PACKET_BYTES_MAX + 8];
    wfl_arena                 arena;
    uint8_t                   body[BODY_BYTES];
    uint8_t                   signature[WFL_SIGNATURE_LEN];
};

static void must(wfl_code rc, const wfl_error *err, const char *step)
{
    if (rc != WFL_OK) micro_die(step, err->message);
}

static void make_packet(struct subject *s, unsigned links)
{
    static const struct wfl_grant grant = {.bucket = WFL_LIT("bench"),
                                           .ops = WFL_OP_GET | WFL_OP_PUT};
    struct wfl_key_pair           signer = s->root, holder = {0};
    wfl_slice                     parent = {0};
    wfl_error                     err;
    wfl_buf                       text = {0};

    for (unsigned i = 0; i < links; i++) {
        struct wfl_issue issue = {.signer = &signer,
                                  .parent = parent,
                                  .iat = wfl_clock_unix_ns(&wfl_clock_system) / 1000000000,
                                  .delegate = links - 1 - i,
                                  .grants = &grant,
                                  .grant_count = 1,
                                  .limits = {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

        issue.exp = issue.iat + 3600;
        wfl_random_fill(&wfl_random_system, issue.jti.bytes, sizeof issue.jti.bytes);
        issue.jti.bytes[0] = 1;
        must(wfl_key_generate(&wfl_random_system, &holder, &err), &err, "key");
        issue.holder = holder.pub;
        wfl_buf_init(&text, &wfl_alloc_libc, WFL_PACKET_BYTES_MAX);
        must(wfl_packet_issue(&issue, &wfl_alloc_libc, &text, &err), &err, "issue");
        if (i > 0) {
            wfl_buf_fini(&s->packet);
            wfl_key_pair_free(&signer);
        }
        s->packet = text;
        parent = wfl_buf_slice(&text);
        signer = holder;
    }
    s->client = holder;
    must(wfl_packet_parse(wfl_buf_slice(&s->packet), &wfl_alloc_libc, &s->parsed, &err), &err,
         "parse");
}

static void make_request(struct subject *s)
{
    static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    wfl_error         err;

    s->headers[0] = (struct wfl_auth_header){WFL_S("x-wfldb-content-blake3"), wfl_slice_str(hash)};
    s->headers[1] = (struct wfl_auth_header){WFL_S("content-type"), WFL_S("text/plain")};
    s->request = (struct wfl_auth_request){.method = WFL_S("PUT"),
                                           .path = WFL_S("/v1/bench/2026/07/some-object.json"),
                                           .authority = WFL_S("127.0.0.1:7410"),
                                           .headers = s->headers,
                                           .header_count = 2,
                                           .has_body = true};
    must(wfl_auth_sign(&s->client, s->parsed->text_sha256_hex, &s->request,
                       wfl_clock_unix_ns(&wfl_clock_system), &wfl_random_system, &s->arena,
                       &s->made, &err),
         &err, "sign");
    snprintf(s->bearer, sizeof s->bearer, "Bearer %.*s", WFL_FMT(s->parsed->text));
    s->headers[2] =
        (struct wfl_auth_header){WFL_S("x-wfldb-timestamp"), wfl_slice_str(s->made.timestamp)};
    s->headers[3] = (struct wfl_auth_header){WFL_S("x-wfldb-nonce"), wfl_slice_str(s->made.nonce)};
    s->headers[4] =
        (struct wfl_auth_header){WFL_S("x-wfldb-signature"), wfl_slice_str(s->made.signature)};
    s->headers[5] = (struct wfl_auth_header){WFL_S("authorization"), wfl_slice_str(s->bearer)};
    s->request.header_count = 6;
}

static void subject_init(struct subject *s, unsigned links)
{
    struct wfl_auth_config config = {.clock = &wfl_clock_system,
                                     .random = &wfl_random_system,
                                     .alloc = &wfl_alloc_libc,
                                     .sessions_per_client_max = UINT32_MAX,
                                     .sessions_max = UINT32_MAX,
                                     .clock_skew_seconds = 3600}; /* one signature for all */
    wfl_error              err;

    *s = (struct subject){0};
    wfl_arena_init(&s->arena, &wfl_alloc_libc, 1u << 20);
    must(wfl_key_generate(&wfl_random_system, &s->root, &err), &err, "key");
    config.trust = (struct wfl_trust){.roots = &s->root.pub, .root_count = 1};
    must(wfl_auth_new(&config, &s->auth, &err), &err, "auth");
    make_packet(s, links);
    make_request(s);
}

static void subject_fini(struct subject *s)
{
    wfl_auth_free(s->auth);
    wfl_packet_unref(s->parsed);
    wfl_buf_fini(&s->packet);
    wfl_key_pair_free(&s->client);
    wfl_key_pair_free(&s->root);
    wfl_arena_fini(&s->arena);
}

/* ---- the pieces */

static void run_authenticate(void *ctx, uint64_t n)
{
    struct subject *s = ctx;
    wfl_error       err;

    for (uint64_t i = 0; i < n; i++) {
        struct wfl_identity id;

        wfl_arena_reset(&s->arena);
        must(wfl_auth_authenticate(s->auth, &s->request, &s->arena, &id, &err), &err, "decide");
        wfl_identity_fini(&id);
    }
}

static void run_packet(void *ctx, uint64_t n)
{
    struct subject  *s = ctx;
    struct wfl_trust trust = {.roots = &s->root.pub, .root_count = 1};
    int64_t          now_sec = wfl_clock_unix_ns(&wfl_clock_system) / 1000000000;
    wfl_error        err;

    for (uint64_t i = 0; i < n; i++) {
        struct wfl_packet *p;

        must(wfl_packet_parse(wfl_buf_slice(&s->packet), &wfl_alloc_libc, &p, &err), &err, "parse");
        must(wfl_packet_verify(p, &trust, now_sec, &err), &err, "verify");
        wfl_packet_unref(p);
    }
}

static void run_canonical(void *ctx, uint64_t n)
{
    struct subject *s = ctx;
    wfl_error       err;

    for (uint64_t i = 0; i < n; i++) {
        wfl_buf out = {0};

        wfl_arena_reset(&s->arena);
        out.data = wfl_arena_get(&s->arena, 4096);
        out.cap = out.max = 4096;
        must(wfl_canonical_write(&s->request, s->parsed->text_sha256_hex, &s->arena, &out, &err),
             &err, "canonical");
    }
}

static void run_verify(void *ctx, uint64_t n)
{
    struct subject *s = ctx;

    for (uint64_t i = 0; i < n; i++) {
        if (!wfl_key_verify(&s->client.pub, wfl_slice_of(s->body, 700), s->signature))
            micro_die("verify", "a signature of ours does not hold");
    }
}

static void run_sign(void *ctx, uint64_t n)
{
    struct subject *s = ctx;

    for (uint64_t i = 0; i < n; i++)
        wfl_key_sign(&s->client, wfl_slice_of(s->body, 700), s->signature);
}

static void run_credential_hash(void *ctx, uint64_t n)
{
    struct subject *s = ctx;
    uint8_t         out[32];

    for (uint64_t i = 0; i < n; i++)
        auth_sha256(s->parsed->text, out);
}

static void run_blake3(void *ctx, uint64_t n)
{
    struct subject *s = ctx;

    for (uint64_t i = 0; i < n; i++) {
        wfl_hash h = wfl_hash_of(wfl_slice_of(s->body, sizeof s->body));

        s->body[0] = h.bytes[0]; /* each depends on the one before: none is left out */
    }
}

/* ---- sessions */

struct session_subject {
    struct subject           *of;
    struct wfl_session_answer answer;
    struct wfl_secret         key;
    struct wfl_auth_header    headers[4];
    struct wfl_auth_request   request;
    char                      authorization[64];
    struct wfl_signed_headers made;
};

static void open_session(struct session_subject *s)
{
    struct wfl_session_request asked;
    struct wfl_secret          private_key = {0};
    struct wfl_identity        id;
    wfl_error                  err;

    wfl_secret_free(&s->key);
    wfl_arena_reset(&s->of->arena);
    must(wfl_auth_authenticate(s->of->auth, &s->of->request, &s->of->arena, &id, &err), &err,
         "decide");
    must(wfl_session_ask(&wfl_random_system, 60, &private_key, &asked, &err), &err, "ask");
    must(wfl_auth_open_session(s->of->auth, &id, &asked, &s->of->root, &s->answer, &err), &err,
         "open");
    must(wfl_session_accept(&private_key, &asked, &s->answer, id.packet->text_sha256_hex,
                            &s->of->root.pub, &s->key, &err),
         &err, "accept");
    wfl_secret_free(&private_key);
    wfl_identity_fini(&id);
}

static void run_open(void *ctx, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        open_session(ctx);
}

static void sign_in_session(struct session_subject *s)
{
    wfl_error err;

    s->request = (struct wfl_auth_request){.method = WFL_S("GET"),
                                           .path = WFL_S("/v1/bench/2026/07/some-object.json"),
                                           .authority = WFL_S("127.0.0.1:7410"),
                                           .headers = s->headers};
    must(wfl_session_sign(&s->key, s->answer.session, WFL_S("bench"), &s->request,
                          wfl_clock_unix_ns(&wfl_clock_system), 1, &s->of->arena, &s->made, &err),
         &err, "sign");
    snprintf(s->authorization, sizeof s->authorization, "Session %s", s->answer.session);
    s->headers[0] =
        (struct wfl_auth_header){WFL_S("x-wfldb-timestamp"), wfl_slice_str(s->made.timestamp)};
    s->headers[1] = (struct wfl_auth_header){WFL_S("x-wfldb-nonce"), wfl_slice_str(s->made.nonce)};
    s->headers[2] =
        (struct wfl_auth_header){WFL_S("x-wfldb-signature"), wfl_slice_str(s->made.signature)};
    s->headers[3] =
        (struct wfl_auth_header){WFL_S("authorization"), wfl_slice_str(s->authorization)};
    s->request.header_count = 4;
}

static void run_session(void *ctx, uint64_t n)
{
    struct session_subject *s = ctx;
    wfl_error               err;

    for (uint64_t i = 0; i < n; i++) {
        struct wfl_identity id;

        wfl_arena_reset(&s->of->arena);
        must(wfl_auth_authenticate(s->of->auth, &s->request, &s->of->arena, &id, &err), &err,
             "decide");
        wfl_identity_fini(&id);
    }
}

static void measure_sessions(struct subject *one)
{
    struct session_subject s = {.of = one};

    micro_time("open a session, both sides, and the request's decision", run_open, &s);
    open_session(&s);
    sign_in_session(&s);
    micro_time("decide about a request in a session", run_session, &s);
    wfl_secret_free(&s.key);
}

/* ---- nonces */

struct counted { /* an allocator that knows what is out */
    size_t now;
};

static void *counted_resize(void *ctx, void *old, size_t n)
{
    struct counted *c = ctx;
    size_t         *p = old == NULL ? NULL : (size_t *)old - 2;

    if (p != NULL) c->now -= *p;
    if (n == 0) {
        free(p);
        return NULL;
    }
    p = realloc(p, n + 2 * sizeof *p);
    if (p == NULL) micro_die("nonces", "out of memory");
    *p = n;
    c->now += n;
    return p + 2;
}

struct spent {
    int64_t took_ns, longest_ns;
};

static struct spent spend(struct replay *r, uint32_t first, uint32_t count, wfl_code expected)
{
    struct spent s = {0};
    wfl_error    err;
    int64_t      began = wfl_clock_mono_ns(&wfl_clock_system), at = began;

    for (uint32_t i = first; i < first + count; i++) {
        char    nonce[33];
        int64_t now;

        snprintf(nonce, sizeof nonce, "%032x", i);
        if (replay_spend(r, WFL_S("client"), wfl_slice_of(nonce, 32), 1000, 1060, &err) != expected)
            micro_die("nonces", "not the outcome expected");
        now = wfl_clock_mono_ns(&wfl_clock_system);
        if (now - at > s.longest_ns) s.longest_ns = now - at;
        at = now;
    }
    s.took_ns = at - began;
    return s;
}

static void measure_nonces(void)
{
    struct counted   counted = {0};
    struct wfl_alloc alloc = {.resize = counted_resize, .ctx = &counted};
    struct replay   *r;
    struct spent     s;
    wfl_error        err;

    must(replay_new(NONCES, NONCES * 4, &wfl_random_system, &alloc, &r, &err), &err, "nonces");
    s = spend(r, 0, NONCES, WFL_OK);
    printf("%-58s %10.2f us\n", "spend a nonce (a million of one client)",
           (double)s.took_ns / NONCES / 1000);
    printf("%-58s %10.2f us\n", "  the longest of them (a table grows)",
           (double)s.longest_ns / 1000);
    printf("%-58s %10.1f bytes\n", "  memory for each", (double)counted.now / NONCES);
    s = spend(r, NONCES, REFUSED, WFL_RATE_LIMITED);
    printf("%-58s %10.2f us\n", "refuse one for lack of room", (double)s.took_ns / REFUSED / 1000);
    replay_free(r);
}

void micro_auth(void)
{
    static struct subject one, three;
    wfl_error             err;

    must(wfl_auth_init(&err), &err, "start");
    subject_init(&one, 1);
    subject_init(&three, 3);
    micro_time("sign 700 bytes, Ed25519", run_sign, &one);
    micro_time("verify 700 bytes, Ed25519", run_verify, &one);
    micro_time("canonical request, 6 headers", run_canonical, &one);
    micro_time("SHA-256 of a packet of one link", run_credential_hash, &one);
    micro_time("parse and verify a packet of one link", run_packet, &one);
    micro_time("parse and verify a packet of three links", run_packet, &three);
    micro_time("decide about a request, packet of one link cached", run_authenticate, &one);
    micro_time("decide about a request, packet of three links cached", run_authenticate, &three);
    measure_sessions(&one);
    micro_time("BLAKE3 of 4 KiB", run_blake3, &one);
    measure_nonces();
    subject_fini(&one);
    subject_fini(&three);
}
