// Host emulation of the part of CUDA C++ and of the runtime API that the engine uses.
// Found first on the include path when a .cu file is built with "g++ -x c++"; nvcc never sees it.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <type_traits>

#define SIMT_EMULATION 1
#define __CUDA_ARCH_LIST__ 800, 900  // what nvcc tells of the architectures that it compiles for

// ---- qualifiers --------------------------------------------------------------------------------
#define __host__
#define __device__
#define __global__
#define __constant__
#define __managed__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// Kernels run on one dedicated OS thread, so a thread_local is one copy for the whole running block,
// and the module's TLS image of that thread is exactly the static shared memory: the emulator
// poisons it before each block. Works in templates and inline functions, where a section does not.
// constinit refuses types that need construction (as nvcc does) and keeps g++ from adding guard variables.
#define __shared__ static constinit thread_local __attribute__((used))

// ---- vector types ------------------------------------------------------------------------------
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x, y, z;
};
#define SIMT_VECTOR(T, name, a2, a4)                            \
  struct name##1 {                                              \
    T x;                                                        \
  };                                                            \
  struct alignas(a2) name##2 {                                  \
    T x, y;                                                     \
  };                                                            \
  struct alignas(a4) name##4 {                                  \
    T x, y, z, w;                                               \
  };                                                            \
  constexpr name##1 make_##name##1(T x) { return {x}; }         \
  constexpr name##2 make_##name##2(T x, T y) { return {x, y}; } \
  constexpr name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMT_VECTOR(float, float, 8, 16)
SIMT_VECTOR(int, int, 8, 16)
SIMT_VECTOR(unsigned, uint, 8, 16)
SIMT_VECTOR(short, short, 4, 8)
SIMT_VECTOR(unsigned short, ushort, 4, 8)
SIMT_VECTOR(signed char, char, 2, 4)
SIMT_VECTOR(unsigned char, uchar, 2, 4)
SIMT_VECTOR(double, double, 16, 16)
SIMT_VECTOR(long long, longlong, 16, 16)
#undef SIMT_VECTOR
struct float3 {
  float x, y, z;
};
struct int3 {
  int x, y, z;
};
constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }
constexpr int3 make_int3(int x, int y, int z) { return {x, y, z}; }
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

// ---- built-in variables (rewritten at every fiber switch) ----------------------------------------
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
inline constexpr int warpSize = 32;

// ---- services of the emulator --------------------------------------------------------------------
namespace forja::simt {
using Where = std::source_location;
enum class WarpOp : int { kSync, kShuffle, kShuffleUp, kShuffleDown, kShuffleXor, kBallot, kAny, kAll, kMma };
void block_barrier(Where where);
int block_vote(int predicate, int how, Where where);  // how: 0 count, 1 and, 2 or
// Waits for every lane of mask; value in, result for this lane out.
uint64_t warp_exchange(WarpOp op, unsigned mask, uint64_t value, int operand, int width, Where where);
// As above, but the last lane to arrive runs body(values of the 32 lanes) for all.
void warp_collective(WarpOp op, unsigned mask, void* mine, void (*body)(void* const* lanes), int tag, Where where);
void yield();
void fence();
unsigned lane();
void copy_async(void* shared, const void* global, int bytes, int valid);
void copy_async_commit();
void copy_async_wait(int groups_left);
void* dynamic_shared();
// wgmma: sums of this lane, descriptors of both operands, columns, and which operands' rows are lines, along K.
struct Product {
  float* sums;
  uint64_t a, b;
  int columns;
  bool a_along_k, b_along_k;
  float* into;  // the emulator's: where the sums are until the product is waited for
};
uint32_t shared_offset(const void* shared);
void publish_copies();
void begin_products();
void multiply_async(const Product&, Where where);
void commit_products();
void wait_for_products(int groups_left, Where where);
void device_trap(const char* what, Where where);
void note_atomic(const void* p, int bytes, const void* caller);  // tells the race checker
void note_access(const void* p, int bytes, bool write);
long long clock_now();

template <class T>
uint64_t to_bits(T v) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  uint64_t b = 0;
  std::memcpy(&b, &v, sizeof(T));
  return b;
}
template <class T>
T from_bits(uint64_t b) {
  T v;
  std::memcpy(&v, &b, sizeof(T));
  return v;
}
}  // namespace forja::simt

