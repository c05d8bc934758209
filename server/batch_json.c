/* SPDX-License-Identifier: Apache-2.0
 *
 * The document of a batch: hostile text of up to 16 MiB. It is first counted through, byte by byte:
 * a tree of small values costs many times its text, so what holds more of them than any batch could
 * use is refused before a tree is made. A member that is unknown, missing, twice there, out of
 * place or of another type refuses the whole, and the error names the op (batch_rules.c). Contents
 * given as text stay where the tree has them; others are decoded. */
#include "server/batch_rules.h"

#include <jansson.h>

#define MARKS_MAX 300000 /* , : [ { outside of strings: 1000 ops with 100 pairs have fewer */
#define DEPTH_MAX 8      /* of which a batch uses 4 */

struct op_text { /* of one op, by member; NULL: not there */
    const json_t *members[BATCH_MEMBERS];
    unsigned      given;
};

static wfl_slice text_of(const json_t *value)
{
    return wfl_slice_of(json_string_value(value), json_string_length(value));
}

static wfl_code wrong(wfl_error *err, const char *what)
{
    return wfl_fail(err, WFL_INVALID_BATCH, "%s", what);
}

static wfl_code no_memory(wfl_error *err)
{
    return wfl_fail(err, WFL_NOMEM, "a batch: out of memory");
}

/* ---- before there is a tree */

static wfl_code count_through(wfl_slice json, wfl_error *err)
{
    size_t marks = 0, depth = 0;
    bool   in_string = false;

    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        in_string = c == '"';
        if ((c == ']' || c == '}') && depth > 0) depth--;
        if (c == '[' || c == '{') depth++;
        marks += c == ',' || c == ':' || c == '[' || c == '{';
        if (depth > DEPTH_MAX) return wrong(err, "the document nests deeper than a batch does");
        if (marks > MARKS_MAX)
            return wfl_fail(err, WFL_BATCH_TOO_LARGE, "the document has more in it than a batch");
    }
    return WFL_OK;
}

/* ---- values */

static wfl_code take_name(const struct op_text *text, enum batch_member member, wfl_slice *out,
                          wfl_error *err)
{
    const json_t *value = text->members[member];

    if (!json_is_string(value))
        return wfl_fail(err, WFL_INVALID_BATCH, "%s must be text", batch_member_names[member]);
    *out = text_of(value);
    return batch_rules_name(member, *out, err);
}

static wfl_code take_version(const json_t *value, wfl_ulid *out, wfl_error *err)
{
    if (json_is_string(value) && wfl_ulid_parse(text_of(value), out)) return WFL_OK;
    return wrong(err, "a version is a ULID");
}

static wfl_code take_condition(const json_t *value, wfl_arena *arena, struct wfl_condition *out,
                               wfl_error *err)
{
    wfl_ulid *version;

    if (json_is_null(value)) {
        out->kind = WFL_COND_ABSENT;
        return WFL_OK;
    }
    if (json_is_string(value) && wfl_slice_eq(text_of(value), WFL_S("*"))) {
        out->kind = WFL_COND_EXISTS;
        return WFL_OK;
    }
    version = wfl_arena_get(arena, sizeof *version);
    if (version == NULL) return no_memory(err);
    *out = (struct wfl_condition){.kind = WFL_COND_ANY_OF, .versions = version, .version_count = 1};
    if (take_version(value, version, err) == WFL_OK) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BATCH, "if is a version, \"*\" or null");
}

static wfl_code take_base64(const json_t *value, wfl_arena *arena, wfl_slice *out, wfl_error *err)
{
    wfl_slice text = text_of(value);
    size_t    cap = text.len / 4 * 3 + 3, len = 0;
    uint8_t  *bytes = wfl_arena_get(arena, cap);

    if (bytes == NULL) return no_memory(err);
    if (!wfl_b64_decode(text, bytes, cap, &len)) return wrong(err, "base64 does not decode");
    *out = wfl_slice_of(bytes, len);
    return WFL_OK;
}

