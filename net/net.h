/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 and HTTP/2 on one port, in clear (prior knowledge) or over TLS (ALPN): one reactor a
 * core, each with its own listening sockets (SO_REUSEPORT) and connections. net frames and limits;
 * it knows no buckets.
 *
 * An *exchange* is one request and its answer. Its happy path:
 *
 *   net: handler.on_head(x)            head complete, well-formed, within the limits
 *   handler: wfl_exchange_read(x, ..)  "put the body here" (sends 100 Continue where it was asked
 * for) net: handler.on_body(x, n, end)    the place is full, or the body has ended handler:
 * wfl_exchange_respond(..)  head and body parts of the answer net: handler.on_end(x, ok) last byte
 * written, or connection gone
 *
 * A broken request never reaches on_head: handler.on_broken writes the answer for it, and the
 * connection (HTTP/1.1) or stream (HTTP/2) ends after it. Body that the handler did not read is
 * discarded up to a limit, else the connection closes after the answer: its state is always known.
 *
 * All calls on an exchange belong to its reactor's thread, except wfl_exchange_post. An exchange
 * and its arena live until on_end has returned and every reference is dropped; between on_end and
 * the last unref only unref, arena and post may be used. */
#ifndef WFL_NET_NET_H
#define WFL_NET_NET_H

#include "core/core.h"

#include <time.h>

struct wfl_net;
struct wfl_exchange;

/* ---- request */

struct wfl_header {
    wfl_slice name;  /* lower-case */
    wfl_slice value; /* no space or tab around it; bytes 0x20-0x7E, 0x09, 0x80-0xFF only */
};

struct wfl_request {     /* all slices live as long as the exchange */
    wfl_slice method;    /* as received */
    wfl_slice target;    /* origin-form as received: path and query. absolute-form is
                          * reduced to it; OPTIONS "*" stays "*" */
    wfl_slice path;      /* before the first '?', raw */
    wfl_slice query;     /* behind it, raw; empty where there is none */
    wfl_slice authority; /* Host or :authority as received */
    const struct wfl_header
            *headers; /* in order; no pseudo-headers, Host included in HTTP/1.1 only */
    uint32_t header_count;
    bool     has_body; /* a body follows, be it empty chunked */
    bool     length_known;
    uint64_t length; /* bytes, where known; 0 without a body */
    bool     expects_continue;
    uint8_t  http_major; /* 1 or 2 */
    char     peer[64];   /* "127.0.0.1:50312", for the log */
};

/* NULL where absent, the first where it is repeated. `name` in lower case. */
const struct wfl_header *wfl_request_header(const struct wfl_request *r, wfl_slice name);

const struct wfl_request *wfl_exchange_request(const struct wfl_exchange *x);
wfl_arena      *wfl_exchange_arena(struct wfl_exchange *x); /* limit: net_config.arena_bytes_max */
const wfl_ulid *wfl_exchange_id(const struct wfl_exchange *x);     /* the request id */
void    wfl_exchange_set_user(struct wfl_exchange *x, void *user); /* one pointer for the handler */
void   *wfl_exchange_user(const struct wfl_exchange *x);
int64_t wfl_exchange_began_ns(const struct wfl_exchange *x); /* monotonic, first byte of the head */

/* Reactor thread. Fill `dst` with up to `cap` (at least 1) body bytes, then call on_body once. One
 * read at a time. Bytes already here are delivered from inside the call's event, never recursively:
 * on_body comes later in the loop. `dst` must live until on_body or on_end. A body that breaks off
 * or stalls never calls on_body: on_broken (still answerable) or on_end (peer gone) come instead.
 * This is the back-pressure: without a read under way the socket is not read, the window not
 * opened. */
void wfl_exchange_read(struct wfl_exchange *x, uint8_t *dst, size_t cap);

/* ---- answer */

struct wfl_body_part { /* bytes that stay in place until written; sent without a copy */
    wfl_slice bytes;
    /* The same bytes in a file, to be sent from there (sendfile) where wfl_exchange_sends_files:
     * then bytes.data may be NULL, and bytes.len still says how many. */
    bool     in_file;
    int      fd;
    uint64_t fd_at;
    void (*release)(void *arg); /* reactor thread, once, written or not; NULL: nothing to do */
    void *arg;
};

