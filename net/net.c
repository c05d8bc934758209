/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses bound, reactors started and stopped. Each reactor has its own socket for each address
 * (SO_REUSEPORT), so the kernel spreads connections and nothing is handed from thread to thread. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static void fill_limits(struct wfl_net_limits *l)
{
    l->header_bytes_max = or_default(l->header_bytes_max, 32u << 10);
    l->header_count_max = or_default(l->header_count_max, 100);
    l->target_bytes_max = or_default(l->target_bytes_max, 8u << 10);
    l->header_timeout_ms = or_default(l->header_timeout_ms, 10000);
    l->idle_timeout_ms = or_default(l->idle_timeout_ms, 60000);
    l->body_stall_timeout_ms = or_default(l->body_stall_timeout_ms, 30000);
    l->streams_max = or_default(l->streams_max, 256);
    l->connections_max = or_default(l->connections_max, 10000);
    l->chunk_ext_bytes_max = or_default(l->chunk_ext_bytes_max, 1024);
}

/* "127.0.0.1:7410", "[::1]:0" */
static bool parse_address(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in  *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    const char          *colon = strrchr(text, ':');
    char                 host[64];
    uint64_t             port;
    size_t               n;

    memset(out, 0, sizeof *out);
    if (colon == NULL || !wfl_slice_to_u64(wfl_slice_str(colon + 1), 65535, &port)) return false;
    n = (size_t)(colon - text);
    if (n == 0 || n >= sizeof host) return false;
    memcpy(host, text, n);
    host[n] = '\0';
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof *v6;
        return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
    }
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    *len = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1;
}

static void format_address(const struct sockaddr_storage *address, char out[64])
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(out, 64, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(out, 64, "%s:%u", host, ntohs(v4->sin_port));
    }
}

static int open_listener(const struct sockaddr_storage *address, socklen_t len, bool exclusive)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    /* The first bind is exclusive: another server's port must be an error, not shared with it. */
    if (!exclusive) (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)address, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* SO_REUSEPORT lets every process of this user bind too. A first bind without it tells whether
 * somebody is there already; it also picks the port where 0 was asked for. */
static wfl_code bind_all(struct wfl_net *n, uint32_t index, const char *text, wfl_error *err)
{
    struct sockaddr_storage address;
    socklen_t               len;
    int                     probe;

    if (!parse_address(text, &address, &len)) {
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "'%s' is no address; write 127.0.0.1:7410 or [::1]:7410", text);
    }
    probe = open_listener(&address, len, true);
    if (probe < 0) return wfl_fail(err, WFL_IO, "cannot listen on %s: %s", text, strerror(errno));
    if (getsockname(probe, (struct sockaddr *)&address, &len) != 0) {
        close(probe);
        return wfl_fail_errno(err, "getsockname");
    }
    close(probe);
    format_address(&address, n->addresses[index]);
    for (uint32_t i = 0; i < n->reactor_count; i++) {
        int fd = open_listener(&address, len, false);

        if (fd < 0) return wfl_fail(err, WFL_IO, "cannot listen on %s: %s", text, strerror(errno));
        n->reactors[i].listen_fds[index] = fd;
        n->reactors[i].listener_count = index + 1;
    }
    return WFL_OK;
}

static wfl_code allocate(struct wfl_net *n, wfl_error *err)
{
    const struct wfl_alloc *alloc = n->config.alloc;

    n->reactors = wfl_alloc_zero(alloc, n->reactor_count, sizeof *n->reactors);
    n->addresses = wfl_alloc_zero(alloc, n->address_count + 1, sizeof *n->addresses);
    if (n->reactors == NULL || n->addresses == NULL)
        return wfl_fail(err, WFL_NOMEM, "network: out of memory");
    for (uint32_t i = 0; i < n->reactor_count; i++) {
        struct reactor *r = &n->reactors[i];

        r->net = n;
        r->index = i;
        r->wake_fd = -1;
        wfl_mutex_init(&r->lock, WFL_RANK_NET);
        r->listeners = wfl_alloc_zero(alloc, n->address_count + 1, sizeof *r->listeners);
        r->listen_fds = wfl_alloc_zero(alloc, n->address_count + 1, sizeof *r->listen_fds);
        if (r->listeners == NULL || r->listen_fds == NULL)
            return wfl_fail(err, WFL_NOMEM, "network: out of memory");
        r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (r->wake_fd < 0) return wfl_fail_errno(err, "network: eventfd");
    }
    return WFL_OK;
}

static uint32_t core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : n > WFL_REACTORS_MAX ? WFL_REACTORS_MAX : (uint32_t)n;
}

/* http-parser has a limit of its own, 80 KiB, for the whole process. Ours is the setting. */
static void lift_parser_limit(void)
{
    http_parser_set_max_header_size(UINT32_MAX);
}

