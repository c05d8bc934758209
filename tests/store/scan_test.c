/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings, against a plain model: all keys sorted, filtered and folded by the words of the
 * protocol. Every question is walked with several page sizes; whatever the pages, together they
 * must say what the model says. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_MAX    64
#define ENTRIES_MAX 64

struct question {
    const char *prefix, *after, *end, *delimiter;
    bool        reverse;
};

struct entry {
    char text[64];
    bool folded;
};

struct listing {
    struct entry entries[ENTRIES_MAX];
    size_t       count;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the protocol says, one key at a time. */
static void model(const char **keys, size_t count, const struct question *q, struct listing *out)
{
    const char *sorted[KEYS_MAX];

    out->count = 0;
    memcpy(sorted, keys, count * sizeof *keys);
    qsort(sorted, count, sizeof *sorted, by_bytes);
    for (size_t n = 0; n < count; n++) {
        const char *key = sorted[q->reverse ? count - 1 - n : n];
        int         turn = q->reverse ? -1 : 1;
        if (strncmp(key, q->prefix, strlen(q->prefix)) != 0) continue;
        if (q->after[0] != '\0' && strcmp(key, q->after) * turn <= 0) continue;
        if (q->end[0] != '\0' && strcmp(key, q->end) * turn >= 0) continue;
        struct entry e = {.folded = false};
        const char  *hit =
            q->delimiter[0] == '\0' ? NULL : strstr(key + strlen(q->prefix), q->delimiter);
        size_t len = hit == NULL ? strlen(key) : (size_t)(hit - key) + strlen(q->delimiter);
        memcpy(e.text, key, len);
        e.folded = hit != NULL;
        if (e.folded && out->count > 0 && out->entries[out->count - 1].folded &&
            strcmp(out->entries[out->count - 1].text, e.text) == 0)
            continue;
        out->entries[out->count++] = e;
    }
}

static void add(struct listing *to, wfl_slice text, bool folded)
{
    assert_true(to->count < ENTRIES_MAX && text.len < sizeof to->entries[0].text);
    struct entry *e = &to->entries[to->count++];
    memset(e, 0, sizeof *e);
    memcpy(e->text, text.data, text.len);
    e->folded = folded;
}

/* Items and prefixes of one page, merged into the order they were found in. */
static void add_page(const struct wfl_scan *op, struct listing *to)
{
    uint32_t i = 0, p = 0;

    while (i < op->item_count || p < op->prefix_count) {
        bool item = p == op->prefix_count;
        if (i < op->item_count && p < op->prefix_count) {
            int order = wfl_slice_cmp(op->items[i].key, op->prefixes[p]);
            item = op->reverse ? order > 0 : order < 0;
        }
        if (item)
            add(to, op->items[i++].key, false);
        else
            add(to, op->prefixes[p++], true);
    }
}

static struct wfl_scan ask(const struct question *q, uint32_t limit)
{
    return (struct wfl_scan){.bucket = WFL_S("photos"),
                             .prefix = wfl_slice_str(q->prefix),
                             .after = wfl_slice_str(q->after),
                             .end = wfl_slice_str(q->end),
                             .delimiter = wfl_slice_str(q->delimiter),
                             .reverse = q->reverse,
                             .limit = limit};
}

static void walk(struct fixture *f, const struct question *q, uint32_t limit, struct listing *out)
{
    char     cursor[WFL_CURSOR_TEXT_MAX];
    size_t   cursor_len = 0;
    wfl_ulid at = {{0}};

    out->count = 0;
    do {
        struct wfl_scan op = ask(q, limit);
        op.cursor = wfl_slice_of(cursor, cursor_len);
        assert_code(scan_op(f, &op), WFL_OK);
        assert_true(op.item_count + op.prefix_count <= limit);
        if (op.next.len > 0) assert_true(op.item_count + op.prefix_count > 0);
        if (cursor_len > 0) assert_int_equal(wfl_ulid_cmp(&op.at, &at), 0);
        at = op.at;
        add_page(&op, out);
        cursor_len = op.next.len;
        assert_true(cursor_len < sizeof cursor);
        memcpy(cursor, op.next.len > 0 ? op.next.data : (const uint8_t *)"", cursor_len);
        wfl_scan_fini(&op);
        wfl_scan_fini(&op);
    } while (cursor_len > 0);
}

static void compare(const struct listing *got, const struct listing *want, const struct question *q,
                    uint32_t limit)
{
    bool same = got->count == want->count;

    for (size_t i = 0; same && i < got->count; i++)
        same = got->entries[i].folded == want->entries[i].folded &&
               strcmp(got->entries[i].text, want->entries[i].text) == 0;
    if (same) return;
    for (size_t i = 0; i < got->count; i++)
        print_message("# got %s %d\n", got->entries[i].text, got->entries[i].folded);
    for (size_t i = 0; i < want->count; i++)
        print_message("# want %s %d\n", want->entries[i].text, want->entries[i].folded);
    fail_msg("prefix '%s' after '%s' end '%s' delimiter '%s' reverse %d limit %u", q->prefix,
             q->after, q->end, q->delimiter, q->reverse, limit);
}

static const char *all_keys[] = {
    "a",
    "a/",
    "a/1",
    "a/2",
    "a/b/1",
    "a/b/2",
    "a0",
    "ab",
    "b",
    "b/c/d",
    "b/c/e",
    "b/f",
    "c",
    "d\xC3\xA9x",
    "d\xC3\xA9y",
    "e//f",
    "e//g",
    "e/x",
    "z~\xF4\x8F\xBF\xBF",
    "z~",
};
static const char *bounds[] = {"",      "a",   "a/", "a/1", "a/b/", "a/b/1", "a1",
                               "b/c/d", "b/g", "d",  "e/",  "e//",  "zz",    "\x7F"};
static const char *prefixes[] = {"", "a", "a/", "a/b/", "b/", "d", "e/", "z~", "nothing"};
static const char *delimiters[] = {"", "/", "\xC3\xA9", "~", "?"};

static void put_all(struct fixture *f)
{
    for (size_t i = 0; i < WFL_COUNT(all_keys); i++)
        assert_code(put(f, "photos", all_keys[i], wfl_slice_str(all_keys[i])), WFL_OK);
    assert_code(create(f, "aaa", ""), WFL_OK); /* neighbours, which no listing may show */
    assert_code(create(f, "zzz", ""), WFL_OK);
    assert_code(put(f, "aaa", "neighbour", WFL_S("")), WFL_OK);
    assert_code(put(f, "zzz", "neighbour", WFL_S("")), WFL_OK);
}

static void check_question(struct fixture *f, const struct question *q, bool every_limit)
{
    static const uint32_t limits[] = {1000, 1, 2, 3, 5};
    struct listing        want, got;

    model(all_keys, WFL_COUNT(all_keys), q, &want);
    for (size_t i = 0; i < (every_limit ? WFL_COUNT(limits) : 2); i++) {
        walk(f, q, limits[i], &got);
        compare(&got, &want, q, limits[i]);
    }
}

static void pages_say_together_what_the_model_says(void **state)
{
    struct fixture *f = *state;
    bool            every = f->kind != ON_LOCAL; /* whose answers cost a thread switch each */

    put_all(f);
    for (size_t p = 0; p < WFL_COUNT(prefixes); p++)
        for (size_t d = 0; d < WFL_COUNT(delimiters); d++)
            for (size_t a = 0; a < WFL_COUNT(bounds); a += every ? 1 : 3)
                for (size_t e = 0; e < WFL_COUNT(bounds); e += every ? 1 : 3)
                    for (int r = 0; r < 2; r++)
                        check_question(f,
                                       &(struct question){prefixes[p], bounds[a], bounds[e],
                                                          delimiters[d], r == 1},
                                       every);
}

static void an_empty_bucket_lists_nothing(void **state)
{
    struct fixture *f = *state;
    struct wfl_scan op = ask(&(struct question){"", "", "", "", false}, 10);

    assert_code(scan_op(f, &op), WFL_OK);
    assert_int_equal(op.item_count + op.prefix_count, 0);
    assert_int_equal(op.next.len, 0);
    wfl_ulid created = info(f, "photos").version;
    assert_int_equal(wfl_ulid_cmp(&op.at, &created), 0);
    wfl_scan_fini(&op);
}

static void items_carry_what_was_asked_for(void **state)
{
    static const struct wfl_name_value meta[] = {{WFL_LIT("m"), WFL_LIT("1")}};
    static const struct wfl_name_value tags[] = {{WFL_LIT("t"), WFL_LIT("2")},
                                                 {WFL_LIT("u"), WFL_LIT("3")}};
    struct fixture                    *f = *state;

    for (size_t size = 10; size <= 100000; size *= 100) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", size);
        struct wfl_put op = {.bucket = WFL_S("photos"),
                             .key = wfl_slice_str(key),
                             .content = bytes_of_len(size, 1),
                             .content_type = WFL_S("x/y"),
                             .meta = meta,
                             .meta_count = 1,
                             .tags = tags,
                             .tag_count = 2};
        assert_code(put_any(f, &op), WFL_OK);
        wfl_put_fini(&op);
    }
    for (int what = 0; what < 8; what++) {
        struct wfl_scan op = ask(&(struct question){"k", "", "", "", false}, 10);
        op.with_meta = what & 1;
        op.with_tags = what & 2;
        op.with_value = what & 4;
        assert_code(scan_op(f, &op), WFL_OK);
        assert_int_equal(op.item_count, 3);
        for (uint32_t i = 0; i < 3; i++) {
            const struct wfl_scan_item *item = &op.items[i];
            assert_true(wfl_slice_eq(item->object.content_type, WFL_S("x/y")));
            assert_int_equal(item->object.meta_count, op.with_meta ? 1 : 0);
            assert_int_equal(item->object.tag_count, op.with_tags ? 2 : 0);
            if (op.with_meta) assert_true(wfl_slice_eq(item->object.meta[0].value, WFL_S("1")));
            if (op.with_tags) assert_true(wfl_slice_eq(item->object.tags[1].name, WFL_S("u")));
            assert_int_equal(item->has_value,
                             op.with_value && item->object.size <= WFL_SCAN_VALUE_BYTES_MAX);
            if (item->has_value)
                assert_true(wfl_slice_eq(item->value, bytes_of_len(item->object.size, 1)));
        }
        wfl_scan_fini(&op);
    }
}

