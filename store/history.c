/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the past of a key. Its versions lie in one line: the current record, then the rows of the
 * history, newest first. What a bucket's settings no longer keep is invisible from that second on,
 * whether or not it has been removed yet: the number of a version in its line and the time at which
 * the next one took its place decide.
 *
 * Fails with VERSION_NOT_FOUND, KEY_NOT_FOUND, CURSOR_EXPIRED (the moment lies before what is
 * kept), CORRUPT_OBJECT, IO, NOMEM. */
#include "store/history.h"

wfl_code wfl_view_floor(struct wfl_view *view, uint32_t id, wfl_ulid *out, wfl_error *err)
{
    struct wfl_record_counters record;
    uint8_t                    space[WFL_COUNTERS_KEY_LEN + 1];
    wfl_slice                  key = wfl_key_counters(id, space);
    struct wfl_iter           *it;
    wfl_code                   rc;

    space[key.len] = 0;
    rc = wfl_view_iter(view, WFL_SPACE_META, wfl_slice_of(space, key.len + 1), &it, err);
    if (rc != WFL_OK) return rc;
    wfl_iter_seek(it, key);
    if (!wfl_iter_valid(it)) {
        rc = wfl_iter_status(it, err);
        if (rc == WFL_OK) rc = wfl_fail(err, WFL_BUCKET_NOT_FOUND, "the bucket was deleted");
    } else {
        wfl_slice value = wfl_iter_value(it);

        if (wfl_record_counters_read(value.data, value.len, &record) != NULL)
            rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "counters of bucket %u are damaged", id);
        else
            memcpy(out->bytes, record.floor, sizeof out->bytes);
    }
    wfl_iter_close(it);
    return rc;
}

/* ---- the line */

/* From the same view as the history: a version that moves there meanwhile is met once, not twice
 * and not never. */
static wfl_code load_current(struct line *l, struct line_entry *out, wfl_error *err)
{
    wfl_slice key = wfl_key_object(l->b->id, l->key, l->object), to;
    wfl_code  rc;

    l->object[key.len] = 0;
    to = wfl_slice_of(l->object, key.len + 1);
    rc = wfl_view_iter(l->view, WFL_SPACE_OBJECTS, to, &l->object_it, err);
    if (rc != WFL_OK) return rc;
    wfl_iter_seek(l->object_it, key);
    if (!wfl_iter_valid(l->object_it)) {
        rc = wfl_iter_status(l->object_it, err);
        return rc == WFL_OK ? WFL_NOT_FOUND : rc;
    }
    rc = wfl_record_load(wfl_iter_value(l->object_it), l->key, &out->record, err);
    if (rc != WFL_OK) return rc;
    memcpy(out->version.bytes, out->record.version, sizeof out->version.bytes);
    out->current = true;
    out->visible = !wfl_expired(&l->b->settings, &out->version, l->now_ms);
    l->current = l->newer = out->version;
    return WFL_OK;
}

wfl_code line_open(struct line *l, struct wfl_store *s, const struct bucket_view *b, wfl_slice key,
                   wfl_error *err)
{
    wfl_slice to;
    wfl_code  rc;

    *l = (struct line){.store = s, .b = b, .key = key, .now_ms = wfl_clock_unix_ms(s->clock)};
    (void)wfl_key_history(b->id, key, NULL, l->from);
    to = wfl_key_history(b->id, key, NULL, l->to);
    l->to[to.len - 1] = 1; /* behind the 0 that ends the key */
    rc = wfl_view_open(s->engine, &l->view, err);
    if (rc == WFL_OK)
        rc = wfl_view_iter(l->view, WFL_SPACE_HISTORY, wfl_slice_of(l->to, to.len), &l->it, err);
    if (rc != WFL_OK) line_close(l);
    return rc;
}

void line_close(struct line *l)
{
    wfl_iter_close(l->object_it);
    wfl_iter_close(l->it);
    wfl_view_close(l->view);
    *l = (struct line){0};
}

static bool is_kept(const struct line *l, const struct line_entry *e)
{
    const struct wfl_bucket_settings *set = &l->b->settings;

    if (set->versions == 0) return false;
    if (set->versions > 0 && l->puts > (uint64_t)set->versions) return false;
    if (set->retain_seconds >= 0 && !wfl_ulid_is_zero(&l->newer) &&
        wfl_ulid_ms(&l->newer) + 1000 * (uint64_t)set->retain_seconds <= l->now_ms)
        return false;
    return e->record.storage == WFL_RECORD_TOMBSTONE || !wfl_expired(set, &e->version, l->now_ms);
}

