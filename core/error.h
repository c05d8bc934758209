/* SPDX-License-Identifier: Apache-2.0
 *
 * Every code that the protocol knows (docs/protocol.md, Errors) with its status and title, and the
 * few that never leave the process. One table: the enum, the wire names and the statuses cannot
 * drift apart. */
#ifndef WFL_CORE_ERROR_H
#define WFL_CORE_ERROR_H

#include "core/slice.h"

/* code, HTTP status, wire name, title */
#define WFL_CODES(X)                                                                               \
    X(OK, 200, "ok", "OK")                                                                         \
    X(PENDING, 500, "internal", "Internal error")  /* never leaves: the answer comes later */      \
    X(NOMEM, 503, "overloaded", "Try again later") /* an allocation was refused */                 \
    X(IO, 500, "internal", "Internal error")       /* a system or engine call failed */            \
    X(CLOSED, 503, "not_ready", "Not ready")       /* the engine is shutting down */               \
    X(INVALID_REQUEST, 400, "invalid_request", "Malformed request")                                \
    X(INVALID_BUCKET, 400, "invalid_bucket", "Not a bucket name")                                  \
    X(INVALID_KEY, 400, "invalid_key", "Not a key")                                                \
    X(RESERVED_KEY, 400, "reserved_key", "Reserved key")                                           \
    X(INVALID_QUERY, 400, "invalid_query", "Query parameter not accepted")                         \
    X(INVALID_HEADER, 400, "invalid_header", "Header not accepted")                                \
    X(DUPLICATE_HEADER, 400, "duplicate_header", "Header sent twice")                              \
    X(INVALID_JSON, 400, "invalid_json", "Body is not the JSON expected")                          \
    X(INVALID_SETTING, 400, "invalid_setting", "Setting not accepted")                             \
    X(INVALID_VERSION, 400, "invalid_version", "Not a version")                                    \
    X(INVALID_BATCH, 400, "invalid_batch", "Batch not accepted")                                   \
    X(CONTENT_MISMATCH, 400, "content_mismatch", "Content differs from its declared hash")         \
    X(INCOMPLETE_BODY, 400, "incomplete_body", "Body ended early")                                 \
    X(INVALID_PART, 400, "invalid_part", "Part not accepted")                                      \
    X(CREDENTIAL_MISSING, 401, "credential_missing", "No credential")                              \
    X(PACKET_MALFORMED, 401, "packet_malformed", "Malformed key packet")                           \
    X(PACKET_UNTRUSTED, 401, "packet_untrusted", "Key packet not issued by a trusted key")         \
    X(PACKET_SIGNATURE, 401, "packet_signature", "Key packet signature does not verify")           \
    X(PACKET_EXPIRED, 401, "packet_expired", "Key packet expired")                                 \
    X(PACKET_NOT_YET_VALID, 401, "packet_not_yet_valid", "Key packet not yet valid")               \
    X(PACKET_ESCALATION, 401, "packet_escalation", "Key packet grants more than its issuer has")   \
    X(PACKET_REVOKED, 401, "packet_revoked", "Key packet revoked")                                 \
    X(PACKET_AUDIENCE, 401, "packet_audience", "Key packet is for another server")                 \
    X(SIGNATURE_MALFORMED, 401, "signature_malformed", "Malformed signature")                      \
    X(SIGNATURE_INVALID, 401, "signature_invalid", "Signature does not verify")                    \
    X(TIMESTAMP_MALFORMED, 401, "timestamp_malformed", "Malformed timestamp")                      \
    X(TIMESTAMP_SKEW, 401, "timestamp_skew", "Timestamp outside the accepted window")              \
    X(NONCE_MALFORMED, 401, "nonce_malformed", "Malformed nonce")                                  \
    X(REPLAYED, 401, "replayed", "Nonce seen before")                                              \
    X(SESSION_UNKNOWN, 401, "session_unknown", "Unknown session")                                  \
    X(FORBIDDEN, 403, "forbidden", "Not permitted")                                                \
    X(BUCKET_NOT_FOUND, 404, "bucket_not_found", "No such bucket")                                 \
    X(KEY_NOT_FOUND, 404, "key_not_found", "No such key")                                          \
    X(VERSION_NOT_FOUND, 404, "version_not_found", "No such version")                              \
    X(UPLOAD_NOT_FOUND, 404, "upload_not_found", "No such upload")                                 \
    X(NOT_FOUND, 404, "not_found", "Nothing here")                                                 \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "Method not allowed")                         \
    X(REQUEST_TIMEOUT, 408, "request_timeout", "Request took too long")                            \
    X(HEADER_TOO_LARGE, 431, "header_too_large", "Request header too large")                       \
    X(BUCKET_EXISTS, 409, "bucket_exists", "Bucket exists")                                        \
    X(BUCKET_NOT_EMPTY, 409, "bucket_not_empty", "Bucket not empty")                               \
    X(NONCE_REUSED, 409, "nonce_reused", "Nonce used for another operation")                       \
    X(CURSOR_EXPIRED, 410, "cursor_expired", "Position no longer kept")                            \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "Precondition failed")                      \
    X(RANGE_NOT_SATISFIABLE, 416, "range_not_satisfiable", "Range not satisfiable")                \
    X(OBJECT_TOO_LARGE, 413, "object_too_large", "Object too large")                               \
    X(BATCH_TOO_LARGE, 413, "batch_too_large", "Batch too large")                                  \
    X(RATE_LIMITED, 429, "rate_limited", "Too many requests")                                      \
    X(INTERNAL, 500, "internal", "Internal error")                                                 \
    X(CORRUPT_OBJECT, 500, "corrupt_object", "Stored bytes fail their hash")                       \
    X(OVERLOADED, 503, "overloaded", "Try again later")                                            \
    X(NOT_READY, 503, "not_ready", "Not ready")                                                    \
    X(READ_ONLY, 503, "read_only", "Store is read-only")                                           \
    X(QUOTA_EXCEEDED, 507, "quota_exceeded", "Quota exceeded")                                     \
    X(DISK_FULL, 507, "disk_full", "Disk full")

