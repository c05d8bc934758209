/* SPDX-License-Identifier: Apache-2.0
 *
 * Multipart uploads. What was given at the start, what changes with each part, and each part have a
 * record of their own, so a part costs two small records however many there are. A part that is put
 * again leaves the old one's manifest to the collector in the same commit; so does an abort with
 * all of them. The state's generation grows with every part, by which a completion notices that it
 * has been overtaken.
 *
 * Fails with UPLOAD_NOT_FOUND, BUCKET_NOT_FOUND, NOMEM, CORRUPT_OBJECT and what commits may say;
 * then nothing has changed. */
#include <assert.h>

#include "store/uploads.h"

#define PARTS_A_PAGE 1000

wfl_code wfl_fail_no_upload(wfl_error *err, const wfl_ulid *upload)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(upload, text);
    return wfl_fail(err, WFL_UPLOAD_NOT_FOUND, "there is no upload %s of this key", text);
}

/* ---- reading */

static wfl_code understand(wfl_slice key, const wfl_ulid *upload, const struct wfl_pin *pin,
                           struct wfl_record_upload *out, wfl_error *err)
{
    const char *wrong = wfl_record_upload_read(pin->value.data, pin->value.len, out);

    if (wrong == NULL &&
        (out->match.kind > WFL_COND_NEVER || out->none_match.kind > WFL_COND_NEVER))
        wrong = "a newer release wrote it";
    if (wrong != NULL) return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of an upload: %s", wrong);
    if (!wfl_slice_eq(wfl_from_record(out->key), key)) return wfl_fail_no_upload(err, upload);
    return WFL_OK;
}

wfl_code wfl_upload_find(struct wfl_txn *t, uint32_t id, wfl_slice key, const wfl_ulid *upload,
                         struct wfl_pin *pin, struct wfl_record_upload *out, wfl_error *err)
{
    uint8_t  space[WFL_UPLOAD_KEY_MAX];
    wfl_code rc = wfl_txn_get(t, WFL_SPACE_UPLOADS,
                              wfl_key_upload(WFL_UPLOAD_GIVEN, id, upload, space), pin, err);

    if (rc == WFL_NOT_FOUND) return wfl_fail_no_upload(err, upload);
    if (rc == WFL_OK) rc = understand(key, upload, pin, out, err);
    if (rc != WFL_OK) wfl_pin_release(pin);
    return rc;
}

wfl_code wfl_upload_read(struct wfl_store *s, uint32_t id, wfl_slice key, const wfl_ulid *upload,
                         struct wfl_pin *pin, struct wfl_record_upload *out, wfl_error *err)
{
    uint8_t  space[WFL_UPLOAD_KEY_MAX];
    wfl_code rc = wfl_engine_read(s->engine, WFL_SPACE_UPLOADS,
                                  wfl_key_upload(WFL_UPLOAD_GIVEN, id, upload, space), pin, err);

    if (rc == WFL_NOT_FOUND) return wfl_fail_no_upload(err, upload);
    if (rc == WFL_OK) rc = understand(key, upload, pin, out, err);
    if (rc != WFL_OK) wfl_pin_release(pin);
    return rc;
}

wfl_code wfl_upload_find_state(struct wfl_txn *t, uint32_t id, const wfl_ulid *upload,
                               struct wfl_record_upload_state *out, wfl_error *err)
{
    uint8_t        space[WFL_UPLOAD_KEY_MAX];
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_UPLOADS,
                                    wfl_key_upload(WFL_UPLOAD_STATE, id, upload, space), &pin, err);

    if (rc == WFL_NOT_FOUND) return wfl_fail_no_upload(err, upload);
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_upload_state_read(pin.value.data, pin.value.len, out);
    wfl_pin_release(&pin);
    return wrong == NULL ? WFL_OK
                         : wfl_fail(err, WFL_CORRUPT_OBJECT, "state of an upload: %s", wrong);
}

wfl_code wfl_upload_check(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                          const wfl_ulid *upload, wfl_error *err)
{
    struct wfl_record_upload given;
    struct wfl_pin           pin = {0};
    struct bucket_view       b;
    wfl_code                 rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc == WFL_OK) rc = wfl_upload_read(s, b.id, key, upload, &pin, &given, err);
    wfl_pin_release(&pin);
    return rc;
}

/* ---- starting */

