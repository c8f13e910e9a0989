// The parts of a corpus that were not used, and why, so that nothing is left out in silence.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/progress.h"

namespace longspan {

// "file:line: why". The line is a number of its own, because who reads a piece of a file counts lines from
// the beginning of the piece.
struct SkipNote {
  std::string before;
  std::int64_t line = 0;  // 0: the note names none
  std::string after;

  std::string Text() const;
  operator std::string() const { return Text(); }  // NOLINT(google-explicit-constructor): a note is a text
};

struct SkippedParts {
  static constexpr std::int64_t kMostNamed = 10;

  std::int64_t count = 0;
  std::vector<SkipNote> named;  // the first of them

  void Add(std::string why) { Add(SkipNote{std::move(why), 0, {}}); }
  void Add(SkipNote note);
  void Add(const SkippedParts& other);
};

struct CorpusSkips {
  SkippedParts lines;      // records of JSON: malformed, too long, without a text
  SkippedParts documents;  // texts that are too long, not UTF-8, or could not be tokenised
  SkippedParts files;      // cut off, damaged, unreadable; what came before the damage is used
  SkippedParts others;     // files and links in folders that have no text of their own: nothing was lost

  void Add(const CorpusSkips& other);
  // Lines, documents and files: whether text was lost.
  std::int64_t lost() const { return lines.count + documents.count + files.count; }
  // The first of all, or "".
  std::string first() const;
  // "3 lines and 1 file", of what was lost.
  std::string Summary() const;
};

// Tells `progress` what was skipped: a line for each that is named. Says nothing where nothing was.
void Report(const CorpusSkips& skips, Progress& progress);

}  // namespace longspan
