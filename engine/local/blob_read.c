/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading blobs. A name is looked up, its segment's file held open, and the record read and checked
 * (header, name, length, hash) once since the engine was opened; a bit says that it was. Later
 * opens see that its pages are in memory, so that who sends them to a socket need not wait for the
 * disk. Reading into a buffer and not through a map: a disk that cannot be read is then an error
 * and no signal.
 *
 * Failure: what does not check is CORRUPT_OBJECT for that name alone. A blob that moves between the
 * look-up and the hold is looked up again; that it moves each time is not possible for long.
 */
#include "engine/local/local_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK_UPS_MAX 100

/* ---- verified records */

static _Atomic uint64_t *verified_bits(struct segment *s)
{
    size_t            words = s->cap / SEGMENT_BLOCK / 64 + 1;
    _Atomic uint64_t *bits = s->verified, *fresh;

    if (bits != NULL) return bits;
    fresh = wfl_alloc_zero(s->local->alloc, words, sizeof *fresh);
    if (fresh == NULL) return NULL;
    if (atomic_compare_exchange_strong(&s->verified, &bits, fresh)) return fresh;
    wfl_alloc_free(s->local->alloc, (void *)fresh);
    return bits;
}

static bool is_verified(struct segment *s, uint32_t offset)
{
    _Atomic uint64_t *bits = s->verified;
    uint32_t          block = offset / SEGMENT_BLOCK;

    return bits != NULL && (bits[block / 64] >> (block % 64) & 1) != 0;
}

/* Without memory it is verified again next time. */
static void set_verified(struct segment *s, uint32_t offset)
{
    _Atomic uint64_t *bits = verified_bits(s);
    uint32_t          block = offset / SEGMENT_BLOCK;

    if (bits != NULL) atomic_fetch_or(&bits[block / 64], (uint64_t)1 << (block % 64));
}

/* What was good once and is not now must not be sent on the strength of it. */
static void clear_verified(struct segment *s, uint32_t offset)
{
    _Atomic uint64_t *bits = s->verified;
    uint32_t          block = offset / SEGMENT_BLOCK;

    if (bits != NULL) atomic_fetch_and(&bits[block / 64], ~((uint64_t)1 << (block % 64)));
}

static wfl_code corrupt(struct segment *s, uint32_t offset, const char *what, wfl_error *err)
{
    s->local->segments.corrupt++;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "segment %016" PRIx64 ": record at %" PRIu32 ": %s",
                    s->name.id, offset, what);
}

wfl_code wfl_blob_verify(struct segment *s, wfl_slice name, const struct wfl_blob_place *place,
                         uint8_t *scratch, wfl_hash *hash, wfl_error *err)
{
    size_t                want = RECORD_HEADER_LEN + (size_t)place->len, got = 0;
    struct segment_record record;
    wfl_code              rc;

    assert(want <= SCRATCH_BYTES);
    rc = wfl_segment_read(s, place->offset, scratch, want, &got, err);
    if (rc != WFL_OK) return rc;
    if (!wfl_blob_record_decode(&s->name, place->offset, wfl_slice_of(scratch, got), &record))
        return corrupt(s, place->offset, "its header does not hold", err);
    if (!wfl_slice_eq(wfl_slice_of(record.name, record.name_len), name))
        return corrupt(s, place->offset, "it has another name", err);
    if (record.len != place->len || got != want)
        return corrupt(s, place->offset, "it has another length", err);
    *hash = wfl_hash_of(wfl_slice_of(scratch + RECORD_HEADER_LEN, place->len));
    if (memcmp(hash, &record.hash, sizeof *hash) != 0)
        return corrupt(s, place->offset, "its content fails its hash", err);
    return WFL_OK;
}

static wfl_code verify(struct segment *s, wfl_slice name, const struct wfl_blob_place *place,
                       wfl_error *err)
{
    uint8_t *scratch = wfl_scratch_get(s->local);
    wfl_hash hash;
    wfl_code rc;

    if (scratch == NULL) return wfl_fail(err, WFL_NOMEM, "read of a blob: out of memory");
    rc = wfl_blob_verify(s, name, place, scratch, &hash, err);
    wfl_scratch_put(s->local, scratch);
    if (rc == WFL_OK)
        set_verified(s, place->offset);
    else if (rc == WFL_CORRUPT_OBJECT)
        clear_verified(s, place->offset);
    return rc;
}

/* ---- pages in memory */

#define PAGES_MAX (SCRATCH_BYTES / SEGMENT_BLOCK + 2)

static bool is_in_memory(const struct segment *s, const struct wfl_blob_place *place)
{
    uint8_t pages[PAGES_MAX];
    size_t  page = (size_t)sysconf(_SC_PAGESIZE), bytes, count;
    /* Records begin at blocks; where pages are larger the map begins before it. */
    size_t before = place->offset % page;
    void  *map;
    bool   all = true;

    bytes = before + RECORD_HEADER_LEN + place->len;
    count = (bytes + page - 1) / page;
    map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, s->fd, (off_t)(place->offset - before));
    if (map == MAP_FAILED) return false;
    if (count > PAGES_MAX || mincore(map, bytes, pages) != 0) all = false;
    for (size_t i = 0; all && i < count; i++)
        all = (pages[i] & 1) != 0;
    munmap(map, bytes);
    return all;
}