struct start {
    struct wfl_store     *store;
    const struct wfl_put *given;
    wfl_buf               record;
    wfl_ulid             *upload;
};

static void pair_of(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                    struct wfl_record_bytes *value)
{
    const struct wfl_name_value *pairs = ctx;

    *name = wfl_to_record(pairs[i].name);
    *value = wfl_to_record(pairs[i].value);
}

static struct wfl_record_condition condition_to_record(const struct wfl_condition *c)
{
    return (struct wfl_record_condition){.kind = (uint8_t)c->kind,
                                         .versions = (const uint8_t *)c->versions,
                                         .version_count = c->version_count};
}

static wfl_code encode(struct start *st, wfl_error *err)
{
    const struct wfl_put    *given = st->given;
    struct wfl_record_upload record = {
        .key = wfl_to_record(given->key),
        .content_type = wfl_to_record(given->content_type),
        .by = wfl_to_record(given->by),
        .meta = {.count = given->meta_count, .ctx = given->meta, .at = pair_of},
        .tags = {.count = given->tag_count, .ctx = given->tags, .at = pair_of},
        .match = condition_to_record(&given->match),
        .none_match = condition_to_record(&given->none_match),
    };

    memcpy(record.jti, given->jti.bytes, sizeof record.jti);
    wfl_buf_init(&st->record, st->store->alloc, SIZE_MAX / 2);
    size_t   bound = wfl_record_upload_bound(&record);
    uint8_t *space = wfl_buf_reserve(&st->record, bound);
    if (space == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for an upload's record");
    st->record.len = wfl_record_upload_write(&record, space, bound);
    return WFL_OK;
}

static wfl_code write_state(struct wfl_store *s, struct wfl_txn *t, uint32_t id,
                            const wfl_ulid *upload, struct wfl_record_upload_state *state,
                            wfl_error *err)
{
    uint8_t key[WFL_UPLOAD_KEY_MAX], space[WFL_RECORD_SMALL_MAX];

    state->touched_ms = wfl_clock_unix_ms(s->clock);
    wfl_slice bytes = wfl_slice_of(space, wfl_record_upload_state_write(state, space));
    return wfl_txn_put(t, WFL_SPACE_UPLOADS, wfl_key_upload(WFL_UPLOAD_STATE, id, upload, key),
                       &bytes, 1, err);
}

static wfl_code start_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct start                  *st = c->arg;
    struct wfl_record_upload_state state = {0};
    struct bucket                 *b = wfl_buckets_find(st->store, st->given->bucket);
    wfl_slice                      record = wfl_buf_slice(&st->record);
    uint8_t                        key[WFL_UPLOAD_KEY_MAX];
    wfl_code                       rc;

    if (b == NULL) return wfl_fail_no_bucket(err, st->given->bucket);
    rc = wfl_store_next_version(st->store, st->upload, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_txn_put(t, WFL_SPACE_UPLOADS, wfl_key_upload(WFL_UPLOAD_GIVEN, b->id, st->upload, key),
                     &record, 1, err);
    if (rc == WFL_OK) rc = write_state(st->store, t, b->id, st->upload, &state, err);
    if (rc == WFL_OK)
        rc = wfl_once_keep(st->given->once, t, &(struct wfl_outcome){.version = *st->upload}, err);
    if (rc == WFL_OK) wfl_buckets_touch(st->store, b); /* the version that was given is kept */
    return rc;
}

wfl_code wfl_upload_start(struct wfl_store *s, const struct wfl_put *given, wfl_ulid *upload,
                          wfl_error *err)
{
    struct start st = {.store = s, .given = given, .upload = upload};
    wfl_code     rc = encode(&st, err);

    if (rc == WFL_OK)
        rc = wfl_wait_commit(s,
                             &(struct wait_commit){.apply = start_apply,
                                                   .arg = &st,
                                                   .bytes = st.record.len + WFL_RECORD_SMALL_MAX,
                                                   .flow = wfl_flow_of(given->bucket),
                                                   .durability = given->durability,
                                                   .grows = true,
                                                   .once = given->once},
                             err);
    if (rc == WFL_OK && given->once != NULL) *upload = given->once->outcome.version;
    wfl_buf_fini(&st.record);
    return rc;
}

/* ---- a part */

struct put_part {
    struct wfl_store      *store;
    wfl_slice              bucket, key;
    const wfl_ulid        *upload;
    const struct wfl_part *part;
    struct wfl_ingest     *content;
    struct wfl_once       *once;
};

/* The part that had the number before, if any, goes to the collector. */
static wfl_code replace_part(struct put_part *p, struct wfl_txn *t, uint32_t id, wfl_slice row,
                             struct wfl_record_upload_state *state, wfl_error *err)
{
    struct wfl_record_part old;
    struct wfl_pin         pin = {0};
    wfl_ulid               manifest;
    wfl_code               rc = wfl_txn_get(t, WFL_SPACE_UPLOADS, row, &pin, err);

    if (rc == WFL_NOT_FOUND) {
        state->parts++;
        return WFL_OK;
    }
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_part_read(pin.value.data, pin.value.len, &old);
    wfl_pin_release(&pin);
    if (wrong != NULL) return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of a part: %s", wrong);
    memcpy(manifest.bytes, old.manifest, sizeof manifest.bytes);
    state->bytes -= old.size;
    return wfl_manifest_to_trash(p->store, t, id, &manifest, WFL_RECORD_CHUNKS, err);
}

static wfl_code write_part(struct put_part *p, struct wfl_txn *t, wfl_slice row, wfl_error *err)
{
    struct wfl_record_part record = {.size = p->part->size};
    uint8_t                space[WFL_RECORD_SMALL_MAX];

    memcpy(record.manifest, wfl_ingest_manifest(p->content)->bytes, sizeof record.manifest);
    memcpy(record.blake3, p->part->blake3.bytes, sizeof record.blake3);
    wfl_slice bytes = wfl_slice_of(space, wfl_record_part_write(&record, space));
    return wfl_txn_put(t, WFL_SPACE_UPLOADS, row, &bytes, 1, err);
}

static wfl_code put_part_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct put_part               *p = c->arg;
    struct bucket                 *b = wfl_buckets_find(p->store, p->bucket);
    struct wfl_record_upload       given;
    struct wfl_record_upload_state state;
    struct wfl_pin                 pin = {0};
    uint8_t                        space[WFL_UPLOAD_KEY_MAX];
    wfl_code                       rc;

    if (b == NULL || b->id != wfl_ingest_bucket(p->content))
        return wfl_fail_no_bucket(err, p->bucket);
    rc = wfl_upload_find(t, b->id, p->key, p->upload, &pin, &given, err);
    wfl_pin_release(&pin);
    if (rc == WFL_OK) rc = wfl_upload_find_state(t, b->id, p->upload, &state, err);
    if (rc != WFL_OK) return rc;
    wfl_slice row = wfl_key_part(b->id, p->upload, p->part->number, space);
    rc = replace_part(p, t, b->id, row, &state, err);
    if (rc == WFL_OK) rc = write_part(p, t, row, err);
    if (rc == WFL_OK) rc = wfl_ingest_commit(p->content, t, err);
    if (rc == WFL_OK)
        rc = wfl_once_keep(p->once, t,
                           &(struct wfl_outcome){.size = p->part->size, .blake3 = p->part->blake3},
                           err);
    if (rc != WFL_OK) return rc;
    state.bytes += p->part->size;
    state.generation++;
    return write_state(p->store, t, b->id, p->upload, &state, err);
}

