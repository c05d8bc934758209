/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of wfldb-admin: arguments behind the command's name in, exit code out. */
#ifndef WFL_ADMIN_ADMIN_H
#define WFL_ADMIN_ADMIN_H

#include "client/cli.h"

int admin_keygen(int argc, char **argv);
int admin_public(int argc, char **argv);
int admin_issue(int argc, char **argv);
int admin_credential(int argc, char **argv);
int admin_inspect(int argc, char **argv);
int admin_revoke(int argc, char **argv);
int admin_scrub(int argc, char **argv);
int admin_verify(int argc, char **argv);

/* A public key from a JWK, key or credential file. Told on stderr. */
int admin_read_public(const char *path, wfl_public_key *out);
/* Key and packet in one new file, for a client to use as it is. Told on stderr. */
int admin_write_credential(const char *key_path, wfl_slice packet,
                           const struct wfl_key_server *server, const char *path);
/* The identity in the file of a JWK, into `out`; NULL: none is named. Told on stderr. */
int admin_read_identity(const char *path, struct wfl_key_server *out);
/* The packet in a file: plain text, or a credential file's. In `arena`. */
int admin_read_packet(const char *path, wfl_arena *arena, wfl_slice *out);

#endif
