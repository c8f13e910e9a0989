#include "text/hf/tiktoken_model.h"

#include <array>
#include <charconv>
#include <numeric>
#include <unordered_set>

#include "base/error.h"
#include "formats/byte_reader.h"
#include "formats/wrong_file.h"
#include "text/byte_alphabet.h"
#include "text/token_merges.h"

namespace longspan {
namespace {

constexpr std::size_t kLlama3Tokens = 128000, kLlama3Special = 256;

// Decodes RFC 4648 with padding. Returns false if `text` is not that.
bool DecodeBase64(std::string_view text, std::string& bytes) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const auto kValues = [&] {
    std::array<std::int8_t, 256> values;
    values.fill(-1);
    for (std::size_t i = 0; i < kAlphabet.size(); ++i)
      values[static_cast<std::uint8_t>(kAlphabet[i])] = static_cast<std::int8_t>(i);
    return values;
  }();
  if (text.empty() || text.size() % 4 != 0) return false;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  bytes.clear();
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::int8_t value = kValues[static_cast<std::uint8_t>(c)];
    if (value < 0) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held);
    bits &= (1u << held) - 1;
  }
  return bits == 0;  // what padding leaves over is zero
}

std::string_view TakeLine(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::vector<std::string> ParseTiktoken(std::string_view text, const std::string& file) {
  std::vector<std::string> tokens;
  std::unordered_set<std::string> seen;
  std::string bytes;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) continue;
    const std::size_t space = std::min(line.find(' '), line.size());
    if (!DecodeBase64(line.substr(0, space), bytes) || bytes.size() > kMaxTokenBytes) {
      Fail(ErrorKind::kInvalidFile, "{}: line {} is \"{}\", expected a token in base64 and its rank", file,
           number, Printable(line));
    }
    std::size_t rank = 0;
    const std::string_view digits = line.substr(std::min(space + 1, line.size()));
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || end != digits.data() + digits.size() || rank != tokens.size()) {
      Fail(ErrorKind::kInvalidFile, "{}: line {} has rank \"{}\", expected {}", file, number,
           Printable(digits), tokens.size());
    }
    if (tokens.size() == kMaxTokens)
      Fail(ErrorKind::kInvalidFile, "{}: more than {} tokens", file, kMaxTokens);
    if (!seen.insert(bytes).second)
      Fail(ErrorKind::kInvalidFile, "{}: line {} has the token of an earlier line", file, number);
    tokens.push_back(bytes);
  }
  return tokens;
}

Vocabulary VocabularyFromRanks(const std::vector<std::string>& tokens, const std::string& file) {
  Vocabulary vocabulary;
  vocabulary.tokens.reserve(tokens.size());
  for (const std::string& token : tokens) vocabulary.tokens.push_back(ToByteAlphabet(token));
  vocabulary.kinds.assign(tokens.size(), TokenKind::kNormal);
  const std::vector<std::string_view> views(tokens.begin(), tokens.end());
  std::vector<std::int32_t> by_rank(tokens.size());
  std::iota(by_rank.begin(), by_rank.end(), 0);
  for (const TokenPair& pair : AllMerges(views, by_rank, file)) {
    vocabulary.merges.push_back(vocabulary.tokens[pair.left] + ' ' + vocabulary.tokens[pair.right]);
  }
  return vocabulary;
}

TokenizerDraft Llama3FromTiktoken(std::string_view text, const std::string& file) {
  RefuseWrongFile(text, file);
  const std::vector<std::string> tokens = ParseTiktoken(text, file);
  if (tokens.size() != kLlama3Tokens) {
    Fail(ErrorKind::kUnsupported,
         "{}: a tiktoken file of {} tokens; only Llama 3's, of {}, has a pre-tokenizer that is known without "
         "a tokenizer.json",
         file, tokens.size(), kLlama3Tokens);
  }
  TokenizerDraft draft;
  draft.file = file;
  draft.vocabulary = VocabularyFromRanks(tokens, file);
  Vocabulary& vocabulary = draft.vocabulary;
  vocabulary.pre = "llama-bpe";
  vocabulary.bos = static_cast<std::int32_t>(kLlama3Tokens);
  vocabulary.eos = vocabulary.bos + 1;
  vocabulary.add_bos = true;
  // Meta's order: named ones at 0, 1, 6, 7 and 9; the others are reserved and numbered.
  int reserved = 0;
  for (std::size_t i = 0; i < kLlama3Special; ++i) {
    vocabulary.tokens.push_back(i == 0   ? "<|begin_of_text|>"
                                : i == 1 ? "<|end_of_text|>"
                                : i == 6 ? "<|start_header_id|>"
                                : i == 7 ? "<|end_header_id|>"
                                : i == 9 ? "<|eot_id|>"
                                         : fmt::format("<|reserved_special_token_{}|>", reserved++));
    vocabulary.kinds.push_back(TokenKind::kControl);
  }
  return draft;
}

}  // namespace longspan
