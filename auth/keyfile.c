/* SPDX-License-Identifier: Apache-2.0
 *
 * Key files and credential files: JWKs of RFC 8037 with our members. A file with a private half is
 * read into secret memory, refused where others can read it, and created for its owner alone.
 * jansson's copies of a private key are wiped when it frees them (json_in.c). */
#include "auth/auth_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64u << 10)

static wfl_code not_a_key(wfl_error *err, const char *why)
{
    return wfl_fail(err, WFL_INVALID_REQUEST, "not a usable key: %s", why);
}

static wfl_code check_kid(const json_t *jwk, const wfl_public_key *key, wfl_error *err)
{
    wfl_slice kid;
    wfl_thumb thumb = wfl_key_thumb(key);

    if (json_object_get(jwk, "kid") == NULL) return WFL_OK;
    if (!auth_json_string(jwk, "kid", &kid) || !wfl_slice_eq(kid, wfl_slice_str(thumb.text))) {
        return not_a_key(err, "kid is not the key's thumbprint");
    }
    return WFL_OK;
}

wfl_code wfl_key_parse_public(wfl_slice text, wfl_public_key *out, wfl_error *err)
{
    const char    *why = NULL;
    wfl_public_key key;
    json_t        *jwk = auth_json_load(text, &why);
    wfl_code       rc;

    if (jwk == NULL) return not_a_key(err, why);
    rc = auth_jwk_public(jwk, &key, &why) ? check_kid(jwk, &key, err) : not_a_key(err, why);
    json_decref(jwk);
    if (rc == WFL_OK) *out = key;
    return rc;
}

static wfl_code read_private(const json_t *jwk, const wfl_public_key *pub, struct wfl_key_pair *out,
                             wfl_error *err)
{
    struct wfl_secret   seed = {0};
    struct wfl_key_pair pair = {0};
    wfl_slice           d;
    size_t              len = 0;
    wfl_code            rc = wfl_secret_new(32 + 2, &seed, err);

    if (rc != WFL_OK) return rc;
    if (!auth_json_string(jwk, "d", &d) || d.len != WFL_B64U_LEN(32) ||
        !wfl_b64u_decode(d, seed.data, seed.len, &len) || len != 32) {
        rc = not_a_key(err, "d is not the base64url of 32 bytes");
    } else {
        rc = wfl_key_from_seed(seed.data, &pair, err);
    }
    wfl_secret_free(&seed);
    if (rc == WFL_OK && memcmp(pair.pub.bytes, pub->bytes, WFL_KEY_LEN) != 0) {
        wfl_key_pair_free(&pair);
        rc = not_a_key(err, "d and x do not belong together");
    }
    if (rc == WFL_OK) *out = pair;
    return rc;
}

static wfl_code copy_text(const json_t *jwk, const char *name, wfl_arena *arena, wfl_slice *out,
                          wfl_error *err)
{
    wfl_slice text;

    if (out == NULL) return WFL_OK;
    *out = (wfl_slice){0};
    if (json_object_get(jwk, name) == NULL) return WFL_OK;
    if (!auth_json_string(jwk, name, &text))
        return not_a_key(err, "packet, endpoint, ca or pin is no string");
    if (!wfl_arena_copy(arena, text, out))
        return wfl_fail(err, WFL_NOMEM, "key file: out of memory");
    return WFL_OK;
}

static wfl_code read_server(const json_t *jwk, wfl_arena *arena, struct wfl_key_server *out,
                            wfl_error *err)
{
    const json_t *identity = json_object_get(jwk, "server");
    const char   *why = NULL;
    wfl_code      rc;

    *out = (struct wfl_key_server){0};
    rc = copy_text(jwk, "endpoint", arena, &out->endpoint, err);
    if (rc == WFL_OK) rc = copy_text(jwk, "ca", arena, &out->ca, err);
    if (rc == WFL_OK) rc = copy_text(jwk, "pin", arena, &out->pin, err);
    if (rc != WFL_OK || identity == NULL) return rc;
    out->has_identity = json_is_object(identity) && auth_jwk_public(identity, &out->identity, &why);
    return out->has_identity ? WFL_OK : not_a_key(err, "server is no public JWK");
}

wfl_code wfl_key_parse_private(wfl_slice text, wfl_arena *arena, struct wfl_key_pair *out,
                               wfl_slice *packet, struct wfl_key_server *server, wfl_error *err)
{
    const char         *why = NULL;
    struct wfl_key_pair pair = {0};
    wfl_public_key      pub;
    json_t             *jwk = auth_json_load(text, &why);
    wfl_code            rc;

    if (jwk == NULL) return not_a_key(err, why);
    rc = auth_jwk_public(jwk, &pub, &why) ? check_kid(jwk, &pub, err) : not_a_key(err, why);
    if (rc == WFL_OK) rc = copy_text(jwk, "packet", arena, packet, err);
    if (rc == WFL_OK && server != NULL) rc = read_server(jwk, arena, server, err);
    if (rc == WFL_OK) rc = read_private(jwk, &pub, &pair, err);
    json_decref(jwk);
    if (rc == WFL_OK) *out = pair;
    return rc;
}

