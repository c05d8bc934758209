/* SPDX-License-Identifier: Apache-2.0
 *
 * The crew: each worker is a thread with a handle of its own that takes steps until none is left.
 * The caller's thread waits, tells the progress ten times a second and passes a stop on. The first
 * failure stops all; their requests end at curl's next look, within a second. */
#include "client/transfer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PART_BYTES_MIN  (1u << 20)
#define PART_BYTES      (16u << 20)
#define MULTIPART_ABOVE (64u << 20)
#define PARALLEL        4
#define ATTEMPTS        9
#define TELL_MS         100
#define RETRY_MS        200u
#define RETRY_MS_MAX    5000u
#define RETRY_AFTER_MAX 30u /* seconds; a server that asks for more is not waited for */

int transfer_fail(wfldb_error *err, const char *code, const char *format, ...)
{
    va_list args;

    memset(err, 0, sizeof *err);
    snprintf(err->code, sizeof err->code, "%s", code);
    va_start(args, format);
    vsnprintf(err->detail, sizeof err->detail, format, args);
    va_end(args);
    return -1;
}

int transfer_fail_errno(wfldb_error *err, const char *code, const char *what)
{
    return transfer_fail(err, code, "%s: %s", what, strerror(errno));
}

int transfer_init(struct transfer *t, wfldb *db, const char *bucket, const char *key,
                  const wfldb_transfer_options *options, wfldb_error *err)
{
    static const wfldb_transfer_options none;
    const wfldb_transfer_options       *o = options == NULL ? &none : options;
    pthread_condattr_t                  attributes;

    memset(err, 0, sizeof *err);
    memset(t, 0, sizeof *t);
    if (o->parallel > TRANSFER_PARALLEL_MAX)
        return transfer_fail(err, "request", "at most %d parts at once", TRANSFER_PARALLEL_MAX);
    if (o->part_bytes != 0 && o->part_bytes < PART_BYTES_MIN)
        return transfer_fail(err, "request", "a part has at least %u bytes", PART_BYTES_MIN);
    t->db = db;
    t->bucket = bucket;
    t->key = key;
    t->part_bytes = o->part_bytes == 0 ? PART_BYTES : o->part_bytes;
    t->multipart_above = o->part_bytes == 0 ? MULTIPART_ABOVE : o->part_bytes;
    t->parallel = o->parallel == 0 ? PARALLEL : o->parallel;
    t->attempts = o->no_retry ? 1 : ATTEMPTS;
    t->multipart = o->no_multipart == 0;
    t->state_dir = o->state_dir;
    t->as_of = o->as_of;
    t->progress = o->progress;
    t->progress_ctx = o->progress_ctx;
    t->total = WFLDB_LENGTH_UNKNOWN;
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return 0;
}

void transfer_fini(struct transfer *t)
{
    if (t->attempts == 0) return;
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
}

uint64_t transfer_part_bytes(const struct transfer *t, uint64_t size)
{
    uint64_t least = (size + WFLDB_PARTS_MAX - 1) / WFLDB_PARTS_MAX;

    least = (least + PART_BYTES_MIN - 1) / PART_BYTES_MIN * PART_BYTES_MIN;
    return least > t->part_bytes ? least : t->part_bytes;
}

/* ---- progress */

bool transfer_tell(struct transfer *t, uint64_t moving)
{
    if (t->progress != NULL && t->progress(t->progress_ctx, t->done + moving, t->total) != 0)
        t->stop = t->stopped = true;
    return t->stop;
}

static int fail_stopped(wfldb_error *err)
{
    return transfer_fail(err, "stopped", "stopped by the caller");
}

static int on_worker(void *ctx, uint64_t moved)
{
    struct worker *w = ctx;

    w->moving = moved;
    return w->t->stop;
}

static int on_caller(void *ctx, uint64_t moved)
{
    return transfer_tell(ctx, moved);
}

struct watch transfer_watch_worker(struct worker *w)
{
    return (struct watch){on_worker, w, true}; /* transfer_wait_retry does it */
}

struct watch transfer_watch_caller(struct transfer *t)
{
    return (struct watch){on_caller, t, t->attempts == 1};
}

/* Wait under the lock, for a change or `ms`. */
static void wait_locked(struct transfer *t, unsigned ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&t->changed, &t->lock, &until);
}

/* ---- the crew */

