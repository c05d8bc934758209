/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests of a bucket against who names them: each has one owner, an object, an older version, a
 * list of parts, a part of an upload, or the trash, or as many as its row says; its pages have no
 * gap, and are of the owner's size. A pass takes as many manifests as its table holds, in order,
 * and asks all owners for those between the first and the last. */
#include "store/recount.h"

#include <assert.h>
#include <inttypes.h>

struct manifest {
    wfl_ulid id;
    uint64_t size; /* of the chunks in its pages */
    uint32_t pages;
    bool     listed;          /* it is one of parts */
    bool     damaged;         /* told of: its size says nothing */
    bool     ended;           /* by a page that is not full */
    uint64_t owners, counted; /* found, and as stored: one where no row says more */
};

struct pass {
    struct recount      *r;
    struct recount_table table;       /* of struct manifest */
    wfl_ulid             first, last; /* of the pass, inclusive */
};

static const char *text_of(const wfl_ulid *id)
{
    static _Thread_local char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(id, text);
    return text;
}

static bool within(const struct pass *p, const wfl_ulid *id)
{
    return wfl_ulid_cmp(id, &p->first) >= 0 && wfl_ulid_cmp(id, &p->last) <= 0;
}

static int id_order(const void *id, const void *row)
{
    return wfl_ulid_cmp(id, &((const struct manifest *)row)->id);
}

static struct manifest *find(const struct pass *p, const wfl_ulid *id)
{
    return wfl_recount_find(&p->table, id, id_order);
}

/* ---- the table */

static void damaged(struct pass *p, struct manifest *m, const char *what)
{
    m->damaged = true;
    wfl_recount_tell(p->r, "manifest %s: %s", text_of(&m->id), what);
}

static void add_list(struct pass *p, struct manifest *m, wfl_slice value)
{
    uint32_t    count;
    const char *wrong = wfl_record_parts_read(value.data, value.len, &count);

    m->listed = true;
    if (wrong != NULL) {
        damaged(p, m, wrong);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct wfl_record_extent extent;

        wfl_record_parts_at(value.data, i, &extent);
        m->size += extent.size;
    }
}

static void add_page(struct pass *p, struct manifest *m, uint32_t number, wfl_slice value)
{
    static _Thread_local struct manifest_page page;

    const char *wrong = wfl_record_page_read(value.data, value.len, page.chunks, &page.count);
    if (wrong == NULL && (number != m->pages || m->ended)) wrong = "its pages have a gap";
    if (wrong != NULL) {
        damaged(p, m, wrong);
        return;
    }
    m->pages++;
    m->ended = page.count < WFL_MANIFEST_PAGE_CHUNKS;
    for (uint32_t i = 0; i < page.count; i++)
        m->size += page.chunks[i].len;
}

/* Copies share a manifest: then a row says how many there are. */
static void add_owners(struct pass *p, struct manifest *m, wfl_slice value)
{
    struct wfl_record_refs owners;
    const char            *wrong = wfl_record_refs_read(value.data, value.len, &owners);

    if (wrong != NULL)
        damaged(p, m, wrong);
    else
        m->counted = owners.count;
}

static wfl_code take_row(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct pass     *p = ctx;
    struct manifest *m = p->table.count > 0 ? wfl_recount_row(&p->table, p->table.count - 1) : NULL;
    wfl_ulid         id;
    bool             well_formed = pair->key.len == WFL_MANIFEST_KEY_LEN;

    if (well_formed) memcpy(id.bytes, pair->key.data + WFL_ID_LEN, sizeof id.bytes);
    if (!well_formed || m == NULL || wfl_ulid_cmp(&m->id, &id) != 0) {
        wfl_code rc = wfl_recount_room(p->r, &p->table, err);

        if (rc != WFL_OK) return rc;
        if (!well_formed) {
            wfl_recount_tell(p->r, "a page has a key of %zu bytes", pair->key.len);
            return WFL_OK;
        }
        assert(p->table.rows != NULL); /* it has room */
        m = wfl_recount_row(&p->table, p->table.count++);
        *m = (struct manifest){.id = id, .counted = 1};
    }
    const uint8_t *tail = pair->key.data + WFL_ID_LEN + sizeof id.bytes;
    uint32_t       number =
        (uint32_t)tail[0] << 24 | (uint32_t)tail[1] << 16 | (uint32_t)tail[2] << 8 | tail[3];
    if (number == WFL_PAGE_PARTS)
        add_list(p, m, pair->value);
    else if (number == WFL_PAGE_OWNERS)
        add_owners(p, m, pair->value);
    else
        add_page(p, m, number, pair->value);
    return WFL_OK;
}

/* ---- owners */

/* `size`: what its owner says, -1 where it does not. One of no bytes needs no pages. */
static void own(struct pass *p, const uint8_t manifest[16], bool list, int64_t size,
                const char *owner)
{
    struct manifest *m;
    wfl_ulid         id;

    memcpy(id.bytes, manifest, sizeof id.bytes);
    if (!within(p, &id)) return;
    m = find(p, &id);
    if (m == NULL) {
        if (size > 0)
            wfl_recount_tell(p->r, "manifest %s: %s names it, and it is not there", text_of(&id),
                             owner);
        return;
    }
    m->owners++;
    if (m->listed != list)
        wfl_recount_tell(p->r, "manifest %s: it is not of the kind that %s says", text_of(&id),
                         owner);
    else if (!m->damaged && size >= 0 && m->size != (uint64_t)size)
        wfl_recount_tell(p->r, "manifest %s: it has %" PRIu64 " bytes, %s says %" PRIi64,
                         text_of(&id), m->size, owner, size);
}