static wfl_code take_content(const struct op_text *text, wfl_arena *arena, struct wfl_batch_op *op,
                             wfl_error *err)
{
    const json_t *value = text->members[BATCH_VALUE], *base64 = text->members[BATCH_BASE64];

    if ((value == NULL) == (base64 == NULL)) return wrong(err, "a put has either value or base64");
    if (!json_is_string(value != NULL ? value : base64))
        return wrong(err, "a content must be text");
    if (base64 != NULL) return take_base64(base64, arena, &op->content, err);
    op->content = text_of(value);
    return WFL_OK;
}

static wfl_code take_content_type(const json_t *value, struct wfl_batch_op *op, wfl_error *err)
{
    op->content_type = WFL_S("application/octet-stream");
    if (value == NULL) return WFL_OK;
    if (!json_is_string(value)) return wrong(err, "content_type must be text");
    op->content_type = text_of(value);
    return batch_rules_content_type(op->content_type, err);
}

static wfl_code take_pairs(const json_t *value, bool tag, wfl_arena *arena,
                           const struct wfl_name_value **out, uint32_t *count, wfl_error *err)
{
    size_t                 n = json_object_size(value), i = 0;
    struct wfl_name_value *pairs;
    const char            *name;
    json_t                *text;
    wfl_code               rc;

    if (!json_is_object(value)) return wrong(err, "meta and tags are objects");
    rc = batch_rules_pair_room(n, tag, arena, &pairs, err);
    if (rc != WFL_OK) return rc;
    json_object_foreach((json_t *)(uintptr_t)value, name, text)
    {
        if (!json_is_string(text)) return wrong(err, "the values of meta and tags must be text");
        pairs[i++] = (struct wfl_name_value){wfl_slice_str(name), text_of(text)};
    }
    *out = pairs;
    *count = (uint32_t)n;
    return batch_rules_pairs(pairs, n, tag, err);
}

static wfl_code take_all_pairs(const struct op_text *text, wfl_arena *arena,
                               struct wfl_batch_op *op, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    op->has_meta = text->members[BATCH_META] != NULL;
    op->has_tags = text->members[BATCH_TAGS] != NULL;
    if (op->has_meta)
        rc = take_pairs(text->members[BATCH_META], false, arena, &op->meta, &op->meta_count, err);
    if (rc == WFL_OK && op->has_tags)
        rc = take_pairs(text->members[BATCH_TAGS], true, arena, &op->tags, &op->tag_count, err);
    return rc == WFL_OK ? batch_rules_pair_sum(op, err) : rc;
}

/* ---- an op */

static wfl_code sort_members(const json_t *value, struct op_text *out, wfl_error *err)
{
    const char *name;
    json_t     *member;

    *out = (struct op_text){0};
    if (!json_is_object(value)) return wrong(err, "it is no object");
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        enum batch_member m = 0;

        while (m < BATCH_MEMBERS && strcmp(batch_member_names[m], name) != 0)
            m++;
        if (m == BATCH_MEMBERS)
            return wfl_fail(err, WFL_INVALID_BATCH, "the member '%.64s' is not known", name);
        out->members[m] = member;
        out->given |= BATCH_BIT(m);
    }
    return WFL_OK;
}

static wfl_code judge_members(const struct op_text *text, bool names_bucket,
                              enum wfl_batch_kind *kind, wfl_error *err)
{
    const json_t *op = text->members[BATCH_OP];

    if (!json_is_string(op)) return wrong(err, "op says what is done");
    if (!batch_rules_kind(text_of(op), kind)) return wrong(err, "op is put, delete, copy or check");
    return batch_rules_members(*kind, text->given, names_bucket, err);
}

static wfl_code take_op(const json_t *value, wfl_slice bucket, wfl_arena *arena,
                        struct wfl_batch_op *op, wfl_error *err)
{
    struct op_text text;
    wfl_code       rc = sort_members(value, &text, err);

