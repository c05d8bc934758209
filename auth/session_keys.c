/* SPDX-License-Identifier: Apache-2.0
 *
 * From two ephemeral keys to the keys that sign for one scope each: X25519 (RFC 7748), HKDF (RFC
 * 5869) by nettle. Both sides use this file. What is secret on the way is on the stack and wiped.
 */
#include "auth/auth_private.h"

#include <nettle/hkdf.h>
#include <nettle/nettle-meta.h>
#include <sodium.h>
#include <stdio.h>

size_t session_write_transcript(const struct session_exchange *x, char out[SESSION_TRANSCRIPT_MAX])
{
    int n = snprintf(out, SESSION_TRANSCRIPT_MAX, "WFLDB1 session\n%s\n%s\n%s\n%lld\n%s\n",
                     x->session, x->client_x25519, x->server_x25519, (long long)x->expires_sec,
                     x->packet_sha256_hex);

    return n > 0 && n < SESSION_TRANSCRIPT_MAX ? (size_t)n : 0;
}

bool session_derive(const uint8_t private_key[32], const uint8_t other[32], wfl_slice transcript,
                    uint8_t prk[32])
{
    struct hmac_sha256_ctx ctx;
    uint8_t                shared[32], salt[32];
    /* libsodium refuses points of small order, whose result would be all zero (RFC 7748 6.1). */
    bool ok = crypto_scalarmult_curve25519(shared, private_key, other) == 0;

    auth_sha256(transcript, salt);
    hmac_sha256_set_key(&ctx, sizeof salt, salt);
    hkdf_extract(&ctx, nettle_hmac_sha256.update, nettle_hmac_sha256.digest, 32, sizeof shared,
                 shared, prk);
    sodium_memzero(shared, sizeof shared);
    sodium_memzero(&ctx, sizeof ctx);
    if (!ok) sodium_memzero(prk, 32);
    return ok;
}

void session_mac_key(const uint8_t prk[32], wfl_slice scope, char out[65])
{
    static const uint8_t   label[] = {'W', 'F', 'L', 'D', 'B', '1', ' ', 'm', 'a', 'c', '\n'};
    static const uint8_t   end[] = {'\n', 1}; /* and the number of the one block, RFC 5869 2.3 */
    struct hmac_sha256_ctx ctx;
    uint8_t                key[32];

    hmac_sha256_set_key(&ctx, 32, prk);
    hmac_sha256_update(&ctx, sizeof label, label);
    hmac_sha256_update(&ctx, scope.len, scope.data);
    hmac_sha256_update(&ctx, sizeof end, end);
    hmac_sha256_digest(&ctx, sizeof key, key);
    wfl_hex_encode(wfl_slice_of(key, sizeof key), out);
    sodium_memzero(key, sizeof key);
    sodium_memzero(&ctx, sizeof ctx);
}

/* ---- a client's side */

static bool read_point(const char *text, uint8_t out[32])
{
    uint8_t bytes[32 + 2];
    size_t  len = 0;

    if (!wfl_b64u_decode(wfl_slice_str(text), bytes, sizeof bytes, &len) || len != 32) return false;
    memcpy(out, bytes, 32);
    return true;
}

wfl_code wfl_session_ask(const struct wfl_random *random, int64_t ttl_sec,
                         struct wfl_secret *private_key, struct wfl_session_request *out,
                         wfl_error *err)
{
    uint8_t  point[32];
    wfl_code rc = wfl_secret_new(32, private_key, err);

    if (rc != WFL_OK) return rc;
    wfl_random_fill(random, private_key->data, 32);
    crypto_scalarmult_curve25519_base(point, private_key->data);
    wfl_b64u_encode(wfl_slice_of(point, sizeof point), out->x25519);
    out->ttl_sec = ttl_sec;
    return WFL_OK;
}

wfl_code wfl_session_accept(const struct wfl_secret          *private_key,
                            const struct wfl_session_request *r,
                            const struct wfl_session_answer *answer, const char *packet_sha256_hex,
                            const wfl_public_key *server, struct wfl_secret *key, wfl_error *err)
{
    struct session_exchange x = {.expires_sec = answer->expires_sec};
    char                    text[SESSION_TRANSCRIPT_MAX];
    uint8_t                 point[32];
    wfl_slice               transcript;
    wfl_code                rc;

    memcpy(x.session, answer->session, sizeof x.session);
    memcpy(x.client_x25519, r->x25519, sizeof x.client_x25519);
    memcpy(x.server_x25519, answer->x25519, sizeof x.server_x25519);
    memcpy(x.packet_sha256_hex, packet_sha256_hex, sizeof x.packet_sha256_hex);
    transcript = wfl_slice_of(text, session_write_transcript(&x, text));
    if (server != NULL && !wfl_key_verify(server, transcript, answer->signature))
        return wfl_fail(err, WFL_INTERNAL, "the session is not signed by the server that is known");
    rc = wfl_secret_new(32, key, err);
    if (rc != WFL_OK) return rc;
    if (read_point(answer->x25519, point) &&
        session_derive(private_key->data, point, transcript, key->data)) {
        return WFL_OK;
    }
    wfl_secret_free(key);
    return wfl_fail(err, WFL_INTERNAL, "the server's key for the session is not usable");
}

void wfl_session_mac_key(const struct wfl_secret *key, wfl_slice scope, char out[65])
{
    session_mac_key(key->data, scope, out);
}
