/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment files: threads that write at once, a disk that fails or is full, damage, processes that
 * die at any point, and the return of room. Where a process must die this program runs itself again
 * with a role as its first argument. */
#include "faults.h"

#include "engine/local/local_private.h"
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    if (b == NULL) return -1;
    memset(&faults, 0, sizeof faults);
    bench_init(b, BENCH_LOCAL);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    memset(&faults, 0, sizeof faults);
    bench_fini(*state);
    free(*state);
    return 0;
}

static wfl_slice name_of(uint32_t number, char out[16])
{
    snprintf(out, 16, "blob %u", number);
    return wfl_slice_str(out);
}

static struct wfl_engine_stats stats_of(struct bench *b)
{
    struct wfl_engine_stats stats;

    wfl_engine_stats(b->engine, &stats);
    return stats;
}

/* ---- files */

struct files {
    size_t   count;
    uint64_t bytes;
    char     last[256]; /* path of one of them */
};

static struct files list_files(const char *path)
{
    struct files   files = {0};
    struct dirent *entry;
    char           folder[160];
    DIR           *dir;

    snprintf(folder, sizeof folder, "%s/segments", path);
    dir = opendir(folder);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (strstr(entry->d_name, ".seg") == NULL) continue;
        snprintf(files.last, sizeof files.last, "%s/%.32s", folder, entry->d_name);
        assert_int_equal(stat(files.last, &st), 0);
        files.count++;
        files.bytes += (uint64_t)st.st_size;
    }
    closedir(dir);
    return files;
}

static void close_bench(struct bench *b)
{
    wfl_engine_close(b->engine);
    b->engine = NULL;
}

/* ---- many at once */

#define WRITERS     8
#define WRITES_EACH 100

struct writer {
    struct bench *bench;
    uint32_t      number;
    wfl_code      rc;
};

static uint32_t len_of(uint32_t number)
{
    return number % 50 == 0 ? MIB : 1 + number * 7919 % 30000;
}

static void *put_many(void *arg)
{
    struct writer *w = arg;
    char           text[16];

    for (uint32_t i = 0; i < WRITES_EACH && w->rc == WFL_OK; i++) {
        uint32_t number = w->number * WRITES_EACH + i;

        w->rc = bench_blob_put(w->bench, name_of(number, text), len_of(number));
    }
    return NULL;
}

static void blobs_of_many_threads_are_all_there(void **state)
{
    struct bench *b = *state;
    pthread_t     threads[WRITERS];
    struct writer writers[WRITERS];
    char          text[16];

    bench_open(b);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.bench = b, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, put_many, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(writers[i].rc, WFL_OK);
    }
    assert_true(stats_of(b).segments > 4);
    for (int reopened = 0; reopened < 2; reopened++) {
        for (uint32_t i = 0; i < WRITERS * WRITES_EACH; i++)
            bench_assert_blob(b, name_of(i, text), len_of(i));
        bench_assert_counts(b, 0);
        if (reopened == 0) bench_reopen(b);
    }
}

static int open_segment_files(void)
{
    int            count = 0;
    DIR           *dir = opendir("/proc/self/fd");
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char    target[256] = "";
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1);

        count += n > 0 && strstr(target, ".seg") != NULL;
    }
    closedir(dir);
    return count;
}

static void files_that_are_open_are_bounded(void **state)
{
    enum { BLOBS = 72 };

    struct bench   *b = *state;
    struct rlimit   before, limit = {0};
    struct wfl_blob held[20];
    wfl_error       err;
    char            text[16];

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 128, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0); /* an eighth: 16 */
    bench_open(b);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(bench_blob_put(b, name_of(i, text), MIB), WFL_OK);
    assert_true(list_files(b->path).count >= BLOBS / 4);
    for (uint32_t i = 0; i < 2 * BLOBS; i++) {
        bench_assert_blob(b, name_of(i * 7 % BLOBS, text), MIB);
        assert_true(open_segment_files() <= 17);
    }
    for (uint32_t i = 0; i < 20; i++) { /* held ones must be open, however many */
        assert_int_equal(
            wfl_engine_blob_open(b->engine, name_of(i * 3, text), false, &held[i], &err), WFL_OK);
    }
    for (uint32_t i = 0; i < 20; i++) {
        bench_assert_open(&held[i], name_of(i * 3, text), MIB);
        wfl_blob_close(&held[i]);
    }
    bench_assert_blob(b, name_of(0, text), MIB);
    assert_true(open_segment_files() <= 17);
}

/* ---- the folder */

static void what_is_preallocated_is_cut_off_at_the_end(void **state)
{
    struct bench *b = *state;
    char          text[16];

    bench_open(b);
    close_bench(b);
    assert_int_equal(list_files(b->path).count, 0);
    bench_open(b);
    assert_int_equal(bench_blob_put(b, name_of(1, text), 100), WFL_OK);
    assert_int_equal(list_files(b->path).bytes, 4 * MIB);
    close_bench(b);
    assert_int_equal(list_files(b->path).count, 1);
    assert_int_equal(list_files(b->path).bytes, 8192);
    bench_open(b);
    bench_assert_blob(b, name_of(1, text), 100);
    assert_int_equal(stats_of(b).segment_bytes, 8192);
}

