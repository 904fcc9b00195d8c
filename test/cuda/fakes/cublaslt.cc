// A libcublasLt that multiplies on the emulator's memory: columns, transposes, batches, epilogues, work space. What it
// is told wrongly it answers with an error.
#include "fake.h"

namespace {

enum { kOk = 0, kNotInitialised = 1, kInvalidValue = 7, kNotSupported = 15 };

struct Desc {
  int compute, scale, trans_a = 0, trans_b = 0;
  uint32_t epilogue = 1;
  const void* bias = nullptr;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;
  int32_t batches = 1;
  int64_t batch_stride = 0;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reduction = 7;  // by every scheme
  uint32_t alignment[4] = {256, 256, 256, 256};
};
struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  int status;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96);

constexpr uint64_t kMark = 0x464f524a41;
constexpr size_t kWorkspace = 1000;  // that work really uses

struct Product {
  Desc desc;
  Layout a, b, d;
  const void *from_a, *from_b;
  void *to, *workspace;
};

size_t element(const Layout& l) { return l.type == 14 ? 2 : 4; }

// All of a batch as it lies in memory.
size_t bytes_of(const Layout& l) {
  return (static_cast<size_t>(l.batches - 1) * static_cast<size_t>(l.batch_stride) +
          (l.columns - 1) * static_cast<size_t>(l.stride) + l.rows) *
         element(l);
}

[[maybe_unused]] void multiply(const void* argument) {
  Product p;
  fake::be_slow();
  memcpy(&p, argument, sizeof(p));
  fake::read(p.from_a, bytes_of(p.a), "cublasLtMatmul a");
  fake::read(p.from_b, bytes_of(p.b), "cublasLtMatmul b");
  const auto m = static_cast<int64_t>(p.d.rows), n = static_cast<int64_t>(p.d.columns);
  const auto k = static_cast<int64_t>(p.desc.trans_a ? p.a.rows : p.a.columns);
  const bool narrow = p.d.type == 14, biased = (p.desc.epilogue & 4) != 0, relu = (p.desc.epilogue & 2) != 0;
  if (biased) fake::read(p.desc.bias, static_cast<size_t>(m) * element(p.d), "cublasLtMatmul bias");
  memset(p.workspace, 0xee, kWorkspace);
  fake::wrote(p.workspace, kWorkspace, "cublasLtMatmul work space");
  const auto operand = [&](const void* data, int64_t at) {
    const float value = fake::load(data, at, narrow);
    return p.desc.compute == 77 ? fake::to_tf32(value) : value;
  };
  for (int32_t batch = 0; batch < p.d.batches; batch++) {
    const int64_t a0 = batch * p.a.batch_stride, b0 = batch * p.b.batch_stride, d0 = batch * p.d.batch_stride;
    for (int64_t j = 0; j < n; j++) {
      for (int64_t i = 0; i < m; i++) {
        double sum = 0;
        for (int64_t l = 0; l < k; l++) {
          sum +=
              static_cast<double>(operand(p.from_a, a0 + (p.desc.trans_a ? i * p.a.stride + l : l * p.a.stride + i))) *
              operand(p.from_b, b0 + (p.desc.trans_b ? l * p.b.stride + j : j * p.b.stride + l));
        }
        auto value = static_cast<float>(sum);
        if (biased) value += fake::load(p.desc.bias, i, narrow);
        fake::store(p.to, d0 + j * p.d.stride + i, narrow, relu && value < 0 ? 0 : value);
      }
    }
  }
  fake::wrote(p.to, bytes_of(p.d), "cublasLtMatmul d");
}

template <class T>
int take(T* to, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return kInvalidValue;
  memcpy(to, value, bytes);
  return kOk;
}

// The largest power of two that the address is a multiple of; 1 for none.
uint64_t alignment_of(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  return at == 0 ? 1 : at & (~at + 1);
}

bool fits(const Desc& desc, const Layout& a, const Layout& b, const Layout& d) {
  const uint64_t m = desc.trans_a ? a.columns : a.rows, ka = desc.trans_a ? a.rows : a.columns;
  const uint64_t n = desc.trans_b ? b.rows : b.columns, kb = desc.trans_b ? b.columns : b.rows;
  return m == d.rows && n == d.columns && ka == kb && a.batches == d.batches && b.batches == d.batches &&
         a.type == d.type && b.type == d.type && a.stride >= static_cast<int64_t>(a.rows) &&
         b.stride >= static_cast<int64_t>(b.rows) && d.stride >= static_cast<int64_t>(d.rows);
}

}  // namespace

