/* SPDX-License-Identifier: Apache-2.0
 *
 * A packet's text taken apart: links at '~', parts at '.', JSON inside. Everything structural is
 * judged here and is packet_malformed; nothing is trusted yet. The result is one block of memory
 * with a count of references; slices point into its arena. */
#include "auth/auth_private.h"

#define PACKET_ARENA_MAX (256u << 10)
#define TIME_MAX         (1ll << 53)

struct op_name {
    const char *name;
    enum wfl_op op;
};
static const struct op_name ops[] = {
    {"get", WFL_OP_GET},     {"put", WFL_OP_PUT},     {"delete", WFL_OP_DELETE},
    {"scan", WFL_OP_SCAN},   {"watch", WFL_OP_WATCH}, {"manage", WFL_OP_MANAGE},
    {"admin", WFL_OP_ADMIN},
};

const char *wfl_op_name(enum wfl_op op)
{
    for (size_t i = 0; i < WFL_COUNT(ops); i++) {
        if (ops[i].op == op) return ops[i].name;
    }
    return "?";
}

unsigned wfl_op_parse(wfl_slice name)
{
    for (size_t i = 0; i < WFL_COUNT(ops); i++) {
        if (wfl_slice_eq(name, wfl_slice_str(ops[i].name))) return ops[i].op;
    }
    return 0;
}

struct parse {
    struct packet_owner *owner;
    wfl_error           *err;
};

static wfl_code malformed(struct parse *p, const char *why)
{
    return wfl_fail(p->err, WFL_PACKET_MALFORMED, "key packet: %s", why);
}

static wfl_code no_memory(struct parse *p)
{
    return wfl_fail(p->err, WFL_NOMEM, "key packet: out of memory");
}

/* Only members of the list. */
static bool only_members(const json_t *object, const char *const *names, size_t count)
{
    const char *key;
    json_t     *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;

        while (i < count && strcmp(names[i], key) != 0)
            i++;
        if (i == count) return false;
    }
    return true;
}

static wfl_code copy_string(struct parse *p, wfl_slice text, wfl_slice *out)
{
    return wfl_arena_copy(&p->owner->arena, text, out) ? WFL_OK : no_memory(p);
}

static wfl_code parse_header(struct parse *p, const json_t *header, struct wfl_link *link)
{
    static const char *const names[] = {"alg", "typ", "kid"};
    wfl_slice                alg, typ, kid;

    if (!only_members(header, names, WFL_COUNT(names)))
        return malformed(p, "unknown member in a header");
    if (!auth_json_string(header, "alg", &alg) || !wfl_slice_eq(alg, WFL_S("EdDSA"))) {
        return malformed(p, "alg is not EdDSA");
    }
    if (!auth_json_string(header, "typ", &typ) || !wfl_slice_eq(typ, WFL_S("wfl-packet+jwt"))) {
        return malformed(p, "typ is not wfl-packet+jwt");
    }
    if (!auth_json_string(header, "kid", &kid)) return malformed(p, "kid is missing");
    return copy_string(p, kid, &link->kid);
}

static wfl_code read_time(struct parse *p, const json_t *payload, const char *name, bool required,
                          int64_t fallback, int64_t *out)
{
    const json_t *value = json_object_get(payload, name);

    *out = fallback;
    if (value == NULL && !required) return WFL_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > TIME_MAX) {
        return malformed(p, "a time is missing or no integer from 0 to 2^53");
    }
    *out = json_integer_value(value);
    return WFL_OK;
}

static wfl_code read_optional_string(struct parse *p, const json_t *payload, const char *name,
                                     wfl_slice *out, bool *given)
{
    wfl_slice text;

    *given = json_object_get(payload, name) != NULL;
    *out = (wfl_slice){0};
    if (!*given) return WFL_OK;
    if (!auth_json_string(payload, name, &text)) return malformed(p, "sub or aud is no string");
    return copy_string(p, text, out);
}

