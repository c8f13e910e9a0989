#include "base/huge_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/testing/expect_error.h"

namespace longspan {
namespace {

TEST(HugePagesTest, AreAlignedZerosToWriteOn) {
  constexpr std::size_t kBytes = (std::size_t{5} << 20) + 3;
  const HugePages pages(kBytes);
  ASSERT_EQ(pages.bytes().size(), kBytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages.bytes().data()) % (std::size_t{2} << 20), 0u);
  EXPECT_TRUE(std::ranges::all_of(pages.bytes(), [](std::byte b) { return b == std::byte{0}; }));
  std::ranges::fill(pages.bytes(), std::byte{7});
  EXPECT_EQ(pages.bytes().back(), std::byte{7});
}

TEST(HugePagesTest, None) { EXPECT_TRUE(HugePages(0).bytes().empty()); }

TEST(HugePagesTest, MoreThanThereIs) {
  for (const std::size_t bytes : {std::numeric_limits<std::size_t>::max(), std::size_t{1} << 60}) {
    EXPECT_EQ(KindOf([&] { HugePages pages(bytes); }), ErrorKind::kOutOfMemory);
  }
}

}  // namespace
}  // namespace longspan
