// For tests: a model whose logits are any function of the tokens read.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "infer/sequence.h"

namespace longspan {

class FakeSequence : public Sequence {
 public:
  // Fills in the logits that follow `tokens`, the sequence up to and including the row's own token.
  using LogitsOf = std::function<void(std::span<const std::int32_t> tokens, std::span<float> logits)>;

  FakeSequence(std::int64_t vocab_size, LogitsOf logits_of)
      : vocab_size_(vocab_size), logits_of_(std::move(logits_of)) {}

  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t dim() const override { return 1; }
  std::int64_t length() const override { return static_cast<std::int64_t>(tokens_.size()); }
  void Truncate(std::int64_t length) override { tokens_.resize(length); }

  // The hidden state is the number of tokens up to and including the row's own.
  void Forward(std::span<const std::int32_t> tokens, Rows hidden) override {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens_.push_back(tokens[i]);
      hidden.at(static_cast<std::int64_t>(i), 0) = static_cast<float>(tokens_.size());
    }
    forwarded_ += static_cast<std::int64_t>(tokens.size());
  }

  void Logits(ConstRows hidden, Rows logits) const override {
    for (std::int64_t i = 0; i < hidden.rows; ++i) {
      logits_of_(std::span(tokens_).first(hidden.at(i, 0)), logits[i]);
    }
  }

  std::int64_t forwarded() const { return forwarded_; }  // tokens ever read
  const std::vector<std::int32_t>& tokens() const { return tokens_; }

 private:
  std::int64_t vocab_size_;
  LogitsOf logits_of_;
  std::vector<std::int32_t> tokens_;
  std::int64_t forwarded_ = 0;
};

}  // namespace longspan
