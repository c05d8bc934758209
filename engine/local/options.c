/* SPDX-License-Identifier: Apache-2.0
 *
 * How RocksDB is set, and why.
 *
 * The log is replayed to its end. A last record that was cut short is what a power cut leaves of a
 * group that was never acknowledged, because an acknowledgement follows the fsync: it is dropped.
 * Damage anywhere else fails the open. RocksDB's default, point-in-time, would stop there without a
 * word and lose what was acknowledged behind it (seen: 50 of 100 synced commits gone after four
 * bytes in the middle had changed). The cost: where the last, unacknowledged write reached the disk
 * with a hole inside, the open fails too, for nothing in the log tells the two apart.
 *
 * Contents lie in `values` with RocksDB's value log, so that compactions move keys and not
 * contents; its cache is the block cache, which lets hot contents be answered without the disk.
 * Contents are opaque and often compressed already: not compressed again. Record headers are (LZ4).
 *
 * What has expired in `nonces` is dropped by compactions, on their way. Nothing else looks for it:
 * its keys are hashes, so that every compaction meets a share of all rows, and while nobody writes
 * nothing grows. */
#include "engine/local/local_private.h"

#include <sys/resource.h>

#define VALUE_LOG_MIN_BYTES 2048
#define BLOCK_BYTES         (8u << 10)
#define LOG_FILES_KEPT      4
#define LOG_FILE_BYTES_MAX  (4u << 20)
#define OPEN_FILES_MAX      1024
#define OPEN_FILES_MIN      64
#define OPEN_SEGMENTS_MAX   256
#define OPEN_SEGMENTS_MIN   16

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value == 0 ? fallback : value;
}

/* ---- what expires */

static unsigned char drop_expired(void *state, int level, const char *key, size_t key_len,
                                  const char *value, size_t value_len, char **new_value,
                                  size_t *new_value_len, unsigned char *value_changed)
{
    struct local *l = state;
    uint64_t      expires_ms = 0;

    (void)level, (void)key, (void)key_len, (void)new_value, (void)new_value_len;
    *value_changed = 0;
    if (value_len < WFL_EXPIRES_LEN) return 0; /* not for us to judge */
    for (size_t i = 0; i < WFL_EXPIRES_LEN; i++)
        expires_ms = expires_ms << 8 | (uint8_t)value[i];
    return expires_ms <= wfl_clock_unix_ms(l->clock);
}

static void keep_state(void *state)
{
    (void)state; /* the engine's own */
}

static const char *filter_name(void *state)
{
    (void)state;
    return "wfl.expires";
}

static rocksdb_options_t *new_space_options(struct local *l, enum wfl_space space,
                                            uint64_t write_buffer)
{
    rocksdb_options_t                   *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, l->cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);

    rocksdb_options_set_write_buffer_size(o, (size_t)(write_buffer / 2));
    rocksdb_options_set_max_write_buffer_number(o, 4);
    rocksdb_options_set_compression(o, space == WFL_SPACE_VALUES ? rocksdb_no_compression
                                                                 : rocksdb_lz4_compression);
    if (space == WFL_SPACE_VALUES) {
        rocksdb_options_set_enable_blob_files(o, 1);
        rocksdb_options_set_min_blob_size(o, VALUE_LOG_MIN_BYTES);
        rocksdb_options_set_blob_compression_type(o, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_gc(o, 1);
        rocksdb_options_set_blob_gc_age_cutoff(o, 0.5);
        rocksdb_options_set_blob_cache(o, l->cache);
    }
    if (space == WFL_SPACE_NONCES) rocksdb_options_set_compaction_filter(o, l->expired_filter);
    return o;
}

/* Half of what the process may open at the most: the other half is for sockets. */
static int open_files_max(void)
{
    struct rlimit limit;
    uint64_t      half = OPEN_FILES_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) half = limit.rlim_cur / 2;
    if (half > OPEN_FILES_MAX) half = OPEN_FILES_MAX;
    return half < OPEN_FILES_MIN ? OPEN_FILES_MIN : (int)half;
}

