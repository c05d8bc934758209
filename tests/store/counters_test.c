/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters, quotas and versions when many write at once: exact, and equal to a recount of the rows
 * after random work and any restart. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- many threads on the local engine */

enum { THREADS = 32, PUTS = 40 };

struct writer {
    struct fixture *f;
    pthread_t       thread;
    int             number;
    int             won;
    bool            broken; /* an answer that must not be */
    wfl_ulid        versions[PUTS];
};

static void start_all(struct writer *writers, struct fixture *f, void *(*run)(void *arg))
{
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.f = f, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, run, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        assert_false(writers[i].broken);
}

/* No assertion of cmocka's in a thread: it would jump off another thread's stack. */
static wfl_code put_buffered(struct fixture *f, const char *key, wfl_slice content,
                             wfl_ulid *version)
{
    struct wfl_put op = {.bucket = WFL_S("tight"),
                         .key = wfl_slice_str(key),
                         .content = content,
                         .durability = WFL_BUFFERED};
    wfl_code       rc = put_op(f, &op);

    *version = op.version;
    wfl_put_fini(&op);
    return rc;
}

static void *fill_quota(void *arg)
{
    static const uint8_t content[10];
    struct writer       *w = arg;

    for (int i = 0; i < PUTS; i++) {
        char key[32];
        snprintf(key, sizeof key, "w%d-%d", w->number, i);
        wfl_code rc =
            put_buffered(w->f, key, wfl_slice_of(content, sizeof content), &w->versions[w->won]);
        if (rc == WFL_OK)
            w->won++;
        else if (rc != WFL_QUOTA_EXCEEDED)
            w->broken = true;
    }
    return NULL;
}

static int sum_won(const struct writer *writers)
{
    int won = 0;

    for (int i = 0; i < THREADS; i++)
        won += writers[i].won;
    return won;
}

static void quotas_are_exact_under_many_writers(void **state)
{
    static struct writer writers[THREADS];
    static const struct {
        const char *settings;
        int         want;
    } cases[] = {{"{\"quota_objects\":777}", 777},
                 {"{\"quota_bytes\":7779}", 777},
                 {"{\"quota_bytes\":9,\"quota_objects\":5}", 0}};
    struct fixture *f = *state;

    for (size_t c = 0; c < WFL_COUNT(cases); c++) {
        assert_code(create(f, "tight", cases[c].settings), WFL_OK);
        start_all(writers, f, fill_quota);
        assert_int_equal(sum_won(writers), cases[c].want);
        assert_int_equal(info(f, "tight").objects, cases[c].want);
        assert_int_equal(info(f, "tight").bytes, cases[c].want * 10);
        assert_int_equal(rows(f, WFL_SPACE_OBJECTS), cases[c].want);
        for (int w = 0; w < THREADS; w++)
            for (int i = 0; i < PUTS; i++) {
                char key[32];
                snprintf(key, sizeof key, "w%d-%d", w, i);
                (void)delete_key(f, "tight", key);
            }
        assert_code(delete_bucket(f, "tight"), WFL_OK);
    }
}

static int by_version(const void *a, const void *b)
{
    return wfl_ulid_cmp(a, b);
}

static void no_version_is_given_twice_and_each_thread_sees_them_rise(void **state)
{
    static struct writer writers[THREADS];
    static wfl_ulid      all[THREADS * PUTS];
    struct fixture      *f = *state;
    size_t               count = 0;

    assert_code(create(f, "tight", ""), WFL_OK);
    start_all(writers, f, fill_quota);
    assert_int_equal(sum_won(writers), THREADS * PUTS);
    for (int w = 0; w < THREADS; w++)
        for (int i = 0; i < PUTS; i++) {
            if (i > 0)
                assert_true(wfl_ulid_cmp(&writers[w].versions[i - 1], &writers[w].versions[i]) < 0);
            all[count++] = writers[w].versions[i];
        }
    qsort(all, count, sizeof *all, by_version);
    for (size_t i = 1; i < count; i++)
        assert_true(wfl_ulid_cmp(&all[i - 1], &all[i]) < 0);
    wfl_ulid last = info(f, "tight").version;
    assert_int_equal(wfl_ulid_cmp(&last, &all[count - 1]), 0);
}

/* Everyone increments one number by replacing exactly the version that was read. */
static void *increment(void *arg)
{
    struct writer *w = arg;

    while (w->won < 10) {
        struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("number")};
        uint32_t       number = 0;
        wfl_code       rc = get_op(w->f, &get);
        wfl_ulid       version = get.object.version;
        if (rc == WFL_OK && get.content.len == sizeof number)
            memcpy(&number, get.content.data, sizeof number);
        else
            w->broken = true;
        wfl_get_fini(&get);
        number++;
        struct wfl_put op = {.bucket = WFL_S("photos"),
                             .key = WFL_S("number"),
                             .content = wfl_slice_of(&number, sizeof number),
                             .match = {WFL_COND_ANY_OF, &version, 1},
                             .durability = WFL_BUFFERED};
        rc = put_op(w->f, &op);
        wfl_put_fini(&op);
        if (rc == WFL_OK)
            w->won++;
        else if (rc != WFL_PRECONDITION_FAILED)
            w->broken = true;
        if (w->broken) break;
    }
    return NULL;
}

