// fastest_kernel of tune.h: kernels run on zeros, in memory of their own, in turns; the shortest time counts.
#include "tune.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "../core/choices.h"
#include "memory.h"

namespace forja {
namespace {

constexpr int kRounds = 4;

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

const Kernel* measure(const std::vector<const Kernel*>& kernels, const Call& like, Crew& crew, bool alone, int threads,
                      bool keeps) {
  const size_t count = static_cast<size_t>(like.n_in) + like.n_out;
  const auto memory = std::make_unique<Memory[]>(count);
  std::vector<Operand> operands(count);
  for (size_t i = 0; i < count; i++) {
    const fj_value* value = like.in[i].value;  // outputs follow the inputs
    if (!memory[i].allocate(value->bytes)) return nullptr;
    operands[i] = {memory[i].data(), value};
  }
  size_t bytes = 0;
  for (const Kernel* kernel : kernels) {
    const size_t wanted = kernel->scratch != nullptr ? kernel->scratch(like, threads) : 0;
    if (wanted > bytes) bytes = wanted;
  }
  Memory scratch;
  if (!scratch.allocate(bytes)) return nullptr;
  Fault fault;
  const auto trials = std::make_unique<Trial[]>(kernels.size());
  for (size_t i = 0; i < kernels.size(); i++) {
    Trial& trial = trials[i];
    trial.kernel = kernels[i];
    trial.call = like;
    trial.call.in = operands.data();
    trial.call.out = operands.data() + like.n_in;
    trial.call.scratch = scratch.data();
    trial.call.fault = &fault;
    if (!keeps || trial.kernel->kept == nullptr) continue;
    if (!trial.kept.allocate(trial.kernel->kept(like))) return nullptr;
    trial.call.kept = trial.kept.data();
  }
  size_t winner = 0;
  for (int round = 0; round < kRounds; round++) {
    for (size_t i = 0; i < kernels.size(); i++) {
      const double seconds = seconds_of(trials[i], crew, alone);
      if (seconds < trials[i].best) trials[i].best = seconds;
    }
  }
  for (size_t i = 1; i < kernels.size(); i++) {
    if (trials[i].best < trials[winner].best) winner = i;
  }
  return kernels[winner];
}

}  // namespace

const Kernel* fastest_kernel(const KernelTable& table, const fj_instr& instr, const Call& call, Crew& crew, bool alone,
                             int threads, bool keeps) {
  const std::vector<const Kernel*> kernels = candidates(table, instr.opcode, call);
  if (kernels.size() < 2) return nullptr;
  const std::string key = call_key(instr.opcode, call.attr_data, call.attr_bytes, call.in, call.n_in + call.n_out) +
                          std::to_string(threads) + (keeps ? "keeps" : "");
  auto& choices = Choices<Kernel>::of_process();
  if (const Kernel* known = choices.find(key)) return known;
  const Kernel* kernel = measure(kernels, call, crew, alone, threads, keeps);
  return kernel != nullptr ? choices.settle(key, kernel) : nullptr;
}

}  // namespace forja
