// The rule for what commands write: an input is never an output, and a file that exists is replaced only with
// --force.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <vector>

namespace longspan {

struct OutputOptions {
  bool force = false;

  void AddTo(CLI::App& command);  // --force

  // Called before a command works. `inputs` are files or folders, all that the command reads.
  // Error(kBadOption) where `out` is one of them, by any path or link, another shard of one or a file within
  // one; where it is a folder or a device; and where it exists without --force. Error(kIo) where no file can
  // be written there. A file that appears after Check is not replaced without --force.
  void Check(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs) const;
};

// The part of the rule that --force does not change.
void CheckNotInput(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs);

}  // namespace longspan
