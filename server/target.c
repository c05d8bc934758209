/* SPDX-License-Identifier: Apache-2.0
 *
 * A path is split at '/' before it is decoded, so that an encoded slash can never become a
 * separator; it is refused already when the canonical request is made, and here again for paths
 * that need none. Every failure is the client's and names what is wrong with the target, never a
 * credential. */
#include "server/target.h"

#define TAG_PREFIX WFL_S("tag.")

static wfl_code decode(wfl_slice raw, wfl_arena *arena, wfl_slice *out, wfl_error *err)
{
    size_t   len = 0;
    uint8_t *bytes = wfl_arena_get(arena, raw.len == 0 ? 1 : raw.len);

    if (bytes == NULL) return wfl_fail(err, WFL_NOMEM, "target: out of memory");
    if (!wfl_percent_decode(raw, bytes, &len)) {
        return wfl_fail(err, WFL_INVALID_REQUEST, "the target has a malformed percent escape");
    }
    *out = wfl_slice_of(bytes, len);
    return WFL_OK;
}

static bool has_encoded_slash(wfl_slice raw)
{
    for (size_t i = 0; i + 2 < raw.len; i++) {
        if (raw.data[i] == '%' && raw.data[i + 1] == '2' && (raw.data[i + 2] | 0x20) == 'f') {
            return true;
        }
    }
    return false;
}

static wfl_code parse_key(const struct wfl_request *r, wfl_slice raw, wfl_arena *arena,
                          struct wfl_target *out, wfl_error *err)
{
    wfl_code rc;

    if (has_encoded_slash(raw)) {
        return wfl_fail(err, WFL_INVALID_KEY, "an encoded slash is not part of any key");
    }
    rc = decode(raw, arena, &out->key, err);
    if (rc != WFL_OK) return rc;
    /* Reads under a reserved key are the bucket's own endpoints; writes are aimed at the key. */
    if (!wfl_slice_eq(r->method, WFL_S("PUT")) && !wfl_slice_eq(r->method, WFL_S("DELETE"))) {
        if (wfl_slice_eq(out->key, WFL_S("scan"))) {
            out->kind = WFL_TARGET_SCAN;
            return WFL_OK;
        }
        if (wfl_slice_eq(out->key, WFL_S("batch"))) {
            out->kind = WFL_TARGET_BATCH;
            return WFL_OK;
        }
        if (wfl_slice_eq(out->key, WFL_S("query"))) {
            out->kind = WFL_TARGET_QUERY;
            return WFL_OK;
        }
        if (wfl_slice_eq(out->key, WFL_S("changes"))) {
            out->kind = WFL_TARGET_CHANGES;
            return WFL_OK;
        }
    }
    out->kind = WFL_TARGET_OBJECT;
    return wfl_name_check_key(out->key, err);
}

wfl_code wfl_target_parse(const struct wfl_request *r, wfl_arena *arena, struct wfl_target *out,
                          wfl_error *err)
{
    wfl_slice rest = r->path, bucket;
    bool      has_key;
    wfl_code  rc;

    memset(out, 0, sizeof *out);
    out->kind = WFL_TARGET_NONE;
    if (!wfl_slice_starts_with(rest, WFL_S("/v1/"))) {
        return wfl_fail(err, WFL_NOT_FOUND, "every path here begins with /v1/");
    }
    rest = wfl_slice_of(rest.data + 4, rest.len - 4);
    if (rest.len == 0) {
        out->kind = WFL_TARGET_BUCKETS;
        return WFL_OK;
    }
    has_key = wfl_slice_split(&rest, '/', &bucket);
    rc = decode(bucket, arena, &out->bucket, err);
    if (rc != WFL_OK) return rc;
    if (wfl_slice_eq(out->bucket, WFL_S("-"))) {
        if (has_key && wfl_slice_eq(rest, WFL_S("server"))) {
            out->kind = WFL_TARGET_SERVER;
            return WFL_OK;
        }
        if (has_key && wfl_slice_eq(rest, WFL_S("scrub"))) {
            out->kind = WFL_TARGET_SCRUB;
            return WFL_OK;
        }
        if (has_key && wfl_slice_eq(rest, WFL_S("revocations"))) {
            out->kind = WFL_TARGET_REVOCATIONS;
            return WFL_OK;
        }
        if (has_key && wfl_slice_eq(rest, WFL_S("session"))) {
            out->kind = WFL_TARGET_SESSION;
            return WFL_OK;
        }
        if (has_key && wfl_slice_eq(rest, WFL_S("batch"))) {
            out->kind = WFL_TARGET_BATCH;
            out->bucket = (wfl_slice){0};
            return WFL_OK;
        }
        return wfl_fail(err, WFL_NOT_FOUND, "no such system path in this release");
    }
    if (!wfl_name_bucket_valid(out->bucket)) {
        return wfl_fail(
            err, WFL_INVALID_BUCKET,
            "a bucket name has 3 to 63 of a-z 0-9 . -, begins and ends with a letter or "
            "digit and has no '..'");
    }
    if (has_key) return parse_key(r, rest, arena, out, err);
    out->kind = WFL_TARGET_BUCKET;
    return WFL_OK;
}

