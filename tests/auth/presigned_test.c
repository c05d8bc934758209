/* SPDX-License-Identifier: Apache-2.0
 *
 * Presigned URLs: the protocol's vector, what a query is taken apart into, the window to the
 * nanosecond, which refusal it is where two apply, and every refused allocation. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000000)

struct rig {
    struct fixture     *f;
    struct wfl_key_pair root, client;
    struct wfl_auth    *auth;
    char                packet[2000];
};

static void rig_open(struct rig *r, struct fixture *f)
{
    *r = (struct rig){.f = f, .root = key_of(1), .client = key_of(2)};
    snprintf(r->packet, sizeof r->packet, "%s", packet_of(&r->root, &r->client));
    assert_code(
        wfl_auth_new(&(struct wfl_auth_config){.trust = {.roots = &r->root.pub, .root_count = 1},
                                               .clock = &f->clock,
                                               .random = &f->random,
                                               .alloc = &f->alloc},
                     &r->auth, &f->err),
        WFL_OK);
}

static void rig_close(struct rig *r)
{
    wfl_auth_free(r->auth);
    wfl_key_pair_free(&r->root);
    wfl_key_pair_free(&r->client);
}

/* ---- signing */

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

static void sign(const struct wfl_key_pair *key, const char *packet, const char *method,
                 const char *path, const char *query, const char *authority, int64_t now_sec,
                 uint32_t seconds, char out[4096])
{
    struct wfl_auth_request r = {.method = wfl_slice_str(method),
                                 .path = wfl_slice_str(path),
                                 .query = wfl_slice_str(query),
                                 .authority = wfl_slice_str(authority)};
    wfl_arena               arena;
    wfl_buf                 text;
    wfl_error               err;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(&text, &wfl_alloc_libc, 64u << 10);
    assert_code(
        wfl_auth_presign(key, wfl_slice_str(packet), &r, now_sec, seconds, &arena, &text, &err),
        WFL_OK);
    snprintf(out, 4096, "%.*s", WFL_FMT(wfl_buf_slice(&text)));
    wfl_buf_fini(&text);
    wfl_arena_fini(&arena);
}

static void the_vector_is_signed_to_the_byte(void **state)
{
    json_t             *cases = load("canonical.json"), *keys = load("keys.json"), *c = NULL;
    uint8_t             seed[32];
    struct wfl_key_pair key = {0};
    wfl_error           err;
    char                query[4096];
    wfl_time            at;

    (void)state;
    for (size_t i = 0; i < json_array_size(cases) && c == NULL; i++) {
        if (strcmp(text_of(json_array_get(cases, i), "name"), "presigned URL") == 0)
            c = json_array_get(cases, i);
    }
    assert_non_null(c);
    assert_true(wfl_hex_decode(
        wfl_slice_str(text_of(json_object_get(keys, text_of(c, "key")), "seed_hex")), seed, 32));
    assert_code(wfl_key_from_seed(seed, &key, &err), WFL_OK);
    assert_true(wfl_time_parse(WFL_S("2026-11-24T10:00:00Z"), &at));
    sign(&key, text_of(c, "credential"), "GET", "/v1/photos/a", "", text_of(c, "authority"), at.sec,
         300, query);
    assert_string_equal(query, strchr(text_of(c, "target"), '?') + 1);
    wfl_key_pair_free(&key);
    json_decref(cases);
    json_decref(keys);
}

/* ---- deciding */

struct plan {                         /* NULL: as it should be */
    const char *method, *path, *more; /* more: behind the query */
    const char *drop;                 /* a parameter that is taken out */
    const char *set, *to;             /* a parameter whose value is changed */
    const char *header, *value;
    const char *before; /* in front of the signed query, and signed */
    int64_t     dated_sec;
    uint32_t    seconds; /* 0: 300 */
};