#define WFL_CODE_ENUM(name, http, wire, title) WFL_##name,
typedef enum wfl_code { WFL_CODES(WFL_CODE_ENUM) WFL_CODE_COUNT } wfl_code;
#undef WFL_CODE_ENUM

/* On the caller's stack: works when memory is gone. Below status 500 the message is the answer's
 * `detail` and speaks to the client; from 500 on it is for our log alone. It never holds a
 * credential or key material. */
typedef struct wfl_error {
    wfl_code code;
    char     message[256];
} wfl_error;

int         wfl_code_http(wfl_code code);  /* 100..599 */
const char *wfl_code_name(wfl_code code);  /* as on the wire: "key_not_found" */
const char *wfl_code_title(wfl_code code); /* "No such key" */
/* The first code that has this name on the wire; WFL_CODE_COUNT: none has. */
wfl_code wfl_code_of_name(wfl_slice name);

/* Set code and text; returns `code`, so that `return wfl_fail(...)` reads well. Control characters
 * and bytes above 0x7E in the text become '?': a message may quote hostile input. */
WFL_PRINTF(3, 4) wfl_code wfl_fail(wfl_error *err, wfl_code code, const char *format, ...);
#ifdef __clang_analyzer__ /* which sees one file and must know that a failure is never WFL_OK */
#define wfl_fail(err, code, ...) ((void)wfl_fail(err, code, __VA_ARGS__), (code))
#endif

/* WFL_IO (WFL_DISK_FULL for ENOSPC and EDQUOT, WFL_NOMEM for ENOMEM) with "step: strerror(errno)".
 */
wfl_code wfl_fail_errno(wfl_error *err, const char *step);

/* Prefix the caller's step: "step: message". Returns err->code. */
WFL_PRINTF(2, 3) wfl_code wfl_wrap(wfl_error *err, const char *format, ...);

#endif
