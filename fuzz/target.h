// A fuzz target is one file that defines Parse and MakeSeeds; driver.cc makes a libFuzzer program of it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/function_ref.h"

namespace longspan::fuzz {

// Reads `input` as a file from elsewhere is read. An Error is an answer, if it is one short line and does not
// speak of a bug in longspan; any other exception from Parse, and unbounded memory or time, is a finding.
void Parse(std::span<const std::byte> input);

// Writes a few small inputs that are valid, or nearly.
void MakeSeeds(const std::filesystem::path& folder);

// Does `work` and judges the Error that it may end with, as for Parse: for targets with several things to
// try.
void Attempt(FunctionRef<void()> work);

}  // namespace longspan::fuzz
