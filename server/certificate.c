/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate that TLS listeners show: read at start, where anything wrong with it is the end
 * of the start, and again when somebody asks, where it is not: what serves now goes on serving. */
#include "server/server.h"

#define WARN_SECONDS INT64_C(1209600) /* two weeks */

void certificate_log(struct wfl_server *s, const struct wfl_tls_facts *f)
{
    int64_t             now = wfl_clock_unix_ns(&wfl_clock_system) / 1000000000;
    bool                usable = f->not_before <= now && now + WARN_SECONDS < f->not_after;
    char                until[WFL_TIME_TEXT];
    struct wfl_log_line line;

    s->tls_not_after = f->not_after;
    wfl_time_format_ms((uint64_t)f->not_after * 1000, until);
    wfl_log_begin(s->log, &line, usable ? WFL_LOG_INFO : WFL_LOG_WARN, "tls_certificate");
    if (!usable) {
        wfl_json_key(&line.json, "message");
        wfl_json_cstr(&line.json, now < f->not_before   ? "not valid yet: clients refuse it"
                                  : now >= f->not_after ? "expired: clients refuse it"
                                                        : "expires soon");
    }
    wfl_json_key(&line.json, "subject");
    wfl_json_cstr(&line.json, f->subject);
    wfl_json_key(&line.json, "serial");
    wfl_json_cstr(&line.json, f->serial);
    wfl_json_key(&line.json, "not_after");
    wfl_json_cstr(&line.json, until);
    wfl_json_key(&line.json, "pin");
    wfl_json_cstr(&line.json, f->pin);
    wfl_log_end(&line);
}

wfl_code certificate_load(const struct wfl_config *c, struct wfl_tls **out, wfl_error *err)
{
    struct wfl_secret cert = {0}, key = {0};
    wfl_code          rc;

    *out = NULL;
    if (c->tls_listen_count == 0) return WFL_OK;
    rc = wfl_key_read_file(c->tls_cert, false, &cert, err);
    if (rc != WFL_OK) wfl_wrap(err, "tls_cert");
    if (rc == WFL_OK) {
        rc = wfl_key_read_file(c->tls_key, true, &key, err);
        if (rc != WFL_OK) wfl_wrap(err, "tls_key");
    }
    if (rc == WFL_OK) {
        rc = wfl_tls_new(wfl_slice_of(cert.data, cert.len), wfl_slice_of(key.data, key.len), out,
                         err);
        if (rc != WFL_OK) wfl_wrap(err, "tls_cert %s, tls_key %s", c->tls_cert, c->tls_key);
    }
    wfl_secret_free(&cert);
    wfl_secret_free(&key);
    return rc;
}

void certificate_reload(struct wfl_server *s)
{
    struct wfl_tls *tls;
    wfl_error       err = {0};

    if (s->config->tls_listen_count == 0) return;
    if (certificate_load(s->config, &tls, &err) == WFL_OK) {
        certificate_log(s, wfl_tls_facts(tls));
        wfl_net_set_tls(s->net, tls);
        return;
    }
    wfl_log_text(s->log, WFL_LOG_ERROR, "tls_reload_failed", "the certificate in use stays: %s",
                 err.message);
}
