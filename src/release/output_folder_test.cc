#include "release/output_folder.h"

#include <gmock/gmock.h>

#include <array>

#include "base/file.h"
#include "base/testing/expect_error.h"
#include "base/testing/temporary_folder.h"
#include "release/checksums.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Listener : public Progress {
 public:
  void Message(std::string_view line) override { lines += std::string(line) + "\n"; }
  std::string lines;
};

// A job that writes README.md and plots/a.svg.
class OutputFolderTest : public testing::Test {
 protected:
  OutputFolderTest() { WriteFile(folder_ / "recipe.yml", "a recipe"); }

  OutputFolder Open(OutputPolicy policy = {}, const std::string& recipe = "recipe.yml",
                    const std::string& name = "tiny") {
    return {out_, work_, {folder_ / recipe, name}, policy, digests_, listener_};
  }

  // The message that refuses the job, or nothing where it ran.
  std::string Run(const std::string& text, OutputPolicy policy = {},
                  const std::vector<std::string>& names = {"README.md", "plots/a.svg"}) {
    return ErrorOf([&] {
      OutputFolder out = Open(policy);
      out.Check(names);
      for (const std::string& name : names) WriteFile(out.staging() / name, text + name);
      out.Publish(names);
      out.RemoveAllBut(names);
    });
  }

  TestFolder folder_;
  Listener listener_;
  fs::path out_ = folder_ / "out", work_ = folder_ / "out.work";
  FileDigests digests_{folder_ / "digests.sqlite3", listener_};
};

TEST_F(OutputFolderTest, ReplacesAndRemovesWhatTheJobMade) {
  EXPECT_EQ(Run("1"), "");
  EXPECT_EQ(ReadFile(out_ / "plots/a.svg"), "1plots/a.svg");
  EXPECT_EQ(Run("2", {}, {"README.md"}), "");
  EXPECT_EQ(ReadFile(out_ / "README.md"), "2README.md");
  EXPECT_FALSE(fs::exists(out_ / "plots"));
  EXPECT_THAT(listener_.lines, HasSubstr("a.svg: removed"));
  const OutputFolder again = Open();
  EXPECT_EQ(again.Digests(), (std::map<std::string, std::string>{{"README.md", Sha256Text("2README.md")}}));
}

TEST_F(OutputFolderTest, ForeignFilesAreRefusedThenKept) {
  WriteFile(out_ / "tiny-F16.gguf", "somebody's model");
  WriteFile(out_ / "data/texts/a.txt", "a text");
  fs::create_symlink("nowhere", out_ / "link");
  const std::string message = Run("1");
  for (const char* name : {"tiny-F16.gguf", "data/", "link", "--keep-foreign"})
    EXPECT_THAT(message, HasSubstr(name));
  EXPECT_FALSE(fs::exists(out_ / "README.md"));

  EXPECT_EQ(Run("1", {.keep_foreign = true}), "");
  EXPECT_EQ(Run("2", {.keep_foreign = true}, {"README.md"}), "");
  EXPECT_EQ(ReadFile(out_ / "tiny-F16.gguf"), "somebody's model");
  EXPECT_EQ(ReadFile(out_ / "data/texts/a.txt"), "a text");
  EXPECT_TRUE(fs::is_symlink(out_ / "link"));
  EXPECT_EQ(Open().Digests().size(), 1u);
}

TEST_F(OutputFolderTest, AFileInTheWayIsReplacedOnlyWhenForced) {
  WriteFile(out_ / "README.md", "written by hand");
  EXPECT_THAT(Run("1"), HasSubstr("to write README.md, which is there"));
  EXPECT_THAT(Run("1", {.keep_foreign = true}), HasSubstr("README.md"));
  EXPECT_EQ(ReadFile(out_ / "README.md"), "written by hand");
  EXPECT_EQ(Run("1", {.force = true}), "");
  EXPECT_EQ(ReadFile(out_ / "README.md"), "1README.md");
  EXPECT_EQ(Run("2"), "");
}

TEST_F(OutputFolderTest, AChangedFileIsReplacedOnlyWhenForced) {
  EXPECT_EQ(Run("1"), "");
  WriteFile(out_ / "README.md", "edited");
  EXPECT_THAT(Run("2"), HasSubstr("changed since this job wrote it: README.md"));
  EXPECT_EQ(ReadFile(out_ / "README.md"), "edited");
  EXPECT_EQ(Run("2", {.force = true}), "");
  EXPECT_EQ(ReadFile(out_ / "README.md"), "2README.md");
}

