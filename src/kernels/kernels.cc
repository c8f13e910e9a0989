#include "kernels/kernels.h"

#include "base/error.h"
#include "kernels/vector/vector_kernels.h"

namespace longspan {

std::vector<std::string> AvailableKernels() {
  std::vector<std::string> names;
  for (const VectorKernels& v : SupportedVectorKernels()) names.emplace_back(v.isa);
  names.emplace_back("reference");
  return names;
}

const Kernels& ChooseKernels(std::string_view isa, Activations activations) {
  if (isa == "reference") return ReferenceKernels();
  for (const VectorKernels& v : SupportedVectorKernels()) {
    if (v.isa == isa || isa == "auto") return activations == Activations::kInt8 ? *v.rounding : *v.exact;
  }
  if (isa == "auto") return ReferenceKernels();
  Fail(ErrorKind::kBadOption, "instruction set '{}': this machine offers {}", isa, fmt::join(AvailableKernels(), ", "));
}

}  // namespace longspan
