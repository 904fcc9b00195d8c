// Optimizer updates, elementwise over a parameter p, its gradient g and its state: each element is read and written
// once, and an output may lie over its input. The formulas are those of lib/ops/optim.ts. A call joins the updates of
// many parameters, most of them too small for a launch of their own: a launch carries as many as its arguments hold.
// Learning rate and step are read from device memory, so a recorded step follows their changes; what depends on the
// step only (bias corrections) is computed in double by the first thread of each block.
//
//   inputs: lr, step, then p, g, state.. of each update      outputs: p, state.. of each
#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr int kShared = 2;               // lr, step
constexpr size_t kArgumentBytes = 3840;  // of a kernel's 4096

// One of the joined updates. States an operation leaves out (velocity, vmax) are null.
template <int kStates>
struct Update {
  const float *p, *g;
  const float* state[kStates];
  float* new_p;
  float* new_state[kStates];
  int64_t count;  // elements
};

template <int kStates>
struct Updates {
  static constexpr int kMost = static_cast<int>(kArgumentBytes / (sizeof(Update<kStates>) + sizeof(uint32_t)));
  Update<kStates> update[kMost];
  uint32_t first_block[kMost];  // of each update; its blocks end where the next one's begin
  int count;
  const float* lr;
  const int32_t* step;
};

// This block's update, and the element of this thread.
template <int kStates>
struct Place {
  const Update<kStates>& update;
  int64_t i;
};

template <int kStates>
__device__ __forceinline__ Place<kStates> find_place(const Updates<kStates>& all) {
  int low = 0, high = all.count;  // the last update that begins at or before this block
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (all.first_block[middle] <= blockIdx.x ? low : high) = middle;
  }
  return {all.update[low], static_cast<int64_t>(blockIdx.x - all.first_block[low]) * blockDim.x + threadIdx.x};
}

// Launches kernel(updates, attrs) over all updates of the call, as many at a time as fit.
template <int kStates, class Attrs>
void launch_updates(const Call& call, Launcher& to, void (*kernel)(Updates<kStates>, Attrs)) {
  const int count = call.n_in - kShared - call.n_out, outs = call.n_out / count;
  Updates<kStates> all{};
  all.lr = call.in[0].as<const float>();
  all.step = call.in[1].as<const int32_t>();
  int64_t blocks = 0;
  for (int k = 0; k < count; k++) {
    const Operand *in = call.in + kShared + k * (outs + 1), *out = call.out + k * outs;
    Update<kStates>& u = all.update[all.count];
    u = {in[0].as<const float>(), in[1].as<const float>(), {}, out[0].as<float>(), {}, count_of(*in[0].value)};
    for (int i = 0; i + 1 < outs; i++) {
      u.state[i] = in[2 + i].as<const float>();
      u.new_state[i] = out[1 + i].as<float>();
    }
    all.first_block[all.count++] = static_cast<uint32_t>(blocks);
    blocks += blocks_for(u.count);
    if (all.count < Updates<kStates>::kMost && k + 1 < count) continue;
    launch(to, kernel, blocks, kThreads, all, call.attrs<Attrs>());
    all.count = 0;
    blocks = 0;
  }
}

__global__ void sgd_update_kernel(const __grid_constant__ Updates<1> all,
                                  const __grid_constant__ fj_sgd_update_attrs attrs) {
  const auto [u, i] = find_place(all);
  if (i >= u.count) return;
  const float x = u.p[i], lr = *all.lr;
  float d = attrs.weight_decay * x + u.g[i];
  if (u.state[0] != nullptr) {
    const bool first = *all.step == 0;
    const float v = first ? d : attrs.momentum * u.state[0][i] + (1.0f - attrs.dampening) * d;
    u.new_state[0][i] = v;
    d = attrs.nesterov != 0 ? attrs.momentum * v + d : v;
  }
  u.new_p[i] = x - lr * d;
}

void run_sgd(const Call& call, Launcher& to) { launch_updates(call, to, sgd_update_kernel); }

// States: m, v, and vmax or null.
__global__ void adam_update_kernel(const __grid_constant__ Updates<3> all,
                                   const __grid_constant__ fj_adam_update_attrs attrs) {
  __shared__ float rate, unbias;
  const double lr = *all.lr;
  if (threadIdx.x == 0) {
    const double t = *all.step + 1.0;
    rate = static_cast<float>(lr / (1.0 - pow(1.0 - attrs.rate1, t)));
    unbias = static_cast<float>(1.0 / sqrt(1.0 - pow(1.0 - attrs.rate2, t)));
  }
  __syncthreads();
  const auto [u, i] = find_place(all);
  if (i >= u.count) return;
  const bool decoupled = attrs.decoupled != 0;
  const float shrink = decoupled ? static_cast<float>(lr * attrs.weight_decay) : 0.0f;
  const float x = u.p[i], d = (decoupled ? 0.0f : attrs.weight_decay) * x + u.g[i];
  const float first = attrs.rate1 * (d - u.state[0][i]) + u.state[0][i];
  float second = attrs.rate2 * (d * d - u.state[1][i]) + u.state[1][i];
  u.new_state[0][i] = first;
  u.new_state[1][i] = second;
  if (u.state[2] != nullptr) {
    second = u.state[2][i] > second ? u.state[2][i] : second;
    u.new_state[2][i] = second;
  }
  u.new_p[i] = (x - shrink * x) - rate * first / (sqrtf(second) * unbias + attrs.eps);
}

void run_adam(const Call& call, Launcher& to) { launch_updates(call, to, adam_update_kernel); }

}  // namespace

void register_optim(KernelTable& table) {
  table.add({FJ_OP_SGD_UPDATE, 0, "sgdUpdate", run_sgd, nullptr, nullptr, false});
  table.add({FJ_OP_ADAM_UPDATE, 0, "adamUpdate", run_adam, nullptr, nullptr, false});
}

}  // namespace forja::cuda