static wfl_code bring_to_memory(struct segment *s, const struct wfl_blob_place *place,
                                wfl_error *err)
{
    uint8_t *scratch;
    size_t   got = 0;
    wfl_code rc;

    if (is_in_memory(s, place)) return WFL_OK;
    scratch = wfl_scratch_get(s->local);
    if (scratch == NULL) return wfl_fail(err, WFL_NOMEM, "read of a blob: out of memory");
    rc = wfl_segment_read(s, place->offset, scratch, RECORD_HEADER_LEN + (size_t)place->len, &got,
                          err);
    wfl_scratch_put(s->local, scratch);
    return rc;
}

/* ---- open */

/* PENDING: it has moved, look it up again. On OK the segment is held. */
static wfl_code open_at(struct local *l, wfl_slice name, const struct wfl_blob_place *place,
                        bool always, struct segment **out, wfl_error *err)
{
    struct segment *s = wfl_segment_get(l, place->segment, err);
    wfl_code        rc;

    if (s == NULL) return err->code == WFL_OK ? WFL_PENDING : err->code;
    if (place->offset > s->cap || wfl_blob_record_extent(place->len) > s->cap - place->offset) {
        rc = corrupt(s, place->offset, "it would end behind the file's end", err);
    } else if (always || !is_verified(s, place->offset)) {
        rc = verify(s, name, place, err);
    } else {
        rc = bring_to_memory(s, place, err);
    }
    if (rc == WFL_OK) {
        *out = s;
    } else {
        wfl_segment_put(s);
    }
    return rc;
}

wfl_code wfl_local_blob_open(struct wfl_engine *e, wfl_slice name, bool always,
                             struct wfl_blob *out, wfl_error *err)
{
    struct local         *l = (struct local *)(void *)e;
    struct wfl_blob_place place;
    struct segment       *s = NULL;
    wfl_code              rc = WFL_PENDING;

    for (int i = 0; i < LOOK_UPS_MAX && rc == WFL_PENDING; i++) {
        rc = wfl_blob_find(l, name, &place, err);
        if (rc == WFL_OK) rc = open_at(l, name, &place, always, &s, err);
    }
    if (rc == WFL_PENDING) {
        return wfl_fail(err, WFL_CORRUPT_OBJECT, "segment %016" PRIx64 ": named and not there",
                        place.segment);
    }
    if (rc != WFL_OK) return rc;
    *out = (struct wfl_blob){.fd = s->fd,
                             .offset = place.offset + RECORD_HEADER_LEN,
                             .len = place.len,
                             .handle = &s->handle};
    return WFL_OK;
}

/* ---- a walk over all */

/* The first name behind walk->at. OK, NOT_FOUND: it was the last, or why it cannot be told. */
static wfl_code next_name(struct local *l, struct wfl_blob_walk *walk, wfl_error *err)
{
    rocksdb_iterator_t *it =
        rocksdb_create_iterator_cf(l->db, l->read_disk, l->families[FAMILY_BLOB_INDEX]);
    const char *key;
    size_t      len = 0;
    char       *text = NULL;
    wfl_code    rc = WFL_OK;

    rocksdb_iter_seek(it, (const char *)walk->at, walk->at_len);
    if (rocksdb_iter_valid(it)) {
        key = rocksdb_iter_key(it, &len);
        if (len == walk->at_len && memcmp(key, walk->at, len) == 0) rocksdb_iter_next(it);
    }
    rocksdb_iter_get_error(it, &text);
    if (text != NULL) {
        rc = wfl_local_fail(text, "walk over blobs", err);
    } else if (!rocksdb_iter_valid(it)) {
        rc = WFL_NOT_FOUND;
    } else {
        key = rocksdb_iter_key(it, &len);
        if (len == 0 || len > WFL_BLOB_NAME_MAX) {
            rc = wfl_fail(err, WFL_CORRUPT_OBJECT, "the index of blobs has a name of %zu bytes",
                          len);
        } else {
            memcpy(walk->name, key, len);
            walk->name_len = (uint32_t)len;
        }
    }
    rocksdb_iter_destroy(it);
    return rc;
}

wfl_code wfl_local_blob_walk(struct wfl_engine *e, struct wfl_blob_walk *walk, wfl_error *err)
{
    struct local   *l = (struct local *)(void *)e;
    struct wfl_blob blob = {0};
    wfl_code        rc;

    if (l->segments.closing) return wfl_fail(err, WFL_CLOSED, "the store is closing");
    do { /* one that is dropped between the two is passed over */
        rc = next_name(l, walk, err);
        if (rc == WFL_NOT_FOUND) {
            walk->ended = true;
            return WFL_OK;
        }
        if (rc != WFL_OK) return rc;
        memcpy(walk->at, walk->name, walk->name_len);
        walk->at_len = walk->name_len;
        walk->why = (wfl_error){.code = WFL_OK};
        walk->verdict = wfl_engine_blob_open(e, wfl_slice_of(walk->name, walk->name_len), true,
                                             &blob, &walk->why);
    } while (walk->verdict == WFL_NOT_FOUND);
    walk->len = blob.len;
    wfl_blob_close(&blob);
    return WFL_OK;
}
