// Optimizer updates, elementwise over a parameter p, its gradient g and its state: each element is read and written
// once, and an output may lie over its input. The formulas are those of lib/ops/optim.ts. A call joins the updates of
// many parameters. Threads share out the elements of each, as they share out its rows in the products before: its lines
// then are in their caches. What depends on the step only (bias corrections) is computed in double once a call.
//
//   inputs: lr, step, then p, g, state.. of each update      outputs: p, state.. of each
#include <cmath>

#include "kernel.h"
#include "simd/vec.h"

namespace forja::FJ_ISA {
namespace {

constexpr int kShared = 2;                                // lr, step
constexpr int64_t kGrain = FJ_ALIGNMENT / sizeof(float);  // threads never share a cache line

// One of the joined updates: arrays of one shape, p, g, state.. and what becomes of p and state.
struct Update {
  const Operand *in, *out;
};

int count_updates(const Call& call) { return call.n_in - kShared - call.n_out; }
int count_states(const Call& call) { return call.n_out / count_updates(call) - 1; }

// body(update, its elements) for this thread's share of all elements.
template <class Body>
FJ_INLINE void for_each_share(const Call& call, const Team& team, const Body& body) {
  const int count = count_updates(call), outs = call.n_out / count;
  for (int k = 0; k < count; k++) {
    const Update u{call.in + kShared + k * (outs + 1), call.out + k * outs};
    const Range mine = split(static_cast<int64_t>(u.in->value->bytes / sizeof(float)), team, kGrain);
    if (mine.begin < mine.end) body(u, mine);
  }
}

// body(first element, mask of the lanes in use)
template <class Body>
FJ_INLINE void for_each_vector(Range range, const Body& body) {
  for (int64_t i = range.begin; i < range.end; i += kWidth) body(i, tail_mask(range.end - i));
}

template <bool kMomentum>
FJ_INLINE void sgd(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_sgd_update_attrs>();
  const Vec lr = broadcast(*call.in[0].as<const float>()), weight_decay = broadcast(attrs.weight_decay);
  const bool first = *call.in[1].as<const int32_t>() == 0, nesterov = attrs.nesterov != 0;
  const Vec momentum = broadcast(attrs.momentum), share = broadcast(1.0f - attrs.dampening);
  for_each_share(call, team, [&](const Update& u, Range range) FJ_LAMBDA {
    const float* p = u.in[0].as<const float>();
    const float* g = u.in[1].as<const float>();
    const float* velocity = kMomentum ? u.in[2].as<const float>() : nullptr;
    float* new_p = u.out[0].as<float>();
    float* new_velocity = kMomentum ? u.out[1].as<float>() : nullptr;
    for_each_vector(range, [&](int64_t i, Mask m) FJ_LAMBDA {
      const Vec x = load_masked(m, p + i);
      Vec d = fma(weight_decay, x, load_masked(m, g + i));
      if (kMomentum) {
        const Vec v = first ? d : fma(momentum, load_masked(m, velocity + i), share * d);
        store_masked(new_velocity + i, m, v);
        d = nesterov ? fma(momentum, v, d) : v;
      }
      store_masked(new_p + i, m, fnma(lr, d, x));
    });
  });
}

void run_sgd(const Call& call, Team& team) {
  if (count_states(call) > 0) {
    sgd<true>(call, team);
  } else {
    sgd<false>(call, team);
  }
}

// (1 - rate) old + rate value as the nearer of both plus a share of their difference: exact at rate 1, too.
struct Mean {
  Vec share;
  bool near_old;
  FJ_INLINE_MEMBER explicit Mean(float rate) : share(broadcast(rate < 0.5f ? rate : rate - 1)), near_old(rate < 0.5f) {}
  FJ_INLINE_MEMBER Vec operator()(Vec old, Vec value) const { return fma(share, value - old, near_old ? old : value); }
};

template <bool kMax>
FJ_INLINE void adam(const Call& call, Team& team) {
  const auto& attrs = call.attrs<fj_adam_update_attrs>();
  const double lr = *call.in[0].as<const float>(), t = *call.in[1].as<const int32_t>() + 1.0;
  const double correction1 = 1.0 - std::pow(1.0 - attrs.rate1, t), correction2 = 1.0 - std::pow(1.0 - attrs.rate2, t);
  const Vec rate = broadcast(static_cast<float>(lr / correction1));
  const Vec unbias = broadcast(static_cast<float>(1.0 / std::sqrt(correction2)));
  const Vec eps = broadcast(attrs.eps);
  const Mean mean1(attrs.rate1), mean2(attrs.rate2);
  const bool decoupled = attrs.decoupled != 0;
  const Vec to_gradient = broadcast(decoupled ? 0.0f : attrs.weight_decay);
  const Vec shrink = broadcast(decoupled ? static_cast<float>(lr * attrs.weight_decay) : 0.0f);
  for_each_share(call, team, [&](const Update& u, Range range) FJ_LAMBDA {
    const float* p = u.in[0].as<const float>();
    const float* g = u.in[1].as<const float>();
    const float* m1 = u.in[2].as<const float>();
    const float* m2 = u.in[3].as<const float>();
    const float* largest = kMax ? u.in[4].as<const float>() : nullptr;
    float* new_p = u.out[0].as<float>();
    float* new_m1 = u.out[1].as<float>();
    float* new_m2 = u.out[2].as<float>();
    float* new_largest = kMax ? u.out[3].as<float>() : nullptr;
    for_each_vector(range, [&](int64_t i, Mask m) FJ_LAMBDA {
      const Vec x = load_masked(m, p + i);
      const Vec d = fma(to_gradient, x, load_masked(m, g + i));
      const Vec first = mean1(load_masked(m, m1 + i), d);
      Vec second = mean2(load_masked(m, m2 + i), d * d);
      store_masked(new_m1 + i, m, first);
      store_masked(new_m2 + i, m, second);
      if (kMax) {
        second = max(load_masked(m, largest + i), second);
        store_masked(new_largest + i, m, second);
      }
      store_masked(new_p + i, m, fnma(shrink, x, x) - rate * first / fma(sqrt(second), unbias, eps));
    });
  });
}

void run_adam(const Call& call, Team& team) {
  if (count_states(call) > 2) {
    adam<true>(call, team);
  } else {
    adam<false>(call, team);
  }
}

}  // namespace

void register_optim(KernelTable& table) {
  table.add({FJ_OP_SGD_UPDATE, 0, "sgdUpdate", run_sgd, nullptr, nullptr});
  table.add({FJ_OP_ADAM_UPDATE, 0, "adamUpdate", run_adam, nullptr, nullptr});
}

}  // namespace forja::FJ_ISA