static wfl_code ask_object(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct wfl_record_object record;

    (void)err;
    if (wfl_record_object_read(pair->value.data, pair->value.len, &record) != NULL)
        return WFL_OK; /* told of with the objects */
    if (record.storage == WFL_RECORD_CHUNKS || record.storage == WFL_RECORD_PARTS)
        own(ctx, record.manifest, record.storage == WFL_RECORD_PARTS, (int64_t)record.size,
            "an object");
    return WFL_OK;
}

static wfl_code ask_list(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    uint32_t count;

    (void)err;
    if (pair->key.len != WFL_MANIFEST_KEY_LEN ||
        memcmp(pair->key.data + pair->key.len - 4, "\xFF\xFF\xFF\xFF", 4) != 0 ||
        wfl_record_parts_read(pair->value.data, pair->value.len, &count) != NULL)
        return WFL_OK;
    for (uint32_t i = 0; i < count; i++) {
        struct wfl_record_extent extent;

        wfl_record_parts_at(pair->value.data, i, &extent);
        own(ctx, extent.manifest, false, (int64_t)extent.size, "a list of parts");
    }
    return WFL_OK;
}

static wfl_code ask_part(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct wfl_record_part record;

    (void)err;
    if (wfl_record_part_read(pair->value.data, pair->value.len, &record) == NULL)
        own(ctx, record.manifest, false, (int64_t)record.size, "a part");
    return WFL_OK;
}

static wfl_code ask_trash(void *ctx, const struct wfl_pair *pair, wfl_error *err)
{
    struct pass            *p = ctx;
    enum wfl_record_storage storage;

    (void)err;
    const char *wrong = wfl_record_trash_read(pair->value.data, pair->value.len, &storage);
    if (pair->key.len != 1 + WFL_ID_LEN + sizeof(wfl_ulid)) wrong = "its key is malformed";
    if (wrong != NULL && !p->table.full) /* once: in the last pass */
        wfl_recount_tell(p->r, "a record of trash: %s", wrong);
    if (wrong == NULL)
        own(p, pair->key.data + 1 + WFL_ID_LEN, storage == WFL_RECORD_PARTS, -1, "the trash");
    return WFL_OK;
}

static wfl_code ask_owners(struct pass *p, wfl_error *err)
{
    static const wfl_ulid any = {{0}};
    struct recount       *r = p->r;
    uint8_t               id[WFL_ID_LEN], key[WFL_UPLOAD_KEY_MAX];
    wfl_slice             bucket = wfl_key_bucket(r->id, id);
    wfl_slice             prefix =
        wfl_slice_of(wfl_key_upload(WFL_UPLOAD_PART, r->id, &any, key).data, 1 + WFL_ID_LEN);
    wfl_code rc = wfl_recount_prefix(r, WFL_SPACE_OBJECTS, bucket, ask_object, p, err);

    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_HISTORY, bucket, ask_object, p, err);
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_MANIFESTS, bucket, ask_list, p, err);
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_UPLOADS, prefix, ask_part, p, err);
    key[0] = WFL_UPLOAD_TRASH;
    if (rc == WFL_OK) rc = wfl_recount_prefix(r, WFL_SPACE_UPLOADS, prefix, ask_trash, p, err);
    return rc;
}

static void compare(struct pass *p)
{
    for (uint32_t i = 0; i < p->table.count; i++) {
        const struct manifest *m = wfl_recount_row(&p->table, i);

        if (m->owners == 0)
            wfl_recount_tell(p->r, "manifest %s: nobody names it", text_of(&m->id));
        else if (m->owners != m->counted)
            wfl_recount_tell(p->r,
                             "manifest %s: %" PRIu64 " owners are counted, %" PRIu64 " name it",
                             text_of(&m->id), m->counted, m->owners);
    }
}

/* ---- passes */

static wfl_code fill(struct pass *p, wfl_error *err)
{
    uint8_t  from[WFL_MANIFEST_KEY_LEN], to[WFL_ID_LEN];
    wfl_code rc;

    p->table.count = 0;
    p->table.full = false;
    (void)wfl_key_bucket(p->r->id, to);
    rc = wfl_recount_rows(p->r, WFL_SPACE_MANIFESTS, wfl_key_manifest(p->r->id, &p->first, 0, from),
                          wfl_slice_of(to, wfl_key_after_prefix(to, sizeof to)), take_row, p, err);
    if (rc != WFL_OK && !p->table.full) return rc;
    if (p->table.full)
        p->last = ((const struct manifest *)wfl_recount_row(&p->table, p->table.count - 1))->id;
    else
        memset(p->last.bytes, 0xFF, sizeof p->last.bytes);
    return WFL_OK;
}

wfl_code wfl_recount_owners(struct recount *r, wfl_error *err)
{
    struct pass p = {.r = r, .table = {.what = "manifests", .row_bytes = sizeof(struct manifest)}};
    wfl_code    rc;

    do {
        rc = fill(&p, err);
        if (rc == WFL_OK) rc = ask_owners(&p, err);
        if (rc != WFL_OK) break;
        compare(&p);
        p.first = p.last;
        for (size_t i = sizeof p.first.bytes; i > 0 && ++p.first.bytes[i - 1] == 0; i--) {}
    } while (p.table.full);
    wfl_alloc_free(r->store->alloc, p.table.rows);
    return rc;
}
