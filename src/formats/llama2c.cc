#include "formats/llama2c.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "base/file.h"
#include "formats/byte_reader.h"
#include "formats/llama_gguf.h"
#include "formats/wrong_file.h"

namespace longspan {
namespace {

constexpr std::int64_t kBytesFirst = 3;  // after <unk>, <s> and </s>, as in every Llama 2 vocabulary
constexpr std::int64_t kBytesCount = 256;

// tokenizer.ggml.token_type
enum class TokenType : std::int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

LlamaConfig ReadHeader(ByteReader& reader, const std::string& where) {
  LlamaConfig c;
  c.dim = reader.Read<std::int32_t>("dim");
  c.hidden_dim = reader.Read<std::int32_t>("hidden_dim");
  c.layers = reader.Read<std::int32_t>("number of layers");
  c.heads = reader.Read<std::int32_t>("number of heads");
  c.kv_heads = reader.Read<std::int32_t>("number of KV heads");
  const std::int64_t vocabulary = reader.Read<std::int32_t>("vocabulary size");
  c.context = reader.Read<std::int32_t>("window");
  c.vocab_size = std::abs(vocabulary);
  c.tied_embeddings = vocabulary > 0;
  if (c.heads < 1 || c.dim % c.heads != 0) {
    Fail(ErrorKind::kInvalidFile, "{}: not a llama2.c checkpoint: width {} does not divide among {} heads",
         where, c.dim, c.heads);
  }
  c.head_dim = c.dim / c.heads;
  c.norm_epsilon = 1e-5;
  c.rope_theta = 10000.0;
  c.Validate(where);
  return c;
}

// SentencePiece marks a space in a token as U+2581.
std::string EscapeSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ')
      out += "\xe2\x96\x81";
    else
      out += c;
  }
  return out;
}

}  // namespace

Llama2cModel ReadLlama2c(const std::filesystem::path& path) {
  const auto mapped = MappedFile::Open(path);
  RefuseWrongFile(mapped->bytes(), path.string());
  ByteReader reader(mapped->bytes(), path.string());
  Llama2cModel model;
  LlamaConfig& c = model.config;
  c = ReadHeader(reader, path.string());
  c.name = path.stem().string();

  const auto take = [&](const char* what, std::vector<std::int64_t> shape) {
    const std::int64_t size = TensorBytes(Type::kF32, shape);
    const auto bytes = reader.Take(static_cast<std::uint64_t>(size), what);
    return Tensor(Type::kF32, std::move(shape), bytes, mapped);
  };
  Weights& w = model.weights;
  w.embedding = take("token embedding", {c.vocab_size, c.dim});
  w.layers.resize(c.layers);
  const auto take_layers = [&](const char* what, Tensor LayerWeights::*member,
                               std::vector<std::int64_t> shape) {
    for (LayerWeights& layer : w.layers) layer.*member = take(what, shape);
  };
  take_layers("attention norm", &LayerWeights::attention_norm, {c.dim});
  take_layers("q", &LayerWeights::q, {c.q_dim(), c.dim});
  take_layers("k", &LayerWeights::k, {c.kv_dim(), c.dim});
  take_layers("v", &LayerWeights::v, {c.kv_dim(), c.dim});
  take_layers("o", &LayerWeights::o, {c.dim, c.q_dim()});
  take_layers("mlp norm", &LayerWeights::mlp_norm, {c.dim});
  take_layers("gate", &LayerWeights::gate, {c.hidden_dim, c.dim});
  take_layers("down", &LayerWeights::down, {c.dim, c.hidden_dim});
  take_layers("up", &LayerWeights::up, {c.hidden_dim, c.dim});
  w.output_norm = take("output norm", {c.dim});
  // Cosines and sines of every position, which the model computes for itself.
  take("RoPE table", {2, c.context, c.head_dim / 2});
  w.output = c.tied_embeddings ? w.embedding : take("output", {c.vocab_size, c.dim});
  if (reader.remaining() != 0) reader.FailAt("{} bytes follow the last tensor", reader.remaining());
  w.Validate(c, path.string());
  return model;
}

GgufMetadata ReadLlama2cTokenizer(const std::filesystem::path& path, std::int64_t vocab_size) {
  const auto mapped = MappedFile::Open(path);
  RefuseWrongFile(mapped->bytes(), path.string());
  ByteReader reader(mapped->bytes(), path.string());
  const auto longest = reader.Read<std::int32_t>("longest token");
  const std::size_t count = reader.CheckCount(static_cast<std::uint64_t>(vocab_size), 8, "tokens");
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  tokens.reserve(count);
  scores.reserve(count);
  types.reserve(count);
  for (std::int64_t id = 0; id < vocab_size; ++id) {
    scores.push_back(reader.Read<float>("score"));
    const auto length = reader.Read<std::int32_t>("token length");
    if (length < 0 || length > longest)
      reader.FailAt("token {} has {} bytes, expected 0 to {}", id, length, longest);
    const std::string_view text = reader.ReadText(static_cast<std::uint64_t>(length), "token");
    TokenType type = TokenType::kNormal;
    if (id == 0)
      type = TokenType::kUnknown;
    else if (id < kBytesFirst)
      type = TokenType::kControl;
    else if (id < kBytesFirst + kBytesCount)
      type = TokenType::kByte;
    // llama2.c writes control tokens as it would print them, with line breaks around.
    constexpr std::string_view kSpecial[kBytesFirst] = {"<unk>", "<s>", "</s>"};
    if (type == TokenType::kByte && text != fmt::format("<0x{:02X}>", id - kBytesFirst)) {
      reader.FailAt("token {} is '{}', expected '<0x{:02X}>'", id, Printable(text), id - kBytesFirst);
    }
    tokens.push_back(id < kBytesFirst ? std::string(kSpecial[id]) : EscapeSpaces(text));
    types.push_back(static_cast<std::int32_t>(type));
  }
  if (reader.remaining() != 0) {
    reader.FailAt("{} bytes follow token {}: is this the tokenizer of another model?", reader.remaining(),
                  vocab_size - 1);
  }
  GgufMetadata out(path.string());
  out.Set("tokenizer.ggml.model", "llama");
  out.Set("tokenizer.ggml.tokens", std::move(tokens));
  out.Set("tokenizer.ggml.scores", std::move(scores));
  out.Set("tokenizer.ggml.token_type", std::move(types));
  out.Set("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  out.Set("tokenizer.ggml.bos_token_id", std::uint32_t{1});
  out.Set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  out.Set("tokenizer.ggml.add_bos_token", true);
  out.Set("tokenizer.ggml.add_eos_token", false);
  out.Set("tokenizer.ggml.add_space_prefix", true);
  return out;
}

void ConvertLlama2c(const std::filesystem::path& model, const std::filesystem::path& tokenizer,
                    const std::filesystem::path& destination) {
  const Llama2cModel source = ReadLlama2c(model);
  SaveModel(destination, source.config, source.weights,
            ReadLlama2cTokenizer(tokenizer, source.config.vocab_size));
}

}  // namespace longspan
