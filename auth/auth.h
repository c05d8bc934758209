/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may do what: keys, key packets, canonical requests, signatures, replay. auth decides and does
 * nothing else: it knows no HTTP, no engine and no files but key files. The same code signs in the
 * client and verifies in the server. Codes are those of docs/protocol.md, Errors. */
#ifndef WFL_AUTH_AUTH_H
#define WFL_AUTH_AUTH_H

#include "core/core.h"

/* Once a process, before anything else here. WFL_INTERNAL where libsodium cannot start. */
WFL_MUST_USE wfl_code wfl_auth_init(wfl_error *err);
/* Keys will be in this process's memory: no core dumps, and nobody of the same user attaches. */
void wfl_auth_guard_process(void);

/* ---- secrets: guarded pages, never swapped or dumped, wiped when freed */

struct wfl_secret { /* owns; zero value holds nothing */
    uint8_t *data;
    size_t   len;
};
WFL_MUST_USE wfl_code wfl_secret_new(size_t len, struct wfl_secret *out, wfl_error *err);
void                  wfl_secret_free(struct wfl_secret *s);

/* ---- keys (protocol, Keys) */

#define WFL_KEY_LEN       32
#define WFL_THUMB_LEN     43 /* characters */
#define WFL_SIGNATURE_LEN 64 /* bytes */

typedef struct wfl_public_key {
    uint8_t bytes[WFL_KEY_LEN];
} wfl_public_key;

typedef struct wfl_thumb { /* RFC 7638 thumbprint, b64u, with a NUL */
    char text[WFL_THUMB_LEN + 1];
} wfl_thumb;

struct wfl_key_pair { /* zero value: none */
    wfl_public_key    pub;
    struct wfl_secret secret; /* libsodium's 64-byte form */
};

wfl_thumb wfl_key_thumb(const wfl_public_key *key);
/* False: not canonical, not on the curve, of small order, or with a part of small order (which no
 * honest key has). */
bool wfl_key_usable(const wfl_public_key *key);
/* {"crv":"Ed25519","kty":"OKP","x":"..."} into `out`. */
void wfl_key_write_jwk(const wfl_public_key *key, wfl_json *out);

WFL_MUST_USE wfl_code wfl_key_generate(const struct wfl_random *random, struct wfl_key_pair *out,
                                       wfl_error *err);
WFL_MUST_USE wfl_code wfl_key_from_seed(const uint8_t seed[32], struct wfl_key_pair *out,
                                        wfl_error *err);
void                  wfl_key_pair_free(struct wfl_key_pair *pair);

/* Parse a JWK: a public one, or a key file, of which only the public half is kept. Unknown members
 * are ignored; `kid`, where present, must be the thumbprint. WFL_INVALID_REQUEST with what is
 * wrong. */
WFL_MUST_USE wfl_code wfl_key_parse_public(wfl_slice json, wfl_public_key *out, wfl_error *err);
struct wfl_key_server { /* what a credential file may say of the server it is for; each may be empty
                         */
    wfl_slice      endpoint; /* URL */
    wfl_slice      ca;       /* path of the certificates that are trusted for it, in PEM */
    wfl_slice      pin;      /* "sha256//..." of the public key in its certificate */
    bool           has_identity;
    wfl_public_key identity; /* of the server itself, with which it signs sessions */
};
/* A key file or credential file. `packet` and `server` (may be NULL) are copied into `arena`;
 * empty where absent. The d member is checked against x. */
WFL_MUST_USE wfl_code wfl_key_parse_private(wfl_slice json, wfl_arena *arena,
                                            struct wfl_key_pair *out, wfl_slice *packet,
                                            struct wfl_key_server *server, wfl_error *err);
/* The text of a key file; with `packet` non-empty (and `server`, NULL: nothing of it), of a
 * credential file. `out` is secret memory. */
