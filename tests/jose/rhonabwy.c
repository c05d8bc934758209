/* SPDX-License-Identifier: Apache-2.0
 *
 * librhonabwy as a filter, compiled by the test that uses it: what to do and the key as a JWK are
 * arguments. "sign JWK HEADER PAYLOAD" prints a token; "verify JWK TOKEN" prints the header and the
 * payload, each on a line. Exit 1: it refuses. */
#include <rhonabwy.h>

#include <stdio.h>
#include <string.h>

static int sign(jwt_t *jwt, jwk_t *key, const char *header, const char *payload)
{
    char *token;

    if (r_jwt_set_full_header_json_str(jwt, header) != RHN_OK ||
        r_jwt_set_full_claims_json_str(jwt, payload) != RHN_OK ||
        r_jwt_set_sign_alg(jwt, R_JWA_ALG_EDDSA) != RHN_OK) {
        return 1;
    }
    token = r_jwt_serialize_signed(jwt, key, 0);
    if (token == NULL) return 1;
    puts(token);
    r_free(token);
    return 0;
}

static int verify(jwt_t *jwt, jwk_t *key, const char *token)
{
    char *header, *payload;

    if (r_jwt_parse(jwt, token, 0) != RHN_OK || r_jwt_verify_signature(jwt, key, 0) != RHN_OK)
        return 1;
    header = r_jwt_get_full_header_str(jwt);
    payload = r_jwt_get_full_claims_str(jwt);
    if (header != NULL && payload != NULL) printf("%s\n%s\n", header, payload);
    r_free(header);
    r_free(payload);
    return 0;
}

int main(int argc, char **argv)
{
    jwt_t *jwt = NULL;
    jwk_t *key = NULL;
    int    status = 2;

    if (argc < 4 || r_global_init() != RHN_OK || r_jwt_init(&jwt) != RHN_OK ||
        r_jwk_init(&key) != RHN_OK || r_jwk_import_from_json_str(key, argv[2]) != RHN_OK) {
        return 2;
    }
    if (strcmp(argv[1], "sign") == 0 && argc == 5) status = sign(jwt, key, argv[3], argv[4]);
    if (strcmp(argv[1], "verify") == 0) status = verify(jwt, key, argv[3]);
    r_jwk_free(key);
    r_jwt_free(jwt);
    r_global_close();
    return status;
}
