// Shapes and attributes to geometry, as geometry.h says.
#include "geometry.h"

namespace forja {
namespace {

template <class Attrs>
ConvGeometry conv_of(const fj_value& image, int64_t k, int64_t r, int64_t s, int64_t oh, int64_t ow, int64_t groups,
                     const Attrs& attrs) {
  return {image.dims[0],
          image.dims[1],
          image.dims[2],
          image.dims[3],
          k,
          r,
          s,
          oh,
          ow,
          attrs.stride[0],
          attrs.stride[1],
          attrs.padding[0],
          attrs.padding[1],
          attrs.dilation[0],
          attrs.dilation[1],
          groups};
}

RecurrentGeometry recurrent_of(const fj_value& x, const fj_value& h0, int cell, bool reverse) {
  const bool lstm = cell == FJ_CELL_LSTM, gru = cell == FJ_CELL_GRU;
  RecurrentGeometry r{};
  r.cell = cell;
  r.reverse = reverse;
  r.n = x.dims[0];
  r.t = x.dims[1];
  r.i = x.dims[2];
  r.h = h0.dims[1];
  r.gates = lstm || gru ? 4 : 1;
  r.x_gates = r.h_gates = gru ? 3 : r.gates;
  r.saved = lstm ? 5 : gru ? 4 : 1;
  return r;
}

void row_major_strides(const fj_value& value, int64_t* strides) {
  int64_t stride = 1;
  for (int axis = value.rank - 1; axis >= 0; axis--) strides[axis] = stride, stride *= value.dims[axis];
}

}  // namespace

int64_t element_count(const fj_value& value) { return element_count(value, 0, value.rank); }

int64_t element_count(const fj_value& value, int first, int last) {
  int64_t count = 1;
  for (int axis = first; axis < last; axis++) count *= value.dims[axis];
  return count;
}

int64_t element_size(const fj_value& value) { return fj_dtype_bytes(value.dtype); }

std::string call_key(uint16_t opcode, const void* attrs, size_t attr_bytes, const Operand* operands, int count) {
  std::string key;
  const auto append = [&](const void* data, size_t bytes) { key.append(static_cast<const char*>(data), bytes); };
  append(&opcode, sizeof(opcode));
  append(attrs, attr_bytes);
  for (int i = 0; i < count; i++) {
    const fj_value& value = *operands[i].value;
    append(&value.dtype, sizeof(value.dtype));
    append(value.dims, sizeof(uint32_t) * value.rank);
    key.push_back('/');
  }
  return key;
}

void Loops::add(int64_t n, int64_t from_step, int64_t to_step) {
  if (n == 1) return;
  size[count] = n, from[count] = from_step, to[count] = to_step;
  count++;
}

void Loops::collapse() {
  int kept = 0;
  for (int i = 1; i < count; i++) {
    if (from[kept] == from[i] * size[i] && to[kept] == to[i] * size[i]) {
      size[kept] *= size[i], from[kept] = from[i], to[kept] = to[i];
    } else {
      kept++;
      size[kept] = size[i], from[kept] = from[i], to[kept] = to[i];
    }
  }
  if (count > 0) count = kept + 1;
}

int64_t Loops::combinations() const { return combinations(count); }

int64_t Loops::combinations(int outer) const {
  int64_t n = 1;
  for (int i = 0; i < outer; i++) n *= size[i];
  return n;
}

Loops transpose_loops(const fj_value& x, const fj_value& y, const int32_t* perm) {
  int64_t from[FJ_MAX_RANK], to[FJ_MAX_RANK];
  row_major_strides(x, from);
  row_major_strides(y, to);
  Loops loops;
  for (int axis = 0; axis < y.rank; axis++) loops.add(y.dims[axis], from[perm[axis]], to[axis]);
  loops.collapse();
  return loops;
}

BroadcastRuns broadcast_runs(const fj_value& x, const fj_value& y) {
  BroadcastRuns runs;
  runs.rank = 0;
  int64_t stride = 1;
  for (int axis = y.rank - 1; axis >= 0; axis--) {
    const int from = axis - (y.rank - x.rank);
    const int64_t dim = y.dims[axis], own = from < 0 ? 1 : x.dims[from];
    if (dim == 1) continue;
    const int64_t step = own == 1 ? 0 : stride;
    stride *= own;
    const int last = runs.rank - 1;
    if (last >= 0 && step == runs.strides[last] * runs.dims[last]) {
      runs.dims[last] *= dim;
    } else {
      runs.dims[runs.rank] = dim;
      runs.strides[runs.rank++] = step;
    }
  }
  return runs;
}

MatmulGeometry matmul_geometry(const Operand& of_a, const Operand& of_b, const Operand& of_y,
                               const fj_matmul_attrs& attrs) {
  const fj_value &a = *of_a.value, &b = *of_b.value, &y = *of_y.value;
  MatmulGeometry g{};
  g.m = y.dims[y.rank - 2];
  g.n = y.dims[y.rank - 1];
  g.k = a.dims[a.rank - (attrs.transpose_a ? 2 : 1)];
  g.trans_a = attrs.transpose_a != 0;
  g.trans_b = attrs.transpose_b != 0;
  g.count = element_count(y, 0, y.rank - 2);
  if (!g.trans_a && element_count(b, 0, b.rank - 2) == 1 && element_count(a, 0, a.rank - 2) == g.count) {
    g.m *= g.count;
    g.count = 1;
    return g;
  }
  int64_t step_a = 1, step_b = 1;
  for (int axis = y.rank - 3; axis >= 0; axis--) {
    const int own_a = axis - (y.rank - a.rank), own_b = axis - (y.rank - b.rank);
    const int64_t dim_a = own_a < 0 ? 1 : a.dims[own_a], dim_b = own_b < 0 ? 1 : b.dims[own_b];
    g.dims[g.rank] = y.dims[axis];
    g.steps_a[g.rank] = dim_a == 1 ? 0 : step_a;
    g.steps_b[g.rank] = dim_b == 1 ? 0 : step_b;
    g.rank++;
    step_a *= dim_a, step_b *= dim_b;
  }
  return g;
}

template <class Attrs>
ConvGeometry conv_geometry(const Operand& image, const Operand& filter, const Operand& maps, const Attrs& attrs) {
  const uint32_t *f = filter.value->dims, *m = maps.value->dims;
  return conv_of(*image.value, f[3], f[0], f[1], m[1], m[2], attrs.groups, attrs);
}
template ConvGeometry conv_geometry(const Operand&, const Operand&, const Operand&, const fj_conv2d_attrs&);
template ConvGeometry conv_geometry(const Operand&, const Operand&, const Operand&, const fj_conv2d_grad_input_attrs&);
template ConvGeometry conv_geometry(const Operand&, const Operand&, const Operand&, const fj_conv2d_grad_weight_attrs&);

template <class Attrs>
ConvGeometry columns_geometry(const Operand& image, const Operand& columns, const Attrs& attrs) {
  const uint32_t* m = columns.value->dims;
  return conv_of(*image.value, 1, m[3], m[4], m[1], m[2], 1, attrs);
}
template ConvGeometry columns_geometry(const Operand&, const Operand&, const fj_im2col_attrs&);
template ConvGeometry columns_geometry(const Operand&, const Operand&, const fj_col2im_attrs&);

template <class Attrs>
PoolGeometry pool_geometry(const Operand& image, const Operand& maps, const Attrs& a) {
  const uint32_t *x = image.value->dims, *y = maps.value->dims;
  const bool adaptive = a.adaptive != 0;
  return {x[0],
          x[3],
          {x[1], y[1], a.kernel[0], a.stride[0], a.padding[0], a.padding[2], adaptive},
          {x[2], y[2], a.kernel[1], a.stride[1], a.padding[1], a.padding[3], adaptive}};
}
template PoolGeometry pool_geometry(const Operand&, const Operand&, const fj_max_pool2d_attrs&);
template PoolGeometry pool_geometry(const Operand&, const Operand&, const fj_max_pool2d_grad_attrs&);
template PoolGeometry pool_geometry(const Operand&, const Operand&, const fj_max_pool2d_gather_attrs&);
template PoolGeometry pool_geometry(const Operand&, const Operand&, const fj_avg_pool2d_attrs&);
template PoolGeometry pool_geometry(const Operand&, const Operand&, const fj_avg_pool2d_grad_attrs&);

template <class Attrs>
PooledConvGeometry pooled_conv_geometry(const Operand& image, const Operand& filter, const Operand& pooled,
                                        const Attrs& a) {
  const uint32_t *x = image.value->dims, *f = filter.value->dims, *p = pooled.value->dims;
  const auto axis = [&](int i) {
    return PoolAxis{a.size[i], p[i + 1], a.window[i], a.window_stride[i], a.window_padding[i], a.window_padding[i + 2],
                    false};
  };
  return {{x[0], x[1], x[2], x[3], f[3], f[0], f[1], a.size[0], a.size[1], a.stride[0], a.stride[1], a.padding[0],
           a.padding[1], 1, 1, 1},
          axis(0),
          axis(1)};
}
template PooledConvGeometry pooled_conv_geometry(const Operand&, const Operand&, const Operand&,
                                                 const fj_conv2d_max_pool_attrs&);
template PooledConvGeometry pooled_conv_geometry(const Operand&, const Operand&, const Operand&,
                                                 const fj_conv2d_pooled_grad_input_attrs&);
template PooledConvGeometry pooled_conv_geometry(const Operand&, const Operand&, const Operand&,
                                                 const fj_conv2d_pooled_grad_weight_attrs&);

template <class Attrs>
RecurrentGeometry recurrent_geometry(const Operand* in, const Attrs& attrs) {
  return recurrent_of(*in[0].value, *in[5].value, attrs.cell, attrs.reverse != 0);
}
template RecurrentGeometry recurrent_geometry(const Operand*, const fj_recurrent_attrs&);
template RecurrentGeometry recurrent_geometry(const Operand*, const fj_recurrent_grad_attrs&);

RecurrentGradOperands recurrent_grad_operands(const Operand* in, const Operand* out,
                                              const fj_recurrent_grad_attrs& attrs) {
  const bool lstm = attrs.cell == FJ_CELL_LSTM;
  int next = lstm ? 7 : 6;
  const auto following = [&](bool given) { return given ? in[next++].as<const float>() : nullptr; };
  RecurrentGradOperands o{};
  o.weight_ih = in[1].as<const float>();
  o.weight_hh = in[2].as<const float>();
  o.x = in[0].as<const float>();
  o.h0 = in[5].as<const float>();
  o.c0 = lstm ? in[6].as<const float>() : nullptr;
  o.y = following(true);
  o.gates = following(true);
  o.dy = following((attrs.given & 1) != 0);
  o.dh_last = following((attrs.given & 2) != 0);
  o.dc_last = following((attrs.given & 4) != 0);
  o.d_weight_ih = out[0].as<float>();
  o.d_weight_hh = out[1].as<float>();
  o.d_bias_ih = out[2].as<float>();
  o.d_bias_hh = out[3].as<float>();
  o.dh = out[4].as<float>();
  o.dc = lstm ? out[5].as<float>() : nullptr;
  o.dx = attrs.dx ? out[lstm ? 6 : 5].as<float>() : nullptr;
  return o;
}

}  // namespace forja
