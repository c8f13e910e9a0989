#include "formats/gguf_value.h"

#include <array>

#include "formats/byte_reader.h"

namespace longspan {
namespace {

constexpr std::array<std::string_view, kGgufTypes> kNames = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"};

std::string ArraySummary(const GgufArray& array) {
  constexpr std::size_t kShown = 4;
  std::string out = fmt::format("{}[{}] [", Name(array.element_type()), array.size());
  std::visit(
      [&out](const auto& elements) {
        for (std::size_t i = 0; i < elements.size() && i < kShown; ++i) {
          if (i > 0) out += ", ";
          using E = std::decay_t<decltype(elements)>;
          if constexpr (std::same_as<E, GgufStrings>) {
            out += fmt::format("\"{}\"", Printable(elements.views()[i], 24));
          } else if constexpr (std::same_as<E, std::vector<GgufArray>>) {
            out += fmt::format("{}[{}]", Name(elements[i].element_type()), elements[i].size());
          } else {
            out += fmt::format("{}", static_cast<typename E::value_type>(elements[i]));
          }
        }
        if (elements.size() > kShown) out += ", ...";
      },
      array.elements);
  return out + "]";
}

}  // namespace

std::string_view Name(GgufType type) {
  const auto id = static_cast<std::size_t>(type);
  return id < kNames.size() ? kNames[id] : "?";
}

GgufStrings::GgufStrings(std::vector<std::string> strings) {
  const auto owned = std::make_shared<const std::vector<std::string>>(std::move(strings));
  views_.assign(owned->begin(), owned->end());
  owner_ = owned;
}

void GgufMetadata::Set(std::string_view key, GgufValue value) {
  const auto [it, inserted] = index_.try_emplace(std::string(key), entries_.size());
  if (inserted) entries_.emplace_back(std::string(key), std::move(value));
  else entries_[it->second].second = std::move(value);
}

bool GgufMetadata::Erase(std::string_view key) {
  const auto it = index_.find(key);
  if (it == index_.end()) return false;
  const std::size_t gone = it->second;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(gone));
  index_.erase(it);
  for (auto& [name, place] : index_) {
    if (place > gone) --place;
  }
  return true;
}

const GgufValue* GgufMetadata::FindValue(std::string_view key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second].second;
}

void GgufMetadata::FailType(std::string_view key, const GgufValue& value) const {
  Fail(ErrorKind::kInvalidFile, "{}: metadata key {} has the wrong type or range: {} {}", source_, key,
       Name(value.type()), Summary(value));
}

std::string Summary(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using V = std::decay_t<decltype(v)>;
        if constexpr (std::same_as<V, std::string>) return fmt::format("\"{}\"", Printable(v));
        else if constexpr (std::same_as<V, GgufArray>) return ArraySummary(v);
        else return fmt::format("{}", v);
      },
      value.variant());
}

}  // namespace longspan
