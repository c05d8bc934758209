/* SPDX-License-Identifier: Apache-2.0
 *
 * FlatBuffers behind records.h. Reading verifies all of a record, then hands out pointers into it.
 * Records lie where the engine pinned them, at any address: the processors this is built for load
 * scalars from there. */
#include "schema/flat.hh"

namespace
{

using namespace wfl::flat;

const char   IDENTIFIER[] = "WFLR"; /* of records; messages have another one */
const size_t FIXED_BYTES = 576; /* tables, their layout, alignment, the builder's own notes, and of
                                 * three strings the lengths, NULs and alignments */

template <typename Make> size_t build(uint8_t *space, size_t cap, Make make)
{
    return wfl::flat::build(space, cap, IDENTIFIER, make);
}

template <typename Table> const Table *verified(const uint8_t *record, size_t len)
{
    if (record == nullptr || len < 8 || len >= FLATBUFFERS_MAX_BUFFER_SIZE) return nullptr;
    fb::Verifier verifier(record, len);
    if (!verifier.VerifyBuffer<Table>(IDENTIFIER)) return nullptr;
    return fb::GetRoot<Table>(record);
}

size_t notes_bytes(const struct wfl_record_object &in)
{
    uint32_t most = in.meta.count > in.tags.count ? in.meta.count : in.tags.count;
    return (static_cast<size_t>(most) * sizeof(fb::Offset<ws::Pair>) + ALIGNMENT - 1) / ALIGNMENT *
           ALIGNMENT;
}

bool in_chunks(enum wfl_record_storage storage)
{
    return storage == WFL_RECORD_CHUNKS || storage == WFL_RECORD_PARTS;
}

const char *const DAMAGED = "the record fails its schema";

}  // namespace

size_t wfl_record_object_bound(const struct wfl_record_object *in)
{
    size_t bound = FIXED_BYTES + notes_bytes(*in);
    bool   ok = add_bound(&bound, in->content_type.len) && add_bound(&bound, in->by.len) &&
              add_bound(&bound, in->value.len) && add_pairs_bound(&bound, in->meta) &&
              add_pairs_bound(&bound, in->tags);
    return ok && bound < FLATBUFFERS_MAX_BUFFER_SIZE ? bound : SIZE_MAX;
}

size_t wfl_record_object_write(const struct wfl_record_object *in, uint8_t *space, size_t cap)
{
    if (cap < wfl_record_object_bound(in)) return 0;
    size_t   skip = notes_bytes(*in) + ALIGNMENT;
    size_t   aligned_cap = skip;
    Notes    notes = reinterpret_cast<Notes>(align_space(space, &aligned_cap));
    ws::Hash hash(fb::span<const uint8_t, 32>(in->blake3, 32));
    ws::Ulid version = ulid_of(in->version), jti = ulid_of(in->jti);
    ws::Ulid manifest = ulid_of(in->manifest);
    size_t   len = build(space + skip, cap - skip, [&](fb::FlatBufferBuilder &builder) {
        auto                            tags = write_pairs(builder, notes, in->tags);
        auto                            meta = write_pairs(builder, notes, in->meta);
        auto                            type = string_of(builder, in->content_type);
        fb::Offset<fb::String>          by = 0;
        fb::Offset<fb::Vector<uint8_t>> value = 0;
        if (in->by.len > 0) by = string_of(builder, in->by);
        if (in->storage == WFL_RECORD_INLINE && in->value.len > 0)
            value = builder.CreateVector(in->value.data, in->value.len);
        return ws::CreateObjectRecord(builder, &version, in->size, &hash, type, meta, tags, by,
                                      is_zero(in->jti) ? nullptr : &jti,
                                        static_cast<ws::Storage>(in->storage), value,
                                      in_chunks(in->storage) ? &manifest : nullptr);
    });
    memmove(space, space + skip, len);
    return len;
}

void wfl_record_object_set_version(uint8_t *record, size_t len, const uint8_t version[16])
{
    const ws::Ulid *place = fb::GetRoot<ws::ObjectRecord>(record)->version();

    (void)len;
    memcpy(const_cast<uint8_t *>(place->bytes()->data()), version, 16);
}

