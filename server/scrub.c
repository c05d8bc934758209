/* SPDX-License-Identifier: Apache-2.0
 *
 * The scrub: a walk over all chunks that reads and verifies each, while the server serves. Its rate
 * is bounded by waiting whenever it is ahead of its time. Each bad chunk is logged as it is found
 * and kept for whoever asks; when the walk has ended, the objects that the bad ones concern are
 * looked for. What was found stays until the next start.
 *
 * Failure: a walk that cannot go on (the index is damaged, no memory) ends as "failed" and says
 * why. Lists are bounded; what does not fit is counted. */
#include "server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define FINDINGS_MAX 1000
#define OBJECTS_MAX  10000

enum scrub_state { SCRUB_IDLE, SCRUB_RUNNING, SCRUB_DONE, SCRUB_STOPPED, SCRUB_FAILED };

struct finding {
    uint32_t bucket_id;
    wfl_hash hash;
    uint32_t bytes;
    char     reason[128];
};

struct concerned_object {
    char    *name; /* bucket '/' key, from the libc allocator */
    size_t   bucket_len, len;
    wfl_ulid version;
};

struct scrub {
    struct wfl_server *server;
    wfl_mutex          lock; /* of all below */
    pthread_cond_t     wake;
    pthread_t          thread;
    bool               joinable;
    _Atomic bool       stopping;
    enum scrub_state   state;
    uint64_t           bytes_per_second;
    uint64_t           started_ms, ended_ms;
    uint64_t           chunks, bytes, bytes_total;
    uint64_t           corrupt; /* all, also those that are not listed */
    struct finding     findings[FINDINGS_MAX];
    uint32_t           finding_count;

    struct concerned_object *objects; /* OBJECTS_MAX */
    uint32_t                 object_count;
    uint64_t                 objects_concerned;
    char                     failure[160];
};

static void drop_findings_locked(struct scrub *s)
{
    for (uint32_t i = 0; i < s->object_count; i++)
        wfl_alloc_free(&wfl_alloc_libc, s->objects[i].name);
    s->object_count = s->finding_count = 0;
    s->objects_concerned = s->corrupt = 0;
    s->failure[0] = '\0';
}

/* ---- the walk */

static void log_finding(struct scrub *s, const struct finding *f)
{
    struct wfl_log_line line;
    char                hex[65];

    wfl_hex_encode(wfl_slice_of(f->hash.bytes, WFL_HASH_LEN), hex);
    wfl_log_begin(s->server->log, &line, WFL_LOG_ERROR, "corrupt_chunk");
    wfl_json_key(&line.json, "chunk");
    wfl_json_cstr(&line.json, hex);
    wfl_json_key(&line.json, "bytes");
    wfl_json_u64(&line.json, f->bytes);
    wfl_json_key(&line.json, "reason");
    wfl_json_cstr(&line.json, f->reason);
    wfl_log_end(&line);
}

static void note(struct scrub *s, const struct wfl_blob_walk *walk)
{
    struct finding f = {.bytes = walk->len};

    if (!wfl_store_chunk_name(wfl_slice_of(walk->name, walk->name_len), &f.bucket_id, &f.hash))
        return;
    memcpy(f.reason, walk->why.message, sizeof f.reason - 1);
    log_finding(s, &f);
    wfl_mutex_lock(&s->lock);
    s->corrupt++;
    if (s->finding_count < FINDINGS_MAX) s->findings[s->finding_count++] = f;
    wfl_mutex_unlock(&s->lock);
}

/* Wait for the time at which `bytes` may have been read, or for the end. False: it is to end. */
static bool keep_rate(struct scrub *s, const struct timespec *began)
{
    bool go_on;

    wfl_mutex_lock(&s->lock);
    for (;;) {
        uint64_t        ms = s->bytes / (s->bytes_per_second / 1000 + 1);
        struct timespec until = {.tv_sec = began->tv_sec + (time_t)(ms / 1000),
                                 .tv_nsec = began->tv_nsec + (long)(ms % 1000) * 1000000};

        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        go_on = !s->stopping;
        if (!go_on || pthread_cond_timedwait(&s->wake, &s->lock.os, &until) == ETIMEDOUT) break;
    }
    wfl_mutex_unlock(&s->lock);
    return go_on;
}

static wfl_code walk_all(struct scrub *s, wfl_error *err)
{
    struct wfl_blob_walk walk = {0};
    struct timespec      began;
    wfl_code             rc;

    clock_gettime(CLOCK_MONOTONIC, &began);
    for (;;) {
        rc = wfl_engine_blob_walk(s->server->engine, &walk, err);
        if (rc != WFL_OK || walk.ended) return rc;
        if (walk.verdict != WFL_OK) note(s, &walk);
        wfl_mutex_lock(&s->lock);
        s->chunks++;
        s->bytes += walk.len;
        wfl_mutex_unlock(&s->lock);
        if (!keep_rate(s, &began)) return WFL_CLOSED;
    }
}

