/* SPDX-License-Identifier: Apache-2.0
 *
 * What was there at any moment, against a model that keeps every version of every key; and what
 * settings take away again: number, time, expiry, erasing, the end of a bucket. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/internal.h"

/* ---- asking the store */

static void patch_done(struct wfl_bucket_op *op)
{
    waiter_wake(op->arg);
}

static void patch(struct fixture *f, const char *text)
{
    struct waiter        w;
    struct wfl_bucket_op op = {
        .name = WFL_S("photos"), .patch = wfl_slice_str(text), .done = patch_done, .arg = &w};

    waiter_init(&w);
    if (wfl_store_bucket_patch(f->store, &op) == WFL_PENDING) waiter_wait(f, &w);
    assert_code(op.rc, WFL_OK);
}

static wfl_code erase_as(struct fixture *f, const char *key, wfl_ulid version, wfl_ulid *erasure)
{
    struct wfl_erase op = {
        .bucket = WFL_S("photos"), .key = wfl_slice_str(key), .version = version};
    wfl_error err;
    wfl_code  rc = wfl_store_erase(f->store, &op, &err);

    if (erasure != NULL) *erasure = op.erasure;
    return rc;
}

static wfl_code erase(struct fixture *f, const char *key, wfl_ulid version)
{
    return erase_as(f, key, version, NULL);
}

/* The code of a read; where it is OK the content is compared. */
static wfl_code read_as_of(struct fixture *f, const char *key, enum wfl_as_of kind, wfl_ulid when,
                           wfl_slice content)
{
    struct wfl_get op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};
    wfl_code       rc = wfl_store_get_as_of(f->store, &op, kind, &when);

    if (rc == WFL_OK) {
        assert_int_equal(op.object.size, content.len);
        if (op.large)
            assert_reads(&op, 0, content);
        else
            assert_true(wfl_slice_eq(op.content, content));
    }
    wfl_get_fini(&op);
    return rc;
}

static wfl_code read_version(struct fixture *f, const char *key, wfl_ulid version,
                             wfl_slice content)
{
    return read_as_of(f, key, WFL_AS_OF_VERSION, version, content);
}

static wfl_code read_at(struct fixture *f, const char *key, wfl_ulid when, wfl_slice content)
{
    return read_as_of(f, key, WFL_AS_OF_MOMENT, when, content);
}

static wfl_code list(struct fixture *f, const char *key, wfl_arena *arena, struct wfl_version **out,
                     uint32_t *count)
{
    wfl_error err;

    *count = 0;
    return wfl_store_versions(f->store, WFL_S("photos"), wfl_slice_str(key), arena, out, count,
                              &err);
}

/* How many are listed; 0: no such key. */
static uint32_t listed(struct fixture *f, const char *key)
{
    struct wfl_version *out;
    wfl_arena           arena;
    uint32_t            count;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1 << 20);
    wfl_code rc = list(f, key, &arena, &out, &count);
    assert_true(rc == WFL_OK || rc == WFL_KEY_NOT_FOUND);
    wfl_arena_fini(&arena);
    return count;
}

static void advance_s(struct fixture *f, int64_t seconds)
{
    f->now_ns += seconds * 1000000000;
}

static void collect_all(struct fixture *f)
{
    for (int i = 0; i < 8; i++)
        (void)collect(f);
}

static wfl_ulid put_version(struct fixture *f, const char *key, wfl_slice content)
{
    wfl_ulid version;

    assert_code(put_as(f, "photos", key, content, &version), WFL_OK);
    return version;
}

static wfl_ulid delete_version(struct fixture *f, const char *key)
{
    struct wfl_delete op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(key)};

    assert_code(delete_op(f, &op), WFL_OK);
    return op.version;
}

/* The smallest moment of the clock's millisecond, and the greatest. */
static wfl_ulid moment_of(uint64_t ms, uint8_t rest)
{
    wfl_ulid u;

    memset(u.bytes, rest, sizeof u.bytes);
    for (int i = 0; i < 6; i++)
        u.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
    return u;
}

static uint64_t now_ms(const struct fixture *f)
{
    return (uint64_t)f->now_ns / 1000000;
}

/* ---- the model: all versions of few keys, whose names are each other's beginnings */

static const char *const KEYS[] = {"a",          "a ",       "a!",         "a/", "a/b", "a/b/",
                                   "a/b/c",      "a/b0",     "a0",         "aa", "b",   "b/~",
                                   "b/\x7e\x7e", "\xc3\xa4", "\xc3\xa4/x", "~"};
static const char *const PREFIXES[] = {"", "", "", "a", "a/", "a/b", "a/b/", "b/", "\xc3", "zz"};
static const char *const DELIMITERS[] = {"", "", "/", "/", "b", "\xc3\xa4", "~"};
static const char *const BOUNDS[] = {"",     "",    "",  "a",   "a ",       "a/", "a/b",
                                     "a/b/", "a/c", "b", "b/~", "\xc3\xa4", "~",  "~~"};

enum { VERSIONS_MAX = 400, STEPS = 250, QUESTIONS = 250 };

struct entry {
    wfl_ulid version;
    bool     tombstone;
    size_t   len;
    uint8_t  seed;
    bool     tagged;
};

