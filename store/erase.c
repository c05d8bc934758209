/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing one version for good. What is left is as if it had never been: where it was the newest,
 * the one before it takes its place, be that an object or a tombstone. Which one that is, is looked
 * up before the commit and checked in it; a key that changed meanwhile is looked at again. What is
 * not kept any more goes first, so that it does not move up. The stream gets an erase with a
 * version of its own.
 *
 * Fails with VERSION_NOT_FOUND, BUCKET_NOT_FOUND and what commits may say. */
#include "store/history.h"

#define ATTEMPTS_MAX 16

struct erase {
    struct wfl_store *store;
    struct wfl_erase *op;
    uint32_t          id;
    wfl_ulid          current;    /* as seen; zero: none */
    bool              is_current; /* what is to be erased */
    bool              is_newest;  /* a tombstone, with nothing above it */
    bool              has_before; /* a version that would take its place */
    wfl_ulid          before;
    bool              overtaken;
    bool              has_rest; /* versions that are not kept, and not removed yet */
};

/* ---- looking */

static wfl_code look(struct erase *e, const struct bucket_view *b, wfl_error *err)
{
    struct line_entry entry = {0};
    struct line       line;
    bool              found = false, first = true;
    wfl_code          rc = line_open(&line, e->store, b, e->op->key, err);

    if (rc != WFL_OK) return rc;
    e->has_before = e->is_newest = e->is_current = e->has_rest = false;
    while ((rc = line_next(&line, &entry, err)) == WFL_OK) {
        e->has_rest |= !entry.current && !entry.visible;
        if (found) {
            if (!e->is_newest || e->has_before) continue; /* nothing takes its place */
            e->has_before = true;
            e->before = entry.version;
            continue;
        }
        found = wfl_ulid_cmp(&entry.version, &e->op->version) == 0 && entry.visible;
        e->is_current = found && entry.current;
        e->is_newest = found && first;
        first = false;
    }
    e->current = line.current;
    line_close(&line);
    if (rc == WFL_NOT_FOUND) rc = WFL_OK;
    if (rc == WFL_OK && !found) {
        char text[WFL_ULID_TEXT_LEN + 1];

        wfl_ulid_format(&e->op->version, text);
        rc = wfl_fail(err, WFL_VERSION_NOT_FOUND, "key %.*s has no version %s", WFL_FMT(e->op->key),
                      text);
    }
    return rc;
}

/* ---- committing */

static wfl_code take_place(struct erase *e, struct wfl_txn *t, struct bucket *b,
                           const struct current *current, wfl_error *err)
{
    const struct wfl_record_pairs none = {0};
    const struct wfl_record_pairs before =
        current->stored ? current->record.tags : (struct wfl_record_pairs){0};
    struct wfl_record_object record = {0};
    uint8_t                  row_space[WFL_HISTORY_KEY_MAX], space[WFL_OBJECT_KEY_MAX];
    wfl_slice                row = wfl_key_history(e->id, e->op->key, &e->before, row_space);
    wfl_slice                object = wfl_key_object(e->id, e->op->key, space);
    struct wfl_pin           pin = {0};
    bool                     put = false;
    wfl_code                 rc = WFL_OK;

    if (e->has_before) {
        rc = wfl_txn_get(t, WFL_SPACE_HISTORY, row, &pin, err);
        if (rc == WFL_OK) rc = wfl_record_load(pin.value, e->op->key, &record, err);
        e->overtaken = rc == WFL_NOT_FOUND;
        put = rc == WFL_OK && record.storage != WFL_RECORD_TOMBSTONE;
    }
    if (rc == WFL_OK && put) rc = wfl_txn_put(t, WFL_SPACE_OBJECTS, object, &pin.value, 1, err);
    if (rc == WFL_OK && put) rc = wfl_txn_delete(t, WFL_SPACE_HISTORY, row, err);
    /* It may have run out while it was no longer the current one. */
    if (rc == WFL_OK && put && b->settings.expire_seconds >= 0)
        rc = wfl_write_due(e->store, t,
                           wfl_ulid_ms(&e->before) + 1000 * (uint64_t)b->settings.expire_seconds,
                           WFL_DUE_EXPIRE, e->id, e->op->key, err);
    if (rc == WFL_OK && !put && current->stored)
        rc = wfl_txn_delete(t, WFL_SPACE_OBJECTS, object, err);
    if (rc == WFL_OK)
        rc = wfl_tags_replace(t, e->id, e->op->key, &before, put ? &record.tags : &none, err);
    if (rc == WFL_OK) {
        b->group.objects += (uint64_t)put - (uint64_t)current->stored;
        b->group.bytes += (put ? record.size : 0) - (current->stored ? current->size : 0);
    }
    wfl_pin_release(&pin);
    return rc;
}

