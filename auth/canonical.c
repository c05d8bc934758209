/* SPDX-License-Identifier: Apache-2.0
 *
 * The text that a signature covers. Decoding and encoding once makes every spelling of a target the
 * same text; what could be read in two ways (an encoded slash, a header twice) is refused. */
#include "auth/auth_private.h"

#include <stdlib.h>

#define SIGNED_HEADERS_MAX 1024
#define QUERY_PIECES_MAX   256

static wfl_code bad_escape(wfl_error *err)
{
    return wfl_fail(err, WFL_INVALID_REQUEST, "the target has a malformed percent escape");
}

/* ---- path */

static wfl_code write_path(wfl_slice path, uint8_t *scratch, wfl_buf *out, wfl_error *err)
{
    bool more = true;

    while (more) {
        wfl_slice segment;
        size_t    len;

        more = wfl_slice_split(&path, '/', &segment);
        if (!wfl_percent_decode(segment, scratch, &len)) return bad_escape(err);
        if (len > 0 && memchr(scratch, '/', len) != NULL) {
            return wfl_fail(err, WFL_INVALID_KEY, "an encoded slash is not part of any key");
        }
        wfl_percent_encode(wfl_slice_of(scratch, len), out);
        if (more) wfl_buf_add_u8(out, '/');
    }
    return WFL_OK;
}

/* ---- query */

struct piece { /* encoded */
    wfl_slice name, value;
};

static int by_name_and_value(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    int                 order = wfl_slice_cmp(x->name, y->name);

    return order != 0 ? order : wfl_slice_cmp(x->value, y->value);
}

/* Decode and encode into `text`, which has room; the slice points into it. */
static wfl_code normalise(wfl_slice raw, uint8_t *scratch, wfl_buf *text, wfl_slice *out,
                          wfl_error *err)
{
    size_t len, start = text->len;

    if (!wfl_percent_decode(raw, scratch, &len)) return bad_escape(err);
    wfl_percent_encode(wfl_slice_of(scratch, len), text);
    *out = wfl_slice_of(text->data + start, text->len - start);
    return WFL_OK;
}

static wfl_code split_query(wfl_slice query, uint8_t *scratch, wfl_buf *text, struct piece *pieces,
                            size_t *count, wfl_error *err)
{
    bool more = query.len > 0;

    while (more) {
        wfl_slice    raw, name;
        struct piece p;
        wfl_code     rc;

        more = wfl_slice_split(&query, '&', &raw);
        wfl_slice_split(&raw, '=', &name);
        rc = normalise(name, scratch, text, &p.name, err);
        if (rc == WFL_OK) rc = normalise(raw, scratch, text, &p.value, err);
        if (rc != WFL_OK) return rc;
        if (wfl_slice_eq(p.name, WFL_S("wfl-signature"))) continue;
        if (*count == QUERY_PIECES_MAX)
            return wfl_fail(err, WFL_INVALID_QUERY, "too many query parameters");
        pieces[(*count)++] = p;
    }
    return WFL_OK;
}

static size_t pieces_bound(wfl_slice query)
{
    size_t n = 1;

    for (size_t i = 0; i < query.len && n < QUERY_PIECES_MAX; i++)
        n += query.data[i] == '&';
    return n;
}

static wfl_code write_query(wfl_slice query, uint8_t *scratch, wfl_arena *arena, wfl_buf *out,
                            wfl_error *err)
{
    struct piece *pieces;
    wfl_buf       text;
    size_t        count = 0;
    wfl_code      rc;

    if (query.len == 0) return WFL_OK;
    pieces = wfl_arena_get(arena, pieces_bound(query) * sizeof *pieces);
    /* A fixed place: three bytes for one at the worst, so it never moves and never fails. */
    text = (wfl_buf){.data = wfl_arena_get(arena, query.len * 3 + 1),
                     .cap = query.len * 3 + 1,
                     .max = query.len * 3 + 1};
    if (pieces == NULL || text.data == NULL)
        return wfl_fail(err, WFL_NOMEM, "canonical request: out of memory");
    rc = split_query(query, scratch, &text, pieces, &count, err);
    if (rc != WFL_OK) return rc;
    if (count > 1) qsort(pieces, count, sizeof *pieces, by_name_and_value);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) wfl_buf_add_u8(out, '&');
        wfl_buf_add(out, pieces[i].name);
        wfl_buf_add_u8(out, '=');
        wfl_buf_add(out, pieces[i].value);
    }
    return WFL_OK;
}

/* ---- headers */

