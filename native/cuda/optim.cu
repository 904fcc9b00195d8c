// Optimizer updates, elementwise over a parameter p, its gradient g and its state: each element is read and written
// once, and an output may lie over its input. The formulas are those of lib/ops/optim.ts. Learning rate and step are
// read from device memory, so a recorded step follows their changes; what depends on the step only (bias corrections)
// is computed in double by the first thread of each block.
#include "kernel.cuh"

namespace forja::cuda {
namespace {

struct Sgd {
  const float *p, *g;
  float* new_p;
  const float* velocity;  // null without momentum
  float* new_velocity;
  const float* lr;
  const int32_t* step;
  int64_t count;
  fj_sgd_update_attrs attrs;
};

__global__ void sgd_update_kernel(const __grid_constant__ Sgd s) {
  const int64_t i = thread_index();
  if (i >= s.count) return;
  const float x = s.p[i], lr = *s.lr;
  float d = s.attrs.weight_decay * x + s.g[i];
  if (s.velocity != nullptr) {
    const bool first = *s.step == 0;
    const float v = first ? d : s.attrs.momentum * s.velocity[i] + (1.0f - s.attrs.dampening) * d;
    s.new_velocity[i] = v;
    d = s.attrs.nesterov != 0 ? s.attrs.momentum * v + d : v;
  }
  s.new_p[i] = x - lr * d;
}

void run_sgd(const Call& call, Launcher& to) {
  const bool momentum = call.n_in > 3;
  const Sgd s{call.in[0].as<const float>(),
              call.in[1].as<const float>(),
              call.out[0].as<float>(),
              momentum ? call.in[4].as<const float>() : nullptr,
              momentum ? call.out[1].as<float>() : nullptr,
              call.in[2].as<const float>(),
              momentum ? call.in[3].as<const int32_t>() : nullptr,
              count_of(*call.in[0].value),
              call.attrs<fj_sgd_update_attrs>()};
  launch(to, sgd_update_kernel, blocks_for(s.count), kThreads, s);
}

struct Adam {
  const float *p, *g, *m1, *m2, *largest;  // largest: null unless amsgrad
  float *new_p, *new_m1, *new_m2, *new_largest;
  const float* lr;
  const int32_t* step;
  int64_t count;
  fj_adam_update_attrs attrs;
};

__global__ void adam_update_kernel(const __grid_constant__ Adam a) {
  __shared__ float rate, unbias;
  const double lr = *a.lr;
  if (threadIdx.x == 0) {
    const double t = *a.step + 1.0;
    rate = static_cast<float>(lr / (1.0 - pow(1.0 - a.attrs.rate1, t)));
    unbias = static_cast<float>(1.0 / sqrt(1.0 - pow(1.0 - a.attrs.rate2, t)));
  }
  __syncthreads();
  const int64_t i = thread_index();
  if (i >= a.count) return;
  const bool decoupled = a.attrs.decoupled != 0;
  const float shrink = decoupled ? static_cast<float>(lr * a.attrs.weight_decay) : 0.0f;
  const float x = a.p[i], d = (decoupled ? 0.0f : a.attrs.weight_decay) * x + a.g[i];
  const float first = a.attrs.rate1 * (d - a.m1[i]) + a.m1[i];
  float second = a.attrs.rate2 * (d * d - a.m2[i]) + a.m2[i];
  a.new_m1[i] = first;
  a.new_m2[i] = second;
  if (a.largest != nullptr) {
    second = a.largest[i] > second ? a.largest[i] : second;
    a.new_largest[i] = second;
  }
  a.new_p[i] = (x - shrink * x) - rate * first / (sqrtf(second) * unbias + a.attrs.eps);
}

void run_adam(const Call& call, Launcher& to) {
  const bool largest = call.n_in > 6;
  const Adam a{call.in[0].as<const float>(),
               call.in[1].as<const float>(),
               call.in[4].as<const float>(),
               call.in[5].as<const float>(),
               largest ? call.in[6].as<const float>() : nullptr,
               call.out[0].as<float>(),
               call.out[1].as<float>(),
               call.out[2].as<float>(),
               largest ? call.out[3].as<float>() : nullptr,
               call.in[2].as<const float>(),
               call.in[3].as<const int32_t>(),
               count_of(*call.in[0].value),
               call.attrs<fj_adam_update_attrs>()};
  launch(to, adam_update_kernel, blocks_for(a.count), kThreads, a);
}

}  // namespace

void register_optim(KernelTable& table) {
  table.add({FJ_OP_SGD_UPDATE, 0, "sgdUpdate", run_sgd, nullptr, nullptr, false});
  table.add({FJ_OP_ADAM_UPDATE, 0, "adamUpdate", run_adam, nullptr, nullptr, false});
}

}  // namespace forja::cuda
