#include "release/checksums.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"

namespace longspan {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDigits = 64;
constexpr std::size_t kPiece = 1 << 20;

// A relative path that stays inside the folder it is relative to.
bool StaysInside(const fs::path& path) {
  return !path.empty() && path.is_relative() &&
         std::ranges::none_of(path, [](const fs::path& part) { return part == ".."; });
}

}  // namespace

struct Sha256::Context {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> evp{EVP_MD_CTX_new()};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  if (!context_->evp || EVP_DigestInit_ex(context_->evp.get(), EVP_sha256(), nullptr) != 1) {
    Fail(ErrorKind::kInternal, "OpenSSL cannot begin a SHA-256 digest");
  }
}

Sha256::~Sha256() = default;

void Sha256::Update(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(context_->evp.get(), bytes.data(), bytes.size()) != 1) {
    Fail(ErrorKind::kInternal, "OpenSSL cannot continue a SHA-256 digest");
  }
}

std::string Sha256::Hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_->evp.get(), digest.data(), &size) != 1) {
    Fail(ErrorKind::kInternal, "OpenSSL cannot end a SHA-256 digest");
  }
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string Sha256Text(std::string_view text) {
  Sha256 digest;
  digest.Update(text);
  return digest.Hex();
}

std::string Sha256File(const fs::path& path, Progress& progress) {
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || !fs::is_regular_file(path, error))
    Fail(ErrorKind::kIo, "{}: cannot open: expected a readable file", path.string());
  progress.Start(fmt::format("digest of {}", path.filename().string()),
                 static_cast<std::int64_t>(fs::file_size(path, error)), "bytes");
  Sha256 digest;
  std::vector<char> piece(kPiece);
  std::int64_t done = 0;
  while (file) {
    ThrowIfCancelled();
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    digest.Update(std::string_view(piece.data(), static_cast<std::size_t>(file.gcount())));
    done += file.gcount();
    progress.Update(done);
  }
  if (file.bad()) Fail(ErrorKind::kIo, "{}: cannot read: {}", path.string(), std::strerror(errno));
  progress.Finish();
  return digest.Hex();
}

std::string ChecksumLines(const std::map<std::string, std::string>& digests) {
  std::string lines;
  for (const auto& [name, digest] : digests) {
    if (name.find_first_of("\\\n\r") != std::string::npos)
      Fail(ErrorKind::kUnsupported, "the file name {:?} cannot be listed in {}", name, kChecksumsFile);
    lines += fmt::format("{}  {}\n", digest, name);
  }
  return lines;
}

std::vector<ChecksumFault> VerifyChecksums(const fs::path& folder) {
  const fs::path list = folder / kChecksumsFile;
  const std::string text = ReadFile(list, 64 << 20);
  std::vector<ChecksumFault> faults;
  int number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.empty()) continue;

    const std::string_view digest = line.substr(0, kDigits);
    const bool formed = line.size() > kDigits + 2 && line[kDigits] == ' ' &&
                        (line[kDigits + 1] == ' ' || line[kDigits + 1] == '*') &&
                        digest.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    const fs::path name = formed ? fs::path(line.substr(kDigits + 2)) : fs::path();
    if (!StaysInside(name)) {
      Fail(ErrorKind::kInvalidFile,
           "{}:{}: expected 64 hexadecimal digits, two spaces and a file inside the folder, found {:?}",
           list.string(), number, std::string(line.substr(0, 120)));
    }
    if (!fs::is_regular_file(folder / name)) {
      faults.push_back({name.generic_string(), "missing"});
    } else if (Sha256File(folder / name) != digest) {
      faults.push_back({name.generic_string(), "differs"});
    }
  }
  return faults;
}

}  // namespace longspan
