/* SPDX-License-Identifier: Apache-2.0
 *
 * Where blobs are and how much of each segment is alive. Two families of RocksDB of which engine.h
 * does not tell:
 *
 *     blob_index     name -> segment, offset, length
 *     blob_segments  id -> live bytes, end of what was kept, tail, sealed, salt
 *
 * Keeps and drops write into the group's batch. What they change in live bytes is noted in a list;
 * a commit that fails cuts its part off, and once the group is complete one row is written for each
 * segment that it touched, in the same batch. So the counts are as durable as what they count.
 *
 * Failure: a group that is not stored leaves the counts in memory as they were, and the places that
 * it would have kept pinned: they are their owners' to abandon.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <inttypes.h>

/* ---- values */

static void put_u32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static void put_u64(uint8_t *out, uint64_t v)
{
    put_u32(out, (uint32_t)v);
    put_u32(out + 4, (uint32_t)(v >> 32));
}

static uint32_t get_u32(const uint8_t *in)
{
    return in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static uint64_t get_u64(const uint8_t *in)
{
    return get_u32(in) | (uint64_t)get_u32(in + 4) << 32;
}

#define PLACE_LEN 16

static void place_encode(const struct wfl_blob_place *place, uint8_t out[PLACE_LEN])
{
    put_u64(out, place->segment);
    put_u32(out + 8, place->offset);
    put_u32(out + 12, place->len);
}

bool wfl_blob_place_decode(wfl_slice bytes, struct wfl_blob_place *out)
{
    if (bytes.len != PLACE_LEN) return false;
    *out = (struct wfl_blob_place){.segment = get_u64(bytes.data),
                                   .offset = get_u32(bytes.data + 8),
                                   .len = get_u32(bytes.data + 12)};
    return out->len > 0 && out->len <= WFL_BLOB_BYTES_MAX && out->offset >= SEGMENT_BLOCK &&
           out->offset % SEGMENT_BLOCK == 0;
}

static bool same_place(const struct wfl_blob_place *a, const struct wfl_blob_place *b)
{
    return a->segment == b->segment && a->offset == b->offset && a->len == b->len;
}

void wfl_segment_row_key(uint64_t id, uint8_t out[SEGMENT_ROW_KEY])
{
    for (int i = 0; i < SEGMENT_ROW_KEY; i++)
        out[i] = (uint8_t)(id >> (56 - 8 * i)); /* in order of keys */
}

void wfl_segment_row_encode(const struct segment_row *row, uint8_t out[SEGMENT_ROW_LEN])
{
    put_u64(out, row->live);
    put_u32(out + 8, row->kept_end);
    put_u32(out + 12, row->tail);
    put_u32(out + 16, row->sealed);
    memcpy(out + 20, row->name.salt, SEGMENT_SALT);
}

bool wfl_segment_row_decode(wfl_slice key, wfl_slice value, struct segment_row *out)
{
    if (key.len != SEGMENT_ROW_KEY || value.len != SEGMENT_ROW_LEN) return false;
    *out = (struct segment_row){.live = get_u64(value.data),
                                .kept_end = get_u32(value.data + 8),
                                .tail = get_u32(value.data + 12),
                                .sealed = get_u32(value.data + 16) != 0};
    for (size_t i = 0; i < SEGMENT_ROW_KEY; i++)
        out->name.id = out->name.id << 8 | key.data[i];
    memcpy(out->name.salt, value.data + 20, SEGMENT_SALT);
    return true;
}

/* ---- look-up */

static wfl_code bad_index(wfl_error *err)
{
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "the index of blobs: a place cannot be read");
}

