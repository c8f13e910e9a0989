#include "data/text_reader.h"

#include <algorithm>

namespace longspan {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 16;
constexpr std::string_view kBetweenValues = " \t\r\n,[]";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// A text that grows up to a limit.
class LimitedText {
 public:
  LimitedText(std::string& text, std::size_t limit) : text_(text), limit_(limit) { text_.clear(); }

  void Append(std::string_view part) {
    too_long_ |= part.size() > limit_ - text_.size();
    if (!too_long_) text_.append(part);
  }
  TextReader::Piece Result() const {
    return too_long_ ? TextReader::Piece::kTooLong : TextReader::Piece::kWhole;
  }

 private:
  std::string& text_;
  std::size_t limit_;
  bool too_long_ = false;
};

// Where a JSON value ends, found by its brackets and strings alone.
class ValueEnd {
 public:
  // How many bytes of `text` belong to the value; done() says whether it ends with them.
  std::size_t Find(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (in_string_) {
        if (escaped_)
          escaped_ = false;
        else if (c == '\\')
          escaped_ = true;
        else if (c == '"')
          in_string_ = false;
        if (in_string_ || depth_ > 0) continue;
      } else if (c == '"') {
        in_string_ = true;
        continue;
      } else if (depth_ == 0 && !(c == '{' || c == '[') && kBetweenValues.find(c) != kBetweenValues.npos) {
        done_ = true;  // a number or the like ends before this
        return i;
      } else if (c == '{' || c == '[') {
        ++depth_;
        continue;
      } else if (c == '}' || c == ']') {
        if (--depth_ > 0) continue;
      } else {
        continue;
      }
      done_ = true;
      return i + 1;
    }
    return text.size();
  }
  bool done() const { return done_; }
  bool at_top() const { return depth_ == 0 && !in_string_; }

 private:
  std::int64_t depth_ = 0;
  bool in_string_ = false, escaped_ = false, done_ = false;
};

}  // namespace

std::string_view TextReader::Peek(std::size_t count) {
  while (buffer_.size() - begin_ < count && !failure_) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    const std::size_t held = buffer_.size();
    buffer_.resize(held + kReadBytes);
    std::size_t n = 0;
    try {
      n = stream_->Read(std::span(buffer_).subspan(held));
    } catch (...) {
      failure_ = std::current_exception();
    }
    buffer_.resize(held + n);
    if (n == 0) break;
  }
  if (begin_ == buffer_.size() && failure_) std::rethrow_exception(failure_);
  return std::string_view(buffer_).substr(begin_);
}

void TextReader::Skip(std::size_t count) {
  const std::string_view skipped = std::string_view(buffer_).substr(begin_, count);
  next_line_ += std::count(skipped.begin(), skipped.end(), '\n');
  begin_ += skipped.size();
  position_ += skipped.size();
}

TextReader::Piece TextReader::ReadLine(std::string& line, std::size_t limit) {
  BeginPiece();
  LimitedText text(line, limit);
  if (Peek().empty()) return Piece::kEnd;
  // Joined files have a mark where each of them began.
  if (Peek(kByteOrderMark.size()).starts_with(kByteOrderMark)) Skip(kByteOrderMark.size());
  for (;;) {
    const std::string_view rest = Peek();
    if (rest.empty()) return text.Result();
    const std::size_t newline = rest.find('\n');
    const std::string_view part = rest.substr(0, newline);
    text.Append(part);
    Skip(part.size() + (newline != rest.npos));
    if (newline != rest.npos) return text.Result();
  }
}

bool TextReader::SkipBetweenValues() {
  for (;;) {
    const std::string_view rest = Peek();
    if (rest.empty()) return false;
    const std::size_t value = rest.find_first_not_of(kBetweenValues);
    Skip(std::min(value, rest.size()));
    if (value != rest.npos) return true;
  }
}

TextReader::Piece TextReader::ReadJsonValue(std::string& value, std::size_t limit) {
  const bool more = SkipBetweenValues();
  BeginPiece();
  LimitedText text(value, limit);
  if (!more) return Piece::kEnd;
  ValueEnd end;
  while (!end.done()) {
    const std::string_view rest = Peek();
    if (rest.empty()) return end.at_top() ? text.Result() : Piece::kCutOff;
    const std::size_t n = end.Find(rest);
    text.Append(rest.substr(0, n));
    Skip(n);
  }
  return text.Result();
}

}  // namespace longspan
