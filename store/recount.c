/* SPDX-License-Identifier: Apache-2.0
 *
 * Does what the store keeps count of equal a full recount? One bucket after the other, those that
 * were deleted and still have something to be collected included: objects against the counters,
 * uploads against their parts, manifests against who names them, chunks against how often they are
 * named. Then every blob is read and compared with the chunks.
 *
 * Memory is bounded whatever the store's size: who names what is compared in passes, each over as
 * many rows as fit into one table. A damaged row is a difference like any other. Fails for memory
 * and where the engine cannot read. */
#include "store/recount.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE_ROWS     1000
#define PAGE_BYTES    (1u << 20)
#define TEXT_LINE_MAX 320

void wfl_recount_tell(struct recount *r, const char *format, ...)
{
    char    line[TEXT_LINE_MAX];
    va_list arguments;
    int     len = r->name[0] == '\0' ? 0 : snprintf(line, sizeof line, "%s: ", r->name);

    va_start(arguments, format);
    vsnprintf(line + len, sizeof line - (size_t)len, format, arguments);
    va_end(arguments);
    r->differences++;
    if (r->how->report != NULL) r->how->report(r->how->arg, line);
}

/* ---- rows */

wfl_code wfl_recount_rows(struct recount *r, enum wfl_space space, wfl_slice from, wfl_slice to,
                          wfl_code (*row)(void *ctx, const struct wfl_pair *pair, wfl_error *err),
                          void *ctx, wfl_error *err)
{
    struct wfl_engine_range range = {
        .space = space, .from = from, .to = to, .limit = PAGE_ROWS, .bytes_max = PAGE_BYTES};
    wfl_buf  next;
    wfl_code rc;

    wfl_buf_init(&next, r->store->alloc, 1u << 20);
    do {
        rc = wfl_wait_range(r->store, &range, err);
        for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++)
            rc = row(ctx, &range.pairs[i], err);
        if (rc == WFL_OK && range.more) { /* go on behind the last */
            next.len = 0;
            wfl_buf_add(&next, range.pairs[range.count - 1].key);
            wfl_buf_add_u8(&next, 0);
            range.from = wfl_buf_slice(&next);
            if (!wfl_buf_ok(&next)) rc = wfl_fail(err, WFL_NOMEM, "no memory for a key");
        }
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more);
    wfl_buf_fini(&next);
    return rc;
}

wfl_code wfl_recount_prefix(struct recount *r, enum wfl_space space, wfl_slice prefix,
                            wfl_code (*row)(void *ctx, const struct wfl_pair *pair, wfl_error *err),
                            void *ctx, wfl_error *err)
{
    uint8_t to[WFL_UPLOAD_KEY_MAX];

    memcpy(to, prefix.data, prefix.len);
    return wfl_recount_rows(r, space, prefix,
                            wfl_slice_of(to, wfl_key_after_prefix(to, prefix.len)), row, ctx, err);
}

/* ---- objects against the counters */

struct objects {
    struct recount *r;
    uint64_t        objects, bytes;
};

static wfl_code count_object(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct objects          *o = ctx;
    struct wfl_record_object record;

    if (pair->key.len <= WFL_ID_LEN) {
        wfl_recount_tell(o->r, "an object without a key");
        return WFL_OK;
    }
    if (wfl_record_load(pair->value, wfl_key_of_object(pair->key), &record, err) != WFL_OK) {
        wfl_recount_tell(o->r, "%s", err->message);
        return WFL_OK;
    }
    if (memcmp(record.version, o->r->store->versions.last.bytes, sizeof record.version) > 0)
        wfl_recount_tell(o->r, "key %.*s: its version is above the store's last",
                         WFL_FMT(wfl_key_of_object(pair->key)));
    o->objects++;
    o->bytes += record.size;
    return WFL_OK;
}

static wfl_code count_objects(struct recount *r, const struct bucket *b, wfl_error *err)
{
    struct objects o = {.r = r};
    uint8_t        prefix[WFL_ID_LEN];
    wfl_code       rc = wfl_recount_prefix(r, WFL_SPACE_OBJECTS, wfl_key_bucket(r->id, prefix),
                                           count_object, &o, err);

    if (rc != WFL_OK) return rc;
    if (b == NULL && o.objects > 0)
        wfl_recount_tell(r, "%" PRIu64 " objects of a bucket that is not there", o.objects);
    if (b == NULL) return WFL_OK;
    if (b->published.objects != o.objects)
        wfl_recount_tell(r, "%" PRIu64 " objects are counted, %" PRIu64 " are there",
                         b->published.objects, o.objects);
    if (b->published.bytes != o.bytes)
        wfl_recount_tell(r, "%" PRIu64 " bytes are counted, %" PRIu64 " are there",
                         b->published.bytes, o.bytes);
    return WFL_OK;
}

