"""Canonical words as plain numba.cuda reads them, and bits placed by the device."""

import warnings

import numpy as np
from numba import cuda

from amssim.layout import Layout
from amssim.scheme import Scheme
from cuda_kernels.ptx.inline import u32

THREADS = 256


def canonical_numbers(scheme: Scheme) -> tuple[np.uint32, ...]:
    """(k, field bits, weights and half-words of a block, shared bit) for `code_at`."""
    layout = Layout(scheme)
    shared = layout.shared_offset or 0
    numbers = (scheme.k, layout.field_bits, layout.block_weights, layout.block_words, shared)
    return tuple(np.uint32(n) for n in numbers)


@cuda.jit(device=True, inline="always")
def field(words, row, first_bit, width):
    """Return ``width`` <= 8 bits of a row's bitstream from bit ``first_bit``."""
    word = first_bit >> u32(4)
    last = (first_bit + width - u32(1)) >> u32(4)
    both = u32(words[row, word]) | (u32(words[row, last]) << u32(16))
    return (both >> (first_bit & u32(15))) & ((u32(1) << width) - u32(1))


@cuda.jit(device=True, inline="always")
def code_at(words, row, column, numbers):
    """Code of one weight; ``numbers`` are those of `canonical_numbers`."""
    k, width, block_weights, block_words, shared_bit = numbers
    block = column // block_weights
    j = column - block * block_weights
    start = block * block_words * u32(16)
    code = field(words, row, start + j * width, width)
    if k > u32(1):
        shared = field(words, row, start + shared_bit + j // k, u32(1))
        code = (code << u32(1)) | shared
    return code


@cuda.jit(device=True, inline="always")
def wide_code_at(canonical, row, column, shape, numbers, widening):
    """Code in a minifloat whose mantissa is ``widening`` bits longer; 0 outside the matrix."""
    if row < shape[0] and column < shape[1]:
        return code_at(canonical, row, column, numbers) << widening
    return u32(0)


@cuda.jit(device=True, inline="always")
def device_place_bits(value, places, offset):
    """Bit i of ``value`` to bit places[i] + offset (modulo 32)."""
    out = u32(0)
    for i in range(len(places)):
        out |= u32((value >> u32(i)) & u32(1)) << (u32(places[i] + offset) & u32(31))
    return out


@cuda.jit(device=True, inline="always")
def code_of_half(half, bits):
    """Code of a weight of ``bits`` bits from the float16 bits that it decodes to."""
    magnitude = (half >> u32(13 - bits)) & u32((1 << (bits - 1)) - 1)
    return magnitude | (((half >> u32(15)) & u32(1)) << u32(bits - 1))


def launch_quietly(kernel, grid, threads: int, stream, *arguments) -> None:
    """Launch a plain kernel; Numba's warning about small grids is of no use to the caller."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kernel[grid, threads, stream](*arguments)