struct model {
    uint64_t     seed;
    struct entry entries[WFL_COUNT(KEYS)][VERSIONS_MAX]; /* oldest first */
    uint32_t     count[WFL_COUNT(KEYS)];
    wfl_ulid seen[4 * VERSIONS_MAX]; /* versions of every change, erased ones and erasures too */
    uint32_t seen_count;
};

static uint32_t below(struct model *m, size_t n)
{
    return (uint32_t)(next_random(&m->seed) % n);
}

static const char *pick(struct model *m, const char *const *from, size_t count)
{
    return from[below(m, count)];
}

static wfl_slice content_of(const struct entry *e)
{
    return e->len > 100000 ? large_of(e->len, e->seed) : bytes_of_len(e->len, e->seed);
}

static const struct entry *newest(const struct model *m, size_t k)
{
    return m->count[k] == 0 ? NULL : &m->entries[k][m->count[k] - 1];
}

static bool is_live(const struct model *m, size_t k)
{
    const struct entry *e = newest(m, k);

    return e != NULL && !e->tombstone;
}

static void see(struct model *m, wfl_ulid version)
{
    assert_true(m->seen_count < WFL_COUNT(m->seen));
    m->seen[m->seen_count++] = version;
}

static void model_put(struct fixture *f, struct model *m, size_t k)
{
    static const size_t          lens[] = {0, 5, 5, 700, 2000, 2000, 70001, 1100000};
    static struct wfl_name_value tag = {WFL_LIT("colour"), WFL_LIT("red")};
    struct entry                *e = &m->entries[k][m->count[k]++];

    assert_true(m->count[k] <= VERSIONS_MAX);
    *e = (struct entry){.len = lens[below(m, below(m, 4) == 0 ? 8 : 6)],
                        .seed = (uint8_t)(below(m, 3) + 1),
                        .tagged = below(m, 2) == 0};
    struct wfl_put op = {.bucket = WFL_S("photos"),
                         .key = wfl_slice_str(KEYS[k]),
                         .content = content_of(e),
                         .blake3 = wfl_hash_of(content_of(e)),
                         .tags = &tag,
                         .tag_count = e->tagged,
                         .durability = WFL_BUFFERED};
    assert_code(put_any(f, &op), WFL_OK);
    e->version = op.version;
    wfl_put_fini(&op);
    see(m, e->version);
}

static void model_delete(struct fixture *f, struct model *m, size_t k)
{
    struct wfl_delete op = {.bucket = WFL_S("photos"), .key = wfl_slice_str(KEYS[k])};

    assert_code(delete_op(f, &op), is_live(m, k) ? WFL_OK : WFL_KEY_NOT_FOUND);
    if (op.rc != WFL_OK) return;
    m->entries[k][m->count[k]++] = (struct entry){.version = op.version, .tombstone = true};
    see(m, op.version);
}

static void model_erase(struct fixture *f, struct model *m, size_t k)
{
    uint32_t i;
    wfl_ulid erased, erasure;

    if (m->count[k] == 0) return;
    i = below(m, 2) == 0 ? m->count[k] - 1 : below(m, m->count[k]);
    erased = m->entries[k][i].version;
    assert_code(erase_as(f, KEYS[(k + 1) % WFL_COUNT(KEYS)], erased, NULL), WFL_VERSION_NOT_FOUND);
    assert_code(erase_as(f, KEYS[k], erased, &erasure), WFL_OK);
    assert_code(erase(f, KEYS[k], erased), WFL_VERSION_NOT_FOUND);
    assert_true(wfl_ulid_cmp(&erasure, &m->seen[m->seen_count - 1]) > 0);
    m->count[k]--;
    memmove(&m->entries[k][i], &m->entries[k][i + 1], (m->count[k] - i) * sizeof m->entries[k][0]);
    see(m, erasure);
}

static void change(struct fixture *f, struct model *m)
{
    size_t   k = below(m, WFL_COUNT(KEYS));
    uint32_t what = below(m, 10);

    f->now_ns += below(m, 3) * 400000; /* many changes of one millisecond, and some of others */
    if (what < 6)
        model_put(f, m, k);
    else if (what < 8)
        model_delete(f, m, k);
    else
        model_erase(f, m, k);
}

/* What the key was at the moment; NULL: nothing. */
static const struct entry *at_moment(const struct model *m, size_t k, const wfl_ulid *moment)
{
    for (uint32_t i = m->count[k]; i-- > 0;) {
        const struct entry *e = &m->entries[k][i];

        if (wfl_ulid_cmp(&e->version, moment) <= 0) return e->tombstone ? NULL : e;
    }
    return NULL;
}

static wfl_ulid any_moment(struct fixture *f, struct model *m)
{
    wfl_ulid u = m->seen[below(m, m->seen_count)];

    switch (below(m, 6)) {
    case 0: /* one below it */
        for (int i = 15; i >= 0 && u.bytes[i]-- == 0; i--)
            ;
        return u;
    case 1:
        return moment_of(wfl_ulid_ms(&u), 0xff);
    case 2:
        return moment_of(wfl_ulid_ms(&u), 0);
    case 3:
        return below(m, 4) == 0 ? moment_of(now_ms(f) + 1000000, 0) : u;
    default:
        return u;
    }
}

/* ---- one key */

