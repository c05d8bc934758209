/* SPDX-License-Identifier: Apache-2.0
 *
 * Pages: their order, their bounds, their folding; at the end all of it at random against a model
 * that knows no seek and no page. */
#include "suite.h"

#include <stdlib.h>

#define O WFL_SPACE_OBJECTS

static void put_all(struct bench *b, const wfl_slice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(bench_put(b, O, keys[i], keys[i]), WFL_OK);
}

void keys_order_by_unsigned_bytes(void **state)
{
    static const wfl_slice ordered[] = {
        WFL_LIT("\0"),   WFL_LIT("\0\0"),   WFL_LIT("\0\xff"),  WFL_LIT("\x01"), WFL_LIT("A"),
        WFL_LIT("A\0"),  WFL_LIT("AA"),     WFL_LIT("a"),       WFL_LIT("\x7f"), WFL_LIT("\x80"),
        WFL_LIT("\xff"), WFL_LIT("\xff\0"), WFL_LIT("\xff\xff")};
    const size_t  count = WFL_COUNT(ordered);
    struct bench *b = *state;

    for (size_t i = 0; i < count; i++) /* 5 and 13 have no common divisor: any order but theirs */
        put_all(b, &ordered[i * 5 % count], 1);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct wfl_engine_range r = {.space = O, .limit = 100, .reverse = reverse};

        assert_int_equal(bench_range(b, &r), WFL_OK);
        assert_int_equal(r.count, count);
        assert_false(r.more);
        for (size_t i = 0; i < count; i++) {
            wfl_slice key = ordered[reverse ? count - 1 - i : i];

            assert_true(wfl_slice_eq(r.pairs[i].key, key));
            assert_true(wfl_slice_eq(r.pairs[i].value, key));
        }
        wfl_engine_range_free(&r);
        wfl_engine_range_free(&r);
    }
}

void a_page_says_whether_there_is_more(void **state)
{
    static const wfl_slice keys[] = {WFL_LIT("a"), WFL_LIT("b"), WFL_LIT("c/1"), WFL_LIT("c/2")};
    static const struct {
        uint32_t limit;
        bool     fold;
        uint32_t count;
        bool     more;
    } cases[] = {{3, false, 3, true}, {4, false, 4, false}, {5, false, 4, false},
                 {2, true, 2, true},  {3, true, 3, false},  {1, true, 1, true}};
    struct bench           *b = *state;
    struct wfl_engine_range empty = {.space = O, .limit = 1};

    assert_int_equal(bench_range(b, &empty), WFL_OK);
    assert_int_equal(empty.count, 0);
    assert_false(empty.more);
    wfl_engine_range_free(&empty);
    put_all(b, keys, WFL_COUNT(keys));
    for (size_t i = 0; i < WFL_COUNT(cases) * 2; i++) {
        size_t                  c = i / 2;
        struct wfl_engine_range r = {.space = O, .limit = cases[c].limit, .reverse = i % 2 == 1};

        if (cases[c].fold) r.fold_delimiter = WFL_S("/");
        assert_int_equal(bench_range(b, &r), WFL_OK);
        if (r.count != cases[c].count || r.more != cases[c].more) fail_msg("case %zu", i);
        wfl_engine_range_free(&r);
    }
}

/* A group whose prefix is all 0xFF has no key behind it. */
void folding_passes_groups_at_the_end_of_the_bytes(void **state)
{
    static const wfl_slice keys[] = {WFL_LIT("a\xff"
                                             "1"),
                                     WFL_LIT("a\xff"
                                             "2"),
                                     WFL_LIT("b"), WFL_LIT("\xff"), WFL_LIT("\xff\xff")};
    struct bench          *b = *state;

    put_all(b, keys, WFL_COUNT(keys));
    for (int reverse = 0; reverse < 2; reverse++) {
        struct wfl_engine_range r = {
            .space = O, .limit = 10, .reverse = reverse, .fold_delimiter = WFL_LIT("\xff")};

        assert_int_equal(bench_range(b, &r), WFL_OK);
        assert_int_equal(r.count, 3);
        assert_true(wfl_slice_eq(r.pairs[reverse ? 2 : 0].key, WFL_S("a\xff")));
        assert_true(r.pairs[reverse ? 2 : 0].folded);
        assert_true(wfl_slice_eq(r.pairs[1].key, WFL_S("b")));
        assert_false(r.pairs[1].folded);
        assert_true(wfl_slice_eq(r.pairs[reverse ? 0 : 2].key, WFL_S("\xff")));
        wfl_engine_range_free(&r);
    }
}

/* ---- the model: an unordered list; a page is made by sorting what is in the range */

#define MODEL_MAX 600
#define KEY_MAX   9
#define VALUE_MAX 40

struct item {
    uint8_t   bytes[KEY_MAX];
    wfl_slice key; /* into bytes, or a folded beginning of it */
    uint8_t   value[VALUE_MAX];
    size_t    value_len;
    bool      folded;
};
struct model {
    struct item items[MODEL_MAX];
    size_t      count;
};

static size_t random_key(struct prng *rng, uint8_t out[KEY_MAX])
{
    static const uint8_t alphabet[] = {0x00, 0xFF, '/', '/', 'a', 'b', 0xFE};
    size_t               len = 1 + prng_below(rng, KEY_MAX - 1);

    for (size_t i = 0; i < len; i++)
        out[i] = alphabet[prng_below(rng, sizeof alphabet)];
    return len;
}

static struct item *model_find(struct model *m, wfl_slice key)
{
    for (size_t i = 0; i < m->count; i++) {
        if (wfl_slice_eq(wfl_slice_of(m->items[i].bytes, m->items[i].key.len), key))
            return &m->items[i];
    }
    return NULL;
}

