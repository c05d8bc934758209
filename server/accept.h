/* SPDX-License-Identifier: Apache-2.0
 *
 * Content negotiation: which of the types that a resource has its client wants (RFC 9110, section
 * 12.5.1), and what it has sent.
 *
 * Answers carry no Vary: all that are negotiated need a credential, and no cache may keep the
 * answer to a request with one (RFC 9111, section 3.5). */
#ifndef WFL_SERVER_ACCEPT_H
#define WFL_SERVER_ACCEPT_H

#include "net/net.h"

#define ACCEPT_TYPES_MAX 8

/* The index of the type with the greatest weight. The first is the default: ranges (application/
 * and all) stand for it alone, the others have to be named. Of equal weights a named one comes
 * before a range, then the one that is named first. Where nothing is acceptable it is the default:
 * an answer that was not asked for says more than none. */
size_t accept_choose(const struct wfl_request *head, const wfl_slice *types, size_t count);
/* Is this the media type of Content-Type? Parameters do not matter. */
bool accept_sent(const struct wfl_request *head, wfl_slice type);

#endif
