/* SPDX-License-Identifier: Apache-2.0
 *
 * A file or a pipe into an object. What is small goes in one PUT: hashed, then sent. What is large
 * goes in parts: the workers take turns at reading, so that parts and the whole are hashed in
 * order, and send at the same time. A file's part is read again while it is sent; a pipe's is kept
 * in a spool, so that the same bytes can be sent again.
 *
 * Failure: a part is tried again (transfer.c). An upload of a named file leaves a state; the next
 * call asks which parts the server has, compares them by hash, and sends the others. Every other
 * upload that fails is aborted. */
#include "client/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_MEMORY_MAX  (64u << 20) /* larger parts of a pipe wait in a file */
#define DOUBLE_EACH_PARTS 1000u       /* of a pipe: 16 MiB become 16 TiB in all */
#define LOOK_MS           100         /* for a stop, while a pipe is silent */

struct put {
    struct transfer          t;
    const wfldb_put_options *options;
    int                      fd;
    bool                     regular;
    uint64_t                 base, size; /* of a regular file: what is sent, from where */
    struct stat              before;
    uint8_t                 *buffer; /* TRANSFER_IO_BYTES; with `reading` held */

    pthread_mutex_t   reading; /* of what follows, while the crew works */
    wfldb_upload      upload;
    uint64_t          part_bytes;
    uint32_t          count;      /* parts read */
    uint64_t          read_bytes; /* in them */
    uint64_t          first_len; /* of a pipe's first part, read before the upload began; 0: none */
    bool              ended;
    struct wfl_hasher whole;
    wfldb_part       *parts; /* WFLDB_PARTS_MAX */
    wfldb_part       *had;   /* by the server, from an earlier call */
    size_t            had_count;
    int               spools[TRANSFER_PARALLEL_MAX]; /* of each worker; -1: none yet */
    bool              spool_is_file[TRANSFER_PARALLEL_MAX];

    char                 *real;
    struct transfer_name  name;
    struct transfer_state state;
    char                  whole_hex[65];
};

/* ---- reading */

static bool file_changed(const struct put *p)
{
    struct stat now;

    return p->regular && (fstat(p->fd, &now) != 0 || now.st_size != p->before.st_size ||
                          now.st_mtim.tv_sec != p->before.st_mtim.tv_sec ||
                          now.st_mtim.tv_nsec != p->before.st_mtim.tv_nsec);
}

/* What a request failed with, in words for the case that the file was written to. */
static void blame_file(const struct put *p, wfldb_error *err)
{
    bool content = strcmp(err->code, "source") == 0 || strcmp(err->code, "content_mismatch") == 0 ||
                   strcmp(err->code, "corrupt") == 0;

    if (content && file_changed(p))
        (void)transfer_fail(err, "source", "the file was changed while it was sent");
}

struct extent { /* of a file */
    int      fd;
    uint64_t at, len;
};

static int extent_source(void *ctx, uint64_t offset, void *data, size_t cap, size_t *len)
{
    const struct extent *e = ctx;
    ssize_t              n;

    if (cap > e->len - offset) cap = (size_t)(e->len - offset);
    do
        n = pread(e->fd, data, cap, (off_t)(e->at + offset));
    while (n < 0 && errno == EINTR);
    *len = n < 0 ? 0 : (size_t)n;
    return n < 0 ? -1 : 0;
}

static int hash_extent(struct put *p, const struct extent *e, struct wfl_hasher *a,
                       struct wfl_hasher *b, wfldb_error *err)
{
    for (uint64_t at = 0; at < e->len && !p->t.stop;) {
        size_t n = 0;

        if (extent_source((void *)(uintptr_t)e, at, p->buffer, TRANSFER_IO_BYTES, &n) != 0)
            return transfer_fail_errno(err, "source", "reading");
        if (n == 0) return transfer_fail(err, "source", "the file was cut while it was sent");
        wfl_hasher_add(a, wfl_slice_of(p->buffer, n));
        if (b != NULL) wfl_hasher_add(b, wfl_slice_of(p->buffer, n));
        at += n;
    }
    return p->t.stop ? transfer_fail(err, "stopped", "stopped by the caller") : 0;
}

