/* SPDX-License-Identifier: Apache-2.0
 *
 * Settings are a table: one row gives name, place, bounds and default; the file, the environment
 * and
 * --set all go through set_one. Layers are applied from the weakest on, so that the last one holds;
 * a list (listen, root) given in a stronger layer replaces the weaker one's. Anything unknown or
 * out of bounds stops the start: a typo must not become a default. */
#include "server/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_FILE_MAX (64u << 10)

/* Sanitizers and coverage do at the end of a process what a sandbox is there to prevent: builds
 * with them (meson.build says which) have it off unless it is asked for. */
#ifndef WFL_SANDBOX_DEFAULT
#define WFL_SANDBOX_DEFAULT 1
#endif

struct number_row {
    const char *name;
    size_t      offset; /* of a uint64_t in struct wfl_config */
    uint64_t    fallback, min, max;
    const char *help;
    bool        reloads; /* at SIGHUP */
};
#define ROW(name, fallback, min, max, help)                                                        \
    {                                                                                              \
#name, offsetof(struct wfl_config, name), fallback, min, max, help, false                  \
    }
#define ROW_AGAIN(name, fallback, min, max, help)                                                  \
    {                                                                                              \
#name, offsetof(struct wfl_config, name), fallback, min, max, help, true                   \
    }
static const struct number_row numbers[] = {
    ROW(reactors, 0, 0, 256, "network threads; 0: one a core"),
    ROW(pool_threads, 4, 1, 256, "threads for disk reads and large hashes"),
    ROW(block_cache_bytes, 256u << 20, 8u << 20, 1ull << 40, "cache of records"),
    ROW(write_buffer_bytes, 128u << 20, 8u << 20, 1ull << 36,
        "memory for writes not yet in tables"),
    ROW(clock_skew_seconds, 60, 1, 3600, "how far a request's timestamp may be off"),
    ROW(packet_cache_max, 4096, 16, 1u << 20, "verified key packets kept"),
    ROW(nonces_per_client_max, 1u << 20, 16, 1u << 26, "nonces remembered for one client"),
    ROW(nonces_max, 8u << 20, 1024, 1u << 28, "nonces remembered in all"),
    ROW(sessions_per_client_max, 1000, 1, 1000, "sessions of one client that are open"),
    ROW(sessions_max, 16384, 16, 1u << 20, "sessions of all clients that are open"),
    ROW(nonce_retention_seconds, 600, 1, 7 * 86400,
        "how long a write's outcome is kept for its repetition"),
    ROW(write_nonces_per_client_max, 16u << 20, 16, 1u << 30,
        "writes of one client whose outcomes are kept"),
    ROW_AGAIN(header_bytes_max, 32u << 10, 1u << 10, 1u << 20, "header block"),
    ROW_AGAIN(header_count_max, 100, 8, 1000, "headers of a request"),
    ROW_AGAIN(target_bytes_max, 8u << 10, 256, 1u << 16, "request target"),
    ROW_AGAIN(header_timeout_seconds, 10, 1, 3600, "first byte to end of headers"),
    ROW_AGAIN(idle_timeout_seconds, 60, 1, 86400, "connection without a request"),
    ROW_AGAIN(body_stall_timeout_seconds, 30, 1, 3600, "no byte of a body"),
    ROW_AGAIN(streams_max, 256, 1, 4096, "HTTP/2 streams a connection"),
    ROW_AGAIN(connections_max, 10000, 1, 1u << 20, "connections in all"),
    ROW(stop_timeout_seconds, 10, 1, 3600, "how long a stop waits for requests under way"),
    ROW(segment_bytes, 256u << 20, 4u << 20, 2ull << 30, "size of a file of large contents"),
    ROW(reserve_bytes, 64u << 20, 0, 1ull << 40,
        "of the disk, kept for what frees room; at least 5/8 of a segment"),
    ROW(rewrite_bytes_per_second, 64u << 20, 1u << 20, 1ull << 40,
        "rate of rewriting segments that are below half live"),
    ROW(upload_ttl_seconds, 7ull * 86400, 1, 365ull * 86400,
        "an upload untouched for so long is removed"),
    ROW(verify_always, 0, 0, 1, "verify large contents at each reading, not at the first only"),
    ROW(landlock, WFL_SANDBOX_DEFAULT, 0, 1, "once it serves, open no files but those it needs"),
    ROW(seccomp, WFL_SANDBOX_DEFAULT, 0, 1, "once it serves, no system calls but those it needs"),
    ROW(access_log, 1, 0, 1, "a log line for each request"),
};

