/* SPDX-License-Identifier: Apache-2.0
 *
 * PUT, GET, HEAD and DELETE of an object. A PUT's body is received whole where it is small, and
 * streamed into the store's chunks where it is not (intake.c); it is named by the store only when
 * all of it has come and compared well with what was declared. A GET's content stays pinned in the
 * store and is written from there, chunk by chunk where it is large (outlet.c). */
#include "server/headers.h"
#include "server/server.h"

#include <stdio.h>

/* ---- PUT */

static void release_put(struct request *r)
{
    wfl_put_fini(&r->op.put);
}

void request_answer_stored(struct request *r, const wfl_ulid *version, uint64_t size,
                           const wfl_hash *blake3, bool created)
{
    struct answer a = {0};
    char          text_of[WFL_ULID_TEXT_LEN + 1], etag[WFL_ULID_TEXT_LEN + 3], hash[65];
    wfl_buf       text;
    wfl_json      json;

    wfl_ulid_format(version, text_of);
    snprintf(etag, sizeof etag, "\"%s\"", text_of);
    wfl_hex_encode(wfl_slice_of(blake3->bytes, WFL_HASH_LEN), hash);
    answer_header_copy(r, &a, WFL_S("etag"), wfl_slice_str(etag));
    answer_header_copy(r, &a, WFL_S("x-wfldb-version"), wfl_slice_str(text_of));
    answer_header_copy(r, &a, WFL_S("x-wfldb-content-blake3"), wfl_slice_str(hash));
    wfl_buf_init(&text, &wfl_alloc_libc, 16u << 10);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "bucket");
    wfl_json_str(&json, r->target.bucket);
    wfl_json_key(&json, "key");
    wfl_json_str(&json, r->target.key);
    wfl_json_key(&json, "version");
    wfl_json_cstr(&json, text_of);
    wfl_json_key(&json, "size");
    wfl_json_u64(&json, size);
    wfl_json_key(&json, "blake3");
    wfl_json_cstr(&json, hash);
    wfl_json_end(&json);
    answer_json(r, &a, created ? 201 : 200, &text);
}

void request_answer_refused(struct request *r, const wfl_ulid *current)
{
    struct answer a = {0};
    char          version[WFL_ULID_TEXT_LEN + 1];

    if (r->verdict == WFL_PRECONDITION_FAILED && !wfl_ulid_is_zero(current)) {
        wfl_ulid_format(current, version);
        answer_header_copy(r, &a, WFL_S("x-wfldb-version"), wfl_slice_str(version));
    }
    answer_problem(r, &a, &r->err);
}

static void answer_put(struct request *r)
{
    const struct wfl_put     *op = &r->op.put;
    const struct wfl_outcome *first = &r->once.outcome;

    if (r->once.replayed && r->verdict == WFL_OK)
        request_answer_stored(r, &first->version, first->size, &first->blake3, first->created);
    else if (r->verdict == WFL_OK)
        request_answer_stored(r, &op->version, op->size, &op->blake3, op->created);
    else
        request_answer_refused(r, r->once.replayed ? &first->version : &op->version);
}

/* What was judged before the commit: the version goes with it. */
static void refuse_put(struct request *r, wfl_code rc, const wfl_error *err)
{
    r->once.outcome = (struct wfl_outcome){.version = r->op.put.version};
    request_conclude(r, rc, err, answer_put);
}

static void resume_put(struct request *r)
{
    request_conclude(r, r->op.put.rc, &r->op.put.err, answer_put);
}

static void store_small(struct request *r)
{
    if (!r->digest_ok) {
        wfl_fail(&r->err, WFL_CONTENT_MISMATCH,
                 "the %llu bytes received do not have the hash declared",
                 (unsigned long long)r->body_len);
        answer_problem(r, NULL, &r->err);
        return;
    }
    r->op.put.content = wfl_slice_of(r->body, r->body_len);
    r->release = release_put;
    request_await(r, wfl_store_put(r->server->store, &r->op.put), resume_put);
}