// ---- barriers, warp operations -------------------------------------------------------------------
inline void __syncthreads(forja::simt::Where w = forja::simt::Where::current()) { forja::simt::block_barrier(w); }
inline int __syncthreads_count(int p, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::block_vote(p, 0, w);
}
inline int __syncthreads_and(int p, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::block_vote(p, 1, w);
}
inline int __syncthreads_or(int p, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::block_vote(p, 2, w);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, forja::simt::Where w = forja::simt::Where::current()) {
  forja::simt::warp_exchange(forja::simt::WarpOp::kSync, mask, 0, 0, 32, w);
}
template <class T>
T __shfl_sync(unsigned mask, T v, int src, int width = 32, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::from_bits<T>(
      forja::simt::warp_exchange(forja::simt::WarpOp::kShuffle, mask, forja::simt::to_bits(v), src, width, w));
}
template <class T>
T __shfl_up_sync(unsigned mask, T v, unsigned d, int width = 32, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::from_bits<T>(
      forja::simt::warp_exchange(forja::simt::WarpOp::kShuffleUp, mask, forja::simt::to_bits(v), int(d), width, w));
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned d, int width = 32,
                   forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::from_bits<T>(
      forja::simt::warp_exchange(forja::simt::WarpOp::kShuffleDown, mask, forja::simt::to_bits(v), int(d), width, w));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T v, int m, int width = 32, forja::simt::Where w = forja::simt::Where::current()) {
  return forja::simt::from_bits<T>(
      forja::simt::warp_exchange(forja::simt::WarpOp::kShuffleXor, mask, forja::simt::to_bits(v), m, width, w));
}
inline unsigned __ballot_sync(unsigned mask, int p, forja::simt::Where w = forja::simt::Where::current()) {
  return unsigned(forja::simt::warp_exchange(forja::simt::WarpOp::kBallot, mask, p != 0, 0, 32, w));
}
inline int __any_sync(unsigned mask, int p, forja::simt::Where w = forja::simt::Where::current()) {
  return int(forja::simt::warp_exchange(forja::simt::WarpOp::kAny, mask, p != 0, 0, 32, w));
}
inline int __all_sync(unsigned mask, int p, forja::simt::Where w = forja::simt::Where::current()) {
  return int(forja::simt::warp_exchange(forja::simt::WarpOp::kAll, mask, p != 0, 0, 32, w));
}
inline void __threadfence() { forja::simt::fence(); }
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) { forja::simt::yield(); }
inline long long clock64() { return forja::simt::clock_now(); }
inline void __trap(forja::simt::Where w = forja::simt::Where::current()) { forja::simt::device_trap("__trap()", w); }

