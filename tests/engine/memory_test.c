/* SPDX-License-Identifier: Apache-2.0
 *
 * What only the memory engine can do: fail the k-th call, refuse the k-th allocation, lose power.
 */
#include "harness.h"

#include <stdlib.h>
#include <unistd.h>

#define M WFL_SPACE_META

static const struct step both[] = {
    {.kind = STEP_ABSENT, .space = M, .key = WFL_LIT("c")},
    {.kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("2")},
    {.kind = STEP_PUT, .space = M, .key = WFL_LIT("c"), .value = WFL_LIT("2")},
    {.kind = STEP_DELETE, .space = M, .key = WFL_LIT("b")},
};

static void open_bench(struct bench *b, enum bench_kind kind)
{
    bench_init(b, kind);
    bench_open(b);
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("1")), WFL_OK);
    assert_int_equal(bench_put(b, M, WFL_S("b"), WFL_S("1")), WFL_OK);
}

static void assert_before(struct bench *b)
{
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
    bench_assert_value(b, M, WFL_S("b"), WFL_S("1"));
    bench_assert_absent(b, M, WFL_S("c"));
}

static void assert_after(struct bench *b)
{
    bench_assert_value(b, M, WFL_S("a"), WFL_S("2"));
    bench_assert_absent(b, M, WFL_S("b"));
    bench_assert_value(b, M, WFL_S("c"), WFL_S("2"));
}

/* One get, three writes, the group's write: the sixth call would be another one's. */
static void every_failing_call_leaves_all_or_nothing(void **state)
{
    enum bench_kind kinds[] = {BENCH_MEMORY, BENCH_MEMORY_PEND};

    (void)state;
    for (size_t i = 0; i < 2 * WFL_COUNT(kinds); i++) {
        wfl_code failure = i % 2 == 0 ? WFL_NOMEM : WFL_DISK_FULL;
        uint64_t k = 1;
        wfl_code rc = failure;

        for (; rc != WFL_OK; k++) {
            struct bench  b;
            struct script s;

            open_bench(&b, kinds[i / 2]);
            wfl_memory_fail(b.engine, k, failure);
            script_init(&s, &b, both, WFL_COUNT(both));
            rc = script_run(&s);
            wfl_memory_fail(b.engine, 0, WFL_OK);
            if (rc == WFL_OK) {
                assert_after(&b);
            } else {
                assert_int_equal(rc, failure);
                assert_before(&b);
            }
            bench_reopen(&b);
            if (rc == WFL_OK) {
                assert_after(&b);
            } else {
                assert_before(&b);
            }
            bench_fini(&b);
        }
        assert_int_equal(k - 1, 6);
    }
}

static void a_failing_read_is_told_once(void **state)
{
    struct bench   b;
    struct wfl_pin pin;

    (void)state;
    open_bench(&b, BENCH_MEMORY_PEND);
    wfl_memory_fail(b.engine, 2, WFL_IO);
    assert_int_equal(bench_get(&b, M, WFL_S("a"), &pin), WFL_OK);
    wfl_pin_release(&pin);
    assert_int_equal(bench_get(&b, M, WFL_S("a"), &pin), WFL_IO);
    assert_int_equal(bench_get(&b, M, WFL_S("a"), &pin), WFL_OK);
    wfl_pin_release(&pin);
    wfl_memory_fail(b.engine, 1, WFL_CORRUPT_OBJECT);
    struct wfl_engine_range r = {.space = M, .limit = 9};
    assert_int_equal(bench_range(&b, &r), WFL_CORRUPT_OBJECT);
    assert_int_equal(r.count, 0);
    wfl_engine_range_free(&r);
    bench_fini(&b);
}

