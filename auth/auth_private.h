/* SPDX-License-Identifier: Apache-2.0
 *
 * What auth's files share among themselves. */
#ifndef WFL_AUTH_PRIVATE_H
#define WFL_AUTH_PRIVATE_H

#include "auth/auth.h"

#include <jansson.h>
#include <nettle/hmac.h>
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

/* ---- a request while it is decided about */

enum { H_AUTHORIZATION, H_TIMESTAMP, H_NONCE, H_BLAKE3, H_SHA256, H_SIGNATURE, H_COUNT };

struct found { /* headers that count here, trimmed */
    wfl_slice value[H_COUNT];
    bool      given[H_COUNT];
};

struct replay_writes { /* how many new nonces of writes a client may have in what time */
    uint32_t retention_sec;
    uint64_t max;
};

struct trust_set { /* never changed, kept until the end: decisions under way point to it */
    struct wfl_trust  trust;
    struct trust_set *before;
    wfl_public_key    roots[];
};

struct wfl_auth {
    const struct wfl_alloc   *alloc;
    const struct wfl_clock   *clock;
    const struct wfl_random  *random;
    struct trust_set *_Atomic trust; /* as it is now */
    wfl_arena                 arena; /* of what never changes of it */
    uint32_t                  skew_sec;
    wfl_time                  started;
    struct packet_cache      *packets;
    struct replay            *nonces;
    struct replay_writes      writes;
    struct session_table     *sessions;
};

static inline const struct wfl_trust *auth_trust(const struct wfl_auth *a)
{
    return &atomic_load(&a->trust)->trust;
}

enum presigned_param { P_PACKET, P_TIMESTAMP, P_EXPIRES, P_SIGNATURE, P_COUNT };

struct presigned { /* what a query has of it, decoded, in the request's arena */
    bool      is;  /* there is a parameter that begins with wfl- */
    wfl_slice value[P_COUNT];
    bool      given[P_COUNT];
    wfl_slice query; /* all else, raw, in its order */
    uint32_t  kept;  /* pieces of it */
};

struct decision {
    struct wfl_auth               *auth;
    const struct wfl_auth_request *request;
    struct found                   found;
    struct signed_headers          headers;
    wfl_time                       now;
    wfl_arena                     *arena; /* the request's */
};

/* headers.c. DUPLICATE_HEADER; INVALID_HEADER. */
WFL_MUST_USE wfl_code auth_find_headers(const struct wfl_auth_request *r, struct found *f,
                                        wfl_error *err);
WFL_MUST_USE wfl_code auth_read_content(const struct wfl_auth_request *r, const struct found *f,
                                        struct wfl_identity *out, wfl_error *err);

/* authenticate.c */
int auth_time_cmp(wfl_time a, wfl_time b);
/* X-WflDB-Timestamp within the window around now. TIMESTAMP_MALFORMED, TIMESTAMP_SKEW. */
WFL_MUST_USE wfl_code auth_check_time(const struct decision *d, wfl_time *out, wfl_error *err);
WFL_MUST_USE wfl_code auth_canonical_text(const struct decision *d, const char *sha256_hex,
                                          wfl_buf *out, wfl_error *err);

/* A file a credential. What they find is put into `id`, which the caller releases on failure. */
WFL_MUST_USE wfl_code bearer_decide(const struct decision *d, wfl_slice credential,
                                    struct wfl_identity *id, wfl_error *err);
WFL_MUST_USE wfl_code session_decide(const struct decision *d, wfl_slice credential,
                                     struct wfl_identity *id, wfl_error *err);

/* presigned.c. INVALID_QUERY: a wfl- parameter that is not known, or one twice; INVALID_REQUEST. */
WFL_MUST_USE wfl_code presigned_find(const struct wfl_auth_request *r, wfl_arena *arena,
                                     struct presigned *out, wfl_error *err);
WFL_MUST_USE wfl_code presigned_decide(const struct decision *d, const struct presigned *p,
                                       struct wfl_identity *id, wfl_error *err);

/* What the packet says of its holder, for the record of a refusal. */
void auth_claim(struct wfl_identity *id, const struct wfl_packet *packet);
/* bearer.c, for packets wherever they came from. One reference in id->packet, or a claim. */
WFL_MUST_USE wfl_code auth_find_packet(struct wfl_auth *a, wfl_slice credential, int64_t now_sec,
                                       struct wfl_identity *id, wfl_error *err);
/* By the last holder of id->packet; sets id->operation. SIGNATURE_MALFORMED, SIGNATURE_INVALID, and
 * of the canonical text. */
WFL_MUST_USE wfl_code auth_check_ed25519(const struct decision *d, struct wfl_identity *id,
                                         wfl_slice signature_text, wfl_error *err);

/* The owning shape of a packet; struct wfl_packet is its first member. */
struct packet_owner {
    struct wfl_packet       packet;
    _Atomic uint32_t        refs;
    _Atomic uint64_t        unrevoked_epoch; /* under which no link was revoked; 0: never looked */
    _Atomic uint32_t        roots_version;   /* of the roots that it was found to hang on */
    wfl_arena               arena;
    const struct wfl_alloc *alloc;
};

/* packet_verify.c */
/* Unix seconds: the first at which not all links are in force any more. */
int64_t packet_expires(const struct wfl_packet *p);
bool    grant_covers(const struct wfl_grant *parent, const struct wfl_grant *child);
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

/* ---- what is asked for (operation.c) */

/* Nothing for GET and HEAD. Else the hash of method, path, query and signed headers but timestamp
 * and nonce, from the canonical text. */
