/* SPDX-License-Identifier: Apache-2.0
 *
 * Presigned queries. The first byte of an input says what the rest is: a query as it is, or edits
 * (position, byte) of one that is rightly signed. What must hold: what is left for the route has no
 * parameter of the credential's, and is all else in its order; and whatever is accepted has the
 * canonical query of the one that was signed. */
#include "fuzz.h"

#include "auth/auth_private.h"

#define NOW_SEC 1764000000

static struct {
    struct wfl_auth    *auth;
    struct wfl_key_pair client;
    wfl_buf             query;     /* of a good URL */
    wfl_buf             canonical; /* of the request with it */
} good;

static int64_t now_ns(void *ctx)
{
    (void)ctx;
    return INT64_C(1000000000) * NOW_SEC;
}

static const struct wfl_clock clock_of_test = {.unix_ns = now_ns, .mono_ns = now_ns};

static struct wfl_auth_request request_of(wfl_slice query)
{
    return (struct wfl_auth_request){.method = WFL_S("GET"),
                                     .path = WFL_S("/v1/photos/a"),
                                     .query = query,
                                     .authority = WFL_S("localhost:7410")};
}

static wfl_code write_canonical(wfl_slice query, wfl_buf *out)
{
    struct wfl_auth_request r = request_of(query);
    wfl_arena               arena;
    wfl_error               err;
    wfl_code                rc;

    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    wfl_buf_init(out, &wfl_alloc_libc, 1u << 20);
    rc = wfl_canonical_write(&r, "", &arena, out, &err);
    wfl_arena_fini(&arena);
    return rc;
}

static void make_good(void)
{
    struct wfl_grant        grant = {.bucket = WFL_S("photos"), .ops = WFL_OP_GET};
    struct wfl_auth_request r = request_of(WFL_S("version=01JDFJ7Z7Q2S4T6V8X0A2C4E6G"));
    struct wfl_key_pair     root = {0};
    wfl_buf                 packet;
    wfl_arena               arena;
    wfl_error               err;
    wfl_code                rc = wfl_auth_init(&err);

    wfl_buf_init(&packet, &wfl_alloc_libc, 1u << 16);
    wfl_buf_init(&good.query, &wfl_alloc_libc, 1u << 16);
    wfl_arena_init(&arena, &wfl_alloc_libc, 1u << 20);
    if (rc == WFL_OK) rc = wfl_key_from_seed((const uint8_t[32]){1}, &root, &err);
    if (rc == WFL_OK) rc = wfl_key_from_seed((const uint8_t[32]){2}, &good.client, &err);
    if (rc == WFL_OK) {
        rc = wfl_packet_issue(&(struct wfl_issue){.signer = &root,
                                                  .holder = good.client.pub,
                                                  .jti = {{1}},
                                                  .iat = NOW_SEC,
                                                  .exp = NOW_SEC + 3600,
                                                  .grants = &grant,
                                                  .grant_count = 1,
                                                  .limits = {UINT64_MAX, UINT64_MAX, UINT64_MAX}},
                              &wfl_alloc_libc, &packet, &err);
    }
    if (rc == WFL_OK) {
        rc = wfl_auth_presign(&good.client, wfl_buf_slice(&packet), &r, NOW_SEC, 300, &arena,
                              &good.query, &err);
    }
    if (rc == WFL_OK) {
        rc = wfl_auth_new(&(struct wfl_auth_config){.trust = {.roots = &root.pub, .root_count = 1},
                                                    .packet_cache_max = 16,
                                                    .clock = &clock_of_test,
                                                    .random = &wfl_random_system,
                                                    .alloc = &wfl_alloc_libc},
                          &good.auth, &err);
    }
    if (rc == WFL_OK) rc = write_canonical(wfl_buf_slice(&good.query), &good.canonical);
    assert(rc == WFL_OK);
    wfl_key_pair_free(&root);
    wfl_buf_fini(&packet);
    wfl_arena_fini(&arena);
}

/* The rest is found again as it is, and none of it is the credential's. */
static void check_taken_apart(wfl_slice query, wfl_arena *arena)
{
    struct wfl_auth_request r = request_of(query), rest;
    struct presigned        p, again;
    wfl_error               err = {0};

    if (presigned_find(&r, arena, &p, &err) != WFL_OK) {
        assert(err.code == WFL_INVALID_QUERY || err.code == WFL_INVALID_REQUEST);
        return;
    }
    assert(p.query.len <= query.len);
    assert(p.is || wfl_slice_eq(p.query, query));
    rest = request_of(p.query);
    wfl_code rc = presigned_find(&rest, arena, &again, &err);
    assert(rc == WFL_OK && !again.is && wfl_slice_eq(again.query, p.query));
}

static void check_decision(wfl_slice query, wfl_arena *arena)
{
    struct wfl_auth_request r = request_of(query);
    struct wfl_identity     id;
    wfl_buf                 canonical;
    wfl_error               err = {0};

    if (wfl_auth_authenticate(good.auth, &r, arena, &id, &err) != WFL_OK) {
        assert(wfl_code_http(err.code) < 500 && err.message[0] != '\0');
        return;
    }
    wfl_code rc = write_canonical(query, &canonical);
    assert(rc == WFL_OK && wfl_slice_eq(wfl_buf_slice(&canonical), wfl_buf_slice(&good.canonical)));
    assert(id.credential == WFL_CREDENTIAL_URL && id.nonce.len == 0);
    wfl_buf_fini(&canonical);
    wfl_identity_fini(&id);
}

/* The good query with some bytes changed; a position behind its end appends. */
static wfl_slice edit(wfl_slice edits, wfl_buf *out)
{
    wfl_buf_add(out, wfl_buf_slice(&good.query));
    for (size_t i = 0; i + 2 < edits.len; i += 3) {
        size_t at = (size_t)edits.data[i] << 8 | edits.data[i + 1];

        if (at < out->len)
            out->data[at] = edits.data[i + 2];
        else
            wfl_buf_add_u8(out, edits.data[i + 2]);
    }
    return wfl_buf_slice(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_slice in = wfl_slice_of(data, size), query;
    wfl_arena arena;
    wfl_buf   edited;

    if (good.auth == NULL) make_good();
    if (size == 0) return 0;
    wfl_buf_init(&edited, &wfl_alloc_libc, 1u << 20);
    wfl_arena_init(&arena, &wfl_alloc_libc, 4u << 20);
    query = wfl_slice_of(in.data + 1, in.len - 1);
    if (data[0] % 2 == 1) query = edit(query, &edited);
    check_taken_apart(query, &arena);
    check_decision(query, &arena);
    wfl_arena_fini(&arena);
    wfl_buf_fini(&edited);
    return 0;
}
