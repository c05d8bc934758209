/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of a chain, one function a rule, each over all links, in the protocol's order: a link's
 * content means nothing until its signature holds. */
#include "auth/auth_private.h"

static wfl_code refuse(wfl_error *err, wfl_code code, uint32_t link, const char *why)
{
    return wfl_fail(err, code, "link %u of the key packet %s", link + 1, why);
}

static const wfl_public_key *find_root(const struct wfl_trust *trust, wfl_slice kid)
{
    for (uint32_t i = 0; i < trust->root_count; i++) {
        wfl_thumb thumb = wfl_key_thumb(&trust->roots[i]);

        if (wfl_slice_eq(kid, wfl_slice_str(thumb.text))) return &trust->roots[i];
    }
    return NULL;
}

wfl_code packet_verify_signatures(const struct wfl_packet *p, const struct wfl_trust *trust,
                                  wfl_error *err)
{
    const wfl_public_key *signers[WFL_PACKET_LINKS_MAX];

    signers[0] = find_root(trust, p->links[0].kid);
    if (signers[0] == NULL)
        return refuse(err, WFL_PACKET_UNTRUSTED, 0, "is not signed by a trusted root");
    for (uint32_t i = 1; i < p->link_count; i++) {
        if (!wfl_slice_eq(p->links[i].kid, wfl_slice_str(p->links[i - 1].holder_thumb.text))) {
            return refuse(err, WFL_PACKET_UNTRUSTED, i,
                          "is not signed by the holder of the one before");
        }
        signers[i] = &p->links[i - 1].holder;
    }
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (!wfl_key_verify(signers[i], p->links[i].signed_text, p->links[i].signature)) {
            return refuse(err, WFL_PACKET_SIGNATURE, i, "has a signature that does not verify");
        }
    }
    return WFL_OK;
}

wfl_code packet_verify_times(const struct wfl_packet *p, int64_t now_sec, wfl_error *err)
{
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (now_sec >= p->links[i].exp) return refuse(err, WFL_PACKET_EXPIRED, i, "has expired");
        if (p->links[i].nbf > now_sec + AUTH_GRACE_SECONDS) {
            return refuse(err, WFL_PACKET_NOT_YET_VALID, i, "is not valid yet");
        }
    }
    return WFL_OK;
}

int64_t packet_expires(const struct wfl_packet *p)
{
    int64_t first = p->links[0].exp;

    for (uint32_t i = 1; i < p->link_count; i++) {
        if (p->links[i].exp < first) first = p->links[i].exp;
    }
    return first;
}

static bool pattern_covers(wfl_slice parent, wfl_slice child)
{
    if (parent.data[parent.len - 1] != '*') return wfl_slice_eq(parent, child);
    /* "team-*" covers "team-a", "team-a*" and itself; what is before the child's star counts. */
    parent.len--;
    if (child.data[child.len - 1] == '*') child.len--;
    return wfl_slice_starts_with(child, parent);
}

bool grant_covers(const struct wfl_grant *parent, const struct wfl_grant *child)
{
    return pattern_covers(parent->bucket, child->bucket) &&
           wfl_slice_starts_with(child->prefix, parent->prefix) && (child->ops & ~parent->ops) == 0;
}

static bool covered_by_one(const struct wfl_link *parent, const struct wfl_grant *grant)
{
    for (uint32_t i = 0; i < parent->grant_count; i++) {
        if (grant_covers(&parent->grants[i], grant)) return true;
    }
    return false;
}

wfl_code packet_verify_narrowing(const struct wfl_packet *p, wfl_error *err)
{
    for (uint32_t i = 1; i < p->link_count; i++) {
        const struct wfl_link *parent = &p->links[i - 1], *link = &p->links[i];

        if (link->delegate >= parent->delegate) {
            return refuse(err, WFL_PACKET_ESCALATION, i, "is one more than the one before allows");
        }
        for (uint32_t g = 0; g < link->grant_count; g++) {
            if (!covered_by_one(parent, &link->grants[g])) {
                return refuse(err, WFL_PACKET_ESCALATION, i,
                              "grants what the one before does not have");
            }
        }
    }
    return WFL_OK;
}

/* Roots may be taken away while the server runs. */
static wfl_code verify_root(const struct wfl_packet *p, const struct wfl_trust *trust,
                            wfl_error *err)
{
    struct packet_owner *owner = (struct packet_owner *)(void *)p; /* the first member */

    if (atomic_load(&owner->roots_version) == trust->version) return WFL_OK;
    if (find_root(trust, p->links[0].kid) == NULL)
        return refuse(err, WFL_PACKET_UNTRUSTED, 0, "is not signed by a trusted root any more");
    atomic_store(&owner->roots_version, trust->version);
    return WFL_OK;
}