/* `query` without a parameter, or with another value for it. */
static void edit(char query[4096], const char *name, const char *value)
{
    char out[4096], copy[4096], *piece, *save = NULL;

    snprintf(copy, sizeof copy, "%s", query);
    out[0] = '\0';
    for (piece = strtok_r(copy, "&", &save); piece != NULL; piece = strtok_r(NULL, "&", &save)) {
        bool   is = strncmp(piece, name, strlen(name)) == 0 && piece[strlen(name)] == '=';
        size_t len = strlen(out);

        if (is && value == NULL) continue;
        if (is)
            snprintf(out + len, sizeof out - len, "%s%s=%s", len > 0 ? "&" : "", name, value);
        else
            snprintf(out + len, sizeof out - len, "%s%s", len > 0 ? "&" : "", piece);
    }
    snprintf(query, 4096, "%s", out);
}

static wfl_code ask(struct rig *r, const struct plan *p, struct wfl_identity *id, wfl_arena *arena)
{
    char                    query[4096];
    struct wfl_auth_header  header = {wfl_slice_str(p->header), wfl_slice_str(p->value)};
    struct wfl_auth_request q = {.method = wfl_slice_str(p->method != NULL ? p->method : "GET"),
                                 .path = wfl_slice_str(p->path != NULL ? p->path : "/v1/photos/a"),
                                 .authority = WFL_S("localhost"),
                                 .headers = &header,
                                 .header_count = p->header != NULL};
    wfl_code                rc;

    sign(&r->client, r->packet, "GET", "/v1/photos/a", p->before, "localhost",
         NOW_SEC + p->dated_sec, p->seconds == 0 ? 300 : p->seconds, query);
    if (p->drop != NULL) edit(query, p->drop, NULL);
    if (p->set != NULL) edit(query, p->set, p->to);
    if (p->more != NULL) strcat(query, p->more);
    q.query = wfl_slice_str(query);
    rc = wfl_auth_authenticate(r->auth, &q, arena, id, &r->f->err);
    if (rc == WFL_OK) {
        assert_int_equal(id->credential, WFL_CREDENTIAL_URL);
        assert_int_equal(id->nonce.len, 0);
        assert_int_equal(id->once_nonce.len, 0);
        assert_code(wfl_auth_spend_nonce(r->auth, id, &r->f->err), WFL_OK);
        assert_code(wfl_auth_spend_nonce(r->auth, id, &r->f->err), WFL_OK);
    }
    return rc;
}

static wfl_code decide(struct rig *r, const struct plan *p)
{
    struct wfl_identity id = {0};
    wfl_arena           arena;
    wfl_code            rc;

    wfl_arena_init(&arena, &r->f->alloc, 1u << 20);
    rc = ask(r, p, &id, &arena);
    wfl_identity_fini(&id);
    wfl_arena_fini(&arena);
    return rc;
}

