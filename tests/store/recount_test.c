/* SPDX-License-Identifier: Apache-2.0
 *
 * The recount finds each thing that is wrong, one at a time, and nothing in a store that is right.
 */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/chunks.h"

#define MIB WFL_CHUNK_BYTES

struct lines {
    char     text[4000];
    uint64_t count;
};

static void note(void *arg, const char *line)
{
    struct lines *l = arg;
    size_t        len = strlen(l->text);

    snprintf(l->text + len, sizeof l->text - len, "%s\n", line);
    l->count++;
}

static void recount_to(struct fixture *f, struct lines *lines, uint32_t rows_max)
{
    struct wfl_recount how = {.report = note, .arg = lines, .rows_max = rows_max};
    uint64_t           differences = 0;
    wfl_error          err;

    *lines = (struct lines){0};
    assert_code(wfl_store_recount(f->store, &how, &differences, &err), WFL_OK);
    assert_int_equal(differences, lines->count);
}

static void assert_right(struct fixture *f)
{
    struct lines lines;

    for (uint32_t rows_max = 1; rows_max < 100; rows_max += 33) { /* passes of any size */
        recount_to(f, &lines, rows_max);
        if (lines.count > 0) fail_msg("%s", lines.text);
    }
}

/* `what` is told, and with any size of the passes the same lines. */
static void assert_told(struct fixture *f, const char *what)
{
    struct lines all, few;

    recount_to(f, &all, 0);
    if (strstr(all.text, what) == NULL) fail_msg("%s is not told: %s", what, all.text);
    for (uint32_t rows_max = 1; rows_max < 4; rows_max++) {
        recount_to(f, &few, rows_max);
        if (few.count != all.count) fail_msg("with %u rows: %s", rows_max, few.text);
    }
}

/* ---- a store with one of each */

struct sample {
    wfl_ulid           upload, object, list, trash; /* of manifests, but the first */
    struct wfl_ingest *leasing;
};

static wfl_ulid manifest_of(struct fixture *f, const char *key)
{
    struct wfl_get get = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};

    assert_code(get_op(f, &get), WFL_OK);
    assert_true(get.large);
    wfl_ulid manifest = get.own.manifest;
    wfl_get_fini(&get);
    return manifest;
}

static struct sample make_sample(struct fixture *f)
{
    struct sample   s = {0};
    struct wfl_part parts[2];

    assert_code(put(f, "photos", "small", WFL_S("x")), WFL_OK);
    assert_code(put(f, "photos", "large", large_of(3 * MIB + 1, 1)), WFL_OK);
    assert_code(put(f, "photos", "same", large_of(2 * MIB, 1)), WFL_OK);
    assert_code(put(f, "photos", "gone", large_of(2 * MIB, 2)), WFL_OK);
    s.upload = begin_upload(f, "parts", NULL);
    parts[0] = put_part(f, "parts", &s.upload, 1, large_of(MIB + 5, 3));
    parts[1] = put_part(f, "parts", &s.upload, 7, large_of(10, 4));
    assert_code(complete(f, "parts", &s.upload, parts, 2, NULL), WFL_OK);
    s.upload = begin_upload(f, "going on", NULL);
    (void)put_part(f, "going on", &s.upload, 1, large_of(MIB, 1));
    (void)put_part(f, "going on", &s.upload, 2, large_of(0, 1));
    (void)put_part(f, "going on", &s.upload, 3, large_of(70000, 5));
    s.object = manifest_of(f, "large");
    s.list = manifest_of(f, "parts");
    s.trash = manifest_of(f, "gone");
    assert_code(delete_key(f, "photos", "gone"), WFL_OK);
    assert_code(create(f, "going", ""), WFL_OK);
    struct wfl_ingest *content = NULL;
    assert_code(ingest_long(f, "going", 257, MIB, &content), WFL_OK);
    wfl_ingest_free(content);
    assert_code(delete_bucket(f, "going"), WFL_OK);
    return s;
}

static void what_is_right_is_found_right(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;

    assert_right(f);
    (void)make_sample(f);
    assert_right(f);
    assert_code(ingest(f, "photos", large_of(3 * MIB + 1, 1), &content), WFL_OK); /* leases */
    assert_code(delete_key(f, "photos", "large"), WFL_OK);
    assert_code(delete_key(f, "photos", "same"), WFL_OK);
    assert_true(collect(f)); /* leaves zeros with markers */
    assert_right(f);
    wfl_ingest_free(content);
    assert_false(collect(f));
    assert_right(f);
    fixture_reopen(f);
    assert_right(f);
}

