/* SPDX-License-Identifier: Apache-2.0
 *
 * A handle's session. Opening one costs a round trip, and both sides two X25519 and an Ed25519
 * operation more than a request does, in all about what five signed requests cost. So the first
 * SESSION_AFTER requests are signed each for itself: whoever makes no more pays nothing, and
 * whoever makes many has at the most paid twice what the best choice from the start would have
 * cost.
 *
 * Clones share it: counters may be used in any order and on any connection. What fails is no
 * failure of the request: it is then signed with the key, and opening is tried again later. But a
 * server that is not the one in the credential is. A session that the server does not know any
 * more, which a restart or the end of its time brings about, is left, and a new one opened. */
#include "client/client_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSION_AFTER 8
#define AGAIN_AFTER   64 /* requests, where it could not be opened */
#define TTL_SECONDS   3600
#define MARGIN_SECONDS                                                                             \
    INT64_C(10) /* given up so long before its end: clocks and requests take time */
#define OPEN_TIMEOUT_MS 10000L
#define SCOPE_OF_SYSTEM WFL_S("-")

struct call_session {
    pthread_mutex_t lock;
    unsigned        requests;   /* that were signed with the key, since there was no session */
    unsigned        open_after; /* so many of them */
    bool            never;
    bool            opening; /* some thread is at it */

    struct wfl_secret         key; /* data NULL: none is open */
    struct wfl_session_answer answer;
    uint64_t                  counter; /* the last one used */
};

struct call_session *call_session_new(unsigned after)
{
    struct call_session *s = calloc(1, sizeof *s);

    if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return NULL;
    }
    s->never = after == WFLDB_SESSION_NEVER;
    s->open_after = after == 0 ? SESSION_AFTER : after;
    return s;
}

