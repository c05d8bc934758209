/* SPDX-License-Identifier: Apache-2.0
 *
 * A call: path and query are encoded, the request is signed by the same code that the server
 * verifies with, libcurl carries it. An answer of 400 and above becomes the caller's wfldb_error. A
 * client whose clock is off (timestamp_skew) takes the server's from Date and tries once more. What
 * fails for a reason that may pass is sent again after a pause (retry.c). */
#include "client/client_private.h"

#include <ctype.h>
#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define ERROR_TEXT_MAX (64u << 10)
#define HEAD_TEXT_MAX  (256u << 10)

#define CONNECT_TIMEOUT_MS 10000L
#define STALL_SECONDS      60L /* without a byte in either direction */
#define KEEPALIVE_SECONDS  30L /* finds a dead peer where silence is no failure */
#define BUFFER_BYTES       (256L << 10)

static void set_error(wfldb_error *err, int status, const char *code, const char *detail)
{
    memset(err, 0, sizeof *err);
    err->status = status;
    snprintf(err->code, sizeof err->code, "%s", code);
    snprintf(err->detail, sizeof err->detail, "%s", detail);
}

int call_fail(struct call *c, const char *code, const char *detail)
{
    set_error(c->err, 0, code, detail);
    return -1;
}

/* ---- a handle */

static char *format(const char *a, const char *b)
{
    char *out = NULL;

    return asprintf(&out, "%s%s", a, b) < 0 ? NULL : out;
}

/* What curl will send as Host: the port is left out where it is the scheme's own. NULL: no URL of
 * http or https. */
