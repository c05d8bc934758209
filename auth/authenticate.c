/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision about a request, in the protocol's order: headers well-formed, credential present,
 * packet parses and holds, timestamp in the window, signature valid. The first failure ends it; its
 * text never repeats a credential. Everything but the verified packet lives in the request's arena.
 */
#include "auth/auth_private.h"

#define CANONICAL_MAX (256u << 10)
#define NONCE_MIN     16
#define NONCE_MAX     64

struct wfl_auth {
    const struct wfl_alloc *alloc;
    const struct wfl_clock *clock;
    struct wfl_trust        trust;
    wfl_arena               arena; /* of trust's copies */
    uint32_t                skew_sec;
    wfl_time                started;
    struct packet_cache    *packets;
    struct replay          *nonces;
};

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static wfl_time time_now(const struct wfl_clock *clock)
{
    int64_t ns = wfl_clock_unix_ns(clock);

    return (wfl_time){.sec = ns / 1000000000, .nsec = (int32_t)(ns % 1000000000)};
}

static wfl_code copy_trust(struct wfl_auth *a, const struct wfl_trust *from, wfl_error *err)
{
    wfl_slice roots = wfl_slice_of(from->roots, from->root_count * sizeof *from->roots), copy;

    a->trust = *from;
    if (!wfl_arena_copy(&a->arena, roots, &copy) ||
        !wfl_arena_copy(&a->arena, from->audience, &a->trust.audience)) {
        return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    }
    a->trust.roots = (const wfl_public_key *)(const void *)copy.data;
    return WFL_OK;
}

wfl_code wfl_auth_new(const struct wfl_auth_config *config, struct wfl_auth **out, wfl_error *err)
{
    struct wfl_auth *a = wfl_alloc_zero(config->alloc, 1, sizeof *a);
    wfl_code         rc;

    if (a == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    a->alloc = config->alloc;
    a->clock = config->clock;
    a->skew_sec = or_default(config->clock_skew_seconds, 60);
    a->started = time_now(config->clock);
    wfl_arena_init(&a->arena, config->alloc, 64u << 10);
    rc = copy_trust(a, &config->trust, err);
    if (rc == WFL_OK)
        rc = packet_cache_new(or_default(config->packet_cache_max, 4096), a->alloc, &a->packets,
                              err);
    if (rc == WFL_OK) {
        rc = replay_new(or_default(config->nonces_per_client_max, 1u << 20),
                        config->nonces_max == 0 ? 8u << 20 : config->nonces_max, config->random,
                        a->alloc, &a->nonces, err);
    }
    if (rc != WFL_OK) {
        wfl_auth_free(a);
        return rc;
    }
    *out = a;
    return WFL_OK;
}

void wfl_auth_free(struct wfl_auth *a)
{
    if (a == NULL) return;
    packet_cache_free(a->packets);
    replay_free(a->nonces);
    wfl_arena_fini(&a->arena);
    wfl_alloc_free(a->alloc, a);
}

void wfl_auth_stats(struct wfl_auth *a, struct wfl_auth_stats *out)
{
    memset(out, 0, sizeof *out);
    packet_cache_stats(a->packets, out);
    replay_stats(a->nonces, out);
}

void wfl_identity_fini(struct wfl_identity *id)
{
    wfl_packet_unref(id->packet);
    *id = (struct wfl_identity){0};
}

/* ---- headers */

enum { H_AUTHORIZATION, H_TIMESTAMP, H_NONCE, H_BLAKE3, H_SHA256, H_SIGNATURE, H_COUNT };

struct found {
    wfl_slice value[H_COUNT];
    bool      given[H_COUNT];
};

static wfl_code find_headers(const struct wfl_auth_request *r, struct found *f, wfl_error *err)
{
    static const wfl_slice names[H_COUNT] = {
        [H_AUTHORIZATION] = WFL_LIT("authorization"),
        [H_TIMESTAMP] = WFL_LIT("x-wfldb-timestamp"),
        [H_NONCE] = WFL_LIT("x-wfldb-nonce"),
        [H_BLAKE3] = WFL_LIT("x-wfldb-content-blake3"),
        [H_SHA256] = WFL_LIT("x-wfldb-content-sha256"),
        [H_SIGNATURE] = WFL_LIT("x-wfldb-signature"),
    };

    memset(f, 0, sizeof *f);
    for (uint32_t i = 0; i < r->header_count; i++) {
        for (int h = 0; h < H_COUNT; h++) {
            if (!wfl_slice_eq_nocase(r->headers[i].name, names[h])) continue;
            if (f->given[h]) {
                return wfl_fail(err, WFL_DUPLICATE_HEADER, "header %.*s is sent twice",
                                WFL_FMT(names[h]));
            }
            f->given[h] = true;
            f->value[h] = wfl_slice_trim(r->headers[i].value);
        }
    }
    return WFL_OK;
}

static wfl_code read_content(const struct wfl_auth_request *r, const struct found *f,
                             struct wfl_identity *out, wfl_error *err)
{
    wfl_slice value = f->given[H_BLAKE3] ? f->value[H_BLAKE3] : f->value[H_SHA256];

    out->content = WFL_CONTENT_NONE;
    if (f->given[H_BLAKE3] && f->given[H_SHA256]) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "X-WflDB-Content-BLAKE3 and -SHA256 are given both");
    }
    if (!f->given[H_BLAKE3] && !f->given[H_SHA256]) {
        if (!r->has_body) return WFL_OK;
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "a body needs X-WflDB-Content-BLAKE3 or X-WflDB-Content-SHA256");
    }
    if (wfl_slice_eq(value, WFL_S("unsigned"))) {
        out->content = WFL_CONTENT_UNSIGNED;
        return WFL_OK;
    }
    if (!wfl_hex_decode(value, out->content_hash, sizeof out->content_hash)) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "a content hash is 64 lower-case hex digits, or unsigned");
    }
    out->content = f->given[H_BLAKE3] ? WFL_CONTENT_BLAKE3 : WFL_CONTENT_SHA256;
    return WFL_OK;
}

