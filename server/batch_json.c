/* SPDX-License-Identifier: Apache-2.0
 *
 * The document of a batch: hostile text of up to 16 MiB. It is first counted through, byte by byte:
 * a tree of small values costs many times its text, so what holds more of them than any batch could
 * use is refused before a tree is made. Then every member is judged by a table: one that is
 * unknown, missing, twice there, out of place or of another type refuses the whole, and the error
 * names the op. Contents given as text stay where the tree has them; others are decoded. */
#include "server/batch_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "server/headers.h"

#define MARKS_MAX 300000 /* , : [ { outside of strings: 1000 ops with 100 pairs have fewer */
#define DEPTH_MAX 8      /* of which a batch uses 4 */

enum member {
    OP,
    BUCKET,
    KEY,
    IF,
    VALUE,
    BASE64,
    CONTENT_TYPE,
    META,
    TAGS,
    FROM,
    FROM_VERSION,
    MEMBERS,
};
static const char *const member_names[MEMBERS] = {
    [OP] = "op",
    [BUCKET] = "bucket",
    [KEY] = "key",
    [IF] = "if",
    [VALUE] = "value",
    [BASE64] = "base64",
    [CONTENT_TYPE] = "content_type",
    [META] = "meta",
    [TAGS] = "tags",
    [FROM] = "from",
    [FROM_VERSION] = "from_version",
};
#define BIT(member) (1u << (member))

static const struct { /* by enum wfl_batch_kind; op, key and perhaps bucket are all ops' */
    const char *name;
    unsigned    needs, takes;
} kinds[] = {
    [WFL_BATCH_PUT] = {"put", 0,
                       BIT(IF) | BIT(VALUE) | BIT(BASE64) | BIT(CONTENT_TYPE) | BIT(META) |
                           BIT(TAGS)},
    [WFL_BATCH_DELETE] = {"delete", 0, BIT(IF)},
    [WFL_BATCH_COPY] = {"copy", BIT(FROM), BIT(IF) | BIT(FROM_VERSION) | BIT(META) | BIT(TAGS)},
    [WFL_BATCH_CHECK] = {"check", BIT(IF), 0},
};

struct op_text { /* of one op, by member; NULL: not there */
    const json_t *members[MEMBERS];
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

static wfl_code take_name(const struct op_text *text, enum member member, wfl_slice *out,
                          wfl_error *err)
{
    const json_t *value = text->members[member];

    if (!json_is_string(value))
        return wfl_fail(err, WFL_INVALID_BATCH, "%s must be text", member_names[member]);
    *out = text_of(value);
    if (member != BUCKET) return wfl_name_check_key(*out, err);
    if (wfl_name_bucket_valid(*out)) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BUCKET, "that is no name of a bucket");
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
    const json_t *value = text->members[VALUE], *base64 = text->members[BASE64];

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
    if (headers_check_content_type(op->content_type, err) == WFL_OK) return WFL_OK;
    err->code = WFL_INVALID_BATCH;
    return err->code;
}

static int by_name(const void *a, const void *b)
{
    const struct wfl_name_value *x = a, *y = b;

    return wfl_slice_cmp(x->name, y->name);
}

static wfl_code take_pair(const char *name, const json_t *value, bool tag,
                          struct wfl_name_value *out, wfl_error *err)
{
    if (!json_is_string(value)) return wrong(err, "the values of meta and tags must be text");
    *out = (struct wfl_name_value){wfl_slice_str(name), text_of(value)};
    if (headers_check_pair(out->name, out->value, tag, err) != WFL_OK) {
        err->code = WFL_INVALID_BATCH;
        return err->code;
    }
    /* A header could not carry these, in either direction. */
    if (wfl_slice_trim(out->value).len != out->value.len)
        return wrong(err, "the values of meta and tags have no space at their ends");
    return WFL_OK;
}

static wfl_code take_pairs(const json_t *value, bool tag, wfl_arena *arena,
                           const struct wfl_name_value **out, uint32_t *count, wfl_error *err)
{
    size_t                 n = json_object_size(value), bytes = 0, i = 0;
    struct wfl_name_value *pairs;
    const char            *name;
    json_t                *text;

    if (!json_is_object(value)) return wrong(err, "meta and tags are objects");
    if (n > (tag ? WFL_TAGS_MAX : WFL_PAIRS_MAX))
        return wfl_fail(err, WFL_INVALID_BATCH, "%zu %s are more than an object has", n,
                        tag ? "tags" : "metadata");
    pairs = wfl_arena_get(arena, (n + 1) * sizeof *pairs);
    if (pairs == NULL) return no_memory(err);
    json_object_foreach((json_t *)(uintptr_t)value, name, text)
    {
        wfl_code rc = take_pair(name, text, tag, &pairs[i], err);

        if (rc != WFL_OK) return rc;
        bytes += pairs[i].name.len + pairs[i].value.len;
        i++;
    }
    if (!tag && bytes > WFL_META_BYTES_MAX)
        return wfl_fail(err, WFL_INVALID_BATCH, "metadata of %zu bytes, at most %d are kept", bytes,
                        WFL_META_BYTES_MAX);
    qsort(pairs, n, sizeof *pairs, by_name);
    *out = pairs;
    *count = (uint32_t)n;
    return WFL_OK;
}

