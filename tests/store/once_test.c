/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kind of write with a nonce: done once, told again as it was told first, also across a
 * reopening, a power cut and any failure on the way. */
#include "fixture.h"

#include <stdio.h>

#include "store/internal.h"

#define SECOND_NS INT64_C(1000000000)

struct told { /* of a write: everything that an answer is made of */
    wfl_code        rc;
    bool            replayed, created;
    wfl_ulid        version[2];
    uint64_t        size;
    wfl_hash        blake3;
    uint32_t        failed; /* of a batch: the first op at fault, from 1 */
    int64_t         setting;
    uint64_t        objects;
    struct wfl_part part;
};

struct scene { /* what was there before the writes */
    wfl_ulid        erasable;
    wfl_ulid        upload;
    struct wfl_part part;
};
static struct scene scene;

static struct wfl_once once_of(struct fixture *f, const char *nonce, uint8_t operation)
{
    int64_t now_ms = f->now_ns / 1000000;

    return (struct wfl_once){.client = WFL_S("the client"),
                             .nonce = wfl_slice_str(nonce),
                             .operation = {operation},
                             .keep_ms = now_ms + 600000,
                             .valid_ms = now_ms + 61000};
}

/* ---- the writes */

static struct told put_with(struct fixture *f, struct wfl_put op, struct wfl_once *once)
{
    struct told told = {0};

    op.bucket = WFL_S("photos");
    op.once = once;
    if (op.content.len <= WFL_VALUE_BYTES_MAX) op.blake3 = wfl_hash_of(op.content);
    told.rc = put_any(f, &op);
    told.version[0] = op.version;
    told.created = op.created;
    if (told.rc == WFL_OK) {
        told.size = op.size;
        told.blake3 = op.blake3;
    }
    wfl_put_fini(&op);
    return told;
}

static struct told do_put(struct fixture *f, struct wfl_once *once)
{
    return put_with(f, (struct wfl_put){.key = WFL_S("put"), .content = WFL_S("content")}, once);
}
static struct told do_put_large(struct fixture *f, struct wfl_once *once)
{
    return put_with(f, (struct wfl_put){.key = WFL_S("large"), .content = large_of(2500000, 1)},
                    once);
}
static struct told do_put_refused(struct fixture *f, struct wfl_once *once)
{
    return put_with(f,
                    (struct wfl_put){.key = WFL_S("there"),
                                     .content = WFL_S("never"),
                                     .none_match = {.kind = WFL_COND_ABSENT}},
                    once);
}

static struct told delete_with(struct fixture *f, const char *key, struct wfl_once *once)
{
    struct wfl_delete op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key), .once = once};
    struct told       told = {.rc = delete_op(f, &op)};

    told.version[0] = op.version;
    return told;
}
static struct told do_delete(struct fixture *f, struct wfl_once *once)
{
    return delete_with(f, "gone", once);
}
static struct told do_delete_refused(struct fixture *f, struct wfl_once *once)
{
    return delete_with(f, "never there", once);
}

static struct told do_erase(struct fixture *f, struct wfl_once *once)
{
    struct wfl_erase op = {
        .bucket = WFL_S("photos"), .key = WFL_S("there"), .version = scene.erasable, .once = once};
    wfl_error   err;
    struct told told = {.rc = wfl_store_erase(f->store, &op, &err)};

    told.version[0] = op.erasure;
    return told;
}

static struct told bucket_with(struct fixture *f, struct wfl_bucket_op op, struct wfl_once *once,
                               wfl_code (*start)(struct wfl_store *s, struct wfl_bucket_op *op))
{
    struct told told = {0};

    op.once = once;
    told.rc = bucket_op(f, &op, start);
    if (told.rc != WFL_OK) return told;
    told.version[0] = op.version;
    told.version[1] = op.info.version;
    told.setting = op.info.settings.versions;
    told.objects = op.info.objects;
    return told;
}
static struct told do_create(struct fixture *f, struct wfl_once *once)
{
    struct wfl_bucket_op op = {.name = WFL_S("other")};
    wfl_error            err;

