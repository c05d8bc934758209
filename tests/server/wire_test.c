/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of the wire: whatever is in them, the bound has room for it, wherever memory begins; and
 * neither a message passes for a stored record nor a record for a message. */
#include "core/core.h"
#include "schema/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t rng_state;

static uint32_t below(uint32_t n)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(rng_state >> 33) % n;
}

static uint8_t letters[4096];

static struct wfl_record_bytes some_text(void)
{
    static const uint32_t lens[] = {0, 1, 2, 3, 4, 5, 7, 8, 12, 63, 1024};

    return (struct wfl_record_bytes){letters, lens[below(WFL_COUNT(lens))]};
}

/* Rows are asked for more than once: each is made from its own number. */
static void pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                    struct wfl_record_bytes *value)
{
    uint64_t kept = rng_state;

    rng_state = (uintptr_t)ctx * 1000 + i;
    *name = some_text();
    *value = some_text();
    rng_state = kept;
}

static struct wfl_record_pairs some_pairs(uintptr_t seed)
{
    return (struct wfl_record_pairs){below(5) * below(30), (const void *)seed, pair_at};
}

static void bytes_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_record_bytes *)row = some_text();
}

static void item_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_item *)row = (struct wfl_wire_item){.key = some_text(),
                                                          .size = below(2),
                                                          .content_type = some_text(),
                                                          .modified_ms = below(2),
                                                          .has_meta = below(2) > 0,
                                                          .has_tags = below(2) > 0,
                                                          .has_value = below(2) > 0,
                                                          .meta = some_pairs(i),
                                                          .tags = some_pairs(i + 1000),
                                                          .value = some_text()};
}

static void version_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_version *)row = (struct wfl_wire_version){
        .kind = (enum wfl_wire_change_kind)below(2), .size = below(2), .modified_ms = below(2)};
}

static void upload_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_upload *)row =
        (struct wfl_wire_upload){.key = some_text(), .started_ms = below(2), .bytes = below(2)};
}

static void part_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_part *)row = (struct wfl_wire_part){.number = below(2), .size = below(2)};
}

static void result_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_result *)row = (struct wfl_wire_result){.has_bucket = below(2) > 0,
                                                              .has_version = below(2) > 0,
                                                              .bucket = some_text(),
                                                              .key = some_text()};
}

static void change_at(const void *ctx, uint32_t i, void *row)
{
    rng_state = (uintptr_t)ctx * 7777 + i;
    *(struct wfl_wire_change *)row =
        (struct wfl_wire_change){.kind = (enum wfl_wire_change_kind)below(3),
                                 .key = some_text(),
                                 .size = below(2),
                                 .by = some_text(),
                                 .jti = {(uint8_t)below(2)},
                                 .tags = some_pairs(i)};
}

static struct wfl_wire_message sample(enum wfl_wire_kind kind, uint32_t seed)
{
    static void (*const row[])(const void *ctx, uint32_t i, void *row) = {
        [WFL_WIRE_BUCKETS] = bytes_at,  [WFL_WIRE_BUCKET] = bytes_at,
        [WFL_WIRE_LISTING] = item_at,   [WFL_WIRE_VERSIONS] = version_at,
        [WFL_WIRE_UPLOADS] = upload_at, [WFL_WIRE_PARTS] = part_at,
        [WFL_WIRE_RESULTS] = result_at, [WFL_WIRE_CHANGES] = change_at,
    };
    const void *ctx = (const void *)(uintptr_t)seed;

    rng_state = seed;
    return (struct wfl_wire_message){.kind = kind,
                                     .rows = {below(4) * below(100), ctx, row[kind]},
                                     .has_prefixes = below(2) > 0,
                                     .prefixes = {below(3) * below(50), ctx, bytes_at},
                                     .cursor = some_text(),
                                     .bucket = {.name = some_text(),
                                                .settings = {.quota_bytes = below(3) - 1,
                                                             .expire_seconds = below(3) - 1,
                                                             .public_read = below(2) > 0},
                                                .objects = below(2)}};
}

