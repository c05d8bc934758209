/* SPDX-License-Identifier: Apache-2.0
 *
 * A request's life on its reactor: head, authentication, target, route; then, when its exchange has
 * ended and no store operation is under way any more, everything it held is released. The order of
 * decisions is the protocol's (docs/protocol.md, Signed requests); each failure answers and stops.
 */
#include "server/server.h"

#include <nettle/sha2.h>
#include <stdatomic.h>

#define BODY_FIRST_CAP (64u << 10)    /* for a body of unknown length; doubles from there */
#define BODIES_MAX     (512ull << 20) /* in memory at a time, what is above the first cap of each */

struct tracked { /* what on_end and a returning operation must agree on */
    struct request request;
    bool           away;  /* an operation is under way */
    bool           ended; /* on_end has been called */
};

static struct tracked *tracked_of(struct request *r)
{
    return (struct tracked *)(void *)r; /* the first member */
}

/* ---- the log line and the end */

static void log_request(struct request *r, bool ok)
{
    const struct wfl_request *head = request_head(r);
    struct wfl_log_line       line;
    char                      id[WFL_ULID_TEXT_LEN + 1];
    int64_t took_ns = wfl_clock_mono_ns(&wfl_clock_system) - wfl_exchange_began_ns(r->x);

    if (r->server->config->access_log == 0 && r->status < 500 && r->code == WFL_OK) return;
    wfl_ulid_format(wfl_exchange_id(r->x), id);
    bool broken_off = r->status < 400 && r->code != WFL_OK; /* damage met in the middle */

    wfl_log_begin(r->server->log, &line,
                  r->status >= 500 || broken_off ? WFL_LOG_ERROR : WFL_LOG_INFO, "request");
    wfl_json_key(&line.json, "request_id");
    wfl_json_cstr(&line.json, id);
    wfl_json_key(&line.json, "method");
    wfl_json_str(&line.json,
                 wfl_slice_of(head->method.data, head->method.len > 32 ? 32 : head->method.len));
    wfl_json_key(&line.json, "path"); /* never the query: it may carry a credential */
    wfl_json_str(&line.json,
                 wfl_slice_of(head->path.data, head->path.len > 2048 ? 2048 : head->path.len));
    wfl_json_key(&line.json, "status");
    wfl_json_u64(&line.json, (uint64_t)r->status);
    if (r->status >= 400 || broken_off) {
        wfl_json_key(&line.json, "code");
        wfl_json_cstr(&line.json, wfl_code_name(r->code));
        wfl_json_key(&line.json, "reason");
        wfl_json_cstr(&line.json, r->err.message);
    }
    wfl_json_key(&line.json, "bytes_in");
    wfl_json_u64(&line.json, r->body_len);
    wfl_json_key(&line.json, "bytes_out");
    wfl_json_u64(&line.json, r->sent_bytes);
    wfl_json_key(&line.json, "micros");
    wfl_json_u64(&line.json, took_ns > 0 ? (uint64_t)(took_ns / 1000) : 0);
    wfl_json_key(&line.json, "peer");
    wfl_json_cstr(&line.json, head->peer);
    if (r->who.packet != NULL) {
        wfl_json_key(&line.json, "client");
        wfl_json_cstr(&line.json, r->who.client.text);
        wfl_json_key(&line.json, "jti");
        wfl_json_cstr(&line.json, wfl_packet_last(r->who.packet)->jti_text);
    }
    if (!ok) {
        wfl_json_key(&line.json, "aborted");
        wfl_json_bool(&line.json, true);
    }
    wfl_log_end(&line);
}

/* Small bodies are bounded by the number of requests. */
static uint64_t above_first_cap(size_t cap)
{
    return cap > BODY_FIRST_CAP + 1 ? cap - BODY_FIRST_CAP - 1 : 0;
}

static void request_fini(struct request *r)
{
    intake_fini(r);
    outlet_fini(r); /* before the get that it reads from */
    watch_fini(r);
    if (r->release != NULL) r->release(r);
    wfl_once_fini(&r->once);
    wfl_alloc_free(&wfl_alloc_libc, r->body);
    r->server->body_bytes -= above_first_cap(r->body_cap);
    wfl_identity_fini(&r->who);
    r->release = NULL;
    r->body = NULL;
    r->body_cap = 0;
}

/* ---- waiting for the store */

static void back_on_reactor(struct wfl_post *post)
{
    struct request      *r = post->arg;
    struct tracked      *t = tracked_of(r);
    struct wfl_exchange *x = r->x;

    t->away = false;
    if (t->ended) {
        request_fini(r);
    } else {
        r->resume(r);
    }
    wfl_exchange_unref(x);
}

