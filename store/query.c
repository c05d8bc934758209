/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects by their tags. The index has a row (tag, value, key) for each tag of each object, written
 * in the object's own commit. Two ways lead to an answer:
 *
 * - The rows of a tag's one value are in the order of keys. All tags that are asked for by value
 *   are walked together: each in turn jumps to the largest key that any of them has reached, and
 *   where all stand on one key, its record says the rest (beginnings, expiry). What is found comes
 *   in order, so the walk ends when the page is full.
 * - The rows of a beginning are in the order of values. All of them are walked, the record of each
 *   key behind the cursor says the rest, and the `limit` + 1 smallest keys are kept in a heap.
 *
 * Which is cheaper nobody knows beforehand, and nothing keeps count of values. So they race: the
 * first way, and for each beginning a mere count of its rows, go on in turns of equal numbers of
 * rows, which double. If the first way ends first, the page is there; if a beginning's rows end
 * first, the second way is gone with it. Where there is nothing to race with, nothing is counted.
 *
 * Cost. With t tags, let n be the rows of the rarest: of a value those below the prefix and behind
 * the cursor, of a beginning all. The walk by values costs at most t * n seeks, for each turn of
 * all of them moves the rarest on, and n records. A race costs t times the winner, and as much
 * again at the most for the last turn's overshoot. So a page is O(t * n) steps of iterators and
 * O(n) records, however large the bucket is and whatever the other tags have; and less where the
 * page is full before. Memory is bounded by the page.
 *
 * Everything is read from one view, so index, records and contents are of one moment and writers
 * are not in the way. The work is cut into steps of about STEP_ROWS rows, so that a long query
 * shares its thread. Fails with what store.h says. */
#include "store/query.h"

#include <stdlib.h>

#define STEP_ROWS       8192
#define ROUND_FIRST     32 /* rows of a turn in the race */
#define ROUND_MAX       2048
#define ARENA_BYTES_MAX (64u << 20) /* records, contents, names, and keys that are gathered */

/* ---- rows of the index */

static wfl_code bad_row(struct query *q)
{
    return wfl_fail(&q->op->err, WFL_CORRUPT_OBJECT, "a key of the tags' index is malformed");
}

static bool is_key(wfl_slice key)
{
    return key.len > 0 && key.len <= WFL_KEY_MAX;
}

/* Of the row under the iterator, of a tag that is asked for by value. */
static wfl_slice equal_key(struct query_tag *t)
{
    wfl_slice row = wfl_iter_key(t->it);

    return wfl_slice_of(row.data + t->head_len, row.len - t->head_len);
}

/* Of any tag: the key is behind the value's 0. Empty where there is none. */
static wfl_slice row_key(struct query_tag *t)
{
    wfl_slice      row = wfl_iter_key(t->it);
    size_t         before = WFL_ID_LEN + t->wanted.name.len + 1;
    const uint8_t *zero = row.len > before ? memchr(row.data + before, 0, row.len - before) : NULL;

    if (zero == NULL) return (wfl_slice){0};
    return wfl_slice_of(zero + 1, row.len - (size_t)(zero + 1 - row.data));
}

/* To the first row whose key is not below `key`. A step is tried before a seek: where most keys
 * have the tag, the next row is the one. False: there is none. */
static bool reach(struct query_tag *t, wfl_slice key)
{
    if (t->placed) {
        if (!wfl_iter_valid(t->it)) return false;
        if (wfl_slice_cmp(equal_key(t), key) >= 0) return true;
        wfl_iter_step(t->it, false);
        if (!wfl_iter_valid(t->it)) return false;
        if (wfl_slice_cmp(equal_key(t), key) >= 0) return true;
    }
    t->placed = true;
    memcpy(t->from + t->head_len, key.data, key.len);
    wfl_iter_seek(t->it, wfl_slice_of(t->from, t->head_len + key.len));
    return wfl_iter_valid(t->it);
}

/* ---- the first way: values together */

/* All values are at `target`. Where the page has no room for it, the way is at its end. */
static wfl_code meet(struct query *q)
{
    wfl_slice key = query_key_slice(&q->target);
    bool      wanted = false;
    wfl_code  rc = query_look(q, key, &wanted);

    if (rc == WFL_OK && wanted) rc = query_take(q, key);
    q->target.bytes[q->target.len++] = 0; /* the smallest key above */
    q->agreed = 0;
    return rc;
}

