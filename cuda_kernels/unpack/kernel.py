"""Words and tails of a kernel form -> canonical words: what `cuda_kernels.pack` took.

A thread writes one half-word, bit by bit. Bits that belong to no weight come back as zeros.
"""

from numba import cuda

from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Kernel
from cuda_kernels.ptx import store_half_if, u32, u64
from cuda_kernels.signature import address, count

THREADS = 64
HALF_WORD = 16


def make_unpack(form: Form):
    """Make the kernel of one form."""
    code_of = form.device.code

    def unpack(
        words: address, tails: address, canonical: address, rows: count, columns: count,
        units: count, k: count, field_bits: count, block_weights: count, block_words: count,
        shared_bit: count, row_words: count, widening: count,
    ):  # fmt: skip
        """canonical[row, h] = half-word h of the row; the arguments are those of `pack`."""
        i = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        wanted = u32(i < u32(rows * row_words))
        i = u32(i * wanted)
        row = u32(i // row_words)
        h = u32(i - row * row_words)
        block = u32(h // block_words)
        first = u32(u32(h - block * block_words) * u32(HALF_WORD))
        stored = (words, tails, units)
        half_word = u32(0)
        for n in range(HALF_WORD):
            bit = u32(first + u32(n))
            shares = u32(k > u32(1))
            shared = u32(shares * u32(bit >= shared_bit))
            own = u32(u32(1) - shared)
            weight = u32(bit // field_bits)
            place = u32(u32(bit - weight * field_bits + shares) * own)
            weight = u32(u32(weight * own) + u32(u32(u32(bit - shared_bit) * k) * shared))
            column = u32(block * block_weights + weight)
            inside = u32(column < columns)
            code = code_of(stored, row, u32(column * inside))
            value = u32(u32(code >> u32(widening + place)) & u32(1))
            half_word = u32(half_word | u32(u32(value * inside) << u32(n)))
        store_half_if(u64(canonical + u64(i) * u64(2)), half_word, wanted)

    return unpack


KERNEL = Kernel(make_unpack)