static void add_member(wfl_json *json, const char *name, wfl_slice value)
{
    if (value.len == 0) return;
    wfl_json_key(json, name);
    wfl_json_str(json, value);
}

/* The buffer below grows in ordinary memory with a private key in it: what it lets go is wiped. */
static void *wiping_resize(void *ctx, void *old, size_t n)
{
    size_t *had = old == NULL ? NULL : (size_t *)old - 2, *now = NULL;

    (void)ctx;
    if (n > 0) {
        now = malloc(n + 2 * sizeof(size_t));
        if (now == NULL) return NULL;
        now[0] = n;
        if (had != NULL) memcpy(now + 2, had + 2, had[0] < n ? had[0] : n);
    }
    if (had != NULL) {
        sodium_memzero(had, had[0] + 2 * sizeof(size_t));
        free(had);
    }
    return now == NULL ? NULL : now + 2;
}

wfl_code wfl_key_write_private(const struct wfl_key_pair *pair, wfl_slice packet,
                               const struct wfl_key_server *server, struct wfl_secret *out,
                               wfl_error *err)
{
    static const struct wfl_alloc wiping = {.resize = wiping_resize};
    char                          d[WFL_B64U_LEN(32) + 1], x[WFL_B64U_LEN(32) + 1];
    wfl_thumb                     thumb = wfl_key_thumb(&pair->pub);
    wfl_buf                       text;
    wfl_json                      json;
    wfl_code                      rc = WFL_OK;

    wfl_buf_init(&text, &wiping, FILE_BYTES_MAX);
    wfl_b64u_encode(wfl_slice_of(pair->secret.data, 32), d); /* libsodium: seed, then public key */
    wfl_b64u_encode(wfl_slice_of(pair->pub.bytes, 32), x);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    add_member(&json, "kty", WFL_S("OKP"));
    add_member(&json, "crv", WFL_S("Ed25519"));
    add_member(&json, "d", wfl_slice_str(d));
    add_member(&json, "x", wfl_slice_str(x));
    add_member(&json, "kid", wfl_slice_str(thumb.text));
    add_member(&json, "packet", packet);
    if (server != NULL) {
        add_member(&json, "endpoint", server->endpoint);
        add_member(&json, "ca", server->ca);
        add_member(&json, "pin", server->pin);
    }
    if (server != NULL && server->has_identity) {
        wfl_json_key(&json, "server");
        wfl_key_write_jwk(&server->identity, &json);
    }
    wfl_json_end(&json);
    wfl_buf_add_u8(&text, '\n');
    sodium_memzero(d, sizeof d);
    if (!wfl_buf_ok(&text)) rc = wfl_fail(err, WFL_NOMEM, "key file: out of memory");
    if (rc == WFL_OK) rc = wfl_secret_new(text.len, out, err);
    if (rc == WFL_OK) memcpy(out->data, text.data, text.len);
    wfl_buf_fini(&text);
    return rc;
}

static wfl_code check_file(int fd, const char *path, bool private_file, size_t *size,
                           wfl_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0) return wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return wfl_fail(err, WFL_INVALID_REQUEST, "%s is no regular file", path);
    if (private_file && (st.st_mode & 077) != 0) {
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "%s holds a private key and others can read it; run: chmod 600 %s", path,
                        path);
    }
    if (st.st_size > (off_t)FILE_BYTES_MAX) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "%s is larger than any key file", path);
    }
    *size = (size_t)st.st_size;
    return WFL_OK;
}

wfl_code wfl_key_read_file(const char *path, bool private_file, struct wfl_secret *out,
                           wfl_error *err)
{
    struct wfl_secret text = {0};
    size_t            size = 0, len = 0;
    int               fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    wfl_code          rc;

    if (fd < 0) {
        return wfl_fail(err, errno == ENOENT ? WFL_NOT_FOUND : WFL_IO, "%s: %s", path,
                        strerror(errno));
    }
    rc = check_file(fd, path, private_file, &size, err);
    if (rc == WFL_OK) rc = wfl_secret_new(size, &text, err);
    while (rc == WFL_OK && len < size) {
        ssize_t n = read(fd, text.data + len, size - len);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) rc = wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
        if (n <= 0) break;
        len += (size_t)n;
    }
    close(fd);
    if (rc != WFL_OK) {
        wfl_secret_free(&text);
        return rc;
    }
    text.len = len;
    *out = text;
    return WFL_OK;
}

/* The name of a new file is durable only when its folder is. */
static bool sync_folder(const char *path)
{
    char  folder[4096];
    char *slash;
    int   fd, rc;

    if (snprintf(folder, sizeof folder, "%s", path) >= (int)sizeof folder) return false;
    slash = strrchr(folder, '/');
    if (slash == NULL) {
        strcpy(folder, ".");
    } else {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    rc = fsync(fd);
    close(fd);
    return rc == 0;
}

wfl_code wfl_key_write_file(const char *path, wfl_slice text, wfl_error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST) {
        return wfl_fail(err, WFL_INVALID_REQUEST,
                        "%s exists and is not replaced; name another file", path);
    }
    if (fd < 0) return wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        text.data += n;
        text.len -= (size_t)n;
    }
    bool ok = text.len == 0 && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    if (ok && sync_folder(path)) return WFL_OK;
    wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    unlink(path);
    return err->code;
}
