/* SPDX-License-Identifier: Apache-2.0
 *
 * The question of a tag query, judged and put into bounds of the index, and the page that answers
 * it: records and contents of one view, copied into the query's arena. The record alone says
 * whether an object is alive and has a tag; the index only says where to look. Fails with
 * INVALID_QUERY for the question, CORRUPT_OBJECT for a record, a content or an index that does not
 * fit them, NOMEM. */
#include "store/query.h"

#include <stdlib.h>

#define PAGE_BYTES_MAX (8u << 20) /* of records; a page that passes it ends early */

/* ---- the question */

static bool value_fits(const struct wfl_tag_wanted *t)
{
    if (t->value.len > WFL_TAG_VALUE_MAX || !wfl_name_meta_value_valid(t->value)) return false;
    return t->beginning || t->value.len > 0;
}

static wfl_code check_tags(const struct wfl_tag_query *op, wfl_error *err)
{
    if (op->tag_count < 1 || op->tag_count > WFL_QUERY_TAGS_MAX)
        return wfl_fail(err, WFL_INVALID_QUERY, "a query has 1 to %d tags: tag.NAME=VALUE",
                        WFL_QUERY_TAGS_MAX);
    for (uint32_t i = 0; i < op->tag_count; i++) {
        const struct wfl_tag_wanted *t = &op->tags[i];

        if (!wfl_name_meta_valid(t->name))
            return wfl_fail(err, WFL_INVALID_QUERY,
                            "the name of a tag has 1 to %d of a-z 0-9 - and does not begin with -",
                            WFL_META_NAME_MAX);
        if (!value_fits(t))
            return wfl_fail(err, WFL_INVALID_QUERY,
                            "tag %.*s: a value has 1 to %d bytes of visible ASCII and space",
                            WFL_FMT(t->name), WFL_TAG_VALUE_MAX);
        for (uint32_t j = 0; j < i; j++)
            if (wfl_slice_eq(op->tags[j].name, t->name))
                return wfl_fail(err, WFL_INVALID_QUERY, "tag %.*s is given twice",
                                WFL_FMT(t->name));
    }
    return WFL_OK;
}

wfl_code wfl_tag_query_check(const struct wfl_tag_query *op, wfl_error *err)
{
    if (op->limit < 1 || op->limit > WFL_SCAN_LIMIT_MAX)
        return wfl_fail(err, WFL_INVALID_QUERY, "limit must be from 1 to %d", WFL_SCAN_LIMIT_MAX);
    if (op->prefix.len > WFL_KEY_MAX)
        return wfl_fail(err, WFL_INVALID_QUERY, "prefix has %d bytes at the most", WFL_KEY_MAX);
    return check_tags(op, err);
}

static int by_kind_and_name(const void *a, const void *b)
{
    const struct query_tag *x = a, *y = b;

    if (x->wanted.beginning != y->wanted.beginning) return x->wanted.beginning ? 1 : -1;
    return wfl_slice_cmp(x->wanted.name, y->wanted.name);
}

/* What shapes the answer, whatever the order in which it was asked. */
static void hash_question(const struct query *q, uint8_t out[16])
{
    static const uint8_t kinds[2] = {0, 1};
    uint8_t              id[WFL_ID_LEN];
    wfl_slice            parts[3 + 3 * WFL_QUERY_TAGS_MAX];
    size_t               n = 0;

    parts[n++] = WFL_S("query");
    parts[n++] = wfl_key_bucket(q->id, id);
    parts[n++] = q->op->prefix;
    for (uint32_t i = 0; i < q->count; i++) {
        const struct wfl_tag_wanted *t = &q->tags[i].wanted;

        parts[n++] = t->name;
        parts[n++] = t->value;
        parts[n++] = wfl_slice_of(&kinds[t->beginning], 1);
    }
    wfl_cursor_question_of(parts, n, out);
}

static wfl_code read_cursor(struct query *q, wfl_ulid now)
{
    uint8_t question[16];

    hash_question(q, question);
    if (q->op->cursor.len == 0)
        q->here = (struct wfl_cursor){.at = now};
    else if (!wfl_cursor_parse(q->op->cursor, q->scratch, &q->here))
        return wfl_fail(&q->op->err, WFL_INVALID_QUERY, "cursor is damaged");
    else if (memcmp(question, q->here.question, sizeof question) != 0 || q->here.folded)
        return wfl_fail(&q->op->err, WFL_INVALID_QUERY, "cursor is of another listing");
    memcpy(q->here.question, question, sizeof question);
    q->op->at = q->here.at;
    return WFL_OK;
}

