/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/-/session: a session for whoever signs with a packet, answered under the server's
 * identity key. The body is small and complete before anything is made. */
#include "server/server.h"

#define BODY_BYTES_MAX   256
#define ANSWER_BYTES_MAX 1024

static void answer_session(struct request *r, const struct wfl_session_answer *session)
{
    struct answer a = {0};
    wfl_buf       text;
    wfl_json      json;

    answer_header(&a, WFL_S("cache-control"), WFL_S("no-store"));
    wfl_buf_init(&text, &wfl_alloc_libc, ANSWER_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_session_write_answer(session, &json);
    answer_json(r, &a, 201, &text);
}

static void open_with_body(struct request *r)
{
    wfl_slice                  body = wfl_slice_of(r->body, r->body_len);
    struct wfl_session_request asked;
    struct wfl_session_answer  session;

    if (!request_digest_matches(r, body, NULL)) {
        wfl_fail(&r->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
        answer_problem(r, NULL, &r->err);
    } else if (wfl_session_parse_request(body, &asked, &r->err) != WFL_OK ||
               wfl_auth_open_session(r->server->auth, &r->who, &asked, &r->server->identity,
                                     &session, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else {
        answer_session(r, &session);
    }
}

void route_session(struct request *r)
{
    const struct wfl_request *head = request_head(r);

    if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else if (!wfl_slice_eq(head->method, WFL_S("POST"))) {
        answer_not_allowed(r, "POST");
    } else if (request_admit(r, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else {
        r->body_too_large = WFL_INVALID_JSON;
        request_read_body(r, BODY_BYTES_MAX, open_with_body);
    }
}