static const char help_text[] =
    "Usage: wfldb-server --data DIR --root FILE... [--config FILE] [--listen ADDR:PORT]...\n"
    "                    [--tls-listen ADDR:PORT --tls-cert FILE --tls-key FILE]\n"
    "                    [--ops-listen ADDR:PORT] [--set NAME=VALUE]...\n"
    "\n"
    "Serves a permissioned key-object store (docs/protocol.md).\n"
    "\n"
    "  --data DIR              where everything is kept; created where missing\n"
    "  --root FILE             a trusted root: public JWK or key file (only its public half is "
    "read)\n"
    "  --listen ADDR:PORT      default 127.0.0.1:7410; port 0 picks a free one; may be repeated;\n"
    "                          none: nothing in clear, with --tls-listen\n"
    "  --tls-listen ADDR:PORT  the same over TLS 1.3 and 1.2; may be repeated\n"
    "  --tls-cert FILE         its certificates in PEM, the server's own first\n"
    "  --tls-key FILE          its private key in PEM, readable for its owner alone\n"
    "                          (both are read again at SIGHUP)\n"
    "  --ops-listen ADDR:PORT  health and metrics, without credentials; default 127.0.0.1:7411\n"
    "  --user NAME             started as root: whose rights to take once the addresses are bound\n"
    "  --config FILE           lines of NAME = VALUE, '#' begins a comment\n"
    "  --set NAME=VALUE        one setting; may be repeated\n"
    "  --help, --version\n"
    "\n"
    "Settings (also in the file, and as WFLDB_<NAME> in the environment):\n"
    "  data, root, listen, tls_listen, tls_cert, tls_key, ops_listen (lists by commas)\n"
    "  user                            as --user\n"
    "  audience                        the audience that key packets may be bound to\n"
    "  audit_log                       refused and administrative requests: stderr (default), "
    "off,\n"
    "                                  or a file, opened anew at SIGHUP\n";

static void print_help(void)
{
    fputs(help_text, stdout);
    for (size_t i = 0; i < WFL_COUNT(numbers); i++) {
        printf("  %-31s %s (default %llu%s)\n", numbers[i].name, numbers[i].help,
               (unsigned long long)numbers[i].fallback,
               numbers[i].reloads ? "; read again at SIGHUP" : "");
    }
}

static void free_list(char **list, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        free(list[i]);
    *count = 0;
}

static wfl_code set_string(char **place, wfl_slice value, wfl_error *err)
{
    char *copy = strndup((const char *)value.data, value.len);

    if (copy == NULL) return wfl_fail(err, WFL_NOMEM, "configuration: out of memory");
    free(*place);
    *place = copy;
    return WFL_OK;
}

static wfl_code add_to_list(char **list, uint32_t *count, uint32_t max, wfl_slice value,
                            const char *name, wfl_error *err)
{
    if (value.len == 0) return wfl_fail(err, WFL_INVALID_SETTING, "setting %s: empty value", name);
    if (*count == max) {
        return wfl_fail(err, WFL_INVALID_SETTING, "setting %s: more than %u values", name, max);
    }
    list[*count] = NULL;
    wfl_code rc = set_string(&list[*count], value, err);
    if (rc == WFL_OK) (*count)++;
    return rc;
}

static wfl_code set_list(char **list, uint32_t *count, uint32_t max, wfl_slice values,
                         const char *name, wfl_error *err)
{
    wfl_slice item;
    bool      more = true;

    free_list(list, count);
    while (more) {
        more = wfl_slice_split(&values, ',', &item);
        wfl_code rc = add_to_list(list, count, max, wfl_slice_trim(item), name, err);
        if (rc != WFL_OK) return rc;
    }
    return WFL_OK;
}

static wfl_code set_number(struct wfl_config *c, const struct number_row *row, wfl_slice value,
                           wfl_error *err)
{
    uint64_t n;

    if (!wfl_slice_to_u64(value, row->max, &n) || n < row->min) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "setting %s must be a whole number from %llu to %llu, not '%.*s'",
                        row->name, (unsigned long long)row->min, (unsigned long long)row->max,
                        WFL_FMT(value));
    }
    memcpy((char *)c + row->offset, &n, sizeof n);
    return WFL_OK;
}