static bool is_signed(wfl_slice name)
{
    static const wfl_slice others[] = {WFL_LIT("content-type"), WFL_LIT("if-match"),
                                       WFL_LIT("if-none-match"), WFL_LIT("if-range"),
                                       WFL_LIT("range")};

    if (name.len >= 8 && wfl_slice_eq_nocase(wfl_slice_of(name.data, 8), WFL_S("x-wfldb-"))) {
        return !wfl_slice_eq_nocase(name, WFL_S("x-wfldb-signature"));
    }
    for (size_t i = 0; i < WFL_COUNT(others); i++) {
        if (wfl_slice_eq_nocase(name, others[i])) return true;
    }
    return false;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static int by_lower_name(const void *a, const void *b)
{
    const struct wfl_auth_header *const *x = a, *const *y = b;
    wfl_slice                            m = (*x)->name, n = (*y)->name;

    for (size_t i = 0; i < m.len && i < n.len; i++) {
        if (lower(m.data[i]) != lower(n.data[i])) return lower(m.data[i]) - lower(n.data[i]);
    }
    return m.len < n.len ? -1 : m.len > n.len;
}

static void add_lower(wfl_buf *out, wfl_slice text)
{
    uint8_t *at = wfl_buf_reserve(out, text.len);

    if (at == NULL) return;
    for (size_t i = 0; i < text.len; i++)
        at[i] = lower(text.data[i]);
    out->len += text.len;
}

wfl_code canonical_sort_headers(const struct wfl_auth_request *r, wfl_arena *arena,
                                struct signed_headers *out, wfl_error *err)
{
    const struct wfl_auth_header **list;
    size_t                         count = 0;

    if (r->header_count > SIGNED_HEADERS_MAX)
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "too many headers");
    list = wfl_arena_get(arena, (r->header_count + 1) * sizeof(struct wfl_auth_header *));
    if (list == NULL) return wfl_fail(err, WFL_NOMEM, "canonical request: out of memory");
    for (uint32_t i = 0; i < r->header_count; i++) {
        if (is_signed(r->headers[i].name)) list[count++] = &r->headers[i];
    }
    qsort(list, count, sizeof(struct wfl_auth_header *), by_lower_name);
    for (size_t i = 1; i < count; i++) {
        if (by_lower_name(&list[i - 1], &list[i]) == 0) {
            return wfl_fail(err, WFL_DUPLICATE_HEADER, "header %.*s is sent twice",
                            WFL_FMT(list[i]->name));
        }
    }
    *out = (struct signed_headers){list, count};
    return WFL_OK;
}

static void write_headers(const struct signed_headers *headers, wfl_buf *out)
{
    for (size_t i = 0; i < headers->count; i++) {
        add_lower(out, headers->list[i]->name);
        wfl_buf_add_u8(out, ':');
        wfl_buf_add(out, wfl_slice_trim(headers->list[i]->value));
        wfl_buf_add_u8(out, '\n');
    }
}

wfl_code canonical_write_text(const struct wfl_auth_request *r,
                              const struct signed_headers   *headers,
                              const char *credential_sha256_hex, wfl_arena *arena, wfl_buf *out,
                              wfl_error *err)
{
    size_t   longest = r->path.len > r->query.len ? r->path.len : r->query.len;
    uint8_t *scratch = wfl_arena_get(arena, longest + 1);
    wfl_code rc;

    if (scratch == NULL) return wfl_fail(err, WFL_NOMEM, "canonical request: out of memory");
    wfl_buf_add_str(out, "WFLDB1\n");
    wfl_buf_add(out, r->method);
    wfl_buf_add_u8(out, '\n');
    rc = write_path(r->path, scratch, out, err);
    if (rc != WFL_OK) return rc;
    wfl_buf_add_u8(out, '\n');
    rc = write_query(r->query, scratch, arena, out, err);
    if (rc != WFL_OK) return rc;
    wfl_buf_add_u8(out, '\n');
    add_lower(out, r->authority);
    wfl_buf_add_u8(out, '\n');
    wfl_buf_add_str(out, credential_sha256_hex);
    wfl_buf_add_u8(out, '\n');
    write_headers(headers, out);
    if (!wfl_buf_ok(out))
        return wfl_fail(err, WFL_NOMEM, "canonical request: out of memory or too long");
    return WFL_OK;
}

wfl_code wfl_canonical_write(const struct wfl_auth_request *r, const char *credential_sha256_hex,
                             wfl_arena *arena, wfl_buf *out, wfl_error *err)
{
    struct signed_headers headers;
    wfl_code              rc = canonical_sort_headers(r, arena, &headers, err);

    return rc == WFL_OK ? canonical_write_text(r, &headers, credential_sha256_hex, arena, out, err)
                        : rc;
}
