/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 from bytes to requests and back: net's http2.c over a real nghttp2 session, with the
 * socket left out. An input is four bytes (how the handler behaves, the size of its buffer, how
 * much the peer reads at a time, the length of pieces) and then the frames behind the preface.
 * What comes out is read as frames again. */
#include "fuzz.h"

#include "net/net_private.h"
#include "tests/fuzz/no_reactor.h"

#define SEGMENTS_MAX 4096
#define BODY_BYTES   40000
#define FRAME_MAX    16384

struct out_segment {
    const uint8_t *data;
    size_t         len, sent;
    void (*release)(void *arg);
    void                *arg;
    struct wfl_exchange *x;
};

struct run {
    struct conn        conn;
    struct reactor     reactor;
    struct wfl_net     net;
    uint8_t            behaviour;
    uint8_t            dst[256];
    size_t             dst_cap, drain_bytes;
    struct out_segment out[SEGMENTS_MAX];
    size_t             out_head, out_count;
    struct http2_calm  frames; /* reads what goes out: it knows where frames begin */
    unsigned           looks_at_the_clock;
    unsigned           open; /* exchanges that the handler has seen and that have not ended */
};
static struct run run;

struct seen { /* of one exchange, in its arena */
    uint64_t body_bytes;
    bool     answered, later, ended;
};

/* ---- in place of the socket's side */

bool conn_queue(struct conn *c, const void *data, size_t len, void (*release)(void *), void *arg,
                struct wfl_exchange *x)
{
    struct out_segment *s = &run.out[(run.out_head + run.out_count) % SEGMENTS_MAX];

    if (run.out_count == SEGMENTS_MAX) {
        if (release != NULL) release(arg);
        c->state = CONN_CLOSED;
        return false;
    }
    *s = (struct out_segment){.data = data, .len = len, .release = release, .arg = arg, .x = x};
    run.out_count++;
    c->out.count++;
    c->out.bytes += len;
    if (x != NULL) x->unwritten++;
    return true;
}

bool conn_queue_copy(struct conn *c, wfl_slice bytes)
{
    uint8_t *copy = malloc(bytes.len == 0 ? 1 : bytes.len);

    if (copy == NULL) abort();
    if (bytes.len > 0) memcpy(copy, bytes.data, bytes.len);
    return conn_queue(c, copy, bytes.len, free, copy, NULL);
}

bool conn_queue_part(struct conn *c, const struct wfl_body_part *part, struct wfl_exchange *x)
{
    return conn_queue(c, part->bytes.data, part->bytes.len, part->release, part->arg, x);
}

bool reactor_turn_is_over(const struct reactor *r)
{
    (void)r;
    return ++run.looks_at_the_clock % 3 == 0;
}

/* Of HTTP/1.1 nothing is reached. */
void http1_respond(struct wfl_exchange *x, const struct wfl_response *response)
{
    (void)x, (void)response;
    abort();
}

void http1_parts_added(struct wfl_exchange *x)
{
    (void)x;
    abort();
}

static void finish_segment(struct out_segment s)
{
    if (s.release != NULL) s.release(s.arg);
    if (s.x != NULL) exchange_written(s.x, s.len);
}

/* The peer reads `n` bytes, and finds frames. True: a segment was finished. */
static bool drain(size_t n)
{
    bool finished = false;

    while (n > 0 && run.out_count > 0) {
        struct out_segment *s = &run.out[run.out_head];
        size_t              part = s->len - s->sent < n ? s->len - s->sent : n;

        http2_calm_input(&run.frames, wfl_slice_of(s->data + s->sent, part));
        assert(run.frames.payload_left <= FRAME_MAX);
        s->sent += part;
        n -= part;
        run.conn.out.bytes -= part;
        if (s->sent < s->len) break;
        run.out_head = (run.out_head + 1) % SEGMENTS_MAX;
        run.out_count--;
        run.conn.out.count--;
        finish_segment(*s);
        finished = true;
    }
    return finished;
}

static void drop_queue(void)
{
    for (; run.out_count > 0; run.out_count--) {
        struct out_segment s = run.out[run.out_head];

        run.out_head = (run.out_head + 1) % SEGMENTS_MAX;
        finish_segment(s);
    }
    run.conn.out.count = 0;
    run.conn.out.bytes = 0;
}