static void *work(void *arg)
{
    struct worker   *w = arg;
    struct transfer *t = w->t;
    wfldb_error      err = {0};
    int              rc = 1;

    while (rc > 0 && !t->stop) {
        rc = w->step(w, &err);
        w->moving = 0;
    }
    pthread_mutex_lock(&t->lock);
    if (rc < 0 && !t->failed) {
        t->failed = true;
        t->why = err;
    }
    if (rc < 0) t->stop = true;
    t->running--;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static unsigned start_workers(struct transfer *t, unsigned                           count,
                              int (*step)(struct worker *w, wfldb_error *err), void *ctx)
{
    unsigned started = 0;

    for (; started < count; started++) {
        struct worker *w = &t->workers[started];

        *w = (struct worker){.t = t, .db = call_clone(t->db), .ctx = ctx, .step = step};
        if (w->db == NULL) break;
        pthread_mutex_lock(&t->lock);
        t->running++;
        pthread_mutex_unlock(&t->lock);
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            pthread_mutex_lock(&t->lock);
            t->running--;
            pthread_mutex_unlock(&t->lock);
            call_clone_free(w->db);
            break;
        }
    }
    return started;
}

static uint64_t moving_of(const struct transfer *t)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < t->worker_count; i++)
        sum += t->workers[i].moving;
    return sum;
}

static void wait_for_workers(struct transfer *t)
{
    pthread_mutex_lock(&t->lock);
    while (t->running > 0) {
        wait_locked(t, TELL_MS);
        pthread_mutex_unlock(&t->lock); /* the caller's function may take its time */
        if (transfer_tell(t, moving_of(t))) pthread_cond_broadcast(&t->changed);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
}

int transfer_run(struct transfer *t, unsigned                           count,
                 int (*step)(struct worker *w, wfldb_error *err), void *ctx, wfldb_error *err)
{
    t->failed = false;
    t->workers = calloc(count, sizeof *t->workers);
    if (t->workers == NULL) return transfer_fail(err, "memory", "out of memory");
    t->worker_count = start_workers(t, count, step, ctx); /* fewer do it too */
    wait_for_workers(t);
    for (unsigned i = 0; i < t->worker_count; i++) {
        pthread_join(t->workers[i].thread, NULL);
        call_clone_free(t->workers[i].db);
    }
    count = t->worker_count;
    free(t->workers);
    t->workers = NULL;
    t->worker_count = 0;
    if (t->stopped) return fail_stopped(err);
    if (t->failed) {
        *err = t->why;
        return -1;
    }
    return count > 0 ? 0 : transfer_fail(err, "memory", "no thread could be started");
}

/* ---- again */

/* "replayed": curl repeated it by itself; parts and completions bear to be asked for again. */
static bool is_passing(const wfldb_error *err)
{
    return strcmp(err->code, "connection") == 0 || strcmp(err->code, "replayed") == 0 ||
           err->status == 408 || err->status == 429 || err->status == 503;
}

static int64_t now_ms(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system) / 1000000;
}

/* True: the time is over; false: stop. */
static bool wait_for_ms(struct transfer *t, unsigned ms, bool caller)
{
    int64_t until = now_ms() + ms;

    while (!t->stop) {
        int64_t left = until - now_ms();

        if (left <= 0) return true;
        pthread_mutex_lock(&t->lock);
        wait_locked(t, left < TELL_MS ? (unsigned)left : TELL_MS);
        pthread_mutex_unlock(&t->lock);
        if (caller) (void)transfer_tell(t, 0);
    }
    return false;
}

bool transfer_wait_retry(struct transfer *t, const wfldb *db, wfldb_error *err, unsigned attempt,
                         bool caller)
{
    unsigned asked = err->status == 0 ? 0 : call_retry_after(db);
    unsigned ms = RETRY_MS << (attempt < 8 ? attempt - 1 : 7);

    if (ms > RETRY_MS_MAX) ms = RETRY_MS_MAX;
    if (ms < asked * 1000) ms = asked * 1000;
    if (is_passing(err) && attempt < t->attempts && asked <= RETRY_AFTER_MAX &&
        wait_for_ms(t, ms, caller))
        return true;
    if (t->stopped) (void)fail_stopped(err);
    return false;
}

bool transfer_can_go_on(const wfldb_error *err)
{
    return is_passing(err) || strcmp(err->code, "stopped") == 0 ||
           strcmp(err->code, "memory") == 0 || err->status == 401 || err->status == 403 ||
           err->status == 500;
}

void transfer_say_kept(wfldb_error *err)
{
    size_t len = strlen(err->detail);

    snprintf(err->detail + len, sizeof err->detail - len, "; the same command goes on from here");
}
