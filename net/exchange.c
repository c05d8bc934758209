/* SPDX-License-Identifier: Apache-2.0
 *
 * Exchanges: born on a connection, ended when the answer's last byte is written or the connection
 * is gone, freed when the last reference is dropped. Parts of an answer are released as they are
 * written, all of them before on_end. */
#include "net/net_private.h"

#include <assert.h>

static const struct wfl_alloc *alloc_of(const struct reactor *r)
{
    return r->net->config.alloc;
}

static struct wfl_exchange *take_blank(struct reactor *r)
{
    struct wfl_exchange *x = r->free_exchanges;

    if (x != NULL) {
        wfl_arena arena = x->arena;

        r->free_exchanges = x->next;
        r->free_exchange_count--;
        memset(x, 0, sizeof *x);
        x->arena = arena;
        wfl_arena_reset(&x->arena);
        return x;
    }
    x = wfl_alloc_zero(alloc_of(r), 1, sizeof *x);
    if (x != NULL) wfl_arena_init(&x->arena, alloc_of(r), r->net->config.arena_bytes_max);
    return x;
}

struct wfl_exchange *exchange_new(struct conn *c)
{
    struct reactor      *r = c->reactor;
    struct wfl_exchange *x = take_blank(r);

    if (x == NULL) return NULL;
    atomic_init(&x->refs, 1);
    x->reactor = r;
    x->conn = c;
    x->began_ns = r->now_ns;
    x->body_progress_ns = r->now_ns;
    x->id = reactor_next_id(r);
    memcpy(x->request.peer, c->peer, sizeof x->request.peer);
    wfl_buf_init(&x->backlog, alloc_of(r), 1u << 20);
    x->next = c->exchanges;
    if (x->next != NULL) x->next->prev = x;
    c->exchanges = x;
    c->exchange_count++;
    r->net->exchanges++;
    r->net->exchanges_total++;
    return x;
}

static void free_part(struct wfl_exchange *x, struct part_node *node)
{
    if (node->on_heap) wfl_alloc_free(alloc_of(x->reactor), node);
}

static void release_parts(struct wfl_exchange *x)
{
    while (x->parts != NULL) {
        struct part_node *node = x->parts;

        x->parts = node->next;
        if (node->part.release != NULL) node->part.release(node->part.arg);
        free_part(x, node);
    }
    x->parts_tail = NULL;
}

static void leave_ready(struct conn *c, struct wfl_exchange *x)
{
    struct wfl_exchange **at = &c->ready, *before = NULL;

    while (*at != x) {
        before = *at;
        at = &before->next_ready;
    }
    *at = x->next_ready;
    if (c->ready_tail == x) c->ready_tail = before;
    x->in_ready = false;
}

void exchange_end(struct wfl_exchange *x, bool ok)
{
    struct conn              *c = x->conn;
    const struct wfl_handler *h = &x->reactor->net->config.handler;

    assert(!x->ended && c != NULL);
    x->ended = true;
    x->reading = false;
    release_parts(x);
    wfl_buf_fini(&x->backlog);
    if (x->prev != NULL) {
        x->prev->next = x->next;
    } else {
        c->exchanges = x->next;
    }
    if (x->next != NULL) x->next->prev = x->prev;
    x->next = x->prev = NULL;
    c->exchange_count--;
    if (x->in_ready) leave_ready(c, x);
    if (c->h1.x == x) c->h1.x = NULL;
    if (c->protocol == PROTO_HTTP2 && !x->head_done) x->user = NULL; /* the handler never saw it */
    if (c->exchange_count == 0) c->since_ns = x->reactor->now_ns;    /* idle from now */
    x->conn = NULL;
    x->reactor->net->exchanges--;
    if (h->on_end != NULL) h->on_end(h->ctx, x, ok);
    wfl_exchange_unref(x);
}

void exchange_written(struct wfl_exchange *x, size_t bytes)
{
    const struct wfl_handler *h = &x->reactor->net->config.handler;

    assert(x->unwritten > 0);
    x->unwritten--;
    if (x->unwritten == 0) exchange_mark_ready(x); /* it may end now */
    x->waiting_bytes -= bytes < x->waiting_bytes ? bytes : x->waiting_bytes;
    if (x->said_high && x->waiting_bytes < WFL_SEND_HIGH / 2 && !x->ended) {
        x->said_high = false;
        if (h->on_drain != NULL) h->on_drain(h->ctx, x);
    }
}

