#!/usr/bin/env bash
# Fuzz and operation tests under AddressSanitizer and UndefinedBehaviorSanitizer (`npm run test:asan`). The addon is
# built apart, in build/asan; Node itself is not instrumented, so the sanitizer's library is loaded before it.
set -euo pipefail
cd "$(dirname "$0")/.."
npx cmake-js build --out build/asan --CDCMAKE_BUILD_TYPE=Release --CDFORJA_SANITIZE=ON \
  --CDFORJA_BUILD_ISAS="${FORJA_BUILD_ISAS:-}"
export FORJA_NATIVE_PATH="$PWD/build/asan/Release/forja.node"
# Node leaks by design at exit; libgomp's threads end with the process. A huge request must fail, not abort.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:abort_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
libasan=$(g++ -print-file-name=libasan.so)
libubsan=$(g++ -print-file-name=libubsan.so)
LD_PRELOAD="$libasan:$libubsan" npx vitest run "${@:-test/native/fuzz.test.ts}"
