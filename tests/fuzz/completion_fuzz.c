/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of parts that completes an upload. What is accepted is within its limits, and written
 * anew it reads the same. */
#include "fuzz.h"

#include "server/upload_json.h"

static void write_hash(wfl_json *json, const wfl_hash *hash)
{
    char hex[2 * WFL_HASH_LEN + 1];

    wfl_hex_encode(wfl_slice_of(hash->bytes, WFL_HASH_LEN), hex);
    wfl_json_key(json, "blake3");
    wfl_json_cstr(json, hex);
}

static void write_list(const struct completion_list *list, wfl_buf *out)
{
    wfl_json json;

    wfl_buf_init(out, &wfl_alloc_libc, WFL_COMPLETION_BYTES_MAX);
    wfl_json_init(&json, out);
    wfl_json_object(&json);
    wfl_json_key(&json, "parts");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < list->count; i++) {
        wfl_json_object(&json);
        wfl_json_key(&json, "part");
        wfl_json_u64(&json, list->parts[i].number);
        write_hash(&json, &list->parts[i].blake3);
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    if (list->has_whole) write_hash(&json, &list->whole);
    wfl_json_end(&json);
    assert(wfl_buf_ok(out)); /* the limit has room for any list */
}

static void check_back(const struct completion_list *list, wfl_arena *arena)
{
    struct completion_list back;
    wfl_buf                text;
    wfl_error              err;

    write_list(list, &text);
    wfl_code rc = completion_list_parse(wfl_buf_slice(&text), arena, &back, &err);
    assert(rc == WFL_OK && back.count == list->count && back.has_whole == list->has_whole);
    for (uint32_t i = 0; i < list->count; i++) {
        assert(back.parts[i].number == list->parts[i].number);
        assert(memcmp(&back.parts[i].blake3, &list->parts[i].blake3, WFL_HASH_LEN) == 0);
    }
    if (list->has_whole) assert(memcmp(&back.whole, &list->whole, WFL_HASH_LEN) == 0);
    wfl_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct completion_list list;
    wfl_arena              arena;
    wfl_error              err = {0};

    wfl_arena_init(&arena, &wfl_alloc_libc, 4u << 20);
    wfl_code rc = completion_list_parse(wfl_slice_of(data, size), &arena, &list, &err);
    if (rc == WFL_OK) {
        assert(list.count <= WFL_PARTS_MAX);
        for (uint32_t i = 0; i < list.count; i++)
            assert(list.parts[i].number >= 1 && list.parts[i].number <= WFL_PARTS_MAX);
        check_back(&list, &arena);
    } else {
        assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_PART);
        assert(err.message[0] != '\0');
    }
    wfl_arena_fini(&arena);
    return 0;
}