/* ---- the handler */

enum { /* bits of the first byte */
       IGNORES_BODIES = 1,
       ANSWERS_MUCH = 2,
       ANSWERS_LATER = 4,
       ABORTS = 8,
       READS_ONCE = 16,
       ENDS_WITH_PEER = 32,
};

static uint8_t content[BODY_BYTES];

static struct seen *seen_of(struct wfl_exchange *x)
{
    return wfl_exchange_user(x);
}

static void answer(struct wfl_exchange *x, bool more)
{
    struct wfl_body_part part = {
        .bytes = wfl_slice_of(content, run.behaviour & ANSWERS_MUCH ? sizeof content : 2)};
    struct wfl_header   header = {WFL_S("content-type"), WFL_S("text/plain")};
    struct wfl_response r = {.status = 200,
                             .headers = &header,
                             .header_count = 1,
                             .length_known = !more,
                             .length = part.bytes.len,
                             .more = more,
                             .parts = &part,
                             .part_count = 1};

    seen_of(x)->answered = true;
    seen_of(x)->later = more;
    if (run.behaviour & ABORTS) {
        wfl_exchange_abort(x);
    } else {
        wfl_exchange_respond(x, &r);
    }
}

static struct seen *meet(struct wfl_exchange *x)
{
    struct seen *seen = wfl_arena_zero(wfl_exchange_arena(x), 1, sizeof *seen);

    assert(seen != NULL);
    run.open++;
    wfl_exchange_set_user(x, seen);
    return seen;
}

static void check_request(const struct wfl_request *r)
{
    const struct wfl_net_limits *limits = &run.net.config.limits;

    assert(r->http_major == 2 && r->method.len > 0 && r->target.len > 0);
    assert(r->target.len <= limits->target_bytes_max &&
           r->header_count <= limits->header_count_max);
    assert(r->path.len + r->query.len <= r->target.len);
    for (size_t i = 0; i < r->target.len; i++)
        assert(r->target.data[i] > 0x20 && r->target.data[i] < 0x7F);
    for (uint32_t i = 0; i < r->header_count; i++) {
        wfl_slice name = r->headers[i].name, value = r->headers[i].value;

        assert(name.len > 0 && name.data[0] != ':');
        for (size_t at = 0; at < name.len; at++)
            assert(name.data[at] > 0x20 && !(name.data[at] >= 'A' && name.data[at] <= 'Z'));
        for (size_t at = 0; at < value.len; at++)
            assert((value.data[at] >= 0x20 && value.data[at] != 0x7F) || value.data[at] == '\t');
        assert(!wfl_slice_eq(name, WFL_S("connection")) &&
               !wfl_slice_eq(name, WFL_S("transfer-encoding")));
    }
}

static void on_head(void *ctx, struct wfl_exchange *x)
{
    const struct wfl_request *r = wfl_exchange_request(x);

    (void)ctx;
    meet(x);
    check_request(r);
    if (run.behaviour & ENDS_WITH_PEER) wfl_exchange_end_with_peer(x);
    if (r->has_body && !(run.behaviour & IGNORES_BODIES)) {
        wfl_exchange_read(x, run.dst, run.dst_cap);
    } else {
        answer(x, run.behaviour & ANSWERS_LATER);
    }
}

static void on_body(void *ctx, struct wfl_exchange *x, size_t n, bool end)
{
    const struct wfl_request *r = wfl_exchange_request(x);
    struct seen              *seen = seen_of(x);

    (void)ctx;
    assert(n <= run.dst_cap && (end || n == run.dst_cap) && !seen->ended);
    seen->body_bytes += n;
    seen->ended = end;
    if (r->length_known)
        assert(end ? seen->body_bytes == r->length : seen->body_bytes <= r->length);
    if (end || run.behaviour & READS_ONCE) {
        answer(x, run.behaviour & ANSWERS_LATER);
    } else {
        wfl_exchange_read(x, run.dst, run.dst_cap);
    }
}

static void on_broken(void *ctx, struct wfl_exchange *x, const wfl_error *err)
{
    (void)ctx;
    assert(wfl_code_http(err->code) >= 400 && wfl_code_http(err->code) < 500);
    if (seen_of(x) == NULL) meet(x);
    assert(!seen_of(x)->answered);
    answer(x, false);
}

