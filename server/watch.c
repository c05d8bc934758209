/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for changes. A watch first reads pages of its own, in the pool, one at a time, until it
 * has all that there is; then it waits in its bucket's *channel* on its reactor. The channel alone
 * is told by the store of commits: it reads what has come once and gives it to all that wait, each
 * of which takes what its prefix wants. So a commit costs the committer one post a reactor that
 * watches the bucket, and one page, however many wait; a watch that waits is a place in a list and
 * a timer.
 *
 * Positions keep this exact. The channel's `tail` is where its next page begins; a watch may wait
 * if its own position is not below that, and of a page takes what lies above its position. One that
 * is below reads for itself until it is not. What is registered with the store before a page is
 * read is told of whatever that page does not have.
 *
 * A stream that does not take what it is sent gets no more of it: beyond WFL_SEND_HIGH it leaves
 * the list, and reads for itself when there is room again; net's stall time-out cuts it off if
 * there never is. Streams end cleanly when the packet expires or is revoked, the server stops, the
 * position is no longer kept or the bucket goes: the client comes back with its position and is
 * told why. What waits for its answer yet is told at once that its packet is revoked.
 *
 * Delivery to many is cut into turns, so that other requests of the reactor do not wait for all. */
#include "server/watch.h"

#include <assert.h>
#include <stdatomic.h>

#define SLOTS             64
#define STREAM_ROWS       256
#define STREAM_BYTES      (256u << 10)
#define PAGE_BYTES        (4u << 20)
#define READ_COST         (64u << 10)
#define DELIVERIES_A_TURN 64
#define COMMENT_NS        (INT64_C(15) * 1000000000)
#define LATER_NS          (INT64_C(100) * 1000000)
#define END_NS            (INT64_C(1) * 1000000000) /* for the last bytes of a stream at a stop */
#define TIMER_MAX_SEC     3600

struct channel { /* of one bucket on one reactor */
    struct watch_hub      *hub;
    struct reactor        *reactor;
    struct channel        *next;    /* of the slot */
    wfl_ulid               tail;    /* all that wait have what is up to here */
    struct watch          *members; /* watches that wait or will */
    struct watch          *waiting, *waiting_tail;
    struct watch          *cursor; /* the next one to get the page */
    bool                   dirty;  /* there may be more behind the tail */
    bool                   woken;  /* the store has told, and was not asked to tell again */
    bool                   reading, delivering;
    bool                   gone; /* out of the table; goes when its last post has run */
    struct wfl_watch       watch;
    struct wfl_post        wake_post;
    struct wfl_post        turn_post; /* of the page: read, or its next turn */
    struct wfl_engine_work work;
    struct change_page     page;
    size_t                 bucket_len;
    uint8_t                bucket[WFL_BUCKET_NAME_MAX];
};

struct place { /* one reactor's; the rest is made when it is first needed */
    struct watch_hub         *hub;
    struct channel          **table;
    _Atomic(struct reactor *) reactor; /* NULL: nothing was ever watched on it */
    struct wfl_post           recheck_post;
    _Atomic bool              rechecking; /* the post is on its way */
};

struct watch_hub {
    struct wfl_server *server;
    _Atomic uint64_t   count;
    struct place       places[WFL_REACTORS_MAX];
};

wfl_code watch_hub_new(struct wfl_server *s, struct watch_hub **out, wfl_error *err)
{
    struct watch_hub *hub = wfl_alloc_zero(&wfl_alloc_libc, 1, sizeof *hub);

    if (hub == NULL) return wfl_fail(err, WFL_NOMEM, "watches: out of memory");
    hub->server = s;
    for (size_t i = 0; i < WFL_COUNT(hub->places); i++)
        hub->places[i].hub = hub;
    *out = hub;
    return WFL_OK;
}

void watch_hub_free(struct watch_hub *hub)
{
    if (hub == NULL) return;
    assert(hub->count == 0);
    for (size_t i = 0; i < WFL_COUNT(hub->places); i++)
        wfl_alloc_free(&wfl_alloc_libc, hub->places[i].table);
    wfl_alloc_free(&wfl_alloc_libc, hub);
}

