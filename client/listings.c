/* SPDX-License-Identifier: Apache-2.0
 *
 * Scans and buckets. Strings of a page point into its JSON, which the page keeps. */
#include "client/client_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void wfldb_page_free(wfldb_page *p)
{
    free(p->items);
    free(p->prefixes);
    json_decref(p->own);
    memset(p, 0, sizeof *p);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static int read_page(struct call *c, wfldb_page *out)
{
    json_t *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    json_t *items = json_object_get(root, "items"), *prefixes = json_object_get(root, "prefixes");

    memset(out, 0, sizeof *out);
    if (!json_is_array(items) || !json_is_array(prefixes)) {
        json_decref(root);
        return call_fail(c, "answer", "the listing is not understood; check the endpoint");
    }
    out->own = root;
    out->item_count = json_array_size(items);
    out->prefix_count = json_array_size(prefixes);
    out->items = calloc(out->item_count + 1, sizeof *out->items);
    out->prefixes = calloc(out->prefix_count + 1, sizeof *out->prefixes);
    if (out->items == NULL || out->prefixes == NULL) {
        wfldb_page_free(out);
        return call_fail(c, "memory", "out of memory");
    }
    for (size_t i = 0; i < out->item_count; i++) {
        const json_t *item = json_array_get(items, i);

        out->items[i] = (wfldb_item){
            .key = text_of(item, "key"),
            .version = text_of(item, "version"),
            .blake3 = text_of(item, "blake3"),
            .content_type = text_of(item, "content_type"),
            .modified = text_of(item, "modified"),
            .size = (uint64_t)json_integer_value(json_object_get(item, "size")),
        };
    }
    for (size_t i = 0; i < out->prefix_count; i++) {
        const char *prefix = json_string_value(json_array_get(prefixes, i));

        out->prefixes[i] = prefix == NULL ? "" : prefix;
    }
    out->at = text_of(root, "at");
    out->cursor = json_string_value(json_object_get(root, "cursor"));
    return 0;
}

int wfldb_scan(wfldb *db, const char *bucket, const wfldb_scan_options *o, wfldb_page *out,
               wfldb_error *err)
{
    static const wfldb_scan_options none;
    struct call                     c;
    char                            limit[16];
    int                             rc;

    if (o == NULL) o = &none;
    snprintf(limit, sizeof limit, "%d", o->limit);
    call_init(&c, db, "GET", bucket, "scan", err);
    call_param(&c, "prefix", o->prefix);
    call_param(&c, "after", o->after);
    call_param(&c, "end", o->end);
    call_param(&c, "delimiter", o->delimiter);
    call_param(&c, "limit", o->limit == 0 ? NULL : limit);
    call_param(&c, "reverse", o->reverse ? "true" : NULL);
    call_param(&c, "cursor", o->cursor);
    rc = call_send(&c);
    if (rc == 0) rc = read_page(&c, out);
    call_fini(&c);
    return rc;
}

/* The answer's text, once it is known to be a JSON object. */
static int take_document(struct call *c, char **document)
{
    json_t *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    bool    good = json_is_object(root);

    json_decref(root);
    return good ? call_take_text(c, document)
                : call_fail(c, "answer", "the answer is no JSON object; check the endpoint");
}

static int fetch_document(struct call *c, char **document)
{
    int rc = call_send(c);

    if (rc == 0 && document != NULL) rc = take_document(c, document);
    call_fini(c);
    return rc;
}

int wfldb_bucket_create(wfldb *db, const char *bucket, const char *settings_json, char **document,
                        wfldb_error *err)
{
    struct call c;
    char        hex[65];

    call_init(&c, db, "PUT", bucket, NULL, err);
    c.has_body = true;
    c.body = settings_json;
    c.body_len = settings_json == NULL ? 0 : strlen(settings_json);
    wfl_auth_sha256_hex(wfl_slice_of(c.body, c.body_len), hex);
    call_header(&c, "X-WflDB-Content-SHA256", wfl_slice_str(hex));
    call_header(&c, "Content-Type", WFL_S("application/json"));
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
