// Token shards.
#include "data/shard.h"

#include "fuzz/input.h"
#include "fuzz/target.h"

namespace longspan::fuzz {

void Parse(std::span<const std::byte> input) {
  const MemoryFile file(input);
  const Shard shard = Shard::Open(file.path());
  Attempt([&] { shard.CheckTokens(); });
  for (std::int64_t i = 0; i < shard.documents(); ++i) {
    Attempt([&] { shard.ReadDocument(i); });
  }
}

void MakeSeeds(const std::filesystem::path& folder) {
  for (const std::int64_t vocabulary : {300, 70'000}) {
    ShardWriter writer(folder / std::to_string(vocabulary), {vocabulary, 1, 2, 3});
    writer.Add(std::vector<std::int32_t>{1, 4, 5, 2});
    writer.Add({});
    writer.Add(std::vector<std::int32_t>(40, 299));
    writer.Commit(7);
  }
}

}  // namespace longspan::fuzz
