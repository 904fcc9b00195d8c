/* The byte layout of a compiled program: what lib/passes/emit.ts writes and native/core/program.cc
 * decodes. Plain C, little endian, every section 8-byte aligned, sections in this order:
 *
 *   fj_program_header
 *   fj_value     values[value_count]          every tensor the program touches: type and place
 *   fj_instr     instrs[instr_count]          in execution order
 *   uint32_t     operands[operand_count]      value ids; an instruction owns a run: inputs, then outputs
 *   uint32_t     outputs[output_count]        value ids returned to the caller
 *   uint64_t     input_bytes[input_count]     size of each argument of a run
 *   uint64_t     buffer_bytes[buffer_count]   size of each bound buffer (variables, constants)
 *   uint8_t      attrs[attr_bytes]            attribute structs of ops.gen.h, each 8-byte aligned
 *
 * Letters used for shapes everywhere in native/:
 *   N batch, C input channels, H W input rows and columns, K output channels, R S filter rows and
 *   columns, OH OW output rows and columns; matrices are M x K times K x N.
 * Images are N,H,W,C and filters R,S,C,K inside a program; lib/ turns them from and to N,C,H,W.
 */
#ifndef FORJA_ABI_PROGRAM_H
#define FORJA_ABI_PROGRAM_H

#include <stdint.h>

#define FJ_PROGRAM_MAGIC 0x4A524F46u /* "FORJ" */
#define FJ_PROGRAM_VERSION 1u
#define FJ_MAX_RANK 8
#define FJ_ALIGNMENT 64u /* bytes: of the arena, of buffers, of every arena offset */

enum fj_dtype {
  FJ_FLOAT32 = 0,
  FJ_INT32 = 1,
  FJ_UINT8 = 2,
  FJ_BOOL = 3,
  FJ_FLOAT16 = 4,
  FJ_BFLOAT16 = 5,
  FJ_FLOAT64 = 6,
  FJ_DTYPE_COUNT = 7,
};

/* Bytes of an element; 0 for what is no dtype. */
static inline uint32_t fj_dtype_bytes(uint8_t dtype) {
  static const uint8_t kBytes[FJ_DTYPE_COUNT] = {4, 4, 1, 1, 2, 2, 8};
  return dtype < FJ_DTYPE_COUNT ? kBytes[dtype] : 0;
}

/* Name of a dtype, or a null pointer. */
static inline const char* fj_dtype_name(uint8_t dtype) {
  static const char* const kNames[FJ_DTYPE_COUNT] = {"float32", "int32",    "uint8",  "bool",
                                                     "float16", "bfloat16", "float64"};
  return dtype < FJ_DTYPE_COUNT ? kNames[dtype] : 0;
}

/* Where a value lives: the program's own arena, an argument of the run (read only), or a buffer
 * bound when the program was created (written only from commit_index on). */
enum fj_storage { FJ_ARENA = 0, FJ_INPUT = 1, FJ_BUFFER = 2, FJ_STORAGE_COUNT = 3 };

typedef struct fj_program_header {
  uint32_t magic;
  uint32_t version;
  uint32_t total_bytes; /* of the whole program, this header included */
  uint32_t value_count;
  uint32_t instr_count;
  uint32_t operand_count;
  uint32_t output_count;
  uint32_t input_count;
  uint32_t buffer_count;
  uint32_t attr_bytes;
  uint32_t commit_index; /* instructions from here on write buffers; once reached a run completes */
  uint32_t work; /* floating-point operations and bytes moved of one run, about; for choosing how many threads */
  uint64_t arena_bytes;
} fj_program_header;

typedef struct fj_value {
  uint8_t dtype;
  uint8_t rank;
  uint8_t storage;
  uint8_t reserved;
  uint32_t index;  /* of the input or buffer; 0 in the arena */
  uint64_t offset; /* bytes from the start of the arena, input or buffer */
  uint64_t bytes;  /* product of dims times the dtype's size */
  uint32_t dims[FJ_MAX_RANK];
} fj_value;

typedef struct fj_instr {
  uint16_t opcode;  /* ops.gen.h */
  uint16_t variant; /* 0: the backend chooses; else an FJ_<OP>_<VARIANT> of ops.gen.h */
  uint16_t n_in;
  uint16_t n_out;
  uint32_t operands; /* first index into operands[] */
  uint32_t attrs;    /* byte offset into attrs[] */
  uint32_t attr_bytes;
  uint32_t flags; /* FJ_INSTR_* */
} fj_instr;

#define FJ_INSTR_TF32 1u /* a product may round float32 operands to 10 bits of fraction, for tensor cores */

/* A decoded program: pointers into the bytes above after every bound has been checked. */
typedef struct fj_program_view {
  const fj_program_header* header;
  const fj_value* values;
  const fj_instr* instrs;
  const uint32_t* operands;
  const uint32_t* outputs;
  const uint64_t* input_bytes;
  const uint64_t* buffer_bytes;
  const uint8_t* attrs;
} fj_program_view;

#endif
