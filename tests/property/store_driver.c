/* SPDX-License-Identifier: Apache-2.0
 *
 * A store at the end of a pipe, for tests written elsewhere: a JSON object a line in, one out. The
 * member "do" names the operation, the others are its arguments; test_store_model.py has them all.
 * Contents are runs, [[byte, how often], ...], so that no line is long.
 *
 * A line that cannot be understood, or a lack of memory, ends the program with status 2: the test
 * is wrong, not the store. */
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

#define PAIRS_MAX   64
#define CONTENT_MAX (16u << 20)
#define PARTS_MAX   64
#define SETTLE_NS   INT64_C(30000000000) /* a bound, which nothing comes near */

static struct {
    struct wfl_engine *engine;
    struct wfl_store  *store;
    bool               local;
    char               path[512];
    pthread_mutex_t    lock;
    pthread_cond_t     wake;
    bool               done;
    int64_t            now_ns; /* the store's wall clock, which stands still between advances */
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

__attribute__((noreturn)) static void give_up(const char *why)
{
    fprintf(stderr, "store_driver: %s\n", why);
    exit(2);
}

static void wake(void)
{
    pthread_mutex_lock(&it.lock);
    it.done = true;
    pthread_cond_signal(&it.wake);
    pthread_mutex_unlock(&it.lock);
}

static void wait_for(wfl_code rc)
{
    if (rc != WFL_PENDING) return;
    pthread_mutex_lock(&it.lock);
    while (!it.done)
        pthread_cond_wait(&it.wake, &it.lock);
    it.done = false;
    pthread_mutex_unlock(&it.lock);
}

static int64_t unix_ns(void *ctx)
{
    (void)ctx;
    return it.now_ns;
}

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return wfl_clock_mono_ns(&wfl_clock_system);
}

static const struct wfl_clock standing_clock = {.unix_ns = unix_ns, .mono_ns = mono_ns};

/* ---- arguments */

static wfl_slice text_of(const json_t *value)
{
    return wfl_slice_of(json_string_value(value), json_string_length(value));
}

static wfl_slice text(const json_t *in, const char *name)
{
    const json_t *value = json_object_get(in, name);

    return value == NULL ? (wfl_slice){0} : text_of(value);
}

static bool flag(const json_t *in, const char *name)
{
    return json_is_true(json_object_get(in, name));
}

static int64_t number(const json_t *in, const char *name)
{
    return json_integer_value(json_object_get(in, name));
}

static int by_name(const void *a, const void *b)
{
    return wfl_slice_cmp(((const struct wfl_name_value *)a)->name,
                         ((const struct wfl_name_value *)b)->name);
}

static uint32_t pairs(json_t *in, const char *name, struct wfl_name_value out[PAIRS_MAX])
{
    uint32_t    count = 0;
    const char *key;
    json_t     *value;

    json_object_foreach(json_object_get(in, name), key, value)
    {
        if (count == PAIRS_MAX) give_up("too many pairs");
        out[count++] = (struct wfl_name_value){wfl_slice_str(key), text_of(value)};
    }
    qsort(out, count, sizeof *out, by_name);
    return count;
}

/* Absent: zero. */
static wfl_ulid version_of(const json_t *in, const char *name)
{
    wfl_ulid version = {{0}};

    if (json_object_get(in, name) != NULL && !wfl_ulid_parse(text(in, name), &version))
        give_up("not a version");
    return version;
}

/* Absent: none; "*": existence; "never"; otherwise a list of versions. */
static struct wfl_condition condition(const json_t *in, const char *name,
                                      enum wfl_condition_kind star, enum wfl_condition_kind list,
                                      wfl_ulid versions[PAIRS_MAX])
{
    const json_t *value = json_object_get(in, name);

    if (value == NULL) return (struct wfl_condition){0};
    if (json_is_string(value))
        return (struct wfl_condition){
            .kind = wfl_slice_eq(text_of(value), WFL_S("*")) ? star : WFL_COND_NEVER};
    size_t count = json_array_size(value);
    for (size_t i = 0; i < count; i++)
        if (i == PAIRS_MAX || !wfl_ulid_parse(text_of(json_array_get(value, i)), &versions[i]))
            give_up("not a version");
    return (struct wfl_condition){list, versions, (uint32_t)count};
}

/* ---- answers */

static json_t *json_text(wfl_slice s)
{
    return json_stringn(s.len > 0 ? (const char *)s.data : "", s.len);
}