#define SIG86                                                                                      \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void each_part_is_needed_and_bound(void **state)
{
    static const struct {
        const char *name;
        wfl_code    code;
        struct plan plan;
    } cases[] = {
        {"as it should be", WFL_OK, {0}},
        {"another method", WFL_SIGNATURE_INVALID, {.method = "PUT"}},
        {"another path", WFL_SIGNATURE_INVALID, {.path = "/v1/photos/b"}},
        {"another spelling of the path", WFL_OK, {.path = "/v1/ph%6Ftos/a"}},
        {"a parameter more", WFL_SIGNATURE_INVALID, {.more = "&version=1"}},
        {"an empty piece more", WFL_SIGNATURE_INVALID, {.more = "&"}},
        {"a header more", WFL_SIGNATURE_INVALID, {.header = "Range", .value = "bytes=0-1"}},
        {"a header that does not count", WFL_OK, {.header = "Accept", .value = "*/*"}},
        {"no packet", WFL_CREDENTIAL_MISSING, {.drop = "wfl-packet"}},
        {"no timestamp", WFL_TIMESTAMP_MALFORMED, {.drop = "wfl-timestamp"}},
        {"no expiry", WFL_INVALID_QUERY, {.drop = "wfl-expires"}},
        {"no signature", WFL_SIGNATURE_MALFORMED, {.drop = "wfl-signature"}},
        {"another packet", WFL_PACKET_MALFORMED, {.set = "wfl-packet", .to = "x"}},
        {"a bad time", WFL_TIMESTAMP_MALFORMED, {.set = "wfl-timestamp", .to = "now"}},
        {"a later time",
         WFL_SIGNATURE_INVALID,
         {.set = "wfl-timestamp", .to = "2025-11-24T16:00:01Z"}},
        {"longer", WFL_SIGNATURE_INVALID, {.set = "wfl-expires", .to = "301"}},
        {"for nothing", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = "0"}},
        {"for too long", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = "604801"}},
        {"past 64 bits", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = "18446744073709551916"}},
        {"a leading zero", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = "0300"}},
        {"a sign", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = "-300"}},
        {"no number", WFL_INVALID_QUERY, {.set = "wfl-expires", .to = ""}},
        {"a short signature", WFL_SIGNATURE_MALFORMED, {.set = "wfl-signature", .to = "AA"}},
        {"another signature", WFL_SIGNATURE_INVALID, {.set = "wfl-signature", .to = SIG86}},
        {"twice", WFL_INVALID_QUERY, {.more = "&wfl-expires=300"}},
        {"the signature twice", WFL_INVALID_QUERY, {.more = "&wfl-signature=" SIG86}},
        {"the same name, encoded", WFL_INVALID_QUERY, {.more = "&%77fl-signature=" SIG86}},
        {"one that is not known", WFL_INVALID_QUERY, {.more = "&wfl-nonce=1"}},
        {"the bare prefix", WFL_INVALID_QUERY, {.more = "&wfl-"}},
        {"a bad escape in a value", WFL_INVALID_REQUEST, {.set = "wfl-signature", .to = "%zz"}},
        {"a bad escape in a name", WFL_INVALID_REQUEST, {.more = "&%zz=1"}},
        {"a credential too", WFL_INVALID_QUERY, {.header = "Authorization", .value = "Bearer x"}},
        {"a session too", WFL_INVALID_QUERY, {.header = "Authorization", .value = "Session x"}},
        {"a nonce too",
         WFL_INVALID_QUERY,
         {.header = "X-WflDB-Nonce", .value = "0123456789abcdef"}},
        {"a timestamp too",
         WFL_INVALID_QUERY,
         {.header = "X-WflDB-Timestamp", .value = "2025-11-24T16:00:00Z"}},
        {"a signature too", WFL_INVALID_QUERY, {.header = "X-WflDB-Signature", .value = SIG86}},
        /* Where two apply. */
        {"unknown, and a credential too",
         WFL_INVALID_QUERY,
         {.more = "&wfl-x=1", .header = "Authorization", .value = "Bearer x"}},
        {"packet before time",
         WFL_PACKET_MALFORMED,
         {.set = "wfl-packet", .to = "x", .dated_sec = 90}},
        {"time before signature",
         WFL_TIMESTAMP_SKEW,
         {.set = "wfl-signature", .to = "x", .dated_sec = 90}},
    };
    struct rig r;

    rig_open(&r, *state);
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_code rc = decide(&r, &cases[i].plan);

        if (rc != cases[i].code)
            fail_msg("%s: %s (%s)", cases[i].name, wfl_code_name(rc), r.f->err.message);
        if (rc != WFL_OK) assert_null(strstr(r.f->err.message, "eyJ"));
    }
    rig_close(&r);
}

static void the_window_is_what_it_says(void **state)
{
    static const struct {
        const char *name;
        int64_t     now_ns; /* from the URL's timestamp on */
        wfl_code    code;
    } cases[] = {
        {"long before", -3600 * SECOND, WFL_TIMESTAMP_SKEW},
        {"60 s before and 1 ns", -60 * SECOND - 1, WFL_TIMESTAMP_SKEW},
        {"60 s before", -60 * SECOND, WFL_OK},
        {"then", 0, WFL_OK},
        {"when a signed request is too old", 61 * SECOND, WFL_OK},
        {"the last nanosecond", 300 * SECOND - 1, WFL_OK},
        {"the end", 300 * SECOND, WFL_TIMESTAMP_SKEW},
    };
    struct rig r;

    rig_open(&r, *state);
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        r.f->now_ns = (NOW_SEC + 4000) * SECOND + cases[i].now_ns;
        if (decide(&r, &(struct plan){.dated_sec = 4000}) != cases[i].code)
            fail_msg("%s", cases[i].name);
    }
    rig_close(&r);
}