static char *authority_of(const char *endpoint)
{
    CURLU *url = curl_url();
    char  *scheme = NULL, *host = NULL, *port = NULL, *out = NULL;

    if (url != NULL && curl_url_set(url, CURLUPART_URL, endpoint, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        bool has_port =
            curl_url_get(url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) == CURLUE_OK;

        if (asprintf(&out, "%s%s%s", host, has_port ? ":" : "", has_port ? port : "") < 0)
            out = NULL;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return out;
}

static wfl_code read_credential(wfldb *db, const wfldb_options *o, wfl_arena *arena,
                                struct wfl_key_server *server, wfl_error *err)
{
    wfl_slice packet;
    wfl_code  rc = wfl_auth_init(err);
    char     *text;

    if (rc == WFL_OK) {
        rc = wfl_key_parse_private(wfl_slice_of(o->credential, o->credential_len), arena, &db->key,
                                   &packet, server, err);
    }
    if (rc == WFL_OK && packet.len == 0)
        rc = wfl_fail(err, WFL_INVALID_REQUEST, "the credential has no packet");
    if (rc != WFL_OK) return rc;
    db->has_identity = server->has_identity;
    db->identity = server->identity;
    wfl_auth_sha256_hex(packet, db->packet_hash);
    text = wfl_arena_cstr(arena, packet);
    db->authorization = text == NULL ? NULL : format("Bearer ", text);
    return db->authorization == NULL ? wfl_fail(err, WFL_NOMEM, "out of memory") : WFL_OK;
}

static wfl_code read_endpoint(wfldb *db, const char *given, wfl_slice stored, wfl_arena *arena,
                              wfl_error *err)
{
    const char *text = given;
    size_t      len;

    if (text == NULL && stored.len > 0) text = wfl_arena_cstr(arena, stored);
    if (text == NULL) text = "http://127.0.0.1:7410";
    db->endpoint = strdup(text);
    if (db->endpoint == NULL) return wfl_fail(err, WFL_NOMEM, "out of memory");
    len = strlen(db->endpoint);
    while (len > 0 && db->endpoint[len - 1] == '/')
        db->endpoint[--len] = '\0';
    db->authority = authority_of(db->endpoint);
    if (db->authority == NULL)
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "endpoint %s is no URL like http://127.0.0.1:7410", text);
    return WFL_OK;
}

wfldb *wfldb_open(const wfldb_options *options, wfldb_error *err)
{
    wfldb                *db = calloc(1, sizeof *db);
    wfl_arena             arena;
    struct wfl_key_server server = {0};
    wfl_error             why = {0};
    wfl_code              rc;

    memset(err, 0, sizeof *err);
    if (db == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        set_error(err, 0, "memory", "out of memory");
        free(db);
        return NULL;
    }
    wfl_arena_init(&arena, &wfl_alloc_libc, 128u << 10);
    rc = read_credential(db, options, &arena, &server, &why);
    if (rc == WFL_OK) rc = read_endpoint(db, options->endpoint, server.endpoint, &arena, &why);
    if (rc == WFL_OK)
        rc = trust_init(&db->trust, db->endpoint, options->ca, options->pin, &server, &why);
    wfl_arena_fini(&arena);
    db->http2 = options->http2 != 0 && !db->trust.https;
    db->timeout_ms = options->timeout_ms;
    db->no_retry = options->no_retry != 0;
    db->curl = curl_easy_init();
    db->session = call_session_new(options->session_after);
    if (rc != WFL_OK || db->curl == NULL || db->session == NULL) {
        set_error(err, 0, rc == WFL_OK || rc == WFL_NOMEM ? "memory" : "credential",
                  rc == WFL_OK ? "out of memory" : why.message);
        wfldb_close(db);
        return NULL;
    }
    return db;
}

void wfldb_close(wfldb *db)
{
    if (db == NULL) return;
    if (db->curl != NULL) curl_easy_cleanup(db->curl);
    wfl_key_pair_free(&db->key);
    call_session_free(db->session);
    free(db->authorization);
    free(db->endpoint);
    free(db->authority);
    trust_fini(&db->trust);
    free(db);
}

wfldb *call_clone(const wfldb *db)
{
    wfldb       *clone = malloc(sizeof *clone);
    CURL        *curl = curl_easy_init();
    struct trust trust;

    if (clone == NULL || curl == NULL || !trust_copy(&trust, &db->trust)) {
        free(clone);
        curl_easy_cleanup(curl);
        return NULL;
    }
    *clone = *db;
    clone->curl = curl;
    clone->trust = trust;
    return clone;
}

void call_clone_free(wfldb *clone)
{
    if (clone == NULL) return;
    curl_easy_cleanup(clone->curl);
    trust_fini(&clone->trust);
    free(clone);
}

const char *call_packet(const wfldb *db)
{
    return db->authorization + strlen("Bearer ");
}

int64_t call_now_ns(const wfldb *db)
{
    return wfl_clock_unix_ns(&wfl_clock_system) + db->clock_offset_ns;
}

const char *wfldb_endpoint(const wfldb *db)
{
    return db->endpoint;
}

unsigned call_retry_after(const wfldb *db)
{
    return db->retry_after_s;
}

/* ---- a call */

void call_init(struct call *c, wfldb *db, const char *method, const char *bucket, const char *key,
               wfldb_error *err)
{
    memset(c, 0, sizeof *c);
    memset(err, 0, sizeof *err);
    c->db = db;
    c->method = method;
    c->bucket = bucket;
    c->key = key;
    c->err = err;
    wfl_buf_init(&c->query, &wfl_alloc_libc, 64u << 10);
    wfl_buf_init(&c->head, &wfl_alloc_libc, HEAD_TEXT_MAX);
    wfl_buf_init(&c->text, &wfl_alloc_libc, CALL_TEXT_MAX);
    wfl_arena_init(&c->arena, &wfl_alloc_libc, 4u << 20);
}

void call_fini(struct call *c)
{
    wfl_buf_fini(&c->query);
    wfl_buf_fini(&c->head);
    wfl_buf_fini(&c->text);
    wfl_arena_fini(&c->arena);
}

static bool can_be_sent(const char *name, wfl_slice value)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && *at != '-') return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < 0x20 || value.data[i] == 0x7F) return false;
    }
    return true;
}

void call_header(struct call *c, const char *name, wfl_slice value)
{
    if (!can_be_sent(name, value)) c->bad_header = name;
    if (c->header_count == CALL_HEADERS_MAX) { /* more than the server takes: told by its limit */
        c->query.failed = true;
        return;
    }
    c->headers[c->header_count++] = (struct wfl_auth_header){wfl_slice_str(name), value};
}

