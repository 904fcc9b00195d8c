// Runs a grid: one block after another on the calling thread, of a block one warp after another until it comes to a
// barrier.
#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "control.h"
#include "lanes.h"

namespace forja::ptx {
namespace {

constexpr uint32_t kSlice = 20000;      // instructions of a warp before the next one's turn
constexpr uint32_t kRandomSlice = 400;  // at most, where the order is random
constexpr size_t kSharedAlign = 1024;   // of a block's memory: wgmma's operands lie at multiples of it

uint32_t& seed() {
  static uint32_t value = [] {
    const char* given = std::getenv("PTX_SEED");
    return given == nullptr ? 0u : static_cast<uint32_t>(std::strtoul(given, nullptr, 10));
  }();
  return value;
}

// The order of a launch: ascending, or drawn at random by the seed.
class Order {
 public:
  explicit Order(uint64_t launch) : is_random_(seed() != 0), random_(seed() + launch) {}

  std::vector<uint32_t> of(uint64_t count) {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    if (is_random_) std::shuffle(order.begin(), order.end(), random_);
    return order;
  }
  uint32_t slice() { return is_random_ ? 1 + static_cast<uint32_t>(random_() % kRandomSlice) : kSlice; }

 private:
  bool is_random_;
  std::mt19937_64 random_;
};

uint32_t shared_bytes_of(const Kernel& kernel, uint32_t dynamic) {
  return dynamic > 0 ? kernel.dynamic_begin + dynamic : kernel.static_shared;
}

void check_launch(const Kernel& kernel, Dim grid, Dim block, uint32_t dynamic_shared) {
  const char* name = kernel.name.c_str();
  const uint64_t threads = block.count();
  if (threads == 0 || threads > kernel.max_threads || threads > kMaxThreads || block.z > 64) {
    fail("%s: a block of %u x %u x %u threads, where %u may be", name, block.x, block.y, block.z, kernel.max_threads);
  }
  if (grid.count() == 0 || grid.x > 0x7fffffff || grid.y > 0xffff || grid.z > 0xffff) {
    fail("%s: a grid of %u x %u x %u blocks", name, grid.x, grid.y, grid.z);
  }
  const uint32_t usual = kernel.dynamic_begin < kUsualShared ? kUsualShared - kernel.dynamic_begin : 0;
  const uint32_t allowed = std::max(usual, kernel.allowed_dynamic);
  if (kernel.static_shared > kUsualShared || dynamic_shared > allowed) {
    fail("%s: %u + %u bytes of shared memory, where %u + %u are allowed", name, kernel.static_shared, dynamic_shared,
         kUsualShared - usual, allowed);
  }
}

// What a launch holds for its blocks, which use it one after another.
struct Storage {
  std::vector<uint64_t> registers, local;
  std::vector<uint32_t> predicates;
};

void set_up_block(Block& block, Storage& storage, const Kernel& kernel) {
  const auto warps = static_cast<uint32_t>((block.size.count() + kLanes - 1) / kLanes);
  const size_t registers = kernel.register_bytes / 8, local = kernel.local_bytes * size_t{kLanes} / 8;
  constexpr uint64_t kPoisoned = ~uint64_t{0};
  static_assert(kPoison == 0xff);
  storage.registers.assign(warps * registers, kPoisoned);
  storage.local.assign(warps * local + 2, kPoisoned);  // aligned to 16 bytes
  storage.predicates.assign(warps * kernel.predicates, 0);
  block.shared_storage.resize(block.shared_bytes + kSharedAlign);
  void* shared = block.shared_storage.data();
  size_t space = block.shared_storage.size();
  block.shared = static_cast<unsigned char*>(std::align(kSharedAlign, block.shared_bytes, shared, space));
  block.in_flight.assign(block.shared_bytes / 4 + 1, 0);
  block.warps.resize(warps);
  auto* first_local = reinterpret_cast<unsigned char*>(storage.local.data());
  first_local += reinterpret_cast<uintptr_t>(first_local) % 16;
  for (uint32_t i = 0; i < warps; i++) {
    Warp& w = block.warps[i];
    w.kernel = &kernel;
    w.block = &block;
    w.index = i;
    w.registers = reinterpret_cast<unsigned char*>(storage.registers.data() + i * registers);
    w.local = first_local + i * local * 8;
    w.predicates = storage.predicates.data() + i * kernel.predicates;
    w.predicates[kFalse] = 0;
    w.predicates[kTrue] = ~0u;
  }
}

uint32_t part_of(Dim dim, uint32_t part) { return part == 0 ? dim.x : part == 1 ? dim.y : dim.z; }

uint32_t value_of(const Special& special, const Block& block, uint32_t thread) {
  const Dim size = block.size;
  switch (special.what) {
    case Special::What::kTid:
      return part_of({thread % size.x, thread / size.x % size.y, thread / size.x / size.y}, special.detail);
    case Special::What::kNtid:
      return part_of(size, special.detail);
    case Special::What::kCtaid:
      return part_of(block.id, special.detail);
    case Special::What::kNctaid:
      return part_of(block.grid, special.detail);
    case Special::What::kLane:
      return thread % kLanes;
    case Special::What::kWarp:
      return thread / kLanes;
    case Special::What::kLanemaskLt:
      return (1u << thread % kLanes) - 1;
    default:
      return 0;
  }
}
void set_special(Warp& w, const Special& special) {
  for (uint32_t lane = 0; lane < kLanes; lane++) {
    if (special.what == Special::What::kLocal) {
      const auto local = reinterpret_cast<uint64_t>(w.local) + uint64_t{lane} * w.kernel->local_bytes;
      lanes_of<uint64_t>(w, special.at)[lane] = local + special.detail;
    } else {
      lanes_of<uint32_t>(w, special.at)[lane] = value_of(special, *w.block, w.index * kLanes + lane);
    }
  }
}

void begin_block(Block& block, uint32_t id) {
  block.id = {id % block.grid.x, id / block.grid.x % block.grid.y, id / block.grid.x / block.grid.y};
  block.copies_in_flight = 0;
  std::memset(block.shared, kPoison, block.shared_bytes);
  const auto threads = static_cast<uint32_t>(block.size.count());
  for (Warp& w : block.warps) {
    const uint32_t lanes = std::min(kLanes, threads - w.index * kLanes);
    w.state = State::kRuns;
    w.live = w.active = lanes == kLanes ? ~0u : (1u << lanes) - 1;
    w.parked = w.pc = 0;
    w.next_waiting = ~0u;
    w.copies.clear();
    w.copy_groups.fill(0);
    w.unpublished = w.exposed = 0;
    w.open_products.clear();
    w.product_groups.clear();
    w.sums.clear();
    w.products_begun = false;
    for (const Special& special : block.kernel->specials) set_special(w, special);
  }
}

void run_warp(Warp& w, uint32_t instructions) {
  const Instruction* code = w.kernel->code.data();
  for (uint32_t i = 0; i < instructions && w.state == State::kRuns; i++) {
    if (w.pc >= w.next_waiting) regroup(w);
    const Instruction& in = code[w.pc++];
    w.executing = w.active;
    if (in.guard >= 0) w.executing &= in.guard_negated ? ~w.predicates[in.guard] : w.predicates[in.guard];
    if (w.executing != 0) in.execute(w, in);
  }
}

// Lets all go on that wait at a barrier; false where none waits and the block is done.
bool pass_barrier(Block& block) {
  const Warp* first = nullptr;
  for (Warp& w : block.warps) {
    if (w.state != State::kAtBarrier) continue;
    if (first == nullptr) first = &w;
    if (w.barrier != first->barrier) {
      fail("warp %u waits at barrier %u, warp %u at barrier %u", first->index, first->barrier, w.index, w.barrier);
    }
  }
  for (Warp& w : block.warps) {
    if (w.state == State::kAtBarrier) w.state = State::kRuns;
  }
  return first != nullptr;
}

void check_end(const Warp& w) {
  if (!w.copies.empty()) fail("%zu copies of cp.async were not waited for", w.copies.size());
  if (!w.open_products.empty() || !w.sums.empty()) fail("products of wgmma were not waited for");
}

void run_block(Block& block, Order& order, const Warp*& running) {
  do {
    for (bool ran = true; ran;) {
      ran = false;
      for (const uint32_t i : order.of(block.warps.size())) {
        Warp& w = block.warps[i];
        if (w.state != State::kRuns) continue;
        running = &w;
        run_warp(w, order.slice());
        ran = true;
      }
    }
  } while (pass_barrier(block));
  for (const Warp& w : block.warps) {
    running = &w;
    check_end(w);
  }
}

std::string text_of(Dim id) { return std::to_string(id.x) + "," + std::to_string(id.y) + "," + std::to_string(id.z); }

}  // namespace

void set_seed(uint32_t value) { seed() = value; }

Properties properties_of(const Kernel& kernel) { return {kernel.max_threads, kernel.static_shared}; }

bool allow_dynamic_shared(Kernel& kernel, uint32_t bytes) {
  if (kernel.dynamic_begin + uint64_t{bytes} > kMaxShared) return false;
  kernel.allowed_dynamic = bytes;
  return true;
}

std::string pack_parameters(const Kernel& kernel, const void* const* arguments) {
  std::string packed(kernel.parameter_bytes, '\0');
  for (size_t i = 0; i < kernel.parameters.size(); i++) {
    std::memcpy(&packed[kernel.parameters[i].offset], arguments[i], kernel.parameters[i].bytes);
  }
  return packed;
}

void launch(Kernel& kernel, Dim grid, Dim size, std::string_view parameters, uint32_t dynamic_shared) {
  check_launch(kernel, grid, size, dynamic_shared);
  Block block{&kernel, grid, size, {}, parameters, {}, {}, nullptr, shared_bytes_of(kernel, dynamic_shared), {}, 0};
  Storage storage;
  set_up_block(block, storage, kernel);
  Order order(kernel.launches++);
  const Warp* running = nullptr;
  try {
    for (const uint32_t id : order.of(grid.count())) {
      begin_block(block, id);
      run_block(block, order, running);
    }
  } catch (const Fault& fault) {
    const Instruction& in = kernel.code[running->pc > 0 ? running->pc - 1 : 0];
    throw Fault{fault.text + " [block " + text_of(block.id) + ", warp " + std::to_string(running->index) + "] in " +
                place_of(kernel, in)};
  }
}

}  // namespace forja::ptx
