/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions: the protocol's vector, how many may be open and what makes room, what of a request's
 * MAC is bound to what, and every refused allocation. */
#include "fixture.h"

#include <nettle/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

struct rig {
    struct fixture     *f;
    struct wfl_key_pair root, client, server;
    struct wfl_auth    *auth;
    char                packet[8200];
    struct wfl_identity who;
};

static void rig_open(struct rig *r, struct fixture *f, uint32_t per_client, uint32_t max)
{
    struct wfl_packet *packet = NULL;

    memset(r, 0, sizeof *r);
    r->f = f;
    r->root = key_of(1);
    r->client = key_of(2);
    r->server = key_of(9);
    snprintf(r->packet, sizeof r->packet, "%s", packet_of(&r->root, &r->client));
    assert_code(
        wfl_auth_new(&(struct wfl_auth_config){.trust = {.roots = &r->root.pub, .root_count = 1},
                                               .sessions_per_client_max = per_client,
                                               .sessions_max = max,
                                               .clock = &f->clock,
                                               .random = &f->random,
                                               .alloc = &f->alloc},
                     &r->auth, &f->err),
        WFL_OK);
    assert_code(wfl_packet_parse(wfl_slice_str(r->packet), &f->alloc, &packet, &f->err), WFL_OK);
    r->who = (struct wfl_identity){.packet = packet,
                                   .client = wfl_packet_last(packet)->holder_thumb,
                                   .expires_sec = NOW_SEC + 86400};
}

static void rig_close(struct rig *r)
{
    wfl_identity_fini(&r->who);
    wfl_auth_free(r->auth);
    wfl_key_pair_free(&r->root);
    wfl_key_pair_free(&r->client);
    wfl_key_pair_free(&r->server);
}

/* ---- a client */

struct client {
    struct wfl_session_answer answer;
    struct wfl_secret         key;
};

static wfl_code open_session(struct rig *r, int64_t ttl, struct client *out)
{
    struct wfl_session_request asked;
    struct wfl_secret          private_key = {0};
    wfl_code                   rc;

    *out = (struct client){0};
    assert_code(wfl_session_ask(&r->f->random, ttl, &private_key, &asked, &r->f->err), WFL_OK);
    rc = wfl_auth_open_session(r->auth, &r->who, &asked, &r->server, &out->answer, &r->f->err);
    if (rc == WFL_OK) {
        assert_code(wfl_session_accept(&private_key, &asked, &out->answer,
                                       r->who.packet->text_sha256_hex, &r->server.pub, &out->key,
                                       &r->f->err),
                    WFL_OK);
    }
    wfl_secret_free(&private_key);
    return rc;
}

static void client_fini(struct client *c)
{
    wfl_secret_free(&c->key);
}

struct plan { /* NULL: as it should be */
    const char *session, *scope, *nonce, *stamp, *path, *signature;
};

static const char *or_else(const char *given, const char *fallback)
{
    return given != NULL ? given : fallback;
}

static const char *stamp_of(int64_t ns)
{
    static char out[WFL_TIME_TEXT];

    wfl_time_format_ms((uint64_t)(ns / 1000000), out);
    return out;
}

static void sign(const struct wfl_auth_request *q, const char *session, const struct client *c,
                 const char *scope, char out[65])
{
    char                   hash[65], key[65];
    uint8_t                mac[32];
    struct hmac_sha256_ctx ctx;
    wfl_arena              arena;
    wfl_buf                text;
    wfl_error              err;

    wfl_auth_sha256_hex(wfl_slice_str(session), hash);
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
    assert_code(wfl_canonical_write(q, hash, &arena, &text, &err), WFL_OK);
    wfl_session_mac_key(&c->key, wfl_slice_str(scope), key);
    hmac_sha256_set_key(&ctx, 64, (const uint8_t *)key);
    hmac_sha256_update(&ctx, text.len, text.data);
    hmac_sha256_digest(&ctx, 32, mac);
    wfl_hex_encode(wfl_slice_of(mac, 32), out);
    wfl_buf_fini(&text);
    wfl_arena_fini(&arena);
}

