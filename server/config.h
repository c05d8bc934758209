/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server is told: flags before environment before file before defaults. Every setting has
 * one name in all of them (`block_cache_bytes`; WFLDB_BLOCK_CACHE_BYTES). */
#ifndef WFL_SERVER_CONFIG_H
#define WFL_SERVER_CONFIG_H

#include "core/core.h"

#define WFL_CONFIG_LISTEN_MAX 16
#define WFL_CONFIG_ROOTS_MAX  64

struct wfl_config { /* strings are the config's until fini */
    char    *data;
    char    *file; /* that was read; NULL: none */
    char    *listen[WFL_CONFIG_LISTEN_MAX];
    uint32_t listen_count; /* 0: TLS only */
    char    *tls_listen[WFL_CONFIG_LISTEN_MAX];
    uint32_t tls_listen_count;
    char    *tls_cert, *tls_key; /* both where there is a tls_listen */
    char    *ops_listen;
    char    *roots[WFL_CONFIG_ROOTS_MAX];
    uint32_t root_count;
    char    *audience;  /* NULL: none */
    char    *audit_log; /* "stderr" (also NULL), "off", or a file */
    char    *user;      /* whose rights to take when started as root; NULL: stay */

    /* All numbers have a default and bounds in the table of config.c. */
    uint64_t reactors;
    uint64_t pool_threads;
    uint64_t block_cache_bytes;
    uint64_t write_buffer_bytes;
    uint64_t clock_skew_seconds;
    uint64_t packet_cache_max;
    uint64_t nonces_per_client_max;
    uint64_t nonces_max;
    uint64_t sessions_per_client_max;
    uint64_t sessions_max;
    uint64_t nonce_retention_seconds;
    uint64_t write_nonces_per_client_max;
    uint64_t header_bytes_max;
    uint64_t header_count_max;
    uint64_t target_bytes_max;
    uint64_t header_timeout_seconds;
    uint64_t idle_timeout_seconds;
    uint64_t body_stall_timeout_seconds;
    uint64_t streams_max;
    uint64_t connections_max;
    uint64_t stop_timeout_seconds;
    uint64_t segment_bytes;
    uint64_t reserve_bytes;
    uint64_t rewrite_bytes_per_second;
    uint64_t upload_ttl_seconds;
    uint64_t verify_always; /* 1: each chunk each time it is read */
    uint64_t landlock;      /* 1: files by need */
    uint64_t seccomp;       /* 1: system calls by need */
    uint64_t access_log;    /* 1: a line a request */
};

enum wfl_config_outcome {
    WFL_CONFIG_SERVE,
    WFL_CONFIG_HELP,    /* --help was printed */
    WFL_CONFIG_VERSION, /* --version was printed */
    WFL_CONFIG_USAGE,   /* used wrongly; err says what to do */
};
/* `env` as environ. Prints help and version on stdout. `out` needs a fini in every case. */
enum wfl_config_outcome wfl_config_load(int argc, char **argv, char *const *env,
                                        struct wfl_config *out, wfl_error *err);
void                    wfl_config_fini(struct wfl_config *c);
/* The next number from `*at` on (0: the first) that is another one in `b` and holds from a start
 * on only; NULL: no more. */
const char *wfl_config_difference(const struct wfl_config *a, const struct wfl_config *b,
                                  size_t *at);

#endif
