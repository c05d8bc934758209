/* SPDX-License-Identifier: Apache-2.0
 *
 * A page of the change stream. Rows lie in the order of commits, so a page is a walk from a
 * position on. It is read from one view, together with the bucket's counters as they are in that
 * view: the floor below which rows were removed must fit the rows beside it, or a reader could step
 * over what went in between. At the end of the rows the position is the bucket's last commit, so
 * that a reader whose prefix matches nothing moves on all the same, and its position does not grow
 * old.
 *
 * A row that is out of time counts as gone, removed yet or not. Fails with CURSOR_EXPIRED,
 * BUCKET_NOT_FOUND, CORRUPT_OBJECT for a row that is damaged: leaving it out would be silent. */
#include "store/internal.h"

#define CHANGES_DEFAULT_SECONDS (INT64_C(7) * 24 * 3600)
#define PAGE_MEMORY_MAX         (64u << 20)

uint64_t wfl_changes_kept_ms(const struct wfl_bucket_settings *set)
{
    return 1000 * (uint64_t)(set->change_retain_seconds < 0 ? CHANGES_DEFAULT_SECONDS
                                                            : set->change_retain_seconds);
}

struct walk {
    struct wfl_store          *store;
    struct wfl_changes        *page;
    struct bucket_view         b;
    struct wfl_record_counters counters; /* in the view */
    struct wfl_view           *view;
    struct wfl_iter           *it;
    uint8_t                    to[WFL_ID_LEN];
    uint32_t                   cap; /* of the page's changes */
    size_t                     bytes;
};

static wfl_code no_memory(wfl_error *err)
{
    return wfl_fail(err, WFL_NOMEM, "no memory for a page of changes");
}

static wfl_code read_counters(struct walk *w, wfl_error *err)
{
    struct wfl_iter *it = NULL;
    uint8_t          space[WFL_COUNTERS_KEY_LEN];
    wfl_slice        key = wfl_key_counters(w->b.id, space);
    const char      *wrong = NULL;
    wfl_code         rc = wfl_view_iter(w->view, WFL_SPACE_META, (wfl_slice){0}, &it, err);

    if (rc != WFL_OK) return rc;
    wfl_iter_seek(it, key);
    if (!wfl_iter_valid(it)) {
        rc = wfl_iter_status(it, err);
        if (rc == WFL_OK) rc = wfl_fail_no_bucket(err, w->page->bucket);
    } else if (!wfl_slice_eq(wfl_iter_key(it), key)) {
        rc = wfl_fail_no_bucket(err, w->page->bucket); /* deleted since it was looked up */
    } else {
        wfl_slice value = wfl_iter_value(it);

        wrong = wfl_record_counters_read(value.data, value.len, &w->counters);
        if (wrong != NULL) rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "counters: %s", wrong);
    }
    wfl_iter_close(it);
    return rc;
}

static bool out_of_time(const struct walk *w, const wfl_ulid *version)
{
    return wfl_ulid_ms(version) + wfl_changes_kept_ms(&w->b.settings) <=
           wfl_clock_unix_ms(w->store->clock);
}

static wfl_ulid version_at(struct walk *w)
{
    wfl_ulid version;

    memcpy(version.bytes, wfl_iter_key(w->it).data + WFL_ID_LEN, sizeof version.bytes);
    return version;
}

/* To the first row behind the position. */
static void seek_behind(struct walk *w, const wfl_ulid *position)
{
    uint8_t   space[WFL_CHANGE_KEY_LEN];
    wfl_slice key = wfl_key_change(w->b.id, position, space);

    wfl_iter_seek(w->it, key);
    if (wfl_iter_valid(w->it) && wfl_slice_eq(wfl_iter_key(w->it), key))
        wfl_iter_step(w->it, false);
}

static wfl_code expired(wfl_error *err)
{
    return wfl_fail(err, WFL_CURSOR_EXPIRED,
                    "changes behind this position are no longer kept; list the bucket anew");
}

static wfl_code begin(struct walk *w, wfl_error *err)
{
    struct wfl_changes *page = w->page;
    wfl_ulid            floor, last;
    uint64_t            now_ms = wfl_clock_unix_ms(w->store->clock);
    uint64_t            kept_ms = wfl_changes_kept_ms(&w->b.settings);

    memcpy(floor.bytes, w->counters.changes_floor, sizeof floor.bytes);
    memcpy(last.bytes, w->counters.version, sizeof last.bytes);
    switch (page->from) {
    case WFL_CHANGES_OLDEST:
        page->next = now_ms > kept_ms ? wfl_ulid_from_ms(now_ms - kept_ms, true) : floor;
        if (wfl_ulid_cmp(&page->next, &floor) < 0) page->next = floor;
        seek_behind(w, &page->next);
        return WFL_OK;
    case WFL_CHANGES_END:
        page->next = last;
        break;
    case WFL_CHANGES_AFTER:
        page->next = page->after;
        break;
    }
    if (wfl_ulid_cmp(&page->next, &floor) < 0) return expired(err);
    seek_behind(w, &page->next);
    if (wfl_iter_valid(w->it)) {
        wfl_ulid first = version_at(w);

        if (out_of_time(w, &first)) return expired(err);
    }
    return WFL_OK;
}

static wfl_code copy_tags(struct walk *w, const struct wfl_record_pairs *tags,
                          struct wfl_change *out, wfl_error *err)
{
    struct wfl_name_value *pairs;

