/* SPDX-License-Identifier: Apache-2.0
 *
 * Landlock by its system calls: the C library of Debian 12 has no wrappers, and its kernel headers
 * know the first three versions only, of which newer kernels have more. Each version's rights are
 * asked for where the kernel has them. */
#include "server/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Of later versions than the headers' (Documentation/userspace-api/landlock.rst). */
#define FS_TRUNCATE          (1ull << 14) /* 3 */
#define FS_IOCTL_DEV         (1ull << 15) /* 5 */
#define NET_BIND_TCP         (1ull << 0)  /* 4 */
#define NET_CONNECT_TCP      (1ull << 1)
#define SCOPE_ABSTRACT_UNIX  (1ull << 0) /* 6 */
#define SCOPE_SIGNAL         (1ull << 1)
#define CREATE_VERSION_QUERY 1u

struct attributes { /* struct landlock_ruleset_attr of version 6 */
    uint64_t fs, net, scoped;
};

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                   \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG)
#define FS_NEVER                                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |    \
     LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* What the libraries below us read while they run: numbers of processors, how memory is given, the
 * seed of RocksDB's names, the zone of its log's times. Of /proc our own part alone. */
static const char *const always_readable[] = {
    "/proc/self",
    "/proc/sys/kernel/random",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/etc/localtime",
    "/usr/share/zoneinfo",
};

static wfl_code allow(int ruleset, int fd, uint64_t rights, const char *path, wfl_error *err)
{
    const uint64_t of_files =
        LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;
    struct stat                       st;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};

    if (fstat(fd, &st) != 0) return wfl_fail_errno(err, path);
    if (!S_ISDIR(st.st_mode)) rule.allowed_access &= of_files;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        return wfl_fail(err, WFL_IO, "Landlock, %s: %s", path, strerror(errno));
    return WFL_OK;
}

static wfl_code allow_path(int ruleset, const char *path, uint64_t rights, bool must_be_there,
                           wfl_error *err)
{
    int      fd = open(path, O_PATH | O_CLOEXEC);
    wfl_code rc;

    if (fd < 0 && !must_be_there) return WFL_OK;
    if (fd < 0) return wfl_fail(err, WFL_IO, "%s: %s", path, strerror(errno));
    rc = allow(ruleset, fd, rights, path, err);
    close(fd);
    return rc;
}

/* The folder that the file really lies in; the file alone where that is the root of everything. One
 * that is not there is somebody else's error. */
static wfl_code allow_beside(int ruleset, const char *path, wfl_error *err)
{
    char        real[PATH_MAX], folder[PATH_MAX];
    const char *beside;

    if (realpath(path, real) == NULL) return WFL_OK;
    snprintf(folder, sizeof folder, "%s", real);
    beside = dirname(folder);
    return allow_path(ruleset, strcmp(beside, "/") == 0 ? real : beside, FS_READ, false, err);
}

/* The folder of a file that may not be there yet. */
static wfl_code allow_append(int ruleset, const char *path, wfl_error *err)
{
    char folder[PATH_MAX];

    snprintf(folder, sizeof folder, "%s", path);
    return allow_path(ruleset, dirname(folder),
                      LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG, false, err);
}

static struct attributes rights_of(int version)
{
    struct attributes a = {.fs = FS_READ | FS_WRITE | FS_NEVER};

    if (version >= 2) a.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3) a.fs |= FS_TRUNCATE;
    if (version >= 4) a.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (version >= 5) a.fs |= FS_IOCTL_DEV;
    if (version >= 6) a.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    return a;
}

static wfl_code add_rules(int ruleset, const struct wfl_sandbox_files *files, uint64_t handled,
                          wfl_error *err)
{
    wfl_code rc = allow_path(
        ruleset, files->writable,
        handled & (FS_READ | FS_WRITE | LANDLOCK_ACCESS_FS_REFER | FS_TRUNCATE), true, err);

    for (size_t i = 0; i < WFL_COUNT(always_readable) && rc == WFL_OK; i++)
        rc = allow_path(ruleset, always_readable[i], FS_READ, false, err);
    for (uint32_t i = 0; i < files->readable_count && rc == WFL_OK; i++)
        rc = allow_beside(ruleset, files->readable[i], err);
    if (files->appendable != NULL && rc == WFL_OK)
        rc = allow_append(ruleset, files->appendable, err);
    return rc;
}

wfl_code wfl_sandbox_files(const struct wfl_sandbox_files *files, enum wfl_sandbox_state *state,
                           wfl_error *err)
{
    long              version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION_QUERY);
    struct attributes a = rights_of((int)version);
    /* An older kernel refuses fields that it does not know unless they are zero. */
    int      ruleset;
    wfl_code rc;

    *state = WFL_SANDBOX_MISSING;
    if (version < 1) return WFL_OK;
    tzset(); /* before there is less to read */
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof a, 0);
    if (ruleset < 0) return wfl_fail(err, WFL_IO, "Landlock: %s", strerror(errno));
    rc = add_rules(ruleset, files, a.fs, err);
    if (rc == WFL_OK && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                         syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)) {
        rc = wfl_fail(err, WFL_IO, "Landlock: %s", strerror(errno));
    }
    close(ruleset);
    if (rc == WFL_OK) *state = WFL_SANDBOX_ON;
    return rc;
}