void request_done(void *request)
{
    struct request *r = request;

    r->post.run = back_on_reactor;
    r->post.arg = r;
    wfl_exchange_post(r->x, &r->post);
}

void request_await(struct request *r, wfl_code rc, void (*resume)(struct request *r))
{
    if (rc != WFL_PENDING) {
        resume(r);
        return;
    }
    /* The post can only run after we have returned to the loop, so this is early enough. */
    tracked_of(r)->away = true;
    r->resume = resume;
    wfl_exchange_ref(r->x);
}

uint64_t request_flow(const struct request *r)
{
    wfl_slice client = r->who.packet == NULL ? (wfl_slice){0} : wfl_slice_str(r->who.client.text);

    return wfl_store_flow(r->server->store, r->target.bucket, client);
}

void request_work(struct request *r, uint64_t flow, uint64_t bytes,
                  void (*work)(struct wfl_engine_work *work), void (*then)(struct request *r))
{
    wfl_code rc;

    r->work = (struct wfl_engine_work){.flow = flow, .bytes = bytes, .run = work, .arg = r};
    rc = wfl_engine_work(r->server->engine, &r->work);
    if (rc == WFL_PENDING) {
        request_await(r, rc, then);
        return;
    }
    wfl_fail(&r->err, rc, "the worker pool is full");
    answer_problem(r, NULL, &r->err);
}

/* ---- steps that routes share */

wfl_code request_admit(struct request *r, wfl_error *err)
{
    wfl_code rc = rates_admit(r, err);

    if (rc != WFL_OK || r->anonymous) return rc;
    return wfl_auth_spend_nonce(r->server->auth, &r->who, err);
}

wfl_code request_admit_write(struct request *r, wfl_error *err)
{
    wfl_code rc = rates_admit(r, err);

    return rc == WFL_OK ? request_claim_nonce(r, err) : rc;
}

wfl_code request_admit_batch(struct request *r, const struct wfl_batch_op *ops, uint32_t count,
                             wfl_error *err)
{
    wfl_code rc = rates_admit_batch(r, ops, count, err);

    return rc == WFL_OK ? request_claim_nonce(r, err) : rc;
}

static bool permit(struct request *r, enum wfl_op op, wfl_slice bucket, wfl_slice key,
                   wfl_code (*admit)(struct request *r, wfl_error *err))
{
    bool is_public = r->anonymous && op == WFL_OP_GET; /* its bucket is */

    r->manages = op == WFL_OP_MANAGE || op == WFL_OP_ADMIN;
    r->asked_op = op;
    if (!is_public &&
        (r->who.packet == NULL || !wfl_packet_grants(r->who.packet, op, bucket, key))) {
        wfl_fail(&r->err, WFL_FORBIDDEN, "the key packet does not grant %s here", wfl_op_name(op));
    } else if (admit(r, &r->err) == WFL_OK) {
        wfl_exchange_set_flow(r->x, request_flow(r));
        return true;
    }
    answer_problem(r, NULL, &r->err);
    return false;
}

bool request_permit(struct request *r, enum wfl_op op, wfl_slice bucket, wfl_slice key)
{
    return permit(r, op, bucket, key, request_admit);
}

bool request_permit_write(struct request *r, enum wfl_op op, wfl_slice bucket, wfl_slice key)
{
    return permit(r, op, bucket, key, request_admit_write);
}

bool request_durability(struct request *r, enum wfl_durability *out)
{
    const struct wfl_header *h = wfl_request_header(request_head(r), WFL_S("x-wfldb-durability"));

    *out = WFL_DURABLE;
    if (h == NULL) return true;
    if (wfl_slice_eq(h->value, WFL_S("buffered"))) {
        *out = WFL_BUFFERED;
        return true;
    }
    wfl_fail(&r->err, WFL_INVALID_HEADER, "X-WflDB-Durability takes one value: buffered");
    answer_problem(r, NULL, &r->err);
    return false;
}

bool request_is_revoked(struct request *r)
{
    return r->who.packet != NULL &&
           wfl_auth_recheck(r->server->auth, r->who.packet, &r->err) != WFL_OK;
}

/* ---- body */

static void read_more(struct request *r)
{
    wfl_exchange_read(r->x, r->body + r->body_len, r->body_cap - r->body_len);
}

static bool grow_body(struct request *r, size_t cap)
{
    uint64_t more = above_first_cap(cap) - above_first_cap(r->body_cap);
    uint8_t *bigger;

    if (atomic_fetch_add(&r->server->body_bytes, more) + more > BODIES_MAX) {
        r->server->body_bytes -= more;
        wfl_fail(&r->err, WFL_OVERLOADED, "body of %zu bytes: too many are under way", cap);
        answer_problem(r, NULL, &r->err);
        return false;
    }
    bigger = wfl_alloc_resize(&wfl_alloc_libc, r->body, cap);
    if (bigger == NULL) {
        r->server->body_bytes -= more;
        wfl_fail(&r->err, WFL_NOMEM, "body of %zu bytes: out of memory", cap);
        answer_problem(r, NULL, &r->err);
        return false;
    }
    r->body = bigger;
    r->body_cap = cap;
    return true;
}

