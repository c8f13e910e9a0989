#include "text/token_trie.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"

namespace longspan {
namespace {

using Entry = TokenTrie::Entry;

void CheckSize(const std::vector<Entry>& entries) {
  std::size_t bytes = 0;
  for (const Entry& entry : entries) {
    bytes += std::min(entry.text.size(), TokenTrie::kMaxBytes + 1);
    if (bytes <= TokenTrie::kMaxBytes) continue;
    Fail(ErrorKind::kUnsupported, "tokenizer: tokens of more than {} bytes together", TokenTrie::kMaxBytes);
  }
}

// The entries that share their first `depth` bytes; each such range becomes a node.
struct Range {
  std::size_t begin, end, depth;
};

}  // namespace

TokenTrie::TokenTrie(std::vector<Entry> entries) {
  CheckSize(entries);
  std::erase_if(entries, [](const Entry& entry) { return entry.text.empty(); });
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.text, a.id) < std::tie(b.text, b.id); });

  std::vector<Range> ranges{{0, entries.size(), 0}};
  bytes_.push_back(0);
  for (std::size_t node = 0; node < ranges.size(); ++node) {
    auto [at, end, depth] = ranges[node];
    first_token_.push_back(static_cast<std::int32_t>(tokens_.size()));
    for (; at < end && entries[at].text.size() == depth; ++at) tokens_.push_back(entries[at].id);
    first_child_.push_back(static_cast<Node>(ranges.size()));
    while (at < end) {
      const std::size_t first = at;
      const char byte = entries[first].text[depth];
      while (at < end && entries[at].text[depth] == byte) ++at;
      ranges.push_back({first, at, depth + 1});
      bytes_.push_back(static_cast<std::uint8_t>(byte));
    }
  }
  first_token_.push_back(static_cast<std::int32_t>(tokens_.size()));
  first_child_.push_back(static_cast<Node>(ranges.size()));

  roots_.fill(kNone);
  for (Node child = first_child_[kRoot]; child < first_child_[kRoot + 1]; ++child)
    roots_[bytes_[child]] = child;
}

TokenTrie::Node TokenTrie::ChildOf(Node node, std::uint8_t byte) const {
  const auto bytes = Bytes(node);
  const auto found = std::lower_bound(bytes.begin(), bytes.end(), byte);
  if (found == bytes.end() || *found != byte) return kNone;
  return first_child_[node] + static_cast<Node>(found - bytes.begin());
}

}  // namespace longspan