static wfl_code set_one(struct wfl_config *c, wfl_slice name, wfl_slice value, wfl_error *err)
{
    if (wfl_slice_eq(name, WFL_S("data"))) {
        if (value.len == 0) return wfl_fail(err, WFL_INVALID_SETTING, "setting data: empty value");
        return set_string(&c->data, value, err);
    }
    if (wfl_slice_eq(name, WFL_S("ops_listen"))) return set_string(&c->ops_listen, value, err);
    if (wfl_slice_eq(name, WFL_S("user"))) return set_string(&c->user, value, err);
    if (wfl_slice_eq(name, WFL_S("audience"))) return set_string(&c->audience, value, err);
    if (wfl_slice_eq(name, WFL_S("audit_log"))) return set_string(&c->audit_log, value, err);
    if (wfl_slice_eq(name, WFL_S("tls_cert"))) return set_string(&c->tls_cert, value, err);
    if (wfl_slice_eq(name, WFL_S("tls_key"))) return set_string(&c->tls_key, value, err);
    if (wfl_slice_eq(name, WFL_S("tls_listen"))) {
        return set_list(c->tls_listen, &c->tls_listen_count, WFL_CONFIG_LISTEN_MAX, value,
                        "tls_listen", err);
    }
    if (wfl_slice_eq(name, WFL_S("listen"))) {
        return set_list(c->listen, &c->listen_count, WFL_CONFIG_LISTEN_MAX, value, "listen", err);
    }
    if (wfl_slice_eq(name, WFL_S("root"))) {
        return set_list(c->roots, &c->root_count, WFL_CONFIG_ROOTS_MAX, value, "root", err);
    }
    for (size_t i = 0; i < WFL_COUNT(numbers); i++) {
        if (wfl_slice_eq(name, wfl_slice_str(numbers[i].name))) {
            return set_number(c, &numbers[i], value, err);
        }
    }
    return wfl_fail(err, WFL_INVALID_SETTING,
                    "no setting is named '%.*s'; wfldb-server --help lists them", WFL_FMT(name));
}

static wfl_code set_pair(struct wfl_config *c, wfl_slice pair, wfl_error *err)
{
    wfl_slice name;

    if (!wfl_slice_split(&pair, '=', &name)) {
        return wfl_fail(err, WFL_INVALID_SETTING, "'%.*s' is not NAME=VALUE", WFL_FMT(name));
    }
    return set_one(c, wfl_slice_trim(name), wfl_slice_trim(pair), err);
}

static wfl_code load_file(struct wfl_config *c, const char *path, wfl_error *err)
{
    FILE     *f = fopen(path, "re");
    char     *text = NULL;
    size_t    len;
    wfl_slice rest, line;
    wfl_code  rc = WFL_OK;
    bool      more = true;

    if (f == NULL) return wfl_fail(err, WFL_IO, "config file %s: %s", path, strerror(errno));
    text = malloc(CONFIG_FILE_MAX);
    len = text == NULL ? 0 : fread(text, 1, CONFIG_FILE_MAX, f);
    if (text == NULL || ferror(f) || len == CONFIG_FILE_MAX) {
        rc = wfl_fail(err, WFL_IO, "config file %s: not readable, or over %u bytes", path,
                      CONFIG_FILE_MAX);
    }
    fclose(f);
    rest = wfl_slice_of(text, len);
    for (unsigned number = 1; rc == WFL_OK && more; number++) {
        wfl_slice content;

        more = wfl_slice_split(&rest, '\n', &line);
        wfl_slice_split(&line, '#', &content);
        content = wfl_slice_trim(content);
        if (content.len > 0 && content.data[content.len - 1] == '\r') content.len--;
        if (content.len == 0) continue;
        rc = set_pair(c, content, err);
        if (rc != WFL_OK) wfl_wrap(err, "config file %s, line %u", path, number);
    }
    free(text);
    return rc;
}

/* What the client programs read, and what `wfldb session` prints. */
static bool is_of_clients(wfl_slice name)
{
    static const wfl_slice names[] = {
        WFL_LIT("WFLDB_CREDENTIAL"), WFL_LIT("WFLDB_ENDPOINT"), WFL_LIT("WFLDB_CA"),
        WFL_LIT("WFLDB_PIN"),        WFL_LIT("WFLDB_SESSION"),  WFL_LIT("WFLDB_MAC_KEY"),
        WFL_LIT("WFLDB_SCOPE"),      WFL_LIT("WFLDB_EXPIRES"),
    };

    for (size_t i = 0; i < WFL_COUNT(names); i++) {
        if (wfl_slice_eq(name, names[i])) return true;
    }
    return false;
}

