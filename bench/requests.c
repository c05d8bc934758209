/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads are written one behind another into one buffer, and contents are few and shared: a run of
 * 100,000 requests takes about 120 MB. A signed request is good once and for a minute, so wflDB's
 * are made for each run; for the others the same list would do again, but costs nothing to make. */
#include "bench/http2.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_BYTES_MAX (2ull << 30)

struct maker {
    const struct plan  *plan;
    struct requests    *out;
    struct wfl_key_pair key;
    wfl_slice           packet;
    wfl_slice           authorization; /* "Bearer " and the packet, or "Session " and its name */
    char                session[WFL_ULID_TEXT_LEN + 1]; /* empty: none */
    struct wfl_secret   session_key;
    char                packet_hash[65];
    char (*content_hash)[65];
    wfl_arena keep;    /* the packet */
    wfl_arena scratch; /* of one request */
};

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static wfl_code make_contents(struct maker *m, wfl_error *err)
{
    const struct plan *p = m->plan;
    size_t             bytes = p->object_bytes, all = p->contents * bytes;

    if (!p->put) return WFL_OK;
    if (all > CONTENT_BYTES_MAX) return wfl_fail(err, WFL_NOMEM, "contents: too much at once");
    m->out->contents = wfl_alloc_get(&wfl_alloc_libc, all);
    m->content_hash = wfl_alloc_get(&wfl_alloc_libc, p->contents * sizeof *m->content_hash);
    if (m->out->contents == NULL || m->content_hash == NULL)
        return wfl_fail(err, WFL_NOMEM, "contents: out of memory");
    for (size_t i = 0; i < all; i += sizeof(uint64_t)) { /* nothing that compresses or repeats */
        uint64_t word = mix(mix(p->seed) ^ i);

        memcpy(m->out->contents + i, &word, all - i < sizeof word ? all - i : sizeof word);
    }
    for (size_t i = 0; i < p->contents; i++) {
        wfl_hash hash = wfl_hash_of(wfl_slice_of(m->out->contents + i * bytes, bytes));

        wfl_hex_encode(wfl_slice_of(hash.bytes, sizeof hash.bytes), m->content_hash[i]);
    }
    return WFL_OK;
}

static wfl_code read_credential(struct maker *m, wfl_error *err)
{
    struct wfl_secret text = {0};
    wfl_code          rc;

    if (m->plan->peer != PEER_WFLDB) return WFL_OK;
    rc = wfl_key_read_file(m->plan->credential, true, &text, err);
    if (rc == WFL_OK)
        rc = wfl_key_parse_private(wfl_slice_of(text.data, text.len), &m->keep, &m->key, &m->packet,
                                   NULL, err);
    wfl_secret_free(&text);
    if (rc != WFL_OK) return rc;
    wfl_auth_sha256_hex(m->packet, m->packet_hash);
    uint8_t *bearer = wfl_arena_get(&m->keep, 7 + m->packet.len);
    if (bearer == NULL) return wfl_fail(err, WFL_NOMEM, "credential: out of memory");
    memcpy(bearer, "Bearer ", 7);
    memcpy(bearer + 7, m->packet.data, m->packet.len);
    m->authorization = wfl_slice_of(bearer, 7 + m->packet.len);
    return WFL_OK;
}

/* "01JD... <64 hex digits>": what opening the session has given. */
static wfl_code read_session(struct maker *m, wfl_error *err)
{
    struct wfl_secret text = {0};
    wfl_slice         rest, id;
    wfl_code          rc;

    if (m->plan->session == NULL) return WFL_OK;
    rc = wfl_key_read_file(m->plan->session, true, &text, err);
    if (rc == WFL_OK) rc = wfl_secret_new(32, &m->session_key, err);
    rest = wfl_slice_trim(wfl_slice_of(text.data, text.len));
    if (rc == WFL_OK && (!wfl_slice_split(&rest, ' ', &id) || id.len != WFL_ULID_TEXT_LEN ||
                         !wfl_hex_decode(rest, m->session_key.data, m->session_key.len)))
        rc = wfl_fail(err, WFL_INVALID_REQUEST, "%s holds no session", m->plan->session);
    if (rc == WFL_OK) {
        static char authorization[8 + WFL_ULID_TEXT_LEN + 1];

        snprintf(m->session, sizeof m->session, "%.*s", WFL_FMT(id));
        snprintf(authorization, sizeof authorization, "Session %s", m->session);
        m->authorization = wfl_slice_str(authorization);
    }
    wfl_secret_free(&text);
    return rc;
}

/* ---- one request */

#define HEADERS_MAX 6

/* `request` is 0 for the first. */
static void write_http(struct maker *m, uint32_t request, const char *path,
                       const struct wfl_auth_header *headers, size_t count)
{
    const struct plan *p = m->plan;
    wfl_buf           *out = &m->out->text;

    if (p->http2) {
        http2_write_get(out, 2 * request + 1, p->authority, path, headers, count);
        return;
    }
    wfl_buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\n", p->put ? "PUT" : "GET", path,
                   p->authority);
    for (size_t i = 0; i < count; i++) {
        wfl_buf_add(out, headers[i].name);
        wfl_buf_add_str(out, ": ");
        wfl_buf_add(out, headers[i].value);
        wfl_buf_add_str(out, "\r\n");
    }
    if (p->put) wfl_buf_printf(out, "Content-Length: %" PRIu32 "\r\n", p->object_bytes);
    wfl_buf_add_str(out, "\r\n");
}

