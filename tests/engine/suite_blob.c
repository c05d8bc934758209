/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs, in every engine: their way from a write to a drop, and what of it outlives what. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- writing and reading back */

void a_kept_blob_is_read_until_it_is_dropped(void **state)
{
    static const uint32_t lens[] = {1,    100,   3967,    3968,    3969,
                                    4096, 65536, 1000000, 1048575, 1048576};
    struct bench         *b = *state;

    for (size_t i = 0; i < WFL_COUNT(lens); i++) {
        char name[32];

        snprintf(name, sizeof name, "blob of %u", lens[i]);
        assert_int_equal(bench_blob_put(b, wfl_slice_str(name), lens[i]), WFL_OK);
        bench_assert_blob(b, wfl_slice_str(name), lens[i]);
    }
    bench_reopen(b);
    for (size_t i = 0; i < WFL_COUNT(lens); i++) {
        char name[32];

        snprintf(name, sizeof name, "blob of %u", lens[i]);
        bench_assert_blob(b, wfl_slice_str(name), lens[i]);
        assert_int_equal(bench_blob_drop(b, wfl_slice_str(name)), WFL_OK);
        bench_assert_no_blob(b, wfl_slice_str(name));
        assert_int_equal(bench_blob_drop(b, wfl_slice_str(name)), WFL_NOT_FOUND);
    }
    bench_assert_counts(b, 0);
    bench_reopen(b);
    bench_assert_no_blob(b, WFL_S("blob of 1"));
    bench_assert_counts(b, 0);
}

void names_have_any_bytes_and_lengths(void **state)
{
    struct bench *b = *state;
    uint8_t       bytes[WFL_BLOB_NAME_MAX];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 % 5 == 0 ? 0 : 255 - i);
    for (size_t len = 1; len <= sizeof bytes; len++)
        assert_int_equal(bench_blob_put(b, wfl_slice_of(bytes, len), (uint32_t)len), WFL_OK);
    bench_reopen(b);
    for (size_t len = 1; len <= sizeof bytes; len++)
        bench_assert_blob(b, wfl_slice_of(bytes, len), (uint32_t)len);
    bench_assert_counts(b, 0);
}

/* ---- places */

void a_place_ends_in_a_keep_or_an_abandon(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place first, second;

    assert_int_equal(bench_blob_write(b, WFL_S("n"), 5000, &first), WFL_OK);
    assert_int_equal(bench_blob_write(b, WFL_S("n"), 5000, &second), WFL_OK);
    bench_assert_counts(b, 2);
    bench_assert_no_blob(b, WFL_S("n"));
    assert_int_equal(bench_blob_sync(b, &second), WFL_OK);
    bench_assert_no_blob(b, WFL_S("n"));
    assert_int_equal(bench_blob_keep(b, WFL_S("n"), &second), WFL_OK);
    bench_assert_counts(b, 1);
    wfl_engine_blob_abandon(b->engine, &first);
    bench_assert_counts(b, 0);
    bench_assert_blob(b, WFL_S("n"), 5000);
    bench_reopen(b);
    bench_assert_blob(b, WFL_S("n"), 5000);
}

void what_was_not_kept_is_gone_after_a_reopen(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place written, synced;

    assert_int_equal(bench_blob_put(b, WFL_S("kept"), 10), WFL_OK);
    assert_int_equal(bench_blob_write(b, WFL_S("written"), 70000, &written), WFL_OK);
    assert_int_equal(bench_blob_write(b, WFL_S("synced"), 70000, &synced), WFL_OK);
    assert_int_equal(bench_blob_sync(b, &synced), WFL_OK);
    bench_reopen(b);
    bench_assert_blob(b, WFL_S("kept"), 10);
    bench_assert_no_blob(b, WFL_S("written"));
    bench_assert_no_blob(b, WFL_S("synced"));
    bench_assert_counts(b, 0);
}

/* ---- commits */

static uint64_t live_bytes(struct bench *b)
{
    struct wfl_engine_stats stats;

    wfl_engine_stats(b->engine, &stats);
    return stats.live_bytes;
}

