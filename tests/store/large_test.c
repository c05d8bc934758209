/* SPDX-License-Identifier: Apache-2.0
 *
 * Large contents on their way in, out and away: every byte comes back, equal chunks of a bucket are
 * stored once, and what nobody names in the end leaves nothing behind, whoever came in between. */
#include "fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/chunks.h"

#define MIB WFL_CHUNK_BYTES

/* ---- sizes */

static void any_size_comes_back_and_goes_again(void **state)
{
    static const struct {
        size_t len, chunks;
    } cases[] = {
        {WFL_VALUE_BYTES_MAX, 0},
        {WFL_VALUE_BYTES_MAX + 1, 1},
        {MIB - 1, 1},
        {MIB, 1},
        {MIB + 1, 2},
        {2 * MIB - 1, 2},
        {2 * MIB, 2},
        {5 * MIB + 17, 6},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_slice content = large_of(cases[i].len, 1);

        assert_code(put(f, "photos", "k", content), WFL_OK);
        assert_int_equal(rows(f, WFL_SPACE_CHUNKS), cases[i].chunks);
        assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), cases[i].chunks > 0);
        assert_int_equal(blobs(f), cases[i].chunks);
        assert_int_equal(info(f, "photos").bytes, cases[i].len);
        assert_content(f, "photos", "k", content);
        if (i % 3 == 0) fixture_reopen(f);
        assert_content(f, "photos", "k", large_of(cases[i].len, 1));
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        assert_false(collect(f));
        assert_nothing_large(f);
        assert_int_equal(info(f, "photos").bytes, 0);
    }
}

struct halves {
    struct wfl_ingest *content;
    wfl_slice          bytes;
    bool               chunks;
};

static void *give_half(void *arg)
{
    struct halves *h = arg;
    wfl_slice      left = h->bytes, chunk;
    wfl_error      err;

    while (left.len > 0) {
        assert_true(wfl_slice_take(&left, left.len < MIB ? left.len : MIB, &chunk));
        if (h->chunks)
            assert_code(wfl_ingest_add_chunk(h->content, chunk, &err), WFL_OK);
        else
            wfl_ingest_hash(h->content, chunk);
    }
    return NULL;
}

static void the_halves_of_an_add_may_run_beside_each_other(void **state)
{
    struct fixture *f = *state;
    wfl_slice       bytes = large_of(3 * MIB + 17, 1);
    wfl_hash        expected = wfl_hash_of(bytes), blake3;
    uint64_t        size = 0;
    wfl_error       err;

    for (int round = 0; round < 3; round++) { /* hash first, chunks first, at once */
        struct halves hash = {.bytes = bytes}, chunks = {.bytes = bytes, .chunks = true};
        pthread_t     thread;

        assert_code(wfl_ingest_new(f->store, WFL_S("photos"), &hash.content, &err), WFL_OK);
        chunks.content = hash.content;
        if (round == 1) give_half(&chunks);
        assert_int_equal(pthread_create(&thread, NULL, give_half, &hash), 0);
        if (round == 2) give_half(&chunks);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (round == 0) give_half(&chunks);
        assert_code(wfl_ingest_seal(hash.content, &size, &blake3, &err), WFL_OK);
        assert_int_equal(size, bytes.len);
        assert_memory_equal(blake3.bytes, expected.bytes, sizeof expected.bytes);
        wfl_ingest_free(hash.content);
    }
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* The chunk that holds `at` of a long content, as a reader gives it. */
static void assert_reads_long(const struct wfl_get *get, uint64_t at, uint64_t size)
{
    size_t i = (size_t)(at / MIB), within = (size_t)(at % MIB), len = MIB - within;

    if (len > size - at) len = (size_t)(size - at);
    wfl_slice chunk = chunk_of_long(i, MIB);
    assert_reads(get, at, wfl_slice_of(chunk.data + within, len));
}

static void pages_begin_where_the_last_one_ends(void **state)
{
    static const struct {
        size_t chunks, last, pages;
    } cases[] = {{255, MIB, 1}, {256, MIB, 1}, {257, 1, 2}, {512, MIB, 2}, {513, MIB - 1, 3}};
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        uint64_t       size = (cases[i].chunks - 1) * (uint64_t)MIB + cases[i].last;
        struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};

        assert_code(ingest_long(f, "photos", cases[i].chunks, cases[i].last, &content), WFL_OK);
        assert_int_equal(rows(f, WFL_SPACE_UPLOADS), cases[i].pages > 1); /* trash until named */
        assert_code(name_content(f, "photos", "k", content), WFL_OK);
        assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
        assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), cases[i].pages);
        assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 5 + (cases[i].last < MIB));
        assert_code(get_op(f, &get), WFL_OK);
        assert_int_equal(get.object.size, size);
        for (uint64_t at = 0; at < size; at += 51 * (uint64_t)MIB + 11)
            assert_reads_long(&get, at, size);
        assert_reads_long(&get, size - 1, size);
        for (uint64_t page = 1; page < cases[i].pages; page++) {
            assert_reads_long(&get, page * MANIFEST_PAGE_BYTES - 1, size);
            assert_reads_long(&get, page * MANIFEST_PAGE_BYTES, size);
        }
        wfl_get_fini(&get);
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        assert_false(collect(f));
        assert_nothing_large(f);
    }
}

