"""Canonical words <-> the words of a kernel form on the GPU: what `cuda_kernels.forms.host` does.

Plain numba.cuda, one thread per word that is written, equal to the CPU bit for bit. It runs in
Numba's CUDA simulator too.
"""

from functools import cache

import numpy as np
from numba import cuda

from amssim.launch.geometry import BURST
from amssim.layout import layout
from amssim.scheme import Scheme
from cuda_kernels.forms.canonical import (
    THREADS,
    canonical_numbers,
    launch_quietly,
    u32,
    wide_code_at,
)
from cuda_kernels.forms.form import Form


@cuda.jit
def pack_tails(canonical, tails, shape, numbers, widening):
    """tails[tile, burst, lane]: the shared bits of the 32 groups of a lane's four units."""
    i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
    tile = u32(cuda.blockIdx.y)
    if i >= u32(tails.shape[1]) * u32(32):
        return
    lane, burst = i & u32(31), i >> u32(5)
    tail = u32(0)
    for number in range(32):
        unit, v, half = u32(number >> 3), u32(number >> 1) & u32(3), u32(number & 1)
        row = tile * u32(16) + (lane >> u32(2)) + u32(8) * (v & u32(1))
        column = (burst * u32(BURST) + unit) * u32(64) + (lane & u32(3)) * u32(16)
        column += (v >> u32(1)) * u32(8) + half * u32(4)
        bit = wide_code_at(canonical, row, column, shape, numbers, widening) & u32(1)
        place = (u32(8) + u32(16) * half - u32(4) * unit - v) & u32(31)
        tail |= bit << place
    tails[tile, burst, lane] = tail


def pack_on_gpu(canonical, scheme: Scheme, form: Form, shape: tuple[int, int]):
    """Canonical words uint16[rows, half-words] on the GPU -> (words, tails) there."""
    tiles, units = form.tiles(shape[0]), form.units(shape[1])
    words = cuda.device_array((tiles, units, 32, 4), np.uint32)
    bursts = (tiles, units // BURST) if form.has_tails else (1, 1)  # an array needs some element
    tails = cuda.device_array((*bursts, 32), np.uint32)
    tables = [cuda.to_device(table) for table in form.device.tables()]
    sizes = (tuple(np.uint32(n) for n in shape), canonical_numbers(scheme), widening(scheme, form))
    grid = (-(-units * 128 // THREADS), tiles)
    launch_quietly(form.device.pack, grid, THREADS, 0, canonical, *tables, words, *sizes)
    if form.has_tails:
        grid = (-(-units * 8 // THREADS), tiles)
        launch_quietly(pack_tails, grid, THREADS, 0, canonical, tails, *sizes)
    cuda.synchronize()  # a kernel may read its weights before the grid ahead of it has ended
    return words, tails


@cache
def make_unpack(form: Form):
    """Make the kernel of one form that writes canonical words."""
    code = form.device.code

    @cuda.jit
    def unpack_words(words, tails, out, columns, numbers, narrowing):
        """out[m, h] = half-word h of row m, zero where it holds no weight of the matrix.

        words, tails: as `pack_on_gpu` makes them; out: uint16[rows, half-words]
        numbers: `canonical_numbers` of the scheme; narrowing: bits that its mantissa is shorter by
        """
        i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
        row_words = u32(out.shape[1])
        row = u32(cuda.blockIdx.y) * u32(16) + i // row_words
        if i >= row_words * u32(16) or row >= u32(out.shape[0]):
            return
        h = i - i // row_words * row_words
        k, width, block_weights, block_words, shared_bit = numbers
        block = h // block_words
        first = (h - block * block_words) * u32(16)
        half_word = u32(0)
        for n in range(16):
            bit = first + u32(n)
            weight = bit // width
            place = bit - weight * width + u32(k > u32(1))
            if k > u32(1) and bit >= shared_bit:
                weight, place = (bit - shared_bit) * k, u32(0)
            column = block * block_weights + weight
            if column < columns:
                own = code(words, tails, row, column) >> (narrowing + place)
                half_word |= (own & u32(1)) << u32(n)
        out[row, h] = half_word

    return unpack_words


def unpack_on_gpu(words, tails, scheme: Scheme, form: Form, shape: tuple[int, int]):
    """Words and tails of a kernel form on the GPU -> canonical words uint16[rows, half-words]."""
    rows, columns = shape
    row_words = layout(scheme).row_words(columns)
    out = cuda.device_array((rows, row_words), np.uint16)
    grid = (-(-row_words * 16 // THREADS), form.tiles(rows))
    sizes = (np.uint32(columns), canonical_numbers(scheme), widening(scheme, form))
    launch_quietly(make_unpack(form), grid, THREADS, 0, words, tails, out, *sizes)
    return out


def widening(scheme: Scheme, form: Form) -> np.uint32:
    """Bits that the mantissa of a form's minifloat is longer by than the scheme's."""
    return np.uint32(form.element.mantissa_bits - scheme.minifloat.mantissa_bits)
