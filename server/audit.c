/* SPDX-License-Identifier: Apache-2.0
 *
 * See audit.h. Whoever was not let in is shown with what the packet claimed to be, under names of
 * their own: it may be a copy in other hands. */
#include "server/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/server.h"

#define METHOD_MAX 32
#define PATH_MAX_  2048 /* of the target, as it was sent */

enum kind { STRANGER, CLIENT, KINDS };

struct audit {
    struct wfl_log  *server_log;
    struct wfl_log  *log;  /* NULL: off */
    char            *path; /* NULL: server_log's lines */
    _Atomic int64_t  second;
    _Atomic uint32_t written[KINDS]; /* in that second */
    _Atomic uint64_t left_out[KINDS];
};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
}

static wfl_code open_own(struct audit *a, const char *path, wfl_error *err)
{
    int fd = open_file(path);

    if (fd < 0)
        return wfl_fail(err, WFL_IO, "audit_log %s: %s; name a file that can be written, or off",
                        path, strerror(errno));
    a->path = strdup(path);
    if (a->path == NULL) {
        close(fd);
        return wfl_fail(err, WFL_NOMEM, "audit log: out of memory");
    }
    wfl_code rc = wfl_log_new(fd, &wfl_clock_system, &a->log, err);
    if (rc == WFL_OK)
        wfl_log_owns(a->log);
    else
        close(fd);
    return rc;
}

wfl_code audit_new(const char *where, struct wfl_log *log, struct audit **out, wfl_error *err)
{
    struct audit *a = wfl_alloc_zero(&wfl_alloc_libc, 1, sizeof *a);
    wfl_code      rc = WFL_OK;

    if (a == NULL) return wfl_fail(err, WFL_NOMEM, "audit log: out of memory");
    a->server_log = log;
    if (where == NULL || *where == '\0' || strcmp(where, "stderr") == 0)
        a->log = log;
    else if (strcmp(where, "off") != 0)
        rc = open_own(a, where, err);
    if (rc != WFL_OK) {
        audit_free(a);
        return rc;
    }
    *out = a;
    return WFL_OK;
}

void audit_free(struct audit *a)
{
    if (a == NULL) return;
    if (a->path != NULL) wfl_log_free(a->log);
    free(a->path);
    wfl_alloc_free(&wfl_alloc_libc, a);
}

void audit_reopen(struct audit *a)
{
    int fd;

    if (a->path == NULL) return;
    fd = open_file(a->path);
    if (fd >= 0)
        wfl_log_move(a->log, fd);
    else
        wfl_log_text(a->server_log, WFL_LOG_ERROR, "audit_reopen_failed",
                     "the file in use stays: %s: %s", a->path, strerror(errno));
}

/* ---- how many */

static void write_left_out(struct audit *a)
{
    uint64_t            strangers = atomic_exchange(&a->left_out[STRANGER], 0);
    uint64_t            clients = atomic_exchange(&a->left_out[CLIENT], 0);
    struct wfl_log_line line;

    if (strangers + clients == 0) return;
    wfl_log_begin(a->log, &line, WFL_LOG_WARN, "audit_left_out");
    wfl_json_key(&line.json, "strangers");
    wfl_json_u64(&line.json, strangers);
    wfl_json_key(&line.json, "clients");
    wfl_json_u64(&line.json, clients);
    wfl_log_end(&line);
}

/* A second has begun: the first who comes tells what the last one had too much of. */
static void enter_second(struct audit *a)
{
    int64_t now = wfl_clock_mono_ns(&wfl_clock_system) / 1000000000, last = a->second;

    if (now == last || !atomic_compare_exchange_strong(&a->second, &last, now)) return;
    for (int k = 0; k < KINDS; k++)
        a->written[k] = 0;
    write_left_out(a);
}

static bool has_room(struct audit *a, enum kind kind)
{
    static const uint32_t most[KINDS] = {[STRANGER] = AUDIT_STRANGERS, [CLIENT] = AUDIT_CLIENTS};

    if (a->written[kind]++ < most[kind]) return true;
    a->left_out[kind]++;
    return false;
}

