/* SPDX-License-Identifier: Apache-2.0
 *
 * What is revoked. A revocation is one durable commit of one row; when it is stored, and before
 * anybody is told so, it enters a table in memory, which every look-up is answered from. The table
 * is read whole at opening. Only the committer changes it, under the write lock; readers share the
 * read lock for the length of one chain, and where nothing is revoked they take none. Places in the
 * table are chosen by a keyed hash: nobody can choose links that fall into one chain.
 *
 * Whoever signs links can fill it with links of its own making, so those are bounded for each
 * signer, and all of them together leave room for an administrator's. A link's entry goes again
 * when the link has ended long ago: it is refused for that then, and KEPT_MS is for clocks that
 * step back.
 *
 * Failure: what is not stored is not in force, and its caller is told. A row that does not verify
 * stops the opening: a server that has lost track of what is revoked must not serve. */
#include "store/chunks.h"
#include "store/write.h"

#include <assert.h>
#include <stdatomic.h>

#define HEADS      (1u << 14)
#define SEED_LEN   16
#define KEPT_MS    (UINT64_C(30) * 24 * 3600 * 1000)
#define PAGE_PAIRS 1000

#define ROW_JTI     'j'
#define ROW_KID     'k'
#define ROW_LINK    'l'
#define ROW_KEY_MAX (1 + WFL_KID_LEN + 16)

struct revoked { /* immutable once it is in the table */
    struct revoked *next;
    uint8_t         row_len;
    uint8_t         row[ROW_KEY_MAX]; /* the key of its row says all that a look-up asks */
};

struct signer { /* of links that were taken back; committer */
    struct signer *next;
    uint32_t       count;
    uint8_t        kid[WFL_KID_LEN];
};

struct revocation_table {
    pthread_rwlock_t lock; /* a leaf: nothing is called while it is held */
    uint8_t          seed[SEED_LEN];
    struct revoked  *heads[HEADS];
    _Atomic uint64_t epoch, count;

    /* the committer's; those under way are counted in */
    uint32_t       all, links;
    struct signer *signers[HEADS / 16];
};

/* ---- rows */

static wfl_slice row_of(const struct wfl_revocation *r, uint8_t out[ROW_KEY_MAX])
{
    size_t len = 0;

    out[len++] = r->kind == WFL_REVOKED_JTI   ? ROW_JTI
                 : r->kind == WFL_REVOKED_KID ? ROW_KID
                                              : ROW_LINK;
    if (r->kind != WFL_REVOKED_JTI) {
        memcpy(out + len, r->kid, WFL_KID_LEN);
        len += WFL_KID_LEN;
    }
    if (r->kind != WFL_REVOKED_KID) {
        memcpy(out + len, r->jti.bytes, sizeof r->jti.bytes);
        len += sizeof r->jti.bytes;
    }
    return wfl_slice_of(out, len);
}

static bool take_text(wfl_slice from, size_t max, char *out)
{
    if (from.len > max) return false;
    if (from.len > 0) memcpy(out, from.data, from.len);
    out[from.len] = '\0';
    return true;
}

static bool read_row(wfl_slice row, struct wfl_revocation *out)
{
    static const struct {
        uint8_t                  tag;
        enum wfl_revocation_kind kind;
        size_t                   kid_len, jti_len;
    } shapes[] = {
        {ROW_JTI, WFL_REVOKED_JTI, 0, 16},
        {ROW_KID, WFL_REVOKED_KID, WFL_KID_LEN, 0},
        {ROW_LINK, WFL_REVOKED_LINK, WFL_KID_LEN, 16},
    };

    for (size_t i = 0; i < WFL_COUNT(shapes); i++) {
        if (row.len != 1 + shapes[i].kid_len + shapes[i].jti_len || row.data[0] != shapes[i].tag)
            continue;
        out->kind = shapes[i].kind;
        memcpy(out->jti.bytes, row.data + 1 + shapes[i].kid_len, shapes[i].jti_len);
        return take_text(wfl_slice_of(row.data + 1, shapes[i].kid_len), WFL_KID_LEN, out->kid);
    }
    return false;
}

static wfl_code damaged(wfl_error *err, const char *wrong)
{
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "a record of a revocation: %s", wrong);
}

