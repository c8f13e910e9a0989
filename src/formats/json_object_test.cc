#include "formats/json_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

JsonObject Parse(const char* text) { return {"f.json", nlohmann::json::parse(text)}; }

TEST(JsonObject, ReadsTypedKeys) {
  const JsonObject o = Parse(R"({"i": 3, "f": 2.5, "b": true, "s": "x", "n": null, "o": {"i": 4}})");
  EXPECT_EQ(o.Get<std::int64_t>("i"), 3);
  EXPECT_EQ(o.Get<double>("i"), 3.0);
  EXPECT_EQ(o.Get<double>("f"), 2.5);
  EXPECT_EQ(o.Or<bool>("b", false), true);
  EXPECT_EQ(o.Or<std::string>("missing", "y"), "y");
  EXPECT_FALSE(o.Has("n"));  // null counts as absent
  EXPECT_EQ(o.FindObject("o")->Get<std::int64_t>("i"), 4);
  EXPECT_THAT(ErrorOf([&] { o.Get<std::int64_t>("f"); }), HasSubstr("f.json: f is 2.5"));
  EXPECT_THAT(ErrorOf([&] { o.Get<std::int64_t>("n"); }), HasSubstr("n is missing"));
  EXPECT_THAT(ErrorOf([&] { o.FindObject("o")->Get<std::string>("i"); }), HasSubstr("f.json: o: i is 4"));
  EXPECT_THAT(ErrorOf([&] { o.FindObject("s"); }), HasSubstr("s is"));
}

TEST(JsonObject, RefusesNumbersBeyond63Bits) {
  EXPECT_THROW(Parse(R"({"i": 9223372036854775808})").Get<std::int64_t>("i"), Error);
  EXPECT_EQ(Parse(R"({"i": 9223372036854775807})").Get<std::int64_t>("i"), 9223372036854775807);
}

TEST(JsonObject, RefusesFilesThatAreNone) {
  const TestFolder folder;
  WriteFile(folder / "a", "[1]");
  EXPECT_THROW(JsonObject::Read(folder / "a", 100), Error);
  WriteFile(folder / "a", std::string(90, '['));
  EXPECT_THROW(JsonObject::Read(folder / "a", 100), Error);
  EXPECT_THROW(JsonObject::Read(folder / "a", 10), Error);
  EXPECT_THROW(JsonObject::Read(folder / "missing", 10), Error);
}

TEST(JsonObject, RefusesWhatIsNotEmpty) {
  const JsonObject o = Parse(R"({"a": false, "b": null, "c": [], "d": "", "e": {"x": 1}, "f": true})");
  for (const char* key : {"a", "b", "c", "d", "missing"}) EXPECT_NO_THROW(o.RefuseUnlessEmpty(key)) << key;
  EXPECT_THAT(ErrorOf([&] { o.RefuseUnlessEmpty("e"); }), HasSubstr("an object of 1"));
  EXPECT_THROW(o.RefuseUnlessEmpty("f"), Error);
}

}  // namespace
}  // namespace longspan