bool wfl_target_is_open(const struct wfl_request *r)
{
    return wfl_slice_eq(r->path, WFL_S("/v1/-/server"));
}

static wfl_code take_param(wfl_slice name, wfl_slice value, struct wfl_param *params, size_t count,
                           wfl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!wfl_slice_eq(name, wfl_slice_str(params[i].name))) continue;
        if (params[i].given) {
            return wfl_fail(err, WFL_INVALID_QUERY, "parameter %s is given twice", params[i].name);
        }
        params[i].given = true;
        params[i].value = value;
        return WFL_OK;
    }
    return wfl_fail(err, WFL_INVALID_QUERY, "parameter '%.*s' is not known here",
                    (int)(name.len > 64 ? 64 : name.len), (const char *)name.data);
}

/* Cut the next parameter off `query`, decoded. */
static wfl_code next_param(wfl_slice *query, bool *more, wfl_arena *arena, wfl_slice *name,
                           wfl_slice *value, wfl_error *err)
{
    wfl_slice piece, raw_name;
    wfl_code  rc;

    *more = wfl_slice_split(query, '&', &piece);
    wfl_slice_split(&piece, '=', &raw_name);
    rc = decode(raw_name, arena, name, err);
    return rc == WFL_OK ? decode(piece, arena, value, err) : rc;
}

wfl_code wfl_query_parse(wfl_slice query, struct wfl_param *params, size_t count, wfl_arena *arena,
                         wfl_error *err)
{
    bool more = query.len > 0;

    while (more) {
        wfl_slice name, value;
        wfl_code  rc = next_param(&query, &more, arena, &name, &value, err);

        if (rc == WFL_OK) rc = take_param(name, value, params, count, err);
        if (rc != WFL_OK) return rc;
    }
    return WFL_OK;
}

static wfl_code take_tag(wfl_slice name, wfl_slice value, struct wfl_tag_query *out, wfl_error *err)
{
    struct wfl_tag_wanted *t = &out->tags[out->tag_count];

    if (out->tag_count == WFL_QUERY_TAGS_MAX)
        return wfl_fail(err, WFL_INVALID_QUERY, "a query has at most %d tags", WFL_QUERY_TAGS_MAX);
    t->name = wfl_slice_of(name.data + TAG_PREFIX.len, name.len - TAG_PREFIX.len);
    t->beginning = value.len > 0 && value.data[value.len - 1] == '*';
    t->value = wfl_slice_of(value.data, value.len - t->beginning);
    out->tag_count++;
    return WFL_OK;
}

wfl_code wfl_query_parse_tags(wfl_slice query, struct wfl_param *params, size_t count,
                              struct wfl_tag_query *out, wfl_arena *arena, wfl_error *err)
{
    bool more = query.len > 0;

    while (more) {
        wfl_slice name, value;
        wfl_code  rc = next_param(&query, &more, arena, &name, &value, err);

        if (rc == WFL_OK)
            rc = wfl_slice_starts_with(name, TAG_PREFIX)
                     ? take_tag(name, value, out, err)
                     : take_param(name, value, params, count, err);
        if (rc != WFL_OK) return rc;
    }
    return WFL_OK;
}

bool wfl_moment_parse(wfl_slice text, wfl_ulid *out)
{
    wfl_time time;
    uint64_t ms;

    if (wfl_ulid_parse(text, out)) return !wfl_ulid_is_zero(out);
    if (!wfl_time_parse(text, &time)) return false;
    ms = (uint64_t)time.sec * 1000 + (uint64_t)time.nsec / 1000000;
    memset(out->bytes, 0xFF, sizeof out->bytes);
    for (int i = 0; i < 6; i++)
        out->bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    return true;
}

/* One entity-tag off the front of `in`. False: none there. */
static bool take_etag(wfl_slice *in, wfl_slice *opaque, bool *weak)
{
    wfl_slice s = *in, skipped;

    *weak = wfl_slice_starts_with(s, WFL_S("W/"));
    if (*weak && !wfl_slice_take(&s, 2, &skipped)) return false;
    if (s.len < 2 || s.data[0] != '"' || !wfl_slice_take(&s, 1, &skipped)) return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"') {
            *opaque = wfl_slice_of(s.data, i);
            *in = wfl_slice_of(s.data + i + 1, s.len - i - 1);
            return true;
        }
        if (s.data[i] <= 0x20 || s.data[i] == 0x7F) return false;
    }
    return false;
}

static size_t count_commas(wfl_slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.data[i] == ',';
    return n;
}