/* Some bytes of a pipe; *len 0: its end. `caller`: this is the caller's thread. */
static int read_pipe(struct put *p, void *data, size_t cap, bool caller, uint64_t moving,
                     size_t *len, wfldb_error *err)
{
    for (;;) {
        struct pollfd ready = {.fd = p->fd, .events = POLLIN};
        int           rc = poll(&ready, 1, LOOK_MS);
        ssize_t       n;

        if (caller ? transfer_tell(&p->t, moving) : p->t.stop)
            return transfer_fail(err, "stopped", "stopped by the caller");
        if (rc == 0 || (rc < 0 && errno == EINTR)) continue;
        n = rc < 0 ? -1 : read(p->fd, data, cap);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) return transfer_fail_errno(err, "source", "reading");
        *len = (size_t)n;
        return 0;
    }
}

/* ---- spools */

static int spool_open(struct put *p, unsigned i, uint64_t part_bytes, wfldb_error *err)
{
    const char *folder = getenv("TMPDIR");
    bool        file = part_bytes > SPOOL_MEMORY_MAX;

    if (p->spools[i] >= 0 && p->spool_is_file[i] == file) return 0;
    if (p->spools[i] >= 0) close(p->spools[i]);
    if (folder == NULL || *folder == '\0') folder = "/tmp";
    p->spools[i] = file ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
                        : memfd_create("wfldb-part", MFD_CLOEXEC);
    p->spool_is_file[i] = file;
    return p->spools[i] >= 0 ? 0 : transfer_fail_errno(err, "source", "a place for a part");
}

static int spool_write(int fd, const uint8_t *data, size_t len, uint64_t at, wfldb_error *err)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return transfer_fail_errno(err, "source", "keeping a part");
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* Up to `want` bytes of the pipe into worker i's spool. */
static int spool_fill(struct put *p, unsigned i, uint64_t want, bool caller, uint64_t *len,
                      wfldb_error *err)
{
    *len = 0;
    if (spool_open(p, i, want, err) != 0) return -1;
    while (*len < want && !p->ended) {
        size_t cap = want - *len < TRANSFER_IO_BYTES ? (size_t)(want - *len) : TRANSFER_IO_BYTES;
        size_t n = 0;

        if (read_pipe(p, p->buffer, cap, caller, *len, &n, err) != 0 ||
            spool_write(p->spools[i], p->buffer, n, *len, err) != 0)
            return -1;
        p->ended = n == 0;
        *len += n;
    }
    return 0;
}

/* ---- one PUT */

static void finish_hash(const struct wfl_hasher *h, char hex[65])
{
    wfl_hash hash = wfl_hasher_result(h);

    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
}

static int put_extent(struct put *p, struct extent *e, wfldb_object *out, wfldb_error *err)
{
    struct watch watch = transfer_watch_caller(&p->t);

    wfl_hasher_init(&p->whole);
    if (hash_extent(p, e, &p->whole, NULL, err) != 0) return -1;
    finish_hash(&p->whole, p->whole_hex);
    p->t.total = e->len;
    if (upload_put_stream(p->t.db, p->t.bucket, p->t.key, extent_source, e, e->len, p->whole_hex,
                          p->options, &watch, out, err) == 0)
        return 0;
    blame_file(p, err);
    return -1;
}

struct pipe_source {
    struct put *p;
    uint64_t    taken;
    wfldb_error why;
};

static int pipe_source(void *ctx, uint64_t offset, void *data, size_t cap, size_t *len)
{
    struct pipe_source *s = ctx;

    if (offset != s->taken)
        return transfer_fail(&s->why, "source", "what came from a pipe cannot be sent again");
    if (read_pipe(s->p, data, cap, true, offset, len, &s->why) != 0) return -1;
    s->taken += *len;
    return 0;
}

static int put_pipe_in_one(struct put *p, wfldb_object *out, wfldb_error *err)
{
    struct watch       watch = transfer_watch_caller(&p->t);
    struct pipe_source s = {.p = p};

    if (upload_put_stream(p->t.db, p->t.bucket, p->t.key, pipe_source, &s, WFLDB_LENGTH_UNKNOWN,
                          NULL, p->options, &watch, out, err) == 0)
        return 0;
    if (strcmp(err->code, "source") == 0 && s.why.code[0] != '\0') *err = s.why;
    return -1;
}

/* ---- parts */

static uint64_t part_size(const struct put *p, uint32_t number)
{
    return p->regular ? p->part_bytes : p->part_bytes << ((number - 1) / DOUBLE_EACH_PARTS);
}

