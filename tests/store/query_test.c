/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects by their tags, against a model that keeps all objects and filters them. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/internal.h"

/* ---- asking */

#define FOUND_MAX 2048

struct found { /* all pages of an answer */
    uint32_t count;
    uint32_t pages;
    char     keys[FOUND_MAX][32];
    wfl_ulid versions[FOUND_MAX];
};

static struct wfl_tag_wanted tag(const char *name, const char *value)
{
    size_t len = strlen(value);
    bool   beginning = len > 0 && value[len - 1] == '*';

    return (struct wfl_tag_wanted){.name = wfl_slice_str(name),
                                   .value = wfl_slice_of(value, len - beginning),
                                   .beginning = beginning};
}

/* To the end of a page. The caller finishes the op. */
static wfl_code ask(struct fixture *f, struct wfl_tag_query *op, uint32_t *steps)
{
    bool     ended = false;
    uint32_t count = 0;
    wfl_code rc;

    if (op->bucket.len == 0) op->bucket = WFL_S("photos");
    if (op->limit == 0) op->limit = 100;
    rc = wfl_tag_query_begin(f->store, op);
    while (rc == WFL_OK && !ended) {
        rc = wfl_tag_query_step(op, &ended);
        count++;
    }
    if (steps != NULL) *steps = count;
    return rc;
}

static wfl_code ask_once(struct fixture *f, struct wfl_tag_query *op)
{
    wfl_code rc = ask(f, op, NULL);

    wfl_tag_query_fini(op);
    return rc;
}

static void add_page(const struct wfl_tag_query *op, struct found *out)
{
    assert_true(op->item_count <= op->limit);
    assert_true(op->item_count > 0 || op->next.len == 0);
    for (uint32_t i = 0; i < op->item_count; i++) {
        assert_true(out->count < FOUND_MAX);
        snprintf(out->keys[out->count], sizeof out->keys[0], "%.*s", WFL_FMT(op->items[i].key));
        if (out->count > 0)
            assert_true(strcmp(out->keys[out->count - 1], out->keys[out->count]) < 0);
        out->versions[out->count++] = op->items[i].object.version;
    }
    out->pages++;
}

/* All pages; `between` is called after each. */
static struct found *ask_all(struct fixture *f, struct wfl_tag_query              op,
                             void (*between)(struct fixture *f, void *ctx), void *ctx)
{
    static struct found out;
    char                cursor[WFL_CURSOR_TEXT_MAX];

    out.count = out.pages = 0;
    for (;;) {
        struct wfl_tag_query page = op;
        bool                 more;

        assert_code(ask(f, &page, NULL), WFL_OK);
        add_page(&page, &out);
        more = page.next.len > 0;
        if (more) memcpy(cursor, page.next.data, page.next.len);
        op.cursor = wfl_slice_of(cursor, page.next.len);
        wfl_tag_query_fini(&page);
        if (!more) return &out;
        if (between != NULL) between(f, ctx);
    }
}

static void put_tagged(struct fixture *f, const char *bucket, const char *key, wfl_slice content,
                       const struct wfl_name_value *tags, uint32_t count, wfl_ulid *version)
{
    struct wfl_put op = {.bucket = wfl_slice_str(bucket),
                         .key = wfl_slice_str(key),
                         .content = content,
                         .blake3 = wfl_hash_of(content),
                         .content_type = WFL_S("text/plain"),
                         .durability = WFL_BUFFERED,
                         .tags = tags,
                         .tag_count = count};

    assert_code(put_op(f, &op), WFL_OK);
    if (version != NULL) *version = op.version;
    wfl_put_fini(&op);
}

static void put_one(struct fixture *f, const char *key, const char *name, const char *value)
{
    struct wfl_name_value pair = {wfl_slice_str(name), wfl_slice_str(value)};

    put_tagged(f, "photos", key, WFL_S("x"), &pair, 1, NULL);
}

/* ---- the model */

