/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy into another bucket. A HEAD says what there is; then a thread fetches that version into a
 * pipe, and one PUT with its length and its hash takes it out again, so that the server stores the
 * whole of it or nothing, whatever becomes of the two connections.
 *
 * Failure: where the download fails the PUT's source ends too early, which breaks it off; the error
 * told is the download's. Where the upload fails the pipe is closed, and the download ends. */
#include "client/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS 100

struct copy {
    wfldb      *reader; /* of the thread */
    const char *bucket, *key;
    char        version[32];
    int         no_retry;
    int         in, out; /* the pipe's ends: the thread's, the upload's */
    atomic_bool stop;    /* the download ends as soon as may be */
    bool        stopped; /* the caller said so */
    int         rc;
    wfldb_error err;

    uint64_t at, size; /* taken out of the pipe */
    int (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
};

/* ---- the thread */

static int on_download(void *ctx, uint64_t done, uint64_t total)
{
    struct copy *c = ctx;

    (void)done, (void)total;
    return c->stop;
}

static void *download(void *arg)
{
    struct copy                 *c = arg;
    const wfldb_transfer_options options = {.no_retry = c->no_retry,
                                            .progress = on_download,
                                            .progress_ctx = c,
                                            .as_of = {.version = c->version}};
    wfldb_object                 object = {0};

    c->rc = wfldb_get_fd(c->reader, c->bucket, c->key, c->in, &options, &object, &c->err);
    wfldb_object_free(&object);
    close(c->in);
    return NULL;
}

/* ---- the upload */

static int on_upload(void *ctx, uint64_t moved)
{
    struct copy *c = ctx;

    (void)moved; /* what was taken counts */
    if (c->progress != NULL && c->progress(c->progress_ctx, c->at, c->size) != 0)
        c->stop = c->stopped = true;
    return c->stopped;
}

static int from_pipe(void *ctx, uint64_t offset, void *data, size_t cap, size_t *len)
{
    struct copy *c = ctx;

    if (offset != c->at) return -1; /* a pipe does not go back */
    for (;;) {
        struct pollfd ready = {.fd = c->out, .events = POLLIN};
        ssize_t       n;

        if (on_upload(c, 0)) return -1;
        if (poll(&ready, 1, POLL_MS) <= 0) continue;
        n = read(c->out, data, cap);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return -1;
        *len = (size_t)n; /* 0 before the end: the download has failed */
        c->at += *len;
        return 0;
    }
}

static wfldb_put_options put_options(const wfldb_copy_options *o, const wfldb_object *source)
{
    return (wfldb_put_options){
        .content_type = source->content_type,
        .meta = o->meta == NULL ? source->meta : o->meta,
        .meta_count = o->meta == NULL ? source->meta_count : o->meta_count,
        .tags = o->tags == NULL ? source->tags : o->tags,
        .tag_count = o->tags == NULL ? source->tag_count : o->tag_count,
        .if_match = o->if_match,
        .if_none_match = o->if_none_match,
        .buffered = o->buffered,
    };
}

/* A write into a pipe that nobody reads is an error of the download, not a signal. */
static int start(pthread_t *thread, struct copy *c)
{
    sigset_t all, before;
    int      rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, NULL, download, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

/* Why the pipe gave no more. */
static void explain(const struct copy *c, wfldb_error *err)
{
    if (c->stopped)
        (void)transfer_fail(err, "stopped", "stopped by the caller");
    else if (c->rc != 0 && c->err.status == 404)
        (void)transfer_fail(err, "changed", "the object was replaced while it was copied");
    else if (c->rc != 0)
        *err = c->err;
}

static int stream(struct copy *c, wfldb *db, const char *to_bucket, const char *to,
                  const wfldb_put_options *options, const char *blake3, wfldb_object *out,
                  wfldb_error *err)
{
    struct watch watch = {on_upload, c, true}; /* a pipe's content comes once */
    pthread_t    thread;
    int          rc;

    if (start(&thread, c) != 0) {
        close(c->in);
        return transfer_fail(err, "memory", "no thread could be started");
    }
    rc = upload_put_stream(db, to_bucket, to, from_pipe, c, c->size, blake3, options, &watch, out,
                           err);
    if (rc != 0) c->stop = true;
    close(c->out); /* whoever still writes ends now */
    c->out = -1;
    pthread_join(thread, NULL);
    if (rc != 0 && strcmp(err->code, "source") == 0) explain(c, err);
    return rc;
}

static int open_pipe(struct copy *c, wfldb *db, wfldb_error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) return transfer_fail_errno(err, "source", "a pipe");
    c->out = ends[0];
    c->in = ends[1];
    c->reader = call_clone(db);
    if (c->reader != NULL) return 0;
    close(c->in);
    return transfer_fail(err, "memory", "out of memory");
}

int wfldb_copy_across(wfldb *db, const char *from_bucket, const char *from, const char *to_bucket,
                      const char *to, const wfldb_copy_options *options,
                      const wfldb_transfer_options *transfer, wfldb_object *source,
                      wfldb_object *out, wfldb_error *err)
{
    const wfldb_copy_options     none = {0}, *o = options == NULL ? &none : options;
    const wfldb_transfer_options plain = {0}, *t = transfer == NULL ? &plain : transfer;
    const wfldb_as_of            as_of = {.version = o->from_version};
    wfldb_object                 what = {0};
    wfldb_put_options            put;
    struct copy                  c = {.bucket = from_bucket,
                                      .key = from,
                                      .no_retry = t->no_retry,
                                      .out = -1,
                                      .progress = t->progress,
                                      .progress_ctx = t->progress_ctx};
    int                          rc;

    memset(out, 0, sizeof *out);
    if (source != NULL) memset(source, 0, sizeof *source);
    if (wfldb_head_as_of(db, from_bucket, from, &as_of, &what, err) != 0) return -1;
    memcpy(c.version, what.version, sizeof c.version);
    c.size = what.size;
    put = put_options(o, &what);
    rc = open_pipe(&c, db, err);
    if (rc == 0) rc = stream(&c, db, to_bucket, to, &put, what.blake3, out, err);
    if (c.out >= 0) close(c.out);
    call_clone_free(c.reader);
    if (rc == 0 && source != NULL)
        *source = what;
    else
        wfldb_object_free(&what);
    return rc;
}
