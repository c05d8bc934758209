/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a call is worth another attempt, and when. What passes by itself is a connection that is
 * lost or silent, and a server that says it is busy; a write is then sent under the nonce that it
 * had, so that it is done once whatever became of the first. What read and has handed something on
 * is not begun again. Pauses double up to a bound and are drawn from the upper half of it, so that
 * clients which lost one server do not come back in step; a server that says how long it will be
 * busy is waited for, within reason.
 *
 * A server that never answered this handle is no lost one: nothing listens there, or it is another
 * address that was meant, and whoever asks wants to know at once. */
#include "client/client_private.h"

#include <poll.h>

#define WRITE_ATTEMPTS  9
#define READ_ATTEMPTS   3
#define PAUSE_MS        100u
#define PAUSE_MS_MAX    5000u
#define RETRY_AFTER_MAX 30u /* seconds; a server that asks for more is not waited for */
#define TELL_MS         100

static bool has_passing_failure(const struct call *c)
{
    if (c->err->status != 0)
        return c->err->status == 408 || c->err->status == 429 || c->err->status == 503;
    if (!c->db->reached && !c->was_sent) return false;
    switch (c->failed) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static unsigned pause_ms(const struct call *c, unsigned attempt)
{
    unsigned most = PAUSE_MS << (attempt < 7 ? attempt - 1 : 6), ms;
    unsigned asked = c->err->status == 0 ? 0 : c->db->retry_after_s * 1000;
    uint16_t dice;

    if (most > PAUSE_MS_MAX) most = PAUSE_MS_MAX;
    wfl_random_fill(&wfl_random_system, (uint8_t *)&dice, sizeof dice);
    ms = most / 2 + (unsigned)dice % (most / 2 + 1);
    return asked > ms ? asked : ms;
}

/* False: the caller has said stop. */
static bool wait_for(struct call *c, unsigned ms)
{
    int64_t until = wfl_clock_mono_ns(&wfl_clock_system) / 1000000 + ms;

    for (;;) {
        int64_t left = until - wfl_clock_mono_ns(&wfl_clock_system) / 1000000;

        if (left <= 0) return true;
        if (c->watch != NULL && c->watch(c->watch_ctx, 0) != 0) {
            (void)call_fail(c, "stopped", "stopped by the caller");
            return false;
        }
        (void)poll(NULL, 0, left < TELL_MS ? (int)left : TELL_MS);
    }
}

bool call_wait_retry(struct call *c, unsigned attempt)
{
    unsigned attempts = c->is_write ? WRITE_ATTEMPTS : READ_ATTEMPTS;

    if (c->single || c->endless || attempt >= attempts || !has_passing_failure(c)) return false;
    if (c->sink != NULL && c->received > 0) return false;
    if (c->err->status != 0 && c->db->retry_after_s > RETRY_AFTER_MAX) return false;
    return wait_for(c, pause_ms(c, attempt));
}
