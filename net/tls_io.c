/* SPDX-License-Identifier: Apache-2.0
 *
 * Records in and out. Reading: the socket is read into `in` a few times a turn, GnuTLS takes from
 * there as much as it needs for the record it is at. Writing: segments are sealed into `out`, full
 * records from where they lie, smaller pieces put together first, until it is full or nothing is
 * left; then it is sent.
 *
 * Failure: a handshake that fails, or a record that does not, is answered with the alert that says
 * why. An end without close_notify is an end that anybody on the way may have made: the connection
 * is broken, whatever was under way is not whole. */
#include "net/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define READS_A_TURN        4
#define HANDSHAKE_BYTES_MAX (32u << 10)
#define ALERTS_A_TURN       4

/* ---- the two ends of GnuTLS */

static uint8_t *take_buffer(struct reactor *r)
{
    if (r->free_tls_count > 0) return r->free_tls[--r->free_tls_count];
    return wfl_alloc_get(r->net->config.alloc, TLS_BUFFER_BYTES);
}

static void give_buffer(struct reactor *r, uint8_t **buffer)
{
    if (*buffer != NULL && r->free_tls_count < TLS_BUFFERS_MAX) {
        r->free_tls[r->free_tls_count++] = *buffer;
    } else {
        wfl_alloc_free(r->net->config.alloc, *buffer);
    }
    *buffer = NULL;
}

static ssize_t refill(struct conn *c)
{
    struct tls *t = c->tls;
    ssize_t     n;

    if (t->reads == 0) {
        errno = EAGAIN;
        return -1;
    }
    t->reads--;
    if (t->in == NULL) t->in = take_buffer(c->reactor);
    if (t->in == NULL) {
        errno = ENOMEM;
        return -1;
    }
    n = recv(c->fd, t->in, TLS_BUFFER_BYTES, 0);
    t->in_at = 0;
    t->in_len = n > 0 ? (size_t)n : 0;
    if (t->in_len < TLS_BUFFER_BYTES) t->reads = 0; /* there is no more now */
    if (n <= 0) give_buffer(c->reactor, &t->in);
    return n;
}

static ssize_t on_pull(gnutls_transport_ptr_t arg, void *data, size_t cap)
{
    struct conn *c = arg;
    struct tls  *t = c->tls;
    size_t       n;

    if (t->in_at == t->in_len) {
        ssize_t got = refill(c);

        if (got <= 0) return got;
    }
    n = t->in_len - t->in_at < cap ? t->in_len - t->in_at : cap;
    memcpy(data, t->in + t->in_at, n);
    t->in_at += n;
    if (t->in_at == t->in_len) give_buffer(c->reactor, &t->in);
    return (ssize_t)n;
}

/* There is always room: what is sealed is measured before, and a handshake or an alert goes into an
 * empty buffer, or behind a little. Else the peer makes us write what it does not read. */
static ssize_t on_push(gnutls_transport_ptr_t arg, const giovec_t *pieces, int count)
{
    struct conn *c = arg;
    struct tls  *t = c->tls;
    size_t       before = t->out_len;

    if (t->out == NULL) t->out = take_buffer(c->reactor);
    if (t->out_len == t->out_at) c->write_progress_ns = c->reactor->now_ns;
    for (int i = 0; i < count; i++) {
        if (t->out == NULL || TLS_BUFFER_BYTES - t->out_len < pieces[i].iov_len) {
            errno = ENOBUFS;
            return -1;
        }
        memcpy(t->out + t->out_len, pieces[i].iov_base, pieces[i].iov_len);
        t->out_len += pieces[i].iov_len;
    }
    return (ssize_t)(t->out_len - before);
}

/* ---- beginning and end */

