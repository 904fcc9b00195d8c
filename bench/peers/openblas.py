"""OpenBLAS as a peer of the benches, called directly; lib/bench/peers.ts says what it is told and what it answers.

OPENBLAS_CORETYPE, read by the library when it is loaded, chooses its kernels. A call through ctypes costs as much as a
small product: the time of a call that has nothing to multiply is measured and taken off.
"""

import ctypes
import ctypes.util
import statistics
import sys
import time

import protocol

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def load():
    for name in ("libopenblas.so.0", "libopenblas.so", ctypes.util.find_library("openblas")):
        try:
            return ctypes.CDLL(name)
        except (OSError, TypeError):
            continue
    sys.exit("libopenblas was not found")


library = load()
sgemm = library.cblas_sgemm
i, f, p = ctypes.c_int, ctypes.c_float, ctypes.c_void_p
sgemm.argtypes = [i, i, i, i, i, i, f, p, i, p, i, f, p, i]
sgemm.restype = None
library.openblas_get_config.restype = library.openblas_get_corename.restype = ctypes.c_char_p


def hello(threads, _device):
    library.openblas_set_num_threads(threads)
    square = (ctypes.c_float * 64)()
    # Kernels that the processor does not have end the process here.
    sgemm(ROW_MAJOR, PLAIN, PLAIN, 8, 8, 8, 1, square, 8, square, 8, 0, (ctypes.c_float * 64)(), 8)
    version = library.openblas_get_config().decode().split()[1]
    return f"OpenBLAS {version}, {library.openblas_get_corename().decode()} kernels"


def seconds(arguments):
    begin = time.perf_counter()
    sgemm(*arguments)
    return time.perf_counter() - begin


def matmul(case, files):
    a, b = (ctypes.create_string_buffer(bytes(protocol.read(files[name]))) for name in "ab")
    (rows, columns), (b_rows, b_columns) = files["a"]["shape"], files["b"]["shape"]
    m, k = (columns, rows) if case["transposeA"] else (rows, columns)
    n = b_rows if case["transposeB"] else b_columns
    c = (ctypes.c_float * (m * n))()
    flags = [TRANSPOSED if case[key] else PLAIN for key in ("transposeA", "transposeB")]
    addresses = [ctypes.addressof(x) for x in (a, b, c)]

    def arguments(depth, height):
        return (ROW_MAJOR, *flags, height, n, depth, 1, addresses[0], columns, addresses[1], b_columns, 0, addresses[2], n)

    overhead = statistics.median(seconds(arguments(k, 0)) for _ in range(200))
    product = arguments(k, m)
    sgemm(*product)

    def call():
        return max(seconds(product) - overhead, 1e-9)

    call.operands = (a, b, c)  # kept as long as their addresses are used
    return call, bytes(c)


protocol.serve(hello, matmul, timed=lambda call: call())
