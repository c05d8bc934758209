/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary of all rooms: bytes, memory, errors, ULIDs, names, time, codecs, hashes, JSON out.
 * No I/O, no threads. */
#ifndef WFL_CORE_CORE_H
#define WFL_CORE_CORE_H

#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/lock.h"
#include "core/name.h"
#include "core/slice.h"
#include "core/text.h"
#include "core/thread.h"
#include "core/ulid.h"

#endif
