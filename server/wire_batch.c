/* SPDX-License-Identifier: Apache-2.0
 *
 * A batch from FlatBuffers: hostile bytes, verified as a whole before anything of them is looked
 * at, then judged by the rules that JSON is judged by. Keys, contents and pairs stay where the
 * message has them. Its offsets may all point at the same bytes: contents are counted as often as
 * they are named, so that a small message does not become a large batch. */
#include "server/batch_rules.h"
#include "server/wire.h"

#include "schema/wire.h"

static wfl_code wrong(wfl_error *err, const char *what)
{
    return wfl_fail(err, WFL_INVALID_BATCH, "%s", what);
}

static wfl_slice slice_of(struct wfl_record_bytes bytes)
{
    return wfl_slice_of(bytes.data, bytes.len);
}

static bool take_kind(unsigned kind, enum wfl_batch_kind *out)
{
    switch (kind) {
    case WFL_WIRE_BATCH_PUT:
        *out = WFL_BATCH_PUT;
        return true;
    case WFL_WIRE_BATCH_DELETE:
        *out = WFL_BATCH_DELETE;
        return true;
    case WFL_WIRE_BATCH_COPY:
        *out = WFL_BATCH_COPY;
        return true;
    case WFL_WIRE_BATCH_CHECK:
        *out = WFL_BATCH_CHECK;
        return true;
    default:
        return false;
    }
}

static unsigned members_of(const struct wfl_wire_batch_op *in)
{
    const struct {
        enum batch_member member;
        bool              given;
    } members[] = {
        {BATCH_OP, true},
        {BATCH_BUCKET, in->bucket.data != NULL},
        {BATCH_KEY, in->key.data != NULL},
        {BATCH_IF, in->condition != WFL_WIRE_IF_ANY || in->condition_version != NULL},
        {BATCH_VALUE, in->value.data != NULL},
        {BATCH_CONTENT_TYPE, in->content_type.data != NULL},
        {BATCH_META, in->has_meta},
        {BATCH_TAGS, in->has_tags},
        {BATCH_FROM, in->from.data != NULL},
        {BATCH_FROM_VERSION, in->from_version != NULL},
    };
    unsigned given = 0;

    for (size_t i = 0; i < WFL_COUNT(members); i++)
        if (members[i].given) given |= BATCH_BIT(members[i].member);
    return given;
}

static wfl_code take_condition(const struct wfl_wire_batch_op *in, wfl_arena *arena,
                               struct wfl_condition *out, wfl_error *err)
{
    wfl_ulid *version;

    if ((in->condition == WFL_WIRE_IF_VERSION) != (in->condition_version != NULL))
        return wrong(err, "condition_version goes with the condition Version, and only with it");
    switch (in->condition) {
    case WFL_WIRE_IF_ANY:
        return WFL_OK;
    case WFL_WIRE_IF_EXISTS:
        out->kind = WFL_COND_EXISTS;
        return WFL_OK;
    case WFL_WIRE_IF_ABSENT:
        out->kind = WFL_COND_ABSENT;
        return WFL_OK;
    case WFL_WIRE_IF_VERSION:
        version = wfl_arena_get(arena, sizeof *version);
        if (version == NULL) return wfl_fail(err, WFL_NOMEM, "a batch: out of memory");
        memcpy(version->bytes, in->condition_version, sizeof version->bytes);
        *out = (struct wfl_condition){WFL_COND_ANY_OF, version, 1};
        return WFL_OK;
    default:
        return wrong(err, "that condition is not known");
    }
}

static wfl_code take_pairs(const struct wfl_record_pairs *in, bool tag, wfl_arena *arena,
                           const struct wfl_name_value **out, uint32_t *count, wfl_error *err)
{
    struct wfl_name_value *pairs;
    wfl_code               rc = batch_rules_pair_room(in->count, tag, arena, &pairs, err);

    if (rc != WFL_OK) return rc;
    for (uint32_t i = 0; i < in->count; i++) {
        struct wfl_record_bytes name, value;

        in->at(in->ctx, i, &name, &value);
        pairs[i] = (struct wfl_name_value){slice_of(name), slice_of(value)};
    }
    *out = pairs;
    *count = in->count;
    return batch_rules_pairs(pairs, in->count, tag, err);
}

