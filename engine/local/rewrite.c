/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing is rewritten yet: room of dropped blobs stays taken. */
#include "engine/local/local_private.h"

wfl_code wfl_rewriter_start(struct local *l, wfl_error *err)
{
    (void)l, (void)err;
    return WFL_OK;
}

void wfl_rewriter_stop(struct local *l)
{
    (void)l;
}

void wfl_rewriter_wake(struct local *l)
{
    (void)l;
}

void wfl_rewriter_pause(struct local *l)
{
    (void)l;
}

void wfl_rewriter_resume(struct local *l)
{
    (void)l;
}
