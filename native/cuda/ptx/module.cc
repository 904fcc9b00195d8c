// PTX ISA: "Directives" of a module, "Kernel and Function Directives", "Variables".
#include "module.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>

namespace forja::ptx {
namespace {

struct Modules {
  std::mutex mutex;
  std::unordered_map<std::string_view, const Module*> of_kernels;
  std::unordered_map<std::string, std::unique_ptr<Kernel>> kernels;  // that have been asked for
};
Modules& modules() {
  static auto& all = *new Modules;
  return all;
}

size_t end_of_body(std::string_view text, size_t brace) {
  size_t depth = 0;
  for (size_t at = brace; at < text.size(); at++) {
    if (text[at] == '{') depth++;
    if (text[at] == '}' && --depth == 0) return at;
  }
  fail("PTX: a body without its end");
}

// .entry or .func behind which `text` is. A declaration has no body and is left out.
void read_function(Module& module, Text& text, bool is_kernel) {
  Function function{text.at(), 0, 0};
  if (text.peek() == "(") text.skip_behind(")");  // what it returns
  const std::string_view name = text.take();
  while (text.peek() != "{" && text.peek() != ";" && !text.done()) text.take();
  if (text.peek() != "{") return;
  function.body = text.at();
  function.end = end_of_body(module.text, function.body);
  text.skip_to(function.end + 1);
  module.functions[name] = function;
  if (is_kernel) modules().of_kernels[name] = &module;
}

// A variable of .global or .const, with what it holds at first.
void read_global(Module& module, Text& text) {
  const Declaration declared = read_declaration(text);
  auto* data = static_cast<unsigned char*>(::operator new (declared.bytes(), std::align_val_t{256}));
  std::memset(data, 0, declared.bytes());
  if (text.take_if("=")) {
    const uint32_t size = bytes_of_type(declared.type);
    text.take_if("{");
    for (uint32_t i = 0; is_number(text.peek()); i++) {
      const uint64_t value = number_of(text.take());
      if (i >= declared.count) fail("PTX: more values than %s has", std::string(declared.name).c_str());
      std::memcpy(data + i * size, &value, size);
      text.take_if(",");
    }
    text.take_if("}");
  }
  text.expect(";");
  add_memory(data, declared.bytes());
  module.globals[declared.name] = data;
}

void read_module(Module& module) {
  Text text(module.text, 0, module.text.size());
  while (!text.done()) {
    const std::string_view word = text.take();
    if (word == ".version" || word == ".target" || word == ".address_size" || word == ".file") {
      text.skip_line();
    } else if (word == ".section") {
      text.skip_behind("}");
    } else if (word == ".entry" || word == ".func") {
      read_function(module, text, word == ".entry");
    } else if (word == ".shared") {
      const Declaration declared = read_declaration(text);
      module.shared[declared.name] = declared.variable();
    } else if (word == ".global" || word == ".const") {
      read_global(module, text);
    }
  }
}

// The line of the source that the text at `at` came from, by the .loc before it: " (file:line)".
std::string source_of(std::string_view text, size_t at) {
  const size_t loc = text.rfind(".loc\t", at);
  if (loc == std::string_view::npos) return "";
  Text words(text, loc, at);
  words.expect(".loc");
  const std::string file(words.take()), line(words.take());
  const size_t named = text.find("\n.file\t" + file + " ");
  if (named == std::string_view::npos) return "";
  const size_t from = text.find('"', named) + 1, to = text.find('"', from);
  const std::string_view path = text.substr(from, to - from);
  return " (" + std::string(path.substr(path.rfind('/') + 1)) + ":" + line + ")";
}

}  // namespace

void fail(const char* format, ...) {
  char text[1000];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Fault{text};
}

std::string place_of(const Kernel& kernel, const Instruction& in) {
  const std::string_view text = kernel.module->text;
  size_t line = 1;
  for (size_t at = text.find('\n'); at < in.at; at = text.find('\n', at + 1)) line++;
  const std::string_view statement = text.substr(in.at, text.find_first_of(";\n", in.at) - in.at);
  return kernel.name + ", line " + std::to_string(line) + ": " + std::string(statement.substr(0, 200)) +
         source_of(text, in.at);
}

Declaration read_declaration(Text& text) {
  Declaration declared;
  for (std::string_view word = text.take();; word = text.take()) {
    if (word == ".align") {
      declared.align = static_cast<uint32_t>(number_of(text.take()));
    } else if (word.starts_with('.')) {
      declared.type = word;
    } else {
      declared.name = word;
      break;
    }
  }
  if (declared.type.empty() || declared.name.empty()) fail("PTX: a declaration without a type or a name");
  declared.align = std::max(declared.align, bytes_of_type(declared.type));
  if (text.take_if("[")) {
    declared.is_array = true;
    declared.count = is_number(text.peek()) ? static_cast<uint32_t>(number_of(text.take())) : 0;
    text.expect("]");
  }
  return declared;
}

void add_module(std::string_view text) {
  const std::lock_guard lock(modules().mutex);
  auto* module = new Module{text, {}, {}, {}};  // kernels point to it
  read_module(*module);
}

Kernel* find_kernel(const std::string& name) {
  const std::lock_guard lock(modules().mutex);
  std::unique_ptr<Kernel>& kernel = modules().kernels[name];
  if (kernel == nullptr) {
    const auto found = modules().of_kernels.find(name);
    if (found == modules().of_kernels.end()) return nullptr;
    kernel = read_kernel(*found->second, found->first, found->second->functions.at(found->first));
  }
  return kernel.get();
}

}  // namespace forja::ptx
