// The strings of a vocabulary as a tree of bytes, to find out which tokens a text begins with.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace longspan {

// Immutable, and so safe to use from several threads. It keeps no view of the strings it was made of.
//
// Nodes are numbered breadth first, so the children of a node follow each other, and so do their bytes:
//
//   "a" is token 7, "ab" 8, "cd" 9      node   0: children 1 ('a') and 2 ('c')
//                                              1: child 3 ('b'), token 7
//                                              2: child 4 ('d')
//                                              3: token 8        4: token 9
class TokenTrie {
 public:
  using Node = std::int32_t;
  static constexpr Node kRoot = 0, kNone = -1;

  struct Entry {
    std::string_view text;  // an empty one is ignored
    std::int32_t id = 0;
  };

  // Several tokens may have the same text. Error(kUnsupported) for more than kMaxBytes of text.
  explicit TokenTrie(std::vector<Entry> entries = {});

  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;

  // Where `byte` leads to from `node`, or kNone.
  Node Child(Node node, std::uint8_t byte) const {
    return node == kRoot ? roots_[byte] : ChildOf(node, byte);
  }

  // The bytes that lead on from `node`, ascending: the first to FirstChild(node), the next to the node after
  // that, and so on.
  std::span<const std::uint8_t> Bytes(Node node) const {
    return std::span(bytes_).subspan(first_child_[node], first_child_[node + 1] - first_child_[node]);
  }
  Node FirstChild(Node node) const { return first_child_[node]; }

  // The tokens whose text ends at `node`, ascending.
  std::span<const std::int32_t> Tokens(Node node) const {
    return std::span(tokens_).subspan(first_token_[node], first_token_[node + 1] - first_token_[node]);
  }

  // Calls `each(length, tokens)` for all that `text` begins with, the shortest first. The time depends on the
  // length of the longest, not on the number of tokens.
  template <class Each>
  void ForEachPrefix(std::string_view text, Each&& each) const {
    Node node = kRoot;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = Child(node, static_cast<std::uint8_t>(text[i]));
      if (node == kNone) return;
      if (const auto tokens = Tokens(node); !tokens.empty()) each(i + 1, tokens);
    }
  }

  std::int64_t nodes() const { return std::ssize(bytes_); }

 private:
  Node ChildOf(Node node, std::uint8_t byte) const;

  std::vector<std::uint8_t> bytes_;        // by node: the byte that leads to it; the root's means nothing
  std::vector<Node> first_child_;          // by node, and one more: the end of the last one's children
  std::vector<std::int32_t> first_token_;  // by node, and one more, into tokens_
  std::vector<std::int32_t> tokens_;
  std::array<Node, 256> roots_;  // the root's children by byte: most walks end at once
};

}  // namespace longspan
