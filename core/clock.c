/* SPDX-License-Identifier: Apache-2.0
 *
 * The system's clocks and randomness, and the two texts in which the protocol writes time. */
#include "core/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t which)
{
    struct timespec t;

    if (clock_gettime(which, &t) != 0) abort(); /* only a wrong clock id can fail */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t system_unix_ns(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_mono_ns(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

const struct wfl_clock wfl_clock_system = {.unix_ns = system_unix_ns, .mono_ns = system_mono_ns};

static void system_fill(void *ctx, uint8_t *out, size_t n)
{
    (void)ctx;
    while (n > 0) {
        ssize_t got = getrandom(out, n, 0);

        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) abort(); /* nothing made after this could be trusted */
        out += got;
        n -= (size_t)got;
    }
}

const struct wfl_random wfl_random_system = {.fill = system_fill};

/* ---- RFC 3339 */

static bool take_number(wfl_slice *in, size_t digits, unsigned min, unsigned max, unsigned *out)
{
    wfl_slice s;
    uint64_t  value;

    if (!wfl_slice_take(in, digits, &s) || !wfl_slice_to_u64(s, max, &value) || value < min)
        return false;
    *out = (unsigned)value;
    return true;
}

static bool take_char(wfl_slice *in, char c)
{
    wfl_slice s;

    return in->len > 0 && in->data[0] == (uint8_t)c && wfl_slice_take(in, 1, &s);
}

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01, by counting years in eras of 400 that begin in March. */
static int64_t days_from_civil(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2);
    int64_t era = y / 400, year_of_era = y - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static bool take_fraction(wfl_slice *in, int32_t *nsec)
{
    int32_t value = 0;
    size_t  digits = 0;

    *nsec = 0;
    if (!take_char(in, '.')) return true;
    while (digits < in->len && in->data[digits] >= '0' && in->data[digits] <= '9') {
        if (digits == 9) return false;
        value = value * 10 + (in->data[digits] - '0');
        digits++;
    }
    if (digits == 0) return false;
    for (size_t i = digits; i < 9; i++)
        value *= 10;
    in->data += digits;
    in->len -= digits;
    *nsec = value;
    return true;
}

bool wfl_time_parse(wfl_slice text, wfl_time *out)
{
    unsigned year, month, day, hour, minute, second;
    int32_t  nsec;

    if (!take_number(&text, 4, 1970, 9999, &year) || !take_char(&text, '-') ||
        !take_number(&text, 2, 1, 12, &month) || !take_char(&text, '-') ||
        !take_number(&text, 2, 1, 31, &day) || day > days_in_month(year, month) ||
        !take_char(&text, 'T') || !take_number(&text, 2, 0, 23, &hour) || !take_char(&text, ':') ||
        !take_number(&text, 2, 0, 59, &minute) || !take_char(&text, ':') ||
        !take_number(&text, 2, 0, 59, &second) || !take_fraction(&text, &nsec) ||
        !take_char(&text, 'Z') || text.len != 0) {
        return false;
    }
    out->sec = days_from_civil(year, month, day) * 86400 + (int64_t)hour * 3600 +
               (int64_t)minute * 60 + second;
    out->nsec = nsec;
    return true;
}

void wfl_time_format_ms(uint64_t unix_ms, char out[WFL_TIME_TEXT])
{
    time_t    sec = (time_t)(unix_ms / 1000);
    struct tm t;

    /* gmtime_r fails only past year 2^31, which no 48-bit millisecond count reaches. */
    if (gmtime_r(&sec, &t) == NULL) abort();
    snprintf(out, WFL_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", t.tm_year + 1900,
             t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (unsigned)(unix_ms % 1000));
}

void wfl_time_format_http(int64_t unix_sec, char out[WFL_TIME_TEXT])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t            sec = (time_t)unix_sec;
    struct tm         t;

    if (gmtime_r(&sec, &t) == NULL) abort();
    snprintf(out, WFL_TIME_TEXT, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
             months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}