/* What follows "Bearer ". */
static wfl_code read_credential(const struct found *f, wfl_slice *out, wfl_error *err)
{
    wfl_slice rest = f->value[H_AUTHORIZATION], scheme;

    if (!f->given[H_AUTHORIZATION] || !wfl_slice_split(&rest, ' ', &scheme)) {
        return wfl_fail(err, WFL_CREDENTIAL_MISSING, "no Authorization: Bearer <key packet>");
    }
    if (wfl_slice_eq_nocase(scheme, WFL_S("Session"))) {
        return wfl_fail(err, WFL_SESSION_UNKNOWN, "no such session is open");
    }
    if (!wfl_slice_eq_nocase(scheme, WFL_S("Bearer"))) {
        return wfl_fail(err, WFL_CREDENTIAL_MISSING, "no Authorization: Bearer <key packet>");
    }
    *out = rest;
    return WFL_OK;
}

/* ---- packet */

static wfl_code verify_new(struct wfl_auth *a, wfl_slice credential, int64_t now_sec,
                           const struct wfl_packet **out, wfl_error *err)
{
    struct wfl_packet *packet;
    wfl_code           rc = wfl_packet_parse(credential, a->alloc, &packet, err);

    if (rc != WFL_OK) return rc;
    rc = wfl_packet_verify(packet, &a->trust, now_sec, err);
    if (rc != WFL_OK) {
        wfl_packet_unref(packet);
        return rc;
    }
    packet_cache_add(a->packets, packet);
    *out = packet;
    return WFL_OK;
}

/* One reference in *out. Of a cached packet only what may change is judged again. */
static wfl_code find_packet(struct wfl_auth *a, wfl_slice credential, int64_t now_sec,
                            const struct wfl_packet **out, wfl_error *err)
{
    uint8_t                  sha256[32];
    const struct wfl_packet *packet;
    wfl_code                 rc;

    if (credential.len > WFL_PACKET_BYTES_MAX) {
        return wfl_fail(err, WFL_PACKET_MALFORMED, "a key packet has 1 to 8192 bytes");
    }
    auth_sha256(credential, sha256);
    packet = packet_cache_find(a->packets, sha256);
    if (packet == NULL) return verify_new(a, credential, now_sec, out, err);
    rc = packet_verify_times(packet, now_sec, err);
    if (rc == WFL_OK) rc = packet_verify_revocations(packet, &a->trust, err);
    if (rc != WFL_OK) {
        wfl_packet_unref(packet);
        return rc;
    }
    *out = packet;
    return WFL_OK;
}

/* ---- time, nonce, signature */

static int time_cmp(wfl_time a, wfl_time b)
{
    if (a.sec != b.sec) return a.sec < b.sec ? -1 : 1;
    return a.nsec < b.nsec ? -1 : a.nsec > b.nsec;
}

static wfl_code check_time(const struct wfl_auth *a, const struct found *f, wfl_time now,
                           wfl_time *out, wfl_error *err)
{
    wfl_time early = {now.sec - a->skew_sec, now.nsec}, late = {now.sec + a->skew_sec, now.nsec};

    if (!f->given[H_TIMESTAMP] || !wfl_time_parse(f->value[H_TIMESTAMP], out)) {
        return wfl_fail(err, WFL_TIMESTAMP_MALFORMED,
                        "X-WflDB-Timestamp is missing or no RFC 3339 time in UTC");
    }
    if (time_cmp(*out, early) < 0 || time_cmp(*out, late) > 0) {
        return wfl_fail(err, WFL_TIMESTAMP_SKEW,
                        "the timestamp is more than %u s off; Date has the server's time",
                        a->skew_sec);
    }
    if (time_cmp(*out, a->started) < 0) {
        return wfl_fail(err, WFL_TIMESTAMP_SKEW,
                        "the request is dated before the server's start; sign it again");
    }
    return WFL_OK;
}

