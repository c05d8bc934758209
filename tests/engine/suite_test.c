/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the suite on the kind of engine named by the argument: memory, memory-pend or local. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

static enum bench_kind kind;

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    if (b == NULL) return -1;
    bench_init(b, kind);
    bench_open(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    bench_fini(*state);
    free(*state);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    static const char *const names[] = {"memory", "memory-pend", "local"};
    const struct CMUnitTest  tests[] = {
         T(what_is_put_is_got_until_deleted),
         T(spaces_are_apart),
         T(a_value_is_its_parts_joined),
         T(a_commit_is_whole_or_not_at_all),
         T(a_refused_commit_undoes_only_its_own),
         T(a_commit_sees_what_its_group_did_before),
         T(the_last_write_of_a_key_in_a_group_holds),
         T(hooks_run_between_apply_and_done),
         T(a_failed_seal_fails_the_group),
         T(no_write_no_seal),
         T(pins_outlive_overwrites),
         T(durable_commits_outlive_a_reopen),
         T(a_durable_commit_without_writes_secures_earlier_ones),
         T(work_is_run_once),
         T(figures_add_up),
         T(a_refusal_keeps_what_it_notes_and_nothing_else),
         T(a_refusal_alone_is_noted_without_a_sync),
         T(a_refusal_with_nothing_to_note_writes_nothing),
         T(a_refusal_that_cannot_be_noted_is_that_failure),
         T(keys_order_by_unsigned_bytes),
         T(a_page_says_whether_there_is_more),
         T(folding_passes_groups_at_the_end_of_the_bytes),
         T(ranges_agree_with_a_naive_model),
         T(a_kept_blob_is_read_until_it_is_dropped),
         T(names_have_any_bytes_and_lengths),
         T(a_place_ends_in_a_keep_or_an_abandon),
         T(what_was_not_kept_is_gone_after_a_reopen),
         T(a_commit_that_fails_keeps_and_drops_nothing),
         T(a_refused_commit_of_a_group_undoes_only_its_own_blobs),
         T(a_group_sees_its_own_keeps_and_drops),
         T(a_group_that_is_not_stored_counts_nothing),
         T(an_open_blob_stays_though_it_is_dropped),
         T(a_walk_sees_each_kept_blob_once),
         T(a_read_that_may_block_sees_every_space),
    };

    for (size_t i = 0; i < WFL_COUNT(names); i++) {
        if (argc != 2 || strcmp(argv[1], names[i]) != 0) continue;
        kind = (enum bench_kind)i;
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
    fprintf(stderr, "usage: %s memory|memory-pend|local\n", argv[0]);
    return 2;
}
