/* SPDX-License-Identifier: Apache-2.0
 *
 * Key packets: parse, then verify against one fixed root. An input is a packet's text, or, begun
 * with '!', lines of JSON (header and payload of each link) that are encoded and signed here with
 * the keys of tests/vectors, so that mutation reaches what lies behind base64 and signatures. */
#include "fuzz.h"

#include "auth/auth.h"

#define NOW 1764000000 /* of the vectors */

static const char *const seeds[] = {
    "08262b83f68be0adc08910df9e18acf490aa65072163d469b6fdb607e29aa981", /* root */
    "4a2f19d98471a3564596e3b36ec624dd2bc3949b62d1415e2f35fd03b30d0c47", /* issuer */
    "0b75f0a01fd7f5fde7d42104cbf16fcff75b4b5027bbdb3549cdcf256fc8a124", /* team */
    "98c407de290920846ac5d5b61959c74408e569ad6d1ccf44b4e21d72d06a4556", /* client */
};
static struct wfl_key_pair keys[WFL_COUNT(seeds)];

static void start_once(void)
{
    wfl_error err;

    if (keys[0].secret.data != NULL) return;
    if (wfl_auth_init(&err) != WFL_OK) abort();
    for (size_t i = 0; i < WFL_COUNT(seeds); i++) {
        uint8_t seed[32];

        if (!wfl_hex_decode(wfl_slice_str(seeds[i]), seed, sizeof seed)) abort();
        if (wfl_key_from_seed(seed, &keys[i], &err) != WFL_OK) abort();
    }
}

/* ---- JSON lines to a packet */

/* The key whose x stands in the payload: it signs the next link. */
static const struct wfl_key_pair *holder_in(wfl_slice payload)
{
    for (size_t i = 0; i < WFL_COUNT(keys); i++) {
        char x[WFL_B64U_LEN(32) + 1];

        wfl_b64u_encode(wfl_slice_of(keys[i].pub.bytes, 32), x);
        if (payload.len > 0 && memmem(payload.data, payload.len, x, strlen(x)) != NULL)
            return &keys[i];
    }
    return &keys[0];
}

static void add_encoded(wfl_buf *out, wfl_slice bytes)
{
    char *text = malloc(WFL_B64U_LEN(bytes.len) + 1);

    if (text == NULL) abort();
    wfl_b64u_encode(bytes, text);
    wfl_buf_add_str(out, text);
    free(text);
}

static void build(wfl_slice lines, wfl_buf *out)
{
    const struct wfl_key_pair *signer = &keys[0];

    for (int i = 0; lines.len > 0 && i <= WFL_PACKET_LINKS_MAX; i++) {
        wfl_slice header = fuzz_line(&lines), payload = fuzz_line(&lines);
        uint8_t   signature[WFL_SIGNATURE_LEN];
        size_t    start;

        if (i > 0) wfl_buf_add_u8(out, '~');
        start = out->len;
        add_encoded(out, header);
        wfl_buf_add_u8(out, '.');
        add_encoded(out, payload);
        wfl_key_sign(signer, wfl_slice_of(out->data + start, out->len - start), signature);
        wfl_buf_add_u8(out, '.');
        add_encoded(out, wfl_slice_of(signature, sizeof signature));
        signer = holder_in(payload);
    }
}

/* ---- what must hold */

/* Links joined again are the text: nothing was left out and nothing has two readings. */
static void check_text(const struct wfl_packet *p, wfl_slice text)
{
    wfl_buf again;

    assert(wfl_slice_eq(p->text, text));
    wfl_buf_init(&again, &wfl_alloc_libc, WFL_PACKET_BYTES_MAX);
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (i > 0) wfl_buf_add_u8(&again, '~');
        wfl_buf_add(&again, p->links[i].signed_text);
        wfl_buf_add_u8(&again, '.');
        add_encoded(&again, wfl_slice_of(p->links[i].signature, WFL_SIGNATURE_LEN));
    }
    assert(wfl_buf_ok(&again) && wfl_slice_eq(wfl_buf_slice(&again), text));
    wfl_buf_fini(&again);
}

static void check_grant(const struct wfl_grant *g)
{
    assert(g->ops != 0 && g->ops < 2 * WFL_OP_ADMIN);
    assert(wfl_name_bucket_pattern_valid(g->bucket));
    assert(wfl_utf8_valid(g->prefix));
    if (g->ops & (WFL_OP_MANAGE | WFL_OP_ADMIN)) assert(g->prefix.len == 0);
    if (g->ops & WFL_OP_ADMIN) assert(wfl_slice_eq(g->bucket, WFL_S("*")));
}