static void a_failed_write_of_a_group_ends_writing(void **state)
{
    static const struct step put = {
        .kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("2")};
    struct bench            b;
    struct script           s[2];
    struct wfl_engine_stats stats;

    (void)state;
    open_bench(&b, BENCH_MEMORY_PEND);
    for (size_t i = 0; i < 2; i++)
        script_init(&s[i], &b, &put, 1);
    wfl_memory_fail(b.engine, 3, WFL_IO); /* two puts, then the write */
    scripts_run_as_group(s, 2);
    assert_int_equal(s[0].commit.rc, WFL_IO);
    assert_int_equal(s[1].commit.rc, WFL_IO);
    script_init(&s[0], &b, &put, 1);
    assert_int_equal(script_submit(&s[0]), WFL_READ_ONLY);
    assert_before(&b);
    wfl_engine_stats(b.engine, &stats);
    assert_true(stats.read_only);
    assert_true(stats.read_only_reason[0] != '\0');
    bench_reopen(&b);
    assert_before(&b);
    bench_fini(&b);
}

static void lack_of_room_ends_by_itself(void **state)
{
    struct bench b;

    (void)state;
    open_bench(&b, BENCH_MEMORY);
    wfl_memory_fail(b.engine, 2, WFL_DISK_FULL);
    assert_int_equal(bench_put(&b, M, WFL_S("a"), WFL_S("2")), WFL_DISK_FULL);
    assert_before(&b);
    assert_int_equal(bench_put(&b, M, WFL_S("a"), WFL_S("2")), WFL_OK);
    bench_assert_value(&b, M, WFL_S("a"), WFL_S("2"));
    bench_fini(&b);
}

static void a_power_cut_takes_what_no_durable_commit_followed(void **state)
{
    struct bench  b;
    struct script s;

    (void)state;
    open_bench(&b, BENCH_MEMORY);
    for (int durable_after = 0; durable_after < 2; durable_after++) {
        script_init(&s, &b, both, WFL_COUNT(both));
        s.commit.durability = WFL_BUFFERED;
        assert_int_equal(script_run(&s), WFL_OK);
        assert_after(&b);
        if (durable_after == 1) assert_int_equal(bench_put(&b, M, WFL_S("z"), WFL_S("")), WFL_OK);
        bench_reopen(&b);
        if (durable_after == 0) assert_before(&b);
    }
    assert_after(&b);
    bench_fini(&b);
}

static void a_crashed_copy_is_apart_from_its_origin(void **state)
{
    struct bench       b, copy;
    struct wfl_engine *fresh = NULL;
    wfl_error          err;

    (void)state;
    open_bench(&b, BENCH_MEMORY);
    assert_int_equal(wfl_memory_crash(b.engine, &fresh, &err), WFL_OK);
    bench_init(&copy, BENCH_MEMORY);
    copy.engine = fresh;
    assert_int_equal(bench_put(&copy, M, WFL_S("a"), WFL_S("copy")), WFL_OK);
    assert_before(&b);
    bench_fini(&b);
    bench_assert_value(&copy, M, WFL_S("a"), WFL_S("copy"));
    bench_fini(&copy);
}

/* ---- blobs */

/* Written, synced, kept beside a drop, opened: the first code that is not OK. What it has written
 * and could not keep it abandons. */
static wfl_code blob_life(struct bench *b)
{
    struct wfl_blob_place place;
    struct wfl_blob       blob;
    struct wfl_blob_walk  walk = {0};
    wfl_error             err;
    struct step           steps[] = {{.kind = STEP_DROP, .key = WFL_S("old")},
                                     {.kind = STEP_KEEP, .key = WFL_S("new"), .place = &place}};
    struct script         s;
    wfl_code              rc = bench_blob_write(b, WFL_S("new"), 5000, &place);

    if (rc != WFL_OK) return rc;
    rc = bench_blob_sync(b, &place);
    script_init(&s, b, steps, WFL_COUNT(steps));
    if (rc == WFL_OK) rc = script_run(&s);
    if (rc != WFL_OK) {
        wfl_engine_blob_abandon(b->engine, &place);
        return rc;
    }
    rc = wfl_engine_blob_open(b->engine, WFL_S("new"), false, &blob, &err);
    wfl_blob_close(&blob);
    if (rc == WFL_OK) rc = wfl_engine_blob_walk(b->engine, &walk, &err);
    return rc;
}

static void assert_blobs(struct bench *b, bool after)
{
    if (after) {
        bench_assert_blob(b, WFL_S("new"), 5000);
        bench_assert_no_blob(b, WFL_S("old"));
    } else {
        bench_assert_blob(b, WFL_S("old"), 300);
        bench_assert_no_blob(b, WFL_S("new"));
    }
    bench_assert_counts(b, 0);
}

