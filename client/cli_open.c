/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a handle from the command line's options, the environment and the credential file. */
#include "client/cli_open.h"
#include "client/cli.h"

#include <stdlib.h>

/* An empty variable is one that is not set. */
static const char *or_environment(const char *given, const char *name)
{
    const char *value = given != NULL ? given : getenv(name);

    return value == NULL || *value == '\0' ? NULL : value;
}

int cli_open(const struct cli_server *server, wfldb **out)
{
    struct cli_credential credential;
    struct wfl_secret     text = {0};
    wfldb_error           why;
    wfl_error             err = {0};
    int                   status = cli_load_credential(server->credential, &credential);

    if (status == CLI_DONE && wfl_key_write_private(&credential.key, credential.packet,
                                                    &credential.server, &text, &err) != WFL_OK) {
        status = cli_fail(CLI_FAILED, "%s", err.message);
    }
    if (status == CLI_DONE) {
        *out = wfldb_open(
            &(wfldb_options){.endpoint = or_environment(server->endpoint, "WFLDB_ENDPOINT"),
                             .ca = or_environment(server->ca, "WFLDB_CA"),
                             .pin = or_environment(server->pin, "WFLDB_PIN"),
                             .credential = (const char *)text.data,
                             .credential_len = text.len,
                             .http2 = server->http2},
            &why);
        if (*out == NULL) status = cli_fail(CLI_USAGE, "%s", why.detail);
    }
    wfl_secret_free(&text);
    cli_credential_fini(&credential);
    return status;
}

int cli_call_failed(const wfldb_error *err, const char *what)
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
