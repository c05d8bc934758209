/* SPDX-License-Identifier: Apache-2.0
 *
 * verify: opens a data folder that no server uses, as a start would, and recounts what the store
 * keeps count of. Nothing is written but what any start writes. */
#include "admin/admin.h"
#include "store/store.h"

#include <inttypes.h>
#include <sys/stat.h>

#define PATH_BYTES_MAX 4096
#define TEXT_BYTES_MAX (64u << 20)

struct findings {
    bool     as_json;
    wfl_json json;
};

static void report(void *arg, const char *line)
{
    struct findings *f = arg;

    if (f->as_json)
        wfl_json_cstr(&f->json, line);
    else
        printf("%s\n", line);
}

/* The records below a data folder, or a copy of them. An open would make what is missing, and a
 * verified nothing would be worth nothing. */
static int find_records(const char *path, char out[PATH_BYTES_MAX])
{
    static const char *const behind[] = {"/records", ""};
    struct stat              there;

    for (size_t i = 0; i < WFL_COUNT(behind); i++) {
        char current[PATH_BYTES_MAX + sizeof "/CURRENT"];
        int  len = snprintf(out, PATH_BYTES_MAX, "%s%s", path, behind[i]);

        if (len < 0 || len >= PATH_BYTES_MAX) break;
        snprintf(current, sizeof current, "%s/CURRENT", out);
        if (stat(current, &there) == 0) return CLI_DONE;
    }
    return cli_fail(CLI_NOT_FOUND,
                    "%s holds no store: name a server's data folder, or a copy of it", path);
}

static wfl_code recount(const char *path, struct findings *f, uint64_t *differences, wfl_error *err)
{
    struct wfl_engine *engine = NULL;
    struct wfl_store  *store = NULL;
    wfl_code           rc = wfl_engine_open_local(
                  &(struct wfl_local_config){.path = path, .alloc = &wfl_alloc_libc}, &engine, err);

    if (rc == WFL_OK)
        rc = wfl_store_open(&(struct wfl_store_config){.engine = engine,
                                                       .clock = &wfl_clock_system,
                                                       .random = &wfl_random_system,
                                                       .alloc = &wfl_alloc_libc},
                            &store, err);
    if (rc == WFL_OK)
        rc = wfl_store_recount(store, &(struct wfl_recount){.report = report, .arg = f},
                               differences, err);
    wfl_engine_stop(engine);
    wfl_store_close(store);
    wfl_engine_close(engine);
    return rc;
}

static int verify(const char *path, bool as_json)
{
    struct findings f = {.as_json = as_json};
    char            records[PATH_BYTES_MAX];
    uint64_t        differences = 0;
    wfl_error       err = {0};
    wfl_buf         text;
    wfl_code        rc;
    int             status = find_records(path, records);

    if (status != CLI_DONE) return status;
    wfl_buf_init(&text, &wfl_alloc_libc, TEXT_BYTES_MAX);
    wfl_json_init(&f.json, &text);
    wfl_json_object(&f.json);
    wfl_json_key(&f.json, "differences");
    wfl_json_array(&f.json);
    rc = recount(records, &f, &differences, &err);
    wfl_json_end(&f.json);
    wfl_json_end(&f.json);
    if (rc != WFL_OK) {
        status = cli_fail(CLI_FAILED, "%s: %s", path, err.message);
    } else {
        if (as_json)
            cli_print_json(&text);
        else
            printf("%" PRIu64 " differences\n", differences);
        status = differences == 0 ? CLI_DONE : CLI_FAILED;
    }
    wfl_buf_fini(&text);
    return status;
}

int admin_verify(int argc, char **argv)
{
    uint32_t                as_json = 0;
    struct cli_words        words = {0};
    const struct cli_option options[] = {{.name = "--json", .count = &as_json}};
    int                     status = cli_parse(argc, argv, options, WFL_COUNT(options), &words);

    if (status != CLI_DONE) return status;
    if (words.count != 1) return cli_fail(CLI_USAGE, "use it so: wfldb-admin verify FOLDER");
    return verify(words.items[0], as_json > 0);
}