/* ---- equal chunks */

static const uint8_t aaba[] = {1, 1, 2, 1}, ab[] = {1, 2};

static void equal_chunks_of_a_bucket_are_stored_once_and_counted(void **state)
{
    struct fixture *f = *state;
    wfl_slice       a, b;

    assert_code(put(f, "photos", "one", chunks_of(4 * MIB, aaba, 4)), WFL_OK);
    assert_code(put(f, "photos", "two", chunks_of(2 * MIB, ab, 2)), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 2);
    assert_int_equal(blobs(f), 2);
    a = chunks_of(MIB, aaba, 1);
    assert_int_equal(references(f, 1, a), 4);
    b = chunks_of(MIB, aaba + 2, 1);
    assert_int_equal(references(f, 1, b), 2);
    assert_pending(f, 0);
    assert_content(f, "photos", "one", chunks_of(4 * MIB, aaba, 4));
    assert_code(delete_key(f, "photos", "one"), WFL_OK);
    assert_false(collect(f));
    a = chunks_of(MIB, aaba, 1);
    assert_int_equal(references(f, 1, a), 1);
    assert_content(f, "photos", "two", chunks_of(2 * MIB, ab, 2));
    assert_code(delete_key(f, "photos", "two"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void chunks_are_never_shared_across_buckets(void **state)
{
    struct fixture *f = *state;

    assert_code(create(f, "other", ""), WFL_OK);
    assert_code(put(f, "photos", "k", large_of(2 * MIB, 1)), WFL_OK);
    assert_code(put(f, "other", "k", large_of(2 * MIB, 1)), WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 4);
    assert_int_equal(blobs(f), 4);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_false(collect(f));
    assert_int_equal(blobs(f), 2);
    assert_content(f, "other", "k", large_of(2 * MIB, 1));
}

static void two_who_write_the_same_at_once_leave_one(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *first = NULL, *second = NULL;

    assert_code(ingest_long(f, "photos", 3, MIB, &first), WFL_OK);
    assert_code(ingest_long(f, "photos", 3, MIB, &second), WFL_OK);
    assert_pending(f, 6);
    assert_code(name_content(f, "photos", "one", first), WFL_OK);
    assert_pending(f, 3);
    assert_code(name_content(f, "photos", "two", second), WFL_OK);
    assert_pending(f, 0);
    assert_int_equal(blobs(f), 3);
    assert_int_equal(references(f, 1, chunk_of_long(0, MIB)), 2);
}

static void an_object_is_replaced_by_any_other(void **state)
{
    static const size_t sizes[] = {10, 3 * MIB, 3 * MIB, 5000, 2 * MIB + 1, 3 * MIB, 0};
    struct fixture     *f = *state;

    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        assert_code(put(f, "photos", "k", large_of(sizes[i], 1)), WFL_OK);
        assert_false(collect(f));
        assert_content(f, "photos", "k", large_of(sizes[i], 1));
        assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), sizes[i] > WFL_VALUE_BYTES_MAX);
        assert_int_equal(info(f, "photos").bytes, sizes[i]);
    }
    assert_nothing_large(f);
}

