// Products with weights of every type, on every instruction set of this machine: all get the same bytes, and
// must agree with the reference. Its first byte names the type, the rest are two rows of weights.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "fuzz/target.h"
#include "kernels/kernels.h"
#include "kernels/testing/random_blocks.h"
#include "tensor/codec.h"

namespace longspan::fuzz {
namespace {

constexpr std::int64_t kMostColumns = 1024, kRows = 2;
// One row of activations takes the path of decoding, many rows that of packed panels.
constexpr std::int64_t kFewTokens = 1, kManyTokens = 33;
// Of the sum of all terms' sizes: only the order of F32 additions differs. The tile unit also rounds weights
// to BF16, with 8 bits of mantissa; these activations need no more.
constexpr double kTolerance = 1e-4, kTileTolerance = 0x1p-8;
constexpr double kLargest = 1e30;  // beyond it a sum can overflow in one order and not in another

constexpr std::array kFloats{Type::kF32, Type::kF16, Type::kBF16};

std::vector<Type> Types() {
  std::vector<Type> types(kFloats.begin(), kFloats.end());
  types.insert(types.end(), kQuantizedTypes.begin(), kQuantizedTypes.end());
  return types;
}

// Types whose values are a scale times a whole number. The others add a minimum, which can cancel all but the
// rounding of a product of whole numbers.
bool HasNoMinimum(Type type) {
  return type == Type::kQ8_0 || type == Type::kQ4_0 || type == Type::kQ5_0 || type == Type::kQ3_K ||
         type == Type::kQ6_K || type == Type::kIQ4_NL || type == Type::kIQ4_XS || type == Type::kTQ1_0 ||
         type == Type::kTQ2_0 || type == Type::kIQ1_S || type == Type::kIQ1_M || type == Type::kIQ2_XXS ||
         type == Type::kIQ2_XS || type == Type::kIQ2_S || type == Type::kIQ3_XXS || type == Type::kIQ3_S;
}

// Whole numbers up to 127, which is in every block of 32, so that rounding to 8 bits changes none of them.
Matrix Activations8(std::int64_t tokens, std::int64_t cols) {
  Matrix x(tokens, cols);
  std::int64_t n = 0;
  for (float& value : x.span()) {
    value = n % 32 == 0 ? 127.0f : static_cast<float>((n * 37) % 255 - 127);
    ++n;
  }
  return x;
}

void Compare(const Tensor& weight, std::int64_t tokens, const Kernels& kernels, double tolerance) {
  const Matrix x = Activations8(tokens, weight.cols());
  Matrix want(tokens, kRows), got(tokens, kRows);
  ReferenceKernels().MatMul(x, weight, want, Store::kSet);
  kernels.MatMul(x, weight, got, Store::kSet);
  for (std::int64_t row = 0; row < kRows; ++row) {
    std::vector<float> decoded(weight.cols());
    DecodeRow(weight.type(), weight.row(row).data(), decoded.data(), weight.cols());
    double size = 0;
    for (const float w : decoded) size += 127 * std::abs(static_cast<double>(w));
    if (!(size < kLargest)) continue;  // NaN as well
    for (std::int64_t token = 0; token < tokens; ++token) {
      const double error = std::abs(static_cast<double>(got[token][row]) - want[token][row]);
      if (error <= tolerance * size + 1e-30) continue;
      Fail(ErrorKind::kInternal, "{}: a product of {} is {}, not {}", kernels.name(),
           Traits(weight.type()).name, got[token][row], want[token][row]);
    }
  }
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  SetThreads(1);
  if (input.empty()) return;
  const std::vector<Type> types = Types();
  const Type type = types[std::to_integer<std::size_t>(input[0]) % types.size()];
  const TypeTraits& traits = Traits(type);
  const std::int64_t blocks = std::min<std::int64_t>((std::ssize(input) - 1) / (kRows * traits.block_bytes),
                                                     kMostColumns / traits.block_elements);
  if (blocks == 0) return;
  Tensor weight = Tensor::Allocate(type, {kRows, blocks * traits.block_elements});
  std::memcpy(weight.mutable_bytes().data(), &input[1], weight.bytes().size());
  for (const std::string& isa : AvailableKernels()) {
    for (const std::int64_t tokens : {kFewTokens, kManyTokens}) {
      Compare(weight, tokens, ChooseKernels(isa), kTolerance);
      if (!HasNoMinimum(type)) continue;
      Compare(weight, tokens, ChooseKernels(isa, Activations::kInt8),
              isa == "amx" ? kTileTolerance : kTolerance);
    }
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  const std::vector<Type> types = Types();
  for (std::size_t i = 0; i < types.size(); ++i) {
    const bool is_float = i < kFloats.size();
    const std::int64_t cols = 512;
    std::string bytes(1, static_cast<char>(i));
    if (is_float) {
      bytes.append(static_cast<std::size_t>(kRows * RowBytes(types[i], cols)), '\x3c');
    } else {
      const Tensor weight = RandomBlocks(types[i], kRows, cols, i);
      bytes.append(reinterpret_cast<const char*>(weight.bytes().data()), weight.bytes().size());
    }
    WriteFile(folder / std::string(Traits(types[i]).name), bytes);
  }
}

}  // namespace longspan::fuzz
