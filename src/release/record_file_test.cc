#include "release/record_file.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

class RecordFileTest : public testing::Test {
 protected:
  void Read() {
    ReadRecord(file_, 2, {"what is done", "begin anew"},
               [&](const json& record) { value_ = record.at("value"); });
  }
  std::string Fault() {
    return ErrorOf([&] { Read(); });
  }

  TestFolder folder_;
  std::filesystem::path file_ = folder_ / "record.json";
  int value_ = 0;
};

TEST_F(RecordFileTest, ComesBackAsItWent) {
  WriteRecord(file_, 2, {{"value", 7}});
  Read();
  EXPECT_EQ(value_, 7);
}

TEST_F(RecordFileTest, DamageIsSaidWithWhatToDo) {
  for (const std::string& bad :
       {std::string(), std::string("{\"version\": 2"), std::string("[]"), std::string("2"),
        std::string(R"({"version": 2})"), std::string(R"({"version": 2, "value": "x"})"),
        std::string(R"({"version": 2, "value": 1, "value": 2})")}) {
    WriteFile(file_, bad);
    EXPECT_THAT(Fault(), AllOf(HasSubstr("record.json: damaged ("),
                               HasSubstr("it says what is done: put back a copy of it, or begin anew")))
        << bad;
    EXPECT_EQ(KindOf([&] { Read(); }), ErrorKind::kInvalidFile) << bad;
    EXPECT_EQ(ReadFile(file_), bad);
  }
}

TEST_F(RecordFileTest, AnotherVersionIsNoDamage) {
  WriteRecord(file_, 3, {{"value", 7}});
  EXPECT_THAT(Fault(),
              HasSubstr("a record of version 3, expected 2; end the job with the longspan that began it, "
                        "or begin anew"));
  EXPECT_EQ(KindOf([&] { Read(); }), ErrorKind::kUnsupported);
}

// A file of nested brackets or of countless values is refused before it takes the memory of values.
TEST_F(RecordFileTest, WhatNoJobWritesIsRefusedByItsBounds) {
  WriteFile(file_,
            "{\"version\": 2, \"value\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  EXPECT_THAT(Fault(), HasSubstr("nested deeper than"));
  std::string many = "{\"version\": 2, \"value\": [0";
  for (int i = 0; i < 600'000; ++i) many += ",0";
  WriteFile(file_, many + "]}");
  EXPECT_THAT(Fault(), HasSubstr("JSON values"));
}

}  // namespace
}  // namespace longspan
