/* SPDX-License-Identifier: Apache-2.0
 *
 * A reactor: one thread, one libuv loop, its own listening sockets and connections. It wakes for
 * sockets, for posts from other threads, and ten times a second to look at time-outs (a walk over
 * its connections: 10,000 of them are about 50 us). It ends when it was told to stop and has no
 * connection left. */
#include "net/net_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64

void reactor_refresh_time(struct reactor *r)
{
    const struct wfl_clock *clock = r->net->config.clock;
    int64_t                 unix_ns = wfl_clock_unix_ns(clock);

    r->now_ns = wfl_clock_mono_ns(clock);
    r->now_ms = (uint64_t)(unix_ns / 1000000);
    if (unix_ns / 1000000000 != r->date_sec) {
        r->date_sec = unix_ns / 1000000000;
        wfl_time_format_http(r->date_sec, r->date);
    }
}

wfl_ulid reactor_next_id(struct reactor *r)
{
    uint8_t   random[10] = {0};
    wfl_ulid  id = {{0}};
    wfl_error err;

    /* Randomness is drawn once a millisecond: in between the last id plus one is as good. */
    if (r->now_ms > wfl_ulid_ms(&r->ids.last))
        wfl_random_fill(r->net->config.random, random, sizeof random);
    (void)!wfl_ulid_next(&r->ids, r->now_ms, random, &id, &err);
    return id;
}

uint8_t *reactor_take_buffer(struct reactor *r)
{
    if (r->free_buffer_count > 0) return r->free_buffers[--r->free_buffer_count];
    return wfl_alloc_get(r->net->config.alloc, IN_BUFFER_BYTES);
}

void reactor_give_buffer(struct reactor *r, uint8_t *buffer)
{
    if (r->free_buffer_count < POOLED_MAX) {
        r->free_buffers[r->free_buffer_count++] = buffer;
    } else {
        wfl_alloc_free(r->net->config.alloc, buffer);
    }
}

/* ---- posts */

static struct wfl_post *take_posts(struct reactor *r)
{
    struct wfl_post *list;

    wfl_mutex_lock(&r->lock);
    list = r->posts;
    r->posts = r->posts_tail = NULL;
    wfl_mutex_unlock(&r->lock);
    return list;
}

void reactor_drain_posts(struct reactor *r)
{
    for (struct wfl_post *post = take_posts(r), *next; post != NULL; post = next) {
        next = post->next;
        post->run(post);
    }
}

static void pump_ready(struct reactor *r)
{
    /* A pump leaves nothing ready, so this ends; and it may close its connection. */
    while (r->pending != NULL) {
        struct conn *c = r->pending;

        r->pending = c->next_pending;
        c->pending = false;
        if (c->ready != NULL || c->state == CONN_CLOSED) conn_pump(c);
    }
}

/* ---- stopping */

static void on_handle_closed(uv_handle_t *handle)
{
    ((struct reactor *)handle->data)->handles--;
}

static void close_listeners(struct reactor *r)
{
    for (uint32_t i = 0; i < r->listener_count; i++) {
        if (r->listen_fds[i] < 0) continue;
        uv_close((uv_handle_t *)&r->listeners[i], on_handle_closed);
        close(r->listen_fds[i]);
        r->listen_fds[i] = -1;
    }
}

static void begin_stop(struct reactor *r)
{
    r->stopping = true;
    close_listeners(r);
    for (struct conn *c = r->conns, *next; c != NULL; c = next) {
        next = c->next;
        if (c->protocol == PROTO_HTTP2) http2_shutdown(c);
        for (struct wfl_exchange *x = c->exchanges, *next_x; x != NULL; x = next_x) {
            next_x = x->next;
            exchange_check_timer(x, true);
        }
        conn_pump(c);
    }
}

static void cut_all(struct reactor *r)
{
    r->cutting = true;
    while (r->conns != NULL)
        conn_close(r->conns);
}

static void end_when_empty(struct reactor *r)
{
    if (!r->stopping || r->conns != NULL || uv_is_closing((uv_handle_t *)&r->tick)) return;
    uv_close((uv_handle_t *)&r->tick, on_handle_closed);
    wfl_mutex_lock(&r->lock);
    r->ended = true; /* nobody touches `wake` from here on */
    wfl_mutex_unlock(&r->lock);
    uv_close((uv_handle_t *)&r->wake, on_handle_closed);
}