    if (tags->count == 0) return WFL_OK;
    pairs = wfl_arena_zero(&w->page->own.arena, tags->count, sizeof *pairs);
    if (pairs == NULL) return no_memory(err);
    for (uint32_t i = 0; i < tags->count; i++) {
        struct wfl_record_bytes name, value;

        tags->at(tags->ctx, i, &name, &value);
        if (!wfl_arena_copy(&w->page->own.arena, wfl_from_record(name), &pairs[i].name) ||
            !wfl_arena_copy(&w->page->own.arena, wfl_from_record(value), &pairs[i].value))
            return no_memory(err);
    }
    out->tags = pairs;
    out->tag_count = tags->count;
    return WFL_OK;
}

static bool make_room(struct walk *w)
{
    struct wfl_changes *page = w->page;
    uint32_t            cap = w->cap == 0 ? 16 : w->cap * 2;
    struct wfl_change  *bigger;

    if (page->count < w->cap) return true;
    if (cap > page->limit) cap = page->limit;
    bigger = wfl_arena_zero(&page->own.arena, cap, sizeof *bigger);
    if (bigger == NULL) return false;
    if (page->count > 0) memcpy(bigger, page->changes, page->count * sizeof *bigger);
    page->changes = bigger;
    w->cap = cap;
    return true;
}

static wfl_code add(struct walk *w, const wfl_ulid *version, const struct wfl_record_change *record,
                    wfl_error *err)
{
    struct wfl_changes *page = w->page;
    struct wfl_change  *out;

    if (!make_room(w)) return no_memory(err);
    out = &page->changes[page->count];
    *out = (struct wfl_change){.version = *version,
                               .kind = record->op == WFL_CHANGE_PUT      ? WFL_CHANGED_PUT
                                       : record->op == WFL_CHANGE_DELETE ? WFL_CHANGED_DELETE
                                                                         : WFL_CHANGED_ERASE,
                               .size = record->size};
    memcpy(out->blake3.bytes, record->blake3, sizeof out->blake3.bytes);
    memcpy(out->jti.bytes, record->jti, sizeof out->jti.bytes);
    memcpy(out->erased.bytes, record->erased, sizeof out->erased.bytes);
    if (!wfl_arena_copy(&page->own.arena, wfl_from_record(record->key), &out->key) ||
        !wfl_arena_copy(&page->own.arena, wfl_from_record(record->by), &out->by))
        return no_memory(err);
    wfl_code rc = copy_tags(w, &record->tags, out, err);
    if (rc == WFL_OK) page->count++;
    return rc;
}

/* The row at which the walk stands. */
static wfl_code take_row(struct walk *w, wfl_error *err)
{
    struct wfl_record_change record;
    wfl_ulid                 version = version_at(w);
    wfl_slice                value = wfl_iter_value(w->it);
    const char              *wrong = wfl_record_change_read(value.data, value.len, &record);
    wfl_code                 rc = WFL_OK;

    if (wrong != NULL) {
        char text[WFL_ULID_TEXT_LEN + 1];

        wfl_ulid_format(&version, text);
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "change %s: %s", text, wrong);
    }
    if (wfl_slice_starts_with(wfl_from_record(record.key), w->page->prefix)) {
        rc = add(w, &version, &record, err);
        w->bytes += value.len;
    }
    if (rc == WFL_OK) w->page->next = version;
    return rc;
}

static wfl_code walk_rows(struct walk *w, wfl_error *err)
{
    struct wfl_changes *page = w->page;
    wfl_ulid            last;
    wfl_code            rc = WFL_OK;

    for (uint32_t walked = 0; rc == WFL_OK && wfl_iter_valid(w->it); walked++) {
        if (page->count == page->limit || walked == WFL_CHANGES_WALKED_MAX ||
            w->bytes >= page->bytes_max)
            return WFL_OK;
        rc = take_row(w, err);
        wfl_iter_step(w->it, false);
    }
    if (rc == WFL_OK) rc = wfl_iter_status(w->it, err);
    if (rc != WFL_OK) return rc;
    page->ended = true;
    memcpy(last.bytes, w->counters.version, sizeof last.bytes);
    /* A position beyond the last commit that a client has given stays as it is. */
    if (page->from == WFL_CHANGES_OLDEST || wfl_ulid_cmp(&last, &page->next) > 0) page->next = last;
    return WFL_OK;
}

wfl_code wfl_store_changes(struct wfl_store *s, struct wfl_changes *page, wfl_error *err)
{
    struct walk w = {.store = s, .page = page};
    wfl_slice   to;
    wfl_code    rc;

    page->changes = NULL;
    page->count = 0;
    page->ended = false;
    wfl_arena_init(&page->own.arena, s->alloc, PAGE_MEMORY_MAX);
    rc = wfl_buckets_look_up(s, page->bucket, &w.b, err);
    if (rc == WFL_OK && page->bucket_id != 0 && page->bucket_id != w.b.id)
        rc = wfl_fail_no_bucket(err, page->bucket);
    if (rc != WFL_OK) return rc;
    page->bucket_id = w.b.id;
    (void)wfl_key_bucket(w.b.id, w.to);
    to = wfl_slice_of(w.to, wfl_key_after_prefix(w.to, sizeof w.to));
    rc = wfl_view_open(s->engine, &w.view, err);
    if (rc == WFL_OK) rc = read_counters(&w, err);
    if (rc == WFL_OK) rc = wfl_view_iter(w.view, WFL_SPACE_CHANGES, to, &w.it, err);
    if (rc == WFL_OK) rc = begin(&w, err);
    if (rc == WFL_OK) rc = walk_rows(&w, err);
    wfl_iter_close(w.it);
    wfl_view_close(w.view);
    return rc;
}

void wfl_changes_fini(struct wfl_changes *page)
{
    wfl_arena_fini(&page->own.arena);
    page->changes = NULL;
    page->count = 0;
}
