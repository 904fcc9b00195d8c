// Opening the libraries of libraries.cuh.
#include <cstdio>
#include <cstdlib>

#include "../core/dylib.h"
#include "backend.cuh"
#include "libraries.cuh"

namespace forja::cuda {
namespace {

const char* const kCublasLtNames[] = {"libcublasLt.so.13", "libcublasLt.so.12", nullptr};
const char* const kCudnnNames[] = {"libcudnn.so.9", "libcudnn.so.8", nullptr};
// What cuDNN asks the system for; where only FORJA_CUDA_LIB_DIR knows the folder it must be there before.
const char* const kCublasNames[] = {"libcublas.so.13", "libcublas.so.12", nullptr};
const char* const kNvrtcNames[] = {"libnvrtc.so.13", "libnvrtc.so.12", nullptr};
constexpr size_t kOldestCublasLt = 12, kOldestCudnn = 8;  // major versions

void* open_library(const char* const* names) {
  const char* folders = getenv("FORJA_CUDA_LIB_DIR");
  if (void* library = open_dylib_in(folders, names)) return library;
#ifdef SIMT_EMULATION
  return nullptr;  // what the system has would not know emulated memory
#else
  void* library = open_dylib(names);
  return library != nullptr ? library : open_dylib_in("/usr/local/cuda/lib64", names);
#endif
}

// Takes the functions of a library, until one is missing.
struct Symbols {
  void* library;
  Library& into;

