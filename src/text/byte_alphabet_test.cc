#include "text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace longspan {
namespace {

TEST(ByteAlphabet, IsGpt2s) {
  EXPECT_EQ(ToByteAlphabet(" Hello\n"), "\u0120Hello\u010A");
  EXPECT_EQ(ToByteAlphabet(std::string(1, '\0')), "\u0100");
  EXPECT_EQ(ToByteAlphabet("\xAD"), "\u0143");  // the last of the substitutes
  EXPECT_EQ(ToByteAlphabet("\xC3\xA4"), "\u00C3\u00A4");
}

TEST(ByteAlphabet, HasOneCharacterForEveryByte) {
  std::set<std::string> characters;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    const std::string character = ToByteAlphabet(bytes);
    EXPECT_EQ(FromByteAlphabet(character), bytes);
    characters.insert(character);
  }
  EXPECT_EQ(characters.size(), 256u);
}

TEST(ByteAlphabet, LeavesForeignTextAlone) { EXPECT_EQ(FromByteAlphabet("\u6211\xFF"), "\u6211\xFF"); }

}  // namespace
}  // namespace longspan