void exchange_mark_ready(struct wfl_exchange *x)
{
    struct conn *c = x->conn;

    if (x->in_ready || c == NULL) return;
    x->in_ready = true;
    x->next_ready = NULL;
    *(c->ready == NULL ? &c->ready : &c->ready_tail->next_ready) = x;
    c->ready_tail = x;
    if (!c->in_pump && !c->in_turn) reactor_queue(x->reactor, c); /* else the pump gets to it */
}

struct wfl_exchange *exchange_take_ready(struct conn *c)
{
    struct wfl_exchange *x = c->ready;

    if (x == NULL) return NULL;
    c->ready = x->next_ready;
    x->in_ready = false;
    return x;
}

void exchange_tell_broken(struct wfl_exchange *x, const wfl_error *err)
{
    const struct wfl_handler *h = &x->reactor->net->config.handler;

    x->reading = false;
    x->close_after = true;
    wfl_exchange_ref(x);
    h->on_broken(h->ctx, x, err);
    if (!x->ended && !x->responded) wfl_exchange_abort(x); /* the handler had nothing to say */
    wfl_exchange_unref(x);
}

struct part_node *exchange_front_part(struct wfl_exchange *x)
{
    while (x->parts != NULL && x->parts->sent == x->parts->part.bytes.len) {
        struct part_node *node = x->parts;

        /* All of it is in the socket's queue, which releases it; an empty one never gets there. */
        x->parts = node->next;
        if (node->part.bytes.len == 0 && node->part.release != NULL)
            node->part.release(node->part.arg);
        free_part(x, node);
    }
    if (x->parts == NULL) x->parts_tail = NULL;
    return x->parts;
}

/* ---- the handler's side */

const struct wfl_request *wfl_exchange_request(const struct wfl_exchange *x)
{
    return &x->request;
}

wfl_arena *wfl_exchange_arena(struct wfl_exchange *x)
{
    return &x->arena;
}

const wfl_ulid *wfl_exchange_id(const struct wfl_exchange *x)
{
    return &x->id;
}

void wfl_exchange_set_user(struct wfl_exchange *x, void *user)
{
    x->user = user;
}

void *wfl_exchange_user(const struct wfl_exchange *x)
{
    return x->user;
}

int64_t wfl_exchange_began_ns(const struct wfl_exchange *x)
{
    return x->began_ns;
}

bool wfl_exchange_is_open(const struct wfl_exchange *x)
{
    return !x->ended;
}

const struct wfl_header *wfl_request_header(const struct wfl_request *r, wfl_slice name)
{
    for (uint32_t i = 0; i < r->header_count; i++) {
        if (wfl_slice_eq(r->headers[i].name, name)) return &r->headers[i];
    }
    return NULL;
}

void wfl_exchange_read(struct wfl_exchange *x, uint8_t *dst, size_t cap)
{
    if (x->ended || x->responded) return;
    assert(!x->reading && cap > 0);
    x->dst = dst;
    x->dst_cap = cap;
    x->dst_len = 0;
    x->reading = true;
    x->body_progress_ns = x->reactor->now_ns;
    exchange_mark_ready(x);
}

static void add_part(struct wfl_exchange *x, struct part_node *node,
                     const struct wfl_body_part *part, bool on_heap)
{
    *node = (struct part_node){.part = *part, .on_heap = on_heap};
    if (x->parts_tail != NULL) {
        x->parts_tail->next = node;
    } else {
        x->parts = node;
    }
    x->parts_tail = node;
    x->waiting_bytes += part->bytes.len;
}

static void release_part(const struct wfl_body_part *part)
{
    if (part->release != NULL) part->release(part->arg);
}

/* Parts of a response that is not sent, or has no body. */
static void drop_all(const struct wfl_response *response)
{
    for (uint32_t i = 0; i < response->part_count; i++)
        release_part(&response->parts[i]);
}

static bool has_no_body(const struct wfl_exchange *x, const struct wfl_response *response)
{
    return wfl_slice_eq(x->request.method, WFL_S("HEAD")) || response->status == 204 ||
           response->status == 304;
}

