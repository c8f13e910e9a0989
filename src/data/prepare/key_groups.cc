#include "data/prepare/key_groups.h"

#include <algorithm>
#include <utility>

#include "base/cancel.h"

namespace longspan {
namespace {

constexpr std::int64_t kMostSections = 1024;
constexpr std::size_t kBlock = 1024;  // entries that are written at once

}  // namespace

KeyGroups::KeyGroups(std::filesystem::path folder, std::int64_t expected, std::int64_t memory)
    : folder_(std::move(folder)) {
  const std::int64_t in_section =
      std::max<std::int64_t>(1, memory / static_cast<std::int64_t>(sizeof(Entry)));
  sections_.resize(std::clamp<std::int64_t>((expected + in_section - 1) / in_section, 1, kMostSections));
}

void KeyGroups::Add(const TextHash& key, std::uint64_t document) {
  const auto at =
      static_cast<std::size_t>((static_cast<unsigned __int128>(key.high) * sections_.size()) >> 64);
  Section& section = sections_[at];
  section.buffer.push_back({key, document});
  if (sections_.size() == 1 || section.buffer.size() < kBlock) return;
  if (!file_) file_.emplace(folder_);
  section.blocks.push_back(file_->size());
  file_->Append(std::as_bytes(std::span(section.buffer)));
  section.buffer.clear();
}

std::vector<KeyGroups::Entry> KeyGroups::Load(Section& section) const {
  std::vector<Entry> entries = std::move(section.buffer);
  const std::size_t held = entries.size();
  entries.resize(held + section.blocks.size() * kBlock);
  std::span rest = std::span(entries).subspan(held);
  for (const std::uint64_t block : section.blocks) {
    file_->Read(block, std::as_writable_bytes(rest.first(kBlock)));
    rest = rest.subspan(kBlock);
  }
  return entries;
}

void KeyGroups::ForEachGroup(FunctionRef<void(std::span<const std::uint64_t>)> body) {
  std::vector<std::uint64_t> documents;
  for (Section& section : sections_) {
    ThrowIfCancelled();
    std::vector<Entry> entries = Load(section);
    std::ranges::sort(entries);
    for (auto begin = entries.begin(); begin != entries.end();) {
      const auto end =
          std::find_if(begin, entries.end(), [&](const Entry& entry) { return entry.key != begin->key; });
      if (end - begin > 1) {
        documents.clear();
        for (auto entry = begin; entry != end; ++entry) documents.push_back(entry->document);
        body(documents);
      }
      begin = end;
    }
    section = {};
  }
}

}  // namespace longspan
