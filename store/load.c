/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the store's own records at opening: the last version and bucket id, every bucket, every
 * bucket's counters. The caller's thread waits for each page.
 *
 * Fails with CORRUPT_OBJECT where a record does not verify or two of them contradict each other: a
 * store that does not know its counters or its last version would break its promises quietly. A
 * store of a newer format is refused with IO and a text that says so. */
#include "store/chunks.h"

#define PAGE_PAIRS 1000

static wfl_code damaged(wfl_error *err, const char *what, uint32_t id, const char *wrong)
{
    return wfl_fail(err, WFL_CORRUPT_OBJECT, "%s %lu: %s", what, (unsigned long)id, wrong);
}

static struct wfl_bucket_settings from_record(const struct wfl_record_settings *r)
{
    return (struct wfl_bucket_settings){.versions = r->versions,
                                        .retain_seconds = r->retain_seconds,
                                        .quota_bytes = r->quota_bytes,
                                        .quota_objects = r->quota_objects,
                                        .max_object_bytes = r->max_object_bytes,
                                        .requests_per_second = r->requests_per_second,
                                        .bytes_per_second = r->bytes_per_second,
                                        .expire_seconds = r->expire_seconds,
                                        .change_retain_seconds = r->change_retain_seconds,
                                        .public_read = r->public_read};
}

static wfl_code load_bucket(struct wfl_store *s, const struct wfl_pair *pair, wfl_error *err)
{
    struct wfl_record_bucket record;
    uint32_t                 id = 0;
    const char              *wrong;

    if (!wfl_key_read_bucket(pair->key, &id))
        return damaged(err, "record of bucket", id, "its key is malformed");
    wrong = wfl_record_bucket_read(pair->value.data, pair->value.len, &record);
    if (wrong != NULL) return damaged(err, "record of bucket", id, wrong);
    if (record.id != id || id == 0 || id > s->last_bucket_id)
        return damaged(err, "record of bucket", id, "its id is not one that was given");
    wfl_slice name = wfl_from_record(record.name);
    if (!wfl_name_bucket_valid(name))
        return damaged(err, "record of bucket", id, "its name is no bucket's");
    if (wfl_buckets_find(s, name) != NULL)
        return damaged(err, "record of bucket", id, "another one has its name");
    wfl_code rc = wfl_buckets_reserve(s, err);
    if (rc != WFL_OK) return rc;

    struct bucket *b = wfl_alloc_zero(s->alloc, 1, sizeof *b);
    if (b == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for a bucket");
    b->id = id;
    b->settings = b->shown = from_record(&record.settings);
    memcpy(b->created.bytes, record.created, sizeof b->created.bytes);
    b->visible = b->stands = true;
    b->name_len = name.len;
    memcpy(b->name, name.data, name.len);
    wfl_buckets_note_rates(s, b);
    wfl_buckets_insert(s, b);
    return WFL_OK;
}

/* One look-up a bucket, not a second pass over a range: the table is by name, counters by id. */
static wfl_code read_meta(struct wfl_store *s, wfl_slice key, struct wfl_pin *pin, wfl_error *err)
{
    return wfl_engine_read(s->engine, WFL_SPACE_META, key, pin, err);
}

static wfl_code load_counters(struct wfl_store *s, struct bucket *b, wfl_error *err)
{
    struct wfl_record_counters record;
    uint8_t                    key[WFL_COUNTERS_KEY_LEN];
    struct wfl_pin             pin = {0};
    wfl_code                   rc = read_meta(s, wfl_key_counters(b->id, key), &pin, err);

    if (rc == WFL_NOT_FOUND) return damaged(err, "counters of bucket", b->id, "there are none");
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_counters_read(pin.value.data, pin.value.len, &record);
    if (wrong == NULL && memcmp(record.version, s->versions.last.bytes, 16) > 0)
        wrong = "their version is greater than the store's last";
    if (wrong == NULL) {
        b->group.objects = record.objects;
        b->group.bytes = record.bytes;
        memcpy(b->group.version.bytes, record.version, sizeof b->group.version.bytes);
        memcpy(b->group.floor.bytes, record.floor, sizeof b->group.floor.bytes);
        memcpy(b->group.changes_floor.bytes, record.changes_floor,
               sizeof b->group.changes_floor.bytes);
        b->published = b->group;
    }
    wfl_pin_release(&pin);
    return wrong == NULL ? WFL_OK : damaged(err, "counters of bucket", b->id, wrong);
}

static wfl_code load_store(struct wfl_store *s, wfl_error *err)
{
    struct wfl_record_store record;
    struct wfl_pin          pin = {0};
    wfl_code                rc = read_meta(s, WFL_S(WFL_STORE_KEY), &pin, err);

    s->format = WFL_RECORD_FORMAT;
    if (rc == WFL_NOT_FOUND) return WFL_OK; /* a new store: no version was ever given */
    if (rc != WFL_OK) return rc;
    const char *wrong = wfl_record_store_read(pin.value.data, pin.value.len, &record);
    wfl_pin_release(&pin); /* nothing of what was read points into it */
    if (wrong != NULL) return wfl_fail(err, WFL_CORRUPT_OBJECT, "record of the store: %s", wrong);
    if (record.format > WFL_RECORD_FORMAT)
        return wfl_fail(err, WFL_IO, "a newer release wrote it: format %lu, this one knows %d",
                        (unsigned long)record.format, WFL_RECORD_FORMAT);
    s->format = record.format;
    memcpy(s->versions.last.bytes, record.version, sizeof s->versions.last.bytes);
    s->last_bucket_id = record.bucket_id;
    return WFL_OK;
}

static wfl_code load_page(struct wfl_store *s, struct wfl_engine_range *range, wfl_error *err)
{
    wfl_code rc = wfl_wait_range(s, range, err);

    for (uint32_t i = 0; rc == WFL_OK && i < range->count; i++)
        rc = load_bucket(s, &range->pairs[i], err);
    return rc;
}

static wfl_code load_buckets(struct wfl_store *s, wfl_error *err)
{
    struct wfl_engine_range range = {.space = WFL_SPACE_BUCKETS, .limit = PAGE_PAIRS};
    uint8_t                 from[WFL_ID_LEN + 1] = {0};
    wfl_code                rc;

    do {
        rc = load_page(s, &range, err);
        if (rc == WFL_OK && range.more) { /* go on at the smallest key above the last */
            memcpy(from, range.pairs[range.count - 1].key.data, WFL_ID_LEN);
            range.from = wfl_slice_of(from, sizeof from);
        }
        wfl_engine_range_free(&range);
    } while (rc == WFL_OK && range.more);
    return rc;
}

wfl_code wfl_store_load(struct wfl_store *s, wfl_error *err)
{
    wfl_code rc = load_store(s, err);

    if (rc != WFL_OK) return rc;
    rc = load_buckets(s, err);
    for (size_t i = 0; rc == WFL_OK && i < s->table_count; i++)
        rc = load_counters(s, s->table[i], err);
    return rc;
}
