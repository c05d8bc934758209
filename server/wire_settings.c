/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket's settings from FlatBuffers. They become the JSON that says the same, which the store
 * judges: one set of rules, and a patch is applied where it always is. They are small. */
#include "server/wire.h"

#include "schema/wire.h"

#define TEXT_BYTES_MAX 4096 /* all of them with the largest numbers are less */

static bool is_given(const struct wfl_wire_settings *in, wfl_slice name, bool *known)
{
    *known = true;
    for (size_t i = 0; i < WFL_WIRE_SETTINGS; i++)
        if (wfl_slice_eq(wfl_slice_str(in->numbers[i].name), name)) return in->numbers[i].given;
    *known = wfl_slice_eq(name, WFL_S("public_read"));
    return *known && in->has_public_read;
}

static wfl_slice unset_at(const struct wfl_wire_settings *in, uint32_t i)
{
    struct wfl_record_bytes name = wfl_wire_unset_at(in, i);

    return wfl_slice_of(name.data, name.len);
}

/* In JSON a member cannot be there twice. */
static wfl_code check_unset(const struct wfl_wire_settings *in, wfl_error *err)
{
    if (in->unset_count > WFL_WIRE_SETTINGS + 1)
        return wfl_fail(err, WFL_INVALID_SETTING, "unset has more names than there are settings");
    for (uint32_t i = 0; i < in->unset_count; i++) {
        wfl_slice name = unset_at(in, i);
        bool      known, twice = is_given(in, name, &known);

        for (uint32_t k = 0; k < i; k++)
            twice = twice || wfl_slice_eq(unset_at(in, k), name);
        if (!known) return wfl_fail(err, WFL_INVALID_SETTING, "unset has an unknown setting");
        if (twice) return wfl_fail(err, WFL_INVALID_SETTING, "%.*s is there twice", WFL_FMT(name));
    }
    return WFL_OK;
}

static void write_members(const struct wfl_wire_settings *in, wfl_json *json)
{
    wfl_json_object(json);
    for (size_t i = 0; i < WFL_WIRE_SETTINGS; i++) {
        if (!in->numbers[i].given) continue;
        wfl_json_key(json, in->numbers[i].name);
        wfl_json_i64(json, in->numbers[i].value);
    }
    if (in->has_public_read) {
        wfl_json_key(json, "public_read");
        wfl_json_bool(json, in->public_read);
    }
    for (uint32_t i = 0; i < in->unset_count; i++) {
        wfl_json_key_slice(json, unset_at(in, i));
        wfl_json_null(json);
    }
    wfl_json_end(json);
}

static wfl_code write_text(const struct wfl_wire_settings *in, wfl_arena *arena, wfl_slice *out,
                           wfl_error *err)
{
    wfl_buf  text;
    wfl_json json;
    bool     ok;

    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&json, &text);
    write_members(in, &json);
    ok = wfl_buf_ok(&text) && wfl_arena_copy(arena, wfl_buf_slice(&text), out);
    wfl_buf_fini(&text);
    return ok ? WFL_OK : wfl_fail(err, WFL_NOMEM, "settings: out of memory");
}

wfl_code wire_settings_text(wfl_slice message, bool patch, wfl_arena *arena, wfl_slice *out,
                            wfl_error *err)
{
    struct wfl_wire_settings settings;

    *out = message;
    if (message.len == 0) return WFL_OK;
    if (!wfl_wire_settings_read(message.data, message.len, &settings))
        return wfl_fail(err, WFL_INVALID_REQUEST, "the body is no FlatBuffers message of settings");
    if (settings.unknown)
        return wfl_fail(err, WFL_INVALID_SETTING, "there is a setting that is not known");
    if (!patch && settings.unset_count > 0)
        return wfl_fail(err, WFL_INVALID_SETTING, "unset is for PATCH");
    if (check_unset(&settings, err) != WFL_OK) return err->code;
    return write_text(&settings, arena, out, err);
}
