/* SPDX-License-Identifier: Apache-2.0
 *
 * wfldb-server's inside: the one place where auth, store and net meet. A request's way is
 *
 *   request.c   head -> authenticate -> target -> grant -> nonce -> a route, and the answer's shape
 *   route_*.c   a file per resource: body in, one store operation, answer
 *   intake.c    a large body on its way into the store, outlet.c a large content on its way out
 *   ops.c       the listener for health and metrics
 *   server.c    putting it together, starting and stopping
 *
 * A route never blocks: a store operation either answers at once or later on an engine thread,
 * which posts the request back to its reactor. While it is away the request holds a reference on
 * its exchange, so that memory stays although the client may be gone. */
#ifndef WFL_SERVER_SERVER_H
#define WFL_SERVER_SERVER_H

#include "auth/auth.h"
#include "net/net.h"
#include "server/audit.h"
#include "server/config.h"
#include "server/log.h"
#include "server/privileges.h"
#include "server/sandbox.h"
#include "server/target.h"
#include "store/store.h"

struct wfl_server {
    const struct wfl_config *config;
    struct wfl_log          *log;
    struct audit            *audit;
    struct wfl_engine       *engine;
    struct wfl_store        *store;
    struct wfl_auth         *auth;
    struct wfl_net          *net;
    struct wfl_net          *ops;
    struct scrub            *scrub;
    struct watch_hub        *watches;
    struct wfl_revocations   revocations;
    struct throttle         *throttle;
    _Atomic uint64_t         rate_limited; /* requests, for metrics */
    struct wfl_key_pair      identity;
    _Atomic int64_t          tls_not_after; /* Unix seconds; 0: no TLS */
    int                      lock_fd;
    struct wfl_privileges    privileges;
    enum wfl_sandbox_state   files, calls; /* closed off */
    _Atomic int              stopping;
    _Atomic uint64_t         answers[6]; /* by status class, for metrics */
    _Atomic uint64_t         body_bytes; /* of bodies in memory, what is above the first 64 KiB */
};

/* The first half of the start, without any thread: binds the addresses, takes the user's rights,
 * closes off all files that are not needed. On failure `out` needs a stop all the same. */
WFL_MUST_USE wfl_code wfl_server_prepare(const struct wfl_config *config, struct wfl_server *out,
                                         wfl_error *err);
/* The second: reads roots and identity, opens engine and store, serves, closes off all system calls
 * that are not needed, logs the ready line. The same on failure. */
WFL_MUST_USE wfl_code wfl_server_start(struct wfl_server *s, struct wfl_log *log, wfl_error *err);
/* What may change while it serves is read again: roots, limits, certificate; the audit log is
 * opened anew (reload.c). The arguments as at the start. The first thread only. What is wrong is
 * logged, and changes nothing. */
void wfl_server_reload(struct wfl_server *s, int argc, char **argv, char *const *env);
/* Parts of start and reload. */
WFL_MUST_USE wfl_code server_read_roots(const struct wfl_config *c, wfl_public_key *roots,
                                        wfl_error *err);
struct wfl_net_limits server_net_limits(const struct wfl_config *c);
/* Finishes what is under way and releases everything. */
void wfl_server_stop(struct wfl_server *s);

/* Handlers of the two listeners, with the server as their ctx. */
struct wfl_handler wfl_request_handler(struct wfl_server *s);
struct wfl_handler wfl_ops_handler(struct wfl_server *s);

/* ---- the certificate (certificate.c) */

/* Read it and its key. NULL where no TLS is served. The message names the file and what to do. */
WFL_MUST_USE wfl_code certificate_load(const struct wfl_config *c, struct wfl_tls **out,
                                       wfl_error *err);
/* The one in use from now on: a line of the log, and for metrics. */
void certificate_log(struct wfl_server *s, const struct wfl_tls_facts *facts);
void certificate_reload(struct wfl_server *s);

/* ---- a request, from on_head to on_end */

struct request;
struct batch_call;  /* route_batch.c */
struct revoke_call; /* route_revocations.c */

enum upload_kind { /* of what changes something; what only lists has no earlier answer */
                   UPLOAD_START,
                   UPLOAD_PART,
                   UPLOAD_COMPLETE,
                   UPLOAD_ABORT
};
struct upload_op { /* of a multipart upload, done by a worker (route_upload.c) */
    enum upload_kind        kind;
    struct wfl_put          given;
    wfl_ulid                upload;
    struct wfl_part         part;
    enum wfl_durability     durability;
    struct wfl_part        *parts; /* as listed, or as the client lists them */
    uint32_t                part_count;
    bool                    parts_are_stores;
    bool                    has_whole;
    wfl_hash                whole;
    struct wfl_completion  *completion;
    uint64_t                object_max; /* what the completed object may hold */
    struct wfl_completed    completed;
    bool                    ended;
    struct wfl_upload_info *uploads;
    uint32_t                upload_count;
    wfl_code                rc;
    void (*run)(struct request *r);  /* on the worker: sets rc, and err of the request */
    void (*then)(struct request *r); /* on the reactor */
};