/* Memory of exactly the bound, so that a sanitizer sees a step beyond it. */
static uint8_t *written(const struct wfl_wire_message *message, size_t skew, size_t *len)
{
    size_t   bound = wfl_wire_bound(message);
    uint8_t *space = malloc(bound + skew), *copy;

    assert_non_null(space);
    assert_int_equal(wfl_wire_write(message, space + skew, bound - 1), 0);
    *len = wfl_wire_write(message, space + skew, bound);
    assert_true(*len > 0 && *len <= bound);
    copy = malloc(*len);
    assert_non_null(copy);
    memcpy(copy, space + skew, *len);
    free(space);
    return copy;
}

static void any_message_stays_within_its_bound(void **state)
{
    (void)state;
    memset(letters, 'x', sizeof letters);
    for (uint32_t seed = 1; seed <= 200; seed++)
        for (enum wfl_wire_kind kind = WFL_WIRE_BUCKETS; kind <= WFL_WIRE_CHANGES; kind++) {
            struct wfl_wire_message message = sample(kind, seed);
            size_t                  len = 0;
            uint8_t                *bytes = written(&message, seed % 16, &len);

            assert_memory_equal(bytes + 4, "WFLW", 4);
            free(bytes);
        }
}

static void small_rows_stay_within_their_bound(void **state)
{
    static const enum wfl_wire_kind kinds[] = {WFL_WIRE_BUCKETS, WFL_WIRE_LISTING};

    (void)state;
    for (size_t k = 0; k < WFL_COUNT(kinds); k++) {
        struct wfl_wire_message message = sample(kinds[k], 1);
        size_t                  len = 0;

        message.rows.count = 0;
        if (kinds[k] == WFL_WIRE_BUCKETS)
            message.rows = (struct wfl_wire_rows){20000, NULL, bytes_at};
        message.has_prefixes = true;
        message.prefixes = (struct wfl_wire_rows){20000, NULL, bytes_at};
        free(written(&message, 3, &len));
    }
}

static void an_answer_is_no_batch_and_no_record(void **state)
{
    struct wfl_record_bucket bucket;
    struct wfl_wire_batch    batch;
    struct wfl_wire_settings settings;

    (void)state;
    for (enum wfl_wire_kind kind = WFL_WIRE_BUCKETS; kind <= WFL_WIRE_CHANGES; kind++) {
        struct wfl_wire_message message = sample(kind, 5);
        size_t                  len = 0;
        uint8_t                *bytes = written(&message, 0, &len);

        assert_false(wfl_wire_batch_read(bytes, len, &batch));
        assert_false(wfl_wire_settings_read(bytes, len, &settings));
        assert_non_null(wfl_record_bucket_read(bytes, len, &bucket));
        free(bytes);
    }
}

static void a_record_is_no_message(void **state)
{
    struct wfl_record_bucket in = {.id = 1, .name = {(const uint8_t *)"abc", 3}}, out;
    uint8_t                  space[WFL_RECORD_SMALL_MAX];
    struct wfl_wire_batch    batch;
    struct wfl_wire_settings settings;
    size_t                   len = wfl_record_bucket_write(&in, space);

    (void)state;
    assert_null(wfl_record_bucket_read(space, len, &out));
    assert_false(wfl_wire_batch_read(space, len, &batch));
    assert_false(wfl_wire_settings_read(space, len, &settings));
    memcpy(space + 4, "WFLW", 4);
    assert_non_null(wfl_record_bucket_read(space, len, &out));
    assert_false(wfl_wire_batch_read(space, len, &batch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_message_stays_within_its_bound),
        cmocka_unit_test(small_rows_stay_within_their_bound),
        cmocka_unit_test(an_answer_is_no_batch_and_no_record),
        cmocka_unit_test(a_record_is_no_message),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
