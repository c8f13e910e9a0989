// A whole job of seconds: a random model, a few files of text, and every stage.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/cancel.h"
#include "base/progress.h"
#include "base/testing/temporary_folder.h"
#include "release/extend.h"

namespace longspan {

// Sentences drawn from few words, so that a small vocabulary covers them.
std::string Story(std::uint64_t number, int sentences);

// The test's folder has tiny.gguf, a model with a window of 192, and texts/.
class SmallJob : public testing::Test {
 protected:
  SmallJob();

  // Writes recipe.yml, whose lines are changed by the members below, and does what it says.
  Measurements Run(std::string_view learning_rate = "1e-3", std::string_view out = "out",
                   Progress& progress = NoProgress());

  // When each file below the folders was written.
  std::map<std::string, std::filesystem::file_time_type> Times(std::string_view out = "out") const;

  TestFolder folder_;
  ExtendOptions options_{.version = "test", .isa = "auto", .outputs = {}};
  // Of the recipe: its base, its types, and lines of its sections.
  std::string model_ = "tiny.gguf", types_ = "F16, Q8_0", rope_ = "theta:", data_ = "slice: false",
              eval_ = "inputs: []", release_ = "tags: []";
};

class Listener : public Progress {
 public:
  void Message(std::string_view line) override { lines += std::string(line) + "\n"; }
  std::string lines;
};

// Presses Ctrl-C when the `start`th work of this label has done so much.
class Interrupter : public Progress {
 public:
  explicit Interrupter(std::string label, std::int64_t done, int start = 1)
      : label_(std::move(label)), done_(done), starts_(start) {}
  ~Interrupter() override { ClearCancel(); }
  void Start(std::string_view label, std::int64_t, std::string_view) override {
    active_ = label == label_ && --starts_ == 0;
  }
  void Update(std::int64_t done, std::string_view) override {
    if (active_ && done >= done_) RequestCancel();
  }

 private:
  std::string label_;
  std::int64_t done_;
  int starts_;
  bool active_ = false;
};

}  // namespace longspan