wfl_code wfl_upload_put_part(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                             const wfl_ulid *upload, struct wfl_part *part,
                             struct wfl_ingest *content, enum wfl_durability durability,
                             struct wfl_once *once, wfl_error *err)
{
    struct put_part p = {.store = s,
                         .bucket = bucket,
                         .key = key,
                         .upload = upload,
                         .part = part,
                         .content = content,
                         .once = once};
    wfl_code        rc;

    assert(part->number >= 1 && part->number <= WFL_PARTS_MAX);
    rc = wfl_wait_commit(s,
                         &(struct wait_commit){.apply = put_part_apply,
                                               .arg = &p,
                                               .bytes = 4 * WFL_RECORD_PAGE_MAX,
                                               .flow = wfl_flow_of(bucket),
                                               .durability = durability,
                                               .grows = true,
                                               .once = once},
                         err);
    if (rc == WFL_OK && once != NULL && once->replayed) {
        part->size = once->outcome.size;
        part->blake3 = once->outcome.blake3;
    } else if (rc == WFL_OK) {
        wfl_ingest_settled(content);
    }
    return rc;
}

/* ---- listing */

static wfl_code take_part(const struct wfl_pair *pair, wfl_buf *out, wfl_error *err)
{
    struct upload_part part = {0};
    wfl_slice          key = pair->key;

    if (key.len != 1 + WFL_ID_LEN + sizeof(wfl_ulid) + 2)
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "key of a part");
    part.number = (uint32_t)key.data[key.len - 2] << 8 | key.data[key.len - 1];
    const char *wrong = wfl_record_part_read(pair->value.data, pair->value.len, &part.record);
    if (wrong != NULL) return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of a part: %s", wrong);
    wfl_buf_add(out, wfl_slice_of(&part, sizeof part));
    return wfl_buf_ok(out) ? WFL_OK : wfl_fail(err, WFL_NOMEM, "no memory for the parts");
}

