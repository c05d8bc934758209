/* SPDX-License-Identifier: Apache-2.0
 *
 * An object into a file or a pipe. For a file the first request asks for one part and so learns the
 * size, the version and the hash; if that is all, it is done. Else the rest comes in parts, by
 * several connections where it is much, each with If-Match. What has come in order is hashed behind
 * the writers, so the hash of the whole is there soon after the last part. The file gets its name
 * when it compares well and is on the disk. A pipe gets one stream.
 *
 * Failure: a lost connection goes on where it broke off. An object replaced meanwhile (412) is
 * fetched anew into a file; a pipe has got a part of it, so it fails. What an interrupted download
 * left is used again for the same version only, and if the whole then compares badly, once anew. */
#include "client/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS_MAX     4 /* of an object that is replaced again and again */
#define SUFFIX         ".XXXXXX.part"
#define SUFFIX_LEN     (sizeof SUFFIX - 1)
#define TEMPORARY_TAIL ".part"

struct get {
    struct transfer t;
    const char     *path;
    unsigned        mode;

    char         version[32], blake3[65]; /* "": not known yet */
    uint64_t     size;                    /* or WFLDB_LENGTH_UNKNOWN */
    wfldb_object object;

    int      fd;
    char    *temporary;
    uint64_t part_bytes;
    uint32_t count;

    pthread_mutex_t   lock; /* of the rest, while the crew works */
    uint8_t          *have; /* of each part: it is in the file */
    uint32_t          next; /* none missing below */
    uint32_t          hashed;
    bool              hashing;
    struct wfl_hasher whole;
    uint8_t          *buffer; /* of who is hashing */

    char                 *real;
    struct transfer_name  name;
    struct transfer_state state;
    bool                  noted, resumed; /* the state is of this round; an earlier call began it */
};

/* A moment is asked for once; what follows is of the version that was current then. */
static wfldb_as_of as_of(const struct transfer *t, const char *version)
{
    wfldb_as_of settled = {.version = version};

    return t->as_of.at == NULL || version[0] == '\0' ? t->as_of : settled;
}

/* ---- one request into the file */

struct fetch {
    struct get  *g;
    struct call *call;
    uint64_t     at, end; /* of the file: the next byte, one behind the last */
    bool         checked, wrong;
    int          why; /* errno of a write */
};

static void copy_header(const struct call *c, const char *name, char *out, size_t cap)
{
    snprintf(out, cap, "%.*s", WFL_FMT(call_answer_header(c, name)));
}

/* The first answer says what there is to fetch. */
static bool learn(struct fetch *f)
{
    struct get *g = f->g;
    uint64_t    first = 0, last = 0;

    copy_header(f->call, "x-wfldb-version", g->version, sizeof g->version);
    copy_header(f->call, "x-wfldb-content-blake3", g->blake3, sizeof g->blake3);
    g->size = WFLDB_LENGTH_UNKNOWN;
    if (f->call->status == 206) {
        if (!object_content_range(f->call, &first, &last, &g->size) || first != 0 ||
            last >= f->end || g->version[0] == '\0')
            return false;
        f->end = last + 1;
    } else {
        (void)!wfl_slice_to_u64(call_answer_header(f->call, "content-length"), INT64_MAX, &g->size);
        f->end = g->size;
    }
    g->t.total = g->size;
    return true;
}

static bool is_range_asked_for(const struct fetch *f)
{
    uint64_t first = 0, last = 0, size = 0;

    return f->call->status == 206 && object_content_range(f->call, &first, &last, &size) &&
           first == f->at && last == f->end - 1 && size == f->g->size;
}

static int to_file(void *ctx, const void *data, size_t len)
{
    struct fetch  *f = ctx;
    const uint8_t *from = data;

    if (!f->checked) {
        f->checked = true;
        f->wrong = f->g->version[0] == '\0' ? !learn(f) : !is_range_asked_for(f);
    }
    if (f->wrong || len > f->end - f->at) {
        f->wrong = true;
        return -1;
    }
    while (len > 0) {
        ssize_t n = pwrite(f->g->fd, from, len, (off_t)f->at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            f->why = n < 0 ? errno : ENOSPC;
            return -1;
        }
        from += n;
        len -= (size_t)n;
        f->at += (uint64_t)n;
    }
    return 0;
}

