#include "convert/hf_card.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/yaml_section.h"
#include "convert/decimal.h"
#include "formats/byte_reader.h"
#include "formats/json_object.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr std::uint64_t kMaxCard = 4 << 20, kMaxGeneration = 1 << 20, kMaxYaml = 1 << 20;
constexpr std::string_view kHub = "https://huggingface.co/";

// Keys of the card that have one value, with GGUF's keys. If two mean the same, the first is written back.
constexpr std::array<std::pair<const char*, const char*>, 12> kTexts{
    {{"license", "general.license"},
     {"license_name", "general.license.name"},
     {"license_link", "general.license.link"},
     {"model_name", "general.name"},
     {"model_creator", "general.author"},
     {"author", "general.author"},
     {"model_description", "general.description"},
     {"version", "general.version"},
     {"organization", "general.organization"},
     {"basename", "general.basename"},
     {"finetune", "general.finetune"},
     {"size_label", "general.size_label"}}};
// Lists of models and data sets, and the beginning of GGUF's keys for each.
constexpr std::array<std::pair<const char*, const char*>, 2> kSources{
    {{"base_model", "general.base_model"}, {"datasets", "general.dataset"}}};

// Keys of generation_config.json.
constexpr std::array<std::pair<const char*, const char*>, 4> kSampling{
    {{"temperature", "general.sampling.temp"},
     {"top_p", "general.sampling.top_p"},
     {"min_p", "general.sampling.min_p"},
     {"repetition_penalty", "general.sampling.penalty_repeat"}}};

// The YAML between the first two lines of "---", or nothing.
std::string FrontMatter(const std::string& text) {
  std::string_view rest = text;
  const auto line = [&rest] {
    const std::size_t end = rest.find('\n');
    std::string_view taken = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (taken.ends_with('\r')) taken.remove_suffix(1);
    return taken;
  };
  if (line() != "---") return "";
  std::string yaml;
  while (!rest.empty()) {
    const std::string_view next = line();
    if (next == "---") return yaml.size() <= kMaxYaml ? yaml : "";
    yaml.append(next).append("\n");
  }
  return "";
}

// A scalar, or a list of them.
Strings Texts(const YAML::Node& node) {
  Strings texts;
  if (node.IsScalar()) texts.push_back(node.Scalar());
  if (node.IsSequence()) {
    for (const YAML::Node& element : node) {
      if (element.IsScalar()) texts.push_back(element.Scalar());
    }
  }
  return texts;
}

// "meta-llama/Meta-Llama-3-8B", or the address of a page.
void SetSource(const std::string& prefix, std::string id, GgufMetadata& metadata) {
  const bool is_address = id.find("://") != std::string::npos;
  if (is_address) metadata.Set(prefix + ".repo_url", id);
  if (id.starts_with(kHub)) id = id.substr(kHub.size());
  if (const auto slash = id.find('/');
      slash != std::string::npos && id.find('/', slash + 1) == std::string::npos) {
    metadata.Set(prefix + ".name", id.substr(slash + 1));
    metadata.Set(prefix + ".organization", id.substr(0, slash));
    if (!is_address) metadata.Set(prefix + ".repo_url", std::string(kHub) + id);
  } else if (!is_address) {
    metadata.Set(prefix + ".name", id);
  }
}

void SetFromCard(const YAML::Node& card, GgufMetadata& metadata) {
  for (const auto& [key, ours] : kTexts) {
    const Strings texts = card[key] ? Texts(card[key]) : Strings();
    if (!texts.empty() && !metadata.Contains(ours))
      metadata.Set(ours, fmt::format("{}", fmt::join(texts, ",")));
  }
  for (const auto& [key, ours] : kSources) {
    const Strings ids = card[key] ? Texts(card[key]) : Strings();
    if (ids.empty()) continue;
    metadata.Set(fmt::format("{}.count", ours), static_cast<std::uint32_t>(ids.size()));
    for (std::size_t i = 0; i < ids.size(); ++i) SetSource(fmt::format("{}.{}", ours, i), ids[i], metadata);
  }
  Strings tags = card["tags"] ? Texts(card["tags"]) : Strings();
  for (const std::string& tag : card["pipeline_tag"] ? Texts(card["pipeline_tag"]) : Strings())
    tags.push_back(tag);
  if (!tags.empty()) metadata.Set("general.tags", tags);
  const Strings languages = card["language"] ? Texts(card["language"]) : Strings();
  if (!languages.empty()) metadata.Set("general.languages", languages);
}

