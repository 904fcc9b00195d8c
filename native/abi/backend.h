/* The contract between the core and a backend (CPU, CUDA): plain C, POD only. A backend exports one
 * function that takes the host's ABI version and returns its table, or NULL if the versions differ.
 * No call aborts, exits, prints or throws; each that can fail fills an fj_error and returns its code.
 * Buffers are created and freed, and programs freed and described, on the environment's thread; everything else of a
 * device comes from one thread, its executor's (native/core/executor.h), but for programs of a backend with
 * `host_memory`, which the environment's thread runs too while the executor has nothing to do. */
#ifndef FORJA_ABI_BACKEND_H
#define FORJA_ABI_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "program.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FJ_ABI_VERSION 6u
#define FJ_NO_INSTRUCTION 0xffffffffu

typedef enum fj_status {
  FJ_OK = 0,
  FJ_ERR_ARGUMENT = 1, /* a value in the data is out of its range: a label, an index */
  FJ_ERR_INVALID_PROGRAM = 2,
  FJ_ERR_UNSUPPORTED_OP = 3,
  FJ_ERR_OUT_OF_MEMORY = 4,
  FJ_ERR_DEVICE = 5, /* no such device, or the device is lost */
  FJ_ERR_BACKEND_UNAVAILABLE = 6,
  FJ_ERR_ABORTED = 7,
  FJ_ERR_INTERNAL = 8,
} fj_status;

/* Where the status is FJ_OK, a message that is not empty is for the user to know: the call did what was asked for, but
 * not as it was meant to. */
typedef struct fj_error {
  fj_status status;
  uint32_t instruction; /* index into the program, or FJ_NO_INSTRUCTION */
  char message[512];
} fj_error;

typedef struct fj_device_info {
  char name[128];
  char isa[64]; /* instruction set in use (CPU), or compute capability (CUDA) */
  uint32_t threads;
  uint64_t memory_bytes;
} fj_device_info;

typedef struct fj_device fj_device;
typedef struct fj_buffer fj_buffer;
typedef struct fj_program fj_program;

typedef struct fj_backend {
  uint32_t abi_version;
  const char* name;     /* "cpu", "cuda", "cuda-emulated" */
  uint32_t host_memory; /* 1 where buffers and arenas are host memory */

  /* Number of usable devices; 0 with the reason in error->message. */
  uint32_t (*device_count)(fj_error* error);
  fj_status (*device_describe)(uint32_t index, fj_device_info* out, fj_error* error);
  fj_status (*device_open)(uint32_t index, fj_device** out, fj_error* error);
  void (*device_close)(fj_device* device);
  void (*device_set_threads)(fj_device* device, uint32_t threads); /* no-op where it has no meaning */

  fj_status (*buffer_create)(fj_device* device, uint64_t bytes, fj_buffer** out, fj_error* error);
  void (*buffer_free)(fj_buffer* buffer);
  fj_status (*buffer_write)(fj_buffer* buffer, uint64_t offset, const void* data, uint64_t bytes, fj_error* error);
  fj_status (*buffer_read)(fj_buffer* buffer, uint64_t offset, void* data, uint64_t bytes, fj_error* error);

  /* 1 where the backend has a kernel for the opcode and variant (0: any). */
  int (*supports)(uint16_t opcode, uint16_t variant);
  /* The view was checked by the core; its bytes must outlive the program. Allocates all that runs need. */
  fj_status (*program_create)(fj_device* device, const fj_program_view* view, fj_buffer* const* buffers,
                              fj_program** out, fj_error* error);
  void (*program_free)(fj_program* program);
  /* Bytes that it holds, of the device's memory or the host's: arena, scratch, what kernels keep. JavaScript's
   * collector is told of them and of buffers: objects of a few bytes keep them. */
  uint64_t (*program_bytes)(const fj_program* program);
  /* inputs[i]: header->input_count pointers; outputs[i]: memory for the bytes of each output value,
   * NULL where they are not asked for.
   * *cancel is polled between instructions before commit_index.
   * Where there is a program_finish, a run that succeeded may still be under way: its pointers stay valid until
   * program_finish, called once for each such run in their order, has waited for it and says how it ended. */
  fj_status (*program_run)(fj_program* program, const void* const* inputs, void* const* outputs, const int32_t* cancel,
                           fj_error* error);
  fj_status (*program_finish)(fj_program* program, fj_error* error); /* NULL: program_run returns at the run's end */
  /* How many runs of the program may be under way, at least 1; NULL where there is no program_finish. */
  uint32_t (*program_depth)(const fj_program* program);
  /* One line of text per instruction, "index kernel", '\0'-terminated, cut to size; returns the full length. */
  size_t (*program_describe)(const fj_program* program, char* text, size_t size);
  /* Nanoseconds of the last run per instruction, for profiling; 0 entries unless enabled. */
  fj_status (*program_profile)(fj_program* program, int enable, uint64_t* nanoseconds, uint32_t count, fj_error* error);

  /* What this machine can do at best, measured now: fused multiply-add GFLOP/s on `threads` threads, copy GB/s. */
  fj_status (*device_ceilings)(fj_device* device, uint32_t threads, double* fma_gflops, double* copy_gbytes,
                               fj_error* error);
  /* The libraries that kernels may use where the machine has them: a line each, "name\tversion\tpath" or
   * "name\t\twhy it is not used"; as program_describe. From any thread; NULL where there are none. */
  size_t (*describe_libraries)(char* text, size_t size);
} fj_backend;

typedef const fj_backend* (*fj_backend_get_fn)(uint32_t host_abi_version);
#define FJ_BACKEND_ENTRY "forja_backend_get"

#ifdef __cplusplus
}
#endif
#endif
