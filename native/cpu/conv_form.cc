// choose_form of conv_direct.h: which form a direct convolution takes, by what it costs and what it needs.
#include "conv_direct.h"

namespace forja::FJ_ISA {
namespace {

// Of a convolution whose pixels are not blocked yet.
DirectForm best_form(const DirectConv& d) {
  if (d.r * d.s == 1) return DirectForm::kRows;
  const double inside = share_inside(d.oh, d.r, d.stride_h, d.pad_top, d.dilation_h, d.h);  // all forms skip rows
  // A tile one vector wide is held up by its broadcasts.
  const int64_t block = best_pixel_block(d.s, d.stride_w, d.k, d.ow);
  const bool can_block = d.groups == 1 && d.dilation_w == 1 && d.y_pixel == d.k;
  const double vectors =
      can_block ? static_cast<double>(d.s + (block - 1) * d.stride_w) / d.s * ceil_div(block * d.k, kWidth) / block
                : ceil_div(d.k, kWidth);
  double least = vectors * kWidth * (vectors <= 1 ? 1.3 : 1.0) * inside;
  DirectConv other = d;
  const auto fits = [&](DirectForm form) {
    other.form = form;
    return d.n >= 8 && batch_fits(other);
  };
  DirectForm best = d.ow < 8 && fits(DirectForm::kImages) ? DirectForm::kImages : DirectForm::kRows;
  const auto consider = [&](DirectForm form, double cost) {
    if (cost < least) best = form, least = cost;
  };
  if (fits(DirectForm::kLanes)) consider(DirectForm::kLanes, lanes_cost(other) * inside);
  if (columns_apply(d)) consider(DirectForm::kColumns, columns_cost(d) * inside);
  if (scatter_applies(d)) consider(DirectForm::kScatter, scatter_cost(d) * inside);
  return best;
}

}  // namespace

double share_inside(int64_t count, int64_t taps, int64_t stride, int64_t pad, int64_t dilation, int64_t extent) {
  // Tap by tap, the outputs that see it inside: a filter is in memory, while outputs that are pooled need not be.
  int64_t inside = 0;
  for (int64_t t = 0; t < taps; t++) {
    const Range range = valid_taps(count, t * dilation - pad, stride, extent);
    inside += range.end - range.begin;
  }
  return count * taps > 0 ? static_cast<double>(inside) / (count * taps) : 1.0;
}

int64_t best_pixel_block(int64_t s, int64_t stride_w, int64_t k, int64_t ow) {
  if (k >= kWidth) return 1;
  int64_t best = 1;
  double best_cost = 1e30;
  for (int64_t block = 1; block <= ow && block * k <= 64; block++) {
    if (ow % block != 0) continue;
    const int64_t vectors = ceil_div(block * k, kWidth);
    // Multiply-adds per output pixel; a tile one vector wide runs some 5 % slower than one of two.
    const double cost = static_cast<double>((s + (block - 1) * stride_w) * vectors) / block * (vectors == 1 ? 1.05 : 1);
    if (cost < best_cost - 1e-9) {
      best_cost = cost;
      best = block;
    }
  }
  return best;
}

void choose_form(DirectConv& d) {
  if (is_depthwise(d)) return;
  d.form = best_form(d);
  if (d.form != DirectForm::kRows && d.form != DirectForm::kImages) return;
  if (d.groups != 1 || d.dilation_w != 1 || d.y_pixel != d.k) return;
  const int64_t block = best_pixel_block(d.s, d.stride_w, d.k, d.ow);
  d.block = block;
  d.s += (block - 1) * d.stride_w;
  d.stride_w *= block;
  d.ow /= block;
  d.y_pixel *= block;
  d.k *= block;
}

}  // namespace forja::FJ_ISA
