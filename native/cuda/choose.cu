// choose_kernel of choose.cuh. Candidates run in turns on memory of their own; the shortest time counts.
#include <algorithm>

#include "../core/choices.h"
#include "backend.cuh"

namespace forja::cuda {
namespace {

constexpr int kRounds = 5;
constexpr int kCallsOfShort = 8;          // of a turn, where one takes less than kShort
constexpr float kShort = 0.25f;           // milliseconds
constexpr int kNumbers = 0x3c;            // every byte of the operands: 0.0115 as float32 and as bfloat16
constexpr uint64_t kPlaceAlignment = 64;  // of a value in an arena

// The library's kernels of the opcode that take the call.
std::vector<Choice> library_kernels(fj_device& device, uint16_t opcode, const Call& call) {
  std::vector<Choice> found;
  const KernelTable& table = kernel_table();
  for (int i = 0; i < table.count; i++) {
    const Kernel& kernel = table.kernels[i];
    if (kernel.opcode != opcode || kernel.plan == nullptr || !kernel.supports(call)) continue;
    std::string missing;
    if (auto plan = kernel.plan(call, device, &missing)) found.push_back({&kernel, std::move(plan), false});
  }
  return found;
}

// Milliseconds of the fastest call of each candidate; empty where there is no memory to try them, or the device says
// no.
class Trials {
 public:
  Trials(fj_device& device, const Call& like)
      : device_(device), operands_(device.trash), scratch_(device.trash), fault_(device.trash), call_(like) {}
  ~Trials() {
    device_.trash.add_event(begin_);
    device_.trash.add_event(end_);
  }

  std::vector<float> run(const std::vector<Choice>& candidates) {
    if (!prepare(candidates)) return {};
    std::vector<float> best(candidates.size(), 1e30f);
    std::vector<int> calls(candidates.size(), 1);
    for (int round = 0; round <= kRounds; round++) {
      for (size_t i = 0; i < candidates.size(); i++) {
        const float milliseconds = turn(candidates[i], calls[i]) / static_cast<float>(calls[i]);
        if (milliseconds < 0) return {};
        // The first round loads what is loaded at first use.
        if (round == 0) continue;
        if (milliseconds < best[i]) best[i] = milliseconds;
        if (best[i] < kShort) calls[i] = kCallsOfShort;
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

  // Milliseconds of `calls` calls, or -1.
  float turn(const Choice& choice, int calls) {
    Launcher launcher = device_.launcher();
    call_.plan = choice.plan.get();
    launcher.error = cudaEventRecord(begin_, launcher.stream);
    for (int i = 0; i < calls && launcher.error == cudaSuccess; i++) choice.kernel->run(call_, launcher);
    float milliseconds = -1;
    if (launcher.error != cudaSuccess || cudaEventRecord(end_, launcher.stream) != cudaSuccess ||
        cudaEventSynchronize(end_) != cudaSuccess || cudaEventElapsedTime(&milliseconds, begin_, end_) != cudaSuccess) {
      return -1;
    }
    return milliseconds;
  }

  fj_device& device_;
  Block operands_, scratch_, fault_;
  Call call_;
  std::vector<Operand> places_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

// The shortest of the candidates, or null.
const Kernel* measure(fj_device& device, const Call& call, const std::vector<Choice>& candidates) {
  const std::vector<float> times = Trials(device, call).run(candidates);
  device.trash.empty();  // the stream is idle; what was tried on is free before the next
  cudaGetLastError();    // what kept a trial from running is no error of later calls
  if (times.empty()) return nullptr;
  return candidates[std::min_element(times.begin(), times.end()) - times.begin()].kernel;
}

// Replaces forja's own kernel in `choice` by a library's where that is faster.
void weigh(fj_device& device, const fj_instr& instr, const Call& call, Choice* choice) {
  const std::string key = call_key(instr.opcode, call.attr_data, call.attr_bytes, call.in, call.n_in + call.n_out) +
                          (call.tf32 ? "tf32" : "") + device.machine;
  auto& choices = Choices<Kernel>::of_process();
  const Kernel* fastest = choices.find(key);
  if (fastest == nullptr) {
    std::vector<Choice> candidates = library_kernels(device, instr.opcode, call);
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
