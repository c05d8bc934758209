/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 by nghttp2. Its callbacks only note what came: heads, bodies and ends are handed to the
 * handler from http2_pump, outside of nghttp2. Windows open as the handler takes bytes, so a slow
 * handler stops its own stream and no other. DATA goes out without a copy: nine bytes of frame
 * header, then the part's own bytes. Floods are bounded by http2_calm.c and by nghttp2's limits;
 * the header list by ours. */
#include "net/net_private.h"

#include <assert.h>
#include <stdio.h>

#define STREAM_WINDOW     (256u << 10)
#define CONNECTION_WINDOW (1u << 20)
#define OUTBOUND_ACKS_MAX 256
#define OUTBOUND_SPARE    1024 /* frames that may wait besides four a stream: above, a flood */
#define HEADER_OVERHEAD   32   /* RFC 9113 section 6.5.2: what a header counts beyond its bytes */

static int64_t ms(uint32_t n)
{
    return (int64_t)n * 1000000;
}

static struct wfl_exchange *exchange_of(nghttp2_session *session, int32_t stream)
{
    return nghttp2_session_get_stream_user_data(session, stream);
}

/* ---- heads */

struct head { /* of an exchange whose header block is still coming in; lies in its arena */
    struct wfl_header *headers;
    size_t             bytes;
    wfl_slice          host;
    bool               broken;
};

