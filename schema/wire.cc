/* SPDX-License-Identifier: Apache-2.0
 *
 * FlatBuffers behind wire.h. A message is a table with a union, so that its bytes say what it is: a
 * batch is never read as settings. What is read is hostile: it is verified as a whole, with a bound
 * on the number of its tables, because offsets may point at the same bytes again and again. */
#include "schema/wire.h"

#include "schema/flat.hh"

namespace
{

using namespace wfl::flat;

const size_t FIXED_BYTES = 1024;  /* of the message and of what it has besides rows */
const size_t NAME_BYTES = 64;     /* of a bucket's name or a prefix, besides its bytes */
const size_t ROW_BYTES = 384;     /* of any other row: its table, their layout, scratch, lengths */
const size_t DEPTH_MAX = 8;       /* a batch uses 4 */
const size_t TABLES_MAX = 300000; /* 1000 ops with 100 pairs each have fewer */

/* ---- bounds */

struct Sum {
    size_t bytes = FIXED_BYTES;
    size_t notes = 0; /* offsets kept until their vector is written */
    bool   ok = true;

    void add(size_t n)
    {
        ok = ok && add_bound(&bytes, n);
    }
    void add(const struct wfl_record_pairs &pairs)
    {
        ok = ok && add_pairs_bound(&bytes, pairs);
        if (pairs.count > pairs_most) pairs_most = pairs.count;
    }
    void add_notes(size_t count)
    {
        notes += count;
    }
    size_t pairs_most = 0;
};

template <typename Row> Row row_at(const struct wfl_wire_rows &rows, uint32_t i)
{
    Row row = {};

    rows.at(rows.ctx, i, &row);
    return row;
}

template <typename Row, typename Add>
void sum_rows(Sum *sum, const struct wfl_wire_rows &rows, size_t each, Add add)
{
    sum->add_notes(rows.count);
    for (uint32_t i = 0; i < rows.count; i++) {
        sum->add(each);
        add(row_at<Row>(rows, i));
    }
}

void sum_texts(Sum *sum, const struct wfl_wire_rows &rows)
{
    sum_rows<struct wfl_record_bytes>(
        sum, rows, NAME_BYTES, [&](const struct wfl_record_bytes &text) { sum->add(text.len); });
}

void sum_items(Sum *sum, const struct wfl_wire_rows &rows)
{
    sum_rows<struct wfl_wire_item>(sum, rows, ROW_BYTES, [&](const struct wfl_wire_item &item) {
        sum->add(item.key.len);
        sum->add(item.content_type.len);
        sum->add(item.value.len);
        sum->add(item.meta);
        sum->add(item.tags);
    });
}

void sum_changes(Sum *sum, const struct wfl_wire_rows &rows)
{
    sum_rows<struct wfl_wire_change>(sum, rows, ROW_BYTES, [&](const struct wfl_wire_change &c) {
        sum->add(c.key.len);
        sum->add(c.by.len);
        sum->add(c.tags);
    });
}

void sum_results(Sum *sum, const struct wfl_wire_rows &rows)
{
    sum_rows<struct wfl_wire_result>(sum, rows, ROW_BYTES, [&](const struct wfl_wire_result &r) {
        sum->add(r.bucket.len);
        sum->add(r.key.len);
    });
}

void sum_uploads(Sum *sum, const struct wfl_wire_rows &rows)
{
    sum_rows<struct wfl_wire_upload>(sum, rows, ROW_BYTES,
                                     [&](const struct wfl_wire_upload &u) { sum->add(u.key.len); });
}

Sum sum_of(const struct wfl_wire_message &in)
{
    Sum sum;

    switch (in.kind) {
    case WFL_WIRE_BUCKETS:
        sum_texts(&sum, in.rows);
        break;
    case WFL_WIRE_BUCKET:
        sum.add(in.bucket.name.len);
        break;
    case WFL_WIRE_LISTING:
        sum_items(&sum, in.rows);
        sum_texts(&sum, in.prefixes);
        sum.add(in.cursor.len);
        break;
    case WFL_WIRE_UPLOADS:
        sum_uploads(&sum, in.rows);
        break;
    case WFL_WIRE_RESULTS:
        sum_results(&sum, in.rows);
        break;
    case WFL_WIRE_CHANGES:
        sum_changes(&sum, in.rows);
        break;
    case WFL_WIRE_VERSIONS:
    case WFL_WIRE_PARTS:
        sum.add_notes(in.rows.count);
        sum.add(ROW_BYTES * static_cast<size_t>(in.rows.count));
        break;
    }
    return sum;
}

/* The notes lie in front of what is built: rows first, then prefixes, then one row's pairs. */
size_t notes_bytes(const Sum &sum)
{
    size_t bytes = (sum.notes + sum.pairs_most) * sizeof(fb::Offset<void>);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- writing */

using Builder = fb::FlatBufferBuilder;
template <typename Table> using Rows = fb::Offset<fb::Vector<fb::Offset<Table>>>;

ws::Hash hash_of(const uint8_t bytes[32])
{
    return ws::Hash(fb::span<const uint8_t, 32>(bytes, 32));
}

template <typename Row, typename Table, typename Make>
Rows<Table> write_rows(Builder &builder, uint8_t *notes, const struct wfl_wire_rows &rows,
                       Make make)
{
    auto *at = reinterpret_cast<fb::Offset<Table> *>(notes);

    for (uint32_t i = 0; i < rows.count; i++)
        at[i] = make(row_at<Row>(rows, i));
    return builder.CreateVector(at, rows.count);
}

/* Where there are none the vector is there all the same: they were asked for. */
fb::Offset<PairVector> pairs_asked(Builder &builder, Notes notes,
                                   const struct wfl_record_pairs &pairs)
{
    auto written = write_pairs(builder, notes, pairs);
    return written.IsNull() ? builder.CreateVector(notes, 0) : written;
}

fb::Offset<ws::Item> write_item(Builder &builder, Notes notes, const struct wfl_wire_item &in)
{
    static const uint8_t            none[1] = {0};
    ws::Ulid                        version = ulid_of(in.version);
    ws::Hash                        hash = hash_of(in.blake3);
    fb::Offset<PairVector>          meta = 0, tags = 0;
    fb::Offset<fb::Vector<uint8_t>> value = 0;

    if (in.has_value)
        value = builder.CreateVector(in.value.len == 0 ? none : in.value.data, in.value.len);
    if (in.has_tags) tags = pairs_asked(builder, notes, in.tags);
    if (in.has_meta) meta = pairs_asked(builder, notes, in.meta);
    auto type = string_of(builder, in.content_type);
    auto key = string_of(builder, in.key);
    return ws::CreateItem(builder, key, &version, in.size, &hash, type, in.modified_ms, meta, tags,
                          value);
}

fb::Offset<ws::Change> write_change(Builder &builder, Notes notes, const struct wfl_wire_change &in)
{
    bool                   put = in.kind == WFL_WIRE_PUT;
    ws::Ulid               version = ulid_of(in.version), jti = ulid_of(in.jti);
    ws::Ulid               erased = ulid_of(in.erased);
    ws::Hash               hash = hash_of(in.blake3);
    fb::Offset<PairVector> tags = 0;
    fb::Offset<fb::String> by = 0;

    if (put) tags = pairs_asked(builder, notes, in.tags);
    if (in.by.len > 0) by = string_of(builder, in.by);
    auto key = string_of(builder, in.key);
    return ws::CreateChange(builder, &version, static_cast<ws::ChangeKind>(in.kind), key,
                            put ? in.size : 0, put ? &hash : nullptr, by,
                            is_zero(in.jti) ? nullptr : &jti,
                            in.kind == WFL_WIRE_ERASE ? &erased : nullptr, tags);
}

fb::Offset<ws::Settings> write_settings(Builder &builder, const struct wfl_record_settings &in)
{
    ws::SettingsBuilder out(builder);

    out.add_versions(in.versions); /* -1 means something here */
    if (in.retain_seconds >= 0) out.add_retain_seconds(in.retain_seconds);
    if (in.quota_bytes >= 0) out.add_quota_bytes(in.quota_bytes);
    if (in.quota_objects >= 0) out.add_quota_objects(in.quota_objects);
    if (in.max_object_bytes >= 0) out.add_max_object_bytes(in.max_object_bytes);
    if (in.requests_per_second >= 0) out.add_requests_per_second(in.requests_per_second);
    if (in.bytes_per_second >= 0) out.add_bytes_per_second(in.bytes_per_second);
    if (in.expire_seconds >= 0) out.add_expire_seconds(in.expire_seconds);
    if (in.change_retain_seconds >= 0) out.add_change_retain_seconds(in.change_retain_seconds);
    if (in.public_read) out.add_public_read(true);
    return out.Finish();
}

fb::Offset<void> write_bucket(Builder &builder, const struct wfl_wire_bucket &in)
{
    ws::Ulid version = ulid_of(in.version);
    auto     settings = write_settings(builder, in.settings);
    auto     name = string_of(builder, in.name);

    return ws::CreateBucket(builder, name, settings, in.objects, in.bytes, &version).Union();
}

fb::Offset<void> write_buckets(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    auto rows = write_rows<struct wfl_record_bytes, ws::BucketName>(
        builder, notes, in.rows, [&](const struct wfl_record_bytes &name) {
            return ws::CreateBucketName(builder, string_of(builder, name));
        });
    return ws::CreateBucketList(builder, rows).Union();
}

fb::Offset<void> write_listing(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    uint8_t *more = notes + in.rows.count * sizeof(fb::Offset<void>);
    Notes    pairs = reinterpret_cast<Notes>(more + in.prefixes.count * sizeof(fb::Offset<void>));
    ws::Ulid at = ulid_of(in.at);
    Rows<fb::String>       prefixes = 0;
    fb::Offset<fb::String> cursor = 0;

    if (in.cursor.len > 0) cursor = string_of(builder, in.cursor);
    if (in.has_prefixes)
        prefixes = write_rows<struct wfl_record_bytes, fb::String>(
            builder, more, in.prefixes,
            [&](const struct wfl_record_bytes &text) { return string_of(builder, text); });
    auto items = write_rows<struct wfl_wire_item, ws::Item>(
        builder, notes, in.rows,
        [&](const struct wfl_wire_item &item) { return write_item(builder, pairs, item); });
    return ws::CreateListing(builder, items, prefixes, &at, cursor).Union();
}

fb::Offset<void> write_versions(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    auto rows = write_rows<struct wfl_wire_version, ws::Version>(
        builder, notes, in.rows, [&](const struct wfl_wire_version &row) {
            bool     put = row.kind == WFL_WIRE_PUT;
            ws::Ulid version = ulid_of(row.version);
            ws::Hash hash = hash_of(row.blake3);
            return ws::CreateVersion(builder, &version, static_cast<ws::ChangeKind>(row.kind),
                                     put ? row.size : 0, put ? &hash : nullptr, row.modified_ms);
        });
    return ws::CreateVersionList(builder, rows).Union();
}

fb::Offset<void> write_uploads(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    auto rows = write_rows<struct wfl_wire_upload, ws::Upload>(
        builder, notes, in.rows, [&](const struct wfl_wire_upload &row) {
            ws::Ulid upload = ulid_of(row.upload);
            auto     key = string_of(builder, row.key);
            return ws::CreateUpload(builder, &upload, key, row.started_ms, row.bytes);
        });
    return ws::CreateUploadList(builder, rows).Union();
}

fb::Offset<void> write_parts(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    auto rows = write_rows<struct wfl_wire_part, ws::Part>(
        builder, notes, in.rows, [&](const struct wfl_wire_part &row) {
            ws::Hash hash = hash_of(row.blake3);
            return ws::CreatePart(builder, row.number, row.size, &hash);
        });
    return ws::CreatePartList(builder, rows).Union();
}

fb::Offset<void> write_results(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    auto rows = write_rows<struct wfl_wire_result, ws::BatchResult>(
        builder, notes, in.rows, [&](const struct wfl_wire_result &row) {
            ws::Ulid               version = ulid_of(row.version);
            fb::Offset<fb::String> bucket = 0;
            if (row.has_bucket) bucket = string_of(builder, row.bucket);
            auto key = string_of(builder, row.key);
            return ws::CreateBatchResult(builder, bucket, key,
                                         row.has_version ? &version : nullptr);
        });
    return ws::CreateBatchResults(builder, rows).Union();
}

fb::Offset<void> write_changes(Builder &builder, uint8_t *notes, const struct wfl_wire_message &in)
{
    Notes    pairs = reinterpret_cast<Notes>(notes + in.rows.count * sizeof(fb::Offset<void>));
    ws::Ulid next = ulid_of(in.at);
    auto     rows = write_rows<struct wfl_wire_change, ws::Change>(
        builder, notes, in.rows,
        [&](const struct wfl_wire_change &row) { return write_change(builder, pairs, row); });
    return ws::CreateChanges(builder, rows, &next).Union();
}

fb::Offset<ws::Message> write_body(Builder &builder, uint8_t *notes,
                                   const struct wfl_wire_message &in)
{
    switch (in.kind) {
    case WFL_WIRE_BUCKETS:
        return ws::CreateMessage(builder, ws::Body::BucketList, write_buckets(builder, notes, in));
    case WFL_WIRE_BUCKET:
        return ws::CreateMessage(builder, ws::Body::Bucket, write_bucket(builder, in.bucket));
    case WFL_WIRE_LISTING:
        return ws::CreateMessage(builder, ws::Body::Listing, write_listing(builder, notes, in));
    case WFL_WIRE_VERSIONS:
        return ws::CreateMessage(builder, ws::Body::VersionList,
                                 write_versions(builder, notes, in));
    case WFL_WIRE_UPLOADS:
        return ws::CreateMessage(builder, ws::Body::UploadList, write_uploads(builder, notes, in));
    case WFL_WIRE_PARTS:
        return ws::CreateMessage(builder, ws::Body::PartList, write_parts(builder, notes, in));
    case WFL_WIRE_RESULTS:
        return ws::CreateMessage(builder, ws::Body::BatchResults,
                                 write_results(builder, notes, in));
    case WFL_WIRE_CHANGES:
        return ws::CreateMessage(builder, ws::Body::Changes, write_changes(builder, notes, in));
    }
    abort(); /* our own mistake */
}

/* ---- reading */

template <typename Table> const Table *read_body(const uint8_t *message, size_t len)
{
    if (message == nullptr || len < 8 || len >= FLATBUFFERS_MAX_BUFFER_SIZE) return nullptr;
    fb::Verifier verifier(message, len, DEPTH_MAX, TABLES_MAX);
    if (!ws::VerifyMessageBuffer(verifier)) return nullptr;
    const ws::Message *root = ws::GetMessage(message);
    return root->body_type() == ws::BodyTraits<Table>::enum_value
               ? static_cast<const Table *>(root->body())
               : nullptr;
}

/* Has it a member behind the last one that the schema has? */
bool has_unknown(const void *table, fb::voffset_t last)
{
    auto *bytes = static_cast<const uint8_t *>(table);
    auto *layout = bytes - fb::ReadScalar<fb::soffset_t>(bytes);
    auto  layout_len = fb::ReadScalar<fb::voffset_t>(layout);

    for (unsigned at = last + 2u; at + 2u <= layout_len; at += 2)
        if (fb::ReadScalar<fb::voffset_t>(layout + at) != 0) return true;
    return false;
}

const uint8_t *ulid_in(const ws::Ulid *ulid)
{
    return ulid == nullptr ? nullptr : ulid->bytes()->data();
}

using OpVector = fb::Vector<fb::Offset<ws::BatchOp>>;
using TextVector = fb::Vector<fb::Offset<fb::String>>;

}  // namespace

size_t wfl_wire_bound(const struct wfl_wire_message *in)
{
    Sum sum = sum_of(*in);

    sum.add(notes_bytes(sum) + 2 * static_cast<size_t>(ALIGNMENT));
    return sum.ok && sum.bytes < FLATBUFFERS_MAX_BUFFER_SIZE ? sum.bytes : SIZE_MAX;
}

size_t wfl_wire_write(const struct wfl_wire_message *in, uint8_t *space, size_t cap)
{
    if (cap < wfl_wire_bound(in)) return 0;
    size_t   skip = notes_bytes(sum_of(*in)) + ALIGNMENT;
    size_t   notes_cap = skip;
    uint8_t *notes = align_space(space, &notes_cap);
    size_t   len = build(space + skip, cap - skip, ws::MessageIdentifier(),
                         [&](Builder &builder) { return write_body(builder, notes, *in); });

    memmove(space, space + skip, len);
    return len;
}

bool wfl_wire_batch_read(const uint8_t *message, size_t len, struct wfl_wire_batch *out)
{
    const ws::Batch *batch = read_body<ws::Batch>(message, len);

    if (batch == nullptr) return false;
    *out = {batch->ops()->size(), has_unknown(batch, ws::Batch::VT_OPS), batch->ops()};
    return true;
}

void wfl_wire_batch_at(const struct wfl_wire_batch *batch, uint32_t i,
                       struct wfl_wire_batch_op *out)
{
    const ws::BatchOp *op = static_cast<const OpVector *>(batch->ops)->Get(i);