static void assert_versions(struct fixture *f, const struct model *m, size_t k)
{
    struct wfl_version *out;
    wfl_arena           arena;
    uint32_t            count;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1 << 20);
    assert_code(list(f, KEYS[k], &arena, &out, &count),
                m->count[k] > 0 ? WFL_OK : WFL_KEY_NOT_FOUND);
    assert_int_equal(count, m->count[k]);
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *e = &m->entries[k][m->count[k] - 1 - i];

        assert_int_equal(wfl_ulid_cmp(&out[i].version, &e->version), 0);
        assert_int_equal(out[i].tombstone, e->tombstone);
        assert_int_equal(out[i].size, e->len);
        assert_code(read_version(f, KEYS[k], e->version, content_of(e)),
                    e->tombstone ? WFL_VERSION_NOT_FOUND : WFL_OK);
        assert_code(read_version(f, KEYS[(k + 1) % WFL_COUNT(KEYS)], e->version, content_of(e)),
                    WFL_VERSION_NOT_FOUND);
    }
    wfl_arena_fini(&arena);
}

static void assert_reads_at(struct fixture *f, struct model *m, size_t k, wfl_ulid moment)
{
    const struct entry *e = at_moment(m, k, &moment);

    assert_code(read_at(f, KEYS[k], moment, e != NULL ? content_of(e) : (wfl_slice){0}),
                e != NULL ? WFL_OK : WFL_KEY_NOT_FOUND);
}

/* ---- listings */

struct line_of_list { /* an item or a folded prefix */
    char     text[16];
    wfl_ulid version; /* zero: a prefix */
};

struct listing {
    struct line_of_list lines[WFL_COUNT(KEYS)];
    uint32_t            count;
};

static void add_line(struct listing *l, wfl_slice text, const wfl_ulid *version)
{
    assert_true(l->count < WFL_COUNT(l->lines));
    struct line_of_list *line = &l->lines[l->count++];

    assert_true(text.len < sizeof line->text);
    *line = (struct line_of_list){0};
    memcpy(line->text, text.data, text.len);
    if (version != NULL) line->version = *version;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct line_of_list *)a)->text, ((const struct line_of_list *)b)->text);
}

static bool in_bounds(const struct wfl_scan *op, wfl_slice key)
{
    wfl_slice low = op->reverse ? op->end : op->after, high = op->reverse ? op->after : op->end;

    return key.len >= op->prefix.len && memcmp(key.data, op->prefix.data, op->prefix.len) == 0 &&
           (low.len == 0 || wfl_slice_cmp(key, low) > 0) &&
           (high.len == 0 || wfl_slice_cmp(key, high) < 0);
}

static void expect(const struct model *m, const struct wfl_scan *op, const wfl_ulid *moment,
                   struct listing *out)
{
    out->count = 0;
    for (size_t k = 0; k < WFL_COUNT(KEYS); k++) {
        const struct entry *e = at_moment(m, k, moment);
        wfl_slice           key = wfl_slice_str(KEYS[k]), text = key;
        const char         *hit = NULL;
        bool                there = false;

        if (e == NULL || !in_bounds(op, key)) continue;
        if (op->delimiter.len > 0)
            hit = memmem(KEYS[k] + op->prefix.len, key.len - op->prefix.len, op->delimiter.data,
                         op->delimiter.len);
        if (hit != NULL) text.len = (size_t)(hit - KEYS[k]) + op->delimiter.len;
        for (uint32_t i = 0; hit != NULL && i < out->count; i++)
            there |= wfl_slice_eq(wfl_slice_str(out->lines[i].text), text) &&
                     wfl_ulid_is_zero(&out->lines[i].version);
        if (!there) add_line(out, text, hit == NULL ? &e->version : NULL);
    }
    qsort(out->lines, out->count, sizeof out->lines[0], by_text);
    for (uint32_t i = 0; op->reverse && i < out->count / 2; i++) {
        struct line_of_list swap = out->lines[i];

        out->lines[i] = out->lines[out->count - 1 - i];
        out->lines[out->count - 1 - i] = swap;
    }
}

static const struct entry *entry_of(const struct model *m, wfl_slice key, const wfl_ulid *version)
{
    for (size_t k = 0; k < WFL_COUNT(KEYS); k++)
        for (uint32_t i = 0; wfl_slice_eq(wfl_slice_str(KEYS[k]), key) && i < m->count[k]; i++)
            if (wfl_ulid_cmp(&m->entries[k][i].version, version) == 0) return &m->entries[k][i];
    return NULL;
}

static void take_page(const struct model *m, const struct wfl_scan *op, struct listing *out)
{
    assert_true(op->item_count + op->prefix_count <= op->limit);
    assert_true(op->item_count + op->prefix_count > 0 || op->next.len == 0);
    for (uint32_t i = 0; i < op->item_count; i++) {
        const struct wfl_scan_item *item = &op->items[i];
        const struct entry         *e = entry_of(m, item->key, &item->object.version);

        add_line(out, item->key, &item->object.version);
        if (e == NULL) continue; /* compared with what is expected later */
        assert_int_equal(item->object.size, e->len);
        assert_int_equal(item->object.tag_count, op->with_tags && e->tagged ? 1 : 0);
        assert_int_equal(item->has_value, op->with_value && e->len <= WFL_SCAN_VALUE_BYTES_MAX);
        if (item->has_value) assert_true(wfl_slice_eq(item->value, content_of(e)));
    }
    for (uint32_t i = 0; i < op->prefix_count; i++)
        add_line(out, op->prefixes[i], NULL);
}

