// Kernels chosen by time (FORJA_TUNE), which is taken once: a choice holds for all environments and, where a file can
// be kept (choice_file.h), for later processes, since variants differ in rounding.
#pragma once

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "choice_file.h"
#include "error.h"

namespace forja {

// FORJA_TUNE, or `unset` where it is not set or empty. False with an error where it is neither 0 nor 1.
inline bool read_tune(bool unset, bool* tune, fj_error* error) {
  const char* given = getenv("FORJA_TUNE");
  *tune = given == nullptr || *given == '\0' ? unset : strcmp(given, "1") == 0;
  if (given == nullptr || *given == '\0' || *tune || strcmp(given, "0") == 0) return true;
  set_error(error, FJ_ERR_DEVICE, FJ_NO_INSTRUCTION, "FORJA_TUNE must be 0 or 1: '%s'", given);
  return false;
}

// Of the time of the kernel that would run without measuring: what is to take its place must be that much shorter.
// Less is noise, which would change bits from one machine to the next for nothing.
constexpr double kWorthwhile = 0.95;

// Of kernels, by what identifies a call (call_key of geometry.h) and whatever else the time depends on.
template <class Kernel>
class Choices {
 public:
  // Shared by all environments, never destroyed.
  static Choices& of_process() {
    static auto* instance = new Choices();
    return *instance;
  }

  // Null: not chosen yet.
  const Kernel* find(const std::string& key) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kernels_.find(key);
    return found != kernels_.end() ? found->second : nullptr;
  }

  // Which of these an earlier process chose; null: none.
  const Kernel* recall(const std::string& key, const std::vector<const Kernel*>& kernels) {
    const std::string name = recall_choice(key);
    for (const Kernel* kernel : kernels) {
      if (kernel->name == name) return hold(key, kernel);
    }
    return nullptr;
  }

  // What is chosen from now on: another environment may have been as far in the meantime, and its choice stays.
  const Kernel* settle(const std::string& key, const Kernel* kernel) {
    const Kernel* settled = hold(key, kernel);
    remember_choice(key, settled->name);
    return settled;
  }

 private:
  const Kernel* hold(const std::string& key, const Kernel* kernel) {
    std::lock_guard<std::mutex> lock(mutex_);
    return kernels_.emplace(key, kernel).first->second;
  }

  std::mutex mutex_;
  std::map<std::string, const Kernel*> kernels_;
};

}  // namespace forja