struct request {
    struct wfl_server   *server;
    struct wfl_exchange *x;
    struct wfl_identity  who;   /* packet NULL before authentication */
    wfl_slice            query; /* for the route: without what is a presigned URL's */
    struct wfl_target    target;
    struct wfl_post      post;
    void (*resume)(struct request *r);  /* on the reactor, when the store has answered */
    void (*release)(struct request *r); /* what the route holds; at the very end; may be NULL */

    struct outlook *outlook;     /* before a large body is received; in the arena */
    enum wfl_op     asked_op;    /* what the packet had to grant last; 0: nothing yet */
    bool            manages;     /* an operation on the bucket itself: not bound by its rates */
    uint32_t        retry_after; /* seconds, of an answer that says so; 0: one */
    bool            anonymous;   /* no credential: a read of a bucket that is public */
    enum wfl_as_of  as_of;       /* of a read of the past, and ... */
    wfl_ulid        when;        /* ... which, or which version is erased */
    struct intake  *intake;      /* of a body that is not received whole; in the arena */
    struct outlet  *outlet;      /* of a content that is not sent from memory; in the arena */
    struct watch   *watch;       /* of changes; in the arena */

    uint8_t *body; /* whole, from the libc allocator */
    size_t   body_len, body_cap;
    uint64_t body_max;
    wfl_code body_too_large; /* what a larger one is answered with; OK: OBJECT_TOO_LARGE */
    void (*with_body)(struct request *r); /* the route's next step */

    union {
        struct wfl_put       put;
        struct wfl_get       get;
        struct wfl_delete    del;
        struct wfl_scan      scan;
        struct wfl_bucket_op bucket;
        struct upload_op     upload;
        struct wfl_erase     erase;
        struct {
            struct wfl_tag_query question;
            wfl_code             rc;
            bool                 ended;
        } query;
        struct {
            struct wfl_version *list; /* in the arena */
            uint32_t            count;
            wfl_code            rc;
        } versions;
        struct batch_call  *batch;
        struct revoke_call *revoke;
    } op;
    struct wfl_once    once;          /* of a write that has a nonce; else its client is empty */
    struct wfl_refusal refusal;       /* of it, while it is judged */
    void (*asked)(struct request *r); /* what goes on where its nonce is not known */
    void (*answer)(struct request *r);

    struct wfl_engine_work work;
    wfl_buf                text;      /* of a listing, while it is made */
    bool                   digest_ok; /* result of the work */

    int       status;  /* of the answer, 0 before it */
    wfl_code  verdict; /* of a write, with `err` where it is not OK */
    wfl_code  code;
    uint64_t  sent_bytes;
    wfl_error err;
};

static inline wfl_arena *request_arena(struct request *r)
{
    return wfl_exchange_arena(r->x);
}

static inline const struct wfl_request *request_head(const struct request *r)
{
    return wfl_exchange_request(r->x);
}

/* The query as routes read it, raw. */
static inline wfl_slice request_query(const struct request *r)
{
    return r->query;
}

/* ---- answers (answer.c) */

#define WFL_ANSWER_HEADERS_MAX 128 /* 100 metadata and tags at the most, and ours */

struct answer {
    struct wfl_header headers[WFL_ANSWER_HEADERS_MAX];
    uint32_t          count;
    const uint32_t   *failed; /* of a problem: the ops of a batch that are at fault */
    uint32_t          failed_count;
};
void answer_header(struct answer *a, wfl_slice name, wfl_slice value);
/* Bytes copied into the request's arena, for values made on the stack. */
void answer_header_copy(struct request *r, struct answer *a, wfl_slice name, wfl_slice value);

/* Send status and headers; `length` bytes follow by wfl_exchange_send. */
void answer_begin(struct request *r, struct answer *a, int status, uint64_t length);
/* Send status and headers; a body of unknown length follows by wfl_exchange_send. */
void answer_stream(struct request *r, struct answer *a, int status);
/* Send status and headers with a body that needs no release, e.g. in the arena; adds X-Request-Id.
 */
void answer_send(struct request *r, struct answer *a, int status, wfl_slice body);
/* The same for a pinned body, `length` bytes of it said to be there (HEAD). */
void answer_send_part(struct request *r, struct answer *a, int status, struct wfl_body_part part,
                      uint64_t length);
