#include "convert/hf_to_gguf.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "convert/hf_card.h"
#include "convert/hf_checkpoint.h"
#include "convert/hf_config.h"
#include "convert/hf_files.h"
#include "convert/tensor_stream.h"
#include "encode/encode.h"
#include "formats/byte_reader.h"
#include "formats/gguf_writer.h"
#include "formats/llama3_rope.h"
#include "formats/llama_gguf.h"
#include "model/architecture.h"
#include "model/weights.h"
#include "text/hf/tokenizer.h"

namespace longspan {
namespace {

// A tensor of the model with its place in the checkpoint.
struct Source {
  WeightId id;
  const SafetensorsEntry* entry;
};

// Whether every byte is zero (or the sign of a zero).
bool IsZero(const SafetensorsEntry& entry) {
  return std::ranges::all_of(entry.bytes,
                             [](std::byte b) { return b == std::byte{0} || b == std::byte{0x80}; });
}

// Whether a tensor that is not one of the model's own may be left out.
bool IsLeftOut(const std::string& name, const SafetensorsEntry& entry, const HfCheckpoint& checkpoint,
               const LlamaConfig& config) {
  // RoPE's inverse frequencies, which old checkpoints store and every reader computes.
  if (name.ends_with("rotary_emb.inv_freq")) return true;
  // A Qwen2 written as a Llama: if transformers' Llama has the other biases, it has one of o_proj too, here
  // zero.
  if (config.attention_bias && name.ends_with("self_attn.o_proj.bias") && IsZero(entry)) return true;
  if (!config.tied_embeddings || name != HfName({-1, Part::kOutput})) return false;
  const SafetensorsEntry& embedding = *checkpoint.Find(HfName({-1, Part::kEmbedding}));
  if (embedding.type == entry.type && std::ranges::equal(embedding.bytes, entry.bytes)) return true;
  Fail(ErrorKind::kInvalidFile,
       "{}: lm_head.weight differs from the embedding, but tie_word_embeddings is true; set it to "
       "false in config.json to keep lm_head.weight",
       checkpoint.where());
}

std::vector<Source> FindSources(const HfCheckpoint& checkpoint, const LlamaConfig& config) {
  // A layer has nine tensors. A count of layers far beyond the checkpoint's tensors is refused before names
  // are made for them.
  if (std::cmp_greater(config.layers, checkpoint.size())) {
    Fail(ErrorKind::kInvalidFile, "{}: {} tensors, too few for {} layers", checkpoint.where(),
         checkpoint.size(), config.layers);
  }
  std::vector<Source> sources;
  std::set<std::string> used;
  for (const InitialTensor& tensor : InitialTensors(config)) {
    const std::string name = HfName(tensor.id);
    const SafetensorsEntry* entry = checkpoint.Find(name);
    if (entry == nullptr) Fail(ErrorKind::kInvalidFile, "{}: tensor {} is missing", checkpoint.where(), name);
    if (entry->shape != tensor.shape) {
      Fail(ErrorKind::kInvalidFile, "{}: tensor {} is [{}], config.json says [{}]", checkpoint.where(), name,
           fmt::join(entry->shape, ", "), fmt::join(tensor.shape, ", "));
    }
    if (!IsFloat(entry->type)) {
      Fail(ErrorKind::kUnsupported, "{}: tensor {} is {}, expected F32, F16 or BF16", checkpoint.where(),
           name, Traits(entry->type).name);
    }
    used.insert(name);
    sources.push_back({tensor.id, entry});
  }
  for (const auto& [name, entry] : checkpoint.tensors()) {
    if (used.contains(name) || IsLeftOut(name, *entry, checkpoint, config)) continue;
    Fail(ErrorKind::kUnsupported, "{}: tensor {} is not part of the model that config.json describes",
         checkpoint.where(), Printable(name, 160));
  }
  return sources;
}

std::vector<TypeChoice> Choose(const std::vector<Source>& sources, const std::string& type) {
  std::vector<TensorInfo> tensors;
  for (const Source& s : sources) tensors.push_back({GgufName(s.id), s.entry->type, s.entry->shape});
  if (type != "auto") {
    const Mix& mix = FindMix(type);
    std::vector<TypeChoice> choices = ChooseTypes(mix, tensors);
    for (const TypeChoice& choice : choices) {
      if (NeedsImportance(mix, choice)) {
        Fail(ErrorKind::kBadOption,
             "--type {}: is of little use without an importance matrix; convert as it is, then use longspan "
             "imatrix and quantize",
             type);
      }
      if (!CanEncode(choice.type)) {
        Fail(ErrorKind::kUnsupported, "--type {}: {} cannot be encoded", type, Traits(choice.type).name);
      }
    }
    return choices;
  }
  std::vector<TypeChoice> choices;
  for (const TensorInfo& t : tensors) {
    const Type kept = t.shape.size() < 2 ? Type::kF32 : t.type;
    choices.push_back({t.name, t.shape.back(), kept, kept});
  }
  return choices;
}

// The type that most elements get.
Type MainType(const std::vector<Source>& sources, const std::vector<TypeChoice>& choices) {
  std::map<Type, std::int64_t> elements;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    std::int64_t n = 1;
    for (const std::int64_t d : sources[i].entry->shape) n *= d;
    elements[choices[i].type] += n;
  }
  return std::ranges::max_element(elements, {}, &std::pair<const Type, std::int64_t>::second)->first;
}

GgufMetadata Describe(const std::filesystem::path& folder, const LlamaConfig& config, const std::string& type,
                      Type main_type, Progress& progress) {
  GgufMetadata extra(folder.string());
  ReadHfCard(folder, extra, progress);
  if (type != "auto") extra.Set("general.file_type", FindMix(type).file_type);
  for (const auto& [key, value] : ReadHfTokenizer(folder, config.vocab_size, progress)) extra.Set(key, value);
  LlamaConfig named = config;
  named.name = extra.Find<std::string>("general.name").value_or(config.name);
  return LlamaMetadata(named, extra, main_type);
}

TensorStream StreamOf(const Source& source, Type to, const LlamaConfig& config, TooLarge too_large) {
  TensorStream stream{
      .bytes = source.entry->bytes, .from = source.entry->type, .to = to, .too_large = too_large};
  if (IsReordered(config.architecture, source.id.part)) {
    stream.order = HeadOrder{config.head_dim, RopeOrder::kInterleaved};
  }
  SetMeasures(stream, source.entry->shape);
  return stream;
}

// A conversion before its first byte is written.
struct Plan {
  LlamaConfig config;
  HfCheckpoint checkpoint;
  std::vector<Source> sources = {};
  std::vector<TypeChoice> types = {};  // of the sources
  GgufMetadata metadata = {};
  Tensor rope_factors = {};  // of llama3 scaling
};

Plan MakePlan(const std::filesystem::path& folder, const std::string& type, Progress& progress) {
  CheckIsHfModel(folder);
  Plan plan{.config = ReadHfConfig(folder, progress), .checkpoint = HfCheckpoint::Open(folder)};
  plan.sources = FindSources(plan.checkpoint, plan.config);
  plan.types = Choose(plan.sources, type);
  for (const std::string& line : DescribeFallBacks(plan.types)) progress.Message(line);
  plan.metadata = Describe(folder, plan.config, type, MainType(plan.sources, plan.types), progress);
  if (plan.config.rope_scaling.kind == RopeScaling::Kind::kLlama3)
    plan.rope_factors = Llama3RopeFactors(plan.config);
  return plan;
}

}  // namespace

