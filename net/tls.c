/* SPDX-License-Identifier: Apache-2.0
 *
 * A certificate with its key, as connections use them: read once, never changed, counted by
 * reference. Another one takes its place for new connections; the old one goes with the last
 * connection that began with it. */
#include "net/tls.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>

/* Nothing is taken over from a default, of the library's or the system's, so that what is spoken
 * here is what this list says:
 * - TLS 1.3 and 1.2. Older ones are broken or not far from it (RFC 8996).
 * - Ciphers that encrypt and authenticate in one (AEAD): no CBC, whose paddings have been oracles
 *   too often, no CCM, which nobody needs. The client's order holds: it knows whether it has AES
 *   in hardware, and all of them are sound.
 * - Keys from an ephemeral Diffie-Hellman on curves, so that a stolen key of the certificate opens
 *   nothing that was recorded before. Neither RSA key transport nor finite fields.
 * - No signature with SHA-1, and RSA as PSS where it is not TLS 1.2 with an older client.
 * There is no compression and no early data in this library's reach; renegotiation is refused in
 * tls_io.c; session tickets are not switched on: a ticket's key would open the connections resumed
 * with it, connections here live long, and a handshake costs as much as five signed requests. */
static const char priorities[] =
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2"
    ":+AES-256-GCM:+CHACHA20-POLY1305:+AES-128-GCM:+AEAD"
    ":+ECDHE-ECDSA:+ECDHE-RSA:+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1"
    ":+SIGN-EDDSA-ED25519:+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SECP384R1-SHA384"
    ":+SIGN-RSA-PSS-RSAE-SHA256:+SIGN-RSA-PSS-RSAE-SHA384:+SIGN-RSA-PSS-RSAE-SHA512"
    ":+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SHA384"
    ":+SIGN-RSA-SHA256:+SIGN-RSA-SHA384:+SIGN-RSA-SHA512"
    ":+CTYPE-X509:+COMP-NULL";

static wfl_code fail(wfl_error *err, const char *what, int rc)
{
    if (rc == GNUTLS_E_MEMORY_ERROR) return wfl_fail(err, WFL_NOMEM, "TLS: out of memory");
    return wfl_fail(err, WFL_INVALID_SETTING, "%s: %s", what, gnutls_strerror(rc));
}

static gnutls_datum_t datum(wfl_slice s)
{
    return (gnutls_datum_t){(unsigned char *)(uintptr_t)s.data, (unsigned)s.len};
}

/* ---- what can be said about it */

static void write_hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static wfl_code read_facts(gnutls_x509_crt_t cert, struct wfl_tls_facts *out, wfl_error *err)
{
    uint8_t        serial[32], key[32];
    size_t         serial_len = sizeof serial, key_len = sizeof key, name_len = sizeof out->subject;
    gnutls_datum_t text = {0}, hash = {key, sizeof key};
    int            rc;

    if (gnutls_x509_crt_get_dn(cert, out->subject, &name_len) != 0) out->subject[0] = '\0';
    if (gnutls_x509_crt_get_serial(cert, serial, &serial_len) == 0)
        write_hex(serial, serial_len, out->serial);
    out->not_before = gnutls_x509_crt_get_activation_time(cert);
    out->not_after = gnutls_x509_crt_get_expiration_time(cert);
    rc = gnutls_x509_crt_get_key_id(cert, GNUTLS_KEYID_USE_SHA256, key, &key_len);
    if (rc == 0) rc = gnutls_base64_encode2(&hash, &text);
    if (rc != 0) return fail(err, "the certificate's public key", rc);
    snprintf(out->pin, sizeof out->pin, "sha256//%.*s", (int)text.size, (const char *)text.data);
    gnutls_free(text.data);
    return WFL_OK;
}

static wfl_code check_strength(gnutls_x509_crt_t cert, wfl_error *err)
{
    unsigned bits = 0;
    int      algorithm = gnutls_x509_crt_get_pk_algorithm(cert, &bits);

    if (algorithm < 0) return fail(err, "the certificate's public key", algorithm);
    if (gnutls_pk_bits_to_sec_param((gnutls_pk_algorithm_t)algorithm, bits) <
        GNUTLS_SEC_PARAM_MEDIUM) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "the certificate's key of %u bits is too weak; use P-256 or RSA of 3072",
                        bits);
    }
    return WFL_OK;
}

