/* SPDX-License-Identifier: Apache-2.0
 *
 * A handle for a command-line program: credential and endpoint from where they are looked for. */
#ifndef WFL_CLIENT_CLI_OPEN_H
#define WFL_CLIENT_CLI_OPEN_H

#include "client/wfldb.h"

struct cli_server {         /* as options say it; NULL: not given */
    const char *credential; /* else as cli_load_credential says */
    const char *endpoint;   /* else $WFLDB_ENDPOINT, else the credential's, else the default */
    const char *ca;         /* else $WFLDB_CA, else the credential's, else the system's */
    const char *pin;        /* else $WFLDB_PIN, else the credential's, else none */
    int         http2;
};
/* An exit code, told on stderr. */
int cli_open(const struct cli_server *server, wfldb **out);
/* The exit code for a failed call, told on stderr. */
int cli_call_failed(const wfldb_error *err, const char *what);

#endif
