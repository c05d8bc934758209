/* SPDX-License-Identifier: Apache-2.0
 *
 * Each wrapper counts, may end the process, may fail, and else passes on. A process that ends here
 * can lose what it wrote into segments and had not synced, as a power cut does. */
#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

struct faults faults;

#define WRAP(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

/* ---- what is written and not synced */

#define UNSYNCED_MAX 4096

static struct unsynced {
    int    fd;
    off_t  at;
    size_t n;
} unsynced[UNSYNCED_MAX];
static size_t          unsynced_count;
static pthread_mutex_t unsynced_lock = PTHREAD_MUTEX_INITIALIZER;

static void note_written(int fd, off_t at, size_t n)
{
    if (!faults.lose_unsynced) return;
    pthread_mutex_lock(&unsynced_lock);
    if (unsynced_count < UNSYNCED_MAX) unsynced[unsynced_count++] = (struct unsynced){fd, at, n};
    pthread_mutex_unlock(&unsynced_lock);
}

static void note_synced(int fd)
{
    size_t kept = 0;

    pthread_mutex_lock(&unsynced_lock);
    for (size_t i = 0; i < unsynced_count; i++) {
        if (unsynced[i].fd != fd) unsynced[kept++] = unsynced[i];
    }
    unsynced_count = kept;
    pthread_mutex_unlock(&unsynced_lock);
}

static void lose_unsynced(void)
{
    static uint8_t zeros[1u << 21];

    pthread_mutex_lock(&unsynced_lock);
    for (size_t i = 0; i < unsynced_count; i++) {
        if (pwrite(unsynced[i].fd, zeros, unsynced[i].n, unsynced[i].at) < 0) _exit(98);
    }
}

/* ---- before each call */

static bool fails(enum fault_call call)
{
    faults.calls[call]++;
    if (faults.kill_in > 0 && --faults.kill_in == 0) {
        if (faults.lose_unsynced) lose_unsynced();
        _exit(FAULT_EXIT);
    }
    if (faults.number[call] == 0) return false;
    errno = faults.number[call];
    return true;
}

WRAP(ssize_t, pwritev64, int fd, const struct iovec *parts, int count, off_t at);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int count, off_t at)
{
    ssize_t n;

    if (fails(FAULT_WRITE)) return -1;
    n = __real_pwritev64(fd, parts, count, at);
    if (n > 0) note_written(fd, at, (size_t)n);
    return n;
}

WRAP(int, fallocate64, int fd, int mode, off_t at, off_t n);
int __wrap_fallocate64(int fd, int mode, off_t at, off_t n)
{
    if (fails(FAULT_ALLOCATE)) return -1;
    if (faults.allocate_max != 0 && (uint64_t)n > faults.allocate_max) {
        errno = ENOSPC;
        return -1;
    }
    return __real_fallocate64(fd, mode, at, n);
}

WRAP(int, fdatasync, int fd);
int __wrap_fdatasync(int fd)
{
    int rc;

    if (fails(FAULT_SYNC)) return -1;
    rc = __real_fdatasync(fd);
    if (rc == 0) note_synced(fd);
    return rc;
}

WRAP(int, sync_file_range, int fd, off_t at, off_t n, unsigned flags);
int __wrap_sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
    return fails(FAULT_BACK) ? -1 : __real_sync_file_range(fd, at, n, flags);
}

WRAP(int, fsync, int fd);
int __wrap_fsync(int fd)
{
    return fails(FAULT_FSYNC) ? -1 : __real_fsync(fd);
}

WRAP(int, ftruncate64, int fd, off_t n);
int __wrap_ftruncate64(int fd, off_t n)
{
    return fails(FAULT_CUT) ? -1 : __real_ftruncate64(fd, n);
}

WRAP(int, unlinkat, int folder, const char *name, int flags);
int __wrap_unlinkat(int folder, const char *name, int flags)
{
    return fails(FAULT_UNLINK) ? -1 : __real_unlinkat(folder, name, flags);
}

WRAP(int, linkat, int from, const char *old, int to, const char *name, int flags);
int __wrap_linkat(int from, const char *old, int to, const char *name, int flags)
{
    return fails(FAULT_LINK) ? -1 : __real_linkat(from, old, to, name, flags);
}

WRAP(int, fstatvfs64, int fd, struct statvfs *out);
int __wrap_fstatvfs64(int fd, struct statvfs *out)
{
    int rc = __real_fstatvfs64(fd, out);

    if (faults.available != 0) out->f_bavail = faults.available / out->f_frsize;
    return rc;
}

WRAP(void, rocksdb_write_writebatch_wi, rocksdb_t *db, const rocksdb_writeoptions_t *options,
     rocksdb_writebatch_wi_t *batch, char **text);
void __wrap_rocksdb_write_writebatch_wi(rocksdb_t *db, const rocksdb_writeoptions_t *options,
                                        rocksdb_writebatch_wi_t *batch, char **text)
{
    if (fails(FAULT_GROUP)) {
        *text = strdup(errno == ENOSPC ? "IO error: No space left on device" : "IO error");
        return;
    }
    __real_rocksdb_write_writebatch_wi(db, options, batch, text);
}
