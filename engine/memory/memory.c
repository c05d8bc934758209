/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine for tests: sorted arrays, one thread, everything in call order. It can put answers off
 * (as if from disk), fail any call, and be "crashed": a copy is made of what durable commits left.
 *
 * Values are counted blocks, so a pin outlives the record. Each write of a group is noted in an
 * undo list: a failed commit takes back its own part, a failed group all of it, a crash what no
 * durable group followed.
 *
 * A blob is a value too, whose bytes lie in a file that has no name (so that readers have their fd)
 * instead of behind it. Written ones wait in a list until they are kept or abandoned; kept ones are
 * records of a space of their own, and so undo and power cuts treat them like any record. */
#include "engine/engine_private.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOBS     WFL_SPACE_COUNT /* the space of kept blobs: name, content in the file */
#define ALL_COUNT (WFL_SPACE_COUNT + 1)

struct file {                     /* the contents of blobs */
    uint32_t                refs; /* of values, and of the engine */
    int                     fd;
    uint64_t                end;
    const struct wfl_alloc *alloc;
};

struct value {
    struct wfl_blob_handle  handle; /* of a blob that is open */
    uint32_t                refs;
    size_t                  len;
    const struct wfl_alloc *alloc;
    struct file            *file; /* NULL: no blob */
    uint64_t                offset;
    wfl_hash                hash;
    bool                    synced, verified;
    uint8_t                 bytes[];
};

struct place { /* written, neither kept nor abandoned */
    uint64_t      number;
    struct value *blob;
    bool          keeping; /* a commit of the group under way keeps it */
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
    int           space;
    struct value *key;
    struct value *value; /* before; NULL: there was none */
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
    struct table            tables[ALL_COUNT];
    struct file            *file; /* NULL until the first blob */
    struct place           *places;
    size_t                  place_count, place_cap;
    uint64_t                last_place;
    uint64_t                blobs_corrupt;
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

/* ---- the file of blobs */

static struct file *file_new(const struct wfl_alloc *alloc, wfl_error *err)
{
    struct file *f = wfl_alloc_get(alloc, sizeof *f);