static struct head *head_of(struct wfl_exchange *x)
{
    return x->user; /* the handler gets this place when the head is complete */
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct conn         *c = arg;
    struct wfl_exchange *x;
    struct head         *head;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    x = exchange_new(c);
    if (x == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    x->stream = frame->hd.stream_id;
    head = wfl_arena_zero(&x->arena, 1, sizeof *head);
    if (head != NULL) {
        head->headers =
            wfl_arena_get(&x->arena, c->limits->header_count_max * sizeof(struct wfl_header));
    }
    x->user = head;
    nghttp2_session_set_stream_user_data(session, x->stream, x);
    if (head == NULL || head->headers == NULL) {
        x->too_large = true;
        x->user = NULL;
    }
    return 0;
}

static bool take_pseudo(struct wfl_exchange *x, wfl_slice name, wfl_slice value)
{
    if (wfl_slice_eq(name, WFL_S(":method")))
        return wfl_arena_copy(&x->arena, value, &x->request.method);
    if (wfl_slice_eq(name, WFL_S(":path")))
        return wfl_arena_copy(&x->arena, value, &x->request.target);
    if (wfl_slice_eq(name, WFL_S(":authority")))
        return wfl_arena_copy(&x->arena, value, &x->request.authority);
    return true; /* :scheme says nothing new on this port */
}

static bool take_header(struct wfl_exchange *x, const struct wfl_net_limits *limits, wfl_slice name,
                        wfl_slice value)
{
    struct head       *head = head_of(x);
    struct wfl_header *h = &head->headers[x->request.header_count];

    if (x->request.header_count == limits->header_count_max) return false;
    if (!wfl_arena_copy(&x->arena, name, &h->name) ||
        !wfl_arena_copy(&x->arena, wfl_slice_trim(value), &h->value)) {
        return false;
    }
    if (wfl_slice_eq(name, WFL_S("host"))) {
        head->broken |= head->host.len > 0;
        head->host = h->value;
    }
    x->request.header_count++;
    return true;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct conn                 *c = arg;
    const struct wfl_net_limits *limits = c->limits;
    struct wfl_exchange         *x = exchange_of(session, frame->hd.stream_id);
    wfl_slice    n = wfl_slice_of(name, name_len), v = wfl_slice_of(value, value_len);
    struct head *head;

    (void)flags;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0; /* trailers are dropped */
    if (x == NULL || x->too_large) return 0;
    head = head_of(x);
    head->bytes += name_len + value_len + HEADER_OVERHEAD;
    if (head->bytes > limits->header_bytes_max + HEADER_OVERHEAD * limits->header_count_max)
        x->too_large = true;
    if (!x->too_large &&
        !(name_len > 0 && name[0] == ':' ? take_pseudo(x, n, v) : take_header(x, limits, n, v))) {
        x->too_large = true;
    }
    return 0;
}

/* What nghttp2 would leave out silently (RFC 9113 section 8.2.1): the request is malformed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *arg)
{
    (void)session, (void)frame, (void)name, (void)name_len, (void)value, (void)value_len;
    (void)flags, (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static wfl_code check_target(const struct wfl_exchange *x, const struct wfl_net_limits *limits,
                             wfl_error *err)
{
    wfl_slice target = x->request.target;

    if (target.len > limits->target_bytes_max) {
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the target is longer than %u bytes",
                        limits->target_bytes_max);
    }
    if (target.len == 0 ||
        (target.data[0] != '/' && !(wfl_slice_eq(target, WFL_S("*")) &&
                                    wfl_slice_eq(x->request.method, WFL_S("OPTIONS"))))) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "the target is no path");
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7F || target.data[i] == '#') {
            return wfl_fail(err, WFL_INVALID_REQUEST,
                            "the target has a character that must be encoded");
        }
    }
    return WFL_OK;
}

/* Count and bytes are known only at the end of the block; the answer needs a complete one. */
static wfl_code finish_head(struct wfl_exchange *x, wfl_error *err)
{
    const struct wfl_net_limits *limits = x->conn->limits;
    struct wfl_request          *r = &x->request;
    struct head                 *head = head_of(x);
    const struct wfl_header     *length;
    wfl_code                     rc;

    x->user = NULL;
    r->http_major = 2;
    if (x->too_large)
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the header block is larger than the limits");
    r->headers = head->headers;
    rc = check_target(x, limits, err);
    if (rc != WFL_OK) return rc;
    if (head->broken || (head->host.len > 0 && r->authority.len > 0 &&
                         !wfl_slice_eq_nocase(head->host, r->authority))) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "Host is repeated or differs from :authority");
    }
    if (r->authority.len == 0) r->authority = head->host;
    r->query = r->target;
    wfl_slice_split(&r->query, '?', &r->path);
    length = wfl_request_header(r, WFL_S("content-length"));
    r->length_known = !r->has_body;
    if (length != NULL && r->has_body)
        r->length_known = wfl_slice_to_u64(length->value, UINT64_MAX, &r->length);
    length = wfl_request_header(r, WFL_S("expect"));
    if (length != NULL && !wfl_slice_eq_nocase(length->value, WFL_S("100-continue"))) {
        return wfl_fail(err, WFL_INVALID_HEADER, "Expect takes 100-continue only");
    }
    r->expects_continue = length != NULL && r->has_body;
    x->continue_due = r->expects_continue;
    return WFL_OK;
}

static void tell_head(struct wfl_exchange *x)
{
    const struct wfl_handler *h = &x->reactor->net->config.handler;
    wfl_error                 err = {.code = WFL_OK};

    x->head_done = true;
    if (finish_head(x, &err) != WFL_OK) {
        exchange_tell_broken(x, &err);
        return;
    }
    h->on_head(h->ctx, x);
}

/* ---- what comes in */

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct wfl_exchange *x =
        frame->hd.stream_id == 0 ? NULL : exchange_of(session, frame->hd.stream_id);

    (void)arg;
    if (x == NULL) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) x->body_done = true;
    /* Told by this frame alone: the body may be all here before the handler sees the head. */
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        x->request.has_body = !x->body_done;
        x->head_here = true;
    }
    exchange_mark_ready(x);
    return 0;
}

