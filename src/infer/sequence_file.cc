#include "infer/sequence_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include "base/checked.h"
#include "base/file.h"
#include "base/hash.h"
#include "formats/byte_reader.h"

namespace longspan {
namespace {

constexpr std::string_view kMagic = "LSPNKVSQ";
constexpr std::uint32_t kVersion = 1;

// Writes to a file and hashes what it writes.
class HashingWriter {
 public:
  explicit HashingWriter(const std::filesystem::path& path) : file_(path) {}

  void Write(std::span<const std::byte> bytes) {
    hash_.Update(bytes);
    file_.Write(bytes);
  }
  template <class T>
  void Put(T value) {
    Write(std::as_bytes(std::span(&value, 1)));
  }
  void Commit() {
    const std::uint64_t sum = hash_.value();
    file_.Write(std::as_bytes(std::span(&sum, 1)));
    file_.Commit();
  }

 private:
  AtomicFile file_;
  Hash64 hash_;
};

// A copy of the page that holds its first `tokens` tokens and zeros elsewhere, because other sequences'
// tokens may have been there.
std::vector<std::byte> HeldPart(const KvPage& page, const KvLayout& layout, std::int64_t layers,
                                std::int64_t tokens) {
  const auto bytes = static_cast<std::size_t>(layers * layout.PageBytes());
  std::vector<std::byte> held(bytes);
  // Rows of one head's K, or V, lie together.
  const auto run = static_cast<std::size_t>(kKvBlock * layout.RowBytes());
  const auto used = static_cast<std::size_t>(tokens * layout.RowBytes());
  for (std::size_t at = 0; at < bytes; at += run) std::memcpy(held.data() + at, page.get() + at, used);
  return held;
}

// Whether everything that HeldPart leaves out is zero.
bool RestIsZero(const KvPage& page, const KvLayout& layout, std::int64_t layers, std::int64_t tokens) {
  const std::vector<std::byte> held = HeldPart(page, layout, layers, tokens);
  return std::memcmp(held.data(), page.get(), held.size()) == 0;
}

// The dimensions of a cache that a header gives and that must be the model's, with their names.
using Measures = std::array<std::pair<const char*, std::int64_t>, 4>;
Measures MeasuresOf(const KvLayout& layout, std::int64_t layers) {
  return {{{"layers", layers},
           {"KV heads", layout.kv_heads},
           {"dimensions a head", layout.head_dim},
           {"tokens a page", kKvBlock}}};
}

void CheckSum(std::span<const std::byte> file, const ByteReader& reader) {
  if (file.size() < sizeof(std::uint64_t)) reader.FailAt("{} bytes are no saved sequence", file.size());
  Hash64 hash;
  hash.Update(file.first(file.size() - sizeof(std::uint64_t)));
  std::uint64_t sum;
  std::memcpy(&sum, file.last(sizeof sum).data(), sizeof sum);
  if (sum != hash.value())
    reader.FailAt("the checksum is {:016x}, expected {:016x}: the file is damaged", sum, hash.value());
}

void CheckModel(ByteReader& reader, std::string_view name, std::uint64_t fingerprint,
                const KvPagePool& pool) {
  const auto type = reader.Read<std::uint32_t>("the type");
  const auto model = reader.Read<std::uint64_t>("the fingerprint");
  if (model != fingerprint) Fail(ErrorKind::kBadOption, "{}: the sequence was read by another model", name);
  const Type wanted = pool.layout().type;
  if (type != static_cast<std::uint32_t>(wanted)) {
    const auto found = TypeFromId(type);
    Fail(ErrorKind::kBadOption, "{}: the cache has type {}, expected {}", name,
         found ? Traits(*found).name : std::string_view("unknown"), Traits(wanted).name);
  }
  for (const auto& [what, expected] : MeasuresOf(pool.layout(), pool.layers())) {
    const auto found = reader.Read<std::int64_t>(what);
    if (found != expected) reader.FailAt("{} {}, expected {}", found, what, expected);
  }
}

}  // namespace

void SaveSequence(const std::filesystem::path& path, std::uint64_t fingerprint,
                  std::span<const std::int32_t> tokens, const KvCache& cache) {
  const KvPagePool& pool = cache.pool();
  HashingWriter file(path);
  file.Write(std::as_bytes(std::span(kMagic)));
  file.Put(kVersion);
  file.Put(static_cast<std::uint32_t>(pool.layout().type));
  file.Put(fingerprint);
  for (const auto& [what, value] : MeasuresOf(pool.layout(), pool.layers())) file.Put(value);
  file.Put(static_cast<std::int64_t>(tokens.size()));
  file.Put(cache.length());
  file.Write(std::as_bytes(tokens));
  std::int64_t left = cache.length();
  for (const KvPage& page : cache.pages().first(KvPages(left))) {
    file.Write(HeldPart(page, pool.layout(), pool.layers(), std::min(left, kKvBlock)));
    left -= kKvBlock;
  }
  file.Commit();
}

SavedSequence RestoreSequence(const std::filesystem::path& path, std::uint64_t fingerprint,
                              std::int64_t vocab_size, const std::shared_ptr<KvPagePool>& pool,
                              const MakeRoomForPages& make_room) {
  const auto file = MappedFile::Open(path);
  return ReadSequence(file->bytes(), path.string(), fingerprint, vocab_size, pool, make_room);
}

SavedSequence ReadSequence(std::span<const std::byte> file, std::string_view name, std::uint64_t fingerprint,
                           std::int64_t vocab_size, const std::shared_ptr<KvPagePool>& pool,
                           const MakeRoomForPages& make_room) {
  ByteReader reader(file, std::string(name));
  if (reader.ReadText(kMagic.size(), "the magic number") != kMagic) reader.FailAt("not a saved sequence");
  if (const auto version = reader.Read<std::uint32_t>("the version"); version != kVersion) {
    Fail(ErrorKind::kUnsupported, "{}: version {} of saved sequences, expected {}", name, version, kVersion);
  }
  CheckSum(file, reader);
  CheckModel(reader, name, fingerprint, *pool);

  const auto count = reader.Read<std::uint64_t>("the number of tokens");
  const auto held = reader.Read<std::uint64_t>("the number of tokens held");
  SavedSequence saved{std::vector<std::int32_t>(reader.CheckCount(count, sizeof(std::int32_t), "tokens")),
                      KvCache(pool)};
  if (held > count) reader.FailAt("the cache holds {} tokens of {}", held, count);
  std::ranges::copy(reader.Take(count * sizeof(std::int32_t), "the tokens"),
                    std::as_writable_bytes(std::span(saved.tokens)).begin());
  for (const std::int32_t token : saved.tokens) {
    if (token < 0 || token >= vocab_size)
      reader.FailAt("token {} is outside the vocabulary of {}", token, vocab_size);
  }

  const std::int64_t length = static_cast<std::int64_t>(held), page_bytes = pool->page_bytes();
  const auto bytes = static_cast<std::uint64_t>(CheckedMul(KvPages(length), page_bytes, "the pages"));
  if (reader.remaining() != bytes + sizeof(std::uint64_t)) {
    reader.FailAt("{} bytes remain, expected {} for {} tokens", reader.remaining(),
                  bytes + sizeof(std::uint64_t), held);
  }
  if (make_room) make_room(KvPages(length));
  try {
    saved.cache.Reserve(length);
  } catch (const Error& e) {
    Fail(e.kind(), "{}: {}", name, e.what());
  }
  for (const KvPage& page : saved.cache.pages()) {
    std::memcpy(page.get(), reader.Take(static_cast<std::uint64_t>(page_bytes), "a page").data(),
                static_cast<std::size_t>(page_bytes));
  }
  if (length % kKvBlock != 0 &&
      !RestIsZero(saved.cache.pages().back(), pool->layout(), pool->layers(), length % kKvBlock)) {
    reader.FailAt("the last page has bytes after its {} tokens", length % kKvBlock);
  }
  saved.cache.Advance(length);
  return saved;
}

}  // namespace longspan
