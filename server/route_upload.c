/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads: start, parts, list, completion, abort, and a bucket's list of them. Each is
 * decided here and done by a worker; a completion in steps, so that hashing a large object shares
 * the workers with everyone else. */
#include "server/headers.h"
#include "server/upload_json.h"
#include "server/wire.h"

#include <stdlib.h>

#define NO_BODY_MAX    1024 /* of requests that carry nothing of use */
#define LIST_BYTES_MAX (8u << 20)
#define STEP_COST      (64u << 20)

/* ---- work and back */

static void answer_start(struct request *r);
static void answer_part(struct request *r);
static void answer_completed(struct request *r);
static void answer_gone(struct request *r);

static void run_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    r->op.upload.run(r);
    request_done(r);
}

/* An earlier answer, wherever it was met, is that of the whole operation. */
static void take_outcome(struct request *r)
{
    const struct wfl_outcome *first = &r->once.outcome;
    struct upload_op         *op = &r->op.upload;

    if (op->kind == UPLOAD_START) op->upload = first->version;
    op->part.size = first->size;
    op->part.blake3 = first->blake3;
    op->completed = (struct wfl_completed){.version = first->version,
                                           .size = first->size,
                                           .blake3 = first->blake3,
                                           .created = first->created};
}

static void conclude(struct request *r)
{
    static void (*const answers[])(struct request * r) = {[UPLOAD_START] = answer_start,
                                                          [UPLOAD_PART] = answer_part,
                                                          [UPLOAD_COMPLETE] = answer_completed,
                                                          [UPLOAD_ABORT] = answer_gone};

    if (r->once.replayed) take_outcome(r);
    if (r->verdict != WFL_OK)
        request_answer_refused(r, &r->op.upload.completed.version);
    else if (r->once.replayed)
        answers[r->op.upload.kind](r);
    else
        r->op.upload.then(r);
}

static void after_run(struct request *r)
{
    if (r->status != 0) return; /* answered meanwhile */
    request_conclude(r, r->op.upload.rc, &r->err, conclude);
}

static void in_pool(struct request *r, uint64_t bytes, void (*run)(struct request *r),
                    void (*then)(struct request *r))
{
    r->op.upload.run = run;
    r->op.upload.then = then;
    request_work(r, request_flow(r), bytes, run_in_pool, after_run);
}

static void release(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    wfl_completion_free(op->completion);
    if (op->parts_are_stores) wfl_upload_free_parts(r->server->store, op->parts);
}

static bool body_matches(struct request *r)
{
    if (request_digest_matches(r, wfl_slice_of(r->body, r->body_len), NULL)) return true;
    wfl_fail(&r->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
    answer_problem(r, NULL, &r->err);
    return false;
}

static void begin_json(wfl_buf *text, wfl_json *json)
{
    wfl_buf_init(text, &wfl_alloc_libc, LIST_BYTES_MAX);
    wfl_json_init(json, text);
    wfl_json_object(json);
}

static void write_hash(wfl_json *json, const wfl_hash *hash)
{
    char hex[65];

    wfl_hex_encode(wfl_slice_of(hash->bytes, WFL_HASH_LEN), hex);
    wfl_json_key(json, "blake3");
    wfl_json_cstr(json, hex);
}

static void write_ulid(wfl_json *json, const char *key, const wfl_ulid *ulid)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(ulid, text);
    wfl_json_key(json, key);
    wfl_json_cstr(json, text);
}

/* ---- start */

static void run_start(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_upload_start(r->server->store, &op->given, &op->upload, &r->err);
}

static void answer_start(struct request *r)
{
    struct answer a = {0};
    wfl_buf       text;
    wfl_json      json;

    begin_json(&text, &json);
    write_ulid(&json, "upload", &r->op.upload.upload);
    wfl_json_key(&json, "part_bytes_min");
    wfl_json_u64(&json, WFL_PART_BYTES_MIN);
    wfl_json_end(&json);
    answer_json(r, &a, 201, &text);
}

static void start_with_body(struct request *r)
{
    if (!body_matches(r)) return;
    request_once_body(r, wfl_slice_of(r->body, r->body_len));
    in_pool(r, 0, run_start, answer_start);
}

static void start(struct request *r)
{
    struct wfl_put *given = &r->op.upload.given;

    *given = (struct wfl_put){
        .bucket = r->target.bucket,
        .key = r->target.key,
        .by = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN),
        .jti = wfl_packet_last(r->who.packet)->jti,
    };
    if (headers_read_object(request_head(r), request_arena(r), given, &r->err) != WFL_OK ||
        headers_read_conditions(request_head(r), request_arena(r), &given->match,
                                &given->none_match, &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_durability(r, &given->durability)) return;
    if (!request_permit_write(r, WFL_OP_PUT, r->target.bucket, r->target.key)) return;
    given->once = request_once(r);
    request_read_body(r, NO_BODY_MAX, start_with_body);
}

/* ---- a part */

