/* SPDX-License-Identifier: Apache-2.0
 *
 * See fixture.h. */
#include "fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/chunks.h"

#define BYTES_MAX (4u << 20)

/* ---- memory, time, randomness */

static void *resize(void *ctx, void *old, size_t n)
{
    struct fixture *f = ctx;

    if (n == 0) {
        if (old != NULL) __atomic_sub_fetch(&f->live, 1, __ATOMIC_RELAXED);
        free(old);
        return NULL;
    }
    if (f->on_alloc != NULL) f->on_alloc(f, n);
    uint64_t count = __atomic_add_fetch(&f->allocs, 1, __ATOMIC_RELAXED);
    if (f->refuse != 0 && count == f->refuse) return NULL;
    void *p = realloc(old, n);
    if (p != NULL && old == NULL) __atomic_add_fetch(&f->live, 1, __ATOMIC_RELAXED);
    return p;
}

static int64_t now_ns(void *ctx)
{
    struct fixture *f = ctx;

    return f->now_ns;
}

/* splitmix64; several threads may draw from one. */
uint64_t next_random(uint64_t *state)
{
    uint64_t z = __atomic_add_fetch(state, UINT64_C(0x9E3779B97F4A7C15), __ATOMIC_RELAXED);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static void fill(void *ctx, uint8_t *out, size_t n)
{
    struct fixture *f = ctx;

    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)next_random(&f->seed);
}

