// Quantising a GGUF file: each tensor in turn from the mapped input to the output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <vector>

#include "base/progress.h"
#include "encode/reencode.h"
#include "formats/gguf_reader.h"
#include "quantize/importance.h"
#include "quantize/mix.h"
#include "tensor/type.h"

namespace longspan {

struct QuantizeOptions {
  MixOverrides overrides;
  const ImportanceMatrix* importance = nullptr;  // tensors without an entry are encoded without
  bool allow_requantize = false;                 // quantise what is quantised already, and lose twice
  bool allow_no_imatrix = false;                 // make types that need an importance matrix without one
  TooLarge too_large = TooLarge::kRefuse;        // values beyond what a type holds
  bool dry_run = false;                          // choose types and count bytes only
};

// The tensors that are stored as one type, in numbers.
struct TypeReport {
  std::int64_t tensors = 0;
  std::int64_t elements = 0;
  std::int64_t bytes = 0;
  double squared_error = 0, squared_sum = 0;

  // Root mean square of the error, relative to that of the values.
  double RelativeError() const;
};

struct QuantizeReport {
  std::vector<TypeChoice> choices;   // in file order
  std::map<Type, TypeReport> types;  // by the type stored
  std::int64_t elements = 0;
  std::int64_t bytes_before = 0;  // of tensor data, without metadata
  std::int64_t bytes_after = 0;

  double BitsPerWeight() const;
};

// Writes `out`, whole or not at all. Needs memory for a few MiB of a tensor.
// Error(kInvalidFile) for a tensor with a NaN, an infinity or, unless they may be clipped, values that its
// new type cannot hold; the message says how many. Another message says how many were clipped.
// Error(kBadOption) for a tensor that is quantised already, unless it becomes F32 or the options allow it;
// Error(kUnsupported) for types that longspan cannot decode or encode, Error(kBadOption) where the importance
// matrix is of another model's width or is missing for a type that needs one. Tensors that keep a quantised
// type are copied as they are.
QuantizeReport QuantizeFile(const std::filesystem::path& in, const std::filesystem::path& out, const Mix& mix,
                            const QuantizeOptions& options, Progress& progress);

// What a mix needs to know about a file's tensors, in their order.
std::vector<TensorInfo> TensorInfos(const GgufFile& file);

}  // namespace longspan
