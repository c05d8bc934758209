/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine for tests: sorted arrays, one thread, everything in call order. It can put answers off
 * (as if from disk), fail any call, and be "crashed": a copy is made of what durable commits left.
 *
 * Values are counted blocks, so a pin outlives the record. Each write of a group is noted in an
 * undo list: a failed commit takes back its own part, a failed group all of it, a crash what no
 * durable group followed. */
#include "engine/engine_private.h"

#include <assert.h>
#include <stddef.h>

struct value {
    uint32_t                refs;
    size_t                  len;
    const struct wfl_alloc *alloc;
    uint8_t                 bytes[];
};

struct record {
    struct value *key; /* counted too: undo entries share it */
    struct value *value;
};

struct table {
    struct record *records; /* by key */
    size_t         count, cap;
};

struct undo {
    enum wfl_space space;
    struct value  *key;
    struct value  *value; /* before; NULL: there was none */
};

struct undo_list {
    struct undo *items;
    size_t       count, cap;
};

enum pending_kind { PENDING_GET, PENDING_RANGE, PENDING_WORK, PENDING_COMMIT };
struct pending {
    enum pending_kind kind;
    void             *op;
};

struct memory {
    struct wfl_engine       base;
    const struct wfl_alloc *alloc;
    bool                    pend;
    struct table            tables[WFL_SPACE_COUNT];
    struct undo_list        unsynced; /* what a power cut would take back */
    struct undo_list        group;    /* of the group under way */
    struct wfl_group_hooks  hooks;
    struct pending         *pending;
    size_t                  pending_count, pending_cap;
    uint64_t                fail_in; /* calls until one fails; 0: none */
    wfl_code                fail_rc;
    bool                    read_only;
    bool                    closing; /* finishes what is pending, takes nothing new */
    uint64_t                commits, groups, syncs;
};

struct memory_txn {
    struct wfl_txn base;
    struct memory *memory;
};

static struct memory *memory_of(struct wfl_engine *e)
{
    return (struct memory *)(void *)e;
}

/* ---- counted bytes */

static struct value *value_new(const struct wfl_alloc *alloc, const wfl_slice *parts, size_t count)
{
    size_t        len = 0, at = 0;
    struct value *v;

    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    v = wfl_alloc_get(alloc, sizeof *v + len);
    if (v == NULL) return NULL;
    *v = (struct value){.refs = 1, .len = len, .alloc = alloc};
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) memcpy(v->bytes + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return v;
}

static struct value *value_ref(struct value *v)
{
    if (v != NULL) v->refs++;
    return v;
}

static void value_unref(struct value *v)
{
    if (v != NULL && --v->refs == 0) wfl_alloc_free(v->alloc, v);
}

static wfl_slice value_slice(const struct value *v)
{
    return wfl_slice_of(v->bytes, v->len);
}

/* ---- tables */

