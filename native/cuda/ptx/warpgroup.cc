// Products by a warpgroup: PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions", of operands in shared memory
// with the swizzle of 128 bytes. Each warp makes its 16 rows of the 64 for itself, when it waits for their group; until
// then the registers of the sums hold poison, so that who touches them sees it.
#include <algorithm>

#include "../emulation/formats.h"
#include "control.h"
#include "memory.h"
#include "table.h"

namespace forja::ptx {
namespace {

constexpr uint32_t kWarpRows = 16, kSteps = 16, kMaxColumns = 256;

// A matrix descriptor: 14 bits each of the address and of two distances, in units of 16 bytes.
class SharedMatrix {
 public:
  SharedMatrix(const Block& block, uint64_t descriptor, bool turned) : block_(block), turned_(turned) {
    const auto field = [&](int from) { return static_cast<uint32_t>(descriptor >> from & 0x3fff) * 16; };
    start_ = field(0), leading_ = field(16), stride_ = field(32);
    if (descriptor >> 62 != 1) fail("wgmma: descriptor %#lx is of no operand with a swizzle of 128 bytes", descriptor);
    if ((descriptor >> 49 & 7) != 0) fail("wgmma: descriptor %#lx has a base offset", descriptor);
  }

  // values[line][k] of kSteps steps of K, `lines` a multiple of 8 from `first` on.
  void read(uint32_t first, uint32_t lines, float (*values)[kSteps]) const {
    for (uint32_t line = 0; line < lines; line += turned_ ? 8 : 1) {
      for (uint32_t k = 0; k < kSteps; k += turned_ ? 1 : 8) {
        uint16_t piece[8];
        std::memcpy(piece, at(first + line, k), sizeof piece);
        for (uint32_t i = 0; i < 8; i++) {
          float& to = turned_ ? values[line + i][k] : values[line][k + i];
          to = simt::bf16_to_float(piece[i]);
        }
      }
    }
  }

 private:
  // A piece of 16 bytes, T = 8 elements: canonical layouts ((8,m),(T,2k)):((8T,SBO),(1,T)) along K, and turned
  // ((T,8,m),(8,k)):((1,T,LBO),(8T,SBO)).
  const unsigned char* at(uint32_t line, uint32_t k) const {
    uint32_t address = start_;
    if (turned_) {
      address += line / 64 * leading_ + k / 8 * stride_ + k % 8 * 128 + line % 64 * 2;
    } else {
      address += line / 8 * stride_ + line % 8 * 128 + k * 2;
    }
    return shared_at(block_, address ^ (address >> 7 & 7) << 4, 16);
  }