void auth_operation_hash(wfl_slice method, wfl_slice canonical_text, uint8_t out[32]);

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
/* The same for a write: one that a write has used is OK. Of new ones no more than `writes`
 * says, else RATE_LIMITED. */
WFL_MUST_USE wfl_code replay_claim(struct replay *r, wfl_slice client, wfl_slice nonce,
                                   int64_t now_sec, int64_t expires_sec,
                                   const struct replay_writes *writes, wfl_error *err);
/* Count one write of the client as new ones are there, without its nonce: of a session's, whose
 * counters have a window. RATE_LIMITED, NOMEM. */
WFL_MUST_USE wfl_code replay_count(struct replay *r, wfl_slice client, int64_t now_sec,
                                   const struct replay_writes *writes, wfl_error *err);
void                  replay_stats(struct replay *r, struct wfl_auth_stats *out);

/* ---- counters of a session (window.c) */

#define COUNTER_WINDOW 4096

/* Which of the last 4096 counters were used: those above highest - 4096. A ring of bits by counter,
 * larger than the window, so that words are cleared whole before they are entered. Zero value:
 * none. */
struct counter_window {
    uint64_t highest;
    uint64_t words[COUNTER_WINDOW / 64 * 2];
    uint64_t writes[COUNTER_WINDOW / 64 * 2]; /* those of them that a write has used */
};
/* `counter` from 1 to WFL_SESSION_COUNTER_MAX. False: used before, or below the window; nothing
 * changes. */
WFL_MUST_USE bool counter_window_spend(struct counter_window *w, uint64_t counter);
/* The same for a write, which may come again. */
enum counter_use {
    COUNTER_FRESH,   /* and used from now on */
    COUNTER_WRITTEN, /* by a write before */
    COUNTER_READ,    /* by a read before, or it is no counter */
    COUNTER_BELOW,   /* the window: by either, or not at all */
};
WFL_MUST_USE enum counter_use counter_window_claim(struct counter_window *w, uint64_t counter);
/* Undo a FRESH claim. */
void counter_window_return(struct counter_window *w, uint64_t counter);

/* ---- keys of a session (session_keys.c) */

struct session_exchange { /* what the transcript is made of */
    char    session[WFL_ULID_TEXT_LEN + 1];
    char    client_x25519[WFL_X25519_TEXT_LEN + 1], server_x25519[WFL_X25519_TEXT_LEN + 1];
    int64_t expires_sec;
    char    packet_sha256_hex[65];
};
#define SESSION_TRANSCRIPT_MAX 256
/* Into `out`; its length. */
size_t session_write_transcript(const struct session_exchange *x, char out[SESSION_TRANSCRIPT_MAX]);
/* X25519, then HKDF-Extract. False: the other's point has a small order, `prk` is wiped. */
WFL_MUST_USE bool session_derive(const uint8_t private_key[32], const uint8_t other[32],
                                 wfl_slice transcript, uint8_t prk[32]);
/* HKDF-Expand for one scope: 64 hex characters and a NUL, which is the mac key. */
void session_mac_key(const uint8_t prk[32], wfl_slice scope, char out[65]);

/* ---- open sessions (session_table.c) */

#define SESSION_SCOPES 4 /* whose keys are kept ready */

struct session_secret { /* in guarded memory */
    union {
        uint8_t                prk[32];
        struct session_secret *next_free;
    };
    uint8_t                private_key[32]; /* the ephemeral one, until the session is open */
    struct hmac_sha256_ctx macs[SESSION_SCOPES];
};

struct session { /* reference-counted, any thread; immutable once published but for what is locked
                  */
    struct session          *next; /* in its bucket */
    struct session_table    *table;
    struct session_client   *client;
    _Atomic uint32_t         refs;
    wfl_ulid                 id;
    char                     id_sha256_hex[65]; /* of its text, as the canonical request has it */
    const struct wfl_packet *packet;            /* a reference */
    int64_t                  expires_sec;
    struct session_secret   *secret;

    wfl_mutex             lock; /* what is below, and secret->macs */
    struct counter_window window;
    uint32_t              scope_turn;
    uint8_t               scope_lens[SESSION_SCOPES]; /* 0: none there */
    char                  scopes[SESSION_SCOPES][WFL_SESSION_SCOPE_MAX];
};

WFL_MUST_USE wfl_code session_table_new(uint32_t per_client_max, uint32_t max,
                                        const struct wfl_random *random,
                                        const struct wfl_alloc *alloc, struct session_table **out,
                                        wfl_error *err);
void                  session_table_free(struct session_table *t); /* NULL is accepted */
uint64_t              session_table_count(struct session_table *t);
/* A place for one more of the client, with zeroed secrets and one reference; it counts from now on.
 * RATE_LIMITED where the client, or all together, have as many as may be; NOMEM. */
WFL_MUST_USE wfl_code session_make(struct session_table *t, const wfl_thumb *client,
                                   int64_t now_sec, struct session **out, wfl_error *err);
/* From now on it is found. Takes over the caller's reference. */
void session_publish(struct session *s);
/* A reference for the caller, or NULL: not there, or no longer in force. */
struct session *session_find(struct session_table *t, const wfl_ulid *id, int64_t now_sec);
void            session_unref(struct session *s); /* NULL is accepted; the last one wipes it */
/* HMAC of `text` under the scope's key, compared with `mac`. The key is kept where it was right. */
WFL_MUST_USE bool             session_mac_is(struct session *s, wfl_slice scope, wfl_slice text,
                                             const uint8_t mac[32]);
WFL_MUST_USE bool             session_spend(struct session *s, uint64_t counter);
WFL_MUST_USE enum counter_use session_claim(struct session *s, uint64_t counter);
void                          session_return(struct session *s, uint64_t counter);

#endif
