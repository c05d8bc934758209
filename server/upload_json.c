/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of parts that completes an upload, from bytes to values. Strict: unknown, repeated or
 * missing members and wrong types are refused. Order and existence of parts are the store's. */
#include "server/upload_json.h"

#include <jansson.h>

static wfl_code wrong_shape(wfl_error *err, const char *what)
{
    return wfl_fail(err, WFL_INVALID_JSON, "the list of parts: %s", what);
}

static bool hash_of(const json_t *value, wfl_hash *out)
{
    wfl_slice text = wfl_slice_of(json_string_value(value), json_string_length(value));

    return json_is_string(value) && text.len == (size_t)2 * WFL_HASH_LEN &&
           wfl_hex_decode(text, out->bytes, WFL_HASH_LEN);
}

static wfl_code take_part(const json_t *value, struct wfl_part *out, wfl_error *err)
{
    const json_t *number = json_object_get(value, "part");

    if (!json_is_object(value) || json_object_size(value) != 2 || !json_is_integer(number) ||
        !hash_of(json_object_get(value, "blake3"), &out->blake3))
        return wrong_shape(err, "each is {\"part\":N,\"blake3\":\"64 hex\"}");
    if (json_integer_value(number) < 1 || json_integer_value(number) > WFL_PARTS_MAX)
        return wfl_fail(err, WFL_INVALID_PART, "parts are numbered from 1 to %d", WFL_PARTS_MAX);
    out->number = (uint32_t)json_integer_value(number);
    return WFL_OK;
}

static wfl_code take_parts(const json_t *list, wfl_arena *arena, struct completion_list *out,
                           wfl_error *err)
{
    size_t   count = json_array_size(list);
    wfl_code rc = WFL_OK;

    if (!json_is_array(list)) return wrong_shape(err, "parts must be a list");
    if (count > WFL_PARTS_MAX)
        return wfl_fail(err, WFL_INVALID_PART, "an object has at most %d parts", WFL_PARTS_MAX);
    out->parts = wfl_arena_zero(arena, count + 1, sizeof *out->parts);
    if (out->parts == NULL) return wfl_fail(err, WFL_NOMEM, "the list of parts: out of memory");
    out->count = (uint32_t)count;
    for (size_t i = 0; rc == WFL_OK && i < count; i++)
        rc = take_part(json_array_get(list, i), &out->parts[i], err);
    return rc;
}

static wfl_code take_root(const json_t *root, wfl_arena *arena, struct completion_list *out,
                          wfl_error *err)
{
    const json_t *parts = json_object_get(root, "parts"), *whole = json_object_get(root, "blake3");

    out->has_whole = whole != NULL;
    if (!json_is_object(root) || parts == NULL ||
        json_object_size(root) != (out->has_whole ? 2u : 1u))
        return wrong_shape(err, "it has the members parts and, if you like, blake3");
    if (out->has_whole && !hash_of(whole, &out->whole))
        return wrong_shape(err, "blake3 is 64 characters of hex");
    return take_parts(parts, arena, out, err);
}

wfl_code completion_list_parse(wfl_slice json, wfl_arena *arena, struct completion_list *out,
                               wfl_error *err)
{
    json_error_t wrong = {0};
    json_t      *root;
    wfl_code     rc;

    memset(out, 0, sizeof *out);
    if (json.len == 0 || json.len > WFL_COMPLETION_BYTES_MAX)
        return wrong_shape(err, "it is empty or too long");
    root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &wrong);
    if (root == NULL) {
        enum json_error_code code = json_error_code(&wrong);
        if (code == json_error_out_of_memory || code == json_error_unknown)
            return wfl_fail(err, WFL_NOMEM, "the list of parts: out of memory");
        return wfl_fail(err, WFL_INVALID_JSON, "the list of parts, line %d: %s", wrong.line,
                        wrong.text);
    }
    rc = take_root(root, arena, out, err);
    json_decref(root);
    return rc;
}
