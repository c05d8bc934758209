/* SPDX-License-Identifier: Apache-2.0
 *
 * Packets beyond the vectors: limits at their edges, which refusal a chain with two faults gets,
 * memory refused anywhere, and that nothing unusable is ever issued. */
#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* jansson takes its memory from malloc. */
static long refuse_malloc; /* the k-th from now; 0: none */
void       *__real_malloc(size_t n);
void       *__wrap_malloc(size_t n);
void       *__wrap_malloc(size_t n)
{
    return refuse_malloc > 0 && --refuse_malloc == 0 ? NULL : __real_malloc(n);
}

static wfl_code parse(struct fixture *f, const char *text)
{
    struct wfl_packet *p = NULL;
    wfl_code           rc = wfl_packet_parse(wfl_slice_str(text), &f->alloc, &p, &f->err);

    if (rc != WFL_OK) assert_null(p);
    wfl_packet_unref(p);
    return rc;
}

static wfl_code judge(struct fixture *f, const char *text, const struct wfl_key_pair *root)
{
    struct wfl_trust   trust = {.roots = &root->pub, .root_count = 1, .audience = WFL_S("here")};
    struct wfl_packet *p = NULL;
    wfl_code           rc = wfl_packet_parse(wfl_slice_str(text), &f->alloc, &p, &f->err);

    if (rc == WFL_OK) rc = wfl_packet_verify(p, &trust, NOW_SEC, &f->err);
    wfl_packet_unref(p);
    return rc;
}

static const char *grants_of(unsigned count, const char *grant)
{
    static char out[8000];
    char       *at = out;

    *at++ = '[';
    for (unsigned i = 0; i < count; i++)
        at += sprintf(at, "%s%s", i > 0 ? "," : "", grant);
    strcpy(at, "]");
    return out;
}

/* ---- structure */

static void counts_end_where_the_protocol_says(void **state)
{
    static const char   one[] = "{\"bucket\":\"*\",\"ops\":[\"get\"]}";
    struct fixture     *f = *state;
    struct wfl_key_pair k = key_of(1);
    const char         *h = header_of(&k);
    char                chain[9000];

    assert_code(parse(f, link_of(NULL, &k, h, payload_of(&k, grants_of(0, one), ""))),
                WFL_PACKET_MALFORMED);
    assert_code(parse(f, link_of(NULL, &k, h, payload_of(&k, grants_of(64, one), ""))), WFL_OK);
    assert_code(parse(f, link_of(NULL, &k, h, payload_of(&k, grants_of(65, one), ""))),
                WFL_PACKET_MALFORMED);
    snprintf(chain, sizeof chain, "%s", packet_of(&k, &k));
    for (int links = 2; links <= 6; links++) {
        snprintf(chain, sizeof chain, "%s",
                 link_of(chain, &k, h, payload_of(&k, grants_of(1, one), "")));
        assert_code(parse(f, chain), links <= 5 ? WFL_OK : WFL_PACKET_MALFORMED);
    }
    assert_code(parse(f, ""), WFL_PACKET_MALFORMED);
    wfl_key_pair_free(&k);
}

static void a_packet_has_at_most_8192_bytes(void **state)
{
    static const char   one[] = "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]";
    struct fixture     *f = *state;
    struct wfl_key_pair k = key_of(1);
    bool                below = false, above = false;

    for (int pad = 5400; pad < 5900; pad++) {
        char filler[6000], more[7000];

        memset(filler, 'x', (size_t)pad);
        filler[pad] = '\0';
        snprintf(more, sizeof more, "%s", payload_of(&k, one, ""));
        snprintf(strrchr(more, '}'), sizeof more - 1000, ",\"note\":\"%s\"}", filler);
        const char *text = link_of(NULL, &k, header_of(&k), more);

        assert_code(parse(f, text), strlen(text) <= 8192 ? WFL_OK : WFL_PACKET_MALFORMED);
        below |= strlen(text) == 8192 || strlen(text) == 8191;
        above |= strlen(text) == 8193 || strlen(text) == 8194;
    }
    assert_true(below && above);
    wfl_key_pair_free(&k);
}

