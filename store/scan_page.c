/* SPDX-License-Identifier: Apache-2.0
 *
 * What a page of a listing is: from the question and the cursor to the engine's range, from its
 * pairs to items and prefixes, and from the last of them to the next cursor.
 *
 * The bounds turn with the direction: `after` and the cursor move the end where the listing begins,
 * `end` moves the other one. A cursor on a folded prefix passes the whole group, so that no page
 * lists it again. Fails with INVALID_QUERY for the question, CORRUPT_OBJECT for a record, NOMEM. */
#include "store/scan.h"

#define ROUNDS_MAX 16 /* of reading on, where every key of a page went meanwhile */

static wfl_slice key_slice(const struct scan_key *k)
{
    return wfl_slice_of(k->data, k->len);
}

static void set_key(struct scan_key *k, uint32_t id, wfl_slice key)
{
    k->len = wfl_key_object(id, key, k->data).len;
}

/* The smallest key above `key`. */
static void set_key_above(struct scan_key *k, uint32_t id, wfl_slice key)
{
    set_key(k, id, key);
    k->data[k->len++] = 0;
}

static void set_key_after_prefix(struct scan_key *k, uint32_t id, wfl_slice prefix)
{
    set_key(k, id, prefix);
    k->len = wfl_key_after_prefix(k->data, k->len);
}

static void raise_from(struct scan *s, const struct scan_key *bound)
{
    if (bound->len == 0)
        s->to = s->from; /* above every key: nothing is left */
    else if (wfl_slice_cmp(key_slice(bound), key_slice(&s->from)) > 0)
        s->from = *bound;
}

static void lower_to(struct scan *s, const struct scan_key *bound)
{
    if (s->to.len == 0 || wfl_slice_cmp(key_slice(bound), key_slice(&s->to)) < 0) s->to = *bound;
}

static void start_beyond(struct scan *s, wfl_slice key, bool folded)
{
    struct scan_key bound;

    if (key.len == 0) return;
    if (s->op->reverse) {
        set_key(&bound, s->id, key); /* below a prefix is below all of its group */
        lower_to(s, &bound);
    } else {
        if (folded)
            set_key_after_prefix(&bound, s->id, key);
        else
            set_key_above(&bound, s->id, key);
        raise_from(s, &bound);
    }
}

static void stop_at_end(struct scan *s)
{
    struct scan_key bound;

    if (s->op->end.len == 0) return;
    if (s->op->reverse) {
        set_key_above(&bound, s->id, s->op->end);
        raise_from(s, &bound);
    } else {
        set_key(&bound, s->id, s->op->end);
        lower_to(s, &bound);
    }
}

bool scan_set_bounds(struct scan *s)
{
    set_key(&s->from, s->id, s->op->prefix);
    set_key_after_prefix(&s->to, s->id, s->op->prefix);
    start_beyond(s, s->op->after, false);
    start_beyond(s, s->here.last, s->here.folded);
    stop_at_end(s);
    return s->to.len == 0 || wfl_slice_cmp(key_slice(&s->from), key_slice(&s->to)) < 0;
}

wfl_code scan_prepare(struct scan *s, wfl_ulid now)
{
    struct wfl_scan *op = s->op;
    uint8_t          question[16];

    if (op->limit < 1 || op->limit > WFL_SCAN_LIMIT_MAX)
        return wfl_fail(&op->err, WFL_INVALID_QUERY, "limit must be from 1 to %d",
                        WFL_SCAN_LIMIT_MAX);
    if (op->prefix.len > WFL_KEY_MAX || op->after.len > WFL_KEY_MAX || op->end.len > WFL_KEY_MAX)
        return wfl_fail(&op->err, WFL_INVALID_QUERY,
                        "prefix, after and end have %d bytes at the most", WFL_KEY_MAX);
    if (wfl_utf8_first(op->delimiter) != op->delimiter.len)
        return wfl_fail(&op->err, WFL_INVALID_QUERY, "delimiter must be one character");
    wfl_cursor_question(op, s->id, question);
    if (op->cursor.len == 0) {
        s->here = (struct wfl_cursor){.at = now};
    } else if (!wfl_cursor_parse(op->cursor, s->scratch, &s->here)) {
        return wfl_fail(&op->err, WFL_INVALID_QUERY, "cursor is damaged");
    } else if (memcmp(question, s->here.question, sizeof question) != 0) {
        return wfl_fail(&op->err, WFL_INVALID_QUERY, "cursor is of another listing");
    }
    memcpy(s->here.question, question, sizeof question);
    op->at = s->here.at;
    return WFL_OK;
}

/* ---- from pairs to items */

