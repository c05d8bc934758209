/* SPDX-License-Identifier: Apache-2.0
 *
 * An object's other versions: one of them, what was current at a moment, their list, and erasing
 * one. And which of an object's queries means what: those of uploads go on to route_upload.c. All
 * of these read the disk, so a worker does it. */
#include "server/headers.h"
#include "server/wire.h"

#define LIST_BYTES_MAX (4u << 20)

static bool is_method(const struct request *r, const char *method)
{
    return wfl_slice_eq(request_head(r)->method, wfl_slice_str(method));
}

static void refuse(struct request *r, wfl_code code, const char *why)
{
    wfl_fail(&r->err, code, "%s", why);
    answer_problem(r, NULL, &r->err);
}

/* ---- an older content */

static void get_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    (void)!wfl_store_get_as_of(r->server->store, &r->op.get, r->as_of, &r->when);
    request_done(r);
}

static void get_as_of(struct request *r, enum wfl_as_of kind)
{
    struct wfl_condition match, none_match;

    if (headers_read_conditions(request_head(r), request_arena(r), &match, &none_match, &r->err) !=
        WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (!request_permit(r, WFL_OP_GET, r->target.bucket, r->target.key)) return;
    r->op.get = (struct wfl_get){
        .bucket = r->target.bucket, .key = r->target.key, .head_only = is_method(r, "HEAD")};
    r->release = object_release_get;
    r->as_of = kind;
    request_work(r, request_flow(r), 0, get_in_pool, object_answer_get);
}

/* ---- the list */

static void list_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    r->op.versions.rc =
        wfl_store_versions(r->server->store, r->target.bucket, r->target.key, request_arena(r),
                           &r->op.versions.list, &r->op.versions.count, &r->err);
    request_done(r);
}

static void write_version(wfl_json *json, const struct wfl_version *v)
{
    char text[WFL_ULID_TEXT_LEN + 1], hex[65], modified[WFL_TIME_TEXT];

    wfl_json_object(json);
    wfl_ulid_format(&v->version, text);
    wfl_json_key(json, "version");
    wfl_json_cstr(json, text);
    wfl_json_key(json, "op");
    wfl_json_cstr(json, v->tombstone ? "delete" : "put");
    if (!v->tombstone) {
        wfl_json_key(json, "size");
        wfl_json_u64(json, v->size);
        wfl_hex_encode(wfl_slice_of(v->blake3.bytes, WFL_HASH_LEN), hex);
        wfl_json_key(json, "blake3");
        wfl_json_cstr(json, hex);
    }
    wfl_time_format_ms(wfl_ulid_ms(&v->version), modified);
    wfl_json_key(json, "modified");
    wfl_json_cstr(json, modified);
    wfl_json_end(json);
}

static void answer_list(struct request *r)
{
    struct answer a = {0};
    wfl_buf       text;
    wfl_json      json;

    if (r->op.versions.rc != WFL_OK) {
        answer_problem(r, NULL, &r->err);
        return;
    }
    if (wire_wanted(r)) {
        wire_answer_versions(r, r->op.versions.list, r->op.versions.count);
        return;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, LIST_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "versions");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < r->op.versions.count; i++)
        write_version(&json, &r->op.versions.list[i]);
    wfl_json_end(&json);
    wfl_json_end(&json);
    answer_json(r, &a, 200, &text);
}

static void list_versions(struct request *r)
{
    if (r->anonymous) { /* public are the objects, not their past */
        refuse(r, WFL_CREDENTIAL_MISSING, "the list of versions needs a credential");
        return;
    }
    if (request_permit(r, WFL_OP_GET, r->target.bucket, r->target.key))
        request_work(r, request_flow(r), 0, list_in_pool, answer_list);
}

/* ---- erasing */

static void erase_in_pool(struct wfl_engine_work *work)
{
    struct request *r = work->arg;

    r->verdict = wfl_store_erase(r->server->store, &r->op.erase, &r->err);
    request_done(r);
}

static void answer_erase(struct request *r)
{
    if (r->verdict == WFL_OK)
        request_answer_deleted(r,
                               r->once.replayed ? &r->once.outcome.version : &r->op.erase.erasure);
    else
        request_answer_refused(r, &r->once.outcome.version);
}

