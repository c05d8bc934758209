/* SPDX-License-Identifier: Apache-2.0
 *
 * Making an object of an upload. The parts are compared with what the client lists, all content is
 * read once to hash the whole (a BLAKE3 of the whole cannot be made of the parts' own), and one
 * commit then makes the object: it names the parts' manifests, which lose their part records in the
 * same batch, so no content moves and no count changes. A part that was put between the comparison
 * and the commit shows in the upload's generation and stops it.
 *
 * Fails with INVALID_PART, CONTENT_MISMATCH, UPLOAD_NOT_FOUND, what a put may fail with, and
 * CORRUPT_OBJECT where content fails its hash; the upload then stays as it was. */
#include <assert.h>

#include "store/reader.h"
#include "store/uploads.h"

#define STEP_BYTES (64u << 20)

struct chosen { /* parts of the object, in order */
    wfl_ulid manifest;
    uint64_t size;
    bool     active;
};

struct wfl_completion {
    struct wfl_store *store;
    wfl_slice         bucket, key; /* the caller's */
    uint32_t          id;
    wfl_ulid          upload;
    uint64_t          generation;
    const wfl_hash   *declared;

    struct wfl_pin           pin; /* of `given` */
    struct wfl_record_upload given;
    struct upload_part      *parts; /* all that were received */
    uint32_t                 part_count;
    struct chosen           *chosen;
    uint32_t                 chosen_count;
    bool                    *used; /* beside parts: it is one of the chosen */

    struct wfl_hasher  whole;
    uint64_t           size;
    uint32_t           hashed; /* of the chosen, wholly */
    struct wfl_reader *reader; /* of the one under way */
    uint8_t           *buffer;

    struct wfl_put         put;
    struct wfl_name_value *pairs;
    wfl_ulid              *versions;
    uint8_t               *list; /* the record of the parts */
    size_t                 list_len;
};

/* ---- which parts */

static wfl_code invalid(wfl_error *err, uint32_t number, const char *why)
{
    return wfl_fail(err, WFL_INVALID_PART, "part %lu %s", (unsigned long)number, why);
}

static const struct upload_part *find_part(const struct wfl_completion *c, uint32_t number)
{
    uint32_t from = 0, to = c->part_count;

    while (from < to) {
        uint32_t mid = from + (to - from) / 2;
        if (c->parts[mid].number < number)
            from = mid + 1;
        else
            to = mid;
    }
    return from < c->part_count && c->parts[from].number == number ? &c->parts[from] : NULL;
}

static wfl_code choose(struct wfl_completion *c, const struct wfl_part *asked, uint32_t i,
                       wfl_error *err)
{
    const struct upload_part *part = find_part(c, asked[i].number);
    struct chosen            *chosen = &c->chosen[i];

    if (i > 0 && asked[i].number <= asked[i - 1].number)
        return invalid(err, asked[i].number, "is not in ascending order");
    if (part == NULL) return invalid(err, asked[i].number, "was not received");
    if (memcmp(part->record.blake3, asked[i].blake3.bytes, WFL_HASH_LEN) != 0)
        return invalid(err, asked[i].number, "was received with another hash");
    if (i + 1 < c->chosen_count && part->record.size < WFL_PART_BYTES_MIN)
        return invalid(err, asked[i].number, "is smaller than 1 MiB and not the last");
    memcpy(chosen->manifest.bytes, part->record.manifest, sizeof chosen->manifest.bytes);
    chosen->size = part->record.size;
    c->size += chosen->size;
    c->used[part - c->parts] = true;
    /* Held until the end, or a part that is put again would take its content away meanwhile. */
    wfl_code rc = wfl_active_enter(c->store, &chosen->manifest);
    chosen->active = rc == WFL_OK;
    if (rc == WFL_NOT_FOUND) return invalid(err, asked[i].number, "has just been replaced");
    return rc == WFL_OK ? rc : wfl_fail(err, rc, "no memory to complete an upload");
}

static wfl_code choose_all(struct wfl_completion *c, const struct wfl_part *asked, uint32_t count,
                           wfl_error *err)
{
    wfl_code rc = WFL_OK;

    if (count == 0) return wfl_fail(err, WFL_INVALID_PART, "an object has at least one part");
    c->chosen = wfl_alloc_zero(c->store->alloc, count, sizeof *c->chosen);
    c->used = wfl_alloc_zero(c->store->alloc, c->part_count + 1u, sizeof *c->used);
    if (c->chosen == NULL || c->used == NULL)
        return wfl_fail(err, WFL_NOMEM, "no memory to complete an upload");
    c->chosen_count = count;
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        rc = choose(c, asked, i, err);
    if (rc == WFL_OK && c->size > WFL_OBJECT_BYTES_MAX)
        rc = wfl_fail(err, WFL_OBJECT_TOO_LARGE, "an object has 5 TiB at the most");
    return rc;
}

