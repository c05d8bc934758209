/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE3-256, the name of content. Built from the official sources that Debian ships. */
#ifndef WFL_CORE_HASH_H
#define WFL_CORE_HASH_H

#include "core/slice.h"

#define WFL_HASH_LEN 32

typedef struct wfl_hash {
    uint8_t bytes[WFL_HASH_LEN];
} wfl_hash;

struct wfl_hasher { /* opaque: BLAKE3's state, about 1.9 KiB */
    _Alignas(16) uint8_t state[1920];
};

void     wfl_hasher_init(struct wfl_hasher *h);
void     wfl_hasher_add(struct wfl_hasher *h, wfl_slice bytes);
wfl_hash wfl_hasher_result(const struct wfl_hasher *h); /* more may be added afterwards */
wfl_hash wfl_hash_of(wfl_slice bytes);

#endif
