// A kernel's statements as instructions: names become registers, constants and addresses, labels places in the code.
// Functions that it calls are written in where they are called.
#include <algorithm>

#include "memory.h"
#include "module.h"
#include "table.h"

namespace forja::ptx {
namespace {

// A name or a number, or an address of one, [name+offset].
struct Argument {
  std::string_view name;
  bool is_address = false;
  int64_t offset = 0;
};
// What commas part: more than one argument of {a, b} and a|b.
using Arguments = std::vector<std::vector<Argument>>;

struct Name {
  enum class What : uint8_t { kRegister, kParameter, kShared, kDynamicShared, kLocal };
  What what;
  char kind;    // of a register, as in Form
  uint32_t at;  // the register, or the offset
};
// Registers <prefix>0, <prefix>1 ..
struct Range {
  char kind;
  Operand first;
  uint32_t count;
};
struct Scope {
  std::unordered_map<std::string_view, Name> names;
  std::unordered_map<std::string_view, Range> ranges;  // by prefix
};

uint32_t bytes_of_kind(char kind) { return kind == '8' ? 8 : 4; }
char kind_of_bytes(uint32_t bytes) { return bytes == 8 ? '8' : '4'; }
uint32_t rounded_up(uint32_t value, uint32_t to) { return (value + to - 1) / to * to; }

struct SpecialName {
  std::string_view name;
  Special::What what;
  uint32_t detail;
};
constexpr SpecialName kSpecials[] = {{"%tid.x", Special::What::kTid, 0},
                                     {"%tid.y", Special::What::kTid, 1},
                                     {"%tid.z", Special::What::kTid, 2},
                                     {"%ntid.x", Special::What::kNtid, 0},
                                     {"%ntid.y", Special::What::kNtid, 1},
                                     {"%ntid.z", Special::What::kNtid, 2},
                                     {"%ctaid.x", Special::What::kCtaid, 0},
                                     {"%ctaid.y", Special::What::kCtaid, 1},
                                     {"%ctaid.z", Special::What::kCtaid, 2},
                                     {"%nctaid.x", Special::What::kNctaid, 0},
                                     {"%nctaid.y", Special::What::kNctaid, 1},
                                     {"%nctaid.z", Special::What::kNctaid, 2},
                                     {"%laneid", Special::What::kLane, 0},
                                     {"%warpid", Special::What::kWarp, 0},
                                     {"%lanemask_lt", Special::What::kLanemaskLt, 0}};

// Qualifiers of loads and stores that change nothing here: one thread runs a block, and one block at a time.
constexpr std::string_view kWithoutEffect[] = {"weak", "volatile", "relaxed", "acquire", "release",
                                               "cta",  "gpu",      "sys",     "nc"};

class Reader {
 public:
  Reader(const Module& module, Kernel& kernel) : module_(module), kernel_(kernel) { scopes_.emplace_back(); }

  void read(const Function& function) {
    read_head(function);
    read_body(function.body + 1, function.end);
    add(*table().find("ret"), {}, {}, function.end);
    for (const auto& [from, label] : jumps_) {
      const auto found = labels_.find(label);
      if (found == labels_.end()) fail("PTX: no label %s", label.c_str());
      kernel_.code[from].immediate = found->second;
    }
    place_dynamic_shared();
  }

 private:
  // What stands before an instruction: @p or @!p.
  struct Guard {
    int predicate = -1;
    bool negated = false;
  };

  // ---- parameters and directives
  void read_head(const Function& function) {
    Text text(module_.text, function.begin, function.body);
    text.take();  // the name
    if (text.take_if("(")) {
      while (text.take_if(".param")) {
        add_parameter(read_declaration(text));
        text.take_if(",");
      }
      text.expect(")");
    }
    while (!text.done()) {
      const std::string_view word = text.take();
      uint32_t product = 1;
      for (bool more = true; more; more = text.take_if(",")) product *= static_cast<uint32_t>(number_of(text.take()));
      if (word == ".maxntid") {
        kernel_.max_threads = product;
      } else if (word != ".minnctapersm" && word != ".maxnreg") {
        fail("PTX: no directive %s of a kernel", std::string(word).c_str());
      }
    }
  }
  void add_parameter(const Declaration& declared) {
    const uint32_t offset = rounded_up(kernel_.parameter_bytes, declared.align);
    scopes_.back().names[declared.name] = {Name::What::kParameter, '8', offset};
    kernel_.parameters.push_back({offset, declared.bytes()});
    kernel_.parameter_bytes = offset + declared.bytes();
  }