static json_t *json_version(const wfl_ulid *version)
{
    char out[WFL_ULID_TEXT_LEN + 1];

    if (wfl_ulid_is_zero(version)) return json_null();
    wfl_ulid_format(version, out);
    return json_string(out);
}

static json_t *answer(wfl_code rc)
{
    json_t *out = json_object();

    json_object_set_new(out, "code", json_string(wfl_code_name(rc)));
    return out;
}

static json_t *json_hash(const wfl_hash *hash)
{
    char hex[2 * WFL_HASH_LEN + 1];

    wfl_hex_encode(wfl_slice_of(hash->bytes, WFL_HASH_LEN), hex);
    return json_string(hex);
}

static json_t *json_pairs(const struct wfl_name_value *list, uint32_t count)
{
    json_t *out = json_object();

    for (uint32_t i = 0; i < count; i++)
        json_object_setn_new(out, (const char *)list[i].name.data, list[i].name.len,
                             json_text(list[i].value));
    return out;
}

static void add_object(json_t *out, const struct wfl_object *object)
{
    json_object_set_new(out, "version", json_version(&object->version));
    json_object_set_new(out, "size", json_integer((json_int_t)object->size));
    json_object_set_new(out, "blake3", json_hash(&object->blake3));
    json_object_set_new(out, "content_type", json_text(object->content_type));
    json_object_set_new(out, "meta", json_pairs(object->meta, object->meta_count));
    json_object_set_new(out, "tags", json_pairs(object->tags, object->tag_count));
}

static void add_content(json_t *out, wfl_slice content)
{
    json_t *runs = json_array();

    for (size_t at = 0, n; at < content.len; at += n) {
        for (n = 1; at + n < content.len && content.data[at + n] == content.data[at];)
            n++;
        json_array_append_new(runs, json_pack("[i, I]", (int)content.data[at], (json_int_t)n));
    }
    json_object_set_new(out, "runs", runs);
}

static void add_hash_fits(json_t *out, wfl_slice content, const wfl_hash *blake3)
{
    wfl_hash hash = wfl_hash_of(content);

    json_object_set_new(out, "hash_fits",
                        json_boolean(memcmp(hash.bytes, blake3->bytes, sizeof hash.bytes) == 0));
}

/* What "runs" says; the next call uses the memory again. */
static wfl_slice content_of(const json_t *in)
{
    static uint8_t content[CONTENT_MAX];
    const json_t  *runs = json_object_get(in, "runs");
    size_t         len = 0;

    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i);
        size_t        n = (size_t)json_integer_value(json_array_get(run, 1));
        if (n > sizeof content - len) give_up("content too large");
        memset(content + len, (int)json_integer_value(json_array_get(run, 0)), n);
        len += n;
    }
    return wfl_slice_of(content, len);
}

/* ---- opening */

static void close_all(void)
{
    wfl_store_close(it.store);
    wfl_engine_close(it.engine);
    it.store = NULL;
    it.engine = NULL;
}

static void open_store(void)
{
    wfl_error err = {0};

    if (wfl_store_open(&(struct wfl_store_config){.engine = it.engine,
                                                  .clock = &standing_clock,
                                                  .random = &wfl_random_system,
                                                  .alloc = &wfl_alloc_libc},
                       &it.store, &err) != WFL_OK)
        give_up(err.message);
}

static void open_engine(void)
{
    wfl_error err = {0};
    wfl_code  rc;

    if (it.local)
        rc = wfl_engine_open_local(&(struct wfl_local_config){.path = it.path,
                                                              .block_cache_bytes = 4u << 20,
                                                              .write_buffer_bytes = 4u << 20,
                                                              .pool_threads = 1,
                                                              .alloc = &wfl_alloc_libc},
                                   &it.engine, &err);
    else
        rc = wfl_engine_open_memory(&(struct wfl_memory_config){.alloc = &wfl_alloc_libc},
                                    &it.engine, &err);
    if (rc != WFL_OK) give_up(err.message);
}

static json_t *do_open(json_t *in)
{
    close_all();
    if (it.now_ns == 0) it.now_ns = wfl_clock_unix_ns(&wfl_clock_system);
    it.local = wfl_slice_eq(text(in, "engine"), WFL_S("local"));
    snprintf(it.path, sizeof it.path, "%.*s", WFL_FMT(text(in, "path")));
    open_engine();
    open_store();
    return answer(WFL_OK);
}

