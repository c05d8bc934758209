/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/-/server: who this is, what time it has, what it takes. For anyone, so it says nothing of
 * what is stored. */
#include "server/batch_json.h"
#include "server/server.h"

#define DOCUMENT_BYTES_MAX 4096

static void write_limit(wfl_json *json, const char *name, uint64_t value)
{
    wfl_json_key(json, name);
    wfl_json_u64(json, value);
}

void route_server(struct request *r)
{
    const struct wfl_config *c = r->server->config;
    struct answer            a = {0};
    char                     time[WFL_TIME_TEXT];
    wfl_buf                  text;
    wfl_json                 json;

    if (!wfl_slice_eq(request_head(r)->method, WFL_S("GET")) &&
        !wfl_slice_eq(request_head(r)->method, WFL_S("HEAD"))) {
        answer_not_allowed(r, "GET, HEAD");
        return;
    }
    if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    wfl_time_format_ms(wfl_clock_unix_ms(&wfl_clock_system), time);
    wfl_buf_init(&text, &wfl_alloc_libc, DOCUMENT_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "name");
    wfl_json_cstr(&json, "wflDB");
    wfl_json_key(&json, "version");
    wfl_json_cstr(&json, WFL_VERSION);
    wfl_json_key(&json, "time");
    wfl_json_cstr(&json, time);
    wfl_json_key(&json, "identity");
    wfl_key_write_jwk(&r->server->identity.pub, &json);
    wfl_json_key(&json, "limits");
    wfl_json_object(&json);
    write_limit(&json, "object_bytes_max", WFL_OBJECT_BYTES_MAX);
    write_limit(&json, "key_bytes_max", WFL_KEY_MAX);
    write_limit(&json, "packet_bytes_max", WFL_PACKET_BYTES_MAX);
    write_limit(&json, "header_bytes_max", c->header_bytes_max);
    write_limit(&json, "header_count_max", c->header_count_max);
    write_limit(&json, "target_bytes_max", c->target_bytes_max);
    write_limit(&json, "scan_limit_max", WFL_SCAN_LIMIT_MAX);
    write_limit(&json, "batch_bytes_max", WFL_BATCH_BYTES_MAX);
    write_limit(&json, "batch_ops_max", WFL_BATCH_OPS_MAX);
    write_limit(&json, "clock_skew_seconds", c->clock_skew_seconds);
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}
