"""Canonical words as kernels read them, and bits placed by the device."""

from numba import cuda

from amssim.layout import layout
from amssim.scheme import Scheme
from cuda_kernels.ptx import load_half_if, u32, u64


def canonical_arguments(scheme: Scheme, columns: int) -> dict[str, int]:
    """What kernels must know of canonical rows, by the names of their arguments."""
    sizes = layout(scheme)
    return {
        "k": scheme.k,
        "field_bits": sizes.field_bits,
        "block_weights": sizes.block_weights,
        "block_words": sizes.block_words,
        "shared_bit": sizes.shared_offset or 0,
        "row_words": sizes.row_words(columns),
    }


@cuda.jit(device=True, inline="always")
def field(row, first_bit, width, wanted):
    """Return ``width`` <= 8 bits of the bitstream at ``row`` from bit ``first_bit``."""
    first = u32(first_bit >> u32(4))
    last = u32(u32(first_bit + width - u32(1)) >> u32(4))
    low = u32(load_half_if(u64(row + u64(first) * u64(2)), wanted))
    high = u32(load_half_if(u64(row + u64(last) * u64(2)), wanted))
    both = u32(low | u32(high << u32(16)))
    return u32((both >> u32(first_bit & u32(15))) & u32((u32(1) << width) - u32(1)))


@cuda.jit(device=True, inline="always")
def code_at(row, column, numbers, wanted):
    """Code of a weight of the row at the address ``row``; 0 where it is not wanted.

    numbers: (k, field bits, weights and half-words of a block, shared bit).
    """
    k, width, block_weights, block_words, shared_bit = numbers
    block = u32(column // block_weights)
    j = u32(column - block * block_weights)
    start = u32(block * block_words * u32(16))
    code = field(row, u32(start + j * width), width, wanted)
    if k > u32(1):
        shared = field(row, u32(start + shared_bit + j // k), u32(1), wanted)
        code = u32(u32(code << u32(1)) | shared)
    return code


@cuda.jit(device=True, inline="always")
def wide_code_at(matrix, row, column):
    """Code in a minifloat whose mantissa is ``widening`` bits longer; 0 outside the matrix.

    matrix: (address, (rows, columns, half-words of a row), numbers of `code_at`, widening).
    """
    words, (rows, columns, row_words), numbers, widening = matrix
    inside = u32(u32(row < rows) * u32(column < columns))
    at = u64(words + u64(row * inside) * u64(row_words) * u64(2))
    return u32(code_at(at, u32(column * inside), numbers, inside) << widening)


@cuda.jit(device=True, inline="always")
def device_place_bits(value, places, offset):
    """Bit i of ``value`` to bit places[i] + offset (modulo 32)."""
    out = u32(0)
    for i in range(len(places)):
        bit = u32(u32(value >> u32(i)) & u32(1))
        out = u32(out | u32(bit << u32(u32(places[i] + offset) & u32(31))))
    return out


@cuda.jit(device=True, inline="always")
def code_of_half(half, bits):
    """Code of a weight of ``bits`` bits from the float16 bits that it decodes to."""
    magnitude = u32(u32(half >> u32(13 - bits)) & u32((1 << (bits - 1)) - 1))
    sign = u32(u32(half >> u32(15)) & u32(1))
    return u32(magnitude | u32(sign << u32(bits - 1)))
