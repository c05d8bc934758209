/* SPDX-License-Identifier: Apache-2.0
 *
 * An HTTP/1.1 head, from bytes to a request. First our own strict pass, because http-parser
 * forgives what must not be forgiven behind or before another server (bare LF, repeated lengths,
 * odd transfer codings: RFC 9112 sections 2.2, 5.1, 6.3); then http-parser takes it apart in place.
 * Every refusal is INVALID_REQUEST or HEADER_TOO_LARGE and ends the connection. */
#include "net/net_private.h"

#include <http_parser.h>

static wfl_code bad(wfl_error *err, const char *why)
{
    return wfl_fail(err, WFL_INVALID_REQUEST, "%s", why);
}

wfl_code http1_find_head(wfl_slice in, size_t *scanned, const struct http1_limits *limits,
                         size_t *head_len, wfl_error *err)
{
    /* Never past the limit: where the pieces were cut must not decide what is found first. */
    size_t end = in.len < limits->header_bytes_max ? in.len : limits->header_bytes_max;
    size_t i = *scanned;

    *head_len = 0;
    for (; i < end; i++) {
        uint8_t b = in.data[i];

        if (b == '\n') {
            if (i == 0 || in.data[i - 1] != '\r') return bad(err, "a line ends with LF alone");
            if (i >= 3 && in.data[i - 2] == '\n') {
                *head_len = i + 1;
                break;
            }
        } else if (i > 0 && in.data[i - 1] == '\r') {
            return bad(err, "a CR stands without LF");
        } else if ((b < 0x20 && b != '\t' && b != '\r') || b == 0x7F) {
            return bad(err, "a control character stands in the head");
        }
    }
    *scanned = i;
    if (*head_len == 0 && in.len >= limits->header_bytes_max) {
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the header block is larger than %zu bytes",
                        limits->header_bytes_max);
    }
    return WFL_OK;
}

/* ---- the strict pass */

static bool is_token(wfl_slice s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    if (s.len == 0) return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) continue;
        if (c == 0 || strchr(others, c) == NULL) return false;
    }
    return true;
}

static wfl_code check_request_line(wfl_slice line, const struct http1_limits *limits,
                                   wfl_error *err)
{
    wfl_slice method, target;

    if (!wfl_slice_split(&line, ' ', &method) || !wfl_slice_split(&line, ' ', &target)) {
        return bad(err, "the request line is not METHOD TARGET VERSION");
    }
    if (target.len > limits->target_bytes_max) {
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the target is longer than %zu bytes",
                        limits->target_bytes_max);
    }
    if (!is_token(method) || wfl_slice_eq(method, WFL_S("CONNECT")))
        return bad(err, "no method for this server");
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7F || target.data[i] == '#') {
            return bad(err, "the target has a character that must be encoded");
        }
    }
    if (target.len == 0) return bad(err, "the target is empty");
    if (!wfl_slice_eq(line, WFL_S("HTTP/1.1")) && !wfl_slice_eq(line, WFL_S("HTTP/1.0"))) {
        return bad(err, "the version is not HTTP/1.1 or HTTP/1.0");
    }
    return WFL_OK;
}

static wfl_code check_header_line(wfl_slice line, wfl_error *err)
{
    wfl_slice name;

    if (line.data[0] == ' ' || line.data[0] == '\t') return bad(err, "a header line is folded");
    if (!wfl_slice_split(&line, ':', &name)) return bad(err, "a header line has no colon");
    if (!is_token(name)) return bad(err, "a header name is no token");
    return WFL_OK;
}

/* Lines end with CRLF: find_head has seen to that. */
static wfl_slice take_line(wfl_slice *rest)
{
    wfl_slice line;

    wfl_slice_split(rest, '\n', &line);
    if (line.len > 0) line.len--;
    return line;
}