/* ---- contents that nobody names */

static void what_is_abandoned_leaves_nothing(void **state)
{
    static const struct {
        size_t chunks;
        bool   seal;
    } cases[] = {{0, false},  {0, true},    {1, false}, {3, true},
                 {256, true}, {257, false}, {600, true}};
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;
    wfl_error          err;
    uint64_t           size;
    wfl_hash           blake3;

    for (int there = 0; there < 2; there++) { /* new chunks, then leased ones */
        for (size_t i = 0; i < WFL_COUNT(cases); i++) {
            assert_code(ingest_long(f, "photos", cases[i].chunks, MIB, &content), WFL_OK);
            if (cases[i].seal) assert_code(wfl_ingest_seal(content, &size, &blake3, &err), WFL_OK);
            wfl_ingest_free(content);
            assert_pending(f, 0);
            assert_false(collect(f)); /* no lease is left, nothing is active */
            assert_int_equal(rows(f, WFL_SPACE_CHUNKS), there * 5);
            assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
            assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), there);
        }
        if (there == 0) {
            assert_nothing_large(f);
            assert_code(ingest_long(f, "photos", 5, MIB, &content), WFL_OK);
            assert_code(name_content(f, "photos", "k", content), WFL_OK);
        }
    }
    assert_int_equal(references(f, 1, chunk_of_long(0, MIB)), 1);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void what_a_crash_abandons_is_collected(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;

    assert_code(ingest_long(f, "photos", 257, MIB, &content), WFL_OK);
    assert_true(collect(f)); /* it is being written */
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 1);
    assert_code(put(f, "photos", "small", WFL_S("durable")), WFL_OK);
    wfl_ingest_free(content);
    fixture_reopen(f);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 1);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static wfl_code name_if_absent(struct fixture *f, struct wfl_ingest *content)
{
    struct wfl_put op = {.bucket = WFL_S("photos"),
                         .key = WFL_S("k"),
                         .large = content,
                         .none_match = {.kind = WFL_COND_ABSENT}};
    wfl_error      err;

    assert_code(wfl_ingest_seal(content, &op.size, &op.blake3, &err), WFL_OK);
    wfl_code rc = put_op(f, &op);
    wfl_put_fini(&op);
    wfl_ingest_free(content);
    return rc;
}

static void refused_commits_leave_nothing(void **state)
{
    static const size_t sizes[] = {2, 256, 258};
    struct fixture     *f = *state;
    struct wfl_ingest  *content = NULL;

    assert_code(put(f, "photos", "k", WFL_S("x")), WFL_OK);
    assert_code(create(f, "tight", "{\"quota_bytes\":1000}"), WFL_OK);
    assert_code(create(f, "low", "{\"max_object_bytes\":1000}"), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        assert_code(ingest_long(f, "photos", sizes[i], MIB, &content), WFL_OK);
        assert_code(name_if_absent(f, content), WFL_PRECONDITION_FAILED);
        assert_code(ingest_long(f, "tight", sizes[i], MIB, &content), WFL_OK);
        assert_code(name_content(f, "tight", "k", content), WFL_QUOTA_EXCEEDED);
        assert_code(ingest_long(f, "low", sizes[i], MIB, &content), WFL_OK);
        assert_code(name_content(f, "low", "k", content), WFL_OBJECT_TOO_LARGE);
        assert_code(create(f, "passing", ""), WFL_OK);
        assert_code(ingest_long(f, "passing", sizes[i], MIB, &content), WFL_OK);
        assert_code(delete_bucket(f, "passing"), WFL_OK);
        assert_code(create(f, "passing", ""), WFL_OK);
        assert_code(name_content(f, "passing", "k", content), WFL_BUCKET_NOT_FOUND);
        assert_no_key(f, "passing", "k");
        assert_code(delete_bucket(f, "passing"), WFL_OK);
        assert_pending(f, 0);
        assert_false(collect(f));
        assert_nothing_large(f);
    }
    assert_content(f, "photos", "k", WFL_S("x"));
}

/* ---- reading */