void reactor_tell(struct reactor *r, bool cut)
{
    wfl_mutex_lock(&r->lock);
    r->stop_asked = true;
    r->cut_asked |= cut;
    if (!r->ended) uv_async_send(&r->wake);
    wfl_mutex_unlock(&r->lock);
}

static void on_wake(uv_async_t *handle)
{
    struct reactor *r = handle->data;
    bool            stop, cut;

    reactor_refresh_time(r);
    wfl_mutex_lock(&r->lock);
    stop = r->stop_asked;
    cut = r->cut_asked;
    wfl_mutex_unlock(&r->lock);
    reactor_drain_posts(r);
    pump_ready(r);
    if (stop && !r->stopping) begin_stop(r);
    if (cut && !r->cutting) cut_all(r);
    end_when_empty(r);
}

/* ---- accepting */

static void on_acceptable(uv_poll_t *handle, int status, int events);

/* Without a file descriptor left the listeners would stay readable and the loop would spin: look
 * away until the next tick. */
static void rest(struct reactor *r)
{
    r->resting = true;
    for (uint32_t i = 0; i < r->listener_count; i++)
        uv_poll_stop(&r->listeners[i]);
}

static void wake_up(struct reactor *r)
{
    if (!r->resting || r->stopping) return;
    r->resting = false;
    for (uint32_t i = 0; i < r->listener_count; i++)
        (void)uv_poll_start(&r->listeners[i], UV_READABLE, on_acceptable);
}

static void accept_one(struct reactor *r, int fd, bool in_clear)
{
    struct wfl_tls *tls = in_clear ? NULL : net_tls_ref(r->net);

    conn_accept(r, fd, tls);
    wfl_tls_unref(tls); /* the connection has its own */
}

static void on_acceptable(uv_poll_t *handle, int status, int events)
{
    struct reactor *r = handle->data;
    struct wfl_net *net = r->net;
    ptrdiff_t       index = handle - r->listeners;
    int             listener = r->listen_fds[index];

    (void)status, (void)events;
    reactor_refresh_time(r);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) rest(r);
            return;
        }
        net->connections_total++;
        if (atomic_fetch_add(&net->connections, 1) >= net_limits(net)->connections_max) {
            net->connections--;
            net->connections_refused++;
            close(fd);
            continue;
        }
        accept_one(r, fd, index < net->config.listen_count);
    }
}

static void on_tick(uv_timer_t *handle)
{
    struct reactor *r = handle->data;

    reactor_refresh_time(r);
    for (struct conn *c = r->conns, *next; c != NULL; c = next) {
        next = c->next;
        conn_check_time(c);
    }
    pump_ready(r);
    wake_up(r);
    end_when_empty(r);
}

/* ---- the thread */

static void free_pools(struct reactor *r)
{
    const struct wfl_alloc *alloc = r->net->config.alloc;

    while (r->free_exchanges != NULL) {
        struct wfl_exchange *x = r->free_exchanges;

        r->free_exchanges = x->next;
        wfl_arena_fini(&x->arena);
        wfl_alloc_free(alloc, x);
    }
    while (r->free_buffer_count > 0)
        wfl_alloc_free(alloc, r->free_buffers[--r->free_buffer_count]);
    while (r->free_tls_count > 0)
        wfl_alloc_free(alloc, r->free_tls[--r->free_tls_count]);
}

static void *reactor_run(void *arg)
{
    struct reactor *r = arg;

    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    free_pools(r);
    return NULL;
}

static bool open_handles(struct reactor *r)
{
    if (uv_loop_init(&r->loop) != 0) return false;
    r->wake.data = r->tick.data = r;
    if (uv_async_init(&r->loop, &r->wake, on_wake) != 0) return false;
    uv_timer_init(&r->loop, &r->tick);
    uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
    for (uint32_t i = 0; i < r->listener_count; i++) {
        if (uv_poll_init_socket(&r->loop, &r->listeners[i], r->listen_fds[i]) != 0) return false;
        r->listeners[i].data = r;
        if (uv_poll_start(&r->listeners[i], UV_READABLE, on_acceptable) != 0) return false;
    }
    return true;
}

wfl_code reactor_start(struct reactor *r, wfl_error *err)
{
    reactor_refresh_time(r);
    if (!open_handles(r) || pthread_create(&r->thread, NULL, reactor_run, r) != 0) {
        return wfl_fail(err, WFL_IO, "network: no event loop or thread could be made");
    }
    r->started = true;
    return WFL_OK;
}