static json_t *do_advance(json_t *in)
{
    it.now_ns += number(in, "ms") * 1000000;
    return answer(WFL_OK);
}

/* Local: close and open again. Memory: what a power cut leaves. */
static json_t *do_reopen(json_t *in)
{
    struct wfl_engine *after = NULL;
    wfl_error          err = {0};

    (void)in;
    if (it.local) {
        close_all();
        open_engine();
    } else {
        wfl_store_close(it.store);
        if (wfl_memory_crash(it.engine, &after, &err) != WFL_OK) give_up(err.message);
        wfl_engine_close(it.engine);
        it.engine = after;
    }
    open_store();
    return answer(WFL_OK);
}

/* ---- operations */

static void bucket_done(struct wfl_bucket_op *op)
{
    (void)op;
    wake();
}
static void put_done(struct wfl_put *op)
{
    (void)op;
    wake();
}
static void delete_done(struct wfl_delete *op)
{
    (void)op;
    wake();
}
static void get_done(struct wfl_get *op)
{
    (void)op;
    wake();
}
static void scan_done(struct wfl_scan *op)
{
    (void)op;
    wake();
}

static json_t *do_create(json_t *in)
{
    struct wfl_bucket_op op = {.name = text(in, "bucket"), .done = bucket_done};
    wfl_code             rc = wfl_settings_parse(text(in, "settings"), &op.settings, &op.err);

    if (rc != WFL_OK) return answer(rc);
    wait_for(wfl_store_bucket_create(it.store, &op));
    return answer(op.rc);
}

static json_t *do_drop(json_t *in)
{
    struct wfl_bucket_op op = {.name = text(in, "bucket"), .done = bucket_done};

    wait_for(wfl_store_bucket_delete(it.store, &op));
    return answer(op.rc);
}

static json_t *do_patch(json_t *in)
{
    struct wfl_bucket_op op = {
        .name = text(in, "bucket"), .patch = text(in, "settings"), .done = bucket_done};

    wait_for(wfl_store_bucket_patch(it.store, &op));
    return answer(op.rc);
}

static json_t *do_info(json_t *in)
{
    struct wfl_bucket_info info;
    wfl_arena              arena;
    wfl_error              err;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_code rc = wfl_store_bucket_info(it.store, text(in, "bucket"), &arena, &info, &err);
    json_t  *out = answer(rc);
    if (rc == WFL_OK) {
        json_object_set_new(out, "objects", json_integer((json_int_t)info.objects));
        json_object_set_new(out, "bytes", json_integer((json_int_t)info.bytes));
        json_object_set_new(out, "version", json_version(&info.version));
        json_object_set_new(out, "floor", json_version(&info.floor));
    }
    wfl_arena_fini(&arena);
    return out;
}

static bool all(void *ctx, wfl_slice name)
{
    (void)ctx, (void)name;
    return true;
}

static json_t *do_list(json_t *in)
{
    wfl_slice *names;
    uint32_t   count;
    wfl_arena  arena;
    wfl_error  err;

    (void)in;
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_code rc = wfl_store_bucket_list(it.store, all, NULL, &arena, &names, &count, &err);
    json_t  *out = answer(rc), *list = json_array();
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        json_array_append_new(list, json_text(names[i]));
    json_object_set_new(out, "buckets", list);
    wfl_arena_fini(&arena);
    return out;
}

static wfl_code ingest(wfl_slice bucket, wfl_slice content, struct wfl_ingest **out, wfl_error *err)
{
    uint64_t size;
    wfl_hash blake3;
    wfl_code rc = wfl_ingest_new(it.store, bucket, out, err);

    while (rc == WFL_OK && content.len > 0) {
        wfl_slice chunk;
        if (!wfl_slice_take(&content, WFL_CHUNK_BYTES, &chunk)) {
            chunk = content;
            content = (wfl_slice){0};
        }
        rc = wfl_ingest_add(*out, chunk, err);
    }
    return rc == WFL_OK ? wfl_ingest_seal(*out, &size, &blake3, err) : rc;
}

static enum wfl_durability durability(const json_t *in)
{
    return flag(in, "buffered") ? WFL_BUFFERED : WFL_DURABLE;
}

/* What puts and starts of uploads have in common; the arrays are the caller's. */
struct given {
    struct wfl_name_value meta[PAIRS_MAX], tags[PAIRS_MAX];
    wfl_ulid              matching[PAIRS_MAX], others[PAIRS_MAX];
};