static wfl_code load(struct wfl_completion *c, wfl_error *err)
{
    struct bucket_view b;
    wfl_code           rc = wfl_buckets_look_up(c->store, c->bucket, &b, err);

    if (rc == WFL_OK) c->id = b.id;

    if (rc == WFL_OK)
        rc = wfl_upload_read(c->store, c->id, c->key, &c->upload, &c->pin, &c->given, err);
    if (rc == WFL_OK) /* before the parts: a later one is then noticed */
        rc = wfl_upload_read_generation(c->store, c->id, &c->upload, &c->generation, err);
    if (rc != WFL_OK) return rc;
    return wfl_upload_load_parts(c->store, c->id, &c->upload, &c->parts, &c->part_count, err);
}

/* A part that was replaced before it was held may be collected already; later ones stay. */
static wfl_code check_generation(struct wfl_completion *c, wfl_error *err)
{
    uint64_t now;
    wfl_code rc = wfl_upload_read_generation(c->store, c->id, &c->upload, &now, err);

    if (rc != WFL_OK || now == c->generation) return rc;
    return wfl_fail(err, WFL_INVALID_PART, "a part was put while the upload was completed");
}

wfl_code wfl_completion_new(struct wfl_store *s, wfl_slice bucket, wfl_slice key,
                            const wfl_ulid *upload, const struct wfl_part *parts, uint32_t count,
                            const wfl_hash *whole, struct wfl_completion **out, wfl_error *err)
{
    struct wfl_completion *c = wfl_alloc_zero(s->alloc, 1, sizeof *c);
    wfl_code               rc;

    if (c == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to complete an upload");
    c->store = s;
    c->bucket = bucket;
    c->key = key;
    c->upload = *upload;
    c->declared = whole;
    wfl_hasher_init(&c->whole);
    rc = load(c, err);
    if (rc == WFL_OK) rc = choose_all(c, parts, count, err);
    if (rc == WFL_OK) rc = check_generation(c, err);
    if (rc != WFL_OK) {
        wfl_completion_free(c);
        return rc;
    }
    *out = c;
    return WFL_OK;
}

uint64_t wfl_completion_size(const struct wfl_completion *c)
{
    return c->size;
}

/* ---- the hash of the whole */

static bool is_one(const struct wfl_completion *c)
{
    return c->chosen_count == 1;
}

/* It goes into a record as if it had been put, and its part away. Then it is one part: all but the
 * last are larger. */
static bool is_small(const struct wfl_completion *c)
{
    return c->size <= WFL_VALUE_BYTES_MAX;
}

static wfl_code hash_piece(struct wfl_completion *c, const struct wfl_piece *piece, wfl_error *err)
{
    wfl_code rc = wfl_blob_copy(&piece->blob, piece->at, piece->len, c->buffer, err);

    if (rc == WFL_OK) wfl_hasher_add(&c->whole, wfl_slice_of(c->buffer, piece->len));
    return rc;
}

static wfl_code hash_more(struct wfl_completion *c, uint64_t *done, wfl_error *err)
{
    const struct chosen *part = &c->chosen[c->hashed];
    struct wfl_piece     piece;
    wfl_code             rc = WFL_OK;

    if (c->reader == NULL)
        rc = wfl_reader_over(c->store, c->id, &part->manifest, part->size, &c->reader, err);
    if (rc != WFL_OK) return rc;
    rc = wfl_reader_next(c->reader, &piece, err);
    if (rc != WFL_OK) return rc;
    if (piece.len == 0) {
        wfl_reader_free(c->reader);
        c->reader = NULL;
        c->hashed++;
        return WFL_OK;
    }
    rc = hash_piece(c, &piece, err);
    wfl_blob_close(&piece.blob);
    *done += piece.len;
    return rc;
}

wfl_code wfl_completion_step(struct wfl_completion *c, bool *ended, wfl_error *err)
{
    uint64_t done = 0;
    wfl_code rc = WFL_OK;

    if (is_one(c) && !is_small(c)) c->hashed = 1; /* the part's own hash is the whole's */
    if (c->buffer == NULL && c->hashed < c->chosen_count) {
        c->buffer = wfl_alloc_get(c->store->alloc, WFL_CHUNK_BYTES);
        if (c->buffer == NULL) return wfl_fail(err, WFL_NOMEM, "no memory to hash an object");
    }
    while (rc == WFL_OK && c->hashed < c->chosen_count && done < STEP_BYTES)
        rc = hash_more(c, &done, err);
    *ended = c->hashed == c->chosen_count;
    return rc;
}

/* ---- the object */

static void copy_pairs(const struct wfl_record_pairs *from, struct wfl_name_value *to)
{
    for (uint32_t i = 0; i < from->count; i++) {
        struct wfl_record_bytes name, value;
        from->at(from->ctx, i, &name, &value);
        to[i] =
            (struct wfl_name_value){.name = wfl_from_record(name), .value = wfl_from_record(value)};
    }
}

static struct wfl_condition condition_of(const struct wfl_record_condition *from,
                                         wfl_ulid                          *versions)
{
    if (from->version_count > 0)
        memcpy(versions, from->versions, (size_t)from->version_count * sizeof *versions);
    return (struct wfl_condition){.kind = (enum wfl_condition_kind)from->kind,
                                  .versions = versions,
                                  .version_count = from->version_count};
}

static wfl_code write_list(struct wfl_completion *c, wfl_error *err)
{
    size_t                    cap = 512 + c->chosen_count * sizeof(struct wfl_record_extent);
    struct wfl_record_extent *extents =
        wfl_alloc_zero(c->store->alloc, c->chosen_count, sizeof *extents);

    c->list = wfl_alloc_get(c->store->alloc, cap);
    if (extents == NULL || c->list == NULL) {
        wfl_alloc_free(c->store->alloc, extents);
        return wfl_fail(err, WFL_NOMEM, "no memory to complete an upload");
    }
    for (uint32_t i = 0; i < c->chosen_count; i++) {
        memcpy(extents[i].manifest, c->chosen[i].manifest.bytes, sizeof extents[i].manifest);
        extents[i].size = c->chosen[i].size;
    }
    c->list_len = wfl_record_parts_write(extents, c->chosen_count, c->list, cap);
    wfl_alloc_free(c->store->alloc, extents);
    return WFL_OK;
}

static wfl_code prepare_put(struct wfl_completion *c, wfl_error *err)
{
    const struct wfl_record_upload *given = &c->given;
    const struct wfl_alloc         *alloc = c->store->alloc;

    c->pairs = wfl_alloc_zero(alloc, given->meta.count + given->tags.count + 1, sizeof *c->pairs);
    c->versions =
        wfl_alloc_zero(alloc, given->match.version_count + given->none_match.version_count + 1,
                       sizeof *c->versions);
    if (c->pairs == NULL || c->versions == NULL)
        return wfl_fail(err, WFL_NOMEM, "no memory to complete an upload");
    copy_pairs(&given->meta, c->pairs);
    copy_pairs(&given->tags, c->pairs + given->meta.count);
    c->put = (struct wfl_put){
        .bucket = c->bucket,
        .key = c->key,
        .size = c->size,
        .content_type = wfl_from_record(given->content_type),
        .meta = c->pairs,
        .meta_count = given->meta.count,
        .tags = c->pairs + given->meta.count,
        .tag_count = given->tags.count,
        .match = condition_of(&given->match, c->versions),
        .none_match = condition_of(&given->none_match, c->versions + given->match.version_count),
        .by = wfl_from_record(given->by),
    };
    memcpy(c->put.jti.bytes, given->jti, sizeof c->put.jti.bytes);
    if (is_small(c)) {
        c->put.content = wfl_slice_of(c->buffer, (size_t)c->size);
        c->put.blake3 = wfl_hasher_result(&c->whole);
        memset(c->used, 0, c->part_count * sizeof *c->used);
        return WFL_OK;
    }
    c->put.own.storage = is_one(c) ? WFL_RECORD_CHUNKS : WFL_RECORD_PARTS;
    c->put.own.manifest = is_one(c) ? c->chosen[0].manifest : c->upload;
    if (!is_one(c)) {
        c->put.blake3 = wfl_hasher_result(&c->whole);
        return write_list(c, err);
    }
    const struct upload_part *part = c->parts;
    while (!c->used[part - c->parts])
        part++;
    memcpy(c->put.blake3.bytes, part->record.blake3, WFL_HASH_LEN);
    return WFL_OK;
}

static wfl_code drop_unused(struct wfl_completion *c, struct wfl_txn *t, wfl_error *err)
{
    wfl_code rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < c->part_count; i++) {
        wfl_ulid manifest;

        if (c->used[i]) continue;
        memcpy(manifest.bytes, c->parts[i].record.manifest, sizeof manifest.bytes);
        rc = wfl_manifest_to_trash(c->store, t, c->id, &manifest, WFL_RECORD_CHUNKS, err);
    }
    return rc;
}

