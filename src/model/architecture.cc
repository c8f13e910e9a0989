#include "model/architecture.h"

#include <array>
#include <string>

namespace longspan {
namespace {

constexpr std::array<ArchitectureTraits, 2> kArchitectures{{
    {Architecture::kLlama, "llama", RopePairing::kNeighbours, true, false, true},
    {Architecture::kQwen2, "qwen2", RopePairing::kHalves, false, true, false},
}};

}  // namespace

const ArchitectureTraits& Traits(Architecture architecture) {
  return kArchitectures[static_cast<std::size_t>(architecture)];
}

bool IsReordered(Architecture architecture, Part part) {
  return Traits(architecture).reorders_rows && Traits(part).rotated;
}

std::string_view Name(Architecture architecture) { return Traits(architecture).name; }

std::optional<Architecture> ArchitectureNamed(std::string_view text) {
  for (const ArchitectureTraits& traits : kArchitectures) {
    if (traits.name == text) return traits.architecture;
  }
  return std::nullopt;
}

std::string ArchitectureNames() {
  std::string names;
  for (const ArchitectureTraits& traits : kArchitectures)
    names += (names.empty() ? "" : " or ") + std::string(traits.name);
  return names;
}

}  // namespace longspan
