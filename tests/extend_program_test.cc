// extend and plan without a recipe, from outside.
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/machine.h"
#include "program.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::vector<std::string> FilesIn(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(folder));
  return files;
}

TEST(ExtendWithoutRecipe, ChoosesRunsAndGoesOn) {
  const Workplace place;
  const std::vector<std::string> command{"extend",       kBase,  Documents(place), "--to", "1024",
                                         "--steps",      "2",    "--types",        "Q8_0", "--out",
                                         place / "long", "--yes"};
  const Outcome first = place.Run(command);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("context.window"));  // what was chosen, and why
  EXPECT_THAT(first.out, HasSubstr("It fits."));
  EXPECT_THAT(first.out, testing::ContainsRegex("Types compared with the merged model \\(.*\\) on [0-9]+ "
                                                "tokens, in windows of [0-9]+:"));
  EXPECT_THAT(FilesIn(place / "long/release"),
              testing::IsSupersetOf({"README.md", "SHA256SUMS", "longspan-base-1k-Q8_0.gguf"}));
  EXPECT_THAT(ReadFile(place / "long/recipe.yml"), HasSubstr("# "));  // its reasons stand beside the keys

  const Outcome again = place.Run(command);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("train: up to date"));

  std::vector<std::string> other = command;
  other[4] = "2048";
  const Outcome refused = place.Run(other);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("name another --out"));
}

// What nobody saw is not begun where the memory does not suffice. The recipe is there to be edited.
TEST(ExtendWithoutRecipe, RefusesWhatDoesNotFit) {
  constexpr std::uint64_t kNeeded = std::uint64_t{64} << 30;  // of keys and values, at 2^24 tokens
  if (AvailableMemoryBytes() >= kNeeded) GTEST_SKIP() << "it fits this machine";
  const Workplace place;
  // So many steps that there is time to measure at the target.
  std::vector<std::string> command{"plan",    kBase,        Documents(place), "--to",         "16777216",
                                   "--steps", "1000000000", "--out",          place / "long", "--json"};
  const Outcome asked = place.Run(command);
  ASSERT_EQ(asked.code, 0) << asked.err;  // the question is answered
  ASSERT_FALSE(nlohmann::json::parse(asked.out)["advice"].empty()) << asked.out;
  command.front() = "extend";
  command.back() = "--yes";
  for (int i = 0; i < 2; ++i) {
    const Outcome outcome = place.Run(command);
    EXPECT_EQ(outcome.code, 6);
    EXPECT_THAT(outcome.err, HasSubstr("long/recipe.yml: does not fit this machine: evaluate-base: needs "));
    EXPECT_THAT(outcome.err, HasSubstr("lower eval.contexts, eval.passkey.lengths"));
    EXPECT_FALSE(fs::exists(place / "long/release.work"));
  }
  EXPECT_THAT(ReadFile(place / "long/recipe.yml"), HasSubstr("target: 16777216"));
  const Outcome plan = place.Run({"plan", place / "long/recipe.yml"});
  EXPECT_EQ(plan.code, 0);
  EXPECT_THAT(plan.out, HasSubstr(" years"));
  EXPECT_THAT(plan.out, HasSubstr("Does not fit: evaluate-base: needs "));
}

// A recipe that cannot fit is refused before hours of training, and not when the time comes.
TEST(ExtendRecipe, RefusesWhatCannotFit) {
  constexpr std::uint64_t kNeeded = std::uint64_t{64} << 30;
  if (MemoryBytes() >= kNeeded) GTEST_SKIP() << "it fits this machine";
  const Workplace place;
  WriteFile(place / "r.yml", "base: {model: " + kBase + "}\ndata: {inputs: ['" + Documents(place) +
                                 "'], validation: 0.3}\ncontext: {target: 16777216, window: 64}\n"
                                 "train: {learning_rate: 1e-3, steps: 1000000, rank: 2}\n"
                                 "eval: {contexts: [64], passkey: {lengths: [16777216], depths: 1}}\n"
                                 "release: {name: x, license: mit, out: out}\n");
  const Outcome outcome = place.Run({"extend", place / "r.yml"});
  EXPECT_EQ(outcome.code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("r.yml: does not fit this machine: evaluate-base: needs "));
  EXPECT_FALSE(fs::exists(place / "out.work"));
}

