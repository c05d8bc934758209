/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of net: a reactor owns connections, a connection owns exchanges, and everything here
 * but wfl_exchange_ref/unref/post happens on the reactor's thread. */
#ifndef WFL_NET_PRIVATE_H
#define WFL_NET_PRIVATE_H

#include "net/net.h"

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>
#include <uv.h>

#define IN_BUFFER_BYTES   (16u << 10) /* pooled; grows to the header limit when a head needs it */
#define DISCARD_BYTES_MAX (64u << 10)
#define OUT_BYTES_HIGH    (256u << 10) /* HTTP/2 stops making frames above */
#define OUT_ITEMS_HIGH    512          /* ... or above: small frames cost more than their bytes */
#define CTL_BLOCK_BYTES   4096         /* control frames share blocks */
#define LINGER_MS         2000
#define TICK_MS           100
#define POOLED_MAX        256
#define TLS_BUFFERS_MAX   16 /* of TLS, kept by a reactor for the next */
#define ARENA_BYTES_MAX   (2u << 20)

struct conn;
struct reactor;
struct tls;

/* ---- answer bodies: parts in order */

struct part_node {
    struct part_node    *next;
    struct wfl_body_part part;
    size_t               sent; /* bytes handed to the socket's queue */
    bool                 on_heap;
};

/* ---- exchange */

struct wfl_exchange {
    struct wfl_request   request;
    wfl_arena            arena;
    _Atomic uint32_t     refs;
    struct reactor      *reactor;
    struct conn         *conn;        /* NULL once it has ended */
    struct wfl_exchange *next, *prev; /* of the connection */
    struct wfl_exchange *next_ready;
    bool                 in_ready;
    wfl_ulid             id;
    void                *user;
    int64_t              began_ns;
    int32_t              stream; /* HTTP/2 */

    /* request body */
    uint8_t *dst;
    size_t   dst_len, dst_cap;
    bool     reading;
    bool     body_done; /* the whole body has been received */
    bool     body_told; /* ... and on_body said `end` */
    int64_t  body_progress_ns;
    wfl_buf  backlog; /* HTTP/2: received before it was asked for; bounded by the window */
    size_t   backlog_at;

    /* answer */
    bool              responded, more, headless_body; /* headless_body: HEAD, 204, 304 */
    bool              close_after, chunked, said_high;
    bool              answer_done;   /* all of it is queued */
    bool              too_large;     /* HTTP/2: header limit passed while it was received */
    bool              head_here;     /* HTTP/2: the header block is complete */
    bool              head_done;     /* HTTP/2: on_head or on_broken has been called */
    bool              continue_due;  /* HTTP/2: 100 Continue is sent with the first read */
    uint32_t          unwritten;     /* segments in the socket's queue */
    size_t            waiting_bytes; /* given and not yet written */
    struct part_node *parts, *parts_tail;
    bool              stream_closed, stream_ok; /* HTTP/2: nothing more goes either way */
    bool              ended;

    int64_t timer_ns;       /* 0: not set */
    bool    ends_with_peer; /* nobody waits once the peer sends no more */
};

/* ---- output queue */

struct segment {
    const uint8_t *data; /* in memory, or at fd_at of a file */
    size_t         len;
    bool           in_file;
    int            fd;
    uint64_t       fd_at;
    void (*release)(void *arg);
    void                *arg;
    struct wfl_exchange *x; /* told when it is written; may be NULL */
};

struct out_queue {
    struct segment *items;
    uint32_t        head, count, cap; /* a ring */
    size_t          bytes;
    uint8_t        *ctl; /* block at the tail that takes more control bytes */
    size_t          ctl_len;
};

/* ---- HTTP/1.1's chunked coding (chunked.c): bytes in, bytes out */

enum chunked_state {
    CHUNK_SIZE,
    CHUNK_BWS,
    CHUNK_EXT,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LINE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_DONE
};
struct chunked {
    enum chunked_state state;
    uint64_t           left; /* of the chunk under way; at most INT64_MAX */
    unsigned           digits;
    size_t             ext_len, ext_max;
    size_t             trailer_len;
};
void chunked_init(struct chunked *c, size_t ext_max);
/* Decode from `in` (cut off what was used) into out[0..cap). *out_len says how much. False: broken.
 * Stops where the body ends (state CHUNK_DONE), the input is used up or `out` is full. `out` may be
 * NULL: then bytes are counted and dropped. */