  void read_body(size_t from, size_t to) {
    Text text(module_.text, from, to);
    while (!text.done()) {
      const size_t at = text.at();
      try {
        read_statement(text);
      } catch (const Fault& fault) {
        const std::string_view statement = module_.text.substr(at, module_.text.find(';', at) - at);
        throw Fault{fault.text + ", in " + kernel_.name + ": " + std::string(statement.substr(0, 200))};
      }
    }
  }
  void read_statement(Text& text) {
    const size_t at = text.at();
    const std::string_view word = text.take();
    if (word == "{") {
      scopes_.emplace_back();
    } else if (word == "}") {
      scopes_.pop_back();
    } else if (word == "@") {
      Guard guard;
      guard.negated = text.take_if("!");
      guard.predicate = static_cast<int>(source({text.take()}, 'p'));
      read_instruction(text.take(), text, guard, at);
    } else if (word == ".loc") {
      text.skip_line();
    } else if (word == ".pragma") {
      text.skip_behind(";");
    } else if (word.starts_with('.')) {
      declare(word, text);
    } else if (text.take_if(":")) {
      labels_[label_prefix_ + std::string(word)] = kernel_.code.size();
    } else {
      read_instruction(word, text, {}, at);
    }
  }

  void declare(std::string_view space, Text& text) {
    auto& names = scopes_.back().names;
    if (space == ".reg") return declare_registers(text);
    const Declaration declared = read_declaration(text);
    text.expect(";");
    if (space == ".shared") {
      names[declared.name] = {Name::What::kShared, '8', add_shared(declared.variable())};
    } else if (space == ".local") {
      const uint32_t offset = rounded_up(kernel_.local_bytes, declared.align);
      names[declared.name] = {Name::What::kLocal, '8', offset};
      kernel_.local_bytes = rounded_up(offset + declared.bytes(), 16);
    } else if (space == ".param") {  // of a call: a register here
      if (declared.is_array) fail("PTX: an array as the parameter of a call");
      const char kind = kind_of_bytes(declared.bytes());
      names[declared.name] = {Name::What::kRegister, kind, fresh(kind)};
    } else {
      fail("PTX: no state space %s", std::string(space).c_str());
    }
  }
  void declare_registers(Text& text) {
    const std::string_view type = text.take();
    const char kind = type == ".pred" ? 'p' : kind_of_bytes(bytes_of_type(type));
    do {
      const std::string_view name = text.take();
      if (text.take_if("<")) {
        const auto count = static_cast<uint32_t>(number_of(text.take()));
        text.expect(">");
        scopes_.back().ranges[name] = {kind, fresh(kind, count), count};
      } else {
        scopes_.back().names[name] = {Name::What::kRegister, kind, fresh(kind)};
      }
    } while (text.take_if(","));
    text.expect(";");
  }

  uint32_t add_shared(const Variable& variable) {
    const uint32_t offset = rounded_up(kernel_.static_shared, variable.align);
    kernel_.static_shared = offset + variable.bytes;
    return offset;
  }
  // Behind all static variables, as far as it is aligned.
  void place_dynamic_shared() {
    kernel_.dynamic_begin = rounded_up(kernel_.static_shared, dynamic_align_);
    for (const auto& [operand, kind] : dynamic_constants_) put_constant(operand, kind, kernel_.dynamic_begin);
  }

  // ---- operands
  Operand fresh(char kind, uint32_t count = 1) {
    uint32_t& end = kind == 'p' ? kernel_.predicates : kernel_.register_bytes;
    const Operand first = end;
    end += kind == 'p' ? count : count * kLanes * bytes_of_kind(kind);
    return first;
  }
  Operand add_constant(char kind) {
    const size_t offset = kernel_.constants.size();
    kernel_.constants.resize(offset + kLanes * bytes_of_kind(kind));
    return static_cast<Operand>(offset) | kOfConstants;
  }
  void put_constant(Operand operand, char kind, uint64_t value) {
    const uint32_t bytes = bytes_of_kind(kind);
    unsigned char* to = &kernel_.constants[operand & ~kOfConstants];
    for (uint32_t lane = 0; lane < kLanes; lane++) std::memcpy(to + lane * bytes, &value, bytes);
  }
  Operand constant(char kind, uint64_t value) {
    if (kind == 'p') return value != 0 ? kTrue : kFalse;
    const auto [entry, is_new] = constants_.try_emplace({kind, value}, 0);
    if (is_new) {
      entry->second = add_constant(kind);
      put_constant(entry->second, kind, value);
    }
    return entry->second;
  }
  Operand special(Special::What what, uint32_t detail, char kind) {
    for (const Special& known : kernel_.specials) {
      if (known.what == what && known.detail == detail) return known.at;
    }
    kernel_.specials.push_back({fresh(kind), what, detail});
    return kernel_.specials.back().at;
  }