/* ---- reading */

struct chain {
    gnutls_x509_crt_t *certs;
    unsigned           count;
};

static void chain_fini(struct chain *c)
{
    for (unsigned i = 0; i < c->count; i++)
        gnutls_x509_crt_deinit(c->certs[i]);
    gnutls_free(c->certs);
}

static wfl_code read_chain(wfl_slice pem, struct chain *out, wfl_error *err)
{
    gnutls_datum_t text = datum(pem);
    int rc = gnutls_x509_crt_list_import2(&out->certs, &out->count, &text, GNUTLS_X509_FMT_PEM,
                                          GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);

    if (rc == GNUTLS_E_CERTIFICATE_LIST_UNSORTED) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "the server's own certificate must come first, then the one that signed "
                        "it, and so on");
    }
    if (rc < 0) return fail(err, "no certificate in PEM", rc);
    return WFL_OK;
}

static wfl_code read_key(wfl_slice pem, gnutls_x509_privkey_t *out, wfl_error *err)
{
    gnutls_datum_t text = datum(pem);
    int            rc = gnutls_x509_privkey_init(out);

    if (rc == 0) rc = gnutls_x509_privkey_import2(*out, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (rc == GNUTLS_E_DECRYPTION_FAILED || rc == GNUTLS_E_INVALID_PASSWORD) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "the key is encrypted; nobody is here to type a password at start: "
                        "decrypt it with openssl pkey");
    }
    return rc < 0 ? fail(err, "no private key in PEM", rc) : WFL_OK;
}

static wfl_code join(struct wfl_tls *t, const struct chain *chain, gnutls_x509_privkey_t key,
                     wfl_error *err)
{
    int rc = gnutls_certificate_allocate_credentials(&t->credentials);

    if (rc == 0)
        rc = gnutls_certificate_set_x509_key(t->credentials, chain->certs, (int)chain->count, key);
    if (rc == GNUTLS_E_CERTIFICATE_KEY_MISMATCH) {
        return wfl_fail(err, WFL_INVALID_SETTING,
                        "the key is not the certificate's: they must have been made together");
    }
    if (rc == 0) rc = gnutls_priority_init(&t->priority, priorities, NULL);
    return rc < 0 ? fail(err, "TLS", rc) : WFL_OK;
}

wfl_code wfl_tls_new(wfl_slice certificates_pem, wfl_slice key_pem, struct wfl_tls **out,
                     wfl_error *err)
{
    struct wfl_tls       *t = calloc(1, sizeof *t);
    struct chain          chain = {0};
    gnutls_x509_privkey_t key = NULL;
    wfl_code              rc;

    if (t == NULL) return wfl_fail(err, WFL_NOMEM, "TLS: out of memory");
    atomic_init(&t->refs, 1);
    rc = read_chain(certificates_pem, &chain, err);
    if (rc == WFL_OK) rc = check_strength(chain.certs[0], err);
    if (rc == WFL_OK) rc = read_facts(chain.certs[0], &t->facts, err);
    if (rc == WFL_OK) rc = read_key(key_pem, &key, err);
    if (rc == WFL_OK) rc = join(t, &chain, key, err);
    gnutls_x509_privkey_deinit(key); /* wipes it; the credentials have their own */
    chain_fini(&chain);
    if (rc != WFL_OK) {
        wfl_tls_unref(t);
        return rc;
    }
    *out = t;
    return WFL_OK;
}

const struct wfl_tls_facts *wfl_tls_facts(const struct wfl_tls *t)
{
    return &t->facts;
}

void wfl_tls_unref(struct wfl_tls *t)
{
    if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1) return;
    if (t->credentials != NULL) gnutls_certificate_free_credentials(t->credentials);
    if (t->priority != NULL) gnutls_priority_deinit(t->priority);
    free(t);
}
