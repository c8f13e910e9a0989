// Text read front to back in the pieces that a corpus asks for.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "data/input_stream.h"

namespace longspan {

class TextReader {
 public:
  enum class Piece {
    kWhole,
    kTooLong,  // over the limit; it was skipped to its end
    kCutOff,   // the text ends within it
    kEnd,      // there is no more
  };

  explicit TextReader(std::unique_ptr<InputStream> stream) : stream_(std::move(stream)) {}

  // The next bytes: at least `count`, or all that there are. An error of the stream is thrown once everything
  // before it has been skipped.
  std::string_view Peek(std::size_t count = 1);
  void Skip(std::size_t count);  // no more than Peek showed

  // The next line, without its end; at most `limit` bytes.
  Piece ReadLine(std::string& line, std::size_t limit);

  // The next value of a JSON array or of values one after the other, as text; at most `limit` bytes. What
  // stands between values is skipped. Only brackets and strings are looked at.
  Piece ReadJsonValue(std::string& value, std::size_t limit);

  std::int64_t line() const { return line_; }  // of what the last call read, or what comes next; from 1
  std::int64_t line_ends() const { return next_line_ - 1; }       // read or skipped so far
  std::uint64_t position() const { return position_; }            // bytes read or skipped so far
  std::uint64_t consumed() const { return stream_->consumed(); }  // of the file

 private:
  bool SkipBetweenValues();
  void BeginPiece() { line_ = next_line_; }

  std::unique_ptr<InputStream> stream_;
  std::string buffer_;
  std::size_t begin_ = 0;  // in buffer_
  std::exception_ptr failure_;
  std::int64_t line_ = 1, next_line_ = 1;
  std::uint64_t position_ = 0;
};

}  // namespace longspan