/* All pages; `between` changes are made after each. */
static wfl_ulid ask_all(struct fixture *f, struct model *m, struct wfl_scan op, uint32_t between,
                        struct listing *out)
{
    char     cursor[WFL_CURSOR_TEXT_MAX];
    wfl_ulid at = {{0}};
    bool     more;

    out->count = 0;
    do {
        struct wfl_scan page = op;

        assert_code(scan_op(f, &page), WFL_OK);
        if (op.cursor.len > 0) assert_int_equal(wfl_ulid_cmp(&at, &page.at), 0);
        at = page.at;
        take_page(m, &page, out);
        more = page.next.len > 0;
        if (more) memcpy(cursor, page.next.data, page.next.len);
        op.cursor = wfl_slice_of(cursor, page.next.len);
        wfl_scan_fini(&page);
        for (uint32_t i = 0; i < between; i++)
            change(f, m);
    } while (more);
    return at;
}

static void assert_same(const struct wfl_scan *op, struct listing *got, struct listing *wanted)
{
    /* Items and prefixes of a page come apart: brought together by their text. */
    qsort(got->lines, got->count, sizeof got->lines[0], by_text);
    qsort(wanted->lines, wanted->count, sizeof wanted->lines[0], by_text);
    for (uint32_t i = 0; i < got->count || i < wanted->count; i++) {
        const char *g = i < got->count ? got->lines[i].text : "(end)";
        const char *w = i < wanted->count ? wanted->lines[i].text : "(end)";

        if (strcmp(g, w) == 0 &&
            wfl_ulid_cmp(&got->lines[i].version, &wanted->lines[i].version) == 0)
            continue;
        fail_msg("prefix '%.*s' after '%.*s' end '%.*s' delimiter '%.*s' reverse %d limit %u: got "
                 "'%s', not '%s'",
                 WFL_FMT(op->prefix), WFL_FMT(op->after), WFL_FMT(op->end), WFL_FMT(op->delimiter),
                 op->reverse, op->limit, g, w);
    }
}

static struct wfl_scan any_question(struct model *m)
{
    struct wfl_scan op = {
        .bucket = WFL_S("photos"),
        .prefix = wfl_slice_str(pick(m, PREFIXES, WFL_COUNT(PREFIXES))),
        .after = wfl_slice_str(pick(m, BOUNDS, WFL_COUNT(BOUNDS))),
        .end = wfl_slice_str(pick(m, BOUNDS, WFL_COUNT(BOUNDS))),
        .delimiter = wfl_slice_str(pick(m, DELIMITERS, WFL_COUNT(DELIMITERS))),
        .reverse = below(m, 2) == 0,
        .with_value = below(m, 2) == 0,
        .with_tags = below(m, 2) == 0,
        .limit = below(m, 2) == 0 ? 1 + below(m, 4) : 100,
    };
    return op;
}

static struct model *begin(struct fixture *f)
{
    struct model *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->seed = test_seed();
    patch(f, "{\"versions\":-1}");
    model_put(f, m, 0);
    return m;
}

static void every_moment_is_as_the_model_has_it(void **state)
{
    struct fixture *f = *state;
    struct model   *m = begin(f);
    struct listing  got, wanted;

    for (uint32_t i = 0; i < STEPS; i++) {
        change(f, m);
        if (i % 60 == 30) collect_all(f); /* which finds nothing to take */
    }
    uint64_t live = 0, bytes = 0;
    for (size_t k = 0; k < WFL_COUNT(KEYS); k++) {
        assert_versions(f, m, k);
        live += is_live(m, k);
        bytes += is_live(m, k) ? newest(m, k)->len : 0;
    }
    assert_int_equal(info(f, "photos").objects, live);
    assert_int_equal(info(f, "photos").bytes, bytes);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        struct wfl_scan op = any_question(m);

        op.moment = any_moment(f, m);
        assert_reads_at(f, m, below(m, WFL_COUNT(KEYS)), op.moment);
        (void)ask_all(f, m, op, 0, &got);
        expect(m, &op, &op.moment, &wanted);
        assert_same(&op, &got, &wanted);
    }
    assert_recounts(f);
    free(m);
}

static void pages_are_of_one_moment_while_keys_change(void **state)
{
    struct fixture *f = *state;
    struct model   *m = begin(f);
    struct listing  got, wanted;

    for (uint32_t i = 0; i < 100; i++) /* without erasing, which changes the past */
        model_put(f, m, below(m, WFL_COUNT(KEYS)));
    for (uint32_t i = 0; i < 40; i++) {
        struct wfl_scan op = any_question(m);
        struct model   *before = malloc(sizeof *before);

        assert_non_null(before);
        *before = *m;
        op.limit = 1 + below(m, 3);
        if (i % 4 == 0) op.moment = moment_of(now_ms(f) + 3600000, 0xff); /* is yet to come */
        /* Erasures would change the past: puts and deletes alone. */
        op.with_value = false;
        char     cursor[WFL_CURSOR_TEXT_MAX];
        bool     more;
        wfl_ulid at;
        got.count = 0;
        do {
            struct wfl_scan page = op;

            assert_code(scan_op(f, &page), WFL_OK);
            at = page.at;
            take_page(m, &page, &got);
            more = page.next.len > 0;
            if (more) memcpy(cursor, page.next.data, page.next.len);
            op.cursor = wfl_slice_of(cursor, page.next.len);
            wfl_scan_fini(&page);
            model_put(f, m, below(m, WFL_COUNT(KEYS)));
            model_delete(f, m, below(m, WFL_COUNT(KEYS)));
        } while (more);
        expect(before, &op, &at, &wanted);
        assert_same(&op, &got, &wanted);
        free(before);
    }
    free(m);
}

