/* SPDX-License-Identifier: Apache-2.0
 *
 * What is remembered of a write, and what its operations make of it: first byte which of them, the
 * rest a row. Reading keeps within the row whatever it is; what is accepted is written and read
 * back the same. */
#include "fuzz.h"

#include "store/batch.h"

static bool same(wfl_slice a, wfl_slice b)
{
    return wfl_slice_eq(a, b);
}

static void check_row(const struct once_row *row)
{
    uint8_t        *copy, head[WFL_ONCE_HEAD_MAX];
    size_t          len = wfl_once_row_write(row, head);
    struct once_row back;

    assert(len <= sizeof head);
    copy = malloc(len + row->outcome.rest.len);
    if (copy == NULL) abort();
    memcpy(copy, head, len);
    if (row->outcome.rest.len > 0)
        memcpy(copy + len, row->outcome.rest.data, row->outcome.rest.len);
    assert(wfl_once_row_read(wfl_slice_of(copy, len + row->outcome.rest.len), &back) == NULL);
    assert(back.expires_ms == row->expires_ms && back.code == row->code);
    assert(memcmp(back.operation, row->operation, sizeof back.operation) == 0);
    assert(same(back.message, row->message) && same(back.outcome.rest, row->outcome.rest));
    assert(wfl_ulid_cmp(&back.outcome.version, &row->outcome.version) == 0);
    assert(back.outcome.created == row->outcome.created);
    assert(memcmp(&back.outcome.blake3, &row->outcome.blake3, sizeof back.outcome.blake3) == 0);
    free(copy);
}

static void check_bucket(struct wfl_once *once)
{
    struct wfl_bucket_op op = {.name = WFL_S("photos"), .once = once};

    if (wfl_bucket_take_outcome(&op) != WFL_OK) assert(op.err.code == WFL_CORRUPT_OBJECT);
}

static void check_batch(struct wfl_once *once, wfl_code code)
{
    struct wfl_batch_op ops[4] = {{.kind = WFL_BATCH_PUT}};
    uint32_t            failed[4];
    struct wfl_batch    batch = {.ops = ops, .count = 4, .failed = failed, .once = once};
    wfl_error           err = {.code = code};
    wfl_code            rc = wfl_batch_take_outcome(&batch, code, &err);

    assert(rc == code || rc == WFL_NONCE_REUSED);
    assert(batch.failed_count <= batch.count);
    for (uint32_t i = 0; i < batch.failed_count; i++)
        assert(batch.failed[i] < batch.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_slice       in = wfl_slice_of(data, size), which;
    struct once_row row;
    struct wfl_once once = {.replayed = true};

    if (!wfl_slice_take(&in, 1, &which)) return 0;
    /* In memory of its own, so that a step beyond is seen. */
    uint8_t *copy = malloc(in.len + 1);
    if (copy == NULL) abort();
    if (in.len > 0) memcpy(copy, in.data, in.len);
    if (wfl_once_row_read(wfl_slice_of(copy, in.len), &row) == NULL) {
        once.outcome = row.outcome;
        if (which.data[0] % 3 == 0) check_row(&row);
        if (which.data[0] % 3 == 1) check_bucket(&once);
        if (which.data[0] % 3 == 2) check_batch(&once, row.code);
    }
    free(copy);
    return 0;
}
