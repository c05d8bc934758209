/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 from bytes to requests: net's http1.c and what it stands on, with the socket left out.
 * An input is four bytes (how the handler behaves, the size of its buffer, two lengths of pieces)
 * and then what a peer sends. It is fed whole and in pieces; what the handler sees must be the
 * same. Every feed moves the buffer to memory of exactly its size. */
#include "fuzz.h"

#include "net/net_private.h"
#include "tests/fuzz/no_reactor.h"

#include <stdio.h>

struct run { /* one connection, and what its handler saw */
    struct conn    conn;
    struct reactor reactor;
    struct wfl_net net;
    wfl_buf        seen;
    wfl_buf        body; /* under way; counts only once it is whole */
    bool           ignores_body;
    uint8_t        dst[256];
    size_t         dst_cap;
};

/* ---- in place of the socket's side: everything is written at once */

bool conn_queue(struct conn *c, const void *data, size_t len, void (*release)(void *), void *arg,
                struct wfl_exchange *x)
{
    (void)c, (void)data, (void)len, (void)x;
    if (release != NULL) release(arg);
    return true;
}

bool conn_queue_part(struct conn *c, const struct wfl_body_part *part, struct wfl_exchange *x)
{
    return conn_queue(c, part->bytes.data, part->bytes.len, part->release, part->arg, x);
}

bool conn_queue_copy(struct conn *c, wfl_slice bytes)
{
    (void)c, (void)bytes;
    return true;
}

bool reactor_turn_is_over(const struct reactor *r)
{
    (void)r;
    return false;
}

/* Of HTTP/2 nothing is reached. */
void http2_respond(struct wfl_exchange *x, const struct wfl_response *response)
{
    (void)x, (void)response;
    abort();
}

void http2_parts_added(struct wfl_exchange *x)
{
    (void)x;
    abort();
}

void http2_abort(struct wfl_exchange *x)
{
    (void)x;
    abort();
}

/* ---- the handler */

static void answer(struct wfl_exchange *x)
{
    struct wfl_body_part part = {.bytes = WFL_LIT("ok")};
    struct wfl_response  r = {
         .status = 200, .length_known = true, .length = 2, .parts = &part, .part_count = 1};

    wfl_exchange_respond(x, &r);
}

static void note(struct run *run, const char *what, wfl_slice bytes)
{
    wfl_buf_printf(&run->seen, "%s %zu:", what, bytes.len);
    wfl_buf_add(&run->seen, bytes);
    wfl_buf_add_u8(&run->seen, '\n');
}

static void check_value(wfl_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        assert((value.data[i] >= 0x20 && value.data[i] != 0x7F) || value.data[i] == '\t');
    assert(wfl_slice_trim(value).len == value.len);
}

static void on_head(void *ctx, struct wfl_exchange *x)
{
    struct run               *run = ctx;
    const struct wfl_request *r = wfl_exchange_request(x);

    assert(r->method.len > 0 && r->target.len > 0);
    assert(r->header_count <= run->net.config.limits.header_count_max);
    assert(r->path.len + r->query.len <= r->target.len);
    note(run, "method", r->method);
    note(run, "path", r->path);
    note(run, "query", r->query);
    note(run, "authority", r->authority);
    for (uint32_t i = 0; i < r->header_count; i++) {
        check_value(r->headers[i].value);
        note(run, "name", r->headers[i].name);
        note(run, "value", r->headers[i].value);
    }
    wfl_buf_printf(&run->seen, "body %d %d %llu %d\n", r->has_body, r->length_known,
                   (unsigned long long)r->length, r->expects_continue);
    run->body.len = 0;
    if (r->has_body && !run->ignores_body) {
        wfl_exchange_read(x, run->dst, run->dst_cap);
    } else {
        answer(x);
    }
}

static void on_body(void *ctx, struct wfl_exchange *x, size_t n, bool end)
{
    struct run               *run = ctx;
    const struct wfl_request *r = wfl_exchange_request(x);

    assert(n <= run->dst_cap && (end || n == run->dst_cap));
    wfl_buf_add(&run->body, wfl_slice_of(run->dst, n));
    if (!end) {
        wfl_exchange_read(x, run->dst, run->dst_cap);
        return;
    }
    if (r->length_known) assert(run->body.len == r->length);
    note(run, "content", wfl_buf_slice(&run->body));
    answer(x);
}

static void on_broken(void *ctx, struct wfl_exchange *x, const wfl_error *err)
{
    struct run *run = ctx;

    assert(wfl_code_http(err->code) >= 400 && wfl_code_http(err->code) < 500);
    wfl_buf_printf(&run->seen, "broken %s\n", wfl_code_name(err->code));
    answer(x);
}

