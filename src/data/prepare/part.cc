#include "data/prepare/part.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "formats/json_reader.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::array kExtensions{".json", ".tokens", ".documents", ".bands"};
constexpr std::size_t kNameDigits = 32;
constexpr std::size_t kPiece = std::size_t{8} << 20;  // read at once by checks

int TokenBytes(std::int64_t vocab_size) { return vocab_size <= 65536 ? 2 : 4; }

fs::path WithExtension(fs::path stem, const char* extension) { return stem += extension; }

// Calls visit(name, member) for each count of a summary.
template <class Fates>
void VisitCounts(Fates& fates, const auto& visit) {
  visit("found", fates.found);
  visit("short", fates.too_short);
  visit("long", fates.too_long);
}

template <class Skips>
void VisitSkips(Skips& skips, const auto& visit) {
  visit("lines", skips.lines);
  visit("documents", skips.documents);
  visit("files", skips.files);
  visit("others", skips.others);
}

json ToJson(const PartSummary& summary) {
  json subsets = json::array(), skips = json::object();
  for (const DocumentFates& fates : summary.subsets) {
    json& subset = subsets.emplace_back(json{{"name", fates.subset}});
    VisitCounts(fates, [&](const char* name, const DocumentCount& count) {
      subset[name] = {count.documents, count.tokens};
    });
  }
  VisitSkips(summary.skips, [&](const char* name, const SkippedParts& parts) {
    json notes = json::array();
    for (const SkipNote& note : parts.named) notes.push_back({note.before, note.line, note.after});
    skips[name] = {{"count", parts.count}, {"first", notes}};
  });
  return {{"version", kVersion},
          {"documents", summary.documents},
          {"tokens", summary.tokens},
          {"lines", summary.lines},
          {"bands", summary.bands},
          {"documents_digest", summary.documents_digest},
          {"tokens_digest", summary.tokens_digest},
          {"bands_digest", summary.bands_digest},
          {"subsets", subsets},
          {"skips", skips}};
}

PartSummary SummaryOf(const json& record) {
  if (record.at("version") != kVersion) throw json::other_error::create(0, "version", &record);
  PartSummary summary;
  record.at("documents").get_to(summary.documents);
  record.at("tokens").get_to(summary.tokens);
  record.at("lines").get_to(summary.lines);
  record.at("bands").get_to(summary.bands);
  record.at("documents_digest").get_to(summary.documents_digest);
  record.at("tokens_digest").get_to(summary.tokens_digest);
  record.at("bands_digest").get_to(summary.bands_digest);
  for (const json& subset : record.at("subsets")) {
    DocumentFates& fates = summary.subsets.emplace_back();
    subset.at("name").get_to(fates.subset);
    VisitCounts(fates, [&](const char* name, DocumentCount& count) {
      subset.at(name).at(0).get_to(count.documents);
      subset.at(name).at(1).get_to(count.tokens);
    });
  }
  VisitSkips(summary.skips, [&](const char* name, SkippedParts& parts) {
    const json& skips = record.at("skips").at(name);
    skips.at("count").get_to(parts.count);
    for (const json& note : skips.at("first")) {
      parts.named.push_back(
          {note.at(0).get<std::string>(), note.at(1).get<std::int64_t>(), note.at(2).get<std::string>()});
    }
  });
  return summary;
}

}  // namespace

PartWriter::PartWriter(fs::path folder, const std::string& name, std::int64_t vocab_size, bool bands)
    : summary_path_(folder / (name + ".json")),
      token_bytes_(TokenBytes(vocab_size)),
      tokens_(folder / (name + ".tokens")),
      documents_(folder / (name + ".documents")) {
  if (bands) bands_.emplace(folder / (name + ".bands"));
}

void PartWriter::Add(const PartDocument& document, std::span<const std::int32_t> tokens,
                     const BandKeys& bands) {
  documents_.Write(std::as_bytes(std::span(&document, 1)));
  if (token_bytes_ == 2) {
    const std::vector<std::uint16_t> narrow(tokens.begin(), tokens.end());
    tokens_.Write(std::as_bytes(std::span(narrow)));
  } else {
    tokens_.Write(std::as_bytes(tokens));
  }
  if (bands_) bands_->Write(std::as_bytes(std::span(bands)));
  ++count_;
  token_count_ += std::ssize(tokens);
}

void PartWriter::Commit(PartSummary summary) {
  summary.documents = count_;
  summary.tokens = token_count_;
  summary.tokens_digest = tokens_.digest.value();
  summary.documents_digest = documents_.digest.value();
  summary.bands = bands_.has_value();
  if (bands_) summary.bands_digest = bands_->digest.value();
  tokens_.file.Commit();
  documents_.file.Commit();
  if (bands_) bands_->file.Commit();
  WriteFile(summary_path_, ToJson(summary).dump(-1, ' ', false, json::error_handler_t::replace));
}

