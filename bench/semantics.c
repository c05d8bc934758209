/* SPDX-License-Identifier: Apache-2.0
 *
 * What questions cost in a large bucket: build/bench/semantics [OBJECTS [FOLDER]]. Makes a store in
 * a folder of its own here, 1,000,000 objects unless told otherwise, with eight tags each and keys
 * below 1,000 prefixes, opens it again, and times tag queries, listings and reads of a key with a
 * long history, through the store's interface and with the JSON that the server would send. A
 * FOLDER that is named is kept, and not filled again where it is there already. Processor time is
 * all of the process's, and the only figure that other load on the machine bends little. */
#include "bench/micro.h"

#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/listing.h"

#define PREFIXES    1000
#define MATCHES     100 /* objects of each rare value */
#define UNDER_WAY   256 /* puts at once while filling */
#define OLD_COUNT   1000
#define SAMPLES_MAX 20000

static const wfl_slice BUCKET = WFL_LIT("bench"), HISTORIES = WFL_LIT("histories");

struct bench {
    const char        *folder;
    uint64_t           objects;
    struct wfl_engine *engine;
    struct wfl_store  *store;
    uint64_t           seed;

    pthread_mutex_t lock;
    pthread_cond_t  wake;
    uint32_t        under_way;
    bool            done; /* of an operation that is waited for */
};

static void check(wfl_code rc, const char *step, const wfl_error *err)
{
    if (rc != WFL_OK) micro_die(step, err->message);
}

_Noreturn void micro_die(const char *step, const char *why)
{
    fprintf(stderr, "semantics: %s: %s\n", step, why);
    exit(1);
}

static uint64_t any(struct bench *b)
{
    b->seed ^= b->seed << 13; /* xorshift64 */
    b->seed ^= b->seed >> 7;
    return b->seed ^= b->seed << 17;
}

/* ---- figures */

struct samples {
    uint32_t count;
    int64_t  ns[SAMPLES_MAX];  /* on the clock */
    int64_t  cpu[SAMPLES_MAX]; /* of processors */
};

struct moment {
    int64_t ns, cpu;
};

static int64_t now_ns(void)
{
    return wfl_clock_mono_ns(&wfl_clock_system);
}

static struct moment now(void)
{
    struct timespec cpu;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct moment){now_ns(), (int64_t)cpu.tv_sec * 1000000000 + cpu.tv_nsec};
}