uint64_t watch_hub_count(const struct watch_hub *hub)
{
    return hub->count;
}

static bool is_page(const struct watch *w)
{
    return change_format_is_page(w->format);
}

static int64_t now_ns(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system);
}

static int64_t now_sec(void)
{
    return wfl_clock_unix_ns(&wfl_clock_system) / 1000000000;
}

/* ---- channels: members and the list of those that wait */

static struct channel **slot_of(struct watch_hub *hub, struct reactor *reactor, uint32_t bucket_id)
{
    struct place *p = &hub->places[wfl_reactor_index(reactor)];

    if (p->table == NULL) {
        p->table = wfl_alloc_zero(&wfl_alloc_libc, SLOTS, sizeof(struct channel *));
        if (p->table == NULL) return NULL;
        atomic_store(&p->reactor, reactor);
    }
    return &p->table[bucket_id % SLOTS];
}

static void on_commit(struct wfl_watch *watch);

static bool join(struct watch *w)
{
    struct watch_hub *hub = w->r->server->watches;
    struct reactor   *reactor = wfl_exchange_reactor(w->r->x);
    struct channel  **slot = slot_of(hub, reactor, w->bucket_id), *c;

    if (slot == NULL) return false;
    for (c = *slot; c != NULL && c->watch.bucket_id != w->bucket_id; c = c->next) {}
    if (c == NULL) {
        c = wfl_alloc_zero(&wfl_alloc_libc, 1, sizeof *c);
        if (c == NULL) return false;
        c->hub = hub;
        c->reactor = reactor;
        c->bucket_len = w->r->target.bucket.len;
        memcpy(c->bucket, w->r->target.bucket.data, c->bucket_len);
        c->watch = (struct wfl_watch){.bucket_id = w->bucket_id, .wake = on_commit, .arg = c};
        c->next = *slot;
        *slot = c;
        wfl_store_watch(hub->server->store, &c->watch);
    }
    w->next_member = c->members;
    w->at_member = &c->members;
    if (w->next_member != NULL) w->next_member->at_member = &w->next_member;
    c->members = w;
    hub->count++;
    w->channel = c;
    return true;
}

static bool is_busy(const struct channel *c)
{
    return c->reading || c->delivering;
}

/* Somebody's timer looks at the channel again. */
static void nudge(struct channel *c)
{
    if (c->waiting != NULL) wfl_exchange_set_timer(c->waiting->r->x, now_ns() + LATER_NS);
}

/* After somebody left, or the channel came to rest: it goes where it has no member. */
static void check_channel(struct channel *c)
{
    struct channel **at;

    if (is_busy(c)) return;
    if (c->members != NULL) {
        if (c->dirty) nudge(c);
        return;
    }
    at = slot_of(c->hub, c->reactor, c->watch.bucket_id);
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->gone = true;
    /* Told, and its post is still on the way: that frees it. */
    if (wfl_store_unwatch(c->hub->server->store, &c->watch) && !c->woken) return;
    wfl_alloc_free(&wfl_alloc_libc, c);
}

static void enlist(struct watch *w)
{
    struct channel *c = w->channel;

    w->next = NULL;
    w->prev = c->waiting_tail;
    if (w->prev != NULL)
        w->prev->next = w;
    else
        c->waiting = w;
    c->waiting_tail = w;
    /* A page that is being given out goes to it too: it may be the last in line. */
    if (c->delivering && c->cursor == NULL) c->cursor = w;
    w->state = WATCH_WAITING;
}

static void delist(struct watch *w)
{
    struct channel *c = w->channel;

    if (w->state != WATCH_WAITING) return;
    if (c->cursor == w) c->cursor = w->next;
    if (w->prev != NULL)
        w->prev->next = w->next;
    else
        c->waiting = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        c->waiting_tail = w->prev;
    w->next = w->prev = NULL;
}

static void leave(struct watch *w)
{
    struct channel *c = w->channel;

    if (c != NULL) delist(w);
    w->state = WATCH_ENDED;
    if (c == NULL) return;
    w->channel = NULL;
    *w->at_member = w->next_member;
    if (w->next_member != NULL) w->next_member->at_member = w->at_member;
    c->hub->count--;
    check_channel(c);
}

