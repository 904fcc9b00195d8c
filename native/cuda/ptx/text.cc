#include "text.h"

#include <cctype>
#include <cstdlib>
#include <string>

#include "machine.h"

namespace forja::ptx {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.';
}

// The length of the word or sign at the begin of `text`, which is none of a comment or a space.
size_t length_of_word(std::string_view text) {
  const size_t sign = text.size() > 1 && text[0] == '-' && is_digit(text[1]) ? 1 : 0;
  size_t end = sign;
  while (end < text.size()) {
    if (is_of_word(text[end])) {
      end++;
    } else if (end > 0 && text.substr(end, 2) == "::") {  // as in shared::cta
      end += 2;
    } else {
      break;
    }
  }
  if (end > 0) return end;
  if (text[0] != '"') return 1;
  const size_t close = text.find('"', 1);
  return close == std::string_view::npos ? text.size() : close + 1;
}

}  // namespace

void Text::find_next() {
  const auto skip_behind_next = [&](std::string_view end) {
    const size_t found = all_.find(end, at_);
    at_ = found == std::string_view::npos ? all_.size() : found + end.size();
  };
  for (;;) {
    while (at_ < all_.size() && std::isspace(static_cast<unsigned char>(all_[at_]))) at_++;
    if (all_.substr(at_, 2) == "//") {
      skip_behind_next("\n");
    } else if (all_.substr(at_, 2) == "/*") {
      skip_behind_next("*/");
    } else {
      break;
    }
  }
  length_ = at_ < all_.size() ? length_of_word(all_.substr(at_)) : 0;
}

std::string_view Text::take() {
  const std::string_view word = peek();
  at_ += length_;
  find_next();
  return word;
}
bool Text::take_if(std::string_view sign) {
  if (peek() != sign) return false;
  take();
  return true;
}
void Text::expect(std::string_view sign) {
  if (take_if(sign)) return;
  const std::string given(done() ? "the end" : peek()), wanted(sign);
  fail("PTX: %s where %s was expected", given.c_str(), wanted.c_str());
}
void Text::skip_line() {
  const size_t end = all_.find('\n', at_);
  skip_to(end == std::string_view::npos ? all_.size() : end);
}
void Text::skip_to(size_t at) {
  at_ = at;
  find_next();
}
void Text::skip_behind(std::string_view sign) {
  while (!done() && take() != sign) {
  }
}

bool is_number(std::string_view word) {
  return !word.empty() && (is_digit(word[0]) || (word.size() > 1 && word[0] == '-' && is_digit(word[1])));
}
uint64_t number_of(std::string_view word) {
  if (!is_number(word)) fail("PTX: %s where a number was expected", std::string(word).c_str());
  const std::string text(word);
  const char kind = text.size() > 1 && text[0] == '0' ? text[1] : ' ';
  const bool is_float = kind == 'f' || kind == 'F' || kind == 'd' || kind == 'D';
  if (is_float) return std::strtoull(text.c_str() + 2, nullptr, 16);
  return text[0] == '-' ? static_cast<uint64_t>(std::strtoll(text.c_str(), nullptr, 0))
                        : std::strtoull(text.c_str(), nullptr, 0);
}

uint32_t bytes_of_type(std::string_view type) {
  const size_t digits = type.find_first_of("0123456789");
  const uint32_t bits = digits == std::string_view::npos ? 0 : std::atoi(std::string(type.substr(digits)).c_str());
  if (bits == 0 || bits % 8 != 0) fail("PTX: %s is no type in memory", std::string(type).c_str());
  return bits / 8;
}

}  // namespace forja::ptx
