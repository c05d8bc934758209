/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting is a flag under a lock, whoever sets it: a thread of the local engine, the memory engine
 * inside the call, or wfl_memory_run. */
#include "harness.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* ---- opening and closing */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void init_in(struct bench *b, enum bench_kind kind, const char *parent)
{
    *b = (struct bench){.kind = kind};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    if (kind == BENCH_LOCAL) {
        snprintf(b->folder, sizeof b->folder, "%s/wfl-engine-XXXXXX", parent);
        if (mkdtemp(b->folder) == NULL) fail_msg("mkdtemp: %s", strerror(errno));
        snprintf(b->path, sizeof b->path, "%s/data", b->folder);
    }
    b->config = (struct wfl_local_config){.path = b->path,
                                          .block_cache_bytes = 8u << 20,
                                          .write_buffer_bytes = 8u << 20,
                                          .segment_bytes = 4u << 20,
                                          .pool_threads = 2,
                                          .alloc = &wfl_alloc_libc};
}

void bench_init(struct bench *b, enum bench_kind kind)
{
    init_in(b, kind, getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
}

#define SWIFT_FOLDER    "/dev/shm"
#define SWIFT_BYTES_MIN (256u << 20)

void bench_init_swift(struct bench *b)
{
    struct statvfs fs;
    bool           fits = statvfs(SWIFT_FOLDER, &fs) == 0 && access(SWIFT_FOLDER, W_OK) == 0 &&
                fs.f_bavail * fs.f_frsize >= SWIFT_BYTES_MIN;

    if (fits) {
        init_in(b, BENCH_LOCAL, SWIFT_FOLDER);
    } else {
        bench_init(b, BENCH_LOCAL);
    }
}

void bench_fini(struct bench *b)
{
    wfl_engine_close(b->engine);
    if (b->folder[0] != '\0') nftw(b->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
}

void bench_open(struct bench *b)
{
    struct wfl_memory_config memory = {.alloc = &wfl_alloc_libc,
                                       .pend = b->kind == BENCH_MEMORY_PEND};
    wfl_error                err = {0};
    wfl_code rc = b->kind == BENCH_LOCAL ? wfl_engine_open_local(&b->config, &b->engine, &err)
                                         : wfl_engine_open_memory(&memory, &b->engine, &err);

    if (rc != WFL_OK) fail_msg("open: %s", err.message);
}

void bench_reopen(struct bench *b)
{
    struct wfl_engine *old = b->engine, *fresh = NULL;
    wfl_error          err = {0};

    b->engine = NULL;
    if (b->kind == BENCH_LOCAL) {
        wfl_engine_close(old);
        bench_open(b);
        return;
    }
    if (wfl_memory_crash(old, &fresh, &err) != WFL_OK) fail_msg("crash: %s", err.message);
    wfl_engine_close(old);
    b->engine = fresh;
}

/* ---- waiting */

static void set_flag(struct bench *b, bool *flag)
{
    pthread_mutex_lock(&b->lock);
    *flag = true;
    pthread_cond_broadcast(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static void await_flag(struct bench *b, const bool *flag)
{
    struct timespec until;

    if (b->kind == BENCH_MEMORY_PEND && !*flag) wfl_memory_run(b->engine);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&b->lock);
    while (!*flag) {
        if (pthread_cond_timedwait(&b->wake, &b->lock, &until) == ETIMEDOUT) {
            pthread_mutex_unlock(&b->lock);
            fail_msg("no answer within a minute");
        }
    }
    pthread_mutex_unlock(&b->lock);
}

void gate_await(struct gate *g)
{
    await_flag(g->bench, &g->reached);
}

void gate_open(struct gate *g)
{
    set_flag(g->bench, &g->open);
}

/* ---- scripts */

static wfl_code see_value(struct wfl_txn *t, const struct step *step, wfl_error *err)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, step->space, step->key, &pin, err);
    bool           same = rc == WFL_OK && wfl_slice_eq(pin.value, step->value);

    wfl_pin_release(&pin);
    if (rc == WFL_OK && !same) return wfl_fail(err, WFL_INTERNAL, "another value");
    return rc;
}

static wfl_code take_step(struct wfl_txn *t, const struct step *step, wfl_error *err)
{
    wfl_code rc;

    switch (step->kind) {
    case STEP_PUT:
        return wfl_txn_put(t, step->space, step->key, &step->value, 1, err);
    case STEP_DELETE:
        return wfl_txn_delete(t, step->space, step->key, err);
    case STEP_EXPECT:
        return see_value(t, step, err);
    case STEP_ABSENT:
        rc = see_value(t, step, err);
        if (rc == WFL_NOT_FOUND) return WFL_OK;
        return rc == WFL_OK ? wfl_fail(err, WFL_INTERNAL, "there is a value") : rc;
    case STEP_KEEP:
        return wfl_txn_blob_keep(t, step->key, step->place, err);
    case STEP_DROP:
        return wfl_txn_blob_drop(t, step->key, err);
    case STEP_REFUSE:
        return wfl_fail(err, step->code, "refused by the script");
    case STEP_WAIT:
        set_flag(step->gate->bench, &step->gate->reached);
        await_flag(step->gate->bench, &step->gate->open);
        return WFL_OK;
    }
    return wfl_fail(err, WFL_INTERNAL, "no such step");
}

static wfl_code script_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct script *s = c->arg;

    for (size_t i = 0; i < s->count; i++) {
        wfl_code rc = take_step(t, &s->steps[i], err);

        if (rc != WFL_OK) return rc;
    }
    s->applied = true;
    return WFL_OK;
}