const char *wfl_record_object_read(const uint8_t *record, size_t len, struct wfl_record_object *out)
{
    const ws::ObjectRecord *root = verified<ws::ObjectRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    copy_ulid(root->version(), out->version);
    out->size = root->size();
    memcpy(out->blake3, root->blake3()->bytes()->data(), 32);
    out->content_type = bytes_of(root->content_type());
    out->by = bytes_of(root->by());
    copy_ulid(root->jti(), out->jti);
    out->meta = pairs_of(root->meta());
    out->tags = pairs_of(root->tags());
    out->value = {nullptr, 0};
    copy_ulid(root->manifest(), out->manifest);
    switch (root->storage()) {
    case ws::Storage::Inline:
        out->storage = WFL_RECORD_INLINE;
        if (root->value() != nullptr) out->value = {root->value()->Data(), root->value()->size()};
        return out->value.len == out->size ? nullptr : "the content's length differs from its size";
    case ws::Storage::Values:
        out->storage = WFL_RECORD_VALUES;
        return nullptr;
    case ws::Storage::Chunks:
        out->storage = WFL_RECORD_CHUNKS;
        return root->manifest() != nullptr ? nullptr : "it names no manifest";
    case ws::Storage::Parts:
        out->storage = WFL_RECORD_PARTS;
        return root->manifest() != nullptr ? nullptr : "it names no manifest";
    case ws::Storage::Tombstone:
        out->storage = WFL_RECORD_TOMBSTONE;
        return out->size == 0 ? nullptr : "a tombstone has a size";
    }
    return "a newer release wrote it";
}

size_t wfl_record_bucket_write(const struct wfl_record_bucket *in,
                               uint8_t                         space[WFL_RECORD_SMALL_MAX])
{
    const struct wfl_record_settings &set = in->settings;
    ws::Ulid                          created = ulid_of(in->created);

    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        auto name = string_of(builder, in->name);
        auto settings = ws::CreateBucketSettings(
            builder, set.versions, set.retain_seconds, set.quota_bytes, set.quota_objects,
            set.max_object_bytes, set.requests_per_second, set.bytes_per_second, set.expire_seconds,
            set.public_read, set.change_retain_seconds);
        return ws::CreateBucketRecord(builder, in->id, name, settings, &created);
    });
}

const char *wfl_record_bucket_read(const uint8_t *record, size_t len, struct wfl_record_bucket *out)
{
    const ws::BucketRecord *root = verified<ws::BucketRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    const ws::BucketSettings *set = root->settings();
    *out = {};
    out->id = root->id();
    out->name = bytes_of(root->name());
    copy_ulid(root->created(), out->created);
    out->settings.versions = set->versions();
    out->settings.retain_seconds = set->retain_seconds();
    out->settings.quota_bytes = set->quota_bytes();
    out->settings.quota_objects = set->quota_objects();
    out->settings.max_object_bytes = set->max_object_bytes();
    out->settings.requests_per_second = set->requests_per_second();
    out->settings.bytes_per_second = set->bytes_per_second();
    out->settings.expire_seconds = set->expire_seconds();
    out->settings.public_read = set->public_read();
    out->settings.change_retain_seconds = set->change_retain_seconds();
    return nullptr;
}

size_t wfl_record_counters_write(const struct wfl_record_counters *in,
                                 uint8_t                           space[WFL_RECORD_SMALL_MAX])
{
    ws::Ulid version = ulid_of(in->version), floor = ulid_of(in->floor);
    ws::Ulid changes_floor = ulid_of(in->changes_floor);

    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreateCountersRecord(builder, in->objects, in->bytes, &version, &floor,
                                        &changes_floor);
    });
}

const char *wfl_record_counters_read(const uint8_t *record, size_t len,
                                     struct wfl_record_counters *out)
{
    const ws::CountersRecord *root = verified<ws::CountersRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    out->objects = root->objects();
    out->bytes = root->bytes();
    copy_ulid(root->version(), out->version);
    copy_ulid(root->floor(), out->floor);
    copy_ulid(root->changes_floor(), out->changes_floor);
    return nullptr;
}

size_t wfl_record_store_write(const struct wfl_record_store *in,
                              uint8_t                        space[WFL_RECORD_SMALL_MAX])
{
    ws::Ulid version = ulid_of(in->version);

    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreateStoreRecord(builder, in->format, &version, in->bucket_id);
    });
}