/* ---- uploads against their parts */

struct upload {
    struct recount *r;
    wfl_ulid        id;
    bool            any; /* `id` is set */
    uint64_t        parts, bytes;
};

static const char *upload_text(const wfl_ulid *upload)
{
    static _Thread_local char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(upload, text);
    return text;
}

static bool read_upload_key(struct recount *r, wfl_slice key, size_t behind, wfl_ulid *out)
{
    if (key.len != 1 + WFL_ID_LEN + sizeof out->bytes + behind) {
        wfl_recount_tell(r, "a row of uploads has a key of %zu bytes", key.len);
        return false;
    }
    memcpy(out->bytes, key.data + 1 + WFL_ID_LEN, sizeof out->bytes);
    return true;
}

static wfl_code has_row(struct recount *r, uint8_t tag, const wfl_ulid *upload, bool *there,
                        wfl_error *err)
{
    uint8_t        key[WFL_UPLOAD_KEY_MAX];
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_engine_read(r->store->engine, WFL_SPACE_UPLOADS,
                                        wfl_key_upload(tag, r->id, upload, key), &pin, err);

    wfl_pin_release(&pin);
    *there = rc == WFL_OK;
    return rc == WFL_NOT_FOUND ? WFL_OK : rc;
}

static wfl_code count_part(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct upload         *u = ctx;
    struct wfl_record_part record;

    (void)err;
    u->parts++;
    if (wfl_record_part_read(pair->value.data, pair->value.len, &record) == NULL)
        u->bytes += record.size;
    return WFL_OK;
}

static wfl_code check_state(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct recount                *r = ctx;
    struct upload                  u = {.r = r};
    struct wfl_record_upload_state state;
    uint8_t                        key[WFL_UPLOAD_KEY_MAX];
    bool                           there;
    wfl_code                       rc;

    if (!read_upload_key(r, pair->key, 0, &u.id)) return WFL_OK;
    rc = has_row(r, WFL_UPLOAD_GIVEN, &u.id, &there, err);
    if (rc != WFL_OK) return rc;
    if (!there)
        wfl_recount_tell(r, "upload %s: what was given at its start is missing",
                         upload_text(&u.id));
    const char *wrong = wfl_record_upload_state_read(pair->value.data, pair->value.len, &state);
    if (wrong != NULL) {
        wfl_recount_tell(r, "upload %s: its state: %s", upload_text(&u.id), wrong);
        return WFL_OK;
    }
    rc =
        wfl_recount_prefix(r, WFL_SPACE_UPLOADS, wfl_key_upload(WFL_UPLOAD_PART, r->id, &u.id, key),
                           count_part, &u, err);
    if (rc == WFL_OK && (state.parts != u.parts || state.bytes != u.bytes))
        wfl_recount_tell(r,
                         "upload %s: %" PRIu32 " parts of %" PRIu64 " bytes are counted, %" PRIu64
                         " of %" PRIu64 " are there",
                         upload_text(&u.id), state.parts, state.bytes, u.parts, u.bytes);
    return rc;
}

static wfl_code check_given(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct recount          *r = ctx;
    struct wfl_record_upload record;
    wfl_ulid                 upload;
    bool                     there;

    if (!read_upload_key(r, pair->key, 0, &upload)) return WFL_OK;
    const char *wrong = wfl_record_upload_read(pair->value.data, pair->value.len, &record);
    if (wrong != NULL) wfl_recount_tell(r, "upload %s: %s", upload_text(&upload), wrong);
    wfl_code rc = has_row(r, WFL_UPLOAD_STATE, &upload, &there, err);
    if (rc == WFL_OK && !there)
        wfl_recount_tell(r, "upload %s: its state is missing", upload_text(&upload));
    return rc;
}

/* Parts come by upload; each upload is looked for once. */
static wfl_code check_part(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct upload         *u = ctx;
    struct wfl_record_part record;
    wfl_ulid               upload;
    bool                   there;

    if (!read_upload_key(u->r, pair->key, 2, &upload)) return WFL_OK;
    const char *wrong = wfl_record_part_read(pair->value.data, pair->value.len, &record);
    if (wrong != NULL)
        wfl_recount_tell(u->r, "upload %s: record of a part: %s", upload_text(&upload), wrong);
    if (u->any && wfl_ulid_cmp(&u->id, &upload) == 0) return WFL_OK;
    u->any = true;
    u->id = upload;
    wfl_code rc = has_row(u->r, WFL_UPLOAD_STATE, &upload, &there, err);
    if (rc == WFL_OK && !there)
        wfl_recount_tell(u->r, "upload %s: parts of an upload that is not there",
                         upload_text(&upload));
    return rc;
}

