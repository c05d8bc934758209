/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON by which a session is asked for and answered. A request has exactly its two members; an
 * answer may have more some day. */
#include "auth/auth_private.h"

#include <inttypes.h>

static wfl_code not_json(wfl_error *err, const char *why)
{
    return wfl_fail(err, WFL_INVALID_JSON, "a session: %s", why);
}

/* The one text of 32 bytes, so that both sides sign the same. */
static bool is_point(wfl_slice text)
{
    uint8_t bytes[32 + 2];
    size_t  len = 0;

    return text.len == WFL_X25519_TEXT_LEN && wfl_b64u_decode(text, bytes, sizeof bytes, &len) &&
           len == 32;
}

static wfl_code take_point(const json_t *root, char out[WFL_X25519_TEXT_LEN + 1], wfl_error *err)
{
    wfl_slice text;

    if (!auth_json_string(root, "x25519", &text)) return not_json(err, "x25519 is no string");
    if (!is_point(text))
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "x25519 is not the base64url, without padding, of 32 bytes");
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return WFL_OK;
}

static wfl_code read_request(const json_t *root, struct wfl_session_request *out, wfl_error *err)
{
    const json_t *ttl = json_object_get(root, "ttl");

    if (json_object_size(root) != 2 || json_object_get(root, "x25519") == NULL || ttl == NULL)
        return not_json(err, "its members are x25519 and ttl");
    if (!json_is_integer(ttl)) return not_json(err, "ttl is no whole number");
    if (json_integer_value(ttl) < 1 || json_integer_value(ttl) > WFL_SESSION_TTL_MAX)
        return wfl_fail(err, WFL_INVALID_REQUEST, "ttl is from 1 to %d seconds",
                        WFL_SESSION_TTL_MAX);
    out->ttl_sec = json_integer_value(ttl);
    return take_point(root, out->x25519, err);
}

wfl_code wfl_session_parse_request(wfl_slice json, struct wfl_session_request *out, wfl_error *err)
{
    const char *why = NULL;
    json_t     *root = auth_json_load(json, &why);
    wfl_code    rc = root == NULL ? not_json(err, why) : read_request(root, out, err);

    json_decref(root);
    return rc;
}

static wfl_code read_answer(const json_t *root, struct wfl_session_answer *out, wfl_error *err)
{
    const json_t *expires = json_object_get(root, "expires");
    wfl_slice     session, signature;
    uint8_t       bytes[WFL_SIGNATURE_LEN + 2];
    wfl_ulid      id;
    size_t        len = 0;

    if (!auth_json_string(root, "session", &session) || !wfl_ulid_parse(session, &id))
        return wfl_fail(err, WFL_INVALID_REQUEST, "session is no ULID");
    if (!json_is_integer(expires) || json_integer_value(expires) < 0)
        return wfl_fail(err, WFL_INVALID_REQUEST, "expires is no time");
    if (!auth_json_string(root, "signature", &signature) ||
        signature.len != WFL_B64U_LEN(WFL_SIGNATURE_LEN) ||
        !wfl_b64u_decode(signature, bytes, sizeof bytes, &len) || len != WFL_SIGNATURE_LEN) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "signature is not the base64url of 64 bytes");
    }
    wfl_ulid_format(&id, out->session);
    out->expires_sec = json_integer_value(expires);
    memcpy(out->signature, bytes, sizeof out->signature);
    return take_point(root, out->x25519, err);
}

wfl_code wfl_session_parse_answer(wfl_slice json, struct wfl_session_answer *out, wfl_error *err)
{
    const char *why = NULL;
    json_t     *root = auth_json_load(json, &why);
    wfl_code    rc = root == NULL ? not_json(err, why) : read_answer(root, out, err);

    json_decref(root);
    return rc;
}

void wfl_session_write_request(const struct wfl_session_request *r, wfl_json *out)
{
    wfl_json_object(out);
    wfl_json_key(out, "x25519");
    wfl_json_cstr(out, r->x25519);
    wfl_json_key(out, "ttl");
    wfl_json_u64(out, (uint64_t)r->ttl_sec);
    wfl_json_end(out);
}

void wfl_session_write_answer(const struct wfl_session_answer *r, wfl_json *out)
{
    char signature[WFL_B64U_LEN(WFL_SIGNATURE_LEN) + 1];

    wfl_b64u_encode(wfl_slice_of(r->signature, sizeof r->signature), signature);
    wfl_json_object(out);
    wfl_json_key(out, "session");
    wfl_json_cstr(out, r->session);
    wfl_json_key(out, "x25519");
    wfl_json_cstr(out, r->x25519);
    wfl_json_key(out, "expires");
    wfl_json_u64(out, (uint64_t)r->expires_sec);
    wfl_json_key(out, "signature");
    wfl_json_cstr(out, signature);
    wfl_json_end(out);
}
