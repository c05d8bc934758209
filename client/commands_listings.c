/* SPDX-License-Identifier: Apache-2.0
 *
 * ls, query, versions. A listing is printed page by page as it comes. */
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

static void print_pairs(const char *what, const wfldb_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("    %s %s=%s\n", what, pairs[i].name, pairs[i].value);
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
            print_pairs("meta", item->meta, item->meta_count);
            print_pairs("tag", item->tags, item->tag_count);
        }
    }
}

static void write_value(wfl_json *json, const wfldb_item *item)
{
    char *text = item->value == NULL ? NULL : malloc(WFL_B64_LEN(item->value_len) + 1);

    if (text == NULL) return;
    wfl_b64_encode(wfl_slice_of(item->value, item->value_len), text);
    wfl_json_key(json, "value");
    wfl_json_cstr(json, text);
    free(text);
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
            if (page->items[i].meta != NULL)
                command_write_pairs(&json, "meta", page->items[i].meta, page->items[i].meta_count);
            if (page->items[i].tags != NULL)
                command_write_pairs(&json, "tags", page->items[i].tags, page->items[i].tag_count);
            write_value(&json, &page->items[i]);
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

/* What gives one page after another. */
struct listing {
    struct command    *c;
    const char        *bucket;
    wfldb_scan_options scan;
    const wfldb_pair  *tags; /* NULL: a scan */
    uint32_t           tag_count;
};

static int next_page(struct listing *l, const char *cursor, wfldb_page *out, wfldb_error *err)
{
    const wfldb_query_options query = {.prefix = l->scan.prefix,
                                       .cursor = cursor,
                                       .include = l->scan.include,
                                       .limit = l->scan.limit};

    l->scan.cursor = cursor;
    return l->tags == NULL
               ? wfldb_scan(l->c->db, l->bucket, &l->scan, out, err)
               : wfldb_query(l->c->db, l->bucket, l->tags, l->tag_count, &query, out, err);
}

static int print_listing(struct listing *l)
{
    struct command *c = l->c;
    char           *cursor = NULL;
    wfldb_page      page;
    wfldb_error     err;
    int             status = CLI_DONE;
    bool            more = true, first = true;

    while (more && status == CLI_DONE) {
        if (next_page(l, cursor, &page, &err) != 0) {
            status = command_failed(&err, c->words.items[0]);
            break;
        }
        if (c->json) {
            if (cursor == NULL) fputs("[", stdout);
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

    if (c->words.count == 0 && c->as_of.at != NULL)
        return cli_fail(CLI_USAGE, "--at needs a BUCKET");
    if (c->words.count == 0) return list_buckets(c);
    status = command_split(c->words.items[0], false, &bucket, &prefix);
    if (status != CLI_DONE) return status;
    status = print_listing(&(struct listing){.c = c,
                                             .bucket = bucket,
                                             .scan = {.prefix = *prefix == '\0' ? NULL : prefix,
                                                      .delimiter = c->recursive ? NULL : "/",
                                                      .at = c->as_of.at,
                                                      .limit = PAGE_ITEMS}});
    free(bucket);
    return status;
}

/* ---- query */

/* "tag.kind=photo" into a pair: what is behind "tag.". */
static int read_tags(const struct command *c, const char **out)
{
    for (uint32_t i = 1; i < c->words.count; i++) {
        if (strncmp(c->words.items[i], "tag.", 4) != 0)
            return cli_fail(CLI_USAGE, "'%s' is not tag.NAME=VALUE", c->words.items[i]);
        out[i - 1] = c->words.items[i] + 4;
    }
    return CLI_DONE;
}

static bool includes_value(const char *include)
{
    wfl_slice list = wfl_slice_str(include), word;

    while (list.len > 0) {
        wfl_slice_split(&list, ',', &word);
        if (wfl_slice_eq(word, WFL_S("value"))) return true;
    }
    return false;
}

int command_query(struct command *c)
{
    const char    *words[CLI_WORDS_MAX];
    wfldb_pair     tags[CLI_WORDS_MAX];
    const uint32_t count = c->words.count - 1;
    int            status = command_check_bucket(c->words.items[0]);

    if (status == CLI_DONE) status = read_tags(c, words);
    if (status == CLI_DONE && !c->json && includes_value(c->include))
        status =
            cli_fail(CLI_USAGE, "contents are not for a terminal: --include value needs --json");
    if (status == CLI_DONE) status = command_make_pairs(words, count, tags, "tag");
    if (status != CLI_DONE) return status;
    status = print_listing(
        &(struct listing){.c = c,
                          .bucket = c->words.items[0],
                          .scan = {.prefix = c->prefix, .include = c->include, .limit = PAGE_ITEMS},
                          .tags = tags,
                          .tag_count = count});
    command_free_pairs(tags, count);
    return status;
}

/* ---- versions */

static void print_version(const wfldb_version *v)
{
    printf("%s  %-6s  ", v->version, v->deleted ? "delete" : "put");
    if (v->deleted)
        printf("%12s", "-");
    else
        print_size(v->size);
    printf("  %s\n", v->modified);
}

static void write_version(wfl_json *json, const wfldb_version *v)
{
    wfl_json_object(json);
    wfl_json_key(json, "version");
    wfl_json_cstr(json, v->version);
    wfl_json_key(json, "op");
    wfl_json_cstr(json, v->deleted ? "delete" : "put");
    if (!v->deleted) {
        wfl_json_key(json, "size");
        wfl_json_u64(json, v->size);
        wfl_json_key(json, "blake3");
        wfl_json_cstr(json, v->blake3);
    }
    wfl_json_key(json, "modified");
    wfl_json_cstr(json, v->modified);
    wfl_json_end(json);
}

static void print_json_versions(const wfldb_version *list, size_t count)
{
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, SIZE_MAX / 2);
    wfl_json_init(&json, &text);
    wfl_json_array(&json);
    for (size_t i = 0; i < count; i++)
        write_version(&json, &list[i]);
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

int command_versions(struct command *c)
{
    const char    *key;
    char          *bucket;
    wfldb_version *list = NULL;
    size_t         count = 0;
    wfldb_error    err;
    int            status = command_split(c->words.items[0], true, &bucket, &key);

    if (status != CLI_DONE) return status;
    if (wfldb_versions(c->db, bucket, key, &list, &count, &err) != 0)
        status = command_failed(&err, c->words.items[0]);
    else if (c->json)
        print_json_versions(list, count);
    for (size_t i = 0; !c->json && i < count; i++)
        print_version(&list[i]);
    free(list);
    free(bucket);
    return status;
}
