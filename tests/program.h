// Running longspan as a user does: arguments in, output and exit code out.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/testing/temporary_folder.h"

extern char** environ;

namespace longspan {

struct Outcome {
  int code = -1;  // 128 + n where signal n ended it
  std::string out, err;
};

// The model that comes with longspan.
inline const std::string kBase = std::string(LONGSPAN_SOURCE_DIR) + "/models/longspan-base.gguf";

// A folder of the test's own, and the program running in it.
class Workplace {
 public:
  std::string operator/(const std::string& name) const { return (folder_ / name).string(); }

  // `out_to` takes standard output instead of Outcome::out: "/dev/full" is a disk without room. "": it is
  // closed.
  Outcome Run(const std::vector<std::string>& arguments, std::optional<std::string> out_to = {}) const {
    return Wait(Start(arguments, out_to), out_to);
  }

  // The same in two parts, for tests that do something meanwhile. `in_from` is standard input.
  pid_t Start(const std::vector<std::string>& arguments, std::optional<std::string> out_to = {},
              const std::string& in_from = "/dev/null") const {
    const std::string out = *this / "stdout", err = *this / "stderr";
    std::vector<std::string> words{LONGSPAN_PROGRAM};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);

    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, in_from.c_str(), O_RDONLY | O_NOCTTY, 0);
    if (out_to && out_to->empty())
      posix_spawn_file_actions_addclose(&files, 1);
    else
      posix_spawn_file_actions_addopen(&files, 1, out_to.value_or(out).c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0600);
    posix_spawn_file_actions_addopen(&files, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t process = 0;
    const int error = posix_spawn(&process, argv[0], &files, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (error != 0) throw std::runtime_error("cannot start " + words[0]);
    return process;
  }
  Outcome Wait(pid_t process, std::optional<std::string> out_to = {}) const {
    int status = 0;
    ::waitpid(process, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            out_to ? std::string() : ReadFile(*this / "stdout"), ReadFile(*this / "stderr")};
  }

 private:
  TestFolder folder_;
};

// Pages of the repository as documents, in a folder of the test's own.
inline std::string Documents(const Workplace& place) {
  std::filesystem::create_directory(place / "docs");
  for (const char* page : {"architecture.md", "formats.md", "performance.md", "quantisation.md"})
    std::filesystem::copy(std::string(LONGSPAN_SOURCE_DIR) + "/docs/" + page,
                          place / ("docs/" + std::string(page)));
  return place / "docs";
}

}  // namespace longspan
