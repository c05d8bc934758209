/* SPDX-License-Identifier: Apache-2.0
 *
 * A store on either engine with its clock, randomness and memory in the test's hand, and calls that
 * wait for their answer. */
#ifndef WFL_TESTS_STORE_FIXTURE_H
#define WFL_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

enum fixture_engine { ON_MEMORY, ON_MEMORY_PENDING, ON_LOCAL };

struct fixture {
    enum fixture_engine kind;
    char                path[128]; /* of the local engine's folder */
    struct wfl_engine  *engine;
    struct wfl_store   *store;
    bool                collects;                  /* the store has a collector of its own */
    int64_t             now_ns;                    /* what the clock says */
    uint64_t            seed;                      /* of the randomness; changes with each draw */
    uint64_t            allocs;                    /* made by the store so far */
    uint64_t            refuse;                    /* the k-th from now is refused; 0: none */
    int64_t             live;                      /* allocated and not freed */
    void (*on_alloc)(struct fixture *f, size_t n); /* before each allocation, to get in between */
    struct wfl_alloc  alloc;
    struct wfl_clock  clock;
    struct wfl_random random;
};

void     fixture_open(struct fixture *f, enum fixture_engine kind);
void     fixture_open_store(struct fixture *f); /* on the engine that is open */
wfl_code fixture_try_open_store(struct fixture *f, wfl_error *err);
void     fixture_close_store(struct fixture *f);
/* Close and open again what is on disk; on memory what durable commits have left. */
void fixture_reopen(struct fixture *f);
void fixture_close(struct fixture *f); /* everything, and checks that nothing leaked */

/* cmocka setups and teardown with a bucket "photos" made. */
int fixture_setup_memory(void **state);
int fixture_setup_pending(void **state);
int fixture_setup_local(void **state);
int fixture_teardown(void **state);

/* Let a pending engine work until `*done`, or wait for another thread to set it. */
struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t  wake;
    bool            done;
};
void waiter_init(struct waiter *w);
void waiter_wake(struct waiter *w);
void waiter_wait(struct fixture *f, struct waiter *w);

/* Operations that wait. The caller finishes put, get and scan with their fini. */
wfl_code put_op(struct fixture *f, struct wfl_put *op);
wfl_code delete_op(struct fixture *f, struct wfl_delete *op);
wfl_code get_op(struct fixture *f, struct wfl_get *op);
wfl_code scan_op(struct fixture *f, struct wfl_scan *op);
wfl_code refuse_op(struct fixture *f, struct wfl_refusal *op);
wfl_code bucket_op(struct fixture *f, struct wfl_bucket_op *op,
                   wfl_code (*start)(struct wfl_store *s, struct wfl_bucket_op *op));
void     put_done(struct wfl_put *op); /* wakes the waiter that is its arg */

/* A content in chunks, sealed; the caller frees it. */
wfl_code ingest(struct fixture *f, const char *bucket, wfl_slice content, struct wfl_ingest **out);
/* As put_op, in chunks where the content is too large for a record. */
wfl_code put_any(struct fixture *f, struct wfl_put *op);

/* The plain cases, finished. */
wfl_code put(struct fixture *f, const char *bucket, const char *key, wfl_slice content);
wfl_code put_as(struct fixture *f, const char *bucket, const char *key, wfl_slice content,
                wfl_ulid *version);
wfl_code delete_key(struct fixture *f, const char *bucket, const char *key);
wfl_code create(struct fixture *f, const char *bucket, const char *settings);
wfl_code delete_bucket(struct fixture *f, const char *bucket);
struct wfl_bucket_info info(struct fixture *f, const char *bucket); /* must exist; no name */
/* The content as read, compared; fails the test where it differs. */
void assert_content(struct fixture *f, const char *bucket, const char *key, wfl_slice content);
void assert_reads(const struct wfl_get *op, uint64_t first, wfl_slice content);
void assert_no_key(struct fixture *f, const char *bucket, const char *key);
/* `len` bytes that depend on `seed`, in static memory that the next call may use again. */
wfl_slice bytes_of_len(size_t len, uint8_t seed);
/* Rows of a space, whatever they mean. */
size_t rows(struct fixture *f, enum wfl_space space);
/* Write or delete one row behind the store's back; an empty value deletes. */
void poke(struct fixture *f, enum wfl_space space, wfl_slice key, wfl_slice value);

/* ---- large contents */

/* `len` bytes whose chunks are those of `fills`, one after the other and again from the first:
 * equal numbers make equal chunks, and bytes differ within one. The next call may use the memory
 * again. */
wfl_slice chunks_of(size_t len, const uint8_t *fills, size_t fill_count);
/* All chunks different from each other, and from those of another seed. */
wfl_slice large_of(size_t len, uint8_t seed);
/* A content of `count` chunks of five kinds, the last of `last` bytes; not sealed. */
wfl_code ingest_long(struct fixture *f, const char *bucket, size_t count, size_t last,
                     struct wfl_ingest **out);
/* Chunk `i` of it. */
wfl_slice chunk_of_long(size_t i, size_t len);
/* Name what was ingested, of whatever size. Frees it. */
wfl_code name_content(struct fixture *f, const char *bucket, const char *key,
                      struct wfl_ingest *content);
/* Uploads in "photos". `given`: conditions and the like; NULL: none. */
wfl_ulid begin_upload(struct fixture *f, const char *key, const struct wfl_put *given);
wfl_code try_part(struct fixture *f, const char *key, const wfl_ulid *upload, struct wfl_part *part,
                  wfl_slice content);
struct wfl_part put_part(struct fixture *f, const char *key, const wfl_ulid *upload,
                         uint32_t number, wfl_slice content);
/* From the beginning to the end. `out` may be NULL. */
wfl_code complete(struct fixture *f, const char *key, const wfl_ulid *upload,
                  const struct wfl_part *parts, uint32_t count, struct wfl_completed *out);
/* Fails the test where a recount differs. */
void assert_recounts(struct fixture *f);
/* Turns of the collector; true: something is in use. */
bool collect(struct fixture *f);
/* No row of CHUNKS, MANIFESTS and UPLOADS, no blob, no place that is pinned. */
void assert_nothing_large(struct fixture *f);
/* The count of a chunk with this content, as stored in the bucket with the id; 0: no record. */
uint64_t references(struct fixture *f, uint32_t id, wfl_slice chunk);
size_t   blobs(struct fixture *f);
/* So many places are written, and neither kept nor abandoned. Waits for the engine, which moves
 * blobs on a thread of its own. */
void assert_pending(struct fixture *f, uint64_t places);
/* Everything that is stored, as one hash. */
wfl_hash all_rows(struct fixture *f);
/* Run `step` as a commit. */
wfl_code in_commit(struct fixture *f,
                   wfl_code (*step)(struct fixture *f, struct wfl_txn *t, void *arg,
                                    wfl_error *err),
                   void *arg);

/* A small generator, so that a seed replays a run. WFL_SEED sets it, and it is printed. */
uint64_t test_seed(void);
uint64_t next_random(uint64_t *state);

#define assert_code(got, want)                                                                     \
    do {                                                                                           \
        wfl_code got_code_ = (got), want_code_ = (want);                                           \
        if (got_code_ != want_code_)                                                               \
            fail_msg("got %s, not %s", wfl_code_name(got_code_), wfl_code_name(want_code_));       \
    } while (0)

#endif
