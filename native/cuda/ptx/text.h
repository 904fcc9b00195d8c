// PTX as words: PTX ISA, "Syntax".
#pragma once
#include <string_view>

#include "ptx.h"

namespace forja::ptx {

// Words, as ld.global.v4.f32, %r1, -16 or 0f3F800000, and single signs; comments and spaces lie between them.
class Text {
 public:
  Text(std::string_view all, size_t from, size_t to) : all_(all.substr(0, to)), at_(from) { find_next(); }

  std::string_view peek() const { return all_.substr(at_, length_); }  // empty at the end
  size_t at() const { return at_; }
  bool done() const { return length_ == 0; }

  std::string_view take();
  bool take_if(std::string_view sign);
  void expect(std::string_view sign);  // takes it; a fault where there is something else
  void skip_line();
  void skip_to(size_t at);
  void skip_behind(std::string_view sign);

 private:
  void find_next();

  std::string_view all_;
  size_t at_, length_ = 0;  // of the next word
};

// Of 12, -1, 0x1f, 0f3F800000 and 0d3FF0000000000000 the bits.
bool is_number(std::string_view word);
uint64_t number_of(std::string_view word);
// Of a type, as .f32 or b8.
uint32_t bytes_of_type(std::string_view type);

}  // namespace forja::ptx
