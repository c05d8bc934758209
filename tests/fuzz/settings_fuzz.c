/* SPDX-License-Identifier: Apache-2.0
 *
 * Bucket settings. What is accepted is written, read back the same, and written the same again. */
#include "fuzz.h"

#include "store/store.h"

static void write_text(const struct wfl_bucket_settings *s, wfl_buf *out)
{
    wfl_json json;

    wfl_buf_init(out, &wfl_alloc_libc, 64u << 10);
    wfl_json_init(&json, out);
    wfl_settings_write(s, &json);
    assert(wfl_buf_ok(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wfl_bucket_settings settings, back;
    wfl_error                  err = {0};
    wfl_buf                    text, again;
    wfl_code                   rc = wfl_settings_parse(wfl_slice_of(data, size), &settings, &err);

    if (rc != WFL_OK) {
        assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_SETTING);
        assert(err.message[0] != '\0');
        return 0;
    }
    write_text(&settings, &text);
    rc = wfl_settings_parse(wfl_buf_slice(&text), &back, &err);
    assert(rc == WFL_OK);
    write_text(&back, &again);
    assert(wfl_slice_eq(wfl_buf_slice(&text), wfl_buf_slice(&again)));
    wfl_buf_fini(&again);
    wfl_buf_fini(&text);
    return 0;
}
