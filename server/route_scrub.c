/* SPDX-License-Identifier: Apache-2.0
 *
 * The scrub, started, looked at and stopped by whoever holds `admin`. */
#include "server/server.h"

#include <jansson.h>

#define BODY_BYTES_MAX   1024
#define ANSWER_BYTES_MAX (32u << 20)
#define RATE_DEFAULT     (64u << 20)
#define RATE_MIN         (1u << 16)
#define RATE_MAX         (1ll << 40)

static void answer_state(struct request *r, int status)
{
    struct answer a = {0};
    wfl_buf       text;
    wfl_json      json;

    wfl_buf_init(&text, &wfl_alloc_libc, ANSWER_BYTES_MAX);
    wfl_json_init(&json, &text);
    scrub_write(r->server->scrub, &json);
    answer_json(r, &a, status, &text);
}

/* {} or {"bytes_per_second":N}; no text is the former. */
static wfl_code read_rate(wfl_slice body, uint64_t *out, wfl_error *err)
{
    json_t      *root, *rate;
    json_error_t wrong;
    wfl_code     rc = WFL_OK;

    *out = RATE_DEFAULT;
    if (body.len == 0) return WFL_OK;
    root = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, &wrong);
    rate = json_object_get(root, "bytes_per_second");
    if (!json_is_object(root) || json_object_size(root) != (rate == NULL ? 0u : 1u))
        rc = wfl_fail(err, WFL_INVALID_JSON, "a scrub takes {\"bytes_per_second\":N} or nothing");
    else if (rate != NULL && (!json_is_integer(rate) || json_integer_value(rate) < RATE_MIN ||
                              json_integer_value(rate) > RATE_MAX))
        rc = wfl_fail(err, WFL_INVALID_SETTING, "bytes_per_second is from 65536 to 2^40");
    else if (rate != NULL)
        *out = (uint64_t)json_integer_value(rate);
    json_decref(root);
    return rc;
}

static void start_with_body(struct request *r)
{
    wfl_slice body = wfl_slice_of(r->body, r->body_len);
    uint64_t  rate;

    if (!request_digest_matches(r, body, NULL)) {
        wfl_fail(&r->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
        answer_problem(r, NULL, &r->err);
    } else if (read_rate(body, &rate, &r->err) != WFL_OK ||
               scrub_start(r->server->scrub, rate, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else {
        answer_state(r, 202);
    }
}

void route_scrub(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    bool                      get = wfl_slice_eq(head->method, WFL_S("GET"));
    bool                      start = wfl_slice_eq(head->method, WFL_S("POST"));
    bool                      stop = wfl_slice_eq(head->method, WFL_S("DELETE"));

    if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else if (!get && !start && !stop) {
        answer_not_allowed(r, "GET, POST, DELETE");
    } else if (!request_permit(r, WFL_OP_ADMIN, WFL_S("*"), (wfl_slice){0})) {
        return;
    } else if (start) {
        request_read_body(r, BODY_BYTES_MAX, start_with_body);
    } else {
        if (stop) scrub_stop(r->server->scrub);
        answer_state(r, 200);
    }
}