static void a_missing_or_short_file_fails_the_open_by_name(void **state)
{
    struct bench *b = *state;
    char          text[16], moved[300];
    struct files  files;
    wfl_error     err;

    bench_open(b);
    assert_int_equal(bench_blob_put(b, name_of(1, text), 5000), WFL_OK);
    close_bench(b);
    files = list_files(b->path);
    snprintf(moved, sizeof moved, "%s.away", files.last);
    assert_int_equal(rename(files.last, moved), 0);
    assert_int_equal(wfl_engine_open_local(&b->config, &b->engine, &err), WFL_CORRUPT_OBJECT);
    assert_non_null(strstr(err.message, "0000000000000001.seg"));
    assert_non_null(strstr(err.message, "missing"));
    assert_int_equal(rename(moved, files.last), 0);
    bench_open(b);
    bench_assert_blob(b, name_of(1, text), 5000);
    close_bench(b);
    assert_int_equal(truncate(files.last, 8192), 0);
    assert_int_equal(wfl_engine_open_local(&b->config, &b->engine, &err), WFL_CORRUPT_OBJECT);
    assert_non_null(strstr(err.message, "0000000000000001.seg"));
}

static void files_that_no_row_knows_are_deleted_if_they_are_ours(void **state)
{
    struct bench *b = *state;
    char          text[16], path[256];
    int           fd;

    bench_open(b);
    assert_int_equal(bench_blob_put(b, name_of(1, text), 5000), WFL_OK);
    close_bench(b);
    snprintf(path, sizeof path, "%s/segments/00000000000000ff.seg", b->path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4 * MIB), 0);
    close(fd);
    snprintf(path, sizeof path, "%s/segments/00000000000000fe.seg", b->path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "somebody else's", 15), 15);
    close(fd);
    bench_open(b);
    assert_int_equal(list_files(b->path).count, 2);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(bench_blob_put(b, name_of(2, text), 5000), WFL_OK);
    bench_assert_blob(b, name_of(1, text), 5000);
    bench_assert_blob(b, name_of(2, text), 5000);
}

/* As a store of before there were blobs: their families are missing. */
static void a_folder_without_blobs_opens(void **state)
{
    struct bench                   *b = *state;
    rocksdb_options_t              *o = rocksdb_options_create();
    const char                     *names[] = {"default", "meta", "buckets", "objects"};
    const rocksdb_options_t        *options[] = {o, o, o, o};
    rocksdb_column_family_handle_t *handles[4];
    rocksdb_writeoptions_t         *w = rocksdb_writeoptions_create();
    char                           *text = NULL, name[16];
    rocksdb_t                      *db;

    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    db = rocksdb_open_column_families(o, b->path, 4, names, options, handles, &text);
    assert_null(text);
    rocksdb_put_cf(db, w, handles[1], "k", 1, "v", 1, &text);
    assert_null(text);
    for (int i = 0; i < 4; i++)
        rocksdb_column_family_handle_destroy(handles[i]);
    rocksdb_close(db);
    rocksdb_writeoptions_destroy(w);
    rocksdb_options_destroy(o);
    bench_open(b);
    bench_assert_value(b, WFL_SPACE_META, WFL_S("k"), WFL_S("v"));
    assert_int_equal(bench_blob_put(b, name_of(1, name), 5000), WFL_OK);
    bench_reopen(b);
    bench_assert_blob(b, name_of(1, name), 5000);
}

/* ---- damage */

static wfl_code open_once(struct bench *b, wfl_slice name, bool always)
{
    struct wfl_blob blob;
    wfl_error       err;
    wfl_code        rc = wfl_engine_blob_open(b->engine, name, always, &blob, &err);

    wfl_blob_close(&blob);
    return rc;
}

