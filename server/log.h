/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON lines on stderr. A line is put together in memory and written by a thread of its own, so
 * that a slow terminal or pipe never holds a reactor; when the writer cannot follow, lines are
 * dropped and counted in the next one that fits. Values are escaped by the JSON writer: no input
 * can forge a line. What is logged is never a credential: callers pass thumbprints and paths, not
 * headers. */
#ifndef WFL_SERVER_LOG_H
#define WFL_SERVER_LOG_H

#include "core/core.h"

struct wfl_log;

enum wfl_log_level { WFL_LOG_ERROR, WFL_LOG_WARN, WFL_LOG_INFO };

/* One line under construction, on the caller's stack. */
struct wfl_log_line {
    struct wfl_log *log;
    wfl_json        json;
    wfl_buf         text;
};

/* Writes to `fd`, which stays the caller's. NOMEM, IO (no thread). */
WFL_MUST_USE wfl_code wfl_log_new(int fd, const struct wfl_clock *clock, struct wfl_log **out,
                                  wfl_error *err);
/* From now on the file descriptor is the log's to close. */
void wfl_log_owns(struct wfl_log *log);
/* Any thread: what comes from now on goes to `fd`, which becomes the log's; the one before, which
 * must be the log's own, is closed. */
void wfl_log_move(struct wfl_log *log, int fd);
/* Writes what is left, ends the thread. NULL is accepted. */
void wfl_log_free(struct wfl_log *log);

/* {"time":...,"level":...,"event":...  then any members by wfl_json_key and a value, then end. Any
 * thread. Every begin has its end. */
void wfl_log_begin(struct wfl_log *log, struct wfl_log_line *line, enum wfl_log_level level,
                   const char *event);
void wfl_log_end(struct wfl_log_line *line);
/* begin, one "message" member, end. */
WFL_PRINTF(4, 5)
void wfl_log_text(struct wfl_log *log, enum wfl_log_level level, const char *event,
                  const char *format, ...);

#endif
