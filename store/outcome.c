/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of a write's nonce, big-endian:
 *
 *   8  when it expires, Unix ms: the engine drops it from then on
 *   1  the form of what follows, 1
 *  32  hash of the operation
 *   1  fields that are there, as below
 *   1 and text  refusals: the code's name, whose number may change between releases
 *   1 and text  refusals: the detail
 *  16  the version;  8 and 32  size and BLAKE3;  and what is left is the operation's own
 *
 * Of most writes it is 59 to 99 bytes. A row that reads otherwise was written by another release or
 * is damaged; both are told, for a guess could execute a write twice. */
#include "store/internal.h"

#define FORM        1
#define TEXT_MAX    255
#define HAS_CREATED 1
#define HAS_REFUSAL 2
#define HAS_VERSION 4
#define HAS_CONTENT 8
#define HAS_ALL     15

/* ---- writing; every field has room */

static uint8_t *write_u64(uint8_t *at, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(n >> (56 - 8 * i));
    return at + 8;
}

static uint8_t *write_bytes(uint8_t *at, const void *bytes, size_t n)
{
    if (n > 0) memcpy(at, bytes, n);
    return at + n;
}

static uint8_t *write_text(uint8_t *at, wfl_slice text, size_t max)
{
    size_t len = text.len < max ? text.len : max;

    *at++ = (uint8_t)len;
    return write_bytes(at, text.data, len);
}

static uint8_t fields_of(const struct once_row *row)
{
    static const wfl_hash none = {{0}};

    return (uint8_t)((row->outcome.created ? HAS_CREATED : 0) |
                     (row->code != WFL_OK ? HAS_REFUSAL : 0) |
                     (wfl_ulid_is_zero(&row->outcome.version) ? 0 : HAS_VERSION) |
                     (memcmp(&row->outcome.blake3, &none, sizeof none) == 0 ? 0 : HAS_CONTENT));
}

size_t wfl_once_row_write(const struct once_row *row, uint8_t *out)
{
    uint8_t  fields = fields_of(row);
    uint8_t *at = write_u64(out, row->expires_ms);

    *at++ = FORM;
    at = write_bytes(at, row->operation, sizeof row->operation);
    *at++ = fields;
    if (fields & HAS_REFUSAL) {
        at = write_text(at, wfl_slice_str(wfl_code_name(row->code)), 64);
        at = write_text(at, row->message, TEXT_MAX);
    }
    if (fields & HAS_VERSION) at = write_bytes(at, row->outcome.version.bytes, 16);
    if (fields & HAS_CONTENT) {
        at = write_u64(at, row->outcome.size);
        at = write_bytes(at, row->outcome.blake3.bytes, WFL_HASH_LEN);
    }
    return (size_t)(at - out);
}

/* ---- reading */

static bool take_u64(wfl_slice *in, uint64_t *out)
{
    wfl_slice bytes;

    if (!wfl_slice_take(in, 8, &bytes)) return false;
    *out = 0;
    for (int i = 0; i < 8; i++)
        *out = *out << 8 | bytes.data[i];
    return true;
}

static bool take_into(wfl_slice *in, void *out, size_t n)
{
    wfl_slice bytes;

    if (!wfl_slice_take(in, n, &bytes)) return false;
    memcpy(out, bytes.data, n);
    return true;
}

static bool take_text(wfl_slice *in, wfl_slice *out)
{
    uint8_t len;

    return take_into(in, &len, 1) && wfl_slice_take(in, len, out);
}

static bool take_refusal(wfl_slice *in, struct once_row *out)
{
    wfl_slice name;

    if (!take_text(in, &name) || !take_text(in, &out->message)) return false;
    out->code = wfl_code_of_name(name);
    return wfl_once_remembers(out->code);
}

static bool take_content(wfl_slice *in, struct wfl_outcome *out)
{
    return take_u64(in, &out->size) && take_into(in, out->blake3.bytes, WFL_HASH_LEN);
}

const char *wfl_once_row_read(wfl_slice value, struct once_row *out)
{
    uint8_t form = 0, fields = 0;

    *out = (struct once_row){.code = WFL_OK};
    if (!take_u64(&value, &out->expires_ms) || !take_into(&value, &form, 1)) return "it is cut off";
    if (form != FORM) return "another release wrote it";
    if (!take_into(&value, out->operation, sizeof out->operation) || !take_into(&value, &fields, 1))
        return "it is cut off";
    if ((fields & ~HAS_ALL) != 0) return "another release wrote it";
    out->outcome.created = (fields & HAS_CREATED) != 0;
    if ((fields & HAS_REFUSAL) && !take_refusal(&value, out)) return "its refusal is none";
    if ((fields & HAS_VERSION) && !take_into(&value, out->outcome.version.bytes, 16))
        return "it is cut off";
    if ((fields & HAS_CONTENT) && !take_content(&value, &out->outcome)) return "it is cut off";
    if (value.len > WFL_ONCE_REST_MAX) return "it is too long";
    out->outcome.rest = value;
    return NULL;
}