/* problem+json for `err`; `a` may bring headers (Allow, Content-Range); NULL: none. */
void answer_problem(struct request *r, struct answer *a, const wfl_error *err);
/* A JSON document in `text`, which is moved into the answer. */
void answer_json(struct request *r, struct answer *a, int status, wfl_buf *text);
/* The same for a FlatBuffers message. */
void answer_wire(struct request *r, struct answer *a, int status, wfl_buf *message);
/* 405 with the methods that the target has. */
void answer_not_allowed(struct request *r, const char *allow);

/* ---- steps that routes share (request.c) */

/* Read the whole body, at most `max` bytes (OBJECT_TOO_LARGE above), then call `next`. OVERLOADED
 * where the large ones under way have all the memory that is meant for them. */
void request_read_body(struct request *r, uint64_t max, void (*next)(struct request *r));
/* After a store call: PENDING waits for request_done, anything else goes on now. */
void     request_await(struct request *r, wfl_code rc, void (*resume)(struct request *r));
uint64_t request_flow(const struct request *r); /* its bucket's, else its client's */
/* Run `work` in the pool, among what belongs to `flow`, then `then` on the reactor. Where the pool
 * is full the request is answered with OVERLOADED. */
void request_work(struct request *r, uint64_t flow, uint64_t bytes,
                  void (*work)(struct wfl_engine_work *work), void (*then)(struct request *r));
/* For the operations' `done`: any thread, posts the request back. `arg` is the request. */
void request_done(void *request);
/* Compute the BLAKE3 of `content` (into *blake3, may be NULL) and compare what was declared. */
bool request_digest_matches(const struct request *r, wfl_slice content, wfl_hash *blake3);
/* As a PUT is answered (route_object.c). */
void request_answer_stored(struct request *r, const wfl_ulid *version, uint64_t size,
                           const wfl_hash *blake3, bool created);
/* As a write is refused, `current` being the version of a failed condition, and as a deletion is
 * answered (route_object.c). */
void request_answer_refused(struct request *r, const wfl_ulid *current);
void request_answer_deleted(struct request *r, const wfl_ulid *version);
/* What a write may hold: bucket, packet and protocol (route_object.c). BUCKET_NOT_FOUND, NOMEM. */
WFL_MUST_USE wfl_code request_object_max(struct request *r, uint64_t *max, wfl_error *err);
/* What is judged of a request once it is granted: rates, then its nonce, which is spent here but
 * for that of a write: there it is claimed, and judged by who commits it. REPLAYED, RATE_LIMITED,
 * NOMEM. */
WFL_MUST_USE wfl_code request_admit(struct request *r, wfl_error *err);
WFL_MUST_USE wfl_code request_admit_write(struct request *r, wfl_error *err);
/* The same for a batch across buckets, each of which is bound by its own rates. */
WFL_MUST_USE wfl_code request_admit_batch(struct request *r, const struct wfl_batch_op *ops,
                                          uint32_t count, wfl_error *err);
/* Has its packet been revoked while it was under way? Then the request's error says so. */
bool request_is_revoked(struct request *r);
/* Grant, then rates and nonce: of what is not remembered with a commit, and of a write. False:
 * answered already. */
bool request_permit(struct request *r, enum wfl_op op, wfl_slice bucket, wfl_slice key);
bool request_permit_write(struct request *r, enum wfl_op op, wfl_slice bucket, wfl_slice key);
/* "durable" unless X-WflDB-Durability says buffered. False: answered INVALID_HEADER. */
bool request_durability(struct request *r, enum wfl_durability *out);

/* ---- rates (rates.c): those of the links of its packet, and of its bucket */

/* RATE_LIMITED, and how long to wait. */
WFL_MUST_USE wfl_code rates_admit(struct request *r, wfl_error *err);
WFL_MUST_USE wfl_code rates_admit_batch(struct request *r, const struct wfl_batch_op *ops,
                                        uint32_t count, wfl_error *err);
/* So many bytes of a body have been received or are being sent. */
void rates_moved(struct request *r, uint64_t bytes);
/* Is there a bound on its bytes at all? */
bool rates_bound_bytes(struct request *r);
/* Should it wait before more is moved? Then its timer is set. */
bool rates_pause(struct request *r);

/* ---- writes, once each (once.c) */

/* The request's nonce is that of a write, from now on. REPLAYED, RATE_LIMITED, NOMEM. */
WFL_MUST_USE wfl_code request_claim_nonce(struct request *r, wfl_error *err);
/* For the store's operations: NULL where nothing is remembered. */
struct wfl_once *request_once(struct request *r);
/* A body without a declared hash that is received whole is part of what is asked for. */
void request_once_body(struct request *r, wfl_slice body);
/* Before a large body is received: is there an answer already? Then `answer` is called with it, as
 * request_conclude does; else `next`. */
