#include "model/shapes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace longspan {
namespace {

// The counts are those of the published weights.
TEST(ShapesTest, HaveTheParametersOfTheRealModels) {
  EXPECT_EQ(FindShape("llama3-8b").Parameters(), 8'030'261'248);
  EXPECT_EQ(FindShape("llama3-70b").Parameters(), 70'553'706'496);
  EXPECT_EQ(FindShape("llama2-7b").Parameters(), 6'738'415'616);
}

TEST(ShapesTest, AreConsistent) {
  for (const LlamaConfig& shape : AllShapes()) {
    EXPECT_NO_THROW(shape.Validate(shape.name));
    EXPECT_EQ(shape.q_dim(), shape.dim) << shape.name;
    EXPECT_EQ(&FindShape(shape.name), &shape);
  }
}

TEST(ShapesTest, AnUnknownNameListsTheKnownOnes) {
  try {
    FindShape("llama9-1b");
    FAIL() << "found";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kBadOption);
    EXPECT_STREQ(e.what(), "no shape is called llama9-1b; there are llama3-8b, llama3-70b, llama2-7b");
  }
}

}  // namespace
}  // namespace longspan
