/* SPDX-License-Identifier: Apache-2.0
 *
 * See listing.h. */
#include "server/listing.h"

#include "server/wire.h"

/* ---- the question */

wfl_code listing_check_key_bytes(const struct wfl_param *p, wfl_error *err)
{
    if (p->value.len <= WFL_KEY_MAX && wfl_utf8_valid(p->value)) return WFL_OK;
    return wfl_fail(err, WFL_INVALID_QUERY, "%s must be valid UTF-8 of at most %d bytes", p->name,
                    WFL_KEY_MAX);
}

wfl_code listing_read_limit(const struct wfl_param *p, uint32_t *out, wfl_error *err)
{
    uint64_t limit = LISTING_LIMIT_DEFAULT;

    if (p->given && (!wfl_slice_to_u64(p->value, WFL_SCAN_LIMIT_MAX, &limit) || limit == 0))
        return wfl_fail(err, WFL_INVALID_QUERY, "limit is a whole number from 1 to %d",
                        WFL_SCAN_LIMIT_MAX);
    *out = (uint32_t)limit;
    return WFL_OK;
}

wfl_code listing_read_cursor(const struct wfl_param *p, wfl_slice *out, wfl_error *err)
{
    if (p->given && p->value.len == 0)
        return wfl_fail(err, WFL_INVALID_QUERY, "cursor is empty; leave it out for the first page");
    *out = p->value;
    return WFL_OK;
}

wfl_code listing_read_include(const struct wfl_param *p, struct listing_include *out,
                              wfl_error *err)
{
    wfl_slice list = p->value;
    bool      more = list.len > 0;

    *out = (struct listing_include){0};
    while (more) {
        wfl_slice word;

        more = wfl_slice_split(&list, ',', &word);
        if (wfl_slice_eq(word, WFL_S("meta"))) {
            out->meta = true;
        } else if (wfl_slice_eq(word, WFL_S("tags"))) {
            out->tags = true;
        } else if (wfl_slice_eq(word, WFL_S("value"))) {
            out->value = true;
        } else {
            return wfl_fail(err, WFL_INVALID_QUERY, "include takes any of meta,tags,value");
        }
    }
    return WFL_OK;
}

/* ---- the page */

static void write_pairs(wfl_json *json, const char *name, const struct wfl_name_value *pairs,
                        uint32_t count)
{
    wfl_json_key(json, name);
    wfl_json_object(json);
    for (uint32_t i = 0; i < count; i++) {
        wfl_json_key_slice(json, pairs[i].name);
        wfl_json_str(json, pairs[i].value);
    }
    wfl_json_end(json);
}

static void write_value(wfl_json *json, wfl_slice value)
{
    char *text = wfl_alloc_get(&wfl_alloc_libc, WFL_B64_LEN(value.len) + 1);

    wfl_json_key(json, "value");
    if (text == NULL) {
        json->out->failed = true;
        wfl_json_null(json);
        return;
    }
    wfl_b64_encode(value, text);
    wfl_json_cstr(json, text);
    wfl_alloc_free(&wfl_alloc_libc, text);
}

static void write_item(wfl_json *json, const struct listing_include *include,
                       const struct wfl_scan_item *item)
{
    char text[65];

    wfl_json_object(json);
    wfl_json_key(json, "key");
    wfl_json_str(json, item->key);
    wfl_ulid_format(&item->object.version, text);
    wfl_json_key(json, "version");
    wfl_json_cstr(json, text);
    wfl_json_key(json, "size");
    wfl_json_u64(json, item->object.size);
    wfl_hex_encode(wfl_slice_of(item->object.blake3.bytes, WFL_HASH_LEN), text);
    wfl_json_key(json, "blake3");
    wfl_json_cstr(json, text);
    wfl_json_key(json, "content_type");
    wfl_json_str(json, item->object.content_type);
    wfl_time_format_ms(wfl_ulid_ms(&item->object.version), text);
    wfl_json_key(json, "modified");
    wfl_json_cstr(json, text);
    if (include->meta) write_pairs(json, "meta", item->object.meta, item->object.meta_count);
    if (include->tags) write_pairs(json, "tags", item->object.tags, item->object.tag_count);
    if (item->has_value) write_value(json, item->value);
    wfl_json_end(json);
}

static void write_prefixes(wfl_json *json, const struct listing_page *page)
{
    wfl_json_key(json, "prefixes");
    wfl_json_array(json);
    for (uint32_t i = 0; i < page->prefix_count; i++)
        wfl_json_str(json, page->prefixes[i]);
    wfl_json_end(json);
}

void listing_write_json(const struct listing_page *page, wfl_buf *out)
{
    char     at[WFL_ULID_TEXT_LEN + 1];
    wfl_json json;

    wfl_buf_init(out, &wfl_alloc_libc, LISTING_BYTES_MAX);
    wfl_json_init(&json, out);
    wfl_json_object(&json);
    wfl_json_key(&json, "items");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < page->count; i++)
        write_item(&json, &page->include, &page->items[i]);
    wfl_json_end(&json);
    if (page->has_prefixes) write_prefixes(&json, page);
    wfl_ulid_format(&page->at, at);
    wfl_json_key(&json, "at");
    wfl_json_cstr(&json, at);
    if (page->next.len > 0) {
        wfl_json_key(&json, "cursor");
        wfl_json_str(&json, page->next);
    }
    wfl_json_end(&json);
}

void listing_write(struct request *r, const struct listing_page *page)
{
    if (wire_wanted(r))
        wire_write_listing(page, &r->text);
    else
        listing_write_json(page, &r->text);
}

void listing_answer(struct request *r)
{
    struct answer a = {0};

    if (wire_wanted(r))
        answer_wire(r, &a, 200, &r->text);
    else
        answer_json(r, &a, 200, &r->text);
}
