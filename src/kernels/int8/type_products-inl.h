// The products of one type of weight, as functions. Each family of types has a file of its own, because their
// code is large and takes long to compile.
#if defined(LONGSPAN_KERNELS_INT8_TYPE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGSPAN_KERNELS_INT8_TYPE_PRODUCTS_INL_H_
#undef LONGSPAN_KERNELS_INT8_TYPE_PRODUCTS_INL_H_
#else
#define LONGSPAN_KERNELS_INT8_TYPE_PRODUCTS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "kernels/int8/job-inl.h"
#include "kernels/int8/rounded_rows.h"
#include "kernels/kernels.h"
#include "tensor/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace longspan::HWY_NAMESPACE {

#if HWY_TARGET <= HWY_AVX2

struct TypeProducts {
  Job (*make_job)(const RoundedRows& x, const Product& product);
  std::int64_t (*packed_bytes)(const Tensor& weight);
  void (*pack)(const Tensor& weight, std::byte* to);
};

// Null for types that are not of the family.
const TypeProducts* BlockProducts(Type type);  // block_products.cc
const TypeProducts* KProducts(Type type);      // k_products.cc
const TypeProducts* LevelProducts(Type type);  // level_products.cc
const TypeProducts* IqProducts(Type type);     // iq_products.cc

#endif  // HWY_AVX2

}  // namespace longspan::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