static struct wfl_put read_put(json_t *in, struct given *g)
{
    return (struct wfl_put){
        .bucket = text(in, "bucket"),
        .key = text(in, "key"),
        .content_type = WFL_S("text/plain"),
        .meta = g->meta,
        .meta_count = pairs(in, "meta", g->meta),
        .tags = g->tags,
        .tag_count = pairs(in, "tags", g->tags),
        .match = condition(in, "match", WFL_COND_EXISTS, WFL_COND_ANY_OF, g->matching),
        .none_match = condition(in, "none_match", WFL_COND_ABSENT, WFL_COND_NONE_OF, g->others),
        .durability = durability(in)};
}

static json_t *do_put(json_t *in)
{
    struct given   g;
    struct wfl_put op = read_put(in, &g);
    wfl_slice      content = content_of(in);

    op.done = put_done;
    op.blake3 = wfl_hash_of(content);
    op.size = content.len;
    if (content.len > WFL_VALUE_BYTES_MAX)
        op.rc = ingest(op.bucket, content, &op.large, &op.err);
    else
        op.content = content;
    if (op.rc == WFL_OK) wait_for(wfl_store_put(it.store, &op));
    json_t *out = answer(op.rc);
    json_object_set_new(out, "version", json_version(&op.version));
    json_object_set_new(out, "created", json_boolean(op.created));
    wfl_put_fini(&op);
    wfl_ingest_free(op.large);
    return out;
}

static json_t *do_delete(json_t *in)
{
    wfl_ulid          matching[PAIRS_MAX], others[PAIRS_MAX];
    struct wfl_delete op = {
        .bucket = text(in, "bucket"),
        .key = text(in, "key"),
        .match = condition(in, "match", WFL_COND_EXISTS, WFL_COND_ANY_OF, matching),
        .none_match = condition(in, "none_match", WFL_COND_ABSENT, WFL_COND_NONE_OF, others),
        .durability = durability(in),
        .done = delete_done};

    wait_for(wfl_store_delete(it.store, &op));
    json_t *out = answer(op.rc);
    json_object_set_new(out, "version", json_version(&op.version));
    return out;
}

/* [first, first + count) of a large content. */
static wfl_slice read_large(const struct wfl_get *get, uint64_t first, uint64_t count)
{
    static uint8_t     content[CONTENT_MAX];
    struct wfl_reader *reader = NULL;
    struct wfl_piece   piece;
    wfl_error          err = {0};
    size_t             len = 0;
    wfl_code           rc = wfl_reader_new(get, first, count, true, &reader, &err);

    while (rc == WFL_OK) {
        rc = wfl_reader_next(reader, &piece, &err);
        if (rc != WFL_OK || piece.len == 0) break;
        rc = wfl_blob_copy(&piece.blob, piece.at, piece.len, content + len, &err);
        wfl_blob_close(&piece.blob);
        len += piece.len;
    }
    if (rc != WFL_OK) give_up(err.message);
    wfl_reader_free(reader);
    return wfl_slice_of(content, len);
}

/* Now, or the version asked for, or as it was `at` one. */
static void get(const json_t *in, struct wfl_get *op)
{
    wfl_ulid version = version_of(in, "version"), at = version_of(in, "at");

    if (!wfl_ulid_is_zero(&version))
        (void)!wfl_store_get_as_of(it.store, op, WFL_AS_OF_VERSION, &version);
    else if (!wfl_ulid_is_zero(&at))
        (void)!wfl_store_get_as_of(it.store, op, WFL_AS_OF_MOMENT, &at);
    else
        wait_for(wfl_store_get(it.store, op));
}

/* All of it, or the range that is asked for. */
static json_t *do_get(json_t *in)
{
    struct wfl_get op = {.bucket = text(in, "bucket"),
                         .key = text(in, "key"),
                         .head_only = flag(in, "head"),
                         .done = get_done};

    get(in, &op);
    json_t *out = answer(op.rc);
    if (op.rc == WFL_OK) {
        bool     range = json_object_get(in, "count") != NULL;
        uint64_t first = (uint64_t)number(in, "first");
        uint64_t count = range ? (uint64_t)number(in, "count") : op.object.size;
        add_object(out, &op.object);
        json_object_set_new(out, "large", json_boolean(op.large));
        wfl_slice content = op.content;
        if (op.large)
            content = read_large(&op, first, count);
        else if (range)
            content = wfl_slice_of(content.data + first, count);
        add_content(out, content);
        if (!range) add_hash_fits(out, content, &op.object.blake3);
    }
    wfl_get_fini(&op);
    return out;
}