static void put_with_body(struct request *r)
{
    struct wfl_put *op = &r->op.put;

    op->large = intake_content(r, &op->size, &op->blake3);
    if (op->large == NULL) {
        r->digest_ok = request_digest_matches(r, wfl_slice_of(r->body, r->body_len), &op->blake3);
        store_small(r);
        return;
    }
    r->release = release_put;
    request_await(r, wfl_store_put(r->server->store, op), resume_put);
}

static void put_done(struct wfl_put *op)
{
    request_done(op->arg);
}

static uint64_t object_max(const struct request *r, const struct wfl_bucket_settings *settings)
{
    uint64_t max = WFL_OBJECT_BYTES_MAX;

    if (settings->max_object_bytes >= 0 && (uint64_t)settings->max_object_bytes < max)
        max = (uint64_t)settings->max_object_bytes;
    if (r->who.packet->limits.max_object_bytes < max) max = r->who.packet->limits.max_object_bytes;
    return max;
}

wfl_code request_object_max(struct request *r, uint64_t *max, wfl_error *err)
{
    struct wfl_bucket_info info;
    wfl_code               rc =
        wfl_store_bucket_info(r->server->store, r->target.bucket, request_arena(r), &info, err);

    if (rc == WFL_OK) *max = object_max(r, &info.settings);
    return rc;
}

static void receive_content(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    uint64_t                  max = r->body_max;

    /* What is known to be small is received whole; a body of unknown length may turn out so. */
    if (!head->has_body || (head->length_known && head->length <= WFL_VALUE_BYTES_MAX))
        request_read_body(r, max < WFL_VALUE_BYTES_MAX ? max : WFL_VALUE_BYTES_MAX, put_with_body);
    else
        request_take_content(r, max, WFL_VALUE_BYTES_MAX, put_with_body);
}

/* ---- what a PUT can expect, told before its body is sent
 *
 * The current version and the bucket's counters are looked at one after the other, so a refusal may
 * be a moment old. What is let through is judged by the committer, exactly. */

struct outlook {
    struct wfl_get             get; /* of the current version */
    struct wfl_bucket_settings settings;
    uint64_t                   objects, bytes;
};

static wfl_code judge_quota(const struct request *r, uint64_t before, bool exists, wfl_error *err)
{
    const struct outlook     *o = r->outlook;
    const struct wfl_request *head = request_head(r);
    uint64_t                  others = o->bytes > before ? o->bytes - before : 0;

    if (o->settings.quota_objects >= 0 && !exists &&
        o->objects >= (uint64_t)o->settings.quota_objects)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the bucket holds %lld objects at the most",
                        (long long)o->settings.quota_objects);
    if (o->settings.quota_bytes >= 0 && head->length_known && head->length > before &&
        others + head->length > (uint64_t)o->settings.quota_bytes)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the bucket holds %lld bytes at the most",
                        (long long)o->settings.quota_bytes);
    return WFL_OK;
}

static wfl_code judge_outlook(struct request *r)
{
    struct wfl_put       *op = &r->op.put;
    const struct wfl_get *get = &r->outlook->get;
    bool                  exists = get->rc == WFL_OK;
    const wfl_ulid       *current = exists ? &get->object.version : NULL;

    if (!exists && get->rc != WFL_KEY_NOT_FOUND) {
        op->err = get->err;
        return get->rc;
    }
    if (wfl_condition_holds(&op->match, current) && wfl_condition_holds(&op->none_match, current))
        return judge_quota(r, exists ? get->object.size : 0, exists, &op->err);
    if (exists) op->version = *current;
    return wfl_fail(&op->err, WFL_PRECONDITION_FAILED, "the current version is another one");
}

static void release_outlook(struct request *r)
{
    wfl_get_fini(&r->outlook->get);
}

static void resume_outlook(struct request *r)
{
    struct wfl_put *op = &r->op.put;

    op->rc = judge_outlook(r);
    release_outlook(r);
    r->release = NULL;
    if (op->rc == WFL_OK)
        receive_content(r);
    else
        refuse_put(r, op->rc, &op->err);
}

static void outlook_done(struct wfl_get *get)
{
    request_done(get->arg);
}

