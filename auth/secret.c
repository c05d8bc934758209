/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets in libsodium's guarded pages: between inaccessible ones, locked in memory, left out of
 * core dumps, wiped when freed. No room is an error. */
#include "auth/auth_private.h"

#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>

wfl_code wfl_auth_init(wfl_error *err)
{
    auth_json_init();
    return sodium_init() < 0 ? wfl_fail(err, WFL_INTERNAL, "libsodium cannot start") : WFL_OK;
}

void wfl_auth_guard_process(void)
{
    static const struct rlimit none = {0, 0};

    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
}

wfl_code wfl_secret_new(size_t len, struct wfl_secret *out, wfl_error *err)
{
    uint8_t *data = sodium_malloc(len == 0 ? 1 : len);

    if (data == NULL) return wfl_fail(err, WFL_NOMEM, "no guarded memory for a secret");
    *out = (struct wfl_secret){.data = data, .len = len};
    return WFL_OK;
}

void wfl_secret_free(struct wfl_secret *s)
{
    if (s->data != NULL) sodium_free(s->data);
    *s = (struct wfl_secret){0};
}