/* ---- a line */

static bool is_refused(const struct request *r)
{
    return r->status == 401 || r->status == 403 || r->status == 429 || r->code == WFL_NONCE_REUSED;
}

/* Revocations of a link ask for no operation, and are administrative all the same. */
static bool is_administrative(const struct request *r)
{
    return r->manages || r->target.kind == WFL_TARGET_REVOCATIONS ||
           r->target.kind == WFL_TARGET_SCRUB;
}

static void member(wfl_json *json, const char *name, wfl_slice value)
{
    wfl_json_key(json, name);
    wfl_json_str(json, value);
}

static void write_chain(wfl_json *json, const struct wfl_packet *p)
{
    wfl_json_key(json, "chain");
    wfl_json_array(json);
    for (uint32_t i = 0; i < p->link_count; i++) {
        wfl_json_object(json);
        member(json, "jti", wfl_slice_str(p->links[i].jti_text));
        member(json, "signer", p->links[i].kid);
        member(json, "holder", wfl_slice_str(p->links[i].holder_thumb.text));
        wfl_json_end(json);
    }
    wfl_json_end(json);
}

static void write_who(wfl_json *json, const struct request *r)
{
    const struct wfl_identity *who = &r->who;
    char                       session[WFL_ULID_TEXT_LEN + 1];

    if (who->packet != NULL) {
        member(json, "client", wfl_slice_str(who->client.text));
        write_chain(json, who->packet);
        if (wfl_identity_session(who, session)) member(json, "session", wfl_slice_str(session));
        if (who->credential == WFL_CREDENTIAL_URL) {
            wfl_json_key(json, "presigned");
            wfl_json_bool(json, true);
        }
    } else if (who->claim.jti[0] != '\0') {
        member(json, "claimed_client", wfl_slice_str(who->claim.client.text));
        member(json, "claimed_jti", wfl_slice_str(who->claim.jti));
    }
}

static void write_what(wfl_json *json, const struct request *r)
{
    const struct wfl_request *head = request_head(r);

    member(json, "method",
           wfl_slice_of(head->method.data,
                        head->method.len > METHOD_MAX ? METHOD_MAX : head->method.len));
    /* The path alone: a query may be a credential. */
    member(json, "path",
           wfl_slice_of(head->path.data, head->path.len > PATH_MAX_ ? PATH_MAX_ : head->path.len));
    if (r->target.bucket.len > 0) member(json, "bucket", r->target.bucket);
    if (r->asked_op != 0) member(json, "op", wfl_slice_str(wfl_op_name(r->asked_op)));
}

void audit_request(struct audit *a, const struct request *r)
{
    bool                refused = is_refused(r);
    struct wfl_log_line line;
    char                id[WFL_ULID_TEXT_LEN + 1];

    if (a->log == NULL) return;
    enter_second(a);
    if (!refused && !is_administrative(r)) return;
    if (refused && !has_room(a, r->who.packet == NULL ? STRANGER : CLIENT)) return;
    wfl_ulid_format(wfl_exchange_id(r->x), id);
    wfl_log_begin(a->log, &line, refused ? WFL_LOG_WARN : WFL_LOG_INFO, "audit");
    member(&line.json, "decision", refused ? WFL_S("refused") : WFL_S("allowed"));
    wfl_json_key(&line.json, "status"); /* 0: it was broken off before there was one */
    wfl_json_u64(&line.json, (uint64_t)r->status);
    if (r->code != WFL_OK) member(&line.json, "code", wfl_slice_str(wfl_code_name(r->code)));
    member(&line.json, "request_id", wfl_slice_str(id));
    member(&line.json, "peer", wfl_slice_str(request_head(r)->peer));
    write_what(&line.json, r);
    write_who(&line.json, r);
    wfl_log_end(&line);
}