// Without a terminal nobody can be asked.
TEST(ExtendWithoutRecipe, DoesNotBeginUnasked) {
  const Workplace place;
  const Outcome outcome =
      place.Run({"extend", kBase, Documents(place), "--to", "1024", "--out", place / "long"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--yes"));
  EXPECT_FALSE(fs::exists(place / "long"));
}

// A terminal at which somebody is asked and answers.
class Terminal {
 public:
  Terminal() : fd_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (fd_ < 0 || ::grantpt(fd_) != 0 || ::unlockpt(fd_) != 0) throw std::runtime_error("no terminal");
  }
  ~Terminal() { ::close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  std::string Name() const { return ::ptsname(fd_); }
  void Type(std::string_view text) const {
    if (::write(fd_, text.data(), text.size()) < 0) throw std::runtime_error("cannot type");
  }

 private:
  int fd_;
};

TEST(ExtendWithoutRecipe, EveryAnswerButYesSaysThatNothingWasDone) {
  const Workplace place;
  const Terminal terminal;
  const std::string docs = Documents(place);
  for (const std::string answer : {"n\n", "\n", "\x04" /* end of file */, "Ctrl-C"}) {
    const pid_t process =
        place.Start({"extend", kBase, docs, "--to", "1024", "--steps", "2", "--out", place / "long"}, {},
                    terminal.Name());
    const auto start = std::chrono::steady_clock::now();
    while (ReadFile(place / "stderr").find("Begin? [y/N]") == std::string::npos &&
           std::chrono::steady_clock::now() - start < std::chrono::seconds(120))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    answer == "Ctrl-C" ? static_cast<void>(::kill(process, SIGINT)) : terminal.Type(answer);
    const Outcome outcome = place.Wait(process);
    EXPECT_EQ(outcome.code, answer == "Ctrl-C" ? 130 : 0) << answer;
    EXPECT_THAT(outcome.err, HasSubstr(answer == "Ctrl-C" ? "longspan: interrupted\n"
                                                          : "not begun: nothing was written\n"))
        << answer;
    EXPECT_FALSE(fs::exists(place / "long"));
  }
}

// What is written there would be read as documents by the next run.
TEST(ExtendWithoutRecipe, WritesNothingAmongTheDocuments) {
  const Workplace place;
  const std::string docs = Documents(place);
  const std::vector<std::string> before = FilesIn(docs);
  for (const std::string& documents : {docs, docs + "/*"}) {
    for (const char* command : {"extend", "plan"}) {
      const Outcome outcome = place.Run({command, kBase, documents, "--to", "1024", "--out", docs});
      EXPECT_EQ(outcome.code, 2);
      EXPECT_THAT(outcome.err,
                  HasSubstr(docs + ": the recipe and all results would lie among the documents, "));
      EXPECT_THAT(outcome.err, HasSubstr("another --out"));
      EXPECT_EQ(FilesIn(docs), before);
    }
  }
}

TEST(ExtendWithoutRecipe, FaultsOfTheCommandLineSayWhatToGive) {
  const Workplace place;
  const std::string docs = Documents(place);
  EXPECT_THAT(place.Run({"extend", kBase, docs}).err, HasSubstr("--to"));
  EXPECT_THAT(place.Run({"extend", kBase, "--to", "1024"}).err, HasSubstr("documents"));
  EXPECT_THAT(place.Run({"extend", docs}).err, HasSubstr("no recipe"));
  EXPECT_THAT(place.Run({"extend", "absent.gguf", docs, "--to", "1024"}).err, HasSubstr("absent.gguf"));
  EXPECT_THAT(place.Run({"plan", kBase, docs, "--to", "512"}).err, HasSubstr("512 tokens already"));
  const Outcome swapped = place.Run({"extend", docs, kBase, "--to", "1024", "--yes"});
  EXPECT_EQ(swapped.code, 2);
  EXPECT_THAT(swapped.err, HasSubstr(docs + ": expected a model, as a GGUF file or a Hugging Face folder"));
  fs::create_symlink("nowhere", place / "dangling");
  WriteFile(place / "file", "precious");
  for (const auto& [out, found] :
       {std::pair{"dangling", "a link that leads to no folder"}, {"file", "a file"}}) {
    const Outcome outcome = place.Run({"extend", kBase, docs, "--to", "1024", "--yes", "--out", place / out});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err,
                HasSubstr(std::string(out) + ": expected a folder for the recipe and all results, found " +
                          found + "; name another --out"));
  }
}

TEST(Plan, WritesNothingAndAddsUp) {
  const Workplace place;
  const Outcome outcome =
      place.Run({"plan", kBase, Documents(place), "--to", "1024", "--out", place / "long", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  double seconds = 0;
  for (const auto& stage : json["stages"]) seconds += stage["seconds"].get<double>();
  EXPECT_NEAR(json["seconds"].get<double>(), seconds, 1e-6 * seconds);
  EXPECT_FALSE(fs::exists(place / "long"));
}

}  // namespace
}  // namespace longspan
