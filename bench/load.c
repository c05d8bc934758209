/* SPDX-License-Identifier: Apache-2.0
 *
 * A closed loop over N connections: each has one request under way and sends the next when its
 * answer is complete. One thread, one epoll; the same loop for wflDB, nginx and Redis, so that the
 * client costs each of them the same. Requests are made beforehand (requests.c). Of an answer the
 * head is read, and the content received into one buffer for all and forgotten. What is measured is
 * from the end of the warm-up to the first of: the time is over, the requests are used up.
 *
 * Prints one JSON line. Any answer but the one expected, of any connection at any time, ends the
 * run with status 1 and says what came: a figure with errors in it is none. */
#include "bench/http2.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define HEAD_MAX        (16u << 10) /* of an answer, with what comes along with it */
#define SINK_BYTES      (1u << 20)
#define REQUESTS_MAX    2000000
#define SILENCE_MS_MAX  10000 /* no answer to any connection for so long: give up */

struct connection {
    int                   fd;
    struct iovec          out[3]; /* what is still to be sent of the request */
    bool                  blocked;
    uint8_t              *in; /* the answer's head; once `answer_len` is known only counted on */
    size_t                in_len;
    size_t                answer_len; /* known once the head is complete, else 0 */
    struct http2_answers *http2;      /* instead */
    int64_t               sent_ns;
};

struct load {
    struct plan        plan;
    struct requests    requests;
    uint32_t           connection_count;
    struct connection *connections;
    int                epoll;
    uint8_t           *sink;
    double             warm_seconds, seconds;

    uint32_t next;      /* request */
    uint32_t under_way; /* answers that are still to come */
    int64_t  warm_end_ns, end_ns;
    int64_t *latency_ns; /* of the answers that count */
    uint32_t latencies;
    bool     over;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static int64_t now_ns(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system);
}

/* ---- answers */

/* Where `needle` begins in the head, any case; NULL where it does not. */
static const uint8_t *find_nocase(wfl_slice head, wfl_slice needle)
{
    for (size_t i = 0; i + needle.len <= head.len; i++) {
        if (wfl_slice_eq_nocase(wfl_slice_of(head.data + i, needle.len), needle))
            return head.data + i;
    }
    return NULL;
}

static void die_of_answer(const struct connection *c)
{
    fprintf(stderr, "load: not the answer expected: %.*s\n",
            (int)(c->in_len < 800 ? c->in_len : 800), (const char *)c->in);
    exit(1);
}

/* 0: not complete. */
static size_t http_answer_len(const struct load *l, const struct connection *c)
{
    const uint8_t *end = memmem(c->in, c->in_len, "\r\n\r\n", 4), *length;
    wfl_slice      head;
    uint64_t       bytes = 0;

    if (end == NULL) return 0;
    head = wfl_slice_of(c->in, (size_t)(end - c->in) + 4);
    if (!wfl_slice_starts_with(head, WFL_S("HTTP/1.1 200 ")) &&
        !(l->plan.put && wfl_slice_starts_with(head, WFL_S("HTTP/1.1 201 ")))) {
        die_of_answer(c);
    }
    length = find_nocase(head, WFL_S("\ncontent-length: "));
    if (length == NULL) die_of_answer(c);
    bytes = strtoull((const char *)length + 17, NULL, 10);
    if (!l->plan.put && bytes != l->plan.object_bytes) die_of_answer(c);
    return head.len + (size_t)bytes;
}

static size_t redis_answer_len(const struct load *l, const struct connection *c)
{
    char   expected[32];
    size_t len;

    if (l->plan.put) {
        if (c->in_len >= 5 && memcmp(c->in, "+OK\r\n", 5) != 0) die_of_answer(c);
        if (c->in_len > 0 && c->in[0] != '+') die_of_answer(c);
        return 5;
    }
    len = (size_t)snprintf(expected, sizeof expected, "$%" PRIu32 "\r\n", l->plan.object_bytes);
    if (c->in_len < len) return 0;
    if (memcmp(c->in, expected, len) != 0) die_of_answer(c);
    return len + l->plan.object_bytes + 2;
}

static bool answer_complete(const struct load *l, struct connection *c)
{
    if (c->answer_len == 0) {
        c->answer_len = l->plan.peer == PEER_REDIS ? redis_answer_len(l, c) : http_answer_len(l, c);
    }
    if (c->answer_len == 0 || c->in_len < c->answer_len) return false;
    if (c->in_len > c->answer_len) die("more came than one answer");
    return true;
}

