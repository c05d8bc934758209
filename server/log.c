/* SPDX-License-Identifier: Apache-2.0
 *
 * Two buffers: callers append to one under a short lock while the writer empties the other. The
 * append is a memcpy of a few hundred bytes; the write happens outside the lock. A full buffer
 * drops the line and counts it, because blocking here would let a stuck pipe stop the service. */
#include "server/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_BUFFER_MAX (4u << 20)
#define LOG_LINE_MAX   (16u << 10)
/* A line waits at most this long for company, so that a busy server makes few write calls. */
#define LOG_DELAY_NS 20000000L

struct wfl_log {
    const struct wfl_clock *clock;
    int                     fd;      /* the writer's, once it runs */
    int                     next_fd; /* takes its place; -1: none */
    bool                    owns;
    wfl_mutex               lock;
    pthread_cond_t          wake;
    pthread_t               writer;
    wfl_buf                 filling;
    wfl_buf                 writing; /* writer thread only */
    uint64_t                dropped;
    bool                    stopping;
};

static void write_all(int fd, wfl_slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* nowhere left to complain to */
        text.data += n;
        text.len -= (size_t)n;
    }
}

static void *writer_run(void *arg)
{
    struct wfl_log *log = arg;
    bool            stopping = false;

    wfl_thread_introduce("wfl-log", 0);
    while (!stopping) {
        wfl_buf swap;
        int     next_fd;

        wfl_mutex_lock(&log->lock);
        while (log->filling.len == 0 && !log->stopping)
            wfl_mutex_wait(&log->lock, &log->wake);
        stopping = log->stopping;
        swap = log->filling;
        log->filling = log->writing;
        log->writing = swap;
        next_fd = log->next_fd;
        log->next_fd = -1;
        wfl_mutex_unlock(&log->lock);
        if (next_fd >= 0) {
            close(log->fd);
            log->fd = next_fd;
        }

        write_all(log->fd, wfl_buf_slice(&log->writing));
        log->writing.len = 0;
        log->writing.failed = false;
        if (!stopping) nanosleep(&(struct timespec){.tv_nsec = LOG_DELAY_NS}, NULL);
    }
    return NULL;
}

wfl_code wfl_log_new(int fd, const struct wfl_clock *clock, struct wfl_log **out, wfl_error *err)
{
    struct wfl_log *log = wfl_alloc_zero(&wfl_alloc_libc, 1, sizeof *log);

    if (log == NULL) return wfl_fail(err, WFL_NOMEM, "log: out of memory");
    log->clock = clock;
    log->fd = fd;
    log->next_fd = -1;
    wfl_mutex_init(&log->lock, WFL_RANK_LOG);
    pthread_cond_init(&log->wake, NULL);
    wfl_buf_init(&log->filling, &wfl_alloc_libc, LOG_BUFFER_MAX);
    wfl_buf_init(&log->writing, &wfl_alloc_libc, LOG_BUFFER_MAX);
    if (!wfl_thread_start(&log->writer, writer_run, log)) {
        wfl_mutex_fini(&log->lock);
        pthread_cond_destroy(&log->wake);
        wfl_alloc_free(&wfl_alloc_libc, log);
        return wfl_fail(err, WFL_IO, "log: no thread could be started");
    }
    *out = log;
    return WFL_OK;
}

void wfl_log_owns(struct wfl_log *log)
{
    log->owns = true;
}

void wfl_log_move(struct wfl_log *log, int fd)
{
    wfl_mutex_lock(&log->lock);
    if (log->next_fd >= 0) close(log->next_fd); /* nothing was written to it yet */
    log->next_fd = fd;
    wfl_mutex_unlock(&log->lock);
}

void wfl_log_free(struct wfl_log *log)
{
    if (log == NULL) return;
    wfl_mutex_lock(&log->lock);
    log->stopping = true;
    pthread_cond_signal(&log->wake);
    wfl_mutex_unlock(&log->lock);
    pthread_join(log->writer, NULL);
    if (log->next_fd >= 0) close(log->next_fd);
    if (log->owns) close(log->fd);
    wfl_buf_fini(&log->filling);
    wfl_buf_fini(&log->writing);
    pthread_cond_destroy(&log->wake);
    wfl_mutex_fini(&log->lock);
    wfl_alloc_free(&wfl_alloc_libc, log);
}

void wfl_log_begin(struct wfl_log *log, struct wfl_log_line *line, enum wfl_log_level level,
                   const char *event)
{
    static const char *const names[] = {"error", "warn", "info"};
    char                     time[WFL_TIME_TEXT];

    line->log = log;
    wfl_buf_init(&line->text, &wfl_alloc_libc, LOG_LINE_MAX);
    wfl_json_init(&line->json, &line->text);
    wfl_time_format_ms(wfl_clock_unix_ms(log->clock), time);
    wfl_json_object(&line->json);
    wfl_json_key(&line->json, "time");
    wfl_json_cstr(&line->json, time);
    wfl_json_key(&line->json, "level");
    wfl_json_cstr(&line->json, names[level]);
    wfl_json_key(&line->json, "event");
    wfl_json_cstr(&line->json, event);
}

void wfl_log_end(struct wfl_log_line *line)
{
    struct wfl_log *log = line->log;

    wfl_json_end(&line->json);
    wfl_buf_add_u8(&line->text, '\n');
    wfl_mutex_lock(&log->lock);
    if (log->dropped > 0 && wfl_buf_ok(&line->text)) {
        wfl_buf_printf(&log->filling,
                       "{\"level\":\"warn\",\"event\":\"log_dropped\",\"lines\":%llu}\n",
                       (unsigned long long)log->dropped);
        if (wfl_buf_ok(&log->filling)) log->dropped = 0;
    }
    if (wfl_buf_ok(&line->text)) wfl_buf_add(&log->filling, wfl_buf_slice(&line->text));
    if (!wfl_buf_ok(&line->text) || !wfl_buf_ok(&log->filling)) {
        log->dropped++;
        log->filling.failed = false;
    }
    pthread_cond_signal(&log->wake);
    wfl_mutex_unlock(&log->lock);
    wfl_buf_fini(&line->text);
}

void wfl_log_text(struct wfl_log *log, enum wfl_log_level level, const char *event,
                  const char *format, ...)
{
    struct wfl_log_line line;
    char                text[512];
    va_list             args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    wfl_log_begin(log, &line, level, event);
    wfl_json_key(&line.json, "message");
    wfl_json_cstr(&line.json, text);
    wfl_log_end(&line);
}