void a_commit_that_fails_keeps_and_drops_nothing(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place place;
    struct step           steps[] = {
                  {.kind = STEP_KEEP, .key = WFL_S("new"), .place = &place},
                  {.kind = STEP_DROP, .key = WFL_S("old")},
                  {.kind = STEP_PUT, .space = WFL_SPACE_META, .key = WFL_S("k"), .value = WFL_S("v")},
                  {.kind = STEP_REFUSE, .code = WFL_PRECONDITION_FAILED},
    };
    struct script s;
    uint64_t      live;

    assert_int_equal(bench_blob_put(b, WFL_S("old"), 9000), WFL_OK);
    live = live_bytes(b);
    assert_true(live >= 9000);
    assert_int_equal(bench_blob_write(b, WFL_S("new"), 100, &place), WFL_OK);
    assert_int_equal(bench_blob_sync(b, &place), WFL_OK);
    script_init(&s, b, steps, WFL_COUNT(steps));
    assert_int_equal(script_run(&s), WFL_PRECONDITION_FAILED);
    bench_assert_no_blob(b, WFL_S("new"));
    bench_assert_blob(b, WFL_S("old"), 9000);
    bench_assert_counts(b, 1); /* its owner may try again */
    assert_int_equal(live_bytes(b), live);
    script_init(&s, b, steps, WFL_COUNT(steps) - 1);
    assert_int_equal(script_run(&s), WFL_OK);
    bench_assert_blob(b, WFL_S("new"), 100);
    bench_assert_no_blob(b, WFL_S("old"));
    bench_assert_counts(b, 0);
    assert_true(live_bytes(b) < live);
}

/* One of the group fails in its midst; the others' blobs are not touched by that. */
void a_refused_commit_of_a_group_undoes_only_its_own_blobs(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place places[3];
    wfl_slice             names[3] = {WFL_S("a"), WFL_S("b"), WFL_S("c")};
    struct step           steps[3][2];
    struct script         s[3];

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bench_blob_write(b, names[i], 100 + (uint32_t)i, &places[i]), WFL_OK);
        assert_int_equal(bench_blob_sync(b, &places[i]), WFL_OK);
        steps[i][0] = (struct step){.kind = STEP_KEEP, .key = names[i], .place = &places[i]};
        steps[i][1] = (struct step){.kind = STEP_REFUSE, .code = WFL_QUOTA_EXCEEDED};
        script_init(&s[i], b, steps[i], i == 1 ? 2 : 1);
    }
    scripts_run_as_group(s, 3);
    assert_int_equal(s[0].commit.rc, WFL_OK);
    assert_int_equal(s[1].commit.rc, WFL_QUOTA_EXCEEDED);
    assert_int_equal(s[2].commit.rc, WFL_OK);
    bench_assert_counts(b, 1);
    wfl_engine_blob_abandon(b->engine, &places[1]);
    bench_assert_blob(b, WFL_S("a"), 100);
    bench_assert_no_blob(b, WFL_S("b"));
    bench_assert_blob(b, WFL_S("c"), 102);
    bench_assert_counts(b, 0);
}

void a_group_sees_its_own_keeps_and_drops(void **state)
{
    struct bench         *b = *state;
    struct wfl_blob_place first, second;
    struct step           keep = {.kind = STEP_KEEP, .key = WFL_S("n"), .place = &first};
    struct step           drop[2] = {{.kind = STEP_DROP, .key = WFL_S("n")},
                                     {.kind = STEP_KEEP, .key = WFL_S("n"), .place = &second}};
    struct step           gone[2] = {{.kind = STEP_DROP, .key = WFL_S("n")},
                                     {.kind = STEP_DROP, .key = WFL_S("n")}};
    struct script         s[3];

    assert_int_equal(bench_blob_write(b, WFL_S("n"), 200000, &first), WFL_OK);
    assert_int_equal(bench_blob_write(b, WFL_S("n"), 200000, &second), WFL_OK);
    assert_int_equal(bench_blob_sync(b, &first), WFL_OK);
    assert_int_equal(bench_blob_sync(b, &second), WFL_OK);
    script_init(&s[0], b, &keep, 1);
    script_init(&s[1], b, drop, 2);
    script_init(&s[2], b, gone, 2); /* there is one only */
    scripts_run_as_group(s, 3);
    assert_int_equal(s[0].commit.rc, WFL_OK);
    assert_int_equal(s[1].commit.rc, WFL_OK);
    assert_int_equal(s[2].commit.rc, WFL_NOT_FOUND);
    bench_assert_blob(b, WFL_S("n"), 200000);
    bench_assert_counts(b, 0);
    bench_reopen(b);
    bench_assert_blob(b, WFL_S("n"), 200000);
    bench_assert_counts(b, 0);
}

static wfl_code refuse_seal(void *ctx, struct wfl_txn *t, wfl_error *err)
{
    (void)ctx, (void)t;
    return wfl_fail(err, WFL_NOMEM, "seal fails");
}

