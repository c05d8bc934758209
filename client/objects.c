/* SPDX-License-Identifier: Apache-2.0
 *
 * put, get, head and delete. Content goes up with its hash and is checked against its hash when it
 * comes down. */
#include "client/client_private.h"

#include <stdio.h>
#include <stdlib.h>

static const char meta_prefix[] = "x-wfldb-meta-";
static const char tag_prefix[] = "x-wfldb-tag-";

void wfldb_object_free(wfldb_object *o)
{
    for (size_t i = 0; i < o->meta_count; i++) {
        free((char *)(uintptr_t)o->meta[i].name);
        free((char *)(uintptr_t)o->meta[i].value);
    }
    for (size_t i = 0; i < o->tag_count; i++) {
        free((char *)(uintptr_t)o->tags[i].name);
        free((char *)(uintptr_t)o->tags[i].value);
    }
    free(o->meta);
    free(o->tags);
    free(o->content_type);
    free(o->last_modified);
    memset(o, 0, sizeof *o);
}

static char *copy_of(wfl_slice s)
{
    return strndup(s.len == 0 ? "" : (const char *)s.data, s.len);
}

static bool add_pair(wfldb_pair **list, size_t *count, wfl_slice name, wfl_slice value)
{
    wfldb_pair *longer = realloc(*list, (*count + 1) * sizeof *longer);

    if (longer == NULL) return false;
    *list = longer;
    longer[*count] = (wfldb_pair){copy_of(name), copy_of(value)};
    (*count)++;
    return longer[*count - 1].name != NULL && longer[*count - 1].value != NULL;
}

static bool read_pairs(const struct call *c, wfldb_object *out)
{
    wfl_slice rest = wfl_buf_slice(&c->head), line, name;
    bool      ok = true;

    while (rest.len > 0 && ok) {
        wfl_slice_split(&rest, '\n', &line);
        wfl_slice_split(&line, ':', &name);
        line = wfl_slice_trim(line);
        if (wfl_slice_starts_with(name, wfl_slice_str(meta_prefix))) {
            ok = add_pair(&out->meta, &out->meta_count,
                          wfl_slice_of(name.data + sizeof meta_prefix - 1,
                                       name.len - (sizeof meta_prefix - 1)),
                          line);
        } else if (wfl_slice_starts_with(name, wfl_slice_str(tag_prefix))) {
            ok = add_pair(
                &out->tags, &out->tag_count,
                wfl_slice_of(name.data + sizeof tag_prefix - 1, name.len - (sizeof tag_prefix - 1)),
                line);
        }
    }
    return ok;
}

/* What the answer's headers say of the object. */
int object_read(struct call *c, wfldb_object *out)
{
    wfl_slice length = call_answer_header(c, "content-length");

    memset(out, 0, sizeof *out);
    snprintf(out->version, sizeof out->version, "%.*s",
             WFL_FMT(call_answer_header(c, "x-wfldb-version")));
    snprintf(out->blake3, sizeof out->blake3, "%.*s",
             WFL_FMT(call_answer_header(c, "x-wfldb-content-blake3")));
    (void)!wfl_slice_to_u64(length, UINT64_MAX, &out->size);
    out->content_type = copy_of(call_answer_header(c, "content-type"));
    out->last_modified = copy_of(call_answer_header(c, "last-modified"));
    if (out->content_type == NULL || out->last_modified == NULL || !read_pairs(c, out)) {
        wfldb_object_free(out);
        return call_fail(c, "memory", "out of memory");
    }
    return 0;
}

/* A header whose name is made: both live in the call's arena. */
static void made_header(struct call *c, const char *prefix, const char *name, const char *value)
{
    size_t len = strlen(prefix) + strlen(name) + 1;
    char  *full = wfl_arena_get(&c->arena, len);

    if (full == NULL) {
        c->query.failed = true;
        return;
    }
    snprintf(full, len, "%s%s", prefix, name);
    call_header(c, full, wfl_slice_str(value));
}