static wfl_code check_uploads(struct recount *r, wfl_error *err)
{
    static const wfl_ulid any = {{0}};
    struct upload         u = {.r = r};
    uint8_t               key[WFL_UPLOAD_KEY_MAX];
    wfl_slice             prefix =
        wfl_slice_of(wfl_key_upload(WFL_UPLOAD_STATE, r->id, &any, key).data, 1 + WFL_ID_LEN);
    wfl_code rc = wfl_recount_prefix(r, WFL_SPACE_UPLOADS, prefix, check_state, r, err);

    key[0] = WFL_UPLOAD_GIVEN;
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_UPLOADS, prefix, check_given, r, err);
    key[0] = WFL_UPLOAD_PART;
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_UPLOADS, prefix, check_part, &u, err);
    return rc;
}

/* ---- blobs against chunks */

static wfl_code check_blob(struct recount *r, const struct wfl_blob_walk *walk, uint64_t *fitting,
                           wfl_error *err)
{
    struct wfl_record_refs refs;
    struct wfl_pin         pin = {0};
    char                   hex[2 * WFL_BLOB_NAME_MAX + 1];
    wfl_code               rc = wfl_engine_read(r->store->engine, WFL_SPACE_CHUNKS,
                                                wfl_slice_of(walk->name, walk->name_len), &pin, err);

    wfl_hex_encode(wfl_slice_of(walk->name, walk->name_len), hex);
    if (walk->verdict != WFL_OK) wfl_recount_tell(r, "blob %s: %s", hex, walk->why.message);
    if (rc == WFL_NOT_FOUND) {
        wfl_recount_tell(r, "blob %s: no chunk has its name", hex);
        return WFL_OK;
    }
    if (rc != WFL_OK) return rc;
    ++*fitting;
    /* A damaged row was told of with the chunks. */
    if (wfl_record_refs_read(pin.value.data, pin.value.len, &refs) == NULL &&
        walk->verdict == WFL_OK && refs.len != walk->len)
        wfl_recount_tell(r, "blob %s: it has %" PRIu32 " bytes, its chunk %" PRIu32, hex, walk->len,
                         refs.len);
    wfl_pin_release(&pin);
    return WFL_OK;
}

/* Which chunks are without one: asked only where their number differs. */
static wfl_code look_for_blob(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct recount *r = ctx;
    struct wfl_blob blob = {0};
    char            hex[2 * WFL_BLOB_NAME_MAX + 1];

    if (pair->key.len != WFL_CHUNK_KEY_LEN) return WFL_OK;
    wfl_code rc = wfl_engine_blob_open(r->store->engine, pair->key, false, &blob, err);
    wfl_blob_close(&blob);
    if (rc != WFL_NOT_FOUND) return rc == WFL_CORRUPT_OBJECT ? WFL_OK : rc;
    wfl_hex_encode(pair->key, hex);
    wfl_recount_tell(r, "chunk %s: its blob is missing", hex);
    return WFL_OK;
}

static wfl_code check_blobs(struct recount *r, wfl_error *err)
{
    struct wfl_blob_walk walk = {0};
    uint64_t             fitting = 0;
    wfl_code             rc = WFL_OK;

    r->name[0] = '\0';
    while (rc == WFL_OK) {
        rc = wfl_engine_blob_walk(r->store->engine, &walk, err);
        if (rc != WFL_OK || walk.ended) break;
        rc = check_blob(r, &walk, &fitting, err);
    }
    if (rc == WFL_OK && fitting != r->chunk_rows)
        rc = wfl_recount_rows(r, WFL_SPACE_CHUNKS, (wfl_slice){0}, (wfl_slice){0}, look_for_blob, r,
                              err);
    if (rc != WFL_OK) return rc;
    rc = wfl_engine_blob_recount(r->store->engine, err);
    if (rc != WFL_CORRUPT_OBJECT) return rc;
    wfl_recount_tell(r, "%s", err->message);
    return WFL_OK;
}

/* ---- buckets */

