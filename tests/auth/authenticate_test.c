/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision about a request: what is refused, and which refusal it is where two apply; the
 * window of time, to the nanosecond; the cache of packets, of which what may change is judged on
 * each use. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

/* ---- a request, with everything in it that can be wrong */

struct plan { /* NULL: as it should be */
    const char *packet, *scheme, *stamp, *nonce, *signature, *path, *query, *blake3, *sha256;
    const char *more_name, *more_value; /* a header, sent twice */
    bool        no_credential, has_body;
};

struct fault {
    const char *name;
    wfl_code    code;
    struct plan plan;
};

struct rig {
    struct fixture        *f;
    struct wfl_key_pair    root, client, stranger;
    struct wfl_auth       *auth;
    const char            *packet;
    bool                   revoked; /* every link */
    uint64_t               epoch;   /* 0: revocations have none */
    unsigned               asked;
    struct wfl_revocations revocations;
};

static bool is_revoked(void *ctx, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder)
{
    (void)jti, (void)kid, (void)holder;
    ((struct rig *)ctx)->asked++;
    return ((struct rig *)ctx)->revoked;
}

static uint64_t epoch_of(void *ctx)
{
    return ((struct rig *)ctx)->epoch;
}

static wfl_code open_auth(struct rig *r, uint32_t cache_max)
{
    r->revocations = (struct wfl_revocations){is_revoked, epoch_of, r};
    return wfl_auth_new(&(struct wfl_auth_config){.trust = {.roots = &r->root.pub,
                                                            .root_count = 1,
                                                            .audience = WFL_S("here"),
                                                            .revocations = &r->revocations},
                                                  .packet_cache_max = cache_max,
                                                  .clock = &r->f->clock,
                                                  .random = &r->f->random,
                                                  .alloc = &r->f->alloc},
                        &r->auth, &r->f->err);
}

static void rig_open(struct rig *r, struct fixture *f)
{
    static char packet[8200];

    *r = (struct rig){.f = f, .root = key_of(1), .client = key_of(2), .stranger = key_of(3)};
    snprintf(packet, sizeof packet, "%s", packet_of(&r->root, &r->client));
    r->packet = packet;
    assert_code(open_auth(r, 0), WFL_OK);
}

static void rig_close(struct rig *r)
{
    wfl_auth_free(r->auth);
    wfl_key_pair_free(&r->root);
    wfl_key_pair_free(&r->client);
    wfl_key_pair_free(&r->stranger);
}

/* RFC 3339 with nine decimals. */
static const char *stamp_of(int64_t ns)
{
    static char texts[4][WFL_TIME_TEXT];
    static int  at;
    char        whole[WFL_TIME_TEXT], *out = texts[at++ % 4];

    wfl_time_format_ms((uint64_t)(ns / 1000000), whole);
    snprintf(out, WFL_TIME_TEXT, "%.19s.%09dZ", whole, (int)(ns % SECOND));
    return out;
}

static const char *or_else(const char *given, const char *fallback)
{
    return given != NULL ? given : fallback;
}

struct ask {
    struct wfl_auth_header  headers[12];
    struct wfl_auth_request request;
    char                    authorization[9000], signature[90];
};

static void add_header(struct ask *a, const char *name, const char *value)
{
    if (value == NULL) return;
    a->headers[a->request.header_count++] =
        (struct wfl_auth_header){wfl_slice_str(name), wfl_slice_str(value)};
}

/* As a client that signs whatever it sends, rightly where that can be done at all. */
static void sign(struct ask *a, const struct rig *r, const char *packet)
{
    char      hex[65];
    uint8_t   signature[64];
    wfl_arena arena;
    wfl_buf   text;
    wfl_error err;

    wfl_auth_sha256_hex(wfl_slice_str(packet), hex);
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
    (void)!wfl_canonical_write(&a->request, hex, &arena, &text, &err);
    wfl_key_sign(&r->client, wfl_buf_slice(&text), signature);
    wfl_b64u_encode(wfl_slice_of(signature, 64), a->signature);
    wfl_buf_fini(&text);
    wfl_arena_fini(&arena);
}

