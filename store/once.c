/* SPDX-License-Identifier: Apache-2.0
 *
 * Every write happens once. Around the apply of each write that carries a nonce stands one wrapper:
 * on the committer it looks whether the nonce is known, over what the group has written so far, so
 * of two that race one is executed. Not known: the operation's own apply runs and writes the
 * outcome into its own transaction; where it is refused for what is stored, the refusal is written
 * alone, and waits for no fsync: what a power cut takes of it was never a success. Known: nothing
 * is executed and the outcome is the first one's.
 *
 * A row lives `nonce_retention_seconds`, and at least as long as any request that carries its nonce
 * is valid byte by byte: a repetition that was signed anew shortly before the end makes it live
 * longer. Else that one, captured, could be executed when the row has gone.
 *
 * Failure: a row that cannot be read refuses the write. Without memory for a row nothing happens.
 */
#include <assert.h>

#include "store/chunks.h"

bool wfl_once_remembers(wfl_code refusal)
{
    switch ((unsigned)refusal) {
    case WFL_BUCKET_NOT_FOUND:
    case WFL_KEY_NOT_FOUND:
    case WFL_VERSION_NOT_FOUND:
    case WFL_UPLOAD_NOT_FOUND:
    case WFL_BUCKET_EXISTS:
    case WFL_BUCKET_NOT_EMPTY:
    case WFL_PRECONDITION_FAILED:
    case WFL_OBJECT_TOO_LARGE:
    case WFL_QUOTA_EXCEEDED:
        return true;
    default:
        return false;
    }
}

void wfl_once_fini(struct wfl_once *once)
{
    if (once->own.memory != NULL) wfl_alloc_free(once->own.alloc, once->own.memory);
    once->own.memory = NULL;
    once->outcome.rest = (wfl_slice){0};
}

uint8_t *wfl_once_room(struct wfl_store *s, struct wfl_once *once, size_t n)
{
    wfl_once_fini(once);
    once->own.alloc = s->alloc;
    once->own.memory = wfl_alloc_get(s->alloc, n);
    return once->own.memory;
}

wfl_slice wfl_key_once(wfl_slice client, wfl_slice nonce, uint8_t out[WFL_ONCE_KEY_LEN])
{
    wfl_hash of_client = wfl_hash_of(client), of_nonce = wfl_hash_of(nonce);

    /* Half a hash each: a client that finds two nonces with one key fools itself. */
    memcpy(out, of_client.bytes, WFL_ONCE_KEY_LEN / 2);
    memcpy(out + WFL_ONCE_KEY_LEN / 2, of_nonce.bytes, WFL_ONCE_KEY_LEN / 2);
    return wfl_slice_of(out, WFL_ONCE_KEY_LEN);
}

/* ---- the row */

static wfl_code write_row(const struct wfl_once *once, struct wfl_txn *t, wfl_code code,
                          const wfl_error *why, int64_t expires_ms, wfl_error *err)
{
    struct once_row row = {
        .expires_ms = (uint64_t)expires_ms, .code = code, .outcome = once->outcome};
    uint8_t   key[WFL_ONCE_KEY_LEN], head[WFL_ONCE_HEAD_MAX];
    wfl_slice parts[2];

    if (code != WFL_OK) row.message = wfl_slice_str(why->message);
    memcpy(row.operation, once->operation, sizeof row.operation);
    parts[0] = wfl_slice_of(head, wfl_once_row_write(&row, head));
    parts[1] = once->outcome.rest;
    return wfl_txn_put(t, WFL_SPACE_NONCES, wfl_key_once(once->client, once->nonce, key), parts,
                       parts[1].len > 0 ? 2 : 1, err);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static wfl_code take_outcome(struct wfl_store *s, struct wfl_once *once, const struct once_row *row,
                             wfl_error *err)
{
    wfl_slice rest = row->outcome.rest;
    uint8_t  *room = rest.len > 0 ? wfl_once_room(s, once, rest.len) : NULL;

    if (rest.len > 0 && room == NULL)
        return wfl_fail(err, WFL_NOMEM, "no memory for the outcome of a write");
    once->outcome = row->outcome;
    once->outcome.rest = wfl_slice_of(room, rest.len);
    if (rest.len > 0) memcpy(room, rest.data, rest.len);
    once->replayed = true;
    once->own.code = row->code;
    once->own.longer = (uint64_t)later(once->valid_ms, 0) > row->expires_ms;
    return WFL_OK;
}

/* OK, and once->replayed says whether the nonce was known. NONCE_REUSED. */
static wfl_code look_up(struct wfl_store *s, struct wfl_once *once, struct wfl_txn *t,
                        wfl_error *why, wfl_error *err)
{
    uint8_t         key[WFL_ONCE_KEY_LEN];
    struct wfl_pin  pin = {0};
    struct once_row row;
    const char     *wrong;
    wfl_code        rc =
        wfl_txn_get(t, WFL_SPACE_NONCES, wfl_key_once(once->client, once->nonce, key), &pin, err);

    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc != WFL_OK) return rc;
    wrong = wfl_once_row_read(pin.value, &row);
    if (wrong != NULL)
        rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "record of a nonce: %s", wrong);
    else if (row.expires_ms <= wfl_clock_unix_ms(s->clock))
        rc = WFL_OK; /* as if it had gone */
    else if (memcmp(row.operation, once->operation, sizeof row.operation) != 0)
        rc = wfl_fail(err, WFL_NONCE_REUSED, "this nonce was used for another operation");
    else
        rc = take_outcome(s, once, &row, err);
    if (once->replayed && row.code != WFL_OK) wfl_fail(why, row.code, "%.*s", WFL_FMT(row.message));
    wfl_pin_release(&pin);
    return rc;
}