/* There is no fence at the start: nothing is remembered that could be forgotten. */
static void a_url_from_before_the_start_is_good(void **state)
{
    struct rig r;

    ((struct fixture *)*state)->now_ns += 100 * SECOND;
    rig_open(&r, *state); /* and the URL is dated NOW_SEC */
    assert_code(decide(&r, &(struct plan){0}), WFL_OK);
    rig_close(&r);
}

static void it_ends_with_its_packet(void **state)
{
    struct rig          r;
    struct wfl_identity id = {0};
    wfl_arena           arena;

    rig_open(&r, *state);
    wfl_arena_init(&arena, &r.f->alloc, 1u << 20);
    r.f->now_ns = ((int64_t)NOW_SEC + 86400 - 10) * SECOND;
    const struct plan plan = {.dated_sec = 86400 - 20, .seconds = 604800};
    assert_code(ask(&r, &plan, &id, &arena), WFL_OK);
    assert_int_equal(id.expires_sec, NOW_SEC + 86400);
    wfl_identity_fini(&id);
    wfl_arena_fini(&arena);
    r.f->now_ns += 10 * SECOND;
    assert_code(decide(&r, &plan), WFL_PACKET_EXPIRED);
    rig_close(&r);
}

/* What a route reads is all that is not the credential's, in its order. */
static void the_rest_of_the_query_is_the_routes(void **state)
{
    static const struct {
        const char *query, *rest;
        bool        is;
    } cases[] = {
        {"", "", false},
        {"a=1&&b", "a=1&&b", false},
        {"awfl-=1", "awfl-=1", false},
        {"WFL-packet=1", "WFL-packet=1", false},
        {"a=wfl-packet", "a=wfl-packet", false},
        {"%zz&wfl", "%zz&wfl", false},
        {"wfl-packet=1", "", true},
        {"a=1&wfl-packet=1", "a=1", true},
        {"wfl-packet=1&a=1", "a=1", true},
        {"a=1&wfl-packet=1&b=%2f", "a=1&b=%2f", true},
        {"&wfl-packet=1&", "&", true},
        {"wfl-packet=1&", "", true},
        {"%77%66l-packet=1&x", "x", true},
        {"wfl-packet", "", true},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_auth_request r = {.query = wfl_slice_str(cases[i].query)};
        struct presigned        p;
        wfl_arena               arena;

        wfl_arena_init(&arena, &f->alloc, 1u << 16);
        assert_code(presigned_find(&r, &arena, &p, &f->err), WFL_OK);
        if (p.is != cases[i].is || !wfl_slice_eq(p.query, wfl_slice_str(cases[i].rest)))
            fail_msg("%s: %.*s", cases[i].query, WFL_FMT(p.query));
        wfl_arena_fini(&arena);
    }
}

static void any_allocation_may_be_refused(void **state)
{
    struct rig r;
    wfl_code   rc = WFL_NOMEM;

    rig_open(&r, *state);
    for (uint64_t k = 1; rc == WFL_NOMEM; k++) {
        r.f->refuse = r.f->allocs + k;
        rc = decide(&r, &(struct plan){.before = "version=x&at"});
        r.f->refuse = 0;
        assert_true(rc == WFL_OK || rc == WFL_NOMEM);
    }
    rig_close(&r);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_vector_is_signed_to_the_byte), T(each_part_is_needed_and_bound),
        T(the_window_is_what_it_says),       T(a_url_from_before_the_start_is_good),
        T(it_ends_with_its_packet),          T(the_rest_of_the_query_is_the_routes),
        T(any_allocation_may_be_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
