/* SPDX-License-Identifier: Apache-2.0
 *
 * A credential in the query: wfl-packet, wfl-timestamp, wfl-expires, wfl-signature. Any parameter
 * that begins with wfl- makes a request one of these, so that none is ever passed over; with a
 * credential in the headers too it is refused, for nobody could say which one counts. There is no
 * nonce: who holds the URL may use it again and again until it expires.
 *
 * Signing is here too, for clients. */
#include "auth/auth_private.h"

#define PREFIX WFL_S("wfl-")

static const wfl_slice names[P_COUNT] = {
    [P_PACKET] = WFL_LIT("wfl-packet"),
    [P_TIMESTAMP] = WFL_LIT("wfl-timestamp"),
    [P_EXPIRES] = WFL_LIT("wfl-expires"),
    [P_SIGNATURE] = WFL_LIT("wfl-signature"),
};

/* ---- finding the parameters */

struct taking {
    wfl_arena        *arena;
    struct presigned *out;
    uint8_t          *scratch; /* of the query's length */
    uint8_t          *rest;    /* what is no parameter of ours is moved up to here */
};

static wfl_code take(struct taking *t, wfl_slice name, wfl_slice raw_value, wfl_error *err)
{
    int       p = 0;
    size_t    len;
    wfl_slice value;

    while (p < P_COUNT && !wfl_slice_eq(name, names[p]))
        p++;
    if (p == P_COUNT)
        return wfl_fail(err, WFL_INVALID_QUERY, "a parameter that begins with wfl- is not known");
    if (t->out->given[p])
        return wfl_fail(err, WFL_INVALID_QUERY, "parameter %.*s is given twice", WFL_FMT(names[p]));
    if (!wfl_percent_decode(raw_value, t->scratch, &len))
        return wfl_fail(err, WFL_INVALID_REQUEST, "the target has a malformed percent escape");
    if (!wfl_arena_copy(t->arena, wfl_slice_of(t->scratch, len), &value))
        return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    t->out->given[p] = true;
    t->out->value[p] = value;
    return WFL_OK;
}

static void keep(struct taking *t, wfl_slice piece)
{
    wfl_slice *query = &t->out->query;

    if (t->out->kept++ > 0) t->rest[query->len++] = '&';
    if (piece.len > 0) memcpy(t->rest + query->len, piece.data, piece.len);
    query->len += piece.len;
}

/* A name that cannot be decoded is none of ours; the canonical text will refuse it. */
static wfl_code take_piece(struct taking *t, wfl_slice piece, wfl_error *err)
{
    wfl_slice value = piece, raw_name, name;
    size_t    len;

    wfl_slice_split(&value, '=', &raw_name);
    if (wfl_percent_decode(raw_name, t->scratch, &len) &&
        wfl_slice_starts_with(wfl_slice_of(t->scratch, len), PREFIX)) {
        t->out->is = true;
        if (!wfl_arena_copy(t->arena, wfl_slice_of(t->scratch, len), &name))
            return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
        return take(t, name, value, err);
    }
    keep(t, piece);
    return WFL_OK;
}

wfl_code presigned_find(const struct wfl_auth_request *r, wfl_arena *arena, struct presigned *out,
                        wfl_error *err)
{
    struct taking t = {.arena = arena, .out = out};
    wfl_slice     rest = r->query, piece;
    wfl_code      rc = WFL_OK;
    bool          more = rest.len > 0;

    *out = (struct presigned){.query = r->query};
    if (!more) return WFL_OK;
    t.scratch = wfl_arena_get(arena, 2 * (rest.len + 1));
    if (t.scratch == NULL) return wfl_fail(err, WFL_NOMEM, "auth: out of memory");
    t.rest = t.scratch + rest.len + 1;
    out->query = wfl_slice_of(t.rest, 0);
    while (more && rc == WFL_OK) {
        more = wfl_slice_split(&rest, '&', &piece);
        rc = take_piece(&t, piece, err);
    }
    if (!out->is) out->query = r->query;
    return rc;
}

/* ---- deciding */

static wfl_code check_alone(const struct found *f, wfl_error *err)
{
    static const int others[] = {H_AUTHORIZATION, H_TIMESTAMP, H_NONCE, H_SIGNATURE};

    for (size_t i = 0; i < WFL_COUNT(others); i++) {
        if (f->given[others[i]])
            return wfl_fail(err, WFL_INVALID_QUERY,
                            "the query has a credential, so the headers must have none");
    }
    return WFL_OK;
}

/* From the timestamp, with the clocks' skew before it, to as many seconds behind it as are asked
 * for. */
