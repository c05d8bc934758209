/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/{bucket}/scan: one page of an ordered listing. Pages with contents are put into JSON in
 * the worker pool: 8 MiB of base64 would hold a reactor for milliseconds. */
#include "server/listing.h"
#include "server/server.h"

enum {
    PARAM_PREFIX,
    PARAM_AFTER,
    PARAM_END,
    PARAM_LIMIT,
    PARAM_DELIMITER,
    PARAM_REVERSE,
    PARAM_CURSOR,
    PARAM_INCLUDE,
    PARAM_AT,
    PARAM_COUNT
};

/* ---- the question */

static wfl_code read_question(struct request *r, struct wfl_scan *op, wfl_error *err)
{
    struct wfl_param p[PARAM_COUNT] = {
        [PARAM_PREFIX] = {.name = "prefix"},
        [PARAM_AFTER] = {.name = "after"},
        [PARAM_END] = {.name = "end"},
        [PARAM_LIMIT] = {.name = "limit"},
        [PARAM_DELIMITER] = {.name = "delimiter"},
        [PARAM_REVERSE] = {.name = "reverse"},
        [PARAM_CURSOR] = {.name = "cursor"},
        [PARAM_INCLUDE] = {.name = "include"},
        [PARAM_AT] = {.name = "at"},
    };
    struct listing_include include = {0};
    wfl_code rc = wfl_query_parse(request_query(r), p, PARAM_COUNT, request_arena(r), err);

    for (int i = PARAM_PREFIX; i <= PARAM_END && rc == WFL_OK; i++)
        rc = listing_check_key_bytes(&p[i], err);
    if (rc == WFL_OK) rc = listing_read_limit(&p[PARAM_LIMIT], &op->limit, err);
    if (rc != WFL_OK) return rc;
    if (p[PARAM_DELIMITER].given &&
        (p[PARAM_DELIMITER].value.len == 0 ||
         wfl_utf8_first(p[PARAM_DELIMITER].value) != p[PARAM_DELIMITER].value.len)) {
        return wfl_fail(err, WFL_INVALID_QUERY, "delimiter is one character");
    }
    if (p[PARAM_REVERSE].given) {
        op->reverse = wfl_slice_eq(p[PARAM_REVERSE].value, WFL_S("true"));
        if (!op->reverse && !wfl_slice_eq(p[PARAM_REVERSE].value, WFL_S("false"))) {
            return wfl_fail(err, WFL_INVALID_QUERY, "reverse is true or false");
        }
    }
    if (p[PARAM_AT].given && !wfl_moment_parse(p[PARAM_AT].value, &op->moment)) {
        return wfl_fail(err, WFL_INVALID_QUERY, "at is a version or an RFC 3339 time");
    }
    rc = listing_read_cursor(&p[PARAM_CURSOR], &op->cursor, err);
    if (rc == WFL_OK) rc = listing_read_include(&p[PARAM_INCLUDE], &include, err);
    op->prefix = p[PARAM_PREFIX].value;
    op->after = p[PARAM_AFTER].value;
    op->end = p[PARAM_END].value;
    op->delimiter = p[PARAM_DELIMITER].value;
    op->with_meta = include.meta;
    op->with_tags = include.tags;
    op->with_value = include.value;
    return rc;
}

/* ---- the page */

static void write_page(struct request *r)
{
    const struct wfl_scan *op = &r->op.scan;
    struct listing_page    page = {
           .items = op->items,
           .count = op->item_count,
           .include = {op->with_meta, op->with_tags, op->with_value},
           .has_prefixes = true,
           .prefixes = op->prefixes,
           .prefix_count = op->prefix_count,
           .at = op->at,
           .next = op->next,
    };

    listing_write(r, &page);
}

static void write_page_in_pool(struct wfl_engine_work *work)
{
    write_page(work->arg);
    request_done(work->arg);
}

static void resume_scan(struct request *r)
{
    struct wfl_scan *op = &r->op.scan;

    if (op->rc != WFL_OK) {
        answer_problem(r, NULL, &op->err);
        return;
    }
    if (op->with_value) {
        r->work = (struct wfl_engine_work){
            .bytes = WFL_SCAN_PAGE_VALUE_BYTES_MAX, .run = write_page_in_pool, .arg = r};
        wfl_code rc = wfl_engine_work(r->server->engine, &r->work);
        if (rc == WFL_PENDING) {
            request_await(r, rc, listing_answer);
            return;
        }
        wfl_fail(&r->err, rc, "listing: the worker pool is full");
        answer_problem(r, NULL, &r->err);
        return;
    }
    write_page(r);
    listing_answer(r);
}

static void release_scan(struct request *r)
{
    wfl_scan_fini(&r->op.scan);
    wfl_buf_fini(&r->text);
}

static void scan_done(struct wfl_scan *op)
{
    request_done(op->arg);
}

void route_scan(struct request *r)
{
    struct wfl_scan *op = &r->op.scan;

    if (!wfl_slice_eq(request_head(r)->method, WFL_S("GET"))) {
        answer_not_allowed(r, "GET");
        return;
    }
    *op = (struct wfl_scan){.bucket = r->target.bucket, .done = scan_done, .arg = r};
    if (read_question(r, op, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_permit(r, WFL_OP_SCAN, op->bucket, op->prefix)) return;
    r->release = release_scan;
    request_await(r, wfl_store_scan(r->server->store, op), resume_scan);
}