/* Decide, and where that is a yes spend the counter. */
static wfl_code ask(struct rig *r, const struct client *c, const struct plan *p, bool spend)
{
    const char            *session = or_else(p->session, c->answer.session);
    char                   authorization[80], signature[65];
    struct wfl_auth_header headers[4] = {
        {WFL_S("x-wfldb-nonce"), wfl_slice_str(or_else(p->nonce, "1"))},
        {WFL_S("x-wfldb-timestamp"), wfl_slice_str(or_else(p->stamp, stamp_of(r->f->now_ns)))}};
    struct wfl_auth_request q = {.method = WFL_S("GET"),
                                 .path = wfl_slice_str(or_else(p->path, "/v1/photos/a")),
                                 .authority = WFL_S("localhost"),
                                 .headers = headers,
                                 .header_count = 2};
    struct wfl_identity     id;
    wfl_arena               arena;
    wfl_code                rc;

    sign(&q, session, c, or_else(p->scope, "photos"), signature);
    snprintf(authorization, sizeof authorization, "Session %s", session);
    headers[2] = (struct wfl_auth_header){WFL_S("authorization"), wfl_slice_str(authorization)};
    headers[3] = (struct wfl_auth_header){WFL_S("x-wfldb-signature"),
                                          wfl_slice_str(or_else(p->signature, signature))};
    q.header_count = 4;
    wfl_arena_init(&arena, &r->f->alloc, 1u << 20);
    rc = wfl_auth_authenticate(r->auth, &q, &arena, &id, &r->f->err);
    if (rc == WFL_OK) {
        assert_int_equal(id.credential, WFL_CREDENTIAL_SESSION);
        assert_string_equal(id.client.text, r->who.client.text);
        assert_true(wfl_slice_starts_with(id.once_nonce, wfl_slice_str(session)));
        if (spend) rc = wfl_auth_spend_nonce(r->auth, &id, &r->f->err);
        wfl_identity_fini(&id);
    }
    wfl_arena_fini(&arena);
    return rc;
}

/* ---- the vector */