static wfl_code check_window(const struct decision *d, const struct presigned *p,
                             struct wfl_identity *id, wfl_error *err)
{
    wfl_slice text = p->value[P_EXPIRES];
    uint64_t  expires_sec = 0;
    wfl_time  early, end;

    if (!p->given[P_TIMESTAMP] || !wfl_time_parse(p->value[P_TIMESTAMP], &id->timestamp)) {
        return wfl_fail(err, WFL_TIMESTAMP_MALFORMED,
                        "wfl-timestamp is missing or no RFC 3339 time in UTC");
    }
    if (text.len == 0 || text.data[0] == '0' ||
        !wfl_slice_to_u64(text, WFL_PRESIGN_SECONDS_MAX, &expires_sec)) {
        return wfl_fail(err, WFL_INVALID_QUERY, "wfl-expires is 1 to %d seconds",
                        WFL_PRESIGN_SECONDS_MAX);
    }
    early = (wfl_time){id->timestamp.sec - d->auth->skew_sec, id->timestamp.nsec};
    end = (wfl_time){id->timestamp.sec + (int64_t)expires_sec, id->timestamp.nsec};
    if (auth_time_cmp(d->now, early) < 0)
        return wfl_fail(err, WFL_TIMESTAMP_SKEW, "the URL is not valid yet");
    if (auth_time_cmp(d->now, end) >= 0)
        return wfl_fail(err, WFL_TIMESTAMP_SKEW, "the URL has expired");
    id->expires_sec = end.sec + (end.nsec > 0);
    return WFL_OK;
}

wfl_code presigned_decide(const struct decision *d, const struct presigned *p,
                          struct wfl_identity *id, wfl_error *err)
{
    wfl_code rc = check_alone(&d->found, err);
    int64_t  packet_end;

    if (rc != WFL_OK) return rc;
    if (!p->given[P_PACKET])
        return wfl_fail(err, WFL_CREDENTIAL_MISSING, "the query has no wfl-packet");
    rc = auth_find_packet(d->auth, p->value[P_PACKET], d->now.sec, id, err);
    if (rc == WFL_OK) rc = check_window(d, p, id, err);
    if (rc == WFL_OK) rc = auth_check_ed25519(d, id, p->value[P_SIGNATURE], err);
    if (rc != WFL_OK) return rc;
    id->credential = WFL_CREDENTIAL_URL;
    id->query = p->query;
    packet_end = packet_expires(id->packet);
    if (packet_end < id->expires_sec) id->expires_sec = packet_end;
    return WFL_OK;
}

/* ---- signing */

static void add_param(wfl_buf *out, enum presigned_param p, wfl_slice value)
{
    if (out->len > 0) wfl_buf_add_u8(out, '&');
    wfl_buf_add(out, names[p]);
    wfl_buf_add_u8(out, '=');
    wfl_percent_encode(value, out);
}

wfl_code wfl_auth_presign(const struct wfl_key_pair *key, wfl_slice packet,
                          const struct wfl_auth_request *r, int64_t now_sec, uint32_t expires_sec,
                          wfl_arena *arena, wfl_buf *out, wfl_error *err)
{
    struct wfl_auth_request full = *r;
    char                    time[WFL_TIME_TEXT], hex[65];
    char                    text[WFL_B64U_LEN(WFL_SIGNATURE_LEN) + 1];
    uint8_t                 signature[WFL_SIGNATURE_LEN];
    wfl_buf                 canonical;
    wfl_code                rc;

    /* Whole seconds, as 2026-11-24T10:00:00Z: people read these URLs. */
    wfl_time_format_ms((uint64_t)now_sec * 1000, time);
    time[19] = 'Z';
    wfl_buf_add(out, r->query);
    add_param(out, P_PACKET, packet);
    add_param(out, P_TIMESTAMP, wfl_slice_of(time, 20));
    wfl_buf_printf(out, "&%.*s=%u", WFL_FMT(names[P_EXPIRES]), expires_sec);
    if (!wfl_buf_ok(out)) return wfl_fail(err, WFL_NOMEM, "a URL: out of memory, or too long");
    full.query = wfl_buf_slice(out);
    wfl_auth_sha256_hex(packet, hex);
    wfl_buf_init(&canonical, &wfl_alloc_libc, 256u << 10);
    rc = wfl_canonical_write(&full, hex, arena, &canonical, err);
    if (rc == WFL_OK) {
        wfl_key_sign(key, wfl_buf_slice(&canonical), signature);
        wfl_b64u_encode(wfl_slice_of(signature, sizeof signature), text);
        add_param(out, P_SIGNATURE, wfl_slice_str(text));
        if (!wfl_buf_ok(out)) rc = wfl_fail(err, WFL_NOMEM, "a URL: out of memory, or too long");
    }
    wfl_buf_fini(&canonical);
    return rc;
}