  const Block& block_;
  bool turned_;
  uint32_t start_, leading_, stride_;
};

// Operands: kColumns / 2 registers of sums, two descriptors, the predicate whether sums are added to, signs of A and B,
// whether A and B are turned.
struct Operands {
  uint32_t columns;
  size_t a, b, adds, sign_a, sign_b, turned_a, turned_b;
  explicit Operands(const Instruction& in) : columns(static_cast<uint32_t>(in.operands.size() - 7) * 2) {
    a = columns / 2;
    b = a + 1, adds = a + 2, sign_a = a + 3, sign_b = a + 4, turned_a = a + 5, turned_b = a + 6;
  }
};

// Where lane's i-th sum of 8 columns lies among the warp's rows and columns.
uint32_t row_of(uint32_t lane, uint32_t i) { return lane / 4 + i % 4 / 2 * 8; }
uint32_t column_of(uint32_t lane, uint32_t i) { return i / 4 * 8 + lane % 4 * 2 + i % 2; }

uint64_t descriptor_of(Warp& w, Operand operand) {
  const auto* given = lanes_of<uint64_t>(w, operand);
  for (uint32_t lane = 1; lane < kLanes; lane++) {
    if (given[lane] != given[0]) fail("wgmma: lanes 0 and %u give different descriptors", lane);
  }
  return given[0];
}

void check_can_begin(const Warp& w) {
  if (w.block->warps.size() % 4 != 0) fail("wgmma by a block of %zu warps, no warpgroups", w.block->warps.size());
  if (!w.products_begun) fail("wgmma: no wgmma.fence before the first product of a group");
  for (const Warp& other : w.block->warps) {
    if (other.exposed != 0) fail("wgmma: copies have landed with no fence.proxy.async before the barrier");
  }
}

// The sums that products under way are added to, [lane][columns / 2], moved out of their registers.
void take_sums(Warp& w, const Instruction& in) {
  std::vector<float>& sums = w.sums[in.operands[0]];
  if (!sums.empty()) return;
  const uint32_t count = Operands(in).columns / 2;
  sums.resize(kLanes * count);
  for (uint32_t i = 0; i < count; i++) {
    auto* from = lanes_of<uint32_t>(w, in.operands[i]);
    for (uint32_t lane = 0; lane < kLanes; lane++) sums[lane * count + i] = std::bit_cast<float>(from[lane]);
    std::memset(from, kPoison, kLanes * sizeof *from);
  }
}
void give_sums(Warp& w, const Instruction& in) {
  const auto found = w.sums.find(in.operands[0]);
  if (found == w.sums.end()) return;
  const uint32_t count = Operands(in).columns / 2;
  for (uint32_t i = 0; i < count; i++) {
    auto* to = lanes_of<uint32_t>(w, in.operands[i]);
    for (uint32_t lane = 0; lane < kLanes; lane++) {
      to[lane] = std::bit_cast<uint32_t>(found->second[lane * count + i]);
    }
  }
  w.sums.erase(found);
}

void begin_product(Warp& w, const Instruction& in) {
  if (!whole_warp_is_here(w)) return;
  check_can_begin(w);
  const Operands at(in);
  for (const size_t one : {at.adds, at.sign_a, at.sign_b}) {
    if (lanes_of<uint32_t>(w, in.operands[one])[0] != 1) fail("wgmma: only sums += A B is here, no other scale");
  }
  w.open_products.push_back({&in, descriptor_of(w, in.operands[at.a]), descriptor_of(w, in.operands[at.b])});
  take_sums(w, in);
}

void make(Warp& w, const Product& product) {
  const Instruction& in = *product.instruction;
  const Operands at(in);
  const auto is_one = [&](size_t operand) { return lanes_of<uint32_t>(w, in.operands[operand])[0] != 0; };
  float a[kWarpRows][kSteps], b[kMaxColumns][kSteps];
  SharedMatrix(*w.block, product.a, is_one(at.turned_a)).read(w.index % 4 * kWarpRows, kWarpRows, a);
  SharedMatrix(*w.block, product.b, is_one(at.turned_b)).read(0, at.columns, b);
  std::vector<float>& sums = w.sums.at(in.operands[0]);
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    for (uint32_t i = 0; i < at.columns / 2; i++) {
      const float *row = a[row_of(lane, i)], *column = b[column_of(lane, i)];
      float& to = sums[lane * at.columns / 2 + i];
      double sum = to;
      for (uint32_t k = 0; k < kSteps; k++) sum += double{row[k]} * column[k];
      to = static_cast<float>(sum);
    }
  }
}

bool is_under_way(const Warp& w, Operand sums) {
  const auto adds = [&](const Product& product) { return product.instruction->operands[0] == sums; };
  const auto has_one = [&](const std::vector<Product>& group) { return std::any_of(group.begin(), group.end(), adds); };
  return has_one(w.open_products) || std::any_of(w.product_groups.begin(), w.product_groups.end(), has_one);
}

void fence(Warp& w, const Instruction&) { w.products_begun = whole_warp_is_here(w) || w.products_begun; }

void commit(Warp& w, const Instruction&) {
  if (!whole_warp_is_here(w)) return;
  w.product_groups.push_back(std::move(w.open_products));
  w.open_products.clear();
  w.products_begun = false;
}

void wait(Warp& w, const Instruction& in) {
  if (!whole_warp_is_here(w)) return;
  while (w.product_groups.size() > static_cast<size_t>(in.immediate)) {
    const std::vector<Product> group = std::move(w.product_groups.front());
    w.product_groups.pop_front();
    for (const Product& product : group) make(w, product);
    for (const Product& product : group) {
      if (!is_under_way(w, product.instruction->operands[0])) give_sums(w, *product.instruction);
    }
  }
}

}  // namespace

void add_warpgroup(Table& table) {
  table.add("wgmma.fence.sync.aligned", {fence, ""});
  table.add("wgmma.commit_group.sync.aligned", {commit, ""});
  table.add("wgmma.wait_group.sync.aligned", {wait, "i"});
  for (const uint32_t columns : {64u, 128u, 256u}) {
    table.add("wgmma.mma_async.sync.aligned.m64n" + std::to_string(columns) + "k16.f32.bf16.bf16",
              {begin_product, std::string(columns / 2, '4') + "8844444"});
  }
}

}  // namespace forja::ptx
