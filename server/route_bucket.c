/* SPDX-License-Identifier: Apache-2.0
 *
 * The list of buckets, and a bucket's creation, document, settings and deletion. */
#include "server/wire.h"

#define SETTINGS_BYTES_MAX (64u << 10)
#define LIST_BYTES_MAX     (64u << 20)

/* ---- GET /v1/ */

static bool reached(void *ctx, wfl_slice name)
{
    return wfl_packet_reaches(ctx, name);
}

void route_buckets(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    struct answer             a = {0};
    wfl_slice                *names;
    uint32_t                  count;
    wfl_buf                   text;
    wfl_json                  json;

    if (!wfl_slice_eq(head->method, WFL_S("GET"))) {
        answer_not_allowed(r, "GET");
        return;
    }
    if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (request_admit(r, &r->err) != WFL_OK ||
        wfl_store_bucket_list(r->server->store, reached, (void *)r->who.packet, request_arena(r),
                              &names, &count, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (wire_wanted(r)) {
        wire_answer_buckets(r, names, count);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, LIST_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "buckets");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < count; i++) {
        wfl_json_object(&json);
        wfl_json_key(&json, "name");
        wfl_json_str(&json, names[i]);
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

/* ---- a bucket's document */

static void answer_document(struct request *r, int status, const struct wfl_bucket_info *info)
{
    struct answer a = {0};
    char          version[WFL_ULID_TEXT_LEN + 1];
    wfl_buf       text;
    wfl_json      json;

    if (wire_wanted(r)) {
        wire_answer_bucket(r, status, info);
        return;
    }
    wfl_ulid_format(&info->version, version);
    wfl_buf_init(&text, &wfl_alloc_libc, SETTINGS_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "name");
    wfl_json_str(&json, info->name);
    wfl_json_key(&json, "settings");
    wfl_settings_write(&info->settings, &json);
    wfl_json_key(&json, "objects");
    wfl_json_u64(&json, info->objects);
    wfl_json_key(&json, "bytes");
    wfl_json_u64(&json, info->bytes);
    wfl_json_key(&json, "version");
    wfl_json_cstr(&json, version);
    wfl_json_end(&json);
    answer_json(r, &a, status, &text);
}

static void bucket_done(struct wfl_bucket_op *op)
{
    request_done(op->arg);
}

/* The settings of the body as JSON. The document is small: hashing it here costs nothing worth a
 * trip elsewhere. */
static wfl_code take_settings(struct request *r, bool patch, wfl_slice *json)
{
    wfl_slice body = wfl_slice_of(r->body, r->body_len);

    if (!request_digest_matches(r, body, NULL))
        return wfl_fail(&r->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
    request_once_body(r, body);
    *json = body;
    if (!wire_sent(r)) return WFL_OK;
    return wire_settings_text(body, patch, request_arena(r), json, &r->err);
}

/* ---- PUT */

static void answer_create(struct request *r)
{
    if (r->verdict == WFL_OK)
        answer_document(r, 201, &r->op.bucket.info);
    else
        answer_problem(r, NULL, &r->err);
}

static void resume_create(struct request *r)
{
    request_conclude(r, r->op.bucket.rc, &r->op.bucket.err, answer_create);
}

static void create_with_body(struct request *r)
{
    struct wfl_bucket_op *op = &r->op.bucket;
    wfl_slice             json;

    if (take_settings(r, false, &json) != WFL_OK ||
        wfl_settings_parse(json, &op->settings, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    request_await(r, wfl_store_bucket_create(r->server->store, op), resume_create);
}

static void create_bucket(struct request *r)
{
    r->op.bucket = (struct wfl_bucket_op){.name = r->target.bucket, .done = bucket_done, .arg = r};
    if (!request_durability(r, &r->op.bucket.durability)) return;
    if (!request_permit_write(r, WFL_OP_MANAGE, r->target.bucket, (wfl_slice){0})) return;
    r->op.bucket.once = request_once(r);
    request_read_body(r, SETTINGS_BYTES_MAX, create_with_body);
}

/* ---- DELETE */

static void answer_delete(struct request *r)
{
    struct answer a = {0};

    if (r->verdict == WFL_OK)
        answer_send(r, &a, 204, (wfl_slice){0});
    else
        answer_problem(r, NULL, &r->err);
}

static void resume_delete(struct request *r)
{
    request_conclude(r, r->op.bucket.rc, &r->op.bucket.err, answer_delete);
}

static void delete_bucket(struct request *r)
{
    r->op.bucket = (struct wfl_bucket_op){.name = r->target.bucket, .done = bucket_done, .arg = r};
    if (!request_durability(r, &r->op.bucket.durability)) return;
    if (!request_permit_write(r, WFL_OP_MANAGE, r->target.bucket, (wfl_slice){0})) return;
    r->op.bucket.once = request_once(r);
    request_await(r, wfl_store_bucket_delete(r->server->store, &r->op.bucket), resume_delete);
}

/* ---- PATCH */

static void answer_patch(struct request *r)
{
    if (r->verdict == WFL_OK)
        answer_document(r, 200, &r->op.bucket.info);
    else
        answer_problem(r, NULL, &r->err);
}

static void resume_patch(struct request *r)
{
    request_conclude(r, r->op.bucket.rc, &r->op.bucket.err, answer_patch);
}

static void patch_with_body(struct request *r)
{
    if (take_settings(r, true, &r->op.bucket.patch) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    request_await(r, wfl_store_bucket_patch(r->server->store, &r->op.bucket), resume_patch);
}

static void patch_bucket(struct request *r)
{
    r->op.bucket = (struct wfl_bucket_op){.name = r->target.bucket, .done = bucket_done, .arg = r};
    if (!request_durability(r, &r->op.bucket.durability)) return;
    if (!request_permit_write(r, WFL_OP_MANAGE, r->target.bucket, (wfl_slice){0})) return;
    r->op.bucket.once = request_once(r);
    request_read_body(r, SETTINGS_BYTES_MAX, patch_with_body);
}

static void get_bucket(struct request *r)
{
    struct wfl_bucket_info info;

    if (!request_permit(r, WFL_OP_MANAGE, r->target.bucket, (wfl_slice){0})) return;
    if (wfl_store_bucket_info(r->server->store, r->target.bucket, request_arena(r), &info,
                              &r->err) == WFL_OK)
        answer_document(r, 200, &info);
    else
        answer_problem(r, NULL, &r->err);
}

void route_bucket(struct request *r)
{
    static const struct {
        wfl_slice method;
        void (*run)(struct request *r);
    } methods[] = {
        {WFL_LIT("GET"), get_bucket},
        {WFL_LIT("PUT"), create_bucket},
        {WFL_LIT("PATCH"), patch_bucket},
        {WFL_LIT("DELETE"), delete_bucket},
    };
    const struct wfl_request *head = request_head(r);
    size_t                    m = 0;

    if (request_query(r).len > 0) {
        route_uploads(r); /* the only query that a bucket has */
        return;
    }
    while (m < WFL_COUNT(methods) && !wfl_slice_eq(head->method, methods[m].method))
        m++;
    if (m == WFL_COUNT(methods))
        answer_not_allowed(r, WFL_BUCKET_METHODS);
    else
        methods[m].run(r);
}
