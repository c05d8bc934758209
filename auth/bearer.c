/* SPDX-License-Identifier: Apache-2.0
 *
 * `Authorization: Bearer <key packet>`: the packet parses and holds, the timestamp is in the window
 * and after the start, the nonce has its form, the Ed25519 signature of the packet's last holder
 * verifies. A packet that held once is kept by the hash of its text; what may change of it is
 * judged on each use. */
#include "auth/auth_private.h"

#define NONCE_MIN 16
#define NONCE_MAX 64

static wfl_code verify_new(struct wfl_auth *a, wfl_slice credential, int64_t now_sec,
                           struct wfl_identity *id, wfl_error *err)
{
    struct wfl_packet *packet;
    wfl_code           rc = wfl_packet_parse(credential, a->alloc, &packet, err);

    if (rc != WFL_OK) return rc;
    rc = wfl_packet_verify(packet, auth_trust(a), now_sec, err);
    if (rc != WFL_OK) {
        auth_claim(id, packet);
        wfl_packet_unref(packet);
        return rc;
    }
    packet_cache_add(a->packets, packet);
    id->packet = packet;
    return WFL_OK;
}

wfl_code auth_find_packet(struct wfl_auth *a, wfl_slice credential, int64_t now_sec,
                          struct wfl_identity *id, wfl_error *err)
{
    uint8_t                  sha256[32];
    const struct wfl_packet *packet;
    wfl_code                 rc;

    if (credential.len > WFL_PACKET_BYTES_MAX) {
        return wfl_fail(err, WFL_PACKET_MALFORMED, "a key packet has 1 to 8192 bytes");
    }
    auth_sha256(credential, sha256);
    packet = packet_cache_find(a->packets, sha256);
    if (packet == NULL) return verify_new(a, credential, now_sec, id, err);
    rc = packet_verify_times(packet, now_sec, err);
    if (rc == WFL_OK) rc = packet_verify_revocations(packet, auth_trust(a), err);
    if (rc != WFL_OK) {
        auth_claim(id, packet);
        wfl_packet_unref(packet);
        return rc;
    }
    id->packet = packet;
    return WFL_OK;
}

/* ---- nonce and signature */

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

wfl_code auth_check_ed25519(const struct decision *d, struct wfl_identity *id,
                            wfl_slice signature_text, wfl_error *err)
{
    const struct wfl_packet *packet = id->packet;
    uint8_t                  signature[WFL_SIGNATURE_LEN];
    wfl_buf                  text;
    size_t                   len;
    wfl_code                 rc;

    if (signature_text.len != WFL_B64U_LEN(WFL_SIGNATURE_LEN) ||
        !wfl_b64u_decode(signature_text, signature, sizeof signature, &len) ||
        len != sizeof signature) {
        return wfl_fail(err, WFL_SIGNATURE_MALFORMED,
                        "the signature is missing or not the base64url of 64 bytes");
    }
    rc = auth_canonical_text(d, packet->text_sha256_hex, &text, err);
    if (rc != WFL_OK) return rc;
    if (!wfl_key_verify(&wfl_packet_last(packet)->holder, wfl_buf_slice(&text), signature)) {
        return wfl_fail(err, WFL_SIGNATURE_INVALID,
                        "the signature does not verify for this request and key");
    }
    auth_operation_hash(d->request->method, wfl_buf_slice(&text), id->operation);
    return WFL_OK;
}

static wfl_code check_start(const struct wfl_auth *a, wfl_time timestamp, wfl_error *err)
{
    if (auth_time_cmp(timestamp, a->started) >= 0) return WFL_OK;
    return wfl_fail(err, WFL_TIMESTAMP_SKEW,
                    "the request is dated before the server's start; sign it again");
}

wfl_code bearer_decide(const struct decision *d, wfl_slice credential, struct wfl_identity *id,
                       wfl_error *err)
{
    const struct found *f = &d->found;
    wfl_code            rc = auth_find_packet(d->auth, credential, d->now.sec, id, err);

    if (rc == WFL_OK) rc = auth_check_time(d, &id->timestamp, err);
    if (rc == WFL_OK) rc = check_start(d->auth, id->timestamp, err);
    if (rc == WFL_OK) rc = check_nonce(f, d->arena, &id->nonce, err);
    if (rc == WFL_OK) rc = auth_check_ed25519(d, id, f->value[H_SIGNATURE], err);
    if (rc != WFL_OK) return rc;
    id->credential = WFL_CREDENTIAL_PACKET;
    id->once_nonce = id->nonce;
    id->expires_sec = packet_expires(id->packet);
    return WFL_OK;
}