static void add_items(json_t *out, const struct wfl_scan_item *list, uint32_t count)
{
    json_t *items = json_array();

    for (uint32_t i = 0; i < count; i++) {
        json_t *item = json_object();
        json_object_set_new(item, "key", json_text(list[i].key));
        add_object(item, &list[i].object);
        if (list[i].has_value) {
            add_content(item, list[i].value);
            add_hash_fits(item, list[i].value, &list[i].object.blake3);
        }
        json_array_append_new(items, item);
    }
    json_object_set_new(out, "items", items);
}

static json_t *do_scan(json_t *in)
{
    struct wfl_scan op = {.bucket = text(in, "bucket"),
                          .prefix = text(in, "prefix"),
                          .after = text(in, "after"),
                          .end = text(in, "end"),
                          .limit = (uint32_t)number(in, "limit"),
                          .delimiter = text(in, "delimiter"),
                          .reverse = flag(in, "reverse"),
                          .with_meta = flag(in, "with_meta"),
                          .with_tags = flag(in, "with_tags"),
                          .with_value = flag(in, "with_value"),
                          .moment = version_of(in, "moment"),
                          .cursor = text(in, "cursor"),
                          .done = scan_done};

    wait_for(wfl_store_scan(it.store, &op));
    json_t *out = answer(op.rc), *prefixes = json_array();
    add_items(out, op.items, op.item_count);
    for (uint32_t i = 0; i < op.prefix_count; i++)
        json_array_append_new(prefixes, json_text(op.prefixes[i]));
    json_object_set_new(out, "prefixes", prefixes);
    json_object_set_new(out, "at", json_version(&op.at));
    if (op.next.len > 0) json_object_set_new(out, "next", json_text(op.next));
    wfl_scan_fini(&op);
    return out;
}

/* ---- history, batches, tags, changes */

static json_t *do_versions(json_t *in)
{
    struct wfl_version *list = NULL;
    uint32_t            count = 0;
    wfl_arena           arena;
    wfl_error           err;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_code rc = wfl_store_versions(it.store, text(in, "bucket"), text(in, "key"), &arena, &list,
                                     &count, &err);
    json_t  *out = answer(rc), *versions = json_array();
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        json_array_append_new(versions, json_pack("[o, b, I, o]", json_version(&list[i].version),
                                                  list[i].tombstone, (json_int_t)list[i].size,
                                                  json_hash(&list[i].blake3)));
    json_object_set_new(out, "versions", versions);
    wfl_arena_fini(&arena);
    return out;
}

static json_t *do_erase(json_t *in)
{
    struct wfl_erase op = {.bucket = text(in, "bucket"),
                           .key = text(in, "key"),
                           .version = version_of(in, "version"),
                           .durability = durability(in)};
    wfl_error        err;
    json_t          *out = answer(wfl_store_erase(it.store, &op, &err));

    json_object_set_new(out, "version", json_version(&op.erasure));
    return out;
}

struct given_op {
    struct wfl_name_value meta[PAIRS_MAX], tags[PAIRS_MAX];
    wfl_ulid              version;
    uint8_t              *content;
};

/* "if": absent: none; null: must not exist; "*": must; a version: must be current. */
static struct wfl_condition batch_condition(const json_t *in, wfl_ulid *version)
{
    const json_t *value = json_object_get(in, "if");

    if (value == NULL) return (struct wfl_condition){0};
    if (json_is_null(value)) return (struct wfl_condition){.kind = WFL_COND_ABSENT};
    if (wfl_slice_eq(text_of(value), WFL_S("*")))
        return (struct wfl_condition){.kind = WFL_COND_EXISTS};
    *version = version_of(in, "if");
    return (struct wfl_condition){WFL_COND_ANY_OF, version, 1};
}

static struct wfl_batch_op read_op(json_t *in, wfl_slice bucket, struct given_op *g)
{
    static const char  *kinds[] = {"put", "delete", "copy", "check"};
    wfl_slice           content = content_of(in);
    struct wfl_batch_op op = {.bucket = bucket,
                              .key = text(in, "key"),
                              .condition = batch_condition(in, &g->version),
                              .content_type = WFL_S("text/plain"),
                              .from = text(in, "from"),
                              .has_from_version = json_object_get(in, "from_version") != NULL,
                              .from_version = version_of(in, "from_version"),
                              .has_meta = json_object_get(in, "meta") != NULL,
                              .has_tags = json_object_get(in, "tags") != NULL,
                              .meta = g->meta,
                              .meta_count = pairs(in, "meta", g->meta),
                              .tags = g->tags,
                              .tag_count = pairs(in, "tags", g->tags)};

