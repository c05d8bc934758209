/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests in use: the collector and everyone else keep out of each other's way. */
#include "fixture.h"

#include "store/chunks.h"

static const wfl_ulid one = {{1, [15] = 7}}, same_slot = {{2, [15] = 7}};

static void who_is_in_keeps_the_collector_out(void **state)
{
    struct fixture *f = *state;

    assert_code(wfl_active_enter(f->store, &one), WFL_OK);
    assert_code(wfl_active_enter(f->store, &one), WFL_OK);
    assert_false(wfl_active_collect(f->store, &one));
    wfl_active_leave(f->store, &one);
    assert_false(wfl_active_collect(f->store, &one));
    wfl_active_leave(f->store, &one);
    assert_true(wfl_active_collect(f->store, &one));
    wfl_active_collected(f->store, &one);
}

static void nobody_enters_where_the_collector_is(void **state)
{
    struct fixture *f = *state;

    assert_true(wfl_active_collect(f->store, &one));
    assert_code(wfl_active_enter(f->store, &one), WFL_NOT_FOUND);
    assert_code(wfl_active_enter(f->store, &same_slot), WFL_OK);
    wfl_active_collected(f->store, &one);
    assert_code(wfl_active_enter(f->store, &one), WFL_OK);
    wfl_active_leave(f->store, &one);
    wfl_active_leave(f->store, &same_slot);
}

static void no_memory_lets_nobody_in(void **state)
{
    struct fixture *f = *state;

    f->refuse = f->allocs + 1;
    assert_code(wfl_active_enter(f->store, &one), WFL_NOMEM);
    f->refuse = f->allocs + 1;
    assert_false(wfl_active_collect(f->store, &one));
    f->refuse = 0;
    assert_true(wfl_active_collect(f->store, &one));
    wfl_active_collected(f->store, &one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_is_in_keeps_the_collector_out, fixture_setup_memory,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(nobody_enters_where_the_collector_is, fixture_setup_memory,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(no_memory_lets_nobody_in, fixture_setup_memory,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