/* `rows` turns further. `*ended`: the page is full, or there is nothing more. */
static wfl_code walk_values(struct query *q, uint32_t rows, bool *ended)
{
    for (; rows > 0; rows--) {
        struct query_tag *t = &q->tags[q->turn];
        wfl_code          rc = WFL_OK;

        if (!reach(t, query_key_slice(&q->target))) {
            *ended = true;
            return wfl_iter_status(t->it, &q->op->err);
        }
        wfl_slice key = equal_key(t);
        if (!is_key(key)) return bad_row(q);
        if (!wfl_slice_eq(key, query_key_slice(&q->target))) {
            query_key_set(&q->target, key);
            q->agreed = 0;
        }
        if (++q->agreed == q->equal_count) rc = meet(q);
        *ended = q->more;
        if (rc != WFL_OK || q->more) return rc;
        q->turn = (q->turn + 1) % q->equal_count;
    }
    return WFL_OK;
}

/* ---- the second way: the keys of a beginning */

static void seek_first(struct query_tag *t)
{
    wfl_iter_seek(t->it, wfl_slice_of(t->from, t->from_len));
    t->placed = true;
}

/* `*ended`: its rows are, within `rows` further ones. */
static wfl_code count_rows(struct query *q, struct query_tag *t, uint32_t rows, bool *ended)
{
    if (!t->placed) seek_first(t);
    for (; wfl_iter_valid(t->it); rows--) {
        if (rows == 0) return WFL_OK;
        wfl_iter_step(t->it, false);
    }
    *ended = true;
    return wfl_iter_status(t->it, &q->op->err);
}

static wfl_code start_gathering(struct query *q, struct query_tag *driver)
{
    struct query_key *keys;
    uint32_t          room = q->op->limit + 1;

    q->heap = wfl_arena_get(&q->arena, room * sizeof(struct query_key *));
    keys = wfl_arena_get(&q->arena, room * sizeof *keys);
    if (q->heap == NULL || keys == NULL)
        return wfl_fail(&q->op->err, WFL_NOMEM, "no memory for the keys of a page");
    for (uint32_t i = 0; i < room; i++)
        q->heap[i] = &keys[i];
    query_forget_page(q);
    q->driver = driver;
    seek_first(driver);
    q->phase = QUERY_GATHERING;
    return WFL_OK;
}

static int compare(const struct query_key *a, const struct query_key *b)
{
    return wfl_slice_cmp(query_key_slice(a), query_key_slice(b));
}

static void swap(struct query *q, uint32_t i, uint32_t j)
{
    struct query_key *k = q->heap[i];

    q->heap[i] = q->heap[j];
    q->heap[j] = k;
}

static void sift_up(struct query *q, uint32_t i)
{
    for (; i > 0 && compare(q->heap[i], q->heap[(i - 1) / 2]) > 0; i = (i - 1) / 2)
        swap(q, i, (i - 1) / 2);
}

static void sift_down(struct query *q)
{
    for (uint32_t i = 0;;) {
        uint32_t child = 2 * i + 1;

        if (child >= q->heap_count) return;
        if (child + 1 < q->heap_count && compare(q->heap[child + 1], q->heap[child]) > 0) child++;
        if (compare(q->heap[child], q->heap[i]) <= 0) return;
        swap(q, i, child);
        i = child;
    }
}

static bool heap_is_full(const struct query *q)
{
    return q->heap_count == q->op->limit + 1;
}

/* Could it be one of the page's? */
static bool is_of_use(const struct query *q, wfl_slice key)
{
    if (!wfl_slice_starts_with(key, q->op->prefix)) return false;
    if (wfl_slice_cmp(key, query_key_slice(&q->start)) < 0) return false;
    return !heap_is_full(q) || wfl_slice_cmp(key, query_key_slice(q->heap[0])) < 0;
}

static void keep(struct query *q, wfl_slice key)
{
    if (heap_is_full(q)) {
        query_key_set(q->heap[0], key);
        sift_down(q);
    } else {
        query_key_set(q->heap[q->heap_count], key);
        sift_up(q, q->heap_count++);
    }
}

static wfl_code gather(struct query *q, uint32_t rows)
{
    struct query_tag *t = q->driver;

    for (; rows > 0; rows--) {
        bool     wanted = false;
        wfl_code rc = WFL_OK;

        if (!wfl_iter_valid(t->it)) {
            q->phase = QUERY_TAKING;
            return wfl_iter_status(t->it, &q->op->err);
        }
        wfl_slice key = row_key(t);
        if (!is_key(key)) return bad_row(q);
        if (is_of_use(q, key)) rc = query_look(q, key, &wanted);
        if (rc != WFL_OK) return rc;
        if (wanted) keep(q, key);
        wfl_iter_step(t->it, false);
    }
    return WFL_OK;
}