static void any_range_is_the_range_of_the_bytes(void **state)
{
    static const size_t sizes[] = {WFL_VALUE_BYTES_MAX + 1, MIB, 2 * MIB + 3, 5 * MIB};
    struct fixture     *f = *state;
    uint64_t            rng = test_seed();

    for (size_t i = 0; i < WFL_COUNT(sizes); i++) {
        wfl_slice      content = large_of(sizes[i], (uint8_t)i);
        struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};

        assert_code(put(f, "photos", "k", content), WFL_OK);
        assert_code(get_op(f, &get), WFL_OK);
        for (int round = 0; round < 60; round++) {
            size_t first = (size_t)(next_random(&rng) % (sizes[i] + 1));
            size_t count = (size_t)(next_random(&rng) % (sizes[i] - first + 1));

            if (round % 4 == 0) first = first / MIB * MIB;
            if (round % 8 == 0 && first + MIB <= sizes[i]) count = MIB;
            if (count > sizes[i] - first) count = sizes[i] - first;
            assert_reads(&get, first, wfl_slice_of(content.data + first, count));
        }
        wfl_get_fini(&get);
    }
}

static void what_is_deleted_while_it_is_read_stays_to_the_end(void **state)
{
    struct fixture    *f = *state;
    struct wfl_get     get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece;
    wfl_error          err;
    uint64_t           sum = 0;

    assert_code(put(f, "photos", "k", large_of(4 * MIB, 1)), WFL_OK);
    assert_code(get_op(f, &get), WFL_OK);
    assert_code(wfl_reader_new(&get, 0, 4 * MIB, true, &reader, &err), WFL_OK);
    assert_code(wfl_reader_next(reader, &piece, &err), WFL_OK);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_true(collect(f));
    while (piece.len > 0) {
        sum += piece.len;
        wfl_blob_close(&piece.blob);
        assert_code(wfl_reader_next(reader, &piece, &err), WFL_OK);
    }
    assert_int_equal(sum, 4 * MIB);
    assert_reads(&get, 0, large_of(4 * MIB, 1));
    wfl_reader_free(reader);
    wfl_get_fini(&get);
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* ---- who gets in between: at an allocation of the call that is overtaken */

static struct wfl_ingest *late;

/* The collector has its page of rows and is at the first of them. */
static void name_late(struct fixture *f, size_t n)
{
    if (n < sizeof(struct manifest_page)) return;
    f->on_alloc = NULL;
    assert_code(name_content(f, "photos", "late", late), WFL_OK);
}

static void a_content_that_is_named_while_the_collector_comes_is_not_taken(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *first = NULL, *second = NULL;

    /* Two contents under way; of the one with the smaller manifest the collector's turn comes
     * first. */
    assert_code(ingest_long(f, "photos", 257, MIB, &first), WFL_OK);
    assert_code(ingest_long(f, "photos", 258, MIB, &second), WFL_OK);
    if (wfl_ulid_cmp(wfl_ingest_manifest(first), wfl_ingest_manifest(second)) > 0) {
        late = first;
        first = second;
    } else {
        late = second;
    }
    wfl_ingest_free(first);
    f->on_alloc = name_late;
    (void)collect(f);
    assert_null(f->on_alloc);
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 2);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
    struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("late")};
    assert_code(get_op(f, &get), WFL_OK);
    assert_reads_long(&get, 0, get.object.size);
    assert_reads_long(&get, get.object.size - 1, get.object.size);
    wfl_get_fini(&get);
    assert_code(delete_key(f, "photos", "late"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static size_t replacement;

static void replace_and_collect(struct fixture *f, size_t n)
{
    (void)n;
    f->on_alloc = NULL;
    if (replacement == 0)
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
    else
        assert_code(put(f, "photos", "k", large_of(replacement, 2)), WFL_OK);
    assert_false(collect(f));
}

/* Between the record and the hold on its chunks, which are gone by then. */
static void a_reader_overtaken_by_the_collector_reads_what_came_after(void **state)
{
    static const struct wfl_name_value meta[] = {{WFL_LIT("m"), WFL_LIT("1")}};
    static const size_t                after[] = {10, 5000, 2 * MIB, 0};
    struct fixture                    *f = *state;

    for (size_t i = 0; i < WFL_COUNT(after); i++) {
        struct wfl_put op = {.bucket = WFL_S("photos"),
                             .key = WFL_S("k"),
                             .content = large_of(2 * MIB, 1),
                             .meta = meta,
                             .meta_count = 1};
        struct wfl_get get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};

        assert_code(put_any(f, &op), WFL_OK);
        wfl_put_fini(&op);
        replacement = after[i];
        f->on_alloc = replace_and_collect; /* at the pairs' */
        wfl_code rc = get_op(f, &get);
        assert_null(f->on_alloc);
        assert_code(rc, after[i] == 0 ? WFL_KEY_NOT_FOUND : WFL_OK);
        if (rc == WFL_OK && get.large)
            assert_reads(&get, 0, large_of(after[i], 2));
        else if (rc == WFL_OK)
            assert_true(wfl_slice_eq(get.content, large_of(after[i], 2)));
        wfl_get_fini(&get);
    }
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* ---- damage */

static wfl_ulid manifest_of(struct fixture *f, const char *key)
{
    struct wfl_get get = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};

    assert_code(get_op(f, &get), WFL_OK);
    wfl_ulid manifest = get.own.manifest;
    wfl_get_fini(&get);
    return manifest;
}

/* What reading all of it says. */
static wfl_code read_code(struct fixture *f, const char *key)
{
    struct wfl_get     get = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece = {.len = 1};
    wfl_error          err;
    wfl_code           rc = get_op(f, &get);

    if (rc == WFL_OK) rc = wfl_reader_new(&get, 0, get.object.size, true, &reader, &err);
    while (rc == WFL_OK && piece.len > 0) {
        rc = wfl_reader_next(reader, &piece, &err);
        wfl_blob_close(&piece.blob);
    }
    wfl_reader_free(reader);
    wfl_get_fini(&get);
    return rc;
}

static void damaged_pages_are_corrupt(void **state)
{
    struct fixture *f = *state;
    const char     *last = "all is well";

    for (int i = 0; i < 7; i++) {
        uint8_t                 key[WFL_MANIFEST_KEY_LEN], space[WFL_RECORD_PAGE_MAX];
        struct wfl_record_chunk chunks[3] = {0};
        wfl_slice               content = large_of(2 * MIB + 100, 1), bad = WFL_S("rubbish");
        uint32_t                count = 3;

        assert_code(put(f, "photos", "k", content), WFL_OK);
        wfl_ulid manifest = manifest_of(f, "k");
        for (uint32_t c = 0; c < 3; c++) {
            chunks[c].len = c < 2 ? MIB : 100;
            wfl_hash hash = wfl_hash_of(wfl_slice_of(content.data + c * MIB, chunks[c].len));
            memcpy(chunks[c].hash, hash.bytes, sizeof hash.bytes);
        }
        if (i == 0) last = "all is well";
        if (i == 1) last = "a chunk less", count = 2;
        if (i == 2) last = "the last chunk is longer", chunks[2].len = 101;
        if (i == 3) last = "a chunk of another length", chunks[0] = chunks[2];
        if (i == 4) last = "a chunk that is not there", chunks[1].hash[7] ^= 1;
        if (i < 5) bad = wfl_slice_of(space, wfl_record_page_write(chunks, count, space));
        if (i == 5) last = "rubbish";
        if (i == 6) last = "no page", bad = (wfl_slice){0};
        poke(f, WFL_SPACE_MANIFESTS, wfl_key_manifest(1, &manifest, 0, key), bad);
        wfl_code rc = read_code(f, "k");
        if (rc != (i == 0 ? WFL_OK : WFL_CORRUPT_OBJECT))
            fail_msg("%s: %s", last, wfl_code_name(rc));
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        (void)collect(f); /* ends, whatever is damaged */
    }
}

static void damaged_chunks_are_corrupt_and_do_not_stop_the_collector(void **state)
{
    struct fixture *f = *state;
    uint8_t         key[WFL_CHUNK_KEY_LEN];

    assert_code(put(f, "photos", "k", large_of(MIB, 1)), WFL_OK);
    wfl_hash hash = wfl_hash_of(large_of(MIB, 1));
    wfl_key_chunk(1, &hash, key);
    poke(f, WFL_SPACE_CHUNKS, wfl_slice_of(key, sizeof key), WFL_S("rubbish"));
    assert_code(put(f, "photos", "again", large_of(MIB, 1)), WFL_CORRUPT_OBJECT);
    assert_no_key(f, "photos", "again");
    assert_pending(f, 0);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    (void)collect(f); /* stays, for somebody to look at */
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 1);
    poke(f, WFL_SPACE_CHUNKS, wfl_slice_of(key, sizeof key), (wfl_slice){0});
    assert_false(collect(f));
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 0);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), 0);
}

