/* SPDX-License-Identifier: Apache-2.0
 *
 * What only the local engine has: threads, a folder, a disk that fails. Where a process must die or
 * meet a limit, this program runs itself again with a role as its first argument: RocksDB's threads
 * do not survive a fork alone. */
#include "harness.h"

#include "engine/local/local_private.h"

#include <fcntl.h>
#include <glob.h>
#include <rocksdb/c.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define M WFL_SPACE_META

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    if (b == NULL) return -1;
    bench_init(b, BENCH_LOCAL);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_fini(*state);
    free(*state);
    return 0;
}

/* ---- the committer under load */

#define WRITERS     64
#define WRITES_EACH 20

struct writer {
    struct bench *bench;
    int           number;
    wfl_code      rc;
};

static void *write_many(void *arg)
{
    struct writer *w = arg;
    char           key[32];

    for (int i = 0; i < WRITES_EACH && w->rc == WFL_OK; i++) {
        struct step   step = {.kind = STEP_PUT, .space = M, .key.data = (uint8_t *)key};
        struct script s;

        step.key.len = (size_t)snprintf(key, sizeof key, "%d.%d", w->number, i);
        step.value = step.key;
        script_init(&s, w->bench, &step, 1);
        w->rc = script_run(&s);
    }
    return NULL;
}

static void commits_of_many_threads_share_groups_and_none_is_lost(void **state)
{
    struct bench           *b = *state;
    pthread_t               threads[WRITERS];
    struct writer           writers[WRITERS];
    struct wfl_engine_stats stats;
    char                    key[32];

    bench_open(b);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.bench = b, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].rc, WFL_OK);
    }
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.commits, WRITERS * WRITES_EACH);
    assert_true(stats.groups < stats.commits);
    assert_true(stats.memory_bytes > 0);
    bench_reopen(b);
    for (int i = 0; i < WRITERS * WRITES_EACH; i++) {
        snprintf(key, sizeof key, "%d.%d", i / WRITES_EACH, i % WRITES_EACH);
        bench_assert_value(b, M, wfl_slice_str(key), wfl_slice_str(key));
    }
}

/* ---- hooks that are taken away while a group is under way */

struct hooked {
    struct wfl_engine *engine;
    _Atomic bool       applying, settled, taken, done;
};

static wfl_code hooked_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct hooked *h = c->arg;
    wfl_slice      value = WFL_S("1");

    h->applying = true;
    /* Time for a set_hooks that does not wait; one that does comes back only after this group. */
    for (int i = 0; i < 100 && !h->taken; i++)
        usleep(1000);
    return wfl_txn_put(t, M, WFL_S("hooked"), &value, 1, err);
}

static void hooked_done(struct wfl_commit *c)
{
    ((struct hooked *)c->arg)->done = true;
}

static void hooked_settled(void *ctx, wfl_code rc)
{
    struct hooked *h = ctx;

    assert_int_equal(rc, WFL_OK);
    assert_false(h->taken);
    h->settled = true;
}

static void hooks_that_were_taken_away_are_not_called_any_more(void **state)
{
    struct bench     *b = *state;
    struct hooked     h = {0};
    struct wfl_commit c = {.durability = WFL_DURABLE,
                           .bytes = 10,
                           .apply = hooked_apply,
                           .done = hooked_done,
                           .arg = &h};

    bench_open(b);
    wfl_engine_set_hooks(b->engine,
                         &(struct wfl_group_hooks){.settled = hooked_settled, .ctx = &h});
    assert_int_equal(wfl_engine_commit(b->engine, &c), WFL_PENDING);
    while (!h.applying)
        sched_yield();
    wfl_engine_set_hooks(b->engine, &(struct wfl_group_hooks){0});
    h.taken = true;
    assert_true(h.settled);
    while (!h.done)
        sched_yield();
}