  const Name* find(std::string_view name) {
    const size_t digits = name.find_last_not_of("0123456789") + 1;
    const std::string_view prefix = name.substr(0, digits);
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->names.find(name); found != scope->names.end()) return &found->second;
      const auto range = scope->ranges.find(prefix);
      if (range == scope->ranges.end() || digits == name.size()) continue;
      const auto [kind, first, count] = range->second;
      const uint64_t index = number_of_decimal(name.substr(digits));
      if (index >= count) continue;
      const auto step = kind == 'p' ? 1 : kLanes * bytes_of_kind(kind);
      const Name found{Name::What::kRegister, kind, first + static_cast<uint32_t>(index) * step};
      return &(scope->names[name] = found);
    }
    return find_in_module(name);
  }
  static uint64_t number_of_decimal(std::string_view digits) {
    uint64_t value = 0;
    for (const char digit : digits) value = value * 10 + static_cast<uint64_t>(digit - '0');
    return value;
  }
  // A shared variable of the module has its place in the kernels that use it.
  const Name* find_in_module(std::string_view name) {
    const auto found = module_.shared.find(name);
    if (found == module_.shared.end()) return nullptr;
    Name made{Name::What::kDynamicShared, '8', 0};
    if (found->second.bytes == 0) {
      dynamic_align_ = std::max(dynamic_align_, found->second.align);
    } else {
      made = {Name::What::kShared, '8', add_shared(found->second)};
    }
    return &(scopes_.front().names[name] = made);
  }

  // The kind of the register of this name; 0 where there is none.
  char kind_of_register(std::string_view name) {
    const Name* found = is_number(name) ? nullptr : find(name);
    return found != nullptr && found->what == Name::What::kRegister ? found->kind : '\0';
  }

  // What an instruction reads, or writes, of this kind.
  Operand source(const Argument& argument, char kind) {
    const std::string_view name = argument.name;
    if (is_number(name)) return constant(kind, number_of(name));
    if (name == "_") return fresh(kind);
    const Name* found = find(name);
    if (found == nullptr) return source_of_module(name, kind);
    switch (found->what) {
      case Name::What::kRegister:
        if (found->kind != kind) fail("PTX: register %s is not of the instruction's size", std::string(name).c_str());
        return found->at;
      case Name::What::kDynamicShared:
        dynamic_constants_.emplace_back(add_constant(kind), kind);
        return dynamic_constants_.back().first;
      case Name::What::kLocal:
        return special(Special::What::kLocal, found->at, '8');
      default:
        return constant(kind, found->at);
    }
  }
  Operand source_of_module(std::string_view name, char kind) {
    const auto global = module_.globals.find(name);
    if (global != module_.globals.end()) return constant(kind, reinterpret_cast<uint64_t>(global->second));
    for (const SpecialName& one : kSpecials) {
      if (one.name == name) return special(one.what, one.detail, '4');
    }
    fail("PTX: nothing is named %s", std::string(name).c_str());
  }

  Argument read_argument(Text& text) {
    if (!text.take_if("[")) return {text.take()};
    Argument argument{text.take(), true};
    text.take_if("+");
    if (text.peek() != "]") argument.offset = static_cast<int64_t>(number_of(text.take()));
    text.expect("]");
    return argument;
  }
  Arguments read_arguments(Text& text) {
    Arguments all;
    while (!text.take_if(";")) {
      all.emplace_back();
      if (text.peek() == "{" || text.peek() == "(") {
        const std::string_view end = text.take() == "{" ? "}" : ")";
        while (!text.take_if(end)) {
          all.back().push_back(read_argument(text));
          text.take_if(",");
        }
      } else {
        do {
          all.back().push_back(read_argument(text));
        } while (text.take_if("|"));
      }
      if (text.peek() != ";") text.expect(",");
    }
    return all;
  }
  static std::vector<Argument> flat(const Arguments& arguments) {
    std::vector<Argument> all;
    for (const auto& group : arguments) all.insert(all.end(), group.begin(), group.end());
    return all;
  }