const char *wfl_record_store_read(const uint8_t *record, size_t len, struct wfl_record_store *out)
{
    const ws::StoreRecord *root = verified<ws::StoreRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    out->format = root->format();
    copy_ulid(root->version(), out->version);
    out->bucket_id = root->bucket_id();
    return nullptr;
}

size_t wfl_record_revocation_write(const struct wfl_record_revocation *in,
                                   uint8_t                             space[WFL_RECORD_SMALL_MAX])
{
    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        auto by = string_of(builder, in->by);
        auto reason = string_of(builder, in->reason);
        return ws::CreateRevocationRecord(builder, in->at_ms, by, reason, in->expires_ms);
    });
}

const char *wfl_record_revocation_read(const uint8_t *record, size_t len,
                                       struct wfl_record_revocation *out)
{
    const ws::RevocationRecord *root = verified<ws::RevocationRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    out->at_ms = root->at_ms();
    out->by = bytes_of(root->by());
    out->reason = bytes_of(root->reason());
    out->expires_ms = root->expires_ms();
    return nullptr;
}

/* ---- changes */

namespace
{

size_t tag_notes_bytes(const struct wfl_record_pairs &tags)
{
    struct wfl_record_object only = {};

    only.tags = tags;
    return notes_bytes(only);
}

}  // namespace

size_t wfl_record_change_bound(const struct wfl_record_change *in)
{
    size_t bound = FIXED_BYTES + tag_notes_bytes(in->tags);
    bool   ok = add_bound(&bound, in->key.len) && add_bound(&bound, in->by.len) &&
              add_pairs_bound(&bound, in->tags);
    return ok && bound < FLATBUFFERS_MAX_BUFFER_SIZE ? bound : SIZE_MAX;
}

size_t wfl_record_change_write(const struct wfl_record_change *in, uint8_t *space, size_t cap)
{
    if (cap < wfl_record_change_bound(in)) return 0;
    size_t   skip = tag_notes_bytes(in->tags) + ALIGNMENT;
    size_t   aligned_cap = skip;
    Notes    notes = reinterpret_cast<Notes>(align_space(space, &aligned_cap));
    ws::Hash hash(fb::span<const uint8_t, 32>(in->blake3, 32));
    ws::Ulid jti = ulid_of(in->jti), erased = ulid_of(in->erased);
    size_t   len = build(space + skip, cap - skip, [&](fb::FlatBufferBuilder &builder) {
        auto                   tags = write_pairs(builder, notes, in->tags);
        auto                   key = string_of(builder, in->key);
        fb::Offset<fb::String> by = 0;
        if (in->by.len > 0) by = string_of(builder, in->by);
        return ws::CreateChangeRecord(builder, static_cast<uint8_t>(in->op), key, in->size,
                                      in->op == WFL_CHANGE_PUT ? &hash : nullptr, by,
                                      is_zero(in->jti) ? nullptr : &jti,
                                      in->op == WFL_CHANGE_ERASE ? &erased : nullptr, tags);
    });
    memmove(space, space + skip, len);
    return len;
}

const char *wfl_record_change_read(const uint8_t *record, size_t len, struct wfl_record_change *out)
{
    const ws::ChangeRecord *root = verified<ws::ChangeRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    if (root->op() > WFL_CHANGE_ERASE) return "a newer release wrote it";
    out->op = static_cast<enum wfl_record_change_op>(root->op());
    out->key = bytes_of(root->key());
    out->size = root->size();
    if (root->blake3() != nullptr)
        memcpy(out->blake3, root->blake3()->bytes()->data(), 32);
    else
        memset(out->blake3, 0, 32);
    out->by = bytes_of(root->by());
    copy_ulid(root->jti(), out->jti);
    copy_ulid(root->erased(), out->erased);
    out->tags = pairs_of(root->tags());
    return nullptr;
}

/* ---- content in chunks */

static_assert(sizeof(ws::Chunk) == sizeof(struct wfl_record_chunk), "as the schema lays it out");
static_assert(sizeof(ws::Extent) == sizeof(struct wfl_record_extent), "as the schema lays it out");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are copied as they lie");