static void json_nests_16_deep(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair k = key_of(1);

    for (int deep = 1; deep < 40; deep++) {
        char payload[2000], nest[400] = "";

        for (int i = 0; i < deep; i++)
            strcat(nest, i % 2 ? "{\"a\":" : "[");
        strcat(nest, "\"]}[{\\\"[[[\""); /* what is in a string does not nest */
        for (int i = deep; i-- > 0;)
            strcat(nest, i % 2 ? "}" : "]");
        snprintf(payload, sizeof payload, "%s",
                 payload_of(&k, "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]", ""));
        payload[strlen(payload) - 1] = '\0';
        strcat(payload, ",\"n\":");
        strcat(payload, nest);
        strcat(payload, "}");
        assert_code(parse(f, link_of(NULL, &k, header_of(&k), payload)),
                    deep + 1 <= 16 ? WFL_OK : WFL_PACKET_MALFORMED);
    }
    wfl_key_pair_free(&k);
}

/* ---- a chain with two faults */

static void a_chain_is_judged_in_the_protocols_order(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2), b = key_of(3);
    char                wide[2000], narrow[2000], late[2000], other[2000];

    snprintf(wide, sizeof wide, "%s",
             payload_of(&b, "[{\"bucket\":\"*\",\"ops\":[\"watch\"]}]", ""));
    snprintf(narrow, sizeof narrow, "%s",
             payload_of(&b, "[{\"bucket\":\"abc\",\"ops\":[\"get\"]}]", ""));
    snprintf(late, sizeof late, "%s", wide); /* escalating and expired */
    memcpy(strstr(late, "\"exp\":1764086400"), "\"exp\":1763999999", 16);
    memcpy(strstr(late, "\"iat\":1764000000"), "\"iat\":1763000000", 16);
    snprintf(other, sizeof other, "%s", wide); /* escalating and for another audience */
    other[strlen(other) - 1] = '\0';
    strcat(other, ",\"aud\":\"there\"}");
    const char *parent = packet_of(&root, &a);
    const struct {
        const char *name, *text;
        wfl_code    code;
    } cases[] = {
        {"good", link_of(parent, &a, header_of(&a), narrow), WFL_OK},
        {"escalating", link_of(parent, &a, header_of(&a), wide), WFL_PACKET_ESCALATION},
        {"expired before escalating", link_of(parent, &a, header_of(&a), late), WFL_PACKET_EXPIRED},
        {"signature before expired", link_of(parent, &b, header_of(&a), late),
         WFL_PACKET_SIGNATURE},
        {"trust before signature", link_of(parent, &a, header_of(&b), late), WFL_PACKET_UNTRUSTED},
        {"trust of a later link before a signature",
         link_of(
             link_of(NULL, &b, header_of(&root),
                     payload_of(&a, "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]", ",\"delegate\":1")),
             &a, header_of(&b), narrow),
         WFL_PACKET_UNTRUSTED},
        {"escalating before audience", link_of(parent, &a, header_of(&a), other),
         WFL_PACKET_ESCALATION},
    };
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        if (judge(f, cases[i].text, &root) != cases[i].code)
            fail_msg("%s: %s", cases[i].name, wfl_code_name(f->err.code));
    }
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
    wfl_key_pair_free(&b);
}

static void grants_cover_what_they_name(void **state)
{
    static const struct {
        const char *pattern, *bucket;
        bool        covered;
    } cases[] = {
        {"*", "abc", true},        {"team-*", "team-a", true}, {"team-*", "team", false},
        {"team-*", "team-", true}, {"abc", "abc", true},       {"abc", "abcd", false},
        {"abcd", "abc", false},    {"abc*", "abc", true},      {"abc*", "abcd", true},
        {"abc*", "ab", false},     {"*", "a*", true},          {"a*", "*", false},
        {"a*", "ab*", true},       {"ab*", "a*", false},       {"ab*", "ab*", true},
        {"abc", "abc*", false},    {"*", "*", true},
    };
    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_grant parent = {.bucket = wfl_slice_str(cases[i].pattern), .ops = WFL_OP_GET};
        struct wfl_grant child = {.bucket = wfl_slice_str(cases[i].bucket), .ops = WFL_OP_GET};

        if (grant_covers(&parent, &child) != cases[i].covered)
            fail_msg("%s, %s", cases[i].pattern, cases[i].bucket);
        child.ops |= WFL_OP_PUT;
        assert_false(grant_covers(&parent, &child));
        child.ops = WFL_OP_GET;
        parent.prefix = WFL_S("a/");
        assert_false(grant_covers(&parent, &child));
        child.prefix = WFL_S("a/b");
        assert_int_equal(grant_covers(&parent, &child), cases[i].covered);
    }
    assert_string_equal(wfl_op_name(WFL_OP_WATCH), "watch");
    assert_string_equal(wfl_op_name((enum wfl_op)3), "?");
    assert_int_equal(wfl_op_parse(WFL_S("GET")), 0);
}