void call_param(struct call *c, const char *name, const char *value)
{
    if (value == NULL) return;
    if (c->query.len > 0) wfl_buf_add_u8(&c->query, '&');
    wfl_buf_add_str(&c->query, name);
    wfl_buf_add_u8(&c->query, '=');
    wfl_percent_encode(wfl_slice_str(value), &c->query);
}

/* /v1/{bucket}/{key}: slashes of a key stay, everything else is encoded. */
void call_write_path(const struct call *c, wfl_buf *out)
{
    wfl_slice rest, segment;
    bool      more = c->key != NULL;

    wfl_buf_add_str(out, "/v1/");
    if (c->bucket != NULL) wfl_percent_encode(wfl_slice_str(c->bucket), out);
    rest = wfl_slice_str(c->key);
    while (more) {
        more = wfl_slice_split(&rest, '/', &segment);
        wfl_buf_add_u8(out, '/');
        wfl_percent_encode(segment, out);
    }
}

wfl_slice call_answer_header(const struct call *c, const char *name)
{
    wfl_slice rest = wfl_buf_slice(&c->head), line, field;

    while (rest.len > 0) {
        wfl_slice_split(&rest, '\n', &line);
        wfl_slice_split(&line, ':', &field);
        if (wfl_slice_eq(field, wfl_slice_str(name))) return wfl_slice_trim(line);
    }
    return (wfl_slice){0};
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    struct call *c = arg;
    wfl_slice    line = wfl_slice_of(data, size * count), value, name;
    uint8_t     *at;

    if (wfl_slice_starts_with(line, WFL_S("HTTP/")))
        c->head.len = 0; /* behind a 100 comes the answer */
    while (line.len > 0 && line.data[line.len - 1] <= ' ')
        line.len--;
    value = line;
    if (!wfl_slice_split(&value, ':', &name)) return size * count;
    at = wfl_buf_reserve(&c->head, name.len);
    if (at == NULL) return 0;
    for (size_t i = 0; i < name.len; i++) {
        at[i] = name.data[i] >= 'A' && name.data[i] <= 'Z' ? (uint8_t)(name.data[i] | 0x20)
                                                           : name.data[i];
    }
    c->head.len += name.len;
    wfl_buf_add_u8(&c->head, ':');
    wfl_buf_add(&c->head, wfl_slice_trim(value));
    wfl_buf_add_u8(&c->head, '\n');
    return wfl_buf_ok(&c->head) ? size * count : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct call *c = arg;
    long         status = 0;
    wfl_slice    bytes = wfl_slice_of(data, size * count);

    curl_easy_getinfo(c->db->curl, CURLINFO_RESPONSE_CODE, &status);
    c->status = (int)status;
    if (status >= 200 && status < 300 && c->sink != NULL) {
        wfl_hasher_add(&c->hasher, bytes);
        c->received += bytes.len;
        c->sink_refused = c->sink(c->ctx, data, bytes.len) != 0;
        return c->sink_refused ? 0 : bytes.len;
    }
    if (status >= 400 && c->text.len + bytes.len > ERROR_TEXT_MAX) return 0;
    wfl_buf_add(&c->text, bytes);
    return wfl_buf_ok(&c->text) ? bytes.len : 0;
}

static size_t on_source(char *data, size_t size, size_t count, void *arg)
{
    struct call *c = arg;
    uint64_t     left = c->source_len - c->sent; /* unknown: more than enough */
    size_t       cap = size * count < left ? size * count : (size_t)left, len = 0;

    if (cap == 0) return 0;
    if (c->source(c->source_ctx, c->sent, data, cap, &len) != 0 ||
        (len == 0 && c->source_len != WFLDB_LENGTH_UNKNOWN)) {
        c->source_failed = true; /* it ends before its length, too */
        return CURL_READFUNC_ABORT;
    }
    if (c->hash_sent) wfl_hasher_add(&c->sent_hasher, wfl_slice_of(data, len));
    c->sent += len;
    return len;
}

