/* SPDX-License-Identifier: Apache-2.0
 *
 * A handle for a command-line program: credential and endpoint from where they are looked for. */
#ifndef WFL_CLIENT_CLI_OPEN_H
#define WFL_CLIENT_CLI_OPEN_H

#include "client/wfldb.h"

/* Credential as cli_load_credential says; `endpoint`, else $WFLDB_ENDPOINT, else the credential's,
 * else the default. An exit code, told on stderr. */
int cli_open(const char *credential, const char *endpoint, int http2, wfldb **out);
/* The exit code for a failed call, told on stderr. */
int cli_call_failed(const wfldb_error *err, const char *what);

#endif