wfl_code wfl_blob_find(struct local *l, wfl_slice name, struct wfl_blob_place *out, wfl_error *err)
{
    char                    *text = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(l->db, l->read_disk, l->families[FAMILY_BLOB_INDEX],
                              (const char *)name.data, name.len, &text);
    const char *data;
    size_t      len = 0;
    bool        good;

    if (text != NULL) return wfl_local_fail(text, "index of blobs", err);
    if (slice == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such blob");
    data = rocksdb_pinnableslice_value(slice, &len);
    good = wfl_blob_place_decode(wfl_slice_of(data, len), out);
    rocksdb_pinnableslice_destroy(slice);
    return good ? WFL_OK : bad_index(err);
}

/* As the group left it so far. */
static wfl_code find_in_group(struct local *l, wfl_slice name, struct wfl_blob_place *out,
                              wfl_error *err)
{
    char  *text = NULL;
    size_t len = 0;
    char  *value = rocksdb_writebatch_wi_get_from_batch_and_db_cf(
         l->batch, l->db, l->read_disk, l->families[FAMILY_BLOB_INDEX], (const char *)name.data,
         name.len, &len, &text);
    bool good;

    if (text != NULL) return wfl_local_fail(text, "index of blobs", err);
    if (value == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such blob");
    good = wfl_blob_place_decode(wfl_slice_of(value, len), out);
    rocksdb_free(value);
    return good ? WFL_OK : bad_index(err);
}

/* ---- changes of a group */

static wfl_code make_room(struct local *l, size_t more, wfl_error *err)
{
    struct segments    *g = &l->segments;
    size_t              cap = g->change_cap == 0 ? 64 : g->change_cap * 2;
    struct blob_change *changes;

    if (g->change_cap - g->change_count >= more) return WFL_OK;
    changes = wfl_alloc_resize(l->alloc, g->changes, cap * sizeof *changes);
    if (changes == NULL) return wfl_fail(err, WFL_NOMEM, "segments: out of memory");
    g->changes = changes;
    g->change_cap = cap;
    return WFL_OK;
}

static void note_gain(struct local *l, struct segment *s, const struct wfl_blob_place *place)
{
    l->segments.changes[l->segments.change_count++] =
        (struct blob_change){.segment = s,
                             .live = wfl_blob_record_extent(place->len),
                             .kept_end = place->offset + RECORD_HEADER_LEN + place->len,
                             .unpin = true};
}

static void note_loss(struct local *l, struct segment *s, const struct wfl_blob_place *place)
{
    l->segments.changes[l->segments.change_count++] =
        (struct blob_change){.segment = s, .live = -(int64_t)wfl_blob_record_extent(place->len)};
}

static void put_place(struct local *l, wfl_slice name, const struct wfl_blob_place *place)
{
    uint8_t value[PLACE_LEN];

    place_encode(place, value);
    rocksdb_writebatch_wi_put_cf(l->batch, l->families[FAMILY_BLOB_INDEX], (const char *)name.data,
                                 name.len, (const char *)value, sizeof value);
}

wfl_code wfl_blob_txn_keep(struct local *l, wfl_slice name, const struct wfl_blob_place *place,
                           wfl_error *err)
{
    struct wfl_blob_place there;
    struct segment       *s = wfl_segment_find(l, place->segment);
    wfl_code              rc;

    assert(s != NULL); /* pinned by this place */
    rc = find_in_group(l, name, &there, err);
    if (rc != WFL_NOT_FOUND) {
        assert(rc != WFL_OK); /* a name is kept once */
        return rc;
    }
    rc = make_room(l, 1, err);
    if (rc != WFL_OK) return rc;
    put_place(l, name, place);
    note_gain(l, s, place);
    return WFL_OK;
}

/* A segment with live bytes is in the table. */
static wfl_code segment_of(struct local *l, const struct wfl_blob_place *place,
                           struct segment **out, wfl_error *err)
{
    *out = wfl_segment_find(l, place->segment);
    if (*out != NULL) return WFL_OK;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "segment %016" PRIx64 ": named and not there",
                    place->segment);
}

wfl_code wfl_blob_txn_drop(struct local *l, wfl_slice name, wfl_error *err)
{
    struct wfl_blob_place place = {0};
    struct segment       *s = NULL;
    wfl_code              rc = find_in_group(l, name, &place, err);

    if (rc == WFL_OK) rc = segment_of(l, &place, &s, err);
    if (rc == WFL_OK) rc = make_room(l, 1, err);
    if (rc != WFL_OK) return rc;
    rocksdb_writebatch_wi_delete_cf(l->batch, l->families[FAMILY_BLOB_INDEX],
                                    (const char *)name.data, name.len);
    note_loss(l, s, &place);
    return WFL_OK;
}

wfl_code wfl_blob_txn_move(struct local *l, wfl_slice name, const struct wfl_blob_place *from,
                           const struct wfl_blob_place *to, bool *moved, wfl_error *err)
{
    struct wfl_blob_place now = {0};
    struct segment       *old = NULL, *fresh = NULL;
    wfl_code              rc = find_in_group(l, name, &now, err);

    *moved = false;
    if (rc == WFL_NOT_FOUND || (rc == WFL_OK && !same_place(&now, from))) return WFL_OK;
    if (rc == WFL_OK) rc = segment_of(l, from, &old, err);
    if (rc == WFL_OK) rc = segment_of(l, to, &fresh, err);
    if (rc == WFL_OK) rc = make_room(l, 2, err);
    if (rc != WFL_OK) return rc;
    put_place(l, name, to);
    note_loss(l, old, from);
    note_gain(l, fresh, to);
    *moved = true;
    return WFL_OK;
}

wfl_code wfl_blob_txn_seal(struct local *l, struct segment *s, wfl_error *err)
{
    wfl_code rc = make_room(l, 1, err);

    if (rc == WFL_OK)
        l->segments.changes[l->segments.change_count++] = (struct blob_change){.segment = s};
    return rc;
}

void wfl_blob_txn_remove(struct local *l, const struct segment *s)
{
    uint8_t key[SEGMENT_ROW_KEY];

    wfl_segment_row_key(s->name.id, key);
    rocksdb_writebatch_wi_delete_cf(l->batch, l->families[FAMILY_BLOB_SEGMENTS], (const char *)key,
                                    sizeof key);
}

void wfl_blob_group_undo(struct local *l, size_t mark)
{
    l->segments.change_count = mark;
}

static void put_row(struct local *l, struct segment *s)
{
    struct segment_row row = {.name = s->name,
                              .live = s->live + (uint64_t)s->live_change,
                              .kept_end = s->kept_end > s->kept_end_change ? s->kept_end
                                                                           : s->kept_end_change};
    uint8_t            key[SEGMENT_ROW_KEY], value[SEGMENT_ROW_LEN];

    wfl_mutex_lock(&l->segments.lock);
    row.tail = s->tail;
    row.sealed = !s->active;
    wfl_mutex_unlock(&l->segments.lock);
    s->seal_change = row.sealed;
    wfl_segment_row_key(s->name.id, key);
    wfl_segment_row_encode(&row, value);
    rocksdb_writebatch_wi_put_cf(l->batch, l->families[FAMILY_BLOB_SEGMENTS], (const char *)key,
                                 sizeof key, (const char *)value, sizeof value);
}

void wfl_blob_group_fold(struct local *l)
{
    struct segments *g = &l->segments;

    for (size_t i = 0; i < g->change_count; i++) {
        struct segment *s = g->changes[i].segment;

        s->touched = true;
        s->live_change += g->changes[i].live;
        if (g->changes[i].kept_end > s->kept_end_change)
            s->kept_end_change = g->changes[i].kept_end;
    }
    for (size_t i = 0; i < g->change_count; i++) {
        struct segment *s = g->changes[i].segment;

        if (!s->touched) continue;
        s->touched = false;
        put_row(l, s);
    }
}

void wfl_blob_group_settle(struct local *l, bool stored)
{
    struct segments *g = &l->segments;
    bool             freed = false;

    for (size_t i = 0; i < g->change_count; i++) {
        struct segment *s = g->changes[i].segment;

        if (stored) {
            s->live += (uint64_t)s->live_change;
            if (s->kept_end_change > s->kept_end) s->kept_end = s->kept_end_change;
            s->seal_noted = s->seal_change;
            freed |= g->changes[i].live < 0;
        }
        s->live_change = 0; /* once a segment: the first of its changes does it */
        s->kept_end_change = 0;
    }
    for (size_t i = 0; stored && i < g->change_count; i++) {
        if (g->changes[i].unpin) wfl_segment_unpin(g->changes[i].segment);
    }
    g->change_count = 0;
    if (freed) wfl_rewriter_wake(l);
}

/* ---- recount */

static wfl_code count_index(struct local *l, rocksdb_iterator_t *it, wfl_error *err)
{
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        struct wfl_blob_place place;
        struct segment       *s = NULL;
        size_t                len = 0;
        const char           *data = rocksdb_iter_value(it, &len);
        wfl_code              rc;

        if (!wfl_blob_place_decode(wfl_slice_of(data, len), &place)) return bad_index(err);
        rc = segment_of(l, &place, &s, err);
        if (rc != WFL_OK) return rc;
        s->recounted += wfl_blob_record_extent(place.len);
    }
    return WFL_OK;
}