/* ---- the loop */

static void watch(const struct load *l, struct connection *c, bool blocked)
{
    struct epoll_event event = {.events = EPOLLIN | (blocked ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = c};

    if (c->blocked == blocked) return;
    c->blocked = blocked;
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) die(strerror(errno));
}

static void go_on_sending(const struct load *l, struct connection *c)
{
    struct msghdr message = {.msg_iov = c->out, .msg_iovlen = WFL_COUNT(c->out)};
    ssize_t       n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t        left = 0;

    if (n < 0 && errno != EAGAIN && errno != EINTR) die(strerror(errno));
    for (size_t i = 0; i < WFL_COUNT(c->out); i++) {
        size_t taken = n > 0 && (size_t)n < c->out[i].iov_len ? (size_t)n : c->out[i].iov_len;

        if (n <= 0) taken = 0;
        c->out[i].iov_base = (uint8_t *)c->out[i].iov_base + taken;
        c->out[i].iov_len -= taken;
        n -= (ssize_t)taken;
        left += c->out[i].iov_len;
    }
    watch(l, c, left > 0);
}

/* False: nothing left to send. */
static bool send_next(struct load *l, struct connection *c)
{
    const struct request *r;

    if (l->over || l->next == l->requests.count) return false;
    r = &l->requests.items[l->next++];
    c->out[0] = (struct iovec){(void *)(uintptr_t)r->head.data, r->head.len};
    c->out[1] = (struct iovec){(void *)(uintptr_t)r->content.data, r->content.len};
    c->out[2] = (struct iovec){(void *)(uintptr_t)r->tail.data, r->tail.len};
    c->in_len = c->answer_len = 0;
    c->sent_ns = now_ns();
    l->under_way++;
    go_on_sending(l, c);
    return true;
}

static void count_answer(struct load *l, const struct connection *c, int64_t now)
{
    l->under_way--;
    if (l->over || now < l->warm_end_ns) return;
    l->latency_ns[l->latencies++] = now - c->sent_ns;
    l->end_ns = now;
}

static ssize_t receive_into(struct connection *c, uint8_t *place, size_t cap)
{
    ssize_t n = recv(c->fd, place, cap, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) die("a connection was closed by the peer");
    return n;
}

/* True: the answer is complete. */
static bool receive_answer(struct load *l, struct connection *c)
{
    if (c->answer_len > 0) {
        c->in_len += (size_t)receive_into(c, l->sink, SINK_BYTES);
    } else if (c->in_len == HEAD_MAX) {
        die_of_answer(c);
    } else {
        c->in_len += (size_t)receive_into(c, c->in + c->in_len, HEAD_MAX - c->in_len);
    }
    if (!answer_complete(l, c)) return false;
    if (c->blocked) die_of_answer(c); /* before it had the request */
    return true;
}

static void send_reply(struct connection *c)
{
    struct http2_answers *a = c->http2;

    if (a->reply_len > 0 &&
        send(c->fd, a->reply, a->reply_len, MSG_NOSIGNAL) != (ssize_t)a->reply_len)
        die(strerror(errno));
    a->reply_len = 0;
}

static bool receive_http2(struct load *l, struct connection *c)
{
    struct http2_answers *a = c->http2;
    const char           *why = "frames that do not hold";
    ssize_t               n = receive_into(c, l->sink, SINK_BYTES);

    if (!http2_feed(a, wfl_slice_of(l->sink, (size_t)n), &why)) die(why);
    if (a->ended) {
        if (a->data != l->plan.object_bytes) die("an answer of another length");
        http2_next(a);
        send_reply(c);
        return true;
    }
    send_reply(c);
    return false;
}

static void receive(struct load *l, struct connection *c)
{
    if (!(c->http2 != NULL ? receive_http2(l, c) : receive_answer(l, c))) return;
    count_answer(l, c, now_ns());
    /* Used up: what is still under way runs with fewer connections and does not count. */
    if (!send_next(l, c)) l->over = true;
}

