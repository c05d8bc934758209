/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored records: what is written is read back within its bound; what is damaged is refused or
 * still reads within its bytes. */
#include "fixture.h"

#include <stdlib.h>

#include "schema/records.h"

struct list {
    struct wfl_record_bytes names[600];
    struct wfl_record_bytes values[600];
};

static void pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                    struct wfl_record_bytes *value)
{
    const struct list *list = ctx;

    *name = list->names[i];
    *value = list->values[i];
}

static struct wfl_record_bytes bytes(wfl_slice s)
{
    return (struct wfl_record_bytes){s.data, s.len};
}

static struct wfl_record_object sample(struct list *list, uint32_t pairs, size_t value_len)
{
    static uint8_t           text[2048];
    struct wfl_record_object in = {.size = value_len,
                                   .content_type = bytes(WFL_S("text/plain")),
                                   .by = bytes(WFL_S("someone")),
                                   .jti = {7},
                                   .storage = WFL_RECORD_INLINE};

    memset(text, 'x', sizeof text);
    for (uint32_t i = 0; i < pairs; i++) {
        list->names[i] = (struct wfl_record_bytes){text, i % 65};
        list->values[i] = (struct wfl_record_bytes){text, i * 7 % 257};
    }
    in.value = (struct wfl_record_bytes){text, value_len};
    in.meta = (struct wfl_record_pairs){pairs, list, pair_at};
    in.tags = (struct wfl_record_pairs){pairs / 2, list, pair_at};
    return in;
}

static void objects_are_read_back_as_written(void **state)
{
    static struct list    list;
    static const uint32_t counts[] = {0, 1, 2, 33, 600};
    static const size_t   values[] = {0, 1, 1023, 1024};

    (void)state;
    for (size_t c = 0; c < WFL_COUNT(counts); c++)
        for (size_t v = 0; v < WFL_COUNT(values); v++)
            for (size_t skew = 0; skew < 16; skew++) { /* the caller's memory has any alignment */
                struct wfl_record_object in = sample(&list, counts[c], values[v]), out;
                size_t                   bound = wfl_record_object_bound(&in);
                uint8_t                 *space = malloc(skew + bound);
                static const uint8_t     version[16] = {1, 2, 3};
                assert_non_null(space);
                assert_int_equal(wfl_record_object_write(&in, space + skew, bound - 1), 0);
                size_t len = wfl_record_object_write(&in, space + skew, bound);
                assert_true(len > 0 && len <= bound);
                wfl_record_object_set_version(space + skew, len, version);

                assert_null(wfl_record_object_read(space + skew, len, &out));
                assert_memory_equal(out.version, version, 16);
                assert_memory_equal(out.jti, in.jti, 16);
                assert_int_equal(out.size, values[v]);
                assert_int_equal(out.value.len, values[v]);
                assert_int_equal(out.by.len, 7);
                assert_int_equal(out.meta.count, counts[c]);
                assert_int_equal(out.tags.count, counts[c] / 2);
                for (uint32_t i = 0; i < out.meta.count; i++) {
                    struct wfl_record_bytes name, value;
                    out.meta.at(out.meta.ctx, i, &name, &value);
                    assert_int_equal(name.len, list.names[i].len);
                    assert_memory_equal(value.data, list.values[i].data, value.len);
                    assert_int_equal(value.len, list.values[i].len);
                }
                free(space);
            }
}

static void impossible_sizes_have_no_bound(void **state)
{
    struct wfl_record_object in = {.content_type = {NULL, SIZE_MAX}};

    (void)state;
    assert_true(wfl_record_object_bound(&in) == SIZE_MAX);
    in = (struct wfl_record_object){.value = {NULL, SIZE_MAX / 2}, .by = {NULL, SIZE_MAX / 2}};
    assert_true(wfl_record_object_bound(&in) == SIZE_MAX);
    in = (struct wfl_record_object){.value = {NULL, (size_t)1 << 31}};
    assert_true(wfl_record_object_bound(&in) == SIZE_MAX);
}

