/* SPDX-License-Identifier: Apache-2.0
 *
 * Putting the server together. Start: lock the folder, read roots, make or read the identity, open
 * engine and store, listen, say so. Each step that fails names what to do and undoes the ones
 * before. Stop: no new connections, requests under way finish, then store and engine close; the
 * engine's last callbacks may still post to exchanges, so net is freed after it. */
#include "server/server.h"
#include "server/throttle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define LIMITS_MAX     (1u << 18) /* links and buckets whose rates are in use at a time */

static wfl_code join(const char *folder, const char *name, char out[PATH_BYTES_MAX], wfl_error *err)
{
    int n = snprintf(out, PATH_BYTES_MAX, "%s/%s", folder, name);

    if (n < 0 || n >= PATH_BYTES_MAX) {
        return wfl_fail(err, WFL_INVALID_SETTING, "the path of the data folder is too long");
    }
    return WFL_OK;
}

static wfl_code lock_folder(struct wfl_server *s, wfl_error *err)
{
    char path[PATH_BYTES_MAX], pid[32] = {0};

    if (join(s->config->data, "lock", path, err) != WFL_OK) return err->code;
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) return wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(s->lock_fd, pid, sizeof pid - 1);

        return wfl_fail(
            err, WFL_IO,
            "data folder %s is in use by another wfldb-server (process %.*s); stop that "
            "one, or give this one its own --data",
            s->config->data, n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?");
    }
    snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, strlen(pid), 0) < 0) {
        return wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    }
    return WFL_OK;
}

wfl_code server_read_roots(const struct wfl_config *c, wfl_public_key *roots, wfl_error *err)
{
    for (uint32_t i = 0; i < c->root_count; i++) {
        struct wfl_secret text = {0};
        wfl_code          rc = wfl_key_read_file(c->roots[i], false, &text, err);

        if (rc == WFL_OK) {
            rc = wfl_key_parse_public(wfl_slice_of(text.data, text.len), &roots[i], err);
        }
        wfl_secret_free(&text);
        if (rc != WFL_OK) return wfl_wrap(err, "root %s", c->roots[i]);
    }
    return WFL_OK;
}

static wfl_code make_identity(struct wfl_server *s, const char *path, wfl_error *err)
{
    struct wfl_secret text = {0};
    wfl_code          rc = wfl_key_generate(&wfl_random_system, &s->identity, err);

    if (rc == WFL_OK) {
        rc = wfl_key_write_private(&s->identity, (wfl_slice){0}, NULL, &text, err);
    }
    if (rc == WFL_OK) rc = wfl_key_write_file(path, wfl_slice_of(text.data, text.len), err);
    wfl_secret_free(&text);
    return rc;
}

/* The server's own key, by which clients know it again. */
static wfl_code load_identity(struct wfl_server *s, wfl_error *err)
{
    char              path[PATH_BYTES_MAX];
    struct wfl_secret text = {0};
    wfl_arena         arena;
    wfl_slice         packet;
    wfl_code          rc = join(s->config->data, "identity.json", path, err);

    if (rc != WFL_OK) return rc;
    rc = wfl_key_read_file(path, true, &text, err);
    if (rc == WFL_NOT_FOUND) {
        rc = make_identity(s, path, err);
        return rc == WFL_OK ? rc : wfl_wrap(err, "identity %s", path);
    }
    wfl_arena_init(&arena, &wfl_alloc_libc, 64u << 10);
    if (rc == WFL_OK) {
        rc = wfl_key_parse_private(wfl_slice_of(text.data, text.len), &arena, &s->identity, &packet,
                                   NULL, err);
    }
    wfl_arena_fini(&arena);
    wfl_secret_free(&text);
    return rc == WFL_OK ? rc : wfl_wrap(err, "identity %s", path);
}

static wfl_code open_auth(struct wfl_server *s, wfl_error *err)
{
    const struct wfl_config *c = s->config;
    wfl_public_key           roots[WFL_CONFIG_ROOTS_MAX];
    wfl_code                 rc = server_read_roots(c, roots, err);

    if (rc != WFL_OK) return rc;
    s->revocations = wfl_revocations_of(s->store);
    return wfl_auth_new(
        &(struct wfl_auth_config){
            .trust = {.roots = roots,
                      .root_count = c->root_count,
                      .audience = wfl_slice_str(c->audience),
                      .revocations = &s->revocations},
            .clock_skew_seconds = (uint32_t)c->clock_skew_seconds,
            .packet_cache_max = (uint32_t)c->packet_cache_max,
            .nonces_per_client_max = (uint32_t)c->nonces_per_client_max,
            .nonces_max = c->nonces_max,
            .sessions_per_client_max = (uint32_t)c->sessions_per_client_max,
            .sessions_max = (uint32_t)c->sessions_max,
            .nonce_retention_seconds = (uint32_t)c->nonce_retention_seconds,
            .write_nonces_per_client_max = c->write_nonces_per_client_max,
            .clock = &wfl_clock_system,
            .random = &wfl_random_system,
            .alloc = &wfl_alloc_libc,
        },
        &s->auth, err);
}

