/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches, and what is one: a copy within a bucket, a rename. Ops become the JSON of the protocol;
 * contents go as base64, which carries every byte. JSON carries no name that is not UTF-8: such a
 * batch is not sent, since a writer could only put other characters in its place. */
#include "client/client_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (32u << 20) /* the server refuses half of it, in its own words */

/* ---- ops as JSON */

static void write_text(wfl_json *json, const char *name, const char *value)
{
    if (value == NULL) return;
    wfl_json_key(json, name);
    wfl_json_cstr(json, value);
}

static void write_pairs(wfl_json *json, const char *name, const wfldb_pair *pairs, size_t count)
{
    if (pairs == NULL) return;
    wfl_json_key(json, name);
    wfl_json_object(json);
    for (size_t i = 0; i < count; i++) {
        wfl_json_key(json, pairs[i].name);
        wfl_json_cstr(json, pairs[i].value);
    }
    wfl_json_end(json);
}

static void write_content(wfl_json *json, const wfldb_op *op)
{
    char *text = op->data_len > TEXT_MAX ? NULL : malloc(WFL_B64_LEN(op->data_len) + 1);

    wfl_json_key(json, "base64");
    if (text == NULL) {
        json->out->failed = true;
        wfl_json_null(json);
        return;
    }
    wfl_b64_encode(wfl_slice_of(op->data, op->data_len), text);
    wfl_json_cstr(json, text);
    free(text);
}

static void write_op(wfl_json *json, const wfldb_op *op)
{
    static const char *const kinds[] = {[WFLDB_PUT] = "put",
                                        [WFLDB_DELETE] = "delete",
                                        [WFLDB_COPY] = "copy",
                                        [WFLDB_CHECK] = "check"};
    bool                     carries = op->kind == WFLDB_PUT || op->kind == WFLDB_COPY;

    wfl_json_object(json);
    write_text(json, "op", kinds[op->kind]);
    write_text(json, "bucket", op->bucket);
    write_text(json, "key", op->key);
    write_text(json, "if", op->if_match);
    if (op->if_none_match && op->if_match == NULL) {
        wfl_json_key(json, "if");
        wfl_json_null(json);
    }
    if (op->kind == WFLDB_PUT) {
        write_content(json, op);
        write_text(json, "content_type", op->content_type);
    }
    if (op->kind == WFLDB_COPY) {
        write_text(json, "from", op->from);
        write_text(json, "from_version", op->from_version);
    }
    if (carries) {
        write_pairs(json, "meta", op->meta, op->meta_count);
        write_pairs(json, "tags", op->tags, op->tag_count);
    }
    wfl_json_end(json);
}

static bool are_pairs_utf8(const wfldb_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!call_is_utf8(pairs[i].name) || !call_is_utf8(pairs[i].value)) return false;
    }
    return true;
}

static bool is_op_utf8(const wfldb_op *op)
{
    return call_is_utf8(op->bucket) && call_is_utf8(op->key) && call_is_utf8(op->if_match) &&
           call_is_utf8(op->content_type) && call_is_utf8(op->from) &&
           call_is_utf8(op->from_version) && are_pairs_utf8(op->meta, op->meta_count) &&
           are_pairs_utf8(op->tags, op->tag_count);
}

static int fail(wfldb_error *err, const char *code, const char *detail)
{
    struct call c = {.err = err};

    memset(err, 0, sizeof *err);
    return call_fail(&c, code, detail);
}

static int write_ops(const wfldb_op *ops, size_t count, wfl_buf *text, wfldb_error *err)
{
    wfl_json json;
    uint64_t content = 0;

    wfl_json_init(&json, text);
    wfl_json_object(&json);
    wfl_json_key(&json, "ops");
    wfl_json_array(&json);
    for (size_t i = 0; i < count; i++) {
        if (!is_op_utf8(&ops[i])) return fail(err, "request", "a name or value is not UTF-8");
        if (ops[i].data_len > TEXT_MAX - content)
            return fail(err, "request", "a batch has at most 16 MiB");
        content += ops[i].kind == WFLDB_PUT ? ops[i].data_len : 0;
        write_op(&json, &ops[i]);
    }
    wfl_json_end(&json);
    wfl_json_end(&json);
    return wfl_buf_ok(text) ? 0 : fail(err, "memory", "out of memory, or a batch above 16 MiB");
}

/* ---- a batch */