static void swap_spools(struct put *p, unsigned i)
{
    int  fd = p->spools[0];
    bool file = p->spool_is_file[0];

    p->spools[0] = p->spools[i];
    p->spool_is_file[0] = p->spool_is_file[i];
    p->spools[i] = fd;
    p->spool_is_file[i] = file;
}

/* The bytes of the next part, with `reading` held. e->len 0: there is none. */
static int next_extent(struct put *p, unsigned i, struct extent *e, wfldb_error *err)
{
    uint64_t at = (uint64_t)p->count * p->part_bytes;

    *e = (struct extent){.fd = p->fd};
    if (p->regular) {
        if (at >= p->size) return 0;
        e->at = p->base + at;
        e->len = p->size - at < p->part_bytes ? p->size - at : p->part_bytes;
        return 0;
    }
    if (p->first_len > 0) {
        swap_spools(p, i); /* it was read into the first one's, which nobody uses yet */
        e->len = p->first_len;
        p->first_len = 0;
    } else if (spool_fill(p, i, part_size(p, p->count + 1), false, &e->len, err) != 0) {
        return -1;
    }
    e->fd = p->spools[i];
    return 0;
}

/* 1: a part was read and hashed; 0: there is none any more. */
static int take_part(struct put *p, unsigned i, struct extent *e, wfldb_part *part,
                     wfldb_error *err)
{
    struct wfl_hasher hasher;

    if (next_extent(p, i, e, err) != 0) return -1;
    if (e->len == 0) return 0;
    if (p->count == WFLDB_PARTS_MAX)
        return transfer_fail(err, "source", "more than %d parts; make them larger",
                             WFLDB_PARTS_MAX);
    wfl_hasher_init(&hasher);
    if (hash_extent(p, e, &hasher, &p->whole, err) != 0) return -1;
    *part = (wfldb_part){.number = p->count + 1, .size = e->len};
    finish_hash(&hasher, part->blake3);
    p->parts[p->count++] = *part;
    p->read_bytes += e->len;
    if (p->ended) p->t.total = p->read_bytes; /* of a pipe: now it is known */
    return 1;
}