static wfl_code compare(const struct segment *s, wfl_error *err)
{
    if (s->recounted == s->live) return WFL_OK;
    return wfl_fail(err, WFL_CORRUPT_OBJECT,
                    "segment %016" PRIx64 ": %" PRIu64 " live bytes are counted, %" PRIu64
                    " are there",
                    s->name.id, s->live, s->recounted);
}

/* What the rows say must be what memory says, and each must have its segment. */
static wfl_code compare_rows(struct local *l, rocksdb_iterator_t *it, wfl_error *err)
{
    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        struct segment_row row;
        struct segment    *s;
        size_t             key_len = 0, len = 0;
        const char *key = rocksdb_iter_key(it, &key_len), *data = rocksdb_iter_value(it, &len);

        if (!wfl_segment_row_decode(wfl_slice_of(key, key_len), wfl_slice_of(data, len), &row))
            return wfl_fail(err, WFL_CORRUPT_OBJECT, "a row of a segment cannot be read");
        s = wfl_segment_find(l, row.name.id);
        if (s == NULL || s->live != row.live) {
            return wfl_fail(err, WFL_CORRUPT_OBJECT,
                            "segment %016" PRIx64 ": its row says %" PRIu64 " live bytes",
                            row.name.id, row.live);
        }
    }
    return WFL_OK;
}

