/* SPDX-License-Identifier: Apache-2.0
 *
 * What the targets share. Each is linked twice: with libFuzzer (./dev fuzz), and with replay.c in
 * every ordinary build. A target's properties are assertions; an input that breaks one is kept in
 * corpus/<target>/ for good. */
#ifndef WFL_TESTS_FUZZ_H
#define WFL_TESTS_FUZZ_H

#include "core/core.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input's next line without its end; the rest where there is no end. */
static inline wfl_slice fuzz_line(wfl_slice *in)
{
    wfl_slice line;

    wfl_slice_split(in, '\n', &line);
    return line;
}

#endif