static bool server_has(const struct put *p, const wfldb_part *part)
{
    size_t low = 0, high = p->had_count;

    while (low < high) { /* they ascend */
        size_t mid = low + (high - low) / 2;

        if (p->had[mid].number < part->number)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->had_count && p->had[low].number == part->number &&
           p->had[low].size == part->size && strcmp(p->had[low].blake3, part->blake3) == 0;
}

static int send_part(struct worker *w, struct put *p, struct extent *e, const wfldb_part *part,
                     wfldb_error *err)
{
    struct watch watch = transfer_watch_worker(w);

    for (unsigned attempt = 1;; attempt++) {
        wfldb_part sent = *part;

        if (upload_put_part(w->db, p->t.bucket, p->t.key, &p->upload, extent_source, e, &watch,
                            &sent, err) == 0)
            return 0;
        w->moving = 0;
        if (!transfer_wait_retry(&p->t, w->db, err, attempt, false)) break;
    }
    blame_file(p, err);
    return -1;
}

static int put_step(struct worker *w, wfldb_error *err)
{
    struct put   *p = w->ctx;
    struct extent e = {0};
    wfldb_part    part = {0};
    int           rc;

    pthread_mutex_lock(&p->reading);
    rc = take_part(p, (unsigned)(w - p->t.workers), &e, &part, err);
    pthread_mutex_unlock(&p->reading);
    if (rc != 1) return rc;
    if (!server_has(p, &part) && send_part(w, p, &e, &part, err) != 0) return -1;
    w->moving = 0;
    p->t.done += part.size;
    return 1;
}

/* ---- an upload's state */

static void add_text(struct wfl_hasher *h, const char *text)
{
    if (text == NULL) text = "\n"; /* no value is that */
    wfl_hasher_add(h, wfl_slice_of(text, strlen(text) + 1));
}

/* Of everything that the start told the server: another wish is another upload. */
static void hash_options(const wfldb_put_options *o, char hex[65])
{
    static const wfldb_put_options none;
    struct wfl_hasher              h;

    if (o == NULL) o = &none;
    wfl_hasher_init(&h);
    add_text(&h, o->content_type);
    add_text(&h, o->if_match);
    add_text(&h, o->if_none_match ? "create" : NULL);
    add_text(&h, o->buffered ? "buffered" : NULL);
    for (size_t i = 0; i < o->meta_count; i++) {
        add_text(&h, o->meta[i].name);
        add_text(&h, o->meta[i].value);
    }
    add_text(&h, NULL);
    for (size_t i = 0; i < o->tag_count; i++) {
        add_text(&h, o->tags[i].name);
        add_text(&h, o->tags[i].value);
    }
    finish_hash(&h, hex);
}

static json_int_t mtime_ns(const struct put *p)
{
    return (json_int_t)p->before.st_mtim.tv_sec * 1000000000 + p->before.st_mtim.tv_nsec;
}

static json_int_t number_of(const json_t *note, const char *name)
{
    return json_integer_value(json_object_get(note, name));
}

static const char *text_of(const json_t *note, const char *name)
{
    const char *text = json_string_value(json_object_get(note, name));

    return text == NULL ? "" : text;
}

static bool note_fits(const struct put *p, const json_t *note)
{
    json_int_t part_bytes = number_of(note, "part_bytes");
    char       options[65];

    hash_options(p->options, options);
    return number_of(note, "size") == (json_int_t)p->size &&
           number_of(note, "mtime_ns") == mtime_ns(p) &&
           number_of(note, "base") == (json_int_t)p->base && part_bytes >= 1 << 20 &&
           (p->size - 1) / (uint64_t)part_bytes < WFLDB_PARTS_MAX &&
           strcmp(text_of(note, "options"), options) == 0;
}

static void write_note(struct put *p)
{
    char options[65];

    if (p->real == NULL) return;
    if (p->state.fd < 0) p->state = transfer_state_open(p->t.state_dir, &p->name, true);
    hash_options(p->options, options);
    (void)transfer_state_write(&p->state, &p->name,
                               json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "upload", p->upload.id,
                                         "size", (json_int_t)p->size, "base", (json_int_t)p->base,
                                         "mtime_ns", mtime_ns(p), "part_bytes",
                                         (json_int_t)p->part_bytes, "options", options));
}

/* 1: the noted upload goes on; 0: there is none. */
static int go_on(struct put *p, wfldb_error *err)
{
    json_t  *note;
    wfl_ulid ulid;
    int      rc = 0;

    if (p->real == NULL) return 0;
    p->state = transfer_state_open(p->t.state_dir, &p->name, false);
    note = transfer_state_read(&p->state, &p->name);
    if (note != NULL && wfl_ulid_parse(wfl_slice_str(text_of(note, "upload")), &ulid)) {
        memcpy(p->upload.id, text_of(note, "upload"), WFL_ULID_TEXT_LEN + 1);
        if (!note_fits(p, note)) { /* of a file that is no more; its parts only fill the disk */
            upload_give_up(p->t.db, p->t.bucket, p->t.key, &p->upload);
        } else if (wfldb_upload_parts(p->t.db, p->t.bucket, p->t.key, &p->upload, &p->had,
                                      &p->had_count, err) == 0) {
            p->part_bytes = (uint64_t)number_of(note, "part_bytes");
            rc = 1;
        } else if (err->status != 404) {
            rc = -1;
        }
    }
    json_decref(note);
    return rc;
}

/* ---- from start to completion */

static int begin(struct put *p, wfldb_error *err)
{
    int rc = go_on(p, err);

    if (rc != 0) return rc < 0 ? -1 : 0;
    p->part_bytes = p->regular ? transfer_part_bytes(&p->t, p->size) : p->t.part_bytes;
    if (wfldb_upload_start(p->t.db, p->t.bucket, p->t.key, p->options, &p->upload, err) != 0) {
        p->upload.id[0] = '\0';
        return -1;
    }
    write_note(p);
    return 0;
}

/* All bytes are there; what moves now is the list of parts. */
static int on_completion(void *ctx, uint64_t moved)
{
    (void)moved;
    return transfer_tell(ctx, 0);
}

static int complete(struct put *p, wfldb_object *out, wfldb_error *err)
{
    const struct watch watch = {on_completion, &p->t, p->t.attempts == 1};

    finish_hash(&p->whole, p->whole_hex);
    if (file_changed(p))
        return transfer_fail(err, "source", "the file was changed while it was sent");
    return upload_complete(p->t.db, p->t.bucket, p->t.key, &p->upload, p->parts, p->count,
                           p->whole_hex, &watch, out, err);
}