FAKE size_t cublasLtGetVersion() { return fake::version(130100); }
FAKE const char* cublasLtGetStatusString(int status) {
  return status == kNotInitialised ? "CUBLAS_STATUS_NOT_INITIALIZED"
         : status == kNotSupported ? "CUBLAS_STATUS_NOT_SUPPORTED"
                                   : "CUBLAS_STATUS_INVALID_VALUE";
}
FAKE int cublasLtCreate(void** handle) {
  if (fake::fails("cublasLtCreate")) return kNotInitialised;
  *handle = new int(1);
  fake::log("cublasLtCreate");
  return kOk;
}
FAKE int cublasLtDestroy(void* handle) {
  delete static_cast<int*>(handle);
  fake::log("cublasLtDestroy");
  return kOk;
}
FAKE int cublasLtMatmulDescCreate(void** desc, int compute, int scale) {
  if ((compute != 68 && compute != 77) || scale != 0) return kNotSupported;
  *desc = new Desc{compute, scale};
  return kOk;
}
FAKE int cublasLtMatmulDescDestroy(void* desc) {
  delete static_cast<Desc*>(desc);
  return kOk;
}
FAKE int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  auto* desc = static_cast<Desc*>(handle);
  switch (attribute) {
    case 3:
      return take(&desc->trans_a, value, bytes);
    case 4:
      return take(&desc->trans_b, value, bytes);
    case 7:
      return take(&desc->epilogue, value, bytes);
    case 8:
      return take(&desc->bias, value, bytes);
    default:
      return kInvalidValue;
  }
}
FAKE int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  if (type != 0 && type != 14) return kNotSupported;
  *layout = new Layout{type, rows, columns, stride};
  return kOk;
}
FAKE int cublasLtMatrixLayoutDestroy(void* layout) {
  delete static_cast<Layout*>(layout);
  return kOk;
}
FAKE int cublasLtMatrixLayoutSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  auto* layout = static_cast<Layout*>(handle);
  if (attribute == 5) return take(&layout->batches, value, bytes);
  return attribute == 6 ? take(&layout->batch_stride, value, bytes) : kInvalidValue;
}
FAKE int cublasLtMatmulPreferenceCreate(void** preference) {
  *preference = new Preference();
  return kOk;
}
FAKE int cublasLtMatmulPreferenceDestroy(void* preference) {
  delete static_cast<Preference*>(preference);
  return kOk;
}
FAKE int cublasLtMatmulPreferenceSetAttribute(void* handle, int attribute, const void* value, size_t bytes) {
  auto* preference = static_cast<Preference*>(handle);
  if (attribute == 1) return take(&preference->workspace, value, bytes);
  if (attribute == 3) return take(&preference->reduction, value, bytes);
  return attribute >= 5 && attribute <= 8 ? take(&preference->alignment[attribute - 5], value, bytes) : kInvalidValue;
}
FAKE int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference,
                                        int wanted, Heuristic* found, int* count) {
  *count = 0;
  if (fake::fails("cublasLtMatmulAlgoGetHeuristic")) return kNotSupported;
  if (handle == nullptr || wanted < 1 || c != d || static_cast<Preference*>(preference)->workspace < kWorkspace ||
      !fits(*static_cast<Desc*>(desc), *static_cast<Layout*>(a), *static_cast<Layout*>(b), *static_cast<Layout*>(d))) {
    return kInvalidValue;
  }
  // Bases lie at multiples of 64 bytes; a matrix of a batch may not.
  const Layout* layouts[] = {static_cast<Layout*>(a), static_cast<Layout*>(b), static_cast<Layout*>(d)};
  for (int i = 0; i < 3; i++) {
    const uint32_t alignment = static_cast<Preference*>(preference)->alignment[i];
    const size_t step = static_cast<size_t>(layouts[i]->batch_stride) * element(*layouts[i]);
    if (alignment > 64 || (layouts[i]->batches > 1 && step % alignment != 0)) return kInvalidValue;
  }
  // Parts of sums are not to be joined as bfloat16: by schemes 1 and 4 they are joined in the result's type.
  if (layouts[2]->type == 14 && (static_cast<Preference*>(preference)->reduction & 5) != 0) return kInvalidValue;
  // What it is told of the bias's alignment holds for the algorithm.
  const Desc& told = *static_cast<Desc*>(desc);
  if ((told.epilogue & 4) != 0 && told.bias == nullptr) return kInvalidValue;
  found->algorithm.data[0] = kMark;
  found->algorithm.data[1] = alignment_of(told.bias);
  found->workspace = kWorkspace;
  found->status = kOk;
  *count = 1;
  return kOk;
}
#ifndef FAKE_LACKS_MATMUL
FAKE int cublasLtMatmul(void* handle, void* desc, const float* alpha, const void* a, void* a_layout, const void* b,
                        void* b_layout, const float* beta, const void* c, void* c_layout, void* d, void* d_layout,
                        const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  if (fake::fails("cublasLtMatmul")) return kNotSupported;
  if (handle == nullptr || *alpha != 1 || *beta != 0 || c != d || c_layout != d_layout || algorithm->data[0] != kMark ||
      workspace_bytes < kWorkspace) {
    return kInvalidValue;
  }
  const Product product{*static_cast<Desc*>(desc),
                        *static_cast<Layout*>(a_layout),
                        *static_cast<Layout*>(b_layout),
                        *static_cast<Layout*>(d_layout),
                        a,
                        b,
                        d,
                        workspace};
  const Desc& told = product.desc;
  if ((told.epilogue & 4) != 0 && reinterpret_cast<uintptr_t>(told.bias) % algorithm->data[1] != 0)
    return kInvalidValue;
  fake::log("cublasLtMatmul %s%s epilogue %u compute %d type %d batches %d", told.trans_a ? "T" : "N",
            told.trans_b ? "T" : "N", told.epilogue, told.compute, product.d.type, product.d.batches);
  fake::submit(stream, multiply, &product, sizeof(product));
  return kOk;
}
#endif
