#include "convert/hf_files.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/hf/tokenizer_config.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

// Weights in other formats. A list of what is not read errs on the safe side: at worst, a file counts that
// changes nothing.
constexpr std::array<std::string_view, 10> kNotRead{".bin",  ".pt",   ".pth",  ".ckpt", ".h5",
                                                    ".onnx", ".gguf", ".ggml", ".ot",   ".msgpack"};

bool IsRead(const fs::path& file) {
  return !file.filename().string().starts_with('.') &&
         std::ranges::find(kNotRead, file.extension().string()) == kNotRead.end();
}

std::vector<fs::path> FilesOf(const fs::path& folder) {
  std::vector<fs::path> files;
  try {
    for (const auto& entry : fs::directory_iterator(folder)) {
      std::error_code dangling;
      if (entry.is_regular_file(dangling)) files.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& error) {
    Fail(ErrorKind::kIo, "{}: cannot list the folder: {}", folder.string(), error.code().message());
  }
  return files;
}

}  // namespace

std::vector<fs::path> HfModelFiles(const fs::path& folder) {
  std::vector<fs::path> files = FilesOf(folder);
  std::erase_if(files, [](const fs::path& file) { return !IsRead(file); });
  const fs::path templates = folder / kChatTemplatesFolder;
  std::error_code absent;
  if (fs::is_directory(templates, absent)) std::ranges::copy(FilesOf(templates), std::back_inserter(files));
  std::ranges::sort(files);
  return files;
}

void CheckIsHfModel(const fs::path& folder) {
  if (fs::exists(folder / "adapter_config.json")) {
    Fail(ErrorKind::kUnsupported,
         "{}: is the folder of an adapter, expected that of a model; name the adapter's base, with the "
         "adapter "
         "folded in by longspan merge where it is to count",
         folder.string());
  }
  if (!fs::exists(folder / "config.json")) {
    Fail(ErrorKind::kUnsupported,
         "{}: expected the folder of a Hugging Face model, found no config.json in it", folder.string());
  }
}

}  // namespace longspan
