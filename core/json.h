/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes JSON (RFC 8259) into a buffer. Commas are placed by the writer; nesting is the caller's:
 * a misuse (value without key in an object, unbalanced end) is an assertion. */
#ifndef WFL_CORE_JSON_H
#define WFL_CORE_JSON_H

#include "core/alloc.h"

#define WFL_JSON_DEPTH_MAX 32

typedef struct wfl_json {
    wfl_buf *out;
    unsigned depth;
    uint32_t objects; /* bit d: level d is an object */
    uint32_t filled;  /* bit d: level d has a member already */
    bool     keyed;   /* a key was written, its value is due */
} wfl_json;

void wfl_json_init(wfl_json *j, wfl_buf *out);
void wfl_json_object(wfl_json *j);
void wfl_json_array(wfl_json *j);
void wfl_json_end(wfl_json *j);                  /* of the innermost object or array */
void wfl_json_key(wfl_json *j, const char *key); /* a literal of ours */
void wfl_json_key_slice(wfl_json *j, wfl_slice key);
/* Escapes what JSON requires. Bytes that are not UTF-8 become U+FFFD. */
void wfl_json_str(wfl_json *j, wfl_slice value);
void wfl_json_cstr(wfl_json *j, const char *value);
void wfl_json_u64(wfl_json *j, uint64_t value);
void wfl_json_i64(wfl_json *j, int64_t value);
void wfl_json_bool(wfl_json *j, bool value);
void wfl_json_null(wfl_json *j);

#endif