/* WFLDB_<NAME>. */
static wfl_code load_environment(struct wfl_config *c, char *const *env, wfl_error *err)
{
    for (; *env != NULL; env++) {
        wfl_slice rest = wfl_slice_str(*env), name;
        char      lower[64];

        if (!wfl_slice_starts_with(rest, WFL_S("WFLDB_"))) continue;
        if (!wfl_slice_split(&rest, '=', &name)) continue;
        if (is_of_clients(name)) continue;
        name = wfl_slice_of(name.data + 6, name.len - 6);
        if (name.len >= sizeof lower) name.len = sizeof lower - 1;
        for (size_t i = 0; i < name.len; i++)
            lower[i] = (char)tolower(name.data[i]);
        wfl_code rc = set_one(c, wfl_slice_of(lower, name.len), rest, err);
        if (rc != WFL_OK) {
            wfl_wrap(err, "environment");
            return rc;
        }
    }
    return WFL_OK;
}

static wfl_code set_defaults(struct wfl_config *c, wfl_error *err)
{
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < WFL_COUNT(numbers); i++) {
        memcpy((char *)c + numbers[i].offset, &numbers[i].fallback, sizeof(uint64_t));
    }
    wfl_code rc = set_one(c, WFL_S("listen"), WFL_S("127.0.0.1:7410"), err);
    return rc == WFL_OK ? set_one(c, WFL_S("ops_listen"), WFL_S("127.0.0.1:7411"), err) : rc;
}

enum {
    OPT_DATA = 256,
    OPT_ROOT,
    OPT_CONFIG,
    OPT_LISTEN,
    OPT_TLS_LISTEN,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_OPS,
    OPT_USER,
    OPT_SET,
    OPT_HELP,
    OPT_VERSION
};
static const struct option options[] = {
    {"data", required_argument, NULL, OPT_DATA},
    {"root", required_argument, NULL, OPT_ROOT},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"tls-listen", required_argument, NULL, OPT_TLS_LISTEN},
    {"tls-cert", required_argument, NULL, OPT_TLS_CERT},
    {"tls-key", required_argument, NULL, OPT_TLS_KEY},
    {"ops-listen", required_argument, NULL, OPT_OPS},
    {"user", required_argument, NULL, OPT_USER},
    {"set", required_argument, NULL, OPT_SET},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

struct flag_lists { /* the first --listen or --root replaces what weaker layers said */
    bool listen, tls_listen, root;
};

static wfl_code apply_flag(struct wfl_config *c, int flag, wfl_slice value, struct flag_lists *seen,
                           wfl_error *err)
{
    switch (flag) {
    case OPT_DATA:
        return set_one(c, WFL_S("data"), value, err);
    case OPT_TLS_CERT:
        return set_one(c, WFL_S("tls_cert"), value, err);
    case OPT_TLS_KEY:
        return set_one(c, WFL_S("tls_key"), value, err);
    case OPT_USER:
        return set_one(c, WFL_S("user"), value, err);
    case OPT_OPS:
        return set_one(c, WFL_S("ops_listen"), value, err);
    case OPT_SET:
        return set_pair(c, value, err);
    case OPT_ROOT: /* one path, commas and all */
        if (!seen->root) free_list(c->roots, &c->root_count);
        seen->root = true;
        return add_to_list(c->roots, &c->root_count, WFL_CONFIG_ROOTS_MAX, value, "root", err);
    case OPT_LISTEN:
        if (!seen->listen) free_list(c->listen, &c->listen_count);
        seen->listen = true;
        return add_to_list(c->listen, &c->listen_count, WFL_CONFIG_LISTEN_MAX, value, "listen",
                           err);
    case OPT_TLS_LISTEN:
        if (!seen->tls_listen) free_list(c->tls_listen, &c->tls_listen_count);
        seen->tls_listen = true;
        return add_to_list(c->tls_listen, &c->tls_listen_count, WFL_CONFIG_LISTEN_MAX, value,
                           "tls_listen", err);
    default: /* --config was read in the first pass */
        return WFL_OK;
    }
}

/* First pass: --help, --version, --config, and words that are no options. */
static enum wfl_config_outcome scan_flags(int argc, char **argv, const char **file, wfl_error *err)
{
    int flag;