static wfl_code read_pair(wfl_slice row, wfl_slice value, struct wfl_revocation *out,
                          wfl_error *err)
{
    struct wfl_record_revocation record;
    const char                  *wrong;

    *out = (struct wfl_revocation){0};
    if (!read_row(row, out)) return damaged(err, "its key is malformed");
    wrong = wfl_record_revocation_read(value.data, value.len, &record);
    if (wrong != NULL) return damaged(err, wrong);
    if (!take_text(wfl_from_record(record.by), WFL_KID_LEN, out->by) ||
        !take_text(wfl_from_record(record.reason), WFL_REASON_MAX, out->reason))
        return damaged(err, "a text is too long");
    out->at_ms = record.at_ms;
    out->expires_ms = record.expires_ms;
    return WFL_OK;
}

/* ---- the table */

static struct revoked **head_of(struct revocation_table *t, wfl_slice row)
{
    uint8_t  keyed[SEED_LEN + ROW_KEY_MAX];
    wfl_hash hash;
    uint32_t place;

    assert(row.len <= ROW_KEY_MAX);
    memcpy(keyed, t->seed, SEED_LEN);
    memcpy(keyed + SEED_LEN, row.data, row.len);
    hash = wfl_hash_of(wfl_slice_of(keyed, SEED_LEN + row.len));
    memcpy(&place, hash.bytes, sizeof place);
    return &t->heads[place % HEADS];
}

static bool is_there_locked(struct revocation_table *t, wfl_slice row)
{
    const struct revoked *e = *head_of(t, row);

    while (e != NULL && !wfl_slice_eq(wfl_slice_of(e->row, e->row_len), row))
        e = e->next;
    return e != NULL;
}

/* Takes the entry over. Committer. */
static void insert(struct revocation_table *t, struct revoked *e)
{
    struct revoked **head = head_of(t, wfl_slice_of(e->row, e->row_len));

    pthread_rwlock_wrlock(&t->lock);
    e->next = *head;
    *head = e;
    pthread_rwlock_unlock(&t->lock);
    t->count++;
    t->epoch++; /* after it: who sees the old number may rely on the old answer */
}

static struct revoked *take_out(struct revocation_table *t, wfl_slice row)
{
    struct revoked **at = head_of(t, row), *e;

    pthread_rwlock_wrlock(&t->lock);
    while (*at != NULL && !wfl_slice_eq(wfl_slice_of((*at)->row, (*at)->row_len), row))
        at = &(*at)->next;
    e = *at;
    if (e != NULL) *at = e->next;
    pthread_rwlock_unlock(&t->lock);
    if (e != NULL) t->count--;
    return e;
}

static struct revoked *new_entry(struct wfl_store *s, wfl_slice row)
{
    struct revoked *e = wfl_alloc_zero(s->alloc, 1, sizeof *e);

    if (e == NULL) return NULL;
    e->row_len = (uint8_t)row.len;
    memcpy(e->row, row.data, row.len);
    return e;
}

/* ---- bounds; committer */

static struct signer **signer_of(struct revocation_table *t, const char *kid)
{
    struct signer **at =
        &t->signers[(size_t)(head_of(t, wfl_slice_of(kid, WFL_KID_LEN)) - t->heads) %
                    WFL_COUNT(t->signers)];

    while (*at != NULL && memcmp((*at)->kid, kid, WFL_KID_LEN) != 0)
        at = &(*at)->next;
    return at;
}

/* One more, or what was said of it is taken back. */
static void uncount(struct wfl_store *s, const struct wfl_revocation *what)
{
    struct revocation_table *t = s->revocations;
    struct signer          **at, *signer;

    t->all--;
    if (what->kind != WFL_REVOKED_LINK) return;
    t->links--;
    at = signer_of(t, what->kid);
    signer = *at;
    if (--signer->count > 0) return;
    *at = signer->next;
    wfl_alloc_free(s->alloc, signer);
}