static void build(struct ask *a, const struct rig *r, const struct plan *p)
{
    const char *packet = or_else(p->packet, r->packet);

    memset(a, 0, sizeof *a);
    a->request = (struct wfl_auth_request){
        .method = WFL_S("GET"),
        .path = wfl_slice_str(or_else(p->path, "/v1/photos/a")),
        .query = wfl_slice_str(p->query),
        .authority = WFL_S("localhost:7410"),
        .headers = a->headers,
        .has_body = p->has_body,
    };
    add_header(a, "x-wfldb-timestamp", or_else(p->stamp, stamp_of(r->f->now_ns)));
    add_header(a, "x-wfldb-nonce", or_else(p->nonce, "0123456789abcdef"));
    add_header(a, "X-WflDB-Content-BLAKE3", p->blake3);
    add_header(a, "X-WflDB-Content-SHA256", p->sha256);
    add_header(a, or_else(p->more_name, ""), p->more_value);
    add_header(a, or_else(p->more_name, ""), p->more_value);
    sign(a, r, packet);
    snprintf(a->authorization, sizeof a->authorization, "%s %s", or_else(p->scheme, "Bearer"),
             packet);
    if (!p->no_credential) add_header(a, "Authorization", a->authorization);
    add_header(a, "x-wfldb-signature", or_else(p->signature, a->signature));
}

static wfl_code decide(struct rig *r, const struct ask *a, struct wfl_identity *id)
{
    wfl_arena arena;
    wfl_code  rc;

    memset(id, 0, sizeof *id);
    wfl_arena_init(&arena, &r->f->alloc, 1u << 20);
    rc = wfl_auth_authenticate(r->auth, &a->request, &arena, id, &r->f->err);
    if (rc != WFL_OK) {
        assert_int_equal(r->f->err.code, rc);
        assert_null(id->packet);
        assert_int_equal(id->nonce.len, 0);
    }
    id->nonce = (wfl_slice){0}; /* lay in the arena */
    wfl_arena_fini(&arena);
    return rc;
}

static wfl_code ask(struct rig *r, const struct plan *p)
{
    static struct ask   a;
    struct wfl_identity id;
    wfl_code            rc;

    build(&a, r, p);
    rc = decide(r, &a, &id);
    wfl_identity_fini(&id);
    return rc;
}

/* ---- which refusal */

#define HASH64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SIG86                                                                                      \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* In the order in which they are decided. Those with the same `step` change the same part of a
 * request, so that no two of them go together. */
static const struct {
    int          step;
    struct fault fault;
} faults[] = {
    {0, {"If-Match twice", WFL_DUPLICATE_HEADER, {.more_name = "If-Match", .more_value = "*"}}},
    {0, {"nonce twice", WFL_DUPLICATE_HEADER, {.more_name = "X-WflDB-Nonce", .more_value = "x"}}},
    {0,
     {"a credential twice",
      WFL_DUPLICATE_HEADER,
      {.more_name = "authorization", .more_value = "x"}}},
    {0,
     {"metadata twice", WFL_DUPLICATE_HEADER, {.more_name = "x-wfldb-meta-a", .more_value = ""}}},
    {0,
     {"the bare prefix twice", WFL_DUPLICATE_HEADER, {.more_name = "X-WflDB-", .more_value = "x"}}},
    {1, {"hash too short", WFL_INVALID_HEADER, {.blake3 = "00"}}},
    {1,
     {"hash in upper case",
      WFL_INVALID_HEADER,
      {.sha256 = "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef"}}},
    {1, {"both hashes", WFL_INVALID_HEADER, {.blake3 = HASH64, .sha256 = HASH64}}},
    {1, {"Unsigned", WFL_INVALID_HEADER, {.sha256 = "Unsigned"}}},
    {1, {"no hash for a body", WFL_INVALID_HEADER, {.has_body = true}}},
    {2, {"no credential", WFL_CREDENTIAL_MISSING, {.no_credential = true}}},
    {2, {"another scheme", WFL_CREDENTIAL_MISSING, {.scheme = "Basic"}}},
    {2, {"a session", WFL_SESSION_UNKNOWN, {.scheme = "Session"}}},
    {2, {"no packet", WFL_PACKET_MALFORMED, {.packet = "x"}}},
    {2, {"a space more", WFL_PACKET_MALFORMED, {.scheme = "Bearer "}}},
    {3, {"no time", WFL_TIMESTAMP_MALFORMED, {.stamp = "2025-11-24 16:00:00Z"}}},
    {3, {"long ago", WFL_TIMESTAMP_SKEW, {.stamp = "1999-01-01T00:00:00Z"}}},
    {3, {"in ages", WFL_TIMESTAMP_SKEW, {.stamp = "9999-12-31T23:59:59Z"}}},
    {4, {"short nonce", WFL_NONCE_MALFORMED, {.nonce = "0123456789abcde"}}},
    {4, {"slash in the nonce", WFL_NONCE_MALFORMED, {.nonce = "0123456789abcdef/"}}},
    {5, {"no signature text", WFL_SIGNATURE_MALFORMED, {.signature = "x"}}},
    {5, {"a padded signature", WFL_SIGNATURE_MALFORMED, {.signature = SIG86 "=="}}},
    {6, {"a bad escape in the path", WFL_INVALID_REQUEST, {.path = "/v1/photos/%zz"}}},
    {6, {"an encoded slash", WFL_INVALID_KEY, {.path = "/v1/photos/a%2fb"}}},
    {7, {"a bad escape in the query", WFL_INVALID_REQUEST, {.query = "prefix=%1"}}},
    {8, {"another signature", WFL_SIGNATURE_INVALID, {.signature = SIG86}}},
};