/* Is there a body worth sparing? */
static bool is_large(const struct wfl_request *head)
{
    return head->has_body &&
           (head->expects_continue || !head->length_known || head->length > WFL_VALUE_BYTES_MAX);
}

/* Is there anything that could fail? */
static bool wants_outlook(const struct request *r, const struct wfl_bucket_settings *settings)
{
    const struct wfl_put *op = &r->op.put;

    return is_large(request_head(r)) &&
           (op->match.kind != WFL_COND_NONE || op->none_match.kind != WFL_COND_NONE ||
            settings->quota_bytes >= 0 || settings->quota_objects >= 0);
}

static void look_out(struct request *r, const struct wfl_bucket_info *bucket)
{
    struct outlook *o = wfl_arena_zero(request_arena(r), 1, sizeof *o);

    if (o == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "a large body: out of memory");
        answer_problem(r, NULL, &r->err);
        return;
    }
    o->settings = bucket->settings;
    o->objects = bucket->objects;
    o->bytes = bucket->bytes;
    o->get = (struct wfl_get){.bucket = r->target.bucket,
                              .key = r->target.key,
                              .head_only = true,
                              .done = outlook_done,
                              .arg = r};
    r->outlook = o;
    r->release = release_outlook;
    request_await(r, wfl_store_get(r->server->store, &o->get), resume_outlook);
}

/* Whatever could refuse it now, except for what a first execution has answered. */
static void prepare_put(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    struct wfl_bucket_info    bucket;

    if (wfl_store_bucket_info(r->server->store, r->op.put.bucket, request_arena(r), &bucket,
                              &r->err) != WFL_OK) {
        refuse_put(r, r->err.code, &r->err);
        return;
    }
    r->body_max = object_max(r, &bucket.settings);
    if (head->has_body && head->length_known && head->length > r->body_max) {
        wfl_fail(&r->err, WFL_OBJECT_TOO_LARGE, "the body is larger than %llu bytes",
                 (unsigned long long)r->body_max);
        refuse_put(r, r->err.code, &r->err);
    } else if (wants_outlook(r, &bucket.settings)) {
        look_out(r, &bucket);
    } else {
        receive_content(r);
    }
}

static void put_object(struct request *r)
{
    struct wfl_put *op = &r->op.put;

    *op = (struct wfl_put){
        .bucket = r->target.bucket,
        .key = r->target.key,
        .by = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN),
        .jti = wfl_packet_last(r->who.packet)->jti,
        .done = put_done,
        .arg = r,
    };
    if (headers_read_object(request_head(r), request_arena(r), op, &r->err) != WFL_OK ||
        headers_read_conditions(request_head(r), request_arena(r), &op->match, &op->none_match,
                                &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_durability(r, &op->durability)) return;
    if (!request_permit_write(r, WFL_OP_PUT, op->bucket, op->key)) return;
    op->once = request_once(r);
    if (is_large(request_head(r)))
        request_once_ask(r, prepare_put, answer_put);
    else
        prepare_put(r);
}

/* ---- GET and HEAD */

void object_release_get(struct request *r)
{
    wfl_get_fini(&r->op.get);
}

static void add_pairs(struct request *r, struct answer *a, const char *prefix,
                      const struct wfl_name_value *pairs, uint32_t count)
{
    size_t prefix_len = strlen(prefix);

    for (uint32_t i = 0; i < count; i++) {
        uint8_t *name = wfl_arena_get(request_arena(r), prefix_len + pairs[i].name.len);

        if (name == NULL || a->count + 8 > WFL_ANSWER_HEADERS_MAX) return;
        memcpy(name, prefix, prefix_len);
        memcpy(name + prefix_len, pairs[i].name.data, pairs[i].name.len);
        answer_header(a, wfl_slice_of(name, prefix_len + pairs[i].name.len), pairs[i].value);
    }
}