/* ---- one thing wrong */

static wfl_slice row_of(struct fixture *f, enum wfl_space space, wfl_slice key)
{
    static uint8_t space_[1u << 16];
    struct wfl_pin pin = {0};
    wfl_error      err;

    assert_code(wfl_engine_read(f->engine, space, key, &pin, &err), WFL_OK);
    assert_true(pin.value.len <= sizeof space_);
    memcpy(space_, pin.value.data, pin.value.len);
    wfl_slice row = wfl_slice_of(space_, pin.value.len);
    wfl_pin_release(&pin);
    return row;
}

/* Write it, see that it is told, put back what was there, see that all is right again. */
static void assert_poke_told(struct fixture *f, enum wfl_space space, wfl_slice key,
                             wfl_slice value, const char *what)
{
    struct wfl_pin pin = {0};
    wfl_error      err;
    wfl_code       rc = wfl_engine_read(f->engine, space, key, &pin, &err);

    poke(f, space, key, value);
    assert_told(f, what);
    poke(f, space, key, rc == WFL_OK ? pin.value : (wfl_slice){0});
    wfl_pin_release(&pin);
    assert_right(f);
}

static wfl_slice copy_of(wfl_slice s)
{
    static uint8_t copies[8][64];
    static size_t  at;
    uint8_t       *to = copies[at++ % 8];

    assert_true(s.len <= 64);
    memcpy(to, s.data, s.len);
    return wfl_slice_of(to, s.len);
}

static wfl_slice chunk_key(wfl_slice chunk)
{
    uint8_t  key[WFL_CHUNK_KEY_LEN];
    wfl_hash hash = wfl_hash_of(chunk);

    return copy_of(wfl_key_chunk(1, &hash, key));
}

static wfl_slice zero_key(wfl_slice chunk)
{
    uint8_t  key[WFL_UPLOAD_KEY_MAX];
    wfl_hash hash = wfl_hash_of(chunk);

    return copy_of(wfl_key_zero(1, &hash, key));
}

static wfl_slice page_key(const wfl_ulid *manifest, uint32_t page)
{
    uint8_t key[WFL_MANIFEST_KEY_LEN];

    return copy_of(wfl_key_manifest(1, manifest, page, key));
}

static wfl_slice upload_key(uint8_t tag, const wfl_ulid *what)
{
    uint8_t key[WFL_UPLOAD_KEY_MAX];

    return copy_of(wfl_key_upload(tag, 1, what, key));
}

static void each_wrong_count_of_a_chunk_is_told(void **state)
{
    struct fixture        *f = *state;
    uint8_t                space[WFL_RECORD_SMALL_MAX];
    wfl_slice              chunk = wfl_slice_of(large_of(MIB, 1).data, MIB);
    wfl_slice              key, none = {0};
    struct wfl_record_refs refs = {.len = MIB};

    (void)make_sample(f);
    key = chunk_key(large_of(MIB, 1));
    chunk = large_of(MIB, 1);
    for (uint64_t count = 0; count < 6; count++) {
        refs.count = count;
        wfl_slice bytes = wfl_slice_of(space, wfl_record_refs_write(&refs, space));
        if (count == 3) continue; /* large, same, and a part */
        assert_poke_told(f, WFL_SPACE_CHUNKS, key, bytes, "references are counted, 3 are there");
        if (count == 0) assert_poke_told(f, WFL_SPACE_CHUNKS, key, bytes, "it is not marked");
    }
    refs = (struct wfl_record_refs){.count = 3, .len = MIB - 1};
    assert_poke_told(f, WFL_SPACE_CHUNKS, key,
                     wfl_slice_of(space, wfl_record_refs_write(&refs, space)),
                     "it has 1048575 bytes, a manifest says 1048576");
    assert_poke_told(f, WFL_SPACE_CHUNKS, key,
                     wfl_slice_of(space, wfl_record_refs_write(&refs, space)),
                     "it has 1048576 bytes, its chunk 1048575");
    assert_poke_told(f, WFL_SPACE_CHUNKS, key, none, "a manifest names it, and it is not there");
    assert_poke_told(f, WFL_SPACE_CHUNKS, key, none, "no chunk has its name");
    assert_poke_told(f, WFL_SPACE_CHUNKS, key, WFL_S("rubbish"), "fails its schema");
    refs = (struct wfl_record_refs){.count = 1, .len = 5};
    assert_poke_told(f, WFL_SPACE_CHUNKS, chunk_key(WFL_S("other")),
                     wfl_slice_of(space, wfl_record_refs_write(&refs, space)),
                     "1 references are counted, 0 are there");
    assert_poke_told(f, WFL_SPACE_CHUNKS, chunk_key(WFL_S("other")),
                     wfl_slice_of(space, wfl_record_refs_write(&refs, space)),
                     "its blob is missing");
    assert_poke_told(f, WFL_SPACE_CHUNKS, WFL_S("\0\0\0\1short"), WFL_S("rubbish"),
                     "has a key of 9 bytes");
    assert_poke_told(f, WFL_SPACE_UPLOADS, zero_key(large_of(MIB, 1)), WFL_S("0"),
                     "it is marked, and its count is not zero");
    assert_poke_told(f, WFL_SPACE_UPLOADS, zero_key(WFL_S("other")), WFL_S("0"),
                     "it is marked, and it is not there");
    assert_poke_told(f, WFL_SPACE_UPLOADS, WFL_S("z\0\0\0\1short"), WFL_S("0"),
                     "a marker of a chunk has a key");
    (void)chunk;
}