static const char *first_of(const char *a, const char *b)
{
    return a != NULL ? a : b;
}

static struct plan both(const struct plan *a, const struct plan *b)
{
    return (struct plan){
        .packet = first_of(a->packet, b->packet),
        .scheme = first_of(a->scheme, b->scheme),
        .stamp = first_of(a->stamp, b->stamp),
        .nonce = first_of(a->nonce, b->nonce),
        .signature = first_of(a->signature, b->signature),
        .path = first_of(a->path, b->path),
        .query = first_of(a->query, b->query),
        .blake3 = first_of(a->blake3, b->blake3),
        .sha256 = first_of(a->sha256, b->sha256),
        .more_name = first_of(a->more_name, b->more_name),
        .more_value = first_of(a->more_value, b->more_value),
        .no_credential = a->no_credential || b->no_credential,
        .has_body = a->has_body || b->has_body,
    };
}

static void the_first_failure_in_the_order_ends_it(void **state)
{
    struct rig  r;
    struct plan good = {0};

    rig_open(&r, *state);
    assert_code(ask(&r, &good), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(faults); i++) {
        const struct fault *first = &faults[i].fault;

        if (ask(&r, &first->plan) != first->code)
            fail_msg("%s: %s", first->name, wfl_code_name(r.f->err.code));
        for (size_t j = i + 1; j < WFL_COUNT(faults); j++) {
            const struct fault *second = &faults[j].fault;
            struct plan         plan = both(&first->plan, &second->plan);

            if (faults[i].step == faults[j].step) continue;
            if (faults[i].step == 5 && faults[j].step == 8) continue; /* one header */
            if (ask(&r, &plan) != first->code)
                fail_msg("%s and %s: %s", first->name, second->name, wfl_code_name(r.f->err.code));
        }
    }
    rig_close(&r);
}

/* What a chain is refused for stands before the timestamp, in its own order. */
static void a_packet_is_judged_before_time_and_signature(void **state)
{
    static const char all[] = "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]";
    struct rig        r;

    rig_open(&r, *state);
    const char *stranger = packet_of(&r.stranger, &r.client);
    const char *forged =
        link_of(NULL, &r.stranger, header_of(&r.root), payload_of(&r.client, all, ""));
    const char *more =
        link_of(packet_of(&r.root, &r.stranger), &r.stranger, header_of(&r.stranger),
                payload_of(&r.client, "[{\"bucket\":\"*\",\"ops\":[\"watch\"]}]", ""));
    const struct fault cases[] = {
        {"untrusted", WFL_PACKET_UNTRUSTED, {.packet = stranger}},
        {"forged", WFL_PACKET_SIGNATURE, {.packet = forged}},
        {"escalating", WFL_PACKET_ESCALATION, {.packet = more}},
    };
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct plan plan = cases[i].plan;

        plan.stamp = "x";
        plan.nonce = "x";
        plan.signature = "x";
        plan.path = "/%zz";
        assert_code(ask(&r, &plan), cases[i].code);
    }
    assert_code(ask(&r, &(struct plan){0}), WFL_OK);
    r.revoked = true; /* holds for a packet that is known already */
    assert_code(ask(&r, &(struct plan){.stamp = "x"}), WFL_PACKET_REVOKED);
    r.revoked = false;
    assert_code(ask(&r, &(struct plan){0}), WFL_OK);
    r.f->now_ns += 86400 * SECOND - 1;
    assert_code(ask(&r, &(struct plan){0}), WFL_OK); /* its last nanosecond */
    r.f->now_ns += 1;
    assert_code(ask(&r, &(struct plan){.stamp = "x"}), WFL_PACKET_EXPIRED);
    rig_close(&r);
}

