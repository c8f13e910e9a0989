#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

#include "base/hash.h"
#include "base/parallel.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

constexpr std::string_view kKind = "longspan-checkpoint";
constexpr std::int64_t kVersion = 2;

// The arrays of a parameter, under the names and in the types that a checkpoint gives them. Their bytes can
// be written to where the parameter can.
template <class P, class Visitor>
void ForEachArray(P& p, Visitor&& visit) {
  const auto array = [&](std::string_view prefix, Type type, auto values) {
    const std::string name = fmt::format("{}.{}", prefix, p.name);
    if constexpr (std::is_const_v<P>)
      visit(name, type, std::as_bytes(std::span(values)));
    else
      visit(name, type, std::as_writable_bytes(std::span(values)));
  };
  if constexpr (std::is_const_v<P>)
    array("value", Type::kF32, p.value.floats());
  else
    array("value", Type::kF32, p.value.mutable_floats());
  if (!p.InBytes()) {
    array("m", Type::kF32, p.m.span());
    array("v", Type::kF32, p.v.span());
    return;
  }
  array("m", Type::kI8, std::span(p.byte_m));
  array("v", Type::kI8, std::span(p.byte_v));
  array("m_scales", Type::kF32, std::span(p.m_scales));
  array("v_scales", Type::kF32, std::span(p.v_scales));
}

// A digest of everything that a checkpoint holds, because GGUF itself would not notice a flipped bit.
std::int64_t Digest(const TrainState& state, std::span<const Parameter> parameters) {
  std::vector<std::span<const std::byte>> arrays;
  for (const Parameter& p : parameters) {
    ForEachArray(p, [&](const std::string&, Type, std::span<const std::byte> x) { arrays.push_back(x); });
  }
  std::vector<std::uint64_t> hashes(arrays.size());
  ParallelFor(std::ssize(arrays), [&](std::int64_t i) {
    Hash64 hash;
    hash.Update(arrays[i]);
    hashes[i] = hash.value();
  });
  Hash64 hash;
  hash.Update(std::as_bytes(std::span(hashes)));
  hash.Add(state.step);
  hash.Add(state.tokens);
  hash.Add(state.seconds);
  hash.Update(state.log.ToJsonLines());
  return static_cast<std::int64_t>(hash.value());
}

// The first word that differs, with the one before it: "rank 8".
std::pair<std::string, std::string> FirstDifference(std::string_view a, std::string_view b) {
  const auto split = [](std::string_view text) {
    std::vector<std::string_view> words;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(' '), text.size());
      words.push_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
  };
  const auto x = split(a), y = split(b);
  std::size_t i = 0;
  while (i < x.size() && i < y.size() && x[i] == y[i]) ++i;
  const auto words = [i](const std::vector<std::string_view>& of) {
    return fmt::format("{}{}{}", i > 0 ? of[i - 1] : "", i > 0 ? " " : "",
                       i < of.size() ? of[i] : "(nothing)");
  };
  return {words(x), words(y)};
}

void CheckIdentity(const std::filesystem::path& path, const RunIdentity& saved, const RunIdentity& wanted) {
  std::vector<std::string> differences;
  if (saved.base != wanted.base) differences.emplace_back("another base model");
  if (saved.text != wanted.text) differences.emplace_back("other text");
  if (saved.settings != wanted.settings) {
    const auto [theirs, ours] = FirstDifference(saved.settings, wanted.settings);
    differences.push_back(fmt::format("other settings ('{}' there, '{}' now)", theirs, ours));
  }
  if (differences.empty()) return;
  Fail(ErrorKind::kBadOption,
       "{}: the checkpoint is of a run with {}; name another folder as out, or remove the checkpoint to "
       "begin anew",
       path.string(), fmt::join(differences, " and "));
}

void CheckState(const std::filesystem::path& path, const TrainState& state) {
  if (state.step < 0 || state.tokens < 0 || std::ssize(state.log.points) != state.step) {
    Fail(ErrorKind::kInvalidFile, "{}: step {}, {} tokens and {} points of the log do not go together",
         path.string(), state.step, state.tokens, state.log.points.size());
  }
}

}  // namespace