/* An eighth of what the process may open at the most. */
static uint32_t open_segments_max(void)
{
    struct rlimit limit;
    uint64_t      part = OPEN_SEGMENTS_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) part = limit.rlim_cur / 8;
    if (part > OPEN_SEGMENTS_MAX) part = OPEN_SEGMENTS_MAX;
    return part < OPEN_SEGMENTS_MIN ? OPEN_SEGMENTS_MIN : (uint32_t)part;
}

void wfl_local_options_new(struct local *l, const struct wfl_local_config *config)
{
    uint64_t write_buffer = or_default(config->write_buffer_bytes, 128u << 20);

    /* RocksDB's C interface gives no NULL: it is C++ and ends the process without memory. */
    l->cache = rocksdb_cache_create_lru((size_t)or_default(config->block_cache_bytes, 256u << 20));
    l->options = rocksdb_options_create();
    /* After lack of room RocksDB goes on by itself, within some seconds, once as much is free as
     * the largest write buffer of any family, the unused default one's included. */
    rocksdb_options_set_write_buffer_size(l->options, (size_t)(write_buffer / 2));
    rocksdb_options_set_create_if_missing(l->options, 1);
    rocksdb_options_set_create_missing_column_families(l->options, 1);
    rocksdb_options_set_paranoid_checks(l->options, 1);
    rocksdb_options_set_wal_recovery_mode(l->options,
                                          rocksdb_tolerate_corrupted_tail_records_recovery);
    rocksdb_options_set_db_write_buffer_size(l->options, (size_t)write_buffer);
    rocksdb_options_set_max_total_wal_size(l->options, 4 * write_buffer);
    rocksdb_options_set_max_background_jobs(l->options, 2);
    rocksdb_options_set_bytes_per_sync(l->options, 1u << 20);
    rocksdb_options_set_max_open_files(l->options, open_files_max());
    rocksdb_options_set_keep_log_file_num(l->options, LOG_FILES_KEPT);
    rocksdb_options_set_max_log_file_size(l->options, LOG_FILE_BYTES_MAX);
    rocksdb_options_set_info_log_level(l->options, 2); /* warnings */
    /* A read that lets go of the last reference to old files leaves their deletion to a thread of
     * RocksDB: gets run on reactors. */
    rocksdb_options_set_avoid_unnecessary_blocking_io(l->options, 1);
    /* One writer: the machinery for several costs and gives nothing. */
    rocksdb_options_set_allow_concurrent_memtable_write(l->options, 0);
    l->expired_filter = rocksdb_compactionfilter_create(l, keep_state, drop_expired, filter_name);
    for (int i = 0; i < WFL_SPACE_COUNT; i++) {
        l->space_options[i] = new_space_options(l, (enum wfl_space)i, write_buffer);
    }

    l->segments.open_max = open_segments_max();
    l->family_options = new_space_options(l, WFL_SPACE_META, write_buffer);

    l->read_memory = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(l->read_memory, 1); /* block cache and memtables only */
    l->read_disk = rocksdb_readoptions_create();
    l->write_synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(l->write_synced, 1);
    l->write_buffered = rocksdb_writeoptions_create();
}

void wfl_local_options_free(struct local *l)
{
    if (l->options == NULL) return;
    rocksdb_readoptions_destroy(l->read_memory);
    rocksdb_readoptions_destroy(l->read_disk);
    rocksdb_writeoptions_destroy(l->write_synced);
    rocksdb_writeoptions_destroy(l->write_buffered);
    for (int i = 0; i < WFL_SPACE_COUNT; i++)
        rocksdb_options_destroy(l->space_options[i]);
    rocksdb_options_destroy(l->family_options);
    rocksdb_options_destroy(l->options);
    rocksdb_compactionfilter_destroy(l->expired_filter);
    rocksdb_cache_destroy(l->cache);
}
