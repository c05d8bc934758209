/* SPDX-License-Identifier: Apache-2.0
 *
 * cp and mv. Within a bucket both are one batch: no content moves, and of a rename nobody ever sees
 * both names or neither. From one bucket into another the content comes and goes through here. Such
 * a mv removes the source only when the copy is stored with the source's hash, and only if it is
 * still the version that was copied; else both are there, and that is said. */
#include "client/commands.h"
#include "client/progress.h"

#include <stdlib.h>

struct place {
    char       *bucket;
    const char *key;
    char       *made; /* of the key, where it is ours */
};

static void place_fini(struct place *p)
{
    free(p->bucket);
    free(p->made);
}

static int read_places(const struct command *c, struct place *from, struct place *to)
{
    const char *name;
    int         status = command_split(c->words.items[0], true, &from->bucket, &from->key);

    if (status == CLI_DONE) status = command_split(c->words.items[1], false, &to->bucket, &to->key);
    if (status != CLI_DONE || !command_is_folder(to->key)) return status;
    name = strrchr(from->key, '/') == NULL ? from->key : strrchr(from->key, '/') + 1;
    if (*name == '\0')
        return cli_fail(CLI_USAGE, "name the target's key: the source's ends with a slash");
    if (asprintf(&to->made, "%s%s", to->key, name) < 0) {
        to->made = NULL;
        return cli_fail(CLI_FAILED, "out of memory");
    }
    to->key = to->made;
    return CLI_DONE;
}

static void print_copy(const struct command *c, const struct place *from, const struct place *to,
                       const char *version, const char *how)
{
    if (!c->json) {
        printf("%s/%s  %s%s\n", to->bucket, to->key, version, how);
        return;
    }
    command_print_texts((struct command_text[]){{"bucket", to->bucket},
                                                {"key", to->key},
                                                {"version", version},
                                                {"from_bucket", from->bucket},
                                                {"from", from->key}},
                        5);
}

/* ---- within a bucket */

static int copy_within(struct command *c, const struct place *from, const struct place *to,
                       const wfldb_copy_options *options, bool move)
{
    char        version[32];
    wfldb_error err;
    int         rc;

    if (move && strcmp(from->key, to->key) == 0)
        return cli_fail(CLI_USAGE, "%s/%s is there already", to->bucket, to->key);
    rc = move ? wfldb_move(c->db, from->bucket, from->key, to->key, options, version, &err)
              : wfldb_copy(c->db, from->bucket, from->key, to->key, options, version, &err);
    if (rc != 0) return command_failed(&err, c->words.items[0]);
    print_copy(c, from, to, version, "");
    return CLI_DONE;
}

/* ---- into another */

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    progress_show(ctx, done, total);
    return command_is_interrupted();
}

static int remove_source(struct command *c, const struct place *from, const char *version)
{
    char        what[512];
    wfldb_error err;

    if (wfldb_delete(c->db, from->bucket, from->key, version, &err) == 0) return CLI_DONE;
    snprintf(what, sizeof what, "%.200s is copied and still there", c->words.items[0]);
    return command_failed(&err, what);
}

static int copy_across(struct command *c, const struct place *from, const struct place *to,
                       const wfldb_copy_options *options, bool move)
{
    struct progress              progress;
    const wfldb_transfer_options transfer = {.progress = on_progress, .progress_ctx = &progress};
    wfldb_object                 source, object;
    wfldb_error                  err;
    int                          status, rc;

    command_take_signals();
    progress_begin(&progress, !c->json && !c->quiet);
    rc = wfldb_copy_across(c->db, from->bucket, from->key, to->bucket, to->key, options, &transfer,
                           &source, &object, &err);
    progress_end(&progress);
    if (rc != 0) return command_failed(&err, c->words.items[0]);
    status = move ? remove_source(c, from, source.version) : CLI_DONE;
    if (status == CLI_DONE) print_copy(c, from, to, object.version, "  (downloaded and uploaded)");
    wfldb_object_free(&source);
    wfldb_object_free(&object);
    return status;
}

/* ---- the commands */

static int copy_with_options(struct command *c, const struct place *from, const struct place *to,
                             bool move)
{
    wfldb_pair         meta[COMMAND_PAIRS_MAX], tags[COMMAND_PAIRS_MAX];
    wfldb_copy_options options = {.from_version = c->as_of.version,
                                  .if_match = c->if_match,
                                  .if_none_match = c->if_none_match,
                                  .buffered = c->buffered,
                                  .meta = c->meta_count == 0 ? NULL : meta,
                                  .meta_count = c->meta_count,
                                  .tags = c->tag_count == 0 ? NULL : tags,
                                  .tag_count = c->tag_count};
    int                status = command_make_pairs(c->meta, c->meta_count, meta, "--meta");

    if (status != CLI_DONE) return status;
    status = command_make_pairs(c->tags, c->tag_count, tags, "--tag");
    if (status == CLI_DONE) {
        status = strcmp(from->bucket, to->bucket) == 0 ? copy_within(c, from, to, &options, move)
                                                       : copy_across(c, from, to, &options, move);
        command_free_pairs(tags, c->tag_count);
    }
    command_free_pairs(meta, c->meta_count);
    return status;
}

static int copy_or_move(struct command *c, bool move)
{
    struct place from = {0}, to = {0};
    int          status = CLI_DONE;

    if (c->if_match != NULL && c->if_none_match)
        return cli_fail(CLI_USAGE, "--if-match or --if-none-match, not both");
    status = read_places(c, &from, &to);
    if (status == CLI_DONE) status = copy_with_options(c, &from, &to, move);
    place_fini(&from);
    place_fini(&to);
    return status;
}

int command_cp(struct command *c)
{
    return copy_or_move(c, false);
}

int command_mv(struct command *c)
{
    return copy_or_move(c, true);
}