/* ---- answers */

static void free_text(void *data)
{
    wfl_alloc_free(&wfl_alloc_libc, data);
}

/* True: so much waits to be written that it is enough for now. Moves `text`. */
static bool send_text(struct watch *w, wfl_buf *text)
{
    struct wfl_body_part part = {
        .bytes = wfl_buf_slice(text), .release = free_text, .arg = text->data};

    w->r->sent_bytes += text->len;
    rates_moved(w->r, text->len);
    return wfl_exchange_send(w->r->x, part, false) > WFL_SEND_HIGH;
}

static void end_stream(struct watch *w)
{
    leave(w);
    wfl_exchange_send(w->r->x, (struct wfl_body_part){0}, true);
    wfl_exchange_set_timer(w->r->x, now_ns() + END_NS);
}

/* The page that is written into the request's text. */
static void answer_text(struct watch *w)
{
    struct answer a = {0};

    leave(w);
    wfl_exchange_set_timer(w->r->x, 0);
    if (w->format == CHANGE_WIRE)
        answer_wire(w->r, &a, 200, &w->r->text);
    else
        answer_json(w->r, &a, 200, &w->r->text);
}

static void answer_empty(struct watch *w)
{
    wfl_buf *text = &w->r->text;

    wfl_buf_init(text, &wfl_alloc_libc, 1024);
    change_page_write_empty(&w->at, w->format, text);
    answer_text(w);
}

static void fail(struct watch *w)
{
    struct request *r = w->r;

    if (w->begun) {
        if (wfl_code_http(r->err.code) >= 500) r->code = r->err.code; /* told in the log */
        end_stream(w);
        return;
    }
    leave(w);
    wfl_exchange_set_timer(r->x, 0);
    answer_problem(r, NULL, &r->err);
}

/* There is nothing more to wait for. */
static void finish(struct watch *w)
{
    if (!w->begun && request_is_revoked(w->r))
        fail(w);
    else if (is_page(w))
        answer_empty(w);
    else
        end_stream(w);
}

static bool is_over(const struct watch *w)
{
    return w->r->server->stopping || request_is_revoked(w->r) || now_sec() >= w->expires_sec ||
           (is_page(w) && now_ns() >= w->deadline_ns);
}

static void set_timer(struct watch *w)
{
    int64_t now = now_ns(), left_sec = w->expires_sec - now_sec();
    int64_t at = is_page(w) ? w->deadline_ns : w->comment_ns;

    if (left_sec < 0) left_sec = 0;
    if (left_sec > TIMER_MAX_SEC) left_sec = TIMER_MAX_SEC;
    if (now + left_sec * 1000000000 < at) at = now + left_sec * 1000000000;
    if (w->state == WATCH_LATER && now + LATER_NS < at) at = now + LATER_NS;
    wfl_exchange_set_timer(w->r->x, at);
}

/* ---- the channel's page */

static void read_channel_in_pool(struct wfl_engine_work *work)
{
    struct channel *c = work->arg;

    change_page_load(c->hub->server->store, &c->page);
    wfl_reactor_post(c->reactor, &c->turn_post);
}

static void deliver(struct channel *c);

static void on_page_read(struct wfl_post *post)
{
    struct channel *c = post->arg;

    c->reading = false;
    c->delivering = true;
    c->cursor = c->waiting;
    deliver(c);
}

/* Read what is behind the tail, if anything may be, and somebody waits for it. */
static void look(struct channel *c)
{
    wfl_code rc;

    if (!c->dirty || is_busy(c) || c->waiting == NULL) return;
    /* Asked for only when the last call's post has run: there is one post. */
    if (c->woken) {
        c->woken = false;
        wfl_watch_again(c->hub->server->store, &c->watch);
    }
    c->dirty = false;
    c->reading = true;
    c->page = (struct change_page){.read = {.bucket = wfl_slice_of(c->bucket, c->bucket_len),
                                            .bucket_id = c->watch.bucket_id,
                                            .from = WFL_CHANGES_AFTER,
                                            .after = c->tail,
                                            .limit = STREAM_ROWS,
                                            .bytes_max = STREAM_BYTES}};
    c->turn_post = (struct wfl_post){.run = on_page_read, .arg = c};
    c->work = (struct wfl_engine_work){
        .flow = c->watch.bucket_id, .bytes = READ_COST, .run = read_channel_in_pool, .arg = c};
    rc = wfl_engine_work(c->hub->server->engine, &c->work);
    if (rc == WFL_PENDING) return;
    c->reading = false;
    c->dirty = true;
    nudge(c);
}

