/* SPDX-License-Identifier: Apache-2.0
 *
 * library_sweep URL < CREDENTIAL-FILE: what users of libwfldb do, from wfldb.h alone, against a
 * server; first as it should go, then with the k-th allocation refused, for every k until nothing
 * is refused any more. A call that meets the refusal says "memory" (or curl's word for it) and
 * leaves nothing behind; the leak checker sees the rest. test_library.py starts it. */
#include "client/wfldb.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUCKET     "library"
#define STREAMS    "library-streams" /* what a round leaves here disturbs no count */
#define KEY        "folder/\xC3\xBC & %2F"
#define ROUNDS_MAX 20000

/* ---- memory that can be refused: the linker sends our code's allocations here */

/* 0: this one is refused; negative: none is. Transfers allocate in threads of their own. */
static _Atomic long countdown = -1;

static bool refused(void)
{
    return countdown >= 0 && countdown-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n)
{
    return refused() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t size)
{
    return refused() ? NULL : __real_calloc(n, size);
}
void *__wrap_realloc(void *p, size_t n)
{
    return refused() ? NULL : __real_realloc(p, n);
}
char *__wrap_strdup(const char *s)
{
    return refused() ? NULL : __real_strdup(s);
}
char *__wrap_strndup(const char *s, size_t n)
{
    return refused() ? NULL : __real_strndup(s, n);
}

/* ---- what users do */

struct sink {
    char   text[64];
    size_t len;
};

static int take(void *ctx, const void *data, size_t len)
{
    struct sink *s = ctx;

    if (len > sizeof s->text - s->len) return -1;
    memcpy(s->text + s->len, data, len);
    s->len += len;
    return 0;
}

static int give_up(void *ctx, const void *data, size_t len)
{
    (void)ctx, (void)data, (void)len;
    return -1;
}

static void must(bool holds, const char *what, const wfldb_error *err)
{
    if (holds) return;
    fprintf(stderr, "%s: status %d, code %s, %s\n", what, err->status, err->code, err->detail);
    exit(1);
}

/* Each returns 0, or -1 with err filled. */
static int put(wfldb *db, wfldb_error *err)
{
    const wfldb_pair        meta[] = {{"title", "A walk"}, {"x", ""}}, tags[] = {{"kind", "test"}};
    const wfldb_put_options options = {.content_type = "text/plain",
                                       .meta = meta,
                                       .meta_count = 2,
                                       .tags = tags,
                                       .tag_count = 1,
                                       .buffered = 1};
    wfldb_object            object = {0};
    int                     rc = wfldb_put(db, BUCKET, KEY, "hello", 5, &options, &object, err);

    if (rc == 0) must(object.size == 5 && strlen(object.version) == 26, "put", err);
    wfldb_object_free(&object);
    return rc;
}

static int check_object(const wfldb_object *o, const wfldb_error *err)
{
    must(o->size == 5 && strcmp(o->content_type, "text/plain") == 0, "object", err);
    must(o->meta_count == 2 && o->tag_count == 1, "pairs", err);
    must(strcmp(o->tags[0].name, "kind") == 0 && strcmp(o->tags[0].value, "test") == 0, "tag", err);
    return 0;
}

static int get(wfldb *db, wfldb_error *err)
{
    struct sink  sink = {.len = 0};
    wfldb_object object = {0};
    int          rc = wfldb_get(db, BUCKET, KEY, take, &sink, &object, err);

    if (rc == 0) {
        must(sink.len == 5 && memcmp(sink.text, "hello", 5) == 0, "get", err);
        rc = check_object(&object, err);
    }
    wfldb_object_free(&object);
    return rc;
}

static int head(wfldb *db, wfldb_error *err)
{
    wfldb_object object = {0};
    int          rc = wfldb_head(db, BUCKET, KEY, &object, err);

    if (rc == 0) rc = check_object(&object, err);
    wfldb_object_free(&object);
    return rc;
}

static int scan(wfldb *db, wfldb_error *err)
{
    const wfldb_scan_options options = {.prefix = "folder/", .limit = 1};
    wfldb_page               page = {0};
    int                      rc = wfldb_scan(db, BUCKET, &options, &page, err);

    if (rc == 0) {
        must(page.item_count == 1 && page.prefix_count == 0, "scan", err);
        must(strcmp(page.items[0].key, KEY) == 0 && page.items[0].size == 5, "item", err);
    }
    wfldb_page_free(&page);
    return rc;
}

static int documents(wfldb *db, wfldb_error *err)
{
    char *info = NULL, *list = NULL;
    int   rc = wfldb_bucket_info(db, BUCKET, &info, err);

    if (rc == 0) rc = wfldb_bucket_list(db, &list, err);
    if (rc == 0)
        must(strstr(list, BUCKET) != NULL && strstr(info, "\"objects\":1") != NULL, "documents",
             err);
    free(info);
    free(list);
    return rc;
}