static void flip(int fd, off_t at)
{
    uint8_t byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void a_changed_byte_is_told_for_its_blob_and_no_other(void **state)
{
    static const struct {
        uint32_t from, to, step;
    } where[] = {{0, 128, 1}, {128, 200, 7}, {200, 128 + 9000, 1111}, {128 + 8999, 128 + 9000, 1}};
    struct bench        *b = *state;
    char                 names[3][16];
    struct files         files;
    uint64_t             found = 0;
    struct wfl_blob_walk walk = {0};
    wfl_error            err;
    int                  fd, bad = 0;

    bench_open(b);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(bench_blob_put(b, name_of(i, names[i]), i == 1 ? 9000 : 100), WFL_OK);
    files = list_files(b->path);
    fd = open(files.last, O_RDWR);
    assert_true(fd >= 0);
    for (size_t w = 0; w < WFL_COUNT(where); w++) {
        for (uint32_t at = where[w].from; at < where[w].to; at += where[w].step) {
            flip(fd, 8192 + at);
            for (int always = 0; always < 2; always++) {
                if (open_once(b, wfl_slice_str(names[1]), always == 1) != WFL_CORRUPT_OBJECT)
                    fail_msg("byte %u", at);
                assert_int_equal(open_once(b, wfl_slice_str(names[0]), always == 1), WFL_OK);
                assert_int_equal(open_once(b, wfl_slice_str(names[2]), always == 1), WFL_OK);
                found++;
            }
            if (at == 0) { /* the walk tells it too, and goes on */
                for (;;) {
                    assert_int_equal(wfl_engine_blob_walk(b->engine, &walk, &err), WFL_OK);
                    if (walk.ended) break;
                    bad += walk.verdict == WFL_CORRUPT_OBJECT;
                }
                assert_int_equal(bad, 1);
                found++;
            }
            flip(fd, 8192 + at);
        }
    }
    assert_int_equal(stats_of(b).blobs_corrupt, found);
    close(fd);
    bench_assert_blob(b, wfl_slice_str(names[1]), 9000);
}

static void what_was_verified_is_read_without_that_until_asked(void **state)
{
    struct bench *b = *state;
    char          text[16];
    wfl_slice     name = name_of(1, text);
    int           fd;

    bench_open(b);
    assert_int_equal(bench_blob_put(b, name, 9000), WFL_OK);
    assert_int_equal(open_once(b, name, false), WFL_OK);
    fd = open(list_files(b->path).last, O_RDWR);
    assert_true(fd >= 0);
    flip(fd, 4096 + 128 + 5);
    assert_int_equal(open_once(b, name, false), WFL_OK);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    assert_int_equal(open_once(b, name, false), WFL_OK);
    assert_int_equal(open_once(b, name, true), WFL_CORRUPT_OBJECT);
    flip(fd, 4096 + 128 + 5);
    close(fd);
}

/* ---- a disk that is full */

static wfl_code commit_that_grows(struct bench *b)
{
    struct step step = {
        .kind = STEP_PUT, .space = WFL_SPACE_META, .key = WFL_S("k"), .value = WFL_S("v")};
    struct script s;

    script_init(&s, b, &step, 1);
    s.commit.grows = true;
    return script_run(&s);
}

/* One file a segment. The engine's own thread may be taking one away between the two counts: until
 * they agree. */
static void await_files_are_segments(struct bench *b)
{
    struct timespec now;
    int64_t         give_up;

    clock_gettime(CLOCK_MONOTONIC, &now);
    give_up = now.tv_sec + 30;
    while (list_files(b->path).count != stats_of(b).segments) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec < give_up);
    }
}

/* The room is asked for ten times a second: until it is noticed. */
static void await_code(struct bench *b, wfl_code want)
{
    struct timespec now;
    int64_t         give_up;

    clock_gettime(CLOCK_MONOTONIC, &now);
    give_up = now.tv_sec + 30;
    while (commit_that_grows(b) != want) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec < give_up);
    }
}

static void below_the_reserve_only_what_frees_room_is_taken(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place place;
    char                  text[16];

    b->config.reserve_bytes = 100 * MIB;
    faults.available = 101 * (uint64_t)MIB;
    bench_open(b);
    assert_int_equal(bench_blob_put(b, name_of(1, text), 5000), WFL_OK);
    assert_int_equal(commit_that_grows(b), WFL_OK);
    faults.available = 99 * (uint64_t)MIB;
    await_code(b, WFL_DISK_FULL);
    assert_int_equal(bench_blob_write(b, name_of(2, text), 5000, &place), WFL_DISK_FULL);
    assert_int_equal(bench_put(b, WFL_SPACE_META, WFL_S("k"), WFL_S("w")), WFL_OK);
    bench_assert_blob(b, name_of(1, text), 5000);
    assert_int_equal(bench_blob_drop(b, name_of(1, text)), WFL_OK);
    assert_false(stats_of(b).read_only);
    faults.available = 101 * (uint64_t)MIB;
    await_code(b, WFL_OK);
    assert_int_equal(bench_blob_put(b, name_of(2, text), 5000), WFL_OK);
    bench_assert_counts(b, 0);
}

static void lack_of_room_is_told_and_ends(void **state)
{
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_ALLOCATE, FAULT_GROUP};
    struct bench                *b = *state;
    char                         text[16];

    for (size_t i = 0; i < WFL_COUNT(calls); i++) {
        bench_open(b);
        faults.number[calls[i]] = i == 1 ? EDQUOT : ENOSPC;
        assert_int_equal(bench_blob_put(b, name_of(1, text), 5000), WFL_DISK_FULL);
        assert_false(stats_of(b).read_only);
        faults.number[calls[i]] = 0;
        assert_int_equal(bench_blob_put(b, name_of(1, text), 5000), WFL_OK);
        bench_assert_blob(b, name_of(1, text), 5000);
        assert_int_equal(bench_blob_drop(b, name_of(1, text)), WFL_OK);
        bench_assert_counts(b, 0);
        close_bench(b);
    }
}

static void a_smaller_segment_is_made_where_a_whole_one_does_not_fit(void **state)
{
    struct bench *b = *state;
    char          text[16];

    b->config.segment_bytes = 64 * MIB;
    faults.allocate_max = 10 * MIB;
    bench_open(b);
    for (uint32_t i = 0; i < 9; i++)
        assert_int_equal(bench_blob_put(b, name_of(i, text), MIB), WFL_OK);
    assert_int_equal(list_files(b->path).count, 2); /* of 8 MiB: seven fit into each */
    for (uint32_t i = 0; i < 9; i++)
        bench_assert_blob(b, name_of(i, text), MIB);
}

/* ---- a disk that fails */