static wfl_code write_signed(struct maker *m, uint32_t request, const char *path, const char *hash,
                             wfl_error *err)
{
    const struct plan        *p = m->plan;
    struct wfl_auth_header    header = {WFL_S("x-wfldb-content-blake3"), wfl_slice_str(hash)};
    struct wfl_auth_request   unsigned_one = {.method = p->put ? WFL_S("PUT") : WFL_S("GET"),
                                              .path = wfl_slice_str(path),
                                              .authority = wfl_slice_str(p->authority),
                                              .headers = &header,
                                              .header_count = p->put ? 1 : 0,
                                              .has_body = p->put};
    struct wfl_signed_headers made;
    wfl_code                  rc;

    wfl_arena_reset(&m->scratch);
    if (m->session[0] != '\0')
        rc = wfl_session_sign(&m->session_key, m->session, wfl_slice_str(p->bucket), &unsigned_one,
                              wfl_clock_unix_ns(&wfl_clock_system), request + 1, &m->scratch, &made,
                              err);
    else
        rc = wfl_auth_sign(&m->key, m->packet_hash, &unsigned_one,
                           wfl_clock_unix_ns(&wfl_clock_system), &wfl_random_system, &m->scratch,
                           &made, err);
    if (rc != WFL_OK) return rc;
    struct wfl_auth_header headers[HEADERS_MAX] = {
        {WFL_S("x-wfldb-timestamp"), wfl_slice_str(made.timestamp)},
        {WFL_S("x-wfldb-nonce"), wfl_slice_str(made.nonce)},
        {WFL_S("x-wfldb-signature"), wfl_slice_str(made.signature)},
        {WFL_S("authorization"), m->authorization},
        header,
    };
    write_http(m, request, path, headers, p->put ? 5 : 4);
    return WFL_OK;
}

static wfl_code write_head(struct maker *m, uint32_t request, uint64_t key, const char *hash,
                           wfl_error *err)
{
    const struct plan *p = m->plan;
    wfl_buf           *out = &m->out->text;
    char               path[512];

    if (p->peer == PEER_REDIS) {
        snprintf(path, sizeof path, "key%08" PRIu64, key);
        if (p->put) {
            wfl_buf_printf(out, "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%" PRIu32 "\r\n", strlen(path),
                           path, p->object_bytes);
        } else {
            wfl_buf_printf(out, "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n", strlen(path), path);
        }
        return WFL_OK;
    }
    snprintf(path, sizeof path, "%s/%s/key%08" PRIu64, p->peer == PEER_WFLDB ? "/v1" : "",
             p->bucket, key);
    if (p->peer == PEER_WFLDB) return write_signed(m, request, path, hash, err);
    write_http(m, request, path, NULL, 0);
    return WFL_OK;
}

static wfl_code make_all(struct maker *m, wfl_error *err)
{
    const struct plan *p = m->plan;
    struct requests   *out = m->out;
    int64_t            began = wfl_clock_mono_ns(&wfl_clock_system);
    size_t            *starts = wfl_alloc_get(&wfl_alloc_libc, (p->count + 1) * sizeof *starts);
    wfl_code           rc = WFL_OK;

    out->items = wfl_alloc_zero(&wfl_alloc_libc, p->count, sizeof *out->items);
    if (starts == NULL || out->items == NULL) rc = wfl_fail(err, WFL_NOMEM, "out of memory");
    for (uint32_t i = 0; i < p->count && rc == WFL_OK; i++) {
        uint64_t draw = mix(p->seed ^ ((uint64_t)i << 20));
        size_t   content = (p->in_order ? i : draw >> 32) % p->contents;
        uint64_t key = p->first_key + (p->in_order ? i : draw) % p->keys;

        starts[i] = out->text.len;
        rc = write_head(m, i, key, p->put ? m->content_hash[content] : "", err);
        if (p->put) {
            out->items[i].content =
                wfl_slice_of(out->contents + content * p->object_bytes, p->object_bytes);
            if (p->peer == PEER_REDIS) out->items[i].tail = WFL_S("\r\n");
        }
    }
    if (rc == WFL_OK && !wfl_buf_ok(&out->text)) rc = wfl_fail(err, WFL_NOMEM, "out of memory");
    /* The buffer stays where it is from here on. */
    for (uint32_t i = 0; i < p->count && rc == WFL_OK; i++) {
        size_t end = i + 1 < p->count ? starts[i + 1] : out->text.len;

        out->items[i].head = wfl_slice_of(out->text.data + starts[i], end - starts[i]);
    }
    wfl_alloc_free(&wfl_alloc_libc, starts);
    out->count = p->count;
    out->sign_us = (double)(wfl_clock_mono_ns(&wfl_clock_system) - began) / 1000 / p->count;
    return rc;
}

wfl_code requests_make(const struct plan *plan, struct requests *out, wfl_error *err)
{
    struct maker m = {.plan = plan, .out = out};
    wfl_code     rc;

    *out = (struct requests){0};
    wfl_buf_init(&out->text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_arena_init(&m.keep, &wfl_alloc_libc, 64u << 10);
    wfl_arena_init(&m.scratch, &wfl_alloc_libc, 1u << 20);
    rc = read_credential(&m, err);
    if (rc == WFL_OK) rc = read_session(&m, err);
    if (rc == WFL_OK) rc = make_contents(&m, err);
    if (rc == WFL_OK) rc = make_all(&m, err);
    wfl_key_pair_free(&m.key);
    wfl_arena_fini(&m.keep);
    wfl_arena_fini(&m.scratch);
    wfl_alloc_free(&wfl_alloc_libc, m.content_hash);
    if (rc != WFL_OK) requests_free(out);
    return rc;
}

void requests_free(struct requests *r)
{
    wfl_alloc_free(&wfl_alloc_libc, r->items);
    wfl_alloc_free(&wfl_alloc_libc, r->contents);
    wfl_buf_fini(&r->text);
    *r = (struct requests){0};
}