static wfl_code count_signer(struct wfl_store *s, const struct wfl_revocation *what, wfl_error *err)
{
    struct signer **at = signer_of(s->revocations, what->kid), *signer = *at;

    if (signer != NULL && signer->count >= WFL_REVOCATIONS_BY_SIGNER_MAX)
        return wfl_fail(err, WFL_QUOTA_EXCEEDED,
                        "this key has taken back %d links; revoke the key of their holder instead",
                        WFL_REVOCATIONS_BY_SIGNER_MAX);
    if (signer == NULL) {
        signer = wfl_alloc_zero(s->alloc, 1, sizeof *signer);
        if (signer == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a revocation");
        memcpy(signer->kid, what->kid, WFL_KID_LEN);
        *at = signer;
    }
    signer->count++;
    return WFL_OK;
}

static wfl_code count(struct wfl_store *s, const struct wfl_revocation *what, wfl_error *err)
{
    struct revocation_table *t = s->revocations;
    bool                     link = what->kind == WFL_REVOKED_LINK;
    wfl_code                 rc = WFL_OK;

    if (t->all >= WFL_REVOCATIONS_MAX || (link && t->links >= WFL_REVOCATIONS_OF_LINKS_MAX))
        return wfl_fail(err, WFL_QUOTA_EXCEEDED, "the server keeps %d revocations, %d of links",
                        WFL_REVOCATIONS_MAX, WFL_REVOCATIONS_OF_LINKS_MAX);
    if (link) rc = count_signer(s, what, err);
    if (rc != WFL_OK) return rc;
    t->all++;
    t->links += link;
    return WFL_OK;
}

/* ---- revoking */

/* True in `*known`: it is stored already, and `what` is now what is stored. */
static wfl_code look_up(struct wfl_txn *t, wfl_slice row, struct wfl_revocation *what, bool *known,
                        wfl_error *err)
{
    struct wfl_pin pin = {0};
    wfl_code       rc = wfl_txn_get(t, WFL_SPACE_REVOCATIONS, row, &pin, err);

    *known = rc == WFL_OK;
    if (rc == WFL_NOT_FOUND) return WFL_OK;
    if (rc == WFL_OK) rc = read_pair(row, pin.value, what, err);
    wfl_pin_release(&pin);
    return rc;
}

static wfl_code write_row(struct wfl_store *s, struct wfl_txn *t, wfl_slice row,
                          const struct wfl_revocation *what, wfl_error *err)
{
    struct wfl_record_revocation record = {.at_ms = what->at_ms,
                                           .by = wfl_to_record(wfl_slice_str(what->by)),
                                           .reason = wfl_to_record(wfl_slice_str(what->reason)),
                                           .expires_ms = what->expires_ms};
    uint8_t                      space[WFL_RECORD_SMALL_MAX];
    wfl_slice bytes = wfl_slice_of(space, wfl_record_revocation_write(&record, space));
    wfl_code  rc = wfl_txn_put(t, WFL_SPACE_REVOCATIONS, row, &bytes, 1, err);

    if (rc != WFL_OK || what->kind != WFL_REVOKED_LINK) return rc;
    return wfl_write_due(s, t, what->expires_ms + KEPT_MS, WFL_DUE_REVOKED, 0, row, err);
}

static wfl_code revoke_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_revoke *op = c->arg;
    struct wfl_store  *s = op->own.store;
    wfl_slice          row = wfl_slice_of(op->own.entry->row, op->own.entry->row_len);
    bool               known;
    wfl_code           rc = look_up(t, row, &op->what, &known, err);

    if (rc != WFL_OK || known) return rc;
    op->what.at_ms = wfl_clock_unix_ms(s->clock);
    rc = write_row(s, t, row, &op->what, err);
    if (rc == WFL_OK) rc = count(s, &op->what, err);
    op->own.counted = op->created = rc == WFL_OK;
    return rc;
}

static void revoke_done(struct wfl_commit *c)
{
    struct wfl_revoke *op = c->arg;
    struct wfl_store  *s = op->own.store;

    op->rc = c->rc;
    op->err = c->err;
    if (op->rc == WFL_OK && op->created)
        insert(s->revocations, op->own.entry);
    else
        wfl_alloc_free(s->alloc, op->own.entry);
    if (op->rc != WFL_OK && op->own.counted) uncount(s, &op->what);
    op->own.entry = NULL;
    op->done(op);
}