static void script_done(struct wfl_commit *c)
{
    struct script *s = c->arg;

    if (s->on_done != NULL) s->on_done(s);
    set_flag(s->bench, &s->done);
}

void script_init(struct script *s, struct bench *b, const struct step *steps, size_t count)
{
    *s = (struct script){.bench = b, .steps = steps, .count = count};
    s->commit = (struct wfl_commit){
        .durability = WFL_DURABLE, .apply = script_apply, .done = script_done, .arg = s};
    for (size_t i = 0; i < count; i++)
        s->commit.bytes += steps[i].key.len + steps[i].value.len;
}

wfl_code script_submit(struct script *s)
{
    return wfl_engine_commit(s->bench->engine, &s->commit);
}

wfl_code script_wait(struct script *s)
{
    await_flag(s->bench, &s->done);
    return s->commit.rc;
}

wfl_code script_run(struct script *s)
{
    wfl_code rc = script_submit(s);

    return rc == WFL_PENDING ? script_wait(s) : rc;
}

void scripts_run_as_group(struct script *scripts, size_t count)
{
    struct bench *b = scripts[0].bench;
    struct gate   gate = {.bench = b};
    struct step   wait = {.kind = STEP_WAIT, .gate = &gate};
    struct script keeper;

    script_init(&keeper, b, &wait, 1);
    if (b->kind == BENCH_LOCAL) {
        assert_int_equal(script_submit(&keeper), WFL_PENDING);
        gate_await(&gate);
    }
    for (size_t i = 0; i < count; i++)
        assert_int_equal(script_submit(&scripts[i]), WFL_PENDING);
    if (b->kind == BENCH_LOCAL) {
        gate_open(&gate);
        assert_int_equal(script_wait(&keeper), WFL_OK);
    }
    for (size_t i = 0; i < count; i++)
        (void)script_wait(&scripts[i]);
}

/* ---- single calls */

wfl_code bench_put(struct bench *b, enum wfl_space space, wfl_slice key, wfl_slice value)
{
    struct step   step = {.kind = STEP_PUT, .space = space, .key = key, .value = value};
    struct script s;

    script_init(&s, b, &step, 1);
    return script_run(&s);
}

wfl_code bench_delete(struct bench *b, enum wfl_space space, wfl_slice key)
{
    struct step   step = {.kind = STEP_DELETE, .space = space, .key = key};
    struct script s;

    script_init(&s, b, &step, 1);
    return script_run(&s);
}

struct waiter {
    struct bench *bench;
    bool          done;
};

static void get_done(struct wfl_engine_get *get)
{
    struct waiter *w = get->arg;

    set_flag(w->bench, &w->done);
}

wfl_code bench_get(struct bench *b, enum wfl_space space, wfl_slice key, struct wfl_pin *pin)
{
    struct waiter         w = {.bench = b};
    struct wfl_engine_get get = {.space = space, .key = key, .done = get_done, .arg = &w};
    wfl_code              rc = wfl_engine_get(b->engine, &get);

    if (rc == WFL_PENDING) {
        await_flag(b, &w.done);
        rc = get.rc;
    } else {
        assert_int_equal(get.rc, rc);
    }
    *pin = get.pin;
    return rc;
}

static void range_done(struct wfl_engine_range *range)
{
    struct waiter *w = range->arg;

    set_flag(w->bench, &w->done);
}

wfl_code bench_range(struct bench *b, struct wfl_engine_range *range)
{
    struct waiter w = {.bench = b};
    wfl_code      rc;

    range->done = range_done;
    range->arg = &w;
    rc = wfl_engine_range(b->engine, range);
    if (rc == WFL_PENDING) {
        await_flag(b, &w.done);
        rc = range->rc;
    }
    return rc;
}

void bench_assert_value(struct bench *b, enum wfl_space space, wfl_slice key, wfl_slice value)
{
    struct wfl_pin pin = {0};

    assert_int_equal(bench_get(b, space, key, &pin), WFL_OK);
    assert_true(wfl_slice_eq(pin.value, value));
    wfl_pin_release(&pin);
    wfl_pin_release(&pin);
}

void bench_assert_absent(struct bench *b, enum wfl_space space, wfl_slice key)
{
    struct wfl_pin pin = {0};

    assert_int_equal(bench_get(b, space, key, &pin), WFL_NOT_FOUND);
    wfl_pin_release(&pin);
}