uint64_t test_seed(void)
{
    const char *text = getenv("WFL_SEED");
    uint64_t    seed = text != NULL ? strtoull(text, NULL, 10) : 1;

    print_message("# WFL_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* ---- opening and closing */

static void open_engine(struct fixture *f)
{
    wfl_error err = {0};
    wfl_code  rc;

    if (f->kind == ON_LOCAL)
        rc = wfl_engine_open_local(&(struct wfl_local_config){.path = f->path,
                                                              .block_cache_bytes = 8u << 20,
                                                              .write_buffer_bytes = 4u << 20,
                                                              .clock = &f->clock,
                                                              .alloc = &wfl_alloc_libc},
                                   &f->engine, &err);
    else
        rc = wfl_engine_open_memory(
            &(struct wfl_memory_config){.alloc = &wfl_alloc_libc,
                                        .pend = f->kind == ON_MEMORY_PENDING},
            &f->engine, &err);
    if (rc != WFL_OK) fail_msg("engine: %s", err.message);
}

wfl_code fixture_try_open_store(struct fixture *f, wfl_error *err)
{
    return wfl_store_open(&(struct wfl_store_config){.engine = f->engine,
                                                     .clock = &f->clock,
                                                     .random = &f->random,
                                                     .alloc = &f->alloc,
                                                     .collects = f->collects},
                          &f->store, err);
}

void fixture_open_store(struct fixture *f)
{
    wfl_error err = {0};

    if (fixture_try_open_store(f, &err) != WFL_OK) fail_msg("store: %s", err.message);
}

void fixture_open(struct fixture *f, enum fixture_engine kind)
{
    const char *tmp = getenv("TMPDIR");

    *f = (struct fixture){.kind = kind, .now_ns = INT64_C(1764000000) * 1000000000, .seed = 1};
    f->alloc = (struct wfl_alloc){.resize = resize, .ctx = f};
    f->clock = (struct wfl_clock){.unix_ns = now_ns, .mono_ns = now_ns, .ctx = f};
    f->random = (struct wfl_random){.fill = fill, .ctx = f};
    snprintf(f->path, sizeof f->path, "%s/wfl-store-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (kind == ON_LOCAL) assert_non_null(mkdtemp(f->path));
    open_engine(f);
    fixture_open_store(f);
}

void fixture_close_store(struct fixture *f)
{
    wfl_store_close(f->store);
    f->store = NULL;
    assert_int_equal(f->live, 0);
}

void fixture_reopen(struct fixture *f)
{
    wfl_error          err;
    struct wfl_engine *after = NULL;

    fixture_close_store(f);
    if (f->kind == ON_LOCAL) {
        wfl_engine_close(f->engine);
        open_engine(f);
    } else {
        assert_code(wfl_memory_crash(f->engine, &after, &err), WFL_OK);
        wfl_engine_close(f->engine);
        f->engine = after;
    }
    fixture_open_store(f);
}

void fixture_close(struct fixture *f)
{
    char command[256];

    if (f->store != NULL) fixture_close_store(f);
    wfl_engine_close(f->engine);
    if (f->kind == ON_LOCAL) {
        snprintf(command, sizeof command, "rm -rf '%s'", f->path);
        assert_int_equal(system(command), 0);
    }
}

static int setup(void **state, enum fixture_engine kind)
{
    struct fixture *f = malloc(sizeof *f);

    assert_non_null(f);
    fixture_open(f, kind);
    assert_code(create(f, "photos", ""), WFL_OK);
    *state = f;
    return 0;
}

int fixture_setup_memory(void **state)
{
    return setup(state, ON_MEMORY);
}

int fixture_setup_pending(void **state)
{
    return setup(state, ON_MEMORY_PENDING);
}

int fixture_setup_local(void **state)
{
    return setup(state, ON_LOCAL);
}

int fixture_teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

/* ---- waiting */

void waiter_init(struct waiter *w)
{
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->done = false;
}

void waiter_wake(struct waiter *w)
{
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void waiter_wait(struct fixture *f, struct waiter *w)
{
    if (f->kind == ON_MEMORY_PENDING)
        while (!w->done)
            assert_true(wfl_memory_run(f->engine) > 0);
    pthread_mutex_lock(&w->lock);
    while (!w->done)
        pthread_cond_wait(&w->wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
}

void put_done(struct wfl_put *op)
{
    waiter_wake(op->arg);
}
static void delete_done(struct wfl_delete *op)
{
    waiter_wake(op->arg);
}
static void get_done(struct wfl_get *op)
{
    waiter_wake(op->arg);
}
static void scan_done(struct wfl_scan *op)
{
    waiter_wake(op->arg);
}
static void bucket_done(struct wfl_bucket_op *op)
{
    waiter_wake(op->arg);
}

#define WAITING(name, type, start)                                                                 \
    wfl_code name##_op(struct fixture *f, type *op)                                                \
    {                                                                                              \
        struct waiter w;                                                                           \
                                                                                                   \
        waiter_init(&w);                                                                           \
        op->done = name##_done;                                                                    \
        op->arg = &w;                                                                              \
        wfl_code rc = start(f->store, op);                                                         \
        if (rc == WFL_PENDING)                                                                     \
            waiter_wait(f, &w);                                                                    \
        else                                                                                       \
            assert_int_equal(rc, op->rc);                                                          \
        assert_int_not_equal(op->rc, WFL_PENDING);                                                 \
        return op->rc;                                                                             \
    }
WAITING(put, struct wfl_put, wfl_store_put)
WAITING(delete, struct wfl_delete, wfl_store_delete)
WAITING(get, struct wfl_get, wfl_store_get)
WAITING(scan, struct wfl_scan, wfl_store_scan)

static void refuse_done(struct wfl_refusal *op)
{
    waiter_wake(op->arg);
}
WAITING(refuse, struct wfl_refusal, wfl_store_refuse)

wfl_code bucket_op(struct fixture *f, struct wfl_bucket_op *op,
                   wfl_code (*start)(struct wfl_store *s, struct wfl_bucket_op *op))
{
    struct waiter w;

    waiter_init(&w);
    op->done = bucket_done;
    op->arg = &w;
    if (start(f->store, op) == WFL_PENDING) waiter_wait(f, &w);
    return op->rc;
}

/* ---- plain cases */

wfl_code ingest(struct fixture *f, const char *bucket, wfl_slice content, struct wfl_ingest **out)
{
    wfl_error err;
    uint64_t  size;
    wfl_hash  blake3;
    wfl_code  rc = wfl_ingest_new(f->store, wfl_slice_str(bucket), out, &err);

    while (rc == WFL_OK && content.len > 0) {
        size_t    n = content.len < WFL_CHUNK_BYTES ? content.len : WFL_CHUNK_BYTES;
        wfl_slice chunk;

        assert_true(wfl_slice_take(&content, n, &chunk));
        rc = wfl_ingest_add(*out, chunk, &err);
    }
    return rc == WFL_OK ? wfl_ingest_seal(*out, &size, &blake3, &err) : rc;
}

wfl_code put_any(struct fixture *f, struct wfl_put *op)
{
    wfl_slice content = op->content;
    char      bucket[WFL_BUCKET_NAME_MAX + 1];
    wfl_code  rc;

    if (content.len <= WFL_VALUE_BYTES_MAX) return put_op(f, op);
    snprintf(bucket, sizeof bucket, "%.*s", WFL_FMT(op->bucket));
    op->rc = ingest(f, bucket, content, &op->large);
    op->size = content.len;
    op->blake3 = wfl_hash_of(content);
    op->content = (wfl_slice){0};
    rc = op->rc == WFL_OK ? put_op(f, op) : op->rc;
    wfl_ingest_free(op->large);
    op->large = NULL;
    return rc;
}

wfl_code put_as(struct fixture *f, const char *bucket, const char *key, wfl_slice content,
                wfl_ulid *version)
{
    struct wfl_put op = {.bucket = wfl_slice_str(bucket),
                         .key = wfl_slice_str(key),
                         .content = content,
                         .blake3 = wfl_hash_of(content),
                         .content_type = WFL_S("text/plain")};
    wfl_code       rc = put_any(f, &op);

    if (version != NULL) *version = op.version;
    wfl_put_fini(&op);
    return rc;
}

wfl_code put(struct fixture *f, const char *bucket, const char *key, wfl_slice content)
{
    return put_as(f, bucket, key, content, NULL);
}

wfl_code delete_key(struct fixture *f, const char *bucket, const char *key)
{
    struct wfl_delete op = {.bucket = wfl_slice_str(bucket), .key = wfl_slice_str(key)};

    return delete_op(f, &op);
}

wfl_code create(struct fixture *f, const char *bucket, const char *settings)
{
    struct wfl_bucket_op op = {.name = wfl_slice_str(bucket)};

    assert_code(wfl_settings_parse(wfl_slice_str(settings), &op.settings, &op.err), WFL_OK);
    return bucket_op(f, &op, wfl_store_bucket_create);
}

wfl_code delete_bucket(struct fixture *f, const char *bucket)
{
    struct wfl_bucket_op op = {.name = wfl_slice_str(bucket)};

    return bucket_op(f, &op, wfl_store_bucket_delete);
}

struct wfl_bucket_info info(struct fixture *f, const char *bucket)
{
    struct wfl_bucket_info out;
    wfl_arena              arena;
    wfl_error              err;

    wfl_arena_init(&arena, &wfl_alloc_libc, 4096);
    assert_code(wfl_store_bucket_info(f->store, wfl_slice_str(bucket), &arena, &out, &err), WFL_OK);
    assert_true(wfl_slice_eq(out.name, wfl_slice_str(bucket)));
    wfl_arena_fini(&arena);
    out.name = (wfl_slice){0};
    return out;
}

/* What a reader gives of [first, first + content.len) is `content`. */
void assert_reads(const struct wfl_get *op, uint64_t first, wfl_slice content)
{
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece;
    wfl_error          err;
    size_t             at = 0;

    assert_code(wfl_reader_new(op, first, content.len, false, &reader, &err), WFL_OK);
    for (;;) {
        assert_code(wfl_reader_next(reader, &piece, &err), WFL_OK);
        if (piece.len == 0) break;
        uint8_t *copy = malloc(piece.len);
        assert_non_null(copy);
        assert_code(wfl_blob_copy(&piece.blob, piece.at, piece.len, copy, &err), WFL_OK);
        assert_true(piece.len <= content.len - at);
        if (memcmp(copy, content.data + at, piece.len) != 0) fail_msg("bytes differ at %zu", at);
        free(copy);
        at += piece.len;
        wfl_blob_close(&piece.blob);
    }
    assert_int_equal(at, content.len);
    wfl_reader_free(reader);
}

void assert_content(struct fixture *f, const char *bucket, const char *key, wfl_slice content)
{
    struct wfl_get op = {.bucket = wfl_slice_str(bucket), .key = wfl_slice_str(key)};

    assert_code(get_op(f, &op), WFL_OK);
    assert_int_equal(op.object.size, content.len);
    if (op.large)
        assert_reads(&op, 0, content);
    else if (!wfl_slice_eq(op.content, content))
        fail_msg("content of %s differs", key);
    wfl_get_fini(&op);
}

void assert_no_key(struct fixture *f, const char *bucket, const char *key)
{
    struct wfl_get op = {.bucket = wfl_slice_str(bucket), .key = wfl_slice_str(key)};

    assert_code(get_op(f, &op), WFL_KEY_NOT_FOUND);
    wfl_get_fini(&op);
}

wfl_slice bytes_of_len(size_t len, uint8_t seed)
{
    static uint8_t bytes[BYTES_MAX];

    assert_true(len <= sizeof bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 7);
    return wfl_slice_of(bytes, len);
}

/* ---- large contents */

#define LARGE_MAX       (48u << 20)
#define PENDING_WAIT_NS INT64_C(30000000000) /* a bound, which nothing comes near */

/* Words that count up from a start of the chunk's own: no two places of a chunk are alike, and no
 * two chunks. */
static void fill_chunk(uint8_t *out, size_t len, uint32_t fill)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((i >> (8 * (i % 4))) + fill + (fill >> (8 * (i % 2))) * 31);
}

static uint8_t *large_space(size_t len)
{
    static uint8_t bytes[LARGE_MAX];

    assert_true(len <= sizeof bytes);
    return bytes;
}

wfl_slice chunks_of(size_t len, const uint8_t *fills, size_t fill_count)
{
    uint8_t *bytes = large_space(len);

    for (size_t at = 0, i = 0; at < len; at += WFL_CHUNK_BYTES, i++)
        fill_chunk(bytes + at, len - at < WFL_CHUNK_BYTES ? len - at : WFL_CHUNK_BYTES,
                   fills[i % fill_count]);
    return wfl_slice_of(bytes, len);
}

wfl_slice large_of(size_t len, uint8_t seed)
{
    uint8_t *bytes = large_space(len);

    for (size_t at = 0, i = 1; at < len; at += WFL_CHUNK_BYTES, i++)
        fill_chunk(bytes + at, len - at < WFL_CHUNK_BYTES ? len - at : WFL_CHUNK_BYTES,
                   (uint32_t)(i << 8) + seed);
    return wfl_slice_of(bytes, len);
}

wfl_slice chunk_of_long(size_t i, size_t len)
{
    static uint8_t kinds[5][WFL_CHUNK_BYTES];
    static bool    filled;

    for (uint32_t k = 0; !filled && k < WFL_COUNT(kinds); k++)
        fill_chunk(kinds[k], sizeof kinds[k], k);
    filled = true;
    return wfl_slice_of(kinds[i % WFL_COUNT(kinds)], len);
}

wfl_code ingest_long(struct fixture *f, const char *bucket, size_t count, size_t last,
                     struct wfl_ingest **out)
{
    wfl_error err;
    wfl_code  rc = wfl_ingest_new(f->store, wfl_slice_str(bucket), out, &err);

    for (size_t i = 0; rc == WFL_OK && i < count; i++)
        rc = wfl_ingest_add(*out, chunk_of_long(i, i + 1 < count ? WFL_CHUNK_BYTES : last), &err);
    return rc;
}

wfl_code name_content(struct fixture *f, const char *bucket, const char *key,
                      struct wfl_ingest *content)
{
    struct wfl_put op = {
        .bucket = wfl_slice_str(bucket), .key = wfl_slice_str(key), .large = content};
    wfl_error err;

    assert_code(wfl_ingest_seal(content, &op.size, &op.blake3, &err), WFL_OK);
    wfl_code rc = put_op(f, &op);
    wfl_put_fini(&op);
    wfl_ingest_free(content);
    return rc;
}

wfl_ulid begin_upload(struct fixture *f, const char *key, const struct wfl_put *given)
{
    struct wfl_put op = {0};
    wfl_ulid       upload;
    wfl_error      err;

    if (given != NULL) op = *given;
    op.bucket = WFL_S("photos");
    op.key = wfl_slice_str(key);
    assert_code(wfl_upload_start(f->store, &op, &upload, &err), WFL_OK);
    return upload;
}

wfl_code try_part(struct fixture *f, const char *key, const wfl_ulid *upload, struct wfl_part *part,
                  wfl_slice content)
{
    struct wfl_ingest *ingested = NULL;
    wfl_error          err;
    wfl_code           rc = ingest(f, "photos", content, &ingested);

    part->size = content.len;
    part->blake3 = wfl_hash_of(content);
    if (rc == WFL_OK)
        rc = wfl_upload_put_part(f->store, WFL_S("photos"), wfl_slice_str(key), upload, part,
                                 ingested, WFL_BUFFERED, NULL, &err);
    wfl_ingest_free(ingested);
    return rc;
}

struct wfl_part put_part(struct fixture *f, const char *key, const wfl_ulid *upload,
                         uint32_t number, wfl_slice content)
{
    struct wfl_part part = {.number = number};

    assert_code(try_part(f, key, upload, &part, content), WFL_OK);
    return part;
}

wfl_code complete(struct fixture *f, const char *key, const wfl_ulid *upload,
                  const struct wfl_part *parts, uint32_t count, struct wfl_completed *out)
{
    struct wfl_completion *c = NULL;
    struct wfl_completed   completed = {0};
    wfl_error              err;
    bool                   ended = false;
    wfl_code rc = wfl_completion_new(f->store, WFL_S("photos"), wfl_slice_str(key), upload, parts,
                                     count, NULL, &c, &err);

    while (rc == WFL_OK && !ended)
        rc = wfl_completion_step(c, &ended, &err);
    if (rc == WFL_OK) rc = wfl_completion_commit(c, NULL, &completed, &err);
    wfl_completion_free(c);
    if (out != NULL) *out = completed;
    return rc;
}

static void print_line(void *arg, const char *line)
{
    (void)arg;
    print_message("# recount: %s\n", line);
}

void assert_recounts(struct fixture *f)
{
    struct wfl_recount how = {.report = print_line};
    uint64_t           differences = 0;
    wfl_error          err;

    assert_code(wfl_store_recount(f->store, &how, &differences, &err), WFL_OK);
    assert_int_equal(differences, 0);
}

bool collect(struct fixture *f)
{
    wfl_error err;
    bool      left = false;

    assert_code(wfl_store_collect(f->store, &left, &err), WFL_OK);
    return left;
}

size_t blobs(struct fixture *f)
{
    struct wfl_blob_walk walk = {0};
    size_t               count = 0;
    wfl_error            err;

    for (;;) {
        assert_code(wfl_engine_blob_walk(f->engine, &walk, &err), WFL_OK);
        if (walk.ended) return count;
        assert_code(walk.verdict, WFL_OK);
        count++;
    }
}

void assert_pending(struct fixture *f, uint64_t places)
{
    struct wfl_engine_stats stats;
    int64_t                 until = wfl_clock_mono_ns(&wfl_clock_system) + PENDING_WAIT_NS;

    do {
        stats = (struct wfl_engine_stats){0};
        wfl_engine_stats(f->engine, &stats);
        if (stats.blobs_pending == places || f->kind != ON_LOCAL) break;
        sched_yield();
    } while (wfl_clock_mono_ns(&wfl_clock_system) < until);
    assert_int_equal(stats.blobs_pending, places);
}

void assert_nothing_large(struct fixture *f)
{
    wfl_error err;

    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 0);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 0);
    assert_int_equal(blobs(f), 0);
    assert_pending(f, 0);
    assert_code(wfl_engine_blob_recount(f->engine, &err), WFL_OK);
}

uint64_t references(struct fixture *f, uint32_t id, wfl_slice chunk)
{
    struct wfl_record_refs refs = {0};
    struct wfl_pin         pin = {0};
    wfl_hash               hash = wfl_hash_of(chunk);
    uint8_t                key[WFL_CHUNK_KEY_LEN];
    wfl_error              err;
    wfl_code               rc =
        wfl_engine_read(f->engine, WFL_SPACE_CHUNKS, wfl_key_chunk(id, &hash, key), &pin, &err);

    if (rc == WFL_NOT_FOUND) return 0;
    assert_code(rc, WFL_OK);
    assert_null(wfl_record_refs_read(pin.value.data, pin.value.len, &refs));
    wfl_pin_release(&pin);
    assert_int_equal(refs.len, chunk.len);
    return refs.count;
}

struct step {
    struct wfl_commit commit;
    struct fixture   *f;
    wfl_code (*run)(struct fixture *f, struct wfl_txn *t, void *arg, wfl_error *err);
    void         *arg;
    struct waiter w;
};

static wfl_code step_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct step *s = c->arg;

    return s->run(s->f, t, s->arg, err);
}

static void step_done(struct wfl_commit *c)
{
    waiter_wake(&((struct step *)c->arg)->w);
}

wfl_code in_commit(struct fixture *f,
                   wfl_code (*step)(struct fixture *f, struct wfl_txn *t, void *arg,
                                    wfl_error *err),
                   void *arg)
{
    struct step s = {.f = f, .run = step, .arg = arg};

    s.commit = (struct wfl_commit){.apply = step_apply, .done = step_done, .arg = &s};
    waiter_init(&s.w);
    if (wfl_engine_commit(f->engine, &s.commit) == WFL_PENDING) waiter_wait(f, &s.w);
    return s.commit.rc;
}

/* ---- behind the store's back */

static void range_done(struct wfl_engine_range *range)
{
    waiter_wake(range->arg);
}

size_t rows(struct fixture *f, enum wfl_space space)
{
    struct waiter           w;
    struct wfl_engine_range range = {
        .space = space, .limit = 1000000, .done = range_done, .arg = &w};
    size_t count;

    waiter_init(&w);
    if (wfl_engine_range(f->engine, &range) == WFL_PENDING) waiter_wait(f, &w);
    assert_code(range.rc, WFL_OK);
    assert_false(range.more);
    count = range.count;
    wfl_engine_range_free(&range);
    return count;
}

struct poke {
    struct wfl_commit commit;
    enum wfl_space    space;
    wfl_slice         key, value;
    struct waiter     w;
};

static wfl_code poke_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct poke *p = c->arg;

    if (p->value.len == 0) return wfl_txn_delete(t, p->space, p->key, err);
    return wfl_txn_put(t, p->space, p->key, &p->value, 1, err);
}