static size_t lower_bound(const struct table *t, wfl_slice key)
{
    size_t low = 0, high = t->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (wfl_slice_cmp(value_slice(t->records[middle].key), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct record *find(const struct table *t, wfl_slice key)
{
    size_t i = lower_bound(t, key);

    return i < t->count && wfl_slice_eq(value_slice(t->records[i].key), key) ? &t->records[i]
                                                                             : NULL;
}

static bool grow(const struct wfl_alloc *alloc, void **items, size_t *cap, size_t count,
                 size_t size)
{
    size_t bigger = *cap == 0 ? 16 : *cap * 2;
    void  *p;

    if (count < *cap) return true;
    p = wfl_alloc_resize(alloc, *items, bigger * size);
    if (p == NULL) return false;
    *items = p;
    *cap = bigger;
    return true;
}

/* Takes over both references. The room was made by reserve(). */
static void table_set(struct table *t, struct value *key, struct value *value)
{
    size_t i = lower_bound(t, value_slice(key));
    bool   there = i < t->count && wfl_slice_eq(value_slice(t->records[i].key), value_slice(key));

    if (there) {
        value_unref(t->records[i].key);
        value_unref(t->records[i].value);
    } else if (value != NULL) {
        memmove(&t->records[i + 1], &t->records[i], (t->count - i) * sizeof *t->records);
        t->count++;
    }
    if (value != NULL) {
        t->records[i] = (struct record){key, value};
        return;
    }
    value_unref(key);
    if (!there) return;
    t->count--;
    memmove(&t->records[i], &t->records[i + 1], (t->count - i) * sizeof *t->records);
}

/* ---- failing on demand */

static bool strikes(struct memory *m, wfl_error *err)
{
    if (m->fail_in == 0 || --m->fail_in > 0) return false;
    wfl_fail(err, m->fail_rc, "failure asked for by the test");
    return true;
}

void wfl_memory_fail(struct wfl_engine *e, uint64_t k, wfl_code rc)
{
    memory_of(e)->fail_in = k;
    memory_of(e)->fail_rc = rc;
}

/* ---- transactions */

static void release_value(struct wfl_pin *pin)
{
    value_unref(pin->handle);
}

static wfl_code txn_get(struct wfl_txn *t, enum wfl_space space, wfl_slice key, struct wfl_pin *pin,
                        wfl_error *err)
{
    struct memory *m = ((struct memory_txn *)(void *)t)->memory;
    struct record *r;

    if (strikes(m, err)) return err->code;
    r = find(&m->tables[space], key);
    if (r == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such record");
    *pin = (struct wfl_pin){
        .value = value_slice(r->value), .release = release_value, .handle = value_ref(r->value)};
    return WFL_OK;
}

static wfl_code write_record(struct memory *m, enum wfl_space space, struct value *key,
                             struct value *value, wfl_error *err)
{
    struct table  *t = &m->tables[space];
    struct record *before;

    if (!grow(m->alloc, (void **)&m->group.items, &m->group.cap, m->group.count,
              sizeof *m->group.items) ||
        !grow(m->alloc, (void **)&t->records, &t->cap, t->count, sizeof *t->records)) {
        value_unref(key);
        value_unref(value);
        return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    }
    before = find(t, value_slice(key));
    m->group.items[m->group.count++] =
        (struct undo){space, value_ref(key), before == NULL ? NULL : value_ref(before->value)};
    table_set(t, key, value);
    return WFL_OK;
}

static wfl_code txn_put(struct wfl_txn *t, enum wfl_space space, wfl_slice key,
                        const wfl_slice *parts, size_t part_count, wfl_error *err)
{
    struct memory *m = ((struct memory_txn *)(void *)t)->memory;
    struct value  *k, *v;

    if (strikes(m, err)) return err->code;
    k = value_new(m->alloc, &key, 1);
    v = value_new(m->alloc, parts, part_count);
    if (k == NULL || v == NULL) {
        value_unref(k);
        value_unref(v);
        return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    }
    return write_record(m, space, k, v, err);
}

static wfl_code txn_remove(struct wfl_txn *t, enum wfl_space space, wfl_slice key, wfl_error *err)
{
    struct memory *m = ((struct memory_txn *)(void *)t)->memory;
    struct value  *k;

    if (strikes(m, err)) return err->code;
    k = value_new(m->alloc, &key, 1);
    if (k == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    return write_record(m, space, k, NULL, err);
}

static const struct wfl_txn_ops txn_ops = {.get = txn_get, .put = txn_put, .remove = txn_remove};

/* ---- groups */

/* Undo down to `keep` entries, newest first. */
static void undo_to(struct table *tables, struct undo_list *list, size_t keep)
{
    while (list->count > keep) {
        struct undo *u = &list->items[--list->count];

        /* Room is there: the record, or its gap, was in the table before. */
        table_set(&tables[u->space], u->key, u->value);
    }
}

static void forget(struct undo_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        value_unref(list->items[i].key);
        value_unref(list->items[i].value);
    }
    list->count = 0;
}

/* The group is stored: durable ones make all before them durable, as one log does. */
static bool keep_group(struct memory *m, bool durable)
{
    if (durable) {
        forget(&m->unsynced);
        forget(&m->group);
        return true;
    }
    while (m->unsynced.cap - m->unsynced.count < m->group.count) {
        if (!grow(m->alloc, (void **)&m->unsynced.items, &m->unsynced.cap, m->unsynced.cap,
                  sizeof *m->unsynced.items)) {
            return false;
        }
    }
    if (m->group.count > 0) {
        memcpy(&m->unsynced.items[m->unsynced.count], m->group.items,
               m->group.count * sizeof *m->group.items);
    }
    m->unsynced.count += m->group.count;
    m->group.count = 0;
    return true;
}

static wfl_code finish_group(struct memory *m, bool durable, wfl_error *err)
{
    struct memory_txn txn = {.base = {.ops = &txn_ops}, .memory = m};
    wfl_code          rc = WFL_OK;

    if (m->group.count > 0) {
        if (m->hooks.seal != NULL) rc = m->hooks.seal(m->hooks.ctx, &txn.base, err);
        if (rc == WFL_OK && strikes(m, err)) {
            rc = err->code;
            if (rc == WFL_IO) m->read_only = true;
        }
        if (rc == WFL_OK && !keep_group(m, durable))
            rc = wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
        if (rc == WFL_OK) {
            m->groups++;
            m->syncs += durable;
        }
    } else if (durable && m->unsynced.count > 0) { /* it may rest on what it has seen */
        forget(&m->unsynced);
        m->syncs++;
    }
    undo_to(m->tables, &m->group, 0);
    if (m->hooks.settled != NULL) m->hooks.settled(m->hooks.ctx, rc);
    return rc;
}

static void run_group(struct memory *m, struct wfl_commit *first)
{
    struct memory_txn txn = {.base = {.ops = &txn_ops}, .memory = m};
    wfl_error         err = {.code = WFL_OK};
    wfl_code          rc = WFL_OK;
    bool              durable = false;
    uint64_t          applied = 0;

    for (struct wfl_commit *c = first; c != NULL; c = c->own.next) {
        size_t keep = m->group.count;

        if (m->read_only) {
            c->rc = wfl_fail(&c->err, WFL_READ_ONLY, "the store takes no writes");
            continue;
        }
        c->rc = c->apply(c, &txn.base, &c->err);
        if (c->rc != WFL_OK) {
            undo_to(m->tables, &m->group, keep);
        } else {
            applied++;
            durable |= c->durability == WFL_DURABLE;
        }
    }
    if (applied > 0) rc = finish_group(m, durable, &err);
    if (rc == WFL_OK) m->commits += applied;
    for (struct wfl_commit *c = first, *next; c != NULL; c = next) {
        next = c->own.next;
        if (c->rc == WFL_OK && rc != WFL_OK) {
            c->rc = rc;
            c->err = err;
        }
        c->done(c);
    }
}

/* ---- reading */

static void get_now(struct memory *m, struct wfl_engine_get *get)
{
    struct record *r;

    if (strikes(m, &get->err)) {
        get->rc = get->err.code;
        return;
    }
    r = find(&m->tables[get->space], get->key);
    if (r == NULL) {
        get->rc = wfl_fail(&get->err, WFL_NOT_FOUND, "no such record");
        return;
    }
    get->pin = (struct wfl_pin){
        .value = value_slice(r->value), .release = release_value, .handle = value_ref(r->value)};
    get->rc = WFL_OK;
}

struct position {
    const struct table *table;
    size_t              at; /* index; count or SIZE_MAX: not valid */
};

static void at_seek(void *at, wfl_slice key)
{
    struct position *p = at;

    p->at = lower_bound(p->table, key);
}

static void at_seek_last(void *at, wfl_slice key)
{
    struct position *p = at;

    if (key.len == 0) {
        p->at = p->table->count - 1; /* of an empty table: SIZE_MAX, not valid */
        return;
    }
    p->at = lower_bound(p->table, key);
    if (p->at == p->table->count || !wfl_slice_eq(value_slice(p->table->records[p->at].key), key))
        p->at--;
}

static void at_step(void *at, bool back)
{
    struct position *p = at;

    p->at = back ? p->at - 1 : p->at + 1;
}

static bool at_valid(void *at)
{
    struct position *p = at;

    return p->at < p->table->count;
}

static void at_read(void *at, wfl_slice *key, wfl_slice *value)
{
    struct position *p = at;

    *key = value_slice(p->table->records[p->at].key);
    *value = value_slice(p->table->records[p->at].value);
}

static wfl_code at_status(void *at, wfl_error *err)
{
    (void)at, (void)err;
    return WFL_OK;
}

static const struct wfl_cursor_ops position_ops = {
    .seek = at_seek,
    .seek_last = at_seek_last,
    .step = at_step,
    .valid = at_valid,
    .read = at_read,
    .status = at_status,
};

static void range_now(struct memory *m, struct wfl_engine_range *range)
{
    struct position p = {.table = &m->tables[range->space]};

    range->rc = strikes(m, &range->err) ? range->err.code
                                        : wfl_page_fill(range, &position_ops, &p, m->alloc);
}

/* ---- the table of functions */

static wfl_code put_off(struct memory *m, enum pending_kind kind, void *op)
{
    if (m->closing) return WFL_CLOSED;
    if (!grow(m->alloc, (void **)&m->pending, &m->pending_cap, m->pending_count,
              sizeof *m->pending)) {
        return WFL_OVERLOADED;
    }
    m->pending[m->pending_count++] = (struct pending){kind, op};
    return WFL_PENDING;
}

static wfl_code memory_get(struct wfl_engine *e, struct wfl_engine_get *get)
{
    struct memory *m = memory_of(e);

    if (!m->pend) {
        get_now(m, get);
    } else {
        get->rc = put_off(m, PENDING_GET, get);
        if (get->rc != WFL_PENDING) wfl_fail(&get->err, get->rc, "read not taken");
    }
    return get->rc;
}

static wfl_code memory_range(struct wfl_engine *e, struct wfl_engine_range *range)
{
    struct memory *m = memory_of(e);

    if (!m->pend) {
        range_now(m, range);
    } else {
        range->rc = put_off(m, PENDING_RANGE, range);
        if (range->rc != WFL_PENDING) wfl_fail(&range->err, range->rc, "read not taken");
    }
    return range->rc;
}

static wfl_code memory_work(struct wfl_engine *e, struct wfl_engine_work *work)
{
    struct memory *m = memory_of(e);

    if (m->pend || m->closing) return put_off(m, PENDING_WORK, work);
    work->run(work);
    return WFL_PENDING;
}

static wfl_code memory_commit(struct wfl_engine *e, struct wfl_commit *c)
{
    struct memory *m = memory_of(e);
    wfl_code       rc;

    if (m->read_only) return c->rc = wfl_fail(&c->err, WFL_READ_ONLY, "the store takes no writes");
    if (!m->pend && !m->closing) {
        run_group(m, c);
        return WFL_PENDING;
    }
    rc = put_off(m, PENDING_COMMIT, c);
    if (rc != WFL_PENDING) c->rc = wfl_fail(&c->err, rc, "commit not taken");
    return rc;
}

size_t wfl_memory_run(struct wfl_engine *e)
{
    struct memory     *m = memory_of(e);
    struct pending    *list = m->pending;
    size_t             count = m->pending_count;
    struct wfl_commit *first = NULL, **last = &first;

    /* What the callbacks add belongs to the next run. */
    m->pending = NULL;
    m->pending_count = m->pending_cap = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].kind == PENDING_GET) {
            get_now(m, list[i].op);
            ((struct wfl_engine_get *)list[i].op)->done(list[i].op);
        } else if (list[i].kind == PENDING_RANGE) {
            range_now(m, list[i].op);
            ((struct wfl_engine_range *)list[i].op)->done(list[i].op);
        } else if (list[i].kind == PENDING_WORK) {
            ((struct wfl_engine_work *)list[i].op)->run(list[i].op);
        } else {
            *last = list[i].op;
            last = &(*last)->own.next;
        }
    }
    *last = NULL;
    if (first != NULL) run_group(m, first);
    wfl_alloc_free(m->alloc, list);
    return count;
}

static void memory_set_hooks(struct wfl_engine *e, const struct wfl_group_hooks *hooks)
{
    memory_of(e)->hooks = *hooks;
}

static void memory_stats(struct wfl_engine *e, struct wfl_engine_stats *out)
{
    struct memory *m = memory_of(e);

    out->read_only = m->read_only;
    if (m->read_only)
        memcpy(out->read_only_reason, "failure asked for", sizeof "failure asked for");
    out->commits = m->commits;
    out->groups = m->groups;
    out->syncs = m->syncs;
    for (size_t i = 0; i < m->pending_count; i++) {
        if (m->pending[i].kind == PENDING_COMMIT) {
            out->queued++;
        } else {
            out->pool_queued++;
        }
    }
}

static wfl_code memory_checkpoint(struct wfl_engine *e, const char *path, wfl_error *err)
{
    (void)e, (void)path;
    return wfl_fail(err, WFL_INTERNAL, "the memory engine keeps nothing on disk");
}

static void memory_stop(struct wfl_engine *e)
{
    memory_of(e)->closing = true;
    wfl_memory_run(e);
}

static void memory_close(struct wfl_engine *e)
{
    struct memory *m = memory_of(e);

    memory_stop(e);
    forget(&m->unsynced);
    forget(&m->group);
    for (int s = 0; s < WFL_SPACE_COUNT; s++) {
        for (size_t i = 0; i < m->tables[s].count; i++) {
            value_unref(m->tables[s].records[i].key);
            value_unref(m->tables[s].records[i].value);
        }
        wfl_alloc_free(m->alloc, m->tables[s].records);
    }
    wfl_alloc_free(m->alloc, m->unsynced.items);
    wfl_alloc_free(m->alloc, m->group.items);
    wfl_alloc_free(m->alloc, m->pending);
    wfl_alloc_free(m->alloc, m);
}

static const struct wfl_engine_ops memory_ops = {
    .get = memory_get,
    .range = memory_range,
    .work = memory_work,
    .commit = memory_commit,
    .set_hooks = memory_set_hooks,
    .stats = memory_stats,
    .checkpoint = memory_checkpoint,
    .stop = memory_stop,
    .close = memory_close,
};

wfl_code wfl_engine_open_memory(const struct wfl_memory_config *config, struct wfl_engine **out,
                                wfl_error *err)
{
    struct memory *m = wfl_alloc_zero(config->alloc, 1, sizeof *m);

    if (m == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    m->base.ops = &memory_ops;
    m->alloc = config->alloc;
    m->pend = config->pend;
    *out = &m->base;
    return WFL_OK;
}

static wfl_code copy_table(struct memory *to, int space, const struct table *from, wfl_error *err)
{
    struct table *t = &to->tables[space];

    for (size_t i = 0; i < from->count; i++) {
        wfl_slice key = value_slice(from->records[i].key),
                  value = value_slice(from->records[i].value);
        struct value *k = value_new(to->alloc, &key, 1), *v = value_new(to->alloc, &value, 1);

        if (k == NULL || v == NULL ||
            !grow(to->alloc, (void **)&t->records, &t->cap, t->count, sizeof *t->records)) {
            value_unref(k);
            value_unref(v);
            return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
        }
        t->records[t->count++] = (struct record){k, v};
    }
    return WFL_OK;
}

/* Take back in the copy what no durable group followed, newest first. */
static wfl_code take_back(struct memory *copy, const struct undo_list *unsynced, wfl_error *err)
{
    for (size_t i = unsynced->count; i > 0; i--) {
        const struct undo *u = &unsynced->items[i - 1];
        struct table      *t = &copy->tables[u->space];
        wfl_slice          key = value_slice(u->key), value;
        struct value      *k = value_new(copy->alloc, &key, 1), *v = NULL;

        if (u->value != NULL) {
            value = value_slice(u->value);
            v = value_new(copy->alloc, &value, 1);
        }
        if (k == NULL || (u->value != NULL && v == NULL) ||
            !grow(copy->alloc, (void **)&t->records, &t->cap, t->count, sizeof *t->records)) {
            value_unref(k);
            value_unref(v);
            return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
        }
        table_set(t, k, v);
    }
    return WFL_OK;
}

wfl_code wfl_memory_crash(struct wfl_engine *e, struct wfl_engine **out, wfl_error *err)
{
    struct memory     *m = memory_of(e);
    struct wfl_engine *copy = NULL;
    wfl_code           rc;

    rc = wfl_engine_open_memory(&(struct wfl_memory_config){.alloc = m->alloc, .pend = m->pend},
                                &copy, err);
    for (int s = 0; s < WFL_SPACE_COUNT && rc == WFL_OK; s++) {
        rc = copy_table(memory_of(copy), s, &m->tables[s], err);
    }
    if (rc == WFL_OK) rc = take_back(memory_of(copy), &m->unsynced, err);
    if (rc != WFL_OK) {
        wfl_engine_close(copy);
        return rc;
    }
    *out = copy;
    return WFL_OK;
}