static void a_page_ends_after_enough_content(void **state)
{
    enum { COUNT = 140, SIZE = 64 * 1024 }; /* 8.75 MiB */
    struct fixture *f = *state;
    uint32_t        seen = 0, pages = 0;
    char            cursor[WFL_CURSOR_TEXT_MAX];
    size_t          cursor_len = 0;

    for (int i = 0; i < COUNT; i++) {
        char key[32];
        snprintf(key, sizeof key, "v%03d", i);
        assert_code(put(f, "photos", key, bytes_of_len(SIZE, (uint8_t)i)), WFL_OK);
        snprintf(key, sizeof key, "v%03d-sub/key", i); /* folded, between the contents */
        assert_code(put(f, "photos", key, WFL_S("s")), WFL_OK);
    }
    do {
        struct wfl_scan op = ask(&(struct question){"v", "", "", "/", false}, 1000);
        op.with_value = true;
        op.cursor = wfl_slice_of(cursor, cursor_len);
        assert_code(scan_op(f, &op), WFL_OK);
        if (pages == 0) {
            assert_int_equal(op.item_count, (8u << 20) / SIZE + 1);
            assert_int_equal(op.prefix_count, (8u << 20) / SIZE);
        }
        for (uint32_t i = 0; i < op.item_count; i++) {
            char key[8];
            snprintf(key, sizeof key, "v%03u", seen++);
            assert_true(wfl_slice_eq(op.items[i].key, wfl_slice_str(key)));
            assert_true(op.items[i].has_value);
            assert_true(wfl_slice_eq(op.items[i].value, bytes_of_len(SIZE, (uint8_t)(seen - 1))));
        }
        cursor_len = op.next.len;
        if (cursor_len > 0) memcpy(cursor, op.next.data, cursor_len);
        wfl_scan_fini(&op);
        pages++;
    } while (cursor_len > 0);
    assert_int_equal(seen, COUNT);
    assert_int_equal(pages, 2);
}

