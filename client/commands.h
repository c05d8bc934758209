/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of wfldb: each gets its words and options and returns an exit code. */
#ifndef WFL_CLIENT_COMMANDS_H
#define WFL_CLIENT_COMMANDS_H

#include "client/cli.h"
#include "client/wfldb.h"

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
};

int command_put(struct command *c);
int command_get(struct command *c);
int command_cat(struct command *c);
int command_rm(struct command *c);
int command_stat(struct command *c);
int command_ls(struct command *c);
int command_mb(struct command *c);
int command_rb(struct command *c);

/* "BUCKET/KEY" in two; both are freed by the caller with one free(*bucket). */
int command_split(const char *text, bool key_needed, char **bucket, const char **key);
/* A word that must be a bucket's name and nothing more. */
int command_check_bucket(const char *text);
/* The exit code for a failed call, told on stderr. */
int command_failed(const wfldb_error *err, const char *what);

#endif
