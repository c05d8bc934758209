/* SPDX-License-Identifier: Apache-2.0
 *
 * The change stream: pages of it, and following it. A watch asks for events (text/event-stream),
 * since these also say how far others' changes have come, and that the server is there: every 15 s
 * a comment. Its position is the last event's id, so a new connection goes on exactly behind it.
 * `now` is asked for once, as a page; without that a watch that loses its connection before the
 * first change would begin at another now.
 *
 * Failure: once it has stood, a connection that is lost, silent for SILENCE_MS or refused for the
 * moment is made again, for ever; everything else ends the watch with what the server says. */
#include "client/client_private.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_MAX_BYTES (1u << 20) /* a change of 1024 bytes of key and 32 tags is far below */
#define SILENCE_MS     60000
#define RETRY_MS       200u
#define RETRY_MS_MAX   5000u
#define SLICE_MS       100

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static wfldb_change change_of(const json_t *row, const char *json)
{
    return (wfldb_change){.version = text_of(row, "version"),
                          .op = text_of(row, "op"),
                          .key = text_of(row, "key"),
                          .blake3 = text_of(row, "blake3"),
                          .size = (uint64_t)json_integer_value(json_object_get(row, "size")),
                          .by = text_of(row, "by"),
                          .jti = text_of(row, "jti"),
                          .erased = text_of(row, "erased"),
                          .json = json};
}

static bool is_version(const char *text)
{
    wfl_ulid ulid;

    return wfl_ulid_parse(wfl_slice_str(text), &ulid);
}

/* ---- a page */

void wfldb_change_page_free(wfldb_change_page *p)
{
    for (size_t i = 0; p->items != NULL && i < p->count; i++)
        free((char *)(uintptr_t)p->items[i].json);
    free(p->items);
    json_decref(p->own);
    memset(p, 0, sizeof *p);
}

static int read_page(struct call *c, wfldb_change_page *out)
{
    json_t *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    json_t *list = json_object_get(root, "changes");
    bool    ok;

    memset(out, 0, sizeof *out);
    if (!json_is_array(list) || !is_version(text_of(root, "next"))) {
        json_decref(root);
        return call_fail(c, "answer", "the changes are not understood; check the endpoint");
    }
    out->own = root;
    snprintf(out->next, sizeof out->next, "%s", text_of(root, "next"));
    out->count = json_array_size(list);
    out->items = calloc(out->count + 1, sizeof *out->items);
    ok = out->items != NULL;
    for (size_t i = 0; ok && i < out->count; i++) {
        const json_t *row = json_array_get(list, i);
        char         *json = json_dumps(row, JSON_COMPACT | JSON_PRESERVE_ORDER);

        out->items[i] = change_of(row, json);
        ok = json != NULL;
    }
    if (ok) return 0;
    wfldb_change_page_free(out);
    return call_fail(c, "memory", "out of memory");
}

static void add_number(struct call *c, const char *name, int value, char text[16])
{
    snprintf(text, 16, "%d", value);
    call_param(c, name, value == 0 ? NULL : text);
}

int wfldb_changes(wfldb *db, const char *bucket, const wfldb_changes_options *options,
                  wfldb_change_page *out, wfldb_error *err)
{
    const wfldb_changes_options none = {0}, *o = options == NULL ? &none : options;
    struct call                 c;
    char                        limit[16], wait[16];
    int                         rc;

    call_init(&c, db, "GET", bucket, "changes", err);
    call_param(&c, "after", o->after);
    call_param(&c, "prefix", o->prefix);
    add_number(&c, "limit", o->limit, limit);
    add_number(&c, "wait", o->wait_s, wait);
    c.patient = o->wait_s > 0; /* silent it may be for as long as that */
    rc = call_send(&c);
    if (rc == 0) rc = read_page(&c, out);
    call_fini(&c);
    return rc;
}

/* ---- events, out of the pieces that come (WHATWG, server-sent events) */

struct events {
    const wfldb_changes_options *options;
    int (*change)(void *ctx, const wfldb_change *c);
    void *ctx;