  // ---- instructions
  void add(const Form& form, std::vector<Operand> operands, Guard guard, size_t at, int64_t immediate = 0) {
    kernel_.code.push_back({form.execute, std::move(operands), immediate, guard.predicate, guard.negated, at});
  }
  void add_jump(std::string label, Guard guard, size_t at) {
    jumps_.emplace_back(kernel_.code.size(), std::move(label));
    add(*table().find("bra"), {}, guard, at);
  }

  void read_instruction(std::string_view word, Text& text, Guard guard, size_t at) {
    std::string name(word);
    if (name.ends_with(".uni")) name.resize(name.size() - 4);
    const Arguments arguments = read_arguments(text);
    if (name == "bra") return add_jump(label_prefix_ + std::string(arguments.at(0).at(0).name), guard, at);
    if (name == "ret" && !return_label_.empty()) return add_jump(return_label_, guard, at);
    if (name == "call") return call(arguments, guard, at);
    if (name.starts_with("ld.") || name.starts_with("st.")) return access(name, flat(arguments), guard, at);
    add_by_table(name, arguments, guard, at);
  }

  void add_by_table(std::string name, const Arguments& arguments, Guard guard, size_t at) {
    std::vector<Argument> given = flat(arguments);
    if (name.starts_with("mov.b") && arguments.size() == 2) {
      if (arguments[1].size() == 2) name = "pack" + name.substr(3);
      if (arguments[0].size() == 2) name = "unpack" + name.substr(3);
    }
    if (given.size() == 2 && given[1].name == "%clock64") {
      name = given[1].name;
      given.pop_back();
    }
    if (name.starts_with("shfl.") && given.size() == 5) given.insert(given.begin() + 1, {"_"});
    const Form* form = table().find(name);
    if (form == nullptr) fail("PTX: no instruction %s", name.c_str());
    if (given.size() != form->operands.size()) {
      fail("PTX: %s with %zu operands, not %zu", name.c_str(), given.size(), form->operands.size());
    }
    int64_t immediate = 0;
    std::vector<Operand> operands;
    for (size_t i = 0; i < given.size(); i++) {
      const char kind = form->operands[i];
      if (kind == 'i') {
        immediate = static_cast<int64_t>(number_of(given[i].name));
        continue;
      }
      const bool is_cut = name.starts_with("cvt.") && kind == '4' && kind_of_register(given[i].name) == '8';
      operands.push_back(is_cut && i == 1 ? cut(given[i], guard, at) : address(given[i], kind, guard, at));
    }
    add(*form, std::move(operands), guard, at, immediate);
  }
  // Where an argument is an address with an offset, their sum in a register of its own.
  Operand address(const Argument& argument, char kind, Guard guard, size_t at) {
    const Operand base = source(argument, kind);
    if (argument.offset == 0) return base;
    const Operand sum = fresh(kind);
    const auto offset = static_cast<uint64_t>(argument.offset);
    add(*table().find(kind == '8' ? "add.u64" : "add.u32"), {sum, base, constant(kind, offset)}, guard, at);
    return sum;
  }
  // The lower half of a wider register, of which a conversion may read some bytes.
  Operand cut(const Argument& wide, Guard guard, size_t at) {
    const Operand low = fresh('4');
    add(*table().find("cvt.u32.u64"), {low, source(wide, '8')}, guard, at);
    return low;
  }

