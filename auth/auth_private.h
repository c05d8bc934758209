/* SPDX-License-Identifier: Apache-2.0
 *
 * What auth's files share among themselves. */
#ifndef WFL_AUTH_PRIVATE_H
#define WFL_AUTH_PRIVATE_H

#include "auth/auth.h"

#include <jansson.h>
#include <stdatomic.h>

#define AUTH_JSON_DEPTH_MAX 16
#define AUTH_GRACE_SECONDS  30

/* Strict JSON: one object, valid UTF-8, no member name twice anywhere, no NUL, nothing behind it,
 * at most AUTH_JSON_DEPTH_MAX deep. NULL with a reason in `why` (a literal of ours). */
json_t *auth_json_load(wfl_slice text, const char **why);
/* Once a process, before jansson is used. */
void auth_json_init(void);
/* The string member's bytes; empty with false where it is absent or no string. */
bool auth_json_string(const json_t *object, const char *name, wfl_slice *out);

void auth_sha256(wfl_slice bytes, uint8_t out[32]);

/* A public JWK's x from a JSON object: kty, crv, canonical point, not of small order. `why` as
 * above. */
bool auth_jwk_public(const json_t *jwk, wfl_public_key *out, const char **why);

/* ---- canonical requests, in the two steps between which a request is judged (canonical.c) */

struct signed_headers { /* sorted, none twice; in an arena */
    const struct wfl_auth_header **list;
    size_t                         count;
};
/* DUPLICATE_HEADER, HEADER_TOO_LARGE, NOMEM. */
WFL_MUST_USE wfl_code canonical_sort_headers(const struct wfl_auth_request *r, wfl_arena *arena,
                                             struct signed_headers *out, wfl_error *err);
WFL_MUST_USE wfl_code canonical_write_text(const struct wfl_auth_request *r,
                                           const struct signed_headers   *headers,
                                           const char *credential_sha256_hex, wfl_arena *arena,
                                           wfl_buf *out, wfl_error *err);

/* The owning shape of a packet; struct wfl_packet is its first member. */
struct packet_owner {
    struct wfl_packet       packet;
    _Atomic uint32_t        refs;
    _Atomic uint64_t        unrevoked_epoch; /* under which no link was revoked; 0: never looked */
    wfl_arena               arena;
    const struct wfl_alloc *alloc;
};

/* packet_verify.c */
bool grant_covers(const struct wfl_grant *parent, const struct wfl_grant *child);
/* The facts that never change: trusted, signed. */
WFL_MUST_USE wfl_code packet_verify_signatures(const struct wfl_packet *p,
                                               const struct wfl_trust *trust, wfl_error *err);
WFL_MUST_USE wfl_code packet_verify_times(const struct wfl_packet *p, int64_t now_sec,
                                          wfl_error *err);
WFL_MUST_USE wfl_code packet_verify_narrowing(const struct wfl_packet *p, wfl_error *err);
WFL_MUST_USE wfl_code packet_verify_revocations(const struct wfl_packet *p,
                                                const struct wfl_trust *trust, wfl_error *err);
WFL_MUST_USE wfl_code packet_verify_audience(const struct wfl_packet *p,
                                             const struct wfl_trust *trust, wfl_error *err);

/* ---- verified packets (cache.c) */

struct packet_cache;
WFL_MUST_USE wfl_code packet_cache_new(uint32_t max, const struct wfl_alloc *alloc,
                                       struct packet_cache **out, wfl_error *err);
void                  packet_cache_free(struct packet_cache *c);
/* A reference for the caller, or NULL. */
const struct wfl_packet *packet_cache_find(struct packet_cache *c, const uint8_t sha256[32]);
/* Keeps a reference of its own; drops another packet where it is full. */
void packet_cache_add(struct packet_cache *c, const struct wfl_packet *p);
void packet_cache_stats(struct packet_cache *c, struct wfl_auth_stats *out);

/* ---- nonces (replay.c) */

struct replay;
WFL_MUST_USE wfl_code replay_new(uint32_t per_client_max, uint64_t max,
                                 const struct wfl_random *random, const struct wfl_alloc *alloc,
                                 struct replay **out, wfl_error *err);
void                  replay_free(struct replay *r);
/* Remember until `expires_sec`. OK, REPLAYED, RATE_LIMITED, NOMEM. */
WFL_MUST_USE wfl_code replay_spend(struct replay *r, wfl_slice client, wfl_slice nonce,
                                   int64_t now_sec, int64_t expires_sec, wfl_error *err);
void                  replay_stats(struct replay *r, struct wfl_auth_stats *out);

#endif
