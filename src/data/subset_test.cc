#include "data/subset.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

std::string Subset(const std::string& record, const std::string& path = "x.jsonl") {
  const TextField field = ReadTextField(record, "text");
  EXPECT_EQ(field.state, TextField::State::kText) << record;
  return SubsetOf(record, field.marks, path);
}

// The shapes in which RedPajama's files have it.
TEST(Subset, ReadsRedPajamasRecords) {
  EXPECT_EQ(Subset(R"({"text": "a", "meta": {"url": "u", "source": "c4"}})"), "c4");
  EXPECT_EQ(Subset(R"({"meta": {"source": "arxiv"}, "text": "a", "red_pajama_subset": "book"})"), "book");
  EXPECT_EQ(Subset(R"({"text": "a", "source": "cc/2019-30/en_head_0000.json.gz/line1"})"), "common_crawl");
  EXPECT_EQ(Subset(R"({"text": "a", "meta": {"redpajama_set_name": "RedPajamaC4"}})"), "RedPajamaC4");
  EXPECT_EQ(Subset(R"({"text": "a", "meta": {"path": "a.c"}})", "in/github/filtered_1.sampled.jsonl"),
            "github");
  EXPECT_EQ(Subset(R"({"text": "a"})", "arxiv/c4/x.jsonl"), "c4");
  EXPECT_EQ(Subset(R"({"text": "a"})", "arxiv.jsonl"), "");
}

TEST(Subset, ReadsMetaAsPythonsRepr) {
  EXPECT_EQ(
      Subset(R"({"text": "a", "meta": "{'timestamp': None, 'n': [1, ('source', 'no')], 'source': 'c4'}"})"),
      "c4");
  EXPECT_EQ(
      Subset(R"({"text": "a", "meta": "{'url': \"it's 'source': 'no'\", \"source\" : \"wikipedia\"}"})"),
      "wikipedia");
  EXPECT_EQ(PythonDictString(R"({'a': 'x\'y', 'source': 'b'})", "source"), "b");
  EXPECT_EQ(PythonDictString("{'x': {'source': 'inner'}, 'source': None, 'y': 'z'}", "source"), "");
  for (const char* broken : {"", "{", "'", "{'source", "{'source':", "{'source': '", "{'source': 'c4",
                             "}}}'source': 'a'", "{'source' 'c4'}", "\\", "{'\\"}) {
    const std::string found = PythonDictString(broken, "source");
    EXPECT_TRUE(found.empty() || found == "c4") << broken << " " << found;
  }
}

// Where each document has its own, nothing is named.
TEST(Subset, TakesNoAddressForAName) {
  EXPECT_EQ(Subset(R"({"text": "a", "source": "https://example.org/a"})"), "");
  EXPECT_EQ(Subset(R"({"text": "a", "source": 5, "meta": 7})"), "");
  EXPECT_EQ(Subset(R"({"text": "a", "source": "a\u0007b"})"), "");
  EXPECT_EQ(Subset(R"({"text": "a", "source": ")" + std::string(41, 'a') + "\"}"), "");
  EXPECT_EQ(Subset(R"({"text": "a", "meta": {"source": "a b"}, "source": "c4"})"), "c4");
}

}  // namespace
}  // namespace longspan