/* curl asks for the start again where a kept connection turns out to be closed. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct call *c = arg;

    if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
    c->sent = 0;
    wfl_hasher_init(&c->sent_hasher);
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct call *c = arg;

    (void)down_total, (void)down, (void)up_total, (void)up; /* ours count what was taken */
    c->stopped = c->watch(c->watch_ctx, c->sent > c->received ? c->sent : c->received) != 0;
    return c->stopped;
}

static struct curl_slist *add_line(struct curl_slist *list, const char *name, wfl_slice value,
                                   bool *ok)
{
    char              *line = NULL;
    struct curl_slist *longer = NULL;

    /* curl: "Name;" is a header without a value. */
    if (asprintf(&line, value.len == 0 ? "%s;" : "%s: %.*s", name, WFL_FMT(value)) >= 0) {
        longer = curl_slist_append(list, line);
        free(line);
    }
    if (longer == NULL) *ok = false;
    return longer == NULL ? list : longer;
}

static struct curl_slist *header_list(struct call *c, const struct wfl_signed_headers *s, bool *ok)
{
    struct curl_slist *list = NULL, *longer;
    char               session[64];

    snprintf(session, sizeof session, "Session %s", c->session);
    list = add_line(list, "Authorization",
                    wfl_slice_str(c->session[0] != '\0' ? session : c->db->authorization), ok);
    list = add_line(list, "X-WflDB-Timestamp", wfl_slice_str(s->timestamp), ok);
    list = add_line(list, "X-WflDB-Nonce", wfl_slice_str(s->nonce), ok);
    list = add_line(list, "X-WflDB-Signature", wfl_slice_str(s->signature), ok);
    for (uint32_t i = 0; i < c->header_count; i++) {
        list = add_line(list, (const char *)c->headers[i].name.data, c->headers[i].value, ok);
    }
    if (c->source != NULL) return list;          /* a large body waits for the server's yes */
    longer = curl_slist_append(list, "Expect:"); /* nothing behind the colon: not sent */
    if (longer == NULL) *ok = false;
    return longer == NULL ? list : longer;
}

/* libcurl 7.88 breaks on the second HTTP/2 request of a connection that was opened with prior
 * knowledge (curl #10634; Debian 12 has it, 8.0 does not): there each request gets its own. */
static void avoid_broken_reuse(const wfldb *db)
{
    unsigned version = curl_version_info(CURLVERSION_NOW)->version_num;

    if (!db->http2 || version < 0x075800 || version >= 0x080000) return;
    curl_easy_setopt(db->curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(db->curl, CURLOPT_FORBID_REUSE, 1L);
}

static void set_body(struct call *c)
{
    CURL *curl = c->db->curl;

    if (c->source != NULL) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_source);
        curl_easy_setopt(curl, CURLOPT_READDATA, c);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, c);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                         c->source_len == WFLDB_LENGTH_UNKNOWN ? (curl_off_t)-1
                                                               : (curl_off_t)c->source_len);
    } else if (c->has_body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, c->body_len == 0 ? "" : c->body);
    }
}

static void set_options(struct call *c, const char *url, struct curl_slist *headers)
{
    CURL *curl = c->db->curl;

    curl_easy_reset(curl); /* connections are kept */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, c->method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                     c->endless          ? 0L
                     : c->timeout_ms > 0 ? c->timeout_ms
                                         : c->db->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, c->patient || c->endless ? 0L : STALL_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SECONDS);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                     c->db->trust.https ? (long)CURL_HTTP_VERSION_2TLS
                     : c->db->http2     ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                        : (long)CURL_HTTP_VERSION_1_1);
    trust_apply(&c->db->trust, curl);
    avoid_broken_reuse(c->db);
    if (strcmp(c->method, "HEAD") == 0) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (c->watch != NULL) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    }
    set_body(c);
}