HfModel ReadHfModel(const std::filesystem::path& folder, const std::string& type, Progress& progress) {
  Plan plan = MakePlan(folder, type, progress);
  HfModel model{plan.config, std::move(plan.metadata), {}};
  if (!plan.rope_factors.empty())
    model.tensors.push_back({std::string(kRopeFactorsTensor), Type::kF32, plan.rope_factors.shape()});
  for (std::size_t i = 0; i < plan.sources.size(); ++i)
    model.tensors.push_back({plan.types[i].name, plan.types[i].type, plan.sources[i].entry->shape});
  return model;
}

ConvertReport ConvertHfToGguf(const std::filesystem::path& folder, const std::filesystem::path& out,
                              const std::string& type, Progress& progress, TooLarge too_large) {
  Plan plan = MakePlan(folder, type, progress);
  const std::vector<Source>& sources = plan.sources;
  ConvertReport report;
  report.config = plan.config;
  report.types = plan.types;

  GgufWriter writer(out, std::move(plan.metadata));
  const Tensor& factors = plan.rope_factors;
  if (!factors.empty()) writer.Declare(kRopeFactorsTensor, Type::kF32, factors.shape());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const SafetensorsEntry& entry = *sources[i].entry;
    writer.Declare(report.types[i].name, report.types[i].type, entry.shape);
    report.bytes += TensorBytes(report.types[i].type, entry.shape);
  }
  report.tensors = std::ssize(sources);
  CheckFreeSpace(out, static_cast<std::uint64_t>(report.bytes));

  progress.Start("convert", report.bytes, "bytes");
  std::int64_t done = 0;
  if (!factors.empty()) writer.Write(kRopeFactorsTensor, factors.bytes());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::string& name = report.types[i].name;
    const auto take = [&](std::span<const std::byte> piece) {
      writer.Append(name, piece);
      progress.Update(done += static_cast<std::int64_t>(piece.size()), name);
    };
    const auto release = [&](std::span<const std::byte> part) { plan.checkpoint.Release(part); };
    try {
      const Type to = report.types[i].type;
      const UnfitValues clipped =
          StreamTensor(StreamOf(sources[i], to, plan.config, too_large), take, release);
      if (clipped.any()) {
        progress.Message(fmt::format("tensor {}: {}", sources[i].entry->name, DescribeClipped(clipped, to)));
      }
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}: tensor {}: {}", plan.checkpoint.where(),
                                            sources[i].entry->name, error.what()));
    }
  }
  writer.Commit();
  progress.Finish();
  return report;
}

}  // namespace longspan