/* Names and values that are each other's beginnings, and end in what a query gives a meaning. */
static const char *const NAMES[] = {"a", "a-b", "ab", "b"};
static const char *const VALUES[] = {"x", "x y", "xy", "xyz", "x*", "~", " ", "y"};
static const char *const PREFIXES[] = {"", "", "", "p", "p/", "p/1", "q/", "nothing", "p/10"};
enum { KEYS = 80, EXPIRE_S = 100 };

struct thing {
    bool     exists;
    uint64_t put_ms;
    wfl_ulid version;
    int      values[WFL_COUNT(NAMES)]; /* -1: not tagged */
};

struct model {
    uint64_t     seed;
    const char  *bucket;
    bool         expires; /* objects do, after EXPIRE_S */
    struct thing things[KEYS];
};

static uint32_t below(struct model *m, size_t n)
{
    return (uint32_t)(next_random(&m->seed) % n);
}

static void key_of(int i, char out[32])
{
    static const char *const groups[] = {"p/", "p/1", "q/", "p"};

    snprintf(out, 32, "%s%d", groups[i % 4], i);
}

static uint64_t now_ms(const struct fixture *f)
{
    return (uint64_t)f->now_ns / 1000000;
}

static void change(struct fixture *f, struct model *m)
{
    struct wfl_name_value tags[WFL_COUNT(NAMES)];
    uint32_t              count = 0;
    int                   i = (int)below(m, KEYS);
    struct thing         *t = &m->things[i];
    char                  key[32];

    key_of(i, key);
    if (below(m, 4) == 0) {
        wfl_code rc = delete_key(f, m->bucket, key);

        assert_true(rc == WFL_OK || rc == WFL_KEY_NOT_FOUND);
        t->exists = false;
        return;
    }
    for (size_t n = 0; n < WFL_COUNT(NAMES); n++) {
        t->values[n] = (int)below(m, WFL_COUNT(VALUES) + 2) - 2;
        if (t->values[n] == -2) t->values[n] = 0; /* one that is common */
        if (t->values[n] >= 0)
            tags[count++] = (struct wfl_name_value){wfl_slice_str(NAMES[n]),
                                                    wfl_slice_str(VALUES[t->values[n]])};
    }
    put_tagged(f, m->bucket, key, bytes_of_len(below(m, 3000), (uint8_t)i), tags, count,
               &t->version);
    t->exists = true;
    t->put_ms = now_ms(f);
}

static bool value_matches(const struct wfl_tag_wanted *w, const char *value)
{
    return w->beginning ? strncmp(value, (const char *)w->value.data, w->value.len) == 0
                        : wfl_slice_eq(wfl_slice_str(value), w->value);
}

static bool thing_matches(const struct fixture *f, const struct model *m, int i,
                          const struct wfl_tag_query *op)
{
    const struct thing *t = &m->things[i];
    char                key[32];

    key_of(i, key);
    if (!t->exists || !wfl_slice_starts_with(wfl_slice_str(key), op->prefix)) return false;
    if (m->expires && t->put_ms + 1000 * EXPIRE_S <= now_ms(f)) return false;
    for (uint32_t j = 0; j < op->tag_count; j++)
        for (size_t n = 0; n < WFL_COUNT(NAMES); n++)
            if (wfl_slice_eq(wfl_slice_str(NAMES[n]), op->tags[j].name) &&
                (t->values[n] < 0 || !value_matches(&op->tags[j], VALUES[t->values[n]])))
                return false;
    return true;
}

static struct wfl_tag_query any_question(struct model *m)
{
    struct wfl_tag_query op = {.bucket = wfl_slice_str(m->bucket), .limit = 1 + below(m, 7)};
    uint32_t             count = 1 + below(m, WFL_COUNT(NAMES)), first = below(m, 4);