static void clean_up(struct put *p, bool ok, wfldb_error *err)
{
    bool begun = p->upload.id[0] != '\0';
    bool keep = !ok && begun && p->state.fd >= 0 && transfer_can_go_on(err);

    if (keep) transfer_say_kept(err);
    if (!ok && !keep && begun) upload_give_up(p->t.db, p->t.bucket, p->t.key, &p->upload);
    transfer_state_close(&p->state, !keep);
}

static int put_parts(struct put *p, wfldb_object *out, wfldb_error *err)
{
    int rc;

    p->parts = calloc(WFLDB_PARTS_MAX, sizeof *p->parts);
    if (p->parts == NULL) return transfer_fail(err, "memory", "out of memory");
    wfl_hasher_init(&p->whole);
    p->t.total = p->regular ? p->size : WFLDB_LENGTH_UNKNOWN;
    rc = begin(p, err);
    if (rc == 0) rc = transfer_run(&p->t, p->t.parallel, put_step, p, err);
    if (rc == 0) rc = complete(p, out, err);
    clean_up(p, rc == 0, err);
    return rc;
}

static int put_pipe(struct put *p, wfldb_object *out, wfldb_error *err)
{
    struct extent e = {0};

    if (!p->t.multipart) return put_pipe_in_one(p, out, err);
    if (spool_fill(p, 0, p->t.part_bytes, true, &e.len, err) != 0) return -1;
    if (p->ended) {
        e.fd = p->spools[0];
        return put_extent(p, &e, out, err);
    }
    p->first_len = e.len;
    return put_parts(p, out, err);
}

static int put_any(struct put *p, wfldb_object *out, wfldb_error *err)
{
    off_t at;

    if (fstat(p->fd, &p->before) != 0) return transfer_fail_errno(err, "source", "the source");
    if (S_ISDIR(p->before.st_mode)) {
        errno = EISDIR;
        return transfer_fail_errno(err, "source", "reading");
    }
    at = lseek(p->fd, 0, SEEK_CUR);
    /* Files that are made up while they are read (/proc) say that they are empty. */
    p->regular = S_ISREG(p->before.st_mode) && at >= 0 && p->before.st_size > at;
    if (!p->regular) return put_pipe(p, out, err);
    p->base = (uint64_t)at;
    p->size = (uint64_t)p->before.st_size - p->base;
    if (p->t.multipart && p->size > p->t.multipart_above) return put_parts(p, out, err);
    return put_extent(p, &(struct extent){p->fd, p->base, p->size}, out, err);
}

int wfldb_put_fd(wfldb *db, const char *bucket, const char *key, int fd, const char *path,
                 const wfldb_put_options *options, const wfldb_transfer_options *transfer,
                 wfldb_object *out, wfldb_error *err)
{
    struct put *p = calloc(1, sizeof *p);
    int         rc;

    memset(out, 0, sizeof *out);
    if (p == NULL) return transfer_fail(err, "memory", "out of memory");
    if (transfer_init(&p->t, db, bucket, key, transfer, err) != 0) {
        free(p);
        return -1;
    }
    p->fd = fd;
    p->options = options;
    p->state = TRANSFER_STATE_NONE;
    p->buffer = malloc(TRANSFER_IO_BYTES);
    pthread_mutex_init(&p->reading, NULL);
    for (unsigned i = 0; i < TRANSFER_PARALLEL_MAX; i++)
        p->spools[i] = -1;
    if (path != NULL && p->t.state_dir != NULL) p->real = realpath(path, NULL);
    p->name = (struct transfer_name){"put", wfldb_endpoint(db), bucket, key, p->real};
    rc = p->buffer == NULL ? transfer_fail(err, "memory", "out of memory") : put_any(p, out, err);
    for (unsigned i = 0; i < TRANSFER_PARALLEL_MAX; i++) {
        if (p->spools[i] >= 0) close(p->spools[i]);
    }
    pthread_mutex_destroy(&p->reading);
    transfer_fini(&p->t);
    free(p->buffer);
    free(p->parts);
    free(p->had);
    free(p->real);
    free(p);
    return rc;
}