static void a_failed_write_or_sync_ends_writing(void **state)
{
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_SYNC, FAULT_GROUP};
    struct bench                *b = *state;
    struct wfl_blob_place        place;
    char                         text[16];

    for (size_t i = 0; i < WFL_COUNT(calls); i++) {
        bench_open(b);
        assert_int_equal(bench_blob_put(b, name_of((uint32_t)i, text), 5000), WFL_OK);
        faults.number[calls[i]] = EIO;
        assert_int_equal(bench_blob_put(b, name_of(100, text), 5000), WFL_IO);
        faults.number[calls[i]] = 0;
        assert_true(stats_of(b).read_only);
        assert_true(stats_of(b).read_only_reason[0] != '\0');
        assert_int_equal(bench_blob_write(b, name_of(100, text), 5000, &place), WFL_READ_ONLY);
        assert_int_equal(bench_blob_drop(b, name_of(0, text)), WFL_READ_ONLY);
        bench_assert_no_blob(b, name_of(100, text));
        bench_assert_counts(b, 0);
        close_bench(b);
    }
    bench_open(b);
    for (uint32_t i = 0; i < WFL_COUNT(calls); i++)
        bench_assert_blob(b, name_of(i, text), 5000);
    bench_assert_no_blob(b, name_of(100, text));
    bench_assert_counts(b, 0);
}

/* Who waited for the disk was told, and nobody is told again: neither time may it be passed over.
 */
static void a_failed_write_back_ends_writing(void **state)
{
    struct bench *b = *state;
    char          text[16];

    for (uint32_t company = 0; company < 2; company++) {
        bench_open(b);
        ((struct local *)(void *)b->engine)->company.until_ns = company == 1 ? INT64_MAX : 0;
        assert_int_equal(bench_blob_put(b, name_of(company, text), MIB), WFL_OK);
        faults.number[FAULT_BACK] = EIO;
        assert_int_equal(bench_blob_put(b, name_of(100, text), MIB), WFL_IO);
        faults.number[FAULT_BACK] = 0;
        assert_true(stats_of(b).read_only);
        bench_assert_counts(b, 0);
        close_bench(b);
    }
    bench_open(b);
    faults.number[FAULT_BACK] = EINVAL; /* a file system that has no such call */
    assert_int_equal(bench_blob_put(b, name_of(2, text), MIB), WFL_OK);
    faults.number[FAULT_BACK] = 0;
    for (uint32_t i = 0; i < 3; i++)
        bench_assert_blob(b, name_of(i, text), MIB);
    bench_assert_no_blob(b, name_of(100, text));
}

struct syncer {
    struct bench         *bench;
    struct wfl_blob_place place;
    wfl_code              rc;
};

static void *sync_one(void *arg)
{
    struct syncer *s = arg;

    s->rc = bench_blob_sync(s->bench, &s->place);
    return NULL;
}

static void those_who_wait_share_one_sync(void **state)
{
    struct bench *b = *state;
    struct syncer syncers[8];
    pthread_t     threads[8];
    char          text[16];

    bench_open(b);
    for (uint32_t i = 0; i < 8; i++) {
        syncers[i].bench = b;
        assert_int_equal(bench_blob_write(b, name_of(i, text), 50000, &syncers[i].place), WFL_OK);
    }
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sync_one, &syncers[i]), 0);
    for (uint32_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(syncers[i].rc, WFL_OK);
        wfl_engine_blob_abandon(b->engine, &syncers[i].place);
    }
    /* Each wants what was written before it came, and the first has synced all of that. */
    assert_int_equal(faults.calls[FAULT_SYNC], 1);
    bench_assert_counts(b, 0);
}

/* Nobody may take a later fdatasync, which says OK, for his own. */
static void a_failed_sync_is_told_to_all_who_waited(void **state)
{
    struct bench *b = *state;
    struct syncer syncers[8];
    pthread_t     threads[8];
    char          text[16];

    bench_open(b);
    for (uint32_t i = 0; i < 8; i++) {
        syncers[i].bench = b;
        assert_int_equal(bench_blob_write(b, name_of(i, text), 50000, &syncers[i].place), WFL_OK);
    }
    faults.number[FAULT_SYNC] = EIO;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sync_one, &syncers[i]), 0);
    for (uint32_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_true(syncers[i].rc == WFL_IO || syncers[i].rc == WFL_READ_ONLY);
    }
    faults.number[FAULT_SYNC] = 0;
    assert_int_equal(bench_blob_sync(b, &syncers[0].place), WFL_READ_ONLY);
}

/* ---- returning room */

