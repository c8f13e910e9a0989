#include "convert/convert.h"

#include <array>
#include <utility>

#include "base/atomic_folder.h"
#include "base/error.h"
#include "convert/gguf_to_hf.h"
#include "convert/hf_checkpoint.h"
#include "convert/hf_config.h"
#include "convert/hf_to_gguf.h"
#include "formats/gguf_reader.h"
#include "formats/gguf_shards.h"
#include "formats/llama2c.h"
#include "formats/llama_gguf.h"
#include "formats/peft.h"
#include "model/weight_id.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<Conversion, std::string_view>, 7> kNames{{
    {Conversion::kHfToGguf, "Hugging Face folder -> GGUF"},
    {Conversion::kGgufToHf, "GGUF -> Hugging Face folder"},
    {Conversion::kPeftToGguf, "PEFT adapter -> GGUF adapter"},
    {Conversion::kGgufToPeft, "GGUF adapter -> PEFT adapter"},
    {Conversion::kLlama2cToGguf, "llama2.c checkpoint -> GGUF"},
    {Conversion::kSplitGguf, "GGUF -> shards"},
    {Conversion::kJoinGguf, "shards -> GGUF"},
}};

bool IsGguf(const fs::path& path) { return path.extension() == ".gguf"; }

Conversion FindOfFolder(const fs::path& source, const fs::path& destination) {
  const bool adapter = fs::exists(source / "adapter_config.json"), model = fs::exists(source / "config.json");
  if (!adapter && !model) {
    Fail(ErrorKind::kUnsupported,
         "{}: a folder with neither config.json (a model) nor adapter_config.json (an adapter)",
         source.string());
  }
  if (!IsGguf(destination)) {
    Fail(ErrorKind::kBadOption, "{}: a Hugging Face folder becomes a .gguf file, not {}", source.string(),
         destination.string());
  }
  return adapter ? Conversion::kPeftToGguf : Conversion::kHfToGguf;
}

Conversion FindOfGguf(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  if (IsGguf(destination)) {
    if (GgufShardName::Parse(source.filename().string())) return Conversion::kJoinGguf;
    Fail(ErrorKind::kBadOption,
         "{}: is a GGUF file in one piece already; longspan quantize changes types, --split-size splits into "
         "a folder",
         source.string());
  }
  if (options.split_bytes > 0) return Conversion::kSplitGguf;
  const auto type = GgufFile::Open(source)->Find<std::string>("general.type");
  return type == "adapter" ? Conversion::kGgufToPeft : Conversion::kGgufToHf;
}

// Refuses options that do nothing here, because users would believe that they did something.
void CheckOptions(Conversion c, const ConvertOptions& options) {
  const auto only = [&](bool given, std::string_view name, bool fits) {
    if (given && !fits) Fail(ErrorKind::kBadOption, "{} means nothing for {}", name, Name(c));
  };
  const bool model = c == Conversion::kHfToGguf || c == Conversion::kGgufToHf;
  const bool adapter = c == Conversion::kPeftToGguf || c == Conversion::kGgufToPeft;
  only(options.type != "auto", "--type", model);
  only(options.too_large == TooLarge::kClip, "--clip", model);
  only(!options.tokenizer.empty(), "--tokenizer", c == Conversion::kLlama2cToGguf);
  only(!options.base.empty(), "--base", adapter);
  only(options.shard_bytes != ConvertOptions().shard_bytes, "--shard-size", c == Conversion::kGgufToHf);
  only(options.split_bytes > 0, "--split-size", c == Conversion::kSplitGguf);
}

// The base's configuration, because adapters do not say how many heads their model has, and the order of
// their rows depends on that.
LlamaConfig BaseConfig(const fs::path& source, const ConvertOptions& options, Progress& progress) {
  if (options.base.empty()) {
    Fail(ErrorKind::kBadOption,
         "{}: to convert an adapter, name its base model (.gguf, or a Hugging Face folder) with --base",
         source.string());
  }
  if (fs::is_directory(options.base)) return ReadHfConfig(options.base, progress);
  return ReadLlamaConfig(*GgufFile::Open(options.base));
}

void ConvertCheckpoint(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  if (options.tokenizer.empty()) {
    Fail(ErrorKind::kBadOption, "{}: a llama2.c checkpoint has no tokenizer; name its file with --tokenizer",
         source.string());
  }
  ConvertLlama2c(source, options.tokenizer, destination);
}

