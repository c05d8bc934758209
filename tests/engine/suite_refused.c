/* SPDX-License-Identifier: Apache-2.0
 *
 * What a refused commit notes about its refusal. */
#include "suite.h"

#define M WFL_SPACE_META
#define N WFL_SPACE_NONCES

static wfl_code note(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    wfl_slice value = WFL_S("refused");

    assert_true(c->rc != WFL_OK);
    return wfl_txn_put(t, N, WFL_S("note"), &value, 1, err);
}

static wfl_code note_nothing(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    (void)c, (void)t, (void)err;
    return WFL_OK;
}

static wfl_code fail_to_note(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    wfl_code rc = note(c, t, err);

    return rc == WFL_OK ? wfl_fail(err, WFL_NOMEM, "no memory for a note") : rc;
}

static const struct step refused[] = {
    {.kind = STEP_PUT, .space = M, .key = WFL_LIT("a"), .value = WFL_LIT("1")},
    {.kind = STEP_REFUSE, .code = WFL_PRECONDITION_FAILED}};

void a_refusal_keeps_what_it_notes_and_nothing_else(void **state)
{
    static const struct step good[] = {
        {.kind = STEP_EXPECT, .space = N, .key = WFL_LIT("note"), .value = WFL_LIT("refused")},
        {.kind = STEP_ABSENT, .space = M, .key = WFL_LIT("a")},
        {.kind = STEP_PUT, .space = M, .key = WFL_LIT("b"), .value = WFL_LIT("2")}};
    struct bench *b = *state;
    struct script s[2];

    script_init(&s[0], b, refused, WFL_COUNT(refused));
    script_init(&s[1], b, good, WFL_COUNT(good));
    s[0].commit.refused = note;
    scripts_run_as_group(s, 2);
    assert_int_equal(s[0].commit.rc, WFL_PRECONDITION_FAILED);
    assert_int_equal(s[1].commit.rc, WFL_OK);
    bench_reopen(b);
    bench_assert_value(b, N, WFL_S("note"), WFL_S("refused"));
    bench_assert_value(b, M, WFL_S("b"), WFL_S("2"));
    bench_assert_absent(b, M, WFL_S("a"));
}

void a_refusal_alone_is_noted_without_a_sync(void **state)
{
    struct bench           *b = *state;
    struct wfl_engine_stats before, after;
    struct script           s;

    script_init(&s, b, refused, WFL_COUNT(refused));
    s.commit.refused = note;
    wfl_engine_stats(b->engine, &before);
    assert_int_equal(script_run(&s), WFL_PRECONDITION_FAILED);
    bench_assert_value(b, N, WFL_S("note"), WFL_S("refused"));
    wfl_engine_stats(b->engine, &after);
    assert_int_equal(after.syncs, before.syncs);
    assert_int_equal(after.groups, before.groups + 1);
    assert_int_equal(after.commits, before.commits);
}

void a_refusal_with_nothing_to_note_writes_nothing(void **state)
{
    struct bench           *b = *state;
    struct wfl_engine_stats before, after;
    struct script           s;

    script_init(&s, b, refused, WFL_COUNT(refused));
    s.commit.refused = note_nothing;
    wfl_engine_stats(b->engine, &before);
    assert_int_equal(script_run(&s), WFL_PRECONDITION_FAILED);
    wfl_engine_stats(b->engine, &after);
    assert_int_equal(after.groups, before.groups);
}

void a_refusal_that_cannot_be_noted_is_that_failure(void **state)
{
    static const struct step good[] = {
        {.kind = STEP_ABSENT, .space = N, .key = WFL_LIT("note")},
        {.kind = STEP_PUT, .space = M, .key = WFL_LIT("b"), .value = WFL_LIT("2")}};
    struct bench *b = *state;
    struct script s[2];

    script_init(&s[0], b, refused, WFL_COUNT(refused));
    script_init(&s[1], b, good, WFL_COUNT(good));
    s[0].commit.refused = fail_to_note;
    scripts_run_as_group(s, 2);
    assert_int_equal(s[0].commit.rc, WFL_NOMEM);
    assert_int_equal(s[1].commit.rc, WFL_OK);
    bench_assert_absent(b, N, WFL_S("note"));
    bench_assert_absent(b, M, WFL_S("a"));
    bench_assert_value(b, M, WFL_S("b"), WFL_S("2"));
}