static void the_grace_is_on_the_lower_bound_only(void **state)
{
    struct rig r;

    rig_open(&r, *state);
    r.f->now_ns = ((int64_t)NOW_SEC - 31) * SECOND;
    wfl_auth_free(r.auth);
    assert_code(open_auth(&r, 0), WFL_OK); /* started then */
    assert_code(ask(&r, &(struct plan){0}), WFL_PACKET_NOT_YET_VALID);
    r.f->now_ns += SECOND;
    assert_code(ask(&r, &(struct plan){0}), WFL_OK);
    rig_close(&r);
}

/* ---- time */

static void the_window_is_what_it_says(void **state)
{
    static const struct {
        const char *name;
        int64_t     off_ns;
        wfl_code    code;
    } cases[] = {
        {"60 s ahead", 60 * SECOND, WFL_OK},
        {"60 s ahead and 1 ns", 60 * SECOND + 1, WFL_TIMESTAMP_SKEW},
        {"60 s behind", -60 * SECOND, WFL_OK},
        {"60 s behind and 1 ns", -60 * SECOND - 1, WFL_TIMESTAMP_SKEW},
    };
    struct rig r;

    rig_open(&r, *state);
    r.f->now_ns += 1000 * SECOND + 123456789;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct plan plan = {.stamp = stamp_of(r.f->now_ns + cases[i].off_ns)};

        if (ask(&r, &plan) != cases[i].code) fail_msg("%s", cases[i].name);
    }
    rig_close(&r);
}

static void what_is_dated_before_the_start_is_refused(void **state)
{
    struct rig  r;
    struct plan before = {0}, at = {0};

    rig_open(&r, *state);
    before.stamp = stamp_of(r.f->now_ns - 1);
    at.stamp = stamp_of(r.f->now_ns);
    r.f->now_ns += 10 * SECOND; /* well inside of the window */
    assert_code(ask(&r, &before), WFL_TIMESTAMP_SKEW);
    assert_code(ask(&r, &at), WFL_OK);
    rig_close(&r);
}

/* While a timestamp is accepted its nonce is remembered: at no instant is there a gap. */
static void a_nonce_lives_as_long_as_its_timestamp(void **state)
{
    static const int64_t offsets[] = {-60 * SECOND, -SECOND / 2,     0,          1,
                                      SECOND - 1,   59 * SECOND + 7, 60 * SECOND};
    struct rig           r;

    rig_open(&r, *state);
    r.f->now_ns += 1000 * SECOND + 999999999;
    for (size_t i = 0; i < WFL_COUNT(offsets); i++) {
        static struct ask   a;
        struct wfl_identity id;
        char                nonce[33];
        int64_t             stamp = r.f->now_ns + offsets[i];

        snprintf(nonce, sizeof nonce, "nonce-number-%zu-----", i);
        build(&a, &r, &(struct plan){.stamp = stamp_of(stamp), .nonce = nonce});
        assert_code(decide(&r, &a, &id), WFL_OK);
        id.nonce = wfl_slice_str(nonce);
        assert_code(wfl_auth_spend_nonce(r.auth, &id, &r.f->err), WFL_OK);
        assert_code(wfl_auth_spend_nonce(r.auth, &id, &r.f->err), WFL_REPLAYED);
        r.f->now_ns = stamp + 60 * SECOND; /* the last instant */
        assert_code(wfl_auth_spend_nonce(r.auth, &id, &r.f->err), WFL_REPLAYED);
        wfl_identity_fini(&id);
        assert_code(decide(&r, &a, &id), WFL_OK);
        wfl_identity_fini(&id);
        r.f->now_ns += 1;
        assert_code(decide(&r, &a, &id), WFL_TIMESTAMP_SKEW);
    }
    rig_close(&r);
}

