// Progress of long work. The library reports; the listener decides what is shown (cli/ draws a bar on a
// terminal and plain lines in a log).
#pragma once

#include <cstdint>
#include <string_view>

namespace longspan {

class Progress {
 public:
  virtual ~Progress() = default;

  // Begins a piece of work of `total` units (0 where unknown), for example ("train", 500, "steps").
  virtual void Start(std::string_view /*label*/, std::int64_t /*total*/, std::string_view /*unit*/) {}
  // `done` units were finished by an earlier run: they count as done, but not towards the rate.
  virtual void Resume(std::int64_t /*done*/) {}
  // `done` units are finished; `note` is a short text such as "loss 3.21".
  virtual void Update(std::int64_t /*done*/, std::string_view /*note*/ = {}) {}
  // For units that take long or differ: how much of the whole is done, in equal parts of work. The time left
  // is then computed from these parts. The first call after Resume says how much an earlier run did.
  virtual void Work(std::int64_t /*done*/, std::int64_t /*total*/) {}
  // How much of the next unit is done, 0 to 1, where units take long. Each Update begins at 0 again.
  virtual void Part(double /*of_unit*/) {}
  virtual void Finish(std::string_view /*note*/ = {}) {}
  // A line worth keeping, such as a fallback that the user should know of.
  virtual void Message(std::string_view /*line*/) {}
};

// A listener that ignores everything.
Progress& NoProgress();

}  // namespace longspan