static void poke_done(struct wfl_commit *c)
{
    struct poke *p = c->arg;

    waiter_wake(&p->w);
}

void poke(struct fixture *f, enum wfl_space space, wfl_slice key, wfl_slice value)
{
    struct poke p = {.space = space, .key = key, .value = value};

    p.commit = (struct wfl_commit){.apply = poke_apply, .done = poke_done, .arg = &p};
    waiter_init(&p.w);
    assert_code(wfl_engine_commit(f->engine, &p.commit), WFL_PENDING);
    waiter_wait(f, &p.w);
    assert_code(p.commit.rc, WFL_OK);
}

wfl_hash all_rows(struct fixture *f)
{
    struct wfl_hasher h;

    wfl_hasher_init(&h);
    for (int space = 0; space < WFL_SPACE_COUNT; space++) {
        struct wfl_engine_range range = {
            .space = (enum wfl_space)space, .limit = 1000000, .bytes_max = 1u << 30};

        assert_code(wfl_engine_range_now(f->engine, &range), WFL_OK);
        for (uint32_t i = 0; i < range.count; i++) {
            uint64_t lens[3] = {(uint64_t)space, range.pairs[i].key.len, range.pairs[i].value.len};

            wfl_hasher_add(&h, wfl_slice_of(lens, sizeof lens));
            wfl_hasher_add(&h, range.pairs[i].key);
            wfl_hasher_add(&h, range.pairs[i].value);
        }
        wfl_engine_range_free(&range);
    }
    return wfl_hasher_result(&h);
}