static void add_since(struct samples *s, struct moment began)
{
    struct moment ended = now();

    if (s->count == SAMPLES_MAX) return;
    s->ns[s->count] = ended.ns - began.ns;
    s->cpu[s->count++] = ended.cpu - began.cpu;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile(int64_t *values, uint32_t count, uint32_t percent)
{
    qsort(values, count, sizeof *values, by_value);
    return (double)values[(uint64_t)(count - 1) * percent / 100] / 1e6;
}

static void say(const char *name, struct samples *s, const char *behind)
{
    printf("%-52s ms p50 %9.4f p95 %9.4f; processor p50 %9.4f p95 %9.4f; %s\n", name,
           percentile(s->ns, s->count, 50), percentile(s->ns, s->count, 95),
           percentile(s->cpu, s->count, 50), percentile(s->cpu, s->count, 95), behind);
    fflush(stdout);
}

/* ---- the store */

static void open_store(struct bench *b)
{
    wfl_error err;

    check(wfl_engine_open_local(
              &(struct wfl_local_config){.path = b->folder, .alloc = &wfl_alloc_libc}, &b->engine,
              &err),
          "engine", &err);
    check(wfl_store_open(&(struct wfl_store_config){.engine = b->engine,
                                                    .clock = &wfl_clock_system,
                                                    .random = &wfl_random_system,
                                                    .alloc = &wfl_alloc_libc,
                                                    .collects = true},
                         &b->store, &err),
          "store", &err);
}

static void close_store(struct bench *b)
{
    wfl_engine_stop(b->engine);
    wfl_store_close(b->store);
    wfl_engine_close(b->engine);
}

static void wake(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    b->done = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static void wait_done(struct bench *b, wfl_code rc)
{
    pthread_mutex_lock(&b->lock);
    while (rc == WFL_PENDING && !b->done)
        pthread_cond_wait(&b->wake, &b->lock);
    b->done = false;
    pthread_mutex_unlock(&b->lock);
}

static void bucket_done(struct wfl_bucket_op *op)
{
    wake(op->arg);
}

static void make_bucket(struct bench *b, wfl_slice name, int64_t versions)
{
    wfl_error            err;
    struct wfl_bucket_op op = {.name = name, .done = bucket_done, .arg = b};

    check(wfl_settings_parse((wfl_slice){0}, &op.settings, &err), "settings", &err);
    op.settings.versions = versions;
    wait_done(b, wfl_store_bucket_create(b->store, &op));
    check(op.rc, "bucket", &op.err);
}

/* ---- filling */

struct filling { /* one put, with its words */
    struct wfl_put        op;
    struct bench         *b;
    struct wfl_name_value tags[8];
    char                  key[32], rare[16], words[7][16], names[7][4];
};

static void filled(struct wfl_put *op)
{
    struct filling *x = op->arg;
    struct bench   *b = x->b;

    check(op->rc, "put", &op->err);
    wfl_put_fini(op);
    free(x);
    pthread_mutex_lock(&b->lock);
    b->under_way--;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
}

static void put_next(struct bench *b, wfl_slice bucket, const char *key, uint64_t i, bool tagged)
{
    static const char content[] = "the content of an object, some tens of bytes of it";
    struct filling   *x = calloc(1, sizeof *x);

    if (x == NULL) micro_die("put", "no memory");
    x->b = b;
    snprintf(x->key, sizeof x->key, "%s", key);
    snprintf(x->rare, sizeof x->rare, "r%llu", (unsigned long long)(i % (b->objects / MATCHES)));
    for (int t = 0; t < 7; t++) { /* common ones: of 1, 2, 4 ... 64 values */
        snprintf(x->names[t], sizeof x->names[t], "t%d", t);
        snprintf(x->words[t], sizeof x->words[t], "value%llu",
                 (unsigned long long)((i / 3) % (1u << t)));
        x->tags[t + 1] =
            (struct wfl_name_value){wfl_slice_str(x->names[t]), wfl_slice_str(x->words[t])};
    }
    x->tags[0] = (struct wfl_name_value){WFL_S("rare"), wfl_slice_str(x->rare)};
    x->op = (struct wfl_put){.bucket = bucket,
                             .key = wfl_slice_str(x->key),
                             .content = wfl_slice_of(content, sizeof content - 1),
                             .blake3 = wfl_hash_of(wfl_slice_of(content, sizeof content - 1)),
                             .content_type = WFL_S("application/octet-stream"),
                             .by = WFL_S("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
                             .durability = WFL_BUFFERED,
                             .tags = x->tags,
                             .tag_count = tagged ? 8 : 0,
                             .done = filled,
                             .arg = x};
    pthread_mutex_lock(&b->lock);
    while (b->under_way == UNDER_WAY)
        pthread_cond_wait(&b->wake, &b->lock);
    b->under_way++;
    pthread_mutex_unlock(&b->lock);
    if (wfl_store_put(b->store, &x->op) != WFL_PENDING) filled(&x->op);
}

static void drain(struct bench *b)
{
    pthread_mutex_lock(&b->lock);
    while (b->under_way > 0)
        pthread_cond_wait(&b->wake, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void fill(struct bench *b)
{
    char    key[32];
    int64_t began = now_ns();

    make_bucket(b, BUCKET, 0);
    make_bucket(b, HISTORIES, -1);
    for (uint64_t i = 0; i < b->objects; i++) {
        snprintf(key, sizeof key, "p%03llu/%08llu", (unsigned long long)(i % PREFIXES),
                 (unsigned long long)i);
        put_next(b, BUCKET, key, i, true);
    }
    for (int i = 0; i < OLD_COUNT; i++) {
        put_next(b, HISTORIES, "old", 0, false);
        snprintf(key, sizeof key, "new%04d", i);
        put_next(b, HISTORIES, key, 0, false);
    }
    put_next(b, HISTORIES, "old", 0, false);
    drain(b);
    printf("%llu objects with eight tags each in %.1f s\n", (unsigned long long)b->objects,
           (double)(now_ns() - began) / 1e9);
}

/* ---- questions */

static void send(const struct wfl_scan_item *items, uint32_t count, wfl_slice *prefixes,
                 uint32_t prefix_count, const wfl_ulid *at, wfl_slice next)
{
    struct listing_page page = {.items = items,
                                .count = count,
                                .has_prefixes = true,
                                .prefixes = prefixes,
                                .prefix_count = prefix_count,
                                .at = *at,
                                .next = next};
    wfl_buf             text;

    listing_write_json(&page, &text);
    if (!wfl_buf_ok(&text)) micro_die("json", "no memory");
    wfl_buf_fini(&text);
}

/* All of `wanted`; a "%" in a value stands for any of the rare ones. */
static void time_query(struct bench *b, const char *name, const char *const (*wanted)[2],
                       uint32_t count, uint32_t rounds, uint32_t limit)
{
    static struct samples s;
    uint64_t              found = 0;
    char                  behind[64];

    s.count = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        struct wfl_tag_query op = {.bucket = BUCKET, .tag_count = count, .limit = limit};
        struct moment        began = now();
        char                 rare[16];
        bool                 ended = false;
        wfl_code             rc;

        snprintf(rare, sizeof rare, "r%llu", (unsigned long long)(any(b) % (b->objects / MATCHES)));
        for (uint32_t i = 0; i < count; i++) {
            const char *value = wanted[i][1][0] == '%' ? rare : wanted[i][1];
            size_t      len = strlen(value);
            bool        begins = value[len - 1] == '*';

            op.tags[i] = (struct wfl_tag_wanted){wfl_slice_str(wanted[i][0]),
                                                 wfl_slice_of(value, len - begins), begins};
        }
        rc = wfl_tag_query_begin(b->store, &op);
        while (rc == WFL_OK && !ended)
            rc = wfl_tag_query_step(&op, &ended);
        check(rc, name, &op.err);
        send(op.items, op.item_count, NULL, 0, &op.at, op.next);
        add_since(&s, began);
        found += op.item_count;
        wfl_tag_query_fini(&op);
    }
    snprintf(behind, sizeof behind, "%.1f found", (double)found / rounds);
    say(name, &s, behind);
}

static void time_queries(struct bench *b)
{
    static const char *const one[][2] = {{"rare", "%"}};
    static const char *const eight[][2] = {
        {"rare", "%"},    {"t0", "value0"}, {"t1", "value*"}, {"t2", "value*"},
        {"t3", "value*"}, {"t4", "value*"}, {"t5", "*"},      {"t6", "*"},
    };
    static const char *const eight_equal[][2] = {
        {"t0", "value0"}, {"t1", "value1"}, {"t2", "value1"}, {"t3", "value1"},
        {"t4", "value1"}, {"t5", "value1"}, {"t6", "value1"}, {"rare", "r3"},
    };
    static const char *const beginning[][2] = {{"rare", "r77*"}};
    static const char *const common[][2] = {{"t0", "value0"}};
    static const char *const quarter[][2] = {{"t1", "value0"}, {"t2", "value*"}};
    static const char *const every[][2] = {{"t0", "*"}};

    time_query(b, "query: a tag with 100 matches", one, 1, 2000, 1000);
    time_query(b, "query: one rare, one common, six beginnings", eight, 8, 1000, 1000);
    time_query(b, "query: eight values, one rare", eight_equal, 8, 1000, 1000);
    time_query(b, "query: a beginning of 11 values, 1,100 matches", beginning, 1, 200, 1000);
    time_query(b, "query: a value that all have, first 100", common, 1, 1000, 100);
    time_query(b, "query: a value and a beginning of all, first 100", quarter, 2, 1000, 100);
    time_query(b, "query: any value of a tag that all have, first 100", every, 1, 3, 100);
}

static void scan_done(struct wfl_scan *op)
{
    wake(op->arg);
}

static void time_folding(struct bench *b)
{
    static struct samples s;
    char                  behind[64];
    uint32_t              prefixes = 0;

    for (s.count = 0; s.count < 200;) {
        struct moment   began = now();
        struct wfl_scan op = {
            .bucket = BUCKET, .limit = 1000, .delimiter = WFL_S("/"), .done = scan_done, .arg = b};

        wait_done(b, wfl_store_scan(b->store, &op));
        check(op.rc, "folding", &op.err);
        send(op.items, op.item_count, op.prefixes, op.prefix_count, &op.at, op.next);
        add_since(&s, began);
        prefixes = op.prefix_count;
        wfl_scan_fini(&op);
    }
    snprintf(behind, sizeof behind, "%u prefixes", prefixes);
    say("scan: a delimiter that folds all keys", &s, behind);
}

static void time_listing(struct bench *b, bool json)
{
    static struct samples s;
    char                  cursor[WFL_CURSOR_TEXT_MAX], behind[64];
    size_t                cursor_len = 0;
    uint64_t              keys = 0;
    struct moment         all = now();

    s.count = 0;
    do {
        struct moment   began = now();
        struct wfl_scan op = {.bucket = BUCKET,
                              .limit = 1000,
                              .cursor = wfl_slice_of(cursor, cursor_len),
                              .done = scan_done,
                              .arg = b};

        wait_done(b, wfl_store_scan(b->store, &op));
        check(op.rc, "listing", &op.err);
        if (json) send(op.items, op.item_count, NULL, 0, &op.at, op.next);
        cursor_len = op.next.len;
        memcpy(cursor, op.next.data, op.next.len);
        keys += op.item_count;
        add_since(&s, began);
        wfl_scan_fini(&op);
    } while (cursor_len > 0);
    struct moment end = now();
    snprintf(behind, sizeof behind, "%.0f keys/s, %.0f a second of processors",
             (double)keys * 1e9 / (double)(end.ns - all.ns),
             (double)keys * 1e9 / (double)(end.cpu - all.cpu));
    say(json ? "scan: all, in pages of 1000, with JSON" : "scan: all, in pages of 1000", &s,
        behind);
}

/* ---- reads */

static void get_done(struct wfl_get *op)
{
    wake(op->arg);
}

static void time_get(struct bench *b, const char *key, struct samples *s)
{
    struct moment  began = now();
    struct wfl_get op = {
        .bucket = HISTORIES, .key = wfl_slice_str(key), .done = get_done, .arg = b};

    wait_done(b, wfl_store_get(b->store, &op));
    check(op.rc, "get", &op.err);
    wfl_get_fini(&op);
    add_since(s, began);
}

static void time_gets(struct bench *b)
{
    static struct samples old, new;
    char                  behind[64];

    old.count = new.count = 0;
    while (old.count < SAMPLES_MAX) {
        time_get(b, "old", &old);
        time_get(b, "new0500", &new);
    }
    snprintf(behind, sizeof behind, "ratio of medians %.2f",
             percentile(old.ns, old.count, 50) / percentile(new.ns, new.count, 50));
    say("get: a key without older versions", &new, "");
    say("get: a key with 1,000 older versions", &old, behind);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static bool read_arguments(int argc, char **argv, struct bench *b)
{
    if (argc > 3) return false;
    if (argc > 1 && !wfl_slice_to_u64(wfl_slice_str(argv[1]), 100000000, &b->objects)) return false;
    if (argc > 2) b->folder = argv[2];
    return b->objects >= PREFIXES;
}

int main(int argc, char **argv)
{
    char         own[] = "bench-semantics-XXXXXX"; /* here, not in /tmp, which may be memory */
    struct stat  st;
    struct bench b = {.objects = 1000000,
                      .seed = 88172645463325252u,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .wake = PTHREAD_COND_INITIALIZER};

    if (!read_arguments(argc, argv, &b)) {
        fputs("Usage: semantics [OBJECTS, 1000 or more [FOLDER]]\n", stderr);
        return 2;
    }
    if (b.folder == NULL && (b.folder = mkdtemp(own)) == NULL)
        micro_die("folder", "cannot be made here");
    if (b.folder == own || stat(b.folder, &st) != 0) {
        open_store(&b);
        fill(&b);
        close_store(&b);
    }
    open_store(&b);
    time_gets(&b);
    time_folding(&b);
    time_listing(&b, false);
    time_listing(&b, true);
    time_queries(&b);
    close_store(&b);
    if (b.folder == own) nftw(own, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