wfl_code wfl_store_revoke(struct wfl_store *s, struct wfl_revoke *op)
{
    uint8_t row[ROW_KEY_MAX];

    assert(op->what.kind == WFL_REVOKED_JTI || strlen(op->what.kid) == WFL_KID_LEN);
    op->rc = WFL_PENDING;
    op->created = op->own.counted = false;
    op->own.store = s;
    op->own.entry = new_entry(s, row_of(&op->what, row));
    if (op->own.entry == NULL)
        return op->rc = wfl_fail(&op->err, WFL_NOMEM, "no memory for a revocation");
    op->own.commit = (struct wfl_commit){.durability = WFL_DURABLE,
                                         .bytes = UINT64_C(2) * WFL_RECORD_SMALL_MAX,
                                         .apply = revoke_apply,
                                         .done = revoke_done,
                                         .arg = op};
    wfl_code rc = wfl_engine_commit(s->engine, &op->own.commit);
    if (rc == WFL_PENDING) return rc; /* it may be done and gone */
    wfl_alloc_free(s->alloc, op->own.entry);
    op->own.entry = NULL;
    op->err = op->own.commit.err;
    return op->rc = rc;
}

/* ---- looking up */

bool wfl_store_revoked(struct wfl_store *s, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder)
{
    struct revocation_table *t = s->revocations;
    struct wfl_revocation    asked = {.jti = *jti}, held = {.kind = WFL_REVOKED_KID};
    uint8_t                  row[ROW_KEY_MAX];
    bool                     found;

    if (atomic_load(&t->count) == 0) return false;
    /* A key's thumbprint has its length; a link that says another one is trusted by nobody. */
    if (!take_text(kid, WFL_KID_LEN, asked.kid) || kid.len != WFL_KID_LEN ||
        !take_text(holder, WFL_KID_LEN, held.kid) || holder.len != WFL_KID_LEN)
        return true;
    pthread_rwlock_rdlock(&t->lock);
    found = is_there_locked(t, row_of(&held, row));
    for (int kind = WFL_REVOKED_JTI; !found && kind <= WFL_REVOKED_LINK; kind++) {
        asked.kind = (enum wfl_revocation_kind)kind;
        found = is_there_locked(t, row_of(&asked, row));
    }
    pthread_rwlock_unlock(&t->lock);
    return found;
}

uint64_t wfl_store_revocation_epoch(const struct wfl_store *s)
{
    return atomic_load(&s->revocations->epoch);
}

uint64_t wfl_store_revocation_count(const struct wfl_store *s)
{
    return atomic_load(&s->revocations->count);
}

/* `from` behind a row: the smallest key above it. */
static wfl_slice behind(wfl_slice row, uint8_t out[ROW_KEY_MAX + 1])
{
    memcpy(out, row.data, row.len);
    out[row.len] = 0;
    return wfl_slice_of(out, row.len + 1);
}

wfl_code wfl_store_revocations(struct wfl_store *s, const struct wfl_revocation *after,
                               uint32_t limit, struct wfl_revocation *out, uint32_t *count,
                               bool *more, wfl_error *err)
{
    uint8_t                 row[ROW_KEY_MAX], from[ROW_KEY_MAX + 1];
    struct wfl_engine_range range = {.space = WFL_SPACE_REVOCATIONS, .limit = limit};
    wfl_code                rc;

    *count = 0;
    if (after != NULL) range.from = behind(row_of(after, row), from);
    rc = wfl_wait_range(s, &range, err);
    for (; rc == WFL_OK && *count < range.count; (*count)++)
        rc = read_pair(range.pairs[*count].key, range.pairs[*count].value, &out[*count], err);
    *more = range.more;
    wfl_engine_range_free(&range);
    return rc;
}

/* ---- forgetting what has ended */

struct forgetting {
    struct wfl_store     *store;
    wfl_slice             row, due_row;
    bool                  gone;
    struct wfl_revocation what;
};

static wfl_code forget_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct forgetting *f = c->arg;
    bool               known = false;
    wfl_code           rc = wfl_txn_delete(t, WFL_SPACE_DUE, f->due_row, err);

    if (rc == WFL_OK) rc = look_up(t, f->row, &f->what, &known, err);
    if (rc != WFL_OK || !known) return rc;
    f->gone = f->what.kind == WFL_REVOKED_LINK &&
              f->what.expires_ms + KEPT_MS <= wfl_clock_unix_ms(f->store->clock);
    return f->gone ? wfl_txn_delete(t, WFL_SPACE_REVOCATIONS, f->row, err) : WFL_OK;
}

