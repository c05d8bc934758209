/* SPDX-License-Identifier: Apache-2.0
 *
 * Issuing: one link is written, signed, appended to its parent, and the whole is parsed again by
 * the rules of the server. What that refuses, and what could never be in force, is not handed out.
 */
#include "auth/auth_private.h"

static void write_header(const struct wfl_issue *issue, wfl_buf *out)
{
    wfl_thumb kid = wfl_key_thumb(&issue->signer->pub);
    wfl_json  json;

    wfl_json_init(&json, out);
    wfl_json_object(&json);
    wfl_json_key(&json, "alg");
    wfl_json_cstr(&json, "EdDSA");
    wfl_json_key(&json, "typ");
    wfl_json_cstr(&json, "wfl-packet+jwt");
    wfl_json_key(&json, "kid");
    wfl_json_cstr(&json, kid.text);
    wfl_json_end(&json);
}

static void write_grant(wfl_json *json, const struct wfl_grant *g)
{
    wfl_json_object(json);
    wfl_json_key(json, "bucket");
    wfl_json_str(json, g->bucket);
    if (g->prefix.len > 0) {
        wfl_json_key(json, "prefix");
        wfl_json_str(json, g->prefix);
    }
    wfl_json_key(json, "ops");
    wfl_json_array(json);
    for (unsigned op = WFL_OP_GET; op <= WFL_OP_ADMIN; op <<= 1) {
        if (g->ops & op) wfl_json_cstr(json, wfl_op_name((enum wfl_op)op));
    }
    wfl_json_end(json);
    wfl_json_end(json);
}

static void write_limit(wfl_json *json, const char *name, uint64_t value)
{
    if (value == UINT64_MAX) return;
    wfl_json_key(json, name);
    wfl_json_u64(json, value);
}

static void write_capability(wfl_json *json, const struct wfl_issue *issue)
{
    const struct wfl_limits *l = &issue->limits;

    wfl_json_key(json, "wfl");
    wfl_json_object(json);
    wfl_json_key(json, "v");
    wfl_json_u64(json, 1);
    wfl_json_key(json, "delegate");
    wfl_json_u64(json, issue->delegate);
    wfl_json_key(json, "grants");
    wfl_json_array(json);
    for (uint32_t i = 0; i < issue->grant_count; i++)
        write_grant(json, &issue->grants[i]);
    wfl_json_end(json);
    if (l->max_object_bytes != UINT64_MAX || l->requests_per_second != UINT64_MAX ||
        l->bytes_per_second != UINT64_MAX) {
        wfl_json_key(json, "limits");
        wfl_json_object(json);
        write_limit(json, "max_object_bytes", l->max_object_bytes);
        write_limit(json, "requests_per_second", l->requests_per_second);
        write_limit(json, "bytes_per_second", l->bytes_per_second);
        wfl_json_end(json);
    }
    wfl_json_end(json);
}

static void write_payload(const struct wfl_issue *issue, wfl_buf *out)
{
    char     jti[WFL_ULID_TEXT_LEN + 1];
    wfl_json json;

    wfl_ulid_format(&issue->jti, jti);
    wfl_json_init(&json, out);
    wfl_json_object(&json);
    wfl_json_key(&json, "jti");
    wfl_json_cstr(&json, jti);
    if (issue->sub.len > 0) {
        wfl_json_key(&json, "sub");
        wfl_json_str(&json, issue->sub);
    }
    wfl_json_key(&json, "iat");
    wfl_json_i64(&json, issue->iat);
    if (issue->nbf != 0) {
        wfl_json_key(&json, "nbf");
        wfl_json_i64(&json, issue->nbf);
    }
    wfl_json_key(&json, "exp");
    wfl_json_i64(&json, issue->exp);
    if (issue->aud.len > 0) {
        wfl_json_key(&json, "aud");
        wfl_json_str(&json, issue->aud);
    }
    wfl_json_key(&json, "cnf");
    wfl_json_object(&json);
    wfl_json_key(&json, "jwk");
    wfl_key_write_jwk(&issue->holder, &json);
    wfl_json_end(&json);
    write_capability(&json, issue);
    wfl_json_end(&json);
}

static void add_b64u(wfl_buf *out, wfl_slice bytes)
{
    char *at = (char *)wfl_buf_reserve(out, WFL_B64U_LEN(bytes.len) + 1);

    if (at == NULL) return;
    wfl_b64u_encode(bytes, at);
    out->len += WFL_B64U_LEN(bytes.len);
}

static bool is_text(wfl_slice s)
{
    return wfl_utf8_valid(s) && (s.len == 0 || memchr(s.data, 0, s.len) == NULL);
}