WFL_MUST_USE wfl_code wfl_key_write_private(const struct wfl_key_pair *pair, wfl_slice packet,
                                            const struct wfl_key_server *server,
                                            struct wfl_secret *out, wfl_error *err);
/* Read a whole small file (at most 64 KiB) into secret memory; with `private_file` a file that
 * group or others can read is refused. WFL_IO, WFL_INVALID_REQUEST, WFL_NOT_FOUND. */
WFL_MUST_USE wfl_code wfl_key_read_file(const char *path, bool private_file, struct wfl_secret *out,
                                        wfl_error *err);
/* Create (never replace) `path` with mode 0600 and fsync it and its folder. */
WFL_MUST_USE wfl_code wfl_key_write_file(const char *path, wfl_slice text, wfl_error *err);

void wfl_key_sign(const struct wfl_key_pair *pair, wfl_slice message,
                  uint8_t signature[WFL_SIGNATURE_LEN]);
/* Strict: non-canonical S, non-canonical points and small orders are refused. */
bool wfl_key_verify(const wfl_public_key *key, wfl_slice message,
                    const uint8_t signature[WFL_SIGNATURE_LEN]);

/* ---- packets (protocol, Key packets) */

#define WFL_PACKET_BYTES_MAX    8192
#define WFL_PACKET_LINKS_MAX    5
#define WFL_PACKET_GRANTS_MAX   64
#define WFL_PACKET_DELEGATE_MAX 4

enum wfl_op { /* bits */
              WFL_OP_GET = 1,
              WFL_OP_PUT = 2,
              WFL_OP_DELETE = 4,
              WFL_OP_SCAN = 8,
              WFL_OP_WATCH = 16,
              WFL_OP_MANAGE = 32,
              WFL_OP_ADMIN = 64,
};
const char *wfl_op_name(enum wfl_op op); /* "get" */
/* 0: no such op. */
unsigned wfl_op_parse(wfl_slice name);

struct wfl_grant {
    wfl_slice bucket; /* name, name's beginning with '*', or "*" */
    wfl_slice prefix; /* literal; empty: all keys */
    unsigned  ops;
};

struct wfl_limits { /* UINT64_MAX: no limit */
    uint64_t max_object_bytes;
    uint64_t requests_per_second;
    uint64_t bytes_per_second;
};

struct wfl_link {               /* one JWT, decoded; slices point into the packet's arena */
    wfl_slice      signed_text; /* header "." payload, in the packet's text */
    uint8_t        signature[WFL_SIGNATURE_LEN];
    wfl_slice      kid;
    uint8_t        id[16]; /* of the SHA-256 of signed_text: what else says the same is the same */
    wfl_ulid       jti;
    char           jti_text[WFL_ULID_TEXT_LEN + 1];
    wfl_slice      sub; /* empty where absent */
    bool           has_aud;
    wfl_slice      aud;
    int64_t        iat, nbf, exp; /* Unix seconds; nbf is iat where absent */
    wfl_public_key holder;
    wfl_thumb      holder_thumb;
    unsigned       delegate;
    struct wfl_grant *grants;
    uint32_t          grant_count;
    struct wfl_limits limits;
};

struct wfl_packet { /* immutable once made; reference-counted, any thread */
    wfl_slice         text;
    struct wfl_link   links[WFL_PACKET_LINKS_MAX];
    uint32_t          link_count;
    struct wfl_limits limits; /* smallest of the chain */
    uint8_t           text_sha256[32];
    char              text_sha256_hex[65]; /* as the canonical request has it */
};

/* Structure only: WFL_PACKET_MALFORMED or WFL_NOMEM. Trusts nothing. One reference, the caller's.
 */
WFL_MUST_USE wfl_code wfl_packet_parse(wfl_slice text, const struct wfl_alloc *alloc,
                                       struct wfl_packet **out, wfl_error *err);
void                  wfl_packet_ref(const struct wfl_packet *p);
void                  wfl_packet_unref(const struct wfl_packet *p); /* NULL is accepted */

