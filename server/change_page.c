/* SPDX-License-Identifier: Apache-2.0
 *
 * See change_page.h. JSON has no bare line ends, so that a row is one line of a stream whatever its
 * key. Without memory a page is NOMEM, and nothing of it is sent. */
#include "server/change_page.h"

#include "server/wire.h"

#define PAGE_TEXT_MAX (64u << 20)

static const char *const kinds[] = {
    [WFL_CHANGED_PUT] = "put", [WFL_CHANGED_DELETE] = "delete", [WFL_CHANGED_ERASE] = "erase"};

/* ---- rows */

static void write_ulid(wfl_json *json, const char *key, const wfl_ulid *ulid)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(ulid, text);
    wfl_json_key(json, key);
    wfl_json_cstr(json, text);
}

static void write_put(wfl_json *json, const struct wfl_change *c)
{
    char hex[2 * WFL_HASH_LEN + 1];

    wfl_json_key(json, "size");
    wfl_json_u64(json, c->size);
    wfl_hex_encode(wfl_slice_of(c->blake3.bytes, WFL_HASH_LEN), hex);
    wfl_json_key(json, "blake3");
    wfl_json_cstr(json, hex);
    wfl_json_key(json, "tags");
    wfl_json_object(json);
    for (uint32_t i = 0; i < c->tag_count; i++) {
        wfl_json_key_slice(json, c->tags[i].name);
        wfl_json_str(json, c->tags[i].value);
    }
    wfl_json_end(json);
}

static void write_row(const struct wfl_change *c, wfl_buf *out)
{
    wfl_json json;

    wfl_json_init(&json, out);
    wfl_json_object(&json);
    write_ulid(&json, "version", &c->version);
    wfl_json_key(&json, "op");
    wfl_json_cstr(&json, kinds[c->kind]);
    wfl_json_key(&json, "key");
    wfl_json_str(&json, c->key);
    if (c->kind == WFL_CHANGED_PUT) write_put(&json, c);
    if (c->kind == WFL_CHANGED_ERASE) write_ulid(&json, "erased", &c->erased);
    if (c->by.len > 0) {
        wfl_json_key(&json, "by");
        wfl_json_str(&json, c->by);
    }
    if (!wfl_ulid_is_zero(&c->jti)) write_ulid(&json, "jti", &c->jti);
    wfl_json_end(&json);
}

void change_page_load(struct wfl_store *s, struct change_page *p)
{
    wfl_buf_init(&p->text, &wfl_alloc_libc, PAGE_TEXT_MAX);
    p->rc = wfl_store_changes(s, &p->read, &p->err);
    if (p->rc != WFL_OK || p->rows_only) return;
    p->ends = wfl_alloc_zero(&wfl_alloc_libc, (size_t)p->read.count + 1, sizeof *p->ends);
    for (uint32_t i = 0; p->ends != NULL && i < p->read.count; i++) {
        write_row(&p->read.changes[i], &p->text);
        p->ends[i] = p->text.len;
    }
    if (p->ends == NULL || !wfl_buf_ok(&p->text))
        p->rc = wfl_fail(&p->err, WFL_NOMEM, "no memory for a page of changes");
}

void change_page_fini(struct change_page *p)
{
    wfl_changes_fini(&p->read);
    wfl_buf_fini(&p->text);
    wfl_alloc_free(&wfl_alloc_libc, p->ends);
    p->ends = NULL;
}

/* ---- texts */

static bool is_wanted(const struct wfl_change *c, const struct change_wanted *w)
{
    return wfl_ulid_cmp(&c->version, &w->after) > 0 && wfl_slice_starts_with(c->key, w->prefix);
}

uint32_t change_page_count(const struct change_page *p, const struct change_wanted *w)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < p->read.count && count < w->limit; i++)
        count += is_wanted(&p->read.changes[i], w);
    return count;
}

static void add_row(const struct change_page *p, uint32_t i, enum change_format format, bool first,
                    wfl_buf *out)
{
    const struct wfl_change *c = &p->read.changes[i];
    size_t                   from = i == 0 ? 0 : p->ends[i - 1];
    char                     version[WFL_ULID_TEXT_LEN + 1];

    if (format == CHANGE_PAGE && !first) wfl_buf_add_u8(out, ',');
    if (format == CHANGE_EVENTS) {
        wfl_ulid_format(&c->version, version);
        wfl_buf_printf(out, "id: %s\nevent: %s\ndata: ", version, kinds[c->kind]);
    }
    wfl_buf_add(out, wfl_slice_of(p->text.data + from, p->ends[i] - from));
    if (format == CHANGE_EVENTS) wfl_buf_add_str(out, "\n\n");
    if (format == CHANGE_LINES) wfl_buf_add_u8(out, '\n');
}

static void end_page(const wfl_ulid *next, wfl_buf *out)
{
    char text[WFL_ULID_TEXT_LEN + 1];

    wfl_ulid_format(next, text);
    wfl_buf_printf(out, "],\"next\":\"%s\"}", text);
}

void change_page_write_empty(const wfl_ulid *next, enum change_format format, wfl_buf *out)
{
    if (format == CHANGE_WIRE) {
        wire_write_changes(NULL, 0, next, out);
        return;
    }
    wfl_buf_add_str(out, "{\"changes\":[");
    end_page(next, out);
}

/* The position behind row `i` - 1, the last one that was looked at: rows from `i` on are still to
 * come. */
static wfl_ulid position_at(const struct change_page *p, uint32_t i, const struct change_wanted *w)
{
    wfl_ulid next = i < p->read.count ? p->read.changes[i - 1].version : p->read.next;

    return wfl_ulid_cmp(&next, &w->after) < 0 ? w->after : next;
}

static uint32_t write_wire(const struct change_page *p, const struct change_wanted *w, wfl_buf *out,
                           wfl_ulid *last, wfl_ulid *next)
{
    struct wfl_change *rows =
        wfl_alloc_zero(&wfl_alloc_libc, (size_t)p->read.count + 1, sizeof *rows);
    uint32_t count = 0, i = 0;

    if (rows == NULL) {
        out->failed = true;
        return 0;
    }
    for (; i < p->read.count && count < w->limit; i++)
        if (is_wanted(&p->read.changes[i], w)) rows[count++] = p->read.changes[i];
    if (count > 0) *last = rows[count - 1].version;
    *next = position_at(p, i, w);
    wire_write_changes(rows, count, next, out);
    wfl_alloc_free(&wfl_alloc_libc, rows);
    return count;
}

uint32_t change_page_write(const struct change_page *p, const struct change_wanted *w,
                           enum change_format format, wfl_buf *out, wfl_ulid *last, wfl_ulid *next)
{
    uint32_t count = 0, i = 0;

    if (format == CHANGE_WIRE) return write_wire(p, w, out, last, next);
    if (format == CHANGE_PAGE) wfl_buf_add_str(out, "{\"changes\":[");
    for (; i < p->read.count && count < w->limit; i++) {
        if (!is_wanted(&p->read.changes[i], w)) continue;
        add_row(p, i, format, count == 0, out);
        *last = p->read.changes[i].version;
        count++;
    }
    *next = position_at(p, i, w);
    if (format == CHANGE_PAGE) end_page(next, out);
    return count;
}
