#include "kernels/kernels.h"

#include <cstring>

#include "base/error.h"
#include "kernels/vector/vector_kernels.h"

namespace longspan {

void Kernels::StoreKv(const KvLayout& layout, ConstRows k, ConstRows v, std::int64_t first_slot,
                      std::span<std::byte* const> pages) const {
  if (layout.type != Type::kF32) Fail(ErrorKind::kUnsupported, "a cache of {}", Traits(layout.type).name);
  for (std::int64_t i = 0; i < k.rows; ++i) {
    const std::int64_t slot = first_slot + i;
    for (std::int64_t h = 0; h < layout.kv_heads; ++h) {
      std::byte* keys = pages[static_cast<std::size_t>(slot / kKvBlock)] + h * layout.HeadBytes() +
                        slot % kKvBlock * layout.RowBytes();
      std::memcpy(keys, &k.at(i, h * layout.head_dim), static_cast<std::size_t>(layout.RowBytes()));
      std::memcpy(keys + kKvBlock * layout.RowBytes(), &v.at(i, h * layout.head_dim),
                  static_cast<std::size_t>(layout.RowBytes()));
    }
  }
}

std::vector<std::string> AvailableKernels() {
  std::vector<std::string> names;
  for (const VectorKernels& v : SupportedVectorKernels()) names.emplace_back(v.isa);
  names.emplace_back("reference");
  return names;
}

const Kernels& ChooseKernels(std::string_view isa) {
  if (isa == "reference") return ReferenceKernels();
  const auto supported = SupportedVectorKernels();
  if (isa == "auto") return supported.empty() ? ReferenceKernels() : *supported.front().kernels;
  for (const VectorKernels& v : supported) {
    if (v.isa == isa) return *v.kernels;
  }
  Fail(ErrorKind::kBadOption, "instruction set '{}': this machine offers {}", isa, fmt::join(AvailableKernels(), ", "));
}

}  // namespace longspan
