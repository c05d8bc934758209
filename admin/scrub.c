/* SPDX-License-Identifier: Apache-2.0
 *
 * scrub: has a running server verify all its chunks, shows how far it is, and says what it found.
 * Ending the command does not end the scrub; --status looks at it again, --stop ends it. */
#include "admin/admin.h"
#include "client/cli_open.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 250

static uint64_t number_of(const json_t *root, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(root, name));
}

static const char *text_of(const json_t *root, const char *name)
{
    const char *text = json_string_value(json_object_get(root, name));

    return text == NULL ? "" : text;
}

static void show_progress(const json_t *root)
{
    uint64_t bytes = number_of(root, "bytes"), total = number_of(root, "bytes_total");

    fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " MiB, %" PRIu64 " chunks, %" PRIu64 " corrupt  ",
            bytes >> 20, total >> 20, number_of(root, "chunks"), number_of(root, "corrupt_chunks"));
}

static int print_result(const json_t *root, const char *document, bool as_json)
{
    const char *state = text_of(root, "state");
    uint64_t    corrupt = number_of(root, "corrupt_chunks");
    size_t      i;
    json_t     *item;

    if (as_json) {
        puts(document);
    } else {
        printf("%s: %" PRIu64 " chunks, %" PRIu64 " bytes, %" PRIu64 " corrupt\n", state,
               number_of(root, "chunks"), number_of(root, "bytes"), corrupt);
        json_array_foreach(json_object_get(root, "corrupt"), i, item)
        {
            printf("chunk %s: %s\n", text_of(item, "chunk"), text_of(item, "reason"));
        }
        json_array_foreach(json_object_get(root, "objects"), i, item)
        {
            printf("object %s/%s version %s\n", text_of(item, "bucket"), text_of(item, "key"),
                   text_of(item, "version"));
        }
    }
    if (strcmp(state, "failed") == 0)
        return cli_fail(CLI_FAILED, "the scrub could not go on: %s", text_of(root, "failure"));
    return corrupt > 0 ? CLI_FAILED : CLI_DONE;
}

/* Until the scrub has ended; `document` is the last answer, the caller's to free. */
static int wait_for_end(wfldb *db, bool quiet, char **document, json_t **root)
{
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    bool            bar = !quiet && isatty(STDERR_FILENO);
    wfldb_error     err;

    for (;;) {
        *root = json_loads(*document, JSON_REJECT_DUPLICATES, NULL);
        if (*root == NULL) return cli_fail(CLI_FAILED, "the server's answer is not understood");
        if (bar) show_progress(*root);
        if (strcmp(text_of(*root, "state"), "running") != 0) break;
        json_decref(*root);
        *root = NULL;
        free(*document);
        *document = NULL;
        nanosleep(&pause, NULL);
        if (wfldb_scrub_status(db, document, &err) != 0) return cli_call_failed(&err, "scrub");
    }
    if (bar) fputc('\n', stderr);
    return CLI_DONE;
}

struct question {
    struct cli_server server;
    const char       *rate_text;
    uint32_t has_credential, has_endpoint, has_ca, has_pin, has_rate, as_json, status, stop;
    uint64_t rate;
};

static int ask(const struct question *q)
{
    wfldb      *db = NULL;
    char       *document = NULL;
    json_t     *root = NULL;
    wfldb_error err;
    int         rc, status = cli_open(&q->server, &db);

    if (status != CLI_DONE) return status;
    if (q->stop > 0)
        rc = wfldb_scrub_stop(db, &document, &err);
    else if (q->status > 0)
        rc = wfldb_scrub_status(db, &document, &err);
    else
        rc = wfldb_scrub_start(db, q->rate, &document, &err);
    if (rc != 0)
        status = cli_call_failed(&err, "scrub");
    else if (q->status > 0 || q->stop > 0)
        root = json_loads(document, JSON_REJECT_DUPLICATES, NULL);
    else
        status = wait_for_end(db, q->as_json > 0, &document, &root);
    if (status == CLI_DONE) status = print_result(root, document, q->as_json > 0);
    json_decref(root);
    free(document);
    wfldb_close(db);
    return status;
}

int admin_scrub(int argc, char **argv)
{
    struct question         q = {0};
    struct cli_words        words = {0};
    const struct cli_option options[] = {
        {.name = "--credential",
         .has_value = true,
         .values = &q.server.credential,
         .max = 1,
         .count = &q.has_credential},
        {.name = "--endpoint",
         .has_value = true,
         .values = &q.server.endpoint,
         .max = 1,
         .count = &q.has_endpoint},
        {.name = "--ca", .has_value = true, .values = &q.server.ca, .max = 1, .count = &q.has_ca},
        {.name = "--pin",
         .has_value = true,
         .values = &q.server.pin,
         .max = 1,
         .count = &q.has_pin},
        {.name = "--rate",
         .has_value = true,
         .values = &q.rate_text,
         .max = 1,
         .count = &q.has_rate},
        {.name = "--json", .count = &q.as_json},
        {.name = "--status", .count = &q.status},
        {.name = "--stop", .count = &q.stop},
    };
    int status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count > 0 || (q.status > 0) + (q.stop > 0) + (q.has_rate > 0) > 1)
        return cli_fail(CLI_USAGE, "use it so: wfldb-admin scrub [--rate N | --status | --stop]");
    if (q.has_rate > 0 && !wfl_slice_to_u64(wfl_slice_str(q.rate_text), UINT64_MAX, &q.rate))
        return cli_fail(CLI_USAGE, "--rate takes a number of bytes per second");
    return ask(&q);
}