TEST_F(OutputFolderTest, AChangedFileIsNeverRemoved) {
  EXPECT_EQ(Run("1"), "");
  WriteFile(out_ / "plots/a.svg", "edited");
  EXPECT_THAT(Run("2", {}, {"README.md"}), HasSubstr("plots/a.svg"));
  EXPECT_EQ(Run("2", {.force = true}, {"README.md"}), "");
  EXPECT_EQ(ReadFile(out_ / "plots/a.svg"), "edited");
  EXPECT_THAT(listener_.lines, HasSubstr("left as it is"));
}

TEST_F(OutputFolderTest, AFileThatAppearsWhileTheJobRunsIsNotReplaced) {
  OutputFolder out = Open();
  const std::array<std::string, 1> names{"README.md"};
  out.Check(names);
  WriteFile(out.staging() / "README.md", "the job's");
  WriteFile(out_ / "README.md", "somebody's");
  EXPECT_THAT(ErrorOf([&] { out.Publish(names); }), HasSubstr("appeared"));
  EXPECT_EQ(ReadFile(out_ / "README.md"), "somebody's");
}

TEST_F(OutputFolderTest, LinksAreNotFollowed) {
  WriteFile(folder_ / "elsewhere/a.svg", "not the job's");
  fs::create_directories(out_);
  fs::create_directory_symlink(folder_ / "elsewhere", out_ / "plots");
  for (const OutputPolicy policy : {OutputPolicy{}, OutputPolicy{true, true}})
    EXPECT_THAT(Run("1", policy), HasSubstr("plots: expected a folder, found a link"));
  fs::remove(out_ / "plots");
  EXPECT_EQ(Run("1"), "");
  fs::remove(out_ / "README.md");
  fs::create_symlink(folder_ / "elsewhere/a.svg", out_ / "README.md");
  EXPECT_THAT(Run("1"), HasSubstr("changed since"));
  EXPECT_EQ(ReadFile(folder_ / "elsewhere/a.svg"), "not the job's");
}

TEST_F(OutputFolderTest, MayBeALinkToAFolder) {
  fs::create_directories(folder_ / "disk");
  fs::create_directory_symlink(folder_ / "disk", out_);
  EXPECT_EQ(Run("1"), "");
  EXPECT_EQ(ReadFile(folder_ / "disk/README.md"), "1README.md");
  EXPECT_EQ(Run("2"), "");
  fs::remove_all(folder_ / "disk");
  EXPECT_THAT(Run("3"), HasSubstr("a link that leads to no folder"));
  fs::remove(out_);
  WriteFile(out_, "a file");
  EXPECT_THAT(Run("3"), HasSubstr("found a file"));
}

TEST_F(OutputFolderTest, AFolderInTheWayIsRefusedEvenWhenForced) {
  WriteFile(out_ / "README.md/notes.txt", "notes");
  EXPECT_THAT(Run("1", {true, true}), HasSubstr("README.md: expected a file, found a folder"));
  EXPECT_EQ(ReadFile(out_ / "README.md/notes.txt"), "notes");
}

TEST_F(OutputFolderTest, TheRecipeMayLieInIt) {
  WriteFile(out_ / "recipe.yml", "a recipe");
  OutputFolder out(out_, work_, {out_ / "recipe.yml", "tiny"}, {}, digests_, listener_);
  EXPECT_EQ(ErrorOf([&] { out.Check(std::array<std::string, 1>{"README.md"}); }), "");
}

// A process killed between recording what it will move and recording that it has.
TEST_F(OutputFolderTest, AKilledMoveIsRecognisedWhicheverWayItEnded) {
  EXPECT_EQ(Run("1"), "");
  const std::string before = ReadFile(work_ / "release.json");
  EXPECT_EQ(Run("2"), "");
  const std::string moved = ReadFile(out_ / "README.md");
  // The record as it stood then: README.md was about to get its second text.
  std::string record = before;
  const std::string none = "\"moving\": {}";
  record.replace(record.find(none), none.size(),
                 fmt::format("\"moving\": {{\"README.md\": \"{}\", \"plots/a.svg\": \"{}\"}}",
                             Sha256Text(moved), Sha256Text("2plots/a.svg")));
  WriteFile(work_ / "release.json", record);
  WriteFile(out_ / "README.md.longspan-tmp-0123456789abcdef", "half a copy");
  WriteFile(out_ / "plots/a.svg", "1plots/a.svg");  // not moved yet
  EXPECT_EQ(Run("3"), "");
  EXPECT_EQ(ReadFile(out_ / "README.md"), "3README.md");
  EXPECT_FALSE(fs::exists(out_ / "README.md.longspan-tmp-0123456789abcdef"));

  WriteFile(work_ / "release.json", record);
  WriteFile(out_ / "README.md", "edited meanwhile");
  EXPECT_THAT(Run("4"), HasSubstr("changed since"));
}

