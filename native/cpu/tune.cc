// fastest_kernel of tune.h: kernels run on numbers that are all the same, in memory of their own, in turns; the
// shortest time counts.
#include "tune.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../core/choices.h"
#include "memory.h"

namespace forja {
namespace {

constexpr int kRounds = 3;
constexpr double kHopeless = 1.5;  // times the shortest in the round before: out of the running

std::vector<const Kernel*> candidates(const KernelTable& table, uint16_t opcode, const Call& call) {
  std::vector<const Kernel*> found;
  for (int i = 0; i < table.count; i++) {
    const Kernel& kernel = table.kernels[i];
    if (kernel.opcode != opcode || (kernel.supports != nullptr && !kernel.supports(call))) continue;
    found.push_back(&kernel);
    if (kernel.supports == nullptr && kernel.prefers == nullptr) break;
  }
  return found;
}

struct Trial {
  const Kernel* kernel;
  Call call;
  Memory kept;
  double best = 1e30;  // seconds
};

double seconds_of(Trial& trial, Crew& crew, bool alone) {
  const auto begin = std::chrono::steady_clock::now();
  const auto run = [](void* context, Team& team) {
    const auto& trial = *static_cast<const Trial*>(context);
    trial.kernel->run(trial.call, team);
  };
  crew.run(alone, run, &trial);
  trial.call.is_kept = trial.call.kept != nullptr;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Pages that nobody has written are all one page, which is never far.
bool allocate_written(Memory& memory, size_t bytes) {
  if (!memory.allocate(bytes)) return false;
  if (bytes > 0) memset(memory.data(), 0, bytes);
  return true;
}

const Kernel* measure(const std::vector<const Kernel*>& kernels, const Kernel* usual, const Call& like, Crew& crew,
                      bool alone, int threads, bool keeps) {
  const size_t count = static_cast<size_t>(like.n_in) + like.n_out;
  const auto memory = std::make_unique<Memory[]>(count);
  std::vector<Operand> operands(count);
  for (size_t i = 0; i < count; i++) {
    const fj_value* value = like.in[i].value;  // outputs follow the inputs
    if (!allocate_written(memory[i], value->bytes)) return nullptr;
    operands[i] = {memory[i].data(), value};
  }
  size_t bytes = 0;
  for (const Kernel* kernel : kernels) {
    const size_t wanted = kernel->scratch != nullptr ? kernel->scratch(like, threads) : 0;
    if (wanted > bytes) bytes = wanted;
  }
  Memory scratch;
  if (!allocate_written(scratch, bytes)) return nullptr;
  Fault fault;
  const auto trials = std::make_unique<Trial[]>(kernels.size());
  std::vector<Trial*> running;
  Trial* own = nullptr;
  for (size_t i = 0; i < kernels.size(); i++) {
    Trial& trial = trials[i];
    trial.kernel = kernels[i];
    trial.call = like;
    trial.call.in = operands.data();
    trial.call.out = operands.data() + like.n_in;
    trial.call.scratch = scratch.data();
    trial.call.fault = &fault;
    running.push_back(&trial);
    if (trial.kernel == usual) own = &trial;
    if (!keeps || trial.kernel->kept == nullptr) continue;
    if (!trial.kept.allocate(trial.kernel->kept(like))) return nullptr;
    trial.call.kept = trial.kept.data();
  }
  const auto is_shorter = [](const Trial* a, const Trial* b) { return a->best < b->best; };
  for (int round = 0; round <= kRounds && running.size() > 1; round++) {
    for (Trial* trial : running) {
      const double seconds = seconds_of(*trial, crew, alone);
      if (seconds < trial->best) trial->best = seconds;
    }
    const double least = (*std::min_element(running.begin(), running.end(), is_shorter))->best;
    const auto is_hopeless = [&](const Trial* trial) { return trial->best > kHopeless * least; };
    running.erase(std::remove_if(running.begin(), running.end(), is_hopeless), running.end());
  }
  const Trial* winner = *std::min_element(running.begin(), running.end(), is_shorter);
  return own != nullptr && winner->best > kWorthwhile * own->best ? usual : winner->kernel;
}

}  // namespace

const Kernel* fastest_kernel(const KernelTable& table, const fj_instr& instr, const Call& call, const Kernel* usual,
                             Crew& crew, bool alone, int threads, bool keeps, const std::string& machine) {
  const std::vector<const Kernel*> kernels = candidates(table, instr.opcode, call);
  if (kernels.size() < 2) return nullptr;
  const std::string key = call_key(instr.opcode, call.attr_data, call.attr_bytes, call.in, call.n_in + call.n_out) +
                          std::to_string(threads) + (keeps ? "keeps" : "") + machine;
  auto& choices = Choices<Kernel>::of_process();
  if (const Kernel* known = choices.find(key)) return known;
  if (const Kernel* known = choices.recall(key, kernels)) return known;
  const Kernel* kernel = measure(kernels, usual, call, crew, alone, threads, keeps);
  return kernel != nullptr ? choices.settle(key, kernel) : nullptr;
}

}  // namespace forja