static void a_full_queue_refuses_at_once(void **state)
{
    static const struct step put = {
        .kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("1")};
    struct bench           *b = *state;
    struct gate             gate = {.bench = b};
    const struct step       wait = {.kind = STEP_WAIT, .gate = &gate};
    struct script           keeper, s[4];
    struct wfl_engine_stats stats;

    b->config.commit_queue_max = 6; /* a flow alone may have half */
    bench_open(b);
    script_init(&keeper, b, &wait, 1);
    assert_int_equal(script_submit(&keeper), WFL_PENDING);
    gate_await(&gate);
    for (size_t i = 0; i < 4; i++) {
        script_init(&s[i], b, &put, 1);
        assert_int_equal(script_submit(&s[i]), i < 3 ? WFL_PENDING : WFL_OVERLOADED);
    }
    assert_int_equal(s[3].commit.rc, WFL_OVERLOADED);
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.queued, 3);
    gate_open(&gate);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(script_wait(&s[i]), WFL_OK);
    assert_int_equal(script_wait(&keeper), WFL_OK);
}

static void a_group_is_bounded_by_bytes(void **state)
{
    static const struct step put = {
        .kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("1")};
    struct bench           *b = *state;
    struct script           s[7];
    struct wfl_engine_stats stats;

    b->config.group_bytes_max = 3000;
    bench_open(b);
    for (size_t i = 0; i < 7; i++) {
        script_init(&s[i], b, &put, 1);
        s[i].commit.bytes = i == 6 ? 100000 : 1000; /* one above the bound goes alone */
    }
    scripts_run_as_group(s, 7);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(s[i].commit.rc, WFL_OK);
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.groups, 3);
}

static void submit_when_done(struct script *s)
{
    struct script *next = s->arg;

    next->commit.rc = script_submit(next);
}

static void closing_finishes_what_is_queued_and_takes_no_more(void **state)
{
    static const struct step put = {
        .kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("1")};
    static struct script s[50], late;
    struct bench        *b = *state;

    bench_open(b);
    for (size_t i = 0; i < WFL_COUNT(s); i++) {
        script_init(&s[i], b, &put, 1);
        s[i].commit.durability = WFL_BUFFERED;
    }
    script_init(&late, b, &put, 1);
    struct gate       gate = {.bench = b};
    const struct step wait = {.kind = STEP_WAIT, .gate = &gate};
    struct script     keeper;

    script_init(&keeper, b, &wait, 1);
    s[49].on_done = submit_when_done;
    s[49].arg = &late;
    assert_int_equal(script_submit(&keeper), WFL_PENDING);
    gate_await(&gate);
    for (size_t i = 0; i < WFL_COUNT(s); i++)
        assert_int_equal(script_submit(&s[i]), WFL_PENDING);
    gate_open(&gate);
    wfl_engine_close(b->engine);
    b->engine = NULL;
    for (size_t i = 0; i < WFL_COUNT(s); i++) {
        assert_true(s[i].done);
        assert_int_equal(s[i].commit.rc, WFL_OK);
    }
    /* Submitted while the last group was told: either side of the close is right. */
    assert_true(late.commit.rc == WFL_CLOSED || (late.done && late.commit.rc == WFL_OK));
}

/* ---- the folder */

static void a_folder_is_opened_once(void **state)
{
    struct bench      *b = *state;
    struct wfl_engine *second = NULL;
    wfl_error          err = {0};

    bench_open(b);
    assert_int_equal(wfl_engine_open_local(&b->config, &second, &err), WFL_IO);
    assert_null(second);
    assert_non_null(strstr(err.message, "in use"));
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("1")), WFL_OK); /* the first is unharmed */
}

static void a_folder_that_cannot_be_made_is_told(void **state)
{
    struct bench *b = *state;
    wfl_error     err = {0};
    char          path[128];

    snprintf(path, sizeof path, "%s/missing/deeper", b->folder);
    b->config.path = path;
    assert_int_equal(wfl_engine_open_local(&b->config, &b->engine, &err), WFL_IO);
    assert_null(b->engine);
    assert_non_null(strstr(err.message, "No such file"));
    b->config.path = b->path;
}

static void a_checkpoint_is_a_copy_of_its_moment(void **state)
{
    struct bench *b = *state;
    char          path[128];
    wfl_error     err = {0};
    uint8_t       big[5000];

    memset(big, 7, sizeof big);
    bench_open(b);
    assert_int_equal(bench_put(b, WFL_SPACE_VALUES, WFL_S("v"), wfl_slice_of(big, sizeof big)),
                     WFL_OK);
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("1")), WFL_OK);
    snprintf(path, sizeof path, "%s/copy", b->folder);
    assert_int_equal(wfl_engine_checkpoint(b->engine, path, &err), WFL_OK);
    assert_int_not_equal(wfl_engine_checkpoint(b->engine, path, &err), WFL_OK); /* it exists */
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("2")), WFL_OK);
    wfl_engine_close(b->engine);
    b->config.path = path;
    bench_open(b);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
    bench_assert_value(b, WFL_SPACE_VALUES, WFL_S("v"), wfl_slice_of(big, sizeof big));
    b->config.path = b->path;
}