wfl_code packet_verify_revocations(const struct wfl_packet *p, const struct wfl_trust *trust,
                                   wfl_error *err)
{
    const struct wfl_revocations *r = trust->revocations;
    struct packet_owner          *owner = (struct packet_owner *)(void *)p; /* the first member */
    uint64_t                      epoch;
    wfl_code                      rc = verify_root(p, trust, err);

    if (rc != WFL_OK || r == NULL) return rc;
    epoch = r->epoch == NULL ? 0 : r->epoch(r->ctx); /* before the links are looked up */
    if (epoch != 0 && atomic_load(&owner->unrevoked_epoch) == epoch) return WFL_OK;
    for (uint32_t i = 0; i < p->link_count; i++) {
        const struct wfl_link *link = &p->links[i];

        if (r->revoked(r->ctx, &link->jti, link->kid, wfl_slice_str(link->holder_thumb.text)))
            return refuse(err, WFL_PACKET_REVOKED, i, "is revoked");
    }
    atomic_store(&owner->unrevoked_epoch, epoch);
    return WFL_OK;
}

wfl_code packet_verify_audience(const struct wfl_packet *p, const struct wfl_trust *trust,
                                wfl_error *err)
{
    for (uint32_t i = 0; i < p->link_count; i++) {
        if (p->links[i].has_aud &&
            (trust->audience.len == 0 || !wfl_slice_eq(p->links[i].aud, trust->audience))) {
            return refuse(err, WFL_PACKET_AUDIENCE, i, "is for another audience");
        }
    }
    return WFL_OK;
}

wfl_code wfl_packet_verify(const struct wfl_packet *p, const struct wfl_trust *trust,
                           int64_t now_sec, wfl_error *err)
{
    wfl_code rc = packet_verify_signatures(p, trust, err);

    if (rc == WFL_OK) rc = packet_verify_times(p, now_sec, err);
    if (rc == WFL_OK) rc = packet_verify_narrowing(p, err);
    if (rc == WFL_OK) rc = packet_verify_revocations(p, trust, err);
    if (rc == WFL_OK) rc = packet_verify_audience(p, trust, err);
    return rc;
}

wfl_code wfl_packet_check_issued(const struct wfl_packet *p, wfl_slice link,
                                 const struct wfl_alloc *alloc, wfl_ulid *jti, int64_t *exp,
                                 wfl_error *err)
{
    const struct wfl_link *signer = wfl_packet_last(p), *issued;
    struct wfl_packet     *parsed;
    wfl_code               rc = wfl_packet_parse(link, alloc, &parsed, err);

    if (rc == WFL_NOMEM) return rc;
    if (rc != WFL_OK) return wfl_fail(err, WFL_INVALID_REQUEST, "link is no link of a key packet");
    issued = &parsed->links[0];
    if (parsed->link_count != 1) {
        rc = wfl_fail(err, WFL_INVALID_REQUEST, "link is one link, not a chain of them");
    } else if (!wfl_slice_eq(issued->kid, wfl_slice_str(signer->holder_thumb.text)) ||
               !wfl_key_verify(&signer->holder, issued->signed_text, issued->signature)) {
        rc = wfl_fail(err, WFL_FORBIDDEN, "the link is not signed by the key that asks");
    } else {
        *jti = issued->jti;
        *exp = issued->exp;
    }
    wfl_packet_unref(parsed);
    return rc;
}

bool wfl_packet_grants(const struct wfl_packet *p, enum wfl_op op, wfl_slice bucket, wfl_slice key)
{
    const struct wfl_link *link = wfl_packet_last(p);

    for (uint32_t i = 0; i < link->grant_count; i++) {
        const struct wfl_grant *g = &link->grants[i];

        if ((g->ops & op) != 0 && pattern_covers(g->bucket, bucket) &&
            wfl_slice_starts_with(key, g->prefix)) {
            return true;
        }
    }
    return false;
}

bool wfl_packet_reaches(const struct wfl_packet *p, wfl_slice bucket)
{
    const struct wfl_link *link = wfl_packet_last(p);

    for (uint32_t i = 0; i < link->grant_count; i++) {
        if (pattern_covers(link->grants[i].bucket, bucket)) return true;
    }
    return false;
}
