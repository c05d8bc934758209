/* SPDX-License-Identifier: Apache-2.0
 *
 * BLAKE3 behind our own type, so that no other file sees its header. Cannot fail. */
#include "core/hash.h"

#include <blake3.h>

_Static_assert(sizeof(blake3_hasher) <= sizeof(((struct wfl_hasher *)0)->state),
               "state is too small");

static blake3_hasher *inner(struct wfl_hasher *h)
{
    return (blake3_hasher *)(void *)h->state;
}

/* BLAKE3 asks the processor at its first hash and remembers the answer in a plain global: before
 * there are threads, so that nobody races for it. */
__attribute__((constructor)) static void ask_the_processor(void)
{
    (void)wfl_hash_of((wfl_slice){0});
}

void wfl_hasher_init(struct wfl_hasher *h)
{
    blake3_hasher_init(inner(h));
}

void wfl_hasher_add(struct wfl_hasher *h, wfl_slice bytes)
{
    if (bytes.len > 0) blake3_hasher_update(inner(h), bytes.data, bytes.len);
}

wfl_hash wfl_hasher_result(const struct wfl_hasher *h)
{
    wfl_hash out;

    blake3_hasher_finalize((const blake3_hasher *)(const void *)h->state, out.bytes,
                           sizeof out.bytes);
    return out;
}

wfl_hash wfl_hash_of(wfl_slice bytes)
{
    struct wfl_hasher h;

    wfl_hasher_init(&h);
    wfl_hasher_add(&h, bytes);
    return wfl_hasher_result(&h);
}

/* BLAKE3 asks the processor for its features at the first hash and remembers the answer in a plain
 * variable: here, before there are threads that could do it at the same time. */
__attribute__((constructor)) static void ask_processor(void)
{
    wfl_hash_of((wfl_slice){0});
}