void object_condition(struct call *c, const char *name, const char *version)
{
    char *quoted;

    if (version == NULL) return;
    if (strcmp(version, "*") == 0) {
        call_header(c, name, WFL_S("*"));
        return;
    }
    quoted = wfl_arena_get(&c->arena, strlen(version) + 3);
    if (quoted == NULL) {
        c->query.failed = true;
        return;
    }
    snprintf(quoted, strlen(version) + 3, "\"%s\"", version);
    call_header(c, name, wfl_slice_str(quoted));
}

void object_add_put_options(struct call *c, const wfldb_put_options *o)
{
    call_header(c, "Content-Type",
                wfl_slice_str(o != NULL && o->content_type != NULL ? o->content_type
                                                                   : "application/octet-stream"));
    if (o != NULL) object_add_put_others(c, o);
}

void object_add_put_others(struct call *c, const wfldb_put_options *o)
{
    for (size_t i = 0; i < o->meta_count; i++)
        made_header(c, "X-WflDB-Meta-", o->meta[i].name, o->meta[i].value);
    for (size_t i = 0; i < o->tag_count; i++)
        made_header(c, "X-WflDB-Tag-", o->tags[i].name, o->tags[i].value);
    object_condition(c, "If-Match", o->if_match);
    if (o->if_none_match) call_header(c, "If-None-Match", WFL_S("*"));
    if (o->buffered) call_header(c, "X-WflDB-Durability", WFL_S("buffered"));
}

int wfldb_put(wfldb *db, const char *bucket, const char *key, const void *data, size_t len,
              const wfldb_put_options *options, wfldb_object *out, wfldb_error *err)
{
    struct call c;
    wfl_hash    hash = wfl_hash_of(wfl_slice_of(data, len));
    char        hex[65];
    int         rc;

    call_init(&c, db, "PUT", bucket, key, err);
    c.body = data;
    c.body_len = len;
    c.has_body = true;
    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
    call_header(&c, "X-WflDB-Content-BLAKE3", wfl_slice_str(hex));
    object_add_put_options(&c, options);
    rc = call_send(&c);
    if (rc == 0) rc = object_read(&c, out);
    if (rc == 0) {
        out->size = len;
        out->created = c.status == 201;
        if (strcmp(out->blake3, hex) != 0) {
            wfldb_object_free(out);
            rc = call_fail(&c, "corrupt", "the server stored other bytes than were sent");
        }
    }
    call_fini(&c);
    return rc;
}

void object_as_of(struct call *c, const wfldb_as_of *as_of)
{
    if (as_of == NULL) return;
    call_param(c, "version", as_of->version);
    call_param(c, "at", as_of->at);
}

int wfldb_get_as_of(wfldb *db, const char *bucket, const char *key, const wfldb_as_of *as_of,
                    int (*sink)(void *ctx, const void *data, size_t len), void *ctx,
                    wfldb_object *out, wfldb_error *err)
{
    struct call c;
    wfl_hash    hash;
    char        hex[65];
    int         rc;

    call_init(&c, db, "GET", bucket, key, err);
    object_as_of(&c, as_of);
    c.sink = sink;
    c.ctx = ctx;
    rc = call_send(&c);
    if (rc == 0) rc = object_read(&c, out);
    if (rc == 0) {
        hash = wfl_hasher_result(&c.hasher);
        wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
        out->size = c.received;
        if (strcmp(out->blake3, hex) != 0) {
            wfldb_object_free(out);
            rc = call_fail(&c, "corrupt",
                           "the content received does not have the hash that the server names");
        }
    }
    call_fini(&c);
    return rc;
}

int wfldb_get(wfldb *db, const char *bucket, const char *key,
              int (*sink)(void *ctx, const void *data, size_t len), void *ctx, wfldb_object *out,
              wfldb_error *err)
{
    return wfldb_get_as_of(db, bucket, key, NULL, sink, ctx, out, err);
}

