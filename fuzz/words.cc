// Texts cut into words by hand and by the regular expressions that this stands for: all rules must agree,
// also where a long text is cut into parts. Its first byte says where.
#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "fuzz/target.h"
#include "text/pre_tokenizer.h"

namespace longspan::fuzz {
namespace {

struct Rule {
  std::string name;
  PreTokenizer by_hand, by_regex;

  static PreTokenizerRule WithoutSplitter(PreTokenizerRule rule) {
    rule.split_words = nullptr;
    return rule;
  }
  explicit Rule(const std::string& name)
      : name(name), by_hand(name), by_regex(WithoutSplitter(FindPreTokenizerRule(name))) {}
};

std::vector<std::size_t> Ends(const PreTokenizer& pre_tokenizer, std::string_view text) {
  std::vector<std::size_t> ends;
  pre_tokenizer.Split(
      text, [&](const WordBatch& batch) { ends.insert(ends.end(), batch.ends.begin(), batch.ends.end()); });
  return ends;
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all;
    for (const char* name : {"llama-bpe", "gpt-2", "qwen2", "smollm", "tekken", "default"})
      all.emplace_back(name);
    return all;
  }();
  if (input.empty()) return;
  const std::string_view text(reinterpret_cast<const char*>(input.data()) + 1, input.size() - 1);
  const std::size_t cut =
      PreTokenizer::SafeCut(text, std::min(text.size(), std::to_integer<std::size_t>(input[0])));
  for (const Rule& rule : rules) {
    const std::vector<std::size_t> expected = Ends(rule.by_regex, text);
    if (Ends(rule.by_hand, text) != expected) Fail(ErrorKind::kInternal, "{}: other words", rule.name);
    std::vector<std::size_t> in_parts = Ends(rule.by_hand, text.substr(0, cut));
    for (const std::size_t end : Ends(rule.by_hand, text.substr(cut))) in_parts.push_back(cut + end);
    if (in_parts != expected) Fail(ErrorKind::kInternal, "{}: other words in two parts", rule.name);
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  WriteFile(folder / "english", "\x08I'll say it's 12345 o'clock;\n\n  HE'D  go.\t \r\n x ");
  WriteFile(folder / "languages",
            "\x04\u0418\u0432\u0430\u043d \u4f60\u597d\u3002\u00a0\u0661\u0662\u0663\u0664 e\u0301 '\u017f");
  WriteFile(folder / "code", "\x14if (a[10] != 'r') {\n\t\treturn x->y;  // '\xff\xe2\x82\n\t}\n");
}

}  // namespace longspan::fuzz
