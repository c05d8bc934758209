/* SPDX-License-Identifier: Apache-2.0
 *
 * Text codecs, each strict: what one program writes, exactly one reading exists for. */
#ifndef WFL_CORE_TEXT_H
#define WFL_CORE_TEXT_H

#include "core/alloc.h"

/* ---- hex, lower-case */
void wfl_hex_encode(wfl_slice bytes, char *out); /* 2 x len characters and a NUL */
/* Exactly 2 x `n` lower-case hex digits. */
WFL_MUST_USE bool wfl_hex_decode(wfl_slice text, uint8_t *out, size_t n);

/* ---- base64url without padding (RFC 4648 section 5) */
#define WFL_B64U_LEN(n) (((n) / 3) * 4 + ((n) % 3 == 0 ? 0 : (n) % 3 + 1))
void wfl_b64u_encode(wfl_slice bytes, char *out); /* WFL_B64U_LEN(len) characters and a NUL */
/* Refuses padding, white space, other alphabets, impossible lengths, non-zero trailing bits.
 * `out` takes text.len / 4 * 3 + 2 bytes at the most; *out_len says how many it got. */
WFL_MUST_USE bool wfl_b64u_decode(wfl_slice text, uint8_t *out, size_t cap, size_t *out_len);

/* ---- base64 with padding (RFC 4648 section 4), for JSON bodies */
#define WFL_B64_LEN(n) ((((n) + 2) / 3) * 4)
void wfl_b64_encode(wfl_slice bytes, char *out); /* WFL_B64_LEN(len) characters and a NUL */
WFL_MUST_USE bool wfl_b64_decode(wfl_slice text, uint8_t *out, size_t cap, size_t *out_len);

/* ---- percent-coding (RFC 3986) */
/* Decode once into `out` (text.len bytes are always enough). '+' stays a plus. False: a malformed
 * escape. */
WFL_MUST_USE bool wfl_percent_decode(wfl_slice text, uint8_t *out, size_t *out_len);
/* Everything outside A-Z a-z 0-9 - . _ ~ as %XX, upper-case. */
void wfl_percent_encode(wfl_slice bytes, wfl_buf *out);

/* ---- UTF-8 */
/* Well-formed UTF-8 of RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool wfl_utf8_valid(wfl_slice s);
/* Bytes of the first character (1 to 4), 0 where s is empty or not well-formed there. */
size_t wfl_utf8_first(wfl_slice s);

#endif
