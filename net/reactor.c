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
#define TURN_NS        200000 /* a connection's at most, but for what it is in the middle of */
#define LOOK_NS        250000 /* from one look at the sockets to the next, roughly */

static void end_when_empty(struct reactor *r);

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

/* ---- turns */

static int64_t mono_ns(const struct reactor *r)
{
    return wfl_clock_mono_ns(r->net->config.clock);
}

void reactor_begin_turn(struct reactor *r)
{
    r->turn_ends_ns = mono_ns(r) + TURN_NS;
}

bool reactor_turn_is_over(const struct reactor *r)
{
    return mono_ns(r) >= r->turn_ends_ns;
}

static void on_hurry(uv_idle_t *handle)
{
    (void)handle; /* that it is active is all: the loop does not wait then */
}

void reactor_queue(struct reactor *r, struct conn *c)
{
    turns_push(&r->turns, &c->turn, c->flow);
    uv_idle_start(&r->hurry, on_hurry);
}

static struct conn *conn_of(struct turn *turn)
{
    return (struct conn *)(void *)((char *)turn - offsetof(struct conn, turn));
}

/* Not all of them at once: who has become ready meanwhile is in the order too. */
static void on_turns(uv_check_t *handle)
{
    struct reactor   *r = handle->data;
    struct turn_lane *lane;
    struct turn      *turn = NULL;
    int64_t           began = mono_ns(r), now = began, ended;

    while (now - began < LOOK_NS && (turn = turns_pop(&r->turns, &lane)) != NULL) {
        reactor_refresh_time(r);
        conn_take_turn(conn_of(turn)); /* the connection may be gone now */
        ended = mono_ns(r);
        turns_charge(lane, ended - now);
        now = ended;
    }
    if (r->turns.active == NULL) uv_idle_stop(&r->hurry);
    end_when_empty(r);
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
    uv_close((uv_handle_t *)&r->take_turns, on_handle_closed);
    uv_close((uv_handle_t *)&r->hurry, on_handle_closed);
    wfl_mutex_lock(&r->lock);
    r->ended = true;
    wfl_mutex_unlock(&r->lock);
    uv_close((uv_handle_t *)&r->wake, on_handle_closed);
}

void reactor_tell(struct reactor *r, bool cut)
{
    wfl_mutex_lock(&r->lock);
    r->stop_asked = true;
    r->cut_asked |= cut;
    wfl_mutex_unlock(&r->lock);
    reactor_ring(r);
}

/* The reactor may run at once in the caller's place, so it must not find a lock that the caller
 * still holds: it would have to wait until the caller gets its next turn of the processor. */
void reactor_ring(struct reactor *r)
{
    const uint64_t one = 1;

    (void)!write(r->wake_fd, &one, sizeof one); /* full: it is awake */
}

static void on_wake(uv_poll_t *handle, int status, int events)
{
    struct reactor *r = handle->data;
    bool            stop, cut;
    uint64_t        rings;

    (void)status, (void)events;
    (void)!read(r->wake_fd, &rings, sizeof rings);
    reactor_refresh_time(r);
    wfl_mutex_lock(&r->lock);
    stop = r->stop_asked;
    cut = r->cut_asked;
    wfl_mutex_unlock(&r->lock);
    reactor_drain_posts(r);
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

    wfl_thread_introduce("wfl-reactor", 0);
    wfl_thread_be_prompt();
    uv_run(&r->loop, UV_RUN_DEFAULT);
    uv_loop_close(&r->loop);
    free_pools(r);
    return NULL;
}

static bool open_handles(struct reactor *r)
{
    uint64_t salt;

    wfl_random_fill(r->net->config.random, (uint8_t *)&salt, sizeof salt);
    turns_init(&r->turns, salt);
    if (uv_loop_init(&r->loop) != 0) return false;
    r->wake.data = r->tick.data = r->take_turns.data = r->hurry.data = r;
    if (uv_poll_init(&r->loop, &r->wake, r->wake_fd) != 0) return false;
    if (uv_poll_start(&r->wake, UV_READABLE, on_wake) != 0) return false;
    uv_timer_init(&r->loop, &r->tick);
    uv_timer_start(&r->tick, on_tick, TICK_MS, TICK_MS);
    uv_check_init(&r->loop, &r->take_turns);
    uv_check_start(&r->take_turns, on_turns);
    uv_idle_init(&r->loop, &r->hurry);
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
    if (!open_handles(r) || !wfl_thread_start(&r->thread, reactor_run, r)) {
        return wfl_fail(err, WFL_IO, "network: no event loop or thread could be made");
    }
    r->started = true;
    return WFL_OK;
}