/* What went wrong, where it was not the connection. */
static void explain(const struct fetch *f, wfldb_error *err)
{
    if (f->wrong) {
        (void)transfer_fail(err, "answer", "the answer is not what was asked for");
    } else if (f->why != 0) {
        errno = f->why;
        (void)transfer_fail_errno(err, "sink", f->g->path);
    } else if (f->g->version[0] != '\0' && err->status == 404) {
        (void)transfer_fail(err, "changed", "the object was removed while it was fetched");
    } else if (err->status == 412) {
        (void)transfer_fail(err, "changed", "the object was replaced while it was fetched");
    }
}

/* One request for f->at up to f->end; f->at moves on. */
static int fetch_once(struct fetch *f, wfldb *db, const struct watch *watch, bool ranged,
                      wfldb_object *out, wfldb_error *err)
{
    struct get       *g = f->g;
    const wfldb_as_of which = as_of(&g->t, g->version);
    struct call       c;
    int               rc;

    call_init(&c, db, "GET", g->t.bucket, g->t.key, err);
    object_as_of(&c, &which);
    c.sink = to_file;
    c.ctx = f;
    c.watch = watch->watch;
    c.watch_ctx = watch->ctx;
    c.single = true; /* fetch does it, from where it broke off */
    f->call = &c;
    if (ranged) {
        rc = object_get_range(&c, g->version[0] == '\0' ? NULL : g->version, f->at, f->end - f->at,
                              out);
    } else {
        rc = call_send(&c);
        if (rc == 0) rc = object_read(&c, out);
    }
    if (rc == 0 && !f->checked) f->wrong = !learn(f); /* no byte came */
    if (rc == 0 && !f->wrong && f->end != WFLDB_LENGTH_UNKNOWN && f->at != f->end)
        rc = call_fail(&c, "connection", "the answer is shorter than it says");
    if (rc == 0 && f->wrong) rc = -1;
    if (rc != 0) explain(f, err);
    f->call = NULL;
    call_fini(&c);
    return rc;
}

/* Again, from where it broke off, as long as it is the same version. */
static int fetch(struct fetch *f, wfldb *db, const struct watch *watch, bool caller,
                 wfldb_object *out, wfldb_error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        uint64_t from = f->at;

        f->checked = false;
        if (fetch_once(f, db, watch, f->end != WFLDB_LENGTH_UNKNOWN, out, err) == 0) return 0;
        if (f->wrong || f->g->version[0] == '\0' || f->end == WFLDB_LENGTH_UNKNOWN ||
            f->at == f->end)
            return -1;
        if (f->at > from) attempt = 1; /* it moves */
        if (!transfer_wait_retry(&f->g->t, db, err, attempt, caller)) return -1;
    }
}

/* ---- hashing behind the writers */