static inline const struct wfl_link *wfl_packet_last(const struct wfl_packet *p)
{
    return &p->links[p->link_count - 1];
}

/* Revocations are kept elsewhere (store implements this). Any thread, must not block. */
struct wfl_revocations {
    /* Is a link with this jti, signed by `kid` for `holder` (thumbprints), revoked in any way? */
    bool (*revoked)(void *ctx, const wfl_ulid *jti, wfl_slice kid, wfl_slice holder);
    /* Grows with each revocation, after it is in force; never zero. A packet that was not revoked
     * under the same number is not asked about again. NULL: ask each time. */
    uint64_t (*epoch)(void *ctx);
    void *ctx;
};

struct wfl_trust { /* what a server is configured with; copied where kept */
    const wfl_public_key *roots;
    uint32_t  version; /* of the roots: under another one a packet's is looked for again */
    uint32_t  root_count;
    wfl_slice audience;                        /* empty: none */
    const struct wfl_revocations *revocations; /* NULL: nothing is revoked */
};

/* All rules of the chain, in the protocol's order: trusted, signed, in force, not escalating, not
 * revoked, audience. OK or a PACKET_ code. */
WFL_MUST_USE wfl_code wfl_packet_verify(const struct wfl_packet *p, const struct wfl_trust *trust,
                                        int64_t now_sec, wfl_error *err);
/* A link that the client of `p` has signed: one JWT, whoever holds it and whatever it grants; its
 * times do not matter. INVALID_REQUEST: it is no link; FORBIDDEN: another key signed it. */
WFL_MUST_USE wfl_code wfl_packet_check_issued(const struct wfl_packet *p, wfl_slice link,
                                              const struct wfl_alloc *alloc, wfl_ulid *jti,
                                              int64_t *exp, wfl_error *err);
/* Does the client's link grant `op` on bucket and key? For scans `key` is the prefix asked for:
 * covered where it starts with the grant's. For manage and admin the key is empty; admin asks with
 * bucket "*". */
bool wfl_packet_grants(const struct wfl_packet *p, enum wfl_op op, wfl_slice bucket, wfl_slice key);
/* Does any grant, of any op, reach the bucket? For GET /v1/. */
bool wfl_packet_reaches(const struct wfl_packet *p, wfl_slice bucket);

/* Issue: build and sign one link; with `parent` it is appended to the chain. The result is checked
 * by the same rules (parse, escalation, times that meet), so nothing unusable is ever issued. `out`
 * gets the packet's text, nothing on failure. WFL_PACKET_ESCALATION, WFL_PACKET_UNTRUSTED (signer
 * is not the parent's holder), WFL_PACKET_MALFORMED say what is wrong; WFL_NOMEM. */
struct wfl_issue {
    const struct wfl_key_pair *signer;
    wfl_slice                  parent; /* packet text; empty: signer is a root */
    wfl_public_key             holder;
    wfl_ulid                   jti;
    wfl_slice                  sub, aud;      /* empty: absent */
    int64_t                    iat, nbf, exp; /* nbf 0: absent */
    unsigned                   delegate;
    const struct wfl_grant    *grants;
    uint32_t                   grant_count;
    struct wfl_limits          limits; /* UINT64_MAX each: absent; 0 is refused */
};
WFL_MUST_USE wfl_code wfl_packet_issue(const struct wfl_issue *issue, const struct wfl_alloc *alloc,
                                       wfl_buf *out, wfl_error *err);

/* ---- canonical requests (protocol, Canonical request) */

struct wfl_auth_header { /* name in any case; value may have space around it */
    wfl_slice name;
    wfl_slice value;
};

struct wfl_auth_request {
    wfl_slice                     method;
    wfl_slice                     path;  /* raw, as received */
    wfl_slice                     query; /* raw, behind '?' */
    wfl_slice                     authority;
    const struct wfl_auth_header *headers;
    uint32_t                      header_count;
    bool                          has_body;
};

