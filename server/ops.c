/* SPDX-License-Identifier: Apache-2.0
 *
 * The listener for those who run the server: health and metrics, without credentials, on loopback
 * by default. Live says that the process turns; ready that it would take a write now. */
#include "server/server.h"
#include "server/throttle.h"

#include <stdio.h>
#include <unistd.h>

#define OPS_BYTES_MAX 16384

static void free_buffer(void *data)
{
    wfl_alloc_free(&wfl_alloc_libc, data);
}

static void respond(struct wfl_exchange *x, int status, wfl_slice type, wfl_buf *text)
{
    char                 id[WFL_ULID_TEXT_LEN + 1];
    struct wfl_body_part part = {
        .bytes = wfl_buf_slice(text), .release = free_buffer, .arg = text->data};
    struct wfl_header   headers[2];
    struct wfl_response response;

    wfl_ulid_format(wfl_exchange_id(x), id);
    headers[0] = (struct wfl_header){WFL_S("content-type"), type};
    headers[1] = (struct wfl_header){WFL_S("x-request-id"), wfl_slice_of(id, WFL_ULID_TEXT_LEN)};
    response = (struct wfl_response){
        .status = status,
        .headers = headers,
        .header_count = 2,
        .length_known = true,
        .length = text->len,
        .parts = &part,
        .part_count = 1,
    };
    wfl_exchange_respond(x, &response);
    memset(text, 0, sizeof *text);
}

