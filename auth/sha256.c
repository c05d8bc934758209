/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-256 by nettle, which uses the processor's SHA instructions. */
#include "auth/auth_private.h"

#include <nettle/sha2.h>

void auth_sha256(wfl_slice bytes, uint8_t out[32])
{
    struct sha256_ctx ctx;

    sha256_init(&ctx);
    sha256_update(&ctx, bytes.len, bytes.data);
    sha256_digest(&ctx, 32, out);
}

void wfl_auth_sha256_hex(wfl_slice bytes, char out[65])
{
    uint8_t digest[32];

    auth_sha256(bytes, digest);
    wfl_hex_encode(wfl_slice_of(digest, sizeof digest), out);
}