static wfl_code write_erase(struct erase *e, struct wfl_txn *t, struct bucket *b,
                            const struct current *current, wfl_error *err)
{
    struct wfl_record_change change = {
        .op = WFL_CHANGE_ERASE, .key = wfl_to_record(e->op->key), .by = wfl_to_record(e->op->by)};
    wfl_ulid version;
    wfl_code rc = wfl_store_next_version(e->store, &version, err);

    memcpy(change.jti, e->op->jti.bytes, sizeof change.jti);
    memcpy(change.erased, e->op->version.bytes, sizeof change.erased);
    if (rc == WFL_OK) rc = wfl_change_write(e->store, t, e->id, &version, &change, err);
    if (rc == WFL_OK && e->is_current)
        rc = wfl_drop_content(e->store, t, e->id, &current->record, err);
    else if (rc == WFL_OK)
        rc = wfl_history_remove(e->store, t, e->id, e->op->key, &e->op->version, err);
    e->overtaken = rc == WFL_NOT_FOUND;
    if (rc == WFL_OK)
        rc = wfl_once_keep(e->op->once, t, &(struct wfl_outcome){.version = version}, err);
    if (rc == WFL_OK && e->is_newest) rc = take_place(e, t, b, current, err);
    if (rc != WFL_OK) return rc;
    b->group.version = version;
    wfl_buckets_touch(e->store, b);
    e->op->erasure = version;
    return WFL_OK;
}

static wfl_code apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct erase  *e = c->arg;
    struct bucket *b = wfl_buckets_find(e->store, e->op->bucket);
    struct current current;
    wfl_code       rc;

    if (b == NULL || b->id != e->id) return wfl_fail_no_bucket(err, e->op->bucket);
    rc = wfl_judge_current(e->store, t, b, e->op->key, &current, err);
    if (rc != WFL_OK) return rc;
    e->overtaken = wfl_ulid_cmp(&current.version, &e->current) != 0;
    rc = e->overtaken ? wfl_fail(err, WFL_NOT_FOUND, "the key has changed")
                      : write_erase(e, t, b, &current, err);
    wfl_current_fini(&current);
    return rc;
}

wfl_code wfl_store_erase(struct wfl_store *s, struct wfl_erase *op, wfl_error *err)
{
    struct erase       e = {.store = s, .op = op};
    struct bucket_view b;
    wfl_code           rc;

    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        rc = wfl_buckets_look_up(s, op->bucket, &b, err);
        if (rc == WFL_OK) rc = look(&e, &b, err);
        if (rc != WFL_OK) return rc;
        e.id = b.id;
        if (e.has_rest) { /* it would be kept again: there is one less */
            rc = wfl_history_prune(s, e.id, op->key, err);
            if (rc != WFL_OK) return rc;
            continue;
        }
        e.overtaken = false;
        rc = wfl_wait_commit(s,
                             &(struct wait_commit){.apply = apply,
                                                   .arg = &e,
                                                   .bytes = UINT64_C(4) * WFL_RECORD_SMALL_MAX,
                                                   .flow = wfl_flow_of(op->bucket),
                                                   .durability = op->durability,
                                                   .once = op->once},
                             err);
        if (rc == WFL_OK && op->once != NULL) op->erasure = op->once->outcome.version;
        if (rc == WFL_OK || !e.overtaken) return rc;
    }
    return wfl_fail(err, WFL_OVERLOADED, "the key is changed faster than a version is erased");
}