    for (uint32_t i = 0; i < count; i++) {
        const char            *value = VALUES[below(m, WFL_COUNT(VALUES))];
        struct wfl_tag_wanted *w = &op.tags[i];

        *w = (struct wfl_tag_wanted){.name = wfl_slice_str(NAMES[(first + i) % 4]),
                                     .value = wfl_slice_str(value)};
        if (below(m, 3) == 0) {
            w->beginning = true;
            w->value.len = below(m, w->value.len + 1);
        } else if (below(m, 2) == 0) {
            w->value = wfl_slice_str(VALUES[0]);
        }
    }
    op.tag_count = count;
    op.prefix = wfl_slice_str(PREFIXES[below(m, WFL_COUNT(PREFIXES))]);
    op.with_tags = below(m, 2) == 0;
    op.with_value = below(m, 2) == 0;
    return op;
}

static void compare_answer(struct fixture *f, struct model *m)
{
    struct wfl_tag_query op = any_question(m);
    const struct found  *found = ask_all(f, op, NULL, NULL);
    uint32_t             expected = 0;

    for (int i = 0; i < KEYS; i++) {
        char key[32];
        bool seen = false;

        key_of(i, key);
        for (uint32_t j = 0; j < found->count && !seen; j++)
            seen = strcmp(found->keys[j], key) == 0 &&
                   wfl_ulid_cmp(&found->versions[j], &m->things[i].version) == 0;
        if (seen != thing_matches(f, m, i, &op)) fail_msg("%s: %d", key, seen);
        expected += seen;
    }
    assert_int_equal(found->count, expected);
    assert_int_equal(found->pages, expected == 0 ? 1 : (expected + op.limit - 1) / op.limit);
}

static void run_model(struct fixture *f, const char *bucket, bool expires)
{
    struct model m = {.seed = test_seed(), .bucket = bucket, .expires = expires};
    int          rounds = f->kind == ON_LOCAL ? 60 : 300; /* deletions there wait for the disk */

    for (int round = 0; round < rounds; round++) {
        uint32_t changes = below(&m, 12);

        for (uint32_t i = 0; i < changes; i++)
            change(f, &m);
        f->now_ns += (int64_t)below(&m, 5) * 1000000000;
        if (below(&m, 10) == 0) (void)collect(f);
        for (int i = 0; i < 4; i++)
            compare_answer(f, &m);
    }
}

static void every_answer_is_the_filter_of_all_objects(void **state)
{
    run_model(*state, "photos", false);
}

static void what_has_expired_is_not_found(void **state)
{
    assert_code(create(*state, "brief", "{\"expire_seconds\":100}"), WFL_OK);
    run_model(*state, "brief", true);
}

static void old_versions_are_not_found(void **state)
{
    assert_code(create(*state, "all", "{\"versions\":-1}"), WFL_OK);
    run_model(*state, "all", false);
}

static void an_emptied_index_has_no_rows(void **state)
{
    struct fixture *f = *state;
    struct model    m = {.seed = test_seed(), .bucket = "photos"};

    for (int i = 0; i < 300; i++)
        change(f, &m);
    assert_true(rows(f, WFL_SPACE_TAGS) > 0);
    for (int i = 0; i < KEYS; i++) {
        char key[32];

        key_of(i, key);
        if (m.things[i].exists) assert_code(delete_key(f, "photos", key), WFL_OK);
    }
    assert_int_equal(rows(f, WFL_SPACE_TAGS), 0);
}

/* ---- what is answered */

