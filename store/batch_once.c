/* SPDX-License-Identifier: Apache-2.0
 *
 * The outcome of a batch as it is remembered: of one that was done the versions of its ops, 16
 * bytes each; of one that was refused the indices of the ops at fault, 2 bytes each, big-endian. */
#include "store/batch.h"

#define VERSION_LEN sizeof(wfl_ulid)
#define INDEX_LEN   2

_Static_assert(WFL_BATCH_OPS_MAX *VERSION_LEN <= WFL_ONCE_REST_MAX, "an outcome has room for it");

wfl_code wfl_batch_keep(struct batch_run *run, struct wfl_txn *t, wfl_error *err)
{
    struct wfl_once   *once = run->batch->once;
    struct wfl_outcome outcome = {0};
    size_t             len = run->batch->count * VERSION_LEN;
    uint8_t           *room;

    if (once == NULL) return WFL_OK;
    room = wfl_once_room(run->store, once, len);
    if (room == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the outcome of a batch");
    for (uint32_t i = 0; i < run->batch->count; i++)
        memcpy(room + i * VERSION_LEN, run->steps[i].version.bytes, VERSION_LEN);
    outcome.rest = wfl_slice_of(room, len);
    return wfl_once_keep(once, t, &outcome, err);
}

wfl_code wfl_batch_note(struct batch_run *run, wfl_error *err)
{
    const struct wfl_batch *batch = run->batch;
    size_t                  len = batch->failed_count * (size_t)INDEX_LEN;
    uint8_t                *room;

    if (batch->once == NULL) return err->code;
    batch->once->outcome = (struct wfl_outcome){0};
    if (len == 0) return err->code;
    room = wfl_once_room(run->store, batch->once, len);
    if (room == NULL) return wfl_fail(err, WFL_NOMEM, "no memory for the outcome of a batch");
    for (uint32_t i = 0; i < batch->failed_count; i++) {
        room[(size_t)INDEX_LEN * i] = (uint8_t)(batch->failed[i] >> 8);
        room[(size_t)INDEX_LEN * i + 1] = (uint8_t)batch->failed[i];
    }
    batch->once->outcome.rest = wfl_slice_of(room, len);
    return err->code;
}

static void take_failed(struct wfl_batch *batch, wfl_slice rest)
{
    batch->failed_count = 0;
    for (size_t i = 0; i + 1 < rest.len && batch->failed_count < batch->count; i += INDEX_LEN) {
        uint32_t index = (uint32_t)rest.data[i] << 8 | rest.data[i + 1];

        if (index < batch->count) batch->failed[batch->failed_count++] = index;
    }
}

wfl_code wfl_batch_take_outcome(struct wfl_batch *batch, wfl_code rc, wfl_error *err)
{
    wfl_slice rest = batch->once->outcome.rest;

    if (rc != WFL_OK) {
        take_failed(batch, rest);
        return rc;
    }
    /* Ops of another number are not the same batch, whatever their hash was said to be. */
    if (rest.len != batch->count * VERSION_LEN) {
        batch->once->replayed = false;
        return wfl_fail(err, WFL_NONCE_REUSED, "this nonce was used for another batch");
    }
    for (uint32_t i = 0; i < batch->count; i++)
        memcpy(batch->ops[i].version.bytes, rest.data + i * VERSION_LEN, VERSION_LEN);
    return rc;
}