static int hash_range(struct get *g, uint64_t at, uint64_t end, wfldb_error *err)
{
    while (at < end) {
        size_t  cap = end - at < TRANSFER_IO_BYTES ? (size_t)(end - at) : TRANSFER_IO_BYTES;
        ssize_t n = pread(g->fd, g->buffer, cap, (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return transfer_fail_errno(err, "sink", g->path);
        if (n == 0)
            return transfer_fail(err, "corrupt", "%s was cut while it was written", g->temporary);
        wfl_hasher_add(&g->whole, wfl_slice_of(g->buffer, (size_t)n));
        at += (uint64_t)n;
    }
    return 0;
}

static uint64_t part_end(const struct get *g, uint32_t part)
{
    uint64_t end = (uint64_t)(part + 1) * g->part_bytes;

    return end < g->size ? end : g->size;
}

/* All parts that are there in one piece; one worker at a time, the others go on fetching. */
static int advance_hash(struct get *g, wfldb_error *err)
{
    int rc = 0;

    pthread_mutex_lock(&g->lock);
    while (!g->hashing && rc == 0 && g->hashed < g->count && g->have[g->hashed] && !g->t.stop) {
        uint32_t part = g->hashed;

        g->hashing = true;
        pthread_mutex_unlock(&g->lock);
        rc = hash_range(g, (uint64_t)part * g->part_bytes, part_end(g, part), err);
        pthread_mutex_lock(&g->lock);
        g->hashing = false;
        g->hashed++;
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* ---- state */

static void write_note_locked(struct get *g)
{
    char    *parts;
    uint32_t i;

    parts = g->state.fd < 0 ? NULL : malloc((size_t)g->count + 1);
    if (parts == NULL) return;
    for (i = 0; i < g->count; i++)
        parts[i] = g->have[i] ? '1' : '0';
    parts[i] = '\0';
    g->noted = transfer_state_write(&g->state, &g->name,
                                    json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "file",
                                              g->temporary, "version", g->version, "blake3",
                                              g->blake3, "size", (json_int_t)g->size, "part_bytes",
                                              (json_int_t)g->part_bytes, "parts", parts));
    free(parts);
}

static const char *text_of(const json_t *note, const char *name)
{
    const char *text = json_string_value(json_object_get(note, name));

    return text == NULL ? "" : text;
}

/* A file that we could have made beside the target, and nothing else. */
static int open_noted(const struct get *g, const char *file)
{
    size_t      len = strlen(g->path);
    const char *tail = file + len;
    struct stat st;
    int         fd;

    if (strlen(file) != len + SUFFIX_LEN || memcmp(file, g->path, len) != 0 || tail[0] != '.' ||
        strchr(tail, '/') != NULL || strcmp(tail + 7, TEMPORARY_TAIL) != 0)
        return -1;
    fd = open(file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        st.st_nlink == 1 && (st.st_mode & 077) == 0)
        return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static int plan_parts(struct get *g, uint64_t part_bytes, wfldb_error *err)
{
    g->part_bytes = part_bytes;
    g->count = (uint32_t)((g->size + part_bytes - 1) / part_bytes);
    g->have = calloc((size_t)g->count + 1, 1);
    return g->have == NULL ? transfer_fail(err, "memory", "out of memory") : 0;
}

static bool take_note(struct get *g, const json_t *note, wfldb_error *err)
{
    json_int_t  size = json_integer_value(json_object_get(note, "size"));
    json_int_t  part_bytes = json_integer_value(json_object_get(note, "part_bytes"));
    const char *parts = text_of(note, "parts");

    if (size <= 0 || part_bytes < 1 << 20 || (size - 1) / part_bytes >= WFLDB_PARTS_MAX ||
        strlen(text_of(note, "version")) != WFL_ULID_TEXT_LEN ||
        strlen(text_of(note, "blake3")) != sizeof g->blake3 - 1)
        return false;
    g->size = (uint64_t)size;
    if (plan_parts(g, (uint64_t)part_bytes, err) != 0 || strlen(parts) != g->count) return false;
    g->fd = open_noted(g, text_of(note, "file"));
    g->temporary = g->fd < 0 ? NULL : strdup(text_of(note, "file"));
    if (g->temporary == NULL) return false;
    snprintf(g->version, sizeof g->version, "%s", text_of(note, "version"));
    snprintf(g->blake3, sizeof g->blake3, "%s", text_of(note, "blake3"));
    for (uint32_t i = 0; i < g->count; i++)
        g->have[i] = parts[i] == '1';
    return true;
}

/* ---- a round: what was begun, or the object anew */

static void forget_file(struct get *g)
{
    if (g->fd >= 0) close(g->fd);
    if (g->temporary != NULL) (void)unlink(g->temporary);
    free(g->temporary);
    free(g->have);
    g->fd = -1;
    g->temporary = NULL;
    g->have = NULL;
}

static void begin_round(struct get *g)
{
    forget_file(g);
    wfldb_object_free(&g->object);
    g->version[0] = g->blake3[0] = '\0';
    g->size = WFLDB_LENGTH_UNKNOWN;
    g->count = g->next = g->hashed = 0;
    g->hashing = g->noted = g->resumed = false;
    wfl_hasher_init(&g->whole);
    g->t.done = 0;
    g->t.total = WFLDB_LENGTH_UNKNOWN;
    g->t.stop = false; /* the crew's; the caller's is told again */
}

/* 1: there is a beginning of the current version; 0: there is none. */
static int go_on(struct get *g, wfldb_error *err)
{
    json_t *note;
    bool    taken;

    if (g->real == NULL) return 0;
    g->state = transfer_state_open(g->t.state_dir, &g->name, false);
    note = transfer_state_read(&g->state, &g->name);
    taken = note != NULL && take_note(g, note, err);
    json_decref(note);
    if (!taken) return 0;
    g->noted = true;
    if (wfldb_head_as_of(g->t.db, g->t.bucket, g->t.key, &g->t.as_of, &g->object, err) != 0)
        return err->status == 404 ? 0 : -1;
    if (strcmp(g->object.version, g->version) != 0 || g->object.size != g->size) return 0;
    g->t.total = g->size;
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->have[i]) g->t.done += part_end(g, i) - (uint64_t)i * g->part_bytes;
    }
    g->resumed = true;
    return 1;
}

static int make_file(struct get *g, wfldb_error *err)
{
    if (asprintf(&g->temporary, "%s" SUFFIX, g->path) < 0) {
        g->temporary = NULL;
        return transfer_fail(err, "memory", "out of memory");
    }
    g->fd = mkostemps(g->temporary, sizeof TEMPORARY_TAIL - 1, O_CLOEXEC);
    if (g->fd >= 0) return 0;
    free(g->temporary);
    g->temporary = NULL;
    return transfer_fail_errno(err, "sink", g->path);
}

/* Room for all of it, or a word at once. */
static int reserve_room(struct get *g, wfldb_error *err)
{
    if (fallocate(g->fd, 0, 0, (off_t)g->size) == 0 ||
        (errno != ENOSPC && errno != EFBIG && errno != EDQUOT))
        return 0;
    return transfer_fail_errno(err, "sink", g->path);
}

/* The first part; small objects end here. */
static int begin(struct get *g, wfldb_error *err)
{
    struct watch watch = transfer_watch_caller(&g->t);
    struct fetch f = {.g = g, .end = g->t.multipart ? g->t.part_bytes : WFLDB_LENGTH_UNKNOWN};
    int          rc = make_file(g, err);

    if (rc == 0) rc = fetch(&f, g->t.db, &watch, true, &g->object, err);
    if (rc != 0 && err->status == 416) { /* an empty object has no range */
        f.end = WFLDB_LENGTH_UNKNOWN;
        rc = fetch(&f, g->t.db, &watch, true, &g->object, err);
    }
    if (rc != 0) return -1;
    if (g->size == WFLDB_LENGTH_UNKNOWN) g->size = f.at;
    if (f.at == g->size) { /* it came whole */
        g->t.done = g->size;
        rc = plan_parts(g, g->size == 0 ? 1 : g->size, err);
        if (rc == 0 && g->count > 0) g->have[0] = 1;
        return rc;
    }
    if (plan_parts(g, transfer_part_bytes(&g->t, g->size), err) != 0 || reserve_room(g, err) != 0)
        return -1;
    g->have[0] = f.at >= part_end(g, 0); /* not where so much comes that parts are larger */
    if (g->have[0]) g->t.done = f.at;
    if (g->real != NULL && g->state.fd < 0)
        g->state = transfer_state_open(g->t.state_dir, &g->name, true);
    write_note_locked(g);
    return 0;
}

static int get_step(struct worker *w, wfldb_error *err)
{
    struct get  *g = w->ctx;
    struct watch watch = transfer_watch_worker(w);
    struct fetch f = {.g = g};
    wfldb_object ignored = {0};
    uint32_t     part;

    pthread_mutex_lock(&g->lock);
    while (g->next < g->count && g->have[g->next])
        g->next++;
    part = g->next++;
    pthread_mutex_unlock(&g->lock);
    if (part >= g->count) return advance_hash(g, err);
    f.at = (uint64_t)part * g->part_bytes;
    f.end = part_end(g, part);
    if (fetch(&f, w->db, &watch, false, &ignored, err) != 0) return -1;
    wfldb_object_free(&ignored);
    w->moving = 0;
    g->t.done += f.end - (uint64_t)part * g->part_bytes;
    pthread_mutex_lock(&g->lock);
    g->have[part] = 1;
    write_note_locked(g);
    pthread_mutex_unlock(&g->lock);
    return advance_hash(g, err) == 0 ? 1 : -1;
}

static int check_whole(struct get *g, wfldb_error *err)
{
    wfl_hash hash;
    char     hex[65];

    if (advance_hash(g, err) != 0) return -1;
    if (g->hashed < g->count) return transfer_fail(err, "stopped", "stopped by the caller");
    hash = wfl_hasher_result(&g->whole);
    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
    if (strcmp(hex, g->blake3) == 0) return 0;
    return transfer_fail(err, "corrupt",
                         "the content received does not have the hash that the server names");
}

static int keep_file(struct get *g, wfldb_error *err)
{
    if (fchmod(g->fd, g->mode) != 0 || fsync(g->fd) != 0 || rename(g->temporary, g->path) != 0)
        return transfer_fail_errno(err, "sink", g->path);
    free(g->temporary);
    g->temporary = NULL; /* it is no more */
    return 0;
}

static int round_of(struct get *g, bool may_go_on, wfldb_error *err)
{
    bool     much;
    unsigned crew;
    int      rc;

    begin_round(g);
    rc = may_go_on ? go_on(g, err) : 0;
    if (rc == 0) {
        begin_round(g);
        rc = begin(g, err);
    }
    if (rc < 0) return -1;
    much = g->size > g->t.multipart_above;
    crew = much ? g->t.parallel : 1;
    rc = g->t.done == g->size ? 0 : transfer_run(&g->t, crew, get_step, g, err);
    if (rc == 0) rc = check_whole(g, err);
    return rc == 0 ? keep_file(g, err) : -1;
}

static int get_rounds(struct get *g, wfldb_error *err)
{
    for (unsigned round = 1;; round++) {
        bool anew;

        if (round_of(g, round == 1, err) == 0) return 0;
        anew =
            strcmp(err->code, "changed") == 0 || (strcmp(err->code, "corrupt") == 0 && g->resumed);
        if (!anew || round == ROUNDS_MAX) return -1;
    }
}

static void clean_up(struct get *g, bool ok, wfldb_error *err)
{
    bool keep = !ok && g->noted && g->temporary != NULL && transfer_can_go_on(err);

    if (keep) {
        transfer_say_kept(err);
        free(g->temporary);
        g->temporary = NULL;
    }
    forget_file(g);
    transfer_state_close(&g->state, !keep);
}

/* The target's name without links and dots in its folder, for the state alone. */
static char *real_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char       *folder = slash == NULL   ? strdup(".")
                         : slash == path ? strdup("/")
                                         : strndup(path, (size_t)(slash - path));
    char       *real = folder == NULL ? NULL : realpath(folder, NULL), *out = NULL;

    if (real != NULL && asprintf(&out, "%s/%s", real, slash == NULL ? path : slash + 1) < 0)
        out = NULL;
    free(folder);
    free(real);
    return out;
}

int wfldb_get_file(wfldb *db, const char *bucket, const char *key, const char *path, unsigned mode,
                   const wfldb_transfer_options *transfer, wfldb_object *out, wfldb_error *err)
{
    struct get *g = calloc(1, sizeof *g);
    int         rc;

    memset(out, 0, sizeof *out);
    if (g == NULL) return transfer_fail(err, "memory", "out of memory");
    if (transfer_init(&g->t, db, bucket, key, transfer, err) != 0) {
        free(g);
        return -1;
    }
    g->path = path;
    g->mode = mode;
    g->fd = -1;
    g->state = TRANSFER_STATE_NONE;
    g->buffer = malloc(TRANSFER_IO_BYTES);
    pthread_mutex_init(&g->lock, NULL);
    if (g->t.state_dir != NULL) g->real = real_name(path);
    g->name = (struct transfer_name){"get", wfldb_endpoint(db), bucket, key, g->real};
    rc = g->buffer == NULL ? transfer_fail(err, "memory", "out of memory") : get_rounds(g, err);
    if (rc == 0) {
        *out = g->object;
        out->size = g->size;
        g->object = (wfldb_object){0};
    }
    clean_up(g, rc == 0, err);
    wfldb_object_free(&g->object);
    pthread_mutex_destroy(&g->lock);
    transfer_fini(&g->t);
    free(g->buffer);
    free(g->real);
    free(g);
    return rc;
}

/* ---- into a pipe */

struct stream {
    struct transfer   t;
    int               fd;
    struct call      *call;
    struct wfl_hasher whole;
    char              version[32];
    uint64_t          at, size;
    bool              checked, wrong;
    int               why;
};

static bool stream_begins(struct stream *s)
{
    uint64_t first = 0, last = 0, size = 0;

    if (s->at > 0)
        return s->call->status == 206 && object_content_range(s->call, &first, &last, &size) &&
               first == s->at && size == s->size;
    copy_header(s->call, "x-wfldb-version", s->version, sizeof s->version);
    if (!wfl_slice_to_u64(call_answer_header(s->call, "content-length"), INT64_MAX, &s->size))
        s->size = WFLDB_LENGTH_UNKNOWN;
    s->t.total = s->size;
    return true;
}

static int to_pipe(void *ctx, const void *data, size_t len)
{
    struct stream *s = ctx;
    const uint8_t *from = data;

    if (!s->checked) {
        s->checked = true;
        s->wrong = !stream_begins(s);
    }
    if (s->wrong) return -1;
    wfl_hasher_add(&s->whole, wfl_slice_of(data, len));
    s->at += len;
    while (len > 0) {
        struct pollfd ready = {.fd = s->fd, .events = POLLOUT};
        ssize_t       n = write(s->fd, from, len);

        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            if (errno == EAGAIN) (void)poll(&ready, 1, 100);
            if (transfer_tell(&s->t, s->at - len)) return -1;
            continue;
        }
        if (n <= 0) {
            s->why = n < 0 ? errno : ENOSPC;
            return -1;
        }
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

static int on_stream(void *ctx, uint64_t moved)
{
    struct stream *s = ctx;

    (void)moved; /* of this request only */
    return transfer_tell(&s->t, s->at);
}

static int stream_once(struct stream *s, wfldb_object *out, wfldb_error *err)
{
    const wfldb_as_of which = as_of(&s->t, s->version);
    struct call       c;
    int               rc;

    call_init(&c, s->t.db, "GET", s->t.bucket, s->t.key, err);
    object_as_of(&c, &which);
    c.sink = to_pipe;
    c.ctx = s;
    c.watch = on_stream;
    c.single = true; /* the same here */
    c.watch_ctx = s;
    s->call = &c;
    s->checked = false;
    if (s->at > 0) {
        rc = object_get_range(&c, s->version, s->at, s->size - s->at, out);
    } else {
        rc = call_send(&c);
        if (rc == 0) rc = object_read(&c, out);
    }
    if (s->wrong) {
        rc = call_fail(&c, "answer", "the answer is not what was asked for");
    } else if (s->why != 0) {
        rc = call_fail(&c, "sink", strerror(s->why));
    } else if (s->t.stop && rc != 0) {
        rc = call_fail(&c, "stopped", "stopped by the caller");
    } else if (rc != 0 && s->at > 0 && (err->status == 412 || err->status == 404)) {
        rc = call_fail(&c, "changed", "the object was replaced while it was fetched");
    }
    s->call = NULL;
    call_fini(&c);
    return rc;
}

static int stream_all(struct stream *s, wfldb_object *out, wfldb_error *err)
{
    wfl_hash hash;
    char     hex[65];

    for (unsigned attempt = 1;; attempt++) {
        uint64_t from = s->at;

        if (stream_once(s, out, err) == 0) break;
        if (s->at == 0 || s->version[0] == '\0' || s->size == WFLDB_LENGTH_UNKNOWN ||
            s->at >= s->size)
            return -1;
        if (s->at > from) attempt = 1;
        if (!transfer_wait_retry(&s->t, s->t.db, err, attempt, true)) return -1;
    }
    out->size = s->at;
    hash = wfl_hasher_result(&s->whole);
    wfl_hex_encode(wfl_slice_of(hash.bytes, WFL_HASH_LEN), hex);
    if (strcmp(out->blake3, hex) == 0) return 0;
    wfldb_object_free(out);
    return transfer_fail(err, "corrupt",
                         "the content received does not have the hash that the server names");
}

int wfldb_get_fd(wfldb *db, const char *bucket, const char *key, int fd,
                 const wfldb_transfer_options *transfer, wfldb_object *out, wfldb_error *err)
{
    struct stream *s = calloc(1, sizeof *s);
    int            rc;

    memset(out, 0, sizeof *out);
    if (s == NULL) return transfer_fail(err, "memory", "out of memory");
    rc = transfer_init(&s->t, db, bucket, key, transfer, err);
    if (rc == 0) {
        s->fd = fd;
        wfl_hasher_init(&s->whole);
        rc = stream_all(s, out, err);
    }
    transfer_fini(&s->t);
    free(s);
    return rc;
}