static void a_question_out_of_range_is_refused(void **state)
{
    struct fixture *f = *state;
    static char     long_key[WFL_KEY_MAX + 2];
    struct question all = {"", "", "", "", false};

    memset(long_key, 'k', WFL_KEY_MAX + 1);
    const struct question too_long[] = {{long_key, "", "", "", false},
                                        {"", long_key, "", "", false},
                                        {"", "", long_key, "", false},
                                        {"", "", "", "//", false},
                                        {"", "", "", "\xC3", false}};
    for (size_t i = 0; i < WFL_COUNT(too_long); i++) {
        struct wfl_scan op = ask(&too_long[i], 10);
        assert_code(scan_op(f, &op), WFL_INVALID_QUERY);
        wfl_scan_fini(&op);
    }
    for (uint32_t limit = 0; limit <= 1001; limit += 1001) {
        struct wfl_scan op = ask(&all, limit);
        assert_code(scan_op(f, &op), WFL_INVALID_QUERY);
        wfl_scan_fini(&op);
    }
    struct wfl_scan op = ask(&all, 10);
    op.bucket = WFL_S("nowhere");
    assert_code(scan_op(f, &op), WFL_BUCKET_NOT_FOUND);
    wfl_scan_fini(&op);
}

static void a_cursor_serves_its_own_question_only(void **state)
{
    struct fixture       *f = *state;
    const struct question asked = {"a", "", "b", "/", false};
    const struct question others[] = {{"", "", "b", "/", false},  {"a", "a", "b", "/", false},
                                      {"a", "", "c", "/", false}, {"a", "", "b", "~", false},
                                      {"a", "", "b", "/", true},  {"a", "", "b", "", false},
                                      {"a", "b", "", "/", false}};
    char                  text[WFL_CURSOR_TEXT_MAX];

    put_all(f);
    struct wfl_scan op = ask(&asked, 1);
    assert_code(scan_op(f, &op), WFL_OK);
    size_t len = op.next.len;
    assert_true(len > 0);
    memcpy(text, op.next.data, len);
    wfl_scan_fini(&op);

    for (size_t i = 0; i < WFL_COUNT(others); i++) {
        op = ask(&others[i], 1);
        op.cursor = wfl_slice_of(text, len);
        assert_code(scan_op(f, &op), WFL_INVALID_QUERY);
        wfl_scan_fini(&op);
    }
    op = ask(&asked, 1);
    op.bucket = WFL_S("aaa");
    op.cursor = wfl_slice_of(text, len);
    assert_code(scan_op(f, &op), WFL_INVALID_QUERY);
    wfl_scan_fini(&op);
    op = ask(&asked, 7); /* another page size and more members are the same question */
    op.with_meta = op.with_value = true;
    op.cursor = wfl_slice_of(text, len);
    assert_code(scan_op(f, &op), WFL_OK);
    wfl_scan_fini(&op);
    text[len / 2] = text[len / 2] == 'A' ? 'B' : 'A';
    op = ask(&asked, 1);
    op.cursor = wfl_slice_of(text, len);
    assert_code(scan_op(f, &op), WFL_INVALID_QUERY);
    wfl_scan_fini(&op);
}