static wfl_code parse_holder(struct parse *p, const json_t *payload, struct wfl_link *link)
{
    const json_t *cnf = json_object_get(payload, "cnf"), *jwk = json_object_get(cnf, "jwk");
    const char   *why = "cnf.jwk is missing";

    if (!json_is_object(cnf) || !json_is_object(jwk)) return malformed(p, why);
    if (json_object_get(jwk, "d") != NULL) return malformed(p, "cnf holds a private key");
    if (!auth_jwk_public(jwk, &link->holder, &why)) return malformed(p, why);
    link->holder_thumb = wfl_key_thumb(&link->holder);
    return WFL_OK;
}

static wfl_code parse_ops(struct parse *p, const json_t *list, unsigned *out)
{
    size_t  i;
    json_t *item;

    *out = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return malformed(p, "a grant without ops");
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        unsigned op =
            json_is_string(item)
                ? wfl_op_parse(wfl_slice_of(json_string_value(item), json_string_length(item)))
                : 0;

        if (op == 0) return malformed(p, "an op that does not exist");
        if (*out & op) return malformed(p, "an op named twice");
        *out |= op;
    }
    return WFL_OK;
}

static wfl_code parse_grant(struct parse *p, const json_t *value, struct wfl_grant *grant)
{
    static const char *const names[] = {"bucket", "prefix", "ops"};
    wfl_slice                text;
    wfl_code                 rc;

    if (!json_is_object(value) || !only_members(value, names, WFL_COUNT(names))) {
        return malformed(p, "a grant with an unknown member");
    }
    if (!auth_json_string(value, "bucket", &text) || !wfl_name_bucket_pattern_valid(text)) {
        return malformed(p, "a grant's bucket is no name and no pattern");
    }
    rc = copy_string(p, text, &grant->bucket);
    if (rc != WFL_OK) return rc;
    if (json_object_get(value, "prefix") != NULL) {
        if (!auth_json_string(value, "prefix", &text))
            return malformed(p, "a grant's prefix is no string");
        rc = copy_string(p, text, &grant->prefix);
    }
    if (rc == WFL_OK) rc = parse_ops(p, json_object_get(value, "ops"), &grant->ops);
    if (rc != WFL_OK) return rc;
    if ((grant->ops & (WFL_OP_MANAGE | WFL_OP_ADMIN)) != 0 && grant->prefix.len > 0) {
        return malformed(p, "manage and admin go with an empty prefix only");
    }
    if ((grant->ops & WFL_OP_ADMIN) != 0 && !wfl_slice_eq(grant->bucket, WFL_S("*"))) {
        return malformed(p, "admin goes with bucket * only");
    }
    return WFL_OK;
}

static wfl_code parse_grants(struct parse *p, const json_t *list, struct wfl_link *link)
{
    size_t  i, count = json_array_size(list); /* 0 for what is no array */
    json_t *item;

    if (count == 0 || count > WFL_PACKET_GRANTS_MAX) return malformed(p, "grants must be 1 to 64");
    link->grants = wfl_arena_zero(&p->owner->arena, count, sizeof *link->grants);
    if (link->grants == NULL) return no_memory(p);
    link->grant_count = (uint32_t)count;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        wfl_code rc = parse_grant(p, item, &link->grants[i]);
        if (rc != WFL_OK) return rc;
    }
    return WFL_OK;
}