/* ---- the objects concerned */

static void report(void *ctx, wfl_slice bucket, wfl_slice key, const wfl_ulid *version)
{
    struct scrub           *s = ctx;
    struct concerned_object o = {.bucket_len = bucket.len, .len = bucket.len + 1 + key.len};

    o.version = *version;
    o.name = wfl_alloc_get(&wfl_alloc_libc, o.len);
    wfl_mutex_lock(&s->lock);
    s->objects_concerned++;
    if (o.name != NULL && s->object_count < OBJECTS_MAX) {
        memcpy(o.name, bucket.data, bucket.len);
        o.name[bucket.len] = '/';
        memcpy(o.name + bucket.len + 1, key.data, key.len);
        s->objects[s->object_count++] = o;
        o.name = NULL;
    }
    wfl_mutex_unlock(&s->lock);
    wfl_alloc_free(&wfl_alloc_libc, o.name);
}

static int by_bucket(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    return x->bucket_id < y->bucket_id ? -1 : x->bucket_id > y->bucket_id;
}

static wfl_code search(struct scrub *s, wfl_error *err)
{
    wfl_hash *hashes;
    wfl_code  rc = WFL_OK;

    if (s->finding_count == 0) return WFL_OK;
    hashes = wfl_alloc_zero(&wfl_alloc_libc, s->finding_count, sizeof *hashes);
    if (hashes == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to search for objects");
    wfl_mutex_lock(&s->lock);
    qsort(s->findings, s->finding_count, sizeof *s->findings, by_bucket);
    wfl_mutex_unlock(&s->lock);
    for (uint32_t i = 0, end; rc == WFL_OK && i < s->finding_count; i = end) {
        for (end = i;
             end < s->finding_count && s->findings[end].bucket_id == s->findings[i].bucket_id;
             end++)
            hashes[end - i] = s->findings[end].hash;
        rc = wfl_store_concerned(s->server->store,
                                 &(struct wfl_concerned){.bucket_id = s->findings[i].bucket_id,
                                                         .hashes = hashes,
                                                         .count = end - i,
                                                         .report = report,
                                                         .ctx = s,
                                                         .stop = &s->stopping},
                                 err);
    }
    wfl_alloc_free(&wfl_alloc_libc, hashes);
    return rc;
}

/* ---- the thread */

static void *scrub_run(void *arg)
{
    struct scrub *s = arg;
    wfl_error     err = {.code = WFL_OK};
    wfl_code      rc;

    wfl_thread_introduce("wfl-scrub", 0);
    rc = walk_all(s, &err);
    if (rc == WFL_OK) rc = search(s, &err);
    wfl_mutex_lock(&s->lock);
    s->state = s->stopping ? SCRUB_STOPPED : rc == WFL_OK ? SCRUB_DONE : SCRUB_FAILED;
    if (s->state == SCRUB_FAILED) memcpy(s->failure, err.message, sizeof s->failure - 1);
    s->ended_ms = wfl_clock_unix_ms(&wfl_clock_system);
    wfl_mutex_unlock(&s->lock);
    wfl_log_text(s->server->log, rc == WFL_OK ? WFL_LOG_INFO : WFL_LOG_WARN, "scrub_ended",
                 "%llu chunks, %llu corrupt%s%s", (unsigned long long)s->chunks,
                 (unsigned long long)s->corrupt, rc == WFL_OK ? "" : ": ",
                 rc == WFL_OK ? "" : s->failure);
    return NULL;
}

wfl_code scrub_start(struct scrub *s, uint64_t bytes_per_second, wfl_error *err)
{
    struct wfl_engine_stats stats;
    wfl_code                rc = WFL_OK;

    wfl_engine_stats(s->server->engine, &stats);
    wfl_mutex_lock(&s->lock);
    s->bytes_per_second = bytes_per_second;
    pthread_cond_signal(&s->wake);
    if (s->state != SCRUB_RUNNING) {
        if (s->joinable) pthread_join(s->thread, NULL); /* it has said that it is at its end */
        drop_findings_locked(s);
        s->stopping = false;
        s->chunks = s->bytes = 0;
        s->bytes_total = stats.live_bytes;
        s->started_ms = wfl_clock_unix_ms(&wfl_clock_system);
        s->state = SCRUB_RUNNING;
        s->joinable = wfl_thread_start(&s->thread, scrub_run, s);
        if (!s->joinable) {
            s->state = SCRUB_IDLE;
            rc = wfl_fail(err, WFL_IO, "scrub: no thread could be started");
        }
    }
    wfl_mutex_unlock(&s->lock);
    return rc;
}

void scrub_stop(struct scrub *s)
{
    wfl_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    wfl_mutex_unlock(&s->lock);
}

wfl_code scrub_new(struct wfl_server *server, struct scrub **out, wfl_error *err)
{
    struct scrub      *s = wfl_alloc_zero(&wfl_alloc_libc, 1, sizeof *s);
    pthread_condattr_t attr;

    if (s != NULL) s->objects = wfl_alloc_zero(&wfl_alloc_libc, OBJECTS_MAX, sizeof *s->objects);
    if (s == NULL || s->objects == NULL) {
        wfl_alloc_free(&wfl_alloc_libc, s);
        return wfl_fail(err, WFL_NOMEM, "scrub: out of memory");
    }
    s->server = server;
    wfl_mutex_init(&s->lock, WFL_RANK_SERVER);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    *out = s;
    return WFL_OK;
}

void scrub_free(struct scrub *s)
{
    if (s == NULL) return;
    scrub_stop(s);
    if (s->joinable) pthread_join(s->thread, NULL);
    drop_findings_locked(s);
    pthread_cond_destroy(&s->wake);
    wfl_mutex_fini(&s->lock);
    wfl_alloc_free(&wfl_alloc_libc, s->objects);
    wfl_alloc_free(&wfl_alloc_libc, s);
}

/* ---- how it stands */

static void member(wfl_json *out, const char *name, uint64_t value)
{
    wfl_json_key(out, name);
    wfl_json_u64(out, value);
}

static void time_member(wfl_json *out, const char *name, uint64_t unix_ms)
{
    char text[WFL_TIME_TEXT];

    wfl_time_format_ms(unix_ms, text);
    wfl_json_key(out, name);
    wfl_json_cstr(out, text);
}

static void write_findings_locked(const struct scrub *s, wfl_json *out)
{
    wfl_json_key(out, "corrupt");
    wfl_json_array(out);
    for (uint32_t i = 0; i < s->finding_count; i++) {
        char hex[65];

        wfl_hex_encode(wfl_slice_of(s->findings[i].hash.bytes, WFL_HASH_LEN), hex);
        wfl_json_object(out);
        wfl_json_key(out, "chunk");
        wfl_json_cstr(out, hex);
        member(out, "bytes", s->findings[i].bytes);
        wfl_json_key(out, "reason");
        wfl_json_cstr(out, s->findings[i].reason);
        wfl_json_end(out);
    }
    wfl_json_end(out);
}

static void write_objects_locked(const struct scrub *s, wfl_json *out)
{
    wfl_json_key(out, "objects");
    wfl_json_array(out);
    for (uint32_t i = 0; i < s->object_count; i++) {
        const struct concerned_object *o = &s->objects[i];
        char                           version[WFL_ULID_TEXT_LEN + 1];

        wfl_ulid_format(&o->version, version);
        wfl_json_object(out);
        wfl_json_key(out, "bucket");
        wfl_json_str(out, wfl_slice_of(o->name, o->bucket_len));
        wfl_json_key(out, "key");
        wfl_json_str(out, wfl_slice_of(o->name + o->bucket_len + 1, o->len - o->bucket_len - 1));
        wfl_json_key(out, "version");
        wfl_json_cstr(out, version);
        wfl_json_end(out);
    }
    wfl_json_end(out);
}

void scrub_write(struct scrub *s, wfl_json *out)
{
    static const char *const names[] = {"idle", "running", "done", "stopped", "failed"};

    wfl_mutex_lock(&s->lock);
    wfl_json_object(out);
    wfl_json_key(out, "state");
    wfl_json_cstr(out, names[s->state]);
    if (s->state != SCRUB_IDLE) {
        time_member(out, "started", s->started_ms);
        if (s->state != SCRUB_RUNNING) time_member(out, "ended", s->ended_ms);
        member(out, "bytes_per_second", s->bytes_per_second);
        member(out, "chunks", s->chunks);
        member(out, "bytes", s->bytes);
        member(out, "bytes_total", s->bytes_total);
        member(out, "corrupt_chunks", s->corrupt);
        member(out, "objects_concerned", s->objects_concerned);
        write_findings_locked(s, out);
        write_objects_locked(s, out);
    }
    if (s->state == SCRUB_FAILED) {
        wfl_json_key(out, "failure");
        wfl_json_cstr(out, s->failure);
    }
    wfl_json_end(out);
    wfl_mutex_unlock(&s->lock);
}