static void on_end(void *ctx, struct wfl_exchange *x, bool ok)
{
    struct run *run = ctx;

    (void)x;
    wfl_buf_printf(&run->seen, "ended %d\n", ok);
}

/* ---- feeding */

static void start(struct run *run, const uint8_t head[4])
{
    memset(run, 0, sizeof *run);
    run->ignores_body = head[0] % 2 == 1;
    run->dst_cap = head[1] == 0 ? 1 : head[1];
    run->net.config.limits = (struct wfl_net_limits){.header_bytes_max = 600,
                                                     .header_count_max = 12,
                                                     .target_bytes_max = 100,
                                                     .chunk_ext_bytes_max = 16};
    run->net.config.arena_bytes_max = 1u << 20;
    run->net.config.alloc = &wfl_alloc_libc;
    run->net.config.handler = (struct wfl_handler){
        .on_head = on_head, .on_body = on_body, .on_broken = on_broken, .on_end = on_end};
    run->net.config.handler.ctx = run;
    run->reactor.net = &run->net;
    run->reactor.thread = pthread_self();
    run->reactor.free_exchange_count = POOLED_MAX; /* free each at once: late uses show */
    run->conn.reactor = &run->reactor;
    run->conn.limits = &run->net.config.limits;
    run->conn.protocol = PROTO_HTTP1;
    wfl_buf_init(&run->seen, &wfl_alloc_libc, 4u << 20);
    wfl_buf_init(&run->body, &wfl_alloc_libc, 1u << 20);
}

static void finish(struct run *run)
{
    while (run->conn.exchanges != NULL)
        exchange_end(run->conn.exchanges, false);
    wfl_buf_printf(&run->seen, "state %d\n", run->conn.state);
    free(run->conn.in);
    assert(run->net.exchanges == 0 && wfl_buf_ok(&run->seen) && wfl_buf_ok(&run->body));
    wfl_buf_fini(&run->body);
}

static void add_to_buffer(struct conn *c, wfl_slice piece)
{
    size_t   had = c->in_len - c->in_at;
    uint8_t *bigger = malloc(had + piece.len == 0 ? 1 : had + piece.len);

    if (bigger == NULL) abort();
    if (had > 0) memcpy(bigger, c->in + c->in_at, had);
    if (piece.len > 0) memcpy(bigger + had, piece.data, piece.len);
    free(c->in);
    c->in = bigger;
    c->in_at = 0;
    c->in_len = c->in_cap = had + piece.len;
}

/* As conn.c receives: into the handler's place where there is one, else into the buffer. */
static void feed(struct run *run, wfl_slice piece)
{
    while (piece.len > 0 && run->conn.state == CONN_OPEN) {
        size_t    cap;
        uint8_t  *place = http1_direct_place(&run->conn, &cap);
        wfl_slice part = piece;

        if (place != NULL && part.len > cap) part.len = cap;
        bool taken = wfl_slice_take(&piece, part.len, &part);
        assert(taken);
        if (place != NULL) {
            memcpy(place, part.data, part.len);
            http1_direct_received(&run->conn, part.len);
        } else {
            add_to_buffer(&run->conn, part);
        }
        http1_pump(&run->conn);
    }
}

static void run_pieces(struct run *run, const uint8_t head[4], wfl_slice message, size_t first,
                       size_t second)
{
    bool odd = false;

    start(run, head);
    while (message.len > 0) {
        size_t    n = odd ? second : first;
        wfl_slice piece;

        odd = !odd;
        if (n > message.len) n = message.len;
        bool taken = wfl_slice_take(&message, n, &piece);
        assert(taken);
        feed(run, piece);
    }
    run->conn.peer_done = true;
    http1_pump(&run->conn);
    finish(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole, cut;
    wfl_slice         message;

    if (size < 4) return 0;
    message = wfl_slice_of(data + 4, size - 4);
    run_pieces(&whole, data, message, message.len + 1, message.len + 1);
    run_pieces(&cut, data, message, data[2] + 1u, data[3] % 16 + 1u);
    if (!wfl_slice_eq(wfl_buf_slice(&whole.seen), wfl_buf_slice(&cut.seen))) {
        fprintf(stderr, "whole:\n%.*s\nin pieces:\n%.*s\n", WFL_FMT(wfl_buf_slice(&whole.seen)),
                WFL_FMT(wfl_buf_slice(&cut.seen)));
        abort();
    }
    wfl_buf_fini(&whole.seen);
    wfl_buf_fini(&cut.seen);
    return 0;
}
