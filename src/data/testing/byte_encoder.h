// What this folder's tests share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "data/encoder.h"
#include "data/shard.h"
#include "model/batch.h"

namespace longspan {

// The fingerprint of ByteEncoder and of the shards that MakeShard makes for it.
inline constexpr std::uint64_t kByteFingerprint = 0xB17E;

// A byte is a token; then BOS and EOS.
inline TextEncoder ByteEncoder() {
  return {[](std::string_view text) {
            std::vector<std::int32_t> tokens;
            for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
            return tokens;
          },
          258, 256, 257, kByteFingerprint};
}

inline std::string ByteText(std::span<const std::int32_t> tokens) {
  std::string text;
  for (const std::int32_t token : tokens) {
    if (token < 256) text += static_cast<char>(token);
  }
  return text;
}

// The shard of `documents`, whose tokens are below 256; BOS is 256 and EOS 257.
inline Shard MakeShard(const std::filesystem::path& path,
                       const std::vector<std::vector<std::int32_t>>& documents,
                       ShardVocabulary vocabulary = {258, 256, 257, kByteFingerprint}) {
  ShardWriter writer(path, vocabulary);
  for (const auto& document : documents) writer.Add(document);
  writer.Commit();
  return Shard::Open(path);
}

inline void ExpectSameBatch(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.targets, b.targets);
  EXPECT_EQ(a.positions, b.positions);
  EXPECT_EQ(a.documents, b.documents);
}

}  // namespace longspan