/* ---- reads */

static void get_done(struct wfl_engine_get *get)
{
    *(_Atomic bool *)get->arg = true;
}

static bool answers_from_memory(struct bench *b, wfl_slice key)
{
    _Atomic bool          done = false;
    struct wfl_engine_get get = {
        .space = WFL_SPACE_VALUES, .key = key, .done = get_done, .arg = &done};
    wfl_code rc = wfl_engine_get(b->engine, &get);
    bool     at_once = rc != WFL_PENDING;

    while (!at_once && !done)
        usleep(100);
    assert_int_equal(get.rc, WFL_OK);
    assert_int_equal(get.pin.value.len, 5000);
    wfl_pin_release(&get.pin);
    return at_once;
}

/* The linker puts this before RocksDB's own. While `empty_in_memory` names a key with an empty
 * value, reads that may not touch the disk get that: as RocksDB answers for a table which is not in
 * its table cache. */
static const char *empty_in_memory;

rocksdb_pinnableslice_t *__real_rocksdb_get_pinned_cf(rocksdb_t *db, const rocksdb_readoptions_t *o,
                                                      rocksdb_column_family_handle_t *space,
                                                      const char *key, size_t len, char **text);
rocksdb_pinnableslice_t *__wrap_rocksdb_get_pinned_cf(rocksdb_t *db, const rocksdb_readoptions_t *o,
                                                      rocksdb_column_family_handle_t *space,
                                                      const char *key, size_t len, char **text);

rocksdb_pinnableslice_t *__wrap_rocksdb_get_pinned_cf(rocksdb_t *db, const rocksdb_readoptions_t *o,
                                                      rocksdb_column_family_handle_t *space,
                                                      const char *key, size_t len, char **text)
{
    const int memory_only = 1;

    if (empty_in_memory != NULL &&
        rocksdb_readoptions_get_read_tier((rocksdb_readoptions_t *)(uintptr_t)o) == memory_only) {
        key = empty_in_memory;
        len = strlen(key);
    }
    return __real_rocksdb_get_pinned_cf(db, o, space, key, len, text);
}

static void an_empty_answer_from_memory_is_looked_up_on_disk(void **state)
{
    struct bench  *b = *state;
    struct wfl_pin pin;
    uint8_t        big[5000];

    memset(big, 7, sizeof big);
    bench_open(b);
    assert_int_equal(bench_put(b, WFL_SPACE_VALUES, WFL_S("empty"), (wfl_slice){0}), WFL_OK);
    assert_int_equal(bench_put(b, WFL_SPACE_VALUES, WFL_S("v"), wfl_slice_of(big, sizeof big)),
                     WFL_OK);
    empty_in_memory = "empty";
    assert_false(answers_from_memory(b, WFL_S("v")));
    empty_in_memory = NULL;
    assert_int_equal(bench_get(b, WFL_SPACE_VALUES, WFL_S("empty"), &pin), WFL_OK);
    assert_int_equal(pin.value.len, 0);
    wfl_pin_release(&pin);
}

static void a_stopped_engine_has_answered_all_and_takes_no_more(void **state)
{
    struct bench *b = *state;
    struct step   step = {.kind = STEP_PUT, .space = M, .key = WFL_S("k"), .value = WFL_S("v")};
    struct script s[2];

    bench_open(b);
    script_init(&s[0], b, &step, 1);
    script_init(&s[1], b, &step, 1);
    assert_int_equal(script_submit(&s[0]), WFL_PENDING);
    wfl_engine_stop(b->engine);
    assert_true(s[0].done);
    assert_int_equal(s[0].commit.rc, WFL_OK);
    assert_int_equal(script_submit(&s[1]), WFL_CLOSED);
    wfl_engine_set_hooks(b->engine, &(struct wfl_group_hooks){0});
    wfl_engine_stop(b->engine);
}

