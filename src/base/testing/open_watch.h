// Which files are opened.
#pragma once

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace longspan {

// Hears whether any of some files is opened, by whichever call.
class OpenWatch {
 public:
  explicit OpenWatch(const std::vector<std::filesystem::path>& files)
      : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    for (const std::filesystem::path& file : files)
      names_[::inotify_add_watch(fd_, file.c_str(), IN_OPEN)] = file.string();
  }
  ~OpenWatch() { ::close(fd_); }
  OpenWatch(const OpenWatch&) = delete;
  OpenWatch& operator=(const OpenWatch&) = delete;

  std::set<std::string> Opened() const {
    std::set<std::string> opened;
    alignas(inotify_event) std::array<char, 4096> buffer;
    for (ssize_t n; (n = ::read(fd_, buffer.data(), buffer.size())) > 0;) {
      for (const char* at = buffer.data(); at < buffer.data() + n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        opened.insert(names_.at(event->wd));
        at += sizeof *event + event->len;
      }
    }
    return opened;
  }

 private:
  int fd_;
  std::map<int, std::string> names_;
};

}  // namespace longspan
