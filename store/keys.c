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

wfl_slice wfl_key_gone(wfl_slice name, uint8_t out[WFL_GONE_KEY_MAX])
{
    memcpy(out, WFL_GONE_PREFIX, sizeof WFL_GONE_PREFIX - 1);
    memcpy(out + sizeof WFL_GONE_PREFIX - 1, name.data, name.len);
    return wfl_slice_of(out, sizeof WFL_GONE_PREFIX - 1 + name.len);
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

wfl_slice wfl_key_history(uint32_t id, wfl_slice key, const wfl_ulid *version,
                          uint8_t out[WFL_HISTORY_KEY_MAX])
{
    size_t len = wfl_key_object(id, key, out).len;

    out[len++] = 0; /* no key has one: a key's versions lie together, before those of longer keys */
    if (version == NULL) return wfl_slice_of(out, len);
    for (size_t i = 0; i < sizeof version->bytes; i++)
        out[len++] = (uint8_t)~version->bytes[i];
    return wfl_slice_of(out, len);
}

bool wfl_key_read_history(wfl_slice engine_key, wfl_slice *key, wfl_ulid *version)
{
    const size_t   tail = 1 + sizeof version->bytes;
    const uint8_t *at;

    if (engine_key.len <= WFL_ID_LEN + tail) return false;
    *key = wfl_slice_of(engine_key.data + WFL_ID_LEN, engine_key.len - WFL_ID_LEN - tail);
    at = engine_key.data + engine_key.len - tail;
    if (*at++ != 0) return false;
    for (size_t i = 0; i < sizeof version->bytes; i++)
        version->bytes[i] = (uint8_t)~at[i];
    return true;
}

static size_t append(uint8_t *out, size_t len, wfl_slice bytes)
{
    if (bytes.len > 0) memcpy(out + len, bytes.data, bytes.len);
    return len + bytes.len;
}

wfl_slice wfl_key_tag(uint32_t id, wfl_slice name, wfl_slice value, wfl_slice key,
                      uint8_t out[WFL_TAG_KEY_MAX])
{
    size_t len = WFL_ID_LEN;

    assert(name.len <= 64 && value.len <= 256 && key.len <= WFL_KEY_MAX);
    put_u32(id, out);
    len = append(out, len, name);
    out[len++] = 0;
    len = append(out, len, value);
    out[len++] = 0;
    len = append(out, len, key);
    return wfl_slice_of(out, len);
}

wfl_slice wfl_key_change(uint32_t id, const wfl_ulid *version, uint8_t out[WFL_CHANGE_KEY_LEN])
{
    return wfl_key_value(id, version, out);
}

wfl_slice wfl_key_due(uint64_t due_ms, uint8_t kind, uint32_t id, wfl_slice key,
                      uint8_t out[WFL_DUE_KEY_MAX])
{
    put_u32((uint32_t)(due_ms >> 32), out);
    put_u32((uint32_t)due_ms, out + 4);
    out[8] = kind;
    put_u32(id, out + 9);
    return wfl_slice_of(out, append(out, 13, key));
}

bool wfl_key_read_due(wfl_slice engine_key, uint64_t *due_ms, uint8_t *kind, uint32_t *id,
                      wfl_slice *key)
{
    uint32_t high, low;

    if (engine_key.len < 13) return false;
    if (!wfl_key_read_bucket(wfl_slice_of(engine_key.data, 4), &high) ||
        !wfl_key_read_bucket(wfl_slice_of(engine_key.data + 4, 4), &low) ||
        !wfl_key_read_bucket(wfl_slice_of(engine_key.data + 9, 4), id))
        return false;
    *due_ms = (uint64_t)high << 32 | low;
    *kind = engine_key.data[8];
    *key = wfl_slice_of(engine_key.data + 13, engine_key.len - 13);
    return true;
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