static void the_disk_is_read_in_the_pool_and_once(void **state)
{
    struct bench *b = *state;
    uint8_t       big[5000];

    memset(big, 7, sizeof big);
    bench_open(b);
    assert_int_equal(bench_put(b, WFL_SPACE_VALUES, WFL_S("v"), wfl_slice_of(big, sizeof big)),
                     WFL_OK);
    assert_true(answers_from_memory(b, WFL_S("v"))); /* the memtable */
    bench_reopen(b);
    assert_false(answers_from_memory(b, WFL_S("v"))); /* the value log */
    assert_true(answers_from_memory(b, WFL_S("v")));  /* its cache */
}

/* ---- a process that dies */

/* Role "writer": commits 1, 2, 3, ..., eight under way, and writes each number to stdout when its
 * commit is acknowledged. */
static void report_number(struct script *s)
{
    uint32_t number = (uint32_t)(uintptr_t)s->arg;

    if (s->commit.rc != WFL_OK || write(STDOUT_FILENO, &number, sizeof number) != sizeof number)
        _exit(3);
}

static int role_writer(const char *path, uint32_t first)
{
    enum { AT_ONCE = 8 };
    struct bench         b;
    struct script        s[AT_ONCE];
    struct step          steps[AT_ONCE];
    uint32_t             keys[AT_ONCE];
    static const uint8_t value[3000];

    bench_init(&b, BENCH_MEMORY); /* for its lock; the folder is the parent's */
    b.kind = BENCH_LOCAL;
    b.config.path = path;
    bench_open(&b);
    for (uint32_t i = 0;; i++) {
        uint32_t at = i % AT_ONCE;

        if (i >= AT_ONCE && script_wait(&s[at]) != WFL_OK) return 3;
        keys[at] = first + i;
        steps[at] = (struct step){.kind = STEP_PUT,
                                  .space = WFL_SPACE_VALUES,
                                  .key = wfl_slice_of(&keys[at], sizeof keys[at]),
                                  .value = wfl_slice_of(value, sizeof value)};
        script_init(&s[at], &b, &steps[at], 1);
        s[at].on_done = report_number;
        s[at].arg = (void *)(uintptr_t)keys[at];
        if (script_submit(&s[at]) != WFL_PENDING) return 3;
    }
}

static pid_t start_role(const char *role, const char *path, uint32_t number, int out)
{
    char  text[16];
    pid_t pid;

    snprintf(text, sizeof text, "%u", number);
    pid = fork();
    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        execl("/proc/self/exe", "local_test", role, path, text, (char *)NULL);
        _exit(9);
    }
    return pid;
}

/* Kills it after a while; the numbers that it reported, in `seen`. */
static uint32_t kill_writer(struct bench *b, uint32_t first, useconds_t after_us, bool *seen,
                            uint32_t seen_max)
{
    int      pipes[2], status;
    uint32_t number, count = 0;
    pid_t    pid;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20);
    pid = start_role("writer", b->path, first, pipes[1]);
    close(pipes[1]);
    assert_true(pid > 0);
    if (read(pipes[0], &number, sizeof number) == sizeof number) {
        seen[number] = true;
        count++;
    }
    usleep(after_us);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* no end of its own */
    while (read(pipes[0], &number, sizeof number) == sizeof number) {
        assert_true(number < seen_max);
        seen[number] = true;
        count++;
    }
    close(pipes[0]);
    return count;
}

static void what_a_killed_process_acknowledged_is_there(void **state)
{
    enum { CYCLES = 10, NUMBERS = 1 << 20 };
    struct bench *b = *state;
    struct prng   rng = prng_from_env();
    bool         *seen = calloc(NUMBERS, sizeof *seen);
    uint32_t      reported = 0;

    assert_non_null(seen);
    for (uint32_t cycle = 0; cycle < CYCLES; cycle++) {
        reported +=
            kill_writer(b, cycle * 100000, (useconds_t)prng_below(&rng, 150000), seen, NUMBERS);
        bench_open(b);
        for (uint32_t i = 0; i < NUMBERS; i++) {
            static const uint8_t value[3000];

            if (!seen[i]) continue;
            bench_assert_value(b, WFL_SPACE_VALUES, wfl_slice_of(&i, sizeof i),
                               wfl_slice_of(value, sizeof value));
        }
        wfl_engine_close(b->engine);
        b->engine = NULL;
    }
    print_message("# %u commits acknowledged by %d killed processes\n", reported, CYCLES);
    assert_true(reported >= CYCLES);
    free(seen);
}

