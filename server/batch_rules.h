/* SPDX-License-Identifier: Apache-2.0
 *
 * What a batch may be, whichever encoding it comes in. */
#ifndef WFL_SERVER_BATCH_RULES_H
#define WFL_SERVER_BATCH_RULES_H

#include "server/batch_json.h"

enum batch_member {
    BATCH_OP,
    BATCH_BUCKET,
    BATCH_KEY,
    BATCH_IF,
    BATCH_VALUE,
    BATCH_BASE64,
    BATCH_CONTENT_TYPE,
    BATCH_META,
    BATCH_TAGS,
    BATCH_FROM,
    BATCH_FROM_VERSION,
    BATCH_MEMBERS,
};
extern const char *const batch_member_names[BATCH_MEMBERS];
#define BATCH_BIT(member) (1u << (member))

/* Errors: INVALID_BATCH, and what is said. */

/* `given`: bits of the members that an op has. Each kind has members that it needs, and others that
 * it may have. */
WFL_MUST_USE wfl_code batch_rules_members(enum wfl_batch_kind kind, unsigned given,
                                          bool names_bucket, wfl_error *err);
/* "put", "delete", "copy", "check". False: none of them. */
bool batch_rules_kind(wfl_slice name, enum wfl_batch_kind *out);
/* Of BATCH_BUCKET, BATCH_KEY, BATCH_FROM. INVALID_BUCKET, INVALID_KEY, RESERVED_KEY. */
WFL_MUST_USE wfl_code batch_rules_name(enum batch_member member, wfl_slice name, wfl_error *err);
WFL_MUST_USE wfl_code batch_rules_content_type(wfl_slice type, wfl_error *err);
/* Room for `n` pairs, and one more. NOMEM. */
WFL_MUST_USE wfl_code batch_rules_pair_room(size_t n, bool tag, wfl_arena *arena,
                                            struct wfl_name_value **out, wfl_error *err);
/* Sorts them. */
WFL_MUST_USE wfl_code batch_rules_pairs(struct wfl_name_value *pairs, size_t n, bool tag,
                                        wfl_error *err);
WFL_MUST_USE wfl_code batch_rules_pair_sum(const struct wfl_batch_op *op, wfl_error *err);
/* Room for `n` ops. BATCH_TOO_LARGE, NOMEM. */
WFL_MUST_USE wfl_code batch_rules_op_room(size_t n, struct batch_doc *doc, wfl_error *err);
/* No key is written twice. NOMEM. */
WFL_MUST_USE wfl_code batch_rules_repeats(struct batch_doc *doc, wfl_error *err);

#endif
