/* SPDX-License-Identifier: Apache-2.0
 *
 * Leases and counts of chunks: who holds one keeps the chunk, what is being dropped cannot be
 * leased, and a marker finds what was left at zero. */
#include "fixture.h"

#include "store/chunks.h"

#define ID 1u /* of photos, the first bucket */

static wfl_hash hash_a(void)
{
    return wfl_hash_of(WFL_S("a"));
}

static wfl_hash hash_of_one(void)
{
    return wfl_hash_of(large_of(WFL_CHUNK_BYTES, 1));
}

static enum lease_answer take_hash(struct fixture *f, wfl_hash hash)
{
    return wfl_lease_take(f->store, ID, &hash);
}

static enum lease_answer take(struct fixture *f)
{
    return take_hash(f, hash_a());
}

static void give(struct fixture *f)
{
    wfl_hash hash = hash_a();

    wfl_lease_give(f->store, ID, &hash);
}

/* ---- the table */

static wfl_code drop_and_look(struct fixture *f, struct wfl_txn *t, void *arg, wfl_error *err)
{
    wfl_hash  hash = hash_a();
    wfl_slice value = WFL_S("x");
    bool     *held = arg;

    assert_code(wfl_lease_drop(f->store, ID, &hash, held, err), WFL_OK);
    if (!*held) assert_int_equal(take(f), LEASE_REFUSED);
    return wfl_txn_put(t, WFL_SPACE_NONCES, WFL_S("k"), &value, 1, err);
}

static wfl_code unref_and_fail(struct fixture *f, struct wfl_txn *t, void *arg, wfl_error *err)
{
    wfl_hash hash = hash_of_one();

    (void)arg;
    assert_code(wfl_chunk_unref(f->store, t, ID, &hash, err), WFL_OK);
    return wfl_fail(err, WFL_INTERNAL, "as the test wants it");
}

static void what_is_leased_is_held(void **state)
{
    struct fixture *f = *state;
    bool            held = false;

    assert_int_equal(take(f), LEASE_HELD);
    assert_int_equal(take(f), LEASE_HELD);
    give(f);
    assert_code(in_commit(f, drop_and_look, &held), WFL_OK);
    assert_true(held);
    give(f);
    assert_code(in_commit(f, drop_and_look, &held), WFL_OK);
    assert_false(held);
}

static void what_is_being_dropped_cannot_be_leased_until_the_group_is_settled(void **state)
{
    struct fixture *f = *state;
    bool            held = true;

    assert_code(in_commit(f, drop_and_look, &held), WFL_OK);
    assert_int_equal(take(f), LEASE_HELD);
    give(f);
    wfl_memory_fail(f->engine, 2, WFL_DISK_FULL); /* the put, then the group's write */
    assert_code(in_commit(f, drop_and_look, &held), WFL_DISK_FULL);
    assert_int_equal(take(f), LEASE_HELD);
    give(f);
}

/* A group of which every commit was refused is not settled: the mark stays a while. It costs a
 * second copy on its way, no more; the next group takes it away. */
static void a_mark_of_a_refused_group_goes_with_the_next(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;

    assert_code(put(f, "photos", "k", large_of(WFL_CHUNK_BYTES, 1)), WFL_OK);
    assert_code(in_commit(f, unref_and_fail, NULL), WFL_INTERNAL);
    assert_int_equal(take_hash(f, hash_of_one()), LEASE_REFUSED);
    assert_code(ingest(f, "photos", large_of(WFL_CHUNK_BYTES, 1), &content), WFL_OK);
    assert_pending(f, 1);
    wfl_ingest_free(content);
    assert_code(put(f, "photos", "again", large_of(WFL_CHUNK_BYTES, 1)), WFL_OK);
    assert_pending(f, 0);
    assert_int_equal(references(f, ID, large_of(WFL_CHUNK_BYTES, 1)), 2);
    assert_code(ingest(f, "photos", large_of(WFL_CHUNK_BYTES, 1), &content), WFL_OK);
    assert_pending(f, 0); /* leased */
    wfl_ingest_free(content);
    assert_content(f, "photos", "k", large_of(WFL_CHUNK_BYTES, 1));
}

static void leases_are_a_buckets_own(void **state)
{
    struct fixture *f = *state;
    wfl_hash        hash = hash_a();
    bool            held = true;

    assert_int_equal(wfl_lease_take(f->store, ID + 1, &hash), LEASE_HELD);
    assert_code(in_commit(f, drop_and_look, &held), WFL_OK);
    assert_false(held);
    wfl_lease_give(f->store, ID + 1, &hash);
}

static void no_memory_is_no_lease(void **state)
{
    struct fixture *f = *state;
    wfl_hash        hash = hash_a();
    bool            held;
    wfl_error       err;

    f->refuse = f->allocs + 1;
    assert_int_equal(take(f), LEASE_NOMEM);
    f->refuse = f->allocs + 1;
    assert_code(wfl_lease_drop(f->store, ID, &hash, &held, &err), WFL_NOMEM);
    f->refuse = 0;
    assert_int_equal(take(f), LEASE_HELD);
    give(f);
}