static bool is_nonce(wfl_slice s)
{
    if (s.len < NONCE_MIN || s.len > NONCE_MAX) return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return true;
}

static wfl_code check_nonce(const struct found *f, wfl_arena *arena, wfl_slice *out, wfl_error *err)
{
    if (!f->given[H_NONCE] || !is_nonce(f->value[H_NONCE])) {
        return wfl_fail(err, WFL_NONCE_MALFORMED,
                        "X-WflDB-Nonce is missing or not 16 to 64 of A-Z a-z 0-9 - _ .");
    }
    return wfl_arena_copy(arena, f->value[H_NONCE], out)
               ? WFL_OK
               : wfl_fail(err, WFL_NOMEM, "auth: out of memory");
}

/* Canonical text in arena memory of a size that cannot be outrun: every byte triples at the most.
 */
static wfl_code canonical_text(const struct wfl_auth_request *r,
                               const struct signed_headers *headers, const char *sha256_hex,
                               wfl_arena *arena, wfl_buf *out, wfl_error *err)
{
    size_t size = 256 + r->method.len + 3 * (r->path.len + r->query.len) + r->authority.len;

    for (uint32_t i = 0; i < r->header_count; i++)
        size += r->headers[i].name.len + r->headers[i].value.len + 2;
    if (size > CANONICAL_MAX)
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the request's head is too large to sign");
    *out = (wfl_buf){.data = wfl_arena_get(arena, size), .cap = size, .max = size};
    if (out->data == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    return canonical_write_text(r, headers, sha256_hex, arena, out, err);
}

static wfl_code check_signature(const struct wfl_packet *packet, const struct wfl_auth_request *r,
                                const struct found *f, const struct signed_headers *headers,
                                wfl_arena *arena, wfl_error *err)
{
    uint8_t  signature[WFL_SIGNATURE_LEN];
    wfl_buf  text;
    size_t   len;
    wfl_code rc;

    if (!f->given[H_SIGNATURE] || f->value[H_SIGNATURE].len != WFL_B64U_LEN(WFL_SIGNATURE_LEN) ||
        !wfl_b64u_decode(f->value[H_SIGNATURE], signature, sizeof signature, &len) ||
        len != sizeof signature) {
        return wfl_fail(err, WFL_SIGNATURE_MALFORMED,
                        "X-WflDB-Signature is missing or not the base64url of 64 bytes");
    }
    rc = canonical_text(r, headers, packet->text_sha256_hex, arena, &text, err);
    if (rc != WFL_OK) return rc;
    if (!wfl_key_verify(&wfl_packet_last(packet)->holder, wfl_buf_slice(&text), signature)) {
        return wfl_fail(err, WFL_SIGNATURE_INVALID,
                        "the signature does not verify for this request and key");
    }
    return WFL_OK;
}

wfl_code wfl_auth_authenticate(struct wfl_auth *a, const struct wfl_auth_request *r,
                               wfl_arena *arena, struct wfl_identity *out, wfl_error *err)
{
    struct wfl_identity   id = {0};
    struct found          f;
    struct signed_headers headers;
    wfl_time              now = time_now(a->clock);
    wfl_slice             credential = {0};
    wfl_code              rc = find_headers(r, &f, err);

    if (rc == WFL_OK) rc = canonical_sort_headers(r, arena, &headers, err);
    if (rc == WFL_OK) rc = read_content(r, &f, &id, err);
    if (rc == WFL_OK) rc = read_credential(&f, &credential, err);
    if (rc == WFL_OK) rc = find_packet(a, credential, now.sec, &id.packet, err);
    if (rc == WFL_OK) rc = check_time(a, &f, now, &id.timestamp, err);
    if (rc == WFL_OK) rc = check_nonce(&f, arena, &id.nonce, err);
    if (rc == WFL_OK) rc = check_signature(id.packet, r, &f, &headers, arena, err);
    if (rc != WFL_OK) {
        wfl_identity_fini(&id);
        return rc;
    }
    id.client = wfl_packet_last(id.packet)->holder_thumb;
    *out = id;
    return WFL_OK;
}

wfl_code wfl_auth_recheck(struct wfl_auth *a, const struct wfl_packet *packet, wfl_error *err)
{
    return packet_verify_revocations(packet, &a->trust, err);
}

wfl_code wfl_auth_spend_nonce(struct wfl_auth *a, const struct wfl_identity *id, wfl_error *err)
{
    /* The last second in which the timestamp is still accepted, rounded up. */
    int64_t expires_sec = id->timestamp.sec + a->skew_sec + 1;

    return replay_spend(a->nonces, wfl_slice_of(id->client.text, WFL_THUMB_LEN), id->nonce,
                        time_now(a->clock).sec, expires_sec, err);
}
