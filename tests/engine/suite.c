/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing and reading single records. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

#define M WFL_SPACE_META
#define PUT(k, v)                                                                                  \
    {                                                                                              \
        .kind = STEP_PUT, .space = M, .key = WFL_LIT(k), .value = WFL_LIT(v)                       \
    }
#define DELETE(k)                                                                                  \
    {                                                                                              \
        .kind = STEP_DELETE, .space = M, .key = WFL_LIT(k)                                         \
    }
#define EXPECT(k, v)                                                                               \
    {                                                                                              \
        .kind = STEP_EXPECT, .space = M, .key = WFL_LIT(k), .value = WFL_LIT(v)                    \
    }
#define ABSENT(k)                                                                                  \
    {                                                                                              \
        .kind = STEP_ABSENT, .space = M, .key = WFL_LIT(k)                                         \
    }
#define REFUSE(c)                                                                                  \
    {                                                                                              \
        .kind = STEP_REFUSE, .code = (c)                                                           \
    }
#define SCRIPT(s, b, steps) script_init(s, b, steps, WFL_COUNT(steps))

void what_is_put_is_got_until_deleted(void **state)
{
    struct bench *b = *state;

    bench_assert_absent(b, M, WFL_S("a"));
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("1")), WFL_OK);
    assert_int_equal(bench_put(b, M, WFL_S("\0\xff\0"), WFL_S("")), WFL_OK);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
    bench_assert_value(b, M, WFL_S("\0\xff\0"), WFL_S(""));
    bench_assert_absent(b, M, WFL_S("\0\xff"));
    assert_int_equal(bench_put(b, M, WFL_S("a"), WFL_S("\0two\xff")), WFL_OK);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("\0two\xff"));
    assert_int_equal(bench_delete(b, M, WFL_S("a")), WFL_OK);
    assert_int_equal(bench_delete(b, M, WFL_S("never there")), WFL_OK);
    bench_assert_absent(b, M, WFL_S("a"));
    bench_reopen(b);
    bench_assert_absent(b, M, WFL_S("a"));
    bench_assert_value(b, M, WFL_S("\0\xff\0"), WFL_S(""));
}

void spaces_are_apart(void **state)
{
    struct bench *b = *state;
    char          text[8];

    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_int_equal(bench_put(b, (enum wfl_space)i, WFL_S("same key"), wfl_slice_str(text)),
                         WFL_OK);
    }
    bench_reopen(b);
    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        bench_assert_value(b, (enum wfl_space)i, WFL_S("same key"), wfl_slice_str(text));
    }
}

/* ---- parts */

static wfl_code apply_parts(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    const size_t   count = 26;
    uint8_t        letters[26];
    wfl_slice      parts[26];
    struct wfl_pin pin = {0};
    wfl_code       rc;

    (void)c;
    for (size_t i = 0; i < count; i++) {
        letters[i] = (uint8_t)('a' + i);
        parts[i] = wfl_slice_of(&letters[i], i % 5 == 4 ? 0 : 1);
    }
    rc = wfl_txn_put(t, M, WFL_S("none"), NULL, 0, err);
    if (rc == WFL_OK) rc = wfl_txn_put(t, M, WFL_S("few"), parts, 6, err);
    if (rc == WFL_OK) rc = wfl_txn_put(t, M, WFL_S("many"), parts, count, err);
    memset(letters, '?', sizeof letters); /* they were copied */
    if (rc == WFL_OK) rc = wfl_txn_get(t, M, WFL_S("few"), &pin, err);
    if (rc == WFL_OK && !wfl_slice_eq(pin.value, WFL_S("abcdf"))) rc = WFL_INTERNAL;
    wfl_pin_release(&pin);
    return rc;
}

void a_value_is_its_parts_joined(void **state)
{
    struct bench *b = *state;
    struct script s;

    script_init(&s, b, NULL, 0);
    s.commit.apply = apply_parts;
    assert_int_equal(script_run(&s), WFL_OK);
    bench_assert_value(b, M, WFL_S("none"), WFL_S(""));
    bench_assert_value(b, M, WFL_S("few"), WFL_S("abcdf"));
    bench_assert_value(b, M, WFL_S("many"), WFL_S("abcdfghiklmnpqrsuvwxz"));
}

/* ---- atomicity */