/* ---- the wrapper */

static struct wfl_once_commit *once_commit_of(struct wfl_commit *c)
{
    return (struct wfl_once_commit *)(void *)c; /* its first member */
}

static wfl_code once_apply(struct wfl_commit *commit, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_once_commit *c = once_commit_of(commit);
    struct wfl_once        *once = c->once;
    wfl_error               why = {.code = WFL_OK};
    wfl_code                rc;

    once->replayed = once->own.judged = false;
    rc = look_up(c->store, once, t, &why, err);
    if (rc != WFL_OK) return rc;
    if (!once->replayed && once->known_only)
        return wfl_fail(err, WFL_REPLAYED, "this counter is below the session's last 4096");
    if (!once->replayed) {
        once->own.judged = true;
        return c->apply(commit, t, err);
    }
    if (once->own.code != WFL_OK) {
        *err = why;
        return once->own.code;
    }
    return once->own.longer ? write_row(once, t, WFL_OK, NULL, once->valid_ms, err) : WFL_OK;
}

static wfl_code once_refused(struct wfl_commit *commit, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_once_commit *c = once_commit_of(commit);
    struct wfl_once        *once = c->once;

    if (once->replayed)
        return once->own.longer ? write_row(once, t, commit->rc, &commit->err, once->valid_ms, err)
                                : WFL_OK;
    if (!once->own.judged || !wfl_once_remembers(commit->rc)) return WFL_OK;
    return write_row(once, t, commit->rc, &commit->err, later(once->keep_ms, once->valid_ms), err);
}

wfl_code wfl_once_submit(struct wfl_once_commit *c)
{
    c->commit.apply = c->apply;
    if (c->once != NULL) {
        assert(c->once->client.len > 0 && c->once->nonce.len > 0);
        c->commit.apply = once_apply;
        c->commit.refused = once_refused;
        c->commit.bytes += WFL_ONCE_HEAD_MAX;
    }
    return wfl_engine_commit(c->store->engine, &c->commit);
}

wfl_code wfl_once_keep(struct wfl_once *once, struct wfl_txn *t, const struct wfl_outcome *outcome,
                       wfl_error *err)
{
    if (once == NULL) return WFL_OK;
    assert(once->own.judged && outcome->rest.len <= WFL_ONCE_REST_MAX);
    once->outcome = *outcome;
    return write_row(once, t, WFL_OK, NULL, later(once->keep_ms, once->valid_ms), err);
}

/* ---- refusals of their own */

static wfl_code refuse_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    const struct wfl_refusal *op = c->arg;

    (void)t;
    *err = op->err;
    return op->code;
}

static void refuse_done(struct wfl_commit *c)
{
    struct wfl_refusal *op = c->arg;

    op->rc = c->rc;
    op->err = c->err;
    /* Asked and not known: whatever comes of it is still to be judged. */
    if (!wfl_once_remembers(op->code)) op->once->own.judged = false;
    op->done(op);
}

wfl_code wfl_store_refuse(struct wfl_store *s, struct wfl_refusal *op)
{
    assert(op->code != WFL_OK && op->once != NULL);
    op->err.code = op->code;
    op->rc = WFL_PENDING;
    op->own.commit = (struct wfl_once_commit){
        .commit = {.durability = WFL_DURABLE, .done = refuse_done, .arg = op},
        .store = s,
        .once = op->once,
        .apply = refuse_apply};
    wfl_code rc = wfl_once_submit(&op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    op->err = op->own.commit.commit.err;
    return op->rc = rc;
}