/* ---- memory */

static void refused_memory_is_an_error_and_leaks_nothing(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2);
    const char         *text = link_of(
                packet_of(&root, &a), &a, header_of(&a),
                payload_of(&root, "[{\"bucket\":\"abc\",\"prefix\":\"p/\",\"ops\":[\"get\",\"put\"]}]",
                           ",\"limits\":{\"bytes_per_second\":9}"));
    wfl_code rc;
    uint64_t k = 0;

    do {
        f->refuse = f->allocs + ++k;
        rc = parse(f, text);
        f->refuse = 0;
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
        assert_int_equal(f->live, 0);
    } while (rc != WFL_OK);
    assert_in_range(k, 3, 20);
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
}

/* In a process of its own: 0 where the packet was taken whole, else the signal that ended it. */
static int parse_with_refused_malloc(struct fixture *f, const char *text, long k)
{
    int   status = 0;
    pid_t child = fork();

    if (child == 0) {
        refuse_malloc = k;
        _exit(parse(f, text) == WFL_OK ? refuse_malloc > 0 ? 0 : 1 : 2);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("malloc %ld refused: taken as %d", k, WEXITSTATUS(status));
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void a_packet_is_never_read_with_bytes_missing(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1);
    const char         *text = packet_of(&root, &root);
    long                k = 1;
    int                 ended;

    while ((ended = parse_with_refused_malloc(f, text, k)) != 0) {
        assert_int_equal(ended, SIGABRT);
        k++;
    }
    assert_in_range(k, 20, 500);
    wfl_key_pair_free(&root);
}

/* ---- issuing */

static const struct wfl_grant get_photos = {WFL_LIT("photos"), WFL_LIT("a/"), WFL_OP_GET};
static const struct wfl_grant grants_bad[] = {
    {WFL_LIT("photos"), {0}, 0},                        /* no op */
    {WFL_LIT("photos"), {0}, 128},                      /* no such op */
    {WFL_LIT("photos"), {0}, WFL_OP_GET | 128},         /* one such op */
    {WFL_LIT("Photos"), {0}, WFL_OP_GET},               /* no name */
    {{0}, {0}, WFL_OP_GET},                             /* no bucket */
    {WFL_LIT("photos"), WFL_LIT("a/"), WFL_OP_MANAGE},  /* manage with a prefix */
    {WFL_LIT("photos"), {0}, WFL_OP_ADMIN},             /* admin of a bucket */
    {WFL_LIT("photos"), WFL_LIT("a\xff/"), WFL_OP_GET}, /* what JSON cannot say */
    {WFL_LIT("photos"), WFL_LIT("a\0b"), WFL_OP_GET},
};

static wfl_code issue(struct fixture *f, const struct wfl_issue *what, wfl_buf *out)
{
    wfl_buf_init(out, &f->alloc, 1u << 20);
    return wfl_packet_issue(what, &f->alloc, out, &f->err);
}

static struct wfl_issue good_issue(const struct wfl_key_pair *signer,
                                   const struct wfl_key_pair *holder)
{
    return (struct wfl_issue){
        .signer = signer,
        .holder = holder->pub,
        .jti = {{1}},
        .iat = NOW_SEC,
        .exp = NOW_SEC + 3600,
        .delegate = 2,
        .grants = &get_photos,
        .grant_count = 1,
        .limits = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
    };
}

static void what_is_issued_holds(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2), b = key_of(3);
    struct wfl_issue    first = good_issue(&root, &a), next;
    struct wfl_packet  *p;
    wfl_buf             parent, out;

    first.sub = WFL_S("alice \"\\ \xC3\xA4");
    first.aud = WFL_S("here");
    first.nbf = NOW_SEC - 5;
    first.limits = (struct wfl_limits){1, 2, UINT64_MAX};
    assert_code(issue(f, &first, &parent), WFL_OK);
    wfl_buf_add_u8(&parent, 0);
    assert_code(judge(f, (const char *)parent.data, &root), WFL_OK);
    next = good_issue(&a, &b);
    next.parent = wfl_slice_of(parent.data, parent.len - 1);
    next.delegate = 1;
    next.limits = (struct wfl_limits){UINT64_MAX, 1, 3};
    assert_code(issue(f, &next, &out), WFL_OK);
    assert_code(wfl_packet_parse(wfl_buf_slice(&out), &f->alloc, &p, &f->err), WFL_OK);
    assert_int_equal(p->link_count, 2);
    assert_true(wfl_slice_eq(p->links[0].sub, first.sub));
    assert_int_equal(p->limits.max_object_bytes, 1);
    assert_int_equal(p->limits.requests_per_second, 1);
    assert_int_equal(p->limits.bytes_per_second, 3);
    wfl_packet_unref(p);
    wfl_buf_fini(&out);
    wfl_buf_fini(&parent);
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
    wfl_key_pair_free(&b);
}

