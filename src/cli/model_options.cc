#include "cli/model_options.h"

#include "cli/checks.h"

namespace longspan {

void AddRopeOptions(CLI::App& command, RopeOverride& rope) {
  constexpr const char* kGroup = "RoPE, instead of the file's";
  command.add_option("--rope-theta", rope.theta, "Base of the rotary angles")->check(kPositive)->group(kGroup);
  command
      .add_option_function<std::string>(
          "--rope-scaling", [&rope](const std::string& name) { rope.scaling = RopeScalingKind(name); },
          "none, linear, ntk, yarn or llama3")
      ->check(CLI::IsMember({"none", "linear", "ntk", "yarn", "llama3"}))
      ->group(kGroup);
  command.add_option("--rope-factor", rope.factor, "Target window / original window")
      ->check(kPositive)
      ->group(kGroup);
  command.add_option("--rope-original-context", rope.original_context, "Window before scaling (default: the model's)")
      ->check(kPositive)
      ->group(kGroup);
}

void ModelOptions::AddTo(CLI::App& command) {
  command.add_option("MODEL", path, "GGUF file")->required()->check(CLI::ExistingFile);
  command.add_option("--isa", isa, "Instruction set: auto, avx512, avx2, reference")->capture_default_str();
  AddRopeOptions(command, rope);
}

}  // namespace longspan
