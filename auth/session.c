/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a session, and `Authorization: Session <session>`: the session is open, its packet still
 * holds, the timestamp is in the window, the counter has its form, the MAC of the request's scope
 * is right. The window of counters is changed only when the request is about to be executed. The
 * fence at the server's start is not needed here: no session is older than the server. */
#include "auth/auth_private.h"

#include <sodium.h>
#include <stdio.h>

/* ---- opening */

static void make_id(const struct wfl_auth *a, wfl_ulid *out)
{
    uint64_t ms = wfl_clock_unix_ms(a->clock);

    for (int i = 0; i < 6; i++)
        out->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    wfl_random_fill(a->random, out->bytes + 6, 10);
}

static void sign_exchange(const struct wfl_key_pair *identity, wfl_slice transcript,
                          const struct session_exchange *x, struct wfl_session_answer *out)
{
    memcpy(out->session, x->session, sizeof out->session);
    memcpy(out->x25519, x->server_x25519, sizeof out->x25519);
    out->expires_sec = x->expires_sec;
    wfl_key_sign(identity, transcript, out->signature);
}

/* Keys and answer of a session that has its place. */
static wfl_code exchange_keys(struct wfl_auth *a, struct session *s, const uint8_t client_point[32],
                              const struct wfl_session_request *r,
                              const struct wfl_key_pair *identity, struct wfl_session_answer *out,
                              wfl_error *err)
{
    struct session_exchange x = {.expires_sec = s->expires_sec};
    char                    text[SESSION_TRANSCRIPT_MAX];
    uint8_t                 point[32];
    wfl_slice               transcript;

    wfl_random_fill(a->random, s->secret->private_key, sizeof s->secret->private_key);
    crypto_scalarmult_curve25519_base(point, s->secret->private_key);
    wfl_ulid_format(&s->id, x.session);
    wfl_auth_sha256_hex(wfl_slice_of(x.session, WFL_ULID_TEXT_LEN), s->id_sha256_hex);
    memcpy(x.client_x25519, r->x25519, sizeof x.client_x25519);
    wfl_b64u_encode(wfl_slice_of(point, sizeof point), x.server_x25519);
    memcpy(x.packet_sha256_hex, s->packet->text_sha256_hex, sizeof x.packet_sha256_hex);
    transcript = wfl_slice_of(text, session_write_transcript(&x, text));
    if (!session_derive(s->secret->private_key, client_point, transcript, s->secret->prk))
        return wfl_fail(err, WFL_INVALID_REQUEST, "x25519 is a point of small order");
    sodium_memzero(s->secret->private_key, sizeof s->secret->private_key);
    sign_exchange(identity, transcript, &x, out);
    return WFL_OK;
}

wfl_code wfl_auth_open_session(struct wfl_auth *a, const struct wfl_identity *id,
                               const struct wfl_session_request *r,
                               const struct wfl_key_pair *identity, struct wfl_session_answer *out,
                               wfl_error *err)
{
    uint8_t         client_point[32 + 2];
    size_t          len = 0;
    int64_t         now_sec = wfl_clock_unix_ns(a->clock) / 1000000000;
    struct session *s = NULL;
    wfl_code        rc;

    /* A key for one scope could otherwise open a session with keys for all. */
    if (id->credential != WFL_CREDENTIAL_PACKET)
        return wfl_fail(err, WFL_FORBIDDEN, "a session is opened with a key packet and signature");
    if (!wfl_b64u_decode(wfl_slice_str(r->x25519), client_point, sizeof client_point, &len) ||
        len != 32) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "x25519 is not the base64url of 32 bytes");
    }
    rc = session_make(a->sessions, &id->client, now_sec, &s, err);
    if (rc != WFL_OK) return rc;
    wfl_packet_ref(id->packet);
    s->packet = id->packet;
    make_id(a, &s->id);
    s->expires_sec = now_sec + r->ttl_sec;
    if (s->expires_sec > id->expires_sec) s->expires_sec = id->expires_sec;
    rc = exchange_keys(a, s, client_point, r, identity, out, err);
    if (rc == WFL_OK) {
        session_publish(s);
    } else {
        session_unref(s);
    }
    return rc;
}

