// Token ids beside llama.cpp's, with the real vocabularies of Llama 2 and 3.
#include <random>

#include "base/file.h"
#include "base/test_folder.h"
#include "base/testdata.h"
#include "formats/llama_gguf.h"
#include "model/testing/small_config.h"
#include "peers.h"
#include "text/gguf_vocabulary.h"

namespace longspan::peers {
namespace {

class Tokens : public Peers, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    Peers::SetUp();
    if (IsSkipped()) return;
    const std::string name = std::string("models/ggml-vocab-") + GetParam() + ".gguf";
    const auto path = SharedData(name);
    if (!path) GTEST_SKIP() << "shared data is absent: " << name;
    const auto file = GgufFile::Open(*path);
    ours_ = Tokenizer::Make(ReadVocabulary(file->metadata()));
    // llama.cpp is asked for a whole model, so the vocabulary gets the smallest one that goes with it.
    LlamaConfig config = oracle::MinimalConfig(ours_->vocab_size(), 32);
    config.tied_embeddings = true;
    Weights weights = ToFloat(RandomWeights(config, 1), Type::kF16);
    SaveModel(folder_ / "model.gguf", config, weights, file->metadata());
    theirs_ = std::make_unique<LlamaModel>(*Library(), folder_ / "model.gguf");
  }

  void ExpectSame(std::string_view text, bool parse_special = false) const {
    const auto ours = ours_->Encode(text, {.parse_special = parse_special});
    const auto theirs = theirs_->Encode(text, parse_special);
    if (ours == theirs) return;
    const auto [a, b] = std::ranges::mismatch(ours, theirs);
    const auto from = a - ours.begin();
    ADD_FAILURE() << ours.size() << " and " << theirs.size() << " tokens; they differ from token " << from
                  << " on, " << (a == ours.end() ? -1 : *a) << " and " << (b == theirs.end() ? -1 : *b)
                  << ", after '"
                  << ours_->Decode(std::span(ours).subspan(std::max<std::ptrdiff_t>(0, from - 8),
                                                           std::min<std::ptrdiff_t>(from, 8)))
                  << "' in a text of " << text.size()
                  << " bytes: " << testing::PrintToString(std::string(text.substr(0, 200)));
  }

  TestFolder folder_;
  std::unique_ptr<Tokenizer> ours_;
  std::unique_ptr<LlamaModel> theirs_;
};

void AppendUtf8(std::uint32_t point, std::string& text) {
  const auto tail = [&](int shift) { text += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
  if (point < 0x80) {
    text += static_cast<char>(point);
  } else if (point < 0x800) {
    text += static_cast<char>(0xC0 | point >> 6), tail(0);
  } else if (point < 0x10000) {
    text += static_cast<char>(0xE0 | point >> 12), tail(6), tail(0);
  } else {
    text += static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0);
  }
}

// Letters, digits, spaces and marks of many scripts in runs, as text has them, and now and then any code
// point.
std::string RandomText(std::mt19937& random) {
  struct Range {
    std::uint32_t first, last;
  };
  static constexpr Range kRanges[] = {
      {0x20, 0x7E},       {'a', 'z'},         {'A', 'Z'},         {'0', '9'},         {0x09, 0x0D},
      {0x20, 0x20},       {0x21, 0x2F},       {0xA0, 0xFF},       {0x100, 0x24F},     {0x300, 0x36F},
      {0x370, 0x3FF},     {0x400, 0x4FF},     {0x590, 0x5FF},     {0x600, 0x6FF},     {0x900, 0x97F},
      {0xE00, 0xE7F},     {0x1100, 0x11FF},   {0x2000, 0x206F},   {0x2070, 0x209F},   {0x20A0, 0x20CF},
      {0x2150, 0x218F},   {0x2190, 0x21FF},   {0x2500, 0x257F},   {0x2581, 0x2581},   {0x3000, 0x303F},
      {0x3040, 0x30FF},   {0x4E00, 0x9FFF},   {0xAC00, 0xD7A3},   {0xFE00, 0xFE0F},   {0xFF00, 0xFFEF},
      {0x1D400, 0x1D7FF}, {0x1F300, 0x1F64F}, {0x1F900, 0x1F9FF}, {0x20000, 0x2A6DF}, {1, 0x10FFFF}};
  std::string text;
  const std::size_t runs = 1 + random() % 12;
  for (std::size_t run = 0; run < runs; ++run) {
    const Range range = kRanges[random() % std::size(kRanges)];
    const std::size_t length = 1 + random() % 6;
    for (std::size_t i = 0; i < length; ++i) {
      const std::uint32_t point = range.first + random() % (range.last - range.first + 1);
      const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
      AppendUtf8(surrogate ? 0xFFFD : point, text);
    }
    if (random() % 3 == 0) text += ' ';
    if (random() % 12 == 0) text += random() % 2 == 0 ? "'s" : "'LL";
  }
  return text;
}

TEST_P(Tokens, AgreeOnWikitext) {
  const auto path = SharedData("text/wiki.test.raw");
  if (!path) GTEST_SKIP() << "shared data is absent: text/wiki.test.raw";
  ExpectSame(ReadFile(*path));
}

TEST_P(Tokens, AgreeOnRandomUnicode) {
  std::mt19937 random(4);
  for (int i = 0; i < 4000 && !HasFailure(); ++i) ExpectSame(RandomText(random), i % 4 == 0);
}

TEST_P(Tokens, AgreeOnSpecialTokensWithinText) {
  for (const std::string_view text : {"<s>", "</s>a", "a<s> b", "<|begin_of_text|>Hello <|eot_id|>",
                                      "x<|eot_id|><|eot_id|> y", " <unk> ", "<0x0A>"}) {
    for (const bool parse_special : {false, true}) ExpectSame(text, parse_special);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, Tokens, testing::Values("llama-bpe", "llama-spm"),
                         [](const auto& name) { return std::string(name.param).substr(6); });

}  // namespace
}  // namespace longspan::peers