static json_t *load(const char *name)
{
    char    path[1024];
    json_t *value;

    snprintf(path, sizeof path, "%s/tests/vectors/%s", getenv("WFL_SOURCE_ROOT"), name);
    value = json_load_file(path, 0, NULL);
    assert_non_null(value);
    return value;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void decode(const json_t *object, const char *name, uint8_t out[66])
{
    size_t len;

    assert_true(wfl_b64u_decode(wfl_slice_str(text_of(object, name)), out, 66, &len));
}

/* Both sides come to the same. */
static void check_prk(const json_t *v, const char *mine, const char *theirs, uint8_t prk[32])
{
    uint8_t private_key[32], other[66];
    char    hex[65];

    assert_true(wfl_hex_decode(wfl_slice_str(text_of(v, mine)), private_key, 32));
    decode(v, theirs, other);
    assert_true(session_derive(private_key, other, wfl_slice_str(text_of(v, "transcript")), prk));
    wfl_hex_encode(wfl_slice_of(prk, 32), hex);
    assert_string_equal(hex, text_of(v, "prk_hex"));
}

static void check_request(const json_t *v, const uint8_t prk[32])
{
    struct client          c = {0};
    struct wfl_auth_header headers[] = {{WFL_S("X-WflDB-Timestamp"), WFL_S("2026-11-24T10:00:00Z")},
                                        {WFL_S("X-WflDB-Nonce"), WFL_S("1")}};
    struct wfl_auth_request q = {.method = WFL_S("GET"),
                                 .path = WFL_S("/v1/photos/a"),
                                 .authority = WFL_S("db.example:7410"),
                                 .headers = headers,
                                 .header_count = 2};
    const json_t           *wanted = json_object_get(v, "request");
    char                    signature[65];
    wfl_error               err;

    assert_code(wfl_secret_new(32, &c.key, &err), WFL_OK);
    memcpy(c.key.data, prk, 32);
    sign(&q, text_of(v, "session"), &c, text_of(wanted, "scope"), signature);
    assert_string_equal(signature, text_of(wanted, "signature"));
    client_fini(&c);
}

static void the_vector_is_met(void **state)
{
    json_t                 *v = load("session.json"), *keys = load("keys.json"), *value;
    struct session_exchange x = {.expires_sec = json_integer_value(json_object_get(v, "expires"))};
    char                    text[SESSION_TRANSCRIPT_MAX], key[65];
    const char             *scope;
    uint8_t                 prk[32], signature[66];
    wfl_public_key          server;
    size_t                  len;

    (void)state;
    snprintf(x.session, sizeof x.session, "%s", text_of(v, "session"));
    snprintf(x.client_x25519, sizeof x.client_x25519, "%s", text_of(v, "client_x25519"));
    snprintf(x.server_x25519, sizeof x.server_x25519, "%s", text_of(v, "server_x25519"));
    wfl_auth_sha256_hex(wfl_slice_str(text_of(v, "packet")), x.packet_sha256_hex);
    len = session_write_transcript(&x, text);
    assert_int_equal(len, strlen(text_of(v, "transcript")));
    assert_memory_equal(text, text_of(v, "transcript"), len);
    check_prk(v, "client_private_hex", "server_x25519", prk);
    check_prk(v, "server_private_hex", "client_x25519", prk);
    assert_int_equal(json_object_size(json_object_get(v, "mac_keys")), 3);
    json_object_foreach(json_object_get(v, "mac_keys"), scope, value)
    {
        session_mac_key(prk, wfl_slice_str(scope), key);
        assert_string_equal(key, json_string_value(value));
    }
    decode(v, "signature", signature);
    value = json_object_get(keys, text_of(v, "server_identity"));
    assert_true(wfl_hex_decode(wfl_slice_str(text_of(value, "public_hex")), server.bytes, 32));
    assert_true(wfl_key_verify(&server, wfl_slice_str(text_of(v, "transcript")), signature));
    check_request(v, prk);
    json_decref(keys);
    json_decref(v);
}

/* ---- requests */

static void a_request_is_bound_to_session_scope_and_time(void **state)
{
    struct rig    r;
    struct client c, other;

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 3600, &c), WFL_OK);
    assert_code(open_session(&r, 3600, &other), WFL_OK);
    r.f->now_ns += 100 * SECOND;
    const struct {
        const char *name;
        wfl_code    code;
        struct plan plan;
    } cases[] = {
        {"as it should be", WFL_OK, {0}},
        {"spelled otherwise", WFL_OK, {.path = "/v1/ph%6ftos/a"}},
        {"the bucket itself", WFL_OK, {.path = "/v1/photos"}},
        {"a system path", WFL_OK, {.path = "/v1/-/scrub", .scope = "-"}},
        {"all buckets", WFL_OK, {.path = "/v1/", .scope = "-"}},
        {"nothing behind v1", WFL_OK, {.path = "/v1", .scope = "-"}},
        {"the bucket's key on a system path", WFL_SIGNATURE_INVALID, {.path = "/v1/-/scrub"}},
        {"the bucket's key on /v1/", WFL_SIGNATURE_INVALID, {.path = "/v1/"}},
        {"the system's key on a bucket", WFL_SIGNATURE_INVALID, {.scope = "-"}},
        {"another bucket's key", WFL_SIGNATURE_INVALID, {.scope = "photo"}},
        {"a bucket that begins alike", WFL_SIGNATURE_INVALID, {.path = "/v1/photos2/a"}},
        {"no bucket's name", WFL_OK, {.path = "/v1/PHOTOS/a", .scope = "PHOTOS"}},
        {"another session's name", WFL_SIGNATURE_INVALID, {.session = other.answer.session}},
        {"no session's name", WFL_SESSION_UNKNOWN, {.session = "01JDFJ7Z7Q2S4T6V8X0A2C4E6G"}},
        {"a name in lower case", WFL_SESSION_UNKNOWN, {.session = "01jdfj7z7q2s4t6v8x0a2c4e6g"}},
        {"an empty name", WFL_CREDENTIAL_MISSING, {.session = ""}},
        {"no counter", WFL_NONCE_MALFORMED, {.nonce = ""}},
        {"counter zero", WFL_NONCE_MALFORMED, {.nonce = "0"}},
        {"a leading zero", WFL_NONCE_MALFORMED, {.nonce = "01"}},
        {"a sign", WFL_NONCE_MALFORMED, {.nonce = "+1"}},
        {"hex", WFL_NONCE_MALFORMED, {.nonce = "0x1"}},
        {"a fraction", WFL_NONCE_MALFORMED, {.nonce = "1.0"}},
        {"the last counter", WFL_OK, {.nonce = "9007199254740992"}},
        {"behind the last counter", WFL_NONCE_MALFORMED, {.nonce = "9007199254740993"}},
        {"past 64 bits", WFL_NONCE_MALFORMED, {.nonce = "18446744073709551617"}},
        {"a packet's nonce", WFL_NONCE_MALFORMED, {.nonce = "0123456789abcdef"}},
        {"a bad time", WFL_TIMESTAMP_MALFORMED, {.stamp = "now"}},
        {"an old time", WFL_TIMESTAMP_SKEW, {.stamp = "1999-01-01T00:00:00Z"}},
        {"a short MAC", WFL_SIGNATURE_MALFORMED, {.signature = "00"}},
        {"no MAC", WFL_SIGNATURE_MALFORMED, {.signature = ""}},
        {"a MAC in upper case",
         WFL_SIGNATURE_MALFORMED,
         {.signature = "ABCDEF0000000000000000000000000000000000000000000000000000000000"}},
        {"zeros",
         WFL_SIGNATURE_INVALID,
         {.signature = "0000000000000000000000000000000000000000000000000000000000000000"}},
    };
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_code rc = ask(&r, &c, &cases[i].plan, false);

        if (rc != cases[i].code) fail_msg("%s: %s", cases[i].name, wfl_code_name(rc));
    }
    client_fini(&c);
    client_fini(&other);
    rig_close(&r);
}