static void room_of_dropped_blobs_comes_back(void **state)
{
    enum { BLOBS = 24 };

    struct bench   *b = *state;
    struct wfl_blob held;
    uint64_t        before;
    char            text[16];
    wfl_error       err;

    bench_open(b);
    for (uint32_t i = 0; i < BLOBS; i++)
        assert_int_equal(bench_blob_put(b, name_of(i, text), MIB - i), WFL_OK);
    assert_int_equal(wfl_engine_blob_open(b->engine, name_of(3, text), false, &held, &err), WFL_OK);
    before = list_files(b->path).bytes;
    for (uint32_t i = 0; i < BLOBS; i++) {
        if (i % 3 != 0) assert_int_equal(bench_blob_drop(b, name_of(i, text)), WFL_OK);
    }
    wfl_local_rewrite(b->engine);
    assert_true(list_files(b->path).bytes <= before / 2);
    await_files_are_segments(b);
    assert_true(stats_of(b).rewritten_bytes >= 5 * MIB);
    bench_assert_counts(b, 0);
    bench_assert_open(&held, name_of(3, text), MIB - 3);
    wfl_blob_close(&held);
    for (int reopened = 0; reopened < 2; reopened++) {
        for (uint32_t i = 0; i < BLOBS; i++) {
            if (i % 3 == 0) {
                bench_assert_blob(b, name_of(i, text), MIB - i);
            } else {
                bench_assert_no_blob(b, name_of(i, text));
            }
        }
        if (reopened == 0) bench_reopen(b);
    }
    for (uint32_t i = 0; i < BLOBS; i += 3)
        assert_int_equal(bench_blob_drop(b, name_of(i, text)), WFL_OK);
    wfl_local_rewrite(b->engine);
    assert_int_equal(stats_of(b).live_bytes, 0);
    assert_true(list_files(b->path).count <= 1); /* the active one, at the most */
    bench_assert_counts(b, 0);
}

static void small_segments_do_not_gather(void **state)
{
    enum { STARTS = 14 };

    struct bench b;
    char         text[16];

    (void)state;
    bench_init_swift(&b);
    for (uint32_t i = 0; i < STARTS; i++) {
        bench_open(&b);
        assert_int_equal(bench_blob_put(&b, name_of(i, text), 3000 + i * 1000), WFL_OK);
        close_bench(&b);
    }
    bench_open(&b);
    wfl_local_rewrite(b.engine);
    assert_true(list_files(b.path).count <= 9); /* eight, and the active one */
    await_files_are_segments(&b);
    for (uint32_t i = 0; i < STARTS; i++)
        bench_assert_blob(&b, name_of(i, text), 3000 + i * 1000);
    bench_assert_counts(&b, 0);
    bench_fini(&b);
}

static void a_segment_with_a_pinned_place_is_left(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place place;
    char                  text[16];

    bench_open(b);
    assert_int_equal(bench_blob_write(b, name_of(0, text), MIB, &place), WFL_OK);
    for (uint32_t i = 1; i < 6; i++) {
        assert_int_equal(bench_blob_put(b, name_of(i, text), MIB), WFL_OK);
        assert_int_equal(bench_blob_drop(b, name_of(i, text)), WFL_OK);
    }
    wfl_local_rewrite(b->engine);
    assert_int_equal(bench_blob_sync(b, &place), WFL_OK);
    assert_int_equal(bench_blob_keep(b, name_of(0, text), &place), WFL_OK);
    bench_assert_blob(b, name_of(0, text), MIB);
    wfl_local_rewrite(b->engine);
    bench_assert_blob(b, name_of(0, text), MIB);
    bench_assert_counts(b, 0);
    bench_reopen(b);
    bench_assert_blob(b, name_of(0, text), MIB);
}

static void damage_is_not_rewritten(void **state)
{
    for (int header = 0; header < 2; header++) {
        struct bench *b = *state;
        char          text[16], path[256];
        int           fd;

        bench_open(b);
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(bench_blob_put(b, name_of(i, text), MIB - 5000), WFL_OK);
        snprintf(path, sizeof path, "%s/segments/%016x.seg", b->path, header == 0 ? 1 : 3);
        fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        flip(fd, 4096 + (header == 1 ? 50 : 5000)); /* in the first of three */
        for (uint32_t i = 1; i < 4; i++)
            assert_int_equal(bench_blob_drop(b, name_of(i, text)), WFL_OK);
        wfl_local_rewrite(b->engine);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(open_once(b, name_of(0, text), true), WFL_CORRUPT_OBJECT);
        assert_int_equal(stats_of(b).rewritten_bytes, 0);
        bench_assert_counts(b, 0);
        flip(fd, 4096 + (header == 1 ? 50 : 5000));
        close(fd);
        bench_reopen(b); /* healed: moved now */
        wfl_local_rewrite(b->engine);
        assert_int_not_equal(access(path, F_OK), 0);
        bench_assert_blob(b, name_of(0, text), MIB - 5000);
        assert_int_equal(bench_blob_drop(b, name_of(0, text)), WFL_OK);
        close_bench(b);
    }
}

/* Names are each writer's own, so it knows what is there; a name always has the same content, so
 * readers know it too. */
enum { OWN_NAMES = 30, OWN_STEPS = 150 };

struct actor {
    struct bench *bench;
    uint32_t      number;
    struct prng   rng;
    bool          there[OWN_NAMES];
    _Atomic bool *stop;
    const char   *failed;
};

static uint32_t actor_len(uint32_t number)
{
    return 1 + number * 104729 % 400000;
}

static void *write_and_drop(void *arg)
{
    struct actor *a = arg;
    char          text[16];

    for (int i = 0; i < OWN_STEPS && a->failed == NULL; i++) {
        uint32_t  at = (uint32_t)prng_below(&a->rng, OWN_NAMES), number = a->number * 1000 + at;
        wfl_slice name = name_of(number, text);
        wfl_code  rc = a->there[at] ? bench_blob_drop(a->bench, name)
                                    : bench_blob_put(a->bench, name, actor_len(number));

        if (rc != WFL_OK) a->failed = "a put or a drop";
        a->there[at] = !a->there[at];
    }
    return NULL;
}

