"""Plain numba.cuda for every scheme: the product and the dense weights.

No tensor cores and no PTX: these run in Numba's CUDA simulator too. They serve the schemes that
no kernel form holds, and are the mathematics that the fast kernels must reproduce.
"""

import numpy as np
from numba import cuda

from cuda_kernels.forms.canonical import code_at, u32

THREADS = 128


@cuda.jit
def plain_gemv(words, scales, values, x, out, columns, scale_block, numbers):
    """out[n, m] = sum_k values[code[m, k]] scale[m, k / scale_block] x[n, k].

    words: uint16[rows, half-words] as stored; scales: float32[rows, blocks]
    values: float32[codes]; x: float32[batch, columns]; out: float32[batch, rows]
    A block takes one row of weights and one of x; thread 0 adds the threads' sums in order.
    """
    parts = cuda.shared.array(THREADS, np.float32)
    t, row, n = u32(cuda.threadIdx.x), u32(cuda.blockIdx.x), u32(cuda.blockIdx.y)
    total = np.float32(0)
    k = t
    while k < columns:
        weight = values[code_at(words, row, k, numbers)] * scales[row, k // scale_block]
        total += weight * x[n, k]
        k = u32(k + u32(THREADS))
    parts[t] = total
    cuda.syncthreads()
    if t == 0:
        total = np.float32(0)
        for i in range(THREADS):
            total += parts[i]
        out[n, row] = total


@cuda.jit
def plain_dequantize(words, scales, values, out, columns, scale_block, numbers):
    """out[m, k] = values[code[m, k]] scale[m, k / scale_block]; out: float32[rows, columns]."""
    k = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    row = u32(cuda.blockIdx.y)
    if k < columns:
        code = code_at(words, row, k, numbers)
        out[row, k] = values[code] * scales[row, k // scale_block]


@cuda.jit
def widen_rows(bits, values, out):
    """out[n, k] = values[bits[n, k]]: float16 or bfloat16 to float32 by a table of all patterns."""
    k = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    n = u32(cuda.blockIdx.y)
    if k < u32(out.shape[1]):
        out[n, k] = values[bits[n, k]]
