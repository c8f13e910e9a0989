#include "train/run_folder.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "train/checkpoint_saver.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string RefusalOf(const fs::path& folder, AdapterKind adapter, bool force = false) {
  try {
    const RunFolder run(folder, adapter, force);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBadOption);
    return error.what();
  }
  return "";
}

TEST(RunFolder, EachFileThatTheRunWouldReplaceIsInTheWay) {
  for (const AdapterKind adapter : {AdapterKind::kFull, AdapterKind::kRsLora}) {
    for (const fs::path& file : RunFolder::Files("", adapter)) {
      if (file == kCheckpointFile) continue;
      const TestFolder folder;
      const fs::path run = folder / "run";
      WriteFile(run / file, "precious");
      EXPECT_THAT(RefusalOf(run, adapter), AllOf(HasSubstr(run.string() + ": "), HasSubstr(file.string()),
                                                 HasSubstr("another train.out"), HasSubstr("--force")));
      EXPECT_EQ(RefusalOf(run, adapter, true), "");
      WriteFile(run / kCheckpointFile, "of this run");
      EXPECT_EQ(RefusalOf(run, adapter), "");  // repeated
      EXPECT_EQ(ReadFile(run / file), "precious");
    }
  }
}

TEST(RunFolder, WhatTheRunDoesNotWriteIsNotInTheWay) {
  const TestFolder folder;
  for (const char* name : {"notes.txt", "model.gguf", "adapter/README.md"})
    WriteFile(folder / name, "precious");
  EXPECT_EQ(RefusalOf(folder.path(), AdapterKind::kLora), "");
  EXPECT_EQ(RefusalOf(folder.path(), AdapterKind::kLora), "");  // the lock file is no result
}

TEST(RunFolder, ALinkIsInTheWay) {
  const TestFolder folder;
  fs::create_symlink("nowhere", folder / "model.gguf");
  EXPECT_THAT(RefusalOf(folder.path(), AdapterKind::kFull), HasSubstr("model.gguf"));
}

// Training would end with a result that cannot be saved.
TEST(RunFolder, AnAdapterThatIsNoFolderIsRefused) {
  const TestFolder folder;
  WriteFile(folder / "adapter", "precious");
  EXPECT_THAT(RefusalOf(folder.path(), AdapterKind::kLora, true), HasSubstr("adapter: expected a folder"));
  EXPECT_EQ(RefusalOf(folder.path(), AdapterKind::kFull), "");
}

}  // namespace
}  // namespace longspan