static struct wfl_auth_request request_of(const struct call *c, wfl_slice path)
{
    return (struct wfl_auth_request){
        .method = wfl_slice_str(c->method),
        .path = path,
        .query = wfl_buf_slice(&c->query),
        .authority = wfl_slice_str(c->db->authority),
        .headers = c->headers,
        .header_count = c->header_count,
        .has_body = c->has_body,
    };
}

wfl_code call_presign(struct call *c, wfl_slice path, uint32_t seconds, wfl_buf *query,
                      wfl_error *err)
{
    struct wfl_auth_request r = request_of(c, path);

    return wfl_auth_presign(&c->db->key, wfl_slice_str(call_packet(c->db)), &r,
                            call_now_ns(c->db) / 1000000000, seconds, &c->arena, query, err);
}

static bool is_read(const struct call *c)
{
    return strcmp(c->method, "GET") == 0 || strcmp(c->method, "HEAD") == 0;
}

/* What changes a bucket; below /v1/-/ only batches do. */
static bool is_write(const struct call *c)
{
    bool system = c->bucket != NULL && strcmp(c->bucket, "-") == 0;

    return !is_read(c) && (!system || (c->key != NULL && strcmp(c->key, "batch") == 0));
}

/* In the session, where there is one; but what may already have changed something is signed again
 * with the key, under the nonce by which the server remembers it, session or not. */
static wfl_code sign(struct call *c, wfl_slice path, struct wfl_signed_headers *out, wfl_error *err)
{
    struct wfl_auth_request r = request_of(c, path);
    wfl_code                rc = WFL_OK;

    if (c->nonce[0] != '\0') {
        c->session[0] = '\0';
        return wfl_auth_sign_again(&c->db->key, c->db->packet_hash, &r, call_now_ns(c->db),
                                   c->nonce, &c->arena, out, err);
    }
    if (!call_session_sign(c, &r, out, &rc, err))
        rc = wfl_auth_sign(&c->db->key, c->db->packet_hash, &r, call_now_ns(c->db),
                           &wfl_random_system, &c->arena, out, err);
    if (!c->is_write) return rc;
    snprintf(c->nonce, sizeof c->nonce, "%s%s%s", c->session, c->session[0] != '\0' ? "." : "",
             out->nonce);
    return rc;
}

int call_fail_unsent(struct call *c, const wfl_error *err)
{
    char detail[256];

    if (c->bad_header != NULL) {
        snprintf(detail, sizeof detail,
                 "%s: a name has letters, digits and '-', a value no control characters",
                 c->bad_header);
        return call_fail(c, "request", detail);
    }
    if (err->code == WFL_OK) return call_fail(c, "request", "the request is too large");
    return call_fail(c, err->code == WFL_NOMEM ? "memory" : "request", err->message);
}

static void note_retry_after(struct call *c)
{
    uint64_t seconds = 0;

    (void)!wfl_slice_to_u64(call_answer_header(c, "retry-after"), 3600, &seconds);
    c->db->retry_after_s = (unsigned)seconds;
}

/* A server that answers before it has taken in all of a body may be gone before all is sent: what
 * it said counts. */
static bool has_whole_answer(const struct call *c)
{
    uint64_t len = 0;
    long     status = 0;

    curl_easy_getinfo(c->db->curl, CURLINFO_RESPONSE_CODE, &status);
    if (!c->has_body || status < 200 || c->source_failed || c->stopped) return false;
    if (status == 204) return true;
    return wfl_slice_to_u64(call_answer_header(c, "content-length"), UINT64_MAX, &len) &&
           c->text.len == len;
}

/* Of content whose end the server did not ask for: it had stored it before. The rest is read for
 * its length and hash. */
static int read_rest(struct call *c)
{
    char buffer[16384];

    while (c->sent < c->source_len && on_source(buffer, 1, sizeof buffer, c) > 0 &&
           !c->source_failed) {}
    return c->source_failed
               ? call_fail(c, "source", "the content cannot be read, or ends before its length")
               : 0;
}

