/* SPDX-License-Identifier: Apache-2.0
 *
 * Content from a source: one PUT that streams, and the requests of an upload in parts. What the
 * server says that it has stored is compared with what the source gave. */
#include "client/client_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define GIVE_UP_TIMEOUT_MS 5000L /* the server removes it by itself some day */

/* The hash declared, or the one of what was sent. */
static bool is_hash_of_sent(const struct call *c, const char *declared, const char *stored)
{
    wfl_hash hash;
    char     hex[65];

    if (declared != NULL) return strcmp(declared, stored) == 0;
    hash = wfl_hasher_result(&c->sent_hasher);
    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
    return strcmp(hex, stored) == 0;
}

static void set_watch(struct call *c, const struct watch *watch)
{
    if (watch == NULL) return;
    c->watch = watch->watch;
    c->watch_ctx = watch->ctx;
    c->single = watch->single;
}

static void set_source(struct call *c, wfldb_source source, void *ctx, uint64_t len,
                       const char *blake3, const struct watch *watch)
{
    c->has_body = true;
    c->source = source;
    c->source_ctx = ctx;
    c->source_len = len;
    c->hash_sent = blake3 == NULL;
    set_watch(c, watch);
    call_header(c, "X-WflDB-Content-BLAKE3", wfl_slice_str(blake3 == NULL ? "unsigned" : blake3));
}

int upload_put_stream(wfldb *db, const char *bucket, const char *key, wfldb_source source,
                      void *ctx, uint64_t len, const char *blake3, const wfldb_put_options *options,
                      const struct watch *watch, wfldb_object *out, wfldb_error *err)
{
    struct call c;
    int         rc;

    call_init(&c, db, "PUT", bucket, key, err);
    set_source(&c, source, ctx, len, blake3, watch);
    object_add_put_options(&c, options);
    rc = call_send(&c);
    if (rc == 0) rc = object_read(&c, out);
    if (rc == 0) {
        out->size = c.sent;
        out->created = c.status == 201;
        if (!is_hash_of_sent(&c, blake3, out->blake3)) {
            wfldb_object_free(out);
            rc = call_fail(&c, "corrupt", "the server stored other bytes than were sent");
        }
    }
    call_fini(&c);
    return rc;
}

int wfldb_put_stream(wfldb *db, const char *bucket, const char *key, wfldb_source source, void *ctx,
                     uint64_t len, const char *blake3, const wfldb_put_options *options,
                     wfldb_object *out, wfldb_error *err)
{
    return upload_put_stream(db, bucket, key, source, ctx, len, blake3, options, NULL, out, err);
}

/* ---- uploads in parts */

static int not_understood(struct call *c)
{
    return call_fail(c, "answer", "the answer is not that of a wflDB server; check the endpoint");
}

static json_t *read_answer(const struct call *c)
{
    return json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
}

static bool take_text(const json_t *object, const char *name, size_t len, char *out)
{
    const char *text = json_string_value(json_object_get(object, name));

    if (text == NULL || strlen(text) != len) return false;
    memcpy(out, text, len + 1);
    return true;
}

int wfldb_upload_start(wfldb *db, const char *bucket, const char *key,
                       const wfldb_put_options *options, wfldb_upload *out, wfldb_error *err)
{
    struct call c;
    json_t     *answer;
    wfl_ulid    ulid;
    int         rc;

    call_init(&c, db, "POST", bucket, key, err);
    call_param(&c, "multipart", "start");
    object_add_put_options(&c, options);
    c.body = "";
    c.has_body = true;
    call_header(&c, "X-WflDB-Content-BLAKE3", WFL_S("unsigned"));
    rc = call_send(&c);
    if (rc == 0) {
        answer = read_answer(&c);
        if (!take_text(answer, "upload", WFL_ULID_TEXT_LEN, out->id) ||
            !wfl_ulid_parse(wfl_slice_str(out->id), &ulid))
            rc = not_understood(&c);
        json_decref(answer);
    }
    call_fini(&c);
    return rc;
}

static bool take_part(const json_t *object, wfldb_part *out)
{
    json_int_t number = json_integer_value(json_object_get(object, "part"));
    json_int_t size = json_integer_value(json_object_get(object, "size"));

    if (number < 1 || number > WFLDB_PARTS_MAX || size < 0) return false;
    out->number = (uint32_t)number;
    out->size = (uint64_t)size;
    return take_text(object, "blake3", sizeof out->blake3 - 1, out->blake3);
}

int upload_put_part(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                    wfldb_source source, void *ctx, const struct watch *watch, wfldb_part *part,
                    wfldb_error *err)
{
    struct call c;
    json_t     *answer;
    wfldb_part  stored;
    const char *declared = part->blake3[0] == '\0' ? NULL : part->blake3;
    char        number[16];
    int         rc;

    snprintf(number, sizeof number, "%u", part->number);
    call_init(&c, db, "PUT", bucket, key, err);
    call_param(&c, "upload", upload->id);
    call_param(&c, "part", number);
    set_source(&c, source, ctx, part->size, declared, watch);
    rc = call_send(&c);
    if (rc == 0) {
        answer = read_answer(&c);
        if (!take_part(answer, &stored)) {
            rc = not_understood(&c);
        } else if (!is_hash_of_sent(&c, declared, stored.blake3) || stored.size != c.sent ||
                   stored.number != part->number) {
            rc = call_fail(&c, "corrupt", "the server stored another part than was sent");
        } else {
            *part = stored;
        }
        json_decref(answer);
    }
    call_fini(&c);
    return rc;
}

