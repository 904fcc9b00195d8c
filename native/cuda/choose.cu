// choose_kernel of choose.cuh. Candidates run in turns on memory of their own; the shortest time counts.
#include <algorithm>

#include "../core/choices.h"
#include "backend.cuh"
#include "libraries.cuh"

namespace forja::cuda {
namespace {

constexpr int kRounds = 5;
constexpr int kCallsOfShort = 8;  // of a turn, where one takes less than kShort
constexpr float kShort = 0.25f;   // milliseconds
constexpr float kNever = 1e30f;
constexpr int kNumbers = 0x3c;            // every byte of the operands: 0.0115 as float32 and as bfloat16
constexpr uint64_t kPlaceAlignment = 64;  // of a value in an arena

// The libraries' kernels of the opcode that take the call.
std::vector<const Kernel*> vendor_kernels(uint16_t opcode, const Call& call) {
  std::vector<const Kernel*> found;
  const KernelTable& table = kernel_table();
  for (int i = 0; i < table.count; i++) {
    const Kernel& kernel = table.kernels[i];
    if (kernel.opcode == opcode && kernel.vendor != nullptr && kernel.supports(call)) found.push_back(&kernel);
  }
  return found;
}

// Milliseconds of the fastest call of each candidate; empty where there is no memory to try them, or the device says
// no. They are timed as programs run them, from recorded graphs, in which short kernels follow each other faster than
// the host can launch them; a candidate that cannot be recorded is not wanted in a program.
class Trials {
 public:
  Trials(fj_device& device, const Call& like)
      : device_(device), operands_(device.trash), scratch_(device.trash), fault_(device.trash), call_(like) {}
  ~Trials() {
    for (const Trial& trial : trials_) device_.trash.add_graph(trial.graph);
    device_.trash.add_event(begin_);
    device_.trash.add_event(end_);
  }

  std::vector<float> run(const std::vector<Choice>& candidates) {
    if (!prepare(candidates)) return {};
    std::vector<float> best(candidates.size(), kNever);
    trials_.resize(candidates.size());
    for (size_t i = 0; i < candidates.size(); i++) {
      Trial& trial = trials_[i];
      float milliseconds = 0;
      // The first call loads what is loaded at first use.
      if (!turn(candidates[i], trial, &milliseconds) || !turn(candidates[i], trial, &milliseconds)) return {};
      if (milliseconds < kShort) trial.calls = kCallsOfShort;
      trial.wanted = !device_.graphs || record(candidates[i], trial);
    }
    for (int round = 0; round < kRounds; round++) {
      for (size_t i = 0; i < candidates.size(); i++) {
        float milliseconds = 0;
        if (!trials_[i].wanted) continue;
        if (!turn(candidates[i], trials_[i], &milliseconds)) return {};
        best[i] = std::min(best[i], milliseconds / static_cast<float>(trials_[i].calls));
      }
    }
    return best;
  }