size_t wfl_record_page_write(const struct wfl_record_chunk *chunks, uint32_t count,
                             uint8_t space[WFL_RECORD_PAGE_MAX])
{
    if (count == 0 || count > WFL_MANIFEST_PAGE_CHUNKS) abort();
    return build(space, WFL_RECORD_PAGE_MAX, [&](fb::FlatBufferBuilder &builder) {
        auto vector =
            builder.CreateVectorOfStructs(reinterpret_cast<const ws::Chunk *>(chunks), count);
        return ws::CreateManifestPage(builder, vector);
    });
}

const char *wfl_record_page_read(const uint8_t *record, size_t len,
                                 struct wfl_record_chunk out[WFL_MANIFEST_PAGE_CHUNKS],
                                 uint32_t               *count)
{
    const ws::ManifestPage *root = verified<ws::ManifestPage>(record, len);

    if (root == nullptr) return DAMAGED;
    *count = root->chunks()->size();
    if (*count == 0 || *count > WFL_MANIFEST_PAGE_CHUNKS) return "it has a wrong number of chunks";
    memcpy(out, root->chunks()->Data(), *count * sizeof *out);
    for (uint32_t i = 0; i < *count; i++)
        if (out[i].len == 0 || out[i].len > 1u << 20) return "a chunk has a wrong length";
    return nullptr;
}

size_t wfl_record_parts_write(const struct wfl_record_extent *extents, uint32_t count,
                              uint8_t *space, size_t cap)
{
    return build(space, cap, [&](fb::FlatBufferBuilder &builder) {
        auto vector =
            builder.CreateVectorOfStructs(reinterpret_cast<const ws::Extent *>(extents), count);
        return ws::CreateManifestParts(builder, vector);
    });
}

const char *wfl_record_parts_read(const uint8_t *record, size_t len, uint32_t *count)
{
    const ws::ManifestParts *root = verified<ws::ManifestParts>(record, len);

    if (root == nullptr) return DAMAGED;
    *count = root->parts()->size();
    return *count <= WFL_MANIFEST_PARTS_MAX ? nullptr : "it has too many parts";
}

void wfl_record_parts_at(const uint8_t *record, uint32_t i, struct wfl_record_extent *out)
{
    const ws::ManifestParts *root = fb::GetRoot<ws::ManifestParts>(record);

    memcpy(out, root->parts()->Data() + static_cast<size_t>(i) * sizeof *out, sizeof *out);
}

size_t wfl_record_refs_write(const struct wfl_record_refs *in, uint8_t space[WFL_RECORD_SMALL_MAX])
{
    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreateChunkRecord(builder, in->count, in->len);
    });
}

const char *wfl_record_refs_read(const uint8_t *record, size_t len, struct wfl_record_refs *out)
{
    const ws::ChunkRecord *root = verified<ws::ChunkRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    *out = {root->count(), root->len()};
    return nullptr;
}

size_t wfl_record_trash_write(enum wfl_record_storage storage, uint8_t space[WFL_RECORD_SMALL_MAX])
{
    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreateTrashRecord(builder, static_cast<ws::Storage>(storage));
    });
}

const char *wfl_record_trash_read(const uint8_t *record, size_t len,
                                  enum wfl_record_storage *storage)
{
    const ws::TrashRecord *root = verified<ws::TrashRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    if (root->storage() == ws::Storage::Chunks)
        *storage = WFL_RECORD_CHUNKS;
    else if (root->storage() == ws::Storage::Parts)
        *storage = WFL_RECORD_PARTS;
    else
        return "a newer release wrote it";
    return nullptr;
}

/* ---- multipart uploads */

namespace
{

const size_t CONDITION_BYTES = 96; /* its table, and its vector's length and alignment */

fb::Offset<ws::Condition> write_condition(fb::FlatBufferBuilder             &builder,
                                          const struct wfl_record_condition &in)
{
    if (in.kind == 0) return 0;
    auto versions = builder.CreateVectorOfStructs(reinterpret_cast<const ws::Ulid *>(in.versions),
                                                  in.version_count);
    return ws::CreateCondition(builder, in.kind, versions);
}

struct wfl_record_condition condition_of(const ws::Condition *in)
{
    if (in == nullptr) return {0, nullptr, 0};
    if (in->versions() == nullptr) return {in->kind(), nullptr, 0};
    return {in->kind(), in->versions()->Data(), in->versions()->size()};
}

struct wfl_record_object pairs_only(const struct wfl_record_upload &in)
{
    struct wfl_record_object object = {};

