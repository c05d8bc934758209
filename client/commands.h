/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of wfldb: each gets its words and options and returns an exit code. */
#ifndef WFL_CLIENT_COMMANDS_H
#define WFL_CLIENT_COMMANDS_H

#include "client/cli.h"
#include "client/cli_open.h"

#define COMMAND_PAIRS_MAX 100

struct command {
    wfldb           *db;
    struct cli_words words;
    bool             json;
    bool             longer;    /* -l */
    bool             recursive; /* -r */
    const char      *content_type, *if_match;
    bool             if_none_match, buffered;
    const char      *meta[COMMAND_PAIRS_MAX], *tags[COMMAND_PAIRS_MAX];
    uint32_t         meta_count, tag_count;
    const char      *parallel, *part_size; /* NULL: not given */
    bool             no_multipart, no_resume, quiet;
    wfldb_as_of      as_of;                    /* --version, --at */
    const char      *prefix, *after, *include; /* NULL: not given */
    const char      *bucket, *ttl;             /* the same */
    bool             system, put;
};

int command_put(struct command *c);
int command_get(struct command *c);
int command_cat(struct command *c);
int command_rm(struct command *c);
int command_stat(struct command *c);
int command_ls(struct command *c);
int command_mb(struct command *c);
int command_rb(struct command *c);
int command_settings(struct command *c);
int command_query(struct command *c);
int command_versions(struct command *c);
int command_cp(struct command *c);
int command_mv(struct command *c);
int command_batch(struct command *c);
int command_watch(struct command *c);
int command_session(struct command *c);
int command_share(struct command *c);

/* "BUCKET/KEY" in two; both are freed by the caller with one free(*bucket). */
int command_split(const char *text, bool key_needed, char **bucket, const char **key);
/* BUCKET, or BUCKET/FOLDER/: what is stored there keeps the last part of its name. */
bool command_is_folder(const char *key);
/* "name=value" words into pairs; freed with command_free_pairs. */
int  command_make_pairs(const char *const *words, uint32_t count, wfldb_pair *out,
                        const char *option);
void command_free_pairs(wfldb_pair *pairs, uint32_t count);
/* A word that must be a bucket's name and nothing more. */
int command_check_bucket(const char *text);
/* An object as JSON; `file`: where it came from or went, NULL: what is known of it instead. */
void command_print_object(const char *bucket, const char *key, const wfldb_object *o,
                          const char *file);
void command_write_pairs(wfl_json *json, const char *name, const wfldb_pair *pairs, size_t count);
/* Print a JSON object of texts; NULL values are left out. */
struct command_text {
    const char *name, *value;
};
void command_print_texts(const struct command_text *texts, size_t count);

/* Long work: a first Ctrl-C lets it stop in good order, a second one ends at once. */
void command_take_signals(void);
bool command_is_interrupted(void);
/* The exit code for a failed call, told on stderr. */
int command_failed(const wfldb_error *err, const char *what);

#endif
