/* SPDX-License-Identifier: Apache-2.0
 *
 * Scans, queries and buckets. Strings of a page point into its JSON, which the page keeps. */
#include "client/client_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void free_items(wfldb_page *p)
{
    for (size_t i = 0; p->items != NULL && i < p->item_count; i++) {
        free((void *)(uintptr_t)p->items[i].meta);
        free((void *)(uintptr_t)p->items[i].tags);
        free((void *)(uintptr_t)p->items[i].value);
    }
    free(p->items);
}

void wfldb_page_free(wfldb_page *p)
{
    free_items(p);
    free(p->prefixes);
    json_decref(p->own);
    memset(p, 0, sizeof *p);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

/* False: out of memory. */
static bool read_pairs(json_t *object, const wfldb_pair **out, size_t *count)
{
    wfldb_pair *pairs;
    const char *name;
    json_t     *value;

    if (!json_is_object(object)) return true;
    pairs = calloc(json_object_size(object) + 1, sizeof *pairs);
    if (pairs == NULL) return false;
    json_object_foreach(object, name, value)
    {
        const char *text = json_string_value(value);

        pairs[(*count)++] = (wfldb_pair){name, text == NULL ? "" : text};
    }
    *out = pairs;
    return true;
}

/* False: out of memory, or `why`. */
static bool read_value(const json_t *value, wfldb_item *out, const char **why)
{
    wfl_slice text = wfl_slice_of(json_string_value(value), json_string_length(value));
    size_t    cap = text.len / 4 * 3 + 3;
    uint8_t  *bytes;

    if (!json_is_string(value)) return true;
    bytes = malloc(cap);
    if (bytes == NULL) return false;
    if (!wfl_b64_decode(text, bytes, cap, &out->value_len)) {
        free(bytes);
        *why = "a content in the listing is no base64";
        return false;
    }
    out->value = bytes;
    return true;
}

static bool read_item(const json_t *item, wfldb_item *out, const char **why)
{
    *out = (wfldb_item){
        .key = text_of(item, "key"),
        .version = text_of(item, "version"),
        .blake3 = text_of(item, "blake3"),
        .content_type = text_of(item, "content_type"),
        .modified = text_of(item, "modified"),
        .size = (uint64_t)json_integer_value(json_object_get(item, "size")),
    };
    return read_pairs(json_object_get(item, "meta"), &out->meta, &out->meta_count) &&
           read_pairs(json_object_get(item, "tags"), &out->tags, &out->tag_count) &&
           read_value(json_object_get(item, "value"), out, why);
}

/* A query has no prefixes. */
static int read_page(struct call *c, wfldb_page *out)
{
    json_t     *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    json_t     *items = json_object_get(root, "items");
    json_t     *prefixes = json_object_get(root, "prefixes");
    const char *why = NULL;
    bool        ok;

    memset(out, 0, sizeof *out);
    if (!json_is_array(items) || (prefixes != NULL && !json_is_array(prefixes))) {
        json_decref(root);
        return call_fail(c, "answer", "the listing is not understood; check the endpoint");
    }
    out->own = root;
    out->item_count = json_array_size(items);
    out->prefix_count = json_array_size(prefixes);
    out->items = calloc(out->item_count + 1, sizeof *out->items);
    out->prefixes = calloc(out->prefix_count + 1, sizeof *out->prefixes);
    ok = out->items != NULL && out->prefixes != NULL;
    for (size_t i = 0; ok && i < out->item_count; i++)
        ok = read_item(json_array_get(items, i), &out->items[i], &why);
    if (!ok) {
        wfldb_page_free(out);
        return call_fail(c, why == NULL ? "memory" : "answer", why == NULL ? "out of memory" : why);
    }
    for (size_t i = 0; i < out->prefix_count; i++) {
        const char *prefix = json_string_value(json_array_get(prefixes, i));

        out->prefixes[i] = prefix == NULL ? "" : prefix;
    }
    out->at = text_of(root, "at");
    out->cursor = json_string_value(json_object_get(root, "cursor"));
    return 0;
}

static int fetch_page(struct call *c, wfldb_page *out)
{
    int rc = call_send(c);

    if (rc == 0) rc = read_page(c, out);
    call_fini(c);
    return rc;
}

int wfldb_scan(wfldb *db, const char *bucket, const wfldb_scan_options *o, wfldb_page *out,
               wfldb_error *err)
{
    static const wfldb_scan_options none;
    struct call                     c;
    char                            limit[16];

    if (o == NULL) o = &none;
    snprintf(limit, sizeof limit, "%d", o->limit);
    call_init(&c, db, "GET", bucket, "scan", err);
    call_param(&c, "prefix", o->prefix);
    call_param(&c, "after", o->after);
    call_param(&c, "end", o->end);
    call_param(&c, "delimiter", o->delimiter);
    call_param(&c, "limit", o->limit == 0 ? NULL : limit);
    call_param(&c, "reverse", o->reverse ? "true" : NULL);
    call_param(&c, "at", o->at);
    call_param(&c, "include", o->include);
    call_param(&c, "cursor", o->cursor);
    return fetch_page(&c, out);
}

/* "tag.kind", in the call's arena. NULL: out of memory, which the call will tell. */
static const char *tag_param(struct call *c, const char *name)
{
    size_t len = strlen(name) + sizeof "tag.";
    char  *out = wfl_arena_get(&c->arena, len);

    if (out == NULL)
        c->query.failed = true;
    else
        snprintf(out, len, "tag.%s", name);
    return out;
}

int wfldb_query(wfldb *db, const char *bucket, const wfldb_pair *tags, size_t tag_count,
                const wfldb_query_options *o, wfldb_page *out, wfldb_error *err)
{
    static const wfldb_query_options none;
    struct call                      c;
    char                             limit[16];

    if (o == NULL) o = &none;
    snprintf(limit, sizeof limit, "%d", o->limit);
    call_init(&c, db, "GET", bucket, "query", err);
    for (size_t i = 0; i < tag_count; i++) {
        const char *name = tag_param(&c, tags[i].name);

        if (name != NULL) call_param(&c, name, tags[i].value);
    }
    call_param(&c, "prefix", o->prefix);
    call_param(&c, "limit", o->limit == 0 ? NULL : limit);
    call_param(&c, "include", o->include);
    call_param(&c, "cursor", o->cursor);
    return fetch_page(&c, out);
}

static int fetch_document(struct call *c, char **document)
{
    int rc = call_send(c);

    if (rc == 0 && document != NULL) rc = call_take_document(c, document);
    call_fini(c);
    return rc;
}

int wfldb_bucket_create(wfldb *db, const char *bucket, const char *settings_json, char **document,
                        wfldb_error *err)
{
    struct call c;
    char        hex[65];

    call_init(&c, db, "PUT", bucket, NULL, err);
    call_json_body(&c, settings_json, settings_json == NULL ? 0 : strlen(settings_json), hex);
    return fetch_document(&c, document);
}

int wfldb_bucket_info(wfldb *db, const char *bucket, char **document, wfldb_error *err)
{
    struct call c;

    call_init(&c, db, "GET", bucket, NULL, err);
    return fetch_document(&c, document);
}

int wfldb_bucket_delete(wfldb *db, const char *bucket, wfldb_error *err)
{
    struct call c;

    call_init(&c, db, "DELETE", bucket, NULL, err);
    return fetch_document(&c, NULL);
}

int wfldb_bucket_list(wfldb *db, char **document, wfldb_error *err)
{
    struct call c;

    call_init(&c, db, "GET", NULL, NULL, err);
    return fetch_document(&c, document);
}

int wfldb_bucket_patch(wfldb *db, const char *bucket, const char *patch_json, char **document,
                       wfldb_error *err)
{
    struct call c;
    char        hex[65];

    call_init(&c, db, "PATCH", bucket, NULL, err);
    call_json_body(&c, patch_json, strlen(patch_json), hex);
    return fetch_document(&c, document);
}

/* ---- the scrub */

int wfldb_scrub_start(wfldb *db, uint64_t bytes_per_second, char **document, wfldb_error *err)
{
    struct call c;
    char        body[64] = "{}", hex[65];

    if (bytes_per_second > 0)
        snprintf(body, sizeof body, "{\"bytes_per_second\":%llu}",
                 (unsigned long long)bytes_per_second);
    call_init(&c, db, "POST", "-", "scrub", err);
    call_json_body(&c, body, strlen(body), hex);
    return fetch_document(&c, document);
}

int wfldb_scrub_status(wfldb *db, char **document, wfldb_error *err)
{
    struct call c;

    call_init(&c, db, "GET", "-", "scrub", err);
    return fetch_document(&c, document);
}

int wfldb_scrub_stop(wfldb *db, char **document, wfldb_error *err)
{
    struct call c;

    call_init(&c, db, "DELETE", "-", "scrub", err);
    return fetch_document(&c, document);
}
