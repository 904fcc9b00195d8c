// Runs every planted bug and prints, one JSON object a line, who saw it:
//   value   the result is wrong although threads ran in the usual shuffled order
//   report  the emulator said something
//   replay  other orders of the threads gave other bytes
#include <cmath>
#include <cstdio>
#include <vector>

#include "../emulation.h"
#include "bugs.h"

using namespace forja::simt;

namespace {

constexpr int kSize = 300;  // the last block is not full

// Whether the kernel's result is what it should be.
bool is_right(Bug bug, const std::vector<float>& x) {
  const size_t bytes = x.size() * sizeof(float);
  float *from = nullptr, *to = nullptr;
  cudaMalloc(&from, bytes);
  cudaMalloc(&to, bytes);
  cudaMemcpy(from, x.data(), bytes, cudaMemcpyHostToDevice);
  run_planted(bug, from, to, kSize);
  cudaDeviceSynchronize();
  std::vector<float> y(x.size());
  cudaMemcpy(y.data(), to, bytes, cudaMemcpyDeviceToHost);
  cudaFree(from);
  cudaFree(to);
  bool right = true;
  for (int begin = 0; begin < kSize; begin += kPlantedBlock) {
    const int end = begin + kPlantedBlock < kSize ? begin + kPlantedBlock : kSize;
    double sum = 0;
    for (int i = begin; i < end; i++) sum += x[i];
    for (int i = begin; i < end; i++) right = right && std::fabs(y[i] - (sum - x[i])) <= 1e-5;
  }
  return right;
}

bool depends_on_order(const std::vector<std::string>& reports) {
  for (const auto& text : reports) {
    if (text.find("depends on the schedule") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

int main() {
  set_echo(false);
  std::vector<float> x(kSize);
  for (int i = 0; i < kSize; i++) x[static_cast<size_t>(i)] = std::sin(1.0f + static_cast<float>(i));
  const char* names[] = {
#define FORJA_PLANTED_TEXT(bug) #bug,
      FORJA_PLANTED_BUGS(FORJA_PLANTED_TEXT)
#undef FORJA_PLANTED_TEXT
  };
  int index = 0;
  for (const char* name : names) {
    const auto bug = static_cast<Bug>(index++);
    set_replay(false);
    const bool value = !is_right(bug, x);
    const bool report = !take_reports().empty();
    set_replay(true);
    is_right(bug, x);
    const bool replay = depends_on_order(take_reports());
    std::printf("{\"bug\":\"%s\",\"value\":%s,\"report\":%s,\"replay\":%s}\n", name + 1, value ? "true" : "false",
                report ? "true" : "false", replay ? "true" : "false");
  }
  return 0;
}
