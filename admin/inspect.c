/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect: what a packet says, in words or as JSON, and whether the roots given would trust it now.
 * Without --root nothing is claimed about trust. Exit 3 where the packet would be refused. */
#include "admin/admin.h"

#define ROOTS_MAX 16

static void format_time(int64_t sec, char out[WFL_TIME_TEXT])
{
    /* Times go up to 2^53; gmtime's year is an int, so far ones are cut at the year 9999. */
    wfl_time_format_ms((uint64_t)(sec > 253402300799 ? 253402300799 : sec) * 1000, out);
}

static void print_ops(unsigned ops)
{
    const char *comma = "";

    for (unsigned op = WFL_OP_GET; op <= WFL_OP_ADMIN; op <<= 1) {
        if ((ops & op) == 0) continue;
        printf("%s%s", comma, wfl_op_name((enum wfl_op)op));
        comma = ",";
    }
}

static void print_left(int64_t seconds)
{
    if (seconds <= 0) {
        printf("expired");
    } else if (seconds >= INT64_C(2) * 86400) {
        printf("%lld days left", (long long)(seconds / 86400));
    } else if (seconds >= INT64_C(2) * 3600) {
        printf("%lld hours left", (long long)(seconds / 3600));
    } else {
        printf("%lld seconds left", (long long)seconds);
    }
}

/* Texts of a packet may be anything: what a terminal would obey (C0, DEL, C1) does not reach it. */
static void print_text(wfl_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i], next = i + 1 < text.len ? text.data[i + 1] : 0;
        bool    c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;

        putchar(c < 0x20 || c == 0x7F || c1 ? '?' : c);
        if (c1) i++;
    }
}

static void print_quoted(wfl_slice text)
{
    putchar('\'');
    print_text(text);
    putchar('\'');
}

static void print_limit(const char *name, uint64_t value)
{
    if (value != UINT64_MAX) printf("    limit   %s %llu\n", name, (unsigned long long)value);
}

static void print_link(const struct wfl_packet *p, uint32_t i, int64_t now)
{
    const struct wfl_link *link = &p->links[i];
    char                   from[WFL_TIME_TEXT], to[WFL_TIME_TEXT];

    format_time(link->nbf, from);
    format_time(link->exp, to);
    printf("link %u of %u\n", i + 1, p->link_count);
    printf("    id      %s\n", link->jti_text);
    if (link->sub.len > 0) {
        printf("    for     ");
        print_quoted(link->sub);
        putchar('\n');
    }
    printf("    signer  ");
    print_text(link->kid);
    printf("\n    holder  %s\n", link->holder_thumb.text);
    printf("    valid   %s to %s (", from, to);
    print_left(link->exp - now);
    printf(")\n");
    if (link->has_aud) {
        printf("    aud     ");
        print_quoted(link->aud);
        putchar('\n');
    }
    printf("    hands on up to %u more link%s\n", link->delegate, link->delegate == 1 ? "" : "s");
    for (uint32_t g = 0; g < link->grant_count; g++) {
        printf("    may     ");
        print_ops(link->grants[g].ops);
        printf(" in %.*s", WFL_FMT(link->grants[g].bucket));
        if (link->grants[g].prefix.len > 0) {
            printf(" below ");
            print_quoted(link->grants[g].prefix);
        }
        putchar('\n');
    }
    print_limit("max_object_bytes", link->limits.max_object_bytes);
    print_limit("requests_per_second", link->limits.requests_per_second);
    print_limit("bytes_per_second", link->limits.bytes_per_second);
}

static void write_limits(wfl_json *json, const struct wfl_limits *limits)
{
    const struct {
        const char *name;
        uint64_t    value;
    } rows[] = {{"max_object_bytes", limits->max_object_bytes},
                {"requests_per_second", limits->requests_per_second},
                {"bytes_per_second", limits->bytes_per_second}};

    wfl_json_key(json, "limits");
    wfl_json_object(json);
    for (size_t i = 0; i < WFL_COUNT(rows); i++) {
        if (rows[i].value == UINT64_MAX) continue;
        wfl_json_key(json, rows[i].name);
        wfl_json_u64(json, rows[i].value);
    }
    wfl_json_end(json);
}