static wfl_code drop_blob(struct fixture *f, struct wfl_txn *t, void *arg, wfl_error *err)
{
    (void)f;
    return wfl_txn_blob_drop(t, *(wfl_slice *)arg, err);
}

static void a_missing_blob_is_told(void **state)
{
    struct fixture *f = *state;

    (void)make_sample(f);
    wfl_slice name = chunk_key(large_of(MIB, 1));
    assert_code(in_commit(f, drop_blob, &name), WFL_OK);
    assert_told(f, "its blob is missing");
}

static void each_wrong_manifest_is_told(void **state)
{
    struct fixture *f = *state;
    struct sample   s = make_sample(f);
    static uint8_t  space[WFL_RECORD_PAGE_MAX];
    wfl_slice       none = {0}, row;
    const wfl_ulid  nobody = {{9, 9, 9}};

    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 0), none,
                     "an object names it, and it is not there");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 0), none,
                     "references are counted");
    row = row_of(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 0));
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&nobody, 0), row, "nobody names it");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 1), row, "its pages have a gap");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 3), row, "its pages have a gap");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 0), WFL_S("rubbish"),
                     "fails its schema");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, WFL_S("\0\0\0\1short"), WFL_S("rubbish"),
                     "a page has a key");
    struct wfl_record_chunk chunks[WFL_MANIFEST_PAGE_CHUNKS];
    uint32_t                count;
    assert_null(wfl_record_page_read(row.data, row.len, chunks, &count));
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.object, 0),
                     wfl_slice_of(space, wfl_record_page_write(chunks, count - 1, space)),
                     "it has 3145728 bytes, an object says 3145729");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.list, WFL_PAGE_PARTS), none,
                     "an object names it, and it is not there");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.list, WFL_PAGE_PARTS), none,
                     "nobody names it");
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&s.list, WFL_PAGE_PARTS), WFL_S("rubbish"),
                     "fails its schema");
    row = row_of(f, WFL_SPACE_MANIFESTS, page_key(&s.list, WFL_PAGE_PARTS));
    assert_poke_told(f, WFL_SPACE_MANIFESTS, page_key(&nobody, WFL_PAGE_PARTS), row, "2 name it");
    /* what is named twice will be taken twice */
    uint8_t trash[WFL_RECORD_SMALL_MAX];
    row = wfl_slice_of(trash, wfl_record_trash_write(WFL_RECORD_CHUNKS, trash));
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('t', &s.object), row, "2 name it");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('t', &s.list), row,
                     "it is not of the kind that the trash says");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('t', &s.trash), none, "nobody names it");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('t', &s.trash), WFL_S("rubbish"),
                     "a record of trash");
}

static void each_wrong_upload_is_told(void **state)
{
    struct fixture                *f = *state;
    struct sample                  s = make_sample(f);
    uint8_t                        space[WFL_RECORD_SMALL_MAX], key[WFL_UPLOAD_KEY_MAX];
    struct wfl_record_upload_state right, wrong;
    wfl_slice                      none = {0}, row;
    const wfl_ulid                 nobody = {{9, 9, 9}};

    row = row_of(f, WFL_SPACE_UPLOADS, upload_key('s', &s.upload));
    assert_null(wfl_record_upload_state_read(row.data, row.len, &right));
    for (int i = 0; i < 2; i++) {
        wrong = right;
        wrong.parts += i == 0;
        wrong.bytes -= i == 1;
        assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('s', &s.upload),
                         wfl_slice_of(space, wfl_record_upload_state_write(&wrong, space)),
                         "are counted, 3 of 1118576 are there");
    }
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('s', &s.upload), WFL_S("rubbish"),
                     "its state: the record fails");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('s', &s.upload), none,
                     "its state is missing");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('s', &s.upload), none,
                     "parts of an upload that is not there");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('u', &s.upload), none,
                     "what was given at its start is missing");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('u', &s.upload), WFL_S("rubbish"),
                     "fails its schema");
    assert_poke_told(f, WFL_SPACE_UPLOADS, upload_key('s', &nobody), row,
                     "what was given at its start is missing");
    wfl_slice part = wfl_key_part(1, &s.upload, 1, key);
    assert_poke_told(f, WFL_SPACE_UPLOADS, part, none, "nobody names it");
    assert_poke_told(f, WFL_SPACE_UPLOADS, part, WFL_S("rubbish"), "record of a part");
    assert_poke_told(f, WFL_SPACE_UPLOADS, WFL_S("p\0\0\0\1short"), WFL_S("rubbish"),
                     "a row of uploads has a key");
}

