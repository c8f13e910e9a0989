#include "kernels/kernels.h"

#include "base/error.h"
#include "kernels/bf16/bf16_kernels.h"
#include "kernels/bf16/tiles.h"
#include "kernels/vector/vector_kernels.h"

namespace longspan {
namespace {

// The kernels of one instruction set.
struct KernelSet {
  std::string_view isa;
  const Kernels *exact, *int8, *bf16;  // bf16 is null where there is none

  const Kernels& For(Activations activations) const {
    switch (activations) {
      case Activations::kExact: return *exact;
      case Activations::kInt8: return *int8;
      case Activations::kBf16: return bf16 != nullptr ? *bf16 : *exact;
    }
    return *exact;
  }
};

// Best first. The tile unit rounds, so the exact kernels of "amx" are those of AVX-512.
std::vector<KernelSet> Supported() {
  std::vector<KernelSet> all;
  for (const VectorKernels& v : SupportedVectorKernels()) {
    KernelSet set{v.isa, v.exact, v.rounding, nullptr};
    if (v.isa == "avx512") {
      const Kernels* tiles = bf16::TileKernels(*v.rounding);
      if (tiles != nullptr) all.push_back({"amx", v.exact, tiles, bf16::TrainingTileKernels(*v.exact)});
      if (bf16::PairsAreFast())
        set = {v.isa, v.exact, bf16::PairKernels(*v.rounding), bf16::TrainingPairKernels(*v.exact)};
    }
    all.push_back(set);
  }
  return all;
}

}  // namespace

std::vector<std::string> AvailableKernels() {
  std::vector<std::string> names;
  for (const KernelSet& set : Supported()) names.emplace_back(set.isa);
  names.emplace_back("reference");
  return names;
}

const Kernels& ChooseKernels(std::string_view isa, Activations activations) {
  if (isa == "reference") return ReferenceKernels();
  for (const KernelSet& set : Supported()) {
    if (set.isa == isa || isa == "auto") return set.For(activations);
  }
  if (isa == "auto") return ReferenceKernels();
  Fail(ErrorKind::kBadOption, "instruction set '{}': this machine offers {}", isa,
       fmt::join(AvailableKernels(), ", "));
}

bool HasBf16(std::string_view isa) {
  for (const KernelSet& set : Supported()) {
    if (set.isa == isa || isa == "auto") return set.bf16 != nullptr;
  }
  return false;
}

}  // namespace longspan
