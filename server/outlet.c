/* SPDX-License-Identifier: Apache-2.0
 *
 * A large content on its way out, a few chunks at a time: a worker opens and verifies the next ones
 * while those before are being written. The first comes alone, so that the answer begins soon; then
 * each turn opens twice as many, up to half of what may be in hand, because handing work to the
 * pool and back costs as much as a tenth of sending a chunk. In clear HTTP/1.1 a chunk goes from
 * the page cache by sendfile; else it is mapped, and written or sealed from there.
 *
 * Failure: before the head is out it is an answer like any other (CORRUPT_OBJECT, OVERLOADED);
 * after that the answer is broken off, so that the peer can see that it is not whole. */
#include "server/server.h"

#define IN_HAND_MAX 8
#define TURN_MAX    (IN_HAND_MAX / 2)

struct sent {                 /* one piece in net's hands */
    struct request  *request; /* NULL: free */
    struct wfl_piece piece;
    const uint8_t   *map;
};

struct outlet {
    struct wfl_reader *reader;
    struct wfl_piece   next[TURN_MAX];   /* what the worker has opened */
    unsigned           next_count, turn; /* of them, and how many the turn is to open */
    wfl_code           rc;               /* of that */
    uint64_t           left;             /* bytes not yet handed to net */
    bool               working, begun, failed;
    struct sent        sent[IN_HAND_MAX];
    unsigned           in_hand;

    struct answer answer;
    int           status;
};

static void advance(struct request *r);

/* ---- a piece in net's hands */

static void release_piece(void *arg)
{
    struct sent    *s = arg;
    struct request *r = s->request;

    if (s->map != NULL) wfl_blob_unmap(s->map, s->piece.at, s->piece.len);
    wfl_blob_close(&s->piece.blob);
    *s = (struct sent){0};
    r->outlet->in_hand--;
    if (wfl_exchange_is_open(r->x)) advance(r);
}

static struct sent *free_place(struct outlet *o)
{
    struct sent *s = o->sent;

    while (s->request != NULL)
        s++; /* there is one: in_hand is below the bound */
    return s;
}

static void break_off(struct request *r)
{
    r->outlet->failed = true;
    r->code = r->err.code;
    wfl_exchange_abort(r->x);
}

/* False: it is broken off. */
static bool send_piece(struct request *r, struct wfl_piece *piece)
{
    struct outlet       *o = r->outlet;
    struct sent         *s = free_place(o);
    struct wfl_body_part part = {.release = release_piece, .arg = s};

    *s = (struct sent){.request = r, .piece = *piece};
    *piece = (struct wfl_piece){0};
    o->in_hand++;
    o->left -= s->piece.len;
    rates_moved(r, s->piece.len);
    part.bytes.len = s->piece.len;
    part.in_file = wfl_exchange_sends_files(r->x);
    part.fd = s->piece.blob.fd;
    part.fd_at = s->piece.blob.offset + s->piece.at;
    if (!part.in_file) {
        s->map = wfl_blob_map(&s->piece.blob, s->piece.at, s->piece.len);
        part.bytes.data = s->map;
        if (s->map == NULL) {
            wfl_fail(&r->err, WFL_NOMEM, "a chunk could not be mapped");
            o->failed = true;
            release_piece(s);
            break_off(r);
            return false;
        }
    }
    wfl_exchange_send(r->x, part, o->left == 0);
    return true;
}

/* ---- the next ones */

static void close_next(struct outlet *o)
{
    for (unsigned i = 0; i < o->next_count; i++)
        wfl_blob_close(&o->next[i].blob);
    o->next_count = 0;
}

static void open_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;
    struct outlet  *o = r->outlet;
    uint64_t        left = o->left;

    o->rc = WFL_OK;
    while (o->rc == WFL_OK && left > 0 && o->next_count < o->turn) {
        struct wfl_piece *piece = &o->next[o->next_count];

        o->rc = wfl_reader_next(o->reader, piece, &r->err);
        if (o->rc == WFL_OK && piece->len == 0)
            o->rc = wfl_fail(&r->err, WFL_CORRUPT_OBJECT, "the content ends before its size");
        if (o->rc != WFL_OK) break;
        left -= piece->len;
        o->next_count++;
    }
    request_done(r);
}

static void after_open(struct request *r)
{
    struct outlet *o = r->outlet;

    if (o->rc != WFL_OK || o->failed) {
        o->working = false;
        close_next(o);
    }
    if (o->failed) return;
    if (o->rc != WFL_OK && !o->begun) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (o->rc != WFL_OK) {
        break_off(r);
        return;
    }
    if (!o->begun) {
        o->begun = true;
        answer_begin(r, &o->answer, o->status, o->left);
    }
    /* Still working: a piece that is released at once must not begin the next turn from here. */
    for (unsigned i = 0; i < o->next_count; i++)
        if (!send_piece(r, &o->next[i])) return;
    o->next_count = 0;
    o->working = false;
    if (o->turn < TURN_MAX && !rates_bound_bytes(r)) o->turn *= 2;
    if (wfl_exchange_is_open(r->x)) advance(r);
}

static void advance(struct request *r)
{
    struct outlet *o = r->outlet;

    if (o->working || o->failed || o->left == 0 || IN_HAND_MAX - o->in_hand < o->turn) return;
    if (o->begun && request_is_revoked(r)) {
        break_off(r);
        return;
    }
    if (o->begun && rates_pause(r)) return;
    o->working = true;
    r->work = (struct wfl_engine_work){.flow = wfl_get_flow(&r->op.get),
                                       .bytes = o->turn * (uint64_t)WFL_CHUNK_BYTES,
                                       .run = open_in_pool,
                                       .arg = r};
    wfl_code rc = wfl_engine_work(r->server->engine, &r->work);
    if (rc == WFL_PENDING) {
        request_await(r, rc, after_open);
        return;
    }
    o->working = false;
    wfl_fail(&r->err, rc, "the worker pool is full");
    if (o->in_hand > 0) return; /* what is being written asks again */
    if (o->begun)
        break_off(r);
    else
        answer_problem(r, NULL, &r->err);
}

void outlet_on_timer(struct request *r)
{
    advance(r);
}

void request_send_content(struct request *r, struct answer *a, int status, uint64_t first,
                          uint64_t count)
{
    struct outlet *o = wfl_arena_zero(request_arena(r), 1, sizeof *o);

    if (o == NULL) {
        wfl_fail(&r->err, WFL_NOMEM, "a large answer: out of memory");
        answer_problem(r, NULL, &r->err);
        return;
    }
    o->answer = *a;
    o->status = status;
    o->left = count;
    o->turn = 1;
    r->outlet = o;
    if (wfl_reader_new(&r->op.get, first, count, r->server->config->verify_always, &o->reader,
                       &r->err) != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    advance(r);
}

void outlet_fini(struct request *r)
{
    struct outlet *o = r->outlet;

    if (o == NULL) return;
    close_next(o);
    wfl_reader_free(o->reader);
    r->outlet = NULL;
}
