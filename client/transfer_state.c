/* SPDX-License-Identifier: Apache-2.0
 *
 * One file in the state folder for each transfer, named by a hash of what makes it the same one,
 * mode 0600. It is locked while a transfer uses it, so a second one of the same name starts
 * without. Written in place: a kill leaves the old or the new text; a torn one is no JSON and
 * counts as none. It proves nothing: parts are compared by hash, a download by the hash of the
 * whole. */
#include "client/transfer_state.h"

#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_BYTES_MAX (1u << 20)

static void add_text(struct wfl_hasher *h, const char *text)
{
    wfl_hasher_add(h, wfl_slice_of(text, strlen(text) + 1)); /* the NUL parts them */
}

static char *path_of(const char *dir, const struct transfer_name *name)
{
    struct wfl_hasher h;
    wfl_hash          hash;
    char              hex[2 * 16 + 1], *path = NULL;

    wfl_hasher_init(&h);
    add_text(&h, name->kind);
    add_text(&h, name->endpoint);
    add_text(&h, name->bucket);
    add_text(&h, name->key);
    add_text(&h, name->path);
    hash = wfl_hasher_result(&h);
    wfl_hex_encode(wfl_slice_of(hash.bytes, 16), hex);
    return asprintf(&path, "%s/%s-%s.json", dir, name->kind, hex) < 0 ? NULL : path;
}

/* As mkdir -p with 0700. */
static void make_folders(const char *dir)
{
    char *path = strdup(dir);

    for (char *at = path; at != NULL && *at != '\0'; at++) {
        if (*at != '/' || at == path) continue;
        *at = '\0';
        (void)mkdir(path, 0700);
        *at = '/';
    }
    if (path != NULL) (void)mkdir(path, 0700);
    free(path);
}

/* Ours alone and still the file of that name. */
static bool is_ours(int fd, const char *path)
{
    struct stat have, named;

    return fstat(fd, &have) == 0 && S_ISREG(have.st_mode) && have.st_uid == geteuid() &&
           (have.st_mode & 077) == 0 && lstat(path, &named) == 0 && named.st_dev == have.st_dev &&
           named.st_ino == have.st_ino;
}

static int open_locked(const char *path, bool create)
{
    int fd =
        open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0), 0600);

    if (fd < 0) return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_ours(fd, path)) return fd;
    close(fd);
    return -1;
}

struct transfer_state transfer_state_open(const char *dir, const struct transfer_name *name,
                                          bool create)
{
    struct transfer_state s = TRANSFER_STATE_NONE;

    if (dir == NULL) return s;
    s.path = path_of(dir, name);
    if (s.path == NULL) return s;
    if (create) make_folders(dir);
    s.fd = open_locked(s.path, create);
    if (s.fd < 0) {
        free(s.path);
        s.path = NULL;
    }
    return s;
}

static bool member_is(const json_t *note, const char *member, const char *text)
{
    const char *value = json_string_value(json_object_get(note, member));

    return value != NULL && strcmp(value, text) == 0;
}

json_t *transfer_state_read(const struct transfer_state *s, const struct transfer_name *name)
{
    json_t *note = NULL;
    char   *text;
    ssize_t n;

    if (s->fd < 0) return NULL;
    text = malloc(STATE_BYTES_MAX);
    if (text == NULL) return NULL;
    n = pread(s->fd, text, STATE_BYTES_MAX, 0);
    if (n > 0 && (size_t)n < STATE_BYTES_MAX)
        note = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    if (member_is(note, "endpoint", name->endpoint) && member_is(note, "bucket", name->bucket) &&
        member_is(note, "key", name->key) && member_is(note, "path", name->path))
        return note;
    json_decref(note);
    return NULL;
}

bool transfer_state_write(const struct transfer_state *s, const struct transfer_name *name,
                          json_t *note)
{
    char  *text;
    size_t len;
    bool   ok;

    if (note == NULL || s->fd < 0) {
        json_decref(note);
        return false;
    }
    ok = json_object_set_new(note, "endpoint", json_string(name->endpoint)) == 0 &&
         json_object_set_new(note, "bucket", json_string(name->bucket)) == 0 &&
         json_object_set_new(note, "key", json_string(name->key)) == 0 &&
         json_object_set_new(note, "path", json_string(name->path)) == 0;
    text = ok ? json_dumps(note, JSON_COMPACT) : NULL;
    json_decref(note);
    if (text == NULL) return false;
    len = strlen(text);
    ok = len < STATE_BYTES_MAX && pwrite(s->fd, text, len, 0) == (ssize_t)len &&
         ftruncate(s->fd, (off_t)len) == 0;
    free(text);
    return ok;
}

void transfer_state_close(struct transfer_state *s, bool forget)
{
    if (s->fd >= 0) {
        if (forget) (void)unlink(s->path);
        close(s->fd);
    }
    free(s->path);
    *s = TRANSFER_STATE_NONE;
}