static wfl_code drop_blob(struct fixture *f, struct wfl_txn *t, void *arg, wfl_error *err)
{
    wfl_slice *name = arg;

    (void)f;
    return wfl_txn_blob_drop(t, *name, err);
}

static void a_missing_blob_is_corrupt_and_does_not_stop_the_collector(void **state)
{
    struct fixture *f = *state;
    uint8_t         space[WFL_CHUNK_KEY_LEN];

    assert_code(put(f, "photos", "k", large_of(2 * MIB, 1)), WFL_OK);
    wfl_hash  hash = wfl_hash_of(wfl_slice_of(large_of(2 * MIB, 1).data + MIB, MIB));
    wfl_slice name = wfl_key_chunk(1, &hash, space);
    assert_code(in_commit(f, drop_blob, &name), WFL_OK);
    assert_code(read_code(f, "k"), WFL_CORRUPT_OBJECT);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

/* Some bytes in every content that the segment files hold. */
static void rot(struct fixture *f)
{
    char   pattern[256];
    glob_t files;

    snprintf(pattern, sizeof pattern, "%s/segments/*", f->path);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        int   fd = open(files.gl_pathv[i], O_RDWR);
        off_t end = lseek(fd, 0, SEEK_END);
        for (off_t at = 500000; at + 6 < end; at += MIB / 2)
            assert_int_equal(pwrite(fd, "rotten", 6, at), 6);
        close(fd);
    }
    globfree(&files);
}

