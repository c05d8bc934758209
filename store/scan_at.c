/* SPDX-License-Identifier: Apache-2.0
 *
 * A listing of a bucket as it was at a moment: objects and history walked side by side, key by key,
 * on one view, and of each key's versions the newest that is not greater than the moment. A folded
 * group costs what it takes to find one live key in it, then one seek. Keys that were deleted since
 * lie in the history alone; keys that came since lie among the objects alone.
 *
 * Exact from the bucket's floor on, which is the view's: what was taken away since the caller
 * looked has raised it. Fails with CURSOR_EXPIRED below it, and with what a page may say. */
#include "store/history.h"
#include "store/scan.h"

struct side { /* one of the two spaces */
    struct wfl_iter *it;
    uint8_t          to[WFL_HISTORY_KEY_MAX + 1];
};

struct merge {
    struct scan     *s;
    struct wfl_view *view;
    struct side      objects, history;
    wfl_ulid         moment;
    uint8_t          key[WFL_KEY_MAX]; /* the one that is looked at */
    size_t           key_len;
    uint64_t         record_bytes;
    wfl_error       *err;
};

#define RECORD_BYTES_MAX (8u << 20) /* of a page */
#define STEPS_MAX        8          /* over versions of a key, before a seek is cheaper */

static wfl_slice at_key(const struct merge *m)
{
    return wfl_slice_of(m->key, m->key_len);
}

/* ---- the next key of either side */

/* The key that a side stands at; empty: at its end. */
static wfl_slice object_key(struct merge *m)
{
    if (!wfl_iter_valid(m->objects.it)) return (wfl_slice){0};
    wfl_slice key = wfl_iter_key(m->objects.it);
    if (wfl_slice_cmp(key, wfl_slice_of(m->s->from.data, m->s->from.len)) < 0)
        return (wfl_slice){0};
    return wfl_key_of_object(key);
}

static wfl_slice history_key(struct merge *m)
{
    wfl_slice key, row;
    wfl_ulid  version;

    if (!wfl_iter_valid(m->history.it)) return (wfl_slice){0};
    row = wfl_iter_key(m->history.it);
    if (!wfl_key_read_history(row, &key, &version)) return (wfl_slice){0};
    /* Compared as an object's key: the bound may be just above it. */
    if (wfl_slice_cmp(wfl_slice_of(row.data, WFL_ID_LEN + key.len),
                      wfl_slice_of(m->s->from.data, m->s->from.len)) < 0)
        return (wfl_slice){0};
    return key;
}

/* Into m->key. False: both sides have ended. */
static bool next_key(struct merge *m)
{
    wfl_slice o = object_key(m), h = history_key(m), key;

    if (o.len == 0 && h.len == 0) return false;
    if (o.len == 0 || h.len == 0)
        key = o.len == 0 ? h : o;
    else
        key = (wfl_slice_cmp(o, h) < 0) != m->s->op->reverse ? o : h;
    memcpy(m->key, key.data, key.len);
    m->key_len = key.len;
    return true;
}

static void move_both(struct merge *m, wfl_slice object_bound, wfl_slice history_bound)
{
    if (m->s->op->reverse) {
        wfl_iter_seek_last(m->objects.it, object_bound);
        wfl_iter_seek_last(m->history.it, history_bound);
    } else {
        wfl_iter_seek(m->objects.it, object_bound);
        wfl_iter_seek(m->history.it, history_bound);
    }
}

/* Past m->key on both sides. */
static void pass_key(struct merge *m)
{
    uint8_t   object[WFL_OBJECT_KEY_MAX + 1], history[WFL_HISTORY_KEY_MAX];
    wfl_slice o = wfl_key_object(m->s->id, at_key(m), object);
    wfl_slice h = wfl_key_history(m->s->id, at_key(m), NULL, history);

    if (!m->s->op->reverse) { /* both stand at the key or behind it */
        if (wfl_slice_eq(object_key(m), at_key(m))) wfl_iter_step(m->objects.it, false);
        for (int i = 0; wfl_slice_eq(history_key(m), at_key(m)); i++) {
            if (i < STEPS_MAX) {
                wfl_iter_step(m->history.it, false);
                continue;
            }
            history[h.len - 1] = 1; /* behind all versions of this one */
            wfl_iter_seek(m->history.it, h);
        }
        return;
    }
    /* Reverse: what is below. A seek to the key itself may land on it. */
    wfl_iter_seek_last(m->objects.it, o);
    if (wfl_iter_valid(m->objects.it) && wfl_slice_eq(wfl_iter_key(m->objects.it), o))
        wfl_iter_step(m->objects.it, true);
    wfl_iter_seek_last(m->history.it, h); /* nothing has exactly this key */
}