static void on_wake(struct wfl_post *post)
{
    struct channel *c = post->arg;

    if (c->gone) {
        wfl_alloc_free(&wfl_alloc_libc, c);
        return;
    }
    c->woken = true;
    c->dirty = true;
    look(c);
}

/* Committer. */
static void on_commit(struct wfl_watch *watch)
{
    struct channel *c = watch->arg;

    c->wake_post = (struct wfl_post){.run = on_wake, .arg = c};
    wfl_reactor_post(c->reactor, &c->wake_post);
}

static void take_as_page(struct watch *w, const struct change_page *p,
                         const struct change_wanted *wanted)
{
    struct request *r = w->r;
    wfl_ulid        last, next;

    if (change_page_count(p, wanted) == 0) return;
    wfl_buf_init(&r->text, &wfl_alloc_libc, SIZE_MAX / 2);
    change_page_write(p, wanted, w->format, &r->text, &last, &next);
    answer_text(w);
}

/* The rows of a page into the stream. True: enough for now. */
static bool stream_rows(struct watch *w, const struct change_page *p,
                        const struct change_wanted *wanted)
{
    wfl_ulid next;
    wfl_buf  text;

    wfl_buf_init(&text, &wfl_alloc_libc, SIZE_MAX / 2);
    if (change_page_write(p, wanted, w->format, &text, &w->told, &next) == 0) return false;
    if (wfl_buf_ok(&text)) return send_text(w, &text);
    wfl_buf_fini(&text);
    wfl_fail(&w->r->err, WFL_NOMEM, "a stream of changes: out of memory");
    fail(w);
    return false;
}

static void take(struct watch *w, const struct change_page *p)
{
    struct change_wanted wanted = {.prefix = w->prefix, .after = w->at, .limit = w->limit};

    /* Of a page that could not be read each learns by a request of its own. */
    if (p->rc != WFL_OK || is_over(w)) {
        finish(w);
        return;
    }
    if (is_page(w)) {
        take_as_page(w, p, &wanted);
    } else if (stream_rows(w, p, &wanted)) {
        delist(w);
        w->state = WATCH_DRAINING;
    }
    if (wfl_ulid_cmp(&p->read.next, &w->at) > 0) w->at = p->read.next;
}

static void on_turn(struct wfl_post *post)
{
    deliver(post->arg);
}

static void deliver(struct channel *c)
{
    for (unsigned n = 0; c->cursor != NULL && n < DELIVERIES_A_TURN; n++) {
        struct watch *w = c->cursor;

        c->cursor = w->next;
        take(w, &c->page);
    }
    if (c->cursor != NULL) {
        c->turn_post = (struct wfl_post){.run = on_turn, .arg = c};
        wfl_reactor_post(c->reactor, &c->turn_post);
        return;
    }
    c->delivering = false;
    if (c->page.rc == WFL_OK) {
        c->tail = c->page.read.next;
        c->dirty |= !c->page.read.ended;
    }
    change_page_fini(&c->page);
    look(c);
    check_channel(c);
}

/* ---- a watch's own pages */

static void go_on(struct watch *w, bool ended);

static void read_in_pool(struct wfl_engine_work *work)
{
    struct request      *r = work->arg;
    struct watch        *w = r->watch;
    struct change_wanted all = {.prefix = w->prefix, .limit = w->limit};
    struct change_page  *p = &w->page;
    wfl_ulid             last, next;

    change_page_load(r->server->store, p);
    if (p->rc == WFL_OK && is_page(w) && (p->read.count > 0 || !w->waits)) {
        wfl_buf_init(&r->text, &wfl_alloc_libc, SIZE_MAX / 2);
        change_page_write(p, &all, w->format, &r->text, &last, &next);
    }
    request_done(r);
}