static void consume(struct conn *c, struct wfl_exchange *x, size_t n)
{
    if (n > 0 && !x->stream_closed) (void)!nghttp2_session_consume(c->h2.session, x->stream, n);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    struct conn         *c = arg;
    struct wfl_exchange *x = exchange_of(session, stream);
    size_t               direct = 0;

    (void)flags;
    http2_calm_data(&c->h2.calm, len);
    if (x == NULL || x->responded) { /* nobody wants it any more */
        (void)!nghttp2_session_consume(session, stream, len);
        return 0;
    }
    x->body_progress_ns = c->reactor->now_ns;
    if (x->reading && x->backlog.len == x->backlog_at) {
        direct = x->dst_cap - x->dst_len < len ? x->dst_cap - x->dst_len : len;
        memcpy(x->dst + x->dst_len, data, direct);
        x->dst_len += direct;
        consume(c, x, direct);
    }
    wfl_buf_add(&x->backlog, wfl_slice_of(data + direct, len - direct));
    if (!wfl_buf_ok(&x->backlog)) http2_abort(x);
    exchange_mark_ready(x);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
    struct wfl_exchange *x = exchange_of(session, stream);
    struct conn         *c = arg;

    (void)code;
    if (x == NULL) return 0;
    x->stream_closed = true;
    /* What was received and will not be taken any more gives the connection's window back. */
    if (x->backlog.len > x->backlog_at)
        (void)!nghttp2_session_consume_connection(c->h2.session, x->backlog.len - x->backlog_at);
    x->backlog_at = x->backlog.len = 0;
    x->stream_ok = x->answer_done;
    nghttp2_session_set_stream_user_data(session, stream, NULL);
    exchange_mark_ready(x);
    return 0;
}

/* ---- what goes out */

/* Only what has really been sent counts: a stream may be reset as soon as its answer is done. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
    struct wfl_exchange *x = exchange_of(session, frame->hd.stream_id);
    struct conn         *c = arg;

    /* NO_ERROR ends what has been answered before its body was in: that is nobody's fault. */
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        http2_calm_broken_stream(&c->h2.calm);
    if (x == NULL || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    x->answer_done = true;
    http2_calm_answered(&c->h2.calm);
    exchange_mark_ready(x);
    return 0;
}

