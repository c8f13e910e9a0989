// What the small files of a Hugging Face folder say about its tokenizer: tokenizer_config.json,
// special_tokens_map.json, added_tokens.json, generation_config.json, config.json and chat templates.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/tokenizer_draft.h"

namespace longspan {

enum class SpecialRole { kBos, kEos, kUnknown, kPad };
inline constexpr std::array kSpecialRoles = {SpecialRole::kBos, SpecialRole::kEos, SpecialRole::kUnknown,
                                             SpecialRole::kPad};
// The role's key in those files: "bos_token", beside "bos_token_id".
std::string RoleKey(SpecialRole role);

struct HfTokenizerConfig {
  struct Role {
    std::optional<std::string> name;  // from tokenizer_config.json, or else special_tokens_map.json
    std::optional<std::int64_t> id;   // from generation_config.json, or else config.json
  };
  Role& role(SpecialRole r) { return roles[static_cast<std::size_t>(r)]; }
  const Role& role(SpecialRole r) const { return roles[static_cast<std::size_t>(r)]; }

  std::array<Role, kSpecialRoles.size()> roles;
  std::vector<std::int64_t> ends;  // all of generation_config.json's eos_token_id, if it has more than one
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::vector<AddedToken> added;
  // By name, the template without one as "default".
  std::vector<std::pair<std::string, std::string>> chat_templates;
};

// lstrip, rstrip and single_word of an added token's entry, as tokenizer.json has it too.
TokenEdges ReadTokenEdges(const nlohmann::json& token, const std::string& file);

// Where chat templates stand in files of their own, below the folder.
inline constexpr const char* kChatTemplatesFolder = "additional_chat_templates";

// Files that are missing say nothing. Error(kInvalidFile), naming the file, for what is broken.
HfTokenizerConfig ReadHfTokenizerConfig(const std::filesystem::path& folder);

}  // namespace longspan