static void begin_stream(struct watch *w)
{
    struct answer a = {0};

    w->begun = true;
    answer_header(&a, WFL_S("content-type"),
                  w->format == CHANGE_EVENTS ? WFL_S("text/event-stream")
                                             : WFL_S("application/x-ndjson"));
    answer_header(&a, WFL_S("cache-control"), WFL_S("no-store"));
    answer_stream(w->r, &a, 200);
    w->comment_ns = now_ns() + COMMENT_NS;
}

static void after_page(struct watch *w)
{
    bool ended = w->page.read.ended;
    bool written = w->page.read.count > 0 || !w->waits;

    w->from = WFL_CHANGES_AFTER;
    w->at = w->page.read.next;
    change_page_fini(&w->page);
    if (written && request_is_revoked(w->r))
        fail(w);
    else if (written)
        answer_text(w);
    else if (is_over(w))
        finish(w);
    else
        go_on(w, ended);
}

static void after_streamed(struct watch *w)
{
    struct change_wanted all = {.prefix = w->prefix, .limit = STREAM_ROWS};
    bool                 ended = w->page.read.ended, enough = false;

    if (!w->begun && request_is_revoked(w->r)) {
        change_page_fini(&w->page);
        fail(w);
        return;
    }
    if (!w->begun) begin_stream(w);
    if (!is_over(w)) enough = stream_rows(w, &w->page, &all);
    w->from = WFL_CHANGES_AFTER;
    w->at = w->page.read.next;
    change_page_fini(&w->page);
    if (w->state == WATCH_ENDED) return; /* no memory */
    if (is_over(w)) {
        finish(w);
    } else if (enough) {
        w->state = WATCH_DRAINING;
        set_timer(w);
    } else {
        go_on(w, ended);
    }
}

static void after_read(struct request *r)
{
    struct watch *w = r->watch;

    if (r->status != 0 && !w->begun) { /* answered meanwhile: the request was broken */
        change_page_fini(&w->page);
        leave(w);
    } else if (w->page.rc != WFL_OK) {
        r->err = w->page.err;
        change_page_fini(&w->page);
        fail(w);
    } else {
        w->looked = true;
        if (is_page(w))
            after_page(w);
        else
            after_streamed(w);
    }
}

static void read_own(struct watch *w)
{
    struct request *r = w->r;
    wfl_code        rc;

    w->state = WATCH_READING;
    w->page = (struct change_page){.rows_only = w->format == CHANGE_WIRE,
                                   .read = {.bucket = r->target.bucket,
                                            .bucket_id = w->bucket_id,
                                            .prefix = w->prefix,
                                            .from = w->from,
                                            .after = w->at,
                                            .limit = is_page(w) ? w->limit : STREAM_ROWS,
                                            .bytes_max = is_page(w) ? PAGE_BYTES : STREAM_BYTES}};
    r->work = (struct wfl_engine_work){
        .flow = w->bucket_id, .bytes = READ_COST, .run = read_in_pool, .arg = r};
    rc = wfl_engine_work(r->server->engine, &r->work);
    if (rc == WFL_PENDING) {
        request_await(r, rc, after_read);
        return;
    }
    wfl_fail(&r->err, rc, "the worker pool is full");
    if (!w->looked) {
        fail(w);
        return;
    }
    w->state = WATCH_LATER;
    set_timer(w);
}

/* Behind what it has: read more, or wait for it. */
static void go_on(struct watch *w, bool ended)
{
    struct channel *c = w->channel;

    if (!is_page(w) && rates_pause(w->r)) { /* it reads for itself when its time has come */
        w->state = WATCH_LATER;
        set_timer(w);
        return;
    }
    if (ended && c->waiting == NULL && !is_busy(c)) c->tail = w->at;
    if (!ended || wfl_ulid_cmp(&w->at, &c->tail) < 0) {
        read_own(w);
        return;
    }
    enlist(w);
    set_timer(w);
    look(c);
}

/* ---- events of the request */