static void run_put_part(struct request *r)
{
    struct upload_op  *op = &r->op.upload;
    struct wfl_ingest *content = intake_content(r, &op->part.size, &op->part.blake3);

    op->rc = wfl_upload_put_part(r->server->store, r->target.bucket, r->target.key, &op->upload,
                                 &op->part, content, op->durability, request_once(r), &r->err);
}

static void answer_part(struct request *r)
{
    struct answer a = {0};
    wfl_buf       text;
    wfl_json      json;

    begin_json(&text, &json);
    wfl_json_key(&json, "part");
    wfl_json_u64(&json, r->op.upload.part.number);
    wfl_json_key(&json, "size");
    wfl_json_u64(&json, r->op.upload.part.size);
    write_hash(&json, &r->op.upload.part.blake3);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

static void part_with_content(struct request *r)
{
    in_pool(r, 0, run_put_part, answer_part);
}

static void run_check(struct request *r)
{
    r->op.upload.rc = wfl_upload_check(r->server->store, r->target.bucket, r->target.key,
                                       &r->op.upload.upload, &r->err);
}

static void then_receive(struct request *r)
{
    uint64_t max;

    if (request_object_max(r, &max, &r->err) != WFL_OK)
        request_conclude(r, r->err.code, &r->err, conclude);
    else
        request_take_content(r, max, -1, part_with_content);
}

static void check_upload(struct request *r)
{
    in_pool(r, 0, run_check, then_receive);
}

static void put_part(struct request *r)
{
    r->op.upload.kind = UPLOAD_PART;
    if (!request_durability(r, &r->op.upload.durability)) return;
    if (request_permit_write(r, WFL_OP_PUT, r->target.bucket, r->target.key))
        request_once_ask(r, check_upload, conclude);
}

/* ---- the parts received */

static void run_list(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_upload_list_parts(r->server->store, r->target.bucket, r->target.key, &op->upload,
                                   &op->parts, &op->part_count, &r->err);
    op->parts_are_stores = op->rc == WFL_OK;
}

static void then_list(struct request *r)
{
    struct upload_op *op = &r->op.upload;
    struct answer     a = {0};
    wfl_buf           text;
    wfl_json          json;

    if (wire_wanted(r)) {
        wire_answer_parts(r, op->parts, op->part_count);
        return;
    }
    begin_json(&text, &json);
    wfl_json_key(&json, "parts");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < op->part_count; i++) {
        wfl_json_object(&json);
        wfl_json_key(&json, "part");
        wfl_json_u64(&json, op->parts[i].number);
        wfl_json_key(&json, "size");
        wfl_json_u64(&json, op->parts[i].size);
        write_hash(&json, &op->parts[i].blake3);
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

static void list(struct request *r)
{
    if (request_permit(r, WFL_OP_PUT, r->target.bucket, r->target.key))
        in_pool(r, 0, run_list, then_list);
}

/* ---- completion */

static void run_commit(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_completion_commit(op->completion, request_once(r), &op->completed, &r->err);
}

static void answer_completed(struct request *r)
{
    const struct wfl_completed *done = &r->op.upload.completed;

    request_answer_stored(r, &done->version, done->size, &done->blake3, done->created);
}

static void run_step(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_completion_step(op->completion, &op->ended, &r->err);
}

static void then_step(struct request *r)
{
    if (request_is_revoked(r)) /* hashing it all may have taken long */
        answer_problem(r, NULL, &r->err);
    else if (r->op.upload.ended)
        in_pool(r, 0, run_commit, answer_completed);
    else
        in_pool(r, STEP_COST, run_step, then_step);
}

static void run_begin(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_completion_new(r->server->store, r->target.bucket, r->target.key, &op->upload,
                                op->parts, op->part_count, op->has_whole ? &op->whole : NULL,
                                &op->completion, &r->err);
    /* The parts may each have been small enough. */
    if (op->rc == WFL_OK && wfl_completion_size(op->completion) > op->object_max)
        op->rc = wfl_fail(&r->err, WFL_OBJECT_TOO_LARGE, "the object is larger than %llu bytes",
                          (unsigned long long)op->object_max);
}

static void begin_completion(struct request *r)
{
    if (request_object_max(r, &r->op.upload.object_max, &r->err) != WFL_OK)
        request_conclude(r, r->err.code, &r->err, conclude);
    else
        in_pool(r, 0, run_begin, then_step);
}

static void complete_with_body(struct request *r)
{
    struct upload_op      *op = &r->op.upload;
    struct completion_list given;

    if (!body_matches(r)) return;
    if (completion_list_parse(wfl_slice_of(r->body, r->body_len), request_arena(r), &given,
                              &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    request_once_body(r, wfl_slice_of(r->body, r->body_len));
    op->parts = given.parts;
    op->part_count = given.count;
    op->has_whole = given.has_whole;
    op->whole = given.whole;
    request_once_ask(r, begin_completion, conclude); /* before all of it is hashed again */
}

static void complete(struct request *r)
{
    r->op.upload.kind = UPLOAD_COMPLETE;
    if (request_permit_write(r, WFL_OP_PUT, r->target.bucket, r->target.key))
        request_read_body(r, WFL_COMPLETION_BYTES_MAX, complete_with_body);
}

/* ---- abort */

static void run_abort(struct request *r)
{
    r->op.upload.rc = wfl_upload_abort(r->server->store, r->target.bucket, r->target.key,
                                       &r->op.upload.upload, request_once(r), &r->err);
}

static void answer_gone(struct request *r)
{
    struct answer a = {0};

    answer_send(r, &a, 204, (wfl_slice){0});
}

static void abort_upload(struct request *r)
{
    r->op.upload.kind = UPLOAD_ABORT;
    if (request_permit_write(r, WFL_OP_PUT, r->target.bucket, r->target.key))
        in_pool(r, 0, run_abort, answer_gone);
}

/* ---- which of them */

static bool is_method(const struct request *r, const char *method)
{
    return wfl_slice_eq(request_head(r)->method, wfl_slice_str(method));
}

static void refuse_query(struct request *r, const char *why)
{
    wfl_fail(&r->err, WFL_INVALID_QUERY, "%s", why);
    answer_problem(r, NULL, &r->err);
}

static void route_start(struct request *r, const struct wfl_param *multipart, bool alone)
{
    if (!alone || !wfl_slice_eq(multipart->value, WFL_S("start")))
        refuse_query(r, "an upload begins with multipart=start and no other parameter");
    else if (is_method(r, "POST"))
        start(r);
    else
        answer_not_allowed(r, "POST");
}

static void route_part(struct request *r, const struct wfl_param *part)
{
    uint64_t number = 0;

    if (!is_method(r, "PUT")) {
        answer_not_allowed(r, "PUT");
        return;
    }
    if (!wfl_slice_to_u64(part->value, WFL_PARTS_MAX, &number) || number == 0) {
        wfl_fail(&r->err, WFL_INVALID_PART, "parts are numbered from 1 to %d", WFL_PARTS_MAX);
        answer_problem(r, NULL, &r->err);
        return;
    }
    r->op.upload.part.number = (uint32_t)number;
    put_part(r);
}

static void route_of_upload(struct request *r, const struct wfl_param *part)
{
    if (part->given)
        route_part(r, part);
    else if (is_method(r, "GET"))
        list(r);
    else if (is_method(r, "POST"))
        complete(r);
    else if (is_method(r, "DELETE"))
        abort_upload(r);
    else if (is_method(r, "PUT"))
        refuse_query(r, "a part needs its number: part=N");
    else
        answer_not_allowed(r, "GET, PUT, POST, DELETE");
}

void route_upload(struct request *r, const struct wfl_param *p)
{
    r->op.upload = (struct upload_op){0};
    r->release = release;
    if (p[OBJECT_MULTIPART].given)
        route_start(r, &p[OBJECT_MULTIPART], !p[OBJECT_UPLOAD].given && !p[OBJECT_PART].given);
    else if (!wfl_ulid_parse(p[OBJECT_UPLOAD].value, &r->op.upload.upload))
        refuse_query(r, "upload must be the ULID that the start has given");
    else
        route_of_upload(r, &p[OBJECT_PART]);
}

/* ---- a bucket's uploads */

static void run_uploads(struct request *r)
{
    struct upload_op *op = &r->op.upload;

    op->rc = wfl_upload_list(r->server->store, r->target.bucket, request_arena(r), &op->uploads,
                             &op->upload_count, &r->err);
}

static void then_uploads(struct request *r)
{
    struct upload_op *op = &r->op.upload;
    struct answer     a = {0};
    char              started[WFL_TIME_TEXT];
    wfl_buf           text;
    wfl_json          json;

    if (wire_wanted(r)) {
        wire_answer_uploads(r, op->uploads, op->upload_count);
        return;
    }
    begin_json(&text, &json);
    wfl_json_key(&json, "uploads");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < op->upload_count; i++) {
        wfl_json_object(&json);
        write_ulid(&json, "upload", &op->uploads[i].upload);
        wfl_json_key(&json, "key");
        wfl_json_str(&json, op->uploads[i].key);
        wfl_time_format_ms(wfl_ulid_ms(&op->uploads[i].upload), started);
        wfl_json_key(&json, "started");
        wfl_json_cstr(&json, started);
        wfl_json_key(&json, "bytes");
        wfl_json_u64(&json, op->uploads[i].bytes);
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

void route_uploads(struct request *r)
{
    struct wfl_param uploads = {.name = "uploads"};

    r->op.upload = (struct upload_op){0};
    if (!is_method(r, "GET") && !is_method(r, "PUT") && !is_method(r, "PATCH") &&
        !is_method(r, "DELETE")) {
        answer_not_allowed(r, WFL_BUCKET_METHODS);
    } else if (wfl_query_parse(request_query(r), &uploads, 1, request_arena(r), &r->err) !=
               WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else if (uploads.value.len > 0 || !is_method(r, "GET")) {
        refuse_query(r, "uploads is for GET, and takes no value");
    } else if (request_permit(r, WFL_OP_MANAGE, r->target.bucket, (wfl_slice){0})) {
        in_pool(r, 0, run_uploads, then_uploads);
    }
}