void a_group_that_is_not_stored_counts_nothing(void **state)
{
    const struct wfl_group_hooks hooks = {.seal = refuse_seal};
    struct bench                *b = *state;
    struct wfl_blob_place        place;
    uint64_t                     live;

    assert_int_equal(bench_blob_put(b, WFL_S("old"), 9000), WFL_OK);
    live = live_bytes(b);
    assert_int_equal(bench_blob_write(b, WFL_S("new"), 100, &place), WFL_OK);
    assert_int_equal(bench_blob_sync(b, &place), WFL_OK);
    wfl_engine_set_hooks(b->engine, &hooks);
    assert_int_equal(bench_blob_keep(b, WFL_S("new"), &place), WFL_NOMEM);
    assert_int_equal(bench_blob_drop(b, WFL_S("old")), WFL_NOMEM);
    wfl_engine_set_hooks(b->engine, &(struct wfl_group_hooks){0});
    bench_assert_no_blob(b, WFL_S("new"));
    bench_assert_blob(b, WFL_S("old"), 9000);
    bench_assert_counts(b, 1);
    assert_int_equal(live_bytes(b), live);
    assert_int_equal(bench_blob_keep(b, WFL_S("new"), &place), WFL_OK);
    bench_assert_blob(b, WFL_S("new"), 100);
    bench_assert_counts(b, 0);
}

/* ---- readers */

void an_open_blob_stays_though_it_is_dropped(void **state)
{
    struct bench   *b = *state;
    struct wfl_blob blob;
    const uint8_t  *map;
    uint8_t         first;
    wfl_error       err;

    assert_int_equal(bench_blob_put(b, WFL_S("n"), 1000000), WFL_OK);
    assert_int_equal(wfl_engine_blob_open(b->engine, WFL_S("n"), false, &blob, &err), WFL_OK);
    map = wfl_blob_map(&blob, 4097, 10000);
    assert_non_null(map);
    assert_int_equal(wfl_blob_copy(&blob, 4097, 1, &first, &err), WFL_OK);
    assert_int_equal(bench_blob_drop(b, WFL_S("n")), WFL_OK);
    bench_assert_no_blob(b, WFL_S("n"));
    for (int i = 0; i < 5; i++) { /* what could come to lie in its place */
        assert_int_equal(bench_blob_put(b, WFL_S("other"), 1048576), WFL_OK);
        assert_int_equal(bench_blob_drop(b, WFL_S("other")), WFL_OK);
    }
    if (b->kind == BENCH_LOCAL) wfl_local_rewrite(b->engine);
    bench_assert_open(&blob, WFL_S("n"), 1000000);
    assert_int_equal(map[0], first);
    wfl_blob_unmap(map, 4097, 10000);
    wfl_blob_close(&blob);
}

void a_walk_sees_each_kept_blob_once(void **state)
{
    enum { COUNT = 40 };

    struct bench        *b = *state;
    struct wfl_blob_walk walk = {0};
    bool                 seen[COUNT] = {false};
    wfl_error            err;
    int                  count = 0;

    assert_int_equal(wfl_engine_blob_walk(b->engine, &walk, &err), WFL_OK);
    assert_true(walk.ended);
    for (int i = 0; i < COUNT; i++) {
        char name[8];

        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(bench_blob_put(b, wfl_slice_str(name), 100u + (uint32_t)i * 700), WFL_OK);
    }
    assert_int_equal(bench_blob_drop(b, WFL_S("7")), WFL_OK);
    walk = (struct wfl_blob_walk){0};
    for (;;) {
        char name[8] = "";
        int  number;

        assert_int_equal(wfl_engine_blob_walk(b->engine, &walk, &err), WFL_OK);
        if (walk.ended) break;
        assert_true(walk.name_len < sizeof name);
        memcpy(name, walk.name, walk.name_len);
        number = atoi(name);
        assert_true(number >= 0 && number < COUNT && number != 7 && !seen[number]);
        seen[number] = true;
        assert_int_equal(walk.verdict, WFL_OK);
        assert_int_equal(walk.len, 100 + number * 700);
        count++;
    }
    assert_int_equal(count, COUNT - 1);
}

/* ---- reads that may block */

void a_read_that_may_block_sees_every_space(void **state)
{
    struct bench  *b = *state;
    struct wfl_pin pin;
    wfl_error      err;

    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        enum wfl_space space = (enum wfl_space)i;
        char           text[8];

        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(wfl_engine_read(b->engine, space, WFL_S("k"), &pin, &err), WFL_NOT_FOUND);
        wfl_pin_release(&pin);
        assert_int_equal(bench_put(b, space, WFL_S("k"), wfl_slice_str(text)), WFL_OK);
        assert_int_equal(wfl_engine_read(b->engine, space, WFL_S("k"), &pin, &err), WFL_OK);
        assert_true(wfl_slice_eq(pin.value, wfl_slice_str(text)));
        wfl_pin_release(&pin);
    }
}
