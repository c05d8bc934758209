/* SPDX-License-Identifier: Apache-2.0
 *
 * Whom a handle takes for its server over https. Certificates are always verified, chain, name and
 * dates, against the system's authorities or those in a file; a pin, the hash of the public key in
 * the certificate, is asked for besides. There is no way to leave any of it out. */
#ifndef WFL_CLIENT_TRUST_H
#define WFL_CLIENT_TRUST_H

#include "auth/auth.h"

#include <curl/curl.h>

struct trust { /* zero value: https is not spoken */
    bool  https;
    char *ca;                      /* path; NULL: the system's */
    char *pin;                     /* NULL: none */
    char  detail[CURL_ERROR_SIZE]; /* of the last failure, by curl */
};

/* For `endpoint`. What is given (NULL or empty: nothing) holds over what is stored.
 * INVALID_REQUEST: a pin that is none, or with an endpoint in clear, a file that cannot be read;
 * NOMEM. */
WFL_MUST_USE wfl_code trust_init(struct trust *t, const char *endpoint, const char *ca,
                                 const char *pin, const struct wfl_key_server *stored,
                                 wfl_error *err);
void                  trust_fini(struct trust *t);
/* `to` gets strings of its own. */
WFL_MUST_USE bool trust_copy(struct trust *to, const struct trust *from);
/* Options for a request; `detail` must stay where it is until it is done. */
void trust_apply(struct trust *t, CURL *curl);
/* Why a request failed, in words, into out[0..cap); the code of the error that a caller sees:
 * "certificate" where trying again cannot help. */
const char *trust_explain(const struct trust *t, CURLcode code, const char *endpoint, char *out,
                          size_t cap);

#endif
