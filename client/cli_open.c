/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a handle from the command line's options, the environment and the credential file. */
#include "client/cli_open.h"
#include "client/cli.h"

#include <stdlib.h>

int cli_open(const char *credential_path, const char *endpoint, int http2, wfldb **out)
{
    struct cli_credential credential;
    struct wfl_secret     text = {0};
    wfldb_error           why;
    wfl_error             err = {0};
    int                   status = cli_load_credential(credential_path, &credential);

    if (status == CLI_DONE && wfl_key_write_private(&credential.key, credential.packet,
                                                    credential.endpoint, &text, &err) != WFL_OK) {
        status = cli_fail(CLI_FAILED, "%s", err.message);
    }
    if (endpoint == NULL) endpoint = getenv("WFLDB_ENDPOINT");
    if (endpoint != NULL && *endpoint == '\0') endpoint = NULL;
    if (status == CLI_DONE) {
        *out = wfldb_open(&(wfldb_options){.endpoint = endpoint,
                                           .credential = (const char *)text.data,
                                           .credential_len = text.len,
                                           .http2 = http2},
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
