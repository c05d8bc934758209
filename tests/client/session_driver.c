/* SPDX-License-Identifier: Apache-2.0
 *
 * session_driver URL CREDENTIAL-FILE SESSION-AFTER: one handle of libwfldb that does what its
 * standard input says, a line each, and answers each with a line. test_library_sessions.py drives
 * it. */
#include "client/wfldb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take(void *ctx, const void *data, size_t len)
{
    (void)ctx;
    fwrite(data, 1, len, stdout);
    return 0;
}

static int run(wfldb *db, char *line, wfldb_error *err)
{
    char        *save = NULL, *what = strtok_r(line, " \n", &save);
    char        *key = strtok_r(NULL, " \n", &save), *value = strtok_r(NULL, " \n", &save);
    wfldb_object object = {0};
    int          rc = -1;

    if (what == NULL || key == NULL) exit(2);
    if (strcmp(what, "put") == 0 && value != NULL)
        rc = wfldb_put(db, "photos", key, value, strlen(value), NULL, &object, err);
    else if (strcmp(what, "new") == 0 && value != NULL)
        rc = wfldb_put(db, "photos", key, value, strlen(value),
                       &(wfldb_put_options){.if_none_match = 1}, &object, err);
    else if (strcmp(what, "get") == 0)
        rc = wfldb_get(db, "photos", key, take, NULL, &object, err);
    else if (strcmp(what, "head") == 0)
        rc = wfldb_head(db, "photos", key, &object, err);
    else if (strcmp(what, "rm") == 0)
        rc = wfldb_delete(db, "photos", key, NULL, err);
    else if (strcmp(what, "file") == 0 && value != NULL) { /* in parts, on several handles */
        FILE *f = fopen(value, "re");

        if (f == NULL) exit(2);
        rc = wfldb_put_fd(db, "photos", key, fileno(f), NULL, NULL,
                          &(wfldb_transfer_options){.part_bytes = 1u << 20, .parallel = 8}, &object,
                          err);
        fclose(f);
    }
    wfldb_object_free(&object);
    return rc;
}

int main(int argc, char **argv)
{
    char        credential[16384], line[1024];
    wfldb_error err;
    FILE       *f = argc == 4 ? fopen(argv[2], "re") : NULL;
    size_t      len = f == NULL ? 0 : fread(credential, 1, sizeof credential, f);
    wfldb      *db;

    if (f == NULL) return 2;
    fclose(f);
    db = wfldb_open(&(wfldb_options){.endpoint = argv[1],
                                     .credential = credential,
                                     .credential_len = len,
                                     .session_after = (unsigned)strtoul(argv[3], NULL, 10)},
                    &err);
    if (db == NULL) return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        int rc = run(db, line, &err);

        printf(" %s\n", rc == 0 ? "ok" : err.code);
        fflush(stdout);
    }
    wfldb_close(db);
    return 0;
}
