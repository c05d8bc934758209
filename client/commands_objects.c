/* SPDX-License-Identifier: Apache-2.0
 *
 * rm and stat, and what commands on objects share: names, failures, printing. */
#include "client/commands.h"

#include <signal.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX (1u << 20)

int command_failed(const wfldb_error *err, const char *what)
{
    return cli_call_failed(err, what);
}

int command_split(const char *text, bool key_needed, char **bucket, const char **key)
{
    char *slash;

    *bucket = strdup(text);
    if (*bucket == NULL) return cli_fail(CLI_FAILED, "out of memory");
    slash = strchr(*bucket, '/');
    *key = slash == NULL ? "" : slash + 1;
    if (slash != NULL) *slash = '\0';
    if ((key_needed && **key == '\0') || !wfl_name_bucket_valid(wfl_slice_str(*bucket))) {
        free(*bucket);
        *bucket = NULL;
        return cli_fail(CLI_USAGE,
                        "'%s' is not BUCKET%s with a bucket's name (3 to 63 of a-z 0-9 . -)", text,
                        key_needed ? "/KEY" : "");
    }
    return CLI_DONE;
}

int command_check_bucket(const char *text)
{
    if (wfl_name_bucket_valid(wfl_slice_str(text))) return CLI_DONE;
    return cli_fail(CLI_USAGE, "'%s' is no BUCKET: a bucket's name is 3 to 63 of a-z 0-9 . -",
                    text);
}

bool command_is_folder(const char *key)
{
    return *key == '\0' || key[strlen(key) - 1] == '/';
}

/* The words are cut in place, in copies. */
int command_make_pairs(const char *const *words, uint32_t count, wfldb_pair *out,
                       const char *option)
{
    for (uint32_t i = 0; i < count; i++) {
        char *name = strdup(words[i]), *equals = name == NULL ? NULL : strchr(name, '=');

        if (equals == NULL) {
            free(name);
            command_free_pairs(out, i);
            return cli_fail(CLI_USAGE, "%s %s is not NAME=VALUE", option, words[i]);
        }
        *equals = '\0';
        out[i] = (wfldb_pair){name, equals + 1};
    }
    return CLI_DONE;
}

void command_free_pairs(wfldb_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free((char *)(uintptr_t)pairs[i].name);
}

/* ---- signals */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Without SA_RESTART, so that a read or write that waits ends; once, so that the second one kills.
 */
void command_take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    const int        numbers[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < WFL_COUNT(numbers); i++) {
        struct sigaction before;

        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        (void)sigaction(numbers[i], &action, NULL);
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
}

bool command_is_interrupted(void)
{
    return interrupted != 0;
}

/* ---- printing */

void command_write_pairs(wfl_json *json, const char *name, const wfldb_pair *pairs, size_t count)
{
    wfl_json_key(json, name);
    wfl_json_object(json);
    for (size_t i = 0; i < count; i++) {
        wfl_json_key(json, pairs[i].name);
        wfl_json_cstr(json, pairs[i].value);
    }
    wfl_json_end(json);
}

void command_print_object(const char *bucket, const char *key, const wfldb_object *o,
                          const char *file)
{
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "bucket");
    wfl_json_cstr(&json, bucket);
    wfl_json_key(&json, "key");
    wfl_json_cstr(&json, key);
    wfl_json_key(&json, "version");
    wfl_json_cstr(&json, o->version);
    wfl_json_key(&json, "size");
    wfl_json_u64(&json, o->size);
    wfl_json_key(&json, "blake3");
    wfl_json_cstr(&json, o->blake3);
    if (file != NULL) {
        wfl_json_key(&json, "file");
        wfl_json_cstr(&json, file);
    } else {
        wfl_json_key(&json, "content_type");
        wfl_json_cstr(&json, o->content_type == NULL ? "" : o->content_type);
        wfl_json_key(&json, "modified");
        wfl_json_cstr(&json, o->last_modified == NULL ? "" : o->last_modified);
        command_write_pairs(&json, "meta", o->meta, o->meta_count);
        command_write_pairs(&json, "tags", o->tags, o->tag_count);
    }
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

void command_print_texts(const struct command_text *texts, size_t count)
{
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    for (size_t i = 0; i < count; i++) {
        if (texts[i].value == NULL) continue;
        wfl_json_key(&json, texts[i].name);
        wfl_json_cstr(&json, texts[i].value);
    }
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

static void print_object(const wfldb_object *o)
{
    printf("version       %s\nsize          %llu\nblake3        %s\ncontent type  %s\nmodified     "
           " %s\n",
           o->version, (unsigned long long)o->size, o->blake3, o->content_type, o->last_modified);
    for (size_t i = 0; i < o->meta_count; i++)
        printf("meta          %s=%s\n", o->meta[i].name, o->meta[i].value);
    for (size_t i = 0; i < o->tag_count; i++)
        printf("tag           %s=%s\n", o->tags[i].name, o->tags[i].value);
}

/* ---- rm and stat */

int command_rm(struct command *c)
{
    const char *key;
    char       *bucket;
    wfldb_error err;
    int         status = command_split(c->words.items[0], true, &bucket, &key), rc;

    if (status != CLI_DONE) return status;
    if (c->as_of.version != NULL && c->if_match != NULL) {
        free(bucket);
        return cli_fail(CLI_USAGE, "--version erases that one for good, --if-match removes the "
                                   "current one: not both");
    }
    rc = c->as_of.version == NULL ? wfldb_delete(c->db, bucket, key, c->if_match, &err)
                                  : wfldb_erase(c->db, bucket, key, c->as_of.version, &err);
    if (rc != 0) status = command_failed(&err, c->words.items[0]);
    if (status == CLI_DONE && c->json) puts("{}");
    free(bucket);
    return status;
}

static int stat_bucket(struct command *c, const char *bucket)
{
    char       *document;
    wfldb_error err;

    if (wfldb_bucket_info(c->db, bucket, &document, &err) != 0) return command_failed(&err, bucket);
    puts(document); /* JSON is the shortest way to say settings */
    free(document);
    return CLI_DONE;
}

int command_stat(struct command *c)
{
    const char  *key;
    char        *bucket;
    wfldb_object object = {0};
    wfldb_error  err;
    int          status = command_split(c->words.items[0], false, &bucket, &key);

    if (status != CLI_DONE) return status;
    if (*key == '\0' && (c->as_of.version != NULL || c->as_of.at != NULL)) {
        status = cli_fail(CLI_USAGE, "--version and --at need BUCKET/KEY");
    } else if (*key == '\0') {
        status = stat_bucket(c, bucket);
    } else if (wfldb_head_as_of(c->db, bucket, key, &c->as_of, &object, &err) != 0) {
        status = command_failed(&err, c->words.items[0]);
    } else if (c->json) {
        command_print_object(bucket, key, &object, NULL);
    } else {
        print_object(&object);
    }
    wfldb_object_free(&object);
    free(bucket);
    return status;
}
