/* SPDX-License-Identifier: Apache-2.0
 *
 * Canonical requests. An input is lines: method, path, query, authority, then headers `name:value`.
 * What must hold: the path and query in the result are of the canonical form, and being canonical
 * give themselves; neither another spelling of the path nor another order of headers changes a
 * byte. */
#include "fuzz.h"

#include "auth/auth.h"

#define HEADERS_MAX 64
#define TEXT_MAX    (1u << 20)

static const char credential[] = "c28e9a05739089c398c643f9e4da8b695117a0750c716e7bedce66f55dbe5ca2";

static wfl_code write_text(const struct wfl_auth_request *r, wfl_buf *out)
{
    wfl_arena arena;
    wfl_error err = {0};
    wfl_code  rc;

    wfl_arena_init(&arena, &wfl_alloc_libc, TEXT_MAX);
    wfl_buf_init(out, &wfl_alloc_libc, TEXT_MAX);
    rc = wfl_canonical_write(r, credential, &arena, out, &err);
    wfl_arena_fini(&arena);
    if (rc != WFL_OK) assert(wfl_code_http(rc) < 500 && err.message[0] != '\0');
    return rc;
}

/* The lines of path and query; there is no '\n' inside, for the input's lines have none. */
static void take_target(const wfl_buf *text, wfl_slice *path, wfl_slice *query)
{
    wfl_slice rest = wfl_buf_slice(text);

    assert(wfl_slice_eq(fuzz_line(&rest), WFL_S("WFLDB1")));
    (void)fuzz_line(&rest);
    *path = fuzz_line(&rest);
    *query = fuzz_line(&rest);
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("-._~", c) != NULL);
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* Unreserved characters, separators, and %XX where XX is no unreserved character. */
static void check_form(wfl_slice text, const char *separators)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (is_unreserved(c) || (c != 0 && strchr(separators, c) != NULL)) continue;
        assert(c == '%' && text.len - i >= 3);
        assert(is_hex(text.data[i + 1]) && is_hex(text.data[i + 2]));
        uint8_t decoded[3];
        size_t  len;
        bool    ok = wfl_percent_decode(wfl_slice_of(text.data + i, 3), decoded, &len);
        assert(ok && len == 1 && !is_unreserved(decoded[0]));
        i += 2;
    }
}

/* Sorted by name, then value, and the signature is gone. */
static void check_query(wfl_slice query)
{
    wfl_slice piece, name, last_name = {0}, last_value = {0};
    bool      more = query.len > 0, first = true;

    check_form(query, "=&");
    while (more) {
        more = wfl_slice_split(&query, '&', &piece);
        assert(piece.len > 0 && memchr(piece.data, '=', piece.len) != NULL);
        wfl_slice_split(&piece, '=', &name);
        assert(!wfl_slice_eq(name, WFL_S("wfl-signature")));
        if (!first) {
            int order = wfl_slice_cmp(last_name, name);
            assert(order < 0 || (order == 0 && wfl_slice_cmp(last_value, piece) <= 0));
        }
        first = false;
        last_name = name;
        last_value = piece;
    }
}

static void expect_same(const struct wfl_auth_request *r, const wfl_buf *text)
{
    wfl_buf  again;
    wfl_code rc = write_text(r, &again);

    assert(rc == WFL_OK && wfl_slice_eq(wfl_buf_slice(&again), wfl_buf_slice(text)));
    wfl_buf_fini(&again);
}

static void check_canonical_gives_itself(const struct wfl_auth_request *r, const wfl_buf *text)
{
    struct wfl_auth_request canonical = *r;

    take_target(text, &canonical.path, &canonical.query);
    check_form(canonical.path, "/");
    check_query(canonical.query);
    expect_same(&canonical, text);
}

/* Every byte of the decoded segments written as an escape. */
static void check_spelling(const struct wfl_auth_request *r, const wfl_buf *text)
{
    struct wfl_auth_request spelled = *r;
    wfl_slice               rest = r->path, segment;
    bool                    more = true;
    wfl_buf                 path;

    wfl_buf_init(&path, &wfl_alloc_libc, TEXT_MAX);
    while (more) {
        uint8_t *decoded = malloc(r->path.len + 1);
        size_t   len;

        if (decoded == NULL) abort();
        more = wfl_slice_split(&rest, '/', &segment);
        bool ok = wfl_percent_decode(segment, decoded, &len);
        assert(ok);
        for (size_t i = 0; i < len; i++)
            wfl_buf_printf(&path, i % 2 == 0 ? "%%%02x" : "%%%02X", decoded[i]);
        if (more) wfl_buf_add_u8(&path, '/');
        free(decoded);
    }
    spelled.path = wfl_buf_slice(&path);
    expect_same(&spelled, text);
    wfl_buf_fini(&path);
}

static void check_order(const struct wfl_auth_request *r, const wfl_buf *text)
{
    struct wfl_auth_header  turned[HEADERS_MAX];
    struct wfl_auth_request other = *r;

    for (uint32_t i = 0; i < r->header_count; i++)
        turned[i] = r->headers[r->header_count - 1 - i];
    other.headers = turned;
    expect_same(&other, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_slice               in = wfl_slice_of(data, size);
    struct wfl_auth_header  headers[HEADERS_MAX];
    struct wfl_auth_request r = {.headers = headers};
    wfl_buf                 text;

    r.method = fuzz_line(&in);
    r.path = fuzz_line(&in);
    r.query = fuzz_line(&in);
    r.authority = fuzz_line(&in);
    while (in.len > 0 && r.header_count < HEADERS_MAX) {
        wfl_slice value = fuzz_line(&in), name;

        wfl_slice_split(&value, ':', &name);
        headers[r.header_count++] = (struct wfl_auth_header){name, value};
    }
    if (write_text(&r, &text) == WFL_OK) {
        check_canonical_gives_itself(&r, &text);
        check_spelling(&r, &text);
        check_order(&r, &text);
    }
    wfl_buf_fini(&text);
    return 0;
}