static wfl_code parse_limits(struct parse *p, const json_t *value, struct wfl_limits *out)
{
    static const char *const names[] = {"max_object_bytes", "requests_per_second",
                                        "bytes_per_second"};
    uint64_t                *places[] = {&out->max_object_bytes, &out->requests_per_second,
                                         &out->bytes_per_second};

    *out = (struct wfl_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    if (value == NULL) return WFL_OK;
    if (!json_is_object(value) || !only_members(value, names, WFL_COUNT(names))) {
        return malformed(p, "an unknown limit");
    }
    for (size_t i = 0; i < WFL_COUNT(names); i++) {
        const json_t *limit = json_object_get(value, names[i]);

        if (limit == NULL) continue;
        if (!json_is_integer(limit) || json_integer_value(limit) < 1)
            return malformed(p, "a limit below 1");
        *places[i] = (uint64_t)json_integer_value(limit);
    }
    return WFL_OK;
}

static wfl_code parse_capability(struct parse *p, const json_t *wfl, struct wfl_link *link)
{
    static const char *const names[] = {"v", "delegate", "grants", "limits"};
    const json_t            *v, *delegate;
    wfl_code                 rc;

    if (!json_is_object(wfl) || !only_members(wfl, names, WFL_COUNT(names))) {
        return malformed(p, "wfl is missing or has an unknown member");
    }
    v = json_object_get(wfl, "v");
    if (!json_is_integer(v) || json_integer_value(v) != 1) return malformed(p, "wfl.v is not 1");
    delegate = json_object_get(wfl, "delegate");
    if (delegate != NULL) {
        if (!json_is_integer(delegate) || json_integer_value(delegate) < 0 ||
            json_integer_value(delegate) > WFL_PACKET_DELEGATE_MAX) {
            return malformed(p, "wfl.delegate is no integer from 0 to 4");
        }
        link->delegate = (unsigned)json_integer_value(delegate);
    }
    rc = parse_grants(p, json_object_get(wfl, "grants"), link);
    return rc == WFL_OK ? parse_limits(p, json_object_get(wfl, "limits"), &link->limits) : rc;
}

static wfl_code parse_payload(struct parse *p, const json_t *payload, struct wfl_link *link)
{
    wfl_slice jti;
    bool      has_sub;
    wfl_code  rc;

    if (!auth_json_string(payload, "jti", &jti) || !wfl_ulid_parse(jti, &link->jti)) {
        return malformed(p, "jti is no ULID");
    }
    wfl_ulid_format(&link->jti, link->jti_text);
    rc = read_time(p, payload, "iat", true, 0, &link->iat);
    if (rc == WFL_OK) rc = read_time(p, payload, "exp", true, 0, &link->exp);
    if (rc == WFL_OK) rc = read_time(p, payload, "nbf", false, link->iat, &link->nbf);
    if (rc == WFL_OK && link->exp <= link->iat) rc = malformed(p, "exp is not after iat");
    if (rc == WFL_OK) rc = read_optional_string(p, payload, "sub", &link->sub, &has_sub);
    if (rc == WFL_OK) rc = read_optional_string(p, payload, "aud", &link->aud, &link->has_aud);
    if (rc == WFL_OK) rc = parse_holder(p, payload, link);
    if (rc == WFL_OK) rc = parse_capability(p, json_object_get(payload, "wfl"), link);
    return rc;
}

/* base64url, then JSON; *out is NULL on failure. */
static wfl_code decode_part(struct parse *p, wfl_slice part, json_t **out)
{
    const char *why = NULL;
    uint8_t    *bytes = wfl_arena_get(&p->owner->arena, part.len + 1);
    size_t      len;

    *out = NULL;
    if (bytes == NULL) return no_memory(p);
    if (!wfl_b64u_decode(part, bytes, part.len + 1, &len))
        return malformed(p, "a part is not base64url");
    *out = auth_json_load(wfl_slice_of(bytes, len), &why);
    return *out == NULL ? malformed(p, why) : WFL_OK;
}

static wfl_code parse_link(struct parse *p, wfl_slice text, struct wfl_link *link)
{
    wfl_slice rest = text, header, payload;
    uint8_t   digest[32];
    json_t   *json = NULL;
    size_t    len;
    wfl_code  rc;

    if (!wfl_slice_split(&rest, '.', &header) || !wfl_slice_split(&rest, '.', &payload)) {
        return malformed(p, "a link has three parts");
    }
    link->signed_text = wfl_slice_of(text.data, header.len + 1 + payload.len);
    auth_sha256(link->signed_text, digest);
    memcpy(link->id, digest, sizeof link->id);
    if (rest.len != WFL_B64U_LEN(WFL_SIGNATURE_LEN) ||
        !wfl_b64u_decode(rest, link->signature, WFL_SIGNATURE_LEN, &len) ||
        len != WFL_SIGNATURE_LEN) {
        return malformed(p, "a signature is not the base64url of 64 bytes");
    }
    rc = decode_part(p, header, &json);
    if (rc == WFL_OK) rc = parse_header(p, json, link);
    json_decref(json);
    if (rc != WFL_OK) return rc;
    rc = decode_part(p, payload, &json);
    if (rc == WFL_OK) rc = parse_payload(p, json, link);
    json_decref(json);
    return rc;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static wfl_code parse_all(struct parse *p)
{
    struct wfl_packet *packet = &p->owner->packet;
    wfl_slice          rest = packet->text, text;
    bool               more = true;

    packet->limits = (struct wfl_limits){UINT64_MAX, UINT64_MAX, UINT64_MAX};
    while (more) {
        struct wfl_link *link = &packet->links[packet->link_count];
        wfl_code         rc;

        if (packet->link_count == WFL_PACKET_LINKS_MAX) return malformed(p, "more than 5 links");
        more = wfl_slice_split(&rest, '~', &text);
        rc = parse_link(p, text, link);
        if (rc != WFL_OK) return rc;
        packet->link_count++;
        packet->limits.max_object_bytes =
            smaller(packet->limits.max_object_bytes, link->limits.max_object_bytes);
        packet->limits.requests_per_second =
            smaller(packet->limits.requests_per_second, link->limits.requests_per_second);
        packet->limits.bytes_per_second =
            smaller(packet->limits.bytes_per_second, link->limits.bytes_per_second);
    }
    return WFL_OK;
}

wfl_code wfl_packet_parse(wfl_slice text, const struct wfl_alloc *alloc, struct wfl_packet **out,
                          wfl_error *err)
{
    struct parse p = {.err = err};
    wfl_code     rc;

    if (text.len == 0 || text.len > WFL_PACKET_BYTES_MAX) {
        return malformed(&p, "a key packet has 1 to 8192 bytes");
    }
    p.owner = wfl_alloc_zero(alloc, 1, sizeof *p.owner);
    if (p.owner == NULL) return no_memory(&p);
    p.owner->alloc = alloc;
    atomic_init(&p.owner->refs, 1);
    wfl_arena_init(&p.owner->arena, alloc, PACKET_ARENA_MAX);
    rc = copy_string(&p, text, &p.owner->packet.text);
    if (rc == WFL_OK) rc = parse_all(&p);
    if (rc != WFL_OK) {
        wfl_packet_unref(&p.owner->packet);
        return rc;
    }
    auth_sha256(text, p.owner->packet.text_sha256);
    wfl_hex_encode(wfl_slice_of(p.owner->packet.text_sha256, 32), p.owner->packet.text_sha256_hex);
    *out = &p.owner->packet;
    return WFL_OK;
}

static struct packet_owner *owner_of(const struct wfl_packet *p)
{
    return (struct packet_owner *)(uintptr_t)
        p; /* the first member; the count is not part of the value */
}

void wfl_packet_ref(const struct wfl_packet *p)
{
    atomic_fetch_add_explicit(&owner_of(p)->refs, 1, memory_order_relaxed);
}

void wfl_packet_unref(const struct wfl_packet *p)
{
    struct packet_owner *owner;

    if (p == NULL) return;
    owner = owner_of(p);
    if (atomic_fetch_sub_explicit(&owner->refs, 1, memory_order_acq_rel) != 1) return;
    wfl_arena_fini(&owner->arena);
    wfl_alloc_free(owner->alloc, owner);
}
