/* SPDX-License-Identifier: Apache-2.0
 *
 * mb, rb, settings. */
#include "client/commands.h"

#include <jansson.h>
#include <stdlib.h>

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

/* ---- settings */

/* NAME=VALUE words as one object; a VALUE is JSON. NULL: told on stderr. */
static char *make_patch(const char *const *words, uint32_t count, int *status)
{
    json_t *patch = json_object();
    char   *text;

    for (uint32_t i = 0; i < count; i++) {
        const char *equals = strchr(words[i], '=');
        json_t     *value = equals == NULL ? NULL : json_loads(equals + 1, JSON_DECODE_ANY, NULL);
        size_t      len = equals == NULL ? 0 : (size_t)(equals - words[i]);

        if (value == NULL || len == 0) {
            json_decref(value);
            json_decref(patch);
            *status = cli_fail(CLI_USAGE, "%s is not NAME=VALUE with a number, true, false or null",
                               words[i]);
            return NULL;
        }
        if (json_object_getn(patch, words[i], len) != NULL) {
            json_decref(value);
            json_decref(patch);
            *status = cli_fail(CLI_USAGE, "%.*s is given twice", (int)len, words[i]);
            return NULL;
        }
        if (json_object_setn_new(patch, words[i], len, value) != 0) {
            json_decref(patch);
            *status = cli_fail(CLI_USAGE, "a NAME is not UTF-8");
            return NULL;
        }
    }
    text = json_dumps(patch, JSON_COMPACT);
    json_decref(patch);
    if (text == NULL) *status = cli_fail(CLI_FAILED, "out of memory");
    return text;
}

static void print_settings(const char *document)
{
    json_t     *root = json_loads(document, 0, NULL), *value;
    const char *name;

    json_object_foreach(json_object_get(root, "settings"), name, value)
    {
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        printf("%-22s %s\n", name, text == NULL ? "" : text);
        free(text);
    }
    json_decref(root);
}

int command_settings(struct command *c)
{
    const char *bucket = c->words.items[0];
    char       *document = NULL, *patch = NULL;
    wfldb_error err;
    int         status = command_check_bucket(bucket), rc;

    if (status == CLI_DONE && c->words.count > 1)
        patch = make_patch(c->words.items + 1, c->words.count - 1, &status);
    if (status != CLI_DONE) return status;
    rc = patch == NULL ? wfldb_bucket_info(c->db, bucket, &document, &err)
                       : wfldb_bucket_patch(c->db, bucket, patch, &document, &err);
    free(patch);
    if (rc != 0) return command_failed(&err, bucket);
    if (c->json)
        puts(document);
    else
        print_settings(document);
    free(document);
    return CLI_DONE;
}
