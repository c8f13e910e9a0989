#include "tensor/codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tensor/float16.h"

namespace longspan {
namespace {

// Every F16 value is also an F32 value, so converting there and back changes nothing.
TEST(Float16, RoundTripsEveryBitPattern) {
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const auto bits = static_cast<std::uint16_t>(h);
    const float f16 = F16ToF32(bits), bf16 = BF16ToF32(bits);
    if (std::isnan(f16))
      EXPECT_TRUE(std::isnan(F16ToF32(F32ToF16(f16))));
    else
      EXPECT_EQ(F32ToF16(f16), bits);
    if (std::isnan(bf16))
      EXPECT_TRUE(std::isnan(BF16ToF32(F32ToBF16(bf16))));
    else
      EXPECT_EQ(F32ToBF16(bf16), bits);
  }
}

TEST(Float16, RoundsToNearestEven) {
  EXPECT_EQ(F16ToF32(F32ToF16(1.0f + 0x1p-11f)), 1.0f);  // a tie goes to the even neighbour
  EXPECT_EQ(F16ToF32(F32ToF16(1.0f + 3 * 0x1p-11f)), 1.0f + 0x1p-9f);
  EXPECT_EQ(F16ToF32(F32ToF16(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(F16ToF32(F32ToF16(65520.0f))));
  EXPECT_EQ(F16ToF32(F32ToF16(0x1p-24f)), 0x1p-24f);  // the smallest subnormal
  EXPECT_EQ(F16ToF32(F32ToF16(0x1p-26f)), 0.0f);
  EXPECT_EQ(F16ToF32(1), 0x1p-24f);
}

}  // namespace
}  // namespace longspan
