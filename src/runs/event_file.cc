#include "runs/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "runs/crc32c.h"

namespace longspan {
namespace {

static_assert(std::endian::native == std::endian::little);

template <class T>
void AppendFixed(std::string& to, T value) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  to.append(bytes, sizeof(T));
}

std::uint32_t Masked(std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u; }

// A message of protocol buffers in the making.
class Message {
 public:
  void Varint(int field, std::int64_t value) {
    Tag(field, 0);
    AppendVarint(static_cast<std::uint64_t>(value));
  }
  void Double(int field, double value) {
    Tag(field, 1);
    AppendFixed(bytes_, value);
  }
  void Float(int field, float value) {
    Tag(field, 5);
    AppendFixed(bytes_, value);
  }
  void Bytes(int field, std::string_view value) {
    Tag(field, 2);
    AppendVarint(value.size());
    bytes_ += value;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void Tag(int field, unsigned wire_type) { AppendVarint(static_cast<unsigned>(field) << 3 | wire_type); }
  void AppendVarint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

Message Event(std::int64_t step, double wall_time) {
  Message event;
  event.Double(1, wall_time);
  event.Varint(2, step);
  return event;
}

std::string HostName() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "host";
  return name;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, double wall_time) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) Fail(ErrorKind::kIo, "{}: cannot be made: {}", folder.string(), error.message());
  const std::string stem = fmt::format("events.out.tfevents.{:010}.{}.{}",
                                       static_cast<std::int64_t>(wall_time), HostName(), ::getpid());
  for (int number = 0; file_ < 0; ++number) {
    path_ = folder / fmt::format("{}.{}", stem, number);
    file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file_ < 0 && errno != EEXIST)
      Fail(ErrorKind::kIo, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
  }
  Message version;
  version.Double(1, wall_time);
  version.Bytes(3, "brain.Event:2");
  AddRecord(version.bytes());
}

EventFile::~EventFile() { ::close(file_); }

void EventFile::AddRecord(const std::string& data) {
  std::string record;
  AppendFixed(record, static_cast<std::uint64_t>(data.size()));
  AppendFixed(record, Masked(record));
  record += data;
  AppendFixed(record, Masked(data));
  const ::off_t begin = ::lseek(file_, 0, SEEK_END);
  for (std::size_t done = 0; done < record.size();) {
    const ::ssize_t written = ::write(file_, record.data() + done, record.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int why = errno;
      // Half a record would end the file for its readers.
      [[maybe_unused]] const int cut = ::ftruncate(file_, begin);
      Fail(ErrorKind::kIo, "{}: cannot be written: {}", path_.string(), std::strerror(why));
    }
    done += static_cast<std::size_t>(written);
  }
}

void EventFile::AddStart(std::int64_t step, double wall_time) {
  Message log, event = Event(step, wall_time);
  log.Varint(1, 1);
  event.Bytes(7, log.bytes());
  AddRecord(event.bytes());
}

void EventFile::AddScalars(std::int64_t step, double wall_time, std::span<const Scalar> scalars) {
  Message summary, event = Event(step, wall_time);
  for (const Scalar& scalar : scalars) {
    Message value;
    value.Bytes(1, scalar.tag);
    value.Float(2, static_cast<float>(scalar.value));
    summary.Bytes(1, value.bytes());
  }
  event.Bytes(5, summary.bytes());
  AddRecord(event.bytes());
}

void EventFile::AddText(std::int64_t step, double wall_time, std::string_view tag, std::string_view text) {
  Message dim, shape, tensor, plugin, metadata, value, summary, event = Event(step, wall_time);
  dim.Varint(1, 1);
  shape.Bytes(2, dim.bytes());
  tensor.Varint(1, 7);
  tensor.Bytes(2, shape.bytes());
  tensor.Bytes(8, text);
  plugin.Bytes(1, "text");
  metadata.Bytes(1, plugin.bytes());
  value.Bytes(1, tag);
  value.Bytes(8, tensor.bytes());
  value.Bytes(9, metadata.bytes());
  summary.Bytes(1, value.bytes());
  event.Bytes(5, summary.bytes());
  AddRecord(event.bytes());
}

}  // namespace longspan