void wfl_exchange_respond(struct wfl_exchange *x, const struct wfl_response *response)
{
    struct part_node *nodes = NULL;

    if (x->ended || x->responded) {
        drop_all(response);
        return;
    }
    x->responded = true;
    x->reading = false;
    x->headless_body = has_no_body(x, response);
    x->more = response->more && !x->headless_body;
    x->close_after |= response->close;
    if (x->headless_body) {
        drop_all(response);
    } else if (response->part_count > 0) {
        nodes = wfl_arena_get(&x->arena, response->part_count * sizeof *nodes);
        if (nodes == NULL) {
            drop_all(response);
            wfl_exchange_abort(x);
            return;
        }
        for (uint32_t i = 0; i < response->part_count; i++)
            add_part(x, &nodes[i], &response->parts[i], false);
    }
    if (x->conn->protocol == PROTO_HTTP2) {
        http2_respond(x, response);
    } else {
        http1_respond(x, response);
    }
    if (x->conn != NULL) exchange_mark_ready(x);
}

size_t wfl_exchange_send(struct wfl_exchange *x, struct wfl_body_part part, bool last)
{
    struct part_node *node;

    if (x->ended || !x->responded || !x->more) {
        release_part(&part);
        return 0;
    }
    node = wfl_alloc_get(alloc_of(x->reactor), sizeof *node);
    if (node == NULL) {
        release_part(&part);
        wfl_exchange_abort(x);
        return 0;
    }
    /* A time-out looks at how long parts wait, not at how long there was none. */
    if (exchange_front_part(x) == NULL) x->body_progress_ns = x->reactor->now_ns;
    add_part(x, node, &part, true);
    x->more = !last;
    if (x->conn->protocol == PROTO_HTTP2) {
        http2_parts_added(x);
    } else {
        http1_parts_added(x);
    }
    exchange_mark_ready(x);
    if (x->waiting_bytes > WFL_SEND_HIGH) x->said_high = true;
    return x->waiting_bytes;
}

void wfl_exchange_abort(struct wfl_exchange *x)
{
    if (x->ended) return;
    if (x->conn->protocol == PROTO_HTTP2) {
        http2_abort(x);
    } else {
        /* Nothing shorter than the connection can say "broken" in HTTP/1.1. */
        x->conn->state = CONN_CLOSED;
        exchange_mark_ready(x);
    }
}

/* ---- timers */

void wfl_exchange_set_timer(struct wfl_exchange *x, int64_t at_ns)
{
    x->timer_ns = at_ns;
}

void exchange_check_timer(struct wfl_exchange *x, bool stopping)
{
    const struct wfl_handler *h = &x->reactor->net->config.handler;

    if (x->timer_ns == 0 || x->ended || (!stopping && x->reactor->now_ns < x->timer_ns)) return;
    x->timer_ns = 0;
    h->on_timer(h->ctx, x);
}

void wfl_exchange_end_with_peer(struct wfl_exchange *x)
{
    x->ends_with_peer = true;
    exchange_mark_ready(x); /* it may have gone already */
}

void wfl_exchange_set_flow(struct wfl_exchange *x, uint64_t flow)
{
    if (x->conn != NULL) x->conn->flow = flow;
}

/* ---- references and posts: any thread */

void wfl_exchange_ref(struct wfl_exchange *x)
{
    atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
}

void wfl_exchange_unref(struct wfl_exchange *x)
{
    struct reactor *r = x->reactor;

    if (atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) != 1) return;
    if (pthread_equal(pthread_self(), r->thread) && !r->ended &&
        r->free_exchange_count < POOLED_MAX) {
        x->next = r->free_exchanges;
        r->free_exchanges = x;
        r->free_exchange_count++;
        return;
    }
    wfl_arena_fini(&x->arena);
    wfl_alloc_free(alloc_of(r), x);
}

struct reactor *wfl_exchange_reactor(const struct wfl_exchange *x)
{
    return x->reactor;
}

uint32_t wfl_reactor_index(const struct reactor *r)
{
    return r->index;
}

void wfl_exchange_post(struct wfl_exchange *x, struct wfl_post *post)
{
    wfl_reactor_post(x->reactor, post);
}

void wfl_reactor_post(struct reactor *r, struct wfl_post *post)
{
    bool ring;

    post->next = NULL;
    wfl_mutex_lock(&r->lock);
    ring = r->posts == NULL && !r->ended; /* after its end posts wait for wfl_net_free */
    if (r->posts == NULL) {
        r->posts = post;
    } else {
        r->posts_tail->next = post;
    }
    r->posts_tail = post;
    wfl_mutex_unlock(&r->lock);
    if (ring) reactor_ring(r);
}

bool wfl_exchange_sends_files(const struct wfl_exchange *x)
{
    return x->conn != NULL && x->conn->protocol == PROTO_HTTP1 && x->conn->tls == NULL;
}