static int perform(struct call *c)
{
    struct wfl_signed_headers signed_headers;
    struct curl_slist        *headers;
    wfl_buf                   url;
    size_t                    path_at;
    bool                      ok = true;
    wfl_error                 err = {.code = WFL_OK};
    CURLcode                  code = CURLE_OUT_OF_MEMORY;

    wfl_buf_init(&url, &wfl_alloc_libc, 64u << 10);
    wfl_buf_add_str(&url, c->db->endpoint);
    path_at = url.len;
    call_write_path(c, &url);
    if (c->bad_header != NULL || !wfl_buf_ok(&url) || !wfl_buf_ok(&c->query) ||
        sign(c, wfl_slice_of(url.data + path_at, url.len - path_at), &signed_headers, &err) !=
            WFL_OK) {
        wfl_buf_fini(&url);
        return call_fail_unsent(c, &err);
    }
    if (c->query.len > 0) wfl_buf_add_u8(&url, '?');
    wfl_buf_add(&url, wfl_buf_slice(&c->query));
    wfl_buf_add_u8(&url, '\0');
    headers = header_list(c, &signed_headers, &ok);
    c->head.len = c->text.len = 0;
    c->received = c->sent = 0;
    c->status = 0;
    c->sink_refused = c->source_failed = c->stopped = false;
    c->failed = CURLE_OK;
    wfl_hasher_init(&c->hasher);
    wfl_hasher_init(&c->sent_hasher);
    if (ok && wfl_buf_ok(&url)) {
        set_options(c, (const char *)url.data, headers);
        code = curl_easy_perform(c->db->curl);
        if (code != CURLE_OK && has_whole_answer(c)) code = CURLE_OK;
    }
    curl_slist_free_all(headers);
    wfl_buf_fini(&url);
    if (c->stopped) return call_fail(c, "stopped", "stopped by the caller");
    if (c->source_failed)
        return call_fail(c, "source", "the content cannot be read, or ends before its length");
    if (c->sink_refused) return call_fail(c, "sink", "the receiver of the content gave up");
    if (code != CURLE_OK) {
        long sent = 0;

        c->failed = code;
        curl_easy_getinfo(c->db->curl, CURLINFO_REQUEST_SIZE, &sent);
        c->was_sent = sent > 0;
        char        detail[320];
        const char *why =
            trust_explain(&c->db->trust, code, c->db->endpoint, detail, sizeof detail);

        return call_fail(c, why, detail);
    }
    long status = 0;
    curl_easy_getinfo(c->db->curl, CURLINFO_RESPONSE_CODE, &status);
    c->status = (int)status;
    c->db->reached = true;
    note_retry_after(c);
    return c->source != NULL && status >= 200 && status < 300 ? read_rest(c) : 0;
}

static void copy_text(char *out, size_t cap, wfl_slice text)
{
    snprintf(out, cap, "%.*s", WFL_FMT(text));
}

static const char *code_of_status(int status)
{
    return status == 403 ? "forbidden" : status == 404 ? "not_found" : "refused";
}

