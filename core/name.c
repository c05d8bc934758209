/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of names, as the protocol's data model has them. */
#include "core/name.h"
#include "core/text.h"

static bool is_small_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Every character legal in a bucket name, and no "..". */
static bool has_bucket_characters(wfl_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_small_alnum(s.data[i]) && s.data[i] != '.' && s.data[i] != '-') return false;
        if (i > 0 && s.data[i] == '.' && s.data[i - 1] == '.') return false;
    }
    return true;
}

bool wfl_name_bucket_valid(wfl_slice name)
{
    return name.len >= WFL_BUCKET_NAME_MIN && name.len <= WFL_BUCKET_NAME_MAX &&
           is_small_alnum(name.data[0]) && is_small_alnum(name.data[name.len - 1]) &&
           has_bucket_characters(name);
}

bool wfl_name_bucket_pattern_valid(wfl_slice pattern)
{
    if (pattern.len == 0 || pattern.data[pattern.len - 1] != '*')
        return wfl_name_bucket_valid(pattern);
    pattern.len--;
    return pattern.len == 0 || (pattern.len <= WFL_BUCKET_NAME_MAX &&
                                is_small_alnum(pattern.data[0]) && has_bucket_characters(pattern));
}

static bool is_reserved(wfl_slice key)
{
    return wfl_slice_eq(key, WFL_S("scan")) || wfl_slice_eq(key, WFL_S("batch")) ||
           wfl_slice_eq(key, WFL_S("changes")) || wfl_slice_eq(key, WFL_S("query"));
}

wfl_code wfl_name_check_key(wfl_slice key, wfl_error *err)
{
    wfl_slice rest = key, segment;
    bool      more = true;

    if (key.len == 0 || key.len > WFL_KEY_MAX) {
        return wfl_fail(err, WFL_INVALID_KEY, "a key has 1 to %d bytes, this one %zu", WFL_KEY_MAX,
                        key.len);
    }
    if (!wfl_utf8_valid(key)) return wfl_fail(err, WFL_INVALID_KEY, "a key is valid UTF-8");
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] < 0x20 || key.data[i] == 0x7F) {
            return wfl_fail(err, WFL_INVALID_KEY, "a key has no control characters");
        }
    }
    while (more) {
        more = wfl_slice_split(&rest, '/', &segment);
        if (wfl_slice_eq(segment, WFL_S(".")) || wfl_slice_eq(segment, WFL_S(".."))) {
            return wfl_fail(err, WFL_INVALID_KEY, "a key has no segment '.' or '..'");
        }
    }
    if (is_reserved(key)) {
        return wfl_fail(err, WFL_RESERVED_KEY, "the key %.*s is reserved", WFL_FMT(key));
    }
    return WFL_OK;
}

bool wfl_name_meta_valid(wfl_slice name)
{
    if (name.len == 0 || name.len > WFL_META_NAME_MAX || !is_small_alnum(name.data[0]))
        return false;
    for (size_t i = 1; i < name.len; i++) {
        if (!is_small_alnum(name.data[i]) && name.data[i] != '-') return false;
    }
    return true;
}

bool wfl_name_meta_value_valid(wfl_slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < 0x20 || value.data[i] > 0x7E) return false;
    }
    return true;
}