    object.meta = in.meta;
    object.tags = in.tags;
    return object;
}

}  // namespace

size_t wfl_record_upload_bound(const struct wfl_record_upload *in)
{
    size_t bound = FIXED_BYTES + 2 * CONDITION_BYTES + notes_bytes(pairs_only(*in));
    bool   ok = add_bound(&bound, in->key.len) && add_bound(&bound, in->content_type.len) &&
              add_bound(&bound, in->by.len) && add_pairs_bound(&bound, in->meta) &&
              add_pairs_bound(&bound, in->tags) &&
              add_bound(&bound, 16 * static_cast<size_t>(in->match.version_count)) &&
              add_bound(&bound, 16 * static_cast<size_t>(in->none_match.version_count));
    return ok && bound < FLATBUFFERS_MAX_BUFFER_SIZE ? bound : SIZE_MAX;
}

size_t wfl_record_upload_write(const struct wfl_record_upload *in, uint8_t *space, size_t cap)
{
    if (cap < wfl_record_upload_bound(in)) return 0;
    size_t   skip = notes_bytes(pairs_only(*in)) + ALIGNMENT;
    size_t   aligned_cap = skip;
    Notes    notes = reinterpret_cast<Notes>(align_space(space, &aligned_cap));
    ws::Ulid jti = ulid_of(in->jti);
    size_t   len = build(space + skip, cap - skip, [&](fb::FlatBufferBuilder &builder) {
        auto tags = write_pairs(builder, notes, in->tags);
        auto meta = write_pairs(builder, notes, in->meta);
        auto key = string_of(builder, in->key);
        auto type = string_of(builder, in->content_type);
        auto match = write_condition(builder, in->match);
        auto none_match = write_condition(builder, in->none_match);
        auto by = string_of(builder, in->by);
        return ws::CreateUploadRecord(builder, key, type, meta, tags, by,
                                      is_zero(in->jti) ? nullptr : &jti, match, none_match);
    });
    memmove(space, space + skip, len);
    return len;
}

const char *wfl_record_upload_read(const uint8_t *record, size_t len, struct wfl_record_upload *out)
{
    const ws::UploadRecord *root = verified<ws::UploadRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    out->key = bytes_of(root->key());
    out->content_type = bytes_of(root->content_type());
    out->by = bytes_of(root->by());
    copy_ulid(root->jti(), out->jti);
    out->meta = pairs_of(root->meta());
    out->tags = pairs_of(root->tags());
    out->match = condition_of(root->match());
    out->none_match = condition_of(root->none_match());
    return nullptr;
}

size_t wfl_record_upload_state_write(const struct wfl_record_upload_state *in,
                                     uint8_t space[WFL_RECORD_SMALL_MAX])
{
    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreateUploadState(builder, in->bytes, in->parts, in->generation, in->touched_ms);
    });
}

const char *wfl_record_upload_state_read(const uint8_t *record, size_t len,
                                         struct wfl_record_upload_state *out)
{
    const ws::UploadState *root = verified<ws::UploadState>(record, len);

    if (root == nullptr) return DAMAGED;
    *out = {root->bytes(), root->parts(), root->generation(), root->touched_ms()};
    return nullptr;
}

size_t wfl_record_part_write(const struct wfl_record_part *in, uint8_t space[WFL_RECORD_SMALL_MAX])
{
    ws::Ulid manifest = ulid_of(in->manifest);
    ws::Hash hash(fb::span<const uint8_t, 32>(in->blake3, 32));

    return build(space, WFL_RECORD_SMALL_MAX, [&](fb::FlatBufferBuilder &builder) {
        return ws::CreatePartRecord(builder, &manifest, in->size, &hash);
    });
}

const char *wfl_record_part_read(const uint8_t *record, size_t len, struct wfl_record_part *out)
{
    const ws::PartRecord *root = verified<ws::PartRecord>(record, len);

    if (root == nullptr) return DAMAGED;
    copy_ulid(root->manifest(), out->manifest);
    out->size = root->size();
    memcpy(out->blake3, root->blake3()->bytes()->data(), 32);
    return nullptr;
}
