/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision about a request, in the protocol's order: headers well-formed, credential present,
 * packet parses and holds, timestamp in the window, signature valid. How that is done is the
 * credential's: a key packet (bearer.c), a session (session.c) or a presigned URL (presigned.c).
 * The first failure ends it; its text never repeats a credential. Everything but the verified
 * packet and the session lives in the request's arena. */
#include "auth/auth_private.h"

#define CANONICAL_MAX (256u << 10)

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value == 0 ? fallback : value;
}

static wfl_time time_now(const struct wfl_clock *clock)
{
    int64_t ns = wfl_clock_unix_ns(clock);

    return (wfl_time){.sec = ns / 1000000000, .nsec = (int32_t)(ns % 1000000000)};
}

static wfl_code set_trust(struct wfl_auth *a, const struct wfl_trust *from, wfl_error *err)
{
    size_t            bytes = from->root_count * sizeof *from->roots;
    struct trust_set *set = wfl_alloc_zero(a->alloc, 1, sizeof *set + bytes);

    if (set == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    set->before = a->trust;
    set->trust = *from;
    set->trust.roots = set->roots;
    set->trust.version = set->before == NULL ? 1 : set->before->trust.version + 1;
    if (bytes > 0) memcpy(set->roots, from->roots, bytes);
    a->trust = set;
    return WFL_OK;
}

static wfl_code copy_trust(struct wfl_auth *a, const struct wfl_trust *from, wfl_error *err)
{
    struct wfl_trust copy = *from;

    if (!wfl_arena_copy(&a->arena, from->audience, &copy.audience))
        return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    return set_trust(a, &copy, err);
}

wfl_code wfl_auth_set_roots(struct wfl_auth *a, const wfl_public_key *roots, uint32_t count,
                            wfl_error *err)
{
    struct wfl_trust trust = *auth_trust(a);

    trust.roots = roots;
    trust.root_count = count;
    return set_trust(a, &trust, err);
}

wfl_code wfl_auth_new(const struct wfl_auth_config *config, struct wfl_auth **out, wfl_error *err)
{
    struct wfl_auth *a = wfl_alloc_zero(config->alloc, 1, sizeof *a);
    wfl_code         rc;

    if (a == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    a->alloc = config->alloc;
    a->clock = config->clock;
    a->random = config->random;
    a->skew_sec = or_default(config->clock_skew_seconds, 60);
    a->started = time_now(config->clock);
    a->writes.retention_sec = or_default(config->nonce_retention_seconds, 600);
    a->writes.max =
        config->write_nonces_per_client_max == 0 ? 16u << 20 : config->write_nonces_per_client_max;
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
    if (rc == WFL_OK) {
        rc = session_table_new(or_default(config->sessions_per_client_max, 1000),
                               or_default(config->sessions_max, 16384), config->random, a->alloc,
                               &a->sessions, err);
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
    session_table_free(a->sessions);
    for (struct trust_set *set = a->trust, *before; set != NULL; set = before) {
        before = set->before;
        wfl_alloc_free(a->alloc, set);
    }
    wfl_arena_fini(&a->arena);
    wfl_alloc_free(a->alloc, a);
}

void wfl_auth_stats(struct wfl_auth *a, struct wfl_auth_stats *out)
{
    memset(out, 0, sizeof *out);
    packet_cache_stats(a->packets, out);
    replay_stats(a->nonces, out);
    out->sessions = session_table_count(a->sessions);
}

void wfl_identity_fini(struct wfl_identity *id)
{
    wfl_packet_unref(id->packet);
    session_unref(id->session);
    *id = (struct wfl_identity){0};
}

/* ---- what all credentials share */

int auth_time_cmp(wfl_time a, wfl_time b)
{
    if (a.sec != b.sec) return a.sec < b.sec ? -1 : 1;
    return a.nsec < b.nsec ? -1 : a.nsec > b.nsec;
}

wfl_code auth_check_time(const struct decision *d, wfl_time *out, wfl_error *err)
{
    uint32_t skew_sec = d->auth->skew_sec;
    wfl_time early = {d->now.sec - skew_sec, d->now.nsec};
    wfl_time late = {d->now.sec + skew_sec, d->now.nsec};

    if (!d->found.given[H_TIMESTAMP] || !wfl_time_parse(d->found.value[H_TIMESTAMP], out)) {
        return wfl_fail(err, WFL_TIMESTAMP_MALFORMED,
                        "X-WflDB-Timestamp is missing or no RFC 3339 time in UTC");
    }
    if (auth_time_cmp(*out, early) < 0 || auth_time_cmp(*out, late) > 0) {
        return wfl_fail(err, WFL_TIMESTAMP_SKEW,
                        "the timestamp is more than %u s off; Date has the server's time",
                        skew_sec);
    }
    return WFL_OK;
}

/* In arena memory of a size that cannot be outrun: every byte triples at the most. */
wfl_code auth_canonical_text(const struct decision *d, const char *sha256_hex, wfl_buf *out,
                             wfl_error *err)
{
    const struct wfl_auth_request *r = d->request;
    size_t size = 256 + r->method.len + 3 * (r->path.len + r->query.len) + r->authority.len;

    for (uint32_t i = 0; i < r->header_count; i++)
        size += r->headers[i].name.len + r->headers[i].value.len + 2;
    if (size > CANONICAL_MAX)
        return wfl_fail(err, WFL_HEADER_TOO_LARGE, "the request's head is too large to sign");
    *out = (wfl_buf){.data = wfl_arena_get(d->arena, size), .cap = size, .max = size};
    if (out->data == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    return canonical_write_text(r, &d->headers, sha256_hex, d->arena, out, err);
}

/* ---- deciding */

static wfl_code credential_missing(wfl_error *err)
{
    return wfl_fail(err, WFL_CREDENTIAL_MISSING,
                    "no Authorization: Bearer <key packet>, or Session <session>");
}

static wfl_code decide_by_header(const struct decision *d, struct wfl_identity *id, wfl_error *err)
{
    wfl_slice rest = d->found.value[H_AUTHORIZATION], scheme;

    if (!d->found.given[H_AUTHORIZATION] || !wfl_slice_split(&rest, ' ', &scheme))
        return credential_missing(err);
    if (wfl_slice_eq_nocase(scheme, WFL_S("Session"))) return session_decide(d, rest, id, err);
    if (wfl_slice_eq_nocase(scheme, WFL_S("Bearer"))) return bearer_decide(d, rest, id, err);
    return credential_missing(err);
}

void auth_claim(struct wfl_identity *id, const struct wfl_packet *packet)
{
    const struct wfl_link *last = wfl_packet_last(packet);

    id->claim.client = last->holder_thumb;
    memcpy(id->claim.jti, last->jti_text, sizeof id->claim.jti);
}

bool wfl_identity_session(const struct wfl_identity *id, char out[WFL_ULID_TEXT_LEN + 1])
{
    if (id->session == NULL) return false;
    wfl_ulid_format(&id->session->id, out);
    return true;
}

wfl_code wfl_auth_authenticate(struct wfl_auth *a, const struct wfl_auth_request *r,
                               wfl_arena *arena, struct wfl_identity *out, wfl_error *err)
{
    struct wfl_identity id = {.query = r->query};
    struct presigned    in_query;
    struct decision     d = {.auth = a, .request = r, .arena = arena, .now = time_now(a->clock)};
    wfl_code            rc = auth_find_headers(r, &d.found, err);

    if (rc == WFL_OK) rc = canonical_sort_headers(r, arena, &d.headers, err);
    if (rc == WFL_OK) rc = auth_read_content(r, &d.found, &id, err);
    if (rc == WFL_OK) rc = presigned_find(r, arena, &in_query, err);
    if (rc == WFL_OK) {
        rc = in_query.is ? presigned_decide(&d, &in_query, &id, err)
                         : decide_by_header(&d, &id, err);
    }
    if (rc != WFL_OK) {
        struct wfl_claim claim;

        if (id.packet != NULL) auth_claim(&id, id.packet);
        claim = id.claim;
        wfl_identity_fini(&id);
        out->claim = claim;
        return rc;
    }
    id.client = wfl_packet_last(id.packet)->holder_thumb;
    *out = id;
    return WFL_OK;
}

wfl_code wfl_auth_recheck(struct wfl_auth *a, const struct wfl_packet *packet, wfl_error *err)
{
    return packet_verify_revocations(packet, auth_trust(a), err);
}

static wfl_code replayed_counter(wfl_error *err)
{
    return wfl_fail(err, WFL_REPLAYED,
                    "this counter was used before, or is below the session's last 4096");
}

wfl_code wfl_auth_spend_nonce(struct wfl_auth *a, const struct wfl_identity *id, wfl_error *err)
{
    /* The last second in which the timestamp is still accepted, rounded up. */
    int64_t expires_sec = id->timestamp.sec + a->skew_sec + 1;

    if (id->credential == WFL_CREDENTIAL_URL) return WFL_OK; /* may be used again and again */
    if (id->credential == WFL_CREDENTIAL_SESSION) {
        if (session_spend(id->session, id->counter)) return WFL_OK;
        return replayed_counter(err);
    }
    return replay_spend(a->nonces, wfl_slice_of(id->client.text, WFL_THUMB_LEN), id->nonce,
                        time_now(a->clock).sec, expires_sec, err);
}

/* Its counters have a window, so only how many there are is counted. */
static wfl_code claim_counter(struct wfl_auth *a, const struct wfl_identity *id, int64_t now_sec,
                              struct wfl_nonce_claim *out, wfl_error *err)
{
    enum counter_use use = session_claim(id->session, id->counter);
    wfl_code         rc = WFL_OK;

    out->known_only = use == COUNTER_BELOW;
    if (use == COUNTER_READ) return replayed_counter(err);
    if (use == COUNTER_FRESH) {
        rc = replay_count(a->nonces, wfl_slice_of(id->client.text, WFL_THUMB_LEN), now_sec,
                          &a->writes, err);
    }
    if (rc != WFL_OK) session_return(id->session, id->counter);
    return rc;
}

wfl_code wfl_auth_claim_nonce(struct wfl_auth *a, const struct wfl_identity *id,
                              struct wfl_nonce_claim *out, wfl_error *err)
{
    int64_t now_sec = time_now(a->clock).sec, valid_sec = id->timestamp.sec + a->skew_sec + 1;

    *out = (struct wfl_nonce_claim){.keep_ms = 1000 * (now_sec + a->writes.retention_sec),
                                    .valid_ms = 1000 * (valid_sec + 1)};
    if (id->credential == WFL_CREDENTIAL_URL) return WFL_OK;
    if (id->credential == WFL_CREDENTIAL_SESSION) return claim_counter(a, id, now_sec, out, err);
    return replay_claim(a->nonces, wfl_slice_of(id->client.text, WFL_THUMB_LEN), id->once_nonce,
                        now_sec, valid_sec, &a->writes, err);
}