// ---- atomics (a fiber is never preempted, so plain code is atomic) --------------------------------
#define SIMT_ATOMIC __attribute__((no_sanitize("thread"), noinline))
template <class T, class V>
SIMT_ATOMIC T atomicAdd(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  *p = T(o + T(v));
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicSub(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  *p = T(o - T(v));
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicMax(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  if (o < T(v)) *p = T(v);
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicMin(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  if (T(v) < o) *p = T(v);
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicExch(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  *p = T(v);
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicOr(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  *p = T(o | T(v));
  return o;
}
template <class T, class V>
SIMT_ATOMIC T atomicAnd(T* p, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  *p = T(o & T(v));
  return o;
}
template <class T, class C, class V>
SIMT_ATOMIC T atomicCAS(T* p, C c, V v) {
  forja::simt::note_atomic(p, sizeof(T), __builtin_return_address(0));
  T o = *p;
  if (o == T(c)) *p = T(v);
  return o;
}
SIMT_ATOMIC inline unsigned atomicInc(unsigned* p, unsigned n) {
  forja::simt::note_atomic(p, 4, __builtin_return_address(0));
  unsigned o = *p;
  *p = o >= n ? 0 : o + 1;
  return o;
}

// ---- loads, bits, math ---------------------------------------------------------------------------
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}
template <class T>
void __stcg(T* p, T v) {
  *p = v;
}
inline float __int_as_float(int v) { return std::bit_cast<float>(v); }
inline int __float_as_int(float v) { return std::bit_cast<int>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline int __popc(unsigned v) { return std::popcount(v); }
inline int __clz(int v) { return std::countl_zero(unsigned(v)); }
inline int __ffs(int v) { return v ? std::countr_zero(unsigned(v)) + 1 : 0; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline int __mul24(int a, int b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __saturatef(float a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }
inline float rsqrtf(float a) { return 1.0f / std::sqrt(a); }
inline double rsqrt(double a) { return 1.0 / std::sqrt(a); }
inline int __float2int_rn(float a) { return int(std::nearbyint(a)); }
inline int __float2int_rd(float a) { return int(std::floor(a)); }
inline float __int2float_rn(int a) { return float(a); }
inline float __uint2float_rn(unsigned a) { return float(a); }
// glibc declares functions of these very names in <cmath>, hence macros.
#define __expf(x) ::expf(x)
#define __logf(x) ::logf(x)
#define __log2f(x) ::log2f(x)
#define __exp2f(x) ::exp2f(x)
#define __sinf(x) ::sinf(x)
#define __cosf(x) ::cosf(x)
#define __tanf(x) ::tanf(x)
#define __powf(x, y) ::powf(x, y)
#define __exp10f(x) ::powf(10.0f, x)
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(b) < C(a) ? C(b) : C(a);
}
template <class A, class B>
requires(std::is_arithmetic_v<A>&& std::is_arithmetic_v<B>) constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  return C(a) < C(b) ? C(b) : C(a);
}

// ---- runtime API ---------------------------------------------------------------------------------
enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidSymbol = 13,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorLossyQuery = 402,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorIllegalState = 401,
  cudaErrorUnknown = 999
};
using cudaError_t = cudaError;
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;
using cudaGraphNode_t = struct CUgraphNode_st*;
using cudaHostFn_t = void (*)(void*);
using cudaGraphConditionalHandle = unsigned long long;
struct cudaGraphEdgeData {
  unsigned char from_port, to_port, type, reserved[5];
};
enum cudaGraphNodeType { cudaGraphNodeTypeConditional = 13 };
enum cudaGraphConditionalNodeType { cudaGraphCondTypeIf = 0 };
struct cudaConditionalNodeParams {
  cudaGraphConditionalHandle handle;
  cudaGraphConditionalNodeType type;
  unsigned size;
  cudaGraph_t* phGraph_out;
};
struct cudaGraphNodeParams {
  cudaGraphNodeType type;
  cudaConditionalNodeParams conditional;
};
inline constexpr unsigned cudaGraphCondAssignDefault = 1, cudaStreamSetCaptureDependencies = 1;
struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerMultiprocessor, sharedMemPerBlockOptin;
  int major, minor, multiProcessorCount, warpSize, maxThreadsPerBlock, maxThreadsPerMultiProcessor, regsPerBlock,
      l2CacheSize;
  int maxThreadsDim[3], maxGridSize[3];
};
struct cudaFuncAttributes {
  size_t sharedSizeBytes, localSizeBytes;
  int maxThreadsPerBlock, numRegs, maxDynamicSharedSizeBytes;
};
inline constexpr unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDefault = 0,
                          cudaEventDisableTiming = 2, cudaHostAllocDefault = 0;

const char* cudaGetErrorString(cudaError_t);
const char* cudaGetErrorName(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
cudaError_t cudaGetDeviceCount(int*);
cudaError_t cudaGetDevice(int*);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp*, int);
cudaError_t cudaDeviceGetAttribute(int*, cudaDeviceAttr, int);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaDeviceReset();
cudaError_t cudaRuntimeGetVersion(int*);
cudaError_t cudaDriverGetVersion(int*);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total);
cudaError_t cudaMalloc(void**, size_t);
cudaError_t cudaFree(void*);
cudaError_t cudaMallocAsync(void**, size_t, cudaStream_t);
cudaError_t cudaFreeAsync(void*, cudaStream_t);
cudaError_t cudaMallocHost(void**, size_t, unsigned flags = 0);
cudaError_t cudaFreeHost(void*);
template <class T>
cudaError_t cudaMalloc(T** p, size_t n) {
  return cudaMalloc(reinterpret_cast<void**>(p), n);
}
template <class T>
cudaError_t cudaMallocAsync(T** p, size_t n, cudaStream_t s) {
  return cudaMallocAsync(reinterpret_cast<void**>(p), n, s);
}
template <class T>
cudaError_t cudaMallocHost(T** p, size_t n) {
  return cudaMallocHost(reinterpret_cast<void**>(p), n);
}
cudaError_t cudaMemcpy(void*, const void*, size_t, cudaMemcpyKind);
cudaError_t cudaMemcpyAsync(void*, const void*, size_t, cudaMemcpyKind, cudaStream_t s = nullptr);
cudaError_t cudaMemset(void*, int, size_t);
cudaError_t cudaMemsetAsync(void*, int, size_t, cudaStream_t s = nullptr);
template <class T>
cudaError_t cudaMemcpyToSymbol(T& symbol, const void* src, size_t n, size_t offset = 0,
                               cudaMemcpyKind = cudaMemcpyHostToDevice) {
  cudaDeviceSynchronize();
  std::memcpy(reinterpret_cast<char*>(&symbol) + offset, src, n);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t*);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamQuery(cudaStream_t);
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t*);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t*, unsigned);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t s = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaEventQuery(cudaEvent_t);
cudaError_t cudaEventElapsedTime(float*, cudaEvent_t, cudaEvent_t);
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t, void*);
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode);
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t*);
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus*);
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t, cudaGraph_t, const cudaGraphNode_t*, const cudaGraphEdgeData*,
                                          size_t, cudaStreamCaptureMode);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus*, unsigned long long* id, cudaGraph_t*,
                                     const cudaGraphNode_t** dependencies, const cudaGraphEdgeData**, size_t* count);
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t, cudaGraphNode_t*, const cudaGraphEdgeData*, size_t,
                                                unsigned flags);