static void *read_and_check(void *arg)
{
    struct actor *a = arg;
    uint8_t      *want = malloc(400001), *got = malloc(400001);
    char          text[16];

    while (!*a->stop && a->failed == NULL) {
        uint32_t number =
            (uint32_t)(prng_below(&a->rng, 2) * 1000 + prng_below(&a->rng, OWN_NAMES));
        wfl_slice       name = name_of(number, text);
        struct wfl_blob blob;
        wfl_error       err;
        wfl_code rc = wfl_engine_blob_open(a->bench->engine, name, number % 3 == 0, &blob, &err);

        if (rc == WFL_NOT_FOUND) continue;
        if (rc != WFL_OK || blob.len != actor_len(number)) {
            a->failed = "an open";
            break;
        }
        blob_fill(name, want, blob.len);
        if (wfl_blob_copy(&blob, 0, blob.len, got, &err) != WFL_OK ||
            memcmp(want, got, blob.len) != 0) {
            a->failed = "the content";
        }
        wfl_blob_close(&blob);
    }
    free(want);
    free(got);
    return NULL;
}

static void assert_actors(struct bench *b, const struct actor *actors)
{
    char text[16];

    for (uint32_t i = 0; i < 2 * OWN_NAMES; i++) {
        const struct actor *a = &actors[i / OWN_NAMES];
        uint32_t            number = a->number * 1000 + i % OWN_NAMES;

        if (a->there[i % OWN_NAMES]) {
            bench_assert_blob(b, name_of(number, text), actor_len(number));
        } else {
            bench_assert_no_blob(b, name_of(number, text));
        }
    }
    bench_assert_counts(b, 0);
}

static void rewriting_disturbs_nobody(void **state)
{
    struct bench *b = *state;
    struct prng   rng = prng_from_env();
    _Atomic bool  stop = false;
    struct actor  actors[4];
    pthread_t     threads[4];

    bench_open(b);
    for (uint32_t i = 0; i < 4; i++) {
        actors[i] =
            (struct actor){.bench = b, .number = i, .rng.state = prng_next(&rng), .stop = &stop};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? write_and_drop : read_and_check, &actors[i]),
            0);
    }
    for (int i = 0; i < 30; i++)
        wfl_local_rewrite(b->engine);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    stop = true;
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
    for (int i = 0; i < 4; i++) {
        if (actors[i].failed != NULL) fail_msg("actor %d: %s", i, actors[i].failed);
    }
    assert_actors(b, actors);
    wfl_local_rewrite(b->engine);
    assert_actors(b, actors);
    await_files_are_segments(b);
    bench_reopen(b);
    assert_actors(b, actors);
}

/* ---- a copy */

static void *rewrite_until_stopped(void *arg)
{
    struct actor *a = arg;

    while (!*a->stop)
        wfl_local_rewrite(a->bench->engine);
    return NULL;
}

/* A segment that has just been made holds nothing yet, as one does whose room is to be returned. */
static void a_new_segment_is_not_taken_for_an_empty_one(void **state)
{
    enum { BLOBS = 1500 };

    struct bench b;
    _Atomic bool stop = false;
    struct actor rewriter = {.bench = &b, .stop = &stop};
    pthread_t    thread;
    char         text[16];

    (void)state;
    bench_init_swift(&b);
    bench_open(&b);
    assert_int_equal(pthread_create(&thread, NULL, rewrite_until_stopped, &rewriter), 0);
    for (uint32_t i = 0; i < BLOBS; i++) {
        assert_int_equal(bench_blob_put(&b, name_of(i, text), MIB), WFL_OK);
        if (i > 0) assert_int_equal(bench_blob_drop(&b, name_of(i - 1, text)), WFL_OK);
    }
    stop = true;
    pthread_join(thread, NULL);
    bench_assert_blob(&b, name_of(BLOBS - 1, text), MIB);
    bench_assert_counts(&b, 0);
    bench_fini(&b);
}

