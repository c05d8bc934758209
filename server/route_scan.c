/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/{bucket}/scan: one page of an ordered listing. Pages with contents are put into JSON in
 * the worker pool: 8 MiB of base64 would hold a reactor for milliseconds. */
#include "server/server.h"

#define PAGE_BYTES_MAX (64u << 20)
#define LIMIT_DEFAULT  100

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

static wfl_code read_include(wfl_slice list, struct wfl_scan *op, wfl_error *err)
{
    bool more = list.len > 0;

    while (more) {
        wfl_slice word;

        more = wfl_slice_split(&list, ',', &word);
        if (wfl_slice_eq(word, WFL_S("meta"))) {
            op->with_meta = true;
        } else if (wfl_slice_eq(word, WFL_S("tags"))) {
            op->with_tags = true;
        } else if (wfl_slice_eq(word, WFL_S("value"))) {
            op->with_value = true;
        } else {
            return wfl_fail(err, WFL_INVALID_QUERY, "include takes any of meta,tags,value");
        }
    }
    return WFL_OK;
}

static wfl_code check_key_bytes(const struct wfl_param *p, wfl_error *err)
{
    if (p->value.len <= WFL_KEY_MAX && wfl_utf8_valid(p->value)) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_QUERY, "%s must be valid UTF-8 of at most %d bytes", p->name,
                    WFL_KEY_MAX);
}

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
    uint64_t limit = LIMIT_DEFAULT;
    wfl_code rc = wfl_query_parse(request_head(r)->query, p, PARAM_COUNT, request_arena(r), err);

    for (int i = PARAM_PREFIX; i <= PARAM_END && rc == WFL_OK; i++)
        rc = check_key_bytes(&p[i], err);
    if (rc != WFL_OK) return rc;
    if (p[PARAM_LIMIT].given &&
        (!wfl_slice_to_u64(p[PARAM_LIMIT].value, WFL_SCAN_LIMIT_MAX, &limit) || limit == 0)) {
        return wfl_fail(err, WFL_INVALID_QUERY, "limit is a whole number from 1 to %d",
                        WFL_SCAN_LIMIT_MAX);
    }
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
    if (p[PARAM_CURSOR].given && p[PARAM_CURSOR].value.len == 0) {
        return wfl_fail(err, WFL_INVALID_QUERY, "cursor is empty; leave it out for the first page");
    }
    if (p[PARAM_AT].given && !wfl_moment_parse(p[PARAM_AT].value, &op->moment)) {
        return wfl_fail(err, WFL_INVALID_QUERY, "at is a version or an RFC 3339 time");
    }
    op->prefix = p[PARAM_PREFIX].value;
    op->after = p[PARAM_AFTER].value;
    op->end = p[PARAM_END].value;
    op->limit = (uint32_t)limit;
    op->delimiter = p[PARAM_DELIMITER].value;
    op->cursor = p[PARAM_CURSOR].value;
    return read_include(p[PARAM_INCLUDE].value, op, err);
}

/* ---- the page */

static void write_pairs(wfl_json *json, const char *name, const struct wfl_name_value *pairs,
                        uint32_t count)
{
    wfl_json_key(json, name);
    wfl_json_object(json);
    for (uint32_t i = 0; i < count; i++) {
        wfl_json_key_slice(json, pairs[i].name);
        wfl_json_str(json, pairs[i].value);
    }
    wfl_json_end(json);
}

static void write_value(wfl_json *json, wfl_slice value)
{
    char *text = wfl_alloc_get(&wfl_alloc_libc, WFL_B64_LEN(value.len) + 1);

    wfl_json_key(json, "value");
    if (text == NULL) {
        json->out->failed = true;
        wfl_json_null(json);
        return;
    }
    wfl_b64_encode(value, text);
    wfl_json_cstr(json, text);
    wfl_alloc_free(&wfl_alloc_libc, text);
}

static void write_item(wfl_json *json, const struct wfl_scan *op, const struct wfl_scan_item *item)
{
    char text[65];

    wfl_json_object(json);
    wfl_json_key(json, "key");
    wfl_json_str(json, item->key);
    wfl_ulid_format(&item->object.version, text);
    wfl_json_key(json, "version");
    wfl_json_cstr(json, text);
    wfl_json_key(json, "size");
    wfl_json_u64(json, item->object.size);
    wfl_hex_encode(wfl_slice_of(item->object.blake3.bytes, WFL_HASH_LEN), text);
    wfl_json_key(json, "blake3");
    wfl_json_cstr(json, text);
    wfl_json_key(json, "content_type");
    wfl_json_str(json, item->object.content_type);
    wfl_time_format_ms(wfl_ulid_ms(&item->object.version), text);
    wfl_json_key(json, "modified");
    wfl_json_cstr(json, text);
    if (op->with_meta) write_pairs(json, "meta", item->object.meta, item->object.meta_count);
    if (op->with_tags) write_pairs(json, "tags", item->object.tags, item->object.tag_count);
    if (item->has_value) write_value(json, item->value);
    wfl_json_end(json);
}

static void write_page(struct request *r)
{
    const struct wfl_scan *op = &r->op.scan;
    char                   at[WFL_ULID_TEXT_LEN + 1];
    wfl_json               json;

    wfl_buf_init(&r->text, &wfl_alloc_libc, PAGE_BYTES_MAX);
    wfl_json_init(&json, &r->text);
    wfl_json_object(&json);
    wfl_json_key(&json, "items");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < op->item_count; i++)
        write_item(&json, op, &op->items[i]);
    wfl_json_end(&json);
    wfl_json_key(&json, "prefixes");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < op->prefix_count; i++)
        wfl_json_str(&json, op->prefixes[i]);
    wfl_json_end(&json);
    wfl_ulid_format(&op->at, at);
    wfl_json_key(&json, "at");
    wfl_json_cstr(&json, at);
    if (op->next.len > 0) {
        wfl_json_key(&json, "cursor");
        wfl_json_str(&json, op->next);
    }
    wfl_json_end(&json);
}

static void send_page(struct request *r)
{
    struct answer a = {0};

    answer_json(r, &a, 200, &r->text);
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
            request_await(r, rc, send_page);
            return;
        }
        wfl_fail(&r->err, rc, "listing: the worker pool is full");
        answer_problem(r, NULL, &r->err);
        return;
    }
    write_page(r);
    send_page(r);
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