    assert_code(wfl_settings_parse(WFL_S("{\"versions\":7}"), &op.settings, &err), WFL_OK);
    return bucket_with(f, op, once, wfl_store_bucket_create);
}
static struct told do_create_refused(struct fixture *f, struct wfl_once *once)
{
    return bucket_with(f, (struct wfl_bucket_op){.name = WFL_S("photos")}, once,
                       wfl_store_bucket_create);
}
static struct told do_patch(struct fixture *f, struct wfl_once *once)
{
    return bucket_with(
        f, (struct wfl_bucket_op){.name = WFL_S("photos"), .patch = WFL_S("{\"versions\":9}")},
        once, wfl_store_bucket_patch);
}
static struct told do_delete_bucket(struct fixture *f, struct wfl_once *once)
{
    return bucket_with(f, (struct wfl_bucket_op){.name = WFL_S("empty")}, once,
                       wfl_store_bucket_delete);
}

static struct told batch_with(struct fixture *f, struct wfl_batch_op *ops, uint32_t count,
                              struct wfl_once *once)
{
    struct wfl_batch batch = {.ops = ops, .count = count, .once = once};
    wfl_error        err;
    struct told      told = {.rc = wfl_store_batch(f->store, &batch, &err)};

    for (uint32_t i = 0; i < count && i < 2; i++)
        told.version[i] = ops[i].version;
    if (batch.failed_count > 0) told.failed = 1 + batch.failed[0];
    wfl_batch_fini(&batch);
    return told;
}
static struct told do_batch(struct fixture *f, struct wfl_once *once)
{
    struct wfl_batch_op ops[] = {
        {.kind = WFL_BATCH_PUT,
         .bucket = WFL_S("photos"),
         .key = WFL_S("batched"),
         .content = WFL_S("x")},
        {.kind = WFL_BATCH_DELETE, .bucket = WFL_S("second"), .key = WFL_S("gone")}};

    return batch_with(f, ops, 2, once);
}
static struct told do_batch_refused(struct fixture *f, struct wfl_once *once)
{
    struct wfl_batch_op ops[] = {{.kind = WFL_BATCH_PUT,
                                  .bucket = WFL_S("photos"),
                                  .key = WFL_S("batched"),
                                  .content = WFL_S("x")},
                                 {.kind = WFL_BATCH_CHECK,
                                  .bucket = WFL_S("photos"),
                                  .key = WFL_S("there"),
                                  .condition = {.kind = WFL_COND_ABSENT}}};

    return batch_with(f, ops, 2, once);
}

static struct told do_start(struct fixture *f, struct wfl_once *once)
{
    struct wfl_put given = {.bucket = WFL_S("photos"), .key = WFL_S("up"), .once = once};
    wfl_error      err;
    struct told    told = {0};

    told.rc = wfl_upload_start(f->store, &given, &told.version[0], &err);
    return told;
}
static struct told do_part(struct fixture *f, struct wfl_once *once)
{
    struct wfl_ingest *content = NULL;
    wfl_slice          bytes = bytes_of_len(5000, 3);
    struct told        told = {.part = {.number = 2, .size = bytes.len}};
    wfl_error          err;

    told.part.blake3 = wfl_hash_of(bytes);
    told.rc = ingest(f, "photos", bytes, &content);
    if (told.rc == WFL_OK)
        told.rc = wfl_upload_put_part(f->store, WFL_S("photos"), WFL_S("parts"), &scene.upload,
                                      &told.part, content, WFL_DURABLE, once, &err);
    wfl_ingest_free(content);
    return told;
}
static struct told do_complete(struct fixture *f, struct wfl_once *once)
{
    struct wfl_completion *c = NULL;
    struct wfl_completed   done = {0};
    bool                   ended = false;
    wfl_error              err;
    struct told            told = {0};

