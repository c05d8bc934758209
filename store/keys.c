/* SPDX-License-Identifier: Apache-2.0
 *
 * How keys are laid out in the engine's spaces. Ids and versions are big-endian, so that the
 * engine's byte order is theirs. Pure functions; nothing fails but a key that is no bucket's. */
#include <assert.h>

#include "store/internal.h"

static void put_id(uint32_t id, uint8_t out[WFL_ID_LEN])
{
    for (int i = 0; i < WFL_ID_LEN; i++)
        out[i] = (uint8_t)(id >> (24 - 8 * i));
}

wfl_slice wfl_key_bucket(uint32_t id, uint8_t out[WFL_ID_LEN])
{
    put_id(id, out);
    return wfl_slice_of(out, WFL_ID_LEN);
}

wfl_slice wfl_key_object(uint32_t id, wfl_slice key, uint8_t out[WFL_OBJECT_KEY_MAX])
{
    assert(key.len <= WFL_KEY_MAX);
    put_id(id, out);
    if (key.len > 0) memcpy(out + WFL_ID_LEN, key.data, key.len);
    return wfl_slice_of(out, WFL_ID_LEN + key.len);
}

wfl_slice wfl_key_value(uint32_t id, const wfl_ulid *version, uint8_t out[WFL_VALUE_KEY_LEN])
{
    put_id(id, out);
    memcpy(out + WFL_ID_LEN, version->bytes, sizeof version->bytes);
    return wfl_slice_of(out, WFL_VALUE_KEY_LEN);
}

wfl_slice wfl_key_counters(uint32_t id, uint8_t out[WFL_COUNTERS_KEY_LEN])
{
    memcpy(out, WFL_COUNTERS_PREFIX, sizeof WFL_COUNTERS_PREFIX - 1);
    put_id(id, out + sizeof WFL_COUNTERS_PREFIX - 1);
    return wfl_slice_of(out, WFL_COUNTERS_KEY_LEN);
}

wfl_slice wfl_key_of_object(wfl_slice engine_key)
{
    assert(engine_key.len > WFL_ID_LEN);
    return wfl_slice_of(engine_key.data + WFL_ID_LEN, engine_key.len - WFL_ID_LEN);
}

bool wfl_key_read_bucket(wfl_slice key, uint32_t *id)
{
    if (key.len != WFL_ID_LEN) return false;
    *id = (uint32_t)key.data[0] << 24 | (uint32_t)key.data[1] << 16 | (uint32_t)key.data[2] << 8 |
          key.data[3];
    return true;
}

size_t wfl_key_after_prefix(uint8_t *key, size_t len)
{
    while (len > 0 && key[len - 1] == 0xFF)
        len--;
    if (len > 0) key[len - 1]++;
    return len;
}