static void each_wrong_counter_is_told(void **state)
{
    static const uint8_t       zero[WFL_RECORD_SMALL_MAX] = {0};
    struct fixture            *f = *state;
    struct sample              s = make_sample(f);
    struct wfl_record_counters right, wrong;
    uint8_t   space[WFL_RECORD_SMALL_MAX], key[WFL_COUNTERS_KEY_LEN], object[WFL_OBJECT_KEY_MAX];
    wfl_slice counters = wfl_key_counters(1, key), row = row_of(f, WFL_SPACE_META, counters);

    (void)s;
    (void)zero;
    assert_null(wfl_record_counters_read(row.data, row.len, &right));
    for (int i = 0; i < 2; i++) {
        wrong = right;
        wrong.objects += i == 0;
        wrong.bytes += i == 1;
        poke(f, WFL_SPACE_META, counters,
             wfl_slice_of(space, wfl_record_counters_write(&wrong, space)));
        fixture_close_store(f);
        fixture_open_store(f);
        assert_told(f, i == 0 ? "bucket photos: 5 objects are counted, 4 are there"
                              : "bytes are counted");
    }
    poke(f, WFL_SPACE_META, counters,
         wfl_slice_of(space, wfl_record_counters_write(&right, space)));
    fixture_close_store(f);
    fixture_open_store(f);
    assert_right(f);
    wfl_slice small = wfl_key_object(1, WFL_S("small"), object);
    assert_poke_told(f, WFL_SPACE_OBJECTS, small, WFL_S("rubbish"), "record of key small");
    assert_poke_told(f, WFL_SPACE_OBJECTS, small, (wfl_slice){0}, "4 objects are counted, 3");
    row = row_of(f, WFL_SPACE_OBJECTS, small);
    assert_poke_told(f, WFL_SPACE_OBJECTS, wfl_key_object(77, WFL_S("k"), object), row,
                     "former bucket 77: 1 objects of a bucket that is not there");
    wfl_record_object_set_version((uint8_t *)(uintptr_t)row.data, row.len,
                                  (const uint8_t *)"\x7F the greatest version");
    assert_poke_told(f, WFL_SPACE_OBJECTS, wfl_key_object(1, WFL_S("small"), object), row,
                     "its version is above");
}

static void any_refused_allocation_or_failed_read_is_an_error(void **state)
{
    struct fixture    *f = *state;
    struct wfl_recount how = {0};
    uint64_t           differences;
    wfl_error          err;
    wfl_code           rc;

    (void)make_sample(f);
    for (uint64_t k = 1;; k++) {
        f->refuse = f->allocs + k;
        rc = wfl_store_recount(f->store, &how, &differences, &err);
        f->refuse = 0;
        if (rc == WFL_OK) break;
        assert_code(rc, WFL_NOMEM);
    }
    for (uint64_t k = 1;; k++) {
        wfl_memory_fail(f->engine, k, WFL_IO);
        rc = wfl_store_recount(f->store, &how, &differences, &err);
        wfl_memory_fail(f->engine, 0, WFL_OK);
        if (rc == WFL_OK) break;
        assert_code(rc, WFL_IO);
    }
    assert_right(f);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(memory, what_is_right_is_found_right),
        ON(local, what_is_right_is_found_right),
        ON(memory, each_wrong_count_of_a_chunk_is_told),
        ON(memory, a_missing_blob_is_told),
        ON(local, a_missing_blob_is_told),
        ON(memory, each_wrong_manifest_is_told),
        ON(memory, each_wrong_upload_is_told),
        ON(memory, each_wrong_counter_is_told),
        ON(memory, any_refused_allocation_or_failed_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