struct writer {
    struct fixture *f;
    atomic_bool     stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;

    for (uint32_t n = 0; !atomic_load(&w->stop); n++) {
        struct wfl_put op = {.bucket = WFL_S("photos"),
                             .key = wfl_slice_str(KEYS[n * 7 % WFL_COUNT(KEYS)]),
                             .durability = WFL_BUFFERED};

        if (n % 3 == 0)
            (void)delete_key(w->f, "photos", KEYS[n * 5 % WFL_COUNT(KEYS)]);
        else
            assert_code(put_op(w->f, &op), WFL_OK);
        wfl_put_fini(&op);
    }
    return NULL;
}

/* Page by page now, then all at once at the moment that the pages have named: the same. */
static void pages_are_what_is_told_of_their_moment_later(void **state)
{
    struct fixture *f = *state;
    struct writer   w = {.f = f};
    struct listing  pages, whole;
    struct model   *m = begin(f);
    pthread_t       thread;

    m->count[0] = 0; /* the writer's keys are not the model's */
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 300; i++) {
        struct wfl_scan op = {.bucket = WFL_S("photos"), .limit = 3, .reverse = i % 2 == 0};

        op.moment = (wfl_ulid){{0}};
        wfl_ulid at = ask_all(f, m, op, 0, &pages);
        op.moment = at;
        op.limit = 100;
        (void)ask_all(f, m, op, 0, &whole);
        assert_same(&op, &pages, &whole);
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    free(m);
}

/* Between the look at the bucket and the page: more than the bucket keeps, and its pruning. */
static void overtake(struct fixture *f, size_t n)
{
    (void)n;
    f->on_alloc = NULL;
    for (int i = 0; i < 3; i++)
        assert_code(put(f, "photos", "k", WFL_S("later")), WFL_OK);
    (void)collect(f);
}

static void a_key_that_stays_is_listed_though_its_past_is_taken_away(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        moment;

    patch(f, "{\"versions\":1}");
    moment = put_version(f, "k", WFL_S("x"));
    for (int asked = 0; asked < 2; asked++) {
        struct wfl_scan op = {.bucket = WFL_S("photos"), .limit = 10};

        if (asked) op.moment = moment = info(f, "photos").version;
        f->on_alloc = overtake;
        assert_code(scan_op(f, &op), asked ? WFL_CURSOR_EXPIRED : WFL_OK);
        assert_int_equal(op.item_count, asked ? 0 : 1);
        wfl_scan_fini(&op);
    }
}

/* ---- what is kept */

static void the_number_of_versions_is_exact_at_once(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        v[5], t;

    patch(f, "{\"versions\":2}");
    for (int i = 0; i < 5; i++)
        v[i] = put_version(f, "k", bytes_of_len(2000, (uint8_t)i));
    for (int collected = 0; collected < 2; collected++) {
        assert_int_equal(listed(f, "k"), 3);
        for (int i = 0; i < 5; i++) {
            wfl_slice content = bytes_of_len(2000, (uint8_t)i);

            assert_code(read_version(f, "k", v[i], content),
                        i < 2 ? WFL_VERSION_NOT_FOUND : WFL_OK);
            assert_code(read_at(f, "k", v[i], content), i < 2 ? WFL_CURSOR_EXPIRED : WFL_OK);
        }
        collect_all(f);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), 2);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), 3);
    }
    assert_int_equal(rows(f, WFL_SPACE_DUE), 1); /* the look at the changes */
    t = delete_version(f, "k");
    assert_int_equal(listed(f, "k"), 3); /* a tombstone and two */
    assert_code(read_at(f, "k", t, (wfl_slice){0}), WFL_KEY_NOT_FOUND);
    assert_code(read_version(f, "k", t, (wfl_slice){0}), WFL_VERSION_NOT_FOUND);
    assert_code(read_version(f, "k", v[2], (wfl_slice){0}), WFL_VERSION_NOT_FOUND);
    assert_code(read_version(f, "k", v[3], bytes_of_len(2000, 3)), WFL_OK);
    assert_recounts(f);
}

