/* SPDX-License-Identifier: Apache-2.0
 *
 * A target without libFuzzer: every file of the folders given, then each file cut at many places
 * and with many single bits turned. Deterministic, so that what once crashed stays found. The input
 * under way is named when the target aborts. */
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64u << 10)
#define CUTS_MAX       128 /* a file */
#define FLIPS_MAX      256

static char under_way[512];

static void name_input(int number)
{
    static const char before[] = "replay: died of ";

    if (write(STDERR_FILENO, before, sizeof before - 1) < 0 ||
        write(STDERR_FILENO, under_way, strlen(under_way)) < 0 || write(STDERR_FILENO, "\n", 1) < 0)
        _exit(1);
    signal(number, SIG_DFL);
    raise(number);
}

/* Of exactly its size on the heap, where a byte too far is noticed. */
static void run(wfl_slice input)
{
    uint8_t *copy = malloc(input.len == 0 ? 1 : input.len);

    if (copy == NULL) abort();
    if (input.len > 0) memcpy(copy, input.data, input.len);
    LLVMFuzzerTestOneInput(copy, input.len);
    free(copy);
}

static void run_damaged(const char *path, uint8_t *bytes, size_t len)
{
    size_t cut = len / CUTS_MAX + 1, flip = len * 8 / FLIPS_MAX + 1;

    for (size_t n = 0; n < len; n += cut) {
        snprintf(under_way, sizeof under_way, "%s cut to %zu bytes", path, n);
        run(wfl_slice_of(bytes, n));
    }
    for (size_t bit = 0; bit < len * 8; bit += flip | 1) {
        snprintf(under_way, sizeof under_way, "%s with bit %zu turned", path, bit);
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1 << (bit % 8)));
        run(wfl_slice_of(bytes, len));
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
}

static void run_file(const char *path)
{
    static uint8_t bytes[FILE_BYTES_MAX];
    FILE          *f = fopen(path, "rb");
    size_t         len;

    snprintf(under_way, sizeof under_way, "%s", path);
    if (f == NULL) abort();
    len = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    run(wfl_slice_of(bytes, len));
    run_damaged(path, bytes, len);
}

static unsigned run_folder(const char *folder)
{
    DIR           *dir = opendir(folder);
    struct dirent *entry;
    unsigned       count = 0;
    char           path[480];

    if (dir == NULL) return 0;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        run_file(path);
        count++;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    signal(SIGABRT, name_input);
    signal(SIGSEGV, name_input);
    for (int i = 1; i < argc; i++)
        count += run_folder(argv[i]);
    printf("%u files\n", count);
    if (count == 0) fprintf(stderr, "replay: no file in the folders given\n");
    return count == 0;
}