static wfl_code take_all_pairs(const struct op_text *text, wfl_arena *arena,
                               struct wfl_batch_op *op, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    op->has_meta = text->members[META] != NULL;
    op->has_tags = text->members[TAGS] != NULL;
    if (op->has_meta)
        rc = take_pairs(text->members[META], false, arena, &op->meta, &op->meta_count, err);
    if (rc == WFL_OK && op->has_tags)
        rc = take_pairs(text->members[TAGS], true, arena, &op->tags, &op->tag_count, err);
    if (rc == WFL_OK && op->meta_count + op->tag_count > WFL_PAIRS_MAX)
        return wfl_fail(err, WFL_INVALID_BATCH,
                        "an object has at most %d metadata and tags together", WFL_PAIRS_MAX);
    return rc;
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
        enum member m = 0;

        while (m < MEMBERS && strcmp(member_names[m], name) != 0)
            m++;
        if (m == MEMBERS)
            return wfl_fail(err, WFL_INVALID_BATCH, "the member '%.64s' is not known", name);
        out->members[m] = member;
        out->given |= BIT(m);
    }
    return WFL_OK;
}

static wfl_code judge_members(const struct op_text *text, bool names_bucket,
                              enum wfl_batch_kind *kind, wfl_error *err)
{
    const json_t *op = text->members[OP];
    unsigned      needs, takes;
    size_t        k = 0;

    if (!json_is_string(op)) return wrong(err, "op says what is done");
    while (k < WFL_COUNT(kinds) && !wfl_slice_eq(wfl_slice_str(kinds[k].name), text_of(op)))
        k++;
    if (k == WFL_COUNT(kinds)) return wrong(err, "op is put, delete, copy or check");
    *kind = (enum wfl_batch_kind)k;
    needs = kinds[k].needs | BIT(OP) | BIT(KEY) | (names_bucket ? BIT(BUCKET) : 0);
    takes = kinds[k].takes | needs;
    for (enum member m = 0; m < MEMBERS; m++) {
        if ((needs & ~text->given & BIT(m)) != 0)
            return wfl_fail(err, WFL_INVALID_BATCH, "a %s here needs the member %s", kinds[k].name,
                            member_names[m]);
        if ((text->given & ~takes & BIT(m)) != 0)
            return wfl_fail(err, WFL_INVALID_BATCH, "a %s here takes no member %s", kinds[k].name,
                            member_names[m]);
    }
    return WFL_OK;
}

static wfl_code take_op(const json_t *value, wfl_slice bucket, wfl_arena *arena,
                        struct wfl_batch_op *op, wfl_error *err)
{
    struct op_text text;
    wfl_code       rc = sort_members(value, &text, err);

    if (rc == WFL_OK) rc = judge_members(&text, bucket.len == 0, &op->kind, err);
    if (rc != WFL_OK) return rc;
    op->bucket = bucket;
    if (bucket.len == 0) rc = take_name(&text, BUCKET, &op->bucket, err);
    if (rc == WFL_OK) rc = take_name(&text, KEY, &op->key, err);
    if (rc == WFL_OK && text.members[IF] != NULL)
        rc = take_condition(text.members[IF], arena, &op->condition, err);
    if (rc == WFL_OK && op->kind == WFL_BATCH_COPY) rc = take_name(&text, FROM, &op->from, err);
    op->has_from_version = text.members[FROM_VERSION] != NULL;
    if (rc == WFL_OK && op->has_from_version)
        rc = take_version(text.members[FROM_VERSION], &op->from_version, err);
    if (rc == WFL_OK && op->kind == WFL_BATCH_PUT) rc = take_content(&text, arena, op, err);
    if (rc == WFL_OK) rc = take_content_type(text.members[CONTENT_TYPE], op, err);
    if (rc == WFL_OK) rc = take_all_pairs(&text, arena, op, err);
    return rc;
}

/* ---- the whole */

static wfl_code refuse_repeats(struct batch_doc *doc, wfl_error *err)
{
    uint32_t *order = wfl_arena_get(&doc->arena, doc->count * sizeof *order), i;

    if (order == NULL) return no_memory(err);
    i = wfl_batch_find_repeat(doc->ops, doc->count, order);
    if (i == doc->count) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BATCH, "op %" PRIu32 ": another op writes this key too", i);
}

static wfl_code take_ops(const json_t *list, wfl_slice bucket, struct batch_doc *out,
                         wfl_error *err)
{
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count == 0) return wrong(err, "ops is a list of at least one");
    if (count > WFL_BATCH_OPS_MAX)
        return wfl_fail(err, WFL_BATCH_TOO_LARGE, "%zu ops, a batch has at most %d", count,
                        WFL_BATCH_OPS_MAX);
    out->ops = wfl_arena_zero(&out->arena, count, sizeof *out->ops);
    if (out->ops == NULL) return no_memory(err);
    out->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        if (take_op(json_array_get(list, i), bucket, &out->arena, &out->ops[i], err) == WFL_OK)
            continue;
        return err->code == WFL_NOMEM ? err->code : wfl_wrap(err, "op %zu", i);
    }
    return refuse_repeats(out, err);
}

wfl_code batch_doc_parse(wfl_slice json, wfl_slice bucket, struct batch_doc *out, wfl_error *err)
{
    json_error_t  wrong_at = {0};
    const json_t *ops;
    wfl_code      rc;

    memset(out, 0, sizeof *out);
    /* Contents decoded, what is made of the marks, and what its blocks leave unused. */
    wfl_arena_init(&out->arena, &wfl_alloc_libc, 4 * WFL_BATCH_BYTES_MAX);
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
