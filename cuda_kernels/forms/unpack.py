"""The words of a kernel form -> canonical words on the GPU.

Plain numba.cuda, one thread per canonical half-word; runs in Numba's CUDA simulator too.
"""

import numpy as np
from numba import cuda

from amssim.layout import layout
from amssim.scheme import Scheme
from cuda_kernels.forms.form import FP4_25, Form
from cuda_kernels.forms.repack import THREADS, canonical_form, own_533
from cuda_kernels.plain.generic import launch, u32
from cuda_kernels.ptx import decode as d


@cuda.jit(device=True, inline="always")
def ror(word, count):
    """A 32-bit word rotated right by 1 to 31 bits."""
    return u32(word >> u32(count)) | u32(word << u32(u32(32) - u32(count)))


@cuda.jit(device=True, inline="always")
def code_of(half, bits):
    """Code of a weight of ``bits`` bits from the float16 bits that it decodes to."""
    magnitude = (half >> u32(13 - bits)) & u32((1 << (bits - 1)) - 1)
    return magnitude | (((half >> u32(15)) & u32(1)) << u32(bits - 1))


@cuda.jit(device=True, inline="always")
def code_425(words, tails, row, column):
    """Code of one weight of FP4.25; the inverse of `cuda_kernels.forms.repack.pack_425`."""
    unit, place = column >> u32(6), column & u32(63)
    lane = ((row & u32(7)) << u32(2)) | (place >> u32(4))
    v = (((place >> u32(3)) & u32(1)) << u32(1)) | ((row >> u32(3)) & u32(1))
    half, slot = (place >> u32(2)) & u32(1), place & u32(3)
    word = u32(words[row >> u32(4), unit, lane, v])
    turn = u32(4) * (unit & u32(3)) + v
    tail = u32(tails[row >> u32(4), unit >> u32(2), lane])
    shared = (tail >> ((u32(8) + u32(16) * half - turn) & u32(31))) & u32(1)
    rest = word & u32(d.REST_425)
    if slot == 1:
        word = ror(word, 3)
    elif slot == 2:
        word = u32(rest * u32(d.FACTORS_425[0]))
    elif slot == 3:
        word = u32(rest * u32(d.FACTORS_425[1]))
    top = (word & u32(d.MASK_425)) >> (u32(16) * half)
    return code_of((top & u32(0xFFFF)) | (shared << u32(8)), 5)


@cuda.jit(device=True, inline="always")
def code_533(words, tails, row, column):
    """Code of one weight of FP5.33; the inverse of `cuda_kernels.forms.repack.pack_533`."""
    unit = column // u32(48)
    place = column - unit * u32(48)
    t = place // u32(12)
    place = place - t * u32(12)
    sub = place // u32(6)
    place = place - sub * u32(6)
    half = place // u32(3)
    slot = place - half * u32(3)
    lane = ((row & u32(7)) << u32(2)) | t
    word = u32(words[row >> u32(4), unit, lane, ((row >> u32(2)) & u32(2)) | sub])
    own = u32(own_533(word))
    mask, bits = u32(d.MASK_533), own
    if slot == 0:
        bits = (word & mask) | (own & ~mask)
    elif slot == 1:
        bits = (u32(word << u32(8)) & mask) | (own & ~mask)
    return code_of((bits >> (u32(16) * half)) & u32(0xFFFF), 6)


def make_unpack(code):
    """Make the kernel of one form from the function that finds a weight's code."""

    @cuda.jit
    def unpack(words, tails, out, columns, form, narrow):
        """out[m, h] = half-word h of row m, zero where it holds no weight of the matrix.

        words, tails: as of `cuda_kernels.forms.host.pack`; out: uint16[rows, half-words]
        form: `canonical_form` of the scheme; narrow: bits that its mantissa is shorter by
        """
        i = u32(cuda.blockIdx.x) * u32(cuda.blockDim.x) + u32(cuda.threadIdx.x)
        row_words = u32(out.shape[1])
        row = u32(cuda.blockIdx.y) * u32(16) + i // row_words
        if i >= row_words * u32(16) or row >= u32(out.shape[0]):
            return
        h = i - i // row_words * row_words
        k, width, block_weights, block_words, shared_bit = form
        block = h // block_words
        first = (h - block * block_words) * u32(16)
        found = u32(0)
        for n in range(16):
            bit = first + u32(n)
            weight = bit // width
            place = bit - weight * width + u32(k > u32(1))
            if k > u32(1) and bit >= shared_bit:
                weight, place = (bit - shared_bit) * k, u32(0)
            column = block * block_weights + weight
            if column < columns:
                own = code(words, tails, row, column) >> (narrow + place)
                found |= (own & u32(1)) << u32(n)
        out[row, h] = found

    return unpack


unpack_425, unpack_533 = make_unpack(code_425), make_unpack(code_533)


def unpack(words, tails, scheme: Scheme, form: Form, shape: tuple[int, int]):
    """Words and tails of a kernel form on the GPU -> canonical words uint16[rows, half-words]."""
    rows, columns = shape
    row_words = layout(scheme).row_words(columns)
    out = cuda.device_array((rows, row_words), np.uint16)
    narrow = np.uint32(form.element.mantissa_bits - scheme.minifloat.mantissa_bits)
    kernel = unpack_425 if form is FP4_25 else unpack_533
    grid = (-(-row_words * 16 // THREADS), form.tiles(rows))
    sizes = (np.uint32(columns), canonical_form(scheme), narrow)
    launch(kernel, grid, THREADS, 0, words, tails, out, *sizes)
    return out