static int set_up(struct conn *c, gnutls_session_t session, struct wfl_tls *keys)
{
    /* The lists are the server's wish; a client that names protocols and none of these is refused
     * (RFC 7301 section 3.2), one that names none is told apart by its first bytes. */
    static const gnutls_datum_t protocols[] = {{(unsigned char *)(uintptr_t) "h2", 2},
                                               {(unsigned char *)(uintptr_t) "http/1.1", 8}};
    int                         rc = gnutls_priority_set(session, keys->priority);

    if (rc == 0) rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, keys->credentials);
    if (rc == 0) {
        rc = gnutls_alpn_set_protocols(session, protocols, WFL_COUNT(protocols),
                                       GNUTLS_ALPN_MANDATORY | GNUTLS_ALPN_SERVER_PRECEDENCE);
    }
    gnutls_handshake_set_max_packet_length(session, HANDSHAKE_BYTES_MAX);
    gnutls_transport_set_ptr(session, c);
    gnutls_transport_set_pull_function(session, on_pull);
    gnutls_transport_set_vec_push_function(session, on_push);
    return rc;
}

bool tls_begin(struct conn *c, struct wfl_tls *keys)
{
    struct tls *t = wfl_alloc_zero(c->reactor->net->config.alloc, 1, sizeof *t);

    if (t == NULL) return false;
    if (gnutls_init(&t->session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS) != 0 ||
        set_up(c, t->session, keys) != 0) {
        if (t->session != NULL) gnutls_deinit(t->session);
        wfl_alloc_free(c->reactor->net->config.alloc, t);
        return false;
    }
    atomic_fetch_add(&keys->refs, 1);
    t->keys = keys;
    t->handshaking = true;
    c->tls = t;
    return true;
}

void tls_end(struct conn *c)
{
    struct tls *t = c->tls;

    if (t == NULL) return;
    if (tls_has_output(c)) /* an alert, perhaps: whoever reads it knows more */
        (void)!send(c->fd, t->out + t->out_at, t->out_len - t->out_at, MSG_NOSIGNAL);
    gnutls_deinit(t->session);
    wfl_tls_unref(t->keys);
    give_buffer(c->reactor, &t->in);
    give_buffer(c->reactor, &t->out);
    wfl_alloc_free(c->reactor->net->config.alloc, t);
    c->tls = NULL;
}

void tls_begin_turn(struct conn *c)
{
    c->tls->reads = READS_A_TURN;
}

void tls_say_bye(struct conn *c)
{
    if (c->tls->bye_said) return;
    c->tls->bye_said = true;
    (void)gnutls_bye(c->tls->session, GNUTLS_SHUT_WR);
}

static void say_why(struct conn *c, int rc)
{
    if (c->tls->bye_said) return;
    c->tls->bye_said = true;
    (void)gnutls_alert_send_appropriate(c->tls->session, rc);
}

/* ---- handshake */

/* What the handshake chose; nothing: as in clear, by the first bytes. */
static void take_protocol(struct conn *c)
{
    gnutls_datum_t name = {0};
    wfl_slice      chosen;

    if (gnutls_alpn_get_selected_protocol(c->tls->session, &name) != 0) return;
    chosen = wfl_slice_of(name.data, name.size);
    if (wfl_slice_eq(chosen, WFL_S("http/1.1"))) {
        c->protocol = PROTO_HTTP1;
    } else if (wfl_slice_eq(chosen, WFL_S("h2"))) {
        c->protocol = PROTO_HTTP2;
        if (!http2_start(c)) c->state = CONN_CLOSED;
    }
}

void tls_handshake(struct conn *c)
{
    struct tls     *t = c->tls;
    struct wfl_net *net = c->reactor->net;
    int             rc, tries = 0;

    do {
        rc = gnutls_handshake(t->session);
    } while (rc < 0 && rc != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(rc) &&
             ++tries < ALERTS_A_TURN);
    if (rc == 0) {
        t->handshaking = false;
        net->tls_handshakes++;
        c->since_ns = c->reactor->now_ns;
        take_protocol(c);
        return;
    }
    if (rc == GNUTLS_E_AGAIN) return;
    net->tls_handshakes_failed++;
    if (rc == GNUTLS_E_PREMATURE_TERMINATION || rc == GNUTLS_E_PULL_ERROR ||
        rc == GNUTLS_E_PUSH_ERROR) {
        c->state = CONN_CLOSED;
        return;
    }
    say_why(c, rc);
    conn_close_after_flush(c);
}

