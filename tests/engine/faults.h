/* SPDX-License-Identifier: Apache-2.0
 *
 * The system under the local engine, made to fail: the linker puts these before the calls that
 * change the disk (--wrap). RocksDB's own calls are not among them, but each write of a group is.
 */
#ifndef WFL_TESTS_ENGINE_FAULTS_H
#define WFL_TESTS_ENGINE_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_call {
    FAULT_WRITE,    /* pwritev: records */
    FAULT_ALLOCATE, /* fallocate */
    FAULT_SYNC,     /* fdatasync: of a segment */
    FAULT_BACK,     /* sync_file_range: the same */
    FAULT_FSYNC,    /* of a folder */
    FAULT_CUT,      /* ftruncate */
    FAULT_UNLINK,
    FAULT_LINK,
    FAULT_GROUP, /* RocksDB's write of a batch */
    FAULT_CALLS
};

struct faults {
    _Atomic int      number[FAULT_CALLS]; /* while not 0 each call of the kind fails with it */
    _Atomic uint64_t calls[FAULT_CALLS];  /* so many so far */
    _Atomic uint64_t allocate_max;        /* not 0: larger files do not fit */
    _Atomic uint64_t available;           /* not 0: what statvfs says */
    _Atomic uint64_t kill_in;             /* the k-th call from now on does not happen: exit(99) */
    bool             lose_unsynced;       /* and what was written and not synced is zeros then */
};
extern struct faults faults;
#define FAULT_EXIT 99

#endif
