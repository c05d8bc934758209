/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/{bucket}/changes: the question, judged; the rest is watch.c's. Last-Event-ID holds before
 * `after`: a browser that reconnects repeats its first target and adds how far it came. */
#include "server/accept.h"
#include "server/watch.h"
#include "server/wire.h"

#define LIMIT_DEFAULT 100
#define WAIT_MAX      60

enum { PARAM_AFTER, PARAM_PREFIX, PARAM_LIMIT, PARAM_WAIT, PARAM_COUNT };

static enum change_format read_format(const struct request *r)
{
    static const struct {
        wfl_slice          type;
        enum change_format format;
    } rows[] = {
        {WFL_LIT("application/json"), CHANGE_PAGE},
        {WFL_LIT(WIRE_TYPE), CHANGE_WIRE},
        {WFL_LIT("text/event-stream"), CHANGE_EVENTS},
        {WFL_LIT("application/x-ndjson"), CHANGE_LINES},
    };
    wfl_slice types[WFL_COUNT(rows)];

    for (size_t i = 0; i < WFL_COUNT(rows); i++)
        types[i] = rows[i].type;
    return rows[accept_choose(request_head(r), types, WFL_COUNT(rows))].format;
}

static wfl_code read_number(const struct wfl_param *p, uint64_t min, uint64_t max, uint64_t *out,
                            wfl_error *err)
{
    if (!p->given) return WFL_OK;
    if (wfl_slice_to_u64(p->value, max, out) && *out >= min) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_QUERY, "%s is a whole number from %d to %d", p->name, (int)min,
                    (int)max);
}

static wfl_code read_after(const struct wfl_param *p, struct watch *w, wfl_error *err)
{
    if (!p->given) return WFL_OK;
    if (wfl_slice_eq(p->value, WFL_S("now"))) {
        w->from = WFL_CHANGES_END;
        return WFL_OK;
    }
    if (!wfl_ulid_parse(p->value, &w->at))
        return wfl_fail(err, WFL_INVALID_QUERY, "after is a version, or now");
    w->from = WFL_CHANGES_AFTER;
    return WFL_OK;
}

static wfl_code read_last_event(struct request *r, struct watch *w, wfl_error *err)
{
    const struct wfl_header *h = wfl_request_header(request_head(r), WFL_S("last-event-id"));

    if (h == NULL || h->value.len == 0 || w->format != CHANGE_EVENTS) return WFL_OK;
    if (!wfl_ulid_parse(h->value, &w->at))
        return wfl_fail(err, WFL_INVALID_HEADER, "Last-Event-ID is a version");
    w->from = WFL_CHANGES_AFTER;
    return WFL_OK;
}

static wfl_code read_question(struct request *r, struct watch *w, wfl_error *err)
{
    struct wfl_param p[PARAM_COUNT] = {
        [PARAM_AFTER] = {.name = "after"},
        [PARAM_PREFIX] = {.name = "prefix"},
        [PARAM_LIMIT] = {.name = "limit"},
        [PARAM_WAIT] = {.name = "wait"},
    };
    uint64_t limit = LIMIT_DEFAULT, wait = 0;
    wfl_code rc = wfl_query_parse(request_query(r), p, PARAM_COUNT, request_arena(r), err);

    w->format = read_format(r);
    if (rc == WFL_OK) rc = read_after(&p[PARAM_AFTER], w, err);
    if (rc == WFL_OK) rc = read_number(&p[PARAM_LIMIT], 1, WFL_CHANGES_LIMIT_MAX, &limit, err);
    if (rc == WFL_OK) rc = read_number(&p[PARAM_WAIT], 0, WAIT_MAX, &wait, err);
    if (rc == WFL_OK) rc = read_last_event(r, w, err);
    if (rc != WFL_OK) return rc;
    w->prefix = p[PARAM_PREFIX].value;
    if (w->prefix.len > WFL_KEY_MAX || !wfl_utf8_valid(w->prefix))
        return wfl_fail(err, WFL_INVALID_QUERY, "prefix must be valid UTF-8 of at most %d bytes",
                        WFL_KEY_MAX);
    w->limit = (uint32_t)limit;
    w->wait_ms = wait * 1000;
    w->waits = wait > 0 || !change_format_is_page(w->format);
    return WFL_OK;
}

void route_changes(struct request *r)
{
    struct watch *w;

    if (!wfl_slice_eq(request_head(r)->method, WFL_S("GET"))) {
        answer_not_allowed(r, "GET");
        return;
    }
    w = wfl_arena_zero(request_arena(r), 1, sizeof *w);
    if (w == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "changes: out of memory");
        answer_problem(r, NULL, &r->err);
        return;
    }
    w->r = r;
    if (read_question(r, w, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (request_permit(r, WFL_OP_WATCH, r->target.bucket, w->prefix)) watch_start(w);
}
