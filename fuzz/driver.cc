// libFuzzer's entry points. `TARGET --seeds FOLDER` makes the target's seeds, `TARGET --try FILE...` shows
// the answer to each input. Both then end.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "fuzz/target.h"

namespace longspan::fuzz {
namespace {

constexpr std::size_t kLongestMessage = 1000;

bool show_answers = false;

// A message is read in a terminal: one line, and nothing in it that moves the cursor.
bool IsOneLine(std::string_view message) {
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return !message.empty() && message.size() <= kLongestMessage;
}

}  // namespace

void Attempt(FunctionRef<void()> work) {
  try {
    work();
    if (show_answers) std::puts("  accepted");
  } catch (const Error& error) {
    if (show_answers) std::printf("  %s\n", error.what());
    if (error.kind() != ErrorKind::kInternal && IsOneLine(error.what())) return;
    std::fprintf(stderr, "An answer that no user should get: %s\n", error.what());
    std::abort();
  }
}

namespace {

void Try(const std::filesystem::path& path) {
  const std::string input = ReadFile(path);
  std::printf("%s\n", path.c_str());
  Attempt([&] { Parse(std::as_bytes(std::span(input))); });
}

// Whether the program was called for something other than fuzzing.
bool RunCommand(std::span<char* const> arguments) {
  const std::string_view command = arguments.size() > 1 ? arguments[1] : "";
  if (command == "--seeds" && arguments.size() == 3) {
    MakeSeeds(arguments[2]);
  } else if (command == "--try") {
    show_answers = true;
    for (const char* file : arguments.subspan(2)) Try(file);
  } else {
    return false;
  }
  return true;
}

}  // namespace
}  // namespace longspan::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (longspan::fuzz::RunCommand(std::span(*argv, static_cast<std::size_t>(*argc)))) std::exit(0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  longspan::fuzz::Attempt([&] { longspan::fuzz::Parse(input); });
  return 0;
}
