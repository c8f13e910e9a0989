// What all tokenizers share: tokens that are found in text as a whole, and decoding.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/testing/shared_data.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/stream_decoder.h"
#include "text/testing/vocabulary.h"
#include "text/warnings.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Listener : public Progress {
 public:
  void Message(std::string_view line) override { lines.emplace_back(line); }
  std::vector<std::string> lines;
};

constexpr EncodeOptions kSpecial{.parse_special = true};

// The ids that huggingface/tokenizers 0.23 gives for such tokens.
TEST(Tokenizer, StripsSpacesAroundTokens) {
  Vocabulary vocabulary = ByteVocabulary();
  const auto left = AddToken(vocabulary, "<l>", TokenKind::kControl);
  const auto right = AddToken(vocabulary, "<r>", TokenKind::kUserDefined);
  const auto both = AddToken(vocabulary, "<lr>", TokenKind::kControl);
  vocabulary.edges = {
      {left, {.lstrip = true}}, {right, {.rstrip = true}}, {both, {.lstrip = true, .rstrip = true}}};
  const auto tokenizer = Tokenizer::Make(vocabulary);
  EXPECT_THAT(tokenizer->Encode("a \t<l> b", kSpecial), ElementsAre('a', left, ' ', 'b'));
  EXPECT_THAT(tokenizer->Encode("a <r>\n\u3000 b"), ElementsAre('a', ' ', right, 'b'));
  EXPECT_THAT(tokenizer->Encode("a\u00A0<lr> ", kSpecial), ElementsAre('a', both));
  // Spaces that one token took are not there for the next.
  EXPECT_THAT(tokenizer->Encode("<r>  <l>", kSpecial), ElementsAre(right, left));
  EXPECT_THAT(tokenizer->Encode(" <l> <l>", kSpecial), ElementsAre(left, left));
  // U+180E is not a space.
  EXPECT_THAT(tokenizer->Encode("<r>\u180E"), ElementsAre(right, 0xE1, 0xA0, 0x8E));
}

TEST(Tokenizer, SingleWordsStandAlone) {
  Vocabulary vocabulary = ByteVocabulary();
  const auto word = AddToken(vocabulary, "ab", TokenKind::kUserDefined);
  const auto cd = AddToken(vocabulary, "cd", TokenKind::kUserDefined);
  vocabulary.edges = {{word, {.lstrip = true, .single_word = true}}};
  const auto tokenizer = Tokenizer::Make(vocabulary);
  EXPECT_THAT(tokenizer->Encode("ab ab,ab"), ElementsAre(word, word, ',', word));
  EXPECT_THAT(tokenizer->Encode("xab"), ElementsAre('x', 'a', 'b'));
  EXPECT_THAT(tokenizer->Encode("ab_"), ElementsAre('a', 'b', '_'));
  EXPECT_THAT(tokenizer->Encode("\u00E9ab"), ElementsAre(0xC3, 0xA9, 'a', 'b'));
  EXPECT_THAT(tokenizer->Encode("ab\u0301"), ElementsAre('a', 'b', 0xCC, 0x81));
  EXPECT_THAT(tokenizer->Encode("abcd"), ElementsAre('a', 'b', cd));
}

TEST(Tokenizer, ManyTokensCostNoMoreThanOne) {
  // Gemma has such tokens: thousands that begin alike. Trying them one by one took a second for a megabyte.
  Vocabulary vocabulary = ByteVocabulary();
  for (int i = 0; i < 20'000; ++i) AddToken(vocabulary, fmt::format("<unused{}>", i), TokenKind::kControl);
  const auto last = AddToken(vocabulary, "<", TokenKind::kUserDefined);
  const auto longest = AddToken(vocabulary, "<unused", TokenKind::kUserDefined);
  const auto tokenizer = Tokenizer::Make(vocabulary);
  EXPECT_THAT(tokenizer->Encode("<unused7><unused", kSpecial), ElementsAre(256 + 7, longest));
  EXPECT_THAT(tokenizer->Encode("<unused7>"), ElementsAre(longest, '7', '>'));
  // 60 million comparisons with the trie, 80 billion one by one.
  const std::string text(4'000'000, '<');
  EXPECT_EQ(tokenizer->Encode(text, kSpecial), std::vector<std::int32_t>(text.size(), last));
}

// Streaming tokens must show the same text as decoding all of them at once.
void ExpectStreamsAsItDecodes(const Tokenizer& tokenizer, std::span<const std::int32_t> likely) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    std::vector<std::int32_t> ids(random() % 30);
    for (std::int32_t& id : ids) {
      id = random() % 2 == 0 ? likely[random() % likely.size()]
                             : static_cast<std::int32_t>(random() % tokenizer.vocab_size());
    }
    const std::size_t prompt = ids.empty() ? 0 : random() % ids.size();
    const std::span all(ids);
    for (const bool special : {false, true}) {
      StreamDecoder whole(tokenizer, {.special = special}), rest(tokenizer, all.first(prompt), special);
      std::string streamed, continued = tokenizer.Decode(all.first(prompt), {.special = special});
      for (const std::int32_t id : ids) streamed += whole.Push(id);
      for (const std::int32_t id : all.subspan(prompt)) continued += rest.Push(id);
      const std::string decoded = tokenizer.Decode(ids, {.special = special});
      EXPECT_EQ(streamed + whole.Finish(), decoded);
      EXPECT_EQ(continued + rest.Finish(), decoded);
    }
  }
}

