/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing a bucket, a page at a time. One range of the engine gives the page's records, all of one
 * moment; where contents are wanted, those that do not lie in their records are read one after the
 * other, each answer leading to the next step. Everything handed out points into pinned memory of
 * the engine or into the page's arena.
 *
 * While contents are read, writers go on. A content that is gone was replaced or deleted: its
 * record is read again, and the item becomes the newer version or goes with its key. A page that
 * lost all its items that way is followed by the next one at once, so that a page without entries
 * is not taken for the end. Fails with what struct wfl_scan says; then it lists nothing. */
#include "store/scan.h"

#define ATTEMPTS_MAX    8           /* at one item, as for a read of an object */
#define PAGE_BYTES_MAX  (8u << 20)  /* of records; a page that passes it ends early */
#define ARENA_BYTES_MAX (64u << 20) /* items and their names: about as many bytes as records */

static wfl_slice item_key(const struct scan *s)
{
    return s->op->items[s->at].key;
}

static wfl_code start_range(struct scan *s)
{
    struct wfl_scan *op = s->op;

    s->step = SCAN_RANGE;
    s->range.from = wfl_slice_of(s->from.data, s->from.len);
    s->range.to = wfl_slice_of(s->to.data, s->to.len);
    s->range.fold_offset = WFL_ID_LEN + op->prefix.len;
    s->range.fold_delimiter = op->delimiter;
    s->range.reverse = op->reverse;
    s->range.limit = op->limit;
    s->range.bytes_max = PAGE_BYTES_MAX;
    return wfl_engine_range(s->store->engine, &s->range);
}

static wfl_code start_value(struct scan *s)
{
    s->step = SCAN_VALUE;
    s->get.space = WFL_SPACE_VALUES;
    s->get.key = wfl_key_value(s->id, &s->op->items[s->at].object.version, s->value_key);
    return wfl_engine_get(s->store->engine, &s->get);
}

static wfl_code start_header(struct scan *s)
{
    if (++s->attempts == ATTEMPTS_MAX)
        return wfl_fail(&s->op->err, WFL_OVERLOADED, "key %.*s is replaced faster than it is read",
                        WFL_FMT(item_key(s)));
    s->step = SCAN_HEADER;
    s->get.space = WFL_SPACE_OBJECTS;
    s->get.key = s->range.pairs[s->slots[s->at].pair].key;
    return wfl_engine_get(s->store->engine, &s->get);
}

/* The next content that has to be read, or the page's end: then `*finished` with the page's code.
 */
static wfl_code advance(struct scan *s, bool *finished)
{
    struct wfl_scan *op = s->op;
    bool             again = false;
    wfl_code         rc;

    for (; op->with_value && s->at < op->item_count; s->at++, s->attempts = 0) {
        const struct wfl_scan_item *item = &op->items[s->at];
        const struct scan_slot     *slot = &s->slots[s->at];
        if (slot->gone || item->object.size > WFL_SCAN_VALUE_BYTES_MAX) continue;
        if (!item->has_value && slot->in_values) return start_value(s);
        scan_count_value(s, item->value.len);
        if (s->cut) break;
    }
    *finished = true;
    rc = scan_finish_page(s, &again);
    if (rc != WFL_OK || !again) return rc;

    scan_drop_page(s);
    s->at = 0;
    if (!scan_set_bounds(s)) return WFL_OK;
    *finished = false;
    return start_range(s);
}

/* ---- what the engine's answers mean */

static wfl_code take_value(struct scan *s)
{
    struct wfl_scan_item *item = &s->op->items[s->at];
    struct scan_slot     *slot = &s->slots[s->at];

    slot->value = s->get.pin;
    if (slot->value.value.len != item->object.size)
        return wfl_fail(&s->op->err, WFL_CORRUPT_OBJECT, "key %.*s: content of %zu bytes, not %llu",
                        WFL_FMT(item->key), slot->value.value.len,
                        (unsigned long long)item->object.size);
    item->has_value = true;
    item->value = slot->value.value;
    return WFL_OK; /* counted by advance, which comes by again */
}

