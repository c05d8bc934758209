/* SPDX-License-Identifier: Apache-2.0
 *
 * A write's nonce on its way: claimed where the request is permitted, carried by the operation into
 * its commit, and looked at again where the write is refused before any commit. For such a refusal
 * may come from what the first execution has done (the version that it erased is not there), so a
 * committer is asked before the answer; where the nonce is new the refusal is remembered there. */
#include "server/server.h"

wfl_code request_claim_nonce(struct request *r, wfl_error *err)
{
    struct wfl_nonce_claim claim;
    wfl_code               rc = wfl_auth_claim_nonce(r->server->auth, &r->who, &claim, err);

    if (rc != WFL_OK || r->who.once_nonce.len == 0) return rc; /* a URL has none */
    r->once = (struct wfl_once){.client = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN),
                                .nonce = r->who.once_nonce,
                                .keep_ms = claim.keep_ms,
                                .valid_ms = claim.valid_ms,
                                .known_only = claim.known_only};
    memcpy(r->once.operation, r->who.operation, sizeof r->once.operation);
    return WFL_OK;
}

struct wfl_once *request_once(struct request *r)
{
    return r->once.client.len > 0 ? &r->once : NULL;
}

void request_once_body(struct request *r, wfl_slice body)
{
    struct wfl_hasher h;
    wfl_hash          of_body, both;

    if (r->who.content == WFL_CONTENT_BLAKE3 || r->who.content == WFL_CONTENT_SHA256) return;
    of_body = wfl_hash_of(body);
    wfl_hasher_init(&h);
    wfl_hasher_add(&h, wfl_slice_of(r->who.operation, sizeof r->who.operation));
    wfl_hasher_add(&h, wfl_slice_of(of_body.bytes, sizeof of_body.bytes));
    both = wfl_hasher_result(&h);
    memcpy(r->once.operation, both.bytes, sizeof r->once.operation);
}

/* ---- asking the committer */

static void refusal_done(struct wfl_refusal *op)
{
    request_done(op->arg);
}

static void ask(struct request *r, wfl_code code, const wfl_error *err,
                void (*resume)(struct request *r))
{
    r->refusal =
        (struct wfl_refusal){.once = &r->once, .code = code, .done = refusal_done, .arg = r};
    if (err != NULL) r->refusal.err = *err;
    request_await(r, wfl_store_refuse(r->server->store, &r->refusal), resume);
}

static void finish(struct request *r, wfl_code rc, const wfl_error *err)
{
    r->verdict = rc;
    if (rc != WFL_OK && err != &r->err) r->err = *err;
    r->answer(r);
}

static void resume_asked(struct request *r)
{
    if (r->status != 0) return; /* answered meanwhile */
    if (r->refusal.rc == WFL_NOT_FOUND)
        r->asked(r); /* the nonce is new */
    else
        finish(r, r->refusal.rc, &r->refusal.err);
}

void request_once_ask(struct request *r, void (*next)(struct request *r),
                      void (*answer)(struct request *r))
{
    if (request_once(r) == NULL) {
        next(r);
        return;
    }
    r->asked = next;
    r->answer = answer;
    ask(r, WFL_NOT_FOUND, NULL, resume_asked);
}

static void resume_refused(struct request *r)
{
    if (r->status != 0) return; /* answered meanwhile */
    finish(r, r->refusal.rc, &r->refusal.err);
}

void request_conclude(struct request *r, wfl_code rc, const wfl_error *err,
                      void (*answer)(struct request *r))
{
    /* A full disk refuses what would grow it before it is judged, a repetition too. */
    bool unseen = request_once(r) != NULL && !wfl_once_is_settled(&r->once) &&
                  (wfl_once_remembers(rc) || rc == WFL_DISK_FULL);

    r->answer = answer;
    if (unseen)
        ask(r, rc, err, resume_refused);
    else
        finish(r, rc, err);
}