/* Write, sync, drop, keep, the group's write; then open and walk, which change nothing. */
static void every_failing_call_keeps_all_blobs_or_none(void **state)
{
    enum bench_kind kinds[] = {BENCH_MEMORY, BENCH_MEMORY_PEND};

    (void)state;
    for (size_t i = 0; i < 2 * WFL_COUNT(kinds); i++) {
        wfl_code failure = i % 2 == 0 ? WFL_NOMEM : WFL_IO;
        wfl_code rc = failure;
        uint64_t k = 1;

        for (; rc != WFL_OK; k++) {
            struct bench b;

            bench_init(&b, kinds[i / 2]);
            bench_open(&b);
            assert_int_equal(bench_blob_put(&b, WFL_S("old"), 300), WFL_OK);
            wfl_memory_fail(b.engine, k, failure);
            rc = blob_life(&b);
            wfl_memory_fail(b.engine, 0, WFL_OK);
            if (rc != WFL_OK) assert_int_equal(rc, failure);
            assert_blobs(&b, k > 5);
            bench_reopen(&b);
            assert_blobs(&b, k > 5);
            bench_fini(&b);
        }
        assert_int_equal(k - 1, 8);
    }
}

static void a_power_cut_takes_blobs_back_as_their_commits(void **state)
{
    struct step   drop = {.kind = STEP_DROP, .key = WFL_S("old")};
    struct bench  b;
    struct script s;

    (void)state;
    for (int durable_after = 0; durable_after < 2; durable_after++) {
        bench_init(&b, BENCH_MEMORY);
        bench_open(&b);
        assert_int_equal(bench_blob_put(&b, WFL_S("old"), 300), WFL_OK);
        script_init(&s, &b, &drop, 1);
        s.commit.durability = WFL_BUFFERED;
        assert_int_equal(script_run(&s), WFL_OK);
        bench_assert_no_blob(&b, WFL_S("old"));
        if (durable_after == 1) assert_int_equal(bench_put(&b, M, WFL_S("z"), WFL_S("")), WFL_OK);
        bench_reopen(&b);
        if (durable_after == 1) {
            bench_assert_no_blob(&b, WFL_S("old"));
        } else {
            bench_assert_blob(&b, WFL_S("old"), 300);
        }
        bench_fini(&b);
    }
}

static void a_changed_content_is_told(void **state)
{
    struct bench    b;
    struct wfl_blob blob;
    wfl_error       err;

    (void)state;
    bench_init(&b, BENCH_MEMORY);
    bench_open(&b);
    assert_int_equal(bench_blob_put(&b, WFL_S("n"), 9000), WFL_OK);
    assert_int_equal(wfl_engine_blob_open(b.engine, WFL_S("n"), false, &blob, &err), WFL_OK);
    assert_int_equal(pwrite(blob.fd, "!", 1, (off_t)blob.offset + 8999), 1);
    wfl_blob_close(&blob);
    assert_int_equal(wfl_engine_blob_open(b.engine, WFL_S("n"), false, &blob, &err), WFL_OK);
    wfl_blob_close(&blob);
    assert_int_equal(wfl_engine_blob_open(b.engine, WFL_S("n"), true, &blob, &err),
                     WFL_CORRUPT_OBJECT);
    bench_fini(&b);
}

/* ---- memory that is refused */

