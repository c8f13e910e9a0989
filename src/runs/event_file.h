// TensorBoard's event files, which its readers, and those of Weights & Biases and MLflow, import.
//
// A file is a row of records:
//   bytes     what
//   8         length of the data, little-endian
//   4         masked CRC-32C of these 8 bytes
//   length    data, a message "Event" of protocol buffers
//   4         masked CRC-32C of the data
// Masked: rotated right by 15 bits, plus 0xa282ead8. The first event says "brain.Event:2". Fields of the
// messages, as far as they are written here:
//   Event    1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log {1 status: 1
//   START} Summary  1 value, repeated {1 tag string, 2 simple_value float, 8 tensor, 9 metadata} Tensor   1
//   dtype (7: string), 2 shape {2 dim {1 size}}, 8 string_val Metadata 1 plugin_data {1 plugin_name}
// (tensorboard/compat/proto/{event,summary,tensor}.proto)
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace longspan {

struct Scalar {
  std::string_view tag;
  double value = 0;
};

// Writes one file, whole records at a time, so that a reader beside it, or after a kill, sees no half of one.
class EventFile {
 public:
  // Makes `folder` where it is missing, and in it a new file whose name no other has:
  // events.out.tfevents.SECONDS.HOST.PID.NUMBER. Error(kIo).
  EventFile(const std::filesystem::path& folder, double wall_time);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;

  // Events of `step` and later in other files of the folder no longer count: the run was resumed there.
  void AddStart(std::int64_t step, double wall_time);
  // `wall_time` in seconds since 1970. Error(kIo).
  void AddScalars(std::int64_t step, double wall_time, std::span<const Scalar> scalars);
  // A text that TensorBoard shows as Markdown.
  void AddText(std::int64_t step, double wall_time, std::string_view tag, std::string_view text);

  const std::filesystem::path& path() const { return path_; }

 private:
  void AddRecord(const std::string& data);

  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace longspan