/* ---- what is found out */

static void the_identity_says_who_and_what(void **state)
{
    static struct ask   a;
    struct rig          r;
    struct wfl_identity id;

    rig_open(&r, *state);
    build(&a, &r, &(struct plan){.sha256 = HASH64, .has_body = true});
    assert_code(decide(&r, &a, &id), WFL_OK);
    assert_string_equal(id.client.text, wfl_key_thumb(&r.client.pub).text);
    assert_int_equal(id.content, WFL_CONTENT_SHA256);
    assert_int_equal(id.content_hash[1], 0x23);
    assert_int_equal(id.timestamp.sec, NOW_SEC);
    wfl_identity_fini(&id);
    wfl_identity_fini(&id); /* accepts zero */
    build(&a, &r, &(struct plan){.blake3 = "unsigned", .has_body = true});
    assert_code(decide(&r, &a, &id), WFL_OK);
    assert_int_equal(id.content, WFL_CONTENT_UNSIGNED);
    wfl_identity_fini(&id);
    build(&a, &r, &(struct plan){.blake3 = HASH64});
    assert_code(decide(&r, &a, &id), WFL_OK);
    assert_int_equal(id.content, WFL_CONTENT_BLAKE3);
    wfl_identity_fini(&id);
    rig_close(&r);
}

/* The text is made in memory of a known size: what would pass it is refused, whatever it is. */
static void a_head_too_large_to_sign_is_refused(void **state)
{
    static char query[90000];
    struct rig  r;

    rig_open(&r, *state);
    memset(query, 'q', sizeof query - 1);
    assert_code(ask(&r, &(struct plan){.query = query}), WFL_HEADER_TOO_LARGE);
    query[80000] = '\0';
    assert_code(ask(&r, &(struct plan){.query = query}), WFL_OK);
    rig_close(&r);
}

static void no_message_repeats_a_credential(void **state)
{
    struct rig r;

    rig_open(&r, *state);
    for (size_t i = 0; i < WFL_COUNT(faults); i++) {
        assert_code(ask(&r, &faults[i].fault.plan), faults[i].fault.code);
        assert_null(strstr(r.f->err.message, "eyJ")); /* how a link begins */
        assert_null(strstr(r.f->err.message, "AAAAAAAA"));
        assert_true(r.f->err.message[0] != '\0');
    }
    rig_close(&r);
}

/* ---- the cache of packets */

static void known_packets_are_found_and_few_are_kept(void **state)
{
    struct rig            r;
    struct wfl_auth_stats stats;
    char                  packets[40][700];

    rig_open(&r, *state);
    wfl_auth_free(r.auth);
    assert_code(open_auth(&r, 16), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(packets); i++) {
        char more[40];

        snprintf(more, sizeof more, ",\"limits\":{\"bytes_per_second\":%zu}", i + 1);
        snprintf(packets[i], sizeof packets[i], "%s",
                 link_of(NULL, &r.root, header_of(&r.root),
                         payload_of(&r.client, "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]", more)));
        assert_code(ask(&r, &(struct plan){.packet = packets[i]}), WFL_OK);
        assert_code(ask(&r, &(struct plan){.packet = packets[i]}), WFL_OK);
        wfl_auth_stats(r.auth, &stats);
        assert_int_equal(stats.packet_hits, i + 1);
        assert_int_equal(stats.packet_misses, i + 1);
        assert_in_range(stats.packets_cached, 1, 16);
    }
    for (size_t i = 0; i < WFL_COUNT(packets); i++) /* those that gave way hold as before */
        assert_code(ask(&r, &(struct plan){.packet = packets[i]}), WFL_OK);
    rig_close(&r);
}