static int by_key(const void *a, const void *b)
{
    return compare(*(struct query_key *const *)a, *(struct query_key *const *)b);
}

static wfl_code take_gathered(struct query *q)
{
    qsort(q->heap, q->heap_count, sizeof(struct query_key *), by_key);
    for (uint32_t i = 0; i < q->heap_count && !q->more; i++) {
        wfl_slice key = query_key_slice(q->heap[i]);
        bool      wanted = false;
        wfl_code  rc = query_look(q, key, &wanted); /* the view's, so it is wanted still */

        if (rc == WFL_OK) rc = query_take(q, key);
        if (rc != WFL_OK) return rc;
    }
    q->phase = QUERY_ENDED;
    return WFL_OK;
}

/* ---- both */

/* A round of equal turns. */
static wfl_code race(struct query *q)
{
    bool     ended = false;
    wfl_code rc = WFL_OK;

    if (q->equal_count > 0) rc = walk_values(q, q->round_rows, &ended);
    if (rc != WFL_OK) return rc;
    if (ended) {
        q->phase = QUERY_ENDED;
        return WFL_OK;
    }
    for (uint32_t i = q->equal_count; i < q->count; i++) {
        rc = count_rows(q, &q->tags[i], q->round_rows, &ended);
        if (rc != WFL_OK) return rc;
        if (ended) return start_gathering(q, &q->tags[i]);
    }
    if (q->round_rows < ROUND_MAX) q->round_rows *= 2;
    return WFL_OK;
}

static wfl_code start(struct query *q)
{
    wfl_code rc = query_open(q);

    if (rc != WFL_OK) return rc;
    q->round_rows = ROUND_FIRST;
    if (q->count == 1 && q->equal_count == 0) return start_gathering(q, &q->tags[0]);
    q->phase = QUERY_RACING;
    return WFL_OK;
}

static wfl_code run_step(struct query *q)
{
    wfl_code rc = WFL_OK;

    if (q->phase == QUERY_OPENING) rc = start(q);
    for (uint32_t rows = 0; rc == WFL_OK && q->phase == QUERY_RACING && rows < STEP_ROWS;
         rows += q->round_rows)
        rc = race(q);
    if (rc == WFL_OK && q->phase == QUERY_GATHERING) rc = gather(q, STEP_ROWS);
    if (rc == WFL_OK && q->phase == QUERY_TAKING) rc = take_gathered(q);
    if (rc == WFL_OK && q->phase == QUERY_ENDED) rc = query_finish_page(q);
    return rc;
}

wfl_code wfl_tag_query_begin(struct wfl_store *s, struct wfl_tag_query *op)
{
    struct bucket_view b;
    struct query      *q;
    wfl_code           rc;

    op->items = NULL;
    op->item_count = 0;
    op->at = (wfl_ulid){0};
    op->next = (wfl_slice){0};
    op->own.state = NULL;
    rc = wfl_buckets_look_up(s, op->bucket, &b, &op->err);
    if (rc != WFL_OK) return rc;
    q = wfl_alloc_zero(s->alloc, 1, sizeof *q);
    if (q == NULL) return wfl_fail(&op->err, WFL_NOMEM, "no memory for a query");
    op->own.state = q;
    q->store = s;
    q->op = op;
    q->id = b.id;
    q->settings = b.settings;
    q->now_ms = wfl_clock_unix_ms(s->clock);
    wfl_arena_init(&q->arena, s->alloc, ARENA_BYTES_MAX);
    return query_prepare(q, b.version);
}

uint64_t wfl_tag_query_flow(const struct wfl_tag_query *op)
{
    const struct query *q = op->own.state;

    return q->id;
}

wfl_code wfl_tag_query_step(struct wfl_tag_query *op, bool *ended)
{
    struct query *q = op->own.state;
    wfl_code      rc = run_step(q);

    *ended = q->phase == QUERY_ENDED;
    if (rc != WFL_OK || *ended) query_close(q); /* the view keeps what others wait to see gone */
    if (rc != WFL_OK) op->item_count = 0;
    return rc;
}

void wfl_tag_query_fini(struct wfl_tag_query *op)
{
    struct query *q = op->own.state;

    if (q == NULL) return;
    query_close(q);
    wfl_arena_fini(&q->arena);
    wfl_alloc_free(q->store->alloc, q);
    op->own.state = NULL;
}