    for (size_t i = 0; i < WFL_COUNT(kinds); i++)
        if (wfl_slice_eq(text(in, "op"), wfl_slice_str(kinds[i]))) op.kind = (int)i;
    g->content = malloc(content.len + 1);
    if (g->content == NULL) give_up("no memory");
    memcpy(g->content, content.data, content.len);
    op.content = wfl_slice_of(g->content, content.len);
    return op;
}

static json_t *do_batch(json_t *in)
{
    const json_t       *list = json_object_get(in, "ops");
    uint32_t            count = (uint32_t)json_array_size(list);
    struct given_op    *given = calloc(count + 1, sizeof *given);
    struct wfl_batch_op ops[PARTS_MAX];
    struct wfl_batch    batch = {.ops = ops, .count = count, .durability = durability(in)};
    wfl_error           err;

    if (given == NULL || count > PARTS_MAX) give_up("too many ops");
    for (uint32_t i = 0; i < count; i++)
        ops[i] = read_op(json_array_get(list, i), text(in, "bucket"), &given[i]);
    wfl_code rc = wfl_store_batch(it.store, &batch, &err);
    json_t  *out = answer(rc), *failed = json_array(), *versions = json_array();
    for (uint32_t i = 0; i < batch.failed_count; i++)
        json_array_append_new(failed, json_integer(batch.failed[i]));
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        json_array_append_new(versions, json_version(&ops[i].version));
    json_object_set_new(out, "failed", failed);
    json_object_set_new(out, "versions", versions);
    wfl_batch_fini(&batch);
    for (uint32_t i = 0; i < count; i++)
        free(given[i].content);
    free(given);
    return out;
}

/* "tags": [[name, value, whether it is the beginning alone], ...] */
static json_t *do_query(json_t *in)
{
    struct wfl_tag_query op = {.bucket = text(in, "bucket"),
                               .prefix = text(in, "prefix"),
                               .limit = (uint32_t)number(in, "limit"),
                               .with_tags = true,
                               .with_meta = true,
                               .cursor = text(in, "cursor")};
    const json_t        *tags = json_object_get(in, "tags");
    bool                 ended = false;

    op.tag_count = (uint32_t)json_array_size(tags);
    if (op.tag_count > WFL_QUERY_TAGS_MAX) give_up("too many tags");
    for (uint32_t i = 0; i < op.tag_count; i++) {
        const json_t *tag = json_array_get(tags, i);
        op.tags[i] = (struct wfl_tag_wanted){text_of(json_array_get(tag, 0)),
                                             text_of(json_array_get(tag, 1)),
                                             json_is_true(json_array_get(tag, 2))};
    }
    wfl_code rc = wfl_tag_query_begin(it.store, &op);
    while (rc == WFL_OK && !ended)
        rc = wfl_tag_query_step(&op, &ended);
    json_t *out = answer(rc);
    add_items(out, op.items, rc == WFL_OK ? op.item_count : 0);
    if (rc == WFL_OK && op.next.len > 0) json_object_set_new(out, "next", json_text(op.next));
    wfl_tag_query_fini(&op);
    return out;
}

static json_t *json_change(const struct wfl_change *change)
{
    static const char *const kinds[] = {"put", "delete", "erase"};
    json_t                  *out = json_object();

    json_object_set_new(out, "version", json_version(&change->version));
    json_object_set_new(out, "op", json_string(kinds[change->kind]));
    json_object_set_new(out, "key", json_text(change->key));
    if (change->kind == WFL_CHANGED_PUT) {
        json_object_set_new(out, "size", json_integer((json_int_t)change->size));
        json_object_set_new(out, "blake3", json_hash(&change->blake3));
        json_object_set_new(out, "tags", json_pairs(change->tags, change->tag_count));
    }
    if (change->kind == WFL_CHANGED_ERASE)
        json_object_set_new(out, "erased", json_version(&change->erased));
    return out;
}

