/* SPDX-License-Identifier: Apache-2.0
 *
 * What create and patch of a bucket have answered, as it is remembered: objects, bytes (8 each,
 * big-endian), then the settings as JSON, which a later release reads too. */
#include "store/internal.h"

#define COUNTS_LEN         16
#define SETTINGS_BYTES_MAX 4096

wfl_code wfl_bucket_keep(struct wfl_bucket_op *op, struct wfl_txn *t, wfl_error *err)
{
    uint64_t           counts[2] = {op->info.objects, op->info.bytes};
    struct wfl_outcome outcome = {.version = op->info.version};
    wfl_buf            text;
    wfl_json           json;
    uint8_t           *rest = NULL;
    wfl_code           rc;

    if (op->once == NULL) return WFL_OK;
    wfl_buf_init(&text, op->own.store->alloc, SETTINGS_BYTES_MAX);
    wfl_json_init(&json, &text);
    wfl_settings_write(&op->info.settings, &json);
    if (wfl_buf_ok(&text)) rest = wfl_once_room(op->own.store, op->once, COUNTS_LEN + text.len);
    if (rest != NULL) {
        for (size_t i = 0; i < COUNTS_LEN; i++)
            rest[i] = (uint8_t)(counts[i / 8] >> (56 - 8 * (i % 8)));
        memcpy(rest + COUNTS_LEN, text.data, text.len);
        outcome.rest = wfl_slice_of(rest, COUNTS_LEN + text.len);
    }
    wfl_buf_fini(&text);
    rc = rest == NULL ? wfl_fail(err, WFL_NOMEM, "no memory for an outcome")
                      : wfl_once_keep(op->once, t, &outcome, err);
    return rc;
}

wfl_code wfl_bucket_take_outcome(struct wfl_bucket_op *op)
{
    wfl_slice rest = op->once->outcome.rest, counts;
    uint64_t  n[2] = {0};

    op->info = (struct wfl_bucket_info){.name = op->name, .version = op->once->outcome.version};
    op->version = op->info.version;
    if (rest.len == 0) return WFL_OK; /* of a deletion */
    if (!wfl_slice_take(&rest, COUNTS_LEN, &counts) ||
        wfl_settings_parse(rest, &op->info.settings, &op->err) != WFL_OK)
        return wfl_fail(&op->err, WFL_CORRUPT_OBJECT, "the outcome of a bucket's change");
    for (size_t i = 0; i < COUNTS_LEN; i++)
        n[i / 8] = n[i / 8] << 8 | counts.data[i];
    op->info.objects = n[0];
    op->info.bytes = n[1];
    return WFL_OK;
}