static wfl_code take_header(struct scan *s)
{
    struct scan_slot *slot = &s->slots[s->at];
    wfl_slice         key = item_key(s);
    wfl_ulid          before = s->op->items[s->at].object.version;
    wfl_code          rc;

    wfl_pin_release(&slot->header);
    slot->header = s->get.pin;
    rc = scan_take_record(s, slot->header.value, key);
    if (rc != WFL_OK) return rc;
    if (slot->in_values && wfl_ulid_cmp(&before, &s->op->items[s->at].object.version) == 0)
        return wfl_fail(&s->op->err, WFL_CORRUPT_OBJECT, "key %.*s: its content is missing",
                        WFL_FMT(key));
    return WFL_OK;
}

/* Go on from the engine's answer `rc` to the step under way, as far as memory leads. */
static wfl_code run(struct scan *s, wfl_code rc)
{
    bool finished = false;

    while (rc != WFL_PENDING) {
        if (rc == WFL_NOT_FOUND && s->step == SCAN_VALUE) {
            rc = start_header(s);
            if (s->attempts == ATTEMPTS_MAX) return rc;
            continue;
        }
        if (rc == WFL_NOT_FOUND && s->step == SCAN_HEADER) {
            s->slots[s->at].gone = true;
        } else if (rc != WFL_OK) {
            s->op->err = s->step == SCAN_RANGE ? s->range.err : s->get.err;
            return rc;
        } else {
            if (s->step == SCAN_RANGE)
                rc = scan_take_page(s);
            else if (s->step == SCAN_VALUE)
                rc = take_value(s);
            else
                rc = take_header(s);
            if (rc != WFL_OK) return rc;
        }
        rc = advance(s, &finished);
        if (finished) return rc;
    }
    return rc;
}

static wfl_code finish(struct wfl_scan *op, wfl_code rc)
{
    op->rc = rc;
    if (rc != WFL_OK) {
        op->items = NULL;
        op->prefixes = NULL;
        op->item_count = op->prefix_count = 0;
        op->next = (wfl_slice){0};
    }
    return rc;
}

static void range_done(struct wfl_engine_range *range)
{
    struct scan     *s = range->arg;
    struct wfl_scan *op = s->op;
    wfl_code         rc = run(s, range->rc);

    if (rc == WFL_PENDING) return; /* it may be done and gone */
    (void)finish(op, rc);
    op->done(op);
}

static void get_done(struct wfl_engine_get *get)
{
    struct scan     *s = get->arg;
    struct wfl_scan *op = s->op;
    wfl_code         rc = run(s, get->rc);

    if (rc == WFL_PENDING) return; /* it may be done and gone */
    (void)finish(op, rc);
    op->done(op);
}

/* ---- the past, and later pages of a bucket that keeps it */

/* What settings no longer keep is not shown though it may not have been removed yet. */
static bool is_kept(const struct scan *s, const struct bucket_view *b)
{
    const struct wfl_bucket_settings *set = &b->settings;

    return wfl_ulid_cmp(&s->here.at, &b->floor) >= 0 &&
           (set->retain_seconds < 0 ||
            wfl_ulid_ms(&s->here.at) + 1000 * (uint64_t)set->retain_seconds > s->now_ms);
}

/* Is the page to be of a moment, and not of what is there when it is read? All pages are of the
 * first one's moment where the bucket has kept enough for that. Where it keeps versions that is the
 * way of the first page too: a commit between its moment and its reading would show on it alone. */
static bool is_past(const struct scan *s, const struct bucket_view *b)
{
    if (wfl_keeps_history(&b->settings) && is_kept(s, b)) return true;
    if (wfl_ulid_cmp(&s->here.at, &b->version) >= 0) return false; /* nothing has changed since */
    return !wfl_ulid_is_zero(&s->op->moment) || (s->op->cursor.len > 0 && is_kept(s, b));
}