static void what_is_found_damaged_is_not_read_nor_rested_upon_but_healed(void **state)
{
    struct fixture *f = *state;

    for (int again = 0; again < 2; again++) { /* found by a reader, and by the upload itself */
        assert_code(put(f, "photos", "k", large_of(MIB, 1)), WFL_OK);
        assert_content(f, "photos", "k", large_of(MIB, 1)); /* it was good */
        rot(f);
        if (again == 0)
            assert_code(read_code(f, "k"), WFL_CORRUPT_OBJECT);
        else
            fixture_reopen(f);
        struct wfl_get     get = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
        struct wfl_reader *reader = NULL;
        struct wfl_piece   piece;
        wfl_error          err;
        assert_code(get_op(f, &get), WFL_OK);
        assert_code(wfl_reader_new(&get, 0, 10, false, &reader, &err), WFL_OK);
        assert_code(wfl_reader_next(reader, &piece, &err), WFL_CORRUPT_OBJECT);
        wfl_reader_free(reader);
        wfl_get_fini(&get);
        assert_code(put(f, "photos", "same", large_of(MIB, 1)), WFL_OK);
        assert_int_equal(references(f, 1, large_of(MIB, 1)), 2);
        assert_pending(f, 0);
        assert_content(f, "photos", "same", large_of(MIB, 1));
        assert_content(f, "photos", "k", large_of(MIB, 1));
        assert_recounts(f);
        assert_code(delete_key(f, "photos", "k"), WFL_OK);
        assert_code(delete_key(f, "photos", "same"), WFL_OK);
        assert_false(collect(f));
        assert_nothing_large(f);
    }
}