static json_t *do_changes(json_t *in)
{
    struct wfl_changes page = {.bucket = text(in, "bucket"),
                               .prefix = text(in, "prefix"),
                               .from = json_object_get(in, "after") != NULL ? WFL_CHANGES_AFTER
                                                                            : WFL_CHANGES_OLDEST,
                               .after = version_of(in, "after"),
                               .limit = (uint32_t)number(in, "limit"),
                               .bytes_max = 1u << 20};
    wfl_error          err;
    wfl_code           rc = wfl_store_changes(it.store, &page, &err);
    json_t            *out = answer(rc), *list = json_array();

    for (uint32_t i = 0; rc == WFL_OK && i < page.count; i++)
        json_array_append_new(list, json_change(&page.changes[i]));
    json_object_set_new(out, "changes", list);
    json_object_set_new(out, "next", json_version(&page.next));
    json_object_set_new(out, "ended", json_boolean(page.ended));
    wfl_changes_fini(&page);
    return out;
}

/* ---- uploads */

static wfl_ulid upload_of(const json_t *in)
{
    wfl_ulid upload;

    if (!wfl_ulid_parse(text(in, "upload"), &upload)) give_up("not an upload");
    return upload;
}

static json_t *do_start(json_t *in)
{
    struct given   g;
    struct wfl_put given = read_put(in, &g);
    wfl_ulid       upload = {{0}};
    wfl_error      err;
    wfl_code       rc = wfl_upload_start(it.store, &given, &upload, &err);
    json_t        *out = answer(rc);

    json_object_set_new(out, "upload", json_version(&upload));
    return out;
}

static json_t *do_part(json_t *in)
{
    wfl_ulid           upload = upload_of(in);
    wfl_slice          content = content_of(in);
    struct wfl_part    part = {.number = (uint32_t)number(in, "part"), .size = content.len};
    struct wfl_ingest *ingested = NULL;
    wfl_error          err;

    part.blake3 = wfl_hash_of(content);
    wfl_code rc = ingest(text(in, "bucket"), content, &ingested, &err);
    if (rc == WFL_OK)
        rc = wfl_upload_put_part(it.store, text(in, "bucket"), text(in, "key"), &upload, &part,
                                 ingested, durability(in), NULL, &err);
    wfl_ingest_free(ingested);
    json_t *out = answer(rc);
    json_object_set_new(out, "blake3", json_hash(&part.blake3));
    return out;
}

static json_t *do_parts(json_t *in)
{
    wfl_ulid         upload = upload_of(in);
    struct wfl_part *parts = NULL;
    uint32_t         count = 0;
    wfl_error        err;
    wfl_code rc = wfl_upload_list_parts(it.store, text(in, "bucket"), text(in, "key"), &upload,
                                        &parts, &count, &err);
    json_t  *out = answer(rc), *list = json_array();

    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        json_array_append_new(list, json_pack("{s:i, s:I, s:o}", "part", (int)parts[i].number,
                                              "size", (json_int_t)parts[i].size, "blake3",
                                              json_hash(&parts[i].blake3)));
    wfl_upload_free_parts(it.store, parts);
    json_object_set_new(out, "parts", list);
    return out;
}

static json_t *do_uploads(json_t *in)
{
    struct wfl_upload_info *uploads = NULL;
    uint32_t                count = 0;
    wfl_arena               arena;
    wfl_error               err;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_code rc = wfl_upload_list(it.store, text(in, "bucket"), &arena, &uploads, &count, &err);
    json_t  *out = answer(rc), *list = json_array();
    for (uint32_t i = 0; rc == WFL_OK && i < count; i++)
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:I}", "upload", json_version(&uploads[i].upload), "key",
                            json_text(uploads[i].key), "bytes", (json_int_t)uploads[i].bytes));
    json_object_set_new(out, "uploads", list);
    wfl_arena_fini(&arena);
    return out;
}