static void a_refused_request_spends_nothing(void **state)
{
    struct rig    r;
    struct client c;
    char          counter[24];

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 3600, &c), WFL_OK);
    assert_code(ask(&r, &c, &(struct plan){.nonce = "9000", .scope = "-"}, true),
                WFL_SIGNATURE_INVALID);
    assert_code(ask(&r, &c, &(struct plan){0}, false), WFL_OK); /* refused later, by a grant */
    for (int round = 0; round < 2; round++) {
        for (int i = 1; i <= 20; i++) {
            snprintf(counter, sizeof counter, "%d", i);
            assert_code(ask(&r, &c, &(struct plan){.nonce = counter}, true),
                        round == 0 ? WFL_OK : WFL_REPLAYED);
        }
    }
    client_fini(&c);
    rig_close(&r);
}

static wfl_code claim(struct rig *r, struct session *session, uint64_t counter,
                      struct wfl_nonce_claim *out)
{
    struct wfl_identity id = {.credential = WFL_CREDENTIAL_SESSION,
                              .session = session,
                              .counter = counter,
                              .timestamp = {.sec = NOW_SEC}};

    memset(id.client.text, 'c', WFL_THUMB_LEN);
    return wfl_auth_claim_nonce(r->auth, &id, out, &r->f->err);
}

