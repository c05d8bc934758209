/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE3 against tests/vectors/blake3.json, in one piece and in many. */
#include "test.h"

#include <jansson.h>

static json_t *load(void)
{
    char         path[1024];
    json_error_t error;
    json_t      *value;

    snprintf(path, sizeof path, "%s/tests/vectors/blake3.json", getenv("WFL_SOURCE_ROOT"));
    value = json_load_file(path, 0, &error);
    if (value == NULL) fail_msg("%s: %s", path, error.text);
    return value;
}

static uint8_t *input_of(size_t len)
{
    uint8_t *bytes = malloc(len + 1);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i % 251);
    return bytes;
}

static void expect(const wfl_hash *hash, const json_t *hex, const char *name)
{
    char text[2 * WFL_HASH_LEN + 1];

    wfl_hex_encode(wfl_slice_of(hash->bytes, sizeof hash->bytes), text);
    if (strcmp(text, json_string_value(hex)) != 0) fail_msg("%s bytes: %s", name, text);
}

static void hashes_are_the_vectors(void **state)
{
    json_t     *vectors = load(), *hashes = json_object_get(vectors, "hashes"), *hex;
    const char *name;

    (void)state;
    assert_true(json_object_size(hashes) > 5);
    json_object_foreach(hashes, name, hex)
    {
        size_t   len = strtoull(name, NULL, 10);
        uint8_t *bytes = input_of(len);
        wfl_hash hash = wfl_hash_of(wfl_slice_of(bytes, len));

        expect(&hash, hex, name);
        free(bytes);
    }
    json_decref(vectors);
}

static void pieces_of_any_size_hash_as_the_whole(void **state)
{
    struct prng rng = prng_from_env();
    json_t     *vectors = load(), *hashes = json_object_get(vectors, "hashes"), *hex;
    const char *name;

    (void)state;
    json_object_foreach(hashes, name, hex)
    {
        size_t            len = strtoull(name, NULL, 10), at = 0;
        uint8_t          *bytes = input_of(len);
        struct wfl_hasher h;
        wfl_hash          hash;

        wfl_hasher_init(&h);
        wfl_hasher_add(&h, (wfl_slice){0});
        while (at < len) {
            size_t n = prng_below(&rng, 3000);

            if (n > len - at) n = len - at;
            wfl_hasher_add(&h, wfl_slice_of(bytes + at, n));
            (void)wfl_hasher_result(&h); /* asking does not end it */
            at += n;
        }
        hash = wfl_hasher_result(&h);
        expect(&hash, hex, name);
        free(bytes);
    }
    json_decref(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_the_vectors),
        cmocka_unit_test(pieces_of_any_size_hash_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
