/* SPDX-License-Identifier: Apache-2.0
 *
 * Revocations: in force from the moment they are stored and not before, for exactly the links that
 * they name, after a crash too; bounded for each signer; links' entries go long after the links. */
#include "fixture.h"

#include <stdio.h>

#define SECOND UINT64_C(1000)
#define DAY    (24 * 3600 * SECOND)

static const wfl_ulid one = {{1}}, two = {{2}};

/* A thumbprint of one letter. */
static wfl_slice kid(char letter)
{
    static char texts[8][WFL_KID_LEN + 1];
    static int  next;
    char       *text = texts[next++ % 8];

    memset(text, letter, WFL_KID_LEN);
    return wfl_slice_of(text, WFL_KID_LEN);
}

static struct wfl_revocation jti_of(const wfl_ulid *jti)
{
    struct wfl_revocation r = {.kind = WFL_REVOKED_JTI, .jti = *jti, .reason = "lost"};

    memcpy(r.by, kid('x').data, WFL_KID_LEN);
    return r;
}
static struct wfl_revocation kid_of(char letter)
{
    struct wfl_revocation r = {.kind = WFL_REVOKED_KID};

    memcpy(r.kid, kid(letter).data, WFL_KID_LEN);
    return r;
}
static struct wfl_revocation link_of(const wfl_ulid *jti, char signer, uint64_t expires_ms)
{
    struct wfl_revocation r = {.kind = WFL_REVOKED_LINK, .jti = *jti, .expires_ms = expires_ms};

    memcpy(r.kid, kid(signer).data, WFL_KID_LEN);
    return r;
}

static uint64_t now_ms(const struct fixture *f)
{
    return (uint64_t)(f->now_ns / 1000000);
}

struct revoking {
    struct wfl_revoke op;
    struct waiter     waiter;
};

static void revoke_done(struct wfl_revoke *op)
{
    waiter_wake(&((struct revoking *)op->arg)->waiter);
}

static wfl_code begin(struct fixture *f, struct revoking *r, struct wfl_revocation what)
{
    *r = (struct revoking){.op = {.what = what, .done = revoke_done, .arg = r}};
    waiter_init(&r->waiter);
    return wfl_store_revoke(f->store, &r->op);
}

static wfl_code revoke_op(struct fixture *f, struct revoking *r, struct wfl_revocation what)
{
    if (begin(f, r, what) == WFL_PENDING) waiter_wait(f, &r->waiter);
    return r->op.rc;
}

static wfl_code revoke(struct fixture *f, struct wfl_revocation what)
{
    struct revoking r;

    return revoke_op(f, &r, what);
}

static bool revoked(struct fixture *f, const wfl_ulid *jti, char signer, char holder)
{
    return wfl_store_revoked(f->store, jti, kid(signer), kid(holder));
}

/* ---- */

static void each_kind_ends_what_it_names_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    static const struct {
        char kind;
        bool jti1_a_b, jti1_b_c, jti2_a_b, jti2_b_c; /* jti, signer, holder */
    } cases[] = {
        {'j', true, true, false, false},
        {'a', true, false, true, false},
        {'b', true, true, true, true}, /* holder of the one, signer of the other */
        {'l', true, false, false, false},
    };

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_revocation what = cases[i].kind == 'j'   ? jti_of(&one)
                                     : cases[i].kind == 'l' ? link_of(&one, 'a', now_ms(f) + DAY)
                                                            : kid_of(cases[i].kind);
        assert_false(revoked(f, &one, 'a', 'b'));
        assert_int_equal(revoke(f, what), WFL_OK);
        assert_int_equal(revoked(f, &one, 'a', 'b'), cases[i].jti1_a_b);
        assert_int_equal(revoked(f, &one, 'b', 'c'), cases[i].jti1_b_c);
        assert_int_equal(revoked(f, &two, 'a', 'b'), cases[i].jti2_a_b);
        assert_int_equal(revoked(f, &two, 'b', 'c'), cases[i].jti2_b_c);
        fixture_close(f);
        fixture_open(f, ON_MEMORY);
    }
}

static void a_second_time_answers_with_the_first(void **state)
{
    struct fixture *f = *state;
    struct revoking r;
    uint64_t        at = now_ms(f);

    assert_int_equal(revoke_op(f, &r, jti_of(&one)), WFL_OK);
    assert_true(r.op.created);
    assert_int_equal(r.op.what.at_ms, at);
    uint64_t epoch = wfl_store_revocation_epoch(f->store);
    f->now_ns += 5000000000;
    struct wfl_revocation again = jti_of(&one);
    snprintf(again.reason, sizeof again.reason, "another");
    assert_int_equal(revoke_op(f, &r, again), WFL_OK);
    assert_false(r.op.created);
    assert_int_equal(r.op.what.at_ms, at);
    assert_string_equal(r.op.what.reason, "lost");
    assert_int_equal(wfl_store_revocation_epoch(f->store), epoch);
    assert_int_equal(wfl_store_revocation_count(f->store), 1);
    assert_int_equal(rows(f, WFL_SPACE_REVOCATIONS), 1);
}