bool object_content_range(const struct call *c, uint64_t *first, uint64_t *last, uint64_t *size)
{
    wfl_slice rest = call_answer_header(c, "content-range"), part;

    if (!wfl_slice_starts_with(rest, WFL_S("bytes "))) return false;
    rest = wfl_slice_of(rest.data + 6, rest.len - 6);
    return wfl_slice_split(&rest, '-', &part) && wfl_slice_to_u64(part, INT64_MAX, first) &&
           wfl_slice_split(&rest, '/', &part) && wfl_slice_to_u64(part, INT64_MAX, last) &&
           wfl_slice_to_u64(rest, INT64_MAX, size) && *first <= *last && *last < *size;
}

int object_get_range(struct call *c, const char *if_match, uint64_t first, uint64_t count,
                     wfldb_object *out)
{
    char range[64];

    snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)first,
             (unsigned long long)(first + count - 1));
    call_header(c, "Range", wfl_slice_str(range));
    object_condition(c, "If-Match", if_match);
    if (call_send(c) != 0 || object_read(c, out) != 0) return -1;
    out->size = c->received;
    return 0;
}

/* Only the range asked for may reach the sink, whatever a server makes of the header. */
struct range_sink {
    struct call *call;
    int (*sink)(void *ctx, const void *data, size_t len);
    void    *ctx;
    uint64_t first, count, size;
    bool     checked, wrong;
};

static int to_range_sink(void *ctx, const void *data, size_t len)
{
    struct range_sink *s = ctx;
    uint64_t           first = 0, last = 0;

    if (!s->checked) {
        s->checked = true;
        s->wrong = s->call->status != 206 ||
                   !object_content_range(s->call, &first, &last, &s->size) || first != s->first ||
                   last - first >= s->count;
    }
    return s->wrong ? -1 : s->sink(s->ctx, data, len);
}

int wfldb_get_range(wfldb *db, const char *bucket, const char *key, const char *if_match,
                    uint64_t first, uint64_t                                    count,
                    int (*sink)(void *ctx, const void *data, size_t len), void *ctx,
                    wfldb_object *out, wfldb_error *err)
{
    struct range_sink s = {.sink = sink, .ctx = ctx, .first = first, .count = count};
    struct call       c;
    int               rc;

    call_init(&c, db, "GET", bucket, key, err);
    s.call = &c;
    c.sink = to_range_sink;
    c.ctx = &s;
    rc = object_get_range(&c, if_match, first, count, out);
    if (rc == 0 && !s.checked) {
        wfldb_object_free(out);
        s.wrong = true;
    }
    if (s.wrong) rc = call_fail(&c, "answer", "the answer is not the range that was asked for");
    if (rc == 0) out->size = s.size;
    call_fini(&c);
    return rc;
}

int wfldb_head_as_of(wfldb *db, const char *bucket, const char *key, const wfldb_as_of *as_of,
                     wfldb_object *out, wfldb_error *err)
{
    struct call c;
    int         rc;

    call_init(&c, db, "HEAD", bucket, key, err);
    object_as_of(&c, as_of);
    rc = call_send(&c);
    if (rc == 0) rc = object_read(&c, out);
    call_fini(&c);
    return rc;
}

int wfldb_head(wfldb *db, const char *bucket, const char *key, wfldb_object *out, wfldb_error *err)
{
    return wfldb_head_as_of(db, bucket, key, NULL, out, err);
}

int wfldb_delete(wfldb *db, const char *bucket, const char *key, const char *if_match,
                 wfldb_error *err)
{
    struct call c;
    int         rc;

    call_init(&c, db, "DELETE", bucket, key, err);
    object_condition(&c, "If-Match", if_match);
    rc = call_send(&c);
    call_fini(&c);
    return rc;
}