static wfl_code take_all_pairs(const struct wfl_wire_batch_op *in, wfl_arena *arena,
                               struct wfl_batch_op *op, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    op->has_meta = in->has_meta;
    op->has_tags = in->has_tags;
    if (op->has_meta) rc = take_pairs(&in->meta, false, arena, &op->meta, &op->meta_count, err);
    if (rc == WFL_OK && op->has_tags)
        rc = take_pairs(&in->tags, true, arena, &op->tags, &op->tag_count, err);
    return rc == WFL_OK ? batch_rules_pair_sum(op, err) : rc;
}

static wfl_code take_names(const struct wfl_wire_batch_op *in, wfl_slice bucket,
                           struct wfl_batch_op *op, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    op->bucket = bucket;
    op->key = slice_of(in->key);
    op->from = slice_of(in->from);
    if (bucket.len == 0) {
        op->bucket = slice_of(in->bucket);
        rc = batch_rules_name(BATCH_BUCKET, op->bucket, err);
    }
    if (rc == WFL_OK) rc = batch_rules_name(BATCH_KEY, op->key, err);
    if (rc == WFL_OK && op->kind == WFL_BATCH_COPY)
        rc = batch_rules_name(BATCH_FROM, op->from, err);
    return rc;
}

static wfl_code take_content(const struct wfl_wire_batch_op *in, struct wfl_batch_op *op,
                             wfl_error *err)
{
    op->content_type = WFL_S("application/octet-stream");
    if (op->kind == WFL_BATCH_PUT && in->value.data == NULL)
        return wrong(err, "a put has a value, which may be empty");
    op->content = slice_of(in->value);
    if (in->content_type.data == NULL) return WFL_OK;
    op->content_type = slice_of(in->content_type);
    return batch_rules_content_type(op->content_type, err);
}

static wfl_code take_op(const struct wfl_wire_batch_op *in, wfl_slice bucket, wfl_arena *arena,
                        struct wfl_batch_op *op, wfl_error *err)
{
    wfl_code rc;

    if (in->unknown) return wrong(err, "it has a member that is not known");
    if (!take_kind(in->kind, &op->kind)) return wrong(err, "op is Put, Delete, Copy or Check");
    rc = batch_rules_members(op->kind, members_of(in), bucket.len == 0, err);
    if (rc == WFL_OK) rc = take_names(in, bucket, op, err);
    if (rc == WFL_OK) rc = take_condition(in, arena, &op->condition, err);
    op->has_from_version = in->from_version != NULL;
    if (op->has_from_version)
        memcpy(op->from_version.bytes, in->from_version, sizeof op->from_version.bytes);
    if (rc == WFL_OK) rc = take_content(in, op, err);
    if (rc == WFL_OK) rc = take_all_pairs(in, arena, op, err);
    return rc;
}

static wfl_code take_ops(const struct wfl_wire_batch *batch, wfl_slice bucket,
                         struct batch_doc *out, wfl_error *err)
{
    uint64_t content_bytes = 0;
    wfl_code rc = batch_rules_op_room(batch->count, out, err);

    if (rc != WFL_OK) return rc;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct wfl_wire_batch_op op;

        wfl_wire_batch_at(batch, i, &op);
        rc = take_op(&op, bucket, &out->arena, &out->ops[i], err);
        if (rc != WFL_OK) return rc == WFL_NOMEM ? rc : wfl_wrap(err, "op %lu", (unsigned long)i);
        content_bytes += out->ops[i].content.len;
    }
    if (content_bytes > WFL_BATCH_BYTES_MAX)
        return wfl_fail(err, WFL_BATCH_TOO_LARGE, "contents of a batch have at most %u bytes",
                        WFL_BATCH_BYTES_MAX);
    return batch_rules_repeats(out, err);
}

wfl_code wire_batch_parse(wfl_slice message, wfl_slice bucket, struct batch_doc *out,
                          wfl_error *err)
{
    struct wfl_wire_batch batch;

    memset(out, 0, sizeof *out);
    wfl_arena_init(&out->arena, &wfl_alloc_libc, WFL_BATCH_BYTES_MAX);
    if (message.len > WFL_BATCH_BYTES_MAX)
        return wfl_fail(err, WFL_BATCH_TOO_LARGE, "a batch has at most %u bytes",
                        WFL_BATCH_BYTES_MAX);
    if (!wfl_wire_batch_read(message.data, message.len, &batch))
        return wfl_fail(err, WFL_INVALID_REQUEST, "the body is no FlatBuffers message of a batch");
    if (batch.unknown) return wrong(err, "the batch has a member that is not known");
    return take_ops(&batch, bucket, out, err);
}
