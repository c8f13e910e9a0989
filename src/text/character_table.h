// The four classes of characters that pre-tokenizers tell apart, of every character at once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace longspan {

enum class CharacterClass : std::uint8_t {
  kOther,
  kLetter,  // \p{L}
  kNumber,  // \p{N}
  kSpace,   // \s: White_Space
};

// A character of valid UTF-8.
struct ClassifiedCharacter {
  CharacterClass type;
  std::uint8_t length;  // bytes
};

// Immutable, and so safe to use from several threads.
class CharacterTable {
 public:
  // The one table. Its first use asks PCRE2 for the classes of all characters, so that both always agree;
  // this takes some milliseconds.
  static const CharacterTable& Get();

  // The character that begins at `at`, of valid UTF-8.
  ClassifiedCharacter At(const char* at) const {
    const auto byte = [at](int i) { return static_cast<std::uint32_t>(static_cast<std::uint8_t>(at[i])); };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {ascii_[lead], 1};
    if (lead < 0xE0) return {ClassOf(lead & 0x1F, byte(1)), 2};
    if (lead < 0xF0) return {ClassOf((lead & 0x0F) << 6 | (byte(1) & 0x3F), byte(2)), 3};
    return {ClassOf((lead & 0x07) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), byte(3)), 4};
  }

 private:
  // Characters whose UTF-8 differs in the last byte alone.
  static constexpr std::size_t kBlock = 64, kBlocks = 0x110000 / kBlock;
  using Block = std::array<CharacterClass, kBlock>;

  CharacterTable();
  CharacterClass ClassOf(std::uint32_t block, std::uint32_t last) const {
    return blocks_[block_of_[block]][last & 0x3F];
  }

  std::array<CharacterClass, 128> ascii_{};
  std::array<std::uint16_t, kBlocks> block_of_{};  // by character / kBlock
  std::vector<Block> blocks_;                      // the different ones
};

}  // namespace longspan
