/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files behind records.h and wire.h share.
 *
 * Writing happens in memory of the caller's. A builder that runs out of memory has no way to say
 * so, hence it is given all it can need at once (the bounds) and an allocator that hands out this
 * memory and nothing else; that it would ask for more is a mistake in a bound and stops the
 * process. */
#ifndef WFL_SCHEMA_FLAT_HH
#define WFL_SCHEMA_FLAT_HH

#include "schema/records.h"

#include <cstdlib>
#include <cstring>

#include "wfldb_generated.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "records are read in place: this processor must load unaligned scalars"
#endif

namespace wfl::flat
{

namespace fb = flatbuffers;
namespace ws = wfl::schema;

inline constexpr uint8_t ALIGNMENT = 16; /* of the builder's memory; above that of any member */
/* A pair's table and its strings' lengths, NULs and alignments. */
inline constexpr size_t PAIR_BYTES = 64;

/* Gives out one piece of memory, once. */
class FixedMemory final : public fb::Allocator
{
  public:
    FixedMemory(uint8_t *data, size_t cap) : data_(data), cap_(cap)
    {
    }
    uint8_t *allocate(size_t n) override
    {
        if (data_ == nullptr || n > cap_) abort(); /* a bound is wrong */
        uint8_t *data = data_;
        data_ = nullptr;
        return data;
    }
    void deallocate(uint8_t *, size_t) override
    {
    }

  private:
    uint8_t *data_;
    size_t   cap_;
};

/* The part of [space, space + cap) that is aligned at both ends. */
inline uint8_t *align_space(uint8_t *space, size_t *cap)
{
    size_t skip = (ALIGNMENT - reinterpret_cast<uintptr_t>(space) % ALIGNMENT) % ALIGNMENT;

    if (*cap < skip) abort();
    *cap = (*cap - skip) / ALIGNMENT * ALIGNMENT;
    return space + skip;
}

/* Runs `make`, which returns the root's offset, and moves what it built to the front of `space`. */
template <typename Make> size_t build(uint8_t *space, size_t cap, const char *identifier, Make make)
{
    size_t                aligned_cap = cap;
    uint8_t              *aligned = align_space(space, &aligned_cap);
    FixedMemory           memory(aligned, aligned_cap);
    fb::FlatBufferBuilder builder(aligned_cap, &memory, false, ALIGNMENT);

    builder.Finish(make(builder), identifier);
    size_t len = builder.GetSize();
    memmove(space, builder.GetBufferPointer(), len);
    return len;
}

inline fb::Offset<fb::String> string_of(fb::FlatBufferBuilder  &builder,
                                        struct wfl_record_bytes bytes)
{
    static const char none[] = "";
    return builder.CreateString(bytes.len == 0 ? none : reinterpret_cast<const char *>(bytes.data),
                                bytes.len);
}

inline struct wfl_record_bytes bytes_of(const fb::String *string)
{
    if (string == nullptr) return {nullptr, 0};
    return {string->Data(), string->size()};
}

inline ws::Ulid ulid_of(const uint8_t bytes[16])
{
    return ws::Ulid(fb::span<const uint8_t, 16>(bytes, 16));
}

inline void copy_ulid(const ws::Ulid *ulid, uint8_t out[16])
{
    if (ulid == nullptr)
        memset(out, 0, 16);
    else
        memcpy(out, ulid->bytes()->data(), 16);
}

inline bool is_zero(const uint8_t bytes[16])
{
    static const uint8_t zero[16] = {0};
    return memcmp(bytes, zero, 16) == 0;
}

using Notes = fb::Offset<ws::Pair> *;
using PairVector = fb::Vector<fb::Offset<ws::Pair>>;

/* FlatBuffers builds from the leaves up: `notes` keeps the pairs' places until their vector comes.
 */
inline fb::Offset<PairVector> write_pairs(fb::FlatBufferBuilder &builder, Notes notes,
                                          const struct wfl_record_pairs &pairs)
{
    if (pairs.count == 0) return 0;
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct wfl_record_bytes name = {nullptr, 0}, value = {nullptr, 0};
        pairs.at(pairs.ctx, i, &name, &value);
        auto name_at = string_of(builder, name);
        auto value_at = string_of(builder, value);
        notes[i] = ws::CreatePair(builder, name_at, value_at);
    }
    return builder.CreateVector(notes, pairs.count);
}

inline void pair_at(const void *ctx, uint32_t i, struct wfl_record_bytes *name,
                    struct wfl_record_bytes *value)
{
    const ws::Pair *pair = static_cast<const PairVector *>(ctx)->Get(i);

    *name = bytes_of(pair->name());
    *value = bytes_of(pair->value());
}

inline struct wfl_record_pairs pairs_of(const PairVector *vector)
{
    return {vector == nullptr ? 0 : vector->size(), vector, pair_at};
}

inline bool add_bound(size_t *bound, size_t n)
{
    return !__builtin_add_overflow(*bound, n, bound);
}

inline bool add_pairs_bound(size_t *bound, const struct wfl_record_pairs &pairs)
{
    for (uint32_t i = 0; i < pairs.count; i++) {
        struct wfl_record_bytes name = {nullptr, 0}, value = {nullptr, 0};
        pairs.at(pairs.ctx, i, &name, &value);
        if (!add_bound(bound, PAIR_BYTES) || !add_bound(bound, name.len) ||
            !add_bound(bound, value.len))
            return false;
    }
    return true;
}

}  // namespace wfl::flat
#endif