static void an_item_is_its_object(void **state)
{
    struct fixture             *f = *state;
    const struct wfl_name_value meta[] = {{WFL_S("one"), WFL_S("1")}};
    const struct wfl_name_value tags[] = {{WFL_S("a"), WFL_S("x")}, {WFL_S("b"), WFL_S("y")}};
    wfl_slice                   small = WFL_S("content"), large;

    for (int i = 0; i < 2; i++) {
        wfl_slice            content = i == 0 ? small : bytes_of_len(5000, 1);
        struct wfl_put       op = {.bucket = WFL_S("photos"),
                                   .key = i == 0 ? WFL_S("k0") : WFL_S("k1"),
                                   .content = content,
                                   .blake3 = wfl_hash_of(content),
                                   .content_type = WFL_S("text/x"),
                                   .meta = meta,
                                   .meta_count = 1,
                                   .tags = tags,
                                   .tag_count = 2};
        struct wfl_tag_query q = {.tags = {tag("b", "y")}, .tag_count = 1};

        assert_code(put_op(f, &op), WFL_OK);
        q.with_meta = q.with_tags = q.with_value = true;
        assert_code(ask(f, &q, NULL), WFL_OK);
        assert_int_equal(q.item_count, i + 1);
        const struct wfl_scan_item *item = &q.items[i];
        assert_true(wfl_slice_eq(item->key, op.key));
        assert_int_equal(wfl_ulid_cmp(&item->object.version, &op.version), 0);
        assert_int_equal(wfl_ulid_cmp(&q.at, &op.version), 0);
        assert_int_equal(item->object.size, content.len);
        assert_memory_equal(item->object.blake3.bytes, op.blake3.bytes, WFL_HASH_LEN);
        assert_true(wfl_slice_eq(item->object.content_type, WFL_S("text/x")));
        assert_int_equal(item->object.meta_count, 1);
        assert_true(wfl_slice_eq(item->object.meta[0].value, WFL_S("1")));
        assert_int_equal(item->object.tag_count, 2);
        assert_true(wfl_slice_eq(item->object.tags[1].name, WFL_S("b")));
        large = bytes_of_len(5000, 1);
        assert_true(item->has_value && wfl_slice_eq(item->value, i == 0 ? small : large));
        wfl_tag_query_fini(&q);
        wfl_put_fini(&op);
    }
    struct wfl_tag_query plain = {.tags = {tag("b", "*")}, .tag_count = 1};
    assert_code(ask(f, &plain, NULL), WFL_OK);
    assert_int_equal(plain.item_count, 2);
    assert_false(plain.items[0].has_value);
    assert_int_equal(plain.items[0].object.meta_count + plain.items[0].object.tag_count, 0);
    wfl_tag_query_fini(&plain);
}

static void contents_have_bounds_and_no_object_is_left_out(void **state)
{
    struct fixture             *f = *state;
    const struct wfl_name_value big = {WFL_S("big"), WFL_S("yes")};

    for (int i = 0; i < 140; i++) {
        char key[32];

        snprintf(key, sizeof key, "%03d", i);
        put_tagged(f, "photos", key, bytes_of_len(64 << 10, (uint8_t)i), &big, 1, NULL);
    }
    for (int kind = 0; kind < 2; kind++) {
        struct wfl_tag_query q = {
            .tags = {tag("big", kind == 0 ? "yes" : "y*")}, .tag_count = 1, .limit = 1000};

        q.with_value = true;
        assert_code(ask(f, &q, NULL), WFL_OK);
        assert_int_equal(q.item_count, 129); /* the one that passes 8 MiB is the last */
        assert_true(q.items[128].has_value);
        assert_true(q.next.len > 0);
        wfl_tag_query_fini(&q);
        const struct found *all = ask_all(f, q, NULL, NULL);
        assert_int_equal(all->count, 140);
        assert_int_equal(all->pages, 2);
    }
}

/* ---- questions */

