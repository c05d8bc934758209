/* SPDX-License-Identifier: Apache-2.0
 *
 * A connection: bytes in, segments out, and the order in which things happen. Every event ends in
 * conn_pump, which lets the protocol go on, writes, and goes round again while that finished
 * something; nothing else calls a handler, so handlers never run inside one another. A connection
 * ends by being flushed, half-closed and drained for a while (so that the peer can read the last
 * answer), or at once when it is broken, stalled or cut. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECEIVES_A_TURN 8
/* Of bodies: about what all connections of a reactor get in a round, and what one gets at least. */
#define ROUND_BYTES    (4u << 20)
#define TURN_BYTES_MIN (64u << 10)

static const wfl_slice preface = WFL_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

static const struct wfl_alloc *alloc_of(const struct conn *c)
{
    return c->reactor->net->config.alloc;
}

/* ---- closing */

static void on_poll_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;

    wfl_alloc_free(alloc_of(c), c);
}

void conn_close(struct conn *c)
{
    struct reactor *r = c->reactor;

    c->state = CONN_CLOSED;
    c->in_pump = true; /* nothing below may start it again */
    out_drop(c);
    while (c->exchanges != NULL)
        exchange_end(c->exchanges, false);
    http2_free(c);
    tls_end(c);
    if (c->in != NULL && c->in_cap == IN_BUFFER_BYTES) {
        reactor_give_buffer(r, c->in);
    } else {
        wfl_alloc_free(alloc_of(c), c->in);
    }
    wfl_alloc_free(alloc_of(c), c->out.items);
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        r->conns = c->next;
    }
    if (c->next != NULL) c->next->prev = c->prev;
    turns_remove(&r->turns, &c->turn);
    r->conn_count--;
    r->net->connections--;
    uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, on_poll_closed);
    close(c->fd);
}

void conn_close_after_flush(struct conn *c)
{
    if (c->state == CONN_OPEN) c->state = CONN_FLUSHING;
}

/* All is written: say so, and read on for a while, because closing with unread bytes resets the
 * connection and could take the answer away from the peer. */
static void linger(struct conn *c)
{
    if (c->tls != NULL) {
        tls_say_bye(c);
        (void)out_flush(c);
        if (out_pending(c) || c->state == CONN_CLOSED) return; /* here again when it is out */
    }
    c->state = c->peer_done || shutdown(c->fd, SHUT_WR) != 0 ? CONN_CLOSED : CONN_LINGERING;
    c->since_ns = c->reactor->now_ns;
}

/* ---- input */

static bool make_room(struct conn *c)
{
    size_t   most = c->limits->header_bytes_max + 1024u;
    uint8_t *bigger;

    if (c->in == NULL) {
        c->in = reactor_take_buffer(c->reactor);
        if (c->in == NULL) return false;
        c->in_cap = IN_BUFFER_BYTES;
        c->in_len = c->in_at = 0;
    }
    if (c->in_at > 0) {
        memmove(c->in, c->in + c->in_at, c->in_len - c->in_at);
        c->in_len -= c->in_at;
        c->in_at = 0;
    }
    if (c->in_len < c->in_cap) return true;
    if (c->protocol != PROTO_HTTP1 || c->h1.x != NULL || c->in_cap >= most) return false;
    bigger = wfl_alloc_resize(alloc_of(c), c->in, most);
    if (bigger == NULL) return false;
    c->in = bigger;
    c->in_cap = most;
    return true;
}

static void drop_empty_buffer(struct conn *c)
{
    if (c->in == NULL || c->in_at < c->in_len) return;
    if (c->in_cap == IN_BUFFER_BYTES) {
        reactor_give_buffer(c->reactor, c->in);
    } else {
        wfl_alloc_free(alloc_of(c), c->in);
    }
    c->in = NULL;
    c->in_len = c->in_cap = c->in_at = 0;
}

/* The last ones are dropped, and of TLS nobody unwraps them. */
static ssize_t take_bytes(struct conn *c, uint8_t *place, size_t cap)
{
    if (c->tls == NULL || c->state != CONN_OPEN) return recv(c->fd, place, cap, 0);
    return tls_recv(c, place, cap);
}

/* A sender of much is not received for longer than its share of a round: whoever has a small
 * request waits for the round. */
static size_t turn_bytes(const struct reactor *r)
{
    size_t share = ROUND_BYTES / (r->conn_count == 0 ? 1 : r->conn_count);

    return share < TURN_BYTES_MIN ? TURN_BYTES_MIN : share;
}