    char        position[32]; /* "": from the oldest kept */
    char        id[32];       /* of the event that comes */
    wfl_buf     line, data;
    bool        stood;   /* the server has said yes */
    bool        moved;   /* something has come since */
    bool        stopped; /* the caller said so */
    bool        silent;
    const char *wrong; /* what came is no stream of changes */
    int64_t     heard_ms;

    const struct call *call; /* under way */
    bool               lost; /* it was connected, and is not now; */
    wfldb_error        why;
};

static int64_t now_ms(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system) / 1000000;
}

static bool tick(struct events *e)
{
    const wfldb_changes_options *o = e->options;
    const wfldb_error           *why = e->lost ? &e->why : NULL;

    if (o->tick != NULL && o->tick(o->tick_ctx, e->position, why) != 0) e->stopped = true;
    return e->stopped;
}

static void end_event(struct events *e)
{
    json_error_t at;
    json_t      *row;
    wfldb_change change;

    if (e->data.len > 0) {
        wfl_buf_add_u8(&e->data, '\0');
        row = wfl_buf_ok(&e->data) ? json_loads((const char *)e->data.data, 0, &at) : NULL;
        change = change_of(row, (const char *)e->data.data);
        if (!wfl_buf_ok(&e->data) ||
            (row == NULL && json_error_code(&at) == json_error_out_of_memory)) {
            e->line.failed = true;
        } else if (!is_version(change.version) || change.op[0] == '\0') {
            e->wrong = "a change is not understood; check the endpoint";
        } else {
            snprintf(e->id, sizeof e->id, "%s", change.version);
            e->stopped = e->change(e->ctx, &change) != 0;
        }
        json_decref(row);
    }
    e->data.len = 0;
    /* A change that the caller did not take stays behind the position. */
    if (e->id[0] != '\0' && !e->stopped && e->wrong == NULL && !e->line.failed)
        memcpy(e->position, e->id, sizeof e->position);
    e->id[0] = '\0';
}

static void take_line(struct events *e)
{
    wfl_slice value = wfl_buf_slice(&e->line), field;

    if (value.len > 0 && value.data[value.len - 1] == '\r') value.len--;
    if (value.len == 0) {
        end_event(e);
        return;
    }
    (void)wfl_slice_split(&value, ':', &field);
    if (value.len > 0 && value.data[0] == ' ') value = wfl_slice_of(value.data + 1, value.len - 1);
    if (wfl_slice_eq(field, WFL_S("data"))) {
        /* Between lines of JSON white space is as good as their end, and keeps it one line. */
        if (e->data.len > 0) wfl_buf_add_u8(&e->data, ' ');
        wfl_buf_add(&e->data, value);
    } else if (wfl_slice_eq(field, WFL_S("id"))) {
        snprintf(e->id, sizeof e->id, "%.*s", WFL_FMT(value));
        if (!is_version(e->id)) e->wrong = "a position is not understood; check the endpoint";
    }
}

static bool can_go_on(const struct events *e)
{
    return !e->stopped && e->wrong == NULL && wfl_buf_ok(&e->line) && wfl_buf_ok(&e->data);
}

static int on_piece(void *ctx, const void *data, size_t len)
{
    struct events *e = ctx;
    wfl_slice      rest = wfl_slice_of(data, len), line;

    e->moved = true;
    e->heard_ms = now_ms();
    while (rest.len > 0 && can_go_on(e)) {
        bool whole = wfl_slice_split(&rest, '\n', &line);

        wfl_buf_add(&e->line, line);
        if (!whole) break;
        if (can_go_on(e)) take_line(e);
        if (can_go_on(e)) e->line.len = 0;
    }
    return can_go_on(e) ? 0 : -1;
}

/* ---- a connection, and the next one */

static bool is_event_stream(const struct call *c)
{
    return wfl_slice_starts_with(call_answer_header(c, "content-type"), WFL_S("text/event-stream"));
}

static int on_tick(void *ctx, uint64_t moved)
{
    struct events *e = ctx;

    (void)moved;
    e->silent = now_ms() - e->heard_ms > SILENCE_MS;
    if (is_event_stream(e->call)) e->lost = false;
    return tick(e) || e->silent;
}

