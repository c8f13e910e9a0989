// What the tests of this folder share.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "release/measurements.h"

namespace longspan {

// A folder that is gone when the test is.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// What keeps `text` from being one well-formed XML element, or nothing. Knows the XML that Svg writes: elements,
// double-quoted attributes, the five named entities and decimal references.
std::string XmlFault(std::string_view text);

// A run of the demo's shape, every number different from every other.
Measurements ExampleMeasurements();

}  // namespace longspan
