/* SPDX-License-Identifier: Apache-2.0
 *
 * What else a key has had: the list of its versions, and erasing one. */
#include "client/client_private.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static void copy_text(const json_t *object, const char *name, char *out, size_t cap)
{
    const char *text = json_string_value(json_object_get(object, name));

    snprintf(out, cap, "%s", text == NULL ? "" : text);
}

static void read_version(const json_t *item, wfldb_version *out)
{
    char op[16];

    copy_text(item, "op", op, sizeof op);
    copy_text(item, "version", out->version, sizeof out->version);
    copy_text(item, "blake3", out->blake3, sizeof out->blake3);
    copy_text(item, "modified", out->modified, sizeof out->modified);
    out->deleted = strcmp(op, "delete") == 0;
    out->size = (uint64_t)json_integer_value(json_object_get(item, "size"));
}

static int read_versions(struct call *c, wfldb_version **out, size_t *count)
{
    json_t        *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    json_t        *list = json_object_get(root, "versions"), *item;
    wfldb_version *versions;
    size_t         i;
    int            rc = 0;

    versions = calloc(json_array_size(list) + 1, sizeof *versions);
    if (!json_is_array(list)) {
        rc = call_fail(c, "answer", "the list of versions is not understood; check the endpoint");
    } else if (versions == NULL) {
        rc = call_fail(c, "memory", "out of memory");
    } else {
        json_array_foreach(list, i, item)
        {
            read_version(item, &versions[i]);
        }
        *count = json_array_size(list);
        *out = versions;
        versions = NULL;
    }
    free(versions);
    json_decref(root);
    return rc;
}

int wfldb_versions(wfldb *db, const char *bucket, const char *key, wfldb_version **out,
                   size_t *count, wfldb_error *err)
{
    struct call c;
    int         rc;

    *out = NULL;
    *count = 0;
    call_init(&c, db, "GET", bucket, key, err);
    call_param(&c, "versions", "");
    rc = call_send(&c);
    if (rc == 0) rc = read_versions(&c, out, count);
    call_fini(&c);
    return rc;
}

int wfldb_erase(wfldb *db, const char *bucket, const char *key, const char *version,
                wfldb_error *err)
{
    struct call c;
    int         rc;

    call_init(&c, db, "DELETE", bucket, key, err);
    call_param(&c, "version", version);
    rc = call_send(&c);
    call_fini(&c);
    return rc;
}
