#include "release/leftovers.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

TEST(Leftovers, AreRemovedFromEveryDepthAndNothingElseIs) {
  const TestFolder folder;
  WriteFile(folder / "a/b/model.gguf", "whole");
  WriteFile(folder / "a/b/model.gguf.longspan-tmp-0123456789abcdef", "half");
  WriteFile(folder / "shards.longspan-tmp-0123456789abcdef/train.lsd", "half");
  RemoveLeftovers(folder.path());
  EXPECT_EQ(ReadFile(folder / "a/b/model.gguf"), "whole");
  EXPECT_FALSE(fs::exists(folder / "a/b/model.gguf.longspan-tmp-0123456789abcdef"));
  EXPECT_FALSE(fs::exists(folder / "shards.longspan-tmp-0123456789abcdef"));
}

}  // namespace
}  // namespace longspan
