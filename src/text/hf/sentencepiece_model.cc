#include "text/hf/sentencepiece_model.h"

#include <cstring>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "text/utf8.h"

namespace longspan {
namespace {

// Protobuf's wire types, and the fields that matter, by the names of sentencepiece_model.proto.
constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
namespace model {
constexpr std::uint32_t kPieces = 1, kTrainer = 2, kNormalizer = 3;
}
namespace piece {
constexpr std::uint32_t kText = 1, kScore = 2, kType = 3;
}
namespace trainer {
constexpr std::uint32_t kModelType = 3, kVocabSize = 4, kSpaceAsSuffix = 24, kByteFallback = 35,
                        kUnknownId = 40, kBosId = 41, kEosId = 42, kPadId = 43;
constexpr std::uint64_t kBpe = 2;
}  // namespace trainer
namespace normalizer {
constexpr std::uint32_t kName = 1, kCharsMap = 2, kDummyPrefix = 3, kExtraSpaces = 4, kEscapeSpaces = 5;
}

// Reads the fields of one message, one after another.
class Message {
 public:
  Message(ByteReader& reader, std::size_t end) : reader_(reader), end_(end) {}

  bool Next() {
    if (reader_.offset() == end_) return false;
    const std::uint64_t tag = ReadVarint();
    field_ = static_cast<std::uint32_t>(tag >> 3);
    wire_ = static_cast<std::uint32_t>(tag & 7);
    if (field_ == 0 || tag >> 32 != 0) reader_.FailAt("a protobuf tag of {}", tag);
    return true;
  }
  std::uint32_t field() const { return field_; }

  std::uint64_t Number() {
    Expect(kVarint);
    return ReadVarint();
  }
  bool Flag() { return Number() != 0; }
  // Ids are signed 32-bit numbers; negative ones are written in 64 bits.
  std::int32_t Id() { return static_cast<std::int32_t>(Number()); }
  float Float() {
    Expect(kFixed32);
    CheckRoom(4);
    return reader_.Read<float>("a number");
  }
  std::string_view Text() {
    const std::size_t size = Length();
    return reader_.ReadText(size, "a text");
  }
  Message Nested() {
    const std::size_t size = Length();
    return {reader_, reader_.offset() + size};
  }
  void Skip() {
    switch (wire_) {
      case kVarint: ReadVarint(); return;
      case kFixed64:
        CheckRoom(8);
        reader_.Take(8, "a field");
        return;
      case kFixed32:
        CheckRoom(4);
        reader_.Take(4, "a field");
        return;
      case kBytes: Text(); return;
      default: reader_.FailAt("protobuf wire type {} of field {}", wire_, field_);
    }
  }

 private:
  void Expect(std::uint32_t wire) const {
    if (wire_ != wire) reader_.FailAt("field {} has wire type {}, expected {}", field_, wire_, wire);
  }
  void CheckRoom(std::uint64_t size) const {
    if (size > end_ - reader_.offset())
      reader_.FailAt("a field of {} bytes in a message that ends in {}", size, end_ - reader_.offset());
  }
  std::size_t Length() {
    Expect(kBytes);
    const std::uint64_t size = ReadVarint();
    CheckRoom(size);
    return static_cast<std::size_t>(size);
  }
  std::uint64_t ReadVarint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      CheckRoom(1);
      const auto byte = reader_.Read<std::uint8_t>("a number");
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    reader_.FailAt("a number of more than ten bytes");
  }

  ByteReader& reader_;
  std::size_t end_;
  std::uint32_t field_ = 0, wire_ = 0;
};

void ReadPiece(Message message, const ByteReader& reader, Vocabulary& vocabulary) {
  std::string_view text;
  float score = 0.0f;
  std::uint64_t type = static_cast<std::uint64_t>(TokenKind::kNormal);
  while (message.Next()) {
    switch (message.field()) {
      case piece::kText: text = message.Text(); break;
      case piece::kScore: score = message.Float(); break;
      case piece::kType: type = message.Number(); break;
      default: message.Skip();
    }
  }
  const std::size_t id = vocabulary.tokens.size();
  if (id == kMaxTokens) reader.FailAt("more than {} pieces", kMaxTokens);
  if (text.empty() || text.size() > kMaxTokenBytes)
    reader.FailAt("piece {} has {} bytes, expected 1 to {}", id, text.size(), kMaxTokenBytes);
  if (ValidUtf8Prefix(text) != text.size()) reader.FailAt("piece {} is not UTF-8", id);
  if (type < 1 || type > static_cast<std::uint64_t>(TokenKind::kByte))
    reader.FailAt("piece {} has type {}, expected 1 to 6", id, type);
  if (!(score > -1e30f && score < 1e30f)) reader.FailAt("piece {} has no finite score", id);
  vocabulary.tokens.emplace_back(text);
  vocabulary.scores.push_back(score);
  // The types' numbers are those of GGUF, which took them over.
  vocabulary.kinds.push_back(static_cast<TokenKind>(type));
}

void ReadTrainer(Message message, const std::string& file, Vocabulary& vocabulary) {
  std::uint64_t type = 1;  // the default, a unigram model
  while (message.Next()) {
    switch (message.field()) {
      case trainer::kModelType: type = message.Number(); break;
      case trainer::kUnknownId: vocabulary.unknown = message.Id(); break;
      case trainer::kBosId: vocabulary.bos = message.Id(); break;
      case trainer::kEosId: vocabulary.eos = message.Id(); break;
      case trainer::kPadId: vocabulary.pad = message.Id(); break;
      case trainer::kSpaceAsSuffix:
        if (message.Flag())
          Fail(ErrorKind::kUnsupported,
               "{}: spaces end words instead of beginning them, which is not supported", file);
        break;
      default: message.Skip();
    }
  }
  if (type != trainer::kBpe) {
    Fail(ErrorKind::kUnsupported, "{}: a SentencePiece model of type {}; only BPE, type {}, is supported",
         file, type, trainer::kBpe);
  }
}

void ReadNormalizer(Message message, const std::string& file, TokenizerDraft& draft) {
  draft.remove_extra_whitespaces = true;  // the proto's defaults
  draft.vocabulary.add_space_prefix = true;
  while (message.Next()) {
    switch (message.field()) {
      case normalizer::kCharsMap:
        if (!message.Text().empty())
          Fail(ErrorKind::kUnsupported,
               "{}: characters are normalised before they are tokenised, which is not supported", file);
        break;
      case normalizer::kDummyPrefix: draft.vocabulary.add_space_prefix = message.Flag(); break;
      case normalizer::kExtraSpaces: draft.remove_extra_whitespaces = message.Flag(); break;
      case normalizer::kEscapeSpaces:
        if (!message.Flag())
          Fail(ErrorKind::kUnsupported, "{}: spaces are not written as U+2581, which is not supported", file);
        break;
      default: message.Skip();
    }
  }
}

void CheckUnique(const Vocabulary& vocabulary, const std::string& file) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(vocabulary.tokens.size());
  for (const std::string& token : vocabulary.tokens) {
    if (!seen.insert(token).second)
      Fail(ErrorKind::kInvalidFile, "{}: the piece \"{}\" appears twice", file, Printable(token));
  }
}

