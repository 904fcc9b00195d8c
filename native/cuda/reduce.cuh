// Sums that kernels of other families need (reduce.cu).
#pragma once

#include "launch.cuh"

namespace forja::cuda {

// y (columns) = the sum of the rows of x (rows, columns), taken in float64; scratch: sum_rows_scratch(columns) bytes.
void sum_rows(Launcher& to, const float* x, int64_t rows, int64_t columns, float* y, void* scratch);
size_t sum_rows_scratch(int64_t columns);

}  // namespace forja::cuda
