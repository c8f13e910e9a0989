// One function a subcommand: each adds itself, with its options, help and example, to the program.
#pragma once

#include <CLI/CLI.hpp>

namespace longspan {

// In the order in which --help lists them. Each lives in the file of its name.
void AddConvert(CLI::App& app);
void AddQuantize(CLI::App& app);
void AddInspect(CLI::App& app);

}  // namespace longspan
