#include "data/passkey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/shared_data.h"
#include "data/testing/byte_encoder.h"
#include "formats/gguf_reader.h"
#include "text/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace longspan {
namespace {

using testing::HasSubstr;

Random At(std::uint64_t step) { return Random(5, step, RandomPurpose::kPasskey); }

std::vector<std::int32_t> Part(const PasskeyPrompt& prompt, TokenRange range) {
  return {prompt.tokens.begin() + range.begin, prompt.tokens.begin() + range.end};
}

TEST(Passkey, HasExactlyTheLengthAskedFor) {
  const Passkey passkey(ByteEncoder());
  std::uint64_t step = 0;
  for (std::int64_t length = passkey.MinLength(); length < passkey.MinLength() + 300; ++length) {
    for (const double depth : {0.0, 0.33, 1.0}) {
      Random random = At(step++);
      EXPECT_EQ(passkey.Make(length, depth, random).tokens.size(), static_cast<std::size_t>(length));
    }
  }
}

TEST(Passkey, ReadsAsItShould) {
  const Passkey passkey(ByteEncoder());
  Random random = At(3);
  const PasskeyPrompt prompt = passkey.Make(1000, 0.5, random);
  const std::string text = ByteText(prompt.tokens),
                    line = fmt::format(" The pass key is {0}. Remember it. {0} is the pass key.", prompt.key);
  EXPECT_EQ(prompt.tokens[0], 256);
  EXPECT_THAT(text, HasSubstr("." + line + " "));  // between whole sentences
  EXPECT_TRUE(text.ends_with(" What is the pass key? The pass key is"));
  EXPECT_EQ(ByteText(prompt.answer_tokens), fmt::format(" {}.", prompt.key));
  EXPECT_EQ(prompt.answer, std::to_string(prompt.key));
  EXPECT_EQ(ByteText(Part(prompt, prompt.key_line)), line);
  EXPECT_EQ(ByteText(Part(prompt, prompt.key_in_line)), fmt::format(" {}", prompt.key));
  EXPECT_EQ(ByteText(Part(prompt, prompt.question)), " What is the pass key? The pass key is");
  EXPECT_GE(prompt.key, 1);
  EXPECT_LE(prompt.key, Passkey::kMaxKey);
}

TEST(Passkey, PutsTheKeyAtItsDepth) {
  const Passkey passkey(ByteEncoder());
  for (const double depth : {0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0}) {
    Random random = At(7);
    const PasskeyPrompt prompt = passkey.Make(4000, depth, random);
    const auto before = static_cast<double>(prompt.key_line.begin - prompt.task.end);
    const auto after = static_cast<double>(prompt.question.begin - prompt.key_line.end);
    EXPECT_NEAR(before / (before + after), depth, 0.005);
  }
}

TEST(Passkey, FollowsTheRandomStream) {
  const Passkey passkey(ByteEncoder());
  Random a = At(1), b = At(1), c = At(2);
  const PasskeyPrompt first = passkey.Make(600, 0.5, a), again = passkey.Make(600, 0.5, b),
                      other = passkey.Make(600, 0.5, c);
  EXPECT_EQ(first.tokens, again.tokens);
  EXPECT_NE(first.key, other.key);
}

TEST(Passkey, HidesInOtherText) {
  const Passkey passkey(ByteEncoder(), "It was a dark night. Rain fell!\nNobody came? Somebody did.");
  Random random = At(1);
  const std::string text = ByteText(passkey.Make(900, 0.5, random).tokens);
  EXPECT_THAT(text, HasSubstr("Rain fell!\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("grass")));
}

TEST(Passkey, RefusesWhatCannotBe) {
  const Passkey passkey(ByteEncoder());
  Random random = At(1);
  EXPECT_EQ(KindOf([&] { passkey.Make(20, 0.5, random); }), ErrorKind::kBadOption);
  EXPECT_EQ(KindOf([&] { passkey.Make(2000, 1.5, random); }), ErrorKind::kBadOption);
  EXPECT_EQ(KindOf([&] { passkey.Make(2000, -0.1, random); }), ErrorKind::kBadOption);
}

TEST(Passkey, SuitsRealTokenizers) {
  for (const char* name : {"models/ggml-vocab-llama-bpe.gguf", "models/ggml-vocab-llama-spm.gguf"}) {
    const auto path = SharedData(name);
    if (!path) GTEST_SKIP() << "shared data is absent";
    const auto tokenizer = Tokenizer::Make(ReadVocabulary(GgufFile::Open(*path)->metadata()));
    const Passkey passkey(EncoderOf(*tokenizer));
    for (std::uint64_t step = 0; step < 20; ++step) {
      Random random = At(step);
      const PasskeyPrompt prompt = passkey.Make(512, random.Uniform(), random);
      EXPECT_EQ(prompt.tokens.size(), 512u);
      std::vector<std::int32_t> whole = prompt.tokens;
      whole.insert(whole.end(), prompt.answer_tokens.begin(), prompt.answer_tokens.end());
      const std::string text = tokenizer->Decode(whole);
      EXPECT_TRUE(text.ends_with(fmt::format(" What is the pass key? The pass key is {}.", prompt.key)))
          << text;
      EXPECT_THAT(text, HasSubstr(fmt::format(" The pass key is {0}. Remember it. {0} is the pass key.",
                                              prompt.key)));
      EXPECT_THAT(text, testing::Not(HasSubstr("  "))) << "no stray spaces where the parts meet";
      EXPECT_EQ(tokenizer->Decode(Part(prompt, prompt.key_in_line), {.continues = true}),
                fmt::format(" {}", prompt.key));
      EXPECT_EQ(tokenizer->Decode(prompt.answer_tokens, {.continues = true}),
                fmt::format(" {}.", prompt.key));
    }
  }
}

}  // namespace
}  // namespace longspan
