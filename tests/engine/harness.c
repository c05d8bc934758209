/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting is a flag under a lock, whoever sets it: a thread of the local engine, the memory engine
 * inside the call, or wfl_memory_run. */
#include "harness.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- opening and closing */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

void bench_init(struct bench *b, enum bench_kind kind)
{
    *b = (struct bench){.kind = kind};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->wake, NULL);
    if (kind == BENCH_LOCAL) {
        snprintf(b->folder, sizeof b->folder, "%s/wfl-engine-XXXXXX",
                 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
        if (mkdtemp(b->folder) == NULL) fail_msg("mkdtemp: %s", strerror(errno));
        snprintf(b->path, sizeof b->path, "%s/data", b->folder);
    }
    b->config = (struct wfl_local_config){.path = b->path,
                                          .block_cache_bytes = 8u << 20,
                                          .write_buffer_bytes = 8u << 20,
                                          .pool_threads = 2,
                                          .alloc = &wfl_alloc_libc};
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
