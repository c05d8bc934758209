/* SPDX-License-Identifier: Apache-2.0
 *
 * The audit log: a JSON line for each request that was refused (401, 403, 429, a nonce used again)
 * and for each administrative one. Who, what, what was decided, and under which id the caller knows
 * it; never a credential, and nothing that could be taken for a line of its own.
 *
 * Refusals are as many as an attacker likes: of strangers' no more than AUDIT_STRANGERS a second
 * are written, of clients' AUDIT_CLIENTS; the rest is counted, and the count is a line of the next
 * second in which anything ends. Administrative requests always have theirs. */
#ifndef WFL_SERVER_AUDIT_H
#define WFL_SERVER_AUDIT_H

#include "server/log.h"

#define AUDIT_STRANGERS 20
#define AUDIT_CLIENTS   200

struct audit;
struct request;

/* `where`: "stderr" or NULL (lines of `log`), "off", or a file to append to, made with mode 0600.
 * IO: it cannot be opened. */
WFL_MUST_USE wfl_code audit_new(const char *where, struct wfl_log *log, struct audit **out,
                                wfl_error *err);
void                  audit_free(struct audit *a); /* NULL is accepted */
/* Open the file anew, which somebody has moved away. One that cannot be is told in the server's
 * log, and the one that is open goes on. */
void audit_reopen(struct audit *a);
/* At the end of a request, once. */
void audit_request(struct audit *a, const struct request *r);

#endif