static void write_link(wfl_json *json, const struct wfl_link *link)
{
    wfl_json_object(json);
    wfl_json_key(json, "jti");
    wfl_json_cstr(json, link->jti_text);
    wfl_json_key(json, "kid");
    wfl_json_str(json, link->kid);
    wfl_json_key(json, "holder");
    wfl_json_cstr(json, link->holder_thumb.text);
    if (link->sub.len > 0) {
        wfl_json_key(json, "sub");
        wfl_json_str(json, link->sub);
    }
    if (link->has_aud) {
        wfl_json_key(json, "aud");
        wfl_json_str(json, link->aud);
    }
    wfl_json_key(json, "iat");
    wfl_json_i64(json, link->iat);
    wfl_json_key(json, "nbf");
    wfl_json_i64(json, link->nbf);
    wfl_json_key(json, "exp");
    wfl_json_i64(json, link->exp);
    wfl_json_key(json, "delegate");
    wfl_json_u64(json, link->delegate);
    wfl_json_key(json, "grants");
    wfl_json_array(json);
    for (uint32_t g = 0; g < link->grant_count; g++) {
        wfl_json_object(json);
        wfl_json_key(json, "bucket");
        wfl_json_str(json, link->grants[g].bucket);
        wfl_json_key(json, "prefix");
        wfl_json_str(json, link->grants[g].prefix);
        wfl_json_key(json, "ops");
        wfl_json_array(json);
        for (unsigned op = WFL_OP_GET; op <= WFL_OP_ADMIN; op <<= 1) {
            if (link->grants[g].ops & op) wfl_json_cstr(json, wfl_op_name((enum wfl_op)op));
        }
        wfl_json_end(json);
        wfl_json_end(json);
    }
    wfl_json_end(json);
    write_limits(json, &link->limits);
    wfl_json_end(json);
}

/* NULL verdict: no root was given. */
static void print_as_json(const struct wfl_packet *p, const char *verdict, const char *why)
{
    wfl_buf  text;
    wfl_json json;

    wfl_buf_init(&text, &wfl_alloc_libc, 1u << 20);
    wfl_json_init(&json, &text);
    wfl_json_object(&json);
    wfl_json_key(&json, "links");
    wfl_json_array(&json);
    for (uint32_t i = 0; i < p->link_count; i++)
        write_link(&json, &p->links[i]);
    wfl_json_end(&json);
    if (verdict != NULL) {
        wfl_json_key(&json, "verdict");
        wfl_json_cstr(&json, verdict);
        if (why[0] != '\0') {
            wfl_json_key(&json, "reason");
            wfl_json_cstr(&json, why);
        }
    }
    wfl_json_end(&json);
    cli_print_json(&text);
    wfl_buf_fini(&text);
}

static int show(const struct wfl_packet *p, const struct wfl_trust *trust, bool as_json)
{
    int64_t   now = wfl_clock_unix_ns(&wfl_clock_system) / 1000000000;
    wfl_error err = {.code = WFL_OK};
    wfl_code  rc = trust->root_count == 0 ? WFL_OK : wfl_packet_verify(p, trust, now, &err);

    if (as_json) {
        print_as_json(p, trust->root_count == 0 ? NULL : wfl_code_name(rc), err.message);
    } else {
        for (uint32_t i = 0; i < p->link_count; i++)
            print_link(p, i, now);
        if (trust->root_count == 0) {
            puts("trust: not judged; name the server's roots with --root FILE");
        } else if (rc == WFL_OK) {
            puts("trust: accepted now by the roots given");
        } else {
            printf("trust: refused, %s: %s\n", wfl_code_name(rc), err.message);
        }
    }
    return rc == WFL_OK ? CLI_DONE : CLI_REFUSED;
}

int admin_inspect(int argc, char **argv)
{
    const char             *root_paths[ROOTS_MAX], *aud = NULL;
    uint32_t                root_count = 0, as_json = 0, has_aud = 0;
    const struct cli_option options[] = {
        {.name = "--root",
         .has_value = true,
         .repeats = true,
         .values = root_paths,
         .max = ROOTS_MAX,
         .count = &root_count},
        {.name = "--aud", .has_value = true, .values = &aud, .max = 1, .count = &has_aud},
        {.name = "--json", .count = &as_json},
    };
    wfl_public_key     roots[ROOTS_MAX];
    struct wfl_trust   trust = {.roots = roots};
    struct wfl_packet *packet = NULL;
    struct cli_words   words;
    wfl_arena          arena;
    wfl_slice          text = {0};
    wfl_error          err = {0};
    int                status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count != 1) return cli_fail(CLI_USAGE, "inspect takes one packet file");
    for (uint32_t i = 0; i < root_count && status == CLI_DONE; i++)
        status = admin_read_public(root_paths[i], &roots[i]);
    if (status != CLI_DONE) return status;
    trust.root_count = root_count;
    trust.audience = wfl_slice_str(aud);
    wfl_arena_init(&arena, &wfl_alloc_libc, 256u << 10);
    status = admin_read_packet(words.items[0], &arena, &text);
    if (status == CLI_DONE) {
        if (wfl_packet_parse(text, &wfl_alloc_libc, &packet, &err) == WFL_OK) {
            status = show(packet, &trust, as_json > 0);
        } else {
            status = cli_fail(CLI_REFUSED, "%s: %s", words.items[0], err.message);
        }
    }
    wfl_packet_unref(packet);
    wfl_arena_fini(&arena);
    return status;
}