/* Keys named kNNN stay; others come and go between the pages. */
static void keys_that_stay_are_listed_once_while_others_write(void **state)
{
    enum { STAY = 60 };
    struct fixture *f = *state;
    uint64_t        rng = test_seed();

    for (int i = 0; i < STAY; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        assert_code(put(f, "photos", key, bytes_of_len(i % 2 == 0 ? 10 : 2000, 1)), WFL_OK);
    }
    for (int round = 0; round < 10; round++) {
        bool   reverse = round % 2 == 1;
        int    seen = 0;
        char   cursor[WFL_CURSOR_TEXT_MAX];
        size_t cursor_len = 0;
        do {
            struct wfl_scan op = ask(&(struct question){"", "", "", "", reverse}, 7);
            op.with_value = true;
            op.cursor = wfl_slice_of(cursor, cursor_len);
            assert_code(scan_op(f, &op), WFL_OK);
            for (uint32_t i = 0; i < op.item_count; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%03d", reverse ? STAY - 1 - seen : seen);
                if (op.items[i].key.len != 4) continue;
                assert_true(wfl_slice_eq(op.items[i].key, wfl_slice_str(key)));
                seen++;
            }
            cursor_len = op.next.len;
            if (cursor_len > 0) memcpy(cursor, op.next.data, cursor_len);
            wfl_scan_fini(&op);
            for (int i = 0; i < 5; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%03d+%d", (int)(next_random(&rng) % STAY), i);
                if (next_random(&rng) % 2 == 0)
                    assert_code(put(f, "photos", key, bytes_of_len(1500, 2)), WFL_OK);
                else
                    (void)delete_key(f, "photos", key);
            }
        } while (cursor_len > 0);
        assert_int_equal(seen, STAY);
    }
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_ALL(test) ON(memory, test), ON(pending, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(pages_say_together_what_the_model_says),
        ON_ALL(an_empty_bucket_lists_nothing),
        ON_ALL(items_carry_what_was_asked_for),
        ON_ALL(a_page_ends_after_enough_content),
        ON_ALL(a_question_out_of_range_is_refused),
        ON_ALL(a_cursor_serves_its_own_question_only),
        ON_ALL(keys_that_stay_are_listed_once_while_others_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
