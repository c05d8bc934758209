/* SPDX-License-Identifier: Apache-2.0 */
#include "client/trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define PIN_HASH_CHARS 44 /* base64 of 32 bytes */

/* "sha256//" and a hash, several joined by ';'. curl would take anything else for a file's name. */
static bool is_pin(const char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    wfl_slice rest = wfl_slice_str(text), one;
    bool      more = true;

    while (more) {
        more = wfl_slice_split(&rest, ';', &one);
        if (!wfl_slice_starts_with(one, WFL_S("sha256//")) || one.len != 8 + PIN_HASH_CHARS)
            return false;
        for (size_t i = 8; i < one.len - 1; i++) {
            if (memchr(letters, one.data[i], sizeof letters - 1) == NULL) return false;
        }
        if (one.data[one.len - 1] != '=') return false;
    }
    return true;
}

/* NULL in *out where nothing is said. */
static bool choose(const char *given, wfl_slice stored, char **out)
{
    *out = NULL;
    if (given != NULL && *given != '\0')
        *out = strdup(given);
    else if (stored.len > 0)
        *out = strndup((const char *)stored.data, stored.len);
    else
        return true;
    return *out != NULL;
}

wfl_code trust_init(struct trust *t, const char *endpoint, const char *ca, const char *pin,
                    const struct wfl_key_server *stored, wfl_error *err)
{
    memset(t, 0, sizeof *t);
    t->https = strncasecmp(endpoint, "https:", 6) == 0;
    if (!choose(ca, stored->ca, &t->ca) || !choose(pin, stored->pin, &t->pin))
        return wfl_fail(err, WFL_NOMEM, "out of memory");
    if (t->pin != NULL && !is_pin(t->pin)) {
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "'%.100s' is no pin; the server's log has it when it starts: "
                        "sha256// and 44 characters",
                        t->pin);
    }
    if (t->pin != NULL && !t->https) {
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "a certificate is pinned, and %.100s shows none; use https", endpoint);
    }
    if (t->https && t->ca != NULL && access(t->ca, R_OK) != 0) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "the authorities' certificates in %.150s: %s",
                        t->ca, strerror(errno));
    }
    return WFL_OK;
}

void trust_fini(struct trust *t)
{
    free(t->ca);
    free(t->pin);
    memset(t, 0, sizeof *t);
}

bool trust_copy(struct trust *to, const struct trust *from)
{
    *to = (struct trust){.https = from->https};
    if (from->ca != NULL) to->ca = strdup(from->ca);
    if (from->pin != NULL) to->pin = strdup(from->pin);
    if ((from->ca == NULL) == (to->ca == NULL) && (from->pin == NULL) == (to->pin == NULL))
        return true;
    trust_fini(to);
    return false;
}

void trust_apply(struct trust *t, CURL *curl)
{
    t->detail[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, t->detail);
    if (!t->https) return;
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (t->ca != NULL) { /* instead of the system's, not besides */
        curl_easy_setopt(curl, CURLOPT_CAINFO, t->ca);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    if (t->pin != NULL) curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, t->pin);
}

const char *trust_explain(const struct trust *t, CURLcode code, const char *endpoint, char *out,
                          size_t cap)
{
    const char *why = t->detail[0] != '\0' ? t->detail : curl_easy_strerror(code);
    int         len = (int)strcspn(why, "\r\n");

    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        snprintf(out, cap, "%.80s: the server's certificate is not to be trusted: %.*s%s", endpoint,
                 len < 120 ? len : 120, why,
                 strstr(why, "verification failed") == NULL
                     ? ""
                     : "; it has expired, or --ca FILE must name who vouches for it");
        return "certificate";
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        snprintf(out, cap,
                 "%.80s: the server's certificate has another key than the one that is pinned",
                 endpoint);
        return "certificate";
    case CURLE_SSL_CACERT_BADFILE:
        snprintf(out, cap,
                 "%.80s: no certificates of authorities in %.100s; name some with --ca FILE",
                 endpoint, t->ca != NULL ? t->ca : "the system's folder");
        return "certificate";
    case CURLE_SSL_CONNECT_ERROR:
        snprintf(out, cap, "%.80s: no TLS can be agreed on: %.*s; is it an http:// port?", endpoint,
                 len < 120 ? len : 120, why);
        return "connection";
    case CURLE_UNSUPPORTED_PROTOCOL: /* what answers speaks no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
        snprintf(out, cap, "%.80s: this is no answer of HTTP%s", endpoint,
                 t->https ? "" : "; is it an https:// port?");
        return "connection";
    default:
        snprintf(out, cap, "%.120s: %s", endpoint, curl_easy_strerror(code));
        return "connection";
    }
}