/* ---- blobs */

void blob_fill(wfl_slice name, uint8_t *out, uint32_t len)
{
    wfl_hash    seed = wfl_hash_of(name);
    struct prng rng = {0};

    memcpy(&rng.state, seed.bytes, sizeof rng.state);
    rng.state += len;
    for (uint32_t at = 0; at < len; at += sizeof(uint64_t)) {
        uint64_t word = prng_next(&rng);

        memcpy(out + at, &word, len - at < sizeof word ? len - at : sizeof word);
    }
}

wfl_code bench_blob_write(struct bench *b, wfl_slice name, uint32_t len, struct wfl_blob_place *out)
{
    uint8_t  *bytes = malloc(len);
    wfl_error err;
    wfl_hash  hash;
    wfl_code  rc;

    assert_non_null(bytes);
    blob_fill(name, bytes, len);
    hash = wfl_hash_of(wfl_slice_of(bytes, len));
    rc = wfl_engine_blob_write(b->engine, name, wfl_slice_of(bytes, len), &hash, out, &err);
    free(bytes);
    return rc;
}

wfl_code bench_blob_sync(struct bench *b, const struct wfl_blob_place *place)
{
    wfl_error err;

    return wfl_engine_blob_sync(b->engine, place, 1, &err);
}

wfl_code bench_blob_keep(struct bench *b, wfl_slice name, const struct wfl_blob_place *place)
{
    struct step   step = {.kind = STEP_KEEP, .key = name, .place = place};
    struct script s;

    script_init(&s, b, &step, 1);
    return script_run(&s);
}

wfl_code bench_blob_put(struct bench *b, wfl_slice name, uint32_t len)
{
    struct wfl_blob_place place;
    wfl_code              rc = bench_blob_write(b, name, len, &place);

    if (rc != WFL_OK) return rc;
    rc = bench_blob_sync(b, &place);
    if (rc == WFL_OK) rc = bench_blob_keep(b, name, &place);
    if (rc != WFL_OK) wfl_engine_blob_abandon(b->engine, &place);
    return rc;
}

wfl_code bench_blob_drop(struct bench *b, wfl_slice name)
{
    struct step   step = {.kind = STEP_DROP, .key = name};
    struct script s;

    script_init(&s, b, &step, 1);
    return script_run(&s);
}

void bench_assert_open(const struct wfl_blob *blob, wfl_slice name, uint32_t len)
{
    uint8_t       *want = malloc(len), *got = malloc(len);
    uint32_t       at = len / 3, n = len - at;
    const uint8_t *map;
    wfl_error      err;

    assert_true(want != NULL && got != NULL);
    blob_fill(name, want, len);
    assert_int_equal(blob->len, len);
    assert_int_equal(wfl_blob_copy(blob, 0, len, got, &err), WFL_OK);
    assert_memory_equal(want, got, len);
    memset(got, 0, len);
    assert_int_equal(pread(blob->fd, got, len, (off_t)blob->offset), len);
    assert_memory_equal(want, got, len);
    map = wfl_blob_map(blob, at, n);
    assert_non_null(map);
    assert_memory_equal(want + at, map, n);
    wfl_blob_unmap(map, at, n);
    free(want);
    free(got);
}

void bench_assert_blob(struct bench *b, wfl_slice name, uint32_t len)
{
    for (int always = 0; always < 2; always++) {
        struct wfl_blob blob;
        wfl_error       err;

        if (wfl_engine_blob_open(b->engine, name, always == 1, &blob, &err) != WFL_OK)
            fail_msg("blob %.*s: %s", WFL_FMT(name), err.message);
        bench_assert_open(&blob, name, len);
        wfl_blob_close(&blob);
        wfl_blob_close(&blob);
    }
}

void bench_assert_no_blob(struct bench *b, wfl_slice name)
{
    struct wfl_blob blob;
    wfl_error       err;

    assert_int_equal(wfl_engine_blob_open(b->engine, name, false, &blob, &err), WFL_NOT_FOUND);
    wfl_blob_close(&blob);
}

void bench_assert_counts(struct bench *b, uint64_t pending)
{
    struct wfl_engine_stats stats;
    wfl_error               err = {0};

    if (wfl_engine_blob_recount(b->engine, &err) != WFL_OK) fail_msg("recount: %s", err.message);
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.blobs_pending, pending);
}

/* ---- random */

struct prng prng_from_env(void)
{
    const char     *text = getenv("WFL_SEED");
    struct timespec now;
    struct prng     p;

    clock_gettime(CLOCK_REALTIME, &now);
    p.state = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)now.tv_nsec;
    print_message("# WFL_SEED=%llu\n", (unsigned long long)p.state);
    return p;
}

uint64_t prng_next(struct prng *p) /* splitmix64 */
{
    uint64_t z = p->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
    return prng_next(p) % bound;
}
