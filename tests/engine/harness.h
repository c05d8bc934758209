/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests of an engine need: one opened engine of a kind, calls that wait for their answer, and
 * commits written down as a list of steps. The same test so runs on each kind. */
#ifndef WFL_TESTS_ENGINE_HARNESS_H
#define WFL_TESTS_ENGINE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"

enum bench_kind { BENCH_MEMORY, BENCH_MEMORY_PEND, BENCH_LOCAL };

struct bench { /* an engine under test */
    enum bench_kind         kind;
    struct wfl_engine      *engine;
    struct wfl_local_config config; /* local */
    char                    folder[64];
    char                    path[96];
    pthread_mutex_t         lock; /* of all `done` flags */
    pthread_cond_t          wake;
};

void bench_init(struct bench *b, enum bench_kind kind);
/* Local, in memory where the system has a file system there: for sweeps of many opens, of which
 * each waits for a disk dozens of times. */
void bench_init_swift(struct bench *b);
void bench_fini(struct bench *b); /* closes, removes what is on disk */
void bench_open(struct bench *b);
/* Local: closes and opens again. Memory: the power is cut. */
void bench_reopen(struct bench *b);

/* ---- commits as lists of steps */

enum step_kind {
    STEP_PUT,
    STEP_DELETE,
    STEP_EXPECT, /* fails the test unless the transaction sees this value */
    STEP_ABSENT, /* ... unless it sees none */
    STEP_REFUSE, /* apply returns `code` here */
    STEP_KEEP,   /* the blob at `place` gets the name `key` */
    STEP_DROP,   /* the blob `key` */
    STEP_WAIT,   /* apply waits until the gate is open: keeps the committer busy */
};
struct gate {
    struct bench *bench;
    bool          reached, open;
};
struct step {
    enum step_kind kind;
    enum wfl_space space;
    wfl_slice      key, value;
    wfl_code       code;
    struct gate   *gate;

    const struct wfl_blob_place *place;
};
struct script {
    struct wfl_commit  commit;
    struct bench      *bench;
    const struct step *steps;
    size_t             count;
    bool               applied; /* apply ran to its end */
    bool               done;
    void (*on_done)(struct script *s); /* more to do in `done`; may be NULL */
    void *arg;
};
/* A step that calls the engine and got an error makes apply return it: for injected failures. */
void     script_init(struct script *s, struct bench *b, const struct step *steps, size_t count);
wfl_code script_submit(struct script *s);
wfl_code script_wait(struct script *s); /* what it ended with */
wfl_code script_run(struct script *s);  /* both */
/* Submits all so that they are one group where the kind has groups (not in plain memory), waits. */
void scripts_run_as_group(struct script *scripts, size_t count);
void gate_await(struct gate *g); /* until the committer stands at it */
void gate_open(struct gate *g);

wfl_code bench_put(struct bench *b, enum wfl_space space, wfl_slice key, wfl_slice value);
wfl_code bench_delete(struct bench *b, enum wfl_space space, wfl_slice key);
/* Waits for the answer. */
wfl_code bench_get(struct bench *b, enum wfl_space space, wfl_slice key, struct wfl_pin *pin);
wfl_code bench_range(struct bench *b, struct wfl_engine_range *range);
void     bench_assert_value(struct bench *b, enum wfl_space space, wfl_slice key, wfl_slice value);
void     bench_assert_absent(struct bench *b, enum wfl_space space, wfl_slice key);

/* ---- blobs: content follows from name and length */

void     blob_fill(wfl_slice name, uint8_t *out, uint32_t len);
wfl_code bench_blob_write(struct bench *b, wfl_slice name, uint32_t len,
                          struct wfl_blob_place *out);
wfl_code bench_blob_sync(struct bench *b, const struct wfl_blob_place *place);
wfl_code bench_blob_keep(struct bench *b, wfl_slice name, const struct wfl_blob_place *place);
/* Written, synced and kept; abandoned where that fails. */
wfl_code bench_blob_put(struct bench *b, wfl_slice name, uint32_t len);
wfl_code bench_blob_drop(struct bench *b, wfl_slice name);
/* It is there with its content: by copy, by map, by its fd. */
void bench_assert_blob(struct bench *b, wfl_slice name, uint32_t len);
void bench_assert_open(const struct wfl_blob *blob, wfl_slice name, uint32_t len);
void bench_assert_no_blob(struct bench *b, wfl_slice name);
/* The recount agrees, and so many places are neither kept nor abandoned. */
void bench_assert_counts(struct bench *b, uint64_t pending);

/* ---- random, replayed by WFL_SEED */

struct prng {
    uint64_t state;
};
struct prng prng_from_env(void); /* prints the seed */
uint64_t    prng_next(struct prng *p);
uint64_t    prng_below(struct prng *p, uint64_t bound);

#endif