    if (f == NULL) {
        wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
        return NULL;
    }
    *f = (struct file){.refs = 1, .alloc = alloc, .fd = memfd_create("wfl-blobs", MFD_CLOEXEC)};
    if (f->fd >= 0) return f;
    wfl_fail_errno(err, "memory engine: a file for blobs");
    wfl_alloc_free(alloc, f);
    return NULL;
}

static void file_unref(struct file *f)
{
    if (f == NULL || --f->refs > 0) return;
    close(f->fd);
    wfl_alloc_free(f->alloc, f);
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
    memset(v, 0, sizeof *v);
    v->refs = 1;
    v->len = len;
    v->alloc = alloc;
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
    if (v == NULL || --v->refs > 0) return;
    file_unref(v->file);
    wfl_alloc_free(v->alloc, v);
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

static wfl_code write_record(struct memory *m, int space, struct value *key, struct value *value,
                             wfl_error *err)
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

static struct place *find_place(struct memory *m, const struct wfl_blob_place *place)
{
    for (size_t i = 0; i < m->place_count; i++) {
        if (m->places[i].number == place->segment) return &m->places[i];
    }
    return NULL;
}

static wfl_code txn_blob_keep(struct wfl_txn *t, wfl_slice name, const struct wfl_blob_place *place,
                              wfl_error *err)
{
    struct memory *m = ((struct memory_txn *)(void *)t)->memory;
    struct place  *p = find_place(m, place);
    struct value  *key;
    wfl_code       rc;

    assert(p != NULL && !p->keeping && p->blob->synced);
    assert(find(&m->tables[BLOBS], name) == NULL);
    if (strikes(m, err)) return err->code;
    key = value_new(m->alloc, &name, 1);
    if (key == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    rc = write_record(m, BLOBS, key, value_ref(p->blob), err);
    p->keeping = rc == WFL_OK;
    return rc;
}

static wfl_code txn_blob_drop(struct wfl_txn *t, wfl_slice name, wfl_error *err)
{
    struct memory *m = ((struct memory_txn *)(void *)t)->memory;
    struct value  *key;

    if (strikes(m, err)) return err->code;
    if (find(&m->tables[BLOBS], name) == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such blob");
    key = value_new(m->alloc, &name, 1);
    if (key == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    return write_record(m, BLOBS, key, NULL, err);
}

static const struct wfl_txn_ops txn_ops = {.get = txn_get,
                                           .put = txn_put,
                                           .remove = txn_remove,
                                           .blob_keep = txn_blob_keep,
                                           .blob_drop = txn_blob_drop};

/* ---- groups */

/* A keep that is undone gives the place back to its owner. */
static void give_back(struct memory *m, const struct undo *u)
{
    struct record *now = u->space == BLOBS ? find(&m->tables[BLOBS], value_slice(u->key)) : NULL;

    for (size_t i = 0; now != NULL && i < m->place_count; i++) {
        if (m->places[i].blob == now->value) m->places[i].keeping = false;
    }
}

/* Undo down to `keep` entries, newest first. */
static void undo_to(struct memory *m, struct undo_list *list, size_t keep)
{
    while (list->count > keep) {
        struct undo *u = &list->items[--list->count];

        give_back(m, u);
        /* Room is there: the record, or its gap, was in the table before. */
        table_set(&m->tables[u->space], u->key, u->value);
    }
}

static void forget_place(struct memory *m, struct place *p)
{
    value_unref(p->blob);
    *p = m->places[--m->place_count];
}

/* The group is stored: its keeps are done. */
static void settle_places(struct memory *m)
{
    for (size_t i = m->place_count; i > 0; i--) {
        if (m->places[i - 1].keeping) forget_place(m, &m->places[i - 1]);
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
            settle_places(m);
        }
    } else if (durable && m->unsynced.count > 0) { /* it may rest on what it has seen */
        forget(&m->unsynced);
        m->syncs++;
    }
    undo_to(m, &m->group, 0);
    if (m->hooks.settled != NULL) m->hooks.settled(m->hooks.ctx, rc);
    return rc;
}

/* True: it wrote something. */
static bool note_refusal(struct memory *m, struct memory_txn *txn, struct wfl_commit *c)
{
    size_t    keep = m->group.count;
    wfl_error err = {.code = WFL_OK};
    wfl_code  rc = c->refused == NULL ? WFL_OK : c->refused(c, &txn->base, &err);

    if (rc != WFL_OK) {
        undo_to(m, &m->group, keep);
        c->rc = rc;
        c->err = err;
    }
    c->own.noted = m->group.count > keep;
    return c->own.noted;
}

static void run_group(struct memory *m, struct wfl_commit *first)
{
    struct memory_txn txn = {.base = {.ops = &txn_ops}, .memory = m};
    wfl_error         err = {.code = WFL_OK};
    wfl_code          rc = WFL_OK;
    bool              durable = false, noted = false;
    uint64_t          applied = 0;

    for (struct wfl_commit *c = first; c != NULL; c = c->own.next) {
        size_t keep = m->group.count;

        c->own.noted = false;
        if (m->read_only) {
            c->rc = wfl_fail(&c->err, WFL_READ_ONLY, "the store takes no writes");
            continue;
        }
        c->rc = c->apply(c, &txn.base, &c->err);
        if (c->rc != WFL_OK) {
            undo_to(m, &m->group, keep);
            noted |= note_refusal(m, &txn, c);
        } else {
            applied++;
            durable |= c->durability == WFL_DURABLE;
        }
    }
    if (applied > 0 || noted) rc = finish_group(m, durable, &err);
    if (rc == WFL_OK) m->commits += applied;
    for (struct wfl_commit *c = first, *next; c != NULL; c = next) {
        next = c->own.next;
        if ((c->rc == WFL_OK || c->own.noted) && rc != WFL_OK) {
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

/* ---- views: nothing happens between the steps of one caller, so the moment is always now */

struct memory_iter {
    struct wfl_iter         base;
    struct position         position;
    const struct wfl_alloc *alloc;
};

static wfl_code memory_view_open(struct wfl_engine *e, struct wfl_view **out, wfl_error *err)
{
    struct memory *m = memory_of(e);

    if (strikes(m, err)) return err->code;
    *out = wfl_alloc_zero(m->alloc, 1, sizeof **out);
    if (*out == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    (*out)->engine = e;
    return WFL_OK;
}

static void memory_view_close(struct wfl_view *v)
{
    wfl_alloc_free(memory_of(v->engine)->alloc, v);
}

static void memory_iter_close(struct wfl_iter *it)
{
    struct memory_iter *i = (struct memory_iter *)(void *)it;

    wfl_alloc_free(i->alloc, i);
}

static wfl_code memory_iter_open(struct wfl_view *v, enum wfl_space space, wfl_slice to,
                                 struct wfl_iter **out, wfl_error *err)
{
    struct memory      *m = memory_of(v->engine);
    struct memory_iter *i = wfl_alloc_zero(m->alloc, 1, sizeof *i);

    (void)to;
    if (i == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    i->position = (struct position){.table = &m->tables[space], .at = SIZE_MAX};
    i->alloc = m->alloc;
    i->base =
        (struct wfl_iter){.ops = &position_ops, .at = &i->position, .close = memory_iter_close};
    *out = &i->base;
    return WFL_OK;
}

/* ---- blobs */

static wfl_code blob_value_new(struct memory *m, wfl_slice content, const wfl_hash *hash,
                               struct value **out, wfl_error *err)
{
    struct value *v;
    size_t        done = 0;

    if (m->file == NULL) m->file = file_new(m->alloc, err);
    if (m->file == NULL) return err->code;
    v = value_new(m->alloc, NULL, 0);
    if (v == NULL) return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    while (done < content.len) {
        ssize_t n = pwrite(m->file->fd, content.data + done, content.len - done,
                           (off_t)(m->file->end + done));

        if (n <= 0) {
            wfl_fail_errno(err, "memory engine: write of a blob");
            value_unref(v);
            return err->code;
        }
        done += (size_t)n;
    }
    v->len = content.len;
    v->offset = m->file->end;
    v->hash = *hash;
    v->file = m->file;
    m->file->refs++;
    m->file->end += content.len;
    *out = v;
    return WFL_OK;
}

static wfl_code memory_blob_write(struct wfl_engine *e, wfl_slice name, wfl_slice content,
                                  const wfl_hash *hash, struct wfl_blob_place *out, wfl_error *err)
{
    struct memory *m = memory_of(e);
    struct value  *v = NULL;
    wfl_code       rc;

    (void)name;
    if (m->closing) return wfl_fail(err, WFL_CLOSED, "the store is closing");
    if (m->read_only) return wfl_fail(err, WFL_READ_ONLY, "the store takes no writes");
    if (strikes(m, err)) return err->code;
    if (!grow(m->alloc, (void **)&m->places, &m->place_cap, m->place_count, sizeof *m->places))
        return wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    rc = blob_value_new(m, content, hash, &v, err);
    if (rc != WFL_OK) return rc;
    m->places[m->place_count++] = (struct place){.number = ++m->last_place, .blob = v};
    *out = (struct wfl_blob_place){.segment = m->last_place, .len = (uint32_t)content.len};
    return WFL_OK;
}

static wfl_code memory_blob_sync(struct wfl_engine *e, const struct wfl_blob_place *places,
                                 size_t count, wfl_error *err)
{
    struct memory *m = memory_of(e);

    if (m->read_only) return wfl_fail(err, WFL_READ_ONLY, "the store takes no writes");
    if (strikes(m, err)) {
        if (err->code == WFL_IO) m->read_only = true;
        return err->code;
    }
    for (size_t i = 0; i < count; i++) {
        struct place *p = find_place(m, &places[i]);

        assert(p != NULL);
        p->blob->synced = true;
    }
    return WFL_OK;
}

static void memory_blob_abandon(struct wfl_engine *e, const struct wfl_blob_place *place)
{
    struct memory *m = memory_of(e);
    struct place  *p = find_place(m, place);

    assert(p != NULL && !p->keeping); /* once, and not what was kept */
    forget_place(m, p);
}

static void close_blob(struct wfl_blob_handle *handle)
{
    value_unref((struct value *)(void *)handle);
}

static wfl_code verify(struct memory *m, struct value *v, bool always, wfl_error *err)
{
    struct wfl_blob   blob = {.fd = v->file->fd, .offset = v->offset, .len = (uint32_t)v->len};
    struct wfl_hasher hasher;
    uint8_t           piece[4096];
    wfl_hash          hash;

    if (v->verified && !always) return WFL_OK;
    wfl_hasher_init(&hasher);
    for (uint32_t at = 0; at < v->len;) {
        uint32_t n = (uint32_t)(v->len - at < sizeof piece ? v->len - at : sizeof piece);
        wfl_code rc = wfl_blob_copy(&blob, at, n, piece, err);

        if (rc != WFL_OK) return rc;
        wfl_hasher_add(&hasher, wfl_slice_of(piece, n));
        at += n;
    }
    hash = wfl_hasher_result(&hasher);
    v->verified = memcmp(&hash, &v->hash, sizeof hash) == 0;
    if (v->verified) return WFL_OK;
    m->blobs_corrupt++;
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "a blob fails its hash");
}

static wfl_code memory_blob_open(struct wfl_engine *e, wfl_slice name, bool always,
                                 struct wfl_blob *out, wfl_error *err)
{
    struct memory *m = memory_of(e);
    struct record *r;
    struct value  *v;
    wfl_code       rc;

    if (strikes(m, err)) return err->code;
    r = find(&m->tables[BLOBS], name);
    if (r == NULL) return wfl_fail(err, WFL_NOT_FOUND, "no such blob");
    v = r->value;
    rc = verify(m, v, always, err);
    if (rc != WFL_OK) return rc;
    v->handle.close = close_blob;
    *out = (struct wfl_blob){.fd = v->file->fd,
                             .offset = v->offset,
                             .len = (uint32_t)v->len,
                             .handle = &value_ref(v)->handle};
    return WFL_OK;
}

static wfl_code memory_blob_walk(struct wfl_engine *e, struct wfl_blob_walk *walk, wfl_error *err)
{
    struct memory *m = memory_of(e);
    struct table  *t = &m->tables[BLOBS];
    wfl_slice      at = wfl_slice_of(walk->at, walk->at_len), name;
    size_t         i;

    if (strikes(m, err)) return err->code;
    i = lower_bound(t, at);
    if (i < t->count && wfl_slice_eq(value_slice(t->records[i].key), at)) i++;
    if (i >= t->count) {
        walk->ended = true;
        return WFL_OK;
    }
    name = value_slice(t->records[i].key);
    walk->at_len = walk->name_len = (uint32_t)name.len;
    memcpy(walk->at, name.data, name.len);
    memcpy(walk->name, name.data, name.len);
    walk->len = (uint32_t)t->records[i].value->len;
    walk->verdict = verify(m, t->records[i].value, true, &walk->why);
    return WFL_OK;
}

static wfl_code memory_blob_recount(struct wfl_engine *e, wfl_error *err)
{
    (void)e, (void)err;
    return WFL_OK; /* nothing is counted apart from what is there */
}

static void blob_stats(const struct memory *m, struct wfl_engine_stats *out)
{
    const struct table *t = &m->tables[BLOBS];

    out->segments = m->file != NULL;
    out->segment_bytes = m->file == NULL ? 0 : m->file->end;
    for (size_t i = 0; i < t->count; i++)
        out->live_bytes += t->records[i].value->len;
    out->blobs_corrupt = m->blobs_corrupt;
    out->blobs_pending = m->place_count;
}

/* ---- the table of functions */

static wfl_code memory_read(struct wfl_engine *e, enum wfl_space space, wfl_slice key,
                            struct wfl_pin *pin, wfl_error *err)
{
    struct wfl_engine_get get = {.space = space, .key = key};

    get_now(memory_of(e), &get);
    *pin = get.pin;
    if (get.rc != WFL_OK) *err = get.err;
    return get.rc;
}

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

static wfl_code memory_range_now(struct wfl_engine *e, struct wfl_engine_range *range)
{
    range_now(memory_of(e), range);
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
    blob_stats(m, out);
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
    for (int s = 0; s < ALL_COUNT; s++) {
        for (size_t i = 0; i < m->tables[s].count; i++) {
            value_unref(m->tables[s].records[i].key);
            value_unref(m->tables[s].records[i].value);
        }
        wfl_alloc_free(m->alloc, m->tables[s].records);
    }
    while (m->place_count > 0) /* as after a crash: what nobody kept is reclaimed */
        forget_place(m, &m->places[0]);
    wfl_alloc_free(m->alloc, m->places);
    file_unref(m->file);
    wfl_alloc_free(m->alloc, m->unsynced.items);
    wfl_alloc_free(m->alloc, m->group.items);
    wfl_alloc_free(m->alloc, m->pending);
    wfl_alloc_free(m->alloc, m);
}

static const struct wfl_engine_ops memory_ops = {
    .get = memory_get,
    .range = memory_range,
    .range_now = memory_range_now,
    .view_open = memory_view_open,
    .view_close = memory_view_close,
    .iter_open = memory_iter_open,
    .work = memory_work,
    .read = memory_read,
    .blob_write = memory_blob_write,
    .blob_sync = memory_blob_sync,
    .blob_abandon = memory_blob_abandon,
    .blob_open = memory_blob_open,
    .blob_walk = memory_blob_walk,
    .blob_recount = memory_blob_recount,
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

static struct value *copy_blob(struct memory *to, const struct value *from, wfl_error *err)
{
    struct wfl_blob blob = {
        .fd = from->file->fd, .offset = from->offset, .len = (uint32_t)from->len};
    uint8_t      *bytes = wfl_alloc_get(to->alloc, from->len);
    struct value *v = NULL;
    wfl_code      rc;

    if (bytes == NULL) {
        wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
        return NULL;
    }
    rc = wfl_blob_copy(&blob, 0, blob.len, bytes, err);
    if (rc == WFL_OK) rc = blob_value_new(to, wfl_slice_of(bytes, from->len), &from->hash, &v, err);
    if (rc == WFL_OK && v != NULL) v->synced = true;
    wfl_alloc_free(to->alloc, bytes);
    return v;
}

/* A copy of a value for another engine; of a blob, in that engine's file. NULL: err says why. */
static struct value *copy_value(struct memory *to, struct value *from, wfl_error *err)
{
    wfl_slice     bytes = value_slice(from);
    struct value *v;

    if (from->file != NULL) return copy_blob(to, from, err);
    v = value_new(to->alloc, &bytes, 1);
    if (v == NULL) wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
    return v;
}

static wfl_code copy_table(struct memory *to, int space, const struct table *from, wfl_error *err)
{
    struct table *t = &to->tables[space];

    for (size_t i = 0; i < from->count; i++) {
        struct value *k = copy_value(to, from->records[i].key, err),
                     *v = k == NULL ? NULL : copy_value(to, from->records[i].value, err);

        if (k == NULL || v == NULL ||
            !grow(to->alloc, (void **)&t->records, &t->cap, t->count, sizeof *t->records)) {
            if (v != NULL) wfl_fail(err, WFL_NOMEM, "memory engine: out of memory");
            value_unref(k);
            value_unref(v);
            return err->code;
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
        struct value      *k = copy_value(copy, u->key, err), *v = NULL;

        if (k != NULL && u->value != NULL) v = copy_value(copy, u->value, err);
        if (k == NULL || (u->value != NULL && v == NULL)) {
            value_unref(k);
            return err->code;
        }
        if (!grow(copy->alloc, (void **)&t->records, &t->cap, t->count, sizeof *t->records)) {
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
    for (int s = 0; s < ALL_COUNT && rc == WFL_OK; s++) {
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