static void a_question_that_is_none_is_refused(void **state)
{
    static const char long_name[] =
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    char                       long_value[258];
    const struct wfl_tag_query cases[] = {
        {.tag_count = 0},
        {.tag_count = 9},
        {.tags = {tag("a", "1"), tag("b", "1"), tag("a", "1")}, .tag_count = 3},
        {.tags = {tag("a", "1"), tag("a", "2*")}, .tag_count = 2},
        {.tags = {tag("", "1")}, .tag_count = 1},
        {.tags = {tag("A", "1")}, .tag_count = 1},
        {.tags = {tag("-a", "1")}, .tag_count = 1},
        {.tags = {tag(long_name, "1")}, .tag_count = 1},
        {.tags = {tag("a", "")}, .tag_count = 1},
        {.tags = {tag("a", "\x01")}, .tag_count = 1},
        {.tags = {tag("a", "\xC3\xA4*")}, .tag_count = 1},
        {.tags = {tag("a", "1")}, .tag_count = 1, .limit = 1001},
        {.tags = {tag("a", "1")}, .tag_count = 1, .cursor = WFL_S("x")},
        {.tags = {tag("a", "1")}, .tag_count = 1, .prefix = bytes_of_len(1025, 1)},
    };

    memset(long_value, 'v', 257);
    long_value[257] = 0;
    struct wfl_tag_query too_long = {.tags = {tag("a", long_value)}, .tag_count = 1};
    assert_code(ask_once(*state, &too_long), WFL_INVALID_QUERY);
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_tag_query op = cases[i];

        if (ask_once(*state, &op) != WFL_INVALID_QUERY) fail_msg("case %zu", i);
    }
    long_value[256] = '*';
    struct wfl_tag_query longest = {.tags = {tag("a", long_value)}, .tag_count = 1};
    assert_code(ask_once(*state, &longest), WFL_OK);
    struct wfl_tag_query nowhere = {
        .bucket = WFL_S("nothing"), .tags = {tag("a", "1")}, .tag_count = 1};
    assert_code(ask_once(*state, &nowhere), WFL_BUCKET_NOT_FOUND);
}

static void a_cursor_belongs_to_its_question(void **state)
{
    struct fixture      *f = *state;
    char                 cursor[WFL_CURSOR_TEXT_MAX];
    struct wfl_tag_query first = {
        .tags = {tag("a", "1"), tag("b", "2*")}, .tag_count = 2, .limit = 1};

    assert_code(create(f, "other", ""), WFL_OK);
    for (int i = 0; i < 3; i++) {
        const struct wfl_name_value both[] = {{WFL_S("a"), WFL_S("1")}, {WFL_S("b"), WFL_S("2")}};
        char                        key[32];

        snprintf(key, sizeof key, "k%d", i);
        put_tagged(f, "photos", key, WFL_S(""), both, 2, NULL);
    }
    assert_code(ask(f, &first, NULL), WFL_OK);
    memcpy(cursor, first.next.data, first.next.len);
    wfl_slice text = wfl_slice_of(cursor, first.next.len);
    wfl_tag_query_fini(&first);
    assert_true(text.len > 0);

    const struct wfl_tag_query others[] = {
        {.tags = {tag("a", "1")}, .tag_count = 1},
        {.tags = {tag("a", "1"), tag("b", "2")}, .tag_count = 2},
        {.tags = {tag("a", "1*"), tag("b", "2*")}, .tag_count = 2},
        {.tags = {tag("a", "2"), tag("b", "1*")}, .tag_count = 2},
        {.tags = {tag("a", "1"), tag("b", "2*")}, .tag_count = 2, .prefix = WFL_S("k")},
        {.tags = {tag("a", "1"), tag("b", "2*")}, .tag_count = 2, .bucket = WFL_S("other")},
    };
    for (size_t i = 0; i < WFL_COUNT(others); i++) {
        struct wfl_tag_query op = others[i];

        op.cursor = text;
        if (ask_once(f, &op) != WFL_INVALID_QUERY) fail_msg("case %zu", i);
    }
    struct wfl_scan scan = {.bucket = WFL_S("photos"), .limit = 1, .cursor = text};
    assert_code(scan_op(f, &scan), WFL_INVALID_QUERY);
    wfl_scan_fini(&scan);
    struct wfl_tag_query same = {
        .tags = {tag("b", "2*"), tag("a", "1")}, .tag_count = 2, .limit = 5, .cursor = text};
    assert_code(ask(f, &same, NULL), WFL_OK); /* in another order, of another size */
    assert_int_equal(same.item_count, 2);
    wfl_tag_query_fini(&same);
}

/* ---- while others write */

struct shifting {
    int number;
};