static void a_checkpoint_has_the_blobs_of_its_moment(void **state)
{
    for (int linked = 0; linked < 2; linked++) {
        struct bench *b = *state, copy;
        char          text[16], path[128];
        wfl_error     err = {0};

        bench_open(b);
        for (uint32_t i = 0; i < 10; i++)
            assert_int_equal(bench_blob_put(b, name_of(i, text), MIB / 2 + i), WFL_OK);
        assert_int_equal(bench_blob_drop(b, name_of(2, text)), WFL_OK);
        if (linked == 1) bench_reopen(b); /* all are sealed */
        faults.number[FAULT_LINK] = linked == 1 ? 0 : EXDEV;
        snprintf(path, sizeof path, "%s/copy%d", b->folder, linked);
        if (wfl_engine_checkpoint(b->engine, path, &err) != WFL_OK) fail_msg("%s", err.message);
        faults.number[FAULT_LINK] = 0;
        for (uint32_t i = 0; i < 10; i++) {
            if (i != 2) assert_int_equal(bench_blob_drop(b, name_of(i, text)), WFL_OK);
        }
        assert_int_equal(bench_blob_put(b, name_of(99, text), 700), WFL_OK);
        wfl_local_rewrite(b->engine);
        bench_init(&copy, BENCH_LOCAL);
        copy.config.path = path;
        for (int again = 0; again < 2; again++) {
            bench_open(&copy);
            for (uint32_t i = 0; i < 10; i++) {
                if (i != 2) bench_assert_blob(&copy, name_of(i, text), MIB / 2 + i);
            }
            bench_assert_no_blob(&copy, name_of(2, text));
            bench_assert_no_blob(&copy, name_of(99, text));
            bench_assert_counts(&copy, 0);
            close_bench(&copy);
        }
        bench_open(&copy); /* what the copy does is its own */
        for (uint32_t i = 0; i < 10; i++) {
            if (i != 2) assert_int_equal(bench_blob_drop(&copy, name_of(i, text)), WFL_OK);
        }
        wfl_local_rewrite(copy.engine);
        bench_fini(&copy);
        bench_assert_blob(b, name_of(99, text), 700);
        assert_int_equal(bench_blob_drop(b, name_of(99, text)), WFL_OK);
        close_bench(b);
    }
}

static void a_checkpoint_under_load_opens(void **state)
{
    struct bench *b = *state, copy;
    struct prng   rng = prng_from_env();
    struct actor  actor = {.bench = b, .rng.state = prng_next(&rng)};
    pthread_t     thread;
    char          path[128];
    wfl_error     err = {0};

    bench_open(b);
    assert_int_equal(pthread_create(&thread, NULL, write_and_drop, &actor), 0);
    for (int i = 0; i < 3; i++) {
        struct wfl_blob_walk walk = {0};

        snprintf(path, sizeof path, "%s/copy%d", b->folder, i);
        if (wfl_engine_checkpoint(b->engine, path, &err) != WFL_OK) fail_msg("%s", err.message);
        wfl_local_rewrite(b->engine);
        bench_init(&copy, BENCH_LOCAL);
        copy.config.path = path;
        bench_open(&copy);
        while (!walk.ended) {
            assert_int_equal(wfl_engine_blob_walk(copy.engine, &walk, &err), WFL_OK);
            if (!walk.ended) assert_int_equal(walk.verdict, WFL_OK);
        }
        bench_assert_counts(&copy, 0);
        bench_fini(&copy);
    }
    pthread_join(thread, NULL);
    assert_null(actor.failed);
}

/* ---- memory that is refused */

struct stingy {
    _Atomic int64_t left; /* allocations until one is refused; 0: none is */
};

static void *stingy_resize(void *ctx, void *old, size_t n)
{
    struct stingy *s = ctx;

    if (n == 0) {
        free(old);
        return NULL;
    }
    if (s->left > 0 && --s->left == 0) return NULL;
    return realloc(old, n);
}

/* Everything once; the first code that is not OK. */
static wfl_code whole_life(struct bench *b, const char *copy)
{
    struct wfl_blob_walk walk = {0};
    wfl_error            err = {0};
    wfl_code             rc = wfl_engine_open_local(&b->config, &b->engine, &err);

    for (uint32_t i = 0; i < 5 && rc == WFL_OK; i++) {
        char text[16];

        rc = bench_blob_put(b, name_of(i, text), MIB);
        if (rc == WFL_OK) rc = open_once(b, name_of(i, text), false);
        if (rc == WFL_OK && i < 2) rc = bench_blob_drop(b, name_of(i, text));
    }
    while (rc == WFL_OK && !walk.ended) {
        rc = wfl_engine_blob_walk(b->engine, &walk, &err);
        if (rc == WFL_OK && !walk.ended) rc = walk.verdict;
    }
    if (rc == WFL_OK) wfl_local_rewrite(b->engine);
    if (rc == WFL_OK) rc = wfl_engine_blob_recount(b->engine, &err);
    if (rc == WFL_OK) rc = wfl_engine_checkpoint(b->engine, copy, &err);
    return rc;
}

static void every_refused_allocation_of_blobs_is_an_answer(void **state)
{
    struct stingy    stingy = {.left = 0};
    struct wfl_alloc alloc = {.resize = stingy_resize, .ctx = &stingy};
    wfl_code         rc = WFL_NOMEM;
    int              k = 0;

    (void)state;
    while (rc != WFL_OK || stingy.left < 0) {
        struct bench b;
        char         copy[128];
        bool         struck;

        bench_init_swift(&b);
        b.config.alloc = &alloc;
        b.config.pool_threads = 1;
        snprintf(copy, sizeof copy, "%s/copy", b.folder);
        stingy.left = ++k;
        rc = whole_life(&b, copy);
        struck = stingy.left == 0;
        stingy.left = 0;
        if (rc != WFL_OK) assert_int_equal(rc, WFL_NOMEM);
        if (b.engine != NULL) bench_assert_counts(&b, 0);
        bench_fini(&b);
        if (rc == WFL_OK && !struck) break;
    }
    assert_true(k > 10);
}

/* ---- processes that die */

enum { LIFE_BLOBS = 5 };

/* What the process said before it ended, a byte each: 'k' or 'd' and the number of a blob. */
static void say(char what, uint32_t number)
{
    char bytes[2] = {what, (char)number};

    if (write(STDOUT_FILENO, bytes, 2) != 2) _exit(3);
}

