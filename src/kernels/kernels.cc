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