void call_session_free(struct call_session *s)
{
    if (s == NULL) return;
    wfl_secret_free(&s->key);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- opening */

static int read_answer(struct call *c, const struct wfl_secret *private_key,
                       const struct wfl_session_request *asked, struct wfl_session_answer *answer,
                       struct wfl_secret *key)
{
    wfl_error err;

    if (wfl_session_parse_answer(wfl_buf_slice(&c->text), answer, &err) != WFL_OK)
        return call_fail(c, "answer", err.message);
    if (wfl_session_accept(private_key, asked, answer, c->db->packet_hash,
                           c->db->has_identity ? &c->db->identity : NULL, key, &err) != WFL_OK) {
        return call_fail(c, err.code == WFL_NOMEM ? "memory" : "server", err.message);
    }
    return 0;
}

/* One exchange. *answer and *key are set on success. */
static int open_session(wfldb *db, int64_t ttl_sec, struct wfl_session_answer *answer,
                        struct wfl_secret *key, wfldb_error *err)
{
    struct wfl_session_request asked;
    struct wfl_secret          private_key = {0};
    struct call                c;
    char                       hex[65];
    wfl_buf                    body;
    wfl_json                   json;
    wfl_error                  why;
    int                        rc = -1;

    call_init(&c, db, "POST", "-", "session", err);
    c.outside_session = true;
    c.timeout_ms = OPEN_TIMEOUT_MS;
    c.single = true; /* what fails is tried again later */
    wfl_buf_init(&body, &wfl_alloc_libc, 1024);
    wfl_json_init(&json, &body);
    if (wfl_session_ask(&wfl_random_system, ttl_sec, &private_key, &asked, &why) == WFL_OK) {
        wfl_session_write_request(&asked, &json);
        if (wfl_buf_ok(&body)) {
            call_json_body(&c, (const char *)body.data, body.len, hex);
            rc = call_send(&c);
        } else {
            rc = call_fail(&c, "memory", "out of memory");
        }
    } else {
        rc = call_fail(&c, "memory", why.message);
    }
    if (rc == 0) rc = read_answer(&c, &private_key, &asked, answer, key);
    wfl_secret_free(&private_key);
    wfl_buf_fini(&body);
    call_fini(&c);
    return rc;
}

static void forget_locked(struct call_session *s)
{
    wfl_secret_free(&s->key);
    s->counter = 0;
    s->open_after = 1; /* it was worth it before */
    s->requests = 0;
}

/* Is it this thread's turn to open one? */
static bool is_due(struct call_session *s, int64_t now_sec)
{
    bool due = false;

    pthread_mutex_lock(&s->lock);
    if (s->key.data != NULL && now_sec >= s->answer.expires_sec - MARGIN_SECONDS) forget_locked(s);
    if (s->key.data == NULL && !s->never) {
        due = s->requests >= s->open_after && !s->opening;
        if (due) s->opening = true;
    }
    pthread_mutex_unlock(&s->lock);
    return due;
}

/* What came of it. True: the server is not the one that is known. */
static bool settle(struct call_session *s, bool ok, const struct wfl_session_answer *answer,
                   struct wfl_secret *key, const wfldb_error *why, int64_t now_sec)
{
    bool stranger = !ok && strcmp(why->code, "server") == 0;

    pthread_mutex_lock(&s->lock);
    s->opening = false;
    /* One that is hardly longer than our margin would be asked for again and again. */
    if (ok && answer->expires_sec > now_sec + 2 * MARGIN_SECONDS) {
        s->answer = *answer;
        s->key = *key;
        *key = (struct wfl_secret){0};
        s->counter = 0;
    } else if (!stranger) { /* to a stranger no request is sent: the next one asks again */
        s->open_after = AGAIN_AFTER;
        s->requests = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return stranger;
}

int call_session_prepare(struct call *c)
{
    struct call_session      *s = c->db->session;
    struct wfl_session_answer answer = {0};
    struct wfl_secret         key = {0};
    wfldb_error               why;
    int64_t                   now_sec = call_now_ns(c->db) / 1000000000;
    bool                      ok;

    if (c->outside_session || !is_due(s, now_sec)) return 0;
    ok = open_session(c->db, TTL_SECONDS, &answer, &key, &why) == 0;
    if (settle(s, ok, &answer, &key, &why, now_sec)) {
        *c->err = why;
        return -1;
    }
    wfl_secret_free(&key);
    return 0;
}

/* ---- signing */

static bool scope_of(const struct call *c, wfl_slice *out)
{
    *out = c->bucket == NULL ? SCOPE_OF_SYSTEM : wfl_slice_str(c->bucket);
    return out->len > 0 && out->len <= WFL_SESSION_SCOPE_MAX;
}

bool call_session_sign(struct call *c, const struct wfl_auth_request *r,
                       struct wfl_signed_headers *out, wfl_code *rc, wfl_error *err)
{
    struct call_session *s = c->db->session;
    wfl_slice            scope;
    uint64_t             counter = 0;

    c->session[0] = '\0';
    if (c->outside_session || !scope_of(c, &scope)) return false;
    pthread_mutex_lock(&s->lock);
    if (s->key.data == NULL) {
        s->requests++;
    } else {
        counter = ++s->counter;
        memcpy(c->session, s->answer.session, sizeof c->session);
        /* Under the lock: another thread may be about to leave this session. */
        *rc = wfl_session_sign(&s->key, c->session, scope, r, call_now_ns(c->db), counter,
                               &c->arena, out, err);
    }
    pthread_mutex_unlock(&s->lock);
    return counter != 0;
}

void call_session_lost(struct call *c)
{
    struct call_session *s = c->db->session;

    pthread_mutex_lock(&s->lock);
    if (s->key.data != NULL && strcmp(s->answer.session, c->session) == 0) forget_locked(s);
    pthread_mutex_unlock(&s->lock);
}

/* ---- for others to use */

int wfldb_session_open(wfldb *db, const char *bucket, long ttl_s, wfldb_session *out,
                       wfldb_error *err)
{
    struct wfl_session_answer answer;
    struct wfl_secret         key = {0};
    wfl_slice                 scope = bucket == NULL ? SCOPE_OF_SYSTEM : wfl_slice_str(bucket);

    memset(out, 0, sizeof *out);
    if (bucket != NULL && !wfl_name_bucket_valid(scope)) {
        memset(err, 0, sizeof *err);
        snprintf(err->code, sizeof err->code, "request");
        snprintf(err->detail, sizeof err->detail, "%.100s is no bucket's name", bucket);
        return -1;
    }
    if (open_session(db, ttl_s, &answer, &key, err) != 0) return -1;
    memcpy(out->session, answer.session, sizeof answer.session);
    memcpy(out->scope, scope.data, scope.len);
    out->expires = answer.expires_sec;
    wfl_session_mac_key(&key, scope, out->mac_key);
    wfl_secret_free(&key);
    return 0;
}
