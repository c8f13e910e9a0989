#include "formats/wrong_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "formats/gguf_reader.h"
#include "formats/json_object.h"
#include "formats/llama2c.h"
#include "formats/safetensors.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 4976698672\n";

std::string Refusal(std::string_view contents) {
  return ErrorOf([&] { RefuseWrongFile(contents, "x"); });
}

TEST(WrongFile, SaysWhatAFileIs) {
  EXPECT_THAT(Refusal(kPointer), AllOf(HasSubstr("x: is a Git LFS pointer"), HasSubstr("git lfs pull")));
  EXPECT_THAT(Refusal("<!DOCTYPE html><html>"), HasSubstr("web page"));
  EXPECT_THAT(Refusal("\xef\xbb\xbf\n  <HTML lang='en'>"), HasSubstr("web page"));
  EXPECT_THAT(Refusal("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"), HasSubstr("XML"));
  EXPECT_THAT(Refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(Refusal("PK\x03\x04rest"), HasSubstr("x: is a zip archive or a pickle"));
  EXPECT_THAT(Refusal("\x1f\x8b\x08rest"), HasSubstr("gzip"));
  EXPECT_THAT(Refusal("\x28\xb5\x2f\xfdrest"), HasSubstr("zstd"));
  EXPECT_THAT(Refusal("GGUFrest"), HasSubstr("GGUF file"));
  EXPECT_THAT(Refusal(std::string("\x40\0\0\0\0\0\0\0{\"a\":", 13)), HasSubstr("safetensors"));
}

TEST(WrongFile, LeavesTheRestToTheReader) {
  for (const std::string_view contents :
       {"{\"a\": 1}", "x", "version 3", "<s> is a token", "Entry not found"})
    EXPECT_EQ(Refusal(contents), "") << contents;
}

// Every reader of a model checks this, so a message says what the file is, not what its format missed.
TEST(WrongFile, EveryReaderSaysIt) {
  const TestFolder folder;
  const auto path = folder / "model";
  const auto write = [&](std::string_view contents) { std::ofstream(path, std::ios::binary) << contents; };
  const std::vector<std::function<void()>> readers{
      [&] { SafetensorsFile::Open(path); }, [&] { GgufFile::Open(path); },
      [&] { JsonObject::Read(path, 1 << 20); }, [&] { ReadLlama2c(path); },
      [&] { ReadLlama2cTokenizer(path, 512); }};
  for (const auto& reader : readers) {
    for (const auto& [contents, meaning] :
         {std::pair(kPointer, "is a Git LFS pointer"), std::pair("<!doctype html>", "is a web page"),
          std::pair("", "is empty")}) {
      write(contents);
      EXPECT_THAT(ErrorOf(reader), AllOf(HasSubstr(path.string()), HasSubstr(meaning)));
    }
  }
  write("GGUF");
  EXPECT_THAT(ErrorOf(readers[0]), HasSubstr("GGUF file"));
}

TEST(WrongFile, EmptyTensorsAreZero3s) {
  const TestFolder folder;
  const std::string header = R"({"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  const std::uint64_t size = header.size();
  std::ofstream(folder / "f", std::ios::binary)
      << std::string(reinterpret_cast<const char*>(&size), sizeof(size)) << header;
  const auto file = SafetensorsFile::Open(folder / "f");
  EXPECT_THAT(ErrorOf([&] { file->RefuseEmptyTensors(); }),
              AllOf(HasSubstr("1 of its 1 tensors are empty"), HasSubstr("zero_to_fp32.py")));
}

}  // namespace
}  // namespace longspan