/* 0: it has ended as streams do; -1: err says why. */
static int follow_once(struct events *e, wfldb *db, const char *bucket, wfldb_error *err)
{
    struct call c;
    int         rc;

    wfl_buf_init(&e->line, &wfl_alloc_libc, LINE_MAX_BYTES);
    wfl_buf_init(&e->data, &wfl_alloc_libc, LINE_MAX_BYTES);
    e->id[0] = '\0';
    e->moved = e->silent = false;
    e->heard_ms = now_ms();
    call_init(&c, db, "GET", bucket, "changes", err);
    call_header(&c, "Accept", WFL_S("text/event-stream"));
    call_param(&c, "after", e->position[0] == '\0' ? NULL : e->position);
    call_param(&c, "prefix", e->options->prefix);
    c.sink = on_piece;
    c.ctx = e;
    c.watch = on_tick;
    c.watch_ctx = e;
    c.endless = true;
    e->call = &c;
    rc = call_send(&c);
    e->call = NULL;
    if (is_event_stream(&c))
        e->stood = true;
    else if (rc == 0)
        e->wrong = "this is no stream; check the endpoint";
    if (e->stopped)
        rc = call_fail(&c, "stopped", "stopped by the caller");
    else if (e->wrong != NULL)
        rc = call_fail(&c, "answer", e->wrong);
    else if (!wfl_buf_ok(&e->line) || !wfl_buf_ok(&e->data))
        rc = call_fail(&c, "memory", "out of memory, or a line that no change has");
    else if (e->silent)
        rc = call_fail(&c, "connection", "the server is silent");
    call_fini(&c);
    wfl_buf_fini(&e->line);
    wfl_buf_fini(&e->data);
    return rc;
}

static bool is_passing(const wfldb_error *err)
{
    return strcmp(err->code, "connection") == 0 || strcmp(err->code, "replayed") == 0 ||
           err->status == 408 || err->status == 429 || err->status == 503;
}

/* False: the caller has stopped it. */
static bool wait_to_retry(struct events *e, unsigned ms)
{
    int64_t until = now_ms() + ms;

    do {
        int64_t left = until - now_ms();

        if (tick(e)) return false;
        if (left > 0) (void)poll(NULL, 0, left < SLICE_MS ? (int)left : SLICE_MS);
    } while (now_ms() < until);
    return true;
}

static unsigned pause_ms(const wfldb *db, const wfldb_error *err, unsigned attempt)
{
    unsigned ms = RETRY_MS << (attempt < 6 ? attempt - 1 : 5);
    unsigned asked = err->status == 0 ? 0 : call_retry_after(db) * 1000;

    if (ms > RETRY_MS_MAX) ms = RETRY_MS_MAX;
    return asked > ms ? asked : ms;
}

static int follow(struct events *e, wfldb *db, const char *bucket, wfldb_error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        int rc = follow_once(e, db, bucket, err);

        if (e->stopped || (rc != 0 && (!e->stood || !is_passing(err)))) return -1;
        if (e->moved) attempt = 1;
        e->lost = rc != 0;
        e->why = *err;
        if (!wait_to_retry(e, pause_ms(db, err, attempt))) {
            struct call c = {.err = err};

            return call_fail(&c, "stopped", "stopped by the caller");
        }
    }
}

int wfldb_watch(wfldb *db, const char *bucket, const wfldb_changes_options *options,
                int (*change)(void *ctx, const wfldb_change *c), void *ctx, wfldb_error *err)
{
    const wfldb_changes_options none = {0}, *o = options == NULL ? &none : options;
    struct events               e = {.options = o, .change = change, .ctx = ctx};
    const char                 *after = o->after;
    wfldb_change_page           page;

    if (after != NULL && strcmp(after, "now") == 0) {
        if (wfldb_changes(db, bucket, &(wfldb_changes_options){.after = "now", .prefix = o->prefix},
                          &page, err) != 0)
            return -1;
        memcpy(e.position, page.next, sizeof e.position);
        wfldb_change_page_free(&page);
    } else if (after != NULL) {
        if (!is_version(after)) {
            struct call c = {.err = err};

            memset(err, 0, sizeof *err);
            return call_fail(&c, "request", "a position is a version, or now");
        }
        snprintf(e.position, sizeof e.position, "%s", after);
    }
    return follow(&e, db, bucket, err);
}
