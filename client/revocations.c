/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking back what was granted. */
#include "client/client_private.h"

#define BODY_MAX (64u << 10)

static void member(wfl_json *json, const char *name, const char *value)
{
    if (value == NULL) return;
    wfl_json_key(json, name);
    wfl_json_cstr(json, value);
}

int wfldb_revoke(wfldb *db, const char *jti, const char *kid, const char *link, const char *reason,
                 char **document, wfldb_error *err)
{
    struct call c;
    char        hex[65];
    wfl_buf     body;
    wfl_json    json;
    int         rc;

    call_init(&c, db, "POST", "-", "revocations", err);
    if (!call_is_utf8(jti) || !call_is_utf8(kid) || !call_is_utf8(link) || !call_is_utf8(reason)) {
        rc = call_fail(&c, "request", "a revocation's texts must be UTF-8");
        call_fini(&c);
        return rc;
    }
    wfl_buf_init(&body, &wfl_alloc_libc, BODY_MAX);
    wfl_json_init(&json, &body);
    wfl_json_object(&json);
    member(&json, "jti", jti);
    member(&json, "kid", kid);
    member(&json, "link", link);
    member(&json, "reason", reason);
    wfl_json_end(&json);
    if (wfl_buf_ok(&body)) {
        call_json_body(&c, (const char *)body.data, body.len, hex);
        rc = call_send(&c);
        if (rc == 0) rc = call_take_document(&c, document);
    } else {
        rc = call_fail(&c, "request", "a revocation is too long, or there is no memory for it");
    }
    wfl_buf_fini(&body);
    call_fini(&c);
    return rc;
}
