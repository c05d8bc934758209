/* SPDX-License-Identifier: Apache-2.0
 *
 * What the command-line programs share: options, exit codes, errors on stderr as one line,
 * credential files, times and sizes in words. */
#ifndef WFL_CLIENT_CLI_H
#define WFL_CLIENT_CLI_H

#include "auth/auth.h"

#include <stdio.h>

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_REFUSED = 3, CLI_NOT_FOUND = 4 };

/* "program: message" on stderr, one line; returns `code`. */
WFL_PRINTF(2, 3) int cli_fail(int code, const char *format, ...);
#ifdef __clang_analyzer__ /* as with wfl_fail */
#define cli_fail(code, ...) ((void)cli_fail(code, __VA_ARGS__), (code))
#endif
void cli_set_program(const char *name);
/* At the end of main: what was printed must have been written. `status`, or CLI_FAILED. */
int cli_finish(int status);

/* A text that may be longer than standard output's buffer; the exit code. */
int cli_print_help(const char *text);

struct cli_option {
    const char  *name; /* "--grant"; a short form beside it: "-l" */
    const char  *also; /* NULL: none */
    bool         has_value;
    bool         repeats;
    const char **values; /* place for the values (char * each), `max` of them */
    uint32_t     max;
    uint32_t    *count; /* how many were given; flags too */
    /* The value may be left out, which makes it NULL: the next word is one where this says so.
     * NULL: it must be there. */
    bool (*fits)(const char *word);
};
#define CLI_WORDS_MAX 16
struct cli_words {
    const char *items[CLI_WORDS_MAX];
    uint32_t    count;
};
/* Options may stand anywhere; "--" ends them; "--name=value" works too; "-" is a word. CLI_DONE or
 * CLI_USAGE, told on stderr. */
int cli_parse(int argc, char **argv, const struct cli_option *options, size_t option_count,
              struct cli_words *words);

/* "30d", "12h", "5m", "90s", "90": seconds, at least 1. */
WFL_MUST_USE bool cli_parse_seconds(const char *text, int64_t *out);
/* 'BUCKET[:PREFIX]=OP,OP': split at the first ':' and the last '='. Slices point into `text`. */
WFL_MUST_USE bool cli_parse_grant(const char *text, struct wfl_grant *out);

struct cli_credential {
    struct wfl_key_pair   key;
    wfl_slice             packet;
    struct wfl_key_server server;
    wfl_arena             arena;
};
/* From `path`, $WFLDB_CREDENTIAL or ~/.config/wfldb/credential.json. Told on stderr. */
int  cli_load_credential(const char *path, struct cli_credential *out);
void cli_credential_fini(struct cli_credential *c);

/* A whole file or, for "-", standard input, at most `max` bytes. Allocated; the caller frees it. */
int cli_read_all(const char *path, size_t max, uint8_t **out, size_t *len);
/* Print a JSON text and a newline. */
void cli_print_json(wfl_buf *text);

#endif