static int give(void *ctx, uint64_t offset, void *data, size_t cap, size_t *len)
{
    const char *text = ctx;
    size_t      left = strlen(text) - (size_t)offset;

    *len = left < cap ? left : cap;
    memcpy(data, text + offset, *len);
    return 0;
}

static int streams(wfldb *db, wfldb_error *err)
{
    static char  text[] = "streamed";
    struct sink  sink = {.len = 0};
    wfldb_object object = {0};
    int          rc = wfldb_put_stream(db, STREAMS, "s", give, text, 8, NULL, NULL, &object, err);

    if (rc != 0) return rc;
    must(object.size == 8 && strlen(object.blake3) == 64, "stream", err);
    wfldb_object_free(&object);
    rc = wfldb_get_range(db, STREAMS, "s", object.version[0] == '\0' ? NULL : object.version, 2,
                         100, take, &sink, &object, err);
    if (rc == 0) must(sink.len == 6 && memcmp(sink.text, "reamed", 6) == 0, "range", err);
    if (rc == 0) must(object.size == 8, "the size of the whole", err);
    wfldb_object_free(&object);
    return rc;
}

static int upload(wfldb *db, wfldb_error *err)
{
    static char  text[] = "the only part";
    wfldb_upload begun;
    wfldb_part   part = {.number = 1, .size = WFLDB_LENGTH_UNKNOWN}, *parts = NULL;
    size_t       count = 0;
    wfldb_object object = {0};
    int          rc = wfldb_upload_start(db, STREAMS, "u", NULL, &begun, err);

    if (rc == 0) rc = wfldb_upload_abort(db, STREAMS, "u", &begun, err);
    if (rc == 0) rc = wfldb_upload_start(db, STREAMS, "u", NULL, &begun, err);
    if (rc == 0) rc = wfldb_upload_part(db, STREAMS, "u", &begun, give, text, &part, err);
    if (rc == 0) rc = wfldb_upload_parts(db, STREAMS, "u", &begun, &parts, &count, err);
    if (rc == 0) {
        must(count == 1 && parts[0].number == 1 && parts[0].size == 13, "parts", err);
        must(strcmp(parts[0].blake3, part.blake3) == 0, "a part's hash", err);
        rc = wfldb_upload_complete(db, STREAMS, "u", &begun, parts, count, part.blake3, &object,
                                   err);
    }
    if (rc == 0) must(object.size == 13, "upload", err);
    free(parts);
    wfldb_object_free(&object);
    return rc;
}

/* A file (which has a hash beforehand), a pipe, and back into both. */
static int files(wfldb *db, wfldb_error *err)
{
    int          file = memfd_create("content", 0), ends[2] = {-1, -1}, rc;
    char         back[16] = "", path[64];
    wfldb_object object = {0};

    snprintf(path, sizeof path, "library-sweep.%ld", (long)getpid());
    must(file >= 0 && pipe(ends) == 0 && write(file, "content", 7) == 7, "a file and a pipe", err);
    must(lseek(file, 0, SEEK_SET) == 0 && write(ends[1], "piped", 5) == 5, "content", err);
    rc = wfldb_put_fd(db, STREAMS, "f", file, NULL, NULL, NULL, &object, err);
    wfldb_object_free(&object);
    if (rc == 0) rc = wfldb_get_fd(db, STREAMS, "f", ends[1], NULL, &object, err);
    close(ends[1]);
    if (rc == 0) must(object.size == 7, "into a pipe", err);
    wfldb_object_free(&object);
    if (rc == 0) rc = wfldb_put_fd(db, STREAMS, "p", ends[0], NULL, NULL, NULL, &object, err);
    wfldb_object_free(&object);
    if (rc == 0) rc = wfldb_get_file(db, STREAMS, "p", path, 0600, NULL, &object, err);
    wfldb_object_free(&object);
    close(ends[0]);
    close(file);
    if (rc == 0) {
        FILE *f = fopen(path, "r");

        must(f != NULL && fread(back, 1, sizeof back, f) == 12, "the file", err);
        must(memcmp(back, "pipedcontent", 12) == 0, "its content", err);
        fclose(f);
        unlink(path);
    } else {
        must(access(path, F_OK) != 0, "a failure leaves nothing", err);
    }
    return rc;
}

static int patch(wfldb *db, wfldb_error *err)
{
    char *document = NULL;
    int   rc = wfldb_bucket_patch(db, STREAMS, "{\"versions\":2}", &document, err);

    if (rc == 0) must(strstr(document, "\"versions\":2") != NULL, "patch", err);
    free(document);
    return rc;
}