static wfl_code apply(struct wfl_commit *commit, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_completion         *c = commit->arg;
    struct bucket                 *b = wfl_buckets_find(c->store, c->bucket);
    struct wfl_record_upload_state state;
    uint8_t                        key[WFL_MANIFEST_KEY_LEN];
    wfl_slice                      list = wfl_slice_of(c->list, c->list_len);
    wfl_code                       rc;

    if (b == NULL || b->id != c->id) return wfl_fail_no_bucket(err, c->bucket);
    rc = wfl_upload_find_state(t, c->id, &c->upload, &state, err);
    if (rc != WFL_OK) return rc;
    if (state.generation != c->generation)
        return wfl_fail(err, WFL_INVALID_PART, "a part was put while the upload was completed");
    if (c->put.own.storage == WFL_RECORD_PARTS) {
        rc = wfl_txn_put(t, WFL_SPACE_MANIFESTS,
                         wfl_key_manifest(c->id, &c->upload, WFL_PAGE_PARTS, key), &list, 1, err);
        if (rc != WFL_OK) return rc;
    }
    rc = drop_unused(c, t, err);
    if (rc == WFL_OK)
        rc = wfl_upload_delete_rows(t, c->id, &c->upload, c->parts, c->part_count, err);
    return rc == WFL_OK ? wfl_put_apply(&c->put, t, err) : rc; /* last: it changes the counters */
}

