/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON writer. Running out of room shows in the buffer; misuse by our own code is an assertion.
 */
#include "core/json.h"
#include "core/text.h"

#include <assert.h>

void wfl_json_init(wfl_json *j, wfl_buf *out)
{
    *j = (wfl_json){.out = out};
}

/* Before each value: the comma that is due, and a check that objects get keys and that a text is
 * one value. */
static void begin_value(wfl_json *j)
{
    uint32_t bit = 1u << j->depth;

    if (j->keyed) {
        j->keyed = false;
        return;
    }
    assert(((j->depth == 0 ? j->filled : j->objects) & bit) == 0);
    if (j->filled & bit) wfl_buf_add_u8(j->out, ',');
    j->filled |= bit;
}

static void open(wfl_json *j, bool object)
{
    uint32_t bit;

    begin_value(j);
    assert(j->depth + 1 < WFL_JSON_DEPTH_MAX);
    j->depth++;
    bit = 1u << j->depth;
    j->filled &= ~bit;
    j->objects = object ? j->objects | bit : j->objects & ~bit;
    wfl_buf_add_u8(j->out, object ? '{' : '[');
}

void wfl_json_object(wfl_json *j)
{
    open(j, true);
}

void wfl_json_array(wfl_json *j)
{
    open(j, false);
}

void wfl_json_end(wfl_json *j)
{
    uint32_t bit = 1u << j->depth;

    assert(j->depth > 0 && !j->keyed);
    wfl_buf_add_u8(j->out, j->objects & bit ? '}' : ']');
    j->depth--;
}

static const char *escape_of(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

static void write_text(wfl_json *j, wfl_slice s)
{
    size_t plain = 0; /* bytes at the front of s that go out as they are */

    wfl_buf_add_u8(j->out, '"');
    while (plain < s.len) {
        uint8_t c = s.data[plain];
        size_t  n = c < 0x80 ? 1 : wfl_utf8_first(wfl_slice_of(s.data + plain, s.len - plain));

        if (n > 0 && c >= 0x20 && c != '"' && c != '\\') {
            plain += n;
            continue;
        }
        wfl_buf_add(j->out, wfl_slice_of(s.data, plain));
        if (n == 0) {
            wfl_buf_add_str(j->out, "\xEF\xBF\xBD");
        } else if (escape_of(c) != NULL) {
            wfl_buf_add_str(j->out, escape_of(c));
        } else {
            wfl_buf_printf(j->out, "\\u%04x", c);
        }
        s.data += plain + 1;
        s.len -= plain + 1;
        plain = 0;
    }
    wfl_buf_add(j->out, s);
    wfl_buf_add_u8(j->out, '"');
}

void wfl_json_key_slice(wfl_json *j, wfl_slice key)
{
    uint32_t bit = 1u << j->depth;

    assert((j->objects & bit) != 0 && !j->keyed);
    if (j->filled & bit) wfl_buf_add_u8(j->out, ',');
    j->filled |= bit;
    write_text(j, key);
    wfl_buf_add_u8(j->out, ':');
    j->keyed = true;
}

void wfl_json_key(wfl_json *j, const char *key)
{
    wfl_json_key_slice(j, wfl_slice_str(key));
}

void wfl_json_str(wfl_json *j, wfl_slice value)
{
    begin_value(j);
    write_text(j, value);
}

void wfl_json_cstr(wfl_json *j, const char *value)
{
    wfl_json_str(j, wfl_slice_str(value));
}

void wfl_json_u64(wfl_json *j, uint64_t value)
{
    begin_value(j);
    wfl_buf_printf(j->out, "%llu", (unsigned long long)value);
}

void wfl_json_i64(wfl_json *j, int64_t value)
{
    begin_value(j);
    wfl_buf_printf(j->out, "%lld", (long long)value);
}

void wfl_json_bool(wfl_json *j, bool value)
{
    begin_value(j);
    wfl_buf_add_str(j->out, value ? "true" : "false");
}

void wfl_json_null(wfl_json *j)
{
    begin_value(j);
    wfl_buf_add_str(j->out, "null");
}