/* Append the canonical text. `credential_sha256_hex`: 64 characters. Scratch comes from `arena`.
 * INVALID_REQUEST (escape), INVALID_KEY (encoded slash), DUPLICATE_HEADER, HEADER_TOO_LARGE, NOMEM.
 */
WFL_MUST_USE wfl_code wfl_canonical_write(const struct wfl_auth_request *r,
                                          const char *credential_sha256_hex, wfl_arena *arena,
                                          wfl_buf *out, wfl_error *err);
void                  wfl_auth_sha256_hex(wfl_slice bytes, char out[65]);

/* ---- deciding about a request */

enum wfl_content { /* what X-WflDB-Content-* declares */
                   WFL_CONTENT_NONE,
                   WFL_CONTENT_BLAKE3,
                   WFL_CONTENT_SHA256,
                   WFL_CONTENT_UNSIGNED,
};

enum wfl_credential {
    WFL_CREDENTIAL_PACKET,  /* Authorization: Bearer */
    WFL_CREDENTIAL_SESSION, /* Authorization: Session */
    WFL_CREDENTIAL_URL,     /* in the query */
};

struct session;

struct wfl_claim { /* what a packet that was refused, or whose signer was, says of itself: not
                      proved */
    wfl_thumb client;
    char      jti[WFL_ULID_TEXT_LEN + 1]; /* of its last link; empty: there is none */
};

struct wfl_identity { /* who asks, once decided; lives in the request's arena but for packet and
                         session */
    enum wfl_credential      credential;
    const struct wfl_packet *packet;  /* a reference: drop it with wfl_identity_fini */
    struct session          *session; /* the same; NULL without one */
    uint64_t                 counter; /* of a session's request */
    wfl_thumb                client;
    wfl_slice                nonce; /* in the arena; empty for a URL, which has none */
    /* What a write is remembered by: the nonce, or "<session>.<counter>", which is also the nonce
     * of the same write signed with Ed25519. Empty: it is not remembered. */
    wfl_slice once_nonce;
    /* Of what may write: the hash of what it asks for. The same nonce with another hash is another
     * operation. */
    uint8_t          operation[32];
    wfl_slice        query; /* raw, without what of it is a URL's credential; in the arena */
    wfl_time         timestamp;
    int64_t          expires_sec; /* Unix seconds: no longer in force from here on */
    enum wfl_content content;
    uint8_t          content_hash[32]; /* for BLAKE3 and SHA256 */
    struct wfl_claim claim;            /* of who was not let in, and then the only thing here */
};
/* The session that it came in, as text. False: in none. */
bool wfl_identity_session(const struct wfl_identity *id, char out[WFL_ULID_TEXT_LEN + 1]);
void wfl_identity_fini(struct wfl_identity *id); /* accepts zero */

struct wfl_auth; /* the deciding object of a server; any thread */

struct wfl_auth_config {
    struct wfl_trust        trust;                   /* copied */
    uint32_t                clock_skew_seconds;      /* 0: 60 */
    uint32_t                packet_cache_max;        /* verified packets kept; 0: 4096 */
    uint32_t                nonces_per_client_max;   /* 0: 1048576 */
    uint64_t                nonces_max;              /* of all clients; 0: 8388608 */
    uint32_t                nonce_retention_seconds; /* how long those of writes are kept; 0: 600 */
    uint64_t                write_nonces_per_client_max; /* in that time; 0: 16777216 */
    uint32_t                sessions_per_client_max;     /* 0: 1000 */
    uint32_t                sessions_max;                /* of all clients; 0: 16384 */
    const struct wfl_clock *clock;
    const struct wfl_random *random;
    const struct wfl_alloc  *alloc;
};
WFL_MUST_USE wfl_code wfl_auth_new(const struct wfl_auth_config *config, struct wfl_auth **out,
                                   wfl_error *err);
