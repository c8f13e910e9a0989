#include "data/skips.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <string_view>
#include <utility>

namespace longspan {
namespace {

struct Kind {
  const SkippedParts CorpusSkips::*parts;
  std::string_view one, several;
};

constexpr std::array kLost = {Kind{&CorpusSkips::lines, "line", "lines"},
                              Kind{&CorpusSkips::documents, "document", "documents"},
                              Kind{&CorpusSkips::files, "file", "files"}};

std::string Counted(const CorpusSkips& skips, const Kind& kind) {
  const std::int64_t count = (skips.*kind.parts).count;
  return fmt::format("{} {}", count, count == 1 ? kind.one : kind.several);
}

void Name(const SkippedParts& parts, Progress& progress) {
  for (const SkipNote& note : parts.named) progress.Message(fmt::format("  {}", note.Text()));
  const std::int64_t more = parts.count - std::ssize(parts.named);
  if (more > 0) progress.Message(fmt::format("  and {} more", more));
}

}  // namespace

std::string SkipNote::Text() const { return line == 0 ? before : fmt::format("{}{}{}", before, line, after); }

void SkippedParts::Add(SkipNote note) {
  if (count++ < kMostNamed) named.push_back(std::move(note));
}

void SkippedParts::Add(const SkippedParts& other) {
  count += other.count;
  for (const SkipNote& note : other.named) {
    if (std::ssize(named) < kMostNamed) named.push_back(note);
  }
}

void CorpusSkips::Add(const CorpusSkips& other) {
  lines.Add(other.lines);
  documents.Add(other.documents);
  files.Add(other.files);
  others.Add(other.others);
}

std::string CorpusSkips::first() const {
  for (const SkippedParts* parts : {&files, &lines, &documents, &others}) {
    if (!parts->named.empty()) return parts->named.front();
  }
  return "";
}

std::string CorpusSkips::Summary() const {
  std::vector<std::string> kinds;
  for (const Kind& kind : kLost) {
    if ((this->*kind.parts).count > 0) kinds.push_back(Counted(*this, kind));
  }
  if (kinds.size() < 3) return fmt::format("{}", fmt::join(kinds, " and "));
  return fmt::format("{}, {} and {}", kinds[0], kinds[1], kinds[2]);
}

void Report(const CorpusSkips& skips, Progress& progress) {
  for (const Kind& kind : kLost) {
    if ((skips.*kind.parts).count == 0) continue;
    progress.Message(fmt::format("{} of the input could not be used:", Counted(skips, kind)));
    Name(skips.*kind.parts, progress);
  }
  if (skips.others.count == 0) return;
  progress.Message(fmt::format("{} without text in the folders:",
                               Counted(skips, {&CorpusSkips::others, "file", "files"})));
  Name(skips.others, progress);
}

}  // namespace longspan
