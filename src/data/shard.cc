#include "data/shard.h"

#include <bit>
#include <cstring>
#include <string_view>

#include "base/checked.h"
#include "base/error.h"

namespace longspan {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are mapped as they are");

constexpr std::string_view kMagic = "LSPNSHRD", kTail = "LSPNTAIL";
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kHeaderBytes = 32, kFooterBytes = 24;

template <class T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void Append(AtomicFile& file, const T& value) {
  file.Write(std::as_bytes(std::span(&value, 1)));
}

std::uint32_t TokenBytes(std::int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

std::uint64_t PadTo8(std::uint64_t n) { return (8 - n % 8) % 8; }

}  // namespace

ShardWriter::ShardWriter(std::filesystem::path path, ShardVocabulary vocabulary)
    : file_(std::move(path)), vocabulary_(vocabulary) {
  file_.Write(kMagic);
  Append(file_, kVersion);
  Append(file_, TokenBytes(vocabulary.size));
  Append(file_, vocabulary.size);
  Append(file_, vocabulary.bos);
  Append(file_, vocabulary.eos);
}

void ShardWriter::Add(std::span<const std::int32_t> document) {
  for (const std::int32_t token : document) {
    if (token < 0 || token >= vocabulary_.size) {
      Fail(ErrorKind::kInternal, "token {} is outside the vocabulary of {}", token, vocabulary_.size);
    }
  }
  if (TokenBytes(vocabulary_.size) == 2) {
    const std::vector<std::uint16_t> narrow(document.begin(), document.end());
    file_.Write(std::as_bytes(std::span(narrow)));
  } else {
    file_.Write(std::as_bytes(document));
  }
  offsets_.push_back(offsets_.back() + document.size());
}

void ShardWriter::Commit() {
  const std::uint64_t zero = 0;
  file_.Write(std::as_bytes(std::span(&zero, 1)).first(PadTo8(file_.offset())));
  file_.Write(std::as_bytes(std::span(offsets_)));
  Append(file_, static_cast<std::uint64_t>(documents()));
  Append(file_, static_cast<std::uint64_t>(tokens()));
  file_.Write(kTail);
  file_.Commit();
}

Shard Shard::Open(const std::filesystem::path& path) {
  Shard shard;
  shard.file_ = MappedFile::Open(path);
  const std::span<const std::byte> bytes = shard.file_->bytes();
  const std::string name = path.string();
  const auto Bad = [&](const std::string& why) {
    Fail(ErrorKind::kInvalidFile, "{}: not a whole shard: {}", name, why);
  };
  if (bytes.size() < kHeaderBytes + kFooterBytes) Bad(fmt::format("{} bytes", bytes.size()));
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) Bad("the magic number is missing");
  if (const auto version = Load<std::uint32_t>(&bytes[8]); version != kVersion) {
    Fail(ErrorKind::kUnsupported, "{}: shard version {}, expected {}", name, version, kVersion);
  }
  shard.vocabulary_ = {Load<std::int64_t>(&bytes[16]), Load<std::int32_t>(&bytes[24]),
                       Load<std::int32_t>(&bytes[28])};
  const auto& [vocab_size, bos, eos] = shard.vocabulary_;
  if (vocab_size < 1 || vocab_size > INT32_MAX) Bad(fmt::format("a vocabulary of {}", vocab_size));
  for (const std::int32_t special : {bos, eos}) {
    if (special < -1 || special >= vocab_size) {
      Bad(fmt::format("special token {} of {}", special, vocab_size));
    }
  }
  const auto token_bytes = Load<std::uint32_t>(&bytes[12]);
  if (token_bytes != TokenBytes(vocab_size)) Bad(fmt::format("{} bytes a token", token_bytes));

  const std::byte* footer = bytes.data() + bytes.size() - kFooterBytes;
  if (std::memcmp(footer + 16, kTail.data(), kTail.size()) != 0) Bad("its end is missing");
  const auto documents = Load<std::uint64_t>(footer), tokens = Load<std::uint64_t>(footer + 8);
  const std::uint64_t data_bytes = CheckedMul<std::uint64_t>(tokens, token_bytes, "shard tokens");
  const std::uint64_t padded = CheckedAdd(data_bytes, PadTo8(data_bytes), "shard tokens");
  const auto offsets = CheckedAdd<std::uint64_t>(documents, 1, "shard documents");
  const auto table = CheckedMul<std::uint64_t>(offsets, 8, "shard documents");
  const auto expected =
      CheckedAdd(CheckedAdd(padded, table, "shard size"), kHeaderBytes + kFooterBytes, "shard size");
  if (expected != bytes.size()) {
    Bad(fmt::format("{} documents of {} tokens make {} bytes, found {}", documents, tokens, expected,
                    bytes.size()));
  }
  shard.documents_ = static_cast<std::int64_t>(documents);
  shard.tokens_ = static_cast<std::int64_t>(tokens);
  shard.token_bytes_ = static_cast<int>(token_bytes);
  shard.token_data_ = bytes.data() + kHeaderBytes;
  shard.offset_data_ = shard.token_data_ + padded;
  std::int64_t last = 0;
  for (std::int64_t i = 0; i <= shard.documents_; ++i) {
    const std::int64_t offset = shard.Offset(i);
    if (offset < last || offset > shard.tokens_ || (i == 0 && offset != 0)) {
      Bad(fmt::format("document {} begins at token {}, after {}", i, offset, last));
    }
    last = offset;
  }
  if (last != shard.tokens_) Bad(fmt::format("its documents end at token {} of {}", last, shard.tokens_));
  return shard;
}

std::int64_t Shard::Offset(std::int64_t document) const {
  return Load<std::int64_t>(offset_data_ + 8 * document);
}

void Shard::Read(std::int64_t document, std::int64_t first, std::span<std::int32_t> out) const {
  const auto count = static_cast<std::int64_t>(out.size());
  if (document < 0 || document >= documents_ || first < 0 || first > Length(document) - count) {
    Fail(ErrorKind::kInternal, "{}: tokens {}+{} of document {} do not exist", path().string(), first, count,
         document);
  }
  const std::byte* from = token_data_ + (Offset(document) + first) * token_bytes_;
  for (std::int64_t i = 0; i < count; ++i, from += token_bytes_) {
    const std::uint32_t token = token_bytes_ == 2 ? Load<std::uint16_t>(from) : Load<std::uint32_t>(from);
    if (token >= vocabulary_.size) {
      Fail(ErrorKind::kInvalidFile, "{}: token {} in document {}, expected below {}", path().string(), token,
           document, vocabulary_.size);
    }
    out[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(token);
  }
}

std::vector<std::int32_t> Shard::ReadDocument(std::int64_t document) const {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(Length(document)));
  Read(document, 0, tokens);
  return tokens;
}

ShardSet ShardSet::Open(const std::filesystem::path& folder) {
  ShardSet set{Shard::Open(folder / kTrain), std::nullopt};
  if (std::filesystem::exists(folder / kValidation)) {
    set.validation = Shard::Open(folder / kValidation);
    if (set.validation->vocabulary().size != set.train.vocabulary().size) {
      Fail(ErrorKind::kInvalidFile, "{}: a vocabulary of {}, expected {} as in {}",
           (folder / kValidation).string(), set.validation->vocabulary().size, set.train.vocabulary().size,
           kTrain);
    }
  }
  return set;
}

}  // namespace longspan