struct wfl_response {
    int                      status;
    const struct wfl_header *headers; /* copied. net adds Date and, in HTTP/1.1, Connection and
                                       * framing; content-length comes from `length` */
    uint32_t                    header_count;
    bool                        length_known; /* false: chunked, or open-ended in HTTP/2 */
    uint64_t                    length; /* of the body; for HEAD and 304 of the one not sent */
    const struct wfl_body_part *parts;  /* ignored (but released) for HEAD, 204, 304 */
    uint32_t                    part_count;
    bool                        more;  /* wfl_exchange_send follows */
    bool                        close; /* end the connection after this answer (HTTP/2: GOAWAY) */
};

/* Reactor thread, once an exchange (an exchange that ended ignores it, and releases the parts). */
void wfl_exchange_respond(struct wfl_exchange *x, const struct wfl_response *response);
/* Reactor thread, after `more`. Adds a part; `last` ends the body. Returns the bytes still waiting
 * to be written: above WFL_SEND_HIGH the handler stops until on_drain. */
#define WFL_SEND_HIGH (256 << 10)
size_t wfl_exchange_send(struct wfl_exchange *x, struct wfl_body_part part, bool last);
/* Reactor thread. Whether parts may lie in files: in clear HTTP/1.1. */
bool wfl_exchange_sends_files(const struct wfl_exchange *x);
/* Reactor thread. Break the answer off so that the peer notices: reset of the stream or connection.
 */
void wfl_exchange_abort(struct wfl_exchange *x);

/* Any thread that holds a reference: keeps exchange and arena in memory. */
void wfl_exchange_ref(struct wfl_exchange *x);
void wfl_exchange_unref(struct wfl_exchange *x);
bool wfl_exchange_is_open(const struct wfl_exchange *x); /* reactor thread: on_end not yet called */

/* Reactor thread. on_timer is called once at that time of the monotonic clock (within 200 ms of
 * it), or when the reactor begins to stop, whatever comes first; 0: not at all. A new time replaces
 * the one before. */
void wfl_exchange_set_timer(struct wfl_exchange *x, int64_t at_ns);
/* Reactor thread. From now on the exchange ends when the peer sends no more: for answers that may
 * be long in coming, for which only somebody who is still there waits. (HTTP allows a client to end
 * its side before it has its answer; otherwise it gets it.) */
void wfl_exchange_end_with_peer(struct wfl_exchange *x);

/* Reactor thread. What the connection works for from now on, any number: where many have something
 * to do at once, those of different flows take turns by time. Until it is said, the peer's address
 * is its flow. */
void wfl_exchange_set_flow(struct wfl_exchange *x, uint64_t flow);

/* Work for the exchange's reactor, storage the caller's (usually inside its arena). Any thread that
 * holds a reference. Runs once, in order of posting, also after on_end (check is_open). */
struct wfl_post {
    void (*run)(struct wfl_post *post);
    void            *arg;
    struct wfl_post *next; /* net's */
};
void wfl_exchange_post(struct wfl_exchange *x, struct wfl_post *post);

/* One thread with its connections, for what exchanges on it share. Lives until wfl_net_free. */
struct reactor;
struct reactor *wfl_exchange_reactor(const struct wfl_exchange *x);
#define WFL_REACTORS_MAX 256
uint32_t wfl_reactor_index(const struct reactor *r); /* from 0, below WFL_REACTORS_MAX */
/* Any thread. Runs once, in order of posting; after the reactor's end in wfl_net_free. */
void wfl_reactor_post(struct reactor *r, struct wfl_post *post);

/* ---- handler: called on the exchange's reactor, never blocks */

struct wfl_handler {
    void (*on_head)(void *ctx, struct wfl_exchange *x);
    void (*on_body)(void *ctx, struct wfl_exchange *x, size_t n,
                    bool end); /* n bytes are in `dst` */
    /* The request is broken (code: INVALID_REQUEST, HEADER_TOO_LARGE, REQUEST_TIMEOUT,
     * INCOMPLETE_BODY, INVALID_HEADER, DUPLICATE_HEADER, OVERLOADED): respond now, within the call.
     * on_head may not have been called: the request may lack any part. */
    void (*on_broken)(void *ctx, struct wfl_exchange *x, const wfl_error *err);
    void (*on_drain)(void *ctx, struct wfl_exchange *x);        /* NULL: never asked for */
    void (*on_timer)(void *ctx, struct wfl_exchange *x);        /* NULL: none is ever set */
    void (*on_end)(void *ctx, struct wfl_exchange *x, bool ok); /* ok: all of the answer written */
    void *ctx;
};

/* ---- TLS: a certificate with its key, read once, shared by the connections that began with it */

