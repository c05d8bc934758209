/* SPDX-License-Identifier: Apache-2.0
 *
 * Ed25519 keys: making, naming (thumbprints), signing, strict verification. The private half never
 * leaves a struct wfl_secret. */
#include "auth/auth_private.h"

#include <sodium.h>
#include <stdio.h>

static void x_of(const wfl_public_key *key, char x[WFL_B64U_LEN(WFL_KEY_LEN) + 1])
{
    wfl_b64u_encode(wfl_slice_of(key->bytes, WFL_KEY_LEN), x);
}

wfl_thumb wfl_key_thumb(const wfl_public_key *key)
{
    char      x[WFL_B64U_LEN(WFL_KEY_LEN) + 1], jwk[128];
    uint8_t   digest[32];
    wfl_thumb thumb;
    int       n;

    x_of(key, x);
    n = snprintf(jwk, sizeof jwk, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    auth_sha256(wfl_slice_of(jwk, (size_t)n), digest);
    wfl_b64u_encode(wfl_slice_of(digest, sizeof digest), thumb.text);
    return thumb;
}

bool wfl_key_usable(const wfl_public_key *key)
{
    return crypto_core_ed25519_is_valid_point(key->bytes) == 1;
}

void wfl_key_write_jwk(const wfl_public_key *key, wfl_json *out)
{
    char x[WFL_B64U_LEN(WFL_KEY_LEN) + 1];

    x_of(key, x);
    wfl_json_object(out);
    wfl_json_key(out, "crv");
    wfl_json_cstr(out, "Ed25519");
    wfl_json_key(out, "kty");
    wfl_json_cstr(out, "OKP");
    wfl_json_key(out, "x");
    wfl_json_cstr(out, x);
    wfl_json_end(out);
}

wfl_code wfl_key_from_seed(const uint8_t seed[32], struct wfl_key_pair *out, wfl_error *err)
{
    struct wfl_key_pair pair = {0};
    wfl_code            rc = wfl_secret_new(crypto_sign_SECRETKEYBYTES, &pair.secret, err);

    if (rc != WFL_OK) return rc;
    crypto_sign_seed_keypair(pair.pub.bytes, pair.secret.data, seed);
    *out = pair;
    return WFL_OK;
}

wfl_code wfl_key_generate(const struct wfl_random *random, struct wfl_key_pair *out, wfl_error *err)
{
    struct wfl_secret seed = {0};
    wfl_code          rc = wfl_secret_new(32, &seed, err);

    if (rc != WFL_OK) return rc;
    wfl_random_fill(random, seed.data, seed.len);
    rc = wfl_key_from_seed(seed.data, out, err);
    wfl_secret_free(&seed);
    return rc;
}

void wfl_key_pair_free(struct wfl_key_pair *pair)
{
    wfl_secret_free(&pair->secret);
    *pair = (struct wfl_key_pair){0};
}

void wfl_key_sign(const struct wfl_key_pair *pair, wfl_slice message,
                  uint8_t signature[WFL_SIGNATURE_LEN])
{
    crypto_sign_detached(signature, NULL, message.data, message.len, pair->secret.data);
}

bool wfl_key_verify(const wfl_public_key *key, wfl_slice message,
                    const uint8_t signature[WFL_SIGNATURE_LEN])
{
    /* libsodium refuses S >= L, R and A of small order, and A that is not canonical. */
    return crypto_sign_verify_detached(signature, message.data, message.len, key->bytes) == 0;
}