TEST(Tokenizer, StreamsAsItDecodes) {
  Vocabulary pieces = PieceVocabulary();
  std::vector<std::int32_t> likely{0, 1, 2, 3 + 0xE2, 3 + 0x82, 3 + 0xAC, 3 + ' '};
  for (const char* piece : {"\u2581", "\u2581a", "a", "\u2581\u2581", "\u20AC"})
    likely.push_back(AddPiece(pieces, piece));
  for (const char* piece : {"[U]", " [V] "})
    likely.push_back(AddPiece(pieces, piece, TokenKind::kUserDefined));
  likely.push_back(AddPiece(pieces, "spare", TokenKind::kUnused));
  ExpectStreamsAsItDecodes(*Tokenizer::Make(pieces), likely);
  pieces.add_space_prefix = false;
  ExpectStreamsAsItDecodes(*Tokenizer::Make(pieces), likely);

  Vocabulary bytes = ByteVocabulary();
  const std::vector<std::int32_t> tokens{' ',
                                         0xE2,
                                         0x82,
                                         0xAC,
                                         0xF0,
                                         AddToken(bytes, "<s>", TokenKind::kControl),
                                         AddToken(bytes, " <t>", TokenKind::kUserDefined)};
  ExpectStreamsAsItDecodes(*Tokenizer::Make(bytes), tokens);
}

TEST(Tokenizer, RealVocabulariesStreamAsTheyDecode) {
  const auto llama = SharedData("models/ggml-vocab-llama-spm.gguf");
  if (!llama) GTEST_SKIP() << "shared data is absent";
  const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(*llama)->metadata()));
  const std::vector<std::int32_t> likely = tokenizer->Encode("<s> \u20AC</s>  a <unk> b", kSpecial);
  ExpectStreamsAsItDecodes(*tokenizer, likely);
}

TEST(Warnings, TellOfTwoBos) {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.bos = AddToken(vocabulary, "<s>", TokenKind::kControl);
  const auto tokenizer = Tokenizer::Make(vocabulary);
  Listener listener;
  const EncodeOptions options{.parse_special = true, .add_bos = true};
  WarnOfTwoBos(*tokenizer, tokenizer->Encode("a<s>", options), "stop", listener);
  WarnOfTwoBos(*tokenizer, tokenizer->Encode("", options), "stop", listener);
  EXPECT_THAT(listener.lines, IsEmpty());
  WarnOfTwoBos(*tokenizer, tokenizer->Encode("<s>a", options), "stop", listener);
  EXPECT_THAT(listener.lines, ElementsAre(HasSubstr("begin with \"<s>\" twice")));
}

TEST(Warnings, TellOnceOfAllBytesLeftOut) {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.tokens[4] = "<4>";
  vocabulary.tokens[0xFF] = "<255>";
  vocabulary.kinds[4] = vocabulary.kinds[0xFF] = TokenKind::kUnused;
  const auto tokenizer = Tokenizer::Make(vocabulary);
  Listener listener;
  tokenizer->Encode("plain");
  WarnOfBytesLeftOut(*tokenizer, listener);
  EXPECT_THAT(listener.lines, IsEmpty());
  // A word is counted each time it comes, although words are remembered.
  for (int i = 0; i < 3; ++i) EXPECT_THAT(tokenizer->Encode("!\4!"), ElementsAre('!', '!'));
  EXPECT_THAT(tokenizer->Encode("\4 \xFF"), ElementsAre(' '));
  EXPECT_EQ(tokenizer->bytes_left_out(), 5);
  WarnOfBytesLeftOut(*tokenizer, listener);
  EXPECT_THAT(listener.lines, ElementsAre(HasSubstr("5 bytes of text were left out")));
}

}  // namespace
}  // namespace longspan
