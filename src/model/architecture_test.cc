#include "model/architecture.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(Architecture, HasANameAndBack) {
  for (const Architecture architecture : {Architecture::kLlama, Architecture::kQwen2}) {
    EXPECT_EQ(Traits(architecture).architecture, architecture);  // the table is in the enumeration's order
    EXPECT_EQ(ArchitectureNamed(Name(architecture)), architecture);
  }
  EXPECT_EQ(Name(Architecture::kLlama), "llama");
  EXPECT_EQ(ArchitectureNamed("gpt2"), std::nullopt);
  EXPECT_EQ(ArchitectureNames(), "llama or qwen2");
}

// Hugging Face pairs halves throughout, so rows are reordered exactly where GGUF pairs neighbours.
TEST(Architecture, RowsAreReorderedWhereThePairingDiffers) {
  for (const Architecture architecture : {Architecture::kLlama, Architecture::kQwen2}) {
    const ArchitectureTraits& traits = Traits(architecture);
    EXPECT_EQ(traits.reorders_rows, traits.pairing == RopePairing::kNeighbours) << traits.name;
    for (const Part part : {Part::kQ, Part::kKBias})
      EXPECT_EQ(IsReordered(architecture, part), traits.reorders_rows) << traits.name;
    EXPECT_FALSE(IsReordered(architecture, Part::kV)) << traits.name;
  }
}

}  // namespace
}  // namespace longspan