/* The headers that 200, 206 and 304 share. */
static void describe_object(struct request *r, struct answer *a, const struct wfl_object *o)
{
    char version[WFL_ULID_TEXT_LEN + 1], etag[WFL_ULID_TEXT_LEN + 3], hash[65], date[WFL_TIME_TEXT];

    wfl_ulid_format(&o->version, version);
    snprintf(etag, sizeof etag, "\"%s\"", version);
    wfl_hex_encode(wfl_slice_of(o->blake3.bytes, WFL_HASH_LEN), hash);
    wfl_time_format_http((int64_t)(wfl_ulid_ms(&o->version) / 1000), date);
    answer_header_copy(r, a, WFL_S("etag"), wfl_slice_str(etag));
    answer_header_copy(r, a, WFL_S("x-wfldb-version"), wfl_slice_str(version));
    answer_header_copy(r, a, WFL_S("x-wfldb-content-blake3"), wfl_slice_str(hash));
    answer_header_copy(r, a, WFL_S("last-modified"), wfl_slice_str(date));
    answer_header(a, WFL_S("accept-ranges"), WFL_S("bytes"));
    answer_header(a, WFL_S("content-type"), o->content_type);
    /* Other answers are kept from shared caches by the request's Authorization. */
    if (r->who.credential == WFL_CREDENTIAL_URL)
        answer_header(a, WFL_S("cache-control"), WFL_S("private"));
    add_pairs(r, a, "x-wfldb-meta-", o->meta, o->meta_count);
    add_pairs(r, a, "x-wfldb-tag-", o->tags, o->tag_count);
}

/* RFC 9110 section 13.2.2. 0: go on, else the status that ends it. */
static int judge_conditions(struct request *r, const wfl_ulid *current, wfl_error *err)
{
    struct wfl_condition match, none_match;

    if (headers_read_conditions(request_head(r), request_arena(r), &match, &none_match, err) !=
        WFL_OK) {
        return wfl_code_http(err->code);
    }
    if (!wfl_condition_holds(&match, current)) {
        wfl_fail(err, WFL_PRECONDITION_FAILED, "the current version is another one");
        return 412;
    }
    return wfl_condition_holds(&none_match, current) ? 0 : 304;
}

/* If-Range compares strongly; a date is no strong validator here, so it asks for the whole. */
static bool range_applies(const struct wfl_request *head, const wfl_ulid *current)
{
    const struct wfl_header *h = wfl_request_header(head, WFL_S("if-range"));
    wfl_ulid                 asked;

    if (h == NULL) return true;
    return h->value.len == WFL_ULID_TEXT_LEN + 2 && h->value.data[0] == '"' &&
           h->value.data[h->value.len - 1] == '"' &&
           wfl_ulid_parse(wfl_slice_of(h->value.data + 1, WFL_ULID_TEXT_LEN), &asked) &&
           wfl_ulid_cmp(&asked, current) == 0;
}

static void answer_content(struct request *r, struct answer *a)
{
    const struct wfl_get    *op = &r->op.get;
    const struct wfl_header *h = wfl_request_header(request_head(r), WFL_S("range"));
    struct wfl_range         range = {.first = 0, .count = op->object.size};
    enum wfl_range_outcome   outcome = WFL_RANGE_WHOLE;
    char                     text[80];
    wfl_slice                bytes = {0};

    if (h != NULL && range_applies(request_head(r), &op->object.version)) {
        outcome = wfl_range_parse(h->value, op->object.size, &range);
    }
    if (outcome == WFL_RANGE_UNSATISFIABLE) {
        struct answer refusal = {0};

        snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)op->object.size);
        answer_header_copy(r, &refusal, WFL_S("content-range"), wfl_slice_str(text));
        wfl_fail(&r->err, WFL_RANGE_NOT_SATISFIABLE, "the object has %llu bytes",
                 (unsigned long long)op->object.size);
        answer_problem(r, &refusal, &r->err);
        return;
    }
    if (outcome == WFL_RANGE_PART) {
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)range.first,
                 (unsigned long long)(range.first + range.count - 1),
                 (unsigned long long)op->object.size);
        answer_header_copy(r, a, WFL_S("content-range"), wfl_slice_str(text));
    }
    if (op->large) {
        request_send_content(r, a, outcome == WFL_RANGE_PART ? 206 : 200, range.first, range.count);
        return;
    }
    if (!op->head_only && range.count > 0) {
        bytes = wfl_slice_of(op->content.data + range.first, (size_t)range.count);
    }
    /* The pin is released with the request, after the last byte is written. */
    answer_send_part(r, a, outcome == WFL_RANGE_PART ? 206 : 200,
                     (struct wfl_body_part){.bytes = bytes}, range.count);
}