bool PartExists(const fs::path& folder, const std::string& name, std::int64_t vocab_size) {
  std::error_code error;
  if (!fs::exists(folder / (name + ".json"), error)) return false;
  try {
    const Part part(folder, name, vocab_size);
    return true;
  } catch (const Error& failure) {
    if (failure.kind() != ErrorKind::kIo && failure.kind() != ErrorKind::kInvalidFile) throw;
    return false;
  }
}

bool IsPartFile(const fs::path& file) {
  const std::string stem = file.stem().string(), extension = file.extension().string();
  return stem.size() == kNameDigits && stem.find_first_not_of("0123456789abcdef") == stem.npos &&
         std::ranges::find(kExtensions, extension) != kExtensions.end();
}

Part::Part(fs::path folder, const std::string& name, std::int64_t vocab_size)
    : stem_(folder / name), token_bytes_(TokenBytes(vocab_size)) {
  const fs::path path = WithExtension(stem_, ".json");
  const json record = ParseJson(ReadFile(path), path.string());
  try {
    summary_ = SummaryOf(record);
  } catch (const json::exception&) {
    Damaged(path, "expected the summary of a part");
  }
  constexpr std::int64_t kMost = INT64_C(1) << 56;
  if (summary_.documents < 0 || summary_.documents > kMost || summary_.tokens < 0 || summary_.tokens > kMost)
    Damaged(path, "counts that cannot be");
  tokens_ = Map(".tokens", static_cast<std::uint64_t>(summary_.tokens) * token_bytes_);
  documents_ = Map(".documents", static_cast<std::uint64_t>(summary_.documents) * sizeof(PartDocument));
  if (summary_.bands)
    bands_ = Map(".bands", static_cast<std::uint64_t>(summary_.documents) * sizeof(BandKeys));
}

std::shared_ptr<const MappedFile> Part::Map(const char* extension, std::uint64_t bytes) const {
  auto file = MappedFile::Open(WithExtension(stem_, extension));
  if (file->bytes().size() != bytes) {
    Damaged(file->path(), fmt::format("expected {} bytes, found {}", bytes, file->bytes().size()));
  }
  return file;
}

void Part::Damaged(const fs::path& file, const std::string& why) const {
  Fail(ErrorKind::kInvalidFile, "{}: damaged: {}; remove {}, and run the same command again", file.string(),
       why, WithExtension(stem_, ".json").string());
}

PartDocument Part::Document(std::int64_t i) const {
  PartDocument document;
  std::memcpy(&document, documents_->bytes().data() + i * sizeof document, sizeof document);
  return document;
}

BandKeys Part::Bands(std::int64_t i) const {
  BandKeys keys;
  std::memcpy(&keys, bands_->bytes().data() + i * sizeof keys, sizeof keys);
  return keys;
}

void Part::ReadTokens(std::int64_t first, std::span<std::int32_t> out) const {
  const std::byte* from = tokens_->bytes().data() + first * token_bytes_;
  if (token_bytes_ == 4) {
    if (!out.empty()) std::memcpy(out.data(), from, out.size_bytes());
    return;
  }
  for (std::int32_t& token : out) {
    std::uint16_t narrow;
    std::memcpy(&narrow, from, sizeof narrow);
    token = narrow;
    from += sizeof narrow;
  }
}

void Part::CheckDigest(const MappedFile& file, std::uint64_t expected) const {
  Hash64 digest;
  for (std::span rest = file.bytes(); !rest.empty();) {
    ThrowIfCancelled();
    const std::span piece = rest.first(std::min(kPiece, rest.size()));
    digest.Update(piece);
    rest = rest.subspan(piece.size());
  }
  if (digest.value() != expected) Damaged(file.path(), "its bytes are not those that were written");
}

void Part::CheckDocuments() const {
  CheckDigest(*documents_, summary_.documents_digest);
  std::int64_t tokens = 0;
  for (std::int64_t i = 0; i < summary_.documents; ++i) {
    const PartDocument document = Document(i);
    tokens += document.tokens;
    if (document.subset >= summary_.subsets.size()) Damaged(documents_->path(), "a subset without a name");
  }
  if (tokens != summary_.tokens) Damaged(documents_->path(), "lengths that do not add up");
  if (bands_) CheckDigest(*bands_, summary_.bands_digest);
}

void Part::CheckTokens() const { CheckDigest(*tokens_, summary_.tokens_digest); }

void Part::ReleaseTokens(std::int64_t end) const {
  tokens_->Release(tokens_->bytes().first(static_cast<std::size_t>(end * token_bytes_)));
}

}  // namespace longspan
