/* SPDX-License-Identifier: Apache-2.0
 *
 * Do comparisons of signatures and MACs take a time that depends on where the bytes differ? Two
 * classes of inputs, drawn in random order: wrong in the first byte, wrong in the last. What a
 * byte-wise early exit makes of them differs; what looks at all of them does not. The statistic is
 * Welch's t over times cropped at several percentiles, so that what disturbs a busy machine falls
 * out (as in "Dude, is my code constant time?").
 *
 *   timing CASE ROUNDS      prints the largest |t|; CASE is one of the table below
 *
 * The planted ones, "leaky-", do the same work and then compare once more, byte by byte, ending at
 * the first difference. */
#include "auth/auth_private.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLASSES 2
#define CROPS   12

struct moments { /* Welford */
    double n, mean, m2;
};

struct sample {
    int64_t ns;
    uint8_t class;
};

static void add(struct moments *m, double x)
{
    double d = x - m->mean;

    m->n++;
    m->mean += d / m->n;
    m->m2 += d * (x - m->mean);
}

static double welch(const struct moments c[CLASSES])
{
    double a = c[0].m2 / (c[0].n - 1) / c[0].n, b = c[1].m2 / (c[1].n - 1) / c[1].n;

    return a + b > 0 ? (c[0].mean - c[1].mean) / sqrt(a + b) : 0;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* ---- what is timed */

static struct session_table *table;
static struct session       *session;
static struct wfl_key_pair   pair;
static uint8_t               mac[32]; /* the right one */
static uint8_t               message[64];

static const wfl_slice scope = WFL_LIT("photos");

static wfl_slice text(void)
{
    return wfl_slice_of(message, sizeof message);
}

static bool __attribute__((noinline)) leaky_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((const volatile uint8_t *)a)[i] != ((const volatile uint8_t *)b)[i]) return false;
    }
    return true;
}

/* A MAC wrong in its first byte or its last. */
static void make_mac(uint8_t *out, unsigned class)
{
    memcpy(out, mac, sizeof mac);
    out[class == 0 ? 0 : sizeof mac - 1] ^= 1;
}

static bool run_mac(const uint8_t *input)
{
    return session_mac_is(session, scope, text(), input);
}

static bool run_leaky_mac(const uint8_t *input)
{
    return session_mac_is(session, scope, text(), input) || leaky_equal(input, mac, sizeof mac);
}

/* R wrong in its first byte or its last but one: both are compared with the R that is worked out.
 * Of another message each time, because verifying takes as long as its public inputs have it. */
static uint8_t right[WFL_SIGNATURE_LEN];

static void make_signature(uint8_t *out, unsigned class)
{
    randombytes_buf(message, sizeof message);
    wfl_key_sign(&pair, text(), right);
    memcpy(out, right, sizeof right);
    out[class == 0 ? 0 : 30] ^= 1;
}

static bool run_signature(const uint8_t *input)
{
    return wfl_key_verify(&pair.pub, text(), input);
}

/* The leak of one such comparison, some ten nanoseconds, is lost in a calculation whose time varies
 * by microseconds with its public inputs; that of 64 is found. Nothing in a signature is secret. */
static bool run_leaky_signature(const uint8_t *input)
{
    bool same = wfl_key_verify(&pair.pub, text(), input);

    for (int i = 0; i < 64; i++)
        same |= leaky_equal(input, right, sizeof right);
    return same;
}

static const struct {
    const char *name;
    bool (*run)(const uint8_t *input);
    void (*make)(uint8_t *out, unsigned class);
} cases[] = {
    {"mac", run_mac, make_mac},
    {"leaky-mac", run_leaky_mac, make_mac},
    {"signature", run_signature, make_signature},
    {"leaky-signature", run_leaky_signature, make_signature},
};

/* ---- measuring */

static int by_ns(const void *a, const void *b)
{
    int64_t x = ((const struct sample *)a)->ns, y = ((const struct sample *)b)->ns;

    return x < y ? -1 : x > y;
}

static void measure(size_t which, struct sample *samples, size_t count)
{
    uint8_t       input[WFL_SIGNATURE_LEN];
    volatile bool sink = false;

    for (size_t i = 0; i < count; i++) {
        unsigned class = randombytes_random() & 1;
        int64_t begin;

        cases[which].make(input, class);
        begin = now_ns();
        sink |= cases[which].run(input);
        samples[i] = (struct sample){now_ns() - begin, (uint8_t) class};
    }
    if (sink) abort(); /* every input is wrong */
}

/* Sorted samples, cropped at falling percentiles: the largest |t| of all that leave enough. */
static double largest_t(struct sample *samples, size_t count)
{
    double largest = 0;

    qsort(samples, count, sizeof *samples, by_ns);
    for (int crop = 0; crop < CROPS; crop++) {
        size_t         n = (size_t)((double)count * (1 - 0.07 * crop));
        struct moments c[CLASSES] = {{0}};
        double         t;

        while (n < count && n > 0 && samples[n].ns == samples[n - 1].ns)
            n--; /* no tie is cut through */
        for (size_t i = 0; i < n; i++)
            add(&c[samples[i].class], (double)samples[i].ns);
        if (c[0].n < 1000 || c[1].n < 1000) break;
        t = fabs(welch(c));
        if (t > largest) largest = t;
    }
    return largest;
}

static bool prepare(void)
{
    struct hmac_sha256_ctx hmac;
    wfl_error              err;
    wfl_thumb              client = {"timing"};
    uint8_t                seed[32] = {7};
    char                   key[65];

    if (wfl_auth_init(&err) != WFL_OK || wfl_key_from_seed(seed, &pair, &err) != WFL_OK ||
        session_table_new(1, 1, &wfl_random_system, &wfl_alloc_libc, &table, &err) != WFL_OK ||
        session_make(table, &client, 0, &session, &err) != WFL_OK) {
        return false;
    }
    session_mac_key(session->secret->prk, scope, key);
    hmac_sha256_set_key(&hmac, 64, (const uint8_t *)key);
    hmac_sha256_update(&hmac, sizeof message, message);
    hmac_sha256_digest(&hmac, sizeof mac, mac);
    return run_mac(mac); /* the scope's key is kept ready from now on */
}

static void release(void)
{
    wfl_key_pair_free(&pair);
    session_unref(session);
    session_table_free(table);
}

int main(int argc, char **argv)
{
    size_t         count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    struct sample *samples = calloc(count == 0 ? 1 : count, sizeof *samples);

    if (count < 5000 || samples == NULL || !prepare()) return 2;
    for (size_t i = 0; i < WFL_COUNT(cases); i++) {
        if (strcmp(argv[1], cases[i].name) != 0) continue;
        measure(i, samples, count / 10); /* caches and clock frequency */
        measure(i, samples, count);
        printf("%.2f\n", largest_t(samples, count));
        release();
        free(samples);
        return 0;
    }
    return 2;
}
