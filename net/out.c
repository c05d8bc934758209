/* SPDX-License-Identifier: Apache-2.0
 *
 * What a connection has to write: segments in order, each where its bytes lie, in memory or in a
 * file. They are written from there, as far as the socket takes them; a segment is released, and
 * its exchange told, when its last byte is out or when the connection is dropped. */
#include "net/tls.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOV_MAX_OURS  64
#define OUT_ITEMS_MAX (1u << 16)

static const struct wfl_alloc *alloc_of(const struct conn *c)
{
    return c->reactor->net->config.alloc;
}

static bool grow_queue(struct conn *c)
{
    struct out_queue *q = &c->out;
    uint32_t          cap = q->cap == 0 ? 16 : q->cap * 2;
    struct segment   *items;

    if (q->count < q->cap) return true;
    if (cap > OUT_ITEMS_MAX) return false;
    items = wfl_alloc_get(alloc_of(c), cap * sizeof *items);
    if (items == NULL) return false;
    for (uint32_t i = 0; i < q->count; i++)
        items[i] = q->items[(q->head + i) & (q->cap - 1)];
    wfl_alloc_free(alloc_of(c), q->items);
    q->items = items;
    q->head = 0;
    q->cap = cap;
    return true;
}

static bool queue(struct conn *c, struct segment segment)
{
    struct out_queue *q = &c->out;

    if (!grow_queue(c)) {
        if (segment.release != NULL) segment.release(segment.arg);
        c->state = CONN_CLOSED;
        return false;
    }
    if (!out_pending(c)) c->write_progress_ns = c->reactor->now_ns;
    q->items[(q->head + q->count++) & (q->cap - 1)] = segment;
    q->bytes += segment.len;
    q->ctl = NULL; /* what comes next must not be written into an earlier block */
    if (segment.x != NULL) segment.x->unwritten++;
    return true;
}

bool conn_queue(struct conn *c, const void *data, size_t len, void (*release)(void *), void *arg,
                struct wfl_exchange *x)
{
    return queue(
        c, (struct segment){.data = data, .len = len, .release = release, .arg = arg, .x = x});
}

bool conn_queue_part(struct conn *c, const struct wfl_body_part *part, struct wfl_exchange *x)
{
    return queue(c, (struct segment){.data = part->bytes.data,
                                     .len = part->bytes.len,
                                     .in_file = part->in_file,
                                     .fd = part->fd,
                                     .fd_at = part->fd_at,
                                     .release = part->release,
                                     .arg = part->arg,
                                     .x = x});
}

static void free_block(void *arg)
{
    struct {
        const struct wfl_alloc *alloc;
    } *block = arg;

    wfl_alloc_free(block->alloc, block);
}

bool conn_queue_copy(struct conn *c, wfl_slice bytes)
{
    const size_t      head = sizeof(struct wfl_alloc *);
    struct out_queue *q = &c->out;
    uint8_t          *block, *ctl;

    if (q->ctl != NULL && q->count > 0 && CTL_BLOCK_BYTES - q->ctl_len >= bytes.len) {
        memcpy(q->ctl + q->ctl_len, bytes.data, bytes.len);
        q->items[(q->head + q->count - 1) & (q->cap - 1)].len += bytes.len;
        q->ctl_len += bytes.len;
        q->bytes += bytes.len;
        return true;
    }
    block = wfl_alloc_get(alloc_of(c),
                          head + (bytes.len > CTL_BLOCK_BYTES ? bytes.len : CTL_BLOCK_BYTES));
    if (block == NULL) {
        c->state = CONN_CLOSED;
        return false;
    }
    memcpy(block, &(const struct wfl_alloc *){alloc_of(c)}, head);
    ctl = block + head;
    memcpy(ctl, bytes.data, bytes.len);
    if (!conn_queue(c, ctl, bytes.len, free_block, block, NULL)) return false;
    q->ctl = ctl;
    q->ctl_len = bytes.len;
    return true;
}

/* The front segment is out, or dropped. */
static void finish_segment(struct conn *c, size_t whole)
{
    struct out_queue *q = &c->out;
    struct segment    s = q->items[q->head];

    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
    if (q->count == 0) q->ctl = NULL;
    if (s.release != NULL) s.release(s.arg);
    if (s.x != NULL) exchange_written(s.x, whole);
}

void out_drop(struct conn *c)
{
    while (c->out.count > 0)
        finish_segment(c, c->out.items[c->out.head].len);
    c->out.bytes = 0;
}

bool out_advance(struct conn *c, size_t n)
{
    bool finished = false;

    c->out.bytes -= n;
    while (c->out.count > 0) {
        struct segment *s = &c->out.items[c->out.head];

        if (s->len > n) {
            if (s->in_file)
                s->fd_at += n;
            else
                s->data += n;
            s->len -= n;
            if (s->x != NULL && n < s->x->waiting_bytes) s->x->waiting_bytes -= n;
            break;
        }
        n -= s->len;
        finish_segment(c, s->len);
        finished = true;
    }
    return finished;
}

/* Segments in memory from the front on, up to one in a file. */
static ssize_t write_memory(struct conn *c, size_t *want)
{
    struct iovec  iov[IOV_MAX_OURS];
    struct msghdr message = {.msg_iov = iov};
    int           flags = MSG_NOSIGNAL;

    for (uint32_t i = 0; i < c->out.count && i < IOV_MAX_OURS; i++) {
        const struct segment *s = &c->out.items[(c->out.head + i) & (c->out.cap - 1)];

        if (s->in_file) {
            flags |= MSG_MORE; /* a head goes out with the first bytes of its body */
            break;
        }
        iov[i].iov_base = (void *)(uintptr_t)s->data;
        iov[i].iov_len = s->len;
        *want += s->len;
        message.msg_iovlen = i + 1;
    }
    return sendmsg(c->fd, &message, flags);
}

static ssize_t write_file(struct conn *c, size_t *want)
{
    const struct segment *s = &c->out.items[c->out.head];
    off_t                 at = (off_t)s->fd_at;
    ssize_t               n;

    *want = s->len;
    n = sendfile(c->fd, s->fd, &at, s->len);
    if (n > 0) return n;
    if (n == 0) errno = EIO; /* the file is shorter than was said: the peer must notice */
    return -1;
}

bool out_pending(const struct conn *c)
{
    return c->out.count > 0 || (c->tls != NULL && tls_has_output(c));
}

bool out_flush(struct conn *c)
{
    bool finished = false;

    if (c->tls != NULL) return tls_flush(c);
    while (c->out.count > 0 && c->state != CONN_CLOSED) {
        size_t  want = 0;
        ssize_t n =
            c->out.items[c->out.head].in_file ? write_file(c, &want) : write_memory(c, &want);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) c->state = CONN_CLOSED;
            break;
        }
        if (n > 0) c->write_progress_ns = c->reactor->now_ns;
        finished |= out_advance(c, (size_t)n);
        if ((size_t)n < want) break;
    }
    return finished;
}
