// Optimizer updates, elementwise over a parameter p, its gradient g and its state: each element is read and written
// once, and an output may lie over its input. The formulas are those of lib/ops/optim.ts. A call joins the updates of
// many parameters, most of them too small for a launch of their own: a launch carries as many as its arguments hold.
// Learning rate and step are read from device memory, so a recorded step follows their changes; what depends on the
// step only (bias corrections) is computed in double by a thread of each block while its elements are on their way.
// Bound by memory: a thread takes kRun neighbours of an update, 128 bits of each operand, all asked for at once.
//
//   inputs: lr, step, then p, g, state.. of each update      outputs: p, state.. of each
#include "device/block.cuh"
#include "device/element.cuh"
#include "kernel.cuh"

namespace forja::cuda {
namespace {

constexpr int kRun = kPack<float>;       // elements of a thread
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

// This block's update, and the elements of this thread.
template <int kStates>
struct Place {
  const Update<kStates>& update;
  int64_t first;
  int count;  // kRun, fewer at the end of an update

  // Of an operand, which may be null; zeros where there are no elements.
  __device__ __forceinline__ void read(const float* x, float* v) const {
#pragma unroll
    for (int k = 0; k < kRun; k++) v[k] = 0;
    if (x == nullptr) return;
    if (count == kRun) return read_pack<kRun>(x + first, v);
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      if (k < count) v[k] = x[first + k];
    }
  }
  __device__ __forceinline__ void write(float* x, const float* v) const {
    if (x == nullptr) return;
    if (count == kRun) return write_pack<kRun>(x + first, v);
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      if (k < count) x[first + k] = v[k];
    }
  }
};

template <int kStates>
__device__ __forceinline__ Place<kStates> find_place(const Updates<kStates>& all) {
  int low = 0, high = all.count;  // the last update that begins at or before this block
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (all.first_block[middle] <= blockIdx.x ? low : high) = middle;
  }
  const Update<kStates>& update = all.update[low];
  const int64_t first = (static_cast<int64_t>(blockIdx.x - all.first_block[low]) * blockDim.x + threadIdx.x) * kRun;
  const int64_t left = update.count - first;
  return {update, first, left < 0 ? 0 : left < kRun ? static_cast<int>(left) : kRun};
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
    u = {in[0].as<const float>(), in[1].as<const float>(), {}, out[0].as<float>(), {}, element_count(*in[0].value)};
    for (int i = 0; i + 1 < outs; i++) {
      u.state[i] = in[2 + i].as<const float>();
      u.new_state[i] = out[1 + i].as<float>();
    }
    all.first_block[all.count++] = static_cast<uint32_t>(blocks);
    blocks += blocks_for(ceil_div(u.count, kRun));
    if (all.count < Updates<kStates>::kMost && k + 1 < count) continue;
    launch(to, kernel, blocks, kThreads, all, call.attrs<Attrs>());
    all.count = 0;
    blocks = 0;
  }
}

__global__ void __launch_bounds__(kThreads)
    sgd_update_kernel(const __grid_constant__ Updates<1> all, const __grid_constant__ fj_sgd_update_attrs attrs) {
  const Place<1> at = find_place(all);
  const Update<1>& u = at.update;
  float x[kRun], d[kRun], v[kRun];
  at.read(u.p, x);
  at.read(u.g, d);
  at.read(u.state[0], v);
  const float lr = *all.lr;
  const bool momentum = u.state[0] != nullptr, first = *all.step == 0;
#pragma unroll
  for (int k = 0; k < kRun; k++) {
    d[k] = attrs.weight_decay * x[k] + d[k];
    if (momentum) {
      v[k] = first ? d[k] : attrs.momentum * v[k] + (1.0f - attrs.dampening) * d[k];
      d[k] = attrs.nesterov != 0 ? attrs.momentum * v[k] + d[k] : v[k];
    }
    x[k] = x[k] - lr * d[k];
  }
  at.write(u.new_state[0], v);
  at.write(u.new_p, x);
}

void run_sgd(const Call& call, Launcher& to) { launch_updates(call, to, sgd_update_kernel); }

// (1 - rate) old + rate value as the nearer of both plus a share of their difference: exact at rate 1, too.
__device__ __forceinline__ float mean(float old, float value, float rate) {
  const float difference = value - old;
  return rate < 0.5f ? rate * difference + old : (rate - 1) * difference + value;
}

// States: m, v, and vmax or null.
__global__ void __launch_bounds__(kThreads)
    adam_update_kernel(const __grid_constant__ Updates<3> all, const __grid_constant__ fj_adam_update_attrs attrs) {
  __shared__ float rate, unbias;
  const Place<3> at = find_place(all);
  const Update<3>& u = at.update;
  float x[kRun], d[kRun], m[kRun], v[kRun], most[kRun];
  at.read(u.p, x);
  at.read(u.g, d);
  at.read(u.state[0], m);
  at.read(u.state[1], v);
  at.read(u.state[2], most);
  const double lr = *all.lr;
  // Powers in double take long: each in a warp of its own.
  const double t = *all.step + 1.0;
  if (threadIdx.x == 0) rate = static_cast<float>(lr / (1.0 - pow(1.0 - attrs.rate1, t)));
  if (threadIdx.x == kWarp) unbias = static_cast<float>(1.0 / sqrt(1.0 - pow(1.0 - attrs.rate2, t)));
  __syncthreads();
  const bool decoupled = attrs.decoupled != 0, keeps_most = u.state[2] != nullptr;
  const float shrink = decoupled ? static_cast<float>(lr * attrs.weight_decay) : 0.0f;
#pragma unroll
  for (int k = 0; k < kRun; k++) {
    d[k] = (decoupled ? 0.0f : attrs.weight_decay) * x[k] + d[k];
    m[k] = mean(m[k], d[k], attrs.rate1);
    v[k] = mean(v[k], d[k] * d[k], attrs.rate2);
    most[k] = keeps_most && most[k] > v[k] ? most[k] : v[k];
    x[k] = (x[k] - shrink * x[k]) - rate * m[k] / (sqrtf(most[k]) * unbias + attrs.eps);
  }
  at.write(u.new_state[0], m);
  at.write(u.new_state[1], v);
  at.write(u.new_state[2], most);
  at.write(u.new_p, x);
}

void run_adam(const Call& call, Launcher& to) { launch_updates(call, to, adam_update_kernel); }

}  // namespace

void register_optim(KernelTable& table) {
  table.add({FJ_OP_SGD_UPDATE, 0, "sgdUpdate", run_sgd, nullptr, nullptr, false});
  table.add({FJ_OP_ADAM_UPDATE, 0, "adamUpdate", run_adam, nullptr, nullptr, false});
}

}  // namespace forja::cuda