static void the_time_of_a_version_ends_in_its_second(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        one;

    patch(f, "{\"versions\":-1,\"retain_seconds\":100}");
    one = put_version(f, "k", large_of(1100000, 1));
    advance_s(f, 1000); /* it is the current one: time does not touch it */
    collect_all(f);
    assert_code(read_version(f, "k", one, large_of(1100000, 1)), WFL_OK);
    (void)put_version(f, "k", WFL_S("two"));
    advance_s(f, 99);
    collect_all(f);
    assert_code(read_version(f, "k", one, large_of(1100000, 1)), WFL_OK);
    advance_s(f, 1);
    assert_code(read_version(f, "k", one, (wfl_slice){0}), WFL_VERSION_NOT_FOUND);
    assert_code(read_at(f, "k", one, (wfl_slice){0}), WFL_CURSOR_EXPIRED);
    assert_int_equal(listed(f, "k"), 1);
    assert_true(rows(f, WFL_SPACE_HISTORY) > 0);
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
    assert_nothing_large(f);
    assert_code(read_at(f, "k", one, (wfl_slice){0}), WFL_CURSOR_EXPIRED);
    assert_recounts(f);
}

static void a_bound_that_is_set_later_holds_for_what_is_there(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        v[4];

    patch(f, "{\"versions\":-1}");
    for (int i = 0; i < 4; i++, advance_s(f, 10))
        v[i] = put_version(f, "k", bytes_of_len(2000, (uint8_t)i));
    patch(f, "{\"retain_seconds\":100}");
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_HISTORY), 3);
    for (int i = 0; i < 3; i++) { /* each goes in its time, though nobody touches the key */
        f->now_ns = (int64_t)(wfl_ulid_ms(&v[i + 1]) + 100000) * 1000000;
        assert_int_equal(listed(f, "k"), 3 - i);
        collect_all(f);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), 2 - i);
    }
    assert_int_equal(rows(f, WFL_SPACE_VALUES), 1);
    assert_recounts(f);
}

static void an_older_version_expires_too(void **state)
{
    struct fixture *f = *state;
    bool            later;

    for (int i = 0; i < 2; i++) {
        later = i == 1;
        patch(f, later ? "{\"versions\":-1,\"expire_seconds\":null}"
                       : "{\"versions\":-1,\"expire_seconds\":100}");
        (void)put_version(f, "k", bytes_of_len(2000, 1));
        advance_s(f, 10);
        (void)put_version(f, "k", bytes_of_len(2000, 2));
        if (later) patch(f, "{\"expire_seconds\":100}");
        collect_all(f);
        advance_s(f, 90);
        assert_int_equal(listed(f, "k"), 1);
        collect_all(f);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), 1);
        advance_s(f, 10);
        assert_no_key(f, "photos", "k");
        assert_int_equal(listed(f, "k"), 0);
        collect_all(f);
        assert_int_equal(rows(f, WFL_SPACE_OBJECTS), 0);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), 0);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
        assert_int_equal(info(f, "photos").objects, 0);
        assert_recounts(f);
    }
}

static void erasing_brings_nothing_back_that_was_no_longer_kept(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        v[5];

    for (int collected = 0; collected < 2; collected++) {
        patch(f, "{\"versions\":1}");
        for (int i = 0; i < 5; i++)
            v[i] = put_version(f, "k", bytes_of_len(2000, (uint8_t)i));
        if (collected) collect_all(f);
        assert_code(erase(f, "k", v[2]), WFL_VERSION_NOT_FOUND);
        assert_code(erase(f, "k", v[4]), WFL_OK);
        assert_content(f, "photos", "k", bytes_of_len(2000, 3));
        assert_int_equal(listed(f, "k"), 1);
        patch(f, "{\"versions\":0}");
        v[4] = put_version(f, "k", WFL_S("x"));
        if (collected) collect_all(f);
        assert_code(erase(f, "k", v[4]), WFL_OK);
        assert_no_key(f, "photos", "k");
        assert_int_equal(listed(f, "k"), 0);
        collect_all(f);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), 0);
        assert_int_equal(info(f, "photos").bytes, 0);
        assert_recounts(f);
    }
}

static void a_tombstone_is_erased_above_what_is_no_longer_kept(void **state)
{
    struct fixture *f = *state;

    patch(f, "{\"versions\":-1,\"expire_seconds\":100}");
    (void)put_version(f, "k", bytes_of_len(2000, 1));
    wfl_ulid tombstone = delete_version(f, "k");
    advance_s(f, 100);
    assert_code(erase(f, "k", tombstone), WFL_OK);
    assert_int_equal(listed(f, "k"), 0);
    assert_int_equal(rows(f, WFL_SPACE_HISTORY) + rows(f, WFL_SPACE_VALUES), 0);
    assert_recounts(f);
}

static void what_was_not_kept_leaves_no_past_behind(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        one, gone;

    patch(f, "{\"versions\":-1}");
    one = put_version(f, "k", WFL_S("one"));
    (void)put_version(f, "k", WFL_S("two"));
    patch(f, "{\"versions\":0}");
    gone = delete_version(f, "k"); /* not recorded: the bucket keeps nothing now */
    patch(f, "{\"versions\":-1}");
    for (int collected = 0; collected < 2; collected++) {
        assert_code(read_at(f, "k", gone, (wfl_slice){0}), WFL_KEY_NOT_FOUND);
        assert_code(read_at(f, "k", moment_of(now_ms(f) + 5, 0), (wfl_slice){0}),
                    WFL_KEY_NOT_FOUND);
        wfl_code rc = read_at(f, "k", one, WFL_S("one"));
        assert_true(rc == WFL_OK || rc == WFL_CURSOR_EXPIRED);
        struct wfl_scan op = {.bucket = WFL_S("photos"), .limit = 10, .moment = gone};
        assert_code(scan_op(f, &op), WFL_OK);
        assert_int_equal(op.item_count, 0);
        wfl_scan_fini(&op);
        (void)put_version(f, "other", WFL_S("x"));
        op = (struct wfl_scan){.bucket = WFL_S("photos"), .limit = 10, .moment = gone};
        assert_code(scan_op(f, &op), WFL_OK);
        assert_int_equal(op.item_count, 0);
        wfl_scan_fini(&op);
        collect_all(f);
    }
}