/* 1: go on, 0: nothing more now, -1: closed. */
static int receive_once(struct conn *c)
{
    uint8_t scratch[4096], *place = NULL;
    size_t  cap = 0;
    bool    direct = false;
    ssize_t n;

    if (c->state == CONN_LINGERING || c->state == CONN_FLUSHING) {
        place = scratch;
        cap = sizeof scratch;
    } else if (c->protocol == PROTO_HTTP1 && (place = http1_direct_place(c, &cap)) != NULL) {
        direct = true;
        if (cap > turn_bytes(c->reactor)) cap = turn_bytes(c->reactor);
    } else {
        if (!make_room(c)) return 0;
        place = c->in + c->in_len;
        cap = c->in_cap - c->in_len;
    }
    n = take_bytes(c, place, cap);
    if (n < 0) return errno == EINTR ? 1 : errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    if (n == 0) {
        c->peer_done = true;
        return c->state == CONN_LINGERING ? -1 : 0;
    }
    if (direct) {
        http1_direct_received(c, (size_t)n);
    } else if (place != scratch) {
        c->in_len += (size_t)n;
    }
    if (direct && c->tls == NULL) return 0; /* what there is more of waits for its next turn */
    return (size_t)n == cap || c->tls != NULL ? 1 : 0;
}

static void detect_protocol(struct conn *c)
{
    wfl_slice in = wfl_slice_of(c->in + c->in_at, c->in_len - c->in_at);
    size_t    n = in.len < preface.len ? in.len : preface.len;

    if (in.data == NULL || in.len == 0) return;
    if (memcmp(in.data, preface.data, n) != 0) {
        c->protocol = PROTO_HTTP1;
    } else if (n == preface.len) {
        c->protocol = PROTO_HTTP2;
        if (!http2_start(c)) c->state = CONN_CLOSED;
    } else if (c->peer_done) {
        c->protocol = PROTO_HTTP1; /* too short for either: it will be refused */
    }
}

static void receive(struct conn *c)
{
    if (c->tls != NULL && c->tls->handshaking && c->state == CONN_OPEN) {
        tls_handshake(c);
        if (c->tls->handshaking) return;
    }
    for (int i = 0; i < RECEIVES_A_TURN && c->state != CONN_CLOSED; i++) {
        size_t before = c->in_len;
        int    go_on = receive_once(c);

        if (go_on < 0) c->state = CONN_CLOSED;
        if (c->in_len > before && c->state == CONN_OPEN) {
            if (c->protocol == PROTO_UNKNOWN) {
                if (before == 0) c->since_ns = c->reactor->now_ns; /* first byte */
                detect_protocol(c);
            }
            if (c->protocol == PROTO_HTTP2) http2_input(c);
        }
        if (go_on <= 0) break;
    }
    if (c->peer_done && c->protocol == PROTO_UNKNOWN && c->state == CONN_OPEN) {
        if (c->in_len > 0) {
            detect_protocol(c);
        } else {
            c->state = CONN_CLOSED;
        }
    }
}

/* ---- events */

static bool wants_input(const struct conn *c)
{
    size_t most = c->limits->header_bytes_max + 1024u;
    size_t cap;

    if (c->peer_done) return false;
    if (c->state == CONN_FLUSHING && c->h2.calmed) return false; /* its flood waits with it */
    if (c->state != CONN_OPEN || c->protocol != PROTO_HTTP1) return true;
    if (http1_direct_place((struct conn *)(uintptr_t)c, &cap) != NULL) return true;
    /* A full buffer is the back-pressure: the handler has to take something first. */
    if (c->in_len - c->in_at < IN_BUFFER_BYTES) return true;
    return c->h1.x == NULL && c->in_len - c->in_at < most;
}

/* Of TLS, what was received before it was wanted: the socket says nothing of it any more. */
static bool receive_kept(struct conn *c)
{
    if (c->tls == NULL || c->tls->handshaking || c->state != CONN_OPEN || !wants_input(c) ||
        !tls_has_input(c)) {
        return false;
    }
    receive(c);
    return true;
}

static void on_socket(uv_poll_t *handle, int status, int events);

static void update_poll(struct conn *c)
{
    int events = (wants_input(c) ? UV_READABLE : 0) | (out_pending(c) ? UV_WRITABLE : 0);

    if (events == c->poll_events) return;
    c->poll_events = events;
    if (events == 0) {
        uv_poll_stop(&c->poll);
    } else if (uv_poll_start(&c->poll, events, on_socket) != 0) {
        conn_close(c);
    }
}