static int versions(wfldb *db, wfldb_error *err)
{
    wfldb_version    *list = NULL;
    size_t            count = 0;
    struct sink       sink = {.len = 0};
    wfldb_object      object = {0};
    const wfldb_as_of none = {.version = "01ARZ3NDEKTSV4RRFFQ69G5FAV"};
    wfldb_as_of       as_of = {0};
    int               rc = wfldb_put(db, STREAMS, "v", "old", 3, NULL, &object, err);

    wfldb_object_free(&object);
    if (rc == 0) rc = wfldb_versions(db, STREAMS, "v", &list, &count, err);
    if (rc == 0) {
        must(count >= 1 && !list[0].deleted && list[0].size == 3, "versions", err);
        as_of.version = list[0].version;
        rc = wfldb_head_as_of(db, STREAMS, "v", &as_of, &object, err);
        wfldb_object_free(&object);
    }
    if (rc == 0) {
        as_of = (wfldb_as_of){.at = list[0].version};
        rc = wfldb_get_as_of(db, STREAMS, "v", &as_of, take, &sink, &object, err);
        wfldb_object_free(&object);
    }
    if (rc == 0) must(sink.len == 3 && memcmp(sink.text, "old", 3) == 0, "as of", err);
    if (rc == 0) rc = wfldb_erase(db, STREAMS, "v", list[0].version, err);
    free(list);
    if (rc != 0) return rc;
    must(wfldb_head_as_of(db, STREAMS, "v", &none, &object, err) != 0, "no such version", err);
    return err->status == 404 ? 0 : -1;
}

static int batches(wfldb *db, wfldb_error *err)
{
    const wfldb_pair pairs[] = {{"kind", "batch"}};
    const wfldb_op   ops[] = {{.kind = WFLDB_PUT,
                               .key = "b",
                               .data = "\0\xFF",
                               .data_len = 2,
                               .content_type = "text/plain",
                               .meta = pairs,
                               .meta_count = 1,
                               .tags = pairs,
                               .tag_count = 1},
                              {.kind = WFLDB_CHECK, .key = "no such", .if_none_match = 1}};
    const wfldb_op   wrong[] = {{.kind = WFLDB_DELETE, .key = "b"},
                                {.kind = WFLDB_CHECK, .key = "no such", .if_match = "*"}};
    const wfldb_op   across[] = {
          {.kind = WFLDB_CHECK, .bucket = STREAMS, .key = "b", .if_match = "*"}};
    const wfldb_copy_options options = {.buffered = 1, .tags = pairs, .tag_count = 1};
    wfldb_op_result          results[2];
    char                     version[32];
    int                      rc = wfldb_batch(db, STREAMS, ops, 2, 1, results, err);

    if (rc != 0) return rc;
    must(strlen(results[0].version) == 26 && results[1].version[0] == '\0', "results", err);
    rc = wfldb_batch(db, NULL, across, 1, 0, NULL, err);
    if (rc != 0) return rc;
    must(wfldb_batch(db, STREAMS, wrong, 2, 0, results, err) != 0, "a wrong condition", err);
    if (err->status != 412) return -1;
    must(!results[0].failed && (results[1].failed || countdown < 0), "which failed", err);
    rc = wfldb_copy(db, STREAMS, "b", "b2", NULL, version, err);
    if (rc == 0) must(strlen(version) == 26, "copy", err);
    if (rc == 0) rc = wfldb_move(db, STREAMS, "b2", "b3", &options, version, err);
    return rc == 0 ? wfldb_delete(db, STREAMS, "b3", NULL, err) : rc;
}

static int query(wfldb *db, wfldb_error *err)
{
    const wfldb_pair          tags[] = {{"kind", "batch"}};
    const wfldb_query_options options = {.prefix = "b", .include = "meta,tags,value"};
    wfldb_page                page = {0};
    int                       rc = wfldb_query(db, STREAMS, tags, 1, &options, &page, err);

    if (rc == 0) {
        const wfldb_item *item = page.items;

        must(page.item_count >= 1 && strcmp(item->key, "b") == 0, "query", err);
        must(item->tag_count == 1 && item->meta_count == 1, "its pairs", err);
        must(item->value_len == 2 && memcmp(item->value, "\0\xFF", 2) == 0, "its value", err);
    }
    wfldb_page_free(&page);
    return rc;
}

static int on_change(void *ctx, const wfldb_change *change)
{
    size_t *count = ctx;

    return strcmp(change->op, "put") == 0 && change->json[0] == '{' && ++*count == 2;
}