 private:
  bool prepare(const std::vector<Choice>& candidates) {
    const int count = call_.n_in + call_.n_out;
    uint64_t bytes = 0;
    size_t scratch = 0;
    std::vector<uint64_t> offsets;
    for (int i = 0; i < count; i++) {
      const fj_value& value = *call_.in[i].value;  // outputs follow the inputs
      offsets.push_back(bytes);
      bytes += (value.bytes + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment;
    }
    for (const Choice& choice : candidates) scratch = std::max(scratch, choice.scratch(call_));
    if (operands_.allocate(bytes) != cudaSuccess || scratch_.allocate(scratch) != cudaSuccess ||
        fault_.allocate(sizeof(Fault)) != cudaSuccess || cudaEventCreate(&begin_) != cudaSuccess ||
        cudaEventCreate(&end_) != cudaSuccess ||
        cudaMemsetAsync(operands_.data(), kNumbers, bytes, device_.stream) != cudaSuccess ||
        cudaMemsetAsync(fault_.data(), 0, sizeof(Fault), device_.stream) != cudaSuccess) {
      return false;
    }
    for (int i = 0; i < count; i++) places_.push_back({operands_.data() + offsets[i], call_.in[i].value});
    call_.in = places_.data();
    call_.out = places_.data() + call_.n_in;
    call_.scratch = scratch_.data();
    call_.sink.fault = reinterpret_cast<Fault*>(fault_.data());
    return true;
  }

  struct Trial {
    int calls = 1;  // of a turn
    bool wanted = true;
    cudaGraphExec_t graph = nullptr;  // of these calls
  };

  void launch_calls(const Choice& choice, const Trial& trial, Launcher& launcher) {
    call_.plan = choice.plan.get();
    for (int i = 0; i < trial.calls && launcher.error == cudaSuccess; i++) choice.kernel->run(call_, launcher);
  }

  bool record(const Choice& choice, Trial& trial) {
    const auto calls = [&](Launcher& launcher) { launch_calls(choice, trial, launcher); };
    return record_graph(device_, &trial.graph, calls) == cudaSuccess;
  }

  // False where something failed.
  bool turn(const Choice& choice, const Trial& trial, float* milliseconds) {
    Launcher launcher = device_.launcher();
    if (trial.graph != nullptr) hold(launcher, 1);
    if (launcher.error == cudaSuccess) launcher.error = cudaEventRecord(begin_, launcher.stream);
    if (trial.graph == nullptr) {
      launch_calls(choice, trial, launcher);
    } else if (launcher.error == cudaSuccess) {
      launcher.error = cudaGraphLaunch(trial.graph, launcher.stream);
    }
    return launcher.error == cudaSuccess && cudaEventRecord(end_, launcher.stream) == cudaSuccess &&
           cudaEventSynchronize(end_) == cudaSuccess && cudaEventElapsedTime(milliseconds, begin_, end_) == cudaSuccess;
  }

  fj_device& device_;
  Block operands_, scratch_, fault_;
  Call call_;
  std::vector<Operand> places_;
  std::vector<Trial> trials_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// The shortest of the candidates, of which the last is the usual one, or null.
const Kernel* measure(fj_device& device, const Call& call, const std::vector<Choice>& candidates) {
  const std::vector<float> times = Trials(device, call).run(candidates);
  device.trash.empty();  // the stream is idle; what was tried on is free before the next
  cudaGetLastError();    // what kept a trial from running is no error of later calls
  if (times.empty()) return nullptr;
  const auto shortest = std::min_element(times.begin(), times.end());
  if (*shortest == kNever) return nullptr;
  return *shortest > kWorthwhile * times.back() ? candidates.back().kernel
                                                : candidates[static_cast<size_t>(shortest - times.begin())].kernel;
}

// Replaces forja's own kernel in `choice` by a library's where that is faster.
void weigh(fj_device& device, const fj_instr& instr, const Call& call, Choice* choice) {
  const std::vector<const Kernel*> theirs = vendor_kernels(instr.opcode, call);
  std::string key = call_key(instr.opcode, call.attr_data, call.attr_bytes, call.in, call.n_in + call.n_out) +
                    (call.tf32 ? "tf32" : "") + device.machine;
  // Another version may be faster.
  for (const Kernel* kernel : theirs) key += kernel->vendor().version;
  auto& choices = Choices<Kernel>::of_process();
  const Kernel* fastest = choices.find(key);
  if (fastest == nullptr) {
    std::vector<Choice> candidates;
    std::string missing;
    for (const Kernel* kernel : theirs) {
      if (auto plan = kernel->plan(call, device, &missing)) candidates.push_back({kernel, std::move(plan), false});
    }
    if (candidates.empty()) return;
    candidates.push_back({choice->kernel, nullptr, false});
    std::vector<const Kernel*> kernels;
    for (const Choice& candidate : candidates) kernels.push_back(candidate.kernel);
    fastest = choices.recall(key, kernels);
    if (fastest == nullptr) {
      fastest = measure(device, call, candidates);
      if (fastest == nullptr) return;
      fastest = choices.settle(key, fastest);
    }
  }
  if (fastest->plan != nullptr) {
    std::string missing;
    auto plan = fastest->plan(call, device, &missing);
    if (plan == nullptr) return;
    choice->plan = std::move(plan);
  }
  choice->kernel = fastest;
  choice->measured = true;
}

}  // namespace

fj_status choose_kernel(fj_device& device, const fj_instr& instr, uint32_t index, const Call& call, Choice* choice,
                        fj_error* error) {
  const KernelTable& table = kernel_table();
  choice->kernel = table.find(instr.opcode, instr.variant, call);
  if (choice->kernel != nullptr && choice->kernel->plan != nullptr) {
    std::string missing;
    choice->plan = choice->kernel->plan(call, device, &missing);
    if (choice->plan != nullptr) return FJ_OK;
    if (!missing.empty()) {
      set_error(error, FJ_ERR_BACKEND_UNAVAILABLE, index, "%s is not available: %s", choice->kernel->name,
                missing.c_str());
      return error->status;
    }
  }
  const bool library = table.is_library(instr.opcode, instr.variant);
  if (library) choice->kernel = table.find(instr.opcode, 0, call);
  if (choice->kernel == nullptr) return no_kernel(error, index, "CUDA", instr, call.in, supports);
  if (instr.variant == 0 && device.tune) weigh(device, instr, call, choice);
  return FJ_OK;
}

}  // namespace forja::cuda
