#include "choice_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <unordered_map>

#include "dylib.h"

namespace forja {
namespace {

constexpr uintmax_t kMostBytes = 1 << 20;  // some 25,000 choices; a larger file is begun anew

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

// Empty where nothing says which.
std::string folder() {
  if (const std::string given = environment("FORJA_CACHE_DIR"); !given.empty()) return given;
  const std::string home = environment("HOME");
#if defined(__APPLE__)
  return home.empty() ? "" : home + "/Library/Caches/forja";
#else
  // Only an absolute path counts (XDG Base Directory Specification).
  if (const std::string caches = environment("XDG_CACHE_HOME"); caches[0] == '/') return caches + "/forja";
  return home.empty() ? "" : home + "/.cache/forja";
#endif
}

// FNV-1a.
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

// Tells one build of this library from another.
std::string build() {
  static const int kHere = 0;
  struct stat file {};
  if (stat(dylib_path(&kHere).c_str(), &file) != 0) return "";
  return std::to_string(file.st_size) + ' ' + std::to_string(file.st_mtime) + ' ';
}

class ChoiceFile {
 public:
  ChoiceFile() : build_(build()) {
    const std::string in = folder();
    if (in.empty()) return;
    path_ = in + "/kernels.txt";
    std::error_code none;
    std::filesystem::create_directories(in, none);
    // A pipe or a device under that name would be waited for, or never end.
    const auto kind = std::filesystem::status(path_, none).type();
    if (kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::not_found) path_.clear();
    if (path_.empty()) return;
    const uintmax_t bytes = std::filesystem::file_size(path_, none);
    if (!none && bytes > kMostBytes) std::filesystem::remove(path_, none);
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
      const size_t space = line.find(' ');
      if (space != std::string::npos) names_.insert_or_assign(line.substr(0, space), line.substr(space + 1));
    }
  }

  std::string recall(const std::string& key) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = names_.find(label(key));
    return found != names_.end() ? found->second : "";
  }

  void remember(const std::string& key, const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex_);
    // A full disk may have cut the line before, which is then chosen anew: its end is here at the latest.
    const std::string line = '\n' + label(key) + ' ' + name + '\n';
    names_[label(key)] = name;
    if (path_.empty()) return;
    // One write at the end of the file: processes that choose at the same time do not cut each other's lines.
    const int file = open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return;
    [[maybe_unused]] const ssize_t written = write(file, line.data(), line.size());
    close(file);
  }

 private:
  std::string label(const std::string& key) const {
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, hash_of(build_ + key));
    return text;
  }

  std::mutex mutex_;
  std::string build_, path_;
  std::unordered_map<std::string, std::string> names_;
};

ChoiceFile& choice_file() {
  static auto* kFile = new ChoiceFile();
  return *kFile;
}

}  // namespace

std::string recall_choice(const std::string& key) { return choice_file().recall(key); }

void remember_choice(const std::string& key, const std::string& name) { choice_file().remember(key, name); }

}  // namespace forja