static void an_erased_version_makes_way_for_one_that_still_expires(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        tombstone;

    patch(f, "{\"versions\":-1}");
    (void)put_version(f, "k", WFL_S("one"));
    tombstone = delete_version(f, "k");
    patch(f, "{\"expire_seconds\":100}");
    collect_all(f);
    assert_code(erase(f, "k", tombstone), WFL_OK);
    assert_content(f, "photos", "k", WFL_S("one"));
    advance_s(f, 100);
    assert_no_key(f, "photos", "k");
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_OBJECTS), 0);
    assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(create(f, "photos", ""), WFL_OK);
}

static void a_moment_before_what_is_kept_is_said(void **state)
{
    struct fixture *f = *state;
    struct wfl_scan op = {.bucket = WFL_S("photos"), .limit = 10};
    wfl_ulid        one, two;

    one = put_version(f, "k", WFL_S("one"));
    two = put_version(f, "k", WFL_S("two"));
    assert_code(read_at(f, "k", one, (wfl_slice){0}), WFL_CURSOR_EXPIRED);
    assert_code(read_at(f, "k", two, WFL_S("two")), WFL_OK);
    assert_code(read_at(f, "new", one, (wfl_slice){0}), WFL_CURSOR_EXPIRED);
    assert_code(read_at(f, "new", two, (wfl_slice){0}), WFL_KEY_NOT_FOUND);
    op.moment = one;
    assert_code(scan_op(f, &op), WFL_CURSOR_EXPIRED);
    wfl_scan_fini(&op);
    op.moment = two;
    assert_code(scan_op(f, &op), WFL_OK);
    assert_int_equal(op.item_count, 1);
    wfl_scan_fini(&op);
}

/* ---- the end of a bucket */

static void a_deleted_bucket_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    wfl_ulid        one;

    patch(f, "{\"versions\":-1,\"retain_seconds\":1000,\"expire_seconds\":5000}");
    one = put_version(f, "k", large_of(2200000, 1));
    (void)put_version(f, "k", bytes_of_len(2000, 1));
    for (int i = 0; i < 600; i++) /* more than one commit takes */
        (void)put_version(f, "many", WFL_S("x"));
    assert_code(delete_bucket(f, "photos"), WFL_BUCKET_NOT_EMPTY);
    (void)delete_version(f, "k");
    (void)delete_version(f, "many");
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    assert_code(create(f, "photos", "{\"versions\":-1}"), WFL_OK);
    assert_int_equal(listed(f, "k"), 0);
    assert_code(read_version(f, "k", one, (wfl_slice){0}), WFL_VERSION_NOT_FOUND);
    wfl_code rc = read_at(f, "k", one, (wfl_slice){0});
    assert_true(rc == WFL_KEY_NOT_FOUND || rc == WFL_CURSOR_EXPIRED);
    assert_code(erase(f, "k", one), WFL_VERSION_NOT_FOUND);
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_HISTORY), 0);
    assert_int_equal(rows(f, WFL_SPACE_VALUES), 0);
    assert_int_equal(rows(f, WFL_SPACE_CHANGES), 0);
    assert_int_equal(rows(f, WFL_SPACE_TAGS), 0);
    assert_nothing_large(f);
    assert_code(delete_bucket(f, "photos"), WFL_OK);
    advance_s(f, 10000);
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_DUE), 0);
    assert_int_equal(rows(f, WFL_SPACE_BUCKETS), 0);
    assert_code(create(f, "photos", ""), WFL_OK);
}

/* ---- one thing at a time goes wrong */

struct sweep {
    wfl_ulid two, tombstone, middle;
};

static wfl_code put_tagged(struct fixture *f, wfl_slice content, const char *colour, wfl_ulid *out)
{
    struct wfl_name_value tag = {WFL_S("colour"), wfl_slice_str(colour)};
    struct wfl_put        op = {.bucket = WFL_S("photos"),
                                .key = WFL_S("k"),
                                .content = content,
                                .blake3 = wfl_hash_of(content),
                                .tags = &tag,
                                .tag_count = 1};
    wfl_code              rc = put_any(f, &op);

    *out = op.version;
    wfl_put_fini(&op);
    return rc;
}

