#include "kernels/kernels.h"

#include "base/error.h"
#include "kernels/amx/amx_kernels.h"
#include "kernels/vector/vector_kernels.h"

namespace longspan {
namespace {

// SupportedVectorKernels(), with "amx" first where available. The tile unit rounds, so the exact kernels of
// "amx" are those of AVX-512.
std::vector<VectorKernels> Supported() {
  std::vector<VectorKernels> all = SupportedVectorKernels();
  if (all.empty() || all.front().isa != "avx512") return all;
  const VectorKernels& vectors = all.front();
  const Kernels* tiles = amx::TileKernels(*vectors.rounding);
  if (tiles != nullptr) all.insert(all.begin(), {"amx", vectors.exact, tiles});
  return all;
}

}  // namespace

std::vector<std::string> AvailableKernels() {
  std::vector<std::string> names;
  for (const VectorKernels& v : Supported()) names.emplace_back(v.isa);
  names.emplace_back("reference");
  return names;
}

const Kernels& ChooseKernels(std::string_view isa, Activations activations) {
  if (isa == "reference") return ReferenceKernels();
  for (const VectorKernels& v : Supported()) {
    if (v.isa == isa || isa == "auto") return activations == Activations::kInt8 ? *v.rounding : *v.exact;
  }
  if (isa == "auto") return ReferenceKernels();
  Fail(ErrorKind::kBadOption, "instruction set '{}': this machine offers {}", isa,
       fmt::join(AvailableKernels(), ", "));
}

}  // namespace longspan
