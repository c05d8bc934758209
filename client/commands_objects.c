/* SPDX-License-Identifier: Apache-2.0
 *
 * put, get, cat, rm, stat. A get into a file writes a new file beside it, checks the hash, and only
 * then takes the name: a download that broke off never looks like a good one. */
#include "client/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64u << 20) /* one PUT from memory; the server has its own limit */
#define TEXT_BYTES_MAX (1u << 20)

int command_failed(const wfldb_error *err, const char *what)
{
    int code = err->status == 404                  ? CLI_NOT_FOUND
               : err->status >= 400                ? CLI_REFUSED
               : strcmp(err->code, "request") == 0 ? CLI_USAGE
                                                   : CLI_FAILED;

    if (err->request_id[0] != '\0') {
        return cli_fail(code, "%s: %s (%s, request %s)", what, err->detail, err->code,
                        err->request_id);
    }
    return cli_fail(code, "%s: %s (%s)", what, err->detail, err->code);
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

/* "name=value" words into pairs; the words are cut in place in copies. */
static int make_pairs(const char *const *words, uint32_t count, wfldb_pair *out, const char *option)
{
    for (uint32_t i = 0; i < count; i++) {
        char *name = strdup(words[i]), *equals = name == NULL ? NULL : strchr(name, '=');

        if (equals == NULL) {
            free(name);
            for (uint32_t k = 0; k < i; k++)
                free((char *)(uintptr_t)out[k].name);
            return cli_fail(CLI_USAGE, "%s %s is not NAME=VALUE", option, words[i]);
        }
        *equals = '\0';
        out[i] = (wfldb_pair){name, equals + 1};
    }
    return CLI_DONE;
}

static void free_pairs(wfldb_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free((char *)(uintptr_t)pairs[i].name);
}

/* ---- printing */

static void write_pairs(wfl_json *json, const char *name, const wfldb_pair *pairs, size_t count)
{
    wfl_json_key(json, name);
    wfl_json_object(json);
    for (size_t i = 0; i < count; i++) {
        wfl_json_key(json, pairs[i].name);
        wfl_json_cstr(json, pairs[i].value);
    }
    wfl_json_end(json);
}

static void print_object_json(const char *bucket, const char *key, const wfldb_object *o,
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
        write_pairs(&json, "meta", o->meta, o->meta_count);
        write_pairs(&json, "tags", o->tags, o->tag_count);
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

/* ---- put */

static int put_bytes(struct command *c, const char *bucket, const char *key, const uint8_t *data,
                     size_t len)
{
    const uint32_t    meta_count = c->meta_count, tag_count = c->tag_count;
    wfldb_pair        meta[COMMAND_PAIRS_MAX], tags[COMMAND_PAIRS_MAX];
    wfldb_put_options options = {.content_type = c->content_type,
                                 .meta = meta,
                                 .meta_count = meta_count,
                                 .tags = tags,
                                 .tag_count = tag_count,
                                 .if_match = c->if_match,
                                 .if_none_match = c->if_none_match,
                                 .buffered = c->buffered};
    wfldb_object      object = {0};
    wfldb_error       err;
    int               status = make_pairs(c->meta, meta_count, meta, "--meta");

    if (status != CLI_DONE) return status;
    status = make_pairs(c->tags, tag_count, tags, "--tag");
    if (status == CLI_DONE) {
        if (wfldb_put(c->db, bucket, key, data, len, &options, &object, &err) != 0) {
            status = command_failed(&err, c->words.items[1]);
        } else if (c->json) {
            print_object_json(bucket, key, &object, c->words.items[0]);
        } else {
            printf("%s/%s  %llu bytes  %s\n", bucket, key, (unsigned long long)len, object.version);
        }
        free_pairs(tags, tag_count);
    }
    free_pairs(meta, meta_count);
    wfldb_object_free(&object);
    return status;
}

int command_put(struct command *c)
{
    const char *source = c->words.items[0], *key;
    char       *bucket, *whole = NULL;
    uint8_t    *data = NULL;
    size_t      len = 0;
    int         status = command_split(c->words.items[1], false, &bucket, &key);

    if (status != CLI_DONE) return status;
    /* "BUCKET" or "BUCKET/folder/": the file keeps its name. */
    if ((*key == '\0' || key[strlen(key) - 1] == '/') && strcmp(source, "-") != 0) {
        const char *slash = strrchr(source, '/');

        if (asprintf(&whole, "%s%s", key, slash == NULL ? source : slash + 1) < 0) whole = NULL;
        key = whole;
    }
    if (key == NULL || *key == '\0') {
        status = cli_fail(CLI_USAGE, "say where to put it: BUCKET/KEY");
    } else {
        status = cli_read_all(source, FILE_BYTES_MAX, &data, &len);
    }
    if (status == CLI_DONE) status = put_bytes(c, bucket, key, data, len);
    free(data);
    free(whole);
    free(bucket);
    return status;
}

/* ---- get and cat */

struct target {
    FILE       *file;
    const char *name; /* for people */
    int         why;  /* errno of the write that failed */
};

static int to_file(void *ctx, const void *data, size_t len)
{
    struct target *t = ctx;

    if (fwrite(data, 1, len, t->file) == len) return 0;
    t->why = errno;
    return -1;
}

static int fetch(struct command *c, const char *bucket, const char *key, struct target *t,
                 wfldb_object *out)
{
    wfldb_error err;

    if (wfldb_get(c->db, bucket, key, to_file, t, out, &err) == 0) return CLI_DONE;
    if (t->why != 0) return cli_fail(CLI_FAILED, "%s: %s", t->name, strerror(t->why));
    return command_failed(&err, c->words.items[0]);
}

static int get_to_stdout(struct command *c, const char *bucket, const char *key)
{
    struct target t = {.file = stdout, .name = "standard output"};
    wfldb_object  object = {0};
    int           status = fetch(c, bucket, key, &t, &object);

    wfldb_object_free(&object);
    return status;
}

static int fail_errno(const char *path)
{
    return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
}

/* A pipe or a device is written to; a file beside it could only replace it. */
static int get_in_place(struct command *c, const char *bucket, const char *key, const char *path,
                        wfldb_object *out)
{
    struct target t = {.file = fopen(path, "we"), .name = path};
    int           status;

    if (t.file == NULL) return fail_errno(path);
    status = fetch(c, bucket, key, &t, out);
    if (fclose(t.file) != 0 && status == CLI_DONE) status = fail_errno(path);
    return status;
}

/* Complete and on the disk before it takes the name. */
static int get_and_rename(struct command *c, const char *bucket, const char *key, const char *path,
                          mode_t mode, wfldb_object *out)
{
    struct target t = {.name = path};
    char         *temporary = NULL;
    int           status, fd;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) return cli_fail(CLI_FAILED, "out of memory");
    fd = mkstemp(temporary);
    if (fd < 0) {
        status = fail_errno(path);
        free(temporary);
        return status;
    }
    if (fchmod(fd, mode) != 0 || (t.file = fdopen(fd, "w")) == NULL) {
        status = fail_errno(path);
        close(fd);
    } else {
        status = fetch(c, bucket, key, &t, out);
        if (status == CLI_DONE && (fflush(t.file) != 0 || fsync(fd) != 0))
            status = fail_errno(path);
        if (fclose(t.file) != 0 && status == CLI_DONE) status = fail_errno(path);
        if (status == CLI_DONE && rename(temporary, path) != 0) status = fail_errno(path);
    }
    if (status != CLI_DONE) unlink(temporary);
    free(temporary);
    return status;
}

static int get_to_file(struct command *c, const char *bucket, const char *key, const char *path)
{
    char        *real = realpath(path, NULL); /* NULL: nothing is there yet */
    const char  *target = real == NULL ? path : real;
    wfldb_object object = {0};
    struct stat  there;
    bool         exists = stat(target, &there) == 0;
    mode_t       mask = umask(0);
    int          status;

    umask(mask);
    if (exists && S_ISDIR(there.st_mode)) {
        status = cli_fail(CLI_FAILED, "%s is a folder; name the file in it", path);
    } else if (exists && !S_ISREG(there.st_mode)) {
        status = get_in_place(c, bucket, key, target, &object);
    } else {
        status = get_and_rename(c, bucket, key, target,
                                exists ? there.st_mode & 07777 : 0666 & ~mask, &object);
    }
    if (status == CLI_DONE && c->json) print_object_json(bucket, key, &object, path);
    wfldb_object_free(&object);
    free(real);
    return status;
}

int command_get(struct command *c)
{
    const char *key, *path = c->words.count > 1 ? c->words.items[1] : NULL;
    bool        to_stdout = path != NULL && strcmp(path, "-") == 0;
    char       *bucket;
    int         status = command_split(c->words.items[0], true, &bucket, &key);

    if (status != CLI_DONE) return status;
    if (path == NULL) path = strrchr(key, '/') == NULL ? key : strrchr(key, '/') + 1;
    if (*path == '\0') {
        status = cli_fail(CLI_USAGE, "name the file: the key ends with a slash");
    } else if (to_stdout) {
        status = get_to_stdout(c, bucket, key);
    } else {
        status = get_to_file(c, bucket, key, path);
    }
    free(bucket);
    return status;
}

int command_cat(struct command *c)
{
    const char *key;
    char       *bucket;
    int         status = command_split(c->words.items[0], true, &bucket, &key);

    if (status != CLI_DONE) return status;
    status = get_to_stdout(c, bucket, key);
    free(bucket);
    return status;
}

/* ---- rm and stat */

int command_rm(struct command *c)
{
    const char *key;
    char       *bucket;
    wfldb_error err;
    int         status = command_split(c->words.items[0], true, &bucket, &key);

    if (status != CLI_DONE) return status;
    if (wfldb_delete(c->db, bucket, key, c->if_match, &err) != 0)
        status = command_failed(&err, c->words.items[0]);
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
    if (*key == '\0') {
        status = stat_bucket(c, bucket);
    } else if (wfldb_head(c->db, bucket, key, &object, &err) != 0) {
        status = command_failed(&err, c->words.items[0]);
    } else if (c->json) {
        print_object_json(bucket, key, &object, NULL);
    } else {
        print_object(&object);
    }
    wfldb_object_free(&object);
    free(bucket);
    return status;
}