    told.rc = wfl_completion_new(f->store, WFL_S("photos"), WFL_S("parts"), &scene.upload,
                                 &scene.part, 1, NULL, &c, &err);
    while (told.rc == WFL_OK && !ended)
        told.rc = wfl_completion_step(c, &ended, &err);
    if (told.rc == WFL_OK) told.rc = wfl_completion_commit(c, once, &done, &err);
    wfl_completion_free(c);
    if (told.rc == WFL_OK)
        told = (struct told){.version = {done.version},
                             .size = done.size,
                             .blake3 = done.blake3,
                             .created = done.created};
    return told;
}
static struct told do_abort(struct fixture *f, struct wfl_once *once)
{
    wfl_error err;

    return (struct told){.rc = wfl_upload_abort(f->store, WFL_S("photos"), WFL_S("parts"),
                                                &scene.upload, once, &err)};
}

static const struct {
    const char *name;
    struct told (*run)(struct fixture *f, struct wfl_once *once);
    wfl_code code;
    bool     looks; /* before its commit, and is then refused for what its first run has done */
} writes[] = {
    {"put", do_put, WFL_OK, false},
    {"large put", do_put_large, WFL_OK, false},
    {"refused put", do_put_refused, WFL_PRECONDITION_FAILED, false},
    {"delete", do_delete, WFL_OK, false},
    {"refused delete", do_delete_refused, WFL_KEY_NOT_FOUND, false},
    {"erase", do_erase, WFL_OK, true},
    {"create", do_create, WFL_OK, false},
    {"refused create", do_create_refused, WFL_BUCKET_EXISTS, false},
    {"patch", do_patch, WFL_OK, false},
    {"delete bucket", do_delete_bucket, WFL_OK, false},
    {"batch", do_batch, WFL_OK, false},
    {"refused batch", do_batch_refused, WFL_PRECONDITION_FAILED, false},
    {"start", do_start, WFL_OK, false},
    {"part", do_part, WFL_OK, false},
    {"complete", do_complete, WFL_OK, true},
    {"abort", do_abort, WFL_OK, true},
};

static void set_scene(struct fixture *f)
{
    wfl_ulid newer;

    assert_code(create(f, "second", "{\"versions\":-1}"), WFL_OK);
    assert_code(create(f, "empty", ""), WFL_OK);
    assert_code(put(f, "second", "gone", WFL_S("x")), WFL_OK);
    assert_code(put(f, "photos", "gone", WFL_S("x")), WFL_OK);
    assert_code(put_as(f, "photos", "there", WFL_S("x"), &scene.erasable), WFL_OK);
    assert_code(put_as(f, "photos", "there", WFL_S("y"), &newer), WFL_OK);
    scene.upload = begin_upload(f, "parts", NULL);
    scene.part = put_part(f, "parts", &scene.upload, 1, bytes_of_len(1 << 20, 5));
}

static int setup_scene(struct fixture *f)
{
    struct wfl_bucket_op op = {.name = WFL_S("photos"), .patch = WFL_S("{\"versions\":-1}")};

    assert_code(bucket_op(f, &op, wfl_store_bucket_patch), WFL_OK);
    set_scene(f);
    return 0;
}
static int setup_memory(void **state)
{
    return fixture_setup_memory(state) == 0 ? setup_scene(*state) : -1;
}
static int setup_local(void **state)
{
    return fixture_setup_local(state) == 0 ? setup_scene(*state) : -1;
}

/* As the server does it: what was refused before any commit is judged by one. */
static struct told run(struct fixture *f, size_t i, struct wfl_once *once)
{
    struct told told = writes[i].run(f, once);