// A folder that programs read as a whole.
class WholeFolderTest : public OutputFolderTest {
 protected:
  // Publishes model/ with these files, each with its name as its contents.
  std::string RunFolder(const std::vector<std::string>& files, OutputPolicy policy = {}) {
    return ErrorOf([&] {
      OutputFolder out = Open(policy);
      out.Check(std::array<std::string, 1>{"README.md"}, std::array<std::string, 1>{"model"});
      const fs::path staged = out.StageFolder("model");
      for (const std::string& file : files) WriteFile(staged / file, file);
      out.PublishFolder("model");
    });
  }
};

TEST_F(WholeFolderTest, IsPublishedInPlaceOfTheEarlierOne) {
  EXPECT_EQ(Run("1", {}, {"README.md"}), "");
  EXPECT_EQ(RunFolder({"a", "b/c"}), "");
  EXPECT_EQ(ReadFile(out_ / "model/b/c"), "b/c");
  WriteFile(work_ / "staging/model/half", "of a killed process");
  EXPECT_EQ(RunFolder({"a", "d"}), "");
  EXPECT_THAT(Open().Digests(),
              testing::UnorderedElementsAre(testing::Key("README.md"), testing::Key("model/a"),
                                            testing::Key("model/d")));
  EXPECT_FALSE(fs::exists(out_ / "model/b"));
  EXPECT_FALSE(fs::exists(out_ / "model/half"));
  EXPECT_EQ(ReadFile(out_ / "README.md"), "1README.md");
}

TEST_F(WholeFolderTest, HoldsNothingForeign) {
  EXPECT_EQ(RunFolder({"a"}), "");
  WriteFile(out_ / "model/foreign", "somebody's");
  fs::create_directory(out_ / "model/empty");
  for (const OutputPolicy policy : {OutputPolicy{}, OutputPolicy{true, false}, OutputPolicy{true, true}}) {
    EXPECT_THAT(
        RunFolder({"a"}, policy),
        HasSubstr(
            "model: is to hold what this job makes and nothing else, found model/empty/, model/foreign"));
  }
  EXPECT_EQ(ReadFile(out_ / "model/foreign"), "somebody's");
  fs::remove(out_ / "model/foreign");
  fs::remove(out_ / "model/empty");
  WriteFile(out_ / "model/a", "edited");
  EXPECT_THAT(RunFolder({"a"}), HasSubstr("changed since this job wrote it: model/a"));
  EXPECT_EQ(RunFolder({"a"}, {.force = true}), "");
}

TEST_F(WholeFolderTest, MayBeThereWithoutAFileAndMustBeAFolder) {
  fs::create_directories(out_ / "model");
  EXPECT_EQ(RunFolder({"a"}), "");
  fs::remove_all(out_ / "model");
  WriteFile(out_ / "model", "a file");
  EXPECT_THAT(RunFolder({"a"}, {true, true}), HasSubstr("model: expected a folder, found a file"));
  fs::remove(out_ / "model");
  WriteFile(folder_ / "elsewhere/a", "not the job's");
  fs::create_directory_symlink(folder_ / "elsewhere", out_ / "model");
  EXPECT_THAT(RunFolder({"a"}, {true, true}), HasSubstr("model: expected a folder, found a link"));
  EXPECT_EQ(ReadFile(folder_ / "elsewhere/a"), "not the job's");
}

TEST_F(OutputFolderTest, AnotherJobsFolderIsRefused) {
  EXPECT_EQ(Run("1"), "");
  WriteFile(folder_ / "other.yml", "another recipe");
  EXPECT_THAT(ErrorOf([&] {
                Open({true, true}, "other.yml", "other");
              }),
              HasSubstr("belongs to another job"));
  EXPECT_EQ(ErrorOf([&] { Open({}, "other.yml"); }), "");            // the recipe was copied
  EXPECT_EQ(ErrorOf([&] { Open({}, "recipe.yml", "other"); }), "");  // the release got another name
  fs::remove(folder_ / "recipe.yml");
  EXPECT_EQ(ErrorOf([&] { Open({}, "other.yml", "other"); }), "");  // both, but the first recipe is gone
}

TEST_F(OutputFolderTest, ARecordThatCannotBeReadIsAnErrorThatSaysWhatToDo) {
  EXPECT_EQ(Run("1"), "");
  const std::string record = ReadFile(work_ / "release.json");
  for (const std::string& bad :
       {std::string(), record.substr(0, record.size() / 2), std::string("[]"),
        std::string(R"({"version": 9})"), std::string(R"({"version": 1, "recipe": 1})")}) {
    WriteFile(work_ / "release.json", bad);
    const std::string message = Run("2", {true, true});
    EXPECT_THAT(message, HasSubstr("release.json")) << bad;
    EXPECT_THAT(message, HasSubstr("away to begin anew")) << bad;
  }
  EXPECT_EQ(ReadFile(out_ / "README.md"), "1README.md");
}

}  // namespace
}  // namespace longspan
