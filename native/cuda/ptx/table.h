// All instructions by their name with all suffixes, but for loads and stores, whose parts are chosen one by one
// (find_memory_instruction).
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>

#include "lanes.h"

namespace forja::ptx {

class Table {
 public:
  void add(std::string name, Form form) { forms_.insert_or_assign(std::move(name), std::move(form)); }
  const Form* find(const std::string& name) const {
    const auto found = forms_.find(name);
    return found == forms_.end() ? nullptr : &found->second;
  }

 private:
  std::unordered_map<std::string, Form> forms_;
};

const Table& table();

// Comparisons that integers and floats have alike; of a NaN none holds.
template <class T>
void add_order(Table& table, const std::string& type) {
  table.add("setp.eq." + type, compare<T>([](T a, T b) { return a == b; }));
  table.add("setp.lt." + type, compare<T>([](T a, T b) { return a < b; }));
  table.add("setp.le." + type, compare<T>([](T a, T b) { return a <= b; }));
  table.add("setp.gt." + type, compare<T>([](T a, T b) { return a > b; }));
  table.add("setp.ge." + type, compare<T>([](T a, T b) { return a >= b; }));
}

void add_integers(Table&);
void add_floats(Table&);
void add_conversions(Table&);
void add_moves(Table&);
void add_control(Table&);
void add_memory_instructions(Table&);
void add_copies(Table&);
void add_warp_instructions(Table&);
void add_matrices(Table&);
void add_warpgroup(Table&);

}  // namespace forja::ptx
