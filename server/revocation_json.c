/* SPDX-License-Identifier: Apache-2.0
 *
 * The body of a revocation and the entries that are shown. Strict: exactly one of the three things
 * that can be revoked, nothing unknown, nothing twice. A jti and a thumbprint have one writing
 * each, so no entry can look like another and miss it. */
#include "server/revocation_json.h"

#include <jansson.h>

#define THUMB_BYTES 32

static wfl_code wrong_shape(wfl_error *err, const char *what)
{
    return wfl_fail(err, WFL_INVALID_REQUEST, "a revocation: %s", what);
}

static bool take_kid(wfl_slice text, char out[WFL_KID_LEN + 1])
{
    uint8_t bytes[THUMB_BYTES + 2];
    size_t  len;

    if (text.len != WFL_KID_LEN || !wfl_b64u_decode(text, bytes, sizeof bytes, &len) ||
        len != THUMB_BYTES)
        return false;
    memcpy(out, text.data, WFL_KID_LEN);
    out[WFL_KID_LEN] = '\0';
    return true;
}

static bool take_reason(wfl_slice text, char out[WFL_REASON_MAX + 1])
{
    if (text.len > WFL_REASON_MAX) return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] == 0x7F) return false;
    if (text.len > 0) memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static wfl_code take_member(const char *name, const json_t *value, wfl_arena *arena,
                            struct revocation_body *out, wfl_error *err)
{
    wfl_slice text = wfl_slice_of(json_string_value(value), json_string_length(value));

    if (!json_is_string(value)) return wrong_shape(err, "each member is a string");
    if (strcmp(name, "reason") == 0) {
        if (take_reason(text, out->what.reason)) return WFL_OK;
        return wrong_shape(err, "reason has at most 256 bytes and no control characters");
    }
    if (strcmp(name, "jti") == 0) {
        out->what.kind = WFL_REVOKED_JTI;
        if (wfl_ulid_parse(text, &out->what.jti)) return WFL_OK;
        return wrong_shape(err, "jti is a ULID");
    }
    if (strcmp(name, "kid") == 0) {
        out->what.kind = WFL_REVOKED_KID;
        if (take_kid(text, out->what.kid)) return WFL_OK;
        return wrong_shape(err, "kid is the thumbprint of a key, 43 characters");
    }
    if (strcmp(name, "link") == 0) {
        out->what.kind = WFL_REVOKED_LINK;
        if (text.len == 0) return wrong_shape(err, "link is empty");
        if (wfl_arena_copy(arena, text, &out->link)) return WFL_OK;
        return wfl_fail(err, WFL_NOMEM, "a revocation: out of memory");
    }
    return wrong_shape(err, "it has jti, kid or link, and reason if you like");
}

static wfl_code take_root(json_t *root, wfl_arena *arena, struct revocation_body *out,
                          wfl_error *err)
{
    bool        has_reason = json_object_get(root, "reason") != NULL;
    const char *name;
    json_t     *value;
    wfl_code    rc = WFL_OK;

    if (!json_is_object(root) || json_object_size(root) != (has_reason ? 2u : 1u))
        return wrong_shape(err, "it has one of jti, kid and link, and reason if you like");
    json_object_foreach(root, name, value)
    {
        rc = take_member(name, value, arena, out, err);
        if (rc != WFL_OK) break;
    }
    return rc;
}

wfl_code revocation_body_parse(wfl_slice json, wfl_arena *arena, struct revocation_body *out,
                               wfl_error *err)
{
    json_error_t wrong = {0};
    json_t      *root;
    wfl_code     rc;

    memset(out, 0, sizeof *out);
    if (json.len == 0 || json.len > WFL_REVOCATION_BYTES_MAX)
        return wfl_fail(err, WFL_INVALID_JSON, "a revocation: it is empty or too long");
    root = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                      &wrong);
    if (root == NULL) {
        enum json_error_code code = json_error_code(&wrong);
        if (code == json_error_out_of_memory || code == json_error_unknown)
            return wfl_fail(err, WFL_NOMEM, "a revocation: out of memory");
        return wfl_fail(err, WFL_INVALID_JSON, "a revocation, line %d: no JSON, or a member twice",
                        wrong.line); /* jansson's own text may quote the link */
    }
    rc = take_root(root, arena, out, err);
    json_decref(root);
    return rc;
}

/* ---- a place in the listing: a letter, then what the entry names */

static const char kind_letters[] = {
    [WFL_REVOKED_JTI] = 'j', [WFL_REVOKED_KID] = 'k', [WFL_REVOKED_LINK] = 'l'};

void revocation_place_write(const struct wfl_revocation *r, char out[WFL_REVOCATION_PLACE_TEXT])
{
    char *at = out;

    *at++ = kind_letters[r->kind];
    *at = '\0';
    if (r->kind != WFL_REVOKED_JTI) {
        memcpy(at, r->kid, WFL_KID_LEN + 1);
        at += WFL_KID_LEN;
    }
    if (r->kind != WFL_REVOKED_KID) wfl_ulid_format(&r->jti, at);
}

bool revocation_place_parse(wfl_slice text, struct wfl_revocation *out)
{
    wfl_slice tag, kid = {0};

    memset(out, 0, sizeof *out);
    if (!wfl_slice_take(&text, 1, &tag)) return false;
    switch (tag.data[0]) {
    case 'j':
        out->kind = WFL_REVOKED_JTI;
        return wfl_ulid_parse(text, &out->jti);
    case 'k':
        out->kind = WFL_REVOKED_KID;
        return take_kid(text, out->kid);
    case 'l':
        out->kind = WFL_REVOKED_LINK;
        return wfl_slice_take(&text, WFL_KID_LEN, &kid) && take_kid(kid, out->kid) &&
               wfl_ulid_parse(text, &out->jti);
    default:
        return false;
    }
}

/* ---- what is shown */

static void member(wfl_json *out, const char *name, const char *value)
{
    wfl_json_key(out, name);
    wfl_json_cstr(out, value);
}

static void time_member(wfl_json *out, const char *name, uint64_t ms)
{
    char text[WFL_TIME_TEXT];

    wfl_time_format_ms(ms, text);
    member(out, name, text);
}

void revocation_write(const struct wfl_revocation *r, wfl_json *out)
{
    char jti[WFL_ULID_TEXT_LEN + 1];

    wfl_json_object(out);
    wfl_ulid_format(&r->jti, jti);
    if (r->kind != WFL_REVOKED_KID) member(out, "jti", jti);
    if (r->kind == WFL_REVOKED_KID) member(out, "kid", r->kid);
    if (r->kind == WFL_REVOKED_LINK) {
        member(out, "issuer", r->kid);
        time_member(out, "expires", r->expires_ms);
    }
    if (r->reason[0] != '\0') member(out, "reason", r->reason);
    time_member(out, "at", r->at_ms);
    member(out, "by", r->by);
    wfl_json_end(out);
}
