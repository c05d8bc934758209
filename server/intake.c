/* SPDX-License-Identifier: Apache-2.0
 *
 * A large body on its way in. The reactor receives into one of four buffers of a chunk each; a full
 * one goes to the pool, one at a time and in order, while the next fills. There two pieces of work
 * share it, so that one upload can use two cores: one hashes it as part of the whole, the other
 * hands it to the store, which hashes it as a chunk and writes it; who ends last calls back. With
 * no buffer free the socket is not read: that is the window. A sender that is slow holds buffers
 * and no thread. When the body has ended and all chunks are in, the store makes them durable, what
 * was declared is compared, and the route goes on.
 *
 * Failure: the first one answers; a body that breaks off, differs or is too large leaves a content
 * that nobody names, which the store takes back. */
#include "server/server.h"

#include <nettle/sha2.h>
#include <stdatomic.h>

#define BUFFERS          4            /* of WFL_CHUNK_BYTES: the window of 4 MiB */
#define HASH_BYTES_LEAST (256u << 10) /* below, hashing beside the store is not worth the way */

struct intake {
    struct wfl_ingest *content;
    uint8_t           *buffers[BUFFERS];
    size_t             lens[BUFFERS];
    unsigned           first, full; /* full ones from `first` on; the one behind them fills */
    bool               reading, ended, working;
    bool               has_chunks; /* the store has some already */
    bool               one_chunk;  /* what is worked on is all there is: its hash is the whole's */
    int64_t            small_max;
    uint64_t           max;
    struct sha256_ctx  sha256; /* where that was declared */

    struct wfl_engine_work hash_work; /* beside the request's, where there is one */
    bool                   hash_beside;
    atomic_uint            under_way; /* pieces of work on the first buffer */

    wfl_code  rc; /* of the work under way; its own error, for the reactor may answer meanwhile */
    wfl_error err;
    bool      sealed;
    uint64_t  size;
    wfl_hash  blake3;
    void (*next)(struct request *r);
};

static void advance(struct request *r);

static void fail(struct request *r, wfl_code code, const char *text)
{
    wfl_fail(&r->err, code, "%s", text);
    answer_problem(r, NULL, &r->err);
}

/* ---- in the pool */

static wfl_slice first_buffer(const struct intake *in)
{
    return wfl_slice_of(in->buffers[in->first], in->lens[in->first]);
}

/* True: the other piece of work has ended too, or there is none. */
static bool is_last(struct intake *in)
{
    return atomic_fetch_sub(&in->under_way, 1) == 1;
}

static void hash_whole(struct request *r)
{
    struct intake *in = r->intake;
    wfl_slice      bytes = first_buffer(in);

    if (r->who.content == WFL_CONTENT_SHA256) sha256_update(&in->sha256, bytes.len, bytes.data);
    if (!in->one_chunk) wfl_ingest_hash(in->content, bytes);
}

static void hash_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    hash_whole(r);
    if (is_last(r->intake)) request_done(r);
}

static void add_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;
    struct intake  *in = r->intake;

    if (!in->hash_beside) hash_whole(r);
    in->rc = wfl_ingest_add_chunk(in->content, first_buffer(in), &in->err);
    if (is_last(in)) request_done(r);
}

static void seal_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;
    struct intake  *in = r->intake;

    in->rc = wfl_ingest_seal(in->content, &in->size, &in->blake3, &in->err);
    request_done(r);
}

/* ---- on the reactor */

static bool digest_matches(struct request *r)
{
    struct intake *in = r->intake;
    uint8_t        digest[SHA256_DIGEST_SIZE];

    switch (r->who.content) {
    case WFL_CONTENT_BLAKE3:
        return memcmp(in->blake3.bytes, r->who.content_hash, WFL_HASH_LEN) == 0;
    case WFL_CONTENT_SHA256:
        sha256_digest(&in->sha256, sizeof digest, digest);
        return memcmp(digest, r->who.content_hash, sizeof digest) == 0;
    case WFL_CONTENT_NONE:
    case WFL_CONTENT_UNSIGNED:
        break;
    }
    return true;
}

static void after_seal(struct request *r)
{
    struct intake *in = r->intake;

    if (r->status != 0) return; /* answered meanwhile */
    if (in->rc != WFL_OK) {
        answer_problem(r, NULL, &in->err);
        return;
    }
    in->sealed = true;
    if (request_is_revoked(r)) /* at the latest here: from now on it would be named */
        answer_problem(r, NULL, &r->err);
    else if (digest_matches(r))
        in->next(r);
    else
        fail(r, WFL_CONTENT_MISMATCH, "the bytes received do not have the hash declared");
}

static void after_add(struct request *r)
{
    struct intake *in = r->intake;

    in->working = false;
    in->first = (in->first + 1) % BUFFERS;
    in->full--;
    if (r->status != 0) return; /* answered meanwhile */
    if (in->rc != WFL_OK)
        answer_problem(r, NULL, &in->err);
    else
        advance(r);
}

static bool begin_content(struct request *r)
{
    struct intake *in = r->intake;

    if (in->content != NULL) return true;
    if (wfl_ingest_new(r->server->store, r->target.bucket, &in->content, &r->err) == WFL_OK)
        return true;
    answer_problem(r, NULL, &r->err);
    return false;
}

