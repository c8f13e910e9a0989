// libFuzzer's entry points. `TARGET --seeds FOLDER` makes the target's seeds and ends.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "fuzz/target.h"

namespace longspan::fuzz {
namespace {

constexpr std::size_t kLongestMessage = 1000;

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
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInternal && IsOneLine(error.what())) return;
    std::fprintf(stderr, "An answer that no user should get: %s\n", error.what());
    std::abort();
  }
}

}  // namespace longspan::fuzz

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc == 3 && std::string_view((*argv)[1]) == "--seeds") {
    longspan::fuzz::MakeSeeds((*argv)[2]);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  longspan::fuzz::Attempt([&] { longspan::fuzz::Parse(input); });
  return 0;
}