void                  wfl_auth_free(struct wfl_auth *a);
/* One thread at a time. From now on these are the roots, copied; what hangs on another one is
 * PACKET_UNTRUSTED from its next request or wfl_auth_recheck on. Each call keeps its copy until the
 * end. NOMEM. */
WFL_MUST_USE wfl_code wfl_auth_set_roots(struct wfl_auth *a, const wfl_public_key *roots,
                                         uint32_t count, wfl_error *err);

/* Steps 1 to 6 of the protocol's order: credential present, packet parses, links hold, timestamp in
 * the window and (with a packet) after the start, signature valid. A nonce is checked for form, not
 * yet spent. On failure `out` holds a claim at the most. */
WFL_MUST_USE wfl_code wfl_auth_authenticate(struct wfl_auth *a, const struct wfl_auth_request *r,
                                            wfl_arena *arena, struct wfl_identity *out,
                                            wfl_error *err);
/* The last step before execution: spend the nonce. OK, REPLAYED, RATE_LIMITED (the client's memory
 * is full), NOMEM. Never forgets a live nonce to make room. */
WFL_MUST_USE wfl_code wfl_auth_spend_nonce(struct wfl_auth *a, const struct wfl_identity *id,
                                           wfl_error *err);
/* Of a request that is long under way: is its packet, which was accepted before, revoked by now?
 * OK, PACKET_REVOKED. Costs a comparison where nothing was revoked since. */
WFL_MUST_USE wfl_code wfl_auth_recheck(struct wfl_auth *a, const struct wfl_packet *packet,
                                       wfl_error *err);
/* Instead of that for a write that its store remembers by once_nonce, and judges by it: OK also
 * where another write has used it. REPLAYED: a read has; RATE_LIMITED: more writes in the time of
 * retention than are remembered, or as above; NOMEM. */
struct wfl_nonce_claim {
    int64_t keep_ms;  /* Unix ms: remember a first one until then ... */
    int64_t valid_ms; /* ... and any no shorter: until then the request itself is accepted again */
    bool known_only;  /* a session's counter too old to tell: REPLAYED where it is not remembered */
};
WFL_MUST_USE wfl_code wfl_auth_claim_nonce(struct wfl_auth *a, const struct wfl_identity *id,
                                           struct wfl_nonce_claim *out, wfl_error *err);
struct wfl_auth_stats {
    uint64_t packets_cached, packet_hits, packet_misses, nonces, clients, sessions;
};
void wfl_auth_stats(struct wfl_auth *a, struct wfl_auth_stats *out);

/* ---- sessions (protocol, Sessions) */

#define WFL_X25519_TEXT_LEN     43 /* characters: 32 bytes as b64u */
#define WFL_SESSION_SCOPE_MAX   63 /* characters: a bucket's name, or "-" */
#define WFL_SESSION_TTL_MAX     86400
#define WFL_SESSION_COUNTER_MAX (UINT64_C(1) << 53) /* exact in every language's numbers */

struct wfl_session_request { /* what a client asks with */
    char    x25519[WFL_X25519_TEXT_LEN + 1];
    int64_t ttl_sec;
};
struct wfl_session_answer { /* what it is told */
    char    session[WFL_ULID_TEXT_LEN + 1];
    char    x25519[WFL_X25519_TEXT_LEN + 1];
    int64_t expires_sec; /* Unix */
    uint8_t signature[WFL_SIGNATURE_LEN];
};
/* The JSON of both, exactly these members (an answer may have more). INVALID_JSON: another shape;
 * INVALID_REQUEST: a member that cannot be. */
WFL_MUST_USE wfl_code wfl_session_parse_request(wfl_slice json, struct wfl_session_request *out,
                                                wfl_error *err);
WFL_MUST_USE wfl_code wfl_session_parse_answer(wfl_slice json, struct wfl_session_answer *out,
                                               wfl_error *err);
void                  wfl_session_write_request(const struct wfl_session_request *r, wfl_json *out);
void                  wfl_session_write_answer(const struct wfl_session_answer *r, wfl_json *out);

