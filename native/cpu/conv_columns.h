// The rows of sums that a convolution of few channels to few is made of (conv_columns.cc), for those who finish them.
#pragma once

#include "conv_direct.h"

namespace forja::FJ_ISA {

// Floats of a row of sums of one channel: whole vectors.
FJ_INLINE int64_t sums_width(const DirectConv& d) { return ceil_div(d.ow, kWidth) * kWidth; }

class ColumnRows {
 public:
  // `mine` as for columns_run.
  ColumnRows(const DirectConv& d, const float* packed, float* mine);
  // Output row p of image n, bias and activation included, as sums (k, plane), of which sums_width are written. Further
  // rows below `end` are going to be asked for: what they see is copied with what row p sees.
  void sum(int64_t n, int64_t p, int64_t end, float* sums, int64_t plane);

 private:
  void hold(int64_t n, Range rows);

  const DirectConv& d_;
  const float* packed_;
  float* strip_;
  int64_t width_, most_rows_;
  int64_t n_ = -1;    // the image and the
  Range held_{0, 0};  // output rows whose inputs lie in the strip
};

}  // namespace forja::FJ_ISA