/* Touch every byte that a record hands out: the sanitizers watch. */
static unsigned touch(const struct wfl_record_object *o)
{
    unsigned sum = 0;

    for (size_t i = 0; i < o->value.len; i++)
        sum += o->value.data[i];
    for (size_t i = 0; i < o->content_type.len; i++)
        sum += o->content_type.data[i];
    for (size_t i = 0; i < o->by.len; i++)
        sum += o->by.data[i];
    for (uint32_t i = 0; i < o->meta.count + o->tags.count; i++) {
        struct wfl_record_bytes name, value;
        if (i < o->meta.count)
            o->meta.at(o->meta.ctx, i, &name, &value);
        else
            o->tags.at(o->tags.ctx, i - o->meta.count, &name, &value);
        for (size_t n = 0; n < name.len; n++)
            sum += name.data[n];
        for (size_t n = 0; n < value.len; n++)
            sum += value.data[n];
    }
    return sum;
}

static void damage_is_refused_or_stays_within_the_record(void **state)
{
    static struct list       list;
    struct wfl_record_object in = sample(&list, 3, 50), out;
    uint8_t                  space[4096];
    size_t                   len = wfl_record_object_write(&in, space, sizeof space);
    unsigned                 refused = 0;

    (void)state;
    assert_true(len > 0);
    for (size_t i = 0; i < len * 8; i++) {
        uint8_t *copy = malloc(len); /* of its exact length, for the sanitizers */
        assert_non_null(copy);
        memcpy(copy, space, len);
        copy[i / 8] = (uint8_t)(copy[i / 8] ^ (1 << (i % 8)));
        if (wfl_record_object_read(copy, len, &out) == NULL)
            (void)touch(&out);
        else
            refused++;
        free(copy);
    }
    assert_true(refused > 0);
    for (size_t n = 0; n < len; n++) {
        uint8_t *copy = malloc(n + 1);
        assert_non_null(copy);
        memcpy(copy, space, n);
        if (wfl_record_object_read(copy, n, &out) == NULL) (void)touch(&out);
        free(copy);
    }
    assert_non_null(wfl_record_object_read(NULL, 0, &out));
}

static void small_records_are_read_back_as_written(void **state)
{
    uint8_t                  space[WFL_RECORD_SMALL_MAX], name[63];
    struct wfl_record_bucket bucket = {.id = 7,
                                       .name = {name, sizeof name},
                                       .settings = {1, 2, 3, 4, 5, 6, 7, 8, true},
                                       .created = {9}},
                             bucket_out;
    struct wfl_record_counters counters = {.objects = UINT64_MAX, .bytes = 2, .version = {3}},
                               counters_out;
    struct wfl_record_store store = {.format = 1, .version = {4}, .bucket_id = UINT32_MAX},
                            store_out;
    size_t len;

    (void)state;
    memset(name, 'n', sizeof name);
    len = wfl_record_bucket_write(&bucket, space);
    assert_null(wfl_record_bucket_read(space, len, &bucket_out));
    assert_int_equal(bucket_out.id, 7);
    assert_int_equal(bucket_out.name.len, 63);
    assert_memory_equal(bucket_out.name.data, name, 63);
    assert_int_equal(bucket_out.settings.expire_seconds, 8);
    assert_true(bucket_out.settings.public_read);
    assert_int_equal(bucket_out.created[0], 9);
    assert_non_null(wfl_record_bucket_read(space, len - 30, &bucket_out));

    len = wfl_record_counters_write(&counters, space);
    assert_null(wfl_record_counters_read(space, len, &counters_out));
    assert_true(counters_out.objects == UINT64_MAX);
    assert_int_equal(counters_out.version[0], 3);
    assert_non_null(wfl_record_counters_read(space, 8, &counters_out));

    len = wfl_record_store_write(&store, space);
    assert_null(wfl_record_store_read(space, len, &store_out));
    assert_int_equal(store_out.bucket_id, UINT32_MAX);
    assert_int_equal(store_out.version[0], 4);
    assert_non_null(wfl_record_store_read(space, 8, &store_out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_read_back_as_written),
        cmocka_unit_test(impossible_sizes_have_no_bound),
        cmocka_unit_test(damage_is_refused_or_stays_within_the_record),
        cmocka_unit_test(small_records_are_read_back_as_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
