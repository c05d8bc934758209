/* SPDX-License-Identifier: Apache-2.0
 *
 * FlatBuffers messages. The first byte says what is expected: settings (s), a patch of them (p), a
 * batch whose ops name their buckets (*), any other: a batch of one bucket. The rest lies in memory
 * of exactly its size, as a request's body does. What becomes of settings is JSON that the store
 * may refuse, but never for its form; nothing of a batch points out of its message. */
#include "batch_checks.h"

#include "server/wire.h"

static void check_settings(wfl_slice message, bool is_patch)
{
    struct wfl_bucket_settings settings;
    wfl_arena                  arena;
    wfl_slice                  text;
    wfl_error                  err = {0};

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_code rc = wire_settings_text(message, is_patch, &arena, &text, &err);
    if (rc == WFL_OK) {
        rc = wfl_settings_parse(WFL_S("{}"), &settings, &err);
        assert(rc == WFL_OK);
        if (is_patch && text.len > 0)
            rc = wfl_settings_patch(text, &settings, &err);
        else
            rc = wfl_settings_parse(text, &settings, &err);
        assert(rc == WFL_OK || rc == WFL_INVALID_SETTING);
    } else {
        assert(rc == WFL_INVALID_REQUEST || rc == WFL_INVALID_SETTING);
        assert(rc == err.code && err.message[0] != '\0');
    }
    wfl_arena_fini(&arena);
}

static void check_inside(wfl_slice part, wfl_slice message)
{
    assert(part.len == 0 ||
           (part.data >= message.data && part.data + part.len <= message.data + message.len));
}

static void check_contents(const struct batch_doc *doc, wfl_slice message)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < doc->count; i++) {
        check_inside(doc->ops[i].key, message);
        check_inside(doc->ops[i].from, message);
        check_inside(doc->ops[i].content, message);
        bytes += doc->ops[i].content.len;
    }
    assert(bytes <= WFL_BATCH_BYTES_MAX);
}

static void check_message(wfl_slice message, wfl_slice bucket)
{
    struct batch_doc doc;
    wfl_error        err = {0};
    wfl_code         rc = wire_batch_parse(message, bucket, &doc, &err);

    if (rc == WFL_OK) {
        check_batch(&doc, message);
        check_contents(&doc, message);
    } else {
        assert(rc == WFL_INVALID_REQUEST || rc == WFL_INVALID_BATCH || rc == WFL_BATCH_TOO_LARGE ||
               rc == WFL_INVALID_BUCKET || rc == WFL_INVALID_KEY || rc == WFL_RESERVED_KEY);
        assert(rc == err.code && err.message[0] != '\0');
    }
    batch_doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t  *copy;
    wfl_slice message;

    if (size < 2) return 0;
    copy = malloc(size - 1);
    assert(copy != NULL);
    memcpy(copy, data + 1, size - 1);
    message = wfl_slice_of(copy, size - 1);
    if (data[0] == 's' || data[0] == 'p')
        check_settings(message, data[0] == 'p');
    else
        check_message(message, data[0] == '*' ? (wfl_slice){0} : WFL_S("photos"));
    free(copy);
    return 0;
}
