#!/usr/bin/env bash
# What nvcc made of the kernels, run by the CPU (`npm run test:ptx`): the tests of a GPU on a module of its own, which
# native/cuda/ptx builds in build/cuda. Arguments are vitest's.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/cuda/bin
command -v nvcc >/dev/null || { echo 'no nvcc here, whose PTX these tests run' >&2; exit 1; }
cmake -S . -B build/cuda -DFORJA_CUDA=ON -DFORJA_CUDA_PTX=ON \
  -DFORJA_CUDA_ARCHITECTURES="${FORJA_CUDA_ARCHITECTURES:-90a-virtual}" >/dev/null
cmake --build build/cuda --target forja_cuda_ptx --parallel 2 >/dev/null
# The addon looks for the module beside itself.
cp build/Release/forja.node build/cuda/ptx/
FORJA_NATIVE_PATH="$PWD/build/cuda/ptx/forja.node" FORJA_TEST_GPU=1 FORJA_TEST_PTX=1 npx vitest run "$@"