static wfl_code open_store(struct wfl_server *s, wfl_error *err)
{
    const struct wfl_config *c = s->config;
    char                     path[PATH_BYTES_MAX];
    wfl_code                 rc = join(c->data, "records", path, err);

    if (rc == WFL_OK) {
        rc = wfl_engine_open_local(
            &(struct wfl_local_config){
                .path = path,
                .block_cache_bytes = c->block_cache_bytes,
                .write_buffer_bytes = c->write_buffer_bytes,
                .pool_threads = (uint32_t)c->pool_threads,
                .segment_bytes = c->segment_bytes,
                .reserve_bytes = c->reserve_bytes,
                .rewrite_bytes_per_second = c->rewrite_bytes_per_second,
                .alloc = &wfl_alloc_libc,
            },
            &s->engine, err);
    }
    if (rc == WFL_OK) {
        rc = wfl_store_open(
            &(struct wfl_store_config){.engine = s->engine,
                                       .clock = &wfl_clock_system,
                                       .random = &wfl_random_system,
                                       .alloc = &wfl_alloc_libc,
                                       .collects = true,
                                       .upload_ttl_seconds = (uint32_t)c->upload_ttl_seconds},
            &s->store, err);
    }
    if (rc == WFL_OK) rc = scrub_new(s, &s->scrub, err);
    if (rc == WFL_OK) rc = watch_hub_new(s, &s->watches, err);
    if (rc == WFL_OK) rc = throttle_new(LIMITS_MAX, &wfl_alloc_libc, &s->throttle, err);
    return rc;
}

struct wfl_net_limits server_net_limits(const struct wfl_config *c)
{
    return (struct wfl_net_limits){
        .header_bytes_max = (uint32_t)c->header_bytes_max,
        .header_count_max = (uint32_t)c->header_count_max,
        .target_bytes_max = (uint32_t)c->target_bytes_max,
        .header_timeout_ms = (uint32_t)c->header_timeout_seconds * 1000,
        .idle_timeout_ms = (uint32_t)c->idle_timeout_seconds * 1000,
        .body_stall_timeout_ms = (uint32_t)c->body_stall_timeout_seconds * 1000,
        .streams_max = (uint32_t)c->streams_max,
        .connections_max = (uint32_t)c->connections_max,
    };
}

static struct wfl_net_config net_config(const struct wfl_config *c)
{
    return (struct wfl_net_config){
        .limits = server_net_limits(c),
        .clock = &wfl_clock_system,
        .random = &wfl_random_system,
        .alloc = &wfl_alloc_libc,
    };
}

/* net knows no options: say which one to change. */
static wfl_code name_option(wfl_error *err, const char *option)
{
    wfl_error why = *err;

    return wfl_fail(err, why.code, "%s; name another address with %s", why.message, option);
}

static wfl_code bind_all(struct wfl_server *s, wfl_error *err)
{
    const struct wfl_config *c = s->config;
    struct wfl_net_config    net = net_config(c), ops = net_config(c);
    wfl_code                 rc;

    net.listen = (const char *const *)c->listen;
    net.listen_count = c->listen_count;
    net.tls_listen = (const char *const *)c->tls_listen;
    net.tls_listen_count = c->tls_listen_count;
    net.reactors = (uint32_t)c->reactors;
    net.handler = wfl_request_handler(s);
    rc = wfl_net_bind(&net, &s->net, err);
    if (rc != WFL_OK) {
        return name_option(err, c->tls_listen_count == 0 ? "--listen" : "--listen or --tls-listen");
    }
    ops.listen = (const char *const *)&c->ops_listen;
    ops.listen_count = 1;
    ops.reactors = 1;
    ops.limits.connections_max = 256;
    ops.handler = wfl_ops_handler(s);
    rc = wfl_net_bind(&ops, &s->ops, err);
    return rc == WFL_OK ? rc : name_option(err, "--ops-listen");
}

/* What is read after this moment, or may be at a reload. */
static wfl_code close_files(struct wfl_server *s, wfl_error *err)
{
    const struct wfl_config *c = s->config;
    struct wfl_sandbox_files files = {.writable = c->data};

    if (!c->landlock) return WFL_OK;
    for (uint32_t i = 0; i < c->root_count; i++)
        files.readable[files.readable_count++] = c->roots[i];
    if (c->file != NULL) files.readable[files.readable_count++] = c->file;
    if (c->tls_listen_count > 0) {
        files.readable[files.readable_count++] = c->tls_cert;
        files.readable[files.readable_count++] = c->tls_key;
    }
    if (c->audit_log != NULL && strcmp(c->audit_log, "off") != 0 &&
        strcmp(c->audit_log, "stderr") != 0)
        files.appendable = c->audit_log;
    return wfl_sandbox_files(&files, &s->files, err);
}

