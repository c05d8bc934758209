/* SPDX-License-Identifier: Apache-2.0
 *
 * How keys are laid out in the engine's spaces. Ids and versions are big-endian, so that the
 * engine's byte order is theirs. Pure functions; nothing fails but a key that is no bucket's. */
#include <assert.h>

#include "store/internal.h"

static void put_u32(uint32_t id, uint8_t out[WFL_ID_LEN])
{
    for (int i = 0; i < WFL_ID_LEN; i++)
        out[i] = (uint8_t)(id >> (24 - 8 * i));
}

wfl_slice wfl_key_bucket(uint32_t id, uint8_t out[WFL_ID_LEN])
{
    put_u32(id, out);
    return wfl_slice_of(out, WFL_ID_LEN);
}

wfl_slice wfl_key_object(uint32_t id, wfl_slice key, uint8_t out[WFL_OBJECT_KEY_MAX])
{
    assert(key.len <= WFL_KEY_MAX);
    put_u32(id, out);
    if (key.len > 0) memcpy(out + WFL_ID_LEN, key.data, key.len);
    return wfl_slice_of(out, WFL_ID_LEN + key.len);
}

wfl_slice wfl_key_value(uint32_t id, const wfl_ulid *version, uint8_t out[WFL_VALUE_KEY_LEN])
{
    put_u32(id, out);
    memcpy(out + WFL_ID_LEN, version->bytes, sizeof version->bytes);
    return wfl_slice_of(out, WFL_VALUE_KEY_LEN);
}

wfl_slice wfl_key_counters(uint32_t id, uint8_t out[WFL_COUNTERS_KEY_LEN])
{
    memcpy(out, WFL_COUNTERS_PREFIX, sizeof WFL_COUNTERS_PREFIX - 1);
    put_u32(id, out + sizeof WFL_COUNTERS_PREFIX - 1);
    return wfl_slice_of(out, WFL_COUNTERS_KEY_LEN);
}

wfl_slice wfl_key_chunk(uint32_t id, const wfl_hash *hash, uint8_t out[WFL_CHUNK_KEY_LEN])
{
    put_u32(id, out);
    memcpy(out + WFL_ID_LEN, hash->bytes, WFL_HASH_LEN);
    return wfl_slice_of(out, WFL_CHUNK_KEY_LEN);
}

wfl_slice wfl_key_manifest(uint32_t id, const wfl_ulid *manifest, uint32_t page,
                           uint8_t out[WFL_MANIFEST_KEY_LEN])
{
    put_u32(id, out);
    memcpy(out + WFL_ID_LEN, manifest->bytes, 16);
    put_u32(page, out + WFL_ID_LEN + 16);
    return wfl_slice_of(out, WFL_MANIFEST_KEY_LEN);
}

static wfl_slice tagged(uint8_t tag, uint32_t id, const uint8_t *rest, size_t rest_len,
                        uint8_t out[WFL_UPLOAD_KEY_MAX])
{
    out[0] = tag;
    put_u32(id, out + 1);
    memcpy(out + 1 + WFL_ID_LEN, rest, rest_len);
    return wfl_slice_of(out, 1 + WFL_ID_LEN + rest_len);
}

wfl_slice wfl_key_upload(uint8_t tag, uint32_t id, const wfl_ulid *what,
                         uint8_t out[WFL_UPLOAD_KEY_MAX])
{
    return tagged(tag, id, what->bytes, sizeof what->bytes, out);
}

wfl_slice wfl_key_part(uint32_t id, const wfl_ulid *upload, uint32_t part,
                       uint8_t out[WFL_UPLOAD_KEY_MAX])
{
    wfl_slice key = wfl_key_upload(WFL_UPLOAD_PART, id, upload, out);

    out[key.len] = (uint8_t)(part >> 8);
    out[key.len + 1] = (uint8_t)part;
    return wfl_slice_of(out, key.len + 2);
}

wfl_slice wfl_key_zero(uint32_t id, const wfl_hash *hash, uint8_t out[WFL_UPLOAD_KEY_MAX])
{
    return tagged(WFL_UPLOAD_ZERO, id, hash->bytes, WFL_HASH_LEN, out);
}

bool wfl_key_read_upload(wfl_slice key, uint32_t *id, wfl_slice *rest)
{
    wfl_slice tag, id_key;

    return wfl_slice_take(&key, 1, &tag) && wfl_slice_take(&key, WFL_ID_LEN, &id_key) &&
           wfl_key_read_bucket(id_key, id) && (*rest = key).len >= 16;
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
