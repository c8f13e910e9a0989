#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

TEST(StreamDecoder, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = Tokenizer::Make(ByteVocabulary());
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.Push('a'), "a");
  EXPECT_EQ(decoder.Push(0xE2), "");
  EXPECT_EQ(decoder.Push(0x82), "");
  EXPECT_EQ(decoder.Push(0xAC), "\u20AC");
  EXPECT_EQ(decoder.Push(0xFF), "\xFF");  // cannot become a character, so it is let through
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Push('b'),
            "\xF0"
            "b");
  EXPECT_EQ(decoder.Push(0xC3), "");
  EXPECT_EQ(decoder.Finish(), "\xC3");
  EXPECT_EQ(decoder.Finish(), "");
}

}  // namespace
}  // namespace longspan