wfl_code wfl_upload_load_parts(struct wfl_store *s, uint32_t id, const wfl_ulid *upload,
                               struct upload_part **out, uint32_t *count, wfl_error *err)
{
    uint8_t                 from[WFL_UPLOAD_KEY_MAX], to[WFL_UPLOAD_KEY_MAX];
    struct wfl_engine_range range = {.space = WFL_SPACE_UPLOADS, .flow = id, .limit = PARTS_A_PAGE};
    uint32_t                next = 0;
    wfl_buf                 parts;
    wfl_code                rc;

    wfl_buf_init(&parts, s->alloc, (WFL_PARTS_MAX + 1) * sizeof(struct upload_part));
    range.to = wfl_key_part(id, upload, WFL_PARTS_MAX + 1, to);
    do {
        range.from = wfl_key_part(id, upload, next, from);
        rc = wfl_wait_range(s, &range, err);
        for (uint32_t i = 0; rc == WFL_OK && i < range.count; i++)
            rc = take_part(&range.pairs[i], &parts, err);
        if (rc == WFL_OK && range.count > 0)
            next = ((struct upload_part *)(void *)(parts.data + parts.len))[-1].number + 1;
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more);
    if (rc != WFL_OK) {
        wfl_buf_fini(&parts);
        return rc;
    }
    *out = (struct upload_part *)(void *)parts.data; /* which the caller frees */
    *count = (uint32_t)(parts.len / sizeof **out);
    return WFL_OK;
}

wfl_code wfl_upload_list_parts(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                               const wfl_ulid *upload, struct wfl_part **out, uint32_t *count,
                               wfl_error *err)
{
    struct wfl_record_upload given;
    struct upload_part      *rows = NULL;
    struct wfl_part         *parts = NULL;
    struct wfl_pin           pin = {0};
    struct bucket_view       b;
    wfl_code                 rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc == WFL_OK) rc = wfl_upload_read(s, b.id, key, upload, &pin, &given, err);
    wfl_pin_release(&pin);
    if (rc == WFL_OK) rc = wfl_upload_load_parts(s, b.id, upload, &rows, count, err);
    if (rc != WFL_OK) return rc;
    parts = wfl_alloc_zero(s->alloc, *count + 1u, sizeof *parts);
    if (parts == NULL) rc = wfl_fail(err, WFL_NOMEM, "no memory for the parts");
    for (uint32_t i = 0; rc == WFL_OK && i < *count; i++) {
        parts[i] = (struct wfl_part){.number = rows[i].number, .size = rows[i].record.size};
        memcpy(parts[i].blake3.bytes, rows[i].record.blake3, WFL_HASH_LEN);
    }
    wfl_alloc_free(s->alloc, rows);
    *out = parts;
    return rc;
}

void wfl_upload_free_parts(struct wfl_store *s, struct wfl_part *parts)
{
    wfl_alloc_free(s->alloc, parts);
}

/* ---- removing */

wfl_code wfl_upload_delete_rows(struct wfl_txn *t, uint32_t id, const wfl_ulid *upload,
                                const struct upload_part *parts, uint32_t count, wfl_error *err)
{
    uint8_t  key[WFL_UPLOAD_KEY_MAX];
    wfl_code rc = wfl_txn_delete(t, WFL_SPACE_UPLOADS,
                                 wfl_key_upload(WFL_UPLOAD_GIVEN, id, upload, key), err);

    if (rc == WFL_OK)
        rc = wfl_txn_delete(t, WFL_SPACE_UPLOADS, wfl_key_upload(WFL_UPLOAD_STATE, id, upload, key),
                            err);
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        rc = wfl_txn_delete(t, WFL_SPACE_UPLOADS, wfl_key_part(id, upload, parts[i].number, key),
                            err);
    return rc;
}

