#include "text/fingerprint.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "text/testing/vocabulary.h"

namespace longspan {
namespace {

Vocabulary Bpe() {
  Vocabulary vocabulary = ByteVocabulary();
  vocabulary.tokens.push_back("ab");
  vocabulary.kinds.push_back(TokenKind::kNormal);
  vocabulary.merges = {"a b", "ab c"};
  return vocabulary;
}

Vocabulary Spm() {
  Vocabulary vocabulary = Bpe();
  vocabulary.kind = Vocabulary::Kind::kSpm;
  vocabulary.scores.assign(vocabulary.tokens.size(), -1);
  return vocabulary;
}

using Change = std::function<void(Vocabulary&)>;

TEST(TokenizerFingerprint, ChangesWithAllThatChangesIds) {
  for (const Change& change : {Change([](Vocabulary& v) { std::swap(v.tokens[3], v.tokens[4]); }),
                               Change([](Vocabulary& v) { v.kinds[5] = TokenKind::kUserDefined; }),
                               Change([](Vocabulary& v) { std::swap(v.merges[0], v.merges[1]); }),
                               Change([](Vocabulary& v) { v.merges.pop_back(); }),
                               // The same characters, cut elsewhere.
                               Change([](Vocabulary& v) {
                                 v.merges = {"a ba", "b c"};
                               }),
                               Change([](Vocabulary& v) { v.pre = "gpt-2"; })}) {
    Vocabulary changed = Bpe();
    change(changed);
    EXPECT_NE(Fingerprint(changed), Fingerprint(Bpe()));
  }
  for (const Change& change :
       {Change([](Vocabulary& v) { v.scores[9] = -2; }), Change([](Vocabulary& v) { v.unknown = 7; }),
        Change([](Vocabulary& v) { v.add_space_prefix = true; }),
        Change([](Vocabulary& v) { v.kind = Vocabulary::Kind::kBpe; })}) {
    Vocabulary changed = Spm();
    change(changed);
    EXPECT_NE(Fingerprint(changed), Fingerprint(Spm()));
  }
}

TEST(TokenizerFingerprint, IsTheSameForFilesThatSayOneThingDifferently) {
  for (const Change& change :
       {Change([](Vocabulary& v) { v.pre = "llama3"; }), Change([](Vocabulary& v) { v.kinds.clear(); }),
        Change([](Vocabulary& v) { v.scores.assign(v.tokens.size(), 0); }),
        Change([](Vocabulary& v) { v.chat_template = "{{ messages }}"; }),
        Change([](Vocabulary& v) { v.eos = 3; })}) {
    Vocabulary changed = Bpe();
    change(changed);
    EXPECT_EQ(Fingerprint(changed), Fingerprint(Bpe()));
  }
}

}  // namespace
}  // namespace longspan
