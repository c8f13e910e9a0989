// A fast 64-bit hash of bytes, to find damage and to tell things apart. It does not resist an adversary.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace longspan {

// Takes bytes piece by piece; it does not matter how they are cut. Each step is a bijection of the state and
// of the eight bytes it takes in. Damage within one word is therefore always noticed; any other damage goes
// unnoticed one time in 2^64.
class Hash64 {
 public:
  void Update(std::span<const std::byte> bytes) {
    size_ += bytes.size();
    if (held_ > 0) {
      const std::size_t n = std::min(bytes.size(), sizeof(std::uint64_t) - held_);
      Hold(bytes.first(n));
      bytes = bytes.subspan(n);
      if (held_ < sizeof(std::uint64_t)) return;
      Take(pending_);
      pending_ = held_ = 0;
    }
    for (; bytes.size() >= sizeof(std::uint64_t); bytes = bytes.subspan(sizeof(std::uint64_t))) {
      std::uint64_t word;
      std::memcpy(&word, bytes.data(), sizeof word);
      Take(word);
    }
    Hold(bytes);
  }
  void Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }
  // Takes in the bytes of a number.
  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void Add(T value) { Update(std::as_bytes(std::span(&value, 1))); }

  std::uint64_t value() const {
    std::uint64_t h = Step(Step(state_, pending_), size_);
    h = (h ^ h >> 32) * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 29) * 0xBF58476D1CE4E5B9u;
    return h ^ h >> 32;
  }

 private:
  static std::uint64_t Step(std::uint64_t state, std::uint64_t word) {
    word = std::rotl(word * 0x9E3779B97F4A7C15u, 29) * 0xD6E8FEB86659FD93u;
    return std::rotl(state ^ word, 25) * 5 + 0x94D049BB133111EBu;
  }
  void Take(std::uint64_t word) { state_ = Step(state_, word); }
  void Hold(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) pending_ |= std::to_integer<std::uint64_t>(b) << 8 * held_++;
  }

  std::uint64_t state_ = 0x2545F4914F6CDD1Du, pending_ = 0, size_ = 0;
  std::size_t held_ = 0;
};

}  // namespace longspan