static void shift(struct fixture *f, void *ctx)
{
    struct shifting *s = ctx;

    for (int i = 0; i < 3; i++, s->number++) {
        char key[32];

        snprintf(key, sizeof key, "k%04d", (s->number * 37 % 200) | 1);
        if (s->number % 3 == 0)
            (void)delete_key(f, "photos", key);
        else
            put_one(f, key, "a", s->number % 2 == 0 ? "red" : "blue");
    }
}

static void check_stayed(const struct found *found)
{
    uint32_t stayed = 0;

    for (uint32_t i = 0; i < found->count; i++)
        stayed += (found->keys[i][4] - '0') % 2 == 0;
    assert_int_equal(stayed, 100); /* in order, which add_page has seen, so none twice */
}

static void what_stays_is_seen_once_while_others_change(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 200; i += 2) {
        char key[32];

        snprintf(key, sizeof key, "k%04d", i);
        put_one(f, key, "a", "red");
    }
    for (int kind = 0; kind < 3; kind++) {
        static const char *const values[] = {"red", "re*", "*"};
        struct wfl_tag_query     q = {.tags = {tag("a", values[kind])}, .tag_count = 1, .limit = 7};
        struct shifting          s = {.number = kind};

        check_stayed(ask_all(f, q, shift, &s));
    }
}

struct writer {
    struct fixture *f;
    atomic_bool     stop;
};

/* A tag and a content that say the same, both written at once. */
static void *write_on(void *arg)
{
    static const char *const colours[] = {"red", "reddish", "blue"};
    struct writer           *w = arg;

    for (uint32_t n = 0; !atomic_load(&w->stop); n++) {
        const char           *colour = colours[n / 7 % 3];
        struct wfl_name_value pairs[] = {{WFL_S("a"), wfl_slice_str(colour)},
                                         {WFL_S("b"), wfl_slice_str(colour)}};
        char                  key[32];

        snprintf(key, sizeof key, "k%04u", (n * 37 % 200) | 1);
        put_tagged(w->f, "photos", key, wfl_slice_str(colour), pairs, 2, NULL);
    }
    return NULL;
}

