/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON from outside, strictly. jansson refuses duplicate members, bad UTF-8, NULs and trailing
 * text; what it lacks is a depth that we choose, so the depth is counted before it parses. Its
 * memory is wiped when it is freed: a key file's private half passes through it. */
#include "auth/auth_private.h"

#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>

/* Refused memory, jansson 2.14 loses bytes of a token and frees what it never got: of a packet it
 * could then make another one. Its pieces are small and short-lived; ending is the lesser evil. */
static void *json_memory(size_t n)
{
    void *p = malloc(n);

    if (p == NULL) abort();
    return p;
}

static void wipe_and_free(void *p)
{
    if (p != NULL) sodium_memzero(p, malloc_usable_size(p));
    free(p);
}

void auth_json_init(void)
{
    json_malloc_t get;
    json_free_t   let_go;

    /* A program that brought its own keeps them: what they gave must go back to them. */
    json_get_alloc_funcs(&get, &let_go);
    if (get == malloc && let_go == free) json_set_alloc_funcs(json_memory, wipe_and_free);
}

static bool too_deep(wfl_slice text)
{
    unsigned depth = 0;
    bool     in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > AUTH_JSON_DEPTH_MAX) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *auth_json_load(wfl_slice text, const char **why)
{
    json_error_t error;
    json_t      *value;

    if (too_deep(text)) {
        *why = "JSON nested too deeply";
        return NULL;
    }
    value = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        *why = "not the JSON it should be";
        return NULL;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        *why = "JSON that is no object";
        return NULL;
    }
    return value;
}

bool auth_json_string(const json_t *object, const char *name, wfl_slice *out)
{
    const json_t *value = json_object_get(object, name);

    *out = (wfl_slice){0};
    if (!json_is_string(value)) return false;
    *out = wfl_slice_of(json_string_value(value), json_string_length(value));
    return true;
}

bool auth_jwk_public(const json_t *jwk, wfl_public_key *out, const char **why)
{
    wfl_slice text;
    size_t    len;

    if (!auth_json_string(jwk, "kty", &text) || !wfl_slice_eq(text, WFL_S("OKP"))) {
        *why = "kty is not OKP";
        return false;
    }
    if (!auth_json_string(jwk, "crv", &text) || !wfl_slice_eq(text, WFL_S("Ed25519"))) {
        *why = "crv is not Ed25519";
        return false;
    }
    if (!auth_json_string(jwk, "x", &text) || text.len != WFL_B64U_LEN(WFL_KEY_LEN) ||
        !wfl_b64u_decode(text, out->bytes, WFL_KEY_LEN, &len) || len != WFL_KEY_LEN) {
        *why = "x is not the base64url of 32 bytes";
        return false;
    }
    if (!wfl_key_usable(out)) {
        *why = "x is no usable public key";
        return false;
    }
    return true;
}
