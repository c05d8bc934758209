/* SPDX-License-Identifier: Apache-2.0
 *
 * The other encoding of the wire, FlatBuffers (protocol, Encodings): answers in it, and requests'
 * bodies from it. What a route has to say it says as rows of the store's; here they become what
 * schema/wire.h takes. */
#ifndef WFL_SERVER_WIRE_H
#define WFL_SERVER_WIRE_H

#include "server/batch_json.h"
#include "server/listing.h"
#include "server/server.h"

#define WIRE_TYPE "application/vnd.wfldb+flatbuffers"

/* Does the client want its answer so? JSON else. */
bool wire_wanted(const struct request *r);
/* Has it sent its body so? */
bool wire_sent(const struct request *r);

/* ---- answers, with status 200 or the one given */

void wire_answer_buckets(struct request *r, const wfl_slice *names, uint32_t count);
void wire_answer_bucket(struct request *r, int status, const struct wfl_bucket_info *info);
void wire_answer_versions(struct request *r, const struct wfl_version *versions, uint32_t count);
void wire_answer_uploads(struct request *r, const struct wfl_upload_info *uploads, uint32_t count);
void wire_answer_parts(struct request *r, const struct wfl_part *parts, uint32_t count);
void wire_answer_results(struct request *r, const struct wfl_batch *batch);
/* A page of scan or query, for answer_wire. Any thread; begins `out`. */
void wire_write_listing(const struct listing_page *page, wfl_buf *out);

/* A page of changes, the same way. */
void wire_write_changes(const struct wfl_change *changes, uint32_t count, const wfl_ulid *next,
                        wfl_buf *out);

/* ---- bodies */

/* As batch_doc_parse, whose errors it has; and INVALID_REQUEST: no batch, or it fails verification.
 * What was parsed points into the message too. Free with batch_doc_free. */
WFL_MUST_USE wfl_code wire_batch_parse(wfl_slice message, wfl_slice bucket, struct batch_doc *out,
                                       wfl_error *err);
/* The settings of a PUT (or, with `patch`, of a PATCH), as the JSON that says the same, into
 * `arena`. No bytes stay none. INVALID_REQUEST, INVALID_SETTING, NOMEM. */
WFL_MUST_USE wfl_code wire_settings_text(wfl_slice message, bool patch, wfl_arena *arena,
                                         wfl_slice *out, wfl_error *err);

#endif
