/* SPDX-License-Identifier: Apache-2.0
 *
 * The edges of Ed25519 and X25519 (tests/vectors-own): small orders, encodings that are not
 * canonical, S beyond the order, what is right by the cofactor alone, points off the curve. */
#include "auth/auth_private.h"

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

    snprintf(path, sizeof path, "%s/tests/vectors-own/%s", getenv("WFL_SOURCE_ROOT"), name);
    value = json_load_file(path, 0, &error);
    if (value == NULL) fail_msg("%s: %s", path, error.text);
    return value;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* Into `out` of `cap` bytes; the length. */
static size_t bytes_of(const json_t *object, const char *name, uint8_t *out, size_t cap)
{
    wfl_slice hex = wfl_slice_str(text_of(object, name));

    assert_true(hex.len / 2 <= cap);
    assert_true(wfl_hex_decode(hex, out, hex.len / 2));
    return hex.len / 2;
}

static void signatures_at_the_edges(void **state)
{
    json_t *cases = load("ed25519.json"), *value;
    size_t  i;

    (void)state;
    json_array_foreach(cases, i, value)
    {
        wfl_public_key key;
        uint8_t        message[2048], signature[WFL_SIGNATURE_LEN];
        size_t         len = bytes_of(value, "message_hex", message, sizeof message);
        bool           usable, valid;

        (void)bytes_of(value, "public_hex", key.bytes, sizeof key.bytes);
        assert_int_equal(bytes_of(value, "signature_hex", signature, sizeof signature), 64);
        usable = wfl_key_usable(&key);
        valid = wfl_key_verify(&key, wfl_slice_of(message, len), signature);
        if (usable != json_is_true(json_object_get(value, "usable")))
            fail_msg("%s: usable %d", text_of(value, "name"), usable);
        if (valid != json_is_true(json_object_get(value, "valid")))
            fail_msg("%s: valid %d", text_of(value, "name"), valid);
    }
    assert_true(i > 150);
    json_decref(cases);
}

static void exchanges_at_the_edges(void **state)
{
    json_t *cases = load("x25519.json"), *value;
    size_t  i;

    (void)state;
    json_array_foreach(cases, i, value)
    {
        uint8_t private_key[32], other[32], prk[32], expected[32] = {0};
        bool    accepted;

        (void)bytes_of(value, "private_hex", private_key, sizeof private_key);
        (void)bytes_of(value, "public_hex", other, sizeof other);
        (void)bytes_of(value, "prk_hex", expected, sizeof expected);
        accepted =
            session_derive(private_key, other, wfl_slice_str(text_of(value, "transcript")), prk);
        if (accepted != json_is_true(json_object_get(value, "accepted")))
            fail_msg("%s: accepted %d", text_of(value, "name"), accepted);
        if (memcmp(prk, expected, sizeof prk) != 0) /* zeros where it is refused */
            fail_msg("%s: another key", text_of(value, "name"));
    }
    assert_true(i > 150);
    json_decref(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_at_the_edges),
        cmocka_unit_test(exchanges_at_the_edges),
    };
    wfl_error err;

    if (wfl_auth_init(&err) != WFL_OK) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