  // A load or a store: the address stands behind or before the registers.
  void access(const std::string& name, std::vector<Argument> arguments, Guard guard, size_t at) {
    MemoryForm form{name.starts_with("st."), "", "", 1, false, true};
    size_t from = 3;
    for (size_t dot = name.find('.', from); dot != std::string::npos; dot = name.find('.', from)) {
      take_qualifier(form, std::string_view(name).substr(from, dot - from));
      from = dot + 1;
    }
    form.type = std::string_view(name).substr(from);
    const auto address = form.is_store ? arguments.begin() : arguments.end() - 1;
    const Argument base = *address;
    arguments.erase(address);
    if (arguments.size() != form.count || !base.is_address) fail("PTX: %s of other operands", name.c_str());
    const char of_base = kind_of_register(base.name);
    if (form.space == "param" && of_base != '\0' && !base.name.starts_with('%')) {
      return pass(form, base, arguments[0], guard, at);
    }
    char kind = kind_of_register(arguments[0].name);
    if (kind == '\0') kind = kind_of_bytes(bytes_of_type(form.type));
    form.wide_registers = kind == '8';
    form.wide_address = of_base != '4';
    std::vector<Operand> operands;
    for (const Argument& argument : arguments) operands.push_back(source(argument, kind));
    operands.push_back(source(base, form.wide_address ? '8' : '4'));
    const Execute execute = find_memory_instruction(form);
    if (execute == nullptr) fail("PTX: no instruction %s", name.c_str());
    add({execute, ""}, std::move(operands), guard, at, base.offset);
  }
  static void take_qualifier(MemoryForm& form, std::string_view word) {
    if (word == "v2" || word == "v4") {
      form.count = word == "v2" ? 2 : 4;
    } else if (word == "global" || word == "local" || word == "shared" || word == "param") {
      form.space = word;
    } else if (std::find(std::begin(kWithoutEffect), std::end(kWithoutEffect), word) == std::end(kWithoutEffect)) {
      fail("PTX: no qualifier %s of a load or store", std::string(word).c_str());
    }
  }
  // A parameter of a call.
  void pass(const MemoryForm& form, const Argument& parameter, const Argument& value, Guard guard, size_t at) {
    if (parameter.offset != 0 || form.count != 1) fail("PTX: a part of a call's parameter");
    const char kind = kind_of_register(parameter.name);
    const Operand there = source(parameter, kind), here = source(value, kind);
    add(*table().find(kind == '8' ? "mov.b64" : "mov.b32"),
        form.is_store ? std::vector{there, here} : std::vector{here, there}, guard, at);
  }

  // Arguments: (what it returns), name, (parameters).
  void call(const Arguments& arguments, Guard guard, size_t at) {
    if (guard.predicate >= 0) fail("PTX: a call by some lanes");
    const bool returns = arguments.size() > 1 && module_.functions.contains(arguments[1].at(0).name);
    const std::string_view name = arguments.at(returns ? 1 : 0).at(0).name;
    std::vector<Argument> passed;
    for (size_t i = 0; i < arguments.size(); i++) {
      if (i != (returns ? 1u : 0u)) passed.insert(passed.end(), arguments[i].begin(), arguments[i].end());
    }
    const auto function = module_.functions.find(name);
    if (function == module_.functions.end()) {
      return add_by_table(std::string(name), {passed}, guard, at);  // what the runtime does
    }
    write_in(function->second, passed);
  }
  void write_in(const Function& function, const std::vector<Argument>& passed) {
    Scope scope;
    size_t next = 0;
    for (Text text(module_.text, function.begin, function.body); !text.done();) {
      if (text.take() != ".param") continue;
      const Name* given = next < passed.size() ? find(passed[next++].name) : nullptr;
      if (given == nullptr) fail("PTX: a call with %zu parameters", passed.size());
      scope.names[read_declaration(text).name] = *given;
    }
    const std::string label_prefix = label_prefix_, return_label = return_label_;
    label_prefix_ = std::to_string(calls_++) + ":";
    return_label_ = label_prefix_ + "return";
    scopes_.push_back(std::move(scope));
    read_body(function.body + 1, function.end);
    labels_[return_label_] = kernel_.code.size();
    scopes_.pop_back();
    label_prefix_ = label_prefix;
    return_label_ = return_label;
  }

  const Module& module_;
  Kernel& kernel_;
  std::vector<Scope> scopes_;
  std::unordered_map<std::string, int64_t> labels_;
  std::vector<std::pair<size_t, std::string>> jumps_;  // from an instruction to a label
  std::map<std::pair<char, uint64_t>, Operand> constants_;
  std::vector<std::pair<Operand, char>> dynamic_constants_;  // where dynamic shared memory begins, known at the end
  uint32_t dynamic_align_ = 16;
  size_t calls_ = 0;
  std::string label_prefix_, return_label_;  // of the function that is written in
};

}  // namespace

std::unique_ptr<Kernel> read_kernel(const Module& module, std::string_view name, const Function& function) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = name;
  kernel->module = &module;
  Reader(module, *kernel).read(function);
  return kernel;
}

}  // namespace forja::ptx