/* A write may come again with its counter, and is then compared with what is remembered. */
static void a_write_s_counter_is_let_through_again(void **state)
{
    struct rig             r;
    struct client          c;
    struct wfl_nonce_claim out;
    struct session        *session;
    wfl_ulid               ulid;

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 3600, &c), WFL_OK);
    assert_true(wfl_ulid_parse(wfl_slice_str(c.answer.session), &ulid));
    session = session_find(r.auth->sessions, &ulid, NOW_SEC);
    assert_code(claim(&r, session, 7, &out), WFL_OK);
    assert_false(out.known_only);
    assert_int_equal(out.keep_ms, INT64_C(1000) * (NOW_SEC + 600));
    assert_code(claim(&r, session, 7, &out), WFL_OK);
    assert_false(out.known_only);
    assert_code(ask(&r, &c, &(struct plan){.nonce = "7"}, true), WFL_REPLAYED); /* nor a read */
    assert_code(ask(&r, &c, &(struct plan){.nonce = "8"}, true), WFL_OK);
    assert_code(claim(&r, session, 8, &out), WFL_REPLAYED); /* a read has used it */
    assert_code(claim(&r, session, 7 + COUNTER_WINDOW, &out), WFL_OK);
    assert_code(claim(&r, session, 7, &out), WFL_OK); /* below: either is possible */
    assert_true(out.known_only);
    session_unref(session);
    client_fini(&c);
    rig_close(&r);
}

/* More scopes than keys are kept ready, in turns. */
static void any_number_of_scopes_works(void **state)
{
    struct rig    r;
    struct client c;
    char          path[40], scope[20];

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 3600, &c), WFL_OK);
    for (int i = 0; i < 50; i++) {
        snprintf(scope, sizeof scope, "bucket-%d", i * i % 11);
        snprintf(path, sizeof path, "/v1/%s/a", scope);
        assert_code(ask(&r, &c, &(struct plan){.path = path, .scope = scope}, false), WFL_OK);
        assert_code(ask(&r, &c, &(struct plan){.path = path, .scope = "bucket-11"}, false),
                    WFL_SIGNATURE_INVALID);
    }
    client_fini(&c);
    rig_close(&r);
}

/* ---- how long, how many */

static uint64_t open_count(struct rig *r)
{
    struct wfl_auth_stats stats;

    wfl_auth_stats(r->auth, &stats);
    return stats.sessions;
}

static void a_session_ends_with_its_ttl_or_its_packet(void **state)
{
    struct rig    r;
    struct client brief, longer;

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 10, &brief), WFL_OK);
    assert_int_equal(brief.answer.expires_sec, NOW_SEC + 10);
    r.f->now_ns += SECOND;
    assert_code(open_session(&r, 86400, &longer), WFL_OK);
    assert_int_equal(longer.answer.expires_sec, NOW_SEC + 86400); /* the packet's */
    r.f->now_ns += 9 * SECOND - 1;
    assert_code(ask(&r, &brief, &(struct plan){0}, false), WFL_OK);
    r.f->now_ns += 1;
    assert_code(ask(&r, &brief, &(struct plan){0}, false), WFL_SESSION_UNKNOWN);
    assert_code(ask(&r, &longer, &(struct plan){0}, false), WFL_OK);
    r.f->now_ns += 11 * SECOND;
    assert_code(ask(&r, &longer, &(struct plan){0}, false), WFL_OK);
    assert_int_equal(open_count(&r), 1); /* the other one is swept away */
    r.f->now_ns = ((int64_t)NOW_SEC + 86400) * SECOND;
    assert_code(ask(&r, &longer, &(struct plan){0}, false), WFL_SESSION_UNKNOWN);
    client_fini(&brief);
    client_fini(&longer);
    rig_close(&r);
}

static void full_is_refused_until_one_expires(void **state)
{
    struct rig    r;
    struct client c[5];

    rig_open(&r, *state, 3, 4);
    assert_code(open_session(&r, 100, &c[0]), WFL_OK);
    assert_code(open_session(&r, 5, &c[1]), WFL_OK);
    assert_code(open_session(&r, 100, &c[2]), WFL_OK);
    assert_code(open_session(&r, 100, &c[3]), WFL_RATE_LIMITED);
    r.who.client.text[0] ^= 1; /* another client */
    assert_code(open_session(&r, 100, &c[3]), WFL_OK);
    assert_code(open_session(&r, 100, &c[4]), WFL_RATE_LIMITED); /* all together */
    r.who.client.text[0] ^= 1;
    r.f->now_ns += 5 * SECOND;
    assert_code(open_session(&r, 100, &c[4]), WFL_OK);
    assert_int_equal(open_count(&r), 4);
    assert_code(open_session(&r, 100, &c[1]), WFL_RATE_LIMITED);
    assert_code(ask(&r, &c[0], &(struct plan){0}, false), WFL_OK); /* none was forgotten */
    assert_code(ask(&r, &c[2], &(struct plan){0}, false), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(c); i++)
        client_fini(&c[i]);
    rig_close(&r);
}

