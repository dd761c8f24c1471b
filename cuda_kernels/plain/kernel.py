"""The product of canonical words without tensor cores: correct for every scheme, and not fast.

A block takes a row of weights and one of x; the threads' sums are added in order.
"""

from numba import cuda

from cuda_kernels.forms.canonical import code_at
from cuda_kernels.kernel import Kernel
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.parts.values import make_activation, make_value_of
from cuda_kernels.ptx import (
    STORE,
    f32,
    load_f32,
    load_shared_f32,
    shared_address,
    store_shared_f32,
    u32,
    u64,
)
from cuda_kernels.signature import address, count

THREADS = 128


def make_plain(dtype: str, *, x_dtype: str, exponent_bits: int, mantissa_bits: int):
    """Make the kernel of one minifloat and dtypes of x and the result."""
    value_of, activation = make_value_of(exponent_bits, mantissa_bits), make_activation(x_dtype)
    store, size = STORE[dtype], OUT_BYTES[dtype]

    def plain(
        weights: address, scales: address, bias: address, x: address, out: address,
        rows: count, columns: count, scale_block: count, scale_blocks: count, k: count,
        field_bits: count, block_weights: count, block_words: count, shared_bit: count,
        row_words: count,
    ):  # fmt: skip
        """out[n, m] = sum_c value[m, c] scale[m, c / scale_block] x[n, c] + bias[m].

        weights: uint16[rows, row_words] as stored; scales: float32[rows, scale_blocks]
        x: x_dtype[batch, columns]; out: dtype[batch, rows]; bias 0 for none
        """
        numbers = (k, field_bits, block_weights, block_words, shared_bit)
        t, row, n = u32(cuda.threadIdx.x), u32(cuda.blockIdx.x), u32(cuda.blockIdx.y)
        words = u64(weights + u64(row) * u64(row_words) * u64(2))
        total = f32(0)
        base = u32(0)
        while base < columns:
            wanted = u32(u32(base + t) < columns)
            column = u32(u32(base + t) * wanted)
            code = code_at(words, column, numbers, wanted)
            at = u64(u64(row) * u64(scale_blocks) + u64(u32(column // scale_block)))
            weight = f32(value_of(code) * load_f32(u64(scales + at * u64(4))))
            place = u64(u64(n) * u64(columns) + u64(column))
            total = f32(total + f32(weight * activation(u64(x + place * u64(2)), wanted)))
            base = u32(base + u32(THREADS))
        shared = shared_address(cuda.shared.array(0, u32))
        store_shared_f32(u32(shared + t * u32(8)), total, total, u32(1))
        cuda.syncthreads()
        total = f32(0)
        for i in range(THREADS):
            total = f32(total + load_shared_f32(u32(shared + u32(8 * i)))[0])
        if bias != u64(0):
            total = f32(total + load_f32(u64(bias + u64(row) * u64(4))))
        to = u64(u64(n) * u64(rows) + u64(row))
        store(u64(out + to * u64(size)), total, u32(t == u32(0)))

    return plain


KERNEL = Kernel(make_plain)