/* ---- a chunk whose last reference goes */

static void put_one(struct fixture *f)
{
    assert_code(put(f, "photos", "k", large_of(WFL_CHUNK_BYTES, 1)), WFL_OK);
}

static size_t uploads_rows(struct fixture *f)
{
    return rows(f, WFL_SPACE_UPLOADS);
}

static void a_leased_chunk_stays_with_a_marker_until_the_lease_is_given(void **state)
{
    struct fixture *f = *state;
    wfl_hash        hash = wfl_hash_of(large_of(WFL_CHUNK_BYTES, 1));

    put_one(f);
    assert_int_equal(wfl_lease_take(f->store, ID, &hash), LEASE_HELD);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_true(collect(f)); /* in use */
    assert_int_equal(rows(f, WFL_SPACE_CHUNKS), 1);
    assert_int_equal(rows(f, WFL_SPACE_MANIFESTS), 0);
    assert_int_equal(uploads_rows(f), 1); /* the marker */
    assert_int_equal(blobs(f), 1);
    assert_true(collect(f));
    wfl_lease_give(f->store, ID, &hash);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void a_marked_chunk_that_is_named_again_loses_its_marker(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;
    wfl_slice          chunk = large_of(WFL_CHUNK_BYTES, 1);

    put_one(f);
    assert_code(ingest(f, "photos", chunk, &content), WFL_OK); /* leases it */
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_true(collect(f));
    assert_int_equal(uploads_rows(f), 1);
    struct wfl_put op = {.bucket = WFL_S("photos"),
                         .key = WFL_S("again"),
                         .large = content,
                         .size = chunk.len,
                         .blake3 = wfl_hash_of(chunk)};
    assert_code(put_op(f, &op), WFL_OK);
    wfl_put_fini(&op);
    wfl_ingest_free(content);
    assert_int_equal(uploads_rows(f), 0);
    assert_int_equal(references(f, ID, chunk), 1);
    assert_false(collect(f));
    assert_content(f, "photos", "again", chunk);
    assert_code(delete_key(f, "photos", "again"), WFL_OK);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void a_marker_outlives_the_process(void **state)
{
    struct fixture    *f = *state;
    struct wfl_ingest *content = NULL;

    put_one(f);
    assert_code(ingest(f, "photos", large_of(WFL_CHUNK_BYTES, 1), &content), WFL_OK);
    assert_code(delete_key(f, "photos", "k"), WFL_OK);
    assert_true(collect(f));
    assert_code(put(f, "photos", "small", WFL_S("durable")), WFL_OK); /* and all before it */
    wfl_ingest_free(content);
    fixture_reopen(f);
    assert_int_equal(uploads_rows(f), 1);
    assert_int_equal(references(f, ID, large_of(WFL_CHUNK_BYTES, 1)), 0);
    assert_int_equal(blobs(f), 1);
    assert_false(collect(f));
    assert_nothing_large(f);
}

static void a_marker_of_a_chunk_that_is_counted_just_goes(void **state)
{
    struct fixture *f = *state;
    wfl_hash        hash = wfl_hash_of(large_of(WFL_CHUNK_BYTES, 1)), none = hash_a();
    uint8_t         key[WFL_UPLOAD_KEY_MAX];

    put_one(f);
    poke(f, WFL_SPACE_UPLOADS, wfl_key_zero(ID, &hash, key), WFL_S("0"));
    poke(f, WFL_SPACE_UPLOADS, wfl_key_zero(ID, &none, key), WFL_S("0"));
    assert_false(collect(f));
    assert_int_equal(uploads_rows(f), 0);
    assert_content(f, "photos", "k", large_of(WFL_CHUNK_BYTES, 1));
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(memory, what_is_leased_is_held),
        ON(local, what_is_leased_is_held),
        ON(memory, what_is_being_dropped_cannot_be_leased_until_the_group_is_settled),
        ON(memory, a_mark_of_a_refused_group_goes_with_the_next),
        ON(local, a_mark_of_a_refused_group_goes_with_the_next),
        ON(memory, leases_are_a_buckets_own),
        ON(memory, no_memory_is_no_lease),
        ON(memory, a_leased_chunk_stays_with_a_marker_until_the_lease_is_given),
        ON(local, a_leased_chunk_stays_with_a_marker_until_the_lease_is_given),
        ON(memory, a_marked_chunk_that_is_named_again_loses_its_marker),
        ON(local, a_marked_chunk_that_is_named_again_loses_its_marker),
        ON(memory, a_marker_outlives_the_process),
        ON(local, a_marker_outlives_the_process),
        ON(memory, a_marker_of_a_chunk_that_is_counted_just_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