/* ---- a disk that fails */

/* Role "limited": files may not grow. The process says what it saw by its exit. */
static int role_limited(const char *path)
{
    static const uint8_t    value[4000];
    struct rlimit           limit = {.rlim_cur = 1u << 20, .rlim_max = RLIM_INFINITY};
    struct bench            b;
    struct wfl_engine_stats stats;
    uint32_t                key = 0;
    wfl_code                rc = WFL_OK;
    struct wfl_pin          pin = {0};
    wfl_slice               key_bytes = wfl_slice_of(&key, sizeof key);

    signal(SIGXFSZ, SIG_IGN);
    bench_init(&b, BENCH_MEMORY);
    b.kind = BENCH_LOCAL;
    b.config.path = path;
    bench_open(&b);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 10;
    while (rc == WFL_OK && key < 10000) {
        key++;
        rc = bench_put(&b, WFL_SPACE_VALUES, key_bytes, wfl_slice_of(value, sizeof value));
    }
    if (rc != WFL_IO) return 11;
    if (bench_put(&b, M, WFL_S("a"), WFL_S("1")) != WFL_READ_ONLY) return 12;
    wfl_engine_stats(b.engine, &stats);
    if (!stats.read_only || stats.read_only_reason[0] == '\0') return 13;
    if (bench_get(&b, WFL_SPACE_VALUES, key_bytes, &pin) != WFL_NOT_FOUND) return 14;
    key--;
    if (bench_get(&b, WFL_SPACE_VALUES, key_bytes, &pin) != WFL_OK) return 15;
    wfl_pin_release(&pin);
    limit.rlim_cur = RLIM_INFINITY;
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 16;
    /* The disk is well again, but nobody knows what the failed write has left. */
    if (bench_put(&b, M, WFL_S("a"), WFL_S("1")) != WFL_READ_ONLY) return 17;
    printf("%u\n", key);
    fflush(stdout);
    bench_fini(&b);
    return 0;
}

static void a_failed_write_ends_writing_and_loses_nothing(void **state)
{
    struct bench *b = *state;
    int           pipes[2], status;
    char          text[32] = "";
    uint32_t      count;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t pid = start_role("limited", b->path, 0, pipes[1]);
    close(pipes[1]);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("status %#x", (unsigned)status);
    assert_true(read(pipes[0], text, sizeof text - 1) > 0);
    close(pipes[0]);
    count = (uint32_t)strtoul(text, NULL, 10);
    assert_true(count > 50);
    bench_open(b);
    for (uint32_t i = 1; i <= count; i++) {
        static const uint8_t value[4000];

        bench_assert_value(b, WFL_SPACE_VALUES, wfl_slice_of(&i, sizeof i),
                           wfl_slice_of(value, sizeof value));
    }
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("1")), WFL_OK);
}

/* ---- a log that is damaged */

/* A log of many synced commits that was never flushed: of a process that was killed. */
static void make_log(struct bench *b, bool *seen, char *path, size_t path_cap)
{
    char        pattern[128];
    glob_t      found;
    struct stat st = {0};

    snprintf(pattern, sizeof pattern, "%s/*.log", b->path);
    for (int i = 0; i < 20 && st.st_size < 10000; i++) { /* it may just have begun another */
        (void)kill_writer(b, 0, 50000, seen, 1 << 20);
        assert_int_equal(glob(pattern, 0, NULL, &found), 0);
        snprintf(path, path_cap, "%s", found.gl_pathv[found.gl_pathc - 1]);
        globfree(&found);
        assert_int_equal(stat(path, &st), 0);
    }
}

