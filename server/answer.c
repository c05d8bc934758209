/* SPDX-License-Identifier: Apache-2.0
 *
 * The shape of answers: every one carries its request id, every error is problem+json (RFC 9457).
 * Texts of server faults stay in the log; the client gets their title. */
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBLEM_BYTES_MAX 8192 /* 1000 indices of ops included */

void answer_header(struct answer *a, wfl_slice name, wfl_slice value)
{
    if (a->count == WFL_ANSWER_HEADERS_MAX) abort(); /* bounded by what a request can carry */
    a->headers[a->count++] = (struct wfl_header){.name = name, .value = value};
}

void answer_header_copy(struct request *r, struct answer *a, wfl_slice name, wfl_slice value)
{
    wfl_slice copy;

    /* Without memory the header is left out: the body still tells, and the log says why. */
    if (wfl_arena_copy(request_arena(r), value, &copy)) answer_header(a, name, copy);
}

#define LENGTH_UNKNOWN UINT64_MAX

static void send(struct request *r, struct answer *a, int status, struct wfl_body_part part,
                 uint64_t length, bool more)
{
    char                id[WFL_ULID_TEXT_LEN + 1];
    struct wfl_response response;

    wfl_ulid_format(wfl_exchange_id(r->x), id);
    answer_header(a, WFL_S("x-request-id"), wfl_slice_of(id, WFL_ULID_TEXT_LEN));
    if (r->once.replayed) answer_header(a, WFL_S("x-wfldb-replayed"), WFL_S("true"));
    response = (struct wfl_response){
        .status = status,
        .headers = a->headers,
        .header_count = a->count,
        .length_known = length != LENGTH_UNKNOWN,
        .length = length,
        .parts = &part,
        .part_count = part.bytes.len > 0 ? 1 : 0,
        .more = more,
    };
    r->status = status;
    r->sent_bytes = length == LENGTH_UNKNOWN ? 0 : more ? length : part.bytes.len;
    if (status < 400) rates_moved(r, part.bytes.len);
    r->server->answers[status >= 100 && status < 600 ? status / 100 : 0]++;
    wfl_exchange_respond(r->x, &response);
}

void answer_send_part(struct request *r, struct answer *a, int status, struct wfl_body_part part,
                      uint64_t length)
{
    send(r, a, status, part, length, false);
}

void answer_begin(struct request *r, struct answer *a, int status, uint64_t length)
{
    send(r, a, status, (struct wfl_body_part){0}, length, true);
}

void answer_stream(struct request *r, struct answer *a, int status)
{
    send(r, a, status, (struct wfl_body_part){0}, LENGTH_UNKNOWN, true);
}

void answer_send(struct request *r, struct answer *a, int status, wfl_slice body)
{
    send(r, a, status, (struct wfl_body_part){.bytes = body}, body.len, false);
}

static void free_buffer(void *data)
{
    wfl_alloc_free(&wfl_alloc_libc, data);
}

static void answer_buffer(struct request *r, struct answer *a, int status, wfl_slice type,
                          wfl_buf *text)
{
    struct wfl_body_part part;

    if (!wfl_buf_ok(text)) {
        wfl_buf_fini(text);
        wfl_fail(&r->err, WFL_NOMEM, "answer: out of memory or over its limit");
        answer_problem(r, NULL, &r->err);
        return;
    }
    answer_header(a, WFL_S("content-type"), type);
    part = (struct wfl_body_part){
        .bytes = wfl_buf_slice(text), .release = free_buffer, .arg = text->data};
    send(r, a, status, part, text->len, false);
    memset(text, 0, sizeof *text);
}

void answer_json(struct request *r, struct answer *a, int status, wfl_buf *text)
{
    answer_buffer(r, a, status, WFL_S("application/json"), text);
}

void answer_wire(struct request *r, struct answer *a, int status, wfl_buf *message)
{
    answer_buffer(r, a, status, WFL_S("application/vnd.wfldb+flatbuffers"), message);
}

static void write_failed(const struct answer *a, wfl_json *json)
{
    if (a->failed_count == 0) return;
    wfl_json_key(json, "failed");
    wfl_json_array(json);
    for (uint32_t i = 0; i < a->failed_count; i++)
        wfl_json_u64(json, a->failed[i]);
    wfl_json_end(json);
}

static void write_problem(struct request *r, const struct answer *a, const wfl_error *err,
                          wfl_buf *out)
{
    char     id[WFL_ULID_TEXT_LEN + 1];
    char     type[64] = "urn:wfldb:error:";
    wfl_json json;
    int      status = wfl_code_http(err->code);

    strncat(type, wfl_code_name(err->code), sizeof type - strlen(type) - 1);
    wfl_ulid_format(wfl_exchange_id(r->x), id);
    wfl_json_init(&json, out);
    wfl_json_object(&json);
    wfl_json_key(&json, "type");
    wfl_json_cstr(&json, type);
    wfl_json_key(&json, "title");
    wfl_json_cstr(&json, wfl_code_title(err->code));
    wfl_json_key(&json, "status");
    wfl_json_u64(&json, (uint64_t)status);
    wfl_json_key(&json, "code");
    wfl_json_cstr(&json, wfl_code_name(err->code));
    wfl_json_key(&json, "detail");
    wfl_json_cstr(&json, status >= 500 || err->message[0] == '\0' ? wfl_code_title(err->code)
                                                                  : err->message);
    write_failed(a, &json);
    wfl_json_key(&json, "request_id");
    wfl_json_cstr(&json, id);
    wfl_json_end(&json);
}

void answer_problem(struct request *r, struct answer *a, const wfl_error *err)
{
    static const uint8_t last_words[] = "{\"status\":503,\"code\":\"overloaded\"}";
    struct answer        own = {0};
    struct wfl_body_part part = {.bytes = wfl_slice_of(last_words, sizeof last_words - 1)};
    int                  status = wfl_code_http(err->code);
    char                 retry[16];
    wfl_buf              text;

    if (a == NULL) a = &own;
    if (err != &r->err) r->err = *err;
    r->code = err->code;
    wfl_buf_init(&text, &wfl_alloc_libc, PROBLEM_BYTES_MAX);
    write_problem(r, a, err, &text);
    if (wfl_buf_ok(&text)) {
        part = (struct wfl_body_part){
            .bytes = wfl_buf_slice(&text), .release = free_buffer, .arg = text.data};
    } else {
        wfl_buf_fini(&text);
        status = 503;
    }
    answer_header(a, WFL_S("content-type"), WFL_S("application/problem+json"));
    if (status == 401) answer_header(a, WFL_S("www-authenticate"), WFL_S("Bearer"));
    if (status == 429 || status == 503) {
        snprintf(retry, sizeof retry, "%u", r->retry_after == 0 ? 1 : r->retry_after);
        answer_header_copy(r, a, WFL_S("retry-after"), wfl_slice_str(retry));
    }
    send(r, a, status, part, part.bytes.len, false);
}

void answer_not_allowed(struct request *r, const char *allow)
{
    struct answer a = {0};

    wfl_fail(&r->err, WFL_METHOD_NOT_ALLOWED, "this target answers to %s", allow);
    answer_header(&a, WFL_S("allow"), wfl_slice_str(allow));
    answer_problem(r, &a, &r->err);
}