struct stingy {
    uint64_t left; /* allocations until one is refused; 0: none is */
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
static wfl_code whole_life(struct wfl_memory_config *config, struct bench *b)
{
    wfl_error               err = {0};
    struct wfl_engine      *fresh = NULL;
    struct wfl_engine_range r = {.space = M, .limit = 9, .fold_delimiter = WFL_LIT("c")};
    struct wfl_pin          pin = {0};
    struct script           s;
    wfl_code                rc = wfl_engine_open_memory(config, &b->engine, &err);

    if (rc != WFL_OK) return rc;
    script_init(&s, b, both, WFL_COUNT(both));
    s.commit.durability = WFL_BUFFERED;
    rc = script_run(&s);
    if (rc == WFL_OK) rc = bench_get(b, M, WFL_S("a"), &pin);
    wfl_pin_release(&pin);
    if (rc == WFL_OK) rc = bench_range(b, &r);
    wfl_engine_range_free(&r);
    if (rc == WFL_OK) rc = bench_blob_put(b, WFL_S("old"), 300);
    if (rc == WFL_OK) rc = blob_life(b);
    if (rc == WFL_OK) rc = wfl_memory_crash(b->engine, &fresh, &err);
    wfl_engine_close(fresh);
    return rc;
}

static void every_refused_allocation_is_an_answer(void **state)
{
    (void)state;
    for (int pend = 0; pend < 2; pend++) {
        struct stingy            stingy = {.left = 0};
        struct wfl_alloc         alloc = {.resize = stingy_resize, .ctx = &stingy};
        struct wfl_memory_config config = {.alloc = &alloc, .pend = pend == 1};
        wfl_code                 rc = WFL_NOMEM;
        uint64_t                 k = 0;

        while (rc != WFL_OK) {
            struct bench b;

            bench_init(&b, pend == 1 ? BENCH_MEMORY_PEND : BENCH_MEMORY);
            stingy.left = ++k;
            rc = whole_life(&config, &b);
            stingy.left = 0;
            if (rc != WFL_OK) assert_true(rc == WFL_NOMEM || rc == WFL_OVERLOADED);
            bench_fini(&b);
        }
        assert_true(k > 10);
    }
}

/* ---- order */

static void submit_again(struct script *s)
{
    struct script *next = s->arg;

    if (next != NULL) next->commit.rc = script_submit(next);
}

static void what_callbacks_add_waits_for_the_next_run(void **state)
{
    struct bench  b;
    struct script s[2];

    (void)state;
    open_bench(&b, BENCH_MEMORY_PEND);
    script_init(&s[0], &b, both, WFL_COUNT(both));
    script_init(&s[1], &b, both, 0);
    s[0].on_done = submit_again;
    s[0].arg = &s[1];
    assert_int_equal(script_submit(&s[0]), WFL_PENDING);
    assert_int_equal(wfl_memory_run(b.engine), 1);
    assert_true(s[0].done);
    assert_false(s[1].done);
    assert_int_equal(wfl_memory_run(b.engine), 1);
    assert_true(s[1].done);
    assert_int_equal(wfl_memory_run(b.engine), 0);
    bench_fini(&b);
}

static void closing_finishes_what_is_pending_and_takes_no_more(void **state)
{
    struct bench  b;
    struct script s[2];

    (void)state;
    open_bench(&b, BENCH_MEMORY_PEND);
    script_init(&s[0], &b, both, WFL_COUNT(both));
    script_init(&s[1], &b, both, 0);
    s[0].on_done = submit_again;
    s[0].arg = &s[1];
    assert_int_equal(script_submit(&s[0]), WFL_PENDING);
    wfl_engine_close(b.engine);
    b.engine = NULL;
    assert_true(s[0].done);
    assert_int_equal(s[0].commit.rc, WFL_OK);
    assert_false(s[1].done);
    assert_int_equal(s[1].commit.rc, WFL_CLOSED);
    bench_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failing_call_leaves_all_or_nothing),
        cmocka_unit_test(a_failing_read_is_told_once),
        cmocka_unit_test(a_failed_write_of_a_group_ends_writing),
        cmocka_unit_test(lack_of_room_ends_by_itself),
        cmocka_unit_test(a_power_cut_takes_what_no_durable_commit_followed),
        cmocka_unit_test(a_crashed_copy_is_apart_from_its_origin),
        cmocka_unit_test(every_failing_call_keeps_all_blobs_or_none),
        cmocka_unit_test(a_power_cut_takes_blobs_back_as_their_commits),
        cmocka_unit_test(a_changed_content_is_told),
        cmocka_unit_test(every_refused_allocation_is_an_answer),
        cmocka_unit_test(what_callbacks_add_waits_for_the_next_run),
        cmocka_unit_test(closing_finishes_what_is_pending_and_takes_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