static void it_holds_after_a_crash(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(revoke(f, jti_of(&one)), WFL_OK);
    assert_int_equal(revoke(f, kid_of('k')), WFL_OK);
    assert_int_equal(revoke(f, link_of(&two, 'a', now_ms(f) + DAY)), WFL_OK);
    fixture_reopen(f);
    assert_int_equal(wfl_store_revocation_count(f->store), 3);
    assert_true(revoked(f, &one, 'y', 'z'));
    assert_true(revoked(f, &two, 'a', 'z'));
    assert_false(revoked(f, &two, 'y', 'z'));
    assert_true(revoked(f, &two, 'k', 'z'));
    assert_true(revoked(f, &two, 'y', 'k'));
}

static void nothing_is_in_force_before_it_is_stored(void **state)
{
    struct fixture *f = *state;
    struct revoking first, second;

    uint64_t epoch = wfl_store_revocation_epoch(f->store);
    assert_int_equal(begin(f, &first, jti_of(&one)), WFL_PENDING);
    assert_int_equal(begin(f, &second, jti_of(&one)), WFL_PENDING); /* in the same group */
    assert_false(revoked(f, &one, 'a', 'b'));
    assert_int_equal(wfl_store_revocation_epoch(f->store), epoch);
    wfl_memory_run(f->engine);
    assert_true(first.op.created);
    assert_false(second.op.created);
    assert_true(revoked(f, &one, 'a', 'b'));
    assert_true(wfl_store_revocation_epoch(f->store) > epoch);
    assert_int_equal(wfl_store_revocation_count(f->store), 1);
}

static void what_is_not_stored_is_not_in_force(void **state)
{
    struct fixture *f = *state;
    wfl_code        rc;
    uint64_t        k = 0;

    do {
        wfl_memory_fail(f->engine, ++k, WFL_DISK_FULL);
        rc = revoke(f, link_of(&one, 'a', now_ms(f) + DAY));
        wfl_memory_fail(f->engine, 0, WFL_OK);
        assert_int_equal(revoked(f, &one, 'a', 'b'), rc == WFL_OK);
        assert_int_equal(rows(f, WFL_SPACE_REVOCATIONS), rc == WFL_OK);
        if (rc != WFL_OK) assert_int_equal(rc, WFL_DISK_FULL);
    } while (rc != WFL_OK);
    assert_in_range(k, 4, 6); /* look-up, row, what is due, and the group */
    fixture_reopen(f);
    assert_true(revoked(f, &one, 'a', 'b'));
}

static void refused_memory_is_an_error_that_can_be_tried_again(void **state)
{
    struct fixture *f = *state;
    wfl_error       err = {0};
    wfl_code        rc;
    uint64_t        k = 0;

    do {
        f->refuse = f->allocs + ++k;
        rc = revoke(f, link_of(&one, 'a', now_ms(f) + DAY));
        f->refuse = 0;
        if (rc != WFL_OK) assert_int_equal(rc, WFL_NOMEM);
        assert_int_equal(revoked(f, &one, 'a', 'b'), rc == WFL_OK);
    } while (rc != WFL_OK);
    k = 0;
    do {
        fixture_close_store(f);
        f->refuse = f->allocs + ++k;
        rc = fixture_try_open_store(f, &err);
        f->refuse = 0;
        if (rc != WFL_OK) assert_int_equal(rc, WFL_NOMEM);
    } while (rc != WFL_OK);
    assert_true(revoked(f, &one, 'a', 'b'));
}

static void a_signer_has_a_bound_that_leaves_others_room(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < WFL_REVOCATIONS_BY_SIGNER_MAX; i++) {
        wfl_ulid jti = {{9, (uint8_t)(i >> 8), (uint8_t)i}};
        assert_int_equal(revoke(f, link_of(&jti, 'a', now_ms(f) + DAY)), WFL_OK);
    }
    assert_int_equal(revoke(f, link_of(&one, 'a', now_ms(f) + DAY)), WFL_QUOTA_EXCEEDED);
    assert_false(revoked(f, &one, 'a', 'b'));
    assert_int_equal(revoke(f, link_of(&one, 'b', now_ms(f) + DAY)), WFL_OK);
    assert_int_equal(revoke(f, jti_of(&one)), WFL_OK);
    fixture_reopen(f); /* the bound is counted anew */
    assert_int_equal(revoke(f, link_of(&two, 'a', now_ms(f) + DAY)), WFL_QUOTA_EXCEEDED);
    f->now_ns += (int64_t)(31 * DAY) * 1000000 + 1000000000;
    while (collect(f)) {}
    assert_int_equal(revoke(f, link_of(&two, 'a', now_ms(f) + DAY)), WFL_OK);
}