static void a_torn_tail_is_no_error(void **state)
{
    struct bench           *b = *state;
    bool                   *seen = calloc(1 << 20, sizeof *seen);
    struct wfl_engine_range r = {.space = WFL_SPACE_VALUES, .limit = 1};
    char                    path[256];
    struct stat             st;

    assert_non_null(seen);
    make_log(b, seen, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 500), 0);
    bench_open(b);
    assert_int_equal(bench_range(b, &r), WFL_OK);
    assert_int_equal(r.count, 1); /* what came before the tail */
    wfl_engine_range_free(&r);
    free(seen);
}

static void damage_before_the_tail_fails_the_open(void **state)
{
    struct bench *b = *state;
    bool         *seen = calloc(1 << 20, sizeof *seen);
    char          path[256];
    struct stat   st;
    wfl_error     err = {0};
    int           fd;

    assert_non_null(seen);
    make_log(b, seen, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "rot!", 4, st.st_size / 3), 4);
    close(fd);
    assert_int_equal(wfl_engine_open_local(&b->config, &b->engine, &err), WFL_CORRUPT_OBJECT);
    assert_null(b->engine);
    assert_non_null(strstr(err.message, "Corruption"));
    assert_null(strstr(err.message, "in use"));
    free(seen);
}

/* ---- records that expire */

static int64_t test_now_ns(void *ctx)
{
    return *(const int64_t *)ctx;
}

static void put_expiring(struct bench *b, const char *key, uint64_t expires_ms)
{
    uint8_t value[WFL_EXPIRES_LEN + 4] = {0};

    for (size_t i = 0; i < WFL_EXPIRES_LEN; i++)
        value[i] = (uint8_t)(expires_ms >> (56 - 8 * i));
    assert_int_equal(
        bench_put(b, WFL_SPACE_NONCES, wfl_slice_str(key), wfl_slice_of(value, sizeof value)),
        WFL_OK);
}

static void compact(struct bench *b)
{
    struct local *l = (struct local *)(void *)b->engine;

    rocksdb_compact_range_cf(l->db, l->spaces[WFL_SPACE_NONCES], NULL, 0, NULL, 0);
}

static bool is_there(struct bench *b, const char *key)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = bench_get(b, WFL_SPACE_NONCES, wfl_slice_str(key), &pin);

    wfl_pin_release(&pin);
    return rc == WFL_OK;
}

static void compactions_drop_what_has_expired(void **state)
{
    struct bench          *b = *state;
    int64_t                now_ns = 1000 * INT64_C(1000000);
    const struct wfl_clock clock = {.unix_ns = test_now_ns, .mono_ns = test_now_ns, .ctx = &now_ns};

    b->config.clock = &clock;
    bench_open(b);
    put_expiring(b, "now", 1000);
    put_expiring(b, "later", 1001);
    put_expiring(b, "renewed", 999);
    put_expiring(b, "renewed", 2000);
    assert_int_equal(bench_put(b, WFL_SPACE_NONCES, WFL_S("short"), WFL_S("?")), WFL_OK);
    compact(b);
    assert_false(is_there(b, "now"));
    assert_true(is_there(b, "later"));
    assert_true(is_there(b, "renewed"));
    assert_true(is_there(b, "short"));
    now_ns += 1000000;
    put_expiring(b, "new", 3000); /* else there is nothing to compact */
    compact(b);
    assert_false(is_there(b, "later"));
    assert_true(is_there(b, "renewed"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(commits_of_many_threads_share_groups_and_none_is_lost),
        T(hooks_that_were_taken_away_are_not_called_any_more),
        T(a_full_queue_refuses_at_once),
        T(a_group_is_bounded_by_bytes),
        T(closing_finishes_what_is_queued_and_takes_no_more),
        T(a_folder_is_opened_once),
        T(a_folder_that_cannot_be_made_is_told),
        T(a_checkpoint_is_a_copy_of_its_moment),
        T(the_disk_is_read_in_the_pool_and_once),
        T(an_empty_answer_from_memory_is_looked_up_on_disk),
        T(a_stopped_engine_has_answered_all_and_takes_no_more),
        T(what_a_killed_process_acknowledged_is_there),
        T(a_failed_write_ends_writing_and_loses_nothing),
        T(a_torn_tail_is_no_error),
        T(damage_before_the_tail_fails_the_open),
        T(compactions_drop_what_has_expired),
    };

    if (argc == 4 && strcmp(argv[1], "writer") == 0)
        return role_writer(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "limited") == 0) return role_limited(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
