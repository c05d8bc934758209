/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold in every engine. Each test gets a fresh engine of the kind in its state. */
#ifndef WFL_TESTS_ENGINE_SUITE_H
#define WFL_TESTS_ENGINE_SUITE_H

#include "harness.h"

/* suite.c */
void what_is_put_is_got_until_deleted(void **state);
void spaces_are_apart(void **state);
void a_value_is_its_parts_joined(void **state);
void a_commit_is_whole_or_not_at_all(void **state);
void a_refused_commit_undoes_only_its_own(void **state);
void a_commit_sees_what_its_group_did_before(void **state);
void the_last_write_of_a_key_in_a_group_holds(void **state);
void hooks_run_between_apply_and_done(void **state);
void a_failed_seal_fails_the_group(void **state);
void no_write_no_seal(void **state);
void pins_outlive_overwrites(void **state);
void durable_commits_outlive_a_reopen(void **state);
void a_durable_commit_without_writes_secures_earlier_ones(void **state);
void work_is_run_once(void **state);
void figures_add_up(void **state);
/* suite_blob.c */
void a_kept_blob_is_read_until_it_is_dropped(void **state);
void names_have_any_bytes_and_lengths(void **state);
void a_place_ends_in_a_keep_or_an_abandon(void **state);
void what_was_not_kept_is_gone_after_a_reopen(void **state);
void a_commit_that_fails_keeps_and_drops_nothing(void **state);
void a_refused_commit_of_a_group_undoes_only_its_own_blobs(void **state);
void a_group_sees_its_own_keeps_and_drops(void **state);
void a_group_that_is_not_stored_counts_nothing(void **state);
void an_open_blob_stays_though_it_is_dropped(void **state);
void a_walk_sees_each_kept_blob_once(void **state);
void a_read_that_may_block_sees_every_space(void **state);
/* suite_refused.c */
void a_refusal_keeps_what_it_notes_and_nothing_else(void **state);
void a_refusal_alone_is_noted_without_a_sync(void **state);
void a_refusal_with_nothing_to_note_writes_nothing(void **state);
void a_refusal_that_cannot_be_noted_is_that_failure(void **state);
/* suite_range.c */
void keys_order_by_unsigned_bytes(void **state);
void a_page_says_whether_there_is_more(void **state);
void folding_passes_groups_at_the_end_of_the_bytes(void **state);
void ranges_agree_with_a_naive_model(void **state);

#endif
