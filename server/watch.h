/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests that wait for changes: long polls and streams. */
#ifndef WFL_SERVER_WATCH_H
#define WFL_SERVER_WATCH_H

#include "server/change_page.h"
#include "server/server.h"

struct channel;

enum watch_state {
    WATCH_READING,  /* a page of its own is being read */
    WATCH_WAITING,  /* in its channel's list: it has all that there was */
    WATCH_DRAINING, /* a stream: enough waits to be written */
    WATCH_LATER,    /* the pool was full: the timer tries again */
    WATCH_ENDED,    /* answered */
};

struct watch { /* in the request's arena; its reactor's */
    struct request       *r;
    enum watch_state      state;
    enum change_format    format;
    bool                  waits;
    uint64_t              wait_ms; /* of a page */
    wfl_slice             prefix;
    uint32_t              limit;
    enum wfl_changes_from from;
    wfl_ulid              at; /* with WFL_CHANGES_AFTER: the position */

    /* watch.c's */
    wfl_ulid           told; /* the greatest position that the client knows of */
    uint32_t           bucket_id;
    bool               looked, begun;
    int64_t            deadline_ns; /* of a page; monotonic */
    int64_t            comment_ns;  /* of a stream of events: when the next one is due */
    int64_t            expires_sec; /* of the packet; Unix time */
    struct channel    *channel;
    struct watch      *next, *prev;              /* of the channel, while waiting */
    struct watch      *next_member, **at_member; /* of all of the channel */
    struct change_page page;
};

/* Begin: read, then answer or wait. The question in `w` is complete, the request permitted. */
void watch_start(struct watch *w);

#endif