static void run(struct load *l)
{
    struct epoll_event events[256];
    int64_t            began = now_ns(), deadline;

    l->warm_end_ns = began + (int64_t)(l->warm_seconds * 1e9);
    deadline = l->warm_end_ns + (int64_t)(l->seconds * 1e9);
    for (uint32_t i = 0; i < l->connection_count; i++)
        (void)send_next(l, &l->connections[i]);
    while (l->under_way > 0) {
        int n = epoll_wait(l->epoll, events, (int)WFL_COUNT(events), SILENCE_MS_MAX);

        if (n == 0) die("no answer came for 10 s");
        if (n < 0 && errno != EINTR) die(strerror(errno));
        for (int i = 0; i < n; i++) {
            if (events[i].events & EPOLLOUT) go_on_sending(l, events[i].data.ptr);
            if (events[i].events & ~(uint32_t)EPOLLOUT) receive(l, events[i].data.ptr);
        }
        l->over |= now_ns() >= deadline;
    }
}

/* ---- what it comes to */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double quantile_us(const struct load *l, double q)
{
    uint32_t at = (uint32_t)(q * (l->latencies - 1) + 0.5);

    return (double)l->latency_ns[at] / 1000.0;
}

static void report(struct load *l)
{
    double took = (double)(l->end_ns - l->warm_end_ns) / 1e9;

    if (l->latencies == 0) die("the requests were used up before the warm-up had ended");
    qsort(l->latency_ns, l->latencies, sizeof *l->latency_ns, by_value);
    printf("{\"requests\":%" PRIu32 ",\"seconds\":%.4f,\"per_second\":%.4f,\"p50_us\":%.1f,"
           "\"p95_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"made_us\":%.2f,\"sent\":%" PRIu32
           "}\n",
           l->latencies, took, l->latencies / took, quantile_us(l, 0.50), quantile_us(l, 0.95),
           quantile_us(l, 0.99), quantile_us(l, 1.0), l->requests.sign_us, l->next);
}

/* ---- beginning */

static struct sockaddr_in parse_address(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char               host[64];
    unsigned           port;

    if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port == 0 || port > 65535 ||
        inet_pton(AF_INET, host, &address.sin_addr) != 1) {
        die("--connect takes an IPv4 address and a port");
    }
    address.sin_port = htons((uint16_t)port);
    return address;
}

static void greet(struct connection *c)
{
    c->http2 = calloc(1, sizeof *c->http2);
    if (c->http2 == NULL) die("out of memory");
    if (send(c->fd, http2_hello.data, http2_hello.len, MSG_NOSIGNAL) != (ssize_t)http2_hello.len)
        die(strerror(errno));
}

static void open_connections(struct load *l)
{
    struct sockaddr_in address = parse_address(l->plan.authority);
    int                one = 1;

    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->connections = calloc(l->connection_count, sizeof *l->connections);
    l->sink = malloc(SINK_BYTES);
    if (l->epoll < 0 || l->connections == NULL || l->sink == NULL) die("out of memory or files");
    for (uint32_t i = 0; i < l->connection_count; i++) {
        struct connection *c = &l->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        c->in = malloc(HEAD_MAX);
        if (c->fd < 0 || c->in == NULL) die("out of memory or files");
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) die(strerror(errno));
        (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die(strerror(errno));
        if (l->plan.http2) greet(c);
    }
}

static const char usage[] =
    "Usage: load --peer wfldb|http|redis --connect ADDR:PORT [OPTIONS]\n"
    "  --op get|put         default get\n"
    "  --connections N      default 1\n"
    "  --seconds S          measured at the most, default 1\n"
    "  --warm S             before it, default 0\n"
    "  --requests N         made beforehand, default 10000\n"
    "  --keys N, --bytes N  different keys (1000), size of an object (4096)\n"
    "  --first-key N        of these (0)\n"
    "  --contents N         different contents of a put (64), 2 GiB together at the most\n"
    "  --in-order           keys and contents one after the other instead of at random\n"
    "  --http2              get by HTTP/2\n"
    "  --bucket NAME        first segment of the path, default bench\n"
    "  --credential FILE    for wfldb\n"
    "  --session FILE       for wfldb: an open session that nothing was sent in, and its key in "
    "hex\n"
    "  --seed N\n";

static uint64_t number(const char *text, uint64_t max)
{
    uint64_t n;

    if (!wfl_slice_to_u64(wfl_slice_str(text), max, &n) || n == 0) die(usage);
    return n;
}

