/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request is aimed at: the path taken apart and judged, the query's parameters, conditions
 * and ranges from headers. Pure functions over bytes. */
#ifndef WFL_SERVER_TARGET_H
#define WFL_SERVER_TARGET_H

#include "net/net.h"
#include "store/store.h"

enum wfl_target_kind {
    WFL_TARGET_BUCKETS, /* /v1/ */
    WFL_TARGET_BUCKET,  /* /v1/{bucket} */
    WFL_TARGET_OBJECT,  /* /v1/{bucket}/{key} */
    WFL_TARGET_SCAN,  /* /v1/{bucket}/scan, asked with GET or another method than PUT and DELETE */
    WFL_TARGET_BATCH, /* /v1/{bucket}/batch, and /v1/-/batch with no bucket; as scan */
    WFL_TARGET_QUERY, /* /v1/{bucket}/query, the same */
    WFL_TARGET_CHANGES,     /* /v1/{bucket}/changes, the same */
    WFL_TARGET_SERVER,      /* /v1/-/server */
    WFL_TARGET_SCRUB,       /* /v1/-/scrub */
    WFL_TARGET_REVOCATIONS, /* /v1/-/revocations */
    WFL_TARGET_SESSION,     /* /v1/-/session */
    WFL_TARGET_NONE,        /* no such path */
};

struct wfl_target {
    enum wfl_target_kind kind;
    wfl_slice            bucket; /* decoded */
    wfl_slice            key;    /* decoded */
};

/* Names are decoded into `arena` and judged. INVALID_REQUEST (escape), INVALID_BUCKET, INVALID_KEY,
 * RESERVED_KEY, NOT_FOUND, NOMEM. */
WFL_MUST_USE wfl_code wfl_target_parse(const struct wfl_request *r, wfl_arena *arena,
                                       struct wfl_target *out, wfl_error *err);
/* /v1/-/server is answered to anyone: the check before authentication, on the raw path. */
bool wfl_target_is_open(const struct wfl_request *r);

/* ---- query */

struct wfl_param { /* one that the target knows */
    const char *name;
    wfl_slice   value; /* decoded, in the arena */
    bool        given;
};
/* Fill `params`. INVALID_QUERY: one that is not in the table, or given twice; INVALID_REQUEST: a
 * malformed escape. */
WFL_MUST_USE wfl_code wfl_query_parse(wfl_slice query, struct wfl_param *params, size_t count,
                                      wfl_arena *arena, wfl_error *err);

/* The same, and each tag.NAME=VALUE becomes a tag of `out`, whose tag_count is zero before; a
 * value's
 * `*` at the end makes it a beginning. What names and values may be is not judged, but
 * INVALID_QUERY: too many. */
WFL_MUST_USE wfl_code wfl_query_parse_tags(wfl_slice query, struct wfl_param *params, size_t count,
                                           struct wfl_tag_query *out, wfl_arena *arena,
                                           wfl_error *err);

/* An instant that reads can go back to: a ULID, or an RFC 3339 time, which stands for all of its
 * millisecond. */
WFL_MUST_USE bool wfl_moment_parse(wfl_slice text, wfl_ulid *out);

/* ---- conditions and ranges (RFC 9110 sections 13 and 14) */

/* If-Match or If-None-Match. Entity-tags that are no version of ours can match nothing and are left
 * out; `strong`: weak tags too. INVALID_HEADER where it is no list of entity-tags. */
WFL_MUST_USE wfl_code wfl_condition_parse(wfl_slice value, bool none_match, wfl_arena *arena,
                                          struct wfl_condition *out, wfl_error *err);
/* Does the version (NULL: there is none) satisfy it? */
bool wfl_condition_holds(const struct wfl_condition *c, const wfl_ulid *current);

struct wfl_range {
    uint64_t first, count;
};
enum wfl_range_outcome { WFL_RANGE_WHOLE, WFL_RANGE_PART, WFL_RANGE_UNSATISFIABLE };
/* Several ranges, another unit or no valid syntax: the whole. */
enum wfl_range_outcome wfl_range_parse(wfl_slice value, uint64_t size, struct wfl_range *out);

#endif