static wfl_code take_row(struct line *l, struct line_entry *out, wfl_error *err)
{
    wfl_slice key;
    wfl_code  rc;

    if (!wfl_key_read_history(wfl_iter_key(l->it), &key, &out->version))
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "a key of the history is malformed");
    rc = wfl_record_load(wfl_iter_value(l->it), l->key, &out->record, err);
    if (rc != WFL_OK) return rc;
    out->current = false;
    if (out->record.storage != WFL_RECORD_TOMBSTONE) l->puts++;
    out->visible = is_kept(l, out);
    l->newer = out->version;
    return WFL_OK;
}

wfl_code line_next(struct line *l, struct line_entry *out, wfl_error *err)
{
    if (!l->begun) {
        wfl_code rc = load_current(l, out, err);

        l->begun = true;
        wfl_iter_seek(l->it, wfl_key_history(l->b->id, l->key, NULL, l->from));
        if (rc != WFL_NOT_FOUND) return rc;
    } else if (l->stepped) {
        wfl_iter_step(l->it, false);
    }
    l->stepped = wfl_iter_valid(l->it);
    if (l->stepped) return take_row(l, out, err);
    wfl_code rc = wfl_iter_status(l->it, err);
    return rc == WFL_OK ? WFL_NOT_FOUND : rc;
}

/* ---- one version, for an answer */

/* The op's header becomes the row's, and the content is found from there. */
static wfl_code show_row(struct wfl_store *s, struct wfl_get *op, const struct line_entry *e)
{
    uint8_t   space[WFL_HISTORY_KEY_MAX];
    wfl_slice row = e->current ? wfl_key_object(op->own.id, op->key, space)
                               : wfl_key_history(op->own.id, op->key, &e->version, space);
    wfl_code  rc = wfl_engine_read(s->engine, e->current ? WFL_SPACE_OBJECTS : WFL_SPACE_HISTORY,
                                   row, &op->own.header, &op->err);

    return rc == WFL_OK ? wfl_get_show(op, &e->version) : rc;
}

static wfl_code not_kept(struct wfl_get *op, const struct wfl_ulid *when)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(when, text);
    return wfl_fail(&op->err, WFL_CURSOR_EXPIRED, "what was there at %s is no longer kept", text);
}

static wfl_code no_version(struct wfl_get *op, const struct wfl_ulid *version)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(version, text);
    return wfl_fail(&op->err, WFL_VERSION_NOT_FOUND, "key %.*s has no version %s", WFL_FMT(op->key),
                    text);
}

/* NOT_FOUND: it cannot be read. */
static wfl_code seek_version(struct line *l, const wfl_ulid *version, struct line_entry *out,
                             wfl_error *err)
{
    wfl_code rc;

    while ((rc = line_next(l, out, err)) == WFL_OK) {
        int order = wfl_ulid_cmp(&out->version, version);

        if (order < 0) break;
        if (order > 0) continue;
        if (!out->visible || out->record.storage == WFL_RECORD_TOMBSTONE) break;
        return WFL_OK;
    }
    return rc == WFL_OK ? WFL_NOT_FOUND : rc;
}

static wfl_code find_version(struct line *l, struct wfl_get *op, const wfl_ulid *version,
                             struct line_entry *out)
{
    wfl_code rc = seek_version(l, version, out, &op->err);

    return rc == WFL_NOT_FOUND ? no_version(op, version) : rc;
}

