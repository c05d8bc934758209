/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be a bucket, a key, a metadata name or value (docs/protocol.md, Data model). */
#ifndef WFL_CORE_NAME_H
#define WFL_CORE_NAME_H

#include "core/error.h"

#define WFL_BUCKET_NAME_MIN 3
#define WFL_BUCKET_NAME_MAX 63
#define WFL_KEY_MAX         1024 /* bytes after percent-decoding */
#define WFL_META_NAME_MAX   64   /* bytes, of metadata and tag names */
#define WFL_META_BYTES_MAX  8192 /* names and values of an object's metadata together */
#define WFL_TAG_VALUE_MAX   256
#define WFL_TAGS_MAX        32

bool wfl_name_bucket_valid(wfl_slice name);
/* A bucket name, a name's beginning followed by '*', or '*'. */
bool wfl_name_bucket_pattern_valid(wfl_slice pattern);
/* WFL_OK, WFL_INVALID_KEY or WFL_RESERVED_KEY (scan, batch, changes, query). `key` is decoded. */
WFL_MUST_USE wfl_code wfl_name_check_key(wfl_slice key, wfl_error *err);
bool                  wfl_name_meta_valid(wfl_slice name);        /* [a-z0-9][a-z0-9-]{0,63} */
bool                  wfl_name_meta_value_valid(wfl_slice value); /* visible ASCII and space */

#endif