wfl_code wfl_net_bind(const struct wfl_net_config *config, struct wfl_net **out, wfl_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct wfl_net       *n = wfl_alloc_zero(config->alloc, 1, sizeof *n);
    wfl_code              rc;

    pthread_once(&once, lift_parser_limit);
    if (n == NULL) return wfl_fail(err, WFL_NOMEM, "network: out of memory");
    n->config = *config;
    n->config.listen = n->config.tls_listen = NULL;
    wfl_mutex_init(&n->tls_lock, WFL_RANK_NET);
    if (n->config.arena_bytes_max == 0) n->config.arena_bytes_max = ARENA_BYTES_MAX;
    n->reactor_count = config->reactors == 0 ? core_count() : config->reactors;
    n->address_count = config->listen_count + config->tls_listen_count;
    rc = wfl_net_set_limits(n, &config->limits, err);
    if (rc == WFL_OK) rc = allocate(n, err);
    for (uint32_t i = 0; i < config->listen_count && rc == WFL_OK; i++)
        rc = bind_all(n, i, config->listen[i], err);
    for (uint32_t i = 0; i < config->tls_listen_count && rc == WFL_OK; i++)
        rc = bind_all(n, config->listen_count + i, config->tls_listen[i], err);
    if (rc != WFL_OK) {
        wfl_net_stop(n, 0);
        wfl_net_free(n);
        return rc;
    }
    *out = n;
    return WFL_OK;
}

static wfl_code listen_all(struct wfl_net *n, wfl_error *err)
{
    for (uint32_t i = 0; i < n->reactor_count; i++) {
        const struct reactor *r = &n->reactors[i];

        for (uint32_t l = 0; l < r->listener_count; l++) {
            if (listen(r->listen_fds[l], BACKLOG) != 0) {
                return wfl_fail(err, WFL_IO, "cannot listen on %s: %s", n->addresses[l],
                                strerror(errno));
            }
        }
    }
    return WFL_OK;
}

wfl_code wfl_net_serve(struct wfl_net *n, struct wfl_tls *tls, wfl_error *err)
{
    wfl_code rc = listen_all(n, err);

    wfl_net_set_tls(n, tls);
    for (uint32_t i = 0; i < n->reactor_count && rc == WFL_OK; i++)
        rc = reactor_start(&n->reactors[i], err);
    return rc;
}

const char *wfl_net_address(const struct wfl_net *n, uint32_t i)
{
    return i < n->config.listen_count ? n->addresses[i] : NULL;
}

const char *wfl_net_tls_address(const struct wfl_net *n, uint32_t i)
{
    return i < n->config.tls_listen_count ? n->addresses[n->config.listen_count + i] : NULL;
}

wfl_code wfl_net_set_limits(struct wfl_net *n, const struct wfl_net_limits *limits, wfl_error *err)
{
    struct limits_set *set = wfl_alloc_zero(n->config.alloc, 1, sizeof *set);

    if (set == NULL) return wfl_fail(err, WFL_NOMEM, "limits: out of memory");
    set->limits = *limits;
    fill_limits(&set->limits);
    set->before = n->limits;
    n->limits = set;
    return WFL_OK;
}

void wfl_net_set_tls(struct wfl_net *n, struct wfl_tls *tls)
{
    struct wfl_tls *before;

    wfl_mutex_lock(&n->tls_lock);
    before = n->tls;
    n->tls = tls;
    wfl_mutex_unlock(&n->tls_lock);
    wfl_tls_unref(before);
}

struct wfl_tls *net_tls_ref(struct wfl_net *n)
{
    struct wfl_tls *tls;

    wfl_mutex_lock(&n->tls_lock);
    tls = n->tls;
    atomic_fetch_add(&tls->refs, 1);
    wfl_mutex_unlock(&n->tls_lock);
    return tls;
}

void wfl_net_stats(const struct wfl_net *n, struct wfl_net_stats *out)
{
    *out = (struct wfl_net_stats){
        .connections = n->connections,
        .connections_total = n->connections_total,
        .connections_refused = n->connections_refused,
        .connections_calmed = n->connections_calmed,
        .exchanges = n->exchanges,
        .exchanges_total = n->exchanges_total,
        .tls_handshakes = n->tls_handshakes,
        .tls_handshakes_failed = n->tls_handshakes_failed,
    };
}

static bool join_until(pthread_t thread, const struct timespec *until)
{
    return pthread_timedjoin_np(thread, NULL, until) == 0;
}

void wfl_net_stop(struct wfl_net *n, uint32_t timeout_ms)
{
    struct timespec until;

    if (n->reactors == NULL) return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    for (uint32_t i = 0; i < n->reactor_count; i++) {
        if (n->reactors[i].started) reactor_tell(&n->reactors[i], false);
    }
    for (uint32_t i = 0; i < n->reactor_count; i++) {
        struct reactor *r = &n->reactors[i];

        if (r->started && !join_until(r->thread, &until)) {
            reactor_tell(r, true);
            pthread_join(r->thread, NULL);
        }
        if (!r->started) {
            for (uint32_t l = 0; l < r->listener_count; l++)
                close(r->listen_fds[l]);
        }
        r->started = false;
    }
}

void wfl_net_free(struct wfl_net *n)
{
    if (n == NULL) return;
    for (uint32_t i = 0; n->reactors != NULL && i < n->reactor_count; i++) {
        struct reactor *r = &n->reactors[i];

        reactor_drain_posts(r); /* what came back after its end */
        wfl_alloc_free(n->config.alloc, r->listeners);
        wfl_alloc_free(n->config.alloc, r->listen_fds);
        if (r->wake_fd >= 0) close(r->wake_fd);
        wfl_mutex_fini(&r->lock);
    }
    for (struct limits_set *set = n->limits, *before; set != NULL; set = before) {
        before = set->before;
        wfl_alloc_free(n->config.alloc, set);
    }
    wfl_tls_unref(n->tls);
    wfl_mutex_fini(&n->tls_lock);
    wfl_alloc_free(n->config.alloc, n->reactors);
    wfl_alloc_free(n->config.alloc, n->addresses);
    wfl_alloc_free(n->config.alloc, n);
}
