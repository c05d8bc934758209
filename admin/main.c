/* SPDX-License-Identifier: Apache-2.0
 *
 * wfldb-admin: keys and packets, which need no server, and what those who run one need. */
#include "admin/admin.h"

#include <sys/stat.h>

static const char help_text[] =
    "Usage: wfldb-admin COMMAND [OPTIONS]\n"
    "\n"
    "  keygen [--out FILE]           a new key pair: key file (0600, default "
    "key-THUMBPRINT.json),\n"
    "                                thumbprint on stdout\n"
    "  public FILE                   its public JWK\n"
    "  issue --key FILE [--parent PACKET-FILE] --to JWK-FILE --grant 'BUCKET[:PREFIX]=OP,OP'...\n"
    "        [--ttl 30d] [--delegate N] [--sub NAME] [--aud NAME] [--limit NAME=N]... [--out "
    "FILE]\n"
    "                                signs a key packet for the holder of JWK-FILE\n"
    "        --credential            with --out: write a credential file (key and packet, 0600) "
    "instead;\n"
    "                                JWK-FILE must then hold the private key\n"
    "        --endpoint URL --ca FILE --pin sha256//...\n"
    "                                with --credential: the server that it is for, who vouches "
    "for\n"
    "                                its certificate, and the key in it\n"
    "        --server JWK-FILE       the same: its identity, without which no session is taken:\n"
    "                                identity.json of its data, or `identity` of /v1/-/server\n"
    "  credential KEY-FILE PACKET-FILE --out FILE [--endpoint URL] [--ca FILE] [--pin PIN]\n"
    "        [--server JWK-FILE]\n"
    "                                a credential file of a key and the packet issued to it\n"
    "  inspect PACKET-FILE [--root FILE]...\n"
    "                                its links, grants and times, in words; whether a root trusts "
    "it\n"
    "\n"
    "  revoke (--jti ULID | --kid THUMBPRINT | --link FILE) [--reason TEXT] [--credential FILE]\n"
    "        [--endpoint URL]        ends key packets at a running server, from their next request "
    "on:\n"
    "                                those with that link or key (needs a credential with admin), "
    "or\n"
    "                                those with the last link of FILE (needs the one that issued "
    "it)\n"
    "  scrub [--rate BYTES-PER-SECOND | --status | --stop] [--credential FILE] [--endpoint URL]\n"
    "                                has a running server verify every chunk of large contents,\n"
    "                                and waits; names the bad ones and the objects concerned\n"
    "                                (exit code 1); needs a credential with admin\n"
    "  verify FOLDER                 recounts a data folder that no server uses; tells each\n"
    "                                difference (exit code 1)\n"
    "\n"
    "revoke and scrub take --ca FILE and --pin sha256//... for an https:// server as wfldb does.\n"
    "Files that exist are never replaced.\n"
    "Ops: get put delete scan watch manage admin. Limits: max_object_bytes, requests_per_second,\n"
    "bytes_per_second. --json prints JSON. --help, --version.\n"
    "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused, 4 not found.\n";

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"keygen", admin_keygen},   {"public", admin_public},
                    {"issue", admin_issue},     {"credential", admin_credential},
                    {"inspect", admin_inspect}, {"revoke", admin_revoke},
                    {"scrub", admin_scrub},     {"verify", admin_verify}};
    wfl_error err = {0};

    wfl_auth_guard_process();
    umask(077);
    cli_set_program("wfldb-admin");
    if (wfl_auth_init(&err) != WFL_OK) return cli_fail(CLI_FAILED, "%s", err.message);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help_text, stdout);
            return cli_finish(CLI_DONE);
        }
        if (strcmp(argv[i], "--version") == 0 && i == 1) {
            puts("wfldb-admin " WFL_VERSION);
            return cli_finish(CLI_DONE);
        }
    }
    if (argc < 2)
        return cli_fail(CLI_USAGE, "name a command: keygen, public, issue, credential, inspect, "
                                   "revoke, scrub or verify; see --help");
    for (size_t i = 0; i < WFL_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return cli_finish(commands[i].run(argc - 2, argv + 2));
    }
    return cli_fail(CLI_USAGE, "'%s' is no command; see wfldb-admin --help", argv[1]);
}
