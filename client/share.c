/* SPDX-License-Identifier: Apache-2.0
 *
 * Presigned URLs: made here without asking the server, from the credential alone. */
#include "client/client_private.h"

#include <stdio.h>
#include <stdlib.h>

#define TARGET_MAX 8192 /* what a server takes as it comes */

/* The packet ends when the first of its links does. */
static int packet_end(struct call *c, int64_t *out)
{
    struct wfl_packet *packet = NULL;
    wfl_error          err;

    if (wfl_packet_parse(wfl_slice_str(call_packet(c->db)), &wfl_alloc_libc, &packet, &err) !=
        WFL_OK) {
        return call_fail(c, "credential", err.message);
    }
    *out = packet->links[0].exp;
    for (uint32_t i = 1; i < packet->link_count; i++) {
        if (packet->links[i].exp < *out) *out = packet->links[i].exp;
    }
    wfl_packet_unref(packet);
    return 0;
}

static int keep_headers(struct call *c, wfldb_shared *out)
{
    out->headers = calloc(c->header_count + 1, sizeof *out->headers);
    if (out->headers == NULL) return call_fail(c, "memory", "out of memory");
    for (uint32_t i = 0; i < c->header_count; i++) {
        char *name = NULL, *value = NULL;

        if (asprintf(&name, "%.*s", WFL_FMT(c->headers[i].name)) < 0 ||
            asprintf(&value, "%.*s", WFL_FMT(c->headers[i].value)) < 0) {
            free(name);
            return call_fail(c, "memory", "out of memory");
        }
        out->headers[out->header_count++] = (wfldb_pair){name, value};
    }
    return 0;
}

static int write_url(struct call *c, uint32_t seconds, wfldb_shared *out)
{
    wfl_buf   url, query;
    size_t    path_at;
    wfl_error err = {.code = WFL_OK};
    int       rc = -1;

    wfl_buf_init(&url, &wfl_alloc_libc, 64u << 10);
    wfl_buf_init(&query, &wfl_alloc_libc, 64u << 10);
    wfl_buf_add_str(&url, wfldb_endpoint(c->db));
    path_at = url.len;
    call_write_path(c, &url);
    if (c->bad_header != NULL || !wfl_buf_ok(&url) || !wfl_buf_ok(&c->query) ||
        call_presign(c, wfl_slice_of(url.data + path_at, url.len - path_at), seconds, &query,
                     &err) != WFL_OK) {
        rc = call_fail_unsent(c, &err);
    } else {
        wfl_buf_add_u8(&url, '?');
        wfl_buf_add(&url, wfl_buf_slice(&query));
        if (!wfl_buf_ok(&url))
            rc = call_fail(c, "memory", "out of memory");
        else if (url.len - path_at > TARGET_MAX)
            rc =
                call_fail(c, "request",
                          "packet and key are too long for a URL: issue a packet with fewer links");
        else if (asprintf(&out->url, "%.*s", WFL_FMT(wfl_buf_slice(&url))) < 0)
            rc = call_fail(c, "memory", "out of memory");
        else
            rc = 0;
    }
    wfl_buf_fini(&url);
    wfl_buf_fini(&query);
    return rc;
}

/* What the uploader sends, all of it. */
static void add_put_headers(struct call *c, const wfldb_put_options *put)
{
    call_header(c, "X-WflDB-Content-SHA256", WFL_S("unsigned"));
    /* None where none is asked for: curl -T sends none either. */
    if (put->content_type != NULL) call_header(c, "Content-Type", wfl_slice_str(put->content_type));
    object_add_put_others(c, put);
}

int wfldb_share(wfldb *db, const char *bucket, const char *key, const wfldb_share_options *options,
                wfldb_shared *out, wfldb_error *err)
{
    struct call c;
    int64_t     now_sec = call_now_ns(db) / 1000000000, end_sec = 0;
    int64_t     seconds = options->ttl_s == 0 ? 3600 : options->ttl_s;
    int         rc;

    memset(out, 0, sizeof *out);
    call_init(&c, db, options->put ? "PUT" : "GET", bucket, key, err);
    if (options->put)
        add_put_headers(&c, &options->put_options);
    else
        object_as_of(&c, &options->as_of);
    rc = packet_end(&c, &end_sec);
    if (rc == 0 && (seconds < 1 || seconds > WFL_PRESIGN_SECONDS_MAX))
        rc = call_fail(&c, "request", "a URL is good for 1 second to 7 days");
    if (rc == 0 && end_sec <= now_sec)
        rc = call_fail(&c, "credential", "the credential's packet has expired");
    if (rc == 0) rc = write_url(&c, (uint32_t)seconds, out);
    if (rc == 0) rc = keep_headers(&c, out);
    out->expires = now_sec + seconds;
    out->packet_ends_first = rc == 0 && end_sec < out->expires;
    if (out->packet_ends_first) out->expires = end_sec;
    if (rc != 0) wfldb_shared_free(out);
    call_fini(&c);
    return rc;
}

void wfldb_shared_free(wfldb_shared *s)
{
    for (size_t i = 0; i < s->header_count; i++) {
        free((void *)(uintptr_t)s->headers[i].name);
        free((void *)(uintptr_t)s->headers[i].value);
    }
    free(s->headers);
    free(s->url);
    memset(s, 0, sizeof *s);
}