    out->kind = static_cast<unsigned>(op->op());
    out->condition = static_cast<unsigned>(op->condition());
    out->bucket = bytes_of(op->bucket());
    out->key = bytes_of(op->key());
    out->value = {nullptr, 0};
    if (op->value() != nullptr) out->value = {op->value()->Data(), op->value()->size()};
    out->content_type = bytes_of(op->content_type());
    out->from = bytes_of(op->from());
    out->condition_version = ulid_in(op->condition_version());
    out->from_version = ulid_in(op->from_version());
    out->has_meta = op->meta() != nullptr;
    out->has_tags = op->tags() != nullptr;
    out->meta = pairs_of(op->meta());
    out->tags = pairs_of(op->tags());
    out->unknown = has_unknown(op, ws::BatchOp::VT_FROM_VERSION);
}

bool wfl_wire_settings_read(const uint8_t *message, size_t len, struct wfl_wire_settings *out)
{
    const ws::Settings *in = read_body<ws::Settings>(message, len);

    if (in == nullptr) return false;
    const struct {
        const char           *name;
        fb::Optional<int64_t> value;
    } numbers[WFL_WIRE_SETTINGS] = {
        {"versions", in->versions()},
        {"retain_seconds", in->retain_seconds()},
        {"quota_bytes", in->quota_bytes()},
        {"quota_objects", in->quota_objects()},
        {"max_object_bytes", in->max_object_bytes()},
        {"requests_per_second", in->requests_per_second()},
        {"bytes_per_second", in->bytes_per_second()},
        {"expire_seconds", in->expire_seconds()},
        {"change_retain_seconds", in->change_retain_seconds()},
    };
    for (size_t i = 0; i < WFL_WIRE_SETTINGS; i++) {
        out->numbers[i].name = numbers[i].name;
        out->numbers[i].given = numbers[i].value.has_value();
        out->numbers[i].value = numbers[i].value.value_or(0);
    }
    out->has_public_read = in->public_read().has_value();
    out->public_read = in->public_read().value_or(false);
    out->unset_count = in->unset() == nullptr ? 0 : in->unset()->size();
    out->unset = in->unset();
    out->unknown = has_unknown(in, ws::Settings::VT_UNSET);
    return true;
}

struct wfl_record_bytes wfl_wire_unset_at(const struct wfl_wire_settings *settings, uint32_t i)
{
    return bytes_of(static_cast<const TextVector *>(settings->unset)->Get(i));
}
