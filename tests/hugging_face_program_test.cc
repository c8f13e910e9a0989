// Hugging Face's folders and PEFT's adapters from outside, as their programs save them and as downloads leave
// them.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kWidth = 256;  // of that model

// safetensors by hand, so that the tests say what is in the files and not longspan's own writer.
struct HfTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
using HfTensors = std::map<std::string, HfTensor>;

void WriteTensors(const std::string& path, const HfTensors& tensors) {
  json header;
  std::string data;
  for (const auto& [name, t] : tensors) {
    header[name] = {{"dtype", t.dtype},
                    {"shape", t.shape},
                    {"data_offsets", {data.size(), data.size() + t.bytes.size()}}};
    data += t.bytes;
  }
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  WriteFile(path, std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + text + data);
}

HfTensor ReadTensor(const std::string& path, const std::string& name) {
  const std::string file = ReadFile(path);
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof(size));
  const json entry = json::parse(file.substr(sizeof(size), size)).at(name);
  const std::size_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
  return {entry["dtype"], entry["shape"], file.substr(sizeof(size) + size + begin, end - begin)};
}

// Numbers of both signs that are never zero.
HfTensor Noise(std::int64_t rows, std::int64_t cols, double scale) {
  HfTensor t{"F32", {rows, cols}, {}};
  for (std::int64_t i = 0; i < rows * cols; ++i) {
    const auto x = static_cast<float>(scale * std::sin(1.7 * static_cast<double>(i) + 0.3));
    t.bytes.append(reinterpret_cast<const char*>(&x), sizeof(x));
  }
  return t;
}