WFL_MUST_USE bool chunked_decode(struct chunked *c, wfl_slice *in, uint8_t *out, size_t cap,
                                 size_t *out_len);

/* ---- HTTP/1.1 heads (http1_head.c): bytes in, request out */

struct http1_limits {
    size_t   header_bytes_max, target_bytes_max;
    uint32_t header_count_max;
};
struct http1_head { /* what framing needs besides the request */
    bool keep_alive;
    bool chunked;
    bool http10; /* knows no chunked answers, and is told that the connection stays */
};
/* Look for the end of the head in what has arrived; `*scanned` remembers how far it looked, 0 at
 * first. 0: not complete. Else its length. INVALID_REQUEST for bytes that no head may have. */
WFL_MUST_USE wfl_code http1_find_head(wfl_slice in, size_t *scanned,
                                      const struct http1_limits *limits, size_t *head_len,
                                      wfl_error *err);
/* `head` must lie in `arena` memory that may be written to (names become lower-case). */
WFL_MUST_USE wfl_code http1_parse_head(uint8_t *head, size_t len, const struct http1_limits *limits,
                                       wfl_arena *arena, struct wfl_request *out,
                                       struct http1_head *framing, wfl_error *err);

/* ---- how much a peer may ask of HTTP/2 for nothing (http2_calm.c) */

#define HTTP2_FRAME_HEAD 9 /* bytes */

struct http2_calm {
    int64_t  patience; /* tokens; below 0 it is over */
    int64_t  since_ns; /* up to when time has been given for */
    uint64_t given_bytes;
    uint8_t  head[HTTP2_FRAME_HEAD]; /* of the frame that is coming in */
    size_t   head_len;
    size_t   payload_left;
};
void http2_calm_start(struct http2_calm *calm, int64_t now_ns);
void http2_calm_input(struct http2_calm *calm, wfl_slice bytes); /* all that comes in */
void http2_calm_data(struct http2_calm *calm, size_t len);       /* content in a frame that came */
void http2_calm_sent(struct http2_calm *calm, size_t len);       /* content of an answer */
void http2_calm_answered(struct http2_calm *calm);               /* a whole one */
void http2_calm_broken_stream(struct http2_calm *calm);          /* one that we reset */
bool http2_calm_is_over(struct http2_calm *calm, int64_t now_ns);

/* ---- whose turn it is (turns.c) */

#define TURN_LANES_LOG2 8
#define TURN_CHARGE_MAX_NS                                                                         \
    INT64_C(100000000) /* a thread that was stopped owes no more than this                         \
                        */

struct turn_lane {
    struct turn      *head, *tail;
    struct turn_lane *next;       /* of those that have some */
    int64_t           deficit_ns; /* what it may still have; debts are below zero */
};
struct turn { /* all zero at first */
    struct turn      *next, *prev;
    struct turn_lane *lane; /* it waits in; NULL: it does not wait */
};
struct turns {
    struct turn_lane  lanes[1u << TURN_LANES_LOG2];
    struct turn_lane *active, *active_tail;
    uint64_t          salt;
};
void turns_init(struct turns *t, uint64_t salt);
void turns_push(struct turns *t, struct turn *turn, uint64_t flow); /* waits already: stays there */
void turns_remove(struct turns *t, struct turn *turn); /* also one that does not wait */
/* NULL: nobody waits. `*lane` is to be charged when the turn is over. */
struct turn *turns_pop(struct turns *t, struct turn_lane **lane);
void         turns_charge(struct turn_lane *lane, int64_t ns);

/* ---- connection */

enum conn_protocol { PROTO_UNKNOWN, PROTO_HTTP1, PROTO_HTTP2 };
enum conn_state { CONN_OPEN, CONN_FLUSHING, CONN_LINGERING, CONN_CLOSED };

