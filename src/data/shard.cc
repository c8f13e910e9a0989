#include "data/shard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/cancel.h"
#include "base/checked.h"
#include "base/error.h"

namespace longspan {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are mapped as they are");

constexpr std::string_view kMagic = "LSPNSHRD", kTail = "LSPNTAIL";
constexpr std::uint32_t kVersion = 2;
constexpr std::uint64_t kHeaderBytes = 40, kFooterBytes = 40;
constexpr std::size_t kOffsetsHeld = std::size_t{1} << 17;  // in memory by a writer
constexpr std::int64_t kCheckTokens = 1 << 16;              // read at once by CheckTokens

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

// A shard's digest covers its vocabulary, and then the length and the tokens of each document.
Hash64 BeginDigest(const ShardVocabulary& vocabulary) {
  Hash64 digest;
  digest.Add(vocabulary.size);
  digest.Add(vocabulary.bos);
  digest.Add(vocabulary.eos);
  digest.Add(vocabulary.fingerprint);
  return digest;
}

std::string Name(std::int32_t token) { return token < 0 ? "none" : std::to_string(token); }

}  // namespace

ShardVocabulary VocabularyOf(const TextEncoder& encoder) {
  return {encoder.vocab_size, encoder.bos, encoder.eos, encoder.fingerprint};
}

ShardWriter::ShardWriter(std::filesystem::path path, ShardVocabulary vocabulary)
    : folder_(path.has_parent_path() ? path.parent_path() : "."),
      file_(std::move(path)),
      vocabulary_(vocabulary),
      digest_(BeginDigest(vocabulary)) {
  file_.Write(kMagic);
  Append(file_, kVersion);
  Append(file_, TokenBytes(vocabulary.size));
  Append(file_, vocabulary.size);
  Append(file_, vocabulary.bos);
  Append(file_, vocabulary.eos);
  Append(file_, vocabulary.fingerprint);
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
  ++documents_;
  tokens_ += std::ssize(document);
  offsets_.push_back(static_cast<std::uint64_t>(tokens_));
  if (offsets_.size() == kOffsetsHeld) {
    if (!earlier_) earlier_.emplace(folder_);
    earlier_->Append(std::as_bytes(std::span(offsets_)));
    offsets_.clear();
  }
  digest_.Add(std::ssize(document));
  digest_.Update(std::as_bytes(document));
}

void ShardWriter::WriteOffsets() {
  std::vector<std::uint64_t> block(kOffsetsHeld);
  for (std::uint64_t at = 0; earlier_ && at < earlier_->size(); at += kOffsetsHeld * sizeof block[0]) {
    earlier_->Read(at, std::as_writable_bytes(std::span(block)));
    file_.Write(std::as_bytes(std::span(block)));
  }
  file_.Write(std::as_bytes(std::span(offsets_)));
}

void ShardWriter::Commit(std::uint64_t validation) {
  const std::uint64_t zero = 0;
  file_.Write(std::as_bytes(std::span(&zero, 1)).first(PadTo8(file_.offset())));
  WriteOffsets();
  Append(file_, validation);
  Append(file_, digest());
  Append(file_, static_cast<std::uint64_t>(documents()));
  Append(file_, static_cast<std::uint64_t>(tokens()));
  file_.Write(kTail);
  file_.Commit();
}

Shard Shard::Open(const std::filesystem::path& path) {
  Shard shard;
  shard.file_ = MappedFile::Open(path);
  shard.ReadHeader();
  shard.ReadFooter();
  shard.CheckOffsets();
  return shard;
}

void Shard::Damaged(const std::string& why) const {
  Fail(ErrorKind::kInvalidFile, "{}: not a whole shard: {}", path().string(), why);
}

void Shard::ReadHeader() {
  const std::span<const std::byte> bytes = file_->bytes();
  if (bytes.size() < 12) Damaged(fmt::format("{} bytes", bytes.size()));
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) Damaged("the magic number is missing");
  if (const auto version = Load<std::uint32_t>(&bytes[8]); version != kVersion) {
    Fail(ErrorKind::kUnsupported, "{}: a shard of version {}, expected {}; run longspan prepare again",
         path().string(), version, kVersion);
  }
  if (bytes.size() < kHeaderBytes + kFooterBytes) Damaged(fmt::format("{} bytes", bytes.size()));
  vocabulary_ = {Load<std::int64_t>(&bytes[16]), Load<std::int32_t>(&bytes[24]),
                 Load<std::int32_t>(&bytes[28]), Load<std::uint64_t>(&bytes[32])};
  if (vocabulary_.size < 1 || vocabulary_.size > INT32_MAX) {
    Damaged(fmt::format("a vocabulary of {}", vocabulary_.size));
  }
  for (const std::int32_t special : {vocabulary_.bos, vocabulary_.eos}) {
    if (special < -1 || special >= vocabulary_.size) {
      Damaged(fmt::format("special token {} of {}", special, vocabulary_.size));
    }
  }
  const auto token_bytes = Load<std::uint32_t>(&bytes[12]);
  if (token_bytes != TokenBytes(vocabulary_.size)) Damaged(fmt::format("{} bytes a token", token_bytes));
  token_bytes_ = static_cast<int>(token_bytes);
}

