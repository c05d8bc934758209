/* SPDX-License-Identifier: Apache-2.0
 *
 * Revocations: an administrator's, by jti or by key, and an issuer's, of a link that it has signed.
 * An entry is in force when the store has it, which is before its answer is sent; then whatever
 * waits with a packet that it concerns is woken, on every reactor.
 *
 * An issuer takes back its own link, not a jti: anybody can sign a link with anybody's jti, and
 * must not end the packets of others by taking that one back. */
#include "server/revocation_json.h"
#include "server/server.h"

#define ENTRY_BYTES_MAX 2048
#define LIST_BYTES_MAX  (4u << 20)
#define LIMIT_DEFAULT   100

struct revoke_call {
    struct wfl_revoke op;

    /* of a listing */
    struct wfl_revocation  after;
    bool                   has_after, more;
    uint32_t               limit, count;
    struct wfl_revocation *page;
    wfl_code               rc;
    wfl_error              err;
};

/* ---- what auth asks */

static bool is_revoked(void *ctx, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder)
{
    return wfl_store_revoked(ctx, jti, kid, holder);
}

static uint64_t epoch_of(void *ctx)
{
    return wfl_store_revocation_epoch(ctx);
}

struct wfl_revocations wfl_revocations_of(struct wfl_store *store)
{
    return (struct wfl_revocations){.revoked = is_revoked, .epoch = epoch_of, .ctx = store};
}

/* ---- POST */

static void after_revoke(struct request *r)
{
    struct wfl_revoke *op = &r->op.revoke->op;
    struct answer      a = {0};
    wfl_buf            text;
    wfl_json           json;

    if (r->status != 0) return; /* answered meanwhile */
    if (op->rc != WFL_OK) {
        answer_problem(r, NULL, &op->err);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, ENTRY_BYTES_MAX);
    wfl_json_init(&json, &text);
    revocation_write(&op->what, &json);
    answer_json(r, &a, op->created ? 201 : 200, &text);
}

/* On the committer, whether or not the client is still there. */
static void revoke_done(struct wfl_revoke *op)
{
    struct request *r = op->arg;

    if (op->rc == WFL_OK && op->created) watch_hub_recheck(r->server->watches);
    request_done(r);
}

/* An administrator's right, or an issuer's. */
static wfl_code permit(struct request *r, const struct revocation_body *body)
{
    struct wfl_revocation *what = &r->op.revoke->op.what;
    int64_t                exp;
    wfl_code               rc;

    *what = body->what;
    memcpy(what->by, r->who.client.text, sizeof what->by);
    if (what->kind != WFL_REVOKED_LINK) {
        r->asked_op = WFL_OP_ADMIN;
        if (wfl_packet_grants(r->who.packet, WFL_OP_ADMIN, WFL_S("*"), (wfl_slice){0}))
            return WFL_OK;
        return wfl_fail(&r->err, WFL_FORBIDDEN,
                        "the key packet does not grant admin; an issuer names the link");
    }
    rc = wfl_packet_check_issued(r->who.packet, body->link, &wfl_alloc_libc, &what->jti, &exp,
                                 &r->err);
    if (rc != WFL_OK) return rc;
    memcpy(what->kid, r->who.client.text, sizeof what->kid);
    what->expires_ms = (uint64_t)exp * 1000;
    return WFL_OK;
}

static void revoke_with_body(struct request *r)
{
    struct revocation_body body;
    wfl_slice              text = wfl_slice_of(r->body, r->body_len);
    wfl_code               rc;

    if (!request_digest_matches(r, text, NULL))
        rc = wfl_fail(&r->err, WFL_CONTENT_MISMATCH, "the body does not have the hash declared");
    else
        rc = revocation_body_parse(text, request_arena(r), &body, &r->err);
    if (rc == WFL_OK) rc = permit(r, &body);
    if (rc == WFL_OK) rc = request_admit(r, &r->err);
    if (rc != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    r->op.revoke->op.done = revoke_done;
    r->op.revoke->op.arg = r;
    request_await(r, wfl_store_revoke(r->server->store, &r->op.revoke->op), after_revoke);
}

/* ---- GET */

static void answer_page(struct request *r)
{
    struct revoke_call *call = r->op.revoke;
    struct answer       a = {0};
    char                place[WFL_REVOCATION_PLACE_TEXT];
    wfl_buf             text;
    wfl_json            json;

    wfl_buf_init(&text, &wfl_alloc_libc, LIST_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "revocations");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < call->count; i++)
        revocation_write(&call->page[i], &json);
    wfl_json_end(&json);
    if (call->more && call->count > 0) {
        revocation_place_write(&call->page[call->count - 1], place);
        wfl_json_key(&json, "cursor");
        wfl_json_cstr(&json, place);
    }
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

static void after_list(struct request *r)
{
    if (r->status != 0) return; /* answered meanwhile */
    if (r->op.revoke->rc == WFL_OK)
        answer_page(r);
    else
        answer_problem(r, NULL, &r->op.revoke->err);
}

static void list_in_pool(struct wfl_engine_work *work)
{
    struct request     *r = work->arg;
    struct revoke_call *call = r->op.revoke;

    call->rc =
        wfl_store_revocations(r->server->store, call->has_after ? &call->after : NULL, call->limit,
                              call->page, &call->count, &call->more, &call->err);
    request_done(r);
}

static wfl_code read_question(struct request *r, struct revoke_call *call)
{
    struct wfl_param params[] = {{.name = "limit"}, {.name = "cursor"}};
    uint64_t         limit = LIMIT_DEFAULT;
    wfl_code         rc =
        wfl_query_parse(request_query(r), params, WFL_COUNT(params), request_arena(r), &r->err);

    if (rc != WFL_OK) return rc;
    if (params[0].given &&
        (!wfl_slice_to_u64(params[0].value, WFL_REVOCATION_LIST_MAX, &limit) || limit == 0))
        return wfl_fail(&r->err, WFL_INVALID_QUERY, "limit is from 1 to %d",
                        WFL_REVOCATION_LIST_MAX);
    call->has_after = params[1].given;
    if (call->has_after && !revocation_place_parse(params[1].value, &call->after))
        return wfl_fail(&r->err, WFL_INVALID_QUERY, "cursor is not one of this listing's");
    call->limit = (uint32_t)limit;
    call->page = wfl_arena_get(request_arena(r), limit * sizeof *call->page);
    return call->page != NULL ? WFL_OK : wfl_fail(&r->err, WFL_NOMEM, "revocations: out of memory");
}

static void list(struct request *r)
{
    if (read_question(r, r->op.revoke) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_permit(r, WFL_OP_ADMIN, WFL_S("*"), (wfl_slice){0})) return;
    request_work(r, request_flow(r), r->op.revoke->limit * 256ull, list_in_pool, after_list);
}

/* ---- the head */

void route_revocations(struct request *r)
{
    const struct wfl_request *head = request_head(r);
    bool                      get = wfl_slice_eq(head->method, WFL_S("GET"));

    if (!get && !wfl_slice_eq(head->method, WFL_S("POST"))) {
        answer_not_allowed(r, "GET, POST");
        return;
    }
    r->op.revoke = wfl_arena_zero(request_arena(r), 1, sizeof *r->op.revoke);
    if (r->op.revoke == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "revocations: out of memory");
        answer_problem(r, NULL, &r->err);
    } else if (get) {
        list(r);
    } else if (wfl_query_parse(request_query(r), NULL, 0, request_arena(r), &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
    } else {
        request_read_body(r, WFL_REVOCATION_BYTES_MAX, revoke_with_body);
    }
}
