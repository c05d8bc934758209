/* SPDX-License-Identifier: Apache-2.0
 *
 * One pass over the request's headers. A name twice cannot get here: the canonical request refuses
 * repeated X-WflDB headers before the signature is looked at. */
#include "server/headers.h"
#include "server/target.h"

#include <stdlib.h>

#define CONTENT_TYPE_MAX 255

static int by_name(const void *a, const void *b)
{
    const struct wfl_name_value *x = a, *y = b;

    return wfl_slice_cmp(x->name, y->name);
}

static wfl_slice behind(wfl_slice name, size_t prefix)
{
    return wfl_slice_of(name.data + prefix, name.len - prefix);
}

static wfl_code check_pair(wfl_slice name, wfl_slice value, bool tag, wfl_error *err)
{
    if (!wfl_name_meta_valid(name)) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "a %s name has 1 to 64 of a-z 0-9 - and begins with a letter or digit",
                        tag ? "tag" : "metadata");
    }
    if (!wfl_name_meta_value_valid(value)) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "the value of %s %.*s is not visible ASCII and space; encode other text",
                        tag ? "tag" : "metadata", WFL_FMT(name));
    }
    if (tag && (value.len == 0 || value.len > WFL_TAG_VALUE_MAX)) {
        return wfl_fail(err, WFL_INVALID_HEADER, "the value of tag %.*s must have 1 to %d bytes",
                        WFL_FMT(name), WFL_TAG_VALUE_MAX);
    }
    return WFL_OK;
}

static wfl_code check_content_type(wfl_slice value, wfl_error *err)
{
    if (value.len == 0 || value.len > CONTENT_TYPE_MAX || !wfl_name_meta_value_valid(value)) {
        return wfl_fail(err, WFL_INVALID_HEADER,
                        "Content-Type must have 1 to %d visible characters", CONTENT_TYPE_MAX);
    }
    return WFL_OK;
}

wfl_code headers_read_object(const struct wfl_request *head, wfl_arena *arena, struct wfl_put *put,
                             wfl_error *err)
{
    static const wfl_slice meta_prefix = WFL_LIT("x-wfldb-meta-");
    static const wfl_slice tag_prefix = WFL_LIT("x-wfldb-tag-");
    struct wfl_name_value *meta, *tags;
    size_t                 meta_bytes = 0;
    wfl_code               rc = WFL_OK;

    meta = wfl_arena_get(arena, ((size_t)head->header_count + 1) * 2 * sizeof *meta);
    if (meta == NULL) return wfl_fail(err, WFL_NOMEM, "headers: out of memory");
    tags = meta + head->header_count + 1;
    put->content_type = WFL_S("application/octet-stream");
    for (uint32_t i = 0; i < head->header_count && rc == WFL_OK; i++) {
        wfl_slice name = head->headers[i].name, value = head->headers[i].value;

        if (wfl_slice_starts_with(name, meta_prefix)) {
            name = behind(name, meta_prefix.len);
            rc = check_pair(name, value, false, err);
            meta[put->meta_count++] = (struct wfl_name_value){name, value};
            meta_bytes += name.len + value.len;
        } else if (wfl_slice_starts_with(name, tag_prefix)) {
            name = behind(name, tag_prefix.len);
            rc = check_pair(name, value, true, err);
            tags[put->tag_count++] = (struct wfl_name_value){name, value};
        } else if (wfl_slice_eq(name, WFL_S("content-type"))) {
            rc = check_content_type(value, err);
            put->content_type = value;
        }
    }
    if (rc != WFL_OK) return rc;
    if (meta_bytes > WFL_META_BYTES_MAX) {
        return wfl_fail(err, WFL_INVALID_HEADER, "metadata of %zu bytes, at most %d are kept",
                        meta_bytes, WFL_META_BYTES_MAX);
    }
    if (put->tag_count > WFL_TAGS_MAX) {
        return wfl_fail(err, WFL_INVALID_HEADER, "%u tags, at most %d are kept", put->tag_count,
                        WFL_TAGS_MAX);
    }
    qsort(meta, put->meta_count, sizeof *meta, by_name);
    qsort(tags, put->tag_count, sizeof *tags, by_name);
    put->meta = meta;
    put->tags = tags;
    return WFL_OK;
}

wfl_code headers_read_conditions(const struct wfl_request *head, wfl_arena *arena,
                                 struct wfl_condition *match, struct wfl_condition *none_match,
                                 wfl_error *err)
{
    const struct wfl_header *h = wfl_request_header(head, WFL_S("if-match"));
    wfl_code                 rc = WFL_OK;

    *match = *none_match = (struct wfl_condition){.kind = WFL_COND_NONE};
    if (h != NULL) rc = wfl_condition_parse(h->value, false, arena, match, err);
    h = wfl_request_header(head, WFL_S("if-none-match"));
    if (rc == WFL_OK && h != NULL) rc = wfl_condition_parse(h->value, true, arena, none_match, err);
    return rc;
}
