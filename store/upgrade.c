/* SPDX-License-Identifier: Apache-2.0
 *
 * A store that an earlier release has written, brought to this one's format while it opens.
 *
 * Format 1 knew no tags' index, no change stream and no past. So the tags of all objects that are
 * there are put into the index; and each bucket's floors rise to its last commit: what was before
 * cannot be told any more, which its readers are then told rather than that nothing was.
 *
 * Commits are bounded, and each can be done again: whatever ends this in between, the format is
 * still the old one, and the next opening begins anew. The last commit raises it. */
#include "store/write.h"

#define OBJECTS_A_COMMIT 128
#define BUCKETS_A_COMMIT 512
#define COMMIT_BYTES     (1u << 20) /* about what one has */

struct upgrade {
    struct wfl_store       *store;
    struct wfl_engine_range range;
    uint8_t                 from[WFL_OBJECT_KEY_MAX + 1];
    size_t                  next; /* the bucket whose floors are due */
};

static wfl_code commit(struct upgrade *u,
                       wfl_code (*apply)(struct wfl_commit *, struct wfl_txn *, wfl_error *),
                       enum wfl_durability durability, wfl_error *err)
{
    return wfl_wait_commit(
        u->store,
        &(struct wait_commit){
            .apply = apply, .arg = u, .bytes = COMMIT_BYTES, .durability = durability},
        err);
}

/* ---- tags */

static wfl_code index_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    static const struct wfl_record_pairs none = {0};
    struct upgrade                      *u = c->arg;
    wfl_code                             rc = WFL_OK;

    for (uint32_t i = 0; rc == WFL_OK && i < u->range.count; i++) {
        const struct wfl_pair   *pair = &u->range.pairs[i];
        struct wfl_record_object record;
        uint32_t                 id = 0;

        if (pair->key.len <= WFL_ID_LEN || pair->key.len > WFL_OBJECT_KEY_MAX ||
            !wfl_key_read_bucket(wfl_slice_of(pair->key.data, WFL_ID_LEN), &id))
            return wfl_fail(err, WFL_CORRUPT_OBJECT, "the key of an object is malformed");
        wfl_slice key = wfl_key_of_object(pair->key);
        rc = wfl_record_load(pair->value, key, &record, err);
        if (rc == WFL_OK) rc = wfl_tags_replace(t, id, key, &none, &record.tags, err);
    }
    return rc;
}

static wfl_code index_page(struct upgrade *u, wfl_error *err)
{
    wfl_code rc = wfl_wait_range(u->store, &u->range, err);

    if (rc == WFL_OK && u->range.count > 0) rc = commit(u, index_apply, WFL_BUFFERED, err);
    if (rc == WFL_OK && u->range.more) { /* go on at the smallest key above the last */
        wfl_slice last = u->range.pairs[u->range.count - 1].key;

        memcpy(u->from, last.data, last.len);
        u->from[last.len] = 0;
        u->range.from = wfl_slice_of(u->from, last.len + 1);
    }
    wfl_engine_range_free(&u->range);
    return rc;
}

/* ---- floors */

static bool floors_are_due(const struct upgrade *u)
{
    return u->next < u->store->table_count;
}

static wfl_code floors_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct upgrade *u = c->arg;
    size_t          end = u->next + BUCKETS_A_COMMIT;
    wfl_code        rc = WFL_OK;

    for (; rc == WFL_OK && floors_are_due(u) && u->next < end; u->next++) {
        struct bucket *b = u->store->table[u->next];

        b->group.floor = b->group.changes_floor = b->group.version;
        wfl_buckets_touch(u->store, b);
        rc = wfl_store_write_counters(t, b, err); /* only a group that writes is sealed */
    }
    return rc;
}

static wfl_code format_apply(struct wfl_commit *c, struct wfl_txn *t, wfl_error *err)
{
    struct upgrade *u = c->arg;
    wfl_code        rc;

    u->store->format = WFL_RECORD_FORMAT;
    rc = wfl_store_write_last(t, u->store, err);
    if (rc != WFL_OK) u->store->format = 1;
    return rc;
}

wfl_code wfl_store_upgrade(struct wfl_store *s, wfl_error *err)
{
    struct upgrade u = {.store = s,
                        .range = {.space = WFL_SPACE_OBJECTS, .limit = OBJECTS_A_COMMIT}};
    wfl_code       rc = WFL_OK;

    if (s->format == WFL_RECORD_FORMAT) return WFL_OK;
    do
        rc = index_page(&u, err);
    while (rc == WFL_OK && u.range.more);
    while (rc == WFL_OK && floors_are_due(&u))
        rc = commit(&u, floors_apply, WFL_BUFFERED, err);
    if (rc == WFL_OK) rc = commit(&u, format_apply, WFL_DURABLE, err);
    return rc == WFL_OK ? rc : wfl_wrap(err, "upgrading from format %lu", (unsigned long)s->format);
}