static wfl_code try_put(struct fixture *f, struct sweep *s)
{
    return put_tagged(f, bytes_of_len(2000, 2), "blue", &s->two);
}
static wfl_code try_delete(struct fixture *f, struct sweep *s)
{
    struct wfl_delete op = {.bucket = WFL_S("photos"), .key = WFL_S("k")};
    wfl_code          rc = delete_op(f, &op);

    s->tombstone = op.version;
    return rc;
}
static wfl_code try_erase_tombstone(struct fixture *f, struct sweep *s)
{
    return erase(f, "k", s->tombstone);
}
static wfl_code try_erase_current(struct fixture *f, struct sweep *s)
{
    return erase(f, "k", s->two);
}
static wfl_code try_put_again(struct fixture *f, struct sweep *s)
{
    return put_tagged(f, WFL_S("middle"), "red", &s->middle);
}
static wfl_code try_put_last(struct fixture *f, struct sweep *s)
{
    return put_tagged(f, WFL_S("last"), "red", &s->two);
}
static wfl_code try_erase_middle(struct fixture *f, struct sweep *s)
{
    return erase(f, "k", s->middle);
}
static wfl_code try_collect(struct fixture *f, struct sweep *s)
{
    wfl_error err;
    bool      left;

    (void)s;
    return wfl_store_collect(f->store, &left, &err);
}

static const struct {
    const char *name;
    wfl_code (*run)(struct fixture *f, struct sweep *s);
    size_t objects, history, values; /* rows after it */
    bool   at_once;                  /* in one commit: all of it or nothing */
} steps[] = {
    {"put", try_put, 1, 1, 1, true},
    {"delete", try_delete, 0, 3, 1, true},
    {"erase a tombstone", try_erase_tombstone, 1, 1, 1, true},
    {"erase the current one", try_erase_current, 1, 0, 0, true},
    {"put again", try_put_again, 1, 1, 0, true},
    {"put the last", try_put_last, 1, 2, 0, true},
    {"erase what is in the middle", try_erase_middle, 1, 1, 0, true},
    {"collect", try_collect, 1, 1, 0, false},
};

static void sweep(struct fixture *f, bool memory)
{
    struct sweep s;

    patch(f, "{\"versions\":-1,\"expire_seconds\":100}");
    assert_code(put_tagged(f, large_of(1100000, 1), "red", &s.two), WFL_OK);
    for (size_t i = 0; i < WFL_COUNT(steps); i++) {
        wfl_code rc;
        uint64_t k = 0;

        do {
            wfl_hash before = all_rows(f), after;

            k++;
            if (memory)
                f->refuse = f->allocs + k;
            else
                wfl_memory_fail(f->engine, k, WFL_DISK_FULL);
            rc = steps[i].run(f, &s);
            f->refuse = 0;
            wfl_memory_fail(f->engine, 0, WFL_OK);
            if (rc != WFL_OK && rc != (memory ? WFL_NOMEM : WFL_DISK_FULL))
                fail_msg("%s: %s", steps[i].name, wfl_code_name(rc));
            after = all_rows(f);
            if (rc != WFL_OK && steps[i].at_once && memcmp(&before, &after, sizeof after) != 0)
                fail_msg("%s: half done at %llu", steps[i].name, (unsigned long long)k);
            if (rc != WFL_OK && (k < 8 || k % 8 == 0)) assert_recounts(f);
        } while (rc != WFL_OK);
        if (k < 2) fail_msg("%s: nothing failed", steps[i].name);
        assert_int_equal(rows(f, WFL_SPACE_OBJECTS), steps[i].objects);
        assert_int_equal(rows(f, WFL_SPACE_HISTORY), steps[i].history);
        assert_int_equal(rows(f, WFL_SPACE_VALUES), steps[i].values);
        assert_recounts(f);
    }
    advance_s(f, 100);
    collect_all(f);
    assert_int_equal(rows(f, WFL_SPACE_OBJECTS) + rows(f, WFL_SPACE_HISTORY), 0);
    assert_nothing_large(f);
    assert_recounts(f);
}

static void any_refused_allocation_leaves_nothing_half_done(void **state)
{
    sweep(*state, true);
}

static void any_failed_call_of_the_engine_leaves_nothing_half_done(void **state)
{
    sweep(*state, false);
}

#define ON(engine, test)                                                                           \
    {                                                                                              \
#test " (" #engine ")", test, fixture_setup_##engine, fixture_teardown, NULL               \
    }
#define ON_BOTH(test) ON(memory, test), ON(local, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(every_moment_is_as_the_model_has_it),
        ON_BOTH(pages_are_of_one_moment_while_keys_change),
        ON(local, pages_are_what_is_told_of_their_moment_later),
        ON_BOTH(a_key_that_stays_is_listed_though_its_past_is_taken_away),
        ON_BOTH(the_number_of_versions_is_exact_at_once),
        ON_BOTH(the_time_of_a_version_ends_in_its_second),
        ON_BOTH(a_bound_that_is_set_later_holds_for_what_is_there),
        ON_BOTH(an_older_version_expires_too),
        ON_BOTH(erasing_brings_nothing_back_that_was_no_longer_kept),
        ON_BOTH(an_erased_version_makes_way_for_one_that_still_expires),
        ON_BOTH(a_tombstone_is_erased_above_what_is_no_longer_kept),
        ON_BOTH(a_moment_before_what_is_kept_is_said),
        ON_BOTH(what_was_not_kept_leaves_no_past_behind),
        ON_BOTH(a_deleted_bucket_leaves_nothing),
        ON(memory, any_refused_allocation_leaves_nothing_half_done),
        ON(memory, any_failed_call_of_the_engine_leaves_nothing_half_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