/* Behind the cursor, and never below the prefix, whatever someone made up. */
static void set_start(struct query *q)
{
    query_key_set(&q->start, q->op->prefix);
    if (wfl_slice_cmp(q->here.last, q->op->prefix) < 0 || q->here.last.len == 0) return;
    query_key_set(&q->start, q->here.last);
    q->start.bytes[q->start.len++] = 0;
}

/* An equality's rows are (value, key), so the prefix of keys bounds them; a beginning's are in the
 * order of values first, and all of them may be of use. */
static void set_bounds(struct query *q, struct query_tag *t)
{
    const struct wfl_tag_wanted *w = &t->wanted;

    t->head_len = wfl_key_tag(q->id, w->name, w->value, (wfl_slice){0}, t->from).len;
    if (w->beginning) t->from_len = t->head_len - 1; /* without the 0 that ends a value */
    memcpy(t->to, t->from, t->head_len);
    t->to_len = w->beginning ? t->from_len : t->head_len;
    if (!w->beginning && q->op->prefix.len > 0) {
        memcpy(t->to + t->to_len, q->op->prefix.data, q->op->prefix.len);
        t->to_len += q->op->prefix.len;
    }
    t->to_len = wfl_key_after_prefix(t->to, t->to_len);
}

wfl_code query_prepare(struct query *q, wfl_ulid now)
{
    struct wfl_tag_query *op = q->op;
    wfl_code              rc = wfl_tag_query_check(op, &op->err);

    if (rc != WFL_OK) return rc;
    q->count = op->tag_count;
    for (uint32_t i = 0; i < q->count; i++) {
        q->tags[i].wanted = op->tags[i];
        q->equal_count += !op->tags[i].beginning;
    }
    qsort(q->tags, q->count, sizeof q->tags[0], by_kind_and_name);
    rc = read_cursor(q, now);
    if (rc != WFL_OK) return rc;
    set_start(q);
    q->target = q->start;
    for (uint32_t i = 0; i < q->count; i++)
        set_bounds(q, &q->tags[i]);
    memcpy(q->to, wfl_key_bucket(q->id, q->to).data, WFL_ID_LEN);
    q->to_len = wfl_key_after_prefix(q->to, WFL_ID_LEN);
    return WFL_OK;
}

/* ---- the moment */

wfl_code query_open(struct query *q)
{
    wfl_error *err = &q->op->err;
    wfl_slice  to = wfl_slice_of(q->to, q->to_len);
    wfl_code   rc = wfl_view_open(q->store->engine, &q->view, err);

    if (rc == WFL_OK) rc = wfl_view_iter(q->view, WFL_SPACE_OBJECTS, to, &q->objects, err);
    if (rc == WFL_OK && q->op->with_value)
        rc = wfl_view_iter(q->view, WFL_SPACE_VALUES, to, &q->values, err);
    for (uint32_t i = 0; i < q->count && rc == WFL_OK; i++) {
        struct query_tag *t = &q->tags[i];

        rc = wfl_view_iter(q->view, WFL_SPACE_TAGS, wfl_slice_of(t->to, t->to_len), &t->it, err);
    }
    if (rc != WFL_OK) return rc;
    q->op->items = wfl_arena_get(&q->arena, q->op->limit * sizeof *q->op->items);
    return q->op->items == NULL ? wfl_fail(err, WFL_NOMEM, "no memory for a page") : WFL_OK;
}

void query_close(struct query *q)
{
    for (uint32_t i = 0; i < q->count; i++) {
        wfl_iter_close(q->tags[i].it);
        q->tags[i].it = NULL;
    }
    wfl_iter_close(q->objects);
    wfl_iter_close(q->values);
    wfl_view_close(q->view);
    q->objects = q->values = NULL;
    q->view = NULL;
}

/* ---- one object */

/* Put `it` on exactly this row. OK, NOT_FOUND, CORRUPT_OBJECT, IO. */
static wfl_code seek_row(struct wfl_iter *it, wfl_slice row, wfl_error *err)
{
    wfl_code rc;

    wfl_iter_seek(it, row);
    if (wfl_iter_valid(it)) return wfl_slice_eq(wfl_iter_key(it), row) ? WFL_OK : WFL_NOT_FOUND;
    rc = wfl_iter_status(it, err);
    return rc == WFL_OK ? WFL_NOT_FOUND : rc;
}

static bool has_tag(const struct wfl_record_pairs *tags, const struct wfl_tag_wanted *wanted)
{
    for (uint32_t i = 0; i < tags->count; i++) {
        struct wfl_record_bytes name, value;

        tags->at(tags->ctx, i, &name, &value);
        if (!wfl_slice_eq(wfl_from_record(name), wanted->name)) continue;
        return wanted->beginning ? wfl_slice_starts_with(wfl_from_record(value), wanted->value)
                                 : wfl_slice_eq(wfl_from_record(value), wanted->value);
    }
    return false;
}