cudaError_t cudaGraphCreate(cudaGraph_t*, unsigned flags);
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle*, cudaGraph_t, unsigned value, unsigned flags);
cudaError_t cudaGraphAddNode(cudaGraphNode_t*, cudaGraph_t, const cudaGraphNode_t*, const cudaGraphEdgeData*, size_t,
                             cudaGraphNodeParams*);
void cudaGraphSetConditional(cudaGraphConditionalHandle, unsigned value);  // in kernels
cudaError_t cudaGraphGetNodes(cudaGraph_t, cudaGraphNode_t*, size_t*);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t*, cudaGraph_t, unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t);
cudaError_t cudaGraphDestroy(cudaGraph_t);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t);

namespace forja::simt {
struct LaunchInfo {
  const void* kernel;
  dim3 grid, block;
  size_t shared;
  const char* file;
  int line;
};
cudaError_t launch(const LaunchInfo&, std::function<void()> body, cudaStream_t);
cudaError_t set_func_attribute(const void* kernel, cudaFuncAttribute, int);
cudaError_t get_func_attributes(cudaFuncAttributes*, const void* kernel);
int occupancy(const void* kernel, int block, size_t shared);
}  // namespace forja::simt
template <class... P>
cudaError_t cudaFuncSetAttribute(void (*k)(P...), cudaFuncAttribute a, int v) {
  return forja::simt::set_func_attribute(reinterpret_cast<const void*>(k), a, v);
}
template <class... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, void (*k)(P...)) {
  return forja::simt::get_func_attributes(a, reinterpret_cast<const void*>(k));
}
template <class... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, void (*k)(P...), int block, size_t shared) {
  *n = forja::simt::occupancy(reinterpret_cast<const void*>(k), block, shared);
  return cudaSuccess;
}
template <class... P>
cudaError_t cudaOccupancyMaxPotentialBlockSize(int* grid, int* block, void (*)(P...), size_t = 0, int limit = 0) {
  *block = limit > 0 && limit < 1024 ? limit : 1024;
  *grid = 8;
  return cudaSuccess;
}
