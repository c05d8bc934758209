/* SPDX-License-Identifier: Apache-2.0
 *
 * Bucket settings. What is accepted, as settings or as a patch of others, is written, read back the
 * same, and written the same again. A patch that is refused changes nothing. */
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

static void check_back(const struct wfl_bucket_settings *settings)
{
    struct wfl_bucket_settings back;
    wfl_error                  err = {0};
    wfl_buf                    text, again;

    write_text(settings, &text);
    wfl_code rc = wfl_settings_parse(wfl_buf_slice(&text), &back, &err);
    assert(rc == WFL_OK);
    write_text(&back, &again);
    assert(wfl_slice_eq(wfl_buf_slice(&text), wfl_buf_slice(&again)));
    wfl_buf_fini(&again);
    wfl_buf_fini(&text);
}

static void check_refused(wfl_code rc, const wfl_error *err)
{
    assert(rc == WFL_INVALID_JSON || rc == WFL_INVALID_SETTING);
    assert(rc == err->code && err->message[0] != '\0');
}

static void patch(wfl_slice json)
{
    struct wfl_bucket_settings settings, before;
    wfl_error                  err = {0};
    wfl_code                   rc = wfl_settings_parse(
                          WFL_S("{\"versions\":3,\"quota_bytes\":7,\"public_read\":true}"), &settings, &err);

    assert(rc == WFL_OK);
    before = settings;
    rc = wfl_settings_patch(json, &settings, &err);
    if (rc == WFL_OK) {
        check_back(&settings);
        return;
    }
    check_refused(rc, &err);
    assert(memcmp(&before, &settings, sizeof before) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wfl_bucket_settings settings;
    wfl_error                  err = {0};
    wfl_code                   rc = wfl_settings_parse(wfl_slice_of(data, size), &settings, &err);

    if (rc == WFL_OK)
        check_back(&settings);
    else
        check_refused(rc, &err);
    patch(wfl_slice_of(data, size));
    return 0;
}
