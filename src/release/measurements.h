// Every number that a run measures and its model card shows. Each stage saves its own struct as JSON in the
// work folder, so the card can be written again without measuring again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace longspan {

// The model before anything was done to it.
struct BaseFacts {
  std::string name;
  std::string file;
  std::int64_t bytes = 0;
  std::int64_t parameters = 0;
  std::int64_t layers = 0;
  std::int64_t dim = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t vocab_size = 0;
  std::int64_t context = 0;  // native window, tokens
  double rope_theta = 0;
};

// What `prepare` made of the corpus.
struct DataFacts {
  std::vector<std::string> sources;
  std::int64_t documents_kept = 0;
  std::int64_t documents_short = 0;  // below min_tokens
  std::int64_t documents_long = 0;   // above max_tokens
  std::int64_t documents_duplicate =
      0;                    // the text of an earlier one, or nearly that where near_duplicates is set
  std::int64_t tokens = 0;  // of the kept documents
  std::int64_t validation_tokens = 0;
};

// The documents that perplexity and divergence are measured on.
struct EvalTextFacts {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t longest = 0;   // tokens of the longest document
  std::string skipped;        // what of the inputs could not be used, "3 lines and 1 file"; empty: nothing
  std::string first_skipped;  // where and why
};

struct TrainingPoint {
  std::int64_t step = 0;
  std::int64_t tokens = 0;  // trained on so far
  double loss = 0;
  double learning_rate = 0;
  std::optional<double> validation;  // where the step was evaluated
};

struct TrainingFacts {
  std::int64_t steps = 0;
  std::int64_t skipped = 0;  // steps that were left out
  std::int64_t tokens = 0;
  std::int64_t trainable_parameters = 0;
  double adapter_scale = 0;  // what multiplies B A; 0 for full training
  double seconds = 0;
  std::int64_t peak_memory_bytes = 0;
  std::string processor;
  std::int64_t threads = 0;
  std::vector<TrainingPoint> points;
};

// Sliding-window perplexity at one context length.
struct PerplexityPoint {
  std::int64_t context = 0;
  double perplexity = 0;    // exp(total negative log-likelihood / tokens)
  double window_mean = 0;   // exp(mean over windows of their mean negative log-likelihood)
  std::int64_t tokens = 0;  // scored
};

// Passkey retrieval at one prompt length and one depth (0 the start of the prompt, 1 its end).
struct PasskeyCell {
  std::int64_t length = 0;
  double depth = 0;
  std::int64_t trials = 0;
  std::int64_t solved = 0;
};

// Perplexity of the tokens with `begin` to `end` - 1 tokens before them, from one pass over each long
// document.
struct PositionPoint {
  std::int64_t begin = 0, end = 0;
  double perplexity = 0;
  double standard_error = 0;
  std::int64_t tokens = 0;
};

// Perplexity of a text of a kind that the base knew, the same tokens scored in each context.
struct RetentionText {
  std::string name;
  std::vector<PerplexityPoint> perplexity;
};

struct Evaluation {
  std::string file;  // the model that was measured
  std::string text;  // what perplexity was measured on
  std::int64_t stride = 0;
  std::int64_t max_tokens = 0;  // scored at each context at the most; 0: all
  std::uint64_t passkey_seed = 0;
  std::vector<PerplexityPoint> perplexity;
  std::vector<PasskeyCell> passkey;
  std::int64_t position_documents = 0;  // that loss by position was measured on
  std::vector<PositionPoint> positions = {};
  std::vector<RetentionText> retention = {};
};

struct QuantizationRow {
  std::string name;  // "Q4_K_M"
  std::string file;
  std::int64_t bytes = 0;
  double bits_per_weight = 0;
  double perplexity = 0;
  double kld_mean = 0;  // Kullback-Leibler divergence from the reference, nats a token
  double kld_median = 0;
  double kld_p99 = 0;
  double kld_max = 0;
  double top1 = 0;  // share of tokens whose likeliest next token agrees with the reference
};

struct QuantizationFacts {
  std::string reference;  // the type that divergence is measured against, such as "F16"
  std::int64_t context = 0;
  std::int64_t tokens = 0;
  std::vector<QuantizationRow> rows;
};

// The merged model as a Hugging Face folder.
struct HuggingFaceFile {
  std::string name;  // within the release folder
  std::int64_t bytes = 0;
};

struct HuggingFaceFacts {
  std::string type;                    // of most weights, such as "BF16"
  std::vector<HuggingFaceFile> files;  // none where the release has no such folder
};

struct StageTime {
  std::string name;
  double seconds = 0;
};

// Power and grid intensity are assumptions, so each carries where it comes from.
struct EnergyFacts {
  double power_watts = 0;
  std::string power_source;
  double grid_g_per_kwh = 0;
  std::string grid_source;

  double KilowattHours(double seconds) const { return power_watts * seconds / 3.6e6; }
  double GramsCo2(double seconds) const { return KilowattHours(seconds) * grid_g_per_kwh; }
};

struct SampleText {
  std::string file;  // the model that wrote it
  std::string prompt;
  std::string text;
  double temperature = 0;
  double repeat_penalty = 1;  // 1: none
  std::uint64_t seed = 0;
};

struct Measurements {
  std::string longspan_version;
  BaseFacts base;
  DataFacts data;
  TrainingFacts training;
  Evaluation before;
  Evaluation scaled;  // before, with the released RoPE; empty where that is the base's own, or not measured
  Evaluation after;
  QuantizationFacts quantization;
  HuggingFaceFacts huggingface;
  std::vector<StageTime> stages;
  EnergyFacts energy;
  SampleText sample;

  double TotalSeconds() const;
};

// What became of a text of data.retention: the base in its own window beside the result at the target.
struct KeptText {
  std::string name;
  std::int64_t base_context = 0, target = 0;
  std::int64_t tokens = 0;                     // scored, the same in all
  double before = 0;                           // the base at base_context
  double after_short = 0;                      // the result there
  double after = 0;                            // the result at the target
  std::optional<double> scaled_short, scaled;  // the base with the released RoPE

  double Ratio() const { return after / before; }
};
std::vector<KeptText> KeptTexts(const Measurements& m);

// The share of trials solved over the cells of one length; empty where there are none.
std::optional<double> PasskeyShare(const std::vector<PasskeyCell>& cells, std::int64_t length);

// JSON of the structs that a stage keeps, BaseFacts to Measurements. A number that is not finite becomes null
// and comes back as NaN.
template <class T>
nlohmann::json ToJson(const T& facts);

template <class T>
void SaveMeasurement(const std::filesystem::path& path, const T& facts);

// Error(kInvalidFile), naming the file and the key, for a missing key or a wrong type.
template <class T>
T LoadMeasurement(const std::filesystem::path& path);

}  // namespace longspan