static void on_end(void *ctx, struct wfl_exchange *x, bool ok)
{
    (void)ctx;
    if (seen_of(x) == NULL) {
        assert(!ok); /* it ended before its head was told */
        return;
    }
    assert(run.open > 0);
    run.open--;
}

/* ---- feeding */

static void start(const uint8_t head[4])
{
    memset(&run, 0, sizeof run);
    run.behaviour = head[0];
    run.dst_cap = head[1] == 0 ? 1 : head[1];
    run.drain_bytes = head[2] == 255 ? SIZE_MAX : head[2] * 16u;
    http2_calm_start(&run.frames, 0);
    run.frames.payload_left = 0; /* no preface comes from us */
    run.net.config.limits = (struct wfl_net_limits){.header_bytes_max = 600,
                                                    .header_count_max = 12,
                                                    .target_bytes_max = 100,
                                                    .header_timeout_ms = 1000,
                                                    .idle_timeout_ms = 2000,
                                                    .body_stall_timeout_ms = 1000,
                                                    .streams_max = 4};
    run.net.config.arena_bytes_max = 1u << 20;
    run.net.config.alloc = &wfl_alloc_libc;
    run.net.config.handler = (struct wfl_handler){
        .on_head = on_head, .on_body = on_body, .on_broken = on_broken, .on_end = on_end};
    run.reactor.net = &run.net;
    run.reactor.thread = pthread_self();
    run.reactor.free_exchange_count = POOLED_MAX; /* free each at once: late uses show */
    run.reactor.now_ns = 1000000000;
    run.conn.reactor = &run.reactor;
    run.conn.limits = &run.net.config.limits;
    run.conn.protocol = PROTO_HTTP2;
}

/* As conn_pump does it. */
static void pump(void)
{
    struct conn *c = &run.conn;
    bool         again = true;

    c->in_pump = true;
    while (again && c->state != CONN_CLOSED) {
        http2_pump(c);
        again = drain(run.drain_bytes) || c->ready != NULL;
    }
    if (c->state == CONN_FLUSHING && c->out.count == 0) {
        if (c->exchange_count > 0) http2_abandon(c);
        c->state = CONN_CLOSED;
    }
    c->in_pump = false;
}

static void feed(wfl_slice piece)
{
    struct conn *c = &run.conn;
    uint8_t     *exact = malloc(piece.len);

    if (exact == NULL) abort();
    memcpy(exact, piece.data, piece.len);
    c->in = exact;
    c->in_at = 0;
    c->in_len = c->in_cap = piece.len;
    if (c->state == CONN_OPEN) http2_input(c);
    c->in = NULL;
    free(exact);
    pump();
}

/* What was left for later is sent now. */
static void answer_rest(void)
{
    for (struct wfl_exchange *x = run.conn.exchanges, *next; x != NULL; x = next) {
        next = x->next;
        if (x->head_done && seen_of(x) != NULL && seen_of(x)->later) {
            seen_of(x)->later = false;
            (void)wfl_exchange_send(x, (struct wfl_body_part){.bytes = wfl_slice_of(content, 99)},
                                    true);
        }
    }
    pump();
}

static void finish(void)
{
    struct conn *c = &run.conn;

    if (c->state == CONN_OPEN) answer_rest();
    run.reactor.now_ns += 1500000000; /* who was slow is told so */
    if (c->state == CONN_OPEN) http2_check_time(c);
    pump();
    c->peer_done = true;
    pump();
    drop_queue();
    c->in_pump = true;
    while (c->exchanges != NULL)
        exchange_end(c->exchanges, false);
    http2_free(c);
    assert(run.open == 0 && run.net.exchanges == 0 && c->exchange_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    wfl_slice         message, piece;
    size_t            step;

    if (size < 4) return 0;
    start(data);
    message = wfl_slice_of(data + 4, size - 4);
    step = data[3] == 255 ? SIZE_MAX : data[3] + 1u;
    if (!http2_start(&run.conn)) abort();
    feed(wfl_slice_of(preface, sizeof preface - 1));
    while (message.len > 0 && run.conn.state == CONN_OPEN) {
        bool taken = wfl_slice_take(&message, step < message.len ? step : message.len, &piece);

        assert(taken);
        run.reactor.now_ns += 1000000;
        feed(piece);
    }
    finish();
    return 0;
}