void request_once_ask(struct request *r, void (*next)(struct request *r),
                      void (*answer)(struct request *r));
/* A write has come to an end: call `answer`, which finds r->verdict, r->err and, where it is an
 * earlier answer, that in r->once. A refusal that no committer has seen is judged by one first: it
 * may be a repetition of what has changed the store since, and else is remembered. */
void request_conclude(struct request *r, wfl_code rc, const wfl_error *err,
                      void (*answer)(struct request *r));

/* ---- large bodies (intake.c) */

/* Receive the body chunk by chunk into a content of the target's bucket, hashed and written in the
 * pool while more comes in, a window of 4 MiB at the most in memory; then call `next`. With
 * `small_max` (-1: none) a body of no more bytes than that is left in `body`, no content is made
 * and nothing of it is compared. Of a content what was declared of it has been compared. */
void request_take_content(struct request *r, uint64_t max, int64_t small_max,
                          void (*next)(struct request *r));
/* In `next`: the sealed content with its size and hash; NULL: it is in the body. */
struct wfl_ingest *intake_content(const struct request *r, uint64_t *size, wfl_hash *blake3);
void               intake_on_body(struct request *r, size_t n, bool end);
void               intake_on_timer(struct request *r);
void               intake_fini(struct request *r);

/* ---- large contents (outlet.c) */

/* Answer with [first, first + count) of the get's large content. Headers are sent when the first
 * chunk has been verified; damage that is met later breaks the answer off. */
void request_send_content(struct request *r, struct answer *a, int status, uint64_t first,
                          uint64_t count);
void outlet_on_timer(struct request *r);
void outlet_fini(struct request *r);

/* ---- waiting for changes (watch.c) */

struct watch_hub;
WFL_MUST_USE wfl_code watch_hub_new(struct wfl_server *s, struct watch_hub **out, wfl_error *err);
void     watch_hub_free(struct watch_hub *hub); /* after net, before the store; NULL is accepted */
uint64_t watch_hub_count(const struct watch_hub *hub); /* of requests that wait */
/* Any thread. Those whose packets are no longer good end soon (within 200 ms). */
void watch_hub_recheck(struct watch_hub *hub);
/* Of a request with a watch. */
void watch_on_timer(struct request *r);
void watch_on_drain(struct request *r);
void watch_on_end(struct request *r);
void watch_fini(struct request *r); /* accepts a request without one */

/* ---- scrubbing (scrub.c): reads and verifies every chunk, in a thread of its own, at a bounded
 * rate */

struct scrub;
WFL_MUST_USE wfl_code scrub_new(struct wfl_server *s, struct scrub **out, wfl_error *err);
void                  scrub_free(struct scrub *s); /* ends one under way; NULL is accepted */
/* Any thread. One that runs goes on with the new rate. IO, NOMEM. */
WFL_MUST_USE wfl_code scrub_start(struct scrub *s, uint64_t bytes_per_second, wfl_error *err);
void                  scrub_stop(struct scrub *s); /* soon; what was found stays */
/* How it stands and what was found, one JSON object. */
void scrub_write(struct scrub *s, wfl_json *out);

/* ---- routes: called with an authenticated request and its target */

void route_buckets(struct request *r);
void route_bucket(struct request *r);
void route_object(struct request *r);
#define WFL_OBJECT_METHODS "GET, HEAD, PUT, DELETE" /* of an object without a query */
#define WFL_BUCKET_METHODS "GET, PUT, PATCH, DELETE"
void route_scan(struct request *r);
void route_query(struct request *r);
void route_changes(struct request *r);
void route_server(struct request *r);
void route_scrub(struct request *r);
void route_revocations(struct request *r);
/* What auth asks of revocations, answered by the store. */
struct wfl_revocations wfl_revocations_of(struct wfl_store *store);
void                   route_session(struct request *r);
enum object_param { /* what an object's query may have */
                    OBJECT_MULTIPART,
                    OBJECT_UPLOAD,
                    OBJECT_PART,
                    OBJECT_VERSION,
                    OBJECT_AT,
                    OBJECT_VERSIONS,
                    OBJECT_PARAMS
};
void route_object_query(struct request *r); /* an object's target with a query */
void route_upload(struct request *r, const struct wfl_param *params);
void object_answer_get(struct request *r); /* what r->op.get holds */
void object_release_get(struct request *r);
void route_uploads(struct request *r); /* a bucket's, with ?uploads */
void route_batch(struct request *r);   /* of one bucket, or of any */

#endif