static void a_links_entry_goes_long_after_the_link(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(revoke(f, link_of(&one, 'a', now_ms(f) + DAY)), WFL_OK);
    assert_int_equal(revoke(f, jti_of(&two)), WFL_OK);
    f->now_ns += (int64_t)(2 * DAY) * 1000000; /* ended, but a clock may step back */
    collect(f);
    assert_true(revoked(f, &one, 'a', 'b'));
    f->now_ns += (int64_t)(29 * DAY) * 1000000;
    collect(f);
    assert_false(revoked(f, &one, 'a', 'b'));
    assert_true(revoked(f, &two, 'a', 'b')); /* of a jti nobody knows when it ends */
    assert_int_equal(rows(f, WFL_SPACE_REVOCATIONS), 1);
    assert_int_equal(wfl_store_revocation_count(f->store), 1);
}

static void pages_have_each_entry_once(void **state)
{
    struct fixture       *f = *state;
    struct wfl_revocation page[3], last;
    uint32_t              count, all = 0;
    bool                  more = true;
    wfl_error             err;

    for (uint8_t i = 1; i <= 5; i++) {
        wfl_ulid jti = {{i}};
        assert_int_equal(revoke(f, jti_of(&jti)), WFL_OK);
        assert_int_equal(revoke(f, link_of(&jti, 'a', now_ms(f) + DAY)), WFL_OK);
    }
    assert_int_equal(revoke(f, kid_of('k')), WFL_OK);
    for (int pages = 0; more; pages++) {
        assert_int_equal(wfl_store_revocations(f->store, pages == 0 ? NULL : &last, 3, page, &count,
                                               &more, &err),
                         WFL_OK);
        assert_true(count == 3 || !more);
        all += count;
        last = page[count - 1];
    }
    assert_int_equal(all, 11);
    assert_int_equal(last.kind, WFL_REVOKED_LINK);
    assert_int_equal(last.expires_ms, now_ms(f) + DAY);
    assert_int_equal(last.jti.bytes[0], 5);
}

static void a_damaged_row_stops_the_opening(void **state)
{
    struct fixture *f = *state;
    wfl_error       err = {0};
    static const struct {
        const char *name;
        wfl_slice   key, value;
    } cases[] = {
        {"another tag", WFL_LIT("q123456789abcdef0"), WFL_LIT("x")},
        {"a short jti", WFL_LIT("j123"), WFL_LIT("x")},
        {"no record", WFL_LIT("j123456789abcdef0"), WFL_LIT("not a record of any kind")},
    };

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        poke(f, WFL_SPACE_REVOCATIONS, cases[i].key, cases[i].value);
        fixture_close_store(f);
        if (fixture_try_open_store(f, &err) != WFL_CORRUPT_OBJECT) fail_msg("%s", cases[i].name);
        f->store = NULL;
        fixture_close(f);
        fixture_open(f, ON_MEMORY);
    }
}

#define on_memory(test)                                                                            \
    cmocka_unit_test_setup_teardown(test, fixture_setup_memory, fixture_teardown)
#define on_pending(test)                                                                           \
    cmocka_unit_test_setup_teardown(test, fixture_setup_pending, fixture_teardown)
#define on_local(test) cmocka_unit_test_setup_teardown(test, fixture_setup_local, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_memory(each_kind_ends_what_it_names_and_nothing_else),
        on_memory(a_second_time_answers_with_the_first),
        on_local(a_second_time_answers_with_the_first),
        on_memory(it_holds_after_a_crash),
        on_local(it_holds_after_a_crash),
        on_pending(nothing_is_in_force_before_it_is_stored),
        on_memory(what_is_not_stored_is_not_in_force),
        on_memory(refused_memory_is_an_error_that_can_be_tried_again),
        on_memory(a_signer_has_a_bound_that_leaves_others_room),
        on_memory(a_links_entry_goes_long_after_the_link),
        on_memory(pages_have_each_entry_once),
        on_local(pages_have_each_entry_once),
        on_memory(a_damaged_row_stops_the_opening),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
