#include "model/adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "base/testing/expect_error.h"
#include "model/testing/small_model.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

class BaseLayers : public ::testing::Test {
 protected:
  BaseLayers() { base_.output = base_.embedding; }

  // The error for a copy of the base's embedding, changed by `edit` and stored as `type`.
  template <class Edit>
  std::string Refusal(Type type, const Edit& edit) const {
    Tensor weight = embedding_.ToF32();
    edit(weight.mutable_floats());
    LoraAdapter adapter;
    for (const Part part : {Part::kEmbedding, Part::kOutput})
      adapter.base_layers.push_back({{-1, part}, weight.ToFloat(type), "f: tensor t"});
    return ErrorOf([&] { CheckBaseLayers(adapter, base_); });
  }
  void StoreBaseAs(Type type) { base_.embedding = base_.output = embedding_.ToFloat(type); }

  Weights base_ = RandomWeights(oracle::SmallConfig(), 3);
  Tensor embedding_ = base_.embedding;
};

TEST_F(BaseLayers, AreTheBasesOwn) {
  const auto nothing = [](std::span<float>) {};
  for (const Type base : {Type::kF32, Type::kF16, Type::kBF16}) {
    StoreBaseAs(base);
    for (const Type type : {Type::kF32, Type::kF16, Type::kBF16}) EXPECT_EQ(Refusal(type, nothing), "");
  }
}

TEST_F(BaseLayers, AreRefusedWhereOneValueDiffers) {
  const auto one = [](std::span<float> values) { values[17] *= 1.02f; };
  for (const Type base : {Type::kF32, Type::kF16, Type::kBF16}) {
    StoreBaseAs(base);
    EXPECT_THAT(Refusal(Type::kF32, one), HasSubstr("f: tensor t: differs from the base's embedding"));
    EXPECT_THAT(Refusal(Type::kBF16, one), HasSubstr("differs"));
  }
  EXPECT_THAT(Refusal(Type::kF32, [](std::span<float> values) { values[3] = std::nanf(""); }),
              HasSubstr("differs"));
}

}  // namespace
}  // namespace longspan