wfl_code query_look(struct query *q, wfl_slice key, bool *wanted)
{
    struct wfl_record_object record;
    wfl_ulid                 version;
    uint8_t                  space[WFL_OBJECT_KEY_MAX];
    wfl_error               *err = &q->op->err;
    wfl_code                 rc = seek_row(q->objects, wfl_key_object(q->id, key, space), err);

    if (rc == WFL_NOT_FOUND)
        return wfl_fail(err, WFL_CORRUPT_OBJECT,
                        "the tags' index has key %.*s and no object is there", WFL_FMT(key));
    if (rc == WFL_OK) rc = wfl_record_load(wfl_iter_value(q->objects), key, &record, err);
    if (rc != WFL_OK) return rc;
    memcpy(version.bytes, record.version, sizeof version.bytes);
    *wanted = !wfl_expired(&q->settings, &version, q->now_ms);
    for (uint32_t i = 0; i < q->count && *wanted; i++)
        *wanted = has_tag(&record.tags, &q->tags[i].wanted);
    return WFL_OK;
}

/* ---- the page */

static wfl_code no_memory(struct query *q)
{
    return wfl_fail(&q->op->err, WFL_NOMEM, "no memory for a page");
}

static wfl_code take_value(struct query *q, const struct wfl_record_object *record,
                           struct wfl_scan_item *item)
{
    uint8_t    space[WFL_VALUE_KEY_LEN];
    wfl_error *err = &q->op->err;
    wfl_code   rc;

    if (record->storage == WFL_RECORD_INLINE) {
        item->value = wfl_from_record(record->value);
        item->has_value = true;
    } else if (record->storage == WFL_RECORD_VALUES) {
        rc = seek_row(q->values, wfl_key_value(q->id, &item->object.version, space), err);
        if (rc != WFL_OK && rc != WFL_NOT_FOUND) return rc;
        if (rc == WFL_NOT_FOUND || wfl_iter_value(q->values).len != item->object.size)
            return wfl_fail(err, WFL_CORRUPT_OBJECT,
                            "key %.*s: its content is missing or of another length",
                            WFL_FMT(item->key));
        if (!wfl_arena_copy(&q->arena, wfl_iter_value(q->values), &item->value))
            return no_memory(q);
        item->has_value = true;
    }
    q->value_bytes += item->value.len;
    return WFL_OK;
}

static bool page_is_full(const struct query *q)
{
    return q->op->item_count == q->op->limit || q->record_bytes > PAGE_BYTES_MAX ||
           q->value_bytes > WFL_SCAN_PAGE_VALUE_BYTES_MAX;
}

wfl_code query_take(struct query *q, wfl_slice key)
{
    struct wfl_tag_query    *op = q->op;
    struct wfl_scan_item    *item = &op->items[op->item_count];
    struct wfl_record_object record;
    struct wfl_name_value   *pairs = NULL;
    wfl_slice                bytes;
    wfl_code                 rc;

    if (page_is_full(q)) {
        q->more = true;
        return WFL_OK;
    }
    *item = (struct wfl_scan_item){0};
    if (!wfl_arena_copy(&q->arena, wfl_iter_value(q->objects), &bytes) ||
        !wfl_arena_copy(&q->arena, key, &item->key))
        return no_memory(q);
    rc = wfl_record_load(bytes, item->key, &record, &op->err);
    if (rc != WFL_OK) return rc;
    size_t count =
        (op->with_meta ? record.meta.count : 0) + (op->with_tags ? record.tags.count : 0);
    if (count > 0 && (pairs = wfl_arena_zero(&q->arena, count, sizeof *pairs)) == NULL)
        return no_memory(q);
    wfl_record_show(&record, op->with_meta, op->with_tags, pairs, &item->object);
    if (op->with_value) rc = take_value(q, &record, item);
    if (rc != WFL_OK) return rc;
    q->record_bytes += bytes.len;
    op->item_count++;
    return WFL_OK;
}

void query_forget_page(struct query *q)
{
    q->op->item_count = 0;
    q->record_bytes = q->value_bytes = 0;
    q->more = false;
}

wfl_code query_finish_page(struct query *q)
{
    char *text;

    if (!q->more) return WFL_OK;
    q->here.last = q->op->items[q->op->item_count - 1].key;
    text = wfl_arena_get(&q->arena, WFL_CURSOR_TEXT_MAX);
    if (text == NULL) return no_memory(q);
    q->op->next = wfl_slice_of(text, wfl_cursor_write(&q->here, text));
    return WFL_OK;
}