struct removal {
    struct wfl_store         *store;
    uint32_t                  id;
    const wfl_ulid           *upload;
    uint64_t                  touched_max_ms;
    uint64_t                  generation;
    const struct upload_part *parts;
    uint32_t                  count;
    struct wfl_once          *once;
    bool                      overtaken; /* a part came between reading and committing */
};

static wfl_code remove_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct removal                *r = c->arg;
    struct wfl_record_upload_state state;
    wfl_code                       rc = wfl_upload_find_state(t, r->id, r->upload, &state, err);

    if (rc != WFL_OK) return rc;
    r->overtaken = state.generation != r->generation;
    if (r->overtaken || state.touched_ms > r->touched_max_ms) return WFL_OK;
    for (uint32_t i = 0; i < r->count; i++) {
        wfl_ulid manifest;

        memcpy(manifest.bytes, r->parts[i].record.manifest, sizeof manifest.bytes);
        rc = wfl_manifest_to_trash(r->store, t, r->id, &manifest, WFL_RECORD_CHUNKS, err);
        if (rc != WFL_OK) return rc;
    }
    rc = wfl_once_keep(r->once, t, &(struct wfl_outcome){0}, err);
    return rc == WFL_OK ? wfl_upload_delete_rows(t, r->id, r->upload, r->parts, r->count, err) : rc;
}

wfl_code wfl_upload_read_generation(struct wfl_store *s, uint32_t id, const wfl_ulid *upload,
                                    uint64_t *out, wfl_error *err)
{
    struct wfl_record_upload_state state;
    uint8_t                        key[WFL_UPLOAD_KEY_MAX];
    struct wfl_pin                 pin = {0};
    wfl_code                       rc = wfl_engine_read(s->engine, WFL_SPACE_UPLOADS,
                                                        wfl_key_upload(WFL_UPLOAD_STATE, id, upload, key), &pin, err);

    if (rc == WFL_NOT_FOUND) return wfl_fail_no_upload(err, upload);
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_upload_state_read(pin.value.data, pin.value.len, &state);
    wfl_pin_release(&pin);
    if (wrong != NULL) return wfl_fail(err, WFL_CORRUPT_OBJECT, "state of an upload: %s", wrong);
    *out = state.generation;
    return WFL_OK;
}

static wfl_code remove_upload(struct removal *r, wfl_error *err)
{
    struct wfl_store *s = r->store;
    wfl_code          rc;

    do {
        struct upload_part *parts = NULL;

        r->overtaken = false;
        rc = wfl_upload_read_generation(s, r->id, r->upload, &r->generation, err);
        if (rc == WFL_OK) rc = wfl_upload_load_parts(s, r->id, r->upload, &parts, &r->count, err);
        r->parts = parts;
        if (rc == WFL_OK)
            rc = wfl_wait_commit(s,
                                 &(struct wait_commit){.apply = remove_apply,
                                                       .arg = r,
                                                       .bytes = (r->count + 4) * 256ull,
                                                       .durability = WFL_DURABLE,
                                                       .once = r->once},
                                 err);
        wfl_alloc_free(s->alloc, parts);
    } while (rc == WFL_OK && r->overtaken);
    return rc;
}

wfl_code wfl_upload_remove(struct wfl_store *s, uint32_t id, const wfl_ulid *upload,
                           uint64_t touched_max_ms, wfl_error *err)
{
    struct removal r = {.store = s, .id = id, .upload = upload, .touched_max_ms = touched_max_ms};

    return remove_upload(&r, err);
}

wfl_code wfl_upload_abort(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                          const wfl_ulid *upload, struct wfl_once *once, wfl_error *err)
{
    struct removal r = {.store = s, .upload = upload, .touched_max_ms = UINT64_MAX, .once = once};
    struct wfl_record_upload given;
    struct wfl_pin           pin = {0};
    struct bucket_view       b;
    wfl_code                 rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc == WFL_OK) rc = wfl_upload_read(s, b.id, key, upload, &pin, &given, err);
    wfl_pin_release(&pin);
    r.id = b.id;
    return rc == WFL_OK ? remove_upload(&r, err) : rc;
}