wfl_code scan_take_record(struct scan *s, wfl_slice bytes, wfl_slice key)
{
    struct wfl_scan         *op = s->op;
    struct wfl_scan_item    *item = &op->items[s->at];
    struct wfl_record_object record;
    struct wfl_name_value   *pairs = NULL;
    wfl_code                 rc = wfl_record_load(bytes, key, &record, &op->err);

    if (rc != WFL_OK) return rc;
    size_t count =
        (op->with_meta ? record.meta.count : 0) + (op->with_tags ? record.tags.count : 0);
    if (count > 0) {
        pairs = wfl_arena_zero(&s->arena, count, sizeof *pairs);
        if (pairs == NULL) return wfl_fail(&op->err, WFL_NOMEM, "no memory for metadata");
    }
    *item = (struct wfl_scan_item){.key = key};
    wfl_record_show(&record, op->with_meta, op->with_tags, pairs, &item->object);
    s->slots[s->at].in_values = record.storage == WFL_RECORD_VALUES;
    s->slots[s->at].gone = wfl_expired(&s->settings, &item->object.version, s->now_ms);
    if (op->with_value && record.storage == WFL_RECORD_INLINE) {
        item->has_value = true;
        item->value = wfl_from_record(record.value);
    }
    return WFL_OK;
}

wfl_code scan_take_page(struct scan *s)
{
    struct wfl_scan *op = s->op;
    uint32_t         count = s->range.count;

    op->item_count = op->prefix_count = s->slot_count = 0;
    op->items = wfl_arena_zero(&s->arena, count, sizeof *op->items);
    op->prefixes = wfl_arena_zero(&s->arena, count, sizeof *op->prefixes);
    s->slots = wfl_arena_zero(&s->arena, count, sizeof *s->slots);
    if (op->items == NULL || op->prefixes == NULL || s->slots == NULL)
        return wfl_fail(&op->err, WFL_NOMEM, "no memory for a page of %lu", (unsigned long)count);
    for (uint32_t i = 0; i < count; i++) {
        const struct wfl_pair *pair = &s->range.pairs[i];
        if (pair->folded) {
            op->prefixes[op->prefix_count++] = wfl_key_of_object(pair->key);
            continue;
        }
        s->at = op->item_count;
        s->slots[s->at].pair = i;
        wfl_code rc = scan_take_record(s, pair->value, wfl_key_of_object(pair->key));
        if (rc != WFL_OK) return rc;
        op->item_count = s->slot_count = s->at + 1;
    }
    s->at = 0;
    return WFL_OK;
}

void scan_count_value(struct scan *s, size_t len)
{
    s->value_bytes += len;
    s->cut = s->value_bytes > WFL_SCAN_PAGE_VALUE_BYTES_MAX;
}

/* ---- the end of a page */

static void drop_gone(struct scan *s)
{
    struct wfl_scan *op = s->op;
    uint32_t         kept = 0;

    for (uint32_t i = 0; i < op->item_count; i++)
        if (!s->slots[i].gone) op->items[kept++] = op->items[i];
    op->item_count = kept;
}

/* The index of the page's last pair, and nothing of what lies beyond it. */
static uint32_t cut_off(struct scan *s)
{
    struct wfl_scan *op = s->op;
    uint32_t         last = s->slots[s->at].pair, folded = 0;

    op->item_count = s->at + 1;
    for (uint32_t i = 0; i <= last; i++)
        folded += s->range.pairs[i].folded;
    op->prefix_count = folded; /* they are in the order of the pairs */
    return last;
}

wfl_code scan_write_cursor(struct scan *s)
{
    char  *text = wfl_arena_get(&s->arena, WFL_CURSOR_TEXT_MAX);
    size_t len;

    if (text == NULL) return wfl_fail(&s->op->err, WFL_NOMEM, "no memory for a cursor");
    len = wfl_cursor_write(&s->here, text);
    s->op->next = wfl_slice_of(text, len);
    return WFL_OK;
}

wfl_code scan_finish_page(struct scan *s, bool *again)
{
    struct wfl_scan *op = s->op;
    uint32_t         last = s->range.count - 1;
    bool             more = s->range.more;

    *again = false;
    if (s->range.count == 0) return WFL_OK;
    if (s->cut) {
        last = cut_off(s);
        more = more || last + 1 < s->range.count;
    }
    drop_gone(s);
    if (!more) return WFL_OK;

    const struct wfl_pair *pair = &s->range.pairs[last];
    wfl_slice              key = wfl_key_of_object(pair->key);
    memcpy(s->scratch, key.data, key.len); /* the page, which it lies in, may be dropped */
    s->here.last = wfl_slice_of(s->scratch, key.len);
    s->here.folded = pair->folded;
    if (op->item_count + op->prefix_count == 0 && ++s->rounds < ROUNDS_MAX) {
        *again = true;
        return WFL_OK;
    }
    return scan_write_cursor(s);
}

void scan_drop_page(struct scan *s)
{
    for (uint32_t i = 0; i < s->slot_count; i++) {
        wfl_pin_release(&s->slots[i].header);
        wfl_pin_release(&s->slots[i].value);
    }
    s->slot_count = 0;
    wfl_engine_range_free(&s->range);
}