void object_answer_get(struct request *r)
{
    struct wfl_get *op = &r->op.get;
    struct answer   a = {0};
    wfl_error       verdict = {0};
    int             status;

    if (op->rc != WFL_OK) {
        answer_problem(r, NULL, &op->err);
        return;
    }
    status = judge_conditions(r, &op->object.version, &verdict);
    if (status == 412) {
        char version[WFL_ULID_TEXT_LEN + 1];

        wfl_ulid_format(&op->object.version, version);
        answer_header_copy(r, &a, WFL_S("x-wfldb-version"), wfl_slice_str(version));
    }
    if (status >= 400) {
        answer_problem(r, &a, &verdict);
        return;
    }
    describe_object(r, &a, &op->object);
    if (status == 304) {
        answer_send(r, &a, 304, (wfl_slice){0});
        return;
    }
    answer_content(r, &a);
}

static void get_done(struct wfl_get *op)
{
    request_done(op->arg);
}

static void read_object(struct request *r, bool head_only)
{
    struct wfl_condition match, none_match;

    if (headers_read_conditions(request_head(r), request_arena(r), &match, &none_match, &r->err) !=
        WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_permit(r, WFL_OP_GET, r->target.bucket, r->target.key)) return;
    r->op.get = (struct wfl_get){
        .bucket = r->target.bucket,
        .key = r->target.key,
        .head_only = head_only,
        .done = get_done,
        .arg = r,
    };
    r->release = object_release_get;
    request_await(r, wfl_store_get(r->server->store, &r->op.get), object_answer_get);
}

static void get_object(struct request *r)
{
    read_object(r, false);
}

static void head_object(struct request *r)
{
    read_object(r, true);
}

/* ---- DELETE */

void request_answer_deleted(struct request *r, const wfl_ulid *version)
{
    struct answer a = {0};
    char          text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(version, text);
    answer_header_copy(r, &a, WFL_S("x-wfldb-version"), wfl_slice_str(text));
    answer_send(r, &a, 204, (wfl_slice){0});
}

static void answer_delete(struct request *r)
{
    if (r->verdict == WFL_OK)
        request_answer_deleted(r, &r->op.del.version);
    else
        request_answer_refused(r, &r->op.del.version);
}

static void resume_delete(struct request *r)
{
    request_conclude(r, r->op.del.rc, &r->op.del.err, answer_delete);
}

static void delete_done(struct wfl_delete *op)
{
    request_done(op->arg);
}

static void delete_object(struct request *r)
{
    struct wfl_delete *op = &r->op.del;

    *op = (struct wfl_delete){.bucket = r->target.bucket,
                              .key = r->target.key,
                              .by = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN),
                              .jti = wfl_packet_last(r->who.packet)->jti,
                              .done = delete_done,
                              .arg = r};
    if (headers_read_conditions(request_head(r), request_arena(r), &op->match, &op->none_match,
                                &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_durability(r, &op->durability)) return;
    if (!request_permit_write(r, WFL_OP_DELETE, op->bucket, op->key)) return;
    op->once = request_once(r);
    request_await(r, wfl_store_delete(r->server->store, op), resume_delete);
}

void route_object(struct request *r)
{
    static const struct {
        wfl_slice method;
        void (*run)(struct request *r);
    } methods[] = {
        {WFL_LIT("GET"), get_object},
        {WFL_LIT("HEAD"), head_object},
        {WFL_LIT("PUT"), put_object},
        {WFL_LIT("DELETE"), delete_object},
    };
    const struct wfl_request *head = request_head(r);
    size_t                    m = 0;

    if (request_query(r).len > 0) {
        route_object_query(r);
        return;
    }
    while (m < WFL_COUNT(methods) && !wfl_slice_eq(head->method, methods[m].method))
        m++;
    if (m == WFL_COUNT(methods))
        answer_not_allowed(r, WFL_OBJECT_METHODS);
    else
        methods[m].run(r);
}
