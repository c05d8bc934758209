/* SPDX-License-Identifier: Apache-2.0
 *
 * What uploads and downloads in parts share: a crew of threads with a connection each, progress and
 * stopping, when a request is tried again. */
#ifndef WFL_CLIENT_TRANSFER_H
#define WFL_CLIENT_TRANSFER_H

#include "client/client_private.h"
#include "client/transfer_state.h"

#include <pthread.h>
#include <stdatomic.h>

#define TRANSFER_PARALLEL_MAX 16
#define TRANSFER_IO_BYTES     (256u << 10) /* read from a file at once */

struct transfer {
    wfldb      *db;
    const char *bucket, *key;

    /* settled from what the caller said */
    uint64_t    part_bytes, multipart_above;
    unsigned    parallel, attempts;
    bool        multipart;
    const char *state_dir;
    wfldb_as_of as_of; /* of a get */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;

    _Atomic uint64_t done;    /* bytes of what is finished */
    _Atomic uint64_t total;   /* or WFLDB_LENGTH_UNKNOWN */
    atomic_bool      stop;    /* everyone ends as soon as may be, */
    atomic_bool      stopped; /* because the caller said so */

    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t  changed;
    unsigned        running;
    bool            failed;
    wfldb_error     why; /* of the first failure */
    struct worker  *workers;
    unsigned        worker_count;
};

struct worker {
    struct transfer *t;
    wfldb           *db;
    void            *ctx;
    int (*step)(struct worker *w, wfldb_error *err);
    pthread_t        thread;
    _Atomic uint64_t moving; /* bytes of the request under way */
};

/* -1: the options make no sense; err says which. */
int  transfer_init(struct transfer *t, wfldb *db, const char *bucket, const char *key,
                   const wfldb_transfer_options *options, wfldb_error *err);
void transfer_fini(struct transfer *t);
int  transfer_fail(wfldb_error *err, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* code, and "what: " with what errno says. */
int transfer_fail_errno(wfldb_error *err, const char *code, const char *what);

/* Parts of `size` bytes that are large enough for WFLDB_PARTS_MAX of them. */
uint64_t transfer_part_bytes(const struct transfer *t, uint64_t size);

/* `step` in `count` threads at once, until it says 0 (nothing left) or -1 (then err is why all
 * end). 1: again. Progress is told in this thread. -1: failed or stopped. */
int transfer_run(struct transfer *t, unsigned                           count,
                 int (*step)(struct worker *w, wfldb_error *err), void *ctx, wfldb_error *err);

/* Tell the progress, `moving` bytes beyond those done; true: stop. In the caller's thread. */
bool transfer_tell(struct transfer *t, uint64_t moving);
/* For calls: in a worker, and in the caller's thread. */
struct watch transfer_watch_worker(struct worker *w);
struct watch transfer_watch_caller(struct transfer *t);

/* Wait before another attempt of what failed with `err`; `attempt` counts from 1. False: it is not
 * to be tried again; where the caller has stopped, `err` says that. `db`: whose answer it was.
 * `caller`: this is the caller's thread. */
bool transfer_wait_retry(struct transfer *t, const wfldb *db, wfldb_error *err, unsigned attempt,
                         bool caller);
/* A later call may succeed where this one failed. */
bool transfer_can_go_on(const wfldb_error *err);
/* Say so. */
void transfer_say_kept(wfldb_error *err);

#endif