static void fill(struct request *r)
{
    struct intake *in = r->intake;
    unsigned       at = (in->first + in->full) % BUFFERS;
    size_t         cap = WFL_CHUNK_BYTES;

    if (rates_pause(r)) return; /* the socket is not read until its time has come */
    if (in->buffers[at] == NULL) in->buffers[at] = wfl_alloc_get(&wfl_alloc_libc, WFL_CHUNK_BYTES);
    if (in->buffers[at] == NULL) {
        fail(r, WFL_NOMEM, "a body's window: out of memory");
        return;
    }
    /* One byte more than is allowed, where that is less than a chunk: too much is then seen at
     * once. */
    if (in->max - r->body_len < cap) cap = (size_t)(in->max - r->body_len) + 1;
    in->lens[at] = 0;
    in->reading = true;
    wfl_exchange_read(r->x, in->buffers[at], cap);
}

static void small_body(struct request *r)
{
    struct intake *in = r->intake;

    r->body = in->buffers[in->first];
    in->buffers[in->first] = NULL;
    in->full = 0;
    in->next(r);
}

static wfl_code give(struct request *r, struct wfl_engine_work *work, uint64_t bytes,
                     void (*run)(struct wfl_engine_work *work))
{
    *work = (struct wfl_engine_work){.computes = true,
                                     .flow = wfl_ingest_bucket(r->intake->content),
                                     .bytes = bytes,
                                     .run = run,
                                     .arg = r};
    return wfl_engine_work(r->server->engine, work);
}

static void work_on_first(struct request *r)
{
    struct intake *in = r->intake;
    size_t         len = in->lens[in->first];
    bool           hashes; /* beside the store */
    wfl_code       rc;

    in->working = true;
    in->one_chunk = !in->has_chunks && in->ended && in->full == 1;
    in->has_chunks = true;
    hashes = !in->one_chunk || r->who.content == WFL_CONTENT_SHA256;
    atomic_store(&in->under_way, 2);
    /* Where the pool takes no second piece of work the first does both. */
    in->hash_beside = hashes && len >= HASH_BYTES_LEAST &&
                      give(r, &in->hash_work, len, hash_in_pool) == WFL_PENDING;
    if (!in->hash_beside) (void)is_last(in);
    rc = give(r, &r->work, in->hash_beside || !hashes ? len : 2 * len, add_in_pool);
    if (rc == WFL_PENDING) {
        request_await(r, rc, after_add);
        return;
    }
    in->rc = wfl_fail(&in->err, rc, "the worker pool is full");
    request_await(r, is_last(in) ? in->rc : WFL_PENDING, after_add);
}

static void advance(struct request *r)
{
    struct intake *in = r->intake;

    if (in->ended && in->content == NULL && (int64_t)r->body_len <= in->small_max) {
        small_body(r);
        return;
    }
    if (!in->working && in->full > 0) {
        if (!begin_content(r)) return;
        work_on_first(r);
    } else if (!in->working && in->ended) {
        if (!begin_content(r)) return; /* a part may be empty */
        in->working = true;
        request_work(r, wfl_ingest_bucket(in->content), 0, seal_in_pool, after_seal);
    }
    if (r->status == 0 && !in->reading && !in->ended && in->full < BUFFERS) fill(r);
}

void intake_on_body(struct request *r, size_t n, bool end)
{
    struct intake *in = r->intake;
    unsigned       at = (in->first + in->full) % BUFFERS;

    in->reading = false;
    in->lens[at] = n;
    in->ended = end;
    if (n > 0) in->full++;
    if (request_is_revoked(r)) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (r->body_len > in->max) {
        wfl_fail(&r->err, WFL_OBJECT_TOO_LARGE, "the body is larger than %llu bytes",
                 (unsigned long long)in->max);
        answer_problem(r, NULL, &r->err);
        return;
    }
    advance(r);
}

void intake_on_timer(struct request *r)
{
    if (r->status == 0 && !r->intake->reading && !r->intake->ended) advance(r);
}

void request_take_content(struct request *r, uint64_t max, int64_t small_max,
                          void (*next)(struct request *r))
{
    const struct wfl_request *head = request_head(r);
    struct intake            *in = wfl_arena_zero(request_arena(r), 1, sizeof *in);

    if (in == NULL) {
        fail(r, WFL_NOMEM, "a body's window: out of memory");
        return;
    }
    r->intake = in;
    in->max = max;
    in->small_max = small_max;
    in->next = next;
    sha256_init(&in->sha256);
    if (head->has_body && head->length_known && head->length > max) {
        wfl_fail(&r->err, WFL_OBJECT_TOO_LARGE, "the body is larger than %llu bytes",
                 (unsigned long long)max);
        answer_problem(r, NULL, &r->err);
        return;
    }
    in->ended = !head->has_body;
    advance(r);
}

struct wfl_ingest *intake_content(const struct request *r, uint64_t *size, wfl_hash *blake3)
{
    const struct intake *in = r->intake;

    if (in == NULL || in->content == NULL) return NULL;
    *size = in->size;
    *blake3 = in->blake3;
    return in->content;
}

void intake_fini(struct request *r)
{
    struct intake *in = r->intake;

    if (in == NULL) return;
    wfl_ingest_free(in->content);
    for (unsigned i = 0; i < BUFFERS; i++)
        wfl_alloc_free(&wfl_alloc_libc, in->buffers[i]);
    r->intake = NULL;
}
