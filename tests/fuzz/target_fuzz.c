/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request is aimed at: path, query, conditions, range. An input is lines: method, path,
 * query, If-Match, Range, the object's size. Whatever is accepted keeps the protocol's rules of
 * names, its canonical path names the same thing, and a range lies inside the object. */
#include "fuzz.h"

#include "auth/auth.h"
#include "server/target.h"

#define SCRATCH_MAX (1u << 20)

static void check_names(const struct wfl_target *t)
{
    wfl_error err;

    if (t->kind == WFL_TARGET_BUCKET || t->kind == WFL_TARGET_OBJECT ||
        t->kind == WFL_TARGET_SCAN || t->kind == WFL_TARGET_QUERY)
        assert(wfl_name_bucket_valid(t->bucket));
    if (t->kind == WFL_TARGET_OBJECT) assert(wfl_name_check_key(t->key, &err) == WFL_OK);
    assert(t->kind != WFL_TARGET_NONE);
}

/* What is signed (the canonical path) and what is done (the target) must be one thing. */
static void check_canonical_path(const struct wfl_request *r, const struct wfl_target *t)
{
    struct wfl_auth_request signed_request = {.method = r->method, .path = r->path};
    struct wfl_request      canonical = *r;
    struct wfl_target       again;
    wfl_arena               arena;
    wfl_error               err;
    wfl_buf                 text;
    wfl_slice               rest;

    wfl_arena_init(&arena, &wfl_alloc_libc, SCRATCH_MAX);
    wfl_buf_init(&text, &wfl_alloc_libc, SCRATCH_MAX);
    wfl_code rc = wfl_canonical_write(&signed_request, "", &arena, &text, &err);
    assert(rc == WFL_OK);
    rest = wfl_buf_slice(&text);
    (void)fuzz_line(&rest);
    (void)fuzz_line(&rest);
    canonical.path = fuzz_line(&rest);
    rc = wfl_target_parse(&canonical, &arena, &again, &err);
    assert(rc == WFL_OK && again.kind == t->kind);
    assert(wfl_slice_eq(again.bucket, t->bucket) && wfl_slice_eq(again.key, t->key));
    wfl_buf_fini(&text);
    wfl_arena_fini(&arena);
}

static void try_path(const struct wfl_request *r, wfl_arena *arena)
{
    struct wfl_target t;
    wfl_error         err = {0};
    wfl_code          rc = wfl_target_parse(r, arena, &t, &err);

    if (rc != WFL_OK) {
        assert(wfl_code_http(rc) == 400 || rc == WFL_NOT_FOUND);
        assert(!wfl_target_is_open(r));
        return;
    }
    check_names(&t);
    check_canonical_path(r, &t);
    assert(wfl_target_is_open(r) == (t.kind == WFL_TARGET_SERVER && r->path.len == 12));
}

static void try_query(wfl_slice query, wfl_arena *arena)
{
    struct wfl_param params[] = {{.name = "prefix"},
                                 {.name = "after"},
                                 {.name = "limit"},
                                 {.name = "at"},
                                 {.name = "cursor"}};
    wfl_error        err = {0};
    wfl_code         rc = wfl_query_parse(query, params, WFL_COUNT(params), arena, &err);

    assert(rc == WFL_OK || rc == WFL_INVALID_QUERY || rc == WFL_INVALID_REQUEST);
    for (size_t i = 0; i < WFL_COUNT(params); i++)
        assert(params[i].given || params[i].value.len == 0);
}

/* As try_query, and of what passes the check nothing can be outside of what tags can be. */
static void try_tags(wfl_slice query, wfl_arena *arena)
{
    struct wfl_param     params[] = {{.name = "prefix"}, {.name = "limit"}, {.name = "cursor"}};
    struct wfl_tag_query op = {.limit = 1};
    wfl_error            err = {0};
    wfl_code rc = wfl_query_parse_tags(query, params, WFL_COUNT(params), &op, arena, &err);

    assert(rc == WFL_OK || rc == WFL_INVALID_QUERY || rc == WFL_INVALID_REQUEST);
    assert(op.tag_count <= WFL_QUERY_TAGS_MAX);
    if (rc != WFL_OK || wfl_tag_query_check(&op, &err) != WFL_OK) return;
    assert(op.tag_count >= 1);
    for (uint32_t i = 0; i < op.tag_count; i++) {
        const struct wfl_tag_wanted *t = &op.tags[i];

        assert(wfl_name_meta_valid(t->name) && t->value.len <= WFL_TAG_VALUE_MAX);
        assert(t->value.len + t->beginning > 0);
        if (!t->beginning) assert(t->value.data[t->value.len - 1] != '*');
        for (uint32_t j = 0; j < i; j++)
            assert(!wfl_slice_eq(op.tags[j].name, t->name));
    }
}

static void try_condition(wfl_slice value, bool none_match, wfl_arena *arena)
{
    static const wfl_ulid current = {{1, 2, 3}};
    struct wfl_condition  c;
    wfl_error             err = {0};
    wfl_code              rc = wfl_condition_parse(value, none_match, arena, &c, &err);

    assert(rc == WFL_OK || rc == WFL_INVALID_HEADER);
    if (rc != WFL_OK) return;
    assert(c.version_count <= value.len / WFL_ULID_TEXT_LEN);
    /* One of the two sees an object, the other none; "*" tells them apart. */
    if (c.kind == WFL_COND_EXISTS) assert(wfl_condition_holds(&c, &current));
    if (c.kind == WFL_COND_ABSENT) assert(!wfl_condition_holds(&c, &current));
    if (none_match) assert(wfl_condition_holds(&c, NULL));
    if (!none_match) assert(!wfl_condition_holds(&c, NULL));
}

static void try_range(wfl_slice value, wfl_slice size_text)
{
    uint64_t         size = 0;
    struct wfl_range range;

    if (!wfl_slice_to_u64(size_text, UINT64_MAX, &size)) size = 1000;
    if (wfl_range_parse(value, size, &range) != WFL_RANGE_PART) return;
    assert(range.count >= 1 && range.count <= size && range.first <= size - range.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wfl_slice          in = wfl_slice_of(data, size), condition, range;
    struct wfl_request r = {0};
    wfl_arena          arena;

    wfl_arena_init(&arena, &wfl_alloc_libc, SCRATCH_MAX);
    r.method = fuzz_line(&in);
    r.path = fuzz_line(&in);
    r.query = fuzz_line(&in);
    condition = fuzz_line(&in);
    range = fuzz_line(&in);
    try_path(&r, &arena);
    try_query(r.query, &arena);
    try_tags(r.query, &arena);
    try_condition(condition, false, &arena);
    try_condition(condition, true, &arena);
    try_range(range, in);
    wfl_arena_fini(&arena);
    return 0;
}