void WriteAdapter(const std::string& folder, const HfTensors& tensors, const json& more = json::object()) {
  fs::create_directory(folder);
  WriteTensors(folder + "/adapter_model.safetensors", tensors);
  json config{{"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 8}, {"init_lora_weights", true}};
  config.update(more);
  WriteFile(folder + "/adapter_config.json", config.dump());
}

HfTensors QueryAdapter() {
  const std::string q = "base_model.model.model.layers.0.self_attn.q_proj.";
  return {{q + "lora_A.weight", Noise(4, kWidth, 0.05)}, {q + "lora_B.weight", Noise(kWidth, 4, 0.05)}};
}

std::string Succeed(const Workplace& place, const std::vector<std::string>& arguments) {
  const Outcome outcome = place.Run(arguments);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return outcome.out;
}

// The message that ends the command: the last line, because a conversion prints other lines before it.
std::string Refusal(const Workplace& place, const std::vector<std::string>& arguments) {
  const Outcome outcome = place.Run(arguments);
  EXPECT_GT(outcome.code, 0);
  EXPECT_NE(outcome.code, 70) << "an internal error";
  std::string message = outcome.err.substr(outcome.err.find("longspan: "));
  EXPECT_EQ(message.find('\n'), message.size() - 1) << outcome.err;
  return message;
}

json Tokens(const Workplace& place, std::vector<std::string> model) {
  model.insert(model.begin(), "run");
  // Exact, because roundings that tip over would tell two forms of one model apart.
  for (const char* word : {"-p", "Once upon a time", "-n", "20", "--greedy", "--json", "--threads", "1",
                           "--activations", "exact"})
    model.emplace_back(word);
  const std::string out = Succeed(place, model);
  return out.empty() ? json() : json::parse(out).at("tokens");
}

void EditConfig(const std::string& folder, const json& keys) {
  json config = json::parse(ReadFile(folder + "/config.json"));
  config.update(keys);
  WriteFile(folder + "/config.json", config.dump());
}

TEST(HuggingFace, Llama3DivisorsFollowANewTheta) {
  const Workplace place;
  Succeed(place, {"convert", kBase, place / "hf"});
  EditConfig(place / "hf", {{"rope_theta", 500000.0},
                            {"rope_scaling",
                             {{"rope_type", "llama3"},
                              {"factor", 32.0},
                              {"low_freq_factor", 1.0},
                              {"high_freq_factor", 4.0},
                              {"original_max_position_embeddings", 8192}}}});
  Succeed(place, {"convert", place / "hf", place / "llama3.gguf"});
  WriteAdapter(place / "adapter", QueryAdapter());
  Succeed(place, {"merge", place / "llama3.gguf", place / "adapter", place / "merged.gguf", "--rope-theta",
                  "2000000"});
  // The divisors become the four numbers again only where they belong to the new theta.
  Succeed(place, {"convert", place / "merged.gguf", place / "back"});
  const json config = json::parse(ReadFile(place / "back" + "/config.json"));
  EXPECT_EQ(config["rope_theta"], 2e6);
  EXPECT_EQ(config["rope_scaling"]["rope_type"], "llama3");
  EXPECT_EQ(config["rope_scaling"]["factor"], 32);
  EXPECT_EQ(config["rope_scaling"]["original_max_position_embeddings"], 8192);
}

TEST(HuggingFace, AnAdapterOfATiedEmbeddingRunsAndMerges) {
  const Workplace place;
  Succeed(place, {"convert", kBase, place / "hf", "--type", "F32"});
  const HfTensor embedding = ReadTensor(place / "hf" + "/model.safetensors", "model.embed_tokens.weight");
  const std::string name = "base_model.model.model.embed_tokens.";
  HfTensors tensors{{name + "base_layer.weight", embedding},
                    {name + "lora_embedding_A", Noise(4, embedding.shape[0], 0.3)},
                    {name + "lora_embedding_B", Noise(kWidth, 4, 0.3)}};
  WriteAdapter(place / "adapter", tensors);
  Succeed(place, {"merge", kBase, place / "adapter", place / "merged.gguf"});
  const json adapted = Tokens(place, {kBase, "--adapter", place / "adapter"});
  EXPECT_NE(adapted, Tokens(place, {kBase}));
  EXPECT_EQ(adapted, Tokens(place, {place / "merged.gguf"}));

  tensors[name + "base_layer.weight"].bytes[3] ^= 0x40;
  WriteAdapter(place / "other", tensors);
  EXPECT_THAT(Refusal(place, {"merge", kBase, place / "other", place / "x.gguf"}),
              HasSubstr("embed_tokens.base_layer.weight: differs from the base's embedding"));
  EXPECT_FALSE(fs::exists(place / "x.gguf"));
}

TEST(HuggingFace, AnAdapterOfTheLmHeadMergesAsPeftSavesIt) {
  const Workplace place;
  Succeed(place, {"convert", kBase, place / "hf", "--type", "F32"});
  const std::string weights = place / "hf" + "/model.safetensors";
  HfTensors model;
  std::string file = ReadFile(weights);
  std::uint64_t size = 0;
  std::memcpy(&size, file.data(), sizeof(size));
  const json header = json::parse(file.substr(sizeof(size), size));
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") model[name] = ReadTensor(weights, name);
  }
  model["lm_head.weight"] = model["model.embed_tokens.weight"];
  WriteTensors(weights, model);
  EditConfig(place / "hf", {{"tie_word_embeddings", false}});
  Succeed(place, {"convert", place / "hf", place / "untied.gguf"});

  const std::string name = "base_model.model.lm_head.";
  const HfTensor& head = model["lm_head.weight"];
  HfTensors tensors{{name + "lora_A.weight", Noise(4, kWidth, 0.1)},
                    {name + "lora_B.weight", Noise(head.shape[0], 4, 0.1)}};
  WriteAdapter(place / "plain", tensors);
  tensors[name + "base_layer.weight"] = head;
  WriteAdapter(place / "saved", tensors);
  for (const char* adapter : {"plain", "saved"})
    Succeed(place, {"merge", place / "untied.gguf", place / adapter, place / adapter + ".gguf"});
  EXPECT_EQ(ReadFile(place / "plain.gguf"), ReadFile(place / "saved.gguf"));
}

TEST(HuggingFace, AdaptersThatCannotBeMergedSayWhy) {
  const Workplace place;
  const auto refusal = [&](const char* adapter) {
    return Refusal(place, {"merge", kBase, place / adapter, place / "x.gguf"});
  };
  WriteAdapter(place / "pissa", QueryAdapter(), {{"init_lora_weights", "pissa_niter_4"}});
  EXPECT_THAT(refusal("pissa"), AllOf(HasSubstr("pissa_niter_4"), HasSubstr("path_initial_model")));
  HfTensors empty = QueryAdapter();
  for (auto& [name, tensor] : empty) tensor = {"F32", {0}, ""};
  WriteAdapter(place / "zero3", empty);
  EXPECT_THAT(refusal("zero3"), HasSubstr("2 of its 2 tensors are empty"));
  WriteAdapter(place / "pickle", QueryAdapter());
  fs::rename(place / "pickle/adapter_model.safetensors", place / "pickle/adapter_model.bin");
  EXPECT_THAT(refusal("pickle"), HasSubstr("adapter_model.bin: its weights are PyTorch pickles"));
  EXPECT_THAT(Refusal(place, {"inspect", place / "pickle"}), HasSubstr("pickles"));
  EXPECT_FALSE(fs::exists(place / "x.gguf"));
}

// A clone without Git LFS, and a download that gave a login page.
TEST(HuggingFace, WrongFilesAreCalledWhatTheyAre) {
  const Workplace place;
  Succeed(place, {"convert", kBase, place / "hf"});
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
      "\nsize 4976698672\n";
  const std::string page = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n";
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json"}) {
    const std::string path = place / "hf" + "/" + name, whole = ReadFile(path);
    WriteFile(path, pointer);
    EXPECT_THAT(Refusal(place, {"convert", place / "hf", place / "x.gguf"}),
                AllOf(HasSubstr(std::string(name) + ": is a Git LFS pointer"), HasSubstr("git lfs pull")));
    WriteFile(path, page);
    EXPECT_THAT(Refusal(place, {"convert", place / "hf", place / "x.gguf"}),
                HasSubstr(std::string(name) + ": is a web page (HTML)"));
    WriteFile(path, whole);
  }
  WriteFile(place / "model.gguf", pointer);
  for (const char* command : {"inspect", "run", "convert"}) {
    std::vector<std::string> words{command, place / "model.gguf"};
    if (words[0] == "convert") words.push_back(place / "x");
    if (words[0] == "run") words.insert(words.end(), {"-p", "x"});
    EXPECT_THAT(Refusal(place, words), HasSubstr("model.gguf: is a Git LFS pointer"));
  }
  EXPECT_FALSE(fs::exists(place / "x.gguf"));
}

TEST(HuggingFace, InspectTakesAFolder) {
  const Workplace place;
  Succeed(place, {"convert", kBase, place / "hf", "--shard-size", "3MB"});
  const json gguf = json::parse(Succeed(place, {"inspect", kBase, "--json"}));
  const json folder = json::parse(Succeed(place, {"inspect", place / "hf", "--json", "--tensors"}));
  EXPECT_EQ(folder["format"], "Hugging Face folder");
  EXPECT_EQ(folder["metadata"]["model_type"], "llama");
  EXPECT_EQ(folder["metadata"]["hidden_size"], kWidth);
  EXPECT_EQ(folder["tensor_count"], gguf["tensor_count"]);
  EXPECT_EQ(folder["parameters"], gguf["parameters"]);
  EXPECT_EQ(folder["tensors"].size(), gguf["tensor_count"]);
  EXPECT_GT(folder["file_bytes"], folder["tensor_bytes"]);
  EXPECT_THAT(Succeed(place, {"inspect", place / "hf"}), HasSubstr("LlamaForCausalLM"));
  fs::create_directory(place / "empty");
  EXPECT_THAT(Refusal(place, {"inspect", place / "empty"}), HasSubstr("neither config.json"));
}

}  // namespace
}  // namespace longspan