static wfl_code iterate(struct local *l, enum local_family family,
                        wfl_code (*visit)(struct local *l, rocksdb_iterator_t *it, wfl_error *err),
                        wfl_error *err)
{
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(l->db, l->read_disk, l->families[family]);
    wfl_code            rc = visit(l, it, err);
    char               *text = NULL;

    rocksdb_iter_get_error(it, &text);
    if (text != NULL) rc = wfl_local_fail(text, "recount of blobs", err);
    rocksdb_iter_destroy(it);
    return rc;
}

wfl_code wfl_local_blob_recount(struct wfl_engine *e, wfl_error *err)
{
    struct local    *l = (struct local *)(void *)e;
    struct segments *g = &l->segments;
    wfl_code         rc;

    wfl_rewriter_pause(l);
    for (size_t i = 0; i < g->count; i++) /* nothing else writes meanwhile */
        g->list[i]->recounted = 0;
    rc = iterate(l, FAMILY_BLOB_INDEX, count_index, err);
    for (size_t i = 0; i < g->count && rc == WFL_OK; i++)
        rc = compare(g->list[i], err);
    if (rc == WFL_OK) rc = iterate(l, FAMILY_BLOB_SEGMENTS, compare_rows, err);
    wfl_rewriter_resume(l);
    return rc;
}