static json_t *do_complete(json_t *in)
{
    wfl_ulid               upload = upload_of(in);
    struct wfl_part        parts[PARTS_MAX];
    const json_t          *list = json_object_get(in, "parts");
    uint32_t               count = (uint32_t)json_array_size(list);
    struct wfl_completion *c = NULL;
    struct wfl_completed   done = {0};
    wfl_error              err;
    bool                   ended = false;

    if (count > PARTS_MAX) give_up("too many parts");
    for (uint32_t i = 0; i < count; i++) {
        const json_t *part = json_array_get(list, i);
        parts[i].number = (uint32_t)number(part, "part");
        if (!wfl_hex_decode(text(part, "blake3"), parts[i].blake3.bytes, WFL_HASH_LEN))
            give_up("not a hash");
    }
    wfl_code rc = wfl_completion_new(it.store, text(in, "bucket"), text(in, "key"), &upload, parts,
                                     count, NULL, &c, &err);
    while (rc == WFL_OK && !ended)
        rc = wfl_completion_step(c, &ended, &err);
    if (rc == WFL_OK) rc = wfl_completion_commit(c, NULL, &done, &err);
    wfl_completion_free(c);
    json_t *out = answer(rc);
    json_object_set_new(out, "version", json_version(&done.version));
    json_object_set_new(out, "created", json_boolean(done.created));
    json_object_set_new(out, "size", json_integer((json_int_t)done.size));
    return out;
}

static json_t *do_abort(json_t *in)
{
    wfl_ulid  upload = upload_of(in);
    wfl_error err;

    return answer(
        wfl_upload_abort(it.store, text(in, "bucket"), text(in, "key"), &upload, NULL, &err));
}

/* ---- taking back, and counting what is there */

/* The engine moves blobs on a thread of its own: their places are pending for a moment. */
static void wait_until_settled(struct wfl_engine_stats *stats)
{
    int64_t until = wfl_clock_mono_ns(&wfl_clock_system) + SETTLE_NS;

    do {
        *stats = (struct wfl_engine_stats){0};
        wfl_engine_stats(it.engine, stats);
        if (stats->blobs_pending > 0) sched_yield();
    } while (stats->blobs_pending > 0 && wfl_clock_mono_ns(&wfl_clock_system) < until);
}

static json_t *do_collect(json_t *in)
{
    struct wfl_engine_stats stats;
    wfl_error               err;
    bool                    left = false;
    json_t                 *out = answer(wfl_store_collect(it.store, &left, &err));

    (void)in;
    wait_until_settled(&stats);
    json_object_set_new(out, "left", json_boolean(left));
    json_object_set_new(out, "live_bytes", json_integer((json_int_t)stats.live_bytes));
    json_object_set_new(out, "pending", json_integer((json_int_t)stats.blobs_pending));
    return out;
}

static void add_line(void *arg, const char *line)
{
    json_array_append_new(arg, json_string(line));
}

static json_t *do_recount(json_t *in)
{
    json_t            *lines = json_array(), *out;
    struct wfl_recount how = {.report = add_line, .arg = lines, .rows_max = 5};
    uint64_t           differences;
    wfl_error          err;

    (void)in;
    out = answer(wfl_store_recount(it.store, &how, &differences, &err));
    json_object_set_new(out, "lines", lines);
    return out;
}

static const struct {
    const char *name;
    json_t *(*run)(json_t *in);
} operations[] = {
    {"open", do_open},       {"reopen", do_reopen},     {"create", do_create},
    {"drop", do_drop},       {"info", do_info},         {"list", do_list},
    {"put", do_put},         {"delete", do_delete},     {"get", do_get},
    {"scan", do_scan},       {"start", do_start},       {"part", do_part},
    {"parts", do_parts},     {"uploads", do_uploads},   {"complete", do_complete},
    {"abort", do_abort},     {"collect", do_collect},   {"recount", do_recount},
    {"advance", do_advance}, {"versions", do_versions}, {"erase", do_erase},
    {"patch", do_patch},     {"batch", do_batch},       {"query", do_query},
    {"changes", do_changes},
};

static json_t *run(json_t *in)
{
    wfl_slice name = text(in, "do");

    for (size_t i = 0; i < WFL_COUNT(operations); i++) {
        if (!wfl_slice_eq(name, wfl_slice_str(operations[i].name))) continue;
        if (it.store == NULL && operations[i].run != do_open) give_up("nothing is open");
        return operations[i].run(in);
    }
    give_up("unknown operation");
}

int main(void)
{
    char   *line = NULL;
    size_t  cap = 0;
    ssize_t len;

    while ((len = getline(&line, &cap, stdin)) > 0) {
        json_error_t wrong;
        json_t      *in = json_loadb(line, (size_t)len, 0, &wrong);
        if (in == NULL) give_up(wrong.text);
        json_t *out = run(in);
        if (out == NULL || json_dumpf(out, stdout, JSON_COMPACT) != 0) give_up("no answer");
        putchar('\n');
        fflush(stdout);
        json_decref(out);
        json_decref(in);
    }
    free(line);
    close_all();
    return 0;
}
