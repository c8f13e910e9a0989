#include "release/leftovers.h"

#include <gtest/gtest.h>

#include "base/atomic_folder.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

TEST(Leftovers, HaveTheNamesOfAtomicFileAndAtomicFolder) {
  EXPECT_TRUE(IsLeftover("model.gguf.tmp-a1B2c3"));
  for (const char* name :
       {"model.gguf", ".tmp-a1B2c3", "model.tmp-a1B2c", "model.tmp-a1.2c3", "tmp-a1B2c3"}) {
    EXPECT_FALSE(IsLeftover(name)) << name;
  }

  const TestFolder folder;
  AtomicFile file(folder / "model.gguf");
  const AtomicFolder other(folder / "adapter");
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    EXPECT_TRUE(IsLeftover(entry.path().filename().string())) << entry.path();
  }
}

TEST(Leftovers, AreRemovedFromEveryDepthAndNothingElseIs) {
  const TestFolder folder;
  WriteFile(folder / "a/b/model.gguf", "whole");
  WriteFile(folder / "a/b/model.gguf.tmp-a1B2c3", "half");
  WriteFile(folder / "shards.tmp-a1B2c3/train.lsd", "half");
  RemoveLeftovers(folder.path());
  EXPECT_EQ(ReadFile(folder / "a/b/model.gguf"), "whole");
  EXPECT_FALSE(fs::exists(folder / "a/b/model.gguf.tmp-a1B2c3"));
  EXPECT_FALSE(fs::exists(folder / "shards.tmp-a1B2c3"));
}

}  // namespace
}  // namespace longspan