static int changes(wfldb *db, wfldb_error *err)
{
    wfldb_changes_options options = {.limit = 2, .prefix = "b"};
    wfldb_change_page     page = {0};
    size_t                count = 0;
    int                   rc = wfldb_changes(db, STREAMS, &options, &page, err);

    if (rc != 0) return rc;
    must(page.count == 2 && strcmp(page.items[0].op, "put") == 0, "changes", err);
    must(strcmp(page.next, page.items[0].version) > 0 && page.items[0].json[0] == '{', "one", err);
    wfldb_change_page_free(&page);
    options.after = "now";
    rc = wfldb_changes(db, STREAMS, &options, &page, err);
    if (rc != 0) return rc;
    must(page.count == 0, "changes from now on", err);
    wfldb_change_page_free(&page);
    options.after = NULL;
    must(wfldb_watch(db, STREAMS, &options, on_change, &count, err) != 0, "a watch", err);
    return strcmp(err->code, "stopped") == 0 && count == 2 ? 0 : -1;
}

static int copy_across(wfldb *db, wfldb_error *err)
{
    wfldb_object source = {0}, object = {0};
    int rc = wfldb_copy_across(db, STREAMS, "b", STREAMS, "a", NULL, NULL, &source, &object, err);

    if (rc == 0) must(source.size == 2 && strcmp(source.blake3, object.blake3) == 0, "across", err);
    wfldb_object_free(&source);
    wfldb_object_free(&object);
    return rc;
}

static int delete_all(wfldb *db, wfldb_error *err)
{
    static const char *const keys[] = {"s", "u", "f", "p", "a", "b"};
    int                      rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof keys / sizeof keys[0]; i++)
        rc = wfldb_delete(db, STREAMS, keys[i], NULL, err);
    return rc;
}

static int delete_and_refusals(wfldb *db, wfldb_error *err)
{
    struct sink  sink = {.len = 0};
    wfldb_object object = {0};
    int          rc = wfldb_get(db, BUCKET, KEY, give_up, NULL, &object, err);

    if (rc == 0) must(false, "a sink that gives up", err);
    if (strcmp(err->code, "sink") != 0) return -1;
    rc = wfldb_delete(db, BUCKET, KEY, NULL, err);
    if (rc != 0) return rc;
    rc = wfldb_get(db, BUCKET, KEY, take, &sink, &object, err);
    if (rc == 0) must(false, "a deleted key", err);
    if (err->status != 404) return -1;
    /* Out of memory the body that names the code may not be read; the status is enough. */
    must(strcmp(err->code, "key_not_found") == 0 || countdown < 0, "the code", err);
    must(sink.len == 0 && err->request_id[0] != '\0', "the refusal", err);
    return 0;
}

static int all(const wfldb_options *options, wfldb_error *err)
{
    static int (*const steps[])(wfldb * db, wfldb_error * err) = {
        put,   get,      head,    scan,  documents, streams,     upload,     files,
        patch, versions, batches, query, changes,   copy_across, delete_all, delete_and_refusals};
    wfldb *db = wfldb_open(options, err);
    int    rc = db == NULL ? -1 : 0;

    for (size_t i = 0; rc == 0 && i < sizeof steps / sizeof steps[0]; i++)
        rc = steps[i](db, err);
    wfldb_close(db);
    return rc;
}

int main(int argc, char **argv)
{
    static char   credential[65536];
    wfldb_options options = {.endpoint = argc > 1 ? argv[1] : NULL, .credential = credential};
    wfldb_error   err = {0};
    long          refusals = 0;
    char         *document = NULL;
    wfldb        *db;

    options.credential_len = fread(credential, 1, sizeof credential, stdin);
    db = wfldb_open(&options, &err);
    must(db != NULL, "open", &err);
    must(wfldb_bucket_create(db, BUCKET, "{}", &document, &err) == 0, "create", &err);
    free(document);
    must(wfldb_bucket_create(db, STREAMS, "{}", &document, &err) == 0, "create", &err);
    free(document);
    wfldb_close(db);
    for (options.http2 = 0; options.http2 <= 1; options.http2++) {
        must(all(&options, &err) == 0, "without refusals", &err);
        for (long k = 0;; k++) {
            must(k < ROUNDS_MAX, "it does not end", &err);
            countdown = k;
            int  rc = all(&options, &err);
            bool was_refused = countdown < 0;

            countdown = -1;
            if (!was_refused) {
                must(rc == 0, "nothing was refused", &err);
                break;
            }
            refusals++;
            if (rc != 0 && err.status == 0) {
                must(strcmp(err.code, "memory") == 0 || strcmp(err.code, "connection") == 0 ||
                         strcmp(err.code, "request") == 0,
                     "a refusal", &err);
            }
        }
    }
    printf("%ld refusals\n", refusals);
    return 0;
}