void a_commit_is_whole_or_not_at_all(void **state)
{
    static const struct step good[] = {
        PUT("a", "1"),
        {.kind = STEP_PUT, .space = WFL_SPACE_TAGS, .key = WFL_LIT("b"), .value = WFL_LIT("2")}};
    static const struct step bad[] = {PUT("a", "3"), DELETE("a"), PUT("c", "3"), EXPECT("c", "3"),
                                      REFUSE(WFL_PRECONDITION_FAILED)};
    struct bench            *b = *state;
    struct script            s;

    SCRIPT(&s, b, good);
    assert_int_equal(script_run(&s), WFL_OK);
    SCRIPT(&s, b, bad);
    assert_int_equal(script_run(&s), WFL_PRECONDITION_FAILED);
    assert_int_equal(s.commit.err.code, WFL_PRECONDITION_FAILED);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
    bench_assert_value(b, WFL_SPACE_TAGS, WFL_S("b"), WFL_S("2"));
    bench_assert_absent(b, M, WFL_S("c"));
}

void a_refused_commit_undoes_only_its_own(void **state)
{
    static const struct step first[] = {PUT("a", "1"), PUT("b", "1"), PUT("c", "1")};
    static const struct step refused[] = {ABSENT("d"), PUT("a", "2"), DELETE("b"), PUT("d", "2"),
                                          REFUSE(WFL_PRECONDITION_FAILED)};
    static const struct step silent[] = {EXPECT("a", "1"), REFUSE(WFL_KEY_NOT_FOUND)};
    static const struct step last[] = {EXPECT("a", "1"), EXPECT("b", "1"), ABSENT("d"),
                                       PUT("c", "3"), DELETE("a")};
    struct bench            *b = *state;
    struct script            s[4];

    SCRIPT(&s[0], b, first);
    SCRIPT(&s[1], b, refused);
    SCRIPT(&s[2], b, silent);
    SCRIPT(&s[3], b, last);
    scripts_run_as_group(s, 4);
    assert_int_equal(s[0].commit.rc, WFL_OK);
    assert_int_equal(s[1].commit.rc, WFL_PRECONDITION_FAILED);
    assert_int_equal(s[2].commit.rc, WFL_KEY_NOT_FOUND);
    assert_int_equal(s[3].commit.rc, WFL_OK);
    bench_assert_absent(b, M, WFL_S("a"));
    bench_assert_value(b, M, WFL_S("b"), WFL_S("1"));
    bench_assert_value(b, M, WFL_S("c"), WFL_S("3"));
    bench_assert_absent(b, M, WFL_S("d"));
}

void a_commit_sees_what_its_group_did_before(void **state)
{
    static const struct step stored[] = {PUT("old", "0"), PUT("gone", "0")};
    static const struct step first[] = {EXPECT("old", "0"), PUT("old", "1"),    DELETE("gone"),
                                        PUT("new", "1"),    EXPECT("new", "1"), ABSENT("gone")};
    static const struct step second[] = {EXPECT("old", "1"), ABSENT("gone"), EXPECT("new", "1"),
                                         PUT("gone", "2"), DELETE("new")};
    static const struct step third[] = {EXPECT("gone", "2"), ABSENT("new")};
    struct bench            *b = *state;
    struct script            s[3], before;

    SCRIPT(&before, b, stored);
    assert_int_equal(script_run(&before), WFL_OK);
    bench_reopen(b);
    SCRIPT(&s[0], b, first);
    SCRIPT(&s[1], b, second);
    SCRIPT(&s[2], b, third);
    scripts_run_as_group(s, 3);
    for (size_t i = 0; i < 3; i++) {
        if (s[i].commit.rc != WFL_OK) fail_msg("commit %zu: %s", i, s[i].commit.err.message);
    }
    bench_reopen(b);
    bench_assert_value(b, M, WFL_S("old"), WFL_S("1"));
    bench_assert_value(b, M, WFL_S("gone"), WFL_S("2"));
    bench_assert_absent(b, M, WFL_S("new"));
}

void the_last_write_of_a_key_in_a_group_holds(void **state)
{
    static const struct step steps[] = {PUT("a", "1"), DELETE("a"), PUT("a", "2"),
                                        PUT("b", "1"), DELETE("b"), EXPECT("a", "2"),
                                        ABSENT("b")};
    struct bench            *b = *state;
    struct script            s;

    SCRIPT(&s, b, steps);
    assert_int_equal(script_run(&s), WFL_OK);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("2"));
    bench_assert_absent(b, M, WFL_S("b"));
}

/* ---- hooks */

struct hook_log {
    char     text[256];
    wfl_code seal_code;
    unsigned seals;
};

static void note(struct hook_log *log, const char *what)
{
    strncat(log->text, what, sizeof log->text - strlen(log->text) - 1);
}