/* ---- a request of a session */

static wfl_code find_session(const struct decision *d, wfl_slice credential,
                             struct wfl_identity *id, wfl_error *err)
{
    wfl_ulid ulid;
    wfl_code rc;

    if (wfl_ulid_parse(credential, &ulid))
        id->session = session_find(d->auth->sessions, &ulid, d->now.sec);
    if (id->session == NULL)
        return wfl_fail(err, WFL_SESSION_UNKNOWN, "no such session is open; open a new one");
    id->packet = id->session->packet;
    wfl_packet_ref(id->packet);
    rc = packet_verify_times(id->packet, d->now.sec, err);
    if (rc == WFL_OK) rc = packet_verify_revocations(id->packet, auth_trust(d->auth), err);
    return rc;
}

/* A decimal in its one spelling. */
static bool is_counter(wfl_slice text, uint64_t *out)
{
    return text.len > 0 && text.data[0] != '0' &&
           wfl_slice_to_u64(text, WFL_SESSION_COUNTER_MAX, out);
}

static wfl_code read_counter(const struct decision *d, wfl_slice credential,
                             struct wfl_identity *id, wfl_error *err)
{
    wfl_slice text = d->found.value[H_NONCE];
    char      once[WFL_ULID_TEXT_LEN + 32];
    int       len;

    if (!d->found.given[H_NONCE] || !is_counter(text, &id->counter)) {
        return wfl_fail(err, WFL_NONCE_MALFORMED,
                        "a session's X-WflDB-Nonce is a decimal counter from 1 to 2^53");
    }
    len = snprintf(once, sizeof once, "%.*s.%.*s", WFL_FMT(credential), WFL_FMT(text));
    if (!wfl_arena_copy(d->arena, wfl_slice_of(once, (size_t)len), &id->once_nonce))
        return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    id->nonce = wfl_slice_of(id->once_nonce.data + credential.len + 1, text.len);
    return WFL_OK;
}

/* Of a canonical text: what is between the second and the third slash of its path, "-" where that
 * is nothing. For /v1/photos/a "photos", for /v1/ and all below /v1/-/ "-". */
static wfl_slice scope_of(wfl_slice canonical)
{
    wfl_slice path, segment;

    for (int line = 0; line < 3; line++)
        wfl_slice_split(&canonical, '\n', &path);
    for (int i = 0; i < 3; i++)
        wfl_slice_split(&path, '/', &segment);
    return segment.len == 0 ? WFL_S("-") : segment;
}

static wfl_code check_mac(const struct decision *d, struct wfl_identity *id, wfl_error *err)
{
    uint8_t   mac[32];
    wfl_buf   text;
    wfl_slice canonical;
    wfl_code  rc;

    if (!d->found.given[H_SIGNATURE] ||
        !wfl_hex_decode(d->found.value[H_SIGNATURE], mac, sizeof mac)) {
        return wfl_fail(err, WFL_SIGNATURE_MALFORMED,
                        "a session's X-WflDB-Signature is 64 lower-case hex digits");
    }
    rc = auth_canonical_text(d, id->session->id_sha256_hex, &text, err);
    if (rc != WFL_OK) return rc;
    canonical = wfl_buf_slice(&text);
    if (!session_mac_is(id->session, scope_of(canonical), canonical, mac)) {
        return wfl_fail(err, WFL_SIGNATURE_INVALID,
                        "the MAC does not verify for this request, session and scope");
    }
    auth_operation_hash(d->request->method, canonical, id->operation);
    return WFL_OK;
}

wfl_code session_decide(const struct decision *d, wfl_slice credential, struct wfl_identity *id,
                        wfl_error *err)
{
    wfl_code rc = find_session(d, credential, id, err);

    if (rc == WFL_OK) rc = auth_check_time(d, &id->timestamp, err);
    if (rc == WFL_OK) rc = read_counter(d, credential, id, err);
    if (rc == WFL_OK) rc = check_mac(d, id, err);
    if (rc != WFL_OK) return rc;
    id->credential = WFL_CREDENTIAL_SESSION;
    id->expires_sec = id->session->expires_sec;
    return WFL_OK;
}
