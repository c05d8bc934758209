/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into a server under test: its clock of the day is the system's and what the file that
 * MOVABLE_CLOCK names says, nanoseconds in 8 bytes that another process may change at any time. The
 * monotonic clock stays as it is, as when an administrator sets the time. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t *moved_ns;

__attribute__((constructor)) static void open_file(void)
{
    const char *path = getenv("MOVABLE_CLOCK");
    int         fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void       *map = fd < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) {
        fprintf(stderr, "MOVABLE_CLOCK names no file of 8 bytes\n");
        _exit(2);
    }
    close(fd);
    moved_ns = map;
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t which, struct timespec *out)
{
    int64_t ns;

    if (syscall(SYS_clock_gettime, which, out) != 0) return -1;
    if (which != CLOCK_REALTIME || moved_ns == NULL) return 0;
    ns = (int64_t)out->tv_sec * 1000000000 + out->tv_nsec +
         __atomic_load_n(moved_ns, __ATOMIC_RELAXED);
    out->tv_sec = ns / 1000000000;
    out->tv_nsec = ns % 1000000000;
    return 0;
}
