/* SPDX-License-Identifier: Apache-2.0
 *
 * Durable commits a second of the engine beside RocksDB itself: the same database, options and
 * records, the same number of puts in a batch, in turns. What the engine does more (a read before
 * each put, a queue, a savepoint, an index over the batch) is the difference; the disk's part is
 * shown by fdatasync of as many bytes. */
#include "bench/micro.h"
#include "engine/local/local_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define HEADER_BYTES  250 /* about an object's record */
#define CONTENT_BYTES 4096
#define FLIGHT_MAX    64
#define ROUND_NS      700000000

struct fleet {
    struct wfl_engine *engine;
    struct wfl_commit  commits[FLIGHT_MAX]; /* each is sent again when it is done */
    uint8_t            content[CONTENT_BYTES];
    uint64_t           next_key, committed;
    int64_t            end_ns;
    uint32_t           under_way;
    pthread_mutex_t    lock;
    pthread_cond_t     wake;
};

struct outcome {
    double per_second;
    double cpu_us; /* of one, all threads */
};

static int64_t cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct outcome outcome_of(uint64_t count, int64_t began_ns, int64_t cpu_began_ns)
{
    int64_t took_ns = wfl_clock_mono_ns(&wfl_clock_system) - began_ns;

    return (struct outcome){.per_second = (double)count * 1e9 / (double)took_ns,
                            .cpu_us = (double)(cpu_ns() - cpu_began_ns) / 1000 / (double)count};
}

static void write_key(uint64_t n, uint8_t out[20])
{
    char text[21];

    /* In no order, as hashed names are. */
    snprintf(text, sizeof text, "%020" PRIu64, n * 0x9E3779B97F4A7C15u);
    memcpy(out, text, 20);
}

static wfl_code apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct fleet  *f = c->arg;
    wfl_slice      header = wfl_slice_of(f->content, HEADER_BYTES);
    wfl_slice      content = wfl_slice_of(f->content, CONTENT_BYTES);
    uint8_t        key[20];
    struct wfl_pin pin = {0};
    wfl_code       rc;

    write_key(f->next_key++, key);
    rc = wfl_txn_get(t, WFL_SPACE_OBJECTS, wfl_slice_of(key, sizeof key), &pin, err);
    if (rc != WFL_NOT_FOUND) micro_die("commit", "a new key is there already");
    rc = wfl_txn_put(t, WFL_SPACE_OBJECTS, wfl_slice_of(key, sizeof key), &header, 1, err);
    if (rc != WFL_OK) return rc;
    return wfl_txn_put(t, WFL_SPACE_VALUES, wfl_slice_of(key, sizeof key), &content, 1, err);
}

static void submit(struct fleet *f, struct wfl_commit *c)
{
    if (wfl_engine_commit(f->engine, c) != WFL_PENDING) micro_die("commit", c->err.message);
}

/* The committer's thread: the only one that counts while a round is under way. */
static void done(struct wfl_commit *c)
{
    struct fleet *f = c->arg;

    if (c->rc != WFL_OK) micro_die("commit", c->err.message);
    f->committed++;
    if (wfl_clock_mono_ns(&wfl_clock_system) < f->end_ns) {
        submit(f, c);
        return;
    }
    pthread_mutex_lock(&f->lock);
    if (--f->under_way == 0) pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
}

static struct outcome run_engine(struct fleet *f, uint32_t in_flight)
{
    int64_t began = wfl_clock_mono_ns(&wfl_clock_system), cpu = cpu_ns();

    f->committed = 0;
    f->under_way = in_flight;
    f->end_ns = began + ROUND_NS;
    for (uint32_t i = 0; i < in_flight; i++) {
        f->commits[i] = (struct wfl_commit){.durability = WFL_DURABLE,
                                            .bytes = HEADER_BYTES + CONTENT_BYTES,
                                            .apply = apply,
                                            .done = done,
                                            .arg = f};
        submit(f, &f->commits[i]);
    }
    pthread_mutex_lock(&f->lock);
    while (f->under_way > 0)
        pthread_cond_wait(&f->wake, &f->lock);
    pthread_mutex_unlock(&f->lock);
    return outcome_of(f->committed, began, cpu);
}

