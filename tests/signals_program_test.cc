// Signals from outside: the program stops cleanly, and its exit code tells which signal it was.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "program.h"

namespace longspan {
namespace {

using Clock = std::chrono::steady_clock;

// Whether the process has a handler for the signal: until then the system would end it.
bool Catches(pid_t process, int signal) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigCgt:"))
      return (std::stoull(line.substr(7), nullptr, 16) >> (signal - 1) & 1) != 0;
  }
  return false;
}

TEST(Signals, ExitCodesTellWhichItWas) {
  const Workplace place;
  const std::string source = LONGSPAN_SOURCE_DIR;
  for (const auto& [signal, code] :
       {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}, std::pair{SIGHUP, 129}}) {
    struct sigaction inherited {};
    ::sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler == SIG_IGN) continue;  // as nohup(1) has it; the program then ignores it too
    // Half an hour of work.
    const pid_t process =
        place.Start({"eval", "ppl", source + "/models/longspan-base.gguf", "--file",
                     source + "/docs/architecture.md", "--context", "512", "--stride", "1"});
    const auto start = Clock::now();
    while (!Catches(process, signal) && Clock::now() - start < std::chrono::seconds(60))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ::kill(process, signal);
    const Outcome outcome = place.Wait(process);
    EXPECT_EQ(outcome.code, code);
    EXPECT_THAT(outcome.err, testing::HasSubstr("longspan: interrupted\n"));
  }
}

// Whether a process has mapped the file.
bool Maps(pid_t process, const std::string& file) {
  std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.ends_with(file)) return true;
  }
  return false;
}

// A model that is truncated while it is read ends the program with SIGBUS, for which the system has no words.
TEST(Signals, AFileTruncatedWhileItIsReadIsAnError) {
  const Workplace place;
  const std::string model = place / "model.gguf";
  std::filesystem::copy_file(kBase, model);
  const pid_t process =
      place.Start({"eval", "ppl", model, "--file", std::string(LONGSPAN_SOURCE_DIR) + "/docs/architecture.md",
                   "--context", "512", "--stride", "1"});
  const auto start = Clock::now();
  while (!Maps(process, model) && Clock::now() - start < std::chrono::seconds(60))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::filesystem::resize_file(model, 0);
  const Outcome outcome = place.Wait(process);
  EXPECT_EQ(outcome.code, 5);
  EXPECT_THAT(outcome.err,
              testing::HasSubstr("longspan: a file was truncated, or became unreadable, while it was"));
}

}  // namespace
}  // namespace longspan