static int by_id(const void *a, const void *b)
{
    const struct bucket *const *x = a, *const *y = b;

    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

static wfl_code sort_buckets(struct recount *r, wfl_error *err)
{
    const struct wfl_store *s = r->store;

    r->buckets = wfl_alloc_zero(s->alloc, s->table_count + 1, sizeof(void *));
    if (r->buckets == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to recount");
    for (size_t i = 0; i < s->table_count; i++)
        r->buckets[i] = s->table[i];
    qsort((void *)r->buckets, s->table_count, sizeof(void *), by_id);
    return WFL_OK;
}

/* The next bucket that stands, whose id is `after` at the least. */
static const struct bucket *bucket_from(struct recount *r, uint32_t after)
{
    while (r->buckets[r->at] != NULL && r->buckets[r->at]->id < after)
        r->at++;
    return r->buckets[r->at];
}

/* The smallest id above `*id` of which there is a row behind `tag` (of UPLOADS; else 0). */
static wfl_code next_of(struct recount *r, enum wfl_space space, uint8_t tag, uint32_t after,
                        uint32_t *least, wfl_error *err)
{
    uint8_t                 from[1 + WFL_ID_LEN] = {tag}, to[1] = {(uint8_t)(tag + 1)};
    struct wfl_engine_range range = {.space = space, .limit = 1};
    size_t                  skip = tag == 0 ? 0 : 1;
    wfl_code                rc;

    if (after == UINT32_MAX) return WFL_OK;
    (void)wfl_key_bucket(after + 1, from + 1);
    range.from = wfl_slice_of(from + 1 - skip, WFL_ID_LEN + skip);
    range.to = wfl_slice_of(to, skip);
    rc = wfl_wait_range(r->store, &range, err);
    if (rc == WFL_OK && range.count > 0) {
        wfl_slice key = range.pairs[0].key;
        uint32_t  id;

        if (key.len >= skip + WFL_ID_LEN &&
            wfl_key_read_bucket(wfl_slice_of(key.data + skip, WFL_ID_LEN), &id) && id < *least)
            *least = id;
    }
    wfl_engine_range_free(&range);
    return rc;
}

/* UINT32_MAX: there is none. */
static wfl_code next_id(struct recount *r, uint32_t after, uint32_t *out, wfl_error *err)
{
    static const struct {
        enum wfl_space space;
        uint8_t        tag;
    } places[] = {
        {WFL_SPACE_OBJECTS, 0},
        {WFL_SPACE_VALUES, 0},
        {WFL_SPACE_HISTORY, 0},
        {WFL_SPACE_TAGS, 0},
        {WFL_SPACE_CHANGES, 0},
        {WFL_SPACE_MANIFESTS, 0},
        {WFL_SPACE_CHUNKS, 0},
        {WFL_SPACE_UPLOADS, WFL_UPLOAD_GIVEN},
        {WFL_SPACE_UPLOADS, WFL_UPLOAD_STATE},
        {WFL_SPACE_UPLOADS, WFL_UPLOAD_PART},
        {WFL_SPACE_UPLOADS, WFL_UPLOAD_TRASH},
        {WFL_SPACE_UPLOADS, WFL_UPLOAD_ZERO},
    };
    wfl_code rc = WFL_OK;

    *out = UINT32_MAX;
    for (size_t i = 0; rc == WFL_OK && i < WFL_COUNT(places); i++)
        rc = next_of(r, places[i].space, places[i].tag, after, out, err);
    if (after == UINT32_MAX) return rc;
    const struct bucket *b = bucket_from(r, after + 1);
    if (b != NULL && b->id < *out) *out = b->id;
    return rc;
}

static wfl_code count_bucket(struct recount *r, wfl_error *err)
{
    const struct bucket *b = bucket_from(r, r->id);
    wfl_code             rc;

    if (b != NULL && b->id != r->id) b = NULL;
    if (b != NULL)
        snprintf(r->name, sizeof r->name, "bucket %.*s", WFL_FMT(wfl_bucket_name(b)));
    else
        snprintf(r->name, sizeof r->name, "former bucket %" PRIu32, r->id);
    rc = count_objects(r, b, err);
    if (rc == WFL_OK) rc = check_uploads(r, err);
    if (rc == WFL_OK) rc = wfl_recount_owners(r, err);
    if (rc == WFL_OK) rc = wfl_recount_chunks(r, err);
    if (rc == WFL_OK) rc = wfl_recount_versions(r, b, err);
    return rc;
}

wfl_code wfl_store_recount(struct wfl_store *s, const struct wfl_recount *how,
                           uint64_t *differences, wfl_error *err)
{
    struct recount r = {.store = s, .how = how};
    wfl_code       rc = sort_buckets(&r, err);

    if (rc == WFL_OK) rc = next_id(&r, 0, &r.id, err);
    while (rc == WFL_OK && r.id != UINT32_MAX) {
        rc = count_bucket(&r, err);
        if (rc == WFL_OK) rc = next_id(&r, r.id, &r.id, err);
    }
    if (rc == WFL_OK) rc = check_blobs(&r, err);
    wfl_alloc_free(s->alloc, (void *)r.buckets);
    *differences = r.differences;
    return rc == WFL_OK ? rc : wfl_wrap(err, "recount");
}