/* Past all that begins with the folded prefix. False: nothing can be behind it. */
static bool pass_group(struct merge *m, wfl_slice prefix)
{
    uint8_t bound[WFL_OBJECT_KEY_MAX];
    size_t  len = wfl_key_object(m->s->id, prefix, bound).len;

    if (m->s->op->reverse) {
        wfl_slice below = wfl_slice_of(bound, len);

        move_both(m, below, below);
        if (wfl_iter_valid(m->objects.it) && wfl_slice_eq(wfl_iter_key(m->objects.it), below))
            wfl_iter_step(m->objects.it, true);
        return true;
    }
    len = wfl_key_after_prefix(bound, len);
    if (len == 0) return false;
    move_both(m, wfl_slice_of(bound, len), wfl_slice_of(bound, len));
    return true;
}

/* ---- what was there */

/* The record of m->key at the moment, copied into the page's arena; empty: there was none. Where
 * the iterators stand afterwards does not matter: the key is passed next. */
static wfl_code find_record(struct merge *m, wfl_slice *out)
{
    struct wfl_record_object record;
    uint8_t                  space[WFL_HISTORY_KEY_MAX];
    wfl_slice                key = at_key(m), row, of_row, bytes = {0};
    wfl_ulid                 version;
    wfl_code                 rc;

    *out = (wfl_slice){0};
    if (wfl_slice_eq(object_key(m), key)) {
        rc = wfl_record_load(wfl_iter_value(m->objects.it), key, &record, m->err);
        if (rc != WFL_OK) return rc;
        if (memcmp(record.version, m->moment.bytes, sizeof m->moment.bytes) <= 0)
            bytes = wfl_iter_value(m->objects.it);
    }
    if (bytes.len == 0) {
        row = wfl_key_history(m->s->id, key, &m->moment, space);
        wfl_iter_seek(m->history.it, row);
        if (!wfl_iter_valid(m->history.it)) return wfl_iter_status(m->history.it, m->err);
        if (!wfl_key_read_history(wfl_iter_key(m->history.it), &of_row, &version) ||
            !wfl_slice_eq(of_row, key))
            return WFL_OK;
        bytes = wfl_iter_value(m->history.it);
        rc = wfl_record_load(bytes, key, &record, m->err);
        if (rc != WFL_OK) return rc;
        if (record.storage == WFL_RECORD_TOMBSTONE) return WFL_OK;
    }
    memcpy(version.bytes, record.version, sizeof version.bytes);
    if (wfl_expired(&m->s->settings, &version, m->s->now_ms)) return WFL_OK;
    if (!wfl_arena_copy(&m->s->arena, bytes, out))
        return wfl_fail(m->err, WFL_NOMEM, "no memory for a page");
    m->record_bytes += bytes.len;
    return WFL_OK;
}

static size_t folded_length(const struct merge *m)
{
    const struct wfl_scan *op = m->s->op;
    const uint8_t         *hit;

    if (op->delimiter.len == 0 || m->key_len <= op->prefix.len) return 0;
    hit = memmem(m->key + op->prefix.len, m->key_len - op->prefix.len, op->delimiter.data,
                 op->delimiter.len);
    return hit == NULL ? 0 : (size_t)(hit - m->key) + op->delimiter.len;
}

static wfl_code add_item(struct merge *m, wfl_slice record)
{
    struct scan          *s = m->s;
    struct wfl_scan      *op = s->op;
    struct wfl_scan_item *item = &op->items[op->item_count];
    uint8_t               value_key[WFL_VALUE_KEY_LEN];
    wfl_slice             key;
    wfl_code              rc;

    if (!wfl_arena_copy(&s->arena, at_key(m), &key))
        return wfl_fail(m->err, WFL_NOMEM, "no memory for a page");
    s->at = op->item_count;
    rc = scan_take_record(s, record, key);
    if (rc != WFL_OK) return rc;
    s->slots[s->at].gone = false;
    s->slot_count = ++op->item_count;
    if (!op->with_value || item->object.size > WFL_SCAN_VALUE_BYTES_MAX) return WFL_OK;
    if (!item->has_value && s->slots[s->at].in_values) {
        struct wfl_pin *pin = &s->slots[s->at].value;

        rc = wfl_engine_read(s->store->engine, WFL_SPACE_VALUES,
                             wfl_key_value(s->id, &item->object.version, value_key), pin, m->err);
        if (rc == WFL_NOT_FOUND) { /* pruned since the view: the item is shown without it */
            return WFL_OK;
        }
        if (rc != WFL_OK) return rc;
        item->has_value = true;
        item->value = pin->value;
    }
    scan_count_value(s, item->value.len);
    return WFL_OK;
}

