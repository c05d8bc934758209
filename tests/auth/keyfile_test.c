/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and key files: who may read them, what is a key and what only looks like one, and that no
 * copy of a private key is left in memory. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/wfl-keys-XXXXXX");
    return fixture_setup(state) != 0 || mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return fixture_teardown(state) | system(command);
}

static const char *path_to(const char *name)
{
    static char paths[4][128];
    static int  at;
    char       *out = paths[at++ % 4];

    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

static void write_plain(const char *path, const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static wfl_code read_file(struct fixture *f, const char *path, bool private_file)
{
    struct wfl_secret text = {0};
    wfl_code          rc = wfl_key_read_file(path, private_file, &text, &f->err);

    if (rc != WFL_OK) assert_null(text.data);
    wfl_secret_free(&text);
    return rc;
}

/* ---- files */

static void a_private_key_that_others_can_read_is_refused(void **state)
{
    static const struct {
        mode_t mode;
        bool   ok;
    } cases[] = {{0600, true},  {0400, true},  {0700, true},  {0640, false}, {0604, false},
                 {0620, false}, {0602, false}, {0610, false}, {0601, false}, {0644, false}};
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        write_plain(path_to("key.json"), "{}", 2, cases[i].mode);
        wfl_code rc = read_file(f, path_to("key.json"), true);
        if (rc != (cases[i].ok ? WFL_OK : WFL_INVALID_REQUEST))
            fail_msg("%o: %s", cases[i].mode, wfl_code_name(rc));
        if (!cases[i].ok) assert_non_null(strstr(f->err.message, "chmod 600"));
        assert_code(read_file(f, path_to("key.json"), false), WFL_OK); /* a public one may be */
    }
}

static void only_a_small_regular_file_is_read(void **state)
{
    struct fixture *f = *state;
    static char     large[65537];

    assert_code(read_file(f, path_to("missing"), true), WFL_NOT_FOUND);
    assert_code(read_file(f, folder, true), WFL_INVALID_REQUEST);
    assert_int_equal(mkfifo(path_to("pipe"), 0600), 0);
    assert_code(read_file(f, path_to("pipe"), true), WFL_INVALID_REQUEST); /* and does not wait */
    assert_code(read_file(f, "/dev/null", true), WFL_INVALID_REQUEST);
    write_plain(path_to("large"), large, sizeof large, 0600);
    assert_code(read_file(f, path_to("large"), true), WFL_INVALID_REQUEST);
    write_plain(path_to("large"), large, sizeof large - 1, 0600);
    assert_code(read_file(f, path_to("large"), true), WFL_OK);
    write_plain(path_to("empty"), "", 0, 0600);
    assert_code(read_file(f, path_to("empty"), true), WFL_OK);
    /* What counts of a link is the file behind it. */
    write_plain(path_to("open"), "{}", 2, 0644);
    assert_int_equal(symlink(path_to("open"), path_to("to-open")), 0);
    assert_code(read_file(f, path_to("to-open"), true), WFL_INVALID_REQUEST);
    assert_int_equal(symlink(path_to("empty"), path_to("to-empty")), 0);
    assert_code(read_file(f, path_to("to-empty"), true), WFL_OK);
    assert_int_equal(symlink(path_to("loop"), path_to("loop")), 0);
    assert_code(read_file(f, path_to("loop"), true), WFL_IO);
}

static void a_file_is_made_for_its_owner_and_never_replaced(void **state)
{
    struct fixture *f = *state;
    struct stat     st;
    mode_t          mask = umask(0);

    assert_code(wfl_key_write_file(path_to("key"), WFL_S("first"), &f->err), WFL_OK);
    umask(mask);
    assert_int_equal(stat(path_to("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 5);
    assert_code(wfl_key_write_file(path_to("key"), WFL_S("second"), &f->err), WFL_INVALID_REQUEST);
    assert_int_equal(stat(path_to("key"), &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(symlink(path_to("elsewhere"), path_to("trap")), 0);
    assert_code(wfl_key_write_file(path_to("trap"), WFL_S("x"), &f->err), WFL_INVALID_REQUEST);
    assert_int_equal(stat(path_to("elsewhere"), &st), -1);
    assert_code(wfl_key_write_file(path_to("none/key"), WFL_S("x"), &f->err), WFL_IO);
    assert_code(wfl_key_write_file("/dev/full/x", WFL_S("x"), &f->err), WFL_IO);
    /* By a name without a folder, too. */
    char *back = getcwd(NULL, 0);
    assert_int_equal(chdir(folder), 0);
    assert_code(wfl_key_write_file("bare", WFL_S("x"), &f->err), WFL_OK);
    assert_int_equal(chdir(back), 0);
    free(back);
}

static void a_full_disk_leaves_no_half_a_key(void **state)
{
    struct fixture *f = *state;
    struct rlimit   before, none;
    struct stat     st;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    wfl_code rc = wfl_key_write_file(path_to("key"), WFL_S("longer"), &f->err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_code(rc, WFL_IO);
    assert_int_equal(stat(path_to("key"), &st), -1);
}

/* ---- what is in them */

#define X1  "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w" /* of the seed of 32 bytes 01 */
#define D1  "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
#define PUB "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X1 "\""

static wfl_code parse_private(struct fixture *f, const char *text)
{
    struct wfl_key_pair   pair = {0};
    struct wfl_key_server server;
    wfl_slice             packet;
    wfl_arena             arena;
    wfl_code              rc;

    wfl_arena_init(&arena, &f->alloc, 64u << 10);
    rc = wfl_key_parse_private(wfl_slice_str(text), &arena, &pair, &packet, &server, &f->err);
    if (rc != WFL_OK) assert_null(pair.secret.data);
    wfl_key_pair_free(&pair);
    wfl_arena_fini(&arena);
    return rc;
}

static void a_key_is_nothing_else(void **state)
{
    static const struct {
        const char *name, *text;
        bool        public_ok, private_ok;
    } cases[] = {
        {"whole", "{" PUB ",\"d\":\"" D1 "\"}", true, true},
        {"other members", "{" PUB ",\"d\":\"" D1 "\",\"use\":\"sig\"}", true, true},
        {"credential", "{" PUB ",\"d\":\"" D1 "\",\"packet\":\"p\",\"endpoint\":\"e\"}", true,
         true},
        {"public only", "{" PUB "}", true, false},
        {"no text", "", false, false},
        {"no object", "[]", false, false},
        {"a string", "\"x\"", false, false},
        {"behind it", "{" PUB ",\"d\":\"" D1 "\"} x", false, false},
        {"x twice", "{" PUB ",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}", false, false},
        {"d twice", "{" PUB ",\"d\":\"" D1 "\",\"d\":\"" D1 "\"}", false, false},
        {"no kty", "{\"crv\":\"Ed25519\",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}", false, false},
        {"kty EC", "{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}", false,
         false},
        {"kty 1", "{\"kty\":1,\"crv\":\"Ed25519\",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}", false,
         false},
        {"crv X25519", "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}",
         false, false},
        {"no crv", "{\"kty\":\"OKP\",\"x\":\"" X1 "\",\"d\":\"" D1 "\"}", false, false},
        {"no x", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"" D1 "\"}", false, false},
        {"short x", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQEB\",\"d\":\"" D1 "\"}", false,
         false},
        {"padded x", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" X1 "=\",\"d\":\"" D1 "\"}",
         false, false},
        {"x of order 1",
         "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
         "\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"d\":\"" D1 "\"}",
         false, false},
        {"short d", "{" PUB ",\"d\":\"AQEB\"}", true, false},
        {"d of 33 bytes", "{" PUB ",\"d\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\"}", true,
         false},
        {"d with a bit too many", "{" PUB ",\"d\":\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF\"}",
         true, false},
        {"d a number", "{" PUB ",\"d\":1}", true, false},
        {"d of another key", "{" PUB ",\"d\":\"AgEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\"}",
         true, false},
        {"kid of another key", "{" PUB ",\"d\":\"" D1 "\",\"kid\":\"x\"}", false, false},
        {"kid a number", "{" PUB ",\"d\":\"" D1 "\",\"kid\":1}", false, false},
        {"packet a number", "{" PUB ",\"d\":\"" D1 "\",\"packet\":1}", true, false},
        {"endpoint null", "{" PUB ",\"d\":\"" D1 "\",\"endpoint\":null}", true, false},
        {"server", "{" PUB ",\"d\":\"" D1 "\",\"server\":{" PUB "}}", true, true},
        {"server a string", "{" PUB ",\"d\":\"" D1 "\",\"server\":\"" X1 "\"}", true, false},
        {"server null", "{" PUB ",\"d\":\"" D1 "\",\"server\":null}", true, false},
        {"server no key", "{" PUB ",\"d\":\"" D1 "\",\"server\":{}}", true, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_public_key key;
        wfl_code       rc = wfl_key_parse_public(wfl_slice_str(cases[i].text), &key, &f->err);

        if (rc != (cases[i].public_ok ? WFL_OK : WFL_INVALID_REQUEST))
            fail_msg("%s, public: %s %s", cases[i].name, wfl_code_name(rc), f->err.message);
        rc = parse_private(f, cases[i].text);
        if (rc != (cases[i].private_ok ? WFL_OK : WFL_INVALID_REQUEST))
            fail_msg("%s, private: %s %s", cases[i].name, wfl_code_name(rc), f->err.message);
        if (!cases[i].private_ok) assert_null(strstr(f->err.message, "AQEB"));
    }
}

static void what_is_written_is_read_again(void **state)
{
    struct fixture       *f = *state;
    struct wfl_key_pair   made = {0}, read = {0};
    struct wfl_secret     text = {0}, again = {0};
    struct wfl_key_server given = {.endpoint = WFL_S("https://localhost"),
                                   .ca = WFL_S("ca.pem"),
                                   .pin = WFL_S("sha256//x"),
                                   .has_identity = true};
    struct wfl_key_server server = {0};
    wfl_slice             packet;
    wfl_arena             arena;

    assert_code(wfl_key_generate(&f->random, &made, &f->err), WFL_OK);
    given.identity = made.pub;
    assert_code(wfl_key_write_private(&made, WFL_S("a~b"), &given, &text, &f->err), WFL_OK);
    assert_code(wfl_key_write_file(path_to("key"), wfl_slice_of(text.data, text.len), &f->err),
                WFL_OK);
    assert_code(wfl_key_read_file(path_to("key"), true, &again, &f->err), WFL_OK);
    assert_int_equal(again.len, text.len);
    assert_memory_equal(again.data, text.data, text.len);
    wfl_arena_init(&arena, &f->alloc, 64u << 10);
    assert_code(wfl_key_parse_private(wfl_slice_of(again.data, again.len), &arena, &read, &packet,
                                      &server, &f->err),
                WFL_OK);
    assert_memory_equal(read.secret.data, made.secret.data, 64);
    assert_true(wfl_slice_eq(packet, WFL_S("a~b")));
    assert_true(wfl_slice_eq(server.endpoint, given.endpoint));
    assert_true(wfl_slice_eq(server.ca, given.ca));
    assert_true(wfl_slice_eq(server.pin, given.pin));
    assert_true(server.has_identity);
    assert_memory_equal(server.identity.bytes, made.pub.bytes, WFL_KEY_LEN);
    wfl_arena_fini(&arena);
    wfl_arena_init(&arena, &f->alloc, 0); /* no room for the packet */
    struct wfl_key_pair none = {0};
    assert_code(wfl_key_parse_private(wfl_slice_of(again.data, again.len), &arena, &none, &packet,
                                      &server, &f->err),
                WFL_NOMEM);
    assert_null(none.secret.data);
    assert_code(wfl_key_parse_private(wfl_slice_of(again.data, again.len), &arena, &none, NULL,
                                      NULL, &f->err),
                WFL_OK); /* none asked for */
    wfl_key_pair_free(&none);
    static char large[70000];
    memset(large, 'p', sizeof large);
    assert_code(
        wfl_key_write_private(&made, wfl_slice_of(large, sizeof large), NULL, &text, &f->err),
        WFL_NOMEM);
    wfl_arena_fini(&arena);
    wfl_secret_free(&text);
    wfl_secret_free(&again);
    wfl_key_pair_free(&made);
    wfl_key_pair_free(&read);
}

/* ---- no copy stays */

/* Looks through all of this process's memory that can be written, big mappings of tools aside. The
 * needle is kept masked, so that only real copies count. */
static size_t copies_in_memory(const uint8_t *masked, size_t len)
{
    static uint8_t chunk[1u << 16];
    FILE          *maps = fopen("/proc/self/maps", "r");
    int            memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    unsigned long  from, to;
    char           line[512], rights[8];
    size_t         found = 0;

    assert_true(maps != NULL && memory >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) != 3) continue;
        if (rights[0] != 'r' || rights[1] != 'w' || to - from > (1ul << 30)) continue;
        for (; from < to; from += sizeof chunk - len) {
            ssize_t n = pread(memory, chunk, sizeof chunk < to - from ? sizeof chunk : to - from,
                              (off_t)from);
            const uint8_t *end = chunk + (n > 0 ? n : 0), *at = chunk;

            while ((at = memchr(at, masked[0] ^ 0x5A, (size_t)(end - at))) != NULL) {
                size_t same = 1;

                while (same < len && at + same < end && (at[same] ^ 0x5A) == masked[same])
                    same++;
                found += same == len;
                at++;
            }
            memset(chunk, 0, sizeof chunk);
            if (n < (ssize_t)sizeof chunk) break;
        }
    }
    close(memory);
    fclose(maps);
    return found;
}

static void no_copy_of_a_private_key_stays_in_memory(void **state)
{
    struct fixture     *f = *state;
    struct wfl_key_pair pair = {0};
    struct wfl_secret   text = {0};
    uint8_t             masked[20]; /* the end: what is freed loses its beginning first */
    wfl_public_key      pub;
    wfl_arena           arena;

    assert_code(wfl_key_generate(&f->random, &pair, &f->err), WFL_OK);
    assert_code(wfl_key_write_private(&pair, WFL_S("packet"), NULL, &text, &f->err), WFL_OK);
    const char *d = memmem(text.data, text.len, "\"d\":\"", 5);
    assert_non_null(d);
    for (size_t i = 0; i < sizeof masked; i++)
        masked[i] = (uint8_t)d[5 + 43 - sizeof masked + i] ^ 0x5A;
    assert_int_equal(copies_in_memory(masked, sizeof masked), 1); /* text itself: it can be found */
    wfl_key_pair_free(&pair);
    wfl_arena_init(&arena, &f->alloc, 64u << 10);
    wfl_slice whole = wfl_slice_of(text.data, text.len);
    assert_code(wfl_key_parse_private(whole, &arena, &pair, NULL, NULL, &f->err), WFL_OK);
    assert_code(wfl_key_parse_public(whole, &pub, &f->err), WFL_OK);
    whole.len -= 4; /* and where it is damaged */
    assert_code(wfl_key_parse_public(whole, &pub, &f->err), WFL_INVALID_REQUEST);
    assert_code(wfl_key_write_file(path_to("k"), wfl_slice_of(text.data, text.len), &f->err),
                WFL_OK);
    wfl_key_pair_free(&pair);
    wfl_secret_free(&text);
    wfl_arena_fini(&arena);
    assert_int_equal(copies_in_memory(masked, sizeof masked), 0);
}

/* ---- signatures */

static void signatures_are_judged_strictly(void **state)
{
    /* The group's order, little-endian: S + L is the same number for who does not look. */
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                      0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct wfl_key_pair  key = key_of(1), other = key_of(2);
    uint8_t              good[64], bad[64];
    unsigned             carry = 0;

    (void)state;
    wfl_key_sign(&key, WFL_S("text"), good);
    assert_true(wfl_key_verify(&key.pub, WFL_S("text"), good));
    assert_false(wfl_key_verify(&key.pub, WFL_S("texts"), good));
    assert_false(wfl_key_verify(&other.pub, WFL_S("text"), good));
    memcpy(bad, good, 64);
    for (int i = 0; i < 32; i++) {
        carry += (unsigned)bad[32 + i] + order[i];
        bad[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_false(wfl_key_verify(&key.pub, WFL_S("text"), bad));
    for (int i = 0; i < 64; i++) {
        memcpy(bad, good, 64);
        bad[i] ^= 1;
        assert_false(wfl_key_verify(&key.pub, WFL_S("text"), bad));
    }
    wfl_key_pair_free(&key);
    wfl_key_pair_free(&other);
}

static void points_of_no_use_are_no_keys(void **state)
{
    static const struct {
        const char *name, *hex;
    } cases[] = {
        {"order 1", "0100000000000000000000000000000000000000000000000000000000000000"},
        {"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"order 4", "0000000000000000000000000000000000000000000000000000000000000000"},
        {"order 4, signed", "0000000000000000000000000000000000000000000000000000000000000080"},
        {"order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
        {"order 8, other", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
        {"order 1, signed", "0100000000000000000000000000000000000000000000000000000000000080"},
        {"p for 0", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"p + 1 for 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"p + 3 for 3", "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
        {"all ones", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
        {"not on the curve", "0200000000000000000000000000000000000000000000000000000000000000"},
    };
    uint8_t signature[64] = {1}; /* R of order 1, S = 0: holds for many a small-order key */

    (void)state;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        wfl_public_key key;

        assert_true(wfl_hex_decode(wfl_slice_str(cases[i].hex), key.bytes, 32));
        if (wfl_key_usable(&key)) fail_msg("%s is usable", cases[i].name);
        if (wfl_key_verify(&key, WFL_S("text"), signature)) fail_msg("%s verifies", cases[i].name);
    }
}

#define case_of(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        case_of(a_private_key_that_others_can_read_is_refused),
        case_of(only_a_small_regular_file_is_read),
        case_of(a_file_is_made_for_its_owner_and_never_replaced),
        case_of(a_full_disk_leaves_no_half_a_key),
        case_of(a_key_is_nothing_else),
        case_of(what_is_written_is_read_again),
        case_of(no_copy_of_a_private_key_stays_in_memory),
        case_of(signatures_are_judged_strictly),
        case_of(points_of_no_use_are_no_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