// --- Writing ---

void PutVarint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void PutNumber(std::uint32_t field, std::int64_t value, std::string& out) {
  PutVarint(field << 3 | kVarint, out);
  PutVarint(static_cast<std::uint64_t>(value), out);
}

void PutFloat(std::uint32_t field, float value, std::string& out) {
  PutVarint(field << 3 | kFixed32, out);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

void PutText(std::uint32_t field, std::string_view text, std::string& out) {
  PutVarint(field << 3 | kBytes, out);
  PutVarint(text.size(), out);
  out += text;
}

}  // namespace

bool IsSentencePiece(std::span<const std::byte> bytes) {
  // The first field of a model is a piece. A tiktoken file begins with base64, which has no such character.
  return !bytes.empty() && bytes[0] == std::byte{model::kPieces << 3 | kBytes};
}

TokenizerDraft ParseSentencePiece(std::span<const std::byte> bytes, const std::string& file) {
  TokenizerDraft draft;
  draft.file = file;
  Vocabulary& vocabulary = draft.vocabulary;
  vocabulary.kind = Vocabulary::Kind::kSpm;
  vocabulary.unknown = 0;  // the proto's defaults
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  vocabulary.add_bos = true;
  bool has_trainer = false, has_normalizer = false;
  ByteReader reader(bytes, file);
  for (Message message(reader, bytes.size()); message.Next();) {
    switch (message.field()) {
      case model::kPieces: ReadPiece(message.Nested(), reader, vocabulary); break;
      case model::kTrainer:
        ReadTrainer(message.Nested(), file, vocabulary);
        has_trainer = true;
        break;
      case model::kNormalizer:
        ReadNormalizer(message.Nested(), file, draft);
        has_normalizer = true;
        break;
      default: message.Skip();
    }
  }
  if (!has_trainer || !has_normalizer) {
    Fail(ErrorKind::kInvalidFile, "{}: the SentencePiece model has no {}; is the file cut short?", file,
         has_trainer ? "normalizer_spec" : "trainer_spec");
  }
  for (std::int32_t* id : {&vocabulary.unknown, &vocabulary.bos, &vocabulary.eos, &vocabulary.pad})
    if (*id < 0) *id = -1;
  if (vocabulary.pad >= 0) vocabulary.pad = KnownIdOrNone(vocabulary, vocabulary.pad, "padding", file);
  CheckVocabulary(vocabulary, file);
  CheckUnique(vocabulary, file);
  return draft;
}

std::string SentencePieceFile(const Vocabulary& vocabulary, std::size_t size, bool remove_extra_whitespaces) {
  std::string file;
  bool bytes = false;
  for (std::size_t id = 0; id < size; ++id) {
    const TokenKind kind = vocabulary.KindOf(static_cast<std::int32_t>(id));
    bytes |= kind == TokenKind::kByte;
    std::string message;
    PutText(piece::kText, vocabulary.tokens[id], message);
    PutFloat(piece::kScore, vocabulary.scores[id], message);
    if (kind != TokenKind::kNormal) PutNumber(piece::kType, static_cast<std::int64_t>(kind), message);
    PutText(model::kPieces, message, file);
  }

  std::string training;
  PutNumber(trainer::kModelType, trainer::kBpe, training);
  PutNumber(trainer::kVocabSize, static_cast<std::int64_t>(size), training);
  PutNumber(trainer::kByteFallback, bytes ? 1 : 0, training);
  PutNumber(trainer::kUnknownId, vocabulary.unknown, training);
  PutNumber(trainer::kBosId, vocabulary.bos, training);
  PutNumber(trainer::kEosId, vocabulary.eos, training);
  PutNumber(trainer::kPadId, vocabulary.pad, training);
  PutText(model::kTrainer, training, file);

  std::string spaces;
  PutText(normalizer::kName, "identity", spaces);
  PutNumber(normalizer::kDummyPrefix, vocabulary.add_space_prefix ? 1 : 0, spaces);
  PutNumber(normalizer::kExtraSpaces, remove_extra_whitespaces ? 1 : 0, spaces);
  PutText(model::kNormalizer, spaces, file);
  return file;
}

}  // namespace longspan
