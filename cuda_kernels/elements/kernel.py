"""Dense weights one by one: out[m, c] = value[m, c] scale[m], rounded to float32, then the dtype.

For rows that are no whole 16 bytes, scales per block, and words that are canonical; whole bursts
are several times as fast (`cuda_kernels.dense`).
"""

from numba import cuda

from amssim.launch.geometry import TILE_ROWS
from cuda_kernels.forms.canonical import code_at
from cuda_kernels.forms.form import Form
from cuda_kernels.kernel import Kernel
from cuda_kernels.parts.finish import OUT_BYTES
from cuda_kernels.parts.values import make_value_of
from cuda_kernels.ptx import STORE, f32, load_f32, u32, u64
from cuda_kernels.signature import address, count

THREADS = 64


def make_scale_at(in_order: bool):
    """Make the device function that finds the scale of a weight."""

    @cuda.jit(device=True, inline="always")
    def scale_at(scales, row, column, sizes):
        """sizes: (columns and number of scales along a row, row tiles)."""
        scale_columns, several, row_tiles = sizes
        block = u32(column // scale_columns)
        at = u32(row * several + block)
        if in_order:  # that of `cuda_kernels.scales`
            inside = u32(row & u32(TILE_ROWS - 1))
            stored = u32(u32(row >> u32(4)) * several + block)
            group = u32(u32(stored * u32(8)) + u32(inside & u32(7)))
            pairs = u32(u32(group * u32(2)) + u32(inside >> u32(3)))
            at = u32(u32(row_tiles * u32(TILE_ROWS)) + pairs)
        return load_f32(u64(scales + u64(at) * u64(4)))

    return scale_at


def make_code_at(form: Form | None):
    """Make the device function that finds the code of a weight."""
    if form is not None:
        code_of = form.device.code

        @cuda.jit(device=True, inline="always")
        def code_in_form(stored, canonical, place):
            row, column, _ = place
            return code_of(stored, row, column)

        return code_in_form

    @cuda.jit(device=True, inline="always")
    def code_in_row(stored, canonical, place):
        row, column, wanted = place
        numbers, row_words = canonical
        words = u64(stored[0] + u64(row) * u64(row_words) * u64(2))
        return code_at(words, column, numbers, wanted)

    return code_in_row


def make_elements(
    dtype: str, *, form: Form | None, in_order: bool, exponent_bits: int, mantissa_bits: int
):
    """Make the kernel for words of a form, or canonical ones of a minifloat.

    ``in_order``: scales per block are in the order of `cuda_kernels.scales`.
    """
    value_of = make_value_of(exponent_bits, mantissa_bits)
    scale_at, code_of = make_scale_at(in_order), make_code_at(form)
    store, size = STORE[dtype], OUT_BYTES[dtype]

    def elements(
        weights: address, tails: address, scales: address, out: address, first_row: count,
        columns: count, units: count, row_tiles: count, scale_columns: count, several: count,
        k: count, field_bits: count, block_weights: count, block_words: count,
        shared_bit: count, row_words: count,
    ):  # fmt: skip
        """out: dtype[rows, columns], the rows of the matrix from ``first_row`` on, a block each."""
        c = u32(u32(cuda.blockIdx.x) * u32(THREADS) + u32(cuda.threadIdx.x))
        wanted = u32(c < columns)
        column, own = u32(c * wanted), u32(cuda.blockIdx.y)
        row = u32(first_row + own)
        numbers = (k, field_bits, block_weights, block_words, shared_bit)
        place = (row, column, wanted)
        code = code_of((weights, tails, units), (numbers, row_words), place)
        scale = scale_at(scales, row, column, (scale_columns, several, row_tiles))
        at = u64(u64(own) * u64(columns) + u64(column))
        store(u64(out + at * u64(size)), f32(value_of(code) * scale), wanted)

    return elements


KERNEL = Kernel(make_elements)