/* ---- reading */

bool tls_has_input(const struct conn *c)
{
    return c->tls->in_at < c->tls->in_len || gnutls_record_check_pending(c->tls->session) > 0;
}

ssize_t tls_recv(struct conn *c, uint8_t *place, size_t cap)
{
    ssize_t n = gnutls_record_recv(c->tls->session, place, cap);

    if (n >= 0) return n;
    if (n == GNUTLS_E_AGAIN) {
        errno = EAGAIN;
        return -1;
    }
    if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_WARNING_ALERT_RECEIVED) {
        errno = EINTR;
        return -1;
    }
    /* Renegotiation among them, which is an unwelcome handshake (RFC 9113 section 9.2.1). */
    if (n == GNUTLS_E_REHANDSHAKE) {
        c->tls->bye_said = true;
        (void)gnutls_alert_send(c->tls->session, GNUTLS_AL_FATAL, GNUTLS_A_NO_RENEGOTIATION);
    } else if (n != GNUTLS_E_PREMATURE_TERMINATION && n != GNUTLS_E_PULL_ERROR &&
               n != GNUTLS_E_FATAL_ALERT_RECEIVED) {
        say_why(c, (int)n);
    }
    errno = EPROTO;
    return -1;
}

/* ---- writing */

bool tls_has_output(const struct conn *c)
{
    return c->tls->out_at < c->tls->out_len;
}

/* Up to a record's worth from the front of the queue: where it lies, or put together in `scratch`.
 */
static wfl_slice next_record(const struct conn *c, uint8_t scratch[TLS_RECORD_BYTES])
{
    const struct out_queue *q = &c->out;
    const struct segment   *s = &q->items[q->head];
    size_t                  len = 0;

    if (s->len >= TLS_RECORD_BYTES) return wfl_slice_of(s->data, TLS_RECORD_BYTES);
    if (q->count == 1) return wfl_slice_of(s->data, s->len);
    for (uint32_t i = 0; i < q->count && len < TLS_RECORD_BYTES; i++) {
        size_t n;

        s = &q->items[(q->head + i) & (q->cap - 1)];
        n = s->len < TLS_RECORD_BYTES - len ? s->len : TLS_RECORD_BYTES - len;
        memcpy(scratch + len, s->data, n);
        len += n;
    }
    return wfl_slice_of(scratch, len);
}

/* Seal what there is room for. True: a segment was finished. */
static bool seal(struct conn *c)
{
    struct tls *t = c->tls;
    uint8_t     scratch[TLS_RECORD_BYTES];
    bool        finished = false;

    if (t->out_at == t->out_len) t->out_at = t->out_len = 0;
    while (c->out.count > 0 &&
           TLS_BUFFER_BYTES - t->out_len >= TLS_RECORD_BYTES + TLS_RECORD_SPARE) {
        wfl_slice record = next_record(c, scratch);
        ssize_t   n = 0;

        if (record.len > 0) n = gnutls_record_send(t->session, record.data, record.len);
        if (n < 0) {
            c->state = CONN_CLOSED;
            break;
        }
        finished |= out_advance(c, (size_t)n);
    }
    return finished;
}

bool tls_flush(struct conn *c)
{
    struct tls *t = c->tls;
    bool        finished = false;

    while (c->state != CONN_CLOSED) {
        ssize_t n;

        if (!t->handshaking && !t->bye_said) finished |= seal(c);
        if (!tls_has_output(c)) break;
        n = send(c->fd, t->out + t->out_at, t->out_len - t->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) c->state = CONN_CLOSED;
            break;
        }
        c->write_progress_ns = c->reactor->now_ns;
        t->out_at += (size_t)n;
        if (tls_has_output(c)) break;
    }
    if (!tls_has_output(c)) {
        t->out_at = t->out_len = 0;
        give_buffer(c->reactor, &t->out);
    }
    return finished;
}