static void past_in_pool(struct wfl_engine_work *work)
{
    struct scan     *s = work->arg;
    struct wfl_scan *op = s->op;

    wfl_code rc = scan_at_moment(s, &s->moment);

    /* Nobody has asked for that moment: what is there now will do. */
    if (rc == WFL_CURSOR_EXPIRED && wfl_ulid_is_zero(&op->moment)) rc = run(s, start_range(s));
    if (rc == WFL_PENDING) return; /* it may be done and gone */
    (void)finish(op, rc);
    op->done(op);
}

static wfl_code start_walk(struct scan *s, wfl_ulid moment)
{
    wfl_code rc;

    s->moment = moment;
    s->work = (struct wfl_engine_work){
        .flow = s->id, .bytes = (uint64_t)s->op->limit * 256, .run = past_in_pool, .arg = s};
    rc = wfl_engine_work(s->store->engine, &s->work);
    if (rc != WFL_PENDING) wfl_fail(&s->op->err, rc, "the worker pool is full");
    return rc;
}

static wfl_code start_past(struct scan *s, const struct bucket_view *b)
{
    if (!is_kept(s, b))
        return wfl_fail(&s->op->err, WFL_CURSOR_EXPIRED,
                        "what the bucket held at that moment is no longer kept");
    return start_walk(s, s->here.at);
}

/* The engine folds keys without a look at their records: a group of which all has expired would be
 * shown until the collector has been there. Contents are fetched by the other way alone. */
static bool has_to_look_into_groups(const struct scan *s)
{
    return s->op->delimiter.len > 0 && s->settings.expire_seconds >= 0 && !s->op->with_value;
}

static wfl_code start_now(struct scan *s)
{
    wfl_ulid last;

    if (!has_to_look_into_groups(s)) return run(s, start_range(s));
    memset(last.bytes, 0xff, sizeof last.bytes); /* whatever is the newest */
    return start_walk(s, last);
}

wfl_code wfl_store_scan(struct wfl_store *store, struct wfl_scan *op)
{
    struct scan       *s;
    struct bucket_view b;
    wfl_code           rc;

    op->rc = WFL_PENDING;
    op->own.state = NULL;
    op->items = NULL;
    op->prefixes = NULL;
    op->item_count = op->prefix_count = 0;
    op->at = (wfl_ulid){0};
    op->next = (wfl_slice){0};
    rc = wfl_buckets_look_up(store, op->bucket, &b, &op->err);
    if (rc != WFL_OK) return op->rc = rc;
    s = wfl_alloc_zero(store->alloc, 1, sizeof *s);
    if (s == NULL) return op->rc = wfl_fail(&op->err, WFL_NOMEM, "no memory for a listing");
    op->own.state = s;
    s->store = store;
    s->op = op;
    s->id = b.id;
    s->settings = b.settings;
    s->now_ms = wfl_clock_unix_ms(store->clock);
    wfl_arena_init(&s->arena, store->alloc, ARENA_BYTES_MAX);
    s->range = (struct wfl_engine_range){
        .space = WFL_SPACE_OBJECTS, .flow = b.id, .done = range_done, .arg = s};
    s->get = (struct wfl_engine_get){.flow = b.id, .done = get_done, .arg = s};

    /* A moment that is yet to come is now: the next page would have another one. */
    rc = scan_prepare(s, wfl_ulid_is_zero(&op->moment) || wfl_ulid_cmp(&op->moment, &b.version) > 0
                             ? b.version
                             : op->moment);
    if (rc != WFL_OK || !scan_set_bounds(s)) return finish(op, rc);
    rc = is_past(s, &b) ? start_past(s, &b) : start_now(s);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    return finish(op, rc);
}

void wfl_scan_fini(struct wfl_scan *op)
{
    struct scan *s = op->own.state;

    if (s == NULL) return;
    scan_drop_page(s);
    wfl_arena_fini(&s->arena);
    wfl_alloc_free(s->store->alloc, s);
    op->own.state = NULL;
}