    if (once != NULL && !wfl_once_is_settled(once) && wfl_once_remembers(told.rc)) {
        struct wfl_refusal refusal = {.once = once, .code = told.rc};

        assert_true(writes[i].looks);
        told.rc = refuse_op(f, &refusal);
        told.version[0] = once->outcome.version;
        told.size = once->outcome.size;
        told.blake3 = once->outcome.blake3;
        told.created = once->outcome.created;
    }
    if (once != NULL) told.replayed = once->replayed;
    return told;
}

static struct told run_as(struct fixture *f, size_t i, const char *nonce, uint8_t operation)
{
    struct wfl_once once = once_of(f, nonce, operation);
    struct told     told = run(f, i, &once);

    wfl_once_fini(&once);
    return told;
}

static void assert_told_again(size_t i, const struct told *first, const struct told *again)
{
    struct told same = *again;

    if (!again->replayed) fail_msg("%s: executed again", writes[i].name);
    same.replayed = first->replayed;
    if (memcmp(first, &same, sizeof same) != 0)
        fail_msg("%s: %s, then %s and not the same", writes[i].name, wfl_code_name(first->rc),
                 wfl_code_name(again->rc));
}

/* ---- what must hold */

static void a_write_is_done_once_and_told_again(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(writes); i++) {
        struct told first = run_as(f, i, writes[i].name, 1);
        size_t      changes = rows(f, WFL_SPACE_CHANGES), nonces = rows(f, WFL_SPACE_NONCES);

        if (first.rc != writes[i].code) fail_msg("%s: %s", writes[i].name, wfl_code_name(first.rc));
        assert_false(first.replayed);
        for (int k = 0; k < 2; k++) {
            struct told again = run_as(f, i, writes[i].name, 1);
            assert_told_again(i, &first, &again);
        }
        assert_code(run_as(f, i, writes[i].name, 2).rc, WFL_NONCE_REUSED);
        assert_int_equal(rows(f, WFL_SPACE_CHANGES), changes);
        assert_int_equal(rows(f, WFL_SPACE_NONCES), nonces);
        if (i + 3 < WFL_COUNT(writes)) continue;
        /* What follows needs an upload of its own. */
        scene.upload = begin_upload(f, "parts", NULL);
        scene.part = put_part(f, "parts", &scene.upload, 1, bytes_of_len(1 << 20, 5));
    }
    while (collect(f)) {}
    assert_recounts(f);
}

static void nonces_are_a_client_s_own(void **state)
{
    struct fixture *f = *state;
    struct wfl_once mine = once_of(f, "nonce", 1), other = once_of(f, "nonce", 2);

    other.client = WFL_S("another client");
    assert_code(run(f, 0, &mine).rc, WFL_OK);
    assert_code(run(f, 0, &other).rc, WFL_OK);
    assert_false(other.replayed);
}

static void without_a_nonce_nothing_is_remembered(void **state)
{
    struct fixture *f = *state;

    assert_code(run(f, 0, NULL).rc, WFL_OK);
    assert_code(run(f, 0, NULL).rc, WFL_OK);
    assert_int_equal(rows(f, WFL_SPACE_NONCES), 0);
}

static void a_reopening_forgets_nothing(void **state)
{
    struct fixture *f = *state;
    struct told     first[WFL_COUNT(writes)], again;

    /* All that can be done in one scene: completion and abort want the same upload. */
    for (size_t i = 0; i + 1 < WFL_COUNT(writes); i++) {
        first[i] = run_as(f, i, writes[i].name, 1);
        if (first[i].rc != writes[i].code)
            fail_msg("%s: %s", writes[i].name, wfl_code_name(first[i].rc));
    }
    /* Refusals wait for no fsync, but a later write takes them along. */
    assert_code(put(f, "second", "last", WFL_S("x")), WFL_OK);
    fixture_reopen(f);
    for (size_t i = 0; i + 1 < WFL_COUNT(writes); i++) {
        if (writes[i].run == do_complete) first[i].part = (struct wfl_part){0};
        again = run_as(f, i, writes[i].name, 1);
        assert_told_again(i, &first[i], &again);
    }
}