static wfl_code check_lines(wfl_slice head, const struct http1_limits *limits, uint32_t *count,
                            wfl_error *err)
{
    wfl_slice line = take_line(&head);
    wfl_code  rc = check_request_line(line, limits, err);

    *count = 0;
    while (rc == WFL_OK) {
        line = take_line(&head);
        if (line.len == 0) break;
        rc = check_header_line(line, err);
        if (rc == WFL_OK && ++*count > limits->header_count_max) {
            rc = wfl_fail(err, WFL_HEADER_TOO_LARGE, "more than %u headers",
                          limits->header_count_max);
        }
    }
    return rc;
}

/* ---- http-parser's events */

struct gather {
    struct wfl_request *request;
    struct wfl_header  *headers;
    uint32_t            cap;
};

static int on_url(http_parser *p, const char *at, size_t len)
{
    ((struct gather *)p->data)->request->target = wfl_slice_of(at, len);
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct gather      *g = p->data;
    struct wfl_request *r = g->request;
    uint8_t            *name = (uint8_t *)(uintptr_t)at; /* our own memory, see the header */

    if (r->header_count == g->cap) return 1;
    for (size_t i = 0; i < len; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z') name[i] |= 0x20;
    }
    g->headers[r->header_count++].name = wfl_slice_of(at, len);
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct gather *g = p->data;

    if (g->request->header_count == 0) return 1;
    g->headers[g->request->header_count - 1].value = wfl_slice_trim(wfl_slice_of(at, len));
    return 0;
}

static int on_complete(http_parser *p)
{
    (void)p;
    return 1; /* framing of the body is ours */
}

/* ---- framing and target */

struct framing_headers {
    const wfl_slice *length, *coding, *host, *expect;
    bool             close, keep_alive;
};

static void read_connection(wfl_slice value, struct framing_headers *f)
{
    bool more = true;

    while (more) {
        wfl_slice token;

        more = wfl_slice_split(&value, ',', &token);
        token = wfl_slice_trim(token);
        f->close |= wfl_slice_eq_nocase(token, WFL_S("close"));
        f->keep_alive |= wfl_slice_eq_nocase(token, WFL_S("keep-alive"));
    }
}

static wfl_code find_framing(const struct wfl_request *r, struct framing_headers *f, wfl_error *err)
{
    static const wfl_slice names[] = {WFL_LIT("content-length"), WFL_LIT("transfer-encoding"),
                                      WFL_LIT("host"), WFL_LIT("expect")};
    const wfl_slice      **places[] = {&f->length, &f->coding, &f->host, &f->expect};

    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < r->header_count; i++) {
        for (size_t n = 0; n < WFL_COUNT(names); n++) {
            if (!wfl_slice_eq(r->headers[i].name, names[n])) continue;
            if (*places[n] != NULL) {
                return wfl_fail(err, WFL_INVALID_REQUEST, "header %.*s is sent twice",
                                WFL_FMT(names[n]));
            }
            *places[n] = &r->headers[i].value;
        }
        if (wfl_slice_eq(r->headers[i].name, WFL_S("connection")))
            read_connection(r->headers[i].value, f);
    }
    return WFL_OK;
}

static wfl_code read_body_framing(struct wfl_request *r, const struct framing_headers *f,
                                  bool http11, struct http1_head *framing, wfl_error *err)
{
    if (f->length != NULL && f->coding != NULL)
        return bad(err, "Content-Length and Transfer-Encoding are sent both");
    if (f->coding != NULL) {
        if (!http11 || !wfl_slice_eq_nocase(*f->coding, WFL_S("chunked"))) {
            return bad(err, "Transfer-Encoding is not exactly chunked");
        }
        framing->chunked = r->has_body = true;
    }
    if (f->length != NULL) {
        if (f->length->len > 19 || !wfl_slice_to_u64(*f->length, UINT64_MAX, &r->length)) {
            return bad(err, "Content-Length is no number");
        }
        r->length_known = true;
        r->has_body = r->length > 0;
    }
    if (!r->has_body) r->length_known = true;
    if (f->expect != NULL && http11) {
        if (!wfl_slice_eq_nocase(*f->expect, WFL_S("100-continue"))) {
            return wfl_fail(err, WFL_INVALID_HEADER, "Expect takes 100-continue only");
        }
        r->expects_continue = r->has_body;
    }
    return WFL_OK;
}