static wfl_code add_prefix(struct merge *m, size_t len)
{
    struct wfl_scan *op = m->s->op;

    if (!wfl_arena_copy(&m->s->arena, wfl_slice_of(m->key, len), &op->prefixes[op->prefix_count]))
        return wfl_fail(m->err, WFL_NOMEM, "no memory for a page");
    op->prefix_count++;
    return WFL_OK;
}

static bool is_full(const struct merge *m)
{
    const struct wfl_scan *op = m->s->op;

    return op->item_count + op->prefix_count == op->limit || m->s->cut ||
           m->record_bytes > RECORD_BYTES_MAX;
}

/* ---- the page */

static wfl_code walk(struct merge *m, bool *more)
{
    struct scan *s = m->s;
    bool         go_on = true;

    *more = false;
    while (go_on && next_key(m)) {
        size_t    folded = folded_length(m);
        wfl_slice record;
        wfl_code  rc = find_record(m, &record);

        if (rc != WFL_OK) return rc;
        if (record.len == 0) {
            pass_key(m);
            continue;
        }
        if (is_full(m)) {
            *more = true;
            return WFL_OK;
        }
        rc = folded > 0 ? add_prefix(m, folded) : add_item(m, record);
        if (rc != WFL_OK) return rc;
        memcpy(s->scratch, m->key, folded > 0 ? folded : m->key_len);
        s->here.last = wfl_slice_of(s->scratch, folded > 0 ? folded : m->key_len);
        s->here.folded = folded > 0;
        if (folded > 0)
            go_on = pass_group(m, s->here.last);
        else
            pass_key(m);
    }
    return WFL_OK;
}

static wfl_code open_side(struct merge *m, struct side *side, enum wfl_space space)
{
    const struct scan_key *to = &m->s->to;

    memcpy(side->to, to->data, to->len);
    return wfl_view_iter(m->view, space, wfl_slice_of(side->to, to->len), &side->it, m->err);
}

static void begin(struct merge *m)
{
    struct scan_key from = m->s->from;
    wfl_slice       to = wfl_slice_of(m->s->to.data, m->s->to.len);

    if (m->s->op->reverse) {
        move_both(m, to, to);
        return;
    }
    wfl_iter_seek(m->objects.it, wfl_slice_of(from.data, from.len));
    /* A bound just above a key ends with a 0, which its versions have behind it too. */
    if (from.data[from.len - 1] == 0 && from.len > WFL_ID_LEN) from.data[from.len - 1] = 1;
    wfl_iter_seek(m->history.it, wfl_slice_of(from.data, from.len));
}

wfl_code scan_at_moment(struct scan *s, const wfl_ulid *moment)
{
    struct wfl_scan *op = s->op;
    struct merge     m = {.s = s, .moment = *moment, .err = &op->err};
    bool             more = false;
    wfl_ulid         floor;
    wfl_code         rc;

    op->item_count = op->prefix_count = s->slot_count = 0;
    op->items = wfl_arena_zero(&s->arena, op->limit, sizeof *op->items);
    op->prefixes = wfl_arena_zero(&s->arena, op->limit, sizeof *op->prefixes);
    s->slots = wfl_arena_zero(&s->arena, op->limit, sizeof *s->slots);
    if (op->items == NULL || op->prefixes == NULL || s->slots == NULL)
        return wfl_fail(&op->err, WFL_NOMEM, "no memory for a page");
    rc = wfl_view_open(s->store->engine, &m.view, &op->err);
    if (rc == WFL_OK) rc = wfl_view_floor(m.view, s->id, &floor, &op->err);
    if (rc == WFL_OK && wfl_ulid_cmp(moment, &floor) < 0)
        rc = wfl_fail(&op->err, WFL_CURSOR_EXPIRED, "what the bucket held then is no longer kept");
    if (rc == WFL_OK) rc = open_side(&m, &m.objects, WFL_SPACE_OBJECTS);
    if (rc == WFL_OK) rc = open_side(&m, &m.history, WFL_SPACE_HISTORY);
    if (rc == WFL_OK) {
        begin(&m);
        rc = walk(&m, &more);
    }
    if (rc == WFL_OK) rc = wfl_iter_status(m.objects.it, &op->err);
    if (rc == WFL_OK) rc = wfl_iter_status(m.history.it, &op->err);
    wfl_iter_close(m.history.it);
    wfl_iter_close(m.objects.it);
    wfl_view_close(m.view);
    return rc == WFL_OK && more ? scan_write_cursor(s) : rc;
}