/* problem+json into the caller's error; a HEAD has no body, then the status speaks. */
static void read_problem(struct call *c)
{
    json_t     *problem = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    const char *code = json_string_value(json_object_get(problem, "code"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    char        status[64];

    snprintf(status, sizeof status, "the server answered %d", c->status);
    set_error(c->err, c->status, code != NULL ? code : code_of_status(c->status),
              detail != NULL ? detail : status);
    copy_text(c->err->request_id, sizeof c->err->request_id, call_answer_header(c, "x-request-id"));
    copy_text(c->err->version, sizeof c->err->version, call_answer_header(c, "x-wfldb-version"));
    json_decref(problem);
}

static bool adopt_server_clock(struct call *c)
{
    wfl_slice date = call_answer_header(c, "date");
    char      text[64];
    time_t    sec;

    copy_text(text, sizeof text, date);
    sec = curl_getdate(text, NULL);
    if (sec < 0) return false;
    /* The middle of the second that it names. */
    c->db->clock_offset_ns =
        (int64_t)sec * 1000000000 + 500000000 - wfl_clock_unix_ns(&wfl_clock_system);
    if (llabs((long long)c->db->clock_offset_ns) < 2000000000) c->db->clock_offset_ns = 0;
    return true;
}

/* The server has lost the session, or it has it and not the write that it has seen a beginning of.
 * Of a HEAD it cannot be told; asking again with the key does no harm. */
static bool is_sessions_fault(const struct call *c)
{
    return c->session[0] != '\0' && c->status == 401 &&
           (strcmp(c->err->code, "session_unknown") == 0 ||
            (strcmp(c->err->code, "replayed") == 0 && !is_read(c)) ||
            strcmp(c->method, "HEAD") == 0);
}

/* A refusal of a HEAD does not say which it is; then Date decides whether it can be the clock. */
static bool may_be_skew(const struct call *c)
{
    return strcmp(c->err->code, "timestamp_skew") == 0 ||
           (c->status == 401 && strcmp(c->method, "HEAD") == 0);
}

/* curl repeats a request by itself where a kept connection dies before the first byte of an answer;
 * the server may have seen the nonce. What reads is signed anew. */
static bool is_repeated_read(const struct call *c)
{
    return strcmp(c->err->code, "replayed") == 0 && strcmp(c->method, "GET") == 0;
}

static int fail_answer(struct call *c)
{
    char detail[160];

    snprintf(detail, sizeof detail,
             "%.100s answered %d, which no wflDB server does; check the endpoint", c->db->endpoint,
             c->status);
    return call_fail(c, "answer", detail);
}

/* One attempt, and what can be set right at once. 0: a status of 2xx. */
static int send_once(struct call *c)
{
    for (bool repaired = false;;) {
        memset(c->err, 0, sizeof *c->err);
        if (perform(c) != 0) return -1;
        if (c->status >= 200 && c->status < 300) return 0;
        if (c->status < 400) return fail_answer(c);
        read_problem(c);
        if (is_sessions_fault(c)) {
            call_session_lost(c);
            c->outside_session = true; /* so not twice */
        } else if (!repaired &&
                   (is_repeated_read(c) || (may_be_skew(c) && adopt_server_clock(c)))) {
            repaired = true;
        } else {
            return -1;
        }
    }
}

/* What came from a pipe is gone: then the failure that made it necessary is the one to tell. */
static int fail_unrepeatable(struct call *c, const wfldb_error *first)
{
    size_t len;

    *c->err = *first;
    len = strlen(c->err->detail);
    snprintf(c->err->detail + len, sizeof c->err->detail - len,
             "; what was sent cannot be read again, so it was sent once");
    return -1;
}

int call_send(struct call *c)
{
    wfldb_error before = {0};

    c->is_write = is_write(c);
    c->single = c->single || c->db->no_retry;
    if (call_session_prepare(c) != 0) return -1;
    for (unsigned attempt = 1;; attempt++) {
        if (send_once(c) == 0) return 0;
        if (attempt > 1 && c->source_failed && c->sent == 0) return fail_unrepeatable(c, &before);
        before = *c->err;
        if (!call_wait_retry(c, attempt)) return -1;
    }
}

int call_take_text(struct call *c, char **out)
{
    *out = strndup(c->text.len == 0 ? "" : (const char *)c->text.data, c->text.len);
    return *out == NULL ? call_fail(c, "memory", "out of memory") : 0;
}

int call_take_document(struct call *c, char **out)
{
    json_t *root = json_loadb((const char *)c->text.data, c->text.len, 0, NULL);
    bool    good = json_is_object(root);

    json_decref(root);
    return good ? call_take_text(c, out)
                : call_fail(c, "answer", "the answer is no JSON object; check the endpoint");
}

void call_json_body(struct call *c, const char *json, size_t len, char hex[65])
{
    c->has_body = true;
    c->body = json;
    c->body_len = len;
    wfl_auth_sha256_hex(wfl_slice_of(json, len), hex);
    call_header(c, "X-WflDB-Content-SHA256", wfl_slice_of(hex, 64));
    call_header(c, "Content-Type", WFL_S("application/json"));
}

bool call_is_utf8(const char *text)
{
    return text == NULL || wfl_utf8_valid(wfl_slice_str(text));
}