static void only_a_packet_opens_one(void **state)
{
    struct rig    r;
    struct client c;

    rig_open(&r, *state, 0, 0);
    r.who.credential = WFL_CREDENTIAL_SESSION;
    assert_code(open_session(&r, 100, &c), WFL_FORBIDDEN);
    r.who.credential = WFL_CREDENTIAL_URL;
    assert_code(open_session(&r, 100, &c), WFL_FORBIDDEN);
    r.who.credential = WFL_CREDENTIAL_PACKET;
    assert_int_equal(open_count(&r), 0);
    rig_close(&r);
}

/* RFC 7748 section 6.1; all points whose order divides eight, with and without the ignored bit. */
static void points_of_small_order_are_refused(void **state)
{
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    struct rig r;

    rig_open(&r, *state, 0, 0);
    for (size_t i = 0; i < 2 * WFL_COUNT(points); i++) {
        struct wfl_session_request asked = {.ttl_sec = 60};
        struct wfl_session_answer  answer;
        uint8_t                    point[32];

        assert_true(wfl_hex_decode(wfl_slice_str(points[i / 2]), point, 32));
        if (i % 2 == 1) point[31] |= 0x80;
        wfl_b64u_encode(wfl_slice_of(point, 32), asked.x25519);
        assert_code(wfl_auth_open_session(r.auth, &r.who, &asked, &r.server, &answer, &r.f->err),
                    WFL_INVALID_REQUEST);
        assert_int_equal(open_count(&r), 0);
    }
    rig_close(&r);
}

static void another_servers_answer_is_refused(void **state)
{
    struct rig                 r;
    struct wfl_session_request asked;
    struct wfl_session_answer  answer;
    struct wfl_secret          private_key = {0}, key = {0};
    const char                *packet;

    rig_open(&r, *state, 0, 0);
    packet = r.who.packet->text_sha256_hex;
    assert_code(wfl_session_ask(&r.f->random, 60, &private_key, &asked, &r.f->err), WFL_OK);
    assert_code(wfl_auth_open_session(r.auth, &r.who, &asked, &r.root, &answer, &r.f->err), WFL_OK);
    assert_code(
        wfl_session_accept(&private_key, &asked, &answer, packet, &r.server.pub, &key, &r.f->err),
        WFL_INTERNAL);
    assert_null(key.data);
    assert_code(
        wfl_session_accept(&private_key, &asked, &answer, packet, &r.root.pub, &key, &r.f->err),
        WFL_OK);
    wfl_secret_free(&key);
    answer.expires_sec++;
    assert_code(
        wfl_session_accept(&private_key, &asked, &answer, packet, &r.root.pub, &key, &r.f->err),
        WFL_INTERNAL);
    memset(answer.x25519, 'A', WFL_X25519_TEXT_LEN); /* a point of small order, nobody pinned */
    assert_code(wfl_session_accept(&private_key, &asked, &answer, packet, NULL, &key, &r.f->err),
                WFL_INTERNAL);
    wfl_secret_free(&private_key);
    rig_close(&r);
}

/* ---- texts */

#define POINT "mYgfwMEFNUglxmEnZwv5j8MsMhmYtiJ99D2ycc_bvH8"

