/* SPDX-License-Identifier: Apache-2.0
 *
 * Every case of the protocol's test vectors: keys, packets, canonical requests. */
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

static json_t *load(const char *name)
{
    char         path[1024];
    json_error_t error;
    json_t      *value;

    snprintf(path, sizeof path, "%s/tests/vectors/%s", getenv("WFL_SOURCE_ROOT"), name);
    value = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (value == NULL) fail_msg("%s: %s", path, error.text);
    return value;
}

static wfl_slice text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return wfl_slice_of(json_string_value(value), json_string_length(value));
}

static struct wfl_key_pair key_named(const json_t *keys, const char *name)
{
    uint8_t             seed[32];
    struct wfl_key_pair pair = {0};
    wfl_error           err;

    assert_true(wfl_hex_decode(text_of(json_object_get(keys, name), "seed_hex"), seed, 32));
    assert_int_equal(wfl_key_from_seed(seed, &pair, &err), WFL_OK);
    return pair;
}

static void keys_have_their_thumbprints(void **state)
{
    json_t     *keys = load("keys.json"), *value;
    const char *name;

    (void)state;
    json_object_foreach(keys, name, value)
    {
        struct wfl_key_pair pair = key_named(keys, name);
        wfl_public_key      parsed;
        wfl_error           err;
        char                hex[65];
        char               *jwk = json_dumps(json_object_get(value, "jwk"), 0);

        wfl_hex_encode(wfl_slice_of(pair.pub.bytes, 32), hex);
        assert_true(wfl_slice_eq(wfl_slice_str(hex), text_of(value, "public_hex")));
        assert_true(wfl_slice_eq(wfl_slice_str(wfl_key_thumb(&pair.pub).text),
                                 text_of(value, "thumbprint")));
        assert_int_equal(wfl_key_parse_public(wfl_slice_str(jwk), &parsed, &err), WFL_OK);
        assert_memory_equal(parsed.bytes, pair.pub.bytes, 32);
        free(jwk);
        wfl_key_pair_free(&pair);
    }
    json_decref(keys);
}

/* ---- packets */

static bool listed(const json_t *list, wfl_slice text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);

        if (wfl_slice_eq(text, wfl_slice_of(json_string_value(item), json_string_length(item))))
            return true;
    }
    return false;
}

static bool jti_listed(void *ctx, const wfl_ulid *jti)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(jti, text);
    return listed(json_object_get(ctx, "jti"), wfl_slice_str(text));
}

static bool kid_listed(void *ctx, wfl_slice kid)
{
    return listed(json_object_get(ctx, "kid"), kid);
}

static bool is_revoked(void *ctx, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder)
{
    return jti_listed(ctx, jti) || kid_listed(ctx, kid) || kid_listed(ctx, holder);
}

static uint32_t roots_of(const json_t *keys, const json_t *thumbs, wfl_public_key *roots)
{
    const char *name;
    json_t     *value;
    uint32_t    count = 0;

    json_object_foreach((json_t *)(uintptr_t)keys, name, value)
    {
        if (listed(thumbs, text_of(value, "thumbprint"))) {
            assert_true(wfl_hex_decode(text_of(value, "public_hex"), roots[count++].bytes, 32));
        }
    }
    return count;
}

static void check_grants(const char *name, const json_t *expected, const struct wfl_packet *p)
{
    const struct wfl_link *link = wfl_packet_last(p);

    if (json_array_size(expected) != link->grant_count)
        fail_msg("%s: %u grants", name, link->grant_count);
    for (uint32_t i = 0; i < link->grant_count; i++) {
        const json_t *grant = json_array_get(expected, i), *ops = json_object_get(grant, "ops");
        unsigned      bits = 0;

        for (size_t o = 0; o < json_array_size(ops); o++) {
            bits |= wfl_op_parse(wfl_slice_str(json_string_value(json_array_get(ops, o))));
        }
        assert_true(wfl_slice_eq(link->grants[i].bucket, text_of(grant, "bucket")));
        assert_true(wfl_slice_eq(link->grants[i].prefix, text_of(grant, "prefix")));
        assert_int_equal(link->grants[i].ops, bits);
    }
}