static void change_both(struct bench *b, struct model *m, struct prng *rng)
{
    uint8_t      bytes[KEY_MAX], value[VALUE_MAX];
    wfl_slice    key = wfl_slice_of(bytes, random_key(rng, bytes));
    struct item *there = model_find(m, key);
    size_t       value_len = prng_below(rng, VALUE_MAX);

    if (there != NULL && prng_below(rng, 2) == 0) {
        assert_int_equal(bench_delete(b, O, key), WFL_OK);
        *there = m->items[--m->count];
        return;
    }
    if (there == NULL && m->count == MODEL_MAX) return;
    for (size_t i = 0; i < value_len; i++)
        value[i] = (uint8_t)prng_next(rng);
    assert_int_equal(bench_put(b, O, key, wfl_slice_of(value, value_len)), WFL_OK);
    if (there == NULL) there = &m->items[m->count++];
    memcpy(there->bytes, bytes, key.len);
    there->key.len = key.len;
    memcpy(there->value, value, value_len);
    there->value_len = value_len;
}

static int by_key(const void *a, const void *b)
{
    return wfl_slice_cmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static size_t fold_at(const struct wfl_engine_range *r, wfl_slice key)
{
    for (size_t i = r->fold_offset; i + r->fold_delimiter.len <= key.len; i++) {
        if (memcmp(key.data + i, r->fold_delimiter.data, r->fold_delimiter.len) == 0)
            return i + r->fold_delimiter.len;
    }
    return 0;
}

/* Everything that the range holds, in order of keys, groups as one. */
static size_t model_range(const struct model *m, const struct wfl_engine_range *r, struct item *out)
{
    size_t count = 0, kept = 0;

    for (size_t i = 0; i < m->count; i++) {
        struct item *item = &out[count];

        *item = m->items[i];
        item->key.data = item->bytes;
        if (wfl_slice_cmp(item->key, r->from) < 0) continue;
        if (r->to.len > 0 && wfl_slice_cmp(item->key, r->to) >= 0) continue;
        if (r->fold_delimiter.len > 0 && fold_at(r, item->key) > 0) {
            item->key.len = fold_at(r, item->key);
            item->value_len = 0;
            item->folded = true;
        }
        count++;
    }
    for (size_t i = 0; i < count; i++)
        out[i].key.data = out[i].bytes;
    qsort(out, count, sizeof *out, by_key);
    for (size_t i = 0; i < count; i++) { /* qsort moved the bytes that keys point to */
        out[i].key.data = out[i].bytes;
        if (kept > 0 && wfl_slice_eq(out[i].key, out[kept - 1].key)) continue;
        out[kept] = out[i];
        out[kept].key.data = out[kept].bytes;
        kept++;
    }
    return kept;
}

static void check_page(const struct wfl_engine_range *r, const struct item *all, size_t all_count)
{
    size_t bytes = 0, i = 0;

    while (i < all_count && i < r->limit && (r->bytes_max == 0 || bytes <= r->bytes_max)) {
        const struct item *want = &all[r->reverse ? all_count - 1 - i : i];

        if (i >= r->count) fail_msg("pair %zu is missing", i);
        assert_true(wfl_slice_eq(r->pairs[i].key, want->key));
        assert_int_equal(r->pairs[i].folded, want->folded);
        assert_true(wfl_slice_eq(r->pairs[i].value, wfl_slice_of(want->value, want->value_len)));
        bytes += want->key.len + want->value_len;
        i++;
    }
    assert_int_equal(r->count, i);
    assert_int_equal(r->more, i < all_count);
}

static void random_range(struct bench *b, const struct model *m, struct prng *rng,
                         struct item *scratch)
{
    static const wfl_slice  delimiters[] = {WFL_LIT("/"), WFL_LIT("\xff"), WFL_LIT("a/"),
                                            WFL_LIT("\0"),
                                            WFL_LIT("//\xff"
                                                     "a")};
    uint8_t                 from[KEY_MAX], to[KEY_MAX];
    struct wfl_engine_range r = {.space = O, .reverse = prng_below(rng, 2) == 1};

    r.limit = (uint32_t)(1 + prng_below(rng, prng_below(rng, 2) == 0 ? 8 : 700));
    if (prng_below(rng, 3) == 0) r.bytes_max = 1 + prng_below(rng, 200);
    if (prng_below(rng, 2) == 0) r.from = wfl_slice_of(from, random_key(rng, from));
    if (prng_below(rng, 2) == 0) r.to = wfl_slice_of(to, random_key(rng, to));
    if (prng_below(rng, 2) == 0) {
        r.fold_delimiter = delimiters[prng_below(rng, WFL_COUNT(delimiters))];
        r.fold_offset = prng_below(rng, 4);
    }
    assert_int_equal(bench_range(b, &r), WFL_OK);
    check_page(&r, scratch, model_range(m, &r, scratch));
    wfl_engine_range_free(&r);
}

void ranges_agree_with_a_naive_model(void **state)
{
    struct bench *b = *state;
    struct prng   rng = prng_from_env();
    struct model *m = calloc(1, sizeof *m);
    struct item  *scratch = calloc(MODEL_MAX + 1, sizeof *scratch);

    assert_non_null(m);
    assert_non_null(scratch);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 120; i++)
            change_both(b, m, &rng);
        if (round % 2 == 1) bench_reopen(b);
        for (int i = 0; i < 400; i++)
            random_range(b, m, &rng, scratch);
    }
    free(scratch);
    free(m);
}
