/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of codes turned into look-ups, and messages that are put together on the way up. A text
 * may quote what a client sent, so it is made printable here, once for all. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct row {
    int         http;
    const char *name;
    const char *title;
};

#define WFL_CODE_ROW(name, http, wire, title) {http, wire, title},
static const struct row rows[] = {WFL_CODES(WFL_CODE_ROW)};
#undef WFL_CODE_ROW

static const struct row *row_of(wfl_code code)
{
    return &rows[(unsigned)code < WFL_CODE_COUNT ? code : WFL_INTERNAL];
}

int wfl_code_http(wfl_code code)
{
    return row_of(code)->http;
}

const char *wfl_code_name(wfl_code code)
{
    return row_of(code)->name;
}

const char *wfl_code_title(wfl_code code)
{
    return row_of(code)->title;
}

wfl_code wfl_code_of_name(wfl_slice name)
{
    for (unsigned code = 0; code < WFL_CODE_COUNT; code++)
        if (wfl_slice_eq(name, wfl_slice_str(rows[code].name))) return (wfl_code)code;
    return WFL_CODE_COUNT;
}

static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < 0x20 || *text > 0x7E) *text = '?';
    }
}

wfl_code(wfl_fail)(wfl_error *err, wfl_code code, const char *format, ...)
{
    va_list args;

    err->code = code;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    make_printable(err->message);
    return code;
}

wfl_code wfl_fail_errno(wfl_error *err, const char *step)
{
    int      number = errno;
    wfl_code code = number == ENOSPC || number == EDQUOT ? WFL_DISK_FULL
                    : number == ENOMEM                   ? WFL_NOMEM
                                                         : WFL_IO;
    char     reason[128];

    return wfl_fail(err, code, "%s: %s", step, strerror_r(number, reason, sizeof reason));
}

wfl_code wfl_wrap(wfl_error *err, const char *format, ...)
{
    char    inner[sizeof err->message];
    va_list args;
    int     n;

    memcpy(inner, err->message, sizeof inner);
    va_start(args, format);
    n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->message) {
        snprintf(err->message + n, sizeof err->message - (size_t)n, ": %.*s",
                 (int)(sizeof inner - 1), inner);
    }
    make_printable(err->message);
    return err->code;
}