static void a_buffered_write_and_its_nonce_are_lost_together(void **state)
{
    struct fixture *f = *state;
    struct wfl_once once = once_of(f, "buffered", 1);
    struct wfl_put  op = {.bucket = WFL_S("photos"),
                          .key = WFL_S("b"),
                          .content = WFL_S("x"),
                          .durability = WFL_BUFFERED,
                          .once = &once};

    assert_code(put_op(f, &op), WFL_OK);
    wfl_put_fini(&op);
    fixture_reopen(f);
    assert_no_key(f, "photos", "b");
    assert_int_equal(rows(f, WFL_SPACE_NONCES), 0);
    op.once = &once;
    assert_code(put_op(f, &op), WFL_OK);
    assert_false(once.replayed);
    wfl_put_fini(&op);
}

static void what_has_expired_is_new_again(void **state)
{
    struct fixture *f = *state;
    struct told     first = run_as(f, 0, "n", 1), again;

    f->now_ns += 600 * SECOND_NS - 1000000;
    again = run_as(f, 0, "n", 1);
    assert_told_again(0, &first, &again);
    f->now_ns += 62 * SECOND_NS;
    again = run_as(f, 0, "n", 2);
    assert_code(again.rc, WFL_OK);
    assert_false(again.replayed);
    assert_false(again.created);
}

/* A repetition that was signed shortly before the end is itself valid for a while. */
static void a_late_repetition_is_remembered_as_long_as_it_is_valid(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i += 2) { /* a write, and a refusal */
        struct told first = run_as(f, i, "late", 1), again;

        f->now_ns += 599 * SECOND_NS;
        again = run_as(f, i, "late", 1);
        assert_told_again(i, &first, &again);
        f->now_ns += 59 * SECOND_NS; /* captured, and sent once more */
        again = run_as(f, i, "late", 1);
        assert_told_again(i, &first, &again);
        f->now_ns += 62 * SECOND_NS;
        assert_false(run_as(f, i, "late", 3).replayed);
        f->now_ns += 700 * SECOND_NS;
    }
}

static void of_two_in_one_group_one_is_done(void **state)
{
    struct fixture *f = *state;
    struct wfl_once once[2] = {once_of(f, "n", 1), once_of(f, "n", 1)};
    struct wfl_put  op[2];
    struct waiter   w[2];

    for (int i = 0; i < 2; i++) {
        waiter_init(&w[i]);
        op[i] = (struct wfl_put){.bucket = WFL_S("photos"),
                                 .key = WFL_S("raced"),
                                 .content = WFL_S("x"),
                                 .once = &once[i],
                                 .done = put_done,
                                 .arg = &w[i]};
        assert_code(wfl_store_put(f->store, &op[i]), WFL_PENDING);
    }
    for (int i = 0; i < 2; i++)
        waiter_wait(f, &w[i]);
    assert_code(op[0].rc, WFL_OK);
    assert_code(op[1].rc, WFL_OK);
    assert_false(once[0].replayed);
    assert_true(once[1].replayed);
    assert_true(op[1].created);
    assert_int_equal(wfl_ulid_cmp(&op[0].version, &op[1].version), 0);
    assert_int_equal(rows(f, WFL_SPACE_CHANGES), 1);
    for (int i = 0; i < 2; i++)
        wfl_put_fini(&op[i]);
}