void ReadGeneration(const fs::path& path, GgufMetadata& metadata) {
  if (!fs::exists(path)) return;
  const JsonObject json = JsonObject::Read(path, kMaxGeneration);
  if (const auto k = json.Find<std::int64_t>("top_k"); k && std::in_range<std::int32_t>(*k)) {
    metadata.Set("general.sampling.top_k", static_cast<std::int32_t>(*k));
  }
  for (const auto& [key, ours] : kSampling) {
    if (const auto value = json.Find<double>(key)) metadata.Set(ours, static_cast<float>(*value));
  }
}

std::string SourceId(const GgufMetadata& metadata, const std::string& prefix) {
  const auto url = metadata.Find<std::string>(prefix + ".repo_url").value_or("");
  if (url.starts_with(kHub)) return url.substr(kHub.size());
  if (!url.empty()) return url;
  const auto name = metadata.Find<std::string>(prefix + ".name").value_or("");
  const auto organization = metadata.Find<std::string>(prefix + ".organization").value_or("");
  return organization.empty() ? name : organization + "/" + name;
}

std::optional<std::string> CardOf(const GgufMetadata& metadata) {
  YAML::Emitter yaml;
  bool says = false;
  const auto list = [&](const char* key, const Strings& texts) {
    if (texts.empty()) return;
    says = true;
    yaml << YAML::Key << key << YAML::Value << YAML::BeginSeq;
    for (const std::string& text : texts) yaml << YAML::DoubleQuoted << text;
    yaml << YAML::EndSeq;
  };
  yaml << YAML::BeginMap << YAML::Key << "library_name" << YAML::Value << "transformers";
  std::string_view before;
  for (const auto& [key, ours] : kTexts) {
    const auto text = metadata.Find<std::string>(ours);
    if (!text || text->empty() || before == ours) continue;
    before = ours;
    says = true;
    yaml << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << *text;
  }
  for (const auto& [key, ours] : kSources) {
    Strings ids;
    const auto count = metadata.Find<std::int64_t>(fmt::format("{}.count", ours)).value_or(0);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(count, 1000); ++i) {
      if (std::string id = SourceId(metadata, fmt::format("{}.{}", ours, i)); !id.empty())
        ids.push_back(std::move(id));
    }
    list(key, ids);
  }
  list("language", metadata.Find<Strings>("general.languages").value_or(Strings()));
  list("tags", metadata.Find<Strings>("general.tags").value_or(Strings()));
  yaml << YAML::EndMap;
  return says ? std::optional<std::string>(yaml.c_str()) : std::nullopt;
}

// Adds sampling to the generation_config.json that has the ids of special tokens, or to a new one.
void AddSampling(const fs::path& path, const GgufMetadata& metadata) {
  nlohmann::ordered_json sampling;
  if (const auto k = metadata.Find<std::int64_t>("general.sampling.top_k")) sampling["top_k"] = *k;
  for (const auto& [key, ours] : kSampling) {
    if (const auto value = metadata.Find<double>(ours)) sampling[key] = AsWritten(*value);
  }
  if (sampling.is_null()) return;
  nlohmann::json generation =
      fs::exists(path) ? JsonObject::Read(path, kMaxGeneration).value() : nlohmann::json::object();
  generation["do_sample"] = true;
  for (const auto& [key, value] : sampling.items()) generation[key] = value;
  WriteFile(path, JsonText(generation));
}

}  // namespace

void ReadHfCard(const fs::path& folder, GgufMetadata& metadata, Progress& progress) {
  const fs::path readme = folder / "README.md";
  if (fs::exists(readme)) {
    try {
      const std::string yaml = FrontMatter(ReadFile(readme, kMaxCard));
      const YAML::Node card = ParseYaml(readme, yaml);
      if (card.IsMap()) SetFromCard(card, metadata);
    } catch (const Error& error) {
      progress.Message(fmt::format("{}; what it says about the model is left out", error.what()));
    } catch (const YAML::Exception& error) {
      progress.Message(fmt::format("{}: {}; left out", readme.string(), error.what()));
    }
  }
  ReadGeneration(folder / "generation_config.json", metadata);
}

void WriteHfCard(const fs::path& folder, const GgufMetadata& metadata, const std::string& source) {
  AddSampling(folder / "generation_config.json", metadata);
  const auto card = CardOf(metadata);
  if (!card) return;
  const std::string name = metadata.Find<std::string>("general.name").value_or(source);
  const std::string about = metadata.Find<std::string>("general.description").value_or("");
  WriteFile(folder / "README.md", fmt::format("---\n{}\n---\n\n# {}\n\n{}{}Converted from {} by longspan.\n",
                                              *card, name, about, about.empty() ? "" : "\n\n", source));
}

}  // namespace longspan