static wfl_code note_seal(void *ctx, struct wfl_txn *t, wfl_error *err)
{
    struct hook_log *log = ctx;
    wfl_slice        count;

    note(log, "seal ");
    log->seals++;
    count = wfl_slice_of(&log->seals, sizeof log->seals);
    if (wfl_txn_put(t, M, WFL_S("seals"), &count, 1, err) != WFL_OK) return err->code;
    if (log->seal_code != WFL_OK) return wfl_fail(err, log->seal_code, "seal refused");
    return WFL_OK;
}

static void note_settled(void *ctx, wfl_code rc)
{
    note(ctx, rc == WFL_OK ? "settled " : "fallen-back ");
}

static void note_done(struct script *s)
{
    note(s->arg, s->commit.rc == WFL_OK ? "done " : "failed ");
}

static void set_hooks(struct bench *b, struct hook_log *log)
{
    wfl_engine_set_hooks(b->engine, &(struct wfl_group_hooks){
                                        .seal = note_seal, .settled = note_settled, .ctx = log});
}

static void init_noted(struct script *s, struct bench *b, const struct step *steps, size_t count,
                       struct hook_log *log)
{
    script_init(s, b, steps, count);
    s->on_done = note_done;
    s->arg = log;
}

void hooks_run_between_apply_and_done(void **state)
{
    static const struct step put[] = {PUT("a", "1")}, refused[] = {REFUSE(WFL_FORBIDDEN)};
    struct bench            *b = *state;
    struct hook_log          log = {0};
    struct script            s[3];

    set_hooks(b, &log);
    init_noted(&s[0], b, put, 1, &log);
    init_noted(&s[1], b, refused, 1, &log);
    init_noted(&s[2], b, put, 1, &log);
    if (b->kind == BENCH_MEMORY) {
        scripts_run_as_group(s, 3);
        assert_string_equal(log.text, "seal settled done failed seal settled done ");
    } else if (b->kind == BENCH_MEMORY_PEND) {
        scripts_run_as_group(s, 3);
        assert_string_equal(log.text, "seal settled done failed done ");
    } else { /* first the group of the one that keeps the committer busy: nothing to seal */
        scripts_run_as_group(s, 3);
        assert_string_equal(log.text, "settled seal settled done failed done ");
    }
    bench_assert_value(b, M, WFL_S("seals"), wfl_slice_of(&log.seals, sizeof log.seals));
}

void a_failed_seal_fails_the_group(void **state)
{
    static const struct step put[] = {PUT("a", "1")}, refused[] = {REFUSE(WFL_FORBIDDEN)};
    struct bench            *b = *state;
    struct hook_log          log = {.seal_code = WFL_INTERNAL};
    struct script            s;

    set_hooks(b, &log);
    init_noted(&s, b, put, 1, &log);
    assert_int_equal(script_run(&s), WFL_INTERNAL);
    assert_string_equal(s.commit.err.message, "seal refused");
    assert_string_equal(log.text, "seal fallen-back failed ");
    bench_assert_absent(b, M, WFL_S("a"));
    bench_assert_absent(b, M, WFL_S("seals"));
    init_noted(&s, b, refused, 1, &log);
    assert_int_equal(script_run(&s), WFL_FORBIDDEN);
    log.seal_code = WFL_OK;
    init_noted(&s, b, put, 1, &log);
    assert_int_equal(script_run(&s), WFL_OK); /* the engine is not worse for it */
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
}

void no_write_no_seal(void **state)
{
    static const struct step refused[] = {PUT("a", "1"), REFUSE(WFL_FORBIDDEN)};
    static const struct step looking[] = {ABSENT("a")};
    struct bench            *b = *state;
    struct hook_log          log = {0};
    struct wfl_engine_stats  stats;
    struct script            s;

    set_hooks(b, &log);
    init_noted(&s, b, refused, 2, &log);
    assert_int_equal(script_run(&s), WFL_FORBIDDEN);
    assert_string_equal(log.text, "failed ");
    init_noted(&s, b, looking, 1, &log);
    assert_int_equal(script_run(&s), WFL_OK);
    assert_string_equal(log.text, "failed settled done ");
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.groups, 0);
    assert_int_equal(stats.syncs, 0);
    assert_int_equal(stats.commits, 1);
}

/* ---- lifetime of values, durability */