static uint64_t resident_bytes(void)
{
    char      line[128] = ""; /* "pages resident ..." */
    uint64_t  pages;
    wfl_slice rest, word;
    FILE     *f = fopen("/proc/self/statm", "re");

    if (f == NULL) return 0;
    rest = wfl_slice_str(fgets(line, sizeof line, f));
    fclose(f);
    wfl_slice_split(&rest, ' ', &word);
    wfl_slice_split(&rest, ' ', &word);
    if (!wfl_slice_to_u64(word, UINT64_MAX, &pages)) return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void member(wfl_json *json, const char *name, uint64_t value)
{
    wfl_json_key(json, name);
    wfl_json_u64(json, value);
}

static int write_ready(struct wfl_server *s, wfl_buf *text)
{
    struct wfl_engine_stats engine;
    struct wfl_net_stats    net;
    struct wfl_auth_stats   auth;
    wfl_json                json;
    bool                    ready;

    wfl_engine_stats(s->engine, &engine);
    wfl_net_stats(s->net, &net);
    wfl_auth_stats(s->auth, &auth);
    ready = !engine.read_only && !s->stopping;
    wfl_json_init(&json, text);
    wfl_json_object(&json);
    wfl_json_key(&json, "status");
    wfl_json_cstr(&json, s->stopping ? "stopping" : engine.read_only ? "read_only" : "ready");
    wfl_json_key(&json, "engine");
    wfl_json_object(&json);
    wfl_json_key(&json, "state");
    wfl_json_cstr(&json, engine.read_only ? "read_only" : "serving");
    if (engine.read_only) {
        wfl_json_key(&json, "reason");
        wfl_json_cstr(&json, engine.read_only_reason);
    }
    member(&json, "commits_waiting", engine.queued);
    member(&json, "reads_waiting", engine.pool_queued);
    wfl_json_end(&json);
    wfl_json_key(&json, "memory");
    wfl_json_object(&json);
    member(&json, "resident_bytes", resident_bytes());
    member(&json, "engine_bytes", engine.memory_bytes);
    wfl_json_end(&json);
    wfl_json_key(&json, "connections");
    wfl_json_object(&json);
    member(&json, "open", net.connections);
    member(&json, "max", s->config->connections_max);
    wfl_json_end(&json);
    wfl_json_key(&json, "sessions");
    wfl_json_object(&json);
    member(&json, "open", auth.sessions);
    member(&json, "max", s->config->sessions_max);
    wfl_json_end(&json);
    wfl_json_end(&json);
    return ready ? 200 : 503;
}

static void metric(wfl_buf *text, const char *name, const char *type, const char *help,
                   uint64_t value)
{
    wfl_buf_printf(text, "# HELP wfldb_%s %s\n# TYPE wfldb_%s %s\nwfldb_%s %llu\n", name, help,
                   name, type, name, (unsigned long long)value);
}

static void write_metrics(struct wfl_server *s, wfl_buf *text)
{
    struct wfl_engine_stats engine;
    struct wfl_net_stats    net;
    struct wfl_auth_stats   auth;

    wfl_engine_stats(s->engine, &engine);
    wfl_net_stats(s->net, &net);
    wfl_auth_stats(s->auth, &auth);
    wfl_buf_printf(text, "# HELP wfldb_answers_total Answers by status class.\n"
                         "# TYPE wfldb_answers_total counter\n");
    for (int i = 2; i <= 5; i++) {
        wfl_buf_printf(text, "wfldb_answers_total{class=\"%dxx\"} %llu\n", i,
                       (unsigned long long)s->answers[i]);
    }
    metric(text, "connections", "gauge", "Open connections.", net.connections);
    metric(text, "connections_total", "counter", "Connections accepted.", net.connections_total);
    metric(text, "connections_refused_total", "counter", "Connections over the limit.",
           net.connections_refused);
    metric(text, "connections_calmed_total", "counter", "Connections ended for a flood of frames.",
           net.connections_calmed);
    metric(text, "tls_handshakes_total", "counter", "TLS handshakes done.", net.tls_handshakes);
    metric(text, "tls_handshakes_failed_total", "counter", "TLS handshakes that failed.",
           net.tls_handshakes_failed);
    metric(text, "tls_certificate_expires_seconds", "gauge",
           "End of the certificate in use, Unix time; 0 without TLS.", (uint64_t)s->tls_not_after);
    metric(text, "rate_limited_total", "counter", "Requests refused by a rate.", s->rate_limited);
    metric(text, "rates", "gauge", "Links and buckets whose rates are in use.",
           throttle_count(s->throttle));
    metric(text, "revocations", "gauge", "Revocations in force.",
           wfl_store_revocation_count(s->store));
    metric(text, "requests_open", "gauge", "Requests under way.", net.exchanges);
    metric(text, "watchers", "gauge", "Requests that wait for changes.",
           watch_hub_count(s->watches));
    metric(text, "commits_total", "counter", "Writes committed.", engine.commits);
    metric(text, "commit_groups_total", "counter", "Groups of writes.", engine.groups);
    metric(text, "syncs_total", "counter", "fsyncs of the log.", engine.syncs);
    metric(text, "commits_waiting", "gauge", "Writes in the queue.", engine.queued);
    metric(text, "reads_waiting", "gauge", "Disk reads in the queue.", engine.pool_queued);
    metric(text, "read_only", "gauge", "1 after a failed write to the log.", engine.read_only);
    metric(text, "engine_memory_bytes", "gauge", "Caches and write buffers.", engine.memory_bytes);
    metric(text, "resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
    metric(text, "segments", "gauge", "Files of large contents.", engine.segments);
    metric(text, "segment_bytes", "gauge", "Their bytes on disk.", engine.segment_bytes);
    metric(text, "live_bytes", "gauge", "Of these in chunks that are named.", engine.live_bytes);
    metric(text, "rewritten_bytes_total", "counter", "Moved, to return room.",
           engine.rewritten_bytes);
    metric(text, "corrupt_chunks_total", "counter", "Chunks that failed their hash.",
           engine.blobs_corrupt);
    metric(text, "packets_cached", "gauge", "Verified key packets kept.", auth.packets_cached);
    metric(text, "packet_cache_hits_total", "counter", "Packets found verified.", auth.packet_hits);
    metric(text, "packet_cache_misses_total", "counter", "Packets verified anew.",
           auth.packet_misses);
    metric(text, "nonces", "gauge", "Nonces remembered.", auth.nonces);
    metric(text, "sessions", "gauge", "Open sessions.", auth.sessions);
}

static void write_problem(wfl_buf *text, wfl_code code)
{
    wfl_json json;

    wfl_json_init(&json, text);
    wfl_json_object(&json);
    wfl_json_key(&json, "title");
    wfl_json_cstr(&json, wfl_code_title(code));
    wfl_json_key(&json, "status");
    wfl_json_u64(&json, (uint64_t)wfl_code_http(code));
    wfl_json_key(&json, "code");
    wfl_json_cstr(&json, wfl_code_name(code));
    wfl_json_end(&json);
}

static void respond_problem(struct wfl_exchange *x, wfl_code code)
{
    wfl_buf text;

    wfl_buf_init(&text, &wfl_alloc_libc, OPS_BYTES_MAX);
    write_problem(&text, code);
    respond(x, wfl_code_http(code), WFL_S("application/problem+json"), &text);
}

static void on_head(void *ctx, struct wfl_exchange *x)
{
    struct wfl_server        *s = ctx;
    const struct wfl_request *head = wfl_exchange_request(x);
    wfl_buf                   text;

    if (!wfl_slice_eq(head->method, WFL_S("GET")) && !wfl_slice_eq(head->method, WFL_S("HEAD"))) {
        respond_problem(x, WFL_METHOD_NOT_ALLOWED);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, OPS_BYTES_MAX);
    if (wfl_slice_eq(head->path, WFL_S("/health/live"))) {
        wfl_buf_add_str(&text, "{\"status\":\"live\"}");
        respond(x, 200, WFL_S("application/json"), &text);
    } else if (wfl_slice_eq(head->path, WFL_S("/health/ready"))) {
        int status = write_ready(s, &text);
        respond(x, status, WFL_S("application/json"), &text);
    } else if (wfl_slice_eq(head->path, WFL_S("/metrics"))) {
        write_metrics(s, &text);
        respond(x, 200, WFL_S("text/plain; version=0.0.4"), &text);
    } else {
        respond_problem(x, WFL_NOT_FOUND);
    }
}

static void on_body(void *ctx, struct wfl_exchange *x, size_t n, bool end)
{
    (void)ctx, (void)x, (void)n, (void)end; /* nothing here reads a body */
}

static void on_broken(void *ctx, struct wfl_exchange *x, const wfl_error *err)
{
    (void)ctx;
    respond_problem(x, err->code);
}

static void on_end(void *ctx, struct wfl_exchange *x, bool ok)
{
    (void)ctx, (void)x, (void)ok;
}

struct wfl_handler wfl_ops_handler(struct wfl_server *s)
{
    return (struct wfl_handler){
        .on_head = on_head, .on_body = on_body, .on_broken = on_broken, .on_end = on_end, .ctx = s};
}
