// A module: its kernels, functions and variables, found when it is added. Kernels are read when they are first asked
// for.
#pragma once
#include <string_view>
#include <unordered_map>

#include "machine.h"
#include "text.h"

namespace forja::ptx {

struct Function {
  size_t begin, body, end;  // of the parameters, and the braces of the body
};

// Of shared or local memory; without bytes where a launch says how many.
struct Variable {
  uint32_t align, bytes;
};

struct Module {
  std::string_view text;
  std::unordered_map<std::string_view, Function> functions;  // kernels too
  std::unordered_map<std::string_view, Variable> shared;
  std::unordered_map<std::string_view, unsigned char*> globals;
};

// What comes behind a state space, as .align 4 .b8 name[16], without what follows.
struct Declaration {
  std::string_view name, type;
  uint32_t align = 1, count = 1;  // elements; 0 of name[]
  bool is_array = false;
  uint32_t bytes() const { return bytes_of_type(type) * count; }
  Variable variable() const { return {align, bytes()}; }
};
Declaration read_declaration(Text&);

std::unique_ptr<Kernel> read_kernel(const Module&, std::string_view name, const Function&);

}  // namespace forja::ptx
