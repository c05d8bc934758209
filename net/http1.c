/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 on a connection: head, body, answer, and again. One exchange at a time; bytes of the
 * next request wait in the buffer, and when that is full in the socket. Anything broken is
 * answered, then the connection ends: after a framing error nobody knows where the next request
 * would begin. */
#include "net/net_private.h"

#include <assert.h>
#include <stdio.h>

static wfl_slice input(const struct conn *c)
{
    if (c->in == NULL) return (wfl_slice){0}; /* NULL + 0 is undefined in C17 */
    return wfl_slice_of(c->in + c->in_at, c->in_len - c->in_at);
}

static int64_t ms(uint32_t n)
{
    return (int64_t)n * 1000000;
}

/* ---- head */

static void refuse(struct conn *c, struct wfl_exchange *x, const wfl_error *err)
{
    if (x == NULL) x = exchange_new(c);
    if (x == NULL) {
        c->state = CONN_CLOSED;
        return;
    }
    c->h1.x = x;
    c->h1.framing.keep_alive = false;
    c->h1.body_open = false;
    c->in_at = c->in_len; /* nothing behind a broken request can be believed */
    exchange_tell_broken(x, err);
}

/* RFC 9112 section 2.2: an empty line or two before a request line is forgiven. */
static wfl_code skip_blank_lines(struct conn *c, wfl_error *err)
{
    wfl_slice in = input(c);

    while (in.len >= 2 && in.data[0] == '\r' && in.data[1] == '\n') {
        if (++c->h1.blank_lines > 2)
            return wfl_fail(err, WFL_INVALID_REQUEST, "empty lines instead of a request");
        c->in_at += 2;
        in = input(c);
        c->h1.scanned = 0;
    }
    return WFL_OK;
}

static struct http1_limits limits_of(const struct conn *c)
{
    const struct wfl_net_limits *l = c->limits;

    return (struct http1_limits){l->header_bytes_max, l->target_bytes_max, l->header_count_max};
}

static void begin_body(struct conn *c, const struct wfl_request *r)
{
    const struct wfl_net_limits *l = c->limits;

    c->h1.body_open = r->has_body;
    c->h1.body_left = r->length;
    c->h1.discarded = 0;
    c->h1.discarding = false;
    c->h1.continue_due = r->expects_continue;
    if (c->h1.framing.chunked) chunked_init(&c->h1.chunked, l->chunk_ext_bytes_max);
}

static void begin_exchange(struct conn *c, size_t head_len)
{
    const struct wfl_handler *h = &c->reactor->net->config.handler;
    struct http1_limits       limits = limits_of(c);
    struct wfl_exchange      *x = exchange_new(c);
    wfl_slice                 head;
    wfl_error                 err = {.code = WFL_OK};

    if (x == NULL) {
        c->state = CONN_CLOSED;
        return;
    }
    c->h1.x = x;
    x->began_ns = c->since_ns;
    memset(&c->h1.framing, 0, sizeof c->h1.framing);
    if (!wfl_arena_copy(&x->arena, wfl_slice_of(c->in + c->in_at, head_len), &head)) {
        wfl_fail(&err, WFL_OVERLOADED, "out of memory");
        refuse(c, x, &err);
        return;
    }
    c->in_at += head_len;
    c->h1.scanned = 0;
    c->h1.blank_lines = 0;
    c->h1.head_begun = false;
    if (http1_parse_head((uint8_t *)(uintptr_t)head.data, head.len, &limits, &x->arena, &x->request,
                         &c->h1.framing, &err) != WFL_OK) {
        refuse(c, x, &err);
        return;
    }
    begin_body(c, &x->request);
    h->on_head(h->ctx, x);
}

/* True: there is an exchange now, or the connection is ending. */
static bool find_request(struct conn *c)
{
    struct http1_limits limits = limits_of(c);
    wfl_error           err = {.code = WFL_OK};
    size_t              head_len = 0;

    if (skip_blank_lines(c, &err) != WFL_OK) {
        refuse(c, NULL, &err);
        return true;
    }
    if (input(c).len == 0) {
        if (c->peer_done || c->reactor->stopping) conn_close_after_flush(c);
        return false;
    }
    if (!c->h1.head_begun) {
        c->h1.head_begun = true;
        c->since_ns = c->reactor->now_ns;
    }
    if (http1_find_head(input(c), &c->h1.scanned, &limits, &head_len, &err) != WFL_OK) {
        refuse(c, NULL, &err);
        return true;
    }
    if (head_len > 0) {
        begin_exchange(c, head_len);
        return true;
    }
    if (!c->peer_done) return false;
    wfl_fail(&err, WFL_INVALID_REQUEST, "the request ended inside its head");
    refuse(c, NULL, &err);
    return true;
}

/* ---- body */