void pins_outlive_overwrites(void **state)
{
    static const enum wfl_space spaces[] = {M, WFL_SPACE_VALUES};
    static uint8_t              big[6000];
    struct bench               *b = *state;

    memset(big, 'x', sizeof big);
    for (size_t i = 0; i < WFL_COUNT(spaces); i++) {
        wfl_slice      value = wfl_slice_of(big, sizeof big);
        struct wfl_pin early = {0}, late = {0};

        assert_int_equal(bench_put(b, spaces[i], WFL_S("k"), value), WFL_OK);
        assert_int_equal(bench_get(b, spaces[i], WFL_S("k"), &early), WFL_OK);
        assert_true(wfl_slice_eq(early.value, value));
        wfl_pin_release(&early); /* no pin outlives its engine */
        bench_reopen(b);
        assert_int_equal(bench_get(b, spaces[i], WFL_S("k"), &early), WFL_OK);
        assert_int_equal(bench_get(b, spaces[i], WFL_S("k"), &late), WFL_OK);
        assert_int_equal(bench_put(b, spaces[i], WFL_S("k"), WFL_S("other")), WFL_OK);
        assert_int_equal(bench_delete(b, spaces[i], WFL_S("k")), WFL_OK);
        assert_true(wfl_slice_eq(early.value, value));
        assert_true(wfl_slice_eq(late.value, value));
        wfl_pin_release(&early);
        wfl_pin_release(&late);
        wfl_pin_release(&late);
    }
}

void durable_commits_outlive_a_reopen(void **state)
{
    struct bench *b = *state;
    uint8_t       value[3000];
    char          key[16];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            snprintf(key, sizeof key, "%d/%d", round, i);
            memset(value, i, sizeof value);
            assert_int_equal(bench_put(b, WFL_SPACE_VALUES, wfl_slice_str(key),
                                       wfl_slice_of(value, (size_t)(i * 70))),
                             WFL_OK);
        }
        bench_reopen(b);
        for (int r = 0; r <= round; r++) {
            for (int i = 0; i < 40; i++) {
                snprintf(key, sizeof key, "%d/%d", r, i);
                memset(value, i, sizeof value);
                bench_assert_value(b, WFL_SPACE_VALUES, wfl_slice_str(key),
                                   wfl_slice_of(value, (size_t)(i * 70)));
            }
        }
    }
}

void a_durable_commit_without_writes_secures_earlier_ones(void **state)
{
    static const struct step put[] = {PUT("a", "1")}, seen[] = {EXPECT("a", "1")};
    struct bench            *b = *state;
    struct wfl_engine_stats  stats;
    struct script            s;

    SCRIPT(&s, b, put);
    s.commit.durability = WFL_BUFFERED;
    assert_int_equal(script_run(&s), WFL_OK);
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.groups, 1);
    assert_int_equal(stats.syncs, 0);
    SCRIPT(&s, b, seen);
    s.commit.durability = WFL_BUFFERED;
    assert_int_equal(script_run(&s), WFL_OK);
    wfl_engine_stats(b->engine, &stats);
    assert_int_equal(stats.syncs, 0);
    for (int i = 0; i < 2; i++) { /* the second has nothing to secure any more */
        SCRIPT(&s, b, seen);
        assert_int_equal(script_run(&s), WFL_OK);
        wfl_engine_stats(b->engine, &stats);
        assert_int_equal(stats.groups, 1);
        assert_int_equal(stats.syncs, 1);
    }
    bench_reopen(b);
    bench_assert_value(b, M, WFL_S("a"), WFL_S("1"));
}

/* ---- the rest */

static void count_run(struct wfl_engine_work *work)
{
    ++*(int *)work->arg;
}

void work_is_run_once(void **state)
{
    struct bench          *b = *state;
    int                    runs[20] = {0};
    struct wfl_engine_work work[20];

    for (size_t i = 0; i < WFL_COUNT(work); i++) {
        work[i] = (struct wfl_engine_work){
            .flow = i % 3, .bytes = i * 100000, .run = count_run, .arg = &runs[i]};
        assert_int_equal(wfl_engine_work(b->engine, &work[i]), WFL_PENDING);
    }
    wfl_engine_close(b->engine); /* finishes what is queued */
    b->engine = NULL;
    for (size_t i = 0; i < WFL_COUNT(work); i++)
        assert_int_equal(runs[i], 1);
}

void figures_add_up(void **state)
{
    static const struct step put[] = {PUT("a", "1")};
    struct bench            *b = *state;
    struct wfl_engine_stats  stats;
    struct script            s[5];

    for (int i = 0; i < 5; i++)
        SCRIPT(&s[i], b, put);
    scripts_run_as_group(s, 5);
    wfl_engine_stats(b->engine, &stats);
    assert_false(stats.read_only);
    assert_string_equal(stats.read_only_reason, "");
    /* Local: and the one that kept the committer busy. */
    assert_int_equal(stats.commits, b->kind == BENCH_LOCAL ? 6 : 5);
    assert_int_equal(stats.groups, b->kind == BENCH_MEMORY ? 5 : 1);
    assert_int_equal(stats.syncs, stats.groups);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.pool_queued, 0);
}
