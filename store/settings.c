/* SPDX-License-Identifier: Apache-2.0
 *
 * Bucket settings: JSON in, JSON out. What is unknown is refused: a setting that is accepted and
 * ignored would promise what nobody keeps. Fails with INVALID_JSON where the text is no JSON
 * object, INVALID_SETTING for a member that is unknown, mistyped or out of range. */
#include <inttypes.h>
#include <jansson.h>

#include "store/internal.h"

#define SETTINGS_TEXT_MAX (64 << 10)         /* bytes; far above what all members need */
#define SETTING_MAX       (INT64_C(1) << 53) /* integers that every JSON reader keeps exactly */

static const struct {
    const char *name;
    size_t      offset; /* of an int64_t */
    int64_t     min;
    int64_t     fallback;
} members[] = {
    {"versions", offsetof(struct wfl_bucket_settings, versions), -1, 0},
    {"retain_seconds", offsetof(struct wfl_bucket_settings, retain_seconds), 0, -1},
    {"quota_bytes", offsetof(struct wfl_bucket_settings, quota_bytes), 0, -1},
    {"quota_objects", offsetof(struct wfl_bucket_settings, quota_objects), 0, -1},
    {"max_object_bytes", offsetof(struct wfl_bucket_settings, max_object_bytes), 0, -1},
    {"requests_per_second", offsetof(struct wfl_bucket_settings, requests_per_second), 1, -1},
    {"bytes_per_second", offsetof(struct wfl_bucket_settings, bytes_per_second), 1, -1},
    {"expire_seconds", offsetof(struct wfl_bucket_settings, expire_seconds), 1, -1},
    {"change_retain_seconds", offsetof(struct wfl_bucket_settings, change_retain_seconds), 1, -1},
};

static int64_t *member_of(struct wfl_bucket_settings *s, size_t i)
{
    return (int64_t *)(void *)((char *)s + members[i].offset);
}

static wfl_code set_public_read(const json_t *value, struct wfl_bucket_settings *out,
                                wfl_error *err)
{
    if (!json_is_boolean(value))
        return wfl_fail(err, WFL_INVALID_SETTING, "public_read must be true or false");
    out->public_read = json_is_true(value);
    return WFL_OK;
}

static wfl_code set_integer(size_t i, const json_t *value, struct wfl_bucket_settings *out,
                            wfl_error *err)
{
    if (!json_is_integer(value))
        return wfl_fail(err, WFL_INVALID_SETTING, "%s must be an integer", members[i].name);
    int64_t n = json_integer_value(value);
    if (n < members[i].min || n > SETTING_MAX)
        return wfl_fail(err, WFL_INVALID_SETTING, "%s must be from %" PRId64 " to %" PRId64,
                        members[i].name, members[i].min, SETTING_MAX);
    *member_of(out, i) = n;
    return WFL_OK;
}

static wfl_code set_member(const char *name, const json_t *value, struct wfl_bucket_settings *out,
                           wfl_error *err)
{
    for (size_t i = 0; i < WFL_COUNT(members); i++)
        if (strcmp(name, members[i].name) == 0) return set_integer(i, value, out, err);
    if (strcmp(name, "public_read") == 0) return set_public_read(value, out, err);
    return wfl_fail(err, WFL_INVALID_SETTING, "unknown setting %s", name);
}

static struct wfl_bucket_settings defaults(void)
{
    struct wfl_bucket_settings s = {0};

    for (size_t i = 0; i < WFL_COUNT(members); i++)
        *member_of(&s, i) = members[i].fallback;
    return s;
}

/* RFC 7396: null removes, which takes a setting back to its default. */
static wfl_code patch_member(const char *name, const json_t *value, struct wfl_bucket_settings *out,
                             wfl_error *err)
{
    struct wfl_bucket_settings plain = defaults();

    if (!json_is_null(value)) return set_member(name, value, out, err);
    for (size_t i = 0; i < WFL_COUNT(members); i++) {
        if (strcmp(name, members[i].name) != 0) continue;
        *member_of(out, i) = *member_of(&plain, i);
        return WFL_OK;
    }
    if (strcmp(name, "public_read") != 0)
        return wfl_fail(err, WFL_INVALID_SETTING, "unknown setting %s", name);
    out->public_read = false;
    return WFL_OK;
}

static wfl_code load_json(wfl_slice json, json_t **out, wfl_error *err)
{
    json_error_t wrong = {0}; /* jansson leaves the code alone where it knows none */

    if (json.len > SETTINGS_TEXT_MAX)
        return wfl_fail(err, WFL_INVALID_JSON, "settings are longer than %d bytes",
                        SETTINGS_TEXT_MAX);
    *out = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                      &wrong);
    if (*out == NULL) {
        /* Where memory ends, jansson says so, says nothing, or takes a cut token for bad syntax. */
        enum json_error_code code = json_error_code(&wrong);
        if (code == json_error_out_of_memory || code == json_error_unknown)
            return wfl_fail(err, WFL_NOMEM, "no memory for the settings");
        return wfl_fail(err, WFL_INVALID_JSON, "settings, line %d: %s", wrong.line, wrong.text);
    }
    if (json_is_object(*out)) return WFL_OK;
    json_decref(*out);
    return wfl_fail(err, WFL_INVALID_JSON, "settings must be a JSON object");
}

static wfl_code apply_json(wfl_slice json, struct wfl_bucket_settings *settings,
                           wfl_code (*member)(const char *name, const json_t *value,
                                              struct wfl_bucket_settings *out, wfl_error *err),
                           wfl_error *err)
{
    struct wfl_bucket_settings s = *settings;
    const char                *name;
    json_t                    *value, *root = NULL;
    wfl_code                   rc = load_json(json, &root, err);

    if (rc != WFL_OK) return rc;
    json_object_foreach(root, name, value)
    {
        rc = member(name, value, &s, err);
        if (rc != WFL_OK) break;
    }
    json_decref(root);
    if (rc == WFL_OK) *settings = s;
    return rc;
}

wfl_code wfl_settings_parse(wfl_slice json, struct wfl_bucket_settings *out, wfl_error *err)
{
    struct wfl_bucket_settings s = defaults();
    wfl_code                   rc = json.len == 0 ? WFL_OK : apply_json(json, &s, set_member, err);

    if (rc == WFL_OK) *out = s;
    return rc;
}

wfl_code wfl_settings_patch(wfl_slice json, struct wfl_bucket_settings *settings, wfl_error *err)
{
    return apply_json(json, settings, patch_member, err);
}

void wfl_settings_write(const struct wfl_bucket_settings *s, wfl_json *out)
{
    struct wfl_bucket_settings copy = *s;

    wfl_json_object(out);
    for (size_t i = 0; i < WFL_COUNT(members); i++) {
        int64_t n = *member_of(&copy, i);
        if (members[i].fallback < 0 && n < 0) continue; /* not set */
        wfl_json_key(out, members[i].name);
        wfl_json_i64(out, n);
    }
    if (s->public_read) {
        wfl_json_key(out, "public_read");
        wfl_json_bool(out, true);
    }
    wfl_json_end(out);
}