/* Move body bytes from the buffer into out[0..cap) (NULL: drop). False: the framing is broken. */
static bool take_body(struct conn *c, uint8_t *out, size_t cap, size_t *taken)
{
    wfl_slice in = input(c), piece;

    *taken = 0;
    if (c->h1.framing.chunked) {
        size_t before = in.len;

        if (!chunked_decode(&c->h1.chunked, &in, out, cap, taken)) return false;
        c->in_at += before - in.len;
        c->h1.body_open = c->h1.chunked.state != CHUNK_DONE;
        return true;
    }
    *taken = in.len < cap ? in.len : cap;
    if (*taken > c->h1.body_left) *taken = (size_t)c->h1.body_left;
    if (!wfl_slice_take(&in, *taken, &piece)) return false;
    if (out != NULL && *taken > 0) memcpy(out, piece.data, *taken);
    c->in_at += *taken;
    c->h1.body_left -= *taken;
    c->h1.body_open = c->h1.body_left > 0;
    return true;
}

uint8_t *http1_direct_place(struct conn *c, size_t *cap)
{
    struct wfl_exchange *x = c->h1.x;

    if (x == NULL || !x->reading || c->h1.framing.chunked || !c->h1.body_open || input(c).len > 0)
        return NULL;
    *cap = x->dst_cap - x->dst_len;
    if (*cap > c->h1.body_left) *cap = (size_t)c->h1.body_left;
    return *cap == 0 ? NULL : x->dst + x->dst_len;
}

void http1_direct_received(struct conn *c, size_t n)
{
    struct wfl_exchange *x = c->h1.x;

    x->dst_len += n;
    x->body_progress_ns = c->reactor->now_ns;
    c->h1.body_left -= n;
    c->h1.body_open = c->h1.body_left > 0;
    c->h1.continue_due = false;
}