/* Server: open one for who asks, signed with `identity`. It ends with the ttl, or with the packet.
 * FORBIDDEN: asked for with another credential than a packet; INVALID_REQUEST: a point of small
 * order; RATE_LIMITED: as many are open as may be; NOMEM. */
WFL_MUST_USE wfl_code wfl_auth_open_session(struct wfl_auth *a, const struct wfl_identity *id,
                                            const struct wfl_session_request *r,
                                            const struct wfl_key_pair        *identity,
                                            struct wfl_session_answer *out, wfl_error *err);

/* Client: make an ephemeral key and what to ask with; then, of the answer, the session's key. */
WFL_MUST_USE wfl_code wfl_session_ask(const struct wfl_random *random, int64_t ttl_sec,
                                      struct wfl_secret          *private_key,
                                      struct wfl_session_request *out, wfl_error *err);
/* server: who must have answered; NULL: whoever did. `key` is for wfl_session_mac_key. INTERNAL:
 * the answer is not of that server, or its point has a small order; NOMEM. */
WFL_MUST_USE wfl_code wfl_session_accept(const struct wfl_secret          *private_key,
                                         const struct wfl_session_request *r,
                                         const struct wfl_session_answer  *answer,
                                         const char                       *packet_sha256_hex,
                                         const wfl_public_key *server, struct wfl_secret *key,
                                         wfl_error *err);
/* The key of one scope, which signs for it and for nothing else: 64 characters and a NUL, secret.
 */
void wfl_session_mac_key(const struct wfl_secret *key, wfl_slice scope, char out[65]);

/* ---- signing, for clients */

struct wfl_signed_headers { /* what to send besides the request's own headers; NUL-terminated */
    char timestamp[WFL_TIME_TEXT];
    char nonce[65];
    char signature[87];
};
/* Sign a request with key and packet. `r->headers` has every header that will be sent and counts
 * (Content-Type, X-WflDB-Content-*, ...) but timestamp, nonce and signature, which are made here.
 */
WFL_MUST_USE wfl_code wfl_auth_sign(const struct wfl_key_pair *key, const char *packet_sha256_hex,
                                    const struct wfl_auth_request *r, int64_t now_ns,
                                    const struct wfl_random *random, wfl_arena *arena,
                                    struct wfl_signed_headers *out, wfl_error *err);

/* The same with a nonce that is given: of a write that is sent once more. */
WFL_MUST_USE wfl_code wfl_auth_sign_again(const struct wfl_key_pair     *key,
                                          const char                    *packet_sha256_hex,
                                          const struct wfl_auth_request *r, int64_t now_ns,
                                          const char *nonce, wfl_arena *arena,
                                          struct wfl_signed_headers *out, wfl_error *err);
/* The same in a session: `key` of wfl_session_accept, the scope that is the request's, and a
 * counter that was not used before. */
WFL_MUST_USE wfl_code wfl_session_sign(const struct wfl_secret *key, const char *session,
                                       wfl_slice scope, const struct wfl_auth_request *r,
                                       int64_t now_ns, uint64_t counter, wfl_arena *arena,
                                       struct wfl_signed_headers *out, wfl_error *err);

#define WFL_PRESIGN_SECONDS_MAX 604800 /* a week */

/* Append a presigned URL's query to `out`, which is empty: r->query, and then what makes it a
 * credential for expires_sec seconds (1 to WFL_PRESIGN_SECONDS_MAX) from now_sec on. Whoever uses
 * the URL must send exactly the counting headers that r->headers has, none of them a secret. */
WFL_MUST_USE wfl_code wfl_auth_presign(const struct wfl_key_pair *key, wfl_slice packet,
                                       const struct wfl_auth_request *r, int64_t now_sec,
                                       uint32_t expires_sec, wfl_arena *arena, wfl_buf *out,
                                       wfl_error *err);

#endif