static void conditional_writers_never_lose_an_update(void **state)
{
    static struct writer writers[THREADS];
    struct fixture      *f = *state;
    uint32_t             number = 0;

    assert_code(put(f, "photos", "number", wfl_slice_of(&number, sizeof number)), WFL_OK);
    start_all(writers, f, increment);
    number = THREADS * 10;
    assert_content(f, "photos", "number", wfl_slice_of(&number, sizeof number));
}

/* Readers and writers of contents that lie in VALUES: what is read is whole, of one version. */
static void *overwrite_and_read(void *arg)
{
    struct writer *w = arg;
    uint8_t        content[3000];

    for (int i = 0; i < 60 && !w->broken; i++) {
        if (w->number % 2 == 0) {
            memset(content, w->number + i, sizeof content);
            struct wfl_put op = {.bucket = WFL_S("photos"),
                                 .key = WFL_S("shared"),
                                 .content = wfl_slice_of(content, (size_t)1100 + (size_t)i * 30),
                                 .durability = WFL_BUFFERED};
            if (put_op(w->f, &op) != WFL_OK) w->broken = true;
            wfl_put_fini(&op);
            continue;
        }
        struct wfl_get  get = {.bucket = WFL_S("photos"), .key = WFL_S("shared")};
        struct wfl_scan scan = {.bucket = WFL_S("photos"), .limit = 5, .with_value = true};
        wfl_code        rc = get_op(w->f, &get);
        if (rc != WFL_OK && rc != WFL_OVERLOADED) w->broken = true;
        for (size_t n = 0; rc == WFL_OK && n < get.content.len; n++)
            if (get.content.data[n] != get.content.data[0]) w->broken = true;
        wfl_get_fini(&get);
        rc = scan_op(w->f, &scan);
        if (rc != WFL_OK && rc != WFL_OVERLOADED) w->broken = true;
        if (rc == WFL_OK && (scan.item_count != 1 || !scan.items[0].has_value)) w->broken = true;
        wfl_scan_fini(&scan);
    }
    return NULL;
}

static void readers_among_writers_see_whole_versions(void **state)
{
    static struct writer writers[THREADS];
    struct fixture      *f = *state;

    assert_code(put(f, "photos", "shared", bytes_of_len(1, 0)), WFL_OK);
    start_all(writers, f, overwrite_and_read);
    assert_int_equal(rows(f, WFL_SPACE_OBJECTS), 1);
    assert_int_equal(rows(f, WFL_SPACE_VALUES), 1);
}

/* ---- a recount */

struct recount {
    uint64_t objects, bytes;
};

static struct recount recount(struct fixture *f, const char *bucket)
{
    struct recount  sum = {0};
    struct wfl_scan op = {.bucket = wfl_slice_str(bucket), .limit = 1000};

    assert_code(scan_op(f, &op), WFL_OK);
    assert_int_equal(op.next.len, 0);
    for (uint32_t i = 0; i < op.item_count; i++) {
        sum.objects++;
        sum.bytes += op.items[i].object.size;
    }
    wfl_scan_fini(&op);
    return sum;
}

static void assert_recount(struct fixture *f, const char *bucket)
{
    struct recount         sum = recount(f, bucket);
    struct wfl_bucket_info seen = info(f, bucket);

    assert_int_equal(seen.objects, sum.objects);
    assert_int_equal(seen.bytes, sum.bytes);
}

static void counters_equal_a_recount_after_random_work(void **state)
{
    static const char *buckets[] = {"photos", "other"};
    struct fixture    *f = *state;
    uint64_t           rng = test_seed();
    int                steps = f->kind == ON_LOCAL ? 1000 : 5000;

    assert_code(create(f, "other", "{\"quota_bytes\":40000}"), WFL_OK);
    for (int i = 0; i < steps; i++) {
        const char *bucket = buckets[next_random(&rng) % 2];
        char        key[8];
        snprintf(key, sizeof key, "k%d", (int)(next_random(&rng) % 20));
        f->now_ns += (int64_t)(next_random(&rng) % 3000000) - 1000000;
        if (next_random(&rng) % 3 == 0) {
            (void)delete_key(f, bucket, key);
        } else {
            struct wfl_put op = {.bucket = wfl_slice_str(bucket),
                                 .key = wfl_slice_str(key),
                                 .content = bytes_of_len(next_random(&rng) % 5000, 1),
                                 .durability =
                                     next_random(&rng) % 2 == 0 ? WFL_BUFFERED : WFL_DURABLE};
            if (next_random(&rng) % 4 == 0) op.none_match.kind = WFL_COND_ABSENT;
            (void)put_op(f, &op);
            wfl_put_fini(&op);
        }
        if (f->kind != ON_LOCAL && next_random(&rng) % 50 == 0)
            wfl_memory_fail(f->engine, 1 + next_random(&rng) % 6, WFL_DISK_FULL);
        if (i % 100 == 99) {
            if (f->kind != ON_LOCAL) wfl_memory_fail(f->engine, 0, WFL_OK);
            assert_recount(f, "photos");
            assert_recount(f, "other");
        }
        if (i % 500 == 499) { /* on memory a power cut, which takes buffered writes back */
            fixture_reopen(f);
            assert_recount(f, "photos");
            assert_recount(f, "other");
        }
    }
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(local, quotas_are_exact_under_many_writers),
        ON(local, no_version_is_given_twice_and_each_thread_sees_them_rise),
        ON(local, conditional_writers_never_lose_an_update),
        ON(local, readers_among_writers_see_whole_versions),
        ON(memory, counters_equal_a_recount_after_random_work),
        ON(pending, counters_equal_a_recount_after_random_work),
        ON(local, counters_equal_a_recount_after_random_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
