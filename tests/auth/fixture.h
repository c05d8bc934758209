/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that counts and refuses, a clock and randomness in the test's hand, keys from seeds, and
 * packets made from JSON as it is written, so that a test can write what no issuer would. */
#ifndef WFL_TESTS_AUTH_FIXTURE_H
#define WFL_TESTS_AUTH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/auth_private.h"

#define NOW_SEC 1764000000

struct fixture {
    int64_t           now_ns; /* what the clock says; starts at NOW_SEC */
    uint64_t          seed;   /* of the randomness */
    uint64_t          allocs; /* so far */
    uint64_t          refuse; /* the k-th is refused; 0: none */
    int64_t           live;   /* allocated and not freed */
    struct wfl_alloc  alloc;
    struct wfl_clock  clock;
    struct wfl_random random;
    wfl_error         err;
};

int fixture_setup(void **state);
int fixture_teardown(void **state); /* checks that nothing leaked */

struct wfl_key_pair key_of(uint8_t seed);

/* One link: `header` and `payload` are JSON texts, signed by `signer`. With `parent` it is put
 * behind that. In static memory, good for some calls. */
const char *link_of(const char *parent, const struct wfl_key_pair *signer, const char *header,
                    const char *payload);
/* A good header and payload; `grants` and `more` are JSON: "[...]" and ",\"name\":value" of wfl. */
const char *header_of(const struct wfl_key_pair *signer);
const char *payload_of(const struct wfl_key_pair *holder, const char *grants, const char *more);
/* From root to holder with every op but admin on every bucket, for a day from NOW_SEC on. */
const char *packet_of(const struct wfl_key_pair *root, const struct wfl_key_pair *holder);

#define assert_code(got, want)                                                                     \
    do {                                                                                           \
        wfl_code got_code_ = (got), want_code_ = (want);                                           \
        if (got_code_ != want_code_)                                                               \
            fail_msg("got %s, not %s", wfl_code_name(got_code_), wfl_code_name(want_code_));       \
    } while (0)

#endif