static void an_answer_is_of_one_moment(void **state)
{
    struct fixture *f = *state;
    struct writer   w = {.f = f};
    pthread_t       thread;

    for (int i = 0; i < 200; i += 2) {
        const struct wfl_name_value red[] = {{WFL_S("a"), WFL_S("red")},
                                             {WFL_S("b"), WFL_S("red")}};
        char                        key[32];

        snprintf(key, sizeof key, "k%04d", i);
        put_tagged(f, "photos", key, WFL_S("red"), red, 2, NULL);
    }
    atomic_init(&w.stop, false);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int round = 0; round < 60; round++) {
        static const char *const values[][2] = {{"red", "red"}, {"red*", "re*"}, {"red", "*"}};
        const char *const       *wanted = values[round % 3];
        struct wfl_tag_query     q = {
                .tags = {tag("a", wanted[0]), tag("b", wanted[1])}, .tag_count = 2, .limit = 1000};

        check_stayed(ask_all(
            f, (struct wfl_tag_query){.tags = {q.tags[0], q.tags[1]}, .tag_count = 2, .limit = 9},
            NULL, NULL));
        q.with_value = true;
        assert_code(ask(f, &q, NULL), WFL_OK);
        for (uint32_t i = 0; i < q.item_count; i++)
            assert_true(round % 3 == 1 ? wfl_slice_starts_with(q.items[i].value, WFL_S("red"))
                                       : wfl_slice_eq(q.items[i].value, WFL_S("red")));
        wfl_tag_query_fini(&q);
    }
    atomic_store(&w.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- cost, and failures */

/* A step is bounded, so what ends in one has not seen the 20,000 rows of what is common. */
static void the_rarest_tag_sets_the_cost(void **state)
{
    static const struct {
        struct wfl_tag_wanted tags[3];
        uint32_t              count, found, limit;
        bool                  one_step;
    } cases[] = {
        {{{WFL_LIT("common"), WFL_LIT("c"), false}, {WFL_LIT("rare"), WFL_LIT("r1"), false}},
         2,
         1,
         9,
         true},
        {{{WFL_LIT("common"), WFL_LIT("c"), true}, {WFL_LIT("rare"), WFL_LIT("r1"), false}},
         2,
         1,
         9,
         true},
        {{{WFL_LIT("common"), WFL_LIT("c"), false}, {WFL_LIT("rare"), WFL_LIT("r"), true}},
         2,
         3,
         9,
         true},
        {{{WFL_LIT("common"), WFL_LIT(""), true}, {WFL_LIT("rare"), WFL_LIT(""), true}},
         2,
         3,
         9,
         true},
        {{{WFL_LIT("half"), WFL_LIT("h"), false}, {WFL_LIT("common"), WFL_LIT(""), true}},
         2,
         5,
         5,
         true},
        {{{WFL_LIT("half"), WFL_LIT("h"), true}, {WFL_LIT("common"), WFL_LIT("c"), false}},
         2,
         5,
         5,
         true},
        {{{WFL_LIT("common"), WFL_LIT("c"), false}}, 1, 9, 9, true},
        {{{WFL_LIT("common"), WFL_LIT(""), true}}, 1, 9, 9, false},
        {{{WFL_LIT("half"), WFL_LIT(""), true}, {WFL_LIT("common"), WFL_LIT(""), true}},
         2,
         9,
         9,
         false},
        {{{WFL_LIT("half"), WFL_LIT("h"), false}, {WFL_LIT("other"), WFL_LIT("o"), false}},
         2,
         0,
         9,
         false},
    };
    struct fixture *f = *state;

    for (int i = 0; i < 20000; i++) {
        struct wfl_name_value pairs[3] = {{WFL_S("common"), WFL_S("c")}};
        char                  key[32], rare[32];
        uint32_t              count = 1;

        snprintf(key, sizeof key, "k%05d", i);
        snprintf(rare, sizeof rare, "r%d", i / 7000);
        pairs[count++] = i % 2 == 0 ? (struct wfl_name_value){WFL_S("half"), WFL_S("h")}
                                    : (struct wfl_name_value){WFL_S("other"), WFL_S("o")};
        if (i % 7000 == 0)
            pairs[count++] = (struct wfl_name_value){WFL_S("rare"), wfl_slice_str(rare)};
        put_tagged(f, "photos", key, WFL_S(""), pairs, count, NULL);
    }
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        struct wfl_tag_query q = {.tag_count = cases[i].count, .limit = cases[i].limit};
        uint32_t             steps = 0;

        memcpy(q.tags, cases[i].tags, sizeof cases[i].tags);
        assert_code(ask(f, &q, &steps), WFL_OK);
        if (q.item_count != cases[i].found || (steps == 1) != cases[i].one_step)
            fail_msg("case %zu: %u found in %u steps", i, q.item_count, steps);
        wfl_tag_query_fini(&q);
    }
}

static void refused_memory_is_said_and_nothing_leaks(void **state)
{
    static const struct wfl_tag_wanted kinds[][2] = {
        {{WFL_LIT("a"), WFL_LIT("x"), false}, {WFL_LIT("b"), WFL_LIT("y"), false}},
        {{WFL_LIT("a"), WFL_LIT("x"), true}, {WFL_LIT("b"), WFL_LIT(""), true}},
    };
    const struct wfl_name_value both[] = {{WFL_S("a"), WFL_S("x")}, {WFL_S("b"), WFL_S("y")}};
    struct fixture             *f = *state;

    for (int i = 0; i < 40; i++) {
        char key[32];

        snprintf(key, sizeof key, "k%02d", i);
        put_tagged(f, "photos", key, bytes_of_len(5000, (uint8_t)i), both, 2, NULL);
    }
    for (size_t kind = 0; kind < WFL_COUNT(kinds); kind++) {
        for (uint64_t k = 1;; k++) {
            struct wfl_tag_query q = {.tag_count = 2, .limit = 30};
            int64_t              live = f->live;
            wfl_code             rc;

            memcpy(q.tags, kinds[kind], sizeof kinds[kind]);
            q.with_tags = q.with_value = true;
            f->refuse = f->allocs + k;
            rc = ask(f, &q, NULL);
            f->refuse = 0;
            if (rc == WFL_OK) assert_int_equal(q.item_count, 30);
            wfl_tag_query_fini(&q);
            assert_int_equal(f->live, live);
            if (rc == WFL_OK) {
                assert_true(k > 3);
                break;
            }
            assert_code(rc, WFL_NOMEM);
            assert_int_equal(q.item_count, 0);
        }
    }
}