    *file = NULL;
    opterr = 0;
    optind = 0; /* glibc: start over */
    while ((flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (flag == OPT_HELP) {
            print_help();
            return WFL_CONFIG_HELP;
        }
        if (flag == OPT_VERSION) {
            puts("wfldb-server " WFL_VERSION);
            return WFL_CONFIG_VERSION;
        }
        if (flag == OPT_CONFIG) *file = optarg;
        if (flag == '?') {
            wfl_fail(err, WFL_INVALID_REQUEST,
                     "'%s' is no option, or lacks its value; see wfldb-server --help",
                     argv[optind - 1]);
            return WFL_CONFIG_USAGE;
        }
    }
    if (optind < argc) {
        wfl_fail(err, WFL_INVALID_REQUEST, "'%s' is not expected; see wfldb-server --help",
                 argv[optind]);
        return WFL_CONFIG_USAGE;
    }
    return WFL_CONFIG_SERVE;
}

static wfl_code apply_flags(struct wfl_config *c, int argc, char **argv, wfl_error *err)
{
    struct flag_lists seen = {0};
    int               flag;
    wfl_code          rc = WFL_OK;

    optind = 0;
    while (rc == WFL_OK && (flag = getopt_long(argc, argv, "", options, NULL)) != -1) {
        rc = apply_flag(c, flag, wfl_slice_str(optarg), &seen, err);
    }
    return rc;
}

static wfl_code check_tls(struct wfl_config *c, wfl_error *err)
{
    bool cert = c->tls_cert != NULL && *c->tls_cert != '\0';
    bool key = c->tls_key != NULL && *c->tls_key != '\0';

    if (c->listen_count == 1 && strcmp(c->listen[0], "none") == 0)
        free_list(c->listen, &c->listen_count);
    if (c->tls_listen_count > 0 && !(cert && key)) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "TLS needs a certificate and its key: --tls-cert FILE --tls-key FILE");
    }
    if (c->tls_listen_count == 0 && (cert || key)) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "say where to serve with the certificate: --tls-listen ADDR:PORT");
    }
    if (c->listen_count == 0 && c->tls_listen_count == 0) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "there is nowhere to listen; name an address with --listen or "
                        "--tls-listen");
    }
    return WFL_OK;
}

static wfl_code check_whole(struct wfl_config *c, wfl_error *err)
{
    if (c->data == NULL)
        return wfl_fail(err, WFL_INVALID_SETTING, "say where to keep the data: --data DIR");
    if (c->root_count == 0) {
        return wfl_fail(
            err, WFL_INVALID_SETTING,
            "name at least one trusted root key: --root FILE (wfldb-admin keygen makes one)");
    }
    return check_tls(c, err);
}

enum wfl_config_outcome wfl_config_load(int argc, char **argv, char *const *env,
                                        struct wfl_config *out, wfl_error *err)
{
    const char             *file;
    wfl_code                rc = set_defaults(out, err);
    enum wfl_config_outcome outcome = scan_flags(argc, argv, &file, err);

    if (outcome != WFL_CONFIG_SERVE) return outcome;
    if (rc == WFL_OK && file != NULL) rc = set_string(&out->file, wfl_slice_str(file), err);
    if (rc == WFL_OK && file != NULL) rc = load_file(out, file, err);
    if (rc == WFL_OK) rc = load_environment(out, env, err);
    if (rc == WFL_OK) rc = apply_flags(out, argc, argv, err);
    if (rc == WFL_OK) rc = check_whole(out, err);
    return rc == WFL_OK ? WFL_CONFIG_SERVE : WFL_CONFIG_USAGE;
}

const char *wfl_config_difference(const struct wfl_config *a, const struct wfl_config *b,
                                  size_t *at)
{
    while (*at < WFL_COUNT(numbers)) {
        const struct number_row *row = &numbers[(*at)++];

        if (!row->reloads && memcmp((const char *)a + row->offset, (const char *)b + row->offset,
                                    sizeof(uint64_t)) != 0)
            return row->name;
    }
    return NULL;
}

void wfl_config_fini(struct wfl_config *c)
{
    free(c->data);
    free(c->file);
    free(c->ops_listen);
    free(c->audience);
    free(c->audit_log);
    free(c->user);
    free(c->tls_cert);
    free(c->tls_key);
    free_list(c->listen, &c->listen_count);
    free_list(c->tls_listen, &c->tls_listen_count);
    free_list(c->roots, &c->root_count);
    memset(c, 0, sizeof *c);
}
