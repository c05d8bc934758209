/* SPDX-License-Identifier: Apache-2.0
 *
 * batch: a JSON text as the protocol has it, in one request. */
#include "client/commands.h"

#include <jansson.h>
#include <stdlib.h>

#define BATCH_BYTES_MAX  (16u << 20)
#define FAILED_SHOWN_MAX 400 /* characters */

static void print_results(const char *document)
{
    json_t *root = json_loads(document, 0, NULL), *result;
    size_t  i;

    json_array_foreach(json_object_get(root, "results"), i, result)
    {
        const char *bucket = json_string_value(json_object_get(result, "bucket"));
        const char *key = json_string_value(json_object_get(result, "key"));
        const char *version = json_string_value(json_object_get(result, "version"));

        printf("%s%s%s  %s\n", bucket == NULL ? "" : bucket, bucket == NULL ? "" : "/",
               key == NULL ? "" : key, version == NULL ? "-" : version); /* of a check */
    }
    json_decref(root);
}

static int batch_failed(const wfldb_error *err, const char *name, const uint32_t *failed,
                        size_t count)
{
    char   what[FAILED_SHOWN_MAX + 64];
    size_t len = (size_t)snprintf(what, sizeof what, "%.200s: ops", name);

    if (count == 0) return command_failed(err, name);
    for (size_t i = 0; i < count && len < FAILED_SHOWN_MAX; i++)
        len +=
            (size_t)snprintf(what + len, sizeof what - len, "%s %u", i == 0 ? "" : ",", failed[i]);
    if (len >= FAILED_SHOWN_MAX) snprintf(what + len, sizeof what - len, ", ...");
    return command_failed(err, what);
}

int command_batch(struct command *c)
{
    const char *name = c->words.items[0];
    const char *bucket = c->words.count > 1 ? c->words.items[1] : NULL;
    uint32_t    failed[WFLDB_OPS_MAX];
    size_t      failed_count, len = 0;
    uint8_t    *text = NULL;
    char       *document = NULL;
    wfldb_error err;
    int         status = bucket == NULL ? CLI_DONE : command_check_bucket(bucket);

    if (status == CLI_DONE) status = cli_read_all(name, BATCH_BYTES_MAX, &text, &len);
    if (status != CLI_DONE) return status;
    if (wfldb_batch_json(c->db, bucket, (const char *)text, len, c->buffered, &document, failed,
                         &failed_count, &err) != 0)
        status = batch_failed(&err, name, failed, failed_count);
    else if (c->json)
        puts(document);
    else
        print_results(document);
    free(document);
    free(text);
    return status;
}