    if (rc == WFL_OK) rc = judge_members(&text, bucket.len == 0, &op->kind, err);
    if (rc != WFL_OK) return rc;
    op->bucket = bucket;
    if (bucket.len == 0) rc = take_name(&text, BATCH_BUCKET, &op->bucket, err);
    if (rc == WFL_OK) rc = take_name(&text, BATCH_KEY, &op->key, err);
    if (rc == WFL_OK && text.members[BATCH_IF] != NULL)
        rc = take_condition(text.members[BATCH_IF], arena, &op->condition, err);
    if (rc == WFL_OK && op->kind == WFL_BATCH_COPY)
        rc = take_name(&text, BATCH_FROM, &op->from, err);
    op->has_from_version = text.members[BATCH_FROM_VERSION] != NULL;
    if (rc == WFL_OK && op->has_from_version)
        rc = take_version(text.members[BATCH_FROM_VERSION], &op->from_version, err);
    if (rc == WFL_OK && op->kind == WFL_BATCH_PUT) rc = take_content(&text, arena, op, err);
    if (rc == WFL_OK) rc = take_content_type(text.members[BATCH_CONTENT_TYPE], op, err);
    if (rc == WFL_OK) rc = take_all_pairs(&text, arena, op, err);
    return rc;
}

/* ---- the whole */

static wfl_code take_ops(const json_t *list, wfl_slice bucket, struct batch_doc *out,
                         wfl_error *err)
{
    size_t   count = json_array_size(list);
    wfl_code rc;

    if (!json_is_array(list)) return wrong(err, "ops is a list of at least one");
    rc = batch_rules_op_room(count, out, err);
    if (rc != WFL_OK) return rc;
    for (size_t i = 0; i < count; i++) {
        if (take_op(json_array_get(list, i), bucket, &out->arena, &out->ops[i], err) == WFL_OK)
            continue;
        return err->code == WFL_NOMEM ? err->code : wfl_wrap(err, "op %zu", i);
    }
    return batch_rules_repeats(out, err);
}

wfl_code batch_doc_parse(wfl_slice json, wfl_slice bucket, struct batch_doc *out, wfl_error *err)
{
    json_error_t  wrong_at = {0};
    const json_t *ops;
    wfl_code      rc;

    memset(out, 0, sizeof *out);
    /* Contents decoded, what is made of the marks, and what its blocks leave unused. */
    wfl_arena_init(&out->arena, &wfl_alloc_libc, (size_t)4 * WFL_BATCH_BYTES_MAX);
    if (json.len > WFL_BATCH_BYTES_MAX)
        return wfl_fail(err, WFL_BATCH_TOO_LARGE, "a batch has at most %u bytes",
                        WFL_BATCH_BYTES_MAX);
    if (json.len == 0) return wfl_fail(err, WFL_INVALID_JSON, "a batch has a body");
    rc = count_through(json, err);
    if (rc != WFL_OK) return rc;
    out->json = json_loadb((const char *)json.data, json.len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong_at);
    if (out->json == NULL) {
        enum json_error_code code = json_error_code(&wrong_at);
        if (code == json_error_out_of_memory || code == json_error_unknown) return no_memory(err);
        return wfl_fail(err, WFL_INVALID_JSON, "line %d: %s", wrong_at.line, wrong_at.text);
    }
    ops = json_object_get(out->json, "ops");
    if (!json_is_object((json_t *)out->json) || ops == NULL || json_object_size(out->json) != 1)
        return wrong(err, "a batch is {\"ops\":[...]}");
    return take_ops(ops, bucket, out, err);
}

void batch_doc_free(struct batch_doc *doc)
{
    if (doc->arena.alloc == NULL) return;
    json_decref(doc->json);
    wfl_arena_fini(&doc->arena);
    memset(doc, 0, sizeof *doc);
}