/* The row says that it is there. */
static void a_missing_blob_is_healed_by_who_brings_it_again(void **state)
{
    struct fixture *f = *state;
    uint8_t         space[WFL_CHUNK_KEY_LEN];

    assert_code(put(f, "photos", "k", large_of(2 * MIB, 1)), WFL_OK);
    wfl_hash  hash = wfl_hash_of(wfl_slice_of(large_of(2 * MIB, 1).data + MIB, MIB));
    wfl_slice name = wfl_key_chunk(1, &hash, space);
    assert_code(in_commit(f, drop_blob, &name), WFL_OK);
    assert_code(put(f, "photos", "same", large_of(2 * MIB, 1)), WFL_OK);
    assert_pending(f, 0);
    assert_content(f, "photos", "k", large_of(2 * MIB, 1));
    assert_recounts(f);
}

static void damaged_trash_is_passed_by(void **state)
{
    static const wfl_slice keys[] = {
        WFL_LIT("t\0\0\0\1"
                "0123456789abcdef"),
        WFL_LIT("t\0\0\0\1"
                "short"),
        WFL_LIT("t\0\0\0\1"
                "0123456789abcdef and longer than any key that we make"),
        WFL_LIT("z\0\0\0\1"
                "0123456789abcdef"),
        WFL_LIT("s\0\0\0\1"
                "0123456789abcdef"),
        WFL_LIT("u\0\0\0\1"
                "0123456789abcdef"),
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(keys); i++)
        poke(f, WFL_SPACE_UPLOADS, keys[i], WFL_S("rubbish"));
    for (int i = 0; i < 300; i++) { /* more than one page, all of longer keys */
        char key[64];
        snprintf(key, sizeof key, "tabcd a key that is longer than any of ours, number %08d", i);
        poke(f, WFL_SPACE_UPLOADS, wfl_slice_str(key), WFL_S("rubbish"));
    }
    assert_code(put(f, "photos", "k", large_of(MIB, 1)), WFL_OK);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_false(collect(f));
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 0);
    assert_int_equal(rows(f, WFL_SPACE_UPLOADS), WFL_COUNT(keys) + 300);
}

/* ---- many at once, with a collector */

enum { THREADS = 6, ROUNDS = 40, KEYS = 4 };

struct worker {
    struct fixture *f;
    pthread_t       thread;
    int             number;
    const char     *broken;
};

static uint8_t shared[3][MIB];

/* Chunks of three kinds, as the bits of `what` say: 1 to 4 of them. */
static wfl_code put_kinds(struct fixture *f, const char *key, uint64_t what)
{
    struct wfl_put op = {
        .bucket = WFL_S("photos"), .key = wfl_slice_str(key), .durability = WFL_BUFFERED};
    wfl_error err;
    wfl_code  rc = wfl_ingest_new(f->store, WFL_S("photos"), &op.large, &err);

    for (uint64_t i = 0; rc == WFL_OK && i <= what % 4; i++)
        rc = wfl_ingest_add(op.large, wfl_slice_of(shared[(what >> (2 + 2 * i)) % 3], MIB), &err);
    if (rc == WFL_OK && what % 5 == 0) { /* gives up */
        wfl_ingest_free(op.large);
        return WFL_OK;
    }
    if (rc == WFL_OK) rc = wfl_ingest_seal(op.large, &op.size, &op.blake3, &err);
    if (rc == WFL_OK) rc = put_op(f, &op);
    wfl_put_fini(&op);
    wfl_ingest_free(op.large);
    return rc;
}