  template <class Function>
  void take(Function*& function, const char* name) {
    if (!into.problem.empty()) return;
    function = dylib_function<Function>(library, name);
    if (function == nullptr) into.problem = into.path + " has no " + name;
  }
};

// The handle, or null with the problem set. `probe`: a function that every version has, which tells where it lies.
void* open_into(Library& into, const char* what, const char* const* names, const char* probe) {
  void* library = open_library(names);
  if (library == nullptr) {
    into.problem =
        std::string("no ") + what + " was found (" + names[0] + ", ...); FORJA_CUDA_LIB_DIR names its folder";
    return nullptr;
  }
  into.path = dylib_path(dylib_symbol(library, probe));
  return library;
}

// Versions are numbers such as 8905 and 130100: the two last digits and the two or one before them are minor ones.
void set_version(Library& into, const char* what, size_t version, size_t oldest) {
  char text[64];
  const size_t weight = version >= 20000 ? 10000 : 1000;
  snprintf(text, sizeof(text), "%zu.%zu.%zu", version / weight, version % weight / 100, version % 100);
  into.version = text;
  if (version / weight >= oldest) return;
  into.problem = std::string(what) + " " + text + " (" + into.path + ") is too old: " + std::to_string(oldest) +
                 ".0 or newer is needed";
}

CublasLt open_cublas_lt() {
  CublasLt lt{};
  void* library = open_into(lt, "cuBLASLt", kCublasLtNames, "cublasLtGetVersion");
  if (library == nullptr) return lt;
  Symbols symbols{library, lt};
  symbols.take(lt.get_version, "cublasLtGetVersion");
  if (!lt.problem.empty()) return lt;
  set_version(lt, "cuBLASLt", lt.get_version(), kOldestCublasLt);
  symbols.take(lt.create, "cublasLtCreate");
  symbols.take(lt.destroy, "cublasLtDestroy");
  symbols.take(lt.status_text, "cublasLtGetStatusString");
  symbols.take(lt.desc_create, "cublasLtMatmulDescCreate");
  symbols.take(lt.desc_destroy, "cublasLtMatmulDescDestroy");
  symbols.take(lt.desc_set, "cublasLtMatmulDescSetAttribute");
  symbols.take(lt.layout_create, "cublasLtMatrixLayoutCreate");
  symbols.take(lt.layout_destroy, "cublasLtMatrixLayoutDestroy");
  symbols.take(lt.layout_set, "cublasLtMatrixLayoutSetAttribute");
  symbols.take(lt.preference_create, "cublasLtMatmulPreferenceCreate");
  symbols.take(lt.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  symbols.take(lt.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  symbols.take(lt.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  symbols.take(lt.matmul, "cublasLtMatmul");
  return lt;
}

// NVRTC, with which cuDNN compiles some kernels, asks the system for a library of its own, named by its version.
void open_nvrtc() {
  void* nvrtc = open_library(kNvrtcNames);
  if (nvrtc == nullptr) return;
  auto* get_version = dylib_function<int(int*, int*)>(nvrtc, "nvrtcVersion");
  int major = 0, minor = 0;
  if (get_version == nullptr || get_version(&major, &minor) != 0) return;
  const std::string builtins = "libnvrtc-builtins.so." + std::to_string(major) + "." + std::to_string(minor);
  const char* const names[] = {builtins.c_str(), nullptr};
  open_library(names);
}

Cudnn open_cudnn() {
  Cudnn dnn{};
  cublas_lt();
  open_library(kCublasNames);
  open_nvrtc();
  void* library = open_into(dnn, "cuDNN", kCudnnNames, "cudnnGetVersion");
  if (library == nullptr) return dnn;
  Symbols symbols{library, dnn};
  symbols.take(dnn.get_version, "cudnnGetVersion");
  if (!dnn.problem.empty()) return dnn;
  set_version(dnn, "cuDNN", dnn.get_version(), kOldestCudnn);
  symbols.take(dnn.create, "cudnnCreate");
  symbols.take(dnn.destroy, "cudnnDestroy");
  symbols.take(dnn.set_stream, "cudnnSetStream");
  symbols.take(dnn.status_text, "cudnnGetErrorString");
  symbols.take(dnn.tensor_create, "cudnnCreateTensorDescriptor");
  symbols.take(dnn.tensor_destroy, "cudnnDestroyTensorDescriptor");
  symbols.take(dnn.tensor_set, "cudnnSetTensor4dDescriptor");
  symbols.take(dnn.filter_create, "cudnnCreateFilterDescriptor");
  symbols.take(dnn.filter_destroy, "cudnnDestroyFilterDescriptor");
  symbols.take(dnn.filter_set, "cudnnSetFilter4dDescriptor");
  symbols.take(dnn.convolution_create, "cudnnCreateConvolutionDescriptor");
  symbols.take(dnn.convolution_destroy, "cudnnDestroyConvolutionDescriptor");
  symbols.take(dnn.convolution_set, "cudnnSetConvolution2dDescriptor");
  symbols.take(dnn.convolution_groups, "cudnnSetConvolutionGroupCount");
  symbols.take(dnn.convolution_math, "cudnnSetConvolutionMathType");
  symbols.take(dnn.forward.algorithms, "cudnnGetConvolutionForwardAlgorithm_v7");
  symbols.take(dnn.forward.workspace, "cudnnGetConvolutionForwardWorkspaceSize");
  symbols.take(dnn.forward.run, "cudnnConvolutionForward");
  symbols.take(dnn.grad_input.algorithms, "cudnnGetConvolutionBackwardDataAlgorithm_v7");
  symbols.take(dnn.grad_input.workspace, "cudnnGetConvolutionBackwardDataWorkspaceSize");
  symbols.take(dnn.grad_input.run, "cudnnConvolutionBackwardData");
  symbols.take(dnn.grad_weight.algorithms, "cudnnGetConvolutionBackwardFilterAlgorithm_v7");
  symbols.take(dnn.grad_weight.workspace, "cudnnGetConvolutionBackwardFilterWorkspaceSize");
  symbols.take(dnn.grad_weight.run, "cudnnConvolutionBackwardFilter");
  return dnn;
}

// A handle for `slot`; what failed stays known, so that it is tried once a device.
template <class Api>
void* handle_of(const Api& api, const char* create, void*& slot, std::string& failed, std::string* problem) {
  if (slot == nullptr && failed.empty() && api.problem.empty()) {
    if (const int status = api.create(&slot)) {
      slot = nullptr;
      failed = std::string(create) + " failed: " + api.status_text(status);
    }
  }
  *problem = !api.problem.empty() ? api.problem : failed;
  return slot;
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt* kLibrary = new CublasLt(open_cublas_lt());
  return *kLibrary;
}

const Cudnn& cudnn() {
  static const Cudnn* kLibrary = new Cudnn(open_cudnn());
  return *kLibrary;
}

void* cublas_lt_handle(fj_device& device, std::string* problem) {
  Handles& own = device.handles;
  return handle_of(cublas_lt(), "cublasLtCreate", own.cublas_lt, own.cublas_lt_failed, problem);
}

void* cudnn_handle(fj_device& device, std::string* problem) {
  Handles& own = device.handles;
  const bool fresh = own.cudnn == nullptr;
  void* handle = handle_of(cudnn(), "cudnnCreate", own.cudnn, own.cudnn_failed, problem);
  if (handle == nullptr || !fresh) return handle;
  if (const int status = cudnn().set_stream(handle, device.stream)) {
    cudnn().destroy(handle);
    own.cudnn = nullptr;
    *problem = own.cudnn_failed = std::string("cudnnSetStream failed: ") + cudnn().status_text(status);
  }
  return own.cudnn;
}

void Handles::close() {
  if (cublas_lt != nullptr) forja::cuda::cublas_lt().destroy(cublas_lt);
  if (cudnn != nullptr) forja::cuda::cudnn().destroy(cudnn);
  cublas_lt = cudnn = nullptr;
}

size_t describe_libraries(char* text, size_t size) {
  const struct {
    const char* name;
    const Library& library;
  } all[] = {{"cuBLASLt", cublas_lt()}, {"cuDNN", cudnn()}};
  size_t length = 0;
  for (const auto& [name, library] : all) {
    const size_t room = length < size ? size - length : 0;
    const bool usable = library.problem.empty();
    length += static_cast<size_t>(snprintf(room > 0 ? text + length : nullptr, room, "%s\t%s\t%s\n", name,
                                           usable ? library.version.c_str() : "",
                                           usable ? library.path.c_str() : library.problem.c_str()));
  }
  return length;
}

}  // namespace forja::cuda
