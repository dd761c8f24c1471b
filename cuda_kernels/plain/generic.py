"""Plain numba.cuda for every scheme: the product, the dense weights, and the way to kernel words.

No tensor cores and no PTX: these run in Numba's CUDA simulator too. They serve the schemes that
no kernel form holds, bring packed words to kernel forms on the GPU, and are the mathematics that
the fast kernels must reproduce.
"""

import warnings

import numpy as np
from numba import cuda

THREADS = 128
u32 = np.uint32


@cuda.jit(device=True, inline="always")
def field(words, row, first_bit, width):
    """Return ``width`` <= 8 bits of a row's bitstream from bit ``first_bit``."""
    word = first_bit >> u32(4)
    last = (first_bit + width - u32(1)) >> u32(4)
    both = u32(words[row, word]) | (u32(words[row, last]) << u32(16))
    return (both >> (first_bit & u32(15))) & ((u32(1) << width) - u32(1))


@cuda.jit(device=True, inline="always")
def code_at(words, row, column, form):
    """Code of one weight; form = (k, field bits, weights and half-words of a block, shared bit)."""
    k, width, block_weights, block_words, shared_bit = form
    block = column // block_weights
    j = column - block * block_weights
    start = block * block_words * u32(16)
    code = field(words, row, start + j * width, width)
    if k > u32(1):
        shared = field(words, row, start + shared_bit + j // k, u32(1))
        code = (code << u32(1)) | shared
    return code


@cuda.jit
def gemv(words, scales, values, x, out, columns, scale_block, form):
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
        weight = values[code_at(words, row, k, form)] * scales[row, k // scale_block]
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
def dequantize(words, scales, values, out, columns, scale_block, form):
    """out[m, k] = values[code[m, k]] scale[m, k / scale_block]; out: float32[rows, columns]."""
    k = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    row = u32(cuda.blockIdx.y)
    if k < columns:
        code = code_at(words, row, k, form)
        out[row, k] = values[code] * scales[row, k // scale_block]


@cuda.jit
def codes_of(words, out, first_row, columns, form):
    """out[m, k] = code[first_row + m, k]; out: uint8[rows, columns]."""
    k = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    row = u32(cuda.blockIdx.y)
    if k < columns:
        out[row, k] = code_at(words, u32(first_row + row), k, form)


@cuda.jit
def widen(bits, values, out):
    """out[n, k] = values[bits[n, k]]: float16 or bfloat16 to float32 by a table of all patterns."""
    k = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    n = u32(cuda.blockIdx.y)
    if k < u32(out.shape[1]):
        out[n, k] = values[bits[n, k]]


def launch(kernel, grid, threads: int, stream, *arguments) -> None:
    """Launch a plain kernel; Numba's warning about small grids is of no use to the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel[grid, threads, stream](*arguments)
