/* SPDX-License-Identifier: Apache-2.0
 *
 * put, get, cat: what their words and options mean; the work is the library's. */
#include "client/commands.h"
#include "client/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options */

/* $XDG_STATE_HOME/wfldb, else ~/.local/state/wfldb; NULL: nowhere. */
static char *state_folder(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char       *out = NULL;
    int         n = -1;

    if (state != NULL && *state == '/')
        n = asprintf(&out, "%s/wfldb", state);
    else if (home != NULL && *home == '/')
        n = asprintf(&out, "%s/.local/state/wfldb", home);
    return n < 0 ? NULL : out;
}

/* "1048576", "16M", "1GiB". */
static bool parse_bytes(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        unsigned    shift;
    } units[] = {{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"K", 10}, {"M", 20}, {"G", 30}, {"", 0}};
    size_t len = strlen(text);

    for (size_t i = 0; i < WFL_COUNT(units); i++) {
        size_t unit = strlen(units[i].unit);

        if (len <= unit || strcmp(text + len - unit, units[i].unit) != 0) continue;
        if (!wfl_slice_to_u64(wfl_slice_of(text, len - unit), UINT64_MAX >> 31, out)) return false;
        *out <<= units[i].shift;
        return true;
    }
    return false;
}

/* ---- a transfer under way */

struct work {
    struct progress        progress;
    wfldb_transfer_options options;
    char                  *state_dir;
};

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct work *w = ctx;

    progress_show(&w->progress, done, total);
    return command_is_interrupted();
}

static int work_begin(struct work *w, struct command *c, bool draw)
{
    uint64_t parallel = 0, part_bytes = 0;

    *w = (struct work){0};
    if (c->parallel != NULL &&
        (!wfl_slice_to_u64(wfl_slice_str(c->parallel), 16, &parallel) || parallel == 0))
        return cli_fail(CLI_USAGE, "--parallel is 1 to 16 parts at once");
    if (c->part_size != NULL && (!parse_bytes(c->part_size, &part_bytes) || part_bytes < 1u << 20))
        return cli_fail(CLI_USAGE, "--part-size is a number of bytes, or like 16M; at least 1M");
    if (!c->no_resume) w->state_dir = state_folder();
    w->options = (wfldb_transfer_options){.part_bytes = part_bytes,
                                          .parallel = (unsigned)parallel,
                                          .no_multipart = c->no_multipart,
                                          .state_dir = w->state_dir,
                                          .progress = on_progress,
                                          .progress_ctx = w,
                                          .as_of = c->as_of};
    command_take_signals();
    progress_begin(&w->progress, draw && !c->json && !c->quiet);
    return CLI_DONE;
}

static void work_end(struct work *w)
{
    progress_end(&w->progress);
    free(w->state_dir);
}

/* ---- put */

static int put_fd(struct command *c, const char *bucket, const char *key, int fd, const char *path,
                  const wfldb_put_options *options)
{
    wfldb_object object = {0};
    wfldb_error  err;
    struct work  work;
    int          status = work_begin(&work, c, true), rc;

    if (status != CLI_DONE) return status;
    rc = wfldb_put_fd(c->db, bucket, key, fd, path, options, &work.options, &object, &err);
    work_end(&work);
    if (rc != 0) {
        status = strcmp(err.code, "source") == 0
                     ? cli_fail(CLI_FAILED, "%s: %s", c->words.items[0], err.detail)
                     : command_failed(&err, c->words.items[1]);
    } else if (c->json) {
        command_print_object(bucket, key, &object, c->words.items[0]);
    } else {
        printf("%s/%s  %llu bytes  %s\n", bucket, key, (unsigned long long)object.size,
               object.version);
    }
    wfldb_object_free(&object);
    return status;
}

static int put_with_options(struct command *c, const char *bucket, const char *key, int fd,
                            const char *path)
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
    int               status = command_make_pairs(c->meta, meta_count, meta, "--meta");

    if (status != CLI_DONE) return status;
    status = command_make_pairs(c->tags, tag_count, tags, "--tag");
    if (status == CLI_DONE) {
        status = put_fd(c, bucket, key, fd, path, &options);
        command_free_pairs(tags, tag_count);
    }
    command_free_pairs(meta, meta_count);
    return status;
}

static int put_source(struct command *c, const char *bucket, const char *key, const char *source)
{
    int fd, status;

    if (strcmp(source, "-") == 0) return put_with_options(c, bucket, key, STDIN_FILENO, NULL);
    fd = open(source, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return cli_fail(CLI_FAILED, "%s: %s", source, strerror(errno));
    status = put_with_options(c, bucket, key, fd, source);
    close(fd);
    return status;
}

int command_put(struct command *c)
{
    const char *source = c->words.items[0], *key;
    char       *bucket, *whole = NULL;
    int         status = command_split(c->words.items[1], false, &bucket, &key);

    if (status != CLI_DONE) return status;
    /* "BUCKET" or "BUCKET/folder/": the file keeps its name. */
    if (command_is_folder(key) && strcmp(source, "-") != 0) {
        const char *slash = strrchr(source, '/');

        if (asprintf(&whole, "%s%s", key, slash == NULL ? source : slash + 1) < 0) whole = NULL;
        key = whole;
    }
    if (key == NULL || *key == '\0')
        status = cli_fail(CLI_USAGE, "say where to put it: BUCKET/KEY");
    else
        status = put_source(c, bucket, key, source);
    free(whole);
    free(bucket);
    return status;
}

/* ---- get and cat */

static int get_failed(struct command *c, const wfldb_error *err, const char *name)
{
    if (strcmp(err->code, "sink") != 0) return command_failed(err, c->words.items[0]);
    return name == NULL ? cli_fail(CLI_FAILED, "%s", err->detail)
                        : cli_fail(CLI_FAILED, "%s: %s", name, err->detail);
}

/* A pipe or a device is written to; a file beside it could only replace it. */
static int get_in_order(struct command *c, const char *bucket, const char *key, int fd,
                        const char *name, wfldb_object *out)
{
    wfldb_error err;
    struct work work;
    int         status = work_begin(&work, c, !isatty(fd)), rc;

    if (status != CLI_DONE) return status;
    rc = wfldb_get_fd(c->db, bucket, key, fd, &work.options, out, &err);
    work_end(&work);
    return rc == 0 ? CLI_DONE : get_failed(c, &err, name);
}

static int get_to_stdout(struct command *c, const char *bucket, const char *key)
{
    wfldb_object object = {0};
    int          status = get_in_order(c, bucket, key, STDOUT_FILENO, "standard output", &object);

    wfldb_object_free(&object);
    return status;
}

static int get_in_place(struct command *c, const char *bucket, const char *key, const char *path,
                        wfldb_object *out)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_NOCTTY | O_CLOEXEC), status;

    if (fd < 0) return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
    status = get_in_order(c, bucket, key, fd, path, out);
    if (close(fd) != 0 && status == CLI_DONE)
        status = cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
    return status;
}

static int get_and_rename(struct command *c, const char *bucket, const char *key, const char *path,
                          mode_t mode, wfldb_object *out)
{
    wfldb_error err;
    struct work work;
    int         status = work_begin(&work, c, true), rc;

    if (status != CLI_DONE) return status;
    rc = wfldb_get_file(c->db, bucket, key, path, mode, &work.options, out, &err);
    work_end(&work);
    return rc == 0 ? CLI_DONE : get_failed(c, &err, NULL);
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
    if (status == CLI_DONE && c->json) command_print_object(bucket, key, &object, path);
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