static void refuse_large_body(struct request *r)
{
    wfl_fail(&r->err, r->body_too_large != WFL_OK ? r->body_too_large : WFL_OBJECT_TOO_LARGE,
             "the body is larger than %llu bytes", (unsigned long long)r->body_max);
    answer_problem(r, NULL, &r->err);
}

void request_read_body(struct request *r, uint64_t max, void (*next)(struct request *r))
{
    const struct wfl_request *head = request_head(r);

    r->body_max = max;
    r->with_body = next;
    if (!head->has_body) {
        next(r);
        return;
    }
    if (head->length_known && head->length > max) {
        refuse_large_body(r);
        return;
    }
    /* One byte more than is said or allowed: room in which an end, or too much, can be seen. */
    size_t want = head->length_known ? (size_t)head->length + 1 : BODY_FIRST_CAP;
    if (want > max + 1) want = (size_t)max + 1;
    if (grow_body(r, want)) read_more(r);
}

static void on_body(void *ctx, struct wfl_exchange *x, size_t n, bool end)
{
    struct request *r = wfl_exchange_user(x);

    (void)ctx;
    r->body_len += n;
    rates_moved(r, n);
    if (r->intake != NULL) {
        intake_on_body(r, n, end);
    } else if (r->body_len > r->body_max) {
        refuse_large_body(r);
    } else if (end && request_is_revoked(r)) {
        answer_problem(r, NULL, &r->err);
    } else if (end) {
        r->with_body(r);
    } else if (r->body_len < r->body_cap) {
        read_more(r);
    } else {
        size_t cap = r->body_cap * 2 > r->body_max + 1 ? (size_t)r->body_max + 1 : r->body_cap * 2;
        if (grow_body(r, cap)) read_more(r);
    }
}

bool request_digest_matches(const struct request *r, wfl_slice content, wfl_hash *blake3)
{
    wfl_hash          hash = {{0}};
    struct sha256_ctx sha;
    uint8_t           digest[SHA256_DIGEST_SIZE];

    if (blake3 != NULL || r->who.content == WFL_CONTENT_BLAKE3) hash = wfl_hash_of(content);
    if (blake3 != NULL) *blake3 = hash;
    switch (r->who.content) {
    case WFL_CONTENT_BLAKE3:
        return memcmp(hash.bytes, r->who.content_hash, WFL_HASH_LEN) == 0;
    case WFL_CONTENT_SHA256:
        sha256_init(&sha);
        sha256_update(&sha, content.len, content.data);
        sha256_digest(&sha, sizeof digest, digest);
        return memcmp(digest, r->who.content_hash, sizeof digest) == 0;
    case WFL_CONTENT_NONE:
    case WFL_CONTENT_UNSIGNED:
        break;
    }
    return true;
}

/* ---- head */

static struct request *new_request(struct wfl_server *s, struct wfl_exchange *x)
{
    struct tracked *t = wfl_arena_zero(wfl_exchange_arena(x), 1, sizeof *t);

    if (t == NULL) return NULL;
    t->request.server = s;
    t->request.x = x;
    t->request.query = wfl_exchange_request(x)->query;
    wfl_exchange_set_user(x, &t->request);
    return &t->request;
}

static bool authenticate(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    struct wfl_auth_header   *headers;
    struct wfl_auth_request   question;

    headers = wfl_arena_get(request_arena(r), (head->header_count + 1) * sizeof *headers);
    if (headers == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "authenticate: out of memory");
        return false;
    }
    for (uint32_t i = 0; i < head->header_count; i++) {
        headers[i] = (struct wfl_auth_header){head->headers[i].name, head->headers[i].value};
    }
    question = (struct wfl_auth_request){
        .method = head->method,
        .path = head->path,
        .query = head->query,
        .authority = head->authority,
        .headers = headers,
        .header_count = head->header_count,
        .has_body = head->has_body && !(head->length_known && head->length == 0),
    };
    if (wfl_auth_authenticate(r->server->auth, &question, request_arena(r), &r->who, &r->err) !=
        WFL_OK) {
        return false;
    }
    r->query = r->who.query;
    return true;
}

/* A read of an object without any credential, in a bucket whose owner has opened it to everybody.
 * What else is wrong with such a request is told as it would be with one. */