void Shard::ReadFooter() {
  const std::span<const std::byte> bytes = file_->bytes();
  const std::byte* footer = bytes.data() + bytes.size() - kFooterBytes;
  if (std::memcmp(footer + 32, kTail.data(), kTail.size()) != 0) Damaged("its end is missing");
  validation_digest_ = Load<std::uint64_t>(footer);
  digest_ = Load<std::uint64_t>(footer + 8);
  const auto documents = Load<std::uint64_t>(footer + 16), tokens = Load<std::uint64_t>(footer + 24);
  const auto token_bytes = static_cast<std::uint64_t>(token_bytes_);
  const std::uint64_t data_bytes = CheckedMul(tokens, token_bytes, "shard tokens");
  const std::uint64_t padded = CheckedAdd(data_bytes, PadTo8(data_bytes), "shard tokens");
  const auto offsets = CheckedAdd<std::uint64_t>(documents, 1, "shard documents");
  const auto table = CheckedMul<std::uint64_t>(offsets, 8, "shard documents");
  const auto expected =
      CheckedAdd(CheckedAdd(padded, table, "shard size"), kHeaderBytes + kFooterBytes, "shard size");
  if (expected != bytes.size()) {
    Damaged(fmt::format("{} documents of {} tokens make {} bytes, found {}", documents, tokens, expected,
                        bytes.size()));
  }
  documents_ = static_cast<std::int64_t>(documents);
  tokens_ = static_cast<std::int64_t>(tokens);
  token_data_ = bytes.data() + kHeaderBytes;
  offset_data_ = token_data_ + padded;
}

void Shard::CheckOffsets() const {
  std::int64_t last = 0;
  for (std::int64_t i = 0; i <= documents_; ++i) {
    const std::int64_t offset = Offset(i);
    if (offset < last || offset > tokens_ || (i == 0 && offset != 0)) {
      Damaged(fmt::format("document {} begins at token {}, after {}", i, offset, last));
    }
    last = offset;
  }
  if (last != tokens_) Damaged(fmt::format("its documents end at token {} of {}", last, tokens_));
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
    out[i] = static_cast<std::int32_t>(token);
  }
}

std::vector<std::int32_t> Shard::ReadDocument(std::int64_t document) const {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(Length(document)));
  Read(document, 0, tokens);
  return tokens;
}

void Shard::CheckTokens() const {
  Hash64 found = BeginDigest(vocabulary_);
  std::vector<std::int32_t> tokens(kCheckTokens);
  for (std::int64_t i = 0; i < documents_; ++i) {
    const std::int64_t length = Length(i);
    found.Add(length);
    for (std::int64_t first = 0; first < length; first += kCheckTokens) {
      ThrowIfCancelled();
      const std::span piece = std::span(tokens).first(std::min(kCheckTokens, length - first));
      Read(i, first, piece);
      found.Update(std::as_bytes(piece));
    }
  }
  if (found.value() != digest_) {
    Damaged(fmt::format("its tokens have the digest {:016x}, expected {:016x}; run longspan prepare again",
                        found.value(), digest_));
  }
}

void CheckVocabulary(const Shard& shard, const TextEncoder& encoder) {
  const ShardVocabulary& made = shard.vocabulary();
  const std::string name = shard.path().string();
  constexpr const char* kNext = "prepare the documents again with this model as --tokenizer";
  if (made.size != encoder.vocab_size) {
    Fail(ErrorKind::kBadOption, "{}: made for a vocabulary of {}, but the model has {}; {}", name, made.size,
         encoder.vocab_size, kNext);
  }
  if (made.fingerprint != encoder.fingerprint) {
    Fail(ErrorKind::kBadOption,
         "{}: made with another tokenizer, of fingerprint {:016x}, but the model's has {:016x}; {}", name,
         made.fingerprint, encoder.fingerprint, kNext);
  }
  if (made.bos != encoder.bos || made.eos != encoder.eos) {
    Fail(ErrorKind::kBadOption, "{}: made for texts with BOS {} and EOS {}, but the model has {} and {}; {}",
         name, Name(made.bos), Name(made.eos), Name(encoder.bos), Name(encoder.eos), kNext);
  }
}

void CheckFits(const Shard& shard, const TextEncoder& encoder) {
  CheckVocabulary(shard, encoder);
  shard.CheckTokens();
}

}  // namespace longspan
