/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/{bucket}/query: one page of the objects that have some tags. All of it is done in the
 * worker pool, step by step: a long query goes to the end of its bucket's line after each, so that
 * others have their turn. The last step puts the page into JSON. */
#include "server/listing.h"
#include "server/server.h"

#define STEP_BYTES (256u << 10) /* about what a step reads */

enum { PARAM_PREFIX, PARAM_LIMIT, PARAM_CURSOR, PARAM_INCLUDE, PARAM_COUNT };

static wfl_code read_question(struct request *r, struct wfl_tag_query *op, wfl_error *err)
{
    struct wfl_param p[PARAM_COUNT] = {
        [PARAM_PREFIX] = {.name = "prefix"},
        [PARAM_LIMIT] = {.name = "limit"},
        [PARAM_CURSOR] = {.name = "cursor"},
        [PARAM_INCLUDE] = {.name = "include"},
    };
    struct listing_include include = {0};
    wfl_code rc = wfl_query_parse_tags(request_query(r), p, PARAM_COUNT, op, request_arena(r), err);

    if (rc == WFL_OK) rc = listing_check_key_bytes(&p[PARAM_PREFIX], err);
    if (rc == WFL_OK) rc = listing_read_limit(&p[PARAM_LIMIT], &op->limit, err);
    if (rc == WFL_OK) rc = listing_read_cursor(&p[PARAM_CURSOR], &op->cursor, err);
    if (rc == WFL_OK) rc = listing_read_include(&p[PARAM_INCLUDE], &include, err);
    if (rc != WFL_OK) return rc;
    op->prefix = p[PARAM_PREFIX].value;
    op->with_meta = include.meta;
    op->with_tags = include.tags;
    op->with_value = include.value;
    return wfl_tag_query_check(op, err);
}

static void write_page(struct request *r)
{
    const struct wfl_tag_query *op = &r->op.query.question;
    struct listing_page         page = {
                .items = op->items,
                .count = op->item_count,
                .include = {op->with_meta, op->with_tags, op->with_value},
                .at = op->at,
                .next = op->next,
    };

    listing_write(r, &page);
}

static void step_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    r->op.query.rc = wfl_tag_query_step(&r->op.query.question, &r->op.query.ended);
    if (r->op.query.rc == WFL_OK && r->op.query.ended) write_page(r);
    request_done(r);
}

static void resume_query(struct request *r);

static void go_on(struct request *r)
{
    const struct wfl_tag_query *op = &r->op.query.question;

    request_work(r, wfl_tag_query_flow(op),
                 op->with_value ? WFL_SCAN_PAGE_VALUE_BYTES_MAX : STEP_BYTES, step_in_pool,
                 resume_query);
}

static void resume_query(struct request *r)
{
    if (r->op.query.rc != WFL_OK)
        answer_problem(r, NULL, &r->op.query.question.err);
    else if (r->op.query.ended)
        listing_answer(r);
    else
        go_on(r);
}

static void release_query(struct request *r)
{
    wfl_tag_query_fini(&r->op.query.question);
    wfl_buf_fini(&r->text);
}

void route_query(struct request *r)
{
    struct wfl_tag_query *op = &r->op.query.question;

    if (!wfl_slice_eq(request_head(r)->method, WFL_S("GET"))) {
        answer_not_allowed(r, "GET");
        return;
    }
    *op = (struct wfl_tag_query){.bucket = r->target.bucket};
    if (read_question(r, op, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_permit(r, WFL_OP_SCAN, op->bucket, op->prefix)) return;
    r->release = release_query;
    if (wfl_tag_query_begin(r->server->store, op) == WFL_OK)
        go_on(r);
    else
        answer_problem(r, NULL, &op->err);
}