/* Any failure of a call of the engine, any allocation refused: the repetition is the first. */
static void sweep(struct fixture *f, size_t i, bool allocs)
{
    char        nonce[64];
    struct told told = {0};
    uint64_t    k = 0;
    size_t      changes = rows(f, WFL_SPACE_CHANGES), nonces = rows(f, WFL_SPACE_NONCES);

    snprintf(nonce, sizeof nonce, "%s %d", writes[i].name, allocs);
    do {
        if (allocs)
            f->refuse = f->allocs + ++k;
        else
            wfl_memory_fail(f->engine, ++k, WFL_DISK_FULL);
        told = run_as(f, i, nonce, 1);
        f->refuse = 0;
        wfl_memory_fail(f->engine, 0, WFL_OK);
        if (told.replayed) fail_msg("%s: replayed what had failed, at %d", writes[i].name, (int)k);
        if (told.rc != writes[i].code && told.rc != WFL_NOMEM && told.rc != WFL_DISK_FULL)
            fail_msg("%s: %s", writes[i].name, wfl_code_name(told.rc));
        if (told.rc != writes[i].code) {
            assert_int_equal(rows(f, WFL_SPACE_CHANGES), changes);
            assert_int_equal(rows(f, WFL_SPACE_NONCES), nonces);
        }
    } while (told.rc != writes[i].code);
    assert_int_equal(rows(f, WFL_SPACE_NONCES), nonces + 1);
    struct told again = run_as(f, i, nonce, 1);
    assert_told_again(i, &told, &again);
}

static void whatever_fails_is_not_remembered(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i + 1 < WFL_COUNT(writes); i++)
        sweep(f, i, false);
}

static void without_memory_nothing_is_done(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i + 1 < WFL_COUNT(writes); i++)
        sweep(f, i, true);
}

/* ---- the row */

static void a_row_that_cannot_be_read_refuses_the_write(void **state)
{
    struct fixture *f = *state;
    struct wfl_once once = once_of(f, "n", 1);
    uint8_t         key[WFL_ONCE_KEY_LEN], head[WFL_ONCE_HEAD_MAX];
    struct once_row row = {.expires_ms = UINT64_MAX / 2,
                           .code = WFL_PRECONDITION_FAILED,
                           .message = WFL_S("why"),
                           .outcome = {.version = {{1}}, .size = 1}};
    const wfl_slice name = wfl_key_once(once.client, once.nonce, key);
    size_t          len;

    row.outcome.blake3.bytes[0] = 1;
    row.operation[0] = 1;
    len = wfl_once_row_write(&row, head);
    for (size_t n = 1; n < len; n++) {
        poke(f, WFL_SPACE_NONCES, name, wfl_slice_of(head, n));
        assert_code(run(f, 0, &once).rc, WFL_CORRUPT_OBJECT);
    }
    head[8]++; /* the form */
    poke(f, WFL_SPACE_NONCES, name, wfl_slice_of(head, len));
    assert_code(run(f, 0, &once).rc, WFL_CORRUPT_OBJECT);
    head[8]--;
    poke(f, WFL_SPACE_NONCES, name, wfl_slice_of(head, len));
    assert_code(run(f, 0, &once).rc, WFL_PRECONDITION_FAILED);
    assert_true(once.replayed);
}

#define M(name) cmocka_unit_test_setup_teardown(name, setup_memory, fixture_teardown)
#define L(name) cmocka_unit_test_setup_teardown(name, setup_local, fixture_teardown)
#define P(name) cmocka_unit_test_setup_teardown(name, fixture_setup_pending, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        M(a_write_is_done_once_and_told_again),
        L(a_write_is_done_once_and_told_again),
        M(nonces_are_a_client_s_own),
        M(without_a_nonce_nothing_is_remembered),
        M(a_reopening_forgets_nothing),
        L(a_reopening_forgets_nothing),
        M(a_buffered_write_and_its_nonce_are_lost_together),
        M(what_has_expired_is_new_again),
        L(what_has_expired_is_new_again),
        M(a_late_repetition_is_remembered_as_long_as_it_is_valid),
        L(a_late_repetition_is_remembered_as_long_as_it_is_valid),
        P(of_two_in_one_group_one_is_done),
        M(whatever_fails_is_not_remembered),
        M(without_memory_nothing_is_done),
        M(a_row_that_cannot_be_read_refuses_the_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