static void after_erase(struct request *r)
{
    request_conclude(r, r->verdict, &r->err, answer_erase);
}

static void erase(struct request *r)
{
    r->op.erase = (struct wfl_erase){.bucket = r->target.bucket,
                                     .key = r->target.key,
                                     .version = r->when,
                                     .by = wfl_slice_of(r->who.client.text, WFL_THUMB_LEN),
                                     .jti = wfl_packet_last(r->who.packet)->jti};
    if (!request_durability(r, &r->op.erase.durability)) return;
    if (!request_permit_write(r, WFL_OP_DELETE, r->target.bucket, r->target.key)) return;
    r->op.erase.once = request_once(r);
    request_work(r, request_flow(r), 0, erase_in_pool, after_erase);
}

/* ---- which query */

static void route_versions(struct request *r, const struct wfl_param *p)
{
    bool read = is_method(r, "GET") || is_method(r, "HEAD");

    if (p[OBJECT_VERSION].given + p[OBJECT_AT].given + p[OBJECT_VERSIONS].given > 1 ||
        p[OBJECT_UPLOAD].given || p[OBJECT_PART].given || p[OBJECT_MULTIPART].given) {
        refuse(r, WFL_INVALID_QUERY, "these parameters do not go together");
    } else if (p[OBJECT_VERSIONS].given) {
        if (!is_method(r, "GET") || p[OBJECT_VERSIONS].value.len > 0)
            refuse(r, WFL_INVALID_QUERY, "versions is for GET, and takes no value");
        else
            list_versions(r);
    } else if (p[OBJECT_AT].given) {
        if (!read || !wfl_moment_parse(p[OBJECT_AT].value, &r->when))
            refuse(r, WFL_INVALID_QUERY, "at is for GET and HEAD: a version or an RFC 3339 time");
        else
            get_as_of(r, WFL_AS_OF_MOMENT);
    } else if (!read && !is_method(r, "DELETE")) {
        refuse(r, WFL_INVALID_QUERY, "version is for GET, HEAD and DELETE");
    } else if (!wfl_ulid_parse(p[OBJECT_VERSION].value, &r->when)) {
        refuse(r, WFL_INVALID_VERSION, "version must be a ULID");
    } else if (read) {
        get_as_of(r, WFL_AS_OF_VERSION);
    } else {
        erase(r);
    }
}

/* Of a method that no query makes right it is said before the query is judged. */
static bool is_known(const struct request *r)
{
    return is_method(r, "GET") || is_method(r, "HEAD") || is_method(r, "PUT") ||
           is_method(r, "DELETE");
}

void route_object_query(struct request *r)
{
    struct wfl_param p[OBJECT_PARAMS] = {[OBJECT_MULTIPART] = {.name = "multipart"},
                                         [OBJECT_UPLOAD] = {.name = "upload"},
                                         [OBJECT_PART] = {.name = "part"},
                                         [OBJECT_VERSION] = {.name = "version"},
                                         [OBJECT_AT] = {.name = "at"},
                                         [OBJECT_VERSIONS] = {.name = "versions"}};
    wfl_code rc = wfl_query_parse(request_query(r), p, OBJECT_PARAMS, request_arena(r), &r->err);

    if (!is_known(r) && !p[OBJECT_MULTIPART].given && !p[OBJECT_UPLOAD].given)
        answer_not_allowed(r, WFL_OBJECT_METHODS);
    else if (rc != WFL_OK)
        answer_problem(r, NULL, &r->err);
    else if (r->who.credential == WFL_CREDENTIAL_URL &&
             (p[OBJECT_VERSIONS].given || p[OBJECT_UPLOAD].given || p[OBJECT_PART].given ||
              p[OBJECT_MULTIPART].given))
        refuse(r, WFL_FORBIDDEN, "a presigned URL is for an object, or a version of it");
    else if (p[OBJECT_VERSION].given || p[OBJECT_AT].given || p[OBJECT_VERSIONS].given)
        route_versions(r, p);
    else if (r->anonymous)
        refuse(r, WFL_CREDENTIAL_MISSING, "uploads need a credential");
    else
        route_upload(r, p);
}