static uint32_t life_len(uint32_t number)
{
    return number == 3 ? 70000 : MIB - number;
}

/* Role "life": the k-th call that changes the disk does not happen any more. */
static int role_life(const char *path, uint64_t k)
{
    struct bench b;
    char         text[16];

    bench_init(&b, BENCH_MEMORY); /* for its lock; the folder is the parent's */
    b.kind = BENCH_LOCAL;
    b.config.path = path;
    faults.lose_unsynced = k % 2 == 0;
    faults.kill_in = k;
    bench_open(&b);
    for (uint32_t i = 0; i < LIFE_BLOBS; i++) {
        if (bench_blob_put(&b, name_of(i, text), life_len(i)) != WFL_OK) return 3;
        say('k', i);
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (bench_blob_drop(&b, name_of(i, text)) != WFL_OK) return 4;
        say('d', i);
    }
    wfl_local_rewrite(b.engine);
    wfl_engine_close(b.engine);
    return 0;
}

/* Ends with: has the process come to its end? */
static bool run_life(const char *path, uint32_t k, bool *kept, bool *dropped)
{
    int   pipes[2], status;
    char  bytes[2], text[16];
    pid_t pid;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    snprintf(text, sizeof text, "%u", k);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        execl("/proc/self/exe", "local_blob_test", "life", path, text, (char *)NULL);
        _exit(9);
    }
    close(pipes[1]);
    while (read(pipes[0], bytes, 2) == 2)
        (bytes[0] == 'k' ? kept : dropped)[(int)bytes[1]] = true;
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != FAULT_EXIT)
        fail_msg("the process ended with %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0;
}

static void assert_after_death(struct bench *b, const bool *kept, const bool *dropped)
{
    char text[16];

    for (uint32_t i = 0; i < LIFE_BLOBS; i++) {
        if (dropped[i]) {
            bench_assert_no_blob(b, name_of(i, text));
        } else if (kept[i] && (i >= 2 || !kept[LIFE_BLOBS - 1])) {
            bench_assert_blob(b, name_of(i, text), life_len(i));
        } else { /* on its way when the process died: there or not, but whole */
            wfl_code rc = open_once(b, name_of(i, text), true);

            assert_true(rc == WFL_OK || rc == WFL_NOT_FOUND);
        }
    }
    bench_assert_counts(b, 0);
    assert_int_equal(stats_of(b).blobs_corrupt, 0);
}

/* Each sealed segment is at least half live; one may be active, and preallocated. */
static void assert_room_is_returned(struct bench *b)
{
    struct wfl_engine_stats stats = stats_of(b);
    uint64_t                active = stats.rewritten_bytes > 0 ? 4 * MIB : 0;

    assert_true(stats.segment_bytes <= 2 * stats.live_bytes + stats.segments * 4096 + active);
}

static void dying_at_any_call_loses_no_byte_and_leaks_no_file(void **state)
{
    bool     ended = false;
    uint32_t k = 0;

    (void)state;
    while (!ended) {
        struct bench b;
        bool         kept[LIFE_BLOBS] = {false}, dropped[LIFE_BLOBS] = {false};

        bench_init_swift(&b);
        ended = run_life(b.path, ++k, kept, dropped);
        bench_open(&b);
        assert_after_death(&b, kept, dropped);
        await_files_are_segments(&b);
        wfl_local_rewrite(b.engine);
        assert_after_death(&b, kept, dropped);
        await_files_are_segments(&b);
        assert_room_is_returned(&b);
        bench_fini(&b);
    }
    print_message("# killed before each of %u calls\n", k - 1);
    assert_true(k > 20);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(blobs_of_many_threads_are_all_there),
        T(files_that_are_open_are_bounded),
        T(what_is_preallocated_is_cut_off_at_the_end),
        T(a_missing_or_short_file_fails_the_open_by_name),
        T(files_that_no_row_knows_are_deleted_if_they_are_ours),
        T(a_folder_without_blobs_opens),
        T(a_changed_byte_is_told_for_its_blob_and_no_other),
        T(what_was_verified_is_read_without_that_until_asked),
        T(below_the_reserve_only_what_frees_room_is_taken),
        T(lack_of_room_is_told_and_ends),
        T(a_smaller_segment_is_made_where_a_whole_one_does_not_fit),
        T(a_failed_write_or_sync_ends_writing),
        T(a_failed_write_back_ends_writing),
        T(those_who_wait_share_one_sync),
        T(a_failed_sync_is_told_to_all_who_waited),
        T(room_of_dropped_blobs_comes_back),
        T(small_segments_do_not_gather),
        T(a_segment_with_a_pinned_place_is_left),
        T(damage_is_not_rewritten),
        T(rewriting_disturbs_nobody),
        T(a_new_segment_is_not_taken_for_an_empty_one),
        T(a_checkpoint_has_the_blobs_of_its_moment),
        T(a_checkpoint_under_load_opens),
        T(every_refused_allocation_of_blobs_is_an_answer),
        T(dying_at_any_call_loses_no_byte_and_leaks_no_file),
    };

    if (argc == 4 && strcmp(argv[1], "life") == 0)
        return role_life(argv[2], strtoull(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
