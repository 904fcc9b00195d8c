// The one header through which .cu files see CUDA: the toolkit's under nvcc, native/cuda/emulation's under the host
// compiler. Rules that keep a source fit for both are in ARCHITECTURE.md, "CUDA kernels".
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../core/inline.h"

namespace forja::cuda {

// Where kernels go, and the first error on the way: once there is one, nothing more is launched.
struct Launcher {
  cudaStream_t stream;
  int multiprocessors;
  size_t block_memory;  // shared memory that a block may ask for, in bytes
  bool warpgroups;      // whether there are kernels for device/warpgroup.cuh's instructions, and a GPU that has them
  cudaError_t error = cudaSuccess;
  const char* reason = nullptr;  // of an error that a library named
};

// A grid that remembers where it was launched, for the emulator's reports.
struct Grid {
  dim3 size;
  const char* file;
  int line;
  Grid(dim3 blocks, const char* at = __builtin_FILE(), int where = __builtin_LINE())
      : size(blocks), file(at), line(where) {}
  Grid(int64_t blocks, const char* at = __builtin_FILE(), int where = __builtin_LINE())
      : size(static_cast<unsigned>(blocks)), file(at), line(where) {}
};

// The threads of a block, and the bytes of shared memory that it gets beside what the kernel declares.
struct Threads {
  dim3 size;
  size_t shared;
  Threads(dim3 threads) : size(threads), shared(0) {}
  Threads(int threads, size_t bytes = 0) : size(static_cast<unsigned>(threads)), shared(bytes) {}
};

constexpr size_t kPlainShared = 48 * 1024;  // a kernel that wants more has to say so

// Runs kernel(args...) on grid x block threads; nothing where the grid is empty.
template <class... P, class... A>
void launch(Launcher& to, void (*kernel)(P...), Grid grid, Threads block, A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "wrong number of kernel arguments");
  if (to.error != cudaSuccess || grid.size.x == 0 || grid.size.y == 0 || grid.size.z == 0) return;
  if (block.shared > kPlainShared) {
    to.error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(block.shared));
    if (to.error != cudaSuccess) return;
  }
  std::tuple<std::remove_cv_t<P>...> packed(static_cast<P>(std::forward<A>(args))...);
#ifdef SIMT_EMULATION
  to.error = simt::launch(
      {reinterpret_cast<const void*>(kernel), grid.size, block.size, block.shared, grid.file, grid.line},
      [kernel, packed] { std::apply(kernel, packed); }, to.stream);
#else
  void* pointers[sizeof...(P) + 1];
  std::apply(
      [&](auto&... values) {
        size_t i = 0;
        ((pointers[i++] = &values), ...);
      },
      packed);
  cudaLaunchConfig_t config{};
  config.gridDim = grid.size;
  config.blockDim = block.size;
  config.dynamicSmemBytes = block.shared;
  config.stream = to.stream;
  to.error = cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
#endif
}

constexpr int kThreads = 256;  // of a block, where a kernel has no reason for another number

// Blocks of kThreads for `items` threads.
inline int64_t blocks_for(int64_t items) { return ceil_div(items, kThreads); }

// This thread's number in a grid of one dimension.
__device__ __forceinline__ int64_t thread_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

}  // namespace forja::cuda