static bool is_full(const struct conn *c)
{
    return c->out.bytes >= OUT_BYTES_HIGH || c->out.count >= OUT_ITEMS_HIGH;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t len, int flags,
                       void *arg)
{
    struct conn *c = arg;

    (void)session, (void)flags;
    if (is_full(c)) return NGHTTP2_ERR_WOULDBLOCK;
    return conn_queue_copy(c, wfl_slice_of(data, len)) ? (ssize_t)len
                                                       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_read_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t len,
                            uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct wfl_exchange *x = source->ptr;
    struct part_node    *part = exchange_front_part(x);
    size_t               n = 0;

    (void)session, (void)stream, (void)buf, (void)arg;
    for (; part != NULL && n < len; part = part->next)
        n += part->part.bytes.len - part->sent;
    if (n > len) n = len;
    if (n == 0 && x->more) return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    /* `part` is NULL only where the loop went through all of them. */
    if (part == NULL && !x->more) {
        size_t left = 0;

        for (part = x->parts; part != NULL; part = part->next)
            left += part->part.bytes.len - part->sent;
        if (left == n) *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static int on_send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t len, nghttp2_data_source *source, void *arg)
{
    struct conn         *c = arg;
    struct wfl_exchange *x = source->ptr;

    (void)session, (void)frame;
    if (is_full(c)) return NGHTTP2_ERR_WOULDBLOCK;
    if (!conn_queue_copy(c, wfl_slice_of(header, 9))) return NGHTTP2_ERR_CALLBACK_FAILURE;
    x->body_progress_ns = c->reactor->now_ns;
    http2_calm_sent(&c->h2.calm, len);
    while (len > 0) {
        struct part_node *part = exchange_front_part(x);
        size_t            n = part->part.bytes.len - part->sent;
        bool              whole = n <= len;
        const uint8_t    *data = part->part.bytes.data + part->sent;
        void (*release)(void *) = whole ? part->part.release : NULL;

        if (n > len) n = len;
        part->sent += n;
        len -= n;
        if (whole) part->part.release = NULL; /* the queue has it now */
        if (!conn_queue(c, data, n, release, part->part.arg, x))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* ---- a session */

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *cb;

    if (nghttp2_session_callbacks_new(&cb) != 0) return NULL;
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_send_data_callback(cb, on_send_body);
    return cb;
}

bool http2_start(struct conn *c)
{
    const struct wfl_net_limits *limits = c->limits;
    nghttp2_settings_entry       settings[] = {
              {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max},
              {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
              {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->header_bytes_max},
    };
    nghttp2_session_callbacks *cb = make_callbacks();
    nghttp2_option            *option = NULL;
    bool                       ok = cb != NULL && nghttp2_option_new(&option) == 0;

    if (ok) {
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_max_outbound_ack(option, OUTBOUND_ACKS_MAX);
        nghttp2_option_set_no_closed_streams(option, 1);
        ok = nghttp2_session_server_new2(&c->h2.session, cb, c, option) == 0;
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    http2_calm_start(&c->h2.calm, c->reactor->now_ns);
    return ok &&
           nghttp2_submit_settings(c->h2.session, NGHTTP2_FLAG_NONE, settings,
                                   WFL_COUNT(settings)) == 0 &&
           nghttp2_session_set_local_window_size(c->h2.session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW) == 0;
}

void http2_free(struct conn *c)
{
    nghttp2_session_del(c->h2.session);
    c->h2.session = NULL;
}

void http2_input(struct conn *c)
{
    wfl_slice in = wfl_slice_of(c->in + c->in_at, c->in_len - c->in_at);
    ssize_t   n = nghttp2_session_mem_recv(c->h2.session, in.data, in.len);

    if (n < 0) { /* only a flood, or no memory: nghttp2 answers protocol errors by itself */
        if (n == NGHTTP2_ERR_FLOODED) c->reactor->net->connections_calmed++;
        c->state = CONN_CLOSED;
        return;
    }
    http2_calm_input(&c->h2.calm, in);
    c->in_at = c->in_len = 0;
    if (!c->h2.calmed && http2_calm_is_over(&c->h2.calm, c->reactor->now_ns)) {
        c->h2.calmed = true;
        c->reactor->net->connections_calmed++;
        (void)!nghttp2_session_terminate_session(c->h2.session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

/* 100 Continue, where nothing of the body has come without it. */
static void ask_for_body(struct conn *c, struct wfl_exchange *x)
{
    static const uint8_t name[] = ":status", value[] = "100";
    nghttp2_nv status = {(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, sizeof name - 1,
                         sizeof value - 1, NGHTTP2_NV_FLAG_NONE};

    x->continue_due = false;
    if (x->body_done || x->backlog.len > 0 || x->dst_len > 0) return;
    (void)!nghttp2_submit_headers(c->h2.session, NGHTTP2_FLAG_NONE, x->stream, NULL, &status, 1,
                                  NULL);
}

/* Body bytes that are here, to where the handler wants them. */
static void deliver(struct conn *c, struct wfl_exchange *x)
{
    const struct wfl_handler *h = &c->reactor->net->config.handler;
    size_t                    here = x->backlog.len - x->backlog_at, n = x->dst_cap - x->dst_len;

    if (x->continue_due) ask_for_body(c, x);
    if (n > here) n = here;
    if (n > 0) {
        memcpy(x->dst + x->dst_len, x->backlog.data + x->backlog_at, n);
        x->dst_len += n;
        x->backlog_at += n;
        consume(c, x, n);
    }
    if (x->backlog_at == x->backlog.len) x->backlog_at = x->backlog.len = 0;
    if (x->dst_len == x->dst_cap || (x->body_done && x->backlog.len == 0)) {
        bool end = x->body_done && x->backlog.len == 0;

        x->reading = false;
        h->on_body(h->ctx, x, x->dst_len, end);
    }
}

/* Bytes that nobody will ask for give their window back. */
static void drop_backlog(struct conn *c, struct wfl_exchange *x)
{
    consume(c, x, x->backlog.len - x->backlog_at);
    x->backlog_at = x->backlog.len = 0;
}

static void turn(struct conn *c, struct wfl_exchange *x)
{
    if (x->stream_closed) {
        if (x->unwritten == 0) exchange_end(x, x->stream_ok);
        return;
    }
    if (x->head_here && !x->head_done) tell_head(x);
    if (x->reading) deliver(c, x);
    if (x->responded && x->backlog.len > 0) drop_backlog(c, x);
    /* The answer is out and the request is not all in: tell the peer to stop sending. */
    if (x->answer_done && x->unwritten == 0 && !x->body_done && !x->stream_closed) {
        (void)!nghttp2_submit_rst_stream(c->h2.session, NGHTTP2_FLAG_NONE, x->stream,
                                         NGHTTP2_NO_ERROR);
        x->body_done = true;
    }
}

static size_t outbound_max(const struct conn *c)
{
    return OUTBOUND_SPARE + 4 * (size_t)c->limits->streams_max;
}

/* The peer sends no more: what it asked for whole is answered, unless nobody waits for that; the
 * rest can never be. */
static void end_unfinished(struct conn *c)
{
    for (struct wfl_exchange *x = c->exchanges; x != NULL; x = x->next) {
        if ((x->body_done && !x->ends_with_peer) || x->stream_closed) continue;
        http2_abort(x);
        x->ends_with_peer = false;
        x->body_done = true; /* once */
        x->reading = false;
    }
}

/* Nothing goes out although there is room: windows are shut that nobody will open again. */
static void end_blocked(struct conn *c)
{
    for (struct wfl_exchange *x = c->exchanges; x != NULL; x = x->next) {
        if (x->responded && !x->answer_done && exchange_front_part(x) != NULL) http2_abort(x);
    }
}

void http2_pump(struct conn *c)
{
    if (c->h2.session == NULL) return; /* abandoned */
    if (c->peer_done) end_unfinished(c);
    while (c->ready != NULL && c->state != CONN_CLOSED) {
        turn(c, exchange_take_ready(c));
        if (reactor_turn_is_over(c->reactor)) break; /* conn_pump asks for another */
    }
    if (c->state == CONN_CLOSED) return;
    /* What waits after this waits for the socket: it must not be made to wait without end. */
    if (nghttp2_session_send(c->h2.session) != 0 ||
        nghttp2_session_get_outbound_queue_size(c->h2.session) > outbound_max(c)) {
        c->state = CONN_CLOSED;
        return;
    }
    if (c->h2.calmed) { /* who does not read what it made us say is not told why it is closed */
        if (nghttp2_session_want_write(c->h2.session)) c->state = CONN_CLOSED;
        conn_close_after_flush(c);
        return;
    }
    /* Only where a reset still goes out: a terminated session sends none, however often asked. */
    if (c->peer_done && c->out.count == 0 && c->state == CONN_OPEN) end_blocked(c);
    if ((c->h2.goaway || c->peer_done) && c->exchange_count == 0 && c->out.count == 0)
        conn_close_after_flush(c);
    /* Terminated, by an error of the peer's: exchanges still open end once the GOAWAY is out. */
    if (!nghttp2_session_want_read(c->h2.session) && !nghttp2_session_want_write(c->h2.session))
        conn_close_after_flush(c);
}

void http2_abandon(struct conn *c)
{
    assert(c->out.count == 0); /* else a segment would outlive its exchange */
    http2_free(c);
    while (c->exchanges != NULL)
        exchange_end(c->exchanges, false);
}

/* ---- answers */

static void set_pair(nghttp2_nv *nv, wfl_slice name, wfl_slice value)
{
    *nv = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.data,
        .value = (uint8_t *)(uintptr_t)(value.len == 0 ? (const uint8_t *)"" : value.data),
        .namelen = name.len,
        .valuelen = value.len};
}

void http2_respond(struct wfl_exchange *x, const struct wfl_response *response)
{
    struct conn          *c = x->conn;
    nghttp2_nv           *nv = wfl_arena_get(&x->arena, (response->header_count + 3) * sizeof *nv);
    char                  status[16], length[24];
    size_t                count = 0;
    nghttp2_data_provider body = {.source = {.ptr = x}, .read_callback = on_read_body};
    bool                  has_body = !x->headless_body && (x->parts != NULL || x->more);

    if (nv == NULL || x->stream_closed) {
        wfl_exchange_abort(x);
        return;
    }
    snprintf(status, sizeof status, "%d", response->status);
    snprintf(length, sizeof length, "%llu", (unsigned long long)response->length);
    set_pair(&nv[count++], WFL_S(":status"), wfl_slice_str(status));
    set_pair(&nv[count++], WFL_S("date"), wfl_slice_str(x->reactor->date));
    for (uint32_t i = 0; i < response->header_count; i++) {
        set_pair(&nv[count++], response->headers[i].name, response->headers[i].value);
    }
    if (response->length_known && response->status != 204 && response->status != 304) {
        set_pair(&nv[count++], WFL_S("content-length"), wfl_slice_str(length));
    }
    x->body_progress_ns = c->reactor->now_ns;
    if (nghttp2_submit_response(c->h2.session, x->stream, nv, count, has_body ? &body : NULL) !=
        0) {
        wfl_exchange_abort(x);
        return;
    }
    if (response->close) http2_shutdown(c);
}

void http2_parts_added(struct wfl_exchange *x)
{
    if (!x->stream_closed) (void)!nghttp2_session_resume_data(x->conn->h2.session, x->stream);
}

void http2_abort(struct wfl_exchange *x)
{
    if (x->stream_closed) return;
    (void)!nghttp2_submit_rst_stream(x->conn->h2.session, NGHTTP2_FLAG_NONE, x->stream,
                                     NGHTTP2_INTERNAL_ERROR);
    exchange_mark_ready(x);
}

void http2_shutdown(struct conn *c)
{
    if (c->h2.goaway || c->h2.session == NULL) return;
    c->h2.goaway = true;
    (void)!nghttp2_submit_goaway(c->h2.session, NGHTTP2_FLAG_NONE,
                                 nghttp2_session_get_last_proc_stream_id(c->h2.session),
                                 NGHTTP2_NO_ERROR, NULL, 0);
}

/* ---- time */

void http2_check_time(struct conn *c)
{
    const struct wfl_net_limits *limits = c->limits;
    int64_t                      now = c->reactor->now_ns;
    wfl_error                    err = {.code = WFL_OK};

    if (c->exchange_count == 0 && now - c->since_ns > ms(limits->idle_timeout_ms)) {
        http2_shutdown(c);
        conn_close_after_flush(c);
    }
    for (struct wfl_exchange *x = c->exchanges, *next; x != NULL; x = next) {
        bool stalled = now - x->body_progress_ns > ms(limits->body_stall_timeout_ms);

        next = x->next;
        if (!x->head_done && now - x->began_ns > ms(limits->header_timeout_ms)) {
            c->state = CONN_CLOSED; /* a header block that never ends stops the whole connection */
            return;
        }
        if (x->reading && stalled) {
            wfl_fail(&err, WFL_REQUEST_TIMEOUT, "no byte of the body for %u ms",
                     limits->body_stall_timeout_ms);
            exchange_tell_broken(x, &err);
        } else if (x->responded && !x->answer_done && stalled && exchange_front_part(x) != NULL) {
            http2_abort(x); /* its window stays closed: it does not read what it asked for */
        } else {
            exchange_check_timer(x, false);
        }
    }
}
