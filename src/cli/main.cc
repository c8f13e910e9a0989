// The program: finds the subcommand, and turns what it throws into one line and an exit code.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <new>

#include "base/cancel.h"
#include "base/error.h"
#include "base/parallel.h"
#include "cli/commands.h"

namespace longspan {
namespace {

// The first Ctrl-C asks for a clean stop; the second ends the program at once.
void HandleInterrupt(int signal) {
  if (CancelRequested()) std::_Exit(128 + signal);
  RequestCancel();
}

void InstallSignalHandlers() {
  struct sigaction action {};
  action.sa_handler = HandleInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_DFL);
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
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : ExitCode(ErrorKind::kBadOption);
  } catch (const Error& error) {
    fmt::print(stderr, "longspan: {}\n", error.what());
    return ExitCode(error.kind());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "longspan: out of memory\n");
    return ExitCode(ErrorKind::kOutOfMemory);
  } catch (const std::exception& error) {
    fmt::print(stderr, "longspan: internal error: {}\n", error.what());
    return ExitCode(ErrorKind::kInternal);
  }
}

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  longspan::InstallSignalHandlers();
  return longspan::Main(argc, argv);
}