static wfl_code read_authority(struct wfl_request *r, const struct framing_headers *f, bool http11,
                               wfl_error *err)
{
    if (f->host == NULL) {
        if (http11) return bad(err, "Host is missing");
        return WFL_OK;
    }
    r->authority = *f->host;
    for (size_t i = 0; i < r->authority.len; i++) {
        uint8_t c = r->authority.data[i];

        if (c <= 0x20 || c >= 0x7F || strchr("/\\@,?#\"<>", c) != NULL)
            return bad(err, "Host is no authority");
    }
    return WFL_OK;
}

/* "http://host/path" becomes "/path"; its host must be the one in Host, or the two would disagree.
 */
static wfl_code reduce_target(struct wfl_request *r, wfl_error *err)
{
    wfl_slice rest = r->target, scheme, host;
    size_t    i = 0;

    if (rest.data[0] == '/') return WFL_OK;
    if (wfl_slice_eq(rest, WFL_S("*")) && wfl_slice_eq(r->method, WFL_S("OPTIONS"))) return WFL_OK;
    if (rest.len < 8 || !wfl_slice_eq_nocase(wfl_slice_of(rest.data, 7), WFL_S("http://")) ||
        !wfl_slice_take(&rest, 7, &scheme)) {
        return bad(err, "the target is no path");
    }
    while (i < rest.len && rest.data[i] != '/' && rest.data[i] != '?')
        i++;
    host = wfl_slice_of(rest.data, i);
    if (!wfl_slice_eq_nocase(host, r->authority))
        return bad(err, "the target's host is not the one in Host");
    if (i == rest.len || rest.data[i] != '/') return bad(err, "the target has no path");
    r->target = wfl_slice_of(rest.data + i, rest.len - i);
    return WFL_OK;
}

wfl_code http1_parse_head(uint8_t *head, size_t len, const struct http1_limits *limits,
                          wfl_arena *arena, struct wfl_request *out, struct http1_head *framing,
                          wfl_error *err)
{
    static const http_parser_settings settings = {.on_url = on_url,
                                                  .on_header_field = on_field,
                                                  .on_header_value = on_value,
                                                  .on_headers_complete = on_complete};
    struct gather                     g = {.request = out};
    struct framing_headers            f;
    http_parser                       parser;
    bool                              http11;
    wfl_slice                         rest;
    wfl_code rc = check_lines(wfl_slice_of(head, len), limits, &g.cap, err);

    if (rc != WFL_OK) return rc;
    g.headers = wfl_arena_zero(arena, g.cap + 1, sizeof *g.headers);
    if (g.headers == NULL) return wfl_fail(err, WFL_NOMEM, "head: out of memory");
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &g;
    rest = wfl_slice_of(head, len);
    wfl_slice_split(&rest, ' ', &out->method);
    size_t          used = http_parser_execute(&parser, &settings, (const char *)head, len);
    enum http_errno number = HTTP_PARSER_ERRNO(&parser);
    /* Our on_complete stops it, or it reaches the end of the head by itself. */
    if ((number != HPE_OK && number != HPE_CB_headers_complete) || used > len ||
        out->target.len == 0) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "the head cannot be read: %s",
                        http_errno_description(number));
    }
    if (out->header_count != g.cap) return bad(err, "the head cannot be read");
    out->headers = g.headers;
    out->http_major = 1;
    http11 = parser.http_minor == 1;
    rc = find_framing(out, &f, err);
    if (rc == WFL_OK) rc = read_authority(out, &f, http11, err);
    if (rc == WFL_OK) rc = reduce_target(out, err);
    if (rc == WFL_OK) rc = read_body_framing(out, &f, http11, framing, err);
    if (rc != WFL_OK) return rc;
    framing->keep_alive = !f.close && (http11 || f.keep_alive);
    framing->http10 = !http11;
    out->query = out->target;
    wfl_slice_split(&out->query, '?', &out->path);
    return WFL_OK;
}
