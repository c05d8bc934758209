/* SPDX-License-Identifier: Apache-2.0
 *
 * ls, mb, rb. A listing is printed page by page as it comes. */
#include "client/commands.h"

#include <jansson.h>
#include <stdlib.h>

#define PAGE_ITEMS 1000

static int list_buckets(struct command *c)
{
    char       *document;
    wfldb_error err;
    json_t     *root, *item;
    size_t      i;

    if (wfldb_bucket_list(c->db, &document, &err) != 0) return command_failed(&err, "ls");
    if (c->json) {
        puts(document);
        free(document);
        return CLI_DONE;
    }
    root = json_loads(document, 0, NULL); /* the library has seen that it is an object */
    json_array_foreach(json_object_get(root, "buckets"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));

        if (name != NULL) puts(name);
    }
    json_decref(root);
    free(document);
    return CLI_DONE;
}

static void print_size(uint64_t size)
{
    printf("%12llu", (unsigned long long)size);
}

/* Items and prefixes are each in order; together they are one ordered list. */
static void print_page(const struct command *c, const wfldb_page *page)
{
    size_t i = 0, p = 0;

    while (i < page->item_count || p < page->prefix_count) {
        if (p < page->prefix_count &&
            (i == page->item_count || strcmp(page->prefixes[p], page->items[i].key) < 0)) {
            if (c->longer) printf("%12s  %-24s  ", "-", "-");
            puts(page->prefixes[p++]);
        } else {
            const wfldb_item *item = &page->items[i++];

            if (c->longer) {
                print_size(item->size);
                printf("  %-24s  ", item->modified);
            }
            puts(item->key);
        }
    }
}

static void print_json_page(const wfldb_page *page, bool *first)
{
    wfl_buf  text;
    wfl_json json;

    for (size_t i = 0; i < page->item_count + page->prefix_count; i++) {
        wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
        wfl_json_init(&json, &text);
        wfl_json_object(&json);
        if (i < page->item_count) {
            wfl_json_key(&json, "key");
            wfl_json_cstr(&json, page->items[i].key);
            wfl_json_key(&json, "version");
            wfl_json_cstr(&json, page->items[i].version);
            wfl_json_key(&json, "size");
            wfl_json_u64(&json, page->items[i].size);
            wfl_json_key(&json, "blake3");
            wfl_json_cstr(&json, page->items[i].blake3);
            wfl_json_key(&json, "content_type");
            wfl_json_cstr(&json, page->items[i].content_type);
            wfl_json_key(&json, "modified");
            wfl_json_cstr(&json, page->items[i].modified);
        } else {
            wfl_json_key(&json, "prefix");
            wfl_json_cstr(&json, page->prefixes[i - page->item_count]);
        }
        wfl_json_end(&json);
        printf("%s%.*s", *first ? "" : ",\n", WFL_FMT(wfl_buf_slice(&text)));
        *first = false;
        wfl_buf_fini(&text);
    }
}

static int list_keys(struct command *c, const char *bucket, const char *prefix)
{
    char              *cursor = NULL;
    wfldb_scan_options options = {
        .prefix = prefix, .delimiter = c->recursive ? NULL : "/", .limit = PAGE_ITEMS};
    wfldb_page  page;
    wfldb_error err;
    int         status = CLI_DONE;
    bool        more = true, first = true;

    while (more && status == CLI_DONE) {
        options.cursor = cursor;
        if (wfldb_scan(c->db, bucket, &options, &page, &err) != 0) {
            status = command_failed(&err, c->words.items[0]);
            break;
        }
        if (c->json) {
            if (first) fputs("[", stdout);
            print_json_page(&page, &first);
        } else {
            print_page(c, &page);
        }
        free(cursor);
        cursor = page.cursor == NULL ? NULL : strdup(page.cursor);
        more = page.cursor != NULL;
        if (more && cursor == NULL) status = cli_fail(CLI_FAILED, "out of memory");
        wfldb_page_free(&page);
        if (c->json && !more) fputs("]\n", stdout);
    }
    free(cursor);
    return status;
}

int command_ls(struct command *c)
{
    const char *prefix;
    char       *bucket;
    int         status;

    if (c->words.count == 0) return list_buckets(c);
    status = command_split(c->words.items[0], false, &bucket, &prefix);
    if (status != CLI_DONE) return status;
    status = list_keys(c, bucket, *prefix == '\0' ? NULL : prefix);
    free(bucket);
    return status;
}

int command_mb(struct command *c)
{
    char       *document = NULL;
    wfldb_error err;
    int         status = command_check_bucket(c->words.items[0]);

    if (status != CLI_DONE) return status;
    if (wfldb_bucket_create(c->db, c->words.items[0], NULL, &document, &err) != 0) {
        return command_failed(&err, c->words.items[0]);
    }
    if (c->json) {
        puts(document);
    } else {
        printf("%s is made\n", c->words.items[0]);
    }
    free(document);
    return CLI_DONE;
}

int command_rb(struct command *c)
{
    wfldb_error err;
    int         status = command_check_bucket(c->words.items[0]);

    if (status != CLI_DONE) return status;
    if (wfldb_bucket_delete(c->db, c->words.items[0], &err) != 0)
        return command_failed(&err, c->words.items[0]);
    if (c->json) {
        puts("{}");
    } else {
        printf("%s is removed\n", c->words.items[0]);
    }
    return CLI_DONE;
}