/* Which conditions did not hold, out of the problem document. */
static void read_failed(const struct call *c, uint32_t *failed, size_t *count)
{
    json_t *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL), *index;
    size_t  i;

    json_array_foreach(json_object_get(root, "failed"), i, index)
    {
        json_int_t op = json_integer_value(index);

        if (*count < WFLDB_OPS_MAX && json_is_integer(index) && op >= 0 && op < WFLDB_OPS_MAX)
            failed[(*count)++] = (uint32_t)op;
    }
    json_decref(root);
}

int wfldb_batch_json(wfldb *db, const char *bucket, const char *json, size_t json_len, int buffered,
                     char **document, uint32_t *failed, size_t *failed_count, wfldb_error *err)
{
    struct call c;
    char        hex[65];
    int         rc;

    *failed_count = 0;
    call_init(&c, db, "POST", bucket == NULL ? "-" : bucket, "batch", err);
    call_json_body(&c, json, json_len, hex);
    if (buffered) call_header(&c, "X-WflDB-Durability", WFL_S("buffered"));
    rc = call_send(&c);
    if (rc == 0)
        rc = call_take_document(&c, document);
    else if (err->status == 412)
        read_failed(&c, failed, failed_count);
    call_fini(&c);
    return rc;
}

static int read_results(const char *document, size_t count, wfldb_op_result *results,
                        wfldb_error *err)
{
    json_t *root = json_loads(document, 0, NULL), *list = json_object_get(root, "results"), *item;
    bool    good = json_array_size(list) == count;
    size_t  i;

    if (root == NULL) return fail(err, "memory", "out of memory"); /* it was understood before */
    json_array_foreach(list, i, item)
    {
        const char *version = json_string_value(json_object_get(item, "version"));

        if (good) {
            snprintf(results[i].version, sizeof results[i].version, "%s",
                     version == NULL ? "" : version);
        }
    }
    json_decref(root);
    return good ? 0
                : fail(err, "answer", "the answer has not one result an op; check the endpoint");
}

int wfldb_batch(wfldb *db, const char *bucket, const wfldb_op *ops, size_t count, int buffered,
                wfldb_op_result *results, wfldb_error *err)
{
    uint32_t failed[WFLDB_OPS_MAX];
    size_t   failed_count;
    wfl_buf  text;
    char    *document = NULL;
    int      rc;

    if (results != NULL && count > 0) memset(results, 0, count * sizeof *results);
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_MAX);
    rc = write_ops(ops, count, &text, err);
    if (rc == 0) {
        rc = wfldb_batch_json(db, bucket, (const char *)text.data, text.len, buffered, &document,
                              failed, &failed_count, err);
        for (size_t i = 0; results != NULL && i < failed_count; i++)
            if (failed[i] < count) results[failed[i]].failed = 1;
    }
    wfl_buf_fini(&text);
    if (rc == 0 && results != NULL) rc = read_results(document, count, results, err);
    free(document);
    return rc;
}

/* ---- copies */

static wfldb_op copy_op(const char *from, const char *to, const wfldb_copy_options *o)
{
    return (wfldb_op){.kind = WFLDB_COPY,
                      .key = to,
                      .from = from,
                      .from_version = o->from_version,
                      .if_match = o->if_match,
                      .if_none_match = o->if_none_match,
                      .meta = o->meta,
                      .meta_count = o->meta_count,
                      .tags = o->tags,
                      .tag_count = o->tag_count};
}

static int copy(wfldb *db, const char *bucket, const wfldb_op *ops, size_t count, int buffered,
                char version[32], wfldb_error *err)
{
    wfldb_op_result results[2];
    int             rc = wfldb_batch(db, bucket, ops, count, buffered, results, err);

    if (rc == 0 && version != NULL) memcpy(version, results[0].version, 32);
    return rc;
}

int wfldb_copy(wfldb *db, const char *bucket, const char *from, const char *to,
               const wfldb_copy_options *options, char version[32], wfldb_error *err)
{
    const wfldb_copy_options none = {0}, *o = options == NULL ? &none : options;
    const wfldb_op           op = copy_op(from, to, o);

    return copy(db, bucket, &op, 1, o->buffered, version, err);
}

int wfldb_move(wfldb *db, const char *bucket, const char *from, const char *to,
               const wfldb_copy_options *options, char version[32], wfldb_error *err)
{
    const wfldb_copy_options none = {0}, *o = options == NULL ? &none : options;
    const wfldb_op           ops[] = {copy_op(from, to, o), {.kind = WFLDB_DELETE, .key = from}};

    if (o->from_version != NULL)
        return fail(err, "request", "an older version can be copied, not moved");
    return copy(db, bucket, ops, 2, o->buffered, version, err);
}
