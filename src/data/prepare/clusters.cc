#include "data/prepare/clusters.h"

#include <algorithm>

namespace longspan {

Clusters::Clusters(const std::filesystem::path& folder, std::int64_t documents) : file_(folder) {
  const std::span<std::byte> bytes = file_.Map(static_cast<std::uint64_t>(documents) * sizeof(std::uint64_t));
  steps_ = {reinterpret_cast<std::uint64_t*>(bytes.data()), static_cast<std::size_t>(documents)};
}

std::uint64_t Clusters::First(std::uint64_t document) {
  while (steps_[document] != 0) {
    const std::uint64_t next = document - steps_[document];
    steps_[document] += steps_[next];  // halves the path
    document = next;
  }
  return document;
}

void Clusters::Join(std::uint64_t a, std::uint64_t b) {
  a = First(a);
  b = First(b);
  const auto [first, second] = std::minmax(a, b);
  steps_[second] = second - first;
}

}  // namespace longspan
