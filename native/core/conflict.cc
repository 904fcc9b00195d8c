#include "conflict.h"

namespace forja {

bool overlap(const fj_value& x, const fj_value& y) {
  return x.storage == y.storage && x.index == y.index && x.bytes > 0 && y.bytes > 0 && x.offset < y.offset + y.bytes &&
         y.offset < x.offset + x.bytes;
}

}  // namespace forja