void SaveCheckpoint(const std::filesystem::path& path, const TrainState& state, const RunIdentity& identity,
                    std::span<const Parameter> parameters) {
  GgufMetadata metadata;
  metadata.Set("general.type", std::string(kKind));
  metadata.Set("checkpoint.version", kVersion);
  metadata.Set("checkpoint.settings", identity.settings);
  metadata.Set("checkpoint.text", identity.text);
  metadata.Set("checkpoint.base", identity.base);
  metadata.Set("checkpoint.step", state.step);
  metadata.Set("checkpoint.tokens", state.tokens);
  metadata.Set("checkpoint.seconds", state.seconds);
  metadata.Set("checkpoint.log", state.log.ToJsonLines());
  metadata.Set("checkpoint.digest", Digest(state, parameters));
  GgufWriter writer(path, std::move(metadata));
  std::uint64_t bytes = 0;
  for (const Parameter& p : parameters) {
    ForEachArray(p, [&](const std::string& name, Type type, std::span<const std::byte> x) {
      writer.Declare(name, type, {std::ssize(x) / Traits(type).block_bytes});
      bytes += x.size();
    });
  }
  CheckFreeSpace(path, bytes);
  for (const Parameter& p : parameters) {
    ForEachArray(p,
                 [&](const std::string& name, Type, std::span<const std::byte> x) { writer.Write(name, x); });
  }
  writer.Commit();
}

bool IsCheckpointOf(const std::filesystem::path& path, const RunIdentity& identity) {
  try {
    const auto file = GgufFile::Open(path);
    const auto is = [&](std::string_view key, std::string_view value) {
      return file->Find<std::string_view>(key) == value;
    };
    return is("general.type", kKind) && is("checkpoint.settings", identity.settings) &&
           is("checkpoint.text", identity.text) && is("checkpoint.base", identity.base);
  } catch (const Error&) {
    return false;
  }
}

TrainState LoadCheckpoint(const std::filesystem::path& path, const RunIdentity& identity,
                          std::span<Parameter> parameters) {
  const auto file = GgufFile::Open(path);
  if (file->Find<std::string_view>("general.type") != kKind)
    Fail(ErrorKind::kInvalidFile, "{}: not a checkpoint", path.string());
  if (const auto version = file->Find<std::int64_t>("checkpoint.version"); version != kVersion) {
    Fail(ErrorKind::kInvalidFile, "{}: a checkpoint of version {}, expected {}", path.string(),
         version.value_or(1), kVersion);
  }
  const auto text = [&](std::string_view key) { return std::string(file->Get<std::string_view>(key)); };
  CheckIdentity(path, {text("checkpoint.settings"), text("checkpoint.text"), text("checkpoint.base")},
                identity);
  TrainState state;
  state.step = file->Get<std::int64_t>("checkpoint.step");
  state.tokens = file->Get<std::int64_t>("checkpoint.tokens");
  state.seconds = file->Get<double>("checkpoint.seconds");
  state.log = TrainLog::FromJsonLines(file->Get<std::string_view>("checkpoint.log"), path);
  CheckState(path, state);
  for (Parameter& p : parameters) {
    ForEachArray(p, [&](const std::string& name, Type type, std::span<std::byte> x) {
      const Tensor tensor = file->LoadTensor(name);
      if (tensor.type() != type || tensor.bytes().size() != x.size()) {
        Fail(ErrorKind::kInvalidFile, "{}: {} has {} bytes, expected {}", path.string(), name,
             tensor.bytes().size(), x.size());
      }
      std::memcpy(x.data(), tensor.bytes().data(), x.size());
    });
  }
  if (file->Get<std::int64_t>("checkpoint.digest") != Digest(state, parameters))
    Fail(ErrorKind::kInvalidFile, "{}: damaged, its digest does not fit what it holds", path.string());
  return state;
}

}  // namespace longspan