/* What the writer would change or leave out without a word. */
static wfl_code check_writable(const struct wfl_issue *issue, wfl_error *err)
{
    bool ok = is_text(issue->sub) && is_text(issue->aud);

    for (uint32_t i = 0; i < issue->grant_count && ok; i++)
        ok = is_text(issue->grants[i].bucket) && is_text(issue->grants[i].prefix);
    if (!ok) {
        return wfl_fail(err, WFL_PACKET_MALFORMED,
                        "sub, aud, buckets and prefixes must be UTF-8 without NUL");
    }
    for (uint32_t i = 0; i < issue->grant_count; i++) {
        if (issue->grants[i].ops >= WFL_OP_ADMIN << 1)
            return wfl_fail(err, WFL_PACKET_MALFORMED, "an op that does not exist");
    }
    return WFL_OK;
}

/* Both buffers have all their memory: what does not fit is too large, not out of memory. */
static wfl_code write_packet(const struct wfl_issue *issue, wfl_buf *part, wfl_buf *text,
                             wfl_error *err)
{
    uint8_t signature[WFL_SIGNATURE_LEN];
    size_t  start;

    if (issue->parent.len > 0) {
        wfl_buf_add(text, issue->parent);
        wfl_buf_add_u8(text, '~');
    }
    start = text->len;
    write_header(issue, part);
    add_b64u(text, wfl_buf_slice(part));
    wfl_buf_add_u8(text, '.');
    part->len = 0;
    write_payload(issue, part);
    add_b64u(text, wfl_buf_slice(part));
    wfl_key_sign(issue->signer, wfl_slice_of(text->data + start, text->len - start), signature);
    wfl_buf_add_u8(text, '.');
    add_b64u(text, wfl_slice_of(signature, sizeof signature));
    if (!wfl_buf_ok(part) || !wfl_buf_ok(text)) {
        return wfl_fail(err, WFL_PACKET_MALFORMED, "the packet would be larger than %d bytes",
                        WFL_PACKET_BYTES_MAX);
    }
    return WFL_OK;
}

/* All links at once, or the packet is of no use to anybody. */
static wfl_code check_times(const struct wfl_packet *p, wfl_error *err)
{
    int64_t from = 0, to = INT64_MAX;

    for (uint32_t i = 0; i < p->link_count; i++) {
        if (p->links[i].nbf > from) from = p->links[i].nbf;
        if (p->links[i].exp < to) to = p->links[i].exp;
    }
    return from < to ? WFL_OK
                     : wfl_fail(err, WFL_PACKET_MALFORMED, "the packet would never be in force");
}

/* The rules that do not depend on a server: structure, signer, narrowing. */
static wfl_code check(const struct wfl_issue *issue, const struct wfl_alloc *alloc, wfl_slice text,
                      wfl_error *err)
{
    struct wfl_packet     *packet;
    const struct wfl_link *links;
    wfl_code               rc = wfl_packet_parse(text, alloc, &packet, err);

    if (rc != WFL_OK) return rc;
    links = packet->links;
    if (packet->link_count > 1 && memcmp(links[packet->link_count - 2].holder.bytes,
                                         issue->signer->pub.bytes, WFL_KEY_LEN) != 0) {
        rc = wfl_fail(err, WFL_PACKET_UNTRUSTED,
                      "the parent packet belongs to another key than the signing one");
    }
    if (rc == WFL_OK) rc = packet_verify_narrowing(packet, err);
    if (rc == WFL_OK) rc = check_times(packet, err);
    wfl_packet_unref(packet);
    return rc;
}

wfl_code wfl_packet_issue(const struct wfl_issue *issue, const struct wfl_alloc *alloc,
                          wfl_buf *out, wfl_error *err)
{
    wfl_buf  part, text;
    size_t   start = out->len;
    wfl_code rc = check_writable(issue, err);

    if (rc != WFL_OK) return rc;
    wfl_buf_init(&part, alloc, WFL_PACKET_BYTES_MAX);
    wfl_buf_init(&text, alloc, WFL_PACKET_BYTES_MAX + 1); /* b64u writes a NUL */
    if (wfl_buf_reserve(&part, part.max) == NULL || wfl_buf_reserve(&text, text.max) == NULL) {
        rc = wfl_fail(err, WFL_NOMEM, "issuing: out of memory");
    }
    if (rc == WFL_OK) rc = write_packet(issue, &part, &text, err);
    if (rc == WFL_OK) rc = check(issue, alloc, wfl_buf_slice(&text), err);
    if (rc == WFL_OK) {
        wfl_buf_add(out, wfl_buf_slice(&text));
        if (!wfl_buf_ok(out)) rc = wfl_fail(err, WFL_NOMEM, "issuing: no room for the packet");
    }
    wfl_buf_fini(&part);
    wfl_buf_fini(&text);
    if (rc != WFL_OK) out->len = start;
    return rc;
}