static void check_packet(const json_t *keys, const json_t *c)
{
    const char            *name = json_string_value(json_object_get(c, "name"));
    json_t                *revoked = json_object_get(c, "revoked");
    struct wfl_revocations revocations = {.revoked = is_revoked, .ctx = revoked};
    wfl_public_key         roots[8];
    struct wfl_trust       trust = {.roots = roots, .audience = text_of(c, "audience")};
    struct wfl_packet     *packet = NULL;
    wfl_error              err = {0};
    wfl_code               rc;

    trust.root_count = roots_of(keys, json_object_get(c, "roots"), roots);
    if (revoked != NULL) trust.revocations = &revocations;
    rc = wfl_packet_parse(text_of(c, "packet"), &wfl_alloc_libc, &packet, &err);
    if (rc == WFL_OK)
        rc = wfl_packet_verify(packet, &trust, json_integer_value(json_object_get(c, "now")), &err);
    if (!wfl_slice_eq(wfl_slice_str(wfl_code_name(rc)), text_of(c, "result"))) {
        fail_msg("%s: %s (%s)", name, wfl_code_name(rc), err.message);
    }
    if (rc == WFL_OK && json_object_get(c, "client") != NULL) {
        assert_true(wfl_slice_eq(wfl_slice_str(wfl_packet_last(packet)->holder_thumb.text),
                                 text_of(c, "client")));
    }
    if (rc == WFL_OK && json_object_get(c, "effective_grants") != NULL) {
        check_grants(name, json_object_get(c, "effective_grants"), packet);
    }
    wfl_packet_unref(packet);
}

static void packets_are_judged_as_the_vectors_say(void **state)
{
    json_t *keys = load("keys.json"), *cases = load("packets.json");

    (void)state;
    assert_true(json_array_size(cases) > 90);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_packet(keys, json_array_get(cases, i));
    json_decref(cases);
    json_decref(keys);
}

/* ---- canonical requests */

static void check_canonical(const json_t *keys, const json_t *c)
{
    const char             *name = json_string_value(json_object_get(c, "name"));
    const json_t           *list = json_object_get(c, "headers");
    struct wfl_auth_header  headers[32];
    struct wfl_auth_request r = {.method = text_of(c, "method"),
                                 .authority = text_of(c, "authority"),
                                 .headers = headers,
                                 .header_count = (uint32_t)json_array_size(list)};
    wfl_slice               target = text_of(c, "target");
    char                    credential[65], hex[65];
    uint8_t                 signature[64];
    size_t                  len;
    wfl_arena               arena;
    wfl_buf                 text;
    wfl_error               err;

    wfl_slice_split(&target, '?', &r.path);
    r.query = target;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);

        headers[i] =
            (struct wfl_auth_header){wfl_slice_str(json_string_value(json_array_get(pair, 0))),
                                     wfl_slice_str(json_string_value(json_array_get(pair, 1)))};
    }
    wfl_auth_sha256_hex(text_of(c, "credential"), credential);
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
    assert_int_equal(wfl_canonical_write(&r, credential, &arena, &text, &err), WFL_OK);
    if (!wfl_slice_eq(wfl_buf_slice(&text), text_of(c, "canonical"))) {
        fail_msg("%s:\n%.*s", name, WFL_FMT(wfl_buf_slice(&text)));
    }
    wfl_auth_sha256_hex(wfl_buf_slice(&text), hex);
    assert_true(wfl_slice_eq(wfl_slice_str(hex), text_of(c, "canonical_sha256")));
    if (wfl_slice_eq(text_of(c, "scheme"), WFL_S("Bearer"))) {
        struct wfl_key_pair key = key_named(keys, json_string_value(json_object_get(c, "key")));

        assert_true(wfl_b64u_decode(text_of(c, "signature"), signature, 64, &len));
        assert_true(wfl_key_verify(&key.pub, wfl_buf_slice(&text), signature));
        wfl_key_sign(&key, wfl_buf_slice(&text), signature);
        char again[90];
        wfl_b64u_encode(wfl_slice_of(signature, 64), again);
        assert_true(wfl_slice_eq(wfl_slice_str(again), text_of(c, "signature")));
        wfl_key_pair_free(&key);
    }
    wfl_buf_fini(&text);
    wfl_arena_fini(&arena);
}

static void requests_become_the_vectors_text(void **state)
{
    json_t *keys = load("keys.json"), *cases = load("canonical.json");

    (void)state;
    assert_true(json_array_size(cases) > 10);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_canonical(keys, json_array_get(cases, i));
    json_decref(cases);
    json_decref(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_have_their_thumbprints),
        cmocka_unit_test(packets_are_judged_as_the_vectors_say),
        cmocka_unit_test(requests_become_the_vectors_text),
    };
    wfl_error err;

    if (wfl_auth_init(&err) != WFL_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
