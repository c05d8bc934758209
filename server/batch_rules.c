/* SPDX-License-Identifier: Apache-2.0
 *
 * See batch_rules.h. Members are judged by a table: one that is missing, or out of place, refuses
 * the whole. */
#include "server/batch_rules.h"

#include <inttypes.h>
#include <stdlib.h>

#include "server/headers.h"

#define BIT(member) BATCH_BIT(BATCH_##member)

const char *const batch_member_names[BATCH_MEMBERS] = {
    [BATCH_OP] = "op",
    [BATCH_BUCKET] = "bucket",
    [BATCH_KEY] = "key",
    [BATCH_IF] = "if",
    [BATCH_VALUE] = "value",
    [BATCH_BASE64] = "base64",
    [BATCH_CONTENT_TYPE] = "content_type",
    [BATCH_META] = "meta",
    [BATCH_TAGS] = "tags",
    [BATCH_FROM] = "from",
    [BATCH_FROM_VERSION] = "from_version",
};

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

static wfl_code wrong(wfl_error *err, const char *what)
{
    return wfl_fail(err, WFL_INVALID_BATCH, "%s", what);
}

static wfl_code no_memory(wfl_error *err)
{
    return wfl_fail(err, WFL_NOMEM, "a batch: out of memory");
}

bool batch_rules_kind(wfl_slice name, enum wfl_batch_kind *out)
{
    for (size_t k = 0; k < WFL_COUNT(kinds); k++) {
        if (!wfl_slice_eq(wfl_slice_str(kinds[k].name), name)) continue;
        *out = (enum wfl_batch_kind)k;
        return true;
    }
    return false;
}

wfl_code batch_rules_members(enum wfl_batch_kind kind, unsigned given, bool names_bucket,
                             wfl_error *err)
{
    unsigned needs = kinds[kind].needs | BIT(OP) | BIT(KEY) | (names_bucket ? BIT(BUCKET) : 0);
    unsigned takes = kinds[kind].takes | needs;

    for (enum batch_member m = 0; m < BATCH_MEMBERS; m++) {
        if ((needs & ~given & BATCH_BIT(m)) != 0)
            return wfl_fail(err, WFL_INVALID_BATCH, "a %s here needs the member %s",
                            kinds[kind].name, batch_member_names[m]);
        if ((given & ~takes & BATCH_BIT(m)) != 0)
            return wfl_fail(err, WFL_INVALID_BATCH, "a %s here takes no member %s",
                            kinds[kind].name, batch_member_names[m]);
    }
    return WFL_OK;
}

wfl_code batch_rules_name(enum batch_member member, wfl_slice name, wfl_error *err)
{
    if (member != BATCH_BUCKET) return wfl_name_check_key(name, err);
    if (wfl_name_bucket_valid(name)) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BUCKET, "that is no name of a bucket");
}

wfl_code batch_rules_content_type(wfl_slice type, wfl_error *err)
{
    if (headers_check_content_type(type, err) == WFL_OK) return WFL_OK;
    err->code = WFL_INVALID_BATCH;
    return err->code;
}

/* ---- metadata and tags */

wfl_code batch_rules_pair_room(size_t n, bool tag, wfl_arena *arena, struct wfl_name_value **out,
                               wfl_error *err)
{
    if (n > (tag ? WFL_TAGS_MAX : WFL_PAIRS_MAX))
        return wfl_fail(err, WFL_INVALID_BATCH, "%zu %s are more than an object has", n,
                        tag ? "tags" : "metadata");
    *out = wfl_arena_get(arena, (n + 1) * sizeof **out);
    return *out == NULL ? no_memory(err) : WFL_OK;
}

static wfl_code check_pair(const struct wfl_name_value *pair, bool tag, wfl_error *err)
{
    if (headers_check_pair(pair->name, pair->value, tag, err) != WFL_OK) {
        err->code = WFL_INVALID_BATCH;
        return err->code;
    }
    /* A header could not carry these, in either direction. */
    if (wfl_slice_trim(pair->value).len != pair->value.len)
        return wrong(err, "the values of meta and tags have no space at their ends");
    return WFL_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct wfl_name_value *x = a, *y = b;

    return wfl_slice_cmp(x->name, y->name);
}

wfl_code batch_rules_pairs(struct wfl_name_value *pairs, size_t n, bool tag, wfl_error *err)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n; i++) {
        wfl_code rc = check_pair(&pairs[i], tag, err);

        if (rc != WFL_OK) return rc;
        bytes += pairs[i].name.len + pairs[i].value.len;
    }
    if (!tag && bytes > WFL_META_BYTES_MAX)
        return wfl_fail(err, WFL_INVALID_BATCH, "metadata of %zu bytes, at most %d are kept", bytes,
                        WFL_META_BYTES_MAX);
    qsort(pairs, n, sizeof *pairs, by_name);
    for (size_t i = 1; i < n; i++)
        if (wfl_slice_eq(pairs[i - 1].name, pairs[i].name))
            return wfl_fail(err, WFL_INVALID_BATCH, "'%.*s' is there twice",
                            WFL_FMT(pairs[i].name));
    return WFL_OK;
}

wfl_code batch_rules_pair_sum(const struct wfl_batch_op *op, wfl_error *err)
{
    if (op->meta_count + op->tag_count <= WFL_PAIRS_MAX) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BATCH, "an object has at most %d metadata and tags together",
                    WFL_PAIRS_MAX);
}

/* ---- the whole */

wfl_code batch_rules_op_room(size_t n, struct batch_doc *doc, wfl_error *err)
{
    if (n == 0) return wrong(err, "ops is a list of at least one");
    if (n > WFL_BATCH_OPS_MAX)
        return wfl_fail(err, WFL_BATCH_TOO_LARGE, "%zu ops, a batch has at most %d", n,
                        WFL_BATCH_OPS_MAX);
    doc->ops = wfl_arena_zero(&doc->arena, n, sizeof *doc->ops);
    if (doc->ops == NULL) return no_memory(err);
    doc->count = (uint32_t)n;
    return WFL_OK;
}

wfl_code batch_rules_repeats(struct batch_doc *doc, wfl_error *err)
{
    uint32_t *order = wfl_arena_get(&doc->arena, doc->count * sizeof *order), i;

    if (order == NULL) return no_memory(err);
    i = wfl_batch_find_repeat(doc->ops, doc->count, order);
    if (i == doc->count) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_BATCH, "op %" PRIu32 ": another op writes this key too", i);
}
