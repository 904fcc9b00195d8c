// wgmma: products by a warpgroup of operands in shared memory. Each warp makes its 16 rows of the 64 for itself.
#include <cstring>

#include "half.h"
#include "internal.h"

namespace forja::simt {
namespace {

constexpr unsigned kWarpRows = 16, kSteps = 16;

float from_bf16(const char* at) {
  uint16_t bits;
  std::memcpy(&bits, at, 2);
  return bf16_to_float(bits);
}

// What a descriptor says: 14 bits each of the address and of two distances, in units of 16 bytes, and the layout.
struct Operand {
  uint64_t start, leading, stride;
  bool along_k;

  Operand(uint64_t bits, bool along) : along_k(along) {
    const auto field = [&](int from) { return (bits >> from & 0x3fff) * 16; };
    start = field(0), leading = field(16), stride = field(32);
    if (bits >> 62 != 1) abort_block("wgmma: an operand that is not swizzled by 128 bytes, " + thread_text());
    if ((bits >> 49 & 7) != 0) abort_block("wgmma: an operand with a base offset, " + thread_text());
  }
  // PTX's canonical layouts, T = 8 elements of 16 bytes: ((8,m),(T,2k)):((8T,SBO),(1,T)) along K, of which a
  // product takes two pieces; across lines ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)).
  const char* element(unsigned line, unsigned k) const {
    uint64_t at = start;
    if (along_k) {
      at += line / 8 * stride + line % 8 * 128 + k * 2;
    } else {
      at += line / 64 * leading + k / 8 * stride + k % 8 * 128 + line % 64 * 2;
    }
    at ^= (at >> 7 & 7) << 4;
    if (at + 2 > sched.shared_bytes) abort_block("wgmma: an operand outside of shared memory, " + thread_text());
    return sched.shared + at;
  }
  // The pieces of 16 bytes of `lines` lines from `first` on, shared out among the lanes.
  void note(unsigned first, unsigned lines, const void* caller) const {
    for (unsigned i = sched.current->lane; i < lines * 2; i += 32) {
      const unsigned line = along_k ? i % lines : i / kSteps * 8, k = along_k ? i / lines * 8 : i % kSteps;
      check_access(element(first + line, k), 16, false, false, caller);
    }
  }
};

unsigned first_row() { return sched.current->linear / 32 % 4 * kWarpRows; }

void make(void* const* lanes) {
  const auto of = [&](unsigned lane) -> const Product& { return *static_cast<const Product*>(lanes[lane]); };
  const Product& first = of(0);
  for (unsigned l = 1; l < 32; ++l)
    if (of(l).a != first.a || of(l).b != first.b)
      abort_block("wgmma: lanes of a warp give different operands, " + thread_text());
  const Operand a(first.a, first.a_along_k), b(first.b, first.b_along_k);
  const unsigned from = first_row();
  float rows[kWarpRows][kSteps];
  for (unsigned r = 0; r < kWarpRows; ++r)
    for (unsigned k = 0; k < kSteps; ++k) rows[r][k] = from_bf16(a.element(from + r, k));
  for (int c = 0; c < first.columns; ++c) {
    float column[kSteps];
    for (unsigned k = 0; k < kSteps; ++k) column[k] = from_bf16(b.element(unsigned(c), k));
    for (unsigned r = 0; r < kWarpRows; ++r) {
      float& sum = of(r % 8 * 4 + unsigned(c) % 8 / 2).into[c / 8 * 4 + int(r / 8) * 2 + c % 2];
      for (unsigned k = 0; k < kSteps; ++k) sum += rows[r][k] * column[k];
    }
  }
}

}  // namespace

uint32_t shared_offset(const void* shared) {
  return uint32_t(static_cast<const char*>(shared) - sched.shared);  // the real one begins at a multiple of 1024 too
}
void publish_copies() { sched.current->unpublished = false; }
void begin_products() { sched.current->products_begun = true; }

void multiply_async(const Product& product, Where w) {
  Fiber& f = *sched.current;
  if (sched.threads % 128) device_trap("wgmma: threads of the block are not whole warpgroups", w);
  if (!f.products_begun) device_trap("wgmma: no wgmma.fence before the first product of a group", w);
  for (unsigned i = 0; i < sched.threads; ++i)
    if (sched.fibers[i].exposed)
      device_trap("wgmma: copies landed in shared memory and no fence.proxy.async came before the barrier", w);
  if (f.products.empty()) f.products.emplace_back();
  auto& sums = f.sums[product.sums];
  if (sums.empty()) {
    const size_t count = size_t(product.columns) / 2;
    sums.assign(product.sums, product.sums + count);
    std::memset(product.sums, kPoison, count * sizeof(float));
  }
  f.products.back().push_back(product);
  f.products.back().back().into = sums.data();
}
void commit_products() {
  Fiber& f = *sched.current;
  if (f.products.empty()) f.products.emplace_back();
  f.products.emplace_back();
  f.products_begun = false;
}
void wait_for_products(int groups_left, Where w) {
  auto& groups = sched.current->products;
  while (int(groups.size()) - 1 > groups_left) {  // the last entry is the open group
    for (Product& product : groups.front()) {
      if (checks_on()) {
        const void* caller = __builtin_return_address(0);
        Operand(product.a, product.a_along_k).note(first_row(), kWarpRows, caller);
        Operand(product.b, product.b_along_k).note(0, unsigned(product.columns), caller);
      }
      warp_collective(WarpOp::kMma, 0xffffffffu, &product, make, product.columns, w);
    }
    groups.erase(groups.begin());
  }
  auto& sums = sched.current->sums;
  for (const auto& group : groups)
    if (!group.empty()) return;
  for (const auto& [to, values] : sums) std::memcpy(to, values.data(), values.size() * sizeof(float));
  sums.clear();
}

}  // namespace forja::simt