void watch_start(struct watch *w)
{
    struct request *r = w->r;

    r->watch = w;
    w->state = WATCH_ENDED;
    w->expires_sec = r->who.expires_sec; /* the packet's end, or its session's */
    w->deadline_ns = now_ns() + (int64_t)w->wait_ms * 1000000;
    if (w->from == WFL_CHANGES_AFTER) w->told = w->at;
    if (!is_page(w)) w->limit = UINT32_MAX;
    if (wfl_store_bucket_id(r->server->store, r->target.bucket, &w->bucket_id, &r->err) != WFL_OK) {
        fail(w);
        return;
    }
    if (w->waits) {
        wfl_exchange_end_with_peer(r->x);
        if (!join(w)) {
            wfl_fail(&r->err, WFL_NOMEM, "changes: out of memory");
            fail(w);
            return;
        }
    }
    read_own(w);
}

static void send_comment(struct watch *w)
{
    char    id[WFL_ULID_TEXT_LEN + 1];
    wfl_buf text;

    w->comment_ns = now_ns() + COMMENT_NS;
    if (w->format != CHANGE_EVENTS || w->state == WATCH_DRAINING) return;
    wfl_buf_init(&text, &wfl_alloc_libc, 256);
    wfl_buf_add_str(&text, ":\n");
    /* Past what its prefix does not want: else its position could grow old. No event comes of it.
     */
    if (wfl_ulid_cmp(&w->at, &w->told) > 0) {
        wfl_ulid_format(&w->at, id);
        wfl_buf_printf(&text, "id: %s\n", id);
        w->told = w->at;
    }
    wfl_buf_add_str(&text, "\n");
    if (wfl_buf_ok(&text))
        (void)send_text(w, &text);
    else
        wfl_buf_fini(&text);
}

void watch_on_timer(struct request *r)
{
    struct watch *w = r->watch;

    if (w->state == WATCH_READING) return; /* it looks at the time when it is back */
    if (w->state == WATCH_ENDED) {
        if (r->server->stopping)
            wfl_exchange_abort(r->x); /* a stream whose last bytes nobody takes */
        else
            wfl_exchange_set_timer(r->x, now_ns() + END_NS);
        return;
    }
    if (is_over(w)) {
        finish(w);
        return;
    }
    if (w->state == WATCH_LATER) {
        go_on(w, false);
        return;
    }
    if (!is_page(w) && now_ns() >= w->comment_ns) send_comment(w);
    set_timer(w);
    if (w->state == WATCH_WAITING) look(w->channel);
}

/* ---- after a revocation */

static void recheck_channel(struct channel *c)
{
    /* By their timers: ending one may end the channel. */
    for (struct watch *w = c->members; w != NULL; w = w->next_member)
        if (request_is_revoked(w->r)) wfl_exchange_set_timer(w->r->x, now_ns());
}

static void recheck_place(struct wfl_post *post)
{
    struct place *p = post->arg;

    atomic_store(&p->rechecking, false); /* before looking: what comes from now on posts again */
    for (size_t i = 0; i < SLOTS; i++)
        for (struct channel *c = p->table[i]; c != NULL; c = c->next)
            recheck_channel(c);
}

void watch_hub_recheck(struct watch_hub *hub)
{
    for (size_t i = 0; i < WFL_COUNT(hub->places); i++) {
        struct place   *p = &hub->places[i];
        struct reactor *reactor = atomic_load(&p->reactor);

        if (reactor == NULL || atomic_exchange(&p->rechecking, true)) continue;
        p->recheck_post = (struct wfl_post){.run = recheck_place, .arg = p};
        wfl_reactor_post(reactor, &p->recheck_post);
    }
}

void watch_on_drain(struct request *r)
{
    if (r->watch->state == WATCH_DRAINING) read_own(r->watch);
}

void watch_on_end(struct request *r)
{
    leave(r->watch); /* a page that a worker is reading for it goes with the request */
}

void watch_fini(struct request *r)
{
    if (r->watch == NULL) return;
    change_page_fini(&r->watch->page);
    wfl_buf_fini(&r->text);
    r->watch = NULL;
}
