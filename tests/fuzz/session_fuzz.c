/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON by which a session is asked for, and the one by which it is answered. What is read must
 * be of the form that the transcript signs, and written again be read as the same. */
#include "fuzz.h"

#include "auth/auth.h"

#define TEXT_MAX 4096

static void check_point(const char *x25519)
{
    uint8_t bytes[34];
    size_t  len = 0;
    bool    ok = wfl_b64u_decode(wfl_slice_str(x25519), bytes, sizeof bytes, &len);

    assert(strlen(x25519) == WFL_X25519_TEXT_LEN && ok && len == 32);
}

static void check_request(const struct wfl_session_request *asked, wfl_buf *text)
{
    struct wfl_session_request again;
    wfl_json                   json;
    wfl_error                  err;
    wfl_code                   rc;

    check_point(asked->x25519);
    assert(asked->ttl_sec >= 1 && asked->ttl_sec <= WFL_SESSION_TTL_MAX);
    wfl_json_init(&json, text);
    wfl_session_write_request(asked, &json);
    rc = wfl_session_parse_request(wfl_buf_slice(text), &again, &err);
    assert(rc == WFL_OK && again.ttl_sec == asked->ttl_sec);
    assert(strcmp(again.x25519, asked->x25519) == 0);
}

static void check_answer(const struct wfl_session_answer *answer, wfl_buf *text)
{
    struct wfl_session_answer again;
    wfl_json                  json;
    wfl_error                 err;
    wfl_code                  rc;

    check_point(answer->x25519);
    assert(strlen(answer->session) == WFL_ULID_TEXT_LEN && answer->expires_sec >= 0);
    wfl_json_init(&json, text);
    wfl_session_write_answer(answer, &json);
    rc = wfl_session_parse_answer(wfl_buf_slice(text), &again, &err);
    assert(rc == WFL_OK && again.expires_sec == answer->expires_sec);
    assert(strcmp(again.session, answer->session) == 0);
    assert(memcmp(again.signature, answer->signature, sizeof again.signature) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool                started;
    struct wfl_session_request asked;
    struct wfl_session_answer  answer;
    wfl_slice                  in = wfl_slice_of(data, size);
    wfl_error                  err = {0};
    wfl_buf                    text;

    if (!started) started = wfl_auth_init(&err) == WFL_OK;
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_MAX);
    if (wfl_session_parse_request(in, &asked, &err) == WFL_OK)
        check_request(&asked, &text);
    else
        assert(wfl_code_http(err.code) == 400 && err.message[0] != '\0');
    text.len = 0;
    if (wfl_session_parse_answer(in, &answer, &err) == WFL_OK) check_answer(&answer, &text);
    wfl_buf_fini(&text);
    return 0;
}