wfl_code wfl_server_prepare(const struct wfl_config *config, struct wfl_server *out, wfl_error *err)
{
    wfl_code rc;

    memset(out, 0, sizeof *out);
    out->config = config;
    out->lock_fd = -1;
    rc = bind_all(out, err);
    if (rc == WFL_OK) rc = wfl_privileges_drop(config->user, config->data, &out->privileges, err);
    return rc == WFL_OK ? close_files(out, err) : rc;
}

static wfl_code serve(struct wfl_server *s, struct wfl_tls *tls, wfl_error *err)
{
    wfl_code rc = wfl_net_serve(s->net, tls, err);

    if (rc == WFL_OK) rc = wfl_net_serve(s->ops, NULL, err);
    if (rc == WFL_OK && s->config->seccomp) rc = wfl_sandbox_calls(&s->calls, err);
    return rc;
}

static void log_sandbox(struct wfl_server *s)
{
    if (s->privileges.as_root) {
        wfl_log_text(s->log, WFL_LOG_WARN, "running_as_root",
                     "nothing here needs root; start as another user, or name one with --user");
    }
    if (s->privileges.folder_closed) {
        wfl_log_text(s->log, WFL_LOG_WARN, "data_folder_closed",
                     "others could look into the data folder; its mode is 0700 now");
    }
    if (s->files == WFL_SANDBOX_MISSING)
        wfl_log_text(s->log, WFL_LOG_WARN, "sandbox_missing",
                     "this kernel has no Landlock: files are not closed off");
    if (s->calls == WFL_SANDBOX_MISSING)
        wfl_log_text(s->log, WFL_LOG_WARN, "sandbox_missing",
                     "this kernel has no seccomp: system calls are not closed off");
}

static void log_ready(struct wfl_server *s)
{
    struct wfl_log_line line;
    const char         *address;

    wfl_log_begin(s->log, &line, WFL_LOG_INFO, "ready");
    wfl_json_key(&line.json, "listen");
    wfl_json_array(&line.json);
    for (uint32_t i = 0; (address = wfl_net_address(s->net, i)) != NULL; i++) {
        wfl_json_cstr(&line.json, address);
    }
    wfl_json_end(&line.json);
    wfl_json_key(&line.json, "tls_listen");
    wfl_json_array(&line.json);
    for (uint32_t i = 0; (address = wfl_net_tls_address(s->net, i)) != NULL; i++) {
        wfl_json_cstr(&line.json, address);
    }
    wfl_json_end(&line.json);
    wfl_json_key(&line.json, "ops_listen");
    wfl_json_cstr(&line.json, wfl_net_address(s->ops, 0));
    wfl_json_key(&line.json, "version");
    wfl_json_cstr(&line.json, WFL_VERSION);
    wfl_json_key(&line.json, "identity");
    wfl_json_cstr(&line.json, wfl_key_thumb(&s->identity.pub).text);
    wfl_log_end(&line);
}

wfl_code wfl_server_start(struct wfl_server *s, struct wfl_log *log, wfl_error *err)
{
    struct wfl_tls      *tls = NULL;
    struct wfl_tls_facts facts = {0};
    wfl_code             rc;

    s->log = log;
    rc = audit_new(s->config->audit_log, log, &s->audit, err);
    if (rc == WFL_OK) rc = lock_folder(s, err);
    if (rc == WFL_OK) rc = load_identity(s, err);
    if (rc == WFL_OK) rc = certificate_load(s->config, &tls, err);
    if (tls != NULL) facts = *wfl_tls_facts(tls);
    if (rc == WFL_OK) rc = open_store(s, err);
    /* Last before listening: requests dated before this moment are refused for good. */
    if (rc == WFL_OK) rc = open_auth(s, err);
    if (rc == WFL_OK) {
        rc = serve(s, tls, err);
    } else {
        wfl_tls_unref(tls);
    }
    if (rc != WFL_OK) return rc;
    log_sandbox(s);
    if (s->config->tls_listen_count > 0) certificate_log(s, &facts);
    log_ready(s);
    return WFL_OK;
}

void wfl_server_stop(struct wfl_server *s)
{
    uint32_t timeout_ms = (uint32_t)s->config->stop_timeout_seconds * 1000;

    s->stopping = 1;
    if (s->net != NULL) wfl_net_stop(s->net, timeout_ms);
    if (s->ops != NULL) wfl_net_stop(s->ops, 1000);
    scrub_free(s->scrub);
    /* The engine answers what it still has; those answers reach exchanges that have ended. */
    wfl_engine_stop(s->engine);
    wfl_net_free(s->net);
    wfl_net_free(s->ops);
    watch_hub_free(s->watches);
    throttle_free(s->throttle);
    wfl_store_close(s->store);
    wfl_engine_close(s->engine);
    wfl_auth_free(s->auth);
    wfl_key_pair_free(&s->identity);
    audit_free(s->audit);
    if (s->lock_fd >= 0) close(s->lock_fd);
}