static void nothing_unusable_is_issued(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2), b = key_of(3);
    struct wfl_issue    good = good_issue(&root, &a), bad;
    wfl_buf             out, parent;

    assert_code(issue(f, &good, &out), WFL_OK);
    wfl_buf_fini(&out);
#define REFUSED(name, expected, ...)                                                               \
    do {                                                                                           \
        bad = good;                                                                                \
        __VA_ARGS__;                                                                               \
        wfl_code rc_ = issue(f, &bad, &out);                                                       \
        if (rc_ != (expected)) fail_msg("%s: %s", name, wfl_code_name(rc_));                       \
        assert_int_equal(out.len, 0);                                                              \
        wfl_buf_fini(&out);                                                                        \
    } while (0)
    for (size_t i = 0; i < WFL_COUNT(grants_bad); i++) {
        char name[20];

        snprintf(name, sizeof name, "grant %zu", i);
        REFUSED(name, WFL_PACKET_MALFORMED, bad.grants = &grants_bad[i]);
    }
    struct wfl_grant many[65], long_prefix = get_photos;
    static char      prefix[8000];
    for (int i = 0; i < 65; i++)
        many[i] = get_photos;
    memset(prefix, 'p', sizeof prefix);
    long_prefix.prefix = wfl_slice_of(prefix, sizeof prefix);
    REFUSED("no grants", WFL_PACKET_MALFORMED, bad.grant_count = 0);
    REFUSED("65 grants", WFL_PACKET_MALFORMED, bad.grants = many, bad.grant_count = 65);
    REFUSED("too long", WFL_PACKET_MALFORMED, bad.grants = &long_prefix);
    size_t longest = 0; /* of all lengths the last that fits has 8192 bytes, or as good as */
    for (size_t len = 5300; len < 6000; len++) {
        bad = good;
        long_prefix.prefix.len = len;
        bad.grants = &long_prefix;
        if (issue(f, &bad, &out) == WFL_OK) longest = out.len;
        if (out.len == 0) assert_code(f->err.code, WFL_PACKET_MALFORMED);
        wfl_buf_fini(&out);
    }
    assert_in_range(longest, 8191, 8192);
    REFUSED("expires at once", WFL_PACKET_MALFORMED, bad.exp = bad.iat);
    REFUSED("never in force", WFL_PACKET_MALFORMED, bad.nbf = bad.exp);
    REFUSED("before time", WFL_PACKET_MALFORMED, bad.iat = -1);
    REFUSED("after time", WFL_PACKET_MALFORMED, bad.exp = (1ll << 53) + 1);
    REFUSED("delegates too much", WFL_PACKET_MALFORMED, bad.delegate = 5);
    REFUSED("no object", WFL_PACKET_MALFORMED, bad.limits.max_object_bytes = 0);
    REFUSED("no request", WFL_PACKET_MALFORMED, bad.limits.requests_per_second = 0);
    REFUSED("past integers", WFL_PACKET_MALFORMED, bad.limits.bytes_per_second = UINT64_MAX - 1);
    REFUSED("no holder", WFL_PACKET_MALFORMED, memset(&bad.holder, 0, sizeof bad.holder));
    REFUSED("sub that is no text", WFL_PACKET_MALFORMED, bad.sub = WFL_S("\x80"));
    REFUSED("aud that is no text", WFL_PACKET_MALFORMED, bad.aud = WFL_S("\xC0\xAF"));
    REFUSED("parent that is none", WFL_PACKET_MALFORMED, bad.parent = WFL_S("x"));

    assert_code(issue(f, &good, &parent), WFL_OK);
    good = good_issue(&a, &b);
    good.parent = wfl_buf_slice(&parent);
    good.delegate = 1;
    assert_code(issue(f, &good, &out), WFL_OK);
    wfl_buf_fini(&out);
    struct wfl_grant wider = get_photos;
    REFUSED("wider prefix", WFL_PACKET_ESCALATION, wider.prefix.len = 1, bad.grants = &wider);
    REFUSED("more ops", WFL_PACKET_ESCALATION, wider = get_photos, wider.ops = WFL_OP_PUT,
            bad.grants = &wider);
    REFUSED("other bucket", WFL_PACKET_ESCALATION, wider = get_photos,
            wider.bucket = WFL_S("photos2"), bad.grants = &wider);
    REFUSED("as much delegation", WFL_PACKET_ESCALATION, bad.delegate = 2);
    REFUSED("another signer", WFL_PACKET_UNTRUSTED, bad.signer = &b);
    REFUSED("begins when the parent ends", WFL_PACKET_MALFORMED, bad.iat += 3600, bad.exp += 3600);
    REFUSED("ended when the parent begins", WFL_PACKET_MALFORMED, bad.iat -= 3600,
            bad.exp -= 3600 + 31);
    wfl_buf_fini(&parent);
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
    wfl_key_pair_free(&b);
}

