// Saved sequences, with a cache of each type. What is read is written again, and must come out the same.
#include "infer/sequence_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/testing/temporary_folder.h"
#include "fuzz/small_llama.h"
#include "fuzz/target.h"
#include "kernels/kernels.h"
#include "model/transformer.h"

namespace longspan::fuzz {
namespace {

constexpr std::uint64_t kFingerprint = 7;
constexpr std::array kCacheTypes{Type::kF32, Type::kF16, Type::kBF16, Type::kQ8_0, Type::kQ4_0};
constexpr std::size_t kTypeAt = 12, kSumBytes = sizeof(std::uint64_t);

// Blocks of quantised types are 32 wide, and so is a head that they hold.
LlamaConfig ConfigFor(Type type) {
  return type == Type::kQ8_0 || type == Type::kQ4_0 ? oracle::MinimalConfig(4, 32) : SmallLlama();
}

// Four pages of the type that the input asks for; of F32 where it is no type of a cache.
std::shared_ptr<KvPagePool> PoolFor(std::span<const std::byte> input) {
  std::uint32_t id = 0;
  if (input.size() >= kTypeAt + sizeof id) std::memcpy(&id, &input[kTypeAt], sizeof id);
  const auto wanted =
      std::ranges::find(kCacheTypes, id, [](Type t) { return static_cast<std::uint32_t>(t); });
  const Type type = wanted == kCacheTypes.end() ? Type::kF32 : *wanted;
  const LlamaConfig config = ConfigFor(type);
  return KvPagePool::Make(config, type, 4 * KvCache::Bytes(config, kKvBlock, type));
}

void ReadAndWriteAgain(std::span<const std::byte> input) {
  static const TestFolder folder;
  const std::shared_ptr<KvPagePool> pool = PoolFor(input);
  const SavedSequence saved = ReadSequence(input, "input", kFingerprint, SmallLlama().vocab_size, pool);
  SaveSequence(folder / "again", kFingerprint, saved.tokens, saved.cache);
  const std::string again = ReadFile(folder / "again");
  if (!std::ranges::equal(std::as_bytes(std::span(again)), input))
    Fail(ErrorKind::kInternal, "a sequence that was read is written as another");
}

}  // namespace

void Parse(std::span<const std::byte> input) {
  Attempt([&] { ReadAndWriteAgain(input); });
  if (input.size() < kSumBytes) return;
  // Mutations seldom match the checksum, but an attacker can. So what lies behind it is fuzzed with a correct
  // one.
  std::vector<std::byte> meant(input.begin(), input.end());
  Hash64 hash;
  hash.Update(std::span<const std::byte>(meant).first(meant.size() - kSumBytes));
  const std::uint64_t sum = hash.value();
  std::memcpy(meant.data() + meant.size() - kSumBytes, &sum, kSumBytes);
  ReadAndWriteAgain(meant);
}

void MakeSeeds(const std::filesystem::path& folder) {
  for (const Type type : kCacheTypes) {
    const LlamaConfig config = ConfigFor(type);
    const Transformer model(config, RandomWeights(config, 1), ReferenceKernels());
    for (const std::int64_t length : {0, 1, 64, 70}) {
      std::vector<std::int32_t> tokens(length + 1, 3);
      KvCache cache(KvPagePool::Make(config, type));
      Matrix hidden(length, config.dim);
      if (length > 0) model.Forward(std::span(tokens).first(length), cache, hidden);
      SaveSequence(folder / (std::string(Traits(type).name) + "-" + std::to_string(length)), kFingerprint,
                   tokens, cache);
    }
  }
}

}  // namespace longspan::fuzz