static void damage_is_said(void **state)
{
    struct fixture      *f = *state;
    uint8_t              space[WFL_TAG_KEY_MAX], value_key[WFL_VALUE_KEY_LEN];
    const uint32_t       id = 1; /* the first bucket's */
    struct wfl_tag_query equal = {.tags = {tag("a", "x")}, .tag_count = 1};
    struct wfl_tag_query begins = {.tags = {tag("a", "*")}, .tag_count = 1};
    struct wfl_tag_query both = {.tags = {tag("a", "x"), tag("a", "*")}, .tag_count = 1};

    put_tagged(f, "photos", "k", bytes_of_len(5000, 1),
               &(struct wfl_name_value){WFL_S("a"), WFL_S("x")}, 1, NULL);
    assert_code(ask_once(f, &equal), WFL_OK);
    /* a row without an object */
    wfl_slice row = wfl_key_tag(id, WFL_S("a"), WFL_S("x"), WFL_S("none"), space);
    poke(f, WFL_SPACE_TAGS, row, WFL_S("1"));
    assert_code(ask_once(f, &equal), WFL_CORRUPT_OBJECT);
    assert_code(ask_once(f, &begins), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_TAGS, row, (wfl_slice){0});
    assert_code(ask_once(f, &begins), WFL_OK);
    /* a row without a key */
    row = wfl_key_tag(id, WFL_S("a"), WFL_S("x"), (wfl_slice){0}, space);
    poke(f, WFL_SPACE_TAGS, row, WFL_S("1"));
    assert_code(ask_once(f, &equal), WFL_CORRUPT_OBJECT);
    assert_code(ask_once(f, &begins), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_TAGS, row, (wfl_slice){0});
    /* and without the 0 that ends a value */
    row.len--;
    poke(f, WFL_SPACE_TAGS, row, WFL_S("1"));
    assert_code(ask_once(f, &begins), WFL_CORRUPT_OBJECT);
    poke(f, WFL_SPACE_TAGS, row, (wfl_slice){0});
    /* an object whose content is gone */
    assert_code(ask(f, &both, NULL), WFL_OK);
    assert_int_equal(both.item_count, 1);
    wfl_slice content = wfl_key_value(id, &both.items[0].object.version, value_key);
    wfl_tag_query_fini(&both);
    poke(f, WFL_SPACE_VALUES, content, (wfl_slice){0});
    equal.with_value = true;
    assert_code(ask_once(f, &equal), WFL_CORRUPT_OBJECT);
    equal.with_value = false;
    assert_code(ask_once(f, &equal), WFL_OK);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_BOTH(test) ON(memory, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(every_answer_is_the_filter_of_all_objects),
        ON_BOTH(what_has_expired_is_not_found),
        ON_BOTH(old_versions_are_not_found),
        ON_BOTH(an_emptied_index_has_no_rows),
        ON_BOTH(an_item_is_its_object),
        ON(memory, contents_have_bounds_and_no_object_is_left_out),
        ON(memory, a_question_that_is_none_is_refused),
        ON_BOTH(a_cursor_belongs_to_its_question),
        ON_BOTH(what_stays_is_seen_once_while_others_change),
        ON(local, an_answer_is_of_one_moment),
        ON_BOTH(the_rarest_tag_sets_the_cost),
        ON_BOTH(refused_memory_is_said_and_nothing_leaks),
        ON_BOTH(damage_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