static void check_link(const struct wfl_link *link)
{
    wfl_ulid jti;

    assert(wfl_ulid_parse(wfl_slice_str(link->jti_text), &jti));
    assert(wfl_ulid_cmp(&jti, &link->jti) == 0);
    assert(link->iat >= 0 && link->nbf >= 0 && link->exp > link->iat);
    assert(link->exp <= (INT64_C(1) << 53) && link->nbf <= (INT64_C(1) << 53));
    assert(wfl_key_usable(&link->holder));
    assert(link->delegate <= WFL_PACKET_DELEGATE_MAX);
    assert(link->grant_count >= 1 && link->grant_count <= WFL_PACKET_GRANTS_MAX);
    assert(link->limits.max_object_bytes > 0 && link->limits.requests_per_second > 0 &&
           link->limits.bytes_per_second > 0);
    for (uint32_t i = 0; i < link->grant_count; i++)
        check_grant(&link->grants[i]);
}

/* Written anew from the protocol's words, not shared with the code it judges. */
static bool covers(const struct wfl_grant *parent, const struct wfl_grant *child)
{
    wfl_slice begin = parent->bucket;
    bool      bucket;

    if (begin.data[begin.len - 1] == '*') {
        begin.len--;
        bucket = wfl_slice_starts_with(child->bucket, begin);
    } else {
        bucket = wfl_slice_eq(child->bucket, begin);
    }
    return bucket && wfl_slice_starts_with(child->prefix, parent->prefix) &&
           (child->ops & parent->ops) == child->ops;
}

static void check_narrowing(const struct wfl_link *parent, const struct wfl_link *child)
{
    assert(child->delegate < parent->delegate);
    assert(wfl_slice_eq(child->kid, wfl_slice_str(parent->holder_thumb.text)));
    for (uint32_t c = 0; c < child->grant_count; c++) {
        uint32_t p = 0;

        while (p < parent->grant_count && !covers(&parent->grants[p], &child->grants[c]))
            p++;
        assert(p < parent->grant_count);
    }
}

static void check_accepted(const struct wfl_packet *p, const struct wfl_trust *trust)
{
    struct wfl_trust nobody = {.root_count = 0};
    wfl_error        err;

    for (uint32_t i = 0; i < p->link_count; i++) {
        assert(p->links[i].iat <= NOW + 30 && p->links[i].nbf <= NOW + 30);
        assert(p->links[i].exp > NOW);
        assert(wfl_packet_verify(p, trust, p->links[i].exp, &err) != WFL_OK);
        if (i > 0) check_narrowing(&p->links[i - 1], &p->links[i]);
    }
    assert(wfl_slice_eq(p->links[0].kid, wfl_slice_str(wfl_key_thumb(&keys[0].pub).text)));
    assert(wfl_packet_verify(p, &nobody, NOW, &err) == WFL_PACKET_UNTRUSTED);
}

static void check_verify(const struct wfl_packet *p)
{
    struct wfl_trust trust = {
        .roots = &keys[0].pub, .root_count = 1, .audience = WFL_LIT("prod-eu")};
    wfl_error err;
    wfl_code  rc = wfl_packet_verify(p, &trust, NOW, &err);

    assert(rc == WFL_OK || wfl_code_http(rc) == 401);
    if (rc == WFL_OK) check_accepted(p, &trust);
    (void)wfl_packet_grants(p, WFL_OP_GET, WFL_S("photos"), WFL_S("2026/a.jpg"));
    (void)wfl_packet_grants(p, WFL_OP_ADMIN, WFL_S("*"), WFL_S(""));
    (void)wfl_packet_reaches(p, WFL_S("photos"));
}

static void try_text(wfl_slice text)
{
    struct wfl_packet *packet = NULL;
    wfl_error          err = {0};
    wfl_code           rc = wfl_packet_parse(text, &wfl_alloc_libc, &packet, &err);

    if (rc != WFL_OK) {
        assert(rc == WFL_PACKET_MALFORMED && packet == NULL && err.message[0] != '\0');
        return;
    }
    assert(packet->link_count >= 1 && packet->link_count <= WFL_PACKET_LINKS_MAX);
    check_text(packet, text);
    for (uint32_t i = 0; i < packet->link_count; i++) {
        check_link(&packet->links[i]);
        assert(packet->limits.max_object_bytes <= packet->links[i].limits.max_object_bytes);
    }
    check_verify(packet);
    wfl_packet_unref(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_buf text;

    start_once();
    if (size == 0 || data[0] != '!') {
        try_text(wfl_slice_of(data, size));
        return 0;
    }
    wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
    build(wfl_slice_of(data + 1, size - 1), &text);
    if (wfl_buf_ok(&text)) try_text(wfl_buf_slice(&text));
    wfl_buf_fini(&text);
    return 0;
}