/* True: on_body or on_broken was called, go round again. */
static bool deliver(struct conn *c, struct wfl_exchange *x)
{
    const struct wfl_handler *h = &c->reactor->net->config.handler;
    wfl_error                 err = {.code = WFL_OK};
    size_t                    taken;

    if (c->h1.continue_due && input(c).len == 0 && c->h1.body_open) {
        conn_queue_copy(c, WFL_S("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    c->h1.continue_due = false;
    if (c->h1.body_open) {
        if (!take_body(c, x->dst + x->dst_len, x->dst_cap - x->dst_len, &taken)) {
            wfl_fail(&err, WFL_INVALID_REQUEST, "the body's chunked coding is broken");
            refuse(c, x, &err);
            return true;
        }
        x->dst_len += taken;
        if (taken > 0) x->body_progress_ns = c->reactor->now_ns;
    }
    if (!c->h1.body_open || x->dst_len == x->dst_cap) {
        x->reading = false;
        x->body_done = !c->h1.body_open;
        h->on_body(h->ctx, x, x->dst_len, x->body_done);
        return true;
    }
    if (!c->peer_done) return false;
    wfl_fail(&err, WFL_INCOMPLETE_BODY, "the body ended before its declared end");
    refuse(c, x, &err);
    return true;
}

/* The rest of a body that nobody wanted. True: done with it. */
static bool discard(struct conn *c)
{
    size_t taken, before = c->in_at;

    if (!take_body(c, NULL, SIZE_MAX, &taken)) {
        conn_close_after_flush(c);
        return false;
    }
    c->h1.discarded += c->in_at - before; /* framing included: it may be most of it */
    if (!c->h1.body_open) {
        c->h1.discarding = false;
        return true;
    }
    if (c->h1.discarded > DISCARD_BYTES_MAX || c->peer_done) conn_close_after_flush(c);
    return false;
}

/* ---- answer */

static const char *reason_of(int status)
{
    static const struct {
        int         status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < WFL_COUNT(reasons); i++) {
        if (reasons[i].status == status) return reasons[i].reason;
    }
    return "";
}

static void add_framing(struct wfl_exchange *x, const struct wfl_response *response, wfl_buf *out)
{
    if (response->length_known && response->status != 204 && response->status != 304) {
        wfl_buf_printf(out, "content-length: %llu\r\n", (unsigned long long)response->length);
    } else if (x->chunked) {
        wfl_buf_add_str(out, "transfer-encoding: chunked\r\n");
    }
    if (x->close_after || !x->conn->h1.framing.keep_alive) {
        wfl_buf_add_str(out, "connection: close\r\n");
    } else if (x->conn->h1.framing.http10) { /* RFC 9112 section 9.3: there it must be said */
        wfl_buf_add_str(out, "connection: keep-alive\r\n");
    }
}

/* The head in arena memory of the right size: written from there. */
static bool write_head(struct wfl_exchange *x, const struct wfl_response *response, wfl_slice *head)
{
    size_t  size = 512;
    wfl_buf out;

    for (uint32_t i = 0; i < response->header_count; i++) {
        size += response->headers[i].name.len + response->headers[i].value.len + 4;
    }
    out = (wfl_buf){.data = wfl_arena_get(&x->arena, size), .cap = size, .max = size};
    if (out.data == NULL) return false;
    wfl_buf_printf(&out, "HTTP/1.1 %d %s\r\ndate: %s\r\n", response->status,
                   reason_of(response->status), x->reactor->date);
    for (uint32_t i = 0; i < response->header_count; i++) {
        wfl_buf_add(&out, response->headers[i].name);
        wfl_buf_add_str(&out, ": ");
        wfl_buf_add(&out, response->headers[i].value);
        wfl_buf_add_str(&out, "\r\n");
    }
    add_framing(x, response, &out);
    wfl_buf_add_str(&out, "\r\n");
    *head = wfl_buf_slice(&out);
    return wfl_buf_ok(&out);
}

void http1_respond(struct wfl_exchange *x, const struct wfl_response *response)
{
    struct conn *c = x->conn;
    wfl_slice    head;

    /* A body that will not be read to its end here ends the connection, and the peer is told. Of a
     * chunked one nobody knows how much is still to come. */
    if (c->h1.body_open &&
        (c->h1.continue_due || c->h1.framing.chunked || c->h1.body_left > DISCARD_BYTES_MAX)) {
        x->close_after = true;
    }
    x->close_after |= c->reactor->stopping;
    if (!response->length_known && !x->headless_body) {
        x->chunked = !c->h1.framing.http10; /* there the end of the connection ends the body */
        x->close_after |= !x->chunked;
    }
    if (!write_head(x, response, &head)) {
        wfl_exchange_abort(x);
        return;
    }
    if (conn_queue(c, head.data, head.len, NULL, NULL, x)) http1_parts_added(x);
}

static bool queue_size_line(struct conn *c, size_t size)
{
    char line[24];
    int  n = snprintf(line, sizeof line, "%zx\r\n", size);

    return conn_queue_copy(c, wfl_slice_of(line, (size_t)n));
}

void http1_parts_added(struct wfl_exchange *x)
{
    struct conn      *c = x->conn;
    struct part_node *part;

    while ((part = exchange_front_part(x)) != NULL) {
        part->sent = part->part.bytes.len;
        if (x->chunked && !queue_size_line(c, part->sent)) return;
        /* From here on the queue releases it. */
        if (!conn_queue_part(c, &part->part, x)) {
            part->part.release = NULL;
            return;
        }
        part->part.release = NULL;
        if (x->chunked && !conn_queue_copy(c, WFL_S("\r\n"))) return;
    }
    if (x->more) return;
    if (x->chunked) conn_queue_copy(c, WFL_S("0\r\n\r\n"));
    x->answer_done = true;
}

static void finish_exchange(struct conn *c, struct wfl_exchange *x)
{
    bool close = x->close_after || !c->h1.framing.keep_alive;

    exchange_end(x, true);
    if (close) {
        conn_close_after_flush(c);
    } else if (c->h1.body_open) {
        c->h1.discarding = true;
    }
}

/* ---- the turn */

void http1_pump(struct conn *c)
{
    (void)exchange_take_ready(c); /* there is one exchange, and this looks at it */
    while (c->state == CONN_OPEN) {
        struct wfl_exchange *x = c->h1.x;

        if (x == NULL && c->h1.discarding) {
            if (!discard(c)) return;
        } else if (x == NULL) {
            if (!find_request(c)) return;
        } else if (x->reading) {
            if (!deliver(c, x)) return;
        } else if (x->answer_done && x->unwritten == 0) {
            finish_exchange(c, x);
        } else if (x->ends_with_peer && c->peer_done) {
            c->state = CONN_CLOSED;
        } else {
            return; /* the handler is at work, or the socket */
        }
    }
}

void http1_check_time(struct conn *c)
{
    const struct wfl_net_limits *limits = c->limits;
    struct wfl_exchange         *x = c->h1.x;
    int64_t                      now = c->reactor->now_ns;
    wfl_error                    err = {.code = WFL_OK};

    if (x != NULL && x->reading && now - x->body_progress_ns > ms(limits->body_stall_timeout_ms)) {
        wfl_fail(&err, WFL_REQUEST_TIMEOUT, "no byte of the body for %u ms",
                 limits->body_stall_timeout_ms);
        refuse(c, x, &err);
        exchange_mark_ready(x);
    } else if (x == NULL && c->h1.head_begun && now - c->since_ns > ms(limits->header_timeout_ms)) {
        wfl_fail(&err, WFL_REQUEST_TIMEOUT, "the head was not complete after %u ms",
                 limits->header_timeout_ms);
        refuse(c, NULL, &err);
    } else if (x == NULL && !c->h1.head_begun && now - c->since_ns > ms(limits->idle_timeout_ms)) {
        conn_close_after_flush(c);
    } else if (x != NULL) {
        exchange_check_timer(x, false);
    }
}