static void issuing_without_memory_issues_nothing(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2);
    struct wfl_issue    good = good_issue(&root, &a);
    wfl_buf             out;
    wfl_code            rc;
    uint64_t            k = 0;

    do {
        f->refuse = f->allocs + ++k;
        rc = issue(f, &good, &out);
        f->refuse = 0;
        if (rc != WFL_OK) assert_code(rc, WFL_NOMEM);
        if (rc != WFL_OK) assert_int_equal(out.len, 0);
        wfl_buf_fini(&out);
    } while (rc != WFL_OK);
    assert_in_range(k, 4, 40);
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
}

static void a_link_is_taken_back_by_its_signer_alone(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair root = key_of(1), a = key_of(2), b = key_of(3);
    struct wfl_packet  *client;
    char                chain[8200], link[4100], forged[4100], own[4100];
    wfl_ulid            jti = {{0}};
    int64_t             exp = 0;

    snprintf(own, sizeof own, "%s", packet_of(&root, &a));
    assert_code(wfl_packet_parse(wfl_slice_str(own), &f->alloc, &client, &f->err), WFL_OK);
    snprintf(chain, sizeof chain, "%s",
             link_of(own, &a, header_of(&a),
                     payload_of(&b, "[{\"bucket\":\"*\",\"ops\":[\"get\"]}]", "")));
    snprintf(link, sizeof link, "%s", strchr(chain, '~') + 1);
    snprintf(forged, sizeof forged, "%s", link);
    forged[strlen(forged) - 10] ^= 1;
    assert_code(
        wfl_packet_check_issued(client, wfl_slice_str(link), &f->alloc, &jti, &exp, &f->err),
        WFL_OK);
    assert_false(wfl_ulid_is_zero(&jti));
    assert_true(exp > NOW_SEC);

    const struct {
        const char *name, *text;
        wfl_code    code;
    } cases[] = {
        {"nothing", "", WFL_INVALID_REQUEST},
        {"no link", "a.b.c", WFL_INVALID_REQUEST},
        {"a chain", chain, WFL_INVALID_REQUEST},
        {"another's", own, WFL_FORBIDDEN},
        {"one whose signature does not verify", forged, WFL_FORBIDDEN},
    };
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_code rc = wfl_packet_check_issued(client, wfl_slice_str(cases[i].text), &f->alloc, &jti,
                                              &exp, &f->err);
        if (rc != cases[i].code) fail_msg("%s: %s", cases[i].name, wfl_code_name(rc));
    }
    wfl_packet_unref(client);
    wfl_key_pair_free(&root);
    wfl_key_pair_free(&a);
    wfl_key_pair_free(&b);
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(counts_end_where_the_protocol_says),
        case_of(a_packet_has_at_most_8192_bytes),
        case_of(json_nests_16_deep),
        case_of(a_chain_is_judged_in_the_protocols_order),
        case_of(grants_cover_what_they_name),
        case_of(a_link_is_taken_back_by_its_signer_alone),
        case_of(refused_memory_is_an_error_and_leaks_nothing),
        case_of(a_packet_is_never_read_with_bytes_missing),
        case_of(what_is_issued_holds),
        case_of(nothing_unusable_is_issued),
        case_of(issuing_without_memory_issues_nothing),
    };

    /* As it is by itself, but for the wrapping: auth leaves another program's allocator alone. */
    json_set_alloc_funcs(malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