static void a_request_for_a_session_is_read_strictly(void **state)
{
    static const struct {
        const char *text;
        wfl_code    code;
    } cases[] = {
        {"{\"x25519\":\"" POINT "\",\"ttl\":1}", WFL_OK},
        {" {\"ttl\":86400,\"x25519\":\"" POINT "\"}\n", WFL_OK},
        {"", WFL_INVALID_JSON},
        {"[]", WFL_INVALID_JSON},
        {"{}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\"}", WFL_INVALID_JSON},
        {"{\"ttl\":1}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":1,\"more\":1}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":1,\"ttl\":1}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":1}x", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":\"1\"}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":1.0}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":null}", WFL_INVALID_JSON},
        {"{\"x25519\":7,\"ttl\":1}", WFL_INVALID_JSON},
        {"{\"x25519\":\"" POINT "\",\"ttl\":0}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"" POINT "\",\"ttl\":-1}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"" POINT "\",\"ttl\":86401}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"\",\"ttl\":1}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"" POINT "=\",\"ttl\":1}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"" POINT "A\",\"ttl\":1}", WFL_INVALID_REQUEST},
        {"{\"x25519\":\"mYgfwMEFNUglxmEnZwv5j8MsMhmYtiJ99D2ycc_bvH9\",\"ttl\":1}",
         WFL_INVALID_REQUEST}, /* trailing bits */
        {"{\"x25519\":\"mYgfwMEFNUglxmEnZwv5j8MsMhmYtiJ99D2ycc/bvH8\",\"ttl\":1}",
         WFL_INVALID_REQUEST}, /* the other alphabet */
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_session_request out;
        wfl_code rc = wfl_session_parse_request(wfl_slice_str(cases[i].text), &out, &f->err);

        if (rc != cases[i].code) fail_msg("%s: %s", cases[i].text, wfl_code_name(rc));
    }
}

static void what_is_written_is_read(void **state)
{
    struct fixture            *f = *state;
    struct wfl_session_request asked = {.x25519 = POINT, .ttl_sec = 77}, asked_back;
    struct wfl_session_answer  answer = {.session = "01JDFJ7Z7Q2S4T6V8X0A2C4E6G",
                                         .x25519 = POINT,
                                         .expires_sec = 1764003600,
                                         .signature = {1, 2, 3}},
                              back;
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, 1024);
    wfl_json_init(&json, &text);
    wfl_session_write_request(&asked, &json);
    assert_code(wfl_session_parse_request(wfl_buf_slice(&text), &asked_back, &f->err), WFL_OK);
    assert_string_equal(asked_back.x25519, POINT);
    assert_int_equal(asked_back.ttl_sec, 77);
    text.len = 0;
    wfl_json_init(&json, &text);
    wfl_session_write_answer(&answer, &json);
    assert_code(wfl_session_parse_answer(wfl_buf_slice(&text), &back, &f->err), WFL_OK);
    assert_string_equal(back.session, answer.session);
    assert_string_equal(back.x25519, POINT);
    assert_int_equal(back.expires_sec, 1764003600);
    assert_memory_equal(back.signature, answer.signature, 64);
    wfl_buf_fini(&text);
}

/* ---- memory and threads */

static void any_allocation_may_be_refused(void **state)
{
    struct rig    r;
    struct client c;
    wfl_code      rc = WFL_NOMEM;

    rig_open(&r, *state, 0, 0);
    for (uint64_t k = 1; rc == WFL_NOMEM; k++) {
        r.f->refuse = r.f->allocs + k;
        rc = open_session(&r, 60, &c);
        r.f->refuse = 0;
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
        assert_int_equal(open_count(&r), rc == WFL_OK);
    }
    rc = WFL_NOMEM;
    for (uint64_t k = 1; rc == WFL_NOMEM; k++) {
        r.f->refuse = r.f->allocs + k;
        rc = ask(&r, &c, &(struct plan){0}, true);
        r.f->refuse = 0;
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
    }
    client_fini(&c);
    rig_close(&r);
}

/* Guarded memory that is refused: wrapped by the linker. */
void       *__real_sodium_allocarray(size_t count, size_t size);
static bool refuse_slabs;
void       *__wrap_sodium_allocarray(size_t count, size_t size);

