// Runs all and prints, one JSON object a line, what was found: {"kind", "name", "right", "said"}. A planted fault is
// right where it was named.
#include <cstdio>

#include "planted.h"

namespace forja::ptx {
namespace {

constexpr const char* kModule = R"(
.version 9.0
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 dynamic[];
.shared .align 4 .b8 fixed[64];
.global .align 4 .u32 numbers[4] = {3, 1, 4, 1};
.func (.param .b32 result) twice(.param .b32 number)
{
  .reg .pred %p<1>;
  .reg .b32 %r<2>;
  ld.param.u32 %r0, [number];
  setp.lt.s32 %p0, %r0, 0;
  @%p0 bra $negative;
  add.s32 %r1, %r0, %r0;
  st.param.b32 [result], %r1;
  ret;
$negative:
  st.param.b32 [result], 0;
  ret;
}
)";
constexpr const char* kRegisters = R"(
  .reg .pred %p<8>; .reg .b16 %h<16>; .reg .b32 %r<100>; .reg .f32 %f<100>; .reg .b64 %rd<16>; .reg .f64 %d<16>;
  ld.param.u64 %rd0, [in];
  ld.param.u64 %rd1, [out];
  mov.u32 %r0, %tid.x;
)";

void print_text(const std::string& text) {
  std::putchar('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') std::putchar('\\');
    std::putchar(static_cast<unsigned char>(c) < ' ' ? ' ' : c);
  }
  std::putchar('"');
}

void print(const char* kind, const Outcome& outcome) {
  std::printf("{\"kind\":\"%s\",\"name\":", kind);
  print_text(outcome.name);
  std::printf(",\"right\":%s,\"said\":", outcome.right ? "true" : "false");
  print_text(outcome.said);
  std::printf("}\n");
}

Outcome find(const Planted& planted) {
  Memory in(kPlantedBytes), out(kPlantedBytes);
  try {
    run(planted.program, in, out);
  } catch (const Fault& fault) {
    return {planted.program.name, fault.text.find(planted.words) != std::string::npos, fault.text};
  }
  return {planted.program.name, false, "nothing"};
}

}  // namespace

void run(const Program& program, Memory& in, Memory& out) {
  static size_t kernels = 0;
  const std::string name = "kernel_" + std::to_string(kernels++);
  // Modules stay.
  const auto& text = *new std::string(kModule + (".visible .entry " + name) + "(.param .u64 in, .param .u64 out)\n" +
                                      program.directives + "\n{" + kRegisters + program.body + "\nret;\n}\n");
  add_module(text);
  Kernel* kernel = find_kernel(name);
  if (program.allowed_dynamic > 0 && !allow_dynamic_shared(*kernel, program.allowed_dynamic)) {
    throw Fault{"no block has " + std::to_string(program.allowed_dynamic) + " bytes of shared memory"};
  }
  const void *in_data = in.data.data(), *out_data = out.data.data();
  const void* arguments[] = {&in_data, &out_data};
  launch(*kernel, {program.blocks}, {program.threads}, pack_parameters(*kernel, arguments), program.dynamic_shared);
}

}  // namespace forja::ptx

int main() {
  using namespace forja::ptx;
  for (const Planted& planted : planted_faults()) print("fault", find(planted));
  for (const Outcome& outcome : check_instructions()) print("instruction", outcome);
  // In the order of the blocks and in others.
  for (const uint32_t seed : {0u, 1u, 2u}) {
    set_seed(seed);
    for (const Outcome& outcome : check_programs()) print("program", outcome);
  }
}
