/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches, in one bucket and across buckets. The body is received whole, compared with what was
 * declared and taken apart by a worker; on the reactor each op is authorised by itself before
 * anything is looked up, so that a refusal tells nothing of what exists; then a worker has the
 * store do it. A client whose packet reaches nothing of the bucket is refused before its body is
 * read. */
#include "server/wire.h"

#include <inttypes.h>

#define ANSWER_BYTES_MAX (16u << 20) /* 1000 keys, each byte of them escaped, are half of it */

struct batch_call {
    struct batch_doc doc;
    struct wfl_batch batch;
    wfl_code         rc; /* of the work under way */
    wfl_error        err;
};

static void release(struct request *r)
{
    wfl_batch_fini(&r->op.batch->batch);
    batch_doc_free(&r->op.batch->doc);
}

/* ---- the answer */

static void answer_results(struct request *r)
{
    const struct wfl_batch *batch = &r->op.batch->batch;
    struct answer           a = {0};
    char                    version[WFL_ULID_TEXT_LEN + 1];
    wfl_buf                 text;
    wfl_json                json;

    if (wire_wanted(r)) {
        wire_answer_results(r, batch);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, ANSWER_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "results");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct wfl_batch_op *op = &batch->ops[i];

        wfl_json_object(&json);
        if (r->target.bucket.len == 0) {
            wfl_json_key(&json, "bucket");
            wfl_json_str(&json, op->bucket);
        }
        wfl_json_key(&json, "key");
        wfl_json_str(&json, op->key);
        if (op->kind != WFL_BATCH_CHECK) { /* which makes no version */
            wfl_ulid_format(&op->version, version);
            wfl_json_key(&json, "version");
            wfl_json_cstr(&json, version);
        }
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

static void answer(struct request *r)
{
    struct wfl_batch *batch = &r->op.batch->batch;
    struct answer     a = {0};

    /* Of an earlier answer that was found without the store's help. */
    if (r->once.replayed) r->verdict = wfl_batch_take_outcome(batch, r->verdict, &r->err);
    a.failed = batch->failed;
    a.failed_count = batch->failed_count;
    if (r->verdict == WFL_OK)
        answer_results(r);
    else
        answer_problem(r, &a, &r->err);
}

static void after_store(struct request *r)
{
    struct batch_call *call = r->op.batch;

    if (r->status != 0) return; /* answered meanwhile */
    request_conclude(r, call->rc, &call->err, answer);
}

static void store_in_pool(struct wfl_engine_work *work)
{
    struct request    *r = work->arg;
    struct batch_call *call = r->op.batch;

    call->rc = wfl_store_batch(r->server->store, &call->batch, &call->err);
    request_done(r);
}

/* ---- each op's own right */

static wfl_code permit(const struct request *r, uint32_t i, enum wfl_op op, wfl_slice bucket,
                       wfl_slice key, wfl_error *err)
{
    if (wfl_packet_grants(r->who.packet, op, bucket, key)) return WFL_OK;
    return wfl_fail(err, WFL_FORBIDDEN, "op %" PRIu32 ": the key packet does not grant %s here", i,
                    wfl_op_name(op));
}

static wfl_code permit_op(const struct request *r, uint32_t i, wfl_error *err)
{
    const struct wfl_batch_op *op = &r->op.batch->batch.ops[i];
    wfl_code                   rc = WFL_OK;

    switch (op->kind) {
    case WFL_BATCH_CHECK:
        return permit(r, i, WFL_OP_GET, op->bucket, op->key, err);
    case WFL_BATCH_PUT:
        return permit(r, i, WFL_OP_PUT, op->bucket, op->key, err);
    case WFL_BATCH_DELETE:
        return permit(r, i, WFL_OP_DELETE, op->bucket, op->key, err);
    case WFL_BATCH_COPY:
        rc = permit(r, i, WFL_OP_GET, op->bucket, op->from, err);
        return rc == WFL_OK ? permit(r, i, WFL_OP_PUT, op->bucket, op->key, err) : rc;
    }
    return wfl_fail(err, WFL_INTERNAL, "an op of no kind");
}

static wfl_code permit_all(struct request *r)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < r->op.batch->batch.count; i++)
        rc = permit_op(r, i, &r->err);
    return rc != WFL_OK ? rc
           : r->target.bucket.len > 0
               ? request_admit_write(r, &r->err)
               : request_admit_batch(r, r->op.batch->batch.ops, r->op.batch->batch.count, &r->err);
}

/* ---- the body */

static void after_parse(struct request *r)
{
    struct batch_call *call = r->op.batch;

    if (r->status != 0) return; /* answered meanwhile */
    if (call->rc != WFL_OK) {
        answer_problem(r, NULL, &call->err);
        return;
    }
    call->batch.ops = call->doc.ops;
    call->batch.count = call->doc.count;
    call->batch.by = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN);
    call->batch.jti = wfl_packet_last(r->who.packet)->jti;
    call->batch.object_bytes_max = r->who.packet->limits.max_object_bytes;
    if (permit_all(r) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    request_once_body(r, wfl_slice_of(r->body, r->body_len));
    call->batch.once = request_once(r);
    request_work(r, request_flow(r), r->body_len, store_in_pool, after_store);
}

static void parse_in_pool(struct wfl_engine_work *work)
{
    struct request    *r = work->arg;
    struct batch_call *call = r->op.batch;
    wfl_slice          body = wfl_slice_of(r->body, r->body_len);

    if (!request_digest_matches(r, body, NULL))
        call->rc =
            wfl_fail(&call->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
    else if (wire_sent(r))
        call->rc = wire_batch_parse(body, r->target.bucket, &call->doc, &call->err);
    else
        call->rc = batch_doc_parse(body, r->target.bucket, &call->doc, &call->err);
    request_done(r);
}

static void parse_body(struct request *r)
{
    request_work(r, request_flow(r), r->body_len, parse_in_pool, after_parse);
}

/* ---- the head */

void route_batch(struct request *r)
{
    struct batch_call *call = wfl_arena_zero(request_arena(r), 1, sizeof *call);

    if (!wfl_slice_eq(request_head(r)->method, WFL_S("POST"))) {
        answer_not_allowed(r, "POST");
        return;
    }
    if (call == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "a batch: out of memory");
        answer_problem(r, NULL, &r->err);
        return;
    }
    r->op.batch = call;
    r->release = release;
    if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_durability(r, &call->batch.durability)) return;
    if (r->target.bucket.len > 0 && !wfl_packet_reaches(r->who.packet, r->target.bucket)) {
        wfl_fail(&r->err, WFL_FORBIDDEN, "the key packet grants nothing here");
        answer_problem(r, NULL, &r->err);
        return;
    }
    r->body_too_large = WFL_BATCH_TOO_LARGE;
    request_read_body(r, WFL_BATCH_BYTES_MAX, parse_body);
}
