/* SPDX-License-Identifier: Apache-2.0
 *
 * One line, written over itself with a carriage return in one write(2), padded with spaces: no
 * escapes, so every terminal shows it, and nothing flickers.
 *
 *      45%  [=========>           ]  1.2 GiB of 2.7 GiB  312.0 MiB/s  0:05 left
 *      1.2 GiB  312.0 MiB/s  0:04                                    (where the size is not known)
 */
#include "client/progress.h"

#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DELAY_MS       300
#define DRAW_MS        100
#define SMOOTH_S       2.0 /* what is older counts little */
#define WIDTH_MAX      200u
#define LINE_BYTES_MAX ((size_t)2 * WIDTH_MAX)
#define WIDTH_ELSE     80u
#define BAR_MAX        30u

static int64_t now_ms(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system) / 1000000;
}

static unsigned terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return WIDTH_ELSE;
    return size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
}

static void write_size(wfl_buf *out, double bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t                   unit = 0;

    while (bytes >= 1024 && unit + 1 < WFL_COUNT(units)) {
        bytes /= 1024;
        unit++;
    }
    wfl_buf_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void write_time(wfl_buf *out, double seconds)
{
    unsigned long s = seconds < 0 ? 0 : seconds > 360000 ? 360000 : (unsigned long)seconds;

    if (s >= 3600)
        wfl_buf_printf(out, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        wfl_buf_printf(out, "%lu:%02lu", s / 60, s % 60);
}

static void write_bar(wfl_buf *out, unsigned width, double part)
{
    unsigned full = (unsigned)(part * width);

    wfl_buf_add_str(out, "[");
    for (unsigned i = 0; i < width; i++)
        wfl_buf_add_u8(out, i < full ? '=' : i == full ? '>' : ' ');
    wfl_buf_add_str(out, "]  ");
}

static void write_amounts(wfl_buf *out, const struct progress *p, uint64_t done, uint64_t total)
{
    write_size(out, (double)done);
    if (total != PROGRESS_UNKNOWN) {
        wfl_buf_add_str(out, " of ");
        write_size(out, (double)total);
    }
    wfl_buf_add_str(out, "  ");
    write_size(out, p->rate);
    wfl_buf_add_str(out, "/s  ");
    if (total == PROGRESS_UNKNOWN) {
        write_time(out, (double)(p->drawn_ms - p->began_ms) / 1000);
    } else if (p->rate >= 1) {
        write_time(out, (double)(total - done) / p->rate);
        wfl_buf_add_str(out, " left");
    } else {
        wfl_buf_add_str(out, "-:-- left");
    }
}

static void write_line(wfl_buf *line, const struct progress *p, unsigned width, uint64_t done,
                       uint64_t total)
{
    double   part = total == 0 ? 1 : (double)done / (double)total;
    wfl_buf  amounts;
    unsigned room;

    wfl_buf_init(&amounts, &wfl_alloc_libc, 256);
    write_amounts(&amounts, p, done, total);
    if (total != PROGRESS_UNKNOWN) {
        wfl_buf_printf(line, "%3u%%  ", (unsigned)(part * 100));
        room = width > amounts.len + line->len + 4 ? width - (unsigned)(amounts.len + line->len + 4)
                                                   : 0;
        if (room >= 8) write_bar(line, room < BAR_MAX ? room : BAR_MAX, part);
    }
    wfl_buf_add(line, wfl_buf_slice(&amounts));
    wfl_buf_fini(&amounts);
    if (line->len > width) line->len = width;
}

static void put_line(struct progress *p, wfl_slice line)
{
    char     text[LINE_BYTES_MAX + 4];
    size_t   n = 0;
    unsigned width = (unsigned)line.len;

    text[n++] = '\r';
    if (line.len > 0) memcpy(text + n, line.data, line.len);
    n += line.len;
    for (; width < p->width; width++)
        text[n++] = ' ';
    if (line.len == 0) text[n++] = '\r';
    p->width = (unsigned)line.len;
    (void)!write(STDERR_FILENO, text, n);
}

static void update_rate(struct progress *p, int64_t now, uint64_t done)
{
    double dt = (double)(now - (p->drawn_ms == 0 ? p->began_ms : p->drawn_ms)) / 1000;
    double rate = dt > 0 && done > p->last ? (double)(done - p->last) / dt : 0;

    p->rate = p->drawn_ms == 0 ? rate : p->rate + (rate - p->rate) * dt / (dt + SMOOTH_S);
    p->last = done;
}

void progress_begin(struct progress *p, bool wanted)
{
    *p = (struct progress){.wanted = wanted && isatty(STDERR_FILENO), .began_ms = now_ms()};
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
    int64_t now;
    wfl_buf line;

    if (!p->wanted) return;
    now = now_ms();
    if (!p->looked) p->last = p->first = done; /* what an earlier call did has no rate */
    p->looked = true;
    if (now - p->began_ms < DELAY_MS || now - p->drawn_ms < DRAW_MS) return;
    if (done > total) done = total;
    update_rate(p, now, done);
    p->drawn_ms = now;
    wfl_buf_init(&line, &wfl_alloc_libc, LINE_BYTES_MAX);
    write_line(&line, p, terminal_width() - 1, done, total);
    if (wfl_buf_ok(&line)) put_line(p, wfl_buf_slice(&line));
    wfl_buf_fini(&line);
}

void progress_end(struct progress *p)
{
    if (p->width > 0) put_line(p, (wfl_slice){0});
}