/* ---- listing uploads */

static wfl_code show(struct wfl_store *s, uint32_t id, const struct wfl_pair *pair,
                     wfl_arena *arena, struct wfl_upload_info *out, wfl_error *err)
{
    struct wfl_record_upload       given;
    struct wfl_record_upload_state state = {0};
    uint8_t                        key[WFL_UPLOAD_KEY_MAX];
    struct wfl_pin                 pin = {0};
    wfl_slice                      rest;
    uint32_t                       same;
    const char *wrong = wfl_record_upload_read(pair->value.data, pair->value.len, &given);

    if (wrong != NULL || !wfl_key_read_upload(pair->key, &same, &rest) ||
        rest.len != sizeof out->upload.bytes)
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of an upload");
    memcpy(out->upload.bytes, rest.data, sizeof out->upload.bytes);
    if (!wfl_arena_copy(arena, wfl_from_record(given.key), &out->key))
        return wfl_fail(err, WFL_NOMEM, "no memory for the uploads");
    wfl_code rc =
        wfl_engine_read(s->engine, WFL_SPACE_UPLOADS,
                        wfl_key_upload(WFL_UPLOAD_STATE, id, &out->upload, key), &pin, err);
    if (rc == WFL_OK && wfl_record_upload_state_read(pin.value.data, pin.value.len, &state) == NULL)
        out->bytes = state.bytes;
    wfl_pin_release(&pin);
    return rc;
}

/* One page of their records. `*got` grows; those that ended since the page was read are left out.
 */
static wfl_code show_page(struct wfl_store *s, uint32_t id, const struct wfl_engine_range *range,
                          wfl_arena *arena, struct wfl_upload_info *out, uint32_t *got,
                          wfl_error *err)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; i < range->count && rc == WFL_OK; i++) {
        rc = show(s, id, &range->pairs[i], arena, &out[*got], err);
        *got += rc == WFL_OK;
        if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    }
    return rc;
}

/* Room for `more` behind what is there. The old place stays in the arena: it is a request's. */
static wfl_code widen(wfl_arena *arena, struct wfl_upload_info **list, uint32_t count,
                      uint32_t more, wfl_error *err)
{
    struct wfl_upload_info *wider = wfl_arena_zero(arena, (size_t)count + more, sizeof *wider);

    if (wider == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the uploads");
    if (*list != NULL) memcpy(wider, *list, count * sizeof *wider);
    *list = wider;
    return WFL_OK;
}

wfl_code wfl_upload_list(struct wfl_store *s, wfl_slice bucket, wfl_arena *arena,
                         struct wfl_upload_info **out, uint32_t *count, wfl_error *err)
{
    static const wfl_ulid   first = {{0}};
    uint8_t                 from[WFL_UPLOAD_KEY_MAX + 1], to[WFL_UPLOAD_KEY_MAX];
    struct wfl_engine_range range = {.space = WFL_SPACE_UPLOADS};
    struct wfl_upload_info *list = NULL;
    struct bucket_view      b;
    uint32_t                got = 0;
    wfl_code                rc = wfl_buckets_look_up(s, bucket, &b, err);

    if (rc != WFL_OK) return rc;
    range.flow = b.id;
    range.from =
        wfl_slice_of(wfl_key_upload(WFL_UPLOAD_GIVEN, b.id, &first, from).data, 1 + WFL_ID_LEN);
    (void)wfl_key_upload(WFL_UPLOAD_GIVEN, b.id, &first, to);
    range.to = wfl_slice_of(to, wfl_key_after_prefix(to, 1 + WFL_ID_LEN));
    do { /* large records end a page early */
        range.limit = WFL_UPLOADS_LISTED_MAX - got;
        rc = wfl_wait_range(s, &range, err);
        if (rc == WFL_OK && range.count > 0) rc = widen(arena, &list, got, range.count, err);
        if (rc == WFL_OK) rc = show_page(s, b.id, &range, arena, list, &got, err);
        if (rc == WFL_OK && range.more) {
            wfl_slice last = range.pairs[range.count - 1].key;
            memcpy(from, last.data, last.len);
            from[last.len] = 0;
            range.from = wfl_slice_of(from, last.len + 1);
        }
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more && got < WFL_UPLOADS_LISTED_MAX);
    *out = list;
    *count = got;
    return rc;
}