struct conn {
    struct reactor              *reactor;
    const struct wfl_net_limits *limits; /* as it began */
    struct conn                 *next, *prev;
    uv_poll_t                    poll;
    int                          fd;
    enum conn_state              state;
    enum conn_protocol           protocol;
    int                          poll_events; /* as asked of libuv */
    struct turn                  turn;
    int                          turn_events; /* what the socket said, for the next turn */
    uint64_t                     flow;        /* what it works for */
    bool                         peer_done;   /* it sends no more */
    bool                         in_turn;     /* of which the pump comes at the end */
    bool                         in_pump;
    struct tls                  *tls; /* NULL: in clear */
    char                         peer[64];
    int64_t since_ns; /* of what the time-out watches: last byte, start of the head... */
    int64_t write_progress_ns;
    struct wfl_exchange *exchanges;
    uint32_t             exchange_count;
    struct wfl_exchange *ready, *ready_tail; /* a queue */

    uint8_t *in;
    size_t   in_len, in_cap;
    size_t   in_at; /* bytes in front that are used up */

    struct out_queue out;

    struct { /* HTTP/1.1 */
        size_t               scanned;
        struct wfl_exchange *x; /* the one under way */
        struct http1_head    framing;
        struct chunked       chunked;
        uint64_t             body_left;  /* of a body with a length */
        bool                 body_open;  /* the body is not used up yet */
        bool                 discarding; /* the answer is out, the rest of the body is dropped */
        uint64_t             discarded;
        bool                 continue_due;
        unsigned             blank_lines;
        bool                 head_begun;
    } h1;
    struct { /* HTTP/2 */
        nghttp2_session  *session;
        bool              goaway;
        struct http2_calm calm;
        bool              calmed; /* ... has run out and was told so */
    } h2;
};

/* ---- reactor */

struct reactor {
    struct wfl_net        *net;
    uint32_t               index;
    pthread_t              thread;
    bool                   started;
    uv_loop_t              loop;
    int                    wake_fd; /* an eventfd: libuv's own way wakes while it spins */
    uv_poll_t              wake;
    uv_timer_t             tick;
    uv_check_t             take_turns; /* after each look at the sockets */
    uv_idle_t              hurry; /* while somebody waits for a turn: sockets are not waited for */
    uv_poll_t             *listeners; /* one an address */
    int                   *listen_fds;
    uint32_t               listener_count; /* those of TLS last */
    struct conn           *conns;
    uint32_t               conn_count;
    struct turns           turns;
    int64_t                turn_ends_ns; /* when the one under way has to give way */
    uint32_t               handles;      /* libuv handles still open */
    bool                   resting; /* no file descriptor was left: accept again at the next tick */
    bool                   stopping, cutting;
    int64_t                now_ns;
    uint64_t               now_ms;
    char                   date[WFL_TIME_TEXT];
    int64_t                date_sec;
    struct wfl_ulid_source ids;
    struct wfl_exchange   *free_exchanges;
    uint32_t               free_exchange_count;
    uint8_t               *free_buffers[POOLED_MAX];
    uint32_t               free_buffer_count;
    uint8_t               *free_tls[TLS_BUFFERS_MAX];
    uint32_t               free_tls_count;

    wfl_mutex        lock; /* posts, and the flags below */
    struct wfl_post *posts, *posts_tail;
    bool             ended, stop_asked, cut_asked;
    int64_t          cut_at_ns;
};

struct limits_set { /* never changed, kept until the end: connections and exchanges point to it */
    struct wfl_net_limits limits;
    struct limits_set    *before;
};

struct wfl_net {
    struct wfl_net_config      config; /* with defaults filled in; strings not kept */
    struct limits_set *_Atomic limits; /* for new connections */
    struct reactor            *reactors;
    uint32_t                   reactor_count;
    char (*addresses)[64];
    uint32_t         address_count; /* those of TLS last */
    wfl_mutex        tls_lock;
    struct wfl_tls  *tls; /* for new connections; under the lock */
    _Atomic uint64_t connections, connections_total, connections_refused, connections_calmed,
        exchanges, exchanges_total, tls_handshakes, tls_handshakes_failed;
};