int wfldb_upload_part(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                      wfldb_source source, void *ctx, wfldb_part *part, wfldb_error *err)
{
    return upload_put_part(db, bucket, key, upload, source, ctx, NULL, part, err);
}

static int take_parts(struct call *c, wfldb_part **out, size_t *count)
{
    json_t *answer = read_answer(c), *list = json_object_get(answer, "parts");
    size_t  n = json_array_size(list);
    bool    ok = json_is_array(list) && n <= WFLDB_PARTS_MAX;
    int     rc = 0;

    if (ok && n > 0) {
        *out = calloc(n, sizeof **out);
        if (*out == NULL) rc = call_fail(c, "memory", "out of memory");
        for (size_t i = 0; i < n && *out != NULL && ok; i++)
            ok = take_part(json_array_get(list, i), &(*out)[i]) &&
                 (i == 0 || (*out)[i - 1].number < (*out)[i].number);
    }
    json_decref(answer);
    if (rc == 0 && !ok) rc = not_understood(c);
    if (rc == 0) {
        *count = n;
    } else {
        free(*out);
        *out = NULL;
    }
    return rc;
}

int wfldb_upload_parts(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                       wfldb_part **out, size_t *count, wfldb_error *err)
{
    struct call c;
    int         rc;

    *out = NULL;
    *count = 0;
    call_init(&c, db, "GET", bucket, key, err);
    call_param(&c, "upload", upload->id);
    rc = call_send(&c);
    if (rc == 0) rc = take_parts(&c, out, count);
    call_fini(&c);
    return rc;
}

static void write_completion(wfl_buf *text, const wfldb_part *parts, size_t count,
                             const char *blake3)
{
    wfl_json json;

    wfl_json_init(&json, text);
    wfl_json_object(&json);
    wfl_json_key(&json, "parts");
    wfl_json_array(&json);
    for (size_t i = 0; i < count; i++) {
        wfl_json_object(&json);
        wfl_json_key(&json, "part");
        wfl_json_u64(&json, parts[i].number);
        wfl_json_key(&json, "blake3");
        wfl_json_cstr(&json, parts[i].blake3);
        wfl_json_end(&json);
    }
    wfl_json_end(&json);
    if (blake3 != NULL) {
        wfl_json_key(&json, "blake3");
        wfl_json_cstr(&json, blake3);
    }
    wfl_json_end(&json);
}

int upload_complete(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                    const wfldb_part *parts, size_t count, const char *blake3,
                    const struct watch *watch, wfldb_object *out, wfldb_error *err)
{
    struct call c;
    wfl_buf     text;
    wfl_hash    hash;
    char        hex[65];
    int         rc;

    wfl_buf_init(&text, &wfl_alloc_libc, 2u << 20);
    write_completion(&text, parts, count, blake3);
    call_init(&c, db, "POST", bucket, key, err);
    c.patient = true; /* the server reads the whole to hash it */
    set_watch(&c, watch);
    c.body = text.data;
    c.body_len = text.len;
    c.has_body = true;
    call_param(&c, "upload", upload->id);
    hash = wfl_hash_of(wfl_buf_slice(&text));
    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
    call_header(&c, "X-WflDB-Content-BLAKE3", wfl_slice_str(hex));
    call_header(&c, "Content-Type", WFL_S("application/json"));
    rc = wfl_buf_ok(&text) ? call_send(&c) : call_fail(&c, "memory", "out of memory");
    if (rc == 0) rc = object_read(&c, out);
    if (rc == 0) {
        out->size = 0;
        for (size_t i = 0; i < count; i++)
            out->size += parts[i].size;
        out->created = c.status == 201;
        if (out->blake3[0] == '\0' || (blake3 != NULL && strcmp(out->blake3, blake3) != 0)) {
            wfldb_object_free(out);
            rc = call_fail(&c, "corrupt", "the server stored other bytes than were sent");
        }
    }
    call_fini(&c);
    wfl_buf_fini(&text);
    return rc;
}

int wfldb_upload_complete(wfldb *db, const char *bucket, const char *key,
                          const wfldb_upload *upload, const wfldb_part *parts, size_t count,
                          const char *blake3, wfldb_object *out, wfldb_error *err)
{
    return upload_complete(db, bucket, key, upload, parts, count, blake3, NULL, out, err);
}

static int abort_upload(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                        long timeout_ms, wfldb_error *err)
{
    struct call c;
    int         rc;

    call_init(&c, db, "DELETE", bucket, key, err);
    c.timeout_ms = timeout_ms;
    c.single = timeout_ms > 0; /* nobody waits */
    call_param(&c, "upload", upload->id);
    rc = call_send(&c);
    call_fini(&c);
    return rc;
}

int wfldb_upload_abort(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload,
                       wfldb_error *err)
{
    return abort_upload(db, bucket, key, upload, 0, err);
}

void upload_give_up(wfldb *db, const char *bucket, const char *key, const wfldb_upload *upload)
{
    wfldb_error ignored;

    (void)abort_upload(db, bucket, key, upload, GIVE_UP_TIMEOUT_MS, &ignored);
}
