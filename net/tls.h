/* SPDX-License-Identifier: Apache-2.0
 *
 * TLS between a connection and its socket; everything but the counting of references happens on the
 * reactor's thread. A connection in clear has no struct tls and pays for a NULL check.
 *
 * GnuTLS never touches the socket: it takes ciphertext from `in`, and what it makes goes to `out`,
 * from where it is sent. So a write never stops half-way inside GnuTLS, where it would have to be
 * repeated with the same bytes; what reading has to write (alerts, key updates) needs no state of
 * its own; and several records go out in one call. Both buffers are the reactor's, and held while
 * there is something in them only. */
#ifndef WFL_NET_TLS_H
#define WFL_NET_TLS_H

#include "net/net_private.h"

#include <gnutls/gnutls.h>

#define TLS_RECORD_BYTES 16384 /* of content: RFC 8446 section 5.1 */
#define TLS_RECORD_SPARE 512   /* what a record may have besides, and a little more */
#define TLS_BUFFER_BYTES ((size_t)4 * (TLS_RECORD_BYTES + TLS_RECORD_SPARE))

struct wfl_tls {
    _Atomic uint32_t                 refs;
    gnutls_certificate_credentials_t credentials;
    gnutls_priority_t                priority;
    struct wfl_tls_facts             facts;
};

struct tls {
    gnutls_session_t session;
    struct wfl_tls  *keys; /* a reference: a reload does not take them away */
    bool             handshaking;
    bool             bye_said; /* close_notify or an alert: no record follows */
    unsigned         reads;    /* of the socket that are left in this turn */
    uint8_t         *in, *out;
    size_t           in_at, in_len, out_at, out_len;
};

/* A session on a connection that was just accepted. Takes a reference on `keys`. False: no memory.
 */
WFL_MUST_USE bool tls_begin(struct conn *c, struct wfl_tls *keys);
/* NULL is accepted. Says what is still to be said as far as the socket takes it. */
void tls_end(struct conn *c);
/* At the beginning of a turn: the socket may be read again. */
void tls_begin_turn(struct conn *c);
/* Go on with the handshake; the protocol is set where ALPN chose one. */
void tls_handshake(struct conn *c);
/* As recv. 0: close_notify. -1: EAGAIN; EINTR: ask again; else the connection is broken, also where
 * it ended without close_notify. */
WFL_MUST_USE ssize_t tls_recv(struct conn *c, uint8_t *place, size_t cap);
bool                 tls_has_input(const struct conn *c); /* received, and not yet asked for */
/* As out_flush. */
bool tls_flush(struct conn *c);
bool tls_has_output(const struct conn *c); /* sealed, and not yet sent */
/* close_notify, once. */
void tls_say_bye(struct conn *c);

#endif