static void what_does_not_hold_takes_no_place(void **state)
{
    struct rig            r;
    struct wfl_auth_stats stats;

    rig_open(&r, *state);
    assert_code(ask(&r, &(struct plan){.packet = packet_of(&r.stranger, &r.client)}),
                WFL_PACKET_UNTRUSTED);
    assert_code(ask(&r, &(struct plan){.packet = "x"}), WFL_PACKET_MALFORMED);
    r.revoked = true;
    assert_code(ask(&r, &(struct plan){0}), WFL_PACKET_REVOKED);
    wfl_auth_stats(r.auth, &stats);
    assert_int_equal(stats.packets_cached, 0);
    rig_close(&r);
}

static void a_packet_in_use_survives_giving_way(void **state)
{
    struct rig          r;
    static struct ask   a;
    struct wfl_identity held;

    rig_open(&r, *state);
    wfl_auth_free(r.auth);
    assert_code(open_auth(&r, 4), WFL_OK);
    build(&a, &r, &(struct plan){0});
    assert_code(decide(&r, &a, &held), WFL_OK);
    for (int i = 0; i < 8; i++) {
        char more[40];

        snprintf(more, sizeof more, ",\"limits\":{\"bytes_per_second\":%d}", i + 1);
        assert_code(ask(&r, &(struct plan){.packet = link_of(
                                               NULL, &r.root, header_of(&r.root),
                                               payload_of(&r.client,
                                                          "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]",
                                                          more))}),
                    WFL_OK);
    }
    assert_true(wfl_packet_grants(held.packet, WFL_OP_MANAGE, WFL_S("photos"), WFL_S("")));
    wfl_auth_free(r.auth);
    r.auth = NULL;
    assert_true(wfl_packet_reaches(held.packet, WFL_S("photos")));
    wfl_identity_fini(&held);
    rig_close(&r);
}

/* ---- memory */

static void refused_memory_is_an_error_and_leaks_nothing(void **state)
{
    struct fixture     *f = *state;
    struct rig          r;
    static struct ask   a;
    struct wfl_identity id;
    wfl_code            rc;
    uint64_t            k = 0;

    rig_open(&r, f);
    wfl_auth_free(r.auth);
    r.auth = NULL;
    do {
        f->refuse = f->allocs + ++k;
        rc = open_auth(&r, 0);
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
        if (rc != WFL_OK) assert_int_equal(f->live, 0);
    } while (rc != WFL_OK);
    assert_in_range(k, 5, 20);
    build(&a, &r, &(struct plan){.query = "b=2&a=1"});
    k = 0;
    do {
        f->refuse = f->allocs + ++k;
        rc = decide(&r, &a, &id);
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
        f->refuse = 0;
    } while (rc != WFL_OK);
    assert_in_range(k, 3, 30);
    wfl_identity_fini(&id);
    rig_close(&r);
}

static void a_packet_is_asked_about_once_an_epoch(void **state)
{
    struct rig r;

    rig_open(&r, *state);
    r.epoch = 7;
    for (int i = 0; i < 3; i++)
        assert_code(ask(&r, &(struct plan){0}), WFL_OK);
    assert_int_equal(r.asked, 1);
    r.epoch = 8; /* something was revoked: perhaps this one */
    assert_code(ask(&r, &(struct plan){0}), WFL_OK);
    assert_int_equal(r.asked, 2);
    r.epoch = 9;
    r.revoked = true;
    for (int i = 0; i < 2; i++) /* a refusal is never remembered as clean */
        assert_code(ask(&r, &(struct plan){0}), WFL_PACKET_REVOKED);
    assert_int_equal(r.asked, 4);
    rig_close(&r);
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(the_first_failure_in_the_order_ends_it),
        case_of(a_packet_is_judged_before_time_and_signature),
        case_of(a_packet_is_asked_about_once_an_epoch),
        case_of(the_grace_is_on_the_lower_bound_only),
        case_of(the_window_is_what_it_says),
        case_of(what_is_dated_before_the_start_is_refused),
        case_of(a_nonce_lives_as_long_as_its_timestamp),
        case_of(the_identity_says_who_and_what),
        case_of(a_head_too_large_to_sign_is_refused),
        case_of(no_message_repeats_a_credential),
        case_of(known_packets_are_found_and_few_are_kept),
        case_of(what_does_not_hold_takes_no_place),
        case_of(a_packet_in_use_survives_giving_way),
        case_of(refused_memory_is_an_error_and_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