// A GGUF adapter leaves out the base's weights that a PEFT folder has, so they must be those of the base.
void CheckBaseLayers(const LoraAdapter& adapter, const fs::path& base) {
  if (adapter.base_layers.empty()) return;
  if (!fs::is_directory(base)) return CheckBaseLayers(adapter, LoadModel(base).weights);
  const HfCheckpoint checkpoint = HfCheckpoint::Open(base);
  const auto load = [&](Part part) {
    const SafetensorsEntry* entry = checkpoint.Find(HfName({-1, part}));
    return entry == nullptr ? Tensor() : Tensor(entry->type, entry->shape, entry->bytes, nullptr);
  };
  Weights weights;
  weights.embedding = load(Part::kEmbedding);
  weights.output = load(Part::kOutput);
  if (weights.output.empty()) weights.output = weights.embedding;
  CheckBaseLayers(adapter, weights);
}

void ConvertAdapter(Conversion conversion, const fs::path& source, const fs::path& destination,
                    const LlamaConfig& config, const fs::path& base) {
  if (conversion == Conversion::kPeftToGguf) {
    const LoraAdapter adapter = ReadPeft(source, config);
    CheckBaseLayers(adapter, base);
    WriteGgufAdapter(destination, adapter, config.architecture);
    return;
  }
  const LoraAdapter adapter = ReadGgufAdapter(source, config);
  AtomicFolder folder(destination);
  WritePeft(folder.path(), adapter, config);
  folder.Commit();
}

void Split(const fs::path& source, const fs::path& destination, std::uint64_t bytes, Progress& progress,
           ConvertSummary& summary) {
  const auto file = GgufFile::Open(source);
  const auto shard = GgufShardName::Parse(source.filename().string());
  AtomicFolder folder(destination);
  const std::string stem = shard ? shard->stem : source.stem().string();
  for (const std::string& name : WriteGgufShards(*file, folder.path(), stem, bytes, progress)) {
    summary.files.push_back(destination / name);
  }
  folder.Commit();
}

void Count(const ConvertReport& report, ConvertSummary& summary) {
  summary.tensors = report.tensors;
  summary.bytes = report.bytes;
}

}  // namespace

std::string_view Name(Conversion conversion) {
  for (const auto& [c, name] : kNames) {
    if (c == conversion) return name;
  }
  return "?";
}

bool WritesFolder(Conversion conversion) {
  return conversion == Conversion::kGgufToHf || conversion == Conversion::kGgufToPeft ||
         conversion == Conversion::kSplitGguf;
}

Conversion FindConversion(const fs::path& source, const fs::path& destination,
                          const ConvertOptions& options) {
  if (!fs::exists(source)) Fail(ErrorKind::kIo, "{}: does not exist", source.string());
  Conversion conversion;
  if (fs::is_directory(source)) {
    conversion = FindOfFolder(source, destination);
  } else if (IsGguf(source)) {
    conversion = FindOfGguf(source, destination, options);
  } else if (source.extension() == ".bin") {
    conversion = Conversion::kLlama2cToGguf;
  } else {
    Fail(ErrorKind::kUnsupported,
         "{}: expected a Hugging Face folder of a model or an adapter, a .gguf file or a llama2.c checkpoint "
         "(.bin)",
         source.string());
  }
  CheckOptions(conversion, options);
  return conversion;
}

ConvertSummary Convert(const fs::path& source, const fs::path& destination, const ConvertOptions& options,
                       Progress& progress) {
  ConvertSummary summary;
  summary.conversion = FindConversion(source, destination, options);
  progress.Message(fmt::format("{}: {} {}", Name(summary.conversion), source.string(), destination.string()));
  switch (summary.conversion) {
    case Conversion::kHfToGguf:
      Count(ConvertHfToGguf(source, destination, options.type, progress, options.too_large), summary);
      break;
    case Conversion::kGgufToHf:
      Count(ConvertGgufToHf(source, destination, {options.type, options.shard_bytes, options.too_large},
                            progress),
            summary);
      break;
    case Conversion::kPeftToGguf:
    case Conversion::kGgufToPeft:
      ConvertAdapter(summary.conversion, source, destination, BaseConfig(source, options, progress),
                     options.base);
      break;
    case Conversion::kLlama2cToGguf: ConvertCheckpoint(source, destination, options); break;
    case Conversion::kSplitGguf: Split(source, destination, options.split_bytes, progress, summary); break;
    case Conversion::kJoinGguf: WriteGgufFile(*GgufFile::Open(source), destination, progress); break;
  }
  if (summary.files.empty()) summary.files.push_back(destination);
  return summary;
}

}  // namespace longspan
