/* SPDX-License-Identifier: Apache-2.0
 *
 * See fixture.h. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 20000
#define TEXTS    32

static void *resize(void *ctx, void *old, size_t n)
{
    struct fixture *f = ctx;

    if (n == 0) {
        if (old != NULL) __atomic_sub_fetch(&f->live, 1, __ATOMIC_RELAXED);
        free(old);
        return NULL;
    }
    uint64_t count = __atomic_add_fetch(&f->allocs, 1, __ATOMIC_RELAXED);
    if (f->refuse != 0 && count == f->refuse) return NULL;
    void *p = realloc(old, n);
    if (p != NULL && old == NULL) __atomic_add_fetch(&f->live, 1, __ATOMIC_RELAXED);
    return p;
}

static int64_t now_ns(void *ctx)
{
    return ((struct fixture *)ctx)->now_ns;
}

static void fill(void *ctx, uint8_t *out, size_t n)
{
    struct fixture *f = ctx;

    while (n-- > 0) {
        f->seed = f->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        *out++ = (uint8_t)(f->seed >> 56);
    }
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || wfl_auth_init(&f->err) != WFL_OK) return -1;
    f->now_ns = (int64_t)NOW_SEC * 1000000000;
    f->seed = 1;
    f->alloc = (struct wfl_alloc){.resize = resize, .ctx = f};
    f->clock = (struct wfl_clock){.unix_ns = now_ns, .mono_ns = now_ns, .ctx = f};
    f->random = (struct wfl_random){.fill = fill, .ctx = f};
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    int64_t         live = f->live;

    free(f);
    if (live != 0) print_error("%lld allocations are left\n", (long long)live);
    return live == 0 ? 0 : -1;
}

struct wfl_key_pair key_of(uint8_t seed)
{
    uint8_t             bytes[32];
    struct wfl_key_pair pair = {0};
    wfl_error           err;

    memset(bytes, seed, sizeof bytes);
    assert_code(wfl_key_from_seed(bytes, &pair, &err), WFL_OK);
    return pair;
}

static char *next_text(void)
{
    static char     texts[TEXTS][TEXT_MAX];
    static unsigned at;

    return texts[at++ % TEXTS];
}

const char *link_of(const char *parent, const struct wfl_key_pair *signer, const char *header,
                    const char *payload)
{
    char   *out = next_text();
    uint8_t signature[WFL_SIGNATURE_LEN];
    size_t  start;

    start = parent == NULL ? 0 : (size_t)snprintf(out, TEXT_MAX, "%s~", parent);
    assert_true(start + strlen(header) * 2 + strlen(payload) * 2 + 200 < TEXT_MAX);
    wfl_b64u_encode(wfl_slice_str(header), out + start);
    strcat(out + start, ".");
    wfl_b64u_encode(wfl_slice_str(payload), out + strlen(out));
    wfl_key_sign(signer, wfl_slice_str(out + start), signature);
    strcat(out + start, ".");
    wfl_b64u_encode(wfl_slice_of(signature, sizeof signature), out + strlen(out));
    return out;
}

const char *header_of(const struct wfl_key_pair *signer)
{
    char *out = next_text();

    snprintf(out, TEXT_MAX, "{\"alg\":\"EdDSA\",\"typ\":\"wfl-packet+jwt\",\"kid\":\"%s\"}",
             wfl_key_thumb(&signer->pub).text);
    return out;
}

const char *payload_of(const struct wfl_key_pair *holder, const char *grants, const char *more)
{
    char *out = next_text(), x[WFL_B64U_LEN(WFL_KEY_LEN) + 1];

    wfl_b64u_encode(wfl_slice_of(holder->pub.bytes, WFL_KEY_LEN), x);
    snprintf(out, TEXT_MAX,
             "{\"jti\":\"01JDFJ7Z7Q2S4T6V8X0A2C4E6G\",\"iat\":%d,\"exp\":%d,"
             "\"cnf\":{\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}},"
             "\"wfl\":{\"v\":1,\"grants\":%s%s}}",
             NOW_SEC, NOW_SEC + 86400, x, grants, more);
    return out;
}

const char *packet_of(const struct wfl_key_pair *root, const struct wfl_key_pair *holder)
{
    return link_of(
        NULL, root, header_of(root),
        payload_of(holder,
                   "[{\"bucket\":\"*\",\"ops\":[\"get\",\"put\",\"delete\",\"scan\",\"manage\"]}]",
                   ",\"delegate\":4"));
}