static struct outcome run_raw(struct fleet *f, uint32_t in_batch)
{
    struct local         *l = (struct local *)(void *)f->engine;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    int64_t               began = wfl_clock_mono_ns(&wfl_clock_system), now = began, cpu = cpu_ns();
    uint64_t              count = 0;
    const char           *content = (const char *)f->content;

    while (now < began + ROUND_NS) {
        char *text = NULL;

        rocksdb_writebatch_clear(batch);
        for (uint32_t i = 0; i < in_batch; i++) {
            uint8_t key[20];

            write_key(f->next_key++, key);
            rocksdb_writebatch_put_cf(batch, l->spaces[WFL_SPACE_OBJECTS], (char *)key, sizeof key,
                                      content, HEADER_BYTES);
            rocksdb_writebatch_put_cf(batch, l->spaces[WFL_SPACE_VALUES], (char *)key, sizeof key,
                                      content, CONTENT_BYTES);
        }
        rocksdb_write(l->db, l->write_synced, batch, &text);
        if (text != NULL) micro_die("raw write", text);
        count += in_batch;
        now = wfl_clock_mono_ns(&wfl_clock_system);
    }
    rocksdb_writebatch_destroy(batch);
    return outcome_of(count, began, cpu);
}

static struct outcome run_disk(struct fleet *f, int fd, uint32_t in_batch)
{
    int64_t  began = wfl_clock_mono_ns(&wfl_clock_system), now = began, cpu = cpu_ns();
    uint64_t count = 0;

    while (now < began + ROUND_NS) {
        for (uint32_t i = 0; i < in_batch; i++) {
            if (write(fd, f->content, CONTENT_BYTES) != CONTENT_BYTES) micro_die("disk", "write");
        }
        if (fdatasync(fd) != 0) micro_die("disk", "fdatasync");
        count += in_batch;
        now = wfl_clock_mono_ns(&wfl_clock_system);
    }
    return outcome_of(count, began, cpu);
}

enum { ENGINE, RAW, DISK, KINDS };

static void say(const char *what, const struct outcome *rounds)
{
    double per_second[MICRO_ROUNDS], cpu_us[MICRO_ROUNDS];

    for (int i = 0; i < MICRO_ROUNDS; i++) {
        per_second[i] = rounds[i].per_second;
        cpu_us[i] = rounds[i].cpu_us;
    }
    printf("  %-40s %8.0f /s   %6.1f us of CPU each\n", what,
           micro_median(per_second, MICRO_ROUNDS), micro_median(cpu_us, MICRO_ROUNDS));
}

static void compare(struct fleet *f, int fd, uint32_t n)
{
    struct outcome got[KINDS][MICRO_ROUNDS];
    double         ratio[MICRO_ROUNDS];

    for (int i = 0; i < MICRO_ROUNDS; i++) {
        got[DISK][i] = run_disk(f, fd, n);
        if (i % 2 == 0) got[ENGINE][i] = run_engine(f, n);
        got[RAW][i] = run_raw(f, n);
        if (i % 2 != 0) got[ENGINE][i] = run_engine(f, n);
        ratio[i] = got[ENGINE][i].per_second / got[RAW][i].per_second;
    }
    printf("durable commits of 4 KiB, %" PRIu32 " in flight or in a batch\n", n);
    say("engine", got[ENGINE]);
    say("RocksDB", got[RAW]);
    say("write and fdatasync alone", got[DISK]);
    printf("  %-40s %8.2f\n", "engine / RocksDB, median of rounds",
           micro_median(ratio, MICRO_ROUNDS));
}

void micro_engine(const char *folder)
{
    static struct fleet f = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    char                path[256], file[256];
    struct wfl_local_config config = {.path = path, .alloc = &wfl_alloc_libc};
    wfl_error               err;
    int                     fd;

    snprintf(path, sizeof path, "%s/engine", folder);
    snprintf(file, sizeof file, "%s/disk", folder);
    wfl_random_fill(&wfl_random_system, f.content, sizeof f.content);
    fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) micro_die("disk", "open");
    if (wfl_engine_open_local(&config, &f.engine, &err) != WFL_OK) micro_die("open", err.message);
    compare(&f, fd, 1);
    compare(&f, fd, FLIGHT_MAX);
    wfl_engine_close(f.engine);
    close(fd);
}