/* The committer's parts of the table change on the committer alone: in a commit of their own, that
 * writes nothing. Where it cannot be made the entry stays until the store is opened again. */
static wfl_code take_out_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct forgetting *f = c->arg;
    bool               known;
    wfl_code           rc = look_up(t, f->row, &f->what, &known, err);

    if (rc != WFL_OK || known) return rc; /* revoked anew meanwhile */
    struct revoked *e = take_out(f->store->revocations, f->row);
    if (e != NULL) uncount(f->store, &f->what);
    wfl_alloc_free(f->store->alloc, e);
    return WFL_OK;
}

wfl_code wfl_revocations_forget(struct wfl_store *s, wfl_slice row, wfl_slice due_row,
                                wfl_error *err)
{
    struct forgetting  f = {.store = s, .row = row, .due_row = due_row};
    struct wait_commit commit = {.apply = forget_apply,
                                 .arg = &f,
                                 .bytes = WFL_RECORD_SMALL_MAX,
                                 .durability = WFL_BUFFERED};
    wfl_code           rc = WFL_OK;

    if (row.len == 0 || row.len > ROW_KEY_MAX)
        f.row = WFL_S("?"); /* no row of ours: nothing there */
    rc = wfl_wait_commit(s, &commit, err);
    if (rc != WFL_OK || !f.gone) return rc;
    commit.apply = take_out_apply;
    return wfl_wait_commit(s, &commit, err);
}

/* ---- opening and closing */

static wfl_code load_page(struct wfl_store *s, struct wfl_engine_range *range, wfl_error *err)
{
    wfl_code rc = wfl_wait_range(s, range, err);

    for (uint32_t i = 0; rc == WFL_OK && i < range->count; i++) {
        struct wfl_revocation what;
        struct revoked       *e;

        rc = read_pair(range->pairs[i].key, range->pairs[i].value, &what, err);
        if (rc == WFL_OK) rc = count(s, &what, err);
        if (rc != WFL_OK) break;
        e = new_entry(s, range->pairs[i].key);
        if (e == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a revocation");
        insert(s->revocations, e);
    }
    return rc;
}

wfl_code wfl_revocations_load(struct wfl_store *s, wfl_error *err)
{
    struct wfl_engine_range  range = {.space = WFL_SPACE_REVOCATIONS, .limit = PAGE_PAIRS};
    uint8_t                  from[ROW_KEY_MAX + 1];
    struct revocation_table *t = wfl_alloc_zero(s->alloc, 1, sizeof *t);
    wfl_code                 rc;
    bool                     more;

    if (t == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for revocations");
    if (pthread_rwlock_init(&t->lock, NULL) != 0) {
        wfl_alloc_free(s->alloc, t);
        return wfl_fail(err, WFL_NOMEM, "no lock for revocations");
    }
    wfl_random_fill(s->random, t->seed, sizeof t->seed);
    t->epoch = 1;
    s->revocations = t;
    do {
        rc = load_page(s, &range, err);
        more = rc == WFL_OK && range.more;
        if (more) range.from = behind(range.pairs[range.count - 1].key, from);
        wfl_engine_range_free(&range);
    } while (more);
    return rc;
}

void wfl_revocations_fini(struct wfl_store *s)
{
    struct revocation_table *t = s->revocations;

    if (t == NULL) return;
    for (size_t i = 0; i < HEADS; i++) {
        while (t->heads[i] != NULL) {
            struct revoked *e = t->heads[i];

            t->heads[i] = e->next;
            wfl_alloc_free(s->alloc, e);
        }
    }
    for (size_t i = 0; i < WFL_COUNT(t->signers); i++) {
        while (t->signers[i] != NULL) {
            struct signer *signer = t->signers[i];

            t->signers[i] = signer->next;
            wfl_alloc_free(s->alloc, signer);
        }
    }
    pthread_rwlock_destroy(&t->lock);
    wfl_alloc_free(s->alloc, t);
    s->revocations = NULL;
}