void *__wrap_sodium_allocarray(size_t count, size_t size)
{
    return refuse_slabs ? NULL : __real_sodium_allocarray(count, size);
}

static void guarded_memory_may_be_refused(void **state)
{
    struct rig    r;
    struct client c;

    rig_open(&r, *state, 0, 0);
    refuse_slabs = true;
    assert_code(open_session(&r, 60, &c), WFL_NOMEM);
    refuse_slabs = false;
    assert_int_equal(open_count(&r), 0);
    assert_code(open_session(&r, 60, &c), WFL_OK);
    client_fini(&c);
    rig_close(&r);
}

struct racer {
    struct session *session;
    uint64_t        won;
};

static void *race(void *arg)
{
    struct racer *racer = arg;

    for (uint64_t c = 1; c <= 4000; c++)
        racer->won += session_spend(racer->session, c);
    return NULL;
}

static void of_many_threads_one_spends_a_counter(void **state)
{
    struct rig      r;
    struct client   c;
    struct session *s;
    struct racer    racers[4];
    pthread_t       threads[4];
    wfl_ulid        id;
    uint64_t        won = 0;

    rig_open(&r, *state, 0, 0);
    assert_code(open_session(&r, 60, &c), WFL_OK);
    assert_true(wfl_ulid_parse(wfl_slice_str(c.answer.session), &id));
    s = session_find(r.auth->sessions, &id, NOW_SEC);
    assert_non_null(s);
    for (int i = 0; i < 4; i++) {
        racers[i] = (struct racer){.session = s};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        won += racers[i].won;
    }
    assert_int_equal(won, 4000);
    session_unref(s);
    client_fini(&c);
    rig_close(&r);
}

struct churner {
    struct session_table *table;
    const wfl_thumb      *client;
    _Atomic int64_t      *now_sec; /* of all */
    int                   made;
};

static void *churn(void *arg)
{
    struct churner *c = arg;

    for (int i = 0; i < 3000; i++) {
        int64_t         now_sec = i % 50 == 0 ? ++*c->now_sec : *c->now_sec;
        struct session *s;
        wfl_error       err;
        wfl_ulid        id;

        if (session_make(c->table, c->client, now_sec, &s, &err) != WFL_OK) continue;
        wfl_random_fill(&wfl_random_system, s->id.bytes, sizeof s->id.bytes);
        id = s->id;
        s->expires_sec = now_sec + 2;
        session_publish(s);
        session_unref(session_find(c->table, &id, now_sec));
        c->made++;
    }
    return NULL;
}

static void opening_and_expiring_on_many_threads(void **state)
{
    struct rig      r;
    struct churner  churners[4];
    pthread_t       threads[4];
    _Atomic int64_t now_sec = NOW_SEC;

    rig_open(&r, *state, 200, 300);
    for (int i = 0; i < 4; i++) {
        churners[i] = (struct churner){
            .table = r.auth->sessions, .client = &r.who.client, .now_sec = &now_sec};
        assert_int_equal(pthread_create(&threads[i], NULL, churn, &churners[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(churners[i].made > 0);
    }
    assert_true(open_count(&r) <= 200);
    rig_close(&r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_vector_is_met),
        T(a_request_is_bound_to_session_scope_and_time),
        T(a_refused_request_spends_nothing),
        T(a_write_s_counter_is_let_through_again),
        T(any_number_of_scopes_works),
        T(a_session_ends_with_its_ttl_or_its_packet),
        T(full_is_refused_until_one_expires),
        T(only_a_packet_opens_one),
        T(points_of_small_order_are_refused),
        T(another_servers_answer_is_refused),
        T(a_request_for_a_session_is_read_strictly),
        T(what_is_written_is_read),
        T(any_allocation_may_be_refused),
        T(guarded_memory_may_be_refused),
        T(of_many_threads_one_spends_a_counter),
        T(opening_and_expiring_on_many_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
