/* SPDX-License-Identifier: Apache-2.0
 *
 * Blobs, in every engine: their way from a write to a drop, and what of it outlives what. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- writing and reading back */

void a_kept_blob_is_read_until_it_is_dropped(void **state)
{
    static const uint32_t lens[] = {1,    100,   3967,    3968,    3969,
                                    4096, 65536, 1000000, 1048575, 1048576};
    struct bench         *b = *state;

    for (size_t i = 0; i < WFL_COUNT(lens); i++) {
        char name[32];

        snprintf(name, sizeof name, "blob of %u", lens[i]);
        assert_int_equal(bench_blob_put(b, wfl_slice_str(name), lens[i]), WFL_OK);
        bench_assert_blob(b, wfl_slice_str(name), lens[i]);
    }
    bench_reopen(b);
    for (size_t i = 0; i < WFL_COUNT(lens); i++) {
        char name[32];

        snprintf(name, sizeof name, "blob of %u", lens[i]);
        bench_assert_blob(b, wfl_slice_str(name), lens[i]);
        assert_int_equal(bench_blob_drop(b, wfl_slice_str(name)), WFL_OK);
        bench_assert_no_blob(b, wfl_slice_str(name));
        assert_int_equal(bench_blob_drop(b, wfl_slice_str(name)), WFL_NOT_FOUND);
    }
    bench_assert_counts(b, 0);
    bench_reopen(b);
    bench_assert_no_blob(b, WFL_S("blob of 1"));
    bench_assert_counts(b, 0);
}

void names_have_any_bytes_and_lengths(void **state)
{
    struct bench *b = *state;
    uint8_t       bytes[WFL_BLOB_NAME_MAX];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 % 5 == 0 ? 0 : 255 - i);
    for (size_t len = 1; len <= sizeof bytes; len++)
        assert_int_equal(bench_blob_put(b, wfl_slice_of(bytes, len), (uint32_t)len), WFL_OK);
    bench_reopen(b);
    for (size_t len = 1; len <= sizeof bytes; len++)
        bench_assert_blob(b, wfl_slice_of(bytes, len), (uint32_t)len);
    bench_assert_counts(b, 0);
}