/* net.c */
static inline const struct wfl_net_limits *net_limits(const struct wfl_net *n)
{
    return &atomic_load(&n->limits)->limits;
}
struct wfl_tls *net_tls_ref(struct wfl_net *n); /* the one for a new connection, to be unrefd */

/* reactor.c */
WFL_MUST_USE wfl_code reactor_start(struct reactor *r, wfl_error *err);
void                  reactor_tell(struct reactor *r, bool cut);
void                  reactor_ring(struct reactor *r); /* any thread, with no lock held: wakes it */
void                  reactor_drain_posts(struct reactor *r);           /* runs them here */
void                  reactor_queue(struct reactor *r, struct conn *c); /* for a turn */
void                  reactor_begin_turn(struct reactor *r);
bool                  reactor_turn_is_over(const struct reactor *r);
void                  reactor_refresh_time(struct reactor *r);
wfl_ulid              reactor_next_id(struct reactor *r);
uint8_t              *reactor_take_buffer(struct reactor *r);
void                  reactor_give_buffer(struct reactor *r, uint8_t *buffer);

/* conn.c */
void conn_accept(struct reactor *r, int fd, struct wfl_tls *tls); /* NULL: in clear */
void conn_close(struct conn *c);                                  /* now; exchanges end unwell */
void conn_close_after_flush(struct conn *c);                      /* FLUSHING, then lingering */
void conn_pump(struct conn *c);      /* go on wherever it stands; may close it */
void conn_take_turn(struct conn *c); /* what its socket said, then the same */
void conn_check_time(struct conn *c);

/* out.c */
bool conn_queue(struct conn *c, const void *data, size_t len, void (*release)(void *), void *arg,
                struct wfl_exchange *x); /* false: no memory; released already */
bool conn_queue_part(struct conn *c, const struct wfl_body_part *part, struct wfl_exchange *x);
bool conn_queue_copy(struct conn *c, wfl_slice bytes); /* control bytes */
/* Write what the socket takes; CLOSED where it is broken. True: a segment was finished. */
bool out_flush(struct conn *c);
bool out_pending(const struct conn *c); /* something is not yet with the socket */
/* `n` bytes from the front on are written. True: a segment was finished. */
bool out_advance(struct conn *c, size_t n);
void out_drop(struct conn *c); /* unwritten: releases everything */

/* exchange.c */
struct wfl_exchange *exchange_new(struct conn *c);
void exchange_end(struct wfl_exchange *x, bool ok);          /* leaves the connection, on_end */
void exchange_written(struct wfl_exchange *x, size_t bytes); /* a segment is out */
void exchange_mark_ready(struct wfl_exchange *x);
struct wfl_exchange *exchange_take_ready(struct conn *c); /* the first; NULL: none */
void                 exchange_tell_broken(struct wfl_exchange *x, const wfl_error *err);
void                 exchange_check_timer(struct wfl_exchange *x,
                                          bool                 stopping); /* calls on_timer where it is time */
struct part_node *
exchange_front_part(struct wfl_exchange *x); /* with bytes left to send; NULL: none */

/* http1.c */
void http1_pump(struct conn *c);
void http1_respond(struct wfl_exchange *x, const struct wfl_response *response);
void http1_parts_added(struct wfl_exchange *x);
/* Where received bytes can go at once instead of the buffer; NULL: nowhere. */
uint8_t *http1_direct_place(struct conn *c, size_t *cap);
void     http1_direct_received(struct conn *c, size_t n);
void     http1_check_time(struct conn *c);

/* http2.c */
WFL_MUST_USE bool http2_start(struct conn *c);
void              http2_free(struct conn *c);
void              http2_input(struct conn *c); /* eats the buffer */
void              http2_pump(struct conn *c);
void              http2_respond(struct wfl_exchange *x, const struct wfl_response *response);
void              http2_parts_added(struct wfl_exchange *x);
void              http2_abort(struct wfl_exchange *x);
void              http2_shutdown(struct conn *c);
void              http2_abandon(struct conn *c); /* nothing is queued: end what is open, unwell */
void              http2_check_time(struct conn *c);

#endif