static bool is_public(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    struct wfl_bucket_info    info;
    struct wfl_target         target;
    wfl_error                 err;

    r->anonymous =
        r->err.code == WFL_CREDENTIAL_MISSING &&
        wfl_request_header(head, WFL_S("authorization")) == NULL &&
        (wfl_slice_eq(head->method, WFL_S("GET")) || wfl_slice_eq(head->method, WFL_S("HEAD"))) &&
        wfl_target_parse(head, request_arena(r), &target, &err) == WFL_OK &&
        target.kind == WFL_TARGET_OBJECT &&
        wfl_store_bucket_info(r->server->store, target.bucket, request_arena(r), &info, &err) ==
            WFL_OK &&
        info.settings.public_read;
    return r->anonymous;
}

/* A URL that is handed on must not be good for more than it says. */
static bool fits_credential(struct request *r)
{
    wfl_slice method = request_head(r)->method;

    if (r->who.packet == NULL || r->who.credential != WFL_CREDENTIAL_URL) return true;
    if (r->target.kind == WFL_TARGET_OBJECT &&
        (wfl_slice_eq(method, WFL_S("GET")) || wfl_slice_eq(method, WFL_S("HEAD")) ||
         wfl_slice_eq(method, WFL_S("PUT")))) {
        return true;
    }
    wfl_fail(&r->err, WFL_FORBIDDEN, "a presigned URL is for GET, HEAD and PUT of an object");
    return false;
}

static void route(struct request *r)
{
    switch (r->target.kind) {
    case WFL_TARGET_BUCKETS:
        route_buckets(r);
        return;
    case WFL_TARGET_BUCKET:
        route_bucket(r);
        return;
    case WFL_TARGET_OBJECT:
        route_object(r);
        return;
    case WFL_TARGET_SCAN:
        route_scan(r);
        return;
    case WFL_TARGET_BATCH:
        route_batch(r);
        return;
    case WFL_TARGET_QUERY:
        route_query(r);
        return;
    case WFL_TARGET_CHANGES:
        route_changes(r);
        return;
    case WFL_TARGET_SERVER:
        route_server(r);
        return;
    case WFL_TARGET_SCRUB:
        route_scrub(r);
        return;
    case WFL_TARGET_REVOCATIONS:
        route_revocations(r);
        return;
    case WFL_TARGET_SESSION:
        route_session(r);
        return;
    case WFL_TARGET_NONE:
        break;
    }
    wfl_fail(&r->err, WFL_NOT_FOUND, "nothing is served here");
    answer_problem(r, NULL, &r->err);
}

static void on_head(void *ctx, struct wfl_exchange *x)
{
    struct request *r = new_request(ctx, x);

    if (r == NULL) {
        wfl_exchange_abort(x);
        return;
    }
    if (!wfl_target_is_open(request_head(r)) && !authenticate(r) && !is_public(r)) {
        answer_problem(r, NULL, &r->err);
    } else if (wfl_target_parse(request_head(r), request_arena(r), &r->target, &r->err) != WFL_OK ||
               !fits_credential(r)) {
        answer_problem(r, NULL, &r->err);
    } else {
        route(r);
    }
}

static void on_broken(void *ctx, struct wfl_exchange *x, const wfl_error *err)
{
    struct request *r = wfl_exchange_user(x);

    if (r == NULL) r = new_request(ctx, x);
    if (r == NULL || r->status != 0) {
        wfl_exchange_abort(x);
        return;
    }
    answer_problem(r, NULL, err);
}

static void on_end(void *ctx, struct wfl_exchange *x, bool ok)
{
    struct request *r = wfl_exchange_user(x);

    (void)ctx;
    if (r == NULL) return;
    log_request(r, ok);
    audit_request(r->server->audit, r);
    if (r->watch != NULL) watch_on_end(r);
    tracked_of(r)->ended = true;
    if (!tracked_of(r)->away) request_fini(r);
}

static void on_timer(void *ctx, struct wfl_exchange *x)
{
    struct request *r = wfl_exchange_user(x);

    (void)ctx;
    if (r->watch != NULL)
        watch_on_timer(r);
    else if (r->outlet != NULL)
        outlet_on_timer(r);
    else if (r->intake != NULL)
        intake_on_timer(r);
}

static void on_drain(void *ctx, struct wfl_exchange *x)
{
    struct request *r = wfl_exchange_user(x);

    (void)ctx;
    if (r->watch != NULL) watch_on_drain(r);
}

struct wfl_handler wfl_request_handler(struct wfl_server *s)
{
    return (struct wfl_handler){
        .on_head = on_head,
        .on_body = on_body,
        .on_broken = on_broken,
        .on_drain = on_drain,
        .on_timer = on_timer,
        .on_end = on_end,
        .ctx = s,
    };
}