wfl_code wfl_history_shows(struct wfl_store *s, const struct bucket_view *b, wfl_slice key,
                           const wfl_ulid *version, bool *shows, wfl_error *err)
{
    struct line_entry entry = {0};
    struct line       line;
    wfl_code          rc = line_open(&line, s, b, key, err);

    if (rc != WFL_OK) return rc;
    rc = seek_version(&line, version, &entry, err);
    line_close(&line);
    *shows = rc == WFL_OK;
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

static wfl_code find_moment(struct line *l, struct wfl_get *op, const wfl_ulid *moment,
                            struct line_entry *out)
{
    wfl_code rc;

    while ((rc = line_next(l, out, &op->err)) == WFL_OK)
        if (wfl_ulid_cmp(&out->version, moment) <= 0) break;
    if (rc == WFL_NOT_FOUND) {
        wfl_ulid floor;

        rc = wfl_view_floor(l->view, l->b->id, &floor, &op->err);
        if (rc != WFL_OK) return rc;
        return wfl_ulid_cmp(moment, &floor) < 0 ? not_kept(op, moment)
                                                : wfl_fail_no_key(&op->err, op->bucket, op->key);
    }
    if (rc != WFL_OK) return rc;
    if (out->record.storage == WFL_RECORD_TOMBSTONE || (out->current && !out->visible))
        return wfl_fail_no_key(&op->err, op->bucket, op->key);
    return out->visible ? WFL_OK : not_kept(op, moment);
}

wfl_code wfl_store_get_as_of(struct wfl_store *s, struct wfl_get *op, enum wfl_as_of kind,
                             const wfl_ulid *when)
{
    struct bucket_view b;
    struct line_entry  entry = {0};
    struct line        line;
    wfl_code           rc;

    wfl_get_begin(s, op);
    rc = wfl_buckets_look_up(s, op->bucket, &b, &op->err);
    if (rc != WFL_OK) return op->rc = rc;
    op->own.id = b.id;
    op->own.expire_seconds = b.settings.expire_seconds;
    for (unsigned attempt = 0; attempt < 8; attempt++) { /* one that moves meanwhile: again */
        rc = line_open(&line, s, &b, op->key, &op->err);
        if (rc != WFL_OK) break;
        rc = kind == WFL_AS_OF_VERSION ? find_version(&line, op, when, &entry)
                                       : find_moment(&line, op, when, &entry);
        if (rc == WFL_OK) rc = show_row(s, op, &entry);
        line_close(&line);
        if (rc != WFL_NOT_FOUND) break;
    }
    if (rc == WFL_NOT_FOUND)
        rc = wfl_fail(&op->err, WFL_OVERLOADED, "the object is replaced faster than it is read");
    return op->rc = rc;
}

/* ---- all of them */

wfl_code wfl_store_versions(struct wfl_store *s, wfl_slice bucket, wfl_slice key, wfl_arena *arena,
                            struct wfl_version **out, uint32_t *count, wfl_error *err)
{
    struct bucket_view b;
    struct line_entry  entry = {0};
    struct line        line;
    wfl_buf            list;
    wfl_slice          copy;
    wfl_code           rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc == WFL_OK) rc = line_open(&line, s, &b, key, err);
    if (rc != WFL_OK) return rc;
    wfl_buf_init(&list, s->alloc, WFL_VERSIONS_LISTED_MAX * sizeof(struct wfl_version));
    while (list.len < list.max && (rc = line_next(&line, &entry, err)) == WFL_OK) {
        struct wfl_version v = {.version = entry.version,
                                .tombstone = entry.record.storage == WFL_RECORD_TOMBSTONE,
                                .size = entry.record.size};

        if (!entry.visible) continue;
        memcpy(v.blake3.bytes, entry.record.blake3, sizeof v.blake3.bytes);
        wfl_buf_add(&list, wfl_slice_of(&v, sizeof v));
    }
    line_close(&line);
    if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    if (rc == WFL_OK && list.len == 0) rc = wfl_fail_no_key(err, bucket, key);
    if (rc == WFL_OK && (!wfl_buf_ok(&list) || !wfl_arena_copy(arena, wfl_buf_slice(&list), &copy)))
        rc = wfl_fail(err, WFL_NOMEM, "no memory for the versions");
    if (rc == WFL_OK) {
        *out = (struct wfl_version *)(void *)(uintptr_t)copy.data;
        *count = (uint32_t)(copy.len / sizeof **out);
    }
    wfl_buf_fini(&list);
    return rc;
}

/* ---- removing one that is not current; committer */

wfl_code wfl_history_remove(struct wfl_store *s, struct wfl_txn *t, uint32_t id, wfl_slice key,
                            const wfl_ulid *version, wfl_error *err)
{
    struct wfl_record_object record;
    uint8_t                  space[WFL_HISTORY_KEY_MAX];
    wfl_slice                row = wfl_key_history(id, key, version, space);
    struct wfl_pin           pin = {0};
    wfl_code                 rc = wfl_txn_get(t, WFL_SPACE_HISTORY, row, &pin, err);

    if (rc != WFL_OK) return rc;
    rc = wfl_record_load(pin.value, key, &record, err);
    if (rc == WFL_OK) rc = wfl_drop_content(s, t, id, &record, err);
    if (rc == WFL_OK) rc = wfl_txn_delete(t, WFL_SPACE_HISTORY, row, err);
    wfl_pin_release(&pin);
    return rc;
}
