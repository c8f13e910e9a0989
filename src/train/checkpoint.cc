#include "train/checkpoint.h"

#include <cstring>

#include "formats/gguf_reader.h"
#include "formats/gguf_writer.h"

namespace longspan {
namespace {

constexpr std::string_view kKind = "longspan-checkpoint";

// The three arrays of a parameter, under the names that a checkpoint gives them.
template <class P, class Visitor>
void ForEachArray(P& p, Visitor&& visit) {
  visit("value." + p.name, p.value.floats());
  visit("m." + p.name, std::span<const float>(std::as_const(p.m).span()));
  visit("v." + p.name, std::span<const float>(std::as_const(p.v).span()));
}

}  // namespace

void SaveCheckpoint(const std::filesystem::path& path, const TrainState& state, std::string_view fingerprint,
                    std::span<const Parameter> parameters) {
  GgufMetadata metadata;
  metadata.Set("general.type", std::string(kKind));
  metadata.Set("checkpoint.fingerprint", std::string(fingerprint));
  metadata.Set("checkpoint.step", state.step);
  metadata.Set("checkpoint.tokens", state.tokens);
  metadata.Set("checkpoint.seconds", state.seconds);
  metadata.Set("checkpoint.log", state.log.ToJsonLines());
  GgufWriter writer(path, std::move(metadata));
  for (const Parameter& p : parameters) {
    ForEachArray(p, [&](const std::string& name, std::span<const float> x) {
      writer.Declare(name, Type::kF32, {static_cast<std::int64_t>(x.size())});
    });
  }
  for (const Parameter& p : parameters) {
    ForEachArray(
        p, [&](const std::string& name, std::span<const float> x) { writer.Write(name, std::as_bytes(x)); });
  }
  writer.Commit();
}

TrainState LoadCheckpoint(const std::filesystem::path& path, std::string_view fingerprint,
                          std::span<Parameter> parameters) {
  const auto file = GgufFile::Open(path);
  if (file->Get<std::string_view>("general.type") != kKind) {
    Fail(ErrorKind::kInvalidFile, "{}: not a checkpoint", path.string());
  }
  if (file->Get<std::string_view>("checkpoint.fingerprint") != fingerprint) {
    Fail(ErrorKind::kBadOption,
         "{}: the checkpoint is of a run with other settings; remove it or use another folder",
         path.string());
  }
  TrainState state;
  state.step = file->Get<std::int64_t>("checkpoint.step");
  state.tokens = file->Get<std::int64_t>("checkpoint.tokens");
  state.seconds = file->Get<double>("checkpoint.seconds");
  state.log = TrainLog::FromJsonLines(file->Get<std::string_view>("checkpoint.log"), path);
  for (Parameter& p : parameters) {
    p.value.mutable_floats();  // must be writable, like its moments
    ForEachArray(p, [&](const std::string& name, std::span<const float> x) {
      const Tensor tensor = file->LoadTensor(name);
      if (tensor.type() != Type::kF32 || tensor.bytes().size() != x.size_bytes()) {
        Fail(ErrorKind::kInvalidFile, "{}: {} has {} bytes, expected {}", path.string(), name,
             tensor.bytes().size(), x.size_bytes());
      }
      std::memcpy(const_cast<float*>(x.data()), tensor.bytes().data(), x.size_bytes());
    });
  }
  return state;
}

}  // namespace longspan