wfl_code wfl_condition_parse(wfl_slice value, bool none_match, wfl_arena *arena,
                             struct wfl_condition *out, wfl_error *err)
{
    wfl_ulid *versions;
    uint32_t  count = 0, tags = 0;
    wfl_slice rest = wfl_slice_trim(value), skipped;

    if (wfl_slice_eq(rest, WFL_S("*"))) {
        *out = (struct wfl_condition){.kind = none_match ? WFL_COND_ABSENT : WFL_COND_EXISTS};
        return WFL_OK;
    }
    versions = wfl_arena_get(arena, (count_commas(rest) + 1) * sizeof *versions);
    if (versions == NULL) return wfl_fail(err, WFL_NOMEM, "conditions: out of memory");
    while (rest.len > 0) {
        wfl_slice opaque;
        bool      weak;

        if (rest.data[0] == ',') { /* RFC 9110 section 5.6.1: empty list elements are legal */
            if (!wfl_slice_take(&rest, 1, &skipped)) break;
        } else if (take_etag(&rest, &opaque, &weak)) {
            tags++;
            /* If-Match compares strongly, If-None-Match weakly. */
            if ((!weak || none_match) && wfl_ulid_parse(opaque, &versions[count])) count++;
            rest = wfl_slice_trim(rest);
            if (rest.len > 0 && rest.data[0] != ',') tags = 0, rest.len = 0;
        } else {
            tags = 0;
            break;
        }
        rest = wfl_slice_trim(rest);
    }
    if (tags == 0) {
        return wfl_fail(err, WFL_INVALID_HEADER, "%s is no list of entity-tags and not *",
                        none_match ? "If-None-Match" : "If-Match");
    }
    *out = (struct wfl_condition){
        .kind = none_match ? WFL_COND_NONE_OF : WFL_COND_ANY_OF,
        .versions = versions,
        .version_count = count,
    };
    if (count == 0) out->kind = none_match ? WFL_COND_NONE : WFL_COND_NEVER;
    return WFL_OK;
}

static bool is_one_of(const struct wfl_condition *c, const wfl_ulid *current)
{
    for (uint32_t i = 0; i < c->version_count; i++) {
        if (wfl_ulid_cmp(&c->versions[i], current) == 0) return true;
    }
    return false;
}

bool wfl_condition_holds(const struct wfl_condition *c, const wfl_ulid *current)
{
    switch (c->kind) {
    case WFL_COND_NONE:
        return true;
    case WFL_COND_EXISTS:
        return current != NULL;
    case WFL_COND_ABSENT:
        return current == NULL;
    case WFL_COND_ANY_OF:
        return current != NULL && is_one_of(c, current);
    case WFL_COND_NONE_OF:
        return current == NULL || !is_one_of(c, current);
    case WFL_COND_NEVER:
        return false;
    }
    return false;
}

/* RFC 9110 section 14.1.1: a position may be larger than any integer; then it is beyond the end. */
static bool take_position(wfl_slice digits, uint64_t *out)
{
    if (wfl_slice_to_u64(digits, UINT64_MAX, out)) return true;
    for (size_t i = 0; i < digits.len; i++)
        if (digits.data[i] < '0' || digits.data[i] > '9') return false;
    *out = UINT64_MAX;
    return digits.len > 0;
}

enum wfl_range_outcome wfl_range_parse(wfl_slice value, uint64_t size, struct wfl_range *out)
{
    wfl_slice unit, first, last;
    uint64_t  a = 0, b = 0;

    if (!wfl_slice_split(&value, '=', &unit)) return WFL_RANGE_WHOLE;
    if (!wfl_slice_eq_nocase(wfl_slice_trim(unit), WFL_S("bytes"))) return WFL_RANGE_WHOLE;
    if (memchr(value.data, ',', value.len) != NULL) return WFL_RANGE_WHOLE;
    value = wfl_slice_trim(value);
    if (!wfl_slice_split(&value, '-', &first)) return WFL_RANGE_WHOLE;
    last = value;
    if (first.len == 0) { /* suffix: the last b bytes */
        if (!take_position(last, &b)) return WFL_RANGE_WHOLE;
        if (b == 0 || size == 0) return WFL_RANGE_UNSATISFIABLE;
        if (b > size) b = size;
        *out = (struct wfl_range){.first = size - b, .count = b};
        return WFL_RANGE_PART;
    }
    if (!take_position(first, &a)) return WFL_RANGE_WHOLE;
    if (last.len == 0) {
        b = UINT64_MAX;
    } else if (!take_position(last, &b) || b < a) {
        return WFL_RANGE_WHOLE;
    }
    if (a >= size) return WFL_RANGE_UNSATISFIABLE;
    if (b >= size) b = size - 1;
    *out = (struct wfl_range){.first = a, .count = b - a + 1};
    return WFL_RANGE_PART;
}