static enum peer parse_peer(const char *text)
{
    if (strcmp(text, "wfldb") == 0) return PEER_WFLDB;
    if (strcmp(text, "redis") == 0) return PEER_REDIS;
    if (strcmp(text, "http") != 0) die(usage);
    return PEER_HTTP;
}

static bool parse_op(const char *text)
{
    if (strcmp(text, "put") != 0 && strcmp(text, "get") != 0) die(usage);
    return strcmp(text, "put") == 0;
}

static void parse_arguments(struct load *l, int argc, char **argv)
{
    static const struct option options[] = {
        {"peer", 1, NULL, 'p'},       {"connect", 1, NULL, 'c'},     {"op", 1, NULL, 'o'},
        {"seconds", 1, NULL, 's'},    {"connections", 1, NULL, 'n'}, {"warm", 1, NULL, 'w'},
        {"requests", 1, NULL, 'r'},   {"keys", 1, NULL, 'k'},        {"bytes", 1, NULL, 'b'},
        {"in-order", 0, NULL, 'i'},   {"bucket", 1, NULL, 'u'},      {"seed", 1, NULL, 'd'},
        {"credential", 1, NULL, 'f'}, {"session", 1, NULL, 'e'},     {"first-key", 1, NULL, 'y'},
        {"contents", 1, NULL, 't'},   {"http2", 0, NULL, '2'},       {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'p':
            l->plan.peer = parse_peer(optarg);
            break;
        case 'c':
            l->plan.authority = optarg;
            break;
        case 'o':
            l->plan.put = parse_op(optarg);
            break;
        case 's':
            l->seconds = atof(optarg);
            break;
        case 'w':
            l->warm_seconds = atof(optarg);
            break;
        case 'n':
            l->connection_count = (uint32_t)number(optarg, CONNECTIONS_MAX);
            break;
        case 'r':
            l->plan.count = (uint32_t)number(optarg, REQUESTS_MAX);
            break;
        case 'k':
            l->plan.keys = (uint32_t)number(optarg, 99999999);
            break;
        case 'b':
            l->plan.object_bytes = (uint32_t)number(optarg, CONTENT_BYTES_MAX);
            break;
        case 'y':
            l->plan.first_key = (uint32_t)number(optarg, 99999999);
            break;
        case 't':
            l->plan.contents = (uint32_t)number(optarg, 1u << 20);
            break;
        case '2':
            l->plan.http2 = true;
            break;
        case 'i':
            l->plan.in_order = true;
            break;
        case 'u':
            l->plan.bucket = optarg;
            break;
        case 'd':
            l->plan.seed = number(optarg, UINT64_MAX);
            break;
        case 'f':
            l->plan.credential = optarg;
            break;
        case 'e':
            l->plan.session = optarg;
            break;
        default:
            die(usage);
        }
    }
    if (optind != argc || l->plan.authority == NULL) die(usage);
    if (l->plan.peer == PEER_WFLDB && l->plan.credential == NULL) die(usage);
    if (l->plan.peer == PEER_HTTP && l->plan.put) die("http is for static files: get only");
    if (l->plan.http2 && (l->plan.put || l->plan.peer == PEER_REDIS)) die("HTTP/2 is for get only");
}

int main(int argc, char **argv)
{
    struct load l = {.plan = {.peer = PEER_HTTP,
                              .bucket = "bench",
                              .keys = 1000,
                              .count = 10000,
                              .object_bytes = 4096,
                              .contents = 64,
                              .seed = 1},
                     .connection_count = 1,
                     .seconds = 1};
    wfl_error   err;

    parse_arguments(&l, argc, argv);
    if (wfl_auth_init(&err) != WFL_OK || requests_make(&l.plan, &l.requests, &err) != WFL_OK)
        die(err.message);
    l.latency_ns = malloc(l.plan.count * sizeof *l.latency_ns);
    if (l.latency_ns == NULL) die("out of memory");
    open_connections(&l);
    run(&l);
    report(&l);
    for (uint32_t i = 0; i < l.connection_count; i++) {
        close(l.connections[i].fd);
        free(l.connections[i].in);
        free(l.connections[i].http2);
    }
    close(l.epoll);
    free(l.connections);
    free(l.sink);
    free(l.latency_ns);
    requests_free(&l.requests);
    return 0;
}