struct wfl_tls;
struct wfl_tls_facts {
    char   subject[256]; /* "CN=db.example.org"; what was too long is left out */
    char   serial[65];   /* hex */
    char   pin[64];      /* "sha256//..." of the public key, as curl and wfldb take it */
    time_t not_before, not_after;
};
/* `certificates_pem`: the server's own first, then those up to the issuer's that clients know. Both
 * may be wiped and freed afterwards; the key lives in GnuTLS' memory, which wipes it at the end.
 * INVALID_SETTING: says what to change (one is no PEM, they do not fit, the key is weak). NOMEM. */
WFL_MUST_USE wfl_code       wfl_tls_new(wfl_slice certificates_pem, wfl_slice key_pem,
                                        struct wfl_tls **out, wfl_error *err);
const struct wfl_tls_facts *wfl_tls_facts(const struct wfl_tls *t);
void                        wfl_tls_unref(struct wfl_tls *t); /* any thread; NULL is accepted */

/* ---- the whole */

struct wfl_net_limits {             /* 0 takes the default of docs/protocol.md, Transport */
    uint32_t header_bytes_max;      /* 32 KiB, request line or pseudo-headers included */
    uint32_t header_count_max;      /* 100 */
    uint32_t target_bytes_max;      /* 8 KiB */
    uint32_t header_timeout_ms;     /* 10 s from the first byte to the end of the head */
    uint32_t idle_timeout_ms;       /* 60 s without an exchange */
    uint32_t body_stall_timeout_ms; /* 30 s without a byte while a read or a write is under way */
    uint32_t streams_max;           /* 256 a connection */
    uint32_t connections_max;       /* 10000 in all; above it a connection is closed at once */
    uint32_t chunk_ext_bytes_max;   /* 1 KiB */
};

struct wfl_net_config {
    const char *const       *listen; /* "127.0.0.1:7410", "[::1]:0" */
    uint32_t                 listen_count;
    const char *const       *tls_listen; /* the same behind TLS, with ALPN */
    uint32_t                 tls_listen_count;
    uint32_t                 reactors; /* 0: one a core; at most WFL_REACTORS_MAX */
    struct wfl_net_limits    limits;
    size_t                   arena_bytes_max; /* 0: 2 MiB */
    struct wfl_handler       handler;
    const struct wfl_clock  *clock;
    const struct wfl_random *random;
    const struct wfl_alloc  *alloc;
};

struct wfl_net_stats {
    uint64_t connections; /* open */
    uint64_t connections_total;
    uint64_t connections_refused;
    uint64_t connections_calmed; /* ended for a flood of frames */
    uint64_t exchanges;          /* open */
    uint64_t exchanges_total;
    uint64_t tls_handshakes; /* done */
    uint64_t tls_handshakes_failed;
};

/* Bind the addresses; nothing is accepted yet, and there is no thread. WFL_IO with the address that
 * could not be had, or WFL_INVALID_REQUEST for one that is none. */
WFL_MUST_USE wfl_code wfl_net_bind(const struct wfl_net_config *config, struct wfl_net **out,
                                   wfl_error *err);
/* Once, after it: listen, and serve on threads of its own. `tls` (the caller's reference, taken
 * over in every case) is there where a tls_listen is. WFL_IO. */
WFL_MUST_USE wfl_code wfl_net_serve(struct wfl_net *n, struct wfl_tls *tls, wfl_error *err);
/* The i-th address as bound, port filled in: "127.0.0.1:40123". NULL past the end. */
const char *wfl_net_address(const struct wfl_net *n, uint32_t i);
const char *wfl_net_tls_address(const struct wfl_net *n, uint32_t i);
/* One thread at a time. New connections have these limits; those that are open keep theirs. NOMEM.
 */
WFL_MUST_USE wfl_code wfl_net_set_limits(struct wfl_net *n, const struct wfl_net_limits *limits,
                                         wfl_error *err);
/* Any thread. New connections use `tls`, whose reference is taken over; those that are open stay
 * with what they began with. */
void wfl_net_set_tls(struct wfl_net *n, struct wfl_tls *tls);
void wfl_net_stats(const struct wfl_net *n, struct wfl_net_stats *out);
/* Graceful: stop accepting, let exchanges finish (idle connections close, GOAWAY), at most
 * `timeout_ms`, then cut what is left. Returns when all reactors have ended. Frees nothing yet:
 * references may still be dropped. */
void wfl_net_stop(struct wfl_net *n, uint32_t timeout_ms);
/* After stop, when no reference is left. NULL is accepted. */
void wfl_net_free(struct wfl_net *n);

#endif
