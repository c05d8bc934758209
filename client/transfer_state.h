/* SPDX-License-Identifier: Apache-2.0
 *
 * How far an interrupted transfer came: a small JSON file for each source and target. */
#ifndef WFL_CLIENT_TRANSFER_STATE_H
#define WFL_CLIENT_TRANSFER_STATE_H

#include <jansson.h>
#include <stdbool.h>

struct transfer_name { /* what makes two transfers the same one */
    const char *kind;  /* "put" or "get" */
    const char *endpoint, *bucket, *key;
    const char *path; /* absolute */
};

struct transfer_state { /* fd -1: there is none */
    int   fd;           /* locked: a second process has no state */
    char *path;
};
#define TRANSFER_STATE_NONE ((struct transfer_state){.fd = -1})

/* Open it; with `create` also where it is missing. No state (no folder, another process has it,
 * somebody else's, no memory) is no error: then the transfer cannot be gone on with. */
struct transfer_state transfer_state_open(const char *dir, const struct transfer_name *name,
                                          bool create);
/* What was noted, a new reference, or NULL: nothing, or not readable, or of another name. */
json_t *transfer_state_read(const struct transfer_state *s, const struct transfer_name *name);
/* Replaces what was noted. Steals `note`. False: not noted. */
bool transfer_state_write(const struct transfer_state *s, const struct transfer_name *name,
                          json_t *note);
/* Close; with `forget` remove it too. */
void transfer_state_close(struct transfer_state *s, bool forget);

#endif