/* The hash of what is read is the one that was put with it. */
static const char *read_whole(struct fixture *f, const char *key)
{
    struct wfl_get     get = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece = {.len = 1};
    struct wfl_hasher  hasher;
    wfl_error          err;
    wfl_code           rc = get_op(f, &get);
    const char        *wrong = NULL;

    if (rc == WFL_KEY_NOT_FOUND || rc == WFL_OVERLOADED) return NULL;
    if (rc != WFL_OK) return wfl_code_name(rc);
    wfl_hasher_init(&hasher);
    rc = wfl_reader_new(&get, 0, get.object.size, false, &reader, &err);
    while (rc == WFL_OK && piece.len > 0) {
        rc = wfl_reader_next(reader, &piece, &err);
        if (rc != WFL_OK || piece.len == 0) break;
        const uint8_t *map = wfl_blob_map(&piece.blob, piece.at, piece.len);
        wfl_hasher_add(&hasher, wfl_slice_of(map, piece.len));
        wfl_blob_unmap(map, piece.at, piece.len);
        wfl_blob_close(&piece.blob);
    }
    wfl_hash hash = wfl_hasher_result(&hasher);
    if (rc != WFL_OK)
        wrong = wfl_code_name(rc);
    else if (memcmp(&hash, &get.object.blake3, sizeof hash) != 0)
        wrong = "other bytes than were put";
    wfl_reader_free(reader);
    wfl_get_fini(&get);
    return wrong;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uint64_t       rng = (uint64_t)w->number;

    for (int i = 0; i < ROUNDS && w->broken == NULL; i++) {
        uint64_t what = next_random(&rng);
        char     key[8];
        wfl_code rc = WFL_OK;

        snprintf(key, sizeof key, "k%d", (int)(what % KEYS));
        what /= KEYS;
        if (what % 4 == 0) {
            struct wfl_delete op = {
                .bucket = WFL_S("photos"), .key = wfl_slice_str(key), .durability = WFL_BUFFERED};
            rc = delete_op(w->f, &op);
            if (rc == WFL_KEY_NOT_FOUND) rc = WFL_OK;
        } else if (what % 4 == 1) {
            w->broken = read_whole(w->f, key);
        } else {
            rc = put_kinds(w->f, key, what / 4);
        }
        if (rc != WFL_OK) w->broken = wfl_code_name(rc);
    }
    return NULL;
}

static void writers_readers_and_the_collector_get_along(void **state)
{
    struct fixture *f = *state;
    struct worker   workers[THREADS];
    char            key[8];

    for (int i = 0; i < 3; i++)
        memset(shared[i], i + 1, sizeof shared[i]);
    fixture_close_store(f);
    f->collects = true;
    fixture_open_store(f);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = f, .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        if (workers[i].broken != NULL) fail_msg("worker %d: %s", i, workers[i].broken);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k%d", i);
        const char *wrong = read_whole(f, key);
        if (wrong != NULL) fail_msg("%s: %s", key, wrong);
        (void)delete_key(f, "photos", key);
    }
    while (rows(f, WFL_SPACE_UPLOADS) > 0 || rows(f, WFL_SPACE_CHUNKS) > 0) /* its thread ends it */
        sched_yield();
    fixture_close_store(f); /* before its leases are looked at: nothing is under way */
    assert_nothing_large(f);
    f->collects = false;
    fixture_open_store(f);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_BOTH(test) ON(memory, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(any_size_comes_back_and_goes_again),
        ON_BOTH(the_halves_of_an_add_may_run_beside_each_other),
        ON(memory, pages_begin_where_the_last_one_ends),
        ON(local, pages_begin_where_the_last_one_ends),
        ON_BOTH(equal_chunks_of_a_bucket_are_stored_once_and_counted),
        ON_BOTH(chunks_are_never_shared_across_buckets),
        ON_BOTH(two_who_write_the_same_at_once_leave_one),
        ON_BOTH(an_object_is_replaced_by_any_other),
        ON_BOTH(what_is_abandoned_leaves_nothing),
        ON_BOTH(what_a_crash_abandons_is_collected),
        ON_BOTH(refused_commits_leave_nothing),
        ON_BOTH(any_range_is_the_range_of_the_bytes),
        ON_BOTH(what_is_deleted_while_it_is_read_stays_to_the_end),
        ON(memory, a_content_that_is_named_while_the_collector_comes_is_not_taken),
        ON(local, a_content_that_is_named_while_the_collector_comes_is_not_taken),
        ON(memory, a_reader_overtaken_by_the_collector_reads_what_came_after),
        ON_BOTH(damaged_pages_are_corrupt),
        ON_BOTH(damaged_chunks_are_corrupt_and_do_not_stop_the_collector),
        ON_BOTH(a_missing_blob_is_corrupt_and_does_not_stop_the_collector),
        ON(local, what_is_found_damaged_is_not_read_nor_rested_upon_but_healed),
        ON_BOTH(a_missing_blob_is_healed_by_who_brings_it_again),
        ON(memory, damaged_trash_is_passed_by),
        ON(local, writers_readers_and_the_collector_get_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