void conn_pump(struct conn *c)
{
    bool again = true;

    if (c->in_pump) return;
    c->in_pump = true;
    reactor_begin_turn(c->reactor);
    while (again && c->state != CONN_CLOSED) {
        if (c->protocol == PROTO_HTTP1) {
            http1_pump(c);
        } else if (c->protocol == PROTO_HTTP2) {
            http2_pump(c);
        } else if (c->reactor->stopping) {
            c->state = CONN_CLOSED;
        }
        again = out_flush(c) || c->ready != NULL;
        again |= receive_kept(c);
        if (again && reactor_turn_is_over(c->reactor)) {
            reactor_queue(c->reactor, c);
            again = false;
        }
    }
    if (c->state == CONN_FLUSHING && !out_pending(c) && c->turn.lane == NULL) {
        if (c->protocol == PROTO_HTTP2 && c->exchange_count > 0) http2_abandon(c);
        if (c->exchange_count == 0) linger(c);
    }
    c->in_pump = false;
    if (c->state == CONN_CLOSED) {
        conn_close(c);
        return;
    }
    drop_empty_buffer(c); /* who waits, or is idle, holds none */
    update_poll(c);
}

static void on_socket(uv_poll_t *handle, int status, int events)
{
    struct conn *c = handle->data;

    if (status < 0) c->state = CONN_CLOSED;
    c->turn_events |= events;
    reactor_queue(c->reactor, c);
}

void conn_take_turn(struct conn *c)
{
    int events = c->turn_events;

    c->turn_events = 0;
    c->in_turn = true;
    if (c->tls != NULL) tls_begin_turn(c);
    if (events & UV_READABLE) receive(c);
    c->in_turn = false;
    conn_pump(c);
}

static int64_t ms(uint32_t n)
{
    return (int64_t)n * 1000000;
}

void conn_check_time(struct conn *c)
{
    const struct wfl_net_limits *limits = c->limits;
    int64_t                      now = c->reactor->now_ns;
    uint32_t stall_ms = c->h2.calmed ? LINGER_MS : limits->body_stall_timeout_ms;

    if (c->state == CONN_LINGERING && now - c->since_ns > ms(LINGER_MS)) {
        c->state = CONN_CLOSED;
    } else if (out_pending(c) && now - c->write_progress_ns > ms(stall_ms)) {
        c->state = CONN_CLOSED; /* it does not read what it asked for */
    } else if (c->state == CONN_OPEN && c->protocol == PROTO_HTTP1) {
        http1_check_time(c);
    } else if (c->state == CONN_OPEN && c->protocol == PROTO_HTTP2) {
        http2_check_time(c);
    } else if (c->state == CONN_OPEN &&
               now - c->since_ns > ms(c->in_len > 0 || c->tls != NULL ? limits->header_timeout_ms
                                                                      : limits->idle_timeout_ms)) {
        c->state = CONN_CLOSED;
    }
    if (c->state == CONN_CLOSED || c->ready != NULL || c->state == CONN_FLUSHING) conn_pump(c);
}

/* ---- beginning */

/* Who has not said yet what it works for shares with its address; of IPv6 with the half of it that
 * one network has for itself. */
#define PEER_FLOW (UINT64_C(1) << 62)

static void describe_peer(int fd, char out[64], uint64_t *flow)
{
    struct sockaddr_storage address = {0};
    socklen_t               len = sizeof address;
    char                    host[INET6_ADDRSTRLEN] = "?";
    unsigned                port = 0;

    *flow = 0;
    if (getpeername(fd, (struct sockaddr *)&address, &len) == 0) {
        if (address.ss_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;

            inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
            port = ntohs(v4->sin_port);
            *flow = v4->sin_addr.s_addr;
        } else if (address.ss_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;

            inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
            port = ntohs(v6->sin6_port);
            memcpy(flow, &v6->sin6_addr, sizeof *flow);
        }
    }
    *flow |= PEER_FLOW;
    snprintf(out, 64, "%s:%u", host, port);
}

/* A peer that vanished without a word is noticed also where nothing is written to it for long. */
static void set_keepalive(int fd)
{
    int one = 1, idle_s = 60, every_s = 15, probes = 4;

    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

void conn_accept(struct reactor *r, int fd, struct wfl_tls *tls)
{
    struct conn *c = wfl_alloc_zero(r->net->config.alloc, 1, sizeof *c);
    int          one = 1;

    if (c == NULL || uv_poll_init_socket(&r->loop, &c->poll, fd) != 0) {
        wfl_alloc_free(r->net->config.alloc, c);
        close(fd);
        r->net->connections--;
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    set_keepalive(fd);
    c->reactor = r;
    c->limits = net_limits(r->net);
    c->fd = fd;
    c->poll.data = c;
    c->since_ns = r->now_ns;
    describe_peer(fd, c->peer, &c->flow);
    c->next = r->conns;
    if (c->next != NULL) c->next->prev = c;
    r->conns = c;
    r->conn_count++;
    if (tls != NULL && !tls_begin(c, tls)) {
        conn_close(c);
        return;
    }
    update_poll(c);
}
