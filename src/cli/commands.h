// One function a subcommand: each adds itself, with its options, help and example, to the program.
#pragma once

#include <CLI/CLI.hpp>

namespace longspan {

// In the order in which --help lists them. Each lives in the file of its name.
void AddExtend(CLI::App& app);
void AddRecipe(CLI::App& app);
void AddPlan(CLI::App& app);
void AddPrepare(CLI::App& app);
void AddTokenizer(CLI::App& app);
void AddTrain(CLI::App& app);
void AddMerge(CLI::App& app);
void AddConvert(CLI::App& app);
void AddImatrix(CLI::App& app);
void AddQuantize(CLI::App& app);
void AddEval(CLI::App& app);
void AddEvalPositions(CLI::App& eval);  // a subcommand of eval
void AddRun(CLI::App& app);
void AddSynth(CLI::App& app);
void AddBench(CLI::App& app);
void AddInspect(CLI::App& app);
void AddTokenize(CLI::App& app);

}  // namespace longspan