static bool is_replayed(const struct wfl_completion *c)
{
    return c->put.once != NULL && c->put.once->replayed;
}

wfl_code wfl_completion_commit(struct wfl_completion *c, struct wfl_once *once,
                               struct wfl_completed *out, wfl_error *err)
{
    wfl_code rc;

    assert(c->hashed == c->chosen_count);
    *out = (struct wfl_completed){0};
    rc = prepare_put(c, err);
    if (rc != WFL_OK) return rc;
    if (c->declared != NULL && memcmp(c->declared->bytes, c->put.blake3.bytes, WFL_HASH_LEN) != 0)
        return wfl_fail(err, WFL_CONTENT_MISMATCH, "the parts do not make the hash declared");
    if (is_small(c)) wfl_put_choose_storage(&c->put);
    c->put.once = once;
    rc = wfl_put_prepare(c->store, &c->put, err);
    if (rc == WFL_OK)
        rc = wfl_wait_commit(c->store,
                             &(struct wait_commit){.apply = apply,
                                                   .arg = c,
                                                   .bytes = c->list_len + c->put.own.header.len +
                                                            c->put.content.len +
                                                            128ull * c->part_count,
                                                   .flow = wfl_flow_of(c->put.bucket),
                                                   .durability = WFL_DURABLE,
                                                   .grows = true,
                                                   .once = once},
                             err);
    if (is_replayed(c)) wfl_put_take_outcome(&c->put);
    if (rc == WFL_OK || rc == WFL_PRECONDITION_FAILED) out->version = c->put.version;
    out->created = c->put.created;
    out->size = c->put.size;
    out->blake3 = c->put.blake3;
    return rc;
}

void wfl_completion_free(struct wfl_completion *c)
{
    if (c == NULL) return;
    const struct wfl_alloc *alloc = c->store->alloc;
    for (uint32_t i = 0; i < c->chosen_count; i++)
        if (c->chosen[i].active) wfl_active_leave(c->store, &c->chosen[i].manifest);
    wfl_put_fini(&c->put);
    wfl_reader_free(c->reader);
    wfl_alloc_free(alloc, c->buffer);
    wfl_alloc_free(alloc, c->pairs);
    wfl_alloc_free(alloc, c->versions);
    wfl_alloc_free(alloc, c->list);
    wfl_alloc_free(alloc, c->used);
    wfl_alloc_free(alloc, c->chosen);
    wfl_alloc_free(alloc, c->parts);
    wfl_pin_release(&c->pin);
    wfl_alloc_free(alloc, c);
}
