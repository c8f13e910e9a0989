// The program: finds the subcommand, and turns what it throws into one line and an exit code.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"
#include "cli/commands.h"
#include "cli/terminal.h"

namespace longspan {
namespace {

// The first signal that asked for a stop: what the exit code then tells.
std::atomic<int> stopped_by{0};
static_assert(std::atomic<int>::is_always_lock_free);

// The first signal asks for a clean stop, and a second Ctrl-C ends the program at once. Only Ctrl-C does,
// because shells and timeout(1) send SIGHUP and SIGTERM twice; a signal within a tenth of a second is not a
// second press.
void HandleSignal(int signal) {
  if (signal == SIGINT && SinceCancelRequest() > std::chrono::milliseconds(100)) std::_Exit(128 + signal);
  int none = 0;
  stopped_by.compare_exchange_strong(none, signal);
  RequestCancel();
}

bool error_is_terminal = false;  // whether a progress line may have to be ended

// What is mapped is gone: a model or a corpus was truncated while it was read, or its disk failed. What was
// being written has no name yet, so nothing is left to be put right.
void HandleLostFile(int) {
  static std::atomic_flag said;
  while (said.test_and_set()) ::pause();  // another thread says it, and ends the process
  constexpr std::string_view kLine =
      "\nlongspan: a file was truncated, or became unreadable, while it was being read; run the command "
      "again "
      "when its files no longer change\n";
  const std::string_view line = kLine.substr(error_is_terminal ? 0 : 1);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(ExitCode(ErrorKind::kIo));
}

void InstallSignalHandlers() {
  error_is_terminal = ::isatty(STDERR_FILENO) != 0;
  struct sigaction action {};
  action.sa_handler = HandleSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction inherited {};
  sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // nohup(1) ignores it
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGBUS, HandleLostFile);
}

// Opens the standard streams that are closed. The next file opened, which may be a model to write, would
// otherwise take the place of standard output and receive what is printed.
void OpenStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // Printing to a closed output must fail, and /dev/full makes it fail.
    if (::fcntl(fd, F_GETFD) < 0) ::open(fd == STDOUT_FILENO ? "/dev/full" : "/dev/null", O_RDWR);
  }
}

// Writes one line to standard error. If it cannot be written, because the terminal was closed, nothing
// changes.
int Report(ErrorKind kind, std::string_view message) {
  Terminal().Leave();
  std::fputs(fmt::format("longspan: {}\n", message).c_str(), stderr);
  const bool stopped = kind == ErrorKind::kCancelled && stopped_by != 0;
  return stopped ? 128 + stopped_by : ExitCode(kind);  // as shells report signals
}

int Main(int argc, char** argv) {
  CLI::App app("longspan stretches the context window of a Llama model and ships the result.", "longspan");
  app.set_version_flag("--version", LONGSPAN_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  // One line, like every other error.
  app.failure_message([](const CLI::App* program, const CLI::Error& error) {
    const std::vector<std::string> rest = program->remaining();
    const bool unknown = program->get_subcommands().empty() && !rest.empty();
    return fmt::format("longspan: {}; see longspan --help\n",
                       unknown ? fmt::format("no command '{}'", rest.front()) : error.what());
  });
  int threads = 0;
  app.add_option("--threads", threads, "Threads to use (default: all)")->check(CLI::Range(1, 1024));
  app.parse_complete_callback([&] {
    if (threads > 0) SetThreads(threads);
  });

  AddExtend(app);
  AddPlan(app);
  AddRecipe(app);
  AddPrepare(app);
  AddTokenizer(app);
  AddTrain(app);
  AddMerge(app);
  AddConvert(app);
  AddImatrix(app);
  AddQuantize(app);
  AddEval(app);
  AddRun(app);
  AddSynth(app);
  AddBench(app);
  AddInspect(app);
  AddTokenize(app);

  try {
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      if (app.exit(error) != 0) return ExitCode(ErrorKind::kBadOption);
    }
    FlushOutput();
    return 0;
  } catch (const Error& error) {
    return Report(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return Report(ErrorKind::kOutOfMemory, "out of memory");
  } catch (const std::filesystem::filesystem_error& error) {
    return Report(ErrorKind::kIo, fmt::format("{}: {}", error.path1().string(), error.code().message()));
  } catch (const std::system_error& error) {
    // fmt throws it for what it cannot print.
    const bool output = std::ferror(stdout) != 0;
    return Report(ErrorKind::kIo, fmt::format("{}: {}", output ? "standard output" : "the operating system",
                                              error.code().message()));
  } catch (const std::exception& error) {
    return Report(ErrorKind::kInternal, fmt::format("internal error: {}", error.what()));
  }
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  longspan::OpenStandardStreams();
  longspan::InstallSignalHandlers();
  return longspan::Main(argc, argv);
}
